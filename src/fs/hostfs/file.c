// Open regular files of hostfs: reads and writes go to the donated descriptor, with no message.
//
// Where the host or the guest may change or remove the file, an open file keeps its descriptor (file.priv2), because by name it
// might not be found again. Files of a read-only exclusive export give it back to the cache after each use, unless they are mapped:
// the number of a descriptor that a stub was told to map must not change its meaning before the mapping is made.
#include <linux/falloc.h>

#include "fs/host-io.h"
#include "fs/hostfs/hostfs.h"
#include "host/host.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "vfs/vfs-int.h"

// file.priv2
enum { KEEPS_FD = 1 };

static struct host_node *node_of(const struct file *f)
{
    return f->inode->priv;
}

// Does the name by which f is opened still stand for its inode? -ESTALE: no; the walk will ask about it again. Who then still comes
// with this inode came another way (/proc/self/fd), and wants this file.
static int check_name(struct inode *inode, struct file *f, struct gofer_attr *attr, bool *fresh)
{
    char name[VFS_NAME_MAX + 1];
    struct host_node *n = inode->priv;
    struct dentry *d = f->path.dentry, *dir = dentry_get_parent(d);
    int error;
    if (dir == d || (dentry_flags(d) & DENTRY_DELETED)) {
        error = host_node_getattr(n, attr);
    } else {
        uint32_t len = dentry_copy_name(d, name);
        error = host_node_lookup(dir->inode->priv, name, len, NULL, attr, NULL, NULL);
    }
    dentry_unref(dir);
    if (error == 0 && attr->ino == n->ino && attr->dev == n->dev) {
        *fresh = true;
        return 0;
    }
    if (error < 0 && error != -ENOENT && error != -ENOTDIR && error != -ESTALE)
        return error;
    return __atomic_exchange_n((int64_t *)&n->valid_until, 0, __ATOMIC_RELAXED) ? -ESTALE : 0;
}

int hostfs_open(struct inode *inode, struct file *f)
{
    struct host_node *n = inode->priv;
    struct gofer_attr attr;
    bool fresh;
    if (S_ISDIR(inode->mode)) {
        f->type = FILE_HOSTFS_DIR;
        return 0;
    }
    if (f->writable && n->export->read_only)
        return -EROFS;
    int fd = host_node_get_fd(n, f->writable ? HOST_FD_WRITE : HOST_FD_READ, &attr, &fresh);
    if (fd < 0)
        return fd;
    int error = 0;
    // By a descriptor that was there already: does the name still stand for this file?
    if (n->export->shared && !fresh)
        error = check_name(inode, f, &attr, &fresh);
    if (error < 0 || !host_node_must_keep(n))
        host_node_put_fd(n);
    else
        f->priv2 = KEEPS_FD;
    if (error < 0)
        return error;
    if (fresh && n->export->shared)
        hostfs_refreshed(inode, &attr);
    f->type = FILE_HOSTFS;
    return 0;
}

static void file_release(struct file *f)
{
    if (f->priv2 & KEEPS_FD)
        host_node_put_fd(node_of(f));
}

static int64_t file_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct host_node *n = node_of(f);
    int64_t size = host_node_read(n, u, *pos);
    if (size >= 0) {
        *pos += (uint64_t)size;
        file_accessed(f);
    }
    return size;
}

static int64_t write_locked(struct file *f, int fd, struct uio *u, uint64_t *pos)
{
    struct inode *inode = f->inode;
    bool append = (f->flags & O_APPEND) || (u->flags & UIO_APPEND);
    struct gofer_attr attr;
    if (append) {
        // Where the end is, the host knows; what the limit allows from there is counted as of now.
        int error = host_fd_getattr(fd, &attr);
        if (error < 0)
            return error;
        *pos = attr.size;
    }
    uint64_t size = u->remaining;
    int error = file_size_limit(u->task, f, *pos, &size);
    if (error < 0)
        return error;
    uint64_t beyond = u->remaining - size;
    u->remaining = size;
    // With O_APPEND the host puts it at the end whatever the offset says; others may append meanwhile.
    int64_t done = host_io_write(fd, u, (int64_t)*pos, append ? RWF_APPEND : 0);
    u->remaining += beyond;
    if (done <= 0)
        return done;
    *pos += (uint64_t)done;
    if (append && host_fd_getattr(fd, &attr) == 0)
        *pos = attr.size;
    lock_take(&inode->lock);
    inode->size = MAX(inode->size, *pos);
    lock_release(&inode->lock);
    (void)file_modified(f);
    return done;
}

