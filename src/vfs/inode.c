// Inodes and super blocks: life, times, and the generic permission check.
//
// An inode is freed at its last reference; who caches inodes by number takes references with refcount_get_unless_zero() under a
// lock of its own and forgets them in evict. Walkers without references read mode, uid and gid of inodes (type-stable memory) and
// believe them only if the dentry they came from did not change.
#include <linux/capability.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "base/slab.h"
#include "kernel/timer.h"
#include "vfs/vfs-int.h"

SLAB_TYPE(inode_type, SLAB_INODE, struct inode);
SLAB_TYPE(super_type, SLAB_SUPER_BLOCK, struct super_block);

struct timespec64 time_now(void)
{
    nsec_t now = clock_realtime();
    return (struct timespec64){.sec = now / NSEC_PER_SEC, .nsec = (uint32_t)(now % NSEC_PER_SEC)};
}

struct inode *inode_alloc(struct super_block *sb, enum inode_type type, uint32_t mode)
{
    struct inode *inode = slab_alloc(&inode_type);
    if (!inode)
        return NULL;
    refcount_init(&inode->refs, 1);
    inode->type = (uint8_t)type;
    inode->mode = mode;
    inode->nlink = 1;
    inode->sb = sb;
    refcount_get(&sb->refs);
    inode->ino = __atomic_add_fetch((uint64_t *)&sb->next_ino, 1, __ATOMIC_RELAXED);
    inode->atime = inode->mtime = inode->ctime = inode->btime = time_now();
    lock_init(&inode->dir_lock, LOCK_RANK_INODE_DIR);
    lock_init(&inode->lock, LOCK_RANK_INODE);
    list_init(&inode->watches);
    return inode;
}

void inode_init_owner(struct inode *inode, const struct inode *dir, uint32_t mode,
                      const struct cred *cred)
{
    inode->uid = cred->fsuid;
    inode->gid = cred->fsgid;
    if (dir->mode & S_ISGID) {
        inode->gid = dir->gid;
        if (S_ISDIR(mode))
            mode |= S_ISGID;
        else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
                 !inode_group_matches(dir, cred) && !cred_capable(cred, CAP_FSETID))
            mode &= ~(uint32_t)S_ISGID;
    }
    inode->mode = mode;
}

struct inode *inode_ref(struct inode *inode)
{
    refcount_get(&inode->refs);
    return inode;
}

void inode_unref(struct inode *inode)
{
    if (!inode || !refcount_put(&inode->refs))
        return;
    const struct inode_ops *ops = inode_ops(inode);
    if (ops && ops->evict)
        ops->evict(inode);
    file_locks_free(inode);
    struct super_block *sb = inode->sb;
    kfree(inode->link);
    slab_free(&inode_type, inode);
    super_unref(sb);
}

int inode_set_link(struct inode *inode, const char *target, uint64_t size)
{
    char *copy = kmalloc(size + 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, target, size);
    lock_take(&inode->lock);
    if (!inode->link) {
        inode->link_size = (uint32_t)size;
        STORE_RELEASE(inode->link, copy);
        copy = NULL;
    }
    lock_release(&inode->lock);
    kfree(copy);
    return 0;
}

void inode_touch(struct inode *inode, bool atime, bool mtime, bool ctime)
{
    struct timespec64 now = time_now();
    lock_take(&inode->lock);
    if (atime)
        inode->atime = now;
    if (mtime)
        inode->mtime = now;
    if (ctime)
        inode->ctime = now;
    lock_release(&inode->lock);
}

// ---- Permission ----

bool inode_group_matches(const struct inode *inode, const struct cred *cred)
{
    uint32_t gid = LOAD_RELAXED(inode->gid);
    return gid == cred->fsgid || cred_in_group(cred, gid);
}

bool inode_owner_or_capable(const struct inode *inode, const struct cred *cred)
{
    return LOAD_RELAXED(inode->uid) == cred->fsuid || cred_capable(cred, CAP_FOWNER);
}

