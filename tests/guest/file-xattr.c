/*
 * Extended attributes: the three forms of each call, create and replace, lists, limits, name
 * spaces and who may use them. File systems without user attributes skip.
 */
#include "scratch.h"

#include <linux/capability.h>
#include <sys/xattr.h>

/* Makes a file; skips where user attributes are not to be had. */
static int file(void)
{
    int fd;

    scratch();
    put_file("f", "x");
    fd = open("f", O_RDWR);
    CHECK(fd >= 0);
    if (setxattr("f", "user.probe", "1", 1, 0) < 0) {
        CHECK_EQ(errno, EOPNOTSUPP);
        SKIP("no user attributes on this file system");
    }
    CHECK_EQ(removexattr("f", "user.probe"), 0);
    return fd;
}

static bool listed(const char *list, ssize_t size, const char *name)
{
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(list + at) + 1)
        if (strcmp(list + at, name) == 0)
            return true;
    return false;
}

TEST(set_get_remove)
{
    char buf[64];
    int fd = file();

    CHECK_EQ(setxattr("f", "user.a", "value", 5, 0), 0);
    CHECK_EQ(getxattr("f", "user.a", buf, sizeof(buf)), 5);
    CHECK(memcmp(buf, "value", 5) == 0);
    CHECK_EQ(fgetxattr(fd, "user.a", buf, sizeof(buf)), 5);
    CHECK_EQ(fsetxattr(fd, "user.a", "longer value", 12, 0), 0);
    CHECK_EQ(getxattr("f", "user.a", NULL, 0), 12);
    CHECK_ERRNO(getxattr("f", "user.a", buf, 11), ERANGE);
    CHECK_EQ(setxattr("f", "user.empty", "", 0, 0), 0);
    CHECK_EQ(getxattr("f", "user.empty", buf, sizeof(buf)), 0);
    CHECK_EQ(setxattr("f", "user.zero", "a\0b", 3, 0), 0);
    CHECK_EQ(getxattr("f", "user.zero", buf, sizeof(buf)), 3);
    CHECK(memcmp(buf, "a\0b", 3) == 0);
    CHECK_EQ(removexattr("f", "user.a"), 0);
    CHECK_ERRNO(getxattr("f", "user.a", buf, sizeof(buf)), ENODATA);
    CHECK_ERRNO(removexattr("f", "user.a"), ENODATA);
    CHECK_EQ(fremovexattr(fd, "user.empty"), 0);
}

TEST(create_and_replace)
{
    char buf[8];

    (void)file();
    CHECK_ERRNO(setxattr("f", "user.a", "1", 1, XATTR_REPLACE), ENODATA);
    CHECK_EQ(setxattr("f", "user.a", "1", 1, XATTR_CREATE), 0);
    CHECK_ERRNO(setxattr("f", "user.a", "2", 1, XATTR_CREATE), EEXIST);
    CHECK_EQ(setxattr("f", "user.a", "3", 1, XATTR_REPLACE), 0);
    CHECK_EQ(getxattr("f", "user.a", buf, 8), 1);
    CHECK_EQ(buf[0], '3');
    CHECK_ERRNO(setxattr("f", "user.a", "1", 1, 4), EINVAL);
}

TEST(lists)
{
    char list[1024];
    ssize_t n;
    int fd = file();

    CHECK_EQ(setxattr("f", "user.one", "1", 1, 0), 0);
    CHECK_EQ(setxattr("f", "user.two", "2", 1, 0), 0);
    n = listxattr("f", list, sizeof(list));
    CHECK(n > 0);
    CHECK(listed(list, n, "user.one") && listed(list, n, "user.two"));
    CHECK_EQ(listxattr("f", NULL, 0), n);
    CHECK_EQ(flistxattr(fd, list, sizeof(list)), n);
    CHECK_ERRNO(listxattr("f", list, (size_t)n - 1), ERANGE);
    CHECK_EQ(removexattr("f", "user.one"), 0);
    n = listxattr("f", list, sizeof(list));
    CHECK(!listed(list, n, "user.one") && listed(list, n, "user.two"));
    CHECK_ERRNO(listxattr("none", list, 10), ENOENT);
    CHECK_ERRNO(flistxattr(-1, list, 10), EBADF);
}

