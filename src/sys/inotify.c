// inotify_init(2), inotify_init1(2), inotify_add_watch(2), inotify_rm_watch(2).
#include "vfs/inotify.h"

#include <sys/inotify.h>

#include "kernel/task.h"
#include "sys/syscalls-gen.h"

#define FLAG_BITS (IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT)
#define VALID_BITS (IN_ALL_EVENTS | FLAG_BITS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED)

int64_t sys_inotify_init1(struct task *t, int flags)
{
    int error;
    if (flags & ~(IN_CLOEXEC | IN_NONBLOCK))
        return -EINVAL;
    struct file *f = inotify_create(t, (uint32_t)flags & O_NONBLOCK, &error);
    if (!f)
        return error;
    int fd = fd_install(t, f, flags & IN_CLOEXEC, 0);
    if (fd < 0)
        file_unref(f);
    return fd;
}

int64_t sys_inotify_init(struct task *t)
{
    return sys_inotify_init1(t, 0);
}

static int get_instance(struct task *t, int fd, struct file **ret)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    if (f->type != FILE_INOTIFY) {
        file_unref(f);
        return -EINVAL;
    }
    *ret = f;
    return 0;
}

int64_t sys_inotify_add_watch(struct task *t, int fd, uaddr_t name, uint32_t mask)
{
    struct path path;
    struct file *f;
    if ((mask & ~(uint32_t)VALID_BITS) || !(mask & VALID_BITS))
        return -EINVAL;
    if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE))
        return -EINVAL;
    int ret = get_instance(t, fd, &f);
    if (ret < 0)
        return ret;
    uint32_t lookup = (mask & IN_DONT_FOLLOW ? 0 : LOOKUP_FOLLOW) | (mask & IN_ONLYDIR ? LOOKUP_DIRECTORY : 0);
    ret = path_lookup_user(t, AT_FDCWD, name, lookup, &path);
    if (ret == 0) {
        ret = inode_permission(path.dentry->inode, t->cred, 4);
        if (ret == 0)
            ret = inotify_add(t, f, path.dentry->inode, mask);
        path_put(&path);
    }
    file_unref(f);
    return ret;
}

int64_t sys_inotify_rm_watch(struct task *t, int fd, int wd)
{
    struct file *f;
    int ret = get_instance(t, fd, &f);
    if (ret < 0)
        return ret;
    ret = inotify_remove(f, wd);
    file_unref(f);
    return ret;
}
