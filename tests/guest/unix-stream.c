/*
 * AF_UNIX stream and seqpacket sockets: names, listening and connecting, their errors, data and
 * its flags, shutdown, and what a peer's death looks like.
 */
#include "unix-util.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

TEST(socket_types)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    int fd, v;

    for (int i = 0; i < 3; i++) {
        CHECK((fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) >= 0);
        CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
        CHECK_EQ(get_int(fd, SOL_SOCKET, SO_TYPE), types[i]);
        CHECK_EQ(get_int(fd, SOL_SOCKET, SO_DOMAIN), AF_UNIX);
        CHECK_EQ(get_int(fd, SOL_SOCKET, SO_PROTOCOL), 0);
        CHECK_EQ(get_int(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
        close(fd);
    }
    /* Raw means datagram in this family. */
    CHECK((fd = socket(AF_UNIX, SOCK_RAW, 0)) >= 0);
    v = get_int(fd, SOL_SOCKET, SO_TYPE);
    CHECK_EQ(v, SOCK_DGRAM);
    CHECK((fd = socket(AF_UNIX, SOCK_STREAM, PF_UNIX)) >= 0);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 7), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, 77, 0), EINVAL);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM | 0x100000, 0), EINVAL);
    CHECK_ERRNO(socket(77, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
}

TEST(inet_family)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd >= 0)
        SKIP("this kernel has AF_INET");
    CHECK_EQ(errno, EAFNOSUPPORT);
    CHECK_ERRNO(socket(AF_INET6, SOCK_DGRAM, 0), EAFNOSUPPORT);
}

