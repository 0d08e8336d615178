// The gofer: its protocol's checks, and the server itself over a temporary tree, in this process.
#include "unit.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "gofer/gofer-int.h"

#define FIRST_EXPORT 100
enum { READ_ONLY, WRITABLE, SINGLE_FILE, EXPORTS };

static struct boot_spec spec;
static struct gofer *g;
static int peer; // the kernel's end of the channel
static char top[] = "/tmp/test-gofer-XXXXXX";

static struct {
    struct gofer_reply_view view;
    uint8_t data[GOFER_MESSAGE_MAX];
    int fd;
} answer;

// ---- Protocol ----

static int64_t build(uint8_t *m, const char *name, const void *data, uint64_t size)
{
    struct gofer_request r = {.op = GOFER_LOOKUP, .node = 1};
    return gofer_request_build(m, &r, name, name ? strlen(name) : 0, data, size);
}

static void test_request_round_trip(void **state)
{
    static uint8_t m[GOFER_MESSAGE_MAX];
    struct gofer_request_view v;
    int64_t size = build(m, "name", "data", 4);
    assert_int_equal(gofer_request_parse(m, (uint64_t)size, &v), 0);
    assert_string_equal(v.name, "name");
    assert_memory_equal(v.data, "data", 4);
    size = build(m, NULL, NULL, 0);
    assert_int_equal(gofer_request_parse(m, (uint64_t)size, &v), 0);
    assert_string_equal(v.name, "");
    assert_int_equal(build(m, "name", "", GOFER_MESSAGE_MAX), -E2BIG);
}

static void test_request_is_refused(void **state)
{
    static uint8_t m[GOFER_MESSAGE_MAX];
    struct gofer_request_view v;
    struct gofer_request h;
    uint64_t size = (uint64_t)build(m, "name", "data", 4);
    for (uint64_t n = 0; n < size; n++)
        assert_int_equal(gofer_request_parse(m, n, &v), -EPROTO);
    assert_int_equal(gofer_request_parse(m, size + 1, &v), -EPROTO);
    static const char *const bad[] = {"a/b", "/", ".", "..", "a\1/"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        size = (uint64_t)build(m, bad[i], NULL, 0);
        assert_int_equal(gofer_request_parse(m, size, &v), -EPROTO);
    }
    size = (uint64_t)build(m, "name", NULL, 0);
    m[sizeof(h) + 1] = 0; // a NUL inside
    assert_int_equal(gofer_request_parse(m, size, &v), -EPROTO);
    size = (uint64_t)build(m, "name", NULL, 0);
    m[sizeof(h) + 4] = 'x'; // none at the end
    assert_int_equal(gofer_request_parse(m, size, &v), -EPROTO);
    size = (uint64_t)build(m, "name", "data", 4);
    memcpy(&h, m, sizeof(h));
    h.data_size = UINT32_MAX;
    memcpy(m, &h, sizeof(h));
    assert_int_equal(gofer_request_parse(m, size, &v), -EPROTO);
    h.data_size = 4;
    h.op = GOFER_OP_COUNT;
    memcpy(m, &h, sizeof(h));
    assert_int_equal(gofer_request_parse(m, size, &v), -EPROTO);
}

static struct gofer_attr some_attr(uint32_t mode)
{
    return (struct gofer_attr){.mode = mode, .nlink = 1, .ino = 7, .dev = 1};
}

