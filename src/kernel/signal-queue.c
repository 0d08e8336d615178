// Queues of pending signals, handlers, and taking signals from a queue.
//
// A set bit says that a signal is pending; its entry in the queue carries the siginfo. The bit may
// be set without an entry, when the sender's siginfo could not be stored (RLIMIT_SIGPENDING): the
// receiver then sees an empty SI_USER.
//
// Locking: queues under sig_lock of their group, handlers under sighand.lock.

#include <stdatomic.h>

#include "base/log.h"
#include "base/slab.h"
#include "kernel/posix-timer.h"
#include "kernel/signal-int.h"

SLAB_TYPE(sigqueue_slab, SLAB_SIGQUEUE, struct sigqueue);
SLAB_TYPE(sighand_slab, SLAB_SIGHAND, struct sighand);

// Faults are taken first: they belong to the instruction that the thread is at.
#define SYNCHRONOUS                                                                              \
    (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) | \
     SIG_BIT(SIGSYS))

void sigpending_init(struct sigpending *p)
{
    p->set = 0;
    list_init(&p->queue);
}

static void sigqueue_free(struct sigqueue *q)
{
    list_remove(&q->node);
    if (q->timer)
        return; // part of its timer
    user_uncharge(the_kernel(), q->uid, USER_SIGNALS);
    slab_free(&sigqueue_slab, q);
}

void sigpending_flush_locked(struct sigpending *p, uint64_t set)
{
    struct sigqueue *q, *next;
    p->set &= ~set;
    list_for_each_safe (q, next, &p->queue, node) {
        if (SIG_BIT(q->info.signo) & set)
            sigqueue_free(q);
    }
}

void sigpending_recount_locked(struct sigpending *p, int sig)
{
    struct sigqueue *q;
    if (!(p->set & SIG_BIT(sig)))
        return;
    list_for_each (q, &p->queue, node) {
        if (q->info.signo == sig)
            return;
    }
    p->set &= ~SIG_BIT(sig);
}

bool sigpending_add_locked(struct sigpending *p, struct task *target,
                           const struct linux_siginfo *info, uint64_t limit)
{
    struct kernel *k = the_kernel();
    uint32_t uid = task_uid(target);
    if (!user_charge(k, uid, USER_SIGNALS, limit))
        return false;
    struct sigqueue *q = slab_alloc(&sigqueue_slab);
    if (!q) {
        user_uncharge(k, uid, USER_SIGNALS);
        return false;
    }
    q->uid = uid;
    q->info = *info;
    list_push_back(&p->queue, &q->node);
    return true;
}

static bool take_locked(struct task *t, struct sigpending *p, int sig, struct linux_siginfo *info)
{
    struct sigqueue *q, *found = NULL;
    bool more = false;
    list_for_each (q, &p->queue, node) {
        if (q->info.signo != sig)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = q;
    }
    if (!more)
        p->set &= ~SIG_BIT(sig);
    if (!found) {
        *info = (struct linux_siginfo){.signo = sig, .code = SI_USER};
        return true;
    }
    *info = found->info;
    struct posix_timer *timer = found->timer;
    sigqueue_free(found);
    if (timer)
        return posix_timer_delivered_locked(t->group, timer, info);
    return true;
}

static int first_signal(uint64_t set)
{
    uint64_t faults = set & SYNCHRONOUS;
    return __builtin_ctzll(faults ? faults : set) + 1;
}

int signal_dequeue_locked(struct task *t, uint64_t wanted, struct linux_siginfo *info)
{
    for (;;) {
        struct sigpending *p = &t->pending;
        if (!(p->set & wanted))
            p = &t->group->shared_pending;
        if (!(p->set & wanted))
            return 0;
        int sig = first_signal(p->set & wanted);
        bool valid = take_locked(t, p, sig, info);
        signal_recalc_locked(t);
        if (valid)
            return sig;
    }
}

int signal_dequeue(struct task *t, uint64_t wanted, struct linux_siginfo *info)
{
    lock_take(&t->group->sig_lock);
    int sig = signal_dequeue_locked(t, wanted & ~SIG_UNBLOCKABLE, info);
    lock_release(&t->group->sig_lock);
    return sig;
}

uint64_t signal_pending_set(struct task *t)
{
    lock_take(&t->group->sig_lock);
    uint64_t set = t->pending.set | t->group->shared_pending.set;
    lock_release(&t->group->sig_lock);
    return set;
}

void signal_recalc_locked(struct task *t)
{
    if ((t->pending.set | t->group->shared_pending.set) & ~t->blocked)
        atomic_fetch_or(&t->pending_work, TASK_WORK_SIGNAL);
    else
        atomic_fetch_and(&t->pending_work, ~(uint32_t)TASK_WORK_SIGNAL);
}

bool signal_pending(struct task *t)
{
    return atomic_load(&t->pending_work) & (TASK_WORK_SIGNAL | TASK_WORK_KILL | TASK_WORK_STOP);
}

bool signal_fatal_pending(struct task *t)
{
    return atomic_load(&t->pending_work) & TASK_WORK_KILL;
}

void signal_flush_task(struct task *t)
{
    lock_take(&t->group->sig_lock);
    sigpending_flush_locked(&t->pending, ~0ull);
    signal_recalc_locked(t);
    lock_release(&t->group->sig_lock);
}

// ---- Handlers ----

struct sighand *sighand_create(void)
{
    struct sighand *s = slab_alloc(&sighand_slab);
    if (!s)
        return NULL;
    refcount_init(&s->refs, 1);
    lock_init(&s->lock, LOCK_RANK_OBJECT);
    return s;
}

void sighand_put(struct sighand *s)
{
    if (s && refcount_put(&s->refs))
        slab_free(&sighand_slab, s);
}

struct sighand *sighand_copy(const struct sighand *s)
{
    struct sighand *from = (struct sighand *)s, *n = sighand_create(); // only the lock is changed
    if (!n)
        return NULL;
    lock_take(&from->lock);
    memcpy(n->action, from->action, sizeof(n->action));
    lock_release(&from->lock);
    return n;
}

struct signal_action sighand_get(struct sighand *s, int sig)
{
    lock_take(&s->lock);
    struct signal_action a = s->action[sig - 1];
    lock_release(&s->lock);
    return a;
}

void sighand_set(struct sighand *s, int sig, const struct signal_action *a)
{
    lock_take(&s->lock);
    s->action[sig - 1] = *a;
    lock_release(&s->lock);
}

void sighand_reset(struct sighand *s)
{
    lock_take(&s->lock);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        bool keep = s->action[i].handler == (uint64_t)(uintptr_t)SIG_IGN;
        s->action[i] = (struct signal_action){.handler = keep ? (uint64_t)(uintptr_t)SIG_IGN : 0};
    }
    lock_release(&s->lock);
}

void signal_exec_reset(struct task *t)
{
    t->signal_depth = 0;
    memset(t->settled_sites, 0, sizeof(t->settled_sites));
    struct thread_group *g = t->group;
    // Handlers that are shared with another process stay with that one.
    if (refcount_read(&g->sighand->refs) > 1) {
        struct sighand *own = sighand_copy(g->sighand);
        if (!own)
            panic("out of memory for signal handlers in exec");
        lock_take(&g->sig_lock);
        struct sighand *old = g->sighand;
        g->sighand = own;
        lock_release(&g->sig_lock);
        sighand_put(old);
    }
    sighand_reset(g->sighand);
    t->altstack_sp = t->altstack_size = 0;
    t->altstack_flags = SS_DISABLE;
    t->restore_blocked = false;
    t->unsettled.valid = false;
    posix_timers_exit(g);
}
