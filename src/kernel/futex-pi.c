// Futexes with priority inheritance: FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI,
// FUTEX_UNLOCK_PI. The host's own would compare the words with host thread ids, which the guest
// does not know; so the kernel keeps the queues.
//
// The word is the guest's: thread id of the owner, FUTEX_WAITERS, FUTEX_OWNER_DIED. A thread takes
// a free word and gives back one without FUTEX_WAITERS by itself. The kernel can't change the word
// atomically from its own process, so it makes the word its own first: the stub sets FUTEX_WAITERS
// (one atomic operation of the host's, platform_futex_mark()). From then on nobody but the kernel
// changes it, under the bucket's lock. A waiter that finds the bit gone again marks the word anew.
//
// DEVIATION: the owner's priority is not raised; waiters are served in order of arrival.
//
// Locking: bucket.lock (LOCK_RANK_PI_FUTEX, may sleep: it is held over copies of the word, which
// wait for no stub).

#include "kernel/futex-int.h"

#include <stdatomic.h>

#include "base/log.h"
#include "base/slab.h"
#include "base/strbuf.h"
#include "mm/backing.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "platform/platform.h"

int pi_futex_init(struct kernel *k)
{
    struct pi_table *table = kmalloc(sizeof(*table));
    if (!table)
        return -ENOMEM;
    for (uint32_t i = 0; i < PI_BUCKETS; i++) {
        lock_init(&table->buckets[i].lock, LOCK_RANK_PI_FUTEX);
        list_init(&table->buckets[i].waiters);
    }
    k->pi_futexes = table;
    return 0;
}

// ---- Keys ----

static struct vma *find_vma_locked(struct mm *mm, uint64_t addr)
{
    struct rb_node *n = mm->vmas.root;
    while (n) {
        struct vma *v = container_of(n, struct vma, node);
        if (addr < v->start)
            n = n->left;
        else if (addr >= v->end)
            n = n->right;
        else
            return v;
    }
    return NULL;
}

// Private words go by address space and address; shared ones by what is mapped there.
int pi_make_key(struct task *t, uint64_t addr, bool shared, struct futex_key *key)
{
    if (addr & 3)
        return -EINVAL;
    *key = (struct futex_key){.object = (uint64_t)(uintptr_t)t->mm, .offset = addr};
    if (!shared)
        return 0;
    struct mm *mm = t->mm;
    lock_take(&mm->lock);
    struct vma *v = find_vma_locked(mm, addr);
    if (v && v->file && (v->flags & VMA_SHARED)) {
        char text[8];
        struct strbuf path = STRBUF_FIXED(text);
        uint32_t dev;
        uint64_t ino;
        file_map_describe(v->file, &dev, &ino, &path);
        *key = (struct futex_key){
            .object = dev, .inode = ino, .offset = v->offset + (addr - v->start)};
    }
    lock_release(&mm->lock);
    return v ? 0 : -EFAULT;
}

bool pi_key_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->object == b->object && a->inode == b->inode && a->offset == b->offset;
}

struct pi_bucket *pi_bucket_of(struct kernel *k, const struct futex_key *key)
{
    return &k->pi_futexes->buckets[siphash(&k->hash_key, key, sizeof(*key)) % PI_BUCKETS];
}

struct pi_waiter *pi_first_waiter_locked(struct pi_bucket *b, const struct futex_key *key)
{
    struct pi_waiter *w;
    list_for_each (w, &b->waiters, node) {
        if (!w->on_condition && pi_key_equal(&w->key, key))
            return w;
    }
    return NULL;
}

bool pi_read_word(struct mm *mm, uint64_t addr, uint32_t *word)
{
    return copy_in_mm(mm, word, addr, sizeof(*word)) == sizeof(*word);
}

bool pi_write_word(struct mm *mm, uint64_t addr, uint32_t word)
{
    return copy_out_mm(mm, addr, &word, sizeof(word)) == sizeof(word);
}

// ---- Taking ----

enum attempt { ATTEMPT_TAKEN, ATTEMPT_OWNED, ATTEMPT_UNMARKED };

// Looks at the word once. A negative errno, or what came of it; with ATTEMPT_OWNED *owner has a
// reference.
static int attempt_locked(struct task *t, struct pi_bucket *b, const struct futex_key *key,
                          uint64_t addr, struct task **owner)
{
    uint32_t word;
    if (!pi_read_word(t->mm, addr, &word))
        return -EFAULT;
    uint32_t tid = word & FUTEX_TID;
    if (tid == t->tid)
        return -EDEADLK;
    if (!(word & FUTEX_WAITS))
        return ATTEMPT_UNMARKED;
    if (tid == 0) {
        uint32_t mine =
            t->tid | (word & FUTEX_DIED) | (pi_first_waiter_locked(b, key) ? FUTEX_WAITS : 0);
        return pi_write_word(t->mm, addr, mine) ? ATTEMPT_TAKEN : -EFAULT;
    }
    *owner = task_find(tid);
    return *owner ? ATTEMPT_OWNED : -ESRCH;
}

// The bucket that w is on now, locked: a requeue may move it meanwhile.
static struct pi_bucket *lock_bucket_of(struct pi_waiter *w)
{
    for (;;) {
        struct pi_bucket *b = atomic_load(&w->bucket);
        lock_take(&b->lock);
        if (b == atomic_load(&w->bucket))
            return b;
        lock_release(&b->lock);
    }
}

