// The arena and its slab caches.
//
// Layout, from arena_base() on: struct arena (the caches and the state of the arena), the table of chunks, then the chunks.
// What is known about a chunk stands in the table and not in the chunk, so that running over the end of an object damages
// other objects of the same type at most, and a bitmap says exactly which objects live: a double free, a free of an inner
// pointer and a free under the wrong type are found, always. The memory of the table is touched as chunks are handed out.
//
// Everything that a checkpoint needs lies inside the arena; the only variable outside is the pointer to it. There is no
// pointer from the arena to the binary: caches are found by number.
//
// A chunk belongs for ever to one cache, to one kmalloc class (a cache as well), or to large kmalloc. Objects of a cache
// come from the first chunk that has room, lowest first; those above the chunk's high-water mark were never used and are
// zero as the host gave them, so they are not touched until they are handed out.
//
// Locking: each cache has a lock, which guards the cache and its chunks' table entries; arena.large_lock guards the entries
// of large chunks. Both are of rank SLAB and are never held together. New chunks are drawn with an atomic counter. An entry's
// cache number is written once, before any pointer into the chunk exists, so freeing reads it without a lock.
#include "base/slab.h"

#include <linux/mman.h>
#include <sys/syscall.h>

#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "host/syscall.h"

#define CHUNK_SIZE  0x10000ull
#define CHUNK_SHIFT 16
#define WINDOW_START \
    0x100000000000ull // no mapping of the process's own comes here (architecture: the arena's window)
#define WINDOW_END   0x500000000000ull
#define WINDOW_ALIGN 0x200000ull
#define LIMIT_MAX    (1ull << 40)

enum {
    OBJECT_MAX = 32768,
    ALIGN_MIN = 16,
    CLASS_MIN_SHIFT = 4,
    CLASS_MAX_SHIFT = 15,
    CLASS_COUNT = CLASS_MAX_SHIFT - CLASS_MIN_SHIFT + 1,
    CACHE_COUNT = SLAB_ID_COUNT + CLASS_COUNT,
    WORDS = CHUNK_SIZE / ALIGN_MIN / 64,
    DRAWS = 64,
    POISON = 0xa5,
};

// What struct chunk.owner can be beside the number of a cache.
enum {
    OWNER_NONE = 0xffff,
    OWNER_LARGE_HEAD = 0xfffe, // first chunk of a large block in use
    OWNER_LARGE_BODY = 0xfffd, // the others
    OWNER_LARGE_FREE =
        0xfffc, // any chunk of a free run; the first and the last of it carry its bounds
};

struct chunk {
    struct list node; // cache: in slab_cache.partial while it has room; large: in arena.free_runs
    uint16_t owner;
    uint16_t used;     // live objects
    uint16_t high;     // objects from here on were never used
    uint16_t hint;     // no free object in the words below
    uint32_t run;      // large: chunks in the block or free run, in its first chunk
    uint32_t run_head; // large: index of the run's first chunk, in its last chunk
    uint64_t live[WORDS];
} __attribute__((aligned(64)));

struct slab_cache {
    struct lock lock; // LOCK_RANK_SLAB
    uint32_t size;    // of an object, as its type says; 0 before the first allocation
    uint32_t stride;  // rounded up
    uint32_t inverse; // ceil(2^32 / stride), which divides an offset inside a chunk exactly
    uint32_t per_chunk;
    struct list partial; // chunks with room
    uint64_t count;      // live objects; written under the lock, read without
} __attribute__((aligned(64)));

struct arena {
    uint64_t base, limit;   // immutable
    uint64_t first_chunk;   // immutable: address of chunk 0
    uint64_t chunk_count;   // immutable
    uint64_t next_chunk;    // atomic
    struct lock large_lock; // LOCK_RANK_SLAB
    struct list free_runs;  // guarded by large_lock
    uint64_t large_count;   // atomic: large blocks in use
    struct slab_cache caches[CACHE_COUNT];
    struct chunk chunks[];
};

// Written by arena_init() before any thread starts.
static struct arena *arena;

