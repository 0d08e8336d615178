// mlock(2) and its kin: who has asked for which pages to stay, and whether they may.
//
// DEVIATION: nothing is locked in the host's memory: a sandbox that could pin host memory would take it from the others.
// Limits, errors, /proc and what MADV_DONTNEED and MS_INVALIDATE refuse are Linux's.
//
// Locking: mm.lock.
#include "base/checked.h"
#include "base/slab.h"
#include "kernel/task.h"
#include "mm/mm-int.h"

#include <linux/capability.h>
#include <sys/resource.h>

// Sets and clears flags in [addr, end); -ENOMEM when a part isn't mapped (what comes before it is changed).
static int change_flags(struct mm *mm, uint64_t addr, uint64_t end, uint32_t set, uint32_t clear)
{
    struct vma_stock stock = {0};
    struct vma_graveyard g = {0};
    uint64_t at = addr;
    int ret;

    ret = vma_stock_fill(&stock, 2);
    lock_assert_held(&mm->lock);
    if (ret == 0 && mm->vma_count + 2 > MM_MAX_MAP_COUNT)
        ret = -ENOMEM;
    if (ret == 0) {
        vma_split(mm, addr, &stock);
        vma_split(mm, end, &stock);
        for (struct vma *v = vma_find(mm, addr); at < end; v = vma_next(v)) {
            if (!v || v->start > at) {
                ret = -ENOMEM;
                break;
            }
            vma_account(mm, v, false);
            v->flags = (v->flags & ~clear) | set;
            vma_account(mm, v, true);
            at = v->end;
        }
        vma_merge_range(mm, addr, end, &g);
    }
    // Merging lets no last reference go: the neighbour that stays holds one.
    vma_graveyard_done(&g);
    vma_stock_done(&stock);
    return ret;
}

static uint64_t count_locked(struct mm *mm, uint64_t start, uint64_t end)
{
    uint64_t bytes = 0;

    for (struct vma *v = vma_find(mm, start); v && v->start < end; v = vma_next(v))
        if (v->flags & VMA_LOCKED)
            bytes += MIN(v->end, end) - MAX(v->start, start);
    return bytes >> PAGE_SHIFT;
}

// The range in whole pages around [addr, addr+size).
static int lock_range(uint64_t addr, uint64_t size, uint64_t *ret_start, uint64_t *ret_end)
{
    uint64_t bytes, end;

    if (!add_u64(size, addr & (PAGE_SIZE - 1), &bytes) || !page_up_u64(bytes, &bytes) ||
        !add_u64(PAGE_DOWN(addr), bytes, &end))
        return -EINVAL;
    *ret_start = PAGE_DOWN(addr);
    *ret_end = end;
    return 0;
}

int mm_lock(const struct mm_target *target, uint64_t addr, uint64_t size, bool on_fault)
{
    struct mm *mm = target->mm;
    uint64_t start, end, limit = task_rlimit(target->task, RLIMIT_MEMLOCK), pages;
    bool privileged = capable(target->task, CAP_IPC_LOCK);
    int ret;

    if (limit == 0 && !privileged)
        return -EPERM;
    ret = lock_range(addr, size, &start, &end);
    if (ret < 0)
        return ret;
    if (start == end)
        return 0;
    lock_take(&mm->lock);
    pages = mm->locked_pages + ((end - start) >> PAGE_SHIFT) - count_locked(mm, start, end);
    if (pages > limit >> PAGE_SHIFT && !privileged)
        ret = -ENOMEM;
    else
        ret = change_flags(mm, start, end, VMA_LOCKED | (on_fault ? VMA_LOCKONFAULT : 0),
                           on_fault ? 0 : VMA_LOCKONFAULT);
    lock_release(&mm->lock);
    return ret;
}

int mm_unlock(const struct mm_target *target, uint64_t addr, uint64_t size)
{
    uint64_t start, end;
    int ret = lock_range(addr, size, &start, &end);

    if (ret < 0 || start == end)
        return ret;
    lock_take(&target->mm->lock);
    ret = change_flags(target->mm, start, end, 0, VMA_LOCKED | VMA_LOCKONFAULT);
    lock_release(&target->mm->lock);
    return ret;
}

static void change_all(struct mm *mm, uint32_t set, uint32_t clear)
{
    struct vma_graveyard g = {0};

    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        vma_account(mm, v, false);
        v->flags = (v->flags & ~clear) | set;
        vma_account(mm, v, true);
    }
    vma_merge_range(mm, 0, GUEST_ADDR_MAX, &g);
    vma_graveyard_done(&g);
}

int mm_lock_all(const struct mm_target *target, int flags)
{
    struct mm *mm = target->mm;
    uint64_t limit = task_rlimit(target->task, RLIMIT_MEMLOCK);
    bool privileged = capable(target->task, CAP_IPC_LOCK), on_fault = flags & MCL_ONFAULT;
    int ret = 0;

    if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
        return -EINVAL;
    if (limit == 0 && !privileged)
        return -EPERM;
    lock_take(&mm->lock);
    if ((flags & MCL_CURRENT) && mm->total_pages > limit >> PAGE_SHIFT && !privileged) {
        ret = -ENOMEM;
    } else {
        mm->lock_future = flags & MCL_FUTURE;
        mm->lock_on_fault = (flags & MCL_FUTURE) && on_fault;
        if (flags & MCL_CURRENT)
            change_all(mm, VMA_LOCKED | (on_fault ? VMA_LOCKONFAULT : 0), on_fault ? 0 : VMA_LOCKONFAULT);
    }
    lock_release(&mm->lock);
    return ret;
}

int mm_unlock_all(const struct mm_target *target)
{
    struct mm *mm = target->mm;

    lock_take(&mm->lock);
    mm->lock_future = mm->lock_on_fault = false;
    change_all(mm, 0, VMA_LOCKED | VMA_LOCKONFAULT);
    lock_release(&mm->lock);
    return 0;
}
