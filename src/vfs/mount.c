// Mounts: the objects, their tree, and finding what is mounted on a dentry.
//
// A mount is found by (parent, mountpoint) in a hash table. Finding takes no lock: vfs.mount_seq is odd while the tree changes
// and different afterwards, memory of mounts is only ever used for mounts, so what was read is believed when mount_seq is even
// and unchanged. Mounts form stacks: what is mounted on a place that is covered covers the root of the topmost mount there.
//
// References: the tree holds one on each attached mount; a child holds its parent and its mountpoint; paths hold their mount. A
// mount that nobody else refers to can be unmounted (umount2(2)). A super block lives as long as it is mounted.
//
// Locking: mount_ns.lock guards parent, mountpoint, ns and the list of a namespace's mounts; vfs.mount_lock, taken after it, the
// hash chains, ids and free mounts.
#include "base/log.h"
#include "base/slab.h"
#include "vfs/mount-int.h"
#include "vfs/vfs-int.h"

SLAB_TYPE(mount_type, SLAB_MOUNT, struct mount);
SLAB_TYPE(mount_ns_type, SLAB_MOUNT_NS, struct mount_ns);

enum { CHAIN_LIMIT = 8192 };

int mounts_init(struct vfs *v)
{
    lock_init(&v->mount_lock, LOCK_RANK_OBJECT);
    v->next_mount_id = 20;
    return 0;
}

static struct mount **bucket(struct vfs *v, const struct mount *parent, const struct dentry *d)
{
    uint64_t x = (((uint64_t)parent >> 6) * 31 + ((uint64_t)d >> 6)) * 0x9e3779b97f4a7c15ull;
    return &v->mount_hash[x >> 58];
}
_Static_assert(MOUNT_HASH_SIZE == 64, "six bits of the hash");

struct mount *mount_alloc(struct super_block *sb, struct dentry *root, const char *source,
                          uint32_t flags)
{
    struct vfs *v = the_vfs();
    char *text = kstrdup(source ? source : "none");
    lock_take(&v->mount_lock);
    struct mount *m = text ? v->free_mounts : NULL;
    if (m)
        v->free_mounts = m->hash_next;
    lock_release(&v->mount_lock);
    if (!m && text)
        m = slab_alloc(&mount_type);
    if (!m) {
        kfree(text);
        dentry_unref(root);
        super_unref(sb);
        return NULL;
    }
    m->parent = NULL;
    m->mountpoint = NULL;
    m->root = root;
    m->sb = sb;
    m->flags = flags;
    list_init(&m->node);
    m->hash_next = NULL;
    m->ns = NULL;
    m->expiry_mark = false;
    m->writers = 0;
    m->source = text;
    __atomic_fetch_add((uint32_t *)&sb->active, 1, __ATOMIC_ACQ_REL);
    lock_take(&v->mount_lock);
    m->id = v->next_mount_id++;
    lock_release(&v->mount_lock);
    refcount_init(&m->refs, 1);
    return m;
}

struct mount *mount_ref(struct mount *m)
{
    refcount_get(&m->refs);
    return m;
}

// Empties the cache of everything below the root, and lets go of the root: inodes of open files may still hold the super block.
void super_kill(struct super_block *sb)
{
    struct dentry *root = sb->root;
    sb->root = NULL;
    if (!root)
        return;
    dentry_invalidate(root);
    dentry_unref(root);
}

void mount_unref(struct mount *m)
{
    if (!m || !refcount_put(&m->refs))
        return;
    struct vfs *v = the_vfs();
    struct super_block *sb = m->sb;
    dentry_unref(m->root);
    kfree(m->source);
    m->root = NULL;
    m->sb = NULL;
    m->source = NULL;
    lock_take(&v->mount_lock);
    m->hash_next = v->free_mounts;
    v->free_mounts = m;
    lock_release(&v->mount_lock);
    if (__atomic_sub_fetch((uint32_t *)&sb->active, 1, __ATOMIC_ACQ_REL) == 0)
        super_kill(sb);
    super_unref(sb);
}

