// The new program's address space: both ELF images, the stack with arguments and auxiliary vector. All of it is queued as
// one list of commands that the fresh stub executes at once; what has to be written then (the stack, the ends of data pages)
// takes one copy each. Nothing here touches the old program.
//
// The stack's layout is that of Linux on x86_64 (fs/binfmt_elf.c, create_elf_tables).
#include <elf.h>
#include <limits.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>

#include "base/checked.h"
#include "base/slab.h"
#include "kernel/kernel.h"
#include "mm/copy.h"
#include "platform/platform.h"
#include "sys/exec-int.h"

#define PIE_BASE 0x555555554000ull // ELF_ET_DYN_BASE: two thirds of the address space
#define PIE_RANDOM (1ull << 40)
#define BRK_RANDOM (1ull << 30)
#define MAX_STACK_SHIFT 8192

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif

// ---- Reading ---------------------------------------------------------------------------------------------------------

// size bytes at offset of the file, from its head when they are there. Returns where they are; *ret_alloc is to be freed.
static int read_piece(struct exec_binary *b, uint64_t offset, uint64_t size, const void **ret, void **ret_alloc)
{
    int64_t n;
    void *p;

    *ret_alloc = NULL;
    if (offset <= b->head_size && size <= b->head_size - offset) {
        *ret = b->head + offset;
        return 0;
    }
    p = kmalloc(size);
    if (!p)
        return -ENOMEM;
    n = file_read_kernel(b->file, p, size, offset);
    if (n != (int64_t)size) {
        kfree(p);
        return n < 0 ? (int)n : -EIO;
    }
    *ret = *ret_alloc = p;
    return 0;
}

int exec_read_image(struct exec_binary *b)
{
    struct elf_header header;
    const void *headers = NULL;
    void *alloc;
    int ret = elf_parse_header(b->head, b->head_size, &header);

    if (ret < 0)
        return ret;
    ret = read_piece(b, header.headers_offset, header.headers_size, &headers, &alloc);
    if (ret < 0)
        return ret == -EIO ? -ENOEXEC : ret;
    ret = elf_parse_image(&header, headers, &b->image);
    kfree(alloc);
    return ret;
}

// ---- Mapping ---------------------------------------------------------------------------------------------------------

// Whether b's file pages go on where a's end, in memory and in the file.
static bool continues(const struct elf_segment *a, const struct elf_segment *b)
{
    uint64_t end = PAGE_UP(a->file_end);

    return a->file_end > a->start && b->file_end > b->start && b->start == end && PAGE_UP(a->end) == end &&
           b->offset == a->offset + (end - a->start);
}

// Maps the file's pages of segments [first, last], which follow each other: one mapping of the file, which has to be
// countersigned, then the parts over it, which mm_map() makes by a change of rights where it can.
static int map_run(const struct mm_target *target, struct file *f, const struct elf_segment *first,
                   const struct elf_segment *last, uint64_t bias)
{
    struct mmap_request r = {
        .addr = first->start + bias,
        .size = PAGE_UP(last->file_end) - first->start,
        .prot = first->prot,
        .flags = MAP_PRIVATE | MAP_FIXED,
        .file = f,
        .offset = first->offset,
    };
    int64_t ret = mm_map(target, &r);

    for (const struct elf_segment *s = first + 1; ret >= 0 && s <= last; s++) {
        r.addr = s->start + bias;
        r.size = PAGE_UP(s->file_end) - s->start;
        r.prot = s->prot;
        r.offset = s->offset;
        if (s->prot != first->prot)
            ret = mm_map(target, &r);
    }
    return ret < 0 ? (int)ret : 0;
}

// What follows the file's pages of a segment.
static int map_rest(const struct mm_target *target, const struct elf_segment *s, uint64_t bias)
{
    uint64_t file_end = PAGE_UP(s->file_end), end = PAGE_UP(s->end);
    struct mmap_request r = {
        .addr = file_end + bias,
        .size = end - file_end,
        .prot = s->prot,
        .flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
    };
    int64_t ret = r.size ? mm_map(target, &r) : 0;

    return ret < 0 ? (int)ret : 0;
}

static int map_image(const struct mm_target *target, struct exec_binary *b)
{
    uint64_t top;

    if (!add_u64(b->image.high, b->bias, &top) || top > GUEST_ADDR_MAX || b->image.entry > GUEST_ADDR_MAX)
        return -EINVAL;
    for (uint32_t i = 0, last; i < b->image.segment_count; i = last + 1) {
        const struct elf_segment *s = b->image.segments;
        int ret = 0;
        for (last = i; last + 1 < b->image.segment_count && continues(&s[last], &s[last + 1]);)
            last++;
        if (s[i].file_end > s[i].start)
            ret = map_run(target, b->file, &s[i], &s[last], b->bias);
        if (ret == 0)
            ret = map_rest(target, &s[last], b->bias);
        if (ret < 0)
            return ret;
    }
    return 0;
}

