/*
 * AF_UNIX, continued: threads on one socket, time-outs and low-water marks, descriptors together
 * with credentials, kinds of passed objects, sockets with poll, epoll and splice, and names.
 */
#include "unix-util.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

TEST(receive_time_out)
{
    struct timeval tv = {.tv_usec = 30000};
    int sv[2];
    int64_t start;
    char c;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    start = gt_now_ms();
    CHECK_ERRNO(read(sv[0], &c, 1), EAGAIN);
    CHECK(gt_now_ms() - start >= 29);
    tv.tv_usec = 1000000;
    CHECK_ERRNO(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), EDOM);
    tv = (struct timeval){0};
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    pid_t pid = FORK({ CHECK_EQ(read(sv[0], &c, 1), 1); });
    gt_wait_state(pid, "S");
    CHECK_EQ(write(sv[1], "x", 1), 1);
    wait_ok(pid);
}

TEST(send_time_out)
{
    struct timeval tv = {.tv_usec = 30000};
    static char block[4096];
    ssize_t n;
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
    while ((n = write(sv[0], block, sizeof(block))) > 0)
        continue;
    CHECK_EQ(n, -1);
    CHECK_EQ(errno, EAGAIN);
}

TEST(accept_and_connect_time_out)
{
    struct timeval tv = {.tv_usec = 30000};
    struct sockaddr_un a;
    socklen_t len;
    int l, fd, made = 0;

    scratch();
    l = listener(SOCK_STREAM, "s", 1);
    CHECK_EQ(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
    len = un_name(&a, "s");
    for (;;) {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
        if (connect(fd, (void *)&a, len) < 0)
            break;
        CHECK(++made < 50);
    }
    CHECK_EQ(errno, EAGAIN);
}

TEST(low_water_mark)
{
    char buf[16];
    int sv[2], v = 5;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(get_int(sv[0], SOL_SOCKET, SO_RCVLOWAT), 1);
    CHECK_EQ(setsockopt(sv[0], SOL_SOCKET, SO_RCVLOWAT, &v, sizeof(v)), 0);
    pid_t pid = FORK({ CHECK_EQ(read(sv[0], buf, 16), 6); });
    CHECK_EQ(write(sv[1], "abc", 3), 3);
    gt_wait_state(pid, "S");
    CHECK_EQ(write(sv[1], "def", 3), 3);
    wait_ok(pid);
}

TEST(descriptors_and_credentials_in_one_message)
{
    char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))] = {0}, byte = 'b';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct ucred u = {.pid = getpid()};
    int sv[2], one = 1, ev = eventfd(9, 0), seen = 0;
    struct cmsghdr *c;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
    c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(u)), SOL_SOCKET, SCM_CREDENTIALS};
    memcpy(CMSG_DATA(c), &u, sizeof(u));
    c = CMSG_NXTHDR(&m, c);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &ev, sizeof(ev));
    CHECK_EQ(sendmsg(sv[0], &m, 0), 1);
    memset(control, 0, sizeof(control));
    m.msg_controllen = sizeof(control);
    CHECK_EQ(recvmsg(sv[1], &m, 0), 1);
    for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&u, CMSG_DATA(c), sizeof(u));
            CHECK_EQ(u.pid, getpid());
            seen |= 1;
        } else if (c->cmsg_type == SCM_RIGHTS) {
            uint64_t v;
            int got;

            memcpy(&got, CMSG_DATA(c), sizeof(got));
            CHECK_EQ(read(got, &v, 8), 8);
            CHECK_EQ(v, 9);
            seen |= 2;
        }
    }
    CHECK_EQ(seen, 3);
    CHECK_EQ(m.msg_flags & MSG_CTRUNC, 0);
}

TEST(data_of_different_senders_does_not_merge)
{
    char buf[16];
    int sv[2], one = 1;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
    pid_t pid = FORK({ CHECK_EQ(write(sv[0], "child", 5), 5); });
    wait_ok(pid);
    CHECK_EQ(write(sv[0], "me", 2), 2);
    CHECK_EQ(read(sv[1], buf, 16), 5);
    CHECK_EQ(read(sv[1], buf, 16), 2);
}

