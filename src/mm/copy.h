// The only way to follow a guest address. Each copies once; what was copied is checked afterwards, in the copy. None may be
// called with a lock of a rank above LOCK_RANK_MM's held (mm.lock itself neither), because a copy may fault, wait for the
// stub, or extend a mapping.
//
// Small arguments and results ride in the slot's window (platform.h): copy_in() looks there first, copy_out() queues there
// when the range is writable by the map, and the bytes reach the guest no later than its next instruction.
#pragma once

#include "base/types.h"

struct task;
struct mm;

// 0 or -EFAULT. Size 0 succeeds.
int copy_in(struct task *t, void *dst, uaddr_t src, uint64_t size) MUST_USE;
int copy_out(struct task *t, uaddr_t dst, const void *src, uint64_t size) MUST_USE;
// Like copy_out(), visible to other threads when it returns.
int copy_out_now(struct task *t, uaddr_t dst, const void *src, uint64_t size) MUST_USE;
int clear_out(struct task *t, uaddr_t dst, uint64_t size) MUST_USE;
// A NUL-terminated string of fewer than `room` bytes: its length, -EFAULT, or -ENAMETOOLONG when no NUL was found.
int64_t copy_in_string(struct task *t, char *dst, uaddr_t src, uint64_t room) MUST_USE;
// Structures that grow (clone3, openat2, sched_setattr): copies min(size, user_size) bytes, zeroes the rest; -E2BIG when
// bytes past `size` aren't zero.
int copy_in_struct(struct task *t, void *dst, uint64_t size, uaddr_t src, uint64_t user_size) MUST_USE;
// Another address space (process_vm_readv, /proc/PID/mem, exec's new stack). Bytes copied; 0 for none.
uint64_t copy_in_mm(struct mm *mm, void *dst, uint64_t addr, uint64_t size);
uint64_t copy_out_mm(struct mm *mm, uint64_t addr, const void *src, uint64_t size);

#define copy_in_value(t, ptr, src) copy_in((t), (ptr), (src), sizeof(*(ptr)))
#define copy_out_value(t, dst, ptr) copy_out((t), (dst), (ptr), sizeof(*(ptr)))

// ---- Buffers of read and write ----------------------------------------------------------------------------------------
// A struct uio is a cursor over the memory that one read or write call names: a guest's iovec, or kernel memory. File
// operations move data through it and never see whose it is.
struct uio_segment {
    uint64_t addr; // guest address, or kernel pointer
    uint64_t size;
};

struct uio {
    struct task *task;                  // NULL: kernel memory
    const struct uio_segment *segments; // kernel copy of the iovec
    uint32_t count;
    uint32_t index;    // current segment
    uint64_t offset;   // bytes used of it
    uint64_t remaining; // bytes left in all
    uint32_t flags;     // UIO_*: set by the caller of a file operation, after uio_init_*()
};
enum {
    UIO_APPEND = 1 << 0, // RWF_APPEND: as if the file were open with O_APPEND
    UIO_NOWAIT = 1 << 1, // RWF_NOWAIT: -EAGAIN rather than wait
    UIO_AT_POSITION = 1 << 2, // *pos is the open file's own position, for files whose position the host keeps
};

#define UIO_MAX_SEGMENTS 1024 // UIO_MAXIOV
#define UIO_MAX_BYTES 0x7ffff000ull // MAX_RW_COUNT

void uio_init_user(struct uio *u, struct task *t, struct uio_segment *one, uaddr_t addr, uint64_t size);
void uio_init_kernel(struct uio *u, struct uio_segment *one, void *buf, uint64_t size);
// Copies and checks an iovec; *segments is `fixed` (of 8) or kmalloc'ed (caller kfrees when it differs). 0, -EINVAL (count,
// negative or overflowing sizes), -EFAULT, -ENOMEM. The total is cut to UIO_MAX_BYTES as Linux does.
int uio_init_iovec(struct uio *u, struct task *t, uaddr_t iov, int64_t count, struct uio_segment fixed[8],
                   struct uio_segment **segments);

// Data to the user (read): bytes copied, fewer at a bad address, -EFAULT when none. Advances.
int64_t uio_put(struct uio *u, const void *src, uint64_t size);
int64_t uio_put_zeros(struct uio *u, uint64_t size);
// Data from the user (write). Advances.
int64_t uio_get(struct uio *u, void *dst, uint64_t size);
// Direct buffers, to spare a copy: memory where `*size` (at most what was asked, at least 1) bytes can be put / found now, or
// NULL when there is none (then use uio_put/uio_get). uio_advance() says how much was used; for put, the rest is given back.
void *uio_put_direct(struct uio *u, uint64_t *size);
void uio_put_done(struct uio *u, uint64_t used, uint64_t asked);
const void *uio_get_direct(struct uio *u, uint64_t *size);
void uio_advance(struct uio *u, uint64_t size);
// Puts the cursor back by size bytes (a short write after uio_get).
void uio_revert(struct uio *u, uint64_t size);
