// Namespaces as a privileged process inside makes them: user, PID, UTS, IPC, mount and network. A kernel that
// refuses to make one says EPERM, EINVAL or ENOSYS, and then that part is skipped.
#include <linux/capability.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/utsname.h>

#include "guest-test.h"

// Makes namespaces in a child, or skips.
static pid_t child_in(int flags, void (*body)(void))
{
    int ends[2];
    char result = 1;
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = FORK({
        if (unshare(flags) != 0) {
            result = errno == EPERM || errno == EINVAL || errno == ENOSYS || errno == ENOSPC ? 2 : 3;
            CHECK_EQ(write(ends[1], &result, 1), 1);
            _exit(0);
        }
        CHECK_EQ(write(ends[1], &result, 1), 1);
        body();
    });
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(read(ends[0], &result, 1), 1);
    if (result == 2) {
        gt_waitpid(pid);
        SKIP("cannot unshare %#x here", flags);
    }
    CHECK_EQ(result, 1);
    return pid;
}

static void body_uts(void)
{
    struct utsname u;
    CHECK_EQ(sethostname("inner", 5), 0);
    CHECK_EQ(uname(&u), 0);
    CHECK_STR(u.nodename, "inner");
}

TEST(uts)
{
    struct utsname before, after;
    CHECK_EQ(uname(&before), 0);
    CHECK_EXIT(child_in(CLONE_NEWUTS, body_uts), 0);
    CHECK_EQ(uname(&after), 0);
    CHECK_STR(after.nodename, before.nodename);
}

