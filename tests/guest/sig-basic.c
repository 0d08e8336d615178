// Signal actions, masks and default actions: rt_sigaction's flags, what blocks what, pending sets,
// sigsuspend, nesting, and what a handler is told.
#include <pthread.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "guest-test.h"

static volatile sig_atomic_t calls, last_signal, depth, max_depth;
static siginfo_t last_info;
static volatile int nested_order[16];

static void plain(int sig)
{
    calls++;
    last_signal = sig;
}

static void with_info(int sig, siginfo_t *info, void *context)
{
    calls++;
    last_signal = sig;
    last_info = *info;
    if (context == NULL)
        _exit(99);
}

static void install(int sig, void (*handler)(int), int flags)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

static void install_info(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

static sigset_t set_of(int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    return set;
}

// The kernel's own structure, for what glibc hides.
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

static long raw_sigaction(int sig, const void *new, void *old, size_t size)
{
    return syscall(SYS_rt_sigaction, sig, new, old, size);
}

TEST(raise_runs_handler_at_once)
{
    install(SIGUSR1, plain, 0);
    for (int i = 1; i <= 100; i++) {
        CHECK_EQ(raise(SIGUSR1), 0);
        CHECK_EQ(calls, i);
    }
    CHECK_EQ(last_signal, SIGUSR1);
}

TEST(every_signal_can_be_caught)
{
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        if (sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == 33)
            continue;
        install(sig, plain, 0);
        CHECK_EQ(syscall(SYS_kill, getpid(), sig), 0);
        CHECK_EQ(last_signal, sig);
    }
}

TEST(sigaction_errors)
{
    struct kernel_sigaction sa = {0}, old;
    EXPECT_ERRNO(raw_sigaction(0, &sa, NULL, 8), EINVAL);
    EXPECT_ERRNO(raw_sigaction(65, &sa, NULL, 8), EINVAL);
    EXPECT_ERRNO(raw_sigaction(-1, &sa, NULL, 8), EINVAL);
    EXPECT_ERRNO(raw_sigaction(SIGKILL, &sa, NULL, 8), EINVAL);
    EXPECT_ERRNO(raw_sigaction(SIGSTOP, &sa, NULL, 8), EINVAL);
    EXPECT_EQ(raw_sigaction(SIGKILL, NULL, &old, 8), 0);
    EXPECT_EQ(raw_sigaction(SIGUSR1, NULL, NULL, 8), 0);
    EXPECT_ERRNO(raw_sigaction(SIGUSR1, &sa, NULL, 4), EINVAL);
    EXPECT_ERRNO(raw_sigaction(SIGUSR1, &sa, NULL, 16), EINVAL);
    EXPECT_ERRNO(raw_sigaction(SIGUSR1, GT_BAD, NULL, 8), EFAULT);
    EXPECT_ERRNO(raw_sigaction(SIGUSR1, NULL, GT_BAD, 8), EFAULT);
    EXPECT_EQ(raw_sigaction(32, &sa, &old, 8), 0);
    EXPECT_EQ(raw_sigaction(64, &sa, &old, 8), 0);
}

