/*
 * Work that asks nothing of a kernel once its memory is there: any cost here is the sandbox's own
 * (stolen time, lost huge pages, timers).
 */
#define _GNU_SOURCE
#include "micro.h"

#include <stdlib.h>
#include <sys/mman.h>

/* One operation is one thousand steps. The sums of the first steps are known. */
static int run_compute(struct bench *b, uint64_t n)
{
    uint64_t x = 1;
    double y = 0.5;
    for (uint64_t i = 0; i < n * 1000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        y = 3.9 * y * (1.0 - y);
        if (i == 999 && x != 0x9e8b2325c8f3382du)
            return bench_fail(b, "step 1000 is %#llx", (unsigned long long)x);
    }
    if (!(y > 0.0 && y < 1.0) || x == 0)
        return bench_fail(b, "the series left its range");
    return 0;
}

#define CHASE_COUNT (8u * 1024 * 1024) /* 32 MiB of 32-bit links: beyond most caches */

/* One single cycle: x -> a x + c modulo a power of two, with odd c and a = 1 mod 4. */
static int setup_chase(struct bench *b)
{
    uint32_t *links = mmap(NULL, CHASE_COUNT * sizeof *links, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (links == MAP_FAILED)
        return bench_fail(b, "mmap");
    for (uint32_t i = 0; i < CHASE_COUNT; i++)
        links[i] = (i * 1664525u + 1013904223u) % CHASE_COUNT;
    b->private_state = links;
    return 0;
}

/* One operation is one hundred links followed and written, from a start that moves along. */
static int run_chase(struct bench *b, uint64_t n)
{
    volatile uint32_t *links = b->private_state;
    uint32_t at = 0, expected = 0;
    for (uint64_t i = 0; i < n * 100; i++) {
        uint32_t next = links[at];
        links[at] = next;
        expected = (at * 1664525u + 1013904223u) % CHASE_COUNT;
        if (next != expected)
            return bench_fail(b, "a link changed");
        at = next;
    }
    return 0;
}

static void teardown_chase(struct bench *b)
{
    munmap(b->private_state, CHASE_COUNT * sizeof(uint32_t));
}

const struct row compute_rows[] = {
    {"compute", "integer and floating-point steps, per thousand", NULL, run_compute, NULL, 0, 0},
    {"chase", "links followed through 32 MiB, per hundred", setup_chase, run_chase, teardown_chase,
     0, 0},
    {0},
};
