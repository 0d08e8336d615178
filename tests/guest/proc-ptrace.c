// ptrace: attaching in both ways, stops and their reports, registers, memory, system call tracing, events,
// single steps, signals under a tracer, and permissions.
#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "guest-test.h"

#define WAIT_STOP(pid, sig)                                                                              \
    do {                                                                                                 \
        int gt_s;                                                                                        \
        CHECK_EQ(waitpid(pid, &gt_s, __WALL), pid);                                                      \
        if (!WIFSTOPPED(gt_s) || WSTOPSIG(gt_s) != (sig))                                                \
            FAIL("wait status %#x, want stop by %d", gt_s, (int)(sig));                                  \
    } while (0)

static long pt(int request, pid_t pid, unsigned long addr, unsigned long data)
{
    return syscall(SYS_ptrace, request, pid, addr, data);
}

NEEDS(pt(PTRACE_CONT, 1 << 22, 0, 0) == 0 || errno != ENOSYS, "ptrace comes later")

static volatile long target_word = 0x1122334455667788;

// A child that is traced by PTRACE_TRACEME and has stopped itself.
static pid_t traced_child(void (*body)(void))
{
    pid_t pid = FORK({
        CHECK_EQ(pt(PTRACE_TRACEME, 0, 0, 0), 0);
        raise(SIGSTOP);
        body();
    });
    WAIT_STOP(pid, SIGSTOP);
    return pid;
}

static void body_exit(void)
{
    _exit(11);
}

TEST(traceme_and_continue)
{
    pid_t pid = traced_child(body_exit);
    siginfo_t info;
    CHECK_EQ(pt(PTRACE_GETSIGINFO, pid, 0, (unsigned long)&info), 0);
    CHECK_EQ(info.si_signo, SIGSTOP);
    CHECK_EQ(gt_state(pid), 't');
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EXIT(pid, 11);
}

