// The way of things into the upper layer.
//
// Pinning: an inode of the image that is to be changed is put into its directory's table, which from then on keeps it, and the
// directory into its own parent's table. Attributes live in the pinned inode itself, so that a change of mode, owner or times copies
// nothing. Contents and extended attributes move to a tmpfs inode ("real") when they are first changed; it is published when it is
// complete, so every reader sees all of the old contents or all of the new.
//
// DEVIATION: overlay: a mapping made before the file was first written keeps showing the image's contents, as with Linux's overlayfs.
#include <fcntl.h>
#include <sys/xattr.h>

#include "base/slab.h"
#include "fs/host-io.h"
#include "fs/overlay/overlay.h"
#include "fs/tmpfs/tmpfs.h"
#include "host/host.h"
#include "mm/mm.h"

extern const struct file_ops tmpfs_file_ops;

struct inode *ovl_detach_locked(struct inode *inode)
{
    struct ovl_inode *oi = ovl_i(inode);
    struct inode *parent = oi->parent;
    oi->parent = NULL;
    oi->pinned = true;
    // The image's other names of this file are inodes of their own: this one has one name. Nobody has changed the count before.
    if (!S_ISDIR(inode->mode))
        __atomic_store_n(&inode->nlink, 1, __ATOMIC_RELAXED);
    return parent;
}

// The highest directory on the way from the root to inode that is not pinned yet, or inode itself; reference. NULL: all are.
static struct inode *highest_loose(struct ovl_super *os, struct inode *inode)
{
    struct inode *found = NULL;
    lock_take(&os->lock);
    while (!ovl_i(inode)->pinned) {
        found = inode;
        inode = ovl_i(inode)->parent;
    }
    if (found)
        inode_ref(found);
    lock_release(&os->lock);
    return found;
}

static int pin_one(struct ovl_super *os, struct inode *inode)
{
    char name[GOFER_NAME_MAX + 1];
    struct ovl_inode *oi = ovl_i(inode);
    uint32_t len = host_node_name(oi->lower, name);
    struct ovl_entry *e = ovl_entry_new(name, len);
    struct inode *parent = NULL;
    if (!e)
        return -ENOMEM;
    e->hides = true;
    lock_take(&os->lock);
    if (!oi->pinned) {
        e->inode = inode_ref(inode);
        ovl_insert_locked(oi->parent, e);
        parent = ovl_detach_locked(inode);
        e = NULL;
    }
    lock_release(&os->lock);
    inode_unref(parent);
    kfree(e);
    return 0;
}

int ovl_pin(struct inode *inode)
{
    struct ovl_super *os = ovl_sb(inode->sb);
    struct inode *loose;
    int r = 0;
    while (r == 0 && (loose = highest_loose(os, inode))) {
        r = pin_one(os, loose);
        inode_unref(loose);
    }
    return r;
}

// ---- Contents ----

static int copy_range(int fd, struct file *to, void *buffer, uint64_t from, uint64_t end)
{
    struct task *t = current_task();
    while (from < end) {
        struct uio_segment one;
        struct uio u;
        int64_t n = host_pread(fd, buffer, MIN(end - from, HOST_IO_BUFFER), from);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : 0; // shorter than it was: the rest reads as zeros
        uint64_t pos = from;
        uio_init_kernel(&u, &one, buffer, (uint64_t)n);
        int64_t w = tmpfs_file_ops.write(to, &u, &pos);
        if (w < n)
            return w < 0 ? (int)w : -ENOSPC;
        from += (uint64_t)n;
        if (t && signal_fatal_pending(t))
            return -EINTR;
    }
    return 0;
}

