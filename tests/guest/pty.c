/*
 * Pseudo terminals: making a pair, line discipline modes, sizes, packet mode, flushing, hang-up.
 */
#include "pty-util.h"

#include <sys/sysmacros.h>

TEST(library_calls)
{
    char name[64];
    struct stat st;
    int m, s;

    m = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(m >= 0);
    CHECK_EQ(grantpt(m), 0);
    CHECK_EQ(unlockpt(m), 0);
    CHECK_EQ(ptsname_r(m, name, sizeof(name)), 0);
    CHECK(strncmp(name, "/dev/pts/", 9) == 0);
    CHECK_EQ(stat(name, &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(major(st.st_rdev), 136);
    CHECK_EQ(st.st_uid, getuid());
    s = open(name, O_RDWR | O_NOCTTY);
    CHECK(s >= 0);
    CHECK_EQ(isatty(m), 1);
    CHECK_EQ(isatty(s), 1);
    CHECK_ERRNO(lseek(s, 0, SEEK_SET), ESPIPE);
    CHECK_EQ(fstat(m, &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, makedev(5, 2));
}

TEST(lock)
{
    char name[64];
    int m = open("/dev/ptmx", O_RDWR | O_NOCTTY), n, v = -1, s;

    CHECK(m >= 0);
    CHECK_EQ(ioctl(m, TIOCGPTN, &n), 0);
    (void)snprintf(name, sizeof(name), "/dev/pts/%d", n);
    CHECK_EQ(ioctl(m, TIOCGPTLCK, &v), 0);
    CHECK_EQ(v, 1);
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
    v = 0;
    CHECK_EQ(ioctl(m, TIOCSPTLCK, &v), 0);
    CHECK((s = open(name, O_RDWR | O_NOCTTY)) >= 0);
    close(s);
    v = 1;
    CHECK_EQ(ioctl(m, TIOCSPTLCK, &v), 0);
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
    close(m);
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), ENOENT);
}

TEST(peer_by_ioctl)
{
    struct pty p = pty_open();
    struct stat a, b;
    int s = ioctl(p.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

    CHECK(s >= 0);
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fstat(s, &a), 0);
    CHECK_EQ(fstat(p.slave, &b), 0);
    CHECK_EQ(a.st_rdev, b.st_rdev);
}

TEST(default_modes)
{
    struct pty p = pty_open();
    struct termios t;

    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    CHECK_EQ(t.c_iflag, ICRNL | IXON);
    CHECK_EQ(t.c_oflag, OPOST | ONLCR);
    CHECK_EQ(t.c_cflag & (CSIZE | CREAD), CS8 | CREAD);
    CHECK_EQ(t.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
    CHECK_EQ(t.c_cc[VINTR], 3);
    CHECK_EQ(t.c_cc[VQUIT], 28);
    CHECK_EQ(t.c_cc[VERASE], 127);
    CHECK_EQ(t.c_cc[VKILL], 21);
    CHECK_EQ(t.c_cc[VEOF], 4);
    CHECK_EQ(t.c_cc[VSUSP], 26);
    CHECK_EQ(t.c_cc[VMIN], 1);
    CHECK_EQ(t.c_cc[VTIME], 0);
    CHECK_EQ(cfgetospeed(&t), B38400);
}

TEST(modes_are_kept_and_shared)
{
    struct pty p = pty_open();
    struct termios t, got;

    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    t.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
    t.c_cc[VMIN] = 3;
    t.c_cc[VTIME] = 7;
    CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
    CHECK_EQ(tcgetattr(p.slave, &got), 0);
    CHECK_EQ(got.c_lflag, t.c_lflag);
    CHECK_EQ(got.c_cc[VMIN], 3);
    CHECK_EQ(got.c_cc[VTIME], 7);
    /* On Linux the master's calls act on the slave. */
    CHECK_EQ(tcgetattr(p.master, &got), 0);
    CHECK_EQ(got.c_lflag, t.c_lflag);
    got.c_lflag |= ECHO;
    CHECK_EQ(tcsetattr(p.master, TCSADRAIN, &got), 0);
    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    CHECK(t.c_lflag & ECHO);
    CHECK_ERRNO(tcsetattr(p.slave, 99, &t), EINVAL);
    CHECK_ERRNO(ioctl(p.slave, TCGETS, (void *)8), EFAULT);
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    CHECK_ERRNO(tcgetattr(fds[0], &t), ENOTTY);
    CHECK_ERRNO(tcgetattr(-1, &t), EBADF);
}

TEST(output_processing)
{
    struct pty p = pty_open();
    struct termios t;

    CHECK_EQ(write(p.slave, "a\nb\r\n", 5), 5);
    expect(p.master, "a\r\nb\r\r\n");
    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    t.c_oflag &= ~(tcflag_t)OPOST;
    CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
    CHECK_EQ(write(p.slave, "a\nb", 3), 3);
    expect(p.master, "a\nb");
    t.c_oflag = OPOST | OCRNL;
    CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
    CHECK_EQ(write(p.slave, "x\ry", 3), 3);
    expect(p.master, "x\ny");
}

TEST(canonical_lines)
{
    struct pty p = pty_open();
    char buf[64];

    pty_lflag(p.slave, 0, ECHO);
    type(p.master, "first line\nsecond");
    CHECK(readable_soon(p.slave));
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 11);
    CHECK(memcmp(buf, "first line\n", 11) == 0);
    /* No line, no data. */
    CHECK(!fd_ready(p.slave, POLLIN));
    type(p.master, " half\nthird\n");
    CHECK_EQ(read(p.slave, buf, 4), 4);
    CHECK(memcmp(buf, "seco", 4) == 0);
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 8);
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 6);
    /* A return becomes a newline. */
    type(p.master, "cr\r");
    expect(p.slave, "cr\n");
}

