// Overflow-checked arithmetic on sizes, offsets and counts that a guest supplies. Each returns false on overflow and
// leaves *out untouched.
#pragma once

#include "base/types.h"

static inline bool MUST_USE add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool MUST_USE add_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool MUST_USE mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

// Rounds up to a whole page; false when the result doesn't fit.
static inline bool MUST_USE page_up_u64(uint64_t a, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, PAGE_SIZE - 1, &r))
        return false;
    *out = PAGE_DOWN(r);
    return true;
}
