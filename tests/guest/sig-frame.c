// Signal frames: registers, flags, vector and floating-point state over handlers, contexts changed by the
// handler, alternate stacks in all their forms, and signals arriving everywhere in a running program.
#include <cpuid.h>
#include <pthread.h>
#include <ucontext.h>

#include "guest-test.h"

static volatile sig_atomic_t calls;
static volatile uintptr_t handler_stack;
static stack_t seen_stack;
static char alternate[131072] __attribute__((aligned(16)));

static void install(int sig, void *handler, int flags)
{
    struct sigaction sa = {.sa_sigaction = (void (*)(int, siginfo_t *, void *))handler,
                           .sa_flags = flags | SA_SIGINFO};
    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

// Overwrites everything that a handler may overwrite.
static void clobber(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    calls++;
    __asm__ volatile(
        "pcmpeqd %%xmm0, %%xmm0\nmovdqa %%xmm0, %%xmm1\nmovdqa %%xmm0, %%xmm2\nmovdqa %%xmm0, %%xmm3\n"
        "movdqa %%xmm0, %%xmm4\nmovdqa %%xmm0, %%xmm5\nmovdqa %%xmm0, %%xmm6\nmovdqa %%xmm0, %%xmm7\n"
        "movdqa %%xmm0, %%xmm8\nmovdqa %%xmm0, %%xmm9\nmovdqa %%xmm0, %%xmm10\nmovdqa %%xmm0, %%xmm11\n"
        "movdqa %%xmm0, %%xmm12\nmovdqa %%xmm0, %%xmm13\nmovdqa %%xmm0, %%xmm14\nmovdqa %%xmm0, %%xmm15\n"
        "movq $-1, %%r8\nmovq $-1, %%r9\nmovq $-1, %%r10\nmovq $-1, %%r11\nfninit\nfldpi\n" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
              "xmm12", "xmm13", "xmm14", "xmm15", "r8", "r9", "r10", "r11", "st");
    unsigned csr = 0x1f80 | 0x6000;
    __asm__ volatile("ldmxcsr %0" ::"m"(csr));
}

static void kill_self_raw(int sig)
{
    syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), sig);
}

