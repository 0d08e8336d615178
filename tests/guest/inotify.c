/*
 * inotify: each event, the flags of a watch, the order and merging of events, overflow and limits.
 */
#include "scratch.h"

#include <sys/inotify.h>
#include <sys/ioctl.h>

struct event {
    int wd;
    uint32_t mask, cookie;
    char name[NAME_MAX + 1];
};

static int in_fd;

static int watch(const char *path, uint32_t mask)
{
    int wd = inotify_add_watch(in_fd, path, mask);

    CHECK(wd > 0);
    return wd;
}

/* Takes the next event; false when there is none. */
static bool next(struct event *e)
{
    static char buf[65536] __attribute__((aligned(8)));
    static ssize_t have, at;

    if (at >= have) {
        have = read(in_fd, buf, sizeof(buf));
        at = 0;
        if (have < 0) {
            CHECK_EQ(errno, EAGAIN);
            have = 0;
            return false;
        }
    }
    struct inotify_event *raw = (void *)(buf + at);
    CHECK(at + (ssize_t)sizeof(*raw) + (ssize_t)raw->len <= have);
    *e = (struct event){.wd = raw->wd, .mask = raw->mask, .cookie = raw->cookie};
    if (raw->len > 0) {
        CHECK(memchr(raw->name, '\0', raw->len) != NULL);
        CHECK_EQ(raw->len % sizeof(*raw), 0);
        (void)snprintf(e->name, sizeof(e->name), "%s", raw->name);
    }
    at += (ssize_t)sizeof(*raw) + (ssize_t)raw->len;
    return true;
}

static uint32_t expect(int wd, uint32_t mask, const char *name)
{
    struct event e = {0};

    if (!next(&e))
        gt_fail(true, __FILE__, __LINE__, "no event, want %#x %s", mask, name);
    if (e.wd != wd || e.mask != mask || strcmp(e.name, name) != 0)
        gt_fail(true, __FILE__, __LINE__, "event wd %d mask %#x \"%s\", want wd %d mask %#x \"%s\"",
                e.wd, e.mask, e.name, wd, mask, name);
    return e.cookie;
}

static void expect_none(void)
{
    struct event e = {0};

    if (next(&e))
        gt_fail(true, __FILE__, __LINE__, "unexpected event mask %#x \"%s\"", e.mask, e.name);
}

static void start(void)
{
    scratch();
    in_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(in_fd >= 0);
}

TEST(init)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK((fd = inotify_init()) >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_ERRNO(inotify_init1(1), EINVAL);
    CHECK_ERRNO(write(fd, "x", 1), EBADF);
}

TEST(add_and_remove_errors)
{
    int p[2];

    start();
    CHECK_ERRNO(inotify_add_watch(in_fd, "none", IN_CREATE), ENOENT);
    CHECK_ERRNO(inotify_add_watch(in_fd, ".", 0), EINVAL);
    CHECK_ERRNO(inotify_add_watch(-1, ".", IN_CREATE), EBADF);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(inotify_add_watch(p[0], ".", IN_CREATE), EINVAL);
    put_file("f", "");
    CHECK_ERRNO(inotify_add_watch(in_fd, "f", IN_CREATE | IN_ONLYDIR), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_inotify_add_watch, in_fd, (void *)8, IN_CREATE), EFAULT);
    CHECK_ERRNO(inotify_rm_watch(in_fd, 77), EINVAL);
    CHECK_ERRNO(inotify_rm_watch(-1, 1), EBADF);
    CHECK_ERRNO(inotify_rm_watch(p[0], 1), EINVAL);
    CHECK_EQ(chmod("f", 0), 0);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(inotify_add_watch(in_fd, "f", IN_MODIFY), EACCES);
    });
    wait_ok(pid);
}

