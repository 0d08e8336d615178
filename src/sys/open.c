// open(2), openat2(2), close(2), close_range(2), dup(2).
#include <linux/close_range.h>
#include <linux/openat2.h>

#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)
#define LARGEFILE   0100000 // O_LARGEFILE as other architectures and 32-bit programs pass it
#define VALID_FLAGS                                                                                \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |          \
     O_DSYNC | O_ASYNC | O_DIRECT | LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | \
     O_PATH | O_TMPFILE)
#define PATH_FLAGS (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC)

static int64_t open_and_install(struct task *t, int dirfd, const char *name, uint32_t flags,
                                uint32_t mode, uint32_t lookup_flags)
{
    struct file *f;
    int fd = fd_reserve(t, flags & O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    int r = file_open_path(t, dirfd, name, flags, mode, lookup_flags, &f);
    if (r < 0) {
        fd_unreserve(t, fd);
        // An interrupted open of a FIFO is started anew.
        return r;
    }
    fd_publish(t, fd, f);
    return fd;
}

// open(2) and openat(2) ignore what they don't know; openat2(2) checks before it comes here.
static int64_t open_common(struct task *t, int dirfd, uaddr_t path, uint32_t flags, uint32_t mode,
                           uint32_t lookup_flags)
{
    char small[PATH_SMALL], *name;
    if ((flags & TMPFILE_BIT) &&
        ((flags & O_TMPFILE) != O_TMPFILE || (flags & O_ACCMODE) == O_RDONLY) && !(flags & O_PATH))
        return -EINVAL;
    if (flags & O_PATH)
        flags &= PATH_FLAGS;
    if ((flags & O_CREAT) && (flags & O_DIRECTORY) && !(flags & TMPFILE_BIT))
        return -EINVAL;
    int r = path_copy_name(t, path, small, &name);
    if (r < 0)
        return r;
    int64_t fd = open_and_install(t, dirfd, name, flags, mode & 07777, lookup_flags);
    path_name_done(small, name);
    return fd;
}

int64_t sys_openat(struct task *t, int dirfd, uaddr_t path, int flags, uint32_t mode)
{
    return open_common(t, dirfd, path, (uint32_t)flags & VALID_FLAGS, mode, 0);
}

int64_t sys_open(struct task *t, uaddr_t path, int flags, uint32_t mode)
{
    return sys_openat(t, AT_FDCWD, path, flags, mode);
}

int64_t sys_creat(struct task *t, uaddr_t path, uint32_t mode)
{
    return sys_openat(t, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static int resolve_to_lookup(uint64_t resolve, uint32_t *ret)
{
    static const struct {
        uint64_t resolve;
        uint32_t lookup;
    } table[] = {
        {RESOLVE_NO_XDEV, LOOKUP_NO_XDEV},
        {RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGICLINKS},
        {RESOLVE_NO_SYMLINKS, LOOKUP_NO_SYMLINKS | LOOKUP_NO_MAGICLINKS},
        {RESOLVE_BENEATH, LOOKUP_BENEATH},
        {RESOLVE_IN_ROOT, LOOKUP_IN_ROOT},
        {RESOLVE_CACHED, LOOKUP_CACHED},
    };
    *ret = 0;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (resolve & table[i].resolve)
            *ret |= table[i].lookup;
        resolve &= ~table[i].resolve;
    }
    if (resolve || (*ret & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) == (LOOKUP_BENEATH | LOOKUP_IN_ROOT))
        return -EINVAL;
    return 0;
}

int64_t sys_openat2(struct task *t, int dirfd, uaddr_t path, uaddr_t how, uint64_t size)
{
    struct open_how h;
    uint32_t lookup_flags;
    if (size < sizeof(h))
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    int r = copy_in_struct(t, &h, sizeof(h), how, size);
    if (r < 0)
        return r;
    if (h.flags & ~(uint64_t)VALID_FLAGS)
        return -EINVAL;
    if ((h.flags & O_PATH) && (h.flags & ~(uint64_t)PATH_FLAGS))
        return -EINVAL;
    bool creates = (h.flags & O_CREAT) || (h.flags & TMPFILE_BIT);
    if (creates ? (h.mode & ~07777ull) != 0 : h.mode != 0)
        return -EINVAL;
    r = resolve_to_lookup(h.resolve, &lookup_flags);
    if (r < 0)
        return r;
    // Creating and truncating can't be done from the cache alone.
    if ((lookup_flags & LOOKUP_CACHED) && (h.flags & (O_TRUNC | O_CREAT | TMPFILE_BIT)))
        return -EAGAIN;
    return open_common(t, dirfd, path, (uint32_t)h.flags, (uint32_t)h.mode, lookup_flags);
}

int64_t sys_close(struct task *t, int fd)
{
    return fd_close(t, fd);
}

int64_t sys_close_range(struct task *t, uint32_t first, uint32_t last, uint32_t flags)
{
    if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
        return -EINVAL;
    if (flags & CLOSE_RANGE_UNSHARE) {
        // What is going to be closed at the end of the table need not be copied.
        uint32_t max = last == UINT32_MAX && !(flags & CLOSE_RANGE_CLOEXEC) ? first : UINT32_MAX;
        int r = files_unshare_table(t, max);
        if (r < 0)
            return r;
    }
    fd_table_close_range(t, first, last, flags & CLOSE_RANGE_CLOEXEC);
    return 0;
}

int64_t sys_dup(struct task *t, int fd)
{
    struct file *f = fd_get(t, fd);
    if (!f)
        return -EBADF;
    int r = fd_install(t, f, false, 0);
    if (r < 0)
        file_unref(f);
    return r;
}

static int64_t dup_to(struct task *t, int oldfd, int newfd, bool cloexec)
{
    struct file *f = fd_get(t, oldfd);
    if (!f)
        return -EBADF;
    int r = newfd < 0 ? -EBADF : fd_dup_to(t, f, (uint32_t)newfd, cloexec);
    file_unref(f);
    return r;
}

int64_t sys_dup2(struct task *t, int oldfd, int newfd)
{
    if (oldfd == newfd) {
        struct file *f = fd_get(t, oldfd);
        file_unref(f);
        return f ? newfd : -EBADF;
    }
    return dup_to(t, oldfd, newfd, false);
}

int64_t sys_dup3(struct task *t, int oldfd, int newfd, int flags)
{
    if ((flags & ~O_CLOEXEC) || oldfd == newfd)
        return -EINVAL;
    return dup_to(t, oldfd, newfd, flags & O_CLOEXEC);
}
