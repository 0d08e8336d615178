// Signals: signal(7), sigaction(2). Sets are 64-bit, bit n-1 for signal n.
//
// group->sig_lock guards handlers and queues of a whole thread group. Sending marks a task and wakes it: out of a wait by
// task_wake(), out of guest code by platform_interrupt().
#pragma once

#include <signal.h>

#include "abi/regs.h"
#include "base/list.h"
#include "base/refcount.h"
#include "base/types.h"

struct task;
struct thread_group;
struct process_group;

#define SIG_BIT(n) (1ull << ((n)-1))
#define SIGNAL_COUNT 64
#define SIG_UNBLOCKABLE (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))

struct linux_siginfo { // wire format, 128 bytes
    int32_t signo, error, code, pad;
    union {
        uint8_t raw[112];
        struct { int32_t pid; uint32_t uid; int32_t status, pad; int64_t utime, stime; } child;
        struct { int32_t pid; uint32_t uid; uint64_t value; } rt;
        struct { int32_t id, overrun; uint64_t value; } timer;
        struct { uint64_t addr; uint16_t lsb; } fault;
        struct { int64_t band; int32_t fd; } poll;
        struct { uint64_t call_addr; int32_t syscall; uint32_t arch; } sys;
    };
};
_Static_assert(sizeof(struct linux_siginfo) == 128, "siginfo is 128 bytes");

struct signal_action { // one handler
    uint64_t handler; // SIG_DFL, SIG_IGN or a guest address
    uint64_t flags, restorer, mask;
};

struct sighand {
    refcount_t refs;
    struct signal_action action[SIGNAL_COUNT]; // GUARDED_BY(sig_lock of the group that shares it)
};

struct sigqueue {
    struct list node;
    struct linux_siginfo info;
    uint32_t uid;             // whose RLIMIT_SIGPENDING it counts against
    struct posix_timer *timer; // preallocated entry of a timer, or NULL
};

struct sigpending {
    uint64_t set;
    struct list queue; // struct sigqueue
};

void sigpending_init(struct sigpending *p);

// Sending. info NULL: from the kernel (SI_KERNEL). Return 0, -EAGAIN (queue limit, real-time signals sent by sigqueue only).
int signal_send_task(struct task *t, int sig, const struct linux_siginfo *info);          // to one thread
int signal_send_group(struct thread_group *g, int sig, const struct linux_siginfo *info); // to a process
int signal_send_pgrp_locked(struct process_group *pg, int sig, const struct linux_siginfo *info); // tasks_lock held
// From the kernel to terminal groups etc.: SI_KERNEL.
void signal_force(struct task *t, int sig, const struct linux_siginfo *info); // unblocks, resets an ignored handler: faults
// Permission of kill(2): 0 or -EPERM.
int signal_permission(struct task *sender, struct thread_group *target, int sig);

bool signal_pending(struct task *t);       // something deliverable, or the thread must end
bool signal_fatal_pending(struct task *t); // SIGKILL or group exit
void signal_set_blocked(struct task *t, uint64_t set);
// sigsuspend, ppoll, pselect, epoll_pwait: installs a mask that is undone when the call ends without a handler.
void signal_set_temporary_mask(struct task *t, uint64_t set);

// Called by the run loop before each return to the guest when pending_work is set: stops, dies, or sets up a handler's frame
// in guest memory. `result` is the call's result with ERESTART codes still in it.
struct trap_info;
void signal_deliver(struct task *t);
// rt_sigreturn: restores registers and mask from the frame at the guest's stack pointer.
int64_t signal_return(struct task *t);

void sighand_put(struct sighand *s);
struct sighand *sighand_copy(const struct sighand *s);
void signal_exec_reset(struct task *t); // handlers to default, altstack off, timers gone
void signal_flush_task(struct task *t); // at exit
// Tell the parent that a child changed state. tasks_lock held.
void signal_notify_parent_locked(struct thread_group *g, int code, int status);
// True when the parent ignores SIGCHLD or has SA_NOCLDWAIT: the child reaps itself. tasks_lock held.
bool signal_parent_ignores_child_locked(struct thread_group *g);
