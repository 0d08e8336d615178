// The slot: everything in it is the guest's to write, at any time, by any thread of the process.
#include "attack.h"

// ---- Requests that the stub's code would not post ----

static void post_raw(struct slot *s, unsigned kind)
{
    s->request.kind = (uint8_t)kind;
    __atomic_fetch_add(&s->request.seq, 1, __ATOMIC_SEQ_CST);
    stub_call3(SYS_futex, &s->request.seq, FUTEX_WAKE, 1 << 20);
}

// Posts and waits a moment for an answer; does not do what the answer says.
static void post_and_wait(struct slot *s, unsigned kind)
{
    uint32_t last = s->reply.seq;
    post_raw(s, kind);
    double end = seconds_now() + 0.05;
    while (*(volatile uint32_t *)&s->reply.seq == last && seconds_now() < end)
        ;
}

static unsigned forged_kind;
static uint64_t forged_seed;

static void handler(int sig) { (void)sig; }

static void forge_one(void)
{
    struct slot *s = own_slot();
    uint64_t seed = forged_seed * 1000003 + forged_kind + 1;
    for (int sig = 1; sig < 32; sig++)
        signal(sig, rng_next(&seed) % 2 ? handler : SIG_IGN);
    static const uint64_t places[] = {0, 8, offsetof(struct slot, altstack), offsetof(struct slot, altstack) + 8,
                                      offsetof(struct slot, altstack) + SLOT_ALTSTACK_SIZE - 304,
                                      offsetof(struct slot, altstack) + SLOT_ALTSTACK_SIZE - 312,
                                      offsetof(struct slot, altstack) + SLOT_ALTSTACK_SIZE - 8,
                                      offsetof(struct slot, altstack) + SLOT_ALTSTACK_SIZE, SLOT_SIZE, ~0ull,
                                      offsetof(struct slot, altstack) + 4096};
    static const uint32_t numbers[] = {0, 1, 9, 11, 15, 25, 56, 59, 64, 65, 129, 202, 219, 435, 0x7fffffff, 0x80000000, 0xffffffff};
    for (int round = 0; round < 6; round++) {
        s->frame = places[rng_next(&seed) % (sizeof(places) / sizeof(places[0]))];
        s->siginfo = places[rng_next(&seed) % (sizeof(places) / sizeof(places[0]))];
        s->request.nr = numbers[rng_next(&seed) % (sizeof(numbers) / sizeof(numbers[0]))];
        s->request.in_count = (uint8_t)rng_next(&seed);
        s->request.cpu = (uint16_t)rng_next(&seed);
        for (int i = 0; i < 6; i++)
            s->request.args[i] = s->futex_args[i] = rng_next(&seed) >> (rng_next(&seed) % 64);
        for (int i = 0; i < SLOT_IN_MAX; i++)
            s->in[i] = (struct slot_in){s->request.args[i], (uint32_t)(rng_next(&seed) >> (32 + rng_next(&seed) % 32)),
                                        (uint32_t)(rng_next(&seed) >> (32 + rng_next(&seed) % 32))};
        // A frame where one may lie, with extended state near its end.
        uint64_t *uc = (uint64_t *)((char *)s + offsetof(struct slot, altstack) + 4096);
        for (int i = 0; i < 40; i++)
            uc[i] = rng_next(&seed);
        uint64_t fp = SLOT_SIZE - offsetof(struct slot, altstack) > 0
                          ? get_gs() + offsetof(struct slot, altstack) + SLOT_ALTSTACK_SIZE - 512 - 64 * (rng_next(&seed) % 20)
                          : 0;
        uc[5 + 23] = fp; // fpstate
        if (fp) {
            uint32_t *sw = (uint32_t *)((fp & 0xffffffffffc0ull) + 464);
            sw[0] = 0x46505853;
            sw[1] = (uint32_t)rng_next(&seed) % 100000;
            sw[4] = (uint32_t)rng_next(&seed) % 100000;
        }
        post_and_wait(s, forged_kind);
    }
    _exit(0);
}

static void forged_requests(void)
{
    char why[200];
    for (forged_seed = 0; forged_seed < 12; forged_seed++) {
        for (forged_kind = 0; forged_kind < 12; forged_kind++) {
            run_alone(forge_one, 0.6, why);
            if (why[0])
                breach("kind %u, seed %lu: %s", forged_kind, forged_seed, why);
        }
    }
}

