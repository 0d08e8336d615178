// Event counters: eventfd(2).
#pragma once

#include "vfs/file.h"

// One reference, or NULL: out of memory. flags: O_NONBLOCK.
struct file *eventfd_create(uint32_t count, bool semaphore, uint32_t flags);
