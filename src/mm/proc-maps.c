// /proc/PID/maps, smaps and smaps_rollup, and resident sizes.
//
// DEVIATION: resident sizes are measured by the address space's own threads (mincore in the stub); for another process the
// figure is the one that was last measured. Shared and private, clean and dirty pages aren't told apart.
#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/kernel.h"
#include "kernel/task.h"
#include "mm/backing.h"
#include "mm/mm-int.h"
#include "platform/platform.h"

#include <sys/sysmacros.h>

#define NAME_COLUMN 73 // where Linux aligns names: 25 + 6 * sizeof(void *) - 1 and a space
#define VDSO_SIZE (2 * PAGE_SIZE)

static uint64_t shown_start(const struct mm *mm, const struct vma *v)
{
    return v->flags & VMA_STACK ? MIN(MAX(v->start, mm->stack_shown), v->end) : v->start;
}

static bool is_stack(const struct mm *mm, const struct vma *v)
{
    return v->start <= mm->start_stack && v->end >= mm->start_stack;
}

static void show_name(const struct mm *mm, const struct vma *v, struct strbuf *out, uint64_t line_start,
                      const struct strbuf *path)
{
    const char *name = NULL;

    if (v->file)
        name = path->data;
    else if (v->start <= mm->brk && v->end >= mm->brk_start && mm->brk_start)
        name = "[heap]";
    else if (is_stack(mm, v))
        name = "[stack]";
    if (!name && !v->name)
        return;
    while (out->size - line_start < NAME_COLUMN)
        strbuf_putc(out, ' ');
    if (!name) {
        strbuf_printf(out, "[anon:%s]", v->name);
        return;
    }
    for (; *name; name++) {
        if (*name == '\n')
            strbuf_puts(out, "\\012");
        else
            strbuf_putc(out, *name);
    }
}

static void show_line(const struct mm *mm, const struct vma *v, struct strbuf *out)
{
    char buffer[4096];
    struct strbuf path = STRBUF_FIXED(buffer);
    uint64_t line_start = out->size, ino = 0;
    uint32_t dev = 0;

    buffer[0] = 0;
    if (v->file)
        file_map_describe(v->file, &dev, &ino, &path);
    strbuf_printf(out, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", (unsigned long long)shown_start(mm, v),
                  (unsigned long long)v->end, v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-',
                  v->prot & PROT_EXEC ? 'x' : '-', v->flags & VMA_SHARED ? 's' : 'p',
                  (unsigned long long)(v->file ? v->offset : 0), major(dev), minor(dev), (unsigned long long)ino);
    show_name(mm, v, out, line_start, &path);
    strbuf_putc(out, '\n');
}

static void show_vdso(struct strbuf *out)
{
    uint64_t start = out->size, addr = platform_vdso_addr(the_kernel()->platform);

    strbuf_printf(out, "%08llx-%08llx r-xp 00000000 00:00 0 ", (unsigned long long)addr,
                  (unsigned long long)(addr + VDSO_SIZE));
    while (out->size - start < NAME_COLUMN)
        strbuf_putc(out, ' ');
    strbuf_puts(out, "[vdso]\n");
}

// ---- Resident pages --------------------------------------------------------------------------------------------------

#define MINCORE_CHUNK 32768 // pages: what one question can answer
#define MEASURE_AFTER 100000 // ns of CPU time in which the figures may grow old: a few hundred pages

// The main stack is shown from its lowest page that has been touched.
static void find_stack(struct mm *mm, const struct vma *v, uint64_t at, const uint8_t *vec, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (vec[i] & 1) {
            mm_grow_shown_stack(mm, at + i * PAGE_SIZE);
            return;
        }
    }
}