TEST(limits)
{
    static char big[65537];
    char name[300];

    (void)file();
    memset(name, 'n', sizeof(name));
    memcpy(name, "user.", 5);
    name[255] = '\0';
    CHECK_EQ(setxattr("f", name, "v", 1, 0), 0);
    CHECK_EQ(getxattr("f", name, big, 10), 1);
    name[255] = 'n';
    name[256] = '\0';
    CHECK_ERRNO(setxattr("f", name, "v", 1, 0), ERANGE);
    CHECK_ERRNO(getxattr("f", name, big, 10), ERANGE);
    CHECK_ERRNO(setxattr("f", "", "v", 1, 0), ERANGE);
    CHECK_ERRNO(setxattr("f", "user.big", big, 65537, 0), E2BIG);
    errno = 0;
    if (setxattr("f", "user.big", big, 65536, 0) < 0)
        CHECK(errno == ENOSPC || errno == E2BIG);
    else
        CHECK_EQ(getxattr("f", "user.big", NULL, 0), 65536);
    CHECK_ERRNO(setxattr("f", "user.", "v", 1, 0), EINVAL);
    CHECK_ERRNO(setxattr("f", "nothing.a", "v", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(setxattr("f", "plain", "v", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_setxattr, "f", "user.x", (void *)8, 4, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_setxattr, "f", (void *)8, "v", 1, 0), EFAULT);
}

TEST(links_and_types)
{
    char buf[8];

    (void)file();
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_EQ(setxattr("l", "user.a", "1", 1, 0), 0);
    CHECK_EQ(getxattr("f", "user.a", buf, 8), 1);
    CHECK_ERRNO(lgetxattr("l", "user.a", buf, 8), ENODATA);
    /* User attributes belong to files and directories only. */
    CHECK_ERRNO(lsetxattr("l", "user.a", "1", 1, 0), EPERM);
    CHECK_EQ(mkfifo("p", 0600), 0);
    CHECK_ERRNO(setxattr("p", "user.a", "1", 1, 0), EPERM);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(setxattr("d", "user.a", "1", 1, 0), 0);
    CHECK_EQ(lsetxattr("l", "trusted.a", "1", 1, 0), 0);
    CHECK_EQ(lgetxattr("l", "trusted.a", buf, 8), 1);
    CHECK_EQ(lremovexattr("l", "trusted.a"), 0);
    CHECK(llistxattr("l", NULL, 0) >= 0);
}

TEST(they_belong_to_the_inode)
{
    char buf[8];
    struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct stat a, b;

    (void)file();
    CHECK_EQ(setxattr("f", "user.a", "1", 1, 0), 0);
    CHECK_EQ(link("f", "h"), 0);
    CHECK_EQ(rename("f", "g"), 0);
    CHECK_EQ(getxattr("g", "user.a", buf, 8), 1);
    CHECK_EQ(getxattr("h", "user.a", buf, 8), 1);
    CHECK_EQ(utimensat(AT_FDCWD, "g", old, 0), 0);
    CHECK_EQ(stat("g", &a), 0);
    gt_msleep(20);
    CHECK_EQ(setxattr("g", "user.a", "2", 1, 0), 0);
    CHECK_EQ(stat("g", &b), 0);
    /* A change of status, not of contents. */
    CHECK_EQ(b.st_mtim.tv_sec, 1);
    CHECK(b.st_ctim.tv_sec > a.st_ctim.tv_sec || b.st_ctim.tv_nsec != a.st_ctim.tv_nsec);
}

TEST(permissions)
{
    (void)file();
    CHECK_EQ(setxattr("f", "user.a", "1", 1, 0), 0);
    CHECK_EQ(setxattr("f", "trusted.t", "1", 1, 0), 0);
    CHECK_EQ(chmod("f", 0644), 0);
    pid_t pid = FORK({
        char buf[256];

        become(OTHER_UID, OTHER_GID);
        CHECK_EQ(getxattr("f", "user.a", buf, 8), 1);
        CHECK_ERRNO(setxattr("f", "user.a", "2", 1, 0), EACCES);
        CHECK_ERRNO(removexattr("f", "user.a"), EACCES);
        /* Trusted ones do not exist for ordinary users, not even in lists. */
        CHECK_ERRNO(getxattr("f", "trusted.t", buf, 8), ENODATA);
        CHECK_ERRNO(setxattr("f", "trusted.t", "2", 1, 0), EPERM);
        ssize_t n = listxattr("f", buf, sizeof(buf));
        CHECK(n > 0 && !listed(buf, n, "trusted.t"));
    });
    wait_ok(pid);
    CHECK_EQ(chmod("f", 0600), 0);
    pid = FORK({
        char buf[8];

        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(getxattr("f", "user.a", buf, 8), EACCES);
    });
    wait_ok(pid);
    char list[256];
    ssize_t n = listxattr("f", list, sizeof(list));
    CHECK(listed(list, n, "trusted.t"));
}

TEST(sticky_directories_are_their_owners)
{
    (void)file();
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(chmod("d", 01777), 0);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(setxattr("d", "user.a", "1", 1, 0), EPERM);
    });
    wait_ok(pid);
    CHECK_EQ(chmod("d", 0777), 0);
    pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_EQ(setxattr("d", "user.a", "1", 1, 0), 0);
    });
    wait_ok(pid);
}

TEST(file_capabilities_are_an_attribute)
{
    struct vfs_cap_data cap = {.magic_etc = VFS_CAP_REVISION_2,
                               .data[0].permitted = 1u << CAP_NET_RAW},
                        got;

    (void)file();
    if (setxattr("f", "security.capability", &cap, XATTR_CAPS_SZ_2, 0) < 0)
        SKIP("no file capabilities here: %s", gt_errname(errno));
    CHECK_EQ(getxattr("f", "security.capability", &got, sizeof(got)), XATTR_CAPS_SZ_2);
    CHECK_EQ(got.data[0].permitted, cap.data[0].permitted);
    CHECK_ERRNO(setxattr("f", "security.capability", "junk", 4, 0), EINVAL);
    /* Writing takes it away, as it does set-user-ID. */
    int fd = open("f", O_WRONLY);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_ERRNO(getxattr("f", "security.capability", &got, sizeof(got)), ENODATA);
}

TEST(many)
{
    char name[32], value[32];

    (void)file();
    for (int i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof(name), "user.attr%d", i);
        int n = snprintf(value, sizeof(value), "value %d", i);
        CHECK_EQ(setxattr("f", name, value, (size_t)n, 0), 0);
    }
    for (int i = 0; i < 20; i += 2) {
        (void)snprintf(name, sizeof(name), "user.attr%d", i);
        CHECK_EQ(removexattr("f", name), 0);
    }
    for (int i = 0; i < 20; i++) {
        char got[32] = {0};

        (void)snprintf(name, sizeof(name), "user.attr%d", i);
        (void)snprintf(value, sizeof(value), "value %d", i);
        if (i % 2 == 0) {
            CHECK_ERRNO(getxattr("f", name, got, 31), ENODATA);
        } else {
            CHECK_EQ(getxattr("f", name, got, 31), (ssize_t)strlen(value));
            CHECK_STR(got, value);
        }
    }
}
