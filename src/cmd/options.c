// Parsing options; see options.h.

#include "cmd/options.h"
#include <stdio.h>

static const struct option *find_long(const struct option_table *t, const char *name, size_t size)
{
    for (uint32_t i = 0; t && i < t->count; i++)
        if (strlen(t->options[i].name) == size && strncmp(t->options[i].name, name, size) == 0)
            return &t->options[i];
    return NULL;
}

static const struct option *find_letter(const struct option_table *t, char letter)
{
    for (uint32_t i = 0; t && i < t->count; i++)
        if (t->options[i].letter == letter)
            return &t->options[i];
    return NULL;
}

static int store(const struct option *o, void *out, struct pool *pool, const char *value,
                 struct error *e)
{
    char *field = (char *)out + o->offset;
    switch (o->kind) {
    case OPTION_FLAG:
        if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return error_set(e, 0, "--%s: \"%s\" is neither true nor false", o->name, value);
        *(bool *)field = !value || strcmp(value, "true") == 0;
        return 0;
    case OPTION_TEXT:
        *(char **)field = pool_strdup(pool, value);
        return 0;
    case OPTION_LIST:
        text_list_add(pool, (struct text_list *)field, value);
        return 0;
    }
    return 0;
}

// One option at argv[*index]; moves *index to its last word.
static int parse_one(const struct option_table *t, void *out, struct pool *pool, int argc,
                     char **argv, int *index, struct error *e)
{
    const char *word = argv[*index];
    const struct option *o;
    const char *value = NULL;
    if (word[1] == '-') {
        size_t size = strcspn(word + 2, "=");
        o = find_long(t, word + 2, size);
        if (word[2 + size])
            value = word + 2 + size + 1;
    } else {
        o = find_letter(t, word[1]);
        // Go's way of writing an option with one dash, which engines and users know from other runtimes.
        size_t size = strcspn(word + 1, "=");
        const struct option *named = size > 1 ? find_long(t, word + 1, size) : NULL;
        if (named) {
            o = named;
            value = word[1 + size] ? word + 1 + size + 1 : NULL;
        } else if (word[2]) {
            value = word[2] == '=' ? word + 3 : word + 2;
        }
    }
    if (!o)
        return error_set(e, 0, "unknown option %s", word);
    if (o->kind != OPTION_FLAG && !value) {
        if (*index + 1 >= argc)
            return error_set(e, 0, "option %s needs a value (%s)", word, o->argument);
        value = argv[++*index];
    }
    return store(o, out, pool, value, e);
}

int options_parse(const struct option_table *table, void *out, struct pool *pool, int argc,
                  char **argv, bool stop_at_argument, int *ret_argc, struct error *e)
{
    int kept = 0, i = 0;
    for (; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        // A lone dash is an argument.
        if (argv[i][0] == '-' && argv[i][1]) {
            if (parse_one(table, out, pool, argc, argv, &i, e) < 0)
                return -1;
            continue;
        }
        if (stop_at_argument)
            break;
        argv[kept++] = argv[i];
    }
    for (; i < argc; i++)
        argv[kept++] = argv[i];
    argv[kept] = NULL;
    *ret_argc = kept;
    return 0;
}

void options_print(const struct option_table *t)
{
    for (uint32_t i = 0; t && i < t->count; i++) {
        const struct option *o = &t->options[i];
        if (!o->help)
            continue;
        char left[64];
        char letter[8] = "";
        if (o->letter)
            snprintf(letter, sizeof(letter), "-%c, ", o->letter);
        snprintf(left, sizeof(left), "  %s--%s%s%s", letter, o->name, o->argument ? " " : "",
                 o->argument ? o->argument : "");
        printf("%-30s %s\n", left, o->help);
    }
}
