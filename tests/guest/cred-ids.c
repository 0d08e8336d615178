// User and group ids: the rules of every set call for root and for others, supplementary groups, what a
// change does to capabilities, fsuid in file checks, set-user-ID programs, no_new_privs.
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>

#include "guest-test.h"

struct ids {
    uid_t r, e, s;
};

static struct ids uids(void)
{
    struct ids i;
    CHECK_EQ(syscall(SYS_getresuid, &i.r, &i.e, &i.s), 0);
    return i;
}

static struct ids gids(void)
{
    struct ids i;
    CHECK_EQ(syscall(SYS_getresgid, &i.r, &i.e, &i.s), 0);
    return i;
}

#define CHECK_UIDS(rr, ee, ss)                                                                           \
    do {                                                                                                 \
        struct ids gt_i = uids();                                                                        \
        if (gt_i.r != (uid_t)(rr) || gt_i.e != (uid_t)(ee) || gt_i.s != (uid_t)(ss))                     \
            FAIL("uids: got %u %u %u want %u %u %u", gt_i.r, gt_i.e, gt_i.s, (uid_t)(rr), (uid_t)(ee),   \
                 (uid_t)(ss));                                                                           \
    } while (0)
#define CHECK_GIDS(rr, ee, ss)                                                                           \
    do {                                                                                                 \
        struct ids gt_i = gids();                                                                        \
        if (gt_i.r != (uid_t)(rr) || gt_i.e != (uid_t)(ee) || gt_i.s != (uid_t)(ss))                     \
            FAIL("gids: got %u %u %u want %u %u %u", gt_i.r, gt_i.e, gt_i.s, (uid_t)(rr), (uid_t)(ee),   \
                 (uid_t)(ss));                                                                           \
    } while (0)

// The raw calls: glibc's apply to all threads and are the same here, but hide nothing when raw.
static long set_res_uid(uid_t r, uid_t e, uid_t s)
{
    return syscall(SYS_setresuid, r, e, s);
}

static long set_res_gid(gid_t r, gid_t e, gid_t s)
{
    return syscall(SYS_setresgid, r, e, s);
}

static uint64_t caps(char which)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    switch (which) {
    case 'e':
        return data[0].effective | (uint64_t)data[1].effective << 32;
    case 'p':
        return data[0].permitted | (uint64_t)data[1].permitted << 32;
    default:
        return data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    }
}

TEST(root_at_start)
{
    CHECK_UIDS(0, 0, 0);
    CHECK_GIDS(0, 0, 0);
    CHECK_EQ(getuid() + geteuid() + getgid() + getegid(), 0);
}

TEST(setresuid_root)
{
    CHECK_EQ(set_res_uid(10, 20, 0), 0);
    CHECK_UIDS(10, 20, 0);
    CHECK_EQ(set_res_uid(-1, 0, -1), 0);
    CHECK_UIDS(10, 0, 0);
    CHECK_EQ(set_res_uid(-1, -1, 30), 0);
    CHECK_UIDS(10, 0, 30);
    CHECK_EQ(set_res_uid(-1, -1, -1), 0);
    CHECK_UIDS(10, 0, 30);
}

TEST(setresuid_other)
{
    // Without privilege each new id must be one of the three present ones.
    CHECK_EQ(set_res_uid(10, 20, 30), 0);
    static const uid_t ids[] = {10, 20, 30};
    for (int r = 0; r < 3; r++)
        for (int e = 0; e < 3; e++)
            for (int s = 0; s < 3; s++) {
                pid_t pid = FORK({
                    CHECK_EQ(set_res_uid(ids[r], ids[e], ids[s]), 0);
                    CHECK_UIDS(ids[r], ids[e], ids[s]);
                });
                CHECK_EXIT(pid, 0);
            }
    CHECK_ERRNO(set_res_uid(40, -1, -1), EPERM);
    CHECK_ERRNO(set_res_uid(-1, 40, -1), EPERM);
    CHECK_ERRNO(set_res_uid(-1, -1, 40), EPERM);
    CHECK_ERRNO(set_res_uid(0, 0, 0), EPERM);
    CHECK_ERRNO(set_res_uid(10, 20, 0), EPERM);
    CHECK_UIDS(10, 20, 30);
}

