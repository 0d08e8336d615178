// The trap platform alone: guests of a few machine instructions, no kernel above. Each check prints ok or FAIL. It has to run
// as PID 1 of a PID namespace (run.sh does that).
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slab.h"
#include "platform/platform.h"
#include "platform/trap/trap.h"

static int failures;
static struct platform *platform;

#define CHECK(name, cond)                                                                                              \
    do {                                                                                                               \
        bool ok_ = (cond);                                                                                             \
        printf("%s platform: %s\n", ok_ ? "ok" : "FAIL", name);                                                        \
        failures += !ok_;                                                                                              \
    } while (0)

#define CODE 0x400000ull
#define DATA 0x500000ull
#define DATA_SIZE (16 * PAGE_SIZE)

void platform_mm_died(const struct platform_mm *pm)
{
    (void)pm;
}

static void *service(void *arg)
{
    platform_service_main(platform, (int)(intptr_t)arg);
    return NULL;
}

static struct platform_thread *make_guest(struct platform_mm **pm, const char *code, const char *end)
{
    struct platform_thread *pt;
    uint64_t size = (uint64_t)(end - code);
    if (platform_mm_create(platform, pm, &pt) < 0)
        exit(1);
    platform_map_anon(pt, CODE, PAGE_SIZE, PLATFORM_READ | PLATFORM_WRITE, false);
    platform_map_anon(pt, DATA, DATA_SIZE, PLATFORM_READ | PLATFORM_WRITE, false);
    int r = platform_commit(pt);
    if (r < 0)
        printf("# commit: %d\n", r);
    if (platform_write(*pm, CODE, code, size) != size)
        printf("# writing code failed\n");
    platform_protect(pt, CODE, PAGE_SIZE, PLATFORM_READ | PLATFORM_EXEC);
    platform_commit(pt);
    struct guest_regs regs = {.rip = CODE, .rsp = DATA + DATA_SIZE, .eflags = 0x202};
    platform_set_regs(pt, &regs);
    return pt;
}

extern const char guest_calls[], guest_calls_end[], guest_fork[], guest_fork_end[], guest_loop[], guest_loop_end[];
extern const char guest_attack[], guest_attack_end[];
__asm__(".pushsection .rodata\n"
        "guest_calls:\n"
        "  mov $1000, %eax\n"
        "  mov $11, %edi\n"
        "  mov $22, %esi\n"
        "  syscall\n"
        "  mov %rax, %rdi\n"
        "  mov $1001, %eax\n"
        "  syscall\n"
        "  xor %ecx, %ecx\n"
        "  mov 16(%rcx), %rcx\n" // four bytes
        "1: mov $1002, %eax\n"
        "  syscall\n"
        "  jmp 1b\n"
        "guest_calls_end:\n"
        "guest_fork:\n"
        "  mov $57, %eax\n"
        "  syscall\n"
        "  mov %rax, %rdi\n"
        "  mov $0x500000, %ecx\n"
        "  mov (%rcx), %rsi\n"
        "  mov $1001, %eax\n"
        "  syscall\n"
        "1: mov $1002, %eax\n"
        "  syscall\n"
        "  jmp 1b\n"
        "guest_fork_end:\n"
        "guest_loop:\n"
        "1: incq 0x500000\n"
        "  jmp 1b\n"
        "guest_loop_end:\n"
        "guest_attack:\n" // mmap of a descriptor, made by stub text that r12 points to: rdi number, rsi arguments
        "  mov $0x500100, %eax\n"
        "  movq $0x600000, (%rax)\n"
        "  movq $4096, 8(%rax)\n"
        "  movq $1, 16(%rax)\n"
        "  movq $17, 24(%rax)\n"
        "  movq $3, 32(%rax)\n"
        "  movq $0, 40(%rax)\n"
        "  mov %rax, %rsi\n"
        "  mov $9, %edi\n"
        "  call *%r12\n"
        "1: mov $1002, %eax\n"
        "  syscall\n"
        "  jmp 1b\n"
        "guest_attack_end:\n"
        ".popsection\n");

static double since(const struct timespec *a, int n)
{
    struct timespec b;
    clock_gettime(CLOCK_MONOTONIC, &b);
    return ((double)(b.tv_sec - a->tv_sec) * 1e9 + (double)(b.tv_nsec - a->tv_nsec)) / n;
}

