// The boot spec: everything that the runtime tells a starting sandbox, as one block of bytes in a sealed memory file.
//
// Format: a header, then records, each 8-byte aligned: {u16 tag, u16 zero, u32 size, payload}. Text in a payload ends
// with NUL; a list of texts is a count and the texts one after the other. Numbers are in host byte order: the reader is
// always a binary of the same build on the same machine, which the header's version states. A tag that the reader does
// not know is an error: both ends are released together.
//
// The writer is the command (trusted). The parser nevertheless treats the block as hostile: it never reads outside of
// it, keeps pointers into the mapping only after having found the terminating NUL inside its record, allocates nothing,
// and refuses duplicates, unknown tags, numbers out of range and counts above the limits below.
#pragma once

#include "base/types.h"

// The descriptors that a role finds at its start. Whatever else is open is closed by jail_close_descriptors().
enum boot_fd {
    BOOT_FD_STDIN = 0,
    BOOT_FD_STDOUT = 1,
    BOOT_FD_STDERR = 2,
    BOOT_FD_SPEC = 3, // this block, a sealed memory file
    BOOT_FD_CONTROL =
        4,             // SEQPACKET socket to the command; its end means that the sandbox has to end
    BOOT_FD_GOFER = 5, // SEQPACKET socket between kernel and gofer
    BOOT_FD_LOG = 6,   // debug log, append mode, or /dev/null
    BOOT_FD_PROCFS =
        7, // kernel: procfs of its own PID namespace, put there by jail_enter_root(); may be closed
    BOOT_FD_MEMORY = 8,    // kernel: the memory file, read-write, empty
    BOOT_FD_MEMORY_RO = 9, // kernel: the same file opened read-only
    BOOT_FD_COUNTS = 10,   // kernel: --debug-counts file, only with BOOT_DEBUG_COUNTS
    BOOT_FD_KERNEL_END = 11,
    BOOT_FD_EXPORTS =
        10, // gofer: one descriptor for each export, in the order of boot_spec.exports
};

enum boot_limits {
    BOOT_MAX_SIZE =
        8 << 20, // of the whole block: arguments and environment are limited by Linux to 6 MiB
    BOOT_MAX_EXPORTS = 256,
    BOOT_MAX_MOUNTS = 256,
    BOOT_MAX_GROUPS = 65536,
    BOOT_MAX_RLIMIT = 16, // RLIMIT_ numbers 0 to 15
    BOOT_MAX_STRINGS = 1 << 20,
};

enum boot_flags {
    BOOT_DEBUG =
        1 << 0, // debug log lines, start times; a host call off the list traps and is logged
    BOOT_STRACE = 1 << 1,          // log every guest call
    BOOT_NO_PATCHING = 1 << 2,     // never patch call sites
    BOOT_NO_SPIN = 1 << 3,         // never spin for a hand-off
    BOOT_NO_STUB_ANSWERS = 1 << 4, // no answer comes from the stub's own page
    BOOT_DEBUG_COUNTS = 1 << 5,    // write counters to BOOT_FD_COUNTS at the end
    BOOT_LOG_JSON = 1 << 6,        // log lines are JSON objects
    BOOT_ROOTLESS = 1 << 7,        // the user namespace maps the caller, not an unused id
    BOOT_TERMINAL = 1 << 8, // the first process leads a session whose terminal is descriptor 0
    BOOT_NO_NEW_PRIVS = 1 << 9,
    BOOT_ROOT_READONLY = 1 << 10,  // the guest's root mount is read-only
    BOOT_NEW_TASK_LIMIT = 1 << 11, // tasks_max is set
    BOOT_FLAGS_ALL = (1 << 12) - 1,
};

enum boot_overlay {
    BOOT_OVERLAY_NONE = 0,   // the guest writes to the exported root itself
    BOOT_OVERLAY_MEMORY = 1, // upper layer in the memory file, a memfd
    BOOT_OVERLAY_DIR =
        2, // the same; the memory file is an unnamed file in a directory of the user's choice
};