TEST(setuid_rules)
{
    pid_t pid = FORK({
        CHECK_EQ(syscall(SYS_setuid, 50), 0);    // root: all three
        CHECK_UIDS(50, 50, 50);
        CHECK_ERRNO(syscall(SYS_setuid, 0), EPERM);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        CHECK_EQ(set_res_uid(10, 20, 30), 0);
        CHECK_EQ(syscall(SYS_setuid, 30), 0);    // others: the effective one, to real or saved
        CHECK_UIDS(10, 30, 30);
        CHECK_EQ(syscall(SYS_setuid, 10), 0);
        CHECK_UIDS(10, 10, 30);
        CHECK_ERRNO(syscall(SYS_setuid, 20), EPERM);
    });
    CHECK_EXIT(pid, 0);
    CHECK_ERRNO(syscall(SYS_setuid, -1), EINVAL);
}

TEST(setreuid_rules)
{
    pid_t pid = FORK({
        CHECK_EQ(syscall(SYS_setreuid, 10, 20), 0);
        CHECK_UIDS(10, 20, 20);    // the saved one follows
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        CHECK_EQ(syscall(SYS_setreuid, -1, 20), 0);
        CHECK_UIDS(0, 20, 20);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        CHECK_EQ(set_res_uid(10, 20, 30), 0);
        CHECK_ERRNO(syscall(SYS_setreuid, 30, -1), EPERM);    // real: only real or effective
        CHECK_EQ(syscall(SYS_setreuid, -1, 30), 0);
        CHECK_UIDS(10, 30, 30);
        CHECK_EQ(syscall(SYS_setreuid, 30, 10), 0);
        CHECK_UIDS(30, 10, 10);
        CHECK_ERRNO(syscall(SYS_setreuid, -1, 40), EPERM);
        CHECK_EQ(syscall(SYS_setreuid, -1, -1), 0);
        CHECK_UIDS(30, 10, 10);
    });
    CHECK_EXIT(pid, 0);
    pid = FORK({
        CHECK_EQ(set_res_uid(10, 20, 30), 0);
        CHECK_EQ(syscall(SYS_setreuid, -1, 10), 0);    // effective equals the old real: saved stays
        CHECK_UIDS(10, 10, 30);
    });
    CHECK_EXIT(pid, 0);
}

TEST(group_id_rules)
{
    pid_t pid = FORK({
        CHECK_EQ(syscall(SYS_setgid, 5), 0);
        CHECK_GIDS(5, 5, 5);
        CHECK_EQ(set_res_gid(1, 2, 3), 0);
        CHECK_GIDS(1, 2, 3);
        CHECK_EQ(syscall(SYS_setregid, 7, 8), 0);
        CHECK_GIDS(7, 8, 8);
        CHECK_EQ(set_res_gid(1, 2, 3), 0);
        CHECK_EQ(set_res_uid(9, 9, 9), 0);
        CHECK_ERRNO(syscall(SYS_setgid, 4), EPERM);
        CHECK_ERRNO(set_res_gid(-1, -1, 4), EPERM);
        CHECK_ERRNO(syscall(SYS_setregid, 3, -1), EPERM);
        CHECK_EQ(syscall(SYS_setgid, 3), 0);
        CHECK_GIDS(1, 3, 3);
        CHECK_EQ(set_res_gid(3, 1, 1), 0);
        CHECK_GIDS(3, 1, 1);
    });
    CHECK_EXIT(pid, 0);
    CHECK_ERRNO(syscall(SYS_setgid, -1), EINVAL);
    // The group ids have no bearing on capabilities.
    CHECK_EQ(set_res_gid(5, 5, 5), 0);
    CHECK(caps('e') != 0);
}

TEST(get_errors)
{
    uid_t id;
    CHECK_ERRNO(syscall(SYS_getresuid, GT_BAD, &id, &id), EFAULT);
    CHECK_ERRNO(syscall(SYS_getresuid, &id, GT_BAD, &id), EFAULT);
    CHECK_ERRNO(syscall(SYS_getresgid, &id, &id, GT_BAD), EFAULT);
}

