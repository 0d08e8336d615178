// What every unit test includes. A test of something that must end the process runs it in a child: expect_panic().
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slab.h"

// For cmocka_run_group_tests: the arena is made once per process.
static inline int setup_arena(void **state)
{
    (void)state;
    return arena_init(0, 1ull << 30);
}

// Runs f(arg) in a child, which has to end by panic() with text in the message.
static inline void expect_panic(void (*f)(void *), void *arg, const char *text)
{
    int fds[2], status;
    char out[4096];
    size_t size = 0;
    ssize_t n;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct log_config c = {.fd = fds[1], .level = LOG_ERROR, .component = "test"};
        log_init(&c);
        f(arg);
        _exit(0);
    }
    close(fds[1]);
    while (size < sizeof(out) - 1 && (n = read(fds[0], out + size, sizeof(out) - 1 - size)) > 0)
        size += (size_t)n;
    out[size] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 134 || !strstr(out, text))
        fail_msg("expected a panic with \"%s\", got status %d and: %s", text, WEXITSTATUS(status),
                 out);
}