TEST(traceme_twice)
{
    pid_t pid = FORK({
        CHECK_EQ(pt(PTRACE_TRACEME, 0, 0, 0), 0);
        CHECK_ERRNO(pt(PTRACE_TRACEME, 0, 0, 0), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(memory)
{
    pid_t pid = traced_child(body_exit);
    long word = 0;
    CHECK_EQ(pt(PTRACE_PEEKDATA, pid, (unsigned long)&target_word, (unsigned long)&word), 0);
    CHECK_EQ(word, 0x1122334455667788);
    CHECK_EQ(pt(PTRACE_POKEDATA, pid, (unsigned long)&target_word, 99), 0);
    CHECK_EQ(pt(PTRACE_PEEKTEXT, pid, (unsigned long)&target_word, (unsigned long)&word), 0);
    CHECK_EQ(word, 99);
    CHECK_EQ(target_word, 0x1122334455667788);
    EXPECT_ERRNO(pt(PTRACE_PEEKDATA, pid, 8, (unsigned long)&word), EIO);
    EXPECT_ERRNO(pt(PTRACE_POKEDATA, pid, 8, 1), EIO);
    // Text is writable for a tracer although the program may not write it.
    CHECK_EQ(pt(PTRACE_PEEKTEXT, pid, (unsigned long)body_exit, (unsigned long)&word), 0);
    CHECK_EQ(pt(PTRACE_POKETEXT, pid, (unsigned long)body_exit, (word & ~0xffL) | 0xcc), 0);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    WAIT_STOP(pid, SIGTRAP);
    struct user_regs_struct regs;
    CHECK_EQ(pt(PTRACE_GETREGS, pid, 0, (unsigned long)&regs), 0);
    CHECK_EQ(regs.rip, (unsigned long)body_exit + 1);
    CHECK_EQ(pt(PTRACE_POKETEXT, pid, (unsigned long)body_exit, word), 0);
    regs.rip--;
    CHECK_EQ(pt(PTRACE_SETREGS, pid, 0, (unsigned long)&regs), 0);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EXIT(pid, 11);
    CHECK_EQ(*(volatile unsigned char *)body_exit != 0xcc, 1);
}

TEST(proc_mem)
{
    char path[64];
    long word = 0;
    pid_t pid = traced_child(body_exit);
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int fd = OK(open(path, O_RDWR));
    CHECK_EQ(pread(fd, &word, sizeof(word), (off_t)&target_word), (ssize_t)sizeof(word));
    CHECK_EQ(word, 0x1122334455667788);
    word = 5;
    CHECK_EQ(pwrite(fd, &word, sizeof(word), (off_t)&target_word), (ssize_t)sizeof(word));
    CHECK_EQ(pt(PTRACE_PEEKDATA, pid, (unsigned long)&target_word, (unsigned long)&word), 0);
    CHECK_EQ(word, 5);
    CHECK_ERRNO(pread(fd, &word, sizeof(word), 8), EIO);
    CHECK_EQ(pt(PTRACE_KILL, pid, 0, 0), 0);
    CHECK_KILLED(pid, SIGKILL);
}

static void body_registers(void)
{
    unsigned long r12 = 0x1212, rbx = 0xb0b;
    __asm__ volatile("movq %[a], %%r12\nmovq %[b], %%rbx\nint3\nmovq %%r12, %[a]\nmovq %%rbx, %[b]"
                     : [a] "+r"(r12), [b] "+r"(rbx)
                     :
                     : "r12", "rbx", "memory");
    _exit(r12 == 0x3434 && rbx == 0xb0b ? 12 : 13);
}

TEST(registers)
{
    pid_t pid = traced_child(body_registers);
    struct user_regs_struct regs, again;
    struct user_fpregs_struct fp;
    long word;
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    WAIT_STOP(pid, SIGTRAP);
    CHECK_EQ(pt(PTRACE_GETREGS, pid, 0, (unsigned long)&regs), 0);
    CHECK(regs.r12 == 0x1212 && regs.rbx == 0xb0b);
    CHECK_EQ(regs.cs, 0x33);
    CHECK_EQ(regs.ss, 0x2b);
    regs.r12 = 0x3434;
    CHECK_EQ(pt(PTRACE_SETREGS, pid, 0, (unsigned long)&regs), 0);
    CHECK_EQ(pt(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, r12), (unsigned long)&word), 0);
    CHECK_EQ(word, 0x3434);
    CHECK_EQ(pt(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rbx), 0xb0b), 0);
    struct iovec iov = {&again, sizeof(again)};
    CHECK_EQ(pt(PTRACE_GETREGSET, pid, NT_PRSTATUS, (unsigned long)&iov), 0);
    CHECK_EQ(iov.iov_len, sizeof(again));
    CHECK_EQ(again.r12, 0x3434);
    CHECK_EQ(pt(PTRACE_SETREGSET, pid, NT_PRSTATUS, (unsigned long)&iov), 0);
    CHECK_EQ(pt(PTRACE_GETFPREGS, pid, 0, (unsigned long)&fp), 0);
    CHECK(fp.mxcsr != 0);
    CHECK_EQ(pt(PTRACE_SETFPREGS, pid, 0, (unsigned long)&fp), 0);
    static char big[8192];
    iov = (struct iovec){big, sizeof(big)};
    CHECK_EQ(pt(PTRACE_GETREGSET, pid, NT_X86_XSTATE, (unsigned long)&iov), 0);
    CHECK(iov.iov_len >= 576);
    EXPECT_ERRNO(pt(PTRACE_GETREGSET, pid, 0x7777, (unsigned long)&iov), EINVAL);
    EXPECT_ERRNO(pt(PTRACE_PEEKUSER, pid, 4, (unsigned long)&word), EIO);
    EXPECT_ERRNO(pt(PTRACE_PEEKUSER, pid, 1 << 20, (unsigned long)&word), EIO);
    EXPECT_ERRNO(pt(PTRACE_GETREGS, pid, 0, (unsigned long)GT_BAD), EFAULT);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EXIT(pid, 12);
}

static void body_calls(void)
{
    syscall(SYS_getppid);
    syscall(SYS_close, 12345);
    _exit(14);
}

TEST(system_calls)
{
    // Entry and exit stops alternate; the number and result are in the registers.
    pid_t pid = traced_child(body_calls);
    struct user_regs_struct regs;
    bool seen_getppid = false, seen_close = false;
    CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
    // The first stop may be the end of the kill that stopped it.
    for (;;) {
        int status;
        CHECK_EQ(pt(PTRACE_SYSCALL, pid, 0, 0), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            CHECK_EQ(WEXITSTATUS(status), 14);
            break;
        }
        CHECK_EQ(status >> 8, SIGTRAP | 0x80);
        CHECK_EQ(pt(PTRACE_GETREGS, pid, 0, (unsigned long)&regs), 0);
        if ((long)regs.rax == -ENOSYS)
            continue;    // entry
        if (regs.orig_rax == SYS_getppid) {
            seen_getppid = true;
            CHECK_EQ(regs.rax, getpid());
        }
        if (regs.orig_rax == SYS_close) {
            seen_close = true;
            CHECK_EQ(regs.rdi, 12345);
            CHECK_EQ((long)regs.rax, -EBADF);
        }
    }
    CHECK(seen_getppid && seen_close);
}

static void body_changed_call(void)
{
    long r = syscall(SYS_getppid);
    _exit(r == 4711 ? 15 : 16);
}

TEST(system_call_changed)
{
    // The tracer replaces the call at entry and the result at exit.
    pid_t pid = traced_child(body_changed_call);
    struct user_regs_struct regs;
    CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
    for (;;) {
        CHECK_EQ(pt(PTRACE_SYSCALL, pid, 0, 0), 0);
        WAIT_STOP(pid, SIGTRAP | 0x80);
        CHECK_EQ(pt(PTRACE_GETREGS, pid, 0, (unsigned long)&regs), 0);
        if (regs.orig_rax == SYS_getppid && (long)regs.rax == -ENOSYS)
            break;
    }
    regs.orig_rax = -1;
    CHECK_EQ(pt(PTRACE_SETREGS, pid, 0, (unsigned long)&regs), 0);
    CHECK_EQ(pt(PTRACE_SYSCALL, pid, 0, 0), 0);
    WAIT_STOP(pid, SIGTRAP | 0x80);
    CHECK_EQ(pt(PTRACE_GETREGS, pid, 0, (unsigned long)&regs), 0);
    CHECK_EQ((long)regs.rax, -ENOSYS);
    regs.rax = 4711;
    CHECK_EQ(pt(PTRACE_SETREGS, pid, 0, (unsigned long)&regs), 0);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EXIT(pid, 15);
}

TEST(system_call_info)
{
    struct {
        uint8_t op, pad[3];
        uint32_t arch;
        uint64_t ip, sp;
        union {
            struct {
                uint64_t nr, args[6];
            } entry;
            struct {
                int64_t rval;
                uint8_t is_error;
            } exit;
        };
    } info;
    pid_t pid = traced_child(body_calls);
    CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
    for (;;) {
        CHECK_EQ(pt(PTRACE_SYSCALL, pid, 0, 0), 0);
        WAIT_STOP(pid, SIGTRAP | 0x80);
        CHECK(pt(0x420e, pid, sizeof(info), (unsigned long)&info) > 0);
        if (info.op == 1 && info.entry.nr == SYS_close)
            break;
    }
    CHECK_EQ(info.arch, 0xc000003e);
    CHECK_EQ(info.entry.args[0], 12345);
    CHECK_EQ(pt(PTRACE_SYSCALL, pid, 0, 0), 0);
    WAIT_STOP(pid, SIGTRAP | 0x80);
    CHECK(pt(0x420e, pid, sizeof(info), (unsigned long)&info) > 0);
    CHECK_EQ(info.op, 2);
    CHECK(info.exit.is_error && info.exit.rval == -EBADF);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EXIT(pid, 14);
}

static void body_loop(void)
{
    for (volatile int i = 0; i < 1000; i++)
        continue;
    _exit(11);
}

TEST(single_step)
{
    pid_t pid = traced_child(body_loop);
    struct user_regs_struct regs;
    unsigned long last = 0;
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(pt(PTRACE_SINGLESTEP, pid, 0, 0), 0);
        WAIT_STOP(pid, SIGTRAP);
        CHECK_EQ(pt(PTRACE_GETREGS, pid, 0, (unsigned long)&regs), 0);
        CHECK(regs.rip != last);
        last = regs.rip;
    }
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EXIT(pid, 11);
}

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
    handled = sig;
}

