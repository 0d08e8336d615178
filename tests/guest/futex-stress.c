// Futexes under load: no wake-up is lost between time-outs, signals, requeues, exits and process borders.
// Every test ends by itself or hangs into its time limit: that is the failure.
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "guest-test.h"

static long futex(void *word, int op, unsigned val, const void *timeout, void *word2, unsigned val3)
{
    return syscall(SYS_futex, word, op, val, timeout, word2, val3);
}

// A semaphore straight on the futex.
struct fsem {
    atomic_uint value, waiters;
    int flag;
};

static void fsem_post(struct fsem *s)
{
    atomic_fetch_add(&s->value, 1);
    if (atomic_load(&s->waiters) > 0)
        futex(&s->value, FUTEX_WAKE | s->flag, 1, NULL, NULL, 0);
}

static void fsem_wait(struct fsem *s, bool timed)
{
    struct timespec ts = {0, 300000};
    for (;;) {
        unsigned v = atomic_load(&s->value);
        while (v > 0)
            if (atomic_compare_exchange_weak(&s->value, &v, v - 1))
                return;
        atomic_fetch_add(&s->waiters, 1);
        futex(&s->value, FUTEX_WAIT | s->flag, 0, timed ? &ts : NULL, NULL, 0);
        atomic_fetch_sub(&s->waiters, 1);
    }
}

static struct fsem ping, pong;
static bool timed_waits;

static void *ponger(void *arg)
{
    for (int i = 0; i < (int)(long)arg; i++) {
        fsem_wait(&ping, timed_waits);
        fsem_post(&pong);
    }
    return NULL;
}

static void ping_pong(int rounds)
{
    pthread_t thread;
    CHECK_RC(pthread_create(&thread, NULL, ponger, (void *)(long)rounds), 0);
    for (int i = 0; i < rounds; i++) {
        fsem_post(&ping);
        fsem_wait(&pong, timed_waits);
    }
    CHECK_RC(pthread_join(thread, NULL), 0);
}

TEST_TIMEOUT(ping_pong_private, 60)
{
    ping.flag = pong.flag = FUTEX_PRIVATE_FLAG;
    ping_pong(5000);
}

TEST_TIMEOUT(ping_pong_shared, 60)
{
    ping_pong(5000);
}

TEST_TIMEOUT(ping_pong_with_timeouts, 60)
{
    timed_waits = true;
    ping_pong(5000);
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
    (void)sig;
    signals++;
}

static void start_storm(int flags)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};
    struct itimerval it = {{0, 700}, {0, 700}};
    CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
}

TEST_TIMEOUT(ping_pong_under_signals, 60)
{
    start_storm(SA_RESTART);
    ping_pong(5000);
    start_storm(0);
    ping_pong(5000);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int queue[4], head, count;
static long consumed;

static void *producer(void *arg)
{
    for (int i = 1; i <= 1000; i++) {
        pthread_mutex_lock(&mutex);
        while (count == 4)
            pthread_cond_wait(&not_full, &mutex);
        queue[(head + count++) % 4] = i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

static void *consumer(void *arg)
{
    for (int i = 1; i <= 1000; i++) {
        pthread_mutex_lock(&mutex);
        while (count == 0)
            pthread_cond_wait(&not_empty, &mutex);
        consumed += queue[head];
        head = (head + 1) % 4;
        count--;
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

TEST_TIMEOUT(bounded_buffer, 60)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, i & 1 ? producer : consumer, NULL), 0);
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(consumed, 4 * 500500L);
}

TEST_TIMEOUT(bounded_buffer_under_signals, 60)
{
    start_storm(SA_RESTART);
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, i & 1 ? producer : consumer, NULL), 0);
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(consumed, 4 * 500500L);
}

static pthread_barrier_t barrier;
static atomic_int at_once;

static void *barrier_thread(void *arg)
{
    for (int i = 0; i < 300; i++) {
        atomic_fetch_add(&at_once, 1);
        pthread_barrier_wait(&barrier);
        if (atomic_load(&at_once) != 6 * (i + 1))
            return (void *)1;
        pthread_barrier_wait(&barrier);
    }
    return arg;
}

TEST_TIMEOUT(barrier_rounds, 60)
{
    pthread_t threads[6];
    CHECK_RC(pthread_barrier_init(&barrier, NULL, 6), 0);
    for (int i = 0; i < 6; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, barrier_thread, NULL), 0);
    for (int i = 0; i < 6; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == NULL);
    }
}

