/*
 * eventfd, timerfd and signalfd.
 */
#include "scratch.h"

#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

TEST(eventfd_counter)
{
    uint64_t v = 3;
    int fd = eventfd(5, EFD_NONBLOCK);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 8);
    CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
    v = UINT64_MAX;
    CHECK_ERRNO(write(fd, &v, 8), EINVAL);
    v = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK(!fd_ready(fd, POLLOUT));
    CHECK(fd_ready(fd, POLLIN));
    v = 1;
    CHECK_ERRNO(write(fd, &v, 8), EAGAIN);
    v = 0;
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, UINT64_MAX - 1);
    CHECK(fd_ready(fd, POLLOUT));
    CHECK(!fd_ready(fd, POLLIN));
}

TEST(eventfd_sizes_and_flags)
{
    char buf[16] = {1};
    int fd = eventfd(1, 0);

    CHECK_ERRNO(read(fd, buf, 7), EINVAL);
    CHECK_ERRNO(write(fd, buf, 7), EINVAL);
    CHECK_EQ(read(fd, buf, 16), 8);
    /* Kernels before 6.10 wrote the first eight bytes of more. */
    CHECK(write(fd, buf, 16) == 8 || errno == EINVAL);
    CHECK_ERRNO(eventfd(0, 0x10), EINVAL);
    CHECK_ERRNO(syscall(SYS_write, fd, (void *)8, 8), EFAULT);
    CHECK((fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)) >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK((fd = (int)syscall(SYS_eventfd, 7)) >= 0);
    CHECK_EQ(read(fd, buf, 8), 8);
    CHECK_EQ(buf[0], 7);
    CHECK_ERRNO(pread(fd, buf, 8, 0), ESPIPE);
}

TEST(eventfd_semaphore)
{
    uint64_t v = 2;
    int fd = eventfd(1, EFD_SEMAPHORE | EFD_NONBLOCK);

    CHECK_EQ(write(fd, &v, 8), 8);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(read(fd, &v, 8), 8);
        CHECK_EQ(v, 1);
    }
    CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
}

TEST(eventfd_blocks_both_ways)
{
    uint64_t v;
    int fd = eventfd(0, 0);

    pid_t pid = FORK({
        CHECK_EQ(read(fd, &v, 8), 8);
        CHECK_EQ(v, 4);
    });
    gt_wait_state(pid, "S");
    v = 4;
    CHECK_EQ(write(fd, &v, 8), 8);
    wait_ok(pid);
    v = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &v, 8), 8);
    pid = FORK({
        v = 1;
        CHECK_EQ(write(fd, &v, 8), 8);
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(read(fd, &v, 8), 8);
    wait_ok(pid);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
}

TEST(eventfd_semaphore_many)
{
    enum { PROCS = 4, EACH = 100 };
    uint64_t v = 1;
    int fd = eventfd(0, EFD_SEMAPHORE);
    pid_t pids[PROCS];

    for (int i = 0; i < PROCS; i++) {
        pids[i] = FORK({
            for (int k = 0; k < EACH; k++) {
                CHECK_EQ(read(fd, &v, 8), 8);
                CHECK_EQ(v, 1);
            }
        });
    }
    for (int i = 0; i < PROCS * EACH; i++)
        CHECK_EQ(write(fd, &v, 8), 8);
    for (int i = 0; i < PROCS; i++)
        wait_ok(pids[i]);
    CHECK(!fd_ready(fd, POLLIN));
}

TEST(timerfd_create_flags)
{
    static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    int fd;

    for (int i = 0; i < 3; i++) {
        CHECK((fd = timerfd_create(clocks[i], TFD_CLOEXEC | TFD_NONBLOCK)) >= 0);
        CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    }
    CHECK_ERRNO(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    CHECK_ERRNO(timerfd_create(999, 0), EINVAL);
    CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
}

TEST(timerfd_one_shot)
{
    struct itimerspec its = {.it_value.tv_nsec = 30000000}, now, old;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    int64_t start = gt_now_ms();
    uint64_t v;

    CHECK_EQ(timerfd_settime(fd, 0, &its, &old), 0);
    CHECK_EQ(old.it_value.tv_sec, 0);
    CHECK_EQ(old.it_value.tv_nsec, 0);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec <= 30000000);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
    CHECK(gt_now_ms() - start >= 29);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK_EQ(now.it_value.tv_sec, 0);
    CHECK_EQ(now.it_value.tv_nsec, 0);
    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
    CHECK(!fd_ready(fd, POLLIN));
}

TEST(timerfd_interval_counts_overruns)
{
    struct itimerspec its = {.it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000}, now;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t v;

    CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
    gt_msleep(60);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK(v >= 10);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK_EQ(now.it_interval.tv_nsec, 5000000);
    CHECK(now.it_value.tv_nsec <= 5000000);
    CHECK_EQ(poll(&p, 1, -1), 1);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK(v >= 1);
    memset(&its, 0, sizeof(its));
    CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
    (void)!read(fd, &v, 8);
    gt_msleep(12);
    CHECK_ERRNO(read(fd, &v, 8), EAGAIN);
}

TEST(timerfd_absolute)
{
    struct itimerspec its = {0}, now;
    struct timespec ts;
    uint64_t v;
    int fd = timerfd_create(CLOCK_REALTIME, 0);

    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &ts), 0);
    its.it_value = ts;
    its.it_value.tv_sec += 1000;
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL), 0);
    /* What remains is relative. */
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_value.tv_sec >= 900 && now.it_value.tv_sec <= 1000);
    its.it_value.tv_sec = 1;
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL), 0);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL), 0);
    CHECK_EQ(read(fd, &v, 8), 8);
}