TEST(sigaction_round_trip)
{
    struct kernel_sigaction sa, old;
    memset(&old, 0x55, sizeof(old));
    CHECK_EQ(raw_sigaction(SIGUSR1, NULL, &old, 8), 0);
    CHECK(old.handler == SIG_DFL && old.flags == 0 && old.mask == 0);
    static const unsigned long flags[] = {0, SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_ONSTACK, SA_NOCLDSTOP,
                                          SA_NOCLDWAIT, SA_SIGINFO, SA_RESTART | SA_NODEFER | SA_ONSTACK};
    for (size_t i = 0; i < GT_COUNT(flags); i++) {
        sa = (struct kernel_sigaction){plain, flags[i] | 0x04000000, (void *)0x1234, 0x5};
        CHECK_EQ(raw_sigaction(SIGUSR1, &sa, NULL, 8), 0);
        CHECK_EQ(raw_sigaction(SIGUSR1, NULL, &old, 8), 0);
        CHECK(old.handler == (void *)plain);
        CHECK_EQ(old.flags, sa.flags);
        CHECK(old.restorer == (void *)0x1234);
        CHECK_EQ(old.mask, 5);
    }
    // Unknown flags are cleared, so that a program can ask what the kernel knows; SIGKILL and SIGSTOP
    // leave the mask.
    sa = (struct kernel_sigaction){plain, 0x04000000 | 0x00100000 | 0x400, NULL, ~0ULL};
    CHECK_EQ(raw_sigaction(SIGUSR1, &sa, NULL, 8), 0);
    CHECK_EQ(raw_sigaction(SIGUSR1, NULL, &old, 8), 0);
    CHECK_EQ(old.flags, 0x04000000);
    CHECK_EQ(old.mask, ~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1)));
}

TEST(resethand)
{
    install(SIGUSR1, plain, SA_RESETHAND);
    raise(SIGUSR1);
    CHECK_EQ(calls, 1);
    struct sigaction sa;
    CHECK_EQ(sigaction(SIGUSR1, NULL, &sa), 0);
    CHECK(sa.sa_handler == SIG_DFL);
    pid_t pid = FORK({ raise(SIGUSR1); });
    CHECK_KILLED(pid, SIGUSR1);
}

static void nesting(int sig)
{
    depth++;
    if (depth > max_depth)
        max_depth = depth;
    if (calls++ < 5)
        raise(sig);
    depth--;
}

TEST(nodefer)
{
    install(SIGUSR1, nesting, SA_NODEFER);
    raise(SIGUSR1);
    CHECK_EQ(max_depth, 6);
    calls = max_depth = 0;
    install(SIGUSR1, nesting, 0);
    raise(SIGUSR1);
    CHECK_EQ(max_depth, 1);
    CHECK_EQ(calls, 6);
}

static void mask_reader(int sig)
{
    sigset_t now;
    (void)sig;
    sigprocmask(SIG_BLOCK, NULL, &now);
    if (!sigismember(&now, SIGUSR1) || !sigismember(&now, SIGHUP) || !sigismember(&now, SIGINT) ||
        sigismember(&now, SIGTERM))
        _exit(98);
    calls++;
}

TEST(handler_mask)
{
    // In the handler: the old mask, sa_mask and the signal itself; after it: the old mask.
    struct sigaction sa = {.sa_handler = mask_reader};
    sa.sa_mask = set_of(SIGHUP);
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    sigset_t old = set_of(SIGINT), now;
    sigprocmask(SIG_SETMASK, &old, NULL);
    raise(SIGUSR1);
    CHECK_EQ(calls, 1);
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, SIGINT) && !sigismember(&now, SIGHUP) && !sigismember(&now, SIGUSR1));
}

TEST(procmask)
{
    uint64_t set = 0x0f, old = 0;
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, NULL, 8), 0);
    set = 0x30;
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, &old, 8), 0);
    CHECK_EQ(old, 0x0f);
    set = 0x11;
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, &old, 8), 0);
    CHECK_EQ(old, 0x3f);
    set = ~0ULL;
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, &old, 8), 0);
    CHECK_EQ(old, 0x2e);
    CHECK_EQ(syscall(SYS_rt_sigprocmask, 99, NULL, &old, 8), 0);    // the first argument is not looked at
    CHECK_EQ(old, ~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1)));
    set = 0;
    EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, 3, &set, NULL, 8), EINVAL);
    EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4), EINVAL);
    EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, GT_BAD, NULL, 8), EFAULT);
    EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, GT_BAD, 8), EFAULT);
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &old, 8), 0);
    CHECK_EQ(old, 0);    // set although the old mask could not be stored
}

