// Clocks, sleeping, interval timers and POSIX timers.
//
// DEVIATION: no clock can be set (EPERM, as without CAP_SYS_TIME in the initial user namespace);
// adjtimex() shows a clock that is not synchronised.

#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

#include "abi/capability.h"
#include "kernel/itimer.h"
#include "kernel/posix-timer.h"
#include "kernel/task.h"
#include "kernel/timer-int.h"
#include "sys/restart.h"
#include "sys/syscalls-gen.h"
#include "sys/time-int.h"

#define COARSE_RESOLUTION 4000000 // a tick of 250 Hz

nsec_t deadline_after(nsec_t ns)
{
    nsec_t at;
    if (__builtin_add_overflow(clock_monotonic(), ns, &at))
        return NSEC_MAX;
    return at;
}

int copy_in_timeout(struct task *t, uaddr_t addr, nsec_t *deadline)
{
    struct timespec_wire ts;
    nsec_t ns;
    *deadline = NSEC_MAX;
    if (addr.a == 0)
        return 0;
    int ret = copy_in_value(t, &ts, addr);
    if (ret == 0)
        ret = timespec_to_nsec(&ts, &ns);
    if (ret == 0)
        *deadline = deadline_after(ns);
    return ret;
}

// ---- Reading and setting clocks ----

int64_t sys_clock_gettime(struct task *t, int clock, uaddr_t out)
{
    nsec_t now;
    int ret = clock_read(clock, &now);
    if (ret < 0)
        return ret;
    struct timespec_wire ts = timespec_from_nsec(now);
    return copy_out_value(t, out, &ts);
}

int64_t sys_clock_getres(struct task *t, int clock, uaddr_t out)
{
    nsec_t now;
    int ret = clock_read(clock, &now);
    if (ret < 0)
        return ret;
    bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
    struct timespec_wire ts = {0, coarse ? COARSE_RESOLUTION : 1};
    return out.a ? copy_out_value(t, out, &ts) : 0;
}

int64_t sys_clock_settime(struct task *t, int clock, uaddr_t in)
{
    struct timespec_wire ts;
    nsec_t ns;
    // Only one clock can be set; CPU clocks say that they can't.
    if (clock_is_cpu(clock))
        return clock_read(clock, &ns) < 0 ? -EINVAL : -EPERM;
    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    int ret = copy_in_value(t, &ts, in);
    if (ret == 0)
        ret = timespec_to_nsec(&ts, &ns);
    return ret < 0 ? ret : -EPERM;
}

int64_t sys_gettimeofday(struct task *t, uaddr_t tv_addr, uaddr_t tz_addr)
{
    struct timeval_wire tv = timeval_from_nsec(clock_realtime(), false);
    int32_t tz[2] = {0, 0};
    int ret = tv_addr.a ? copy_out_value(t, tv_addr, &tv) : 0;
    if (ret == 0 && tz_addr.a)
        ret = copy_out(t, tz_addr, tz, sizeof(tz));
    return ret;
}

int64_t sys_settimeofday(struct task *t, uaddr_t tv_addr, uaddr_t tz_addr)
{
    struct timeval_wire tv;
    int32_t tz[2];
    nsec_t ns;
    if (tv_addr.a) {
        int ret = copy_in_value(t, &tv, tv_addr);
        if (ret < 0)
            return ret;
        if (timeval_to_nsec(&tv, &ns) < 0)
            return -EINVAL;
    }
    if (tz_addr.a && copy_in(t, tz, tz_addr, sizeof(tz)) < 0)
        return -EFAULT;
    return tv_addr.a || tz_addr.a ? -EPERM : 0;
}

int64_t sys_time(struct task *t, uaddr_t out)
{
    int64_t now = clock_realtime() / NSEC_PER_SEC;
    if (out.a) {
        int ret = copy_out_value(t, out, &now);
        if (ret < 0)
            return ret;
    }
    return now;
}

static int64_t show_timex(struct task *t, uaddr_t addr)
{
    struct timex_wire tx;
    int ret = copy_in_value(t, &tx, addr);
    if (ret < 0)
        return ret;
    if (tx.modes != 0 && tx.modes != ADJ_OFFSET_SS_READ)
        return -EPERM;
    tx = (struct timex_wire){.modes = tx.modes,
                             .maxerror = 16000000,
                             .esterror = 16000000,
                             .status = STA_UNSYNC,
                             .constant = 2,
                             .precision = 1,
                             .tolerance = 32768000,
                             .time = timeval_from_nsec(clock_realtime(), false),
                             .tick = 10000};
    ret = copy_out_value(t, addr, &tx);
    return ret < 0 ? ret : TIME_ERROR;
}