// Requeueing: waiters on `from` are moved to `to` in small steps and woken there, while others arrive.
static atomic_uint from, to;
static atomic_int arrived, left;

static void *requeue_waiter(void *arg)
{
    atomic_fetch_add(&arrived, 1);
    while (futex(&from, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) != 0)
        if (atomic_load(&from) != 0)
            break;
    atomic_fetch_add(&left, 1);
    return arg;
}

TEST_TIMEOUT(requeue_loses_nobody, 60)
{
    enum { WAITERS = 16 };
    for (int round = 0; round < 10; round++) {
        pthread_t threads[WAITERS];
        atomic_store(&from, 0);
        atomic_store(&arrived, 0);
        atomic_store(&left, 0);
        for (int i = 0; i < WAITERS; i++)
            CHECK_RC(pthread_create(&threads[i], NULL, requeue_waiter, NULL), 0);
        while (atomic_load(&left) < WAITERS) {
            long n = futex(&from, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &to, 0);
            CHECK(n >= 0);
            n = futex(&to, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
            CHECK(n >= 0);
            sched_yield();
        }
        for (int i = 0; i < WAITERS; i++)
            CHECK_RC(pthread_join(threads[i], NULL), 0);
        CHECK_EQ(futex(&to, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 0);
        CHECK_EQ(futex(&from, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 0);
    }
}

TEST_TIMEOUT(processes_share_a_lock, 60)
{
    // A mutex in shared memory; processes come and go, some are killed while they wait for it.
    pthread_mutex_t *m = gt_shared(4096);
    atomic_long *total = (atomic_long *)(m + 4);
    pthread_mutexattr_t ma;
    CHECK_RC(pthread_mutexattr_init(&ma), 0);
    CHECK_RC(pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED), 0);
    CHECK_RC(pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_RC(pthread_mutex_init(m, &ma), 0);
    for (int round = 0; round < 10; round++) {
        pid_t pids[6];
        for (int i = 0; i < 6; i++)
            pids[i] = FORK({
                for (int k = 0; k < 300; k++) {
                    int r = pthread_mutex_lock(m);
                    if (r == EOWNERDEAD)
                        pthread_mutex_consistent(m);
                    else
                        CHECK_RC(r, 0);
                    atomic_fetch_add(total, 1);
                    CHECK_RC(pthread_mutex_unlock(m), 0);
                }
            });
        for (int i = 0; i < 2; i++) {
            gt_msleep(1);
            kill(pids[i], SIGKILL);
        }
        for (int i = 0; i < 6; i++) {
            int status = gt_waitpid(pids[i]);
            CHECK(status == 0 || (i < 2 && WIFSIGNALED(status)));
        }
    }
    int r = pthread_mutex_trylock(m);
    CHECK(r == 0 || r == EOWNERDEAD);
    CHECK(atomic_load(total) >= 10 * 4 * 300);
}

static void *exits_at_once(void *arg)
{
    return arg;
}

TEST_TIMEOUT(join_storm, 60)
{
    // Joining sleeps on the word that the kernel clears when the thread is gone.
    for (int i = 0; i < 1500; i++) {
        pthread_t a, b;
        CHECK_RC(pthread_create(&a, NULL, exits_at_once, NULL), 0);
        CHECK_RC(pthread_create(&b, NULL, exits_at_once, NULL), 0);
        CHECK_RC(pthread_join(b, NULL), 0);
        CHECK_RC(pthread_join(a, NULL), 0);
    }
}

TEST_TIMEOUT(timeouts_are_not_early, 60)
{
    static atomic_uint word;
    for (int i = 1; i <= 30; i++) {
        struct timespec ts = {0, i * 500000};
        int64_t start = gt_now_ns();
        CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0), ETIMEDOUT);
        CHECK(gt_now_ns() - start >= i * 500000);
    }
}

static sem_t sems[5];

static void *philosopher(void *arg)
{
    long me = (long)arg;
    sem_t *first = &sems[me < (me + 1) % 5 ? me : (me + 1) % 5];
    sem_t *second = &sems[me < (me + 1) % 5 ? (me + 1) % 5 : me];
    for (int i = 0; i < 1000; i++) {
        while (sem_wait(first) != 0)
            continue;
        while (sem_wait(second) != 0)
            continue;
        sem_post(second);
        sem_post(first);
    }
    return NULL;
}

TEST_TIMEOUT(dining, 60)
{
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sem_init(&sems[i], 0, 1), 0);
    start_storm(0);
    for (long i = 0; i < 5; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, philosopher, (void *)i), 0);
    for (int i = 0; i < 5; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
}
