// Signals: signal(7), sigaction(2). Sets are 64-bit, bit n-1 for signal n.
//
// group->sig_lock guards handlers and queues of a whole thread group. Sending marks a task and wakes it: out of a wait by
// task_wake(), out of guest code by platform_interrupt().
#pragma once

#include <signal.h>

#include "abi/regs.h"
#include "base/list.h"
#include "base/lock.h"
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
    struct lock lock; // LOCK_RANK_OBJECT: CLONE_SIGHAND without CLONE_THREAD shares it between groups
    struct signal_action action[SIGNAL_COUNT]; // GUARDED_BY(lock); own group's readers hold sig_lock, too
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
// Takes the next pending signal of `wanted` from the thread's or the group's queue: its number, 0 for none. signalfd,
// sigtimedwait. Takes sig_lock.
int signal_dequeue(struct task *t, uint64_t wanted, struct linux_siginfo *info);
int signal_dequeue_locked(struct task *t, uint64_t wanted, struct linux_siginfo *info);
uint64_t signal_pending_set(struct task *t); // the thread's and the group's
void signal_recalc_locked(struct task *t);   // TASK_WORK_SIGNAL from queues and mask
// Queues a timer's own entry. 0: queued, 1: already queued, 2: ignored. sig_lock held.
int signal_send_timer_locked(struct thread_group *g, struct task *t, struct sigqueue *q);
void sigpending_flush_locked(struct sigpending *p, uint64_t set); // drops what is queued of set
struct signal_action sighand_get(struct sighand *s, int sig);
struct sighand *sighand_create(void);
void sighand_reset(struct sighand *s); // handlers to SIG_DFL; what is ignored stays so (exec, CLONE_CLEAR_SIGHAND)
// Builds a handler's frame in guest memory and points *regs at the handler. 0, -EFAULT, -ENOMEM. sig was dequeued.
struct guest_regs;
int signal_frame_push(struct task *t, int sig, const struct signal_action *action, const struct linux_siginfo *info,
                      uint64_t saved_mask, struct guest_regs *regs);
// The frame of sig could not be written: SIGSEGV, deadly when sig is that.
void signal_frame_failed(struct task *t, int sig);
// sigaltstack(2). sp is the guest's stack pointer. 0, -EPERM (in use), -EINVAL, -ENOMEM (too small).
struct signal_stack { // stack_t
    uint64_t sp;
    uint32_t flags, pad;
    uint64_t size;
};
int signal_set_altstack(struct task *t, const struct signal_stack *s, uint64_t sp);
void signal_get_altstack(const struct task *t, uint64_t sp, struct signal_stack *out);
bool signal_on_altstack(const struct task *t, uint64_t sp);
// What a signal does without a handler.
enum signal_default { SIGNAL_TERMINATES, SIGNAL_DUMPS, SIGNAL_IGNORED, SIGNAL_STOPS, SIGNAL_CONTINUES };
enum signal_default signal_default_of(int sig);
#define SIGNAL_RT_MIN 32
// Wakes other threads for signals of the group that t, which blocks them now or exits, can't take. sig_lock held.
void signal_retarget_locked(struct task *t);
// Tells the parent CLD_STOPPED or CLD_CONTINUED. No lock held.
void signal_report_stop(struct thread_group *g, int code);
// Changes a handler: sigaction(2). old and action may be NULL. 0 or -EINVAL.
int signal_set_action(struct task *t, int sig, const struct signal_action *action, struct signal_action *old);
// Tell the parent that a child changed state. tasks_lock held.
void signal_notify_parent_locked(struct thread_group *g, int code, int status);
// True when the parent ignores SIGCHLD or has SA_NOCLDWAIT: the child reaps itself. tasks_lock held.
bool signal_parent_ignores_child_locked(struct thread_group *g);
