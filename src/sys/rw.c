// read(2), write(2) and their kin, lseek(2), ioctl(2).
//
// A descriptor of a table that is not shared is borrowed for the call without a reference: only this thread could close it.
// The position's lock is skipped when nobody else has the open file.
//
// DEVIATION: preadv2: RWF_NOWAIT is EOPNOTSUPP except for regular files and pipes; RWF_HIPRI has no effect; RWF_ATOMIC is
// EOPNOTSUPP.
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

// ---- With the file's position ----

static bool position_is_shared(struct task *t, const struct file *f, bool borrowed)
{
    // The table's reference, and the caller's when it took one.
    return f->pos_shared && (!borrowed || refcount_read(&f->refs) > 1);
}

static int64_t rw_at_position(struct task *t, struct file *f, struct uio *u, bool write,
                              bool borrowed)
{
    bool lock = position_is_shared(t, f, borrowed);
    if (lock)
        lock_take(&f->pos_lock);
    uint64_t pos = f->pos;
    u->flags |= UIO_AT_POSITION;
    int64_t n = write ? vfs_write(t, f, u, &pos) : vfs_read(t, f, u, &pos);
    if (n >= 0 && f->seekable)
        f->pos = pos;
    if (lock)
        lock_release(&f->pos_lock);
    if (n > 0 && write && (f->flags & O_DSYNC))
        (void)vfs_sync_file(f, !(f->flags & (O_SYNC & ~O_DSYNC)), pos - (uint64_t)n, (uint64_t)n);
    return n;
}

static int64_t rw_one(struct task *t, int fd, uaddr_t buf, uint64_t count, bool write)
{
    struct uio u;
    struct uio_segment one;
    bool borrowed;
    struct file *f = fd_borrow(t, fd, &borrowed);
    if (!f)
        return -EBADF;
    int64_t n = -EINVAL;
    if (!(write ? f->writable : f->readable))
        n = -EBADF;
    else if ((int64_t)count >= 0) {
        uio_init_user(&u, t, &one, buf, count);
        n = rw_at_position(t, f, &u, write, borrowed);
    }
    fd_return(f, borrowed);
    return n;
}

int64_t sys_read(struct task *t, int fd, uaddr_t buf, uint64_t count)
{
    return rw_one(t, fd, buf, count, false);
}

int64_t sys_write(struct task *t, int fd, uaddr_t buf, uint64_t count)
{
    return rw_one(t, fd, buf, count, true);
}

// ---- With a position of the call's own, and vectors ----

static int64_t rw_at(struct task *t, struct file *f, struct uio *u, uint64_t pos, bool write)
{
    if (!(write ? f->writable : f->readable))
        return -EBADF;
    if (!f->seekable)
        return -ESPIPE;
    int64_t n = write ? vfs_write(t, f, u, &pos) : vfs_read(t, f, u, &pos);
    if (n > 0 && write && (f->flags & O_DSYNC))
        (void)vfs_sync_file(f, !(f->flags & (O_SYNC & ~O_DSYNC)), pos - (uint64_t)n, (uint64_t)n);
    return n;
}

static int64_t rw_one_at(struct task *t, int fd, uaddr_t buf, uint64_t count, int64_t offset,
                         bool write)
{
    struct uio u;
    struct uio_segment one;
    bool borrowed;
    if (offset < 0)
        return -EINVAL;
    struct file *f = fd_borrow(t, fd, &borrowed);
    if (!f)
        return -EBADF;
    int64_t n = -EINVAL;
    if ((int64_t)count >= 0) {
        uio_init_user(&u, t, &one, buf, count);
        n = rw_at(t, f, &u, (uint64_t)offset, write);
    }
    fd_return(f, borrowed);
    return n;
}

int64_t sys_pread64(struct task *t, int fd, uaddr_t buf, uint64_t count, int64_t offset)
{
    return rw_one_at(t, fd, buf, count, offset, false);
}

int64_t sys_pwrite64(struct task *t, int fd, uaddr_t buf, uint64_t count, int64_t offset)
{
    return rw_one_at(t, fd, buf, count, offset, true);
}

static int flags_to_uio(const struct file *f, int flags, bool write, uint32_t *ret)
{
    int known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND;
    *ret = 0;
    if (flags & ~known)
        return -EOPNOTSUPP;
    if ((flags & (RWF_APPEND | RWF_NOAPPEND)) && !write)
        return -EOPNOTSUPP;
    if ((flags & RWF_APPEND) && (flags & RWF_NOAPPEND))
        return -EINVAL;
    if ((flags & RWF_NOAPPEND) && (f->flags & O_APPEND))
        return -EOPNOTSUPP;
    if (flags & RWF_APPEND)
        *ret |= UIO_APPEND;
    if (flags & RWF_NOWAIT) {
        if (!S_ISREG(f->inode->mode) && f->type != FILE_PIPE)
            return -EOPNOTSUPP;
        *ret |= UIO_NOWAIT;
    }
    return 0;
}

