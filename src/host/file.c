// Host calls on open descriptors.

#include "host/host-int.h"
#include <fcntl.h>
#include <sys/ioctl.h>

int64_t host_read(int fd, void *buf, uint64_t size)
{
    return HOST_ENTER3(read, fd, buf, size);
}

int64_t host_write(int fd, const void *buf, uint64_t size)
{
    return HOST_ENTER3(write, fd, buf, size);
}

int64_t host_pread(int fd, void *buf, uint64_t size, uint64_t offset)
{
    return HOST_ENTER4(pread64, fd, buf, size, offset);
}

int64_t host_pwrite(int fd, const void *buf, uint64_t size, uint64_t offset)
{
    return HOST_ENTER4(pwrite64, fd, buf, size, offset);
}

// The host takes the offset in two halves and puts them together as (high << 32 << 32) | low: on 64-bit hosts the first
// holds all of it.
int64_t host_preadv2(int fd, const struct iovec *iov, int count, int64_t offset, int flags)
{
    return HOST_ENTER6(preadv2, fd, iov, count, offset, 0, flags);
}

int64_t host_pwritev2(int fd, const struct iovec *iov, int count, int64_t offset, int flags)
{
    return HOST_ENTER6(pwritev2, fd, iov, count, offset, 0, flags);
}

int host_close(int fd)
{
    return (int)HOST_ENTER1(close, fd);
}

int host_dup(int fd, int at_least)
{
    return (int)HOST_ENTER3(fcntl, fd, F_DUPFD_CLOEXEC, at_least);
}

// There is no call for the limit on the list; but a descriptor's copy with a number beyond it is refused.
int host_fd_limit(void)
{
    for (int limit = 1 << 16; limit > 1; limit /= 2) {
        int fd = host_dup(0, limit - 1);
        if (fd >= 0) {
            (void)host_close(fd);
            return limit;
        }
    }
    return 1;
}

int host_get_flags(int fd)
{
    return (int)HOST_ENTER3(fcntl, fd, F_GETFL, 0);
}

int host_set_flags(int fd, int flags)
{
    return (int)HOST_ENTER3(fcntl, fd, F_SETFL, flags);
}

int64_t host_lseek(int fd, int64_t offset, int whence)
{
    return HOST_ENTER3(lseek, fd, offset, whence);
}

int host_fstat(int fd, struct stat *out)
{
    return (int)HOST_ENTER2(fstat, fd, out);
}

int host_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out)
{
    return (int)HOST_ENTER5(statx, dir, path, flags, mask, out);
}

int host_ftruncate(int fd, uint64_t size)
{
    return (int)HOST_ENTER2(ftruncate, fd, size);
}

int host_fallocate(int fd, int mode, uint64_t offset, uint64_t size)
{
    return (int)HOST_ENTER4(fallocate, fd, mode, offset, size);
}

int host_fsync(int fd)
{
    return (int)HOST_ENTER1(fsync, fd);
}

int host_fdatasync(int fd)
{
    return (int)HOST_ENTER1(fdatasync, fd);
}

int host_ioctl(int fd, uint32_t request, void *arg)
{
    return (int)HOST_ENTER3(ioctl, fd, request, arg);
}
