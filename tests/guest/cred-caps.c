// Capabilities: capget and capset, the bounding and ambient sets, securebits, what exec does to them, and
// calls that must be refused without the right one.
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "guest-test.h"

struct cap_sets {
    uint64_t effective, permitted, inheritable;
};

static struct cap_sets get_caps(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    CHECK_EQ(syscall(SYS_capget, &header, d), 0);
    return (struct cap_sets){d[0].effective | (uint64_t)d[1].effective << 32,
                             d[0].permitted | (uint64_t)d[1].permitted << 32,
                             d[0].inheritable | (uint64_t)d[1].inheritable << 32};
}

static long set_caps(struct cap_sets s)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2] = {
        {s.effective, s.permitted, s.inheritable},
        {s.effective >> 32, s.permitted >> 32, s.inheritable >> 32},
    };
    return syscall(SYS_capset, &header, d);
}

#define BIT(cap) (1ULL << (cap))

static void drop(int cap)
{
    struct cap_sets s = get_caps();
    s.effective &= ~BIT(cap);
    CHECK_EQ(set_caps(s), 0);
}

// Without every capability that is about files, for the caller's user id 0.
static void drop_all_effective(void)
{
    struct cap_sets s = get_caps();
    s.effective = 0;
    CHECK_EQ(set_caps(s), 0);
}

TEST(capget_versions)
{
    struct __user_cap_header_struct header = {0, 0};
    struct __user_cap_data_struct d[2];
    CHECK_EQ(syscall(SYS_capget, &header, NULL), 0);    // a probe: no data wanted
    CHECK_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
    header.version = 0x12345;
    CHECK_ERRNO(syscall(SYS_capget, &header, d), EINVAL);
    CHECK_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
    header.version = _LINUX_CAPABILITY_VERSION_1;
    CHECK_EQ(syscall(SYS_capget, &header, d), 0);
    CHECK(d[0].effective != 0);
    header = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, -1};
    CHECK_ERRNO(syscall(SYS_capget, &header, d), EINVAL);
    header.pid = 1 << 22;
    CHECK_ERRNO(syscall(SYS_capget, &header, d), ESRCH);
    header.pid = getppid();
    CHECK_EQ(syscall(SYS_capget, &header, d), 0);
    CHECK_ERRNO(syscall(SYS_capget, GT_BAD, d), EFAULT);
    header.pid = 0;
    CHECK_ERRNO(syscall(SYS_capget, &header, GT_BAD), EFAULT);
    CHECK_ERRNO(syscall(SYS_capset, &header, GT_BAD), EFAULT);
    header.pid = getppid();
    CHECK_ERRNO(syscall(SYS_capset, &header, d), EPERM);
    header.version = 1;
    CHECK_ERRNO(syscall(SYS_capset, &header, d), EINVAL);
}

TEST(capset_rules)
{
    struct cap_sets s = get_caps();
    CHECK(s.permitted & BIT(CAP_CHOWN));
    CHECK_EQ(s.effective, s.permitted);
    // Drop from effective and take it back.
    struct cap_sets t = s;
    t.effective &= ~BIT(CAP_CHOWN);
    CHECK_EQ(set_caps(t), 0);
    CHECK_EQ(get_caps().effective, t.effective);
    CHECK_EQ(set_caps(s), 0);
    // Effective beyond permitted
    t = s;
    t.permitted &= ~BIT(CAP_CHOWN);
    CHECK_ERRNO(set_caps(t), EPERM);
    t.effective &= ~BIT(CAP_CHOWN);
    CHECK_EQ(set_caps(t), 0);
    // Once dropped from permitted it is gone for good.
    CHECK_ERRNO(set_caps(s), EPERM);
    // Inheritable may grow to what is permitted or, with CAP_SETPCAP, what is in the bounding set.
    t.inheritable |= BIT(CAP_KILL);
    CHECK_EQ(set_caps(t), 0);
    CHECK_EQ(get_caps().inheritable, t.inheritable);
    t.effective = 0;
    CHECK_EQ(set_caps(t), 0);
    struct cap_sets u = t;
    u.inheritable |= BIT(CAP_CHOWN);
    CHECK_ERRNO(set_caps(u), EPERM);
}

TEST(unknown_bits_are_dropped)
{
    struct cap_sets s = get_caps(), t = s;
    t.inheritable = 0;
    t.effective |= 1ULL << 63;
    t.permitted |= 1ULL << 63;
    long r = set_caps(t);
    CHECK(r == 0 || errno == EPERM);
    CHECK_EQ(get_caps().permitted, s.permitted);
}

