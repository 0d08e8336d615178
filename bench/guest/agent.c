/*
 * Runs one command inside a sandbox and marks its beginning and end for whoever measures outside.
 *
 *   agent [--setup SCRIPT] [--repeat N] -- COMMAND...
 *   agent --bomb LIMIT_MIB      takes memory until it is killed, or until the limit
 *   agent --hog                 uses one CPU for ever: the busy neighbour
 *
 * Prints "@begin", waits for a line on standard input, runs the command with its standard output
 * in a pipe, prints "@end", waits again, and prints one JSON line: exit status, time by the
 * sandbox's own clock, size and hash (FNV-1a, 64 bits) of the output, and its first bytes. The
 * agent is PID 1 of the container and reaps what the command leaves behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT_OUTPUT 2000

struct outcome {
    int status;
    uint64_t ns;
    uint64_t bytes;
    uint64_t hash;
    size_t kept;
    char output[KEPT_OUTPUT];
};

extern char **environ;

static void die(const char *what)
{
    fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
    exit(125);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void write_all(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("write");
        text += n;
        size -= (size_t)n;
    }
}

static void mark(const char *word)
{
    write_all(word, strlen(word));
    char byte;
    do {
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("nobody answers the mark");
    } while (byte != '\n');
}

static int wait_for(pid_t pid)
{
    int status = 0;
    for (;;) {
        int any;
        pid_t got = waitpid(-1, &any, 0);
        if (got == pid)
            status = any;
        if (got == pid || (got < 0 && errno != EINTR))
            return status;
    }
}

static void take_output(int fd, struct outcome *o)
{
    static char buffer[65536];
    for (;;) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("read");
        if (n == 0)
            return;
        for (ssize_t i = 0; i < n; i++) {
            o->hash = (o->hash ^ (uint8_t)buffer[i]) * 0x100000001b3u;
            if (o->kept < sizeof o->output)
                o->output[o->kept++] = buffer[i];
        }
        o->bytes += (uint64_t)n;
    }
}

static void run_once(char **command, struct outcome *o)
{
    int channel[2];
    if (pipe2(channel, O_CLOEXEC) != 0)
        die("pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, channel[1], 1);
    pid_t pid;
    errno = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
    if (errno != 0)
        die(command[0]);
    posix_spawn_file_actions_destroy(&actions);
    close(channel[1]);
    take_output(channel[0], o);
    close(channel[0]);
    int status = wait_for(pid);
    if (o->status == 0)
        o->status = status;
}

static void print_outcome(const struct outcome *o)
{
    static char line[KEPT_OUTPUT * 6 + 512];
    size_t used = (size_t)snprintf(
        line, sizeof line,
        "{\"exit\": %d, \"signal\": %d, \"ns\": %llu, \"bytes\": %llu, \"hash\": \"%016llx\", "
        "\"output\": \"",
        WIFEXITED(o->status) ? WEXITSTATUS(o->status) : -1,
        WIFSIGNALED(o->status) ? WTERMSIG(o->status) : 0, (unsigned long long)o->ns,
        (unsigned long long)o->bytes, (unsigned long long)o->hash);
    for (size_t i = 0; i < o->kept; i++) {
        unsigned char c = (unsigned char)o->output[i];
        if (c < ' ' || c == '"' || c == '\\' || c >= 127)
            used += (size_t)snprintf(line + used, sizeof line - used, "\\u%04x", c);
        else
            line[used++] = (char)c;
    }
    used += (size_t)snprintf(line + used, sizeof line - used, "\"}\n");
    write_all(line, used);
}

static int take_memory(unsigned long limit_mib)
{
    const size_t step = 1024 * 1024;
    for (unsigned long i = 0; i < limit_mib; i++) {
        void *memory =
            mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            printf("refused after %lu MiB\n", i);
            return 3;
        }
        memset(memory, 0x5a, step);
    }
    printf("took all %lu MiB\n", limit_mib);
    return 4;
}

static void hog(void)
{
    for (volatile uint64_t i = 0;; i = i + 1)
        ;
}

int main(int argc, char **argv)
{
    const char *setup = NULL;
    unsigned long repeat = 1;
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i += 2) {
        if (strcmp(argv[i], "--hog") == 0)
            hog();
        if (i + 1 >= argc)
            break;
        if (strcmp(argv[i], "--bomb") == 0)
            return take_memory(strtoul(argv[i + 1], NULL, 10));
        if (strcmp(argv[i], "--setup") == 0)
            setup = argv[i + 1];
        else if (strcmp(argv[i], "--repeat") == 0)
            repeat = strtoul(argv[i + 1], NULL, 10);
        else
            break;
    }
    if (i + 1 >= argc || strcmp(argv[i], "--") != 0) {
        fputs("usage: agent [--setup SCRIPT] [--repeat N] -- COMMAND...\n", stderr);
        return 125;
    }

    static struct outcome o = {.hash = 0xcbf29ce484222325u};
    if (setup != NULL) {
        static struct outcome ignored;
        char *script[] = {"/bin/sh", "-c", (char *)(uintptr_t)setup, NULL};
        run_once(script, &ignored);
        if (ignored.status != 0) {
            fprintf(stderr, "agent: the set-up failed: %.*s\n", (int)ignored.kept, ignored.output);
            return 124;
        }
    }
    mark("@begin\n");
    uint64_t start = now_ns();
    for (unsigned long k = 0; k < repeat; k++)
        run_once(argv + i + 1, &o);
    o.ns = now_ns() - start;
    mark("@end\n");
    print_outcome(&o);
    return 0;
}
