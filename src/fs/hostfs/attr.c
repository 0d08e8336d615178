// Attributes between the gofer's form and inodes, see fs/host-inode.h.
#include <linux/capability.h>

#include "fs/host-inode.h"
#include "fs/hostfs/hostfs.h"
#include "kernel/cred.h"
#include "kernel/timer.h"
#include "vfs/vfs-int.h"

static struct timespec64 time_from_gofer(const struct gofer_time *t)
{
    return (struct timespec64){.sec = t->sec, .nsec = t->nsec};
}

static struct gofer_time time_to_gofer(const struct timespec64 *t)
{
    return (struct gofer_time){.sec = t->sec, .nsec = t->nsec};
}

static void fill(struct inode *inode, const struct gofer_attr *attr)
{
    inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
    if (attr->uid != UINT32_MAX || attr->gid != UINT32_MAX) { // from a descriptor: owner unknown, as it was
        inode->uid = attr->uid;
        inode->gid = attr->gid;
    }
    inode->nlink = attr->nlink;
    inode->size = attr->size;
    inode->blocks = attr->blocks;
    inode->atime = time_from_gofer(&attr->atime);
    inode->mtime = time_from_gofer(&attr->mtime);
    inode->ctime = time_from_gofer(&attr->ctime);
    inode->btime = time_from_gofer(&attr->btime);
}

void host_attr_apply(struct inode *inode, const struct gofer_attr *attr)
{
    lock_take(&inode->lock);
    fill(inode, attr);
    lock_release(&inode->lock);
}

void host_inode_init(struct inode *inode, const struct host_export *e, const struct gofer_attr *attr)
{
    inode->ino = host_node_ino(e, attr);
    inode->rdev = attr->rdev;
    fill(inode, attr);
}

void host_new_owner(const struct inode *dir, uint32_t mode, const struct cred *cred, struct host_new *out)
{
    out->uid = cred->fsuid;
    out->gid = cred->fsgid;
    out->mode = mode;
    if (!(dir->mode & S_ISGID))
        return;
    out->gid = dir->gid;
    if (S_ISDIR(mode))
        out->mode |= S_ISGID;
    else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !cred_in_group(cred, dir->gid) &&
             !cred_capable(cred, CAP_FSETID))
        out->mode &= ~(uint32_t)S_ISGID;
}

int host_xattr_refused(const char *name)
{
    if (!strncmp(name, "user.", 5) || !strcmp(name, "security.capability"))
        return 0;
    // No access control lists; labels and what only the host's root may see are not the guest's.
    return strncmp(name, "security.", 9) && strncmp(name, "trusted.", 8) ? -EOPNOTSUPP : -ENODATA;
}

// ---- hostfs ----

static bool is_fresh(const struct host_node *n)
{
    return clock_monotonic() < __atomic_load_n((const int64_t *)&n->valid_until, __ATOMIC_RELAXED);
}

void hostfs_refreshed(struct inode *inode, const struct gofer_attr *attr)
{
    struct host_node *n = inode->priv;
    host_attr_apply(inode, attr);
    __atomic_store_n((int64_t *)&n->valid_until, clock_monotonic() + HOST_ATTR_VALID, __ATOMIC_RELAXED);
}

int hostfs_getattr(struct inode *inode)
{
    struct host_node *n = inode->priv;
    struct gofer_attr attr;
    int error;
    if (!host_node_must_keep(n))
        return 0;
    if (!n->export->shared || is_fresh(n)) {
        // What a descriptor tells costs no message.
        int fd = S_ISREG(inode->mode) ? host_node_peek_fd(n, HOST_FD_READ) : -1;
        if (fd < 0)
            return 0;
        if ((error = host_fd_getattr(fd, &attr)) == 0)
            host_attr_apply(inode, &attr);
        host_node_put_fd(n);
        return error;
    }
    error = host_node_getattr(n, &attr);
    if (error < 0)
        return error;
    if (attr.ino != n->ino || attr.dev != n->dev || ((attr.mode ^ inode->mode) & S_IFMT))
        return -ESTALE;
    hostfs_refreshed(inode, &attr);
    return 0;
}

int hostfs_setattr(struct inode *inode, const struct setattr *attr)
{
    struct host_node *n = inode->priv;
    struct gofer_request request = {0};
    struct gofer_attr now;
    if (n->export->read_only)
        return -EROFS;
    if (attr->valid & SETATTR_MODE)
        request.valid |= GOFER_SET_MODE;
    if (attr->valid & SETATTR_UID)
        request.valid |= GOFER_SET_UID;
    if (attr->valid & SETATTR_GID)
        request.valid |= GOFER_SET_GID;
    if (attr->valid & SETATTR_SIZE)
        request.valid |= GOFER_SET_SIZE;
    else if (attr->valid & SETATTR_MTIME)
        request.valid |= GOFER_SET_MTIME; // the host sets it with the size
    if (attr->valid & SETATTR_ATIME)
        request.valid |= GOFER_SET_ATIME;
    request.mode = attr->mode;
    request.uid = attr->uid;
    request.gid = attr->gid;
    request.length = attr->size;
    request.atime = time_to_gofer(&attr->atime);
    request.mtime = time_to_gofer(&attr->mtime);
    int fd = request.valid == GOFER_SET_SIZE ? host_node_peek_fd(n, HOST_FD_WRITE) : -1;
    int error;
    if (fd >= 0) {
        error = hostfs_truncate_fd(fd, attr->size, &now);
        host_node_put_fd(n);
        if (error == 0)
            host_attr_apply(inode, &now);
        return error;
    }
    error = host_node_setattr(n, &request, &now);
    if (error == 0)
        hostfs_refreshed(inode, &now);
    return error;
}

int64_t hostfs_getxattr(struct inode *inode, const char *name, void *value, uint64_t size)
{
    struct host_node *n = inode->priv;
    int error = host_xattr_refused(name);
    if (error < 0)
        return error;
    return host_node_getxattr_cached(n, name, value, size);
}

int hostfs_setxattr(struct inode *inode, const char *name, const void *value, uint64_t size, int flags)
{
    if (host_xattr_refused(name) < 0)
        return -EOPNOTSUPP;
    return host_node_setxattr(inode->priv, name, value, size, flags);
}

int64_t hostfs_listxattr(struct inode *inode, char *list, uint64_t size)
{
    return host_node_listxattr(inode->priv, list, size);
}

int hostfs_removexattr(struct inode *inode, const char *name)
{
    int error = host_xattr_refused(name);
    return error < 0 ? error : host_node_removexattr(inode->priv, name);
}
