// How busy the sandbox is. See load.c.
#pragma once

#include "kernel/task.h"

struct kernel_activity {
    struct cpu_usage used; // by everybody who is or was here, save those whose parents ignored their end
    uint32_t running;      // threads that want a CPU
};
void kernel_activity(struct kernel *k, struct kernel_activity *out);
// Averages over 1, 5 and 15 minutes in units of 1/65536. `now` is what kernel_activity() has just said.
void kernel_load(struct kernel *k, const struct kernel_activity *now, uint64_t average[3]);
bool task_is_runnable(struct task *t); // from any thread; tasks_lock may be held
