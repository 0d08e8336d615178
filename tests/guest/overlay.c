/*
 * The root of a sandbox: a read-only tree below, changes above. What programs rely on must hold for
 * names that come from below: reading, changing, removing, replacing, listing.
 *
 * `prog -xprepare DIR` makes the tree below, one copy for each subtest; `prog -xverify DIR` checks
 * later that nobody has changed it. With GT_LOWER=DIR in the environment the tests use DIR as it is:
 * it must be a prepared tree that is seen through an overlay. Without it they mount an overlay in a
 * mount namespace of their own, which is how they run on Linux.
 */
#include "scratch.h"

#include <dirent.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

enum { MANY = 300, BIG = 3 << 20 };

static void make_file(const char *path, const char *text, mode_t mode)
{
    put_file(path, text);
    CHECK_EQ(chmod(path, mode), 0);
}

/* The tree that each subtest gets, made in the current directory. */
static void make_tree(void)
{
    static char big[BIG];
    struct timespec t[2] = {{.tv_sec = 1111111}, {.tv_sec = 2222222}};
    int fd;

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)('A' + (i / 1000) % 26);
    make_file("file", "lower file", 0644);
    make_file("private", "owner only", 0600);
    make_file("script", "#!/bin/sh\nexit 7\n", 0755);
    make_file("setid", "x", 06777);
    CHECK_EQ(mkdir("dir", 0755), 0);
    make_file("dir/a", "a", 0644);
    make_file("dir/b", "b", 0644);
    CHECK_EQ(mkdir("dir/sub", 0755), 0);
    make_file("dir/sub/deep", "deep", 0644);
    CHECK_EQ(mkdir("empty", 0755), 0);
    CHECK_EQ(mkdir("other", 0777), 0);
    CHECK_EQ(chmod("other", 0777), 0);
    make_file("other/theirs", "t", 0644);
    CHECK_EQ(chown("other/theirs", OTHER_UID, OTHER_GID), 0);
    CHECK_EQ(symlink("file", "link"), 0);
    CHECK_EQ(symlink("dir", "dirlink"), 0);
    CHECK_EQ(mkfifo("fifo", 0644), 0);
    CHECK_EQ(mkdir("many", 0755), 0);
    for (int i = 0; i < MANY; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "many/n%03d", i);
        put_file(name, "");
    }
    fd = open("big", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(write(fd, big, sizeof(big)), sizeof(big));
    close(fd);
    CHECK_EQ(utimensat(AT_FDCWD, "file", t, 0), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "dir", t, 0), 0);
}

static int checksum_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    static char buf[1 << 16];
    unsigned long sum = 0;
    ssize_t n = 0;

    (void)ftw;
    if (flag == FTW_F && S_ISREG(st->st_mode)) {
        int fd = open(path, O_RDONLY | O_NOATIME);

        while ((n = read(fd, buf, sizeof(buf))) > 0)
            for (ssize_t i = 0; i < n; i++)
                sum = sum * 31 + (unsigned char)buf[i];
        close(fd);
    }
    printf("%s %o %u:%u %ld %lu %ld.%09ld\n", path, st->st_mode, st->st_uid, st->st_gid,
           S_ISDIR(st->st_mode) ? 0l : (long)st->st_size, sum, (long)st->st_mtim.tv_sec,
           (long)st->st_mtim.tv_nsec);
    return 0;
}

ENTRY(prepare)
{
    if (argc < 3 || chmod(argv[2], 0755) < 0)
        return 1;
    for (struct gt_test *t = gt_tests; t != NULL; t = t->next) {
        if (chdir(argv[2]) < 0 || mkdir(t->name, 0755) < 0 || chdir(t->name) < 0)
            return 1;
        make_tree();
    }
    return 0;
}

/* Prints one line for each object: the caller compares the outputs before and after. */
ENTRY(verify)
{
    return argc < 3 || nftw(argv[2], checksum_one, 16, FTW_PHYS) != 0;
}

