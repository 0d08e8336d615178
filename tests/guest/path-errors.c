/*
 * Every call that takes a path, against every way a path can be wrong. One table of calls, one
 * table of paths: what differs from the rule is said in the call's row.
 */
#include "scratch.h"

#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Calls are raw, so that bad addresses reach the kernel. */
#define CALL(name) static long do_##name(const char *p)

static char buffer[8192];

/* clang-format off */
CALL(open) { return syscall(SYS_open, p, O_RDONLY); }
CALL(openat) { return syscall(SYS_openat, AT_FDCWD, p, O_RDONLY); }
CALL(open_path) { return syscall(SYS_openat, AT_FDCWD, p, O_PATH); }
CALL(creat) { return syscall(SYS_creat, p, 0600); }
CALL(open_excl) { return syscall(SYS_open, p, O_CREAT | O_EXCL | O_RDWR, 0600); }
CALL(stat) { return syscall(SYS_stat, p, buffer); }
CALL(lstat) { return syscall(SYS_lstat, p, buffer); }
CALL(newfstatat) { return syscall(SYS_newfstatat, AT_FDCWD, p, buffer, 0); }
CALL(statx) { return syscall(SYS_statx, AT_FDCWD, p, 0, STATX_ALL, buffer); }
CALL(access) { return syscall(SYS_access, p, F_OK); }
CALL(faccessat) { return syscall(SYS_faccessat, AT_FDCWD, p, F_OK); }
CALL(faccessat2) { return syscall(SYS_faccessat2, AT_FDCWD, p, F_OK, 0); }
CALL(chmod) { return syscall(SYS_chmod, p, 0644); }
CALL(fchmodat) { return syscall(SYS_fchmodat, AT_FDCWD, p, 0644); }
CALL(chown) { return syscall(SYS_chown, p, 0, 0); }
CALL(lchown) { return syscall(SYS_lchown, p, 0, 0); }
CALL(fchownat) { return syscall(SYS_fchownat, AT_FDCWD, p, 0, 0, 0); }
CALL(utime) { return syscall(SYS_utime, p, NULL); }
CALL(utimes) { return syscall(SYS_utimes, p, NULL); }
CALL(utimensat) { return syscall(SYS_utimensat, AT_FDCWD, p, NULL, 0); }
CALL(mkdir) { return syscall(SYS_mkdir, p, 0755); }
CALL(mkdirat) { return syscall(SYS_mkdirat, AT_FDCWD, p, 0755); }
CALL(rmdir) { return syscall(SYS_rmdir, p); }
CALL(mknod) { return syscall(SYS_mknod, p, S_IFREG | 0600, 0); }
CALL(mknodat) { return syscall(SYS_mknodat, AT_FDCWD, p, S_IFIFO | 0600, 0); }
CALL(unlink) { return syscall(SYS_unlink, p); }
CALL(unlinkat) { return syscall(SYS_unlinkat, AT_FDCWD, p, 0); }
CALL(readlink) { return syscall(SYS_readlink, p, buffer, sizeof(buffer)); }
CALL(readlinkat) { return syscall(SYS_readlinkat, AT_FDCWD, p, buffer, sizeof(buffer)); }
CALL(symlink_new) { return syscall(SYS_symlink, "target", p); }
CALL(link_old) { return syscall(SYS_link, p, "linked"); }
CALL(link_new) { return syscall(SYS_link, "f", p); }
CALL(rename_old) { return syscall(SYS_rename, p, "renamed"); }
CALL(rename_new) { return syscall(SYS_rename, "f", p); }
CALL(renameat2_old) { return syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, "renamed", 0); }
CALL(truncate) { return syscall(SYS_truncate, p, 0); }
CALL(chdir) { return syscall(SYS_chdir, p); }
CALL(chroot) { return syscall(SYS_chroot, p); }
CALL(statfs) { return syscall(SYS_statfs, p, buffer); }
CALL(getxattr) { return syscall(SYS_getxattr, p, "user.x", buffer, 10); }
CALL(setxattr) { return syscall(SYS_setxattr, p, "user.x", "v", 1, 0); }
CALL(listxattr) { return syscall(SYS_listxattr, p, buffer, 10); }
CALL(removexattr) { return syscall(SYS_removexattr, p, "user.x"); }
/* clang-format on */
CALL(execve)
{
    char *argv[] = {"x", NULL};

    return syscall(SYS_execve, p, argv, NULL);
}
CALL(inotify)
{
    int fd = inotify_init(), saved;
    long r = syscall(SYS_inotify_add_watch, fd, p, IN_CREATE);

    saved = errno;
    close(fd);
    errno = saved;
    return r;
}
CALL(openat2)
{
    uint64_t how[3] = {0};

    return syscall(SYS_openat2, AT_FDCWD, p, how, sizeof(how));
}

