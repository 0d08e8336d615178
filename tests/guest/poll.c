/*
 * poll, ppoll, select and pselect6: readiness, time-outs, what they report for each kind of
 * descriptor, closed descriptors, and the atomic change of the signal mask.
 */
#include "scratch.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>

static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
    got_signal = sig;
}

TEST(poll_basics)
{
    struct pollfd p[3];
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    p[0] = (struct pollfd){.fd = fds[0], .events = POLLIN, .revents = 99};
    p[1] = (struct pollfd){.fd = fds[1], .events = POLLOUT};
    p[2] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = 99};
    CHECK_EQ(poll(p, 3, 0), 1);
    CHECK_EQ(p[0].revents, 0);
    CHECK_EQ(p[1].revents, POLLOUT);
    CHECK_EQ(p[2].revents, 0);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(poll(p, 3, -1), 2);
    CHECK_EQ(p[0].revents, POLLIN);
    p[0].events = POLLIN | POLLRDNORM;
    CHECK_EQ(poll(p, 1, 0), 1);
    CHECK_EQ(p[0].revents, POLLIN | POLLRDNORM);
    p[0].events = 0;
    CHECK_EQ(poll(p, 1, 0), 0);
    p[0].fd = 900;
    CHECK_EQ(poll(p, 1, -1), 1);
    CHECK_EQ(p[0].revents, POLLNVAL);
    CHECK_EQ(poll(NULL, 0, 0), 0);
    CHECK_ERRNO(syscall(SYS_poll, (void *)8, 1, 0), EFAULT);
}

TEST(poll_time_out)
{
    struct pollfd p;
    int fds[2];
    int64_t start;

    CHECK_EQ(pipe(fds), 0);
    p = (struct pollfd){.fd = fds[0], .events = POLLIN};
    start = gt_now_ms();
    CHECK_EQ(poll(&p, 1, 50), 0);
    CHECK(gt_now_ms() - start >= 49);
    CHECK_EQ(p.revents, 0);
    start = gt_now_ms();
    CHECK_EQ(poll(NULL, 0, 30), 0);
    CHECK(gt_now_ms() - start >= 29);
}

TEST(poll_wakes)
{
    struct pollfd p;
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    p = (struct pollfd){.fd = fds[0], .events = POLLIN};
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[1]);
        CHECK_EQ(poll(&p, 1, -1), 1);
        CHECK_EQ(p.revents, POLLIN);
        _exit(0);
    }
    gt_wait_state(pid, "S");
    CHECK_EQ(write(fds[1], "x", 1), 1);
    wait_ok(pid);
    char c;
    CHECK_EQ(read(fds[0], &c, 1), 1);
    pid = fork();
    if (pid == 0) {
        close(fds[1]);
        CHECK_EQ(poll(&p, 1, -1), 1);
        CHECK_EQ(p.revents, POLLHUP);
        _exit(0);
    }
    gt_wait_state(pid, "S");
    close(fds[1]);
    wait_ok(pid);
}

TEST(poll_of_each_kind)
{
    struct pollfd p;
    int sv[2];

    scratch();
    put_file("f", "");
    p = (struct pollfd){.fd = open("f", O_RDWR), .events = POLLIN | POLLOUT | POLLPRI};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
    p.fd = open(".", O_RDONLY);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
    p.fd = open("/dev/null", O_RDWR);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
    p.fd = open("f", O_PATH);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLNVAL);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    p.fd = sv[0];
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
    p.events |= POLLRDHUP;
    CHECK_EQ(shutdown(sv[1], SHUT_WR), 0);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLRDHUP);
    close(sv[1]);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    p.fd = eventfd(0, 0);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
}

TEST(poll_limit)
{
    struct rlimit limit = {.rlim_cur = 16, .rlim_max = 16};
    static struct pollfd p[20];

    for (int i = 0; i < 20; i++)
        p[i] = (struct pollfd){.fd = -1};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(poll(p, 16, 0), 0);
    CHECK_ERRNO(poll(p, 17, 0), EINVAL);
}

