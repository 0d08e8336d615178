// Extended attributes: xattr(7).
//
// The name spaces' rules are here; what can be stored is the file system's. system.* (access control lists) is EOPNOTSUPP.
#include <linux/capability.h>
#include <linux/limits.h>
#include <sys/xattr.h>

#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

static bool has_prefix(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}

// May t read or change this attribute? 0 or the errno.
static int xattr_permission(struct task *t, const struct path *p, const char *name, bool change)
{
    struct inode *inode = p->dentry->inode;
    int r = change ? mount_want_write(p->mount) : 0;
    if (r < 0)
        return r;
    if (has_prefix(name, "trusted."))
        return cred_capable(t->cred, CAP_SYS_ADMIN) ? 0 : change ? -EPERM : -ENODATA;
    if (has_prefix(name, "security.")) {
        if (!change)
            return 0;
        int cap = !strcmp(name, "security.capability") ? CAP_SETFCAP : CAP_SYS_ADMIN;
        return cred_capable(t->cred, cap) ? 0 : -EPERM;
    }
    if (!has_prefix(name, "user.") || !name[5])
        return has_prefix(name, "user.") ? -EINVAL : -EOPNOTSUPP;
    if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode))
        return change ? -EPERM : -ENODATA;
    if (change && S_ISDIR(inode->mode) && (inode->mode & S_ISVTX) &&
        !inode_owner_or_capable(inode, t->cred))
        return -EPERM;
    return inode_permission(inode, t->cred, change ? 2 : 4);
}

// struct vfs_cap_data of linux/capability.h: revision 2 or 3, of the size that goes with it.
static bool valid_capability(const void *value, uint64_t size)
{
    uint32_t magic;
    if (size < sizeof(magic))
        return false;
    memcpy(&magic, value, sizeof(magic));
    magic &= VFS_CAP_REVISION_MASK;
    return (magic == VFS_CAP_REVISION_2 && size == XATTR_CAPS_SZ_2) ||
           (magic == VFS_CAP_REVISION_3 && size == XATTR_CAPS_SZ_3);
}

static int copy_name(struct task *t, char name[XATTR_NAME_MAX + 1], uaddr_t src)
{
    int64_t n = copy_in_string(t, name, src, XATTR_NAME_MAX + 1);
    return n == -ENAMETOOLONG || n == 0 ? -ERANGE : n < 0 ? (int)n : 0;
}

static int64_t do_set(struct task *t, const struct path *p, uaddr_t xattr_name, uaddr_t value,
                      uint64_t size, int flags)
{
    char name[XATTR_NAME_MAX + 1];
    const struct inode_ops *ops = inode_ops(p->dentry->inode);
    void *data = NULL;
    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    int r = copy_name(t, name, xattr_name);
    if (r < 0)
        return r;
    if (size > XATTR_SIZE_MAX)
        return -E2BIG;
    if (size && !(data = kmalloc(size)))
        return -ENOMEM;
    r = copy_in(t, data, value, size);
    if (r == 0 && !strcmp(name, "security.capability") && !valid_capability(data, size))
        r = -EINVAL;
    if (r == 0)
        r = xattr_permission(t, p, name, true);
    if (r == 0)
        r = ops->setxattr ? ops->setxattr(p->dentry->inode, name, data, size, flags) : -EOPNOTSUPP;
    if (r == 0 && !strcmp(name, "security.capability"))
        __atomic_fetch_or(&p->dentry->inode->flags, INODE_FILE_CAPS, __ATOMIC_RELAXED);
    if (r == 0)
        vfs_notify(p->dentry->inode, p->dentry, 4 /* IN_ATTRIB */);
    kfree(data);
    return r;
}

static int64_t do_get(struct task *t, const struct path *p, uaddr_t xattr_name, uaddr_t value,
                      uint64_t size)
{
    char name[XATTR_NAME_MAX + 1];
    const struct inode_ops *ops = inode_ops(p->dentry->inode);
    void *data = NULL;
    int64_t r = copy_name(t, name, xattr_name);
    if (r == 0)
        r = xattr_permission(t, p, name, false);
    if (r < 0)
        return r;
    if (!ops->getxattr)
        return -EOPNOTSUPP;
    size = MIN(size, XATTR_SIZE_MAX);
    if (size && !(data = kmalloc(size)))
        return -ENOMEM;
    r = ops->getxattr(p->dentry->inode, name, data, size);
    if (r > 0 && size) {
        int e = copy_out(t, value, data, (uint64_t)r);
        if (e < 0)
            r = e;
    }
    kfree(data);
    return r;
}

// Drops what t may not see from a list of names; the new size.
static int64_t filter_list(struct task *t, char *list, int64_t size)
{
    int64_t kept = 0;
    if (cred_capable(t->cred, CAP_SYS_ADMIN))
        return size;
    for (int64_t at = 0; at < size;) {
        int64_t n = (int64_t)strlen(list + at) + 1;
        if (!has_prefix(list + at, "trusted.")) {
            memmove(list + kept, list + at, (size_t)n);
            kept += n;
        }
        at += n;
    }
    return kept;
}

