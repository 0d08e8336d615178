// Requests that change nothing.
#include <dirent.h>
#include <fcntl.h>
#include <sys/statfs.h>

#include "gofer/gofer-int.h"
#include "host/host.h"

enum {
    SMALL_DIRECTORY = 4096, // bytes of getdents64: about a hundred names
    DENTS_SIZE = 32 << 10,
};

struct host_dirent { // getdents64(2)
    uint64_t ino;
    int64_t off;
    uint16_t size;
    uint8_t type;
    char name[];
};

int answer_node(struct gofer *g, const struct gofer_request_view *r, const struct target *t, const struct gofer_attr *attr,
                int fd, int access, struct answer *out)
{
    struct node *n = t->node;
    if (!(r->header.want & GOFER_WANT_NODE) || (!S_ISDIR(attr->mode) && fd < 0))
        return 0;
    if (t->name[0]) {
        int ret, copy = fd;
        if (fd >= 0 && (copy = host_dup(fd, 0)) < 0)
            return copy;
        ret = node_make(g, t->node, t->name, attr, copy, access, &n);
        if (ret < 0) {
            if (copy >= 0)
                (void)host_close(copy);
            return ret;
        }
    }
    out->header.node = node_id(n);
    return 0;
}

// The target of a symbolic link into text (of GOFER_LINK_MAX + 1 bytes); the size, 0 when it can't be had.
static uint32_t read_link(int dir, const char *name, char *text)
{
    int64_t size = host_readlinkat(dir, name, text, GOFER_LINK_MAX + 1);
    if (size <= 0 || size > GOFER_LINK_MAX || memchr(text, 0, (uint64_t)size))
        return 0;
    return (uint32_t)size;
}

int op_lookup(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    struct target t;
    int ret = target_resolve(g, r, &t);
    if (ret == 0)
        ret = target_check(&t, r, &out->header.attr);
    if (ret < 0)
        return ret;
    const struct gofer_attr *attr = &out->header.attr;
    if (S_ISLNK(attr->mode) && t.name[0]) {
        out->header.data_size = read_link(t.dir, t.name, (char *)out->data);
        if (out->header.data_size == 0)
            return -EIO;
    }
    return answer_node(g, r, &t, attr, -1, 0, out);
}

// ---- Listing ----

struct listing {
    struct gofer *g;
    struct answer *out;
    int fd;
    uint64_t used;
};

static int list_flush(struct listing *l)
{
    struct gofer_reply part = l->out->header;
    part.flags = GOFER_REPLY_MORE;
    part.data_size = (uint32_t)l->used;
    l->used = 0;
    l->out->header.count = 0;
    return gofer_send(l->g, &part, l->out->data, -1);
}

static int list_entry(struct listing *l, const char *name)
{
    char link[GOFER_LINK_MAX + 1];
    struct gofer_attr attr;
    uint64_t name_size = strlen(name);
    if (!gofer_name_ok(name, name_size))
        return 0; // "." and ".."
    int ret = stat_at(l->fd, name, &attr);
    if (ret < 0)
        return ret == -ENOENT || ret == -EIO || ret == -EACCES ? 0 : ret; // gone again, or not to be had at all
    uint32_t link_size = S_ISLNK(attr.mode) ? read_link(l->fd, name, link) : 0;
    const char *text = link_size ? link : NULL;
    if (!gofer_entry_append(l->out->data, GOFER_REPLY_ROOM, &l->used, &attr, name, name_size, text, link_size)) {
        if ((ret = list_flush(l)) < 0)
            return ret;
        if (!gofer_entry_append(l->out->data, GOFER_REPLY_ROOM, &l->used, &attr, name, name_size, text, link_size))
            return -EIO;
    }
    l->out->header.count++;
    return 0;
}

static int list_all(struct listing *l, bool if_small)
{
    uint8_t dents[DENTS_SIZE] __attribute__((aligned(8)));
    for (;;) {
        int64_t size = host_getdents64(l->fd, dents, if_small ? SMALL_DIRECTORY : DENTS_SIZE);
        if (size <= 0)
            return (int)size;
        if (if_small) {
            // Before anything is asked about the entries: is this all?
            int64_t more = host_getdents64(l->fd, dents + SMALL_DIRECTORY, SMALL_DIRECTORY);
            if (more != 0)
                return more < 0 ? (int)more : -E2BIG;
        }
        for (int64_t at = 0; at < size;) {
            const struct host_dirent *d = (const struct host_dirent *)(dents + at);
            at += d->size;
            int ret = list_entry(l, d->name);
            if (ret < 0)
                return ret;
        }
        if (if_small)
            return 0;
    }
}