static uint32_t forged_signal;

static void fault_one(void)
{
    struct slot *s = own_slot();
    s->frame = offsetof(struct slot, altstack) + 4096;
    s->siginfo = offsetof(struct slot, altstack) + 8192;
    s->request.nr = forged_signal;
    post_and_wait(s, SLOT_FAULT);
    _exit(0);
}

// Faults by signal numbers that no processor raises.
static void forged_signals(void)
{
    static const uint32_t numbers[] = {0, 1, 9, 17, 19, 32, 63, 64, 65, 66, 127, 128, 1000, 0x10000, 0x7fffffff, 0x80000000,
                                       0xfffffff0, 0xffffffff};
    char why[200];
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        forged_signal = numbers[i];
        run_alone(fault_one, 0.6, why);
        if (why[0])
            breach("signal %u: %s", forged_signal, why);
    }
}

static void flood(void)
{
    struct slot *s = own_slot();
    for (int i = 0; i < 3000000; i++) {
        s->request.kind = SLOT_DONE_RESUMED;
        __atomic_fetch_add(&s->request.seq, 1, __ATOMIC_SEQ_CST);
    }
    for (;;)
        stub_call3(SYS_futex, &s->request.seq, FUTEX_WAKE, 1);
}

// ---- Scribbling while calls run ----

static _Atomic bool scribble_only_lines;

static void *scribbler(void *arg)
{
    uint64_t seed = (uint64_t)arg * 0x9e3779b97f4a7c15ull + (uint64_t)getpid() + 1;
    for (;;) {
        uint64_t r = rng_next(&seed);
        uint64_t slot = STUB_SLOTS + (r % 4) * SLOT_SIZE;
        uint64_t offset = scribble_only_lines || (r >> 8) % 4 ? (r >> 16) % 0x1000 : (r >> 16) % SLOT_SIZE;
        uint8_t *at = (uint8_t *)(slot + offset);
        switch ((r >> 40) % 5) {
        case 0: *(volatile uint64_t *)((uint64_t)at & ~7ull) = rng_next(&seed); break;
        case 1: *(volatile uint8_t *)at = (uint8_t)(r >> 48); break;
        case 2: *(volatile uint32_t *)((uint64_t)at & ~3ull) ^= 1u << ((r >> 48) % 32); break;
        case 3: *(volatile uint32_t *)((uint64_t)at & ~3ull) += (uint32_t)(r >> 48) % 3; break;
        default: *(volatile uint64_t *)((uint64_t)at & ~7ull) = (r >> 48) % 64; break;
        }
        if (r >> 58 == 0)
            usleep(1);
    }
    return arg;
}

static void some_calls(uint64_t seed)
{
    char buf[8192];
    int p[2] = {-1, -1};
    if (pipe(p) < 0)
        _exit(0);
    for (;;) {
        switch (rng_next(&seed) % 14) {
        case 0: getppid(); break;
        case 1: { struct stat st; stat("/etc/passwd", &st); break; }
        case 2: { int fd = open("/etc/passwd", O_RDONLY); if (read(fd, buf, sizeof(buf)) < 0) getppid(); close(fd); break; }
        case 3: { void *m = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); munmap(m, 65536); break; }
        case 4: { int fd = open("/bin/sh", O_RDONLY); void *m = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0); munmap(m, 8192); close(fd); break; }
        case 5: { uint32_t w = 0; syscall(SYS_futex, &w, FUTEX_WAKE, 1, NULL, NULL, 0); break; }
        case 6: { struct timespec ts = {0, 1000}; uint32_t w = 0; syscall(SYS_futex, &w, FUTEX_WAIT, 0, &ts, NULL, 0); break; }
        case 7: if (write(p[1], buf, 100) < 0 || read(p[0], buf, 100) < 0) getppid(); break;
        case 8: if (fork() == 0) { getppid(); _exit(0); } wait(NULL); break;
        case 9: mprotect((void *)((uint64_t)buf & ~4095ull), 4096, PROT_READ | PROT_WRITE); break;
        case 10: kill(getpid(), 0); break;
        case 11: { struct timespec ts; clock_gettime(CLOCK_REALTIME, &ts); nanosleep(&(struct timespec){0, 1000}, NULL); break; }
        case 12: raise(SIGUSR1); break;
        default: { char c; struct iovec v[3] = {{buf, 10}, {buf + 10, 20}, {&c, 0}}; if (writev(p[1], v, 3) < 0 || readv(p[0], v, 3) < 0) getppid(); break; }
        }
    }
}

