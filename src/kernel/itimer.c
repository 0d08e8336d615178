// Interval timers: setitimer(2), getitimer(2), alarm(2). ITIMER_REAL is a kernel timer;
// ITIMER_VIRTUAL and ITIMER_PROF are expiries on the group's CPU clocks, which cpu-timer.c polls.
//
// Locking: sig_lock guards the settings. The timer's function takes it too, so the timer is
// cancelled without.

#include "kernel/itimer.h"

#include <sys/time.h>

#include "kernel/signal-int.h"
#include "kernel/timer-int.h"

void itimer_expired(struct timer *tm)
{
    struct thread_group *g = container_of(tm, struct thread_group, itimer_real);
    lock_take(&g->sig_lock);
    nsec_t interval = g->itimer_real_interval;
    bool live = g->live_count > 0;
    if (live && interval && !tm->queued) {
        // From the time it was due, so that periods don't drift; what was missed is skipped.
        nsec_t now = clock_monotonic(), next = tm->expiry + interval;
        if (next <= now)
            next += (now - next) / interval * interval + interval;
        timer_set(tm, next);
    }
    lock_release(&g->sig_lock);
    if (live)
        (void)signal_send_group(g, SIGALRM, NULL);
}

static void get_real_locked(struct thread_group *g, struct itimer_setting *out)
{
    out->interval = g->itimer_real_interval;
    out->value = 0;
    if (g->itimer_real.queued)
        out->value = MAX(g->itimer_real.expiry - clock_monotonic(),
                         1000); // one that is about to fire isn't 0
}

static void set_real(struct thread_group *g, const struct itimer_setting *set,
                     struct itimer_setting *old)
{
    lock_take(&g->sig_lock);
    if (old)
        get_real_locked(g, old);
    if (set) {
        timer_cancel_nowait(&g->itimer_real);
        g->itimer_real_interval = set->value ? set->interval : 0;
        nsec_t expiry;
        if (set->value) {
            if (__builtin_add_overflow(clock_monotonic(), set->value, &expiry))
                expiry = NSEC_MAX - 1;
            timer_set(&g->itimer_real, expiry);
        }
    }
    lock_release(&g->sig_lock);
}

static void set_cpu(struct thread_group *g, int which, const struct itimer_setting *set,
                    struct itimer_setting *old)
{
    int i = which == ITIMER_VIRTUAL ? 0 : 1;
    nsec_t now = group_cpu_time(g, i == 0 ? CPU_CLOCK_VIRT : CPU_CLOCK_SCHED);
    lock_take(&g->sig_lock);
    if (old) {
        old->interval = g->itimer_cpu_interval[i];
        old->value = g->itimer_cpu_value[i] ? MAX(g->itimer_cpu_value[i] - now, 1000) : 0;
    }
    if (set) {
        g->itimer_cpu_interval[i] = set->value ? set->interval : 0;
        g->itimer_cpu_value[i] = 0;
        if (set->value && __builtin_add_overflow(now, set->value, &g->itimer_cpu_value[i]))
            g->itimer_cpu_value[i] = NSEC_MAX - 1;
    }
    lock_release(&g->sig_lock);
    if (set)
        cpu_timer_update(g);
}

void itimer_exchange(struct thread_group *g, int which, const struct itimer_setting *set,
                     struct itimer_setting *old)
{
    if (which == ITIMER_REAL)
        set_real(g, set, old);
    else
        set_cpu(g, which, set, old);
}

void itimers_exit(struct thread_group *g)
{
    timer_cancel(&g->itimer_real);
    timer_cancel(&g->cpu_timer);
}
