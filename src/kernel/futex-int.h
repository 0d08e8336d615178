// What futex-pi.c and futex-requeue.c share: the table of waiters.
#pragma once

#include "kernel/futex.h"

#define PI_BUCKETS 64u

struct futex_key {
    uint64_t object; // address space, or device and inode of a shared file
    uint64_t inode;
    uint64_t offset;
};

// Lies on the sleeper's stack, which takes it out of its bucket before it goes on.
struct pi_waiter {
    struct list node; // pi_bucket.waiters
    struct futex_key key;
    struct task *task;
    uint64_t addr;
    struct pi_bucket *_Atomic bucket; // changes with both buckets locked
    uint32_t owner;    // thread id in the word when it began to wait, or was last changed
    bool granted;      // the word is ours; GUARDED_BY(bucket lock)
    bool orphaned;     // the owner died and the word could not be written
    bool on_condition; // waits for FUTEX_CMP_REQUEUE_PI; pi_key and pi_addr name the target
    struct futex_key pi_key;
    uint64_t pi_addr;
};

struct pi_bucket {
    struct lock lock;    // LOCK_RANK_PI_FUTEX
    struct list waiters; // GUARDED_BY(lock)
};

struct pi_table {
    struct pi_bucket buckets[PI_BUCKETS];
};

int pi_make_key(struct task *t, uint64_t addr, bool shared, struct futex_key *key);
bool pi_key_equal(const struct futex_key *a, const struct futex_key *b);
struct pi_bucket *pi_bucket_of(struct kernel *k, const struct futex_key *key);
struct pi_waiter *pi_first_waiter_locked(struct pi_bucket *b, const struct futex_key *key);
bool pi_read_word(struct mm *mm, uint64_t addr, uint32_t *word);
bool pi_write_word(struct mm *mm, uint64_t addr, uint32_t word);
// Sleeps until w has its word, and takes w off. 0, -ETIMEDOUT, -ERESTARTSYS, -ESRCH (orphaned).
int pi_sleep(struct pi_waiter *w, nsec_t deadline);
