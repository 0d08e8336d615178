// Small helpers of the runtime; see util.h.

#include "runtime/util.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

struct pool_block {
    struct pool_block *next;
    _Alignas(16) char data[];
};

static _Noreturn void out_of_memory(void)
{
    static const char message[] = "caisson: out of memory\n";
    (void)!write(STDERR_FILENO, message, sizeof(message) - 1);
    _exit(1);
}

void *pool_alloc(struct pool *p, size_t size)
{
    struct pool_block *block = calloc(1, sizeof(*block) + size);
    if (block) {
        block->next = p->blocks;
        p->blocks = block;
        return block->data;
    }
    out_of_memory();
}

char *pool_strdup(struct pool *p, const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(pool_alloc(p, size), s, size);
}

char *pool_printf(struct pool *p, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0)
        out_of_memory();
    char *text = pool_alloc(p, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}

void pool_done(struct pool *p)
{
    for (struct pool_block *block = p->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    p->blocks = NULL;
}

void text_list_add(struct pool *p, struct text_list *list, const char *text)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : 16;
        char **items = pool_alloc(p, room * sizeof(items[0]));
        if (list->count)
            memcpy(items, list->items, list->count * sizeof(items[0]));
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = pool_strdup(p, text);
}

int read_whole(struct pool *p, int fd, uint64_t most, char **ret, uint64_t *ret_size,
               struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(e, errno, "stat");
    if (!S_ISREG(st.st_mode))
        return error_set(e, 0, "is not a regular file");
    if ((uint64_t)st.st_size > most)
        return error_set(e, 0, "is larger than %llu bytes", (unsigned long long)most);
    char *data = pool_alloc(p, (size_t)st.st_size + 1);
    size_t used = 0;
    while (used < (size_t)st.st_size) {
        ssize_t n = read(fd, data + used, (size_t)st.st_size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(e, errno, "read");
        if (n == 0)
            break;
        used += (size_t)n;
    }
    *ret = data;
    *ret_size = used;
    return 0;
}

int write_whole(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

bool parse_number(const char *text, uint64_t most, uint64_t *ret)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value) || value > most)
            return false;
    }
    *ret = value;
    return true;
}

nsec_t now_monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}
