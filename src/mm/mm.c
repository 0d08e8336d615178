// Address spaces: making, sharing, forking and ending them, and the questions that other parts of the kernel ask of a map.
//
// A map changes in this order: take mm.lock; decide, and set aside the memory that the change needs; let the guest's own
// thread make the change (platform commit); enter it in the tree; release the lock; let go of files. A change that the stub
// reports as failed is not entered. What a stub reports is a claim, but the map describes nobody's memory but its own.
//
// Every address space is on kernel.mms, so that truncation finds those that map a file. The list's lock is held only to step
// from one to the next; a reference keeps the place.
//
// Locking: mm.lock; kernel.mms_lock for the list. Files are let go with neither held.
#include "mm/mm.h"

#include "base/log.h"
#include "base/slab.h"
#include "kernel/kernel.h"
#include "kernel/task.h"
#include "mm/backing.h"
#include "mm/mm-int.h"
#include "platform/platform.h"

SLAB_TYPE(mm_slab, SLAB_MM, struct mm);

void mm_init(struct kernel *k)
{
    lock_init(&k->mms_lock, LOCK_RANK_OBJECT);
    list_init(&k->mms);
}

static struct mm *mm_alloc(void)
{
    struct mm *mm = slab_alloc(&mm_slab);

    if (!mm)
        return NULL;
    refcount_init(&mm->users, 1);
    lock_init(&mm->lock, LOCK_RANK_MM);
    list_init(&mm->node);
    mm->dumpable = 1;
    return mm;
}

static void mm_publish(struct mm *mm)
{
    struct kernel *k = the_kernel();

    lock_take(&k->mms_lock);
    list_push_back(&k->mms, &mm->node);
    lock_release(&k->mms_lock);
}

// Frees a map that nobody else sees any more.
static void mm_free(struct mm *mm)
{
    struct vma_graveyard g = {0};
    struct rb_node *n;

    while ((n = mm->vmas.root)) {
        struct vma *v = container_of(n, struct vma, node);
        rb_remove(&mm->vmas, n);
        if (v->file)
            file_map_removed(v->file, vma_may_write(v));
        vma_bury(&g, v);
    }
    vma_graveyard_done(&g);
    if (mm->exe) {
        file_allow_write(mm->exe);
        file_unref(mm->exe);
    }
    slab_free(&mm_slab, mm);
}

struct mm *mm_get(struct mm *mm)
{
    refcount_get(&mm->users);
    return mm;
}

void mm_put(struct mm *mm)
{
    struct kernel *k;

    if (!mm || !refcount_put(&mm->users))
        return;
    k = the_kernel();
    lock_take(&k->mms_lock);
    list_remove(&mm->node);
    lock_release(&k->mms_lock);
    platform_mm_destroy(mm->pm);
    mm_free(mm);
}

int mm_create(struct platform *p, struct mm **ret, struct platform_thread **ret_thread)
{
    struct mm *mm = mm_alloc();
    int err;

    if (!mm)
        return -ENOMEM;
    err = platform_mm_create(p, &mm->pm, ret_thread);
    if (err < 0) {
        mm_free(mm);
        return err;
    }
    mm_publish(mm);
    *ret = mm;
    return 0;
}

struct mm_target mm_target_of(struct task *t)
{
    return (struct mm_target){.task = t, .mm = t->mm, .pt = t->pt};
}

// ---- fork ------------------------------------------------------------------------------------------------------------

static int copy_vma(struct mm *child, const struct vma *v, struct vma_graveyard *g)
{
    struct vma *c = vma_alloc();

    if (!c)
        return -ENOMEM;
    c->start = v->start;
    c->end = v->end;
    c->valid = v->valid;
    c->prot = v->prot;
    c->max_prot = v->max_prot;
    c->flags = v->flags & ~(uint32_t)(VMA_LOCKED | VMA_LOCKONFAULT); // locks aren't inherited
    c->offset = v->offset;
    c->file = v->file ? file_ref(v->file) : NULL;
    c->name = v->name ? kstrdup(v->name) : NULL;
    vma_insert(child, c, g);
    return 0;
}

