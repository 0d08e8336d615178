// Finds a function in a vDSO image in memory.
#pragma once

#include <elf.h>

#include "base/types.h"

// Offset of the symbol from the image's start, 0: not there. The image is the host's own: trusted.
static inline uint64_t vdso_symbol(const void *image, const char *name)
{
    const char *base = image;
    const Elf64_Ehdr *eh = image;
    const Elf64_Phdr *ph = (const void *)(base + eh->e_phoff);
    const Elf64_Dyn *dyn = NULL;
    uint64_t load = 0;
    for (int i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD && !load)
            load = ph[i].p_vaddr - ph[i].p_offset;
        if (ph[i].p_type == PT_DYNAMIC)
            dyn = (const void *)(base + ph[i].p_offset);
    }
    if (!dyn)
        return 0;
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *hash = NULL, *gnu_hash = NULL;
    for (; dyn->d_tag != DT_NULL; dyn++) {
        const char *p = base + (dyn->d_un.d_ptr - load);
        if (dyn->d_tag == DT_SYMTAB)
            symbols = (const void *)p;
        else if (dyn->d_tag == DT_STRTAB)
            strings = p;
        else if (dyn->d_tag == DT_HASH)
            hash = (const void *)p;
        else if (dyn->d_tag == DT_GNU_HASH)
            gnu_hash = (const void *)p;
    }
    if (!symbols || !strings)
        return 0;
    uint32_t count = hash ? hash[1] : 0;
    if (!hash && gnu_hash) { // the last symbol of the last chain
        const uint32_t *buckets = gnu_hash + 4 + 2 * gnu_hash[2], *chains = buckets + gnu_hash[0];
        for (uint32_t i = 0; i < gnu_hash[0]; i++)
            count = MAX(count, buckets[i]);
        while (count && !(chains[count - gnu_hash[1]] & 1))
            count++;
        count++;
    }
    for (uint32_t i = 0; i < count; i++)
        if (symbols[i].st_shndx != SHN_UNDEF && strcmp(strings + symbols[i].st_name, name) == 0)
            return symbols[i].st_value - load;
    return 0;
}
