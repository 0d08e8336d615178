// What a thread does about its signals before it goes back to the guest: end, stop, or run a
// handler; and what becomes of the call that a signal has interrupted.
//
// A call that ends in one of the ERESTART codes is settled here: with a handler it becomes EINTR,
// or the guest is set back onto its syscall instruction; without one the call is made again at
// once, without a trip to the guest.
//
// A handler needs the thread's complete register state. At a patched call site the platform does
// not have it: then nothing is taken from the queue, the call's outcome is kept in task.unsettled,
// and the platform is asked to come back with the complete state (TRAP_INTERRUPT) before the guest
// runs on.
//
// Locking: sig_lock to take a signal; nothing is held while frames are written, while stopped, or
// at the end of a thread.

#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "kernel/run.h"
#include "kernel/signal-int.h"
#include "platform/platform.h"

enum outcome {
    OUTCOME_NOTHING, // no more signals
    OUTCOME_HANDLER, // sig, action and info are set
    OUTCOME_FRAME,   // a handler waits for the complete register state
    OUTCOME_AGAIN,   // something was done, look again
};

struct delivery {
    int sig;
    struct signal_action action;
    struct linux_siginfo info;
};

// ---- Stopping ----

// Takes part in a group stop until it is over. sig_lock is not held.
static void take_part_in_stop(struct task *t)
{
    struct thread_group *g = t->group;
    bool complete = false;
    lock_take(&g->sig_lock);
    if (!(atomic_load(&t->pending_work) & TASK_WORK_STOP)) {
        lock_release(&g->sig_lock);
        return;
    }
    atomic_store(&t->state, TASK_STOPPED);
    if (++g->stopped_count == g->live_count) {
        g->stop_report = CLD_STOPPED;
        complete = true;
    }
    lock_release(&g->sig_lock);
    if (complete)
        signal_report_stop(g, CLD_STOPPED);
    for (;;) {
        wait_arm(t);
        uint32_t work = atomic_load(&t->pending_work);
        if ((work & TASK_WORK_KILL) || !(work & TASK_WORK_STOP))
            break;
        (void)wait_sleep_stopped(t);
    }
    atomic_store(&t->state, TASK_RUNNING);
}

// The first thread that is back after a stop tells the parent.
static void notify_continued(struct task *t)
{
    struct thread_group *g = t->group;
    if (likely(__atomic_load_n(&g->stop_notify, __ATOMIC_RELAXED) == 0))
        return;
    lock_take(&g->sig_lock);
    uint32_t code = g->stop_notify;
    g->stop_notify = 0;
    lock_release(&g->sig_lock);
    if (code)
        signal_report_stop(g, (int)code);
}

static void begin_stop_locked(struct task *t, int sig)
{
    struct thread_group *g = t->group;
    struct task *it;
    if (g->group_exiting || !t->stop_dequeued)
        return;
    g->stop_code = (uint32_t)sig;
    if (!g->stop_signal) {
        g->stop_signal = (uint32_t)sig;
        g->stopped_count = 0;
        g->stop_report = 0;
    }
    list_for_each (it, &g->threads, group_node) {
        if (it->exiting || (atomic_load(&it->pending_work) & TASK_WORK_STOP))
            continue;
        task_kick(it, TASK_WORK_STOP);
    }
}

// Default action of a stop signal. Only SIGSTOP stops an orphaned process group: whether t's is one
// has to be asked without sig_lock, and a SIGCONT in between wins.
static void stop_by(struct task *t, int sig)
{
    struct thread_group *g = t->group;
    if (sig != SIGSTOP) {
        struct kernel *k = t->kernel;
        lock_take(&k->tasks_lock);
        bool orphaned = g != k->init->group && process_group_is_orphaned_locked(g->pgrp, NULL);
        lock_release(&k->tasks_lock);
        if (orphaned)
            return;
    }
    lock_take(&g->sig_lock);
    begin_stop_locked(t, sig);
    lock_release(&g->sig_lock);
}