TEST(general_registers)
{
    install(SIGUSR1, clobber, 0);
    for (int i = 0; i < 20; i++) {
        unsigned long pid = getpid(), tid = syscall(SYS_gettid), bad = 0;
        // The signal is delivered on return from the call; everything but rax, rcx and r11 must be as before.
        __asm__ volatile(
            "movq $0x8888, %%r8\nmovq $0x9999, %%r9\nmovq $0x1010, %%r10\nmovq $0x1212, %%r12\n"
            "movq $0x1313, %%r13\nmovq $0x1414, %%r14\nmovq $0x1515, %%r15\nmovq $0xbbbb, %%rbx\n"
            "movl %[nr], %%eax\nsyscall\n"
            "cmpq $0x8888, %%r8\njne 1f\ncmpq $0x9999, %%r9\njne 1f\ncmpq $0x1010, %%r10\njne 1f\n"
            "cmpq $0x1212, %%r12\njne 1f\ncmpq $0x1313, %%r13\njne 1f\ncmpq $0x1414, %%r14\njne 1f\n"
            "cmpq $0x1515, %%r15\njne 1f\ncmpq $0xbbbb, %%rbx\njne 1f\ntestq %%rax, %%rax\njne 1f\njmp 2f\n"
            "1: movq $1, %[bad]\n2:"
            : [bad] "+m"(bad)
            : "D"(pid), "S"(tid), "d"((unsigned long)SIGUSR1), [nr] "i"(SYS_tgkill)
            : "rax", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rbx", "memory", "cc");
        CHECK_EQ(bad, 0);
        CHECK_EQ(calls, i + 1);
    }
}

static void fault_skip(int sig, siginfo_t *info, void *context)
{
    clobber(sig, info, context);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

TEST(all_registers_over_fault)
{
    // At a fault nothing at all may change, rcx, r11 and the flags included.
    install(SIGILL, fault_skip, 0);
    unsigned long bad = 0;
    __asm__ volatile(
        "movq $1, %%rax\nmovq $2, %%rcx\nmovq $3, %%rdx\nmovq $4, %%rsi\nmovq $5, %%rdi\nmovq $11, %%r11\n"
        "movq $8, %%r8\nstc\nstd\nud2\n"
        "jnc 1f\npushfq\npopq %%r9\ncld\ntestq $0x400, %%r9\njz 1f\n"
        "cmpq $1, %%rax\njne 1f\ncmpq $2, %%rcx\njne 1f\ncmpq $3, %%rdx\njne 1f\ncmpq $4, %%rsi\njne 1f\n"
        "cmpq $5, %%rdi\njne 1f\ncmpq $11, %%r11\njne 1f\ncmpq $8, %%r8\njne 1f\njmp 2f\n"
        "1: cld\nmovq $1, %[bad]\n2:"
        : [bad] "+m"(bad)
        :
        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r11", "memory", "cc");
    CHECK_EQ(bad, 0);
    CHECK_EQ(calls, 1);
}

static volatile sig_atomic_t direction;

static void read_flags(int sig, siginfo_t *info, void *context)
{
    unsigned long flags;
    (void)sig;
    (void)info;
    __asm__ volatile("pushfq\npopq %0" : "=r"(flags));
    direction = (flags & 0x400) != 0;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

TEST(handler_starts_with_clear_direction)
{
    direction = 1;
    install(SIGILL, read_flags, 0);
    __asm__ volatile("std\nud2\ncld" ::: "cc", "memory");
    CHECK_EQ(direction, 0);
}

TEST(red_zone)
{
    // The 128 bytes below the stack pointer are not touched by a frame.
    install(SIGILL, fault_skip, 0);
    unsigned long bad = 0;
    __asm__ volatile(
        "leaq -128(%%rsp), %%rdi\nmovq $16, %%rcx\nmovq $0x5a5a5a5a, %%rax\nrep stosq\nud2\n"
        "leaq -128(%%rsp), %%rdi\nmovq $16, %%rcx\nmovq $0x5a5a5a5a, %%rax\nrepe scasq\nje 1f\nmovq $1, %%rdx\n1:\n"
        : "+d"(bad)
        :
        : "rax", "rcx", "rdi", "memory", "cc");
    CHECK_EQ(bad, 0);
}

TEST(sse_state)
{
    install(SIGILL, fault_skip, 0);
    uint64_t in[16][2], out[16][2] = {{0}};
    unsigned csr = 0x1f80 | 0x2000, got = 0;
    for (int i = 0; i < 16; i++)
        in[i][0] = 0x1111111111111111UL * i, in[i][1] = ~in[i][0];
#define LOAD(n) "movups " #n "*16(%[in]), %%xmm" #n "\n"
#define SAVE(n) "movups %%xmm" #n ", " #n "*16(%[out])\n"
    __asm__ volatile("ldmxcsr %[csr]\n" LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8)
                         LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15) "ud2\n" SAVE(0) SAVE(1)
                             SAVE(2) SAVE(3) SAVE(4) SAVE(5) SAVE(6) SAVE(7) SAVE(8) SAVE(9) SAVE(10) SAVE(11)
                                 SAVE(12) SAVE(13) SAVE(14) SAVE(15) "stmxcsr %[got]\n"
                     : [got] "=m"(got)
                     : [in] "r"(in), [out] "r"(out), [csr] "m"(csr)
                     : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    CHECK(memcmp(in, out, sizeof(in)) == 0);
    CHECK_EQ(got, csr);
}

TEST(x87_state)
{
    install(SIGILL, fault_skip, 0);
    double in = 2.5, out = 0;
    unsigned short word = 0x027f, got = 0;    // double precision, unlike fninit's
    __asm__ volatile("fldcw %[word]\nfldl %[in]\nud2\nfstpl %[out]\nfnstcw %[got]\nfninit"
                     : [out] "=m"(out), [got] "=m"(got)
                     : [in] "m"(in), [word] "m"(word));
    CHECK(out == 2.5);
    CHECK_EQ(got, word);
}

static bool have_avx(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX) && (c & bit_OSXSAVE);
}

static bool have_avx512(void)
{
    unsigned a, b, c, d, low, high;
    if (!have_avx() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX512F))
        return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 0xe0) == 0xe0;
}

