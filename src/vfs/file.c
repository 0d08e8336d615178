// Open files: making them, the last reference, files without names, times, write access.
#include <linux/capability.h>
#include <sys/inotify.h>

#include "base/log.h"
#include "base/slab.h"
#include "mm/copy.h"
#include "vfs/hooks.h"
#include "vfs/mount-int.h"
#include "vfs/vfs-int.h"

SLAB_TYPE(file_slab, SLAB_FILE, struct file);

// Freed files go to a list of our own: descriptor tables are read without a lock (fd-table.c), and such a reader may still ask a
// file for its count, which has to stay zero until the memory is a file again.
static struct file *take_free_file(struct vfs *v)
{
    lock_take(&v->free_files_lock);
    struct file *f = v->free_files;
    if (f)
        v->free_files = f->priv;
    lock_release(&v->free_files_lock);
    return f;
}

static void give_free_file(struct vfs *v, struct file *f)
{
    memset((uint8_t *)f + sizeof(f->refs), 0, sizeof(*f) - sizeof(f->refs));
    lock_take(&v->free_files_lock);
    f->priv = v->free_files;
    v->free_files = f;
    lock_release(&v->free_files_lock);
}
_Static_assert(offsetof(struct file, refs) == 0, "the count comes first");

struct file *file_alloc(uint32_t flags, const struct cred *cred)
{
    struct file *f = take_free_file(the_vfs());
    if (!f && !(f = slab_alloc(&file_slab)))
        return NULL;
    f->priv = NULL;
    f->flags = flags;
    uint32_t access = flags & O_ACCMODE;
    f->readable = access == O_RDONLY || access == O_RDWR;
    f->writable = access == O_WRONLY || access == O_RDWR;
    if (flags & O_PATH)
        f->readable = f->writable = false;
    lock_init(&f->pos_lock, LOCK_RANK_FILE_POS);
    list_init(&f->epoll_items);
    f->cred = cred_get(cred);
    refcount_init(&f->refs, 1);
    return f;
}

struct file *file_ref(struct file *f)
{
    refcount_get(&f->refs);
    return f;
}

