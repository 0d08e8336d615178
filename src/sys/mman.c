// Calls on the address space: mmap and its kin. The work is in mm/; here are flags, descriptors and copies.
//
// A call whose whole effect is one change of the map lets the guest go on as soon as its own thread has made the change
// (mm_target.resume), unless something waits to be looked at before the return.
#include <linux/mempolicy.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/slab.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "platform/platform.h"
#include "vfs/file.h"

#include "sys/syscalls-gen.h"

static struct mm_target resuming(struct task *t)
{
    struct mm_target target = mm_target_of(t);

    target.resume = true;
    return target;
}

int64_t sys_mmap(struct task *t, uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t offset)
{
    struct mm_target target = resuming(t);
    struct mmap_request r = {.addr = addr, .size = len, .prot = prot, .flags = flags, .offset = offset};
    int64_t ret;

    if (offset & (PAGE_SIZE - 1))
        return -EINVAL;
    if (!(flags & MAP_ANONYMOUS)) {
        r.file = fd_get_rw(t, fd);
        if (!r.file)
            return -EBADF;
    }
    ret = mm_map(&target, &r);
    if (r.file)
        file_unref(r.file);
    return ret;
}

int64_t sys_munmap(struct task *t, uint64_t addr, uint64_t len)
{
    struct mm_target target = resuming(t);
    return mm_unmap(&target, addr, len);
}

int64_t sys_mprotect(struct task *t, uint64_t addr, uint64_t len, int prot)
{
    struct mm_target target = resuming(t);
    return mm_protect(&target, addr, len, prot);
}

int64_t sys_pkey_mprotect(struct task *t, uint64_t addr, uint64_t len, int prot, int pkey)
{
    return pkey == -1 ? sys_mprotect(t, addr, len, prot) : -EINVAL;
}

int64_t sys_mremap(struct task *t, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr)
{
    struct mm_target target = resuming(t);
    return mm_remap(&target, addr, old_len, new_len, flags, new_addr);
}

int64_t sys_remap_file_pages(struct task *t, uint64_t addr, uint64_t len, int prot, uint64_t pgoff, int flags)
{
    struct mm_target target = resuming(t);

    if (prot || pgoff > INT64_MAX / PAGE_SIZE)
        return -EINVAL;
    return mm_remap_file_pages(&target, PAGE_DOWN(addr), PAGE_DOWN(len), pgoff * PAGE_SIZE);
}

int64_t sys_brk(struct task *t, uint64_t brk)
{
    struct mm_target target = resuming(t);
    return mm_brk(&target, brk);
}

int64_t sys_madvise(struct task *t, uint64_t addr, uint64_t len, int advice)
{
    struct mm_target target = resuming(t);
    return mm_advise(&target, addr, len, advice);
}

int64_t sys_msync(struct task *t, uint64_t addr, uint64_t len, int flags)
{
    struct mm_target target = mm_target_of(t);
    return mm_sync(&target, addr, len, flags);
}

#define MINCORE_CHUNK 4096ull // pages

int64_t sys_mincore(struct task *t, uint64_t addr, uint64_t len, uaddr_t vec)
{
    struct mm_target target = mm_target_of(t);
    uint64_t pages = len / PAGE_SIZE + (len % PAGE_SIZE != 0), done = 0;
    uint8_t *buf;
    int ret = 0;

    if (addr & (PAGE_SIZE - 1))
        return -EINVAL;
    if (addr >= GUEST_ADDR_MAX || len > GUEST_ADDR_MAX - addr)
        return -ENOMEM;
    if (!pages)
        return 0;
    buf = kmalloc(MIN(pages, MINCORE_CHUNK));
    if (!buf)
        return -EAGAIN;
    while (done < pages && ret == 0) {
        uint64_t n = MIN(pages - done, MINCORE_CHUNK);
        ret = mm_mincore(&target, addr + done * PAGE_SIZE, n * PAGE_SIZE, buf);
        if (ret == 0)
            ret = copy_out(t, UADDR(vec.a + done), buf, n);
        done += n;
    }
    kfree(buf);
    return ret;
}

