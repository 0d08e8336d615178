// fork, vfork, clone and clone3: what a child shares, copies and does not inherit, and every refused
// combination of flags that needs no namespace.
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "guest-test.h"

#define STACK_SIZE 65536

static long raw_clone(unsigned long flags, void *stack, int *ptid, int *ctid, void *tls)
{
    return syscall(SYS_clone, flags, stack, ptid, ctid, tls);
}

static long clone3_fork(struct clone_args *args, size_t size)
{
    return syscall(SYS_clone3, args, size);
}

static void *new_stack(void)
{
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    CHECK(stack != MAP_FAILED);
    return stack + STACK_SIZE;
}

TEST(fork_ids)
{
    pid_t *seen = gt_shared(4096);
    pid_t parent = getpid();
    pid_t pid = FORK({
        seen[0] = getpid();
        seen[1] = getppid();
        seen[2] = syscall(SYS_gettid);
        seen[3] = getpgrp();
        seen[4] = getsid(0);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(seen[0], pid);
    CHECK_EQ(seen[1], parent);
    CHECK_EQ(seen[2], pid);
    CHECK_EQ(seen[3], getpgrp());
    CHECK_EQ(seen[4], getsid(0));
}

static int global_word = 1;

TEST(fork_copies_memory)
{
    int local = 1;
    int *heap = malloc(100000);
    heap[0] = heap[20000] = 1;
    pid_t pid = FORK({
        CHECK(global_word == 1 && local == 1 && heap[0] == 1 && heap[20000] == 1);
        global_word = local = heap[0] = heap[20000] = 2;
        CHECK_EQ(global_word + local + heap[0] + heap[20000], 8);
    });
    CHECK_EXIT(pid, 0);
    CHECK(global_word == 1 && local == 1 && heap[0] == 1 && heap[20000] == 1);
}

TEST(fork_shares_offsets)
{
    char byte;
    CHECK_EQ(gt_write_file(gt_path("f"), "abcdef", 6), 0);
    int fd = OK(open(gt_path("f"), O_RDONLY));
    pid_t pid = FORK({
        CHECK_EQ(read(fd, &byte, 1), 1);
        CHECK_EQ(byte, 'a');
        CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        CHECK_EQ(close(fd), 0);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'b');
    CHECK(OK(fcntl(fd, F_GETFL)) & O_NONBLOCK);
}

TEST(fork_copies_descriptors)
{
    int fd = OK(open("/dev/null", O_RDWR));
    pid_t pid = FORK({
        CHECK_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
        CHECK_EQ(dup2(fd, fd + 1), fd + 1);
        CHECK_EQ(close(fd), 0);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_ERRNO(fcntl(fd + 1, F_GETFD), EBADF);
}

TEST(fork_inherits)
{
    char here[PATH_MAX];
    CHECK_EQ(chdir(gt_tmpdir()), 0);
    umask(0123);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
    struct rlimit rl = {55, 66};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &rl), 0);
    CHECK_EQ(prctl(PR_SET_NAME, "inherit-me"), 0);
    pid_t pid = FORK({
        char name[17] = "";
        CHECK_STR(getcwd(here, sizeof(here)), gt_dir);
        CHECK_EQ(umask(0), 0123);
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &rl), 0);
        CHECK(rl.rlim_cur == 55 && rl.rlim_max == 66);
        CHECK_EQ(prctl(PR_GET_NAME, name), 0);
        CHECK_STR(name, "inherit-me");
        CHECK_EQ(chdir("/"), 0);
    });
    CHECK_EXIT(pid, 0);
    CHECK_STR(getcwd(here, sizeof(here)), gt_dir);
    CHECK_EQ(umask(022), 0123);
}

TEST(fork_signal_state)
{
    sigset_t set, got;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    signal(SIGHUP, SIG_IGN);
    CHECK_EQ(raise(SIGUSR1), 0);
    alarm(100);
    pid_t pid = FORK({
        CHECK_EQ(sigpending(&got), 0);
        CHECK_EQ(sigismember(&got, SIGUSR1), 0);
        CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &got), 0);
        CHECK_EQ(sigismember(&got, SIGUSR2), 1);
        CHECK(signal(SIGHUP, SIG_DFL) == SIG_IGN);
        CHECK_EQ(alarm(0), 0);
    });
    CHECK_EXIT(pid, 0);
    CHECK(alarm(0) > 0);
    CHECK_EQ(sigpending(&got), 0);
    CHECK_EQ(sigismember(&got, SIGUSR1), 1);
    CHECK(signal(SIGHUP, SIG_DFL) == SIG_IGN);
}

