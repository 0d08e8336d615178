/*
 * Helpers for the AF_UNIX tests: names, a listener, a client, and messages with control data.
 */
#pragma once

#include "scratch.h"

#include <sched.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Makes a path name; the length includes the terminator. */
static inline socklen_t un_name(struct sockaddr_un *a, const char *path)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    (void)snprintf(a->sun_path, sizeof(a->sun_path), "%s", path);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

/* Makes an abstract name that no other run of the tests uses. */
static inline socklen_t un_abstract(struct sockaddr_un *a, const char *name)
{
    int n;

    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "%s-%d", name, (int)getpid());
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static inline int listener(int type, const char *path, int backlog)
{
    struct sockaddr_un a;
    socklen_t len = un_name(&a, path);
    int fd = socket(AF_UNIX, type, 0);

    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&a, len), 0);
    CHECK_EQ(listen(fd, backlog), 0);
    return fd;
}

static inline int client(int type, const char *path)
{
    struct sockaddr_un a;
    socklen_t len = un_name(&a, path);
    int fd = socket(AF_UNIX, type, 0);

    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&a, len), 0);
    return fd;
}

static inline int get_int(int fd, int level, int name)
{
    int v = -1;
    socklen_t len = sizeof(v);

    CHECK_EQ(getsockopt(fd, level, name, &v, &len), 0);
    CHECK_EQ(len, sizeof(v));
    return v;
}

/* Sends one byte with count descriptors. Returns what sendmsg returned. */
static inline ssize_t send_fds(int sock, const int *fds, size_t count)
{
    char control[CMSG_SPACE(sizeof(int) * 256)] = {0};
    char byte = 'f';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
    struct cmsghdr *c;

    m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    return sendmsg(sock, &m, MSG_NOSIGNAL);
}

/* Receives one byte and up to max descriptors; returns how many came, msg_flags through *flags. */
static inline int recv_fds(int sock, int *fds, size_t max, int recv_flags, int *flags)
{
    char control[CMSG_SPACE(sizeof(int) * 256)] = {0};
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
    struct cmsghdr *c;
    int got = 0;

    m.msg_controllen = CMSG_LEN(sizeof(int) * max);
    CHECK_EQ(recvmsg(sock, &m, recv_flags), 1);
    if (flags != NULL)
        *flags = m.msg_flags;
    for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        got = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)got * sizeof(int));
    }
    return got;
}
