/*
 * The micro-benchmark program: what a row is, and what a row may use.
 *
 * A row is a set-up, a function that performs n operations, and a tear-down. The driver (main.c)
 * chooses n, measures and prints. A row checks every result that it gets: a wrong answer makes the
 * row fail with words, it never becomes a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench {
    char error[256];       /* empty while everything is right */
    void *private_state;   /* owned by the row, between set-up and tear-down */
    const char *data_path; /* a file of the image, at least BENCH_DATA_SIZE bytes of the pattern */
    const char *work_dir;  /* a directory that may be written */
    unsigned parameter;    /* from the row's table entry, for instance the number of threads */
    uint64_t elapsed_ns;   /* a row that times itself stores its time here; 0: the driver's */
};

struct row {
    const char *name;
    const char *what;
    int (*setup)(struct bench *b);
    int (*run)(struct bench *b, uint64_t n);
    void (*teardown)(struct bench *b);
    unsigned parameter;
    uint64_t max_batch; /* 0: no bound besides the time */
};

#define BENCH_DATA_SIZE (256 * 1024)

/* Byte i of the data file. Every page differs from every other. */
static inline uint8_t bench_pattern(uint64_t i)
{
    return (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16) * 7);
}

/* Notes why the row is wrong, with errno when it is not 0. Always returns -1. */
int bench_fail(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint64_t bench_now_ns(void);

/* CPUs that this process may use, at least 1. */
unsigned bench_cpus(void);

extern const struct row null_rows[], file_rows[], process_rows[], thread_rows[], memory_rows[],
    compute_rows[];