TEST(poll_many)
{
    enum { COUNT = 200 };
    static struct pollfd p[COUNT];
    static int w[COUNT];

    for (int i = 0; i < COUNT; i++) {
        int fds[2];

        CHECK_EQ(pipe(fds), 0);
        p[i] = (struct pollfd){.fd = fds[0], .events = POLLIN};
        w[i] = fds[1];
    }
    CHECK_EQ(poll(p, COUNT, 0), 0);
    for (int i = 0; i < COUNT; i += 3)
        CHECK_EQ(write(w[i], "x", 1), 1);
    CHECK_EQ(poll(p, COUNT, -1), (COUNT + 2) / 3);
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(p[i].revents, i % 3 == 0 ? POLLIN : 0);
}

TEST(poll_interrupted)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int ready[2];

    CHECK_EQ(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
        CHECK_EQ(write(ready[1], "x", 1), 1);
        /* poll is never restarted after a handler, whatever SA_RESTART says. */
        CHECK_ERRNO(poll(NULL, 0, -1), EINTR);
        CHECK_EQ(got_signal, SIGUSR1);
        _exit(0);
    }
    char c;
    CHECK_EQ(read(ready[0], &c, 1), 1);
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    wait_ok(pid);
}

TEST(poll_survives_stop_and_continue)
{
    int fds[2], ready[2], status;
    char c;

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct pollfd p = {.fd = fds[0], .events = POLLIN};

        CHECK_EQ(write(ready[1], "x", 1), 1);
        CHECK_EQ(poll(&p, 1, 20000), 1);
        _exit(0);
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(kill(pid, SIGCONT), 0);
    gt_wait_state(pid, "S");
    CHECK_EQ(write(fds[1], "x", 1), 1);
    wait_ok(pid);
}

TEST(ppoll_mask_is_atomic)
{
    struct timespec zero = {0}, minute = {.tv_sec = 60};
    sigset_t blocked, none, now;

    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(got_signal, 0);
    /* The pending signal is delivered inside, although nothing else happens. */
    CHECK_ERRNO(ppoll(NULL, 0, &minute, &none), EINTR);
    CHECK_EQ(got_signal, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &now), 0);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    got_signal = 0;
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(ppoll(NULL, 0, &zero, NULL), 0);
    CHECK_EQ(got_signal, 0);
    /* A mask that blocks it for the time of the call only. */
    CHECK_EQ(ppoll(NULL, 0, &zero, &blocked), 0);
    CHECK_EQ(got_signal, 0);
    CHECK_EQ(sigprocmask(SIG_UNBLOCK, &blocked, NULL), 0);
    CHECK_EQ(got_signal, SIGUSR1);
}

TEST(ppoll_arguments)
{
    struct timespec bad[] = {{.tv_sec = -1}, {.tv_nsec = -1}, {.tv_nsec = 1000000000}};
    struct timespec t = {.tv_nsec = 20000000};
    sigset_t none;
    int64_t start;

    sigemptyset(&none);
    for (int i = 0; i < 3; i++)
        CHECK_ERRNO(syscall(SYS_ppoll, NULL, 0, &bad[i], NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_ppoll, NULL, 0, &t, &none, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_ppoll, NULL, 0, (void *)8, NULL, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_ppoll, NULL, 0, &t, (void *)8, 8), EFAULT);
    start = gt_now_ms();
    CHECK_EQ(syscall(SYS_ppoll, NULL, 0, &t, NULL, 8), 0);
    CHECK(gt_now_ms() - start >= 19);
    /* The raw call updates the time that is left. */
    CHECK_EQ(t.tv_sec, 0);
    CHECK_EQ(t.tv_nsec, 0);
}

