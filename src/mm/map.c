// mmap, munmap, mprotect and brk: Linux's rules on what may go where, and the commands that make it so.
//
// One piece of the guest's map is one piece in the stub, except for a file mapping that reaches past the end of the file:
// there only the part up to it is mapped, the rest is inaccessible memory that stands for SIGBUS (fault.c).
//
// Shared mappings are made with every right that mprotect may give them later in mind: the descriptor is the writable one
// only when the guest opened the file for writing, so that the host itself refuses anything more.
//
// Locking: mm.lock over decision, commands and tree. Sources of files are looked up before it is taken; a truncation that
// comes between the two leaves pages of the same file accessible past its end until the next one, which harms nobody.
//
// DEVIATION: MAP_POPULATE over a fixed place only reads the pages in: what another thread writes there meanwhile must stay.
// DEVIATION: MAP_HUGETLB and MAP_SYNC are answered as by a kernel without huge pages and without persistent memory.
#include "base/checked.h"
#include "base/log.h"
#include "base/slab.h"
#include "kernel/kernel.h"
#include "kernel/task.h"
#include "mm/backing.h"
#include "mm/mm-int.h"
#include "mm/text.h"
#include "platform/platform.h"

#include <linux/capability.h>
#include <sys/personality.h>
#include <sys/resource.h>

#define HUGE_ALIGN (2ull << 20)

// ---- Limits ----------------------------------------------------------------------------------------------------------

bool mm_range_ok(uint64_t addr, uint64_t size)
{
    return addr < GUEST_ADDR_MAX && size <= GUEST_ADDR_MAX - addr;
}

bool mm_may_expand(const struct mm_target *target, uint64_t pages, bool data)
{
    const struct mm *mm = target->mm;
    uint64_t limit = task_rlimit(target->task, RLIMIT_AS) >> PAGE_SHIFT;

    if (mm->total_pages + pages > limit)
        return false;
    if (!data)
        return true;
    limit = task_rlimit(target->task, RLIMIT_DATA) >> PAGE_SHIFT;
    return mm->data_pages + pages <= limit;
}

bool mm_enough_memory(uint64_t pages)
{
    uint64_t total = the_kernel()->memory_limit;
    return total == 0 || pages <= total >> PAGE_SHIFT;
}

int mm_lock_limit(const struct mm_target *target, uint64_t pages)
{
    uint64_t limit = task_rlimit(target->task, RLIMIT_MEMLOCK) >> PAGE_SHIFT;

    if (target->mm->locked_pages + pages > limit && !capable(target->task, CAP_IPC_LOCK))
        return -EAGAIN;
    return 0;
}

// ---- Commands --------------------------------------------------------------------------------------------------------

static int prot_to_platform(int prot)
{
    return (prot & PROT_READ ? PLATFORM_READ : 0) | (prot & PROT_WRITE ? PLATFORM_WRITE : 0) |
           (prot & PROT_EXEC ? PLATFORM_EXEC : 0);
}

int mm_queue_map(const struct mm_target *target, const struct vma *v, const struct map_source *source)
{
    int prot = prot_to_platform(v->prot), ret;

    if (!v->file || source->zero)
        return platform_map_anon(target->pt, v->start, v->end - v->start, prot, v->flags & VMA_NORESERVE);
    if (v->valid > v->start) {
        struct map_source s = *source;
        text_substitute(target, v, &s);
        ret = platform_map_file(target->pt, v->start, v->valid - v->start, prot, v->flags & VMA_SHARED, s.fd,
                                s.offset);
        if (ret < 0)
            return ret;
    }
    if (v->valid < v->end)
        return platform_map_anon(target->pt, v->valid, v->end - v->valid, 0, true);
    return 0;
}

// Errors are the stub's word: only what a call on the map can return reaches the guest.
static int sane_error(int ret)
{
    if (ret >= 0 || ret == -EACCES || ret == -EPERM || ret == -EAGAIN || ret == -EFAULT || ret == -EINVAL)
        return ret;
    return -ENOMEM;
}

int mm_commit(const struct mm_target *target, int64_t result)
{
    int ret;

    if (target->batch)
        return 0;
    if (target->resume && __atomic_load_n((uint32_t *)&target->task->pending_work, __ATOMIC_RELAXED) == 0)
        ret = platform_commit_and_resume(target->pt, result);
    else
        ret = platform_commit(target->pt);
    return sane_error(ret);
}

