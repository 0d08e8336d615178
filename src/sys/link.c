// link(2), symlink(2), readlink(2), rename(2).
#include <linux/capability.h>
#include <linux/fs.h>

#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

int64_t sys_linkat(struct task *t, int olddirfd, uaddr_t oldname, int newdirfd, uaddr_t newname,
                   int flags)
{
    struct parent_walk w;
    struct path target;
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    uint32_t lookup_flags = (flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0) |
                            (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
    // Naming a descriptor's file anew would get round the permissions of the path it came from.
    if ((flags & AT_EMPTY_PATH) && !cred_capable(t->cred, CAP_DAC_READ_SEARCH))
        return -ENOENT;
    int64_t r = path_lookup_user(t, olddirfd, oldname, lookup_flags, &target);
    if (r < 0)
        return r;
    r = parent_walk_begin(t, newdirfd, newname, &w);
    if (r >= 0) {
        r = vfs_link(t, &w.dir, &w.last, &target);
        parent_walk_done(&w);
    }
    path_put(&target);
    return r;
}

int64_t sys_link(struct task *t, uaddr_t oldname, uaddr_t newname)
{
    return sys_linkat(t, AT_FDCWD, oldname, AT_FDCWD, newname, 0);
}

int64_t sys_symlinkat(struct task *t, uaddr_t target_name, int dirfd, uaddr_t path)
{
    struct parent_walk w;
    char small[PATH_SMALL], *target;
    int64_t r = path_copy_name(t, target_name, small, &target);
    if (r < 0)
        return r;
    if (!target[0]) {
        r = -ENOENT;
    } else {
        r = parent_walk_begin(t, dirfd, path, &w);
        if (r >= 0) {
            r = vfs_symlink(t, &w.dir, &w.last, target);
            parent_walk_done(&w);
        }
    }
    path_name_done(small, target);
    return r;
}

int64_t sys_symlink(struct task *t, uaddr_t target_name, uaddr_t path)
{
    return sys_symlinkat(t, target_name, AT_FDCWD, path);
}

static int64_t put_link(struct task *t, const struct path *p, uaddr_t buf, uint64_t size)
{
    struct inode *inode = p->dentry->inode;
    const struct inode_ops *ops = inode_ops(inode);
    if (inode->link && !(inode->flags & INODE_REVALIDATE)) {
        uint64_t n = MIN(size, inode->link_size);
        int r = copy_out(t, buf, inode->link, n);
        return r < 0 ? r : (int64_t)n;
    }
    if (!ops->readlink)
        return -EINVAL;
    char *text = kmalloc(VFS_PATH_MAX);
    if (!text)
        return -ENOMEM;
    int64_t n = ops->readlink(inode, text, MIN(size, VFS_PATH_MAX));
    if (n > 0) {
        int r = copy_out(t, buf, text, (uint64_t)n);
        if (r < 0)
            n = r;
    }
    kfree(text);
    return n;
}

int64_t sys_readlinkat(struct task *t, int dirfd, uaddr_t path, uaddr_t buf, int size)
{
    char small[PATH_SMALL], *name;
    struct path p;
    if (size <= 0)
        return -EINVAL;
    int64_t r = path_copy_name(t, path, small, &name);
    if (r < 0)
        return r;
    bool empty = !name[0]; // the link that dirfd (O_PATH) stands for
    r = path_lookup(t, dirfd, name, dirfd == AT_FDCWD ? 0 : LOOKUP_EMPTY, &p);
    path_name_done(small, name);
    if (r < 0)
        return r;
    if (S_ISLNK(p.dentry->inode->mode)) {
        r = put_link(t, &p, buf, (uint64_t)size);
        if (r >= 0)
            path_accessed(&p);
    } else {
        r = empty ? -ENOENT : -EINVAL;
    }
    path_put(&p);
    return r;
}

int64_t sys_readlink(struct task *t, uaddr_t path, uaddr_t buf, int size)
{
    return sys_readlinkat(t, AT_FDCWD, path, buf, size);
}

int64_t sys_renameat2(struct task *t, int olddirfd, uaddr_t oldname, int newdirfd, uaddr_t newname,
                      uint32_t flags)
{
    struct parent_walk from, to;
    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) ||
        ((flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) && (flags & RENAME_EXCHANGE)))
        return -EINVAL;
    int64_t r = parent_walk_begin(t, olddirfd, oldname, &from);
    if (r < 0)
        return r;
    r = parent_walk_begin(t, newdirfd, newname, &to);
    if (r >= 0) {
        r = vfs_rename(t, &from.dir, &from.last, &to.dir, &to.last, flags);
        parent_walk_done(&to);
    }
    parent_walk_done(&from);
    return r;
}

int64_t sys_renameat(struct task *t, int olddirfd, uaddr_t oldname, int newdirfd, uaddr_t newname)
{
    return sys_renameat2(t, olddirfd, oldname, newdirfd, newname, 0);
}

int64_t sys_rename(struct task *t, uaddr_t oldname, uaddr_t newname)
{
    return sys_renameat2(t, AT_FDCWD, oldname, AT_FDCWD, newname, 0);
}
