// AF_UNIX: messages, control data, descriptors in flight and their collection. Every test ends with no object left.
#include <linux/capability.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include "kernel-fixture.h"
#include "net/unix/unix-int.h"
#include "vfs/eventfd.h"

SLAB_TYPE(socket_type, SLAB_UNIX_SOCKET, struct unix_socket);
SLAB_TYPE(message_type, SLAB_SOCKET_BUFFER, struct unix_message);
SLAB_TYPE(file_type, SLAB_FILE, struct file);

static uint64_t files_before;

// The file layer keeps freed files for itself.
static uint64_t live_files(void)
{
    uint64_t n = slab_count(&file_type);
    for (const struct file *f = the_vfs()->free_files; f; f = f->priv)
        n--;
    return n;
}

static int begin(void **state)
{
    files_before = live_files();
    return 0;
}

static int check_nothing_left(void **state)
{
    assert_int_equal(slab_count(&message_type), 0);
    assert_int_equal(slab_count(&socket_type), 0);
    assert_int_equal(live_files(), files_before);
    assert_int_equal(user_count(the_kernel(), 0, USER_FILES_IN_FLIGHT), 0);
    return 0;
}

static void make_pair(int type, struct file *f[2])
{
    struct socket *s[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(unix_socket_ops.create(task, type, 0, &s[i]), 0);
    assert_int_equal(unix_socket_ops.pair(task, s[0], s[1]), 0);
    for (int i = 0; i < 2; i++)
        assert_non_null(f[i] = socket_create_file(s[i], SOCK_NONBLOCK));
}

// Sends text with files, whose references stay the caller's. scm may be NULL.
static int64_t send_files(struct file *f, const char *text, struct file **files, uint32_t count)
{
    struct uio u;
    struct uio_segment one;
    struct socket_message m = {.data = &u, .flags = MSG_DONTWAIT | MSG_NOSIGNAL};
    scm_from_task(task, &m.scm);
    if (count) {
        m.scm.files = kmalloc(sizeof(*m.scm.files) + count * sizeof(struct file *));
        m.scm.files->count = count;
        for (uint32_t i = 0; i < count; i++)
            m.scm.files->files[i] = file_ref(files[i]);
    }
    uio_init_kernel(&u, &one, (void *)text, strlen(text));
    return unix_socket_ops.send(task, f->priv, &m);
}

static int64_t receive(struct file *f, char *buf, uint64_t size, uint32_t flags, struct scm *scm)
{
    struct uio u;
    struct uio_segment one;
    struct socket_message m = {.data = &u, .flags = flags | MSG_DONTWAIT};
    uio_init_kernel(&u, &one, buf, size);
    int64_t n = unix_socket_ops.receive(task, f->priv, &m);
    if (scm)
        *scm = m.scm;
    else
        scm_done(&m.scm);
    return n;
}

static void test_stream(void **state)
{
    struct file *f[2];
    char buf[64];
    make_pair(SOCK_STREAM, f);
    assert_int_equal(receive(f[1], buf, sizeof(buf), 0, NULL), -EAGAIN);
    assert_int_equal(send_files(f[0], "hello ", NULL, 0), 6);
    assert_int_equal(send_files(f[0], "world", NULL, 0), 5);
    assert_int_equal(receive(f[1], buf, 3, MSG_PEEK, NULL), 3);
    assert_int_equal(receive(f[1], buf, 8, 0, NULL), 8);
    assert_memory_equal(buf, "hello wo", 8);
    assert_int_equal(((struct unix_socket *)f[1]->priv)->queue_bytes, 3);
    assert_int_equal(receive(f[1], buf, 64, 0, NULL), 3);
    assert_int_equal(((struct unix_socket *)f[0]->priv)->charged, 0);
    file_unref(f[1]);
    assert_int_equal(send_files(f[0], "x", NULL, 0), -EPIPE);
    assert_int_equal(receive(f[0], buf, 64, 0, NULL), 0);
    file_unref(f[0]);
}

static void test_buffer_limit(void **state)
{
    struct file *f[2];
    char buf[64];
    int64_t r;
    uint32_t sent = 0;
    make_pair(SOCK_STREAM, f);
    ((struct socket *)f[0]->priv)->sndbuf = 4608;
    while ((r = send_files(f[0], "one message", NULL, 0)) > 0)
        sent++;
    assert_int_equal(r, -EAGAIN);
    assert_in_range(sent, 2, 20);
    while (receive(f[1], buf, 11, 0, NULL) > 0)
        sent--;
    assert_int_equal(sent, 0);
    assert_true(unix_writable(f[0]->priv));
    file_unref(f[0]);
    file_unref(f[1]);
}

static void test_datagrams(void **state)
{
    struct file *f[2];
    char buf[64];
    make_pair(SOCK_DGRAM, f);
    assert_int_equal(send_files(f[0], "first", NULL, 0), 5);
    assert_int_equal(send_files(f[0], "second", NULL, 0), 6);
    assert_int_equal(receive(f[1], buf, 2, MSG_PEEK | MSG_TRUNC, NULL), 5);
    assert_int_equal(receive(f[1], buf, 2, 0, NULL), 2);
    assert_int_equal(receive(f[1], buf, 64, 0, NULL), 6);
    assert_memory_equal(buf, "second", 6);
    file_unref(f[1]);
    assert_int_equal(send_files(f[0], "x", NULL, 0), -ECONNREFUSED);
    assert_int_equal(send_files(f[0], "x", NULL, 0), -ENOTCONN);
    file_unref(f[0]);
}

static void test_files_travel(void **state)
{
    struct file *f[2], *e = eventfd_create(7, false, O_NONBLOCK);
    struct scm scm;
    char buf[8];
    uint64_t n;
    make_pair(SOCK_STREAM, f);
    assert_int_equal(send_files(f[0], "ab", &e, 1), 2);
    assert_int_equal(refcount_read(&e->refs), 2);
    assert_int_equal(receive(f[1], buf, 1, MSG_PEEK, &scm), 1);
    assert_ptr_equal(scm.files->files[0], e);
    scm_done(&scm);
    assert_int_equal(receive(f[1], buf, 1, 0, &scm), 1);
    assert_int_equal(scm.files->count, 1);
    assert_int_equal(user_count(the_kernel(), 0, USER_FILES_IN_FLIGHT), 0);
    assert_int_equal(fixture_read(scm.files->files[0], &n, sizeof(n)), sizeof(n));
    assert_int_equal(n, 7);
    scm_done(&scm);
    // The second byte comes without them.
    assert_int_equal(receive(f[1], buf, 8, 0, &scm), 1);
    assert_null(scm.files);
    // In a queue that nobody reads they go with the socket.
    assert_int_equal(send_files(f[0], "x", &e, 1), 1);
    file_unref(e);
    file_unref(f[1]);
    file_unref(f[0]);
}

static void test_own_queue(void **state)
{
    struct file *f[2];
    make_pair(SOCK_STREAM, f);
    assert_int_equal(send_files(f[0], "x", &f[1], 1), 1); // f[1] lies in its own queue
    file_unref(f[1]);
    file_unref(f[0]);
}

static void test_circles(void **state)
{
    for (int i = 0; i < 50; i++) {
        struct file *a[2], *b[2], *all[5];
        make_pair(SOCK_STREAM, a);
        make_pair(SOCK_DGRAM, b);
        struct file *e = eventfd_create(0, false, O_NONBLOCK);
        memcpy(all, a, sizeof(a));
        memcpy(all + 2, b, sizeof(b));
        all[4] = e;
        assert_int_equal(send_files(a[0], "x", all, 5), 1);
        assert_int_equal(send_files(a[1], "x", all, 5), 1);
        assert_int_equal(send_files(b[0], "x", all, 5), 1);
        for (int k = 0; k < 5; k++)
            file_unref(all[(k + i) % 5]);
    }
    // Whenever a socket goes the others are looked at.
    struct file *f[2];
    make_pair(SOCK_STREAM, f);
    assert_true(slab_count(&message_type) > 0);
    file_unref(f[0]);
    file_unref(f[1]);
}

static void test_reachable_lives(void **state)
{
    struct file *a[2], *b[2], *c[2];
    struct scm scm;
    char buf[8];
    make_pair(SOCK_STREAM, a);
    make_pair(SOCK_STREAM, b);
    make_pair(SOCK_STREAM, c);
    // b lies in its own queue and in a's; a is held. Collections go by without touching it.
    assert_int_equal(send_files(b[0], "b", &b[1], 1), 1);
    assert_int_equal(send_files(a[0], "a", b, 2), 1);
    file_unref(b[0]);
    file_unref(b[1]);
    file_unref(c[0]);
    file_unref(c[1]);
    assert_int_equal(receive(a[1], buf, 8, 0, &scm), 1);
    assert_int_equal(scm.files->count, 2);
    struct file *b1 = file_ref(scm.files->files[1]);
    scm_done(&scm);
    assert_int_equal(receive(b1, buf, 8, 0, &scm), 1);
    assert_ptr_equal(scm.files->files[0], b1);
    scm_done(&scm);
    file_unref(b1);
    file_unref(a[0]);
    file_unref(a[1]);
}

static void test_long_chain(void **state)
{
    struct file *inner = eventfd_create(0, false, O_NONBLOCK);
    for (int i = 0; i < 20000; i++) {
        struct file *f[2];
        make_pair(SOCK_STREAM, f);
        if (send_files(f[0], "x", &inner, 1) != 1)
            fail();
        file_unref(inner);
        file_unref(f[0]);
        inner = f[1];
    }
    file_unref(inner);
}

static int connect_to(struct socket *s, const char *name)
{
    struct socket_address a = {.size = (uint32_t)(2 + strlen(name)), .family = AF_UNIX};
    memcpy(a.bytes + 2, name, strlen(name));
    a.bytes[2] = 0; // abstract
    return unix_socket_ops.connect(task, s, &a, true);
}

static void test_garbage_listener(void **state)
{
    struct socket *l, *c;
    struct socket_address a = {.size = 2 + 5, .family = AF_UNIX};
    memcpy(a.bytes + 2, "\0name", 5);
    struct file *lf, *cf;
    assert_int_equal(unix_socket_ops.create(task, SOCK_STREAM, 0, &l), 0);
    assert_int_equal(unix_socket_ops.create(task, SOCK_STREAM, 0, &c), 0);
    lf = socket_create_file(l, 0);
    cf = socket_create_file(c, 0);
    assert_int_equal(connect_to(c, "@name"), -ECONNREFUSED);
    assert_int_equal(unix_socket_ops.bind(task, l, &a), 0);
    assert_int_equal(unix_socket_ops.listen(task, l, 1), 0);
    assert_int_equal(connect_to(c, "@name"), 0);
    assert_int_equal(connect_to(c, "@name"), -EISCONN);
    // The listener lies in the queue of a connection that only it could accept.
    assert_int_equal(send_files(cf, "x", &lf, 1), 1);
    file_unref(lf);
    file_unref(cf);
}

static void test_control_data(void **state)
{
    struct cred *user = cred_copy(task->cred);
    user->effective = 0;
    user->uid = user->euid = user->suid = 1000;
    struct task *t = fixture_task(user, 200);
    struct file *e = eventfd_create(0, false, 0);
    int fd = fd_install(t, e, false, 0);
    struct {
        struct cmsghdr h;
        int fds[6];
    } c = {.h = {.cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}, .fds = {fd, -1}};
    struct scm scm;
    assert_int_equal(scm_parse(t, (void *)&c, CMSG_SPACE(4), &scm), 0);
    assert_int_equal(scm.files->count, 1);
    scm_done(&scm);
    assert_int_equal(scm_parse(t, (void *)&c, sizeof(c), &scm), -EINVAL); // a second header of zeros
    assert_int_equal(refcount_read(&e->refs), 1);
    c.h.cmsg_len = CMSG_LEN(8);
    assert_int_equal(scm_parse(t, (void *)&c, CMSG_SPACE(8), &scm), -EBADF);
    assert_int_equal(refcount_read(&e->refs), 1);
    c.h.cmsg_len = CMSG_LEN(100);
    assert_int_equal(scm_parse(t, (void *)&c, sizeof(c), &scm), -EINVAL);
    c.h.cmsg_len = 15;
    assert_int_equal(scm_parse(t, (void *)&c, sizeof(c), &scm), -EINVAL);
    c.h = (struct cmsghdr){.cmsg_len = CMSG_LEN(12), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    memcpy(c.fds, (int[]){200, 1000, 0}, 12);
    assert_int_equal(scm_parse(t, (void *)&c, CMSG_LEN(12), &scm), 0);
    assert_true(scm.explicit_creds);
    c.fds[1] = 0;
    assert_int_equal(scm_parse(t, (void *)&c, CMSG_LEN(12), &scm), -EPERM);
    memcpy(c.fds, (int[]){1, 1000, 0}, 12);
    assert_int_equal(scm_parse(t, (void *)&c, CMSG_LEN(12), &scm), -EPERM);
    assert_int_equal(fd_close(t, fd), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, check_nothing_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stream),
        TEST(test_buffer_limit),
        TEST(test_datagrams),
        TEST(test_files_travel),
        TEST(test_own_queue),
        TEST(test_circles),
        TEST(test_reachable_lives),
        TEST(test_garbage_listener),
        TEST(test_long_chain),
        TEST(test_control_data),
    };
    return cmocka_run_group_tests(tests, fixture_setup, NULL);
}