static int copy_data(int fd, struct inode *real, uint64_t size)
{
    struct file to = {.type = FILE_TMPFS, .inode = real, .priv = real, .writable = true};
    void *buffer = host_io_buffer_take();
    int r = buffer ? 0 : -ENOMEM;
    uint64_t at = 0;
    while (r == 0 && at < size) {
        int64_t data = size > HOST_IO_BUFFER ? host_lseek(fd, (int64_t)at, SEEK_DATA) : (int64_t)at, hole = (int64_t)size;
        if (data == -ENXIO)
            break; // nothing but a hole
        if (data < 0)
            data = (int64_t)at; // the host can't tell
        else if (size > HOST_IO_BUFFER)
            hole = host_lseek(fd, data, SEEK_HOLE);
        if (hole <= data || hole > (int64_t)size)
            hole = (int64_t)size;
        if (data >= hole)
            break;
        r = copy_range(fd, &to, buffer, (uint64_t)data, (uint64_t)hole);
        at = (uint64_t)hole;
    }
    host_io_buffer_give(buffer);
    if (r == 0 && real->size != size) {
        struct setattr attr = {.valid = SETATTR_SIZE, .size = size};
        r = inode_ops(real)->setattr(real, &attr);
    }
    return r;
}

static int copy_contents(struct inode *inode, struct inode *real, uint64_t keep)
{
    struct host_node *lower = ovl_i(inode)->lower;
    uint64_t size = MIN(keep, inode->size);
    if (!S_ISREG(inode->mode) || size == 0)
        return 0;
    int fd = host_node_get_fd(lower, HOST_FD_READ, NULL, NULL);
    if (fd < 0)
        return fd;
    int r = copy_data(fd, real, size);
    host_node_put_fd(lower);
    return r;
}

// ---- Extended attributes ----

static int copy_one_xattr(struct host_node *lower, struct inode *real, const char *name, void *value)
{
    if (host_xattr_refused(name) < 0)
        return 0;
    int64_t size = host_node_getxattr(lower, name, value, GOFER_XATTR_SIZE_MAX);
    if (size < 0)
        return size == -ENODATA ? 0 : (int)size;
    const struct inode_ops *ops = inode_ops(real);
    return ops->setxattr ? ops->setxattr(real, name, value, (uint64_t)size, 0) : 0;
}

static int copy_xattrs(struct inode *inode, struct inode *real)
{
    struct host_node *lower = ovl_i(inode)->lower;
    if (!lower || __atomic_load_n((bool *)&lower->no_xattr, __ATOMIC_RELAXED))
        return 0;
    char *list = kmalloc(2 * GOFER_XATTR_SIZE_MAX);
    if (!list)
        return -ENOMEM;
    int64_t size = host_node_listxattr(lower, list, GOFER_XATTR_SIZE_MAX);
    int r = size == -EOPNOTSUPP ? 0 : size < 0 ? (int)size : 0;
    for (int64_t at = 0; r == 0 && at < size; at += (int64_t)strlen(list + at) + 1)
        r = copy_one_xattr(lower, real, list + at, list + GOFER_XATTR_SIZE_MAX);
    kfree(list);
    return r;
}

// ---- Copying up ----

// True when the caller is the one to copy; false when somebody else has done it meanwhile. Negative: killed.
static int copy_begin(struct ovl_super *os, struct inode *inode)
{
    struct ovl_inode *oi = ovl_i(inode);
    struct task *t = current_task();
    struct wait_entry w;
    int r;
    wait_entry_init(&w, t);
    if (t)
        wait_add(&os->copied, &w);
    for (;;) {
        if (t)
            wait_arm(t);
        lock_take(&os->lock);
        bool copying = oi->copying, done = oi->real != NULL;
        if (!copying && !done)
            oi->copying = true;
        lock_release(&os->lock);
        r = !done;
        if (!copying || done)
            break;
        r = wait_sleep_killable(t, NSEC_MAX);
        if (r < 0)
            break;
    }
    wait_remove(&w);
    return r < 0 ? -EINTR : r;
}

static void copy_end(struct ovl_super *os, struct inode *inode, struct inode *real)
{
    struct ovl_inode *oi = ovl_i(inode);
    lock_take(&os->lock);
    __atomic_store_n(&oi->real, real, __ATOMIC_RELEASE);
    oi->copying = false;
    lock_release(&os->lock);
    wake_up_all(&os->copied, 0);
}

