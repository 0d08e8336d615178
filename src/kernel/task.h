// Tasks (threads), thread groups (processes), process groups and sessions.
//
// A task has one kernel thread, which runs the loop in kernel/run.c: platform_run(), answer the trap, deliver signals. Only
// that thread touches what is tagged task-owned. tasks_lock guards the tree: ids, parents, children, groups, sessions.
#pragma once

#include <signal.h>

#include "abi/regs.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/refcount.h"
#include "base/types.h"
#include "kernel/cred.h"
#include "kernel/kernel.h"
#include "kernel/signal.h"
#include "kernel/timer.h"
#include "kernel/wait.h"

struct fd_table;
struct file;
struct fs_context;
struct mm;
struct platform_thread;
struct tty;
struct sem_undo_list;

struct session {
    refcount_t refs;
    uint32_t sid;
    struct tty *tty; // controlling terminal; reference. GUARDED_BY(tasks_lock)
    struct process_group *hung_up_group; // was in the foreground of a terminal that hung up; reference. GUARDED_BY(tasks_lock)
    struct list groups; // process groups; GUARDED_BY(tasks_lock)
    struct session *hash_next; // kernel/pid.c
};

struct process_group {
    refcount_t refs;
    uint32_t pgid;
    struct session *session;
    struct list node;    // session.groups
    struct list members; // thread_group.pgrp_node; GUARDED_BY(tasks_lock)
    struct process_group *hash_next; // kernel/pid.c
};

struct rlimit_value {
    uint64_t soft, hard;
};
#define RLIMIT_COUNT 16

enum task_state { TASK_RUNNING, TASK_SLEEPING, TASK_STOPPED, TASK_ZOMBIE, TASK_DEAD, TASK_EMBRYO };

struct cpu_usage {
    nsec_t user, system;
    uint64_t max_rss_bytes, minor_faults, major_faults, voluntary_switches, involuntary_switches, in_blocks, out_blocks;
    uint64_t read_bytes, written_bytes, read_calls, write_calls; // by read(2), write(2) and their kin
};

struct thread_group {
    refcount_t refs;
    uint32_t tgid;
    struct task *leader;          // GUARDED_BY(tasks_lock)
    struct list threads;          // task.group_node; changed under tasks_lock and sig_lock, read under either
    uint32_t thread_count;        // threads that have not finished task_exit(); guarded like threads
    uint32_t live_count;          // threads that have not begun to exit; GUARDED_BY(sig_lock)
    struct thread_group *parent;  // GUARDED_BY(tasks_lock); NULL for init
    struct task *parent_task;     // the thread that forked it (PDEATHSIG, __WNOTHREAD); GUARDED_BY(tasks_lock)
    struct list children;         // thread_group.sibling; GUARDED_BY(tasks_lock)
    struct list sibling;
    struct process_group *pgrp;   // GUARDED_BY(tasks_lock)
    struct list pgrp_node;
    bool child_subreaper, has_child_subreaper, did_exec, adopted;
    bool no_terminal;             // has given up its session's (TIOCNOTTY); GUARDED_BY(tasks_lock)
    int exit_signal;              // to the parent when the group is dead; 0 none
    struct wait_queue child_wait; // wait4 of this group's threads: children changed state
    struct wait_queue signal_wait; // signalfds: woken by every signal that was queued
    struct wait_queue pidfd_wait; // pollers of pidfds on this group

    struct lock sig_lock;         // LOCK_RANK_SIGHAND
    struct sighand *sighand;      // handlers; shared under CLONE_SIGHAND; GUARDED_BY(sig_lock)
    struct sigpending shared_pending; // GUARDED_BY(sig_lock)
    bool group_exiting;           // GUARDED_BY(sig_lock): exit_group or fatal signal
    int group_exit_code;          // wait status; GUARDED_BY(sig_lock)
    struct task *exec_task;       // a thread that execs and waits for the others; GUARDED_BY(sig_lock)
    uint32_t stop_signal;         // != 0: stopped by it; GUARDED_BY(sig_lock)
    uint32_t stopped_count;       // threads that have stopped for stop_signal; GUARDED_BY(sig_lock)
    uint32_t stop_notify;         // CLD_ code that the parent has still to be told, 0 none; GUARDED_BY(sig_lock)
    uint32_t stop_code;           // signal that WSTOPSIG shows; GUARDED_BY(sig_lock)
    uint32_t stop_report;         // CLD_STOPPED / CLD_CONTINUED not yet waited for, 0 none; GUARDED_BY(sig_lock)
    int wait_status;              // when dead
    bool dead;                    // all threads gone: a zombie until reaped; GUARDED_BY(tasks_lock)

