// Futexes that the kernel has a hand in: those with priority inheritance, and robust lists. Plain
// waits and wakes never leave the stub. See futex-pi.c and futex-robust.c.
#pragma once

#include "kernel/task.h"

struct pi_request {
    uint64_t addr;
    bool shared;     // not FUTEX_PRIVATE_FLAG
    bool try_only;   // FUTEX_TRYLOCK_PI
    nsec_t deadline; // CLOCK_MONOTONIC, NSEC_MAX none
};
int64_t pi_futex_lock(struct task *t, const struct pi_request *r);
int64_t pi_futex_unlock(struct task *t, uint64_t addr, bool shared);
struct pi_requeue {
    uint64_t condition, lock; // addresses of the two words
    bool shared;
    uint32_t value;  // that the condition's word has to have
    uint32_t most;   // to be moved, beside the one that is woken
    nsec_t deadline; // of the wait
};
int64_t pi_futex_wait_requeue(struct task *t, const struct pi_requeue *r);
int64_t pi_futex_requeue(struct task *t, const struct pi_requeue *r);
int pi_futex_init(struct kernel *k);
void pi_futex_owner_gone(struct kernel *k,
                         uint32_t owner); // what thread `owner` held goes to the waiters

#define FUTEX_TID             0x3fffffffu
#define FUTEX_DIED            0x40000000u
#define FUTEX_WAITS           0x80000000u
#define ROBUST_LIST_HEAD_SIZE 24
