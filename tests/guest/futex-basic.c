// futex: wait and wake in all their forms, time-outs on both clocks, requeueing, wake_op, sharing between
// processes, robust lists, and errors.
#include <linux/futex.h>
#include <pthread.h>

#include "guest-test.h"

#define NS 1000000000LL

static long futex(void *word, int op, unsigned val, const void *timeout, void *word2, unsigned val3)
{
    return syscall(SYS_futex, word, op, val, timeout, word2, val3);
}

static struct timespec in_ms(clockid_t clock, int64_t ms)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    int64_t ns = ts.tv_sec * NS + ts.tv_nsec + ms * 1000000;
    return (struct timespec){ns / NS, ns % NS};
}

struct waiter {
    pthread_t thread;
    atomic_int tid;
    atomic_uint *word;
    unsigned val, bitset;
    int op;
    long result;
    int err;
};

static void *wait_thread(void *arg)
{
    struct waiter *w = arg;
    atomic_store(&w->tid, syscall(SYS_gettid));
    w->result = futex(w->word, w->op, w->val, NULL, NULL, w->bitset);
    w->err = errno;
    return NULL;
}

static void start_waiter(struct waiter *w, atomic_uint *word, int op, unsigned val, unsigned bitset)
{
    *w = (struct waiter){.word = word, .op = op, .val = val, .bitset = bitset};
    CHECK_RC(pthread_create(&w->thread, NULL, wait_thread, w), 0);
    while (atomic_load(&w->tid) == 0)
        gt_msleep(1);
    gt_wait_state(w->tid, "S");
    gt_msleep(5);
}

static void join(struct waiter *w)
{
    CHECK_RC(pthread_join(w->thread, NULL), 0);
    CHECK_EQ(w->result, 0);
}

// Wakes until `count` waiters have been woken, in case one was not asleep yet.
static void wake_all(atomic_uint *word, int op, int count)
{
    for (int woken = 0; woken < count;) {
        long n = OK(futex(word, op, count - woken, NULL, NULL, ~0U));
        woken += n;
        if (n == 0)
            gt_msleep(1);
    }
}

TEST(wait_value_differs)
{
    atomic_uint word = 5;
    CHECK_ERRNO(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 4, NULL, NULL, 0), EAGAIN);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 4, NULL, NULL, 1), EAGAIN);
}

TEST(wake_nobody)
{
    atomic_uint word = 0;
    CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 1), 0);
}

