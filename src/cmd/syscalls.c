// `caisson syscalls`: the table of system calls, made from the kernel's own.

#include "cmd/cmd.h"
#include "sys/syscalls-table.h"
#include <json-c/json.h>
#include <stdio.h>

struct syscalls_options {
    char *support, *format;
};

#define SYSCALLS(field) offsetof(struct syscalls_options, field)
static const struct option syscalls_list[] = {
    {"support", 's', OPTION_TEXT, SYSCALLS(support), "KIND", "only those of one kind: full, partial or no"},
    {"format", 'f', OPTION_TEXT, SYSCALLS(format), "FORMAT", "table (default) or json"},
};
OPTION_TABLE(syscalls_options_table, struct syscalls_options, syscalls_list);

static void print_json(const struct syscall_row *row, struct json_object *all)
{
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "number", json_object_new_int(row->number));
    json_object_object_add(o, "name", json_object_new_string(row->name));
    json_object_object_add(o, "support", json_object_new_string(row->support));
    json_object_object_add(o, "remark", json_object_new_string(row->reason));
    json_object_array_add(all, o);
}

static bool is_kind(const char *text)
{
    return strcmp(text, "full") == 0 || strcmp(text, "partial") == 0 || strcmp(text, "no") == 0;
}

static int syscalls_run(struct command_context *ctx, void *options, int argc, char **argv)
{
    const struct syscalls_options *o = options;
    bool json = o->format && strcmp(o->format, "json") == 0;
    int full = 0, partial = 0, absent = 0;
    if (o->format && !json && strcmp(o->format, "table") != 0) {
        error_set(&ctx->error, 0, "--format: \"%s\" is neither table nor json", o->format);
        return EXIT_USAGE;
    }
    if (o->support && !is_kind(o->support)) {
        error_set(&ctx->error, 0, "--support: \"%s\" is none of full, partial and no", o->support);
        return EXIT_USAGE;
    }
    struct json_object *all = json_object_new_array();
    for (size_t i = 0; i < ARRAY_SIZE(syscall_rows); i++) {
        const struct syscall_row *row = &syscall_rows[i];
        if (o->support && strcmp(row->support, o->support) != 0)
            continue;
        full += strcmp(row->support, "full") == 0;
        partial += strcmp(row->support, "partial") == 0;
        absent += strcmp(row->support, "no") == 0;
        if (json)
            print_json(row, all);
        else if (*row->reason)
            printf("%3d  %-24s %-8s %s\n", row->number, row->name, row->support, row->reason);
        else
            printf("%3d  %-24s %s\n", row->number, row->name, row->support);
    }
    if (json)
        puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    else if (!o->support)
        printf("%d full, %d partial, %d not supported; other numbers return ENOSYS\n", full, partial, absent);
    json_object_put(all);
    return 0;
}

const struct command command_syscalls = {
    .name = "syscalls",
    .arguments = "",
    .summary = "print which system calls programs inside can use",
    .options = &syscalls_options_table,
    .run = syscalls_run,
};
