// Reading executables: ELF headers and #! lines. Pure functions from bytes to a description; nothing is mapped or opened here.
// Every byte is hostile: a description that is returned keeps its promises (see each field), whatever the input was.
#pragma once

#include "base/types.h"

#define ELF_MAX_SEGMENTS 64     // PT_LOAD entries
#define ELF_MAX_HEADERS_SIZE 65536 // of the program headers, as Linux
#define ELF_HEADER_SIZE 64

// What the first bytes say: where the program headers are.
struct elf_header {
    bool fixed; // ET_EXEC: loads at its own addresses
    uint64_t entry;
    uint64_t headers_offset; // of the program headers in the file; offset + size doesn't overflow
    uint32_t headers_count;  // >= 1
    uint32_t headers_size;   // bytes, at most ELF_MAX_HEADERS_SIZE
};

// A piece of the image, in whole pages where it says so. Addresses are as in the file; a relocated image adds its bias.
struct elf_segment {
    uint64_t start;     // page-aligned
    uint64_t offset;    // page-aligned, in the file, of start
    uint64_t file_end;  // last byte from the file + 1; start when there are none
    uint64_t end;       // last byte + 1; >= file_end; below 2^47
    int prot;
};

struct elf_image {
    bool fixed;
    uint64_t entry;
    uint32_t segment_count; // >= 1
    struct elf_segment segments[ELF_MAX_SEGMENTS]; // in the file's order
    uint64_t low, high;     // page-aligned bounds of all segments; low < high
    uint64_t align;         // power of two, >= a page, <= 1 GiB: what the image's place must be a multiple of
    uint64_t brk;           // end of the highest segment
    uint64_t start_code, end_code, start_data, end_data;
    uint64_t headers_addr;  // of the program headers in the image, 0: not loaded
    uint32_t headers_count;
    bool has_interpreter;
    uint64_t interpreter_offset; // of its path in the file
    uint32_t interpreter_size;   // with NUL, 2 to PATH_MAX
    bool executable_stack;  // PT_GNU_STACK asks for it
    bool stack_unstated;    // no PT_GNU_STACK
};

// size: bytes at buf, of which ELF_HEADER_SIZE are needed. 0 or -ENOEXEC (not an ELF executable for this machine).
int elf_parse_header(const void *buf, uint64_t size, struct elf_header *out);
// headers: header->headers_size bytes from the file. 0, -ENOEXEC, or -EINVAL (an image that can't be).
int elf_parse_image(const struct elf_header *header, const void *headers, struct elf_image *out);

#define SCRIPT_BUFFER_SIZE 256 // Linux: BINPRM_BUF_SIZE

struct script_line {
    char interpreter[SCRIPT_BUFFER_SIZE]; // path, never empty
    char argument[SCRIPT_BUFFER_SIZE];
    bool has_argument;
};

// buf: the file's first bytes, zeros after its end. 0, or -ENOEXEC: no #! line, or one that is cut off.
int script_parse(const char buf[SCRIPT_BUFFER_SIZE], struct script_line *out);
