// Checking and building messages, see protocol.h. No state, no allocation: everything lies in the caller's buffers.
#include "gofer/protocol.h"

#include <sys/stat.h>

const char *const gofer_op_names[GOFER_OP_COUNT] = {
    [GOFER_NONE] = "none",         [GOFER_LOOKUP] = "lookup",
    [GOFER_LIST] = "list",         [GOFER_OPEN] = "open",
    [GOFER_STATFS] = "statfs",     [GOFER_GETXATTR] = "getxattr",
    [GOFER_LISTXATTR] = "listxattr", [GOFER_FORGET] = "forget",
    [GOFER_CREATE] = "create",     [GOFER_MKDIR] = "mkdir",
    [GOFER_MKNOD] = "mknod",       [GOFER_SYMLINK] = "symlink",
    [GOFER_LINK] = "link",         [GOFER_UNLINK] = "unlink",
    [GOFER_RMDIR] = "rmdir",       [GOFER_RENAME] = "rename",
    [GOFER_SETATTR] = "setattr",   [GOFER_SETXATTR] = "setxattr",
    [GOFER_REMOVEXATTR] = "removexattr", [GOFER_SYNC] = "sync",
};

bool gofer_name_ok(const char *name, uint64_t size)
{
    if (size == 0 || size > GOFER_NAME_MAX || memchr(name, '/', size) || memchr(name, 0, size))
        return false;
    return !(name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')));
}

static bool time_ok(const struct gofer_time *t)
{
    return t->nsec < 1000000000u && t->zero == 0;
}

bool gofer_attr_ok(const struct gofer_attr *attr)
{
    switch (attr->mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        break;
    default:
        return false;
    }
    return !(attr->mode & ~(uint32_t)(S_IFMT | 07777)) && attr->size <= INT64_MAX && attr->ino != 0 &&
           time_ok(&attr->atime) && time_ok(&attr->mtime) && time_ok(&attr->ctime) && time_ok(&attr->btime);
}

int gofer_request_parse(const void *message, uint64_t received, struct gofer_request_view *out)
{
    const uint8_t *bytes = message;
    struct gofer_request *h = &out->header;
    if (received < sizeof(*h) || received > GOFER_MESSAGE_MAX)
        return -EPROTO;
    memcpy(h, bytes, sizeof(*h));
    if (h->size != received || h->op == GOFER_NONE || h->op >= GOFER_OP_COUNT || (h->want & ~(uint32_t)GOFER_REQUEST_FLAGS))
        return -EPROTO;
    // All of these are at most 32 bits wide, so the sum can't overflow.
    uint64_t name_room = h->name_size ? (uint64_t)h->name_size + 1 : 0;
    if (sizeof(*h) + name_room + h->data_size != received)
        return -EPROTO;
    out->name = "";
    if (h->name_size) {
        out->name = (const char *)bytes + sizeof(*h);
        if (!gofer_name_ok(out->name, h->name_size) || out->name[h->name_size] != 0)
            return -EPROTO;
    }
    out->data = bytes + sizeof(*h) + name_room;
    if (!time_ok(&h->atime) || !time_ok(&h->mtime))
        return -EPROTO;
    return 0;
}

int gofer_reply_parse(const void *message, uint64_t received, struct gofer_reply_view *out)
{
    const uint8_t *bytes = message;
    struct gofer_reply *h = &out->header;
    if (received < sizeof(*h) || received > GOFER_MESSAGE_MAX)
        return -EPROTO;
    memcpy(h, bytes, sizeof(*h));
    if (h->size != received || h->data_size != received - sizeof(*h) || h->result > 0 || h->result < -4095 ||
        (h->flags & ~(uint32_t)GOFER_REPLY_FLAGS))
        return -EPROTO;
    out->data = bytes + sizeof(*h);
    return 0;
}

int gofer_entry_next(const uint8_t *data, uint64_t data_size, uint64_t *at, struct gofer_entry_view *out)
{
    struct gofer_entry e;
    uint64_t left = data_size - *at;
    if (left == 0)
        return 0;
    if (left < sizeof(e))
        return -EPROTO;
    memcpy(&e, data + *at, sizeof(e));
    uint64_t need = sizeof(e) + e.name_size + 1ull + (e.link_size ? e.link_size + 1ull : 0);
    if (e.size % 8 || e.size > left || need > e.size || e.size - need >= 8)
        return -EPROTO;
    const char *name = (const char *)data + *at + sizeof(e);
    const char *link = name + e.name_size + 1;
    if (!gofer_name_ok(name, e.name_size) || name[e.name_size] != 0 || !gofer_attr_ok(&e.attr))
        return -EPROTO;
    if (e.link_size && (e.link_size > GOFER_LINK_MAX || !S_ISLNK(e.attr.mode) || memchr(link, 0, e.link_size) ||
                        link[e.link_size] != 0))
        return -EPROTO;
    *out = (struct gofer_entry_view){
        .attr = e.attr,
        .name = name,
        .name_size = e.name_size,
        .link = e.link_size ? link : NULL,
        .link_size = e.link_size,
    };
    *at += e.size;
    return 1;
}

bool gofer_entry_append(uint8_t *data, uint64_t room, uint64_t *used, const struct gofer_attr *attr, const char *name,
                        uint64_t name_size, const char *link, uint64_t link_size)
{
    uint64_t need = sizeof(struct gofer_entry) + name_size + 1 + (link ? link_size + 1 : 0);
    need = (need + 7) & ~7ull;
    if (need > room - *used)
        return false;
    struct gofer_entry e = {
        .size = (uint32_t)need,
        .name_size = (uint16_t)name_size,
        .link_size = link ? (uint16_t)link_size : 0,
        .attr = *attr,
    };
    uint8_t *p = data + *used;
    memset(p + need - 8, 0, 8);
    memcpy(p, &e, sizeof(e));
    p += sizeof(e);
    memcpy(p, name, name_size);
    p[name_size] = 0;
    if (link) {
        memcpy(p + name_size + 1, link, link_size);
        p[name_size + 1 + link_size] = 0;
    }
    *used += need;
    return true;
}

int64_t gofer_request_build(uint8_t *message, struct gofer_request *header, const char *name, uint64_t name_size,
                            const void *data, uint64_t data_size)
{
    uint64_t name_room = name_size ? name_size + 1 : 0;
    if (name_size > GOFER_NAME_MAX)
        return -ENAMETOOLONG;
    if (data_size > GOFER_MESSAGE_MAX - sizeof(*header) - name_room)
        return -E2BIG;
    uint64_t size = sizeof(*header) + name_room + data_size;
    header->size = (uint32_t)size;
    header->name_size = (uint16_t)name_size;
    header->data_size = (uint32_t)data_size;
    memcpy(message, header, sizeof(*header));
    uint8_t *p = message + sizeof(*header);
    if (name_size) {
        memcpy(p, name, name_size);
        p[name_size] = 0;
        p += name_room;
    }
    if (data_size)
        memcpy(p, data, data_size);
    return (int64_t)size;
}