void mm_abandon_range(const struct mm_target *target, uint64_t start, uint64_t end, struct vma_stock *stock,
                      struct vma_graveyard *g)
{
    if (platform_unmap(target->pt, start, end - start) == 0)
        (void)platform_commit(target->pt);
    vma_remove_range(target->mm, start, end, stock, g);
}

// ---- mmap ------------------------------------------------------------------------------------------------------------

struct map_plan {
    const struct mm_target *target;
    const struct mmap_request *request;
    uint64_t addr, size;
    int prot, max_prot;
    uint32_t vma_flags;
    struct file *file; // borrowed
    uint64_t offset;
    struct map_source source;
};

static int check_mmap_flags(struct map_plan *p)
{
    int flags = p->request->flags, type = flags & MAP_TYPE;

    if (p->file) {
        const int known = MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |
                          MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |
                          MAP_HUGETLB | MAP_32BIT | MAP_ABOVE4G | MAP_FIXED_NOREPLACE |
                          (int)((unsigned)MAP_HUGE_MASK << MAP_HUGE_SHIFT);
        if (type == MAP_SHARED_VALIDATE && (flags & ~known))
            return -EOPNOTSUPP;
        if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
            return -EINVAL;
    } else if (type != MAP_SHARED && type != MAP_PRIVATE) {
        return -EINVAL;
    }
    if ((flags & MAP_GROWSDOWN) && (p->file || type != MAP_PRIVATE))
        return -EINVAL;
    if (flags & MAP_HUGETLB)
        return p->file ? -EINVAL : -ENOMEM;
    return 0;
}

static int plan_flags(struct map_plan *p)
{
    int flags = p->request->flags;

    p->vma_flags = p->request->vma_flags;
    if ((flags & MAP_TYPE) != MAP_PRIVATE)
        p->vma_flags |= VMA_SHARED;
    if (flags & MAP_GROWSDOWN)
        p->vma_flags |= VMA_GROWSDOWN;
    if (flags & MAP_NORESERVE)
        p->vma_flags |= VMA_NORESERVE;
    if ((flags & MAP_LOCKED) || (p->target->mm->lock_future && !(p->vma_flags & VMA_STACK)))
        p->vma_flags |= VMA_LOCKED | (p->target->mm->lock_on_fault ? VMA_LOCKONFAULT : 0);
    if ((flags & MAP_LOCKED) && task_rlimit(p->target->task, RLIMIT_MEMLOCK) == 0 &&
        !capable(p->target->task, CAP_IPC_LOCK))
        return -EPERM;
    return 0;
}

// Where the mapping goes. mm.lock held.
static int plan_address(struct map_plan *p)
{
    struct mm *mm = p->target->mm;
    int flags = p->request->flags;
    uint64_t align = PAGE_SIZE;

    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (p->addr & (PAGE_SIZE - 1))
            return -EINVAL;
        if (!mm_range_ok(p->addr, p->size))
            return -ENOMEM;
        if (p->addr < GUEST_ADDR_MIN)
            return -EPERM;
        if ((flags & MAP_FIXED_NOREPLACE) && vma_count_overlap(mm, p->addr, p->addr + p->size))
            return -EEXIST;
        return 0;
    }
    p->addr = PAGE_DOWN(MIN(p->addr, GUEST_ADDR_MAX));
    if (p->addr && p->addr < GUEST_ADDR_MIN)
        p->addr = GUEST_ADDR_MIN;
    if (flags & MAP_32BIT) {
        if (!p->addr || p->addr + p->size > 0x80000000ull || !vma_gap_is_free(mm, p->addr, p->size))
            p->addr = vma_find_gap_in(mm, p->size, 0x40000000ull, 0x80000000ull, PAGE_SIZE, true);
        return p->addr ? 0 : -ENOMEM;
    }
    if (p->addr && mm_range_ok(p->addr, p->size) && vma_gap_is_free(mm, p->addr, p->size))
        return 0;
    // Huge pages need aligned areas; Linux gives them to private memory of whole huge pages since 6.7.
    if (!p->file && !(p->size & (HUGE_ALIGN - 1)))
        align = HUGE_ALIGN;
    p->addr = vma_find_gap(mm, p->size, align);
    if (!p->addr && align > PAGE_SIZE)
        p->addr = vma_find_gap(mm, p->size, PAGE_SIZE);
    return p->addr ? 0 : -ENOMEM;
}