/* Changes into the overlaid tree of this subtest. */
static void start(void)
{
    const char *given = getenv("GT_LOWER");

    if (given != NULL && given[0] == '/') {
        CHECK_EQ(chdir(given), 0);
        CHECK_EQ(chdir(gt_name()), 0);
        return;
    }
    scratch();
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        SKIP("no mount namespace and no GT_LOWER");
    CHECK_EQ(mkdir("all", 0755), 0);
    CHECK_EQ(mount("gt", "all", "tmpfs", 0, "mode=755"), 0);
    CHECK_EQ(chdir("all"), 0);
    CHECK_EQ(mkdir("lower", 0755), 0);
    CHECK_EQ(mkdir("upper", 0755), 0);
    CHECK_EQ(mkdir("work", 0755), 0);
    CHECK_EQ(mkdir("merged", 0755), 0);
    CHECK_EQ(chdir("lower"), 0);
    make_tree();
    CHECK_EQ(chdir(".."), 0);
    if (mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work") < 0)
        SKIP("no overlay file system and no GT_LOWER");
    CHECK_EQ(chdir("merged"), 0);
}

/* How often a name is listed in a directory; -1 as name counts all but the dots. */
static int listed(const char *dir, const char *name)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int count = 0;

    CHECK(d != NULL);
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        count += name == NULL || strcmp(e->d_name, name) == 0;
    }
    closedir(d);
    return count;
}

