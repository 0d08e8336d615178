/*
 * Runs one command and tells what it cost, from outside.
 *
 *   timed [--procs FILE]... [--cpu N] [--timeout SECONDS] [--unmount DIR] [--linger MS]
 *         --result FD -- COMMAND...
 *
 * --procs names cgroup.procs files; timed enters those cgroups before the command starts, so that
 * all that comes of the command is counted there. --cpu pins everything to one CPU. --unmount takes
 * a mount away from the command's view (in a mount namespace of its own). The result is one JSON
 * line on descriptor FD: wall time from just before the fork to the command's exit, its status, and
 * the resources of everything that it left behind: timed adopts orphans and waits for them, for as
 * long as --linger says (a second).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct options {
    int result_fd;
    unsigned timeout;
    unsigned linger_ms;
    char **command;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "timed: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void enter_cgroup(const char *procs)
{
    int fd = open(procs, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0\n", 2) != 2)
        die(procs);
    close(fd);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        die("sched_setaffinity");
}

static void hide_mount(const char *dir)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0 ||
        umount2(dir, MNT_DETACH) != 0)
        die(dir);
}

/* The first that is due: the end of a child (its pid), or the time (0). */
static pid_t wait_until(uint64_t deadline, int *status)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    for (;;) {
        pid_t pid = waitpid(-1, status, WNOHANG);
        if (pid != 0)
            return pid;
        uint64_t now = now_ns();
        if (now >= deadline)
            return 0;
        uint64_t rest = deadline - now;
        struct timespec patience = {(time_t)(rest / 1000000000u), (long)(rest % 1000000000u)};
        (void)sigtimedwait(&children, NULL, &patience);
    }
}

static int run(const struct options *options)
{
    sigset_t children, old;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, &old);
    uint64_t start = now_ns();
    pid_t main_pid = fork();
    if (main_pid < 0)
        die("fork");
    if (main_pid == 0) {
        sigprocmask(SIG_SETMASK, &old, NULL);
        execvp(options->command[0], options->command);
        fprintf(stderr, "timed: %s: %s\n", options->command[0], strerror(errno));
        _exit(127);
    }

    uint64_t deadline = start + options->timeout * 1000000000ull, end = 0;
    int main_status = 0;
    bool timed_out = false;
    for (;;) {
        int status;
        pid_t pid = wait_until(deadline, &status);
        if (pid < 0)
            break;
        if (pid == main_pid) {
            end = now_ns();
            main_status = status;
            deadline = end + options->linger_ms * 1000000ull;
        } else if (pid == 0) {
            if (end != 0)
                break;
            timed_out = true;
            kill(main_pid, SIGKILL);
            deadline = now_ns() + 5000000000u;
        }
    }
    if (end == 0)
        end = now_ns();

    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    dprintf(options->result_fd,
            "{\"wall_ns\": %llu, \"exit\": %d, \"signal\": %d, \"timed_out\": %s, "
            "\"user_us\": %lld, \"sys_us\": %lld, \"maxrss_kb\": %ld}\n",
            (unsigned long long)(end - start), WIFEXITED(main_status) ? WEXITSTATUS(main_status) : -1,
            WIFSIGNALED(main_status) ? WTERMSIG(main_status) : 0, timed_out ? "true" : "false",
            (long long)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec,
            (long long)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec, usage.ru_maxrss);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.result_fd = 2, .timeout = 3600, .linger_ms = 1000};
    int i = 1;
    for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--procs") == 0) {
            enter_cgroup(value);
        } else if (strcmp(argv[i], "--cpu") == 0) {
            pin(atoi(value));
        } else if (strcmp(argv[i], "--timeout") == 0) {
            options.timeout = (unsigned)atoi(value);
        } else if (strcmp(argv[i], "--linger") == 0) {
            options.linger_ms = (unsigned)atoi(value);
        } else if (strcmp(argv[i], "--unmount") == 0) {
            hide_mount(value);
        } else if (strcmp(argv[i], "--result") == 0) {
            options.result_fd = atoi(value);
            fcntl(options.result_fd, F_SETFD, FD_CLOEXEC);
        } else {
            break;
        }
    }
    if (i + 1 >= argc || strcmp(argv[i], "--") != 0) {
        fputs("usage: timed [OPTION VALUE]... -- COMMAND...\n", stderr);
        return 125;
    }
    options.command = argv + i + 1;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return run(&options);
}
