// eventfd(2).
#include <sys/eventfd.h>

#include "kernel/task.h"
#include "sys/syscalls-gen.h"
#include "vfs/eventfd.h"

int64_t sys_eventfd2(struct task *t, uint32_t initval, int flags)
{
    if (flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK))
        return -EINVAL;
    struct file *f = eventfd_create(initval, flags & EFD_SEMAPHORE, (uint32_t)flags & O_NONBLOCK);
    if (!f)
        return -ENOMEM;
    int fd = fd_install(t, f, flags & EFD_CLOEXEC, 0);
    if (fd < 0)
        file_unref(f);
    return fd;
}

int64_t sys_eventfd(struct task *t, uint32_t initval)
{
    return sys_eventfd2(t, initval, 0);
}