// ---- Choosing ----

static bool is_handler(uint64_t handler)
{
    return handler != HANDLER_DEFAULT && handler != HANDLER_IGNORE;
}

// Whether the signal that would be taken next runs a handler.
static bool next_runs_handler_locked(struct task *t)
{
    uint64_t set = (t->pending.set | t->group->shared_pending.set) & ~t->blocked;
    for (; set; set &= set - 1) {
        if (is_handler(sighand_get(t->group->sighand, __builtin_ctzll(set) + 1).handler))
            return true;
    }
    return false;
}

static enum outcome choose(struct task *t, struct delivery *d)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    if (next_runs_handler_locked(t) && !platform_has_frame(t->pt)) {
        lock_release(&g->sig_lock);
        return OUTCOME_FRAME;
    }
    d->sig = signal_dequeue_locked(t, ~t->blocked, &d->info);
    if (!d->sig) {
        signal_recalc_locked(t);
        lock_release(&g->sig_lock);
        return OUTCOME_NOTHING;
    }
    d->action = sighand_get(g->sighand, d->sig);
    enum outcome outcome = OUTCOME_AGAIN;
    int stop = 0;
    if (is_handler(d->action.handler)) {
        outcome = OUTCOME_HANDLER;
        if (d->action.flags & SA_RESETHAND) {
            struct signal_action reset = d->action;
            reset.handler = HANDLER_DEFAULT;
            sighand_set(g->sighand, d->sig, &reset);
        }
    } else if (d->action.handler == HANDLER_DEFAULT) {
        switch (signal_default_of(d->sig)) {
        case SIGNAL_TERMINATES:
        case SIGNAL_DUMPS:
            thread_group_exit_locked(g, d->sig);
            break;
        case SIGNAL_STOPS:
            t->stop_dequeued = true;
            stop = d->sig;
            break;
        case SIGNAL_IGNORED:
        case SIGNAL_CONTINUES:
            break;
        }
    }
    lock_release(&g->sig_lock);
    if (stop)
        stop_by(t, stop);
    return outcome;
}

// Ends, stops, ignores, until a handler has to run or nothing is left.
static enum outcome next(struct task *t, struct delivery *d)
{
    for (;;) {
        uint32_t work = atomic_load(&t->pending_work);
        if (work & TASK_WORK_KILL) {
            struct thread_group *g = t->group;
            task_exit(t, g->group_exiting ? g->group_exit_code : 0);
        }
        if (work & TASK_WORK_STOP) {
            take_part_in_stop(t);
            continue;
        }
        notify_continued(t);
        if (!(work & TASK_WORK_SIGNAL))
            return OUTCOME_NOTHING;
        enum outcome o = choose(t, d);
        if (o == OUTCOME_NOTHING && signal_pending(t))
            continue;
        if (o != OUTCOME_AGAIN)
            return o;
    }
}

// ---- The interrupted call ----

static bool is_restart(int64_t result)
{
    return result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND ||
           result == -ERESTART_RESTARTBLOCK;
}

struct interrupted {
    bool valid;
    uint32_t nr;
    int64_t result;
};

static void set_back(struct guest_regs *regs, uint32_t nr)
{
    regs->rax = nr;
    regs->rip -= 2; // every entry instruction is two bytes long
}

// A handler will run: EINTR, or once more after it.
static void settle_for_handler(struct interrupted *call, struct guest_regs *regs, uint64_t sa_flags)
{
    if (!call->valid)
        return;
    call->valid = false;
    switch (call->result) {
    case -ERESTARTSYS:
        if (sa_flags & SA_RESTART) {
            set_back(regs, call->nr);
            return;
        }
        regs->rax = (uint64_t)-EINTR;
        return;
    case -ERESTARTNOHAND:
    case -ERESTART_RESTARTBLOCK:
        regs->rax = (uint64_t)-EINTR;
        return;
    case -ERESTARTNOINTR:
        set_back(regs, call->nr);
        return;
    default:
        regs->rax = (uint64_t)call->result;
    }
}

