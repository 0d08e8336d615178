// Signals that a program brings on itself: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS-free ground; what
// siginfo and the context say, forced delivery when blocked or ignored, and repairing the fault.
#include <pthread.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "guest-test.h"

#define PAGE 4096UL

static sigjmp_buf jump;
static siginfo_t info;
static ucontext_t context;
static volatile sig_atomic_t calls;

static void jumper(int sig, siginfo_t *si, void *uc)
{
    calls++;
    info = *si;
    context = *(ucontext_t *)uc;
    siglongjmp(jump, sig);
}

static void install(int sig, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

// Runs a statement that must raise `want`.
#define RAISES(want, ...)                                                                                \
    do {                                                                                                 \
        memset(&info, 0x55, sizeof(info));                                                               \
        int gt_sig = sigsetjmp(jump, 1);                                                                 \
        if (gt_sig == 0) {                                                                               \
            __VA_ARGS__;                                                                                 \
            FAIL("no signal");                                                                           \
        }                                                                                                \
        CHECK_EQ(gt_sig, want);                                                                          \
        CHECK_EQ(info.si_signo, want);                                                                   \
    } while (0)

TEST(segv_maperr)
{
    install(SIGSEGV, jumper);
    for (int i = 0; i < 100; i++) {
        RAISES(SIGSEGV, *(volatile int *)gt_opaque(0x1000 + i) = 1);
        CHECK_EQ(info.si_code, SEGV_MAPERR);
        CHECK_EQ((uintptr_t)info.si_addr, 0x1000 + i);
    }
    CHECK_EQ(context.uc_mcontext.gregs[REG_TRAPNO], 14);
    CHECK_EQ(context.uc_mcontext.gregs[REG_ERR] & 7, 6);    // user, write, not present
    CHECK_EQ(context.uc_mcontext.gregs[REG_CR2], 0x1000 + 99);
    RAISES(SIGSEGV, (void)*(volatile int *)gt_opaque(0x1234));
    CHECK_EQ(context.uc_mcontext.gregs[REG_ERR] & 7, 4);
}

TEST(segv_accerr)
{
    install(SIGSEGV, jumper);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)*(volatile char *)p;
    RAISES(SIGSEGV, *(volatile char *)(p + 77) = 1);
    CHECK_EQ(info.si_code, SEGV_ACCERR);
    CHECK(info.si_addr == p + 77);
    CHECK_EQ(context.uc_mcontext.gregs[REG_ERR] & 7, 7);
    RAISES(SIGSEGV, ((void (*)(void))(p + PAGE))());
    CHECK_EQ(info.si_code, SEGV_ACCERR);
    CHECK(info.si_addr == p + PAGE);
    CHECK_EQ(context.uc_mcontext.gregs[REG_RIP], (long)(p + PAGE));
    CHECK(context.uc_mcontext.gregs[REG_ERR] & 16);    // instruction fetch
}

TEST(segv_general_protection)
{
    install(SIGSEGV, jumper);
    RAISES(SIGSEGV, *(volatile int *)gt_opaque(0x8000000000000000) = 1);
    CHECK_EQ(info.si_code, SI_KERNEL);
    CHECK(info.si_addr == NULL);
    CHECK_EQ(context.uc_mcontext.gregs[REG_TRAPNO], 13);
    RAISES(SIGSEGV, __asm__ volatile("hlt"));
    CHECK_EQ(info.si_code, SI_KERNEL);
    RAISES(SIGSEGV, __asm__ volatile("cli"));
    CHECK_EQ(info.si_code, SI_KERNEL);
    RAISES(SIGSEGV, __asm__ volatile("inb %%dx, %%al" ::"d"(0x80) : "rax"));
}

TEST(segv_kernel_half)
{
    install(SIGSEGV, jumper);
    RAISES(SIGSEGV, (void)*(volatile int *)gt_opaque(0xffffffff81000000));
    CHECK_EQ(info.si_signo, SIGSEGV);
    RAISES(SIGSEGV, ((void (*)(void))gt_opaque(0xffff800000000000))());
}

