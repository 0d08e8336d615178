// chmod(2), chown(2), umask(2), truncate(2), utimensat(2).
#include <sys/inotify.h>
#include <sys/time.h>

#include "abi/time.h"
#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

static uint32_t flags_to_lookup(int flags)
{
    return (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
           (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
}

// ---- Mode ----

int64_t sys_fchmodat2(struct task *t, int dirfd, uaddr_t path, uint32_t mode, int flags)
{
    struct path p;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int64_t r = path_lookup_user(t, dirfd, path, flags_to_lookup(flags), &p);
    if (r < 0)
        return r;
    r = vfs_chmod(t, &p, mode);
    path_put(&p);
    return r;
}

int64_t sys_fchmodat(struct task *t, int dirfd, uaddr_t path, uint32_t mode)
{
    return sys_fchmodat2(t, dirfd, path, mode, 0);
}

int64_t sys_chmod(struct task *t, uaddr_t path, uint32_t mode)
{
    return sys_fchmodat2(t, AT_FDCWD, path, mode, 0);
}

int64_t sys_fchmod(struct task *t, int fd, uint32_t mode)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = vfs_chmod(t, &f->path, mode);
    file_unref(f);
    return r;
}

int64_t sys_umask(struct task *t, uint32_t mask)
{
    struct fs_context *fs = t->fs;
    lock_take(&fs->lock);
    uint32_t old = fs->umask;
    fs->umask = mask & 0777;
    lock_release(&fs->lock);
    return old;
}

// ---- Owner ----

int64_t sys_fchownat(struct task *t, int dirfd, uaddr_t path, uint32_t uid, uint32_t gid, int flags)
{
    struct path p;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int64_t r = path_lookup_user(t, dirfd, path, flags_to_lookup(flags), &p);
    if (r < 0)
        return r;
    r = vfs_chown(t, &p, uid, gid);
    path_put(&p);
    return r;
}

int64_t sys_chown(struct task *t, uaddr_t path, uint32_t uid, uint32_t gid)
{
    return sys_fchownat(t, AT_FDCWD, path, uid, gid, 0);
}

int64_t sys_lchown(struct task *t, uaddr_t path, uint32_t uid, uint32_t gid)
{
    return sys_fchownat(t, AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int64_t sys_fchown(struct task *t, int fd, uint32_t uid, uint32_t gid)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = vfs_chown(t, &f->path, uid, gid);
    file_unref(f);
    return r;
}

// ---- Size ----

int64_t sys_truncate(struct task *t, uaddr_t path, int64_t length)
{
    struct path p;
    if (length < 0)
        return -EINVAL;
    int64_t r = path_lookup_user(t, AT_FDCWD, path, LOOKUP_FOLLOW, &p);
    if (r < 0)
        return r;
    struct inode *inode = p.dentry->inode;
    if (inode_is_dir(inode))
        r = -EISDIR;
    else if (!S_ISREG(inode->mode))
        r = -EINVAL;
    else if ((r = mount_want_write(p.mount)) == 0 &&
             (r = inode_permission(inode, t->cred, 2)) == 0 &&
             (r = file_get_write_access(inode)) == 0) {
        r = vfs_truncate(t, inode, (uint64_t)length);
        file_put_write_access(inode);
        if (r == 0)
            vfs_notify(inode, p.dentry, IN_MODIFY);
    }
    path_put(&p);
    return r;
}

int64_t sys_ftruncate(struct task *t, int fd, int64_t length)
{
    if (length < 0)
        return -EINVAL;
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = file_truncate(f, (uint64_t)length);
    file_unref(f);
    return r;
}

int64_t sys_fallocate(struct task *t, int fd, int mode, int64_t offset, int64_t len)
{
    int64_t end;
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    const struct file_ops *ops = file_ops(f);
    int64_t r;
    if (offset < 0 || len <= 0)
        r = -EINVAL;
    else if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
                      FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE))
        r = -EOPNOTSUPP;
    else if ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE))
        r = -EOPNOTSUPP;
    else if (!f->writable)
        r = -EBADF;
    else if (S_ISFIFO(f->inode->mode))
        r = -ESPIPE;
    else if (inode_is_dir(f->inode))
        r = -EISDIR;
    else if (!S_ISREG(f->inode->mode))
        r = -ENODEV;
    else if (__builtin_add_overflow(offset, len, &end) || (uint64_t)end > f->inode->sb->max_size)
        r = -EFBIG;
    else
        r = ops->allocate ? ops->allocate(f, mode, (uint64_t)offset, (uint64_t)len) : -EOPNOTSUPP;
    if (r == 0)
        vfs_notify(f->inode, f->path.dentry, IN_MODIFY);
    file_unref(f);
    return r;
}

