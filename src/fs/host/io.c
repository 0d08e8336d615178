// Moving data, see fs/host-io.h. Small reads go straight into the window that the guest's own thread copies from; large ones
// through a buffer, with one copy into the guest.
#include "fs/host-io.h"

#include "base/slab.h"
#include "fs/host-events.h"
#include "host/host.h"
#include "kernel/kernel.h"
#include "mm/copy.h"

void *host_io_buffer_take(void)
{
    struct host_events *e = the_kernel()->host_events;
    for (unsigned i = 0; e && i < HOST_IO_BUFFERS; i++) {
        if (!__atomic_load_n((void **)&e->buffers[i], __ATOMIC_RELAXED))
            continue;
        void *b = __atomic_exchange_n((void **)&e->buffers[i], NULL, __ATOMIC_ACQUIRE);
        if (b)
            return b;
    }
    return kmalloc(HOST_IO_BUFFER);
}

void host_io_buffer_give(void *buffer)
{
    struct host_events *e = the_kernel()->host_events;
    for (unsigned i = 0; buffer && e && i < HOST_IO_BUFFERS; i++) {
        void *expected = NULL;
        if (__atomic_compare_exchange_n((void **)&e->buffers[i], &expected, buffer, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
            return;
    }
    kfree(buffer);
}

static int64_t read_once(int fd, void *to, uint64_t size, int64_t offset, int flags)
{
    if (flags == 0)
        return offset < 0 ? host_read(fd, to, size) : host_pread(fd, to, size, (uint64_t)offset);
    struct iovec iov = {.iov_base = to, .iov_len = size};
    return host_preadv2(fd, &iov, 1, offset, flags);
}

static int64_t write_once(int fd, const void *from, uint64_t size, int64_t offset, int flags)
{
    if (flags == 0)
        return offset < 0 ? host_write(fd, from, size) : host_pwrite(fd, from, size, (uint64_t)offset);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)from, .iov_len = size};
    return host_pwritev2(fd, &iov, 1, offset, flags);
}

int64_t host_io_read(int fd, struct uio *u, int64_t offset, int flags)
{
    void *buffer = NULL;
    uint64_t done = 0;
    int64_t n = 0;
    while (u->remaining) {
        uint64_t want = MIN(u->remaining, HOST_IO_BUFFER), asked = want;
        int64_t at = offset < 0 ? -1 : offset + (int64_t)done;
        void *direct = uio_put_direct(u, &asked);
        if (direct) {
            want = asked;
            n = read_once(fd, direct, asked, at, flags);
            uio_put_done(u, n > 0 ? (uint64_t)n : 0, asked);
        } else {
            if (!buffer && !(buffer = host_io_buffer_take())) {
                n = -ENOMEM;
                break;
            }
            n = read_once(fd, buffer, want, at, flags);
            if (n > 0)
                n = uio_put(u, buffer, (uint64_t)n);
        }
        if (n <= 0)
            break;
        done += (uint64_t)n;
        // From a pipe or a terminal, what is there now is all that one read returns.
        if ((uint64_t)n < want || offset < 0)
            break;
    }
    host_io_buffer_give(buffer);
    return done ? (int64_t)done : n;
}

int64_t host_io_write(int fd, struct uio *u, int64_t offset, int flags)
{
    void *buffer = NULL;
    uint64_t done = 0;
    int64_t n = 0;
    while (u->remaining) {
        uint64_t size = MIN(u->remaining, HOST_IO_BUFFER);
        int64_t at = offset < 0 ? -1 : offset + (int64_t)done;
        const void *direct = uio_get_direct(u, &size);
        if (direct) {
            n = write_once(fd, direct, size, at, flags);
            if (n > 0)
                uio_advance(u, (uint64_t)n);
        } else {
            size = MIN(u->remaining, HOST_IO_BUFFER);
            if (!buffer && !(buffer = host_io_buffer_take())) {
                n = -ENOMEM;
                break;
            }
            n = uio_get(u, buffer, size);
            if (n > 0) {
                uint64_t got = (uint64_t)n;
                size = got;
                n = write_once(fd, buffer, got, at, flags);
                uio_revert(u, got - (n > 0 ? (uint64_t)n : 0));
            }
        }
        if (n <= 0)
            break;
        done += (uint64_t)n;
        if ((uint64_t)n < size)
            break;
    }
    host_io_buffer_give(buffer);
    return done ? (int64_t)done : n;
}
