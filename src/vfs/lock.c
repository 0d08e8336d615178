// Advisory locks: flock(2), POSIX record locks and open file description locks (fcntl(2)).
//
// An inode gets a context with its first lock and keeps it. flock locks belong to an open file; POSIX locks to a descriptor
// table (so that fork doesn't inherit them and any close by the process drops them); OFD locks to an open file, in one list with
// the POSIX ones since the two conflict. All lists are guarded by vfs.file_locks_lock: locking is rare, and looking for deadlocks
// needs them to stand still. A POSIX waiter notes whom it waits for; a wait that would close a circle is EDEADLK. Waiters are
// woken by every release on their inode and look again.
#include <sys/file.h>
#include <sys/sysmacros.h>

#include "base/slab.h"
#include "base/strbuf.h"
#include "vfs/vfs-int.h"

enum {
    LOCKS_MAX = 65536,   // on one inode
    DEADLOCK_STEPS = 64, // how far circles are looked for
};

struct file_lock {
    struct list node;
    const void *owner;  // struct fd_table or struct file: compared, never followed
    int64_t start, end; // end included
    int32_t pid;
    int16_t type;
    bool ofd;
};

struct file_lock_context {
    struct list node; // vfs.lock_contexts
    const struct inode *inode;
    struct list flocks, records; // records in order of start for each owner
    struct wait_queue wq;
    uint32_t count;
};

struct posix_waiter { // on the sleeper's stack
    struct list node;
    const void *owner, *blocker;
};

SLAB_TYPE(lock_slab, SLAB_FILE_LOCK, struct file_lock);

static struct file_lock_context *context_of(struct inode *inode)
{
    struct file_lock_context *c = __atomic_load_n(&inode->locks, __ATOMIC_ACQUIRE);
    if (c)
        return c;
    c = kmalloc(sizeof(*c));
    if (!c)
        return NULL;
    list_init(&c->node);
    list_init(&c->flocks);
    list_init(&c->records);
    wait_queue_init(&c->wq);
    c->inode = inode;
    struct file_lock_context *none = NULL;
    if (!__atomic_compare_exchange_n(&inode->locks, &none, c, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        kfree(c);
        return none;
    }
    struct vfs *v = the_vfs();
    lock_take(&v->file_locks_lock);
    list_push_back(&v->lock_contexts, &c->node);
    lock_release(&v->file_locks_lock);
    return c;
}

void file_locks_free(struct inode *inode)
{
    struct file_lock_context *c = inode->locks; // empty: every owner had the inode open
    if (!c)
        return;
    struct vfs *v = the_vfs();
    lock_take(&v->file_locks_lock);
    list_remove(&c->node);
    lock_release(&v->file_locks_lock);
    kfree(c);
    inode->locks = NULL;
}

static void drop(struct file_lock_context *c, struct file_lock *l)
{
    list_remove(&l->node);
    c->count--;
    slab_free(&lock_slab, l);
}

// ---- flock(2) ----

static struct file_lock *flock_conflict(struct file_lock_context *c, const struct file *f,
                                        int16_t type)
{
    struct file_lock *l;
    list_for_each (l, &c->flocks, node) {
        if (l->owner != f && (type == F_WRLCK || l->type == F_WRLCK))
            return l;
    }
    return NULL;
}

// Drops f's lock; true when there was one.
static bool flock_drop(struct file_lock_context *c, const struct file *f)
{
    struct file_lock *l, *tmp;
    bool any = false;
    list_for_each_safe (l, tmp, &c->flocks, node) {
        if (l->owner == f) {
            drop(c, l);
            any = true;
        }
    }
    return any;
}

static bool flock_holds(struct file_lock_context *c, const struct file *f, int16_t type)
{
    struct file_lock *l;
    list_for_each (l, &c->flocks, node) {
        if (l->owner == f)
            return l->type == type;
    }
    return false;
}

// 1: taken, 0: somebody else has it, or a negative errno. *fresh is consumed when it is taken.
static int flock_try(struct vfs *v, struct file_lock_context *c, struct file *f, int16_t type,
                     struct file_lock **fresh)
{
    int r = 1;
    bool dropped = false;
    lock_take(&v->file_locks_lock);
    if (!flock_holds(c, f, type)) {
        dropped = flock_drop(c, f); // a change of kind is not atomic, flock(2)
        if (type == F_UNLCK)
            r = 1;
        else if (flock_conflict(c, f, type))
            r = 0;
        else if (c->count >= LOCKS_MAX)
            r = -ENOLCK;
        else {
            (*fresh)->owner = f;
            (*fresh)->type = type;
            (*fresh)->end = INT64_MAX;
            (*fresh)->pid = current_task() ? (int32_t)current_task()->group->tgid : 0;
            list_push_back(&c->flocks, &(*fresh)->node);
            c->count++;
            *fresh = NULL;
        }
    }
    lock_release(&v->file_locks_lock);
    if (dropped)
        wake_up_all(&c->wq, 0);
    return r;
}

int file_flock(struct task *t, struct file *f, int op)
{
    struct vfs *v = the_vfs();
    int kind = op & ~LOCK_NB;
    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN)
        return -EINVAL;
    int16_t type = kind == LOCK_UN ? F_UNLCK : kind == LOCK_EX ? F_WRLCK : F_RDLCK;
    if (type != F_UNLCK && !f->readable && !f->writable)
        return -EBADF;
    struct file_lock_context *c = context_of(f->inode);
    struct file_lock *fresh = c ? slab_alloc(&lock_slab) : NULL;
    if (!fresh)
        return -ENOLCK;
    fresh->pid = (int32_t)t->group->tgid;
    int r = flock_try(v, c, f, type, &fresh), e = 0;
    if (r == 0 && (op & LOCK_NB))
        r = -EWOULDBLOCK;
    else if (r == 0)
        e = wait_event(t, &c->wq, (r = flock_try(v, c, f, type, &fresh)) != 0, NSEC_MAX);
    slab_free(&lock_slab, fresh);
    return e < 0 ? e : r < 0 ? r : 0;
}