static void *caller(void *arg)
{
    some_calls((uint64_t)arg * 31 + 7);
    return arg;
}

static void on_usr1(int sig) { (void)sig; }

static void scribble_processes(void)
{
    double end = seconds_now() + 12;
    unsigned round = 0;
    while (seconds_now() < end) {
        for (int i = 0; i < 3; i++) {
            if (fork() == 0) {
                signal(SIGUSR1, on_usr1);
                int null = open("/dev/null", O_RDWR);
                dup2(null, 2);
                scribble_only_lines = round % 2;
                pthread_t t;
                pthread_create(&t, NULL, caller, (void *)(uint64_t)(round * 3 + (unsigned)i));
                pthread_create(&t, NULL, caller, (void *)(uint64_t)(round * 5 + (unsigned)i));
                pthread_create(&t, NULL, scribbler, (void *)(uint64_t)(round * 7 + (unsigned)i));
                sleep(1);
                _exit(0);
            }
        }
        usleep(700000);
        kill(0, 0);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        round++;
    }
    // What is left is killed by the harness with the process group.
}

// ---- Commands that are not executed, and reports of what was not done ----

static struct slot *victim_slot;
static _Atomic int victim_ready;

static void *victim_maps(void *arg)
{
    victim_slot = own_slot();
    victim_ready = 1;
    for (;;) {
        void *m = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int fd = open("/bin/sh", O_RDONLY);
        void *f = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, fd, 0);
        close(fd);
        munmap(f, 65536);
        munmap(m, 65536);
    }
    return arg;
}

// A thread never sees its answer, because a sibling puts the old sequence number back: the kernel waits for commands.
static void stalled_command(void)
{
    pthread_t t;
    pthread_create(&t, NULL, victim_maps, NULL);
    while (!victim_ready)
        ;
    for (;;) {
        uint32_t seq = *(volatile uint32_t *)&victim_slot->reply.seq;
        for (int i = 0; i < 1000; i++)
            *(volatile uint32_t *)&victim_slot->reply.seq = seq;
        if (*(volatile uint16_t *)&victim_slot->reply.command_count)
            for (;;)
                *(volatile uint32_t *)&victim_slot->reply.seq = seq;
    }
}

static void *never_answers(void *arg)
{
    victim_slot = own_slot();
    victim_ready = 1;
    // A call whose answer holds commands, posted by hand; then silence.
    struct slot *s = own_slot();
    s->request.nr = SYS_mmap;
    uint64_t args[6] = {0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0};
    memcpy(s->request.args, args, sizeof(args));
    s->request.in_count = 0;
    s->frame = 0;
    post_raw(s, SLOT_PATCHED);
    for (;;)
        stub_call3(SYS_futex, &victim_ready, FUTEX_WAIT, 1);
    return arg;
}

static void silent_command(void)
{
    pthread_t t;
    pthread_create(&t, NULL, never_answers, NULL);
    for (;;)
        pause();
}

static void *spins_silently(void *arg)
{
    struct slot *s = own_slot();
    s->request.nr = SYS_mmap;
    uint64_t args[6] = {0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0};
    memcpy(s->request.args, args, sizeof(args));
    s->request.in_count = 0;
    post_raw(s, SLOT_PATCHED);
    for (;;)
        ;
    return arg;
}

static void spinning_command(void)
{
    pthread_t t;
    pthread_create(&t, NULL, spins_silently, NULL);
    for (;;)
        pause();
}

