/*
 * Terminals and sessions: the controlling terminal, signals from the keyboard, foreground and
 * background groups, hang-up, /dev/tty, and the sequence of calls that a shell makes.
 */
#include "pty-util.h"

static volatile sig_atomic_t got[65];

static void on_signal(int sig)
{
    got[sig]++;
}

static void catch (int sig)
{
    struct sigaction sa = {.sa_handler = on_signal};

    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

/* Runs fn as the leader of a session on a new pty; the parent holds the master and runs with(). */
static void session(void (*fn)(struct pty *), void (*with)(struct pty *, pid_t))
{
    struct pty p = pty_open();
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        close(p.master);
        lead_session(&p);
        fn(&p);
        _exit(atomic_load(&gt_failed) ? 1 : 0);
    }
    if (with != NULL)
        with(&p, pid);
    wait_ok(pid);
}

/* Tells the parent through the terminal that the next step can be taken. */
static void say(struct pty *p, const char *text)
{
    CHECK_EQ(write(p->slave, text, strlen(text)), (ssize_t)strlen(text));
}

static void owns_terminal(struct pty *p)
{
    pid_t sid = -1;
    int fd, again;

    CHECK_EQ(tcgetpgrp(p->slave), getpid());
    CHECK_EQ(tcgetsid(p->slave), getpid());
    CHECK_EQ(ioctl(p->slave, TIOCGSID, &sid), 0);
    CHECK_EQ(sid, getpid());
    CHECK((fd = open("/dev/tty", O_RDWR)) >= 0);
    CHECK_EQ(write(fd, "tty", 3), 3);
    CHECK_EQ(isatty(fd), 1);
    CHECK_EQ(tcgetpgrp(fd), getpid());
    /* Once more is no error; a second terminal is refused. */
    CHECK_EQ(ioctl(p->slave, TIOCSCTTY, 0), 0);
    struct pty q = pty_open();
    CHECK_ERRNO(ioctl(q.slave, TIOCSCTTY, 0), EPERM);
    CHECK_ERRNO(tcgetpgrp(q.slave), ENOTTY);
    CHECK_ERRNO(tcsetpgrp(q.slave, getpid()), ENOTTY);
    CHECK_ERRNO(tcgetsid(q.slave), ENOTTY);
    CHECK((again = open(q.name, O_RDWR)) >= 0);
    CHECK_ERRNO(tcgetpgrp(again), ENOTTY);
}

static void hears_tty(struct pty *p, pid_t pid)
{
    (void)pid;
    expect(p->master, "tty");
    /* On Linux the master can ask for the foreground group. */
    CHECK(tcgetpgrp(p->master) >= 0);
}

TEST(controlling_terminal)
{
    session(owns_terminal, hears_tty);
}

TEST(no_controlling_terminal)
{
    pid_t pid = FORK({
        struct pty p = pty_open();

        CHECK(setsid() > 0);
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        CHECK_ERRNO(tcgetpgrp(p.slave), ENOTTY);
        CHECK_ERRNO(ioctl(p.slave, TIOCNOTTY), ENOTTY);
    });
    wait_ok(pid);
}

TEST(open_takes_the_terminal)
{
    struct pty p = pty_open();
    pid_t pid = FORK({
        CHECK(setsid() > 0);
        CHECK(open(p.name, O_RDWR | O_NOCTTY) >= 0);
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        CHECK(open(p.name, O_RDWR) >= 0);
        CHECK(open("/dev/tty", O_RDWR) >= 0);
        CHECK_EQ(tcgetsid(p.slave), getpid());
    });

    wait_ok(pid);
}

TEST(only_a_leader_can_take_it)
{
    struct pty p = pty_open();
    pid_t pid = FORK({
        CHECK(setsid() > 0);
        pid_t in = FORK({
            CHECK_ERRNO(ioctl(p.slave, TIOCSCTTY, 0), EPERM);
            CHECK(open(p.name, O_RDWR) >= 0);
            CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        });
        wait_ok(in);
    });

    wait_ok(pid);
}

