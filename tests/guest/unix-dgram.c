/*
 * AF_UNIX datagrams, and what all the types share: message batches, truncation, credentials,
 * passed descriptors and their corner cases, and socket options.
 */
#include "unix-util.h"

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static int dgram(const char *path)
{
    struct sockaddr_un a;
    socklen_t len = un_name(&a, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (void *)&a, len), 0);
    return fd;
}

TEST(sendto_and_recvfrom)
{
    struct sockaddr_un to, from;
    socklen_t len, flen = sizeof(from);
    char buf[16];
    int a, b;

    scratch();
    a = dgram("a");
    b = dgram("b");
    len = un_name(&to, "b");
    CHECK_EQ(sendto(a, "hello", 5, 0, (void *)&to, len), 5);
    CHECK_EQ(sendto(a, "", 0, 0, (void *)&to, len), 0);
    CHECK_EQ(recvfrom(b, buf, 16, 0, (void *)&from, &flen), 5);
    CHECK_EQ(flen, offsetof(struct sockaddr_un, sun_path) + 2);
    CHECK(strcmp(from.sun_path, "a") == 0);
    CHECK_EQ(recvfrom(b, buf, 16, MSG_DONTWAIT, NULL, NULL), 0);
    CHECK_ERRNO(recv(b, buf, 16, MSG_DONTWAIT), EAGAIN);
    /* A sender without a name has no address. */
    int c = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(sendto(c, "x", 1, 0, (void *)&to, len), 1);
    flen = sizeof(from);
    CHECK_EQ(recvfrom(b, buf, 16, 0, (void *)&from, &flen), 1);
    CHECK_EQ(flen, 0);
}

TEST(connected_datagrams)
{
    struct sockaddr_un to = {.sun_family = AF_UNSPEC};
    socklen_t len;
    char buf[16];
    int a, b, c;

    scratch();
    a = dgram("a");
    b = dgram("b");
    c = dgram("c");
    CHECK_ERRNO(send(a, "x", 1, 0), ENOTCONN);
    len = un_name(&to, "b");
    CHECK_EQ(connect(a, (void *)&to, len), 0);
    CHECK_EQ(send(a, "one", 3, 0), 3);
    CHECK_EQ(recv(b, buf, 16, 0), 3);
    /* b is connected to c: it hears nobody else. */
    len = un_name(&to, "c");
    CHECK_EQ(connect(b, (void *)&to, len), 0);
    CHECK_ERRNO(send(a, "no", 2, 0), EPERM);
    len = un_name(&to, "b");
    CHECK_ERRNO(connect(a, (void *)&to, len), EPERM);
    to.sun_family = AF_UNSPEC;
    CHECK_EQ(connect(b, (void *)&to, sizeof(to)), 0);
    CHECK_ERRNO(send(b, "x", 1, 0), ENOTCONN);
    CHECK_EQ(send(a, "yes", 3, 0), 3);
    CHECK_EQ(recv(b, buf, 16, 0), 3);
    (void)c;
}

TEST(datagram_errors)
{
    struct sockaddr_un to;
    socklen_t len;
    int a, b, v = 4096;
    static char big[1 << 20];

    scratch();
    a = dgram("a");
    len = un_name(&to, "none");
    CHECK_ERRNO(sendto(a, "x", 1, 0, (void *)&to, len), ENOENT);
    b = dgram("b");
    len = un_name(&to, "b");
    close(b);
    CHECK_ERRNO(sendto(a, "x", 1, 0, (void *)&to, len), ECONNREFUSED);
    (void)listener(SOCK_STREAM, "stream", 1);
    len = un_name(&to, "stream");
    CHECK_ERRNO(sendto(a, "x", 1, 0, (void *)&to, len), EPROTOTYPE);
    CHECK_EQ(unlink("b"), 0);
    b = dgram("b");
    len = un_name(&to, "b");
    CHECK_EQ(connect(a, (void *)&to, len), 0);
    CHECK_EQ(setsockopt(a, SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)), 0);
    CHECK_ERRNO(send(a, big, sizeof(big), 0), EMSGSIZE);
    close(b);
    CHECK_ERRNO(send(a, "x", 1, 0), ECONNREFUSED);
}

