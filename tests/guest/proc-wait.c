// wait4 and waitid: every option, what each selector matches, the siginfo filled in, stop and continue
// reports, resource usage, and concurrent waiters.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "guest-test.h"

static pid_t exiting(int code)
{
    return FORK({ _exit(code); });
}

static pid_t sleeping(void)
{
    pid_t pid = FORK({
        for (;;)
            pause();
    });
    return pid;
}

// Waits until the child is a zombie without reaping it.
static void await_zombie(pid_t pid)
{
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
}

TEST(exit_codes)
{
    static const int codes[] = {0, 1, 2, 127, 128, 255, 256, 257, -1, -256};
    for (size_t i = 0; i < GT_COUNT(codes); i++) {
        int status = -1;
        pid_t pid = exiting(codes[i]);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, (codes[i] & 0xff) << 8);
    }
}

TEST(exit_group_and_exit)
{
    pid_t pid = FORK({ syscall(SYS_exit, 12); });
    CHECK_EXIT(pid, 12);
    pid = FORK({ syscall(SYS_exit_group, 0x1234); });
    CHECK_EXIT(pid, 0x34);
}

TEST(killed_status)
{
    const int sigs[] = {SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGPIPE, SIGALRM, SIGTERM, SIGRTMIN, SIGRTMAX};
    for (size_t i = 0; i < GT_COUNT(sigs); i++) {
        int status = -1;
        pid_t pid = sleeping();
        CHECK_EQ(kill(pid, sigs[i]), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status & 0x7f, sigs[i]);
    }
}

TEST(no_children)
{
    CHECK_ERRNO(wait(NULL), ECHILD);
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
    CHECK_ERRNO(waitpid(getpid(), NULL, 0), ECHILD);
    CHECK_ERRNO(waitpid(getppid(), NULL, 0), ECHILD);
    CHECK_ERRNO(waitpid(1 << 22, NULL, 0), ECHILD);
    CHECK_ERRNO(waitpid(INT_MIN, NULL, 0), ESRCH);
    siginfo_t info;
    CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_PID, getpid(), &info, WEXITED), ECHILD);
}

