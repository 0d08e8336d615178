// FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: waiting for a condition and being moved from there
// to the lock with priority inheritance that goes with it.
//
// A waiter stands in the bucket of the condition's word until somebody moves it: the first one gets
// the lock at once when that is free. The kernel looks at the condition's word, never changes it.
//
// Locking: as in futex-pi.c; a move holds the buckets of both words.

#include <stdatomic.h>

#include "kernel/futex-int.h"
#include "mm/mm.h"
#include "platform/platform.h"

int64_t pi_futex_wait_requeue(struct task *t, const struct pi_requeue *r)
{
    struct pi_waiter w = {
        .task = t, .addr = r->condition, .on_condition = true, .pi_addr = r->lock};
    uint32_t word;
    int ret = pi_make_key(t, r->condition, r->shared, &w.key);
    if (ret == 0)
        ret = pi_make_key(t, r->lock, r->shared, &w.pi_key);
    if (ret == 0 && pi_key_equal(&w.key, &w.pi_key))
        ret = -EINVAL;
    if (ret < 0)
        return ret;
    struct pi_bucket *b = pi_bucket_of(t->kernel, &w.key);
    atomic_init(&w.bucket, b);
    list_init(&w.node);
    lock_take(&b->lock);
    if (!pi_read_word(t->mm, r->condition, &word))
        ret = -EFAULT;
    else if (word != r->value)
        ret = -EAGAIN;
    else
        list_push_back(&b->waiters, &w.node);
    lock_release(&b->lock);
    if (ret < 0)
        return ret;
    ret = pi_sleep(&w, r->deadline);
    if (ret != -ERESTARTSYS)
        return ret;
    // Once it was moved the call can't be made again: the caller sees an early wake-up.
    return w.on_condition ? -ERESTARTNOINTR : -EAGAIN;
}

static struct pi_waiter *first_on_condition_locked(struct pi_bucket *b, const struct futex_key *key)
{
    struct pi_waiter *w;
    list_for_each (w, &b->waiters, node) {
        if (w->on_condition && pi_key_equal(&w->key, key))
            return w;
    }
    return NULL;
}

// One waiter to the lock, whose word is marked. `word` is kept up to date.
static int move_locked(struct task *t, const struct pi_requeue *r, struct pi_waiter *w,
                       struct pi_bucket *to, const struct futex_key *lock_key, uint32_t *word)
{
    uint32_t owner = *word & FUTEX_TID;
    if (!pi_key_equal(&w->pi_key, lock_key))
        return -EINVAL;
    if (owner == w->task->tid)
        return -EDEADLK;
    list_remove(&w->node);
    w->on_condition = false;
    w->key = *lock_key;
    w->addr = w->pi_addr;
    atomic_store(&w->bucket, to);
    if (owner == 0) {
        *word = w->task->tid | (*word & FUTEX_DIED) | FUTEX_WAITS;
        if (!pi_write_word(t->mm, r->lock, *word))
            return -EFAULT; // the waiter, off all lists, is woken to find out
        w->granted = true;
        atomic_store(&w->task->pi_waited, true);
        task_wake(w->task);
        return 0;
    }
    w->owner = owner;
    struct task *holder = task_find(owner);
    if (holder)
        atomic_store(&holder->pi_waited, true);
    else
        w->orphaned = true;
    task_unref(holder);
    list_push_back(&to->waiters, &w->node);
    if (w->orphaned)
        task_wake(w->task);
    return 0;
}

// Under both locks: the number moved, or -EBUSY when the lock's word has to be marked first.
static int64_t requeue_locked(struct task *t, const struct pi_requeue *r, struct pi_bucket *from,
                              struct pi_bucket *to, const struct futex_key *key,
                              const struct futex_key *lock_key)
{
    uint32_t word;
    if (!pi_read_word(t->mm, r->condition, &word))
        return -EFAULT;
    if (word != r->value)
        return -EAGAIN;
    if (!first_on_condition_locked(from, key))
        return 0;
    if (!pi_read_word(t->mm, r->lock, &word))
        return -EFAULT;
    if (!(word & FUTEX_WAITS))
        return -EBUSY;
    int64_t count = 0;
    // One that is woken, and as many as may be moved.
    while (count < (int64_t)r->most + 1) {
        struct pi_waiter *w = first_on_condition_locked(from, key);
        if (!w)
            break;
        int ret = move_locked(t, r, w, to, lock_key, &word);
        if (ret < 0) {
            if (ret == -EFAULT) {
                w->orphaned = true;
                task_wake(w->task);
            }
            return count ? count : ret;
        }
        count++;
    }
    return count;
}

int64_t pi_futex_requeue(struct task *t, const struct pi_requeue *r)
{
    struct futex_key key, lock_key;
    int ret = pi_make_key(t, r->condition, r->shared, &key);
    if (ret == 0)
        ret = pi_make_key(t, r->lock, r->shared, &lock_key);
    if (ret == 0 && pi_key_equal(&key, &lock_key))
        ret = -EINVAL;
    if (ret < 0)
        return ret;
    struct pi_bucket *from = pi_bucket_of(t->kernel, &key);
    struct pi_bucket *to = pi_bucket_of(t->kernel, &lock_key);
    for (;;) {
        lock_pair(&from->lock, &to->lock);
        int64_t moved = requeue_locked(t, r, from, to, &key, &lock_key);
        unlock_pair(&from->lock, &to->lock);
        if (moved != -EBUSY)
            return moved;
        if (signal_pending(t))
            return -ERESTARTNOINTR;
        ret = platform_futex_mark(t->pt, r->lock);
        if (ret < 0)
            return ret;
    }
}