TEST(events_in_a_directory)
{
    int wd, fd;
    char c;

    start();
    wd = watch(".", IN_ALL_EVENTS);
    fd = open("f", O_CREAT | O_RDWR, 0644);
    expect(wd, IN_CREATE, "f");
    expect(wd, IN_OPEN, "f");
    CHECK_EQ(write(fd, "x", 1), 1);
    expect(wd, IN_MODIFY, "f");
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    expect(wd, IN_ACCESS, "f");
    CHECK_EQ(fchmod(fd, 0600), 0);
    expect(wd, IN_ATTRIB, "f");
    CHECK_EQ(ftruncate(fd, 0), 0);
    expect(wd, IN_MODIFY, "f");
    close(fd);
    expect(wd, IN_CLOSE_WRITE, "f");
    fd = open("f", O_RDONLY);
    expect(wd, IN_OPEN, "f");
    /* Reading at the end is no access. */
    CHECK_EQ(read(fd, &c, 1), 0);
    close(fd);
    expect(wd, IN_CLOSE_NOWRITE, "f");
    CHECK_EQ(link("f", "g"), 0);
    /* The change of the link count is told to watches of the file only. */
    expect(wd, IN_CREATE, "g");
    CHECK_EQ(unlink("g"), 0);
    expect(wd, IN_DELETE, "g");
    CHECK_EQ(mkdir("d", 0755), 0);
    expect(wd, IN_CREATE | IN_ISDIR, "d");
    CHECK_EQ(rmdir("d"), 0);
    expect(wd, IN_DELETE | IN_ISDIR, "d");
    CHECK_EQ(symlink("f", "l"), 0);
    expect(wd, IN_CREATE, "l");
    CHECK_EQ(mkfifo("p", 0600), 0);
    expect(wd, IN_CREATE, "p");
    CHECK_EQ(utimensat(AT_FDCWD, "f", NULL, 0), 0);
    expect(wd, IN_ATTRIB, "f");
    CHECK_EQ(chown("f", 1, 1), 0);
    expect(wd, IN_ATTRIB, "f");
    expect_none();
}

TEST(moves)
{
    int a, b;
    uint32_t from, to;

    start();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("b", 0755), 0);
    put_file("a/f", "");
    a = watch("a", IN_MOVE | IN_MOVE_SELF);
    b = watch("b", IN_MOVE | IN_DELETE);
    CHECK_EQ(rename("a/f", "b/g"), 0);
    from = expect(a, IN_MOVED_FROM, "f");
    to = expect(b, IN_MOVED_TO, "g");
    CHECK(from != 0 && from == to);
    CHECK_EQ(rename("b/g", "b/h"), 0);
    uint32_t again = expect(b, IN_MOVED_FROM, "g");
    CHECK_EQ(expect(b, IN_MOVED_TO, "h"), again);
    CHECK(again != from);
    CHECK_EQ(rename("a", "c"), 0);
    expect(a, IN_MOVE_SELF, "");
    /* The watch stays with the directory. */
    CHECK_EQ(rename("b/h", "c/i"), 0);
    expect(b, IN_MOVED_FROM, "h");
    expect(a, IN_MOVED_TO, "i");
    CHECK_EQ(rename("c/i", "out"), 0);
    expect(a, IN_MOVED_FROM, "i");
    CHECK_EQ(mkdir("c/sub", 0755), 0);
    CHECK_EQ(rename("c/sub", "b/sub"), 0);
    expect(a, IN_MOVED_FROM | IN_ISDIR, "sub");
    expect(b, IN_MOVED_TO | IN_ISDIR, "sub");
    expect_none();
}

TEST(events_of_a_file)
{
    int wd, fd;

    start();
    put_file("f", "");
    wd = watch("f", IN_ALL_EVENTS);
    fd = open("f", O_RDWR);
    expect(wd, IN_OPEN, "");
    CHECK_EQ(write(fd, "x", 1), 1);
    expect(wd, IN_MODIFY, "");
    CHECK_EQ(rename("f", "g"), 0);
    expect(wd, IN_MOVE_SELF, "");
    CHECK_EQ(unlink("g"), 0);
    expect(wd, IN_ATTRIB, "");
    expect_none();
    /* It is deleted when the last user closes it. */
    close(fd);
    expect(wd, IN_CLOSE_WRITE, "");
    expect(wd, IN_DELETE_SELF, "");
    expect(wd, IN_IGNORED, "");
    CHECK_ERRNO(inotify_rm_watch(in_fd, wd), EINVAL);
}

