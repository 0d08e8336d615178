// mount(2), umount2(2), pivot_root(2).
//
// DEVIATION: umount2: use of a mount between two calls with MNT_EXPIRE doesn't clear the mark of the first.
// DEVIATION: mounts are private: a namespace that has no peers shows no difference after MS_SLAVE, so MS_PRIVATE and MS_SLAVE
// succeed; MS_SHARED and MS_UNBINDABLE, whose effect would be missed, are EINVAL.
#include <linux/capability.h>

#include "base/slab.h"
#include "vfs/mount-int.h"

#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
#define MAGIC_VALUE 0xc0ed0000ul
#define MAGIC_MASK  0xffff0000ul

static bool is_mount_root(const struct path *p)
{
    return p->mount->root == p->dentry;
}

// What a mount's flags become from mount(2)'s.
static uint32_t flags_from_call(uint64_t flags)
{
    uint32_t f = (uint32_t)(flags & MOUNT_FLAGS);
    if (!(f & (MS_NOATIME | MS_STRICTATIME)))
        f |= MS_RELATIME;
    if (f & MS_STRICTATIME)
        f &= ~(uint32_t)(MS_RELATIME | MS_NOATIME);
    return f;
}

static int new_mount(struct task *t, const char *source, const struct path *target,
                     const char *type, uint64_t flags, const char *data)
{
    struct super_block *sb;
    if (!type)
        return -EINVAL;
    const struct super_ops *ops = super_ops_by_name(type);
    if (!ops || !(ops->flags & SUPER_MOUNTABLE) || !ops->mount)
        return -ENODEV;
    int r = ops->mount(t, source ? source : "none", data ? data : "", &sb);
    if (r < 0)
        return r;
    if (flags & MS_RDONLY)
        sb->read_only = true;
    struct mount *m = mount_alloc(sb, dentry_ref(sb->root), source, flags_from_call(flags));
    return m ? mount_attach(t->fs->ns, m, target) : -ENOMEM;
}

// ---- Bind mounts ----

static struct mount *clone_mount(const struct mount *old, struct dentry *root)
{
    refcount_get(&old->sb->refs);
    return mount_alloc(old->sb, dentry_ref(root), old->source, old->flags);
}

// Copies of the mounts below from->dentry (which top, not attached yet, is the copy of) go to *list as pairs: the copies, with
// detached_from telling the place in the copied tree. ns->lock is not held while memory is taken: the set is noted first.
static int clone_children(struct mount_ns *ns, const struct path *from, struct mount *top)
{
    struct mount **old = NULL, **new = NULL;
    uint32_t count = 0, room = 0;
    struct mount *m;
    lock_take(&ns->lock);
    list_for_each (m, &ns->mounts, node)
        room++;
    lock_release(&ns->lock);
    old = kmalloc((room + 1) * sizeof(*old));
    new = kmalloc((room + 1) * sizeof(*new));
    int r = old && new ? 0 : -ENOMEM;
    if (r == 0) {
        lock_take(&ns->lock);
        list_for_each (m, &ns->mounts, node) {
            bool below = m != from->mount && mount_is_below(m, from->mount);
            // Of those directly on from's mount, only what lies below the bound directory.
            struct mount *direct = m;
            while (below && direct->parent != from->mount)
                direct = direct->parent;
            if (below && count < room && dentry_is_below(direct->mountpoint, from->dentry))
                old[count++] = mount_ref(m);
        }
        lock_release(&ns->lock);
    }
    for (uint32_t i = 0; i < count && r == 0; i++) {
        new[i] = clone_mount(old[i], old[i]->root);
        if (!new[i])
            r = -ENOMEM;
    }
    // Parents stand before children in the list, so each one's parent has its copy already.
    lock_take(&ns->lock);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        struct mount *parent = old[i]->parent == from->mount ? top : NULL;
        for (uint32_t j = 0; j < i && !parent; j++) {
            if (old[j] == old[i]->parent)
                parent = new[j];
        }
        if (!parent || !old[i]->mountpoint)
            continue; // unmounted meanwhile
        mount_link_locked(ns, new[i], parent, old[i]->mountpoint);
        new[i] = NULL; // the tree has it
    }
    lock_release(&ns->lock);
    for (uint32_t i = 0; i < count; i++) {
        mount_unref(old[i]);
        mount_unref(new[i]);
    }
    kfree(old);
    kfree(new);
    return r;
}

