// Every way into the host kernel: numbers 0 to 600 and a few odd ones by `syscall` from guest text and from stub text, by
// int 0x80, with the x32 bit, by the vsyscall page, by sysenter, and from 32-bit code.
#include "attack.h"

static char page[4096] __attribute__((aligned(4096)));

static long raw(long nr, const uint64_t a[6])
{
    register long r10 __asm__("r10") = (long)a[3];
    register long r8 __asm__("r8") = (long)a[4];
    register long r9 __asm__("r9") = (long)a[5];
    long r;
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "0"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return r;
}

static long raw80(long nr, const uint64_t a[6])
{
    long r;
    __asm__ volatile("push %%rbx\n\tmov %2, %%rbx\n\tint $0x80\n\tpop %%rbx"
                     : "=a"(r)
                     : "0"(nr), "r"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
                     : "memory", "r8", "r9", "r10", "r11");
    return r;
}

static long by_stub(long nr, const uint64_t a[6])
{
    return ((long (*)(long, const uint64_t *))HEADER->call)(nr, a);
}

#define PATTERNS 8

static void make_args(unsigned pattern, uint64_t a[6], uint64_t *seed)
{
    const uint64_t buf = (uint64_t)page;
    for (int i = 0; i < 6; i++) {
        switch (pattern) {
        case 0: a[i] = 0; break;
        case 1: a[i] = ~0ull; break;
        case 2: a[i] = buf; break;
        case 3: a[i] = (uint64_t)(i + 1); break;
        case 4: a[i] = get_gs() + (uint64_t)i * 64; break;
        case 5: a[i] = STUB_TEXT + (uint64_t)i * 4096; break;
        case 6: a[i] = i % 2 ? 0x7ffffffff000ull : buf; break;
        default: a[i] = rng_next(seed) >> (rng_next(seed) % 64); break;
        }
    }
}

static long (*entry)(long, const uint64_t *);
static long first_number, number_bits;

static void one_number(void)
{
    uint64_t a[6], seed = (uint64_t)first_number * 7919 + 1;
    struct rlimit { uint64_t soft, hard; } none = {0, 0};
    (void)none;
    if (syscall(SYS_setresuid, 65534, 65534, 65534) < 0)
        _exit(3);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    for (unsigned i = 0; i < PATTERNS; i++) {
        make_args(i, a, &seed);
        entry(first_number | number_bits, a);
    }
}

static void all_numbers(long last, long step)
{
    char why[200];
    for (first_number = 0; first_number <= last; first_number += step) {
        // What ends or stops the harness itself; it runs for another user, so that kill(2) is not among these.
        int status = run_alone(one_number, 0.15, why);
        if (why[0])
            breach("number %ld: %s (status %x)", first_number | number_bits, why, (unsigned)status);
    }
}

static void guest_numbers(void) { entry = raw; all_numbers(600, 1); }
static void stub_numbers(void) { entry = by_stub; all_numbers(600, 1); }
static void int80_numbers(void) { entry = raw80; all_numbers(470, 1); }
static void x32_numbers(void) { entry = raw; number_bits = 0x40000000; all_numbers(600, 3); }
static void x32_stub_numbers(void) { entry = by_stub; number_bits = 0x40000000; all_numbers(600, 3); }
static void high_numbers(void) { entry = by_stub; number_bits = (long)0x80000000; all_numbers(600, 7); }

static void odd_numbers(void)
{
    static const long numbers[] = {0x1fff, 0x7fffffff, -1, -2, 0xffffffff, 0x100000009, 0x10000003b, 1024, 0x3fffffff,
                                   0x40000009, 0x4000003b, 0x60000009};
    uint64_t a[6] = {0};
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        long r = raw(numbers[i], a);
        if (r >= 0 && numbers[i] != 0x100000009 && numbers[i] != 0x10000003b)
            breach("number %#lx: result %ld", numbers[i], r);
    }
}

static void vsyscall(void)
{
    struct timespec ts[2];
    ((long (*)(void *, void *))0xffffffffff600000)(ts, NULL);
    ((long (*)(void *))0xffffffffff600400)(NULL);
    ((long (*)(void *, void *, void *))0xffffffffff600800)(NULL, NULL, NULL);
    ((long (*)(void *, void *))0xffffffffff600000)((void *)1, NULL);
}

