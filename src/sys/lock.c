// flock(2).
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

int64_t sys_flock(struct task *t, int fd, uint32_t cmd)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = file_flock(t, f, (int)cmd);
    file_unref(f);
    return r;
}
