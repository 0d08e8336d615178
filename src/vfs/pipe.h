// Pipes and FIFOs, for pipe2(2), open(2) and splice(2). The calls that the rest of the file layer makes are in vfs/hooks.h.
#pragma once

#include "vfs/hooks.h"

// flags: O_CLOEXEC is the caller's business; O_NONBLOCK, O_DIRECT. ret[0] reads, ret[1] writes; one reference each.
int pipe_create(uint32_t flags, struct file *ret[2]);
void pipe_release(struct file *f);
// Keeps other readers away between pipe_peek() and pipe_consume(). 0 or -ERESTARTSYS.
int pipe_read_begin(struct task *t, struct file *pipe);
void pipe_read_end(struct file *pipe);
