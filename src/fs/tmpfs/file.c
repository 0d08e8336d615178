// tmpfs: contents of regular files.
//
// A file that is not mapped and at most MEMFILE_SMALL bytes long lives in a small window of the memory file, which may be handed
// to another file when this one outgrows it. So a small window is only written with window_lock held, and what was read from one
// is believed when the window is still the same afterwards. A large window stays for the life of the file and needs neither.
//
// Writers (write, truncate, fallocate) hold the inode's dir_lock, over copies from the guest too; file_map_source(), which such
// a copy may end up in, takes window_lock only. size is changed under inode.lock once the data is there.
//
// Memory is counted against size= by an estimate that never undercounts what was written: pages from the start that are known
// to be backed are counted once, writes behind a hole each time. When the estimate passes the limit, the host is asked. Stores
// to holes through mappings are counted when it is asked next.
#include <linux/falloc.h>
#include <sys/mman.h>

#include "fs/tmpfs/tmpfs-int.h"
#include "mm/copy.h"
#include "mm/mm.h"

enum { BOUNCE_MAX = 64 << 10 };

static struct memfile *memfile(void)
{
    return the_kernel()->memfile;
}

static uint64_t pages(uint64_t bytes)
{
    return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static bool is_large(const struct memfile_window *w)
{
    return w->size > MEMFILE_SMALL;
}

// ---- Counting ----

static void add_pages(struct tmpfs_super *ts, int64_t n)
{
    __atomic_fetch_add((uint64_t *)&ts->pages, (uint64_t)n, __ATOMIC_RELAXED);
}

// Sets the inode's count to what the host says. dir_lock held.
static void recount(struct inode *inode)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    uint64_t used = memfile_used_pages(memfile(), &ti->window, ti->window.size);
    add_pages(tmpfs_sb(inode->sb), (int64_t)(used - ti->charged));
    ti->charged = used;
}

// Counts the pages of [offset, end) that may be new. 0 or -ENOSPC. dir_lock held.
static int charge(struct inode *inode, uint64_t offset, uint64_t end)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    struct tmpfs_super *ts = tmpfs_sb(inode->sb);
    uint64_t from = MAX(offset & ~(PAGE_SIZE - 1), PAGE_UP(ti->dense));
    uint64_t n = end > from ? pages(end - from) : 0;
    for (int tries = 0; n && ts->max_pages; tries++) {
        uint64_t total = __atomic_load_n((uint64_t *)&ts->pages, __ATOMIC_RELAXED);
        if (total + n <= ts->max_pages)
            break;
        if (tries)
            return -ENOSPC;
        recount(inode);
    }
    ti->charged += n;
    add_pages(ts, (int64_t)n);
    return 0;
}

static void now_dense(struct tmpfs_inode *ti, uint64_t offset, uint64_t end)
{
    if (offset <= ti->dense && end > ti->dense)
        ti->dense = end;
}

// ---- Windows ----

// Makes a window that can hold `end` bytes. dir_lock held.
static int make_room(struct inode *inode, uint64_t end)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    int r = 0;
    if (is_large(&ti->window) || (ti->window.size && end <= MEMFILE_SMALL))
        return 0;
    lock_take(&ti->window_lock);
    if (!ti->window.size)
        r = memfile_window_init(memfile(), &ti->window, end > MEMFILE_SMALL);
    else if (end > MEMFILE_SMALL)
        r = memfile_window_enlarge(memfile(), &ti->window, LOAD_RELAXED(inode->size));
    lock_release(&ti->window_lock);
    return r;
}

// ---- Reading ----

