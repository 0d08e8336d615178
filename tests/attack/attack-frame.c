// Signal frames through the stub's restorer, masks that keep interrupts out, registers that a trap does not expect, and
// addresses of the stub's own region given to calls.
#include "attack.h"

struct frame { // what rt_sigreturn finds at the stack pointer
    uint64_t flags, link, ss_sp;
    uint32_t ss_flags, pad;
    uint64_t ss_size;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8], mask;
};

__attribute__((noreturn)) static void restore(const struct frame *f)
{
    __asm__ volatile("mov %0, %%rsp\n\tjmp *%1" ::"r"(f), "r"(HEADER->restorer) : "memory");
    __builtin_unreachable();
}

static struct frame plain(void (*go_on)(void))
{
    static char stack[65536] __attribute__((aligned(16)));
    return (struct frame){.flags = 6,
                          .ss_sp = get_gs() + offsetof(struct slot, altstack),
                          .ss_size = SLOT_ALTSTACK_SIZE,
                          .rip = (uint64_t)go_on,
                          .rsp = (uint64_t)stack + sizeof(stack) - 8,
                          .eflags = 0x202,
                          .cs = 0x33,
                          .ss = 0x2b};
}

static void spin(void)
{
    for (;;)
        ;
}

static uint32_t never;

static void sleep_by_stub(void)
{
    for (;;)
        stub_call3(SYS_futex, &never, FUTEX_WAIT, 0);
}

static void call_and_spin(void)
{
    for (;;)
        getppid();
}

static void masked(void (*f)(void))
{
    struct frame frame = plain(f);
    frame.mask = ~0ull;
    restore(&frame);
}

static void masked_spin(void) { masked(spin); }
static void masked_sleep(void) { masked(sleep_by_stub); }
static void masked_calls(void) { masked(call_and_spin); }

static void *masked_thread(void *arg)
{
    masked(arg);
    return NULL;
}

// The whole process ends while one thread of it can't be interrupted.
static void masked_sibling(void *(*f)(void *), void *arg)
{
    pthread_t t;
    pthread_create(&t, NULL, f, arg);
    usleep(100000);
    syscall(SYS_exit_group, 0);
}

static void exit_beside_spin(void) { masked_sibling(masked_thread, (void *)spin); }
static void exit_beside_sleep(void) { masked_sibling(masked_thread, (void *)sleep_by_stub); }

// exec ends the other threads first.
static void exec_beside_spin(void)
{
    pthread_t t;
    pthread_create(&t, NULL, masked_thread, (void *)spin);
    usleep(100000);
    execl("/bin/true", "true", NULL);
}

// A process that a stop does not reach is still to be killed.
static void stopped_spin(void)
{
    pid_t pid = fork();
    if (pid == 0)
        masked_spin();
    usleep(100000);
    kill(pid, SIGSTOP);
    usleep(300000);
    kill(pid, SIGKILL);
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        breach("it was not killed");
}

// One byte: all of the altstack is gone, or lies elsewhere.
static void without_altstack(void)
{
    struct frame frame = plain(call_and_spin);
    frame.ss_flags = SS_DISABLE;
    frame.ss_sp = frame.ss_size = 0;
    restore(&frame);
}

static void other_altstack(void)
{
    static char other[SLOT_SIZE * 2] __attribute__((aligned(SLOT_SIZE)));
    struct frame frame = plain(call_and_spin);
    frame.ss_sp = (uint64_t)other;
    frame.ss_size = sizeof(other);
    restore(&frame);
}

static void neighbours_altstack(void)
{
    struct frame frame = plain(call_and_spin);
    frame.ss_sp += SLOT_SIZE;
    restore(&frame);
}

// ---- Frames of all kinds ----

static uint64_t frame_seed;

