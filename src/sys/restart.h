// What restart_syscall(2) goes on with: task.restart.kind.
#pragma once

#include "base/types.h"

struct task;

enum restart_kind {
    RESTART_NONE,
    RESTART_SLEEP, // sys/time.c: nanosleep, clock_nanosleep with a relative time
    RESTART_POLL,  // sys/poll.c: poll with a time-out; args: fds, count
    RESTART_KIND_COUNT
};

int64_t sleep_restart(struct task *t);
int64_t poll_restart(struct task *t);