// One piece from a small window: at most what a bounce buffer holds.
static int64_t read_small(struct tmpfs_inode *ti, uint64_t pos, uint64_t n, struct uio *u)
{
    for (;;) {
        struct memfile_window w;
        lock_take(&ti->window_lock);
        w = ti->window;
        lock_release(&ti->window_lock);
        if (w.size == 0)
            return uio_put_zeros(u, n);
        if (is_large(&w))
            return memfile_read(memfile(), &w, pos, n, u);
        uint64_t asked = n;
        void *direct = uio_put_direct(u, &asked);
        void *buf = direct;
        if (!direct) {
            asked = MIN(n, BOUNCE_MAX);
            if (!(buf = kmalloc(asked)))
                return -ENOMEM;
        }
        int64_t r = memfile_pread(memfile(), &w, pos, buf, asked);
        bool same =
            __atomic_load_n(&ti->window.base, __ATOMIC_ACQUIRE) == w.base && !is_large(&ti->window);
        if (direct) {
            uio_put_done(u, same && r > 0 ? (uint64_t)r : 0, asked);
        } else {
            if (same && r > 0)
                r = uio_put(u, buf, (uint64_t)r);
            kfree(buf);
        }
        if (same)
            return r;
    }
}

static int64_t tmpfs_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct inode *inode = f->priv;
    struct tmpfs_inode *ti = tmpfs_i(inode);
    uint64_t size = LOAD_RELAXED(inode->size), done = 0;
    int64_t r = 0;
    if (*pos >= size)
        return 0;
    uint64_t want = MIN(u->remaining, size - *pos);
    while (done < want) {
        if (is_large(&ti->window))
            r = memfile_read(memfile(), &ti->window, *pos, want - done, u);
        else
            r = read_small(ti, *pos, want - done, u);
        if (r <= 0)
            break;
        done += (uint64_t)r;
        *pos += (uint64_t)r;
    }
    if (done)
        file_accessed(f);
    return done ? (int64_t)done : r;
}

// ---- Writing ----

// One piece into a small window.
static int64_t write_small(struct tmpfs_inode *ti, uint64_t pos, uint64_t n, struct uio *u)
{
    uint64_t size = n;
    const void *direct = uio_get_direct(u, &size);
    void *bounce = NULL;
    if (!direct) {
        size = MIN(n, BOUNCE_MAX);
        if (!(bounce = kmalloc(size)))
            return -ENOMEM;
        int64_t got = uio_get(u, bounce, size);
        if (got <= 0) {
            kfree(bounce);
            return got;
        }
        size = (uint64_t)got;
    }
    lock_take(&ti->window_lock);
    int64_t r = memfile_pwrite(memfile(), &ti->window, pos, direct ? direct : bounce, size);
    lock_release(&ti->window_lock);
    if (direct)
        uio_advance(u, r > 0 ? (uint64_t)r : 0);
    else
        uio_revert(u, size - (r > 0 ? (uint64_t)r : 0));
    kfree(bounce);
    return r;
}

static void set_size(struct file *f, struct inode *inode, uint64_t size)
{
    lock_take(&inode->lock);
    __atomic_store_n(&inode->size, size, __ATOMIC_RELAXED);
    lock_release(&inode->lock);
    if (f->inode != inode)
        __atomic_store_n(&f->inode->size, size, __ATOMIC_RELAXED);
}

// What a mapping stored behind the end of file in its last page isn't part of the file when that grows.
static void clear_tail(struct inode *inode, uint64_t end)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    lock_take(&ti->window_lock);
    if (ti->window.mapped && end % PAGE_SIZE)
        (void)memfile_punch(memfile(), &ti->window, end, PAGE_UP(end) - end);
    lock_release(&ti->window_lock);
}

// Seals and limits for a write of *n bytes at pos.
static int may_write(struct file *f, struct inode *inode, struct uio *u, uint64_t pos, uint64_t *n)
{
    if (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    if ((inode->seals & F_SEAL_GROW) && pos + *n > inode->size) {
        if (pos >= inode->size)
            return -EPERM;
        *n = inode->size - pos;
    }
    return file_size_limit(u->task ? u->task : current_task(), f, pos, n);
}

// *more: stopped at a page because the file system is nearly full.
static int64_t write_locked(struct file *f, struct inode *inode, struct uio *u, uint64_t *pos,
                            bool *more)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    uint64_t start = *pos, n = u->remaining, done = 0;
    int64_t r = may_write(f, inode, u, start, &n);
    if (r == 0)
        r = make_room(inode, start + n);
    if (r == 0)
        r = charge(inode, start, start + n);
    if (r == -ENOSPC && n > PAGE_SIZE) { // what still fits, by pages
        n = PAGE_SIZE - start % PAGE_SIZE;
        r = charge(inode, start, start + n);
        *more = true;
    }
    if (r < 0)
        return r;
    if (start > inode->size)
        clear_tail(inode, inode->size);
    while (done < n) {
        if (is_large(&ti->window))
            r = memfile_write(memfile(), &ti->window, start + done, n - done, u);
        else
            r = write_small(ti, start + done, n - done, u);
        if (r <= 0)
            break;
        done += (uint64_t)r;
    }
    if (done) {
        *pos = start + done;
        now_dense(ti, start, *pos);
        if (*pos > inode->size)
            set_size(f, inode, *pos);
    }
    return done ? (int64_t)done : r;
}

