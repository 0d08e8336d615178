// pipe(2), pipe2(2).
#include "vfs/pipe.h"

#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/syscalls-gen.h"

static int reserve_two(struct task *t, bool cloexec, int fds[2])
{
    for (int i = 0; i < 2; i++) {
        fds[i] = fd_reserve(t, cloexec, 0);
        if (fds[i] < 0) {
            if (i == 1)
                fd_unreserve(t, fds[0]);
            return fds[i];
        }
    }
    return 0;
}

int64_t sys_pipe2(struct task *t, uaddr_t out, int flags)
{
    struct file *files[2];
    int fds[2];
    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    int ret = reserve_two(t, flags & O_CLOEXEC, fds);
    if (ret < 0)
        return ret;
    ret = pipe_create((uint32_t)flags, files);
    if (ret == 0 && (ret = copy_out(t, out, fds, sizeof(fds))) < 0) {
        file_unref(files[0]);
        file_unref(files[1]);
    }
    for (int i = 0; i < 2; i++) {
        if (ret == 0)
            fd_publish(t, fds[i], files[i]);
        else
            fd_unreserve(t, fds[i]);
    }
    return ret;
}

int64_t sys_pipe(struct task *t, uaddr_t fds)
{
    return sys_pipe2(t, fds, 0);
}
