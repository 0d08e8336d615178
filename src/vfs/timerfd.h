// Timers as files: timerfd_create(2).
#pragma once

#include "vfs/file.h"

struct timerfd_setting { // nanoseconds; value 0: disarmed
    nsec_t value, interval;
};

struct file *timerfd_create_file(int clock_id, uint32_t flags); // flags: O_NONBLOCK. NULL: out of memory
// f is of type FILE_TIMERFD. value is a time of the clock when absolute, else from now; cancel_on_set as
// TFD_TIMER_CANCEL_ON_SET. *old: what was left of the previous setting.
void timerfd_set(struct file *f, bool absolute, bool cancel_on_set, const struct timerfd_setting *set,
                 struct timerfd_setting *old);
void timerfd_get(struct file *f, struct timerfd_setting *out);
