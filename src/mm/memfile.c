// The memory file's windows: handing out ranges of offsets, and moving data, see memfile.h.
//
// Offsets are given out from two ends of one space: small windows upwards from 0 to SMALL_SPACE, large ones from there on.
// Windows that no stub has ever mapped come back through a free list for each size; all others are used once.
//
// The limit on memory is checked against an estimate: what was in use when the host was last asked plus everything written
// since. Only when the estimate passes the limit is the host asked again. Stores through mappings are seen at the next
// question; until then the host's own limit on the sandbox stands behind this one.
//
// Locking: lock guards the free lists and the next offsets, and is never held over a host call.
#include "mm/memfile.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/slab.h"
#include "host/host.h"
#include "mm/copy.h"

#define SMALL_SPACE (1ull << 42)
#define SMALL_START MEMFILE_RESERVED
#define BOUNCE_SIZE (64ull << 10)
#define BOUNCE_COUNT 8

struct free_window {
    struct free_window *next;
    uint64_t base;
};

SLAB_TYPE(free_window_slab, SLAB_MEMFILE_EXTENT, struct free_window);

struct memfile {
    int fd_rw, fd_ro;
    uint64_t limit;      // bytes, UINT64_MAX: none
    uint64_t large_size; // of a large window
    uint64_t end;        // offsets end here

    struct lock lock;                 // LOCK_RANK_MEMFILE
    uint64_t next_small, next_large;  // GUARDED_BY(lock)
    struct free_window *free_small, *free_large; // GUARDED_BY(lock)

    _Atomic uint64_t used_estimate;   // bytes
    _Atomic(char *) bounce[BOUNCE_COUNT]; // buffers of BOUNCE_SIZE that nobody uses now
};

// A memfd takes offsets up to 2^63; file systems stop far earlier (ext4 at 16 TiB), so ask.
static int probe_size(struct memfile *m)
{
    static const struct {
        uint64_t end, large;
    } sizes[] = {
        {1ull << 62, MEMFILE_LARGE},
        {1ull << 52, 1ull << 36},
        {(1ull << 44) - (1ull << 32), 1ull << 32},
    };
    int ret = -EINVAL;

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        ret = host_ftruncate(m->fd_rw, sizes[i].end);
        if (ret == 0) {
            m->end = sizes[i].end;
            m->large_size = sizes[i].large;
            return 0;
        }
    }
    return ret;
}

int memfile_init(struct memfile **ret, int fd_rw, int fd_ro, uint64_t limit)
{
    struct memfile *m = kmalloc(sizeof(*m));
    int err;

    if (!m)
        return -ENOMEM;
    m->fd_rw = fd_rw;
    m->fd_ro = fd_ro;
    m->limit = limit ? limit : UINT64_MAX;
    lock_init(&m->lock, LOCK_RANK_MEMFILE);
    m->next_small = SMALL_START;
    m->next_large = SMALL_SPACE;
    err = probe_size(m);
    if (err < 0) {
        kfree(m);
        return err;
    }
    *ret = m;
    return 0;
}

int memfile_fd(const struct memfile *m, bool writable)
{
    return writable ? m->fd_rw : m->fd_ro;
}

// ---- Windows ---------------------------------------------------------------------------------------------------------

int memfile_window_init(struct memfile *m, struct memfile_window *w, bool large)
{
    uint64_t size = large ? m->large_size : MEMFILE_SMALL;
    uint64_t *next = large ? &m->next_large : &m->next_small;
    uint64_t end = large ? m->end : SMALL_SPACE;
    struct free_window **head = large ? &m->free_large : &m->free_small;
    struct free_window *reused;
    int ret = 0;

    lock_take(&m->lock);
    reused = *head;
    if (reused) {
        *head = reused->next;
        *w = (struct memfile_window){.base = reused->base, .size = size};
    } else if (end - *next < size) {
        ret = -ENOSPC;
    } else {
        *w = (struct memfile_window){.base = *next, .size = size};
        *next += size;
    }
    lock_release(&m->lock);
    slab_free(&free_window_slab, reused);
    return ret;
}

void memfile_window_free(struct memfile *m, struct memfile_window *w)
{
    struct free_window *f;
    struct free_window **head;
    int ret = 0;

    if (w->size == 0)
        return;
    if (w->dirty || w->mapped)
        ret = host_fallocate(m->fd_rw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, w->base, w->size);
    // What could not be emptied, or could still be seen through a mapping, never comes back.
    if (ret == 0 && !w->mapped) {
        f = slab_alloc(&free_window_slab);
        if (f) {
            head = w->size == MEMFILE_SMALL ? &m->free_small : &m->free_large;
            f->base = w->base;
            lock_take(&m->lock);
            f->next = *head;
            *head = f;
            lock_release(&m->lock);
        }
    }
    *w = (struct memfile_window){0};
}

