// Readiness of host descriptors: one thread waits for all of them and wakes queues.
//
// A descriptor is watched by a struct host_watch. Nothing is asked of the host until somebody waits: host_watch_arm() asks for one
// notification, and when it comes the watch's queue is woken with the events. Waiting for a descriptor is thus waiting on a queue,
// which signals and time-outs interrupt as usual:
//
//     wait_add(&w->wq, &entry);
//     wait_arm(t);
//     host_watch_arm(w, EPOLLIN);
//     if (!(host_fd_poll(w->fd) & EPOLLIN)) wait_sleep(t, deadline);
#pragma once

#include "base/lock.h"
#include "base/types.h"
#include "kernel/wait.h"

struct kernel;

enum host_watch_kind {
    HOST_WATCH_QUEUE, // wakes the queue
    HOST_WATCH_GOFER, // the gofer's end is gone: the sandbox ends
};

struct host_watch {
    int fd;
    uint8_t kind;          // enum host_watch_kind
    bool always_ready;     // the host cannot wait for it: a regular file
    uint32_t slot;         // in host_events.slots; immutable while watched
    uint32_t armed;        // events asked for, GUARDED_BY(host_events.lock)
    struct wait_queue wq;
};

enum { HOST_WATCH_MAX = 64, HOST_IO_BUFFERS = 8 };

struct host_events {
    int epoll;
    struct lock lock;                            // LOCK_RANK_OBJECT
    struct host_watch *slots[HOST_WATCH_MAX];    // GUARDED_BY(lock)
    uint32_t generations[HOST_WATCH_MAX];        // GUARDED_BY(lock)
    _Atomic(void *) buffers[HOST_IO_BUFFERS];    // fs/host-io.h: buffers that nobody uses now
};

// Before the filter: makes what needs a call that is not on the list. 0, -ENOMEM or the host's error.
int host_events_init(struct kernel *k);
// The thread's function (kernel/threads.c); watches the gofer's channel, too.
_Noreturn void host_events_main(struct kernel *k);

// 0, -ENOSPC (too many), or the host's error. EPERM of the host (a regular file) makes it always ready and is no error.
int host_watch_add(struct host_watch *w, int fd, enum host_watch_kind kind);
void host_watch_remove(struct host_watch *w);
// Asks for one notification of any of events (EPOLL*), hang-up and error included. Harmless when it is asked for already.
void host_watch_arm(struct host_watch *w, uint32_t events);
// EPOLL* bits that hold now, by a poll that doesn't wait.
uint32_t host_fd_poll(int fd);