// mm.lock held, the address known.
static int check_limits(struct map_plan *p)
{
    struct mm *mm = p->target->mm;
    uint64_t pages = p->size >> PAGE_SHIFT;
    uint64_t shown = p->vma_flags & VMA_STACK ? MIN(pages, MM_STACK_SHOWN >> PAGE_SHIFT) : pages;
    uint64_t replaced = vma_count_overlap(mm, p->addr, p->addr + p->size);
    int ret;

    if (mm->vma_count >= MM_MAX_MAP_COUNT)
        return -ENOMEM;
    if (!mm_may_expand(p->target, shown - MIN(shown, replaced), vma_is_data(p->vma_flags, p->prot)))
        return -ENOMEM;
    if ((p->vma_flags & VMA_LOCKED) && (ret = mm_lock_limit(p->target, shown)) < 0)
        return ret;
    if (!(p->vma_flags & (VMA_SHARED | VMA_NORESERVE)) && (p->prot & PROT_WRITE) && !mm_enough_memory(pages))
        return -ENOMEM;
    return 0;
}

static void fill_vma(struct vma *v, const struct map_plan *p)
{
    v->start = p->addr;
    v->end = p->addr + p->size;
    v->valid = v->end;
    v->prot = p->prot;
    v->max_prot = p->max_prot;
    v->flags = p->vma_flags;
    if ((p->prot & PROT_WRITE) && !(p->vma_flags & (VMA_SHARED | VMA_NORESERVE)))
        v->flags |= VMA_ACCOUNT;
    if (p->file && !p->source.zero) {
        v->file = file_ref(p->file);
        v->offset = p->offset;
        v->valid = v->start + MIN(PAGE_UP(MIN(p->source.valid, p->size)), p->size);
    }
}

// Whether the stub shows exactly these pages of this file there already, all of them and none of them ever written to: then
// only the rights change, which needs no countersignature. It is what a dynamic loader does for most parts of a library,
// after having mapped the whole.
static bool is_mapped_already(const struct map_plan *p)
{
    const struct vma *v = p->file && !p->source.zero && p->vma_flags == 0 ? vma_at(p->target->mm, p->addr) : NULL;

    return v && v->file == p->file && v->flags == 0 && v->valid >= p->addr + p->size && p->source.valid >= p->size &&
           v->offset + (p->addr - v->start) == p->offset;
}

static int queue_plan(const struct map_plan *p, const struct vma *v)
{
    int ret;

    if (is_mapped_already(p) && !text_has_copy(v))
        return platform_protect(p->target->pt, p->addr, p->size, prot_to_platform(p->prot));
    ret = mm_queue_map(p->target, v, &p->source);
    // As Linux does since 6.7: a huge page at the top of each thread's stack would be wasted.
    if (ret == 0 && (p->request->flags & MAP_STACK) && !p->file && p->size >= HUGE_ALIGN)
        ret = platform_advise(p->target->pt, v->start, p->size, MADV_NOHUGEPAGE);
    return ret;
}

static int64_t map_locked(struct map_plan *p, struct vma_stock *stock, struct vma_graveyard *g)
{
    struct mm *mm = p->target->mm;
    struct vma *v;
    bool replaces;
    int ret = plan_address(p);

    if (ret == 0)
        ret = check_limits(p);
    if (ret < 0)
        return ret;
    // Cutting a hole into one area makes two of it.
    replaces = vma_count_overlap(mm, p->addr, p->addr + p->size) != 0;
    if (replaces && (ret = vma_stock_fill(stock, 2)) < 0)
        return ret;
    v = vma_stock_take(stock);
    fill_vma(v, p);
    ret = queue_plan(p, v);
    if (ret == 0)
        ret = mm_commit(p->target, (int64_t)p->addr);
    if (ret < 0) {
        // With one command nothing has happened; with two the range may be half made.
        if (v->valid > v->start && v->valid < v->end)
            mm_abandon_range(p->target, v->start, v->end, stock, g);
        vma_bury(g, v);
        return ret;
    }
    if (replaces)
        vma_remove_range(mm, v->start, v->end, stock, g);
    if (p->vma_flags & VMA_STACK)
        mm->stack_shown = v->end - MIN(p->size, MM_STACK_SHOWN);
    vma_insert(mm, v, g);
    return (int64_t)p->addr;
}

