// mremap(2). The stub can only move pages (a growing mremap on the host could stretch over a neighbour that came later), so
// growth is a fresh mapping beside the old one, at its place or at the place it was moved to.
//
// DEVIATION: MREMAP_DONTUNMAP is a move and a fresh mapping at the old place: between the two another thread's access there
// faults and is tried again.
// DEVIATION: a piece whose pages the host keeps in several areas (made by separate mmaps and written to before they became
// neighbours) can't be moved as one: EFAULT, as on Linux before 6.17.
#include "base/checked.h"
#include "base/slab.h"
#include "kernel/task.h"
#include "mm/backing.h"
#include "mm/mm-int.h"
#include "platform/platform.h"

#include <sys/resource.h>

struct remap_plan {
    const struct mm_target *target;
    uint64_t old, old_size, new_size, new;
    int flags;
    struct vma_stock stock;
    struct vma_graveyard dead;
};

// A description of the pages that v would have in [start, start+size) if it began at old and were that long.
static void describe(struct vma *out, const struct vma *v, uint64_t old, uint64_t start, uint64_t size)
{
    out->start = start;
    out->end = out->valid = start + size;
    out->prot = v->prot;
    out->max_prot = v->max_prot;
    out->flags = v->flags & ~(uint32_t)(VMA_STALE | VMA_STACK);
    out->file = v->file;
    out->offset = v->file ? v->offset + (old - v->start) : 0;
}

// Where the pages of a file range are; nothing for anonymous memory. The file is asked under mm.lock only for what the plan
// fetched before: see prefetch().
struct remap_source {
    struct file *file; // reference, or NULL
    uint64_t offset, size;
    struct map_source source;
};

// The area as it is before the lock is taken for good: a file has to be asked about the new size without it.
static int prefetch(const struct remap_plan *p, struct remap_source *s)
{
    struct vma *v;
    int prot = 0, max_prot = 0, ret = 0;
    bool shared = false;

    lock_take(&p->target->mm->lock);
    v = vma_at(p->target->mm, p->old);
    if (!v) {
        ret = -EFAULT;
    } else if (v->file) {
        s->file = file_ref(v->file);
        s->offset = v->offset + (p->old - v->start);
        s->size = MAX(p->old_size, p->new_size);
        prot = v->prot;
        max_prot = v->max_prot;
        shared = v->flags & VMA_SHARED;
    }
    lock_release(&p->target->mm->lock);
    if (ret == 0 && s->file) {
        uint64_t end;
        if (!add_u64(s->offset, s->size, &end) || end > INT64_MAX)
            return -EINVAL;
        ret = file_map_source(s->file, s->offset, s->size, shared ? prot | (max_prot & PROT_WRITE) : prot, shared,
                              &s->source);
    }
    return ret;
}

// Maps [addr, addr+size), which shows the area's pages from `skip` bytes after its piece's start. v: the area.
static int queue_fresh(const struct remap_plan *p, struct vma *v, const struct remap_source *s, uint64_t addr,
                       uint64_t size, uint64_t skip, uint64_t *ret_valid)
{
    struct vma piece = {0};
    struct map_source source = s->source;

    describe(&piece, v, p->old, addr, size);
    if (v->file) {
        piece.offset += skip;
        source.offset += skip;
        source.valid = source.valid > skip ? source.valid - skip : 0;
        piece.valid = addr + PAGE_UP(MIN(source.valid, size));
    }
    *ret_valid = piece.valid;
    return mm_queue_map(p->target, &piece, &source);
}

static int check_growth(const struct remap_plan *p, const struct vma *v)
{
    uint64_t pages = (p->new_size - p->old_size) >> PAGE_SHIFT;
    int ret;

    if (p->old_size > v->end - p->old)
        return -EFAULT;
    if ((v->flags & VMA_LOCKED) && (ret = mm_lock_limit(p->target, pages)) < 0)
        return ret;
    if (!mm_may_expand(p->target, pages, vma_is_data(v->flags, v->prot)))
        return -ENOMEM;
    if (vma_is_data(v->flags, v->prot) && !(v->flags & VMA_NORESERVE) && !mm_enough_memory(pages))
        return -ENOMEM;
    return 0;
}

