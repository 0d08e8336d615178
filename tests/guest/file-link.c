/*
 * link, symlink, readlink, unlink, rename and renameat2: what they change, flags and errors, and
 * how path walking treats symbolic links.
 */
#include "scratch.h"

#include <sys/syscall.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE  2
#define RENAME_WHITEOUT  4
#endif

static ino_t ino_of(const char *path)
{
    struct stat st;

    CHECK_EQ(lstat(path, &st), 0);
    return st.st_ino;
}

static nlink_t links_of(const char *path)
{
    struct stat st;

    CHECK_EQ(lstat(path, &st), 0);
    return st.st_nlink;
}

static int rename2(const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

TEST(link_shares_the_inode)
{
    scratch();
    put_file("a", "one");
    CHECK_EQ(link("a", "b"), 0);
    CHECK_EQ(ino_of("a"), ino_of("b"));
    CHECK_EQ(links_of("a"), 2);
    put_file("b", "two");
    CHECK(file_is("a", "two"));
    CHECK_EQ(unlink("a"), 0);
    CHECK_EQ(links_of("b"), 1);
    CHECK(file_is("b", "two"));
}

TEST(link_errors)
{
    scratch();
    put_file("f", "");
    put_file("g", "");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERRNO(link("f", "g"), EEXIST);
    CHECK_ERRNO(link("f", "d"), EEXIST);
    CHECK_ERRNO(link("d", "e"), EPERM);
    CHECK_ERRNO(link("none", "e"), ENOENT);
    CHECK_ERRNO(link("f", "none/e"), ENOENT);
    CHECK_ERRNO(link("f", ""), ENOENT);
    CHECK_ERRNO(link("", "e"), ENOENT);
    CHECK_ERRNO(link("f/x", "e"), ENOTDIR);
    CHECK_ERRNO(link("f", "g/x"), ENOTDIR);
    CHECK_ERRNO(link("f", "e/"), ENOENT);
    CHECK_ERRNO(link("/proc/version", "e"), EXDEV);
    CHECK_ERRNO(linkat(AT_FDCWD, "f", AT_FDCWD, "e", 0x1000000), EINVAL);
    CHECK_ERRNO(linkat(-1, "f", AT_FDCWD, "e", 0), EBADF);
}

TEST(linkat_follow)
{
    struct stat st;
    int fd;

    scratch();
    put_file("f", "x");
    CHECK_EQ(symlink("f", "s"), 0);
    CHECK_EQ(link("s", "hard-s"), 0);
    CHECK_EQ(lstat("hard-s", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(linkat(AT_FDCWD, "s", AT_FDCWD, "hard-f", AT_SYMLINK_FOLLOW), 0);
    CHECK_EQ(ino_of("hard-f"), ino_of("f"));
    fd = open("f", O_RDONLY);
    CHECK_EQ(linkat(fd, "", AT_FDCWD, "by-fd", AT_EMPTY_PATH), 0);
    CHECK_EQ(ino_of("by-fd"), ino_of("f"));
}

TEST(symlink_and_readlink)
{
    char buf[PATH_MAX + 8];
    static char target[4100];
    struct stat st;
    int fd;

    scratch();
    CHECK_EQ(symlink("some/where", "l"), 0);
    memset(buf, 'Z', sizeof(buf));
    CHECK_EQ(readlink("l", buf, sizeof(buf)), 10);
    CHECK(memcmp(buf, "some/whereZ", 11) == 0);
    CHECK_EQ(readlink("l", buf, 4), 4);
    CHECK_ERRNO(syscall(SYS_readlink, "l", buf, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_readlink, "l", buf, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_readlink, "l", (void *)8, 4), EFAULT);
    put_file("f", "");
    CHECK_ERRNO(readlink("f", buf, 4), EINVAL);
    CHECK_ERRNO(readlink(".", buf, 4), EINVAL);
    CHECK_ERRNO(readlink("none", buf, 4), ENOENT);
    CHECK_ERRNO(readlink("f/x", buf, 4), ENOTDIR);
    CHECK_ERRNO(symlink("", "e"), ENOENT);
    CHECK_ERRNO(symlink("x", ""), ENOENT);
    CHECK_ERRNO(symlink("x", "l"), EEXIST);
    CHECK_ERRNO(symlink("x", "f/l"), ENOTDIR);
    CHECK_ERRNO(symlink("x", "none/l"), ENOENT);
    memset(target, 't', 4096);
    CHECK_ERRNO(symlink(target, "long"), ENAMETOOLONG);
    target[4095] = '\0';
    if (symlink(target, "long") == 0) {
        CHECK_EQ(readlink("long", buf, sizeof(buf)), 4095);
        CHECK_EQ(lstat("long", &st), 0);
        CHECK_EQ(st.st_size, 4095);
        CHECK_ERRNO(open("long", O_RDONLY), ENAMETOOLONG);
    } else {
        CHECK_EQ(errno, ENAMETOOLONG);
    }
    fd = open("l", O_PATH | O_NOFOLLOW);
    CHECK_EQ(readlinkat(fd, "", buf, sizeof(buf)), 10);
    CHECK_ERRNO(readlinkat(AT_FDCWD, "", buf, sizeof(buf)), ENOENT);
}

TEST(walking_through_links)
{
    char path[PATH_MAX];
    const char *top = scratch();

    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("a/b", 0755), 0);
    put_file("a/b/f", "x");
    CHECK_EQ(symlink("a/b", "rel"), 0);
    (void)snprintf(path, sizeof(path), "%s/a", top);
    CHECK_EQ(symlink(path, "abs"), 0);
    CHECK_EQ(symlink("../b/../b/f", "a/b/up"), 0);
    CHECK_EQ(access("rel/f", F_OK), 0);
    CHECK_EQ(access("abs/b/f", F_OK), 0);
    CHECK_EQ(access("rel/../b/f", F_OK), 0);
    CHECK_EQ(access("rel/up", F_OK), 0);
    CHECK_EQ(symlink("f", "slash"), 0);
    put_file("f", "");
    CHECK_ERRNO(access("slash/", F_OK), ENOTDIR);
}

TEST(forty_links_are_the_limit)
{
    scratch();
    put_file("l0", "x");
    for (int i = 1; i <= 41; i++) {
        char to[16], from[16];

        (void)snprintf(to, sizeof(to), "l%d", i - 1);
        (void)snprintf(from, sizeof(from), "l%d", i);
        CHECK_EQ(symlink(to, from), 0);
    }
    CHECK_EQ(access("l40", F_OK), 0);
    CHECK_ERRNO(access("l41", F_OK), ELOOP);
    CHECK_EQ(symlink("self", "self"), 0);
    CHECK_ERRNO(access("self", F_OK), ELOOP);
    CHECK_ERRNO(access("self/x", F_OK), ELOOP);
    CHECK_ERRNO(mkdir("self/x", 0755), ELOOP);
    CHECK_ERRNO(chdir("self"), ELOOP);
    CHECK_EQ(unlink("self"), 0);
}

TEST(unlink_errors)
{
    scratch();
    put_file("f", "");
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_EQ(unlink("l"), 0);
    CHECK_EQ(access("f", F_OK), 0);
    CHECK_ERRNO(unlink("l"), ENOENT);
    CHECK_ERRNO(unlink("f/"), ENOTDIR);
    CHECK_ERRNO(unlink("f/x"), ENOTDIR);
    CHECK_ERRNO(unlink(""), ENOENT);
    CHECK_ERRNO(unlink("."), EISDIR);
    CHECK_ERRNO(unlinkat(-1, "f", 0), EBADF);
    CHECK_ERRNO(syscall(SYS_unlink, (void *)8), EFAULT);
    CHECK_EQ(unlink("f"), 0);
}

TEST(rename_replaces)
{
    ino_t ino;
    int fd;
    char buf[8];

    scratch();
    put_file("a", "new");
    put_file("b", "old");
    ino = ino_of("a");
    fd = open("b", O_RDONLY);
    CHECK_EQ(rename("a", "b"), 0);
    CHECK_ERRNO(access("a", F_OK), ENOENT);
    CHECK_EQ(ino_of("b"), ino);
    CHECK(file_is("b", "new"));
    CHECK_EQ(read(fd, buf, 8), 3);
    CHECK(memcmp(buf, "old", 3) == 0);
    /* Two names of one inode: rename does nothing at all. */
    CHECK_EQ(link("b", "c"), 0);
    CHECK_EQ(rename("b", "c"), 0);
    CHECK_EQ(access("b", F_OK), 0);
    CHECK_EQ(links_of("c"), 2);
    CHECK_EQ(rename("c", "c"), 0);
    /* A link is renamed itself. */
    CHECK_EQ(symlink("b", "s"), 0);
    CHECK_EQ(rename("s", "t"), 0);
    CHECK_EQ(readlink("t", buf, 8), 1);
}

TEST(rename_directories)
{
    struct stat st;

    scratch();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("a/sub", 0755), 0);
    put_file("a/sub/f", "x");
    CHECK_EQ(mkdir("empty", 0755), 0);
    CHECK_EQ(mkdir("full", 0755), 0);
    put_file("full/x", "");
    put_file("file", "");
    CHECK_ERRNO(rename("a", "full"), ENOTEMPTY);
    CHECK_ERRNO(rename("a", "file"), ENOTDIR);
    CHECK_ERRNO(rename("file", "empty"), EISDIR);
    CHECK_ERRNO(rename("a", "a/sub/in"), EINVAL);
    CHECK_ERRNO(rename("a/sub", "a"), ENOTEMPTY);
    CHECK_ERRNO(rename(".", "x"), EBUSY);
    CHECK_ERRNO(rename("a/..", "x"), EBUSY);
    CHECK_ERRNO(rename("none", "x"), ENOENT);
    CHECK_ERRNO(rename("file", "none/x"), ENOENT);
    CHECK_ERRNO(rename("file", ""), ENOENT);
    CHECK_ERRNO(rename("file/", "x"), ENOTDIR);
    CHECK_ERRNO(rename("file", "x/"), ENOTDIR);
    CHECK_ERRNO(rename("file/y", "x"), ENOTDIR);
    CHECK_ERRNO(rename("file", "/proc/x"), EXDEV);
    CHECK_EQ(rename("a", "empty"), 0);
    CHECK(file_is("empty/sub/f", "x"));
    CHECK_EQ(rename("empty/", "b/"), 0);
    /* Moving to another parent changes .. and the parents' link counts. */
    CHECK_EQ(rename("b/sub", "full/sub"), 0);
    CHECK_EQ(stat("b", &st), 0);
    CHECK_EQ(st.st_nlink, 2);
    CHECK_EQ(stat("full", &st), 0);
    CHECK_EQ(st.st_nlink, 3);
    CHECK_EQ(ino_of("full/sub/.."), ino_of("full"));
}

TEST(renameat2_noreplace)
{
    scratch();
    put_file("a", "a");
    put_file("b", "b");
    CHECK_ERRNO(rename2("a", "b", RENAME_NOREPLACE), EEXIST);
    CHECK_EQ(rename2("a", "c", RENAME_NOREPLACE), 0);
    CHECK(file_is("c", "a"));
    CHECK_EQ(symlink("none", "l"), 0);
    CHECK_ERRNO(rename2("b", "l", RENAME_NOREPLACE), EEXIST);
    CHECK_ERRNO(rename2("none", "x", RENAME_NOREPLACE), ENOENT);
    CHECK_EQ(rename2("b", "c", 0), 0);
    CHECK(file_is("c", "b"));
}

TEST(renameat2_exchange)
{
    ino_t a, d;

    scratch();
    put_file("f", "file");
    CHECK_EQ(mkdir("d", 0755), 0);
    put_file("d/in", "");
    a = ino_of("f");
    d = ino_of("d");
    CHECK_EQ(rename2("f", "d", RENAME_EXCHANGE), 0);
    CHECK_EQ(ino_of("d"), a);
    CHECK_EQ(ino_of("f"), d);
    CHECK_EQ(access("f/in", F_OK), 0);
    CHECK(file_is("d", "file"));
    CHECK_ERRNO(rename2("f", "none", RENAME_EXCHANGE), ENOENT);
    CHECK_ERRNO(rename2("none", "f", RENAME_EXCHANGE), ENOENT);
    CHECK_EQ(mkdir("f/sub", 0755), 0);
    CHECK_ERRNO(rename2("f", "f/sub", RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(rename2("f/sub", "f", RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(rename2("f", "d", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    CHECK_ERRNO(rename2("f", "d", 0x100), EINVAL);
}

TEST(renameat_descriptors)
{
    int a, b;

    scratch();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("b", 0755), 0);
    put_file("a/f", "x");
    a = open("a", O_RDONLY);
    b = open("b", O_PATH);
    CHECK_EQ(renameat(a, "f", b, "g"), 0);
    CHECK(file_is("b/g", "x"));
    CHECK_ERRNO(renameat(-1, "f", b, "g"), EBADF);
    CHECK_ERRNO(renameat(b, "g", -1, "f"), EBADF);
    CHECK_EQ(symlinkat("g", b, "l"), 0);
    CHECK(file_is("b/l", "x"));
    CHECK_EQ(linkat(b, "g", a, "h", 0), 0);
    CHECK_EQ(unlinkat(b, "g", 0), 0);
    CHECK(file_is("a/h", "x"));
}

TEST(rename_is_atomic_for_readers)
{
    pid_t pid;
    int status;

    scratch();
    put_file("target", "0");
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 2000; i++) {
            put_file("next", i & 1 ? "1" : "0");
            CHECK_EQ(rename("next", "target"), 0);
        }
        _exit(0);
    }
    for (;;) {
        char buf[8];
        int fd = open("target", O_RDONLY);

        CHECK(fd >= 0);
        CHECK_EQ(read(fd, buf, sizeof(buf)), 1);
        CHECK(buf[0] == '0' || buf[0] == '1');
        close(fd);
        pid_t got = waitpid(pid, &status, WNOHANG);
        CHECK(got >= 0);
        if (got == pid)
            break;
    }
    CHECK_EQ(status, 0);
}

TEST(concurrent_create_has_one_winner)
{
    enum { PROCS = 4, ROUNDS = 100 };
    int p[2], wins[ROUNDS] = {0}, total = 0;
    unsigned char won;

    scratch();
    CHECK_EQ(pipe(p), 0);
    for (int i = 0; i < PROCS; i++) {
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0) {
            for (int r = 0; r < ROUNDS; r++) {
                char name[16];
                int fd;

                (void)snprintf(name, sizeof(name), "r%d", r);
                fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
                if (fd >= 0) {
                    won = (unsigned char)r;
                    CHECK_EQ(write(p[1], &won, 1), 1);
                    close(fd);
                } else {
                    CHECK_EQ(errno, EEXIST);
                }
            }
            _exit(0);
        }
    }
    close(p[1]);
    while (read(p[0], &won, 1) == 1) {
        wins[won]++;
        total++;
    }
    CHECK_EQ(total, ROUNDS);
    for (int r = 0; r < ROUNDS; r++)
        CHECK_EQ(wins[r], 1);
    for (int i = 0; i < PROCS; i++) {
        int status;

        CHECK(waitpid(-1, &status, 0) > 0);
        CHECK_EQ(status, 0);
    }
}
