/*
 * The stat family, statx, access and faccessat2, utimensat, chmod and chown with their *at forms,
 * statfs and the sync calls.
 */
#include "scratch.h"

#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <utime.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

TEST(stat_of_each_type)
{
    struct stat st;

    scratch();
    put_file("f", "12345");
    CHECK_EQ(mkdir("d", 0750), 0);
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_EQ(mkfifo("p", 0600), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0644);
    CHECK_EQ(st.st_size, 5);
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(st.st_uid, 0);
    CHECK_EQ(st.st_gid, 0);
    CHECK(st.st_ino != 0);
    CHECK(st.st_blksize >= 512);
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_mode, S_IFDIR | 0750);
    CHECK_EQ(st.st_nlink, 2);
    CHECK_EQ(stat("l", &st), 0);
    CHECK(S_ISREG(st.st_mode));
    CHECK_EQ(lstat("l", &st), 0);
    CHECK_EQ(st.st_mode, S_IFLNK | 0777);
    CHECK_EQ(st.st_size, 1);
    CHECK_EQ(stat("p", &st), 0);
    CHECK_EQ(st.st_mode, S_IFIFO | 0600);
    CHECK_EQ(stat("/dev/null", &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(major(st.st_rdev), 1);
    CHECK_EQ(minor(st.st_rdev), 3);
    CHECK_EQ(stat("/", &st), 0);
    CHECK(S_ISDIR(st.st_mode));
}

TEST(stat_errors)
{
    struct stat st;

    scratch();
    put_file("f", "");
    CHECK_ERRNO(stat("none", &st), ENOENT);
    CHECK_ERRNO(stat("", &st), ENOENT);
    CHECK_ERRNO(stat("f/x", &st), ENOTDIR);
    CHECK_ERRNO(stat("f/", &st), ENOTDIR);
    CHECK_ERRNO(fstat(-1, &st), EBADF);
    CHECK_ERRNO(syscall(SYS_stat, "f", (void *)8), EFAULT);
    CHECK_ERRNO(syscall(SYS_stat, (void *)8, &st), EFAULT);
    CHECK_ERRNO(syscall(SYS_fstat, 0, (void *)8), EFAULT);
    CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "f", &st, 0x10000000), EINVAL);
    CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "", &st, 0), ENOENT);
    CHECK_EQ(symlink("none", "l"), 0);
    CHECK_ERRNO(stat("l", &st), ENOENT);
    CHECK_EQ(lstat("l", &st), 0);
    CHECK_ERRNO(lstat("l/", &st), ENOENT);
}

TEST(fstatat_flags)
{
    struct stat st, by_fd;
    int dir, fd;

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    put_file("d/f", "abc");
    CHECK_EQ(symlink("f", "d/l"), 0);
    dir = open("d", O_RDONLY);
    fd = open("d/f", O_RDONLY);
    CHECK_EQ(fstat(fd, &by_fd), 0);
    CHECK_EQ(fstatat(dir, "f", &st, 0), 0);
    CHECK_EQ(st.st_ino, by_fd.st_ino);
    CHECK_EQ(fstatat(dir, "l", &st, 0), 0);
    CHECK_EQ(st.st_ino, by_fd.st_ino);
    CHECK_EQ(fstatat(dir, "l", &st, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(fstatat(fd, "", &st, AT_EMPTY_PATH), 0);
    CHECK_EQ(st.st_ino, by_fd.st_ino);
    CHECK_EQ(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH), 0);
    CHECK(S_ISDIR(st.st_mode));
    CHECK_EQ(fstatat(dir, "f", &st, AT_NO_AUTOMOUNT), 0);
    CHECK_ERRNO(fstatat(fd, "x", &st, 0), ENOTDIR);
    CHECK_ERRNO(fstatat(77, "x", &st, 0), EBADF);
    CHECK_EQ(fstatat(77, "/", &st, 0), 0);
}

TEST(fstat_of_other_objects)
{
    struct stat st;
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(fstat(p[0], &st), 0);
    CHECK(S_ISFIFO(st.st_mode));
    CHECK_EQ(fstat(p[1], &st), 0);
    CHECK_EQ(st.st_size, 0);
}

TEST(inode_numbers)
{
    struct stat a, b, c;

    scratch();
    put_file("a", "");
    put_file("b", "");
    CHECK_EQ(link("a", "c"), 0);
    CHECK_EQ(stat("a", &a), 0);
    CHECK_EQ(stat("b", &b), 0);
    CHECK_EQ(stat("c", &c), 0);
    CHECK(a.st_ino != b.st_ino);
    CHECK_EQ(a.st_ino, c.st_ino);
    CHECK_EQ(a.st_dev, b.st_dev);
    CHECK_EQ(c.st_nlink, 2);
    CHECK_EQ(rename("a", "d"), 0);
    CHECK_EQ(stat("d", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
}

TEST(directory_link_count)
{
    struct stat st;

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(mkdir("d/a", 0755), 0);
    CHECK_EQ(mkdir("d/b", 0755), 0);
    put_file("d/f", "");
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_nlink, 4);
    CHECK_EQ(rmdir("d/a"), 0);
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_nlink, 3);
    CHECK_EQ(rename("d/b", "b"), 0);
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_nlink, 2);
}

