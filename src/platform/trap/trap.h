// Start of the trap platform, for sandbox/main.c and kernel/threads.c.
#pragma once

#include "base/types.h"
#include "platform/platform.h"

struct slot;

// Counters for --debug-counts.
struct platform_counts {
    _Atomic uint64_t handoffs, sigsys_traps, patched_calls, notifications, window_copies, pvm_copies, forks, execs, interrupts,
        faults, commands, sleeps, stub_wakes;
};

struct trap_range {
    uint64_t start, end;
};

struct trap_zygote {
    int pid;
    struct trap_range vdso_range[8]; // vvar and vDSO of the kernel process
    uint32_t vdso_count;
    uint64_t vdso;
    int listener_fd, slot_fd, image_fd;
    int memory_fd, memory_fd_ro; // the memory file, of which the platform has the first 16 MiB
    struct slot *slots; // the kernel process's mapping of the slot file
    uint64_t hwcap, hwcap2, minsigstksz;
    bool fsgsbase;
    bool own_pids;    // the kernel process is PID 1 of its own namespace
    uint64_t stub_call; // address of the stub's routine for host calls, for tests
    const char *what; // on failure: the step
};

// Looks at where the host put its vDSO; while there still is a /proc. 0 or a negative errno with z->what.
int trap_zygote_prepare(struct trap_zygote *z);
// Makes the memory for slots and stub text and forks the zygote. Called before the kernel process holds a secret, while it has
// one thread and is dumpable. in_child runs in the zygote before its filter is installed (oom_score_adj); a negative result
// makes it fail. 0 or a negative errno with z->what.
int trap_zygote_start(struct trap_zygote *z, int (*in_child)(void *arg), void *arg);

// The rest, once the arena exists. 0, -ENOMEM, or what the host said.
int platform_init(struct platform **ret, const struct platform_config *config, const struct trap_zygote *z);
// Service threads: 0 listener, 1 reaper, 2 pool.
enum { PLATFORM_SERVICE_LISTENER, PLATFORM_SERVICE_REAPER, PLATFORM_SERVICE_POOL, PLATFORM_SERVICE_COUNT };
void platform_service_main(struct platform *p, int which);

struct platform_counts *platform_counts(struct platform *p);