TEST(bounding_set)
{
    int last = 0;
    while (prctl(PR_CAPBSET_READ, last, 0, 0, 0) >= 0)
        last++;
    CHECK(errno == EINVAL);
    CHECK(last >= 38 && last <= 64);
    char text[32];
    if (gt_read_file("/proc/sys/kernel/cap_last_cap", text, sizeof(text)) > 0)
        CHECK_EQ(atoi(text), last - 1);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL), 1);
    CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_KILL), 0);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL), 0);
    CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_KILL), 0);
    CHECK_ERRNO(prctl(PR_CAPBSET_DROP, last), EINVAL);
    CHECK(get_caps().effective & BIT(CAP_KILL));    // until exec
    drop(CAP_SETPCAP);
    CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_CHOWN), EPERM);
}

ENTRY(show)
{
    struct cap_sets want = {strtoull(argv[2], NULL, 16), strtoull(argv[3], NULL, 16), strtoull(argv[4], NULL, 16)};
    struct cap_sets got = get_caps();
    if (got.effective != want.effective || got.permitted != want.permitted || got.inheritable != want.inheritable)
        FAIL("caps after exec: %lx %lx %lx want %lx %lx %lx", got.effective, got.permitted, got.inheritable,
             want.effective, want.permitted, want.inheritable);
    return 70;
}

static void exec_show(struct cap_sets want)
{
    char e[20], p[20], i[20];
    snprintf(e, sizeof(e), "%lx", want.effective);
    snprintf(p, sizeof(p), "%lx", want.permitted);
    snprintf(i, sizeof(i), "%lx", want.inheritable);
    execl(gt_self, gt_self, "-xshow", e, p, i, (char *)NULL);
    _exit(99);
}

TEST(exec_as_root)
{
    struct cap_sets s = get_caps();
    // Root gets the bounding set, whatever it had dropped.
    pid_t pid = FORK({
        struct cap_sets t = {0, BIT(CAP_SETUID), 0};
        CHECK_EQ(set_caps(t), 0);
        exec_show(s);
    });
    CHECK_EXIT(pid, 70);
    pid = FORK({
        CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_KILL), 0);
        exec_show((struct cap_sets){s.effective & ~BIT(CAP_KILL), s.permitted & ~BIT(CAP_KILL), 0});
    });
    CHECK_EXIT(pid, 70);
}

TEST(exec_as_other)
{
    // Kept across setuid, lost at exec.
    pid_t pid = FORK({
        CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK(get_caps().permitted != 0);
        exec_show((struct cap_sets){0, 0, 0});
    });
    CHECK_EXIT(pid, 70);
}

TEST(ambient)
{
    struct cap_sets s = get_caps();
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), EPERM);    // not inheritable yet
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 99, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, 9, CAP_KILL, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 1, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0), EINVAL);
    s.inheritable |= BIT(CAP_KILL) | BIT(CAP_CHOWN);
    CHECK_EQ(set_caps(s), 0);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), 0);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), 0);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_CHOWN, 0, 0), 0);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 1);
    pid_t pid = FORK({
        CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);    // even with keepcaps
        CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), 0);
        exec_show((struct cap_sets){BIT(CAP_KILL), BIT(CAP_KILL), BIT(CAP_KILL) | BIT(CAP_CHOWN)});
    });
    CHECK_EXIT(pid, 70);
    // The change of ids clears it, and dropping from inheritable or permitted does.
    pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);
    });
    CHECK_EXIT(pid, 0);
    s.inheritable = 0;
    CHECK_EQ(set_caps(s), 0);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);
}

TEST(securebits)
{
    CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 1 << 20), EPERM);
    pid_t pid = FORK({
        // No set-uid fix-up: capabilities stay when the ids change.
        CHECK_EQ(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP), 0);
        CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP);
        struct cap_sets s = get_caps();
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_EQ(get_caps().effective, s.effective);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        // No root: exec as user 0 gives nothing.
        CHECK_EQ(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED), 0);
        CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED), EPERM);
        CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 0), EPERM);
        exec_show((struct cap_sets){0, 0, 0});
    });
    CHECK_EXIT(pid, 70);
    pid = FORK({
        CHECK_EQ(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS), 0);
        CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
        CHECK_EQ(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS_LOCKED), 0);
        CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 1), EPERM);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        CHECK_EQ(prctl(PR_SET_SECUREBITS, SECBIT_NO_CAP_AMBIENT_RAISE), 0);
        struct cap_sets s = get_caps();
        s.inheritable |= BIT(CAP_KILL);
        CHECK_EQ(set_caps(s), 0);
        CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), EPERM);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        drop(CAP_SETPCAP);
        CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(inherited_by_fork)
{
    drop(CAP_KILL);
    struct cap_sets s = get_caps();
    pid_t pid = FORK({
        struct cap_sets t = get_caps();
        CHECK(t.effective == s.effective && t.permitted == s.permitted);
    });
    CHECK_EXIT(pid, 0);
}

