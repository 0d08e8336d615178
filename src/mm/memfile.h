// The memory file: one memfd that holds the contents of every file that lives in the sandbox (tmpfs, overlay's upper layer,
// memfds, System V shared memory, MAP_SHARED|MAP_ANONYMOUS). Each owner has one contiguous window of offsets, so that one
// guest mapping is one host mapping. Contents are read and written with pread/pwrite on the memory file (coherent with the
// stubs' mappings); nothing is mapped in the kernel process.
//
// Windows: small ones (MEMFILE_SMALL bytes, 64 pages: one leaf of the host's page tree) for files that stay small and
// unmapped, large ones (MEMFILE_LARGE) as soon as a file grows past that or is mapped. A window that a stub has ever mapped
// is not given to another owner until that stub and its forks are reaped: its pages are punched out at once, only the
// offsets wait (and, offsets being plentiful, such a window is never reused at all). Windows that were never mapped are
// reused freely.
#pragma once

#include "base/types.h"

#define MEMFILE_RESERVED (16ull << 20) // the first offsets belong to the platform (its tables for patched calls)
#define MEMFILE_SMALL (256ull << 10)
#define MEMFILE_LARGE (1ull << 40) // also the largest size of a file in the sandbox

struct memfile_window {
    uint64_t base; // offset in the memory file
    uint64_t size; // MEMFILE_SMALL or the memory file's size of large ones (MEMFILE_LARGE on a memfd); 0: none yet
    bool mapped;   // a stub has mapped a part of it: set by the file's owner before it hands out the descriptor
    bool dirty;    // something was stored in it
};

struct memfile;

// fd_rw, fd_ro: two descriptors of one empty file that is nobody else's. limit: most bytes of memory it may use, 0 for
// none. 0, -ENOMEM, or what the host said of the descriptors.
int memfile_init(struct memfile **ret, int fd_rw, int fd_ro, uint64_t limit);

// 0, or -ENOSPC when the memory file's limit is reached. Contents read as zeros.
int memfile_window_init(struct memfile *m, struct memfile_window *w, bool large);
// Moves the contents ([0, size) of data) to a large window; no-op when it is large. 0, -ENOSPC, -ENOMEM. The file's owner
// sees to it that nobody writes meanwhile.
int memfile_window_enlarge(struct memfile *m, struct memfile_window *w, uint64_t size);
void memfile_window_free(struct memfile *m, struct memfile_window *w);

// Frees the pages of [offset, offset+size) inside the window (they read as zeros afterwards).
int memfile_punch(struct memfile *m, const struct memfile_window *w, uint64_t offset, uint64_t size);
int memfile_allocate(struct memfile *m, struct memfile_window *w, uint64_t offset, uint64_t size);
// Bytes transferred or a negative errno. Reads inside the window; the caller cuts at end of file.
struct uio;
int64_t memfile_read(struct memfile *m, const struct memfile_window *w, uint64_t offset, uint64_t size, struct uio *u);
int64_t memfile_write(struct memfile *m, struct memfile_window *w, uint64_t offset, uint64_t size, struct uio *u);
int64_t memfile_pread(struct memfile *m, const struct memfile_window *w, uint64_t offset, void *buf, uint64_t size);
int64_t memfile_pwrite(struct memfile *m, struct memfile_window *w, uint64_t offset, const void *buf, uint64_t size);
// SEEK_DATA / SEEK_HOLE inside the window: an offset relative to it, or -ENXIO.
int64_t memfile_seek(struct memfile *m, const struct memfile_window *w, uint64_t offset, uint64_t end, int whence);
uint64_t memfile_used_pages(struct memfile *m, const struct memfile_window *w, uint64_t end);
uint64_t memfile_total_bytes(struct memfile *m); // memory in use by all windows
// Host descriptors to map: read-only, or read-write.
int memfile_fd(const struct memfile *m, bool writable);
