// ELF64 executables and #! lines, see elf.h. What is refused, and with which errno, follows Linux's fs/binfmt_elf.c and
// fs/binfmt_script.c; what Linux only finds out while it maps (overlapping the end of the address space, a segment whose
// offset and address disagree) is found out here, before anything of the old program is gone.
//
// DEVIATION: at most 64 loadable segments (ENOEXEC beyond), where Linux takes up to 1,170.
#include "kernel/elf.h"

#include <elf.h>
#include <limits.h>
#include <sys/mman.h>

#include "base/checked.h"

#define ADDRESS_LIMIT (1ull << 47)
#define MAX_ALIGN (1ull << 30)

#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#endif

_Static_assert(sizeof(Elf64_Ehdr) == ELF_HEADER_SIZE, "ELF header is 64 bytes");

int elf_parse_header(const void *buf, uint64_t size, struct elf_header *out)
{
    Elf64_Ehdr h;
    uint64_t end;

    if (size < sizeof(h))
        return -ENOEXEC;
    memcpy(&h, buf, sizeof(h));
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 ||
        h.e_ident[EI_DATA] != ELFDATA2LSB)
        return -ENOEXEC;
    if ((h.e_type != ET_EXEC && h.e_type != ET_DYN) || h.e_machine != ELF_MACHINE)
        return -ENOEXEC;
    if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum < 1 ||
        h.e_phnum * sizeof(Elf64_Phdr) > ELF_MAX_HEADERS_SIZE)
        return -ENOEXEC;
    if (!add_u64(h.e_phoff, h.e_phnum * sizeof(Elf64_Phdr), &end) || end > INT64_MAX)
        return -ENOEXEC;
    *out = (struct elf_header){
        .fixed = h.e_type == ET_EXEC,
        .entry = h.e_entry,
        .headers_offset = h.e_phoff,
        .headers_count = h.e_phnum,
        .headers_size = (uint32_t)(h.e_phnum * sizeof(Elf64_Phdr)),
    };
    return 0;
}

static int prot_of(uint32_t flags)
{
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

static void widen(struct elf_image *out, const struct elf_segment *s, uint64_t vaddr)
{
    out->low = MIN(out->low, s->start);
    out->high = MAX(out->high, PAGE_UP(s->end));
    out->brk = MAX(out->brk, s->end);
    if (s->prot & PROT_EXEC) {
        out->start_code = MIN(out->start_code, vaddr);
        out->end_code = MAX(out->end_code, s->file_end);
    }
    out->start_data = MAX(out->start_data, vaddr);
    out->end_data = MAX(out->end_data, s->file_end);
}

static int add_segment(const Elf64_Phdr *ph, struct elf_image *out)
{
    struct elf_segment *s;
    uint64_t end, file_end, offset_end, in_page = ph->p_vaddr & (PAGE_SIZE - 1);

    if (ph->p_filesz > ph->p_memsz)
        return -EINVAL;
    if (ph->p_memsz == 0)
        return 0;
    if (!add_u64(ph->p_vaddr, ph->p_memsz, &end) || end > ADDRESS_LIMIT - PAGE_SIZE)
        return -EINVAL;
    if (!add_u64(ph->p_offset, ph->p_filesz, &offset_end) || offset_end > INT64_MAX - PAGE_SIZE)
        return -EINVAL;
    file_end = ph->p_vaddr + ph->p_filesz;
    if (ph->p_filesz && ((ph->p_offset & (PAGE_SIZE - 1)) != in_page))
        return -EINVAL; // what mmap would say
    if (out->segment_count == ELF_MAX_SEGMENTS)
        return -ENOEXEC;
    s = &out->segments[out->segment_count++];
    s->start = PAGE_DOWN(ph->p_vaddr);
    s->offset = ph->p_filesz ? ph->p_offset - in_page : 0;
    s->file_end = ph->p_filesz ? file_end : s->start;
    s->end = end;
    s->prot = prot_of(ph->p_flags);
    if (ph->p_align > out->align && ph->p_align <= MAX_ALIGN && (ph->p_align & (ph->p_align - 1)) == 0)
        out->align = ph->p_align;
    widen(out, s, ph->p_vaddr);
    return 0;
}

// The program headers' address, if a segment has them.
static uint64_t find_headers(const struct elf_header *h, const struct elf_image *image)
{
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i];
        uint64_t size = s->file_end - s->start;
        if (h->headers_offset >= s->offset && h->headers_offset - s->offset < size)
            return s->start + (h->headers_offset - s->offset);
    }
    return 0;
}

