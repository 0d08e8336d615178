// getdents(2), mkdir(2), rmdir(2), mknod(2).
#include <sys/inotify.h>
#include <sys/sysmacros.h>

#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

enum { DIR_BUFFER_MAX = 32 << 10 };

static int64_t read_dir(struct task *t, struct file *f, uaddr_t buf, uint32_t count, bool legacy)
{
    const struct file_ops *ops = file_ops(f);
    struct inode *dir = f->inode;
    struct dir_emit d = {.task = t, .legacy = legacy};
    if (!ops->iterate)
        return -ENOTDIR;
    if (dir->flags & INODE_DEAD)
        return -ENOENT;
    d.size = MIN(count, DIR_BUFFER_MAX);
    d.buf = d.size ? kmalloc(d.size) : NULL;
    if (d.size && !d.buf)
        return -ENOMEM;
    file_pos_lock(f);
    d.pos = f->pos;
    int64_t r = ops->iterate(f, &d);
    if (d.used)
        r = copy_out(t, buf, d.buf, d.used);
    if (r == 0) {
        f->pos = d.pos;
        r = (int64_t)d.used;
    }
    file_pos_unlock(f);
    kfree(d.buf);
    if (r >= 0) {
        file_accessed(f);
        vfs_notify(dir, f->path.dentry, IN_ACCESS);
    }
    return r;
}

static int64_t getdents_common(struct task *t, int fd, uaddr_t buf, uint32_t count, bool legacy)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = read_dir(t, f, buf, count, legacy);
    file_unref(f);
    return r;
}

int64_t sys_getdents64(struct task *t, int fd, uaddr_t buf, uint32_t count)
{
    return getdents_common(t, fd, buf, count, false);
}

int64_t sys_getdents(struct task *t, int fd, uaddr_t buf, uint32_t count)
{
    return getdents_common(t, fd, buf, count, true);
}

int64_t sys_mkdirat(struct task *t, int dirfd, uaddr_t path, uint32_t mode)
{
    struct parent_walk w;
    int64_t r = parent_walk_begin(t, dirfd, path, &w);
    if (r < 0)
        return r;
    r = vfs_mkdir(t, &w.dir, &w.last, mode_for_create(t, w.dir.dentry->inode, mode));
    parent_walk_done(&w);
    return r;
}

int64_t sys_mkdir(struct task *t, uaddr_t path, uint32_t mode)
{
    return sys_mkdirat(t, AT_FDCWD, path, mode);
}

int64_t sys_rmdir(struct task *t, uaddr_t path)
{
    return sys_unlinkat(t, AT_FDCWD, path, AT_REMOVEDIR);
}

int64_t sys_unlinkat(struct task *t, int dirfd, uaddr_t path, int flags)
{
    struct parent_walk w;
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    int64_t r = parent_walk_begin(t, dirfd, path, &w);
    if (r < 0)
        return r;
    r = flags & AT_REMOVEDIR ? vfs_rmdir(t, &w.dir, &w.last) : vfs_unlink(t, &w.dir, &w.last);
    parent_walk_done(&w);
    return r;
}

int64_t sys_unlink(struct task *t, uaddr_t path)
{
    return sys_unlinkat(t, AT_FDCWD, path, 0);
}

// The kernel's encoding of device numbers: 12 bits of major, 20 of minor.
static uint64_t device_from_linux(uint64_t dev)
{
    uint32_t d = (uint32_t)dev;
    return makedev((d & 0xfff00) >> 8, (d & 0xff) | ((d >> 12) & 0xfff00));
}

int64_t sys_mknodat(struct task *t, int dirfd, uaddr_t path, uint32_t mode, uint64_t dev)
{
    struct parent_walk w;
    switch (mode & S_IFMT) {
    case 0:
        mode |= S_IFREG;
        break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    uint64_t rdev = S_ISCHR(mode) || S_ISBLK(mode) ? device_from_linux(dev) : 0;
    int64_t r = parent_walk_begin(t, dirfd, path, &w);
    if (r < 0)
        return r;
    r = vfs_mknod(t, &w.dir, &w.last,
                  mode_for_create(t, w.dir.dentry->inode, mode & (S_IFMT | 07777)), rdev);
    parent_walk_done(&w);
    return r;
}

int64_t sys_mknod(struct task *t, uaddr_t path, uint32_t mode, uint64_t dev)
{
    return sys_mknodat(t, AT_FDCWD, path, mode, dev);
}
