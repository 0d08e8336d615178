// Host calls about threads, processes and time.

#include "host/host-int.h"
#include <linux/futex.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

int host_futex(void *word, int op, uint32_t value, const struct timespec *timeout, void *word2,
               uint32_t value3)
{
    return (int)HOST_ENTER6(futex, word, op, value, timeout, word2, value3);
}

int host_futex_requeue(void *word, int op, uint32_t wake, uint32_t requeue, void *word2,
                       uint32_t value3)
{
    return (int)HOST_ENTER6(futex, word, op, wake, requeue, word2, value3);
}

int host_tgkill(int pid, int tid, int sig)
{
    return (int)HOST_ENTER3(tgkill, pid, tid, sig);
}

int host_kill(int pid, int sig)
{
    return (int)HOST_ENTER2(kill, pid, sig);
}

int host_wait_any(void)
{
    siginfo_t info;
    info.si_pid = 0;
    long r = HOST_ENTER5(waitid, P_ALL, 0, &info, WEXITED | WNOWAIT | __WALL, 0);
    return r < 0 ? (int)r : info.si_pid;
}

bool host_is_stopped(int pid)
{
    siginfo_t info;
    info.si_pid = 0;
    long r = HOST_ENTER5(waitid, P_PID, pid, &info, WSTOPPED | WNOHANG | WNOWAIT | __WALL, 0);
    return r == 0 && info.si_pid == pid;
}

int host_wait4(int pid, int *status, int options, struct rusage *usage)
{
    return (int)HOST_ENTER4(wait4, pid, status, options, usage);
}

int host_gettid(void)
{
    return (int)HOST_ENTER0(gettid);
}

int host_sched_yield(void)
{
    return (int)HOST_ENTER0(sched_yield);
}

int host_sched_setaffinity(int tid, uint64_t size, const void *mask)
{
    return (int)HOST_ENTER3(sched_setaffinity, tid, size, mask);
}

int host_setpriority(int tid, int nice)
{
    return (int)HOST_ENTER3(setpriority, PRIO_PROCESS, tid, nice);
}

int host_clock_gettime(clockid_t clock, struct timespec *out)
{
    return (int)HOST_ENTER2(clock_gettime, clock, out);
}

int host_clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                         struct timespec *left)
{
    return (int)HOST_ENTER4(clock_nanosleep, clock, flags, request, left);
}

int64_t host_getrandom(void *buf, uint64_t size, unsigned flags)
{
    return HOST_ENTER3(getrandom, buf, size, flags);
}

int host_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
    return (int)HOST_ENTER4(rt_sigprocmask, how, set, old, sizeof(*set));
}

void host_exit_group(int status)
{
    for (;;)
        (void)HOST_ENTER1(exit_group, status);
}

nsec_t host_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}