// Zeroes what follows the file's bytes in the last page of a data segment.
static int clear_ends(const struct exec *e, const struct exec_binary *b)
{
    static const uint8_t zeros[PAGE_SIZE];

    for (uint32_t i = 0; i < b->image.segment_count; i++) {
        const struct elf_segment *s = &b->image.segments[i];
        uint64_t size = MIN(PAGE_UP(s->file_end), PAGE_UP(s->end)) - s->file_end;
        if (s->end == s->file_end || size == 0 || !(s->prot & PROT_WRITE))
            continue;
        if (copy_out_mm(e->mm, s->file_end + b->bias, zeros, size) != size)
            return -EFAULT;
    }
    return 0;
}

// Among the mappings, from the top down.
static int place_below(struct exec *e, struct exec_binary *b)
{
    uint64_t at = mm_find_room(e->mm, b->image.high - b->image.low, b->image.align);

    if (!at)
        return -ENOMEM;
    b->bias = at - b->image.low;
    return 0;
}

static int place_program(struct exec *e, bool randomize)
{
    struct exec_binary *p = &e->program;
    uint64_t at;

    if (!p->image.fixed && p->image.has_interpreter) {
        at = PIE_BASE + (randomize ? mm_random_offset(PIE_RANDOM) : 0);
        p->bias = (at & ~(p->image.align - 1)) - p->image.low;
    } else if (!p->image.fixed) { // a loader run as a program, or a static PIE
        return place_below(e, p);
    }
    return 0;
}

static void place_brk(struct exec *e, bool randomize)
{
    struct exec_binary *p = &e->program;
    // The heap of a program that lies among the mappings would soon hit them.
    uint64_t brk = !p->image.fixed && !p->image.has_interpreter ? PIE_BASE : PAGE_UP(p->image.brk + p->bias);

    if (randomize)
        brk += mm_random_offset(BRK_RANDOM);
    mm_set_brk(e->mm, brk);
}

static void describe_layout(struct exec *e)
{
    struct mm *mm = e->mm;
    const struct elf_image *image = &e->program.image;
    uint64_t bias = e->program.bias;

    mm->start_code = image->start_code + bias;
    mm->end_code = image->end_code + bias;
    mm->start_data = image->start_data + bias;
    mm->end_data = MAX(image->end_data, image->start_data) + bias;
}

// ---- Stack -----------------------------------------------------------------------------------------------------------

static void aux(struct mm *mm, uint64_t type, uint64_t value)
{
    if (mm->auxv_count + 2 > MM_AUXV_MAX)
        return;
    mm->auxv[mm->auxv_count++] = type;
    mm->auxv[mm->auxv_count++] = value;
}

static void fill_auxv(struct exec *e, uint64_t random, uint64_t execfn, uint64_t platform)
{
    struct platform *p = e->t->kernel->platform;
    const struct elf_image *image = &e->program.image;
    const struct cred *c = e->cred;
    struct mm *mm = e->mm;
    uint64_t rseq_size = getauxval(AT_RSEQ_FEATURE_SIZE);

    mm->auxv_count = 0;
    aux(mm, AT_SYSINFO_EHDR, platform_vdso_addr(p));
    aux(mm, AT_MINSIGSTKSZ, platform_minsigstksz(p));
    aux(mm, AT_HWCAP, platform_hwcap(p));
    aux(mm, AT_PAGESZ, PAGE_SIZE);
    aux(mm, AT_CLKTCK, 100);
    aux(mm, AT_PHDR, image->headers_addr ? image->headers_addr + e->program.bias : 0);
    aux(mm, AT_PHENT, sizeof(Elf64_Phdr));
    aux(mm, AT_PHNUM, image->headers_count);
    aux(mm, AT_BASE, e->interpreter.file ? e->interpreter.image.low + e->interpreter.bias : 0);
    aux(mm, AT_FLAGS, 0);
    aux(mm, AT_ENTRY, image->entry + e->program.bias);
    aux(mm, AT_UID, c->uid);
    aux(mm, AT_EUID, c->euid);
    aux(mm, AT_GID, c->gid);
    aux(mm, AT_EGID, c->egid);
    aux(mm, AT_SECURE, e->secure);
    aux(mm, AT_RANDOM, random);
    aux(mm, AT_HWCAP2, platform_hwcap2(p));
    aux(mm, AT_EXECFN, execfn);
    aux(mm, AT_PLATFORM, platform);
    if (rseq_size) {
        aux(mm, AT_RSEQ_FEATURE_SIZE, rseq_size);
        aux(mm, AT_RSEQ_ALIGN, getauxval(AT_RSEQ_ALIGN));
    }
    aux(mm, AT_NULL, 0);
}