int mount_want_write(struct mount *m)
{
    return (LOAD_RELAXED(m->flags) & MS_RDONLY) || m->sb->read_only ? -EROFS : 0;
}

// ---- Finding ----

struct mount *mount_find_fast(struct vfs *v, const struct mount *parent, const struct dentry *d)
{
    struct mount *m = __atomic_load_n(bucket(v, parent, d), __ATOMIC_ACQUIRE);
    for (int steps = 0; m && steps < CHAIN_LIMIT; steps++) {
        if (LOAD_RELAXED(m->parent) == parent && LOAD_RELAXED(m->mountpoint) == d)
            return m;
        m = __atomic_load_n(&m->hash_next, __ATOMIC_ACQUIRE);
    }
    return NULL;
}

struct mount *mount_find(struct mount *parent, struct dentry *d)
{
    struct vfs *v = the_vfs();
    if (!d->mount_count)
        return NULL;
    lock_take(&v->mount_lock);
    struct mount *m = mount_find_fast(v, parent, d);
    if (m && !refcount_get_unless_zero(&m->refs))
        m = NULL;
    lock_release(&v->mount_lock);
    return m;
}

void path_step_down(struct path *p)
{
    struct mount *m;
    while (p->dentry->mount_count && (m = mount_find(p->mount, p->dentry))) {
        struct dentry *root = dentry_ref(m->root);
        path_put(p);
        *p = (struct path){.mount = m, .dentry = root};
    }
}

bool path_step_up(struct path *p)
{
    struct vfs *v = the_vfs();
    struct path up = {0};
    lock_take(&v->mount_lock);
    if (p->mount->parent) {
        up.mount = mount_ref(p->mount->parent);
        up.dentry = dentry_ref(p->mount->mountpoint);
    }
    lock_release(&v->mount_lock);
    if (!up.mount)
        return false;
    path_put(p);
    *p = up;
    return true;
}

// ---- The tree: mount_ns.lock held ----

void mount_link_locked(struct mount_ns *ns, struct mount *m, struct mount *parent,
                       struct dentry *mountpoint)
{
    struct vfs *v = the_vfs();
    mount_ref(parent);
    dentry_ref(mountpoint);
    lock_take(&v->mount_lock);
    seq_write_begin(&v->mount_seq);
    m->parent = parent;
    m->mountpoint = mountpoint;
    __atomic_fetch_add((uint32_t *)&mountpoint->mount_count, 1, __ATOMIC_ACQ_REL);
    struct mount **head = bucket(v, parent, mountpoint);
    m->hash_next = *head;
    STORE_RELEASE(*head, m);
    seq_write_end(&v->mount_seq);
    lock_release(&v->mount_lock);
    m->ns = ns;
    list_push_back(&ns->mounts, &m->node);
}

struct path mount_unlink_locked(struct mount *m)
{
    struct vfs *v = the_vfs();
    struct path at = {.mount = m->parent, .dentry = m->mountpoint};
    if (at.mount) {
        lock_take(&v->mount_lock);
        seq_write_begin(&v->mount_seq);
        struct mount **link = bucket(v, m->parent, m->mountpoint);
        while (*link != m)
            link = &(*link)->hash_next;
        STORE_RELEASE(*link, m->hash_next);
        m->parent = NULL;
        m->mountpoint = NULL;
        __atomic_fetch_sub((uint32_t *)&at.dentry->mount_count, 1, __ATOMIC_ACQ_REL);
        seq_write_end(&v->mount_seq);
        lock_release(&v->mount_lock);
    }
    list_remove(&m->node);
    m->ns = NULL;
    return at;
}

void mount_ns_changed(struct mount_ns *ns)
{
    __atomic_fetch_add((uint32_t *)&ns->sequence, 1, __ATOMIC_ACQ_REL);
    wake_up_all(&ns->wq, 0);
}

