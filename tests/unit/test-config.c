// Reading config.json: what each member becomes, and the message for each that is wrong.

#include "runtime/config.h"
#include "unit.h"
#include <sys/mount.h>

#define START                                                                                 \
    "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"args\":[\"a\"]," \
    "\"cwd\":\"/\""

static int parse(const char *text, struct container *c, struct error *e)
{
    *c = (struct container){0};
    memset(e, 0, sizeof(*e));
    c->id = pool_strdup(&c->pool, "test");
    c->bundle = pool_strdup(&c->pool, "/bundle");
    return config_parse(text, strlen(text), c, e);
}

static void must_parse(const char *text, struct container *c)
{
    struct error e;
    if (parse(text, c, &e) < 0)
        fail_msg("%s\nrefused: %s", text, e.text);
}

static void test_least(void **state)
{
    struct container c;
    must_parse(START "}}", &c);
    assert_string_equal(c.root_path, "/bundle/rootfs");
    assert_string_equal(c.cwd, "/");
    assert_int_equal(c.args.count, 1);
    assert_int_equal(c.umask, 022);
    assert_int_equal(c.mount_count, 1);
    assert_string_equal(c.mounts[0].target, "/dev");
    assert_int_equal(c.mounts[0].type, BOOT_MOUNT_DEVTMPFS);
    assert_false(c.terminal || c.no_new_privs || c.root_readonly);
    container_done(&c);
}

static void test_process(void **state)
{
    struct container c;
    must_parse(
        START
        ",\"terminal\":true,\"consoleSize\":{\"height\":1,\"width\":65535},\"noNewPrivileges\":"
        "true,"
        "\"user\":{\"uid\":4294967294,\"gid\":2,\"umask\":511,\"additionalGids\":[1,2]},"
        "\"env\":[\"A=b=c\"],\"oomScoreAdj\":-1000,"
        "\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_CHECKPOINT_RESTORE\",\"CAP_NEW\"],"
        "\"ambient\":[\"CAP_KILL\"]},"
        "\"rlimits\":[{\"type\":\"RLIMIT_RTTIME\",\"soft\":0,\"hard\":18446744073709551615}]}}",
        &c);
    assert_true(c.terminal && c.no_new_privs);
    assert_int_equal(c.console_cols, 65535);
    assert_true(c.uid == 4294967294u);
    assert_int_equal(c.umask, 0777);
    assert_int_equal(c.group_count, 2);
    assert_int_equal(c.oom_score_adj, -1000);
    assert_true(c.cap_bounding == (1ull | 1ull << 40));
    assert_true(c.cap_ambient == 1 << 5);
    assert_true(c.rlimits[15].set && c.rlimits[15].hard == UINT64_MAX);
    assert_int_equal(c.warnings.count, 1);
    container_done(&c);
}

static void test_mounts(void **state)
{
    struct container c;
    must_parse(START
               "},\"mounts\":["
               "{\"destination\":\"proc\",\"type\":\"proc\"},"
               "{\"destination\":\"/dev/../dev/./"
               "\",\"type\":\"tmpfs\",\"options\":[\"nosuid\",\"size=1k\",\"mode=1\"]},"
               "{\"destination\":\"/"
               "a\",\"type\":\"bind\",\"source\":\"x\",\"options\":[\"ro\",\"rw\",\"nodev\"]},"
               "{\"destination\":\"/b\",\"type\":\"none\",\"source\":\"/"
               "x\",\"options\":[\"rbind\",\"ro\",\"rprivate\"]},"
               "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\"}]}",
               &c);
    assert_int_equal(c.mount_count, 4);
    assert_string_equal(c.mounts[0].target, "/proc");
    assert_string_equal(c.mounts[1].target, "/dev");
    assert_int_equal(c.mounts[1].type, BOOT_MOUNT_DEVTMPFS);
    assert_string_equal(c.mounts[1].options, "size=1k,mode=1");
    assert_string_equal(c.mounts[2].source, "/bundle/x");
    assert_int_equal(c.mounts[2].flags, MS_NODEV);
    assert_false(c.mounts[2].recursive);
    assert_int_equal(c.mounts[3].flags, MS_RDONLY);
    assert_true(c.mounts[3].recursive);
    assert_int_equal(c.warnings.count, 1);
    container_done(&c);
}

static void test_linux(void **state)
{
    struct container c;
    must_parse(
        START
        "},\"hostname\":\"h\",\"annotations\":{\"k\":\"v\"},\"linux\":{"
        "\"resources\":{\"memory\":{\"limit\":1048576},\"pids\":{\"limit\":-1}},"
        "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/run/netns/x\"}],"
        "\"maskedPaths\":[\"/proc/kcore\"],\"readonlyPaths\":[\"/proc/sys\"]}}",
        &c);
    assert_int_equal(c.memory_limit, 1 << 20);
    assert_int_equal(c.pids_limit, 0);
    assert_int_equal(c.masked_paths.count, 1);
    assert_string_equal(c.annotations, "{\"k\":\"v\"}");
    assert_string_equal(c.hostname, "h");
    container_done(&c);
}