TEST(select_basics)
{
    fd_set r, w, e;
    struct timeval tv = {0};
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_ZERO(&e);
    FD_SET(fds[0], &r);
    FD_SET(fds[1], &w);
    FD_SET(fds[0], &e);
    CHECK_EQ(select(fds[1] + 1, &r, &w, &e, &tv), 1);
    CHECK(!FD_ISSET(fds[0], &r));
    CHECK(FD_ISSET(fds[1], &w));
    CHECK(!FD_ISSET(fds[0], &e));
    CHECK_EQ(write(fds[1], "x", 1), 1);
    FD_SET(fds[0], &r);
    CHECK_EQ(select(fds[1] + 1, &r, &w, NULL, NULL), 2);
    CHECK(FD_ISSET(fds[0], &r));
    /* Only the first nfds descriptors count. */
    CHECK_EQ(select(fds[0], &r, NULL, NULL, &tv), 0);
    /* Hang-up is readable. */
    char c;
    CHECK_EQ(read(fds[0], &c, 1), 1);
    close(fds[1]);
    FD_ZERO(&r);
    FD_SET(fds[0], &r);
    CHECK_EQ(select(fds[0] + 1, &r, NULL, NULL, NULL), 1);
}

TEST(select_errors)
{
    struct timeval tv = {0}, bad = {.tv_sec = -1};
    fd_set r;
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    FD_ZERO(&r);
    FD_SET(fds[0], &r);
    close(fds[0]);
    CHECK_ERRNO(select(fds[0] + 1, &r, NULL, NULL, &tv), EBADF);
    CHECK_ERRNO(select(-1, NULL, NULL, NULL, &tv), EINVAL);
    CHECK_ERRNO(select(0, NULL, NULL, NULL, &bad), EINVAL);
    CHECK_ERRNO(syscall(SYS_select, 1, (void *)8, NULL, NULL, &tv), EFAULT);
    CHECK_ERRNO(syscall(SYS_select, 0, NULL, NULL, NULL, (void *)8), EFAULT);
    CHECK_EQ(select(0, NULL, NULL, NULL, &tv), 0);
    FD_ZERO(&r);
    FD_SET(fds[1], &r);
    (void)signal(SIGPIPE, SIG_IGN);
    tv.tv_usec = 10000;
    CHECK_EQ(select(0, NULL, NULL, NULL, &tv), 0);
    CHECK_EQ(tv.tv_usec, 0);
}

TEST(select_high_descriptors)
{
    struct timeval tv = {0};
    fd_set r;
    int fds[2], high;

    CHECK_EQ(pipe(fds), 0);
    high = fcntl(fds[0], F_DUPFD, 1000);
    CHECK_EQ(high, 1000);
    FD_ZERO(&r);
    FD_SET(high, &r);
    CHECK_EQ(select(high + 1, &r, NULL, NULL, &tv), 0);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    FD_SET(high, &r);
    CHECK_EQ(select(high + 1, &r, NULL, NULL, NULL), 1);
    CHECK(FD_ISSET(high, &r));
}

TEST(pselect_mask_is_atomic)
{
    struct timespec minute = {.tv_sec = 60};
    sigset_t blocked, none, now;
    int fds[2];
    fd_set r;

    CHECK_EQ(pipe(fds), 0);
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    FD_ZERO(&r);
    FD_SET(fds[0], &r);
    CHECK_ERRNO(pselect(fds[0] + 1, &r, NULL, NULL, &minute, &none), EINTR);
    CHECK_EQ(got_signal, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &now), 0);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    struct {
        const sigset_t *set;
        size_t size;
    } arg = {&none, 4};
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &minute, &arg), EINVAL);
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &minute, (void *)8), EFAULT);
}

TEST(two_pollers_both_wake)
{
    pid_t pids[4];
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            struct pollfd p = {.fd = fds[0], .events = POLLIN};

            CHECK_EQ(poll(&p, 1, -1), 1);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++)
        gt_wait_state(pids[i], "S");
    CHECK_EQ(write(fds[1], "x", 1), 1);
    for (int i = 0; i < 4; i++)
        wait_ok(pids[i]);
}
