// epoll(7): items, the ready list, waiting.
//
// An item has an entry on its file's wait queue. A wake-up there puts the item on the ready list; epoll_wait takes items off,
// asks each file what is true now, and puts level-triggered ones back. The ready list only says who may be ready.
//
// Lifetimes: an item holds its epoll, and neither holds the file. The file's release takes its items away first
// (epoll_file_released()), so as long as an item is on a ready list, under ready_lock, its file's memory is there; whoever
// wants to use the file tries for a reference and drops the item from the list when it is too late. When an epoll and a
// watched file are released at one time, the file's release does the work and the epoll's memory stays until then.
//
// Locking, in order: kernel.epoll_nest_lock (only where the watched file is an epoll), inode.lock of the watched file
// (file.epoll_items), epoll.lock (the tree), and apart from them the wait queue's lock, then ready_lock. No lock is held
// when a file's poll is called. Sleepers are woken by epoll_wake_chain() after the queue's lock was released.
//
// DEVIATION: EPOLLWAKEUP is accepted and means nothing. With several threads in epoll_wait on one epoll, one batch may hold
// the same level-triggered descriptor twice when another thread takes items off at the same moment.
#include "vfs/epoll.h"

#include <sys/epoll.h>

#include "base/log.h"
#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "vfs/epoll-int.h"
#include "vfs/hooks.h"
#include "vfs/poll.h"

#define PRIVATE_BITS (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

enum { BATCH = 32 };

SLAB_TYPE(epoll_slab, SLAB_EPOLL, struct epoll);
SLAB_TYPE(item_slab, SLAB_EPOLL_ITEM, struct epoll_item);

extern const struct file_ops epoll_file_ops;

struct epoll *epoll_of(const struct file *f)
{
    return f->type == FILE_EPOLL ? f->priv : NULL;
}

struct file *epoll_create_file(void)
{
    struct epoll *ep = slab_alloc(&epoll_slab);
    if (!ep)
        return NULL;
    refcount_init(&ep->refs, 1);
    lock_init(&ep->lock, LOCK_RANK_EPOLL);
    lock_init(&ep->ready_lock, LOCK_RANK_EPOLL_READY);
    list_init(&ep->ready);
    list_init(&ep->nested);
    wait_queue_init(&ep->wq);
    wait_queue_init(&ep->poll_wq);
    struct file *f = file_create_anon(FILE_EPOLL, "[eventpoll]", O_RDWR, 0, ep);
    if (!f)
        slab_free(&epoll_slab, ep);
    else
        ep->file = f;
    return f;
}

static void epoll_put(struct epoll *ep)
{
    if (refcount_put(&ep->refs))
        slab_free(&epoll_slab, ep);
}

static void item_put(struct epoll_item *item)
{
    if (refcount_put(&item->refs)) {
        epoll_put(item->ep);
        slab_free(&item_slab, item);
    }
}

// ---- Wake-ups ----

static void push_ready_locked(struct epoll *ep, struct epoll_item *item)
{
    if (item->ready || item->dead)
        return;
    item->ready = true;
    ep->ready_count++;
    list_push_back(&ep->ready, &item->ready_node);
}

static void drop_ready_locked(struct epoll *ep, struct epoll_item *item)
{
    if (!item->ready)
        return;
    item->ready = false;
    ep->ready_count--;
    list_remove(&item->ready_node);
}

bool epoll_entry_wake(struct wait_entry *w, uint32_t events, struct epoll **chain)
{
    struct epoll_item *item = container_of(w, struct epoll_item, wait);
    struct epoll *ep = item->ep;
    bool waited = false;
    lock_take(&ep->ready_lock);
    uint32_t wanted = item->events & ~PRIVATE_BITS;
    if (wanted && (!events || (events & wanted))) {
        push_ready_locked(ep, item);
        waited = wait_queue_active(&ep->wq);
        if (!ep->wake_chained && (waited || wait_queue_active(&ep->poll_wq))) {
            refcount_get(&ep->refs);
            ep->wake_chained = true;
            ep->wake_next = *chain;
            *chain = ep;
        }
    }
    lock_release(&ep->ready_lock);
    return waited;
}

static void wake_waiters(struct epoll *ep)
{
    wake_up_one(&ep->wq, 0);
    wake_up_all(&ep->poll_wq, EPOLLIN | EPOLLRDNORM);
}

void epoll_wake_chain(struct epoll *chain)
{
    while (chain) {
        struct epoll *ep = chain;
        chain = ep->wake_next;
        lock_take(&ep->ready_lock);
        ep->wake_chained = false;
        lock_release(&ep->ready_lock);
        wake_waiters(ep);
        epoll_put(ep);
    }
}

// ---- Items ----

