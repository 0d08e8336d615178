// Pipes: the ring of buffers, reading, writing, polling. Opening and sizes are in pipe-open.c. pipe(7).
//
// A pipe has slots, each of one page; a write opens a slot for each page and may first fill up the last buffer. As on Linux
// the pipe is full when all slots are used, however little each holds. Until a second page is needed the one page `small`
// serves; then an area is made in which slot n has page n, so that neighbouring full slots are contiguous and one copy moves
// many of them.
//
// Locking: pipe.lock guards all of it, and no copy to or from a guest runs under it. Small transfers go through the slot's
// window (mm/copy.h), which is kernel memory, so they are one memcpy under the lock. Others take a turn: `reading` gives one
// thread the front buffers, `writing` the free slots behind the back, while it copies without the lock. Whatever happens to
// the copy, only bytes that were moved are consumed or published. Turns are short; who waits for one is woken by turn_wq.
// A write of at most PIPE_BUF bytes goes in under one hold of the lock, so it is never mixed with another.
//
// DEVIATION: times of the inode change for FIFOs only, not for pipes without a name.
#include "vfs/pipe.h"

#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "base/slab.h"
#include "mm/copy.h"
#include "vfs/pipe-int.h"
#include "vfs/vfs-int.h"

// Transfers up to this size try the window first.
#define WINDOW_TRANSFER 8192u

// ---- Turns and sleeping ----

int pipe_turn_take(struct task *t, struct pipe *p, bool *turn)
{
    while (unlikely(*turn)) {
        struct wait_entry w;
        int ret = 0;
        lock_release(&p->lock);
        wait_entry_init(&w, t);
        wait_add(&p->turn_wq, &w);
        wait_arm(t);
        if (__atomic_load_n(turn, __ATOMIC_SEQ_CST))
            ret = wait_sleep_killable(t, NSEC_MAX);
        wait_remove(&w);
        lock_take(&p->lock);
        if (ret < 0 && *turn)
            return ret;
    }
    return 0;
}

void pipe_turn_end(struct pipe *p, bool *turn)
{
    __atomic_store_n(turn, false, __ATOMIC_SEQ_CST);
    wake_up_all(&p->turn_wq, 0);
}

int pipe_sleep(struct task *t, struct pipe *p, bool for_reading)
{
    struct wait_entry w;
    int ret = 0;
    wait_entry_init(&w, t);
    w.exclusive = true;
    w.events = (for_reading ? PIPE_READABLE : PIPE_WRITABLE) | EPOLLHUP | EPOLLERR;
    wait_add(&p->wq, &w);
    for (;;) {
        wait_arm(t);
        if (for_reading ? p->head != p->tail || !p->writers : !pipe_full(p) || !p->readers)
            break;
        ret = wait_sleep(t, NSEC_MAX);
        if (ret < 0)
            break;
    }
    wait_remove(&w);
    // The one wake-up may have come to a thread that leaves for a signal: pass it on.
    if (ret < 0)
        pipe_wake(p, for_reading);
    return ret;
}

void pipe_wake(struct pipe *p, bool readers)
{
    if (readers ? p->head != p->tail : !pipe_full(p))
        wake_up_one(&p->wq, readers ? PIPE_READABLE : PIPE_WRITABLE);
    if (unlikely(p->async[!readers] != NULL)) {
        lock_take(&p->lock);
        struct file *f = p->async[!readers];
        if (f && !refcount_get_unless_zero(&f->refs))
            f = NULL;
        lock_release(&p->lock);
        if (f) {
            file_async_notify(f, readers ? PIPE_READABLE : PIPE_WRITABLE);
            file_unref(f);
        }
    }
}

// ---- The ring; lock held ----

static struct pipe_buffer *slot(const struct pipe *p, uint32_t n)
{
    return &p->ring[n & (p->slots - 1)];
}

// The last buffer, if a write of `size` bytes may be added to it.
static struct pipe_buffer *mergeable(const struct pipe *p, uint64_t size)
{
    if (p->head == p->tail)
        return NULL;
    struct pipe_buffer *b = slot(p, p->head - 1);
    return (b->flags & PIPE_MERGE) && b->offset + b->size + size <= PAGE_SIZE ? b : NULL;
}

static uint8_t *slot_page(struct pipe *p, uint32_t n)
{
    if (!p->area) {
        if (!p->small_used && p->small) {
            p->small_used = true;
            return p->small;
        }
        p->area = kmalloc(p->slots * PAGE_SIZE);
        if (!p->area)
            return NULL;
    }
    return p->area + (n & (p->slots - 1)) * PAGE_SIZE;
}

