// Harness of the attack programs: static guest programs that turn on the stub that they run in. They run inside a sandbox only
// (`caisson do -- ATTACK`): several would harm an ordinary process's own machine.
//
// Each attack runs in a process of its own. It may be refused, answered, or lose its process; it fails when it says that it
// has got what it must not get (breach()), when SIGKILL from its parent does not end it, or when afterwards the witness does not
// answer: a process that keeps secrets in memory of all kinds, and that looks at every process of the sandbox and changes its
// files on each question, so that nobody else may wait for locks that an attacker's process holds.
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "../../src/platform/trap/stub/layout.h"

#define BREACH_STATUS 99
#define KILL_SECONDS 40 // for SIGKILL to end an attacker: the kernel gives its stub some time to answer first
#define HEADER ((const struct stub_header *)STUB_TEXT)

#define ATTACK_MUST_DIE 1u // anything but the end of its process by SIGKILL is a failure

struct attack {
    const char *name;
    void (*run)(void);
    unsigned seconds; // then it is killed, and has to die
    unsigned flags;
};

static int breach_fd = 2;

// What must not have happened has.
__attribute__((format(printf, 1, 2))) static inline void breach(const char *format, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (write(breach_fd, text, (size_t)(n < (int)sizeof(text) ? n : (int)sizeof(text) - 1)) < 0)
        _exit(BREACH_STATUS - 1);
    _exit(BREACH_STATUS);
}

static inline double seconds_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline uint64_t rng_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

// ---- The stub as an attacker sees it ----

static inline uint64_t get_gs(void)
{
    uint64_t gs;
    __asm__ volatile("rdgsbase %0" : "=r"(gs));
    return gs;
}

static inline struct slot *own_slot(void)
{
    return (struct slot *)get_gs();
}

// A host call from stub text: a number that the filter lets through is executed, others become guest calls.
static inline long stub_call6(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    const uint64_t args[6] = {a, b, c, d, e, f};
    return ((long (*)(long, const uint64_t *))HEADER->call)(nr, args);
}
#define stub_call5(nr, a, b, c, d, e) stub_call6(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), 0)
#define stub_call3(nr, a, b, c) stub_call6(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), 0, 0, 0)

// ---- The witness ----

#define SECRET_PAGES 16

static inline void fill_secret(uint64_t *at, uint64_t seed)
{
    for (unsigned i = 0; i < SECRET_PAGES * 512; i++)
        at[i] = rng_next(&seed);
}

static inline bool secret_is_whole(const uint64_t *at, uint64_t seed)
{
    for (unsigned i = 0; i < SECRET_PAGES * 512; i++)
        if (at[i] != rng_next(&seed))
            return false;
    return true;
}

static inline const char *witness_look_at_processes(void)
{
    static const char *const files[] = {"stat", "status", "maps", "cmdline", "statm"};
    DIR *d = opendir("/proc");
    if (!d)
        return "no /proc";
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
            char path[300], buf[4096];
            snprintf(path, sizeof(path), "/proc/%s/%s", e->d_name, files[i]);
            int fd = open(path, O_RDONLY);
            if (fd < 0)
                continue;
            while (read(fd, buf, sizeof(buf)) > 0)
                ;
            close(fd);
        }
    }
    closedir(d);
    return NULL;
}

static inline const char *witness_check(uint64_t *const secrets[3], int file, char *const path)
{
    for (int i = 0; i < 3; i++)
        if (!secret_is_whole(secrets[i], (uint64_t)(i + 77)))
            return "the witness's memory changed";
    // A change of a file's size looks at every address space.
    if (ftruncate(file, 1 << 20) < 0 || ftruncate(file, SECRET_PAGES * 4096) < 0)
        return "the witness can't change its file";
    struct stat st;
    if (stat(path, &st) < 0 || st.st_size != SECRET_PAGES * 4096)
        return "the witness's file is wrong";
    void *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return "the witness gets no memory";
    memset(m, 1, 1 << 20);
    munmap(m, 1 << 20);
    pid_t pid = fork();
    if (pid < 0)
        return "the witness can't fork";
    if (pid == 0)
        _exit(7);
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
        return "a child of the witness ended wrongly";
    return witness_look_at_processes();
}

static inline void witness_main(int in, int out)
{
    uint64_t *secrets[3];
    char path[] = "/tmp/witness-XXXXXX";
    int file = mkstemp(path);
    int size = SECRET_PAGES * 4096;
    if (file < 0 || ftruncate(file, size) < 0)
        _exit(1);
    secrets[0] = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    secrets[1] = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    secrets[2] = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    for (int i = 0; i < 3; i++)
        fill_secret(secrets[i], (uint64_t)(i + 77));
    char c;
    while (read(in, &c, 1) == 1) {
        const char *wrong = witness_check(secrets, file, path);
        char text[100];
        snprintf(text, sizeof(text), "%s", wrong ? wrong : "fine");
        if (write(out, text, sizeof(text)) != sizeof(text))
            break;
    }
    unlink(path);
    _exit(0);
}

