/*
 * Pipes and FIFOs: blocking and non-blocking rules, capacity and its change, packet mode,
 * PIPE_BUF atomicity, end of file, SIGPIPE, FIONREAD, and how a FIFO opens.
 */
#include "scratch.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

static void set_nonblock(int fd)
{
    CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static size_t fill(int fd)
{
    static char block[4096];
    size_t total = 0;
    ssize_t n;

    set_nonblock(fd);
    while ((n = write(fd, block, sizeof(block))) > 0)
        total += (size_t)n;
    CHECK_EQ(errno, EAGAIN);
    return total;
}

TEST(flags)
{
    static const int flags[] = {0,
                                O_CLOEXEC,
                                O_NONBLOCK,
                                O_DIRECT,
                                O_CLOEXEC | O_NONBLOCK,
                                O_CLOEXEC | O_NONBLOCK | O_DIRECT};
    int p[2];

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        CHECK_EQ(pipe2(p, flags[i]), 0);
        for (int end = 0; end < 2; end++) {
            int fl = fcntl(p[end], F_GETFL);

            CHECK_EQ(fl & O_ACCMODE, end == 0 ? O_RDONLY : O_WRONLY);
            CHECK_EQ(fl & O_NONBLOCK, flags[i] & O_NONBLOCK);
            CHECK_EQ(fcntl(p[end], F_GETFD), flags[i] & O_CLOEXEC ? FD_CLOEXEC : 0);
        }
        CHECK_EQ(fcntl(p[1], F_GETFL) & O_DIRECT, flags[i] & O_DIRECT);
        close(p[0]);
        close(p[1]);
    }
    CHECK_ERRNO(pipe2(p, O_APPEND), EINVAL);
    CHECK_ERRNO(pipe2(p, 0x40000000), EINVAL);
    CHECK_ERRNO(syscall(SYS_pipe2, (void *)8, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_pipe, (void *)8), EFAULT);
    /* A failed call leaves no descriptor. */
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(p[1], p[0] + 1);
}

TEST(data_and_end_of_file)
{
    char buf[16];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "hello ", 6), 6);
    CHECK_EQ(write(p[1], "world", 5), 5);
    CHECK_EQ(read(p[0], buf, 3), 3);
    CHECK_EQ(read(p[0], buf + 3, 13), 8);
    CHECK(memcmp(buf, "hello world", 11) == 0);
    CHECK_EQ(read(p[0], buf, 0), 0);
    CHECK_EQ(write(p[1], buf, 0), 0);
    CHECK_ERRNO(read(p[1], buf, 1), EBADF);
    CHECK_ERRNO(write(p[0], buf, 1), EBADF);
    CHECK_EQ(write(p[1], "x", 1), 1);
    close(p[1]);
    CHECK_EQ(read(p[0], buf, 16), 1);
    CHECK_EQ(read(p[0], buf, 16), 0);
    CHECK_EQ(read(p[0], buf, 16), 0);
}

TEST(nonblocking)
{
    char buf[PIPE_BUF + 1];
    int p[2];

    memset(buf, 'x', sizeof(buf));
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    CHECK_ERRNO(read(p[0], buf, 1), EAGAIN);
    CHECK_EQ(fill(p[1]), 65536);
    CHECK_ERRNO(write(p[1], buf, 1), EAGAIN);
    CHECK(!fd_ready(p[1], POLLOUT));
    /* A write up to PIPE_BUF is all or nothing, a larger one may be partial. */
    CHECK_EQ(read(p[0], buf, 4096), 4096);
    CHECK(fd_ready(p[1], POLLOUT));
    CHECK_EQ(write(p[1], buf, 100), 100);
    CHECK_ERRNO(write(p[1], buf, PIPE_BUF), EAGAIN);
    ssize_t n = write(p[1], buf, PIPE_BUF + 1);
    CHECK((n > 0 && n <= PIPE_BUF - 100) || (n == -1 && errno == EAGAIN));
}

TEST(blocked_reader_wakes)
{
    int p[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[1]);
        CHECK_EQ(read(p[0], &c, 1), 1);
        CHECK_EQ(c, 'w');
        CHECK_EQ(read(p[0], &c, 1), 0);
        _exit(0);
    }
    gt_wait_state(pid, "S");
    CHECK_EQ(write(p[1], "w", 1), 1);
    close(p[1]);
    wait_ok(pid);
}

TEST(blocked_writer_wakes)
{
    static char big[200000], in[200000];
    size_t have = 0;
    int p[2];

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 31 >> 3);
    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        CHECK_EQ(write(p[1], big, sizeof(big)), sizeof(big));
        _exit(0);
    }
    close(p[1]);
    gt_wait_state(pid, "S");
    for (;;) {
        ssize_t n = read(p[0], in + have, 5000);

        CHECK(n >= 0);
        if (n == 0)
            break;
        have += (size_t)n;
    }
    CHECK_EQ(have, sizeof(big));
    CHECK(memcmp(in, big, sizeof(big)) == 0);
    wait_ok(pid);
}

static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
    got_signal = sig;
}

