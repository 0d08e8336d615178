/*
 * epoll: the control calls, level, edge, one-shot and exclusive triggering, nesting and its loops,
 * the life of a registration when descriptors are duplicated and closed, and the waiting calls.
 */
#include "scratch.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event e = {.events = events, .data.u64 = data};

    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0);
}

static int ready(int ep)
{
    struct epoll_event e[16];

    return epoll_wait(ep, e, 16, 0);
}

static void put(int fd)
{
    CHECK_EQ(write(fd, "x", 1), 1);
}

static void get(int fd)
{
    char c;

    CHECK_EQ(read(fd, &c, 1), 1);
}

TEST(create)
{
    int ep;

    CHECK((ep = epoll_create1(0)) >= 0);
    CHECK_EQ(fcntl(ep, F_GETFD), 0);
    CHECK((ep = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    CHECK_EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
    CHECK((ep = epoll_create(1)) >= 0);
    CHECK_ERRNO(epoll_create1(1), EINVAL);
    CHECK_ERRNO(epoll_create(0), EINVAL);
    CHECK_ERRNO(epoll_create(-1), EINVAL);
}

TEST(ctl_errors)
{
    struct epoll_event e = {.events = EPOLLIN};
    int ep = epoll_create1(0), p[2], file;

    scratch();
    put_file("f", "");
    file = open("f", O_RDWR);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, file, &e), EPERM);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, open(".", O_RDONLY), &e), EPERM);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, 900, &e), EBADF);
    CHECK_ERRNO(epoll_ctl(900, EPOLL_CTL_ADD, p[0], &e), EBADF);
    CHECK_ERRNO(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &e), EINVAL);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e), EINVAL);
    CHECK_ERRNO(epoll_ctl(ep, 99, p[0], &e), EINVAL);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), ENOENT);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], &e), ENOENT);
    CHECK_ERRNO(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, p[0], NULL), EFAULT);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), 0);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), EEXIST);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), 0);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), ENOENT);
}

TEST(wait_errors)
{
    struct epoll_event e[2];
    int ep = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(epoll_wait(ep, e, 0, 0), EINVAL);
    CHECK_ERRNO(epoll_wait(ep, e, -1, 0), EINVAL);
    CHECK_ERRNO(epoll_wait(p[0], e, 1, 0), EINVAL);
    CHECK_ERRNO(epoll_wait(900, e, 1, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_epoll_wait, ep, e, INT_MAX, 0), EINVAL);
    add(ep, p[1], EPOLLOUT, 1);
    CHECK_ERRNO(syscall(SYS_epoll_wait, ep, (void *)8, 1, 0), EFAULT);
    CHECK_EQ(epoll_wait(ep, e, 1, 0), 1);
    char c;
    CHECK_ERRNO(read(ep, &c, 1), EINVAL);
    CHECK_ERRNO(write(ep, &c, 1), EINVAL);
}

TEST(level_triggered)
{
    struct epoll_event e[2];
    int ep = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    add(ep, p[0], EPOLLIN, 0x1122334455667788ull);
    CHECK_EQ(ready(ep), 0);
    put(p[1]);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(epoll_wait(ep, e, 2, -1), 1);
        CHECK_EQ(e[0].events, EPOLLIN);
        CHECK_EQ(e[0].data.u64, 0x1122334455667788ull);
    }
    get(p[0]);
    CHECK_EQ(ready(ep), 0);
    close(p[1]);
    CHECK_EQ(epoll_wait(ep, e, 2, -1), 1);
    CHECK_EQ(e[0].events, EPOLLHUP);
}