static int witness_in, witness_out;
static pid_t witness_pid;

static inline void start_witness(void)
{
    int a[2], b[2];
    if (pipe2(a, O_CLOEXEC) < 0 || pipe2(b, O_CLOEXEC) < 0)
        abort();
    witness_pid = fork();
    if (witness_pid == 0) {
        close(a[1]);
        close(b[0]);
        witness_main(a[0], b[1]);
    }
    close(a[0]);
    close(b[1]);
    witness_in = a[1];
    witness_out = b[0];
}

// NULL when the witness is well.
static inline const char *ask_witness(void)
{
    static char text[100];
    struct pollfd p = {.fd = witness_out, .events = POLLIN};
    if (write(witness_in, "?", 1) != 1)
        return "the witness is gone";
    if (poll(&p, 1, (KILL_SECONDS + 20) * 1000) != 1)
        return "the witness hangs";
    if (read(witness_out, text, sizeof(text)) != sizeof(text))
        return "the witness died";
    return strcmp(text, "fine") ? text : NULL;
}

// ---- Running ----

// Waits until the deadline; true with the status when pid ended.
static inline bool wait_until(pid_t pid, double deadline, int *status)
{
    unsigned pause_us = 200;
    for (;;) {
        pid_t r = waitpid(pid, status, WNOHANG);
        if (r == pid)
            return true;
        if (r < 0 || seconds_now() > deadline)
            return false;
        usleep(pause_us);
        if (pause_us < 20000)
            pause_us *= 2;
    }
}

// Runs f in a process of its own for at most `seconds`. The wait status, or -1 with *why set: it can't be killed.
static inline int run_alone(void (*f)(void), double seconds, char why[200])
{
    int p[2], status;
    if (pipe2(p, O_CLOEXEC) < 0)
        abort();
    why[0] = 0;
    pid_t pid = fork();
    if (pid < 0) {
        snprintf(why, 200, "fork: %s", strerror(errno));
        close(p[0]);
        close(p[1]);
        return -1;
    }
    if (pid == 0) {
        setpgid(0, 0);
        if (witness_in >= 0) {
            close(witness_in);
            close(witness_out);
        }
        witness_in = witness_out = -1;
        breach_fd = p[1];
        f();
        _exit(0);
    }
    close(p[1]);
    bool ended = wait_until(pid, seconds_now() + seconds, &status);
    if (!ended) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        ended = wait_until(pid, seconds_now() + KILL_SECONDS, &status);
        if (!ended)
            snprintf(why, 200, "it can't be killed");
    }
    kill(-pid, SIGKILL); // what it has forked
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) == BREACH_STATUS) {
        fcntl(p[0], F_SETFL, O_NONBLOCK);
        ssize_t n = read(p[0], why, 199);
        why[n > 0 ? n : 0] = 0;
    }
    close(p[0]);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return ended ? status : -1;
}

static inline void describe(int status, char out[60])
{
    if (WIFSIGNALED(status))
        snprintf(out, 60, "signal %d", WTERMSIG(status));
    else
        snprintf(out, 60, "exit %d", WEXITSTATUS(status));
}

static inline int attack_main(const struct attack *attacks, unsigned count, int argc, char **argv)
{
    if (getauxval(AT_SYSINFO_EHDR) != STUB_VDSO) {
        puts("skip: runs inside a sandbox only");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    start_witness();
    int failed = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct attack *a = &attacks[i];
        char why[200], how[60] = "";
        bool wanted = argc < 2;
        for (int n = 1; n < argc; n++)
            wanted = wanted || !strcmp(argv[n], a->name);
        if (!wanted)
            continue;
        double start = seconds_now();
        int status = run_alone(a->run, a->seconds, why);
        if (status != -1)
            describe(status, how);
        const char *witness = ask_witness();
        if (!why[0] && (a->flags & ATTACK_MUST_DIE) && !(status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
            snprintf(why, sizeof(why), "it was not killed");
        bool bad = status == -1 || why[0] || witness;
        printf("%s %s (%s, %.1f s)%s%s%s%s\n", bad ? "FAIL" : "ok", a->name, how, seconds_now() - start, why[0] ? ": " : "",
               why, witness ? "; " : "", witness ? witness : "");
        fflush(stdout);
        failed += bad;
        if (witness && strcmp(witness, "the witness hangs") != 0) {
            kill(witness_pid, SIGKILL);
            start_witness();
        } else if (witness) {
            break;
        }
    }
    return failed != 0;
}
