// Writing the boot spec.
#pragma once

#include "runtime/container.h"

struct exports;

// A sealed memory file with the boot spec. *ret is the descriptor.
int boot_spec_write(const struct container *c, const struct run_options *o,
                    const struct exports *exports, bool rootless, const bool stdio_is_terminal[3],
                    int *ret, struct error *e);