// What the file allows, and where its pages are. No lock held.
static int plan_file(struct map_plan *p)
{
    bool shared = p->vma_flags & VMA_SHARED;
    int ret;

    if (!p->file)
        return 0;
    ret = file_map_check(p->file, p->prot, shared);
    if (ret < 0)
        return ret;
    p->max_prot = file_map_max_prot(p->file, shared);
    return file_map_source(p->file, p->offset, p->size, shared ? p->prot | (p->max_prot & PROT_WRITE) : p->prot, shared,
                           &p->source);
}

#define POPULATE_CHUNK (64ull << 10)

// MAP_POPULATE: faults pages in through the stub's memory. What fails is left to be faulted in later, as on Linux.
static void populate(const struct map_plan *p)
{
    const struct mm_target *target = p->target;
    bool write = (p->prot & PROT_WRITE) && !p->file && !(p->request->flags & MAP_FIXED);
    void *block;

    if (!p->prot || !(block = kmalloc(POPULATE_CHUNK)))
        return;
    for (uint64_t at = 0; at < p->size; at += POPULATE_CHUNK) {
        uint64_t n = MIN(p->size - at, POPULATE_CHUNK), done;
        if (__atomic_load_n((uint32_t *)&target->task->pending_work, __ATOMIC_RELAXED) & TASK_WORK_KILL)
            break;
        done = write ? platform_write(target->mm->pm, p->addr + at, block, n)
                     : platform_read(target->mm->pm, p->addr + at, block, n);
        if (done < n)
            break;
    }
    kfree(block);
}

// Shared memory without a file of the guest's: what it shows is a file of its own, nameless.
static int use_anon_shared(struct map_plan *p, struct file **ret)
{
    *ret = file_create_anon_shared(p->size);
    if (!*ret)
        return -ENOMEM;
    p->file = *ret;
    p->offset = 0;
    return 0;
}

int64_t mm_map(const struct mm_target *target, const struct mmap_request *request)
{
    const bool populates = ((request->flags & (MAP_POPULATE | MAP_LOCKED)) || target->mm->lock_future) &&
                           !(request->flags & MAP_NONBLOCK);
    struct mm_target plain = *target;
    struct map_plan p = {
        .target = target,
        .request = request,
        .addr = request->addr,
        .prot = request->prot & (PROT_READ | PROT_WRITE | PROT_EXEC),
        .max_prot = PROT_READ | PROT_WRITE | PROT_EXEC,
        .file = request->file,
        .offset = request->file ? request->offset : 0,
    };
    struct vma_stock stock = {0};
    struct vma_graveyard g = {0};
    struct file *shared_anon = NULL;
    uint64_t end;
    int64_t ret;

    if (request->size == 0)
        return -EINVAL;
    if (!page_up_u64(request->size, &p.size) || p.size > GUEST_ADDR_MAX)
        return -ENOMEM;
    if (p.file && (!add_u64(p.offset, p.size, &end) || end > INT64_MAX))
        return -EOVERFLOW;
    if (target->task->personality & READ_IMPLIES_EXEC && (p.prot & PROT_READ))
        p.prot |= PROT_EXEC;
    ret = check_mmap_flags(&p);
    if (ret == 0)
        ret = plan_flags(&p);
    if (ret < 0)
        return ret;
    if (populates) { // something is left to do after the change
        plain.resume = false;
        p.target = &plain;
    }
    if (!p.file && (p.vma_flags & VMA_SHARED))
        ret = use_anon_shared(&p, &shared_anon);
    if (ret == 0)
        ret = plan_file(&p);
    if (ret == 0 && p.source.zero && (p.vma_flags & VMA_SHARED)) { // /dev/zero
        ret = use_anon_shared(&p, &shared_anon);
        if (ret == 0)
            ret = plan_file(&p);
    }
    if (ret == 0)
        ret = vma_stock_fill(&stock, 1);
    if (ret == 0) {
        lock_take(&target->mm->lock);
        ret = map_locked(&p, &stock, &g);
        lock_release(&target->mm->lock);
    }
    vma_graveyard_done(&g);
    vma_stock_done(&stock);
    if (ret >= 0 && populates && !target->batch)
        populate(&p);
    if (shared_anon)
        file_unref(shared_anon);
    return ret;
}

// ---- munmap ----------------------------------------------------------------------------------------------------------