// ---- Memory in use ---------------------------------------------------------------------------------------------------

uint64_t memfile_total_bytes(struct memfile *m)
{
    struct stat st;

    if (host_fstat(m->fd_rw, &st) < 0)
        return __atomic_load_n((uint64_t *)&m->used_estimate, __ATOMIC_RELAXED);
    __atomic_store_n((uint64_t *)&m->used_estimate, (uint64_t)st.st_blocks * 512, __ATOMIC_RELAXED);
    return (uint64_t)st.st_blocks * 512;
}

static int charge(struct memfile *m, uint64_t size)
{
    uint64_t used;

    if (m->limit == UINT64_MAX)
        return 0;
    used = __atomic_add_fetch((uint64_t *)&m->used_estimate, size, __ATOMIC_RELAXED);
    if (likely(used <= m->limit))
        return 0;
    used = memfile_total_bytes(m);
    if (used >= m->limit || size > m->limit - used)
        return -ENOSPC;
    __atomic_fetch_add((uint64_t *)&m->used_estimate, size, __ATOMIC_RELAXED);
    return 0;
}

// True when [offset, offset+size) lies in the window.
static bool inside(const struct memfile_window *w, uint64_t offset, uint64_t size)
{
    return offset <= w->size && size <= w->size - offset;
}

int memfile_punch(struct memfile *m, const struct memfile_window *w, uint64_t offset, uint64_t size)
{
    if (size == 0 || w->size == 0)
        return 0;
    if (offset >= w->size)
        return 0;
    size = MIN(size, w->size - offset);
    return host_fallocate(m->fd_rw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, w->base + offset, size);
}

int memfile_allocate(struct memfile *m, struct memfile_window *w, uint64_t offset, uint64_t size)
{
    int ret;

    if (size == 0)
        return 0;
    if (!inside(w, offset, size))
        return -EFBIG;
    ret = charge(m, size);
    if (ret < 0)
        return ret;
    w->dirty = true;
    // Offsets of a window lie below the file's size already.
    return host_fallocate(m->fd_rw, FALLOC_FL_KEEP_SIZE, w->base + offset, size);
}

// ---- Data ------------------------------------------------------------------------------------------------------------

// A buffer whose contents are whatever was there: the arena's allocator would zero it each time.
static char *bounce_take(struct memfile *m)
{
    for (unsigned i = 0; i < BOUNCE_COUNT; i++) {
        char *b = __atomic_exchange_n((char **)&m->bounce[i], NULL, __ATOMIC_ACQUIRE);
        if (b)
            return b;
    }
    return kmalloc(BOUNCE_SIZE);
}