static void sysenter(void)
{
    __asm__ volatile("mov $20, %%eax\n\tmov %%rsp, %%rbp\n\tsysenter" ::: "rax", "memory");
}

// 32-bit code in low memory that makes a call its own way and comes back.
static void call_32(const uint8_t *code, size_t size)
{
    uint8_t *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED)
        _exit(0);
    memcpy(low, code, size);
    static const uint8_t back[] = {0xcb}; // lret
    memcpy(low + size, back, sizeof(back));
    uint64_t target = (uint64_t)low, stack = (uint64_t)low + 8192 - 64;
    __asm__ volatile("push %%rbx\n\tpush %%rbp\n\tpush %%r12\n\tpush %%r13\n\tpush %%r14\n\tpush %%r15\n\t"
                     "mov %%rsp, %%r15\n\t"
                     "mov %[stack], %%rsp\n\t"
                     "lea 1f(%%rip), %%rax\n\t"
                     "sub $8, %%rsp\n\t"
                     "movl %%eax, (%%rsp)\n\t"
                     "movl $0x33, 4(%%rsp)\n\t"
                     "sub $16, %%rsp\n\t"
                     "mov %[target], %%rax\n\t"
                     "mov %%rax, (%%rsp)\n\t"
                     "movq $0x23, 8(%%rsp)\n\t"
                     "mov $20, %%eax\n\txor %%ebx, %%ebx\n\t"
                     "lretq\n\t"
                     "1: mov %%r15, %%rsp\n\t"
                     "pop %%r15\n\tpop %%r14\n\tpop %%r13\n\tpop %%r12\n\tpop %%rbp\n\tpop %%rbx"
                     :
                     : [stack] "r"(stack), [target] "r"(target)
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
}

static void compat_int80(void) { call_32((const uint8_t[]){0xcd, 0x80}, 2); }
static void compat_sysenter(void) { call_32((const uint8_t[]){0x89, 0xe5, 0x0f, 0x34}, 4); }
static void compat_syscall(void) { call_32((const uint8_t[]){0x0f, 0x05}, 2); }

// Every byte of stub text, thunks and the jump table's targets as a place to jump to.
static uint64_t jump_to;

static void one_jump(void)
{
    alarm(1);
    __asm__ volatile("mov $39, %%eax\n\txor %%edi, %%edi\n\txor %%esi, %%esi\n\txor %%edx, %%edx\n\t"
                     "mov %%rsp, %%r12\n\tlea 1f(%%rip), %%rcx\n\tcall *%0\n\t1:"
                     :
                     : "r"(jump_to)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "memory");
}

static void jumps(void)
{
    char why[200];
    for (jump_to = STUB_TEXT + 64; jump_to < HEADER->text_end + 16; jump_to += 41) {
        run_alone(one_jump, 0.3, why);
        if (why[0])
            breach("jump to %#lx: %s", jump_to, why);
    }
}

static void thunk_jumps(void)
{
    char why[200];
    for (jump_to = STUB_THUNKS; jump_to < STUB_THUNKS + 40 * STUB_THUNK_SIZE; jump_to += 7) {
        run_alone(one_jump, 0.3, why);
        if (why[0])
            breach("jump to %#lx: %s", jump_to, why);
    }
}

int main(int argc, char **argv)
{
    static const struct attack attacks[] = {
        {"guest_numbers", guest_numbers, 300, 0},   {"stub_numbers", stub_numbers, 300, 0},
        {"int80_numbers", int80_numbers, 300, 0},   {"x32_numbers", x32_numbers, 200, 0},
        {"x32_stub_numbers", x32_stub_numbers, 200, 0}, {"high_numbers", high_numbers, 200, 0},
        {"odd_numbers", odd_numbers, 10, 0},        {"vsyscall", vsyscall, 10, 0},
        {"sysenter", sysenter, 10, 0},              {"compat_int80", compat_int80, 10, 0},
        {"compat_sysenter", compat_sysenter, 10, 0}, {"compat_syscall", compat_syscall, 10, 0},
        {"jumps", jumps, 300, 0},                   {"thunk_jumps", thunk_jumps, 100, 0},
    };
    return attack_main(attacks, sizeof(attacks) / sizeof(attacks[0]), argc, argv);
}
