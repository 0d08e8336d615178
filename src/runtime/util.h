// Small helpers of the runtime: memory that goes away all at once, lists of texts, descriptors that close themselves.
#pragma once

#include "base/types.h"
#include "runtime/error.h"
#include <unistd.h>

// Everything that describes one container is allocated from its pool and freed with it. Out of memory ends the command
// with a message: nothing has been started at that point that its death would not end.
struct pool_block;
struct pool {
    struct pool_block *blocks;
};
void *pool_alloc(struct pool *p, size_t size); // zeroed
char *pool_strdup(struct pool *p, const char *s);
char *pool_printf(struct pool *p, const char *format, ...) PRINTF_LIKE(2, 3);
void pool_done(struct pool *p);

struct text_list {
    char **items; // not NULL-terminated
    uint32_t count, room;
};
void text_list_add(struct pool *p, struct text_list *list, const char *text);

static inline void fd_done(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
#define FD_AUTO __attribute__((cleanup(fd_done)))

static inline int fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

// Reads a regular file of at most `most` bytes into the pool, with a NUL behind it.
int read_whole(struct pool *p, int fd, uint64_t most, char **ret, uint64_t *ret_size,
               struct error *e);
int write_whole(int fd, const void *data, size_t size); // 0 or -1 with errno

// A whole number in decimal that is at most `most`.
bool parse_number(const char *text, uint64_t most, uint64_t *ret);

nsec_t now_monotonic(void);
