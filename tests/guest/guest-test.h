// Harness of the guest tests: one program per file, many named subtests in it.
//
// A guest test is a plain static C program. It must pass on Linux itself, which is the judge, and then
// inside the sandbox. This header holds main(): a test file defines subtests with TEST() and nothing else.
//
//   prog            run every subtest, each in a child with a time limit
//   prog -l         list the subtests
//   prog -n [NAME]  do not fork: run them in this process (while fork does not work yet)
//   prog -f NAME    run one, in a child
//   prog NAME       run one in this process, for a debugger
//   prog -xENTRY    run an ENTRY(): the program that an exec test started (see gt_exec_args)
//
// Every result is one line, "# name: ok", "# name: skip reason" or "# name: FAIL file:line text"; the last
// line is "# total: N ok, N FAIL, N skip". Exit status: 0 nothing failed, 1 something did, 77 all skipped.
//
// CHECK* end the subtest (in a child of it: that child, with status 1) at the first failure. EXPECT* report
// and go on: use them for matrices. Output goes out by single write() calls, so it survives fork and _exit.
//
// GT_INSIDE is set by run.sh inside the sandbox. LATER() and NEEDS() skip there, by name and with the reason, what Caisson
// doesn't have yet; on Linux they do nothing.
//
// Rules for tests: no tight upper bounds on time, never sleep to wait for an event (gt_wait_state, pipes
// and futexes are there), put files in gt_tmpdir() only, leave nothing behind.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GT_UNUSED __attribute__((unused))
#define GT_SKIPPED 77
#define GT_DEFAULT_TIMEOUT 30
#define GT_COUNT(a) (sizeof(a) / sizeof((a)[0]))

// An address that no mapping covers, hidden from the compiler's own checks.
static inline void *gt_opaque(uintptr_t address)
{
    __asm__("" : "+r"(address));
    return (void *)address;
}
#define GT_BAD gt_opaque(8)

struct gt_test {
    const char *name;
    void (*run)(void);
    int line;
    int timeout;
    struct gt_test *next;
};

struct gt_entry {
    const char *name;
    int (*run)(int argc, char **argv);
    struct gt_entry *next;
};

static struct gt_test *gt_tests, **gt_tests_end = &gt_tests;
static struct gt_entry *gt_entries;
static const char *(*gt_needs)(void);    // NEEDS(): what this file misses here
static const struct gt_test *gt_current;
static char gt_self[PATH_MAX];    // path of this program, for exec tests
static char gt_dir[PATH_MAX];     // this run's scratch directory; made when first asked for
static sigjmp_buf gt_abort;       // where a failed CHECK goes when the subtest runs without a child
static pid_t gt_inline_tid;       // thread that may use gt_abort; 0 when the subtest has a child of its own
static atomic_int gt_failed;      // an EXPECT failed
static volatile pid_t gt_child;   // the child that runs the subtest
static volatile sig_atomic_t gt_expired;

// Defines a subtest. TEST_TIMEOUT gives it another limit than GT_DEFAULT_TIMEOUT seconds.
#define TEST_TIMEOUT(id, seconds)                                                                        \
    static void gt_run_##id(void);                                                                       \
    __attribute__((constructor)) static void gt_add_##id(void)                                           \
    {                                                                                                    \
        static struct gt_test t = {#id, gt_run_##id, __LINE__, seconds, NULL};                           \
        gt_add_test(&t);                                                                                 \
    }                                                                                                    \
    static void gt_run_##id(void)
#define TEST(id) TEST_TIMEOUT(id, GT_DEFAULT_TIMEOUT)

// Defines what `prog -xid` does: argc and argv are main's; the value returned is the exit status.
#define ENTRY(id)                                                                                        \
    static int gt_entry_##id(int argc, char **argv);                                                     \
    __attribute__((constructor)) static void gt_add_entry_##id(void)                                     \
    {                                                                                                    \
        static struct gt_entry e = {#id, gt_entry_##id, NULL};                                           \
        e.next = gt_entries;                                                                             \
        gt_entries = &e;                                                                                 \
    }                                                                                                    \
    static int gt_entry_##id(int argc GT_UNUSED, char **argv GT_UNUSED)

GT_UNUSED static void gt_add_test(struct gt_test *t)
{
    *gt_tests_end = t;
    gt_tests_end = &t->next;
}

__attribute__((format(printf, 1, 2))) GT_UNUSED static void gt_say(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text) - 1, format, args);
    va_end(args);
    if (size < 0)
        return;
    if ((size_t)size > sizeof(text) - 2)
        size = sizeof(text) - 2;
    text[size++] = '\n';
    if (write(STDOUT_FILENO, text, size) < 0)
        return;
}

