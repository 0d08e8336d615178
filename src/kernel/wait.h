// Waiting. A wait queue holds entries; wake-ups call each entry's function (found by its kind in a constant table, so that
// no code pointer lies in the arena). A task sleeps on its own word; whoever wakes it sets the word first, so no wake-up is
// lost between the check of a condition and the sleep.
//
//     struct wait_entry w;
//     wait_entry_init(&w, t);
//     wait_add(&pipe->wq, &w);
//     for (;;) {
//         wait_arm(t);                   // from here a wake-up makes the next sleep return at once
//         if (condition) break;
//         ret = wait_sleep(t, deadline); // 0: woken, look again; -ETIMEDOUT; -ERESTARTSYS: a signal is pending
//         if (ret < 0) break;
//     }
//     wait_remove(&w);
//
// wait_event() wraps that. Entries live on the sleeper's stack: nothing of them matters at a checkpoint.
#pragma once

#include "base/list.h"
#include "base/lock.h"
#include "base/types.h"

struct task;

// Codes that never leave the dispatcher (Linux: include/linux/errno.h).
#define ERESTARTSYS 512           // restart if SA_RESTART or no handler runs, else EINTR
#define ERESTARTNOINTR 513        // always restart
#define ERESTARTNOHAND 514        // restart only if no handler runs
#define ERESTART_RESTARTBLOCK 516 // as NOHAND, with task->restart telling where to go on

struct wait_queue {
    struct lock lock;    // LOCK_RANK_WAIT_QUEUE
    struct list entries; // GUARDED_BY(lock)
};

enum wait_kind {
    WAIT_KIND_TASK,  // wakes entry->task
    WAIT_KIND_EPOLL, // container is an epoll item (vfs/epoll.c)
    WAIT_KIND_COUNT
};

struct wait_entry {
    struct list node;
    struct wait_queue *queue; // NULL: not queued
    struct task *task;
    uint32_t events; // poll events of interest; 0: every wake-up
    uint8_t kind;    // enum wait_kind
    bool exclusive;  // wake_up_one() stops after one of these
};

void wait_queue_init(struct wait_queue *q);
void wait_entry_init(struct wait_entry *w, struct task *t);
void wait_add(struct wait_queue *q, struct wait_entry *w);
void wait_remove(struct wait_entry *w); // harmless when not queued

// WAIT_KIND_EPOLL (vfs/epoll.c): called with the queue's lock held. Whom to wake for it is chained and left to
// epoll_wake_chain(), called without that lock. True when somebody waits on the epoll (for exclusive entries).
struct epoll;
bool epoll_entry_wake(struct wait_entry *w, uint32_t events, struct epoll **chain);
void epoll_wake_chain(struct epoll *chain);

void wait_arm(struct task *t);
// deadline: CLOCK_MONOTONIC ns, NSEC_MAX for none.
int wait_sleep(struct task *t, nsec_t deadline);
int wait_sleep_killable(struct task *t, nsec_t deadline); // only a fatal signal ends it
int wait_sleep_stopped(struct task *t); // a stopped thread: only task_wake() ends it

// Wake-ups: events are EPOLL* bits that have become true (0: unspecified, everybody).
void wake_up_all(struct wait_queue *q, uint32_t events);
void wake_up_one(struct wait_queue *q, uint32_t events); // all non-exclusive ones, and one exclusive
bool wait_queue_active(const struct wait_queue *q);
void task_wake(struct task *t); // from any thread, locks up to LOCK_RANK_TASK may be held

#define wait_event(t, q, cond, deadline)                                                                               \
    ({                                                                                                                 \
        struct wait_entry w_;                                                                                          \
        int ret_ = 0;                                                                                                  \
        wait_entry_init(&w_, (t));                                                                                     \
        wait_add((q), &w_);                                                                                            \
        for (;;) {                                                                                                     \
            wait_arm(t);                                                                                               \
            if (cond)                                                                                                  \
                break;                                                                                                 \
            ret_ = wait_sleep((t), (deadline));                                                                        \
            if (ret_ < 0)                                                                                              \
                break;                                                                                                 \
        }                                                                                                              \
        wait_remove(&w_);                                                                                              \
        ret_;                                                                                                          \
    })