static int64_t do_list(struct task *t, const struct path *p, uaddr_t list, uint64_t size)
{
    struct inode *inode = p->dentry->inode;
    const struct inode_ops *ops = inode_ops(inode);
    if (!ops->listxattr)
        return 0;
    char *data = kmalloc(XATTR_LIST_MAX);
    if (!data)
        return -ENOMEM;
    int64_t r = ops->listxattr(inode, data, XATTR_LIST_MAX);
    if (r == -ERANGE)
        r = -E2BIG;
    if (r > 0)
        r = filter_list(t, data, r);
    if (r > 0 && size) {
        int e = (uint64_t)r > size ? -ERANGE : copy_out(t, list, data, (uint64_t)r);
        if (e < 0)
            r = e;
    }
    kfree(data);
    return r;
}

static int64_t do_remove(struct task *t, const struct path *p, uaddr_t xattr_name)
{
    char name[XATTR_NAME_MAX + 1];
    const struct inode_ops *ops = inode_ops(p->dentry->inode);
    int64_t r = copy_name(t, name, xattr_name);
    if (r == 0)
        r = xattr_permission(t, p, name, true);
    if (r == 0)
        r = ops->removexattr ? ops->removexattr(p->dentry->inode, name) : -EOPNOTSUPP;
    if (r == 0)
        vfs_notify(p->dentry->inode, p->dentry, 4 /* IN_ATTRIB */);
    return r;
}

// ---- The three ways to name a file ----

enum { BY_PATH, BY_LINK, BY_FD };

static int target(struct task *t, int how, int fd, uaddr_t path, struct path *ret)
{
    if (how != BY_FD)
        return path_lookup_user(t, AT_FDCWD, path, how == BY_PATH ? LOOKUP_FOLLOW : 0, ret);
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    *ret = f->path;
    path_get(ret);
    file_unref(f);
    return 0;
}

static int64_t set_by(struct task *t, int how, int fd, uaddr_t path, uaddr_t name, uaddr_t value,
                      uint64_t size, int flags)
{
    struct path p;
    int64_t r = target(t, how, fd, path, &p);
    if (r == 0) {
        r = do_set(t, &p, name, value, size, flags);
        path_put(&p);
    }
    return r;
}

static int64_t get_by(struct task *t, int how, int fd, uaddr_t path, uaddr_t name, uaddr_t value,
                      uint64_t size)
{
    struct path p;
    int64_t r = target(t, how, fd, path, &p);
    if (r == 0) {
        r = do_get(t, &p, name, value, size);
        path_put(&p);
    }
    return r;
}

static int64_t list_by(struct task *t, int how, int fd, uaddr_t path, uaddr_t list, uint64_t size)
{
    struct path p;
    int64_t r = target(t, how, fd, path, &p);
    if (r == 0) {
        r = do_list(t, &p, list, size);
        path_put(&p);
    }
    return r;
}

static int64_t remove_by(struct task *t, int how, int fd, uaddr_t path, uaddr_t name)
{
    struct path p;
    int64_t r = target(t, how, fd, path, &p);
    if (r == 0) {
        r = do_remove(t, &p, name);
        path_put(&p);
    }
    return r;
}

int64_t sys_setxattr(struct task *t, uaddr_t path, uaddr_t xattr_name, uaddr_t value, uint64_t size,
                     int flags)
{
    return set_by(t, BY_PATH, -1, path, xattr_name, value, size, flags);
}

int64_t sys_lsetxattr(struct task *t, uaddr_t path, uaddr_t xattr_name, uaddr_t value,
                      uint64_t size, int flags)
{
    return set_by(t, BY_LINK, -1, path, xattr_name, value, size, flags);
}

int64_t sys_fsetxattr(struct task *t, int fd, uaddr_t xattr_name, uaddr_t value, uint64_t size,
                      int flags)
{
    return set_by(t, BY_FD, fd, UADDR_NULL, xattr_name, value, size, flags);
}

int64_t sys_getxattr(struct task *t, uaddr_t path, uaddr_t xattr_name, uaddr_t value, uint64_t size)
{
    return get_by(t, BY_PATH, -1, path, xattr_name, value, size);
}

int64_t sys_lgetxattr(struct task *t, uaddr_t path, uaddr_t xattr_name, uaddr_t value,
                      uint64_t size)
{
    return get_by(t, BY_LINK, -1, path, xattr_name, value, size);
}

int64_t sys_fgetxattr(struct task *t, int fd, uaddr_t xattr_name, uaddr_t value, uint64_t size)
{
    return get_by(t, BY_FD, fd, UADDR_NULL, xattr_name, value, size);
}

int64_t sys_listxattr(struct task *t, uaddr_t path, uaddr_t list, uint64_t size)
{
    return list_by(t, BY_PATH, -1, path, list, size);
}

int64_t sys_llistxattr(struct task *t, uaddr_t path, uaddr_t list, uint64_t size)
{
    return list_by(t, BY_LINK, -1, path, list, size);
}

int64_t sys_flistxattr(struct task *t, int fd, uaddr_t list, uint64_t size)
{
    return list_by(t, BY_FD, fd, UADDR_NULL, list, size);
}

int64_t sys_removexattr(struct task *t, uaddr_t path, uaddr_t xattr_name)
{
    return remove_by(t, BY_PATH, -1, path, xattr_name);
}

int64_t sys_lremovexattr(struct task *t, uaddr_t path, uaddr_t xattr_name)
{
    return remove_by(t, BY_LINK, -1, path, xattr_name);
}

int64_t sys_fremovexattr(struct task *t, int fd, uaddr_t xattr_name)
{
    return remove_by(t, BY_FD, fd, UADDR_NULL, xattr_name);
}
