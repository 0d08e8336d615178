/*
 * open, openat and creat: the flag matrix, what O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY,
 * O_NOFOLLOW, O_PATH, O_TMPFILE, O_CLOEXEC and O_NOATIME promise, and the errors of open(2).
 */
#include "scratch.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>

TEST(create_gives_mode_minus_umask)
{
    static const mode_t masks[] = {0, 022, 027, 077, 0777};
    static const mode_t modes[] = {0, 0400, 0644, 0666, 0755, 0777, 04755, 02755, 01777};
    struct stat st;

    scratch();
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        for (size_t j = 0; j < sizeof(modes) / sizeof(modes[0]); j++) {
            int fd;

            umask(masks[i]);
            fd = open("f", O_RDWR | O_CREAT | O_EXCL, modes[j]);
            CHECK(fd >= 0);
            CHECK_EQ(fstat(fd, &st), 0);
            CHECK_EQ(st.st_mode, S_IFREG | (modes[j] & ~masks[i]));
            CHECK_EQ(st.st_size, 0);
            CHECK_EQ(st.st_nlink, 1);
            /* The mode counts for later opens, not for this descriptor. */
            CHECK_EQ(write(fd, "x", 1), 1);
            CHECK_EQ(close(fd), 0);
            CHECK_EQ(unlink("f"), 0);
        }
    }
}