static void *map_arena(uint64_t base, uint64_t limit)
{
    long r =
        host_syscall6(SYS_mmap, (long)base, (long)limit, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (r < 0 && r >= -4095)
        return NULL;
    if ((uint64_t)r != base) { // hosts before 4.17 take the address for a hint
        host_syscall2(SYS_munmap, r, (long)limit);
        return NULL;
    }
    return (void *)r;
}

static int draw_base(uint64_t limit, uint64_t *ret_base)
{
    uint64_t x = 0;
    long n;
    do {
        n = host_syscall3(SYS_getrandom, (long)&x, sizeof(x), 0);
    } while (n == -EINTR);
    if (n != sizeof(x))
        return n < 0 ? (int)n : -EIO;
    uint64_t places = (WINDOW_END - WINDOW_START - limit) / WINDOW_ALIGN;
    *ret_base = WINDOW_START + x % places * WINDOW_ALIGN;
    return 0;
}

int arena_init(uint64_t base, uint64_t limit)
{
    if (arena)
        return -EBUSY;
    limit = limit / CHUNK_SIZE * CHUNK_SIZE;
    uint64_t chunk_count = limit / CHUNK_SIZE;
    uint64_t header = sizeof(struct arena) + chunk_count * sizeof(struct chunk);
    header = (header + CHUNK_SIZE - 1) / CHUNK_SIZE * CHUNK_SIZE;
    if (limit > LIMIT_MAX || base % CHUNK_SIZE || header + CHUNK_SIZE > limit)
        return -EINVAL;
    struct arena *a = NULL;
    if (base) {
        a = map_arena(base, limit);
    } else {
        for (int i = 0; i < DRAWS && !a; i++) {
            int r = draw_base(limit, &base);
            if (r < 0)
                return r;
            a = map_arena(base, limit);
        }
    }
    if (!a)
        return -ENOMEM;
    // Thousands of small sandboxes on a host count more than the arena's TLB misses.
    host_syscall3(SYS_madvise, (long)base, (long)limit, MADV_NOHUGEPAGE);
    a->base = base;
    a->limit = limit;
    a->first_chunk = base + header;
    a->chunk_count = (limit - header) / CHUNK_SIZE;
    lock_init(&a->large_lock, LOCK_RANK_SLAB);
    list_init(&a->free_runs);
    for (int i = 0; i < CACHE_COUNT; i++) {
        lock_init(&a->caches[i].lock, LOCK_RANK_SLAB);
        list_init(&a->caches[i].partial);
    }
    arena = a;
    return 0;
}

uint64_t arena_base(void)
{
    return arena ? arena->base : 0;
}

uint64_t arena_used(void)
{
    return arena ? __atomic_load_n(&arena->next_chunk, __ATOMIC_RELAXED) * CHUNK_SIZE : 0;
}

bool arena_contains(const void *p)
{
    return arena && (uint64_t)p - arena->base < arena->limit;
}

static uint64_t chunk_index(const struct chunk *c)
{
    return (uint64_t)(c - arena->chunks);
}

static uint64_t chunk_address(const struct chunk *c)
{
    return arena->first_chunk + chunk_index(c) * CHUNK_SIZE;
}

// The table entry of the chunk that p lies in. Panics for what was never handed out.
static struct chunk *chunk_of(const void *p)
{
    uint64_t offset = (uint64_t)p - (arena ? arena->first_chunk : 0);
    if (unlikely(!arena || (uint64_t)p < arena->first_chunk ||
                 offset >> CHUNK_SHIFT >= __atomic_load_n(&arena->next_chunk, __ATOMIC_RELAXED)))
        panic("slab: free of %p, which is not from the arena", p);
    return &arena->chunks[offset >> CHUNK_SHIFT];
}

// Draws n chunks that follow each other and were never used; NULL when the arena is at its limit.
static struct chunk *draw_chunks(uint64_t n)
{
    uint64_t i = __atomic_load_n(&arena->next_chunk, __ATOMIC_RELAXED);
    do {
        if (n > arena->chunk_count - i)
            return NULL;
    } while (!__atomic_compare_exchange_n(&arena->next_chunk, &i, i + n, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return &arena->chunks[i];
}

static void cache_setup(struct slab_cache *c, uint32_t size)
{
    c->size = size;
    c->stride = (size + ALIGN_MIN - 1) & ~(uint32_t)(ALIGN_MIN - 1);
    if (c->stride > 64) // whole cache lines, so that objects of different owners don't share one
        c->stride = (size + 63) & ~63u;
    c->inverse = (uint32_t)(((1ull << 32) + c->stride - 1) / c->stride);
    c->per_chunk = (uint32_t)(CHUNK_SIZE / c->stride);
}

static struct chunk *cache_grow(struct slab_cache *c)
{
    struct chunk *k = draw_chunks(1);
    if (!k)
        return NULL;
    k->owner = (uint16_t)(c - arena->caches);
    // Bits beyond the last object count as live, so that the search never finds them.
    for (uint32_t i = c->per_chunk / 64; i < WORDS; i++)
        k->live[i] = ~0ull;
    if (c->per_chunk % 64)
        k->live[c->per_chunk / 64] = ~0ull << (c->per_chunk % 64);
    list_push_front(&c->partial, &k->node);
    return k;
}

#ifdef CAISSON_DEBUG
static void poison_check(const uint8_t *p, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        if (p[i] != POISON)
            panic("slab: byte %u of free object %p was written to", i, (const void *)p);
    }
}

static void poison_fill(uint8_t *p, uint32_t size)
{
    memset(p, POISON, size);
}
#else
static inline void poison_check(const uint8_t *p UNUSED, uint32_t size UNUSED)
{
}

static inline void poison_fill(uint8_t *p UNUSED, uint32_t size UNUSED)
{
}
#endif

static void *cache_alloc(struct slab_cache *c, uint32_t size)
{
    lock_take(&c->lock);
    if (unlikely(c->size != size)) {
        if (c->size)
            panic("slab: one id for objects of %u and %u bytes", c->size, size);
        cache_setup(c, size);
    }
    struct chunk *k = list_first(&c->partial, struct chunk, node);
    if (unlikely(!k) && !(k = cache_grow(c))) {
        lock_release(&c->lock);
        return NULL;
    }
    uint32_t w = k->hint;
    while (k->live[w] == ~0ull)
        w++; // ends: the chunk has room
    uint32_t bit = (uint32_t)__builtin_ctzll(~k->live[w]);
    uint32_t index = w * 64 + bit;
    k->live[w] |= 1ull << bit;
    k->hint = (uint16_t)w;
    bool fresh = index >= k->high;
    if (fresh)
        k->high = (uint16_t)(index + 1);
    if (++k->used == c->per_chunk)
        list_remove(&k->node);
    __atomic_store_n(&c->count, c->count + 1, __ATOMIC_RELAXED);
    uint8_t *p = (uint8_t *)(chunk_address(k) + (uint64_t)index * c->stride);
    uint32_t stride = c->stride;
    lock_release(&c->lock);
    if (!fresh) {
        poison_check(p, stride);
        memset(p, 0, stride);
    }
    return p;
}

static void cache_free(struct slab_cache *c, struct chunk *k, void *p)
{
    uint32_t offset = (uint32_t)((uint64_t)p - chunk_address(k));
    uint32_t index = (uint32_t)(((uint64_t)offset * c->inverse) >> 32);
    if (unlikely(index * c->stride != offset || index >= c->per_chunk))
        panic("slab: free of %p, which is not the start of an object", p);
    lock_take(&c->lock);
    uint64_t mask = 1ull << (index % 64);
    if (unlikely(!(k->live[index / 64] & mask)))
        panic("slab: double free of %p (cache %d)", p, (int)(c - arena->caches));
    poison_fill(p, c->stride);
    k->live[index / 64] &= ~mask;
    if (index / 64 < k->hint)
        k->hint = (uint16_t)(index / 64);
    if (k->used-- == c->per_chunk)
        list_push_front(&c->partial, &k->node);
    __atomic_store_n(&c->count, c->count - 1, __ATOMIC_RELAXED);
    lock_release(&c->lock);
}

void *slab_alloc(const struct slab_type *type)
{
    BUG_ON(!arena || (uint32_t)type->id >= SLAB_ID_COUNT || type->size == 0 ||
           type->size > OBJECT_MAX);
    return cache_alloc(&arena->caches[type->id], type->size);
}

void slab_free(const struct slab_type *type, void *p)
{
    if (!p)
        return;
    struct chunk *k = chunk_of(p);
    if (unlikely(k->owner != (uint16_t)type->id))
        panic("slab: free of %p as %s, but it is of cache %u", p, type->name, k->owner);
    cache_free(&arena->caches[type->id], k, p);
}

uint64_t slab_count(const struct slab_type *type)
{
    return arena ? __atomic_load_n(&arena->caches[type->id].count, __ATOMIC_RELAXED) : 0;
}

// Marks chunks [i, i + n) as a free run.
static void run_insert(uint64_t i, uint64_t n)
{
    struct chunk *head = &arena->chunks[i];
    for (uint64_t j = 0; j < n; j++)
        head[j].owner = OWNER_LARGE_FREE;
    head->run = (uint32_t)n;
    head[n - 1].run_head = (uint32_t)i;
    list_push_front(&arena->free_runs, &head->node);
}

// Takes n chunks from a free run, or draws them.
static struct chunk *run_take(uint64_t n)
{
    struct chunk *k;
    list_for_each (k, &arena->free_runs, node) {
        if (k->run < n)
            continue;
        list_remove(&k->node);
        if (k->run > n)
            run_insert(chunk_index(k) + n, k->run - n);
        return k;
    }
    return draw_chunks(n);
}

static void *large_alloc(uint64_t size)
{
    if (size > arena->limit)
        return NULL;
    uint64_t n = (size + CHUNK_SIZE - 1) / CHUNK_SIZE;
    lock_take(&arena->large_lock);
    struct chunk *k = run_take(n);
    if (k) {
        k->owner = OWNER_LARGE_HEAD;
        k->run = (uint32_t)n;
        for (uint64_t j = 1; j < n; j++)
            k[j].owner = OWNER_LARGE_BODY;
        __atomic_store_n(&arena->large_count, arena->large_count + 1, __ATOMIC_RELAXED);
    }
    lock_release(&arena->large_lock);
    return k ? (void *)chunk_address(k) : NULL;
}

static void large_free(struct chunk *k, void *p)
{
    if (chunk_address(k) != (uint64_t)p)
        panic("slab: free of %p, which is not the start of a block", p);
    // Only the caller knows the block, so its length can be read and its pages be dropped without the lock. Should the
    // host refuse, clearing it by hand keeps the promise that blocks are zero.
    uint64_t n = k->run;
    if (host_syscall3(SYS_madvise, (long)p, (long)(n * CHUNK_SIZE), MADV_DONTNEED) < 0)
        memset(p, 0, n * CHUNK_SIZE);
    lock_take(&arena->large_lock);
    if (k->owner != OWNER_LARGE_HEAD)
        panic("slab: double free of %p", p);
    uint64_t i = chunk_index(k);
    uint64_t end = i + n;
    if (end < arena->next_chunk && arena->chunks[end].owner == OWNER_LARGE_FREE) {
        list_remove(&arena->chunks[end].node);
        n += arena->chunks[end].run;
    }
    if (i > 0 && arena->chunks[i - 1].owner == OWNER_LARGE_FREE) {
        struct chunk *before = &arena->chunks[arena->chunks[i - 1].run_head];
        list_remove(&before->node);
        n += before->run;
        i = chunk_index(before);
    }
    run_insert(i, n);
    __atomic_store_n(&arena->large_count, arena->large_count - 1, __ATOMIC_RELAXED);
    lock_release(&arena->large_lock);
}

static uint32_t class_of(uint64_t size)
{
    return size <= 1u << CLASS_MIN_SHIFT
               ? 0
               : 64 - (uint32_t)__builtin_clzll(size - 1) - CLASS_MIN_SHIFT;
}

void *kmalloc(uint64_t size)
{
    BUG_ON(!arena);
    if (size == 0)
        return NULL;
    if (size > OBJECT_MAX)
        return large_alloc(size);
    uint32_t class = class_of(size);
    return cache_alloc(&arena->caches[SLAB_ID_COUNT + class], 1u << (class + CLASS_MIN_SHIFT));
}

void kfree(void *p)
{
    if (!p)
        return;
    struct chunk *k = chunk_of(p);
    uint16_t owner = k->owner;
    if (owner >= SLAB_ID_COUNT && owner < CACHE_COUNT)
        cache_free(&arena->caches[owner], k, p);
    else if (owner == OWNER_LARGE_HEAD)
        large_free(k, p);
    else
        panic("slab: kfree of %p, which is not from kmalloc (owner %u)", p, owner);
}

// Bytes that p can hold without moving.
static uint64_t block_room(const void *p)
{
    const struct chunk *k = chunk_of(p);
    if (k->owner >= SLAB_ID_COUNT && k->owner < CACHE_COUNT)
        return arena->caches[k->owner].stride;
    if (k->owner != OWNER_LARGE_HEAD)
        panic("slab: krealloc of %p, which is not from kmalloc (owner %u)", p, k->owner);
    return k->run * CHUNK_SIZE;
}

void *krealloc(void *p, uint64_t old_size, uint64_t size)
{
    if (!p)
        return kmalloc(size);
    if (size == 0) {
        kfree(p);
        return NULL;
    }
    uint64_t room = block_room(p);
    BUG_ON(old_size > room);
    if (size <= room && size > room / 4) {
        if (size > old_size)
            memset((uint8_t *)p + old_size, 0, size - old_size);
        return p;
    }
    void *q = kmalloc(size);
    if (!q)
        return NULL;
    memcpy(q, p, MIN(old_size, size));
    kfree(p);
    return q;
}

static char *dup_bytes(const char *s, uint64_t size)
{
    char *p = kmalloc(size + 1);
    if (p)
        memcpy(p, s, size);
    return p;
}

char *kstrndup(const char *s, uint64_t n)
{
    return dup_bytes(s, strnlen(s, n));
}

char *kstrdup(const char *s)
{
    return dup_bytes(s, strlen(s));
}
