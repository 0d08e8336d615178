// Reading JSON; see json.h.

#include "runtime/json.h"
#include <limits.h>
#include <stdio.h>

// Skips one number and says whether it is a whole one beyond 64 bits.
static bool number_is_too_large(const char *text, uint64_t size, uint64_t *at)
{
    uint64_t i = *at, value = 0;
    bool negative = i > 0 && text[i - 1] == '-', fits = true;
    for (; i < size && text[i] >= '0' && text[i] <= '9'; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            fits = false;
    bool fraction = i < size && (text[i] == '.' || text[i] == 'e' || text[i] == 'E');
    // A fraction's digits and exponent are no whole number of their own.
    while (i < size && text[i] && strchr("0123456789.eE+-", text[i]))
        i++;
    *at = i;
    return !fraction && (!fits || (negative && value > (uint64_t)INT64_MAX + 1));
}

// What json-c would accept although it is no JSON (texts in single quotes, comments, NaN), or would quietly change (whole
// numbers beyond 64 bits). NULL when there is nothing of it; everything else is left to the parser.
static const char *find_leniency(const char *text, uint64_t size)
{
    bool in_string = false;
    for (uint64_t i = 0; i < size;) {
        char c = text[i];
        if (in_string) {
            in_string = c != '"';
            i += c == '\\' ? 2 : 1;
        } else if (c >= '0' && c <= '9') {
            if (number_is_too_large(text, size, &i))
                return "holds a whole number of more than 64 bits";
        } else if (c == '\'' || c == '/' || (c >= 'A' && c <= 'Z')) {
            return "is not valid JSON: it has single quotes, comments, or words like NaN";
        } else {
            in_string = c == '"';
            i++;
        }
    }
    return NULL;
}

int json_parse(const char *text, uint64_t size, struct json_object **ret, struct error *e)
{
    if (size > INT_MAX)
        return error_set(e, 0, "too large");
    const char *leniency = find_leniency(text, size);
    if (leniency)
        return error_set(e, 0, "%s", leniency);
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
    if (!tokener)
        return error_set(e, ENOMEM, "parse");
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    // With the final NUL, so that a number at the end is complete.
    struct json_object *object = json_tokener_parse_ex(tokener, text, (int)size + 1);
    enum json_tokener_error status = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    int failed = 0;
    if (status != json_tokener_success)
        failed = error_set(e, 0, "is not valid JSON at byte %zu: %s", end,
                           json_tokener_error_desc(status));
    else if (memchr(text, 0, size))
        failed = error_set(e, 0, "holds a NUL byte");
    json_tokener_free(tokener);
    if (failed) {
        json_object_put(object);
        return -1;
    }
    *ret = object;
    return 0;
}

struct json_node json_root(struct json_object *value, const char *name)
{
    struct json_node node = {.value = value};
    snprintf(node.path, sizeof(node.path), "%s: ", name);
    return node;
}

int json_fail(const struct json_node *n, const char *key, struct error *e, const char *what)
{
    return error_set(e, 0, "%s%s: %s", n->path, key, what);
}

static int get_typed(const struct json_node *n, const char *key, enum json_type type,
                     const char *word, struct json_object **ret, struct error *e)
{
    struct json_object *value = NULL;
    *ret = NULL;
    if (!n->value)
        return 0;
    if (!json_object_is_type(n->value, json_type_object))
        return error_set(e, 0, "%smust be an object", n->path);
    if (!json_object_object_get_ex(n->value, key, &value) || !value)
        return 0;
    if (!json_object_is_type(value, type))
        return error_set(e, 0, "%s%s: must be %s", n->path, key, word);
    *ret = value;
    return 0;
}

int json_get_object(const struct json_node *n, const char *key, struct json_node *ret,
                    struct error *e)
{
    struct json_object *value;
    if (get_typed(n, key, json_type_object, "an object", &value, e) < 0)
        return -1;
    ret->value = value;
    snprintf(ret->path, sizeof(ret->path), "%.200s%.50s.", n->path, key);
    return 0;
}

int json_get_array(const struct json_node *n, const char *key, struct json_node *ret,
                   uint32_t *ret_count, struct error *e)
{
    struct json_object *value;
    *ret_count = 0;
    if (get_typed(n, key, json_type_array, "a list", &value, e) < 0)
        return -1;
    ret->value = value;
    snprintf(ret->path, sizeof(ret->path), "%.200s%.50s", n->path, key);
    if (value)
        *ret_count = (uint32_t)json_object_array_length(value);
    return 0;
}

static int check_text(struct json_object *value, const char **ret)
{
    const char *text = json_object_get_string(value);
    if (strlen(text) != (size_t)json_object_get_string_len(value))
        return -1;
    *ret = text;
    return 0;
}

int json_get_text(const struct json_node *n, const char *key, const char **ret, struct error *e)
{
    struct json_object *value;
    if (get_typed(n, key, json_type_string, "a text", &value, e) < 0)
        return -1;
    if (value && check_text(value, ret) < 0)
        return error_set(e, 0, "%s%s: must not hold a NUL", n->path, key);
    return 0;
}

int json_get_bool(const struct json_node *n, const char *key, bool *ret, struct error *e)
{
    struct json_object *value;
    if (get_typed(n, key, json_type_boolean, "true or false", &value, e) < 0)
        return -1;
    if (value)
        *ret = json_object_get_boolean(value);
    return 0;
}

int json_get_number(const struct json_node *n, const char *key, uint64_t most, uint64_t *ret,
                    struct error *e)
{
    struct json_object *value;
    if (get_typed(n, key, json_type_int, "a whole number", &value, e) < 0)
        return -1;
    if (!value)
        return 0;
    bool negative = json_object_get_int64(value) < 0;
    uint64_t number = json_object_get_uint64(value);
    if (negative || number > most)
        return error_set(e, 0, "%s%s: must be a whole number from 0 to %llu", n->path, key,
                         (unsigned long long)most);
    *ret = number;
    return 0;
}

int json_get_signed(const struct json_node *n, const char *key, int64_t least, int64_t most,
                    int64_t *ret, struct error *e)
{
    struct json_object *value;
    if (get_typed(n, key, json_type_int, "a whole number", &value, e) < 0)
        return -1;
    if (!value)
        return 0;
    int64_t number = json_object_get_int64(value);
    if (number < least || number > most)
        return error_set(e, 0, "%s%s: must be a whole number from %lld to %lld", n->path, key,
                         (long long)least, (long long)most);
    *ret = number;
    return 0;
}

int json_item_object(const struct json_node *array, uint32_t index, struct json_node *ret,
                     struct error *e)
{
    ret->value = json_object_array_get_idx(array->value, index);
    snprintf(ret->path, sizeof(ret->path), "%.240s[%u].", array->path, index);
    if (!ret->value || !json_object_is_type(ret->value, json_type_object))
        return error_set(e, 0, "%s[%u]: must be an object", array->path, index);
    return 0;
}

int json_item_text(const struct json_node *array, uint32_t index, const char **ret, struct error *e)
{
    struct json_object *value = json_object_array_get_idx(array->value, index);
    if (!value || !json_object_is_type(value, json_type_string) || check_text(value, ret) < 0)
        return error_set(e, 0, "%s[%u]: must be a text without NUL", array->path, index);
    return 0;
}

int json_item_number(const struct json_node *array, uint32_t index, uint64_t most, uint64_t *ret,
                     struct error *e)
{
    struct json_object *value = json_object_array_get_idx(array->value, index);
    if (!value || !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
        json_object_get_uint64(value) > most)
        return error_set(e, 0, "%s[%u]: must be a whole number from 0 to %llu", array->path, index,
                         (unsigned long long)most);
    *ret = json_object_get_uint64(value);
    return 0;
}

int json_get_text_list(const struct json_node *n, const char *key, struct pool *pool,
                       struct text_list *ret, struct error *e)
{
    struct json_node array;
    uint32_t count;
    if (json_get_array(n, key, &array, &count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const char *text;
        if (json_item_text(&array, i, &text, e) < 0)
            return -1;
        text_list_add(pool, ret, text);
    }
    return 0;
}
