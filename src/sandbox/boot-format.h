// The bytes of the boot spec, for its writer (runtime/) and its parser.
#pragma once

#include "base/types.h"

#define BOOT_MAGIC   0x746f6f6243ull // "Cboot"
#define BOOT_VERSION 1

struct boot_header {
    uint64_t magic;
    uint32_t version;
    uint32_t size; // of the whole block, a multiple of 8
};

struct boot_record {
    uint16_t tag;
    uint16_t zero;
    uint32_t size; // of the payload that follows, padded with zeros to a multiple of 8
};

_Static_assert(sizeof(struct boot_header) == 16 && sizeof(struct boot_record) == 8, "no padding");

enum boot_tag {
    BOOT_TAG_FLAGS = 1,         // u32 flags, u32 tasks_max
    BOOT_TAG_ID = 2,            // text
    BOOT_TAG_HOSTNAME = 3,      // text
    BOOT_TAG_DOMAINNAME = 4,    // text
    BOOT_TAG_ARGS = 5,          // u32 count, texts
    BOOT_TAG_ENV = 6,           // u32 count, texts
    BOOT_TAG_CWD = 7,           // text
    BOOT_TAG_IDENTITY = 8,      // u32 uid, gid, umask; i32 oom_score_adj
    BOOT_TAG_GROUPS = 9,        // u32 ...
    BOOT_TAG_CAPABILITIES = 10, // u64 bounding, effective, inheritable, permitted, ambient
    BOOT_TAG_RLIMIT = 11,       // u32 number, u32 zero, u64 soft, u64 hard; repeats
    BOOT_TAG_EXPORT = 12,       // u32 id, u32 flags, text path; repeats
    BOOT_TAG_ROOT = 13,         // u32 export, u32 overlay
    BOOT_TAG_MOUNT = 14, // u32 type, u32 export, u64 flags, texts target, source, options; repeats
    BOOT_TAG_MASKED_PATHS = 15,   // u32 count, texts
    BOOT_TAG_READONLY_PATHS = 16, // u32 count, texts
    BOOT_TAG_STDIO = 17,          // u32 bits 0 to 2: is a terminal, u16 rows, u16 columns
    BOOT_TAG_MEMORY_LIMIT = 18,   // u64
    BOOT_TAG_SEED = 19,           // 32 bytes
    BOOT_TAG_START_TIME = 20,     // u64
    BOOT_TAG_COUNT = 21,
};

#define BOOT_TAGS_REQUIRED                                                                         \
    (1ull << BOOT_TAG_FLAGS | 1ull << BOOT_TAG_ID | 1ull << BOOT_TAG_ARGS | 1ull << BOOT_TAG_ENV | \
     1ull << BOOT_TAG_CWD | 1ull << BOOT_TAG_IDENTITY | 1ull << BOOT_TAG_CAPABILITIES |            \
     1ull << BOOT_TAG_EXPORT | 1ull << BOOT_TAG_ROOT | 1ull << BOOT_TAG_STDIO |                    \
     1ull << BOOT_TAG_SEED | 1ull << BOOT_TAG_START_TIME)
