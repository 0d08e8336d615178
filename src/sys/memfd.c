// memfd_create(2). The file is a nameless one of tmpfs; seals are the file layer's (fcntl F_ADD_SEALS).
//
// DEVIATION: MFD_HUGETLB is answered as by a kernel without huge pages.
#include <sys/mman.h>

#include "base/slab.h"
#include "fs/tmpfs/tmpfs.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "vfs/file.h"

#include "sys/syscalls-gen.h"

#define MEMFD_NAME_MAX 249 // NAME_MAX less "memfd:"
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8u
#define MFD_EXEC 0x10u
#endif
#define HUGE_SIZE_BITS (0x3fu << 26) // MFD_HUGE_MASK << MFD_HUGE_SHIFT
#define SEAL_SEAL 0x1u // F_SEAL_SEAL
#define SEAL_EXEC 0x20u // F_SEAL_EXEC

int64_t sys_memfd_create(struct task *t, uaddr_t name, uint32_t flags)
{
    char text[MEMFD_NAME_MAX + 1];
    uint32_t seals = flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) ? 0 : SEAL_SEAL;
    struct file *f;
    int64_t ret;
    int fd;

    if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC |
                  (flags & MFD_HUGETLB ? HUGE_SIZE_BITS : 0)))
        return -EINVAL;
    if ((flags & MFD_EXEC) && (flags & MFD_NOEXEC_SEAL))
        return -EINVAL;
    if (flags & MFD_HUGETLB)
        return -ENOMEM;
    ret = copy_in_string(t, text, name, MEMFD_NAME_MAX + 1);
    if (ret < 0)
        return ret == -ENAMETOOLONG ? -EINVAL : ret;
    if (flags & MFD_NOEXEC_SEAL)
        seals |= SEAL_EXEC;
    ret = tmpfs_memfd_create(t, text, seals, flags & MFD_NOEXEC_SEAL ? 0666 : 0777, &f);
    if (ret < 0)
        return ret;
    fd = fd_install(t, f, flags & MFD_CLOEXEC, 0);
    if (fd < 0)
        file_unref(f);
    return fd;
}