enum {
    MAKES = 1,    /* the last component need not exist */
    NO_FOLLOW = 2 /* a link in the last component is not followed */
};

static const struct row {
    const char *name;
    long (*call)(const char *);
    int flags;
} rows[] = {
    {"open", do_open, 0},
    {"openat", do_openat, 0},
    {"openat O_PATH", do_open_path, 0},
    {"creat", do_creat, MAKES},
    {"open O_EXCL", do_open_excl, MAKES | NO_FOLLOW},
    {"openat2", do_openat2, 0},
    {"stat", do_stat, 0},
    {"lstat", do_lstat, NO_FOLLOW},
    {"newfstatat", do_newfstatat, 0},
    {"statx", do_statx, 0},
    {"access", do_access, 0},
    {"faccessat", do_faccessat, 0},
    {"faccessat2", do_faccessat2, 0},
    {"chmod", do_chmod, 0},
    {"fchmodat", do_fchmodat, 0},
    {"chown", do_chown, 0},
    {"lchown", do_lchown, NO_FOLLOW},
    {"fchownat", do_fchownat, 0},
    {"utime", do_utime, 0},
    {"utimes", do_utimes, 0},
    {"utimensat", do_utimensat, 0},
    {"mkdir", do_mkdir, MAKES | NO_FOLLOW},
    {"mkdirat", do_mkdirat, MAKES | NO_FOLLOW},
    {"rmdir", do_rmdir, NO_FOLLOW},
    {"mknod", do_mknod, MAKES | NO_FOLLOW},
    {"mknodat", do_mknodat, MAKES | NO_FOLLOW},
    {"unlink", do_unlink, NO_FOLLOW},
    {"unlinkat", do_unlinkat, NO_FOLLOW},
    {"readlink", do_readlink, NO_FOLLOW},
    {"readlinkat", do_readlinkat, NO_FOLLOW},
    {"symlink", do_symlink_new, MAKES | NO_FOLLOW},
    {"link from", do_link_old, NO_FOLLOW},
    {"link to", do_link_new, MAKES | NO_FOLLOW},
    {"rename from", do_rename_old, NO_FOLLOW},
    {"rename to", do_rename_new, MAKES | NO_FOLLOW},
    {"renameat2 from", do_renameat2_old, NO_FOLLOW},
    {"truncate", do_truncate, 0},
    {"chdir", do_chdir, 0},
    {"chroot", do_chroot, 0},
    {"statfs", do_statfs, 0},
    {"getxattr", do_getxattr, 0},
    {"setxattr", do_setxattr, 0},
    {"listxattr", do_listxattr, 0},
    {"removexattr", do_removexattr, 0},
    {"execve", do_execve, 0},
    {"inotify_add_watch", do_inotify, 0},
};

static void expect_error(const struct row *row, const char *path, const char *what, int want)
{
    errno = 0;
    long r = row->call(path);
    int err = errno;

    if (r != -1 || err != want)
        gt_fail(false, __FILE__, __LINE__, "%s, %s: got %ld %s, want %s", row->name, what, r,
                r == -1 ? gt_errname(err) : "", gt_errname(want));
}

#define EACH(row) for (const struct row *row = rows; row < rows + GT_COUNT(rows); row++)

static void start(void)
{
    scratch();
    put_file("f", "x");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(symlink("loop2", "loop1"), 0);
    CHECK_EQ(symlink("loop1", "loop2"), 0);
    CHECK_EQ(symlink("nowhere", "dangling"), 0);
    CHECK_EQ(symlink("f", "flink"), 0);
}

TEST(bad_address)
{
    start();
    EACH(row)
    {
        /* What utimensat does to a null path has its own meaning. */
        if (strcmp(row->name, "utimensat") != 0)
            expect_error(row, NULL, "null", EFAULT);
        expect_error(row, (char *)8, "low address", EFAULT);
        expect_error(row, (char *)-4096l, "kernel address", EFAULT);
        expect_error(row, (char *)0x8000000000000000ul, "non-canonical address", EFAULT);
    }
}

TEST(path_that_runs_into_unmapped_memory)
{
    char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    start();
    CHECK(two != MAP_FAILED);
    CHECK_EQ(munmap(two + 4096, 4096), 0);
    memset(two, 'a', 4096);
    EACH(row)
    expect_error(row, two + 4000, "no terminator before the hole", EFAULT);
    /* A path that ends right at the border is fine. */
    memcpy(two + 4094, "f", 2);
    CHECK_EQ(do_stat(two + 4094), 0);
}

