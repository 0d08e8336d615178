// Interval timers. See itimer.c.
#pragma once

#include "kernel/task.h"

struct itimer_setting { // nanoseconds; value 0: off
    nsec_t value, interval;
};
// which: ITIMER_REAL, ITIMER_VIRTUAL or ITIMER_PROF. set NULL: only reads; old NULL: not wanted.
void itimer_exchange(struct thread_group *g, int which, const struct itimer_setting *set,
                     struct itimer_setting *old);
