// Cursors over the buffers of read and write calls, see copy.h.
//
// A cursor over guest memory belongs to the calling task. Segments are a kernel copy: the guest can't change them once the
// cursor is made. Offsets and counts inside are the kernel's own, so nothing here is re-read from the guest.
#include "base/checked.h"
#include "base/slab.h"
#include "mm/copy.h"
#include "mm/mm-int.h"
#include "platform/platform.h"

#include "kernel/task.h"

void uio_init_user(struct uio *u, struct task *t, struct uio_segment *one, uaddr_t addr, uint64_t size)
{
    *one = (struct uio_segment){.addr = addr.a, .size = MIN(size, UIO_MAX_BYTES)};
    *u = (struct uio){.task = t, .segments = one, .count = 1, .remaining = one->size};
}

void uio_init_kernel(struct uio *u, struct uio_segment *one, void *buf, uint64_t size)
{
    *one = (struct uio_segment){.addr = (uintptr_t)buf, .size = size};
    *u = (struct uio){.segments = one, .count = 1, .remaining = size};
}

// The guest's struct iovec has the same layout as ours.
_Static_assert(sizeof(struct uio_segment) == 16, "struct iovec is 16 bytes");

static int check_segments(struct uio_segment *s, uint64_t count, uint64_t *ret_total)
{
    uint64_t total = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t end;
        if (s[i].size > INT64_MAX)
            return -EINVAL;
        if (!add_u64(s[i].addr, s[i].size, &end) || end > GUEST_TOP)
            return -EFAULT;
        if (s[i].size > UIO_MAX_BYTES - total)
            s[i].size = UIO_MAX_BYTES - total;
        total += s[i].size;
    }
    *ret_total = total;
    return 0;
}

int uio_init_iovec(struct uio *u, struct task *t, uaddr_t iov, int64_t count, struct uio_segment fixed[8],
                   struct uio_segment **segments)
{
    struct uio_segment *s = fixed;
    uint64_t total = 0;
    int ret;

    *segments = fixed;
    if (count < 0 || count > UIO_MAX_SEGMENTS)
        return -EINVAL;
    if (count > 8) {
        s = kmalloc((uint64_t)count * sizeof(*s));
        if (!s)
            return -ENOMEM;
    }
    ret = copy_in(t, s, iov, (uint64_t)count * sizeof(*s));
    if (ret == 0)
        ret = check_segments(s, (uint64_t)count, &total);
    if (ret < 0) {
        if (s != fixed)
            kfree(s);
        return ret;
    }
    *segments = s;
    *u = (struct uio){.task = t, .segments = s, .count = (uint32_t)count, .remaining = total};
    return 0;
}

// Steps over segments that are used up. False at the end.
static bool current_piece(struct uio *u, uint64_t *addr, uint64_t *size)
{
    while (u->index < u->count && u->offset >= u->segments[u->index].size) {
        u->index++;
        u->offset = 0;
    }
    if (u->index >= u->count || u->remaining == 0)
        return false;
    *addr = u->segments[u->index].addr + u->offset;
    *size = MIN(u->segments[u->index].size - u->offset, u->remaining);
    return true;
}

void uio_advance(struct uio *u, uint64_t size)
{
    while (size) {
        uint64_t addr, n;
        if (!current_piece(u, &addr, &n))
            return;
        n = MIN(n, size);
        u->offset += n;
        u->remaining -= n;
        size -= n;
    }
}

void uio_revert(struct uio *u, uint64_t size)
{
    while (size) {
        uint64_t n;
        if (u->offset == 0) {
            if (u->index == 0)
                return;
            u->index--;
            u->offset = u->segments[u->index].size;
            continue;
        }
        n = MIN(u->offset, size);
        u->offset -= n;
        u->remaining += n;
        size -= n;
    }
}

enum uio_direction { UIO_PUT, UIO_ZERO, UIO_GET };

static uint64_t move_piece(struct uio *u, enum uio_direction dir, void *buf, uint64_t addr, uint64_t size)
{
    if (!u->task) {
        void *mem = (void *)(uintptr_t)addr;
        if (dir == UIO_GET)
            memcpy(buf, mem, size);
        else if (dir == UIO_PUT)
            memcpy(mem, buf, size);
        else
            memset(mem, 0, size);
        return size;
    }
    if (dir == UIO_GET)
        return copy_user_read(u->task, buf, addr, size);
    if (dir == UIO_PUT)
        return copy_user_write(u->task, addr, buf, size);
    return copy_user_clear(u->task, addr, size);
}

static int64_t move(struct uio *u, enum uio_direction dir, void *buf, uint64_t size)
{
    uint64_t done = 0;

    while (done < size) {
        uint64_t addr, n, r;
        if (!current_piece(u, &addr, &n))
            break;
        n = MIN(n, size - done);
        r = move_piece(u, dir, buf ? (char *)buf + done : NULL, addr, n);
        u->offset += r;
        u->remaining -= r;
        done += r;
        if (r < n)
            return done ? (int64_t)done : -EFAULT;
    }
    return (int64_t)done;
}

int64_t uio_put(struct uio *u, const void *src, uint64_t size)
{
    return move(u, UIO_PUT, (void *)(uintptr_t)src, size);
}

int64_t uio_put_zeros(struct uio *u, uint64_t size)
{
    return move(u, UIO_ZERO, NULL, size);
}

int64_t uio_get(struct uio *u, void *dst, uint64_t size)
{
    return move(u, UIO_GET, dst, size);
}

void *uio_put_direct(struct uio *u, uint64_t *size)
{
    uint64_t addr, n;

    if (*size == 0 || !current_piece(u, &addr, &n))
        return NULL;
    n = MIN(n, *size);
    if (u->task) {
        void *p = copy_user_window(u->task, addr, n);
        if (p)
            *size = n;
        return p;
    }
    *size = n;
    return (void *)(uintptr_t)addr;
}

void uio_put_done(struct uio *u, uint64_t used, uint64_t asked)
{
    if (u->task && used < asked)
        platform_window_shrink(u->task->pt, asked - used);
    uio_advance(u, used);
}

const void *uio_get_direct(struct uio *u, uint64_t *size)
{
    uint64_t addr, n;

    if (*size == 0 || !current_piece(u, &addr, &n))
        return NULL;
    n = MIN(n, *size);
    if (u->task) {
        const void *p = platform_window_in_prefix(u->task->pt, addr, &n);
        if (!p || n == 0)
            return NULL;
        *size = MIN(n, *size);
        return p;
    }
    *size = n;
    return (const void *)(uintptr_t)addr;
}