TEST(wait4_bad_arguments)
{
    pid_t pid = exiting(0);
    await_zombie(pid);
    CHECK_ERRNO(wait4(pid, NULL, 0x10, NULL), EINVAL);
    CHECK_ERRNO(wait4(pid, NULL, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(wait4(pid, NULL, WNOWAIT, NULL), EINVAL);
    CHECK_EQ(wait4(pid, NULL, 0, NULL), pid);
}

TEST(wait4_fault)
{
    pid_t pid = exiting(0);
    await_zombie(pid);
    CHECK_ERRNO(syscall(SYS_wait4, pid, GT_BAD, 0, NULL), EFAULT);
    // The child is gone all the same.
    CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
}

TEST(waitid_bad_arguments)
{
    siginfo_t info;
    pid_t pid = exiting(0);
    await_zombie(pid);
    EXPECT_ERRNO(waitid(P_PID, pid, &info, 0), EINVAL);
    EXPECT_ERRNO(waitid(P_PID, pid, &info, WNOHANG), EINVAL);
    EXPECT_ERRNO(waitid(P_PID, pid, &info, WNOWAIT), EINVAL);
    EXPECT_ERRNO(waitid(P_PID, pid, &info, WEXITED | 0x100), EINVAL);
    EXPECT_ERRNO(waitid(P_PID, 0, &info, WEXITED), EINVAL);
    EXPECT_ERRNO(waitid(P_PID, -1, &info, WEXITED), EINVAL);
    EXPECT_ERRNO(waitid(P_PGID, -1, &info, WEXITED), EINVAL);
    EXPECT_ERRNO(waitid(7, pid, &info, WEXITED), EINVAL);
    EXPECT_ERRNO(waitid(P_PIDFD, -1, &info, WEXITED), EINVAL);
    EXPECT_ERRNO(waitid(P_PIDFD, 99, &info, WEXITED), EBADF);
    int fd = OK(open("/dev/null", O_RDONLY));
    EXPECT_ERRNO(waitid(P_PIDFD, fd, &info, WEXITED), EBADF);
    CHECK_EQ(waitid(P_PID, pid, NULL, WEXITED), 0);
}

TEST(wnohang)
{
    int status = 77;
    siginfo_t info;
    memset(&info, 0x55, sizeof(info));
    pid_t pid = sleeping();
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(status, 77);
    CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    CHECK_EQ(info.si_signo, 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(waitid_exited)
{
    siginfo_t info;
    memset(&info, 0x55, sizeof(info));
    pid_t pid = exiting(0x1ff);
    CHECK_EQ(waitid(P_PID, pid, &info, WEXITED), 0);
    CHECK_EQ(info.si_signo, SIGCHLD);
    CHECK_EQ(info.si_errno, 0);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_uid, 0);
    CHECK_EQ(info.si_status, 0xff);
    CHECK_ERRNO(waitid(P_PID, pid, &info, WEXITED), ECHILD);
}

TEST(waitid_killed)
{
    siginfo_t info;
    pid_t pid = sleeping();
    CHECK_EQ(kill(pid, SIGTERM), 0);
    CHECK_EQ(waitid(P_ALL, 0, &info, WEXITED), 0);
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, SIGTERM);
}

TEST(waitid_uid)
{
    siginfo_t info;
    pid_t pid = FORK({ CHECK_EQ(setresuid(1234, 1234, 1234), 0); });
    CHECK_EQ(waitid(P_PID, pid, &info, WEXITED), 0);
    CHECK_EQ(info.si_uid, 1234);
    CHECK_EQ(info.si_status, 0);
}

TEST(wnowait)
{
    siginfo_t info;
    pid_t pid = exiting(5);
    for (int i = 0; i < 3; i++) {
        memset(&info, 0, sizeof(info));
        CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
        CHECK_EQ(info.si_pid, pid);
        CHECK_EQ(info.si_status, 5);
    }
    CHECK_EQ(kill(pid, 0), 0);    // a zombie still takes signals
    CHECK_EXIT(pid, 5);
    CHECK_ERRNO(kill(pid, 0), ESRCH);
}

TEST(stop_and_continue)
{
    int status;
    siginfo_t info;
    pid_t pid = sleeping();
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(status, SIGSTOP << 8 | 0x7f);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);    // told once
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK_EQ(status, 0xffff);
    CHECK(WIFCONTINUED(status));
    CHECK_EQ(waitpid(pid, &status, WCONTINUED | WUNTRACED | WNOHANG), 0);

    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT), 0);
    CHECK_EQ(info.si_code, CLD_STOPPED);
    CHECK_EQ(info.si_status, SIGSTOP);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(waitid(P_PID, pid, &info, WSTOPPED), 0);
    memset(&info, 0, sizeof(info));
    CHECK_EQ(waitid(P_PID, pid, &info, WSTOPPED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitid(P_PID, pid, &info, WCONTINUED | WNOWAIT), 0);
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    CHECK_EQ(info.si_status, SIGCONT);
    CHECK_EQ(waitid(P_PID, pid, &info, WCONTINUED), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(stop_not_asked_for)
{
    int status;
    pid_t pid = sleeping();
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT), 0);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED | WNOHANG), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), pid);
    CHECK_EQ(kill(pid, SIGKILL), 0);    // a stopped process dies at once
    CHECK_KILLED(pid, SIGKILL);
}

TEST(waitid_only_asked_kinds)
{
    siginfo_t info = {0};
    pid_t pid = exiting(1);
    await_zombie(pid);
    // Not waiting for exits: a zombie never stops, and is no child to wait for either way.
    CHECK_ERRNO(waitid(P_PID, pid, &info, WSTOPPED | WNOHANG), ECHILD);
    CHECK_EXIT(pid, 1);
}