static void strange_one(void)
{
    uint64_t seed = frame_seed * 0x9e3779b97f4a7c15ull + 3;
    static const uint64_t values[] = {0,          1,          0x33,       0x23,      0x2b,       0x10,     0x18,  0x08,
                                      0xffff,     ~0ull,      1ull << 63, 1ull << 47, 0x7ffffffff000ull, 0x8000000000000000ull,
                                      STUB_TEXT,  STUB_SLOTS, 0xffffffff81000000ull};
    static const uint16_t selectors[] = {0x33, 0x23, 0x2b, 0x10, 0x18, 0, 3, 0x53, 0x7b, 0xfff8, 0x0f, 7};
    struct frame frame = plain(rng_next(&seed) % 2 ? spin : call_and_spin);
    uint64_t *words = (uint64_t *)&frame;
    unsigned changes = 1 + rng_next(&seed) % 5;
    for (unsigned i = 0; i < changes; i++)
        words[rng_next(&seed) % (sizeof(frame) / 8)] = values[rng_next(&seed) % (sizeof(values) / sizeof(values[0]))];
    if (rng_next(&seed) % 3 == 0)
        frame.cs = selectors[rng_next(&seed) % 12];
    if (rng_next(&seed) % 3 == 0)
        frame.ss = selectors[rng_next(&seed) % 12];
    if (rng_next(&seed) % 3 == 0)
        frame.eflags = rng_next(&seed);
    static uint8_t fp[8192] __attribute__((aligned(64)));
    if (rng_next(&seed) % 3 == 0) {
        for (unsigned i = 0; i < sizeof(fp); i += 8)
            *(uint64_t *)(fp + i) = rng_next(&seed);
        ((uint32_t *)(fp + 464))[0] = 0x46505853;
        ((uint32_t *)(fp + 464))[1] = (uint32_t)(rng_next(&seed) % 9000);
        frame.fpstate = (uint64_t)fp + (rng_next(&seed) % 4 == 0);
    }
    restore(&frame);
}

static void strange_frames(void)
{
    char why[200];
    for (frame_seed = 0; frame_seed < 250; frame_seed++) {
        run_alone(strange_one, 0.1, why);
        if (why[0])
            breach("frame %lu: %s", frame_seed, why);
    }
}

// ---- Registers at a trap ----

static uint64_t trap_rsp;

static void trap_one(void)
{
    __asm__ volatile("mov %0, %%rsp\n\tmov $110, %%eax\n\tsyscall\n\tmov $57, %%eax\n\tsyscall\n\tmov $60, %%eax\n\txor %%edi, %%edi\n\tsyscall"
                     ::"r"(trap_rsp) : "rax", "rcx", "r11", "rdi", "memory");
    __builtin_unreachable();
}

static void stack_pointers(void)
{
    const uint64_t values[] = {0, 8, ~0ull, 1ull << 63, 0x7ffffffff000ull, 0x800000000000ull, STUB_TEXT, STUB_TEXT + 4096,
                               get_gs(), get_gs() + 64, get_gs() + offsetof(struct slot, altstack) + 128,
                               get_gs() + offsetof(struct slot, altstack) + SLOT_ALTSTACK_SIZE,
                               get_gs() + offsetof(struct slot, stack) + 2048, STUB_BASES, STUB_THUNKS, STUB_JUMP_TABLE,
                               0xffffffff81000000ull, get_gs() + SLOT_SIZE - 8};
    char why[200];
    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        trap_rsp = values[i];
        run_alone(trap_one, 0.5, why);
        if (why[0])
            breach("stack pointer %#lx: %s", trap_rsp, why);
    }
}

static uint64_t new_gs;

static void gs_one(void)
{
    __asm__ volatile("wrgsbase %0" ::"r"(new_gs));
    // By a trap, by a patched site (libc's), with threads and a fork.
    for (int i = 0; i < 200; i++)
        getppid();
    struct stat st;
    stat("/etc/passwd", &st);
    int fd = open("/etc/passwd", O_RDONLY);
    close(fd);
    if (fork() == 0)
        _exit(0);
    wait(NULL);
    _exit(0);
}

static void gs_bases(void)
{
    static uint8_t fake[SLOT_SIZE] __attribute__((aligned(4096)));
    memcpy(fake, (void *)get_gs(), sizeof(fake));
    const uint64_t values[] = {0, 8, 0x1000, STUB_TEXT, get_gs() + 8, get_gs() + SLOT_SIZE, (uint64_t)fake, STUB_BASES,
                               0x7ffffffff000ull - 64, 0xffff800000000000ull, 0xffffffff81000000ull};
    char why[200];
    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        new_gs = values[i];
        run_alone(gs_one, 2, why);
        if (why[0])
            breach("gs base %#lx: %s", new_gs, why);
    }
}

static void bases(void)
{
    uint64_t *base = (uint64_t *)STUB_BASES, seed = 99;
    for (int i = 0; i < STUB_BASES_COUNT; i++)
        base[i] = rng_next(&seed) >> (rng_next(&seed) % 40);
    for (int i = 0; i < 200; i++)
        getppid();
    if (fork() == 0)
        execl("/bin/true", "true", NULL);
    wait(NULL);
}

