// wait4(2) and waitid(2). See reap.c.
#pragma once

#include "kernel/task.h"

enum wait_for { WAIT_FOR_ANY, WAIT_FOR_PID, WAIT_FOR_PGRP, WAIT_FOR_GROUP };

struct wait_request {
    enum wait_for what;
    uint32_t id;                // pid or process group
    struct thread_group *group; // WAIT_FOR_GROUP (a pidfd): borrowed
    int options;                // WNOHANG, WUNTRACED (WSTOPPED), WEXITED, WCONTINUED, WNOWAIT, __W*
};

struct wait_result {
    uint32_t pid, uid;
    int code;   // CLD_*
    int status; // as wait4(2) gives it
    struct cpu_usage usage;
};

// The child's pid, 0 (WNOHANG: nobody yet), -ECHILD, -ERESTARTSYS.
int64_t task_wait(struct task *t, const struct wait_request *r, struct wait_result *out);
