/*
 * The *at calls: each kind of directory descriptor, AT_EMPTY_PATH, what a descriptor keeps alive,
 * and calls that act on /proc/self/fd links.
 */
#include "scratch.h"

#include <sys/socket.h>

static char buffer[4096];

#define CALL(name) static long do_##name(int d, const char *p)

/* clang-format off */
CALL(openat) { return syscall(SYS_openat, d, p, O_RDONLY); }
CALL(newfstatat) { return syscall(SYS_newfstatat, d, p, buffer, 0); }
CALL(statx) { return syscall(SYS_statx, d, p, 0, STATX_ALL, buffer); }
CALL(faccessat) { return syscall(SYS_faccessat, d, p, F_OK); }
CALL(faccessat2) { return syscall(SYS_faccessat2, d, p, F_OK, 0); }
CALL(fchmodat) { return syscall(SYS_fchmodat, d, p, 0755); }
CALL(fchownat) { return syscall(SYS_fchownat, d, p, 0, 0, 0); }
CALL(utimensat) { return syscall(SYS_utimensat, d, p, NULL, 0); }
CALL(readlinkat) { return syscall(SYS_readlinkat, d, p, buffer, sizeof(buffer)); }
CALL(mkdirat) { return syscall(SYS_mkdirat, d, p, 0755); }
CALL(mknodat) { return syscall(SYS_mknodat, d, p, S_IFREG | 0600, 0); }
CALL(unlinkat) { return syscall(SYS_unlinkat, d, p, 0); }
CALL(symlinkat) { return syscall(SYS_symlinkat, "t", d, p); }
CALL(linkat_from) { return syscall(SYS_linkat, d, p, AT_FDCWD, "made", 0); }
CALL(linkat_to) { return syscall(SYS_linkat, AT_FDCWD, "f", d, p, 0); }
CALL(renameat_from) { return syscall(SYS_renameat, d, p, AT_FDCWD, "made"); }
CALL(renameat_to) { return syscall(SYS_renameat, AT_FDCWD, "f", d, p); }
/* clang-format on */
CALL(openat2)
{
    uint64_t how[3] = {0};

    return syscall(SYS_openat2, d, p, how, sizeof(how));
}
CALL(execveat)
{
    char *argv[] = {"x", NULL};

    return syscall(SYS_execveat, d, p, argv, NULL, 0);
}

static const struct row {
    const char *name;
    long (*call)(int, const char *);
    bool makes;
} rows[] = {
    {"openat", do_openat, false},
    {"openat2", do_openat2, false},
    {"newfstatat", do_newfstatat, false},
    {"statx", do_statx, false},
    {"faccessat", do_faccessat, false},
    {"faccessat2", do_faccessat2, false},
    {"fchmodat", do_fchmodat, false},
    {"fchownat", do_fchownat, false},
    {"utimensat", do_utimensat, false},
    {"readlinkat", do_readlinkat, false},
    {"mkdirat", do_mkdirat, true},
    {"mknodat", do_mknodat, true},
    {"unlinkat", do_unlinkat, false},
    {"symlinkat", do_symlinkat, true},
    {"linkat from", do_linkat_from, false},
    {"linkat to", do_linkat_to, true},
    {"renameat from", do_renameat_from, false},
    {"renameat to", do_renameat_to, true},
    {"execveat", do_execveat, false},
};

#define EACH(row) for (const struct row *row = rows; row < rows + GT_COUNT(rows); row++)

static void expect_error(const struct row *row, int dir, const char *path, const char *what,
                         int want)
{
    errno = 0;
    long r = row->call(dir, path);
    int err = errno;

    if (r != -1 || err != want)
        gt_fail(false, __FILE__, __LINE__, "%s, %s: got %ld %s, want %s", row->name, what, r,
                r == -1 ? gt_errname(err) : "", gt_errname(want));
}

