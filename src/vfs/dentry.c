// The name cache.
//
// A dentry is cached when it is hashed under its parent and name; the cache then holds one reference of its own. Hashed dentries
// may have an inode or be negative: the name is known to be absent. A directory dentry that is DENTRY_COMPLETE has all its
// children cached, so that absence needs no negative dentries.
//
// Walkers look dentries up without a lock. That is safe because memory of dentries is only ever used for dentries (freed ones go
// to a list of our own, not back to the slab) and because dentry.seq goes on counting over reuse: a reader notes it, reads what it
// needs, and believes it when seq is even and unchanged. Names longer than the inline buffer lie in blocks of one size, so a
// torn read of name and length stays inside a block. A miss is believed when vfs.removals did not change meanwhile.
//
// A positive dentry keeps its inode while anyone else holds a reference: unlink takes it out of the cache instead of making it
// negative. The LRU is a clock: look-ups set dentry.used, the shrinker gives those a second round.
//
// Locking: dentry.lock of the parent guards children and their sibling nodes; vfs.hash_lock (taken after it) guards chains, LRU
// and free list, and names and parents change under it. inode.dir_lock of the parent's inode serialises look-ups that miss.
#include <sys/inotify.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/slab.h"
#include "vfs/vfs-int.h"

SLAB_TYPE(dentry_type, SLAB_DENTRY, struct dentry);

enum {
    LONG_NAME_ROOM = 256,
    FIRST_BUCKETS = 1024,
    CHAIN_LIMIT = 256, // steps of a lock-free search before it gives up
    SHRINK_BATCH = 64,
};

static struct dentry_table *table_alloc(uint32_t count)
{
    struct dentry_table *t = kmalloc(sizeof(*t) + (uint64_t)count * sizeof(t->buckets[0]));
    if (t)
        t->mask = count - 1;
    return t;
}

int dcache_init(struct vfs *v, uint64_t memory_limit)
{
    lock_init(&v->hash_lock, LOCK_RANK_OBJECT);
    list_init(&v->lru);
    v->table = table_alloc(FIRST_BUCKETS);
    // At about 600 bytes for a name and its inode, a 25th of the sandbox's memory.
    uint64_t max = memory_limit ? memory_limit / 16384 : 131072;
    v->dentry_max = (uint32_t)MIN(MAX(max, 8192), 262144);
    return v->table ? 0 : -ENOMEM;
}

uint32_t dentry_hash_name(const char *name, uint32_t len)
{
    return (uint32_t)siphash(&the_kernel()->hash_key, name, len);
}

static struct dentry **bucket(struct dentry_table *t, const struct dentry *parent, uint32_t hash)
{
    uint64_t p = (uint64_t)parent >> 6;
    uint64_t x = (hash ^ p) * 0x9e3779b97f4a7c15ull;
    return &t->buckets[(x >> 32) & t->mask];
}

// ---- Hash chains: all under hash_lock ----

static void hash_insert(struct vfs *v, struct dentry *d)
{
    struct dentry **head = bucket(v->table, d->parent, d->name_hash);
    __atomic_store_n(&d->hash_next, *head, __ATOMIC_RELAXED);
    STORE_RELEASE(*head, d);
}

static void hash_unlink(struct vfs *v, struct dentry *d)
{
    struct dentry **link = bucket(v->table, d->parent, d->name_hash);
    while (*link != d)
        link = &(*link)->hash_next;
    // d->hash_next stays, for a walker that stands on d.
    STORE_RELEASE(*link, d->hash_next);
}

static void hash_remove(struct vfs *v, struct dentry *d)
{
    seq_write_begin(&v->removals);
    hash_unlink(v, d);
    seq_write_end(&v->removals);
}

// Four times the buckets. The old table is kept for walkers that still read it; the sizes add up to a third of the new one.
static void hash_grow(struct vfs *v)
{
    struct dentry_table *old = v->table;
    struct dentry_table *t = table_alloc((old->mask + 1) * 4);
    if (!t)
        return;
    seq_write_begin(&v->removals);
    for (uint32_t i = 0; i <= old->mask; i++) {
        struct dentry *d, *next;
        for (d = old->buckets[i]; d; d = next) {
            next = d->hash_next;
            struct dentry **head = bucket(t, d->parent, d->name_hash);
            __atomic_store_n(&d->hash_next, *head, __ATOMIC_RELEASE);
            *head = d;
        }
        __atomic_store_n(&old->buckets[i], NULL, __ATOMIC_RELAXED);
    }
    STORE_RELEASE(v->table, t);
    seq_write_end(&v->removals);
}