// The topmost mount on (parent, d), as a place for the next: borrowed pointers. ns->lock held.
static void topmost_locked(struct mount **parent, struct dentry **d)
{
    struct mount *m;
    while ((m = mount_find_fast(the_vfs(), *parent, *d))) {
        *parent = m;
        *d = m->root;
    }
}

int mount_attach_locked(struct mount_ns *ns, struct mount *m, const struct path *at)
{
    struct mount *parent = at->mount;
    struct dentry *d = at->dentry;
    if (parent->ns != ns)
        return -EINVAL;
    if (dentry_flags(d) & DENTRY_DELETED)
        return -ENOENT;
    if (inode_is_dir(m->root->inode) != inode_is_dir(d->inode))
        return -ENOTDIR;
    topmost_locked(&parent, &d);
    mount_link_locked(ns, m, parent, d);
    return 0;
}

int mount_attach(struct mount_ns *ns, struct mount *m, const struct path *at)
{
    lock_take(&ns->lock);
    int r = mount_ns_full_locked(ns) ? -ENOSPC : mount_attach_locked(ns, m, at);
    lock_release(&ns->lock);
    if (r < 0)
        mount_unref(m);
    else
        mount_ns_changed(ns);
    return r;
}

bool mount_ns_full_locked(const struct mount_ns *ns)
{
    uint32_t n = 0;
    struct mount *m;
    list_for_each (m, &ns->mounts, node)
        n++;
    return n >= MOUNTS_MAX;
}

struct mount_ns *mount_ns_alloc(struct mount *root)
{
    struct mount_ns *ns = slab_alloc(&mount_ns_type);
    if (!ns) {
        mount_unref(root);
        return NULL;
    }
    refcount_init(&ns->refs, 1);
    lock_init(&ns->lock, LOCK_RANK_MOUNTS);
    list_init(&ns->mounts);
    wait_queue_init(&ns->wq);
    ns->root = root;
    root->ns = ns;
    list_push_back(&ns->mounts, &root->node);
    return ns;
}

struct mount_ns *mount_ns_ref(struct mount_ns *ns)
{
    refcount_get(&ns->refs);
    return ns;
}

bool mount_is_below(const struct mount *m, const struct mount *ancestor)
{
    for (; m; m = m->parent) {
        if (m == ancestor)
            return true;
    }
    return false;
}

// Takes m and everything below it out of the tree; what has to be dropped afterwards goes to *gone (the mounts, by node) and their
// places are put by mounts_drop(). ns->lock held.
void mount_detach_tree_locked(struct mount_ns *ns, struct mount *top, struct list *gone)
{
    struct mount *m, *tmp;
    struct list found;
    list_init(&found);
    // Collected before the first is unlinked, since that cuts the chain that mount_is_below() follows.
    list_for_each_safe (m, tmp, &ns->mounts, node) {
        if (mount_is_below(m, top)) {
            list_remove(&m->node);
            list_push_front(&found, &m->node); // children before parents
        }
    }
    list_for_each_safe (m, tmp, &found, node) {
        struct mount *parent = m->parent;
        struct dentry *mountpoint = m->mountpoint;
        (void)mount_unlink_locked(m);
        // Kept in the object until mounts_drop(): nothing looks at them while mount is in no hash chain and has no namespace.
        m->detached_from = (struct path){.mount = parent, .dentry = mountpoint};
        list_push_back(gone, &m->node);
    }
}

void mounts_drop(struct list *gone)
{
    struct mount *m;
    while ((m = list_first(gone, struct mount, node))) {
        list_remove(&m->node);
        path_put(&m->detached_from);
        mount_unref(m);
    }
}

void mount_ns_unref(struct mount_ns *ns)
{
    if (!ns || !refcount_put(&ns->refs))
        return;
    struct list gone;
    list_init(&gone);
    lock_take(&ns->lock);
    mount_detach_tree_locked(ns, ns->root, &gone);
    lock_release(&ns->lock);
    mounts_drop(&gone);
    slab_free(&mount_ns_type, ns);
}
