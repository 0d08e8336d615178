// Internals of mm/: areas, and what several of its files need.
#pragma once

#include <linux/mman.h>
#include <sys/mman.h>

#include "mm/mm.h"

#define MM_MAX_MAP_COUNT 65530      // vm.max_map_count
#define MM_STACK_GUARD (256ull << PAGE_SHIFT) // free below a growing area (stack_guard_gap)
#define MM_STACK_SHOWN (132ull << 10)         // what a fresh stack looks like
#define GUEST_TOP 0x7ffffffff000ull // end of user addresses on x86_64; copies in may name the vDSO up there

// Constants that older headers of the host lack.
#ifndef MAP_ABOVE4G
#define MAP_ABOVE4G 0x80
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

// ---- copy.c ----
// Bytes moved, fewer at a bad address.
uint64_t copy_user_read(struct task *t, void *dst, uint64_t addr, uint64_t size);
uint64_t copy_user_write(struct task *t, uint64_t addr, const void *src, uint64_t size);
uint64_t copy_user_clear(struct task *t, uint64_t addr, uint64_t size);
// Room in the window for a result of exactly `size` bytes that is sure to arrive, or NULL.
void *copy_user_window(struct task *t, uint64_t addr, uint64_t size);

// ---- mm.c ----
// Like mm_access_ok(), for pages that the stub really has. False also when the map is being changed right now.
bool mm_access_hint(struct mm *mm, uint64_t addr, uint64_t size, bool write);

// ---- vma.c ---- (mm.lock held in all)
// Areas made beforehand, so that a change of the map can't run out of memory once the stub has made it.
struct vma_stock {
    struct vma *vma[3];
    unsigned count;
};
int vma_stock_fill(struct vma_stock *s, unsigned count);
struct vma *vma_stock_take(struct vma_stock *s);
void vma_stock_done(struct vma_stock *s);

// Areas taken out of a map, whose files are let go once mm.lock is free.
struct vma_graveyard {
    struct vma *first;
};
void vma_bury(struct vma_graveyard *g, struct vma *v);
void vma_graveyard_done(struct vma_graveyard *g); // mm.lock NOT held

struct vma *vma_find(struct mm *mm, uint64_t addr); // the first that ends above addr, or NULL
struct vma *vma_at(struct mm *mm, uint64_t addr);   // the one that contains addr, or NULL
struct vma *vma_first(struct mm *mm);
struct vma *vma_next(const struct vma *v);
struct vma *vma_prev(const struct vma *v);

// Takes v into the map; merges it with its neighbours where Linux would. v belongs to the map, or is freed. Returns the
// area that now covers v's range. What merging makes superfluous goes to g.
struct vma *vma_insert(struct mm *mm, struct vma *v, struct vma_graveyard *g);
// Cuts the areas at addr, so that one begins there. Takes from stock only when an area straddles addr.
void vma_split(struct mm *mm, uint64_t addr, struct vma_stock *stock);
// Takes [start, end) out of the map. Needs one from stock when the range lies inside one area.
void vma_remove_range(struct mm *mm, uint64_t start, uint64_t end, struct vma_stock *stock, struct vma_graveyard *g);
// Merges the areas that touch [start, end) with each other and their neighbours.
void vma_merge_range(struct mm *mm, uint64_t start, uint64_t end, struct vma_graveyard *g);
bool vma_straddles(struct mm *mm, uint64_t addr); // addr lies inside an area, not at its start
uint64_t vma_count_overlap(struct mm *mm, uint64_t start, uint64_t end); // pages of [start, end) in the map

// Call around a change of a vma's bounds, prot or flags while it is in the map.
void vma_account(struct mm *mm, const struct vma *v, bool add);

// A free range of `size` bytes, from the top down below mm.mmap_base, or inside [low, high). 0: none.
uint64_t vma_find_gap(struct mm *mm, uint64_t size, uint64_t align);
uint64_t vma_find_gap_in(struct mm *mm, uint64_t size, uint64_t low, uint64_t high, uint64_t align, bool bottom_up);
bool vma_gap_is_free(struct mm *mm, uint64_t addr, uint64_t size); // guards of growing areas respected

struct vma *vma_alloc(void);
void vma_free(struct vma *v); // neither in a map nor with references

static inline bool vma_is_data(uint32_t flags, int prot)
{
    return (prot & PROT_WRITE) && !(flags & (VMA_SHARED | VMA_GROWSDOWN));
}

// Whether stores may reach the file, now or after an mprotect.
static inline bool vma_may_write(const struct vma *v)
{
    return (v->flags & VMA_SHARED) && (v->max_prot & PROT_WRITE);
}

// ---- map.c ---- (mm.lock held)
// RLIMIT_AS and RLIMIT_DATA for `pages` more.
bool mm_may_expand(const struct mm_target *target, uint64_t pages, bool data);
// The overcommit heuristic: refuses what no machine like this one could hold.
bool mm_enough_memory(uint64_t pages);
// Whether `pages` more may be locked: 0, or -EAGAIN.
int mm_lock_limit(const struct mm_target *target, uint64_t pages);
// Queues the mapping of [addr, addr+size) from v's description; source is for a file. Number of commands, or an errno.
struct map_source;
int mm_queue_map(const struct mm_target *target, const struct vma *v, const struct map_source *source);
int mm_commit(const struct mm_target *target, int64_t result);
// After a failed commit nobody knows what the stub has in the range: takes it out of the map and the stub.
void mm_abandon_range(const struct mm_target *target, uint64_t start, uint64_t end, struct vma_stock *stock,
                      struct vma_graveyard *g);
int mm_unmap_locked(const struct mm_target *target, uint64_t addr, uint64_t size, struct vma_graveyard *g);
// Checks that an address and a size name a piece of the guest's address space.
bool mm_range_ok(uint64_t addr, uint64_t size);

// The guest was seen to use its stack down to addr (mm.lock held).
void mm_grow_shown_stack(struct mm *mm, uint64_t addr);
