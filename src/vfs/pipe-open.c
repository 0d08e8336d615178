// Making pipes, opening FIFOs, their sizes, and what splice needs. pipe(7), fifo(7), fcntl(2).
//
// An open FIFO's pipe hangs on its inode (inode->fifo) from the first open to the last close; so does that of a pipe without
// a name, which can be opened again through /proc/PID/fd.
//
// Locking: inode.lock guards inode->fifo and pipe.files. An open that waits for the other side holds neither.
#include <limits.h>
#include <linux/capability.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/slab.h"
#include "kernel/sysctl.h"
#include "vfs/pipe-int.h"
#include "vfs/pipe.h"
#include "vfs/vfs-int.h"

SLAB_TYPE(pipe_slab, SLAB_PIPE, struct pipe);

static struct pipe *pipe_alloc(void)
{
    struct pipe *p = slab_alloc(&pipe_slab);
    if (!p)
        return NULL;
    p->slots = PIPE_SLOTS_DEFAULT;
    p->ring = kmalloc(p->slots * sizeof(*p->ring));
    p->small = kmalloc(PAGE_SIZE);
    if (!p->ring || !p->small) {
        kfree(p->ring);
        kfree(p->small);
        slab_free(&pipe_slab, p);
        return NULL;
    }
    lock_init(&p->lock, LOCK_RANK_PIPE);
    wait_queue_init(&p->wq);
    wait_queue_init(&p->turn_wq);
    return p;
}

static void pipe_free(struct pipe *p)
{
    kfree(p->ring);
    kfree(p->small);
    kfree(p->area);
    slab_free(&pipe_slab, p);
}

static void pipe_put_file(struct inode *inode, struct pipe *p)
{
    lock_take(&inode->lock);
    bool last = --p->files == 0;
    if (last)
        inode->fifo = NULL;
    lock_release(&inode->lock);
    if (last)
        pipe_free(p);
}

static void count_sides(struct pipe *p, const struct file *f, int change)
{
    lock_take(&p->lock);
    if (f->readable)
        p->readers += (uint32_t)change;
    if (f->writable)
        p->writers += (uint32_t)change;
    if (change > 0 && f->readable)
        p->reader_opens++;
    if (change > 0 && f->writable)
        p->writer_opens++;
    for (int side = 0; side < 2 && change < 0; side++) {
        if (p->async[side] == f)
            p->async[side] = NULL;
    }
    lock_release(&p->lock);
}

static void leave(struct file *f, struct pipe *p)
{
    count_sides(p, f, -1);
    if (!p->readers != !p->writers)
        wake_up_all(&p->wq, PIPE_READABLE | PIPE_WRITABLE | EPOLLHUP | EPOLLERR);
    pipe_put_file(f->inode, p);
}

void pipe_release(struct file *f)
{
    if (f->priv)
        leave(f, f->priv);
}

int pipe_create(uint32_t flags, struct file *ret[2])
{
    struct pipe *p = pipe_alloc();
    if (!p)
        return -ENOMEM;
    uint32_t kept = flags & (O_NONBLOCK | O_DIRECT);
    struct file *r = file_create_anon(FILE_PIPE, "pipe", O_RDONLY | (kept & O_NONBLOCK), S_IFIFO | 0600, p);
    struct file *w = r ? file_alloc(O_WRONLY | kept, r->cred) : NULL;
    if (!w) {
        if (r)
            r->priv = NULL;
        file_unref(r);
        pipe_free(p);
        return -ENFILE;
    }
    path_get(&r->path);
    w->path = r->path;
    w->inode = r->inode;
    w->type = FILE_PIPE;
    w->priv = p;
    p->readers = p->writers = 1;
    p->reader_opens = p->writer_opens = 1;
    p->files = 2;
    r->inode->fifo = p;
    ret[0] = r;
    ret[1] = w;
    return 0;
}

// ---- FIFOs ----

