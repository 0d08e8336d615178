// Sessions, process groups, orphans and adoption: setsid and setpgid rules, orphaned stopped groups,
// subreapers, parent-death signals.
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "guest-test.h"

// A child that reports, waits for a go-ahead, and ends.
struct held {
    pid_t pid;
    int go;
};

static struct held held_child(void)
{
    int ends[2];
    struct held h;
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    h.pid = FORK({
        char byte;
        close(ends[1]);
        (void)!read(ends[0], &byte, 1);
    });
    close(ends[0]);
    h.go = ends[1];
    return h;
}

static void let_go(struct held h)
{
    CHECK_EQ(write(h.go, "g", 1), 1);
    close(h.go);
    CHECK_EXIT(h.pid, 0);
}

TEST(group_and_session_ids)
{
    CHECK_EQ(getpgrp(), getpgid(0));
    CHECK_EQ(getpgid(getpid()), getpgrp());
    CHECK_EQ(getsid(0), getsid(getpid()));
    CHECK_ERRNO(getpgid(-1), ESRCH);
    CHECK_ERRNO(getpgid(1 << 22), ESRCH);
    CHECK_ERRNO(getsid(-1), ESRCH);
    CHECK_ERRNO(getsid(1 << 22), ESRCH);
    CHECK_EQ(syscall(SYS_getpgrp), getpgrp());
}

TEST(setsid_rules)
{
    pid_t pid = FORK({
        pid_t me = getpid();
        CHECK_EQ(setsid(), me);
        CHECK_EQ(getsid(0), me);
        CHECK_EQ(getpgrp(), me);
        CHECK_ERRNO(setsid(), EPERM);    // a group leader already
        CHECK_ERRNO(setpgid(0, 0), EPERM);    // a session leader
        pid_t child = FORK({
            CHECK_EQ(getsid(0), me);
            CHECK_EQ(getpgrp(), me);
            CHECK_EQ(setpgid(0, 0), 0);
            CHECK_EQ(getpgrp(), getpid());
            CHECK_EQ(getsid(0), me);
            CHECK_ERRNO(setsid(), EPERM);
            CHECK_EQ(setpgid(0, me), 0);
            CHECK(setsid() == getpid());
        });
        CHECK_EXIT(child, 0);
    });
    CHECK_EXIT(pid, 0);
}

TEST(setsid_while_group_exists)
{
    // A group named after the caller exists although the caller has left it.
    pid_t pid = FORK({
        CHECK_EQ(setpgid(0, 0), 0);
        struct held member = held_child();
        CHECK_EQ(setpgid(0, getppid()), 0);
        CHECK_EQ(getpgid(member.pid), getpid());
        CHECK_ERRNO(setsid(), EPERM);
        let_go(member);
        CHECK_EQ(setsid(), getpid());
    });
    CHECK_EXIT(pid, 0);
}

TEST(setpgid_rules)
{
    struct held a = held_child(), b = held_child();
    CHECK_EQ(setpgid(a.pid, 0), 0);
    CHECK_EQ(getpgid(a.pid), a.pid);
    CHECK_EQ(setpgid(b.pid, a.pid), 0);
    CHECK_EQ(getpgid(b.pid), a.pid);
    CHECK_EQ(setpgid(b.pid, b.pid), 0);
    CHECK_EQ(setpgid(b.pid, getpgrp()), 0);
    EXPECT_ERRNO(setpgid(b.pid, -1), EINVAL);
    EXPECT_ERRNO(setpgid(-1, 5), ESRCH);
    EXPECT_ERRNO(setpgid(1 << 22, 0), ESRCH);
    EXPECT_ERRNO(setpgid(getppid(), 0), ESRCH);    // neither self nor child
    EXPECT_ERRNO(setpgid(b.pid, 1 << 21), EPERM);    // no such group
    let_go(a);
    let_go(b);
    EXPECT_ERRNO(setpgid(a.pid, 0), ESRCH);
}