__attribute__((target("avx"))) static void clobber_avx(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    calls++;
    __asm__ volatile("vzeroall" ::: "memory");
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

TEST(avx_state)
{
    if (!have_avx())
        SKIP("no AVX");
    install(SIGILL, clobber_avx, 0);
    uint64_t in[4] = {1, 2, 3, 4}, out[4] = {0}, out15[4] = {0};
    for (int i = 0; i < 20; i++) {
        __asm__ volatile("vmovups (%0), %%ymm7\nvmovups (%0), %%ymm15\nud2\nvmovups %%ymm7, (%1)\n"
                         "vmovups %%ymm15, (%2)\nvzeroupper" ::"r"(in),
                         "r"(out), "r"(out15)
                         : "memory");
        CHECK(memcmp(in, out, sizeof(in)) == 0);
        CHECK(memcmp(in, out15, sizeof(in)) == 0);
        in[3] += 100;
    }
    CHECK_EQ(calls, 20);
}

TEST(avx_over_calls_and_sent_signals)
{
    if (!have_avx())
        SKIP("no AVX");
    install(SIGUSR1, clobber, 0);
    uint64_t in[4] = {11, 22, 33, 44}, out[4] = {0};
    unsigned long pid = getpid(), tid = syscall(SYS_gettid), rax;
    for (int i = 0; i < 20; i++) {
        __asm__ volatile("vmovups (%[in]), %%ymm9\nsyscall\nvmovups %%ymm9, (%[out])\nvzeroupper"
                         : "=a"(rax)
                         : "a"(SYS_tgkill), "D"(pid), "S"(tid), "d"((long)SIGUSR1), [in] "r"(in), [out] "r"(out)
                         : "rcx", "r11", "memory");
        CHECK_EQ(rax, 0);
        CHECK(memcmp(in, out, sizeof(in)) == 0);
    }
}

TEST(avx512_state)
{
    if (!have_avx512())
        SKIP("no AVX-512");
    install(SIGILL, clobber_avx, 0);
    uint64_t in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {0}, mask = 0x5aa5, got = 0;
    __asm__ volatile("vmovups (%[in]), %%zmm3\nvmovups (%[in]), %%zmm29\nkmovw %k[mask], %%k3\nud2\n"
                     "vmovups %%zmm29, (%[out])\nkmovw %%k3, %k[got]\nvzeroupper"
                     : [got] "=r"(got)
                     : [in] "r"(in), [out] "r"(out), [mask] "r"(mask)
                     : "memory");
    CHECK(memcmp(in, out, sizeof(in)) == 0);
    CHECK_EQ(got, mask);
}

static void change_context(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    uc->uc_mcontext.gregs[REG_RIP] += 2;
    uc->uc_mcontext.gregs[REG_RAX] = 0xa;
    uc->uc_mcontext.gregs[REG_R15] = 0xf15;
    uc->uc_mcontext.gregs[REG_EFL] |= 1;
    uc->uc_mcontext.fpregs->_xmm[5].element[0] = 0x12345678;
    uc->uc_mcontext.fpregs->_xmm[5].element[3] = 0x87654321;
    sigaddset(&uc->uc_sigmask, SIGUSR2);
}

TEST(changed_context)
{
    // What the handler writes into the frame is in force after it: registers, flags, vectors, mask.
    install(SIGILL, change_context, 0);
    unsigned long rax = 0, r15 = 0;
    unsigned char carry = 0;
    uint32_t vector[4] = {0};
    __asm__ volatile("clc\nud2\nsetc %[carry]\nmovq %%r15, %[r15]\nmovups %%xmm5, (%[vector])"
                     : "+a"(rax), [carry] "=m"(carry), [r15] "=m"(r15)
                     : [vector] "r"(vector)
                     : "r15", "xmm5", "memory", "cc");
    CHECK_EQ(rax, 0xa);
    CHECK_EQ(r15, 0xf15);
    CHECK_EQ(carry, 1);
    CHECK(vector[0] == 0x12345678 && vector[3] == 0x87654321);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR2));
}

static void read_context(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)info;
    calls = sig == SIGILL && uc->uc_mcontext.gregs[REG_RBX] == 0xb0b && uc->uc_mcontext.gregs[REG_R9] == 0x909 &&
            uc->uc_link == NULL && sigismember(&uc->uc_sigmask, SIGHUP) && !sigismember(&uc->uc_sigmask, SIGILL) &&
            (uc->uc_mcontext.gregs[REG_CSGSFS] & 0xffff) == 0x33;
    uc->uc_mcontext.gregs[REG_RIP] += 2;
}

