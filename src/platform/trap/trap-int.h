// Internals of the trap platform. docs/trap-platform.md tells how the pieces work together.
//
// Locks: platform.lock (LOCK_RANK_PLATFORM) guards the tables that the listener, the reaper and the tasks' threads share:
// threads by host id, pending forks, permissions, descriptor pins, the lists of address spaces and of their threads. What is
// tagged task-owned is touched only by the thread's own kernel thread.
#pragma once

#include <linux/seccomp.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/lock.h"
#include "base/types.h"
#include "platform/platform.h"
#include "platform/trap/stub/layout.h"
#include "platform/trap/trap.h"

#define PATCH_TABLE_OFFSET 0 // in the memory file
#define PATCH_THUNKS_OFFSET 0x100000
#define TID_HASH_SIZE 4096
#define POOL_SIZE 3
#define FD_PIN_MAX 65536

// What a stub's thread has been told to do and the host may let it do, once.
struct permission {
    uint32_t nr;
    uint64_t args[6];
    uint8_t arg_mask; // bit n: argument n has to be equal
    int fd;           // named descriptor that has to stay open, or -1
};

// Counted by a thread's own kernel thread, added to the platform's when the thread is gone.
struct thread_counts {
    uint64_t handoffs, sigsys_traps, patched_calls, window_copies, faults, commands, sleeps, stub_wakes;
};

struct platform_thread {
    struct list node; // platform_mm.threads
    struct platform_mm *pm;
    int tid; // host id; 0 while unknown
    struct platform_thread *hash_next;
    struct slot *slot; // the kernel's mapping of it
    uint64_t slot_index, slot_addr;
    _Atomic uint32_t *work; // the task's pending_work, see platform_set_work()
    _Atomic bool in_guest;
    _Atomic bool interrupted, condemned; // see watch.c
    _Atomic uint32_t progress; // changes when the stub has done what it was waited for
    uint32_t watched_progress, watched_rounds; // of the pool's thread
    nsec_t watched_cpu;
    _Atomic uint32_t waiter; // host id of the kernel thread that waits for the slot
    bool ended;
    bool counted; // in platform.running; task-owned

    // Permissions; GUARDED_BY(platform.lock)
    struct permission permission[SLOT_COMMAND_MAX];
    uint32_t permission_count, permission_next, permission_repeats;
    int pinned_fd;

    // Task-owned.
    uint32_t seen;        // request.seq that was handled last
    uint32_t reply_seq;
    bool ready;           // SLOT_READY was seen
    bool started;         // the first reply has let it go
    bool first_frame;     // goes on by rt_sigreturn on a frame that the kernel made
    bool resumed;         // commit_and_resume() let the guest go on
    bool want_frame;      // platform_demand_frame()
    bool has_result;
    bool futex_interrupted;
    int64_t result;
    uint32_t frame;       // offset of the ucontext in the slot, 0: patched call
    uint32_t fp, fp_size; // its extended state
    uint64_t fs_base;
    uint64_t clear_tid;   // what the host was told at the thread's creation
    uint32_t in_count;
    struct slot_in in[SLOT_IN_MAX];
    uint32_t window_used, copy_count, last_copy;
    struct slot_copy copy[SLOT_COPY_MAX];
    uint32_t command_count;
    struct slot_command command[SLOT_COMMAND_MAX];
    int8_t command_fd[SLOT_COMMAND_MAX]; // 1: privileged, 0: not
    bool spinning;        // hand-offs spin; see hand-off.c
    uint8_t spin_penalty;
    uint16_t quick, spins_paid;
    bool stub_held;       // the stub's thread may run only where it last did
    bool affinity_set;    // by the guest
    uint64_t affinity[16];
    int placed;           // CPU of the kernel thread plus one, or minus that: any but this; 0: anywhere
    nsec_t guest_since, user_time;
    struct thread_counts counts;
};

struct platform_mm {
    struct list node; // platform.mms
    struct platform *p;
    int pid; // 0 until the child has come
    struct platform_mm *pid_next; // platform.pids
    struct list threads, ended; // GUARDED_BY(platform.lock)
    uint32_t thread_count;
    uint64_t near_used;         // bitmap of slot places
    uint32_t far_next;
    struct list free_slots;     // struct free_slot
    _Atomic bool dead;          // killed, or about to be reaped: no thread of it will answer
    bool reaped, destroyed, multi;
    uint32_t lost_threads;      // clones that were let go on and reported as failed; GUARDED_BY(platform.lock)
    nsec_t final_time;
    nsec_t ended_out; // time that ended threads were out in the guest; GUARDED_BY(platform.lock)
};