// Says that everything was done, at once, without doing it.
static void lying_commands(void)
{
    struct slot *s = own_slot();
    for (int i = 0; i < 2000; i++) {
        s->request.nr = i % 3 ? SYS_mmap : SYS_munmap;
        uint64_t args[6] = {i % 3 ? 0 : 0x20000000, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0};
        memcpy(s->request.args, args, sizeof(args));
        s->request.in_count = 0;
        uint32_t last = s->reply.seq;
        post_raw(s, SLOT_PATCHED);
        while (*(volatile uint32_t *)&s->reply.seq == last)
            ;
        for (int n = 0; n < SLOT_COMMAND_MAX; n++)
            s->command[n].result = i % 5 ? 0 : -(i % 600);
        if (s->reply.flags & REPLY_COMMANDS)
            post_raw(s, s->reply.flags & REPLY_RESUME ? SLOT_DONE_RESUMED : SLOT_DONE);
        usleep(200);
    }
    // Posts and awaits are out of step by now: one more in earnest, whatever it gives.
    getppid();
}

// A sibling rewrites the commands of a thread before it runs them.
static void *rewrites(void *arg)
{
    uint64_t seed = (uint64_t)getpid();
    for (;;) {
        struct slot_command *c = &victim_slot->command[rng_next(&seed) % 2];
        switch (rng_next(&seed) % 6) {
        case 0: *(volatile uint64_t *)&c->nr = COMMAND_FORK; break;
        case 1: *(volatile uint64_t *)&c->args[4] = rng_next(&seed) % 64; break;
        case 2: *(volatile uint64_t *)&c->args[5] = (rng_next(&seed) % 4096) * 4096; break;
        case 3: *(volatile uint64_t *)&c->nr = SYS_mremap; break;
        case 4: *(volatile uint64_t *)&c->args[3] = MAP_SHARED | MAP_FIXED; break;
        default: *(volatile uint64_t *)&c->args[2] = 7; break;
        }
    }
    return arg;
}

static void rewrite_one(void)
{
    pthread_t t;
    pthread_create(&t, NULL, victim_maps, NULL);
    while (!victim_ready)
        ;
    pthread_create(&t, NULL, rewrites, NULL);
    sleep(1);
    _exit(0);
}

static void rewritten_commands(void)
{
    char why[200];
    for (int i = 0; i < 12; i++) {
        victim_ready = 0;
        run_alone(rewrite_one, 3, why);
        if (why[0])
            breach("%s", why);
    }
}

// ---- A permission that is used late ----

static char late_paths[2][32];
static _Atomic uint32_t hold, caught, newest;
static _Atomic int late_fd;

// Keeps the answer from a thread: whatever the kernel writes is put back, and given out later.
static void *holds_answers(void *arg)
{
    struct slot *s = arg;
    for (;;) {
        while (!hold)
            ;
        uint32_t old = *(volatile uint32_t *)&s->reply.seq;
        while (hold) {
            uint32_t now = *(volatile uint32_t *)&s->reply.seq;
            if (now == old)
                continue;
            *(volatile uint32_t *)&s->reply.seq = old;
            newest = now;
            caught = 1;
        }
        if (!caught)
            continue;
        *(volatile uint32_t *)&s->reply.seq = newest;
        stub_call3(SYS_futex, &s->reply.seq, FUTEX_WAKE, 10);
        caught = 0;
    }
    return arg;
}

static void *changes_hands(void *arg)
{
    (void)arg;
    for (;;) {
        while (!hold)
            ;
        for (int i = 0; i < 100 && !caught; i++)
            usleep(50);
        if (caught) {
            close(late_fd);
            for (int i = 0; i < 20; i++) {
                int fd = open(late_paths[1], O_RDONLY);
                if (i % 2)
                    close(fd);
            }
        }
        hold = 0;
    }
    return NULL;
}

static void write_file(char *path, char c)
{
    char block[4096];
    memset(block, c, sizeof(block));
    strcpy(path, "/tmp/late-XXXXXX");
    int fd = mkstemp(path);
    if (write(fd, block, sizeof(block)) < 0)
        _exit(0);
    close(fd);
}

static void late_one(void)
{
    pthread_t t;
    pthread_create(&t, NULL, holds_answers, own_slot());
    pthread_create(&t, NULL, changes_hands, NULL);
    for (int i = 0; i < 300; i++) {
        late_fd = open(late_paths[0], O_RDONLY);
        while (caught)
            ;
        if (i % 2)
            hold = 1;
        char *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, late_fd, 0);
        hold = 0;
        if (m != MAP_FAILED) {
            if (*(volatile char *)m == 'b')
                breach("the mapping shows another file");
            munmap(m, 4096);
        }
        for (int fd = 3; fd < 60; fd++)
            if (fd != breach_fd)
                close(fd);
    }
    _exit(0);
}

