// Text buffer. Invariant once anything was appended: size < room and data[size] is NUL. Locking: none, a buffer belongs to
// one thread.
#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/slab.h"

enum { FIRST_ROOM = 256 };

// Makes room for size more bytes and the NUL; false when there is none, and what fits is used.
static bool make_room(struct strbuf *b, uint64_t size)
{
    uint64_t need;
    if (__builtin_add_overflow(b->size, size, &need) || __builtin_add_overflow(need, 1, &need))
        goto no_room;
    if (need <= b->room)
        return true;
    if (b->fixed)
        goto no_room;
    uint64_t room = MAX(b->room, FIRST_ROOM);
    while (room < need) {
        if (__builtin_mul_overflow(room, 2, &room))
            goto no_room;
    }
    char *data = krealloc(b->data, b->room, room);
    if (!data)
        goto no_room;
    b->data = data;
    b->room = room;
    return true;
no_room:
    b->truncated = true;
    return false;
}

void strbuf_append(struct strbuf *b, const void *data, uint64_t size)
{
    if (!make_room(b, size)) {
        if (b->room == 0)
            return;
        size = b->room - 1 - b->size;
    }
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
}

void strbuf_puts(struct strbuf *b, const char *s)
{
    strbuf_append(b, s, strlen(s));
}

void strbuf_putc(struct strbuf *b, char c)
{
    strbuf_append(b, &c, 1);
}

void strbuf_printf(struct strbuf *b, const char *format, ...)
{
    char small[256];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(small, sizeof(small), format, ap);
    va_end(ap);
    if (n < 0) {
        b->truncated = true;
        return;
    }
    if ((uint64_t)n < sizeof(small)) {
        strbuf_append(b, small, (uint64_t)n);
        return;
    }
    bool fits = make_room(b, (uint64_t)n);
    if (b->room == 0)
        return;
    va_start(ap, format);
    vsnprintf(b->data + b->size, b->room - b->size, format, ap);
    va_end(ap);
    b->size = fits ? b->size + (uint64_t)n : b->room - 1;
}

void strbuf_done(struct strbuf *b)
{
    if (!b->fixed)
        kfree(b->data);
    *b = (struct strbuf){0};
}