TEST(wrong_descriptors)
{
    int file, link, p[2], sv[2];

    scratch();
    put_file("f", "x");
    CHECK_EQ(symlink(".", "dot"), 0);
    file = open("f", O_RDWR);
    link = open("dot", O_PATH | O_NOFOLLOW);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    EACH(row)
    {
        expect_error(row, -1, "x", "-1", EBADF);
        expect_error(row, 999, "x", "closed", EBADF);
        expect_error(row, INT_MAX, "x", "INT_MAX", EBADF);
        expect_error(row, INT_MIN, "x", "INT_MIN", EBADF);
        expect_error(row, file, "x", "a file", ENOTDIR);
        expect_error(row, link, "x", "a link", ENOTDIR);
        expect_error(row, p[0], "x", "a pipe", ENOTDIR);
        expect_error(row, sv[0], "x", "a socket", ENOTDIR);
        /* The path is fetched before the descriptor is looked at. */
        expect_error(row, -1, (char *)8, "-1 and a bad address", EFAULT);
        /* readlinkat takes an empty path as the descriptor's own without being asked. */
        expect_error(row, -1, "", "-1 and an empty path",
                     row->call == do_readlinkat ? EBADF : ENOENT);
    }
    CHECK(file_is("f", "x"));
}

TEST(absolute_paths_ignore_the_descriptor)
{
    char path[PATH_MAX];
    const char *top = scratch();
    struct stat st;

    put_file("f", "x");
    (void)snprintf(path, sizeof(path), "%s/f", top);
    CHECK(openat(-1, path, O_RDONLY) >= 0);
    CHECK_EQ(fstatat(999, path, &st, 0), 0);
    CHECK_EQ(faccessat(-7, path, F_OK, 0), 0);
    CHECK_EQ(fchmodat(-7, path, 0600, 0), 0);
    CHECK_EQ(fchownat(-7, path, 1, 1, 0), 0);
    CHECK_EQ(utimensat(-7, path, NULL, 0), 0);
    (void)snprintf(path, sizeof(path), "%s/d", top);
    CHECK_EQ(mkdirat(-7, path, 0755), 0);
    CHECK_EQ(unlinkat(-7, path, AT_REMOVEDIR), 0);
    CHECK_EQ(symlinkat("f", -7, path), 0);
    CHECK_EQ(readlinkat(-7, path, buffer, sizeof(buffer)), 1);
}

