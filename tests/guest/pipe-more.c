/*
 * Pipes and FIFOs, continued: many readers and writers, interrupted and restarted transfers, resizing
 * in use, limits for users, signals for readiness, FIFOs with several openers, and odd sizes.
 */
#include "scratch.h"

#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
    got_signal = sig;
}

TEST(many_readers_and_writers)
{
    enum { WRITERS = 3, READERS = 3, EACH = 2000 };
    uint64_t *sums = gt_shared(4096);
    pid_t w[WRITERS], r[READERS];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    for (int i = 0; i < WRITERS; i++) {
        w[i] = FORK({
            close(p[0]);
            for (uint64_t k = 1; k <= EACH; k++)
                CHECK_EQ(write(p[1], &k, 8), 8);
        });
    }
    for (int i = 0; i < READERS; i++) {
        r[i] = FORK({
            uint64_t v;
            ssize_t n;

            close(p[1]);
            /* Units of 8 bytes in, units of 8 bytes out: they never tear. */
            while ((n = read(p[0], &v, 8)) == 8) {
                CHECK(v >= 1 && v <= EACH);
                sums[i] += v;
            }
            CHECK_EQ(n, 0);
        });
    }
    close(p[0]);
    close(p[1]);
    uint64_t total = 0;
    for (int i = 0; i < WRITERS; i++)
        wait_ok(w[i]);
    for (int i = 0; i < READERS; i++) {
        wait_ok(r[i]);
        total += sums[i];
    }
    CHECK_EQ(total, (uint64_t)WRITERS * EACH * (EACH + 1) / 2);
}

TEST(ping_pong)
{
    int a[2], b[2];
    uint32_t v;

    CHECK_EQ(pipe(a), 0);
    CHECK_EQ(pipe(b), 0);
    pid_t pid = FORK({
        while (read(a[0], &v, 4) == 4) {
            v++;
            CHECK_EQ(write(b[1], &v, 4), 4);
            if (v >= 5000)
                break;
        }
    });
    v = 0;
    while (v < 5000) {
        uint32_t sent = v;

        CHECK_EQ(write(a[1], &v, 4), 4);
        CHECK_EQ(read(b[0], &v, 4), 4);
        CHECK_EQ(v, sent + 1);
    }
    wait_ok(pid);
}

TEST(interrupted_write_reports_what_went)
{
    static char big[300000];
    struct sigaction sa = {.sa_handler = on_signal};
    int p[2], ready[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pipe(ready), 0);
    pid_t pid = FORK({
        ssize_t n;

        CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
        CHECK_EQ(write(ready[1], "r", 1), 1);
        n = write(p[1], big, sizeof(big));
        CHECK_EQ(n, 65536);
        CHECK_EQ(got_signal, SIGUSR1);
        /* With nothing written it is EINTR, and with SA_RESTART it goes on. */
        CHECK_ERRNO(write(p[1], big, 1), EINTR);
    });
    CHECK_EQ(read(ready[0], &c, 1), 1);
    for (int n = 0; n < 65536;)
        CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    gt_msleep(50);
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    /* The first may have been taken before the second write slept. */
    for (int status; waitpid(pid, &status, WNOHANG) == 0; gt_msleep(10))
        (void)kill(pid, SIGUSR1);
}

TEST(restarted_write)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    static char big[65536];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    CHECK_EQ(write(p[1], big, 65536), 65536);
    pid_t pid = FORK({
        CHECK_EQ(write(p[1], "!", 1), 1);
        CHECK_EQ(got_signal, SIGUSR1);
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    gt_msleep(20);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_EQ(read(p[0], big, 65536), 65536);
    wait_ok(pid);
    CHECK_EQ(read(p[0], big, 10), 1);
}

static int small_pipe[2];

static void *fails_to_write(void *arg)
{
    sigset_t pending;

    (void)arg;
    /* SIGPIPE goes to the thread that wrote. */
    CHECK_ERRNO(write(small_pipe[1], "x", 1), EPIPE);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 1);
    return NULL;
}

