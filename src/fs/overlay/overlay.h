// Internals of the overlay.
#pragma once

#include "base/rbtree.h"
#include "fs/host-inode.h"
#include "mm/copy.h"
#include "vfs/file.h"
#include "vfs/vfs-int.h"

struct ovl_super { // super_block.priv
    struct lock lock;          // LOCK_RANK_OBJECT: tables of directories, ovl_inode.parent and pinned, copying
    struct super_block *upper; // a tmpfs that is mounted nowhere: contents of what was made or changed here; reference
    struct wait_queue copied;  // copy-ups that somebody waits for
};

// A name in the upper layer: what shows instead of whatever the image has under that name.
struct ovl_entry {
    struct rb_node node;
    struct inode *inode; // reference; NULL: a whiteout
    uint32_t hash;
    uint16_t len;
    bool hides;          // the image has this name, too
    char name[];
};

struct ovl_inode { // inode.priv of INODE_OVERLAY
    struct host_node *lower; // reference; NULL: a directory that was made here. Immutable
    struct inode *real;      // reference: contents and extended attributes, once they differ from lower's. Set once
    struct inode *parent;    // reference while not pinned; GUARDED_BY(ovl_super.lock)
    bool pinned;             // stands in its parent's table, or has no name any more; GUARDED_BY(ovl_super.lock)
    bool copying;            // GUARDED_BY(ovl_super.lock)
    struct rb_tree entries;  // of a directory; GUARDED_BY(ovl_super.lock)
    uint32_t entry_count;    // without whiteouts; GUARDED_BY(ovl_super.lock)
};

static inline struct ovl_super *ovl_sb(const struct super_block *sb)
{
    return sb->priv;
}
static inline struct ovl_inode *ovl_i(const struct inode *inode)
{
    return inode->priv;
}
static inline struct inode *ovl_real(const struct inode *inode)
{
    return __atomic_load_n(&ovl_i(inode)->real, __ATOMIC_ACQUIRE);
}

extern const struct slab_type ovl_inode_slab;

// ---- table.c ----
// All with ovl_super.lock held.
struct ovl_entry *ovl_find_locked(struct inode *dir, const char *name, uint32_t len);
void ovl_insert_locked(struct inode *dir, struct ovl_entry *e);
void ovl_remove_locked(struct inode *dir, struct ovl_entry *e);
// Changes what an entry names; returns the old inode, whose reference is the caller's.
struct inode *ovl_replace_locked(struct inode *dir, struct ovl_entry *e, struct inode *inode);
struct ovl_entry *ovl_entry_new(const char *name, uint32_t len); // NULL: no memory
void ovl_free_table(struct inode *dir); // evict
// Calls f for each name; entries without inode are whiteouts. Lock not held before, held over f.
typedef void ovl_entry_fn(void *arg, const struct ovl_entry *e);
void ovl_for_each(struct inode *dir, ovl_entry_fn *f, void *arg);

// ---- upper.c ----
// Keeps what is about to be changed: its directory's table names it from now on, and so on up to the root.
int ovl_pin(struct inode *inode);
// It has no name any more. Lock held; returns the parent's reference for the caller to drop.
struct inode *ovl_detach_locked(struct inode *inode);
// Gives it a real inode: of a regular file with the first `keep` bytes of the image's contents, of anything else for its extended
// attributes. 0, -ENOSPC, -ENOMEM, -EIO, -EINTR (killed).
int ovl_copy_up(struct inode *inode, uint64_t keep);
int ovl_getattr(struct inode *inode);
int ovl_setattr(struct inode *inode, const struct setattr *attr);
int64_t ovl_getxattr(struct inode *inode, const char *name, void *value, uint64_t size);
int ovl_setxattr(struct inode *inode, const char *name, const void *value, uint64_t size, int flags);
int64_t ovl_listxattr(struct inode *inode, char *list, uint64_t size);
int ovl_removexattr(struct inode *inode, const char *name);

// ---- dir.c ----
// An inode for something in the image; node's reference is taken over, on failure too.
struct inode *ovl_inode_for(struct super_block *sb, struct inode *dir, struct host_node *node, const struct gofer_attr *attr,
                            const char *link, uint32_t link_size);
int ovl_rebind(struct inode *inode); // the host has put another file in its place: 0 or -ESTALE
int ovl_lookup(struct inode *dir, const char *name, uint32_t len, struct inode **ret);
int ovl_check_empty(struct inode *dir); // 0 or -ENOTEMPTY

// ---- change.c ----
int ovl_create(struct inode *dir, const char *name, uint32_t len, uint32_t mode, uint64_t rdev, const struct cred *cred,
               struct inode **ret);
int ovl_mkdir(struct inode *dir, const char *name, uint32_t len, uint32_t mode, const struct cred *cred, struct inode **ret);
int ovl_symlink(struct inode *dir, const char *name, uint32_t len, const char *target, const struct cred *cred,
                struct inode **ret);
int ovl_link(struct inode *dir, const char *name, uint32_t len, struct inode *target);
int ovl_unlink(struct inode *dir, const char *name, uint32_t len, struct inode *victim);
int ovl_rmdir(struct inode *dir, const char *name, uint32_t len, struct inode *victim);
int ovl_rename(struct inode *old_dir, const char *old_name, uint32_t old_len, struct inode *moved, struct inode *new_dir,
               const char *new_name, uint32_t new_len, struct inode *victim, uint32_t flags);
int ovl_tmpfile(struct inode *dir, uint32_t mode, const struct cred *cred, struct inode **ret);

// ---- file.c ----
int ovl_open(struct inode *inode, struct file *f);
