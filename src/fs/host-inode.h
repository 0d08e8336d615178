// What hostfs and overlay share about inodes of host files.
#pragma once

#include "fs/host-node.h"
#include "vfs/vfs.h"

// How long attributes in a shared export are believed without asking again.
#define HOST_ATTR_VALID (NSEC_PER_SEC)

// Everything but type and number. inode->lock is taken.
void host_attr_apply(struct inode *inode, const struct gofer_attr *attr);
// For an inode that nobody else knows yet: number, device, and the rest.
void host_inode_init(struct inode *inode, const struct host_export *e, const struct gofer_attr *attr);
// Owner and mode of what cred makes in dir: inode_init_owner()'s rules as numbers.
void host_new_owner(const struct inode *dir, uint32_t mode, const struct cred *cred, struct host_new *out);
// Names of attributes that no file of the host has for a guest, so that the host needn't be asked: 0, or the errno.
int host_xattr_refused(const char *name);