TEST(fpe)
{
    install(SIGFPE, jumper);
    volatile int zero = 0, one = 1, result;
    RAISES(SIGFPE, result = one / zero);
    CHECK_EQ(info.si_code, FPE_INTDIV);
    CHECK_EQ((long)info.si_addr, context.uc_mcontext.gregs[REG_RIP]);
    volatile int lowest = INT_MIN, minus = -1;
    RAISES(SIGFPE, result = lowest / minus);
    CHECK_EQ(info.si_code, FPE_INTDIV);
    (void)result;
    // An unmasked floating-point exception
    RAISES(SIGFPE, {
        unsigned csr = 0x1f80 & ~0x200;
        __asm__ volatile("ldmxcsr %0" ::"m"(csr));
        volatile double a = 1.0;
        volatile double b = 0.0;
        a = a / b;
    });
    CHECK_EQ(info.si_code, FPE_FLTDIV);
    CHECK_EQ(context.uc_mcontext.gregs[REG_TRAPNO], 19);
}

TEST(ill)
{
    install(SIGILL, jumper);
    RAISES(SIGILL, __asm__ volatile("ud2"));
    CHECK_EQ(info.si_code, ILL_ILLOPN);
    CHECK_EQ((long)info.si_addr, context.uc_mcontext.gregs[REG_RIP]);
    CHECK_EQ(*(unsigned short *)info.si_addr, 0x0b0f);
}

static volatile sig_atomic_t traps;
static volatile long trap_rip;

static void on_trap(int sig, siginfo_t *si, void *uc)
{
    (void)sig;
    info = *si;
    trap_rip = ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];
    traps++;
}

TEST(trap_int3)
{
    install(SIGTRAP, on_trap);
    extern char after_int3[];
    __asm__ volatile("int3\n.globl after_int3\nafter_int3:");
    CHECK_EQ(traps, 1);
    CHECK_EQ(info.si_code, SI_KERNEL);
    CHECK_EQ(trap_rip, (long)after_int3);
}

static void on_step(int sig, siginfo_t *si, void *uc)
{
    (void)sig;
    info = *si;
    if (++traps == 5)
        ((ucontext_t *)uc)->uc_mcontext.gregs[REG_EFL] &= ~0x100L;
}

TEST(trap_flag_single_steps)
{
    install(SIGTRAP, on_step);
    __asm__ volatile("subq $128, %%rsp\npushfq\norq $0x100, (%%rsp)\npopfq\nnop\nnop\nnop\nnop\nnop\nnop\naddq $128, %%rsp" ::
                         : "memory", "cc");
    CHECK_EQ(traps, 5);
    CHECK_EQ(info.si_code, TRAP_TRACE);
}

TEST(bus_truncated_file)
{
    install(SIGBUS, jumper);
    int fd = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644));
    CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
    for (int shared = 0; shared < 2; shared++) {
        CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
        char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
        CHECK(p != MAP_FAILED);
        CHECK_EQ(p[2 * PAGE], 0);
        RAISES(SIGBUS, (void)*(volatile char *)(p + 3 * PAGE));
        CHECK_EQ(info.si_code, BUS_ADRERR);
        CHECK(info.si_addr == p + 3 * PAGE);
        CHECK_EQ(ftruncate(fd, PAGE + 10), 0);
        (void)*(volatile char *)(p + PAGE + 4000);    // the rest of the last page reads as zero
        RAISES(SIGBUS, (void)*(volatile char *)(p + 2 * PAGE + 5));
        CHECK(info.si_addr == p + 2 * PAGE + 5);
        RAISES(SIGBUS, *(volatile char *)(p + 2 * PAGE + 5) = 1);
        CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
        CHECK_EQ(p[2 * PAGE + 5], 0);
        CHECK_EQ(munmap(p, 4 * PAGE), 0);
    }
}

TEST(bus_seen_by_calls)
{
    // A call whose buffer lies beyond the end of a mapped file fails with EFAULT, without a signal.
    int fd = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644)), ends[2];
    CHECK_EQ(ftruncate(fd, PAGE), 0);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK_EQ(pipe(ends), 0);
    CHECK_ERRNO(write(ends[1], p + PAGE, 10), EFAULT);
    CHECK_EQ(write(ends[1], "0123456789", 10), 10);
    CHECK_ERRNO(read(ends[0], p + PAGE, 10), EFAULT);
}

static char *repair_page;

static void repair(int sig, siginfo_t *si, void *uc)
{
    (void)sig;
    (void)uc;
    calls++;
    if ((char *)si->si_addr >= repair_page && (char *)si->si_addr < repair_page + 64 * PAGE)
        mprotect((char *)((uintptr_t)si->si_addr & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
    else
        _exit(90);
}

TEST(repaired_and_resumed)
{
    // As garbage collectors and user-level paging do it.
    install(SIGSEGV, repair);
    repair_page = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < 64 * PAGE; i += 64)
        *(volatile char *)(repair_page + i) = i / 64;
    CHECK_EQ(calls, 64);
    for (size_t i = 0; i < 64 * PAGE; i += 64)
        CHECK_EQ(repair_page[i], (char)(i / 64));
}

static void skip_instruction(int sig, siginfo_t *si, void *uc)
{
    (void)sig;
    (void)si;
    calls++;
    ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP] += 2;
    ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RAX] = 0x1234;
}

