// The root of everything: one per sandbox. No other mutable global exists in the kernel process, save the pointer to it.
#pragma once

#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/rbtree.h"
#include "base/types.h"
#include "kernel/cred.h"
#include "kernel/sysctl.h"

struct boot_spec;
struct gofer_client;
struct memfile;
struct mount_ns;
struct platform;
struct session;
struct task;
struct thread_group;
struct text_cache;
struct timer_wheel;
struct host_events;
struct process_group;
struct user_table;
struct pi_table;
struct tty;
struct ipc_ns;
struct unix_table;
struct vfs;

struct uts_name {
    char nodename[65];
    char domainname[65];
};

#define PID_MAX 4194304

struct kernel {
    struct platform *platform;
    struct memfile *memfile;
    struct gofer_client *gofer;
    struct timer_wheel *timers;
    struct text_cache *text; // patched text: mm/text.c
    struct host_events *host_events;
    struct mount_ns *mounts; // initial mount namespace
    struct vfs *vfs;         // caches and tables of the file layer: vfs/vfs-int.h
    struct ipc_ns *ipc;
    struct unix_table *unix_sockets; // net/unix/; made by the first socket
    const struct boot_spec *spec;

    struct lock tasks_lock;        // LOCK_RANK_TASKLIST
    struct list tasks;             // GUARDED_BY(tasks_lock): every thread, by task.all_node
    struct task **pid_table;       // GUARDED_BY(tasks_lock): hash by tid, see kernel/pid.c
    struct process_group **pgrp_table; // GUARDED_BY(tasks_lock): hash by pgid
    struct session **session_table;    // GUARDED_BY(tasks_lock): hash by sid
    struct user_table *users;      // kernel/user.c
    struct pi_table *pi_futexes;   // kernel/futex-pi.c
    uint32_t last_pid;             // GUARDED_BY(tasks_lock)
    uint32_t task_count;           // GUARDED_BY(tasks_lock): threads
    uint32_t task_limit;
    struct task *init;             // thread group leader 1; never reaped by the guest
    _Atomic uint64_t fork_count;   // /proc/stat
    _Atomic uint64_t context_switches;

    struct lock mms_lock; // LOCK_RANK_OBJECT
    struct list mms;      // GUARDED_BY(mms_lock): every address space, by mm.node (mm/mm.c)

    struct lock epoll_nest_lock; // LOCK_RANK_EPOLL_NEST: which epoll is registered with which
    uint64_t epoll_nest_generation; // GUARDED_BY(epoll_nest_lock): of the last walk
    _Atomic uint64_t sysctl[SYSCTL_COUNT]; // kernel/sysctl.c

    struct lock misc_lock; // LOCK_RANK_OBJECT: uts, console
    struct uts_name uts;   // GUARDED_BY(misc_lock)
    struct tty *console;   // the host terminal on stdio, or NULL; set at start
    _Atomic uint32_t terminal_count; // of all devpts instances

    struct {
        nsec_t time, cpu; // of the last reading
        uint64_t average[3];
    } load; // GUARDED_BY(misc_lock): kernel/load.c
    struct random_state random; // GUARDED_BY(misc_lock)
    struct siphash_key hash_key;
    uint8_t boot_id[16];
    nsec_t boot_monotonic; // when the sandbox started
    nsec_t boot_realtime;
    uint32_t cpu_count;      // CPUs the sandbox may use
    uint64_t memory_limit;   // bytes shown as MemTotal
    _Atomic uint64_t gofer_messages; // counted by the gofer's client
    bool strace;
};

struct kernel *the_kernel(void);

// Random bytes for the guest and for the kernel's own choices.
void kernel_random(void *out, uint64_t size);

// A kernel thread on a stack of its own (host/thread.c); entry is found by number, not by pointer, in kernel/threads.c.
// Ends the sandbox: reports the wait status to the CLI and exits. Called when init's group is dead.
_Noreturn void kernel_shutdown(int wait_status);
// Init's group has stopped (CLD_STOPPED) or goes on (CLD_CONTINUED), by signal sig: told to the CLI.
void kernel_init_stopped(int code, int sig);