static int bind_mount(struct task *t, const char *source, const struct path *target, bool recursive)
{
    struct path from;
    struct mount_ns *ns = t->fs->ns;
    if (!source || !source[0])
        return -EINVAL;
    int r = path_lookup(t, AT_FDCWD, source, LOOKUP_FOLLOW, &from);
    if (r < 0)
        return r;
    if (from.mount->ns != ns) {
        path_put(&from);
        return -EINVAL;
    }
    struct mount *m = clone_mount(from.mount, from.dentry);
    r = -ENOMEM;
    if (m) {
        mount_ref(m); // mount_attach() consumes one
        r = mount_attach(ns, m, target);
        if (r == 0 && recursive)
            r = clone_children(ns, &from, m);
        mount_unref(m);
    }
    path_put(&from);
    return r;
}

// ---- Changes of what is mounted ----

static int remount(const struct path *target, uint64_t flags, bool bind)
{
    struct mount *m = target->mount;
    if (!is_mount_root(target))
        return -EINVAL;
    uint32_t wanted = flags_from_call(flags);
    if (!bind && m->sb->type == SUPER_ANON)
        return -EINVAL;
    if ((wanted & MS_RDONLY) && !(m->flags & MS_RDONLY) &&
        __atomic_load_n((uint32_t *)&m->writers, __ATOMIC_ACQUIRE))
        return -EBUSY;
    if (!(flags & (MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME)))
        wanted = (wanted & ~(uint32_t)MS_RELATIME) |
                 (m->flags & (MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME));
    if (!bind)
        m->sb->read_only = flags & MS_RDONLY;
    __atomic_store_n(&m->flags, wanted, __ATOMIC_RELEASE);
    if (m->ns)
        mount_ns_changed(m->ns);
    return 0;
}

static int change_propagation(const struct path *target, uint64_t flags)
{
    uint64_t kind = flags & PROPAGATION;
    if ((flags & ~(uint64_t)(PROPAGATION | MS_REC | MS_SILENT)) || (kind & (kind - 1)) ||
        !is_mount_root(target))
        return -EINVAL;
    return kind == MS_SHARED || kind == MS_UNBINDABLE ? -EINVAL : 0;
}

static int move_existing(struct task *t, const char *source, const struct path *target)
{
    struct path from, place = {0};
    struct mount_ns *ns = t->fs->ns;
    if (!source || !source[0])
        return -EINVAL;
    int r = path_lookup(t, AT_FDCWD, source, LOOKUP_FOLLOW, &from);
    if (r < 0)
        return r;
    struct mount *m = from.mount;
    lock_take(&ns->lock);
    if (!is_mount_root(&from) || m->ns != ns || target->mount->ns != ns || !m->parent)
        r = -EINVAL;
    else if (inode_is_dir(m->root->inode) != inode_is_dir(target->dentry->inode))
        r = -EINVAL;
    else if (mount_is_below(target->mount, m))
        r = -ELOOP;
    else {
        mount_ref(m);
        place = mount_unlink_locked(m);
        r = mount_attach_locked(ns, m, target);
        if (r < 0)
            mount_link_locked(ns, m, place.mount, place.dentry);
        else
            m = NULL; // the tree has the reference of before; the extra one goes below
    }
    lock_release(&ns->lock);
    path_put(&place);
    if (r == 0) {
        mount_unref(from.mount);
        mount_ns_changed(ns);
    } else if (m && place.mount) {
        mount_unref(m);
    }
    path_put(&from);
    return r;
}