TEST(groups)
{
    gid_t list[8] = {3, 1, 2, 70000, 0xfffffffe}, got[8];
    CHECK_EQ(syscall(SYS_setgroups, 5, list), 0);
    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 5);
    CHECK_EQ(syscall(SYS_getgroups, 8, got), 5);
    uint64_t sum = 0;
    for (int i = 0; i < 5; i++)
        sum += got[i];
    CHECK_EQ(sum, 3ULL + 1 + 2 + 70000 + 0xfffffffe);
    for (int i = 1; i < 5; i++)
        CHECK(got[i] > got[i - 1]);    // kept sorted
    EXPECT_ERRNO(syscall(SYS_getgroups, 4, got), EINVAL);
    EXPECT_ERRNO(syscall(SYS_getgroups, -1, got), EINVAL);
    EXPECT_ERRNO(syscall(SYS_getgroups, 8, GT_BAD), EFAULT);
    EXPECT_ERRNO(syscall(SYS_setgroups, 65537, list), EINVAL);
    EXPECT_ERRNO(syscall(SYS_setgroups, -1, list), EINVAL);
    EXPECT_ERRNO(syscall(SYS_setgroups, 2, GT_BAD), EFAULT);
    list[0] = -1;
    EXPECT_ERRNO(syscall(SYS_setgroups, 1, list), EINVAL);
    pid_t pid = FORK({
        CHECK_EQ(syscall(SYS_getgroups, 8, got), 5);
        CHECK_EQ(set_res_uid(9, 9, 9), 0);
        list[0] = 3;
        CHECK_ERRNO(syscall(SYS_setgroups, 1, list), EPERM);
        CHECK_ERRNO(syscall(SYS_setgroups, 0, NULL), EPERM);
        CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 5);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(syscall(SYS_setgroups, 0, NULL), 0);
    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 0);
    static gid_t many[65536];
    for (int i = 0; i < 65536; i++)
        many[i] = 65536 - i;
    CHECK_EQ(syscall(SYS_setgroups, 65536, many), 0);
    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 65536);
}

TEST(groups_give_access)
{
    CHECK_EQ(gt_write_file(gt_path("f"), "x", 1), 0);
    CHECK(chmod(gt_path("f"), 0640) == 0 && chown(gt_path("f"), 0, 555) == 0);
    for (int member = 0; member < 2; member++) {
        pid_t pid = FORK({
            gid_t group = member ? 555 : 556;
            CHECK_EQ(syscall(SYS_setgroups, 1, &group), 0);
            CHECK_EQ(set_res_gid(9, 9, 9), 0);
            CHECK_EQ(set_res_uid(9, 9, 9), 0);
            if (member) {
                CHECK(open(gt_path("f"), O_RDONLY) >= 0);
                CHECK_ERRNO(open(gt_path("f"), O_WRONLY), EACCES);
            } else {
                CHECK_ERRNO(open(gt_path("f"), O_RDONLY), EACCES);
            }
        });
        CHECK_EXIT(pid, 0);
    }
}

TEST(capabilities_follow_uids)
{
    uint64_t all = caps('p');
    CHECK(all != 0);
    CHECK_EQ(caps('e'), all);
    // Effective id away from 0: the effective set empties; back: it is the permitted set again.
    CHECK_EQ(set_res_uid(-1, 10, -1), 0);
    CHECK_EQ(caps('e'), 0);
    CHECK_EQ(caps('p'), all);
    CHECK_EQ(set_res_uid(-1, 0, -1), 0);
    CHECK_EQ(caps('e'), all);
    // One id still 0: permitted stays.
    CHECK_EQ(set_res_uid(10, 10, 0), 0);
    CHECK_EQ(caps('p'), all);
    CHECK_EQ(set_res_uid(10, 0, 10), 0);
    CHECK_EQ(caps('e'), all);
    // None is 0: all gone.
    CHECK_EQ(set_res_uid(10, 10, 10), 0);
    CHECK_EQ(caps('p'), 0);
    CHECK_EQ(caps('e'), 0);
}

