/*
 * Sessions on terminals, continued: orphaned groups and hang-up, vhangup, a relay as script and
 * ssh run it, terminals with poll, select and epoll, inheritance, and many sessions at once.
 */
#include "pty-util.h"

#include <sys/epoll.h>
#include <sys/select.h>

static volatile sig_atomic_t got[65];
static volatile int order[8], order_count;

static void on_signal(int sig)
{
    got[sig]++;
    if (order_count < 8)
        order[order_count++] = sig;
}

static void catch (int sig)
{
    struct sigaction sa = {.sa_handler = on_signal};

    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

/* Waits for one byte while the slave may be closed by everybody for a time: EIO until then. */
static void expect_later(int master, char want)
{
    char c = 0;
    ssize_t n = -1;

    for (int i = 0; i < 2000 && n != 1; i++) {
        n = read(master, &c, 1);
        if (n != 1)
            gt_msleep(5);
    }
    CHECK_EQ(n, 1);
    CHECK_EQ(c, want);
}

TEST(a_program_behind_a_relay)
{
    struct pty p = pty_open();
    char out[64];
    size_t have = 0;
    ssize_t n;

    pid_t pid = FORK({
        close(p.master);
        lead_session(&p);
        CHECK_EQ(dup2(p.slave, 0), 0);
        CHECK_EQ(dup2(p.slave, 1), 1);
        CHECK_EQ(dup2(p.slave, 2), 2);
        char *argv[] = {gt_self, "-xgreets", NULL};
        execv(gt_self, argv);
    });
    close(p.slave);
    expect(p.master, "name? ");
    type(p.master, "pty\n");
    /* The relay reads until EIO, which is what a closed slave gives. */
    while ((n = read(p.master, out + have, sizeof(out) - 1 - have)) > 0)
        have += (size_t)n;
    CHECK_EQ(n, -1);
    CHECK_EQ(errno, EIO);
    out[have] = '\0';
    CHECK_STR(out, "pty\r\nhello pty\r\n");
    CHECK_EXIT(pid, 3);
}

ENTRY(greets)
{
    char name[32];

    if (!isatty(0) || !isatty(1) || !isatty(2))
        return 99;
    if (write(1, "name? ", 6) != 6 || fgets(name, sizeof(name), stdin) == NULL)
        return 98;
    printf("hello %s", name);
    return 3;
}

TEST(terminal_is_inherited)
{
    struct pty p = pty_open();
    pid_t pid = FORK({
        lead_session(&p);
        pid_t in = FORK({
            int fd = open("/dev/tty", O_RDWR);

            CHECK(fd >= 0);
            CHECK_EQ(tcgetsid(fd), getppid());
            /* A session of its own starts without one. */
            CHECK(setsid() > 0);
            CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
            /* An open /dev/tty stays usable. */
            CHECK_EQ(write(fd, "k", 1), 1);
        });
        wait_ok(in);
    });

    expect(p.master, "k");
    wait_ok(pid);
}

TEST(proc_stat_names_the_terminal)
{
    struct pty p = pty_open();
    pid_t pid = FORK({
        char text[1024];
        int tty = -1, fg = -1;
        struct stat st;

        lead_session(&p);
        CHECK(get_file("/proc/self/stat", text, sizeof(text)) > 0);
        CHECK_EQ(sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %d %d", &tty, &fg), 2);
        CHECK_EQ(fstat(p.slave, &st), 0);
        CHECK_EQ(tty, (int)st.st_rdev);
        CHECK_EQ(fg, getpid());
    });

    wait_ok(pid);
}

TEST(stopped_orphans_get_hup_and_cont)
{
    int ready[2], out[2];
    char buf[16] = {0};

    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(pipe(out), 0);
    pid_t pid = FORK({
        char c;

        CHECK(setsid() > 0);
        pid_t job = fork();
        if (job == 0) {
            CHECK_EQ(setpgid(0, 0), 0);
            catch (SIGHUP);
            catch (SIGCONT);
            CHECK_EQ(write(ready[1], "r", 1), 1);
            (void)raise(SIGSTOP);
            while (!got[SIGHUP] || !got[SIGCONT])
                gt_msleep(1);
            CHECK_EQ(write(out[1], "both", 4), 4);
            _exit(0);
        }
        CHECK_EQ(read(ready[0], &c, 1), 1);
        CHECK_EQ(waitpid(job, NULL, WUNTRACED), job);
        /* Our exit orphans the stopped group. */
    });
    close(out[1]);
    wait_ok(pid);
    CHECK_EQ(read(out[0], buf, sizeof(buf)), 4);
    CHECK_STR(buf, "both");
}

TEST(running_orphans_are_left_alone)
{
    int ready[2], out[2], go[2];
    char buf[16] = {0}, c = 'g';

    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(pipe(out), 0);
    CHECK_EQ(pipe(go), 0);
    pid_t pid = FORK({
        CHECK(setsid() > 0);
        if (fork() == 0) {
            CHECK_EQ(setpgid(0, 0), 0);
            catch (SIGHUP);
            CHECK_EQ(write(ready[1], "r", 1), 1);
            CHECK_EQ(read(go[0], &c, 1), 1);
            CHECK_EQ(write(out[1], got[SIGHUP] ? "hup" : "none", got[SIGHUP] ? 3 : 4),
                     got[SIGHUP] ? 3 : 4);
            _exit(0);
        }
        CHECK_EQ(read(ready[0], &c, 1), 1);
    });
    wait_ok(pid);
    CHECK_EQ(write(go[1], &c, 1), 1);
    CHECK_EQ(read(out[0], buf, sizeof(buf)), 4);
    CHECK_STR(buf, "none");
}

TEST(tstp_does_not_stop_orphans)
{
    struct pty p = pty_open();
    pid_t pid = FORK({
        char c;

        /* The only group of the session: its parent is outside, so it is orphaned. */
        lead_session(&p);
        CHECK_EQ(write(p.slave, "r", 1), 1);
        CHECK_EQ(read(p.slave, &c, 1), 1);
        CHECK_EQ(c, 'x');
    });

    expect(p.master, "r");
    type(p.master, "\x1ax\n");
    wait_ok(pid);
}

TEST(vhangup_call)
{
    struct pty p = pty_open();
    pid_t pid = FORK({
        char c;

        lead_session(&p);
        catch (SIGHUP);
        CHECK_EQ(vhangup(), 0);
        CHECK(got[SIGHUP] >= 1);
        CHECK_EQ(read(p.slave, &c, 1), 0);
        CHECK_ERRNO(write(p.slave, "x", 1), EIO);
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        /* A fresh open works, and may take the terminal again. */
        int fd = open(p.name, O_RDWR | O_NOCTTY);
        CHECK(fd >= 0);
        CHECK_EQ(write(fd, "a", 1), 1);
        CHECK_EQ(ioctl(fd, TIOCSCTTY, 0), 0);
    });

    close(p.slave);
    expect_later(p.master, 'a');
    wait_ok(pid);
    pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(vhangup(), EPERM);
    });
    wait_ok(pid);
}