// path_resolution(7), "Permissions": one class of bits applies, then capabilities.
int inode_generic_permission(const struct inode *inode, const struct cred *cred, int mask)
{
    uint32_t mode = LOAD_RELAXED(inode->mode);
    uint32_t bits = mode & 7;
    if (LOAD_RELAXED(inode->uid) == cred->fsuid)
        bits = mode >> 6 & 7;
    else if ((mode >> 3 & 7) != bits && inode_group_matches(inode, cred))
        bits = mode >> 3 & 7;
    if (!((uint32_t)mask & ~bits & 7))
        return 0;
    if (S_ISDIR(mode)) {
        if (!(mask & 2) && cred_capable(cred, CAP_DAC_READ_SEARCH))
            return 0;
        return cred_capable(cred, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    }
    if (mask == 4 && cred_capable(cred, CAP_DAC_READ_SEARCH))
        return 0;
    if ((!(mask & 1) || (mode & 0111)) && cred_capable(cred, CAP_DAC_OVERRIDE))
        return 0;
    return -EACCES;
}

int inode_permission(struct inode *inode, const struct cred *cred, int mask)
{
    const struct inode_ops *ops = inode_ops(inode);
    if (unlikely(ops && ops->permission))
        return ops->permission(inode, cred, mask);
    return inode_generic_permission(inode, cred, mask);
}

// ---- Attributes ----

int inode_getattr(struct inode *inode)
{
    const struct inode_ops *ops = inode_ops(inode);
    return ops && ops->getattr ? ops->getattr(inode) : 0;
}

void inode_apply_setattr(struct inode *inode, const struct setattr *attr)
{
    struct timespec64 now = time_now();
    lock_take(&inode->lock);
    if (attr->valid & SETATTR_MODE)
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
    if (attr->valid & SETATTR_UID)
        inode->uid = attr->uid;
    if (attr->valid & SETATTR_GID)
        inode->gid = attr->gid;
    if (attr->valid & SETATTR_SIZE)
        inode->size = attr->size;
    if (attr->valid & SETATTR_ATIME)
        inode->atime = attr->atime;
    if (attr->valid & SETATTR_MTIME)
        inode->mtime = attr->mtime;
    if (attr->valid)
        inode->ctime = now;
    lock_release(&inode->lock);
}

int inode_setattr(struct inode *inode, const struct setattr *attr)
{
    const struct inode_ops *ops = inode_ops(inode);
    if (!ops)
        return -EPERM;
    if (ops->setattr)
        return ops->setattr(inode, attr);
    if (attr->valid & SETATTR_SIZE)
        return -EINVAL;
    inode_apply_setattr(inode, attr);
    return 0;
}

// ---- Super blocks ----

uint32_t super_new_dev(void)
{
    // Major 0 is for file systems without a device; the minor number is 20 bits wide.
    uint32_t minor = __atomic_add_fetch((uint32_t *)&the_vfs()->next_dev, 1, __ATOMIC_RELAXED);
    return (uint32_t)makedev(0, minor & 0xfffff);
}

struct super_block *super_alloc(enum super_type type)
{
    struct super_block *sb = slab_alloc(&super_type);
    if (!sb)
        return NULL;
    refcount_init(&sb->refs, 1);
    sb->type = (uint8_t)type;
    sb->dev = super_new_dev();
    sb->max_size = INT64_MAX;
    lock_init(&sb->rename_lock, LOCK_RANK_RENAME);
    return sb;
}

// Inodes hold the super block, and the root dentry holds an inode: a super block dies by super_kill_root(), when its last mount
// goes (vfs/mount.c).
void super_unref(struct super_block *sb)
{
    if (!sb || !refcount_put(&sb->refs))
        return;
    const struct super_ops *ops = super_ops(sb);
    if (ops && ops->destroy)
        ops->destroy(sb);
    slab_free(&super_type, sb);
}