static int64_t tmpfs_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct inode *inode = f->priv;
    uint64_t done = 0;
    int64_t r = 0;
    bool more = true;
    if (u->remaining == 0)
        return 0;
    lock_take(&inode->dir_lock);
    if ((f->flags & O_APPEND) || (u->flags & UIO_APPEND))
        *pos = inode->size;
    while (more && u->remaining) {
        more = false;
        r = write_locked(f, inode, u, pos, &more);
        if (r <= 0)
            break;
        done += (uint64_t)r;
    }
    lock_release(&inode->dir_lock);
    if (done) {
        (void)file_modified(f);
        if (f->inode != inode)
            inode_touch(inode, false, true, true);
    }
    return done ? (int64_t)done : r;
}

// ---- Size ----

// Takes [from, ...) out of every map and frees its pages. dir_lock held, size set already.
static void cut(struct inode *inode, uint64_t from, uint64_t old_size)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    if (__atomic_load_n((uint32_t *)&inode->map_count, __ATOMIC_ACQUIRE)) {
        struct file f = {.type = FILE_TMPFS, .inode = inode, .priv = inode};
        mm_unmap_file_range(&f, from, UINT64_MAX - from);
    }
    lock_take(&ti->window_lock);
    if (ti->window.size && (ti->window.dirty || ti->window.mapped))
        (void)memfile_punch(memfile(), &ti->window, from,
                            ti->window.size - MIN(from, ti->window.size));
    lock_release(&ti->window_lock);
    ti->dense = MIN(ti->dense, from);
    uint64_t most = pages(from);
    if (ti->charged > most) {
        add_pages(tmpfs_sb(inode->sb), (int64_t)(most - ti->charged));
        ti->charged = most;
    }
}

int tmpfs_resize(struct inode *inode, uint64_t size)
{
    int r = 0;
    if (!S_ISREG(inode->mode))
        return -EINVAL;
    lock_take(&inode->dir_lock);
    uint64_t old = inode->size;
    if (size > inode->sb->max_size)
        r = -EFBIG;
    else if ((size < old && (inode->seals & F_SEAL_SHRINK)) ||
             (size > old && (inode->seals & F_SEAL_GROW)))
        r = -EPERM;
    if (r == 0 && size != old) {
        lock_take(&inode->lock);
        __atomic_store_n(&inode->size, size, __ATOMIC_RELAXED);
        lock_release(&inode->lock);
        if (size < old)
            cut(inode, size, old);
        else
            clear_tail(inode, old);
    }
    lock_release(&inode->dir_lock);
    return r;
}

int tmpfs_getattr(struct inode *inode)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    uint64_t used;
    // Sure without asking, unless stores through a mapping could have filled holes.
    if (ti->dense >= LOAD_RELAXED(inode->size) && !ti->window.mapped) {
        used = pages(ti->dense);
    } else {
        lock_take(&ti->window_lock);
        used = memfile_used_pages(memfile(), &ti->window, ti->window.size);
        lock_release(&ti->window_lock);
    }
    __atomic_store_n(&inode->blocks, used * (PAGE_SIZE / 512), __ATOMIC_RELAXED);
    return 0;
}

