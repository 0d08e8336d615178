// Waiting and waking, see wait.h.
//
// A task's wake word is 0 after wait_arm(), 2 while its kernel thread sleeps (or is about to), 1
// once somebody woke it. wait_sleep() goes from 0 to 2 by compare-and-swap, so a wake-up between
// wait_arm() and the sleep is never lost; a waker exchanges in 1 and calls the host only when it
// found a sleeper.
//
// Locking: a queue's lock guards its list. Whoever is on a queue keeps its entry alive until
// wait_remove() has returned; the entry's task cannot go before that. Sleepers are collected under
// the lock and roused after it was released, so that a woken thread does not run straight into the
// lock: a wake-up that reaches the word of a task that has gone meanwhile (tasks lie in a typed
// slab) is a spurious one for its successor.

#include "kernel/wait.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <time.h>

#include "base/log.h"
#include "host/host.h"
#include "kernel/task.h"
#include "platform/platform.h"

enum { WAKE_ARMED = 0, WAKE_WOKEN = 1, WAKE_SLEEPING = 2 };
enum { WAKE_BATCH = 16 };

void wait_queue_init(struct wait_queue *q)
{
    lock_init(&q->lock, LOCK_RANK_WAIT_QUEUE);
    list_init(&q->entries);
}

void wait_entry_init(struct wait_entry *w, struct task *t)
{
    *w = (struct wait_entry){.task = t, .kind = WAIT_KIND_TASK};
    list_init(&w->node);
}

void wait_add(struct wait_queue *q, struct wait_entry *w)
{
    BUG_ON(w->queue);
    lock_take(&q->lock);
    w->queue = q;
    // Exclusive entries stand behind the others, so that wake_up_one() meets those first.
    if (w->exclusive)
        list_push_back(&q->entries, &w->node);
    else
        list_push_front(&q->entries, &w->node);
    lock_release(&q->lock);
}

void wait_remove(struct wait_entry *w)
{
    struct wait_queue *q = w->queue;
    if (!q)
        return;
    lock_take(&q->lock);
    list_remove(&w->node);
    w->queue = NULL;
    lock_release(&q->lock);
}

void wait_arm(struct task *t)
{
    atomic_store_explicit(&t->wake_word, WAKE_ARMED, memory_order_seq_cst);
}

static int sleep_on_word(struct task *t, nsec_t deadline, enum task_state state)
{
    uint32_t expected = WAKE_ARMED;
    if (!atomic_compare_exchange_strong(&t->wake_word, &expected, WAKE_SLEEPING))
        return 0;
    if (t->pt)
        platform_window_flush(t->pt);
    struct timespec ts, *until = NULL;
    if (deadline != NSEC_MAX) {
        nsec_t d = MAX(deadline, 0);
        ts = (struct timespec){.tv_sec = d / NSEC_PER_SEC, .tv_nsec = d % NSEC_PER_SEC};
        until = &ts;
    }
    atomic_store_explicit(&t->state, state, memory_order_relaxed);
    if (t->pt)
        platform_block(t->pt);
    int ret = host_futex(&t->wake_word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, WAKE_SLEEPING,
                         until, NULL, FUTEX_BITSET_MATCH_ANY);
    if (t->pt)
        platform_unblock(t->pt);
    atomic_store_explicit(&t->state, TASK_RUNNING, memory_order_relaxed);
    t->usage.voluntary_switches++;
    if (ret == -ETIMEDOUT && atomic_exchange(&t->wake_word, WAKE_ARMED) != WAKE_WOKEN)
        return -ETIMEDOUT;
    return 0;
}

int wait_sleep(struct task *t, nsec_t deadline)
{
    if (signal_pending(t))
        return -ERESTARTSYS;
    // A wake-up that came with a signal counts as a wake-up first: the caller looks again and then
    // sleeps into the signal.
    return sleep_on_word(t, deadline, TASK_SLEEPING);
}

int wait_sleep_killable(struct task *t, nsec_t deadline)
{
    if (signal_fatal_pending(t))
        return -ERESTARTSYS;
    return sleep_on_word(t, deadline, TASK_SLEEPING);
}

int wait_sleep_stopped(struct task *t)
{
    return sleep_on_word(t, NSEC_MAX, TASK_STOPPED);
}

static void rouse(_Atomic uint32_t *word)
{
    (void)host_futex((void *)word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

void task_wake(struct task *t)
{
    if (atomic_exchange(&t->wake_word, WAKE_WOKEN) == WAKE_SLEEPING)
        rouse(&t->wake_word);
}

struct wake_batch {
    struct epoll *epolls;
    uint32_t count;
    _Atomic uint32_t *words[WAKE_BATCH];
};

// False: there was nobody behind it, an exclusive wake-up is to go on to the next.
static bool wake_entry(struct wait_entry *w, uint32_t events, struct wake_batch *batch)
{
    switch ((enum wait_kind)w->kind) {
    case WAIT_KIND_TASK:
        if (atomic_exchange(&w->task->wake_word, WAKE_WOKEN) != WAKE_SLEEPING)
            return true;
        if (batch->count < WAKE_BATCH)
            batch->words[batch->count++] = &w->task->wake_word;
        else
            rouse(&w->task->wake_word);
        return true;
    case WAIT_KIND_EPOLL:
        return epoll_entry_wake(w, events, &batch->epolls);
    case WAIT_KIND_COUNT:
        break;
    }
    panic("wait entry of kind %u", w->kind);
}

static void wake_up(struct wait_queue *q, uint32_t events, bool one)
{
    if (!wait_queue_active(q))
        return;
    struct wake_batch batch = {0};
    struct wait_entry *w;
    lock_take(&q->lock);
    list_for_each (w, &q->entries, node) {
        if (events && w->events && !(events & w->events))
            continue;
        if (wake_entry(w, events, &batch) && one && w->exclusive)
            break;
    }
    lock_release(&q->lock);
    for (uint32_t i = 0; i < batch.count; i++)
        rouse(batch.words[i]);
    if (batch.epolls)
        epoll_wake_chain(batch.epolls);
}

void wake_up_all(struct wait_queue *q, uint32_t events)
{
    wake_up(q, events, false);
}

void wake_up_one(struct wait_queue *q, uint32_t events)
{
    wake_up(q, events, true);
}

// Without the lock: a sleeper adds its entry, then arms its word (sequentially consistent) and
// looks at the condition; the waker changes the condition, then looks here. The fence pairs with
// wait_arm()'s store.
bool wait_queue_active(const struct wait_queue *q)
{
    atomic_thread_fence(memory_order_seq_cst);
    return __atomic_load_n(&q->entries.next, __ATOMIC_RELAXED) != &q->entries;
}
