// How the kernel runs guest code: an address space (a stub process on the host), the threads in it, and the operations
// on both. `trap` is the first backend (docs/trap-platform.md); nothing here may be something that only it can do.
//
// A stub can lie: what it reports as done is a claim. Reports influence nothing but the guest that makes them.
#pragma once

#include "abi/regs.h"
#include "base/types.h"

struct platform;        // one per sandbox
struct platform_mm;     // an address space
struct platform_thread; // a guest thread: belongs to one address space for its life

enum trap_reason {
    TRAP_SYSCALL,   // nr and args are set; registers are those at the call
    TRAP_FAULT,     // sig, code, addr are set (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP)
    TRAP_INTERRUPT, // platform_interrupt() was answered; registers are complete
    TRAP_WORK,      // the guest did not run: the task has work pending (platform_set_work())
    TRAP_FUTEX,     // a futex wait that the stub makes itself was interrupted: nr, args. The result -EINTR ends it,
                    // PLATFORM_FUTEX_GO_ON lets it wait on until its time
    TRAP_DEAD,      // the stub's thread is gone: killed by the host, or ended for misbehaviour
};

struct trap {
    enum trap_reason reason;
    uint32_t nr;
    uint64_t args[6];
    int sig;
    int code;
    uint64_t addr;
    uint32_t error_code; // x86 page-fault error code: bit 1 set for a write, bit 4 for a fetch
    uint32_t trapno;
};

#define PLATFORM_FUTEX_GO_ON (-1000)

// The word that says that the task has work to do before it may run guest code: looked at by platform_run() after everybody
// can see that the guest is about to run, so that a signal is never overlooked.
void platform_set_work(struct platform_thread *pt, _Atomic uint32_t *word);

// ---- Threads -------------------------------------------------------------------------------------------------------

// Runs the guest until it traps. Before, the caller has set registers or the result of the call it answers. Called only by
// the task's own kernel thread, holding no lock. Copies that were queued with platform_window_out() reach guest memory
// before the guest goes on.
void platform_run(struct platform_thread *pt, struct trap *out);

// The task sleeps in a call, and goes on: threads that sleep leave their CPU to hand-offs that spin.
void platform_block(struct platform_thread *pt);
void platform_unblock(struct platform_thread *pt);

// The result of the call that platform_run() returned, put into the guest's result register.
void platform_set_result(struct platform_thread *pt, int64_t result);

// The guest's registers at its last trap. For a call from a patched site the platform may have to fetch them.
void platform_get_regs(struct platform_thread *pt, struct guest_regs *out);
void platform_set_regs(struct platform_thread *pt, const struct guest_regs *regs);
// Extended state (XSAVE layout as in a signal frame). get returns the size in bytes; buf NULL asks for the size.
uint64_t platform_get_fpstate(struct platform_thread *pt, void *buf, uint64_t size);
int platform_set_fpstate(struct platform_thread *pt, const void *buf, uint64_t size); // validates; -EINVAL
// True when the complete register state is at hand (trap by signal, not by a patched call). Signal delivery needs it:
// when it is false, platform_demand_frame() makes the next platform_run() come back at once with TRAP_INTERRUPT and the
// complete state, the call's result already in place.
bool platform_has_frame(const struct platform_thread *pt);
void platform_demand_frame(struct platform_thread *pt);

// Makes a running guest thread come back with TRAP_INTERRUPT soon. From any kernel thread; harmless when it isn't running
// guest code. If the stub doesn't answer in its own CPU time, it is killed.
void platform_interrupt(struct platform_thread *pt);
// As platform_interrupt(), for a thread that has to end: if it doesn't come back in time, its stub is killed, even when it
// sleeps.
void platform_condemn(struct platform_thread *pt);

// Whether the thread sleeps in a futex wait that the kernel hasn't seen. For figures alone: the stub says so.
bool platform_thread_waits(const struct platform_thread *pt);

// CPU time used by the guest in this thread.
nsec_t platform_thread_user_time(const struct platform_thread *pt);
int platform_set_affinity(struct platform_thread *pt, const uint64_t *mask, uint64_t mask_bytes);

// ---- Address spaces ------------------------------------------------------------------------------------------------

