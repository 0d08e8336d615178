// Queued signals and their consumers: sigqueue and its raw forms, real-time order, sigtimedwait, signalfd,
// and which thread gets what.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "guest-test.h"

static volatile sig_atomic_t calls;
static siginfo_t seen[64];

static void record(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    if (calls < 64)
        seen[calls] = *info;
    calls++;
}

static void install(int sig)
{
    struct sigaction sa = {.sa_sigaction = record, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&sa.sa_mask);
    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

static sigset_t set_of(int a, int b, int c)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    if (b)
        sigaddset(&set, b);
    if (c)
        sigaddset(&set, c);
    return set;
}

static void block(int a, int b, int c)
{
    sigset_t set = set_of(a, b, c);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
}

static void queue(int sig, int value)
{
    CHECK_EQ(sigqueue(getpid(), sig, (union sigval){.sival_int = value}), 0);
}

// The raw call: glibc's turns SI_TKILL into SI_USER.
static int raw_wait(const sigset_t *set, siginfo_t *info)
{
    return syscall(SYS_rt_sigtimedwait, set, info, NULL, 8);
}

TEST(sigqueue_value)
{
    install(SIGUSR1);
    queue(SIGUSR1, 0x12345678);
    CHECK_EQ(calls, 1);
    CHECK_EQ(seen[0].si_code, SI_QUEUE);
    CHECK_EQ(seen[0].si_value.sival_int, 0x12345678);
    CHECK_EQ(seen[0].si_pid, getpid());
    CHECK_EQ(seen[0].si_uid, 0);
    CHECK_EQ(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_ptr = (void *)0x123456789abcdef0}), 0);
    CHECK(seen[1].si_value.sival_ptr == (void *)0x123456789abcdef0);
    CHECK_EQ(sigqueue(getpid(), 0, (union sigval){0}), 0);
    CHECK_ERRNO(sigqueue(1 << 22, SIGUSR1, (union sigval){0}), ESRCH);
    CHECK_ERRNO(sigqueue(getpid(), 65, (union sigval){0}), EINVAL);
}

TEST(real_time_signals_queue)
{
    install(SIGRTMIN);
    block(SIGRTMIN, 0, 0);
    for (int i = 0; i < 50; i++)
        queue(SIGRTMIN, i);
    CHECK_EQ(calls, 0);
    sigset_t set = set_of(SIGRTMIN, 0, 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK_EQ(calls, 50);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(seen[i].si_value.sival_int, i);
}

TEST(ordinary_signals_do_not_queue)
{
    install(SIGUSR1);
    block(SIGUSR1, 0, 0);
    for (int i = 0; i < 5; i++)
        queue(SIGUSR1, i);
    sigset_t set = set_of(SIGUSR1, 0, 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK_EQ(calls, 1);
    CHECK_EQ(seen[0].si_value.sival_int, 0);    // the first one counts
}

TEST(lowest_number_first)
{
    sigset_t set;
    siginfo_t info;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    const int order[] = {SIGRTMIN + 3, SIGUSR2, SIGRTMIN, SIGRTMIN + 3, SIGHUP, SIGRTMIN};
    const int sorted[] = {SIGHUP, SIGUSR2, SIGRTMIN, SIGRTMIN, SIGRTMIN + 3, SIGRTMIN + 3};
    const int values[] = {4, 1, 2, 5, 0, 3};
    for (int i = 0; i < 6; i++)
        queue(order[i], i);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(sigwaitinfo(&set, &info), sorted[i]);
        CHECK_EQ(info.si_value.sival_int, values[i]);
    }
}

TEST(thread_directed_before_shared)
{
    sigset_t set = set_of(SIGRTMIN, 0, 0);
    siginfo_t info;
    block(SIGRTMIN, 0, 0);
    queue(SIGRTMIN, 1);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN), 0);
    CHECK_EQ(raw_wait(&set, &info), SIGRTMIN);
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(raw_wait(&set, &info), SIGRTMIN);
    CHECK_EQ(info.si_code, SI_QUEUE);
}