TEST(all_kinds_can_be_passed)
{
    int sv[2], p[2], fds[8], got[8], n = 0;

    scratch();
    put_file("f", "x");
    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
    CHECK_EQ(pipe(p), 0);
    fds[n++] = open("f", O_RDONLY);
    fds[n++] = open(".", O_RDONLY | O_DIRECTORY);
    fds[n++] = open("f", O_PATH);
    fds[n++] = p[0];
    fds[n++] = socket(AF_UNIX, SOCK_STREAM, 0);
    fds[n++] = epoll_create1(0);
    fds[n++] = eventfd(0, 0);
    fds[n++] = memfd_create("m", 0);
    CHECK_EQ(send_fds(sv[0], fds, (size_t)n), 1);
    CHECK_EQ(recv_fds(sv[1], got, 8, 0, NULL), n);
    for (int i = 0; i < n; i++) {
        struct stat a, b;

        CHECK_EQ(fstat(fds[i], &a), 0);
        CHECK_EQ(fstat(got[i], &b), 0);
        CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
        CHECK_EQ(fcntl(fds[i], F_GETFL), fcntl(got[i], F_GETFL));
    }
}

TEST(a_socket_passes_itself)
{
    int sv[2], got[1];
    char c;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(send_fds(sv[0], &sv[1], 1), 1);
    CHECK_EQ(recv_fds(sv[1], got, 1, 0, NULL), 1);
    CHECK_EQ(write(sv[0], "s", 1), 1);
    close(sv[1]);
    CHECK_EQ(read(got[0], &c, 1), 1);
    /* Its own listener in its own queue. */
    scratch();
    int l = listener(SOCK_STREAM, "s", 4), a = client(SOCK_STREAM, "s");
    CHECK_EQ(send_fds(a, &l, 1), 1);
    int s = accept(l, NULL, NULL);
    CHECK_EQ(recv_fds(s, got, 1, 0, NULL), 1);
    (void)client(SOCK_STREAM, "s");
    CHECK(accept(got[0], NULL, NULL) >= 0);
}

TEST(descriptors_wait_with_their_data)
{
    int sv[2], p[2], got[3];
    char buf[8];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pipe(p), 0);
        CHECK_EQ(send_fds(sv[0], &p[0], 1), 1);
        close(p[0]);
        close(p[1]);
    }
    /* One receive never returns the descriptors of two sends. */
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(recv_fds(sv[1], got, 3, 0, NULL), 1);
        CHECK_EQ(read(got[0], buf, 8), 0);
    }
}

TEST(poll_states)
{
    struct pollfd p;
    static char block[65536];
    int sv[2], l, c, s;

    scratch();
    p = (struct pollfd){.fd = socket(AF_UNIX, SOCK_STREAM, 0), .events = POLLIN | POLLOUT};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT | POLLHUP);
    l = listener(SOCK_STREAM, "s", 4);
    p.fd = l;
    p.events = POLLIN;
    CHECK_EQ(poll(&p, 1, 0), 0);
    c = client(SOCK_STREAM, "s");
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN);
    s = accept(l, NULL, NULL);
    CHECK_EQ(poll(&p, 1, 0), 0);
    p = (struct pollfd){.fd = c, .events = POLLIN | POLLOUT | POLLRDHUP};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
    CHECK_EQ(shutdown(s, SHUT_RDWR), 0);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
    while (write(sv[0], block, sizeof(block)) > 0)
        continue;
    p = (struct pollfd){.fd = sv[0], .events = POLLOUT};
    CHECK_EQ(poll(&p, 1, 0), 0);
    pid_t pid = FORK({
        CHECK_EQ(poll(&p, 1, -1), 1);
        CHECK_EQ(p.revents, POLLOUT);
    });
    gt_wait_state(pid, "S");
    while (read(sv[1], block, sizeof(block)) > 0)
        continue;
    wait_ok(pid);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
    p = (struct pollfd){.fd = sv[0], .events = POLLIN | POLLOUT};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
    CHECK_EQ(send(sv[1], "", 0, 0), 0);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
}

TEST(epoll_sees_connections_and_hangup)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET}, got;
    int ep = epoll_create1(0), l, c, s;

    scratch();
    l = listener(SOCK_STREAM, "s", 8);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, l, &e), 0);
    c = client(SOCK_STREAM, "s");
    CHECK_EQ(epoll_wait(ep, &got, 1, -1), 1);
    (void)client(SOCK_STREAM, "s");
    CHECK_EQ(epoll_wait(ep, &got, 1, -1), 1);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    s = accept(l, NULL, NULL);
    e.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, s, &e), 0);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    close(c);
    CHECK_EQ(epoll_wait(ep, &got, 1, -1), 1);
    CHECK_EQ(got.events, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
}

static int pair[2];
static atomic_int received;

static void *receives(void *arg)
{
    uint32_t v;

    (void)arg;
    while (recv(pair[1], &v, sizeof(v), 0) == sizeof(v)) {
        if (v == 0)
            break;
        received += (int)v;
    }
    return NULL;
}

static void *sends(void *arg)
{
    uint32_t v = 1;

    (void)arg;
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(send(pair[0], &v, sizeof(v), 0), sizeof(v));
    return NULL;
}