int64_t sys_adjtimex(struct task *t, uaddr_t addr)
{
    return show_timex(t, addr);
}

int64_t sys_clock_adjtime(struct task *t, int clock, uaddr_t addr)
{
    if (clock != CLOCK_REALTIME)
        return clock_is_fixed(clock) || clock_is_cpu(clock) ? -EOPNOTSUPP : -EINVAL;
    return show_timex(t, addr);
}

// ---- Sleeping ----

static int sleep_until(struct task *t, nsec_t deadline)
{
    for (;;) {
        wait_arm(t);
        int ret = wait_sleep(t, deadline);
        if (ret == -ETIMEDOUT)
            return 0;
        if (ret < 0)
            return ret;
    }
}

// Sleeps on; a signal makes it restartable with the rest reported.
static int64_t sleep_relative(struct task *t, nsec_t deadline, uaddr_t remaining)
{
    if (sleep_until(t, deadline) == 0)
        return 0;
    if (remaining.a) {
        struct timespec_wire ts = timespec_from_nsec(MAX(deadline - clock_monotonic(), 0));
        if (copy_out_value(t, remaining, &ts) < 0)
            return -EFAULT;
    }
    t->restart =
        (struct restart_block){.kind = RESTART_SLEEP, .deadline = deadline, .remaining = remaining};
    return -ERESTART_RESTARTBLOCK;
}

int64_t sleep_restart(struct task *t)
{
    return sleep_relative(t, t->restart.deadline, t->restart.remaining);
}

int64_t sys_restart_syscall(struct task *t)
{
    switch ((enum restart_kind)t->restart.kind) {
    case RESTART_SLEEP:
        return sleep_restart(t);
    case RESTART_POLL:
        return poll_restart(t);
    default:
        return -EINTR;
    }
}

int64_t sys_nanosleep(struct task *t, uaddr_t request, uaddr_t remaining)
{
    struct timespec_wire ts;
    nsec_t ns;
    int ret = copy_in_value(t, &ts, request);
    if (ret == 0)
        ret = timespec_to_nsec(&ts, &ns);
    if (ret < 0)
        return ret;
    return sleep_relative(t, deadline_after(ns), remaining);
}

// Sleeps until a CPU clock has reached `until`; the shortest time in which it could is slept again
// and again.
static int sleep_on_cpu_clock(struct task *t, int clock, nsec_t until, nsec_t *left)
{
    for (;;) {
        nsec_t now;
        int ret = clock_read(clock, &now);
        if (ret < 0)
            return ret;
        *left = until - now;
        if (*left <= 0)
            return 0;
        nsec_t cpus = MAX((nsec_t)t->kernel->cpu_count, 1);
        ret = sleep_until(t, deadline_after(MAX(*left / cpus, 1000000)));
        if (ret < 0)
            return ret;
    }
}

static int64_t nanosleep_cpu(struct task *t, int clock, bool absolute, nsec_t ns, uaddr_t remaining)
{
    nsec_t now, left = 0;
    int which = clock == CLOCK_PROCESS_CPUTIME_ID ? 0 : clock;
    if (which < 0 && CPU_CLOCK_PER_THREAD(which) &&
        (CPU_CLOCK_PID(which) == 0 || (uint32_t)CPU_CLOCK_PID(which) == t->tid))
        return -EINVAL;
    int ret = clock_read(clock, &now);
    if (ret < 0)
        return ret;
    nsec_t until = ns;
    if (!absolute && __builtin_add_overflow(now, ns, &until))
        until = NSEC_MAX;
    ret = sleep_on_cpu_clock(t, clock, until, &left);
    if (ret != -ERESTARTSYS)
        return ret;
    if (!absolute && remaining.a) {
        struct timespec_wire ts = timespec_from_nsec(MAX(left, 0));
        if (copy_out_value(t, remaining, &ts) < 0)
            return -EFAULT;
    }
    // DEVIATION: a relative sleep on a CPU clock that is interrupted without a handler starts anew.
    return -ERESTARTNOHAND;
}

int64_t sys_clock_nanosleep(struct task *t, int clock, int flags, uaddr_t request,
                            uaddr_t remaining)
{
    struct timespec_wire ts;
    nsec_t ns = 0, now;
    if (!clock_is_cpu(clock) && !clock_is_fixed(clock))
        return -EINVAL;
    if (clock == CLOCK_THREAD_CPUTIME_ID || clock == CLOCK_MONOTONIC_RAW ||
        clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE)
        return -EOPNOTSUPP;
    int ret = copy_in_value(t, &ts, request);
    if (ret == 0)
        ret = timespec_to_nsec(&ts, &ns);
    if (ret < 0)
        return ret;
    bool absolute = flags & TIMER_ABSTIME;
    if (clock_is_cpu(clock))
        return nanosleep_cpu(t, clock, absolute, ns, remaining);
    if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) &&
        !capable(t, CAP_WAKE_ALARM))
        return -EPERM;
    if (!absolute)
        return sleep_relative(t, deadline_after(ns), remaining);
    ret = clock_read(clock, &now);
    if (ret < 0)
        return ret;
    if (ns <= now)
        return 0;
    return sleep_until(t, deadline_after(ns - now)) == 0 ? 0 : -ERESTARTNOHAND;
}