TEST(stealing_needs_root_and_the_argument)
{
    struct pty p = pty_open();
    int step[2];
    char c;

    CHECK_EQ(pipe(step), 0);
    pid_t pid = FORK({
        (void)signal(SIGHUP, SIG_IGN);
        lead_session(&p);
        CHECK_EQ(write(step[1], "x", 1), 1);
        for (;;)
            pause();
    });
    CHECK_EQ(read(step[0], &c, 1), 1);
    pid_t thief = FORK({
        CHECK(setsid() > 0);
        CHECK_ERRNO(ioctl(p.slave, TIOCSCTTY, 0), EPERM);
        CHECK_EQ(ioctl(p.slave, TIOCSCTTY, 1), 0);
        CHECK_EQ(tcgetsid(p.slave), getpid());
    });
    wait_ok(thief);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

static void waits_for_keys(struct pty *p)
{
    catch (SIGINT);
    catch (SIGQUIT);
    catch (SIGTSTP);
    say(p, "1");
    while (!got[SIGINT])
        pause();
    say(p, "2");
    while (!got[SIGQUIT])
        pause();
    say(p, "3");
    while (!got[SIGTSTP])
        pause();
    say(p, "4");
}

static void presses_keys(struct pty *p, pid_t pid)
{
    static const char *const keys[] = {"\x03", "\x1c", "\x1a"};
    static const char *const shown[] = {"^C", "^\\", "^Z"};
    static const char *const said[] = {"2", "3", "4"};

    (void)pid;
    expect(p->master, "1");
    for (int i = 0; i < 3; i++) {
        type(p->master, keys[i]);
        expect(p->master, shown[i]);
        /* The group may be in pause or just before it: press again until it answers. */
        while (poll(&(struct pollfd){.fd = p->master, .events = POLLIN}, 1, 300) == 0) {
            type(p->master, keys[i]);
            expect(p->master, shown[i]);
        }
        expect(p->master, said[i]);
    }
}

TEST(keyboard_signals)
{
    session(waits_for_keys, presses_keys);
}

static void reads_without_isig(struct pty *p)
{
    char buf[8];

    catch (SIGINT);
    pty_lflag(p->slave, 0, ISIG | ECHO);
    say(p, "r");
    CHECK_EQ(read(p->slave, buf, 8), 4);
    CHECK(memcmp(buf, "\x03\x1c\x1a\n", 4) == 0);
    CHECK_EQ(got[SIGINT], 0);
}

static void presses_them_as_text(struct pty *p, pid_t pid)
{
    (void)pid;
    expect(p->master, "r");
    type(p->master, "\x03\x1c\x1a\n");
}

TEST(keyboard_signals_off)
{
    session(reads_without_isig, presses_them_as_text);
}

static void interrupted_read(struct pty *p)
{
    char buf[8];

    catch (SIGINT);
    pty_lflag(p->slave, 0, ECHO);
    say(p, "r");
    CHECK_ERRNO(read(p->slave, buf, 8), EINTR);
    CHECK(got[SIGINT] >= 1);
    /* The signal flushed what had been typed. */
    say(p, "s");
    CHECK_EQ(read(p->slave, buf, 8), 4);
    CHECK(memcmp(buf, "new\n", 4) == 0);
}

static void interrupts(struct pty *p, pid_t pid)
{
    expect(p->master, "r");
    gt_wait_state(pid, "S");
    type(p->master, "old\x03");
    expect(p->master, "s");
    type(p->master, "new\n");
}

TEST(interrupt_ends_a_read_and_flushes)
{
    session(interrupted_read, interrupts);
}

static void gets_winch(struct pty *p)
{
    struct winsize w;

    catch (SIGWINCH);
    say(p, "1");
    while (!got[SIGWINCH])
        gt_msleep(1);
    CHECK_EQ(ioctl(p->slave, TIOCGWINSZ, &w), 0);
    CHECK_EQ(w.ws_col, 132);
    /* Setting the same size again is silent. */
    got[SIGWINCH] = 0;
    CHECK_EQ(ioctl(p->slave, TIOCSWINSZ, &w), 0);
    CHECK_EQ(got[SIGWINCH], 0);
    w.ws_col = 80;
    CHECK_EQ(ioctl(p->slave, TIOCSWINSZ, &w), 0);
    CHECK_EQ(got[SIGWINCH], 1);
}

static void resizes(struct pty *p, pid_t pid)
{
    struct winsize w = {.ws_row = 43, .ws_col = 132};

    (void)pid;
    expect(p->master, "1");
    CHECK_EQ(ioctl(p->master, TIOCSWINSZ, &w), 0);
}

TEST(window_change_signal)
{
    session(gets_winch, resizes);
}

static void background_members(struct pty *p)
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        char c;

        CHECK_EQ(setpgid(0, 0), 0);
        /* Ignored or blocked: the read fails instead of stopping the process. */
        (void)signal(SIGTTIN, SIG_IGN);
        CHECK_ERRNO(read(p->slave, &c, 1), EIO);
        (void)signal(SIGTTIN, SIG_DFL);
        /* Writing is free unless TOSTOP is set. */
        CHECK_EQ(write(p->slave, "w", 1), 1);
        (void)signal(SIGTTOU, SIG_IGN);
        pty_lflag(p->slave, TOSTOP, 0);
        CHECK_EQ(write(p->slave, "i", 1), 1);
        (void)signal(SIGTTOU, SIG_DFL);
        CHECK_EQ(read(p->slave, &c, 1), 1);
        CHECK_EQ(write(p->slave, "o", 1), 1);
        struct termios t;
        CHECK_EQ(tcgetattr(p->slave, &t), 0);
        CHECK_EQ(tcsetattr(p->slave, TCSANOW, &t), 0);
        _exit(0);
    }
    (void)signal(SIGTTOU, SIG_IGN);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    /* Give it the terminal, let it read, and take the terminal back before it goes on. */
    CHECK_EQ(tcsetpgrp(p->slave, pid), 0);
    CHECK_EQ(kill(-pid, SIGCONT), 0);
    say(p, "g");
    for (;;) {
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        if (WIFEXITED(status))
            break;
        CHECK_EQ(WSTOPSIG(status), SIGTTOU);
        CHECK_EQ(tcsetpgrp(p->slave, pid), 0);
        CHECK_EQ(kill(-pid, SIGCONT), 0);
    }
    CHECK_EQ(status, 0);
    CHECK_EQ(tcsetpgrp(p->slave, getpid()), 0);
}

