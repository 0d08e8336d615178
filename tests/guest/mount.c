/*
 * mount, umount2 and pivot_root: tmpfs, proc and bind mounts, their flags, what may not be
 * unmounted, and how mounts show in /proc. Each subtest works in a mount namespace of its own where
 * the kernel has them, and takes its mounts down again where it has not.
 */
#include "scratch.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#ifndef UMOUNT_NOFOLLOW
#define UMOUNT_NOFOLLOW 8
#endif

static bool own_namespace;

static void start(void)
{
    scratch();
    own_namespace = unshare(CLONE_NEWNS) == 0;
    if (own_namespace)
        CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    /* Without a namespace of one's own a mount may be left by a subtest that failed. */
    CHECK_EQ(mkdir(gt_name(), 0755), 0);
    CHECK_EQ(chdir(gt_name()), 0);
    CHECK_EQ(mkdir("m", 0755), 0);
    if (mount("probe", "m", "tmpfs", 0, NULL) < 0) {
        CHECK_EQ(errno, EPERM);
        SKIP("mounting is not allowed here");
    }
    CHECK_EQ(umount("m"), 0);
}

/* The options of a mount point as /proc/self/mounts has them; false when it is not there. */
static bool mounted(const char *path, char *type, char *options)
{
    static char text[1 << 20];
    char full[PATH_MAX];
    bool found = false;

    CHECK(realpath(path, full) != NULL);
    CHECK(get_file("/proc/self/mounts", text, sizeof(text)) > 0);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char dir[512], t[64], o[1024];

        CHECK_EQ(sscanf(line, "%*s %511s %63s %1023s", dir, t, o), 3);
        if (strcmp(dir, full) != 0)
            continue;
        found = true;
        if (type != NULL)
            (void)snprintf(type, 64, "%s", t);
        if (options != NULL)
            (void)snprintf(options, 1024, "%s", o);
    }
    return found;
}

TEST(tmpfs)
{
    char type[64], options[1024];
    struct statfs sf;
    struct stat before, after;

    start();
    put_file("m/below", "");
    CHECK_EQ(stat("m", &before), 0);
    CHECK_EQ(mount("source", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(stat("m", &after), 0);
    CHECK(before.st_dev != after.st_dev);
    CHECK_EQ(after.st_mode, S_IFDIR | 01777);
    CHECK_ERRNO(access("m/below", F_OK), ENOENT);
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ(sf.f_type, 0x01021994);
    CHECK(mounted("m", type, options));
    CHECK_STR(type, "tmpfs");
    put_file("m/f", "x");
    CHECK_EQ(stat("m/..", &after), 0);
    CHECK_EQ(after.st_dev, before.st_dev);
    CHECK_EQ(umount("m"), 0);
    CHECK(!mounted("m", NULL, NULL));
    CHECK_EQ(access("m/below", F_OK), 0);
    CHECK_ERRNO(access("m/f", F_OK), ENOENT);
}

TEST(tmpfs_options)
{
    struct statfs sf;
    struct stat st;

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, "size=1m,mode=0750,uid=11,gid=22,nr_inodes=100"), 0);
    CHECK_EQ(stat("m", &st), 0);
    CHECK_EQ(st.st_mode, S_IFDIR | 0750);
    CHECK(st.st_uid == 11 && st.st_gid == 22);
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ((long)sf.f_blocks * sf.f_bsize, 1 << 20);
    CHECK_EQ(sf.f_files, 100);
    /* Full is ENOSPC, and what is deleted can be used again. */
    int fd = open("m/big", O_CREAT | O_RDWR, 0600);
    static char block[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = write(fd, block, sizeof(block))) > 0)
        total += (size_t)n;
    CHECK(n == -1 && errno == ENOSPC);
    CHECK_EQ(total, 1 << 20);
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ(sf.f_bfree, 0);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(write(fd, block, sizeof(block)), sizeof(block));
    close(fd);
    int made = 0;
    for (; made < 200; made++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "m/i%d", made);
        if (mknod(name, S_IFREG | 0600, 0) < 0)
            break;
    }
    CHECK_EQ(errno, ENOSPC);
    CHECK(made >= 90 && made < 100);
    CHECK_EQ(umount("m"), 0);
    CHECK_ERRNO(mount("x", "m", "tmpfs", 0, "nonsense=1"), EINVAL);
    CHECK_ERRNO(mount("x", "m", "tmpfs", 0, "size=banana"), EINVAL);
}