static void restore_mask(struct task *t)
{
    if (!t->restore_blocked)
        return;
    t->restore_blocked = false;
    signal_set_blocked(t, t->saved_blocked);
}

// No handler runs. True when the call is made again here and its outcome has to be looked at.
static bool settle_without_handler(struct task *t, struct interrupted *call)
{
    struct trap_info *ti = t->trap;
    restore_mask(t);
    if (!call->valid || !is_restart(call->result))
        return false;
    uint32_t nr = call->result == -ERESTART_RESTARTBLOCK ? SYS_restart_syscall : call->nr;
    // A wait inside of the stub goes on where it is.
    if (ti->trap.reason == TRAP_FUTEX) {
        ti->result = PLATFORM_FUTEX_GO_ON;
        return false;
    }
    if (ti->is_syscall) {
        ti->result = syscall_dispatch(t, nr, ti->trap.args);
        call->result = ti->result;
        return true;
    }
    // It was answered as interrupted for the sake of a handler that does not run after all; the
    // complete state is here.
    struct guest_regs regs;
    platform_get_regs(t->pt, &regs);
    set_back(&regs, nr);
    platform_set_regs(t->pt, &regs);
    call->valid = false;
    return false;
}

static struct interrupted interrupted_call(struct task *t)
{
    struct trap_info *ti = t->trap;
    struct interrupted call = {0};
    if (ti->is_syscall && !ti->no_result) {
        call = (struct interrupted){.valid = true, .nr = ti->trap.nr, .result = ti->result};
    } else if (t->unsettled.valid) {
        // Only the way back with the complete state may lie between: a fault would mean that the
        // guest has run.
        if (ti->trap.reason == TRAP_INTERRUPT)
            call = (struct interrupted){
                .valid = true, .nr = t->unsettled.nr, .result = t->unsettled.result};
    }
    t->unsettled.valid = false;
    return call;
}

// The handler's frames are written and the registers set; a frame that can't be written is the end
// of the process.
static void run_handlers(struct task *t, struct interrupted *call, struct delivery *d)
{
    struct guest_regs regs;
    platform_get_regs(t->pt, &regs);
    enum outcome o = OUTCOME_HANDLER;
    while (o == OUTCOME_HANDLER) {
        settle_for_handler(call, &regs, d->action.flags);
        uint64_t saved = t->restore_blocked ? t->saved_blocked : t->blocked;
        t->restore_blocked = false;
        int ret = signal_frame_push(t, d->sig, &d->action, &d->info, saved, &regs);
        if (ret < 0) {
            signal_frame_failed(t, d->sig);
        } else {
            t->signal_depth++;
            uint64_t mask = t->blocked | d->action.mask;
            if (!(d->action.flags & SA_NODEFER))
                mask |= SIG_BIT(d->sig);
            signal_set_blocked(t, mask);
        }
        o = next(t, d);
    }
    platform_set_regs(t->pt, &regs);
    t->trap->no_result = true;
}

// Keeps the outcome of the call for when the complete state is there.
static void wait_for_frame(struct task *t, const struct interrupted *call)
{
    struct trap_info *ti = t->trap;
    t->unsettled.valid = call->valid;
    t->unsettled.nr = call->nr;
    t->unsettled.result = call->result;
    if (ti->is_syscall && is_restart(ti->result))
        ti->result = -EINTR;
    platform_demand_frame(t->pt);
}

void signal_deliver(struct task *t)
{
    struct interrupted call = interrupted_call(t);
    struct delivery d;
    for (;;) {
        enum outcome o = next(t, &d);
        if (o == OUTCOME_HANDLER) {
            run_handlers(t, &call, &d);
            return;
        }
        if (o == OUTCOME_FRAME) {
            wait_for_frame(t, &call);
            return;
        }
        if (!settle_without_handler(t, &call))
            return;
    }
}