// ---- Times ----

// One place for all: path NULL names dirfd itself.
static int64_t set_times(struct task *t, int dirfd, uaddr_t path, const struct timespec64 times[2],
                         int flags)
{
    struct path p;
    int64_t r;
    if (!path.a && dirfd != AT_FDCWD) {
        if (flags & ~AT_EMPTY_PATH)
            return -EINVAL;
        struct file *f = fd_get_rw(t, dirfd);
        if (!f)
            return -EBADF;
        r = vfs_utimes(t, &f->path, times);
        file_unref(f);
        return r;
    }
    r = path_lookup_user(t, dirfd, path, flags_to_lookup(flags), &p);
    if (r < 0)
        return r;
    r = vfs_utimes(t, &p, times);
    path_put(&p);
    return r;
}

int64_t sys_utimensat(struct task *t, int dirfd, uaddr_t path, uaddr_t times, int flags)
{
    struct {
        int64_t sec, nsec;
    } in[2];
    struct timespec64 ts[2];
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (!times.a)
        return set_times(t, dirfd, path, NULL, flags);
    int r = copy_in(t, in, times, sizeof(in));
    if (r < 0)
        return r;
    for (int i = 0; i < 2; i++) {
        if (in[i].nsec != UTIME_NOW && in[i].nsec != UTIME_OMIT &&
            (uint64_t)in[i].nsec >= NSEC_PER_SEC)
            return -EINVAL;
        ts[i] = (struct timespec64){.sec = in[i].sec, .nsec = (uint32_t)in[i].nsec};
    }
    if (in[0].nsec == UTIME_OMIT && in[1].nsec == UTIME_OMIT)
        return 0; // without a look at the path, as Linux does
    return set_times(t, dirfd, path, ts, flags);
}

static int64_t set_timevals(struct task *t, int dirfd, uaddr_t path, uaddr_t times)
{
    struct {
        int64_t sec, usec;
    } in[2];
    struct timespec64 ts[2];
    if (!times.a)
        return set_times(t, dirfd, path, NULL, 0);
    int r = copy_in(t, in, times, sizeof(in));
    if (r < 0)
        return r;
    for (int i = 0; i < 2; i++) {
        if ((uint64_t)in[i].usec >= 1000000)
            return -EINVAL;
        ts[i] = (struct timespec64){.sec = in[i].sec, .nsec = (uint32_t)in[i].usec * 1000};
    }
    return set_times(t, dirfd, path, ts, 0);
}

int64_t sys_futimesat(struct task *t, int dirfd, uaddr_t path, uaddr_t times)
{
    return set_timevals(t, dirfd, path, times);
}

int64_t sys_utimes(struct task *t, uaddr_t path, uaddr_t times)
{
    return set_timevals(t, AT_FDCWD, path, times);
}

int64_t sys_utime(struct task *t, uaddr_t path, uaddr_t times)
{
    int64_t in[2];
    struct timespec64 ts[2];
    if (!times.a)
        return set_times(t, AT_FDCWD, path, NULL, 0);
    int r = copy_in(t, in, times, sizeof(in));
    if (r < 0)
        return r;
    ts[0] = (struct timespec64){.sec = in[0]};
    ts[1] = (struct timespec64){.sec = in[1]};
    return set_times(t, AT_FDCWD, path, ts, 0);
}