static struct dentry *chain_find(struct vfs *v, const struct dentry *parent, const char *name,
                                 uint32_t len, uint32_t hash)
{
    for (struct dentry *d = *bucket(v->table, parent, hash); d; d = d->hash_next) {
        if (d->name_hash == hash && d->parent == parent && d->name_len == len &&
            !memcmp(d->name, name, len))
            return d;
    }
    return NULL;
}

// ---- Life ----

static struct dentry *dentry_take(struct vfs *v)
{
    lock_take(&v->hash_lock);
    struct dentry *d = v->free_dentries;
    if (d)
        v->free_dentries = d->hash_next;
    lock_release(&v->hash_lock);
    if (!d) {
        d = slab_alloc(&dentry_type);
        if (d) {
            lock_init(&d->lock, LOCK_RANK_DENTRY);
            d->name = d->inline_name;
            seq_write_begin(&d->seq);
        }
    }
    return d;
}

static void dentry_give_back(struct vfs *v, struct dentry *d)
{
    lock_take(&v->hash_lock);
    d->hash_next = v->free_dentries;
    v->free_dentries = d;
    lock_release(&v->hash_lock);
}

struct dentry *dentry_new(struct super_block *sb, struct dentry *parent, const char *name,
                          uint32_t len, struct inode *inode)
{
    struct vfs *v = the_vfs();
    char *room = NULL;
    if (len >= sizeof(((struct dentry *)0)->inline_name))
        room = kmalloc(LONG_NAME_ROOM);
    struct dentry *d =
        len > VFS_NAME_MAX || (len >= sizeof(d->inline_name) && !room) ? NULL : dentry_take(v);
    if (!d) {
        kfree(room);
        inode_unref(inode);
        return NULL;
    }
    // seq is odd: nobody believes what is being written.
    d->parent = parent ? dentry_ref(parent) : d;
    d->inode = inode;
    d->sb = sb;
    d->name = room ? room : d->inline_name;
    d->name_len = len;
    d->name_hash = dentry_hash_name(name, len);
    memcpy(d->name, name, len);
    d->name[len] = 0;
    list_init(&d->children);
    list_init(&d->sibling);
    list_init(&d->lru);
    __atomic_store_n((uint32_t *)&d->mount_count, 0, __ATOMIC_RELAXED);
    d->next_cookie = 3; // 0 to 2 are the start, "." and ".."
    d->used = 0;
    __atomic_store_n(&d->flags, DENTRY_UNHASHED, __ATOMIC_RELAXED);
    if (inode && inode_is_dir(inode))
        __atomic_store_n(&inode->dir_dentry, d, __ATOMIC_RELEASE);
    refcount_init(&d->refs, 1);
    seq_write_end(&d->seq);
    return d;
}

struct dentry *dentry_alloc_root(struct super_block *sb, struct inode *root)
{
    return dentry_new(sb, NULL, "/", 1, root);
}

struct dentry *dentry_ref(struct dentry *d)
{
    refcount_get(&d->refs);
    return d;
}

// The last reference is gone, so d is in no chain and no list of children. Returns the parent whose reference it held.
static struct dentry *dentry_free_one(struct dentry *d)
{
    struct dentry *parent = d->parent == d ? NULL : d->parent;
    struct inode *inode = d->inode;
    seq_write_begin(&d->seq); // stays odd
    if (inode) {
        struct dentry *self = d;
        __atomic_compare_exchange_n(&inode->dir_dentry, &self, NULL, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED);
    }
    char *name = d->name;
    d->inode = NULL;
    d->name = d->inline_name;
    d->parent = NULL;
    if (name != d->inline_name)
        kfree(name);
    dentry_give_back(the_vfs(), d);
    // The last name and the last user are gone: now it is deleted for those who watch it.
    if (inode && unlikely(!list_empty(&inode->watches)) &&
        (LOAD_RELAXED(inode->nlink) == 0 || (inode->flags & INODE_DEAD)))
        vfs_notify(inode, NULL, IN_DELETE_SELF);
    inode_unref(inode);
    return parent;
}

void dentry_unref(struct dentry *d)
{
    while (d && refcount_put(&d->refs))
        d = dentry_free_one(d);
}