static void body_signals(void)
{
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    raise(SIGUSR1);    // suppressed by the tracer
    if (handled != 0)
        _exit(1);
    raise(SIGUSR1);    // replaced by SIGUSR2
    _exit(handled == SIGUSR2 ? 18 : 2);
}

TEST(signals)
{
    pid_t pid = traced_child(body_signals);
    siginfo_t info;
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    WAIT_STOP(pid, SIGUSR1);
    CHECK_EQ(pt(PTRACE_GETSIGINFO, pid, 0, (unsigned long)&info), 0);
    CHECK(info.si_signo == SIGUSR1 && info.si_pid == pid);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    WAIT_STOP(pid, SIGUSR1);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, SIGUSR2), 0);
    CHECK_EXIT(pid, 18);
}

static void body_wait_signal(void)
{
    for (;;)
        pause();
}

TEST(signal_numbers)
{
    pid_t pid = traced_child(body_wait_signal);
    EXPECT_ERRNO(pt(PTRACE_CONT, pid, 0, 65), EIO);
    EXPECT_ERRNO(pt(PTRACE_SETOPTIONS, pid, 0, 1UL << 40), EINVAL);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, SIGTERM), 0);
    CHECK_KILLED(pid, SIGTERM);
}

TEST(not_traced)
{
    pid_t pid = FORK({ body_wait_signal(); });
    EXPECT_ERRNO(pt(PTRACE_CONT, pid, 0, 0), ESRCH);
    EXPECT_ERRNO(pt(PTRACE_CONT, 1 << 22, 0, 0), ESRCH);
    EXPECT_ERRNO(pt(PTRACE_ATTACH, 1 << 22, 0, 0), ESRCH);
    EXPECT_ERRNO(pt(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
    CHECK_EQ(pt(PTRACE_ATTACH, pid, 0, 0), 0);
    WAIT_STOP(pid, SIGSTOP);
    EXPECT_ERRNO(pt(PTRACE_ATTACH, pid, 0, 0), EPERM);
    EXPECT_ERRNO(pt(0x7777, pid, 0, 0), EIO);
    pid_t other = FORK({
        EXPECT_ERRNO(pt(PTRACE_CONT, pid, 0, 0), ESRCH);    // somebody else's tracee
        EXPECT_ERRNO(pt(PTRACE_ATTACH, pid, 0, 0), EPERM);
    });
    CHECK_EXIT(other, 0);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    EXPECT_ERRNO(pt(PTRACE_GETSIGINFO, pid, 0, 0), ESRCH);    // runs
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(attach_and_detach)
{
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = FORK({
        signal(SIGUSR1, on_signal);
        CHECK_EQ(write(ends[1], "r", 1), 1);
        while (handled == 0)
            gt_msleep(1);
        _exit(19);
    });
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    char text[4096], want[32], path[64];
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(pt(PTRACE_ATTACH, pid, 0, 0), 0);
        WAIT_STOP(pid, SIGSTOP);
        if (i == 0) {
            snprintf(path, sizeof(path), "/proc/%d/status", pid);
            CHECK(gt_read_file(path, text, sizeof(text)) > 0);
            snprintf(want, sizeof(want), "TracerPid:\t%d\n", getpid());
            CHECK(strstr(text, want) != NULL);
        }
        CHECK_EQ(pt(PTRACE_DETACH, pid, 0, i == 19 ? SIGUSR1 : 0), 0);
    }
    CHECK_EXIT(pid, 19);
}

TEST(seize_and_interrupt)
{
    pid_t pid = FORK({
        for (;;)
            *(volatile int *)&handled = 0;
    });
    int status;
    CHECK_EQ(pt(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL), 0);
    gt_msleep(5);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);    // not stopped by seizing
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(pt(PTRACE_INTERRUPT, pid, 0, 0), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSTOPPED(status));
        CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_STOP << 8);
        CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    }
    CHECK_ERRNO(pt(PTRACE_SEIZE, pid, 0, 0), EPERM);
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}