int mm_unmap_locked(const struct mm_target *target, uint64_t addr, uint64_t size, struct vma_graveyard *g)
{
    struct mm *mm = target->mm;
    struct vma_stock stock = {0};
    struct vma *v = vma_find(mm, addr);
    uint64_t end = addr + size;
    int ret;

    if (!v || v->start >= end)
        return 0;
    if (v->start < addr && v->end > end) {
        if (mm->vma_count >= MM_MAX_MAP_COUNT)
            return -ENOMEM;
        ret = vma_stock_fill(&stock, 1);
        if (ret < 0)
            return ret;
    }
    ret = platform_unmap(target->pt, addr, size);
    if (ret == 0)
        ret = mm_commit(target, 0);
    if (ret == 0)
        vma_remove_range(mm, addr, end, &stock, g);
    vma_stock_done(&stock);
    return ret;
}

int mm_unmap(const struct mm_target *target, uint64_t addr, uint64_t size)
{
    struct vma_graveyard g = {0};
    int ret;

    if ((addr & (PAGE_SIZE - 1)) || !page_up_u64(size, &size) || size == 0 || !mm_range_ok(addr, size))
        return -EINVAL;
    lock_take(&target->mm->lock);
    ret = mm_unmap_locked(target, addr, size, &g);
    lock_release(&target->mm->lock);
    vma_graveyard_done(&g);
    return ret;
}

// ---- mprotect --------------------------------------------------------------------------------------------------------

// How far from addr on the change is allowed, and why no farther. *ret_error: what the call returns in the end.
static uint64_t protect_extent(const struct mm_target *target, uint64_t addr, uint64_t end, int prot, int *ret_error)
{
    uint64_t at = addr, more_data = 0;

    *ret_error = 0;
    for (struct vma *v = vma_find(target->mm, addr); at < end; v = vma_next(v)) {
        uint64_t upto;
        if (!v || v->start > at) {
            *ret_error = -ENOMEM;
            break;
        }
        if (prot & ~v->max_prot) {
            *ret_error = -EACCES;
            break;
        }
        upto = MIN(v->end, end);
        if (vma_is_data(v->flags, prot) && !vma_is_data(v->flags, v->prot)) {
            more_data += (upto - at) >> PAGE_SHIFT;
            if (!mm_may_expand(target, 0, false) ||
                target->mm->data_pages + more_data > task_rlimit(target->task, RLIMIT_DATA) >> PAGE_SHIFT ||
                (!(v->flags & VMA_NORESERVE) && !mm_enough_memory((upto - at) >> PAGE_SHIFT))) {
                *ret_error = -ENOMEM;
                break;
            }
        }
        at = upto;
    }
    return at;
}

// Queues the change for what is mapped in the stub, in as few pieces as possible.
static int queue_protect(const struct mm_target *target, uint64_t addr, uint64_t end, int prot, bool *ret_any)
{
    uint64_t from = addr;
    int ret = 0;

    *ret_any = false;
    for (struct vma *v = vma_at(target->mm, addr); v && v->start < end && ret == 0; v = vma_next(v)) {
        uint64_t upto = MIN(v->valid, end);
        if (v->valid >= v->end && v->end < end)
            continue; // goes on without a break
        if (upto > from) {
            ret = platform_protect(target->pt, from, upto - from, prot_to_platform(prot));
            *ret_any = true;
        }
        from = v->end;
    }
    return ret;
}

static int protect_locked(const struct mm_target *target, uint64_t addr, uint64_t end, int prot,
                          struct vma_stock *stock, struct vma_graveyard *g)
{
    struct mm *mm = target->mm;
    struct mm_target plain = *target;
    unsigned cuts;
    bool any;
    int error, ret;

    end = protect_extent(target, addr, end, prot, &error);
    if (end == addr)
        return error;
    cuts = (unsigned)vma_straddles(mm, addr) + (unsigned)vma_straddles(mm, end);
    if (mm->vma_count + cuts > MM_MAX_MAP_COUNT)
        return -ENOMEM;
    ret = vma_stock_fill(stock, cuts);
    if (ret == 0)
        ret = queue_protect(target, addr, end, prot, &any);
    if (ret < 0)
        return ret;
    if (error)
        plain.resume = false;
    if (any && (ret = mm_commit(&plain, 0)) < 0)
        return ret;
    vma_split(mm, addr, stock);
    vma_split(mm, end, stock);
    for (struct vma *v = vma_at(mm, addr); v && v->start < end; v = vma_next(v)) {
        vma_account(mm, v, false);
        v->prot = prot;
        if ((prot & PROT_WRITE) && !(v->flags & (VMA_SHARED | VMA_NORESERVE)))
            v->flags |= VMA_ACCOUNT;
        else if (!v->file)
            v->flags &= ~(uint32_t)VMA_ACCOUNT;
        vma_account(mm, v, true);
    }
    vma_merge_range(mm, addr, end, g);
    return error;
}

