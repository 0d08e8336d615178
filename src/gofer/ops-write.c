// Requests that change the host's files. gofer_serve() has refused them already on an export that is read-only (and so would the
// export's mount, and Landlock).
//
// What is made belongs to whom the kernel says, since the gofer may change owners when root started it. Where it may not
// (rootless), only the gofer's own id is possible, and anything else is the host's EPERM: no false success.
#include <fcntl.h>
#include <linux/fs.h>

#include "gofer/gofer-int.h"
#include "host/host.h"

// A request that makes or removes a name in a directory.
static int resolve_name(struct gofer *g, const struct gofer_request_view *r, struct target *t)
{
    if (!r->header.name_size)
        return -EINVAL;
    return target_resolve(g, r, t);
}

// Data as text: a name in a second directory, or a link's target.
static int data_text(const struct gofer_request_view *r, uint64_t most, char *out)
{
    uint64_t size = r->header.data_size;
    if (size == 0 || size > most || memchr(r->data, 0, size))
        return -EINVAL;
    memcpy(out, r->data, size);
    out[size] = 0;
    return 0;
}

static int data_name(const struct gofer_request_view *r, char out[GOFER_NAME_MAX + 1])
{
    int ret = data_text(r, GOFER_NAME_MAX, out);
    return ret < 0 || gofer_name_ok(out, r->header.data_size) ? ret : -EINVAL;
}

static int set_owner(int dir, const char *name, uint32_t uid, uint32_t gid, const struct gofer_attr *have)
{
    if (have->uid == uid && have->gid == gid)
        return 0;
    return host_fchownat(dir, name, have->uid == uid ? UINT32_MAX : uid, have->gid == gid ? UINT32_MAX : gid,
                         AT_SYMLINK_NOFOLLOW | (name[0] ? 0 : AT_EMPTY_PATH));
}

