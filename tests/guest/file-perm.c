/*
 * Permissions: who may search, list, create, remove and rename; sticky directories; set-group-id
 * directories; umask; root's powers with and without capabilities.
 */
#include "scratch.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

static void check_dir_matrix(void)
{
    for (mode_t m = 0; m < 8; m++) {
        char dir[16], in[32], fresh[32], old[32];
        struct stat st;
        DIR *d;

        (void)snprintf(dir, sizeof(dir), "d%u", m);
        (void)snprintf(in, sizeof(in), "d%u/f", m);
        (void)snprintf(fresh, sizeof(fresh), "d%u/new", m);
        (void)snprintf(old, sizeof(old), "d%u/old", m);
        errno = 0;
        d = opendir(dir);
        EXPECT_EQ(d != NULL, (m & 4) != 0);
        if (d != NULL)
            closedir(d);
        if (m & 1)
            EXPECT_EQ(stat(in, &st), 0);
        else
            EXPECT_ERRNO(stat(in, &st), EACCES);
        if (m & 1)
            EXPECT_EQ(chdir(dir) + chdir(".."), 0);
        else
            EXPECT_ERRNO(chdir(dir), EACCES);
        if ((m & 3) == 3) {
            EXPECT_EQ(mkdir(fresh, 0755), 0);
            EXPECT_EQ(rename(fresh, old), 0);
            EXPECT_EQ(rmdir(old), 0);
            EXPECT_EQ(symlink("x", fresh), 0);
            EXPECT_EQ(unlink(fresh), 0);
            EXPECT_EQ(mkfifo(fresh, 0600), 0);
            EXPECT_EQ(unlink(fresh), 0);
        } else {
            EXPECT_ERRNO(mkdir(fresh, 0755), EACCES);
            EXPECT_ERRNO(open(fresh, O_CREAT | O_RDWR, 0600), EACCES);
            EXPECT_ERRNO(symlink("x", fresh), EACCES);
            EXPECT_ERRNO(mkfifo(fresh, 0600), EACCES);
            EXPECT_ERRNO(unlink(in), EACCES);
            EXPECT_ERRNO(rename(in, "elsewhere"), EACCES);
        }
        if (m & 1)
            EXPECT((errno = 0, open(in, O_RDONLY)) >= 0);
    }
}

TEST(directory_matrix)
{
    static const struct {
        uid_t uid;
        gid_t gid;
        int shift;
    } rows[] = {{OTHER_UID, 0, 6}, {0, OTHER_GID, 3}, {0, 0, 0}};

    for (size_t i = 0; i < GT_COUNT(rows); i++) {
        char name[32];

        scratch();
        CHECK_EQ(chmod(".", 0777), 0);
        for (mode_t m = 0; m < 8; m++) {
            (void)snprintf(name, sizeof(name), "d%u", m);
            CHECK_EQ(mkdir(name, 0755), 0);
            (void)snprintf(name, sizeof(name), "d%u/f", m);
            put_file(name, "x");
            (void)snprintf(name, sizeof(name), "d%u", m);
            CHECK_EQ(chown(name, rows[i].uid, rows[i].gid), 0);
            CHECK_EQ(chmod(name, (0777 & ~(7u << rows[i].shift)) | (m << rows[i].shift)), 0);
        }
        as_user(OTHER_UID, OTHER_GID, check_dir_matrix);
        for (mode_t m = 0; m < 8; m++) {
            (void)snprintf(name, sizeof(name), "d%u/f", m);
            (void)unlink(name);
            (void)snprintf(name, sizeof(name), "d%u", m);
            CHECK_EQ(rmdir(name), 0);
        }
    }
}

static void check_file_matrix(void)
{
    static const int access_mode[] = {O_RDONLY, O_WRONLY, O_RDWR};
    static const mode_t need[] = {4, 2, 6};

    for (mode_t m = 0; m < 8; m++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "f%u", m);
        for (int i = 0; i < 3; i++) {
            int fd = open(name, access_mode[i]);

            if ((m & need[i]) == need[i])
                EXPECT(fd >= 0);
            else
                EXPECT(fd < 0 && errno == EACCES);
            if (fd >= 0)
                close(fd);
        }
        EXPECT_EQ(open(name, O_RDONLY | O_TRUNC) >= 0, (m & 6) == 6);
        EXPECT_EQ(truncate(name, 1) == 0, (m & 2) != 0);
    }
}