TEST(pending)
{
    install(SIGUSR1, plain, 0);
    sigset_t set = set_of(SIGUSR1), got;
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(calls, 0);
    CHECK_EQ(sigpending(&got), 0);
    CHECK(sigismember(&got, SIGUSR1) && !sigismember(&got, SIGUSR2));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK_EQ(calls, 1);    // an ordinary signal is pending once
    CHECK_EQ(sigpending(&got), 0);
    CHECK(!sigismember(&got, SIGUSR1));
    uint64_t raw = ~0ULL;
    CHECK_EQ(syscall(SYS_rt_sigpending, &raw, 8), 0);
    CHECK_EQ(raw, 0);
    uint32_t half = 0x55555555;
    CHECK_EQ(syscall(SYS_rt_sigpending, &half, 4), 0);
    CHECK_EQ(half, 0);
    EXPECT_ERRNO(syscall(SYS_rt_sigpending, &raw, 16), EINVAL);
    EXPECT_ERRNO(syscall(SYS_rt_sigpending, GT_BAD, 8), EFAULT);
}

TEST(pending_discarded_by_ignore)
{
    sigset_t set = set_of(SIGUSR1), got;
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    sigpending(&got);
    CHECK(!sigismember(&got, SIGUSR1));
    raise(SIGUSR1);    // blocked: kept although it is ignored now
    signal(SIGUSR1, plain);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK_EQ(calls, 1);
    // SIGCHLD by default is ignored: setting SIG_DFL discards what is pending.
    set = set_of(SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGCHLD);
    signal(SIGCHLD, SIG_DFL);
    sigpending(&got);
    CHECK(!sigismember(&got, SIGCHLD));
}

static void record(int sig)
{
    nested_order[calls++] = sig;
}

TEST(delivery_order)
{
    // Several unblocked at once: synchronous ones first, then the lowest number is dequeued first, and each
    // frame is built on the one before: handlers run from the last dequeued to the first.
    const int sigs[] = {SIGUSR2, SIGHUP, SIGTERM, SIGUSR1};
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (size_t i = 0; i < GT_COUNT(sigs); i++) {
        install(sigs[i], record, 0);
        raise(sigs[i]);
    }
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    CHECK_EQ(calls, 4);
    CHECK_EQ(nested_order[0], SIGTERM);
    CHECK_EQ(nested_order[1], SIGUSR2);
    CHECK_EQ(nested_order[2], SIGUSR1);
    CHECK_EQ(nested_order[3], SIGHUP);
}

TEST(suspend)
{
    install(SIGUSR1, plain, SA_RESTART);
    sigset_t set = set_of(SIGUSR1), old, now;
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    CHECK_ERRNO(sigsuspend(&old), EINTR);
    CHECK_EQ(calls, 1);
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1));
    pid_t me = getpid();
    pid_t pid = FORK({
        gt_wait_state(me, "S");
        kill(me, SIGUSR1);
    });
    CHECK_ERRNO(sigsuspend(&old), EINTR);
    CHECK_EQ(calls, 2);
    CHECK_EXIT(pid, 0);
    EXPECT_ERRNO(syscall(SYS_rt_sigsuspend, &old, 4), EINVAL);
    EXPECT_ERRNO(syscall(SYS_rt_sigsuspend, GT_BAD, 8), EFAULT);
}

TEST(suspend_handler_sees_temporary_mask)
{
    // During the handler the temporary mask plus sa_mask is in force, and afterwards the original.
    struct sigaction sa = {.sa_handler = mask_reader};
    sa.sa_mask = set_of(SIGHUP);
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    sigset_t block, temporary = set_of(SIGINT);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_SETMASK, &block, NULL);
    raise(SIGUSR1);
    CHECK_ERRNO(sigsuspend(&temporary), EINTR);
    CHECK_EQ(calls, 1);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, SIGTERM) && !sigismember(&now, SIGINT));
}