    struct lock limit_lock;       // LOCK_RANK_OBJECT
    struct rlimit_value limits[RLIMIT_COUNT]; // GUARDED_BY(limit_lock), single values read without
    struct timer itimer_real;
    nsec_t itimer_real_interval;
    struct list posix_timers;     // GUARDED_BY(sig_lock)
    uint32_t next_timer_id;
    struct timer cpu_timer;       // polls CPU limits while any is set
    nsec_t itimer_cpu_value[2], itimer_cpu_interval[2]; // ITIMER_VIRTUAL, ITIMER_PROF: absolute CPU time of expiry
    struct cpu_usage dead_threads;  // GUARDED_BY(tasks_lock)
    struct cpu_usage dead_children; // GUARDED_BY(tasks_lock): reaped ones
    nsec_t start_time;            // CLOCK_MONOTONIC
    nsec_t cpu_limit_next;        // CPU time of the next RLIMIT_CPU signal, 0: not yet reached; GUARDED_BY(sig_lock)
    struct lock exec_lock;        // LOCK_RANK_EXEC: one exec of the group at a time
    int32_t oom_score_adj;
};

// Bits of task.pending_work: looked at before each return to the guest and in waits.
enum task_work {
    TASK_WORK_SIGNAL = 1 << 0, // a deliverable signal may be pending
    TASK_WORK_KILL = 1 << 1,   // the thread must end (group exit, exec by another thread)
    TASK_WORK_STOP = 1 << 2,   // group stop
    TASK_WORK_MM = 1 << 3,     // run mm_run_deferred()
};

struct restart_block { // for ERESTART_RESTARTBLOCK; what a wait needs to go on after a stop
    uint8_t kind;      // 0 none, else by enum in sys/restart.h
    nsec_t deadline;
    int clock_id;
    uaddr_t remaining;
    uint64_t args[4];
};

struct task {
    refcount_t refs;
    uint32_t tid;                 // GUARDED_BY(tasks_lock); changes only in exec by a non-leader
    struct list all_node, group_node;
    struct task *hash_next;
    struct thread_group *group;   // immutable
    struct kernel *kernel;        // immutable

    struct platform_thread *pt;   // task-owned; others reach it under task.lock for platform_interrupt()
    struct mm *mm;                // task-owned to change (under task.lock); others task_get_mm()
    struct fd_table *files;       // the same
    struct fs_context *fs;        // the same
    struct lock lock;             // LOCK_RANK_TASK
    struct cred *cred;            // task-owned to change; others task_get_cred()

    _Atomic uint32_t pending_work; // enum task_work
    _Atomic uint32_t wake_word;    // see wait.h
    _Atomic uint32_t state;        // enum task_state
    bool in_guest;                 // inside platform_run(), advisory

    uint64_t blocked;             // signal mask; task-owned to change under sig_lock
    uint64_t saved_blocked;       // of sigsuspend, ppoll…: restored when no handler ran
    bool restore_blocked;         // task-owned
    struct sigpending pending;    // GUARDED_BY(group->sig_lock)
    uint64_t altstack_sp, altstack_size;
    uint32_t altstack_flags;
    int pdeath_signal;
    struct restart_block restart; // task-owned
    struct trap_info *trap;       // task-owned: what is being answered, see kernel/run.h