TEST(statx_masks)
{
    static const unsigned masks[] = {0,         STATX_TYPE, STATX_SIZE, STATX_BASIC_STATS,
                                     STATX_ALL, STATX_BTIME};
    struct statx sx;
    struct stat st;

    scratch();
    put_file("f", "hello");
    CHECK_EQ(stat("f", &st), 0);
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        memset(&sx, 0xff, sizeof(sx));
        CHECK_EQ(statx(AT_FDCWD, "f", 0, masks[i], &sx), 0);
        CHECK_EQ(masks[i] & STATX_BASIC_STATS & ~sx.stx_mask, 0);
        CHECK_EQ(sx.stx_mode, st.st_mode);
        CHECK_EQ(sx.stx_size, st.st_size);
        CHECK_EQ(sx.stx_ino, st.st_ino);
        CHECK_EQ(sx.stx_nlink, 1);
        CHECK_EQ(sx.stx_uid, 0);
        CHECK_EQ(sx.stx_dev_major, major(st.st_dev));
        CHECK_EQ(sx.stx_dev_minor, minor(st.st_dev));
        /* Recent kernels look at the time stamps only when they are asked for. */
        if (masks[i] & STATX_MTIME) {
            CHECK_EQ(sx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
            CHECK_EQ(sx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
        }
    }
}

TEST(statx_arguments)
{
    struct statx sx;
    int fd;

    scratch();
    put_file("f", "hello");
    CHECK_EQ(symlink("f", "l"), 0);
    fd = open("f", O_RDONLY);
    CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx), 0);
    CHECK_EQ(sx.stx_size, 5);
    CHECK_EQ(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &sx), 0);
    CHECK(S_ISLNK(sx.stx_mode));
    CHECK_EQ(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &sx), 0);
    CHECK_EQ(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &sx), 0);
    CHECK_ERRNO(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &sx), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, "f", 0x10000000, 0, &sx), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, "f", 0, STATX__RESERVED, &sx), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, "none", 0, 0, &sx), ENOENT);
    CHECK_ERRNO(statx(AT_FDCWD, "", 0, 0, &sx), ENOENT);
    CHECK_ERRNO(statx(99, "", AT_EMPTY_PATH, 0, &sx), EBADF);
    CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, "f", 0, 0, (void *)8), EFAULT);
    CHECK_EQ(statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &sx), 0);
    CHECK(sx.stx_attributes_mask == 0 || (sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0 ||
          (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT));
}

TEST(access_as_root)
{
    scratch();
    if (noexec_here())
        SKIP("mounted noexec");
    put_file("f", "");
    CHECK_EQ(chmod("f", 0), 0);
    CHECK_EQ(mkdir("d", 0), 0);
    CHECK_EQ(access("f", F_OK), 0);
    CHECK_EQ(access("f", R_OK | W_OK), 0);
    /* Root may execute only what has an x bit somewhere; directories are always searchable. */
    CHECK_ERRNO(access("f", X_OK), EACCES);
    CHECK_EQ(chmod("f", 0001), 0);
    CHECK_EQ(access("f", X_OK), 0);
    CHECK_EQ(access("d", R_OK | W_OK | X_OK), 0);
    CHECK_ERRNO(access("none", F_OK), ENOENT);
    CHECK_ERRNO(access("f/x", F_OK), ENOTDIR);
    CHECK_ERRNO(access("f", 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_access, (void *)8, 0), EFAULT);
}

static void check_access_matrix(void)
{
    for (mode_t m = 0; m < 8; m++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "m%u", m);
        for (int want = 0; want < 8; want++) {
            if ((want & (int)m) == want)
                CHECK_EQ(access(name, want), 0);
            else
                CHECK_ERRNO(access(name, want), EACCES);
        }
    }
}