// ---- Results and arguments in the stub's own region ----

static void region_calls(void)
{
    const uint64_t places[] = {get_gs(), get_gs() + 64, get_gs() + 128, get_gs() + 224, get_gs() + 4096,
                               get_gs() + offsetof(struct slot, window) + 100, get_gs() + offsetof(struct slot, altstack),
                               get_gs() + SLOT_SIZE, STUB_TEXT, STUB_THUNKS, STUB_BASES, STUB_HOST_VDSO, STUB_JUMP_TABLE,
                               STUB_VDSO, 0x7fffffdff000ull, 0x7fffffffe000ull, 0x7ffffffff000ull, 0x7fff00000000ull - 4,
                               STUB_SLOTS_FAR_END - 4096};
    char buf[4096];
    int p[2], fd = open("/etc/passwd", O_RDONLY);
    if (pipe(p) < 0)
        return;
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        void *at = (void *)places[i];
        struct iovec v[4] = {{at, 64}, {buf, 8}, {at, 4096}, {at, 100000}};
        if (fork() == 0) {
            long r;
            alarm(5);
            r = syscall(SYS_read, fd, at, 64);
            r = syscall(SYS_pread64, fd, at, 4000, 0);
            r = syscall(SYS_readv, fd, v, 4);
            r = syscall(SYS_preadv, fd, v, 4, 0, 0);
            r = syscall(SYS_preadv, fd, at, 4, 0, 0);
            r = syscall(SYS_write, p[1], at, 64);
            r = syscall(SYS_writev, p[1], v, 2);
            r = syscall(SYS_writev, p[1], at, 2);
            r = syscall(SYS_read, p[0], at, 64);
            r = syscall(SYS_getcwd, at, 100);
            r = syscall(SYS_uname, at);
            r = syscall(SYS_stat, at, at);
            r = syscall(SYS_stat, "/", at);
            r = syscall(SYS_openat, AT_FDCWD, at, 0);
            r = syscall(SYS_getdents64, open("/", O_RDONLY), at, 4096);
            r = syscall(SYS_getrandom, at, 256, 0);
            r = syscall(SYS_clock_gettime, 0, at);
            r = syscall(SYS_nanosleep, at, at);
            r = syscall(SYS_futex, at, FUTEX_WAIT, 0, at, at, 0);
            r = syscall(SYS_futex, at, FUTEX_WAKE, 1, at, at, 0);
            r = syscall(SYS_rt_sigaction, SIGUSR1, at, at, 8);
            r = syscall(SYS_rt_sigprocmask, SIG_BLOCK, at, at, 8);
            r = syscall(SYS_sigaltstack, at, at);
            r = syscall(SYS_poll, at, 4, 0);
            r = syscall(SYS_select, 4, at, at, at, at);
            r = syscall(SYS_mincore, (uint64_t)buf & ~4095ull, 4096, at);
            r = syscall(SYS_process_vm_readv, getpid(), v, 4, v, 4, 0);
            r = syscall(SYS_process_vm_writev, getpid(), v, 4, v, 4, 0);
            r = syscall(SYS_mprotect, places[i] & ~4095ull, 4096, 7);
            r = syscall(SYS_mremap, places[i] & ~4095ull, 4096, 8192, 1, 0);
            r = syscall(SYS_madvise, places[i] & ~4095ull, 4096, MADV_DONTNEED);
            if (places[i] >= 0x7fff00000000ull && syscall(SYS_mmap, places[i] & ~4095ull, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) >= 0)
                breach("mmap over the stub's region at %p", at);
            r = syscall(SYS_munmap, places[i] & ~4095ull, 4096);
            if (places[i] >= 0x7fff00000000ull && r == 0 && syscall(SYS_munmap, places[i] & ~4095ull, 4096) == 0)
                getppid();
            r = syscall(SYS_set_tid_address, at);
            r = syscall(SYS_set_robust_list, at, 24);
            r = syscall(SYS_rseq, at, 32, 0, 0x53053053);
            r = syscall(SYS_arch_prctl, 0x1002, at);
            (void)r;
            syscall(SYS_exit_group, 0);
        }
        wait(NULL);
    }
}

// ---- Memory that changes while a call reads it ----

static struct {
    struct iovec v[4];
    char path[64];
    uint8_t address[128];
    struct msghdr message;
    uint8_t control[64];
    struct { uint64_t fd, events; } polls[8];
} *flipped;

