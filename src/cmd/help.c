// `caisson help`.

#include "cmd/cmd.h"
#include <stdio.h>

static void print_overview(void)
{
    puts("Usage: caisson [OPTION...] COMMAND ...\n\n"
         "Runs programs in sandboxes whose system calls are answered by a kernel of their "
         "own.\n\nCommands:");
    for (size_t i = 0; commands[i]; i++)
        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    puts("\nOptions, before the command:");
    options_print(&global_options_table);
    puts("\n`caisson help COMMAND` tells more.");
}

static void print_command(const struct command *c)
{
    printf("Usage: caisson [OPTION...] %s%s%s%s\n\n%c%s.\n", c->name,
           c->options ? " [OPTION...]" : "", *c->arguments ? " " : "", c->arguments,
           c->summary[0] & ~0x20, c->summary + 1);
    if (c->description)
        printf("\n%s\n", c->description);
    if (c->options) {
        puts("\nOptions:");
        options_print(c->options);
    }
    puts("\n`caisson help` lists the options that all commands have.");
}

static int help_run(struct command_context *ctx, void *options, int argc, char **argv)
{
    if (argc == 0) {
        print_overview();
        return 0;
    }
    const struct command *command = command_find(argv[0]);
    if (!command) {
        error_set(&ctx->error, 0, "unknown command \"%s\"", argv[0]);
        return EXIT_USAGE;
    }
    print_command(command);
    return 0;
}

const struct command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "explain the command, or one of its subcommands",
    .most = 1,
    .run = help_run,
};
