// tmpfs: extended attributes (xattr(7)), a list in each inode. Name spaces and permissions are checked by the file layer.
#include <sys/xattr.h>

#include "fs/tmpfs/tmpfs-int.h"

enum { XATTR_BYTES_MAX = 128 << 10 }; // names and values of one inode

SLAB_TYPE(xattr_slab, SLAB_XATTR, struct tmpfs_xattr);

static struct tmpfs_xattr *find_locked(struct tmpfs_inode *ti, const char *name)
{
    struct tmpfs_xattr *x;
    list_for_each (x, &ti->xattrs, node) {
        if (!strcmp(x->name, name))
            return x;
    }
    return NULL;
}

static void xattr_free(struct tmpfs_xattr *x)
{
    if (!x)
        return;
    kfree(x->name);
    kfree(x->value);
    slab_free(&xattr_slab, x);
}

static struct tmpfs_xattr *xattr_new(const char *name, const void *value, uint64_t size)
{
    struct tmpfs_xattr *x = slab_alloc(&xattr_slab);
    if (!x)
        return NULL;
    x->name = kstrdup(name);
    x->value = kmalloc(size);
    x->size = size;
    if (!x->name || (size && !x->value)) {
        xattr_free(x);
        return NULL;
    }
    if (size)
        memcpy(x->value, value, size);
    return x;
}

static uint64_t cost(const struct tmpfs_xattr *x)
{
    return x ? strlen(x->name) + 1 + x->size : 0;
}

int64_t tmpfs_getxattr(struct inode *inode, const char *name, void *value, uint64_t size)
{
    int64_t r = -ENODATA;
    lock_take(&inode->lock);
    struct tmpfs_xattr *x = find_locked(tmpfs_i(inode), name);
    if (x) {
        r = (int64_t)x->size;
        if (size && size < x->size)
            r = -ERANGE;
        else if (size && x->size)
            memcpy(value, x->value, x->size);
    }
    lock_release(&inode->lock);
    return r;
}

int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, uint64_t size,
                   int flags)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    struct timespec64 now = time_now();
    struct tmpfs_xattr *x = xattr_new(name, value, size);
    int r = 0;
    if (!x)
        return -ENOMEM;
    lock_take(&inode->lock);
    struct tmpfs_xattr *old = find_locked(ti, name);
    if (old && (flags & XATTR_CREATE))
        r = -EEXIST;
    else if (!old && (flags & XATTR_REPLACE))
        r = -ENODATA;
    else if (ti->xattr_bytes - cost(old) + cost(x) > XATTR_BYTES_MAX)
        r = -ENOSPC;
    if (r == 0) {
        ti->xattr_bytes += cost(x) - cost(old);
        if (old)
            list_remove(&old->node);
        list_push_back(&ti->xattrs, &x->node);
        inode->ctime = now;
    }
    lock_release(&inode->lock);
    xattr_free(r == 0 ? old : x);
    return r;
}

int64_t tmpfs_listxattr(struct inode *inode, char *list, uint64_t size)
{
    struct tmpfs_xattr *x;
    uint64_t used = 0;
    int64_t r = 0;
    lock_take(&inode->lock);
    list_for_each (x, &tmpfs_i(inode)->xattrs, node) {
        uint64_t n = strlen(x->name) + 1;
        if (size && n > size - used) {
            r = -ERANGE;
            break;
        }
        if (size)
            memcpy(list + used, x->name, n);
        used += n;
    }
    lock_release(&inode->lock);
    return r < 0 ? r : (int64_t)used;
}

int tmpfs_removexattr(struct inode *inode, const char *name)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    struct timespec64 now = time_now();
    lock_take(&inode->lock);
    struct tmpfs_xattr *x = find_locked(ti, name);
    if (x) {
        list_remove(&x->node);
        ti->xattr_bytes -= cost(x);
        inode->ctime = now;
    }
    lock_release(&inode->lock);
    xattr_free(x);
    return x ? 0 : -ENODATA;
}

void tmpfs_free_xattrs(struct inode *inode)
{
    struct tmpfs_xattr *x, *tmp;
    list_for_each_safe (x, tmp, &tmpfs_i(inode)->xattrs, node)
        xattr_free(x);
    list_init(&tmpfs_i(inode)->xattrs);
}
