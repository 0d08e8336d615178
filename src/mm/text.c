// Patched text, see text.h.
//
// A file is patched when enough calls have trapped in its text (TRAPS_WORTH: building the copy costs about as much), and only
// when nobody can change it: files of the image below the overlay. A copy is kept for the sandbox's life.
//
// The copy may replace the file's pages in a process that runs already. Where the process has other threads, or is inside a signal
// handler, a call may be on its way back to the comparison after a CMP site, which the whole copy does not have any more: such a
// process gets a copy in which only MOV sites are patched.
// Later processes get the copy when they map the file.
//
// A process has each file at one place only: the base in its stub page. A second mapping of the same file gets the file's own
// pages, and its calls go on trapping.
//
// Locking: text_cache.lock guards the table and a file's state; a copy is built without it. mm.lock guards mm->patched.
#include "mm/text.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/slab.h"
#include "kernel/kernel.h"
#include "kernel/task.h"
#include "mm/backing.h"
#include "mm/copy.h"
#include "mm/memfile.h"
#include "mm/mm-int.h"
#include "platform/platform.h"

#define TRAPS_WORTH 60
#define TEXT_MAX (8ull << 20)
#define FRAMES_MAX (2ull << 20)
#define SITES_MAX 2048
#define TEXT_BUCKETS 64

enum text_state { TEXT_COUNTING, TEXT_BUILDING, TEXT_READY, TEXT_UNFIT };

struct text_file {
    struct text_file *next;
    const void *identity;
    struct file *file; // reference: keeps the identity alive
    uint32_t traps;
    uint8_t state;
    uint32_t index;          // of its base in stubs
    uint64_t offset, size;   // whole pages of the file that the copy has
    struct memfile_window window;     // every site patched
    struct memfile_window mov_window; // only MOV sites: for processes that run already; made when one asks
    uint8_t mov_state;                // as state
    uint32_t *cmp_sites;              // offsets in the copy of the others; kmalloc'ed
    uint32_t cmp_count;
};

struct text_cache {
    struct lock lock; // LOCK_RANK_OBJECT
    struct text_file *buckets[TEXT_BUCKETS];
};

SLAB_TYPE(text_file_slab, SLAB_PATCH_FILE, struct text_file);

int text_init(struct kernel *k)
{
    k->text = kmalloc(sizeof(*k->text));
    if (!k->text)
        return -ENOMEM;
    lock_init(&k->text->lock, LOCK_RANK_OBJECT);
    return 0;
}

static struct text_file **bucket_of(struct text_cache *c, const void *identity)
{
    return &c->buckets[((uint64_t)identity >> 6) * 0x9e3779b97f4a7c15ull >> 58];
}

static struct text_file *find_locked(struct text_cache *c, const void *identity)
{
    struct text_file *f = *bucket_of(c, identity);
    while (f && f->identity != identity)
        f = f->next;
    return f;
}

// ---- Building a copy ----

static void *read_range(struct file *f, uint64_t offset, uint64_t size)
{
    void *buf = kmalloc(size);
    if (buf && file_read_range(f, buf, size, offset) != (int64_t)size) {
        kfree(buf);
        buf = NULL;
    }
    return buf;
}

static void patch_sites(struct kernel *k, struct text_file *tf, const struct text_segment *s, uint8_t *text,
                        struct platform_site *sites, uint32_t count)
{
    tf->cmp_sites = kmalloc(count * sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = sites[i].offset;
        uint8_t bytes[8];
        sites[i].offset += s->offset;
        if (platform_patch_site(k->platform, tf->index, &sites[i], bytes) < 0)
            return;
        if (sites[i].shape == PLATFORM_SITE_CMP) {
            if (!tf->cmp_sites)
                continue;
            tf->cmp_sites[tf->cmp_count++] = (uint32_t)(sites[i].offset - tf->offset);
        }
        memcpy(text + at, bytes, sites[i].shape == PLATFORM_SITE_MOV ? 7 : 8);
    }
}

static bool build_copy(struct kernel *k, struct text_file *tf)
{
    uint8_t head[4096];
    struct text_segment s;
    int64_t n = file_read_range(tf->file, head, sizeof(head), 0);
    if (n <= 0 || !text_parse(head, (uint64_t)n, &s) || s.size > TEXT_MAX || s.frames_size > FRAMES_MAX ||
        s.offset % PAGE_SIZE != s.vaddr % PAGE_SIZE)
        return false;
    int index = platform_patch_file(k->platform);
    if (index < 0)
        return false;
    tf->index = (uint32_t)index;
    // Whole pages, with what else of the file they hold; zeros past its end, as a mapping has.
    tf->offset = PAGE_DOWN(s.offset);
    tf->size = PAGE_UP(s.offset + s.size) - tf->offset;
    uint8_t *copy = kmalloc(tf->size);
    uint8_t *frames = read_range(tf->file, s.frames_offset, s.frames_size);
    struct platform_site *sites = kmalloc(SITES_MAX * sizeof(*sites));
    bool ok = false;
    if (copy && frames && sites && file_read_range(tf->file, copy, tf->size, tf->offset) >= (int64_t)s.size) {
        uint8_t *text = copy + (s.offset - tf->offset);
        uint32_t count = text_find_sites(&s, text, frames, sites, SITES_MAX);
        ok = count > 0 && memfile_window_init(k->memfile, &tf->window, true) == 0;
        if (ok) {
            patch_sites(k, tf, &s, text, sites, count);
            ok = memfile_pwrite(k->memfile, &tf->window, 0, copy, tf->size) == (int64_t)tf->size;
            tf->window.mapped = true;
            log_debug("patched %u system calls in a file's text of %lu bytes", count, s.size);
        }
    }
    kfree(copy);
    kfree(frames);
    kfree(sites);
    return ok;
}