static int compare(const struct epoll_item *item, const struct file *f, int fd)
{
    if (item->file != f)
        return f < item->file ? -1 : 1;
    return fd < item->fd ? -1 : fd > item->fd;
}

static struct epoll_item *find_locked(struct epoll *ep, const struct file *f, int fd)
{
    struct rb_node *n = ep->items.root;
    while (n) {
        struct epoll_item *item = container_of(n, struct epoll_item, node);
        int c = compare(item, f, fd);
        if (c == 0)
            return item;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

static bool insert_locked(struct epoll *ep, struct epoll_item *item)
{
    struct rb_node **link = &ep->items.root, *parent = NULL;
    while (*link) {
        parent = *link;
        int c = compare(container_of(parent, struct epoll_item, node), item->file, item->fd);
        if (c == 0)
            return false;
        link = c < 0 ? &parent->left : &parent->right;
    }
    rb_link(&item->node, parent, link);
    rb_insert_fixup(&ep->items, &item->node);
    return true;
}

// The locks under which items of a watched file come and go.
static void lock_links(struct file *f, struct epoll *ep)
{
    if (f->type == FILE_EPOLL)
        lock_take(&the_kernel()->epoll_nest_lock);
    lock_take(&f->inode->lock);
    if (ep)
        lock_take(&ep->lock);
}

static void unlock_links(struct file *f, struct epoll *ep)
{
    if (ep)
        lock_release(&ep->lock);
    lock_release(&f->inode->lock);
    if (f->type == FILE_EPOLL)
        lock_release(&the_kernel()->epoll_nest_lock);
}

static void unlink_locked(struct epoll *ep, struct epoll_item *item)
{
    rb_remove(&ep->items, &item->node);
    list_remove(&item->file_node);
    list_remove(&item->nested_node);
}

// The rest of an item's end: it is in no tree and no list of its file's any more.
static void item_finish(struct epoll_item *item)
{
    struct epoll *ep = item->ep;
    wait_remove(&item->wait);
    lock_take(&ep->ready_lock);
    drop_ready_locked(ep, item);
    item->dead = true;
    lock_release(&ep->ready_lock);
    user_uncharge(the_kernel(), item->uid, USER_EPOLL_WATCHES);
    thread_group_unref(item->group);
    item_put(item);
}

void epoll_file_released(struct file *f)
{
    for (;;) {
        struct epoll *ep = NULL;
        lock_links(f, NULL);
        struct epoll_item *item = list_first(&f->epoll_items, struct epoll_item, file_node);
        if (item) {
            ep = item->ep;
            lock_take(&ep->lock);
            unlink_locked(ep, item);
            lock_release(&ep->lock);
        }
        unlock_links(f, NULL);
        if (!item)
            return;
        item_finish(item);
    }
}

// Next item whose file still lives, with a reference to the file.
static struct epoll_item *next_live_item(struct epoll *ep)
{
    struct epoll_item *found = NULL;
    lock_take(&ep->lock);
    for (struct rb_node *n = rb_first(&ep->items); n && !found; n = rb_next(n)) {
        struct epoll_item *item = container_of(n, struct epoll_item, node);
        if (item->orphan)
            continue;
        if (refcount_get_unless_zero(&item->file->refs))
            found = item;
        else
            item->orphan = true;
    }
    lock_release(&ep->lock);
    return found;
}

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->priv;
    struct epoll_item *item;
    lock_take(&the_kernel()->epoll_nest_lock);
    ep->file = NULL;
    lock_release(&the_kernel()->epoll_nest_lock);
    while ((item = next_live_item(ep))) {
        struct file *target = item->file;
        lock_links(target, ep);
        unlink_locked(ep, item);
        unlock_links(target, ep);
        item_finish(item);
        file_unref(target);
    }
    epoll_put(ep);
}

// ---- epoll_ctl ----

// Looks whether the item is ready now; wakes the epoll's waiters if so.
static void check_now(struct epoll *ep, struct epoll_item *item)
{
    bool wake = false;
    uint32_t mask = file_poll(item->file);
    lock_take(&ep->ready_lock);
    if (mask & item->events & ~PRIVATE_BITS) {
        wake = !item->ready;
        push_ready_locked(ep, item);
    }
    lock_release(&ep->ready_lock);
    if (wake)
        wake_waiters(ep);
}

static struct epoll_item *item_create(struct task *t, struct epoll *ep, struct file *target, int fd,
                                      const struct epoll_request *r)
{
    struct epoll_item *item = slab_alloc(&item_slab);
    if (!item)
        return NULL;
    refcount_init(&item->refs, 2); // the tree's, and the caller's
    refcount_get(&ep->refs);
    item->ep = ep;
    item->file = target;
    item->fd = fd;
    item->uid = t->cred->uid;
    item->events = r->events | EPOLLERR | EPOLLHUP;
    item->data = r->data;
    list_init(&item->file_node);
    list_init(&item->nested_node);
    list_init(&item->ready_node);
    wait_entry_init(&item->wait, NULL);
    item->wait.kind = WAIT_KIND_EPOLL;
    item->wait.events = item->events & ~PRIVATE_BITS;
    item->wait.exclusive = r->events & EPOLLEXCLUSIVE;
    if (target->type == FILE_SIGNALFD)
        item->group = thread_group_ref(t->group);
    return item;
}

static int link_item(struct epoll *ep, struct file *target, struct epoll_item *item)
{
    struct epoll *below = epoll_of(target);
    int ret = 0;
    lock_links(target, NULL);
    if (below)
        ret = epoll_check_nesting(ep, below);
    lock_take(&ep->lock);
    if (find_locked(ep, target, item->fd))
        ret = -EEXIST;
    if (ret == 0) {
        (void)insert_locked(ep, item);
        list_push_back(&target->epoll_items, &item->file_node);
        if (below)
            list_push_back(&ep->nested, &item->nested_node);
    }
    lock_release(&ep->lock);
    unlock_links(target, NULL);
    return ret;
}

int epoll_add(struct task *t, struct file *epf, struct file *target, int fd, const struct epoll_request *r)
{
    struct epoll *ep = epf->priv;
    if (!user_charge(t->kernel, t->cred->uid, USER_EPOLL_WATCHES,
                     sysctl_get(t->kernel, SYSCTL_EPOLL_MAX_USER_WATCHES)))
        return -ENOSPC;
    struct epoll_item *item = item_create(t, ep, target, fd, r);
    if (!item) {
        user_uncharge(t->kernel, t->cred->uid, USER_EPOLL_WATCHES);
        return -ENOMEM;
    }
    // On the queue before it can be found, so that whoever deletes it finds it complete.
    struct wait_queue *q = file_poll_queue(target);
    if (q)
        wait_add(q, &item->wait);
    int ret = link_item(ep, target, item);
    if (ret < 0)
        item_finish(item);
    else
        check_now(ep, item);
    item_put(item);
    return ret;
}

int epoll_modify(struct task *t UNUSED, struct file *epf, struct file *target, int fd, const struct epoll_request *r)
{
    struct epoll *ep = epf->priv;
    lock_take(&ep->lock);
    struct epoll_item *item = find_locked(ep, target, fd);
    int ret = !item ? -ENOENT : item->wait.exclusive ? -EINVAL : 0;
    if (ret == 0) {
        refcount_get(&item->refs);
        lock_take(&ep->ready_lock);
        item->events = r->events | EPOLLERR | EPOLLHUP;
        item->data = r->data;
        __atomic_store_n(&item->wait.events, item->events & ~PRIVATE_BITS, __ATOMIC_SEQ_CST);
        lock_release(&ep->ready_lock);
    }
    lock_release(&ep->lock);
    if (ret == 0) {
        check_now(ep, item);
        item_put(item);
    }
    return ret;
}

int epoll_delete(struct task *t UNUSED, struct file *epf, struct file *target, int fd)
{
    struct epoll *ep = epf->priv;
    lock_links(target, ep);
    struct epoll_item *item = find_locked(ep, target, fd);
    if (item)
        unlink_locked(ep, item);
    unlock_links(target, ep);
    if (!item)
        return -ENOENT;
    item_finish(item);
    return 0;
}

// ---- epoll_wait ----

// Takes the first item off the ready list, with references to it and to its file.
static struct epoll_item *pop_ready(struct epoll *ep)
{
    struct epoll_item *item;
    lock_take(&ep->ready_lock);
    while ((item = list_first(&ep->ready, struct epoll_item, ready_node))) {
        drop_ready_locked(ep, item);
        if (refcount_get_unless_zero(&item->file->refs)) {
            refcount_get(&item->refs);
            break;
        }
    }
    lock_release(&ep->ready_lock);
    return item;
}

struct batch {
    uint32_t count;
    struct epoll_item *items[BATCH]; // references
    uint32_t before[BATCH];          // events of each, before EPOLLONESHOT took effect
    struct epoll_request out[BATCH];
};

// Asks the popped item's file and, when something is true that it waits for, enters it into the batch.
static void check_popped(struct epoll *ep, struct epoll_item *item, struct batch *b)
{
    struct file *f = item->file;
    uint32_t mask = file_poll(f);
    bool keep = false;
    lock_take(&ep->ready_lock);
    uint32_t revents = item->dead ? 0 : mask & item->events & ~PRIVATE_BITS;
    if (revents) {
        b->items[b->count] = item;
        b->before[b->count] = item->events;
        b->out[b->count++] = (struct epoll_request){.events = revents, .data = item->data};
        keep = true;
        if (item->events & EPOLLONESHOT)
            item->events &= PRIVATE_BITS;
        else if (!(item->events & EPOLLET))
            push_ready_locked(ep, item);
    }
    lock_release(&ep->ready_lock);
    if (!keep)
        item_put(item);
    file_unref(f);
}

static void batch_done(struct epoll *ep, struct batch *b, bool undo)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct epoll_item *item = b->items[i];
        if (undo) {
            lock_take(&ep->ready_lock);
            if (!(item->events & ~PRIVATE_BITS))
                item->events = b->before[i];
            push_ready_locked(ep, item);
            lock_release(&ep->ready_lock);
        }
        item_put(item);
    }
    b->count = 0;
}