TEST(select_poll_epoll_agree)
{
    struct pty p = pty_open();
    struct epoll_event e = {.events = EPOLLIN}, out;
    struct timeval zero = {0};
    int ep = epoll_create1(0);
    fd_set r;
    char c;

    pty_raw(p.slave);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, p.slave, &e), 0);
    for (int round = 0; round < 3; round++) {
        FD_ZERO(&r);
        FD_SET(p.slave, &r);
        CHECK_EQ(select(p.slave + 1, &r, NULL, NULL, &zero), 0);
        CHECK_EQ(epoll_wait(ep, &out, 1, 0), 0);
        CHECK(!fd_ready(p.slave, POLLIN));
        type(p.master, "k");
        CHECK_EQ(epoll_wait(ep, &out, 1, 10000), 1);
        CHECK_EQ(out.events, EPOLLIN);
        FD_ZERO(&r);
        FD_SET(p.slave, &r);
        CHECK_EQ(select(p.slave + 1, &r, NULL, NULL, &zero), 1);
        CHECK(fd_ready(p.slave, POLLIN | POLLOUT));
        CHECK_EQ(read(p.slave, &c, 1), 1);
    }
    close(p.master);
    CHECK_EQ(epoll_wait(ep, &out, 1, 10000), 1);
    CHECK(out.events & EPOLLHUP);
}

