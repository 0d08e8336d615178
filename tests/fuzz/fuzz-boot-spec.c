// The boot spec's parser: whatever it accepts can be walked without leaving the block.

#include "sandbox/boot-spec.h"
#include <stdlib.h>

static uint64_t walk(const struct boot_strings *s)
{
    uint64_t size = 0;
    uint32_t count = 0;
    const char *next = s->data, *text;
    while ((text = boot_strings_next(s, &next))) {
        size += strlen(text) + 1;
        count++;
    }
    if (size != s->size || count != s->count)
        abort();
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_spec s;
    const char *what;
    // A copy of exactly this size, aligned as a mapping is.
    char *block = aligned_alloc(8, (size + 7) & ~7ul);
    if (!block)
        return 0;
    memcpy(block, data, size);
    // Saves the fuzzer the finding of magic number, version and size.
    if (size >= 16) {
        memcpy(block, "Cboot\0\0\0\1\0\0\0", 12);
        uint32_t total = (uint32_t)size;
        memcpy(block + 12, &total, sizeof(total));
    }
    if (boot_spec_parse(block, size, &s, &what) == 0) {
        uint64_t sum =
            walk(&s.args) + walk(&s.env) + walk(&s.masked_paths) + walk(&s.readonly_paths);
        sum += strlen(s.id) + strlen(s.cwd) + strlen(s.hostname) + strlen(s.domainname);
        for (uint32_t i = 0; i < s.mount_count; i++)
            sum += strlen(s.mounts[i].target) + strlen(s.mounts[i].source) +
                   strlen(s.mounts[i].options);
        for (uint32_t i = 0; i < s.export_count; i++)
            sum += strlen(s.exports[i].path);
        for (uint32_t i = 0; i < s.group_count; i++)
            sum += s.groups[i];
        if (sum == 1)
            abort();
    } else if (!what) {
        abort();
    }
    free(block);
    return 0;
}
