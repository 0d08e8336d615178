// Inside of devpts: an instance and its table of terminals.
#pragma once

#include "base/lock.h"
#include "base/types.h"

struct file;
struct inode;
struct path;
struct super_block;
struct task;

#define DEVPTS_MAGIC 0x1cd1

enum {
    DEVPTS_MAX = 4096, // terminals in the whole sandbox, kernel.pty.max
    DEVPTS_ROOT_INO = 1,
    DEVPTS_PTMX_INO = 2,
    DEVPTS_FIRST_INO = 3,
};

struct devpts_slot {
    struct inode *inode; // the name; reference. NULL: none, though the number may still be in use
    bool used;
};

struct devpts {                // super_block.priv
    struct lock lock;          // LOCK_RANK_OBJECT
    struct devpts_slot *slots; // GUARDED_BY(lock): by number
    uint32_t count;            // GUARDED_BY(lock): slots allocated
    uint32_t max;              // immutable, as are the options below
    uint32_t uid, gid, mode;
    bool has_uid, has_gid;
    uint32_t ptmx_mode, ptmx_uid, ptmx_gid; // GUARDED_BY(lock): chmod and chown of ptmx change them
};

// A new pty: its name made, its master opened as f. 0, -ENOSPC, -ENOMEM.
int devpts_open_ptmx(struct super_block *sb, struct file *f);
// The name of terminal `number` below the mount in *root, whose dentry is the instance's root. References; *root's stay.
int devpts_path_of(const struct path *root, uint32_t number, struct path *ret);