TEST(errors)
{
    atomic_uint words[4] = {0};
    struct timespec bad1 = {0, NS}, bad2 = {-1, 0}, bad3 = {0, -1};
    EXPECT_ERRNO(futex((char *)words + 1, FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    EXPECT_ERRNO(futex((char *)words + 2, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
    EXPECT_ERRNO(futex(GT_BAD, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    EXPECT_ERRNO(futex(GT_BAD, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
    EXPECT_EQ(futex(GT_BAD, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
    EXPECT_ERRNO(futex(gt_opaque(0xffff800000000000), FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), EFAULT);
    EXPECT_ERRNO(futex(words, 77, 0, NULL, NULL, 0), ENOSYS);
    EXPECT_ERRNO(futex(words, FUTEX_FD, 0, NULL, NULL, 0), ENOSYS);
    EXPECT_ERRNO(futex(words, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    EXPECT_ERRNO(futex(words, FUTEX_WAKE_BITSET, 0, NULL, NULL, 0), EINVAL);
    EXPECT_ERRNO(futex(words, FUTEX_WAIT, 0, &bad1, NULL, 0), EINVAL);
    EXPECT_ERRNO(futex(words, FUTEX_WAIT, 0, &bad2, NULL, 0), EINVAL);
    EXPECT_ERRNO(futex(words, FUTEX_WAIT, 0, &bad3, NULL, 0), EINVAL);
    EXPECT_ERRNO(futex(words, FUTEX_WAIT, 0, GT_BAD, NULL, 0), EFAULT);
    EXPECT_ERRNO(futex(words, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS);
    EXPECT_ERRNO(futex(words, FUTEX_CMP_REQUEUE, 1, (void *)1, GT_BAD, 0), EFAULT);
    EXPECT_ERRNO(futex(words, FUTEX_CMP_REQUEUE, 1, (void *)1, (char *)words + 5, 0), EINVAL);
    EXPECT_ERRNO(futex(words, FUTEX_CMP_REQUEUE, 1, (void *)1, words + 1, 9), EAGAIN);
    EXPECT_ERRNO(futex(words, FUTEX_CMP_REQUEUE, -1, (void *)1, words + 1, 0), EINVAL);
    EXPECT_ERRNO(futex(words, FUTEX_REQUEUE, 1, (void *)-1L, words + 1, 0), EINVAL);
    EXPECT_ERRNO(futex(words, FUTEX_WAKE_OP, 1, (void *)1, GT_BAD, 0), EFAULT);
    // A file-backed or anonymous mapping without access
    void *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_ERRNO(futex(none, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
}

TEST(relative_timeout)
{
    atomic_uint word = 0;
    for (int private = 0; private < 2; private++) {
        struct timespec ts = {0, 30000000};
        int64_t start = gt_now_ns();
        CHECK_ERRNO(futex(&word, FUTEX_WAIT | (private ? FUTEX_PRIVATE_FLAG : 0), 0, &ts, NULL, 0), ETIMEDOUT);
        CHECK(gt_now_ns() - start >= 30000000);
    }
    struct timespec zero = {0, 0};
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &zero, NULL, 0), ETIMEDOUT);
}

TEST(absolute_timeout)
{
    atomic_uint word = 0;
    static const struct {
        clockid_t clock;
        int flag;
    } kinds[] = {{CLOCK_MONOTONIC, 0}, {CLOCK_REALTIME, FUTEX_CLOCK_REALTIME}};
    for (size_t i = 0; i < 2; i++) {
        struct timespec ts = in_ms(kinds[i].clock, 30);
        int64_t start = gt_now_ns();
        CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | kinds[i].flag, 0, &ts, NULL, ~0U), ETIMEDOUT);
        CHECK(gt_now_ns() - start >= 29000000);
        ts = in_ms(kinds[i].clock, -1000);
        CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET | kinds[i].flag, 0, &ts, NULL, ~0U), ETIMEDOUT);
        ts = (struct timespec){0, 0};
        CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | kinds[i].flag, 0, &ts, NULL, ~0U), ETIMEDOUT);
    }
    // The plain wait knows the monotonic clock only.
    struct timespec ts = {0, 20000000};
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &ts, NULL, 0), ENOSYS);
}

TEST(wake_counts)
{
    static const int ops[][2] = {{FUTEX_WAIT, FUTEX_WAKE}, {FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE}};
    for (size_t i = 0; i < 2; i++) {
        atomic_uint word = 0;
        struct waiter w[4];
        for (int k = 0; k < 4; k++)
            start_waiter(&w[k], &word, ops[i][0], 0, 0);
        // Not more than asked for.
        long first = OK(futex(&word, ops[i][1], 1, NULL, NULL, 0));
        CHECK_EQ(first, 1);
        // A count of zero still wakes one.
        long second = OK(futex(&word, ops[i][1], 0, NULL, NULL, 0));
        CHECK_EQ(second, 1);
        wake_all(&word, ops[i][1], 2);
        for (int k = 0; k < 4; k++)
            join(&w[k]);
        CHECK_EQ(futex(&word, ops[i][1], 10, NULL, NULL, 0), 0);
    }
}

TEST(wake_order_is_fifo)
{
    atomic_uint word = 0;
    struct waiter w[4];
    for (int k = 0; k < 4; k++)
        start_waiter(&w[k], &word, FUTEX_WAIT_PRIVATE, 0, 0);
    for (int k = 0; k < 4; k++) {
        wake_all(&word, FUTEX_WAKE_PRIVATE, 1);
        join(&w[k]);
    }
}

TEST(bitsets)
{
    atomic_uint word = 0;
    struct waiter a, b, c;
    start_waiter(&a, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, 1);
    start_waiter(&b, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, 2);
    start_waiter(&c, &word, FUTEX_WAIT_PRIVATE, 0, 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2), 2);    // b, and c: a plain wait has all bits
    join(&b);
    join(&c);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 4), 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 5), 1);
    join(&a);
}

TEST(private_and_shared_are_apart)
{
    atomic_uint word = 0;
    struct waiter w;
    start_waiter(&w, &word, FUTEX_WAIT_PRIVATE, 0, 0);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    wake_all(&word, FUTEX_WAKE_PRIVATE, 1);
    join(&w);
}

TEST(requeue)
{
    for (int compare = 0; compare < 2; compare++) {
        atomic_uint from = 7, to = 0;
        struct waiter w[5];
        for (int k = 0; k < 5; k++)
            start_waiter(&w[k], &from, FUTEX_WAIT_PRIVATE, 7, 0);
        int op = (compare ? FUTEX_CMP_REQUEUE : FUTEX_REQUEUE) | FUTEX_PRIVATE_FLAG;
        if (compare)
            CHECK_ERRNO(futex(&from, op, 1, (void *)2, &to, 8), EAGAIN);
        // Wakes one and moves two, and counts both kinds.
        CHECK_EQ(futex(&from, op, 1, (void *)2, &to, 7), 3);
        CHECK_EQ(futex(&to, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
        CHECK_EQ(futex(&from, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
        for (int k = 0; k < 5; k++)
            join(&w[k]);
    }
}

TEST(requeue_to_self)
{
    atomic_uint word = 0;
    struct waiter w;
    start_waiter(&w, &word, FUTEX_WAIT_PRIVATE, 0, 0);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)1, &word, 0), 1);
    wake_all(&word, FUTEX_WAKE_PRIVATE, 1);
    join(&w);
}

TEST(wake_op_arithmetic)
{
    static const struct {
        unsigned op, operand, before, after;
    } cases[] = {
        {FUTEX_OP_SET, 5, 100, 5},
        {FUTEX_OP_ADD, 5, 100, 105},
        {FUTEX_OP_ADD, 0xfff, 100, 99},    // operands are signed, 12 bits
        {FUTEX_OP_OR, 0x0f, 0x30, 0x3f},
        {FUTEX_OP_ANDN, 0x0f, 0x3f, 0x30},
        {FUTEX_OP_XOR, 0x0f, 0x3c, 0x33},
        {FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 9, 0, 512},
    };
    for (size_t i = 0; i < GT_COUNT(cases); i++) {
        atomic_uint a = 0, b = cases[i].before;
        CHECK_EQ(futex(&a, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &b,
                       FUTEX_OP(cases[i].op, cases[i].operand, FUTEX_OP_CMP_EQ, 0)),
                 0);
        CHECK_EQ(atomic_load(&b), cases[i].after);
    }
    atomic_uint a = 0, b = 0;
    CHECK_ERRNO(futex(&a, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &b, FUTEX_OP(6, 1, 0, 0)), ENOSYS);
    CHECK_ERRNO(futex(&a, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &b, FUTEX_OP(0, 1, 9, 0)), ENOSYS);
}

TEST(wake_op_comparisons)
{
    static const struct {
        int cmp, arg, old;
        bool true_;
    } cases[] = {
        {FUTEX_OP_CMP_EQ, 5, 5, true},  {FUTEX_OP_CMP_EQ, 5, 6, false}, {FUTEX_OP_CMP_NE, 5, 6, true},
        {FUTEX_OP_CMP_NE, 5, 5, false}, {FUTEX_OP_CMP_LT, 5, 4, true},  {FUTEX_OP_CMP_LT, 5, 5, false},
        {FUTEX_OP_CMP_LE, 5, 5, true},  {FUTEX_OP_CMP_LE, 5, 6, false}, {FUTEX_OP_CMP_GT, 5, 6, true},
        {FUTEX_OP_CMP_GT, 5, 5, false}, {FUTEX_OP_CMP_GE, 5, 5, true},  {FUTEX_OP_CMP_GE, 5, 4, false},
        {FUTEX_OP_CMP_LT, 5, -1, true},
    };
    for (size_t i = 0; i < GT_COUNT(cases); i++) {
        atomic_uint a = 0, b = cases[i].old;
        struct waiter w;
        start_waiter(&w, &b, FUTEX_WAIT_PRIVATE, cases[i].old, 0);
        long n = OK(futex(&a, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &b,
                          FUTEX_OP(FUTEX_OP_SET, 1, cases[i].cmp, cases[i].arg)));
        if (n != cases[i].true_)
            gt_fail(false, __FILE__, __LINE__, "case %zu: woke %ld want %d", i, n, cases[i].true_);
        if (n == 0)
            wake_all(&b, FUTEX_WAKE_PRIVATE, 1);
        join(&w);
    }
}

TEST(wake_op_wakes_both)
{
    atomic_uint a = 0, b = 0;
    struct waiter w1, w2, w3;
    start_waiter(&w1, &a, FUTEX_WAIT_PRIVATE, 0, 0);
    start_waiter(&w2, &b, FUTEX_WAIT_PRIVATE, 0, 0);
    start_waiter(&w3, &b, FUTEX_WAIT_PRIVATE, 0, 0);
    CHECK_EQ(futex(&a, FUTEX_WAKE_OP_PRIVATE, 10, (void *)10, &b, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)), 3);
    join(&w1);
    join(&w2);
    join(&w3);
}

TEST(between_processes)
{
    atomic_uint *words = gt_shared(4096);
    pid_t pid = FORK({
        for (unsigned i = 0; i < 500; i++) {
            while (atomic_load(&words[0]) != i + 1)
                futex(&words[0], FUTEX_WAIT, i, NULL, NULL, 0);
            atomic_store(&words[1], i + 1);
            futex(&words[1], FUTEX_WAKE, 1, NULL, NULL, 0);
        }
    });
    for (unsigned i = 0; i < 500; i++) {
        atomic_store(&words[0], i + 1);
        futex(&words[0], FUTEX_WAKE, 1, NULL, NULL, 0);
        while (atomic_load(&words[1]) != i + 1)
            futex(&words[1], FUTEX_WAIT, i, NULL, NULL, 0);
    }
    CHECK_EXIT(pid, 0);
}

TEST(file_mapping_shared)
{
    // Two mappings of the same file page at different addresses are one futex.
    int fd = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644));
    CHECK_EQ(ftruncate(fd, 8192), 0);
    atomic_uint *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    atomic_uint *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
    CHECK(a != MAP_FAILED && b != MAP_FAILED);
    struct waiter w;
    start_waiter(&w, a + 1024 + 3, FUTEX_WAIT, 0, 0);
    CHECK_EQ(futex(b + 4, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    wake_all(b + 3, FUTEX_WAKE, 1);
    join(&w);
}

TEST(private_mapping_in_child_is_apart)
{
    static atomic_uint word;
    struct waiter w;
    start_waiter(&w, &word, FUTEX_WAIT, 0, 0);
    pid_t pid = FORK({ CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0); });
    CHECK_EXIT(pid, 0);
    wake_all(&word, FUTEX_WAKE, 1);
    join(&w);
}