TEST(select_exception_in_packet_mode)
{
    struct pty p = pty_open();
    struct timeval zero = {0};
    fd_set ex;
    int one = 1;
    char c;

    CHECK_EQ(ioctl(p.master, TIOCPKT, &one), 0);
    FD_ZERO(&ex);
    FD_SET(p.master, &ex);
    CHECK_EQ(select(p.master + 1, NULL, NULL, &ex, &zero), 0);
    CHECK_EQ(tcflush(p.slave, TCIFLUSH), 0);
    FD_ZERO(&ex);
    FD_SET(p.master, &ex);
    CHECK_EQ(select(p.master + 1, NULL, NULL, &ex, NULL), 1);
    CHECK_EQ(read(p.master, &c, 1), 1);
}

TEST(many_sessions)
{
    enum { COUNT = 12 };
    struct pty p[COUNT];
    pid_t pids[COUNT];

    for (int i = 0; i < COUNT; i++) {
        p[i] = pty_open();
        pids[i] = FORK({
            char buf[32];
            ssize_t n;

            lead_session(&p[i]);
            pty_lflag(p[i].slave, 0, ECHO);
            CHECK_EQ(write(p[i].slave, "r", 1), 1);
            n = read(p[i].slave, buf, sizeof(buf));
            CHECK_EQ(n, 5);
            CHECK_EQ(buf[0], 'a' + i);
        });
    }
    for (int i = 0; i < COUNT; i++)
        expect(p[i].master, "r");
    for (int i = COUNT - 1; i >= 0; i--) {
        char line[6];

        (void)snprintf(line, sizeof(line), "%c%c%c%c\n", 'a' + i, 'a' + i, 'a' + i, 'a' + i);
        type(p[i].master, line);
    }
    for (int i = 0; i < COUNT; i++)
        wait_ok(pids[i]);
}

TEST(numbers_are_used_again)
{
    struct pty a = pty_open(), b;
    char name[64];

    (void)snprintf(name, sizeof(name), "%s", a.name);
    close(a.slave);
    close(a.master);
    b = pty_open();
    /* The lowest free number; somebody else may have taken it meanwhile. */
    CHECK(strncmp(b.name, "/dev/pts/", 9) == 0);
    struct stat st;
    CHECK_EQ(stat(b.name, &st), 0);
}

TEST(modes_do_not_leak_to_the_next_pair)
{
    struct pty a = pty_open(), b;
    struct winsize w = {.ws_row = 77, .ws_col = 77};
    struct termios t;

    pty_raw(a.slave);
    CHECK_EQ(ioctl(a.slave, TIOCSWINSZ, &w), 0);
    close(a.slave);
    close(a.master);
    b = pty_open();
    CHECK_EQ(tcgetattr(b.slave, &t), 0);
    CHECK(t.c_lflag & ICANON);
    CHECK(t.c_lflag & ECHO);
    CHECK_EQ(ioctl(b.slave, TIOCGWINSZ, &w), 0);
    CHECK_EQ(w.ws_row, 0);
}

TEST(ctty_survives_the_last_close)
{
    struct pty p = pty_open();
    pid_t pid = FORK({
        lead_session(&p);
        close(p.slave);
        /* Nobody has it open, yet it is still the session's terminal. */
        int fd = open("/dev/tty", O_RDWR);
        CHECK(fd >= 0);
        CHECK_EQ(write(fd, "t", 1), 1);
    });

    close(p.slave);
    expect_later(p.master, 't');
    wait_ok(pid);
}

TEST(leader_exit_frees_the_terminal)
{
    struct pty p = pty_open();
    pid_t pid = FORK({ lead_session(&p); });

    wait_ok(pid);
    pid = FORK({
        lead_session(&p);
        CHECK_EQ(tcgetsid(p.slave), getpid());
    });
    wait_ok(pid);
}

TEST(stdio_of_a_shell_pipeline)
{
    struct pty p = pty_open();
    pid_t pid = FORK({
        close(p.master);
        lead_session(&p);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(dup2(p.slave, i), i);
        execl("/bin/sh", "sh", "-c", "read x; echo \"<$x>\" | cat; test -t 0 && echo tty", NULL);
    });

    close(p.slave);
    pty_lflag(p.master, 0, ECHO);
    type(p.master, "input\n");
    expect(p.master, "<input>\r\ntty\r\n");
    wait_ok(pid);
}
