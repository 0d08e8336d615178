// Sending signals.
//
// A signal is dropped when its receiver ignores it; otherwise it is queued, with the thread or with
// the group, and a thread that can take it is kicked: out of a wait or out of guest code. A signal
// whose effect is the end of the process has that effect at once: every thread is told to end,
// nothing is queued. SIGCONT and the stop signals take each other out of the queues when they are
// sent, whatever their disposition (POSIX, Linux: prepare_signal()).
//
// Init: a signal that another process of the sandbox sends it has no effect unless init handles it.
// DEVIATION: signals that init sends itself, and what comes from the terminal or the command, do
// have their default effect; a kernel with PID namespaces would drop them, too. A single program is
// init here most of the time, and expects to be killed by abort() or Ctrl-C.
//
// Locking: sig_lock of the receiver. Handlers are read under sighand.lock inside it.

#include "kernel/signal.h"

#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "abi/capability.h"
#include "base/log.h"
#include "kernel/signal-int.h"

enum signal_default signal_default_of(int sig)
{
    switch (sig) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
        return SIGNAL_IGNORED;
    case SIGCONT:
        return SIGNAL_CONTINUES;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return SIGNAL_STOPS;
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
        return SIGNAL_DUMPS;
    default:
        return SIGNAL_TERMINATES;
    }
}

static bool init_is_immune(struct thread_group *g, const struct linux_siginfo *info)
{
    struct kernel *k = the_kernel();
    struct task *sender = current_task();
    // info without a sender, and kernel threads that serve no task: the terminal, the command,
    // timers.
    return k->init && k->init->group == g && info && info->code <= 0 && sender &&
           sender->group != g;
}

static bool ignored_locked(struct thread_group *g, struct task *t, int sig,
                           const struct linux_siginfo *info)
{
    uint64_t handler = sighand_get(g->sighand, sig).handler;
    if (handler == HANDLER_DEFAULT && init_is_immune(g, info))
        return true;
    // A blocked one is kept: its handler may change before it is unblocked.
    if ((t->blocked | t->wait_signals) & SIG_BIT(sig))
        return false;
    if (handler == HANDLER_IGNORE)
        return true;
    enum signal_default d = signal_default_of(sig);
    return handler == HANDLER_DEFAULT && (d == SIGNAL_IGNORED || d == SIGNAL_CONTINUES);
}

static void flush_everywhere_locked(struct thread_group *g, uint64_t set)
{
    struct task *t;
    sigpending_flush_locked(&g->shared_pending, set);
    list_for_each (t, &g->threads, group_node) {
        sigpending_flush_locked(&t->pending, set);
        signal_recalc_locked(t);
    }
}

static void continue_locked(struct thread_group *g)
{
    struct task *t;
    bool complete = g->stop_report == CLD_STOPPED || g->stopped_count >= g->live_count;
    bool stopped = g->stop_signal != 0;
    list_for_each (t, &g->threads, group_node) {
        t->stop_dequeued = false;
    }
    if (!stopped)
        return;
    g->stop_signal = 0;
    g->stopped_count = 0;
    // The parent learns of it from the first thread that goes on, which can take tasks_lock.
    g->stop_notify = complete ? CLD_CONTINUED : CLD_STOPPED;
    g->stop_report = complete ? CLD_CONTINUED : 0;
    list_for_each (t, &g->threads, group_node) {
        atomic_fetch_and(&t->pending_work, ~(uint32_t)TASK_WORK_STOP);
        task_wake(t);
    }
}

static bool wants_locked(struct task *t, int sig)
{
    if (t->exiting || atomic_load(&t->state) >= TASK_ZOMBIE)
        return false;
    if (sig == SIGKILL)
        return true;
    return !((t->blocked & ~t->wait_signals) & SIG_BIT(sig));
}

// A thread that can take sig now: t itself for a thread's signal, else any, the leader first.
static struct task *receiver_locked(struct thread_group *g, struct task *t, int sig)
{
    struct task *it;
    if (t)
        return wants_locked(t, sig) ? t : NULL;
    if (wants_locked(g->leader, sig))
        return g->leader;
    list_for_each (it, &g->threads, group_node) {
        if (wants_locked(it, sig))
            return it;
    }
    return NULL;
}

static bool is_fatal_locked(struct thread_group *g, struct task *receiver, int sig)
{
    if (sig == SIGKILL)
        return true;
    if (receiver->wait_signals & SIG_BIT(sig))
        return false; // sigtimedwait takes it
    if (sighand_get(g->sighand, sig).handler != HANDLER_DEFAULT)
        return false;
    enum signal_default d = signal_default_of(sig);
    return d == SIGNAL_TERMINATES || d == SIGNAL_DUMPS;
}