static void bounce_give(struct memfile *m, char *b)
{
    for (unsigned i = 0; i < BOUNCE_COUNT; i++) {
        char *expected = NULL;
        if (__atomic_compare_exchange_n((char **)&m->bounce[i], &expected, b, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return;
    }
    kfree(b);
}

int64_t memfile_pread(struct memfile *m, const struct memfile_window *w, uint64_t offset, void *buf, uint64_t size)
{
    uint64_t done = 0;

    if (offset >= w->size) {
        memset(buf, 0, size);
        return (int64_t)size;
    }
    size = MIN(size, w->size - offset);
    while (done < size) {
        int64_t n = host_pread(m->fd_rw, (char *)buf + done, size - done, w->base + offset + done);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return done ? (int64_t)done : n ? n : -EIO;
        done += (uint64_t)n;
    }
    return (int64_t)done;
}

int64_t memfile_pwrite(struct memfile *m, struct memfile_window *w, uint64_t offset, const void *buf, uint64_t size)
{
    uint64_t done = 0;
    int ret;

    if (size == 0)
        return 0;
    if (offset >= w->size)
        return -EFBIG;
    size = MIN(size, w->size - offset);
    ret = charge(m, size);
    if (ret < 0)
        return ret;
    w->dirty = true;
    while (done < size) {
        int64_t n = host_pwrite(m->fd_rw, (const char *)buf + done, size - done, w->base + offset + done);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return done ? (int64_t)done : n ? n : -EIO;
        done += (uint64_t)n;
    }
    return (int64_t)done;
}

int64_t memfile_read(struct memfile *m, const struct memfile_window *w, uint64_t offset, uint64_t size, struct uio *u)
{
    char *bounce = NULL;
    uint64_t done = 0;
    int64_t ret = 0;

    size = MIN(size, u->remaining);
    while (done < size) {
        uint64_t n = MIN(size - done, BOUNCE_SIZE), asked = n;
        void *direct = uio_put_direct(u, &asked);

        if (direct) {
            ret = memfile_pread(m, w, offset + done, direct, asked);
            n = asked;
            uio_put_done(u, ret > 0 ? (uint64_t)ret : 0, asked);
        } else {
            if (!bounce && !(bounce = bounce_take(m))) {
                ret = -ENOMEM;
                break;
            }
            ret = memfile_pread(m, w, offset + done, bounce, n);
            if (ret > 0)
                ret = uio_put(u, bounce, (uint64_t)ret);
        }
        if (ret <= 0)
            break;
        done += (uint64_t)ret;
        if ((uint64_t)ret < n)
            break;
    }
    if (bounce)
        bounce_give(m, bounce);
    return done ? (int64_t)done : ret;
}

int64_t memfile_write(struct memfile *m, struct memfile_window *w, uint64_t offset, uint64_t size, struct uio *u)
{
    char *bounce = NULL;
    uint64_t done = 0;
    int64_t ret = 0;

    size = MIN(size, u->remaining);
    while (done < size) {
        uint64_t n = MIN(size - done, BOUNCE_SIZE);
        const void *direct = uio_get_direct(u, &n);

        if (direct) {
            ret = memfile_pwrite(m, w, offset + done, direct, n);
            if (ret > 0)
                uio_advance(u, (uint64_t)ret);
        } else {
            if (!bounce && !(bounce = bounce_take(m))) {
                ret = -ENOMEM;
                break;
            }
            ret = uio_get(u, bounce, n);
            if (ret > 0) {
                uint64_t got = (uint64_t)ret;
                ret = memfile_pwrite(m, w, offset + done, bounce, got);
                uio_revert(u, got - (ret > 0 ? (uint64_t)ret : 0));
            }
        }
        if (ret <= 0)
            break;
        done += (uint64_t)ret;
        if ((uint64_t)ret < n)
            break;
    }
    if (bounce)
        bounce_give(m, bounce);
    return done ? (int64_t)done : ret;
}

int memfile_window_enlarge(struct memfile *m, struct memfile_window *w, uint64_t size)
{
    struct memfile_window large;
    char *bounce;
    uint64_t done = 0;
    int ret;

    if (w->size > MEMFILE_SMALL)
        return 0;
    ret = memfile_window_init(m, &large, true);
    if (ret < 0)
        return ret;
    size = w->dirty ? MIN(size, w->size) : 0;
    bounce = size ? bounce_take(m) : NULL;
    if (size && !bounce)
        ret = -ENOMEM;
    while (ret == 0 && done < size) {
        int64_t n = memfile_pread(m, w, done, bounce, MIN(BOUNCE_SIZE, size - done));
        if (n > 0)
            n = memfile_pwrite(m, &large, done, bounce, (uint64_t)n);
        if (n <= 0)
            ret = n ? (int)n : -EIO;
        else
            done += (uint64_t)n;
    }
    if (bounce)
        bounce_give(m, bounce);
    if (ret < 0) {
        memfile_window_free(m, &large);
        return ret;
    }
    memfile_window_free(m, w);
    *w = large;
    return 0;
}

// ---- Holes -----------------------------------------------------------------------------------------------------------

int64_t memfile_seek(struct memfile *m, const struct memfile_window *w, uint64_t offset, uint64_t end, int whence)
{
    int64_t r;

    if (offset >= end)
        return -ENXIO;
    if (w->size == 0 || offset >= w->size)
        return whence == SEEK_HOLE ? (int64_t)offset : -ENXIO;
    r = host_lseek(m->fd_rw, (int64_t)(w->base + offset), whence);
    if (r == -ENXIO)
        return whence == SEEK_HOLE ? (int64_t)offset : -ENXIO;
    if (r < 0)
        return r;
    r -= (int64_t)w->base;
    if ((uint64_t)r >= end)
        return whence == SEEK_HOLE ? (int64_t)end : -ENXIO;
    return r;
}

uint64_t memfile_used_pages(struct memfile *m, const struct memfile_window *w, uint64_t end)
{
    uint64_t used = 0, at = 0;

    if (!w->dirty && !w->mapped)
        return 0;
    end = MIN(PAGE_UP(end), w->size);
    while (at < end) {
        int64_t data = memfile_seek(m, w, at, end, SEEK_DATA), hole;
        if (data < 0)
            break;
        hole = memfile_seek(m, w, (uint64_t)data, end, SEEK_HOLE);
        if (hole <= data)
            break;
        used += (uint64_t)(hole - data);
        at = (uint64_t)hole;
    }
    return used >> PAGE_SHIFT;
}
