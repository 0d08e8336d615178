// The ELF parser: whatever the bytes, no access outside of them, and a description that keeps the promises of elf.h.
#include <stdlib.h>

#include "kernel/elf.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_image(const struct elf_image *i)
{
    check(i->segment_count >= 1 && i->segment_count <= ELF_MAX_SEGMENTS);
    check(i->low < i->high && i->high < 1ull << 47);
    check(i->align >= PAGE_SIZE && (i->align & (i->align - 1)) == 0 && i->align <= 1ull << 30);
    check(i->brk <= i->high);
    for (uint32_t k = 0; k < i->segment_count; k++) {
        const struct elf_segment *s = &i->segments[k];
        check(s->start % PAGE_SIZE == 0 && s->offset % PAGE_SIZE == 0);
        check(s->start <= s->file_end && s->file_end <= s->end && s->start < s->end);
        check(s->start >= i->low && s->end <= i->high);
        check(s->offset + (s->file_end - s->start) <= INT64_MAX);
    }
    if (i->has_interpreter)
        check(i->interpreter_size >= 2 && i->interpreter_size <= 4096 &&
              i->interpreter_offset + i->interpreter_size <= INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_header header;
    static struct elf_image image;

    if (elf_parse_header(data, size, &header) < 0)
        return 0;
    check(header.headers_count >= 1 && header.headers_size <= ELF_MAX_HEADERS_SIZE);
    check(header.headers_offset + header.headers_size <= INT64_MAX);
    if (header.headers_offset > size || header.headers_size > size - header.headers_offset)
        return 0;
    // A copy of its own, so that the sanitizer sees an access past the headers.
    void *headers = malloc(header.headers_size);
    memcpy(headers, data + header.headers_offset, header.headers_size);
    if (elf_parse_image(&header, headers, &image) == 0)
        check_image(&image);
    free(headers);
    return 0;
}