static int64_t file_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct host_node *n = node_of(f);
    struct inode *inode = f->inode;
    int fd = host_node_get_fd(n, HOST_FD_WRITE, NULL, NULL);
    if (fd < 0)
        return fd;
    lock_take(&inode->dir_lock);
    int64_t done = write_locked(f, fd, u, pos);
    lock_release(&inode->dir_lock);
    if (done > 0 && (f->flags & O_DSYNC)) {
        int error = (f->flags & O_SYNC) == O_SYNC ? host_fsync(fd) : host_fdatasync(fd);
        if (error < 0)
            done = error;
    }
    host_node_put_fd(n);
    return done;
}

static int64_t file_seek(struct file *f, int64_t offset, int whence)
{
    struct host_node *n = node_of(f);
    struct gofer_attr attr;
    uint64_t end = f->inode->size;
    if (whence == SEEK_SET || whence == SEEK_CUR)
        return generic_seek(f, offset, whence, end);
    int fd = host_node_get_fd(n, HOST_FD_READ, NULL, NULL);
    if (fd < 0)
        return fd;
    int64_t ret = 0;
    if (whence == SEEK_DATA || whence == SEEK_HOLE)
        ret = offset < 0 ? -ENXIO : host_lseek(fd, offset, whence);
    else if (host_node_must_keep(n) && (ret = host_fd_getattr(fd, &attr)) == 0)
        end = attr.size;
    host_node_put_fd(n);
    if (ret < 0)
        return ret;
    return generic_seek(f, whence == SEEK_END ? offset : ret, whence == SEEK_END ? SEEK_END : SEEK_SET, end);
}

static int file_map(struct file *f, uint64_t offset, uint64_t size, int prot, bool shared, struct map_source *out)
{
    // A shared mapping may become writable later if the file is open for writing, so it must be able to.
    enum host_fd_use use = !shared ? HOST_FD_READ : f->writable ? HOST_FD_WRITE : HOST_FD_READ_ONLY;
    return host_node_map(node_of(f), use, f->inode->size, offset, size, &f->priv2, out);
}

static int file_sync(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    struct host_node *n = node_of(f);
    if (n->export->read_only)
        return 0;
    int fd = host_node_get_fd(n, HOST_FD_READ, NULL, NULL);
    if (fd < 0)
        return fd;
    int error = data_only ? host_fdatasync(fd) : host_fsync(fd);
    host_node_put_fd(n);
    return error;
}

static int file_allocate(struct file *f, int mode, uint64_t offset, uint64_t size)
{
    struct host_node *n = node_of(f);
    struct inode *inode = f->inode;
    struct gofer_attr attr;
    switch (mode) { // what the list of host calls allows
    case 0:
    case FALLOC_FL_KEEP_SIZE:
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
    case FALLOC_FL_ZERO_RANGE:
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
        break;
    default:
        return -EOPNOTSUPP;
    }
    int fd = host_node_get_fd(n, HOST_FD_WRITE, NULL, NULL);
    if (fd < 0)
        return fd;
    lock_take(&inode->dir_lock);
    int error = host_fallocate(fd, mode, offset, size);
    if (error == 0)
        error = host_fd_getattr(fd, &attr);
    if (error == 0)
        host_attr_apply(inode, &attr);
    lock_release(&inode->dir_lock);
    host_node_put_fd(n);
    return error;
}

int hostfs_truncate_fd(int fd, uint64_t size, struct gofer_attr *now)
{
    int error = host_ftruncate(fd, size);
    return error < 0 ? error : host_fd_getattr(fd, now);
}

const struct file_ops hostfs_file_ops = {
    .read = file_read,
    .write = file_write,
    .seek = file_seek,
    .map = file_map,
    .sync = file_sync,
    .allocate = file_allocate,
    .release = file_release,
};