TEST(datagram_truncation)
{
    char buf[4];
    struct iovec iov = {buf, 4};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int sv[2], n;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
    CHECK_EQ(send(sv[0], "0123456789", 10, 0), 10);
    CHECK_EQ(ioctl(sv[1], FIONREAD, &n), 0);
    CHECK_EQ(n, 10);
    CHECK_EQ(recvmsg(sv[1], &m, MSG_PEEK), 4);
    CHECK_EQ(m.msg_flags & MSG_TRUNC, MSG_TRUNC);
    CHECK_EQ(recv(sv[1], buf, 4, MSG_PEEK | MSG_TRUNC), 10);
    CHECK_EQ(recv(sv[1], buf, 4, 0), 4);
    CHECK_ERRNO(recv(sv[1], buf, 4, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(send(sv[0], "ab", 2, 0), 2);
    CHECK_EQ(recvmsg(sv[1], &m, 0), 2);
    CHECK_EQ(m.msg_flags, 0);
}

TEST(full_queue_blocks_the_sender)
{
    struct sockaddr_un to;
    socklen_t len;
    int a, b, sent = 0;
    char buf[16];

    scratch();
    a = dgram("a");
    b = dgram("b");
    len = un_name(&to, "b");
    while (sendto(a, "x", 1, MSG_DONTWAIT, (void *)&to, len) == 1)
        CHECK(++sent < 100000);
    CHECK_EQ(errno, EAGAIN);
    CHECK(sent >= 10);
    pid_t pid = FORK({ CHECK_EQ(sendto(a, "last", 4, 0, (void *)&to, len), 4); });
    gt_wait_state(pid, "S");
    CHECK_EQ(recv(b, buf, 16, 0), 1);
    wait_ok(pid);
    for (int i = 1; i < sent; i++)
        CHECK_EQ(recv(b, buf, 16, 0), 1);
    CHECK_EQ(recv(b, buf, 16, 0), 4);
}

TEST(batches)
{
    char out[4][8] = {"one", "two", "three", "four"}, in[6][8];
    struct iovec oi[4], ii[6];
    struct mmsghdr om[4] = {0}, im[6] = {0};
    struct timespec wait = {.tv_nsec = 10000000};
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
    for (int i = 0; i < 4; i++) {
        oi[i] = (struct iovec){out[i], strlen(out[i])};
        om[i].msg_hdr.msg_iov = &oi[i];
        om[i].msg_hdr.msg_iovlen = 1;
    }
    for (int i = 0; i < 6; i++) {
        ii[i] = (struct iovec){in[i], 8};
        im[i].msg_hdr.msg_iov = &ii[i];
        im[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(sendmmsg(sv[0], om, 4, 0), 4);
    CHECK_EQ(om[2].msg_len, 5);
    CHECK_EQ(recvmmsg(sv[1], im, 2, 0, NULL), 2);
    CHECK_EQ(im[0].msg_len, 3);
    CHECK(memcmp(in[1], "two", 3) == 0);
    /* WAITFORONE takes what is there; without it the call would wait for six. */
    CHECK_EQ(recvmmsg(sv[1], im, 6, MSG_WAITFORONE, NULL), 2);
    CHECK_EQ(im[0].msg_len, 5);
    CHECK_ERRNO(recvmmsg(sv[1], im, 6, MSG_DONTWAIT, NULL), EAGAIN);
    CHECK_EQ(sendmmsg(sv[0], om, 1, 0), 1);
    /* The time-out is looked at after each message only. */
    CHECK_EQ(recvmmsg(sv[1], im, 6, MSG_DONTWAIT, &wait), 1);
    wait.tv_nsec = -1;
    CHECK_ERRNO(recvmmsg(sv[1], im, 6, 0, &wait), EINVAL);
    CHECK_EQ(sendmmsg(sv[0], om, 0, 0), 0);
    om[1].msg_hdr.msg_iov = (void *)8;
    CHECK_EQ(sendmmsg(sv[0], om, 4, 0), 1);
}

TEST(message_header_errors)
{
    static struct iovec many[1025];
    char byte = 'x', control[8] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int sv[2];

    for (int i = 0; i < 1025; i++)
        many[i] = (struct iovec){&byte, 1};
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
    CHECK_ERRNO(syscall(SYS_sendmsg, sv[0], (void *)8, 0), EFAULT);
    m.msg_iov = many;
    m.msg_iovlen = 1025;
    CHECK_ERRNO(sendmsg(sv[0], &m, 0), EMSGSIZE);
    CHECK_ERRNO(recvmsg(sv[0], &m, MSG_DONTWAIT), EMSGSIZE);
    m.msg_iov = (void *)8;
    m.msg_iovlen = 1;
    CHECK_ERRNO(sendmsg(sv[0], &m, 0), EFAULT);
    m.msg_iov = &iov;
    m.msg_control = control;
    m.msg_controllen = sizeof(control);
    CHECK_EQ(sendmsg(sv[0], &m, 0), 1);
    m.msg_controllen = (size_t)1 << 40;
    CHECK_ERRNO(sendmsg(sv[0], &m, 0), ENOBUFS);
    CHECK_ERRNO(syscall(SYS_sendmsg, 0, &m, 0), ENOTSOCK);
    CHECK_ERRNO(sendmsg(-1, &m, 0), EBADF);
    CHECK_ERRNO(send(sv[0], &byte, 1, MSG_OOB), EOPNOTSUPP);
    CHECK_ERRNO(recv(sv[0], &byte, 1, MSG_OOB), EOPNOTSUPP);
}

TEST(control_header_errors)
{
    union {
        struct cmsghdr h;
        char room[64];
    } c = {0};
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c};
    int sv[2], fd = -1;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
    m.msg_controllen = CMSG_SPACE(sizeof(int));
    c.h = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    c.h.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
    CHECK_ERRNO(sendmsg(sv[0], &m, 0), EBADF);
    c.h.cmsg_len = 4;
    CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
    c.h.cmsg_len = 4096;
    CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
    c.h.cmsg_len = CMSG_LEN(sizeof(int));
    c.h.cmsg_type = 77;
    CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
    /* Other levels are not this family's business. */
    c.h.cmsg_level = 12345;
    CHECK_EQ(sendmsg(sv[0], &m, 0), 1);
}

TEST(pass_descriptors)
{
    int sv[2], p[2], got[4], flags;
    char buf[8];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(send_fds(sv[0], p, 2), 1);
    close(p[1]);
    CHECK_EQ(recv_fds(sv[1], got, 4, 0, &flags), 2);
    CHECK_EQ(flags & MSG_CTRUNC, 0);
    CHECK_EQ(fcntl(got[0], F_GETFD), 0);
    CHECK_EQ(write(got[1], "through", 7), 7);
    CHECK_EQ(read(p[0], buf, 8), 7);
    CHECK_EQ(send_fds(sv[0], p, 1), 1);
    CHECK_EQ(recv_fds(sv[1], got, 4, MSG_CMSG_CLOEXEC, &flags), 1);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    CHECK(flags & MSG_CMSG_CLOEXEC);
}

TEST(passed_descriptors_share_the_offset)
{
    int sv[2], fd, got[1];
    char c;

    scratch();
    put_file("f", "0123");
    fd = open("f", O_RDONLY);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
    pid_t pid = FORK({
        CHECK_EQ(read(fd, &c, 1), 1);
        CHECK_EQ(send_fds(sv[0], &fd, 1), 1);
    });
    close(fd);
    wait_ok(pid);
    CHECK_EQ(recv_fds(sv[1], got, 1, 0, NULL), 1);
    CHECK_EQ(read(got[0], &c, 1), 1);
    CHECK_EQ(c, '1');
}

TEST(too_little_room_for_descriptors)
{
    int sv[2], fds[3], got[3], flags, before, after;

    /* Whatever the starter left open would spoil the count. */
    CHECK_EQ(close_range(3, ~0u, 0), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    for (int i = 0; i < 3; i++)
        fds[i] = eventfd((unsigned)i + 1, 0);
    CHECK_EQ(send_fds(sv[0], fds, 3), 1);
    before = dup(0);
    CHECK_EQ(recv_fds(sv[1], got, 1, 0, &flags), 1);
    CHECK(flags & MSG_CTRUNC);
    uint64_t v;
    CHECK_EQ(read(got[0], &v, 8), 8);
    CHECK_EQ(v, 1);
    /* No room at all: the descriptors are dropped. */
    CHECK_EQ(send_fds(sv[0], fds, 3), 1);
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(sv[1], &m, 0), 1);
    CHECK(m.msg_flags & MSG_CTRUNC);
    CHECK_EQ(send_fds(sv[0], fds, 3), 1);
    CHECK_EQ(read(sv[1], &byte, 1), 1);
    after = dup(0);
    CHECK_EQ(after, before + 2);
}

TEST(no_descriptor_free_on_receipt)
{
    struct rlimit limit;
    int sv[2], fds[3], got[3], flags, last = -1, fd;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    for (int i = 0; i < 3; i++)
        fds[i] = eventfd(0, 0);
    CHECK_EQ(send_fds(sv[0], fds, 3), 1);
    while ((fd = dup(0)) >= 0 && fd < 60)
        last = fd;
    limit = (struct rlimit){.rlim_cur = (rlim_t)fd + 1, .rlim_max = (rlim_t)fd + 1};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(last);
    CHECK_EQ(recv_fds(sv[1], got, 3, 0, &flags), 1);
    CHECK_EQ(got[0], last);
    CHECK(flags & MSG_CTRUNC);
}

TEST(descriptor_count_limit)
{
    static int fds[254];
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    for (int i = 0; i < 254; i++)
        fds[i] = sv[0];
    CHECK_ERRNO(send_fds(sv[0], fds, 254), EINVAL);
    CHECK_EQ(send_fds(sv[0], fds, 253), 1);
    static int got[256];
    CHECK_EQ(recv_fds(sv[1], got, 253, 0, NULL), 253);
}

TEST(peek_duplicates_descriptors)
{
    int sv[2], ev = eventfd(7, 0), got[1], again[1];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(send_fds(sv[0], &ev, 1), 1);
    CHECK_EQ(recv_fds(sv[1], got, 1, MSG_PEEK, NULL), 1);
    CHECK_EQ(recv_fds(sv[1], again, 1, 0, NULL), 1);
    CHECK(got[0] != again[0]);
    uint64_t v;
    CHECK_EQ(read(got[0], &v, 8), 8);
    CHECK_EQ(v, 7);
}

TEST(stream_read_stops_at_descriptors)
{
    int sv[2], ev = eventfd(0, 0), got[1];
    char buf[16];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(write(sv[0], "aa", 2), 2);
    CHECK_EQ(send_fds(sv[0], &ev, 1), 1);
    CHECK_EQ(write(sv[0], "bb", 2), 2);
    /* Data before, with and after a set of descriptors never mixes in front of them. */
    ssize_t n = read(sv[1], buf, 2);
    CHECK_EQ(n, 2);
    CHECK_EQ(recv_fds(sv[1], got, 1, 0, NULL), 1);
    CHECK_EQ(read(sv[1], buf, 16), 2);
    CHECK(memcmp(buf, "bb", 2) == 0);
}

TEST(closed_socket_drops_descriptors_in_flight)
{
    int sv[2], p[2];
    char c;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(send_fds(sv[0], &p[1], 1), 1);
    close(p[1]);
    CHECK(!fd_ready(p[0], POLLIN | POLLHUP));
    close(sv[0]);
    close(sv[1]);
    /* The only writer was in the queue: end of file. */
    CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(cycle_in_flight_is_collected)
{
    int p[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    for (int i = 0; i < 20; i++) {
        int sv[2], fds[3];

        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
        fds[0] = sv[0];
        fds[1] = sv[1];
        fds[2] = p[1];
        /* Each end lies in the other's queue, with the pipe's writer: nobody can reach them. */
        CHECK_EQ(send_fds(sv[0], fds, 3), 1);
        CHECK_EQ(send_fds(sv[1], fds, 3), 1);
        close(sv[0]);
        close(sv[1]);
    }
    close(p[1]);
    /* Any later socket work must let the collector run. */
    for (int i = 0; i < 100 && !fd_ready(p[0], POLLHUP); i++) {
        int sv[2];

        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
        CHECK_EQ(send_fds(sv[0], sv, 1), 1);
        close(sv[0]);
        close(sv[1]);
        gt_msleep(10);
    }
    CHECK_EQ(read(p[0], &c, 1), 0);
}

TEST(peer_credentials)
{
    struct ucred u;
    socklen_t len = sizeof(u);
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &u, &len), 0);
    CHECK_EQ(u.pid, getpid());
    CHECK_EQ(u.uid, 0);
    CHECK_EQ(u.gid, 0);
    scratch();
    CHECK_EQ(chmod(".", 0777), 0);
    int l = listener(SOCK_STREAM, "sock", 1);
    CHECK_EQ(chmod("sock", 0777), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        become(OTHER_UID, OTHER_GID);
        int c = client(SOCK_STREAM, "sock");
        CHECK_EQ(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &u, &len), 0);
        CHECK_EQ(u.uid, 0);
        CHECK_EQ(u.pid, getppid());
        char b;
        CHECK_EQ(read(c, &b, 1), 0);
        _exit(0);
    }
    int s = accept(l, NULL, NULL);
    CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &u, &len), 0);
    CHECK_EQ(u.pid, pid);
    CHECK_EQ(u.uid, OTHER_UID);
    CHECK_EQ(u.gid, OTHER_GID);
    gid_t groups[8];
    len = sizeof(groups);
    CHECK_EQ(getsockopt(s, SOL_SOCKET, SO_PEERGROUPS, groups, &len), 0);
    CHECK_EQ(len, 0);
    close(s);
    wait_ok(pid);
}

