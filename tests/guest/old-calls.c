/*
 * Calls that few programs make: obsolete forms that old binaries use, memory policies, reading the
 * clock's discipline; and calls that a kernel may lack: with wrong arguments none may succeed, and a
 * number that no kernel knows is ENOSYS.
 */
#include "scratch.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>

struct old_dirent {
    unsigned long ino, off;
    unsigned short reclen;
    char name[]; /* and a type in the last byte of the record */
};

TEST(getdents_of_old)
{
    char buf[1024];
    int fd, seen = 0;
    ssize_t n;

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    put_file("d/file", "");
    CHECK_EQ(symlink("x", "d/link"), 0);
    fd = open("d", O_RDONLY | O_DIRECTORY);
    while ((n = syscall(SYS_getdents, fd, buf, sizeof(buf))) > 0) {
        for (ssize_t at = 0; at < n;) {
            struct old_dirent *e = (void *)(buf + at);
            unsigned char type = (unsigned char)buf[at + e->reclen - 1];

            CHECK(e->reclen % 8 == 0 && at + e->reclen <= n);
            if (strcmp(e->name, "file") == 0)
                CHECK(type == 8 || type == 0);
            if (strcmp(e->name, "link") == 0)
                CHECK(type == 10 || type == 0);
            seen++;
            at += e->reclen;
        }
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(seen, 4);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_ERRNO(syscall(SYS_getdents, fd, buf, 10), EINVAL);
    CHECK_ERRNO(syscall(SYS_getdents, fd, (void *)8, 1024), EFAULT);
    CHECK_ERRNO(syscall(SYS_getdents, -1, buf, 1024), EBADF);
    CHECK_ERRNO(syscall(SYS_getdents, open("d/file", O_RDONLY), buf, 1024), ENOTDIR);
}

TEST(futimesat_call)
{
    struct timeval tv[2] = {{.tv_sec = 11, .tv_usec = 22}, {.tv_sec = 33, .tv_usec = 44}};
    struct stat st;
    int dir;

    scratch();
    put_file("f", "");
    dir = open(".", O_RDONLY);
    CHECK_EQ(syscall(SYS_futimesat, dir, "f", tv), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK(st.st_atim.tv_sec == 11 && st.st_atim.tv_nsec == 22000);
    CHECK(st.st_mtim.tv_sec == 33 && st.st_mtim.tv_nsec == 44000);
    CHECK_EQ(syscall(SYS_futimesat, dir, "f", NULL), 0);
    tv[0].tv_usec = 1000000;
    CHECK_ERRNO(syscall(SYS_futimesat, dir, "f", tv), EINVAL);
    CHECK_ERRNO(syscall(SYS_futimesat, -1, "f", NULL), EBADF);
    int fd = open("f", O_RDWR);
    tv[0].tv_usec = 0;
    CHECK_EQ(syscall(SYS_futimesat, fd, NULL, tv), 0);
}

TEST(ustat_call)
{
    struct {
        int tfree;
        unsigned long tinode;
        char fname[6], fpack[6];
    } u;
    struct stat st;

    scratch();
    put_file("f", "");
    CHECK_EQ(stat("f", &st), 0);
    if (syscall(SYS_ustat, (unsigned)st.st_dev, &u) < 0)
        CHECK(errno == EINVAL || errno == ENOSYS);
    CHECK(syscall(SYS_ustat, 0xfffff, &u) == -1 && (errno == EINVAL || errno == ENOSYS));
}

TEST(old_forms_of_new_calls)
{
    uint64_t v;
    sigset_t set;
    int fd, p[2];

    CHECK((fd = (int)syscall(SYS_epoll_create, 1)) >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK((fd = (int)syscall(SYS_eventfd, 3)) >= 0);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 3);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK((fd = (int)syscall(SYS_signalfd, -1, &set, 8)) >= 0);
    CHECK((fd = (int)syscall(SYS_inotify_init)) >= 0);
    CHECK_EQ(syscall(SYS_pipe, p), 0);
    CHECK_EQ(syscall(SYS_dup2, p[0], 55), 55);
    CHECK_EQ(syscall(SYS_access, "/", F_OK), 0);
    CHECK_EQ(syscall(SYS_time, NULL) > 1500000000, 1);
    CHECK_EQ(syscall(SYS_getpgrp), getpgid(0));
}

TEST(sysfs_call)
{
    char name[64];
    long count = syscall(SYS_sysfs, 3);

    if (count < 0) {
        CHECK_EQ(errno, ENOSYS);
        SKIP("no sysfs call here");
    }
    CHECK(count > 0);
    CHECK_EQ(syscall(SYS_sysfs, 2, 0, name), 0);
    CHECK_EQ(syscall(SYS_sysfs, 1, name), 0);
    CHECK_ERRNO(syscall(SYS_sysfs, 2, 10000, name), EINVAL);
    CHECK_ERRNO(syscall(SYS_sysfs, 77), EINVAL);
}

TEST(memory_policies)
{
    int mode = -1;
    unsigned long nodes[16] = {0};
    void *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) < 0) {
        CHECK_EQ(errno, ENOSYS);
        SKIP("no memory policies here");
    }
    CHECK_EQ(mode, MPOL_DEFAULT);
    nodes[0] = 1;
    CHECK_EQ(syscall(SYS_set_mempolicy, MPOL_PREFERRED, nodes, 64), 0);
    CHECK_EQ(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0), 0);
    CHECK_EQ(mode, MPOL_PREFERRED);
    CHECK_EQ(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0), 0);
    CHECK_EQ(syscall(SYS_mbind, p, 8192, MPOL_BIND, nodes, 64, 0), 0);
    CHECK_ERRNO(syscall(SYS_set_mempolicy, 99, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_mbind, (char *)p + 1, 4096, MPOL_DEFAULT, NULL, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0x100), EINVAL);
    CHECK_EQ(syscall(SYS_get_mempolicy, NULL, nodes, 1024, NULL, MPOL_F_MEMS_ALLOWED), 0);
    CHECK(nodes[0] & 1);
}