// Resident pages of v, asked of the stub through pt. Private file pages that aren't the caller's own count as well, as in
// Linux's RSS of a page that is mapped.
static uint64_t resident_pages(struct mm *mm, struct platform_thread *pt, const struct vma *v, uint8_t *vec)
{
    uint64_t count = 0;

    for (uint64_t at = v->start; at < v->valid;) {
        uint64_t size = MIN(v->valid - at, MINCORE_CHUNK * PAGE_SIZE);
        if (platform_mincore(pt, at, size, vec) < 0)
            break;
        for (uint64_t i = 0; i < size >> PAGE_SHIFT; i++)
            count += vec[i] & 1;
        if (v->flags & VMA_STACK)
            find_stack(mm, v, at, vec, size >> PAGE_SHIFT);
        at += size;
    }
    return count;
}

// Resident pages of [start, end), which is all mapped.
static uint64_t count_run(struct platform_thread *pt, uint64_t start, uint64_t end, uint8_t *vec)
{
    struct vma run = {.start = start, .end = end, .valid = end};
    return start < end ? resident_pages(NULL, pt, &run, vec) : 0;
}

// Areas that touch are asked for together: each question is a notification of the host.
static uint64_t measure_locked(struct mm *mm, struct task *via)
{
    uint8_t *vec = kmalloc(MINCORE_CHUNK);
    uint64_t total = 0, start = 0, end = 0;

    if (!vec)
        return mm->resident_pages;
    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        if (v->flags & VMA_STACK) {
            total += resident_pages(mm, via->pt, v, vec);
        } else if (v->prot && v->valid > v->start) { // reserved room has no pages; asking would walk all of it
            if (v->start != end) {
                total += count_run(via->pt, start, end, vec);
                start = v->start;
            }
            end = v->valid;
        }
    }
    total += count_run(via->pt, start, end, vec);
    kfree(vec);
    mm->resident_pages = total;
    return total;
}

// What was measured still holds roughly: the process has hardly run since then, nor changed its map.
static bool measured_lately_locked(struct mm *mm, nsec_t cpu)
{
    return mm->resident_pages && cpu - mm->measured_cpu < MEASURE_AFTER && mm->measured_total == mm->total_pages;
}

uint64_t mm_resident_bytes(struct mm *mm, struct task *via)
{
    bool own = via && via == current_task() && via->mm == mm;
    nsec_t cpu = own ? platform_thread_user_time(via->pt) : 0;
    uint64_t pages;

    lock_take(&mm->lock);
    if (own && !measured_lately_locked(mm, cpu)) {
        mm->measured_cpu = cpu;
        mm->measured_total = mm->total_pages;
        pages = measure_locked(mm, via);
    } else {
        pages = mm->resident_pages;
    }
    lock_release(&mm->lock);
    return pages << PAGE_SHIFT;
}

// ---- smaps -----------------------------------------------------------------------------------------------------------

static void show_vm_flags(const struct vma *v, struct strbuf *out)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {
        {VMA_SHARED, "sh"},  {VMA_GROWSDOWN, "gd"},  {VMA_LOCKED, "lo"},     {VMA_DONTFORK, "dc"},
        {VMA_DONTDUMP, "dd"}, {VMA_NORESERVE, "nr"}, {VMA_WIPEONFORK, "wf"}, {VMA_HUGEPAGE, "hg"},
        {VMA_NOHUGEPAGE, "nh"},
    };

    strbuf_puts(out, "VmFlags: ");
    strbuf_puts(out, v->prot & PROT_READ ? "rd " : "");
    strbuf_puts(out, v->prot & PROT_WRITE ? "wr " : "");
    strbuf_puts(out, v->prot & PROT_EXEC ? "ex " : "");
    strbuf_puts(out, v->max_prot & PROT_READ ? "mr " : "");
    strbuf_puts(out, v->max_prot & PROT_WRITE ? "mw " : "");
    strbuf_puts(out, v->max_prot & PROT_EXEC ? "me " : "");
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (v->flags & names[i].flag)
            strbuf_printf(out, "%s ", names[i].name);
    strbuf_putc(out, '\n');
}

