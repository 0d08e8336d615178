// Internals of tmpfs.
#pragma once

#include "base/rbtree.h"
#include "base/slab.h"
#include "fs/tmpfs/tmpfs.h"
#include "mm/memfile.h"
#include "vfs/vfs-int.h"

#define TMPFS_SEAL_EXEC 0x20 // F_SEAL_EXEC of later headers

struct tmpfs_super {
    struct lock lock;   // LOCK_RANK_OBJECT: doomed, draining
    struct list doomed; // entries of directories that are gone, whose inodes are still to be let go
    bool draining;
    uint64_t max_pages, max_inodes; // 0: none
    _Atomic uint64_t pages, inodes;
    uint32_t mode, uid, gid;
};

struct tmpfs_xattr {
    struct list node;
    char *name;
    void *value; // NULL when size is 0
    uint64_t size;
};

struct tmpfs_dirent {
    struct rb_node node; // tmpfs_inode.entries by cookie
    struct tmpfs_dirent *hash_next;
    struct list doomed;
    uint64_t cookie;
    struct inode *inode; // reference
    char *name;          // inline_name or kmalloc'ed; not NUL-terminated
    uint32_t len, hash;
    char inline_name[24];
};

struct tmpfs_inode {
    struct list xattrs;   // GUARDED_BY(inode.lock)
    uint64_t xattr_bytes; // GUARDED_BY(inode.lock)
    // Regular files. The window is small until the file grows or is mapped; it becomes large once, and then never moves.
    struct lock
        window_lock; // LOCK_RANK_OBJECT: window while it is small; held over the host calls that fill it
    struct memfile_window window;
    uint64_t
        charged; // pages counted in the super block; an upper estimate. GUARDED_BY(inode.dir_lock)
    uint64_t dense; // bytes from the start that are known to be backed. GUARDED_BY(inode.dir_lock)
    // Directories, GUARDED_BY(inode.lock)
    struct rb_tree entries;
    struct tmpfs_dirent **buckets;
    uint32_t bucket_count, entry_count;
    uint64_t next_cookie;
    bool dead; // removed: nothing can be put in
};

static inline struct tmpfs_inode *tmpfs_i(const struct inode *inode)
{
    return inode->priv;
}

int tmpfs_getattr(struct inode *inode);

static inline struct tmpfs_super *tmpfs_sb(const struct super_block *sb)
{
    return sb->priv;
}

extern const struct slab_type tmpfs_inode_slab;

struct inode *tmpfs_new_inode(struct super_block *sb, const struct inode *dir, uint32_t mode,
                              uint64_t rdev, const struct cred *cred, int *error);
void tmpfs_evict(struct inode *inode);
void tmpfs_evict_entries(struct inode *dir);
void tmpfs_evict_data(struct inode *inode);
int tmpfs_setattr(struct inode *inode, const struct setattr *attr);
int tmpfs_resize(struct inode *inode, uint64_t size);

// xattr.c
int64_t tmpfs_getxattr(struct inode *inode, const char *name, void *value, uint64_t size);
int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, uint64_t size,
                   int flags);
int64_t tmpfs_listxattr(struct inode *inode, char *list, uint64_t size);
int tmpfs_removexattr(struct inode *inode, const char *name);
void tmpfs_free_xattrs(struct inode *inode);