static const char *gt_name(void)
{
    return gt_current ? gt_current->name : "entry";
}

// Ends the subtest, or the child of it that calls this.
__attribute__((noreturn)) GT_UNUSED static void gt_stop(int status)
{
    if (gt_inline_tid != 0 && syscall(SYS_gettid) == gt_inline_tid)
        siglongjmp(gt_abort, status == 0 ? -1 : status);
    _exit(status);
}

__attribute__((format(printf, 4, 5))) GT_UNUSED static void gt_fail(bool fatal, const char *file, int line,
                                                                    const char *format, ...)
{
    int saved = errno;
    char text[768];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *base = strrchr(file, '/');
    gt_say("# %s: FAIL %s:%d %s", gt_name(), base ? base + 1 : file, line, text);
    atomic_store(&gt_failed, 1);
    errno = saved;
    if (fatal)
        gt_stop(1);
}

static inline const char *gt_errname(int err)
{
    const char *name = strerrorname_np(err);
    return name ? name : "?";
}

// The shared bodies; `fatal` tells CHECK from EXPECT.
#define GT_TRUE(fatal, cond)                                                                             \
    do {                                                                                                 \
        if (!(cond))                                                                                     \
            gt_fail(fatal, __FILE__, __LINE__, "%s (errno %s)", #cond, gt_errname(errno));               \
    } while (0)
#define GT_EQ(fatal, a, b)                                                                               \
    do {                                                                                                 \
        long long gt_a = (long long)(a), gt_b = (long long)(b);                                          \
        if (gt_a != gt_b)                                                                                \
            gt_fail(fatal, __FILE__, __LINE__, "%s == %s: got %lld (%#llx) want %lld (%#llx) errno %s",  \
                    #a, #b, gt_a, gt_a, gt_b, gt_b, gt_errname(errno));                                  \
    } while (0)
#define GT_ERRNO(fatal, expr, want)                                                                      \
    do {                                                                                                 \
        errno = 0;                                                                                       \
        long long gt_r = (long long)(expr);                                                              \
        int gt_e = errno;                                                                                \
        if (gt_r != -1 || gt_e != (want))                                                                \
            gt_fail(fatal, __FILE__, __LINE__, "%s: got %lld %s want -1 %s", #expr, gt_r,                \
                    gt_r == -1 ? gt_errname(gt_e) : "(success)", gt_errname(want));                      \
    } while (0)
#define GT_STR(fatal, a, b)                                                                              \
    do {                                                                                                 \
        const char *gt_a = (a), *gt_b = (b);                                                             \
        if (gt_a == NULL || gt_b == NULL || strcmp(gt_a, gt_b) != 0)                                     \
            gt_fail(fatal, __FILE__, __LINE__, "%s == %s: got \"%s\" want \"%s\"", #a, #b,               \
                    gt_a ? gt_a : "(null)", gt_b ? gt_b : "(null)");                                     \
    } while (0)

#define CHECK(cond) GT_TRUE(true, cond)
#define CHECK_EQ(a, b) GT_EQ(true, a, b)            // as signed integers, got then want
#define CHECK_ERRNO(expr, err) GT_ERRNO(true, expr, err)
#define CHECK_STR(a, b) GT_STR(true, a, b)
#define EXPECT(cond) GT_TRUE(false, cond)
#define EXPECT_EQ(a, b) GT_EQ(false, a, b)
#define EXPECT_ERRNO(expr, err) GT_ERRNO(false, expr, err)
#define EXPECT_STR(a, b) GT_STR(false, a, b)

// The value of a call that must not return -1.
#define OK(expr)                                                                                         \
    ({                                                                                                   \
        __typeof__(expr) gt_v = (expr);                                                                  \
        if ((long long)gt_v == -1)                                                                       \
            gt_fail(true, __FILE__, __LINE__, "%s: got -1 %s", #expr, gt_errname(errno));                \
        gt_v;                                                                                            \
    })

// The value of a pthread-like call must be 0, or `err`.
#define CHECK_RC(expr, err)                                                                              \
    do {                                                                                                 \
        int gt_r = (expr);                                                                               \
        if (gt_r != (err))                                                                               \
            gt_fail(true, __FILE__, __LINE__, "%s: got %s want %s", #expr, gt_errname(gt_r),             \
                    gt_errname(err));                                                                    \
    } while (0)

#define FAIL(...) gt_fail(true, __FILE__, __LINE__, __VA_ARGS__)
// Ends the subtest as not applicable here. Only for what the machine lacks, never for what fails.
#define SKIP(...)                                                                                        \
    do {                                                                                                 \
        char gt_why[256];                                                                                \
        snprintf(gt_why, sizeof(gt_why), __VA_ARGS__);                                                   \
        gt_say("# %s: skip %s", gt_name(), gt_why);                                                      \
        gt_stop(GT_SKIPPED);                                                                             \
    } while (0)

GT_UNUSED static bool gt_inside(void)
{
    return getenv("GT_INSIDE") != NULL;
}

// Skips the rest of the subtest inside the sandbox: for a feature that is not built yet.
#define LATER(...)                                                                                       \
    do {                                                                                                 \
        if (gt_inside())                                                                                 \
            SKIP(__VA_ARGS__);                                                                           \
    } while (0)

// The same for a whole file, where the expression (a probe of the feature) is false: NEEDS(expression, "reason")
#define NEEDS(expression, reason)                                                                        \
    static const char *gt_missing_feature(void)                                                          \
    {                                                                                                    \
        return gt_inside() && !(expression) ? (reason) : NULL;                                           \
    }                                                                                                    \
    __attribute__((constructor)) static void gt_add_needs(void)                                          \
    {                                                                                                    \
        gt_needs = gt_missing_feature;                                                                   \
    }

// Forks; in the child runs the statement that follows and ends with status 0 (or 1 if an EXPECT failed):
//     pid_t pid = FORK({ CHECK(...); });
#define FORK(...)                                                                                        \
    ({                                                                                                   \
        pid_t gt_pid = OK(fork());                                                                       \
        if (gt_pid == 0) {                                                                               \
            gt_inline_tid = 0;                                                                           \
            atomic_store(&gt_failed, 0);                                                                 \
            __VA_ARGS__;                                                                                 \
            _exit(atomic_load(&gt_failed) ? 1 : 0);                                                      \
        }                                                                                                \
        gt_pid;                                                                                          \
    })

GT_UNUSED static int gt_waitpid(pid_t pid)
{
    int status = 0;
    pid_t got;
    do
        got = waitpid(pid, &status, __WALL);
    while (got < 0 && errno == EINTR);
    return got == pid ? status : -1;
}

// Reaps a child that must have ended with this exit status, or by this signal.
#define CHECK_EXIT(pid, code)                                                                            \
    do {                                                                                                 \
        int gt_s = gt_waitpid(pid);                                                                      \
        if (!WIFEXITED(gt_s) || WEXITSTATUS(gt_s) != (code))                                             \
            gt_fail(true, __FILE__, __LINE__, "wait status of %s: got %#x want exit %d", #pid, gt_s,     \
                    (int)(code));                                                                        \
    } while (0)
#define CHECK_KILLED(pid, sig)                                                                           \
    do {                                                                                                 \
        int gt_s = gt_waitpid(pid);                                                                      \
        if (!WIFSIGNALED(gt_s) || WTERMSIG(gt_s) != (sig))                                               \
            gt_fail(true, __FILE__, __LINE__, "wait status of %s: got %#x want signal %d", #pid, gt_s,   \
                    (int)(sig));                                                                         \
    } while (0)

GT_UNUSED static int64_t gt_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

GT_UNUSED static int64_t gt_now_ms(void)
{
    return gt_now_ns() / 1000000;
}

GT_UNUSED static void gt_msleep(int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        continue;
}

// Reads a small text file; returns its size or -1. The result ends with a zero byte.
GT_UNUSED static ssize_t gt_read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
        used += n;
    text[used] = 0;
    close(fd);
    return used;
}

GT_UNUSED static int gt_write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, data, size);
    close(fd);
    return n == (ssize_t)size ? 0 : -1;
}