static void body_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    _exit(gt_waitpid(pid) == 3 << 8 ? 20 : 21);
}

TEST(fork_events)
{
    pid_t pid = traced_child(body_fork);
    int status;
    unsigned long message = 0;
    CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXIT), 0);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_FORK << 8);
    CHECK_EQ(pt(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&message), 0);
    pid_t child = message;
    CHECK(child > 0 && child != pid);
    WAIT_STOP(child, SIGSTOP);    // attached automatically
    CHECK_EQ(pt(PTRACE_CONT, child, 0, 0), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
    CHECK_EQ(pt(PTRACE_GETEVENTMSG, child, 0, (unsigned long)&message), 0);
    CHECK_EQ(message, 3 << 8);
    CHECK_EQ(pt(PTRACE_CONT, child, 0, 0), 0);
    CHECK_EXIT(child, 3);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    // Its child's end may be reported to it as SIGCHLD, then its own exit event comes.
    for (;;) {
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
            break;
        CHECK_EQ(WSTOPSIG(status), SIGCHLD);
        CHECK_EQ(pt(PTRACE_CONT, pid, 0, SIGCHLD), 0);
    }
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EXIT(pid, 20);
}

ENTRY(exit22)
{
    return 22;
}

static void body_exec(void)
{
    execl(gt_self, gt_self, "-xexit22", (char *)NULL);
    _exit(1);
}

