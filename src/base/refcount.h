// Reference counts that trap on overflow and on use after zero instead of wrapping.
#pragma once

#include "base/types.h"

typedef struct {
    _Atomic uint32_t n;
} refcount_t;

static inline void refcount_init(refcount_t *r, uint32_t n)
{
    __atomic_store_n((uint32_t *)&r->n, n, __ATOMIC_RELAXED);
}

static inline uint32_t refcount_read(const refcount_t *r)
{
    return __atomic_load_n((const uint32_t *)&r->n, __ATOMIC_ACQUIRE);
}

static inline void refcount_get(refcount_t *r)
{
    uint32_t old = __atomic_fetch_add((uint32_t *)&r->n, 1, __ATOMIC_RELAXED);
    if (unlikely(old == 0 || old >= INT32_MAX))
        __builtin_trap();
}

// Takes a reference only if the count isn't zero: for lookups that race with the last put.
static inline bool MUST_USE refcount_get_unless_zero(refcount_t *r)
{
    uint32_t old = __atomic_load_n((uint32_t *)&r->n, __ATOMIC_RELAXED);
    do {
        if (old == 0)
            return false;
        if (unlikely(old >= INT32_MAX))
            __builtin_trap();
    } while (!__atomic_compare_exchange_n((uint32_t *)&r->n, &old, old + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return true;
}

// True when this was the last reference: the caller then frees the object.
static inline bool MUST_USE refcount_put(refcount_t *r)
{
    uint32_t old = __atomic_fetch_sub((uint32_t *)&r->n, 1, __ATOMIC_ACQ_REL);
    if (unlikely(old == 0))
        __builtin_trap();
    return old == 1;
}