static void copy_layout(struct mm *child, const struct mm *mm)
{
    child->brk_start = mm->brk_start;
    child->brk = mm->brk;
    child->start_code = mm->start_code;
    child->end_code = mm->end_code;
    child->start_data = mm->start_data;
    child->end_data = mm->end_data;
    child->start_stack = mm->start_stack;
    child->arg_start = mm->arg_start;
    child->arg_end = mm->arg_end;
    child->env_start = mm->env_start;
    child->env_end = mm->env_end;
    child->stack_limit = mm->stack_limit;
    child->stack_shown = mm->stack_shown;
    child->mmap_base = mm->mmap_base;
    child->free_from = mm->free_from;
    child->free_hole = mm->free_hole;
    memcpy(child->auxv, mm->auxv, sizeof(child->auxv));
    child->auxv_count = mm->auxv_count;
    child->dumpable = mm->dumpable;
    // The parent's own denial makes sure that this one succeeds.
    if (mm->exe && file_deny_write(mm->exe) == 0)
        child->exe = file_ref(mm->exe);
}

static int copy_map_locked(struct mm *child, struct mm *mm, struct vma_graveyard *g)
{
    copy_layout(child, mm);
    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        int ret;
        // The stub was advised likewise; what isn't inherited leaves a gap.
        if (v->flags & VMA_DONTFORK) {
            child->free_from = child->mmap_base;
            continue;
        }
        ret = copy_vma(child, v, g);
        if (ret < 0)
            return ret;
    }
    child->hiwater_pages = child->total_pages;
    memcpy(child->patched, mm->patched, sizeof(child->patched));
    return 0;
}

int mm_fork(struct task *t, struct mm **ret, struct platform_thread **ret_thread)
{
    struct mm *mm = t->mm, *child;
    struct vma_graveyard g = {0};
    int err;

    mm_run_deferred(t);
    child = mm_alloc();
    if (!child)
        return -ENOMEM;
    lock_take(&mm->lock);
    err = copy_map_locked(child, mm, &g);
    if (err == 0)
        err = platform_fork(t->pt, &child->pm, ret_thread);
    if (err == 0) {
        // Before the lock is free: a truncation that comes from here on has to find the child.
        child->stale = mm->stale;
        mm_publish(child);
    }
    lock_release(&mm->lock);
    vma_graveyard_done(&g);
    if (err < 0) {
        mm_free(child);
        return err;
    }
    *ret = child;
    return 0;
}

// ---- Questions -------------------------------------------------------------------------------------------------------

static bool access_ok_locked(struct mm *mm, uint64_t addr, uint64_t size, bool write, bool mapped)
{
    uint64_t end = addr + size;
    int need = write ? PROT_WRITE : PROT_READ | PROT_EXEC | PROT_WRITE; // on x86 each of them lets reads through

    for (struct vma *v = vma_find(mm, addr); v; v = vma_next(v)) {
        if (v->start > addr || !(v->prot & need))
            return false;
        // Shared file pages may vanish at any time, with the end of their file.
        if (mapped && v->valid < v->end && v->valid < end)
            return false;
        if (v->end >= end)
            return true;
        addr = v->end;
    }
    return false;
}

bool mm_access_ok(struct mm *mm, uint64_t addr, uint64_t size, bool write)
{
    uint64_t end;
    bool ok;

    if (__builtin_add_overflow(addr, size, &end) || end > GUEST_ADDR_MAX)
        return false;
    if (size == 0)
        return true;
    lock_take(&mm->lock);
    ok = access_ok_locked(mm, addr, size, write, false);
    lock_release(&mm->lock);
    return ok;
}

bool mm_is_mapped(struct mm *mm, uint64_t addr, uint64_t size)
{
    bool mapped;

    if (!mm_range_ok(addr, size))
        return false;
    size = PAGE_UP(addr + size) - PAGE_DOWN(addr);
    addr = PAGE_DOWN(addr);
    lock_take(&mm->lock);
    mapped = vma_count_overlap(mm, addr, addr + size) == size >> PAGE_SHIFT;
    lock_release(&mm->lock);
    return mapped;
}

bool mm_access_hint(struct mm *mm, uint64_t addr, uint64_t size, bool write)
{
    bool ok;

    // A result must not wait for another thread's mmap: a host call is quicker.
    if (size == 0 || !lock_try(&mm->lock))
        return false;
    ok = access_ok_locked(mm, addr, size, write, true);
    if (ok && addr < mm->stack_shown && addr >= mm->stack_limit)
        mm_grow_shown_stack(mm, addr);
    lock_release(&mm->lock);
    return ok;
}

void mm_grow_shown_stack(struct mm *mm, uint64_t addr)
{
    struct vma *v = vma_at(mm, addr);

    if (!v || !(v->flags & VMA_STACK) || addr >= mm->stack_shown)
        return;
    vma_account(mm, v, false);
    mm->stack_shown = MAX(PAGE_DOWN(addr), mm->stack_limit);
    vma_account(mm, v, true);
}