ENTRY(hold)
{
    char byte;
    CHECK_EQ(write(STDOUT_FILENO, "r", 1), 1);
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

TEST(setpgid_after_exec)
{
    int in[2], out[2];
    char byte;
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    pid_t pid = FORK({
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(gt_self, gt_self, "-xhold", (char *)NULL);
        _exit(1);
    });
    CHECK_EQ(read(out[0], &byte, 1), 1);
    CHECK_ERRNO(setpgid(pid, 0), EACCES);
    CHECK_EQ(close(in[0]) + close(in[1]), 0);
    CHECK_EXIT(pid, 0);
}

TEST(setpgid_child_of_other_session)
{
    int out[2], in[2];
    char byte;
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    pid_t pid = FORK({
        CHECK(setsid() > 0);
        CHECK_EQ(write(out[1], "r", 1), 1);
        close(in[1]);
        CHECK_EQ(read(in[0], &byte, 1), 0);
    });
    CHECK_EQ(read(out[0], &byte, 1), 1);
    CHECK_ERRNO(setpgid(pid, 0), EPERM);
    CHECK_ERRNO(setpgid(pid, getpgrp()), EPERM);
    CHECK_EQ(getsid(pid), pid);
    close(in[1]);
    CHECK_EXIT(pid, 0);
}

static volatile sig_atomic_t hups, conts;

static void count(int sig)
{
    if (sig == SIGHUP)
        hups++;
    else
        conts++;
}

TEST(orphaned_stopped_group)
{
    // When the last link of a group to its session goes and a member is stopped, all get SIGHUP and SIGCONT.
    int out[2];
    char text[16] = "";
    CHECK_EQ(pipe(out), 0);
    pid_t middle = FORK({
        CHECK(setsid() > 0);
        pid_t leader = FORK({
            pid_t stopped = FORK({
                CHECK_EQ(setpgid(0, 0), 0);
                signal(SIGHUP, count);
                signal(SIGCONT, count);
                CHECK_EQ(write(out[1], "r", 1), 1);
                raise(SIGSTOP);
                while (hups == 0 || conts == 0)
                    gt_msleep(1);
                CHECK_EQ(write(out[1], "hup", 3), 3);
            });
            setpgid(stopped, stopped);
            gt_wait_state(stopped, "T");
            CHECK_EQ(gt_state(stopped), 'T');
            // This process, of another group of the session, was the link; it ends here.
        });
        CHECK_EXIT(leader, 0);
    });
    CHECK_EXIT(middle, 0);
    CHECK_EQ(close(out[1]), 0);
    size_t used = 0;
    ssize_t n;
    while ((n = read(out[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += n;
    CHECK_STR(text, "rhup");
}

TEST(orphaned_group_ignores_terminal_stops)
{
    // In an orphaned group SIGTSTP, SIGTTIN and SIGTTOU by default do nothing; SIGSTOP stops.
    int status;
    pid_t pid = FORK({
        CHECK(setsid() > 0);
        raise(SIGTSTP);
        raise(SIGTTIN);
        raise(SIGTTOU);
        raise(SIGSTOP);
        _exit(5);
    });
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), SIGSTOP);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EXIT(pid, 5);
}

TEST(subreaper)
{
    int value = -1, ends[2];
    pid_t seen;
    CHECK_EQ(prctl(PR_GET_CHILD_SUBREAPER, &value), 0);
    CHECK_EQ(value, 0);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    CHECK_EQ(prctl(PR_GET_CHILD_SUBREAPER, &value), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(pipe(ends), 0);
    pid_t me = getpid();
    pid_t middle = FORK({
        CHECK_EQ(prctl(PR_GET_CHILD_SUBREAPER, &value), 0);
        CHECK_EQ(value, 0);    // not inherited
        pid_t parent = getpid();
        (void)FORK({
            pid_t own = getpid();
            CHECK_EQ(write(ends[1], &own, sizeof(own)), (ssize_t)sizeof(own));
            while (getppid() == parent)
                sched_yield();
            _exit(getppid() == me ? 23 : 24);
        });
    });
    CHECK_EXIT(middle, 0);
    CHECK_EQ(read(ends[0], &seen, sizeof(seen)), (ssize_t)sizeof(seen));
    CHECK_EXIT(seen, 23);
}

TEST(subreaper_nearest)
{
    // The nearest living subreaper adopts, and zombies are handed over too.
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t *ids = gt_shared(4096);
    pid_t inner = FORK({
        CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        pid_t middle = FORK({
            ids[0] = FORK({ _exit(9); });
            siginfo_t info;
            CHECK_EQ(waitid(P_PID, ids[0], &info, WEXITED | WNOWAIT), 0);
        });
        CHECK_EXIT(middle, 0);
        CHECK_EXIT(ids[0], 9);
    });
    CHECK_EXIT(inner, 0);
    CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(parent_death_signal)
{
    int ends[2], value = -1;
    char byte;
    CHECK_EQ(prctl(PR_GET_PDEATHSIG, &value), 0);
    CHECK_EQ(value, 0);
    EXPECT_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
    EXPECT_ERRNO(prctl(PR_SET_PDEATHSIG, -1), EINVAL);
    EXPECT_ERRNO(prctl(PR_GET_PDEATHSIG, GT_BAD), EFAULT);
    CHECK_EQ(pipe(ends), 0);
    pid_t middle = FORK({
        int ready[2];
        CHECK_EQ(pipe(ready), 0);
        pid_t child = FORK({
            sigset_t set;
            int sig;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            sigprocmask(SIG_BLOCK, &set, NULL);
            CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR1), 0);
            CHECK_EQ(prctl(PR_GET_PDEATHSIG, &value), 0);
            CHECK_EQ(value, SIGUSR1);
            pid_t grandchild = FORK({
                CHECK_EQ(prctl(PR_GET_PDEATHSIG, &value), 0);
                CHECK_EQ(value, 0);
            });
            CHECK_EXIT(grandchild, 0);
            CHECK_EQ(write(ready[1], "r", 1), 1);
            CHECK_EQ(sigwait(&set, &sig), 0);
            CHECK_EQ(write(ends[1], "d", 1), 1);
        });
        CHECK(child > 0);
        CHECK_EQ(read(ready[0], &byte, 1), 1);
    });
    CHECK_EXIT(middle, 0);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'd');
}

TEST(stop_signals_discard_continue)
{
    // A pending stop is discarded by SIGCONT and the other way round, even when blocked.
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGCONT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGTSTP);
    raise(SIGCONT);
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGTSTP) && sigismember(&pending, SIGCONT));
    raise(SIGTSTP);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGTSTP) && !sigismember(&pending, SIGCONT));
}

