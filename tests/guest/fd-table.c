/*
 * The descriptor table and fcntl: dup and its kin, close_range, flags of descriptors and of open
 * files, exec, and limits.
 */
#include "scratch.h"

#include <linux/close_range.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#ifndef F_GETOWN_EX
#define F_SETOWN_EX 15
#define F_GETOWN_EX 16
#endif

static int open_f(int flags)
{
    int fd;

    scratch();
    put_file("f", "0123456789");
    fd = open("f", flags);
    CHECK(fd >= 0);
    return fd;
}

TEST(dup_takes_the_lowest)
{
    int fd = open_f(O_RDWR | O_CLOEXEC), two = dup(fd);

    CHECK(two > fd);
    CHECK_EQ(fcntl(two, F_GETFD), 0);
    CHECK_EQ(fcntl(two, F_GETFL), fcntl(fd, F_GETFL));
    close(fd);
    CHECK_EQ(dup(two), fd);
    CHECK_ERRNO(dup(-1), EBADF);
    CHECK_ERRNO(dup(9999), EBADF);
}

TEST(dup2_and_dup3)
{
    int fd = open_f(O_RDWR), other = open("f", O_RDONLY);
    char c;

    CHECK_EQ(dup2(fd, 50), 50);
    CHECK_EQ(dup2(fd, fd), fd);
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
    CHECK_EQ(read(50, &c, 1), 1);
    CHECK_EQ(c, '5');
    /* The target is closed first. */
    CHECK_EQ(dup2(fd, other), other);
    CHECK_EQ(read(other, &c, 1), 1);
    CHECK_EQ(c, '6');
    CHECK_ERRNO(dup2(-1, 60), EBADF);
    CHECK(!fd_is_open(60));
    CHECK_ERRNO(dup2(9999, 9999), EBADF);
    CHECK_ERRNO(dup2(fd, -1), EBADF);
    CHECK_ERRNO(dup2(fd, 1 << 28), EBADF);
    CHECK_EQ(dup3(fd, 61, O_CLOEXEC), 61);
    CHECK_EQ(fcntl(61, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(dup3(fd, 61, 0), 61);
    CHECK_EQ(fcntl(61, F_GETFD), 0);
    CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
    CHECK_ERRNO(dup3(fd, 61, O_NONBLOCK), EINVAL);
    CHECK_ERRNO(dup3(9999, 61, 0), EBADF);
}

TEST(dupfd)
{
    int fd = open_f(O_RDWR);

    CHECK_EQ(fcntl(fd, F_DUPFD, 70), 70);
    CHECK_EQ(fcntl(fd, F_DUPFD, 70), 71);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 70), 72);
    CHECK_EQ(fcntl(72, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(71, F_GETFD), 0);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
    CHECK_ERRNO(fcntl(-1, F_DUPFD, 0), EBADF);
}

TEST(descriptor_flags)
{
    int fd = open_f(O_RDWR), two = dup(fd);

    CHECK_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(two, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_SETFD, 0), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(ioctl(fd, FIOCLEX), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(ioctl(fd, FIONCLEX), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_ERRNO(fcntl(-1, F_GETFD), EBADF);
    CHECK_ERRNO(fcntl(fd, 9999), EINVAL);
}

TEST(status_flags)
{
    int fd = open_f(O_RDWR), two = dup(fd), on = 1;

    CHECK_EQ(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK), 0);
    CHECK_EQ(fcntl(two, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(write(fd, "+", 1), 1);
    CHECK(file_is("f", "0123456789+"));
    /* Access mode and creation flags cannot be changed, and are ignored. */
    CHECK_EQ(fcntl(fd, F_SETFL, O_WRONLY | O_CREAT | O_EXCL | O_TRUNC), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & ~0100000, O_RDWR);
    CHECK(file_is("f", "0123456789+"));
    CHECK_EQ(ioctl(fd, FIONBIO, &on), 0);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    on = 0;
    CHECK_EQ(ioctl(fd, FIONBIO, &on), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_ERRNO(ioctl(fd, 0x12345678, &on), ENOTTY);
    CHECK_ERRNO(ioctl(-1, FIONBIO, &on), EBADF);
}

TEST(owner_of_signals)
{
    struct {
        int type;
        pid_t pid;
    } ex = {1, 0};
    int sv[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(fcntl(sv[0], F_GETOWN), 0);
    CHECK_EQ(fcntl(sv[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(sv[0], F_GETOWN), getpid());
    CHECK_EQ(fcntl(sv[0], F_GETOWN_EX, &ex), 0);
    CHECK_EQ(ex.type, 1);
    CHECK_EQ(ex.pid, getpid());
    ex.type = 2;
    ex.pid = getpgrp();
    CHECK_EQ(fcntl(sv[0], F_SETOWN_EX, &ex), 0);
    CHECK_EQ(fcntl(sv[0], F_GETOWN), -getpgrp());
    ex.type = 9;
    CHECK_ERRNO(fcntl(sv[0], F_SETOWN_EX, &ex), EINVAL);
    CHECK_EQ(fcntl(sv[0], F_GETSIG), 0);
    CHECK_EQ(fcntl(sv[0], F_SETSIG, SIGUSR1), 0);
    CHECK_EQ(fcntl(sv[0], F_GETSIG), SIGUSR1);
    CHECK_ERRNO(fcntl(sv[0], F_SETSIG, 65), EINVAL);
}

static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
    got_signal = sig;
}

TEST(signal_driven_input)
{
    int sv[2];

    CHECK(signal(SIGIO, on_signal) != SIG_ERR);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(fcntl(sv[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(sv[0], F_SETFL, O_ASYNC), 0);
    CHECK(fcntl(sv[0], F_GETFL) & O_ASYNC);
    CHECK_EQ(got_signal, 0);
    CHECK_EQ(write(sv[1], "x", 1), 1);
    for (int i = 0; i < 1000 && !got_signal; i++)
        gt_msleep(1);
    CHECK_EQ(got_signal, SIGIO);
}

TEST(close_range_closes)
{
    for (int i = 100; i < 110; i++)
        CHECK_EQ(dup2(0, i), i);
    CHECK_EQ(close_range(102, 105, 0), 0);
    for (int i = 100; i < 110; i++)
        CHECK_EQ(fd_is_open(i), i < 102 || i > 105);
    CHECK_EQ(close_range(100, 109, CLOSE_RANGE_CLOEXEC), 0);
    CHECK_EQ(fcntl(101, F_GETFD), FD_CLOEXEC);
    CHECK(!fd_is_open(103));
    CHECK_EQ(close_range(100, ~0u, 0), 0);
    CHECK(!fd_is_open(109));
    CHECK_EQ(close_range(5000, 6000, 0), 0);
    CHECK_ERRNO(close_range(6, 5, 0), EINVAL);
    CHECK_ERRNO(close_range(5, 6, 8), EINVAL);
}

static void *unshares(void *arg)
{
    (void)arg;
    CHECK_EQ(close_range(100, 200, CLOSE_RANGE_UNSHARE), 0);
    CHECK(!fd_is_open(100));
    return NULL;
}

TEST(close_range_unshare)
{
    pthread_t t;

    CHECK_EQ(dup2(0, 100), 100);
    CHECK_EQ(pthread_create(&t, NULL, unshares, NULL), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK(fd_is_open(100));
}

ENTRY(openfds)
{
    CHECK(fd_is_open(80));
    CHECK(!fd_is_open(81));
    CHECK(!fd_is_open(82));
    CHECK_EQ(fcntl(80, F_GETFD), 0);
    CHECK_EQ(lseek(80, 0, SEEK_CUR), 3);
    return 0;
}

TEST(exec_closes_what_is_marked)
{
    int fd = open_f(O_RDONLY);

    CHECK_EQ(dup2(fd, 80), 80);
    CHECK_EQ(dup3(fd, 81, O_CLOEXEC), 81);
    CHECK_EQ(dup2(fd, 82), 82);
    CHECK_EQ(fcntl(82, F_SETFD, FD_CLOEXEC), 0);
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    pid_t pid = FORK({
        execl(gt_self, gt_self, "-xopenfds", NULL);
        _exit(99);
    });
    wait_ok(pid);
}

TEST(fork_copies_the_table)
{
    int fd = open_f(O_RDONLY);
    pid_t pid = FORK({
        CHECK_EQ(close(fd), 0);
        CHECK_EQ(dup2(0, 90), 90);
    });

    wait_ok(pid);
    CHECK(fd_is_open(fd));
    CHECK(!fd_is_open(90));
}

static void *closes(void *arg)
{
    CHECK_EQ(close(*(int *)arg), 0);
    return NULL;
}

TEST(threads_share_the_table)
{
    int fd = open_f(O_RDONLY);
    pthread_t t;

    CHECK_EQ(pthread_create(&t, NULL, closes, &fd), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_ERRNO(close(fd), EBADF);
}

TEST(nofile_limit)
{
    struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};
    int p[2], sv[2], n = 0;

    CHECK_EQ(dup2(0, 100), 100);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    /* What is open above the limit stays. */
    CHECK(fd_is_open(100));
    CHECK_EQ(close(100), 0);
    CHECK_ERRNO(dup2(0, 64), EBADF);
    CHECK_EQ(dup2(0, 63), 63);
    while (dup(0) >= 0)
        n++;
    CHECK_EQ(errno, EMFILE);
    CHECK_ERRNO(pipe(p), EMFILE);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), EMFILE);
    CHECK_ERRNO(fcntl(0, F_DUPFD, 5), EMFILE);
    CHECK_ERRNO(memfd_create("x", 0), EMFILE);
    /* With one free a pair still does not fit, and leaves it free. */
    CHECK_EQ(close(30), 0);
    CHECK_ERRNO(pipe(p), EMFILE);
    CHECK_EQ(dup(0), 30);
}

TEST_TIMEOUT(many_descriptors, 60)
{
    struct rlimit limit;
    int last = -1, want;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 5000 ? limit.rlim_max : 5000;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    want = (int)limit.rlim_cur;
    for (int fd; (fd = dup(0)) >= 0;)
        last = fd;
    CHECK_EQ(last, want - 1);
    CHECK_EQ(close_range(10, ~0u, 0), 0);
    CHECK_EQ(dup(0) >= 0, 1);
}

TEST(file_seals_on_ordinary_files)
{
    int fd = open_f(O_RDWR);

    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EINVAL);
    CHECK_ERRNO(fcntl(fd, F_GET_SEALS), EINVAL);
}

TEST(leases)
{
    int fd = open_f(O_RDONLY);

    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        SKIP("no leases here: %s", gt_errname(errno));
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
    /* A writer that would break it does not wait with O_NONBLOCK. */
    CHECK(signal(SIGIO, on_signal) != SIG_ERR);
    pid_t pid = FORK({ CHECK_ERRNO(open("f", O_RDWR | O_NONBLOCK), EWOULDBLOCK); });
    wait_ok(pid);
    for (int i = 0; i < 1000 && !got_signal; i++)
        gt_msleep(1);
    CHECK_EQ(got_signal, SIGIO);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
}

TEST(rw_hints)
{
    uint64_t hint = 99;
    int fd = open_f(O_RDWR);

    if (fcntl(fd, 1035 /* F_GET_RW_HINT */ + 0, &hint) < 0)
        SKIP("no write hints here");
    CHECK_EQ(hint, 0);
}