static void complete_locked(struct thread_group *g, struct task *t, int sig)
{
    struct task *receiver = receiver_locked(g, t, sig);
    wake_up_all(&g->signal_wait, 0);
    if (!receiver)
        return;
    if (is_fatal_locked(g, receiver, sig)) {
        thread_group_exit_locked(g, sig);
        return;
    }
    task_kick(receiver, TASK_WORK_SIGNAL);
}

static bool from_user(const struct linux_siginfo *info)
{
    return info && info->code <= 0;
}

static int queue_locked(struct thread_group *g, struct task *t, int sig,
                        const struct linux_siginfo *info)
{
    struct sigpending *p = t ? &t->pending : &g->shared_pending;
    struct linux_siginfo kernel_info = {.signo = sig, .code = SI_KERNEL};
    if (sig < SIGNAL_RT_MIN && (p->set & SIG_BIT(sig)))
        return 0; // standard signals don't queue
    uint64_t limit = g->limits[RLIMIT_SIGPENDING].soft;
    // The kernel's own, and kill(2)'s standard ones, are stored whatever the limit says.
    if (sig < SIGNAL_RT_MIN && (!info || info->code >= 0))
        limit = UINT64_MAX;
    if (sig != SIGKILL &&
        !sigpending_add_locked(p, t ? t : g->leader, info ? info : &kernel_info, limit)) {
        if (sig >= SIGNAL_RT_MIN && from_user(info) && info->code != SI_USER)
            return -EAGAIN;
    }
    p->set |= SIG_BIT(sig);
    complete_locked(g, t, sig);
    return 0;
}

// Effects that a signal has by being sent. False: the process is ending, nothing reaches it.
static bool prepare_locked(struct thread_group *g, int sig)
{
    if (g->group_exiting)
        return false;
    if (SIG_BIT(sig) & STOP_SIGNALS) {
        flush_everywhere_locked(g, SIG_BIT(SIGCONT));
    } else if (sig == SIGCONT) {
        flush_everywhere_locked(g, STOP_SIGNALS);
        continue_locked(g);
    }
    return true;
}

static int send_locked(struct thread_group *g, struct task *t, int sig,
                       const struct linux_siginfo *info)
{
    if (t && (t->exiting || atomic_load(&t->state) >= TASK_ZOMBIE))
        return 0;
    if (!prepare_locked(g, sig))
        return 0;
    if (ignored_locked(g, t ? t : g->leader, sig, info))
        return 0;
    return queue_locked(g, t, sig, info);
}

int signal_send_task(struct task *t, int sig, const struct linux_siginfo *info)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    int ret = send_locked(g, t, sig, info);
    lock_release(&g->sig_lock);
    return ret;
}

int signal_send_group(struct thread_group *g, int sig, const struct linux_siginfo *info)
{
    lock_take(&g->sig_lock);
    int ret = send_locked(g, NULL, sig, info);
    lock_release(&g->sig_lock);
    return ret;
}

int signal_send_pgrp_locked(struct process_group *pg, int sig, const struct linux_siginfo *info)
{
    struct thread_group *g;
    int ret = -ESRCH;
    list_for_each (g, &pg->members, pgrp_node) {
        if (signal_send_group(g, sig, info) == 0)
            ret = 0;
    }
    return ret;
}

int signal_send_timer_locked(struct thread_group *g, struct task *t, struct sigqueue *q)
{
    int sig = q->info.signo;
    if (!list_empty(&q->node))
        return 1;
    if (!prepare_locked(g, sig))
        return 2;
    if (ignored_locked(g, t ? t : g->leader, sig, NULL))
        return 2;
    struct sigpending *p = t ? &t->pending : &g->shared_pending;
    list_push_back(&p->queue, &q->node);
    p->set |= SIG_BIT(sig);
    complete_locked(g, t, sig);
    return 0;
}

void signal_force(struct task *t, int sig, const struct linux_siginfo *info)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    struct signal_action action = sighand_get(g->sighand, sig);
    bool blocked = t->blocked & SIG_BIT(sig);
    if (blocked || action.handler == HANDLER_IGNORE) {
        action = (struct signal_action){0};
        sighand_set(g->sighand, sig, &action);
        if (blocked) {
            t->blocked &= ~SIG_BIT(sig);
            signal_recalc_locked(t);
        }
    }
    if (!g->group_exiting)
        (void)queue_locked(g, t, sig, info);
    lock_release(&g->sig_lock);
}

int signal_permission(struct task *sender, struct thread_group *target, int sig)
{
    const struct cred *c = sender->cred;
    if (sender->group == target)
        return 0;
    struct cred *other = task_get_cred(target->leader);
    bool same = c->euid == other->suid || c->euid == other->uid || c->uid == other->suid ||
                c->uid == other->uid;
    cred_put(other);
    if (same || capable(sender, CAP_KILL))
        return 0;
    // tasks_lock is held by all callers that can send SIGCONT.
    if (sig == SIGCONT && sender->group->pgrp && target->pgrp &&
        sender->group->pgrp->session == target->pgrp->session)
        return 0;
    return -EPERM;
}