static ssize_t recv_cred(int sock, struct ucred *u, bool *present)
{
    char control[CMSG_SPACE(sizeof(*u))] = {0}, byte;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(sock, &m, 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    *present = c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS;
    if (*present) {
        CHECK_EQ(c->cmsg_len, CMSG_LEN(sizeof(*u)));
        memcpy(u, CMSG_DATA(c), sizeof(*u));
    }
    return n;
}

static ssize_t send_cred(int sock, struct ucred u)
{
    char control[CMSG_SPACE(sizeof(u))] = {0}, byte = 'c';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof(u));
    memcpy(CMSG_DATA(c), &u, sizeof(u));
    return sendmsg(sock, &m, 0);
}

TEST(credential_messages)
{
    struct ucred u = {0}, mine = {.pid = getpid(), .uid = getuid(), .gid = getgid()};
    bool present;
    int sv[2], one = 1;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(recv_cred(sv[1], &u, &present), 1);
    CHECK(!present);
    CHECK_EQ(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
    CHECK_EQ(get_int(sv[1], SOL_SOCKET, SO_PASSCRED), 1);
    CHECK_EQ(write(sv[0], "x", 1), 1);
    CHECK_EQ(recv_cred(sv[1], &u, &present), 1);
    CHECK(present);
    CHECK_EQ(u.pid, getpid());
    CHECK_EQ(u.uid, 0);
    CHECK_EQ(send_cred(sv[0], mine), 1);
    CHECK_EQ(recv_cred(sv[1], &u, &present), 1);
    CHECK(present);
    CHECK_EQ(u.pid, mine.pid);
    /* Root may claim to be another user and a process that exists. */
    CHECK_EQ(send_cred(sv[0], (struct ucred){.pid = 1, .uid = 5, .gid = 6}), 1);
    CHECK_EQ(recv_cred(sv[1], &u, &present), 1);
    CHECK_EQ(u.uid, 5);
    CHECK_ERRNO(send_cred(sv[0], (struct ucred){.pid = 0x3ffffff, .uid = 0, .gid = 0}), ESRCH);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        mine = (struct ucred){.pid = getpid(), .uid = OTHER_UID, .gid = OTHER_GID};
        CHECK_EQ(send_cred(sv[0], mine), 1);
        mine.uid = 0;
        CHECK_ERRNO(send_cred(sv[0], mine), EPERM);
        mine.uid = OTHER_UID;
        mine.gid = 0;
        CHECK_ERRNO(send_cred(sv[0], mine), EPERM);
        mine.gid = OTHER_GID;
        mine.pid = getppid();
        CHECK_ERRNO(send_cred(sv[0], mine), EPERM);
    });
    wait_ok(pid);
    CHECK_EQ(recv_cred(sv[1], &u, &present), 1);
    CHECK_EQ(u.pid, pid);
    CHECK_EQ(u.uid, OTHER_UID);
}