TEST(raw_queueinfo)
{
    siginfo_t info;
    sigset_t set = set_of(SIGUSR1, 0, 0);
    block(SIGUSR1, 0, 0);
    memset(&info, 0, sizeof(info));
    info.si_code = -77;
    info.si_pid = 4711;
    info.si_value.sival_int = 99;
    CHECK_EQ(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info), 0);
    memset(&info, 0, sizeof(info));
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK(info.si_signo == SIGUSR1 && info.si_code == -77 && info.si_pid == 4711 && info.si_value.sival_int == 99);
    info.si_code = -78;
    CHECK_EQ(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR1, &info), 0);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_code, -78);
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, GT_BAD), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0, SIGUSR1, &info), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, 0, getpid(), SIGUSR1, &info), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getppid(), getpid(), SIGUSR1, &info), ESRCH);
    // To others nobody may pretend to be the kernel or kill(); to oneself everything goes.
    pid_t pid = FORK({
        for (;;)
            pause();
    });
    static const int codes[] = {SI_USER, SI_KERNEL, 5, SI_TKILL};
    for (size_t i = 0; i < GT_COUNT(codes); i++) {
        info.si_code = codes[i];
        EXPECT_ERRNO(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR2, &info), EPERM);
        EXPECT_ERRNO(syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGUSR2, &info), EPERM);
        EXPECT_EQ(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info), 0);
    }
    info.si_code = SI_QUEUE;
    CHECK_EQ(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR2, &info), 0);
    CHECK_KILLED(pid, SIGUSR2);
}

TEST(timedwait_poll)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    siginfo_t info;
    struct timespec zero = {0, 0}, short_time = {0, 20000000};
    block(SIGUSR1, 0, 0);
    CHECK_ERRNO(sigtimedwait(&set, &info, &zero), EAGAIN);
    int64_t start = gt_now_ns();
    CHECK_ERRNO(sigtimedwait(&set, &info, &short_time), EAGAIN);
    CHECK(gt_now_ns() - start >= 20000000);
    raise(SIGUSR1);
    CHECK_EQ(sigtimedwait(&set, NULL, &zero), SIGUSR1);
    CHECK_ERRNO(sigtimedwait(&set, &info, &zero), EAGAIN);
    struct timespec bad = {0, 1000000000};
    EXPECT_ERRNO(sigtimedwait(&set, &info, &bad), EINVAL);
    bad = (struct timespec){-1, 0};
    EXPECT_ERRNO(sigtimedwait(&set, &info, &bad), EINVAL);
    EXPECT_ERRNO(syscall(SYS_rt_sigtimedwait, &set, NULL, &zero, 4), EINVAL);
    EXPECT_ERRNO(syscall(SYS_rt_sigtimedwait, GT_BAD, NULL, &zero, 8), EFAULT);
    raise(SIGUSR1);
    EXPECT_ERRNO(syscall(SYS_rt_sigtimedwait, &set, GT_BAD, &zero, 8), EFAULT);
}

TEST(timedwait_kill_and_stop_left_out)
{
    sigset_t set;
    struct timespec zero = {0, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGKILL);
    sigaddset(&set, SIGSTOP);
    CHECK_ERRNO(sigtimedwait(&set, NULL, &zero), EAGAIN);
}

TEST(timedwait_blocks)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    siginfo_t info;
    block(SIGUSR1, 0, 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        gt_wait_state(me, "S");
        kill(me, SIGUSR1);
    });
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EXIT(pid, 0);
}

TEST(timedwait_ignored_signal)
{
    // A signal that is ignored, and not even blocked, still reaches who waits for it.
    sigset_t set = set_of(SIGUSR1, 0, 0);
    siginfo_t info;
    signal(SIGUSR1, SIG_IGN);
    block(SIGUSR1, 0, 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        gt_wait_state(me, "S");
        kill(me, SIGUSR1);
    });
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EXIT(pid, 0);
}

TEST(timedwait_interrupted)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    siginfo_t info;
    install(SIGUSR2);    // with SA_RESTART, which does not help
    block(SIGUSR1, 0, 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        gt_wait_state(me, "S");
        kill(me, SIGUSR2);
    });
    CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &set, &info, NULL, 8), EINTR);
    CHECK_EQ(calls, 1);
    CHECK_EXIT(pid, 0);
}

