// Changes of attributes: mode, owner, times, size. chmod(2), chown(2), utimensat(2), truncate(2).
//
// A change of size takes the file's dir_lock in the file system, as every writer does.
#include <linux/capability.h>
#include <sys/inotify.h>

#include "vfs/vfs-int.h"

static int changed(struct inode *inode, const struct path *p, const struct setattr *attr)
{
    int r = inode_setattr(inode, attr);
    if (r == 0 && p)
        vfs_notify(inode, p->dentry, IN_ATTRIB);
    return r;
}

int vfs_chmod(struct task *t, const struct path *p, uint32_t mode)
{
    struct inode *inode = p->dentry->inode;
    int r = mount_want_write(p->mount);
    if (r < 0)
        return r;
    if (S_ISLNK(inode->mode))
        return -EOPNOTSUPP;
    if (!inode_owner_or_capable(inode, t->cred))
        return -EPERM;
    struct setattr attr = {.valid = SETATTR_MODE, .mode = mode & 07777};
    if ((inode->seals & 0x20 /* F_SEAL_EXEC */) && ((inode->mode ^ mode) & 0111))
        return -EPERM;
    if ((mode & S_ISGID) && !inode_group_matches(inode, t->cred) &&
        !cred_capable(t->cred, CAP_FSETID))
        attr.mode &= ~(uint32_t)S_ISGID;
    return changed(inode, p, &attr);
}

int vfs_chown(struct task *t, const struct path *p, uint32_t uid, uint32_t gid)
{
    struct inode *inode = p->dentry->inode;
    const struct cred *cred = t->cred;
    struct setattr attr = {.valid = SETATTR_CTIME, .uid = uid, .gid = gid};
    int r = mount_want_write(p->mount);
    if (r < 0)
        return r;
    bool owner = cred->fsuid == inode->uid, capable_chown = cred_capable(cred, CAP_CHOWN);
    if (uid != UINT32_MAX) {
        if (!capable_chown && !(owner && uid == inode->uid))
            return -EPERM;
        attr.valid |= SETATTR_UID;
    }
    if (gid != UINT32_MAX) {
        bool member = gid == cred->fsgid || cred_in_group(cred, gid) || gid == inode->gid;
        if (!capable_chown && !(owner && member))
            return -EPERM;
        attr.valid |= SETATTR_GID;
    }
    if (!inode_is_dir(inode)) {
        uint32_t mode = inode->mode & ~(uint32_t)S_ISUID;
        if ((mode & S_IXGRP) ||
            (!inode_group_matches(inode, cred) && !cred_capable(cred, CAP_FSETID)))
            mode &= ~(uint32_t)S_ISGID;
        if (mode != inode->mode) {
            attr.valid |= SETATTR_MODE;
            attr.mode = mode & 07777;
        }
    }
    if (inode->flags & INODE_FILE_CAPS)
        (void)inode_ops(inode)->removexattr(inode, "security.capability");
    return changed(inode, p, &attr);
}

int vfs_utimes(struct task *t, const struct path *p, const struct timespec64 times[2])
{
    struct inode *inode = p->dentry->inode;
    struct setattr attr = {.valid = SETATTR_ATIME | SETATTR_MTIME | SETATTR_CTIME};
    struct timespec64 now = time_now();
    bool both_now = !times || (times[0].nsec == UTIME_NOW && times[1].nsec == UTIME_NOW);
    attr.atime = attr.mtime = now;
    if (times) {
        if (times[0].nsec == UTIME_OMIT)
            attr.valid &= ~(uint32_t)SETATTR_ATIME;
        else if (times[0].nsec != UTIME_NOW)
            attr.atime = times[0];
        if (times[1].nsec == UTIME_OMIT)
            attr.valid &= ~(uint32_t)SETATTR_MTIME;
        else if (times[1].nsec != UTIME_NOW)
            attr.mtime = times[1];
    }
    if (attr.valid == SETATTR_CTIME)
        return 0;
    int r = mount_want_write(p->mount);
    if (r < 0)
        return r;
    if (!inode_owner_or_capable(inode, t->cred)) {
        if (!both_now)
            return -EPERM;
        r = inode_permission(inode, t->cred, 2);
        if (r < 0)
            return r;
    }
    return changed(inode, p, &attr);
}

int vfs_truncate(struct task *t, struct inode *inode, uint64_t size)
{
    struct setattr attr = {.valid = SETATTR_SIZE | SETATTR_MTIME | SETATTR_CTIME, .size = size};
    if (inode_is_dir(inode))
        return -EISDIR;
    if (!S_ISREG(inode->mode))
        return -EINVAL;
    if (size > inode->sb->max_size)
        return -EFBIG;
    if (t && size > LOAD_RELAXED(inode->size) && size > task_rlimit(t, RLIMIT_FSIZE)) {
        file_signal_caller(t, SIGXFSZ);
        return -EFBIG;
    }
    attr.mtime = time_now();
    if (mode_without_privileges(inode->mode) != inode->mode &&
        !(t && cred_capable(t->cred, CAP_FSETID))) {
        attr.valid |= SETATTR_MODE;
        attr.mode = mode_without_privileges(inode->mode) & 07777;
    }
    return inode_setattr(inode, &attr);
}

int file_truncate(struct file *f, uint64_t size)
{
    if (!f->writable || !S_ISREG(f->inode->mode))
        return -EINVAL;
    int r = vfs_truncate(current_task(), f->inode, size);
    if (r == 0)
        vfs_notify(f->inode, f->path.dentry, IN_MODIFY);
    return r;
}
