// Slab caches and kmalloc: zeroing, type keeping, reuse, misuse, several threads.
#include "base/slab.h"

#include "unit.h"

struct small {
    uint8_t bytes[40];
};
struct big {
    uint8_t bytes[32768];
};
SLAB_TYPE(small_type, SLAB_TASK, struct small);
SLAB_TYPE(big_type, SLAB_INODE, struct big);
SLAB_TYPE(wrong_type, SLAB_DENTRY, struct small);
SLAB_TYPE(other_size_type, SLAB_TASK, struct big);

static bool is_zero(const void *p, uint64_t size)
{
    const uint8_t *b = p;
    for (uint64_t i = 0; i < size; i++) {
        if (b[i])
            return false;
    }
    return true;
}

static void test_window(void **state)
{
    assert_int_equal(arena_init(0, 1ull << 30), -EBUSY);
    assert_true(arena_base() >= 0x100000000000ull && arena_base() < 0x500000000000ull);
    assert_int_equal(arena_base() % 0x200000, 0);
    int local;
    assert_false(arena_contains(&local));
    assert_false(arena_contains((void *)(arena_base() - 1)));
    assert_true(arena_contains((void *)arena_base()));
    assert_false(arena_contains((void *)(arena_base() + (1ull << 30))));
}

static void test_typed(void **state)
{
    enum { N = 10000 };
    static struct small *p[N];
    for (int i = 0; i < N; i++) {
        p[i] = slab_alloc(&small_type);
        assert_non_null(p[i]);
        assert_true(arena_contains(p[i]));
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        assert_true(is_zero(p[i], sizeof(*p[i])));
        memset(p[i], 0x5a, sizeof(*p[i]));
    }
    assert_int_equal(slab_count(&small_type), N);
    uint64_t used = arena_used();
    for (int i = 0; i < N; i += 2)
        slab_free(&small_type, p[i]);
    assert_int_equal(slab_count(&small_type), N / 2);
    for (int i = 0; i < N; i += 2) {
        p[i] = slab_alloc(&small_type);
        assert_true(is_zero(p[i], sizeof(*p[i])));
        memset(p[i], 0x5b, sizeof(*p[i]));
    }
    assert_int_equal(arena_used(), used); // the holes were filled
    for (int i = 0; i < N; i++) {
        assert_int_equal(p[i]->bytes[39], i % 2 ? 0x5a : 0x5b);
        slab_free(&small_type, p[i]);
    }
    assert_int_equal(slab_count(&small_type), 0);
    slab_free(&small_type, NULL);
}

static void test_big_objects(void **state)
{
    struct big *a = slab_alloc(&big_type), *b = slab_alloc(&big_type), *c = slab_alloc(&big_type);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    memset(a, 1, sizeof(*a));
    memset(b, 2, sizeof(*b));
    memset(c, 3, sizeof(*c));
    assert_int_equal(a->bytes[32767], 1);
    assert_int_equal(b->bytes[0], 2);
    slab_free(&big_type, a);
    slab_free(&big_type, b);
    slab_free(&big_type, c);
}

static void test_kmalloc(void **state)
{
    assert_null(kmalloc(0));
    assert_null(kmalloc(UINT64_MAX));
    assert_null(kmalloc(1ull << 40));
    kfree(NULL);
    for (uint64_t size = 1; size < 300000; size = size * 3 / 2 + 1) {
        uint8_t *p = kmalloc(size);
        assert_non_null(p);
        assert_true(is_zero(p, size));
        memset(p, 0xff, size);
        uint8_t *q = kmalloc(size);
        assert_true(is_zero(q, size));
        kfree(p);
        p = kmalloc(size);
        assert_true(is_zero(p, size));
        kfree(p);
        kfree(q);
    }
    char *s = kstrdup("hello"), *t = kstrndup("hello", 2);
    assert_string_equal(s, "hello");
    assert_string_equal(t, "he");
    kfree(s);
    kfree(t);
}

static void test_large_reuse(void **state)
{
    enum { N = 16 };
    void *p[N];
    for (int i = 0; i < N; i++) {
        p[i] = kmalloc(100000 + (uint64_t)i * 10000);
        assert_non_null(p[i]);
        memset(p[i], 7, 100000);
    }
    uint64_t used = arena_used();
    for (int i = 0; i < N; i += 2)
        kfree(p[i]);
    for (int i = 1; i < N; i += 2)
        kfree(p[i]);
    // All runs have grown together, so that one block can take most of them.
    uint8_t *q = kmalloc(N * 128 * 1024ull);
    assert_non_null(q);
    assert_int_equal(arena_used(), used);
    assert_true(is_zero(q, N * 128 * 1024ull));
    kfree(q);
}