TEST(socketpair_basics)
{
    char buf[16];
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    CHECK_EQ(fcntl(sv[1], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(sv[0], "one", 3), 3);
    CHECK_EQ(send(sv[0], "two", 3, 0), 3);
    CHECK_EQ(read(sv[1], buf, 16), 6);
    CHECK(memcmp(buf, "onetwo", 6) == 0);
    CHECK_EQ(write(sv[1], "back", 4), 4);
    CHECK_EQ(recv(sv[0], buf, 2, 0), 2);
    CHECK_EQ(recv(sv[0], buf, 2, 0), 2);
    CHECK_ERRNO(recv(sv[0], buf, 2, MSG_DONTWAIT), EAGAIN);
    CHECK_ERRNO(socketpair(AF_UNIX, 77, 0, sv), EINVAL);
    CHECK_ERRNO(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (void *)8), EFAULT);
    CHECK_ERRNO(lseek(sv[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(listen(sv[0], 1), EINVAL);
    CHECK_ERRNO(accept(sv[0], NULL, NULL), EINVAL);
}

TEST(connect_and_accept_by_path)
{
    struct sockaddr_un name, got;
    socklen_t len;
    struct stat st;
    char buf[8];
    int l, c, s;

    scratch();
    l = listener(SOCK_STREAM, "sock", 4);
    CHECK_EQ(stat("sock", &st), 0);
    CHECK_EQ(st.st_mode, S_IFSOCK | 0755);
    CHECK_EQ(get_int(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
    CHECK_EQ(access("sock", F_OK), 0);
    len = sizeof(got);
    CHECK_EQ(getsockname(l, (struct sockaddr *)&got, &len), 0);
    CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 5);
    CHECK(strcmp(got.sun_path, "sock") == 0);
    c = client(SOCK_STREAM, "sock");
    CHECK(fd_ready(l, POLLIN));
    len = sizeof(name);
    s = accept4(l, (struct sockaddr *)&name, &len, SOCK_CLOEXEC);
    CHECK(s >= 0);
    /* A client without a name shows the family only. */
    CHECK_EQ(len, sizeof(sa_family_t));
    CHECK_EQ(name.sun_family, AF_UNIX);
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    len = sizeof(got);
    CHECK_EQ(getpeername(c, (struct sockaddr *)&got, &len), 0);
    CHECK(strcmp(got.sun_path, "sock") == 0);
    len = sizeof(got);
    CHECK_EQ(getsockname(s, (struct sockaddr *)&got, &len), 0);
    CHECK(strcmp(got.sun_path, "sock") == 0);
    CHECK_EQ(write(c, "ping", 4), 4);
    CHECK_EQ(read(s, buf, 8), 4);
    CHECK_EQ(write(s, "pong", 4), 4);
    CHECK_EQ(read(c, buf, 8), 4);
    CHECK(memcmp(buf, "pong", 4) == 0);
    /* The name goes, the connection stays, and nobody finds it any more. */
    CHECK_EQ(unlink("sock"), 0);
    CHECK_EQ(write(c, "more", 4), 4);
    CHECK_EQ(read(s, buf, 8), 4);
}

TEST(bind_errors)
{
    struct sockaddr_un a;
    socklen_t len;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);

    scratch();
    put_file("file", "");
    len = un_name(&a, "file");
    CHECK_ERRNO(bind(fd, (void *)&a, len), EADDRINUSE);
    len = un_name(&a, "none/sock");
    CHECK_ERRNO(bind(fd, (void *)&a, len), ENOENT);
    len = un_name(&a, "file/sock");
    CHECK_ERRNO(bind(fd, (void *)&a, len), ENOTDIR);
    len = un_name(&a, "s");
    CHECK_ERRNO(bind(fd, (void *)&a, 1), EINVAL);
    CHECK_ERRNO(bind(fd, (void *)&a, sizeof(a) + 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_bind, fd, (void *)8, len), EFAULT);
    a.sun_family = AF_INET;
    CHECK_ERRNO(bind(fd, (void *)&a, len), EINVAL);
    a.sun_family = AF_UNIX;
    CHECK_ERRNO(bind(-1, (void *)&a, len), EBADF);
    CHECK_ERRNO(bind(open("file", O_RDONLY), (void *)&a, len), ENOTSOCK);
    CHECK_EQ(bind(fd, (void *)&a, len), 0);
    CHECK_ERRNO(bind(other, (void *)&a, len), EADDRINUSE);
    len = un_name(&a, "again");
    CHECK_ERRNO(bind(fd, (void *)&a, len), EINVAL);
}

TEST(longest_path_name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}, got;
    struct {
        struct sockaddr_un un;
        char more[4];
    } big;
    socklen_t len = sizeof(big);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);

    scratch();
    /* 108 bytes without a terminator are allowed. */
    memset(a.sun_path, 'n', sizeof(a.sun_path));
    CHECK_EQ(bind(fd, (void *)&a, sizeof(a)), 0);
    CHECK_EQ(getsockname(fd, (void *)&big, &len), 0);
    CHECK_EQ(len, sizeof(a) + 1);
    CHECK_EQ(listen(fd, 1), 0);
    CHECK_EQ(connect(c, (void *)&a, sizeof(a)), 0);
    /* Truncated output still tells the true length. */
    len = 4;
    CHECK_EQ(getsockname(fd, (void *)&got, &len), 0);
    CHECK_EQ(len, sizeof(a) + 1);
}

TEST(abstract_names)
{
    struct sockaddr_un a, got;
    socklen_t len, glen;
    int l, c, other;

    len = un_abstract(&a, "caisson-guest");
    l = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(l, (void *)&a, len), 0);
    CHECK_EQ(listen(l, 2), 0);
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(bind(other, (void *)&a, len), EADDRINUSE);
    c = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(connect(c, (void *)&a, len), 0);
    glen = sizeof(got);
    CHECK_EQ(getpeername(c, (void *)&got, &glen), 0);
    CHECK_EQ(glen, len);
    CHECK(memcmp(&got, &a, len) == 0);
    /* The length is part of the name. */
    CHECK_ERRNO(connect(other, (void *)&a, len - 1), ECONNREFUSED);
    close(l);
    CHECK_ERRNO(connect(other, (void *)&a, len), ECONNREFUSED);
    /* A closed name is free at once. */
    CHECK_EQ(bind(other, (void *)&a, len), 0);
}

TEST(autobind)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}, b;
    socklen_t len = sizeof(b);
    int x = socket(AF_UNIX, SOCK_STREAM, 0), y = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK_EQ(bind(x, (void *)&a, sizeof(sa_family_t)), 0);
    CHECK_EQ(getsockname(x, (void *)&b, &len), 0);
    /* A zero byte and five hexadecimal digits. */
    CHECK_EQ(len, sizeof(sa_family_t) + 6);
    CHECK_EQ(b.sun_path[0], 0);
    for (int i = 1; i < 6; i++)
        CHECK(strchr("0123456789abcdef", b.sun_path[i]) != NULL);
    CHECK_EQ(listen(x, 1), 0);
    CHECK_EQ(connect(y, (void *)&b, len), 0);
}

