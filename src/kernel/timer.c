// Kernel timers: one service thread and a tree by expiry.
//
// The thread sleeps on a futex word until the earliest expiry; arming an earlier timer changes the
// word and wakes it. A timer's function runs in that thread with no lock held and may arm or cancel
// any timer, its own included. timer_cancel() from elsewhere waits until a running function is
// through, so the owner may free the timer afterwards; therefore it is called with no lock that
// such a function takes.
//
// Locking: timer_wheel.lock (LOCK_RANK_TIMER) guards the tree and `running`.

#include "kernel/timer.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <time.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/slab.h"
#include "host/host.h"
#include "kernel/kernel.h"
#include "kernel/timer-int.h"

struct timer_wheel {
    struct lock lock;       // LOCK_RANK_TIMER
    struct rb_tree tree;    // GUARDED_BY(lock)
    struct timer *running;  // GUARDED_BY(lock)
    bool running_cancelled; // somebody waits for `running`; GUARDED_BY(lock)
    _Atomic uint32_t kick;  // the thread sleeps on it; changes when it has to look again
    _Atomic uint32_t done;  // counts functions that have returned: cancellers sleep on it
    int thread;             // host id of the timer thread; 0 before it runs
};

typedef void timer_function(struct timer *tm);

static timer_function *const timer_functions[TIMER_KIND_COUNT] = {
    [TIMER_POSIX] = posix_timer_expired,
    [TIMER_ITIMER] = itimer_expired,
    [TIMER_TIMERFD] = timerfd_expired,
    [TIMER_CPU] = cpu_timer_expired,
};

int timers_init(struct kernel *k)
{
    struct timer_wheel *w = kmalloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    lock_init(&w->lock, LOCK_RANK_TIMER);
    k->timers = w;
    return 0;
}

void timer_init(struct timer *tm, enum timer_kind kind)
{
    *tm = (struct timer){.kind = (uint8_t)kind};
}

static void insert_locked(struct timer_wheel *w, struct timer *tm)
{
    struct rb_node **link = &w->tree.root, *parent = NULL;
    while (*link) {
        parent = *link;
        // Equal ones go behind: first armed, first run.
        link = tm->expiry < container_of(parent, struct timer, node)->expiry ? &parent->left
                                                                             : &parent->right;
    }
    rb_link(&tm->node, parent, link);
    rb_insert_fixup(&w->tree, &tm->node);
    tm->queued = true;
}

static void remove_locked(struct timer_wheel *w, struct timer *tm)
{
    rb_remove(&w->tree, &tm->node);
    tm->queued = false;
}

void timer_set(struct timer *tm, nsec_t expiry)
{
    struct timer_wheel *w = the_kernel()->timers;
    lock_take(&w->lock);
    if (tm->queued)
        remove_locked(w, tm);
    tm->expiry = MAX(expiry, 0);
    insert_locked(w, tm);
    bool first = rb_first(&w->tree) == &tm->node;
    lock_release(&w->lock);
    if (first) {
        atomic_fetch_add(&w->kick, 1);
        (void)host_futex((void *)&w->kick, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    }
}

bool timer_cancel(struct timer *tm)
{
    struct timer_wheel *w = the_kernel()->timers;
    for (;;) {
        lock_take(&w->lock);
        bool was = tm->queued;
        if (was)
            remove_locked(w, tm);
        bool running = w->running == tm && w->thread != host_gettid();
        uint32_t done = atomic_load(&w->done);
        if (running)
            w->running_cancelled = true;
        lock_release(&w->lock);
        if (!running)
            return was;
        // The function may arm the timer again before it returns: look once more then.
        (void)host_futex((void *)&w->done, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, done, NULL, NULL, 0);
    }
}

bool timer_cancel_nowait(struct timer *tm)
{
    struct timer_wheel *w = the_kernel()->timers;
    lock_take(&w->lock);
    bool was = tm->queued;
    if (was)
        remove_locked(w, tm);
    lock_release(&w->lock);
    return was;
}

// Runs everything that is due; returns the next expiry.
static nsec_t run_due(struct timer_wheel *w)
{
    lock_take(&w->lock);
    for (;;) {
        struct rb_node *n = rb_first(&w->tree);
        if (!n)
            break;
        struct timer *tm = container_of(n, struct timer, node);
        if (tm->expiry > clock_monotonic()) {
            nsec_t next = tm->expiry;
            lock_release(&w->lock);
            return next;
        }
        remove_locked(w, tm);
        w->running = tm;
        BUG_ON(tm->kind >= TIMER_KIND_COUNT || !timer_functions[tm->kind]);
        timer_function *function = timer_functions[tm->kind];
        lock_release(&w->lock);
        function(tm); // may free tm when its owner arranged for that
        lock_take(&w->lock);
        w->running = NULL;
        bool waiting = w->running_cancelled;
        w->running_cancelled = false;
        atomic_fetch_add(&w->done, 1);
        if (waiting)
            (void)host_futex((void *)&w->done, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL,
                             NULL, 0);
    }
    lock_release(&w->lock);
    return NSEC_MAX;
}

_Noreturn void timer_thread(void)
{
    struct timer_wheel *w = the_kernel()->timers;
    w->thread = host_gettid();
    for (;;) {
        uint32_t kick = atomic_load(&w->kick);
        nsec_t next = run_due(w);
        struct timespec ts = {.tv_sec = next / NSEC_PER_SEC, .tv_nsec = next % NSEC_PER_SEC};
        (void)host_futex((void *)&w->kick, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, kick,
                         next == NSEC_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
    }
}
