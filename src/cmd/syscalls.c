// `caisson syscalls`: the table of system calls, made from the kernel's own.

#include "cmd/cmd.h"
#include <stdio.h>

#if __has_include("sys/syscalls-table.h")
#include "sys/syscalls-table.h"
#define HAVE_TABLE 1
#endif

static int syscalls_run(struct command_context *ctx, void *options, int argc, char **argv)
{
#ifdef HAVE_TABLE
    for (size_t i = 0; i < ARRAY_SIZE(syscalls_table); i++)
        printf("%3d  %-24s %-12s %s\n", syscalls_table[i].number, syscalls_table[i].name,
               syscalls_table[i].level, syscalls_table[i].reason);
    return 0;
#else
    error_set(&ctx->error, 0, "this build has no table of system calls");
    return EXIT_FAILED;
#endif
}

const struct command command_syscalls = {
    .name = "syscalls",
    .arguments = "",
    .summary = "print which system calls programs inside can use",
    .run = syscalls_run,
};