TEST(fork_no_itimers)
{
    struct itimerval it = {{0, 0}, {1000, 0}}, got;
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &it, NULL), 0);
    pid_t pid = FORK({
        for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
            CHECK_EQ(getitimer(which, &got), 0);
            CHECK(got.it_value.tv_sec == 0 && got.it_value.tv_usec == 0);
        }
    });
    CHECK_EXIT(pid, 0);
}

TEST(fork_many_at_once)
{
    enum { MANY = 100 };
    pid_t pids[MANY];
    int go[2];
    CHECK_EQ(pipe(go), 0);
    for (int i = 0; i < MANY; i++)
        pids[i] = FORK({
            char byte;
            close(go[1]);
            CHECK_EQ(read(go[0], &byte, 1), 0);
            _exit(i);
        });
    close(go[1]);
    for (int i = MANY; i-- > 0;)
        CHECK_EXIT(pids[i], i);
    CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(fork_chain)
{
    // Each generation forks the next and passes on its exit status plus one.
    int depth = 0;
    for (;;) {
        pid_t pid = OK(fork());
        if (pid > 0) {
            int status = gt_waitpid(pid);
            CHECK(WIFEXITED(status));
            if (depth > 0)
                _exit(WEXITSTATUS(status) + 1);
            CHECK_EQ(WEXITSTATUS(status), 20);
            return;
        }
        if (++depth == 20)
            _exit(1);
    }
}

TEST(fork_repeated)
{
    for (int i = 0; i < 200; i++) {
        pid_t pid = FORK({ _exit(i & 63); });
        CHECK_EXIT(pid, i & 63);
    }
}

static void *forking_thread(void *arg)
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(13);
        int status = 0;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 13)
            return NULL;
    }
    return arg;
}

TEST(fork_from_threads)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, forking_thread, threads), 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == threads);
    }
}

static void *fork_count_threads(void *arg)
{
    (void)arg;
    pid_t pid = fork();
    if (pid == 0) {
        char text[4096];
        if (getpid() != syscall(SYS_gettid))
            _exit(2);
        if (gt_read_file("/proc/self/status", text, sizeof(text)) < 0)
            _exit(3);
        char *line = strstr(text, "Threads:");
        _exit(line && atoi(line + 8) == 1 ? 0 : 4);
    }
    return (void *)(long)gt_waitpid(pid);
}

TEST(fork_in_thread_has_one_thread)
{
    pthread_t thread;
    void *status;
    CHECK_RC(pthread_create(&thread, NULL, fork_count_threads, NULL), 0);
    CHECK_RC(pthread_join(thread, &status), 0);
    CHECK_EQ((long)status, 0);
}

TEST(vfork_waits_and_shares)
{
    volatile int word = 1;
    pid_t pid = vfork();
    if (pid == 0) {
        word = 2;
        gt_msleep(50);
        word = 3;
        _exit(9);
    }
    CHECK(pid > 0);
    CHECK_EQ(word, 3);
    CHECK_EXIT(pid, 9);
}

ENTRY(exit5)
{
    return 5;
}

TEST(vfork_exec)
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            execl(gt_self, gt_self, "-xexit5", (char *)NULL);
            _exit(99);
        }
        CHECK(pid > 0);
        CHECK_EXIT(pid, 5);
    }
}

TEST(vfork_child_killed)
{
    pid_t pid = vfork();
    if (pid == 0) {
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
        _exit(1);
    }
    CHECK(pid > 0);
    CHECK_KILLED(pid, SIGKILL);
}

static int child_open(void *arg)
{
    *(int *)arg = open("/dev/null", O_RDONLY);
    return 3;
}

TEST(clone_files)
{
    for (int share = 0; share < 2; share++) {
        int fd = -1;
        pid_t pid = OK(clone(child_open, new_stack(), CLONE_VM | (share ? CLONE_FILES : 0) | SIGCHLD, &fd));
        CHECK_EXIT(pid, 3);
        CHECK(fd >= 0);
        if (share)
            CHECK_EQ(close(fd), 0);
        else
            CHECK_ERRNO(close(fd), EBADF);
    }
}

static int child_chdir(void *arg)
{
    (void)arg;
    umask(0707);
    return chdir("/proc");
}

