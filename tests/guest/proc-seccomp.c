// seccomp: strict mode, filters and their actions, who may install them, inheritance, thread synchronisation.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <ucontext.h>

#include "guest-test.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define JUMP_EQ(k, t, f) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, t, f)
#define RET(k) BPF_STMT(BPF_RET | BPF_K, k)

static long install_flags(const struct sock_filter *filter, size_t count, unsigned flags)
{
    struct sock_fprog prog = {count, (struct sock_filter *)filter};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

NEEDS(install_flags(NULL, 0, 0) == 0 || errno != ENOSYS, "seccomp filters of guests come later")

#define INSTALL(...)                                                                                     \
    ({                                                                                                   \
        const struct sock_filter gt_f[] = {__VA_ARGS__};                                                 \
        install_flags(gt_f, GT_COUNT(gt_f), 0);                                                          \
    })

// One action for one call, everything else allowed.
static long install_for(int nr, uint32_t action)
{
    return INSTALL(LOAD(nr), JUMP_EQ(nr, 0, 1), RET(action), RET(SECCOMP_RET_ALLOW));
}

TEST(strict)
{
    pid_t pid = FORK({
        CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), 0);
        syscall(SYS_write, STDOUT_FILENO, "", 0);
        syscall(SYS_exit, 5);
    });
    CHECK_EXIT(pid, 5);
    pid = FORK({
        CHECK_EQ(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL), 0);
        syscall(SYS_getpid);
        syscall(SYS_exit, 5);
    });
    CHECK_KILLED(pid, SIGKILL);
}

TEST(errors)
{
    EXPECT_ERRNO(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, "x"), EINVAL);
    EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, GT_BAD), EFAULT);
    EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1 << 20, NULL), EINVAL);
    EXPECT_ERRNO(prctl(PR_SET_SECCOMP, 99, NULL), EINVAL);
    static struct sock_filter f[5000];
    EXPECT_ERRNO(install_flags(f, 0, 0), EINVAL);
    EXPECT_ERRNO(install_flags(f, 4097, 0), EINVAL);
    EXPECT_ERRNO(INSTALL(LOAD(nr)), EINVAL);    // no return
    EXPECT_ERRNO(INSTALL(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET(0)), EINVAL);    // unaligned
    EXPECT_ERRNO(INSTALL(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET(0)), EINVAL);    // past the data
    EXPECT_ERRNO(INSTALL(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RET(0)), EINVAL);
    EXPECT_ERRNO(INSTALL(BPF_STMT(BPF_JMP | BPF_JA, 5), RET(0)), EINVAL);
    EXPECT_ERRNO(INSTALL(BPF_STMT(0xffff, 0), RET(0)), EINVAL);
    EXPECT_ERRNO(INSTALL(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0)), EINVAL);
    EXPECT_ERRNO(INSTALL(BPF_STMT(BPF_LD | BPF_MEM, 16), RET(0)), EINVAL);
    CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST(available_actions)
{
    static const uint32_t actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                                       SECCOMP_RET_ERRNO,        SECCOMP_RET_TRACE,       SECCOMP_RET_LOG,
                                       SECCOMP_RET_ALLOW};
    for (size_t i = 0; i < GT_COUNT(actions); i++) {
        uint32_t a = actions[i];
        EXPECT_EQ(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &a), 0);
    }
    uint32_t a = 0x12340000;
    EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &a), EOPNOTSUPP);
}

TEST(errno_action)
{
    CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_ERRNO | 77), 0);
    CHECK_ERRNO(syscall(SYS_getppid), 77);
    CHECK(getpid() > 0);
    CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
    CHECK_EQ(install_for(SYS_getuid, SECCOMP_RET_ERRNO), 0);    // errno 0: returns 0
    CHECK_EQ(syscall(SYS_getuid), 0);
    CHECK_EQ(install_for(SYS_getgid, SECCOMP_RET_ERRNO | 5000), 0);    // clipped to 4095
    CHECK_EQ(syscall(SYS_getgid), -1);
    CHECK_EQ(errno, 4095);
    char text[8192];
    CHECK(gt_read_file("/proc/self/status", text, sizeof(text)) > 0);
    CHECK(strstr(text, "Seccomp:\t2") != NULL);
}