// Enters [start, start+size) in the map as a continuation or copy of v's piece.
static void enter(struct remap_plan *p, const struct vma *v, uint64_t offset, uint64_t start, uint64_t size,
                  uint64_t valid)
{
    struct vma *fresh = vma_stock_take(&p->stock);

    fresh->start = start;
    fresh->end = start + size;
    fresh->valid = valid;
    fresh->prot = v->prot;
    fresh->max_prot = v->max_prot;
    fresh->flags = v->flags & ~(uint32_t)(VMA_STALE | VMA_STACK);
    fresh->file = v->file ? file_ref(v->file) : NULL;
    fresh->offset = v->file ? offset : 0;
    fresh->name = v->name ? kstrdup(v->name) : NULL;
    vma_insert(p->target->mm, fresh, &p->dead);
}

static int64_t grow_in_place(struct remap_plan *p, struct vma *v, const struct remap_source *s)
{
    uint64_t end = p->old + p->old_size, size = p->new_size - p->old_size, valid;
    int ret;

    ret = queue_fresh(p, v, s, end, size, p->old_size, &valid);
    if (ret == 0)
        ret = mm_commit(p->target, (int64_t)p->old);
    if (ret < 0)
        return ret;
    enter(p, v, v->offset + (end - v->start), end, size, valid);
    return (int64_t)p->old;
}

// Queues the move of v's piece to p->new and what has to be mapped there besides.
static int queue_move(const struct remap_plan *p, struct vma *v, const struct remap_source *s, uint64_t moved,
                      uint64_t *ret_valid)
{
    uint64_t here = v->valid > p->old ? MIN(v->valid - p->old, moved) : 0; // of the piece, what the stub has
    int ret = 0;

    *ret_valid = p->new + here;
    if (here)
        ret = platform_move(p->target->pt, p->old, here, p->new);
    if (ret == 0 && here < p->old_size)
        ret = platform_unmap(p->target->pt, p->old + here, p->old_size - here);
    if (ret == 0 && here < p->new_size)
        ret = queue_fresh(p, v, s, p->new + here, p->new_size - here, here, ret_valid);
    if (ret == 0 && (p->flags & MREMAP_DONTUNMAP)) {
        uint64_t ignored;
        ret = queue_fresh(p, v, s, p->old, p->old_size, 0, &ignored);
    }
    return ret;
}

// Moves to p->new; the room there is free or may be replaced. mm.lock held.
static int64_t move_to(struct remap_plan *p, struct vma *v, const struct remap_source *s)
{
    struct mm *mm = p->target->mm;
    uint64_t moved = MIN(p->old_size, p->new_size), offset = v->offset + (p->old - v->start), valid;
    struct vma *copy;
    int ret;

    if (mm->vma_count + 3 > MM_MAX_MAP_COUNT)
        return -ENOMEM;
    ret = vma_stock_fill(&p->stock, 3);
    if (ret < 0)
        return ret;
    copy = vma_alloc(); // v may go
    if (!copy)
        return -ENOMEM;
    describe(copy, v, p->old, p->old, p->old_size);
    copy->name = v->name ? kstrdup(v->name) : NULL;
    copy->file = v->file ? file_ref(v->file) : NULL;
    ret = queue_move(p, v, s, moved, &valid);
    if (ret == 0)
        ret = mm_commit(p->target, (int64_t)p->new);
    if (ret == 0) {
        vma_remove_range(mm, p->new, p->new + p->new_size, &p->stock, &p->dead);
        if (!(p->flags & MREMAP_DONTUNMAP))
            vma_remove_range(mm, p->old, p->old + p->old_size, &p->stock, &p->dead);
        enter(p, copy, offset, p->new, p->new_size, valid);
    }
    vma_bury(&p->dead, copy);
    return ret < 0 ? ret : (int64_t)p->new;
}