static void test_krealloc(void **state)
{
    uint8_t *p = krealloc(NULL, 0, 10);
    assert_non_null(p);
    memset(p, 9, 10);
    p = krealloc(p, 10, 4);
    p = krealloc(p, 4, 16);
    assert_int_equal(p[3], 9);
    assert_true(is_zero(p + 4, 12));
    for (uint64_t size = 16; size < 1 << 20; size *= 2) {
        memset(p, 1, size);
        p = krealloc(p, size, size * 2);
        assert_non_null(p);
        assert_int_equal(p[size - 1], 1);
        assert_true(is_zero(p + size, size));
    }
    p = krealloc(p, 1 << 20, 16);
    assert_int_equal(p[15], 1);
    assert_null(krealloc(p, 16, 1ull << 50));
    assert_int_equal(p[15], 1);
    assert_null(krealloc(p, 16, 0));
}

static void double_free(void *p)
{
    slab_free(&small_type, p);
    slab_free(&small_type, p);
}

static void free_inner(void *p)
{
    slab_free(&small_type, (uint8_t *)p + 8);
}

static void free_wrong(void *p)
{
    slab_free(&wrong_type, p);
}

static void free_kmalloc(void *p)
{
    kfree(p);
}

static void double_large(void *p)
{
    (void)p;
    void *q = kmalloc(200000);
    kfree(q);
    kfree(q);
}

static void inner_large(void *p)
{
    (void)p;
    kfree((uint8_t *)kmalloc(200000) + 65536);
}

static void other_size(void *p)
{
    (void)p;
    (void)!slab_alloc(&other_size_type);
}

static void test_misuse(void **state)
{
    static int outside;
    struct small *p = slab_alloc(&small_type);
    expect_panic(double_free, p, "double free");
    expect_panic(free_inner, p, "not the start of an object");
    expect_panic(free_wrong, p, "but it is of cache");
    expect_panic(free_kmalloc, p, "not from kmalloc");
    expect_panic(free_kmalloc, &outside, "not from the arena");
    expect_panic(free_kmalloc, (void *)(arena_base() + (1 << 29)), "not from the arena");
    expect_panic(free_kmalloc, (void *)arena_base(), "not from the arena");
    expect_panic(double_large, NULL, "not from kmalloc");
    expect_panic(inner_large, NULL, "not from kmalloc");
    expect_panic(other_size, NULL, "one id for objects");
    slab_free(&small_type, p);
}

static void exhaust(void *arg)
{
    (void)arg;
    while (kmalloc(16 << 20)) {}
    while (kmalloc(65536)) {}
    while (slab_alloc(&small_type)) {}
    while (kmalloc(48)) {}
    panic("all gone");
}

static void test_out_of_memory(void **state)
{
    expect_panic(exhaust, NULL, "all gone");
}

static void *churn(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    void *p[64] = {0};
    uint64_t sizes[64] = {0};
    for (int i = 0; i < 50000; i++) {
        int k = rand_r(&seed) % 64;
        if (p[k]) {
            uint8_t *b = p[k];
            if (b[0] != (uint8_t)k || b[sizes[k] - 1] != (uint8_t)k)
                abort();
            kfree(p[k]);
            p[k] = NULL;
        } else {
            sizes[k] = (uint64_t)rand_r(&seed) % (i % 64 ? 500 : 200000) + 1;
            p[k] = kmalloc(sizes[k]);
            if (!p[k] || !is_zero(p[k], MIN(sizes[k], 512ul)))
                abort();
            memset(p[k], k, sizes[k]);
        }
    }
    for (int k = 0; k < 64; k++)
        kfree(p[k]);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t t[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),      cmocka_unit_test(test_typed),
        cmocka_unit_test(test_big_objects), cmocka_unit_test(test_kmalloc),
        cmocka_unit_test(test_large_reuse), cmocka_unit_test(test_krealloc),
        cmocka_unit_test(test_misuse),      cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, setup_arena, NULL);
}
