// Kernel timers: one timer thread, a tree by expiry. A timer's function is found by its kind in a constant table.
#pragma once

#include "base/rbtree.h"
#include "base/types.h"

struct kernel;
struct thread_group;

enum timer_kind {
    TIMER_NONE,
    TIMER_POSIX,   // kernel/posix-timer.c
    TIMER_ITIMER,  // kernel/itimer.c (ITIMER_REAL, alarm)
    TIMER_TIMERFD, // vfs/timerfd.c
    TIMER_CPU,     // kernel/cpu-timer.c: CPU-time limits and clocks of one thread group
    TIMER_KIND_COUNT
};

struct timer {
    struct rb_node node;
    nsec_t expiry; // CLOCK_MONOTONIC
    uint8_t kind;  // enum timer_kind
    bool queued;
};

void timer_init(struct timer *tm, enum timer_kind kind);
void timer_set(struct timer *tm, nsec_t expiry); // (re)arms
// Disarms; true when it was armed. When it returns, the function isn't running (unless called from it).
bool timer_cancel(struct timer *tm);
int timers_init(struct kernel *k);
_Noreturn void timer_thread(void); // body of the service thread that runs timers
// At a group's end: every timer of the group is disarmed and freed. No lock held.
void posix_timers_exit(struct thread_group *g);
void itimers_exit(struct thread_group *g);
// Called by the timer thread with no lock held; the table in timer.c maps kinds to these.
void posix_timer_expired(struct timer *tm);
void itimer_expired(struct timer *tm);
void timerfd_expired(struct timer *tm);
void cpu_timer_expired(struct timer *tm);

// Clocks, in ns. clock ids as Linux's; -EINVAL for ones that don't exist. CPU clocks of tasks included.
int clock_read(int clock_id, nsec_t *out);
nsec_t clock_monotonic(void);
nsec_t clock_realtime(void);