static void feeds_background(struct pty *p, pid_t pid)
{
    (void)pid;
    expect(p->master, "wig");
    type(p->master, "l\n");
    expect(p->master, "l\r\no");
}

TEST(background_reads_and_writes)
{
    session(background_members, feeds_background);
}

static void stops_on_ttou(struct pty *p)
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        struct termios t;
        char c;

        CHECK_EQ(setpgid(0, 0), 0);
        CHECK_EQ(tcgetattr(p->slave, &t), 0);
        /* Changing modes, the foreground group or flushing from the background stops. */
        CHECK_EQ(tcsetattr(p->slave, TCSANOW, &t), 0);
        CHECK_EQ(setpgid(0, 0), 0);
        (void)c;
        _exit(3);
    }
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    CHECK_EQ(tcsetpgrp(p->slave, pid), 0);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    /* The foreground group has died out; the leader is in the background now, in a group that is
     * orphaned: no signal, since nobody could continue it. */
    catch (SIGTTOU);
    CHECK_ERRNO(tcsetpgrp(p->slave, getpid()), ENOTTY);
    CHECK_EQ(got[SIGTTOU], 0);
    (void)signal(SIGTTOU, SIG_IGN);
    CHECK_EQ(tcsetpgrp(p->slave, getpid()), 0);
}

TEST(background_mode_change_stops)
{
    session(stops_on_ttou, NULL);
}