TEST(reading)
{
    struct stat st;
    char buf[32];

    start();
    CHECK(file_is("file", "lower file"));
    CHECK(file_is("link", "lower file"));
    CHECK(file_is("dirlink/sub/deep", "deep"));
    CHECK_EQ(stat("file", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0644);
    CHECK_EQ(st.st_mtim.tv_sec, 2222222);
    CHECK_EQ(st.st_size, 10);
    CHECK_EQ(readlink("link", buf, sizeof(buf)), 4);
    CHECK_EQ(listed("dir", NULL), 3);
    CHECK_EQ(listed("many", NULL), MANY);
    CHECK_EQ(stat("other/theirs", &st), 0);
    CHECK_EQ(st.st_uid, OTHER_UID);
}

TEST(write_in_place)
{
    int fd;

    start();
    fd = open("file", O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "UPPER", 5), 5);
    CHECK_EQ(close(fd), 0);
    CHECK(file_is("file", "UPPER file"));
    CHECK(file_is("link", "UPPER file"));
    CHECK_EQ(listed(".", "file"), 1);
    struct stat st;
    CHECK_EQ(stat("file", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0644);
    CHECK(st.st_mtim.tv_sec > 2222222);
}

TEST(append_and_truncate)
{
    int fd;

    start();
    fd = open("file", O_WRONLY | O_APPEND);
    CHECK_EQ(write(fd, "+more", 5), 5);
    close(fd);
    CHECK(file_is("file", "lower file+more"));
    CHECK_EQ(truncate("dir/a", 0), 0);
    CHECK(file_is("dir/a", ""));
    fd = open("dir/b", O_WRONLY | O_TRUNC);
    CHECK_EQ(write(fd, "new", 3), 3);
    close(fd);
    CHECK(file_is("dir/b", "new"));
    CHECK_EQ(truncate("dir/sub/deep", 6), 0);
    struct stat st;
    CHECK_EQ(stat("dir/sub/deep", &st), 0);
    CHECK_EQ(st.st_size, 6);
}

TEST(big_file_changes_one_byte)
{
    static char buf[BIG];
    int fd;

    start();
    fd = open("big", O_RDWR);
    CHECK_EQ(pwrite(fd, "!", 1, 1234567), 1);
    CHECK_EQ(pread(fd, buf, sizeof(buf), 0), BIG);
    for (size_t i = 0; i < BIG; i++)
        CHECK_EQ(buf[i], i == 1234567 ? '!' : (char)('A' + (i / 1000) % 26));
}

TEST(change_of_attributes)
{
    struct timespec t[2] = {{.tv_sec = 5}, {.tv_sec = 6}};
    struct stat st;

    start();
    CHECK_EQ(chmod("file", 0600), 0);
    CHECK_EQ(stat("file", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0600);
    /* The time of the data stays when only attributes change. */
    CHECK_EQ(st.st_mtim.tv_sec, 2222222);
    CHECK(file_is("file", "lower file"));
    CHECK_EQ(chown("file", 11, 22), 0);
    CHECK_EQ(stat("file", &st), 0);
    CHECK(st.st_uid == 11 && st.st_gid == 22);
    CHECK_EQ(utimensat(AT_FDCWD, "dir/a", t, 0), 0);
    CHECK_EQ(stat("dir/a", &st), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 6);
    CHECK_EQ(chmod("dir", 0700), 0);
    CHECK_EQ(stat("dir", &st), 0);
    CHECK_EQ(st.st_mode, S_IFDIR | 0700);
    CHECK_EQ(listed("dir", NULL), 3);
    CHECK_EQ(lchown("link", 33, 44), 0);
    CHECK_EQ(lstat("link", &st), 0);
    CHECK_EQ(st.st_uid, 33);
    CHECK_EQ(chmod("fifo", 0600), 0);
    CHECK_EQ(stat("fifo", &st), 0);
    CHECK_EQ(st.st_mode, S_IFIFO | 0600);
}

TEST(remove_and_make_again)
{
    start();
    CHECK_EQ(unlink("file"), 0);
    CHECK_ERRNO(access("file", F_OK), ENOENT);
    CHECK_ERRNO(open("file", O_RDONLY), ENOENT);
    CHECK_ERRNO(unlink("file"), ENOENT);
    CHECK_EQ(listed(".", "file"), 0);
    CHECK_ERRNO(access("link", F_OK), ENOENT);
    int fd = open("file", O_CREAT | O_EXCL | O_WRONLY, 0640);
    CHECK(fd >= 0);
    close(fd);
    CHECK(file_is("file", ""));
    CHECK_EQ(listed(".", "file"), 1);
    CHECK_EQ(unlink("link"), 0);
    CHECK_EQ(symlink("dir/a", "link"), 0);
    CHECK(file_is("link", "a"));
    /* Another kind of object under the old name. */
    CHECK_EQ(unlink("file"), 0);
    CHECK_EQ(mkdir("file", 0755), 0);
    CHECK_EQ(listed("file", NULL), 0);
}

TEST(unlinked_stays_open)
{
    char buf[16];
    int fd;

    start();
    fd = open("file", O_RDONLY);
    CHECK_EQ(unlink("file"), 0);
    CHECK_EQ(read(fd, buf, sizeof(buf)), 10);
    CHECK(memcmp(buf, "lower file", 10) == 0);
    fd = open("dir/a", O_RDWR);
    CHECK_EQ(unlink("dir/a"), 0);
    CHECK_EQ(write(fd, "z", 1), 1);
    CHECK_EQ(pread(fd, buf, 4, 0), 1);
    CHECK_EQ(buf[0], 'z');
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
}

TEST(remove_directories)
{
    start();
    CHECK_ERRNO(rmdir("dir"), ENOTEMPTY);
    CHECK_EQ(rmdir("empty"), 0);
    CHECK_ERRNO(access("empty", F_OK), ENOENT);
    CHECK_EQ(unlink("dir/a"), 0);
    CHECK_EQ(unlink("dir/b"), 0);
    CHECK_ERRNO(rmdir("dir"), ENOTEMPTY);
    CHECK_EQ(unlink("dir/sub/deep"), 0);
    CHECK_EQ(rmdir("dir/sub"), 0);
    CHECK_EQ(listed("dir", NULL), 0);
    CHECK_EQ(rmdir("dir"), 0);
    CHECK_ERRNO(access("dir", F_OK), ENOENT);
    CHECK_ERRNO(access("dir/a", F_OK), ENOENT);
    CHECK_ERRNO(access("dirlink/a", F_OK), ENOENT);
    /* A directory of the same name is empty: nothing shines through. */
    CHECK_EQ(mkdir("dir", 0711), 0);
    CHECK_EQ(listed("dir", NULL), 0);
    CHECK_ERRNO(access("dir/a", F_OK), ENOENT);
    CHECK_ERRNO(access("dir/sub/deep", F_OK), ENOENT);
    put_file("dir/a", "mine");
    CHECK_EQ(listed("dir", NULL), 1);
    CHECK_EQ(unlink("dir/a"), 0);
    CHECK_ERRNO(access("dir/a", F_OK), ENOENT);
    CHECK_EQ(rmdir("dir"), 0);
}

TEST(new_names_in_a_lower_directory)
{
    int dir;

    start();
    dir = open("dir", O_RDONLY | O_DIRECTORY);
    put_file("dir/new", "n");
    CHECK_EQ(listed("dir", NULL), 4);
    CHECK_EQ(faccessat(dir, "new", F_OK, 0), 0);
    CHECK_EQ(mkdirat(dir, "d", 0755), 0);
    CHECK_EQ(listed("dir", NULL), 5);
    put_file("dir/sub/x", "");
    CHECK_EQ(listed("dir/sub", NULL), 2);
    CHECK(file_is("dir/a", "a"));
    CHECK_EQ(unlinkat(dir, "a", 0), 0);
    CHECK_EQ(listed("dir", "a"), 0);
    CHECK_EQ(rename("dir/new", "dir/a"), 0);
    CHECK(file_is("dir/a", "n"));
}

TEST(rename_files)
{
    start();
    CHECK_EQ(rename("file", "moved"), 0);
    CHECK(file_is("moved", "lower file"));
    CHECK_ERRNO(access("file", F_OK), ENOENT);
    CHECK_EQ(listed(".", "file"), 0);
    CHECK_EQ(listed(".", "moved"), 1);
    put_file("fresh", "fresh");
    CHECK_EQ(rename("fresh", "dir/a"), 0);
    CHECK(file_is("dir/a", "fresh"));
    CHECK_EQ(listed("dir", NULL), 3);
    CHECK_EQ(rename("dir/b", "dir/a"), 0);
    CHECK(file_is("dir/a", "b"));
    CHECK_EQ(listed("dir", NULL), 2);
    CHECK_EQ(rename("link", "script"), 0);
    struct stat st;
    CHECK_EQ(lstat("script", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "moved", AT_FDCWD, "private", 1), -1);
    CHECK_EQ(errno, EEXIST);
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "moved", AT_FDCWD, "private", 2), 0);
    CHECK(file_is("private", "lower file"));
    CHECK(file_is("moved", "owner only"));
}