static void test_entries(void **state)
{
    uint8_t data[1024];
    uint64_t used = 0, at = 0;
    struct gofer_entry_view v;
    struct gofer_attr file = some_attr(S_IFREG | 0644), link = some_attr(S_IFLNK | 0777);
    assert_true(gofer_entry_append(data, sizeof(data), &used, &file, "file", 4, NULL, 0));
    assert_true(gofer_entry_append(data, sizeof(data), &used, &link, "link", 4, "target", 6));
    uint64_t before = used;
    assert_false(gofer_entry_append(data, used + 8, &used, &file, "file", 4, NULL, 0));
    assert_int_equal(used, before);
    assert_int_equal(gofer_entry_next(data, used, &at, &v), 1);
    assert_string_equal(v.name, "file");
    assert_null(v.link);
    assert_int_equal(gofer_entry_next(data, used, &at, &v), 1);
    assert_string_equal(v.link, "target");
    assert_int_equal(gofer_entry_next(data, used, &at, &v), 0);
    // Every cut, and every changed size, is found.
    for (uint64_t n = 1; n < used; n++) {
        at = 0;
        int r;
        while ((r = gofer_entry_next(data, n, &at, &v)) > 0)
            ;
        assert_true(r == -EPROTO || at == n);
    }
    for (uint32_t i = 0; i < 8; i++) {
        data[i] ^= 0x40;
        at = 0;
        assert_int_equal(gofer_entry_next(data, used, &at, &v), -EPROTO);
        data[i] ^= 0x40;
    }
}

static void test_attributes_are_checked(void **state)
{
    struct gofer_attr a = some_attr(S_IFREG | 0644);
    assert_true(gofer_attr_ok(&a));
    a.mode = 0644;
    assert_false(gofer_attr_ok(&a));
    a.mode = S_IFREG | 0200000;
    assert_false(gofer_attr_ok(&a));
    a = some_attr(S_IFDIR | 0755);
    a.mtime.nsec = 1000000000;
    assert_false(gofer_attr_ok(&a));
    a = some_attr(S_IFREG);
    a.size = UINT64_MAX;
    assert_false(gofer_attr_ok(&a));
}

// ---- The server ----

static void path_of(char *out, size_t size, int export_id, const char *name)
{
    static const char *const dirs[] = {"ro", "rw", "single"};
    snprintf(out, size, "%s/%s%s%s", top, dirs[export_id], name[0] ? "/" : "", name);
}