TEST(pause_interrupted)
{
    install(SIGALRM, plain, SA_RESTART);
    struct itimerval it = {{0, 0}, {0, 20000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    CHECK_ERRNO(pause(), EINTR);
    CHECK_EQ(calls, 1);
}

TEST(info_kill)
{
    install_info(SIGUSR1, with_info, 0);
    memset(&last_info, 0x55, sizeof(last_info));
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(last_info.si_signo, SIGUSR1);
    CHECK_EQ(last_info.si_errno, 0);
    CHECK_EQ(last_info.si_code, SI_USER);
    CHECK_EQ(last_info.si_pid, getpid());
    CHECK_EQ(last_info.si_uid, 0);
    CHECK_EQ(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1), 0);
    CHECK_EQ(last_info.si_code, SI_TKILL);
    CHECK_EQ(last_info.si_pid, getpid());
    pid_t me = getpid();
    pid_t pid = FORK({
        CHECK_EQ(setresuid(88, 0, 0), 0);
        kill(me, SIGUSR1);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(last_info.si_pid, pid);
    CHECK_EQ(last_info.si_uid, 88);    // the real id
}

TEST(info_timer_and_child)
{
    install_info(SIGALRM, with_info, 0);
    struct itimerval it = {{0, 0}, {0, 10000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    pause();
    CHECK_EQ(last_info.si_signo, SIGALRM);
    CHECK_EQ(last_info.si_code, SI_KERNEL);
    install_info(SIGCHLD, with_info, SA_RESTART);
    pid_t pid = FORK({ _exit(19); });
    CHECK_EXIT(pid, 19);
    CHECK_EQ(last_info.si_signo, SIGCHLD);
    CHECK_EQ(last_info.si_code, CLD_EXITED);
    CHECK_EQ(last_info.si_pid, pid);
    CHECK_EQ(last_info.si_status, 19);
}

TEST(default_actions)
{
    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        bool ignored = sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH || sig == SIGCONT;
        bool stops = sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
        pid_t pid = FORK({
            struct rlimit rl = {0, 0};
            setrlimit(RLIMIT_CORE, &rl);
            syscall(SYS_kill, syscall(SYS_getpid), sig);
            _exit(3);
        });
        int status;
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        bool as_wanted = ignored ? WIFEXITED(status) && WEXITSTATUS(status) == 3
                         : stops ? WIFSTOPPED(status) && WSTOPSIG(status) == sig
                                 : WIFSIGNALED(status) && WTERMSIG(status) == sig;
        if (!as_wanted)
            gt_fail(false, __FILE__, __LINE__, "signal %d: status %#x", sig, status);
        if (WIFSTOPPED(status)) {
            kill(pid, SIGKILL);
            gt_waitpid(pid);
        }
    }
}

TEST(kill_cannot_be_blocked)
{
    pid_t pid = FORK({
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        kill(getpid(), SIGKILL);
    });
    CHECK_KILLED(pid, SIGKILL);
}

TEST(ignored_is_not_delivered)
{
    signal(SIGTERM, SIG_IGN);
    CHECK_EQ(raise(SIGTERM), 0);
    CHECK_EQ(kill(getpid(), SIGTERM), 0);
}

TEST(kill_targets)
{
    CHECK_EQ(kill(getpid(), 0), 0);
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    CHECK_ERRNO(kill(getpid(), -1), EINVAL);
    CHECK_ERRNO(kill(1 << 22, 0), ESRCH);
    CHECK_ERRNO(kill(INT_MIN, SIGTERM), ESRCH);
    CHECK_ERRNO(syscall(SYS_tkill, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_tkill, -1, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_tkill, 1 << 22, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, 0, getpid(), 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, getppid(), getpid(), 0), ESRCH);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), getpid(), 0), 0);
}

TEST(kill_group)
{
    pid_t pids[3];
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 3; i++) {
        pids[i] = FORK({
            setpgid(0, i ? pids[0] : 0);
            CHECK_EQ(write(ends[1], "r", 1), 1);
            for (;;)
                pause();
        });
        CHECK_EQ(read(ends[0], &byte, 1), 1);
    }
    CHECK_EQ(kill(-pids[0], 0), 0);
    CHECK_EQ(kill(-pids[0], SIGTERM), 0);
    for (int i = 0; i < 3; i++)
        CHECK_KILLED(pids[i], SIGTERM);
    CHECK_ERRNO(kill(-pids[0], 0), ESRCH);
    // Group 0: the caller's own.
    signal(SIGUSR1, plain);
    CHECK_EQ(kill(0, SIGUSR1), 0);
    CHECK_EQ(calls, 1);
}

