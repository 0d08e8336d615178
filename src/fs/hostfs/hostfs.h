// Shared by the files of hostfs proper. An inode's priv is its host_node (a reference).
#pragma once

#include "base/lock.h"
#include "fs/host-inode.h"
#include "vfs/file.h"

enum { HOSTFS_LINK_BUCKETS = 64 };

// A name of a file that has several. Its node is asked about by one of them; when that goes, another takes its place.
struct hostfs_alias {
    struct hostfs_alias *next;
    struct host_node *dir; // reference
    uint32_t len;
    char name[];
};

// Files with several names, so that all of them are one inode.
struct hostfs_link {
    struct hostfs_link *next;
    struct hostfs_alias *aliases;
    struct inode *inode; // no reference: evict takes it out
    uint64_t ino, dev;
};

struct hostfs_super { // super_block.priv
    struct lock lock;           // LOCK_RANK_OBJECT
    struct hostfs_link *links[HOSTFS_LINK_BUCKETS]; // GUARDED_BY(lock)
};

// An inode for node, whose reference is taken over (on failure, too); an existing one where the file has several names.
struct inode *hostfs_inode_for(struct super_block *sb, struct host_node *node, const struct gofer_attr *attr,
                               const char *link, uint32_t link_size);
void hostfs_remember_link(struct inode *inode); // it has several names from now on
void hostfs_add_alias(struct inode *inode, struct host_node *dir, const char *name, uint32_t len);
void hostfs_drop_alias(struct inode *inode, struct host_node *dir, const char *name, uint32_t len); // harmless without

void hostfs_refreshed(struct inode *inode, const struct gofer_attr *attr);
int hostfs_getattr(struct inode *inode);
int hostfs_setattr(struct inode *inode, const struct setattr *attr);
int64_t hostfs_getxattr(struct inode *inode, const char *name, void *value, uint64_t size);
int hostfs_setxattr(struct inode *inode, const char *name, const void *value, uint64_t size, int flags);
int64_t hostfs_listxattr(struct inode *inode, char *list, uint64_t size);
int hostfs_removexattr(struct inode *inode, const char *name);
int hostfs_truncate_fd(int fd, uint64_t size, struct gofer_attr *now);

int hostfs_lookup(struct inode *dir, const char *name, uint32_t len, struct inode **ret);
int hostfs_fill(struct inode *dir, struct dentry *d); // the whole directory into the name cache; dir_lock held
int hostfs_revalidate(struct dentry *d);
int hostfs_open(struct inode *inode, struct file *f);

int hostfs_create(struct inode *dir, const char *name, uint32_t len, uint32_t mode, uint64_t rdev, const struct cred *cred,
                  struct inode **ret);
int hostfs_mkdir(struct inode *dir, const char *name, uint32_t len, uint32_t mode, const struct cred *cred,
                 struct inode **ret);
int hostfs_symlink(struct inode *dir, const char *name, uint32_t len, const char *target, const struct cred *cred,
                   struct inode **ret);
int hostfs_link(struct inode *dir, const char *name, uint32_t len, struct inode *target);
int hostfs_unlink(struct inode *dir, const char *name, uint32_t len, struct inode *victim);
int hostfs_rename(struct inode *old_dir, const char *old_name, uint32_t old_len, struct inode *moved, struct inode *new_dir,
                  const char *new_name, uint32_t new_len, struct inode *victim, uint32_t flags);