// The last of two members with one name counts, null is absent.
static void test_json_rules(void **state)
{
    struct container c;
    must_parse(
        START
        "},\"hostname\":\"a\",\"hostname\":\"b\",\"mounts\":null,\"unknown\":{\"x\":[1e999]}}",
        &c);
    assert_string_equal(c.hostname, "b");
    container_done(&c);
}

static void test_wrong(void **state)
{
    static const struct {
        const char *text, *message;
    } table[] = {
        {"", "not valid JSON"},
        {"{", "not valid JSON"},
        {"{'a':1}", "not valid JSON"},
        {"{\"a\":1/* */}", "not valid JSON"},
        {"{\"a\":NaN}", "not valid JSON"},
        {"{\"a\":1,}", "not valid JSON"},
        {"{\"a\":01}", "not valid JSON"},
        {"[]", "must be an object"},
        {"{\"a\":1} {}", "not valid JSON"},
        {"{\"a\":\"\xff\"}", "not valid JSON"},
        {"{\"a\":18446744073709551616}", "more than 64 bits"},
        {"{\"a\":-9223372036854775809}", "more than 64 bits"},
        {"{}", "ociVersion: is missing"},
        {"{\"ociVersion\":\"0.9\"}", "not supported"},
        {"{\"ociVersion\":\"1.0.0\"}", "root: is missing"},
        {"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"\"}}", "root.path: is missing"},
        {"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"}}", "process: is missing"},
        {START ",\"args\":[]}}", "must name a program"},
        {START ",\"args\":[1]}}", "process.args[0]: must be a text"},
        {START ",\"args\":\"a\"}}", "process.args: must be a list"},
        {START ",\"cwd\":\"x\"}}", "absolute"},
        {START ",\"env\":[\"x\"]}}", "NAME=VALUE"},
        {START ",\"user\":{\"uid\":-1}}}",
         "process.user.uid: must be a whole number from 0 to 4294967294"},
        {START ",\"user\":{\"uid\":4294967295}}}", "process.user.uid"},
        {START ",\"user\":{\"umask\":512}}}", "process.user.umask"},
        {START ",\"user\":{\"additionalGids\":[1,-2]}}}", "additionalGids[1]"},
        {START ",\"oomScoreAdj\":1001}}", "from -1000 to 1000"},
        {START ",\"terminal\":1}}", "true or false"},
        {START ",\"rlimits\":[{\"type\":\"RLIMIT_X\"}]}}", "unknown limit"},
        {START ",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":2,\"hard\":1}]}}",
         "above the hard limit"},
        {START ",\"rlimits\":[{\"type\":\"RLIMIT_CPU\"},{\"type\":\"RLIMIT_CPU\"}]}}", "twice"},
        {START "},\"hostname\":\"\\u0000\"}", "NUL"},
        {START "},\"mounts\":[{\"type\":\"proc\"}]}", "mounts[0].destination: is missing"},
        {START "},\"mounts\":[{\"destination\":\"/../..\",\"type\":\"proc\"}]}",
         "root can't be mounted over"},
        {START "},\"mounts\":[{\"destination\":\"/x\",\"type\":\"ext4\"}]}",
         "\"ext4\" is not supported"},
        {START "},\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\"}]}", "source: is missing"},
        {START "},\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/"
               "\",\"options\":[\"size=1\"]}]}",
         "no option of a bind mount"},
        {START "},\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/"
               "\",\"options\":[\"idmap\"]}]}",
         "\"idmap\" is not supported"},
        {START "},\"mounts\":[7]}", "mounts[0]: must be an object"},
        {START "},\"hooks\":{\"poststart\":[{\"path\":\"/x\"}]}}", "hooks are not supported"},
        {START "},\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"/x\"}]}}",
         "not supported yet"},
        {START "},\"linux\":{\"namespaces\":[{}]}}", "type: is missing"},
        {START "},\"annotations\":{\"a\":1}}", "must be a text"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct container c;
        struct error e;
        if (parse(table[i].text, &c, &e) == 0)
            fail_msg("accepted: %s", table[i].text);
        if (!strstr(e.text, table[i].message))
            fail_msg("%s\nsays: %s\ninstead of: %s", table[i].text, e.text, table[i].message);
        container_done(&c);
    }
}

static void test_depth(void **state)
{
    char text[1000];
    struct container c;
    struct error e;
    memset(text, '[', 400);
    memset(text + 400, ']', 400);
    text[800] = 0;
    assert_int_equal(parse(text, &c, &e), -1);
    container_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least),      cmocka_unit_test(test_process),
        cmocka_unit_test(test_mounts),     cmocka_unit_test(test_linux),
        cmocka_unit_test(test_json_rules), cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