TEST(socket_options)
{
    static const int booleans[] = {SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, SO_PASSCRED};
    struct timeval tv = {.tv_usec = 20000}, got;
    struct linger lg = {.l_onoff = 1, .l_linger = 5};
    socklen_t len;
    int sv[2], v;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    for (size_t i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++) {
        CHECK_EQ(get_int(sv[0], SOL_SOCKET, booleans[i]), 0);
        v = 7;
        CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, booleans[i], &v, sizeof(v)), 0);
        CHECK_EQ(get_int(sv[0], SOL_SOCKET, booleans[i]), 1);
    }
    v = 10000;
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)), 0);
    CHECK_EQ(get_int(sv[0], SOL_SOCKET, SO_SNDBUF), 20000);
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_RCVBUF, &v, sizeof(v)), 0);
    CHECK_EQ(get_int(sv[0], SOL_SOCKET, SO_RCVBUF), 20000);
    v = 1;
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)), 0);
    CHECK(get_int(sv[0], SOL_SOCKET, SO_SNDBUF) >= 2048);
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)), 0);
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    len = sizeof(got);
    CHECK_EQ(getsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len), 0);
    CHECK_EQ(got.tv_usec, 20000);
    CHECK_ERRNO(read(sv[0], &v, 1), EAGAIN);
    CHECK_EQ(get_int(sv[0], SOL_SOCKET, SO_ERROR), 0);
    CHECK_ERRNO(setsockopt(sv[0], SOL_SOCKET, SO_ERROR, &v, sizeof(v)), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(sv[0], SOL_SOCKET, SO_TYPE, &v, sizeof(v)), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(sv[0], SOL_SOCKET, 9999, &v, sizeof(v)), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &v, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_setsockopt, sv[0], SOL_SOCKET, SO_SNDBUF, (void *)8, 4), EFAULT);
    CHECK_ERRNO(setsockopt(sv[0], 6, 1, &v, sizeof(v)), EOPNOTSUPP);
    len = sizeof(v);
    CHECK_ERRNO(getsockopt(sv[0], SOL_SOCKET, 9999, &v, &len), ENOPROTOOPT);
    CHECK_ERRNO(getsockopt(sv[0], 6, 1, &v, &len), EOPNOTSUPP);
    CHECK_ERRNO(getsockopt(-1, SOL_SOCKET, SO_TYPE, &v, &len), EBADF);
    len = 1;
    CHECK_EQ(getsockopt(sv[0], SOL_SOCKET, SO_TYPE, &v, &len), 0);
    CHECK_EQ(len, 1);
}