// ---- Record locks; file_locks_lock held ----

static bool overlaps(const struct file_lock *l, int64_t start, int64_t end)
{
    return l->start <= end && start <= l->end;
}

static struct file_lock *record_conflict(struct file_lock_context *c, const void *owner,
                                         int16_t type, int64_t start, int64_t end)
{
    struct file_lock *l;
    list_for_each (l, &c->records, node) {
        if (l->owner != owner && overlaps(l, start, end) && (type == F_WRLCK || l->type == F_WRLCK))
            return l;
    }
    return NULL;
}

// Sets [start, end] of owner to type, F_UNLCK included: cuts, splits and merges what it has. *fresh: two spare locks.
static void record_set(struct file_lock_context *c, const void *owner, int16_t type, int64_t start,
                       int64_t end, bool ofd, int32_t pid, struct file_lock *fresh[2])
{
    struct file_lock *l, *tmp;
    list_for_each_safe (l, tmp, &c->records, node) {
        if (l->owner != owner)
            continue;
        bool touches = l->type == type && ((l->end != INT64_MAX && l->end + 1 == start) ||
                                           (end != INT64_MAX && end + 1 == l->start));
        if (!touches && !overlaps(l, start, end))
            continue;
        if (l->type == type) { // one with the new one
            start = MIN(start, l->start);
            end = MAX(end, l->end);
            drop(c, l);
            continue;
        }
        bool before = l->start<start, after = l->end> end;
        if (before && after) {
            struct file_lock *high = fresh[0];
            fresh[0] = NULL;
            *high = *l;
            high->start = end + 1;
            list_push_back(&c->records, &high->node);
            c->count++;
            l->end = start - 1;
        } else if (before) {
            l->end = start - 1;
        } else if (after) {
            l->start = end + 1;
        } else {
            drop(c, l);
        }
    }
    if (type == F_UNLCK)
        return;
    l = fresh[1];
    fresh[1] = NULL;
    l->owner = owner;
    l->start = start;
    l->end = end;
    l->pid = pid;
    l->type = type;
    l->ofd = ofd;
    list_push_back(&c->records, &l->node);
    c->count++;
}