TEST(connect_errors)
{
    struct sockaddr_un a;
    socklen_t len;
    int l, fd = socket(AF_UNIX, SOCK_STREAM, 0), d;

    scratch();
    len = un_name(&a, "none");
    CHECK_ERRNO(connect(fd, (void *)&a, len), ENOENT);
    put_file("file", "");
    len = un_name(&a, "file");
    CHECK_ERRNO(connect(fd, (void *)&a, len), ECONNREFUSED);
    l = socket(AF_UNIX, SOCK_STREAM, 0);
    len = un_name(&a, "sock");
    CHECK_EQ(bind(l, (void *)&a, len), 0);
    CHECK_ERRNO(connect(fd, (void *)&a, len), ECONNREFUSED);
    CHECK_EQ(listen(l, 5), 0);
    d = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(connect(d, (void *)&a, len), EPROTOTYPE);
    CHECK_EQ(connect(fd, (void *)&a, len), 0);
    CHECK_ERRNO(connect(fd, (void *)&a, len), EISCONN);
    CHECK_ERRNO(connect(l, (void *)&a, len), EINVAL);
    CHECK_ERRNO(connect(-1, (void *)&a, len), EBADF);
    CHECK_ERRNO(connect(open("file", O_RDONLY), (void *)&a, len), ENOTSOCK);
    CHECK_ERRNO(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, 1), EINVAL);
    /* The listener dies: its file stays and refuses. */
    close(l);
    CHECK_ERRNO(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, len), ECONNREFUSED);
}

static void other_connects(void)
{
    struct sockaddr_un a;
    socklen_t len = un_name(&a, "sock");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK_ERRNO(connect(fd, (void *)&a, len), EACCES);
    len = un_name(&a, "new");
    CHECK_ERRNO(bind(fd, (void *)&a, len), EACCES);
}

TEST(connect_needs_write_permission)
{
    scratch();
    (void)listener(SOCK_STREAM, "sock", 4);
    CHECK_EQ(chmod("sock", 0755), 0);
    as_user(OTHER_UID, OTHER_GID, other_connects);
    CHECK_EQ(chmod("sock", 0722), 0);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        (void)client(SOCK_STREAM, "sock");
    });
    wait_ok(pid);
}