TEST(file_matrix)
{
    static const struct {
        uid_t uid;
        gid_t gid;
        int shift;
    } rows[] = {{OTHER_UID, 0, 6}, {0, OTHER_GID, 3}, {0, 0, 0}};

    scratch();
    for (size_t i = 0; i < GT_COUNT(rows); i++) {
        for (mode_t m = 0; m < 8; m++) {
            char name[16];

            (void)snprintf(name, sizeof(name), "f%u", m);
            put_file(name, "x");
            CHECK_EQ(chown(name, rows[i].uid, rows[i].gid), 0);
            CHECK_EQ(chmod(name, (0777 & ~(7u << rows[i].shift)) | (m << rows[i].shift)), 0);
        }
        as_user(OTHER_UID, OTHER_GID, check_file_matrix);
        for (mode_t m = 0; m < 8; m++) {
            char name[16];

            (void)snprintf(name, sizeof(name), "f%u", m);
            CHECK_EQ(unlink(name), 0);
        }
    }
}

TEST(supplementary_groups_count)
{
    scratch();
    put_file("f", "x");
    CHECK_EQ(chown("f", 0, THIRD_GID), 0);
    CHECK_EQ(chmod("f", 0640), 0);
    pid_t pid = FORK({
        gid_t groups[] = {1, THIRD_GID};

        CHECK_EQ(setgroups(2, groups), 0);
        CHECK_EQ(setresgid(OTHER_GID, OTHER_GID, OTHER_GID), 0);
        CHECK_EQ(setresuid(OTHER_UID, OTHER_UID, OTHER_UID), 0);
        CHECK(open("f", O_RDONLY) >= 0);
        CHECK_ERRNO(open("f", O_WRONLY), EACCES);
    });
    wait_ok(pid);
    pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(open("f", O_RDONLY), EACCES);
    });
    wait_ok(pid);
}

TEST(fsuid_decides)
{
    scratch();
    put_file("f", "x");
    CHECK_EQ(chmod("f", 0600), 0);
    pid_t pid = FORK({
        CHECK_EQ(setfsuid(OTHER_UID), 0);
        CHECK_EQ(setfsuid(-1), OTHER_UID);
        CHECK_ERRNO(open("f", O_RDONLY), EACCES);
        CHECK_EQ(setfsuid(0), OTHER_UID);
        CHECK(open("f", O_RDONLY) >= 0);
    });
    wait_ok(pid);
}

TEST(descriptor_outlives_permission)
{
    scratch();
    put_file("f", "secret");
    CHECK_EQ(chmod("f", 0600), 0);
    int fd = open("f", O_RDWR);
    pid_t pid = FORK({
        char buf[8];

        become(OTHER_UID, OTHER_GID);
        CHECK_EQ(read(fd, buf, 8), 6);
        CHECK_EQ(write(fd, "x", 1), 1);
        CHECK_ERRNO(open("f", O_RDONLY), EACCES);
        char link[64];
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        CHECK_ERRNO(open(link, O_RDONLY), EACCES);
    });
    wait_ok(pid);
}

TEST(creator_is_owner)
{
    struct stat st;

    scratch();
    CHECK_EQ(chmod(".", 0777), 0);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        put_file("f", "");
        CHECK_EQ(mkdir("d", 0755), 0);
        CHECK_EQ(symlink("f", "l"), 0);
        CHECK_EQ(mkfifo("p", 0600), 0);
    });
    wait_ok(pid);
    static const char *const names[] = {"f", "d", "l", "p"};
    for (size_t i = 0; i < GT_COUNT(names); i++) {
        CHECK_EQ(lstat(names[i], &st), 0);
        CHECK_EQ(st.st_uid, OTHER_UID);
        CHECK_EQ(st.st_gid, OTHER_GID);
    }
}

