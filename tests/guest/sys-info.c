// What the system says about itself: uname, sysinfo, getrandom, getcpu, host and domain name, syslog,
// personality, and unknown calls.
#include <sched.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "guest-test.h"

TEST(uname)
{
    struct utsname u;
    CHECK_EQ(syscall(SYS_uname, &u), 0);
    CHECK_STR(u.sysname, "Linux");
    CHECK_STR(u.machine, "x86_64");
    int major = 0, minor = 0;
    CHECK_EQ(sscanf(u.release, "%d.%d", &major, &minor), 2);
    CHECK(major >= 4);
    CHECK(u.version[0] == '#');
    CHECK(strlen(u.nodename) < sizeof(u.nodename));
    CHECK_ERRNO(syscall(SYS_uname, GT_BAD), EFAULT);
    char text[256], want[128];
    if (gt_read_file("/proc/sys/kernel/osrelease", text, sizeof(text)) > 0) {
        snprintf(want, sizeof(want), "%s\n", u.release);
        CHECK_STR(text, want);
    }
    if (gt_read_file("/proc/version", text, sizeof(text)) > 0)
        CHECK(strstr(text, u.release) != NULL);
}

TEST(host_name)
{
    struct utsname before, after;
    CHECK_EQ(uname(&before), 0);
    CHECK_EQ(sethostname("caisson-test", 12), 0);
    CHECK_EQ(uname(&after), 0);
    CHECK_STR(after.nodename, "caisson-test");
    char text[128];
    if (gt_read_file("/proc/sys/kernel/hostname", text, sizeof(text)) > 0)
        CHECK_STR(text, "caisson-test\n");
    EXPECT_ERRNO(syscall(SYS_sethostname, "x", -1), EINVAL);
    EXPECT_ERRNO(syscall(SYS_sethostname, "x", 65), EINVAL);
    EXPECT_ERRNO(syscall(SYS_sethostname, GT_BAD, 5), EFAULT);
    CHECK_EQ(sethostname(before.nodename, strlen(before.nodename)), 0);
    CHECK_EQ(uname(&after), 0);
    CHECK_STR(after.nodename, before.nodename);
    EXPECT_EQ(setdomainname(before.domainname, strlen(before.domainname)), 0);
    EXPECT_ERRNO(syscall(SYS_setdomainname, "x", 65), EINVAL);
}

TEST(sysinfo)
{
    struct sysinfo si;
    memset(&si, 0x55, sizeof(si));
    CHECK_EQ(syscall(SYS_sysinfo, &si), 0);
    CHECK(si.mem_unit > 0);
    CHECK(si.totalram > 0);
    CHECK(si.freeram <= si.totalram);
    CHECK(si.procs > 0 && si.procs < 10000);
    CHECK(si.freeswap <= si.totalswap);
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    CHECK(si.uptime >= ts.tv_sec - 5 && si.uptime <= ts.tv_sec + 5);
    CHECK_ERRNO(syscall(SYS_sysinfo, GT_BAD), EFAULT);
    char text[4096];
    if (gt_read_file("/proc/meminfo", text, sizeof(text)) > 0) {
        unsigned long kb = 0;
        CHECK_EQ(sscanf(text, "MemTotal: %lu kB", &kb), 1);
        CHECK_EQ(kb, si.totalram * si.mem_unit / 1024);
    }
}

TEST(getrandom)
{
    unsigned char a[256] = {0}, b[256] = {0};
    static const unsigned flags[] = {0, GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE, GRND_RANDOM | GRND_NONBLOCK};
    for (size_t i = 0; i < GT_COUNT(flags); i++) {
        CHECK_EQ(syscall(SYS_getrandom, a, sizeof(a), flags[i]), 256);
        CHECK_EQ(syscall(SYS_getrandom, b, sizeof(b), flags[i]), 256);
        CHECK(memcmp(a, b, sizeof(a)) != 0);
    }
    CHECK_EQ(syscall(SYS_getrandom, a, 0, 0), 0);
    EXPECT_ERRNO(syscall(SYS_getrandom, a, 1, 8), EINVAL);
    EXPECT_ERRNO(syscall(SYS_getrandom, a, 1, GRND_RANDOM | GRND_INSECURE), EINVAL);
    EXPECT_ERRNO(syscall(SYS_getrandom, GT_BAD, 16, 0), EFAULT);
    // Larger than a page, and every byte value turns up.
    static unsigned char big[1 << 20];
    bool seen[256] = {false};
    CHECK_EQ(syscall(SYS_getrandom, big, sizeof(big), 0), (long)sizeof(big));
    for (size_t i = 0; i < sizeof(big); i++)
        seen[big[i]] = true;
    for (int i = 0; i < 256; i++)
        CHECK(seen[i]);
}

TEST(getrandom_differs_after_fork)
{
    uint64_t *values = gt_shared(4096);
    pid_t pid = FORK({ CHECK_EQ(getrandom(&values[1], 8, 0), 8); });
    CHECK_EQ(getrandom(&values[0], 8, 0), 8);
    CHECK_EXIT(pid, 0);
    CHECK(values[0] != values[1]);
}

