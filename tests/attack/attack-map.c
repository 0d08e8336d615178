// Memory by stub text: descriptors, protections, moves, advice, and the pieces that belong to Caisson itself.
#include "attack.h"

// ---- Descriptors: none was ever named to this thread ----

static int try_fd, try_flags, try_prot;

static void map_one(void)
{
    long at = stub_call6(SYS_mmap, 0x10000000, 4096, (uint64_t)try_prot, (uint64_t)try_flags, (uint64_t)try_fd, 0);
    if (at == 0x10000000)
        breach("descriptor %d: mapped with protection %d, flags %#x", try_fd, try_prot, (unsigned)try_flags);
    _exit(0);
}

static void map_descriptors(int flags, int prot, int step)
{
    char why[200];
    try_flags = flags;
    try_prot = prot;
    for (try_fd = 0; try_fd <= 1100; try_fd += step) {
        int status = run_alone(map_one, 20, why);
        if (why[0])
            breach("%s", why);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            breach("descriptor %d: not killed (status %#x)", try_fd, (unsigned)status);
    }
}

static void fds_shared(void) { map_descriptors(MAP_SHARED | MAP_FIXED, PROT_READ, 1); }
static void fds_shared_rw(void) { map_descriptors(MAP_SHARED | MAP_FIXED, PROT_READ | PROT_WRITE, 3); }
static void fds_private(void) { map_descriptors(MAP_PRIVATE | MAP_FIXED, PROT_READ | PROT_WRITE, 3); }
static void fds_exec(void) { map_descriptors(MAP_PRIVATE | MAP_FIXED, PROT_READ | PROT_EXEC, 7); }

static void odd_maps(void)
{
    static const int flags[] = {MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
                                MAP_PRIVATE | MAP_ANONYMOUS,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (int)0x80000000,
                                0x3 /* SHARED_VALIDATE */ | MAP_FIXED,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | 0x4000000};
    char why[200];
    try_fd = -1;
    try_prot = PROT_READ | PROT_WRITE;
    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        try_flags = flags[i];
        run_alone(map_one, 20, why);
        if (why[0])
            breach("%s", why);
    }
}

// ---- clone and the other countersigned calls, never told ----

static uint64_t call_args[6];
static long call_nr;

static void call_one(void)
{
    long r = stub_call6(call_nr, call_args[0], call_args[1], call_args[2], call_args[3], call_args[4], call_args[5]);
    if (r >= 0)
        breach("call %ld (%#lx, ...): result %ld", call_nr, call_args[0], r);
    _exit(0);
}

static void expect_killed(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    char why[200];
    call_nr = nr;
    memcpy(call_args, (uint64_t[6]){a, b, c, d, e}, sizeof(call_args));
    int status = run_alone(call_one, 20, why);
    if (why[0])
        breach("%s", why);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        breach("call %ld (%#lx): not killed (status %#x)", nr, a, (unsigned)status);
}