int op_list(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    struct target t;
    int ret = target_resolve(g, r, &t);
    if (ret < 0)
        return ret;
    int fd = open_beneath(t.dir, t.name[0] ? t.name : ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    struct listing l = {.g = g, .out = out, .fd = fd};
    const struct target self = {.dir = fd, .name = ""};
    ret = target_check(&self, r, &out->header.attr);
    if (ret == 0)
        ret = list_all(&l, r->header.want & GOFER_IF_SMALL);
    out->header.data_size = (uint32_t)l.used;
    // Last: on failure the kernel must not be left with a node that it was not told of.
    if (ret == 0)
        ret = answer_node(g, r, &t, &out->header.attr, -1, 0, out);
    (void)host_close(fd);
    return ret;
}

// ---- Opening ----

int op_open(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    struct target t;
    int access = (int)r->header.flags;
    if (access != O_RDONLY && access != O_WRONLY && access != O_RDWR)
        return -EINVAL;
    int ret = target_resolve(g, r, &t);
    if (ret < 0)
        return ret;
    if (access != O_RDONLY && node_is_read_only(g, t.node))
        return -EROFS;
    int fd = target_open(&t, r, access, &out->header.attr);
    if (fd < 0)
        return fd;
    ret = answer_node(g, r, &t, &out->header.attr, fd, access, out);
    if (ret < 0) {
        (void)host_close(fd);
        return ret;
    }
    out->fd = fd;
    return 0;
}

int op_statfs(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    struct statfs s;
    struct target t;
    int ret = target_resolve(g, r, &t);
    if (ret == 0)
        ret = host_fstatfs(t.dir, &s);
    if (ret < 0)
        return ret;
    struct gofer_statfs answer = {
        .type = (uint64_t)s.f_type,
        .bsize = (uint64_t)s.f_bsize,
        .blocks = s.f_blocks,
        .bfree = s.f_bfree,
        .bavail = s.f_bavail,
        .files = s.f_files,
        .ffree = s.f_ffree,
        .namelen = (uint64_t)s.f_namelen,
        .frsize = (uint64_t)s.f_frsize,
        .flags = (uint64_t)s.f_flags,
    };
    memcpy(&answer.fsid, &s.f_fsid, sizeof(answer.fsid));
    memcpy(out->data, &answer, sizeof(answer));
    out->header.data_size = sizeof(answer);
    return 0;
}

// ---- Extended attributes ----

int target_xattr_fd(const struct target *t, const struct gofer_request_view *r, bool *close)
{
    struct gofer_attr attr;
    int ret = target_check(t, r, &attr);
    if (ret < 0)
        return ret;
    *close = true;
    if (S_ISDIR(attr.mode))
        return open_beneath(t->dir, t->name[0] ? t->name : ".", O_RDONLY | O_DIRECTORY, 0);
    if (!S_ISREG(attr.mode))
        return -EOPNOTSUPP;
    if (!t->name[0]) {
        int flags = host_get_flags(t->dir);
        *close = false;
        return flags < 0 ? flags : flags & O_PATH ? -EOPNOTSUPP : t->dir;
    }
    return target_open(t, r, O_RDONLY, &attr);
}

int op_getxattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    char name[GOFER_XATTR_NAME_MAX + 1] = {0};
    struct target t;
    bool close;
    if (r->header.data_size == 0 || r->header.data_size > GOFER_XATTR_NAME_MAX || memchr(r->data, 0, r->header.data_size))
        return -EINVAL;
    memcpy(name, r->data, r->header.data_size);
    int ret = target_resolve(g, r, &t);
    if (ret < 0)
        return ret;
    int fd = target_xattr_fd(&t, r, &close);
    if (fd < 0)
        return fd == -EOPNOTSUPP ? -ENODATA : fd;
    int64_t size = host_fgetxattr(fd, name, out->data, GOFER_XATTR_SIZE_MAX);
    if (close)
        (void)host_close(fd);
    if (size < 0)
        return (int)size;
    out->header.data_size = (uint32_t)size;
    return 0;
}

int op_listxattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    struct target t;
    bool close;
    int ret = target_resolve(g, r, &t);
    if (ret < 0)
        return ret;
    int fd = target_xattr_fd(&t, r, &close);
    if (fd == -EOPNOTSUPP)
        return 0;
    if (fd < 0)
        return fd;
    int64_t size = host_flistxattr(fd, (char *)out->data, GOFER_XATTR_SIZE_MAX);
    if (close)
        (void)host_close(fd);
    if (size == -EOPNOTSUPP)
        return 0;
    if (size < 0)
        return (int)size;
    out->header.data_size = (uint32_t)size;
    return 0;
}