TEST(keepcaps)
{
    uint64_t all = caps('p');
    CHECK_EQ(prctl(PR_GET_KEEPCAPS), 0);
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
    CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
    CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
    CHECK_EQ(set_res_uid(10, 10, 10), 0);
    CHECK_EQ(caps('p'), all);
    CHECK_EQ(caps('e'), 0);
}

TEST(fsuid)
{
    CHECK_EQ(gt_write_file(gt_path("f"), "x", 1), 0);
    CHECK(chmod(gt_path("f"), 0600) == 0);
    CHECK_EQ(setfsuid(-1), 0);
    CHECK_EQ(setfsuid(44), 0);
    CHECK_EQ(setfsuid(-1), 44);
    CHECK_ERRNO(open(gt_path("f"), O_RDONLY), EACCES);    // file capabilities went with it
    CHECK(caps('e') != 0);
    CHECK_EQ(setfsuid(0), 44);
    CHECK(open(gt_path("f"), O_RDONLY) >= 0);
    CHECK_EQ(setfsgid(33), 0);
    int fd = OK(open(gt_path("g"), O_CREAT | O_RDWR, 0644));
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_gid, 33);
    // Any change of the effective id takes the file system id along.
    CHECK_EQ(set_res_uid(-1, 55, -1), 0);
    CHECK_EQ(setfsuid(-1), 55);
    CHECK_EQ(set_res_uid(-1, 0, -1), 0);
    CHECK_EQ(set_res_uid(10, 20, 30), 0);
    CHECK_EQ(setfsuid(40), 20);
    CHECK_EQ(setfsuid(-1), 20);    // refused: not one of the four
    CHECK_EQ(setfsuid(30), 20);
    CHECK_EQ(setfsuid(-1), 30);
}

TEST(ownership_of_new_files)
{
    CHECK_EQ(chmod(gt_tmpdir(), 0777), 0);
    CHECK_EQ(set_res_gid(66, 67, 68), 0);
    CHECK_EQ(set_res_uid(76, 77, 78), 0);
    struct stat st;
    int fd = OK(open(gt_path("n"), O_CREAT | O_RDWR, 0644));
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(st.st_uid == 77 && st.st_gid == 67);
    // access() asks with the real ids, faccessat with AT_EACCESS with the effective ones.
    CHECK_EQ(fchmod(fd, 0600), 0);
    CHECK_ERRNO(access(gt_path("n"), R_OK), EACCES);
    CHECK_EQ(faccessat(AT_FDCWD, gt_path("n"), R_OK, AT_EACCESS), 0);
}

static int copy_self(const char *to, mode_t mode, uid_t uid, gid_t gid)
{
    static char data[1 << 16];
    int in = open(gt_self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t n = -1;
    while (in >= 0 && out >= 0 && (n = read(in, data, sizeof(data))) > 0)
        if (write(out, data, n) != n)
            return -1;
    close(in);
    close(out);
    if (chown(to, uid, gid) != 0)
        return -1;
    return n == 0 ? chmod(to, mode) : -1;
}

// Exit status of the program: the bits say what it saw.
ENTRY(suid)
{
    // argv: wanted real, effective, saved uid, effective gid, secure
    CHECK_UIDS(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
    CHECK_EQ(getegid(), atoi(argv[5]));
    CHECK_EQ(getauxval(AT_SECURE), atoi(argv[6]));
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_EUID), geteuid());
    CHECK_EQ(prctl(PR_GET_DUMPABLE), atoi(argv[6]) ? prctl(PR_GET_DUMPABLE) : 1);
    if (geteuid() == 0)
        CHECK(caps('e') != 0);
    else
        CHECK_EQ(caps('e'), 0);
    return 60;
}

// Whether the scratch directory's file system honours set-id bits.
static void need_suid(void)
{
    pid_t pid = FORK({
        CHECK_EQ(copy_self(gt_path("probe"), 04755, 0, 0), 0);
        CHECK_EQ(set_res_uid(1000, 1000, 1000), 0);
        execl(gt_path("probe"), "p", "-xeuid", (char *)NULL);
    });
    int status = gt_waitpid(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 61)
        SKIP("set-user-ID has no effect in the scratch directory");
}