// Frees d, whose count the shrinker has taken to zero.
static void dentry_free_dead(struct dentry *d)
{
    dentry_unref(dentry_free_one(d));
}

// ---- The shrinker ----

// Takes up to a batch of unused dentries out of the chains, oldest first. hash_lock held.
static uint32_t shrink_collect(struct vfs *v, struct dentry *victims[SHRINK_BATCH])
{
    uint32_t n = 0;
    for (uint32_t scanned = 0;
         scanned < 4 * SHRINK_BATCH && n < SHRINK_BATCH && !list_empty(&v->lru); scanned++) {
        struct dentry *d = container_of(v->lru.prev, struct dentry, lru);
        uint32_t one = 1;
        list_remove(&d->lru);
        if (d->used || !__atomic_compare_exchange_n((uint32_t *)&d->refs.n, &one, 0, false,
                                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            d->used = 0;
            list_push_front(&v->lru, &d->lru);
            continue;
        }
        // The parent must stop to claim completeness before the child can be missed.
        __atomic_fetch_and(&d->parent->flags, ~(uint32_t)DENTRY_COMPLETE, __ATOMIC_ACQ_REL);
        __atomic_fetch_or(&d->parent->flags, DENTRY_LOST, __ATOMIC_ACQ_REL);
        hash_remove(v, d);
        __atomic_fetch_or(&d->flags, DENTRY_UNHASHED, __ATOMIC_ACQ_REL);
        v->dentry_count--;
        victims[n++] = d;
    }
    return n;
}

static void dcache_shrink(struct vfs *v)
{
    struct dentry *victims[SHRINK_BATCH];
    lock_take(&v->hash_lock);
    uint32_t n = shrink_collect(v, victims);
    lock_release(&v->hash_lock);
    for (uint32_t i = 0; i < n; i++) {
        struct dentry *parent = victims[i]->parent; // the victim's reference keeps it
        lock_take(&parent->lock);
        list_remove(&victims[i]->sibling);
        lock_release(&parent->lock);
        dentry_free_dead(victims[i]);
    }
}

// ---- In and out of the cache ----

void dentry_add(struct dentry *d)
{
    struct vfs *v = the_vfs();
    struct dentry *parent = d->parent;
    BUG_ON(parent == d);
    dentry_ref(d); // the cache's
    lock_take(&parent->lock);
    d->cookie = parent->next_cookie++;
    list_push_back(&parent->children, &d->sibling);
    lock_take(&v->hash_lock);
    seq_write_begin(&d->seq);
    __atomic_fetch_and(&d->flags, ~(uint32_t)DENTRY_UNHASHED, __ATOMIC_RELAXED);
    hash_insert(v, d);
    seq_write_end(&d->seq);
    list_push_front(&v->lru, &d->lru);
    uint32_t count = ++v->dentry_count;
    if (count > v->table->mask * 2 + 2)
        hash_grow(v);
    lock_release(&v->hash_lock);
    lock_release(&parent->lock);
    if (count > v->dentry_max)
        dcache_shrink(v);
}

void dentry_drop(struct dentry *d)
{
    struct vfs *v = the_vfs();
    struct dentry *parent = dentry_get_parent(d);
    bool was_hashed = false;
    lock_take(&parent->lock);
    lock_take(&v->hash_lock);
    if (d->parent == parent && !(dentry_flags(d) & DENTRY_UNHASHED)) {
        was_hashed = true;
        seq_write_begin(&d->seq);
        hash_remove(v, d);
        __atomic_fetch_or(&d->flags, DENTRY_UNHASHED, __ATOMIC_RELAXED);
        seq_write_end(&d->seq);
        list_remove(&d->lru);
        list_remove(&d->sibling);
        v->dentry_count--;
    }
    lock_release(&v->hash_lock);
    lock_release(&parent->lock);
    dentry_unref(parent);
    if (was_hashed)
        dentry_unref(d);
}

void dentry_set_inode(struct dentry *d, struct inode *inode)
{
    seq_write_begin(&d->seq);
    __atomic_store_n(&d->inode, inode, __ATOMIC_RELEASE);
    if (inode_is_dir(inode))
        __atomic_store_n(&inode->dir_dentry, d, __ATOMIC_RELEASE);
    seq_write_end(&d->seq);
}

static void swap_names(struct dentry *a, struct dentry *b)
{
    char inline_a[sizeof(a->inline_name)];
    char *name_a = a->name == a->inline_name ? NULL : a->name;
    char *name_b = b->name == b->inline_name ? NULL : b->name;
    memcpy(inline_a, a->inline_name, sizeof(inline_a));
    memcpy(a->inline_name, b->inline_name, sizeof(inline_a));
    memcpy(b->inline_name, inline_a, sizeof(inline_a));
    a->name = name_b ? name_b : a->inline_name;
    b->name = name_a ? name_a : b->inline_name;
    uint32_t len = a->name_len, hash = a->name_hash;
    a->name_len = b->name_len;
    a->name_hash = b->name_hash;
    b->name_len = len;
    b->name_hash = hash;
    struct dentry *parent = a->parent;
    a->parent = b->parent;
    b->parent = parent;
}

void dentry_move(struct dentry *d, struct dentry *target, bool exchange)
{
    struct vfs *v = the_vfs();
    // Stable: both directories' dir_lock is held.
    struct dentry *from = d->parent, *to = target->parent;
    lock_pair(&from->lock, &to->lock);
    lock_take(&v->hash_lock);
    bool target_hashed = !(dentry_flags(target) & DENTRY_UNHASHED);
    bool hashed = !(dentry_flags(d) & DENTRY_UNHASHED);
    // Until both are in their places a miss proves nothing.
    seq_write_begin(&v->removals);
    seq_write_begin(&d->seq);
    seq_write_begin(&target->seq);
    if (hashed) {
        hash_unlink(v, d);
        list_remove(&d->sibling);
    }
    if (target_hashed) {
        hash_unlink(v, target);
        list_remove(&target->sibling);
    }
    swap_names(d, target);
    if (hashed) {
        d->cookie = to->next_cookie++;
        list_push_back(&to->children, &d->sibling);
        hash_insert(v, d);
    }
    if (target_hashed && exchange) {
        target->cookie = from->next_cookie++;
        list_push_back(&from->children, &target->sibling);
        hash_insert(v, target);
    } else if (target_hashed) {
        __atomic_fetch_or(&target->flags, DENTRY_UNHASHED, __ATOMIC_RELAXED);
        list_remove(&target->lru);
        v->dentry_count--;
    }
    seq_write_end(&target->seq);
    seq_write_end(&d->seq);
    seq_write_end(&v->removals);
    lock_release(&v->hash_lock);
    unlock_pair(&from->lock, &to->lock);
    if (target_hashed && !exchange)
        dentry_unref(target);
}

// ---- Look-ups ----

struct dentry *dentry_find(struct dentry *parent, const char *name, uint32_t len)
{
    struct vfs *v = the_vfs();
    uint32_t hash = dentry_hash_name(name, len);
    lock_take(&v->hash_lock);
    struct dentry *d = chain_find(v, parent, name, len, hash);
    if (d) {
        dentry_ref(d); // the cache's own reference makes this safe
        d->used = 1;
    }
    lock_release(&v->hash_lock);
    return d;
}

struct dentry *dentry_find_fast(struct vfs *v, struct dentry *parent, uint32_t parent_seq,
                                const char *name, uint32_t len, uint32_t hash, uint32_t *seq)
{
    struct dentry_table *table = __atomic_load_n(&v->table, __ATOMIC_ACQUIRE);
    struct dentry *d = __atomic_load_n(bucket(table, parent, hash), __ATOMIC_ACQUIRE);
    for (int steps = 0; d && steps < CHAIN_LIMIT; steps++) {
        if (LOAD_RELAXED(d->name_hash) == hash && LOAD_RELAXED(d->parent) == parent &&
            LOAD_RELAXED(d->name_len) == len) {
            uint32_t s = seq_read_begin(&d->seq);
            const char *text = LOAD_RELAXED(d->name);
            bool inline_text = text == d->inline_name;
            if (!(s & 1) && LOAD_RELAXED(d->parent) == parent &&
                !(dentry_flags(d) & DENTRY_UNHASHED) &&
                inline_text == (len < sizeof(d->inline_name)) && !memcmp(text, name, len) &&
                !seq_read_retry(&d->seq, s) && !seq_read_retry(&parent->seq, parent_seq)) {
                *seq = s;
                return d;
            }
        }
        d = __atomic_load_n(&d->hash_next, __ATOMIC_ACQUIRE);
    }
    return NULL;
}

struct dentry *dentry_get_parent(struct dentry *d)
{
    for (;;) {
        struct dentry *p = __atomic_load_n(&d->parent, __ATOMIC_ACQUIRE);
        // p may just have been left and freed; memory of dentries stays dentries, so asking is safe.
        if (!refcount_get_unless_zero(&p->refs))
            continue;
        if (p == __atomic_load_n(&d->parent, __ATOMIC_ACQUIRE))
            return p;
        dentry_unref(p);
    }
}

uint32_t dentry_copy_name(struct dentry *d, char buf[VFS_NAME_MAX + 1])
{
    for (;;) {
        uint32_t s = seq_read_begin(&d->seq);
        uint32_t len = LOAD_RELAXED(d->name_len);
        const char *text = LOAD_RELAXED(d->name);
        if ((s & 1) || len > VFS_NAME_MAX ||
            (text == d->inline_name) != (len < sizeof(d->inline_name)))
            continue;
        memcpy(buf, text, len);
        if (!seq_read_retry(&d->seq, s)) {
            buf[len] = 0;
            return len;
        }
    }
}

bool dentry_is_below(struct dentry *d, const struct dentry *ancestor)
{
    // References are not needed: d's chain of parents is held by d, and rename_lock keeps it still. Without that lock the
    // answer may be of a moment ago, but the memory is still of dentries.
    for (uint32_t depth = 0; depth < 1u << 20; depth++) {
        if (d == ancestor)
            return true;
        struct dentry *p = __atomic_load_n(&d->parent, __ATOMIC_ACQUIRE);
        if (p == d || !p)
            return false;
        d = p;
    }
    return false;
}

// ---- For file systems ----

struct dentry *inode_any_dentry(struct inode *dir)
{
    return __atomic_load_n(&dir->dir_dentry, __ATOMIC_ACQUIRE);
}

void dentry_fill_begin(struct dentry *dir)
{
    __atomic_fetch_and(&dir->flags, ~(uint32_t)DENTRY_LOST, __ATOMIC_ACQ_REL);
}

void dentry_cache_child(struct dentry *dir, const char *name, uint32_t len, struct inode *inode)
{
    struct dentry *d = dentry_find(dir, name, len);
    if (d && (d->inode || !inode)) {
        inode_unref(inode);
        dentry_unref(d);
        return;
    }
    if (d) { // a negative one that is wrong by now
        dentry_drop(d);
        dentry_unref(d);
    }
    d = dentry_new(dir->sb, dir, name, len, inode);
    if (!d) {
        __atomic_fetch_or(&dir->flags, DENTRY_LOST, __ATOMIC_ACQ_REL);
        return;
    }
    dentry_add(d);
    dentry_unref(d);
}

void dentry_set_complete(struct dentry *dir)
{
    uint32_t flags = dentry_flags(dir);
    do {
        if (flags & DENTRY_LOST)
            return;
    } while (!__atomic_compare_exchange_n(&dir->flags, &flags, flags | DENTRY_COMPLETE, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

// A child of d that is still alive, or NULL.
static struct dentry *first_child(struct dentry *d)
{
    struct dentry *child, *found = NULL;
    lock_take(&d->lock);
    list_for_each (child, &d->children, sibling) {
        if (!child->mount_count && refcount_get_unless_zero(&child->refs)) {
            found = child;
            break;
        }
    }
    lock_release(&d->lock);
    return found;
}

void dentry_invalidate(struct dentry *d)
{
    // Mount points stay in the cache: their mounts hold them.
    struct dentry *at = dentry_ref(d), *child;
    for (;;) {
        __atomic_fetch_and(&at->flags, ~(uint32_t)DENTRY_COMPLETE, __ATOMIC_ACQ_REL);
        __atomic_fetch_or(&at->flags, DENTRY_LOST, __ATOMIC_ACQ_REL);
        if ((child = first_child(at))) {
            dentry_unref(at);
            at = child;
            continue;
        }
        struct dentry *parent = dentry_get_parent(at);
        __atomic_fetch_and(&parent->flags, ~(uint32_t)DENTRY_COMPLETE, __ATOMIC_ACQ_REL);
        __atomic_fetch_or(&parent->flags, DENTRY_LOST, __ATOMIC_ACQ_REL);
        if (parent != at && !at->mount_count)
            dentry_drop(at);
        bool done = at == d || parent == at;
        dentry_unref(at);
        at = parent;
        if (done)
            break;
    }
    dentry_unref(at);
}
