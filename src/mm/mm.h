// A guest address space: the map as the guest knows it. The platform holds the pages; this tree says what should be where.
//
// mm.lock is held from deciding a change of the map until the stub has reported that it made it. It may be held over
// platform commands, so nothing that another task needs to make progress may be waited for under it.
#pragma once

#include "abi/regs.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/rbtree.h"
#include "base/refcount.h"
#include "base/types.h"
#include "platform/platform.h"

struct file;
struct kernel;
struct strbuf;
struct task;

enum vma_flags {
    VMA_SHARED = 1 << 0,
    VMA_GROWSDOWN = 1 << 1, // the main stack: mapped whole up to its limit, shown as it grows
    VMA_NORESERVE = 1 << 2,
    VMA_LOCKED = 1 << 3,
    VMA_DONTFORK = 1 << 4,
    VMA_WIPEONFORK = 1 << 5,
    VMA_DONTDUMP = 1 << 6,
    VMA_HEAP = 1 << 7,
    VMA_VDSO = 1 << 8,
    VMA_ACCOUNT = 1 << 9, // is or was private and writable: Linux doesn't merge it with what never was
    VMA_LOCKONFAULT = 1 << 10,
    VMA_HUGEPAGE = 1 << 11,
    VMA_NOHUGEPAGE = 1 << 12,
    VMA_SYSV = 1 << 13, // a System V segment: shm_detach() is called for file when the last piece goes
    VMA_STALE = 1 << 14, // what lies past `valid` is still mapped in the stub: mm_run_deferred() takes it away
    VMA_STACK = 1 << 15, // the main stack: mapped whole, shown from mm.stack_shown on
};

struct vma {
    struct rb_node node; // mm.vmas by start
    uint64_t start, end; // whole pages; [start, end)
    int prot;            // PROT_READ | PROT_WRITE | PROT_EXEC
    int max_prot;
    uint32_t flags;
    struct file *file; // holds a reference; NULL: anonymous
    uint64_t offset;   // in file, of start
    uint64_t valid;    // [start, valid) is mapped in the stub; [valid, end) lies past the end of file and is inaccessible
    char *name;        // PR_SET_VMA_ANON_NAME; kmalloc'ed or NULL
};

#define MM_AUXV_MAX 48
#define MM_PATCHED_MAX 24

struct mm_patched { // a file whose patched text is mapped
    uint32_t index;
    uint64_t base; // 0: unused
};

struct mm {
    refcount_t users; // tasks that run in it, plus transient users
    _Atomic uint32_t task_count; // tasks that run in it: the last one to leave doesn't end its platform thread
    struct lock lock; // LOCK_RANK_MM
    struct list node; // kernel.mms
    struct rb_tree vmas;          // GUARDED_BY(lock)
    struct platform_mm *pm;       // immutable until the last put
    uint64_t brk_start, brk;      // GUARDED_BY(lock)
    uint64_t start_code, end_code, start_data, end_data, start_stack;
    uint64_t arg_start, arg_end, env_start, env_end;
    uint64_t stack_limit;         // lowest address of the mapped stack
    uint64_t stack_shown;         // GUARDED_BY(lock): where the stack seems to start
    struct vma *recent;           // GUARDED_BY(lock): the last one found
    uint64_t free_from;           // GUARDED_BY(lock): the search for a gap starts here, downwards
    uint64_t free_hole;           // GUARDED_BY(lock): no gap above free_from is larger
    uint64_t mmap_base;           // searched downwards from here
    uint64_t resident_pages; // as last measured; GUARDED_BY(lock)
    nsec_t measured_cpu;     // CPU time of the thread that measured, then; GUARDED_BY(lock)
    uint64_t measured_total; // total_pages then; GUARDED_BY(lock)
    uint64_t total_pages, data_pages, locked_pages, stack_pages, exec_pages, shared_pages; // GUARDED_BY(lock)
    uint32_t vma_count;           // GUARDED_BY(lock); limited by vm.max_map_count
    bool lock_future;             // mlockall(MCL_FUTURE); GUARDED_BY(lock)
    bool lock_on_fault;           // and MCL_ONFAULT
    bool stale;                   // some vma has VMA_STALE; GUARDED_BY(lock)
    uint64_t auxv[MM_AUXV_MAX];   // pairs, ends with AT_NULL; immutable after exec
    uint32_t auxv_count;          // 64-bit words
    struct mm_patched patched[MM_PATCHED_MAX]; // GUARDED_BY(lock)
    struct file *exe;             // GUARDED_BY(lock); holds a reference
    _Atomic uint32_t dumpable;
    _Atomic uint64_t hiwater_pages;
};

struct mm *mm_get(struct mm *mm);
// Drops a user; the last one kills the stub, frees the map and its files. May sleep.
void mm_put(struct mm *mm);

// An empty map over a fresh platform address space (exec). *ret_thread is its first thread.
int mm_create(struct platform *p, struct mm **ret, struct platform_thread **ret_thread);
// fork: the map copied (DONTFORK, WIPEONFORK honoured), the platform forked by t's own thread. Takes and releases t->mm->lock.
int mm_fork(struct task *t, struct mm **ret, struct platform_thread **ret_thread);