static struct pipe *fifo_get(struct inode *inode)
{
    struct pipe *fresh = NULL;
    for (;;) {
        lock_take(&inode->lock);
        struct pipe *p = inode->fifo;
        if (!p && fresh) {
            p = inode->fifo = fresh;
            fresh = NULL;
        }
        if (p)
            p->files++;
        lock_release(&inode->lock);
        if (p) {
            if (fresh)
                pipe_free(fresh);
            return p;
        }
        fresh = pipe_alloc();
        if (!fresh)
            return NULL;
    }
}

// Until somebody has opened the other side since `seen` was read, even if he is gone again.
static int wait_for_partner(struct task *t, struct pipe *p, const uint32_t *opens, uint32_t seen)
{
    return wait_event(t, &p->turn_wq, __atomic_load_n(opens, __ATOMIC_SEQ_CST) != seen, NSEC_MAX);
}

int fifo_open(struct task *t, struct inode *inode, struct file *f)
{
    bool named = inode->type != INODE_ANON, nonblock = f->flags & O_NONBLOCK;
    int ret = 0;
    struct pipe *p = fifo_get(inode);
    if (!p)
        return -ENOMEM;
    if (named && f->writable && !f->readable && nonblock && !p->readers) {
        pipe_put_file(inode, p);
        return -ENXIO;
    }
    uint32_t readers_seen = p->reader_opens, writers_seen = p->writer_opens;
    count_sides(p, f, 1);
    wake_up_all(&p->turn_wq, 0);
    if (named && f->readable && !f->writable && !p->writers) {
        if (nonblock)
            f->priv2 = p->writer_opens; // no hang-up until a writer has been there
        else
            ret = wait_for_partner(t, p, &p->writer_opens, writers_seen);
    } else if (named && f->writable && !f->readable && !p->readers) {
        ret = wait_for_partner(t, p, &p->reader_opens, readers_seen);
    }
    if (ret < 0) {
        leave(f, p);
        return ret;
    }
    f->type = FILE_PIPE;
    f->priv = p;
    return 0;
}

// ---- Sizes ----

static int resize_locked(struct pipe *p, uint32_t slots, struct pipe_buffer *ring, uint8_t *area)
{
    uint32_t used = p->head - p->tail;
    if (slots < used)
        return -EBUSY;
    for (uint32_t i = 0; i < used; i++) {
        struct pipe_buffer *b = &p->ring[(p->tail + i) & (p->slots - 1)];
        ring[i] = *b;
        ring[i].data = area + i * PAGE_SIZE;
        memcpy(ring[i].data + b->offset, b->data + b->offset, b->size);
    }
    p->small_used = false;
    p->slots = slots;
    p->tail = 0;
    p->head = used;
    return 0;
}

static int pipe_resize(struct task *t, struct pipe *p, uint32_t slots)
{
    struct pipe_buffer *ring = kmalloc(slots * sizeof(*ring)), *old_ring = ring;
    uint8_t *area = kmalloc(slots * PAGE_SIZE), *old_area = area;
    int ret = ring && area ? 0 : -ENOMEM;
    if (ret == 0) {
        lock_take(&p->lock);
        // Both turns at once: the second may be taken while the first is waited for.
        while (ret == 0 && (p->reading || p->writing)) {
            ret = pipe_turn_take(t, p, &p->reading);
            if (ret == 0)
                ret = pipe_turn_take(t, p, &p->writing);
        }
        if (ret == 0)
            ret = resize_locked(p, slots, ring, area);
        if (ret == 0) {
            old_ring = p->ring;
            old_area = p->area;
            p->ring = ring;
            p->area = area;
        }
        lock_release(&p->lock);
    }
    kfree(old_ring);
    kfree(old_area);
    if (ret == 0)
        pipe_wake(p, false);
    return ret;
}

int64_t pipe_fcntl_size(struct task *t, struct file *f, bool set, uint64_t size)
{
    struct pipe *p = f->priv;
    if (!set)
        return (int64_t)(p->slots * PAGE_SIZE);
    uint64_t pages = PAGE_UP(size) / PAGE_SIZE, slots = 1;
    if (size > 1ull << 31)
        return -EINVAL;
    while (slots < pages)
        slots *= 2;
    if (slots > p->slots && slots * PAGE_SIZE > sysctl_get(t->kernel, SYSCTL_PIPE_MAX_SIZE) &&
        !capable(t, CAP_SYS_RESOURCE))
        return -EPERM;
    int ret = slots == p->slots ? 0 : pipe_resize(t, p, (uint32_t)slots);
    return ret < 0 ? ret : (int64_t)(slots * PAGE_SIZE);
}