TEST(context_contents)
{
    install(SIGILL, read_context, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    __asm__ volatile("movq $0xb0b, %%rbx\nmovq $0x909, %%r9\nud2" ::: "rbx", "r9", "memory");
    CHECK_EQ(calls, 1);
}

static void bad_frame(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    uc->uc_mcontext.gregs[REG_RIP] = (long)0x8000000000000000;
}

static void bad_state(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    uc->uc_mcontext.gregs[REG_RIP] += 2;
    memset(uc->uc_mcontext.fpregs, 0xff, sizeof(*uc->uc_mcontext.fpregs));
}

static void bad_segments(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    (void)info;
    uc->uc_mcontext.gregs[REG_RIP] += 2;
    uc->uc_mcontext.gregs[REG_CSGSFS] = 0;    // user code segment is forced
    uc->uc_mcontext.gregs[REG_EFL] |= 0x3000 | 0x4000;    // I/O privilege and nested task are not for users
}

TEST(hostile_frames)
{
    pid_t pid = FORK({
        install(SIGILL, bad_frame, 0);
        __asm__ volatile("ud2");
    });
    CHECK_KILLED(pid, SIGSEGV);
    pid = FORK({
        install(SIGILL, bad_state, 0);
        __asm__ volatile("ud2");
        _exit(0);
    });
    int status = gt_waitpid(pid);
    CHECK(WIFEXITED(status) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    pid = FORK({
        unsigned long flags;
        install(SIGILL, bad_segments, 0);
        __asm__ volatile("ud2\npushfq\npopq %0" : "=r"(flags));
        CHECK_EQ(flags & 0x3000, 0);
    });
    status = gt_waitpid(pid);
    CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    // rt_sigreturn with rubbish below the stack pointer
    pid = FORK({ syscall(SYS_rt_sigreturn); });
    status = gt_waitpid(pid);
    CHECK(WIFSIGNALED(status));
}

static void note_stack(int sig, siginfo_t *info, void *context)
{
    char here;
    (void)sig;
    (void)info;
    handler_stack = (uintptr_t)&here;
    seen_stack = ((ucontext_t *)context)->uc_stack;
    calls++;
}

static bool on_alternate(void)
{
    return handler_stack >= (uintptr_t)alternate && handler_stack < (uintptr_t)alternate + sizeof(alternate);
}

TEST(altstack_basic)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)}, old;
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ(old.ss_flags, SS_DISABLE);
    CHECK_EQ(sigaltstack(&stack, &old), 0);
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK(old.ss_sp == alternate && old.ss_size == sizeof(alternate) && old.ss_flags == 0);
    install(SIGUSR1, note_stack, 0);
    raise(SIGUSR1);
    CHECK(!on_alternate());
    CHECK(seen_stack.ss_sp == alternate && seen_stack.ss_size == sizeof(alternate));
    install(SIGUSR1, note_stack, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(on_alternate());
    stack.ss_flags = SS_DISABLE;
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    raise(SIGUSR1);
    CHECK(!on_alternate());
    CHECK_EQ(calls, 3);
}

TEST(altstack_errors)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = 1024};
    EXPECT_ERRNO(sigaltstack(&stack, NULL), ENOMEM);
    stack = (stack_t){.ss_sp = alternate, .ss_size = sizeof(alternate), .ss_flags = 4};
    EXPECT_ERRNO(sigaltstack(&stack, NULL), EINVAL);
    EXPECT_ERRNO(sigaltstack(GT_BAD, NULL), EFAULT);
    EXPECT_ERRNO(sigaltstack(NULL, GT_BAD), EFAULT);
    EXPECT_EQ(sigaltstack(NULL, NULL), 0);
    stack.ss_flags = SS_ONSTACK;    // taken as no flag
    EXPECT_EQ(sigaltstack(&stack, NULL), 0);
}

static volatile sig_atomic_t err_inside, flags_inside;

static void change_inside(int sig, siginfo_t *info, void *context)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate) / 2}, old;
    (void)sig;
    (void)info;
    (void)context;
    calls++;
    err_inside = sigaltstack(&stack, &old) == 0 ? 0 : errno;
    if (sigaltstack(NULL, &old) != 0)
        _exit(91);
    flags_inside = old.ss_flags;
}

TEST(altstack_in_use)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    install(SIGUSR1, change_inside, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(calls, 1);
    CHECK_EQ(err_inside, EPERM);
    CHECK_EQ(flags_inside, SS_ONSTACK);
}