static int set_new_mode(const struct target *t, uint32_t mode, const struct gofer_attr *have)
{
    if (S_ISLNK(have->mode) || (have->mode & 07777) == mode)
        return 0;
    if (!S_ISDIR(have->mode))
        return host_fchmodat(t->dir, t->name, mode);
    int fd = open_beneath(t->dir, t->name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int ret = host_fchmod(fd, mode);
    (void)host_close(fd);
    return ret;
}

// Owner and mode of something just made, and its attributes. On failure it is removed again (flags as for unlinkat).
static int finish_new(const struct target *t, const struct gofer_request_view *r, int unlink_flags, struct gofer_attr *attr)
{
    int ret = stat_at(t->dir, t->name, attr);
    if (ret == 0)
        ret = set_owner(t->dir, t->name, r->header.uid, r->header.gid, attr);
    // A change of owner takes the set-ID bits away; a set-group-ID directory above may have added one.
    if (ret == 0)
        ret = stat_at(t->dir, t->name, attr);
    if (ret == 0)
        ret = set_new_mode(t, r->header.mode & 07777, attr);
    if (ret == 0)
        ret = stat_at(t->dir, t->name, attr);
    if (ret < 0)
        (void)host_unlinkat(t->dir, t->name, unlink_flags);
    return ret;
}

int op_create(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    struct gofer_attr *attr = &out->header.attr;
    struct target t;
    int ret = resolve_name(g, r, &t);
    if (ret < 0)
        return ret;
    // The owner is set through the descriptor, before anybody can have opened the file by the right of the wrong one.
    int fd = open_beneath(t.dir, t.name, O_RDWR | O_CREAT | O_EXCL | O_NOCTTY, 0600);
    if (fd < 0)
        return fd;
    ret = stat_at(fd, "", attr);
    if (ret == 0)
        ret = set_owner(fd, "", r->header.uid, r->header.gid, attr);
    if (ret == 0)
        ret = host_fchmod(fd, r->header.mode & 07777);
    if (ret == 0)
        ret = stat_at(fd, "", attr);
    if (ret < 0)
        (void)host_unlinkat(t.dir, t.name, 0);
    else
        ret = answer_node(g, r, &t, attr, fd, O_RDWR, out);
    if (ret < 0) {
        (void)host_close(fd);
        return ret;
    }
    out->fd = fd;
    return 0;
}

int op_mkdir(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    struct target t;
    int ret = resolve_name(g, r, &t);
    if (ret == 0)
        ret = host_mkdirat(t.dir, t.name, r->header.mode & 07777);
    if (ret == 0)
        ret = finish_new(&t, r, AT_REMOVEDIR, &out->header.attr);
    return ret < 0 ? ret : answer_node(g, r, &t, &out->header.attr, -1, 0, out);
}

int op_mknod(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    uint32_t type = r->header.mode & S_IFMT;
    struct target t;
    if (type != S_IFIFO && type != S_IFSOCK && type != S_IFREG)
        return -EPERM;
    int ret = resolve_name(g, r, &t);
    if (ret == 0)
        ret = host_mknodat(t.dir, t.name, type | (r->header.mode & 07777), 0);
    return ret < 0 ? ret : finish_new(&t, r, 0, &out->header.attr);
}

int op_symlink(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    char text[GOFER_LINK_MAX + 1];
    struct target t;
    int ret = data_text(r, GOFER_LINK_MAX, text);
    if (ret == 0)
        ret = resolve_name(g, r, &t);
    if (ret == 0)
        ret = host_symlinkat(text, t.dir, t.name);
    return ret < 0 ? ret : finish_new(&t, r, 0, &out->header.attr);
}

// The second directory of a request; -EXDEV beyond the export. Taking its descriptor may close that of the first, so the first
// is asked for again.
static int resolve_second(struct gofer *g, const struct gofer_request_view *r, struct target *t, struct node **ret_node)
{
    struct node *n = node_find(g, r->header.node2);
    if (!n)
        return -ESTALE;
    if (!n->is_dir)
        return -ENOTDIR;
    if (n->export_id != t->node->export_id)
        return -EXDEV;
    int fd = node_fd(g, n);
    if (fd < 0)
        return fd;
    t->dir = node_fd(g, t->node);
    *ret_node = n;
    return t->dir < 0 ? t->dir : n->fd < 0 ? -ESTALE : n->fd;
}

int op_link(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    char name[GOFER_NAME_MAX + 1];
    struct target t;
    struct node *n;
    int ret = data_name(r, name);
    if (ret == 0)
        ret = resolve_name(g, r, &t);
    if (ret < 0)
        return ret;
    int to = resolve_second(g, r, &t, &n);
    if (to < 0)
        return to;
    ret = target_check(&t, r, &out->header.attr);
    if (ret == 0)
        ret = host_linkat(t.dir, t.name, to, name, 0);
    return ret < 0 ? ret : stat_at(to, name, &out->header.attr);
}

static int remove_name(struct gofer *g, const struct gofer_request_view *r, int flags)
{
    struct gofer_attr attr;
    struct target t;
    int ret = resolve_name(g, r, &t);
    if (ret == 0)
        ret = target_check(&t, r, &attr);
    return ret < 0 ? ret : host_unlinkat(t.dir, t.name, flags);
}

int op_unlink(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    return remove_name(g, r, 0);
}

int op_rmdir(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    return remove_name(g, r, AT_REMOVEDIR);
}

int op_rename(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    char name[GOFER_NAME_MAX + 1];
    struct gofer_attr attr;
    struct target t;
    struct node *n, *moved;
    if (r->header.flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int ret = data_name(r, name);
    if (ret == 0)
        ret = resolve_name(g, r, &t);
    if (ret < 0)
        return ret;
    int to = resolve_second(g, r, &t, &n);
    if (to < 0)
        return to;
    ret = target_check(&t, r, &attr);
    if (ret == 0)
        ret = host_renameat2(t.dir, t.name, to, name, r->header.flags);
    if (ret < 0)
        return ret;
    // Only if it is the thing that has been renamed, whatever the kernel says.
    moved = node_find(g, r->header.node3);
    if (moved && moved->parent == t.node && !strcmp(moved->name, t.name) && moved->ino == attr.ino)
        node_renamed(g, moved, n, name);
    return 0;
}

// ---- Attributes ----

static int set_mode(const struct target *t, const struct gofer_request_view *r, const struct gofer_attr *attr)
{
    bool close = false;
    int fd, ret;
    if (S_ISLNK(attr->mode))
        return -EOPNOTSUPP;
    fd = S_ISREG(attr->mode) || S_ISDIR(attr->mode) ? target_xattr_fd(t, r, &close) : -EOPNOTSUPP;
    if (fd >= 0) {
        ret = host_fchmod(fd, r->header.mode & 07777);
        if (close)
            (void)host_close(fd);
        return ret;
    }
    // FIFOs and sockets aren't opened, nor files that their owner may not read. target_check() has seen that it is no symbolic
    // link; should it have become one, the export's mount is where its target ends.
    if (!t->name[0])
        return fd;
    return host_fchmodat(t->dir, t->name, r->header.mode & 07777);
}

static int set_size(const struct target *t, const struct gofer_request_view *r, struct gofer_attr *attr)
{
    if (r->header.length > INT64_MAX)
        return -EINVAL;
    int fd = target_open(t, r, O_WRONLY, attr);
    if (fd < 0)
        return fd;
    int ret = host_ftruncate(fd, r->header.length);
    (void)host_close(fd);
    return ret;
}

static struct timespec time_to_host(const struct gofer_time *t, bool set)
{
    return (struct timespec){.tv_sec = t->sec, .tv_nsec = set ? (long)t->nsec : UTIME_OMIT};
}

static int set_times(const struct target *t, const struct gofer_request *h, int flags)
{
    struct timespec times[2] = {
        time_to_host(&h->atime, h->valid & GOFER_SET_ATIME),
        time_to_host(&h->mtime, h->valid & GOFER_SET_MTIME),
    };
    return host_utimensat(t->dir, t->name, times, flags);
}

int op_setattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    const struct gofer_request *h = &r->header;
    struct gofer_attr *attr = &out->header.attr;
    struct target t;
    if (h->valid & ~(uint32_t)GOFER_SET_ALL)
        return -EINVAL;
    int ret = target_resolve(g, r, &t);
    if (ret == 0)
        ret = target_check(&t, r, attr);
    if (ret < 0)
        return ret;
    int at = AT_SYMLINK_NOFOLLOW | (t.name[0] ? 0 : AT_EMPTY_PATH);
    if (h->valid & GOFER_SET_SIZE)
        ret = set_size(&t, r, attr);
    // First the owner, because that takes set-ID bits away, which the mode may then give.
    if (ret == 0 && h->valid & (GOFER_SET_UID | GOFER_SET_GID))
        ret = host_fchownat(t.dir, t.name, h->valid & GOFER_SET_UID ? h->uid : UINT32_MAX,
                            h->valid & GOFER_SET_GID ? h->gid : UINT32_MAX, at);
    if (ret == 0 && h->valid & GOFER_SET_MODE)
        ret = set_mode(&t, r, attr);
    if (ret == 0 && h->valid & (GOFER_SET_ATIME | GOFER_SET_MTIME))
        ret = set_times(&t, h, at);
    return ret < 0 ? ret : stat_at(t.dir, t.name, attr);
}

int op_setxattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    const char *name = (const char *)r->data;
    uint64_t size = r->header.data_size;
    uint64_t name_size = strnlen(name, MIN(size, GOFER_XATTR_NAME_MAX + 1ull));
    struct target t;
    bool close;
    if (name_size == 0 || name_size > GOFER_XATTR_NAME_MAX || name_size == size ||
        size - name_size - 1 > GOFER_XATTR_SIZE_MAX || (r->header.flags & ~3u))
        return -EINVAL;
    int ret = target_resolve(g, r, &t);
    if (ret < 0)
        return ret;
    int fd = target_xattr_fd(&t, r, &close);
    if (fd < 0)
        return fd;
    ret = host_fsetxattr(fd, name, r->data + name_size + 1, size - name_size - 1, (int)r->header.flags);
    if (close)
        (void)host_close(fd);
    return ret;
}

int op_removexattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    char name[GOFER_XATTR_NAME_MAX + 1];
    struct target t;
    bool close;
    int ret = data_text(r, GOFER_XATTR_NAME_MAX, name);
    if (ret == 0)
        ret = target_resolve(g, r, &t);
    if (ret < 0)
        return ret;
    int fd = target_xattr_fd(&t, r, &close);
    if (fd < 0)
        return fd;
    ret = host_fremovexattr(fd, name);
    if (close)
        (void)host_close(fd);
    return ret;
}

int op_sync(struct gofer *g, const struct gofer_request_view *r, struct answer *out)
{
    struct target t;
    int ret = target_resolve(g, r, &t);
    if (ret < 0)
        return ret;
    int fd = open_beneath(t.dir, t.name[0] ? t.name : ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    ret = host_fsync(fd);
    (void)host_close(fd);
    return ret;
}