// offset -1: the file's position.
static int64_t rw_vector(struct task *t, int fd, uaddr_t iov, int64_t count, int64_t offset,
                         int flags, bool write)
{
    struct uio_segment fixed[8], *segments = fixed;
    struct uio u;
    bool borrowed;
    uint32_t uio_flags;
    if (offset < -1)
        return -EINVAL;
    struct file *f = fd_borrow(t, fd, &borrowed);
    if (!f)
        return -EBADF;
    int64_t n =
        !(write ? f->writable : f->readable) ? -EBADF : flags_to_uio(f, flags, write, &uio_flags);
    if (n == 0 && offset >= 0 && !f->seekable)
        n = -ESPIPE;
    if (n == 0)
        n = uio_init_iovec(&u, t, iov, count, fixed, &segments);
    if (n == 0) {
        u.flags = uio_flags;
        if (offset == -1)
            n = rw_at_position(t, f, &u, write, borrowed);
        else
            n = rw_at(t, f, &u, (uint64_t)offset, write);
        if (n > 0 && (flags & (RWF_DSYNC | RWF_SYNC)))
            (void)vfs_sync_file(f, !(flags & RWF_SYNC), 0, UINT64_MAX);
    }
    if (segments != fixed)
        kfree(segments);
    fd_return(f, borrowed);
    return n;
}

int64_t sys_readv(struct task *t, int fd, uaddr_t iov, int64_t count)
{
    return rw_vector(t, fd, iov, count, -1, 0, false);
}

int64_t sys_writev(struct task *t, int fd, uaddr_t iov, int64_t count)
{
    return rw_vector(t, fd, iov, count, -1, 0, true);
}

int64_t sys_preadv(struct task *t, int fd, uaddr_t iov, int64_t count, uint64_t pos_low,
                   uint64_t pos_high)
{
    return (int64_t)pos_low < 0 ? -EINVAL
                                : rw_vector(t, fd, iov, count, (int64_t)pos_low, 0, false);
}

int64_t sys_pwritev(struct task *t, int fd, uaddr_t iov, int64_t count, uint64_t pos_low,
                    uint64_t pos_high)
{
    return (int64_t)pos_low < 0 ? -EINVAL : rw_vector(t, fd, iov, count, (int64_t)pos_low, 0, true);
}

int64_t sys_preadv2(struct task *t, int fd, uaddr_t iov, int64_t count, uint64_t pos_low,
                    uint64_t pos_high, int flags)
{
    return rw_vector(t, fd, iov, count, (int64_t)pos_low, flags, false);
}

int64_t sys_pwritev2(struct task *t, int fd, uaddr_t iov, int64_t count, uint64_t pos_low,
                     uint64_t pos_high, int flags)
{
    return rw_vector(t, fd, iov, count, (int64_t)pos_low, flags, true);
}

// ---- lseek(2) ----

int64_t sys_lseek(struct task *t, int fd, int64_t offset, int whence)
{
    bool borrowed;
    struct file *f = fd_borrow(t, fd, &borrowed);
    if (!f || f->type == FILE_PATH) {
        if (f)
            fd_return(f, borrowed);
        return -EBADF;
    }
    const struct file_ops *ops = file_ops(f);
    int64_t r;
    if (whence < 0 || whence > SEEK_HOLE) {
        r = -EINVAL;
    } else if (!f->seekable) {
        r = -ESPIPE;
    } else {
        bool lock = position_is_shared(t, f, borrowed);
        if (lock)
            lock_take(&f->pos_lock);
        r = ops->seek ? ops->seek(f, offset, whence)
                      : generic_seek(f, offset, whence, LOAD_RELAXED(f->inode->size));
        if (lock)
            lock_release(&f->pos_lock);
    }
    fd_return(f, borrowed);
    return r;
}

// ---- ioctl(2): what is the same for all files ----

static int64_t ioctl_flag(struct task *t, struct file *f, uint32_t flag, uint64_t arg)
{
    int on;
    int r = copy_in_value(t, &on, UADDR(arg));
    if (r < 0)
        return r;
    return file_set_flags(t, f, on ? f->flags | flag : f->flags & ~flag);
}

static int64_t ioctl_regular(struct task *t, struct file *f, uint32_t cmd, uint64_t arg)
{
    if (cmd == FIONREAD) {
        int64_t left = (int64_t)LOAD_RELAXED(f->inode->size) - (int64_t)f->pos;
        int value = (int)MIN(MAX(left, 0), INT32_MAX);
        return copy_out_value(t, UADDR(arg), &value);
    }
    if (cmd == FICLONE || cmd == FICLONERANGE || cmd == FIDEDUPERANGE)
        return -EOPNOTSUPP;
    return -ENOTTY;
}

int64_t sys_ioctl(struct task *t, int fd, uint32_t cmd, uint64_t arg)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    const struct file_ops *ops = file_ops(f);
    int block_size = (int)PAGE_SIZE;
    int64_t r;
    switch (cmd) {
    case FIOCLEX:
        r = fd_set_cloexec(t, fd, true);
        break;
    case FIONCLEX:
        r = fd_set_cloexec(t, fd, false);
        break;
    case FIONBIO:
        r = ioctl_flag(t, f, O_NONBLOCK, arg);
        break;
    case FIOASYNC:
        r = ioctl_flag(t, f, O_ASYNC, arg);
        break;
    case FIGETBSZ:
        r = S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode)
                ? copy_out_value(t, UADDR(arg), &block_size)
                : -ENOTTY;
        break;
    default:
        r = ops->ioctl ? ops->ioctl(f, t, cmd, arg) : -ENOTTY;
        if (r == -ENOTTY && S_ISREG(f->inode->mode))
            r = ioctl_regular(t, f, cmd, arg);
        break;
    }
    file_unref(f);
    return r;
}