TEST(directory_deletes_itself)
{
    int wd;

    start();
    CHECK_EQ(mkdir("d", 0755), 0);
    wd = watch("d", IN_DELETE_SELF | IN_CREATE);
    CHECK_EQ(rmdir("d"), 0);
    expect(wd, IN_DELETE_SELF, "");
    expect(wd, IN_IGNORED, "");
    expect_none();
}

TEST(removal_says_ignored)
{
    int wd, other;

    start();
    wd = watch(".", IN_CREATE);
    CHECK_EQ(inotify_rm_watch(in_fd, wd), 0);
    expect(wd, IN_IGNORED, "");
    put_file("f", "");
    expect_none();
    /* Numbers are not used again. */
    other = watch(".", IN_CREATE);
    CHECK(other > wd);
}

TEST(only_what_was_asked_for)
{
    static const uint32_t masks[] = {IN_CREATE, IN_DELETE,      IN_MODIFY,
                                     IN_OPEN,   IN_CLOSE_WRITE, IN_ATTRIB};

    for (size_t i = 0; i < GT_COUNT(masks); i++) {
        int wd;

        start();
        wd = watch(".", masks[i]);
        put_file("f", "x");
        CHECK_EQ(chmod("f", 0600), 0);
        CHECK_EQ(unlink("f"), 0);
        expect(wd, masks[i], "f");
        expect_none();
        close(in_fd);
    }
}

