// fcntl(2).
//
// DEVIATION: fcntl: no leases and no directory notification (F_SETLEASE, F_NOTIFY): EINVAL, as a kernel that was
// built without them. Read-write hints (F_GET_RW_HINT and the like) are kept nowhere: EINVAL.
#include <linux/capability.h>

#include "fs/tmpfs/tmpfs.h"
#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"
#include "vfs/hooks.h"

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif
#define SETTABLE (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)

int file_set_flags(struct task *t, struct file *f, uint32_t flags)
{
    const struct file_ops *ops = file_ops(f);
    uint32_t old = f->flags, new = (old & ~(uint32_t)SETTABLE) | (flags & SETTABLE);
    if ((new &O_NOATIME) && !(old & O_NOATIME) && !inode_owner_or_capable(f->inode, t->cred))
        return -EPERM;
    if (ops->set_flags) {
        int r = ops->set_flags(f, new);
        if (r < 0)
            return r;
    }
    __atomic_store_n((uint32_t *)&f->flags, new, __ATOMIC_RELEASE);
    return 0;
}

// ---- F_SETOWN and its kin; see vfs/async.c ----

struct linux_owner_ex {
    int32_t type, pid;
};
enum { OWNER_TID, OWNER_PID, OWNER_PGRP };

static int set_owner(struct file *f, uint32_t kind, int32_t owner)
{
    bool exists = owner == 0;
    if (kind == OWNER_TID && owner) {
        struct task *t = task_find((uint32_t)owner);
        exists = t != NULL;
        task_unref(t);
    } else if (kind == OWNER_PID && owner) {
        struct thread_group *g = thread_group_find((uint32_t)owner);
        exists = g != NULL;
        thread_group_unref(g);
    } else if (owner) {
        struct kernel *k = the_kernel();
        lock_take(&k->tasks_lock);
        exists = process_group_find_locked((uint32_t)owner) != NULL;
        lock_release(&k->tasks_lock);
    }
    if (!exists)
        return -ESRCH;
    lock_take(&f->inode->lock);
    f->owner_kind = kind;
    f->owner = owner;
    lock_release(&f->inode->lock);
    return 0;
}

static int64_t set_owner_number(struct file *f, int32_t owner)
{
    if (owner == INT32_MIN)
        return -EINVAL;
    return owner < 0 ? set_owner(f, OWNER_PGRP, -owner) : set_owner(f, OWNER_PID, owner);
}

static int64_t owner_ex(struct task *t, struct file *f, uint32_t cmd, uaddr_t arg)
{
    struct linux_owner_ex o;
    if (cmd == F_SETOWN_EX) {
        int r = copy_in_value(t, &o, arg);
        if (r < 0)
            return r;
        return o.type < OWNER_TID || o.type > OWNER_PGRP || o.pid < 0
                   ? -EINVAL
                   : set_owner(f, (uint32_t)o.type, o.pid);
    }
    lock_take(&f->inode->lock);
    o = (struct linux_owner_ex){.type = (int32_t)f->owner_kind, .pid = f->owner};
    lock_release(&f->inode->lock);
    return copy_out_value(t, arg, &o);
}

// ---- Locks ----

static int64_t record_lock(struct task *t, int fd, struct file *f, uint32_t cmd, uaddr_t arg)
{
    struct flock l;
    bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
    int64_t r = copy_in_value(t, &l, arg);
    if (r < 0)
        return r;
    if (cmd == F_GETLK || cmd == F_OFD_GETLK) {
        r = file_lock_get(t, f, &l, ofd);
        return r < 0 ? r : copy_out_value(t, arg, &l);
    }
    r = file_lock_set(t, f, &l, ofd, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
    // A close by another thread while this one waited has missed the lock.
    if (r == 0 && !ofd && l.l_type != F_UNLCK && refcount_read(&t->files->refs) > 1) {
        struct file *now = fd_get(t, fd);
        if (now != f) {
            file_locks_close(t->files, f);
            r = -EBADF;
        }
        file_unref(now);
    }
    return r;
}

static int64_t dup_from(struct task *t, struct file *f, uint64_t min, bool cloexec)
{
    if (min >= task_rlimit(t, RLIMIT_NOFILE) || min > INT32_MAX)
        return -EINVAL;
    int fd = fd_install(t, file_ref(f), cloexec, (int)min);
    if (fd < 0)
        file_unref(f);
    return fd;
}

// What O_PATH descriptors allow too.
static bool for_path(uint32_t cmd)
{
    return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC || cmd == F_GETFD || cmd == F_SETFD ||
           cmd == F_GETFL || cmd == F_DUPFD_QUERY;
}

static int64_t same_file(struct task *t, struct file *f, int other)
{
    struct file *g = fd_get(t, other);
    if (!g)
        return -EBADF;
    int64_t r = f == g;
    file_unref(g);
    return r;
}

static int64_t descriptor_command(struct task *t, int fd, struct file *f, uint32_t cmd,
                                  uint64_t arg)
{
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return dup_from(t, f, arg, cmd == F_DUPFD_CLOEXEC);
    case F_GETFD: {
        int r = fd_get_cloexec(t, fd);
        return r < 0 ? r : r ? FD_CLOEXEC : 0;
    }
    case F_SETFD:
        return fd_set_cloexec(t, fd, arg & FD_CLOEXEC);
    case F_GETFL:
        return f->flags;
    default:
        return same_file(t, f, (int)arg);
    }
}

static int64_t file_command(struct task *t, int fd, struct file *f, uint32_t cmd, uint64_t arg)
{
    switch (cmd) {
    case F_SETFL:
        if (((uint32_t)arg & O_ASYNC) && !(f->flags & O_ASYNC))
            f->async_fd = fd;
        return file_set_flags(t, f, (uint32_t)arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return record_lock(t, fd, f, cmd, UADDR(arg));
    case F_SETOWN:
        return set_owner_number(f, (int32_t)arg);
    case F_GETOWN:
        return f->owner_kind == OWNER_PGRP ? -f->owner : f->owner;
    case F_SETOWN_EX:
    case F_GETOWN_EX:
        return owner_ex(t, f, cmd, UADDR(arg));
    case F_SETSIG:
        if (arg > SIGNAL_COUNT)
            return -EINVAL;
        f->owner_signal = (uint32_t)arg;
        return 0;
    case F_GETSIG:
        return f->owner_signal;
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
        if (f->type != FILE_PIPE || !pipe_fcntl_size)
            return -EBADF;
        return pipe_fcntl_size(t, f, cmd == F_SETPIPE_SZ, arg);
    case F_GETLEASE:
        return F_UNLCK;
    case F_ADD_SEALS:
        return tmpfs_add_seals(f, (uint32_t)arg);
    case F_GET_SEALS:
        return tmpfs_get_seals(f);
    default:
        return -EINVAL;
    }
}

int64_t sys_fcntl(struct task *t, int fd, uint32_t cmd, uint64_t arg)
{
    struct file *f = fd_get(t, fd);
    int64_t r;
    if (!f)
        return -EBADF;
    if (for_path(cmd))
        r = descriptor_command(t, fd, f, cmd, arg);
    else if (f->type == FILE_PATH)
        r = -EBADF;
    else
        r = file_command(t, fd, f, cmd, arg);
    file_unref(f);
    return r;
}
