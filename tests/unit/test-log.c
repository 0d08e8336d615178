// Log lines: levels, escaping, both formats, cutting.
#include "base/log.h"

#include "unit.h"

static char out[8192];

// Writes one message by the given configuration and leaves what came out in out.
static void log_one(bool json, enum log_level level, const char *text)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct log_config c = {.fd = fds[1], .json = json, .level = LOG_INFO, .component = "kernel"};
    log_init(&c);
    log_write(level, "%s", text);
    close(fds[1]);
    ssize_t n = read(fds[0], out, sizeof(out) - 1);
    assert_true(n >= 0);
    out[n] = 0;
    close(fds[0]);
    c.fd = -1;
    log_init(&c);
}

static void test_text(void **state)
{
    log_one(false, LOG_WARN, "a \"b\" \x1b[31m\nfake\xff");
    assert_non_null(strstr(out, " warning kernel: a \"b\" \\x1b[31m\\x0afake\\xff\n"));
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    assert_int_equal(out[4], '-');
    assert_int_equal(out[10], 'T');
    assert_true(strncmp(out, "2024", 4) >= 0);
}

static void test_json(void **state)
{
    log_one(true, LOG_ERROR, "a \"b\\\" \n");
    assert_int_equal(strncmp(out, "{\"time\":\"", 9), 0);
    assert_non_null(strstr(
        out,
        "\"level\":\"error\",\"component\":\"kernel\",\"msg\":\"a \\\"b\\\\\\\" \\u000a\"}\n"));
}

static void test_long(void **state)
{
    static char text[5000];
    memset(text, 1, sizeof(text) - 1);
    log_one(true, LOG_ERROR, text);
    assert_true(strlen(out) <= 4096);
    assert_string_equal(out + strlen(out) - 3, "\"}\n");
    log_one(false, LOG_ERROR, text);
    assert_int_equal(out[strlen(out) - 1], '\n');
}

static void test_level(void **state)
{
    log_one(false, LOG_DEBUG, "hidden");
    assert_string_equal(out, "");
    assert_false(log_enabled(LOG_ERROR)); // nowhere to go
    log_write(LOG_ERROR, "lost");
}

static void do_panic(void *arg)
{
    panic("value %d", *(int *)arg);
}

static void do_bug(void *arg)
{
    BUG_ON(arg != NULL);
}

static void test_panic(void **state)
{
    int n = 42;
    expect_panic(do_panic, &n, "error test: value 42\n");
    expect_panic(do_bug, &n, "bug: arg != ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),  cmocka_unit_test(test_json),  cmocka_unit_test(test_long),
        cmocka_unit_test(test_level), cmocka_unit_test(test_panic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