TEST(deleted_directory)
{
    int dir;

    scratch();
    put_file("f", "x");
    CHECK_EQ(mkdir("d", 0755), 0);
    dir = open("d", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(rmdir("d"), 0);
    EACH(row)
    expect_error(row, dir, "x", "a deleted directory", ENOENT);
    CHECK_EQ(faccessat(dir, ".", F_OK, 0), 0);
    struct stat st;
    CHECK_EQ(fstat(dir, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
}

TEST(each_call_on_a_moved_directory)
{
    int dir;
    struct stat st;

    scratch();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("b", 0755), 0);
    CHECK_EQ(mkdir("a/d", 0755), 0);
    dir = open("a/d", O_PATH);
    CHECK_EQ(rename("a/d", "b/e"), 0);
    CHECK_EQ(mknodat(dir, "f", S_IFREG | 0600, 0), 0);
    CHECK_EQ(access("b/e/f", F_OK), 0);
    CHECK_EQ(mkdirat(dir, "../made", 0755), 0);
    CHECK_EQ(access("b/made", F_OK), 0);
    CHECK_EQ(fstatat(dir, "..", &st, 0), 0);
    struct stat b;
    CHECK_EQ(stat("b", &b), 0);
    CHECK_EQ(st.st_ino, b.st_ino);
    CHECK_EQ(renameat(dir, "f", dir, "g"), 0);
    CHECK_EQ(linkat(dir, "g", dir, "h", 0), 0);
    CHECK_EQ(unlinkat(dir, "g", 0), 0);
    CHECK_EQ(access("b/e/h", F_OK), 0);
}

TEST(empty_path_flag)
{
    struct timespec t[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
    struct stat st;
    int fd, path_fd;

    scratch();
    put_file("f", "x");
    fd = open("f", O_RDONLY);
    path_fd = open("f", O_PATH);
    CHECK_EQ(fstatat(path_fd, "", &st, AT_EMPTY_PATH), 0);
    CHECK_EQ(fchownat(path_fd, "", 7, 8, AT_EMPTY_PATH), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_uid, 7);
    CHECK_EQ(linkat(path_fd, "", AT_FDCWD, "linked", AT_EMPTY_PATH), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 2);
    /* With a null path utimensat means the descriptor itself. */
    CHECK_EQ(syscall(SYS_utimensat, fd, NULL, t, 0), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 2);
    CHECK_ERRNO(syscall(SYS_utimensat, path_fd, NULL, t, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, NULL, t, 0), EFAULT);
    CHECK_ERRNO(fstatat(-1, "", &st, AT_EMPTY_PATH), EBADF);
    CHECK_ERRNO(fchownat(-1, "", 0, 0, AT_EMPTY_PATH), EBADF);
}

TEST(through_proc_self_fd)
{
    char path[64];
    struct stat a, b;
    int fd, dir;

    scratch();
    put_file("f", "abc");
    CHECK_EQ(mkdir("d", 0755), 0);
    put_file("d/in", "");
    fd = open("f", O_RDONLY);
    dir = open("d", O_PATH);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(stat(path, &a), 0);
    CHECK_EQ(fstat(fd, &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(lstat(path, &a), 0);
    CHECK(S_ISLNK(a.st_mode));
    CHECK_EQ(chmod(path, 0600), 0);
    CHECK_EQ(chown(path, 5, 6), 0);
    CHECK_EQ(truncate(path, 1), 0);
    CHECK_EQ(fstat(fd, &b), 0);
    CHECK(b.st_size == 1 && b.st_uid == 5 && (b.st_mode & 07777) == 0600);
    /* A deeper access mode than the descriptor's own. */
    CHECK((fd = open(path, O_RDWR | O_TRUNC)) >= 0);
    CHECK(file_is("f", ""));
    CHECK_ERRNO(unlink(path), EPERM);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/in", dir);
    CHECK_EQ(access(path, F_OK), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/..", dir);
    CHECK_EQ(stat(path, &a), 0);
    CHECK_EQ(stat(".", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(unlink("f"), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(stat(path, &a), 0);
    CHECK_EQ(a.st_nlink, 0);
    CHECK((fd = open(path, O_RDWR)) >= 0);
}

TEST(execveat_forms)
{
    int fd, dir;

    scratch();
    put_file("script", "#!/bin/sh\nexit 0\n");
    CHECK_EQ(chmod("script", 0755), 0);
    CHECK_EQ(symlink("script", "slink"), 0);
    dir = open(".", O_PATH);
    fd = open(gt_self, O_PATH | O_CLOEXEC);
    CHECK(fd >= 0);
    pid_t pid = FORK({
        char *argv[] = {"x", "-xnothing", NULL};
        char *envp[] = {NULL};

        CHECK_ERRNO(syscall(SYS_execveat, dir, "slink", argv, envp, AT_SYMLINK_NOFOLLOW), ELOOP);
        CHECK_ERRNO(syscall(SYS_execveat, dir, "", argv, envp, 0), ENOENT);
        CHECK_ERRNO(syscall(SYS_execveat, dir, "script", argv, envp, 0x10000000), EINVAL);
        CHECK_ERRNO(syscall(SYS_execveat, dir, "", argv, envp, AT_EMPTY_PATH), EACCES);
        syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
        FAIL("execveat: %s", gt_errname(errno));
    });
    wait_ok(pid);
}

ENTRY(nothing)
{
    return 0;
}

TEST(file_handles)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + 128];
    } u = {.h.handle_bytes = 0};
    int id, fd, dir;

    scratch();
    put_file("f", "handle");
    if (name_to_handle_at(AT_FDCWD, "f", &u.h, &id, 0) < 0 &&
        (errno == EOPNOTSUPP || errno == ENOSYS))
        SKIP("no file handles here");
    CHECK_EQ(errno, EOVERFLOW);
    CHECK(u.h.handle_bytes > 0 && u.h.handle_bytes <= 128);
    CHECK_EQ(name_to_handle_at(AT_FDCWD, "f", &u.h, &id, 0), 0);
    dir = open(".", O_RDONLY);
    fd = open_by_handle_at(dir, &u.h, O_RDONLY);
    if (fd < 0)
        SKIP("handles cannot be opened here: %s", gt_errname(errno));
    CHECK_EQ(read(fd, buffer, 10), 6);
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "none", &u.h, &id, 0), ENOENT);
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "f", &u.h, &id, 0x10000000), EINVAL);
}