// State letter of a task by its thread id, or 0.
GT_UNUSED static char gt_state(pid_t tid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", tid);
    if (gt_read_file(path, text, sizeof(text)) <= 0)
        return 0;
    char *end = strrchr(text, ')');
    return end && end[1] ? end[2] : 0;
}

// Waits until a task is in one of these states ("S": asleep in a call). Gives up quietly after two
// seconds: what follows is then tested without that certainty.
GT_UNUSED static void gt_wait_state(pid_t tid, const char *states)
{
    int64_t end = gt_now_ms() + 2000;
    for (;;) {
        char state = gt_state(tid);
        if ((state && strchr(states, state)) || gt_now_ms() > end)
            return;
        if (state == 0 && access("/proc/self/stat", R_OK) != 0) {
            gt_msleep(100);    // nobody to ask
            return;
        }
        gt_msleep(2);
    }
}

// The scratch directory, mode 0755, removed after the subtest.
GT_UNUSED static const char *gt_tmpdir(void)
{
    if (mkdir(gt_dir, 0755) < 0 && errno != EEXIST)
        gt_fail(true, __FILE__, __LINE__, "mkdir %s: %s", gt_dir, gt_errname(errno));
    chmod(gt_dir, 0755);
    return gt_dir;
}

// A path in it. Four results are valid at a time.
__attribute__((format(printf, 1, 2))) GT_UNUSED static const char *gt_path(const char *format, ...)
{
    static char paths[4][PATH_MAX * 2];
    static unsigned next;
    char *path = paths[next++ % 4];
    char name[PATH_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    snprintf(path, sizeof(paths[0]), "%s/%s", gt_tmpdir(), name);
    return path;
}

// A page-aligned anonymous mapping shared with children.
GT_UNUSED static void *gt_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static int gt_remove_one(const char *path, const struct stat *st GT_UNUSED, int type GT_UNUSED,
                         struct FTW *ftw GT_UNUSED)
{
    (void)remove(path);
    return 0;
}

static void gt_clean(void)
{
    if (access(gt_dir, F_OK) == 0)
        nftw(gt_dir, gt_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void gt_on_alarm(int sig GT_UNUSED)
{
    if (gt_child == 0) {
        static const char text[] = "# FAIL timed out\n";
        if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
            _exit(2);
        _exit(1);
    }
    gt_expired = 1;
    kill(gt_child, SIGKILL);
}

// GT_TIMEOUT_SCALE multiplies every limit, for slow machines and debug builds.
static int gt_limit(const struct gt_test *t)
{
    const char *scale = getenv("GT_TIMEOUT_SCALE");
    int factor = scale ? atoi(scale) : 1;
    return t->timeout * (factor > 0 ? factor : 1);
}

static int gt_run_inline(const struct gt_test *t)
{
    struct sigaction sa = {.sa_handler = gt_on_alarm};
    sigaction(SIGALRM, &sa, NULL);
    gt_child = 0;
    gt_current = t;
    atomic_store(&gt_failed, 0);
    gt_inline_tid = syscall(SYS_gettid);
    alarm(gt_limit(t));
    int status = sigsetjmp(gt_abort, 1);
    if (status == 0)
        t->run();
    alarm(0);
    if (status != GT_SKIPPED && (status != 0 || atomic_load(&gt_failed)))
        status = 1;
    return status;
}

static int gt_run_forked(const struct gt_test *t)
{
    struct sigaction sa = {.sa_handler = gt_on_alarm}, old;
    gt_expired = 0;
    gt_current = t;
    pid_t pid = fork();
    if (pid < 0) {
        gt_say("# %s: FAIL fork: %s", t->name, gt_errname(errno));
        return 1;
    }
    if (pid == 0) {
        setpgid(0, 0);
        t->run();
        _exit(atomic_load(&gt_failed) ? 1 : 0);
    }
    setpgid(pid, pid);
    gt_child = pid;
    sigaction(SIGALRM, &sa, &old);
    alarm(gt_limit(t));
    int status = gt_waitpid(pid);
    alarm(0);
    sigaction(SIGALRM, &old, NULL);
    kill(-pid, SIGKILL);
    gt_child = 0;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (gt_expired)
        gt_say("# %s: FAIL timed out after %d s", t->name, gt_limit(t));
    else
        gt_say("# %s: FAIL killed by signal %d", t->name, WTERMSIG(status));
    return 1;
}

static int gt_run_all(char **names, bool do_fork)
{
    int ok = 0, failed = 0, skipped = 0;
    const char *missing = gt_needs ? gt_needs() : NULL;
    for (const struct gt_test *t = gt_tests; t; t = t->next) {
        bool wanted = names[0] == NULL;
        for (char **n = names; *n; n++)
            wanted |= strcmp(*n, t->name) == 0;
        if (!wanted)
            continue;
        if (missing) {
            gt_say("# %s: skip %s", t->name, missing);
            skipped++;
            continue;
        }
        int status = do_fork ? gt_run_forked(t) : gt_run_inline(t);
        gt_clean();
        if (status == 0) {
            gt_say("# %s: ok", t->name);
            ok++;
        } else if (status == GT_SKIPPED) {
            skipped++;
        } else {
            // The reason was printed where it happened; a test that called exit by itself has none.
            if (status != 1)
                gt_say("# %s: FAIL exit status %d", t->name, status);
            failed++;
        }
    }
    if (ok + failed + skipped == 0)
        gt_say("# FAIL no such subtest");
    gt_say("# total: %d ok, %d FAIL, %d skip", ok, failed, skipped);
    return failed != 0 || ok + skipped == 0 ? 1 : ok == 0 ? GT_SKIPPED : 0;
}

static void gt_find_self(const char *argv0)
{
    ssize_t n = readlink("/proc/self/exe", gt_self, sizeof(gt_self) - 1);
    if (n > 0)
        gt_self[n] = 0;
    else if (argv0 == NULL || realpath(argv0, gt_self) == NULL)
        gt_self[0] = 0;
    const char *base = strrchr(gt_self, '/');
    const char *tmp = getenv("TMPDIR");
    snprintf(gt_dir, sizeof(gt_dir), "%.512s/gt-%.255s-%d", tmp ? tmp : "/tmp", base ? base + 1 : gt_self,
             (int)getpid());
}

static void gt_reset_internal_signals(void)
{
    // The kernel's structure: handler (SIG_DFL is 0), flags, restorer, mask.
    const unsigned long by_default[4] = {0};
    for (int sig = 32; sig <= 33; sig++)
        syscall(SYS_rt_sigaction, sig, by_default, NULL, 8);
}

// As the first process of a PID namespace: run the tests in a child, so that they have an ordinary process's
// signals, and reap orphans, which otherwise would stay for ever.
static void gt_be_init(void)
{
    pid_t child = fork();
    if (child <= 0)
        return;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid == child)
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        if (pid < 0 && errno != EINTR)
            _exit(1);
    }
}

int main(int argc, char **argv)
{
    if (getpid() == 1 && (argc == 1 || strcmp(argv[1], "-n") != 0) && (argc < 2 || strncmp(argv[1], "-x", 2) != 0))
        gt_be_init();
    gt_find_self(argc > 0 ? argv[0] : NULL);
    if (argc > 1 && strncmp(argv[1], "-x", 2) == 0) {
        for (struct gt_entry *e = gt_entries; e; e = e->next)
            if (strcmp(e->name, argv[1] + 2) == 0)
                return e->run(argc, argv);
        gt_say("# no entry %s", argv[1]);
        return 1;
    }
    // glibc's posix_spawn, which make uses, leaves its two internal signals ignored in what it starts.
    gt_reset_internal_signals();
    bool do_fork = argc == 1;
    int first = 1;
    if (argc > 1 && strcmp(argv[1], "-l") == 0) {
        for (struct gt_test *t = gt_tests; t; t = t->next)
            printf("%s\n", t->name);
        return 0;
    }
    if (argc > 1 && (strcmp(argv[1], "-n") == 0 || strcmp(argv[1], "-f") == 0)) {
        do_fork = argv[1][1] == 'f';
        first = 2;
    }
    umask(022);
    return gt_run_all(argv + (first < argc ? first : argc), do_fork);
}