// ---- Locking ---------------------------------------------------------------------------------------------------------

#define MADV_POPULATE_READ_ 22 // older headers lack it

// Locked memory is there: what can be touched is made so, as on Linux, where the rest is an error of the later access.
static int64_t lock_and_populate(struct task *t, uint64_t addr, uint64_t len)
{
    struct mm_target target = mm_target_of(t);
    int ret = mm_lock(&target, addr, len, false);
    uint64_t end;
    if (ret == 0 && add_u64(addr, len, &end) && page_up_u64(end, &end) && end > PAGE_DOWN(addr))
        (void)mm_advise(&target, PAGE_DOWN(addr), end - PAGE_DOWN(addr), MADV_POPULATE_READ_);
    return ret;
}

int64_t sys_mlock(struct task *t, uint64_t addr, uint64_t len)
{
    return lock_and_populate(t, addr, len);
}

int64_t sys_mlock2(struct task *t, uint64_t addr, uint64_t len, uint32_t flags)
{
    struct mm_target target = mm_target_of(t);
    if (flags & ~1u)
        return -EINVAL;
    return flags & 1 ? mm_lock(&target, addr, len, true) : lock_and_populate(t, addr, len); // MLOCK_ONFAULT
}

int64_t sys_munlock(struct task *t, uint64_t addr, uint64_t len)
{
    struct mm_target target = mm_target_of(t);
    return mm_unlock(&target, addr, len);
}

int64_t sys_mlockall(struct task *t, int flags)
{
    struct mm_target target = mm_target_of(t);
    return mm_lock_all(&target, flags);
}

int64_t sys_munlockall(struct task *t)
{
    struct mm_target target = mm_target_of(t);
    return mm_unlock_all(&target);
}

// ---- Memory policy: one node, number 0 -------------------------------------------------------------------------------
// A policy on a machine with one node chooses nothing; what was set for the thread is remembered and shown.

#define POLICY_MODES (MPOL_LOCAL + 1)
#define POLICY_FLAGS (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING)
#define NODES_MAX 1024

// Reads a set of nodes; true in *ret_any when it has node 0. Other nodes don't exist.
static int copy_in_nodes(struct task *t, uaddr_t nodemask, uint64_t maxnode, bool *ret_any)
{
    uint64_t words[NODES_MAX / 64] = {0}, bits;

    *ret_any = false;
    if (maxnode <= 1 || nodemask.a == 0)
        return 0;
    bits = maxnode - 1;
    if (bits > NODES_MAX)
        return -EINVAL;
    if (copy_in(t, words, nodemask, (bits + 63) / 64 * 8))
        return -EFAULT;
    if (bits % 64)
        words[bits / 64] &= BIT(bits % 64) - 1;
    *ret_any = words[0] & 1;
    if (words[0] & ~1ull)
        return -EINVAL;
    for (unsigned i = 1; i < ARRAY_SIZE(words); i++)
        if (words[i])
            return -EINVAL;
    return 0;
}

static int check_policy(int mode, bool any)
{
    int plain = mode & ~POLICY_FLAGS;

    if (plain < 0 || plain >= POLICY_MODES)
        return -EINVAL;
    if ((mode & MPOL_F_STATIC_NODES) && (mode & MPOL_F_RELATIVE_NODES))
        return -EINVAL;
    if ((plain == MPOL_DEFAULT || plain == MPOL_LOCAL) && any)
        return -EINVAL;
    if (plain != MPOL_DEFAULT && plain != MPOL_LOCAL && plain != MPOL_PREFERRED && !any)
        return -EINVAL;
    return 0;
}

int64_t sys_set_mempolicy(struct task *t, int mode, uaddr_t nodemask, uint64_t maxnode)
{
    bool any;
    int ret = copy_in_nodes(t, nodemask, maxnode, &any);

    if (ret == 0)
        ret = check_policy(mode, any);
    if (ret == 0) {
        t->mempolicy = (uint16_t)mode;
        t->mempolicy_node = any;
    }
    return ret;
}

