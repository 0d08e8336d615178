// Open files of the overlay. A file that has been changed is opened as what it is, a tmpfs file (type FILE_TMPFS, with the tmpfs
// inode in priv). One that is still the image's is of type FILE_OVERLAY: it reads from the host's descriptor, until somebody writes,
// and from then on goes to the tmpfs inode as well.
//
// Opening for writing changes nothing yet: the contents are copied at the first write, or shared writable mapping, so that O_TRUNC
// copies none, and a file that is only opened stays the image's.
#include <sys/mman.h>

#include "fs/host-io.h"
#include "fs/overlay/overlay.h"
#include "fs/tmpfs/tmpfs.h"

extern const struct file_ops tmpfs_file_ops;

// The tmpfs inode, if there is one by now; f is prepared for tmpfs's operations then.
static bool is_upper(struct file *f)
{
    struct inode *real = ovl_real(f->inode);
    if (likely(!real))
        return false;
    __atomic_store_n(&f->priv, real, __ATOMIC_RELAXED);
    return true;
}

static int to_upper(struct file *f)
{
    int r = ovl_copy_up(f->inode, UINT64_MAX);
    if (r == 0)
        (void)is_upper(f);
    return r;
}

int ovl_open(struct inode *inode, struct file *f)
{
    struct inode *real = ovl_real(inode);
    if (S_ISDIR(inode->mode)) {
        f->type = FILE_OVERLAY_DIR;
        return 0;
    }
    if (real)
        return tmpfs_open_below(real, f);
    // The gofer may not be able to read it: better known now than at the first read.
    struct host_node *lower = ovl_i(inode)->lower;
    int fd = host_node_get_fd(lower, HOST_FD_READ, NULL, NULL);
    if (fd == -ESTALE && ovl_rebind(inode) == 0)
        fd = host_node_get_fd(lower, HOST_FD_READ, NULL, NULL);
    if (fd < 0)
        return fd;
    host_node_put_fd(lower);
    f->type = FILE_OVERLAY;
    return 0;
}

static void file_release(struct file *f)
{
    if (f->priv2)
        host_node_put_fd(ovl_i(f->inode)->lower);
}

static int64_t file_read(struct file *f, struct uio *u, uint64_t *pos)
{
    if (is_upper(f))
        return tmpfs_file_ops.read(f, u, pos);
    int64_t n = host_node_read(ovl_i(f->inode)->lower, u, *pos);
    if (n >= 0) {
        *pos += (uint64_t)n;
        file_accessed(f);
    }
    return n;
}

static int64_t file_write(struct file *f, struct uio *u, uint64_t *pos)
{
    int r = to_upper(f);
    return r < 0 ? r : tmpfs_file_ops.write(f, u, pos);
}

static int64_t file_seek(struct file *f, int64_t offset, int whence)
{
    if (is_upper(f))
        return tmpfs_file_ops.seek(f, offset, whence);
    if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        offset = host_node_seek(ovl_i(f->inode)->lower, offset, whence);
        if (offset < 0)
            return offset;
        whence = SEEK_SET;
    }
    return generic_seek(f, offset, whence, f->inode->size);
}

static int file_map(struct file *f, uint64_t offset, uint64_t size, int prot, bool shared, struct map_source *out)
{
    // A shared mapping of a file open for writing may be made writable later.
    int r = shared && f->writable ? to_upper(f) : 0;
    if (r < 0)
        return r;
    if (is_upper(f))
        return tmpfs_file_ops.map(f, offset, size, prot, shared, out);
    return host_node_map(ovl_i(f->inode)->lower, shared ? HOST_FD_READ_ONLY : HOST_FD_READ, f->inode->size, offset, size,
                         &f->priv2, out);
}

static bool file_immutable(const struct file *f)
{
    return !ovl_real(f->inode) && !ovl_i(f->inode)->lower->export->shared;
}

static int file_sync(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    return 0; // there is nothing behind the upper layer, and the image doesn't change
}

static int file_allocate(struct file *f, int mode, uint64_t offset, uint64_t size)
{
    int r = to_upper(f);
    return r < 0 ? r : tmpfs_file_ops.allocate(f, mode, offset, size);
}

const struct file_ops overlay_file_ops = {
    .read = file_read,
    .write = file_write,
    .seek = file_seek,
    .map = file_map,
    .immutable = file_immutable,
    .sync = file_sync,
    .allocate = file_allocate,
    .release = file_release,
};