TEST(sticky_directory)
{
    scratch();
    CHECK_EQ(mkdir("s", 0755), 0);
    CHECK_EQ(chmod("s", 01777), 0);
    put_file("s/root", "");
    put_file("s/other", "");
    CHECK_EQ(mkdir("s/rootdir", 0777), 0);
    CHECK_EQ(chown("s/other", OTHER_UID, OTHER_GID), 0);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(unlink("s/root"), EPERM);
        CHECK_ERRNO(rename("s/root", "s/x"), EPERM);
        CHECK_ERRNO(rmdir("s/rootdir"), EPERM);
        CHECK_ERRNO(rename("s/other", "s/root"), EPERM);
        CHECK_EQ(rename("s/other", "s/mine"), 0);
        CHECK_EQ(unlink("s/mine"), 0);
        put_file("s/another", "");
    });
    wait_ok(pid);
    pid = FORK({
        become(THIRD_UID, THIRD_GID);
        CHECK_ERRNO(unlink("s/another"), EPERM);
    });
    wait_ok(pid);
    /* The directory's owner may. */
    CHECK_EQ(chown("s", THIRD_UID, THIRD_GID), 0);
    CHECK_EQ(chmod("s", 01777), 0);
    pid = FORK({
        become(THIRD_UID, THIRD_GID);
        CHECK_EQ(unlink("s/another"), 0);
        CHECK_EQ(unlink("s/root"), 0);
    });
    wait_ok(pid);
}

TEST(setgid_directory)
{
    struct stat st;

    scratch();
    CHECK_EQ(mkdir("g", 0755), 0);
    CHECK_EQ(chown("g", 0, THIRD_GID), 0);
    CHECK_EQ(chmod("g", 02777), 0);
    put_file("g/root", "");
    CHECK_EQ(mkdir("g/sub", 0755), 0);
    CHECK_EQ(stat("g/root", &st), 0);
    CHECK_EQ(st.st_gid, THIRD_GID);
    CHECK_EQ(st.st_mode & 07777, 0644);
    CHECK_EQ(stat("g/sub", &st), 0);
    CHECK_EQ(st.st_gid, THIRD_GID);
    CHECK_EQ(st.st_mode & 07777, 02755);
    CHECK_EQ(mkdir("g/sub/deeper", 0700), 0);
    CHECK_EQ(stat("g/sub/deeper", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 02700);
    CHECK_EQ(symlink("x", "g/link"), 0);
    CHECK_EQ(lstat("g/link", &st), 0);
    CHECK_EQ(st.st_gid, THIRD_GID);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        put_file("g/other", "");
        /* Executable with set-group-id is not to be had for a group that one is not in. */
        int fd = open("g/exec", O_CREAT | O_RDWR, 02775);
        CHECK(fd >= 0);
        CHECK_EQ(fstat(fd, &st), 0);
        CHECK_EQ(st.st_gid, THIRD_GID);
        CHECK_EQ(st.st_mode & 02000, 0);
    });
    wait_ok(pid);
    CHECK_EQ(stat("g/other", &st), 0);
    CHECK_EQ(st.st_gid, THIRD_GID);
    CHECK_EQ(st.st_uid, OTHER_UID);
}

TEST(umask_values)
{
    mode_t old = umask(0123);

    (void)old;
    CHECK_EQ(umask(07777), 0123);
    /* Only permission bits are kept. */
    CHECK_EQ(umask(022), 0777);
    pid_t pid = FORK({ CHECK_EQ(umask(077), 022); });
    wait_ok(pid);
    CHECK_EQ(umask(0), 022);
}

TEST(search_permission_on_the_way)
{
    scratch();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("a/b", 0755), 0);
    put_file("a/b/f", "x");
    CHECK_EQ(chmod("a", 0700), 0);
    pid_t pid = FORK({
        struct stat st;

        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(stat("a/b/f", &st), EACCES);
        CHECK_ERRNO(stat("a/none", &st), EACCES);
        CHECK_ERRNO(open("a/b/f", O_RDONLY), EACCES);
        CHECK_ERRNO(link("a/b/f", "x"), EACCES);
        CHECK_ERRNO(readlink("a/b/f", (char *)&st, 10), EACCES);
        CHECK_EQ(stat("a", &st), 0);
    });
    wait_ok(pid);
    /* An open directory gets one past it. */
    int dir = open("a/b", O_RDONLY);
    pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK(openat(dir, "f", O_RDONLY) >= 0);
        CHECK_EQ(fchdir(dir), 0);
        CHECK_EQ(access("f", R_OK), 0);
        CHECK_ERRNO(access("../b/f", R_OK), EACCES);
    });
    wait_ok(pid);
}

