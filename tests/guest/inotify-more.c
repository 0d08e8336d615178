/*
 * inotify, continued: what each way of changing a file reports, moves of watched trees, many
 * watches, several processes, and limits.
 */
#include "scratch.h"

#include <pthread.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static int in_fd;

/* All events that wait, as one mask. */
static uint32_t drain(void)
{
    static char buf[65536] __attribute__((aligned(8)));
    uint32_t mask = 0;
    ssize_t n;

    while ((n = read(in_fd, buf, sizeof(buf))) > 0) {
        for (ssize_t at = 0; at < n;) {
            struct inotify_event *e = (void *)(buf + at);

            mask |= e->mask;
            at += (ssize_t)(sizeof(*e) + e->len);
        }
    }
    CHECK_EQ(errno, EAGAIN);
    return mask;
}

static int start(void)
{
    int fd;

    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    fd = open("f", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK(inotify_add_watch(in_fd, "f", IN_MODIFY | IN_ACCESS | IN_ATTRIB) > 0);
    return fd;
}

TEST(every_way_to_modify)
{
    struct iovec iov = {"v", 1};
    int fd = start(), p[2], other;
    off_t at = 0;

    CHECK_EQ(write(fd, "a", 1), 1);
    CHECK_EQ(drain(), IN_MODIFY);
    CHECK_EQ(pwrite(fd, "a", 1, 0), 1);
    CHECK_EQ(drain(), IN_MODIFY);
    CHECK_EQ(writev(fd, &iov, 1), 1);
    CHECK_EQ(drain(), IN_MODIFY);
    CHECK_EQ(pwritev(fd, &iov, 1, 0), 1);
    CHECK_EQ(drain(), IN_MODIFY);
    CHECK_EQ(ftruncate(fd, 100), 0);
    CHECK_EQ(drain(), IN_MODIFY);
    CHECK_EQ(truncate("f", 50), 0);
    CHECK_EQ(drain(), IN_MODIFY);
    close(open("f", O_WRONLY | O_TRUNC));
    CHECK_EQ(drain(), IN_MODIFY);
    if (fallocate(fd, 0, 0, 4096) == 0)
        CHECK_EQ(drain(), IN_MODIFY);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "spliced", 7), 7);
    CHECK_EQ(splice(p[0], NULL, fd, &at, 7, 0), 7);
    CHECK_EQ(drain() & IN_MODIFY, IN_MODIFY);
    other = open("g", O_CREAT | O_RDWR, 0600);
    CHECK_EQ(write(other, "source", 6), 6);
    at = 0;
    CHECK_EQ(copy_file_range(other, &at, fd, NULL, 6, 0), 6);
    CHECK_EQ(drain() & IN_MODIFY, IN_MODIFY);
    at = 0;
    CHECK_EQ(sendfile(fd, other, &at, 6), 6);
    CHECK_EQ(drain() & IN_MODIFY, IN_MODIFY);
}

TEST(every_way_to_read)
{
    char buf[16];
    struct iovec iov = {buf, 4};
    int fd = start(), p[2], out;
    off_t at = 0;

    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK_EQ(drain(), IN_ACCESS);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(read(fd, buf, 4), 4);
    CHECK_EQ(drain(), IN_ACCESS);
    CHECK_EQ(readv(fd, &iov, 1), 4);
    CHECK_EQ(drain(), IN_ACCESS);
    CHECK_EQ(preadv(fd, &iov, 1, 0), 4);
    CHECK_EQ(drain(), IN_ACCESS);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(splice(fd, &at, p[1], NULL, 4, 0), 4);
    CHECK_EQ(drain() & IN_ACCESS, IN_ACCESS);
    out = open("g", O_CREAT | O_RDWR, 0600);
    at = 0;
    CHECK_EQ(sendfile(out, fd, &at, 4), 4);
    CHECK_EQ(drain() & IN_ACCESS, IN_ACCESS);
    /* A mapping is silent. */
    volatile char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(m != MAP_FAILED);
    m[0] = m[1];
    CHECK_EQ(drain(), 0);
    CHECK_EQ(read(fd, buf, 0), 0);
    CHECK_EQ(drain(), 0);
}

TEST(every_way_to_change_attributes)
{
    int fd = start();

    CHECK_EQ(chmod("f", 0600), 0);
    CHECK_EQ(drain(), IN_ATTRIB);
    CHECK_EQ(fchmod(fd, 0644), 0);
    CHECK_EQ(drain(), IN_ATTRIB);
    CHECK_EQ(chown("f", 1, 1), 0);
    CHECK_EQ(drain(), IN_ATTRIB);
    CHECK_EQ(fchown(fd, 0, 0), 0);
    CHECK_EQ(drain(), IN_ATTRIB);
    CHECK_EQ(utimensat(AT_FDCWD, "f", NULL, 0), 0);
    CHECK_EQ(drain(), IN_ATTRIB);
    CHECK_EQ(link("f", "hard"), 0);
    CHECK_EQ(drain(), IN_ATTRIB);
    CHECK_EQ(unlink("hard"), 0);
    CHECK_EQ(drain(), IN_ATTRIB);
    if (setxattr("f", "user.x", "1", 1, 0) == 0) {
        CHECK_EQ(drain(), IN_ATTRIB);
        CHECK_EQ(removexattr("f", "user.x"), 0);
        CHECK_EQ(drain(), IN_ATTRIB);
    }
    /* Only the access time: no modification, and still a change of attributes or an access. */
    struct timespec t[2] = {{.tv_sec = 1}, {.tv_nsec = UTIME_OMIT}};
    CHECK_EQ(utimensat(AT_FDCWD, "f", t, 0), 0);
    CHECK((drain() & (IN_ATTRIB | IN_ACCESS)) != 0);
    CHECK_ERRNO(chmod("none", 0600), ENOENT);
    CHECK_EQ(drain(), 0);
}