static void put_file(int export_id, const char *name, const char *text)
{
    char path[256];
    path_of(path, sizeof(path), export_id, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void make_tree(void)
{
    char path[256];
    assert_non_null(mkdtemp(top));
    for (int i = READ_ONLY; i <= WRITABLE; i++) {
        path_of(path, sizeof(path), i, "");
        assert_int_equal(mkdir(path, 0755), 0);
        path_of(path, sizeof(path), i, "dir");
        assert_int_equal(mkdir(path, 0755), 0);
        path_of(path, sizeof(path), i, "dir/sub");
        assert_int_equal(mkdir(path, 0755), 0);
        put_file(i, "file", "text");
        put_file(i, "dir/sub/deep", "deep text");
        path_of(path, sizeof(path), i, "link");
        assert_int_equal(symlink("/etc/passwd", path), 0);
        path_of(path, sizeof(path), i, "up");
        assert_int_equal(symlink("..", path), 0);
        path_of(path, sizeof(path), i, "fifo");
        assert_int_equal(mkfifo(path, 0644), 0);
    }
    put_file(SINGLE_FILE, "", "alone");
}

static int setup(void **state)
{
    char path[256];
    int sv[2];
    if (setup_arena(state) < 0)
        return -1;
    make_tree();
    spec.export_count = EXPORTS;
    for (int i = 0; i < EXPORTS; i++) {
        path_of(path, sizeof(path), i, "");
        int fd = i == SINGLE_FILE ? open(path, O_RDWR) : open(path, O_PATH | O_DIRECTORY);
        if (fd < 0 || dup2(fd, FIRST_EXPORT + i) < 0)
            return -1;
        close(fd);
        spec.exports[i].id = (uint32_t)i;
        spec.exports[i].flags = (i == SINGLE_FILE ? 0 : BOOT_EXPORT_DIRECTORY) | (i == READ_ONLY ? BOOT_EXPORT_READONLY : 0);
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
        return -1;
    peer = sv[1];
    g = kmalloc(sizeof(*g));
    return g && gofer_init(g, &spec, sv[0], FIRST_EXPORT) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", top);
    return system(command) == 0 ? 0 : -1;
}

static void receive(void)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = answer.data, .iov_len = sizeof(answer.data)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(peer, &msg, MSG_DONTWAIT);
    assert_true(n > 0);
    answer.fd = -1;
    if (msg.msg_controllen)
        memcpy(&answer.fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
    assert_int_equal(gofer_reply_parse(answer.data, (uint64_t)n, &answer.view), 0);
    assert_int_equal(answer.fd >= 0, (answer.view.header.flags & GOFER_REPLY_FD) != 0);
}

// Sends one request and takes the (last) answer; its result.
static int ask_with(struct gofer_request *r, const char *name, const void *data, uint64_t size)
{
    static uint32_t id;
    r->id = ++id;
    int64_t n = gofer_request_build(g->message, r, name, name ? strlen(name) : 0, data, size);
    assert_true(n > 0);
    assert_int_equal(gofer_serve(g, (uint64_t)n), 0);
    do
        receive();
    while (answer.view.header.flags & GOFER_REPLY_MORE);
    assert_int_equal(answer.view.header.id, id);
    return answer.view.header.result;
}

static int ask(enum gofer_op op, gofer_node_t node, const char *name)
{
    struct gofer_request r = {.op = op, .node = node, .want = GOFER_WANT_NODE};
    return ask_with(&r, name, NULL, 0);
}

static gofer_node_t root(int export_id)
{
    return GOFER_NODE_ROOT(export_id);
}

static void test_lookup(void **state)
{
    assert_int_equal(ask(GOFER_LOOKUP, root(READ_ONLY), "file"), 0);
    assert_int_equal(answer.view.header.attr.size, 4);
    assert_true(S_ISREG(answer.view.header.attr.mode));
    assert_int_equal(answer.view.header.node, GOFER_NODE_NONE);
    assert_int_equal(ask(GOFER_LOOKUP, root(READ_ONLY), "none"), -ENOENT);
    assert_int_equal(ask(GOFER_LOOKUP, root(READ_ONLY), "link"), 0);
    assert_int_equal(answer.view.header.data_size, 11);
    assert_memory_equal(answer.view.data, "/etc/passwd", 11);
    assert_int_equal(ask(GOFER_LOOKUP, root(READ_ONLY), "dir"), 0);
    gofer_node_t dir = answer.view.header.node;
    assert_int_not_equal(dir, GOFER_NODE_NONE);
    assert_int_equal(ask(GOFER_LOOKUP, dir, "sub"), 0);
    assert_int_equal(ask(GOFER_LOOKUP, answer.view.header.node, "deep"), 0);
    assert_int_equal(answer.view.header.attr.size, 9);
}

static void test_list(void **state)
{
    struct gofer_entry_view e;
    uint64_t at = 0;
    int count = 0, r;
    assert_int_equal(ask(GOFER_LIST, root(READ_ONLY), NULL), 0);
    while ((r = gofer_entry_next(answer.view.data, answer.view.header.data_size, &at, &e)) > 0) {
        count++;
        if (!strcmp(e.name, "up"))
            assert_string_equal(e.link, "..");
    }
    assert_int_equal(r, 0);
    assert_int_equal(count, 5);
    assert_int_equal(answer.view.header.count, 5);
    assert_int_equal(ask(GOFER_LIST, root(READ_ONLY), "file"), -ENOTDIR);
    assert_int_equal(ask(GOFER_LIST, root(READ_ONLY), "up"), -ENOTDIR);
}

// A directory of many names comes in several messages, and not at all when only a small one is wanted.
static void test_list_large(void **state)
{
    enum { FILES = 900 };
    char name[256];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "dir/%0100d", i);
        put_file(WRITABLE, name, "");
    }
    struct gofer_request r = {.op = GOFER_LIST, .node = root(WRITABLE), .want = GOFER_IF_SMALL};
    assert_int_equal(ask_with(&r, "dir", NULL, 0), -E2BIG);
    r = (struct gofer_request){.op = GOFER_LIST, .node = root(WRITABLE)};
    int64_t n = gofer_request_build(g->message, &r, "dir", 3, NULL, 0);
    assert_int_equal(gofer_serve(g, (uint64_t)n), 0);
    uint32_t count = 0, messages = 0;
    do {
        receive();
        count += answer.view.header.count;
        messages++;
    } while (answer.view.header.flags & GOFER_REPLY_MORE);
    assert_int_equal(count, FILES + 1); // and "sub"
    assert_true(messages > 1);
}

static void test_open(void **state)
{
    char text[16] = "";
    struct gofer_request r = {.op = GOFER_OPEN, .node = root(READ_ONLY), .flags = O_RDONLY};
    assert_int_equal(ask_with(&r, "file", NULL, 0), 0);
    assert_int_equal(pread(answer.fd, text, sizeof(text), 0), 4);
    assert_string_equal(text, "text");
    close(answer.fd);
    // Nothing but regular files, and nothing behind a link.
    assert_int_equal(ask_with(&r, "fifo", NULL, 0), -ENXIO);
    assert_int_equal(ask_with(&r, "link", NULL, 0), -ELOOP);
    assert_int_equal(ask_with(&r, "dir", NULL, 0), -EISDIR);
    assert_int_equal(answer.fd, -1);
    r.flags = O_RDWR;
    assert_int_equal(ask_with(&r, "file", NULL, 0), -EROFS);
    r.flags = O_RDONLY | O_TRUNC;
    assert_int_equal(ask_with(&r, "file", NULL, 0), -EINVAL);
    r = (struct gofer_request){.op = GOFER_OPEN, .node = root(WRITABLE), .flags = O_RDONLY, .expect_ino = 1, .expect_dev = 1};
    assert_int_equal(ask_with(&r, "file", NULL, 0), -ESTALE);
}

static void test_single_file(void **state)
{
    char text[16] = "";
    struct gofer_request r = {.op = GOFER_OPEN, .node = root(SINGLE_FILE), .flags = O_RDWR};
    assert_int_equal(ask_with(&r, NULL, NULL, 0), 0);
    assert_int_equal(pread(answer.fd, text, sizeof(text), 0), 5);
    assert_string_equal(text, "alone");
    close(answer.fd);
    assert_int_equal(ask(GOFER_LOOKUP, root(SINGLE_FILE), "x"), -ENOTDIR);
    struct gofer_request mode = {.op = GOFER_SETATTR, .node = root(SINGLE_FILE), .valid = GOFER_SET_MODE, .mode = 0600};
    assert_int_equal(ask_with(&mode, NULL, NULL, 0), 0);
    assert_int_equal(answer.view.header.attr.mode & 07777, 0600);
}

static void test_read_only_refuses_changes(void **state)
{
    for (int op = GOFER_CREATE; op < GOFER_SYNC; op++) {
        struct gofer_request r = {.op = (uint16_t)op, .node = root(READ_ONLY), .node2 = root(READ_ONLY), .mode = S_IFIFO | 0600};
        assert_int_equal(ask_with(&r, "file", "x", 1), -EROFS);
    }
}

static void test_change(void **state)
{
    uint32_t uid = getuid(), gid = getgid();
    struct gofer_request r = {.op = GOFER_CREATE, .node = root(WRITABLE), .mode = S_IFREG | 0640, .uid = uid, .gid = gid,
                              .want = GOFER_WANT_NODE};
    assert_int_equal(ask_with(&r, "new", NULL, 0), 0);
    assert_int_equal(answer.view.header.attr.mode, S_IFREG | 0640);
    gofer_node_t node = answer.view.header.node;
    assert_int_not_equal(node, GOFER_NODE_NONE);
    close(answer.fd);
    assert_int_equal(ask_with(&r, "new", NULL, 0), -EEXIST);
    assert_int_equal(ask_with(&r, "link", NULL, 0), -EEXIST);
    // The node still names it when the name is gone.
    assert_int_equal(ask(GOFER_UNLINK, root(WRITABLE), "new"), 0);
    struct gofer_request mode = {.op = GOFER_SETATTR, .node = node, .valid = GOFER_SET_MODE, .mode = 0755};
    assert_int_equal(ask_with(&mode, NULL, NULL, 0), 0);
    assert_int_equal(answer.view.header.attr.mode, S_IFREG | 0755);
    assert_int_equal(answer.view.header.attr.nlink, 0);
    assert_int_equal(ask(GOFER_UNLINK, root(WRITABLE), "dir"), -EISDIR);
    assert_int_equal(ask(GOFER_RMDIR, root(WRITABLE), "dir"), -ENOTEMPTY);
    struct gofer_request dev = {.op = GOFER_MKNOD, .node = root(WRITABLE), .mode = S_IFCHR | 0600};
    assert_int_equal(ask_with(&dev, "dev", NULL, 0), -EPERM);
    struct gofer_request link = {.op = GOFER_SYMLINK, .node = root(WRITABLE), .uid = uid, .gid = gid};
    assert_int_equal(ask_with(&link, "s", "a/b", 3), 0);
    assert_int_equal(ask_with(&link, "t", "a\0b", 3), -EINVAL);
    assert_int_equal(ask(GOFER_UNLINK, root(WRITABLE), "s"), 0);
}

// A mode is never set on what a link points to.
static void test_setattr_does_not_follow(void **state)
{
    struct gofer_request mode = {.op = GOFER_SETATTR, .node = root(WRITABLE), .valid = GOFER_SET_MODE, .mode = 0777};
    assert_int_equal(ask_with(&mode, "link", NULL, 0), -EOPNOTSUPP);
    mode.valid = GOFER_SET_SIZE;
    assert_int_equal(ask_with(&mode, "link", NULL, 0), -ELOOP);
    assert_int_equal(ask_with(&mode, "fifo", NULL, 0), -ENXIO);
    mode.valid = 1u << 31;
    assert_int_equal(ask_with(&mode, "file", NULL, 0), -EINVAL);
}

static void test_rename(void **state)
{
    assert_int_equal(ask(GOFER_LOOKUP, root(WRITABLE), "dir"), 0);
    gofer_node_t dir = answer.view.header.node;
    assert_int_equal(ask(GOFER_LOOKUP, dir, "sub"), 0);
    gofer_node_t sub = answer.view.header.node;
    struct gofer_request r = {.op = GOFER_RENAME, .node = dir, .node2 = root(WRITABLE), .node3 = sub};
    assert_int_equal(ask_with(&r, "sub", "moved", 5), 0);
    // The node went along: its name is no longer the old one when it has to be opened again.
    struct node *n = node_find(g, sub);
    assert_string_equal(n->name, "moved");
    assert_int_equal(ask(GOFER_LOOKUP, sub, "deep"), 0);
    assert_int_equal(ask_with(&r, "moved", "../escape", 9), -EINVAL);
    r.node2 = root(READ_ONLY);
    assert_int_equal(ask_with(&r, "moved", "x", 1), -EXDEV);
    r = (struct gofer_request){.op = GOFER_RENAME, .node = root(WRITABLE), .node2 = dir, .node3 = sub};
    assert_int_equal(ask_with(&r, "moved", "sub", 3), 0);
    // A loop in the table of nodes can't be talked into being.
    r = (struct gofer_request){.op = GOFER_RENAME, .node = root(WRITABLE), .node2 = sub, .node3 = dir};
    assert_int_equal(ask_with(&r, "dir", "inside", 6), -EINVAL);
}

static void test_nodes(void **state)
{
    assert_int_equal(ask(GOFER_LOOKUP, root(READ_ONLY), "dir"), 0);
    gofer_node_t dir = answer.view.header.node;
    assert_int_equal(ask(GOFER_LOOKUP, dir, "sub"), 0);
    gofer_node_t sub = answer.view.header.node;
    struct gofer_request forget = {.op = GOFER_FORGET};
    int64_t n = gofer_request_build(g->message, &forget, NULL, 0, &dir, sizeof(dir));
    assert_int_equal(gofer_serve(g, (uint64_t)n), 0);
    assert_int_equal(ask(GOFER_LOOKUP, dir, "sub"), -ESTALE);
    assert_int_equal(ask(GOFER_LOOKUP, sub, "deep"), 0); // lives on, with its parent
    assert_int_equal(ask(GOFER_LOOKUP, 0, "x"), -ESTALE);
    assert_int_equal(ask(GOFER_LOOKUP, UINT64_MAX, "x"), -ESTALE);
    assert_int_equal(ask(GOFER_LOOKUP, root(EXPORTS), "x"), -ESTALE);
    // Roots are not forgotten.
    gofer_node_t r = root(READ_ONLY);
    n = gofer_request_build(g->message, &forget, NULL, 0, &r, sizeof(r));
    assert_int_equal(gofer_serve(g, (uint64_t)n), 0);
    assert_int_equal(ask(GOFER_LOOKUP, r, "dir"), 0);
    n = gofer_request_build(g->message, &forget, NULL, 0, "odd", 3);
    assert_int_equal(gofer_serve(g, (uint64_t)n), -EPROTO);
}

// With room for hardly any descriptor, nodes are opened again by name, from the root down.
static void test_revival(void **state)
{
    uint32_t room = g->open_max;
    assert_int_equal(ask(GOFER_LOOKUP, root(READ_ONLY), "dir"), 0);
    gofer_node_t dir = answer.view.header.node;
    assert_int_equal(ask(GOFER_LOOKUP, dir, "sub"), 0);
    gofer_node_t sub = answer.view.header.node;
    g->open_max = 1;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ask(GOFER_LOOKUP, sub, "deep"), 0);
        assert_int_equal(ask(GOFER_LOOKUP, dir, "sub"), 0);
    }
    assert_true(g->open_count <= 2);
    // What the name leads to by then has to be the same.
    char from[256], to[256];
    path_of(from, sizeof(from), READ_ONLY, "dir/sub");
    path_of(to, sizeof(to), READ_ONLY, "dir/gone");
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(mkdir(from, 0755), 0);
    assert_int_equal(ask(GOFER_LIST, root(READ_ONLY), "dir"), 0); // takes the one place
    struct node *n = node_find(g, sub);
    if (n->fd < 0)
        assert_int_equal(ask(GOFER_LOOKUP, sub, "deep"), -ESTALE);
    assert_int_equal(rmdir(from), 0);
    assert_int_equal(rename(to, from), 0);
    assert_int_equal(ask(GOFER_LOOKUP, sub, "deep"), 0);
    g->open_max = room;
}

static void test_xattr(void **state)
{
    struct gofer_request r = {.op = GOFER_SETXATTR, .node = root(WRITABLE)};
    if (ask_with(&r, "file", "user.x\0value", 12) == -EOPNOTSUPP)
        skip();
    assert_int_equal(answer.view.header.result, 0);
    r.op = GOFER_GETXATTR;
    assert_int_equal(ask_with(&r, "file", "user.x", 6), 0);
    assert_int_equal(answer.view.header.data_size, 5);
    assert_int_equal(ask_with(&r, "link", "user.x", 6), -ENODATA);
    r.op = GOFER_SETXATTR;
    assert_int_equal(ask_with(&r, "file", "user.x", 6), -EINVAL); // no NUL
    r.op = GOFER_REMOVEXATTR;
    assert_int_equal(ask_with(&r, "file", "user.x", 6), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_round_trip),
        cmocka_unit_test(test_request_is_refused),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_attributes_are_checked),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_list_large),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_single_file),
        cmocka_unit_test(test_read_only_refuses_changes),
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_setattr_does_not_follow),
        cmocka_unit_test(test_rename),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_revival),
        cmocka_unit_test(test_xattr),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
