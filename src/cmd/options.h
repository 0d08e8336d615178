// Command-line options as tables: what is parsed is what help shows.
#pragma once

#include "runtime/util.h"

enum option_kind {
    OPTION_FLAG, // bool; --x, --x=true, --x=false
    OPTION_TEXT, // char *
    OPTION_LIST, // struct text_list; may be given several times
};

struct option {
    const char *name;
    char letter; // 0: none
    enum option_kind kind;
    uint32_t offset;      // in the structure that is filled
    const char *argument; // what help calls it; NULL for a flag
    const char *help;     // NULL: accepted for compatibility, not shown
};

struct option_table {
    const struct option *options;
    uint32_t count;
    uint32_t size; // of the structure
};

#define OPTION_TABLE(var, structure, array) \
    static const struct option_table var = {array, ARRAY_SIZE(array), sizeof(structure)}

// Parses argv[0..argc) into *out (zeroed, of the table's size). "--x v", "--x=v", "-x v", "-xv" and "-x=v"; "--" ends the
// options. With stop_at_argument the first argument that is no option ends them, too; otherwise options and arguments
// may be mixed. What is left is moved to the front of argv; its number is stored. Returns 0 or -1.
int options_parse(const struct option_table *table, void *out, struct pool *pool, int argc,
                  char **argv, bool stop_at_argument, int *ret_argc, struct error *e);
void options_print(const struct option_table *table);