int pi_sleep(struct pi_waiter *w, nsec_t deadline)
{
    int ret = 0;
    for (;;) {
        wait_arm(w->task);
        struct pi_bucket *b = lock_bucket_of(w);
        if (w->granted || w->orphaned || ret < 0) {
            list_remove(&w->node);
            lock_release(&b->lock);
            if (w->granted)
                return 0;
            return w->orphaned ? -ESRCH : ret;
        }
        lock_release(&b->lock);
        ret = wait_sleep(w->task, deadline);
    }
}

int64_t pi_futex_lock(struct task *t, const struct pi_request *r)
{
    struct futex_key key;
    int ret = pi_make_key(t, r->addr, r->shared, &key);
    if (ret < 0)
        return ret;
    struct pi_bucket *b = pi_bucket_of(t->kernel, &key);
    struct pi_waiter w = {.key = key, .task = t, .addr = r->addr, .bucket = b};
    list_init(&w.node);
    for (;;) {
        struct task *owner = NULL;
        lock_take(&b->lock);
        ret = attempt_locked(t, b, &key, r->addr, &owner);
        if (ret == ATTEMPT_OWNED && !r->try_only) {
            w.owner = owner->tid;
            atomic_store(&owner->pi_waited, true);
            list_push_back(&b->waiters, &w.node);
        }
        lock_release(&b->lock);
        if (ret != ATTEMPT_UNMARKED) {
            // It may have looked for waiters just before this one came.
            bool ended = owner && __atomic_load_n(&owner->exiting, __ATOMIC_SEQ_CST);
            task_unref(owner);
            if (ret == ATTEMPT_OWNED && ended)
                pi_futex_owner_gone(t->kernel, w.owner);
            break;
        }
        if (signal_pending(t))
            return -ERESTARTNOINTR;
        ret = platform_futex_mark(t->pt, r->addr);
        if (ret < 0)
            return ret;
    }
    if (ret != ATTEMPT_OWNED)
        return ret;
    if (r->try_only)
        return -EAGAIN;
    ret = pi_sleep(&w, r->deadline);
    return ret == -ERESTARTSYS ? -ERESTARTNOINTR : ret;
}

// ---- Giving ----

// The word goes to the first waiter, or becomes free. `died`: FUTEX_DIED when the owner did.
static bool hand_over_locked(struct pi_bucket *b, const struct futex_key *key, struct mm *mm,
                             uint64_t addr, uint32_t died)
{
    struct pi_waiter *w = pi_first_waiter_locked(b, key), *it;
    if (!w)
        return pi_write_word(mm, addr, died);
    list_remove(&w->node);
    uint32_t tid = w->task->tid;
    bool more = pi_first_waiter_locked(b, key) != NULL;
    if (!pi_write_word(mm, addr, tid | died | (more ? FUTEX_WAITS : 0))) {
        list_push_front(&b->waiters, &w->node);
        return false;
    }
    list_for_each (it, &b->waiters, node) {
        if (pi_key_equal(&it->key, key))
            it->owner = tid;
    }
    if (more)
        atomic_store(&w->task->pi_waited, true);
    w->granted = true;
    task_wake(w->task);
    return true;
}

int64_t pi_futex_unlock(struct task *t, uint64_t addr, bool shared)
{
    struct futex_key key;
    uint32_t word;
    int ret = pi_make_key(t, addr, shared, &key);
    if (ret < 0)
        return ret;
    struct pi_bucket *b = pi_bucket_of(t->kernel, &key);
    lock_take(&b->lock);
    if (!pi_read_word(t->mm, addr, &word))
        ret = -EFAULT;
    else if ((word & FUTEX_TID) != t->tid)
        ret = -EPERM;
    else if (!hand_over_locked(b, &key, t->mm, addr, 0))
        ret = -EFAULT;
    lock_release(&b->lock);
    return ret;
}

// ---- Dead owners ----

static struct pi_waiter *waiter_for_locked(struct pi_bucket *b, uint32_t owner)
{
    struct pi_waiter *w;
    list_for_each (w, &b->waiters, node) {
        if (w->owner == owner && !w->granted && !w->orphaned)
            return w;
    }
    return NULL;
}

// Through the waiters' own address spaces, since the owner's is gone.
void pi_futex_owner_gone(struct kernel *k, uint32_t owner)
{
    for (uint32_t i = 0; i < PI_BUCKETS; i++) {
        struct pi_bucket *b = &k->pi_futexes->buckets[i];
        struct pi_waiter *w;
        lock_take(&b->lock);
        while ((w = waiter_for_locked(b, owner)) != NULL) {
            uint32_t word = 0;
            bool ok = pi_read_word(w->task->mm, w->addr, &word);
            // The robust list may have been walked already: then the word has no owner, and says
            // so.
            if (!ok || ((word & FUTEX_TID) != owner && (word & FUTEX_TID) != 0) ||
                !hand_over_locked(b, &w->key, w->task->mm, w->addr, FUTEX_DIED)) {
                w->orphaned = true;
                task_wake(w->task);
            }
        }
        lock_release(&b->lock);
    }
}

void pi_futex_exit(struct task *t)
{
    if (atomic_load(&t->pi_waited))
        pi_futex_owner_gone(t->kernel, t->tid);
}