TEST(continue_handler_runs)
{
    int status;
    pid_t pid = FORK({
        signal(SIGCONT, count);
        raise(SIGSTOP);
        CHECK_EQ(conts, 1);
    });
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(gt_state(pid), 'T');
    // Other signals wait while it is stopped.
    CHECK_EQ(kill(pid, SIGCHLD), 0);
    CHECK_EQ(gt_state(pid), 'T');
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EXIT(pid, 0);
}

static void *spin(void *arg)
{
    for (;;)
        atomic_fetch_add((atomic_long *)arg, 1);
    return NULL;
}

TEST(stop_stops_every_thread)
{
    atomic_long *counter = gt_shared(4096);
    int status;
    pid_t pid = FORK({
        pthread_t thread;
        for (int i = 0; i < 3; i++)
            CHECK_RC(pthread_create(&thread, NULL, spin, counter), 0);
        spin(counter);
    });
    while (atomic_load(counter) < 10000)
        gt_msleep(1);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    long before = atomic_load(counter);
    gt_msleep(50);
    CHECK_EQ(atomic_load(counter), before);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    while (atomic_load(counter) == before)
        gt_msleep(1);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(kill(pid, SIGCONT), 0);
    }
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(process_tree_killed_by_group)
{
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = FORK({
        CHECK_EQ(setpgid(0, 0), 0);
        for (int i = 0; i < 3; i++)
            (void)FORK({
                (void)FORK({ pause(); });
                pause();
            });
        CHECK_EQ(write(ends[1], "r", 1), 1);
        pause();
    });
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(kill(-pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
    // Every holder of the pipe must be gone, or be killed again if it was forked meanwhile.
    while (kill(-pid, SIGKILL) == 0)
        gt_msleep(1);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}