TEST(edge_triggered)
{
    int ep = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    put(p[1]);
    add(ep, p[0], EPOLLIN | EPOLLET, 1);
    CHECK_EQ(ready(ep), 1);
    CHECK_EQ(ready(ep), 0);
    /* New data is a new edge although the old was not read. */
    put(p[1]);
    CHECK_EQ(ready(ep), 1);
    CHECK_EQ(ready(ep), 0);
    get(p[0]);
    CHECK_EQ(ready(ep), 0);
    get(p[0]);
    put(p[1]);
    CHECK_EQ(ready(ep), 1);
    /* MOD looks at the state anew. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), 0);
    CHECK_EQ(ready(ep), 1);
    CHECK_EQ(ready(ep), 0);
}

TEST(edge_triggered_write_side)
{
    int ep = epoll_create1(0), sv[2];
    static char block[4096];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
    add(ep, sv[0], EPOLLOUT | EPOLLET, 1);
    CHECK_EQ(ready(ep), 1);
    CHECK_EQ(ready(ep), 0);
    while (write(sv[0], block, sizeof(block)) > 0)
        continue;
    CHECK_EQ(ready(ep), 0);
    while (read(sv[1], block, sizeof(block)) > 0)
        continue;
    CHECK_EQ(ready(ep), 1);
    CHECK_EQ(ready(ep), 0);
}

TEST(one_shot)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT};
    int ep = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    add(ep, p[0], EPOLLIN | EPOLLONESHOT, 1);
    put(p[1]);
    CHECK_EQ(ready(ep), 1);
    CHECK_EQ(ready(ep), 0);
    put(p[1]);
    CHECK_EQ(ready(ep), 0);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), EEXIST);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), 0);
    CHECK_EQ(ready(ep), 1);
    CHECK_EQ(ready(ep), 0);
    close(p[1]);
    CHECK_EQ(ready(ep), 0);
}

TEST(modify_and_zero_mask)
{
    struct epoll_event e = {.events = 0, .data.u64 = 7}, out;
    int ep = epoll_create1(0), sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    add(ep, sv[0], EPOLLIN | EPOLLOUT, 1);
    CHECK_EQ(epoll_wait(ep, &out, 1, 0), 1);
    CHECK_EQ(out.events, EPOLLOUT);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, sv[0], &e), 0);
    CHECK_EQ(ready(ep), 0);
    /* Errors and hang-up come whatever the mask says. */
    close(sv[1]);
    CHECK_EQ(epoll_wait(ep, &out, 1, 0), 1);
    CHECK_EQ(out.events, EPOLLHUP);
    CHECK_EQ(out.data.u64, 7);
}

TEST(more_ready_than_asked_for_takes_turns)
{
    enum { COUNT = 10 };
    int ep = epoll_create1(0), seen[COUNT] = {0};

    for (int i = 0; i < COUNT; i++)
        add(ep, eventfd(1, 0), EPOLLIN, (uint64_t)i);
    for (int round = 0; round < COUNT; round++) {
        struct epoll_event e[2];
        int n = epoll_wait(ep, e, 2, 0);

        CHECK_EQ(n, 2);
        for (int i = 0; i < n; i++)
            seen[e[i].data.u64]++;
    }
    for (int i = 0; i < COUNT; i++)
        CHECK(seen[i] > 0);
}

TEST(nested)
{
    struct epoll_event e;
    int inner = epoll_create1(0), outer = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    add(inner, p[0], EPOLLIN, 1);
    add(outer, inner, EPOLLIN, 2);
    CHECK_EQ(ready(outer), 0);
    CHECK(!fd_ready(inner, POLLIN));
    put(p[1]);
    CHECK_EQ(epoll_wait(outer, &e, 1, -1), 1);
    CHECK_EQ(e.data.u64, 2);
    CHECK_EQ(e.events, EPOLLIN);
    CHECK(fd_ready(inner, POLLIN));
    CHECK(fd_ready(outer, POLLIN));
    get(p[0]);
    CHECK_EQ(ready(outer), 0);
    CHECK(!fd_ready(outer, POLLIN));
}