TEST(by_process_group)
{
    int status;
    pid_t a = FORK({ setpgid(0, 0); _exit(1); });
    pid_t b = exiting(2);
    setpgid(a, a);
    await_zombie(a);
    await_zombie(b);
    CHECK_EQ(waitpid(-a, &status, 0), a);
    CHECK_ERRNO(waitpid(-a, &status, 0), ECHILD);
    CHECK_EQ(waitpid(0, &status, 0), b);
    CHECK_ERRNO(waitpid(0, &status, 0), ECHILD);
    siginfo_t info;
    a = FORK({ _exit(1); });
    CHECK_EQ(waitid(P_PGID, getpgrp(), &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, a);
    a = FORK({ _exit(1); });
    CHECK_EQ(waitid(P_PGID, 0, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, a);
}

TEST(any_child_order)
{
    bool seen[10] = {false};
    pid_t pids[10];
    for (int i = 0; i < 10; i++)
        pids[i] = exiting(i);
    for (int i = 0; i < 10; i++) {
        int status;
        pid_t pid = wait(&status);
        CHECK(WIFEXITED(status));
        int code = WEXITSTATUS(status);
        CHECK_EQ(pid, pids[code]);
        CHECK(!seen[code]);
        seen[code] = true;
    }
    CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(rusage)
{
    struct rusage ru;
    int status;
    pid_t pid = FORK({
        char *p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p, 1, 16 << 20);
        clock_t start = clock();
        while (clock() - start < CLOCKS_PER_SEC / 5)
            continue;
    });
    memset(&ru, 0x55, sizeof(ru));
    CHECK_EQ(wait4(pid, &status, 0, &ru), pid);
    int64_t us = (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000LL + ru.ru_utime.tv_usec + ru.ru_stime.tv_usec;
    CHECK(us >= 150000);
    CHECK(us < 60000000);
    CHECK(ru.ru_maxrss >= 16 << 10);
    CHECK(ru.ru_maxrss < 1 << 20);
    struct rusage children;
    CHECK_EQ(getrusage(RUSAGE_CHILDREN, &children), 0);
    us = (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000LL + children.ru_utime.tv_usec +
         children.ru_stime.tv_usec;
    CHECK(us >= 150000);
    CHECK(children.ru_maxrss >= 16 << 10);
}

TEST(rusage_waitid)
{
    struct rusage ru;
    siginfo_t info;
    memset(&ru, 0x55, sizeof(ru));
    pid_t pid = exiting(0);
    CHECK_EQ(syscall(SYS_waitid, P_PID, pid, &info, WEXITED, &ru), 0);
    CHECK(ru.ru_utime.tv_sec < 100);
    CHECK(ru.ru_maxrss > 0 && ru.ru_maxrss < 1 << 24);
}

static void *exiting_forker(void *arg)
{
    *(pid_t *)arg = fork();
    if (*(pid_t *)arg == 0) {
        gt_msleep(30);
        _exit(8);
    }
    return NULL;
}

TEST(child_of_dead_thread)
{
    // The child of a thread that has ended is still the process's child.
    pthread_t thread;
    pid_t pid = 0;
    CHECK_RC(pthread_create(&thread, NULL, exiting_forker, &pid), 0);
    CHECK_RC(pthread_join(thread, NULL), 0);
    CHECK(pid > 0);
    CHECK_EXIT(pid, 8);
}

static void *wnothread_waiter(void *arg)
{
    errno = 0;
    long r = waitpid(*(pid_t *)arg, NULL, __WNOTHREAD);
    return (void *)(long)(r == -1 && errno == ECHILD);
}

TEST(wnothread)
{
    pthread_t thread;
    void *result;
    pid_t pid = exiting(3);
    await_zombie(pid);
    CHECK_RC(pthread_create(&thread, NULL, wnothread_waiter, &pid), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK(result != NULL);
    int status;
    CHECK_EQ(waitpid(pid, &status, __WNOTHREAD), pid);
}

static void *any_waiter(void *arg)
{
    int status;
    (void)arg;
    pid_t pid = waitpid(-1, &status, 0);
    return (void *)(long)pid;
}

TEST(concurrent_waiters)
{
    // Each of eight waiting threads gets exactly one child.
    pthread_t threads[8];
    pid_t pids[8];
    int go[2];
    CHECK_EQ(pipe(go), 0);
    for (int i = 0; i < 8; i++)
        pids[i] = FORK({
            char byte;
            close(go[1]);
            CHECK_EQ(read(go[0], &byte, 1), 0);
        });
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, any_waiter, NULL), 0);
    close(go[1]);
    for (int i = 0; i < 8; i++) {
        void *got;
        CHECK_RC(pthread_join(threads[i], &got), 0);
        bool found = false;
        for (int k = 0; k < 8; k++)
            if (pids[k] == (pid_t)(long)got) {
                found = true;
                pids[k] = 0;
            }
        CHECK(found);
    }
    CHECK_ERRNO(wait(NULL), ECHILD);
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int sig)
{
    (void)sig;
    signals_seen++;
}

TEST(interrupted)
{
    struct sigaction sa = {.sa_handler = on_signal};
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        gt_wait_state(me, "S");
        kill(me, SIGUSR1);
        pause();
    });
    CHECK_ERRNO(waitpid(pid, NULL, 0), EINTR);
    CHECK_EQ(signals_seen, 1);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(restarted)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        gt_wait_state(me, "S");
        kill(me, SIGUSR1);
        gt_msleep(50);
        _exit(6);
    });
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 6);
    CHECK_EQ(signals_seen, 1);
}