int64_t sys_mbind(struct task *t, uint64_t addr, uint64_t len, int mode, uaddr_t nodemask, uint64_t maxnode,
                  uint32_t flags)
{
    bool any;
    int ret;

    if (flags & ~(uint32_t)(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) || (addr & (PAGE_SIZE - 1)))
        return -EINVAL;
    if (len > GUEST_ADDR_MAX || addr > GUEST_ADDR_MAX - len)
        return -EINVAL;
    ret = copy_in_nodes(t, nodemask, maxnode, &any);
    if (ret == 0)
        ret = check_policy(mode, any);
    if (ret == 0 && len && !mm_is_mapped(t->mm, addr, len))
        ret = -EFAULT;
    return ret;
}

static int copy_out_nodes(struct task *t, uaddr_t nodemask, uint64_t maxnode, bool any)
{
    uint64_t words[NODES_MAX / 64] = {any};
    uint64_t size = (maxnode - 1 + 63) / 64 * 8;

    if (nodemask.a == 0)
        return 0;
    if (maxnode < 1 || maxnode - 1 > NODES_MAX)
        return -EINVAL;
    return copy_out(t, nodemask, words, size);
}

int64_t sys_get_mempolicy(struct task *t, uaddr_t mode, uaddr_t nodemask, uint64_t maxnode, uint64_t addr,
                          uint64_t flags)
{
    int value = t->mempolicy;
    bool any = t->mempolicy_node;
    int ret;

    if (flags & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
        return -EINVAL;
    if (flags & MPOL_F_MEMS_ALLOWED) {
        if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
            return -EINVAL;
        value = 0;
        any = true;
    } else if (flags & MPOL_F_ADDR) {
        if (!mm_is_mapped(t->mm, PAGE_DOWN(addr), 1))
            return -EFAULT;
        value = 0; // the default, or the node: 0
        any = false;
    } else if (addr) {
        return -EINVAL;
    } else if (flags & MPOL_F_NODE) {
        if ((value & ~POLICY_FLAGS) != MPOL_INTERLEAVE)
            return -EINVAL;
        value = 0;
    }
    if (mode.a && (ret = copy_out(t, mode, &value, sizeof(value))) < 0)
        return ret;
    return copy_out_nodes(t, nodemask, maxnode, any);
}

// ---- membarrier ------------------------------------------------------------------------------------------------------

#define MEMBARRIER_PRIVATE 0x8u
#define MEMBARRIER_REGISTER_PRIVATE 0x10u
#define MEMBARRIER_PRIVATE_SYNC_CORE 0x20u
#define MEMBARRIER_REGISTER_PRIVATE_SYNC_CORE 0x40u
#define MEMBARRIER_PRIVATE_RSEQ 0x80u
#define MEMBARRIER_REGISTER_PRIVATE_RSEQ 0x100u
#define MEMBARRIER_ALL                                                                                                 \
    (MEMBARRIER_PRIVATE | MEMBARRIER_REGISTER_PRIVATE | MEMBARRIER_PRIVATE_SYNC_CORE |                                  \
     MEMBARRIER_REGISTER_PRIVATE_SYNC_CORE | MEMBARRIER_PRIVATE_RSEQ | MEMBARRIER_REGISTER_PRIVATE_RSEQ)

// The private commands concern one address space, and the host does them for it. The global ones would reach beyond the
// sandbox: they are answered as by a kernel that has full dynticks.
int64_t sys_membarrier(struct task *t, int cmd, uint32_t flags, int cpu_id)
{
    uint32_t bit = (uint32_t)cmd;

    if (cmd == 0)
        return flags ? -EINVAL : (int64_t)MEMBARRIER_ALL;
    if (flags && (bit != MEMBARRIER_PRIVATE_RSEQ || flags != 1))
        return -EINVAL;
    if (!(bit & MEMBARRIER_ALL) || (bit & (bit - 1)))
        return -EINVAL;
    return platform_membarrier(t->pt, cmd, flags, cpu_id);
}
