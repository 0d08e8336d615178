// The boot spec: what is written is read back, and nothing that is not well-formed is accepted or read beyond its end.

#include "runtime/boot-write.h"
#include "runtime/exports.h"
#include "sandbox/boot-format.h"
#include "unit.h"
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

static void fill(struct container *c, struct exports *x)
{
    *c = (struct container){.uid = 5,
                            .gid = 6,
                            .umask = 027,
                            .cap_bounding = 1,
                            .cap_effective = 2,
                            .cap_inheritable = 3,
                            .cap_permitted = 4,
                            .cap_ambient = 5,
                            .oom_score_adj = -7,
                            .no_new_privs = true,
                            .pids_limit = 99,
                            .memory_limit = 1 << 20,
                            .console_rows = 24,
                            .console_cols = 80};
    c->id = pool_strdup(&c->pool, "id");
    c->cwd = pool_strdup(&c->pool, "/w");
    c->hostname = pool_strdup(&c->pool, "host");
    c->root_path = pool_strdup(&c->pool, "/r");
    text_list_add(&c->pool, &c->args, "program");
    text_list_add(&c->pool, &c->args, "");
    text_list_add(&c->pool, &c->env, "A=b");
    text_list_add(&c->pool, &c->masked_paths, "/proc/kcore");
    c->groups = pool_alloc(&c->pool, 3 * sizeof(uint32_t));
    c->group_count = 3;
    c->groups[2] = 4294967294u;
    c->rlimits[7] = (struct boot_rlimit){true, 10, UINT64_MAX};
    container_add_mount(c, BOOT_MOUNT_TMPFS, "/t", "tmpfs", MS_NOSUID, "size=1k");
    container_add_mount(c, BOOT_MOUNT_BIND, "/b", "/src", MS_RDONLY, "");
    *x = (struct exports){.count = 2, .of_mount = {0, 1}};
    x->items[0] = (struct export){-1, BOOT_EXPORT_DIRECTORY | BOOT_EXPORT_READONLY, "/r"};
    x->items[1] = (struct export){-1, BOOT_EXPORT_SHARED, "/src"};
}

static char *write_block(uint64_t *ret_size)
{
    struct container c;
    struct exports x;
    struct run_options o = {.overlay = BOOT_OVERLAY_MEMORY, .strace = true, .start_time = 12345};
    struct error e;
    const bool terminals[3] = {true, false, true};
    int fd;
    fill(&c, &x);
    assert_int_equal(boot_spec_write(&c, &o, &x, false, terminals, &fd, &e), 0);
    // Sealed: nobody can change it behind the reader's back.
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char *data = malloc((size_t)st.st_size);
    assert_int_equal(pread(fd, data, (size_t)st.st_size, 0), st.st_size);
    close(fd);
    container_done(&c);
    *ret_size = (uint64_t)st.st_size;
    return data;
}

static void test_round_trip(void **state)
{
    uint64_t size;
    char *data = write_block(&size);
    static struct boot_spec s;
    const char *what = NULL;
    int ret = boot_spec_parse(data, size, &s, &what);
    if (ret < 0)
        fail_msg("refused: %s", what);
    assert_string_equal(s.id, "id");
    assert_string_equal(s.hostname, "host");
    assert_string_equal(s.domainname, "(none)");
    assert_string_equal(s.cwd, "/w");
    assert_int_equal(s.flags, BOOT_STRACE | BOOT_NO_NEW_PRIVS | BOOT_NEW_TASK_LIMIT);
    assert_int_equal(s.tasks_max, 99);
    assert_int_equal(s.args.count, 2);
    const char *next = s.args.data;
    assert_string_equal(boot_strings_next(&s.args, &next), "program");
    assert_string_equal(boot_strings_next(&s.args, &next), "");
    assert_null(boot_strings_next(&s.args, &next));
    assert_int_equal(s.env.count, 1);
    assert_int_equal(s.masked_paths.count, 1);
    assert_int_equal(s.readonly_paths.count, 0);
    assert_int_equal(s.uid, 5);
    assert_int_equal(s.gid, 6);
    assert_int_equal(s.umask, 027);
    assert_int_equal(s.oom_score_adj, -7);
    assert_int_equal(s.group_count, 3);
    assert_true(s.groups[2] == 4294967294u);
    assert_int_equal(s.cap_ambient, 5);
    assert_true(s.rlimits[7].set && s.rlimits[7].soft == 10 && s.rlimits[7].hard == UINT64_MAX);
    assert_false(s.rlimits[0].set);
    assert_int_equal(s.export_count, 2);
    assert_string_equal(s.exports[1].path, "/src");
    assert_int_equal(s.exports[1].flags, BOOT_EXPORT_SHARED);
    assert_int_equal(s.mount_count, 2);
    assert_string_equal(s.mounts[0].options, "size=1k");
    assert_int_equal(s.mounts[1].type, BOOT_MOUNT_BIND);
    assert_int_equal(s.mounts[1].export_id, 1);
    assert_int_equal(s.mounts[1].flags, MS_RDONLY);
    assert_true(s.stdio_is_terminal[0] && !s.stdio_is_terminal[1] && s.stdio_is_terminal[2]);
    assert_int_equal(s.console_cols, 80);
    assert_int_equal(s.start_time, 12345);
    assert_int_equal(s.memory_limit, (1 << 20) - (1 << 17));
    free(data);
}