TEST(open_without_reading)
{
    char c;

    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    put_file("f", "x");
    CHECK(inotify_add_watch(in_fd, "f", IN_ALL_EVENTS) > 0);
    close(open("f", O_PATH));
    CHECK_EQ(drain(), 0);
    close(open("f", O_RDONLY));
    CHECK_EQ(drain(), IN_OPEN | IN_CLOSE_NOWRITE);
    close(open("f", O_RDWR));
    CHECK_EQ(drain(), IN_OPEN | IN_CLOSE_WRITE);
    CHECK_EQ(access("f", R_OK), 0);
    struct stat st;
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(drain(), 0);
    /* A dup closes with the last one. */
    int fd = open("f", O_RDONLY), two = dup(fd);
    CHECK_EQ(drain(), IN_OPEN);
    close(fd);
    CHECK_EQ(drain(), 0);
    CHECK_EQ(read(two, &c, 1), 1);
    close(two);
    CHECK_EQ(drain(), IN_ACCESS | IN_CLOSE_NOWRITE);
    pid_t pid = FORK({ CHECK(open("f", O_RDONLY) >= 0); });
    wait_ok(pid);
    CHECK_EQ(drain(), IN_OPEN | IN_CLOSE_NOWRITE);
}

TEST(directory_opens_and_lists)
{
    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK(inotify_add_watch(in_fd, "d", IN_ALL_EVENTS) > 0);
    close(open("d", O_RDONLY | O_DIRECTORY));
    CHECK_EQ(drain(), IN_OPEN | IN_CLOSE_NOWRITE | IN_ISDIR);
    char buf[1024];
    int fd = open("d", O_RDONLY);
    CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
    CHECK_EQ(drain() & IN_ACCESS, IN_ACCESS);
    close(fd);
    (void)drain();
    CHECK_EQ(chdir("d"), 0);
    CHECK_EQ(drain(), 0);
    CHECK_EQ(chmod(".", 0700), 0);
    CHECK_EQ(drain(), IN_ATTRIB | IN_ISDIR);
}

TEST(exec_is_an_open_and_reads)
{
    scratch();
    if (noexec_here())
        SKIP("mounted noexec");
    in_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    put_file("s", "#!/bin/true\n");
    CHECK_EQ(chmod("s", 0755), 0);
    CHECK(inotify_add_watch(in_fd, "s", IN_OPEN | IN_ACCESS | IN_CLOSE) > 0);
    pid_t pid = FORK({ execl("./s", "s", NULL); });
    wait_ok(pid);
    CHECK_EQ(drain() & (IN_OPEN | IN_CLOSE_NOWRITE), IN_OPEN | IN_CLOSE_NOWRITE);
}

TEST(moved_tree_keeps_its_watches)
{
    int deep;

    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("a/b", 0755), 0);
    CHECK_EQ(mkdir("c", 0755), 0);
    deep = inotify_add_watch(in_fd, "a/b", IN_CREATE | IN_MOVE_SELF);
    CHECK(deep > 0);
    CHECK_EQ(rename("a", "c/a"), 0);
    /* Its parent moved, not itself. */
    CHECK_EQ(drain(), 0);
    put_file("c/a/b/f", "");
    CHECK_EQ(drain(), IN_CREATE);
    CHECK_EQ(rename("c/a/b", "b"), 0);
    CHECK_EQ(drain(), IN_MOVE_SELF);
    CHECK_EQ(inotify_add_watch(in_fd, "b", IN_CREATE), deep);
}

TEST(overwriting_rename)
{
    int target;

    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    put_file("a", "");
    put_file("b", "");
    target = inotify_add_watch(in_fd, "b", IN_ALL_EVENTS);
    CHECK(target > 0);
    CHECK_EQ(rename("a", "b"), 0);
    /* The file that lost its name: a change of its link count, and its end. */
    CHECK_EQ(drain(), IN_ATTRIB | IN_DELETE_SELF | IN_IGNORED);
}

