// Which arguments of which call the stub copies into the window with the request. The table is generated from
// sys/syscalls.tbl (scripts/gen-syscalls.py).
#pragma once

#include <stdint.h>

enum { STUB_COPY_NONE, STUB_COPY_STRING, STUB_COPY_FIXED, STUB_COPY_SIZED, STUB_COPY_SCALED };
#define STUB_COPY_SPECS 3
#define STUB_COPY_TABLE_SIZE 463

struct stub_copy_spec {
    uint8_t kind;
    uint8_t pointer; // index of the argument that points
    uint8_t size;    // bytes (FIXED), or index of the argument that counts bytes (SIZED) or elements (SCALED)
    uint8_t scale;   // bytes of an element
};

extern const struct stub_copy_spec stub_copy_table[STUB_COPY_TABLE_SIZE][STUB_COPY_SPECS];