// A fresh, empty address space with one thread (for exec), from the pool. The thread's registers must be set before it
// runs. Errors: -ENOMEM, -EAGAIN.
int platform_mm_create(struct platform *p, struct platform_mm **ret_mm, struct platform_thread **ret_thread);
// fork: a copy of parent's address space with one thread whose registers are those of `parent` at its call. The map must
// not change meanwhile (caller holds mm.lock). stack 0: the parent's.
int platform_fork(struct platform_thread *parent, struct platform_mm **ret_mm, struct platform_thread **ret_thread);
// Another thread in creator's address space, registers as given (fs_base included), extended state as the creator's now.
// clear_tid as in platform_thread_exit(), 0: none; naming it here makes a later exit with the same address cheaper.
int platform_thread_create(struct platform_thread *creator, const struct guest_regs *regs, uint64_t clear_tid,
                           struct platform_thread **ret_thread);
// Ends one guest thread (called by its kernel thread; pt is gone afterwards). The last thread of an address space is
// ended by platform_mm_destroy. clear_tid: guest address that the host zeroes and futex-wakes once the thread is gone
// (0: none).
void platform_thread_exit(struct platform_thread *pt, uint64_t clear_tid);
// Kills the stub with all that is in it and frees every slot after it was reaped. Every thread of it comes back with
// TRAP_DEAD or is already gone.
void platform_mm_kill(struct platform_mm *pm);
void platform_mm_destroy(struct platform_mm *pm);
// Upcall (kernel/threads.c): the stub is dead, by the host's doing or its own. Tasks that are in it and sleep in a call have to
// be told; those that wait for it get TRAP_DEAD. Called without a lock; pm is only compared with.
void platform_mm_died(const struct platform_mm *pm);

// Map commands. They are queued on a thread of the address space and executed by it, in order, at platform_commit(), which
// returns 0 or the first failure's negative errno (then later ones were not executed). Lengths and addresses are whole
// pages inside the guest's range. Only the thread's own kernel thread may queue and commit; the caller holds mm.lock.
enum platform_prot { PLATFORM_READ = 1, PLATFORM_WRITE = 2, PLATFORM_EXEC = 4 };
int platform_map_anon(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot, bool noreserve);
// fd is a descriptor of the kernel process; it must stay open until the commit, after that the platform keeps its number
// safe as long as it has to (platform_fd_release()).
int platform_map_file(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot, bool shared, int fd,
                      uint64_t offset);
int platform_unmap(struct platform_thread *pt, uint64_t addr, uint64_t size);
int platform_protect(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot);
int platform_advise(struct platform_thread *pt, uint64_t addr, uint64_t size, int advice);
int platform_move(struct platform_thread *pt, uint64_t from, uint64_t size, uint64_t to);
// Faults the page of addr in for writing and changes nothing in it. -EFAULT when it can't be written. May wake a futex waiter
// on its first word, as anything may.
int platform_touch(struct platform_thread *pt, uint64_t addr);
// Residency of pages: one byte a page into vec, as mincore(2).
int platform_mincore(struct platform_thread *pt, uint64_t addr, uint64_t size, uint8_t *vec);
int platform_commit(struct platform_thread *pt);
// Like platform_commit(), but on success the guest goes on with `result` as its call's result right after the commands;
// the function returns when the stub has reported. The dispatcher must then not answer the call again: it asks
// platform_resumed().
int platform_commit_and_resume(struct platform_thread *pt, int64_t result);
bool platform_resumed(const struct platform_thread *pt);

// Closes a descriptor that may have been named in a countersigned call, once no stub can use its number any more.
void platform_fd_release(struct platform *p, int fd);

// ---- Other calls that the guest's own thread makes on the host --------------------------------------------------------

// rseq(2) is the last thing that a call does: on success the guest goes on with result 0 (platform_resumed()).
// FS base (and GS base where allowed), effective at once.
int platform_set_fs_base(struct platform_thread *pt, uint64_t base);
int platform_rseq(struct platform_thread *pt, uint64_t addr, uint32_t size, int flags, uint32_t sig);
int platform_membarrier(struct platform_thread *pt, int cmd, unsigned flags, int cpu_id);