static void drop_front(struct pipe *p)
{
    struct pipe_buffer *b = slot(p, p->tail);
    if (b->data == p->small)
        p->small_used = false;
    *b = (struct pipe_buffer){0};
    p->tail++;
    // Start over at the first page, which is warm; not while somebody knows places by number.
    if (p->head == p->tail && !p->writing && !p->reading)
        p->head = p->tail = 0;
}

void pipe_consume_locked(struct pipe *p, uint64_t size)
{
    while (size && p->head != p->tail) {
        struct pipe_buffer *b = slot(p, p->tail);
        uint64_t n = MIN(size, b->size);
        b->offset += (uint16_t)n;
        b->size -= (uint16_t)n;
        p->bytes -= n;
        size -= n;
        if (b->size == 0)
            drop_front(p);
    }
}

uint64_t pipe_room_locked(const struct pipe *p, uint64_t size)
{
    uint64_t room = (uint64_t)(p->slots - (p->head - p->tail)) * PAGE_SIZE;
    uint64_t first = size & (PAGE_SIZE - 1);
    if (first && mergeable(p, first))
        room += first;
    return room;
}

int64_t pipe_put_locked(struct pipe *p, const void *data, uint64_t size, bool packet)
{
    uint64_t done = 0, first = size & (PAGE_SIZE - 1);
    struct pipe_buffer *b = first && !packet ? mergeable(p, first) : NULL;
    if (b) {
        memcpy(b->data + b->offset + b->size, data, first);
        b->size += (uint16_t)first;
        p->bytes += first;
        done = first;
    }
    while (done < size && !pipe_full(p)) {
        uint8_t *page = slot_page(p, p->head);
        if (!page)
            return done ? (int64_t)done : -ENOMEM;
        uint64_t n = MIN(size - done, PAGE_SIZE);
        memcpy(page, (const uint8_t *)data + done, n);
        *slot(p, p->head) = (struct pipe_buffer){
            .data = page, .size = (uint16_t)n, .flags = packet ? PIPE_PACKET : PIPE_MERGE};
        p->bytes += n;
        done += n;
        __atomic_store_n(&p->head, p->head + 1, __ATOMIC_SEQ_CST);
    }
    return (int64_t)done;
}

// Copies up to size bytes from the front, takes them out, and says how many. A packet ends it.
static uint64_t take_locked(struct pipe *p, uint8_t *dst, uint64_t size)
{
    uint64_t done = 0;
    while (done < size && p->head != p->tail) {
        struct pipe_buffer *b = slot(p, p->tail);
        uint64_t n = MIN(size - done, b->size);
        bool packet = b->flags & PIPE_PACKET;
        memcpy(dst + done, b->data + b->offset, n);
        done += n;
        pipe_consume_locked(p, packet ? b->size : n);
        if (packet)
            break;
    }
    return done;
}

// Front bytes that lie side by side, at most max; stops at a packet's end.
static uint64_t front_run(const struct pipe *p, uint64_t max, const uint8_t **ret)
{
    const struct pipe_buffer *b = slot(p, p->tail);
    uint64_t size = MIN(b->size, max);
    *ret = b->data + b->offset;
    for (uint32_t n = p->tail + 1; n != p->head && size < max && !(b->flags & PIPE_PACKET); n++) {
        const struct pipe_buffer *next = slot(p, n);
        if (next->data + next->offset != *ret + size || (next->flags & PIPE_PACKET))
            break;
        size = MIN(size + next->size, max);
    }
    return size;
}

// ---- Reading ----

// Through the reader's turn: copies of any size, with the lock dropped. lock held on entry and return.
static int64_t read_by_turn(struct pipe *p, struct uio *u, bool *ret_packet, bool *ret_was_full)
{
    int64_t done = 0;
    p->reading = true;
    while (u->remaining && p->head != p->tail) {
        const uint8_t *data;
        bool packet = slot(p, p->tail)->flags & PIPE_PACKET;
        uint64_t n = front_run(p, u->remaining, &data);
        lock_release(&p->lock);
        int64_t r = uio_put(u, data, n);
        lock_take(&p->lock);
        if (r < 0) {
            done = done ? done : r;
            break;
        }
        *ret_was_full |= pipe_full(p); // only now: a writer may have filled it while the lock was free
        pipe_consume_locked(p, packet ? slot(p, p->tail)->size : (uint64_t)r);
        done += r;
        *ret_packet = packet;
        if (packet || (uint64_t)r < n)
            break;
    }
    pipe_turn_end(p, &p->reading);
    return done;
}

