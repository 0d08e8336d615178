// POSIX timers: timer_create(2) and its kin. See posix-timer.c.
#pragma once

#include "kernel/signal.h"
#include "kernel/timer.h"

struct posix_timer;

// A timer's signal has been taken from its queue: fills in overrun and arms the next period. False
// when the timer was set anew meanwhile, so that the signal has to be forgotten. sig_lock of g
// held.
bool posix_timer_delivered_locked(struct thread_group *g, struct posix_timer *timer,
                                  struct linux_siginfo *info);

struct timer_request {
    int clock_id;
    int notify; // SIGEV_*
    int signo;
    uint64_t value;
    uint32_t tid;       // SIGEV_THREAD_ID
    bool default_event; // no sigevent was given: the value is the timer's id
};
int64_t posix_timer_create(struct task *t, const struct timer_request *r);
struct timer_setting { // nanoseconds; value 0 disarms
    nsec_t value, interval;
};
int posix_timer_set(struct task *t, int id, bool absolute, const struct timer_setting *set,
                    struct timer_setting *old);
int posix_timer_get(struct task *t, int id, struct timer_setting *out);
int64_t posix_timer_overrun(struct task *t, int id);
int posix_timer_delete(struct task *t, int id);
// Poll of timers on CPU clocks: expires those of g that are due; returns the CPU time left until
// the next, NSEC_MAX none.
nsec_t posix_timers_check_cpu(struct thread_group *g);
