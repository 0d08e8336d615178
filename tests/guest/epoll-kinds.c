/*
 * epoll with every kind of descriptor that has readiness, edge triggering of each, and events that
 * several epoll instances and threads share.
 */
#include "scratch.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static int ep;

static void watch(int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};

    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0);
}

/* The events reported now, or within ten seconds when some are due. */
static uint32_t now(void)
{
    struct epoll_event e;

    return epoll_wait(ep, &e, 1, 0) == 1 ? e.events : 0;
}

static uint32_t soon(void)
{
    struct epoll_event e;

    return epoll_wait(ep, &e, 1, 10000) == 1 ? e.events : 0;
}

TEST(edge_on_eventfd)
{
    uint64_t v = 1;
    int fd = eventfd(0, EFD_NONBLOCK);

    ep = epoll_create1(0);
    watch(fd, EPOLLIN | EPOLLET);
    CHECK_EQ(now(), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(write(fd, &v, 8), 8);
        CHECK_EQ(now(), EPOLLIN);
        CHECK_EQ(now(), 0);
    }
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 3);
    CHECK_EQ(now(), 0);
}

TEST(edge_on_timerfd)
{
    struct itimerspec its = {.it_value.tv_nsec = 2000000, .it_interval.tv_nsec = 2000000};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    uint64_t v;

    ep = epoll_create1(0);
    watch(fd, EPOLLIN | EPOLLET);
    CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
    CHECK_EQ(soon(), EPOLLIN);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(soon(), EPOLLIN);
    its = (struct itimerspec){0};
    CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
    (void)now();
    CHECK_EQ(now(), 0);
}

TEST(signalfd)
{
    struct signalfd_siginfo si;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    fd = signalfd(-1, &set, SFD_NONBLOCK);
    ep = epoll_create1(0);
    watch(fd, EPOLLIN);
    CHECK_EQ(now(), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(soon(), EPOLLIN);
    CHECK_EQ(read(fd, &si, sizeof(si)), sizeof(si));
    CHECK_EQ(now(), 0);
}

TEST(inotify)
{
    char buf[4096];
    int fd = inotify_init1(IN_NONBLOCK);

    scratch();
    CHECK(inotify_add_watch(fd, ".", IN_CREATE) > 0);
    ep = epoll_create1(0);
    watch(fd, EPOLLIN);
    CHECK_EQ(now(), 0);
    put_file("f", "");
    CHECK_EQ(soon(), EPOLLIN);
    CHECK(read(fd, buf, sizeof(buf)) > 0);
    CHECK_EQ(now(), 0);
}

TEST(pidfd)
{
    int hold[2], fd;
    char c;

    CHECK_EQ(pipe(hold), 0);
    pid_t pid = FORK({
        close(hold[1]);
        CHECK_EQ(read(hold[0], &c, 1), 0);
    });
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(fd >= 0);
    ep = epoll_create1(0);
    watch(fd, EPOLLIN);
    CHECK_EQ(now(), 0);
    close(hold[1]);
    CHECK(soon() & EPOLLIN);
    wait_ok(pid);
}

TEST(fifo)
{
    int r, w;
    char c;

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    r = open("p", O_RDONLY | O_NONBLOCK);
    ep = epoll_create1(0);
    watch(r, EPOLLIN);
    CHECK_EQ(now(), 0);
    w = open("p", O_WRONLY);
    CHECK_EQ(now(), 0);
    CHECK_EQ(write(w, "x", 1), 1);
    CHECK_EQ(now(), EPOLLIN);
    close(w);
    CHECK_EQ(now(), EPOLLIN | EPOLLHUP);
    CHECK_EQ(read(r, &c, 1), 1);
    CHECK_EQ(now(), EPOLLHUP);
    /* A new writer ends the hang-up. */
    w = open("p", O_WRONLY);
    CHECK_EQ(now(), 0);
}

TEST(pipe_write_side)
{
    static char block[65536];
    int p[2];

    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    ep = epoll_create1(0);
    watch(p[1], EPOLLOUT | EPOLLET);
    CHECK_EQ(now(), EPOLLOUT);
    CHECK_EQ(now(), 0);
    CHECK_EQ(write(p[1], block, sizeof(block)), 65536);
    CHECK_EQ(now(), 0);
    CHECK_EQ(read(p[0], block, sizeof(block)), 65536);
    CHECK_EQ(now(), EPOLLOUT);
    close(p[0]);
    CHECK_EQ(now() & EPOLLERR, EPOLLERR);
}

TEST(socket_half_close)
{
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    ep = epoll_create1(0);
    watch(sv[0], EPOLLIN | EPOLLRDHUP | EPOLLET);
    CHECK_EQ(now(), 0);
    CHECK_EQ(shutdown(sv[1], SHUT_WR), 0);
    CHECK_EQ(now(), EPOLLIN | EPOLLRDHUP);
    CHECK_EQ(now(), 0);
    close(sv[1]);
    CHECK_EQ(now() & EPOLLHUP, EPOLLHUP);
}

TEST(memfd_and_devices)
{
    struct epoll_event e = {.events = EPOLLIN};

    ep = epoll_create1(0);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, memfd_create("m", 0), &e), EPERM);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, open("/dev/null", O_RDONLY), &e), EPERM);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, open("/dev/zero", O_RDONLY), &e), EPERM);
    /* This one has readiness: it tells of changes. */
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, open("/proc/self/mounts", O_RDONLY), &e), 0);
}