static void *waiting_thread(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    int sig;
    (void)arg;
    return (void *)(long)(sigwait(&set, &sig) == 0 ? sig : -1);
}

TEST(one_waiting_thread_gets_it)
{
    pthread_t threads[4];
    block(SIGUSR1, 0, 0);
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, waiting_thread, NULL), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        // One at a time, or two would merge into one.
        sigset_t pending;
        do {
            sched_yield();
            sigpending(&pending);
        } while (sigismember(&pending, SIGUSR1));
    }
    for (int i = 0; i < 4; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK_EQ((long)result, SIGUSR1);
    }
}

static atomic_int handler_tid;

static void note_tid(int sig)
{
    (void)sig;
    atomic_store(&handler_tid, syscall(SYS_gettid));
}

static atomic_int open_tid;

static void *open_thread(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    atomic_store(&open_tid, syscall(SYS_gettid));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    while (atomic_load(&handler_tid) == 0)
        pause();
    return arg;
}

TEST(process_signal_goes_to_open_thread)
{
    struct sigaction sa = {.sa_handler = note_tid};
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    block(SIGUSR1, 0, 0);
    pthread_t thread;
    CHECK_RC(pthread_create(&thread, NULL, open_thread, NULL), 0);
    while (atomic_load(&open_tid) == 0)
        sched_yield();
    gt_wait_state(open_tid, "S");
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    while (atomic_load(&handler_tid) == 0)
        sched_yield();
    CHECK_EQ(handler_tid, open_tid);
    // In case the signal came between its test and its pause
    pthread_kill(thread, SIGUSR1);
    CHECK_RC(pthread_join(thread, NULL), 0);
}

static void *target_thread(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    siginfo_t info;
    atomic_store((atomic_int *)arg, syscall(SYS_gettid));
    if (raw_wait(&set, &info) != SIGUSR1 || info.si_code != SI_TKILL)
        return (void *)1;
    return NULL;
}

TEST(tgkill_reaches_its_thread)
{
    block(SIGUSR1, 0, 0);
    pthread_t threads[4];
    atomic_int tids[4] = {0};
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, target_thread, &tids[i]), 0);
    for (int i = 3; i >= 0; i--) {
        while (atomic_load(&tids[i]) == 0)
            sched_yield();
        CHECK_EQ(syscall(SYS_tgkill, getpid(), tids[i], SIGUSR1), 0);
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == NULL);
    }
}

static int open_signalfd(sigset_t *set, int flags)
{
    return OK(signalfd(-1, set, flags));
}

TEST(signalfd_read)
{
    sigset_t set = set_of(SIGUSR1, SIGRTMIN, 0);
    struct signalfd_siginfo info[4];
    block(SIGUSR1, SIGRTMIN, 0);
    int fd = open_signalfd(&set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(fd, info, sizeof(info)), EAGAIN);
    kill(getpid(), SIGUSR1);
    queue(SIGRTMIN, 7);
    queue(SIGRTMIN, 8);
    CHECK_EQ(read(fd, info, sizeof(info)), (ssize_t)(3 * sizeof(info[0])));
    CHECK_EQ(info[0].ssi_signo, SIGUSR1);
    CHECK_EQ(info[0].ssi_code, SI_USER);
    CHECK_EQ(info[0].ssi_pid, getpid());
    CHECK_EQ(info[1].ssi_signo, SIGRTMIN);
    CHECK_EQ(info[1].ssi_code, SI_QUEUE);
    CHECK_EQ(info[1].ssi_int, 7);
    CHECK_EQ(info[2].ssi_int, 8);
    CHECK_ERRNO(read(fd, info, sizeof(info[0]) - 1), EINVAL);
    CHECK_ERRNO(write(fd, info, sizeof(info)), EINVAL);
    raise(SIGUSR1);
    CHECK_ERRNO(read(fd, GT_BAD, sizeof(info[0])), EFAULT);
}

TEST(signalfd_errors)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    int fd = OK(open("/dev/null", O_RDONLY));
    EXPECT_ERRNO(signalfd(-1, &set, 1), EINVAL);
    EXPECT_ERRNO(signalfd(99, &set, 0), EBADF);
    EXPECT_ERRNO(signalfd(fd, &set, 0), EINVAL);
    EXPECT_ERRNO(syscall(SYS_signalfd4, -1, &set, 4, 0), EINVAL);
    EXPECT_ERRNO(syscall(SYS_signalfd4, -1, GT_BAD, 8, 0), EFAULT);
    fd = OK(syscall(SYS_signalfd, -1, &set, 8));
    EXPECT_EQ(fcntl(fd, F_GETFD), 0);
}