TEST(canonical_editing)
{
    struct pty p = pty_open();

    pty_lflag(p.slave, 0, ECHO);
    type(p.master, "abx\x7f"
                   "c\n");
    expect(p.slave, "abc\n");
    type(p.master, "\x7f\x7f"
                   "none\n");
    expect(p.slave, "none\n");
    type(p.master, "whole line\x15kept\n");
    expect(p.slave, "kept\n");
    type(p.master, "two words\x17there\n");
    expect(p.slave, "two there\n");
    /* The next character is taken literally. */
    type(p.master, "q\x16\x03r\n");
    expect(p.slave, "q\x03r\n");
}

TEST(end_of_file)
{
    struct pty p = pty_open();
    char buf[16];

    pty_lflag(p.slave, 0, ECHO);
    type(p.master, "part\x04");
    CHECK(readable_soon(p.slave));
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 4);
    type(p.master, "\x04");
    CHECK(readable_soon(p.slave));
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 0);
    /* It is not sticky. */
    type(p.master, "more\n");
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 5);
}

TEST(echo)
{
    struct pty p = pty_open();
    char buf[16];

    type(p.master, "hi\n");
    expect(p.master, "hi\r\n");
    expect(p.slave, "hi\n");
    type(p.master, "a\x7f");
    expect(p.master, "a\b \b");
    /* A control character shows as ^X. */
    type(p.master, "\x01\n");
    expect(p.master, "^A\r\n");
    CHECK_EQ(read(p.slave, buf, sizeof(buf)), 2);
    pty_lflag(p.slave, ECHONL, ECHO);
    type(p.master, "secret\n");
    expect(p.slave, "secret\n");
    expect(p.master, "\r\n");
    CHECK(!fd_ready(p.master, POLLIN));
}

TEST(raw_mode)
{
    struct pty p = pty_open();
    char buf[16];

    pty_raw(p.slave);
    CHECK_EQ(write(p.master, "\x03\r\n\x04\x7f\x11\x1a", 7), 7);
    CHECK(readable_soon(p.slave));
    expect(p.slave, "\x03\r\n\x04\x7f\x11\x1a");
    CHECK_EQ(write(p.slave, "a\n", 2), 2);
    CHECK_EQ(read(p.master, buf, 16), 2);
    CHECK(memcmp(buf, "a\n", 2) == 0);
}

static void set_min_time(int fd, int min, int time)
{
    struct termios t;

    CHECK_EQ(tcgetattr(fd, &t), 0);
    t.c_cc[VMIN] = (cc_t)min;
    t.c_cc[VTIME] = (cc_t)time;
    CHECK_EQ(tcsetattr(fd, TCSANOW, &t), 0);
}