static void nested(int sig, siginfo_t *info, void *context)
{
    char here;
    (void)info;
    (void)context;
    if (calls++ == 0) {
        handler_stack = (uintptr_t)&here;
        kill_self_raw(SIGUSR2);
    } else {
        // On the same stack, below the first frame.
        if (sig != SIGUSR2 || (uintptr_t)&here >= handler_stack || (uintptr_t)&here < (uintptr_t)alternate)
            _exit(92);
    }
}

TEST(altstack_nested)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    install(SIGUSR1, nested, SA_ONSTACK);
    install(SIGUSR2, nested, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(calls, 2);
    CHECK(on_alternate());
}

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static void autodisarm_handler(int sig, siginfo_t *info, void *context)
{
    stack_t old;
    char here;
    (void)sig;
    (void)info;
    (void)context;
    calls++;
    handler_stack = (uintptr_t)&here;
    if (sigaltstack(NULL, &old) != 0)
        _exit(93);
    flags_inside = old.ss_flags;
    if (calls == 1)
        return;
    stack_t again = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    err_inside = sigaltstack(&again, NULL) == 0 ? 0 : errno;
}

TEST(altstack_autodisarm)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate), .ss_flags = SS_AUTODISARM}, old;
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ((unsigned)old.ss_flags, SS_AUTODISARM);
    install(SIGUSR1, autodisarm_handler, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(calls, 1);
    CHECK(on_alternate());
    CHECK_EQ(flags_inside, SS_DISABLE);    // off while the handler runs
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ((unsigned)old.ss_flags, SS_AUTODISARM);    // the frame restores it
    CHECK(old.ss_sp == alternate && old.ss_size == sizeof(alternate));
    // The handler may change it; what it arms without the flag is in use, and is not replaced at its end.
    raise(SIGUSR1);
    CHECK_EQ(calls, 2);
    CHECK_EQ(err_inside, 0);
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ(old.ss_flags, 0);
}

static sigjmp_buf jump;

static void jump_out(int sig, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    calls++;
    siglongjmp(jump, sig);
}

TEST(altstack_longjmp)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)}, old;
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    install(SIGUSR1, jump_out, SA_ONSTACK);
    for (volatile int i = 0; i < 10; i++)
        if (sigsetjmp(jump, 1) == 0)
            raise(SIGUSR1);
    CHECK_EQ(calls, 10);
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ(old.ss_flags, 0);
}

static void *thread_stack(void *arg)
{
    stack_t old;
    (void)arg;
    return (void *)(long)(sigaltstack(NULL, &old) == 0 ? old.ss_flags : -1);
}

TEST(altstack_is_per_thread)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)}, old;
    pthread_t thread;
    void *result;
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    CHECK_RC(pthread_create(&thread, NULL, thread_stack, NULL), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK_EQ((long)result, SS_DISABLE);
    pid_t pid = FORK({
        CHECK_EQ(sigaltstack(NULL, &old), 0);
        CHECK(old.ss_sp == alternate);    // a process keeps it
    });
    CHECK_EXIT(pid, 0);
}

static void count_only(int sig, siginfo_t *info, void *context)
{
    clobber(sig, info, context);
}

TEST_TIMEOUT(asynchronous_storm, 60)
{
    // Signals arrive at arbitrary instructions of a computation in integers, vectors and floating point.
    install(SIGALRM, count_only, SA_RESTART);
    struct itimerval it = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    while (calls < 300) {
        uint64_t hash = 1469598103934665603UL;
        double sum = 0;
        for (int i = 1; i <= 5000; i++) {
            hash = (hash ^ (uint64_t)i) * 1099511628211UL;
            sum += 1.0 / i;
        }
        static uint64_t first_hash;
        static double first_sum;
        if (first_hash == 0) {
            first_hash = hash;
            first_sum = sum;
        }
        CHECK(hash == first_hash);
        CHECK(sum == first_sum);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &off, NULL), 0);
}

TEST_TIMEOUT(storm_over_calls, 60)
{
    // The same over calls that return at once: no call may be lost, repeated or return a wrong value.
    install(SIGALRM, count_only, SA_RESTART);
    struct itimerval it = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
    int ends[2];
    unsigned char byte, got;
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    pid_t me = getpid();
    for (unsigned i = 0; calls < 300; i++) {
        byte = i;
        CHECK_EQ(syscall(SYS_getpid), me);
        CHECK_EQ(write(ends[1], &byte, 1), 1);
        CHECK_EQ(read(ends[0], &got, 1), 1);
        CHECK_EQ(got, byte);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &off, NULL), 0);
}