TEST(rename_directories)
{
    start();
    CHECK_EQ(mkdir("fresh", 0755), 0);
    put_file("fresh/f", "f");
    CHECK_EQ(rename("fresh", "renamed"), 0);
    CHECK(file_is("renamed/f", "f"));
    CHECK_ERRNO(rename("renamed", "dir"), ENOTEMPTY);
    CHECK_EQ(rename("renamed", "empty"), 0);
    CHECK(file_is("empty/f", "f"));
    /* A directory from below: moved as a whole, or refused as on another file system. */
    errno = 0;
    if (rename("dir", "away") == 0) {
        CHECK(file_is("away/a", "a"));
        CHECK(file_is("away/sub/deep", "deep"));
        CHECK_EQ(listed("away", NULL), 3);
        CHECK_ERRNO(access("dir", F_OK), ENOENT);
        CHECK_EQ(mkdir("dir", 0755), 0);
        CHECK_EQ(listed("dir", NULL), 0);
    } else {
        CHECK_EQ(errno, EXDEV);
        CHECK(file_is("dir/sub/deep", "deep"));
    }
}

TEST(hard_links)
{
    struct stat a, b;

    start();
    CHECK_EQ(link("file", "second"), 0);
    CHECK_EQ(stat("file", &a), 0);
    CHECK_EQ(stat("second", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(a.st_nlink, 2);
    put_file("second", "both");
    CHECK(file_is("file", "both"));
    CHECK_EQ(unlink("file"), 0);
    CHECK(file_is("second", "both"));
    CHECK_EQ(stat("second", &b), 0);
    CHECK_EQ(b.st_nlink, 1);
}

TEST(large_directory_merges)
{
    char name[32];
    int fresh = 0;

    start();
    for (int i = 0; i < MANY; i += 3) {
        (void)snprintf(name, sizeof(name), "many/n%03d", i);
        CHECK_EQ(unlink(name), 0);
    }
    for (int i = 1; i < MANY; i += 3) {
        (void)snprintf(name, sizeof(name), "many/n%03d", i);
        put_file(name, "changed");
    }
    for (int i = 0; i < 100; i++, fresh++) {
        (void)snprintf(name, sizeof(name), "many/x%03d", i);
        put_file(name, "");
    }
    CHECK_EQ(listed("many", NULL), MANY - (MANY + 2) / 3 + fresh);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "n%03d", i);
        if (i < 12)
            CHECK_EQ(listed("many", name), i % 3 == 0 ? 0 : 1);
    }
    /* Deleting everything as rm -r does. */
    DIR *d = opendir("many");
    struct dirent *e;
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            CHECK_EQ(unlinkat(dirfd(d), e->d_name, 0), 0);
    closedir(d);
    CHECK_EQ(listed("many", NULL), 0);
    CHECK_EQ(rmdir("many"), 0);
}