TEST(vmin_and_vtime)
{
    struct pty p = pty_open();
    char buf[16];
    int64_t start;

    pty_raw(p.slave);
    /* MIN 0, TIME 0: never waits. */
    set_min_time(p.slave, 0, 0);
    CHECK_EQ(read(p.slave, buf, 16), 0);
    type(p.master, "ab");
    CHECK(readable_soon(p.slave));
    CHECK_EQ(read(p.slave, buf, 16), 2);
    /* MIN 0, TIME > 0: waits that long for the first byte. */
    set_min_time(p.slave, 0, 1);
    start = gt_now_ms();
    CHECK_EQ(read(p.slave, buf, 16), 0);
    CHECK(gt_now_ms() - start >= 90);
    type(p.master, "c");
    CHECK_EQ(read(p.slave, buf, 16), 1);
    /* MIN 3, TIME 0: waits for three. */
    set_min_time(p.slave, 3, 0);
    pid_t pid = FORK({
        CHECK_EQ(read(p.slave, buf, 16), 3);
        CHECK(memcmp(buf, "xyz", 3) == 0);
    });
    gt_wait_state(pid, "S");
    type(p.master, "xy");
    CHECK(!fd_ready(p.slave, POLLIN));
    gt_msleep(20);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    type(p.master, "z");
    wait_ok(pid);
    /* MIN 3, TIME > 0: the clock starts at the first byte. */
    set_min_time(p.slave, 3, 1);
    type(p.master, "d");
    CHECK_EQ(read(p.slave, buf, 16), 1);
    /* A smaller request is enough with what it asks for. */
    set_min_time(p.slave, 3, 0);
    type(p.master, "ef");
    CHECK_EQ(read(p.slave, buf, 2), 2);
}

