// What the memory manager asks of files (mm/backing.h).
//
// Nothing here takes an inode's dir_lock: a writer holds it while it copies from a guest, and the copy may fault on a mapping of
// the very file.
#include <sys/mman.h>

#include "base/strbuf.h"
#include "mm/backing.h"
#include "vfs/hooks.h"
#include "vfs/mount-int.h"
#include "vfs/vfs-int.h"

int file_map_source(struct file *f, uint64_t offset, uint64_t size, int prot, bool shared,
                    struct map_source *out)
{
    const struct file_ops *ops = file_ops(f);
    *out = (struct map_source){.fd = -1};
    return ops->map ? ops->map(f, offset, size, prot, shared, out) : -ENODEV;
}

int file_map_check(struct file *f, int prot, bool shared)
{
    if (f->type == FILE_PATH)
        return -EBADF;
    if (!f->readable)
        return -EACCES;
    if (shared && (prot & PROT_WRITE) && !f->writable)
        return -EACCES;
    if ((prot & PROT_EXEC) && (f->path.mount->flags & MS_NOEXEC))
        return -EPERM;
    if (!file_ops(f)->map)
        return -ENODEV;
    // Seals of memfds, fcntl(2): no new way to write.
    if (shared && (prot & PROT_WRITE) && (f->inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
        return -EPERM;
    return 0;
}

int file_map_max_prot(struct file *f, bool shared)
{
    int prot = PROT_READ | PROT_WRITE | PROT_EXEC;
    if (shared && (!f->writable || (f->inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))))
        prot &= ~PROT_WRITE;
    if (f->path.mount->flags & MS_NOEXEC)
        prot &= ~PROT_EXEC;
    return prot;
}

// The inode that has the pages: of an overlay's file, the one in the upper layer.
static struct inode *map_inode(const struct file *f)
{
    return f->type == FILE_TMPFS ? f->priv : f->inode;
}

// DEVIATION: whether something was stored through a mapping of a file in memory isn't known: each msync of one that may be
// written moves its times.
int file_map_sync(struct file *f, uint64_t offset, uint64_t size)
{
    const struct file_ops *ops = file_ops(f);
    if (f->type == FILE_TMPFS && f->writable) {
        inode_touch(map_inode(f), false, true, true);
        if (map_inode(f) != f->inode)
            inode_touch(f->inode, false, true, true);
    }
    return ops->sync ? ops->sync(f, true, offset, size) : 0;
}

void file_map_added(struct file *f, bool may_write)
{
    struct inode *inode = map_inode(f);
    __atomic_fetch_add((uint32_t *)&inode->map_count, 1, __ATOMIC_ACQ_REL);
    if (may_write)
        __atomic_fetch_add((uint32_t *)&inode->writable_maps, 1, __ATOMIC_ACQ_REL);
    if (unlikely(f->shm != NULL))
        shm_mapped(f, 1);
}

void file_map_removed(struct file *f, bool may_write)
{
    struct inode *inode = map_inode(f);
    __atomic_fetch_sub((uint32_t *)&inode->map_count, 1, __ATOMIC_ACQ_REL);
    if (may_write)
        __atomic_fetch_sub((uint32_t *)&inode->writable_maps, 1, __ATOMIC_ACQ_REL);
    if (unlikely(f->shm != NULL))
        shm_mapped(f, -1);
}

const void *file_map_identity(const struct file *f)
{
    return map_inode(f);
}

int file_map_remove(struct file *f, uint64_t offset, uint64_t size)
{
    const struct file_ops *ops = file_ops(f);
    if (!f->writable)
        return -EACCES;
    return ops->allocate
               ? ops->allocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size)
               : -EOPNOTSUPP;
}

void file_map_describe(struct file *f, uint32_t *dev, uint64_t *ino, struct strbuf *path)
{
    *dev = f->inode->sb->dev;
    *ino = f->inode->ino;
    char *buf = kmalloc(VFS_PATH_MAX + 64);
    if (!buf)
        return;
    int64_t n = path_to_text(current_task(), &f->path, buf, VFS_PATH_MAX + 64);
    if (n > 0)
        strbuf_append(path, buf, (uint64_t)n);
    kfree(buf);
}

bool file_map_immutable(const struct file *f)
{
    const struct file_ops *ops = file_ops(f);
    return ops->immutable && ops->immutable(f);
}

int64_t file_read_range(struct file *f, void *buf, uint64_t size, uint64_t offset)
{
    return file_read_kernel(f, buf, size, offset);
}
