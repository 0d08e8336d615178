// Changes of directories: create, mkdir, mknod, symlink, link, unlink, rmdir, rename. The checks that are common to all file
// systems, and the name cache kept true to what the file system did.
//
// The callers have walked to the parent directories. dir_lock of each directory that changes is held from the look-up of the
// last component until the cache says the same as the file system. A rename between directories holds the super block's
// rename_lock first, so that the tree's shape stands still while it looks for loops.
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "base/slab.h"
#include "vfs/mount-int.h"
#include "vfs/vfs-int.h"

uint32_t mode_for_create(struct task *t, const struct inode *dir, uint32_t mode)
{
    return mode & ~t->fs->umask;
}

// May t make a name in dir?
static int may_create(struct task *t, const struct path *dir)
{
    struct inode *inode = dir->dentry->inode;
    if (inode->flags & INODE_DEAD)
        return -ENOENT;
    int r = mount_want_write(dir->mount);
    if (r < 0)
        return r;
    return inode_permission(inode, t->cred, 2 | 1);
}

// May t remove or rename victim (positive) in dir? unlink(2), rmdir(2), sticky directories.
static int may_delete(struct task *t, const struct path *dir, const struct dentry *victim,
                      bool directory)
{
    struct inode *inode = dir->dentry->inode;
    int r = mount_want_write(dir->mount);
    if (r == 0)
        r = inode_permission(inode, t->cred, 2 | 1);
    if (r < 0)
        return r;
    if ((inode->mode & S_ISVTX) && victim->inode->uid != t->cred->fsuid &&
        inode->uid != t->cred->fsuid && !cred_capable(t->cred, CAP_FOWNER))
        return -EPERM;
    if (directory && !inode_is_dir(victim->inode))
        return -ENOTDIR;
    if (!directory && inode_is_dir(victim->inode))
        return -EISDIR;
    if (inode->flags & INODE_DEAD)
        return -ENOENT;
    return 0;
}

// The negative dentry for a new name, in a directory whose dir_lock is held.
static int new_name_locked(const struct path *dir, const struct last_component *last,
                           bool directory, struct dentry **ret)
{
    struct dentry *d;
    if (last->kind)
        return -EEXIST;
    int r = dentry_lookup_locked(dir->dentry, last->name, last->len, &d);
    if (r < 0)
        return r;
    if (d->inode)
        r = -EEXIST;
    else if (last->trailing_slash && !directory)
        r = -ENOENT;
    if (r < 0)
        dentry_unref(d);
    else
        *ret = d;
    return r;
}

// inode, whose reference is taken over, is what d names from now on.
static void now_named(const struct path *dir, struct dentry *d, struct inode *inode)
{
    dentry_set_inode(d, inode);
    if ((dentry_flags(d) & DENTRY_UNHASHED) && !(dir->dentry->inode->flags & INODE_NO_CACHE))
        dentry_add(d);
    vfs_notify_dir(dir->dentry->inode, IN_CREATE | (inode_is_dir(inode) ? IN_ISDIR : 0), 0, d->name,
                   d->name_len);
}

int vfs_create_locked(struct task *t, const struct path *dir, struct dentry *d, uint32_t mode,
                      uint64_t rdev)
{
    struct inode *parent = dir->dentry->inode, *inode;
    const struct inode_ops *ops = inode_ops(parent);
    int r = may_create(t, dir);
    if (r < 0)
        return r;
    if (!ops->create)
        return -EACCES;
    r = ops->create(parent, d->name, d->name_len, mode, rdev, t->cred, &inode);
    if (r == 0)
        now_named(dir, d, inode);
    return r;
}

int vfs_mknod(struct task *t, const struct path *dir, const struct last_component *last,
              uint32_t mode, uint64_t rdev)
{
    struct dentry *d;
    lock_take(&dir->dentry->inode->dir_lock);
    int r = new_name_locked(dir, last, false, &d);
    if (r == 0) {
        if ((S_ISCHR(mode) || S_ISBLK(mode)) && !cred_capable(t->cred, CAP_MKNOD) &&
            !(S_ISCHR(mode) && rdev == 0)) {
            r = may_create(t, dir);
            if (r == 0)
                r = -EPERM;
        } else {
            r = vfs_create_locked(t, dir, d, mode, rdev);
        }
        dentry_unref(d);
    }
    lock_release(&dir->dentry->inode->dir_lock);
    return r;
}

