// Readiness of files: what poll, select and epoll are made of.
#pragma once

#include "base/types.h"
#include "kernel/wait.h"
#include "vfs/file.h"

#define POLL_ALWAYS 0x145u // EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM: files that never make anybody wait
#define POLL_ERRORS 0x18u  // EPOLLERR | EPOLLHUP: what poll and epoll add to what is asked for

static inline uint32_t file_poll(struct file *f)
{
    const struct file_ops *ops = file_ops(f);
    return ops->poll ? ops->poll(f) : POLL_ALWAYS;
}

static inline struct wait_queue *file_poll_queue(struct file *f)
{
    const struct file_ops *ops = file_ops(f);
    return ops->poll_queue ? ops->poll_queue(f) : NULL;
}

struct poll_target {
    struct file *file; // reference; NULL: no such descriptor (revents is set already), or one to be skipped
    uint32_t events;   // EPOLL* bits; never 0 with a file
    uint32_t revents;
    struct wait_entry wait;
};

// Waits until one of the targets is ready: how many have revents, 0 at the deadline (0: don't wait), -ERESTARTSYS.
int64_t poll_targets(struct task *t, struct poll_target *targets, uint32_t count, nsec_t deadline);
// Drops the files.
void poll_targets_done(struct poll_target *targets, uint32_t count);
