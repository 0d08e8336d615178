/*
 * Helpers for the terminal tests: a pair of ends, terminal modes, and a child that leads a session
 * with the pair's slave as its controlling terminal.
 */
#pragma once

#include "scratch.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <termios.h>

struct pty {
    int master, slave;
    char name[64];
};

static inline struct pty pty_open(void)
{
    struct pty p;
    int number = -1, zero = 0;

    p.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(p.master >= 0);
    CHECK_EQ(ioctl(p.master, TIOCSPTLCK, &zero), 0);
    CHECK_EQ(ioctl(p.master, TIOCGPTN, &number), 0);
    (void)snprintf(p.name, sizeof(p.name), "/dev/pts/%d", number);
    p.slave = open(p.name, O_RDWR | O_NOCTTY);
    CHECK(p.slave >= 0);
    return p;
}

static inline void pty_raw(int fd)
{
    struct termios t;

    CHECK_EQ(tcgetattr(fd, &t), 0);
    cfmakeraw(&t);
    CHECK_EQ(tcsetattr(fd, TCSANOW, &t), 0);
}

/* Changes local flags. */
static inline void pty_lflag(int fd, tcflag_t on, tcflag_t off)
{
    struct termios t;

    CHECK_EQ(tcgetattr(fd, &t), 0);
    t.c_lflag = (t.c_lflag | on) & ~off;
    CHECK_EQ(tcsetattr(fd, TCSANOW, &t), 0);
}

static inline void type(int master, const char *text)
{
    CHECK_EQ(write(master, text, strlen(text)), (ssize_t)strlen(text));
}

/* Reads exactly the text that must come. */
static inline void expect(int fd, const char *text)
{
    char buf[512];
    size_t want = strlen(text), have = 0;

    CHECK(want < sizeof(buf));
    while (have < want) {
        ssize_t n = read(fd, buf + have, want - have);

        CHECK(n > 0);
        have += (size_t)n;
    }
    buf[have] = '\0';
    CHECK_STR(buf, text);
}

/* The terminal works on input a little later on a busy machine: waits until it can be read. */
static inline bool readable_soon(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 10000) == 1;
}

/* In a child: becomes the leader of a session whose terminal is the slave. */
static inline void lead_session(struct pty *p)
{
    CHECK(setsid() == getpid());
    CHECK_EQ(ioctl(p->slave, TIOCSCTTY, 0), 0);
}