// ---- Masks ----

void signal_retarget_locked(struct task *t)
{
    struct thread_group *g = t->group;
    uint64_t set = g->shared_pending.set & ~SIG_UNBLOCKABLE;
    if (!t->exiting)
        set &= t->blocked;
    struct task *it;
    list_for_each (it, &g->threads, group_node) {
        if (!set)
            return;
        if (it == t || it->exiting || !(set & ~it->blocked))
            continue;
        set &= it->blocked;
        task_kick(it, TASK_WORK_SIGNAL);
    }
}

void signal_set_blocked(struct task *t, uint64_t set)
{
    set &= ~SIG_UNBLOCKABLE;
    if (set == t->blocked)
        return;
    lock_take(&t->group->sig_lock);
    bool more = set & ~t->blocked;
    t->blocked = set;
    if (more && t->group->shared_pending.set)
        signal_retarget_locked(t);
    signal_recalc_locked(t);
    lock_release(&t->group->sig_lock);
}

void signal_set_temporary_mask(struct task *t, uint64_t set)
{
    // A call that is restarted installs its mask again; the mask to go back to is still the first
    // one.
    if (!t->restore_blocked)
        t->saved_blocked = t->blocked;
    t->restore_blocked = true;
    signal_set_blocked(t, set);
}

int signal_set_action(struct task *t, int sig, const struct signal_action *action,
                      struct signal_action *old)
{
    struct thread_group *g = t->group;
    if (sig < 1 || sig > SIGNAL_COUNT || (action && (SIG_BIT(sig) & SIG_UNBLOCKABLE)))
        return -EINVAL;
    lock_take(&g->sig_lock);
    if (old)
        *old = sighand_get(g->sighand, sig);
    if (action) {
        struct signal_action a = *action;
        a.mask &= ~SIG_UNBLOCKABLE;
        sighand_set(g->sighand, sig, &a);
        enum signal_default d = signal_default_of(sig);
        // POSIX: ignoring a pending signal discards it, blocked or not.
        if (a.handler == HANDLER_IGNORE ||
            (a.handler == HANDLER_DEFAULT && (d == SIGNAL_IGNORED || d == SIGNAL_CONTINUES)))
            flush_everywhere_locked(g, SIG_BIT(sig));
    }
    lock_release(&g->sig_lock);
    return 0;
}

// ---- Telling the parent ----

static struct signal_action parent_action(struct thread_group *parent)
{
    lock_take(&parent->sig_lock);
    struct signal_action a = sighand_get(parent->sighand, SIGCHLD);
    lock_release(&parent->sig_lock);
    return a;
}

bool signal_parent_ignores_child_locked(struct thread_group *g)
{
    if (!g->parent)
        return true;
    if (g->exit_signal != SIGCHLD)
        return false;
    struct signal_action a = parent_action(g->parent);
    return a.handler == HANDLER_IGNORE || (a.flags & SA_NOCLDWAIT);
}

void signal_notify_parent_locked(struct thread_group *g, int code, int status)
{
    struct thread_group *parent = g->parent;
    if (!parent)
        return;
    bool ended = code == CLD_EXITED || code == CLD_KILLED || code == CLD_DUMPED;
    int sig = ended ? g->exit_signal : SIGCHLD;
    struct cpu_usage used;
    thread_group_times_locked(g, &used);
    struct linux_siginfo info = {.signo = sig, .code = code};
    info.child.pid = (int32_t)g->tgid;
    info.child.uid = task_uid(g->leader);
    info.child.status =
        ended ? (code == CLD_EXITED ? (status >> 8) & 0xff : status & 0x7f) : status;
    info.child.utime = used.user / (NSEC_PER_SEC / 100);
    info.child.stime = used.system / (NSEC_PER_SEC / 100);
    struct signal_action a = sig ? parent_action(parent) : (struct signal_action){0};
    bool send = sig != 0;
    if (sig == SIGCHLD && a.handler == HANDLER_IGNORE)
        send = false;
    if (!ended && (a.flags & SA_NOCLDSTOP))
        send = false;
    if (send)
        (void)signal_send_group(parent, sig, &info);
    wake_up_all(&parent->child_wait, 0);
}

void signal_report_stop(struct thread_group *g, int code)
{
    struct kernel *k = the_kernel();
    int sig =
        code == CLD_CONTINUED ? SIGCONT : (int)__atomic_load_n(&g->stop_code, __ATOMIC_RELAXED);
    lock_take(&k->tasks_lock);
    bool init = k->init->group == g;
    signal_notify_parent_locked(g, code, sig);
    lock_release(&k->tasks_lock);
    if (init)
        kernel_init_stopped(code, sig);
}
