// The channel to the gofer, as nodes.c uses it.
#pragma once

#include "base/list.h"
#include "base/lock.h"
#include "fs/host-node.h"
#include "kernel/kernel.h"

struct task;

enum { CLIENT_BUFFERS = 4, FORGET_BATCH = 64 };

// A received message. Its buffer goes back by gofer_message_done().
struct gofer_message {
    struct gofer_message *next; // in a call's queue, or among the free ones
    int fd;                     // -1: none
    struct gofer_reply_view view;
    uint8_t data[GOFER_MESSAGE_MAX] __attribute__((aligned(8)));
};

// A request under way; lies on the caller's stack.
struct gofer_call {
    struct list node;  // client.calls
    uint32_t id;
    struct task *task; // NULL: a service thread, which sleeps on `word`
    _Atomic uint32_t word;
    struct gofer_message *first, **last; // arrived, not yet taken; GUARDED_BY(client.lock)
};

struct gofer_client {
    int fd; // immutable
    struct lock lock; // LOCK_RANK_GOFER
    uint32_t next_id;             // GUARDED_BY(lock)
    bool dead;                    // GUARDED_BY(lock)
    bool receiving;               // a caller is in recvmsg; GUARDED_BY(lock)
    struct list calls;            // GUARDED_BY(lock)
    struct gofer_message *free;   // GUARDED_BY(lock)
    uint32_t free_count;          // GUARDED_BY(lock)
    uint32_t forget_count;        // GUARDED_BY(lock)
    gofer_node_t forget[FORGET_BATCH];
    struct gofer_counts counts;   // single counters, relaxed

    struct lock fd_lock;          // LOCK_RANK_HOST_FD
    struct list lru;              // host_node.lru, youngest first; GUARDED_BY(fd_lock)
    uint32_t fd_count, fd_max;    // GUARDED_BY(fd_lock)
};

static inline struct gofer_client *the_client(void)
{
    return the_kernel()->gofer;
}

int gofer_client_init(struct kernel *k);
void gofer_client_main(struct kernel *k); // KERNEL_THREAD_GOFER
// Sends a request: header.op and arguments are set. 0, -EIO, -EINTR (killed), -ENOMEM.
int gofer_call_begin(struct gofer_client *c, struct gofer_call *call, struct gofer_request *header, const char *name,
                     uint64_t name_size, const void *data, uint64_t data_size);
// The next message that answers it. NULL with *error set.
struct gofer_message *gofer_call_next(struct gofer_client *c, struct gofer_call *call, int *error);
void gofer_call_end(struct gofer_client *c, struct gofer_call *call);
void gofer_message_done(struct gofer_client *c, struct gofer_message *m); // NULL is allowed; closes the descriptor left in it
// One request, one answer. On success *ret is the message; the result in it is >= 0.
int gofer_ask(struct gofer_request *header, const char *name, uint64_t name_size, const void *data, uint64_t data_size,
              struct gofer_message **ret);
void gofer_forget(struct gofer_client *c, gofer_node_t node);