TEST(access_as_other_users)
{
    static const struct {
        uid_t uid;
        gid_t gid;
        int shift;
    } owners[] = {{OTHER_UID, 0, 6}, {0, OTHER_GID, 3}, {0, 0, 0}};

    scratch();
    if (noexec_here())
        SKIP("mounted noexec");
    for (size_t i = 0; i < 3; i++) {
        for (mode_t m = 0; m < 8; m++) {
            char name[8];

            (void)snprintf(name, sizeof(name), "m%u", m);
            put_file(name, "");
            CHECK_EQ(chown(name, owners[i].uid, owners[i].gid), 0);
            /* The other two classes have everything: only the matching class may count. */
            CHECK_EQ(chmod(name, (0777 & ~(7u << owners[i].shift)) | (m << owners[i].shift)), 0);
        }
        as_user(OTHER_UID, OTHER_GID, check_access_matrix);
        for (mode_t m = 0; m < 8; m++) {
            char name[8];

            (void)snprintf(name, sizeof(name), "m%u", m);
            CHECK_EQ(unlink(name), 0);
        }
    }
}

TEST(access_uses_the_real_ids)
{
    scratch();
    put_file("f", "");
    CHECK_EQ(chmod("f", 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(setresuid(OTHER_UID, 0, 0), 0);
        CHECK_ERRNO(access("f", R_OK), EACCES);
        CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0), EACCES);
        CHECK_EQ(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS), 0);
        CHECK(open("f", O_RDONLY) >= 0);
        _exit(0);
    }
    wait_ok(pid);
}

TEST(faccessat2_flags)
{
    int fd;

    scratch();
    put_file("f", "");
    CHECK_EQ(symlink("none", "l"), 0);
    CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, 0), ENOENT);
    CHECK_EQ(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW), 0);
    fd = open("f", O_PATH);
    CHECK_EQ(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH), 0);
    CHECK_ERRNO(syscall(SYS_faccessat2, fd, "", R_OK, 0), ENOENT);
    CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0x40000000), EINVAL);
    CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", 8, 0), EINVAL);
    CHECK_EQ(syscall(SYS_faccessat, AT_FDCWD, "f", R_OK), 0);
}

TEST(utimensat_now_and_omit)
{
    struct timespec t[2];
    struct stat st;

    scratch();
    put_file("f", "");
    t[0] = (struct timespec){.tv_sec = 1234567890, .tv_nsec = 987654321};
    t[1] = (struct timespec){.tv_sec = 1000000000, .tv_nsec = 123456789};
    CHECK_EQ(utimensat(AT_FDCWD, "f", t, 0), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1234567890);
    CHECK_EQ(st.st_atim.tv_nsec, 987654321);
    CHECK_EQ(st.st_mtim.tv_sec, 1000000000);
    CHECK_EQ(st.st_mtim.tv_nsec, 123456789);
    t[0].tv_nsec = UTIME_OMIT;
    t[1] = (struct timespec){.tv_sec = 5, .tv_nsec = 0};
    CHECK_EQ(utimensat(AT_FDCWD, "f", t, 0), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1234567890);
    CHECK_EQ(st.st_mtim.tv_sec, 5);
    t[0].tv_nsec = UTIME_NOW;
    t[1].tv_nsec = UTIME_OMIT;
    CHECK_EQ(utimensat(AT_FDCWD, "f", t, 0), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_atim.tv_sec > 1500000000);
    CHECK_EQ(st.st_mtim.tv_sec, 5);
    CHECK_EQ(utimensat(AT_FDCWD, "f", NULL, 0), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_mtim.tv_sec > 1500000000);
    t[0].tv_nsec = t[1].tv_nsec = UTIME_OMIT;
    CHECK_EQ(utimensat(AT_FDCWD, "none", t, 0), 0);
}

