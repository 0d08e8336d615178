// What the memory manager needs to know of a mapped file. The file layer is above mm: these are implemented there
// (vfs/mapping.c), declared here, so that includes point one way.
#pragma once

#include "base/types.h"

struct file;
struct strbuf;

// Where the pages of a file range come from on the host.
struct map_source {
    int fd;             // host descriptor to map (kept by the platform's rules until platform_fd_release())
    uint64_t offset;    // offset in it of the range's start
    uint64_t valid;     // bytes from the range's start that lie before the end of file, rounded up to a page; what follows
                        // is mapped inaccessible, and a fault there is answered by asking again (SIGBUS when still past it)
    bool zero;          // no file: anonymous zero pages (/dev/zero private)
};

// Finds the source for [offset, offset+size) of f. shared and prot are those of the mapping (a shared writable one needs a
// writable descriptor). 0, -ENODEV, -EACCES, -ENOMEM, -ENOSPC. May talk to the gofer and take the inode's lock; called without
// mm.lock.
int file_map_source(struct file *f, uint64_t offset, uint64_t size, int prot, bool shared, struct map_source *out);
// May mmap(2) map f so? Checks the open mode, noexec mounts, seals, O_PATH. 0, -EACCES, -ENODEV, -EPERM, -EBADF, -ETXTBSY.
int file_map_check(struct file *f, int prot, bool shared);
// Highest prot that mprotect may give the mapping later (PROT_* bits).
int file_map_max_prot(struct file *f, bool shared);
// msync of a range that is mapped shared.
int file_map_sync(struct file *f, uint64_t offset, uint64_t size);
// Mappings register with the file so that truncation can take the range away (mm_unmap_file_range() is the call back). Once
// for each vma; called with mm.lock held, so they may take only locks of a higher rank. may_write: stores can reach the file,
// now or after an mprotect (such a mapping is in the way of F_SEAL_WRITE).
void file_map_added(struct file *f, bool may_write);
void file_map_removed(struct file *f, bool may_write);
// Two files with the same contents (opens of one inode) have the same identity. Never NULL, never followed.
const void *file_map_identity(const struct file *f);
// MADV_REMOVE of a shared writable mapping: punches a hole. -EOPNOTSUPP when the file can't.
int file_map_remove(struct file *f, uint64_t offset, uint64_t size);
void file_map_describe(struct file *f, uint32_t *dev, uint64_t *ino, struct strbuf *path); // for /proc/PID/maps
struct file *file_ref(struct file *f);
void file_unref(struct file *f); // may sleep: not under locks above LOCK_RANK_MM
// An address space runs the file: nobody may open it for writing. -ETXTBSY when somebody has. Counted.
int file_deny_write(struct file *f);
void file_allow_write(struct file *f);
// Nobody can change the file's contents while the sandbox lives (a file of the image below the overlay).
bool file_map_immutable(const struct file *f);
// Reads for the kernel itself; short at the end of file. Bytes or a negative errno.
int64_t file_read_range(struct file *f, void *buf, uint64_t size, uint64_t offset);
// A file for MAP_SHARED|MAP_ANONYMOUS of `size` bytes. NULL: out of memory.
struct file *file_create_anon_shared(uint64_t size);