// ---- Interval timers ----

static int copy_out_itimer(struct task *t, uaddr_t addr, const struct itimer_setting *s)
{
    struct itimerval_wire w = {.interval = timeval_from_nsec(s->interval, false),
                               .value = timeval_from_nsec(s->value, true)};
    return addr.a ? copy_out_value(t, addr, &w) : 0;
}

int64_t sys_getitimer(struct task *t, int which, uaddr_t out)
{
    struct itimer_setting s;
    if (which < ITIMER_REAL || which > ITIMER_PROF)
        return -EINVAL;
    itimer_exchange(t->group, which, NULL, &s);
    return out.a ? copy_out_itimer(t, out, &s) : -EFAULT;
}

int64_t sys_setitimer(struct task *t, int which, uaddr_t in, uaddr_t out)
{
    struct itimerval_wire w = {0};
    struct itimer_setting set, old;
    if (in.a && copy_in_value(t, &w, in) < 0)
        return -EFAULT;
    if (timeval_to_nsec(&w.interval, &set.interval) < 0 ||
        timeval_to_nsec(&w.value, &set.value) < 0)
        return -EINVAL;
    if (which < ITIMER_REAL || which > ITIMER_PROF)
        return -EINVAL;
    itimer_exchange(t->group, which, &set, &old);
    return copy_out_itimer(t, out, &old);
}

int64_t sys_alarm(struct task *t, uint32_t seconds)
{
    struct itimer_setting set = {.value = (nsec_t)seconds * NSEC_PER_SEC}, old;
    itimer_exchange(t->group, ITIMER_REAL, &set, &old);
    // Rounded to the nearest second, but never to zero.
    int64_t left = (old.value + NSEC_PER_SEC / 2) / NSEC_PER_SEC;
    return old.value && !left ? 1 : left;
}

// ---- POSIX timers ----

int64_t sys_timer_create(struct task *t, int clock, uaddr_t event, uaddr_t id_out)
{
    struct sigevent_wire e;
    struct timer_request r = {
        .clock_id = clock, .notify = SIGEV_SIGNAL, .signo = SIGALRM, .default_event = true};
    if (event.a) {
        if (copy_in_value(t, &e, event) < 0)
            return -EFAULT;
        r = (struct timer_request){.clock_id = clock,
                                   .notify = e.notify,
                                   .signo = e.signo,
                                   .value = e.value,
                                   .tid = (uint32_t)e.tid};
    }
    int64_t id = posix_timer_create(t, &r);
    if (id < 0)
        return id;
    int32_t out = (int32_t)id;
    if (copy_out_value(t, id_out, &out) < 0) {
        (void)posix_timer_delete(t, out);
        return -EFAULT;
    }
    return 0;
}

static struct itimerspec_wire setting_to_linux(const struct timer_setting *s)
{
    return (struct itimerspec_wire){.interval = timespec_from_nsec(s->interval),
                                    .value = timespec_from_nsec(s->value)};
}

int64_t sys_timer_settime(struct task *t, int id, int flags, uaddr_t in, uaddr_t out)
{
    struct itimerspec_wire w;
    struct timer_setting set, old;
    if (in.a == 0)
        return -EINVAL;
    if (copy_in_value(t, &w, in) < 0)
        return -EFAULT;
    if (timespec_to_nsec(&w.interval, &set.interval) < 0 ||
        timespec_to_nsec(&w.value, &set.value) < 0)
        return -EINVAL;
    int ret = posix_timer_set(t, id, flags & TIMER_ABSTIME, &set, &old);
    if (ret < 0 || !out.a)
        return ret;
    w = setting_to_linux(&old);
    return copy_out_value(t, out, &w);
}

int64_t sys_timer_gettime(struct task *t, int id, uaddr_t out)
{
    struct timer_setting s;
    int ret = posix_timer_get(t, id, &s);
    if (ret < 0)
        return ret;
    struct itimerspec_wire w = setting_to_linux(&s);
    return copy_out_value(t, out, &w);
}

int64_t sys_timer_getoverrun(struct task *t, int id)
{
    return posix_timer_overrun(t, id);
}

int64_t sys_timer_delete(struct task *t, int id)
{
    return posix_timer_delete(t, id);
}