TEST(utimensat_errors_and_kin)
{
    struct timespec t[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
    struct timeval tv[2] = {{.tv_sec = 3}, {.tv_sec = 4}};
    struct utimbuf ub = {5, 6};
    struct stat st;
    int fd;

    scratch();
    put_file("f", "");
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_EQ(lstat("l", &st), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 2);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_mtim.tv_sec > 1500000000);
    fd = open("f", O_RDONLY);
    CHECK_EQ(futimens(fd, t), 0);
    CHECK_EQ(utimes("f", tv), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 4);
    CHECK_EQ(utime("f", &ub), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 6);
    CHECK_ERRNO(utimensat(AT_FDCWD, "none", t, 0), ENOENT);
    CHECK_ERRNO(utimensat(AT_FDCWD, "f", t, 0x10000000), EINVAL);
    t[0].tv_nsec = 1000000000;
    CHECK_ERRNO(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
    t[0].tv_nsec = -5;
    CHECK_ERRNO(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
}

static void other_sets_times(void)
{
    struct timespec t[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
    struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

    CHECK_ERRNO(utimensat(AT_FDCWD, "readable", t, 0), EPERM);
    CHECK_ERRNO(utimensat(AT_FDCWD, "readable", NULL, 0), EACCES);
    CHECK_ERRNO(utimensat(AT_FDCWD, "writable", t, 0), EPERM);
    CHECK_EQ(utimensat(AT_FDCWD, "writable", NULL, 0), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "writable", now, 0), 0);
    now[1].tv_nsec = UTIME_OMIT;
    CHECK_ERRNO(utimensat(AT_FDCWD, "writable", now, 0), EPERM);
    CHECK_EQ(utimensat(AT_FDCWD, "own", t, 0), 0);
}

TEST(utimensat_permissions)
{
    scratch();
    put_file("readable", "");
    put_file("writable", "");
    put_file("own", "");
    CHECK_EQ(chmod("writable", 0666), 0);
    CHECK_EQ(chown("own", OTHER_UID, 0), 0);
    CHECK_EQ(chmod("own", 0), 0);
    as_user(OTHER_UID, OTHER_GID, other_sets_times);
}

TEST(chmod_and_its_kin)
{
    struct stat st;
    int fd;

    scratch();
    put_file("f", "");
    CHECK_EQ(symlink("f", "l"), 0);
    for (mode_t m = 0; m <= 07777; m += 0111) {
        CHECK_EQ(chmod("f", m), 0);
        CHECK_EQ(stat("f", &st), 0);
        CHECK_EQ(st.st_mode, S_IFREG | m);
    }
    /* Bits beyond 07777 are ignored. */
    CHECK_EQ(chmod("f", 0100644 | 0200000), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0644);
    fd = open("f", O_RDONLY);
    CHECK_EQ(fchmod(fd, 0600), 0);
    CHECK_EQ(fchmodat(AT_FDCWD, "l", 0640, 0), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0640);
    CHECK_ERRNO(chmod("none", 0600), ENOENT);
    CHECK_ERRNO(chmod("f/x", 0600), ENOTDIR);
    CHECK_ERRNO(fchmod(-1, 0600), EBADF);
}

TEST(fchmodat2_flags)
{
    struct stat st;
    int fd;

    scratch();
    put_file("f", "");
    if (syscall(SYS_fchmodat2, AT_FDCWD, "f", 0600, 0) < 0 && errno == ENOSYS)
        SKIP("no fchmodat2 here");
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0600);
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_ERRNO(syscall(SYS_fchmodat2, AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    CHECK_EQ(syscall(SYS_fchmodat2, AT_FDCWD, "f", 0640, AT_SYMLINK_NOFOLLOW), 0);
    fd = open("f", O_PATH);
    CHECK_EQ(syscall(SYS_fchmodat2, fd, "", 0604, AT_EMPTY_PATH), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0604);
    CHECK_ERRNO(syscall(SYS_fchmodat2, AT_FDCWD, "f", 0600, 0x40000000), EINVAL);
}

TEST(chown_and_its_kin)
{
    struct stat st;
    int fd;

    scratch();
    put_file("f", "");
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_EQ(chown("f", 11, 22), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_uid == 11 && st.st_gid == 22);
    CHECK_EQ(chown("l", 33, (gid_t)-1), 0);
    CHECK_EQ(chown("f", (uid_t)-1, 44), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_uid == 33 && st.st_gid == 44);
    CHECK_EQ(lchown("l", 55, 66), 0);
    CHECK_EQ(lstat("l", &st), 0);
    CHECK(st.st_uid == 55 && st.st_gid == 66);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_uid, 33);
    fd = open("f", O_RDONLY);
    CHECK_EQ(fchown(fd, 1, 2), 0);
    CHECK_EQ(fchownat(fd, "", 3, 4, AT_EMPTY_PATH), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_uid == 3 && st.st_gid == 4);
    CHECK_EQ(fchownat(AT_FDCWD, "l", 7, 8, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_ERRNO(fchownat(AT_FDCWD, "l", 7, 8, 0x40000000), EINVAL);
    CHECK_ERRNO(chown("none", 0, 0), ENOENT);
    CHECK_ERRNO(fchown(-1, 0, 0), EBADF);
}

TEST(chown_clears_set_id_bits)
{
    struct stat st;

    scratch();
    put_file("f", "");
    CHECK_EQ(chmod("f", 06755), 0);
    CHECK_EQ(chown("f", 1, 1), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0755);
    /* setgid without group execute marks mandatory locking and stays for root. */
    CHECK_EQ(chmod("f", 02644), 0);
    CHECK_EQ(chown("f", 2, 2), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 02644);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(chmod("d", 06755), 0);
    CHECK_EQ(chown("d", 1, 1), 0);
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 06755);
}

static void other_changes_owner(void)
{
    CHECK_ERRNO(chmod("root", 0777), EPERM);
    CHECK_ERRNO(chown("root", OTHER_UID, OTHER_GID), EPERM);
    CHECK_EQ(chmod("own", 0600), 0);
    CHECK_ERRNO(chown("own", 0, (gid_t)-1), EPERM);
    CHECK_ERRNO(chown("own", (uid_t)-1, 0), EPERM);
    CHECK_EQ(chown("own", OTHER_UID, OTHER_GID), 0);
    CHECK_EQ(chown("own", (uid_t)-1, (gid_t)-1), 0);
}

TEST(chmod_and_chown_permissions)
{
    struct stat st;

    scratch();
    put_file("root", "");
    put_file("own", "");
    CHECK_EQ(chown("own", OTHER_UID, THIRD_GID), 0);
    as_user(OTHER_UID, OTHER_GID, other_changes_owner);
    CHECK_EQ(stat("own", &st), 0);
    CHECK_EQ(st.st_gid, OTHER_GID);
}

static void owner_sets_sgid(void)
{
    CHECK_EQ(chmod("foreign-group", 02755), 0);
    CHECK_EQ(chmod("own-group", 02755), 0);
}

TEST(chmod_drops_setgid_outside_the_group)
{
    struct stat st;

    scratch();
    put_file("foreign-group", "");
    put_file("own-group", "");
    CHECK_EQ(chown("foreign-group", OTHER_UID, THIRD_GID), 0);
    CHECK_EQ(chown("own-group", OTHER_UID, OTHER_GID), 0);
    as_user(OTHER_UID, OTHER_GID, owner_sets_sgid);
    CHECK_EQ(stat("foreign-group", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0755);
    CHECK_EQ(stat("own-group", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 02755);
}

TEST(statfs_plausible)
{
    struct statfs sf, by_fd;
    struct statvfs sv;
    int fd;

    scratch();
    put_file("f", "");
    CHECK_EQ(statfs("f", &sf), 0);
    CHECK(sf.f_type != 0);
    CHECK(sf.f_bsize >= 512);
    CHECK(sf.f_namelen >= 255);
    CHECK(sf.f_bfree <= sf.f_blocks && sf.f_bavail <= sf.f_bfree);
    CHECK(sf.f_ffree <= sf.f_files);
    fd = open("f", O_PATH);
    CHECK_EQ(fstatfs(fd, &by_fd), 0);
    CHECK_EQ(by_fd.f_type, sf.f_type);
    CHECK_EQ(statvfs(".", &sv), 0);
    CHECK_EQ(sv.f_namemax, sf.f_namelen);
    CHECK_EQ(statfs("/proc", &sf), 0);
    CHECK_EQ(sf.f_type, 0x9fa0);
    CHECK_ERRNO(statfs("none", &sf), ENOENT);
    CHECK_ERRNO(fstatfs(-1, &sf), EBADF);
    CHECK_ERRNO(syscall(SYS_statfs, "f", (void *)8), EFAULT);
}

TEST(sync_calls)
{
    int fd, p[2];

    scratch();
    put_file("f", "");
    fd = open("f", O_RDWR);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(fdatasync(fd), 0);
    CHECK_EQ(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), 0);
    CHECK_ERRNO(sync_file_range(fd, -1, 0, SYNC_FILE_RANGE_WRITE), EINVAL);
    CHECK_ERRNO(sync_file_range(fd, 0, 0, 0x100), EINVAL);
    CHECK_EQ(fsync(open(".", O_RDONLY)), 0);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(fsync(p[0]), EINVAL);
    CHECK_ERRNO(fdatasync(p[0]), EINVAL);
    CHECK_ERRNO(sync_file_range(p[0], 0, 0, SYNC_FILE_RANGE_WRITE), ESPIPE);
    CHECK_ERRNO(fdatasync(-1), EBADF);
    CHECK_ERRNO(syncfs(-1), EBADF);
}