TEST(clock_discipline_can_be_read)
{
    struct timex tx = {.modes = 0};
    struct timespec now;

    if (adjtimex(&tx) < 0) {
        CHECK(errno == ENOSYS || errno == EPERM);
        SKIP("no clock discipline here");
    }
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
    CHECK(labs((long)(tx.time.tv_sec - now.tv_sec)) <= 5);
    CHECK(tx.tick >= 9000 && tx.tick <= 11000);
    tx = (struct timex){.modes = 0};
    CHECK(clock_adjtime(CLOCK_REALTIME, &tx) >= 0);
    CHECK_ERRNO(clock_adjtime(999, &tx), EINVAL);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        struct timex set = {.modes = ADJ_TICK, .tick = 10000};
        CHECK_ERRNO(adjtimex(&set), EPERM);
    });
    wait_ok(pid);
}

TEST(unknown_numbers)
{
    /* Not 335 and 336: on recent kernels they belong to uprobes. */
    static const long numbers[] = {350,  400,  423,   500,     511, 600,    1000,
                                   4095, 4096, 65535, INT_MAX, -1,  INT_MIN};

    for (size_t i = 0; i < GT_COUNT(numbers); i++)
        EXPECT_ERRNO(syscall(numbers[i], 0, 0, 0, 0, 0, 0), ENOSYS);
    /* Only the low 32 bits of the number count. */
    EXPECT_EQ(syscall((1l << 32) + SYS_getpid), getpid());
    EXPECT_ERRNO(syscall(SYS_tuxcall), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_security), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_vserver), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_afs_syscall), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_getpmsg), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_putpmsg), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_create_module), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_uselib, "x"), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_nfsservctl), ENOSYS);
    EXPECT_ERRNO(syscall(SYS__sysctl, NULL), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_epoll_ctl_old), ENOSYS);
    EXPECT_ERRNO(syscall(SYS_set_thread_area, NULL), ENOSYS);
}

