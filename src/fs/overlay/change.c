// Changes of directories. New files, links and nodes are inodes of the upper tmpfs itself; new directories are the overlay's own, with
// nothing below. Nothing here asks the host, but for the emptiness of a directory.
//
// A name that the image has too (ovl_entry.hides) leaves a whiteout when it goes. Directories may be renamed: they take their place
// in the image with them (inode.lower), as with overlayfs's redirect_dir.
//
// DEVIATION: overlay: a hard link of the image that is written through one name keeps its old contents under the others, as with
// Linux's overlayfs without index.
#include <linux/fs.h>

#include "base/slab.h"
#include "fs/overlay/overlay.h"
#include "fs/tmpfs/tmpfs.h"

static void dir_changed(struct inode *dir, int links)
{
    inode_touch(dir, false, true, true);
    lock_take(&dir->lock);
    dir->nlink += (uint32_t)links;
    lock_release(&dir->lock);
}

// Puts inode (a reference of the table's own) into dir, over a whiteout if there is one. dir_lock held.
static int add_name(struct inode *dir, const char *name, uint32_t len, struct inode *inode)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    int r = ovl_pin(dir);
    if (r < 0)
        return r;
    struct ovl_entry *e = ovl_entry_new(name, len), *old;
    if (!e)
        return -ENOMEM;
    e->inode = inode_ref(inode);
    lock_take(&os->lock);
    old = ovl_find_locked(dir, name, len);
    if (old) {
        e->hides = old->hides;
        ovl_remove_locked(dir, old);
    }
    ovl_insert_locked(dir, e);
    lock_release(&os->lock);
    if (old) {
        inode_unref(old->inode);
        kfree(old);
    }
    return 0;
}

static int add_new(struct inode *dir, const char *name, uint32_t len, struct inode *inode, struct inode **ret)
{
    int r = add_name(dir, name, len, inode);
    if (r < 0) {
        inode_unref(inode);
        return r;
    }
    dir_changed(dir, S_ISDIR(inode->mode) ? 1 : 0);
    *ret = inode;
    return 0;
}

int ovl_create(struct inode *dir, const char *name, uint32_t len, uint32_t mode, uint64_t rdev, const struct cred *cred,
               struct inode **ret)
{
    struct inode *inode;
    int r = tmpfs_make_inode(ovl_sb(dir->sb)->upper, dir, mode, rdev, cred, &inode);
    return r < 0 ? r : add_new(dir, name, len, inode, ret);
}

int ovl_tmpfile(struct inode *dir, uint32_t mode, const struct cred *cred, struct inode **ret)
{
    return tmpfs_make_inode(ovl_sb(dir->sb)->upper, dir, mode, 0, cred, ret);
}

int ovl_mkdir(struct inode *dir, const char *name, uint32_t len, uint32_t mode, const struct cred *cred, struct inode **ret)
{
    struct ovl_inode *oi = slab_alloc(&ovl_inode_slab);
    struct inode *inode = oi ? inode_alloc(dir->sb, INODE_OVERLAY, mode) : NULL;
    if (!inode) {
        slab_free(&ovl_inode_slab, oi);
        return -ENOMEM;
    }
    oi->pinned = true;
    inode->priv = oi;
    inode->ino = __atomic_add_fetch((uint64_t *)&ovl_sb(dir->sb)->upper->next_ino, 1, __ATOMIC_RELAXED);
    inode->nlink = 2;
    inode->size = 4096;
    inode_init_owner(inode, dir, mode, cred);
    return add_new(dir, name, len, inode, ret);
}

int ovl_symlink(struct inode *dir, const char *name, uint32_t len, const char *target, const struct cred *cred,
                struct inode **ret)
{
    struct inode *inode;
    int r = tmpfs_make_inode(ovl_sb(dir->sb)->upper, dir, S_IFLNK | 0777, 0, cred, &inode);
    if (r < 0)
        return r;
    inode->size = strlen(target);
    r = inode_set_link(inode, target, inode->size);
    if (r < 0) {
        inode_unref(inode);
        return r;
    }
    return add_new(dir, name, len, inode, ret);
}

static void change_nlink(struct inode *inode, int by)
{
    lock_take(&inode->lock);
    inode->nlink += (uint32_t)by;
    lock_release(&inode->lock);
    inode_touch(inode, false, false, true);
}

static int pin_any(struct inode *inode)
{
    return inode->type == INODE_OVERLAY ? ovl_pin(inode) : 0;
}

int ovl_link(struct inode *dir, const char *name, uint32_t len, struct inode *target)
{
    if (target->nlink >= INT32_MAX)
        return -EMLINK;
    int r = pin_any(target);
    if (r == 0)
        r = add_name(dir, name, len, target);
    if (r < 0)
        return r;
    change_nlink(target, 1);
    dir_changed(dir, 0);
    return 0;
}

// ---- Removal ----

// Takes the name of victim out of dir. room: an unused entry for a whiteout. Lock held; what is to be dropped after it is put
// into drop: an inode and a parent.
static void take_name_locked(struct inode *dir, const char *name, uint32_t len, struct inode *victim,
                             struct ovl_entry **room, struct inode *drop[2])
{
    struct ovl_entry *e = ovl_find_locked(dir, name, len);
    if (e && e->hides) {
        drop[0] = ovl_replace_locked(dir, e, NULL);
    } else if (e) {
        ovl_remove_locked(dir, e);
        drop[0] = e->inode;
        kfree(*room);
        *room = e; // the caller frees it
    } else { // the image's, untouched
        (*room)->hides = true;
        ovl_insert_locked(dir, *room);
        *room = NULL;
    }
    if (victim->type == INODE_OVERLAY && !ovl_i(victim)->pinned)
        drop[1] = ovl_detach_locked(victim);
}