TEST(sigchld_siginfo)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t pid = exiting(33);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 33);
    CHECK_EQ(info.si_uid, 0);
    CHECK_EXIT(pid, 33);
}

TEST(sigchld_ignored_reaps)
{
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = FORK({ gt_msleep(20); });
    CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);    // waits for the end first
    CHECK_ERRNO(kill(pid, 0), ESRCH);
}

TEST(sa_nocldwait)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_NOCLDWAIT | SA_RESTART};
    CHECK_EQ(sigaction(SIGCHLD, &sa, NULL), 0);
    pid_t pid = FORK({ gt_msleep(20); });
    CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
    CHECK_EQ(signals_seen, 1);    // the signal comes all the same
}

TEST(sa_nocldstop)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_NOCLDSTOP | SA_RESTART};
    CHECK_EQ(sigaction(SIGCHLD, &sa, NULL), 0);
    int status;
    pid_t pid = sleeping();
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK_EQ(signals_seen, 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
    CHECK_EQ(signals_seen, 1);
}

TEST(sigchld_on_stop)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t pid = sleeping();
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_STOPPED);
    CHECK_EQ(info.si_status, SIGSTOP);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    CHECK_EQ(info.si_status, SIGCONT);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(zombie_leader_waits_for_threads)
{
    // A process whose first thread has exited ends, with that thread's status ignored, when the last does.
    pid_t pid = FORK({
        pthread_t thread;
        static pid_t child;
        CHECK_RC(pthread_create(&thread, NULL, exiting_forker, &child), 0);
        syscall(SYS_exit, 77);
    });
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
}

static int clone_child(void *arg)
{
    (void)arg;
    return 9;
}

TEST(wclone_wall)
{
    static char stack[65536] __attribute__((aligned(16)));
    int status;
    pid_t plain = exiting(1);
    pid_t special = OK(clone(clone_child, stack + sizeof(stack), CLONE_VM, NULL));
    await_zombie(plain);
    CHECK_EQ(waitpid(-1, &status, __WCLONE), special);
    CHECK_EQ(WEXITSTATUS(status), 9);
    CHECK_ERRNO(waitpid(-1, &status, __WCLONE), ECHILD);
    CHECK_EQ(waitpid(-1, &status, __WALL), plain);
}

TEST(reparent_to_init)
{
    // An orphan gets a new parent, and its end does not disturb this process.
    int ends[2];
    pid_t seen[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        pid_t middle = getpid();
        (void)FORK({
            while (getppid() == middle)
                sched_yield();
            pid_t ids[2] = {getpid(), getppid()};
            CHECK_EQ(write(ends[1], ids, sizeof(ids)), (ssize_t)sizeof(ids));
        });
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(read(ends[0], seen, sizeof(seen)), (ssize_t)sizeof(seen));
    CHECK(seen[1] != me && seen[1] != pid);
    CHECK_ERRNO(wait(NULL), ECHILD);
}