static int allocate_locked(struct file *f, struct inode *inode, int mode, uint64_t offset,
                           uint64_t size)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    uint64_t end = offset + size; // checked by the caller
    if (mode & FALLOC_FL_PUNCH_HOLE) {
        if (inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
            return -EPERM;
        lock_take(&ti->window_lock);
        int r = ti->window.size ? memfile_punch(memfile(), &ti->window, offset, size) : 0;
        lock_release(&ti->window_lock);
        ti->dense = MIN(ti->dense, offset);
        if (r == 0)
            recount(inode);
        return r;
    }
    if ((inode->seals & F_SEAL_GROW) && end > inode->size)
        return -EPERM;
    uint64_t n = size;
    int r = file_size_limit(current_task(), f, offset, &n);
    if (r < 0 || n < size)
        return -EFBIG;
    if ((r = make_room(inode, end)) < 0 || (r = charge(inode, offset, end)) < 0)
        return r;
    lock_take(&ti->window_lock);
    r = memfile_allocate(memfile(), &ti->window, offset, size);
    lock_release(&ti->window_lock);
    if (r < 0)
        return r;
    now_dense(ti, offset, end);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > inode->size) {
        clear_tail(inode, inode->size);
        set_size(f, inode, end);
    }
    return 0;
}

static int tmpfs_allocate(struct file *f, int mode, uint64_t offset, uint64_t size)
{
    struct inode *inode = f->priv;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
        return -EOPNOTSUPP; // as Linux's tmpfs
    lock_take(&inode->dir_lock);
    int r = allocate_locked(f, inode, mode, offset, size);
    lock_release(&inode->dir_lock);
    if (r == 0)
        (void)file_modified(f);
    return r;
}

static int64_t tmpfs_seek(struct file *f, int64_t offset, int whence)
{
    struct inode *inode = f->priv;
    struct tmpfs_inode *ti = tmpfs_i(inode);
    uint64_t size = LOAD_RELAXED(inode->size);
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return generic_seek(f, offset, whence, size);
    if (offset < 0 || (uint64_t)offset >= size)
        return -ENXIO;
    lock_take(&ti->window_lock);
    int64_t r = memfile_seek(memfile(), &ti->window, (uint64_t)offset, size, whence);
    lock_release(&ti->window_lock);
    if (r < 0)
        return r;
    // The host reports whole pages; a hole never starts before where it was looked for.
    if (r < offset)
        r = offset;
    f->pos = (uint64_t)r;
    return r;
}

// ---- Mapping ----

static int tmpfs_map(struct file *f, uint64_t offset, uint64_t size, int prot, bool shared,
                     struct map_source *out)
{
    struct inode *inode = f->priv;
    struct tmpfs_inode *ti = tmpfs_i(inode);
    int r = 0;
    lock_take(&ti->window_lock);
    if (!ti->window.size)
        r = memfile_window_init(memfile(), &ti->window, true);
    else if (!is_large(&ti->window))
        r = memfile_window_enlarge(memfile(), &ti->window, LOAD_RELAXED(inode->size));
    if (r == 0)
        ti->window.mapped = true; // before the descriptor is known outside
    lock_release(&ti->window_lock);
    if (r < 0)
        return r;
    uint64_t end = PAGE_UP(LOAD_RELAXED(inode->size));
    out->fd = memfile_fd(memfile(), shared && (prot & PROT_WRITE));
    out->offset = ti->window.base + offset;
    out->valid = offset < end ? MIN(end - offset, size) : 0;
    return offset > ti->window.size || size > ti->window.size - offset ? -ENOMEM : 0;
}

static int tmpfs_sync(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    return 0;
}

int tmpfs_open_below(struct inode *real, struct file *f)
{
    f->type = FILE_TMPFS;
    f->priv = real;
    return 0;
}

static int tmpfs_open(struct inode *inode, struct file *f)
{
    return tmpfs_open_below(inode, f);
}

void tmpfs_evict_data(struct inode *inode)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    memfile_window_free(memfile(), &ti->window);
    add_pages(tmpfs_sb(inode->sb), -(int64_t)ti->charged);
}

const struct inode_ops tmpfs_reg_inode_ops = {
    .open = tmpfs_open,
    .getattr = tmpfs_getattr,
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
    .evict = tmpfs_evict,
};

const struct file_ops tmpfs_file_ops = {
    .read = tmpfs_read,
    .write = tmpfs_write,
    .seek = tmpfs_seek,
    .map = tmpfs_map,
    .sync = tmpfs_sync,
    .allocate = tmpfs_allocate,
};
