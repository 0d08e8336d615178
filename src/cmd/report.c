// What the command prints about itself: errors, warnings and the table of times.

#include "cmd/cmd.h"
#include "runtime/sandbox.h"
#include <json-c/json.h>
#include <stdio.h>
#include <time.h>

static void format_now(char *out, size_t size)
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

// One line as engines read it: {"level":"error","msg":"...","time":"..."}.
static char *format_line(struct command_context *ctx, const char *level, const char *text)
{
    char now[32];
    format_now(now, sizeof(now));
    if (!ctx->run.log_json)
        return pool_printf(&ctx->pool, "time=\"%s\" level=%s msg=\"%s\"\n", now, level, text);
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "level", json_object_new_string(level));
    json_object_object_add(o, "msg", json_object_new_string(text));
    json_object_object_add(o, "time", json_object_new_string(now));
    char *line = pool_printf(
        &ctx->pool, "%s\n",
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return line;
}

static void report(struct command_context *ctx, const char *level, const char *text)
{
    const char *line = format_line(ctx, level, text);
    if (ctx->log >= 0)
        (void)write_whole(ctx->log, line, strlen(line));
    if (ctx->run.log_json && ctx->log < 0)
        (void)write_whole(STDERR_FILENO, line, strlen(line));
    else
        fprintf(stderr, "caisson: %s%s\n", strcmp(level, "warning") == 0 ? "warning: " : "", text);
}

void report_error(struct command_context *ctx, const struct error *e)
{
    report(ctx, "error", e->text);
}

void report_warning(struct command_context *ctx, const char *text)
{
    report(ctx, "warning", text);
}

// Where the time went, from the command's first line on.
static void print_marks(struct command_context *ctx, struct sandbox_result *r)
{
    for (uint32_t i = 1; i < r->mark_count; i++)
        for (uint32_t k = i; k && r->marks[k].time < r->marks[k - 1].time; k--) {
            struct sandbox_mark m = r->marks[k];
            r->marks[k] = r->marks[k - 1];
            r->marks[k - 1] = m;
        }
    nsec_t before = ctx->run.start_time;
    fprintf(stderr, "%10s %10s  %-8s %s\n", "ms", "+ms", "who", "what was just done");
    for (uint32_t i = 0; i < r->mark_count; i++) {
        const struct sandbox_mark *m = &r->marks[i];
        fprintf(stderr, "%10.3f %10.3f  %-8s %s\n", (double)(m->time - ctx->run.start_time) / 1e6,
                (double)(m->time - before) / 1e6, m->who, m->text);
        before = m->time;
    }
}

int run_container(struct command_context *ctx, struct container *c, struct state_dir *state)
{
    struct sandbox_result result = {.exit_status = EXIT_SANDBOX};
    for (uint32_t i = 0; i < c->warnings.count && ctx->global.debug; i++)
        report_warning(ctx, c->warnings.items[i]);
    sandbox_mark(&result, "command", "options and configuration");
    if (sandbox_run(c, &ctx->run, state, &result, &ctx->error) < 0)
        return EXIT_SANDBOX;
    if (ctx->global.debug)
        print_marks(ctx, &result);
    if (!result.failed)
        ctx->error.text[0] = 0;
    return result.exit_status;
}