TEST(timerfd_errors)
{
    struct itimerspec its = {.it_value.tv_sec = 100};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), p[2];
    char buf[8];

    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(timerfd_settime(p[0], 0, &its, NULL), EINVAL);
    CHECK_ERRNO(timerfd_settime(-1, 0, &its, NULL), EBADF);
    CHECK_ERRNO(timerfd_settime(fd, 8, &its, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_timerfd_settime, fd, 0, (void *)8, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_timerfd_settime, fd, 0, NULL, NULL), EFAULT);
    its.it_value.tv_nsec = 1000000000;
    CHECK_ERRNO(timerfd_settime(fd, 0, &its, NULL), EINVAL);
    its.it_value.tv_nsec = -1;
    CHECK_ERRNO(timerfd_settime(fd, 0, &its, NULL), EINVAL);
    CHECK_ERRNO(timerfd_gettime(p[0], &its), EINVAL);
    CHECK_ERRNO(read(fd, buf, 7), EINVAL);
    CHECK_ERRNO(write(fd, buf, 8), EINVAL);
}

TEST(timerfd_is_shared_with_children)
{
    struct itimerspec its = {.it_value.tv_nsec = 20000000};
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t v;

    pid_t pid = FORK({
        CHECK_EQ(read(fd, &v, 8), 8);
        CHECK_EQ(v, 1);
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
    wait_ok(pid);
}

TEST(signalfd_basic)
{
    struct signalfd_siginfo si[3];
    union sigval val = {.sival_int = 77};
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK((fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(fd, si, sizeof(si)), EAGAIN);
    CHECK(!fd_ready(fd, POLLIN));
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(sigqueue(getpid(), SIGRTMIN, val), 0);
    CHECK(fd_ready(fd, POLLIN));
    CHECK_EQ(read(fd, si, sizeof(si)), 2 * sizeof(si[0]));
    CHECK_EQ(si[0].ssi_signo, SIGUSR1);
    CHECK_EQ(si[0].ssi_code, SI_USER);
    CHECK_EQ(si[0].ssi_pid, getpid());
    CHECK_EQ(si[0].ssi_uid, getuid());
    CHECK_EQ(si[1].ssi_signo, SIGRTMIN);
    CHECK_EQ(si[1].ssi_code, SI_QUEUE);
    CHECK_EQ(si[1].ssi_int, 77);
    CHECK_ERRNO(read(fd, si, sizeof(si)), EAGAIN);
    CHECK_ERRNO(read(fd, si, sizeof(si[0]) - 1), EINVAL);
}

TEST(signalfd_changes_and_errors)
{
    struct signalfd_siginfo si;
    sigset_t set;
    int fd, p[2];

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    fd = signalfd(-1, &set, SFD_NONBLOCK);
    CHECK_EQ(raise(SIGUSR1), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    CHECK_ERRNO(read(fd, &si, sizeof(si)), EAGAIN);
    CHECK_EQ(raise(SIGUSR2), 0);
    CHECK_EQ(read(fd, &si, sizeof(si)), sizeof(si));
    CHECK_EQ(si.ssi_signo, SIGUSR2);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(signalfd(p[0], &set, 0), EINVAL);
    CHECK_ERRNO(signalfd(900, &set, 0), EBADF);
    CHECK_ERRNO(signalfd(-1, &set, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_signalfd4, -1, &set, 4, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_signalfd4, -1, (void *)8, 8, 0), EFAULT);
    /* SIGKILL and SIGSTOP are taken out silently. */
    sigfillset(&set);
    CHECK(signalfd(-1, &set, 0) >= 0);
}

TEST(signalfd_blocks_and_reports_children)
{
    struct signalfd_siginfo si;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    fd = signalfd(-1, &set, 0);
    pid_t pid = FORK({ _exit(9); });
    CHECK_EQ(read(fd, &si, sizeof(si)), sizeof(si));
    CHECK_EQ(si.ssi_signo, SIGCHLD);
    CHECK_EQ(si.ssi_pid, pid);
    CHECK_EQ(si.ssi_code, CLD_EXITED);
    CHECK_EQ(si.ssi_status, 9);
    CHECK_EXIT(pid, 9);
}