static const void *waits_for(struct vfs *v, const void *owner)
{
    struct posix_waiter *w;
    list_for_each (w, &v->posix_waiters, node) {
        if (w->owner == owner)
            return w->blocker;
    }
    return NULL;
}

static bool would_deadlock(struct vfs *v, const void *owner, const void *blocker)
{
    for (int i = 0; blocker && i < DEADLOCK_STEPS; i++) {
        if (blocker == owner)
            return true;
        blocker = waits_for(v, blocker);
    }
    return false;
}

struct record_request {
    struct file_lock_context *c;
    const void *owner;
    int64_t start, end;
    int16_t type;
    bool ofd, wait;
    int32_t pid;
    struct file_lock *fresh[2];
    struct posix_waiter waiter;
};

// 1: done; 0: wait; or a negative errno.
static int record_try(struct vfs *v, struct record_request *q)
{
    int r = 1;
    struct file_lock *other = NULL;
    lock_take(&v->file_locks_lock);
    list_remove(&q->waiter.node);
    if (q->type != F_UNLCK)
        other = record_conflict(q->c, q->owner, q->type, q->start, q->end);
    if (other) {
        r = q->wait ? 0 : -EAGAIN;
        if (q->wait && !q->ofd && !other->ofd && would_deadlock(v, q->owner, other->owner)) {
            r = -EDEADLK;
        } else if (q->wait && !q->ofd) {
            q->waiter.owner = q->owner;
            q->waiter.blocker = other->ofd ? NULL : other->owner;
            list_push_back(&v->posix_waiters, &q->waiter.node);
        }
    } else if (q->c->count >= LOCKS_MAX - 1 && q->type != F_UNLCK) {
        r = -ENOLCK;
    } else {
        record_set(q->c, q->owner, q->type, q->start, q->end, q->ofd, q->pid, q->fresh);
    }
    lock_release(&v->file_locks_lock);
    // Anything but a new lock may have let somebody in; so may a write lock that became a read lock.
    if (r == 1 && q->type != F_WRLCK)
        wake_up_all(&q->c->wq, 0);
    return r;
}

// struct flock to a range with its end included. file position and size as of now.
static int range_of(struct file *f, const struct flock *l, int64_t *start, int64_t *end)
{
    int64_t base = 0;
    switch (l->l_whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = (int64_t)f->pos;
        break;
    case SEEK_END:
        (void)inode_getattr(f->inode);
        base = (int64_t)f->inode->size;
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, l->l_start, start))
        return -EOVERFLOW;
    if (*start < 0)
        return -EINVAL;
    *end = INT64_MAX;
    if (l->l_len > 0) {
        if (__builtin_add_overflow(*start, l->l_len - 1, end))
            return -EOVERFLOW;
    } else if (l->l_len < 0) {
        *end = *start - 1;
        if (__builtin_add_overflow(*start, l->l_len, start) || *start < 0)
            return -EINVAL;
    }
    return 0;
}

static int check_request(struct file *f, const struct flock *l, bool ofd, bool get)
{
    if (l->l_type != F_RDLCK && l->l_type != F_WRLCK && l->l_type != F_UNLCK)
        return -EINVAL;
    if (ofd && l->l_pid != 0)
        return -EINVAL;
    if (get)
        return l->l_type == F_UNLCK && !ofd ? -EINVAL : 0;
    if ((l->l_type == F_RDLCK && !f->readable) || (l->l_type == F_WRLCK && !f->writable))
        return -EBADF;
    return 0;
}

