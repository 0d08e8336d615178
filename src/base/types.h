// Basic types and macros that every layer may use.
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

// An address in a guest's address space. It is a structure so that it can't be dereferenced by mistake: only
// copy_in(), copy_out() and their kin (mm/copy.h) follow it.
typedef struct {
    uint64_t a;
} uaddr_t;

#define UADDR(x) ((uaddr_t){(uint64_t)(x)})
#define UADDR_NULL ((uaddr_t){0})

#define PAGE_SIZE 4096ul
#define PAGE_SHIFT 12
#define PAGE_DOWN(x) ((uint64_t)(x) & ~(PAGE_SIZE - 1))
// Callers check for overflow first where x comes from a guest: PAGE_UP(~0) is 0.
#define PAGE_UP(x) PAGE_DOWN((uint64_t)(x) + PAGE_SIZE - 1)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define BIT(n) (1ull << (n))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define MUST_USE __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))

// Nanoseconds; absolute values are of CLOCK_MONOTONIC unless a name says otherwise.
typedef int64_t nsec_t;
#define NSEC_PER_SEC 1000000000ll
#define NSEC_MAX INT64_MAX // "no deadline"
