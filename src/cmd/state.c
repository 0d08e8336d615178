// `caisson state` and `caisson list`: what is known of containers, as JSON or as a table.

#include "runtime/state.h"
#include "cmd/cmd.h"
#include "runtime/json.h"
#include <pwd.h>
#include <stdio.h>

static struct json_object *state_to_json(const char *id, const struct container_state *s)
{
    struct json_object *o = json_object_new_object();
    char owner[32];
    snprintf(owner, sizeof(owner), "%u", s->owner);
    json_object_object_add(o, "ociVersion", json_object_new_string(OCI_VERSION));
    json_object_object_add(o, "id", json_object_new_string(id));
    json_object_object_add(o, "pid", json_object_new_int(s->pid));
    json_object_object_add(o, "status", json_object_new_string(container_status_name(s->status)));
    json_object_object_add(o, "bundle", json_object_new_string(s->bundle));
    json_object_object_add(o, "rootfs", json_object_new_string(s->rootfs));
    json_object_object_add(o, "created", json_object_new_string(s->created));
    if (s->annotations)
        json_object_object_add(o, "annotations", json_tokener_parse(s->annotations));
    json_object_object_add(o, "owner", json_object_new_string(s->owner ? owner : "root"));
    return o;
}

static int load(struct command_context *ctx, const char *id, struct container_state *s)
{
    struct state_dir dir;
    if (state_open(&ctx->run, id, &dir, &ctx->error) < 0)
        return -1;
    int ret = state_load(&dir, &ctx->pool, s, &ctx->error);
    state_close(&dir);
    return ret;
}

static int state_run(struct command_context *ctx, void *options, int argc, char **argv)
{
    struct container_state s;
    if (load(ctx, argv[0], &s) < 0)
        return EXIT_FAILED;
    struct json_object *o = state_to_json(argv[0], &s);
    puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                               JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return 0;
}

struct list_options {
    char *format;
    bool quiet;
};

#define LIST(field) offsetof(struct list_options, field)
static const struct option list_list[] = {
    {"format", 'f', OPTION_TEXT, LIST(format), "FORMAT", "table (default) or json"},
    {"quiet", 'q', OPTION_FLAG, LIST(quiet), NULL, "ids only"},
};
OPTION_TABLE(list_options_table, struct list_options, list_list);

static int list_run(struct command_context *ctx, void *options, int argc, char **argv)
{
    const struct list_options *o = options;
    struct text_list ids = {0};
    bool json = o->format && strcmp(o->format, "json") == 0;
    if (o->format && !json && strcmp(o->format, "table") != 0) {
        error_set(&ctx->error, 0, "--format: \"%s\" is neither table nor json", o->format);
        return EXIT_USAGE;
    }
    if (state_list(&ctx->run, &ctx->pool, &ids, &ctx->error) < 0)
        return EXIT_FAILED;
    struct json_object *all = json_object_new_array();
    if (!json && !o->quiet)
        printf("%-24s %-8s %-9s %-32s %s\n", "ID", "PID", "STATUS", "CREATED", "BUNDLE");
    for (uint32_t i = 0; i < ids.count; i++) {
        struct container_state s;
        // One that has gone meanwhile, or was begun and not finished, is no reason to show none.
        bool good = load(ctx, ids.items[i], &s) == 0;
        if (!good && ctx->error.number == ENOENT && !strstr(ctx->error.text, "not finished")) {
            ctx->error.text[0] = 0;
            continue;
        }
        ctx->error.text[0] = 0;
        if (o->quiet)
            puts(ids.items[i]);
        else if (json && good)
            json_object_array_add(all, state_to_json(ids.items[i], &s));
        else if (!json)
            printf("%-24s %-8d %-9s %-32s %s\n", ids.items[i], good ? s.pid : 0,
                   good ? container_status_name(s.status) : "creating", good ? s.created : "",
                   good ? s.bundle : "");
    }
    if (json && !o->quiet)
        puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN |
                                                     JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(all);
    return 0;
}

const struct command command_state = {
    .name = "state",
    .arguments = "ID",
    .summary = "print a container's state as JSON",
    .least = 1,
    .most = 1,
    .run = state_run,
};

const struct command command_list = {
    .name = "list",
    .arguments = "",
    .summary = "list the containers",
    .options = &list_options_table,
    .run = list_run,
};