int file_lock_set(struct task *t, struct file *f, const struct flock *l, bool ofd, bool wait)
{
    struct vfs *v = the_vfs();
    struct record_request q = {
        .type = l->l_type, .ofd = ofd, .wait = wait, .pid = ofd ? -1 : (int32_t)t->group->tgid};
    int r = check_request(f, l, ofd, false);
    if (r == 0)
        r = range_of(f, l, &q.start, &q.end);
    if (r < 0)
        return r;
    q.owner = ofd ? (const void *)f : (const void *)t->files;
    list_init(&q.waiter.node);
    q.c = context_of(f->inode);
    q.fresh[0] = slab_alloc(&lock_slab);
    q.fresh[1] = slab_alloc(&lock_slab);
    int e = 0;
    if (!q.c || !q.fresh[0] || !q.fresh[1]) {
        r = -ENOLCK;
    } else {
        r = record_try(v, &q);
        if (r == 0)
            e = wait_event(t, &q.c->wq, (r = record_try(v, &q)) != 0, NSEC_MAX);
        lock_take(&v->file_locks_lock);
        list_remove(&q.waiter.node);
        lock_release(&v->file_locks_lock);
    }
    slab_free(&lock_slab, q.fresh[0]);
    slab_free(&lock_slab, q.fresh[1]);
    return e < 0 ? e : r < 0 ? r : 0;
}

int file_lock_get(struct task *t, struct file *f, struct flock *l, bool ofd)
{
    struct vfs *v = the_vfs();
    int64_t start, end;
    int r = check_request(f, l, ofd, true);
    if (r == 0)
        r = range_of(f, l, &start, &end);
    if (r < 0)
        return r;
    struct file_lock_context *c = __atomic_load_n(&f->inode->locks, __ATOMIC_ACQUIRE);
    struct file_lock *other = NULL;
    lock_take(&v->file_locks_lock);
    if (c)
        other = record_conflict(c, ofd ? (const void *)f : (const void *)t->files, l->l_type, start,
                                end);
    if (other) {
        l->l_type = other->type;
        l->l_whence = SEEK_SET;
        l->l_start = other->start;
        l->l_len = other->end == INT64_MAX ? 0 : other->end - other->start + 1;
        l->l_pid = other->pid;
    } else {
        l->l_type = F_UNLCK;
    }
    lock_release(&v->file_locks_lock);
    return 0;
}

// ---- Endings ----

void file_locks_close(struct fd_table *table, struct file *f)
{
    struct vfs *v = the_vfs();
    struct file_lock_context *c = f->inode->locks;
    struct file_lock *l, *tmp;
    bool any = false;
    lock_take(&v->file_locks_lock);
    list_for_each_safe (l, tmp, &c->records, node) {
        if (l->owner == table && !l->ofd) {
            drop(c, l);
            any = true;
        }
    }
    lock_release(&v->file_locks_lock);
    if (any)
        wake_up_all(&c->wq, 0);
}

void file_locks_release(struct file *f)
{
    struct vfs *v = the_vfs();
    struct file_lock_context *c = f->inode->locks;
    struct file_lock *l, *tmp;
    lock_take(&v->file_locks_lock);
    bool any = flock_drop(c, f);
    list_for_each_safe (l, tmp, &c->records, node) {
        if (l->owner == f) {
            drop(c, l);
            any = true;
        }
    }
    lock_release(&v->file_locks_lock);
    if (any)
        wake_up_all(&c->wq, 0);
}

// ---- /proc/locks, proc(5) ----

static void show_lock(struct strbuf *out, const struct file_lock_context *c, const struct file_lock *l, const char *kind,
                      uint32_t number)
{
    uint32_t dev = c->inode->sb->dev;
    strbuf_printf(out, "%u: %s ADVISORY  %s %d %02x:%02x:%llu %lld ", number, kind, l->type == F_WRLCK ? "WRITE" : "READ ",
                  l->pid, major(dev), minor(dev), (unsigned long long)c->inode->ino, (long long)l->start);
    if (l->end == INT64_MAX)
        strbuf_puts(out, "EOF\n");
    else
        strbuf_printf(out, "%lld\n", (long long)l->end);
}

void file_locks_show(struct strbuf *out)
{
    struct vfs *v = the_vfs();
    struct file_lock_context *c;
    struct file_lock *l;
    uint32_t number = 0;
    lock_take(&v->file_locks_lock);
    list_for_each (c, &v->lock_contexts, node) {
        list_for_each (l, &c->flocks, node)
            show_lock(out, c, l, "FLOCK ", ++number);
        list_for_each (l, &c->records, node)
            show_lock(out, c, l, l->ofd ? "OFDLCK" : "POSIX ", ++number);
    }
    lock_release(&v->file_locks_lock);
}