// ---- For splice, tee, vmsplice, sendfile ----

int pipe_read_begin(struct task *t, struct file *f)
{
    struct pipe *p = f->priv;
    lock_take(&p->lock);
    int ret = pipe_turn_take(t, p, &p->reading);
    if (ret == 0) {
        p->reading = true;
        p->splicer = t;
    }
    lock_release(&p->lock);
    return ret;
}

void pipe_read_end(struct file *f)
{
    struct pipe *p = f->priv;
    lock_take(&p->lock);
    if (p->splicer == current_task()) { // not when a wait has failed to get the turn back
        p->splicer = NULL;
        pipe_turn_end(p, &p->reading);
    }
    lock_release(&p->lock);
}

// Called in a turn, which is given up for the sleep: other readers must not wait for one who waits for data.
int64_t pipe_wait_data(struct task *t, struct file *f, bool nonblock)
{
    struct pipe *p = f->priv;
    for (;;) {
        if (p->bytes)
            return (int64_t)p->bytes;
        if (!p->writers)
            return 0;
        if (nonblock || (f->flags & O_NONBLOCK))
            return -EAGAIN;
        pipe_read_end(f);
        int ret = pipe_sleep(t, p, true);
        if (ret == 0)
            ret = pipe_read_begin(t, f);
        if (ret < 0)
            return ret;
    }
}

int64_t pipe_wait_room(struct task *t, struct file *f, bool nonblock)
{
    struct pipe *p = f->priv;
    for (;;) {
        if (!p->readers)
            return -EPIPE;
        lock_take(&p->lock);
        uint64_t room = pipe_full(p) ? 0 : (uint64_t)(p->slots - (p->head - p->tail)) * PAGE_SIZE;
        lock_release(&p->lock);
        if (room)
            return (int64_t)room;
        if (nonblock || (f->flags & O_NONBLOCK))
            return -EAGAIN;
        int ret = pipe_sleep(t, p, false);
        if (ret < 0)
            return ret;
    }
}

int64_t pipe_peek(struct file *f, void *buf, uint64_t offset, uint64_t size)
{
    struct pipe *p = f->priv;
    uint64_t done = 0;
    lock_take(&p->lock);
    for (uint32_t n = p->tail; n != p->head && done < size; n++) {
        const struct pipe_buffer *b = &p->ring[n & (p->slots - 1)];
        if (offset >= b->size) {
            offset -= b->size;
            continue;
        }
        uint64_t part = MIN(b->size - offset, size - done);
        memcpy((uint8_t *)buf + done, b->data + b->offset + offset, part);
        done += part;
        offset = 0;
    }
    lock_release(&p->lock);
    return (int64_t)done;
}

void pipe_consume(struct file *f, uint64_t size)
{
    struct pipe *p = f->priv;
    lock_take(&p->lock);
    bool was_full = pipe_full(p);
    pipe_consume_locked(p, size);
    lock_release(&p->lock);
    if (was_full)
        pipe_wake(p, false);
}

int64_t pipe_put(struct file *f, const void *buf, uint64_t size)
{
    struct pipe *p = f->priv;
    if (size == 0)
        return 0;
    lock_take(&p->lock);
    int64_t ret = pipe_turn_take(current_task(), p, &p->writing);
    if (ret == 0 && !p->readers)
        ret = -EPIPE;
    if (ret == 0) {
        ret = pipe_put_locked(p, buf, size, f->flags & O_DIRECT);
        ret = ret ? ret : -EAGAIN;
    }
    lock_release(&p->lock);
    if (ret > 0)
        pipe_wake(p, true);
    return ret;
}

bool pipe_same(const struct file *a, const struct file *b)
{
    return a->priv == b->priv;
}