TEST(cap_setuid_setgid)
{
    pid_t pid = FORK({
        drop(CAP_SETUID);
        CHECK_ERRNO(syscall(SYS_setuid, 5), EPERM);
        CHECK_ERRNO(syscall(SYS_setresuid, 5, 5, 5), EPERM);
        CHECK_EQ(syscall(SYS_setresgid, 5, 5, 5), 0);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        gid_t group = 1;
        drop(CAP_SETGID);
        CHECK_ERRNO(syscall(SYS_setgid, 5), EPERM);
        CHECK_ERRNO(syscall(SYS_setgroups, 1, &group), EPERM);
        CHECK_EQ(syscall(SYS_setuid, 5), 0);
    });
    CHECK_EXIT(pid, 0);
}

TEST(cap_kill)
{
    pid_t target = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        for (;;)
            pause();
    });
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/status", target);
    do
        CHECK(gt_read_file(path, text, sizeof(text)) > 0);
    while (!strstr(text, "Uid:\t1000\t1000"));
    drop(CAP_KILL);
    CHECK_ERRNO(kill(target, SIGTERM), EPERM);
    struct cap_sets s = get_caps();
    s.effective |= BIT(CAP_KILL);
    CHECK_EQ(set_caps(s), 0);
    CHECK_EQ(kill(target, SIGTERM), 0);
    CHECK_KILLED(target, SIGTERM);
}

TEST(cap_files)
{
    CHECK_EQ(gt_write_file(gt_path("f"), "x", 1), 0);
    CHECK(chown(gt_path("f"), 1000, 1000) == 0 && chmod(gt_path("f"), 0600) == 0);
    pid_t pid = FORK({
        drop_all_effective();
        CHECK_ERRNO(open(gt_path("f"), O_RDONLY), EACCES);
        CHECK_ERRNO(chmod(gt_path("f"), 0644), EPERM);
        CHECK_ERRNO(chown(gt_path("f"), 0, 0), EPERM);
        CHECK_ERRNO(mknod(gt_path("dev"), S_IFCHR | 0600, 0x103), EPERM);
        CHECK_ERRNO(chroot(gt_tmpdir()), EPERM);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        drop(CAP_DAC_OVERRIDE);
        CHECK(open(gt_path("f"), O_RDONLY) >= 0);    // CAP_DAC_READ_SEARCH is enough for reading
        CHECK_ERRNO(open(gt_path("f"), O_WRONLY), EACCES);
        drop(CAP_DAC_READ_SEARCH);
        CHECK_ERRNO(open(gt_path("f"), O_RDONLY), EACCES);
        drop(CAP_FOWNER);
        CHECK_ERRNO(chmod(gt_path("f"), 0666), EPERM);
        drop(CAP_CHOWN);
        CHECK_ERRNO(chown(gt_path("f"), 0, 0), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(refused_without_privilege)
{
    CHECK_EQ(setresuid(1000, 1000, 1000), 0);
    struct timespec ts = {1, 0};
    EXPECT_ERRNO(mount("none", "/", "tmpfs", 0, NULL), EPERM);
    EXPECT_ERRNO(umount2("/", 0), EPERM);
    EXPECT_ERRNO(sethostname("x", 1), EPERM);
    EXPECT_ERRNO(syscall(SYS_setdomainname, "x", 1), EPERM);
    EXPECT_ERRNO(chroot("/"), EPERM);
    EXPECT_ERRNO(clock_settime(CLOCK_REALTIME, &ts), EPERM);
    EXPECT_ERRNO(setpriority(PRIO_PROCESS, 0, -1), EACCES);
    // A kernel without the thing may say so instead.
    EXPECT(unshare(CLONE_NEWNS) == -1 && (errno == EPERM || errno == EINVAL));
    EXPECT(socket(AF_INET, SOCK_RAW, 1) == -1 && (errno == EPERM || errno == EAFNOSUPPORT));
    EXPECT_ERRNO(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc, NULL), EPERM);
    EXPECT_ERRNO(syscall(SYS_swapon, "/x", 0), EPERM);
    EXPECT_ERRNO(syscall(SYS_acct, NULL), EPERM);
    EXPECT(syscall(SYS_vhangup) == -1 && (errno == EPERM || errno == ENOSYS));
}
