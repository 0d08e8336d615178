// The host's system calls as the kernel and gofer processes make them: one typed wrapper for each row of calls.tbl, from
// which the seccomp programs are made, too. A call that is not there has no wrapper and kills the process.
//
// All return what the host returns, as a negative errno on failure, and never touch errno. None restarts after a signal:
// -EINTR goes to the caller, who knows what woke it. Safe from any thread; see syscall.h for the calls of start-up, which
// happen before the filter and are not counted.
#pragma once

#include "base/types.h"
#include "host/host-calls.h"
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

struct pollfd;
struct rusage;
struct statfs;
struct statx;
struct open_how;

extern const char *const host_call_names[HOST_CALL_COUNT];
extern const uint16_t host_call_numbers[HOST_CALL_COUNT];

// ---- Counting and failing --------------------------------------------------------------------------------------------

// Calls made since the start, by number, once counting was switched on (--debug-counts, before threads start).
struct host_counts {
    uint64_t calls[HOST_CALL_COUNT];
};
void host_counts_enable(void);
void host_counts_get(struct host_counts *out);

#ifdef CAISSON_FAULTS
// Test builds only: the nth call (from 1) of `call` answers with result (a negative errno, or a short count) instead of
// reaching the host. One plan at a time; returns whether the earlier plan has fired.
bool host_fault_plan(enum host_call_id call, uint64_t nth, long result);
#endif

// ---- Files -----------------------------------------------------------------------------------------------------------

int64_t host_read(int fd, void *buf, uint64_t size);
int64_t host_write(int fd, const void *buf, uint64_t size);
int64_t host_pread(int fd, void *buf, uint64_t size, uint64_t offset);
int64_t host_pwrite(int fd, const void *buf, uint64_t size, uint64_t offset);
// offset -1: the file's own position, as readv(2) and writev(2).
int64_t host_preadv2(int fd, const struct iovec *iov, int count, int64_t offset, int flags);
int64_t host_pwritev2(int fd, const struct iovec *iov, int count, int64_t offset, int flags);
int host_close(int fd);
int host_dup(int fd, int at_least); // close-on-exec
int host_fd_limit(void);            // how many descriptors may be open, a power of two
int host_get_flags(int fd);         // F_GETFL
int host_set_flags(int fd, int flags);
int64_t host_lseek(int fd, int64_t offset, int whence);
int host_fstat(int fd, struct stat *out);
int host_statx(int dir, const char *path, int flags, unsigned mask, struct statx *out);
int host_ftruncate(int fd, uint64_t size);
int host_fallocate(int fd, int mode, uint64_t offset, uint64_t size);
int host_fsync(int fd);
int host_fdatasync(int fd);
int host_ioctl(int fd, uint32_t request, void *arg);

// ---- Files by name: the gofer only -------------------------------------------------------------------------------------

int host_openat2(int dir, const char *path, const struct open_how *how);
int64_t host_getdents64(int fd, void *buf, uint64_t size);
int64_t host_readlinkat(int dir, const char *path, char *buf, uint64_t size);
int host_mkdirat(int dir, const char *path, uint32_t mode);
int host_mknodat(int dir, const char *path, uint32_t mode, uint64_t dev);
int host_symlinkat(const char *text, int dir, const char *path);
int host_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int host_unlinkat(int dir, const char *path, int flags);
int host_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int host_fchmod(int fd, uint32_t mode);
int host_fchmodat(int dir, const char *path, uint32_t mode); // follows a final symbolic link
int host_fchown(int fd, uint32_t uid, uint32_t gid);
int host_fchownat(int dir, const char *path, uint32_t uid, uint32_t gid, int flags);
int host_utimensat(int dir, const char *path, const struct timespec times[2], int flags);
int host_fstatfs(int fd, struct statfs *out);
int64_t host_fgetxattr(int fd, const char *name, void *buf, uint64_t size);
int64_t host_flistxattr(int fd, char *buf, uint64_t size);
int host_fsetxattr(int fd, const char *name, const void *value, uint64_t size, int flags);
int host_fremovexattr(int fd, const char *name);

// ---- Waiting, sockets --------------------------------------------------------------------------------------------------

// timeout NULL: none; the host leaves what is left of it.
int host_ppoll(struct pollfd *fds, uint32_t count, struct timespec *timeout);
// Before the filter: these are not on the list.
int host_epoll_create(void);
int host_socket_timeout(int fd, int milliseconds); // of blocking sends and receives, which then answer -EAGAIN
int host_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int host_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms); // -1: none
int64_t host_sendmsg(int fd, const struct msghdr *msg, int flags);
int64_t host_recvmsg(int fd, struct msghdr *msg, int flags);

// ---- Memory ------------------------------------------------------------------------------------------------------------

// The address, or a negative errno. Never executable.
int64_t host_mmap(void *addr, uint64_t size, int prot, int flags, int fd, uint64_t offset);
int host_munmap(void *addr, uint64_t size);
int host_madvise(void *addr, uint64_t size, int advice);
int64_t host_process_vm_readv(int pid, const struct iovec *local, uint64_t local_count,
                              const struct iovec *remote, uint64_t remote_count);
int64_t host_process_vm_writev(int pid, const struct iovec *local, uint64_t local_count,
                               const struct iovec *remote, uint64_t remote_count);

// ---- Threads, processes, time --------------------------------------------------------------------------------------------

int host_futex(void *word, int op, uint32_t value, const struct timespec *timeout, void *word2,
               uint32_t value3);
// FUTEX_REQUEUE and its kin take a count where the others take a time-out.
int host_futex_requeue(void *word, int op, uint32_t wake, uint32_t requeue, void *word2,
                       uint32_t value3);
int host_tgkill(int pid, int tid, int sig);
int host_kill(int pid, int sig); // sig is 0 or SIGKILL
// Waits for the end of any child without reaping it: its id, or a negative errno.
int host_wait_any(void);
bool host_is_stopped(int pid); // a child, by a signal from the host
int host_wait4(int pid, int *status, int options, struct rusage *usage);
int host_gettid(void);
int host_sched_yield(void);
int host_sched_setaffinity(int tid, uint64_t size, const void *mask);
int host_setpriority(int tid, int nice); // of a thread
int host_clock_gettime(
    clockid_t clock, struct timespec *out); // dynamic clocks, too; for plain ones libc's is faster
int host_clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                         struct timespec *left);
int64_t host_getrandom(void *buf, uint64_t size, unsigned flags);
int host_sigprocmask(int how, const uint64_t *set, uint64_t *old);
_Noreturn void host_exit_group(int status);

// CLOCK_MONOTONIC, through the vDSO.
nsec_t host_now(void);

// The clone flags of a kernel thread, the only ones that the filter lets through.
#define HOST_THREAD_FLAGS                                                               \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
