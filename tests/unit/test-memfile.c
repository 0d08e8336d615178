// The memory file: windows, data, holes, the limit.
#include <sys/mman.h>

#include "mm/copy.h"
#include "mm/memfile.h"
#include "unit.h"

static struct memfile *m;

static int setup(void **state)
{
    int fd = memfd_create("memory", 0);
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return memfile_init(&m, fd, open(path, O_RDONLY), 8 << 20);
}

static int teardown(void **state)
{
    assert_int_equal(memfile_total_bytes(m), 0);
    close(memfile_fd(m, true));
    close(memfile_fd(m, false));
    kfree(m);
    return 0;
}

static void test_windows(void **state)
{
    struct memfile_window a = {0}, b = {0}, c = {0};
    uint64_t base;

    assert_int_equal(memfile_window_init(m, &a, false), 0);
    assert_int_equal(memfile_window_init(m, &b, false), 0);
    assert_int_equal(a.size, MEMFILE_SMALL);
    assert_int_equal(b.base - a.base, MEMFILE_SMALL);
    assert_int_equal(memfile_pwrite(m, &a, 100, "hello", 5), 5);
    // What was never mapped comes back, empty.
    base = a.base;
    memfile_window_free(m, &a);
    assert_int_equal(a.size, 0);
    assert_int_equal(memfile_window_init(m, &c, false), 0);
    assert_int_equal(c.base, base);
    char buf[5] = "xxxxx";
    assert_int_equal(memfile_pread(m, &c, 100, buf, 5), 5);
    assert_memory_equal(buf, "\0\0\0\0\0", 5);
    // What was mapped doesn't.
    c.mapped = true;
    memfile_window_free(m, &c);
    assert_int_equal(memfile_window_init(m, &a, false), 0);
    assert_true(a.base != base);
    memfile_window_free(m, &a);
    memfile_window_free(m, &b);
}

static void test_enlarge(void **state)
{
    struct memfile_window w = {0};
    char buf[8];

    assert_int_equal(memfile_window_init(m, &w, false), 0);
    assert_int_equal(memfile_pwrite(m, &w, 0, "begin", 6), 6);
    assert_int_equal(memfile_pwrite(m, &w, MEMFILE_SMALL - 4, "end", 4), 4);
    assert_int_equal(memfile_pwrite(m, &w, MEMFILE_SMALL - 1, "xy", 2), 1); // as far as the window goes
    assert_int_equal(memfile_pwrite(m, &w, MEMFILE_SMALL, "x", 1), -EFBIG);
    assert_int_equal(memfile_window_enlarge(m, &w, MEMFILE_SMALL), 0);
    assert_true(w.size > MEMFILE_SMALL);
    assert_int_equal(memfile_pread(m, &w, 0, buf, 6), 6);
    assert_string_equal(buf, "begin");
    assert_int_equal(memfile_pread(m, &w, MEMFILE_SMALL - 4, buf, 4), 4);
    assert_memory_equal(buf, "endx", 4);
    assert_int_equal(memfile_pwrite(m, &w, 1ull << 39, "far", 3), 3);
    assert_int_equal(memfile_window_enlarge(m, &w, 1), 0);
    memfile_window_free(m, &w);
}

static void test_holes(void **state)
{
    struct memfile_window w = {0};

    assert_int_equal(memfile_window_init(m, &w, true), 0);
    assert_int_equal(memfile_used_pages(m, &w, 1 << 20), 0);
    assert_int_equal(memfile_pwrite(m, &w, 2 * PAGE_SIZE, "x", 1), 1);
    assert_int_equal(memfile_allocate(m, &w, 8 * PAGE_SIZE, 2 * PAGE_SIZE), 0);
    assert_int_equal(memfile_seek(m, &w, 0, 1 << 20, SEEK_DATA), 2 * PAGE_SIZE);
    assert_int_equal(memfile_seek(m, &w, 2 * PAGE_SIZE, 1 << 20, SEEK_HOLE), 3 * PAGE_SIZE);
    assert_int_equal(memfile_seek(m, &w, 2 * PAGE_SIZE, 2 * PAGE_SIZE + 10, SEEK_HOLE), 2 * PAGE_SIZE + 10);
    assert_int_equal(memfile_seek(m, &w, 20 * PAGE_SIZE, 1 << 20, SEEK_DATA), -ENXIO);
    assert_int_equal(memfile_seek(m, &w, 1 << 20, 1 << 20, SEEK_HOLE), -ENXIO);
    assert_in_range(memfile_used_pages(m, &w, 1 << 20), 1, 3);
    assert_int_equal(memfile_punch(m, &w, 2 * PAGE_SIZE, PAGE_SIZE), 0);
    assert_int_equal(memfile_seek(m, &w, 0, 7 * PAGE_SIZE, SEEK_DATA), -ENXIO);
    memfile_window_free(m, &w);
}

static void test_limit(void **state)
{
    struct memfile_window w = {0};
    char *block = calloc(1, 1 << 20);
    int64_t n = 0;
    uint64_t at;

    assert_int_equal(memfile_window_init(m, &w, true), 0);
    for (at = 0; at < 64ull << 20; at += 1 << 20) {
        n = memfile_pwrite(m, &w, at, block, 1 << 20);
        if (n < 0)
            break;
    }
    assert_int_equal(n, -ENOSPC);
    assert_in_range(at, 7 << 20, 8 << 20);
    // Writing over what is there goes on, as long as the estimate is refreshed.
    assert_int_equal(memfile_allocate(m, &w, 100ull << 20, 2 << 20), -ENOSPC);
    assert_int_equal(memfile_punch(m, &w, 0, 4 << 20), 0);
    assert_int_equal(memfile_pwrite(m, &w, at, block, 1 << 20), 1 << 20);
    memfile_window_free(m, &w);
    free(block);
}

static void test_uio_copies(void **state)
{
    struct memfile_window w = {0};
    struct uio_segment one;
    struct uio u;
    uint64_t size = 200000;
    uint8_t *a = malloc(size), *b = calloc(1, size);

    for (uint64_t i = 0; i < size; i++)
        a[i] = (uint8_t)(i * 7 + i / 251);
    assert_int_equal(memfile_window_init(m, &w, true), 0);
    uio_init_kernel(&u, &one, a, size);
    assert_int_equal(memfile_write(m, &w, 777, size, &u), size);
    assert_int_equal(u.remaining, 0);
    uio_init_kernel(&u, &one, b, size);
    assert_int_equal(memfile_read(m, &w, 777, size, &u), size);
    assert_memory_equal(a, b, size);
    memfile_window_free(m, &w);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_windows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_enlarge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_uio_copies, setup, teardown),
    };
    return cmocka_run_group_tests(tests, setup_arena, NULL);
}
