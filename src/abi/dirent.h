// Directory entries as getdents(2) and getdents64(2) give them.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct linux_dirent {
    uint64_t ino;
    uint64_t off;
    uint16_t reclen;
    char name[]; // NUL, padding, and in the last byte of the record the type
};
_Static_assert(offsetof(struct linux_dirent, name) == 18, "getdents(2)");

struct linux_dirent64 {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};
_Static_assert(offsetof(struct linux_dirent64, name) == 19, "getdents64(2)");
