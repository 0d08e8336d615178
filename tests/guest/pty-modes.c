/*
 * The line discipline in detail: echo of control characters and of erasing, columns, tabs, output
 * and input flags, literal next, reprint, end-of-line characters, the length of a line, UTF-8
 * erasing, termios2, and changes of mode with input waiting.
 */
#include "pty-util.h"

#include <linux/tty.h>

#ifndef IUTF8
#define IUTF8 0040000
#endif

static void set_flags(int fd, tcflag_t in_on, tcflag_t in_off, tcflag_t out_on, tcflag_t out_off)
{
    struct termios t;

    CHECK_EQ(tcgetattr(fd, &t), 0);
    t.c_iflag = (t.c_iflag | in_on) & ~in_off;
    t.c_oflag = (t.c_oflag | out_on) & ~out_off;
    CHECK_EQ(tcsetattr(fd, TCSANOW, &t), 0);
}

static void set_char(int fd, int which, cc_t value)
{
    struct termios t;

    CHECK_EQ(tcgetattr(fd, &t), 0);
    t.c_cc[which] = value;
    CHECK_EQ(tcsetattr(fd, TCSANOW, &t), 0);
}

static void nothing_more(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    CHECK_EQ(poll(&p, 1, 20), 0);
}

TEST(echo_of_control_characters)
{
    struct pty p = pty_open();

    type(p.master, "\x01\x02\x1b\n");
    expect(p.master, "^A^B^[\r\n");
    type(p.master, "\t\n");
    expect(p.master, "\t\r\n");
    pty_lflag(p.slave, 0, ECHOCTL);
    type(p.master, "\x01\n");
    expect(p.master, "\x01\r\n");
    nothing_more(p.master);
}

TEST(erase_is_visible)
{
    struct pty p = pty_open();

    type(p.master, "ab\x7f");
    expect(p.master, "ab\b \b");
    /* A control character took two columns. */
    type(p.master, "\x01\x7f");
    expect(p.master, "^A\b \b\b \b");
    /* At the start of the line there is nothing to erase. */
    type(p.master, "\x7f\x7f\x7f");
    expect(p.master, "\b \b");
    nothing_more(p.master);
    pty_lflag(p.slave, 0, ECHOE);
    type(p.master, "x\x7f");
    /* Without ECHOE the erase character itself is shown. */
    expect(p.master, "x^?");
}

TEST(kill_is_visible)
{
    struct pty p = pty_open();

    type(p.master, "abc\x15");
    expect(p.master, "abc\b \b\b \b\b \b");
    pty_lflag(p.slave, 0, ECHOKE);
    type(p.master, "abc\x15");
    expect(p.master, "abc^U\r\n");
    type(p.master, "ok\n");
    expect(p.slave, "ok\n");
}

TEST(erase_over_a_tab)
{
    struct pty p = pty_open();

    type(p.master, "ab\t\x7f");
    /* The tab took six columns. */
    expect(p.master, "ab\t\b\b\b\b\b\b");
    nothing_more(p.master);
}

TEST(word_erase_and_literal_and_reprint)
{
    struct pty p = pty_open();

    type(p.master, "one two \x17");
    expect(p.master, "one two \b \b\b \b\b \b\b \b");
    type(p.master, "\x16");
    expect(p.master, "^\b");
    type(p.master, "\x04");
    expect(p.master, "^D");
    type(p.master, "\x12");
    expect(p.master, "^R\r\none ^D");
    type(p.master, "\n");
    expect(p.slave, "one \x04\n");
}

TEST(without_iexten_they_are_text)
{
    struct pty p = pty_open();

    pty_lflag(p.slave, 0, IEXTEN | ECHO);
    type(p.master, "a b\x17\x16\x12\n");
    expect(p.slave, "a b\x17\x16\x12\n");
}

TEST(other_end_of_line_characters)
{
    struct pty p = pty_open();
    char buf[16];

    pty_lflag(p.slave, 0, ECHO);
    set_char(p.slave, VEOL, ';');
    set_char(p.slave, VEOL2, '!');
    type(p.master, "a;b!c\n");
    CHECK_EQ(read(p.slave, buf, 16), 2);
    CHECK_EQ(buf[1], ';');
    CHECK_EQ(read(p.slave, buf, 16), 2);
    CHECK_EQ(buf[1], '!');
    CHECK_EQ(read(p.slave, buf, 16), 2);
}

TEST(disabled_characters)
{
    struct pty p = pty_open();

    pty_lflag(p.slave, 0, ECHO);
    set_char(p.slave, VEOF, _POSIX_VDISABLE);
    set_char(p.slave, VERASE, _POSIX_VDISABLE);
    type(p.master, "x\x04y\x7fz\n");
    expect(p.slave, "x\x04y\x7fz\n");
    set_char(p.slave, VERASE, '#');
    type(p.master, "ab#c\n");
    expect(p.slave, "ac\n");
}

