// Mutual exclusion in the kernel process: a mutex of one 32-bit word, so that it can lie in the arena and is plainly free
// at a checkpoint. Debug builds (CAISSON_DEBUG) assert that a thread takes locks in ascending rank; two locks of one rank
// may be held together only when taken by lock_pair() (in address order).
//
// Word: bits 0-1 state (0 free, 1 held, 2 held with waiters), bits 8-15 rank. Spins shortly, then sleeps by futex.
// Locks may be held over memory copies between kernel objects, never over a copy to or from a guest, a message to the
// gofer, or a wait, except the ranks that are marked "may sleep" in the list.
#pragma once

#include "base/types.h"

// Ranks, lowest is taken first. Each has a line in docs/locking.md; scripts/check-locks.py compares the two.
enum lock_rank {
    LOCK_RANK_NONE = 0,
    LOCK_RANK_EXEC,        // thread_group.exec_lock: exec and group-wide credential changes (may sleep)
    LOCK_RANK_RENAME,      // super_block.rename_lock: directory renames of one file system (may sleep)
    LOCK_RANK_FILE_POS,    // file.pos_lock: held over reads and writes (may sleep)
    LOCK_RANK_EPOLL_NEST,  // kernel.epoll_nest_lock: which epoll is registered with which
    LOCK_RANK_INODE_DIR,   // inode.dir_lock of a directory: held over gofer messages (may sleep)
    LOCK_RANK_INODE,       // inode.lock of a file's contents and attributes
    LOCK_RANK_PI_FUTEX,    // a bucket of futexes with priority inheritance: held over copies of the word (may sleep)
    LOCK_RANK_MM,          // mm.lock: the map of an address space, see mm/mm.h (may sleep: platform commands)
    LOCK_RANK_TASKLIST,    // kernel.tasks_lock: ids, parents, children, sessions, groups
    LOCK_RANK_SIGHAND,     // thread_group.sig_lock: handlers, pending signals, group state
    LOCK_RANK_TTY,         // tty.lock
    LOCK_RANK_UNIX_GC,     // unix_table.gc_lock: descriptors in flight
    LOCK_RANK_SOCKET,      // socket.lock
    LOCK_RANK_PIPE,        // pipe.lock
    LOCK_RANK_EPOLL,       // epoll.lock
    LOCK_RANK_IPC,         // System V ipc tables and objects
    LOCK_RANK_FS_CONTEXT,  // fs_context.lock: root, cwd, umask
    LOCK_RANK_FD_TABLE,    // fd_table.lock
    LOCK_RANK_MOUNTS,      // mount_ns.lock
    LOCK_RANK_DENTRY,      // dentry.lock: children and name
    LOCK_RANK_OBJECT,      // small objects: eventfd, timerfd, inotify, credentials, file locks
    LOCK_RANK_WAIT_QUEUE,  // wait_queue.lock
    LOCK_RANK_EPOLL_READY, // epoll.ready_lock: taken from wake-ups, under the queue's lock
    LOCK_RANK_TIMER,       // timer wheel
    LOCK_RANK_TASK,        // task.lock: small per-task state
    LOCK_RANK_MEMFILE,     // memory file's extents
    LOCK_RANK_GOFER,       // gofer channel's bookkeeping
    LOCK_RANK_PLATFORM,    // platform tables, slots, permissions
    LOCK_RANK_HOST_FD,     // table of host descriptors
    LOCK_RANK_SLAB,        // slab caches and the arena
    LOCK_RANK_LOG,         // log output
};

struct lock {
    _Atomic uint32_t word;
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_slow(struct lock *l);   // internal
void unlock_slow(struct lock *l); // internal
bool lock_try(struct lock *l);
void lock_take(struct lock *l);
void lock_release(struct lock *l);
// Takes two locks of the same rank in address order; a == b takes one.
void lock_pair(struct lock *a, struct lock *b);
void unlock_pair(struct lock *a, struct lock *b);
// Debug builds abort when the calling thread doesn't hold l; release builds only check that somebody does.
void lock_assert_held(const struct lock *l);
// Debug builds abort when the calling thread holds any lock (before returning to the guest).
void lock_assert_none(const char *where);
// Debug builds abort when the calling thread holds a lock other than those marked "may sleep" above (before sleeping,
// copying to or from a guest, or a message to the gofer).
void lock_assert_may_sleep(const char *where);

#define LOCK_INITIALIZER(rank)                                                                                         \
    {                                                                                                                  \
        (uint32_t)(rank) << 8                                                                                          \
    }
