// Text buffers, growing and fixed.
#include "base/strbuf.h"

#include "unit.h"

static void test_grows(void **state)
{
    struct strbuf b = {0};
    for (int i = 0; i < 10000; i++)
        strbuf_printf(&b, "%d,", i % 10);
    strbuf_puts(&b, "end");
    strbuf_putc(&b, '.');
    assert_int_equal(b.size, 20004);
    assert_int_equal(strlen(b.data), 20004);
    assert_string_equal(b.data + 20000, "end.");
    assert_false(b.truncated);
    strbuf_done(&b);
    assert_null(b.data);
}

static void test_long_printf(void **state)
{
    struct strbuf b = {0};
    strbuf_puts(&b, "x");
    strbuf_printf(&b, "%5000d%s", 7, "z");
    assert_int_equal(b.size, 5002);
    assert_int_equal(b.data[5000], '7');
    assert_int_equal(b.data[5001], 'z');
    strbuf_done(&b);
}

static void test_fixed(void **state)
{
    char room[8];
    struct strbuf b = STRBUF_FIXED(room);
    strbuf_puts(&b, "abc");
    assert_string_equal(b.data, "abc");
    strbuf_puts(&b, "defg");
    assert_false(b.truncated);
    strbuf_putc(&b, 'h');
    assert_true(b.truncated);
    assert_string_equal(b.data, "abcdefg");
    strbuf_printf(&b, "%300d", 1);
    assert_string_equal(b.data, "abcdefg");
    assert_int_equal(b.size, 7);
    strbuf_done(&b);

    char big[300];
    struct strbuf c = STRBUF_FIXED(big);
    strbuf_printf(&c, "%0400d", 0);
    assert_int_equal(c.size, 299);
    assert_int_equal(strlen(c.data), 299);
    assert_true(c.truncated);

    struct strbuf none = {.fixed = true};
    strbuf_puts(&none, "a");
    strbuf_printf(&none, "%300d", 1);
    assert_true(none.truncated);
    assert_int_equal(none.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_long_printf),
        cmocka_unit_test(test_fixed),
    };
    return cmocka_run_group_tests(tests, setup_arena, NULL);
}