TEST(skipped_and_resumed)
{
    install(SIGILL, skip_instruction);
    long value = 1;
    __asm__ volatile("ud2" : "+a"(value));
    CHECK_EQ(value, 0x1234);
    CHECK_EQ(calls, 1);
}

static int child_with(void (*prepare)(void))
{
    pid_t pid = FORK({
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        prepare();
        *(volatile int *)gt_opaque(16) = 1;
    });
    return gt_waitpid(pid);
}

static void block_it(void)
{
    sigset_t set;
    install(SIGSEGV, jumper);
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void ignore_it(void)
{
    signal(SIGSEGV, SIG_IGN);
}

static void default_it(void)
{
}

static void fault_again(int sig, siginfo_t *si, void *uc)
{
    (void)sig;
    (void)si;
    (void)uc;
    *(volatile int *)gt_opaque(24) = 1;
}

static void fault_in_handler(void)
{
    install(SIGSEGV, fault_again);
}

static void no_stack(void)
{
    // A handler, but nowhere to put its frame.
    install(SIGSEGV, jumper);
    __asm__ volatile("movq $0x100, %%rsp\nmovl %%eax, 16" ::: "memory");
}

TEST(forced_delivery)
{
    // Blocked, ignored or not handled: the fault kills.
    void (*const kinds[])(void) = {default_it, block_it, ignore_it, fault_in_handler, no_stack};
    for (size_t i = 0; i < GT_COUNT(kinds); i++) {
        int status = child_with(kinds[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
            gt_fail(false, __FILE__, __LINE__, "case %zu: status %#x", i, status);
    }
}

TEST(sent_is_not_forced)
{
    // A SIGSEGV by kill can be ignored and blocked.
    signal(SIGSEGV, SIG_IGN);
    CHECK_EQ(kill(getpid(), SIGSEGV), 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGFPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    CHECK_EQ(kill(getpid(), SIGFPE), 0);
    sigpending(&set);
    CHECK(sigismember(&set, SIGFPE));
}

static char alternate[65536];

static int deep(int n)
{
    volatile char frame[1024];
    frame[0] = n;
    return n == 0 ? 0 : deep(n + 1) + frame[0];
}

TEST(stack_overflow_on_alternate_stack)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    struct rlimit rl = {1 << 20, RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_STACK, &rl), 0);
    struct sigaction sa = {.sa_sigaction = jumper, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK_EQ(sigaction(SIGSEGV, &sa, NULL), 0);
    for (int i = 0; i < 3; i++) {
        RAISES(SIGSEGV, deep(1));
        CHECK_EQ(info.si_code, SEGV_MAPERR);
    }
}

static void *faulting_thread(void *arg)
{
    (void)arg;
    return (void *)(long)*(volatile int *)gt_opaque(4096);
}

static atomic_int fault_tid;

static void thread_fault(int sig, siginfo_t *si, void *uc)
{
    (void)sig;
    (void)si;
    atomic_store(&fault_tid, syscall(SYS_gettid));
    ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP] = (long)(uintptr_t)pthread_exit;
    ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RDI] = 5;
    ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RSP] = (((ucontext_t *)uc)->uc_mcontext.gregs[REG_RSP] & ~15L) - 264;
}

TEST(fault_goes_to_its_thread)
{
    install(SIGSEGV, thread_fault);
    pthread_t thread;
    void *result;
    CHECK_RC(pthread_create(&thread, NULL, faulting_thread, NULL), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK_EQ((long)result, 5);
    CHECK(fault_tid != getpid() && fault_tid > 0);
}

TEST(sigpipe)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(close(ends[0]), 0);
    pid_t pid = FORK({ (void)!write(ends[1], "x", 1); });
    CHECK_KILLED(pid, SIGPIPE);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    install(SIGPIPE, on_trap);
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    CHECK_EQ(traps, 1);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, getpid());
}

TEST(abort)
{
    pid_t pid = FORK({
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        abort();
    });
    CHECK_KILLED(pid, SIGABRT);
}
