// Event counters: eventfd(2).
//
// Locking: eventfd.lock guards the count; nothing is copied under it.
#include "vfs/eventfd.h"

#include <sys/epoll.h>

#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/task.h"
#include "mm/copy.h"

struct eventfd {
    struct lock lock; // LOCK_RANK_OBJECT
    uint64_t count;   // GUARDED_BY(lock), single reads without
    bool semaphore;   // immutable
    struct wait_queue wq;
};

SLAB_TYPE(eventfd_slab, SLAB_EVENTFD, struct eventfd);

struct file *eventfd_create(uint32_t count, bool semaphore, uint32_t flags)
{
    struct eventfd *e = slab_alloc(&eventfd_slab);
    if (!e)
        return NULL;
    lock_init(&e->lock, LOCK_RANK_OBJECT);
    wait_queue_init(&e->wq);
    e->count = count;
    e->semaphore = semaphore;
    struct file *f = file_create_anon(FILE_EVENTFD, "[eventfd]", O_RDWR | (flags & O_NONBLOCK), 0, e);
    if (!f)
        slab_free(&eventfd_slab, e);
    return f;
}

static bool take(struct eventfd *e, uint64_t *ret)
{
    lock_take(&e->lock);
    uint64_t n = e->count;
    if (n && e->semaphore)
        n = 1;
    __atomic_store_n(&e->count, e->count - n, __ATOMIC_SEQ_CST);
    lock_release(&e->lock);
    *ret = n;
    return n != 0;
}

static int64_t eventfd_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct eventfd *e = f->priv;
    struct task *t = current_task();
    uint64_t n;
    if (u->remaining < sizeof(n))
        return -EINVAL;
    if (!take(e, &n)) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int ret = wait_event(t, &e->wq, take(e, &n), NSEC_MAX);
        if (ret < 0)
            return ret;
    }
    wake_up_one(&e->wq, EPOLLOUT);
    int64_t r = uio_put(u, &n, sizeof(n));
    return r == sizeof(n) ? r : -EFAULT;
}

static bool add(struct eventfd *e, uint64_t n)
{
    lock_take(&e->lock);
    bool fits = UINT64_MAX - e->count > n;
    if (fits)
        __atomic_store_n(&e->count, e->count + n, __ATOMIC_SEQ_CST);
    lock_release(&e->lock);
    return fits;
}

static int64_t eventfd_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct eventfd *e = f->priv;
    struct task *t = current_task();
    uint64_t n;
    if (u->remaining < sizeof(n))
        return -EINVAL;
    if (uio_get(u, &n, sizeof(n)) != sizeof(n))
        return -EFAULT;
    if (n == UINT64_MAX)
        return -EINVAL;
    if (!add(e, n)) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int ret = wait_event(t, &e->wq, add(e, n), NSEC_MAX);
        if (ret < 0)
            return ret;
    }
    wake_up_one(&e->wq, EPOLLIN);
    return sizeof(n);
}

static uint32_t eventfd_poll(struct file *f)
{
    uint64_t n = __atomic_load_n(&((struct eventfd *)f->priv)->count, __ATOMIC_RELAXED);
    return (n ? EPOLLIN : 0) | (n == UINT64_MAX ? EPOLLERR : 0) | (n < UINT64_MAX - 1 ? EPOLLOUT : 0);
}

static struct wait_queue *eventfd_poll_queue(struct file *f)
{
    return &((struct eventfd *)f->priv)->wq;
}

static void eventfd_release(struct file *f)
{
    slab_free(&eventfd_slab, f->priv);
}

static void eventfd_show_fdinfo(struct file *f, struct strbuf *out)
{
    const struct eventfd *e = f->priv;
    strbuf_printf(out, "eventfd-count: %16lx\neventfd-semaphore: %d\n", e->count, e->semaphore);
}

const struct file_ops eventfd_file_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .poll_queue = eventfd_poll_queue,
    .release = eventfd_release,
    .show_fdinfo = eventfd_show_fdinfo,
};