int mm_protect(const struct mm_target *target, uint64_t addr, uint64_t size, int prot)
{
    struct vma_stock stock = {0};
    struct vma_graveyard g = {0};
    int grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP), ret = 0;
    uint64_t end;

    prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
    if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || (addr & (PAGE_SIZE - 1)))
        return -EINVAL;
    if (size == 0)
        return 0;
    if (!page_up_u64(size, &size) || !add_u64(addr, size, &end))
        return -ENOMEM;
    if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
        return -EINVAL;
    prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
    if ((target->task->personality & READ_IMPLIES_EXEC) && (prot & PROT_READ))
        prot |= PROT_EXEC;
    lock_take(&target->mm->lock);
    if (grows) {
        struct vma *v = vma_find(target->mm, addr);
        if (!v || v->start >= end)
            ret = -ENOMEM;
        else if (grows == PROT_GROWSUP || !(v->flags & VMA_GROWSDOWN))
            ret = -EINVAL;
        else
            addr = v->start;
    }
    if (ret == 0)
        ret = protect_locked(target, addr, end, prot, &stock, &g);
    lock_release(&target->mm->lock);
    vma_graveyard_done(&g);
    vma_stock_done(&stock);
    return ret;
}

// ---- brk -------------------------------------------------------------------------------------------------------------

// Grows the heap from old to new (whole pages). 0 or an errno.
static int grow_heap(const struct mm_target *target, uint64_t old, uint64_t new, int64_t result, struct vma_stock *stock,
                     struct vma_graveyard *g)
{
    struct mm *mm = target->mm;
    uint64_t pages = (new - old) >> PAGE_SHIFT;
    struct vma *v;
    int ret;

    if (!mm_range_ok(old, new - old) || !vma_gap_is_free(mm, old, new - old) || !mm_may_expand(target, pages, true) ||
        mm->vma_count >= MM_MAX_MAP_COUNT || !mm_enough_memory(pages))
        return -ENOMEM;
    if (mm->lock_future && (ret = mm_lock_limit(target, pages)) < 0)
        return ret;
    v = vma_stock_take(stock);
    v->start = old;
    v->end = v->valid = new;
    v->prot = PROT_READ | PROT_WRITE;
    v->max_prot = PROT_READ | PROT_WRITE | PROT_EXEC;
    v->flags = VMA_HEAP | VMA_ACCOUNT | (mm->lock_future ? VMA_LOCKED : 0);
    ret = mm_queue_map(target, v, NULL);
    if (ret == 0)
        ret = mm_commit(target, result);
    if (ret < 0) {
        vma_bury(g, v);
        return ret;
    }
    vma_insert(mm, v, g);
    return 0;
}

int64_t mm_brk(const struct mm_target *target, uint64_t brk)
{
    struct mm *mm = target->mm;
    struct vma_stock stock = {0};
    struct vma_graveyard g = {0};
    uint64_t old, new, limit = task_rlimit(target->task, RLIMIT_DATA);
    struct mm_target with_result = *target;
    int64_t ret;

    (void)vma_stock_fill(&stock, 1);
    lock_take(&mm->lock);
    ret = (int64_t)mm->brk;
    old = PAGE_UP(mm->brk);
    if (brk < mm->brk_start || brk >= GUEST_ADDR_MAX)
        goto out;
    if (limit != RLIM_INFINITY && brk - mm->brk_start + (mm->end_data - mm->start_data) > limit)
        goto out;
    new = PAGE_UP(brk);
    if (new > old) {
        if (stock.count == 0 || grow_heap(target, old, new, (int64_t)brk, &stock, &g) < 0)
            goto out;
    } else if (new < old) {
        with_result.resume = false; // munmap's result is another
        if (mm_unmap_locked(&with_result, new, old - new, &g) < 0)
            goto out;
    }
    mm->brk = brk;
    ret = (int64_t)brk;
out:
    lock_release(&mm->lock);
    vma_graveyard_done(&g);
    vma_stock_done(&stock);
    return ret;
}
