// Inside of pipes, shared by pipe.c (the ring, reading, writing) and pipe-open.c (making, opening, sizes, splice).
#pragma once

#include "base/lock.h"
#include "base/types.h"
#include "kernel/wait.h"

struct file;
struct task;

enum {
    PIPE_SLOTS_DEFAULT = 16,
    PIPE_MERGE = 1,  // a later write may add to this buffer
    PIPE_PACKET = 2, // one read takes all of it or drops the rest (O_DIRECT)
};

struct pipe_buffer {
    uint8_t *data; // a page
    uint16_t offset, size;
    uint8_t flags;
};

struct pipe {
    struct lock lock;      // LOCK_RANK_PIPE
    struct wait_queue wq;  // readers, writers, pollers, told apart by events
    struct wait_queue turn_wq; // who waits for a turn to end, or in open for the other side
    struct pipe_buffer *ring;  // GUARDED_BY(lock): slots [tail, head) hold data
    uint32_t slots;            // power of two; GUARDED_BY(lock), single reads without
    uint32_t head, tail;       // GUARDED_BY(lock), single reads without
    uint64_t bytes;            // in all buffers; GUARDED_BY(lock), single reads without
    uint8_t *area;             // page of slot n at n * PAGE_SIZE; NULL until a second page is needed
    uint8_t *small;            // one page, used as long as there is no area
    bool small_used;           // GUARDED_BY(lock)
    bool reading, writing;     // a turn: somebody copies from the front, or to behind the back, without the lock
    const struct task *splicer; // who has the reader's turn by pipe_read_begin(); GUARDED_BY(lock)
    uint32_t readers, writers; // open files; GUARDED_BY(lock), single reads without
    uint32_t reader_opens, writer_opens; // count up: fifo(7)'s open waits for a change
    uint32_t files;            // open files; GUARDED_BY(inode->lock)
    struct file *async[2];     // latest reading and writing file with O_ASYNC; GUARDED_BY(lock), no reference
};

#define PIPE_READABLE (EPOLLIN | EPOLLRDNORM)
#define PIPE_WRITABLE (EPOLLOUT | EPOLLWRNORM)

static inline bool pipe_full(const struct pipe *p)
{
    return p->head - p->tail >= p->slots;
}

// The calling thread gets the turn: 0, or -ERESTARTSYS when it has to die. lock held, dropped while it waits.
int pipe_turn_take(struct task *t, struct pipe *p, bool *turn);
void pipe_turn_end(struct pipe *p, bool *turn);
void pipe_consume_locked(struct pipe *p, uint64_t size);
int pipe_sleep(struct task *t, struct pipe *p, bool for_reading);
void pipe_wake(struct pipe *p, bool readers); // after a change: one side's sleepers, pollers and SIGIO
// Bytes that could go in now for a write of `size`: slots and the room of the last buffer. lock held.
uint64_t pipe_room_locked(const struct pipe *p, uint64_t size);
// Puts up to size bytes of kernel memory in. lock held, no writer's turn under way. -ENOMEM when no page is to be had.
int64_t pipe_put_locked(struct pipe *p, const void *data, uint64_t size, bool packet);