TEST(clone_fs)
{
    char here[PATH_MAX];
    for (int share = 0; share < 2; share++) {
        CHECK_EQ(chdir("/"), 0);
        umask(022);
        pid_t pid = OK(clone(child_chdir, new_stack(), (share ? CLONE_FS : 0) | SIGCHLD, NULL));
        CHECK_EXIT(pid, 0);
        CHECK_STR(getcwd(here, sizeof(here)), share ? "/proc" : "/");
        CHECK_EQ(umask(022), share ? 0707 : 022);
    }
}

static int child_ignore(void *arg)
{
    (void)arg;
    return signal(SIGUSR2, SIG_IGN) == SIG_ERR;
}

TEST(clone_sighand)
{
    for (int share = 0; share < 2; share++) {
        signal(SIGUSR2, SIG_DFL);
        int flags = CLONE_VM | (share ? CLONE_SIGHAND : 0) | SIGCHLD;
        pid_t pid = OK(clone(child_ignore, new_stack(), flags, NULL));
        CHECK_EXIT(pid, 0);
        CHECK(signal(SIGUSR2, SIG_DFL) == (share ? SIG_IGN : SIG_DFL));
    }
}

TEST(clone_parent)
{
    // A child made with CLONE_PARENT is this process's child although the grandchild made it.
    pid_t *made = gt_shared(4096);
    pid_t me = getpid();
    pid_t pid = FORK({
        long child = raw_clone(CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
        if (child == 0)
            _exit(getppid() == me ? 21 : 22);
        CHECK(child > 0);
        made[0] = child;
        CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EXIT(made[0], 21);
}

static int child_nothing(void *arg)
{
    (void)arg;
    return 0;
}

TEST(clone_settid_cleartid)
{
    pid_t parent_tid = 0, child_tid = 0;
    pid_t pid = OK(clone(child_nothing, new_stack(), CLONE_VM | CLONE_PARENT_SETTID | SIGCHLD, NULL, &parent_tid,
                         NULL, &child_tid));
    CHECK_EQ(parent_tid, pid);
    CHECK_EXIT(pid, 0);
    CHECK_EQ(child_tid, 0);
    child_tid = 1;
    pid = OK(clone(child_nothing, new_stack(), CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL,
                   &child_tid));
    CHECK_EXIT(pid, 0);
    CHECK_EQ(child_tid, 0);
    // Without CLONE_VM the parent's copy is untouched, and the child sees its own id.
    static pid_t word;
    word = 0;
    long raw = raw_clone(CLONE_CHILD_SETTID | SIGCHLD, NULL, NULL, &word, NULL);
    if (raw == 0)
        _exit(word == syscall(SYS_getpid) ? 0 : 1);
    CHECK(raw > 0);
    CHECK_EXIT(raw, 0);
    CHECK_EQ(word, 0);
}

TEST(clone_settid_fault)
{
    // A parent-tid address that cannot be written does not fail the call.
    long pid = raw_clone(CLONE_PARENT_SETTID | SIGCHLD, NULL, GT_BAD, NULL, NULL);
    if (pid == 0)
        _exit(0);
    CHECK(pid > 0);
    CHECK_EXIT(pid, 0);
}

static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
    got_signal = sig;
}

TEST(clone_exit_signal)
{
    signal(SIGUSR1, on_signal);
    signal(SIGCHLD, on_signal);
    sigset_t none, block;
    sigfillset(&block);
    sigprocmask(SIG_BLOCK, &block, &none);
    long pid = raw_clone(SIGUSR1, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(4);
    CHECK(pid > 0);
    sigsuspend(&none);
    CHECK_EQ(got_signal, SIGUSR1);
    // Such a child is a clone child: a plain wait does not see it.
    CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
    int status;
    CHECK_EQ(waitpid(pid, &status, __WCLONE), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 4);
}

TEST(clone_no_exit_signal)
{
    signal(SIGCHLD, on_signal);
    got_signal = 0;
    long pid = raw_clone(0, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(6);
    CHECK(pid > 0);
    int status;
    CHECK_ERRNO(waitpid(-1, &status, 0), ECHILD);
    CHECK_EQ(waitpid(-1, &status, __WALL), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 6);
    CHECK_EQ(got_signal, 0);
}

TEST(clone_vfork_flag)
{
    int *word = gt_shared(4096);
    long pid = raw_clone(CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        gt_msleep(50);
        word[0] = 1;
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EQ(word[0], 1);
    CHECK_EXIT(pid, 0);
}

TEST(clone_harmless_flags)
{
    static const unsigned long flags[] = {CLONE_UNTRACED, CLONE_IO, CLONE_SYSVSEM, CLONE_DETACHED, CLONE_PTRACE};
    for (size_t i = 0; i < GT_COUNT(flags); i++) {
        long pid = raw_clone(flags[i] | SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0)
            _exit(0);
        CHECK(pid > 0);
        CHECK_EXIT(pid, 0);
    }
}

TEST(clone_bad_flags)
{
    static const unsigned long flags[] = {
        CLONE_SIGHAND,
        CLONE_THREAD,
        CLONE_THREAD | CLONE_VM,
        CLONE_THREAD | CLONE_SIGHAND,
        CLONE_NEWNS | CLONE_FS,
        CLONE_NEWUSER | CLONE_FS,
        CLONE_NEWIPC | CLONE_SYSVSEM,
        CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM,
        CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM,
        CLONE_PIDFD | CLONE_PARENT_SETTID,
        CLONE_PIDFD | CLONE_DETACHED,
    };
    for (size_t i = 0; i < GT_COUNT(flags); i++) {
        static int word;
        errno = 0;
        long pid = raw_clone(flags[i] | SIGCHLD, NULL, &word, &word, NULL);
        if (pid == 0)
            _exit(0);
        if (pid != -1 || errno != EINVAL)
            gt_fail(false, __FILE__, __LINE__, "clone(%#lx): got %ld %s want EINVAL", flags[i], pid,
                    gt_errname(errno));
    }
}

TEST(clone_pidfd)
{
    int fd = -1;
    long pid = raw_clone(CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, NULL);
    if (pid == 0)
        _exit(3);
    CHECK(pid > 0);
    CHECK(fd >= 0);
    CHECK_EQ(OK(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, -1), 1);
    CHECK(p.revents & POLLIN);
    siginfo_t info = {0};
    CHECK_EQ(waitid(P_PIDFD, fd, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 3);
}

TEST(clone3_basic)
{
    int fd = -1, ptid = 0;
    struct clone_args args = {
        .flags = CLONE_PIDFD | CLONE_PARENT_SETTID,
        .pidfd = (uintptr_t)&fd,
        .parent_tid = (uintptr_t)&ptid,
        .exit_signal = SIGCHLD,
    };
    long pid = clone3_fork(&args, sizeof(args));
    if (pid == 0)
        _exit(17);
    CHECK(pid > 0);
    CHECK(fd >= 0);
    CHECK_EQ(ptid, pid);
    CHECK_EXIT(pid, 17);
}

TEST(clone3_sizes)
{
    struct {
        struct clone_args args;
        char tail[8192];
    } big = {.args.exit_signal = SIGCHLD};
    static const size_t good[] = {CLONE_ARGS_SIZE_VER0, CLONE_ARGS_SIZE_VER1, CLONE_ARGS_SIZE_VER2, 4096};
    for (size_t i = 0; i < GT_COUNT(good); i++) {
        long pid = clone3_fork(&big.args, good[i]);
        if (pid == 0)
            _exit(0);
        CHECK(pid > 0);
        CHECK_EXIT(pid, 0);
    }
    EXPECT_ERRNO(clone3_fork(&big.args, 0), EINVAL);
    EXPECT_ERRNO(clone3_fork(&big.args, CLONE_ARGS_SIZE_VER0 - 8), EINVAL);
    EXPECT_ERRNO(clone3_fork(&big.args, 4097), E2BIG);
    big.tail[100] = 1;
    EXPECT_ERRNO(clone3_fork(&big.args, 4096), E2BIG);
    EXPECT_ERRNO(clone3_fork(GT_BAD, CLONE_ARGS_SIZE_VER0), EFAULT);
}

TEST(clone3_bad)
{
    pid_t tids[40] = {0};
    char *stack = (char *)new_stack() - STACK_SIZE;
    const struct {
        struct clone_args args;
        int err;
    } cases[] = {
        {{.flags = SIGCHLD}, EINVAL},
        {{.flags = CLONE_DETACHED, .exit_signal = SIGCHLD}, EINVAL},
        {{.flags = 1ULL << 63, .exit_signal = SIGCHLD}, EINVAL},
        {{.exit_signal = 65}, EINVAL},
        {{.exit_signal = 0x100}, EINVAL},
        {{.flags = CLONE_PARENT, .exit_signal = SIGCHLD}, EINVAL},
        {{.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD}, EINVAL},
        {{.flags = CLONE_SIGHAND, .exit_signal = SIGCHLD}, EINVAL},
        {{.flags = CLONE_SIGHAND | CLONE_VM | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD}, EINVAL},
        {{.stack_size = 4096, .exit_signal = SIGCHLD}, EINVAL},
        {{.stack = (uintptr_t)stack, .exit_signal = SIGCHLD}, EINVAL},
        {{.stack = ~0ULL - 4096, .stack_size = 65536, .exit_signal = SIGCHLD}, EINVAL},
        {{.set_tid_size = 1, .exit_signal = SIGCHLD}, EINVAL},
        {{.set_tid = (uintptr_t)tids, .exit_signal = SIGCHLD}, EINVAL},
        {{.set_tid = (uintptr_t)tids, .set_tid_size = 33, .exit_signal = SIGCHLD}, EINVAL},
        {{.set_tid = (uintptr_t)tids, .set_tid_size = 1, .exit_signal = SIGCHLD}, EINVAL},
        {{.flags = CLONE_PIDFD | CLONE_DETACHED, .exit_signal = SIGCHLD}, EINVAL},
    };
    for (size_t i = 0; i < GT_COUNT(cases); i++) {
        struct clone_args args = cases[i].args;
        errno = 0;
        long pid = clone3_fork(&args, sizeof(args));
        if (pid == 0)
            _exit(0);
        if (pid != -1 || errno != cases[i].err)
            gt_fail(false, __FILE__, __LINE__, "clone3 case %zu: got %ld %s want %s", i, pid, gt_errname(errno),
                    gt_errname(cases[i].err));
    }
}

TEST(clone3_set_tid)
{
    pid_t want = getpid();
    struct clone_args args = {.set_tid = (uintptr_t)&want, .set_tid_size = 1, .exit_signal = SIGCHLD};
    CHECK_ERRNO(clone3_fork(&args, sizeof(args)), EEXIST);
    pid_t pid = FORK({});
    CHECK_EXIT(pid, 0);
    want = pid;
    long again = clone3_fork(&args, sizeof(args));
    if (again == 0)
        _exit(getpid() == want ? 0 : 1);
    CHECK_EQ(again, pid);
    CHECK_EXIT(again, 0);
    pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(clone3_fork(&args, sizeof(args)), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(clone3_clear_sighand)
{
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, SIG_IGN);
    struct clone_args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    long pid = clone3_fork(&args, sizeof(args));
    if (pid == 0) {
        struct sigaction a, b;
        sigaction(SIGUSR1, NULL, &a);
        sigaction(SIGUSR2, NULL, &b);
        _exit(a.sa_handler == SIG_DFL && b.sa_handler == SIG_IGN ? 0 : 1);
    }
    CHECK(pid > 0);
    CHECK_EXIT(pid, 0);
}

TEST(unshare_files_fs)
{
    char here[PATH_MAX];
    CHECK_EQ(unshare(0), 0);
    CHECK_EQ(unshare(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM), 0);
    CHECK_ERRNO(unshare(CLONE_DETACHED), EINVAL);
    CHECK_EQ(chdir("/"), 0);
    // A child that unshares goes its own way.
    int fd = OK(open("/dev/null", O_RDONLY));
    static char stack[STACK_SIZE] __attribute__((aligned(16)));
    struct clone_args args = {.flags = CLONE_FILES | CLONE_FS, .exit_signal = SIGCHLD};
    (void)stack;
    long pid = clone3_fork(&args, sizeof(args));
    if (pid == 0) {
        if (unshare(CLONE_FILES | CLONE_FS) != 0 || close(fd) != 0 || chdir("/proc") != 0)
            _exit(1);
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EXIT(pid, 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_STR(getcwd(here, sizeof(here)), "/");
}

static void *parked(void *arg)
{
    char byte;
    (void)!read(*(int *)arg, &byte, 1);
    return NULL;
}

TEST(unshare_vm_with_threads)
{
    CHECK_EQ(unshare(CLONE_VM), 0);
    CHECK_EQ(unshare(CLONE_THREAD), 0);
    int ends[2];
    pthread_t thread;
    CHECK_EQ(pipe(ends), 0);
    CHECK_RC(pthread_create(&thread, NULL, parked, &ends[0]), 0);
    EXPECT_ERRNO(unshare(CLONE_VM), EINVAL);
    EXPECT_ERRNO(unshare(CLONE_THREAD), EINVAL);
    EXPECT_ERRNO(unshare(CLONE_SIGHAND), EINVAL);
    close(ends[1]);
    CHECK_RC(pthread_join(thread, NULL), 0);
}