int vfs_make_node(const struct cred *cred, const struct path *dir,
                  const struct last_component *last, uint32_t mode)
{
    struct inode *parent = dir->dentry->inode, *inode;
    const struct inode_ops *ops = inode_ops(parent);
    struct dentry *d;
    if (!(S_ISDIR(mode) ? ops->mkdir != NULL : ops->create != NULL))
        return -EROFS;
    lock_take(&parent->dir_lock);
    int r = new_name_locked(dir, last, true, &d);
    if (r == 0) {
        if (S_ISDIR(mode))
            r = ops->mkdir(parent, d->name, d->name_len, mode, cred, &inode);
        else
            r = ops->create(parent, d->name, d->name_len, mode, 0, cred, &inode);
        if (r == 0)
            now_named(dir, d, inode);
        dentry_unref(d);
    }
    lock_release(&parent->dir_lock);
    return r;
}

int vfs_mkdir(struct task *t, const struct path *dir, const struct last_component *last,
              uint32_t mode)
{
    struct inode *parent = dir->dentry->inode, *inode;
    const struct inode_ops *ops = inode_ops(parent);
    struct dentry *d;
    lock_take(&parent->dir_lock);
    int r = new_name_locked(dir, last, true, &d);
    if (r == 0) {
        r = may_create(t, dir);
        if (r == 0)
            r = ops->mkdir ? ops->mkdir(parent, d->name, d->name_len, S_IFDIR | (mode & 01777),
                                        t->cred, &inode)
                           : -EPERM;
        if (r == 0) {
            now_named(dir, d, inode);
            // Nothing can be in a directory that was made this moment.
            if (!(inode->flags & (INODE_NO_CACHE | INODE_REVALIDATE)))
                dentry_set_complete(d);
        }
        dentry_unref(d);
    }
    lock_release(&parent->dir_lock);
    return r;
}

int vfs_symlink(struct task *t, const struct path *dir, const struct last_component *last,
                const char *target)
{
    struct inode *parent = dir->dentry->inode, *inode;
    const struct inode_ops *ops = inode_ops(parent);
    struct dentry *d;
    lock_take(&parent->dir_lock);
    int r = new_name_locked(dir, last, false, &d);
    if (r == 0) {
        r = may_create(t, dir);
        if (r == 0)
            r = ops->symlink ? ops->symlink(parent, d->name, d->name_len, target, t->cred, &inode)
                             : -EPERM;
        if (r == 0)
            now_named(dir, d, inode);
        dentry_unref(d);
    }
    lock_release(&parent->dir_lock);
    return r;
}

