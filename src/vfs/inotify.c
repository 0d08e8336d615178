// Watching files: inotify(7).
//
// A watch belongs to an instance and hangs on the inode that it watches, which it holds. Events come with the inode that
// they happen to, or with the directory and the name in it (vfs/notify.c decides).
//
// Locking: inode.lock guards the inode's list of watches, and is taken first; inotify.lock guards the instance's watches by
// number, its queue and the masks. A watch ends once: whoever sets `dead`, under inode.lock, takes it out of both.
// References: the instance's tree holds a watch; a watch holds its instance and its inode.
//
// DEVIATION: no signal-driven input on an instance.
#include "vfs/inotify.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "vfs/hooks.h"

struct inotify_event_entry {
    struct list node;
    int32_t wd;
    uint32_t mask, cookie;
    uint32_t name_size; // without the NUL; 0: none
    char *name;         // kmalloc'ed
};

struct inotify {
    refcount_t refs;
    struct lock lock;     // LOCK_RANK_OBJECT
    struct wait_queue wq;
    uint32_t uid;         // whose account it is on; immutable
    struct rb_tree watches; // GUARDED_BY(lock): by number
    int32_t next_wd;      // GUARDED_BY(lock)
    struct list queue;    // GUARDED_BY(lock)
    uint32_t count;       // GUARDED_BY(lock), single reads without
    bool overflowed;      // IN_Q_OVERFLOW is in the queue; GUARDED_BY(lock)
};

struct inotify_watch {
    refcount_t refs;
    struct list inode_node; // inode.watches; GUARDED_BY(inode->lock)
    struct rb_node node;    // inotify.watches
    struct inotify *in;     // reference
    struct inode *inode;    // reference
    int32_t wd;             // immutable once linked
    uint32_t uid;
    uint32_t mask; // GUARDED_BY(in->lock)
    bool dead;     // GUARDED_BY(inode->lock)
};

SLAB_TYPE(inotify_slab, SLAB_INOTIFY, struct inotify);
SLAB_TYPE(watch_slab, SLAB_INOTIFY_WATCH, struct inotify_watch);
SLAB_TYPE(event_slab, SLAB_INOTIFY_EVENT, struct inotify_event_entry);

static void instance_put(struct inotify *in)
{
    if (refcount_put(&in->refs)) {
        user_uncharge(the_kernel(), in->uid, USER_INOTIFY_INSTANCES);
        slab_free(&inotify_slab, in);
    }
}

static void watch_put(struct inotify_watch *w)
{
    if (!refcount_put(&w->refs))
        return;
    inode_unref(w->inode);
    instance_put(w->in);
    slab_free(&watch_slab, w);
}

// ---- The queue; instance's lock held ----

static void event_free(struct inotify_event_entry *e)
{
    kfree(e->name);
    slab_free(&event_slab, e);
}

static bool same_as_last(const struct inotify *in, int32_t wd, uint32_t mask, const char *name, uint32_t len)
{
    if (list_empty(&in->queue))
        return false;
    const struct inotify_event_entry *e = container_of(in->queue.prev, struct inotify_event_entry, node);
    return e->wd == wd && e->mask == mask && e->name_size == len && (!len || !memcmp(e->name, name, len));
}

static void push_locked(struct inotify *in, struct inotify_event_entry *e)
{
    list_push_back(&in->queue, &e->node);
    __atomic_store_n(&in->count, in->count + 1, __ATOMIC_SEQ_CST);
}

// Out of memory counts as an overflow; without any memory even that goes unsaid.
static void overflow_locked(struct inotify *in)
{
    if (in->overflowed)
        return;
    struct inotify_event_entry *e = slab_alloc(&event_slab);
    if (!e)
        return;
    e->wd = -1;
    e->mask = IN_Q_OVERFLOW;
    in->overflowed = true;
    push_locked(in, e);
}

static void queue_locked(struct inotify *in, int32_t wd, uint32_t mask, uint32_t cookie, const char *name, uint32_t len)
{
    if (same_as_last(in, wd, mask, name, len))
        return;
    if (in->count >= sysctl_get(the_kernel(), SYSCTL_INOTIFY_MAX_QUEUED_EVENTS)) {
        overflow_locked(in);
        return;
    }
    struct inotify_event_entry *e = slab_alloc(&event_slab);
    char *copy = len ? kstrndup(name, len) : NULL;
    if (!e || (len && !copy)) {
        slab_free(&event_slab, e);
        kfree(copy);
        overflow_locked(in);
        return;
    }
    e->wd = wd;
    e->mask = mask;
    e->cookie = cookie;
    e->name = copy;
    e->name_size = len;
    push_locked(in, e);
}