static void late_permission(void)
{
    char why[200];
    write_file(late_paths[0], 'a');
    write_file(late_paths[1], 'b');
    for (int i = 0; i < 8; i++) {
        hold = 0;
        run_alone(late_one, 2, why);
        if (why[0])
            breach("%s", why);
    }
    unlink(late_paths[0]);
    unlink(late_paths[1]);
}

// ---- Forks that are misreported ----

static void *misreports(void *arg)
{
    // The child runs from the clone on; the result that the parent's thread left is replaced.
    struct slot *s = arg;
    for (;;) {
        if (*(volatile uint64_t *)&s->command[0].nr == COMMAND_FORK && *(volatile int64_t *)&s->command[0].result > 0) {
            *(volatile int64_t *)&s->command[0].result = -(long)(late_fd ? late_fd : 12);
        }
    }
    return arg;
}

static void misreport_one(void)
{
    pthread_t t;
    struct slot *s = own_slot();
    pthread_create(&t, NULL, misreports, s);
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            waitpid(pid, NULL, 0);
    }
    _exit(0);
}

static void misreported_forks(void)
{
    static const int errors[] = {ENOMEM, EAGAIN, EINVAL, EPERM, ESRCH, EINTR, 512};
    char why[200];
    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        late_fd = errors[i];
        run_alone(misreport_one, 15, why);
        if (why[0])
            breach("%s", why);
    }
    late_fd = 0;
}

// Executes a fork command itself: the child has no intention of coming, the parent says that all is well, or that all failed.
static int ghost_report;

static void ghost_one(void)
{
    struct slot *s = own_slot();
    s->request.nr = SYS_fork;
    memset(s->request.args, 0, sizeof(s->request.args));
    s->request.in_count = 0;
    s->regs = (struct slot_regs){.rip = (uint64_t)_exit, .rsp = (uint64_t)s};
    uint32_t last = s->reply.seq;
    post_raw(s, SLOT_PATCHED);
    while (*(volatile uint32_t *)&s->reply.seq == last)
        ;
    if (!(s->reply.flags & REPLY_COMMANDS))
        _exit(0);
    struct slot_command c = s->command[0];
    if (c.nr != COMMAND_FORK)
        _exit(0);
    long pid = 0;
    if (ghost_report != 3) { // 3: doesn't even fork
        // As the stub's fork, without what the child begins with.
        uint64_t args[6] = {c.args[0], 0, 0, 0, 0, 0};
        if (c.args[0] & CLONE_PARENT_SETTID)
            args[2] = c.args[5];
        pid = stub_call6(SYS_clone, args[0], args[1], args[2], args[3], args[4], args[5]);
        if (pid == 0) {
            if (ghost_report == 4) { // maps its slot and never says a word
                stub_call6(SYS_mmap, c.args[3], c.args[4], 3, 0x11, c.args[2], c.args[1]);
            }
            for (;;) // a ghost: no slot of its own, so that it can make no guest call
                stub_call3(SYS_futex, &ghost_report, FUTEX_WAIT, (uint64_t)ghost_report);
        }
    }
    s->command[0].result = ghost_report == 1 ? -ENOMEM : ghost_report == 2 ? -EAGAIN : pid ? pid : 4711;
    s->command_done = 1;
    post_raw(s, SLOT_DONE);
    for (;;)
        stub_call3(SYS_futex, &ghost_report, FUTEX_WAIT, (uint64_t)ghost_report);
}

static void ghosts(void)
{
    char why[200];
    for (ghost_report = 0; ghost_report < 5; ghost_report++) {
        for (int i = 0; i < 3; i++) {
            run_alone(ghost_one, 1, why);
            if (why[0])
                breach("report %d: %s", ghost_report, why);
        }
    }
}

// ---- The kernel's futex words ----

static _Atomic int spinner_up;
static struct slot *spinner_slot;

static void *spinner(void *arg)
{
    spinner_slot = own_slot();
    spinner_up = 1;
    for (;;)
        ;
    return arg;
}

static void *sleeper(void *arg)
{
    spinner_slot = own_slot();
    spinner_up = 1;
    static uint32_t word;
    for (;;)
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    return arg;
}