TEST(sigpipe_is_the_threads_own)
{
    sigset_t set, pending;
    pthread_t t;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(pipe(small_pipe), 0);
    close(small_pipe[0]);
    CHECK_EQ(pthread_create(&t, NULL, fails_to_write, NULL), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST(resizing_while_data_flows)
{
    enum { TOTAL = 2 << 20 };
    static unsigned char in[65536];
    static const int sizes[] = {4096, 8192, 65536, 262144, 1 << 20};
    unsigned char next = 0;
    size_t have = 0;
    int p[2];

    CHECK_EQ(pipe(p), 0);
    pid_t pid = FORK({
        static unsigned char out[10007];
        unsigned char v = 0;

        close(p[0]);
        for (size_t done = 0; done < TOTAL;) {
            size_t n = TOTAL - done < sizeof(out) ? TOTAL - done : sizeof(out);

            for (size_t i = 0; i < n; i++)
                out[i] = v++;
            CHECK_EQ(write(p[1], out, n), n);
            done += n;
        }
    });
    close(p[1]);
    for (int i = 0;; i++) {
        ssize_t n = read(p[0], in, 5003);

        CHECK(n >= 0);
        if (n == 0)
            break;
        for (ssize_t k = 0; k < n; k++)
            CHECK_EQ(in[k], next++);
        have += (size_t)n;
        if (i % 16 == 0) {
            errno = 0;
            int r = fcntl(p[0], F_SETPIPE_SZ, sizes[i / 16 % 5]);

            CHECK(r >= 4096 || errno == EBUSY);
        }
    }
    CHECK_EQ(have, TOTAL);
    wait_ok(pid);
}

TEST(shrinking_keeps_what_is_in)
{
    char buf[8192];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "abcdefgh", 8), 8);
    CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 4096), 4096);
    CHECK_EQ(read(p[0], buf, 3), 3);
    CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 5);
    CHECK(memcmp(buf, "defgh", 5) == 0);
}

TEST(growing_wakes_the_writer)
{
    static char block[8192];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 4096), 4096);
    CHECK_EQ(write(p[1], block, 4096), 4096);
    pid_t pid = FORK({ CHECK_EQ(write(p[1], block, 4096), 4096); });
    gt_wait_state(pid, "S");
    CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 65536), 65536);
    wait_ok(pid);
}

TEST(signal_driven)
{
    int p[2];
    char c;

    CHECK(signal(SIGIO, on_signal) != SIG_ERR);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(fcntl(p[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK), 0);
    CHECK_ERRNO(read(p[0], &c, 1), EAGAIN);
    pid_t pid = FORK({ CHECK_EQ(write(p[1], "x", 1), 1); });
    wait_ok(pid);
    for (int i = 0; i < 2000 && !got_signal; i++)
        gt_msleep(1);
    CHECK_EQ(got_signal, SIGIO);
    CHECK_EQ(read(p[0], &c, 1), 1);
}

TEST(fifo_is_one_object_for_all_openers)
{
    char buf[16];
    int a, b, w;

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    CHECK_EQ(link("p", "q"), 0);
    a = open("p", O_RDONLY | O_NONBLOCK);
    b = open("q", O_RDONLY | O_NONBLOCK);
    w = open("p", O_WRONLY);
    CHECK_EQ(write(w, "abcd", 4), 4);
    CHECK_EQ(read(a, buf, 2), 2);
    CHECK_EQ(read(b, buf + 2, 2), 2);
    CHECK(memcmp(buf, "abcd", 4) == 0);
    /* What was written is gone when the last one closes. */
    CHECK_EQ(write(w, "lost", 4), 4);
    close(a);
    close(b);
    close(w);
    a = open("p", O_RDWR | O_NONBLOCK);
    CHECK_ERRNO(read(a, buf, 16), EAGAIN);
}

TEST(fifo_outlives_its_name)
{
    char buf[8];
    int r, w;

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    r = open("p", O_RDONLY | O_NONBLOCK);
    w = open("p", O_WRONLY);
    CHECK_EQ(unlink("p"), 0);
    CHECK_EQ(write(w, "still", 5), 5);
    CHECK_EQ(read(r, buf, 8), 5);
    /* Another FIFO of the same name is another object. */
    CHECK_EQ(mkfifo("p", 0600), 0);
    CHECK_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
}

TEST(fifo_end_of_file_and_new_writer)
{
    char c;
    int r, w;

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    r = open("p", O_RDONLY | O_NONBLOCK);
    for (int i = 0; i < 3; i++) {
        w = open("p", O_WRONLY);
        CHECK_ERRNO(read(r, &c, 1), EAGAIN);
        CHECK_EQ(write(w, "x", 1), 1);
        close(w);
        CHECK_EQ(read(r, &c, 1), 1);
        CHECK_EQ(read(r, &c, 1), 0);
        struct pollfd f = {.fd = r, .events = POLLIN};
        CHECK_EQ(poll(&f, 1, 0), 1);
        CHECK_EQ(f.revents, POLLHUP);
    }
}

TEST(fifo_many_openers_at_once)
{
    enum { PAIRS = 4 };
    pid_t pids[PAIRS * 2];

    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    /* Blocking opens of both kinds find each other in any order. */
    for (int i = 0; i < PAIRS * 2; i++) {
        pids[i] = FORK({
            int fd = open("p", i & 1 ? O_WRONLY : O_RDONLY);

            CHECK(fd >= 0);
            (void)signal(SIGPIPE, SIG_IGN);
            if (i & 1)
                CHECK(write(fd, "token", 5) == 5 || errno == EPIPE);
            else
                CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1), 1);
        });
    }
    /* Helps those whose partners have come and gone already. */
    int keep = open("p", O_RDWR);
    CHECK(keep >= 0);
    CHECK_EQ(write(keep, "token", 5), 5);
    for (int i = 0; i < PAIRS * 2; i++)
        wait_ok(pids[i]);
}

