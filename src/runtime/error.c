// The runtime's error object.

#include "runtime/error.h"
#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *e, int number, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int used = vsnprintf(e->text, sizeof(e->text), format, args);
    va_end(args);
    e->number = number;
    if (number && used >= 0 && (size_t)used < sizeof(e->text))
        snprintf(e->text + used, sizeof(e->text) - (size_t)used, ": %s", strerror(number));
    return -1;
}

int error_prefix(struct error *e, const char *format, ...)
{
    char rest[sizeof(e->text)];
    memcpy(rest, e->text, sizeof(rest));
    va_list args;
    va_start(args, format);
    int used = vsnprintf(e->text, sizeof(e->text), format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof(e->text))
        snprintf(e->text + used, sizeof(e->text) - (size_t)used, ": %s", rest);
    return -1;
}