TEST(exec_stop)
{
    for (int event = 0; event < 2; event++) {
        pid_t pid = traced_child(body_exec);
        int status;
        if (event)
            CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC), 0);
        CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status >> 8, event ? SIGTRAP | PTRACE_EVENT_EXEC << 8 : SIGTRAP);
        unsigned long message = 0;
        if (event) {
            CHECK_EQ(pt(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&message), 0);
            CHECK_EQ(message, pid);
        }
        CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
        CHECK_EXIT(pid, 22);
    }
}

static void *thread_exits(void *arg)
{
    return arg;
}

static void body_thread(void)
{
    pthread_t thread;
    CHECK_RC(pthread_create(&thread, NULL, thread_exits, NULL), 0);
    CHECK_RC(pthread_join(thread, NULL), 0);
    _exit(23);
}

TEST(clone_event_of_thread)
{
    pid_t pid = traced_child(body_thread);
    int status;
    unsigned long message;
    CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE), 0);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(waitpid(pid, &status, __WALL), pid);
    CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_CLONE << 8);
    CHECK_EQ(pt(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&message), 0);
    WAIT_STOP((pid_t)message, SIGSTOP);
    CHECK_EQ(pt(PTRACE_CONT, message, 0, 0), 0);
    CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), 0);
    CHECK_EQ(waitpid(message, &status, __WALL), (pid_t)message);
    CHECK(WIFEXITED(status));
    CHECK_EXIT(pid, 23);
}

TEST(tracer_death)
{
    // A tracee is set free when its tracer dies, or killed if that was asked for.
    for (int exit_kill = 0; exit_kill < 2; exit_kill++) {
        int ends[2];
        char byte;
        CHECK_EQ(pipe(ends), 0);
        pid_t target = FORK({
            close(ends[0]);
            body_wait_signal();
        });
        CHECK_EQ(close(ends[1]), 0);
        pid_t tracer = FORK({
            CHECK_EQ(pt(PTRACE_SEIZE, target, 0, exit_kill ? PTRACE_O_EXITKILL : 0), 0);
            CHECK_EQ(pt(PTRACE_INTERRUPT, target, 0, 0), 0);
            int status;
            CHECK_EQ(waitpid(target, &status, __WALL), target);
        });
        CHECK_EXIT(tracer, 0);
        if (exit_kill) {
            CHECK_EQ(read(ends[0], &byte, 1), 0);
            CHECK_KILLED(target, SIGKILL);
        } else {
            CHECK_EQ(kill(target, SIGTERM), 0);
            CHECK_KILLED(target, SIGTERM);
        }
        CHECK_EQ(close(ends[0]), 0);
    }
}

TEST(parent_and_tracer_both_wait)
{
    // The tracer sees the end first, the parent afterwards.
    pid_t target = FORK({
        signal(SIGTERM, SIG_DFL);
        body_wait_signal();
    });
    pid_t tracer = FORK({
        CHECK_EQ(pt(PTRACE_SEIZE, target, 0, 0), 0);
        CHECK_EQ(kill(target, SIGKILL), 0);
        int status;
        CHECK_EQ(waitpid(target, &status, __WALL), target);
        CHECK(WIFSIGNALED(status));
    });
    CHECK_EXIT(tracer, 0);
    CHECK_KILLED(target, SIGKILL);
}

TEST(permission)
{
    pid_t target = FORK({ body_wait_signal(); });
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(pt(PTRACE_ATTACH, target, 0, 0), EPERM);
        CHECK_ERRNO(pt(PTRACE_SEIZE, target, 0, 0), EPERM);
        CHECK_ERRNO(pt(PTRACE_ATTACH, 1, 0, 0), EPERM);
    });
    CHECK_EXIT(pid, 0);
    kill(target, SIGKILL);
    CHECK_KILLED(target, SIGKILL);
}
