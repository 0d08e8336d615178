/*
 * Helpers for the guest tests that need files: the subtest's fresh directory as working directory,
 * whole-file reads and writes, and children that run as another user.
 *
 * Everything here is static inline so that each test program stays one source file. TMPDIR picks
 * the file system under test; the default is /tmp.
 */
#pragma once

#include "guest-test.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* A user and a group that own nothing on the machine. */
#define OTHER_UID 12345
#define OTHER_GID 12346
#define THIRD_UID 23456
#define THIRD_GID 23457

/* The tests pass wrong sizes and pointers on purpose. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Wnonnull"
#endif

/* Changes into the subtest's fresh directory (mode 0755) and returns its absolute path. */
static inline const char *scratch(void)
{
    CHECK_EQ(chdir(gt_tmpdir()), 0);
    (void)umask(022);
    return gt_tmpdir();
}

static inline void put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CHECK_EQ(close(fd), 0);
}

/* Reads up to size - 1 bytes and terminates them; returns how many. Works for /proc files. */
static inline ssize_t get_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t have = 0;

    if (fd < 0)
        return -1;
    while (have < size - 1) {
        ssize_t n = read(fd, buf + have, size - 1 - have);

        if (n < 0) {
            int saved = errno;

            (void)close(fd);
            errno = saved;
            return -1;
        }
        if (n == 0)
            break;
        have += (size_t)n;
    }
    buf[have] = '\0';
    (void)close(fd);
    return (ssize_t)have;
}

static inline bool file_is(const char *path, const char *text)
{
    char buf[4096];
    ssize_t n = get_file(path, buf, sizeof(buf));

    return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

/* Waits for one child and requires that it exited with 0 (a failed CHECK in it exits otherwise). */
static inline void wait_ok(pid_t pid)
{
    CHECK_EXIT(pid, 0);
}

/* Drops every privilege: groups, group and user id, for good. */
static inline void become(uid_t uid, gid_t gid)
{
    CHECK_EQ(setgroups(0, NULL), 0);
    CHECK_EQ(setresgid(gid, gid, gid), 0);
    CHECK_EQ(setresuid(uid, uid, uid), 0);
}

/* Runs fn in a child that is another user, and requires success. */
static inline void as_user(uid_t uid, gid_t gid, void (*fn)(void))
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        become(uid, gid);
        fn();
        _exit(atomic_load(&gt_failed) ? 1 : 0);
    }
    wait_ok(pid);
}

/* The same without a change of user: for tests that alter what a process cannot get back. */
static inline void in_child(void (*fn)(void))
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        fn();
        _exit(atomic_load(&gt_failed) ? 1 : 0);
    }
    wait_ok(pid);
}

/* Whether programs cannot be run from here, which access(X_OK) says too. */
static inline bool noexec_here(void)
{
    struct statvfs sv;

    return statvfs(".", &sv) == 0 && (sv.f_flag & ST_NOEXEC);
}

static inline bool fd_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static inline bool fd_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, 0) == 1 && (p.revents & events) != 0;
}
