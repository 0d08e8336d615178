/*
 * Threads: creation, a contended mutex, hand-over by futex, barriers with more threads than CPUs.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void futex_wait(atomic_uint *word, unsigned value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void *return_argument(void *argument)
{
    return argument;
}

static int run_thread(struct bench *b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        pthread_t thread;
        void *result = NULL;
        errno = pthread_create(&thread, NULL, return_argument, b);
        if (errno != 0)
            return bench_fail(b, "pthread_create");
        errno = pthread_join(thread, &result);
        if (errno != 0 || result != b)
            return bench_fail(b, "pthread_join");
    }
    return 0;
}

struct contest {
    pthread_mutex_t mutex;
    uint64_t share;
    uint64_t counter;
    volatile uint64_t work;
};

static void contest_run(struct contest *c)
{
    for (uint64_t i = 0; i < c->share; i++) {
        pthread_mutex_lock(&c->mutex);
        c->counter++;
        for (int k = 0; k < 20; k++)
            c->work = c->work * 3 + 1;
        pthread_mutex_unlock(&c->mutex);
    }
}

static void *contest_member(void *argument)
{
    contest_run(argument);
    return NULL;
}

static int run_mutex(struct bench *b, uint64_t n)
{
    struct contest c = {.mutex = PTHREAD_MUTEX_INITIALIZER, .share = (n + 1) / 2};
    pthread_t thread;
    errno = pthread_create(&thread, NULL, contest_member, &c);
    if (errno != 0)
        return bench_fail(b, "pthread_create");
    uint64_t start = bench_now_ns();
    contest_run(&c);
    pthread_join(thread, NULL);
    uint64_t ns = bench_now_ns() - start;
    b->elapsed_ns = (uint64_t)((double)ns * (double)n / (double)(2 * c.share)) + 1;
    if (c.counter != 2 * c.share)
        return bench_fail(b, "the mutex did not exclude: %llu of %llu",
                          (unsigned long long)c.counter, (unsigned long long)(2 * c.share));
    return 0;
}

/* Two threads that wake each other and sleep in turn, by nothing but futex. */
struct relay {
    atomic_uint turn; /* even: main's, odd: the other's */
    uint64_t rounds;
};

static void relay_pass(struct relay *r, unsigned parity)
{
    for (uint64_t i = 0; i < r->rounds; i++) {
        unsigned turn;
        while (((turn = atomic_load(&r->turn)) & 1) != parity)
            futex_wait(&r->turn, turn);
        atomic_store(&r->turn, turn + 1);
        futex_wake(&r->turn, 1);
    }
}

static void *relay_member(void *argument)
{
    relay_pass(argument, 1);
    return NULL;
}

static int run_relay(struct bench *b, uint64_t n)
{
    struct relay r = {.rounds = n};
    pthread_t thread;
    errno = pthread_create(&thread, NULL, relay_member, &r);
    if (errno != 0)
        return bench_fail(b, "pthread_create");
    relay_pass(&r, 0);
    pthread_join(thread, NULL);
    if (atomic_load(&r.turn) != (unsigned)(2 * n))
        return bench_fail(b, "%u turns, not %u", atomic_load(&r.turn), (unsigned)(2 * n));
    return 0;
}

/*
 * A barrier as OpenMP runtimes have it: spin for a while, then sleep in a futex. With more threads
 * than CPUs such runtimes shorten the spinning, and so does this.
 */
#define BARRIER_SPINS 1000
#define BARRIER_MAX_THREADS 64

static inline void spin_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

struct barrier_crew {
    unsigned count;
    atomic_uint arrived;
    atomic_uint generation;
    uint64_t rounds;
    uint64_t progress[BARRIER_MAX_THREADS];
    atomic_uint wrong;
};

static void barrier_wait(struct barrier_crew *crew)
{
    unsigned generation = atomic_load(&crew->generation);
    if (atomic_fetch_add(&crew->arrived, 1) + 1 == crew->count) {
        atomic_store(&crew->arrived, 0);
        atomic_store(&crew->generation, generation + 1);
        futex_wake(&crew->generation, INT_MAX);
        return;
    }
    for (int i = 0; i < BARRIER_SPINS; i++) {
        if (atomic_load(&crew->generation) != generation)
            return;
        spin_pause();
    }
    while (atomic_load(&crew->generation) == generation)
        futex_wait(&crew->generation, generation);
}

struct barrier_member {
    struct barrier_crew *crew;
    unsigned index;
};

/* After each barrier everybody must have finished the step before it. */
static void barrier_steps(struct barrier_crew *crew, unsigned index)
{
    for (uint64_t i = 1; i <= crew->rounds; i++) {
        crew->progress[index] = i;
        barrier_wait(crew);
        if (crew->progress[(index + 1) % crew->count] < i)
            atomic_fetch_add(&crew->wrong, 1);
    }
}

static void *barrier_main(void *argument)
{
    struct barrier_member member = *(struct barrier_member *)argument;
    barrier_steps(member.crew, member.index);
    return NULL;
}

static int run_barrier(struct bench *b, uint64_t n)
{
    unsigned count = bench_cpus() * 4;
    count = count > BARRIER_MAX_THREADS ? BARRIER_MAX_THREADS : count;
    struct barrier_member members[BARRIER_MAX_THREADS];
    pthread_t threads[BARRIER_MAX_THREADS];
    struct barrier_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL)
        return bench_fail(b, "calloc");
    crew->count = count;
    crew->rounds = n;
    for (unsigned i = 1; i < count; i++) {
        members[i] = (struct barrier_member){crew, i};
        errno = pthread_create(&threads[i], NULL, barrier_main, &members[i]);
        if (errno != 0) {
            /* The threads that exist wait for one that never comes, and need their crew. */
            return bench_fail(b, "pthread_create of thread %u", i);
        }
    }
    barrier_steps(crew, 0);
    for (unsigned i = 1; i < count; i++)
        pthread_join(threads[i], NULL);
    unsigned wrong = atomic_load(&crew->wrong);
    free(crew);
    if (wrong != 0)
        return bench_fail(b, "%u threads passed a barrier early", wrong);
    return 0;
}

const struct row thread_rows[] = {
    {"thread", "thread create and join", NULL, run_thread, NULL, 0, 0},
    {"mutex", "contended mutex between two threads", NULL, run_mutex, NULL, 0, 0},
    {"futex-relay", "two threads wake each other in turn", NULL, run_relay, NULL, 0, 0},
    {"barrier", "barrier of 4 threads per CPU, spin then futex", NULL, run_barrier, NULL, 0, 0},
    {0},
};