// Fills in count pointers to the strings from *string on, and the NULL after them.
static uint64_t *put_pointers(uint64_t *at, uint32_t count, const char **string, const char *base, uint64_t addr)
{
    for (uint32_t i = 0; i < count; i++) {
        *at++ = addr + (uint64_t)(*string - base);
        *string += strlen(*string) + 1;
    }
    *at++ = 0;
    return at;
}

static const char platform_name[] = "x86_64";

struct stack_plan {
    uint64_t top, strings, execfn, platform, random, sp;
};

static void plan_stack(const struct exec *e, bool randomize, struct stack_plan *s)
{
    uint64_t words = 1 + (e->args.argc + 1) + (e->args.envc + 1) + MM_AUXV_MAX, at = s->top - sizeof(uint64_t);

    at -= strlen(e->filename) + 1;
    s->execfn = at;
    at -= e->args.size;
    s->strings = at;
    if (randomize)
        at -= mm_random_offset(MAX_STACK_SHIFT * PAGE_SIZE) / PAGE_SIZE;
    at &= ~15ull;
    at -= sizeof(platform_name);
    s->platform = at;
    at -= 16;
    s->random = at;
    at &= ~15ull;
    at -= words * sizeof(uint64_t);
    s->sp = at & ~15ull;
}

static int write_stack(struct exec *e, const struct stack_plan *s)
{
    uint64_t size = s->top - s->sp, *word;
    uint8_t *block = kmalloc(size);
    const char *string, *base;
    int ret = 0;

    if (!block)
        return -ENOMEM;
    base = string = (const char *)block + (s->strings - s->sp);
    memcpy(block + (s->strings - s->sp), e->args.data, e->args.size);
    strcpy((char *)block + (s->execfn - s->sp), e->filename);
    memcpy(block + (s->platform - s->sp), platform_name, sizeof(platform_name));
    kernel_random(block + (s->random - s->sp), 16);
    fill_auxv(e, s->random, s->execfn, s->platform);

    word = (uint64_t *)block;
    *word++ = e->args.argc;
    word = put_pointers(word, e->args.argc, &string, base, s->strings);
    word = put_pointers(word, e->args.envc, &string, base, s->strings);
    memcpy(word, e->mm->auxv, e->mm->auxv_count * sizeof(uint64_t));

    if (copy_out_mm(e->mm, s->sp, block, size) != size)
        ret = -EFAULT;
    kfree(block);
    e->mm->arg_start = s->strings;
    e->mm->arg_end = e->mm->env_start = s->strings + e->args.args_size;
    e->mm->env_end = s->strings + e->args.size;
    e->mm->start_stack = s->sp;
    e->sp = s->sp;
    return ret;
}

// ---- All of it -------------------------------------------------------------------------------------------------------

// As READ_IMPLIES_EXEC and PT_GNU_STACK want it; a 64-bit program without PT_GNU_STACK gets no executable stack.
static int stack_prot(const struct exec *e)
{
    const struct elf_image *image = &e->program.image;
    bool exec = !image->stack_unstated && image->executable_stack;

    return PROT_READ | PROT_WRITE | (exec ? PROT_EXEC : 0);
}

static int fill_mm(struct exec *e)
{
    bool randomize = !(e->t->personality & ADDR_NO_RANDOMIZE);
    struct mm_target target = {.task = e->t, .mm = e->mm, .pt = e->pt, .batch = true};
    struct stack_plan stack;
    int ret;

    ret = mm_layout_init(&target, stack_prot(e), randomize, &stack.top);
    if (ret == 0)
        ret = place_program(e, randomize);
    if (ret == 0)
        ret = map_image(&target, &e->program);
    if (ret == 0 && e->interpreter.file && !e->interpreter.image.fixed)
        ret = place_below(e, &e->interpreter);
    if (ret == 0 && e->interpreter.file)
        ret = map_image(&target, &e->interpreter);
    if (ret < 0)
        return ret;
    lock_take(&e->mm->lock);
    ret = platform_commit(e->pt);
    lock_release(&e->mm->lock);
    if (ret == 0)
        ret = clear_ends(e, &e->program);
    if (ret == 0 && e->interpreter.file)
        ret = clear_ends(e, &e->interpreter);
    if (ret < 0)
        return ret;
    place_brk(e, randomize);
    describe_layout(e);
    plan_stack(e, randomize, &stack);
    return write_stack(e, &stack);
}

void exec_drop_mm(struct exec *e)
{
    if (e->mm)
        mm_put(e->mm);
    e->mm = NULL;
    e->pt = NULL;
}

int exec_build_mm(struct exec *e)
{
    struct exec_binary *entry = e->interpreter.file ? &e->interpreter : &e->program;
    int ret = mm_create(e->t->kernel->platform, &e->mm, &e->pt);

    if (ret < 0)
        return ret;
    ret = fill_mm(e);
    if (ret < 0) {
        exec_drop_mm(e);
        return ret;
    }
    e->entry = entry->image.entry + entry->bias;
    return 0;
}