// ---- Ends of watches ----

// Takes w out of the inode and the instance. inode.lock held; false when somebody else did. The tree's reference is the
// caller's to drop, without the lock.
static bool detach_locked(struct inotify_watch *w, bool tell)
{
    struct inotify *in = w->in;
    if (w->dead)
        return false;
    w->dead = true;
    list_remove(&w->inode_node);
    lock_take(&in->lock);
    rb_remove(&in->watches, &w->node);
    if (tell)
        queue_locked(in, w->wd, IN_IGNORED, 0, NULL, 0);
    lock_release(&in->lock);
    user_uncharge(the_kernel(), w->uid, USER_INOTIFY_WATCHES);
    if (tell)
        wake_up_one(&in->wq, EPOLLIN | EPOLLRDNORM);
    return true;
}

static bool watch_remove(struct inotify_watch *w, bool tell)
{
    struct inode *inode = w->inode;
    lock_take(&inode->lock);
    bool mine = detach_locked(w, tell);
    lock_release(&inode->lock);
    if (mine)
        watch_put(w);
    return mine;
}

void inotify_inode_gone(struct inode *inode)
{
    struct list gone;
    struct inotify_watch *w, *tmp;
    list_init(&gone);
    lock_take(&inode->lock);
    list_for_each_safe(w, tmp, &inode->watches, inode_node)
    {
        if (detach_locked(w, true))
            list_push_back(&gone, &w->inode_node);
    }
    lock_release(&inode->lock);
    list_for_each_safe(w, tmp, &gone, inode_node)
    {
        list_remove(&w->inode_node);
        watch_put(w);
    }
}

// ---- Events ----

// IN_EXCL_UNLINK in the mask: the name has been unlinked already.
void inotify_event(struct inode *inode, uint32_t mask, uint32_t cookie, const char *name, uint32_t len)
{
    bool unlinked = mask & IN_EXCL_UNLINK;
    struct inotify_watch *w, *tmp;
    struct list gone;
    list_init(&gone);
    mask &= ~(uint32_t)IN_EXCL_UNLINK;
    // Never said of a file's own end or move, for the sake of old programs (Linux does the same).
    uint32_t shown = mask & (IN_DELETE_SELF | IN_MOVE_SELF) ? mask & ~(uint32_t)IN_ISDIR : mask;
    lock_take(&inode->lock);
    list_for_each_safe(w, tmp, &inode->watches, inode_node)
    {
        struct inotify *in = w->in;
        lock_take(&in->lock);
        bool wanted = (w->mask & mask & (IN_ALL_EVENTS | IN_UNMOUNT)) && !(unlinked && (w->mask & IN_EXCL_UNLINK));
        bool last = (wanted && (w->mask & IN_ONESHOT)) || (mask & IN_DELETE_SELF);
        if (wanted)
            queue_locked(in, w->wd, shown, cookie, name, len);
        lock_release(&in->lock);
        if (wanted && !last)
            wake_up_one(&in->wq, EPOLLIN | EPOLLRDNORM);
        if (last && detach_locked(w, true))
            list_push_back(&gone, &w->inode_node);
    }
    lock_release(&inode->lock);
    list_for_each_safe(w, tmp, &gone, inode_node)
    {
        list_remove(&w->inode_node);
        watch_put(w);
    }
}

// ---- Adding and removing ----

static bool insert_locked(struct inotify *in, struct inotify_watch *w)
{
    struct rb_node **link = &in->watches.root, *parent = NULL;
    if (in->next_wd == INT32_MAX)
        return false;
    w->wd = ++in->next_wd;
    // Numbers only grow: the place is the rightmost.
    while (*link) {
        parent = *link;
        link = &parent->right;
    }
    rb_link(&w->node, parent, link);
    rb_insert_fixup(&in->watches, &w->node);
    return true;
}

static struct inotify_watch *find_on_inode_locked(struct inotify *in, struct inode *inode)
{
    struct inotify_watch *w;
    list_for_each(w, &inode->watches, inode_node)
    {
        if (w->in == in)
            return w;
    }
    return NULL;
}

