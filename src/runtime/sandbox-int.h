// Shared by sandbox.c, which starts a sandbox, and supervise.c, which accompanies it.
#pragma once

#include "runtime/exports.h"
#include "runtime/sandbox.h"
#include "runtime/spawn.h"
#include "runtime/terminal.h"
#include "sandbox/control.h"

struct sandbox {
    struct container *container;
    const struct run_options *options;
    struct state_dir *state; // or NULL
    struct sandbox_result *result;
    struct error *error;

    struct runtime_namespaces namespaces;
    struct exports exports;
    struct spawn kernel, gofer;
    int kernel_control, gofer_control; // our ends
    int signals;                       // signalfd
    int listener;                      // state socket, or -1
    struct terminal terminal;
};

// Until the kernel process is gone. Fills result and, on a failure, error.
void sandbox_supervise(struct sandbox *s);
// 0, or -1 with errno.
int control_send(int fd, enum control_type type, int a, int b);
// Signals that are not for us: all that can be caught. To be blocked before anything is started.
void sandbox_block_signals(struct sandbox *s);
