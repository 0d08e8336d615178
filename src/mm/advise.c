// madvise(2), msync(2), mincore(2), and names of anonymous memory.
//
// Advice that concerns only the caller's own pages goes to the stub as it is; what would work on other sandboxes' or the
// host's behalf (merging, page-out, hardware poison) is answered as by a kernel without it.
//
// Locking: mm.lock. Files are synced and punched with a reference, after the lock is free.
//
// DEVIATION: MADV_PAGEOUT is MADV_COLD; MADV_COLLAPSE is EINVAL, as before Linux 6.1.
#include "base/checked.h"
#include "base/log.h"
#include "base/slab.h"
#include "kernel/task.h"
#include "mm/backing.h"
#include "mm/mm-int.h"
#include "platform/platform.h"

// ---- madvise ---------------------------------------------------------------------------------------------------------

struct advice_rule {
    int advice;         // what the stub is told, -1: nothing
    uint32_t set, clear; // VMA flags
};

static int find_rule(int advice, struct advice_rule *out)
{
    static const struct {
        int advice;
        struct advice_rule rule;
    } rules[] = {
        {MADV_NORMAL, {MADV_NORMAL, 0, 0}},
        {MADV_RANDOM, {MADV_RANDOM, 0, 0}},
        {MADV_SEQUENTIAL, {MADV_SEQUENTIAL, 0, 0}},
        {MADV_WILLNEED, {MADV_WILLNEED, 0, 0}},
        {MADV_DONTNEED, {MADV_DONTNEED, 0, 0}},
        {MADV_DONTNEED_LOCKED, {MADV_DONTNEED, 0, 0}},
        {MADV_FREE, {MADV_FREE, 0, 0}},
        {MADV_COLD, {MADV_COLD, 0, 0}},
        {MADV_PAGEOUT, {MADV_COLD, 0, 0}},
        {MADV_REMOVE, {-1, 0, 0}},
        {MADV_POPULATE_READ, {-1, 0, 0}},
        {MADV_POPULATE_WRITE, {-1, 0, 0}},
        {MADV_DONTFORK, {MADV_DONTFORK, VMA_DONTFORK, 0}},
        {MADV_DOFORK, {MADV_DOFORK, 0, VMA_DONTFORK}},
        {MADV_WIPEONFORK, {MADV_WIPEONFORK, VMA_WIPEONFORK, 0}},
        {MADV_KEEPONFORK, {MADV_KEEPONFORK, 0, VMA_WIPEONFORK}},
        {MADV_HUGEPAGE, {MADV_HUGEPAGE, VMA_HUGEPAGE, VMA_NOHUGEPAGE}},
        {MADV_NOHUGEPAGE, {MADV_NOHUGEPAGE, VMA_NOHUGEPAGE, VMA_HUGEPAGE}},
        {MADV_DONTDUMP, {MADV_DONTDUMP, VMA_DONTDUMP, 0}},
        {MADV_DODUMP, {MADV_DODUMP, 0, VMA_DONTDUMP}},
        {MADV_GUARD_INSTALL, {MADV_GUARD_INSTALL, 0, 0}},
        {MADV_GUARD_REMOVE, {MADV_GUARD_REMOVE, 0, 0}},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
        if (rules[i].advice == advice) {
            *out = rules[i].rule;
            return 0;
        }
    }
    return -EINVAL;
}

// Whether the advice is possible for v.
static int check_advice(const struct vma *v, int advice)
{
    switch (advice) {
    case MADV_DONTNEED:
        return v->flags & VMA_LOCKED ? -EINVAL : 0;
    case MADV_FREE:
        return v->file || (v->flags & (VMA_SHARED | VMA_LOCKED)) ? -EINVAL : 0;
    case MADV_COLD:
    case MADV_PAGEOUT:
        return v->flags & VMA_LOCKED ? -EINVAL : 0;
    case MADV_WIPEONFORK:
        return v->file || (v->flags & VMA_SHARED) ? -EINVAL : 0;
    case MADV_REMOVE:
        if (v->flags & VMA_LOCKED)
            return -EINVAL;
        if (!v->file || !(v->flags & VMA_SHARED))
            return -EINVAL;
        return v->max_prot & PROT_WRITE ? 0 : -EACCES;
    case MADV_GUARD_INSTALL:
        return v->flags & VMA_LOCKED || !(v->prot & PROT_WRITE) ? -EINVAL : 0;
    default:
        return 0;
    }
}

struct advice_plan {
    const struct mm_target *target;
    uint64_t addr, end; // as asked
    int advice;
    struct advice_rule rule;
    struct vma_stock stock;
    struct vma_graveyard dead;
};

