/*
 * System calls that do next to nothing, from one thread and from several, and the clock.
 *
 * With several threads the time is wall time per call of all threads together: on enough CPUs it
 * falls with the number of threads, and it never rises on a kernel that scales.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int run_getpid(struct bench *b, uint64_t n)
{
    long pid = getpid();
    for (uint64_t i = 0; i < n; i++) {
        if (syscall(SYS_getpid) != pid)
            return bench_fail(b, "getpid changed its mind");
    }
    return 0;
}

static int run_getpid_libc(struct bench *b, uint64_t n)
{
    long pid = syscall(SYS_getpid);
    for (uint64_t i = 0; i < n; i++) {
        if (getpid() != pid)
            return bench_fail(b, "getpid changed its mind");
    }
    return 0;
}

static int run_getuid(struct bench *b, uint64_t n)
{
    long uid = syscall(SYS_getuid);
    for (uint64_t i = 0; i < n; i++) {
        if (getuid() != uid)
            return bench_fail(b, "getuid changed its mind");
    }
    return 0;
}

/* The mask alternates, so that an answer that was not computed by this call shows. */
static int run_umask(struct bench *b, uint64_t n)
{
    umask(022);
    mode_t last = 022;
    for (uint64_t i = 0; i < n; i++) {
        mode_t next = last ^ 055;
        if (umask(next) != last)
            return bench_fail(b, "umask returned another mask than the one set before");
        last = next;
    }
    umask(022);
    return 0;
}

static int run_clock(struct bench *b, uint64_t n)
{
    struct timespec last = {0}, now;
    for (uint64_t i = 0; i < n; i++) {
        if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
            return bench_fail(b, "clock_gettime");
        if (now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec))
            return bench_fail(b, "the clock ran backwards");
        last = now;
    }
    return 0;
}

enum null_call { NULL_GETPID, NULL_UMASK };

struct crew {
    unsigned count;
    enum null_call call;
    pthread_t *threads;
    pthread_barrier_t start, end;
    uint64_t share;
    atomic_bool stop;
    atomic_uint wrong;
};

static void *crew_member(void *arg)
{
    struct crew *crew = arg;
    long pid = getpid();
    for (;;) {
        pthread_barrier_wait(&crew->start);
        if (atomic_load(&crew->stop))
            return NULL;
        unsigned wrong = 0;
        for (uint64_t i = 0; i < crew->share; i++) {
            /* All threads share one mask and set the same: any other answer is wrong. */
            if (crew->call == NULL_UMASK)
                wrong += syscall(SYS_umask, 022) != 022;
            else
                wrong += syscall(SYS_getpid) != pid;
        }
        atomic_fetch_add(&crew->wrong, wrong);
        pthread_barrier_wait(&crew->end);
    }
}

static void crew_stop(struct crew *crew)
{
    atomic_store(&crew->stop, true);
    pthread_barrier_wait(&crew->start);
    for (unsigned i = 0; i < crew->count; i++)
        pthread_join(crew->threads[i], NULL);
    pthread_barrier_destroy(&crew->start);
    pthread_barrier_destroy(&crew->end);
    free(crew->threads);
    free(crew);
}

/* The row's parameter is the number of threads, plus 100 for umask. */
static int setup_crew(struct bench *b)
{
    struct crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL)
        return bench_fail(b, "calloc");
    crew->count = b->parameter % 100;
    crew->call = b->parameter >= 100 ? NULL_UMASK : NULL_GETPID;
    crew->threads = calloc(crew->count, sizeof *crew->threads);
    if (crew->threads == NULL) {
        free(crew);
        return bench_fail(b, "calloc");
    }
    umask(022);
    pthread_barrier_init(&crew->start, NULL, crew->count + 1);
    pthread_barrier_init(&crew->end, NULL, crew->count + 1);
    for (unsigned i = 0; i < crew->count; i++) {
        /* A crew that is not complete could never be released from its barrier: give up at once. */
        errno = pthread_create(&crew->threads[i], NULL, crew_member, crew);
        if (errno != 0)
            return bench_fail(b, "pthread_create of thread %u", i);
    }
    b->private_state = crew;
    return 0;
}

static int run_crew(struct bench *b, uint64_t n)
{
    struct crew *crew = b->private_state;
    crew->share = (n + crew->count - 1) / crew->count;
    uint64_t start = bench_now_ns();
    pthread_barrier_wait(&crew->start);
    pthread_barrier_wait(&crew->end);
    uint64_t ns = bench_now_ns() - start;
    /* The share is rounded up: scale to the n operations that were asked for. */
    b->elapsed_ns = (uint64_t)((double)ns * (double)n / (double)(crew->share * crew->count)) + 1;
    if (atomic_load(&crew->wrong) != 0)
        return bench_fail(b, "%u wrong answers", atomic_load(&crew->wrong));
    return 0;
}

static void teardown_crew(struct bench *b)
{
    crew_stop(b->private_state);
}

#define CREW(name, what, parameter) {name, what, setup_crew, run_crew, teardown_crew, parameter, 0}

const struct row null_rows[] = {
    {"getpid", "getpid through libc's syscall()", NULL, run_getpid, NULL, 0, 0},
    {"getpid-libc", "getpid through libc's getpid()", NULL, run_getpid_libc, NULL, 0, 0},
    {"getuid", "getuid through libc's getuid()", NULL, run_getuid, NULL, 0, 0},
    {"umask", "umask: a null call that changes state", NULL, run_umask, NULL, 0, 0},
    CREW("getpid-t1", "getpid from one thread besides main", 1),
    CREW("getpid-t2", "getpid from 2 threads at once", 2),
    CREW("getpid-t4", "getpid from 4 threads at once", 4),
    CREW("getpid-t16", "getpid from 16 threads at once", 16),
    CREW("umask-t1", "umask from one thread besides main", 101),
    CREW("umask-t2", "umask from 2 threads at once", 102),
    CREW("umask-t4", "umask from 4 threads at once", 104),
    CREW("umask-t16", "umask from 16 threads at once", 116),
    {"clock-gettime", "clock_gettime(CLOCK_MONOTONIC)", NULL, run_clock, NULL, 0, 0},
    {0},
};