ENTRY(euid)
{
    return geteuid() == 0 ? 60 : 61;
}

TEST(set_user_id_program)
{
    need_suid();
    CHECK_EQ(copy_self(gt_path("s"), 04755, 0, 0), 0);
    pid_t pid = FORK({
        CHECK_EQ(set_res_gid(1000, 1000, 1000), 0);
        CHECK_EQ(set_res_uid(1000, 1000, 1000), 0);
        execl(gt_path("s"), "s", "-xsuid", "1000", "0", "0", "1000", "1", (char *)NULL);
    });
    CHECK_EXIT(pid, 60);
    // Owned by another ordinary user, run by root: the effective id drops.
    CHECK_EQ(copy_self(gt_path("o"), 04755, 2000, 2000), 0);
    pid = FORK({ execl(gt_path("o"), "o", "-xsuid", "0", "2000", "2000", "0", "1", (char *)NULL); });
    CHECK_EXIT(pid, 60);
}

TEST(set_group_id_program)
{
    need_suid();
    CHECK_EQ(copy_self(gt_path("g"), 02755, 0, 3000), 0);
    pid_t pid = FORK({
        CHECK_EQ(set_res_gid(1000, 1000, 1000), 0);
        CHECK_EQ(set_res_uid(1000, 1000, 1000), 0);
        execl(gt_path("g"), "g", "-xsuid", "1000", "1000", "1000", "3000", "1", (char *)NULL);
    });
    CHECK_EXIT(pid, 60);
    // Without the group's x bit it means mandatory locking, not set-group-ID.
    CHECK_EQ(chmod(gt_path("g"), 02745), 0);
    pid = FORK({
        CHECK_EQ(set_res_gid(1000, 1000, 1000), 0);
        CHECK_EQ(set_res_uid(1000, 1000, 1000), 0);
        execl(gt_path("g"), "g", "-xsuid", "1000", "1000", "1000", "1000", "0", (char *)NULL);
    });
    CHECK_EXIT(pid, 60);
}

TEST(saved_id_comes_from_effective)
{
    CHECK_EQ(copy_self(gt_path("p"), 0755, 0, 0), 0);
    pid_t pid = FORK({
        CHECK_EQ(set_res_uid(10, 20, 30), 0);
        execl(gt_path("p"), "p", "-xsuid", "10", "20", "20", "0", "1", (char *)NULL);
    });
    CHECK_EXIT(pid, 60);
}

TEST(no_new_privs)
{
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    EXPECT_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    EXPECT_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
    EXPECT_ERRNO(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0), EINVAL);
    CHECK_EQ(copy_self(gt_path("s"), 06755, 0, 0), 0);
    pid_t pid = FORK({
        CHECK_EQ(set_res_gid(1000, 1000, 1000), 0);
        CHECK_EQ(set_res_uid(1000, 1000, 1000), 0);
        CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
        execl(gt_path("s"), "s", "-xsuid", "1000", "1000", "1000", "1000", "0", (char *)NULL);
    });
    CHECK_EXIT(pid, 60);
    pid = FORK({
        CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        pid_t child = FORK({ CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1); });
        CHECK_EXIT(child, 0);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
}

TEST(set_id_bits_fall_off)
{
    struct stat st;
    CHECK_EQ(gt_write_file(gt_path("f"), "x", 1), 0);
    CHECK_EQ(chmod(gt_path("f"), 06755), 0);
    CHECK_EQ(chown(gt_path("f"), 1000, 1000), 0);
    CHECK_EQ(stat(gt_path("f"), &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0755);
    CHECK_EQ(chmod(gt_path("f"), 06777), 0);
    pid_t pid = FORK({
        CHECK_EQ(set_res_uid(2000, 2000, 2000), 0);
        int fd = OK(open(gt_path("f"), O_WRONLY));
        CHECK_EQ(write(fd, "y", 1), 1);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(stat(gt_path("f"), &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0777);
}