TEST(read_only_and_remount)
{
    struct statvfs sv;

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    put_file("m/f", "x");
    CHECK_EQ(mount("x", "m", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
    CHECK_EQ(statvfs("m", &sv), 0);
    CHECK(sv.f_flag & ST_RDONLY);
    CHECK_ERRNO(open("m/f", O_WRONLY), EROFS);
    CHECK_ERRNO(open("m/new", O_WRONLY | O_CREAT, 0600), EROFS);
    CHECK_ERRNO(mkdir("m/d", 0755), EROFS);
    CHECK_ERRNO(unlink("m/f"), EROFS);
    CHECK_ERRNO(rename("m/f", "m/g"), EROFS);
    CHECK_ERRNO(chmod("m/f", 0600), EROFS);
    CHECK_ERRNO(chown("m/f", 1, 1), EROFS);
    CHECK_ERRNO(truncate("m/f", 0), EROFS);
    CHECK_ERRNO(link("m/f", "m/g"), EROFS);
    CHECK_ERRNO(symlink("x", "m/l"), EROFS);
    CHECK_ERRNO(utimensat(AT_FDCWD, "m/f", NULL, 0), EROFS);
    CHECK_ERRNO(access("m/f", W_OK), EROFS);
    CHECK_EQ(access("m/f", R_OK), 0);
    /* An existing file may be opened with O_CREAT for reading; EEXIST comes before EROFS. */
    CHECK(open("m/f", O_RDONLY | O_CREAT, 0600) >= 0);
    CHECK_ERRNO(mkdir("m/f", 0755), EEXIST);
    CHECK_ERRNO(open("m/f", O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK_EQ(close_range(3, ~0u, 0), 0);
    CHECK_EQ(mount("x", "m", "tmpfs", MS_REMOUNT, NULL), 0);
    put_file("m/f", "y");
    /* Not while a file is open for writing. */
    int fd = open("m/f", O_WRONLY);
    CHECK_ERRNO(mount("x", "m", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
    close(fd);
    CHECK_ERRNO(mount("x", ".", "tmpfs", MS_REMOUNT, NULL), EINVAL);
    CHECK_EQ(umount("m"), 0);
}

TEST(flags_show)
{
    char options[1024];

    start();
    CHECK_EQ(
        mount("x", "m", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_RDONLY, NULL),
        0);
    CHECK(mounted("m", NULL, options));
    CHECK(strncmp(options, "ro,", 3) == 0);
    CHECK(strstr(options, "nosuid") && strstr(options, "nodev") && strstr(options, "noexec") &&
          strstr(options, "noatime"));
    struct statvfs sv;
    CHECK_EQ(statvfs("m", &sv), 0);
    CHECK_EQ(sv.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_RDONLY),
             ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_RDONLY);
    CHECK_EQ(umount("m"), 0);
}

TEST(noexec_and_nodev)
{
    start();
    CHECK_EQ(mount("x", "m", "tmpfs", MS_NOEXEC | MS_NODEV, NULL), 0);
    put_file("m/script", "#!/bin/sh\nexit 0\n");
    CHECK_EQ(chmod("m/script", 0755), 0);
    CHECK_ERRNO(execl("m/script", "script", NULL), EACCES);
    CHECK_ERRNO(access("m/script", X_OK), EACCES);
    if (mknod("m/null", S_IFCHR | 0666, 0x103) == 0)
        CHECK_ERRNO(open("m/null", O_RDWR), EACCES);
    CHECK_EQ(umount("m"), 0);
}

TEST(bind_directory)
{
    struct stat a, b;

    start();
    CHECK_EQ(mkdir("src", 0755), 0);
    put_file("src/f", "bound");
    CHECK_EQ(mount("src", "m", NULL, MS_BIND, NULL), 0);
    CHECK(file_is("m/f", "bound"));
    CHECK_EQ(stat("src/f", &a), 0);
    CHECK_EQ(stat("m/f", &b), 0);
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    put_file("m/new", "x");
    CHECK_EQ(access("src/new", F_OK), 0);
    /* The same file system, yet no link or rename across mounts. */
    CHECK_ERRNO(rename("m/new", "src/newer"), EXDEV);
    CHECK_ERRNO(link("m/new", "src/newer"), EXDEV);
    CHECK_ERRNO(rmdir("m"), EBUSY);
    CHECK_ERRNO(rename("m", "elsewhere"), EBUSY);
    CHECK_EQ(umount("m"), 0);
    CHECK_ERRNO(access("m/f", F_OK), ENOENT);
    CHECK_EQ(rmdir("m"), 0);
}

TEST(bind_file)
{
    start();
    put_file("src", "data");
    put_file("dst", "");
    CHECK_EQ(mount("src", "dst", NULL, MS_BIND, NULL), 0);
    CHECK(file_is("dst", "data"));
    CHECK_ERRNO(unlink("dst"), EBUSY);
    CHECK_ERRNO(mount("src", "m", NULL, MS_BIND, NULL), ENOTDIR);
    CHECK_ERRNO(mount("m", "dst", NULL, MS_BIND, NULL), ENOTDIR);
    CHECK_ERRNO(mount("x", "src", "tmpfs", 0, NULL), ENOTDIR);
    CHECK_EQ(umount("dst"), 0);
    CHECK(file_is("dst", ""));
}

TEST(bind_read_only)
{
    start();
    CHECK_EQ(mkdir("src", 0755), 0);
    put_file("src/f", "x");
    CHECK_EQ(mount("src", "m", NULL, MS_BIND, NULL), 0);
    CHECK_EQ(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    CHECK_ERRNO(open("m/f", O_WRONLY), EROFS);
    put_file("src/f", "still writable there");
    CHECK(file_is("m/f", "still writable there"));
    CHECK_EQ(umount("m"), 0);
}

TEST(recursive_bind)
{
    start();
    CHECK_EQ(mkdir("src", 0755), 0);
    CHECK_EQ(mkdir("src/sub", 0755), 0);
    CHECK_EQ(mount("x", "src/sub", "tmpfs", 0, NULL), 0);
    put_file("src/sub/f", "inner");
    CHECK_EQ(mount("src", "m", NULL, MS_BIND, NULL), 0);
    CHECK_ERRNO(access("m/sub/f", F_OK), ENOENT);
    CHECK_EQ(umount("m"), 0);
    CHECK_EQ(mount("src", "m", NULL, MS_BIND | MS_REC, NULL), 0);
    CHECK(file_is("m/sub/f", "inner"));
    CHECK_ERRNO(umount("m"), EBUSY);
    CHECK_EQ(umount("m/sub"), 0);
    CHECK_EQ(umount("m"), 0);
    CHECK_EQ(umount("src/sub"), 0);
}

TEST(move)
{
    start();
    CHECK_EQ(mkdir("to", 0755), 0);
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    put_file("m/f", "moved");
    CHECK_EQ(mount("m", "to", NULL, MS_MOVE, NULL), 0);
    CHECK(file_is("to/f", "moved"));
    CHECK(!mounted("m", NULL, NULL));
    CHECK_ERRNO(mount("m", "to", NULL, MS_MOVE, NULL), EINVAL);
    CHECK_EQ(umount("to"), 0);
}

TEST(stacked)
{
    start();
    CHECK_EQ(mount("one", "m", "tmpfs", 0, NULL), 0);
    put_file("m/one", "");
    CHECK_EQ(mount("two", "m", "tmpfs", 0, NULL), 0);
    put_file("m/two", "");
    CHECK_ERRNO(access("m/one", F_OK), ENOENT);
    CHECK_EQ(umount("m"), 0);
    CHECK_EQ(access("m/one", F_OK), 0);
    CHECK_ERRNO(access("m/two", F_OK), ENOENT);
    CHECK_EQ(umount("m"), 0);
}

TEST(unmount_busy_and_lazy)
{
    int fd;
    char buf[8];

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    put_file("m/f", "lazy");
    fd = open("m/f", O_RDONLY);
    CHECK_ERRNO(umount("m"), EBUSY);
    CHECK_EQ(umount2("m", MNT_DETACH), 0);
    CHECK_ERRNO(access("m/f", F_OK), ENOENT);
    CHECK_EQ(read(fd, buf, 8), 4);
    close(fd);
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(chdir("m"), 0);
    CHECK_ERRNO(umount("../m"), EBUSY);
    CHECK_EQ(chdir(".."), 0);
    CHECK_EQ(umount("m"), 0);
}

TEST(unmount_errors)
{
    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("m/d", 0755), 0);
    CHECK_EQ(symlink("m", "l"), 0);
    CHECK_ERRNO(umount("m/d"), EINVAL);
    CHECK_ERRNO(umount("none"), ENOENT);
    CHECK_ERRNO(umount(""), ENOENT);
    CHECK_ERRNO(umount2("m", 0x100), EINVAL);
    CHECK_ERRNO(umount2("l", UMOUNT_NOFOLLOW), EINVAL);
    CHECK_ERRNO(syscall(SYS_umount2, (void *)8, 0), EFAULT);
    CHECK_ERRNO(umount2("m", MNT_EXPIRE | MNT_DETACH), EINVAL);
    /* Expire: the first call marks, the second unmounts. */
    CHECK_ERRNO(umount2("m", MNT_EXPIRE), EAGAIN);
    CHECK_EQ(umount2("m", MNT_EXPIRE), 0);
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(umount2("l", 0), 0);
}

TEST(mount_errors)
{
    start();
    CHECK_ERRNO(mount("x", "none", "tmpfs", 0, NULL), ENOENT);
    CHECK_ERRNO(mount("x", "m", "nosuchfs", 0, NULL), ENODEV);
    CHECK_ERRNO(mount("x", "m", NULL, 0, NULL), EINVAL);
    CHECK_ERRNO(mount("none", "m", NULL, MS_BIND, NULL), ENOENT);
    CHECK_ERRNO(syscall(SYS_mount, "x", (void *)8, "tmpfs", 0, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_mount, "x", "m", (void *)8, 0, NULL), EFAULT);
    CHECK_ERRNO(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND, NULL), EINVAL);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(mount("x", "m", "tmpfs", 0, NULL), EPERM);
        CHECK_ERRNO(umount("m"), EPERM);
    });
    wait_ok(pid);
}

TEST(proc)
{
    struct statfs sf;
    char path[64], type[64];

    start();
    CHECK_EQ(mount("proc", "m", "proc", 0, NULL), 0);
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ(sf.f_type, 0x9fa0);
    CHECK(mounted("m", type, NULL));
    CHECK_STR(type, "proc");
    (void)snprintf(path, sizeof(path), "m/%d/status", getpid());
    CHECK_EQ(access(path, F_OK), 0);
    CHECK_EQ(access("m/self/stat", F_OK), 0);
    CHECK_EQ(umount("m"), 0);
}

TEST(mountinfo_parents)
{
    static char text[1 << 20];
    char full[PATH_MAX];
    int parent_id = -1, child_parent = -2;

    start();
    CHECK_EQ(mount("outer", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("m/in ner", 0755), 0);
    CHECK_EQ(mount("inner", "m/in ner", "tmpfs", 0, NULL), 0);
    CHECK(realpath("m", full) != NULL);
    CHECK(get_file("/proc/self/mountinfo", text, sizeof(text)) > 0);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char dir[512];
        int id, parent;

        CHECK_EQ(sscanf(line, "%d %d %*d:%*d %*s %511s", &id, &parent, dir), 3);
        if (strcmp(dir, full) == 0)
            parent_id = id;
        /* A blank is written as an octal escape. */
        if (strncmp(dir, full, strlen(full)) == 0 && strcmp(dir + strlen(full), "/in\\040ner") == 0)
            child_parent = parent;
    }
    CHECK_EQ(parent_id, child_parent);
    CHECK_EQ(umount("m/in ner"), 0);
    CHECK_EQ(umount("m"), 0);
}

TEST(unlinked_while_open_on_tmpfs)
{
    char buf[8];
    int fd;

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    put_file("m/f", "kept");
    fd = open("m/f", O_RDWR);
    CHECK_EQ(unlink("m/f"), 0);
    CHECK_EQ(read(fd, buf, 8), 4);
    CHECK_ERRNO(umount("m"), EBUSY);
    close(fd);
    CHECK_EQ(umount("m"), 0);
}

TEST(pivot)
{
    start();
    if (!own_namespace)
        SKIP("no mount namespace of one's own");
    CHECK_EQ(mount("newroot", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("m/old", 0755), 0);
    put_file("m/here", "");
    CHECK_ERRNO(syscall(SYS_pivot_root, "m", "none"), ENOENT);
    CHECK_ERRNO(syscall(SYS_pivot_root, "m/here", "m/old"), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_pivot_root, "m/old", "m/old"), EINVAL);
    CHECK_ERRNO(syscall(SYS_pivot_root, "m", "."), EBUSY);
    CHECK_EQ(syscall(SYS_pivot_root, "m", "m/old"), 0);
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(access("/here", F_OK), 0);
    CHECK_EQ(access("/old/proc", F_OK), 0);
    CHECK_ERRNO(access("/etc", F_OK), ENOENT);
    CHECK_EQ(umount2("/old", MNT_DETACH), 0);
    CHECK_ERRNO(access("/old/proc", F_OK), ENOENT);
}

TEST(chroot_into_a_mount)
{
    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    put_file("m/in", "");
    pid_t pid = FORK({
        CHECK_EQ(chroot("m"), 0);
        CHECK_EQ(chdir("/"), 0);
        CHECK_EQ(access("/in", F_OK), 0);
        CHECK_EQ(access("/../in", F_OK), 0);
    });
    wait_ok(pid);
    CHECK_EQ(umount("m"), 0);
}

TEST(devpts_and_sysfs)
{
    struct statfs sf;

    start();
    CHECK_EQ(mount("devpts", "m", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620"), 0);
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ(sf.f_type, 0x1cd1);
    CHECK_EQ(access("m/ptmx", F_OK), 0);
    CHECK_EQ(umount("m"), 0);
    if (mount("sysfs", "m", "sysfs", 0, NULL) < 0)
        SKIP("sysfs cannot be mounted here: %s", gt_errname(errno));
    CHECK_EQ(access("m/devices", F_OK), 0);
    CHECK_EQ(umount("m"), 0);
}