static void orphans_get_eio(struct pty *p)
{
    int done[2];
    char c;
    pid_t pid;

    CHECK_EQ(pipe(done), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        /* Its group has no member with a parent in the session's other groups once we exit. */
        pid_t parent = getpid();

        CHECK_EQ(setpgid(0, 0), 0);
        if (fork() == 0) {
            while (getppid() == parent)
                gt_msleep(1);
            errno = 0;
            ssize_t n = read(p->slave, &c, 1);
            c = n == -1 && errno == EIO ? 'y' : 'n';
            (void)!write(done[1], &c, 1);
            _exit(0);
        }
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(read(done[0], &c, 1), 1);
    CHECK_EQ(c, 'y');
}

TEST(orphaned_group_reads_eio)
{
    session(orphans_get_eio, NULL);
}

static void checks_tcsetpgrp(struct pty *p)
{
    pid_t pid, fg = -1;

    CHECK_ERRNO(tcsetpgrp(p->slave, -1), EINVAL);
    CHECK_ERRNO(tcsetpgrp(p->slave, 0x3fffffff), ESRCH);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(setsid() > 0);
        pause();
        _exit(0);
    }
    while (getsid(pid) != pid)
        sched_yield();
    /* A group of another session. */
    CHECK_ERRNO(tcsetpgrp(p->slave, pid), EPERM);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(ioctl(p->slave, TIOCGPGRP, &fg), 0);
    CHECK_EQ(fg, getpid());
    CHECK_ERRNO(ioctl(p->slave, TIOCSPGRP, (void *)8), EFAULT);
}

TEST(tcsetpgrp_errors)
{
    session(checks_tcsetpgrp, NULL);
}

static void gives_up_terminal(struct pty *p)
{
    catch (SIGHUP);
    (void)signal(SIGCONT, on_signal);
    CHECK_EQ(ioctl(p->slave, TIOCNOTTY), 0);
    CHECK_EQ(got[SIGHUP], 1);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(tcgetpgrp(p->slave), ENOTTY);
    /* The terminal is free to be taken again. */
    CHECK_EQ(ioctl(p->slave, TIOCSCTTY, 0), 0);
    CHECK_EQ(tcgetsid(p->slave), getpid());
}

TEST(give_up_the_terminal)
{
    session(gives_up_terminal, NULL);
}

static void waits_for_hup(struct pty *p)
{
    char c;

    catch (SIGHUP);
    say(p, "1");
    while (!got[SIGHUP])
        gt_msleep(1);
    CHECK_EQ(read(p->slave, &c, 1), 0);
    CHECK_ERRNO(write(p->slave, "x", 1), EIO);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
}

static void hangs_up(struct pty *p, pid_t pid)
{
    (void)pid;
    expect(p->master, "1");
    close(p->master);
}

TEST(closing_the_master_sends_hangup)
{
    session(waits_for_hup, hangs_up);
}

TEST(leaders_exit_sends_hangup_to_the_foreground)
{
    struct pty p = pty_open();
    int out[2];
    char buf[8];

    CHECK_EQ(pipe(out), 0);
    pid_t pid = FORK({
        int ready[2];
        char c;

        lead_session(&p);
        CHECK_EQ(pipe(ready), 0);
        if (fork() == 0) {
            catch (SIGHUP);
            CHECK_EQ(write(ready[1], "r", 1), 1);
            while (!got[SIGHUP])
                gt_msleep(1);
            CHECK_EQ(write(out[1], "hup", 3), 3);
            _exit(0);
        }
        CHECK_EQ(read(ready[0], &c, 1), 1);
    });
    close(out[1]);
    wait_ok(pid);
    CHECK_EQ(read(out[0], buf, 8), 3);
}

/* A job of two processes as a shell starts it: both sides call setpgid, the shell hands over the
 * terminal, the user presses ^Z, the shell takes the terminal back, and later continues the job. */