TEST(one_object_in_two_instances)
{
    struct epoll_event e = {.events = EPOLLIN}, out;
    int a = epoll_create1(0), b = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);
    uint64_t v = 1;

    CHECK_EQ(epoll_ctl(a, EPOLL_CTL_ADD, fd, &e), 0);
    CHECK_EQ(epoll_ctl(b, EPOLL_CTL_ADD, fd, &e), 0);
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(epoll_wait(a, &out, 1, 0), 1);
    CHECK_EQ(epoll_wait(b, &out, 1, 0), 1);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(epoll_wait(a, &out, 1, 0), 0);
    CHECK_EQ(epoll_wait(b, &out, 1, 0), 0);
}

TEST(nested_edge)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET}, out;
    int inner = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);
    uint64_t v = 1;

    ep = epoll_create1(0);
    CHECK_EQ(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &e), 0);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, inner, &e), 0);
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(now(), EPOLLIN);
    CHECK_EQ(now(), 0);
    CHECK_EQ(epoll_wait(inner, &out, 1, 0), 1);
    CHECK_EQ(epoll_wait(inner, &out, 1, 0), 0);
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(now(), EPOLLIN);
}

TEST(nested_wakes_a_sleeper)
{
    struct epoll_event e = {.events = EPOLLIN}, out;
    int inner = epoll_create1(0), middle = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    ep = epoll_create1(0);
    CHECK_EQ(epoll_ctl(inner, EPOLL_CTL_ADD, p[0], &e), 0);
    CHECK_EQ(epoll_ctl(middle, EPOLL_CTL_ADD, inner, &e), 0);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, middle, &e), 0);
    pid_t pid = FORK({ CHECK_EQ(epoll_wait(ep, &out, 1, -1), 1); });
    gt_wait_state(pid, "S");
    CHECK_EQ(write(p[1], "x", 1), 1);
    wait_ok(pid);
}

TEST(closing_an_instance_in_use)
{
    struct epoll_event e = {.events = EPOLLIN}, out;
    int inner = epoll_create1(0), fd = eventfd(1, 0);

    ep = epoll_create1(0);
    CHECK_EQ(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &e), 0);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, inner, &e), 0);
    CHECK_EQ(epoll_wait(ep, &out, 1, 0), 1);
    close(inner);
    CHECK_EQ(epoll_wait(ep, &out, 1, 0), 0);
}