TEST(peek_offset)
{
    char buf[8];
    int sv[2], v = 1;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    if (setsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &v, sizeof(v)) < 0)
        SKIP("no SO_PEEK_OFF here");
    CHECK_EQ(write(sv[0], "abcdef", 6), 6);
    CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK), 2);
    CHECK(memcmp(buf, "bc", 2) == 0);
    CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK), 2);
    CHECK(memcmp(buf, "de", 2) == 0);
    CHECK_EQ(recv(sv[1], buf, 3, 0), 3);
    CHECK(memcmp(buf, "abc", 3) == 0);
}

TEST(descriptor_through_many_sockets)
{
    int p[2], fd, got;
    char c;

    /* A descriptor in the queue of a socket that is itself in a queue, ten deep. */
    CHECK_EQ(pipe(p), 0);
    fd = p[1];
    for (int i = 0; i < 3; i++) {
        int sv[2];

        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
        CHECK_EQ(send_fds(sv[0], &fd, 1), 1);
        close(sv[0]);
        close(fd);
        fd = sv[1];
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(recv_fds(fd, &got, 1, 0, NULL), 1);
        close(fd);
        fd = got;
    }
    CHECK_EQ(write(fd, "!", 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    close(fd);
    CHECK_EQ(read(p[0], &c, 1), 0);
}