TEST(loops_and_depth)
{
    struct epoll_event e = {.events = EPOLLIN};
    int a = epoll_create1(0), b = epoll_create1(0), c = epoll_create1(0), chain[7];

    add(a, b, EPOLLIN, 0);
    add(b, c, EPOLLIN, 0);
    CHECK_ERRNO(epoll_ctl(c, EPOLL_CTL_ADD, a, &e), ELOOP);
    CHECK_ERRNO(epoll_ctl(b, EPOLL_CTL_ADD, a, &e), ELOOP);
    CHECK_EQ(epoll_ctl(a, EPOLL_CTL_DEL, b, NULL), 0);
    CHECK_EQ(epoll_ctl(c, EPOLL_CTL_ADD, a, &e), 0);
    chain[0] = epoll_create1(0);
    int made = 1;
    for (int i = 1; i < 7; i++, made++) {
        chain[i] = epoll_create1(0);
        if (epoll_ctl(chain[i], EPOLL_CTL_ADD, chain[i - 1], &e) < 0)
            break;
    }
    /* At most five levels. */
    CHECK_EQ(errno, ELOOP);
    CHECK_EQ(made, 5);
}

TEST(closing_the_last_duplicate_removes)
{
    struct epoll_event e;
    int ep = epoll_create1(0), p[2], two;

    CHECK_EQ(pipe(p), 0);
    put(p[1]);
    add(ep, p[0], EPOLLIN, 42);
    two = dup(p[0]);
    close(p[0]);
    /* The open file still exists, so the registration does, and cannot be removed by number. */
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
    CHECK_EQ(e.data.u64, 42);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), EBADF);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, two, NULL), ENOENT);
    close(two);
    CHECK_EQ(ready(ep), 0);
}

TEST(duplicates_are_separate_registrations)
{
    struct epoll_event e[4];
    int ep = epoll_create1(0), p[2], two;

    CHECK_EQ(pipe(p), 0);
    two = dup(p[0]);
    add(ep, p[0], EPOLLIN, 1);
    add(ep, two, EPOLLIN, 2);
    put(p[1]);
    CHECK_EQ(epoll_wait(ep, e, 4, 0), 2);
    CHECK(e[0].data.u64 + e[1].data.u64 == 3);
    /* A dup of the epoll descriptor shows the same set. */
    int ep2 = dup(ep);
    CHECK_EQ(ready(ep2), 2);
    CHECK_EQ(epoll_ctl(ep2, EPOLL_CTL_DEL, two, NULL), 0);
    CHECK_EQ(ready(ep), 1);
}

TEST(registration_in_a_forked_child)
{
    int ep = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    add(ep, p[0], EPOLLIN, 1);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(ready(ep), 0);
        close(p[0]);
        put(p[1]);
        CHECK_EQ(ready(ep), 1);
        _exit(0);
    }
    wait_ok(pid);
    CHECK_EQ(ready(ep), 1);
}

TEST(time_outs)
{
    struct epoll_event e;
    struct timespec ts = {.tv_nsec = 20000000}, bad = {.tv_nsec = 1000000000};
    int ep = epoll_create1(0);
    int64_t start = gt_now_ms();

    CHECK_EQ(epoll_wait(ep, &e, 1, 40), 0);
    CHECK(gt_now_ms() - start >= 39);
    start = gt_now_ms();
    CHECK_EQ(syscall(SYS_epoll_pwait2, ep, &e, 1, &ts, NULL, 0), 0);
    CHECK(gt_now_ms() - start >= 19);
    CHECK_ERRNO(syscall(SYS_epoll_pwait2, ep, &e, 1, &bad, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_epoll_pwait2, ep, &e, 1, (void *)8, NULL, 0), EFAULT);
    add(ep, eventfd(1, 0), EPOLLIN, 3);
    CHECK_EQ(syscall(SYS_epoll_pwait2, ep, &e, 1, NULL, NULL, 0), 1);
    CHECK_EQ(e.data.u64, 3);
}

TEST(wakes_a_sleeper)
{
    int ep = epoll_create1(0), p[2];
    struct epoll_event e;

    CHECK_EQ(pipe(p), 0);
    add(ep, p[0], EPOLLIN, 5);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(epoll_wait(ep, &e, 1, -1), 1);
        CHECK_EQ(e.data.u64, 5);
        _exit(0);
    }
    gt_wait_state(pid, "S");
    put(p[1]);
    wait_ok(pid);
}