static void test_calls(void)
{
    struct platform_mm *pm;
    struct platform_thread *pt = make_guest(&pm, guest_calls, guest_calls_end);
    struct trap trap = {0};
    platform_run(pt, &trap);
    CHECK("first call traps",
          trap.reason == TRAP_SYSCALL && trap.nr == 1000 && trap.args[0] == 11 && trap.args[1] == 22);
    platform_set_result(pt, -77);
    platform_run(pt, &trap);
    CHECK("result reaches the guest",
          trap.reason == TRAP_SYSCALL && trap.nr == 1001 && (int64_t)trap.args[0] == -77);
    platform_set_result(pt, 0);
    platform_run(pt, &trap);
    CHECK("a fault is reported", trap.reason == TRAP_FAULT && trap.sig == 11 && trap.addr == 0x10);
    struct guest_regs regs;
    platform_get_regs(pt, &regs);
    regs.rip += 4;
    platform_set_regs(pt, &regs);
    platform_run(pt, &trap);
    CHECK("registers can be changed", trap.reason == TRAP_SYSCALL && trap.nr == 1002);
    int n = 20000;
    struct timespec a;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < n; i++) {
        platform_set_result(pt, 0);
        platform_run(pt, &trap);
    }
    printf("# %.0f ns for a call that traps\n", since(&a, n));
    platform_mm_destroy(pm);
}

static void test_fork(void)
{
    struct platform_mm *pm, *cm;
    struct platform_thread *pt = make_guest(&pm, guest_fork, guest_fork_end), *ct, *th;
    struct trap trap = {0}, child = {0};
    platform_run(pt, &trap);
    CHECK("fork traps", trap.nr == 57);
    uint64_t v = 4711;
    platform_write(pm, DATA, &v, sizeof(v));
    int r = platform_fork(pt, &cm, &ct);
    CHECK("fork", r == 0);
    platform_set_result(ct, 0);
    platform_set_result(pt, 5);
    v = 1;
    platform_write(pm, DATA, &v, sizeof(v));
    platform_run(ct, &child);
    CHECK("child goes on with result 0 and its own memory",
          child.nr == 1001 && child.args[0] == 0 && child.args[1] == 4711);
    platform_run(pt, &trap);
    CHECK("parent goes on", trap.nr == 1001 && trap.args[0] == 5 && trap.args[1] == 1);
    struct timespec a;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 300; i++) {
        struct platform_mm *m;
        struct platform_thread *t;
        if (platform_fork(pt, &m, &t) < 0)
            CHECK("fork in a loop", false);
        else
            platform_mm_destroy(m);
    }
    printf("# %.0f us for a fork\n", since(&a, 300) / 1e3);
    struct guest_regs regs;
    platform_get_regs(pt, &regs);
    regs.rsp = DATA + 8 * PAGE_SIZE;
    regs.rip = CODE;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 100; i++) {
        r = platform_thread_create(pt, &regs, DATA + 64, &th);
        if (r == 0)
            platform_run(th, &trap);
        if (r < 0 || trap.reason != TRAP_SYSCALL || trap.nr != 57) {
            CHECK("a thread runs", false);
            break;
        }
        platform_thread_exit(th, DATA + 64);
    }
    CHECK("threads run", trap.reason == TRAP_SYSCALL && trap.nr == 57);
    printf("# %.0f us for a thread\n", since(&a, 100) / 1e3);
    platform_mm_destroy(cm);
    platform_mm_destroy(pm);
}

static void measure(struct platform_thread *pt, const char *what)
{
    struct trap trap;
    struct timespec a;
    int n = 50000;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < n; i++) {
        platform_set_result(pt, i);
        platform_run(pt, &trap);
    }
    printf("# %.0f ns for a patched call%s\n", since(&a, n), what);
}

