// The one-word mutex. The protocol is the three-state one of Drepper, "Futexes Are Tricky" (2011), section 6: a release
// that finds the state at 2 wakes one sleeper, which takes the lock as 2 again, since it can't know whether it was the last.
//
// The rank byte of a word never changes after lock_init(), so every transition can be computed from any value read.
// Futexes are private: the arena belongs to one process. A sleep that ends early (a signal rouses kernel threads) just
// tries again.
#include "base/lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "host/syscall.h"

enum {
    STATE_FREE = 0,
    STATE_HELD = 1,
    STATE_WAITERS = 2,
    STATE_MASK = 3,
    RANK_SHIFT = 8,
    SPINS = 60
};

static uint32_t *word_of(struct lock *l)
{
    return (uint32_t *)&l->word;
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield" ::: "memory");
#endif
}

static enum lock_rank rank_of(const struct lock *l)
{
    return (enum lock_rank)(
        (__atomic_load_n((const uint32_t *)&l->word, __ATOMIC_RELAXED) >> RANK_SHIFT) & 0xff);
}

#ifdef CAISSON_DEBUG

// What the calling thread holds, in the order of taking.
enum { HELD_MAX = 32 };
static __thread struct {
    const struct lock *locks[HELD_MAX];
    uint8_t ranks[HELD_MAX];
    uint32_t count;
} held;

// Waiting for l while holding a lock of its rank or a higher one can deadlock. pair: the second of lock_pair(), which may
// be of the same rank as the first.
static void debug_check_order(const struct lock *l, const struct lock *pair)
{
    enum lock_rank rank = rank_of(l);
    if (rank == LOCK_RANK_NONE)
        panic("lock: %p was not initialised", (const void *)l);
    for (uint32_t i = 0; i < held.count; i++) {
        if (held.locks[i] == l)
            panic("lock: %p (rank %d) is taken twice by one thread", (const void *)l, rank);
        if (held.ranks[i] >= rank && held.locks[i] != pair)
            panic("lock: rank %d is taken while rank %d is held", rank, held.ranks[i]);
    }
}

static void debug_took(const struct lock *l)
{
    BUG_ON(held.count == HELD_MAX);
    held.locks[held.count] = l;
    held.ranks[held.count++] = (uint8_t)rank_of(l);
}

static bool debug_find(const struct lock *l, uint32_t *ret_i)
{
    for (uint32_t i = held.count; i-- > 0;) {
        if (held.locks[i] == l) {
            *ret_i = i;
            return true;
        }
    }
    return false;
}

static void debug_releases(const struct lock *l)
{
    uint32_t i;
    if (!debug_find(l, &i))
        panic("lock: %p (rank %d) is released by a thread that doesn't hold it", (const void *)l,
              rank_of(l));
    for (held.count--; i < held.count; i++) {
        held.locks[i] = held.locks[i + 1];
        held.ranks[i] = held.ranks[i + 1];
    }
}

// The ranks that lock.h marks "may sleep".
static bool debug_may_sleep(uint8_t rank)
{
    return rank == LOCK_RANK_EXEC || rank == LOCK_RANK_RENAME || rank == LOCK_RANK_FILE_POS ||
           rank == LOCK_RANK_INODE_DIR || rank == LOCK_RANK_MM || rank == LOCK_RANK_PI_FUTEX;
}

#else

static inline void debug_check_order(const struct lock *l UNUSED, const struct lock *pair UNUSED)
{
}

static inline void debug_took(const struct lock *l UNUSED)
{
}

static inline void debug_releases(const struct lock *l UNUSED)
{
}

#endif

void lock_init(struct lock *l, enum lock_rank rank)
{
    __atomic_store_n(word_of(l), (uint32_t)rank << RANK_SHIFT, __ATOMIC_RELAXED);
}

bool lock_try(struct lock *l)
{
    uint32_t w = __atomic_load_n(word_of(l), __ATOMIC_RELAXED) & ~(uint32_t)STATE_MASK;
    if (!__atomic_compare_exchange_n(word_of(l), &w, w | STATE_HELD, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    debug_took(l);
    return true;
}

static inline void take(struct lock *l)
{
    uint32_t w = __atomic_load_n(word_of(l), __ATOMIC_RELAXED) & ~(uint32_t)STATE_MASK;
    if (unlikely(!__atomic_compare_exchange_n(word_of(l), &w, w | STATE_HELD, false,
                                              __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
        lock_slow(l);
    debug_took(l);
}

void lock_take(struct lock *l)
{
    debug_check_order(l, NULL);
    take(l);
}

void lock_slow(struct lock *l)
{
    uint32_t *word = word_of(l);
    uint32_t free_word = __atomic_load_n(word, __ATOMIC_RELAXED) & ~(uint32_t)STATE_MASK;
    // Holders are short, so one that runs on another CPU is likely to be done soon. With sleepers in the queue it is
    // not worth it.
    for (int i = 0; i < SPINS; i++) {
        uint32_t w = __atomic_load_n(word, __ATOMIC_RELAXED);
        if (w == free_word && __atomic_compare_exchange_n(word, &w, free_word | STATE_HELD, false,
                                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        if ((w & STATE_MASK) == STATE_WAITERS)
            break;
        cpu_relax();
    }
    uint32_t waiters = free_word | STATE_WAITERS;
    while (__atomic_exchange_n(word, waiters, __ATOMIC_ACQUIRE) != free_word)
        host_syscall4(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, waiters, 0);
}

void unlock_slow(struct lock *l)
{
    uint32_t *word = word_of(l);
    uint32_t w = __atomic_load_n(word, __ATOMIC_RELAXED);
    __atomic_store_n(word, w & ~(uint32_t)STATE_MASK, __ATOMIC_RELEASE);
    host_syscall3(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1);
}

void lock_release(struct lock *l)
{
    debug_releases(l);
    uint32_t old = __atomic_fetch_sub(word_of(l), 1, __ATOMIC_RELEASE);
    if (unlikely((old & STATE_MASK) != STATE_HELD)) {
        if ((old & STATE_MASK) == STATE_FREE)
            panic("lock: %p is released but not held", (void *)l);
        unlock_slow(l);
    }
}

void lock_pair(struct lock *a, struct lock *b)
{
    struct lock *first = a < b ? a : b, *second = a < b ? b : a;
    BUG_ON(rank_of(a) != rank_of(b));
    lock_take(first);
    if (first == second)
        return;
    debug_check_order(second, first);
    take(second);
}

void unlock_pair(struct lock *a, struct lock *b)
{
    lock_release(a);
    if (a != b)
        lock_release(b);
}

void lock_assert_held(const struct lock *l)
{
#ifdef CAISSON_DEBUG
    uint32_t i;
    if (!debug_find(l, &i))
        panic("lock: rank %d should be held here", rank_of(l));
#endif
    if (unlikely((__atomic_load_n((const uint32_t *)&l->word, __ATOMIC_RELAXED) & STATE_MASK) ==
                 STATE_FREE))
        panic("lock: %p (rank %d) should be held here", (const void *)l, rank_of(l));
}

void lock_assert_none(const char *where)
{
#ifdef CAISSON_DEBUG
    if (held.count)
        panic("lock: rank %d is held at %s", held.ranks[held.count - 1], where);
#else
    (void)where;
#endif
}

void lock_assert_may_sleep(const char *where)
{
#ifdef CAISSON_DEBUG
    for (uint32_t i = 0; i < held.count; i++) {
        if (!debug_may_sleep(held.ranks[i]))
            panic("lock: rank %d is held at %s", held.ranks[i], where);
    }
#else
    (void)where;
#endif
}