// The copy with the CMP sites as the file has them.
static bool build_mov_copy(struct kernel *k, struct text_file *tf)
{
    uint8_t *copy = kmalloc(tf->size), *original = kmalloc(tf->size);
    bool ok = copy && original &&
              memfile_pread(k->memfile, &tf->window, 0, copy, tf->size) == (int64_t)tf->size &&
              file_read_range(tf->file, original, tf->size, tf->offset) > 0 &&
              memfile_window_init(k->memfile, &tf->mov_window, true) == 0;
    if (ok) {
        for (uint32_t i = 0; i < tf->cmp_count; i++)
            memcpy(copy + tf->cmp_sites[i], original + tf->cmp_sites[i], 8);
        tf->mov_window.mapped = true;
        ok = memfile_pwrite(k->memfile, &tf->mov_window, 0, copy, tf->size) == (int64_t)tf->size;
    }
    kfree(copy);
    kfree(original);
    return ok;
}

// ---- Using it ----

static bool covers(const struct text_file *tf, uint64_t offset, uint64_t size)
{
    return offset >= tf->offset && size <= tf->size && offset - tf->offset <= tf->size - size;
}

// Notes that mm has the file at base. False: it is there already, at another place. mm.lock held.
static bool claim_base(struct mm *mm, uint32_t index, uint64_t base)
{
    uint32_t free_slot = MM_PATCHED_MAX;
    for (uint32_t i = 0; i < MM_PATCHED_MAX; i++) {
        if (mm->patched[i].base == 0)
            free_slot = MIN(free_slot, i);
        else if (mm->patched[i].index == index)
            return mm->patched[i].base == base;
    }
    if (free_slot == MM_PATCHED_MAX)
        return false;
    mm->patched[free_slot] = (struct mm_patched){.index = index, .base = base};
    return true;
}

static bool is_claimed(const struct mm *mm, uint32_t index)
{
    for (uint32_t i = 0; i < MM_PATCHED_MAX; i++)
        if (mm->patched[i].base != 0 && mm->patched[i].index == index)
            return true;
    return false;
}

static bool is_text(const struct vma *v)
{
    return v->file && (v->prot & PROT_EXEC) && !(v->prot & PROT_WRITE) && !(v->flags & VMA_SHARED);
}

static struct text_file *find_ready(struct kernel *k, const struct file *f)
{
    struct text_cache *c = k->text;
    if (!file_map_immutable(f)) // it was once, and is a copy in the upper layer now
        return NULL;
    lock_take(&c->lock);
    struct text_file *tf = find_locked(c, file_map_identity(f));
    bool ready = tf && tf->state == TEXT_READY;
    lock_release(&c->lock);
    return ready ? tf : NULL;
}

bool text_has_copy(const struct vma *v)
{
    struct kernel *k = the_kernel();
    struct text_file *tf = is_text(v) && k->text && v->valid > v->start ? find_ready(k, v->file) : NULL;
    return tf && covers(tf, v->offset, v->valid - v->start);
}

void text_substitute(const struct mm_target *target, const struct vma *v, struct map_source *source)
{
    struct kernel *k = the_kernel();
    if (!is_text(v) || !k->text || source->zero || v->valid <= v->start)
        return;
    struct text_file *tf = find_ready(k, v->file);
    if (!tf || !covers(tf, v->offset, v->valid - v->start) || v->offset > v->start ||
        !claim_base(target->mm, tf->index, v->start - v->offset))
        return;
    platform_patch_base(target->pt, tf->index, v->start - v->offset);
    source->fd = memfile_fd(k->memfile, false);
    source->offset = tf->window.base + (v->offset - tf->offset);
}

static bool have_mov_copy(struct kernel *k, struct text_file *tf)
{
    struct text_cache *c = k->text;
    lock_take(&c->lock);
    bool build = tf->mov_state == TEXT_COUNTING, ready = tf->mov_state == TEXT_READY;
    if (build)
        tf->mov_state = TEXT_BUILDING;
    lock_release(&c->lock);
    if (!build)
        return ready;
    ready = build_mov_copy(k, tf);
    lock_take(&c->lock);
    tf->mov_state = ready ? TEXT_READY : TEXT_UNFIT;
    lock_release(&c->lock);
    return ready;
}