static void show_figures(uint64_t size_kb, uint64_t rss_kb, bool shared, bool anon, uint64_t locked_kb,
                         struct strbuf *out)
{
    unsigned long long rss = rss_kb, zero = 0;

    if (size_kb)
        strbuf_printf(out, "Size:           %8llu kB\nKernelPageSize: %8u kB\nMMUPageSize:    %8u kB\n",
                      (unsigned long long)size_kb, 4u, 4u);
    strbuf_printf(out, "Rss:            %8llu kB\nPss:            %8llu kB\n", rss, rss);
    strbuf_printf(out, "Pss_Dirty:      %8llu kB\n", anon ? rss : zero);
    strbuf_printf(out, "Shared_Clean:   %8llu kB\nShared_Dirty:   %8llu kB\n", zero, shared ? rss : zero);
    strbuf_printf(out, "Private_Clean:  %8llu kB\nPrivate_Dirty:  %8llu kB\n", !shared && !anon ? rss : zero,
                  !shared && anon ? rss : zero);
    strbuf_printf(out, "Referenced:     %8llu kB\nAnonymous:      %8llu kB\n", rss, anon ? rss : zero);
    strbuf_printf(out, "KSM:            %8llu kB\nLazyFree:       %8llu kB\nAnonHugePages:  %8llu kB\n", zero, zero, zero);
    strbuf_printf(out, "ShmemPmdMapped: %8llu kB\nFilePmdMapped:  %8llu kB\n", zero, zero);
    strbuf_printf(out, "Shared_Hugetlb: %8llu kB\nPrivate_Hugetlb:%8llu kB\n", zero, zero);
    strbuf_printf(out, "Swap:           %8llu kB\nSwapPss:        %8llu kB\nLocked:         %8llu kB\n", zero, zero,
                  (unsigned long long)locked_kb);
}

static void show_smaps_of(const struct mm *mm, const struct vma *v, uint64_t pages, struct strbuf *out)
{
    uint64_t size = v->end - shown_start(mm, v);

    show_figures(size >> 10, pages << 2, v->flags & VMA_SHARED, !v->file, v->flags & VMA_LOCKED ? size >> 10 : 0, out);
    strbuf_printf(out, "THPeligible:           %u\n", !v->file && size >= (2u << 20) && !(v->flags & VMA_NOHUGEPAGE));
    show_vm_flags(v, out);
}

void mm_show_maps(struct mm *mm, struct strbuf *out, bool smaps)
{
    struct task *t = current_task();
    bool own = t && t->mm == mm;
    uint8_t *vec = smaps && own ? kmalloc(MINCORE_CHUNK) : NULL;

    lock_take(&mm->lock);
    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        show_line(mm, v, out);
        if (smaps)
            show_smaps_of(mm, v, vec && v->prot ? resident_pages(mm, t->pt, v, vec) : 0, out);
    }
    lock_release(&mm->lock);
    if (!smaps)
        show_vdso(out);
    kfree(vec);
}

void mm_show_smaps_rollup(struct mm *mm, struct strbuf *out)
{
    struct task *t = current_task();
    struct vma *first, *last = NULL;
    uint64_t rss, start = out->size;

    lock_take(&mm->lock);
    first = vma_first(mm);
    for (struct vma *v = first; v; v = vma_next(v))
        last = v;
    rss = t && t->mm == mm ? measure_locked(mm, t) : mm->resident_pages;
    if (first) {
        strbuf_printf(out, "%08llx-%08llx ---p 00000000 00:00 0 ", (unsigned long long)shown_start(mm, first),
                      (unsigned long long)last->end);
        while (out->size - start < NAME_COLUMN)
            strbuf_putc(out, ' ');
        strbuf_puts(out, "[rollup]\n");
        show_figures(0, rss << 2, false, true, mm->locked_pages << 2, out);
    }
    lock_release(&mm->lock);
}