TEST(kill_permission)
{
    pid_t target = FORK({
        CHECK_EQ(setresuid(1001, 1001, 1001), 0);
        for (;;)
            pause();
    });
    gt_wait_state(target, "S");
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1002, 1002, 1002), 0);
        CHECK_ERRNO(kill(target, 0), EPERM);
        CHECK_ERRNO(kill(target, SIGTERM), EPERM);
        CHECK_ERRNO(kill(1, 0), EPERM);
        CHECK_ERRNO(syscall(SYS_tkill, target, SIGTERM), EPERM);
        CHECK_ERRNO(syscall(SYS_tgkill, target, target, SIGTERM), EPERM);
        CHECK_EQ(kill(target, SIGCONT), 0);    // allowed within a session
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        CHECK(setsid() > 0);
        CHECK_EQ(setresuid(1002, 1002, 1002), 0);
        CHECK_ERRNO(kill(target, SIGCONT), EPERM);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        CHECK_EQ(setresuid(1001, 1001, 1001), 0);
        CHECK_EQ(kill(target, 0), 0);
        CHECK_EQ(kill(target, SIGTERM), 0);
    });
    CHECK_EXIT(pid, 0);
    CHECK_KILLED(target, SIGTERM);
}

static void *pending_thread(void *arg)
{
    sigset_t set;
    (void)arg;
    sigpending(&set);
    return (void *)(long)sigismember(&set, SIGUSR1);
}

TEST(thread_pending_is_private)
{
    sigset_t set = set_of(SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int shared = 0; shared < 2; shared++) {
        pthread_t thread;
        void *result;
        if (shared)
            kill(getpid(), SIGUSR1);
        else
            raise(SIGUSR1);
        CHECK_RC(pthread_create(&thread, NULL, pending_thread, NULL), 0);
        CHECK_RC(pthread_join(thread, &result), 0);
        CHECK_EQ((long)result, shared);
    }
}

static sigjmp_buf jump;

static void jumper(int sig)
{
    calls++;
    siglongjmp(jump, sig);
}

TEST(longjmp_out)
{
    install(SIGUSR1, jumper, 0);
    for (volatile int i = 0; i < 50; i++) {
        int sig = sigsetjmp(jump, 1);
        if (sig == 0) {
            raise(SIGUSR1);
            FAIL("came back");
        }
        CHECK_EQ(sig, SIGUSR1);
    }
    CHECK_EQ(calls, 50);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(!sigismember(&now, SIGUSR1));
}

static void errno_changer(int sig)
{
    (void)sig;
    calls++;
    (void)!write(-1, "", 1);
}

TEST(storm_from_children)
{
    // Many senders; every handler run returns properly and none of the waits is lost.
    install(SIGUSR1, errno_changer, SA_RESTART);
    pid_t me = getpid(), pids[4];
    for (int i = 0; i < 4; i++)
        pids[i] = FORK({
            for (int k = 0; k < 500; k++)
                kill(me, SIGUSR1);
        });
    for (int i = 0; i < 4; i++)
        CHECK_EXIT(pids[i], 0);
    CHECK(calls > 0 && calls <= 2000);
}