// fs.protected_hardlinks: others' files only if they are plain, and the linker could read and write them.
static int may_link_to(struct task *t, struct inode *inode)
{
    if (inode_owner_or_capable(inode, t->cred))
        return 0;
    uint32_t mode = inode->mode;
    if (!S_ISREG(mode) || (mode & S_ISUID) || (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
        inode_permission(inode, t->cred, 4 | 2) < 0)
        return -EPERM;
    return 0;
}

static int link_locked(struct task *t, const struct path *dir, struct dentry *d,
                       struct inode *inode)
{
    struct inode *parent = dir->dentry->inode;
    const struct inode_ops *ops = inode_ops(parent);
    int r = may_create(t, dir);
    if (r < 0)
        return r;
    if (inode_is_dir(inode) || !ops->link)
        return -EPERM;
    if ((inode->flags & INODE_NO_LINK) || (inode->nlink == 0 && !(inode->flags & INODE_TMPFILE)))
        return -ENOENT;
    r = ops->link(parent, d->name, d->name_len, inode);
    if (r == 0) {
        inode->flags &= ~(uint32_t)INODE_TMPFILE;
        now_named(dir, d, inode_ref(inode));
        vfs_notify(inode, NULL, IN_ATTRIB);
    }
    return r;
}

int vfs_link(struct task *t, const struct path *dir, const struct last_component *last,
             const struct path *target)
{
    struct inode *inode = target->dentry->inode;
    struct dentry *d;
    if (dir->mount != target->mount)
        return -EXDEV;
    int r = may_link_to(t, inode);
    if (r < 0)
        return r;
    lock_take(&dir->dentry->inode->dir_lock);
    r = new_name_locked(dir, last, false, &d);
    if (r == 0) {
        r = link_locked(t, dir, d, inode);
        dentry_unref(d);
    }
    lock_release(&dir->dentry->inode->dir_lock);
    return r;
}

// ---- Removal ----

static void now_gone(const struct path *dir, struct dentry *d)
{
    __atomic_fetch_or(&d->flags, DENTRY_DELETED, __ATOMIC_ACQ_REL);
    dentry_drop(d);
    if (!inode_is_dir(d->inode))
        vfs_notify(d->inode, NULL, IN_ATTRIB); // its link count; IN_DELETE_SELF comes when the dentry is freed
    vfs_notify_dir(dir->dentry->inode, IN_DELETE | (inode_is_dir(d->inode) ? IN_ISDIR : 0), 0,
                   d->name, d->name_len);
}

static int unlink_locked(struct task *t, const struct path *dir, const struct last_component *last,
                         struct dentry **ret)
{
    struct inode *parent = dir->dentry->inode;
    const struct inode_ops *ops = inode_ops(parent);
    struct dentry *d;
    int r = dentry_lookup_locked(dir->dentry, last->name, last->len, &d);
    if (r < 0)
        return r;
    *ret = d; // the caller drops it after the lock: the last reference may free a large file
    if (!d->inode)
        return -ENOENT;
    if (last->trailing_slash)
        return inode_is_dir(d->inode) ? -EISDIR : -ENOTDIR;
    r = may_delete(t, dir, d, false);
    if (r < 0)
        return r;
    if (d->mount_count)
        return -EBUSY;
    r = ops->unlink ? ops->unlink(parent, d->name, d->name_len, d->inode) : -EPERM;
    if (r == 0)
        now_gone(dir, d);
    return r;
}

int vfs_unlink(struct task *t, const struct path *dir, const struct last_component *last)
{
    struct dentry *d = NULL;
    if (last->kind)
        return -EISDIR;
    lock_take(&dir->dentry->inode->dir_lock);
    int r = unlink_locked(t, dir, last, &d);
    lock_release(&dir->dentry->inode->dir_lock);
    dentry_unref(d);
    return r;
}

static int rmdir_locked(struct task *t, const struct path *dir, const struct last_component *last,
                        struct dentry **ret)
{
    struct inode *parent = dir->dentry->inode;
    const struct inode_ops *ops = inode_ops(parent);
    struct dentry *d;
    int r = dentry_lookup_locked(dir->dentry, last->name, last->len, &d);
    if (r < 0)
        return r;
    *ret = d;
    if (!d->inode)
        return -ENOENT;
    r = may_delete(t, dir, d, true);
    if (r < 0)
        return r;
    if (!ops->rmdir)
        return -EPERM;
    struct inode *victim = d->inode;
    // Both locks of a parent and its child: the child's is taken second, and no one holds a child's while taking a parent's
    // without rename_lock, so the order by address is not needed; lock_pair() keeps the checker content.
    lock_release(&parent->dir_lock);
    lock_pair(&parent->dir_lock, &victim->dir_lock);
    if (dentry_flags(d) & DENTRY_DELETED || LOAD_RELAXED(d->parent) != dir->dentry)
        r = -ENOENT; // while the lock was let go
    else if (d->mount_count)
        r = -EBUSY;
    else
        r = ops->rmdir(parent, d->name, d->name_len, victim);
    if (r == 0) {
        victim->flags |= INODE_DEAD;
        now_gone(dir, d);
    }
    lock_release(&victim->dir_lock);
    return r;
}

int vfs_rmdir(struct task *t, const struct path *dir, const struct last_component *last)
{
    struct dentry *d = NULL;
    if (last->kind)
        return last->kind == 1 ? -EINVAL : last->kind == 2 ? -ENOTEMPTY : -EBUSY;
    lock_take(&dir->dentry->inode->dir_lock);
    int r = rmdir_locked(t, dir, last, &d);
    lock_release(&dir->dentry->inode->dir_lock);
    dentry_unref(d);
    return r;
}

// ---- rename(2) ----

struct rename {
    const struct path *old_dir, *new_dir;
    const struct last_component *old, *new;
    struct dentry *source, *target; // references
    uint32_t flags;
};

static int rename_check(struct task *t, const struct rename *r)
{
    struct inode *moved = r->source->inode, *victim = r->target->inode;
    bool exchange = r->flags & RENAME_EXCHANGE;
    int e;
    if (!moved || (exchange && !victim))
        return -ENOENT;
    if ((r->flags & RENAME_NOREPLACE) && victim)
        return -EEXIST;
    if (!inode_is_dir(moved)) { // a trailing slash wants a directory
        if (r->old->trailing_slash || (!exchange && r->new->trailing_slash))
            return -ENOTDIR;
    }
    if (exchange && r->new->trailing_slash && !inode_is_dir(victim))
        return -ENOTDIR;
    // Into itself, or over something that it lies in.
    if (inode_is_dir(moved) && dentry_is_below(r->new_dir->dentry, r->source))
        return -EINVAL;
    if (victim && inode_is_dir(victim) && dentry_is_below(r->old_dir->dentry, r->target))
        return exchange ? -EINVAL : -ENOTEMPTY;
    if (moved == victim)
        return 1; // two names of one file: nothing to do, rename(2)
    if ((e = may_delete(t, r->old_dir, r->source, inode_is_dir(moved))) < 0)
        return e;
    if (!victim)
        e = may_create(t, r->new_dir);
    else
        e = may_delete(t, r->new_dir, r->target,
                       exchange ? inode_is_dir(victim) : inode_is_dir(moved));
    if (e < 0)
        return e;
    // ".." of a directory changes: its own write permission counts.
    if (r->old_dir->dentry != r->new_dir->dentry) {
        if (inode_is_dir(moved) && (e = inode_permission(moved, t->cred, 2)) < 0)
            return e;
        if (exchange && inode_is_dir(victim) && (e = inode_permission(victim, t->cred, 2)) < 0)
            return e;
    }
    if (r->source->mount_count || r->target->mount_count)
        return -EBUSY;
    return 0;
}

static void notify_one_move(struct inode *moved, struct inode *from, const struct last_component *old,
                            struct inode *to, const struct last_component *new)
{
    uint32_t dir = inode_is_dir(moved) ? IN_ISDIR : 0;
    uint32_t cookie = (uint32_t)__atomic_add_fetch(&the_vfs()->rename_cookie, 1, __ATOMIC_RELAXED);
    vfs_notify_dir(from, IN_MOVED_FROM | dir, cookie, old->name, old->len);
    vfs_notify_dir(to, IN_MOVED_TO | dir, cookie, new->name, new->len);
    vfs_notify(moved, NULL, IN_MOVE_SELF);
}

static void rename_notify(const struct rename *r, struct inode *moved, struct inode *victim)
{
    struct inode *from = r->old_dir->dentry->inode, *to = r->new_dir->dentry->inode;
    notify_one_move(moved, from, r->old, to, r->new);
    if (victim && (r->flags & RENAME_EXCHANGE)) {
        notify_one_move(victim, to, r->new, from, r->old);
    } else if (victim && !inode_is_dir(victim)) {
        vfs_notify(victim, NULL, IN_ATTRIB); // its link count
    }
}

static int rename_locked(struct task *t, struct rename *r)
{
    struct inode *from = r->old_dir->dentry->inode, *to = r->new_dir->dentry->inode;
    const struct inode_ops *ops = inode_ops(from);
    int e = dentry_lookup_locked(r->old_dir->dentry, r->old->name, r->old->len, &r->source);
    if (e < 0)
        return e;
    e = dentry_lookup_locked(r->new_dir->dentry, r->new->name, r->new->len, &r->target);
    if (e < 0)
        return e;
    e = rename_check(t, r);
    if (e != 0)
        return e > 0 ? 0 : e;
    if (!ops->rename)
        return -EPERM;
    struct inode *moved = r->source->inode, *victim = r->target->inode;
    e = ops->rename(from, r->old->name, r->old->len, moved, to, r->new->name, r->new->len, victim,
                    r->flags);
    if (e < 0)
        return e;
    bool exchange = r->flags & RENAME_EXCHANGE;
    if (!exchange && victim) {
        if (inode_is_dir(victim))
            victim->flags |= INODE_DEAD;
        __atomic_fetch_or(&r->target->flags, DENTRY_DELETED, __ATOMIC_ACQ_REL);
    }
    dentry_move(r->source, r->target, exchange);
    if (r->flags & RENAME_WHITEOUT) // what stands there now is the file system's to tell
        __atomic_fetch_and(&r->old_dir->dentry->flags, ~(uint32_t)DENTRY_COMPLETE,
                           __ATOMIC_ACQ_REL);
    rename_notify(r, moved, victim);
    return 0;
}

int vfs_rename(struct task *t, const struct path *old_dir, const struct last_component *old,
               const struct path *new_dir, const struct last_component *new, uint32_t flags)
{
    struct rename r = {
        .old_dir = old_dir, .new_dir = new_dir, .old = old, .new = new, .flags = flags};
    struct inode *from = old_dir->dentry->inode, *to = new_dir->dentry->inode;
    struct super_block *sb = old_dir->dentry->sb;
    if (old_dir->mount != new_dir->mount)
        return -EXDEV;
    if (old->kind || new->kind)
        return old->kind || !(flags & RENAME_NOREPLACE) ? -EBUSY : -EEXIST;
    if ((flags & RENAME_WHITEOUT) && !cred_capable(t->cred, CAP_MKNOD))
        return -EPERM;
    int e = mount_want_write(old_dir->mount);
    if (e < 0)
        return e;
    bool across = from != to;
    if (across)
        lock_take(&sb->rename_lock);
    lock_pair(&from->dir_lock, &to->dir_lock);
    e = rename_locked(t, &r);
    unlock_pair(&from->dir_lock, &to->dir_lock);
    if (across)
        lock_release(&sb->rename_lock);
    dentry_unref(r.source);
    dentry_unref(r.target);
    return e;
}

// ---- Files without a name ----

int vfs_tmpfile(struct task *t, const struct path *dir, uint32_t mode, struct path *ret)
{
    struct inode *parent = dir->dentry->inode, *inode;
    const struct inode_ops *ops = inode_ops(parent);
    char name[24];
    int r = may_create(t, dir);
    if (r < 0)
        return r;
    if (!ops->tmpfile)
        return -EOPNOTSUPP;
    lock_take(&parent->dir_lock);
    r = ops->tmpfile(parent, mode, t->cred, &inode);
    lock_release(&parent->dir_lock);
    if (r < 0)
        return r;
    inode->nlink = 0;
    inode->flags |= INODE_TMPFILE;
    int len = snprintf(name, sizeof(name), "#%llu", (unsigned long long)inode->ino);
    struct dentry *d = dentry_new(dir->dentry->sb, dir->dentry, name, (uint32_t)len, inode);
    if (!d)
        return -ENOMEM;
    __atomic_fetch_or(&d->flags, DENTRY_DELETED, __ATOMIC_ACQ_REL);
    *ret = (struct path){.mount = mount_ref(dir->mount), .dentry = d};
    return 0;
}

int vfs_bind_socket(struct task *t, char *name, uint32_t mode, struct path *ret_path)
{
    struct path dir;
    struct last_component last;
    struct dentry *d;
    int r = path_lookup_parent(t, AT_FDCWD, name, 0, &dir, &last);
    if (r < 0)
        return r;
    lock_take(&dir.dentry->inode->dir_lock);
    r = new_name_locked(&dir, &last, false, &d);
    if (r == 0) {
        r = vfs_create_locked(t, &dir, d,
                              S_IFSOCK | (mode_for_create(t, dir.dentry->inode, mode) & 07777), 0);
        if (r == 0)
            *ret_path = (struct path){.mount = mount_ref(dir.mount), .dentry = dentry_ref(d)};
        dentry_unref(d);
    }
    lock_release(&dir.dentry->inode->dir_lock);
    path_put(&dir);
    return r == -EEXIST ? -EADDRINUSE : r;
}