static void body_pid(void)
{
    // The next child is process 1 of the new namespace.
    pid_t *seen = gt_shared(4096);
    pid_t pid = FORK({
        seen[0] = getpid();
        seen[1] = getppid();
        pid_t child = FORK({ seen[2] = getpid(); });
        CHECK_EQ(child, 2);
        CHECK_EXIT(child, 0);
        // A signal without a handler does nothing to process 1 from inside.
        CHECK_EQ(kill(1, SIGTERM), 0);
        CHECK_EQ(kill(1, SIGKILL), 0);
        CHECK_ERRNO(kill(12345, 0), ESRCH);
        // Orphans come to process 1.
        pid_t middle = FORK({
            seen[3] = FORK({
                while (getppid() != 1)
                    sched_yield();
                _exit(9);
            });
        });
        CHECK_EXIT(middle, 0);
        CHECK_EXIT(seen[3], 9);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(seen[0], 1);
    CHECK_EQ(seen[1], 0);
    CHECK_EQ(seen[2], 2);
    // Process 1 is gone: nothing can be forked into it any more.
    CHECK_ERRNO(fork(), ENOMEM);
}

TEST(pid)
{
    CHECK_EXIT(child_in(CLONE_NEWPID, body_pid), 0);
}

static void body_pid_kill(void)
{
    // The end of process 1 ends all others of its namespace.
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = FORK({
        for (int i = 0; i < 5; i++)
            (void)FORK({
                for (;;)
                    pause();
            });
        _exit(4);
    });
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EXIT(pid, 4);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST(pid_end_of_init)
{
    CHECK_EXIT(child_in(CLONE_NEWPID, body_pid_kill), 0);
}

static void body_ipc(void)
{
    int id = OK(msgget(0x7ae5, IPC_CREAT | IPC_EXCL | 0600));
    CHECK_EQ(msgget(0x7ae5, 0), id);
}

TEST(ipc)
{
    int id = OK(msgget(0x7ae5, IPC_CREAT | IPC_EXCL | 0600));
    CHECK_EQ(msgctl(id, IPC_RMID, NULL), 0);
    pid_t pid = child_in(CLONE_NEWIPC, body_ipc);
    CHECK_EXIT(pid, 0);
    CHECK_ERRNO(msgget(0x7ae5, 0), ENOENT);
}

static void body_mount(void)
{
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK_EQ(mount("none", gt_dir, "tmpfs", 0, NULL), 0);
    CHECK_EQ(gt_write_file(gt_path("inside"), "x", 1), 0);
}

TEST(mount)
{
    (void)gt_tmpdir();
    CHECK_EXIT(child_in(CLONE_NEWNS, body_mount), 0);
    CHECK_ERRNO(access(gt_path("inside"), F_OK), ENOENT);
}

static void body_user(void)
{
    // Unmapped ids show as the overflow id; all capabilities are there; maps can be written once.
    CHECK_EQ(getuid(), 65534);
    CHECK_EQ(gt_write_file("/proc/self/setgroups", "deny", 4), 0);
    CHECK_EQ(gt_write_file("/proc/self/uid_map", "0 0 1", 5), 0);
    CHECK_EQ(gt_write_file("/proc/self/gid_map", "0 0 1", 5), 0);
    CHECK_EQ(getuid(), 0);
    CHECK_EQ(getgid(), 0);
    CHECK_EQ(gt_write_file("/proc/self/uid_map", "0 0 1", 5), -1);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    CHECK_EQ(data[0].effective, 0xffffffff);
    gid_t group = 0;
    CHECK_ERRNO(syscall(SYS_setgroups, 1, &group), EPERM);
    CHECK_ERRNO(syscall(SYS_setuid, 5), EINVAL);    // not mapped
    CHECK_EQ(unshare(CLONE_NEWUTS), 0);
    CHECK_EQ(sethostname("user", 4), 0);
}

TEST(user)
{
    CHECK_EXIT(child_in(CLONE_NEWUSER, body_user), 0);
}

static void body_user_as_other(void)
{
    CHECK_EQ(getuid(), 65534);
    CHECK_EQ(gt_write_file("/proc/self/uid_map", "0 1000 1", 8), 0);
    CHECK_EQ(getuid(), 0);
}

TEST(user_without_privilege)
{
    CHECK_EQ(setresuid(1000, 1000, 1000), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    CHECK_EXIT(child_in(CLONE_NEWUSER, body_user_as_other), 0);
}

TEST(setns_errors)
{
    if (gt_inside() && unshare(CLONE_NEWUTS) != 0)
        SKIP("namespaces come later");
    int fd = OK(open("/dev/null", O_RDONLY));
    EXPECT_ERRNO(setns(fd, 0), EINVAL);
    EXPECT_ERRNO(setns(99, 0), EBADF);
}

TEST(setns_back)
{
    int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        SKIP("no /proc/self/ns");
    struct utsname before, after;
    CHECK_EQ(uname(&before), 0);
    if (unshare(CLONE_NEWUTS) != 0)
        SKIP("cannot unshare");
    CHECK_EQ(sethostname("elsewhere", 9), 0);
    CHECK_ERRNO(setns(fd, CLONE_NEWIPC), EINVAL);
    CHECK_EQ(setns(fd, CLONE_NEWUTS), 0);
    CHECK_EQ(uname(&after), 0);
    CHECK_STR(after.nodename, before.nodename);
}

TEST(ns_links)
{
    static const char *const names[] = {"uts", "ipc", "pid", "mnt", "net", "user"};
    for (size_t i = 0; i < GT_COUNT(names); i++) {
        char path[64], text[64], mine[64];
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        ssize_t n = readlink(path, text, sizeof(text) - 1);
        if (n < 0)
            SKIP("no /proc/self/ns");
        text[n] = 0;
        snprintf(path, sizeof(path), "%s:[", names[i]);
        EXPECT(strncmp(text, path, strlen(path)) == 0);
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", getpid(), names[i]);
        n = OK(readlink(path, mine, sizeof(mine) - 1));
        mine[n] = 0;
        EXPECT_STR(mine, text);
    }
}

TEST(clone_flags)
{
    // The same by clone: the child is in the new namespaces, the parent is not.
    long pid = syscall(SYS_clone, CLONE_NEWUTS | CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == -1)
        SKIP("cannot clone into new namespaces");
    if (pid == 0)
        _exit(syscall(SYS_getpid) == 1 && sethostname("c", 1) == 0 ? 0 : 1);
    CHECK_EXIT(pid, 0);
    struct utsname u;
    CHECK_EQ(uname(&u), 0);
    CHECK(strcmp(u.nodename, "c") != 0);
}