TEST(signalfd_poll)
{
    sigset_t set = set_of(SIGUSR1, 0, 0);
    block(SIGUSR1, SIGUSR2, 0);
    int fd = open_signalfd(&set, 0), ep = OK(epoll_create1(0));
    struct epoll_event ev = {.events = EPOLLIN}, got;
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 0), 0);
    raise(SIGUSR2);
    CHECK_EQ(poll(&p, 1, 0), 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        gt_wait_state(me, "S");
        kill(me, SIGUSR1);
    });
    CHECK_EQ(poll(&p, 1, -1), 1);
    CHECK_EQ(p.revents, POLLIN);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 1);
    struct signalfd_siginfo info;
    CHECK_EQ(read(fd, &info, sizeof(info)), (ssize_t)sizeof(info));
    CHECK_EQ(info.ssi_pid, pid);
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_EXIT(pid, 0);
    // A new set for the same descriptor
    set = set_of(SIGUSR2, 0, 0);
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(read(fd, &info, sizeof(info)), (ssize_t)sizeof(info));
    CHECK_EQ(info.ssi_signo, SIGUSR2);
}

TEST(signalfd_blocking_read)
{
    sigset_t set = set_of(SIGCHLD, 0, 0);
    block(SIGCHLD, 0, 0);
    int fd = open_signalfd(&set, 0);
    pid_t pid = FORK({
        gt_msleep(10);
        _exit(5);
    });
    struct signalfd_siginfo info;
    CHECK_EQ(read(fd, &info, sizeof(info)), (ssize_t)sizeof(info));
    CHECK_EQ(info.ssi_signo, SIGCHLD);
    CHECK_EQ(info.ssi_code, CLD_EXITED);
    CHECK_EQ(info.ssi_pid, pid);
    CHECK_EQ(info.ssi_status, 5);
    CHECK_EXIT(pid, 5);
}

TEST(signalfd_belongs_to_reader)
{
    // After fork it shows the reader's signals, not the creator's.
    sigset_t set = set_of(SIGUSR1, 0, 0);
    block(SIGUSR1, 0, 0);
    int fd = open_signalfd(&set, SFD_NONBLOCK);
    raise(SIGUSR1);
    pid_t pid = FORK({
        struct signalfd_siginfo info;
        CHECK_ERRNO(read(fd, &info, sizeof(info)), EAGAIN);
        raise(SIGUSR1);
        CHECK_EQ(read(fd, &info, sizeof(info)), (ssize_t)sizeof(info));
        CHECK_EQ(info.ssi_pid, getpid());
    });
    CHECK_EXIT(pid, 0);
    struct signalfd_siginfo info;
    CHECK_EQ(read(fd, &info, sizeof(info)), (ssize_t)sizeof(info));
}

TEST(signalfd_storm)
{
    sigset_t set = set_of(SIGRTMIN, 0, 0);
    block(SIGRTMIN, 0, 0);
    int fd = open_signalfd(&set, 0);
    pid_t me = getpid(), pids[3];
    for (int i = 0; i < 3; i++)
        pids[i] = FORK({
            for (int k = 0; k < 200; k++)
                while (sigqueue(me, SIGRTMIN, (union sigval){.sival_int = k}) != 0)
                    sched_yield();
        });
    int next[3] = {0};
    for (int n = 0; n < 600; n++) {
        struct signalfd_siginfo info;
        CHECK_EQ(read(fd, &info, sizeof(info)), (ssize_t)sizeof(info));
        int who = -1;
        for (int i = 0; i < 3; i++)
            if (pids[i] == (pid_t)info.ssi_pid)
                who = i;
        CHECK(who >= 0);
        CHECK_EQ(info.ssi_int, next[who]++);    // in order from each sender
    }
    for (int i = 0; i < 3; i++)
        CHECK_EXIT(pids[i], 0);
}
