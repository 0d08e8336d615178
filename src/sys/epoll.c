// epoll_create(2), epoll_ctl(2), epoll_wait(2) and its kin.
#include <sys/epoll.h>

#include "kernel/task.h"
#include "mm/copy.h"
#include "platform/platform.h"
#include "sys/sigmask.h"
#include "sys/syscalls-gen.h"
#include "sys/time-int.h"
#include "vfs/epoll.h"

// What may be combined with EPOLLEXCLUSIVE.
#define EXCLUSIVE_BITS (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

int64_t sys_epoll_create1(struct task *t, int flags)
{
    if (flags & ~EPOLL_CLOEXEC)
        return -EINVAL;
    struct file *f = epoll_create_file();
    if (!f)
        return -ENOMEM;
    int fd = fd_install(t, f, flags & EPOLL_CLOEXEC, 0);
    if (fd < 0)
        file_unref(f);
    return fd;
}

int64_t sys_epoll_create(struct task *t, int size)
{
    return size <= 0 ? -EINVAL : sys_epoll_create1(t, 0);
}

static int control(struct task *t, struct file *ep, struct file *target, int op, int fd, const struct epoll_request *r)
{
    if (!file_ops(target)->poll)
        return -EPERM;
    if (ep == target || ep->type != FILE_EPOLL)
        return -EINVAL;
    if (op != EPOLL_CTL_DEL && (r->events & EPOLLEXCLUSIVE)) {
        if (op == EPOLL_CTL_MOD)
            return -EINVAL;
        if (op == EPOLL_CTL_ADD && (target->type == FILE_EPOLL || (r->events & ~(uint32_t)EXCLUSIVE_BITS)))
            return -EINVAL;
    }
    switch (op) {
    case EPOLL_CTL_ADD:
        return epoll_add(t, ep, target, fd, r);
    case EPOLL_CTL_MOD:
        return epoll_modify(t, ep, target, fd, r);
    case EPOLL_CTL_DEL:
        return epoll_delete(t, ep, target, fd);
    default:
        return -EINVAL;
    }
}

int64_t sys_epoll_ctl(struct task *t, int epfd, int op, int fd, uaddr_t event)
{
    struct epoll_request r = {0};
    if (op != EPOLL_CTL_DEL && copy_in_value(t, &r, event) < 0)
        return -EFAULT;
    struct file *ep = fd_get_rw(t, epfd);
    struct file *target = ep ? fd_get_rw(t, fd) : NULL;
    int ret = target ? control(t, ep, target, op, fd, &r) : -EBADF;
    file_unref(target);
    file_unref(ep);
    return ret;
}

static int64_t wait_on(struct task *t, int epfd, uaddr_t events, int maxevents, nsec_t deadline)
{
    uint64_t end;
    if (maxevents <= 0 || maxevents > EPOLL_EVENTS_MAX)
        return -EINVAL;
    if (__builtin_add_overflow(events.a, (uint64_t)maxevents * sizeof(struct epoll_request), &end) ||
        end > GUEST_ADDR_MAX)
        return -EFAULT;
    struct file *ep = fd_get_rw(t, epfd);
    if (!ep)
        return -EBADF;
    int64_t ret = ep->type == FILE_EPOLL ? epoll_wait_events(t, ep, events, maxevents, deadline) : -EINVAL;
    file_unref(ep);
    return ret;
}

static nsec_t deadline_of_ms(int timeout)
{
    return timeout < 0 ? NSEC_MAX : timeout == 0 ? 0 : clock_monotonic() + timeout * 1000000ll;
}

int64_t sys_epoll_wait(struct task *t, int epfd, uaddr_t events, int maxevents, int timeout)
{
    return wait_on(t, epfd, events, maxevents, deadline_of_ms(timeout));
}

static int64_t masked_wait(struct task *t, int epfd, uaddr_t events, int maxevents, nsec_t deadline, uaddr_t sigmask,
                           uint64_t sigsetsize)
{
    int ret = sigmask_begin(t, sigmask, sigsetsize);
    if (ret < 0)
        return ret;
    int64_t n = wait_on(t, epfd, events, maxevents, deadline);
    sigmask_end(t, n == -EINTR);
    return n;
}

int64_t sys_epoll_pwait(struct task *t, int epfd, uaddr_t events, int maxevents, int timeout, uaddr_t sigmask,
                        uint64_t sigsetsize)
{
    return masked_wait(t, epfd, events, maxevents, deadline_of_ms(timeout), sigmask, sigsetsize);
}

int64_t sys_epoll_pwait2(struct task *t, int epfd, uaddr_t events, int maxevents, uaddr_t timeout, uaddr_t sigmask,
                         uint64_t sigsetsize)
{
    nsec_t deadline;
    int ret = copy_in_timeout(t, timeout, &deadline);
    if (ret < 0)
        return ret;
    return masked_wait(t, epfd, events, maxevents, deadline, sigmask, sigsetsize);
}