    uint64_t settled_sites[8];      // call sites that trap and always will (mm/text.c); task-owned
    int32_t signal_depth;           // handlers entered and not returned from (longjmp leaves it too high); task-owned
    uint64_t retry_addr, retry_rip; // task-owned: the last fault, to notice one that makes no progress (mm/fault.c)
    uint32_t retry_count;           // task-owned
    uint64_t clear_child_tid;     // task-owned
    uint64_t robust_list;         // task-owned
    uint64_t rseq_addr;
    uint32_t rseq_size, rseq_sig;
    char comm[16];                // under task.lock
    bool no_new_privs;
    bool sched_reset_on_fork;
    bool thp_disabled;
    _Atomic bool pi_waited;       // somebody has waited for a futex of this task's
    uint32_t charged_uid;         // whose USER_PROCESSES account this task is on; task-owned
    uint32_t personality;
    int nice, sched_policy, sched_priority;
    uint16_t ioprio;
    uint64_t affinity[16];        // 1,024 CPUs
    uint64_t timer_slack;
    struct task *vfork_parent;    // reference: who waits in vfork until task_release_mm(); task-owned
    _Atomic uint32_t vfork_state; // of the child: 1 while the parent waits
    bool exiting;                 // has begun task_exit(); GUARDED_BY(sig_lock)
    bool stop_dequeued;           // a stop signal was taken, no SIGCONT came since; GUARDED_BY(sig_lock)
    uint64_t wait_signals;        // sigtimedwait's set: these interrupt although blocked; GUARDED_BY(sig_lock)
    // A call that was being answered when a handler needed the complete register state (signal-deliver.c); task-owned.
    struct {
        bool valid;
        uint32_t nr;
        int64_t result;
    } unsettled;
    uint32_t fault_error, fault_trapno; // of the last fault, for signal frames; task-owned
    uint64_t fault_addr;
    nsec_t system_base;           // CPU time of the kernel thread when it began to serve this task
    uint64_t seen_resident;       // at the last task_measure_memory(); task-owned
    nsec_t user_frozen;           // user time, once pt is gone
    int exit_code;                // wait status of this thread
    uint16_t mempolicy;           // MPOL_* as set by the guest; task-owned, without effect (sys/mman.c)
    bool mempolicy_node;          // it names node 0
    nsec_t start_time;
    struct cpu_usage usage;       // task-owned additions
    struct sem_undo_list *sem_undo;
    int host_tid;                 // kernel thread's host id, for wake-ups out of host calls
};

// ---- Look-ups. Each returns a reference (or NULL) unless it says otherwise ----
struct task *task_find(uint32_t tid);
struct thread_group *thread_group_find(uint32_t tgid);
struct task *task_ref(struct task *t);
void task_unref(struct task *t);
struct thread_group *thread_group_ref(struct thread_group *g);
void thread_group_unref(struct thread_group *g);
struct process_group *process_group_find_locked(uint32_t pgid); // tasks_lock held, no reference
struct mm *task_get_mm(struct task *t);                         // reference; NULL after exit
struct cred *task_get_cred(struct task *t);
struct fd_table *task_get_files(struct task *t);
struct fs_context *task_get_fs(struct task *t);
uint64_t task_rlimit(const struct task *t, int resource); // soft

// The task of the calling kernel thread; NULL in service threads.
struct task *current_task(void);

// ---- Life ----
struct clone_request {
    uint64_t flags; // CLONE_*
    int exit_signal;
    uaddr_t parent_tid, child_tid, pidfd;
    uint64_t stack, tls;
    uint32_t set_tid; // 0: none
    uint32_t pidfd_flags;
};
int64_t task_clone(struct task *t, const struct clone_request *request); // child's tid (in the parent), or error
_Noreturn void task_exit(struct task *t, int wait_status);               // ends this thread's kernel thread
void thread_group_exit(struct thread_group *g, int wait_status);         // all threads will end; the caller too, soon
// exec by t: ends all other threads and takes the leader's id. 0 or -EINTR (a fatal signal came first).
int task_exec_take_over(struct task *t);
nsec_t task_user_time(struct task *t);
nsec_t task_system_time(struct task *t);
void thread_group_times(struct thread_group *g, struct cpu_usage *out); // live and dead threads
void thread_group_times_locked(struct thread_group *g, struct cpu_usage *out); // tasks_lock held