TEST(added_while_somebody_waits)
{
    int ep = epoll_create1(0), ev = eventfd(1, 0);
    struct epoll_event e;

    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(epoll_wait(ep, &e, 1, -1), 1);
        CHECK_EQ(e.data.u64, 9);
        _exit(0);
    }
    gt_wait_state(pid, "S");
    add(ep, ev, EPOLLIN, 9);
    wait_ok(pid);
}

static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
    got_signal = sig;
}

TEST(pwait_mask_is_atomic)
{
    struct epoll_event e;
    sigset_t blocked, none;
    int ep = epoll_create1(0);

    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
    CHECK_EQ(got_signal, 0);
    CHECK_ERRNO(epoll_pwait(ep, &e, 1, 60000, &none), EINTR);
    CHECK_EQ(got_signal, SIGUSR1);
    CHECK_ERRNO(syscall(SYS_epoll_pwait, ep, &e, 1, 0, &none, 4), EINVAL);
}

TEST(exclusive_rules)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    int ep = epoll_create1(0), ep2 = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), 0);
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), EINVAL);
    e.events = EPOLLIN;
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), EINVAL);
    e.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &e), EINVAL);
    e.events = EPOLLIN | EPOLLEXCLUSIVE;
    CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, ep2, &e), EINVAL);
    put(p[1]);
    CHECK_EQ(ready(ep), 1);
}

TEST(exclusive_wakes_at_least_one)
{
    enum { PROCS = 4 };
    pid_t pids[PROCS];
    int ev = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE), status;

    for (int i = 0; i < PROCS; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE};
            int ep = epoll_create1(0);
            uint64_t v;

            CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e), 0);
            do
                CHECK_EQ(epoll_wait(ep, &e, 1, -1), 1);
            while (read(ev, &v, 8) != 8);
            _exit(0);
        }
    }
    for (int i = 0; i < PROCS; i++)
        gt_wait_state(pids[i], "S");
    /* Each unit lets one child go; nobody may be left asleep while units remain. */
    for (int i = 0; i < PROCS; i++) {
        uint64_t one = 1;

        CHECK_EQ(write(ev, &one, 8), 8);
        CHECK(waitpid(-1, &status, 0) > 0);
        CHECK_EQ(status, 0);
    }
}

static int shared_ep;
static _Atomic int consumed;

static void *consumer(void *arg)
{
    (void)arg;
    for (;;) {
        struct epoll_event e;
        uint64_t v;

        CHECK_EQ(epoll_wait(shared_ep, &e, 1, -1), 1);
        if (e.data.u64 == (uint64_t)-1)
            return NULL;
        CHECK_EQ(read((int)e.data.u64, &v, 8), 8);
        consumed++;
    }
}

TEST(edge_triggered_threads_see_each_event_once)
{
    enum { THREADS = 4, FDS = 8, ROUNDS = 50 };
    pthread_t t[THREADS];
    int fds[FDS];
    uint64_t one = 1;

    shared_ep = epoll_create1(0);
    for (int i = 0; i < FDS; i++) {
        fds[i] = eventfd(0, 0);
        add(shared_ep, fds[i], EPOLLIN | EPOLLET, (uint64_t)fds[i]);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, consumer, NULL), 0);
    for (int r = 0; r < ROUNDS; r++) {
        int before = consumed;

        for (int i = 0; i < FDS; i++)
            CHECK_EQ(write(fds[i], &one, 8), 8);
        /* A second consumer of the same event would block in read for ever. */
        while (consumed != before + FDS)
            sched_yield();
    }
    add(shared_ep, eventfd(1, 0), EPOLLIN, (uint64_t)-1);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK_EQ(consumed, FDS * ROUNDS);
}

TEST(fdinfo_lists_targets)
{
    char path[64], text[4096], want[64];
    int ep = epoll_create1(0), p[2];

    CHECK_EQ(pipe(p), 0);
    add(ep, p[0], EPOLLIN, 0xabc);
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep);
    CHECK(get_file(path, text, sizeof(text)) > 0);
    (void)snprintf(want, sizeof(want), "tfd: %8d events: %8x data: %16x", p[0],
                   EPOLLIN | EPOLLERR | EPOLLHUP, 0xabc);
    CHECK(strstr(text, want) != NULL);
}