TEST(same_watch_again_replaces_or_adds)
{
    int wd;

    start();
    wd = watch(".", IN_CREATE);
    CHECK_EQ(watch(".", IN_DELETE), wd);
    put_file("f", "");
    expect_none();
    CHECK_EQ(unlink("f"), 0);
    expect(wd, IN_DELETE, "f");
    CHECK_EQ(watch(".", IN_CREATE | IN_MASK_ADD), wd);
    put_file("f", "");
    expect(wd, IN_CREATE, "f");
    CHECK_EQ(unlink("f"), 0);
    expect(wd, IN_DELETE, "f");
    CHECK_ERRNO(inotify_add_watch(in_fd, ".", IN_CREATE | IN_MASK_CREATE), EEXIST);
    CHECK_ERRNO(inotify_add_watch(in_fd, ".", IN_CREATE | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
    /* Two names of one inode are one watch. */
    put_file("x", "");
    CHECK_EQ(link("x", "y"), 0);
    wd = watch("x", IN_OPEN);
    CHECK_EQ(watch("y", IN_OPEN), wd);
}

TEST(one_shot)
{
    int wd;

    start();
    wd = watch(".", IN_CREATE | IN_ONESHOT);
    put_file("f", "");
    put_file("g", "");
    expect(wd, IN_CREATE, "f");
    expect(wd, IN_IGNORED, "");
    expect_none();
}

TEST(dont_follow)
{
    int link_wd, file_wd;

    start();
    put_file("f", "");
    CHECK_EQ(symlink("f", "l"), 0);
    link_wd = watch("l", IN_ALL_EVENTS | IN_DONT_FOLLOW);
    file_wd = watch("l", IN_ALL_EVENTS);
    CHECK(link_wd != file_wd);
    close(open("l", O_RDONLY));
    expect(file_wd, IN_OPEN, "");
    expect(file_wd, IN_CLOSE_NOWRITE, "");
    expect_none();
}

TEST(excl_unlink)
{
    int wd, fd;

    start();
    wd = watch(".", IN_MODIFY | IN_EXCL_UNLINK);
    fd = open("f", O_CREAT | O_RDWR, 0600);
    CHECK_EQ(write(fd, "x", 1), 1);
    expect(wd, IN_MODIFY, "f");
    CHECK_EQ(unlink("f"), 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    expect_none();
    close(fd);
    CHECK_EQ(watch(".", IN_MODIFY), wd);
    fd = open("f", O_CREAT | O_RDWR, 0600);
    CHECK_EQ(unlink("f"), 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    expect(wd, IN_MODIFY, "f");
}

TEST(equal_events_merge)
{
    int wd, fd;

    start();
    fd = open("f", O_CREAT | O_RDWR, 0600);
    wd = watch(".", IN_MODIFY);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(write(fd, "x", 1), 1);
    expect(wd, IN_MODIFY, "f");
    expect_none();
}

TEST(reading_rules)
{
    char small[8], exact[32];
    int n = -1, wd;

    start();
    wd = watch(".", IN_CREATE);
    CHECK_ERRNO(read(in_fd, exact, sizeof(exact)), EAGAIN);
    CHECK(!fd_ready(in_fd, POLLIN));
    put_file("f", "");
    put_file("g", "");
    CHECK(fd_ready(in_fd, POLLIN));
    CHECK_EQ(ioctl(in_fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 64);
    CHECK_ERRNO(read(in_fd, small, sizeof(small)), EINVAL);
    /* Only whole events come out. */
    CHECK_EQ(read(in_fd, exact, sizeof(exact)), 32);
    struct inotify_event *e = (void *)exact;
    CHECK_EQ(e->wd, wd);
    CHECK_EQ(e->len, 16);
    CHECK_EQ(ioctl(in_fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 32);
}

TEST(long_names)
{
    char name[256];
    int wd;

    start();
    wd = watch(".", IN_CREATE);
    memset(name, 'l', 255);
    name[255] = '\0';
    put_file(name, "");
    expect(wd, IN_CREATE, name);
}

TEST(blocked_reader_wakes)
{
    struct event e;

    start();
    CHECK_EQ(fcntl(in_fd, F_SETFL, 0), 0);
    (void)watch(".", IN_CREATE);
    pid_t pid = FORK({
        CHECK(next(&e));
        CHECK_STR(e.name, "f");
    });
    gt_wait_state(pid, "S");
    put_file("f", "");
    wait_ok(pid);
}

TEST(events_of_other_processes)
{
    int wd;

    start();
    wd = watch(".", IN_CREATE | IN_DELETE);
    pid_t pid = FORK({
        put_file("f", "");
        CHECK_EQ(unlink("f"), 0);
    });
    wait_ok(pid);
    expect(wd, IN_CREATE, "f");
    expect(wd, IN_DELETE, "f");
}

TEST(two_instances_and_two_watches)
{
    int parent, file, other;

    start();
    put_file("f", "");
    parent = watch(".", IN_OPEN);
    file = watch("f", IN_OPEN);
    other = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(other, "f", IN_OPEN) > 0);
    close(open("f", O_RDONLY));
    expect(parent, IN_OPEN, "f");
    expect(file, IN_OPEN, "");
    expect_none();
    CHECK(fd_ready(other, POLLIN));
}

TEST_TIMEOUT(overflow, 60)
{
    char text[32];
    long limit;
    bool overflowed = false;
    struct event e;

    start();
    CHECK(get_file("/proc/sys/fs/inotify/max_queued_events", text, sizeof(text)) > 0);
    limit = atol(text);
    if (limit > 50000)
        SKIP("the queue holds %ld events", limit);
    put_file("a", "");
    put_file("b", "");
    (void)watch("a", IN_ATTRIB);
    (void)watch("b", IN_ATTRIB);
    for (long i = 0; i <= limit; i++) {
        const char *name = i & 1 ? "a" : "b";

        CHECK_EQ(chmod(name, 0600), 0);
    }
    long count = 0;
    while (next(&e)) {
        overflowed |= e.mask == IN_Q_OVERFLOW;
        if (e.mask == IN_Q_OVERFLOW)
            CHECK_EQ(e.wd, -1);
        count++;
    }
    CHECK(overflowed);
    CHECK_EQ(count, limit + 1);
    CHECK_EQ(chmod("a", 0644), 0);
    CHECK(next(&e));
}

TEST(fdinfo_lists_watches)
{
    char path[64], text[4096], want[64];
    int wd;

    start();
    wd = watch(".", IN_CREATE);
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", in_fd);
    CHECK(get_file(path, text, sizeof(text)) > 0);
    (void)snprintf(want, sizeof(want), "inotify wd:%x ino:", wd);
    CHECK(strstr(text, want) != NULL);
}
