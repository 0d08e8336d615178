/*
 * Mounts, continued: propagation between peers, unbindable mounts, namespaces, mount points that are
 * unlinked or busy, the notification of changes through /proc, and the calls that split mounting
 * into steps (fsopen and its kin) where the kernel has them.
 */
#include "scratch.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#ifndef FSOPEN_CLOEXEC
#define FSOPEN_CLOEXEC          1
#define FSCONFIG_SET_STRING     1
#define FSCONFIG_CMD_CREATE     6
#define MOVE_MOUNT_F_EMPTY_PATH 4
#define OPEN_TREE_CLONE         1
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
    CHECK_EQ(mkdir("n", 0755), 0);
    if (mount("probe", "m", "tmpfs", 0, NULL) < 0) {
        CHECK_EQ(errno, EPERM);
        SKIP("mounting is not allowed here");
    }
    CHECK_EQ(umount("m"), 0);
}

/* The optional fields of a mount point's line in mountinfo. */
static bool optional_fields(const char *path, char *out, size_t size)
{
    static char text[1 << 20];
    char full[PATH_MAX];

    CHECK(realpath(path, full) != NULL);
    CHECK(get_file("/proc/self/mountinfo", text, sizeof(text)) > 0);
    out[0] = '\0';
    bool found = false;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char dir[512];
        int at = 0;
        const char *dash = strstr(line, " - ");

        CHECK(dash != NULL);
        CHECK_EQ(sscanf(line, "%*d %*d %*s %*s %511s %*s%n", dir, &at), 1);
        if (strcmp(dir, full) != 0)
            continue;
        found = true;
        (void)snprintf(out, size, "%.*s", (int)(dash - (line + at)), line + at);
    }
    return found;
}

TEST(private_is_the_default_here)
{
    char fields[128];

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK(optional_fields("m", fields, sizeof(fields)));
    CHECK_STR(fields, "");
    CHECK_EQ(umount("m"), 0);
}

TEST(shared_mounts_propagate)
{
    char fields[128];

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    if (mount(NULL, "m", NULL, MS_SHARED, NULL) < 0) {
        CHECK_EQ(errno, EINVAL);
        CHECK_EQ(umount("m"), 0);
        SKIP("no propagation here");
    }
    CHECK(optional_fields("m", fields, sizeof(fields)));
    CHECK(strncmp(fields, " shared:", 8) == 0);
    CHECK_EQ(mkdir("m/sub", 0755), 0);
    CHECK_EQ(mount("m", "n", NULL, MS_BIND, NULL), 0);
    CHECK_EQ(mount("y", "m/sub", "tmpfs", 0, NULL), 0);
    put_file("m/sub/f", "seen");
    CHECK(file_is("n/sub/f", "seen"));
    CHECK_EQ(umount("n/sub"), 0);
    CHECK_ERRNO(access("m/sub/f", F_OK), ENOENT);
    /* A slave receives and does not send. */
    CHECK_EQ(mount(NULL, "n", NULL, MS_SLAVE, NULL), 0);
    CHECK(optional_fields("n", fields, sizeof(fields)));
    CHECK(strncmp(fields, " master:", 8) == 0);
    CHECK_EQ(mount("y", "m/sub", "tmpfs", 0, NULL), 0);
    put_file("m/sub/g", "again");
    CHECK(file_is("n/sub/g", "again"));
    CHECK_EQ(umount("m/sub"), 0);
    CHECK_EQ(mount("z", "n/sub", "tmpfs", 0, NULL), 0);
    put_file("n/sub/h", "");
    CHECK_ERRNO(access("m/sub/h", F_OK), ENOENT);
    CHECK_EQ(umount("n/sub"), 0);
    CHECK_EQ(umount("n"), 0);
    CHECK_EQ(umount("m"), 0);
}

TEST(unbindable)
{
    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    if (mount(NULL, "m", NULL, MS_UNBINDABLE, NULL) < 0) {
        CHECK_EQ(umount("m"), 0);
        SKIP("no unbindable mounts here");
    }
    CHECK_ERRNO(mount("m", "n", NULL, MS_BIND, NULL), EINVAL);
    CHECK_EQ(mount(NULL, "m", NULL, MS_PRIVATE, NULL), 0);
    CHECK_EQ(mount("m", "n", NULL, MS_BIND, NULL), 0);
    CHECK_EQ(umount("n"), 0);
    CHECK_ERRNO(mount(NULL, "m", NULL, MS_SHARED | MS_PRIVATE, NULL), EINVAL);
    CHECK_ERRNO(mount(NULL, "n", NULL, MS_PRIVATE, NULL), EINVAL);
    CHECK_EQ(umount("m"), 0);
}

