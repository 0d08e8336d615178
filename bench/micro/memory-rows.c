/*
 * Memory: first touch, copy-on-write after fork, map and unmap. Huge pages are declined, so that a
 * page is a page in every column.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define TOUCH_PAGES 4096u
#define COW_PAGES 2048u

static uint8_t *map_anonymous(struct bench *b, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        bench_fail(b, "mmap of %zu bytes", size);
        return NULL;
    }
    /* Where the kernel has no huge pages this fails, and nothing is lost. */
    (void)madvise(memory, size, MADV_NOHUGEPAGE);
    errno = 0;
    return memory;
}

/* One operation is one page; mappings hold TOUCH_PAGES of them, so that mmap weighs nothing. */
static int run_touch(struct bench *b, uint64_t n)
{
    while (n > 0) {
        size_t pages = n < TOUCH_PAGES ? (size_t)n : TOUCH_PAGES;
        uint8_t *memory = map_anonymous(b, pages * PAGE);
        if (memory == NULL)
            return -1;
        unsigned dirty = 0;
        uint64_t start = bench_now_ns();
        for (size_t i = 0; i < pages; i++) {
            dirty |= memory[i * PAGE + 8];
            memory[i * PAGE] = 1;
        }
        b->elapsed_ns += bench_now_ns() - start;
        munmap(memory, pages * PAGE);
        if (dirty != 0)
            return bench_fail(b, "fresh memory was not zero");
        n -= pages;
    }
    return 0;
}

static int setup_cow(struct bench *b)
{
    uint8_t *memory = map_anonymous(b, COW_PAGES * PAGE);
    if (memory == NULL)
        return -1;
    for (size_t i = 0; i < COW_PAGES; i++)
        memory[i * PAGE] = (uint8_t)i;
    b->private_state = memory;
    return 0;
}

/* The child copies the pages, by writing to them, and reports its time; the fork is not in it. */
static void cow_child(uint8_t *memory, size_t pages, int out)
{
    int64_t answer = 0;
    uint64_t start = bench_now_ns();
    for (size_t i = 0; i < pages; i++) {
        if (memory[i * PAGE] != (uint8_t)i)
            answer = -1;
        memory[i * PAGE] = (uint8_t)(i + 1);
    }
    if (answer == 0)
        answer = (int64_t)(bench_now_ns() - start);
    _exit(write(out, &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 1);
}

static int cow_once(struct bench *b, uint8_t *memory, size_t pages)
{
    int channel[2];
    if (pipe(channel) != 0)
        return bench_fail(b, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        cow_child(memory, pages, channel[1]);
    close(channel[1]);
    int64_t answer = -1;
    bool got = pid > 0 && read(channel[0], &answer, sizeof answer) == (ssize_t)sizeof answer;
    close(channel[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    if (!got)
        return bench_fail(b, "fork");
    if (answer < 0)
        return bench_fail(b, "the child saw other memory than its parent");
    b->elapsed_ns += (uint64_t)answer;
    for (size_t i = 0; i < pages; i++) {
        if (memory[i * PAGE] != (uint8_t)i)
            return bench_fail(b, "the child's writes reached its parent");
    }
    return 0;
}

static int run_cow(struct bench *b, uint64_t n)
{
    while (n > 0) {
        size_t pages = n < COW_PAGES ? (size_t)n : COW_PAGES;
        if (cow_once(b, b->private_state, pages) != 0)
            return -1;
        n -= pages;
    }
    return 0;
}

static void teardown_cow(struct bench *b)
{
    munmap(b->private_state, COW_PAGES * PAGE);
}

static int run_map(struct bench *b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *memory =
            mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return bench_fail(b, "mmap");
        if (memory[1] != 0)
            return bench_fail(b, "fresh memory was not zero");
        memory[1] = 1;
        if (munmap(memory, PAGE) != 0)
            return bench_fail(b, "munmap");
    }
    return 0;
}

const struct row memory_rows[] = {
    {"touch", "first touch of anonymous memory, per page", NULL, run_touch, NULL, 0, 0},
    {"cow", "copy-on-write after fork, per page", setup_cow, run_cow, teardown_cow, 0, 0},
    {"map", "mmap, touch, munmap of one page", NULL, run_map, NULL, 0, 0},
    {0},
};
