// The `caisson` command: its subcommands, and what they share. Only this folder prints.
#pragma once

#include "cmd/options.h"
#include "runtime/container.h"
#include "runtime/error.h"
#include "runtime/util.h"

#define CAISSON_VERSION "0.1.0"

// The global options, before the subcommand.
struct global_options {
    char *root, *debug_log, *log, *log_format, *log_level, *overlay, *debug_counts;
    char *cgroup_manager, *rootless;
    bool debug, strace, no_patching, no_spin, no_stub_answers, systemd_cgroup, version, help;
};

struct command_context {
    struct pool pool;
    struct global_options global;
    struct run_options run;
    int log;          // --log, or -1
    const char *name; // of the subcommand, for messages
    struct error error;
};

struct command {
    const char *name;
    const char *arguments;              // as help shows them
    const char *summary;                // one line
    const char *description;            // further lines, or NULL
    const struct option_table *options; // or NULL
    bool program_follows;               // options end at the first argument that is none
    int least, most;                    // arguments; most -1: any number
    // Returns the exit status. On a failure the error is set, and the caller reports it.
    int (*run)(struct command_context *ctx, void *options, int argc, char **argv);
};

extern const struct command command_delete, command_do, command_help, command_kill, command_list,
    command_run, command_spec, command_state, command_syscalls;
extern const struct command *const commands[];
extern const struct option_table global_options_table;

const struct command *command_find(const char *name);

// Exit statuses of the command's own failures. A container's program may use the same numbers.
enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_SANDBOX = 125, // do and run: the sandbox could not be started, or ended on its own
};

// Prints to standard error and, with --log, appends to the log file.
void report_error(struct command_context *ctx, const struct error *e);
void report_warning(struct command_context *ctx, const char *text);

// Runs a container that has been described, and reports; for do and run. Returns the exit status.
struct state_dir;
int run_container(struct command_context *ctx, struct container *c, struct state_dir *state);