// What is there now: bytes, 0 at the end, -EAGAIN when there is nothing yet. Whether writers have to hear of it goes to
// *ret_was_full.
static int64_t read_available(struct task *t, struct pipe *p, struct uio *u, bool *ret_was_full)
{
    int64_t done = 0;
    bool packet = false;
    lock_take(&p->lock);
    for (;;) {
        int ret = pipe_turn_take(t, p, &p->reading);
        if (ret < 0) {
            done = done ? done : ret;
            break;
        }
        if (p->head == p->tail) {
            if (!done && p->writers)
                done = -EAGAIN;
            break;
        }
        uint64_t asked = MIN(MIN(p->bytes, u->remaining), WINDOW_TRANSFER);
        // Looking at the map for the window takes locks of a lower rank.
        lock_release(&p->lock);
        uint8_t *dst = u->remaining > WINDOW_TRANSFER && u->task && p->bytes > WINDOW_TRANSFER
                           ? NULL
                           : uio_put_direct(u, &asked);
        lock_take(&p->lock);
        if ((ret = pipe_turn_take(t, p, &p->reading)) < 0) {
            if (dst)
                uio_put_done(u, 0, asked);
            done = done ? done : ret;
            break;
        }
        int64_t n;
        if (dst) {
            packet = p->head != p->tail && (slot(p, p->tail)->flags & PIPE_PACKET);
            *ret_was_full |= pipe_full(p);
            n = (int64_t)take_locked(p, dst, asked);
            uio_put_done(u, (uint64_t)n, asked);
        } else {
            n = read_by_turn(p, u, &packet, ret_was_full);
        }
        if (n < 0) {
            done = done ? done : n;
            break;
        }
        done += n;
        if (packet || u->remaining == 0)
            break;
    }
    lock_release(&p->lock);
    return done;
}

static int64_t pipe_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct pipe *p = f->priv;
    struct task *t = current_task();
    bool was_full = false, slept = false;
    int64_t ret;
    if (u->remaining == 0)
        return 0;
    for (;;) {
        ret = read_available(t, p, u, &was_full);
        if (ret != -EAGAIN || (f->flags & O_NONBLOCK) || (u->flags & UIO_NOWAIT))
            break;
        slept = true;
        ret = pipe_sleep(t, p, true);
        if (ret < 0)
            break;
    }
    // Only real edges are told, since an edge-triggered epoll counts every wake-up as one.
    if (ret > 0) {
        if (was_full)
            pipe_wake(p, false);
        if (slept)
            pipe_wake(p, true); // what is left is for the next exclusive sleeper
        if (f->inode->type != INODE_ANON)
            file_accessed(f);
    }
    return ret;
}

// ---- Writing ----

// Through the writer's turn: straight into the free slots. lock held on entry and return; at least one slot is free.
static int64_t write_by_turn(struct pipe *p, struct uio *u)
{
    if (!p->area && !(p->area = kmalloc(p->slots * PAGE_SIZE)))
        return -ENOMEM;
    uint32_t first = p->head & (p->slots - 1);
    uint32_t free = MIN(p->slots - (p->head - p->tail), p->slots - first);
    uint64_t size = MIN(u->remaining, (uint64_t)free * PAGE_SIZE);
    p->writing = true;
    lock_release(&p->lock);
    int64_t r = uio_get(u, p->area + first * PAGE_SIZE, size);
    lock_take(&p->lock);
    for (int64_t done = 0; done < r;) {
        uint64_t n = MIN((uint64_t)(r - done), PAGE_SIZE);
        *slot(p, p->head) =
            (struct pipe_buffer){.data = p->area + (p->head & (p->slots - 1)) * PAGE_SIZE,
                                 .size = (uint16_t)n,
                                 .flags = PIPE_MERGE};
        p->bytes += n;
        done += (int64_t)n;
        __atomic_store_n(&p->head, p->head + 1, __ATOMIC_SEQ_CST);
    }
    pipe_turn_end(p, &p->writing);
    return r;
}