TEST(sigpipe)
{
    int p[2];

    CHECK_EQ(pipe(p), 0);
    close(p[0]);
    CHECK(signal(SIGPIPE, on_signal) != SIG_ERR);
    CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
    CHECK_EQ(got_signal, SIGPIPE);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
    CHECK_EQ(write(p[1], "x", 0), 0);
    struct pollfd pf = {.fd = p[1], .events = POLLOUT};
    CHECK_EQ(poll(&pf, 1, 0), 1);
    CHECK(pf.revents & POLLERR);
    (void)signal(SIGPIPE, SIG_DFL);
    pid_t pid = FORK({ (void)!write(p[1], "x", 1); });
    CHECK_KILLED(pid, SIGPIPE);
}

TEST(writer_that_loses_its_reader)
{
    static char big[200000];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        (void)signal(SIGPIPE, SIG_IGN);
        /* What was taken before the reader left is reported; the next write fails. */
        CHECK(write(p[1], big, sizeof(big)) > 0);
        CHECK_ERRNO(write(p[1], big, sizeof(big)), EPIPE);
        _exit(0);
    }
    close(p[1]);
    gt_wait_state(pid, "S");
    close(p[0]);
    wait_ok(pid);
}

TEST(interrupted_read)
{
    struct sigaction sa = {.sa_handler = on_signal};
    int p[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
        CHECK_ERRNO(read(p[0], &c, 1), EINTR);
        CHECK_EQ(got_signal, SIGUSR1);
        sa.sa_flags = SA_RESTART;
        CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
        CHECK_EQ(write(p[1], "r", 1), 1);
        CHECK_EQ(read(p[0], &c, 1), 1);
        /* Tell the parent through the same pipe's far end: block until restarted and fed. */
        got_signal = 0;
        CHECK_EQ(read(p[0], &c, 1), 1);
        CHECK_EQ(c, 'z');
        CHECK_EQ(got_signal, SIGUSR1);
        _exit(0);
    }
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    /* The child is asleep in its last read once it has emptied the pipe. */
    for (int n = -1; n != 0; gt_msleep(5))
        CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    gt_wait_state(pid, "S");
    gt_msleep(50);
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    gt_msleep(20);
    gt_wait_state(pid, "S");
    CHECK_EQ(write(p[1], "z", 1), 1);
    wait_ok(pid);
}

TEST(resize)
{
    int p[2], size;
    char c = 0;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
    size = fcntl(p[1], F_SETPIPE_SZ, 1);
    CHECK(size >= 4096);
    CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), size);
    CHECK_EQ(fill(p[1]), size);
    size = fcntl(p[0], F_SETPIPE_SZ, 200000);
    CHECK_EQ(size, 262144);
    CHECK(fd_ready(p[1], POLLOUT));
    (void)fill(p[1]);
    CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
    while (read(p[0], &c, 1) == 1 && fcntl(p[0], F_SETPIPE_SZ, 4096) < 0) {
        static char sink[65536];

        set_nonblock(p[0]);
        (void)!read(p[0], sink, sizeof(sink));
    }
    CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 0x80000001u), EINVAL);
    scratch();
    put_file("f", "");
    int fd = open("f", O_RDONLY);
    CHECK_ERRNO(fcntl(fd, F_GETPIPE_SZ), EBADF);
    CHECK_ERRNO(fcntl(fd, F_SETPIPE_SZ, 4096), EBADF);
}

TEST(resize_limit_for_users)
{
    int p[2];

    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(fcntl(p[0], F_SETPIPE_SZ, 64 << 20), EPERM);
        CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 131072), 131072);
        _exit(0);
    }
    wait_ok(pid);
}

TEST(packet_mode)
{
    char buf[8192];
    int p[2];

    CHECK_EQ(pipe2(p, O_DIRECT), 0);
    CHECK_EQ(write(p[1], "one", 3), 3);
    CHECK_EQ(write(p[1], "second", 6), 6);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 3);
    /* What does not fit is dropped. */
    CHECK_EQ(read(p[0], buf, 2), 2);
    CHECK(memcmp(buf, "se", 2) == 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 1);
    /* More than PIPE_BUF becomes several packets. */
    memset(buf, 'p', sizeof(buf));
    CHECK_EQ(write(p[1], buf, 5000), 5000);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 4096);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 904);
}

TEST(fionread_and_poll)
{
    int p[2], n = -1;
    char c;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
    CHECK(!fd_ready(p[0], POLLIN));
    CHECK(fd_ready(p[1], POLLOUT));
    CHECK_EQ(write(p[1], "abc", 3), 3);
    CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 3);
    CHECK(fd_ready(p[0], POLLIN));
    CHECK_ERRNO(ioctl(p[0], TIOCGWINSZ, &c), ENOTTY);
    close(p[1]);
    struct pollfd pf = {.fd = p[0], .events = POLLIN};
    CHECK_EQ(poll(&pf, 1, 0), 1);
    CHECK_EQ(pf.revents, POLLIN | POLLHUP);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(poll(&pf, 1, 0), 1);
    CHECK_EQ(pf.revents, POLLHUP);
}

