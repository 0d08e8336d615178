// CPU time: clocks of tasks and groups, and what expires on them (RLIMIT_CPU, ITIMER_VIRTUAL,
// ITIMER_PROF, POSIX timers on CPU clocks).
//
// Guest code runs without telling anybody, so expiries are found by polling: a timer of the group
// fires when the earliest could be reached at the soonest, with all its threads running, and at
// most every MIN_POLL. Nothing polls while nothing is set.
//
// Locking: sig_lock guards the settings; CPU times are read under tasks_lock, before it.

#include <sys/resource.h>
#include <time.h>

#include "kernel/posix-timer.h"
#include "kernel/signal-int.h"
#include "kernel/timer-int.h"

#define MIN_POLL 1000000ll // 1 ms

static nsec_t select_time(const struct cpu_usage *u, int which)
{
    return which == CPU_CLOCK_VIRT ? u->user : u->user + u->system;
}

nsec_t group_cpu_time(struct thread_group *g, int which)
{
    struct cpu_usage used;
    thread_group_times(g, &used);
    return select_time(&used, which);
}

static nsec_t task_cpu_time(struct task *t, int which)
{
    struct cpu_usage used;
    task_account(t, &used);
    return select_time(&used, which);
}

int cpu_clock_read(int id, nsec_t *out)
{
    struct task *self = current_task();
    if (id == CLOCK_PROCESS_CPUTIME_ID) {
        *out = group_cpu_time(self->group, CPU_CLOCK_SCHED);
        return 0;
    }
    if (id == CLOCK_THREAD_CPUTIME_ID) {
        *out = task_cpu_time(self, CPU_CLOCK_SCHED);
        return 0;
    }
    int pid = CPU_CLOCK_PID(id), which = CPU_CLOCK_WHICH(id), ret = -EINVAL;
    if (CPU_CLOCK_PER_THREAD(id)) {
        struct task *t = pid == 0 ? task_ref(self) : task_find((uint32_t)pid);
        if (t && t->group == self->group) {
            *out = task_cpu_time(t, which);
            ret = 0;
        }
        task_unref(t);
        return ret;
    }
    struct thread_group *g =
        pid == 0 ? thread_group_ref(self->group) : thread_group_find((uint32_t)pid);
    if (g) {
        *out = group_cpu_time(g, which);
        ret = 0;
    }
    thread_group_unref(g);
    return ret;
}

// One itimer: fires when due; returns the CPU time left until its expiry.
static nsec_t check_itimer(struct thread_group *g, int i, nsec_t used)
{
    bool fire = false;
    nsec_t left = NSEC_MAX;
    lock_take(&g->sig_lock);
    nsec_t *value = &g->itimer_cpu_value[i], interval = g->itimer_cpu_interval[i];
    if (*value && used >= *value) {
        fire = true;
        *value = interval ? *value + ((used - *value) / interval + 1) * interval : 0;
    }
    if (*value)
        left = *value - used;
    lock_release(&g->sig_lock);
    if (fire)
        (void)signal_send_group(g, i == 0 ? SIGVTALRM : SIGPROF, NULL);
    return left;
}

// SIGXCPU at the soft limit and every second after it, SIGKILL at the hard one.
static nsec_t check_limit(struct thread_group *g, nsec_t used)
{
    lock_take(&g->limit_lock);
    struct rlimit_value limit = g->limits[RLIMIT_CPU];
    lock_release(&g->limit_lock);
    if (limit.soft == UINT64_MAX && limit.hard == UINT64_MAX)
        return NSEC_MAX;
    uint64_t most = (uint64_t)NSEC_MAX / NSEC_PER_SEC - 1;
    nsec_t hard = (nsec_t)MIN(limit.hard, most) * NSEC_PER_SEC;
    nsec_t soft = (nsec_t)MIN(limit.soft, most) * NSEC_PER_SEC;
    if (used >= hard) {
        (void)signal_send_group(g, SIGKILL, NULL);
        return NSEC_MAX;
    }
    bool fire = false;
    lock_take(&g->sig_lock);
    nsec_t next = MAX(g->cpu_limit_next, soft);
    if (used >= next) {
        fire = true;
        next = g->cpu_limit_next = used / NSEC_PER_SEC * NSEC_PER_SEC + NSEC_PER_SEC;
    }
    lock_release(&g->sig_lock);
    if (fire)
        (void)signal_send_group(g, SIGXCPU, NULL);
    return MIN(next, hard) - used;
}

static void check_and_arm(struct thread_group *g)
{
    struct cpu_usage used;
    thread_group_times(g, &used);
    nsec_t left = check_itimer(g, 0, used.user);
    left = MIN(left, check_itimer(g, 1, used.user + used.system));
    left = MIN(left, check_limit(g, used.user + used.system));
    left = MIN(left, posix_timers_check_cpu(g));
    if (left == NSEC_MAX)
        return;
    uint32_t threads = MIN(MAX(__atomic_load_n(&g->live_count, __ATOMIC_RELAXED), 1u),
                           the_kernel()->cpu_count + 1);
    nsec_t wait = MAX(left / (nsec_t)threads, MIN_POLL);
    nsec_t at;
    if (__builtin_add_overflow(clock_monotonic(), wait, &at))
        at = NSEC_MAX - 1;
    lock_take(&g->sig_lock);
    if (g->live_count > 0)
        timer_set(&g->cpu_timer, at);
    lock_release(&g->sig_lock);
}

void cpu_timer_expired(struct timer *tm)
{
    check_and_arm(container_of(tm, struct thread_group, cpu_timer));
}

void cpu_timer_update(struct thread_group *g)
{
    check_and_arm(g);
}

void cpu_limit_changed(struct thread_group *g)
{
    lock_take(&g->sig_lock);
    g->cpu_limit_next = 0;
    lock_release(&g->sig_lock);
    check_and_arm(g);
}