// Old size 0: another mapping of the same shared pages.
static int64_t duplicate(struct remap_plan *p, struct vma *v, const struct remap_source *s)
{
    struct mm *mm = p->target->mm;
    uint64_t valid, offset = v->offset + (p->old - v->start);
    struct vma copy = *v;
    int ret;

    if (!(v->flags & VMA_SHARED) || !v->file)
        return -EINVAL;
    ret = vma_stock_fill(&p->stock, 3);
    if (ret == 0)
        ret = queue_fresh(p, v, s, p->new, p->new_size, 0, &valid);
    if (ret == 0)
        ret = mm_commit(p->target, (int64_t)p->new);
    if (ret < 0)
        return ret;
    copy.name = NULL;
    (void)file_ref(copy.file); // the area it came from may be in the way of the new one
    vma_remove_range(mm, p->new, p->new + p->new_size, &p->stock, &p->dead);
    enter(p, &copy, offset, p->new, p->new_size, valid);
    file_unref(copy.file); // not the last: the fresh area has one
    return (int64_t)p->new;
}

// MREMAP_FIXED or MREMAP_DONTUNMAP.
static int64_t remap_to(struct remap_plan *p, const struct remap_source *s)
{
    struct mm *mm = p->target->mm;
    struct vma *v;
    int ret;

    v = vma_at(mm, p->old);
    if (!v)
        return -EFAULT;
    if (p->old_size == 0 && !(v->flags & VMA_SHARED))
        return -EINVAL;
    if ((p->flags & MREMAP_DONTUNMAP) && (v->flags & VMA_STACK))
        return -EINVAL;
    if (p->old_size > v->end - p->old)
        return -EFAULT;
    if (p->new_size > p->old_size || (p->flags & MREMAP_DONTUNMAP)) {
        uint64_t pages = (p->flags & MREMAP_DONTUNMAP ? p->new_size : p->new_size - p->old_size) >> PAGE_SHIFT;
        ret = p->flags & MREMAP_DONTUNMAP ? 0 : check_growth(p, v);
        if (ret < 0)
            return ret;
        if (!mm_may_expand(p->target, pages, vma_is_data(v->flags, v->prot)))
            return -ENOMEM;
    }
    if (!(p->flags & MREMAP_FIXED)) {
        if (p->new && (p->new & (PAGE_SIZE - 1)) == 0 && p->new >= GUEST_ADDR_MIN && mm_range_ok(p->new, p->new_size) &&
            vma_gap_is_free(mm, p->new, p->new_size)) {
            // the hint is as good as any
        } else {
            p->new = vma_find_gap(mm, p->new_size, PAGE_SIZE);
        }
        if (!p->new)
            return -ENOMEM;
    }
    return p->old_size == 0 ? duplicate(p, v, s) : move_to(p, v, s);
}