static void on_signal(int sig)
{
    (void)sig;
}

TEST(interrupted)
{
    // Only a wait without a time-out is restarted after a handler, and only with SA_RESTART.
    atomic_uint *words = gt_shared(4096);
    pid_t me = getpid();
    for (int restart = 0; restart < 2; restart++) {
        for (int timed = 0; timed < 2; timed++) {
            struct sigaction sa = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
            struct timespec ts = {20, 0};
            CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
            atomic_store(&words[0], 0);
            pid_t pid = FORK({
                gt_wait_state(me, "S");
                kill(me, SIGUSR1);
                gt_msleep(30);
                atomic_store(&words[0], 1);
                while (futex(&words[0], FUTEX_WAKE, 1, NULL, NULL, 0) == 0 && restart && !timed)
                    gt_msleep(1);
            });
            long r = futex(&words[0], FUTEX_WAIT, 0, timed ? &ts : NULL, NULL, 0);
            if (restart && !timed)
                CHECK(r == 0);
            else
                CHECK(r == -1 && errno == EINTR);
            CHECK_EXIT(pid, 0);
        }
    }
}

static void *counter_thread(void *arg)
{
    // A three-state mutex after Drepper: 0 free, 1 taken, 2 taken with waiters.
    atomic_uint *m = arg;
    for (int i = 0; i < 3000; i++) {
        unsigned c = 0;
        if (!atomic_compare_exchange_strong(&m[0], &c, 1)) {
            if (c != 2)
                c = atomic_exchange(&m[0], 2);
            while (c != 0) {
                futex(&m[0], FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
                c = atomic_exchange(&m[0], 2);
            }
        }
        atomic_store_explicit(&m[1], atomic_load_explicit(&m[1], memory_order_relaxed) + 1, memory_order_relaxed);
        if (atomic_exchange(&m[0], 0) == 2)
            futex(&m[0], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    return NULL;
}

// One place of the text for calls, as in a library.
__attribute__((noinline)) static long futex_site(atomic_uint *word, unsigned long op, unsigned long val)
{
    long result;
    register long r10 __asm__("r10") = 0;
    __asm__ volatile("mov $202, %%eax\n\tsyscall"
                     : "=a"(result)
                     : "D"(word), "S"(op), "d"(val), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static void *wait_at_site(void *arg)
{
    struct waiter *w = arg;
    atomic_store(&w->tid, syscall(SYS_gettid));
    w->result = futex_site(w->word, FUTEX_WAIT, 0);
    return NULL;
}

// A wait from a place that other threads use very often meanwhile goes on after a handler.
TEST(interrupted_at_a_busy_site)
{
    static atomic_uint word, other;
    struct waiter w = {.word = &word};
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    OK(sigaction(SIGUSR1, &sa, NULL));
    CHECK_RC(pthread_create(&w.thread, NULL, wait_at_site, &w), 0);
    while (atomic_load(&w.tid) == 0)
        gt_msleep(1);
    gt_wait_state(w.tid, "S");
    for (int i = 0; i < 5000; i++)
        CHECK_EQ(futex_site(&other, i % 2 ? FUTEX_WAKE : FUTEX_LOCK_PI + 100, 1), i % 2 ? 0 : -ENOSYS);
    for (int i = 0; i < 5; i++) {
        CHECK_RC(pthread_kill(w.thread, SIGUSR1), 0);
        gt_msleep(5);
        gt_wait_state(w.tid, "S");
    }
    word = 1;
    CHECK_EQ(futex_site(&word, FUTEX_WAKE, 1), 1);
    join(&w);
}

TEST(mutex_by_hand)
{
    atomic_uint m[2] = {0};
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, counter_thread, m), 0);
    for (int i = 0; i < 8; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(m[1], 24000);
}

TEST(waitv)
{
    struct {
        uint64_t val, uaddr;
        uint32_t flags, reserved;
    } list[3] = {{0}};
    atomic_uint words[3] = {0, 0, 0};
    for (int i = 0; i < 3; i++) {
        list[i].uaddr = (uintptr_t)&words[i];
        list[i].flags = 2;
    }
    struct timespec ts = in_ms(CLOCK_MONOTONIC, 20);
    long r = syscall(SYS_futex_waitv, list, 3, 0, &ts, CLOCK_MONOTONIC);
    if (r == -1 && errno == ENOSYS)
        SKIP("no futex_waitv");
    CHECK(r == -1 && errno == ETIMEDOUT);
    words[1] = 1;
    CHECK_ERRNO(syscall(SYS_futex_waitv, list, 3, 0, NULL, 0), EAGAIN);
    CHECK_ERRNO(syscall(SYS_futex_waitv, list, 0, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_futex_waitv, list, 129, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_futex_waitv, list, 3, 1, NULL, 0), EINVAL);
    list[0].reserved = 1;
    CHECK_ERRNO(syscall(SYS_futex_waitv, list, 3, 0, NULL, 0), EINVAL);
}
