// Threads: creation and joining in number, thread-local storage, locks and conditions under load, exits,
// cancellation, and what a whole-process exit or exec does to the rest.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "guest-test.h"

static void *return_argument(void *arg)
{
    return arg;
}

TEST(create_join_one_by_one)
{
    for (long i = 0; i < 1000; i++) {
        pthread_t thread;
        void *result;
        CHECK_RC(pthread_create(&thread, NULL, return_argument, (void *)i), 0);
        CHECK_RC(pthread_join(thread, &result), 0);
        CHECK_EQ((long)result, i);
    }
}

static pthread_barrier_t barrier;

static void *at_barrier(void *arg)
{
    pthread_barrier_wait(&barrier);
    return arg;
}

TEST(many_at_once)
{
    enum { MANY = 200 };
    static char marks[MANY];
    pthread_t threads[MANY];
    pthread_attr_t attr;
    CHECK_RC(pthread_attr_init(&attr), 0);
    CHECK_RC(pthread_attr_setstacksize(&attr, 65536), 0);
    CHECK_RC(pthread_barrier_init(&barrier, NULL, MANY + 1), 0);
    for (int i = 0; i < MANY; i++)
        CHECK_RC(pthread_create(&threads[i], &attr, at_barrier, &marks[i]), 0);
    char text[4096];
    CHECK(gt_read_file("/proc/self/status", text, sizeof(text)) > 0);
    char *line = strstr(text, "Threads:");
    CHECK(line != NULL);
    CHECK_EQ(atoi(line + 8), MANY + 1);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < MANY; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == &marks[i]);
    }
}

static atomic_int detached_left;

static void *detached(void *arg)
{
    atomic_fetch_sub(&detached_left, 1);
    return arg;
}

TEST(detached)
{
    pthread_attr_t attr;
    CHECK_RC(pthread_attr_init(&attr), 0);
    CHECK_RC(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), 0);
    atomic_store(&detached_left, 300);
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        CHECK_RC(pthread_create(&thread, &attr, detached, NULL), 0);
    }
    while (atomic_load(&detached_left) > 0)
        sched_yield();
}

static __thread long tls_zero;
static __thread long tls_set = 77;

static void *tls_thread(void *arg)
{
    long id = (long)arg;
    if (tls_zero != 0 || tls_set != 77)
        return (void *)1;
    for (int i = 0; i < 1000; i++) {
        tls_zero = id * 1000 + i;
        tls_set = -tls_zero;
        if (i % 100 == 0)
            sched_yield();
        if (tls_zero != id * 1000 + i || tls_set != -tls_zero)
            return (void *)2;
    }
    return NULL;
}

TEST(tls)
{
    pthread_t threads[16];
    tls_zero = 5;
    for (long i = 0; i < 16; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, tls_thread, (void *)i), 0);
    for (int i = 0; i < 16; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == NULL);
    }
    CHECK(tls_zero == 5 && tls_set == 77);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long counter;

static void *mutex_thread(void *arg)
{
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

TEST(mutex_storm)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, mutex_thread, NULL), 0);
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(counter, 40000);
}

static void *turn_thread(void *arg)
{
    long id = (long)arg;
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&mutex);
        while (counter % 4 != id)
            pthread_cond_wait(&cond, &mutex);
        counter++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

TEST(condition_turns)
{
    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, turn_thread, (void *)i), 0);
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(counter, 800);
}

TEST(condition_timeout)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 20000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&mutex);
    CHECK_RC(pthread_cond_timedwait(&cond, &mutex, &ts), ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static volatile long pair[2];

static void *reader(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        pthread_rwlock_rdlock(&rwlock);
        bool same = pair[0] == pair[1];
        pthread_rwlock_unlock(&rwlock);
        if (!same)
            return (void *)1;
    }
    return arg;
}

static void *writer(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        pthread_rwlock_wrlock(&rwlock);
        pair[0]++;
        pair[1]++;
        pthread_rwlock_unlock(&rwlock);
    }
    return arg;
}

TEST(rwlock)
{
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, i < 4 ? reader : writer, NULL), 0);
    for (int i = 0; i < 6; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == NULL);
    }
    CHECK_EQ(pair[0], 4000);
}

