/*
 * Processes: fork, exec, pipes between two processes, signals.
 */
#define _GNU_SOURCE
#include "micro.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int reap(struct bench *b, pid_t pid, int code)
{
    int status = 0;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got != pid)
        return bench_fail(b, "waitpid of %ld returned %ld", (long)pid, (long)got);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        return bench_fail(b, "the child's status is %#x", (unsigned)status);
    return 0;
}

static int run_fork(struct bench *b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        int code = (int)(i & 63);
        pid_t pid = fork();
        if (pid < 0)
            return bench_fail(b, "fork");
        if (pid == 0)
            _exit(code);
        if (reap(b, pid, code) != 0)
            return -1;
    }
    return 0;
}

/* A function of its own: the child must not share a frame whose variables change. */
static __attribute__((noinline)) pid_t vfork_true(void)
{
    static char *const argv[] = {"true", NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        execv("/bin/true", argv);
        _exit(127);
    }
    return pid;
}

static int run_vfork_exec(struct bench *b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        pid_t pid = vfork_true();
        if (pid < 0)
            return bench_fail(b, "vfork");
        if (reap(b, pid, 0) != 0)
            return -1;
    }
    return 0;
}

static int run_spawn(struct bench *b, uint64_t n)
{
    char *const argv[] = {"true", NULL};
    for (uint64_t i = 0; i < n; i++) {
        pid_t pid;
        errno = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ);
        if (errno != 0)
            return bench_fail(b, "posix_spawn");
        if (reap(b, pid, 0) != 0)
            return -1;
    }
    return 0;
}

static int run_fork_exec(struct bench *b, uint64_t n)
{
    char *const argv[] = {"true", NULL};
    for (uint64_t i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return bench_fail(b, "fork");
        if (pid == 0) {
            execv("/bin/true", argv);
            _exit(127);
        }
        if (reap(b, pid, 0) != 0)
            return -1;
    }
    return 0;
}

struct pong {
    pid_t pid;
    int to, from;
};

static void pong_child(int in, int out)
{
    uint64_t expected = 0, value;
    while (read(in, &value, sizeof value) == (ssize_t)sizeof value) {
        if (value != expected++)
            _exit(1);
        value = ~value;
        if (write(out, &value, sizeof value) != (ssize_t)sizeof value)
            _exit(2);
    }
    _exit(0);
}

static int setup_pong(struct bench *b)
{
    int there[2], back[2];
    struct pong *pong = calloc(1, sizeof *pong);
    if (pong == NULL || pipe2(there, O_CLOEXEC) != 0 || pipe2(back, O_CLOEXEC) != 0)
        return bench_fail(b, "pipe");
    pong->pid = fork();
    if (pong->pid < 0)
        return bench_fail(b, "fork");
    if (pong->pid == 0) {
        close(there[1]);
        close(back[0]);
        pong_child(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    pong->to = there[1];
    pong->from = back[0];
    b->private_state = pong;
    return 0;
}

static int run_pong(struct bench *b, uint64_t n)
{
    struct pong *pong = b->private_state;
    static uint64_t next; /* the child counts along over all batches */
    for (uint64_t i = 0; i < n; i++) {
        uint64_t value = next, answer = 0;
        if (write(pong->to, &value, sizeof value) != (ssize_t)sizeof value)
            return bench_fail(b, "write to the pipe");
        if (read(pong->from, &answer, sizeof answer) != (ssize_t)sizeof answer)
            return bench_fail(b, "read from the pipe");
        if (answer != ~next)
            return bench_fail(b, "the wrong answer came back");
        next++;
    }
    return 0;
}

static void teardown_pong(struct bench *b)
{
    struct pong *pong = b->private_state;
    close(pong->to);
    close(pong->from);
    if (b->error[0] == '\0')
        reap(b, pong->pid, 0);
    else
        waitpid(pong->pid, NULL, 0);
    free(pong);
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int number)
{
    (void)number;
    signals_seen++;
}

static int setup_signal(struct bench *b)
{
    struct sigaction action = {.sa_handler = on_signal};
    if (sigaction(SIGUSR1, &action, NULL) != 0)
        return bench_fail(b, "sigaction");
    return 0;
}

static int run_signal(struct bench *b, uint64_t n)
{
    pid_t self = getpid();
    for (uint64_t i = 0; i < n; i++) {
        sig_atomic_t before = signals_seen;
        if (kill(self, SIGUSR1) != 0)
            return bench_fail(b, "kill");
        if (signals_seen != before + 1)
            return bench_fail(b, "the handler had not run when kill returned");
        if (before > 1000000)
            signals_seen = 0;
    }
    return 0;
}

static void teardown_signal(struct bench *b)
{
    (void)b;
    signal(SIGUSR1, SIG_DFL);
}

const struct row process_rows[] = {
    {"fork", "fork, exit, wait", NULL, run_fork, NULL, 0, 0},
    {"fork-exec", "fork, exec /bin/true, wait", NULL, run_fork_exec, NULL, 0, 0},
    {"vfork-exec", "vfork, exec /bin/true, wait", NULL, run_vfork_exec, NULL, 0, 0},
    {"spawn", "posix_spawn of /bin/true, wait", NULL, run_spawn, NULL, 0, 0},
    {"pipe-pong", "8 bytes to another process and back", setup_pong, run_pong, teardown_pong, 0,
     0},
    {"signal-self", "kill(self) with a handler", setup_signal, run_signal, teardown_signal, 0, 0},
    {0},
};
