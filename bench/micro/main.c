/*
 * Driver of the micro-benchmarks.
 *
 *   micro [--time MS] [--ops N] [--sync] [--data FILE] [--dir DIR] [--list] ROW...|all
 *
 * Each row is warmed up and calibrated (the batch doubles until it takes an eighth of the time),
 * then measured in batches until the time is used up, and printed as one JSON line. --ops N does
 * exactly N operations and no warm-up, for counting what an operation costs rather than timing it.
 *
 * With --sync the program prints "@begin ROW" and "@end ROW" around the measured part and waits for
 * a line on standard input after each, so that whoever runs it can read clocks and counters of the
 * whole sandbox from outside, with nothing running inside.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct options {
    uint64_t time_ns;
    uint64_t ops;
    bool sync;
    const char *data_path;
    const char *work_dir;
};

struct result {
    uint64_t ops;
    uint64_t ns;
    uint64_t cpu_ns;
};

static const struct row *const row_tables[] = {null_rows,   file_rows,   process_rows,
                                               thread_rows, memory_rows, compute_rows};

int bench_fail(struct bench *b, const char *format, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(b->error, sizeof b->error, format, args);
    va_end(args);
    if (saved != 0 && length >= 0 && (size_t)length < sizeof b->error)
        snprintf(b->error + length, sizeof b->error - (size_t)length, ": %s", strerror(saved));
    return -1;
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned bench_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

static uint64_t timeval_ns(struct timeval tv)
{
    return (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
}

static uint64_t cpu_now_ns(void)
{
    struct rusage self = {0}, children = {0};
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return timeval_ns(self.ru_utime) + timeval_ns(self.ru_stime) + timeval_ns(children.ru_utime) +
           timeval_ns(children.ru_stime);
}

static void write_all(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            exit(2);
        text += n;
        size -= (size_t)n;
    }
}

/* Prints a mark and waits for the answer. The end of the input means that nobody listens. */
static void mark(const struct options *options, const char *word, const char *row)
{
    if (!options->sync)
        return;
    char line[128];
    int length = snprintf(line, sizeof line, "@%s %s\n", word, row);
    write_all(line, (size_t)length);
    char byte;
    do {
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            exit(2);
    } while (byte != '\n');
}

/* Runs n operations; returns their time, or 0 when the row failed. */
static uint64_t run_batch(const struct row *row, struct bench *b, uint64_t n)
{
    b->elapsed_ns = 0;
    errno = 0;
    uint64_t start = bench_now_ns();
    if (row->run(b, n) != 0)
        return 0;
    uint64_t ns = bench_now_ns() - start;
    if (b->elapsed_ns != 0)
        ns = b->elapsed_ns;
    return ns > 0 ? ns : 1;
}

static uint64_t calibrate(const struct row *row, struct bench *b, uint64_t time_ns)
{
    uint64_t goal = time_ns / 8, spent = 0;
    for (uint64_t n = 1;;) {
        uint64_t ns = run_batch(row, b, n);
        if (ns == 0)
            return 0;
        spent += ns;
        if (ns >= goal || spent >= time_ns || (row->max_batch != 0 && n >= row->max_batch))
            return n;
        uint64_t factor = goal / ns;
        n *= factor < 2 ? 2 : factor > 10 ? 10 : factor;
        if (row->max_batch != 0 && n > row->max_batch)
            n = row->max_batch;
    }
}

static int measure(const struct row *row, struct bench *b, const struct options *options,
                   struct result *ret)
{
    uint64_t batch = options->ops;
    if (batch == 0)
        batch = calibrate(row, b, options->time_ns);
    if (batch == 0)
        return -1;

    mark(options, "begin", row->name);
    struct result result = {0};
    uint64_t cpu_start = cpu_now_ns();
    do {
        uint64_t ns = run_batch(row, b, batch);
        if (ns == 0)
            break;
        result.ops += batch;
        result.ns += ns;
    } while (options->ops == 0 && result.ns < options->time_ns);
    result.cpu_ns = cpu_now_ns() - cpu_start;
    mark(options, "end", row->name);
    *ret = result;
    return b->error[0] == '\0' ? 0 : -1;
}

static void print_escaped(char *to, size_t size, const char *from)
{
    size_t used = 0;
    for (; *from != '\0' && used + 2 < size; from++) {
        char c = *from;
        if (c == '"' || c == '\\')
            to[used++] = '\\';
        to[used++] = (unsigned char)c < ' ' ? ' ' : c;
    }
    to[used] = '\0';
}

static int run_row(const struct row *row, const struct options *options)
{
    struct bench b = {.data_path = options->data_path,
                      .work_dir = options->work_dir,
                      .parameter = row->parameter};
    struct result result = {0};
    errno = 0;
    bool ready = row->setup == NULL || row->setup(&b) == 0;
    if (ready) {
        measure(row, &b, options, &result);
        if (row->teardown != NULL)
            row->teardown(&b);
    }
    char check[512] = "ok";
    bool good = ready && b.error[0] == '\0' && result.ops > 0;
    if (!good)
        print_escaped(check, sizeof check, b.error[0] != '\0' ? b.error : "failed without words");
    double ops = result.ops > 0 ? (double)result.ops : 1;
    char line[1024];
    int length = snprintf(line, sizeof line,
                          "{\"row\": \"%s\", \"ns_per_op\": %.1f, \"ops\": %llu, "
                          "\"cpu_ns_per_op\": %.1f, \"check\": \"%s\"}\n",
                          row->name, (double)result.ns / ops, (unsigned long long)result.ops,
                          (double)result.cpu_ns / ops, check);
    write_all(line, (size_t)length);
    return good ? 0 : 1;
}

static int for_rows(const char *name, const struct options *options, bool list)
{
    bool all = name == NULL || strcmp(name, "all") == 0;
    int status = 0;
    bool found = false;
    for (size_t i = 0; i < sizeof row_tables / sizeof row_tables[0]; i++) {
        for (const struct row *row = row_tables[i]; row->name != NULL; row++) {
            if (!all && strcmp(name, row->name) != 0)
                continue;
            found = true;
            if (list)
                printf("%-20s %s\n", row->name, row->what);
            else
                status |= run_row(row, options);
        }
    }
    if (!found) {
        fprintf(stderr, "micro: no row is called %s\n", name);
        return 2;
    }
    return status;
}

static int usage(void)
{
    fputs("usage: micro [--time MS] [--ops N] [--sync] [--data FILE] [--dir DIR] "
          "[--list] ROW...|all\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct options options = {.time_ns = 100000000u, .work_dir = "/tmp"};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--sync") == 0) {
            options.sync = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            return for_rows(NULL, &options, true);
        } else if (i + 1 >= argc) {
            return usage();
        } else if (strcmp(argv[i], "--time") == 0) {
            options.time_ns = strtoull(argv[++i], NULL, 10) * 1000000u;
        } else if (strcmp(argv[i], "--ops") == 0) {
            options.ops = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--data") == 0) {
            options.data_path = argv[++i];
        } else if (strcmp(argv[i], "--dir") == 0) {
            options.work_dir = argv[++i];
        } else {
            return usage();
        }
    }
    if (i >= argc)
        return usage();
    int status = 0;
    for (; i < argc; i++)
        status |= for_rows(argv[i], &options, false);
    return status;
}