// Gives up the address space (exit, exec): robust list, clear-child-tid, vfork's parent, the platform's thread. Afterwards
// t->mm and t->pt are NULL.
void task_release_mm(struct task *t);
// exec: puts a fresh address space into t, whose old one was released.
void task_set_mm(struct task *t, struct mm *mm, struct platform_thread *pt);
void robust_list_exit(struct task *t); // exit and exec: marks what t holds as OWNER_DIED
// The first task of the sandbox: group, session and process group 1, no address space, no files yet; not running.
struct task *task_create_init(struct kernel *k, const struct cred *cred);
void task_begin(struct task *t);
int task_start(struct task *t); // gives it a kernel thread that runs task_run(); 0 or -EAGAIN
int tasks_init(struct kernel *k); // tables of ids
struct task *task_alloc(struct kernel *k); // zeroed, one reference
struct thread_group *thread_group_alloc(void);
struct cred *task_set_cred(struct task *t, struct cred *c); // publishes c (takes the reference); returns c
uint32_t task_uid(struct task *t); // real user, from any thread
void task_kick(struct task *t, uint32_t work); // sets bits of pending_work, gets t out of waits and guest code
void thread_group_exit_locked(struct thread_group *g, int wait_status); // sig_lock held
void thread_group_release_locked(struct thread_group *g); // a dead group leaves all tables; tasks_lock held
// Looks at the resident size of t's own address space: peak, and page faults as far as they show by growth.
void task_measure_memory(struct task *t);
void task_account(struct task *t, struct cpu_usage *out); // of one thread, with max_rss of its group left out
void cpu_usage_add(struct cpu_usage *sum, const struct cpu_usage *one);

// ---- Ids (pid.c), tasks_lock held unless it says otherwise ----
int pid_reserve(struct kernel *k, struct task *t, uint32_t want); // takes tasks_lock; t becomes findable at pid_publish
void pid_release_locked(struct kernel *k, struct task *t);
void pid_rename_locked(struct kernel *k, struct task *t, uint32_t tid);
struct task *task_find_locked(struct kernel *k, uint32_t tid); // no reference; no embryos
struct thread_group *thread_group_find_locked(struct kernel *k, uint32_t tgid); // no reference; zombies included
struct session *session_find_locked(struct kernel *k, uint32_t sid);
struct process_group *process_group_create_locked(struct kernel *k, uint32_t pgid, struct session *s); // NULL: no memory
struct session *session_create_locked(struct kernel *k, uint32_t sid);
struct session *session_ref(struct session *s);
void session_put_locked(struct kernel *k, struct session *s);
void process_group_put_locked(struct kernel *k, struct process_group *pg);
void thread_group_set_pgrp_locked(struct thread_group *g, struct process_group *pg); // takes the caller's reference to pg
// The other side of vfs (terminals): called when a session leader exits. tasks_lock held.
void tty_session_leader_exit_locked(struct session *s);

// ---- Accounts of users (user.c) ----
int users_init(struct kernel *k);
enum user_account {
    USER_PROCESSES,
    USER_SIGNALS,
    USER_EPOLL_WATCHES,
    USER_INOTIFY_INSTANCES,
    USER_INOTIFY_WATCHES,
    USER_FILES_IN_FLIGHT, // sent over sockets and not yet received
    USER_ACCOUNT_COUNT
};
bool user_charge(struct kernel *k, uint32_t uid, enum user_account what, uint64_t limit); // false: would exceed limit
void user_uncharge(struct kernel *k, uint32_t uid, enum user_account what);
uint64_t user_count(struct kernel *k, uint32_t uid, enum user_account what);

// pgid/sid rules: setpgid(2), setsid(2). tasks_lock held.
bool process_group_is_orphaned_locked(struct process_group *pg, struct thread_group *ignored);

// Upcalls into the file layer (vfs/task-files.c), so that includes point one way.
struct fd_table *fd_table_ref(struct fd_table *table);
struct fs_context *fs_context_ref(struct fs_context *fs);
int files_clone(struct task *parent, struct task *child, uint64_t clone_flags);
void files_exit(struct task *t);
int files_unshare_fs(struct task *t);
int files_unshare_table(struct task *t, uint32_t max);
int files_unshare(struct task *t); // exec: own table, close-on-exec done
// A descriptor for a pidfd on g, not yet visible: fd_reserve()d number and file; publish or discard follows (sys/pidfd.c).
int pidfd_prepare(struct task *t, struct thread_group *g, uint32_t flags, struct file **ret_file);
void pidfd_publish(struct task *t, int fd, struct file *f);
void pidfd_discard(struct task *t, int fd, struct file *f);
// Priority-inheriting futexes (kernel/futex-pi.c): what a dying task holds goes to the next one.
void pi_futex_exit(struct task *t);
// System V semaphores (sys/ipc-sem.c).
int sem_undo_clone(struct task *parent, struct task *child, uint64_t clone_flags);
void sem_undo_exit(struct task *t);