TEST(kill_actions)
{
    pid_t pid = FORK({
        CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_KILL_PROCESS), 0);
        syscall(SYS_getppid);
    });
    CHECK_KILLED(pid, SIGSYS);
    pid = FORK({
        CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_KILL_THREAD), 0);
        syscall(SYS_getppid);
    });
    CHECK_KILLED(pid, SIGSYS);
}

static void *killed_thread(void *arg)
{
    install_for(SYS_getppid, *(uint32_t *)arg);
    syscall(SYS_getppid);
    return NULL;
}

TEST(kill_thread_leaves_others)
{
    for (int process = 0; process < 2; process++) {
        pid_t pid = FORK({
            uint32_t action = process ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_KILL_THREAD;
            pthread_t thread;
            CHECK_RC(pthread_create(&thread, NULL, killed_thread, &action), 0);
            gt_msleep(process ? 5000 : 100);
            _exit(6);
        });
        if (process)
            CHECK_KILLED(pid, SIGSYS);
        else
            CHECK_EXIT(pid, 6);
    }
}

static siginfo_t seen;
static volatile sig_atomic_t calls;

static void on_sys(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    ucontext_t *uc = context;
    seen = *info;
    calls++;
    uc->uc_mcontext.gregs[REG_RAX] = 1234;
}

TEST(trap_action)
{
    struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigaction(SIGSYS, &sa, NULL), 0);
    CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_TRAP | 99), 0);
    CHECK_EQ(syscall(SYS_getppid), 1234);
    CHECK_EQ(calls, 1);
    CHECK_EQ(seen.si_code, 1);    // SYS_SECCOMP
    CHECK_EQ(seen.si_errno, 99);
    CHECK_EQ(seen.si_syscall, SYS_getppid);
    CHECK_EQ(seen.si_arch, AUDIT_ARCH_X86_64);
    CHECK(seen.si_call_addr != NULL);
    // Blocked or ignored: deadly
    pid_t pid = FORK({
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGSYS);
        sigprocmask(SIG_BLOCK, &set, NULL);
        syscall(SYS_getppid);
    });
    CHECK_KILLED(pid, SIGSYS);
}

TEST(trace_without_tracer)
{
    CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_TRACE), 0);
    CHECK_ERRNO(syscall(SYS_getppid), ENOSYS);
}

TEST(log_action)
{
    CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_LOG), 0);
    CHECK(syscall(SYS_getppid) >= 0);
}

TEST(strictest_of_several)
{
    CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_ERRNO | 1), 0);
    CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_ERRNO | 2), 0);
    CHECK_ERRNO(syscall(SYS_getppid), 2);    // the same kind: the latest
    CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_ALLOW), 0);
    CHECK_ERRNO(syscall(SYS_getppid), 2);
    pid_t pid = FORK({
        CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_KILL_PROCESS), 0);
        CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_ERRNO | 3), 0);
        syscall(SYS_getppid);
    });
    CHECK_KILLED(pid, SIGSYS);
}

TEST(arguments)
{
    // Both halves of an argument, the architecture and the instruction pointer can be looked at.
    CHECK_EQ(INSTALL(LOAD(arch), JUMP_EQ(AUDIT_ARCH_X86_64, 1, 0), RET(SECCOMP_RET_KILL_PROCESS), LOAD(nr),
                     JUMP_EQ(SYS_close, 0, 5), LOAD(args[0]), JUMP_EQ(0x1234, 0, 3),
                     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4), JUMP_EQ(5, 0, 1),
                     RET(SECCOMP_RET_ERRNO | 55), RET(SECCOMP_RET_ALLOW)),
             0);
    CHECK_ERRNO(syscall(SYS_close, 0x500001234), 55);
    CHECK_ERRNO(syscall(SYS_close, 0x1234), EBADF);
    CHECK_ERRNO(syscall(SYS_close, 0x600001234), EBADF);
}