TEST(permissions_below)
{
    start();
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(open("private", O_RDONLY), EACCES);
        CHECK_ERRNO(open("file", O_WRONLY), EACCES);
        CHECK(open("file", O_RDONLY) >= 0);
        CHECK_ERRNO(unlink("dir/a"), EACCES);
        CHECK_ERRNO(open("dir/new", O_CREAT | O_RDWR, 0600), EACCES);
        CHECK_ERRNO(chmod("file", 0777), EPERM);
        put_file("other/theirs", "written");
        CHECK_EQ(chmod("other/theirs", 0600), 0);
        put_file("other/new", "");
        CHECK_EQ(unlink("other/theirs"), 0);
    });
    wait_ok(pid);
    struct stat st;
    CHECK_EQ(stat("other/new", &st), 0);
    CHECK_EQ(st.st_uid, OTHER_UID);
    CHECK_EQ(chmod("setid", 06777), 0);
    pid = FORK({
        become(OTHER_UID, OTHER_GID);
        int fd = open("setid", O_WRONLY);
        CHECK_EQ(write(fd, "y", 1), 1);
    });
    wait_ok(pid);
    CHECK_EQ(stat("setid", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0777);
}

TEST(mappings)
{
    int fd;
    char *p, *w;

    start();
    fd = open("big", O_RDONLY);
    p = mmap(NULL, BIG, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    CHECK_EQ(p[1000], 'B');
    CHECK_EQ(p[BIG - 1], 'A' + ((BIG - 1) / 1000) % 26);
    CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0, EACCES);
    w = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(w != MAP_FAILED);
    w[1000] = '#';
    CHECK_EQ(p[1000], 'B');
    fd = open("big", O_RDWR);
    w = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(w != MAP_FAILED);
    w[5000] = '@';
    char c;
    CHECK_EQ(pread(fd, &c, 1, 5000), 1);
    CHECK_EQ(c, '@');
}

TEST(programs_from_below)
{
    start();
    pid_t pid = FORK({ execl("./script", "script", NULL); });
    CHECK_EXIT(pid, 7);
    int fd = open("script", O_WRONLY | O_TRUNC);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "#!/bin/sh\nexit 8\n", 17), 17);
    close(fd);
    pid = FORK({ execl("./script", "script", NULL); });
    CHECK_EXIT(pid, 8);
    CHECK_EQ(chmod("script", 0644), 0);
    CHECK_ERRNO(execl("./script", "script", NULL), EACCES);
}

TEST(locks_below)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd;

    start();
    fd = open("file", O_RDWR);
    CHECK_EQ(fcntl(fd, F_SETLK, &l), 0);
    pid_t pid = FORK({
        int b = open("file", O_RDWR);

        CHECK_ERRNO(fcntl(b, F_SETLK, &l), EAGAIN);
        close(b);
        b = open("dir/a", O_RDONLY);
        l.l_type = F_RDLCK;
        CHECK_EQ(fcntl(b, F_SETLK, &l), 0);
    });
    wait_ok(pid);
}

TEST(many_processes_change_one_file)
{
    enum { PROCS = 6 };
    pid_t pids[PROCS];
    char text[64] = {0};

    start();
    for (int i = 0; i < PROCS; i++) {
        pids[i] = FORK({
            int fd = open("dir/a", O_WRONLY | O_APPEND);
            char c = (char)('0' + i);

            CHECK(fd >= 0);
            CHECK_EQ(write(fd, &c, 1), 1);
        });
    }
    for (int i = 0; i < PROCS; i++)
        wait_ok(pids[i]);
    CHECK_EQ(get_file("dir/a", text, sizeof(text)), 1 + PROCS);
    CHECK_EQ(text[0], 'a');
    for (int i = 0; i < PROCS; i++)
        CHECK(strchr(text, '0' + i) != NULL);
}

TEST(many_processes_change_one_directory)
{
    enum { PROCS = 4 };
    pid_t pids[PROCS];

    start();
    for (int p = 0; p < PROCS; p++) {
        pids[p] = FORK({
            for (int i = p; i < MANY; i += PROCS) {
                char name[32];

                (void)snprintf(name, sizeof(name), "many/n%03d", i);
                if (i & 1)
                    CHECK_EQ(unlink(name), 0);
                else
                    put_file(name, "x");
            }
        });
    }
    for (int p = 0; p < PROCS; p++)
        wait_ok(pids[p]);
    CHECK_EQ(listed("many", NULL), MANY / 2);
    CHECK(file_is("many/n100", "x"));
}

