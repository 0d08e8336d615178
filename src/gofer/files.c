// How the gofer reaches a file: one component beneath a directory that it holds, never through a symbolic link, a magic link, or
// upwards. Device nodes, FIFOs and sockets are never opened, only described.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/sysmacros.h>

#include "gofer/gofer-int.h"
#include "host/host.h"

int open_beneath(int dir, const char *name, uint64_t flags, uint32_t mode)
{
    struct open_how how = {
        .flags = flags | O_NOFOLLOW | O_CLOEXEC,
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    int ret;
    // EAGAIN: a rename somewhere on the host made the walk doubtful.
    for (int tries = 0; tries < 16; tries++) {
        ret = host_openat2(dir, name, &how);
        if (ret != -EAGAIN && ret != -EINTR)
            break;
    }
    return ret;
}

static struct gofer_time time_from_host(const struct statx_timestamp *t)
{
    return (struct gofer_time){.sec = t->tv_sec, .nsec = MIN(t->tv_nsec, 999999999u)};
}

int stat_at(int dir, const char *name, struct gofer_attr *out)
{
    struct statx x;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT | (name[0] ? 0 : AT_EMPTY_PATH);
    int ret = host_statx(dir, name, flags, STATX_BASIC_STATS | STATX_BTIME, &x);
    if (ret < 0)
        return ret;
    *out = (struct gofer_attr){
        .mode = x.stx_mode,
        .uid = x.stx_uid,
        .gid = x.stx_gid,
        .nlink = x.stx_nlink,
        .ino = x.stx_ino,
        .dev = makedev(x.stx_dev_major, x.stx_dev_minor),
        .rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor),
        .size = x.stx_size,
        .blocks = x.stx_blocks,
        .atime = time_from_host(&x.stx_atime),
        .mtime = time_from_host(&x.stx_mtime),
        .ctime = time_from_host(&x.stx_ctime),
    };
    if (x.stx_mask & STATX_BTIME)
        out->btime = time_from_host(&x.stx_btime);
    return gofer_attr_ok(out) ? 0 : -EIO;
}

int target_resolve(struct gofer *g, const struct gofer_request_view *r, struct target *out)
{
    struct node *n = node_find(g, r->header.node);
    if (!n)
        return -ESTALE;
    if (r->header.name_size && !n->is_dir)
        return -ENOTDIR;
    int fd = node_fd(g, n);
    if (fd < 0)
        return fd;
    *out = (struct target){.node = n, .dir = fd, .name = r->name};
    return 0;
}

int target_check(const struct target *t, const struct gofer_request_view *r, struct gofer_attr *attr)
{
    int ret = stat_at(t->dir, t->name, attr);
    if (ret < 0)
        return ret;
    if (r->header.expect_ino && (attr->ino != r->header.expect_ino || attr->dev != r->header.expect_dev))
        return -ESTALE;
    return 0;
}

// A node without a name: a file that is open, or a root that is a file. O_PATH can't be turned into anything else here.
static int open_node(const struct target *t, int access)
{
    int flags = host_get_flags(t->dir);
    if (flags < 0)
        return flags;
    if (flags & O_PATH)
        return -EACCES;
    int have = flags & O_ACCMODE;
    if (have != O_RDWR && have != access)
        return -EACCES;
    return host_dup(t->dir, 0);
}

int target_open(const struct target *t, const struct gofer_request_view *r, int access, struct gofer_attr *attr)
{
    int ret = target_check(t, r, attr);
    if (ret < 0)
        return ret;
    if (!S_ISREG(attr->mode))
        return S_ISLNK(attr->mode) ? -ELOOP : S_ISDIR(attr->mode) ? -EISDIR : -ENXIO;
    uint64_t ino = attr->ino, dev = attr->dev;
    // Should the file have become a FIFO meanwhile, this doesn't wait.
    int fd = t->name[0] ? open_beneath(t->dir, t->name, (uint64_t)access | O_NONBLOCK | O_NOCTTY, 0) : open_node(t, access);
    if (fd < 0)
        return fd;
    ret = stat_at(fd, "", attr);
    if (ret == 0 && (attr->ino != ino || attr->dev != dev || !S_ISREG(attr->mode)))
        ret = -ESTALE;
    if (ret < 0) {
        (void)host_close(fd);
        return ret;
    }
    return fd;
}
