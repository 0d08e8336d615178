// Start and end of the kernel, for sandbox/main.c.
#pragma once

#include "base/types.h"

struct boot_spec;
struct kernel;

// Makes struct kernel with its keys and limits; the arena exists. 0 or -ENOMEM.
int kernel_create(const struct boot_spec *spec, struct kernel **ret);
// A message to the command. 0 or a negative errno (it is gone).
int kernel_control_send(uint32_t type, int32_t a, int32_t b, const char *text);
// Body of the control thread: signals, window sizes and the end of the command.
void kernel_control_main(struct kernel *k);
// --debug-counts: JSON on BOOT_FD_COUNTS.
void kernel_write_counts(struct kernel *k);
