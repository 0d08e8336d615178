// The tree of areas: finding, cutting, merging, and the search for gaps.
//
// Invariants: areas don't overlap and aren't empty; start <= valid <= end, valid == end for anonymous ones; an area in the map
// holds a reference on its file and has registered with it; mm's counters are the sums over the areas in the map. Neighbours
// that Linux would merge are merged, so that the guest sees the same /proc/self/maps and the same limits.
//
// The search for gaps goes downwards from where the last one ended, as long as no larger gap was left above: a map with many
// areas is not walked again for every mmap.
//
// Locking: mm.lock for everything but vma_alloc(), vma_free(), vma_stock_fill() and vma_graveyard_done().
#include "base/log.h"
#include "base/slab.h"
#include "mm/backing.h"
#include "mm/mm-int.h"

SLAB_TYPE(vma_slab, SLAB_VMA, struct vma);

struct vma *vma_alloc(void)
{
    return slab_alloc(&vma_slab);
}

void vma_free(struct vma *v)
{
    if (!v)
        return;
    kfree(v->name);
    slab_free(&vma_slab, v);
}

int vma_stock_fill(struct vma_stock *s, unsigned count)
{
    BUG_ON(count > ARRAY_SIZE(s->vma));
    while (s->count < count) {
        struct vma *v = vma_alloc();
        if (!v)
            return -ENOMEM;
        s->vma[s->count++] = v;
    }
    return 0;
}

struct vma *vma_stock_take(struct vma_stock *s)
{
    BUG_ON(s->count == 0);
    return s->vma[--s->count];
}

void vma_stock_done(struct vma_stock *s)
{
    while (s->count)
        vma_free(s->vma[--s->count]);
}

// The dead are chained through node.right, which nobody else uses any more.
void vma_bury(struct vma_graveyard *g, struct vma *v)
{
    v->node.right = g->first ? &g->first->node : NULL;
    g->first = v;
}

void vma_graveyard_done(struct vma_graveyard *g)
{
    while (g->first) {
        struct vma *v = g->first;
        g->first = v->node.right ? container_of(v->node.right, struct vma, node) : NULL;
        if (v->file)
            file_unref(v->file);
        vma_free(v);
    }
}

// ---- Walking ---------------------------------------------------------------------------------------------------------

struct vma *vma_find(struct mm *mm, uint64_t addr)
{
    struct vma *best = mm->recent;
    struct rb_node *n = mm->vmas.root;

