// Threads of our own making: they run, see their argument, have errno and a stack guard, end and can be joined.

#include "host/host.h"
#include "host/thread.h"
#include "unit.h"
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

enum { STACK_SIZE = 64 * 1024, THREADS = 32 };

struct job {
    _Atomic uint32_t *sum;
    uint32_t value;
    int tid;
    char text[32];
};

static void work(void *arg)
{
    struct job *job = arg;
    errno = (int)job->value;
    job->tid = host_gettid();
    snprintf(job->text, sizeof(job->text), "%u", (unsigned)errno);
    atomic_fetch_add_explicit(job->sum, job->value, memory_order_relaxed);
    if (job->value % 2)
        host_thread_exit();
}

static void test_threads(void **state)
{
    _Atomic uint32_t sum = 0;
    _Atomic uint32_t tids[THREADS];
    struct job jobs[THREADS];
    uint64_t size = STACK_SIZE + host_thread_overhead();
    char *areas =
        mmap(NULL, size * THREADS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(areas != MAP_FAILED);
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < THREADS; i++) {
            jobs[i] = (struct job){.sum = &sum, .value = i + 1};
            assert_int_equal(host_thread_start(areas + i * size, size, work, &jobs[i], &tids[i]),
                             0);
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            host_thread_join(&tids[i]);
            char text[32];
            snprintf(text, sizeof(text), "%u", i + 1);
            assert_string_equal(jobs[i].text, text);
            assert_true(jobs[i].tid > 0 && jobs[i].tid != host_gettid());
        }
    }
    assert_int_equal(sum, 4 * THREADS * (THREADS + 1) / 2);
    munmap(areas, size * THREADS);
}

static void test_small_area(void **state)
{
    static char area[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
    _Atomic uint32_t tid = 0;
    assert_int_equal(host_thread_start(area, sizeof(area), work, NULL, &tid), -EINVAL);
}

static void test_counts(void **state)
{
    struct host_counts before, after;
    host_counts_enable();
    host_counts_get(&before);
    (void)host_gettid();
    host_counts_get(&after);
    assert_int_equal(after.calls[HOST_CALL_gettid], before.calls[HOST_CALL_gettid] + 1);
}

#ifdef CAISSON_FAULTS
static void test_fault_plan(void **state)
{
    (void)host_fault_plan(HOST_CALL_fsync, 2, -EIO);
    assert_int_equal(host_fsync(-1), -EBADF);
    assert_int_equal(host_fdatasync(-1), -EBADF);
    assert_int_equal(host_fsync(-1), -EIO);
    assert_int_equal(host_fsync(-1), -EBADF);
    assert_true(host_fault_plan(HOST_CALL_fsync, 0, 0));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_small_area),
        cmocka_unit_test(test_counts),
#ifdef CAISSON_FAULTS
        cmocka_unit_test(test_fault_plan),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