/* Each with arguments that no kernel accepts. */
static const struct {
    const char *name;
    long number, args[6];
} refused[] = {
    {"io_uring_setup", 425, {0, 8}},
    {"io_uring_enter", 426, {-1, 1}},
    {"io_uring_register", 427, {-1}},
    {"io_setup", 206, {0, 8}},
    {"io_destroy", 207, {8}},
    {"io_getevents", 208, {8}},
    {"io_submit", 209, {8, 1, 8}},
    {"io_cancel", 210, {8, 8, 8}},
    {"io_pgetevents", 333, {8}},
    {"fanotify_init", 300, {-1, -1}},
    {"fanotify_mark", 301, {-1, 1, 1, -1, 8}},
    {"bpf", 321, {-1, 8, 16}},
    {"perf_event_open", 298, {8, 0, -1, -1, 0}},
    {"userfaultfd", 323, {-1}},
    {"memfd_secret", 447, {-1}},
    {"keyctl", 250, {-1}},
    {"add_key", 248, {8, 8, 8, 8, 8}},
    {"request_key", 249, {8, 8, 8, 8}},
    {"quotactl", 179, {-1, 8, 0, 8}},
    {"quotactl_fd", 443, {-1, -1, 0, 8}},
    {"swapon", 167, {8, 0}},
    {"swapoff", 168, {8}},
    {"init_module", 175, {8, 8, 8}},
    {"finit_module", 313, {-1, 8, 0}},
    {"delete_module", 176, {8, 0}},
    {"kexec_load", 246, {0, 99999, 8, -1}},
    {"kexec_file_load", 320, {-1, -1, 0, 8, -1}},
    {"lookup_dcookie", 212, {8, 8, 8}},
    {"iopl", 172, {77}},
    {"ioperm", 173, {-1, -1, 1}},
    {"migrate_pages", 256, {-1, 64, 8, 8}},
    {"move_pages", 279, {-1, 1, 8, 8, 8, -1}},
    {"process_madvise", 440, {-1, 8, 1, 4, 0}},
    {"process_mrelease", 448, {-1, 0}},
    {"landlock_create_ruleset", 444, {8, 8, 8}},
    {"landlock_add_rule", 445, {-1, 1, 8, 0}},
    {"landlock_restrict_self", 446, {-1, 0}},
    {"open_by_handle_at", 304, {-1, 8, 0}},
    {"name_to_handle_at", 303, {-1, 8, 8, 8, 0}},
    {"mq_open", 240, {8, 0, 0, 0}},
    {"mq_timedsend", 242, {-1, 8, 8, 0, 0}},
    {"mq_timedreceive", 243, {-1, 8, 8, 0, 0}},
    {"mq_getsetattr", 245, {-1, 8, 8}},
    {"mq_notify", 244, {-1, 8}},
    {"futex_waitv", 449, {8, 1, 0, 0, 0}},
    {"set_mempolicy_home_node", 450, {1, 4096, -1, 0}},
    {"cachestat", 451, {-1, 8, 8, 0}},
    {"statmount", 457, {8, 8, 8, 0}},
    {"listmount", 458, {8, 8, 8, 0}},
    {"mseal", 462, {1, 4096, 0}},
    {"setns", 308, {-1, 0}},
    {"fspick", 433, {-1, 8, -1}},
    {"acct", 163, {8}},
    {"reboot", 169, {0, 0, 0, 0}},
    {"syslog", 103, {77, 0, 0}},
    {"remap_file_pages", 216, {1, 4096, 0, 0, 0}},
};

TEST(wrong_arguments_never_succeed)
{
    static const int allowed[] = {ENOSYS, EINVAL, EFAULT,     EBADF,    EPERM,
                                  ENOENT, ESRCH,  EOPNOTSUPP, ENOTBLK,  ENODEV,
                                  EACCES, E2BIG,  ENXIO,      EMSGSIZE, EADDRNOTAVAIL};

    for (size_t i = 0; i < GT_COUNT(refused); i++) {
        const long *a = refused[i].args;
        bool ok = false;

        errno = 0;
        long r = syscall(refused[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);
        for (size_t k = 0; k < GT_COUNT(allowed); k++)
            ok |= r == -1 && errno == allowed[k];
        if (!ok)
            gt_fail(false, __FILE__, __LINE__, "%s: %ld %s", refused[i].name, r, gt_errname(errno));
    }
}

TEST(privileged_calls_as_a_user)
{
    pid_t pid = FORK({
        struct timespec ts = {.tv_sec = 1};

        become(OTHER_UID, OTHER_GID);
        EXPECT_ERRNO(sethostname("x", 1), EPERM);
        EXPECT_ERRNO(setdomainname("x", 1), EPERM);
        EXPECT_ERRNO(clock_settime(CLOCK_REALTIME, &ts), EPERM);
        EXPECT_ERRNO(chroot("/"), EPERM);
        EXPECT_ERRNO(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL), EPERM);
        errno = 0;
        EXPECT(syscall(SYS_acct, NULL) == -1 && (errno == EPERM || errno == ENOSYS));
        EXPECT(syscall(SYS_swapon, "x", 0) == -1 && (errno == EPERM || errno == ENOSYS));
        EXPECT(syscall(SYS_iopl, 3) == -1 && (errno == EPERM || errno == ENOSYS));
        EXPECT(syscall(SYS_ioperm, 0, 1, 1) == -1 && (errno == EPERM || errno == ENOSYS));
        EXPECT(syscall(SYS_init_module, NULL, 0, "") == -1 && (errno == EPERM || errno == ENOSYS));
        EXPECT(syscall(SYS_delete_module, "x", 0) == -1 && (errno == EPERM || errno == ENOSYS));
    });

    wait_ok(pid);
}