static void shell(struct pty *p)
{
    pid_t first, second;
    int status, ends[2], stopped = 0;

    (void)signal(SIGTTOU, SIG_IGN);
    (void)signal(SIGTSTP, SIG_IGN);
    CHECK_EQ(pipe(ends), 0);
    first = fork();
    CHECK(first >= 0);
    if (first == 0) {
        char buf[32];
        ssize_t n;

        (void)setpgid(0, 0);
        (void)tcsetpgrp(p->slave, getpid());
        (void)signal(SIGTTOU, SIG_DFL);
        (void)signal(SIGTSTP, SIG_DFL);
        close(ends[0]);
        CHECK((n = read(p->slave, buf, sizeof(buf))) > 0);
        CHECK_EQ(write(ends[1], buf, (size_t)n), n);
        _exit(0);
    }
    CHECK(setpgid(first, first) == 0 || errno == EACCES);
    second = fork();
    CHECK(second >= 0);
    if (second == 0) {
        char buf[32];
        ssize_t n;

        (void)setpgid(0, first);
        (void)signal(SIGTTOU, SIG_DFL);
        (void)signal(SIGTSTP, SIG_DFL);
        close(ends[1]);
        CHECK((n = read(ends[0], buf, sizeof(buf))) > 0);
        CHECK_EQ(write(p->slave, buf, (size_t)n), n);
        _exit(5);
    }
    CHECK_EQ(setpgid(second, first), 0);
    CHECK_EQ(tcsetpgrp(p->slave, first), 0);
    close(ends[0]);
    close(ends[1]);
    gt_wait_state(first, "S");
    gt_wait_state(second, "S");
    say(p, "run");
    while (stopped < 2) {
        pid_t pid = waitpid(-1, &status, WUNTRACED);

        CHECK(pid == first || pid == second);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
        stopped++;
    }
    CHECK_EQ(tcsetpgrp(p->slave, getpgrp()), 0);
    say(p, "stopped");
    CHECK_EQ(tcsetpgrp(p->slave, first), 0);
    CHECK_EQ(kill(-first, SIGCONT), 0);
    CHECK_EQ(waitpid(first, &status, WCONTINUED), first);
    CHECK(WIFCONTINUED(status));
    say(p, "fg");
    CHECK_EQ(waitpid(first, &status, WUNTRACED), first);
    CHECK_EQ(status, 0);
    do
        CHECK_EQ(waitpid(second, &status, WUNTRACED | WCONTINUED), second);
    while (!WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 5);
    CHECK_EQ(tcsetpgrp(p->slave, getpgrp()), 0);
    say(p, "done");
}

static void user(struct pty *p, pid_t pid)
{
    (void)pid;
    expect(p->master, "run");
    type(p->master, "\x1a");
    expect(p->master, "^Z");
    expect(p->master, "stopped");
    expect(p->master, "fg");
    type(p->master, "line\n");
    expect(p->master, "line\r\nline\r\ndone");
}

TEST(job_control_as_a_shell_does_it)
{
    session(shell, user);
}

static void inject(struct pty *p)
{
    char c;

    pty_lflag(p->slave, 0, ECHO | ICANON);
    if (ioctl(p->slave, TIOCSTI, "q") < 0) {
        CHECK(errno == EIO || errno == EPERM || errno == ENOTTY);
        return;
    }
    CHECK_EQ(read(p->slave, &c, 1), 1);
    CHECK_EQ(c, 'q');
}

TEST(simulated_input)
{
    session(inject, NULL);
}

static void group_only_gets_it(struct pty *p)
{
    int status;

    (void)signal(SIGTTOU, SIG_IGN);
    catch (SIGINT);
    pid_t pid = FORK({
        (void)setpgid(0, 0);
        (void)signal(SIGINT, SIG_DFL);
        CHECK_EQ(tcsetpgrp(p->slave, getpid()), 0);
        say(p, "1");
        for (;;)
            pause();
    });
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    CHECK_EQ(got[SIGINT], 0);
}

static void interrupts_once(struct pty *p, pid_t pid)
{
    (void)pid;
    expect(p->master, "1");
    type(p->master, "\x03");
}

TEST(only_the_foreground_group_is_signalled)
{
    session(group_only_gets_it, interrupts_once);
}

static void waits_for_master_signal(struct pty *p)
{
    catch (SIGTERM);
    catch (SIGINT);
    say(p, "1");
    while (!got[SIGINT])
        gt_msleep(1);
    CHECK_EQ(got[SIGTERM], 0);
}

static void signals_from_master(struct pty *p, pid_t pid)
{
    (void)pid;
    expect(p->master, "1");
    CHECK_ERRNO(ioctl(p->master, TIOCSIG, SIGTERM), EINVAL);
    CHECK_EQ(ioctl(p->master, TIOCSIG, SIGINT), 0);
}

TEST(signal_from_the_master)
{
    session(waits_for_master_signal, signals_from_master);
}
