// signalfd(2), signalfd4(2).
#include "vfs/signalfd.h"

#include <sys/signalfd.h>

#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/syscalls-gen.h"

int64_t sys_signalfd4(struct task *t, int fd, uaddr_t mask, uint64_t sizemask, int flags)
{
    uint64_t set;
    if (sizemask != sizeof(set))
        return -EINVAL;
    if (copy_in_value(t, &set, mask) < 0)
        return -EFAULT;
    if (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK))
        return -EINVAL;
    set &= ~SIG_UNBLOCKABLE;
    if (fd != -1) {
        struct file *f = fd_get_rw(t, fd);
        if (!f)
            return -EBADF;
        int ret = f->type == FILE_SIGNALFD ? fd : -EINVAL;
        if (ret >= 0)
            signalfd_set_mask(t, f, set);
        file_unref(f);
        return ret;
    }
    struct file *f = signalfd_create(set, (uint32_t)flags & O_NONBLOCK);
    if (!f)
        return -ENOMEM;
    fd = fd_install(t, f, flags & SFD_CLOEXEC, 0);
    if (fd < 0)
        file_unref(f);
    return fd;
}

int64_t sys_signalfd(struct task *t, int fd, uaddr_t mask, uint64_t sizemask)
{
    return sys_signalfd4(t, fd, mask, sizemask, 0);
}