static void file_free(struct file *f)
{
    if (!list_empty(&f->epoll_items) && epoll_file_released)
        epoll_file_released(f);
    if (f->inode && f->inode->locks)
        file_locks_release(f);
    if (unlikely(f->shm != NULL))
        shm_file_released(f);
    const struct file_ops *ops = file_ops(f);
    if (f->inode && f->type != FILE_PATH)
        vfs_notify(f->inode, f->path.dentry, f->writable ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    if (ops->release)
        ops->release(f);
    if (f->write_access)
        __atomic_fetch_sub((int32_t *)&f->inode->write_count, 1, __ATOMIC_ACQ_REL);
    if (f->mount_writer)
        __atomic_fetch_sub((uint32_t *)&f->path.mount->writers, 1, __ATOMIC_ACQ_REL);
    path_put(&f->path);
    cred_put(f->cred);
    give_free_file(the_vfs(), f);
}

void file_unref(struct file *f)
{
    if (f && refcount_put(&f->refs))
        file_free(f);
}

struct file *file_create_anon(enum file_type type, const char *name, uint32_t flags, uint32_t mode,
                              void *priv)
{
    struct vfs *v = the_vfs();
    struct task *t = current_task();
    struct inode *inode;
    if (mode) {
        inode = inode_alloc(v->anon_sb, INODE_ANON, mode);
        if (inode && t) {
            inode->uid = t->cred->fsuid;
            inode->gid = t->cred->fsgid;
        }
    } else {
        inode = inode_ref(v->anon_inode);
    }
    if (!inode)
        return NULL;
    struct dentry *d = dentry_new(v->anon_sb, NULL, name, (uint32_t)strlen(name), inode);
    if (!d)
        return NULL;
    struct file *f = file_alloc(flags, t ? t->cred : v->kernel_cred);
    if (!f) {
        dentry_unref(d);
        return NULL;
    }
    f->path = (struct path){.mount = mount_ref(v->anon_mount), .dentry = d};
    f->inode = inode;
    f->type = (uint8_t)type;
    f->priv = priv;
    return f;
}

// ---- Write access against execution (ETXTBSY) ----

int file_get_write_access(struct inode *inode)
{
    int32_t n = __atomic_load_n((int32_t *)&inode->write_count, __ATOMIC_RELAXED);
    do {
        if (n < 0)
            return -ETXTBSY;
        if (n == INT32_MAX)
            return -EMFILE;
    } while (!__atomic_compare_exchange_n((int32_t *)&inode->write_count, &n, n + 1, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return 0;
}

void file_put_write_access(struct inode *inode)
{
    __atomic_fetch_sub((int32_t *)&inode->write_count, 1, __ATOMIC_ACQ_REL);
}

int file_deny_write(struct file *f)
{
    int32_t n = __atomic_load_n((int32_t *)&f->inode->write_count, __ATOMIC_RELAXED);
    do {
        if (n > 0)
            return -ETXTBSY;
        if (n == INT32_MIN)
            return -EMFILE;
    } while (!__atomic_compare_exchange_n((int32_t *)&f->inode->write_count, &n, n - 1, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return 0;
}

void file_allow_write(struct file *f)
{
    __atomic_fetch_add((int32_t *)&f->inode->write_count, 1, __ATOMIC_ACQ_REL);
}

// ---- Times ----

static bool later(const struct timespec64 *a, const struct timespec64 *b)
{
    return a->sec > b->sec || (a->sec == b->sec && a->nsec > b->nsec);
}

static void touch_atime(struct inode *inode, uint32_t mount_flags)
{
    if ((mount_flags & (MS_NOATIME | MS_RDONLY)) ||
        ((mount_flags & MS_NODIRATIME) && inode_is_dir(inode)))
        return;
    struct timespec64 now = time_now();
    lock_take(&inode->lock);
    // relatime, mount(8): once after each change, and once a day.
    if ((mount_flags & MS_STRICTATIME) || !later(&inode->atime, &inode->mtime) ||
        !later(&inode->atime, &inode->ctime) || now.sec - inode->atime.sec >= 24 * 60 * 60)
        inode->atime = now;
    lock_release(&inode->lock);
}

void file_accessed(struct file *f)
{
    if (!(f->flags & O_NOATIME) && f->path.mount && !f->inode->sb->read_only)
        touch_atime(f->inode, f->path.mount->flags);
}

void path_accessed(const struct path *p)
{
    if (!p->dentry->sb->read_only)
        touch_atime(p->dentry->inode, p->mount->flags);
}

uint32_t mode_without_privileges(uint32_t mode)
{
    if (!S_ISREG(mode))
        return mode;
    if (mode & S_IXGRP)
        mode &= ~(uint32_t)S_ISGID;
    return mode & ~(uint32_t)S_ISUID;
}

int file_modified(struct file *f)
{
    struct inode *inode = f->inode;
    struct task *t = current_task();
    struct timespec64 now = time_now();
    uint32_t mode = LOAD_RELAXED(inode->mode);
    bool strip = mode_without_privileges(mode) != mode && !(t && cred_capable(t->cred, CAP_FSETID));
    if (unlikely(inode->flags & INODE_FILE_CAPS) && inode_ops(inode)->removexattr) {
        (void)inode_ops(inode)->removexattr(inode, "security.capability");
        __atomic_fetch_and(&inode->flags, ~(uint32_t)INODE_FILE_CAPS, __ATOMIC_RELAXED);
    }
    lock_take(&inode->lock);
    if (unlikely(strip))
        inode->mode = mode_without_privileges(inode->mode);
    inode->mtime = now;
    inode->ctime = now;
    lock_release(&inode->lock);
    return 0;
}

// ---- Reading and writing ----

void file_pos_lock(struct file *f)
{
    if (f->pos_shared)
        lock_take(&f->pos_lock);
}

void file_pos_unlock(struct file *f)
{
    if (f->pos_shared)
        lock_release(&f->pos_lock);
}

int64_t vfs_read(struct task *t, struct file *f, struct uio *u, uint64_t *pos)
{
    const struct file_ops *ops = file_ops(f);
    if (!f->readable)
        return -EBADF;
    if (!ops->read)
        return inode_is_dir(f->inode) ? -EISDIR : -EINVAL;
    int64_t n = ops->read(f, u, pos);
    t->usage.read_calls++;
    if (n > 0) {
        t->usage.read_bytes += (uint64_t)n;
        vfs_notify(f->inode, f->path.dentry, IN_ACCESS);
    }
    return n;
}

int64_t vfs_write(struct task *t, struct file *f, struct uio *u, uint64_t *pos)
{
    const struct file_ops *ops = file_ops(f);
    if (!f->writable)
        return -EBADF;
    if (!ops->write)
        return -EINVAL;
    int64_t n = ops->write(f, u, pos);
    t->usage.write_calls++;
    if (n > 0) {
        t->usage.written_bytes += (uint64_t)n;
        vfs_notify(f->inode, f->path.dentry, IN_MODIFY);
    }
    return n;
}

int64_t file_read_kernel(struct file *f, void *buf, uint64_t size, uint64_t pos)
{
    const struct file_ops *ops = file_ops(f);
    uint64_t done = 0;
    if (!ops->read)
        return inode_is_dir(f->inode) ? -EISDIR : -EINVAL;
    while (done < size) {
        struct uio u;
        struct uio_segment one;
        uio_init_kernel(&u, &one, (uint8_t *)buf + done, size - done);
        int64_t n = ops->read(f, &u, &pos);
        if (n < 0)
            return done ? (int64_t)done : n;
        if (n == 0)
            break;
        done += (uint64_t)n;
    }
    return (int64_t)done;
}

int64_t file_write_kernel(struct file *f, const void *buf, uint64_t size, uint64_t pos)
{
    const struct file_ops *ops = file_ops(f);
    struct uio u;
    struct uio_segment one;
    if (!ops->write)
        return -EINVAL;
    uio_init_kernel(&u, &one, (void *)buf, size);
    return ops->write(f, &u, &pos);
}

int vfs_sync_file(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    const struct file_ops *ops = file_ops(f);
    return ops->sync ? ops->sync(f, data_only, offset, size) : -EINVAL;
}

int file_size_limit(struct task *t, struct file *f, uint64_t pos, uint64_t *size)
{
    uint64_t max = f->inode->sb->max_size;
    if (!S_ISREG(f->inode->mode) || *size == 0)
        return 0;
    if (t) {
        uint64_t limit = task_rlimit(t, RLIMIT_FSIZE);
        if (limit != RLIM_INFINITY && limit < max) {
            if (pos >= limit) {
                file_signal_caller(t, SIGXFSZ);
                return -EFBIG;
            }
            *size = MIN(*size, limit - pos);
        }
    }
    if (pos >= max)
        return -EFBIG;
    *size = MIN(*size, max - pos);
    return 0;
}

bool file_is_readable_now(struct file *f)
{
    const struct file_ops *ops = file_ops(f);
    return !ops->poll || (ops->poll(f) & 1);
}

int64_t generic_seek(struct file *f, int64_t offset, int whence, uint64_t end)
{
    int64_t pos;
    uint64_t max = f->inode->sb->max_size;
    switch (whence) {
    case SEEK_SET:
        pos = offset;
        break;
    case SEEK_CUR:
        if (__builtin_add_overflow((int64_t)f->pos, offset, &pos))
            return -EOVERFLOW;
        break;
    case SEEK_END:
        if (__builtin_add_overflow((int64_t)end, offset, &pos))
            return -EOVERFLOW;
        break;
    case SEEK_DATA:
        if (offset < 0 || (uint64_t)offset >= end)
            return -ENXIO;
        pos = offset;
        break;
    case SEEK_HOLE:
        if (offset < 0 || (uint64_t)offset >= end)
            return -ENXIO;
        pos = (int64_t)end;
        break;
    default:
        return -EINVAL;
    }
    if (pos < 0 || (uint64_t)pos > max)
        return -EINVAL;
    f->pos = (uint64_t)pos;
    return pos;
}

// ---- Descriptors that only name a place (O_PATH) ----
const struct file_ops path_file_ops = {0};