static void requeue_threads(void *(*f)(void *), bool die)
{
    pthread_t t;
    spinner_up = 0;
    pthread_create(&t, NULL, f, NULL);
    while (!spinner_up)
        ;
    usleep(50000);
    // Whoever sleeps on the words of the slot moves to another word of it, where nobody wakes.
    double end = seconds_now() + 0.5;
    do {
        stub_call5(SYS_futex, &spinner_slot->request.seq, FUTEX_REQUEUE, 0, 100, &spinner_slot->child_tid);
        stub_call5(SYS_futex, &spinner_slot->reply.seq, FUTEX_REQUEUE, 0, 100, &spinner_slot->child_tid);
    } while (seconds_now() < end);
    if (die)
        syscall(SYS_exit_group, 0);
    for (;;)
        pause();
}

static void requeued_exit(void) { requeue_threads(spinner, true); }
static void requeued_kill(void) { requeue_threads(spinner, false); }
static void requeued_sleeper_exit(void) { requeue_threads(sleeper, true); }
static void requeued_sleeper_kill(void) { requeue_threads(sleeper, false); }

static void requeued_death(void)
{
    if (fork() == 0) {
        pthread_t t;
        spinner_up = 0;
        pthread_create(&t, NULL, spinner, NULL);
        while (!spinner_up)
            ;
        usleep(50000);
        for (int i = 0; i < 1000; i++)
            stub_call5(SYS_futex, &spinner_slot->request.seq, FUTEX_REQUEUE, 0, 100, &spinner_slot->child_tid);
        stub_call3(SYS_mincore, 0, 0, 0); // never told
    }
    int status;
    wait(&status);
    if (!WIFSIGNALED(status))
        breach("it lives");
}

// ---- The limits of the kernel's books: threads that don't go, pins that pile up ----

static void *maps_and_ends(void *arg)
{
    int fd = (int)(intptr_t)arg;
    void *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)m;
    return NULL;
}

static void many_pins(void)
{
    int fd = open("/bin/sh", O_RDONLY);
    double end = seconds_now() + 25;
    for (int i = 0; i < 70000 && seconds_now() < end; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, maps_and_ends, (void *)(intptr_t)fd) == 0)
            pthread_join(t, NULL);
    }
}

// Guest threads that end while their host threads stay: exit is told as a command, which is not executed.
static void *stays(void *arg)
{
    struct slot *s = own_slot();
    s->request.nr = SYS_exit;
    memset(s->request.args, 0, sizeof(s->request.args));
    s->request.in_count = 0;
    post_raw(s, SLOT_PATCHED);
    for (;;)
        stub_call3(SYS_futex, &victim_ready, FUTEX_WAIT, (uint64_t)victim_ready);
    return arg;
}

static void threads_that_stay(void)
{
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 65536);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 3000; i++) {
        pthread_t t;
        if (pthread_create(&t, &a, stays, NULL) != 0)
            usleep(1000);
    }
}

int main(int argc, char **argv)
{
    static const struct attack attacks[] = {
        {"forged_requests", forged_requests, 150, 0},
        {"forged_signals", forged_signals, 30, 0},
        {"flood", flood, 3, 0},
        {"scribble_processes", scribble_processes, 60, 0},
        {"stalled_command", stalled_command, 2, 0},
        {"silent_command", silent_command, 2, 0},
        {"spinning_command", spinning_command, 2, 0},
        {"lying_commands", lying_commands, 5, 0},
        {"rewritten_commands", rewritten_commands, 60, 0},
        {"late_permission", late_permission, 30, 0},
        {"misreported_forks", misreported_forks, 120, 0},
        {"ghosts", ghosts, 300, 0},
        {"requeued_exit", requeued_exit, 30, 0},
        {"requeued_kill", requeued_kill, 2, 0},
        {"requeued_sleeper_exit", requeued_sleeper_exit, 30, 0},
        {"requeued_sleeper_kill", requeued_sleeper_kill, 2, 0},
        {"requeued_death", requeued_death, 30, 0},
        {"many_pins", many_pins, 40, 0},
        {"threads_that_stay", threads_that_stay, 30, 0},
    };
    return attack_main(attacks, sizeof(attacks) / sizeof(attacks[0]), argc, argv);
}
