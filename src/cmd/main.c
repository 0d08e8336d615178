// The command's entry: global options, the choice of subcommand, and the reporting of errors.

#include "cmd/cmd.h"
#include "runtime/state.h"
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define GLOBAL(field) offsetof(struct global_options, field)
static const struct option global_list[] = {
    {"root", 0, OPTION_TEXT, GLOBAL(root), "DIR", "directory of the containers' states"},
    {"debug", 0, OPTION_FLAG, GLOBAL(debug), NULL,
     "log what happens, and print a table of start-up times at the end"},
    {"debug-log", 0, OPTION_TEXT, GLOBAL(debug_log), "FILE",
     "append the sandbox's own log to FILE (else: standard error)"},
    {"log", 0, OPTION_TEXT, GLOBAL(log), "FILE", "append errors to FILE as well"},
    {"log-format", 0, OPTION_TEXT, GLOBAL(log_format), "FORMAT", "text (default) or json"},
    {"strace", 0, OPTION_FLAG, GLOBAL(strace), NULL,
     "log every system call of the guest, with result and time"},
    {"overlay", 0, OPTION_TEXT, GLOBAL(overlay), "KIND",
     "where writes to the root go: memory (default), dir=DIR (a file in DIR), none (the root "
     "itself)"},
    {"no-patching", 0, OPTION_FLAG, GLOBAL(no_patching), NULL,
     "don't replace system call instructions by jumps"},
    {"no-spin", 0, OPTION_FLAG, GLOBAL(no_spin), NULL,
     "always sleep while waiting for a system call"},
    {"no-stub-answers", 0, OPTION_FLAG, GLOBAL(no_stub_answers), NULL,
     "answer every system call in the kernel process"},
    {"debug-counts", 0, OPTION_TEXT, GLOBAL(debug_counts), "FILE",
     "write counters of hand-offs and host calls to FILE"},
    {"version", 'v', OPTION_FLAG, GLOBAL(version), NULL, "print the version"},
    {"help", 'h', OPTION_FLAG, GLOBAL(help), NULL, "print this help"},
    // What engines pass to every runtime.
    {"log-level", 0, OPTION_TEXT, GLOBAL(log_level), "LEVEL", NULL},
    {"systemd-cgroup", 0, OPTION_FLAG, GLOBAL(systemd_cgroup), NULL, NULL},
    {"cgroup-manager", 0, OPTION_TEXT, GLOBAL(cgroup_manager), "MANAGER", NULL},
    {"rootless", 0, OPTION_TEXT, GLOBAL(rootless), "KIND", NULL},
};
const struct option_table global_options_table = {global_list, ARRAY_SIZE(global_list),
                                                  sizeof(struct global_options)};

const struct command *const commands[] = {
    &command_do,   &command_run,  &command_state,    &command_delete, &command_list,
    &command_kill, &command_spec, &command_syscalls, &command_help,   NULL,
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int check_overlay(struct command_context *ctx)
{
    const char *text = ctx->global.overlay;
    if (!text || strcmp(text, "memory") == 0) {
        ctx->run.overlay = BOOT_OVERLAY_MEMORY;
    } else if (strcmp(text, "none") == 0) {
        ctx->run.overlay = BOOT_OVERLAY_NONE;
    } else if (strncmp(text, "dir=", 4) == 0 && text[4]) {
        ctx->run.overlay = BOOT_OVERLAY_DIR;
        ctx->run.overlay_dir = text + 4;
    } else {
        return error_set(&ctx->error, 0, "--overlay: \"%s\" is none of memory, none and dir=DIR",
                         text);
    }
    return 0;
}

static int check_globals(struct command_context *ctx)
{
    struct global_options *g = &ctx->global;
    if (g->log_format && strcmp(g->log_format, "json") != 0 && strcmp(g->log_format, "text") != 0)
        return error_set(&ctx->error, 0, "--log-format: \"%s\" is neither text nor json",
                         g->log_format);
    ctx->run.log_json = g->log_format && strcmp(g->log_format, "json") == 0;
    if (g->log) {
        ctx->log =
            open(g->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
        if (ctx->log < 0)
            return error_set(&ctx->error, errno, "--log %s", g->log);
    }
    ctx->run.state_root_is_default = !g->root;
    ctx->run.state_root = g->root ? g->root : state_default_root(&ctx->pool);
    ctx->run.debug = g->debug;
    ctx->run.strace = g->strace;
    ctx->run.no_patching = g->no_patching;
    ctx->run.no_spin = g->no_spin;
    ctx->run.no_stub_answers = g->no_stub_answers;
    ctx->run.debug_log = g->debug_log;
    ctx->run.debug_counts = g->debug_counts;
    return check_overlay(ctx);
}

// Whoever started us may have left descriptors open, or standard ones closed. None of the former reaches a sandbox, and
// no file of ours takes the place of the latter.
static int tidy_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= 2);
    if (fd < 0)
        return -1;
    close(fd);
    return (int)syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
}

static int usage_error(struct command_context *ctx, const struct command *command)
{
    if (command)
        error_prefix(&ctx->error, "%s", command->name);
    report_error(ctx, &ctx->error);
    fprintf(stderr, "See `caisson help%s%s`.\n", command ? " " : "", command ? command->name : "");
    return EXIT_USAGE;
}

static int run_command(struct command_context *ctx, int argc, char **argv)
{
    const struct command *command = command_find(argv[0]);
    if (!command) {
        error_set(&ctx->error, 0, "unknown command \"%s\"", argv[0]);
        return usage_error(ctx, NULL);
    }
    ctx->name = command->name;
    void *options = pool_alloc(&ctx->pool, command->options ? command->options->size : 1);
    for (int i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return command_help.run(ctx, NULL, 1, argv);
        if (strcmp(argv[i], "--") == 0)
            break;
    }
    if (options_parse(command->options, options, &ctx->pool, argc - 1, argv + 1,
                      command->program_follows, &argc, &ctx->error) < 0)
        return usage_error(ctx, command);
    if (argc < command->least || (command->most >= 0 && argc > command->most)) {
        error_set(&ctx->error, 0, "%s argument%s (%s)",
                  argc < command->least ? "missing" : "too many", argc < command->least ? "" : "s",
                  command->arguments);
        return usage_error(ctx, command);
    }
    int status = command->run(ctx, options, argc, argv + 1);
    if (ctx->error.text[0])
        report_error(ctx, &ctx->error);
    return status;
}

int main(int argc, char **argv)
{
    struct command_context ctx = {.log = -1, .run = {.start_time = now_monotonic()}};
    int status;
    if (tidy_descriptors() < 0) {
        fprintf(stderr, "caisson: /dev/null or close_range: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    if (options_parse(&global_options_table, &ctx.global, &ctx.pool, argc - 1, argv + 1, true,
                      &argc, &ctx.error) < 0 ||
        check_globals(&ctx) < 0)
        status = usage_error(&ctx, NULL);
    else if (ctx.global.version)
        status = printf("caisson version %s\nspec: 1.3.0\n", CAISSON_VERSION) > 0 ? 0 : EXIT_FAILED;
    else if (ctx.global.help || argc == 0)
        status = command_help.run(&ctx, NULL, 0, argv);
    else
        status = run_command(&ctx, argc, argv + 1);
    fd_done(&ctx.log);
    pool_done(&ctx.pool);
    return status;
}