TEST(fifo_permissions)
{
    scratch();
    CHECK_EQ(mkfifo("p", 0600), 0);
    CHECK_EQ(mkfifo("w", 0602), 0);
    CHECK_EQ(chmod("w", 0602), 0);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(open("p", O_RDONLY | O_NONBLOCK), EACCES);
        CHECK_ERRNO(open("p", O_RDWR), EACCES);
        CHECK_ERRNO(open("w", O_RDONLY | O_NONBLOCK), EACCES);
        CHECK_ERRNO(open("w", O_WRONLY | O_NONBLOCK), ENXIO);
    });
    wait_ok(pid);
}

TEST(odd_sizes_come_out_as_they_went_in)
{
    static unsigned char out[200000], in[200000];
    size_t have = 0;
    int p[2];

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (unsigned char)(i * 131 >> 3);
    CHECK_EQ(pipe(p), 0);
    pid_t pid = FORK({
        close(p[0]);
        for (size_t done = 0, step = 1; done < sizeof(out); step = step * 7 % 9973 + 1) {
            size_t n = sizeof(out) - done < step ? sizeof(out) - done : step;
            struct iovec iov[3] = {
                {out + done, n / 3}, {out + done + n / 3, 0}, {out + done + n / 3, n - n / 3}};

            CHECK_EQ(writev(p[1], iov, 3), n);
            done += n;
        }
    });
    close(p[1]);
    for (size_t step = 1;; step = step * 5 % 7919 + 1) {
        size_t room = sizeof(in) - have < step ? sizeof(in) - have : step;
        ssize_t n = read(p[0], in + have, room ? room : 1);

        CHECK(n >= 0);
        if (n == 0)
            break;
        have += (size_t)n;
    }
    CHECK_EQ(have, sizeof(out));
    CHECK(memcmp(in, out, sizeof(out)) == 0);
    wait_ok(pid);
}

TEST(stat_and_names)
{
    char path[64], link[64], want[64];
    struct stat a, b;
    int p[2], q[2];
    ssize_t n;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pipe(q), 0);
    CHECK_EQ(fstat(p[0], &a), 0);
    CHECK_EQ(fstat(p[1], &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(a.st_mode, S_IFIFO | 0600);
    CHECK_EQ(a.st_uid, getuid());
    CHECK_EQ(fstat(q[0], &b), 0);
    CHECK(a.st_ino != b.st_ino);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
    CHECK((n = readlink(path, link, sizeof(link) - 1)) > 0);
    link[n] = '\0';
    (void)snprintf(want, sizeof(want), "pipe:[%lu]", (unsigned long)a.st_ino);
    CHECK_STR(link, want);
    CHECK_EQ(fchmod(p[0], 0644), 0);
    CHECK_EQ(fstat(p[0], &a), 0);
    CHECK_EQ(a.st_mode, S_IFIFO | 0644);
    CHECK_EQ(fchown(p[0], 5, 6), 0);
    CHECK_EQ(fstat(p[1], &a), 0);
    CHECK_EQ(a.st_uid, 5);
}

TEST(nonblocking_flag_belongs_to_the_open_file)
{
    int p[2], two;
    char c;

    CHECK_EQ(pipe(p), 0);
    two = dup(p[0]);
    CHECK_EQ(fcntl(two, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERRNO(read(p[0], &c, 1), EAGAIN);
    /* A reopened end is another open file. */
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
    int again = open(path, O_RDONLY);
    CHECK_EQ(fcntl(again, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(read(again, &c, 1), 1);
}

TEST(many_pipes)
{
    enum { COUNT = 200 };
    static int p[COUNT][2];
    char c;

    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(pipe(p[i]), 0);
        c = (char)i;
        CHECK_EQ(write(p[i][1], &c, 1), 1);
    }
    for (int i = COUNT - 1; i >= 0; i--) {
        CHECK_EQ(read(p[i][0], &c, 1), 1);
        CHECK_EQ(c, (char)i);
        CHECK_EQ(close(p[i][0]), 0);
        CHECK_EQ(close(p[i][1]), 0);
    }
}
