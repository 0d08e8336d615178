// Host calls that take a name: the gofer's. The kernel process's filter has none of them.

#include "host/host-int.h"
#include <linux/openat2.h>

int host_openat2(int dir, const char *path, const struct open_how *how)
{
    return (int)HOST_ENTER4(openat2, dir, path, how, sizeof(*how));
}

int64_t host_getdents64(int fd, void *buf, uint64_t size)
{
    return HOST_ENTER3(getdents64, fd, buf, size);
}

int64_t host_readlinkat(int dir, const char *path, char *buf, uint64_t size)
{
    return HOST_ENTER4(readlinkat, dir, path, buf, size);
}

int host_mkdirat(int dir, const char *path, uint32_t mode)
{
    return (int)HOST_ENTER3(mkdirat, dir, path, mode);
}

int host_mknodat(int dir, const char *path, uint32_t mode, uint64_t dev)
{
    return (int)HOST_ENTER4(mknodat, dir, path, mode, dev);
}

int host_symlinkat(const char *text, int dir, const char *path)
{
    return (int)HOST_ENTER3(symlinkat, text, dir, path);
}

int host_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return (int)HOST_ENTER5(linkat, from_dir, from, to_dir, to, flags);
}

int host_unlinkat(int dir, const char *path, int flags)
{
    return (int)HOST_ENTER3(unlinkat, dir, path, flags);
}

int host_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return (int)HOST_ENTER5(renameat2, from_dir, from, to_dir, to, flags);
}

int host_fchmod(int fd, uint32_t mode)
{
    return (int)HOST_ENTER2(fchmod, fd, mode);
}

int host_fchmodat(int dir, const char *path, uint32_t mode)
{
    return (int)HOST_ENTER3(fchmodat, dir, path, mode);
}

int host_fchown(int fd, uint32_t uid, uint32_t gid)
{
    return (int)HOST_ENTER3(fchown, fd, uid, gid);
}

int host_fchownat(int dir, const char *path, uint32_t uid, uint32_t gid, int flags)
{
    return (int)HOST_ENTER5(fchownat, dir, path, uid, gid, flags);
}

int host_utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
    return (int)HOST_ENTER4(utimensat, dir, path, times, flags);
}

int host_fstatfs(int fd, struct statfs *out)
{
    return (int)HOST_ENTER2(fstatfs, fd, out);
}

int64_t host_fgetxattr(int fd, const char *name, void *buf, uint64_t size)
{
    return HOST_ENTER4(fgetxattr, fd, name, buf, size);
}

int64_t host_flistxattr(int fd, char *buf, uint64_t size)
{
    return HOST_ENTER3(flistxattr, fd, buf, size);
}

int host_fsetxattr(int fd, const char *name, const void *value, uint64_t size, int flags)
{
    return (int)HOST_ENTER5(fsetxattr, fd, name, value, size, flags);
}

int host_fremovexattr(int fd, const char *name)
{
    return (int)HOST_ENTER2(fremovexattr, fd, name);
}
