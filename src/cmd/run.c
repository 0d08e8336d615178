// `caisson run`: a container from an OCI bundle, from its start to its end.

#include "cmd/cmd.h"
#include "runtime/config.h"
#include "runtime/state.h"
#include <fcntl.h>
#include <stdio.h>

struct run_command_options {
    char *bundle, *pid_file;
    bool keep, no_pivot, no_new_keyring, no_subreaper;
};

#define RUN(field) offsetof(struct run_command_options, field)
static const struct option run_list[] = {
    {"bundle", 'b', OPTION_TEXT, RUN(bundle), "DIR", "the bundle (default: the present directory)"},
    {"keep", 0, OPTION_FLAG, RUN(keep), NULL,
     "keep the container's state at the end, for state and delete"},
    {"no-pivot", 0, OPTION_FLAG, RUN(no_pivot), NULL, NULL},
    {"no-new-keyring", 0, OPTION_FLAG, RUN(no_new_keyring), NULL, NULL},
    {"no-subreaper", 0, OPTION_FLAG, RUN(no_subreaper), NULL, NULL},
};
OPTION_TABLE(run_options_table, struct run_command_options, run_list);

static int run_run(struct command_context *ctx, void *options, int argc, char **argv)
{
    const struct run_command_options *o = options;
    struct container c = {0};
    struct state_dir state = {.root = -1, .dir = -1};
    int status = EXIT_SANDBOX;
    c.id = pool_strdup(&c.pool, argv[0]);
    if (state_check_id(c.id, &ctx->error) < 0 ||
        config_load(o->bundle ? o->bundle : ".", &c, &ctx->error) < 0)
        goto out;
    if (c.terminal && !isatty(STDIN_FILENO)) {
        error_set(&ctx->error, 0,
                  "config.json: process.terminal is true, but standard input is not a terminal");
        goto out;
    }
    container_inherit_rlimits(&c);
    if (state_create(&ctx->run, c.id, &state, &ctx->error) < 0)
        goto out;
    status = run_container(ctx, &c, &state);
    struct error ignored;
    if (!o->keep && state_remove(&state, &ignored) < 0)
        report_error(ctx, &ignored);
out:
    state_close(&state);
    container_done(&c);
    return status;
}

const struct command command_run = {
    .name = "run",
    .arguments = "ID",
    .summary = "run a container from an OCI bundle to its end",
    .description = "The exit status is the container's, as with `caisson do`.",
    .options = &run_options_table,
    .least = 1,
    .most = 1,
    .run = run_run,
};
