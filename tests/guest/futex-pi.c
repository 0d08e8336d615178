// Priority-inheritance futexes: locking, trying, unlocking, owners that die, requeueing to one, and errors.
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>

#include "guest-test.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

static long futex(void *word, int op, unsigned val, const void *timeout, void *word2, unsigned val3)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, val, timeout, word2, val3);
}

static struct timespec in_ms(clockid_t clock, int64_t ms)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    int64_t ns = ts.tv_sec * 1000000000LL + ts.tv_nsec + ms * 1000000;
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static unsigned tid(void)
{
    return syscall(SYS_gettid);
}

static void need_pi(void)
{
    atomic_uint word = 0;
    if (futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0) == -1 && errno == ENOSYS)
        SKIP("no priority-inheritance futexes");
}

TEST(lock_unlock)
{
    need_pi();
    atomic_uint word = 0;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
        CHECK_EQ(word, tid());
        CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
        CHECK_EQ(word, 0);
    }
}

TEST(errors)
{
    need_pi();
    atomic_uint word = 0;
    EXPECT_ERRNO(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    EXPECT_EQ(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), 0);
    EXPECT_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    EXPECT_ERRNO(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    atomic_store(&word, 1 << 22);    // no such thread
    EXPECT_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
    EXPECT_ERRNO(futex((char *)&word + 1, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EINVAL);
    EXPECT_ERRNO(futex(GT_BAD, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EFAULT);
    EXPECT_ERRNO(futex(GT_BAD, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EFAULT);
    // A plain waiter or waker on a word is not a PI user, and requeueing without a comparison is unknown.
    EXPECT_ERRNO(futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, NULL, &word, 0), EINVAL);
}

struct shared {
    atomic_uint word;
    atomic_int tids[8], order[8], count;
    int ms;
    long result;
    int err;
};

static void *lock_thread(void *arg)
{
    struct shared *s = arg;
    int me = atomic_fetch_add(&s->count, 1);
    atomic_store(&s->tids[me], tid());
    s->result = futex(&s->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
    s->err = errno;
    if (s->result == 0 && (s->word & FUTEX_TID_MASK) != tid())
        s->result = -2;
    if (futex(&s->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) != 0)
        s->result = -3;
    return NULL;
}

TEST(contended)
{
    need_pi();
    static struct shared s;
    pthread_t threads[4];
    CHECK_EQ(futex(&s.word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, lock_thread, &s), 0);
    for (int i = 0; i < 4; i++) {
        while (atomic_load(&s.tids[i]) == 0)
            gt_msleep(1);
        gt_wait_state(s.tids[i], "S");
    }
    CHECK(s.word & FUTEX_WAITERS);
    CHECK_EQ(s.word & FUTEX_TID_MASK, tid());
    CHECK_EQ(futex(&s.word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(s.result, 0);
    CHECK_EQ(s.word, 0);
}

static void *timed_lock(void *arg)
{
    struct shared *s = arg;
    struct timespec ts = in_ms(CLOCK_REALTIME, s->ms);
    s->result = futex(&s->word, FUTEX_LOCK_PI, 0, &ts, NULL, 0);
    s->err = errno;
    return NULL;
}

TEST(timeout_is_absolute_real_time)
{
    need_pi();
    static struct shared s;
    pthread_t thread;
    CHECK_EQ(futex(&s.word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    static const int times[] = {20, -1000};
    for (int i = 0; i < 2; i++) {
        s.ms = times[i];
        CHECK_RC(pthread_create(&thread, NULL, timed_lock, &s), 0);
        CHECK_RC(pthread_join(thread, NULL), 0);
        CHECK_EQ(s.result, -1);
        CHECK_EQ(s.err, ETIMEDOUT);
    }
    CHECK_EQ(futex(&s.word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
}

static void *try_lock(void *arg)
{
    struct shared *s = arg;
    s->result = futex(&s->word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0);
    s->err = errno;
    return NULL;
}

TEST(trylock_of_held)
{
    need_pi();
    static struct shared s;
    pthread_t thread;
    CHECK_EQ(futex(&s.word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_RC(pthread_create(&thread, NULL, try_lock, &s), 0);
    CHECK_RC(pthread_join(thread, NULL), 0);
    CHECK(s.result == -1 && s.err == EAGAIN);
    CHECK_EQ(futex(&s.word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
}

static void *unlock_foreign(void *arg)
{
    struct shared *s = arg;
    s->result = futex(&s->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
    s->err = errno;
    return NULL;
}

TEST(unlock_by_another)
{
    need_pi();
    static struct shared s;
    pthread_t thread;
    CHECK_EQ(futex(&s.word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_RC(pthread_create(&thread, NULL, unlock_foreign, &s), 0);
    CHECK_RC(pthread_join(thread, NULL), 0);
    CHECK(s.result == -1 && s.err == EPERM);
}

TEST(owner_exits_with_waiter)
{
    // A waiter whose owner dies without a robust list gets the lock, marked as orphaned.
    need_pi();
    struct shared *s = gt_shared(4096);
    pid_t me = getpid();
    pid_t pid = FORK({
        CHECK_EQ(syscall(SYS_futex, &s->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
        atomic_store(&s->count, 1);
        gt_wait_state(me, "S");
        gt_msleep(20);
    });
    while (atomic_load(&s->count) == 0)
        sched_yield();
    long r = syscall(SYS_futex, &s->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
    CHECK_EQ(r, 0);
    CHECK_EQ(s->word & FUTEX_TID_MASK, tid());
    CHECK(s->word & FUTEX_OWNER_DIED);
    CHECK_EXIT(pid, 0);
}

TEST(between_processes)
{
    need_pi();
    struct shared *s = gt_shared(4096);
    pid_t pids[4];
    for (int i = 0; i < 4; i++)
        pids[i] = FORK({
            for (int k = 0; k < 200; k++) {
                unsigned zero = 0;
                if (!atomic_compare_exchange_strong(&s->word, &zero, tid()))
                    CHECK_EQ(syscall(SYS_futex, &s->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
                int n = atomic_load_explicit(&s->count, memory_order_relaxed);
                atomic_store_explicit(&s->count, n + 1, memory_order_relaxed);
                unsigned mine = tid();
                if (!atomic_compare_exchange_strong(&s->word, &mine, 0))
                    CHECK_EQ(syscall(SYS_futex, &s->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
            }
        });
    for (int i = 0; i < 4; i++)
        CHECK_EXIT(pids[i], 0);
    CHECK_EQ(s->count, 800);
}

static pthread_mutex_t mutex;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turns;

static void *cond_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        CHECK_RC(pthread_mutex_lock(&mutex), 0);
        turns++;
        CHECK_RC(pthread_cond_broadcast(&cond), 0);
        while (turns < (i + 1) * 4)
            CHECK_RC(pthread_cond_wait(&cond, &mutex), 0);
        CHECK_RC(pthread_mutex_unlock(&mutex), 0);
    }
    return NULL;
}

TEST(pi_mutex_with_condition)
{
    need_pi();
    pthread_mutexattr_t ma;
    pthread_t threads[4];
    CHECK_RC(pthread_mutexattr_init(&ma), 0);
    CHECK_RC(pthread_mutexattr_setprotocol(&ma, PTHREAD_PRIO_INHERIT), 0);
    CHECK_RC(pthread_mutex_init(&mutex, &ma), 0);
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, cond_thread, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(turns, 400);
}

TEST(robust_pi_mutex)
{
    need_pi();
    pthread_mutex_t *m = gt_shared(4096);
    pthread_mutexattr_t ma;
    CHECK_RC(pthread_mutexattr_init(&ma), 0);
    CHECK_RC(pthread_mutexattr_setprotocol(&ma, PTHREAD_PRIO_INHERIT), 0);
    CHECK_RC(pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED), 0);
    CHECK_RC(pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_RC(pthread_mutex_init(m, &ma), 0);
    pid_t pid = FORK({
        pthread_mutex_lock(m);
        kill(getpid(), SIGKILL);
    });
    CHECK_KILLED(pid, SIGKILL);
    CHECK_RC(pthread_mutex_lock(m), EOWNERDEAD);
    CHECK_RC(pthread_mutex_consistent(m), 0);
    CHECK_RC(pthread_mutex_unlock(m), 0);
}

struct requeue {
    atomic_uint cond, mutex;
    atomic_int tids[4], count, woken;
};

static void *requeue_waiter(void *arg)
{
    struct requeue *q = arg;
    atomic_store(&q->tids[atomic_fetch_add(&q->count, 1)], tid());
    if (futex(&q->cond, FUTEX_WAIT_REQUEUE_PI, 0, NULL, &q->mutex, 0) != 0)
        return (void *)1;
    if ((q->mutex & FUTEX_TID_MASK) != tid())
        return (void *)2;
    atomic_fetch_add(&q->woken, 1);
    return futex(&q->mutex, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0 ? NULL : (void *)3;
}

TEST(requeue_pi)
{
    need_pi();
    static struct requeue q;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, requeue_waiter, &q), 0);
    for (int i = 0; i < 4; i++) {
        while (atomic_load(&q.tids[i]) == 0)
            gt_msleep(1);
        gt_wait_state(q.tids[i], "S");
        gt_msleep(3);
    }
    CHECK_ERRNO(futex(&q.cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)10, &q.mutex, 5), EAGAIN);
    CHECK_ERRNO(futex(&q.cond, FUTEX_CMP_REQUEUE_PI, 2, (void *)10, &q.mutex, 0), EINVAL);    // wakes one only
    CHECK_EQ(futex(&q.mutex, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    long moved = 0;
    while (moved < 4) {
        moved += OK(futex(&q.cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)10, &q.mutex, 0));
        gt_msleep(1);
    }
    CHECK_EQ(q.woken, 0);
    CHECK_EQ(futex(&q.mutex, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK_EQ((long)result, 0);
    }
    CHECK_EQ(q.woken, 4);
}

TEST(lock_pi2_clocks)
{
    need_pi();
    static struct shared s;
    struct timespec ts = in_ms(CLOCK_MONOTONIC, 20);
    if (futex(&s.word, FUTEX_LOCK_PI2, 0, &ts, NULL, 0) == -1 && errno == ENOSYS)
        SKIP("no FUTEX_LOCK_PI2");
    CHECK_EQ(s.word, tid());
    CHECK_EQ(futex(&s.word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&s.word, FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, 0, &ts, NULL, 0), 0);
    CHECK_EQ(futex(&s.word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
}