static void drop_caps(uint32_t low)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {{0}};

    d[0].effective = d[0].permitted = low;
    CHECK_EQ(syscall(SYS_capset, &h, d), 0);
}

TEST(root_without_capabilities_is_a_user)
{
    scratch();
    put_file("f", "");
    CHECK_EQ(chown("f", OTHER_UID, OTHER_GID), 0);
    CHECK_EQ(chmod("f", 0600), 0);
    put_file("mine", "");
    CHECK_EQ(chmod("mine", 0), 0);
    pid_t pid = FORK({
        drop_caps(0);
        CHECK_ERRNO(open("f", O_RDONLY), EACCES);
        CHECK_ERRNO(open("mine", O_RDONLY), EACCES);
        CHECK_ERRNO(chmod("f", 0777), EPERM);
        CHECK_ERRNO(chown("mine", 1, -1), EPERM);
        CHECK_EQ(chmod("mine", 0400), 0);
        CHECK(open("mine", O_RDONLY) >= 0);
    });
    wait_ok(pid);
}

TEST(each_file_capability_alone)
{
    scratch();
    CHECK_EQ(mkdir("d", 0700), 0);
    put_file("d/f", "x");
    CHECK_EQ(chmod("d/f", 0600), 0);
    CHECK_EQ(chown("d/f", OTHER_UID, OTHER_GID), 0);
    CHECK_EQ(chown("d", OTHER_UID, OTHER_GID), 0);
    pid_t pid = FORK({
        /* Reading and searching, not writing. */
        drop_caps(1u << CAP_DAC_READ_SEARCH);
        CHECK(open("d/f", O_RDONLY) >= 0);
        CHECK_ERRNO(open("d/f", O_WRONLY), EACCES);
        CHECK_ERRNO(mkdir("d/x", 0700), EACCES);
    });
    wait_ok(pid);
    pid = FORK({
        drop_caps(1u << CAP_DAC_OVERRIDE);
        CHECK(open("d/f", O_RDWR) >= 0);
        CHECK_EQ(mkdir("d/x", 0700), 0);
        CHECK_EQ(rmdir("d/x"), 0);
        CHECK_ERRNO(chmod("d/f", 0644), EPERM);
        CHECK_ERRNO(chown("d/f", 0, 0), EPERM);
    });
    wait_ok(pid);
    pid = FORK({
        drop_caps(1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER);
        CHECK_EQ(chmod("d/f", 0644), 0);
        CHECK_ERRNO(chown("d/f", 0, 0), EPERM);
    });
    wait_ok(pid);
    pid = FORK({
        drop_caps(1u << CAP_DAC_OVERRIDE | 1u << CAP_CHOWN);
        CHECK_EQ(chown("d/f", 5, 6), 0);
        CHECK_ERRNO(chmod("d/f", 0600), EPERM);
    });
    wait_ok(pid);
}

TEST(exec_permission)
{
    scratch();
    put_file("script", "#!/bin/sh\nexit 0\n");
    CHECK_EQ(chmod("script", 0644), 0);
    pid_t pid = FORK({
        CHECK_ERRNO(execl("./script", "script", NULL), EACCES);
        CHECK_ERRNO(execl(".", "dir", NULL), EACCES);
        CHECK_ERRNO(execl("none", "none", NULL), ENOENT);
        CHECK_ERRNO(execl("script/x", "x", NULL), ENOTDIR);
    });
    wait_ok(pid);
    CHECK_EQ(chmod("script", 0100), 0);
    pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(execl("./script", "script", NULL), EACCES);
    });
    wait_ok(pid);
}
