// Moving data between a host descriptor and a guest's buffers.
#pragma once

#include "base/types.h"

struct uio;

// Each returns bytes, or a negative errno when there were none. offset -1: the descriptor's own position. flags: RWF_*.
// Reading stops at a short read; *offset isn't advanced: that is the caller's.
int64_t host_io_read(int fd, struct uio *u, int64_t offset, int flags);
int64_t host_io_write(int fd, struct uio *u, int64_t offset, int flags);
// Bytes from one descriptor to a sink in pieces (copy-up); a buffer of HOST_IO_BUFFER bytes that isn't zeroed.
#define HOST_IO_BUFFER (128ull << 10)
void *host_io_buffer_take(void);
void host_io_buffer_give(void *buffer);
