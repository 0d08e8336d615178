// Copies between the kernel and guest memory, see copy.h.
//
// Three ways, cheapest first: bytes that the trampoline brought along in the slot's window; bytes queued in the window for
// the way back; a host call on the stub's memory. The window may be used for a result only when the map says that the whole
// range is writable, since a fault on the way back can no longer become EFAULT. A copy by host call that stops short asks
// the map once whether the page can be made accessible (the tail of a file mapping whose file has grown) and goes on.
//
// Locking: none held by the caller; mm.lock is taken for a moment to look at the map.
//
// DEVIATION: a result that another thread of the guest unmaps between the end of the call and the return is lost without
// EFAULT; Linux reports one or the other depending on the race.
#include "mm/copy.h"

#include "base/slab.h"
#include "kernel/task.h"
#include "mm/mm-int.h"
#include "mm/mm.h"
#include "platform/platform.h"

// Above this a host call beats the second copy that the window needs.
#define WINDOW_COPY_MAX (16u << 10)

static bool range_in_guest(uint64_t addr, uint64_t size)
{
    uint64_t end;
    return !__builtin_add_overflow(addr, size, &end) && end <= GUEST_ADDR_MAX;
}

// Reads may name the vDSO, which lies above the guest's part; what else lies there is the caller's own slot, which the
// guest could read itself.
static bool range_readable(uint64_t addr, uint64_t size)
{
    uint64_t end;
    return !__builtin_add_overflow(addr, size, &end) && end <= GUEST_TOP;
}

static uint64_t read_now(struct task *t, void *dst, uint64_t addr, uint64_t size)
{
    uint64_t done;

    if (!t->mm || !range_readable(addr, size))
        return 0;
    platform_window_flush(t->pt);
    done = platform_read(t->mm->pm, addr, dst, size);
    while (unlikely(done < size)) {
        uint64_t n;
        if (!mm_fault_in(t, addr + done, false))
            break;
        n = platform_read(t->mm->pm, addr + done, (char *)dst + done, size - done);
        if (n == 0)
            break;
        done += n;
    }
    return MIN(done, size);
}

static uint64_t write_now(struct task *t, uint64_t addr, const void *src, uint64_t size)
{
    uint64_t done;

    if (!t->mm || addr >= GUEST_ADDR_MAX)
        return 0;
    size = MIN(size, GUEST_ADDR_MAX - addr);
    platform_window_flush(t->pt);
    done = platform_write(t->mm->pm, addr, src, size);
    while (unlikely(done < size)) {
        uint64_t n;
        if (!mm_fault_in(t, addr + done, true))
            break;
        n = platform_write(t->mm->pm, addr + done, (const char *)src + done, size - done);
        if (n == 0)
            break;
        done += n;
    }
    return MIN(done, size);
}

uint64_t copy_user_read(struct task *t, void *dst, uint64_t addr, uint64_t size)
{
    const void *p = platform_window_in(t->pt, addr, size);
    if (p) {
        memcpy(dst, p, size);
        return size;
    }
    return read_now(t, dst, addr, size);
}

void *copy_user_window(struct task *t, uint64_t addr, uint64_t size)
{
    if (!t->mm || !range_in_guest(addr, size) || !mm_access_hint(t->mm, addr, size, true))
        return NULL;
    return platform_window_out(t->pt, addr, size);
}

uint64_t copy_user_write(struct task *t, uint64_t addr, const void *src, uint64_t size)
{
    if (size <= WINDOW_COPY_MAX) {
        void *p = copy_user_window(t, addr, size);
        if (p) {
            memcpy(p, src, size);
            return size;
        }
    }
    return write_now(t, addr, src, size);
}

int copy_in(struct task *t, void *dst, uaddr_t src, uint64_t size)
{
    if (size == 0)
        return 0;
    return copy_user_read(t, dst, src.a, size) == size ? 0 : -EFAULT;
}

int copy_out(struct task *t, uaddr_t dst, const void *src, uint64_t size)
{
    if (size == 0)
        return 0;
    return copy_user_write(t, dst.a, src, size) == size ? 0 : -EFAULT;
}

int copy_out_now(struct task *t, uaddr_t dst, const void *src, uint64_t size)
{
    if (size == 0)
        return 0;
    return write_now(t, dst.a, src, size) == size ? 0 : -EFAULT;
}

uint64_t copy_user_clear(struct task *t, uint64_t addr, uint64_t size)
{
    static const char zeros[PAGE_SIZE];
    uint64_t done = 0;

    while (done < size) {
        uint64_t n = MIN(size - done, sizeof(zeros));
        uint64_t r = copy_user_write(t, addr + done, zeros, n);
        done += r;
        if (r < n)
            break;
    }
    return done;
}

int clear_out(struct task *t, uaddr_t dst, uint64_t size)
{
    if (size && !range_in_guest(dst.a, size))
        return -EFAULT;
    return copy_user_clear(t, dst.a, size) == size ? 0 : -EFAULT;
}

int64_t copy_in_string(struct task *t, char *dst, uaddr_t src, uint64_t room)
{
    uint64_t done = 0;

    while (done < room) {
        uint64_t addr, n, got;
        const void *p;
        char *nul;

        if (__builtin_add_overflow(src.a, done, &addr))
            return -EFAULT;
        n = room - done;
        p = platform_window_in_prefix(t->pt, addr, &n);
        if (p && n) {
            got = MIN(n, room - done);
            memcpy(dst + done, p, got);
        } else {
            // A page at a time: the string usually ends in its first one, and what follows may not be there.
            n = MIN(room - done, PAGE_SIZE - (addr & (PAGE_SIZE - 1)));
            got = read_now(t, dst + done, addr, n);
            if (got == 0)
                return -EFAULT;
        }
        nul = memchr(dst + done, 0, got);
        if (nul)
            return nul - dst;
        done += got;
    }
    return -ENAMETOOLONG;
}

int copy_in_struct(struct task *t, void *dst, uint64_t size, uaddr_t src, uint64_t user_size)
{
    uint64_t common = MIN(size, user_size);
    uint64_t done = common;

    while (done < user_size) {
        uint64_t block[32];
        uint64_t n = MIN(user_size - done, sizeof(block)), addr;

        if (__builtin_add_overflow(src.a, done, &addr) || copy_in(t, block, UADDR(addr), n))
            return -EFAULT;
        for (uint64_t i = 0; i < n; i++)
            if (((uint8_t *)block)[i])
                return -E2BIG;
        done += n;
    }
    if (copy_in(t, dst, src, common))
        return -EFAULT;
    memset((char *)dst + common, 0, size - common);
    return 0;
}

uint64_t copy_in_mm(struct mm *mm, void *dst, uint64_t addr, uint64_t size)
{
    struct task *t = current_task();

    if (t && t->mm == mm)
        return read_now(t, dst, addr, size);
    if (!range_in_guest(addr, size))
        return 0;
    return MIN(platform_read(mm->pm, addr, dst, size), size);
}

uint64_t copy_out_mm(struct mm *mm, uint64_t addr, const void *src, uint64_t size)
{
    struct task *t = current_task();

    if (t && t->mm == mm)
        return write_now(t, addr, src, size);
    if (!range_in_guest(addr, size))
        return 0;
    return MIN(platform_write(mm->pm, addr, src, size), size);
}