void mm_get_sizes(struct mm *mm, struct mm_sizes *out)
{
    lock_take(&mm->lock);
    *out = (struct mm_sizes){
        .total = mm->total_pages,
        .peak = MAX(mm->hiwater_pages, mm->total_pages),
        .resident = mm->resident_pages,
        .shared = MIN(mm->shared_pages, mm->resident_pages),
        .text = (PAGE_UP(mm->end_code) - PAGE_DOWN(mm->start_code)) >> PAGE_SHIFT,
        .data = mm->data_pages,
        .stack = mm->stack_pages,
        .locked = mm->locked_pages,
    };
    lock_release(&mm->lock);
}

// ---- Truncation ------------------------------------------------------------------------------------------------------

// Marks the areas of mm that show the file past its new end. True when some thread of mm has work to do.
static bool mark_stale_locked(struct mm *mm, const void *identity, uint64_t offset, uint64_t end)
{
    bool any = false;

    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        uint64_t valid;
        if (!v->file || file_map_identity(v->file) != identity)
            continue;
        if (v->offset >= end || v->offset + (v->valid - v->start) <= offset)
            continue;
        valid = offset > v->offset ? v->start + (offset - v->offset) : v->start;
        if (valid >= v->valid)
            continue;
        v->valid = valid;
        v->flags |= VMA_STALE;
        mm->stale = any = true;
    }
    return any;
}

// Has one thread of mm (any will do) come in and run mm_run_deferred().
static void summon(struct mm *mm)
{
    struct kernel *k = the_kernel();
    struct task *t;

    lock_take(&k->tasks_lock);
    list_for_each (t, &k->tasks, all_node) {
        bool found;
        lock_take(&t->lock);
        found = t->mm == mm && t->pt;
        if (found) {
            __atomic_fetch_or((uint32_t *)&t->pending_work, TASK_WORK_MM, __ATOMIC_SEQ_CST);
            platform_interrupt(t->pt);
        }
        lock_release(&t->lock);
        // All of them: one that sleeps in a call does not come in before it is done.
        if (found)
            task_wake(t);
    }
    lock_release(&k->tasks_lock);
}

// The next address space after prev (NULL: the first), with a reference; drops prev's.
static struct mm *next_mm(struct kernel *k, struct mm *prev)
{
    struct mm *found = NULL;

    lock_take(&k->mms_lock);
    for (struct list *l = prev ? prev->node.next : k->mms.next; l != &k->mms; l = l->next) {
        struct mm *mm = container_of(l, struct mm, node);
        if (refcount_get_unless_zero(&mm->users)) {
            found = mm;
            break;
        }
    }
    lock_release(&k->mms_lock);
    mm_put(prev);
    return found;
}

void mm_unmap_file_range(struct file *f, uint64_t offset, uint64_t size)
{
    struct kernel *k = the_kernel();
    const void *identity = file_map_identity(f);
    uint64_t end;

    if (__builtin_add_overflow(offset, size, &end))
        end = UINT64_MAX;
    offset = offset > UINT64_MAX - PAGE_SIZE ? offset : PAGE_UP(offset);
    for (struct mm *mm = next_mm(k, NULL); mm; mm = next_mm(k, mm)) {
        bool any;
        lock_take(&mm->lock);
        any = mark_stale_locked(mm, identity, offset, end);
        lock_release(&mm->lock);
        if (any)
            summon(mm);
    }
}

// Host ranges are made inaccessible by mapping nothing over them.
void mm_run_deferred(struct task *t)
{
    struct mm *mm = t->mm;
    int ret = 0;

    // A guest that runs already comes back for the interrupt.
    if (t->pt && platform_resumed(t->pt))
        return;
    __atomic_fetch_and((uint32_t *)&t->pending_work, ~(uint32_t)TASK_WORK_MM, __ATOMIC_ACQ_REL);
    if (!mm || !__atomic_load_n(&mm->stale, __ATOMIC_ACQUIRE))
        return;
    lock_take(&mm->lock);
    if (mm->stale) {
        for (struct vma *v = vma_first(mm); v && ret == 0; v = vma_next(v)) {
            if (v->flags & VMA_STALE)
                ret = platform_map_anon(t->pt, v->valid, v->end - v->valid, 0, true);
        }
        if (ret == 0)
            ret = platform_commit(t->pt);
        if (ret == 0) {
            for (struct vma *v = vma_first(mm); v; v = vma_next(v))
                v->flags &= ~(uint32_t)VMA_STALE;
            mm->stale = false;
        }
    }
    lock_release(&mm->lock);
}