// mov $1002,%eax; syscall; mov %rax,%rdi; jmp back, and read's shape after it.
static void test_patched(void)
{
    uint8_t code[64] = {0xb8, 0xea, 3, 0, 0, 0x0f, 0x05, 0x48, 0x89, 0xc7, 0xeb, 0xf4};
    uint8_t cmp[64] = {0xb8, 0xeb, 3, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x72, 0xf1, 0x0f, 0x0b};
    struct platform_mm *pm;
    struct platform_site site = {.shape = PLATFORM_SITE_MOV, .nr = 1002, .offset = 0};
    uint8_t bytes[8];
    int file = platform_patch_file(platform);
    CHECK("a site can be patched", file >= 0 && platform_patch_site(platform, (uint32_t)file, &site, bytes) == 0);
    memcpy(code, bytes, 7);
    struct platform_thread *pt = make_guest(&pm, (char *)code, (char *)code + 16);
    platform_patch_base(pt, (uint32_t)file, CODE);
    struct trap trap = {0};
    platform_run(pt, &trap);
    CHECK("a patched call needs no signal",
          trap.reason == TRAP_SYSCALL && trap.nr == 1002 && !platform_has_frame(pt));
    platform_set_result(pt, 99);
    platform_run(pt, &trap);
    struct guest_regs regs;
    platform_get_regs(pt, &regs);
    CHECK("its result and registers are right", trap.args[0] == 99 && regs.rip == CODE + 7 && regs.rdi == 99);
    platform_set_result(pt, 98);
    platform_demand_frame(pt);
    platform_run(pt, &trap);
    platform_get_regs(pt, &regs);
    CHECK("the complete state can be had",
          trap.reason == TRAP_INTERRUPT && platform_has_frame(pt) && regs.rip == CODE + 7 && regs.rax == 98);
    regs.rip = CODE + 5; // as a call that is restarted
    regs.rax = 1002;
    platform_set_regs(pt, &regs);
    platform_run(pt, &trap);
    CHECK("a jump onto the old instruction is a call", trap.reason == TRAP_SYSCALL && trap.nr == 1002);
    measure(pt, "");
    platform_mm_destroy(pm);

    site = (struct platform_site){.shape = PLATFORM_SITE_CMP, .compare = -4096, .offset = 5};
    CHECK("a second site", platform_patch_site(platform, (uint32_t)file, &site, bytes) == 0);
    memcpy(cmp + 5, bytes, 8);
    pt = make_guest(&pm, (char *)cmp, (char *)cmp + 32);
    platform_patch_base(pt, (uint32_t)file, CODE);
    platform_run(pt, &trap);
    CHECK("a call of the other shape", trap.reason == TRAP_SYSCALL && trap.nr == 1003 && !platform_has_frame(pt));
    platform_set_result(pt, 5);
    platform_run(pt, &trap);
    CHECK("its comparison: below", trap.reason == TRAP_SYSCALL && trap.nr == 1003);
    platform_set_result(pt, -5);
    platform_run(pt, &trap);
    CHECK("its comparison: an error", trap.reason == TRAP_FAULT && trap.sig == 4);
    platform_mm_destroy(pm);
}

static void *interrupter(void *arg)
{
    struct timespec ts = {0, 50000000};
    nanosleep(&ts, NULL);
    platform_interrupt(arg);
    return NULL;
}

static void test_interrupt(void)
{
    struct platform_mm *pm;
    struct platform_thread *pt = make_guest(&pm, guest_loop, guest_loop_end);
    pthread_t th;
    pthread_create(&th, NULL, interrupter, pt);
    struct trap trap = {0};
    platform_run(pt, &trap);
    CHECK("a running guest is interrupted", trap.reason == TRAP_INTERRUPT);
    pthread_join(th, NULL);
    platform_mm_kill(pm);
    platform_run(pt, &trap);
    CHECK("a killed one is dead", trap.reason == TRAP_DEAD);
    platform_mm_destroy(pm);
}

static void test_attack(uint64_t stub_call)
{
    struct platform_mm *pm;
    struct platform_thread *pt = make_guest(&pm, guest_attack, guest_attack_end);
    struct guest_regs regs;
    platform_get_regs(pt, &regs);
    regs.r12 = stub_call;
    platform_set_regs(pt, &regs);
    struct trap trap = {0};
    platform_run(pt, &trap);
    CHECK("mmap of a descriptor by stub text kills the stub", trap.reason == TRAP_DEAD);
    platform_mm_destroy(pm);
}

int main(void)
{
    setbuf(stdout, NULL);
    if (getpid() != 1) {
        printf("FAIL platform: has to run as PID 1 of a PID namespace\n");
        return 1;
    }
    struct log_config log = {.fd = 2, .level = LOG_INFO, .component = "test"};
    log_init(&log);
    struct trap_zygote z;
    memset(&z, 0, sizeof(z));
    z.memory_fd = z.memory_fd_ro = memfd_create("memory", 0);
    if (ftruncate(z.memory_fd, 16 << 20) < 0)
        return 1;
    int r = trap_zygote_prepare(&z);
    if (r == 0)
        r = trap_zygote_start(&z, NULL, NULL);
    if (r < 0) {
        printf("FAIL platform: %s: %d\n", z.what, r);
        return 1;
    }
    struct platform_config config = {.cpu_count = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), .cpu_mask = {3}};
    if (arena_init(0, 1ull << 30) < 0 || platform_init(&platform, &config, &z) < 0) {
        printf("FAIL platform: start\n");
        return 1;
    }
    for (intptr_t i = 0; i < PLATFORM_SERVICE_COUNT; i++) {
        pthread_t th;
        pthread_create(&th, NULL, service, (void *)i);
    }
    test_calls();
    test_patched();
    test_fork();
    test_interrupt();
    test_attack(z.stub_call);
    return failures != 0;
}