static struct inotify_watch *watch_create(struct task *t, struct inotify *in, struct inode *inode, uint32_t mask)
{
    struct inotify_watch *w = slab_alloc(&watch_slab);
    if (!w)
        return NULL;
    refcount_init(&w->refs, 1);
    refcount_get(&in->refs);
    w->in = in;
    w->inode = inode_ref(inode);
    w->uid = t->cred->uid;
    w->mask = mask;
    list_init(&w->inode_node);
    return w;
}

static int link_watch(struct inotify *in, struct inode *inode, struct inotify_watch *fresh, uint32_t mask)
{
    int ret;
    lock_take(&inode->lock);
    struct inotify_watch *w = find_on_inode_locked(in, inode);
    lock_take(&in->lock);
    if (w && (mask & IN_MASK_CREATE)) {
        ret = -EEXIST;
    } else if (w) {
        uint32_t kept = mask & ~(uint32_t)(IN_MASK_ADD | IN_ONLYDIR | IN_DONT_FOLLOW);
        w->mask = mask & IN_MASK_ADD ? w->mask | kept : kept;
        ret = w->wd;
    } else if (!insert_locked(in, fresh)) {
        ret = -ENOSPC;
    } else {
        list_push_back(&inode->watches, &fresh->inode_node);
        ret = fresh->wd;
    }
    lock_release(&in->lock);
    lock_release(&inode->lock);
    return ret;
}

int inotify_add(struct task *t, struct file *f, struct inode *inode, uint32_t mask)
{
    struct inotify *in = f->priv;
    if (!user_charge(t->kernel, t->cred->uid, USER_INOTIFY_WATCHES,
                     sysctl_get(t->kernel, SYSCTL_INOTIFY_MAX_USER_WATCHES)))
        return -ENOSPC;
    struct inotify_watch *fresh =
        watch_create(t, in, inode, mask & ~(uint32_t)(IN_MASK_ADD | IN_MASK_CREATE | IN_ONLYDIR | IN_DONT_FOLLOW));
    int ret = fresh ? link_watch(in, inode, fresh, mask) : -ENOMEM;
    if (!fresh || ret < 0 || ret != fresh->wd) {
        user_uncharge(t->kernel, t->cred->uid, USER_INOTIFY_WATCHES);
        if (fresh)
            watch_put(fresh);
    }
    return ret;
}

static struct inotify_watch *get_by_number(struct inotify *in, int32_t wd)
{
    struct inotify_watch *found = NULL;
    lock_take(&in->lock);
    struct rb_node *n = in->watches.root;
    while (n && !found) {
        struct inotify_watch *w = container_of(n, struct inotify_watch, node);
        if (w->wd == wd) {
            refcount_get(&w->refs);
            found = w;
        }
        n = wd < w->wd ? n->left : n->right;
    }
    lock_release(&in->lock);
    return found;
}

int inotify_remove(struct file *f, int wd)
{
    struct inotify_watch *w = get_by_number(f->priv, wd);
    if (!w)
        return -EINVAL;
    bool mine = watch_remove(w, true);
    watch_put(w);
    return mine ? 0 : -EINVAL;
}

// ---- The file ----

struct file *inotify_create(struct task *t, uint32_t flags, int *ret_error)
{
    *ret_error = -EMFILE;
    if (!user_charge(t->kernel, t->cred->uid, USER_INOTIFY_INSTANCES,
                     sysctl_get(t->kernel, SYSCTL_INOTIFY_MAX_USER_INSTANCES)))
        return NULL;
    struct inotify *in = slab_alloc(&inotify_slab);
    *ret_error = -ENOMEM;
    if (!in) {
        user_uncharge(t->kernel, t->cred->uid, USER_INOTIFY_INSTANCES);
        return NULL;
    }
    refcount_init(&in->refs, 1);
    lock_init(&in->lock, LOCK_RANK_OBJECT);
    wait_queue_init(&in->wq);
    list_init(&in->queue);
    in->uid = t->cred->uid;
    struct file *f = file_create_anon(FILE_INOTIFY, "inotify", O_RDONLY | (flags & O_NONBLOCK), 0, in);
    if (!f)
        instance_put(in);
    return f;
}

static uint32_t name_room(const struct inotify_event_entry *e)
{
    uint32_t unit = sizeof(struct inotify_event);
    return e->name_size ? (e->name_size + 1 + unit - 1) / unit * unit : 0;
}