TEST(threads_share_a_seqpacket_socket)
{
    pthread_t r[3], s[3];
    uint32_t zero = 0;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_create(&r[i], NULL, receives, NULL), 0);
        CHECK_EQ(pthread_create(&s[i], NULL, sends, NULL), 0);
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(s[i], NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(send(pair[0], &zero, sizeof(zero), 0), sizeof(zero));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(r[i], NULL), 0);
    CHECK_EQ(received, 3000);
}

TEST(datagrams_from_many_processes_stay_whole)
{
    enum { PROCS = 4, EACH = 100 };
    struct sockaddr_un a;
    socklen_t len;
    pid_t pids[PROCS];
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), count[PROCS] = {0};

    scratch();
    len = un_name(&a, "d");
    CHECK_EQ(bind(fd, (void *)&a, len), 0);
    for (int p = 0; p < PROCS; p++) {
        pids[p] = FORK({
            int s = socket(AF_UNIX, SOCK_DGRAM, 0);
            char buf[2000];

            memset(buf, 'a' + p, sizeof(buf));
            for (int i = 0; i < EACH; i++)
                CHECK_EQ(sendto(s, buf, (size_t)(1 + i * 19), 0, (void *)&a, len), 1 + i * 19);
        });
    }
    for (int i = 0; i < PROCS * EACH; i++) {
        char buf[2000];
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        int p = buf[0] - 'a';

        CHECK(n > 0 && p >= 0 && p < PROCS);
        CHECK_EQ(n, 1 + count[p] * 19);
        for (ssize_t k = 1; k < n; k++)
            CHECK_EQ(buf[k], buf[0]);
        count[p]++;
    }
    for (int p = 0; p < PROCS; p++)
        wait_ok(pids[p]);
}

TEST(splice_and_sendfile_through_a_socket)
{
    char buf[32];
    int sv[2], p[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "to the socket", 13), 13);
    CHECK_EQ(splice(p[0], NULL, sv[0], NULL, 100, 0), 13);
    CHECK_EQ(read(sv[1], buf, 32), 13);
    CHECK_EQ(write(sv[1], "to the pipe", 11), 11);
    CHECK_EQ(splice(sv[0], NULL, p[1], NULL, 100, 0), 11);
    CHECK_EQ(read(p[0], buf, 32), 11);
    CHECK(memcmp(buf, "to the pipe", 11) == 0);
    CHECK_ERRNO(splice(sv[0], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
}

TEST(truncated_address)
{
    struct sockaddr_un a;
    char small[6];
    socklen_t len;
    int x = socket(AF_UNIX, SOCK_DGRAM, 0), y = socket(AF_UNIX, SOCK_DGRAM, 0);
    char c;

    scratch();
    len = un_name(&a, "a-long-name");
    CHECK_EQ(bind(x, (void *)&a, len), 0);
    len = un_name(&a, "y");
    CHECK_EQ(bind(y, (void *)&a, len), 0);
    CHECK_EQ(sendto(x, "x", 1, 0, (void *)&a, len), 1);
    len = sizeof(small);
    memset(small, 'Z', sizeof(small));
    CHECK_EQ(recvfrom(y, &c, 1, 0, (void *)small, &len), 1);
    CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 12);
    CHECK(memcmp(small + 2, "a-lo", 4) == 0);
}

TEST(name_with_embedded_zero)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un got;
    socklen_t len = sizeof(got);

    scratch();
    memcpy(a.sun_path, "ab\0cd", 5);
    CHECK_EQ(bind(fd, (void *)&a, offsetof(struct sockaddr_un, sun_path) + 5), 0);
    CHECK_EQ(access("ab", F_OK), 0);
    CHECK_EQ(getsockname(fd, (void *)&got, &len), 0);
    CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 3);
    /* An abstract name may hold any bytes. */
    memcpy(a.sun_path, "\0a\0b\377", 5);
    CHECK_EQ(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a,
                  offsetof(struct sockaddr_un, sun_path) + 5),
             0);
}

TEST(bind_follows_umask_and_leaves_on_error)
{
    struct sockaddr_un a;
    socklen_t len;
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    scratch();
    (void)umask(077);
    len = un_name(&a, "s");
    CHECK_EQ(bind(fd, (void *)&a, len), 0);
    CHECK_EQ(stat("s", &st), 0);
    CHECK_EQ(st.st_mode, S_IFSOCK | 0700);
    /* Closing leaves the name behind. */
    close(fd);
    CHECK_EQ(access("s", F_OK), 0);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(bind(fd, (void *)&a, len), EADDRINUSE);
}

