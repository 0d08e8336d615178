// Signals as files: signalfd(2).
#pragma once

#include "vfs/file.h"

struct file *signalfd_create(uint64_t mask, uint32_t flags); // flags: O_NONBLOCK. NULL: out of memory
void signalfd_set_mask(struct task *t, struct file *f, uint64_t mask);
