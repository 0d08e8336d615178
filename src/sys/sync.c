// sync(2), fsync(2), sync_file_range(2), posix_fadvise(2), readahead(2).
#include <fcntl.h>

#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

static int sync_super(struct super_block *sb)
{
    const struct super_ops *ops = super_ops(sb);
    return ops->sync ? ops->sync(sb) : 0;
}

// The super block of the mount with the lowest id above *id, with a reference: file systems may not be asked with the lock held.
static struct super_block *next_super(struct mount_ns *ns, uint32_t *id)
{
    struct mount *m, *best = NULL;
    lock_take(&ns->lock);
    list_for_each (m, &ns->mounts, node) {
        if (m->id > *id && (!best || m->id < best->id))
            best = m;
    }
    struct super_block *sb = best ? best->sb : NULL;
    if (sb) {
        refcount_get(&sb->refs);
        *id = best->id;
    }
    lock_release(&ns->lock);
    return sb;
}

int64_t sys_sync(struct task *t)
{
    uint32_t id = 0;
    struct super_block *sb;
    while ((sb = next_super(t->fs->ns, &id))) {
        (void)sync_super(sb);
        super_unref(sb);
    }
    return 0;
}

int64_t sys_syncfs(struct task *t, int fd)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = sync_super(f->inode->sb);
    file_unref(f);
    return r;
}

static int64_t sync_fd(struct task *t, int fd, bool data_only)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = vfs_sync_file(f, data_only, 0, UINT64_MAX);
    file_unref(f);
    return r;
}

int64_t sys_fsync(struct task *t, int fd)
{
    return sync_fd(t, fd, false);
}

int64_t sys_fdatasync(struct task *t, int fd)
{
    return sync_fd(t, fd, true);
}

int64_t sys_sync_file_range(struct task *t, int fd, int64_t offset, int64_t count, uint32_t flags)
{
    int64_t end;
    if ((flags & ~(uint32_t)(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                             SYNC_FILE_RANGE_WAIT_AFTER)) ||
        offset < 0 || count < 0 || __builtin_add_overflow(offset, count, &end))
        return -EINVAL;
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = 0;
    if (!S_ISREG(f->inode->mode) && !S_ISDIR(f->inode->mode))
        r = -ESPIPE;
    else if (flags & SYNC_FILE_RANGE_WRITE)
        r = vfs_sync_file(f, true, (uint64_t)offset, count ? (uint64_t)count : UINT64_MAX);
    file_unref(f);
    return r;
}

// Advice has no effect on files in memory, and the host keeps its own counsel about its page cache.
int64_t sys_fadvise64(struct task *t, int fd, int64_t offset, int64_t len, int advice)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = 0;
    if (S_ISFIFO(f->inode->mode))
        r = -ESPIPE;
    else if (len < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE)
        r = -EINVAL;
    file_unref(f);
    return r;
}

int64_t sys_readahead(struct task *t, int fd, int64_t offset, uint64_t count)
{
    struct file *f = fd_get_rw(t, fd);
    int64_t r = 0;
    if (!f || !f->readable)
        r = -EBADF;
    else if (!S_ISREG(f->inode->mode))
        r = -EINVAL;
    file_unref(f);
    return r;
}