    if (best && best->start <= addr && addr < best->end)
        return best;
    best = NULL;
    while (n) {
        struct vma *v = container_of(n, struct vma, node);
        if (v->end > addr) {
            best = v;
            if (v->start <= addr)
                break;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    if (best)
        mm->recent = best;
    return best;
}

struct vma *vma_at(struct mm *mm, uint64_t addr)
{
    struct vma *v = vma_find(mm, addr);
    return v && v->start <= addr ? v : NULL;
}

struct vma *vma_first(struct mm *mm)
{
    struct rb_node *n = rb_first(&mm->vmas);
    return n ? container_of(n, struct vma, node) : NULL;
}

static struct vma *vma_last(struct mm *mm)
{
    struct rb_node *n = rb_last(&mm->vmas);
    return n ? container_of(n, struct vma, node) : NULL;
}

struct vma *vma_next(const struct vma *v)
{
    struct rb_node *n = rb_next(&v->node);
    return n ? container_of(n, struct vma, node) : NULL;
}

struct vma *vma_prev(const struct vma *v)
{
    struct rb_node *n = rb_prev(&v->node);
    return n ? container_of(n, struct vma, node) : NULL;
}

bool vma_straddles(struct mm *mm, uint64_t addr)
{
    struct vma *v = vma_find(mm, addr);
    return v && v->start < addr;
}

uint64_t vma_count_overlap(struct mm *mm, uint64_t start, uint64_t end)
{
    uint64_t bytes = 0;

    for (struct vma *v = vma_find(mm, start); v && v->start < end; v = vma_next(v))
        bytes += MIN(v->end, end) - MAX(v->start, start);
    return bytes >> PAGE_SHIFT;
}

// ---- Accounting ------------------------------------------------------------------------------------------------------

void vma_account(struct mm *mm, const struct vma *v, bool add)
{
    uint64_t start = v->start, pages, sign = add ? 1 : (uint64_t)-1;

    if (v->flags & VMA_STACK) // what isn't shown isn't counted
        start = MIN(MAX(start, mm->stack_shown), v->end);
    pages = (v->end - start) >> PAGE_SHIFT;
    mm->total_pages += sign * pages;
    if (vma_is_data(v->flags, v->prot))
        mm->data_pages += sign * pages;
    if ((v->prot & PROT_EXEC) && !(v->prot & PROT_WRITE) && !(v->flags & VMA_GROWSDOWN))
        mm->exec_pages += sign * pages;
    if (v->flags & VMA_GROWSDOWN)
        mm->stack_pages += sign * pages;
    if (v->flags & VMA_SHARED)
        mm->shared_pages += sign * pages;
    if (v->flags & VMA_LOCKED)
        mm->locked_pages += sign * pages;
    if (add && mm->total_pages > mm->hiwater_pages)
        mm->hiwater_pages = mm->total_pages;
}

// ---- Tree ------------------------------------------------------------------------------------------------------------

static void link_vma(struct mm *mm, struct vma *v)
{
    struct rb_node **link = &mm->vmas.root, *parent = NULL;

    while (*link) {
        parent = *link;
        link = v->start < container_of(parent, struct vma, node)->start ? &parent->left : &parent->right;
    }
    rb_link(&v->node, parent, link);
    rb_insert_fixup(&mm->vmas, &v->node);
    mm->vma_count++;
    mm->recent = v;
}

static void unlink_vma(struct mm *mm, struct vma *v)
{
    rb_remove(&mm->vmas, &v->node);
    mm->vma_count--;
    if (mm->recent == v)
        mm->recent = NULL;
}

static bool same_name(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

#define VMA_MERGE_MASK (~(uint32_t)VMA_STALE)

static bool can_merge(const struct vma *a, const struct vma *b)
{
    if (a->end != b->start || a->prot != b->prot || a->max_prot != b->max_prot)
        return false;
    if ((a->flags | b->flags) & (VMA_GROWSDOWN | VMA_SYSV | VMA_STACK))
        return false;
    if ((a->flags & VMA_MERGE_MASK) != (b->flags & VMA_MERGE_MASK) || a->file != b->file || !same_name(a->name, b->name))
        return false;
    if (a->file && b->offset - a->offset != a->end - a->start)
        return false;
    // The mapped part stays one piece.
    return a->valid == a->end || b->valid == b->start;
}

// Merges b into its left neighbour a.
static void merge_pair(struct mm *mm, struct vma *a, struct vma *b, struct vma_graveyard *g)
{
    unlink_vma(mm, b);
    if (a->valid == a->end)
        a->valid = b->valid;
    a->end = b->end;
    a->flags |= b->flags & VMA_STALE;
    if (b->file)
        file_map_removed(b->file, vma_may_write(b));
    vma_bury(g, b);
}

static struct vma *merge_around(struct mm *mm, struct vma *v, struct vma_graveyard *g)
{
    struct vma *prev = vma_prev(v), *next;

    if (prev && can_merge(prev, v)) {
        merge_pair(mm, prev, v, g);
        v = prev;
    }
    next = vma_next(v);
    if (next && can_merge(v, next))
        merge_pair(mm, v, next, g);
    mm->recent = v;
    return v;
}

struct vma *vma_insert(struct mm *mm, struct vma *v, struct vma_graveyard *g)
{
    if (v->file)
        file_map_added(v->file, vma_may_write(v));
    link_vma(mm, v);
    vma_account(mm, v, true);
    return merge_around(mm, v, g);
}

void vma_merge_range(struct mm *mm, uint64_t start, uint64_t end, struct vma_graveyard *g)
{
    struct vma *v = vma_find(mm, start);

    while (v && v->start <= end) {
        v = merge_around(mm, v, g);
        v = vma_next(v);
    }
}

void vma_split(struct mm *mm, uint64_t addr, struct vma_stock *stock)
{
    struct vma *v = vma_find(mm, addr), *high;

    if (!v || v->start >= addr)
        return;
    high = vma_stock_take(stock);
    high->start = addr;
    high->end = v->end;
    high->prot = v->prot;
    high->max_prot = v->max_prot;
    high->flags = v->flags;
    high->file = v->file ? file_ref(v->file) : NULL;
    high->offset = v->offset + (v->file ? addr - v->start : 0);
    high->valid = MAX(v->valid, addr);
    // A name that there is no memory for is lost; it is for people to read.
    high->name = v->name ? kstrdup(v->name) : NULL;
    v->end = addr;
    v->valid = MIN(v->valid, addr);
    if (high->file)
        file_map_added(high->file, vma_may_write(high));
    link_vma(mm, high);
}

static void drop_vma(struct mm *mm, struct vma *v, struct vma_graveyard *g)
{
    vma_account(mm, v, false);
    unlink_vma(mm, v);
    if (v->file)
        file_map_removed(v->file, vma_may_write(v));
    vma_bury(g, v);
}

// Cuts v down to [start, end), which share an end with it: needs no new area.
static void trim_vma(struct mm *mm, struct vma *v, uint64_t start, uint64_t end)
{
    vma_account(mm, v, false);
    if (v->file)
        v->offset += start - v->start;
    v->start = start;
    v->end = end;
    v->valid = MIN(MAX(v->valid, start), end);
    vma_account(mm, v, true);
}

void vma_remove_range(struct mm *mm, uint64_t start, uint64_t end, struct vma_stock *stock, struct vma_graveyard *g)
{
    struct vma *v = vma_find(mm, start);

    // Room above the search's start has to be looked at again.
    if (end > mm->free_from)
        mm->free_from = MIN(end, mm->mmap_base);
    if (v && v->start < start) {
        struct vma *next = vma_next(v);
        if (v->end > end) {
            vma_split(mm, end, stock);
            trim_vma(mm, v, v->start, start);
            return;
        }
        trim_vma(mm, v, v->start, start);
        v = next;
    }
    while (v && v->start < end) {
        struct vma *next = vma_next(v);
        if (v->end > end) {
            trim_vma(mm, v, end, v->end);
            return;
        }
        drop_vma(mm, v, g);
        v = next;
    }
}

// ---- Gaps ------------------------------------------------------------------------------------------------------------

// Where the room below v ends: a growing area keeps a guard.
static uint64_t room_end(const struct vma *v)
{
    uint64_t guard = v->flags & (VMA_GROWSDOWN | VMA_STACK) ? MM_STACK_GUARD : 0;
    return v->start > guard ? v->start - guard : 0;
}

bool vma_gap_is_free(struct mm *mm, uint64_t addr, uint64_t size)
{
    struct vma *v = vma_find(mm, addr);
    return !v || addr + size <= room_end(v);
}

// Searches downwards from high. *ret_hole: the largest gap that was too small.
static uint64_t search_down(struct mm *mm, uint64_t size, uint64_t low, uint64_t high, uint64_t align, uint64_t *ret_hole)
{
    struct vma *v = vma_find(mm, high - 1); // ends at high or above
    uint64_t end = high;

    if (v) {
        end = MIN(end, room_end(v));
        v = vma_prev(v);
    } else {
        v = vma_last(mm);
    }
    for (;;) {
        uint64_t start = MAX(v ? v->end : 0, low);
        uint64_t addr;

        if (end > start && end - start >= size) {
            addr = (end - size) & ~(align - 1);
            if (addr >= start) {
                *ret_hole = MAX(*ret_hole, end - (addr + size));
                return addr;
            }
        }
        if (end > start)
            *ret_hole = MAX(*ret_hole, end - start);
        if (!v || v->start <= low)
            return 0;
        end = MIN(end, room_end(v));
        v = vma_prev(v);
    }
}

static uint64_t search_up(struct mm *mm, uint64_t size, uint64_t low, uint64_t high, uint64_t align)
{
    uint64_t addr = (low + align - 1) & ~(align - 1);

    for (struct vma *v = vma_find(mm, addr);; v = vma_next(v)) {
        if (addr >= high || high - addr < size)
            return 0;
        if (!v || (room_end(v) >= addr && room_end(v) - addr >= size))
            return addr;
        addr = (v->end + align - 1) & ~(align - 1);
    }
}

uint64_t vma_find_gap_in(struct mm *mm, uint64_t size, uint64_t low, uint64_t high, uint64_t align, bool bottom_up)
{
    uint64_t hole = 0;

    if (low >= high)
        return 0;
    return bottom_up ? search_up(mm, size, low, high, align) : search_down(mm, size, low, high, align, &hole);
}

uint64_t vma_find_gap(struct mm *mm, uint64_t size, uint64_t align)
{
    uint64_t addr;

    if (mm->mmap_base == 0)
        return 0;
    if (size <= mm->free_hole || mm->free_from > mm->mmap_base || mm->free_from == 0) {
        mm->free_from = mm->mmap_base;
        mm->free_hole = 0;
    }
    addr = search_down(mm, size, GUEST_ADDR_MIN, mm->free_from, align, &mm->free_hole);
    if (!addr && mm->free_from < mm->mmap_base) {
        mm->free_hole = 0;
        addr = search_down(mm, size, GUEST_ADDR_MIN, mm->mmap_base, align, &mm->free_hole);
    }
    if (addr) {
        mm->free_from = addr;
        return addr;
    }
    // Nothing below: what is left lies between the base and the top.
    return search_up(mm, size, mm->mmap_base, GUEST_ADDR_MAX, align);
}
