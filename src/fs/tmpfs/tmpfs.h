// tmpfs for those outside of it: memfds, shared anonymous memory, and the overlay's upper layer.
//
// A tmpfs inode may lie below another inode (the overlay's): its operations then are called on it with the locks of the outer
// inode held, and an open file of type FILE_TMPFS has the tmpfs inode in file.priv and the outer one in file.inode.
#pragma once

#include "vfs/file.h"
#include "vfs/vfs.h"

struct task;

#define TMPFS_MAGIC_NUMBER 0x01021994

// memfd_create(2). name: kernel string. seals: the first ones. *ret holds a reference.
int tmpfs_memfd_create(struct task *t, const char *name, uint32_t seals, uint32_t mode,
                       struct file **ret);
// A file of a given size without a name in the tree (shared anonymous memory, System V segments); text is what maps show.
int tmpfs_unnamed_create(const char *text, uint64_t size, uint32_t mode, const struct cred *cred,
                         struct file **ret);
int tmpfs_add_seals(struct file *f, uint32_t seals); // 0, -EINVAL, -EPERM, -EBUSY
int tmpfs_get_seals(struct file *f);                 // F_SEAL_* or -EINVAL

// Opens a tmpfs regular file that lies below f->inode: sets type and priv.
int tmpfs_open_below(struct inode *real, struct file *f);
// An empty super block, without a mount.
struct tmpfs_options {
    uint64_t max_pages, max_inodes; // 0: no limit
    uint32_t mode, uid, gid;
};
int tmpfs_super_create(enum super_type type, const struct tmpfs_options *options,
                       struct super_block **ret);
// Reads mount(2)'s text. 0 or -EINVAL.
int tmpfs_parse_options(const char *text, struct tmpfs_options *options);
// An inode of any type but directories under no name, with one reference, for who links it himself.
int tmpfs_make_inode(struct super_block *sb, const struct inode *dir, uint32_t mode, uint64_t rdev,
                     const struct cred *cred, struct inode **ret);
// Calls f for each entry from cookie *pos on, in order, until it returns false; *pos is then the entry it refused. For the
// overlay's merged directories. dir->lock held over f.
typedef bool tmpfs_entry_function(void *arg, const char *name, uint32_t len, struct inode *inode,
                                  uint64_t next_pos);
void tmpfs_for_each(struct inode *dir, uint64_t *pos, tmpfs_entry_function *f, void *arg);
bool tmpfs_dir_is_empty(struct inode *dir);
