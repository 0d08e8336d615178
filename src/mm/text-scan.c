// Which bytes of a file's text are system calls: a pattern counts only when decoding the function that it lies in, from the
// start that the unwind table names, arrives exactly there. Some patterns lie inside other instructions.
//
// Everything here reads a file that the image brought: nothing is trusted, every index is checked.
#include <elf.h>

#include "mm/text.h"
#include "platform/arch/x86_64/decode.h"
#include "platform/platform.h"

#define FUNCTION_MAX 65536 // bytes that are decoded for one site
#define CALL_NUMBER_MAX 1024
#define NR_RT_SIGRETURN 15 // unwinders recognise the bytes of its site

bool text_parse(const uint8_t *head, uint64_t size, struct text_segment *out)
{
    Elf64_Ehdr eh;
    Elf64_Phdr ph;
    bool found = false;
    memset(out, 0, sizeof(*out));
    if (size < sizeof(eh))
        return false;
    memcpy(&eh, head, sizeof(eh));
    if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64 ||
        eh.e_phentsize != sizeof(ph) || eh.e_phoff > size || eh.e_phnum > (size - eh.e_phoff) / sizeof(ph))
        return false;
    for (uint32_t i = 0; i < eh.e_phnum; i++) {
        memcpy(&ph, head + eh.e_phoff + i * sizeof(ph), sizeof(ph));
        if (ph.p_type == PT_LOAD && (ph.p_flags & PF_X) && !(ph.p_flags & PF_W) && !found) {
            *out = (struct text_segment){.offset = ph.p_offset, .vaddr = ph.p_vaddr, .size = ph.p_filesz,
                                         .frames_offset = out->frames_offset, .frames_vaddr = out->frames_vaddr,
                                         .frames_size = out->frames_size};
            found = true;
        } else if (ph.p_type == PT_GNU_EH_FRAME) {
            out->frames_offset = ph.p_offset;
            out->frames_vaddr = ph.p_vaddr;
            out->frames_size = ph.p_filesz;
        }
    }
    return found && out->size > 0 && out->frames_size > 12 && out->offset < INT32_MAX && out->size < INT32_MAX;
}

// The binary search table of .eh_frame_hdr: pairs of function start and frame entry, relative to the section.
struct frame_table {
    const uint8_t *entries;
    uint32_t count;
    uint64_t vaddr;
};

static bool open_frames(const struct text_segment *s, const uint8_t *frames, struct frame_table *out)
{
    // version 1; encodings: pcrel|sdata4, udata4, datarel|sdata4 - what every linker writes
    if (frames[0] != 1 || frames[2] != 0x03 || frames[3] != 0x3b)
        return false;
    memcpy(&out->count, frames + 8, 4);
    out->entries = frames + 12;
    out->vaddr = s->frames_vaddr;
    return out->count > 0 && out->count <= (s->frames_size - 12) / 8;
}

static uint64_t function_start(const struct frame_table *t, uint32_t i)
{
    int32_t relative;
    memcpy(&relative, t->entries + 8ull * i, 4);
    return t->vaddr + (uint64_t)(int64_t)relative;
}

// The function that contains vaddr: [*start, *end). end is the next one's start.
static bool find_function(const struct frame_table *t, uint64_t vaddr, uint64_t *start, uint64_t *end)
{
    uint32_t low = 0, high = t->count;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (function_start(t, mid) <= vaddr)
            low = mid;
        else
            high = mid;
    }
    *start = function_start(t, low);
    *end = low + 1 < t->count ? function_start(t, low + 1) : vaddr + FUNCTION_MAX;
    return *start <= vaddr && *end > vaddr && vaddr - *start < FUNCTION_MAX;
}

struct function {
    const uint8_t *text;
    uint64_t size;       // of text
    uint64_t start, end; // offsets in text
};

// Whether decoding from the function's start meets an instruction at `at`.
static bool is_boundary(const struct function *f, uint64_t at)
{
    uint64_t pos = f->start;
    while (pos < at) {
        int64_t target;
        uint32_t n = x86_decode(f->text + pos, f->size - pos, &target);
        if (n == 0)
            return false;
        pos += n;
    }
    return pos == at;
}

// Whether a direct jump of the function goes to `at`, or its code can't be followed to its end.
static bool is_jumped_to(const struct function *f, uint64_t at)
{
    uint64_t pos = f->start;
    while (pos < f->end) {
        int64_t target;
        uint32_t n = x86_decode(f->text + pos, f->size - pos, &target);
        if (n == 0)
            return true;
        if (target != INT64_MIN && (int64_t)pos + target == (int64_t)at)
            return true;
        pos += n;
    }
    return false;
}

static bool make_mov_site(const struct function *f, uint64_t at, struct platform_site *out)
{
    uint32_t nr;
    if (at < f->start + 5 || f->text[at - 5] != 0xb8)
        return false;
    memcpy(&nr, f->text + at - 4, 4);
    if (nr >= CALL_NUMBER_MAX || nr == NR_RT_SIGRETURN || !is_boundary(f, at - 5))
        return false;
    *out = (struct platform_site){.shape = PLATFORM_SITE_MOV, .nr = nr, .offset = at - 5};
    return true;
}

static bool make_cmp_site(const struct function *f, uint64_t at, struct platform_site *out)
{
    if (f->size - at < 8 || f->text[at + 2] != 0x48 || f->text[at + 3] != 0x3d)
        return false;
    if (!is_boundary(f, at) || is_jumped_to(f, at + 2))
        return false;
    *out = (struct platform_site){.shape = PLATFORM_SITE_CMP, .offset = at};
    memcpy(&out->compare, f->text + at + 4, 4);
    return true;
}

uint32_t text_find_sites(const struct text_segment *s, const uint8_t *text, const uint8_t *frames,
                         struct platform_site *sites, uint32_t room)
{
    struct frame_table table;
    uint32_t count = 0;
    if (!open_frames(s, frames, &table))
        return 0;
    uint64_t next = 0; // the sites must not overlap
    for (uint64_t at = 0; at + 2 <= s->size && count < room; at++) {
        const uint8_t *p = memchr(text + at, 0x0f, s->size - 1 - at);
        if (!p)
            break;
        at = (uint64_t)(p - text);
        uint64_t start, end;
        if (p[1] != 0x05 || !find_function(&table, s->vaddr + at, &start, &end) || start < s->vaddr)
            continue;
        struct function f = {.text = text, .size = s->size, .start = start - s->vaddr,
                             .end = MIN(end - s->vaddr, s->size)};
        struct platform_site site;
        if (!make_mov_site(&f, at, &site) && !make_cmp_site(&f, at, &site))
            continue;
        if (site.offset < next)
            continue;
        next = site.offset + (site.shape == PLATFORM_SITE_MOV ? 7 : 8);
        sites[count++] = site;
    }
    return count;
}
