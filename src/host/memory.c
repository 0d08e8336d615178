// Host calls on the process's own memory and on that of the stubs.

#include "host/host-int.h"
#include <sys/mman.h>

int64_t host_mmap(void *addr, uint64_t size, int prot, int flags, int fd, uint64_t offset)
{
    return HOST_ENTER6(mmap, addr, size, prot, flags, fd, offset);
}

int host_munmap(void *addr, uint64_t size)
{
    return (int)HOST_ENTER2(munmap, addr, size);
}

int host_madvise(void *addr, uint64_t size, int advice)
{
    return (int)HOST_ENTER3(madvise, addr, size, advice);
}

int64_t host_process_vm_readv(int pid, const struct iovec *local, uint64_t local_count, const struct iovec *remote,
                              uint64_t remote_count)
{
    return HOST_ENTER6(process_vm_readv, pid, local, local_count, remote, remote_count, 0);
}

int64_t host_process_vm_writev(int pid, const struct iovec *local, uint64_t local_count, const struct iovec *remote,
                               uint64_t remote_count)
{
    return HOST_ENTER6(process_vm_writev, pid, local, local_count, remote, remote_count, 0);
}