TEST(filter_arithmetic)
{
    // A = nr; X = A; A = (A * 2 + X) / 3 ^ 0 - ... must be nr again; then memory cells and jumps.
    CHECK_EQ(INSTALL(LOAD(nr), BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 2),
                     BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 3),
                     BPF_STMT(BPF_ST, 7), BPF_STMT(BPF_LD | BPF_IMM, 0xffffffff), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
                     JUMP_EQ(0, 1, 0), RET(SECCOMP_RET_KILL_PROCESS), BPF_STMT(BPF_LD | BPF_MEM, 7),
                     BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_getppid, 2, 0),
                     BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_getppid, 0, 1), RET(SECCOMP_RET_ERRNO | 66),
                     RET(SECCOMP_RET_ALLOW)),
             0);
    CHECK_ERRNO(syscall(SYS_getppid), 66);
    CHECK_EQ(syscall(SYS_getpgrp), getpgrp());    // the next number
    CHECK_EQ(syscall(SYS_getegid), 0);    // the one before
}

TEST(inherited_and_kept)
{
    pid_t pid = FORK({
        CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_ERRNO | 44), 0);
        pid_t child = FORK({ CHECK_ERRNO(syscall(SYS_getppid), 44); });
        CHECK_EXIT(child, 0);
        execl(gt_self, gt_self, "-xfiltered", (char *)NULL);
    });
    CHECK_EXIT(pid, 44);
}

ENTRY(filtered)
{
    return syscall(SYS_getppid) == -1 ? errno : 1;
}

TEST(privilege)
{
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(install_for(SYS_getppid, SECCOMP_RET_ERRNO | 1), EACCES);
        CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        CHECK_EQ(install_for(SYS_getppid, SECCOMP_RET_ERRNO | 1), 0);
        CHECK_ERRNO(syscall(SYS_getppid), 1);
    });
    CHECK_EXIT(pid, 0);
}

static void *sync_thread(void *arg)
{
    pthread_barrier_wait(arg);
    pthread_barrier_wait(arg);
    return (void *)(long)(syscall(SYS_getppid) == -1 ? errno : 0);
}

TEST(thread_sync)
{
    for (int sync = 0; sync < 2; sync++) {
        pid_t pid = FORK({
            pthread_barrier_t barrier;
            pthread_t threads[3];
            const struct sock_filter f[] = {LOAD(nr), JUMP_EQ(SYS_getppid, 0, 1), RET(SECCOMP_RET_ERRNO | 33),
                                            RET(SECCOMP_RET_ALLOW)};
            CHECK_RC(pthread_barrier_init(&barrier, NULL, 4), 0);
            for (int i = 0; i < 3; i++)
                CHECK_RC(pthread_create(&threads[i], NULL, sync_thread, &barrier), 0);
            pthread_barrier_wait(&barrier);
            CHECK_EQ(install_flags(f, GT_COUNT(f), sync ? SECCOMP_FILTER_FLAG_TSYNC : 0), 0);
            pthread_barrier_wait(&barrier);
            for (int i = 0; i < 3; i++) {
                void *result;
                CHECK_RC(pthread_join(threads[i], &result), 0);
                CHECK_EQ((long)result, sync ? 33 : 0);
            }
        });
        CHECK_EXIT(pid, 0);
    }
}

TEST(applies_to_fast_calls)
{
    // A filter is obeyed by every call that a program makes, also by those that a kernel might answer early.
    static const int numbers[] = {SYS_getpid, SYS_gettid, SYS_sched_yield, SYS_futex, SYS_madvise, SYS_mprotect,
                                  SYS_munmap, SYS_getuid, SYS_clock_gettime, SYS_getcpu};
    for (size_t i = 0; i < GT_COUNT(numbers); i++) {
        pid_t pid = FORK({
            CHECK_EQ(install_for(numbers[i], SECCOMP_RET_ERRNO | 91), 0);
            long r = syscall(numbers[i], 0, 0, 0, 0, 0, 0);
            _exit(r == -1 && errno == 91 ? 0 : 1);
        });
        int status = gt_waitpid(pid);
        if (status != 0)
            gt_fail(false, __FILE__, __LINE__, "call %d: status %#x", numbers[i], status);
    }
}