TEST(semaphore_between_processes)
{
    sem_t *sems = gt_shared(4096);
    CHECK_EQ(sem_init(&sems[0], 1, 0), 0);
    CHECK_EQ(sem_init(&sems[1], 1, 0), 0);
    pid_t pid = FORK({
        for (int i = 0; i < 300; i++) {
            CHECK_EQ(sem_wait(&sems[0]), 0);
            CHECK_EQ(sem_post(&sems[1]), 0);
        }
    });
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(sem_post(&sems[0]), 0);
        CHECK_EQ(sem_wait(&sems[1]), 0);
    }
    CHECK_EXIT(pid, 0);
}

TEST(shared_mutex_and_condition)
{
    struct {
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        int turn;
    } *s = gt_shared(4096);
    pthread_mutexattr_t ma;
    pthread_condattr_t ca;
    CHECK_RC(pthread_mutexattr_init(&ma), 0);
    CHECK_RC(pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED), 0);
    CHECK_RC(pthread_condattr_init(&ca), 0);
    CHECK_RC(pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED), 0);
    CHECK_RC(pthread_mutex_init(&s->mutex, &ma), 0);
    CHECK_RC(pthread_cond_init(&s->cond, &ca), 0);
    pid_t pid = OK(fork());
    int me = pid == 0;
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&s->mutex);
        while (s->turn % 2 != me)
            pthread_cond_wait(&s->cond, &s->mutex);
        s->turn++;
        pthread_cond_signal(&s->cond);
        pthread_mutex_unlock(&s->mutex);
    }
    if (pid == 0)
        _exit(0);
    CHECK_EXIT(pid, 0);
    CHECK_EQ(s->turn, 400);
}

static void *die_holding(void *arg)
{
    pthread_mutex_lock(arg);
    return NULL;
}

TEST(robust_mutex)
{
    for (int process = 0; process < 2; process++) {
        pthread_mutex_t *m = gt_shared(4096);
        pthread_mutexattr_t ma;
        CHECK_RC(pthread_mutexattr_init(&ma), 0);
        CHECK_RC(pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED), 0);
        CHECK_RC(pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST), 0);
        CHECK_RC(pthread_mutex_init(m, &ma), 0);
        if (process) {
            pid_t pid = FORK({
                pthread_mutex_lock(m);
                kill(getpid(), SIGKILL);
            });
            CHECK_KILLED(pid, SIGKILL);
        } else {
            pthread_t thread;
            CHECK_RC(pthread_create(&thread, NULL, die_holding, m), 0);
            CHECK_RC(pthread_join(thread, NULL), 0);
        }
        CHECK_RC(pthread_mutex_lock(m), EOWNERDEAD);
        CHECK_RC(pthread_mutex_consistent(m), 0);
        CHECK_RC(pthread_mutex_unlock(m), 0);
        CHECK_RC(pthread_mutex_lock(m), 0);
        CHECK_RC(pthread_mutex_unlock(m), 0);
    }
}

TEST(robust_mutex_wakes_waiter)
{
    // The waiter sleeps on the lock when its owner is killed.
    pthread_mutex_t *m = gt_shared(4096);
    pthread_mutexattr_t ma;
    CHECK_RC(pthread_mutexattr_init(&ma), 0);
    CHECK_RC(pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED), 0);
    CHECK_RC(pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_RC(pthread_mutex_init(m, &ma), 0);
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        pthread_mutex_lock(m);
        CHECK_EQ(write(ends[1], "l", 1), 1);
        gt_wait_state(me, "S");
        gt_msleep(20);
        kill(getpid(), SIGKILL);
    });
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_RC(pthread_mutex_lock(m), EOWNERDEAD);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(pi_mutex)
{
    pthread_mutex_t m;
    pthread_mutexattr_t ma;
    CHECK_RC(pthread_mutexattr_init(&ma), 0);
    CHECK_RC(pthread_mutexattr_setprotocol(&ma, PTHREAD_PRIO_INHERIT), 0);
    CHECK_RC(pthread_mutex_init(&m, &ma), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_RC(pthread_mutex_lock(&m), 0);
        CHECK_RC(pthread_mutex_unlock(&m), 0);
    }
}

static void *blocked_in_read(void *arg)
{
    char byte;
    (void)!read(*(int *)arg, &byte, 1);
    return NULL;
}

TEST(exit_group_with_blocked_threads)
{
    for (int from_thread = 0; from_thread < 2; from_thread++) {
        pid_t pid = FORK({
            int ends[2];
            pthread_t thread;
            CHECK_EQ(pipe(ends), 0);
            for (int i = 0; i < 10; i++)
                CHECK_RC(pthread_create(&thread, NULL, blocked_in_read, &ends[0]), 0);
            if (!from_thread)
                _exit(31);
            CHECK_RC(pthread_create(&thread, NULL, (void *(*)(void *))(void *)_exit, (void *)31L), 0);
            pause();
        });
        CHECK_EXIT(pid, 31);
    }
}