TEST(empty_path)
{
    start();
    EACH(row)
    expect_error(row, "", "empty", ENOENT);
}

TEST(missing_component)
{
    start();
    EACH(row)
    {
        expect_error(row, "none/x", "missing directory", ENOENT);
        if (!(row->flags & MAKES))
            expect_error(row, "none", "missing file", ENOENT);
        expect_error(row, "dangling/x", "dangling link as directory", ENOENT);
        if (!(row->flags & (MAKES | NO_FOLLOW)))
            expect_error(row, "dangling", "dangling link", ENOENT);
    }
}

TEST(file_as_directory)
{
    start();
    EACH(row)
    {
        expect_error(row, "f/x", "below a file", ENOTDIR);
        expect_error(row, "f/x/y", "far below a file", ENOTDIR);
        expect_error(row, "flink/x", "below a link to a file", ENOTDIR);
        if (!(row->flags & MAKES))
            expect_error(row, "f/", "slash behind a file", ENOTDIR);
    }
}

TEST(name_too_long)
{
    char path[600];

    start();
    memset(path, 'n', 256);
    path[256] = '\0';
    EACH(row)
    expect_error(row, path, "name of 256 bytes", ENAMETOOLONG);
    memcpy(path + 256, "/x", 3);
    EACH(row)
    expect_error(row, path, "directory of 256 bytes", ENAMETOOLONG);
    memmove(path + 2, path, 257);
    memcpy(path, "d/", 2);
    path[258] = '\0';
    EACH(row)
    expect_error(row, path, "name of 256 bytes in a directory", ENAMETOOLONG);
}

TEST(path_too_long)
{
    char path[8192];

    start();
    for (size_t i = 0; i + 2 < sizeof(path); i += 2)
        memcpy(path + i, "./", 3);
    memcpy(path + 4095, "f", 2);
    EACH(row)
    expect_error(row, path, "4,096 bytes", ENAMETOOLONG);
    memset(path, 'y', 8000);
    path[8000] = '\0';
    EACH(row)
    expect_error(row, path, "8,000 bytes", ENAMETOOLONG);
}

TEST(link_loop)
{
    start();
    EACH(row)
    {
        expect_error(row, "loop1/x", "loop on the way", ELOOP);
        if (!(row->flags & NO_FOLLOW))
            expect_error(row, "loop1", "loop at the end", ELOOP);
    }
}

static void each_denied(void)
{
    EACH(row)
    {
        expect_error(row, "private/x", "no search permission", EACCES);
        expect_error(row, "private/sub/x", "no search permission above", EACCES);
        expect_error(row, "priv-link/x", "no search permission behind a link", EACCES);
    }
}

TEST(no_search_permission)
{
    start();
    CHECK_EQ(mkdir("private", 0755), 0);
    CHECK_EQ(mkdir("private/sub", 0755), 0);
    put_file("private/x", "");
    put_file("private/sub/x", "");
    CHECK_EQ(symlink("private", "priv-link"), 0);
    CHECK_EQ(chmod("private", 0600), 0);
    CHECK_EQ(chown("private", OTHER_UID, OTHER_GID), 0);
    CHECK_EQ(chmod(".", 0777), 0);
    CHECK_EQ(chown("f", OTHER_UID, OTHER_GID), 0);
    as_user(OTHER_UID, OTHER_GID, each_denied);
}

TEST(nothing_was_made_or_removed)
{
    struct stat st;

    start();
    EACH(row)
    {
        (void)row->call("f/x");
        (void)row->call("none/x");
        (void)row->call("loop1/x");
    }
    CHECK(file_is("f", "x"));
    CHECK_EQ(lstat("loop1", &st), 0);
    CHECK_ERRNO(access("linked", F_OK), ENOENT);
    CHECK_ERRNO(access("renamed", F_OK), ENOENT);
    CHECK_ERRNO(access("none", F_OK), ENOENT);
}

TEST(socket_paths)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    static const struct {
        const char *path;
        int err;
    } cases[] = {{"none/s", ENOENT}, {"f/s", ENOTDIR}, {"loop1/s", ELOOP}, {"none", ENOENT}};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    start();
    for (size_t i = 0; i < GT_COUNT(cases); i++) {
        (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", cases[i].path);
        CHECK_ERRNO(connect(fd, (void *)&a, sizeof(a)), cases[i].err);
        if (i < 3)
            CHECK_ERRNO(bind(fd, (void *)&a, sizeof(a)), cases[i].err);
    }
}