// Each block lies at the end of a page that is followed by none: a read beyond it is a fault.
static void test_truncated(void **state)
{
    static struct boot_spec s;
    uint64_t size;
    const char *what;
    char *data = write_block(&size);
    uint64_t room = PAGE_UP(size);
    char *area =
        mmap(NULL, room + PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(area != MAP_FAILED);
    assert_int_equal(mprotect(area + room, PAGE_SIZE, PROT_NONE), 0);
    for (uint64_t cut = 0; cut < size; cut += 8) {
        char *at = area + room - cut;
        memcpy(at, data, cut);
        if (cut >= sizeof(struct boot_header)) {
            uint32_t claimed = (uint32_t)cut;
            memcpy(at + offsetof(struct boot_header, size), &claimed, sizeof(claimed));
        }
        assert_true(boot_spec_parse(at, cut, &s, &what) < 0);
        assert_non_null(what);
    }
    munmap(area, room + PAGE_SIZE);
    free(data);
}

static void test_changed_bytes(void **state)
{
    static struct boot_spec s;
    uint64_t size;
    const char *what;
    char *data = write_block(&size);
    uint64_t accepted = 0;
    for (uint64_t i = 0; i < size; i++) {
        char old = data[i];
        for (int bit = 0; bit < 8; bit++) {
            data[i] = (char)(old ^ 1 << bit);
            // Many a change is another valid spec. None may be accepted without its pointers being good.
            if (boot_spec_parse(data, size, &s, &what) == 0) {
                accepted += strlen(s.id) + strlen(s.cwd) + s.args.count;
                for (uint32_t m = 0; m < s.mount_count; m++)
                    accepted += strlen(s.mounts[m].target) + strlen(s.mounts[m].options);
            }
        }
        data[i] = old;
    }
    assert_true(accepted > 0);
    free(data);
}

static void test_header(void **state)
{
    static struct boot_spec s;
    uint64_t size;
    const char *what;
    char *data = write_block(&size);
    data[8] ^= 1; // version
    assert_int_equal(boot_spec_parse(data, size, &s, &what), -EINVAL);
    assert_string_equal(what, "header");
    assert_int_equal(boot_spec_parse(data, BOOT_MAX_SIZE + 8, &s, &what), -E2BIG);
    free(data);
}

static void test_too_large(void **state)
{
    struct container c;
    struct exports x;
    struct run_options o = {0};
    struct error e;
    const bool terminals[3] = {0};
    int fd = -1;
    fill(&c, &x);
    char *word = pool_alloc(&c.pool, 1 << 20);
    memset(word, 'x', (1 << 20) - 1);
    for (int i = 0; i < 9; i++)
        text_list_add(&c.pool, &c.args, word);
    assert_int_equal(boot_spec_write(&c, &o, &x, false, terminals, &fd, &e), -1);
    assert_int_equal(e.number, E2BIG);
    container_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_changed_bytes), cmocka_unit_test(test_header),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