static int64_t send_events(struct task *t, struct epoll *ep, uaddr_t events, int max)
{
    struct batch b;
    uint32_t left = __atomic_load_n(&ep->ready_count, __ATOMIC_SEQ_CST); // each item once
    int64_t sent = 0;
    b.count = 0;
    while (left && sent < max) {
        uint32_t room = MIN((uint32_t)(max - sent), BATCH);
        for (; left && b.count < room; left--) {
            struct epoll_item *item = pop_ready(ep);
            if (!item) {
                left = 0;
                break;
            }
            check_popped(ep, item, &b);
        }
        uint32_t n = b.count;
        int ret = copy_out(t, UADDR(events.a + (uint64_t)sent * sizeof(b.out[0])), b.out, n * sizeof(b.out[0]));
        batch_done(ep, &b, ret < 0);
        if (ret < 0)
            return sent ? sent : ret;
        sent += n;
    }
    return sent;
}

static void pass_on(struct epoll *ep)
{
    if (__atomic_load_n(&ep->ready_count, __ATOMIC_SEQ_CST))
        wake_up_one(&ep->wq, 0);
}

static int sleep_until_ready(struct task *t, struct epoll *ep, nsec_t deadline)
{
    struct wait_entry w;
    int ret = 0;
    wait_entry_init(&w, t);
    w.exclusive = true;
    wait_add(&ep->wq, &w);
    for (;;) {
        wait_arm(t);
        // Under the lock: a waker that has put an item there either is seen here or sees this entry.
        lock_take(&ep->ready_lock);
        bool ready = ep->ready_count != 0;
        lock_release(&ep->ready_lock);
        if (ready)
            break;
        ret = wait_sleep(t, deadline);
        if (ret < 0)
            break;
    }
    wait_remove(&w);
    return ret;
}