static int64_t remap_locked(struct remap_plan *p, const struct remap_source *s)
{
    struct mm *mm = p->target->mm;
    struct vma *v = vma_at(mm, p->old);
    int ret;

    if (!v)
        return -EFAULT;
    // The map has changed since the file was asked.
    if (v->file != s->file || (v->file && s->offset != v->offset + (p->old - v->start)))
        return -EFAULT;
    if (p->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        return remap_to(p, s);
    if (p->old_size >= p->new_size) {
        struct mm_target plain = *p->target;
        plain.resume = false;
        if (p->old_size > p->new_size) {
            ret = mm_unmap_locked(&plain, p->old + p->new_size, p->old_size - p->new_size, &p->dead);
            if (ret < 0)
                return ret;
        }
        return (int64_t)p->old;
    }
    if (p->old_size == 0 && !(v->flags & VMA_SHARED))
        return -EINVAL;
    ret = check_growth(p, v);
    if (ret == 0)
        ret = vma_stock_fill(&p->stock, 1);
    if (ret < 0)
        return ret;
    if (p->old_size && p->old + p->old_size == v->end && mm_range_ok(p->old, p->new_size) &&
        vma_gap_is_free(mm, v->end, p->new_size - p->old_size))
        return grow_in_place(p, v, s);
    if (!(p->flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    p->new = vma_find_gap(mm, p->new_size, PAGE_SIZE);
    if (!p->new)
        return -ENOMEM;
    return p->old_size == 0 ? duplicate(p, v, s) : move_to(p, v, s);
}

static int check_fixed(const struct remap_plan *p)
{
    if (!(p->flags & MREMAP_FIXED))
        return 0;
    if ((p->new & (PAGE_SIZE - 1)) || !mm_range_ok(p->new, p->new_size))
        return -EINVAL;
    if (p->old + p->old_size > p->new && p->new + p->new_size > p->old)
        return -EINVAL;
    return p->new < GUEST_ADDR_MIN ? -EPERM : 0;
}

int64_t mm_remap(const struct mm_target *target, uint64_t old_addr, uint64_t old_size, uint64_t new_size, int flags,
                 uint64_t new_addr)
{
    struct remap_plan p = {.target = target, .old = old_addr, .new = new_addr, .flags = flags};
    struct remap_source s = {0};
    int64_t ret;

    if ((flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) ||
        ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE)) || (old_addr & (PAGE_SIZE - 1)))
        return -EINVAL;
    if (!page_up_u64(old_size, &p.old_size) || !page_up_u64(new_size, &p.new_size) || p.new_size == 0)
        return -EINVAL;
    if ((flags & MREMAP_DONTUNMAP) && (!(flags & MREMAP_MAYMOVE) || p.old_size != p.new_size))
        return -EINVAL;
    if (!mm_range_ok(old_addr, p.old_size))
        return -EFAULT;
    if (p.new_size > GUEST_ADDR_MAX)
        return flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) ? -EINVAL : -ENOMEM;
    ret = check_fixed(&p);
    if (ret == 0)
        ret = prefetch(&p, &s);
    if (ret == 0) {
        lock_take(&target->mm->lock);
        ret = remap_locked(&p, &s);
        lock_release(&target->mm->lock);
    }
    vma_graveyard_done(&p.dead);
    vma_stock_done(&p.stock);
    if (s.file)
        file_unref(s.file);
    return ret;
}

// The shared file that all of [addr, addr+size) shows, with the first area's rights; with a reference.
static struct file *shared_file_of(struct mm *mm, uint64_t addr, uint64_t size, int *ret_prot)
{
    struct vma *v = vma_at(mm, addr);
    struct file *f = v && (v->flags & VMA_SHARED) ? v->file : NULL;

    if (!f)
        return NULL;
    *ret_prot = v->prot;
    for (uint64_t at = addr; at < addr + size; v = vma_next(v)) {
        if (!v || v->start > at || v->file != f || v->prot != *ret_prot)
            return NULL;
        at = v->end;
    }
    return file_ref(f);
}

int mm_remap_file_pages(const struct mm_target *target, uint64_t addr, uint64_t size, uint64_t offset)
{
    struct mmap_request r = {.addr = addr, .size = size, .offset = offset, .flags = MAP_SHARED | MAP_FIXED};
    struct mm_target plain = *target;
    int64_t ret;

    if (size == 0 || !mm_range_ok(addr, size))
        return -EINVAL;
    lock_take(&target->mm->lock);
    r.file = shared_file_of(target->mm, addr, size, &r.prot);
    lock_release(&target->mm->lock);
    if (!r.file)
        return -EINVAL;
    plain.resume = false; // the address is not the result
    ret = mm_map(&plain, &r);
    file_unref(r.file);
    return ret < 0 ? (int)ret : 0;
}