static int64_t put_event(struct uio *u, const struct inotify_event_entry *e)
{
    struct inotify_event head = {.wd = e->wd, .mask = e->mask, .cookie = e->cookie, .len = name_room(e)};
    if (uio_put(u, &head, sizeof(head)) != sizeof(head))
        return -EFAULT;
    if (e->name_size && uio_put(u, e->name, e->name_size) != e->name_size)
        return -EFAULT;
    uint32_t zeros = head.len - e->name_size;
    if (zeros && uio_put_zeros(u, zeros) != zeros)
        return -EFAULT;
    return (int64_t)(sizeof(head) + head.len);
}

// The first event, taken off the queue, if it fits. NULL: none, or *ret_too_large.
static struct inotify_event_entry *take_event(struct inotify *in, uint64_t room, bool *ret_too_large)
{
    lock_take(&in->lock);
    struct inotify_event_entry *e = list_first(&in->queue, struct inotify_event_entry, node);
    *ret_too_large = e && sizeof(struct inotify_event) + name_room(e) > room;
    if (*ret_too_large)
        e = NULL;
    if (e) {
        list_remove(&e->node);
        if (e->mask & IN_Q_OVERFLOW)
            in->overflowed = false;
        __atomic_store_n(&in->count, in->count - 1, __ATOMIC_SEQ_CST);
    }
    lock_release(&in->lock);
    return e;
}

static int64_t inotify_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct inotify *in = f->priv;
    int64_t done = 0;
    for (;;) {
        bool too_large;
        struct inotify_event_entry *e = take_event(in, u->remaining, &too_large);
        if (e) {
            int64_t n = put_event(u, e);
            event_free(e);
            if (n < 0)
                return done ? done : n;
            done += n;
            continue;
        }
        if (done || too_large)
            return done ? done : -EINVAL;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int ret = wait_event(current_task(), &in->wq, __atomic_load_n(&in->count, __ATOMIC_SEQ_CST), NSEC_MAX);
        if (ret < 0)
            return ret;
    }
}

static uint32_t inotify_poll(struct file *f)
{
    return ((struct inotify *)f->priv)->count ? EPOLLIN | EPOLLRDNORM : 0;
}

static struct wait_queue *inotify_poll_queue(struct file *f)
{
    return &((struct inotify *)f->priv)->wq;
}

static int64_t inotify_ioctl(struct file *f, struct task *t, uint32_t cmd, uint64_t arg)
{
    struct inotify *in = f->priv;
    const struct inotify_event_entry *e;
    int32_t bytes = 0;
    if (cmd != FIONREAD)
        return -ENOTTY;
    lock_take(&in->lock);
    list_for_each(e, &in->queue, node)
    {
        bytes += (int32_t)(sizeof(struct inotify_event) + name_room(e));
    }
    lock_release(&in->lock);
    return copy_out_value(t, UADDR(arg), &bytes);
}

static struct inotify_watch *first_watch(struct inotify *in)
{
    lock_take(&in->lock);
    struct rb_node *n = rb_first(&in->watches);
    struct inotify_watch *w = n ? container_of(n, struct inotify_watch, node) : NULL;
    if (w)
        refcount_get(&w->refs);
    lock_release(&in->lock);
    return w;
}

static void inotify_release(struct file *f)
{
    struct inotify *in = f->priv;
    struct inotify_watch *w;
    struct inotify_event_entry *e;
    while ((w = first_watch(in))) {
        (void)watch_remove(w, false);
        watch_put(w);
    }
    lock_take(&in->lock);
    while ((e = list_first(&in->queue, struct inotify_event_entry, node))) {
        list_remove(&e->node);
        event_free(e);
    }
    lock_release(&in->lock);
    instance_put(in);
}

static void inotify_show_fdinfo(struct file *f, struct strbuf *out)
{
    struct inotify *in = f->priv;
    lock_take(&in->lock);
    for (struct rb_node *n = rb_first(&in->watches); n; n = rb_next(n)) {
        const struct inotify_watch *w = container_of(n, struct inotify_watch, node);
        strbuf_printf(out, "inotify wd:%x ino:%lx sdev:%x mask:%x ignored_mask:0 \n", w->wd, w->inode->ino,
                      w->inode->sb->dev, w->mask & IN_ALL_EVENTS);
    }
    lock_release(&in->lock);
}

const struct file_ops inotify_file_ops = {
    .read = inotify_read,
    .poll = inotify_poll,
    .poll_queue = inotify_poll_queue,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
    .show_fdinfo = inotify_show_fdinfo,
};
