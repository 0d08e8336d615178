// The kernel's heap: one arena of address space, mapped once at a base that is drawn at random at boot, and carved into
// 64 KiB chunks. A chunk belongs to one typed slab cache for ever (memory that held one type never holds another), or to
// one power-of-two size class of kmalloc, or to a large kmalloc. Everything is returned zeroed.
//
// The arena is mapped NORESERVE up to its limit, so growing makes no host call; pages are given back with
// madvise(DONTNEED) only for large blocks. Out of memory is NULL: callers return -ENOMEM.
//
// Types: each cache is described by a constant `struct slab_type` in the file that owns the type; its id comes from
// base/slab-ids.h (one line per type; ids are stable within a build).
#pragma once

#include "base/slab-ids.h"
#include "base/types.h"

struct slab_type {
    enum slab_id id;
    const char *name;
    uint32_t size; // bytes of one object, at most 32 KiB
};

#define SLAB_TYPE(var, ID, structure)                                                                                  \
    static const struct slab_type var = {.id = (ID), .name = #structure, .size = sizeof(structure)}

// Maps the arena: limit bytes at base (0: at an address drawn from getrandom in the window reserved for it). Returns 0 or
// a negative errno. Called once, before any thread starts.
int arena_init(uint64_t base, uint64_t limit);
uint64_t arena_base(void);
uint64_t arena_used(void); // bytes of chunks handed out
bool arena_contains(const void *p);

void *slab_alloc(const struct slab_type *type) MUST_USE;
void slab_free(const struct slab_type *type, void *p); // NULL is allowed
uint64_t slab_count(const struct slab_type *type);     // live objects

void *kmalloc(uint64_t size) MUST_USE; // zeroed; size 0 gives NULL
void *krealloc(void *p, uint64_t old_size, uint64_t size) MUST_USE;
void kfree(void *p); // NULL is allowed
char *kstrdup(const char *s) MUST_USE;
char *kstrndup(const char *s, uint64_t n) MUST_USE;
