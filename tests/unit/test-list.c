// Lists, checked arithmetic and reference counts: what is inline in headers.
#include "base/list.h"

#include <sys/resource.h>

#include "base/checked.h"
#include "base/refcount.h"
#include "unit.h"

struct item {
    int n;
    struct list node;
};

static void test_list(void **state)
{
    struct list head, other;
    struct item a = {.n = 1}, b = {.n = 2}, c = {.n = 3}, *it, *tmp;
    list_init(&head);
    list_init(&other);
    assert_null(list_first(&head, struct item, node));
    list_push_back(&head, &b.node);
    list_push_front(&head, &a.node);
    list_push_back(&other, &c.node);
    list_splice_back(&head, &other);
    list_splice_back(&head, &other);
    assert_true(list_empty(&other));
    int want = 1;
    list_for_each (it, &head, node) {
        assert_int_equal(it->n, want++);
    }
    assert_int_equal(want, 4);
    list_for_each_safe (it, tmp, &head, node) {
        list_remove(&it->node);
        list_remove(&it->node);
    }
    assert_true(list_empty(&head));
}

static void test_checked(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;
    assert_false(add_u64(UINT64_MAX, 1, &u));
    assert_false(mul_u64(1ull << 32, 1ull << 32, &u));
    assert_false(page_up_u64(UINT64_MAX - 4094, &u));
    assert_false(add_i64(INT64_MAX, 1, &i));
    assert_int_equal(u, 7);
    assert_int_equal(i, 7);
    assert_true(add_u64(UINT64_MAX, 0, &u) && u == UINT64_MAX);
    assert_true(mul_u64(3, 5, &u) && u == 15);
    assert_true(page_up_u64(4097, &u) && u == 8192);
    assert_true(page_up_u64(0, &u) && u == 0);
    assert_true(add_i64(INT64_MIN, -0, &i) && i == INT64_MIN);
}

static void run_and_expect_trap(void (*f)(refcount_t *), uint32_t n)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGILL, SIG_DFL);
        signal(SIGTRAP, SIG_DFL);
        refcount_t r;
        refcount_init(&r, n);
        f(&r);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0));
}

static void put(refcount_t *r)
{
    if (refcount_put(r))
        _exit(0);
}

static void test_refcount(void **state)
{
    refcount_t r;
    refcount_init(&r, 1);
    refcount_get(&r);
    assert_int_equal(refcount_read(&r), 2);
    assert_false(refcount_put(&r));
    assert_true(refcount_get_unless_zero(&r));
    assert_false(refcount_put(&r));
    assert_true(refcount_put(&r));
    assert_false(refcount_get_unless_zero(&r));
    run_and_expect_trap(refcount_get, 0);
    run_and_expect_trap(refcount_get, INT32_MAX);
    run_and_expect_trap(put, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_checked),
        cmocka_unit_test(test_refcount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