int64_t epoll_wait_events(struct task *t, struct file *epf, uaddr_t events, int max, nsec_t deadline)
{
    struct epoll *ep = epf->priv;
    bool last = deadline <= 0;
    int64_t ret;
    for (;;) {
        ret = send_events(t, ep, events, max);
        if (ret != 0 || last)
            break;
        ret = sleep_until_ready(t, ep, deadline);
        if (ret == -ETIMEDOUT) {
            last = true; // an event may have come at the last moment
        } else if (ret < 0) {
            ret = -EINTR;
            break;
        }
    }
    // Level-triggered items, those beyond `max` and those that came meanwhile are for the next sleeper.
    pass_on(ep);
    return ret;
}

// ---- The file ----

static uint32_t epoll_poll(struct file *f)
{
    struct epoll *ep = f->priv;
    for (uint32_t left = __atomic_load_n(&ep->ready_count, __ATOMIC_SEQ_CST); left; left--) {
        struct epoll_item *item = pop_ready(ep);
        if (!item)
            break;
        struct file *target = item->file;
        uint32_t mask = file_poll(target);
        lock_take(&ep->ready_lock);
        bool ready = !item->dead && (mask & item->events & ~PRIVATE_BITS);
        if (ready)
            push_ready_locked(ep, item);
        lock_release(&ep->ready_lock);
        item_put(item);
        file_unref(target);
        if (ready)
            return EPOLLIN | EPOLLRDNORM;
    }
    return 0;
}

static struct wait_queue *epoll_poll_queue(struct file *f)
{
    return &((struct epoll *)f->priv)->poll_wq;
}

static void epoll_show_fdinfo(struct file *f, struct strbuf *out)
{
    struct epoll *ep = f->priv;
    lock_take(&ep->lock);
    for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
        struct epoll_item *item = container_of(n, struct epoll_item, node);
        strbuf_printf(out, "tfd: %8d events: %8x data: %16lx  pos:0 ino:%lx sdev:%x\n", item->fd, item->events,
                      item->data, item->file->inode->ino, item->file->inode->sb->dev);
    }
    lock_release(&ep->lock);
}

const struct file_ops epoll_file_ops = {
    .poll = epoll_poll,
    .poll_queue = epoll_poll_queue,
    .release = epoll_release,
    .show_fdinfo = epoll_show_fdinfo,
};