int ovl_copy_up(struct inode *inode, uint64_t keep)
{
    struct ovl_super *os = ovl_sb(inode->sb);
    struct inode *real = NULL;
    if (ovl_real(inode))
        return 0;
    int r = ovl_pin(inode);
    if (r < 0)
        return r;
    r = copy_begin(os, inode);
    if (r <= 0)
        return r;
    r = tmpfs_make_inode(os->upper, NULL, S_IFREG | 0600, 0, the_vfs()->kernel_cred, &real);
    if (r == 0)
        r = copy_contents(inode, real, keep);
    if (r == 0)
        r = copy_xattrs(inode, real);
    if (r < 0) {
        inode_unref(real);
        real = NULL;
    }
    copy_end(os, inode, real);
    return r;
}

// ---- Attributes ----

int ovl_getattr(struct inode *inode)
{
    struct inode *real = ovl_real(inode);
    if (!real || !S_ISREG(inode->mode))
        return 0;
    int r = inode_getattr(real);
    lock_take(&inode->lock);
    inode->size = LOAD_RELAXED(real->size);
    inode->blocks = LOAD_RELAXED(real->blocks);
    lock_release(&inode->lock);
    return r;
}

static int set_size(struct inode *inode, uint64_t size)
{
    struct setattr attr = {.valid = SETATTR_SIZE, .size = size};
    int r = ovl_copy_up(inode, size);
    if (r < 0)
        return r;
    struct inode *real = ovl_real(inode);
    r = inode_ops(real)->setattr(real, &attr);
    // Mappings that were made through the file as the image had it.
    if (r == 0 && __atomic_load_n((uint32_t *)&inode->map_count, __ATOMIC_ACQUIRE)) {
        struct file f = {.type = FILE_OVERLAY, .inode = inode};
        mm_unmap_file_range(&f, size, UINT64_MAX - size);
    }
    return r;
}

int ovl_setattr(struct inode *inode, const struct setattr *attr)
{
    int r = ovl_pin(inode);
    if (r == 0 && (attr->valid & SETATTR_SIZE))
        r = set_size(inode, attr->size);
    if (r == 0)
        inode_apply_setattr(inode, attr);
    return r;
}

int64_t ovl_getxattr(struct inode *inode, const char *name, void *value, uint64_t size)
{
    struct inode *real = ovl_real(inode);
    struct host_node *lower = ovl_i(inode)->lower;
    if (real) {
        const struct inode_ops *ops = inode_ops(real);
        return ops->getxattr ? ops->getxattr(real, name, value, size) : -EOPNOTSUPP;
    }
    int r = host_xattr_refused(name);
    if (r < 0)
        return r;
    return lower ? host_node_getxattr_cached(lower, name, value, size) : -ENODATA;
}

int64_t ovl_listxattr(struct inode *inode, char *list, uint64_t size)
{
    struct inode *real = ovl_real(inode);
    struct host_node *lower = ovl_i(inode)->lower;
    if (real) {
        const struct inode_ops *ops = inode_ops(real);
        return ops->listxattr ? ops->listxattr(real, list, size) : 0;
    }
    if (!lower || __atomic_load_n((bool *)&lower->no_xattr, __ATOMIC_RELAXED))
        return 0;
    return host_node_listxattr(lower, list, size);
}

int ovl_setxattr(struct inode *inode, const char *name, const void *value, uint64_t size, int flags)
{
    int r = ovl_copy_up(inode, UINT64_MAX);
    if (r < 0)
        return r;
    struct inode *real = ovl_real(inode);
    const struct inode_ops *ops = inode_ops(real);
    r = ops->setxattr ? ops->setxattr(real, name, value, size, flags) : -EOPNOTSUPP;
    if (r == 0)
        inode_touch(inode, false, false, true);
    return r;
}

int ovl_removexattr(struct inode *inode, const char *name)
{
    int r = ovl_copy_up(inode, UINT64_MAX);
    if (r < 0)
        return r;
    struct inode *real = ovl_real(inode);
    const struct inode_ops *ops = inode_ops(real);
    r = ops->removexattr ? ops->removexattr(real, name) : -EOPNOTSUPP;
    if (r == 0)
        inode_touch(inode, false, false, true);
    return r;
}