TEST(nonblocking_read)
{
    struct pty p = pty_open();
    char c;

    CHECK_EQ(fcntl(p.slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_EQ(fcntl(p.master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_ERRNO(read(p.slave, &c, 1), EAGAIN);
    CHECK_ERRNO(read(p.master, &c, 1), EAGAIN);
    type(p.master, "no newline");
    CHECK_ERRNO(read(p.slave, &c, 1), EAGAIN);
}

TEST(input_flags)
{
    struct pty p = pty_open();
    struct termios t;

    pty_lflag(p.slave, 0, ECHO);
    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    t.c_iflag = INLCR;
    t.c_lflag &= ~(tcflag_t)ICANON;
    CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
    type(p.master, "a\n\r");
    expect(p.slave, "a\r\r");
    t.c_iflag = IGNCR;
    CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
    type(p.master, "a\rb");
    expect(p.slave, "ab");
    t.c_iflag = ISTRIP | IUCLC;
    CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
    type(p.master, "\xc1Q");
    expect(p.slave, "aq");
}

TEST(window_size)
{
    struct pty p = pty_open();
    struct winsize w = {.ws_row = 9, .ws_col = 9}, got;

    CHECK_EQ(ioctl(p.slave, TIOCGWINSZ, &got), 0);
    CHECK_EQ(got.ws_row, 0);
    CHECK_EQ(got.ws_col, 0);
    w = (struct winsize){.ws_row = 24, .ws_col = 80, .ws_xpixel = 1, .ws_ypixel = 2};
    CHECK_EQ(ioctl(p.master, TIOCSWINSZ, &w), 0);
    CHECK_EQ(ioctl(p.slave, TIOCGWINSZ, &got), 0);
    CHECK(memcmp(&w, &got, sizeof(w)) == 0);
    w.ws_row = 50;
    CHECK_EQ(ioctl(p.slave, TIOCSWINSZ, &w), 0);
    CHECK_EQ(ioctl(p.master, TIOCGWINSZ, &got), 0);
    CHECK_EQ(got.ws_row, 50);
    CHECK_ERRNO(ioctl(p.slave, TIOCGWINSZ, (void *)8), EFAULT);
}

TEST(input_queue_size)
{
    struct pty p = pty_open();
    int n = -1;

    pty_raw(p.slave);
    CHECK_EQ(ioctl(p.slave, FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
    type(p.master, "12345");
    CHECK(readable_soon(p.slave));
    CHECK_EQ(ioctl(p.slave, FIONREAD, &n), 0);
    CHECK_EQ(n, 5);
    CHECK_EQ(ioctl(p.slave, TIOCOUTQ, &n), 0);
    CHECK_EQ(n, 0);
}

TEST(flush)
{
    struct pty p = pty_open();
    char c;

    pty_raw(p.slave);
    CHECK_EQ(fcntl(p.slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    type(p.master, "gone");
    CHECK(readable_soon(p.slave));
    CHECK_EQ(tcflush(p.slave, TCIFLUSH), 0);
    CHECK_ERRNO(read(p.slave, &c, 1), EAGAIN);
    CHECK_EQ(tcflush(p.slave, TCOFLUSH), 0);
    CHECK_EQ(tcflush(p.slave, TCIOFLUSH), 0);
    CHECK_ERRNO(tcflush(p.slave, 99), EINVAL);
    CHECK_EQ(tcdrain(p.slave), 0);
    CHECK_EQ(tcsendbreak(p.slave, 0), 0);
}

TEST(flow_control)
{
    struct pty p = pty_open();

    CHECK_EQ(fcntl(p.slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_EQ(tcflow(p.slave, TCOOFF), 0);
    CHECK_ERRNO(write(p.slave, "x", 1), EAGAIN);
    CHECK_EQ(tcflow(p.slave, TCOON), 0);
    CHECK_EQ(write(p.slave, "x", 1), 1);
    expect(p.master, "x");
    CHECK_ERRNO(tcflow(p.slave, 99), EINVAL);
    /* The same from the keyboard. */
    type(p.master, "\x13");
    for (int i = 0; i < 1000 && write(p.slave, "", 0) == 0; i++) {
        if (write(p.slave, "y", 1) < 0)
            break;
        gt_msleep(1);
    }
    CHECK_ERRNO(write(p.slave, "z", 1), EAGAIN);
    type(p.master, "\x11");
    struct pollfd f = {.fd = p.slave, .events = POLLOUT};
    CHECK_EQ(poll(&f, 1, 10000), 1);
}

TEST(packet_mode)
{
    struct pty p = pty_open();
    struct termios t;
    char buf[16];
    int one = 1, v = -1;

    CHECK_EQ(ioctl(p.master, TIOCPKT, &one), 0);
    CHECK_EQ(ioctl(p.master, TIOCGPKT, &v), 0);
    CHECK_EQ(v, 1);
    CHECK_EQ(write(p.slave, "data", 4), 4);
    CHECK_EQ(read(p.master, buf, 16), 5);
    CHECK_EQ(buf[0], TIOCPKT_DATA);
    CHECK(memcmp(buf + 1, "data", 4) == 0);
    CHECK_EQ(tcflush(p.slave, TCIFLUSH), 0);
    CHECK(fd_ready(p.master, POLLPRI));
    CHECK_EQ(read(p.master, buf, 16), 1);
    CHECK(buf[0] & TIOCPKT_FLUSHREAD);
    CHECK_EQ(tcflow(p.slave, TCOOFF), 0);
    CHECK_EQ(read(p.master, buf, 16), 1);
    CHECK(buf[0] & TIOCPKT_STOP);
    CHECK_EQ(tcflow(p.slave, TCOON), 0);
    CHECK_EQ(read(p.master, buf, 16), 1);
    CHECK(buf[0] & TIOCPKT_START);
    CHECK_EQ(tcgetattr(p.slave, &t), 0);
    t.c_iflag &= ~(tcflag_t)IXON;
    CHECK_EQ(tcsetattr(p.slave, TCSANOW, &t), 0);
    CHECK_EQ(read(p.master, buf, 16), 1);
    CHECK(buf[0] & TIOCPKT_NOSTOP);
    one = 0;
    CHECK_EQ(ioctl(p.master, TIOCPKT, &one), 0);
    CHECK_EQ(write(p.slave, "z", 1), 1);
    CHECK_EQ(read(p.master, buf, 16), 1);
    CHECK_ERRNO(ioctl(p.slave, TIOCPKT, &one), ENOTTY);
}

TEST(slave_closed)
{
    struct pty p = pty_open();
    struct pollfd f = {.fd = p.master, .events = POLLIN};
    char buf[8];

    CHECK_EQ(write(p.slave, "end", 3), 3);
    close(p.slave);
    CHECK_EQ(read(p.master, buf, 8), 3);
    CHECK_ERRNO(read(p.master, buf, 8), EIO);
    CHECK_EQ(poll(&f, 1, 0), 1);
    CHECK(f.revents & POLLHUP);
    /* It can be opened again. */
    CHECK((p.slave = open(p.name, O_RDWR | O_NOCTTY)) >= 0);
    CHECK_EQ(write(p.slave, "again", 5), 5);
    expect(p.master, "again");
}

TEST(master_closed)
{
    struct pty p = pty_open();
    struct pollfd f = {.fd = p.slave, .events = POLLIN | POLLOUT};
    char c;

    close(p.master);
    CHECK_EQ(read(p.slave, &c, 1), 0);
    CHECK_ERRNO(write(p.slave, "x", 1), EIO);
    CHECK_EQ(poll(&f, 1, 0), 1);
    CHECK(f.revents & POLLHUP);
    CHECK_ERRNO(open(p.name, O_RDWR | O_NOCTTY), ENOENT);
    CHECK_ERRNO(ioctl(p.slave, TCGETS, &(struct termios){0}), EIO);
}

TEST(reader_wakes_at_hang_up)
{
    struct pty p = pty_open();
    char c;

    CHECK_EQ(fcntl(p.master, F_SETFD, 0), 0);
    pid_t pid = FORK({
        close(p.master);
        /* Which of the two depends on how far the hang-up has come. */
        ssize_t n = read(p.slave, &c, 1);
        CHECK(n == 0 || (n == -1 && errno == EIO));
    });
    gt_wait_state(pid, "S");
    close(p.master);
    wait_ok(pid);
}

TEST(large_transfer)
{
    enum { SIZE = 100000 };
    struct pty p = pty_open();
    static char buf[SIZE], in[SIZE];
    size_t have = 0;

    pty_raw(p.slave);
    for (int i = 0; i < SIZE; i++)
        buf[i] = (char)('a' + i % 26);
    pid_t pid = FORK({
        for (size_t done = 0; done < SIZE;) {
            ssize_t n = write(p.slave, buf + done, SIZE - done);

            CHECK(n > 0);
            done += (size_t)n;
        }
    });
    while (have < SIZE) {
        ssize_t n = read(p.master, in + have, SIZE - have);

        CHECK(n > 0);
        have += (size_t)n;
    }
    CHECK(memcmp(in, buf, SIZE) == 0);
    wait_ok(pid);
    pid = FORK({
        for (size_t done = 0; done < SIZE;) {
            ssize_t n = write(p.master, buf + done, SIZE - done);

            CHECK(n > 0);
            done += (size_t)n;
        }
    });
    for (have = 0; have < SIZE;) {
        ssize_t n = read(p.slave, in + have, SIZE - have);

        CHECK(n > 0);
        have += (size_t)n;
    }
    CHECK(memcmp(in, buf, SIZE) == 0);
    wait_ok(pid);
}

TEST(many_pairs)
{
    struct pty p[20];

    for (int i = 0; i < 20; i++) {
        p[i] = pty_open();
        for (int j = 0; j < i; j++)
            CHECK(strcmp(p[i].name, p[j].name) != 0);
    }
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(write(p[i].slave, "n", 1), 1);
        expect(p[i].master, "n");
    }
}

TEST(exclusive)
{
    struct pty p = pty_open();
    int v = -1;

    CHECK_EQ(ioctl(p.slave, TIOCGEXCL, &v), 0);
    CHECK_EQ(v, 0);
    CHECK_EQ(ioctl(p.slave, TIOCEXCL), 0);
    CHECK_EQ(ioctl(p.slave, TIOCGEXCL, &v), 0);
    CHECK_EQ(v, 1);
    pid_t pid = FORK({
        become(getuid(), getgid());
        CHECK(open(p.name, O_RDWR | O_NOCTTY) >= 0);
    });
    wait_ok(pid);
    CHECK_EQ(chmod(p.name, 0666), 0);
    pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(open(p.name, O_RDWR | O_NOCTTY), EBUSY);
    });
    wait_ok(pid);
    CHECK_EQ(ioctl(p.slave, TIOCNXCL), 0);
}