TEST(accept_rules)
{
    int l, fd, c;

    scratch();
    l = listener(SOCK_STREAM, "sock", 4);
    CHECK_EQ(fcntl(l, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
    c = client(SOCK_STREAM, "sock");
    CHECK_ERRNO(accept4(l, NULL, NULL, 0x100), EINVAL);
    CHECK((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    (void)client(SOCK_STREAM, "sock");
    /* Non-blocking is not inherited. */
    CHECK((fd = accept(l, NULL, NULL)) >= 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_ERRNO(accept(c, NULL, NULL), EINVAL);
    CHECK_ERRNO(accept(socket(AF_UNIX, SOCK_DGRAM, 0), NULL, NULL), EOPNOTSUPP);
    CHECK_ERRNO(listen(socket(AF_UNIX, SOCK_DGRAM, 0), 1), EOPNOTSUPP);
    CHECK_ERRNO(listen(socket(AF_UNIX, SOCK_STREAM, 0), 1), EINVAL);
    CHECK_ERRNO(accept(-1, NULL, NULL), EBADF);
    CHECK_ERRNO(recv(l, &fd, 1, 0), EINVAL);
    CHECK_ERRNO(send(l, &fd, 1, MSG_NOSIGNAL), ENOTCONN);
    /* A client that has gone can still be accepted. */
    c = client(SOCK_STREAM, "sock");
    CHECK_EQ(write(c, "bye", 3), 3);
    close(c);
    char buf[8];
    CHECK((fd = accept(l, NULL, NULL)) >= 0);
    CHECK_EQ(read(fd, buf, 8), 3);
    CHECK_EQ(read(fd, buf, 8), 0);
}

TEST(backlog)
{
    struct sockaddr_un a;
    socklen_t len;
    int count = 0, fd, l;

    scratch();
    l = listener(SOCK_STREAM, "sock", 2);
    len = un_name(&a, "sock");
    for (;;) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fd, (void *)&a, len) < 0)
            break;
        CHECK(++count < 100);
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(count, 3);
    /* A blocking connect waits for room. */
    pid_t pid = FORK({
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_EQ(connect(fd, (void *)&a, len), 0);
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK(accept(l, NULL, NULL) >= 0);
    wait_ok(pid);
}

TEST(blocking_accept)
{
    int l, c;
    char b;

    scratch();
    l = listener(SOCK_STREAM, "sock", 4);
    pid_t pid = FORK({
        int fd = accept(l, NULL, NULL);

        CHECK(fd >= 0);
        CHECK_EQ(read(fd, &b, 1), 1);
        CHECK_EQ(write(fd, &b, 1), 1);
    });
    gt_wait_state(pid, "S");
    c = client(SOCK_STREAM, "sock");
    CHECK_EQ(write(c, "e", 1), 1);
    CHECK_EQ(read(c, &b, 1), 1);
    CHECK_EQ(b, 'e');
    wait_ok(pid);
}

TEST(shutdown_directions)
{
    char buf[8];
    int sv[2];

    (void)signal(SIGPIPE, SIG_IGN);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(write(sv[0], "last", 4), 4);
    CHECK_EQ(shutdown(sv[0], SHUT_WR), 0);
    CHECK_ERRNO(write(sv[0], "x", 1), EPIPE);
    CHECK_EQ(read(sv[1], buf, 8), 4);
    CHECK_EQ(read(sv[1], buf, 8), 0);
    CHECK_EQ(write(sv[1], "back", 4), 4);
    CHECK_EQ(read(sv[0], buf, 8), 4);
    CHECK_EQ(shutdown(sv[0], SHUT_RD), 0);
    CHECK_EQ(read(sv[0], buf, 8), 0);
    CHECK_ERRNO(write(sv[1], "x", 1), EPIPE);
    CHECK_ERRNO(shutdown(sv[0], 3), EINVAL);
    CHECK_ERRNO(shutdown(-1, SHUT_RD), EBADF);
    CHECK_EQ(shutdown(sv[1], SHUT_RDWR), 0);
}

TEST(peer_is_gone)
{
    char buf[8];
    int sv[2], v;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(write(sv[1], "rest", 4), 4);
    close(sv[1]);
    CHECK_EQ(read(sv[0], buf, 8), 4);
    CHECK_EQ(read(sv[0], buf, 8), 0);
    CHECK_ERRNO(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    pid_t pid = FORK({ (void)!write(sv[0], "x", 1); });
    CHECK_KILLED(pid, SIGPIPE);
    /* Data that the peer never read makes it a reset. */
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(write(sv[0], "unread", 6), 6);
    close(sv[1]);
    v = get_int(sv[0], SOL_SOCKET, SO_ERROR);
    CHECK_EQ(v, ECONNRESET);
    CHECK_EQ(get_int(sv[0], SOL_SOCKET, SO_ERROR), 0);
}

TEST(not_connected)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a;
    socklen_t len = sizeof(a);
    char c;

    (void)signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(read(fd, &c, 1), EINVAL);
    CHECK_ERRNO(write(fd, &c, 1), ENOTCONN);
    CHECK_ERRNO(getpeername(fd, (void *)&a, &len), ENOTCONN);
    len = sizeof(a);
    CHECK_EQ(getsockname(fd, (void *)&a, &len), 0);
    CHECK_EQ(len, sizeof(sa_family_t));
    len = (socklen_t)-1;
    CHECK_ERRNO(getsockname(fd, (void *)&a, &len), EINVAL);
    CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN | POLLOUT}, 1, 0), 1);
}

TEST(message_flags)
{
    char buf[16];
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(write(sv[0], "abcdef", 6), 6);
    CHECK_EQ(recv(sv[1], buf, 4, MSG_PEEK), 4);
    CHECK_EQ(recv(sv[1], buf, 16, MSG_PEEK), 6);
    CHECK_EQ(recv(sv[1], buf, 3, 0), 3);
    CHECK(memcmp(buf, "abc", 3) == 0);
    CHECK_EQ(recv(sv[1], buf, 16, MSG_DONTWAIT), 3);
    CHECK_ERRNO(recv(sv[1], buf, 16, MSG_DONTWAIT | MSG_PEEK), EAGAIN);
    CHECK_EQ(recv(sv[1], buf, 0, MSG_DONTWAIT), -1);
    /* WAITALL collects several sends. */
    pid_t pid = FORK({
        for (int i = 0; i < 5; i++) {
            CHECK_EQ(send(sv[0], "xy", 2, 0), 2);
            sched_yield();
        }
    });
    CHECK_EQ(recv(sv[1], buf, 10, MSG_WAITALL), 10);
    wait_ok(pid);
    CHECK_EQ(send(sv[0], "zz", 2, 0), 2);
    CHECK_EQ(recv(sv[1], buf, 10, MSG_WAITALL | MSG_DONTWAIT), 2);
    CHECK_EQ(send(sv[0], "end", 3, 0), 3);
    close(sv[0]);
    CHECK_EQ(recv(sv[1], buf, 10, MSG_WAITALL), 3);
}

TEST(queue_sizes)
{
    int sv[2], n = -1;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(ioctl(sv[1], FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
    CHECK_EQ(write(sv[0], "hello", 5), 5);
    CHECK_EQ(write(sv[0], "there", 5), 5);
    CHECK_EQ(ioctl(sv[1], FIONREAD, &n), 0);
    CHECK_EQ(n, 10);
    CHECK_EQ(ioctl(sv[0], TIOCOUTQ, &n), 0);
    CHECK(n >= 10);
    char buf[16];
    CHECK_EQ(read(sv[1], buf, 16), 10);
    CHECK_EQ(ioctl(sv[0], TIOCOUTQ, &n), 0);
    CHECK_EQ(n, 0);
    CHECK_ERRNO(ioctl(sv[0], TCGETS, buf), ENOTTY);
}

TEST(seqpacket)
{
    char buf[16];
    int sv[2], l, c, s;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
    CHECK_EQ(write(sv[0], "one", 3), 3);
    CHECK_EQ(write(sv[0], "second", 6), 6);
    CHECK_EQ(read(sv[1], buf, 16), 3);
    CHECK_EQ(read(sv[1], buf, 2), 2);
    CHECK_EQ(recv(sv[1], buf, 16, MSG_DONTWAIT), -1);
    CHECK_EQ(write(sv[0], "longer", 6), 6);
    CHECK_EQ(recv(sv[1], buf, 2, MSG_TRUNC), 6);
    CHECK_EQ(send(sv[0], "", 0, 0), 0);
    CHECK_EQ(recv(sv[1], buf, 16, 0), 0);
    close(sv[0]);
    CHECK_EQ(recv(sv[1], buf, 16, 0), 0);
    scratch();
    l = listener(SOCK_SEQPACKET, "seq", 4);
    c = client(SOCK_SEQPACKET, "seq");
    CHECK((s = accept(l, NULL, NULL)) >= 0);
    CHECK_EQ(send(c, "msg", 3, 0), 3);
    CHECK_EQ(recv(s, buf, 16, 0), 3);
}

TEST(vectors_and_large_messages)
{
    static char big[400000], in[400000];
    struct iovec iov[3] = {{big, 100000}, {big + 100000, 1}, {big + 100001, 299999}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 3};
    size_t have = 0;
    int sv[2];

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 17 >> 4);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    pid_t pid = FORK({
        close(sv[1]);
        CHECK_EQ(sendmsg(sv[0], &m, 0), sizeof(big));
    });
    close(sv[0]);
    for (;;) {
        ssize_t n = read(sv[1], in + have, sizeof(in) - have);

        CHECK(n >= 0);
        if (n == 0)
            break;
        have += (size_t)n;
    }
    CHECK_EQ(have, sizeof(big));
    CHECK(memcmp(big, in, sizeof(big)) == 0);
    wait_ok(pid);
}

TEST(rebind_after_unlink)
{
    int a, b, c;

    scratch();
    a = listener(SOCK_STREAM, "sock", 1);
    CHECK_EQ(unlink("sock"), 0);
    b = listener(SOCK_STREAM, "sock", 1);
    c = client(SOCK_STREAM, "sock");
    CHECK(c >= 0);
    CHECK(fd_ready(b, POLLIN));
    CHECK(!fd_ready(a, POLLIN));
    /* A renamed or hard-linked name leads to the same socket. */
    CHECK_EQ(rename("sock", "other"), 0);
    CHECK_EQ(link("other", "third"), 0);
    CHECK(client(SOCK_STREAM, "third") >= 0);
}

TEST(many_clients)
{
    enum { CLIENTS = 8, ROUNDS = 30 };
    pid_t pids[CLIENTS];
    int l;

    scratch();
    l = listener(SOCK_STREAM, "sock", 16);
    for (int i = 0; i < CLIENTS; i++) {
        pids[i] = FORK({
            for (int r = 0; r < ROUNDS; r++) {
                int fd = client(SOCK_STREAM, "sock"), v = i * 1000 + r, back;

                CHECK_EQ(write(fd, &v, sizeof(v)), sizeof(v));
                CHECK_EQ(recv(fd, &back, sizeof(back), MSG_WAITALL), sizeof(back));
                CHECK_EQ(back, ~v);
                close(fd);
            }
        });
    }
    for (int i = 0; i < CLIENTS * ROUNDS; i++) {
        int fd = accept(l, NULL, NULL), v;

        CHECK(fd >= 0);
        CHECK_EQ(recv(fd, &v, sizeof(v), MSG_WAITALL), sizeof(v));
        v = ~v;
        CHECK_EQ(write(fd, &v, sizeof(v)), sizeof(v));
        close(fd);
    }
    for (int i = 0; i < CLIENTS; i++)
        wait_ok(pids[i]);
}
