// Reading JSON with messages that name the place: "config.json: process.user.uid: must be a whole number from 0 to ...".
//
// json-c parses strictly (RFC 8259, UTF-8 checked, at most JSON_DEPTH levels); a whole number beyond 64 bits, which it
// would quietly make the largest one, is refused beforehand. Of two members with one name the last counts, as in the
// other runtimes. A member that is null counts as absent.
#pragma once

#include "runtime/util.h"
#include <json-c/json.h>

#define OCI_VERSION "1.3.0"
enum { JSON_DEPTH = 64, JSON_PATH = 256 };

// A value and the way to it.
struct json_node {
    struct json_object *value; // NULL: absent
    char path[JSON_PATH];
};

int json_parse(const char *text, uint64_t size, struct json_object **ret, struct error *e);
struct json_node json_root(struct json_object *value, const char *name);

// Each leaves *ret as it is when the member is absent, and fails when it has another type.
int json_get_object(const struct json_node *n, const char *key, struct json_node *ret,
                    struct error *e);
int json_get_array(const struct json_node *n, const char *key, struct json_node *ret,
                   uint32_t *ret_count, struct error *e);
int json_get_text(const struct json_node *n, const char *key, const char **ret,
                  struct error *e); // no NUL inside
int json_get_bool(const struct json_node *n, const char *key, bool *ret, struct error *e);
int json_get_number(const struct json_node *n, const char *key, uint64_t most, uint64_t *ret,
                    struct error *e);
int json_get_signed(const struct json_node *n, const char *key, int64_t least, int64_t most,
                    int64_t *ret, struct error *e);
// Elements of an array.
int json_item_object(const struct json_node *array, uint32_t index, struct json_node *ret,
                     struct error *e);
int json_item_text(const struct json_node *array, uint32_t index, const char **ret,
                   struct error *e);
int json_item_number(const struct json_node *array, uint32_t index, uint64_t most, uint64_t *ret,
                     struct error *e);
// An array of texts, appended to the list.
int json_get_text_list(const struct json_node *n, const char *key, struct pool *pool,
                       struct text_list *ret, struct error *e);
int json_fail(const struct json_node *n, const char *key, struct error *e, const char *what);