// MADV_REMOVE: one area's piece at a time, with the lock dropped for the file.
static int remove_pages(struct advice_plan *p)
{
    struct mm *mm = p->target->mm;
    uint64_t at = p->addr;
    int ret = 0, hole = 0;

    while (at < p->end && ret == 0) {
        struct file *f = NULL;
        uint64_t offset = 0, size = 0;
        struct vma *v;

        lock_take(&mm->lock);
        v = vma_find(mm, at);
        if (!v || v->start >= p->end) {
            hole = -ENOMEM;
            at = p->end;
        } else {
            if (v->start > at)
                hole = -ENOMEM;
            at = MAX(at, v->start);
            ret = check_advice(v, p->advice);
            if (ret == 0) {
                f = file_ref(v->file);
                offset = v->offset + (at - v->start);
                size = MIN(v->end, p->end) - at;
                at += size;
            }
        }
        lock_release(&mm->lock);
        if (f) {
            ret = file_map_remove(f, offset, size);
            file_unref(f);
        }
    }
    return ret ? ret : hole;
}

#define TOUCH_BATCH 32 // pages

// Faults in the pages of [start, end) for writing. mm.lock held.
static int touch_pages(const struct mm_target *target, uint64_t start, uint64_t end)
{
    int ret = 0;

    for (uint64_t at = start; at < end && ret == 0; at += PAGE_SIZE)
        ret = platform_touch(target->pt, at);
    return ret == 0 ? platform_commit(target->pt) : ret;
}

// One step of MADV_POPULATE_*: the pages from at on, as far as a step goes. The next address, or an errno.
static int64_t populate_step(const struct mm_target *target, uint64_t at, uint64_t end, bool write)
{
    struct mm *mm = target->mm;
    struct vma *v;
    uint8_t block[64];
    int ret = 0;

    end = MIN(end, at + TOUCH_BATCH * PAGE_SIZE);
    lock_take(&mm->lock);
    v = vma_at(mm, at);
    if (!v)
        ret = -ENOMEM;
    else if (write ? !(v->prot & PROT_WRITE) : !v->prot)
        ret = -EINVAL;
    else if (at >= v->valid)
        ret = -EFAULT; // past the end of file
    else
        end = MIN(end, v->valid);
    if (ret == 0 && write)
        ret = touch_pages(target, at, end);
    lock_release(&mm->lock);
    for (uint64_t p = at; !write && p < end && ret == 0; p += PAGE_SIZE)
        if (platform_read(mm->pm, p, block, 1) != 1)
            ret = -EFAULT;
    return ret < 0 ? ret : (int64_t)end;
}

static int populate_pages(struct advice_plan *p)
{
    uint64_t at = p->addr;

    while (at < p->end) {
        int64_t next = populate_step(p->target, at, p->end, p->advice == MADV_POPULATE_WRITE);
        if (next < 0)
            return (int)next;
        if (__atomic_load_n((uint32_t *)&p->target->task->pending_work, __ATOMIC_RELAXED) & TASK_WORK_KILL)
            return -EINTR;
        at = (uint64_t)next;
    }
    return 0;
}

// Queues the advice for each mapped piece; *ret_end is where an area refused it, *ret_error what the call will return.
static int queue_advice(struct advice_plan *p, uint64_t *ret_end, int *ret_error, bool *ret_any)
{
    uint64_t at = p->addr;
    struct vma *v;
    int ret;

    *ret_end = p->end;
    *ret_error = 0;
    *ret_any = false;
    for (v = vma_find(p->target->mm, at); v && v->start < p->end; v = vma_next(v)) {
        uint64_t start = MAX(v->start, p->addr), stop = MIN(v->valid, p->end);
        int refused = check_advice(v, p->advice);
        if (v->start > at)
            *ret_error = -ENOMEM;
        if (refused) {
            *ret_end = start;
            *ret_error = refused;
            return 0;
        }
        if (p->rule.advice >= 0 && start < stop) {
            ret = platform_advise(p->target->pt, start, stop - start, p->rule.advice);
            if (ret < 0)
                return ret;
            *ret_any = true;
        }
        at = v->end;
    }
    if (at < p->end)
        *ret_error = -ENOMEM;
    return 0;
}

static int advise_locked(struct advice_plan *p)
{
    struct mm *mm = p->target->mm;
    struct mm_target plain = *p->target;
    uint64_t end;
    bool any, changes = p->rule.set | p->rule.clear;
    int error, ret;

    if (changes && (ret = vma_stock_fill(&p->stock, 2)) < 0)
        return ret;
    if (changes && mm->vma_count + 2 > MM_MAX_MAP_COUNT)
        return -ENOMEM;
    ret = queue_advice(p, &end, &error, &any);
    if (ret < 0)
        return ret;
    if (error)
        plain.resume = false;
    if (any && (ret = mm_commit(&plain, 0)) < 0)
        return ret;
    if (changes && end > p->addr) {
        vma_split(mm, p->addr, &p->stock);
        vma_split(mm, end, &p->stock);
        for (struct vma *v = vma_find(mm, p->addr); v && v->start < end; v = vma_next(v))
            v->flags = (v->flags & ~p->rule.clear) | p->rule.set;
        vma_merge_range(mm, p->addr, end, &p->dead);
    }
    return error;
}