TEST(special_files)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "dir/sock"};
    char c;

    start();
    pid_t pid = FORK({
        int w = open("fifo", O_WRONLY);

        CHECK_EQ(write(w, "f", 1), 1);
    });
    int r = open("fifo", O_RDONLY);
    CHECK(r >= 0);
    CHECK_EQ(read(r, &c, 1), 1);
    CHECK_EQ(c, 'f');
    wait_ok(pid);
    int l = socket(AF_UNIX, SOCK_STREAM, 0), s = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(l, (void *)&a, sizeof(a)), 0);
    CHECK_EQ(listen(l, 1), 0);
    CHECK_EQ(connect(s, (void *)&a, sizeof(a)), 0);
    CHECK_EQ(mknod("dir/reg", S_IFREG | 0600, 0), 0);
    CHECK_EQ(listed("dir", NULL), 5);
}

TEST(temporary_files)
{
    char path[64];
    int fd;

    start();
    fd = open("dir", O_TMPFILE | O_RDWR, 0644);
    if (fd < 0 && errno == EOPNOTSUPP)
        SKIP("no O_TMPFILE here");
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "tmp", 3), 3);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(linkat(AT_FDCWD, path, AT_FDCWD, "dir/tmp", AT_SYMLINK_FOLLOW), 0);
    CHECK(file_is("dir/tmp", "tmp"));
}

TEST(watching)
{
    char buf[4096] __attribute__((aligned(8)));
    int in = inotify_init1(IN_NONBLOCK);
    struct inotify_event *e = (void *)buf;

    start();
    CHECK(inotify_add_watch(in, "dir", IN_CREATE | IN_DELETE | IN_CLOSE_WRITE) > 0);
    put_file("dir/fresh", "x");
    CHECK(read(in, buf, sizeof(buf)) > 0);
    CHECK_EQ(e->mask, IN_CREATE);
    CHECK_STR(e->name, "fresh");
    CHECK_EQ(unlink("dir/b"), 0);
    CHECK(read(in, buf, sizeof(buf)) > 0);
    CHECK_EQ(e->mask, IN_DELETE);
    CHECK_STR(e->name, "b");
}

TEST(inode_numbers_tell_files_apart)
{
    struct stat a, b, c;

    start();
    CHECK_EQ(stat("dir/a", &a), 0);
    CHECK_EQ(stat("dir/b", &b), 0);
    CHECK_EQ(stat("dir/a", &c), 0);
    CHECK(a.st_ino != b.st_ino);
    CHECK(a.st_ino == c.st_ino && a.st_dev == c.st_dev);
    int fd = open("dir/a", O_RDONLY);
    CHECK_EQ(fstat(fd, &c), 0);
    CHECK_EQ(a.st_ino, c.st_ino);
    CHECK_EQ(stat("dir", &a), 0);
    CHECK_EQ(stat("dir/.", &b), 0);
    CHECK_EQ(stat("dir/sub/..", &c), 0);
    CHECK(a.st_ino == b.st_ino && a.st_ino == c.st_ino);
}

TEST(directory_times_change)
{
    struct stat st;

    start();
    CHECK_EQ(stat("dir", &st), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 2222222);
    CHECK_EQ(unlink("dir/a"), 0);
    CHECK_EQ(stat("dir", &st), 0);
    CHECK(st.st_mtim.tv_sec > 2222222);
}

TEST(working_directory_below)
{
    char cwd[PATH_MAX], before[PATH_MAX];

    start();
    CHECK(getcwd(before, sizeof(before)) != NULL);
    CHECK_EQ(chdir("dir/sub"), 0);
    CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
    CHECK(strncmp(cwd, before, strlen(before)) == 0);
    CHECK_STR(cwd + strlen(before), "/dir/sub");
    put_file("here", "");
    CHECK_EQ(unlink("here"), 0);
    CHECK_EQ(unlink("deep"), 0);
    CHECK_EQ(rmdir("../sub"), 0);
    CHECK_ERRNO(syscall(SYS_getcwd, cwd, sizeof(cwd)), ENOENT);
    CHECK_ERRNO(open("x", O_CREAT | O_RDWR, 0600), ENOENT);
}

TEST(attributes_are_carried_along)
{
    char buf[16];

    start();
    if (setxattr("file", "user.note", "kept", 4, 0) < 0)
        SKIP("no user attributes here");
    CHECK_EQ(getxattr("file", "user.note", buf, sizeof(buf)), 4);
    CHECK(file_is("file", "lower file"));
    char list[256];
    ssize_t n = listxattr("dir", list, sizeof(list));
    CHECK(n >= 0);
    /* The overlay's own marks are nobody else's business. */
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        CHECK(strstr(list + at, "overlay") == NULL);
}