int elf_parse_image(const struct elf_header *header, const void *headers, struct elf_image *out)
{
    int ret;

    *out = (struct elf_image){
        .fixed = header->fixed,
        .entry = header->entry,
        .align = PAGE_SIZE,
        .headers_count = header->headers_count,
        .stack_unstated = true,
        .low = UINT64_MAX,
        .start_code = UINT64_MAX,
    };
    for (uint32_t i = 0; i < header->headers_count; i++) {
        Elf64_Phdr ph;
        memcpy(&ph, (const char *)headers + i * sizeof(ph), sizeof(ph));
        switch (ph.p_type) {
        case PT_LOAD:
            ret = add_segment(&ph, out);
            if (ret < 0)
                return ret;
            break;
        case PT_INTERP:
            if (out->has_interpreter)
                break; // the first counts
            if (ph.p_filesz < 2 || ph.p_filesz > PATH_MAX || ph.p_offset > INT64_MAX - PATH_MAX)
                return -ENOEXEC;
            out->has_interpreter = true;
            out->interpreter_offset = ph.p_offset;
            out->interpreter_size = (uint32_t)ph.p_filesz;
            break;
        case PT_GNU_STACK:
            out->stack_unstated = false;
            out->executable_stack = ph.p_flags & PF_X;
            break;
        }
    }
    if (out->segment_count == 0)
        return header->fixed ? -ENOEXEC : -EINVAL;
    if (out->end_code == 0)
        out->start_code = out->low;
    out->headers_addr = find_headers(header, out);
    return 0;
}

// ---- #! lines --------------------------------------------------------------------------------------------------------

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

// First byte in [from, last] that isn't a blank, or NULL.
static const char *skip_blanks(const char *from, const char *last)
{
    for (; from <= last; from++)
        if (!is_blank(*from))
            return from;
    return NULL;
}

// First blank or NUL in [from, last], or NULL.
static const char *find_terminator(const char *from, const char *last)
{
    for (; from <= last; from++)
        if (is_blank(*from) || !*from)
            return from;
    return NULL;
}

static void copy_word(char dst[SCRIPT_BUFFER_SIZE], const char *from, const char *end)
{
    uint64_t size = strnlen(from, (uint64_t)(end - from));
    memcpy(dst, from, size);
    dst[size] = 0;
}

int script_parse(const char buf[SCRIPT_BUFFER_SIZE], struct script_line *out)
{
    const char *last = buf + SCRIPT_BUFFER_SIZE - 1, *end, *name, *stop, *argument = NULL;

    if (buf[0] != '#' || buf[1] != '!')
        return -ENOEXEC;
    end = memchr(buf, '\n', SCRIPT_BUFFER_SIZE);
    if (!end) {
        // Without a newline the path must at least be whole.
        end = skip_blanks(buf + 2, last);
        if (!end || !find_terminator(end, last))
            return -ENOEXEC;
        end = last;
    }
    while (end > buf + 2 && is_blank(end[-1]))
        end--;
    name = skip_blanks(buf + 2, end);
    if (!name || name == end || !*name)
        return -ENOEXEC;
    stop = find_terminator(name, end);
    if (stop && *stop && stop < end)
        argument = skip_blanks(stop, end);
    copy_word(out->interpreter, name, stop && stop < end ? stop : end);
    out->has_argument = argument && argument < end && *argument;
    if (out->has_argument)
        copy_word(out->argument, argument, end);
    else
        out->argument[0] = 0;
    return 0;
}
