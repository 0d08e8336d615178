// What a signal does to each blocking call: with SA_RESTART, without it, with an ignored signal, and with a
// stop and continue. One table, one runner.
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "guest-test.h"

// A blocking call. `setup` prepares descriptors; `call` blocks; `release` (in another process, after the
// signal) lets it end with success, by way of descriptors and memory shared over fork.
struct blocking {
    const char *name;
    void (*setup)(void);
    long (*call)(void);
    void (*release)(void);
    bool restarts;        // SA_RESTART makes it go on
    bool stop_breaks;     // stop and continue alone end it with EINTR
};

static int fds[2];
static atomic_uint *word;
static volatile sig_atomic_t calls;

static void on_signal(int sig)
{
    (void)sig;
    calls++;
}

static void setup_pipe(void)
{
    CHECK_EQ(pipe(fds), 0);
}

static void setup_full_pipe(void)
{
    static char data[4096];
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    while (write(fds[1], data, sizeof(data)) > 0)
        continue;
    CHECK_EQ(fcntl(fds[1], F_SETFL, 0), 0);
}

static void setup_socket(void)
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

static void setup_listen(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s/s%d", gt_tmpdir(), rand());
    fds[0] = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK_EQ(bind(fds[0], (struct sockaddr *)&sa, sizeof(sa)), 0);
    CHECK_EQ(listen(fds[0], 5), 0);
    fds[1] = OK(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void setup_nothing(void)
{
}

static long call_read(void)
{
    char byte;
    return read(fds[0], &byte, 1) == 1 ? 0 : -1;
}

static long call_readv(void)
{
    char byte;
    struct iovec iov = {&byte, 1};
    return syscall(SYS_readv, fds[0], &iov, 1) == 1 ? 0 : -1;
}

static void release_write(void)
{
    CHECK_EQ(write(fds[1], "x", 1), 1);
}

static long call_write(void)
{
    return write(fds[1], "x", 1) == 1 ? 0 : -1;
}

static void release_read(void)
{
    static char data[1 << 20];
    CHECK(read(fds[0], data, sizeof(data)) > 0);
}

static long call_recv(void)
{
    char byte;
    return recv(fds[0], &byte, 1, 0) == 1 ? 0 : -1;
}

static long call_accept(void)
{
    return accept(fds[0], NULL, NULL) >= 0 ? 0 : -1;
}

static void release_connect(void)
{
    struct sockaddr_un sa;
    socklen_t size = sizeof(sa);
    CHECK_EQ(getsockname(fds[0], (struct sockaddr *)&sa, &size), 0);
    CHECK_EQ(connect(fds[1], (struct sockaddr *)&sa, size), 0);
}

static pid_t child;

static void setup_child(void)
{
    CHECK_EQ(pipe(fds), 0);
    child = FORK({
        char byte;
        close(fds[1]);
        _exit(read(fds[0], &byte, 1) == 1 ? 0 : 1);
    });
}

static long call_wait4(void)
{
    return waitpid(child, NULL, 0) == child ? 0 : -1;
}

static long call_waitid(void)
{
    return waitid(P_PID, child, NULL, WEXITED);
}

static long call_futex(void)
{
    return syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void release_futex(void)
{
    atomic_store(word, 1);
    while (syscall(SYS_futex, word, FUTEX_WAKE, 10, NULL, NULL, 0) == 0)
        gt_msleep(1);
}

static long call_futex_timed(void)
{
    struct timespec ts = {100, 0};
    return syscall(SYS_futex, word, FUTEX_WAIT, 0, &ts, NULL, 0);
}

static long call_poll(void)
{
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    return poll(&p, 1, -1) == 1 ? 0 : -1;
}

static long call_poll_timed(void)
{
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    return poll(&p, 1, 100000) == 1 ? 0 : -1;
}

static long call_ppoll(void)
{
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    return ppoll(&p, 1, NULL, NULL) == 1 ? 0 : -1;
}

static long call_select(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    return select(fds[0] + 1, &set, NULL, NULL, NULL) == 1 ? 0 : -1;
}

static long call_pselect(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    return pselect(fds[0] + 1, &set, NULL, NULL, NULL, NULL) == 1 ? 0 : -1;
}

static int ep;

static void setup_epoll(void)
{
    struct epoll_event ev = {.events = EPOLLIN};
    CHECK_EQ(pipe(fds), 0);
    ep = OK(epoll_create1(0));
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &ev), 0);
}

static long call_epoll(void)
{
    struct epoll_event ev;
    return epoll_wait(ep, &ev, 1, -1) == 1 ? 0 : -1;
}

static void setup_eventfd(void)
{
    fds[0] = OK(eventfd(0, 0));
}

static long call_eventfd(void)
{
    uint64_t value;
    return read(fds[0], &value, 8) == 8 ? 0 : -1;
}

static void release_eventfd(void)
{
    uint64_t value = 1;
    CHECK_EQ(write(fds[0], &value, 8), 8);
}

static void setup_flock(void)
{
    fds[0] = OK(open(gt_path("lock"), O_RDWR | O_CREAT, 0644));
    fds[1] = OK(open(gt_path("lock"), O_RDWR));
    CHECK_EQ(flock(fds[1], LOCK_EX), 0);
}

static long call_flock(void)
{
    return flock(fds[0], LOCK_EX);
}

static void release_flock(void)
{
    CHECK_EQ(flock(fds[1], LOCK_UN), 0);
}

static int semaphore;

static void setup_sem(void)
{
    semaphore = OK(semget(IPC_PRIVATE, 1, 0600));
}

static long call_sem(void)
{
    struct sembuf b = {0, -1, 0};
    return semop(semaphore, &b, 1);
}

static void release_sem(void)
{
    struct sembuf b = {0, 1, 0};
    CHECK_EQ(semop(semaphore, &b, 1), 0);
}

static void setup_fifo(void)
{
    (void)unlink(gt_path("fifo"));
    CHECK_EQ(mkfifo(gt_path("fifo"), 0600), 0);
}

static long call_open_fifo(void)
{
    int fd = open(gt_path("fifo"), O_RDONLY);
    return fd >= 0 ? 0 : -1;
}

static void release_fifo(void)
{
    CHECK(open(gt_path("fifo"), O_WRONLY) >= 0);
}

static const struct blocking table[] = {
    {"read pipe", setup_pipe, call_read, release_write, true, false},
    {"readv pipe", setup_pipe, call_readv, release_write, true, false},
    {"write pipe", setup_full_pipe, call_write, release_read, true, false},
    {"read socket", setup_socket, call_read, release_write, true, false},
    {"recv socket", setup_socket, call_recv, release_write, true, false},
    {"accept", setup_listen, call_accept, release_connect, true, false},
    {"open fifo", setup_fifo, call_open_fifo, release_fifo, true, false},
    {"read eventfd", setup_eventfd, call_eventfd, release_eventfd, true, false},
    {"wait4", setup_child, call_wait4, release_write, true, false},
    {"waitid", setup_child, call_waitid, release_write, true, false},
    {"flock", setup_flock, call_flock, release_flock, true, false},
    {"futex", setup_nothing, call_futex, release_futex, true, false},
    {"futex timed", setup_nothing, call_futex_timed, release_futex, false, false},
    {"poll", setup_pipe, call_poll, release_write, false, false},
    {"poll timed", setup_pipe, call_poll_timed, release_write, false, false},
    {"ppoll", setup_pipe, call_ppoll, release_write, false, false},
    {"select", setup_pipe, call_select, release_write, false, false},
    {"pselect", setup_pipe, call_pselect, release_write, false, false},
    {"epoll_wait", setup_epoll, call_epoll, release_write, false, true},
    {"semop", setup_sem, call_sem, release_sem, false, true},
};

// A helper signals this process (how: 0 handler, 1 handler with SA_RESTART, 2 ignored signal, 3 stop and
// continue) and then releases it.
static void run(const struct blocking *b, int how)
{
    struct sigaction sa = {.sa_handler = how == 2 ? SIG_IGN : on_signal, .sa_flags = how == 1 ? SA_RESTART : 0};
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    calls = 0;
    pid_t pid = FORK({
        word = gt_shared(4096);
        b->setup();
        pid_t target = getpid();
        atomic_uint *go = gt_shared(4096);
        pid_t helper = FORK({
            while (atomic_load(&go[0]) == 0)
                gt_msleep(1);
            gt_wait_state(target, "S");
            gt_msleep(5);
            if (how < 3) {
                kill(target, SIGUSR1);
            } else {
                kill(target, SIGSTOP);
                gt_wait_state(target, "T");
                kill(target, SIGCONT);
            }
            bool ends = how == 0 || (how == 1 && !b->restarts) || (how == 3 && b->stop_breaks);
            if (!ends) {
                gt_msleep(20);
                b->release();
            }
        });
        bool want_eintr = how == 0 || (how == 1 && !b->restarts) || (how == 3 && b->stop_breaks);
        atomic_store(&go[0], 1);
        long r = b->call();
        int err = errno;
        if (b->setup == setup_sem)
            semctl(semaphore, 0, IPC_RMID);
        if (want_eintr ? r != -1 || err != EINTR : r != 0)
            gt_fail(false, __FILE__, __LINE__, "%s, %s: got %ld %s want %s", b->name,
                    (const char *const[]){"handler", "SA_RESTART", "ignored", "stop"}[how], r, gt_errname(err),
                    want_eintr ? "EINTR" : "0");
        if (how < 2 && calls != 1)
            gt_fail(false, __FILE__, __LINE__, "%s: handler ran %d times", b->name, (int)calls);
        gt_waitpid(helper);
        if (b->setup == setup_child)
            kill(child, SIGKILL);
    });
    if (gt_waitpid(pid) != 0)
        atomic_store(&gt_failed, 1);
}

TEST_TIMEOUT(handler_without_restart, 120)
{
    for (size_t i = 0; i < GT_COUNT(table); i++)
        run(&table[i], 0);
}

TEST_TIMEOUT(handler_with_restart, 120)
{
    for (size_t i = 0; i < GT_COUNT(table); i++)
        run(&table[i], 1);
}

TEST_TIMEOUT(ignored_signal, 120)
{
    for (size_t i = 0; i < GT_COUNT(table); i++)
        run(&table[i], 2);
}

TEST_TIMEOUT(stop_and_continue, 120)
{
    for (size_t i = 0; i < GT_COUNT(table); i++)
        run(&table[i], 3);
}

TEST(partial_transfers_are_not_lost)
{
    // A write that has moved some bytes reports them rather than EINTR.
    static char data[1 << 18];
    struct sigaction sa = {.sa_handler = on_signal};
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    CHECK_EQ(pipe(fds), 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        gt_wait_state(me, "S");
        gt_msleep(5);
        kill(me, SIGUSR1);
    });
    ssize_t n = write(fds[1], data, sizeof(data));
    CHECK(n >= 4096 && n < (ssize_t)sizeof(data));
    CHECK_EQ(calls, 1);
    CHECK_EXIT(pid, 0);
}