TEST(a_namespace_of_ones_own)
{
    start();
    if (!own_namespace)
        SKIP("no mount namespaces here");
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    put_file("m/common", "");
    pid_t pid = FORK({
        CHECK_EQ(unshare(CLONE_NEWNS), 0);
        CHECK_EQ(access("m/common", F_OK), 0);
        CHECK_EQ(umount("m"), 0);
        CHECK_EQ(mount("mine", "n", "tmpfs", 0, NULL), 0);
        put_file("n/mine", "");
    });
    wait_ok(pid);
    CHECK_EQ(access("m/common", F_OK), 0);
    CHECK_ERRNO(access("n/mine", F_OK), ENOENT);
    CHECK_EQ(umount("m"), 0);
}

TEST(busy_for_every_reason)
{
    int fd;

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    put_file("m/f", "");
    CHECK_EQ(mkdir("m/d", 0755), 0);
    CHECK_EQ(mkfifo("m/p", 0600), 0);
    CHECK((fd = open("m/f", O_RDONLY)) >= 0);
    CHECK_ERRNO(umount("m"), EBUSY);
    close(fd);
    CHECK((fd = open("m/d", O_PATH)) >= 0);
    CHECK_ERRNO(umount("m"), EBUSY);
    close(fd);
    CHECK((fd = open("m/p", O_RDWR)) >= 0);
    CHECK_ERRNO(umount("m"), EBUSY);
    close(fd);
    int ready[2];
    char c = 'r';
    CHECK_EQ(pipe(ready), 0);
    pid_t pid = FORK({
        CHECK_EQ(chdir("m/d"), 0);
        CHECK_EQ(write(ready[1], &c, 1), 1);
        pause();
    });
    CHECK_EQ(read(ready[0], &c, 1), 1);
    CHECK_ERRNO(umount("m"), EBUSY);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
    CHECK_EQ(mount("y", "m/d", "tmpfs", 0, NULL), 0);
    CHECK_ERRNO(umount("m"), EBUSY);
    CHECK_EQ(umount("m/d"), 0);
    CHECK_EQ(umount("m"), 0);
}

TEST(lazy_unmount_of_a_tree)
{
    int dir;

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("m/in", 0755), 0);
    CHECK_EQ(mount("y", "m/in", "tmpfs", 0, NULL), 0);
    put_file("m/in/f", "deep");
    dir = open("m", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(umount2("m", MNT_DETACH), 0);
    CHECK_ERRNO(access("m/in", F_OK), ENOENT);
    /* Who has a descriptor still walks the detached file system. */
    CHECK_EQ(faccessat(dir, "in", F_OK, 0), 0);
    close(dir);
}

TEST(changes_wake_a_poller)
{
    struct pollfd p = {.events = POLLERR | POLLPRI};
    static char text[1 << 16];
    int fd;

    start();
    fd = open("/proc/self/mountinfo", O_RDONLY);
    p.fd = fd;
    CHECK(read(fd, text, sizeof(text)) > 0);
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(poll(&p, 1, 10000), 1);
    CHECK(p.revents & POLLERR);
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_EQ(umount("m"), 0);
    CHECK_EQ(poll(&p, 1, 10000), 1);
}

TEST(bind_of_part_of_a_file_system)
{
    struct stat a, b;

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("m/part", 0755), 0);
    CHECK_EQ(mkdir("m/part/deep", 0755), 0);
    CHECK_EQ(mount("m/part", "n", NULL, MS_BIND, NULL), 0);
    CHECK_EQ(access("n/deep", F_OK), 0);
    CHECK_EQ(stat("n/..", &a), 0);
    CHECK_EQ(stat(".", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    /* mountinfo's root field names the part. */
    static char text[1 << 20];
    char full[PATH_MAX];
    bool found = false;
    CHECK(realpath("n", full) != NULL);
    CHECK(get_file("/proc/self/mountinfo", text, sizeof(text)) > 0);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char root[256], dir[512];

        CHECK_EQ(sscanf(line, "%*d %*d %*s %255s %511s", root, dir), 2);
        if (strcmp(dir, full) == 0) {
            CHECK_STR(root, "/part");
            found = true;
        }
    }
    CHECK(found);
    /* The first mount can go while the other stays. */
    CHECK_EQ(umount("m"), 0);
    CHECK_EQ(access("n/deep", F_OK), 0);
    CHECK_EQ(umount("n"), 0);
}

