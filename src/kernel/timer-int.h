// What the parts of the timer code share.
#pragma once

#include "kernel/task.h"
#include "kernel/timer.h"

// Disarms without waiting for a running function: for owners that hold a lock the function takes,
// and whose function looks at its state under that lock.
bool timer_cancel_nowait(struct timer *tm);

#define CLOCK_COUNT_FIXED 12
// The host's clock that shows a guest's; false for clocks that aren't fixed ones.
bool clock_is_fixed(int clock_id);

// CPU clocks of guest tasks (clock_getcpuclockid(3)): ids below zero, as Linux encodes them.
#define CPU_CLOCK_PROF           0
#define CPU_CLOCK_VIRT           1
#define CPU_CLOCK_SCHED          2
#define CPU_CLOCK_WHICH(id)      ((id)&3)
#define CPU_CLOCK_PER_THREAD(id) (((id)&4) != 0)
#define CPU_CLOCK_PID(id)        (~((id) >> 3))
// Whether the id names a CPU clock (of the calling task or another one) at all.
bool clock_is_cpu(int clock_id);
// The CPU time that clock_id shows for the task or group it names: 0, -EINVAL, -ESRCH is -EINVAL,
// too.
int cpu_clock_read(int clock_id, nsec_t *out);
nsec_t group_cpu_time(struct thread_group *g, int which);

// Starts or stops the poll of a group's CPU limits as what is set asks for; sig_lock not held.
void cpu_timer_update(struct thread_group *g);
void cpu_limit_changed(struct thread_group *g); // RLIMIT_CPU was set