// Futex calls that the kernel makes for a guest (wake of a robust futex, clear_tid): executed in the stub of pt.
// Sets FUTEX_WAITERS in the word at addr, atomically. 0, -EFAULT.
int platform_futex_mark(struct platform_thread *pt, uint64_t addr);
int platform_futex_wake(struct platform_thread *pt, uint64_t addr, int count, uint32_t bitset, bool shared);

// ---- Guest memory ----------------------------------------------------------------------------------------------------
// mm/copy.h is what the rest of the kernel uses; these are its ground.

// Bytes transferred, which may be fewer than size at an address that isn't there; never negative. Host call each.
uint64_t platform_read(struct platform_mm *pm, uint64_t addr, void *buf, uint64_t size);
uint64_t platform_write(struct platform_mm *pm, uint64_t addr, const void *buf, uint64_t size);
// The bytes [addr, addr+size) as the trampoline copied them with the request, or NULL. The result is a snapshot in memory
// that the stub can write: copy once, then check.
const void *platform_window_in(struct platform_thread *pt, uint64_t addr, uint64_t size);
// The longest prefix of [addr, addr + *size) that is in the window; sets *size to it (0: none).
const void *platform_window_in_prefix(struct platform_thread *pt, uint64_t addr, uint64_t *size);
// Room in the window for `size` bytes that go to addr when the guest goes on, or NULL when there is none. The caller has
// checked that the guest may write there.
void *platform_window_out(struct platform_thread *pt, uint64_t addr, uint64_t size);
// Gives back the tail of the last platform_window_out() (a short read).
void platform_window_shrink(struct platform_thread *pt, uint64_t unused);
// Sends queued copies to the guest now (before a wait, a fork, a signal frame, or a copy in of the same bytes).
void platform_window_flush(struct platform_thread *pt);

// ---- Patched text ------------------------------------------------------------------------------------------------------
// A copy of a file's text whose system calls jump to the stub instead of trapping (mm/text.c). Addresses in it are known by a
// per-process base: where the file's offset 0 would be mapped.

enum platform_site_shape {
    PLATFORM_SITE_MOV, // mov $nr,%eax; syscall: 7 bytes
    PLATFORM_SITE_CMP, // syscall; cmp $imm32,%rax: 8 bytes
};
struct platform_site {
    enum platform_site_shape shape;
    uint32_t nr;     // MOV
    int32_t compare; // CMP
    uint64_t offset; // in the file, of the first byte
};
#define PLATFORM_PATCH_FILES 512
// A number for a patched file; -ENOSPC when there are none left.
int platform_patch_file(struct platform *p);
// Writes the bytes that replace a site (8, of which MOV uses 7). 0, or -ENOSPC: no more sites can be patched.
int platform_patch_site(struct platform *p, uint32_t file, const struct platform_site *site, uint8_t out[8]);
// Where a call that is being answered goes on when its CMP site has just been patched with these bytes; 0: they are none.
uint64_t platform_patch_tail(const uint8_t bytes[8]);
// Tells pt's process where it has the file: takes effect no later than the guest's next instruction.
void platform_patch_base(struct platform_thread *pt, uint32_t file, uint64_t base);
bool platform_patching(const struct platform *p);

// ---- The sandbox -----------------------------------------------------------------------------------------------------

struct platform_config {
    bool no_patching, no_spin, no_stub_answers;
    uint32_t cpu_count;    // CPUs that the sandbox may use
    uint64_t cpu_mask[16]; // which
    uint32_t process_limit; // address spaces at a time, dying ones included; 0: none
};

// Ends of the guest's part of the address space.
#define GUEST_ADDR_MIN 0x70000ull // vm.mmap_min_addr; the platform has a table below
#define GUEST_ADDR_MAX 0x7fff00000000ull // exclusive; stub text and slots lie above
// Where a guest sees the vDSO (AT_SYSINFO_EHDR).
uint64_t platform_vdso_addr(const struct platform *p);
// What the guest sees in auxv.
uint64_t platform_hwcap(const struct platform *p);
uint64_t platform_hwcap2(const struct platform *p);
uint64_t platform_minsigstksz(const struct platform *p);