int mm_advise(const struct mm_target *target, uint64_t addr, uint64_t size, int advice)
{
    struct advice_plan p = {.target = target, .addr = addr, .advice = advice};
    uint64_t bytes;
    int ret = find_rule(advice, &p.rule);

    if (ret < 0)
        return ret;
    if ((addr & (PAGE_SIZE - 1)) || !page_up_u64(size, &bytes) || !add_u64(addr, bytes, &p.end))
        return -EINVAL;
    if (bytes == 0)
        return 0;
    if (advice == MADV_REMOVE)
        return remove_pages(&p);
    if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
        return populate_pages(&p);
    lock_take(&target->mm->lock);
    ret = advise_locked(&p);
    lock_release(&target->mm->lock);
    vma_graveyard_done(&p.dead);
    vma_stock_done(&p.stock);
    return ret;
}

// ---- msync -----------------------------------------------------------------------------------------------------------

int mm_sync(const struct mm_target *target, uint64_t addr, uint64_t size, int flags)
{
    struct mm *mm = target->mm;
    uint64_t end;
    int ret = 0, hole = 0;

    if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (addr & (PAGE_SIZE - 1)) ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (!page_up_u64(size, &size) || !add_u64(addr, size, &end))
        return -ENOMEM;
    while (addr < end && ret == 0) {
        struct file *f = NULL;
        uint64_t offset = 0, bytes = 0;
        struct vma *v;

        lock_take(&mm->lock);
        v = vma_find(mm, addr);
        if (!v || v->start >= end) {
            hole = -ENOMEM;
            addr = end;
        } else {
            if (v->start > addr)
                hole = -ENOMEM;
            addr = MAX(addr, v->start);
            bytes = MIN(v->end, end) - addr;
            if ((flags & MS_INVALIDATE) && (v->flags & VMA_LOCKED))
                ret = -EBUSY;
            else if ((flags & MS_SYNC) && v->file && (v->flags & VMA_SHARED)) {
                f = file_ref(v->file);
                offset = v->offset + (addr - v->start);
            }
            addr += bytes;
        }
        lock_release(&mm->lock);
        if (f) {
            ret = file_map_sync(f, offset, bytes);
            file_unref(f);
        }
    }
    return ret ? ret : hole;
}

// ---- mincore ---------------------------------------------------------------------------------------------------------

int mm_mincore(const struct mm_target *target, uint64_t addr, uint64_t size, uint8_t *vec)
{
    struct mm *mm = target->mm;
    uint64_t at = addr, end = addr + size;
    int ret = 0;

    if (!mm_range_ok(addr, size))
        return -ENOMEM;
    lock_take(&mm->lock);
    for (struct vma *v = vma_find(mm, addr); at < end && ret == 0; v = vma_next(v)) {
        uint64_t stop, mapped;
        if (!v || v->start > at) {
            ret = -ENOMEM;
            break;
        }
        stop = MIN(v->end, end);
        mapped = MAX(MIN(v->valid, stop), at);
        memset(vec + ((at - addr) >> PAGE_SHIFT), 0, (stop - at) >> PAGE_SHIFT);
        if (mapped > at)
            ret = platform_mincore(target->pt, at, mapped - at, vec + ((at - addr) >> PAGE_SHIFT));
        at = stop;
    }
    lock_release(&mm->lock);
    return ret;
}

// ---- Names -----------------------------------------------------------------------------------------------------------

int mm_set_name(const struct mm_target *target, uint64_t addr, uint64_t size, const char *name)
{
    struct mm *mm = target->mm;
    struct vma_stock stock = {0};
    struct vma_graveyard g = {0};
    uint64_t end, at = addr;
    int ret, hole = 0;

    if ((addr & (PAGE_SIZE - 1)) || !page_up_u64(size, &size) || !add_u64(addr, size, &end))
        return -EINVAL;
    if (size == 0)
        return 0;
    ret = vma_stock_fill(&stock, 2);
    lock_take(&mm->lock);
    if (ret == 0 && mm->vma_count + 2 > MM_MAX_MAP_COUNT)
        ret = -ENOMEM;
    if (ret == 0) {
        vma_split(mm, addr, &stock);
        vma_split(mm, end, &stock);
    }
    for (struct vma *v = vma_find(mm, addr); ret == 0 && v && v->start < end; v = vma_next(v)) {
        char *copy = name ? kstrdup(name) : NULL;
        if (v->start > at)
            hole = -ENOMEM;
        at = v->end;
        if (v->file) {
            kfree(copy);
            ret = -EBADF;
        } else if (name && !copy) {
            ret = -ENOMEM;
        } else {
            kfree(v->name);
            v->name = copy;
        }
    }
    if (at < end)
        hole = -ENOMEM;
    vma_merge_range(mm, addr, end, &g);
    lock_release(&mm->lock);
    vma_graveyard_done(&g);
    vma_stock_done(&stock);
    return ret ? ret : hole;
}