int do_mount(struct task *t, const char *source, const struct path *target, const char *type,
             uint64_t flags, const char *data)
{
    if ((flags & MAGIC_MASK) == MAGIC_VALUE)
        flags &= ~MAGIC_MASK;
    if (flags & (1ul << 31)) // MS_NOUSER
        return -EINVAL;
    if (!cred_capable(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    if ((flags & (MS_REMOUNT | MS_BIND)) == (MS_REMOUNT | MS_BIND))
        return remount(target, flags, true);
    if (flags & MS_REMOUNT)
        return remount(target, flags, false);
    if (flags & MS_BIND)
        return bind_mount(t, source, target, flags & MS_REC);
    if (flags & PROPAGATION)
        return change_propagation(target, flags);
    if (flags & MS_MOVE)
        return move_existing(t, source, target);
    return new_mount(t, source, target, type, flags, data);
}

// ---- umount2(2) ----

static bool has_children_locked(const struct mount_ns *ns, const struct mount *m)
{
    const struct mount *child;
    list_for_each (child, &ns->mounts, node) {
        if (child->parent == m)
            return true;
    }
    return false;
}

int do_umount(struct task *t, const struct path *target, int flags)
{
    struct mount *m = target->mount;
    struct mount_ns *ns = t->fs->ns;
    struct list gone;
    int r = 0;
    if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
        return -EINVAL;
    if (!cred_capable(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    if (!is_mount_root(target))
        return -EINVAL;
    if ((flags & MNT_EXPIRE) && (flags & (MNT_FORCE | MNT_DETACH)))
        return -EINVAL;
    list_init(&gone);
    lock_take(&ns->lock);
    if (m->ns != ns || m == ns->root)
        r = -EINVAL;
    // The tree holds one reference and the caller's path another.
    else if (!(flags & MNT_DETACH) && (refcount_read(&m->refs) > 2 || has_children_locked(ns, m)))
        r = -EBUSY;
    else if ((flags & MNT_EXPIRE) && !m->expiry_mark) {
        m->expiry_mark = true; // the second call takes it away
        r = -EAGAIN;
    } else
        mount_detach_tree_locked(ns, m, &gone);
    lock_release(&ns->lock);
    mounts_drop(&gone);
    if (r == 0)
        mount_ns_changed(ns);
    return r;
}

// ---- pivot_root(2) ----

// Every task that has its root or working directory at the old root goes to the new one.
static void move_tasks(const struct path *from, const struct path *to)
{
    struct kernel *k = the_kernel();
    struct fs_context **contexts = NULL;
    uint32_t count = 0, room;
    struct task *t;
    lock_take(&k->tasks_lock);
    room = k->task_count + 64;
    lock_release(&k->tasks_lock);
    contexts = kmalloc((uint64_t)room * sizeof(*contexts));
    if (!contexts)
        return;
    lock_take(&k->tasks_lock);
    list_for_each (t, &k->tasks, all_node) {
        struct fs_context *fs = count < room ? task_get_fs(t) : NULL;
        if (fs)
            contexts[count++] = fs;
    }
    lock_release(&k->tasks_lock);
    for (uint32_t i = 0; i < count; i++) {
        fs_replace_root(contexts[i], from, to);
        fs_context_unref(contexts[i]);
    }
    kfree(contexts);
}

static int pivot_check_locked(const struct mount_ns *ns, const struct path *root,
                              const struct path *new_root, const struct path *put_old)
{
    struct mount *m = new_root->mount;
    if (root->mount->ns != ns || m->ns != ns || put_old->mount->ns != ns)
        return -EINVAL;
    if (m == root->mount || put_old->mount == root->mount)
        return -EBUSY;
    if (!is_mount_root(root) || !is_mount_root(new_root) || !m->parent)
        return -EINVAL;
    // put_old at or below new_root, and new_root below the root.
    const struct mount *at = put_old->mount;
    struct dentry *d = put_old->dentry;
    for (; at && at != m; at = at->parent)
        d = at->mountpoint;
    if (!at || !dentry_is_below(d, new_root->dentry) || !mount_is_below(m, root->mount))
        return -EINVAL;
    return 0;
}

int do_pivot_root(struct task *t, const struct path *new_root, const struct path *put_old)
{
    struct mount_ns *ns = t->fs->ns;
    struct path root, new_place = {0}, old_place = {0};
    if (!cred_capable(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    if (!inode_is_dir(new_root->dentry->inode) || !inode_is_dir(put_old->dentry->inode))
        return -ENOTDIR;
    fs_get_root(t, &root);
    lock_take(&ns->lock);
    int r = pivot_check_locked(ns, &root, new_root, put_old);
    if (r == 0) {
        struct mount *old = root.mount, *new = new_root->mount;
        new_place = mount_unlink_locked(new);
        old_place = mount_unlink_locked(old);
        if (old_place.mount) {
            mount_link_locked(ns, new, old_place.mount, old_place.dentry);
        } else { // the top of the namespace
            new->ns = ns;
            list_push_front(&ns->mounts, &new->node);
            ns->root = new;
        }
        mount_link_locked(ns, old, put_old->mount, put_old->dentry);
    }
    lock_release(&ns->lock);
    path_put(&new_place);
    path_put(&old_place);
    if (r == 0) {
        mount_ns_changed(ns);
        move_tasks(&root, new_root);
    }
    path_put(&root);
    return r;
}
