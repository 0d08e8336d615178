// The jail's part that concerns name spaces and the root directory; see jail.h. What lies in the old root is out of reach
// afterwards: it is neither mounted here nor behind an open descriptor, but for the gofer's exports, which are mounts of
// their own.

#include "sandbox/control.h"
#include "sandbox/jail-int.h"
#include "sandbox/jail.h"
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Host and domain name in the sandbox's own UTS name space, which no guest sees.
#define JAIL_HOST_NAME "caisson"

static int fs_open(const char *type)
{
    return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static int fs_set(int fs, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

static int fs_mount(int fs, unsigned attributes)
{
    if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
}

static int jail_receive_go(void)
{
    struct control_message message;
    ssize_t size;
    do
        size = recv(BOOT_FD_CONTROL, &message, sizeof(message), 0);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return -errno;
    if (size == 0)
        return -EPIPE;
    return size == sizeof(message) && message.type == CONTROL_GO ? 0 : -EPROTO;
}

int jail_wait_for_go(struct jail *j)
{
    int ret = jail_receive_go();
    if (ret < 0)
        return jail_fail(j, "wait for the command", ret);
    if (j->role == JAIL_GOFER)
        return 0;
    // Until now this is an id of the host that the new user name space doesn't map; what is made from here on belongs to
    // the one id that it does map.
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return jail_fail(j, "change to the mapped user", -errno);
    return 0;
}

// A procfs that shows the processes of this PID name space and nothing else. Hosts that hide parts of their own /proc
// (some containers) refuse it.
static void jail_make_procfs(struct jail *j)
{
    int fs = fs_open("proc");
    if (fs < 0)
        return;
    // From Linux 5.8.
    (void)fs_set(fs, "subset", "pid");
    int mounted = fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    close(fs);
    if (mounted < 0)
        return;
    j->has_procfs = dup3(mounted, BOOT_FD_PROCFS, 0) == BOOT_FD_PROCFS;
    if (mounted != BOOT_FD_PROCFS)
        close(mounted);
}

static int jail_make_root(void)
{
    int fs = fs_open("tmpfs");
    if (fs < 0)
        return -errno;
    int root = -1;
    if (fs_set(fs, "mode", "0555") == 0 && fs_set(fs, "size", "4k") == 0 &&
        fs_set(fs, "nr_inodes", "1") == 0)
        root = fs_mount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                MOUNT_ATTR_NOEXEC);
    int ret = root < 0 ? -errno : root;
    close(fs);
    return ret;
}

static int jail_pivot(struct jail *j, int root)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return jail_fail(j, "make mounts private", -errno);
    if (syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return jail_fail(j, "attach the empty root", -errno);
    // The same directory as new root and as place of the old one: the old root ends up mounted over the new one, and is
    // taken away from there.
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return jail_fail(
            j, "change to the empty root (the host's root must not be its initial RAM disk)",
            -errno);
    if (umount2(".", MNT_DETACH) < 0)
        return jail_fail(j, "detach the old root", -errno);
    if (chdir("/") < 0)
        return jail_fail(j, "change to the new root directory", -errno);
    return 0;
}

int jail_enter_root(struct jail *j)
{
    // The host makes network name spaces one at a time, each takes as long as all of the rest: the kernel's comes first, the
    // gofer's last, so that the two roles, which start together, don't wait for each other.
    if (j->role == JAIL_KERNEL && unshare(CLONE_NEWNET) < 0)
        return jail_fail(j, "make a network name space", -errno);
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
        return jail_fail(j, "make name spaces", -errno);
    if (sethostname(JAIL_HOST_NAME, strlen(JAIL_HOST_NAME)) < 0)
        return jail_fail(j, "set the host name", -errno);
    if (j->role == JAIL_KERNEL)
        jail_make_procfs(j);
    int root = jail_make_root();
    if (root < 0)
        return jail_fail(j, "mount an empty root", root);
    int ret = jail_pivot(j, root);
    close(root);
    if (ret == 0 && j->role == JAIL_GOFER && unshare(CLONE_NEWNET) < 0)
        return jail_fail(j, "make a network name space", -errno);
    return ret;
}

void jail_close_procfs(struct jail *j)
{
    if (j->has_procfs)
        close(BOOT_FD_PROCFS);
    j->has_procfs = false;
}

int jail_raise_oom_score(struct jail *j)
{
    if (!j->has_procfs)
        return jail_fail(j, "raise oom_score_adj: no procfs", -ENOENT);
    int fd = openat(BOOT_FD_PROCFS, "self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return jail_fail(j, "open oom_score_adj", -errno);
    char text[16];
    ssize_t size = read(fd, text, sizeof(text) - 1);
    int score = 0;
    if (size > 0) {
        text[size] = 0;
        for (const char *p = text + (text[0] == '-'); *p >= '0' && *p <= '9'; p++)
            score = score * 10 + (*p - '0');
        if (text[0] == '-')
            score = -score;
    }
    score = MIN(score + 500, 1000);
    char digits[8];
    int at = sizeof(digits);
    int rest = score < 0 ? -score : score;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (score < 0)
        digits[--at] = '-';
    int ret = pwrite(fd, digits + at, sizeof(digits) - (size_t)at, 0) < 0 ? -errno : 0;
    close(fd);
    return ret < 0 ? jail_fail(j, "write oom_score_adj", ret) : 0;
}