TEST(flags_of_each_bind_are_its_own)
{
    struct statfs sf;

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mount("m", "n", NULL, MS_BIND, NULL), 0);
    CHECK_EQ(mount(NULL, "n", NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC | MS_RDONLY, NULL), 0);
    CHECK_EQ(statfs("n", &sf), 0);
    CHECK(sf.f_flags & MS_RDONLY);
    CHECK(sf.f_flags & MS_NOEXEC);
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ(sf.f_flags & (MS_RDONLY | MS_NOEXEC), 0);
    put_file("m/f", "");
    CHECK_ERRNO(unlink("n/f"), EROFS);
    CHECK_EQ(unlink("m/f"), 0);
    CHECK_EQ(umount("n"), 0);
    CHECK_EQ(umount("m"), 0);
}

TEST(mount_in_steps)
{
    int fs, mnt;

    start();
    fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0) {
        CHECK(errno == ENOSYS || errno == EPERM);
        SKIP("no fsopen here");
    }
    CHECK_EQ(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "1m", 0), 0);
    CHECK_ERRNO(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nonsense", "1", 0), EINVAL);
    CHECK_EQ(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
    mnt = (int)syscall(SYS_fsmount, fs, 1, 0);
    CHECK(mnt >= 0);
    CHECK_EQ(syscall(SYS_move_mount, mnt, "", AT_FDCWD, "m", MOVE_MOUNT_F_EMPTY_PATH), 0);
    put_file("m/f", "stepwise");
    mnt = (int)syscall(SYS_open_tree, AT_FDCWD, "m", OPEN_TREE_CLONE);
    CHECK(mnt >= 0);
    CHECK_EQ(syscall(SYS_move_mount, mnt, "", AT_FDCWD, "n", MOVE_MOUNT_F_EMPTY_PATH), 0);
    CHECK(file_is("n/f", "stepwise"));
    close(mnt);
    CHECK_EQ(umount("n"), 0);
    CHECK_EQ(umount2("m", MNT_DETACH), 0);
    CHECK_ERRNO(syscall(SYS_fsopen, "nosuchfs", 0), ENODEV);
    CHECK_ERRNO(syscall(SYS_fsopen, "tmpfs", 0x100), EINVAL);
}

TEST(attributes_of_a_mount_in_one_call)
{
    struct {
        uint64_t set, clear, propagation, userns;
    } attr = {.set = 1 /* read-only */};

    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    if (syscall(442 /* mount_setattr */, AT_FDCWD, "m", 0, &attr, sizeof(attr)) < 0) {
        CHECK_EQ(errno, ENOSYS);
        CHECK_EQ(umount("m"), 0);
        SKIP("no mount_setattr here");
    }
    CHECK_ERRNO(open("m/f", O_CREAT | O_RDWR, 0600), EROFS);
    attr.set = 0;
    attr.clear = 1;
    CHECK_EQ(syscall(442, AT_FDCWD, "m", 0, &attr, sizeof(attr)), 0);
    put_file("m/f", "");
    attr.set = 1ull << 40;
    CHECK_ERRNO(syscall(442, AT_FDCWD, "m", 0, &attr, sizeof(attr)), EINVAL);
    CHECK_EQ(umount("m"), 0);
}

TEST(umount_by_users)
{
    start();
    CHECK_EQ(mount("x", "m", "tmpfs", 0, "mode=0777"), 0);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        put_file("m/f", "users may use it");
        CHECK_ERRNO(umount("m"), EPERM);
        CHECK_ERRNO(mount("m", "n", NULL, MS_BIND, NULL), EPERM);
        CHECK_ERRNO(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL), EPERM);
        CHECK_ERRNO(syscall(SYS_pivot_root, "m", "m"), EPERM);
    });
    wait_ok(pid);
    CHECK_EQ(umount("m"), 0);
}