static void *flipper(void *arg)
{
    uint64_t seed = (uint64_t)arg + 11;
    uint64_t *words = (uint64_t *)flipped;
    for (;;) {
        uint64_t r = rng_next(&seed);
        uint64_t *w = &words[r % (sizeof(*flipped) / 8)];
        uint64_t old = *(volatile uint64_t *)w;
        *(volatile uint64_t *)w = (r >> 32) % 3 ? old ^ (1ull << (r >> 40) % 64) : r >> ((r >> 8) % 64);
        if ((r >> 20) % 4)
            *(volatile uint64_t *)w = old;
    }
    return arg;
}

static void flip_one(void)
{
    static char buf[65536];
    pthread_t t;
    flipped = mmap(NULL, sizeof(*flipped), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_create(&t, NULL, flipper, (void *)(uint64_t)getpid());
    int s[2], p[2], fd = open("/bin/sh", O_RDONLY);
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s) < 0 || pipe2(p, O_NONBLOCK) < 0)
        return;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGSEGV, SIG_IGN);
    double end = seconds_now() + 2.5;
    while (seconds_now() < end) {
        for (int i = 0; i < 4; i++)
            flipped->v[i] = (struct iovec){buf + i * 100, 1000};
        strcpy(flipped->path, "/etc/../bin/./sh");
        *(uint16_t *)flipped->address = AF_UNIX;
        strcpy((char *)flipped->address + 2, "/tmp/no-such");
        flipped->message = (struct msghdr){.msg_name = flipped->address, .msg_namelen = 20, .msg_iov = flipped->v, .msg_iovlen = 4,
                                           .msg_control = flipped->control, .msg_controllen = 24};
        struct cmsghdr *c = (struct cmsghdr *)flipped->control;
        c->cmsg_len = CMSG_LEN(4);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        *(int *)CMSG_DATA(c) = fd;
        struct stat st;
        syscall(SYS_stat, flipped->path, &st);
        syscall(SYS_preadv, fd, flipped->v, 4, 0, 0);
        syscall(SYS_writev, p[1], flipped->v, 4);
        syscall(SYS_readv, p[0], flipped->v, 4);
        syscall(SYS_sendmsg, s[0], &flipped->message, 0);
        syscall(SYS_sendto, s[0], buf, 10, 0, flipped->address, 20);
        syscall(SYS_recvmsg, s[1], &flipped->message, 0);
        syscall(SYS_poll, flipped->polls, 8, 0);
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, flipped->address, NULL, 8);
        syscall(SYS_openat2, AT_FDCWD, flipped->path, flipped->v, 24);
        syscall(SYS_process_vm_readv, getpid(), flipped->v, 4, flipped->v, 4, 0);
        char *argv[] = {flipped->path, NULL};
        if (rng_next(&(uint64_t){(uint64_t)(end * 1000) + (uint64_t)fd}) % 50 == 0)
            syscall(SYS_execve, "/nonexistent", flipped->v, argv);
    }
    _exit(0);
}

static void flips(void)
{
    char why[200];
    for (int i = 0; i < 4; i++) {
        run_alone(flip_one, 6, why);
        if (why[0])
            breach("%s", why);
    }
}

int main(int argc, char **argv)
{
    static const struct attack attacks[] = {
        {"masked_spin", masked_spin, 1, 0},
        {"masked_sleep", masked_sleep, 1, 0},
        {"masked_calls", masked_calls, 1, 0},
        {"exit_beside_spin", exit_beside_spin, KILL_SECONDS, 0},
        {"exit_beside_sleep", exit_beside_sleep, KILL_SECONDS, 0},
        {"exec_beside_spin", exec_beside_spin, KILL_SECONDS, 0},
        {"stopped_spin", stopped_spin, 2 * KILL_SECONDS, 0},
        {"without_altstack", without_altstack, 1, 0},
        {"other_altstack", other_altstack, 1, 0},
        {"neighbours_altstack", neighbours_altstack, 1, 0},
        {"strange_frames", strange_frames, 300, 0},
        {"stack_pointers", stack_pointers, 60, 0},
        {"gs_bases", gs_bases, 100, 0},
        {"bases", bases, 5, 0},
        {"region_calls", region_calls, 120, 0},
        {"flips", flips, 60, 0},
    };
    return attack_main(attacks, sizeof(attacks) / sizeof(attacks[0]), argc, argv);
}