enum boot_export_flags {
    BOOT_EXPORT_READONLY = 1 << 0, // the mount is read-only on the host side, too
    BOOT_EXPORT_SHARED =
        1 << 1, // others change it while the sandbox runs: names have to be asked for again
    BOOT_EXPORT_DIRECTORY =
        1 << 2, // otherwise one file (regular, or a character device, FIFO, socket)
    BOOT_EXPORT_FLAGS_ALL = (1 << 3) - 1,
};

enum boot_mount_type {
    BOOT_MOUNT_BIND = 0,
    BOOT_MOUNT_TMPFS = 1,
    BOOT_MOUNT_PROC = 2,
    BOOT_MOUNT_SYSFS = 3,
    BOOT_MOUNT_DEVPTS = 4,
    BOOT_MOUNT_DEVTMPFS = 5, // the usual device nodes, whatever the image has
    BOOT_MOUNT_MQUEUE = 6,
    BOOT_MOUNT_CGROUP = 7,
    BOOT_MOUNT_TYPE_COUNT = 8,
};

// Texts one after the other, each with its NUL.
struct boot_strings {
    const char *data;
    uint32_t size;  // bytes, NULs included
    uint32_t count; // exactly this many NULs are in data, the last at its end
};

struct boot_export {
    uint32_t id;      // index in exports, and what a mount's source names
    uint32_t flags;   // boot_export_flags
    const char *path; // where it lies on the host: for messages and mountinfo only
};

struct boot_mount {
    uint32_t type;       // boot_mount_type
    uint32_t export_id;  // BOOT_MOUNT_BIND: source; otherwise 0
    uint64_t flags;      // MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_RELATIME, ...
    const char *target;  // absolute, inside the guest's root; made there if it is missing
    const char *source;  // text that /proc/mounts shows
    const char *options; // what is left for the file system: "size=65536k,mode=755", never NULL
};

struct boot_rlimit {
    bool set;
    uint64_t soft, hard; // UINT64_MAX: none
};

struct boot_spec {
    uint32_t flags; // boot_flags
    const char *id; // sandbox id
    const char *hostname, *domainname;
    struct boot_strings args, env; // args.count >= 1
    const char *cwd;               // absolute
    uint32_t uid, gid, umask;
    const uint32_t *groups; // additional groups; may be NULL when group_count is 0
    uint32_t group_count;
    // Capabilities of the first process, bit n for CAP_n.
    uint64_t cap_bounding, cap_effective, cap_inheritable, cap_permitted, cap_ambient;
    struct boot_rlimit rlimits[BOOT_MAX_RLIMIT];
    int32_t oom_score_adj; // shown to the guest
    uint32_t tasks_max;    // with BOOT_NEW_TASK_LIMIT

    uint32_t root_export;
    uint32_t overlay; // boot_overlay
    uint32_t export_count, mount_count;
    struct boot_export exports[BOOT_MAX_EXPORTS];
    struct boot_mount mounts[BOOT_MAX_MOUNTS]; // in mount order
    struct boot_strings masked_paths, readonly_paths;

    bool stdio_is_terminal[3];
    uint16_t console_rows, console_cols; // 0: unknown
    uint64_t memory_limit;               // largest size in bytes of the memory file; 0: none
    uint8_t seed[32]; // for the first random state; the kernel adds its own getrandom
    uint64_t
        start_time; // CLOCK_MONOTONIC in ns when the command began, for the table of start times
};

// Parses the block. *out points into it: the mapping has to stay. On failure returns -EINVAL (-E2BIG for a count above
// its limit) and *what names the thing that is wrong; *out is undefined then.
int boot_spec_parse(const void *data, uint64_t size, struct boot_spec *out, const char **what);

// Maps the sealed memory file fd read-only and parses it. The mapping stays until the process ends.
int boot_spec_map(int fd, struct boot_spec *out, const char **what);

// Walks texts: *next starts as s->data; returns NULL at the end.
const char *boot_strings_next(const struct boot_strings *s, const char **next);