// Changes of the map, made for task t (its own thread executes the platform's commands) in t->mm, or, during exec, in `mm`
// through `pt`. Each takes mm.lock. Linux's semantics and errors: mmap(2), munmap(2), mprotect(2), mremap(2), brk(2).
struct mm_target {
    struct task *task; // limits and credentials
    struct mm *mm;
    struct platform_thread *pt;
    bool resume; // the guest may go on with the call's result as soon as its thread has made the change (platform.h,
                 // platform_commit_and_resume()); only when the change is all that the call does
    bool batch;  // exec: commands are queued and entered in the map at once; the caller commits them all, and throws the
                 // whole address space away when that fails
};
struct mmap_request {
    uint64_t addr, size; // size > 0
    int prot;
    int flags;         // MAP_*
    struct file *file; // borrowed
    uint64_t offset;
    uint32_t vma_flags; // additional VMA_*
};
int64_t mm_map(const struct mm_target *target, const struct mmap_request *request); // the address
int mm_unmap(const struct mm_target *target, uint64_t addr, uint64_t size);
int mm_protect(const struct mm_target *target, uint64_t addr, uint64_t size, int prot);
int64_t mm_remap(const struct mm_target *target, uint64_t old_addr, uint64_t old_size, uint64_t new_size, int flags,
                 uint64_t new_addr);
// remap_file_pages(2), as Linux emulates it since 4.0: a mapping over the old one. addr, size, offset: whole pages.
int mm_remap_file_pages(const struct mm_target *target, uint64_t addr, uint64_t size, uint64_t offset);
int64_t mm_brk(const struct mm_target *target, uint64_t brk);
int mm_advise(const struct mm_target *target, uint64_t addr, uint64_t size, int advice);
int mm_sync(const struct mm_target *target, uint64_t addr, uint64_t size, int flags);      // msync(2)
// mlock(2) and its kin. Bookkeeping only, see lock.c.
int mm_lock(const struct mm_target *target, uint64_t addr, uint64_t size, bool on_fault);
int mm_unlock(const struct mm_target *target, uint64_t addr, uint64_t size);
int mm_lock_all(const struct mm_target *target, int flags);
int mm_unlock_all(const struct mm_target *target);
// mincore(2) of at most 4 MiB: one byte a page into vec. -ENOMEM when a part isn't mapped.
int mm_mincore(const struct mm_target *target, uint64_t addr, uint64_t size, uint8_t *vec);
// PR_SET_VMA_ANON_NAME; name NULL takes it away.
int mm_set_name(const struct mm_target *target, uint64_t addr, uint64_t size, const char *name);

// The target that a call of t itself uses.
struct mm_target mm_target_of(struct task *t);

// exec: draws the places of stack and mappings in an empty map and maps the stack; the caller commits (target->batch).
// ret_stack_top: its end.
int mm_layout_init(const struct mm_target *target, int stack_prot, bool randomize, uint64_t *ret_stack_top);
// A free place for an image of `size` bytes, chosen as mmap would. 0: none.
uint64_t mm_find_room(struct mm *mm, uint64_t size, uint64_t align);
void mm_set_brk(struct mm *mm, uint64_t start);
// A page-aligned random offset below `range` bytes.
uint64_t mm_random_offset(uint64_t range);
// Called once, before the first address space.
void mm_init(struct kernel *k);

// A guest fault that the platform reported. Returns 0 when the access may be retried (the map says that it is valid, or it
// was made valid), else fills in a siginfo's signo and code (SIGSEGV SEGV_MAPERR/SEGV_ACCERR, SIGBUS BUS_ADRERR) and returns
// -EFAULT. A fault that repeats at one place without progress becomes a signal.
int mm_fault(struct task *t, const struct trap *trap, int *signo, int *code);

// Whether the map allows the access to all of [addr, addr+size): what copy_out() asks before it defers a copy. Takes
// mm.lock; a hint only, the access itself may still fail.
bool mm_access_ok(struct mm *mm, uint64_t addr, uint64_t size, bool write);

// Makes a page accessible that the map allows but the stub has not (the tail of a mapping of a file that has grown). True
// when the access is worth another try. t's own thread; no lock held.
bool mm_fault_in(struct task *t, uint64_t addr, bool write);

// Whether all of [addr, addr+size) is in the map, whatever its rights. Takes mm.lock.
bool mm_is_mapped(struct mm *mm, uint64_t addr, uint64_t size);

// Truncation: takes [offset, offset+size) of the file away from every address space that maps it; offset is the new end of
// file. (A hole needs nothing: the host takes punched pages out of the stubs.) The threads of those address spaces do it
// before they run guest code again; called with the inode's lock held.
void mm_unmap_file_range(struct file *f, uint64_t offset, uint64_t size);
// Makes the changes that other threads have asked of this address space. Called by t's own kernel thread, without a lock,
// when TASK_WORK_MM is set, before it returns to the guest.
void mm_run_deferred(struct task *t);

// ---- /proc ----
void mm_show_maps(struct mm *mm, struct strbuf *out, bool smaps);
void mm_show_smaps_rollup(struct mm *mm, struct strbuf *out);
// Sizes in pages, for /proc/PID/stat, statm and status.
struct mm_sizes {
    uint64_t total, peak, resident, shared, text, data, stack, locked;
};
void mm_get_sizes(struct mm *mm, struct mm_sizes *out);
uint64_t mm_resident_bytes(struct mm *mm, struct task *via);