TEST(peer_pidfd)
{
    int sv[2], fd = -1;
    socklen_t len = sizeof(fd);

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    if (getsockopt(sv[0], SOL_SOCKET, SO_PEERPIDFD, &fd, &len) < 0) {
        CHECK_EQ(errno, ENOPROTOOPT);
        SKIP("no SO_PEERPIDFD here");
    }
    CHECK(fd_is_open(fd));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), 0);
}

TEST(out_of_band)
{
    char c = 0;
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    if (send(sv[0], "o", 1, MSG_OOB) < 0) {
        CHECK_EQ(errno, EOPNOTSUPP);
        SKIP("no out-of-band data here");
    }
    CHECK(fd_ready(sv[1], POLLPRI));
    CHECK_EQ(recv(sv[1], &c, 1, MSG_OOB), 1);
    CHECK_EQ(c, 'o');
    CHECK_ERRNO(recv(sv[1], &c, 1, MSG_OOB), EINVAL);
}

TEST(listen_again_changes_the_backlog)
{
    struct sockaddr_un a;
    socklen_t len;
    int l, fd, made = 0;

    scratch();
    l = listener(SOCK_STREAM, "s", 0);
    len = un_name(&a, "s");
    for (int round = 0; round < 2; round++) {
        for (;;) {
            fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (connect(fd, (void *)&a, len) < 0)
                break;
            made++;
        }
        CHECK_EQ(errno, EAGAIN);
        CHECK_EQ(made, round == 0 ? 1 : 4);
        CHECK_EQ(listen(l, 3), 0);
    }
    CHECK_EQ(listen(l, -1), 0);
    for (int i = 0; i < 20; i++)
        (void)client(SOCK_STREAM, "s");
}

TEST(closing_a_listener_resets_those_who_wait)
{
    char b;
    int l, c;

    scratch();
    l = listener(SOCK_STREAM, "s", 4);
    c = client(SOCK_STREAM, "s");
    close(l);
    errno = 0;
    ssize_t n = read(c, &b, 1);
    CHECK(n == 0 || (n == -1 && errno == ECONNRESET));
    CHECK_ERRNO(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
    /* A blocked connect is refused too. */
    CHECK_EQ(unlink("s"), 0);
    l = listener(SOCK_STREAM, "s", 0);
    (void)client(SOCK_STREAM, "s");
    pid_t pid = FORK({
        struct sockaddr_un a;
        socklen_t len = un_name(&a, "s");

        close(l);
        CHECK_ERRNO(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, len), ECONNREFUSED);
    });
    gt_wait_state(pid, "S");
    close(l);
    wait_ok(pid);
}

TEST(fstat_and_proc_show_sockets)
{
    char path[64], link[64], want[64];
    struct stat st;
    ssize_t n;
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(fstat(sv[0], &st), 0);
    CHECK_EQ(st.st_mode, S_IFSOCK | 0777);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", sv[0]);
    CHECK((n = readlink(path, link, sizeof(link) - 1)) > 0);
    link[n] = '\0';
    (void)snprintf(want, sizeof(want), "socket:[%lu]", (unsigned long)st.st_ino);
    CHECK_STR(link, want);
    CHECK_ERRNO(open(path, O_RDWR), ENXIO);
}

TEST(proc_net_unix)
{
    static char text[1 << 18];
    struct sockaddr_un a;
    socklen_t len;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    scratch();
    len = un_abstract(&a, "listed");
    CHECK_EQ(bind(fd, (void *)&a, len), 0);
    CHECK_EQ(listen(fd, 1), 0);
    if (get_file("/proc/net/unix", text, sizeof(text)) <= 0)
        SKIP("no /proc/net/unix here");
    CHECK(strncmp(text, "Num       RefCount Protocol Flags    Type St Inode Path\n", 56) == 0);
    char want[128];
    (void)snprintf(want, sizeof(want), " @%s\n", a.sun_path + 1);
    CHECK(strstr(text, want) != NULL);
}

TEST(send_flags_matrix)
{
    static const int flags[] = {0, MSG_NOSIGNAL, MSG_DONTWAIT, MSG_EOR, MSG_MORE, MSG_CONFIRM};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

    for (size_t t = 0; t < 3; t++) {
        int sv[2];

        CHECK_EQ(socketpair(AF_UNIX, types[t], 0, sv), 0);
        for (size_t i = 0; i < GT_COUNT(flags); i++) {
            char c;

            CHECK_EQ(send(sv[0], "f", 1, flags[i]), 1);
            CHECK_EQ(recv(sv[1], &c, 1, flags[i] & MSG_DONTWAIT), 1);
            CHECK_EQ(c, 'f');
        }
    }
}