TEST(same_number_another_file)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 1}, out[4];
    int p[2], q[2], keep;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pipe(q), 0);
    ep = epoll_create1(0);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), 0);
    keep = dup(p[0]);
    /* The key is the number together with the open file. */
    CHECK_EQ(dup2(q[0], p[0]), p[0]);
    e.data.u64 = 2;
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(write(q[1], "x", 1), 1);
    CHECK_EQ(epoll_wait(ep, out, 4, 0), 2);
    CHECK_EQ(out[0].data.u64 + out[1].data.u64, 3);
    close(keep);
    CHECK_EQ(epoll_wait(ep, out, 4, 0), 1);
    CHECK_EQ(out[0].data.u64, 2);
}

TEST(thousand_descriptors)
{
    enum { COUNT = 500 };
    static int fds[COUNT];
    static struct epoll_event out[COUNT];
    uint64_t v = 1;

    ep = epoll_create1(0);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK);
        if (fds[i] < 0)
            SKIP("too few descriptors allowed");
        watch(fds[i], EPOLLIN);
    }
    for (int round = 0; round < 5; round++) {
        for (int i = round; i < COUNT; i += 5)
            CHECK_EQ(write(fds[i], &v, 8), 8);
        CHECK_EQ(epoll_wait(ep, out, COUNT, -1), COUNT / 5);
        for (int i = 0; i < COUNT / 5; i++)
            CHECK_EQ(read(out[i].data.fd, &v, 8), 8);
        v = 1;
    }
}

static int event_fd;
static atomic_bool stop;

static void *adds_and_removes(void *arg)
{
    struct epoll_event e = {.events = EPOLLIN};

    (void)arg;
    while (!stop) {
        int fd = dup(event_fd);

        CHECK(fd >= 0);
        CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0);
        CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e), 0);
        if (fd & 1)
            CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), 0);
        else
            CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, fd, &e), 0);
        CHECK_EQ(close(fd), 0);
    }
    return NULL;
}

TEST(changes_while_waiting)
{
    pthread_t t[3];
    struct epoll_event out[8];
    uint64_t v;

    ep = epoll_create1(0);
    event_fd = eventfd(1, EFD_NONBLOCK);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, adds_and_removes, NULL), 0);
    for (int i = 0; i < 3000; i++) {
        int n = epoll_wait(ep, out, 8, 1);

        CHECK(n >= 0 && n <= 3);
        for (int k = 0; k < n; k++)
            CHECK_EQ(out[k].events, EPOLLIN);
        if (i % 100 == 0) {
            CHECK_EQ(read(event_fd, &v, 8), 8);
            v = 1;
            CHECK_EQ(write(event_fd, &v, 8), 8);
        }
    }
    stop = true;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK_EQ(epoll_wait(ep, out, 8, 0), 0);
}

static atomic_int woken;

static void *one_shot_worker(void *arg)
{
    (void)arg;
    for (;;) {
        struct epoll_event e;
        uint64_t v;

        CHECK_EQ(epoll_wait(ep, &e, 1, -1), 1);
        if (e.data.fd == -1)
            return NULL;
        /* Only this thread owns the descriptor until it is armed again. */
        CHECK_EQ(read(e.data.fd, &v, 8), 8);
        woken += (int)v;
        e.events = EPOLLIN | EPOLLONESHOT;
        CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, e.data.fd, &e), 0);
    }
}

TEST(one_shot_hands_over_between_threads)
{
    enum { ROUNDS = 2000 };
    pthread_t t[4];
    int fd = eventfd(0, EFD_NONBLOCK), end = eventfd(1, 0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = -1};
    uint64_t one = 1;

    ep = epoll_create1(0);
    watch(fd, EPOLLIN | EPOLLONESHOT);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, one_shot_worker, NULL), 0);
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(write(fd, &one, 8), 8);
    while (woken != ROUNDS)
        sched_yield();
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, end, &e), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
}
