// Host calls that wait for descriptors, and messages on sockets.

#include "host/host-int.h"
#include <sys/time.h>
#include <poll.h>

int host_ppoll(struct pollfd *fds, uint32_t count, struct timespec *timeout)
{
    return (int)HOST_ENTER5(ppoll, fds, count, timeout, NULL, 0);
}

int host_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    return (int)HOST_ENTER4(epoll_ctl, epoll, op, fd, event);
}

int host_epoll_create(void)
{
    return (int)host_syscall1(SYS_epoll_create1, EPOLL_CLOEXEC);
}

int host_socket_timeout(int fd, int milliseconds)
{
    struct timeval tv = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    long r = host_syscall5(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&tv, sizeof(tv));
    return (int)(r < 0 ? r : host_syscall5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&tv, sizeof(tv)));
}

int host_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
    return (int)HOST_ENTER6(epoll_pwait, epoll, events, count, timeout_ms, NULL, 0);
}

int64_t host_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    return HOST_ENTER3(sendmsg, fd, msg, flags);
}

int64_t host_recvmsg(int fd, struct msghdr *msg, int flags)
{
    return HOST_ENTER3(recvmsg, fd, msg, flags);
}
