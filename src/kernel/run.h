// The loop of a task's kernel thread, and what the handlers of a trap can see of it.
#pragma once

#include "base/types.h"
#include "platform/platform.h"

struct task;

struct trap_info {
    struct trap trap;
    bool is_syscall;  // a call is being answered; its result is `result`
    int64_t result;   // may be an ERESTART code until signal_deliver() has settled it
    bool no_result;   // registers were replaced (rt_sigreturn, exec): leave the result register alone
};

_Noreturn void task_run(struct task *t); // entry of a task's kernel thread
// Implemented by sys/dispatch.c.
int64_t syscall_dispatch(struct task *t, uint32_t nr, const uint64_t args[6]);