TEST(getcpu)
{
    unsigned cpu = ~0U, node = ~0U;
    cpu_set_t set;
    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    CHECK_EQ(syscall(SYS_getcpu, &cpu, &node, NULL), 0);
    CHECK(cpu < CPU_SETSIZE && CPU_ISSET(cpu, &set));
    CHECK(node < 1024);
    CHECK_EQ(syscall(SYS_getcpu, NULL, NULL, NULL), 0);
    CHECK_EQ(syscall(SYS_getcpu, &cpu, NULL, GT_BAD), 0);
    CHECK_ERRNO(syscall(SYS_getcpu, GT_BAD, NULL, NULL), EFAULT);
    CHECK(sched_getcpu() >= 0);
}

TEST(personality)
{
    CHECK_EQ(personality(0xffffffff), 0);
    CHECK_EQ(personality(ADDR_NO_RANDOMIZE), 0);
    CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
    pid_t pid = FORK({ CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE); });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(personality(0), ADDR_NO_RANDOMIZE);
}

TEST(unknown_calls)
{
    EXPECT_ERRNO(syscall(100000), ENOSYS);
    EXPECT_ERRNO(syscall(-1), ENOSYS);
    EXPECT_ERRNO(syscall(-5), ENOSYS);
    EXPECT_ERRNO(syscall(511), ENOSYS);
    EXPECT_ERRNO(syscall(1 << 20), ENOSYS);
    // Retired numbers
    static const int retired[] = {SYS_uselib,     SYS__sysctl,         SYS_create_module, SYS_get_kernel_syms,
                                  SYS_query_module, SYS_nfsservctl,      SYS_getpmsg,       SYS_putpmsg,
                                  SYS_afs_syscall, SYS_tuxcall,         SYS_security,      SYS_vserver,
                                  SYS_epoll_ctl_old, SYS_epoll_wait_old, SYS_set_thread_area, SYS_get_thread_area};
    for (size_t i = 0; i < GT_COUNT(retired); i++) {
        errno = 0;
        long r = syscall(retired[i], 0, 0, 0, 0, 0, 0);
        if (r != -1 || errno != ENOSYS)
            gt_fail(false, __FILE__, __LINE__, "call %d: got %ld %s", retired[i], r, gt_errname(errno));
    }
}

TEST(registers_survive_calls)
{
    // A system call changes rax, rcx and r11 only.
    for (int i = 0; i < 50; i++) {
        unsigned long in[9], out[9];
        for (int k = 0; k < 9; k++)
            in[k] = 0x1111111111111111UL * (k + 1) + i;
        register unsigned long r8 __asm__("r8") = in[0];
        register unsigned long r9 __asm__("r9") = in[1];
        register unsigned long r10 __asm__("r10") = in[2];
        register unsigned long r12 __asm__("r12") = in[3];
        register unsigned long r13 __asm__("r13") = in[4];
        register unsigned long r14 __asm__("r14") = in[5];
        register unsigned long r15 __asm__("r15") = in[6];
        unsigned long rdi = in[7], rsi = in[8], rax = SYS_getppid;
        __asm__ volatile("syscall"
                         : "+a"(rax), "+D"(rdi), "+S"(rsi), "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r12), "+r"(r13),
                           "+r"(r14), "+r"(r15)
                         :
                         : "rcx", "r11", "memory");
        out[0] = r8, out[1] = r9, out[2] = r10, out[3] = r12, out[4] = r13, out[5] = r14, out[6] = r15;
        out[7] = rdi, out[8] = rsi;
        CHECK_EQ(rax, getppid());
        for (int k = 0; k < 9; k++)
            CHECK_EQ(out[k], in[k]);
    }
}

TEST(vectors_survive_calls)
{
    // xmm registers and the direction of rounding are kept over system calls, sleeping ones too.
    struct timespec ts = {0, 1000000};
    uint64_t in[16][2], out[16][2];
    for (int i = 0; i < 16; i++)
        in[i][0] = 0x0102030405060708UL * (i + 1), in[i][1] = ~in[i][0];
    for (int round = 0; round < 20; round++) {
        unsigned long rax = round & 1 ? SYS_nanosleep : SYS_getpid, rdi = (uintptr_t)&ts, rsi = 0;
#define LOAD(n) "movups " #n "*16(%[in]), %%xmm" #n "\n"
#define SAVE(n) "movups %%xmm" #n ", " #n "*16(%[out])\n"
        __asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9) LOAD(10)
                             LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15) "syscall\n" SAVE(0) SAVE(1) SAVE(2)
                                 SAVE(3) SAVE(4) SAVE(5) SAVE(6) SAVE(7) SAVE(8) SAVE(9) SAVE(10) SAVE(11) SAVE(12)
                                     SAVE(13) SAVE(14) SAVE(15)
                         : "+a"(rax)
                         : "D"(rdi), "S"(rsi), [in] "r"(in), [out] "r"(out)
                         : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                           "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
        CHECK(memcmp(in, out, sizeof(in)) == 0);
        memset(out, 0, sizeof(out));
    }
}