static void clones(void)
{
    static const uint64_t usual[] = {
        0, SIGCHLD, CLONE_PARENT | SIGCHLD, CLONE_PARENT | CLONE_FILES | SIGCHLD, CLONE_VM | SIGCHLD,
        CLONE_VM | CLONE_VFORK | SIGCHLD, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD,
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS};
    static char stack[4096] __attribute__((aligned(16)));
    for (unsigned i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        expect_killed(SYS_clone, usual[i], (uint64_t)stack + sizeof(stack), 0, 0, 0);
    for (int bit = 7; bit < 64; bit++)
        expect_killed(SYS_clone, (1ull << bit) | SIGCHLD, 0, 0, 0, 0);
    for (int bit = 25; bit < 32; bit++)
        expect_killed(SYS_clone, (1ull << bit) | CLONE_VM | SIGCHLD, (uint64_t)stack + sizeof(stack), 0, 0, 0);
}

static void others_untold(void)
{
    static char page[8192] __attribute__((aligned(4096)));
    expect_killed(SYS_arch_prctl, 0x1001, 0x1000, 0, 0, 0);
    expect_killed(SYS_arch_prctl, 0x1012, 0, 0, 0, 0);
    expect_killed(SYS_arch_prctl, 0x3002, 0, 0, 0, 0);
    expect_killed(SYS_set_tid_address, (uint64_t)page, 0, 0, 0, 0);
    expect_killed(SYS_set_robust_list, (uint64_t)page, 24, 0, 0, 0);
    expect_killed(SYS_rseq, (uint64_t)page, 32, 0, 0x53053053, 0);
    expect_killed(SYS_membarrier, 1, 0, 0, 0, 0);
    expect_killed(SYS_mincore, (uint64_t)page, 4096, (uint64_t)page + 4096, 0, 0);
    expect_killed(SYS_mremap, (uint64_t)page, 4096, 8192, MREMAP_MAYMOVE, 0);
    expect_killed(SYS_mremap, (uint64_t)page, 0, 4096, MREMAP_MAYMOVE, 0);
    expect_killed(SYS_mremap, (uint64_t)page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, 0x10000000);
    expect_killed(SYS_mremap, STUB_TEXT, STUB_TEXT_SIZE, STUB_TEXT_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x10000000);
    expect_killed(SYS_mremap, get_gs(), SLOT_SIZE, 2 * SLOT_SIZE, MREMAP_MAYMOVE, 0);
}

// ---- Protections of what is shared and read-only ----

static sigjmp_buf fault_jump;

static void on_fault(int sig)
{
    (void)sig;
    siglongjmp(fault_jump, 1);
}



// Makes a page writable if the host lets it, changes one byte, and says whether that worked.
static bool scribble(uint8_t *at)
{
    struct sigaction sa = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    if (sigsetjmp(fault_jump, 1))
        return false;
    if (stub_call3(SYS_mprotect, (uint64_t)at & ~4095ull, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
        stub_call3(SYS_mprotect, (uint64_t)at & ~4095ull, 4096, PROT_READ | PROT_WRITE);
    uint8_t old = *(volatile uint8_t *)at;
    *(volatile uint8_t *)at = (uint8_t)~old;
    return *(volatile uint8_t *)at != old;
}

static void own_pieces(void)
{
    static const struct {
        uint64_t start, size;
        const char *what;
    } pieces[] = {{STUB_TEXT, STUB_IMAGE_SIZE, "stub text"},
                  {STUB_THUNKS, STUB_THUNKS_SIZE, "thunks"},
                  {STUB_JUMP_TABLE, STUB_JUMP_TABLE_SIZE, "jump table"}};
    for (unsigned i = 0; i < 3; i++) {
        for (uint64_t at = pieces[i].start; at < pieces[i].start + pieces[i].size; at += 4096) {
            if (scribble((uint8_t *)at + 8))
                breach("%s can be written at %#lx", pieces[i].what, at);
        }
    }
}

static uint8_t first_byte_anew(const char *path)
{
    uint8_t b = 0;
    int fd = open(path, O_RDONLY);
    void *m = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    if (m != MAP_FAILED) {
        b = *(uint8_t *)m;
        munmap(m, 4096);
    }
    close(fd);
    return b;
}

static void image_files(void)
{
    static const char *const paths[] = {"/bin/sh", "/lib/x86_64-linux-gnu/libc.so.6", "/etc/passwd", "/usr/bin/env"};
    static const int prots[] = {PROT_READ, PROT_READ | PROT_EXEC};
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        uint8_t before = first_byte_anew(paths[i]);
        for (unsigned how = 0; how < 4; how++) {
            int fd = open(paths[i], O_RDONLY);
            if (fd < 0)
                continue;
            int kind = how & 1 ? MAP_SHARED : MAP_PRIVATE;
            struct stat st;
            fstat(fd, &st);
            uint64_t size = ((uint64_t)st.st_size + 4095) & ~4095ull;
            uint8_t *m = mmap(NULL, size, prots[how >> 1], kind, fd, 0);
            close(fd);
            if (m == MAP_FAILED)
                continue;
            for (uint64_t at = 0; at < size; at += 64 * 4096) {
                bool wrote = scribble(m + at);
                if (wrote && kind == MAP_SHARED)
                    breach("%s: a shared read-only mapping was written", paths[i]);
                if (wrote && at == 0 && first_byte_anew(paths[i]) != before)
                    breach("%s: a write to a private mapping is seen by others", paths[i]);
            }
            munmap(m, size);
        }
        if (first_byte_anew(paths[i]) != before)
            breach("%s changed", paths[i]);
    }
}

// A file of the sandbox opened for reading by who may not write it.
static void memory_file(void)
{
    char path[] = "/tmp/attack-ro-XXXXXX";
    int fd = mkstemp(path);
    if (ftruncate(fd, 65536) < 0)
        return;
    fchmod(fd, 0444);
    close(fd);
    if (syscall(SYS_setresuid, 65534, 65534, 65534) < 0)
        return;
    fd = open(path, O_RDONLY);
    uint8_t *m = mmap(NULL, 65536, PROT_READ, MAP_SHARED, fd, 0);
    if (m != MAP_FAILED && scribble(m + 4096))
        breach("a file of the sandbox that may only be read was written");
}

// ---- Taking away what the stub stands on ----

static uint64_t gone_start, gone_size;

static void without_piece(void)
{
    stub_call3(SYS_munmap, gone_start, gone_size, 0);
    getppid();
    struct stat st;
    stat("/", &st);
    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    _exit(0);
}

static void remapped_piece(void)
{
    stub_call6(SYS_mmap, gone_start, gone_size, PROT_READ | PROT_WRITE | PROT_EXEC,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~0ull, 0);
    getppid();
    syscall(0x1fff);
    fork();
    _exit(0);
}

static void unmaps(void)
{
    const uint64_t pieces[][2] = {{STUB_TEXT, STUB_TEXT_SIZE}, {STUB_TEXT, 4096}, {STUB_VDSO, STUB_VDSO_SIZE},
                                  {STUB_THUNKS, STUB_THUNKS_SIZE}, {STUB_HOST_VDSO, STUB_HOST_VDSO_SIZE},
                                  {STUB_BASES, 4096}, {STUB_JUMP_TABLE, STUB_JUMP_TABLE_SIZE},
                                  {get_gs(), SLOT_SIZE}, {get_gs(), 4096},
                                  {get_gs() + offsetof(struct slot, window), SLOT_WINDOW_SIZE},
                                  {get_gs() + offsetof(struct slot, stack), SLOT_STACK_SIZE},
                                  {get_gs() + offsetof(struct slot, altstack), SLOT_ALTSTACK_SIZE},
                                  {0x10000, 0x7fffffdf0000}, {0, 0x7ffffffff000}};
    char why[200];
    for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        gone_start = pieces[i][0];
        gone_size = pieces[i][1];
        run_alone(without_piece, 1, why);
        if (why[0])
            breach("without %#lx: %s", gone_start, why);
        if (i < 12) {
            run_alone(remapped_piece, 1, why);
            if (why[0])
                breach("with other memory at %#lx: %s", gone_start, why);
        }
    }
}

static void protect_slot(void)
{
    stub_call3(SYS_mprotect, get_gs(), SLOT_SIZE, call_args[2]);
    getppid();
    fork();
    _exit(0);
}

static void protections(void)
{
    char why[200];
    for (int prot = 0; prot < 8; prot++) {
        call_args[2] = (uint64_t)prot;
        run_alone(protect_slot, 1, why);
        if (why[0])
            breach("slot with protection %d: %s", prot, why);
    }
}

// ---- Advice ----

static uint8_t *advised;

static void advise_all(void)
{
    stub_call3(SYS_madvise, advised, 65536, call_args[0]);
    stub_call3(SYS_madvise, get_gs(), SLOT_SIZE, call_args[0]);
    stub_call3(SYS_madvise, STUB_TEXT, STUB_IMAGE_SIZE, call_args[0]);
    stub_call3(SYS_madvise, STUB_THUNKS, STUB_THUNKS_SIZE, call_args[0]);
    getppid();
    if (fork() == 0) {
        getppid();
        _exit(0);
    }
    wait(NULL);
    _exit(0);
}

static void advice(void)
{
    char why[200];
    advised = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(advised, 5, 65536);
    for (int i = 0; i < 130; i++) {
        call_args[0] = (uint64_t)i;
        run_alone(advise_all, 1, why);
        if (why[0])
            breach("advice %d: %s", i, why);
        // What stub text asks for itself punches no hole: REMOVE is an ordinary guest call then, which does.
        if (i != MADV_REMOVE && advised[100] != 5)
            breach("advice %d took shared memory away", i);
        memset(advised, 5, 65536);
    }
}

// Slots of siblings that a child inherits: it may spoil its parent, nothing else.
static void *sit(void *arg)
{
    for (;;)
        getppid();
    return arg;
}

static void inherited_slots(void)
{
    pthread_t t;
    pthread_create(&t, NULL, sit, NULL);
    for (int i = 0; i < STUB_NEAR_SLOTS; i++)
        stub_call3(SYS_madvise, STUB_SLOTS + (uint64_t)i * SLOT_SIZE, SLOT_SIZE, MADV_DOFORK);
    if (fork() == 0) {
        double end = seconds_now() + 2;
        uint64_t seed = 5;
        while (seconds_now() < end) {
            for (int n = 0; n < 1000; n++) {
                uint64_t r = rng_next(&seed);
                uint64_t *at = (uint64_t *)(STUB_SLOTS + (1 + r % 2) * SLOT_SIZE + (r >> 8) % 1024 / 8 * 8);
                stub_call5(SYS_futex, at, FUTEX_WAKE_OP, 1, 1, get_gs());
                if (r % 3 == 0) // by way of the kernel, which must not be hurt by a missing page
                    syscall(SYS_read, -1, at, 8);
            }
        }
        _exit(0);
    }
    sleep(2);
    _exit(0);
}

int main(int argc, char **argv)
{
    static const struct attack attacks[] = {
        {"fds_shared", fds_shared, 200, 0},       {"fds_shared_rw", fds_shared_rw, 100, 0},
        {"fds_private", fds_private, 100, 0},     {"fds_exec", fds_exec, 100, 0},
        {"odd_maps", odd_maps, 30, 0},            {"clones", clones, 60, 0},
        {"others_untold", others_untold, 60, 0},  {"own_pieces", own_pieces, 60, 0},
        {"image_files", image_files, 60, 0},      {"memory_file", memory_file, 10, 0},
        {"unmaps", unmaps, 60, 0},                {"protections", protections, 60, 0},
        {"advice", advice, 200, 0},               {"inherited_slots", inherited_slots, 10, 0},
    };
    return attack_main(attacks, sizeof(attacks) / sizeof(attacks[0]), argc, argv);
}
