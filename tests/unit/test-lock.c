// Mutual exclusion under contention; rank checks in debug builds.
#include "base/lock.h"

#include "unit.h"

static struct lock lock = LOCK_INITIALIZER(LOCK_RANK_OBJECT);
static volatile uint64_t counter;

static void *count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200000; i++) {
        lock_take(&lock);
        counter++;
        lock_release(&lock);
    }
    return NULL;
}

static void test_contended(void **state)
{
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(counter, 800000);
    assert_int_equal(lock.word, LOCK_RANK_OBJECT << 8); // plainly free
}

static void *take_once(void *arg)
{
    lock_take(arg);
    counter++;
    lock_release(arg);
    return NULL;
}

// The holder keeps the lock until the other thread sleeps on it.
static void test_sleeps(void **state)
{
    pthread_t t[2];
    counter = 0;
    lock_take(&lock);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, take_once, &lock), 0);
    while ((__atomic_load_n((uint32_t *)&lock.word, __ATOMIC_RELAXED) & 3) != 2)
        sched_yield();
    assert_int_equal(counter, 0);
    lock_release(&lock);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(counter, 2);
}

static void test_try(void **state)
{
    struct lock l;
    lock_init(&l, LOCK_RANK_TASK);
    assert_true(lock_try(&l));
    assert_false(lock_try(&l));
    lock_assert_held(&l);
    lock_release(&l);
    assert_true(lock_try(&l));
    lock_release(&l);
    lock_assert_none("test");
}

static void test_pair(void **state)
{
    struct lock l[2];
    lock_init(&l[0], LOCK_RANK_INODE);
    lock_init(&l[1], LOCK_RANK_INODE);
    lock_pair(&l[0], &l[1]);
    assert_false(lock_try(&l[0]) || lock_try(&l[1]));
    unlock_pair(&l[0], &l[1]);
    lock_pair(&l[1], &l[0]);
    assert_false(lock_try(&l[0]) || lock_try(&l[1]));
    unlock_pair(&l[1], &l[0]);
    lock_pair(&l[0], &l[0]);
    assert_false(lock_try(&l[0]));
    unlock_pair(&l[0], &l[0]);
    assert_true(lock_try(&l[0]));
    lock_release(&l[0]);
}

static void release_free(void *arg)
{
    lock_release(arg);
}

static void assert_free_held(void *arg)
{
    lock_assert_held(arg);
}

static void test_misuse(void **state)
{
    expect_panic(release_free, &lock, "lock:");
    expect_panic(assert_free_held, &lock, "should be held");
}

#ifdef CAISSON_DEBUG
static struct lock low = LOCK_INITIALIZER(LOCK_RANK_MM), high = LOCK_INITIALIZER(LOCK_RANK_TASK);
static struct lock same = LOCK_INITIALIZER(LOCK_RANK_OBJECT);

static void descend(void *arg)
{
    (void)arg;
    lock_take(&high);
    lock_take(&low);
}

static void two_of_a_rank(void *arg)
{
    (void)arg;
    lock_take(&lock);
    lock_take(&same);
}

static void twice(void *arg)
{
    (void)arg;
    lock_take(&lock);
    lock_take(&lock);
}

static void uninitialised(void *arg)
{
    (void)arg;
    struct lock l = {0};
    lock_take(&l);
}

static void holds_one(void *arg)
{
    (void)arg;
    lock_take(&low);
    lock_assert_may_sleep("here");
    lock_assert_none("there");
}

static void sleeps_with_leaf(void *arg)
{
    (void)arg;
    lock_take(&high);
    lock_assert_may_sleep("here");
}

static void test_ranks(void **state)
{
    lock_take(&low);
    lock_take(&lock);
    lock_take(&high);
    lock_release(&lock); // not in order: fine
    lock_release(&high);
    lock_release(&low);
    lock_assert_none("test");
    expect_panic(descend, NULL, "is taken while rank");
    expect_panic(two_of_a_rank, NULL, "is taken while rank");
    expect_panic(twice, NULL, "taken twice");
    expect_panic(uninitialised, NULL, "not initialised");
    expect_panic(holds_one, NULL, "is held at there");
    expect_panic(sleeps_with_leaf, NULL, "is held at here");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contended), cmocka_unit_test(test_sleeps), cmocka_unit_test(test_try),
        cmocka_unit_test(test_pair),      cmocka_unit_test(test_misuse),
#ifdef CAISSON_DEBUG
        cmocka_unit_test(test_ranks),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