TEST(temporary_mask_of_ppoll)
{
    // The mask is swapped atomically: a signal blocked outside and pending ends the wait at once, and its
    // handler runs before the call returns.
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    sigset_t set, none, now;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    setup_epoll();
    raise(SIGUSR1);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    CHECK_ERRNO(ppoll(&p, 1, NULL, &none), EINTR);
    CHECK_EQ(calls, 1);
    raise(SIGUSR1);
    fd_set in;
    FD_ZERO(&in);
    FD_SET(fds[0], &in);
    CHECK_ERRNO(pselect(fds[0] + 1, &in, NULL, NULL, NULL, &none), EINTR);
    CHECK_EQ(calls, 2);
    raise(SIGUSR1);
    struct epoll_event ev;
    CHECK_ERRNO(epoll_pwait(ep, &ev, 1, -1, &none), EINTR);
    CHECK_EQ(calls, 3);
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1));
    // Ready descriptors come first: the call succeeds, and the signal stays pending.
    CHECK_EQ(write(fds[1], "x", 1), 1);
    raise(SIGUSR1);
    CHECK_EQ(ppoll(&p, 1, NULL, &none), 1);
    sigpending(&now);
    CHECK(calls == 4 || sigismember(&now, SIGUSR1));
}

TEST(kill_ends_every_wait)
{
    for (size_t i = 0; i < GT_COUNT(table); i++) {
        if (table[i].setup == setup_sem)
            continue;    // nobody would remove the set
        pid_t pid = FORK({
            word = gt_shared(4096);
            table[i].setup();
            table[i].call();
        });
        gt_wait_state(pid, "S");
        gt_msleep(2);
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_KILLED(pid, SIGKILL);
    }
}
