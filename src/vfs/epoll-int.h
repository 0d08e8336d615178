// Inside of epoll: epoll.c (items, ready list, waiting) and epoll-nest.c (one epoll watching another).
#pragma once

#include "base/list.h"
#include "base/lock.h"
#include "base/rbtree.h"
#include "base/refcount.h"
#include "kernel/wait.h"

struct file;
struct thread_group;

struct epoll {
    refcount_t refs;        // its file, each item, a wake-up under way
    struct lock lock;       // LOCK_RANK_EPOLL
    struct rb_tree items;   // GUARDED_BY(lock): by file and descriptor
    struct lock ready_lock; // LOCK_RANK_EPOLL_READY
    struct list ready;      // GUARDED_BY(ready_lock): items that may be ready
    uint32_t ready_count;   // GUARDED_BY(ready_lock), single reads without
    bool wake_chained;      // GUARDED_BY(ready_lock): some waker will look at both queues
    struct epoll *wake_next; // of who chained it
    struct wait_queue wq;      // epoll_wait
    struct wait_queue poll_wq; // pollers of the epoll itself
    struct file *file;      // no reference, NULL once released; GUARDED_BY(kernel.epoll_nest_lock)
    struct list nested;     // items that watch epolls; GUARDED_BY(kernel.epoll_nest_lock)
    uint64_t generation;    // last walk that came here, and what it found; GUARDED_BY(kernel.epoll_nest_lock)
    uint32_t depth;
};

struct epoll_item {
    refcount_t refs;
    struct rb_node node;      // epoll.items
    struct list file_node;    // file.epoll_items; GUARDED_BY(file->inode->lock)
    struct list nested_node;  // epoll.nested
    struct list ready_node;   // epoll.ready
    struct wait_entry wait;   // on the file's queue
    struct epoll *ep;         // reference
    struct file *file;        // no reference: the item goes before the file
    int fd;                   // immutable
    uint32_t uid;             // whose account it is on
    uint32_t events;          // GUARDED_BY(ep->ready_lock); only private bits left: disabled (EPOLLONESHOT)
    uint64_t data;            // GUARDED_BY(ep->ready_lock)
    bool ready;               // on the ready list; GUARDED_BY(ep->ready_lock)
    bool dead;                // GUARDED_BY(ep->ready_lock)
    bool orphan;              // its file is being released by another thread; GUARDED_BY(ep->lock)
    struct thread_group *group; // reference: whose queue a signalfd's entry is on
};

struct epoll *epoll_of(const struct file *f); // NULL: not an epoll
// May ep watch target, an epoll? 0 or -ELOOP. kernel.epoll_nest_lock held.
int epoll_check_nesting(struct epoll *ep, struct epoll *target);
