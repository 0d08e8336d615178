// #! lines: no access outside of the buffer, and a result that is a path and an argument without surrounding blanks.
#include <stdlib.h>

#include "kernel/elf.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *buf = calloc(1, SCRIPT_BUFFER_SIZE);
    struct script_line line;

    memcpy(buf, data, MIN(size, SCRIPT_BUFFER_SIZE));
    if (script_parse(buf, &line) == 0) {
        check(buf[0] == '#' && buf[1] == '!');
        check(line.interpreter[0] && !strchr(line.interpreter, '\n'));
        check(!strpbrk(line.interpreter, " \t"));
        check(line.has_argument == (line.argument[0] != 0));
        if (line.has_argument) {
            check(!blank(line.argument[0]) && !strchr(line.argument, '\n'));
            check(strlen(line.argument) + strlen(line.interpreter) < SCRIPT_BUFFER_SIZE - 2);
        }
    }
    free(buf);
    return 0;
}
