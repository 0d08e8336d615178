// A growing or bounded text buffer, for /proc files, log lines and strace. Appending past a fixed buffer sets truncated.
#pragma once

#include "base/types.h"

struct strbuf {
    char *data;      // always NUL-terminated once anything was appended
    uint64_t size;   // bytes used, without the NUL
    uint64_t room;   // bytes available in data
    bool fixed;      // data is the caller's; never grows
    bool truncated;  // something did not fit, or memory ran out
};

#define STRBUF_FIXED(array) ((struct strbuf){.data = (array), .room = sizeof(array), .fixed = true})

void strbuf_append(struct strbuf *b, const void *data, uint64_t size);
void strbuf_puts(struct strbuf *b, const char *s);
void strbuf_putc(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void strbuf_done(struct strbuf *b); // frees what grew