TEST(creat_truncates)
{
    int fd;
    char c;

    scratch();
    put_file("f", "hello");
    fd = creat("f", 0600);
    CHECK(fd >= 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
    CHECK_ERRNO(read(fd, &c, 1), EBADF);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
    close(fd);
    CHECK_ERRNO(creat("no/such", 0600), ENOENT);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERRNO(creat("d", 0600), EISDIR);
}

TEST(lowest_descriptor_is_taken)
{
    int a, b, c;

    scratch();
    put_file("f", "");
    a = open("f", O_RDONLY);
    b = open("f", O_RDONLY);
    c = open("f", O_RDONLY);
    CHECK(a >= 0 && b == a + 1 && c == b + 1);
    CHECK_EQ(close(b), 0);
    CHECK_EQ(open("f", O_RDONLY), b);
    CHECK_EQ(close(a), 0);
    CHECK_EQ(close(b), 0);
    CHECK_EQ(open("f", O_RDONLY), a);
}

TEST(access_mode_rules_reads_and_writes)
{
    char c;
    int fd;

    scratch();
    put_file("f", "abc");
    fd = open("f", O_RDONLY);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_ERRNO(write(fd, "x", 1), EBADF);
    close(fd);
    fd = open("f", O_WRONLY);
    CHECK_ERRNO(read(fd, &c, 1), EBADF);
    CHECK_EQ(write(fd, "x", 1), 1);
    close(fd);
    fd = open("f", O_RDWR);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(c, 'x');
    CHECK_EQ(write(fd, "y", 1), 1);
    close(fd);
    CHECK(file_is("f", "xyc"));
    /* Access mode 3 asks for both permissions and grants neither. */
    fd = open("f", O_ACCMODE);
    CHECK(fd >= 0);
    CHECK_ERRNO(read(fd, &c, 1), EBADF);
    CHECK_ERRNO(write(fd, "x", 1), EBADF);
    close(fd);
}

TEST(excl)
{
    scratch();
    put_file("f", "keep");
    CHECK_ERRNO(open("f", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK_EQ(symlink("nowhere", "dangling"), 0);
    CHECK_ERRNO(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERRNO(open("d", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK(file_is("f", "keep"));
    /* A dangling link without O_EXCL makes its target. */
    CHECK(open("dangling", O_RDWR | O_CREAT, 0644) >= 0);
    CHECK_EQ(access("nowhere", F_OK), 0);
}

TEST(trunc)
{
    struct stat st;
    int fd, keep;

    scratch();
    put_file("f", "0123456789");
    keep = open("f", O_RDONLY);
    fd = open("f", O_WRONLY | O_TRUNC);
    CHECK(fd >= 0);
    CHECK_EQ(fstat(keep, &st), 0);
    CHECK_EQ(st.st_size, 0);
    CHECK_EQ(write(fd, "ab", 2), 2);
    close(fd);
    CHECK(file_is("f", "ab"));
    /* On Linux O_RDONLY | O_TRUNC truncates too. */
    fd = open("f", O_RDONLY | O_TRUNC);
    CHECK(fd >= 0);
    CHECK(file_is("f", ""));
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERRNO(open("d", O_RDONLY | O_TRUNC), EISDIR);
}

TEST(append)
{
    char buf[32] = {0};
    int a, b;

    scratch();
    put_file("f", "start");
    a = open("f", O_RDWR | O_APPEND);
    b = open("f", O_RDWR | O_APPEND);
    CHECK_EQ(lseek(a, 0, SEEK_SET), 0);
    CHECK_EQ(write(a, "-a", 2), 2);
    CHECK_EQ(lseek(a, 0, SEEK_CUR), 7);
    CHECK_EQ(write(b, "-b", 2), 2);
    CHECK_EQ(write(a, "-c", 2), 2);
    /* Linux appends with pwrite as well (a documented deviation from POSIX). */
    CHECK_EQ(pwrite(a, "-d", 2, 0), 2);
    CHECK_EQ(pread(a, buf, sizeof(buf), 0), 13);
    CHECK(strcmp(buf, "start-a-b-c-d") == 0);
    CHECK_EQ(lseek(a, 0, SEEK_SET), 0);
    CHECK_EQ(read(a, buf, 5), 5);
    CHECK(memcmp(buf, "start", 5) == 0);
}

TEST(append_from_many_processes_loses_nothing)
{
    enum { PROCS = 4, LINES = 250 };
    char *buf = malloc(PROCS * LINES * 16 + 1);
    int seen[PROCS] = {0};
    pid_t pids[PROCS];

    scratch();
    put_file("f", "");
    for (int p = 0; p < PROCS; p++) {
        pids[p] = fork();
        CHECK(pids[p] >= 0);
        if (pids[p] == 0) {
            int fd = open("f", O_WRONLY | O_APPEND);

            for (int i = 0; i < LINES; i++) {
                char line[32];
                int n = snprintf(line, sizeof(line), "%d %05d\n", p, i);

                CHECK_EQ(write(fd, line, (size_t)n), n);
            }
            _exit(0);
        }
    }
    for (int p = 0; p < PROCS; p++)
        wait_ok(pids[p]);
    CHECK_EQ(get_file("f", buf, PROCS * LINES * 16 + 1), PROCS * LINES * 8);
    for (char *line = buf; *line != '\0'; line += 8) {
        int p = line[0] - '0';

        CHECK(p >= 0 && p < PROCS);
        CHECK_EQ(atoi(line + 2), seen[p]);
        seen[p]++;
    }
    free(buf);
}

TEST(directory)
{
    int fd;
    char c;

    scratch();
    put_file("f", "x");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(symlink("d", "l"), 0);
    CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open("none", O_RDONLY | O_DIRECTORY), ENOENT);
    fd = open("d", O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    CHECK_ERRNO(read(fd, &c, 1), EISDIR);
    CHECK_ERRNO(write(fd, &c, 1), EBADF);
    close(fd);
    CHECK((fd = open("l", O_RDONLY | O_DIRECTORY)) >= 0);
    close(fd);
    CHECK_ERRNO(open("l", O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
    CHECK_ERRNO(open("d", O_WRONLY), EISDIR);
    CHECK_ERRNO(open("d", O_RDWR), EISDIR);
    CHECK_ERRNO(open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
    CHECK_ERRNO(open("d/", O_RDWR | O_CREAT, 0644), EISDIR);
    CHECK_ERRNO(open("new/", O_RDWR | O_CREAT, 0644), EISDIR);
    CHECK_ERRNO(open("f/", O_RDONLY), ENOTDIR);
}

TEST(nofollow)
{
    int fd;

    scratch();
    put_file("f", "x");
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_EQ(mkdir("d", 0755), 0);
    put_file("d/g", "y");
    CHECK_EQ(symlink("d", "dl"), 0);
    CHECK_ERRNO(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(open("l", O_RDWR | O_CREAT | O_NOFOLLOW, 0644), ELOOP);
    CHECK((fd = open("f", O_RDONLY | O_NOFOLLOW)) >= 0);
    close(fd);
    /* Only the last component is guarded, and a trailing slash follows it. */
    CHECK((fd = open("dl/g", O_RDONLY | O_NOFOLLOW)) >= 0);
    close(fd);
    CHECK((fd = open("dl/", O_RDONLY | O_NOFOLLOW)) >= 0);
    close(fd);
}

TEST(o_path)
{
    char buf[64], link[64];
    struct stat st;
    int fd, real;

    scratch();
    put_file("f", "path");
    CHECK_EQ(symlink("f", "l"), 0);
    fd = open("f", O_PATH | O_RDWR | O_APPEND);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & ~O_LARGEFILE & ~0100000, O_PATH);
    CHECK_ERRNO(read(fd, buf, 1), EBADF);
    CHECK_ERRNO(write(fd, buf, 1), EBADF);
    CHECK_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
    CHECK_ERRNO(ftruncate(fd, 0), EBADF);
    CHECK_ERRNO(fchmod(fd, 0600), EBADF);
    CHECK_ERRNO(fchown(fd, 0, 0), EBADF);
    CHECK_ERRNO(fsync(fd), EBADF);
    CHECK_ERRNO(fgetxattr(fd, "user.x", buf, sizeof(buf)), EBADF);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 4);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    CHECK_ERRNO(fcntl(fd, F_SETFL, O_APPEND), EBADF);
    /* It can be reopened through /proc with real access. */
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    real = open(link, O_RDONLY);
    CHECK(real >= 0);
    CHECK_EQ(read(real, buf, sizeof(buf)), 4);
    close(real);
    close(fd);
    fd = open("l", O_PATH | O_NOFOLLOW);
    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(readlinkat(fd, "", buf, sizeof(buf)), 1);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    CHECK_ERRNO(open(link, O_RDONLY), ELOOP);
    close(fd);
    CHECK_EQ(mkdir("d", 0755), 0);
    fd = open("d", O_PATH | O_DIRECTORY);
    CHECK(fd >= 0);
    CHECK((real = openat(fd, "g", O_RDWR | O_CREAT, 0644)) >= 0);
    CHECK_EQ(fchdir(fd), 0);
    CHECK_EQ(access("g", F_OK), 0);
    CHECK_ERRNO(open("g", O_PATH | O_DIRECTORY), ENOTDIR);
}

TEST(o_path_needs_no_permission_on_the_file)
{
    scratch();
    put_file("secret", "x");
    CHECK_EQ(chmod("secret", 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd;

        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(open("secret", O_RDONLY), EACCES);
        fd = open("secret", O_PATH);
        CHECK(fd >= 0);
        char link[64];
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        CHECK_ERRNO(open(link, O_RDONLY), EACCES);
        _exit(0);
    }
    wait_ok(pid);
}

TEST(tmpfile)
{
    char link[64], buf[8];
    struct stat st;
    int fd;

    scratch();
    fd = open(".", O_RDWR | O_TMPFILE, 0640);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        SKIP("no O_TMPFILE here");
    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0640);
    CHECK_EQ(write(fd, "temp", 4), 4);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    CHECK_EQ(linkat(AT_FDCWD, link, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 1);
    CHECK(file_is("named", "temp"));
    close(fd);
    fd = open(".", O_WRONLY | O_TMPFILE | O_EXCL, 0600);
    CHECK(fd >= 0);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    CHECK_ERRNO(linkat(AT_FDCWD, link, AT_FDCWD, "other", AT_SYMLINK_FOLLOW), ENOENT);
    CHECK_ERRNO(read(fd, buf, 1), EBADF);
    close(fd);
    CHECK_ERRNO(open(".", O_RDONLY | O_TMPFILE, 0600), EINVAL);
    CHECK_ERRNO(open("named", O_RDWR | O_TMPFILE, 0600), ENOTDIR);
    CHECK_ERRNO(open("nodir", O_RDWR | O_TMPFILE, 0600), ENOENT);
}

TEST(cloexec)
{
    int a, b;

    scratch();
    put_file("f", "");
    a = open("f", O_RDONLY | O_CLOEXEC);
    b = open("f", O_RDONLY);
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(b, F_GETFD), 0);
    CHECK_EQ(fcntl(a, F_GETFL) & O_CLOEXEC, 0);
}

TEST(noatime)
{
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    struct stat st;
    char c;
    int fd;

    scratch();
    put_file("f", "x");
    CHECK_EQ(utimensat(AT_FDCWD, "f", old, 0), 0);
    fd = open("f", O_RDONLY | O_NOATIME);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFL) & O_NOATIME);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1000);
    pid_t pid = fork();
    if (pid == 0) {
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(open("f", O_RDONLY | O_NOATIME), EPERM);
        CHECK(open("f", O_RDONLY) >= 0);
        _exit(0);
    }
    wait_ok(pid);
}

TEST(getfl_shows_what_open_was_given)
{
    static const int access[] = {O_RDONLY, O_WRONLY, O_RDWR};
    static const int extra[] = {O_APPEND, O_NONBLOCK, O_DSYNC, O_SYNC, O_NOATIME};

    scratch();
    put_file("f", "");
    for (int i = 0; i < 3; i++) {
        for (unsigned mask = 0; mask < 32; mask++) {
            int flags = access[i], fd;

            for (int bit = 0; bit < 5; bit++)
                if (mask & (1u << bit))
                    flags |= extra[bit];
            fd = open("f", flags | O_CREAT | O_CLOEXEC, 0600);
            CHECK(fd >= 0);
            CHECK_EQ(fcntl(fd, F_GETFL) & ~0100000, flags);
            close(fd);
        }
    }
}

TEST(fifo_socket_and_device_errors)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int fd;

    scratch();
    CHECK_EQ(mkfifo("fifo", 0600), 0);
    CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK((fd = open("fifo", O_RDONLY | O_NONBLOCK)) >= 0);
    close(fd);
    CHECK((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    CHECK_ERRNO(open("sock", O_RDWR), ENXIO);
    CHECK(open("sock", O_PATH) >= 0);
}

TEST(path_errors)
{
    char name[NAME_MAX + 2];

    scratch();
    put_file("f", "x");
    CHECK_ERRNO(open("", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("none", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("none/f", O_RDWR | O_CREAT, 0600), ENOENT);
    CHECK_ERRNO(open("f/g", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f/.", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f/..", O_RDONLY), ENOTDIR);
    memset(name, 'n', sizeof(name) - 1);
    name[NAME_MAX + 1] = '\0';
    CHECK_ERRNO(open(name, O_RDWR | O_CREAT, 0600), ENAMETOOLONG);
    name[NAME_MAX] = '\0';
    CHECK(open(name, O_RDWR | O_CREAT, 0600) >= 0);
    CHECK_ERRNO(syscall(SYS_open, (char *)8, O_RDONLY), EFAULT);
    CHECK_ERRNO(syscall(SYS_open, NULL, O_RDONLY), EFAULT);
    CHECK_EQ(symlink("b", "a"), 0);
    CHECK_EQ(symlink("a", "b"), 0);
    CHECK_ERRNO(open("a", O_RDONLY), ELOOP);
    CHECK_ERRNO(open("a/x", O_RDONLY), ELOOP);
}

TEST(openat_directory_argument)
{
    int dir, fd, file;

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    put_file("d/f", "in d");
    put_file("f", "here");
    dir = open("d", O_RDONLY | O_DIRECTORY);
    file = open("f", O_RDONLY);
    CHECK((fd = openat(dir, "f", O_RDONLY)) >= 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 4);
    close(fd);
    CHECK((fd = openat(dir, "../f", O_RDONLY)) >= 0);
    close(fd);
    CHECK((fd = openat(-1, gt_tmpdir(), O_RDONLY)) >= 0);
    close(fd);
    CHECK_ERRNO(openat(-1, "f", O_RDONLY), EBADF);
    CHECK_ERRNO(openat(999, "f", O_RDONLY), EBADF);
    CHECK_ERRNO(openat(file, "f", O_RDONLY), ENOTDIR);
    CHECK((fd = openat(AT_FDCWD, "f", O_RDONLY)) >= 0);
    close(fd);
    /* The descriptor names the directory, not the path it once had. */
    CHECK_EQ(rename("d", "e"), 0);
    CHECK((fd = openat(dir, "f", O_RDONLY)) >= 0);
    close(fd);
    CHECK_EQ(unlink("e/f"), 0);
    CHECK_EQ(rmdir("e"), 0);
    CHECK_ERRNO(openat(dir, "g", O_RDWR | O_CREAT, 0600), ENOENT);
    CHECK((fd = openat(dir, ".", O_RDONLY)) >= 0);
}

TEST(unlinked_file_lives_until_closed)
{
    char buf[8], link[64];
    struct stat st;
    int fd, again;

    scratch();
    put_file("f", "alive");
    fd = open("f", O_RDWR);
    CHECK_EQ(unlink("f"), 0);
    CHECK_ERRNO(open("f", O_RDONLY), ENOENT);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(read(fd, buf, sizeof(buf)), 5);
    CHECK_EQ(pwrite(fd, "still", 5, 0), 5);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    CHECK((again = open(link, O_RDONLY)) >= 0);
    CHECK_EQ(read(again, buf, sizeof(buf)), 5);
    CHECK(memcmp(buf, "still", 5) == 0);
    /* Its number of links is zero for good. */
    CHECK_ERRNO(linkat(AT_FDCWD, link, AT_FDCWD, "back", AT_SYMLINK_FOLLOW), ENOENT);
}

TEST(emfile)
{
    struct rlimit limit = {.rlim_cur = 20, .rlim_max = 20};
    int last = -1, fd;

    scratch();
    put_file("f", "");
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while ((fd = open("f", O_RDONLY)) >= 0)
        last = fd;
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 19);
    CHECK_ERRNO(dup(last), EMFILE);
    CHECK_ERRNO(dup2(last, 20), EBADF);
    CHECK_ERRNO(fcntl(last, F_DUPFD, 20), EINVAL);
    /* A failed open makes no file. */
    CHECK_ERRNO(open("new", O_RDWR | O_CREAT, 0600), EMFILE);
    CHECK_ERRNO(access("new", F_OK), ENOENT);
    CHECK_EQ(close(last), 0);
    CHECK_EQ(open("f", O_RDONLY), last);
}