TEST(exchange_moves_both)
{
    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    put_file("a", "");
    put_file("b", "");
    CHECK(inotify_add_watch(in_fd, ".", IN_MOVE) > 0);
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 2), 0);
    static char buf[4096] __attribute__((aligned(8)));
    ssize_t n = read(in_fd, buf, sizeof(buf));
    CHECK(n > 0);
    struct {
        uint32_t mask, cookie;
        char name[16];
    } seen[8];
    int count = 0;
    for (ssize_t at = 0; at < n;) {
        struct inotify_event *e = (void *)(buf + at);

        seen[count].mask = e->mask;
        seen[count].cookie = e->cookie;
        (void)snprintf(seen[count++].name, 16, "%s", e->name);
        at += (ssize_t)(sizeof(*e) + e->len);
    }
    CHECK_EQ(count, 4);
    CHECK(seen[0].mask == IN_MOVED_FROM && seen[1].mask == IN_MOVED_TO);
    CHECK(seen[2].mask == IN_MOVED_FROM && seen[3].mask == IN_MOVED_TO);
    CHECK_STR(seen[0].name, "a");
    CHECK_STR(seen[1].name, "b");
    CHECK_STR(seen[2].name, "b");
    CHECK_STR(seen[3].name, "a");
    CHECK_EQ(seen[0].cookie, seen[1].cookie);
    CHECK_EQ(seen[2].cookie, seen[3].cookie);
}

TEST(many_watches)
{
    enum { COUNT = 500 };
    static int wd[COUNT];
    char name[16];

    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "d%d", i);
        CHECK_EQ(mkdir(name, 0755), 0);
        wd[i] = inotify_add_watch(in_fd, name, IN_CREATE | IN_DELETE_SELF);
        CHECK(wd[i] > 0);
        CHECK(i == 0 || wd[i] > wd[i - 1]);
    }
    for (int i = 0; i < COUNT; i += 50) {
        static char buf[4096] __attribute__((aligned(8)));

        (void)snprintf(name, sizeof(name), "d%d/f", i);
        put_file(name, "");
        CHECK(read(in_fd, buf, sizeof(buf)) > 0);
        CHECK_EQ(((struct inotify_event *)(void *)buf)->wd, wd[i]);
    }
    for (int i = 0; i < COUNT; i += 2)
        CHECK_EQ(inotify_rm_watch(in_fd, wd[i]), 0);
    CHECK_EQ(drain(), IN_IGNORED);
}

static atomic_bool stop;

static void *changes(void *arg)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "t%ld", (long)arg);
    for (int i = 0; i < 500; i++) {
        put_file(name, "x");
        CHECK_EQ(unlink(name), 0);
    }
    return NULL;
}

static void *adds_and_removes(void *arg)
{
    (void)arg;
    while (!stop) {
        int wd = inotify_add_watch(in_fd, "sub", IN_CREATE);

        CHECK(wd > 0);
        CHECK_EQ(inotify_rm_watch(in_fd, wd), 0);
    }
    return NULL;
}

TEST(changes_and_watches_at_once)
{
    pthread_t t[4], w;
    static char buf[65536] __attribute__((aligned(8)));
    int created = 0, deleted = 0;
    bool overflow = false;
    ssize_t n;

    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    CHECK_EQ(mkdir("sub", 0755), 0);
    CHECK(inotify_add_watch(in_fd, ".", IN_CREATE | IN_DELETE) > 0);
    CHECK_EQ(pthread_create(&w, NULL, adds_and_removes, NULL), 0);
    for (long i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, changes, (void *)i), 0);
    /* The threads end by themselves; once they have, what is left in the queue is all there is. */
    for (int left = 4; left >= 0;) {
        while ((n = read(in_fd, buf, sizeof(buf))) > 0) {
            for (ssize_t at = 0; at < n;) {
                struct inotify_event *e = (void *)(buf + at);

                created += (e->mask & IN_CREATE) != 0;
                deleted += (e->mask & IN_DELETE) != 0;
                overflow |= (e->mask & IN_Q_OVERFLOW) != 0;
                at += (ssize_t)(sizeof(*e) + e->len);
            }
        }
        if (left > 0) {
            if (pthread_tryjoin_np(t[left - 1], NULL) == 0)
                left--;
        } else {
            left = -1;
            stop = true;
            CHECK_EQ(pthread_join(w, NULL), 0);
        }
    }
    if (!overflow) {
        CHECK_EQ(created, 2000);
        CHECK_EQ(deleted, 2000);
    }
}

TEST(close_with_events_waiting)
{
    for (int i = 0; i < 20; i++) {
        scratch();
        in_fd = inotify_init1(IN_NONBLOCK);
        CHECK(inotify_add_watch(in_fd, ".", IN_ALL_EVENTS) > 0);
        put_file("f", "");
        CHECK_EQ(unlink("f"), 0);
        CHECK_EQ(close(in_fd), 0);
    }
    put_file("f", "");
}

TEST(instance_is_shared_by_fork)
{
    scratch();
    in_fd = inotify_init1(IN_NONBLOCK);
    pid_t pid = FORK({ CHECK_EQ(inotify_add_watch(in_fd, ".", IN_CREATE), 1); });
    wait_ok(pid);
    put_file("f", "");
    CHECK_EQ(drain(), IN_CREATE);
}