TEST(many_writers_are_atomic_up_to_pipe_buf)
{
    enum { WRITERS = 4, RECORDS = 200, SIZE = 1000 };
    int p[2], seen[WRITERS] = {0};
    static unsigned char buf[SIZE];

    CHECK_EQ(pipe(p), 0);
    for (int w = 0; w < WRITERS; w++) {
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0) {
            memset(buf, 'a' + w, SIZE);
            for (int i = 0; i < RECORDS; i++)
                CHECK_EQ(write(p[1], buf, SIZE), SIZE);
            _exit(0);
        }
    }
    close(p[1]);
    for (int i = 0; i < WRITERS * RECORDS; i++) {
        for (size_t have = 0; have < SIZE;) {
            ssize_t n = read(p[0], buf + have, SIZE - have);

            CHECK(n > 0);
            have += (size_t)n;
        }
        CHECK(buf[0] >= 'a' && buf[0] < 'a' + WRITERS);
        for (int j = 1; j < SIZE; j++)
            CHECK_EQ(buf[j], buf[0]);
        seen[buf[0] - 'a']++;
    }
    CHECK_EQ(read(p[0], buf, 1), 0);
    for (int w = 0; w < WRITERS; w++) {
        int status;

        CHECK_EQ(seen[w], RECORDS);
        CHECK(waitpid(-1, &status, 0) > 0);
        CHECK_EQ(status, 0);
    }
}

TEST(vectors_through_a_pipe)
{
    char a[4], b[8];
    struct iovec out[2] = {{"abc", 3}, {"defgh", 5}}, in[2] = {{a, 4}, {b, 8}};
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(writev(p[1], out, 2), 8);
    CHECK_EQ(readv(p[0], in, 2), 8);
    CHECK(memcmp(a, "abcd", 4) == 0 && memcmp(b, "efgh", 4) == 0);
    CHECK_ERRNO(preadv2(p[0], in, 1, 0, 0), ESPIPE);
    CHECK_ERRNO(preadv2(p[0], in, 1, -1, RWF_NOWAIT), EAGAIN);
}

TEST(bad_address_takes_no_data)
{
    char buf[8];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(syscall(SYS_write, p[1], (void *)8, 4), EFAULT);
    CHECK(!fd_ready(p[0], POLLIN));
    CHECK_EQ(write(p[1], "data", 4), 4);
    CHECK_ERRNO(syscall(SYS_read, p[0], (void *)8, 4), EFAULT);
    CHECK_EQ(read(p[0], buf, 8), 4);
}

TEST(reopen_through_proc)
{
    char link[64], c;
    int p[2], again;

    CHECK_EQ(pipe(p), 0);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", p[0]);
    again = open(link, O_WRONLY);
    CHECK(again >= 0);
    CHECK_EQ(write(again, "y", 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(c, 'y');
}

TEST(fifo_nonblocking_open)
{
    int r, w;
    char c;

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    CHECK_ERRNO(mkfifo("p", 0600), EEXIST);
    CHECK_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK((r = open("p", O_RDONLY | O_NONBLOCK)) >= 0);
    /* Without a writer a read is end of file; with one that is silent it is EAGAIN. */
    CHECK_EQ(read(r, &c, 1), 0);
    CHECK((w = open("p", O_WRONLY | O_NONBLOCK)) >= 0);
    CHECK_ERRNO(read(r, &c, 1), EAGAIN);
    CHECK_EQ(write(w, "x", 1), 1);
    CHECK_EQ(read(r, &c, 1), 1);
    close(w);
    CHECK_EQ(read(r, &c, 1), 0);
    CHECK_ERRNO(lseek(r, 0, SEEK_SET), ESPIPE);
}

TEST(fifo_read_write_open_never_blocks)
{
    int fd;
    char c;

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    fd = open("p", O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "q", 1), 1);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(c, 'q');
}

TEST(fifo_blocking_open)
{
    char c;
    int fd;

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    for (int writer = 0; writer < 2; writer++) {
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0) {
            fd = open("p", writer ? O_WRONLY : O_RDONLY);
            CHECK(fd >= 0);
            if (writer) {
                CHECK_EQ(write(fd, "c", 1), 1);
            } else {
                CHECK_EQ(read(fd, &c, 1), 1);
                CHECK_EQ(c, 'p');
                CHECK_EQ(read(fd, &c, 1), 0);
            }
            _exit(0);
        }
        gt_wait_state(pid, "S");
        CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
        fd = open("p", writer ? O_RDONLY : O_WRONLY);
        CHECK(fd >= 0);
        if (writer) {
            CHECK_EQ(read(fd, &c, 1), 1);
            CHECK_EQ(c, 'c');
            CHECK_EQ(read(fd, &c, 1), 0);
        } else {
            CHECK_EQ(write(fd, "p", 1), 1);
        }
        close(fd);
        wait_ok(pid);
    }
}

TEST(fifo_open_is_interrupted)
{
    struct sigaction sa = {.sa_handler = on_signal};

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
        CHECK_ERRNO(open("p", O_RDONLY), EINTR);
        _exit(0);
    }
    /* The handler may not be there yet: repeat the signal only after the child sleeps. */
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    wait_ok(pid);
}
