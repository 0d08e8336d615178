// A sandbox from its start to its end, as its command sees it.
#pragma once

#include "runtime/container.h"
#include "runtime/state.h"

enum { SANDBOX_MAX_MARKS = 64 };

// Points in time, for the table that --debug prints.
struct sandbox_mark {
    nsec_t time;
    char who[8];
    char text[56];
};

struct sandbox_result {
    int exit_status; // what the command exits with
    // The container's program could not be executed (exit_status is 127 or 126), or the sandbox ended on its own: the
    // error object says why.
    bool failed;
    struct sandbox_mark marks[SANDBOX_MAX_MARKS];
    uint32_t mark_count;
};

void sandbox_mark(struct sandbox_result *r, const char *who, const char *text);

// Runs the container to its end. *state is where its processes are noted, or NULL. Returns 0 when the sandbox was started
// (r says how it ended), -1 when it was not; either way nothing of it is left.
int sandbox_run(struct container *c, const struct run_options *o, struct state_dir *state,
                struct sandbox_result *r, struct error *e);

// 128 + n for a signal.
int sandbox_exit_status(int wait_status);