// At most one page: staged in the window or on the stack, then put in whole under the lock. -EAGAIN: no room.
static int64_t write_small(struct task *t, struct pipe *p, struct uio *u, uint64_t size, bool packet)
{
    uint8_t stage[PAGE_SIZE];
    uint64_t n = size;
    const void *data = uio_get_direct(u, &n);
    bool direct = data && n == size;
    if (!direct) {
        int64_t r = uio_get(u, stage, size);
        if (r < 0 || (uint64_t)r < size) {
            if (r > 0)
                uio_revert(u, (uint64_t)r);
            return -EFAULT;
        }
        data = stage;
    }
    lock_take(&p->lock);
    int64_t ret = pipe_turn_take(t, p, &p->writing);
    if (ret == 0 && !p->readers)
        ret = -EPIPE;
    if (ret == 0) {
        bool fits = !pipe_full(p) || (!packet && mergeable(p, size));
        ret = fits ? pipe_put_locked(p, data, size, packet) : -EAGAIN;
    }
    lock_release(&p->lock);
    if (direct && ret > 0)
        uio_advance(u, (uint64_t)ret);
    else if (!direct && ret <= 0)
        uio_revert(u, size);
    return ret;
}

static int64_t write_large(struct task *t, struct pipe *p, struct uio *u)
{
    lock_take(&p->lock);
    int64_t ret = pipe_turn_take(t, p, &p->writing);
    if (ret == 0 && !p->readers)
        ret = -EPIPE;
    if (ret == 0)
        ret = pipe_full(p) ? -EAGAIN : write_by_turn(p, u);
    lock_release(&p->lock);
    return ret;
}

static int64_t write_once(struct task *t, struct pipe *p, struct file *f, struct uio *u, uint64_t total)
{
    bool packet = f->flags & O_DIRECT;
    if (!p->readers)
        return -EPIPE;
    if (packet || total <= PAGE_SIZE)
        return write_small(t, p, u, MIN(u->remaining, PAGE_SIZE), packet);
    // Linux first tops up the last buffer with what is over whole pages.
    uint64_t first = total & (PAGE_SIZE - 1);
    if (u->remaining == total && first) {
        lock_take(&p->lock);
        bool merge = mergeable(p, first) != NULL;
        lock_release(&p->lock);
        if (merge)
            return write_small(t, p, u, first, false);
    }
    if (u->remaining <= PAGE_SIZE)
        return write_small(t, p, u, u->remaining, false);
    return write_large(t, p, u);
}

static int64_t pipe_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct pipe *p = f->priv;
    struct task *t = current_task();
    uint64_t total = u->remaining;
    int64_t ret = 0, done = 0;
    bool slept = false;
    while (u->remaining) {
        ret = write_once(t, p, f, u, total);
        if (ret > 0) {
            done += ret;
            continue;
        }
        if (ret != -EAGAIN || (f->flags & O_NONBLOCK) || (u->flags & UIO_NOWAIT))
            break;
        if (done)
            pipe_wake(p, true);
        slept = true;
        ret = pipe_sleep(t, p, false);
        if (ret < 0)
            break;
    }
    if (done) {
        pipe_wake(p, true);
        if (slept)
            pipe_wake(p, false);
        if (f->inode->type != INODE_ANON)
            (void)file_modified(f);
    }
    if (ret == -EPIPE)
        file_signal_caller(t, SIGPIPE);
    return done ? done : ret;
}

// ---- Readiness ----

static uint32_t pipe_poll(struct file *f)
{
    struct pipe *p = f->priv;
    uint32_t mask = 0;
    if (f->readable) {
        if (p->head != p->tail)
            mask |= PIPE_READABLE;
        // A FIFO opened without waiting isn't hung up before its first writer came.
        if (!p->writers && f->priv2 != p->writer_opens)
            mask |= EPOLLHUP;
    }
    if (f->writable) {
        if (!pipe_full(p))
            mask |= PIPE_WRITABLE;
        if (!p->readers)
            mask |= EPOLLERR;
    }
    return mask;
}

static struct wait_queue *pipe_poll_queue(struct file *f)
{
    return &((struct pipe *)f->priv)->wq;
}

static int64_t pipe_ioctl(struct file *f, struct task *t, uint32_t cmd, uint64_t arg)
{
    struct pipe *p = f->priv;
    if (cmd != FIONREAD)
        return -ENOTTY;
    int n = (int)p->bytes;
    return copy_out_value(t, UADDR(arg), &n);
}

static int pipe_set_flags(struct file *f, uint32_t flags)
{
    struct pipe *p = f->priv;
    lock_take(&p->lock);
    for (int side = 0; side < 2; side++) {
        bool wanted = (flags & O_ASYNC) && (side ? f->writable : f->readable);
        if (wanted)
            p->async[side] = f;
        else if (p->async[side] == f)
            p->async[side] = NULL;
    }
    lock_release(&p->lock);
    return 0;
}

const struct file_ops pipe_file_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .poll_queue = pipe_poll_queue,
    .ioctl = pipe_ioctl,
    .release = pipe_release,
    .set_flags = pipe_set_flags,
};