enum { FORK_PENDING, FORK_COME, FORK_DIED };

struct pending_fork {
    struct list node;
    struct platform_thread *parent, *child;
    uint64_t args[6];        // of the mmap that the child begins with
    _Atomic uint32_t state;  // futex word
};

struct fd_pin {
    uint32_t pins;
    bool closing;
};

struct platform {
    struct platform_config config;
    struct trap_zygote zygote_info;
    struct slot *slots; // mapping of the slot file
    struct lock lock; // LOCK_RANK_PLATFORM: the fields below
    struct list mms;
    struct platform_mm *pids[TID_HASH_SIZE]; // by pid, until it is reaped
    struct platform_thread *tids[TID_HASH_SIZE];
    struct list forks;
    struct fd_pin fds[FD_PIN_MAX];
    uint64_t next_slot;
    uint8_t *chunk_live; // live slots of each 2 MiB of the slot file, for giving page tables back
    struct platform_thread *zygote;
    uint8_t page_unused[64];

    _Atomic uint32_t pool_word; // futex: changes when the pool does
    struct platform_thread *pool[POOL_SIZE]; // GUARDED_BY(lock)
    uint32_t pool_count;

    _Atomic uint32_t watching;      // some thread is interrupted or condemned, see watch.c
    int pid_high;                   // GUARDED_BY(lock): the highest host id that a stub's thread had
    uint32_t patch_files, patch_sites; // GUARDED_BY(lock)
    _Atomic uint32_t mm_count; // address spaces, those included whose process is ending
    _Atomic int running; // threads in guest code or being answered
    struct platform_counts counts;
};

extern const struct slab_type platform_thread_slab, platform_mm_slab;

void counts_fold_locked(struct platform *p, struct platform_thread *pt);
struct slot *slot_at(struct platform *p, uint64_t index);
// A slot and an object for a new thread of pm; place: address that it must have, 0: any. NULL: none left.
struct platform_thread *thread_alloc(struct platform_mm *pm, uint64_t place);
void thread_free_locked(struct platform_thread *pt);
struct platform_mm *mm_alloc(struct platform *p);
void mm_set_pid_locked(struct platform_mm *pm, int pid);
// Takes pm out of the table of process ids; NULL: no such process. For its reaping.
struct platform_mm *mm_take_pid_locked(struct platform *p, int pid);
void tid_insert_locked(struct platform *p, struct platform_thread *pt);
void tid_remove_locked(struct platform *p, struct platform_thread *pt);
struct platform_thread *tid_find_locked(struct platform *p, int tid);

// hand-off.c
enum wait_result { WAIT_REQUEST, WAIT_DEAD };
enum wait_result wait_request(struct platform_thread *pt, bool guest);
void send_reply(struct platform_thread *pt, uint32_t flags);
// Runs the queued commands; with tail, lets the guest go on after them.
int run_commands(struct platform_thread *pt, bool tail);
int command_add(struct platform_thread *pt, uint64_t nr, const uint64_t args[6], bool privileged, uint8_t mask, int fd);
// Waits for SLOT_READY of a new process or thread. False: it died, or does not behave.
bool make_ready(struct platform_thread *pt);
void prepare_first_frame(struct platform_thread *pt, bool own_fp);
void copy_first_frame(struct platform_thread *pt, struct platform_thread *parent, uint32_t frame, uint32_t fp,
                      uint32_t fp_size);
struct host_ucontext;
struct host_ucontext *frame_of(struct platform_thread *pt);

// listener.c, reaper.c, pool.c: bodies of service threads
void listener_main(struct platform *p);
void reaper_main(struct platform *p);
void pool_main(struct platform *p);
void unpin_locked(struct platform *p, int fd);
void fork_settled_locked(struct pending_fork *fork, uint32_t state);
// watch.c
#define WATCH_ROUND 250000000 // ns
void watch_round(struct platform *p);
void watch_thread(struct platform_thread *pt, _Atomic bool *why);
void stub_is_late(struct platform_thread *pt);
int fork_from(struct platform_thread *parent, struct platform_thread **ret);

// filter.c
struct sock_filter;
int trap_filter_build(struct sock_filter *program, uint32_t room, uint64_t text_end);
void mm_release(struct platform_mm *pm);
void thread_retire(struct platform_thread *pt, bool slot_reusable);
