// The terminal that the command was started on.
#pragma once

#include "base/types.h"
#include <termios.h>

struct terminal {
    int fd;   // -1: none, nothing below has an effect
    bool raw; // we changed it
    struct termios saved;
};

// fd is a terminal that the guest's first process shall have as its own.
void terminal_init(struct terminal *t, int fd);
// Raw mode, when the command is in the foreground; otherwise left for later.
void terminal_make_raw(struct terminal *t);
void terminal_restore(struct terminal *t);
bool terminal_size(const struct terminal *t, uint16_t *rows, uint16_t *cols);