TEST(longest_line)
{
    struct pty p = pty_open();
    static char line[5000], back[5000];
    ssize_t n;

    pty_lflag(p.slave, 0, ECHO);
    memset(line, 'l', sizeof(line));
    for (size_t done = 0; done < sizeof(line);) {
        n = write(p.master, line + done, sizeof(line) - done);
        CHECK(n > 0);
        done += (size_t)n;
    }
    type(p.master, "\n");
    CHECK(readable_soon(p.slave));
    /* 4,095 bytes and the newline; what is more is dropped. */
    n = read(p.slave, back, sizeof(back));
    CHECK_EQ(n, 4096);
    CHECK_EQ(back[4095], '\n');
    CHECK_EQ(back[4094], 'l');
}

TEST(utf8_erase)
{
    struct pty p = pty_open();

    set_flags(p.slave, IUTF8, 0, 0, 0);
    type(p.master, "a\xc3\xa4\xe2\x82\xac\x7f\n");
    expect(p.slave, "a\xc3\xa4\n");
    set_flags(p.slave, 0, IUTF8, 0, 0);
    pty_lflag(p.slave, 0, ECHO);
    type(p.master, "a\xc3\xa4\x7f\n");
    expect(p.slave, "a\xc3\n");
}

TEST(output_columns)
{
    struct pty p = pty_open();

    set_flags(p.slave, 0, 0, XTABS, 0);
    CHECK_EQ(write(p.slave, "ab\tc\n\td\n", 8), 8);
    expect(p.master, "ab      c\r\n        d\r\n");
    set_flags(p.slave, 0, 0, ONOCR, XTABS);
    CHECK_EQ(write(p.slave, "\rx\r", 3), 3);
    expect(p.master, "x\r");
    set_flags(p.slave, 0, 0, ONLRET, ONLCR | ONOCR);
    CHECK_EQ(write(p.slave, "a\nb\r", 4), 4);
    expect(p.master, "a\nb\r");
    set_flags(p.slave, 0, 0, OLCUC, 0);
    CHECK_EQ(write(p.slave, "low", 3), 3);
    expect(p.master, "LOW");
}

TEST(input_translation)
{
    static const struct {
        tcflag_t flags;
        const char *in, *out;
    } rows[] = {{0, "a\rb\n", "a\rb\n"},     {ICRNL, "a\rb\n", "a\nb\n"},
                {INLCR, "a\rb\n", "a\rb\r"}, {ICRNL | INLCR, "\r\n", "\n\r"},
                {IGNCR, "a\rb\n", "ab\n"},   {IGNCR | ICRNL, "a\rb\n", "ab\n"},
                {IUCLC, "aBC", "abc"},       {ISTRIP, "\xe1\xff", "a\x7f"}};

    for (size_t i = 0; i < GT_COUNT(rows); i++) {
        struct pty p = pty_open();
        struct termios t;

        CHECK_EQ(tcgetattr(p.slave, &t), 0);
        cfmakeraw(&t);
        t.c_iflag = rows[i].flags;
        t.c_lflag |= IEXTEN;
        CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
        type(p.master, rows[i].in);
        expect(p.slave, rows[i].out);
        close(p.master);
        close(p.slave);
    }
}

TEST(mode_changes_with_input_waiting)
{
    struct pty p = pty_open();
    struct termios t;
    char buf[16];

    pty_lflag(p.slave, 0, ECHO);
    type(p.master, "partial");
    nothing_more(p.slave);
    /* Leaving canonical mode makes the part of a line readable. */
    pty_lflag(p.slave, 0, ICANON);
    CHECK(readable_soon(p.slave));
    CHECK_EQ(read(p.slave, buf, 16), 7);
    /* TCSAFLUSH drops what waits. */
    type(p.master, "dropped");
    CHECK(readable_soon(p.slave));
    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    CHECK_EQ(tcsetattr(p.slave, TCSAFLUSH, &t), 0);
    nothing_more(p.slave);
    type(p.master, "kept");
    CHECK(readable_soon(p.slave));
    CHECK_EQ(tcsetattr(p.slave, TCSADRAIN, &t), 0);
    expect(p.slave, "kept");
}

