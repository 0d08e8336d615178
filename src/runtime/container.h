// A container as the runtime sees it, made from config.json or from the options of `do`, and the options of this run.
// Everything lies in the pool.
#pragma once

#include "base/types.h"
#include "runtime/util.h"
#include "sandbox/boot-spec.h"

struct container_mount {
    uint32_t type;  // boot_mount_type
    uint64_t flags; // MS_*
    char *target;
    char *source;   // BOOT_MOUNT_BIND: host path; otherwise what /proc/mounts shows
    char *options;  // for the file system, never NULL
    bool recursive; // rbind
};

struct container {
    struct pool pool;
    char *id;
    char *bundle;    // absolute; NULL for `do`
    char *root_path; // absolute host path
    bool root_readonly;
    bool root_is_shared; // others write to it while the sandbox runs
    struct text_list args, env;
    char *cwd;
    char *hostname, *domainname; // may be NULL
    bool terminal;
    uint16_t console_rows, console_cols;
    uint32_t uid, gid, umask;
    uint32_t *groups;
    uint32_t group_count;
    uint64_t cap_bounding, cap_effective, cap_inheritable, cap_permitted, cap_ambient;
    struct boot_rlimit rlimits[BOOT_MAX_RLIMIT];
    bool no_new_privs;
    int32_t oom_score_adj;
    uint64_t memory_limit; // of the whole container in bytes, 0: none
    uint32_t pids_limit;   // 0: none
    struct container_mount *mounts;
    uint32_t mount_count, mount_room;
    struct text_list masked_paths, readonly_paths;
    char *annotations;         // JSON object as text, or NULL
    struct text_list warnings; // what was asked for and is not done
};

// The global options that concern the run.
struct run_options {
    const char *state_root; // directory of the state files
    bool state_root_is_default;
    bool debug, strace, no_patching, no_spin, no_stub_answers, log_json;
    const char *debug_log;    // file, or NULL
    const char *debug_counts; // file, or NULL
    uint32_t overlay;         // boot_overlay
    const char *overlay_dir;
    nsec_t start_time;
};

void container_done(struct container *c);
struct container_mount *container_add_mount(struct container *c, uint32_t type, const char *target,
                                            const char *source, uint64_t flags,
                                            const char *options);
// The mounts that every container has, unless something is mounted there already: /proc, /sys, /dev, /dev/pts, /dev/shm,
// /dev/mqueue.
void container_add_default_mounts(struct container *c);
// The limits of the calling process, for those that are not set.
void container_inherit_rlimits(struct container *c);
// Name to number (without CAP_ / RLIMIT_), -1 when there is none.
int capability_number(const char *name);
int rlimit_number(const char *name);
#define CAPABILITIES_ALL ((1ull << 41) - 1)