// The call that is being answered would return into the middle of its site.
static void go_on_in_thunk(struct task *t, struct text_file *tf, const struct vma *v, uint64_t rip)
{
    uint64_t at = v->offset + (rip - 2 - v->start) - tf->offset;
    uint8_t bytes[8];
    struct guest_regs regs;
    if (memfile_pread(t->kernel->memfile, &tf->window, at, bytes, sizeof(bytes)) != sizeof(bytes))
        return;
    uint64_t tail = platform_patch_tail(bytes);
    if (!tail)
        return;
    platform_get_regs(t->pt, &regs);
    regs.rip = tail;
    platform_set_regs(t->pt, &regs);
}

// Puts a copy in place of the file's pages in a process that runs: the whole one when nobody but this very call can be on its way
// into the middle of a CMP site, else the one without those.
static void replace_live(struct task *t, struct text_file *tf, uint64_t rip)
{
    struct mm *mm = t->mm;
    bool whole = t->group->thread_count == 1 && atomic_load(&mm->task_count) == 1 && t->signal_depth == 0;
    if (!whole && !have_mov_copy(t->kernel, tf))
        return;
    lock_take(&mm->lock);
    struct vma *v = vma_at(mm, rip);
    uint64_t base = v ? v->start - v->offset : 0;
    if (v && is_text(v) && v->valid > v->start && file_map_identity(v->file) == tf->identity &&
        covers(tf, v->offset, v->valid - v->start) && v->offset <= v->start && !is_claimed(mm, tf->index) &&
        claim_base(mm, tf->index, base)) {
        const struct memfile_window *w = whole ? &tf->window : &tf->mov_window;
        platform_patch_base(t->pt, tf->index, base);
        platform_window_flush(t->pt); // other threads may use it as soon as the text is there
        platform_map_file(t->pt, v->start, v->valid - v->start, PLATFORM_READ | PLATFORM_EXEC, false,
                          memfile_fd(t->kernel->memfile, false), w->base + (v->offset - tf->offset));
        (void)platform_commit(t->pt);
        if (whole)
            go_on_in_thunk(t, tf, v, rip);
    }
    lock_release(&mm->lock);
}

// ---- Counting ----

static struct text_file *text_file_create(struct text_cache *c, struct file *f)
{
    struct text_file *tf = slab_alloc(&text_file_slab);
    if (!tf)
        return NULL;
    tf->identity = file_map_identity(f);
    tf->file = file_ref(f);
    lock_take(&c->lock);
    struct text_file *other = find_locked(c, tf->identity);
    if (!other) {
        struct text_file **bucket = bucket_of(c, tf->identity);
        tf->next = *bucket;
        *bucket = tf;
    }
    lock_release(&c->lock);
    if (!other)
        return tf;
    file_unref(tf->file);
    slab_free(&text_file_slab, tf);
    return other;
}

// The file whose text rip is in, when it can be patched. With a reference, or NULL.
static struct file *file_at(struct mm *mm, uint64_t rip)
{
    struct file *f = NULL;
    lock_take(&mm->lock);
    struct vma *v = vma_at(mm, rip);
    if (v && is_text(v) && file_map_immutable(v->file))
        f = file_ref(v->file);
    lock_release(&mm->lock);
    return f;
}

void text_note_trap(struct task *t, uint64_t rip)
{
    struct kernel *k = t->kernel;
    struct text_cache *c = k->text;
    // Most sites that still trap can't be helped: they must not cost more than the trap does.
    uint64_t *settled = &t->settled_sites[(rip >> 2) % ARRAY_SIZE(t->settled_sites)];
    if (*settled == rip || !platform_patching(k->platform) || !c)
        return;
    struct file *f = file_at(t->mm, rip);
    if (!f) {
        *settled = rip;
        return;
    }
    lock_take(&c->lock);
    struct text_file *tf = find_locked(c, file_map_identity(f));
    lock_release(&c->lock);
    if (!tf)
        tf = text_file_create(c, f);
    file_unref(f);
    if (!tf)
        return;
    bool build = false;
    lock_take(&c->lock);
    if (tf->state == TEXT_COUNTING && ++tf->traps >= TRAPS_WORTH) {
        tf->state = TEXT_BUILDING;
        build = true;
    }
    bool ready = tf->state == TEXT_READY;
    lock_release(&c->lock);
    if (build) {
        ready = build_copy(k, tf);
        lock_take(&c->lock);
        tf->state = ready ? TEXT_READY : TEXT_UNFIT;
        lock_release(&c->lock);
    }
    if (ready)
        replace_live(t, tf, rip);
    if (ready || tf->state == TEXT_UNFIT)
        *settled = rip;
}