TEST(no_flush_keeps_input)
{
    struct pty p = pty_open();

    pid_t pid = FORK({
        char buf[16];

        lead_session(&p);
        (void)signal(SIGINT, SIG_IGN);
        pty_lflag(p.slave, NOFLSH, ECHO);
        CHECK_EQ(write(p.slave, "r", 1), 1);
        CHECK_EQ(read(p.slave, buf, 16), 3);
        CHECK(memcmp(buf, "ab\n", 3) == 0);
    });
    expect(p.master, "r");
    type(p.master, "a\x03"
                   "b\n");
    wait_ok(pid);
}

TEST(termios2_and_speeds)
{
    struct {
        tcflag_t iflag, oflag, cflag, lflag;
        cc_t line, cc[19];
        speed_t in, out;
    } t2;
    struct pty p = pty_open();
    struct termios t;

    CHECK_EQ(ioctl(p.slave, 0x802c542a /* TCGETS2 */, &t2), 0);
    CHECK_EQ(t2.out, 38400);
    t2.cflag = (t2.cflag & ~(tcflag_t)CBAUD) | 010000 /* BOTHER */;
    t2.in = t2.out = 12345;
    CHECK_EQ(ioctl(p.slave, 0x402c542b /* TCSETS2 */, &t2), 0);
    CHECK_EQ(ioctl(p.slave, 0x802c542a, &t2), 0);
    CHECK_EQ(t2.out, 12345);
    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    CHECK_EQ(cfsetspeed(&t, B9600), 0);
    CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    CHECK_EQ(cfgetospeed(&t), B9600);
}

TEST(line_discipline_number)
{
    struct pty p = pty_open();
    int v = -1;

    CHECK_EQ(ioctl(p.slave, TIOCGETD, &v), 0);
    CHECK_EQ(v, N_TTY);
    v = 99;
    errno = 0;
    CHECK_EQ(ioctl(p.slave, TIOCSETD, &v), -1);
    CHECK(errno == EINVAL || errno == EPERM);
    CHECK_ERRNO(ioctl(p.slave, 0x5499, &v), ENOTTY);
}

TEST(parity_marks_and_breaks_are_quiet)
{
    struct pty p = pty_open();

    set_flags(p.slave, PARMRK | INPCK | BRKINT, 0, 0, 0);
    pty_raw(p.slave);
    set_flags(p.slave, PARMRK, 0, 0, 0);
    /* With PARMRK a byte of 0xff is doubled. */
    type(p.master, "\xff"
                   "a");
    expect(p.slave, "\xff\xff"
                    "a");
}

TEST(ixany_restarts)
{
    struct pty p = pty_open();

    CHECK_EQ(fcntl(p.slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    pty_lflag(p.slave, 0, ECHO);
    set_flags(p.slave, IXON | IXANY, 0, 0, 0);
    type(p.master, "\x13");
    while (write(p.slave, ".", 1) == 1)
        gt_msleep(1);
    CHECK_EQ(errno, EAGAIN);
    type(p.master, "x");
    struct pollfd f = {.fd = p.slave, .events = POLLOUT};
    CHECK_EQ(poll(&f, 1, 10000), 1);
}

TEST(master_write_blocks_when_nobody_reads)
{
    struct pty p = pty_open();
    static char block[4096];
    size_t total = 0;
    ssize_t n;

    pty_raw(p.slave);
    CHECK_EQ(fcntl(p.master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    for (int idle = 0; idle < 20;) {
        n = write(p.master, block, sizeof(block));
        if (n < 0) {
            CHECK_EQ(errno, EAGAIN);
            idle++;
            gt_msleep(2);
        } else {
            total += (size_t)n;
            CHECK(total < 1 << 20);
        }
    }
    CHECK(total >= 4095);
    size_t have = 0;
    CHECK_EQ(fcntl(p.slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    while (have < total && readable_soon(p.slave))
        if ((n = read(p.slave, block, sizeof(block))) > 0)
            have += (size_t)n;
    CHECK_EQ(have, total);
}

TEST(slave_write_blocks_when_nobody_reads)
{
    struct pty p = pty_open();
    static char block[4096];
    size_t total = 0, have = 0;
    ssize_t n;

    pty_raw(p.slave);
    CHECK_EQ(fcntl(p.slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    struct pollfd f = {.fd = p.slave, .events = POLLOUT};
    /* What was written moves on to the master's side for a while, and makes room again. */
    do {
        while ((n = write(p.slave, block, sizeof(block))) > 0)
            total += (size_t)n;
        CHECK_EQ(errno, EAGAIN);
        CHECK(total < 4 << 20);
    } while (poll(&f, 1, 50) != 0);
    while (have < total && readable_soon(p.master))
        if ((n = read(p.master, block, sizeof(block))) > 0)
            have += (size_t)n;
    CHECK_EQ(have, total);
    CHECK_EQ(poll(&f, 1, 10000), 1);
}
