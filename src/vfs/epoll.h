// Event polls: epoll(7), for the system calls.
#pragma once

#include "base/types.h"
#include "kernel/wait.h"
#include "vfs/file.h"

struct kernel;

struct epoll_request { // struct epoll_event
    uint32_t events;
    uint64_t data;
} __attribute__((packed));
_Static_assert(sizeof(struct epoll_request) == 12, "struct epoll_event is 12 bytes on x86_64");

#define EPOLL_EVENTS_MAX (INT32_MAX / (int)sizeof(struct epoll_request))

struct file *epoll_create_file(void); // NULL: out of memory
// epoll_ctl(2) without the look-ups: ep is known to be an epoll's file.
int epoll_add(struct task *t, struct file *ep, struct file *target, int fd, const struct epoll_request *r);
int epoll_modify(struct task *t, struct file *ep, struct file *target, int fd, const struct epoll_request *r);
int epoll_delete(struct task *t, struct file *ep, struct file *target, int fd);
// Events copied out, 0 at the deadline (0: don't wait), -EINTR, -EFAULT.
int64_t epoll_wait_events(struct task *t, struct file *ep, uaddr_t events, int max, nsec_t deadline);