static int remove_name(struct inode *dir, const char *name, uint32_t len, struct inode *victim)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    struct inode *drop[2] = {NULL, NULL};
    int r = ovl_pin(dir);
    if (r < 0)
        return r;
    struct ovl_entry *room = ovl_entry_new(name, len);
    if (!room)
        return -ENOMEM;
    lock_take(&os->lock);
    take_name_locked(dir, name, len, victim, &room, drop);
    lock_release(&os->lock);
    kfree(room);
    inode_unref(drop[0]);
    inode_unref(drop[1]);
    return 0;
}

int ovl_unlink(struct inode *dir, const char *name, uint32_t len, struct inode *victim)
{
    int r = remove_name(dir, name, len, victim);
    if (r < 0)
        return r;
    change_nlink(victim, victim->nlink ? -1 : 0);
    dir_changed(dir, 0);
    return 0;
}

static void dir_gone(struct inode *victim)
{
    lock_take(&victim->lock);
    victim->nlink = 0;
    lock_release(&victim->lock);
    inode_touch(victim, false, false, true);
}

int ovl_rmdir(struct inode *dir, const char *name, uint32_t len, struct inode *victim)
{
    int r = ovl_check_empty(victim);
    if (r == 0)
        r = remove_name(dir, name, len, victim);
    if (r < 0)
        return r;
    dir_gone(victim);
    dir_changed(dir, -1);
    return 0;
}

// ---- rename ----

static int exchange(struct inode *old_dir, const char *old_name, uint32_t old_len, struct inode *moved, struct inode *new_dir,
                    const char *new_name, uint32_t new_len, struct inode *victim)
{
    struct ovl_super *os = ovl_sb(old_dir->sb);
    int r = pin_any(victim);
    if (r < 0)
        return r;
    lock_take(&os->lock);
    struct ovl_entry *a = ovl_find_locked(old_dir, old_name, old_len);
    struct ovl_entry *b = ovl_find_locked(new_dir, new_name, new_len);
    if (a && b && a->inode == moved && b->inode == victim) {
        (void)ovl_replace_locked(old_dir, a, victim);
        (void)ovl_replace_locked(new_dir, b, moved);
    } else {
        r = -ESTALE;
    }
    lock_release(&os->lock);
    if (r < 0)
        return r;
    int links = (S_ISDIR(moved->mode) ? 1 : 0) - (S_ISDIR(victim->mode) ? 1 : 0);
    dir_changed(old_dir, -links);
    dir_changed(new_dir, links);
    inode_touch(moved, false, false, true);
    inode_touch(victim, false, false, true);
    return 0;
}

struct move {
    struct ovl_entry *new_entry; // to be put into the new directory
    struct ovl_entry *old_room, *victim_room;
    struct inode *drop[2][2];
};

static void move_locked(struct inode *old_dir, const char *old_name, uint32_t old_len, struct inode *moved,
                        struct inode *new_dir, struct inode *victim, struct move *m)
{
    struct ovl_entry *e = m->new_entry;
    if (victim)
        take_name_locked(new_dir, e->name, e->len, victim, &m->victim_room, m->drop[0]);
    struct ovl_entry *white = ovl_find_locked(new_dir, e->name, e->len);
    if (white) { // takes its place
        e->hides = white->hides;
        ovl_remove_locked(new_dir, white);
        kfree(white);
    }
    ovl_insert_locked(new_dir, e);
    m->new_entry = NULL;
    take_name_locked(old_dir, old_name, old_len, moved, &m->old_room, m->drop[1]);
}

int ovl_rename(struct inode *old_dir, const char *old_name, uint32_t old_len, struct inode *moved, struct inode *new_dir,
               const char *new_name, uint32_t new_len, struct inode *victim, uint32_t flags)
{
    struct ovl_super *os = ovl_sb(old_dir->sb);
    if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int r = pin_any(moved);
    if (r == 0)
        r = ovl_pin(new_dir);
    if (r < 0)
        return r;
    if (flags & RENAME_EXCHANGE)
        return exchange(old_dir, old_name, old_len, moved, new_dir, new_name, new_len, victim);
    if (victim && S_ISDIR(victim->mode) && (r = ovl_check_empty(victim)) < 0)
        return r;
    struct move m = {
        .new_entry = ovl_entry_new(new_name, new_len),
        .old_room = ovl_entry_new(old_name, old_len),
        .victim_room = ovl_entry_new(new_name, new_len),
    };
    if (m.new_entry && m.old_room && m.victim_room) {
        m.new_entry->inode = inode_ref(moved);
        lock_take(&os->lock);
        move_locked(old_dir, old_name, old_len, moved, new_dir, victim, &m);
        lock_release(&os->lock);
    } else {
        r = -ENOMEM;
    }
    kfree(m.new_entry);
    kfree(m.old_room);
    kfree(m.victim_room);
    for (int i = 0; i < 4; i++)
        inode_unref(m.drop[i / 2][i % 2]);
    if (r < 0)
        return r;
    int links = S_ISDIR(moved->mode) ? 1 : 0;
    dir_changed(old_dir, -links);
    dir_changed(new_dir, links - (victim && S_ISDIR(victim->mode) ? 1 : 0));
    if (victim && S_ISDIR(victim->mode))
        dir_gone(victim);
    else if (victim)
        change_nlink(victim, victim->nlink ? -1 : 0);
    inode_touch(moved, false, false, true);
    return 0;
}