static void *spin_forever(void *arg)
{
    for (;;)
        atomic_fetch_add((atomic_int *)arg, 1);
    return NULL;
}

TEST(exit_group_with_spinning_threads)
{
    pid_t pid = FORK({
        static atomic_int word;
        pthread_t thread;
        for (int i = 0; i < 4; i++)
            CHECK_RC(pthread_create(&thread, NULL, spin_forever, &word), 0);
        while (atomic_load(&word) < 1000)
            sched_yield();
        _exit(32);
    });
    CHECK_EXIT(pid, 32);
}

TEST(kill_process_with_threads)
{
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = FORK({
        static atomic_int word;
        int own[2];
        pthread_t thread;
        CHECK_EQ(pipe(own), 0);
        for (int i = 0; i < 4; i++)
            CHECK_RC(pthread_create(&thread, NULL, i & 1 ? spin_forever : blocked_in_read,
                                    i & 1 ? (void *)&word : (void *)&own[0]), 0);
        CHECK_EQ(write(ends[1], "r", 1), 1);
        pause();
    });
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

static void *main_exit_waiter(void *arg)
{
    // The first thread shows as a zombie while others live.
    gt_wait_state(*(pid_t *)arg, "Z");
    _exit(gt_state(*(pid_t *)arg) == 'Z' ? 33 : 34);
}

TEST(main_thread_exits_first)
{
    pid_t pid = FORK({
        static pid_t me;
        pthread_t thread;
        me = getpid();
        CHECK_RC(pthread_create(&thread, NULL, main_exit_waiter, &me), 0);
        syscall(SYS_exit, 0);
    });
    CHECK_EXIT(pid, 33);
}

TEST(cancel_blocked)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *result;
        CHECK_RC(pthread_create(&thread, NULL, blocked_in_read, &ends[0]), 0);
        if (i & 1)
            gt_msleep(1);
        CHECK_RC(pthread_cancel(thread), 0);
        CHECK_RC(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
    }
}

static void *cancel_async(void *arg)
{
    int old;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    atomic_store((atomic_int *)arg, 1);
    return spin_forever(arg);
}

TEST(cancel_asynchronous)
{
    static atomic_int word;
    pthread_t thread;
    void *result;
    CHECK_RC(pthread_create(&thread, NULL, cancel_async, &word), 0);
    while (atomic_load(&word) == 0)
        sched_yield();
    CHECK_RC(pthread_cancel(thread), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
}

static void *tids(void *arg)
{
    pid_t *seen = arg;
    seen[0] = getpid();
    seen[1] = syscall(SYS_gettid);
    seen[2] = getppid();
    return NULL;
}

TEST(thread_ids)
{
    pthread_t thread;
    pid_t seen[3];
    CHECK_RC(pthread_create(&thread, NULL, tids, seen), 0);
    CHECK_RC(pthread_join(thread, NULL), 0);
    CHECK_EQ(seen[0], getpid());
    CHECK(seen[1] != getpid());
    CHECK_EQ(seen[2], getppid());
}

static void *fpu_thread(void *arg)
{
    double x = 1.0 + (long)arg;
    volatile double sum = 0;
    for (int i = 0; i < 20000; i++) {
        sum += x;
        if (i % 1000 == 0)
            sched_yield();
    }
    return (void *)(long)(sum == x * 20000);
}

TEST(floating_point_is_per_thread)
{
    pthread_t threads[8];
    for (long i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, fpu_thread, (void *)i), 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result != NULL);
    }
}

static void *descriptors(void *arg)
{
    for (int i = 0; i < 200; i++) {
        int ends[2];
        char byte = i;
        if (pipe(ends) != 0 || write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1 || byte != (char)i ||
            close(ends[0]) != 0 || close(ends[1]) != 0)
            return (void *)1;
    }
    return arg;
}

TEST(descriptors_concurrently)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, descriptors, NULL), 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == NULL);
    }
}

static void *mappings(void *arg)
{
    for (int i = 0; i < 100; i++) {
        char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || p[40000] != 0)
            return (void *)1;
        memset(p, i, 65536);
        if (mprotect(p + 4096, 4096, PROT_NONE) != 0 || munmap(p, 65536) != 0)
            return (void *)2;
    }
    return arg;
}

TEST(mappings_concurrently)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, mappings, NULL), 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == NULL);
    }
}
