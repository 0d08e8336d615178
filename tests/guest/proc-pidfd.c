// Process descriptors: opening, polling, signalling, waiting, taking descriptors, and what they show in /proc.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>

#include "guest-test.h"

#ifndef PIDFD_NONBLOCK
#define PIDFD_NONBLOCK O_NONBLOCK
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int pidfd_open_(pid_t pid, unsigned flags)
{
    return syscall(SYS_pidfd_open, pid, flags);
}

static long pidfd_send(int fd, int sig, siginfo_t *info, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
}

static long pidfd_getfd_(int fd, int target, unsigned flags)
{
    return syscall(SYS_pidfd_getfd, fd, target, flags);
}

static pid_t sleeper(void)
{
    return FORK({
        for (;;)
            pause();
    });
}

static void end(pid_t pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(open_rules)
{
    int fd = OK(pidfd_open_(getpid(), 0));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    fd = OK(pidfd_open_(getpid(), PIDFD_NONBLOCK));
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    EXPECT_ERRNO(pidfd_open_(0, 0), EINVAL);
    EXPECT_ERRNO(pidfd_open_(-1, 0), EINVAL);
    EXPECT_ERRNO(pidfd_open_(1 << 22, 0), ESRCH);
    EXPECT_ERRNO(pidfd_open_(getpid(), 1), EINVAL);
    char byte;
    EXPECT_ERRNO(read(fd, &byte, 1), EINVAL);
    EXPECT_ERRNO(write(fd, "x", 1), EINVAL);
}

TEST(poll_tells_the_end)
{
    pid_t pid = sleeper();
    int fd = OK(pidfd_open_(pid, 0)), ep = OK(epoll_create1(0));
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    struct epoll_event ev = {.events = EPOLLIN}, got;
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    CHECK_EQ(poll(&p, 1, -1), 1);
    CHECK(p.revents & POLLIN);
    CHECK(!(p.revents & POLLOUT));
    CHECK_EQ(epoll_wait(ep, &got, 1, -1), 1);
    CHECK_KILLED(pid, SIGTERM);
    CHECK_EQ(poll(&p, 1, 0), 1);    // and stays so after reaping
    CHECK(p.revents & POLLIN);
}

TEST(send_signal)
{
    pid_t pid = sleeper();
    int fd = OK(pidfd_open_(pid, 0)), null = OK(open("/dev/null", O_RDONLY));
    CHECK_EQ(pidfd_send(fd, 0, NULL, 0), 0);
    EXPECT_ERRNO(pidfd_send(fd, 65, NULL, 0), EINVAL);
    EXPECT_ERRNO(pidfd_send(fd, 0, NULL, 0x100), EINVAL);
    EXPECT_ERRNO(pidfd_send(99, 0, NULL, 0), EBADF);
    EXPECT_ERRNO(pidfd_send(null, 0, NULL, 0), EBADF);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    EXPECT_ERRNO(pidfd_send(fd, SIGUSR2, &info, 0), EINVAL);    // another signal than in the record
    info.si_code = SI_USER;
    EXPECT_ERRNO(pidfd_send(fd, SIGUSR1, &info, 0), EPERM);
    EXPECT_ERRNO(pidfd_send(fd, SIGUSR1, GT_BAD, 0), EFAULT);
    pid_t other = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(pidfd_send(fd, SIGTERM, NULL, 0), EPERM);
    });
    CHECK_EXIT(other, 0);
    info.si_code = SI_QUEUE;
    CHECK_EQ(pidfd_send(fd, SIGUSR1, &info, 0), 0);
    siginfo_t ended;
    CHECK_EQ(waitid(P_PIDFD, fd, &ended, WEXITED | WNOWAIT), 0);
    CHECK_EQ(ended.si_status, SIGUSR1);
    CHECK_EQ(pidfd_send(fd, SIGTERM, NULL, 0), 0);    // a zombie takes it
    CHECK_KILLED(pid, SIGUSR1);
    CHECK_ERRNO(pidfd_send(fd, SIGTERM, NULL, 0), ESRCH);
    CHECK_ERRNO(pidfd_send(fd, 0, NULL, 0), ESRCH);
}

TEST(not_fooled_by_reuse)
{
    // The descriptor names the process, not its number: after reaping it never hits anybody else.
    pid_t pid = FORK({});
    int fd = OK(pidfd_open_(pid, 0));
    CHECK_EXIT(pid, 0);
    for (int i = 0; i < 50; i++) {
        pid_t other = FORK({ _exit(3); });
        CHECK_ERRNO(pidfd_send(fd, SIGKILL, NULL, 0), ESRCH);
        CHECK_EXIT(other, 3);
    }
    CHECK_ERRNO(pidfd_open_(pid, 0), ESRCH);
}

TEST(wait_forms)
{
    siginfo_t info;
    pid_t pid = FORK({ _exit(44); });
    int fd = OK(pidfd_open_(pid, 0));
    CHECK_EQ(waitid(P_PIDFD, fd, &info, WEXITED), 0);
    CHECK(info.si_pid == pid && info.si_status == 44);
    CHECK_ERRNO(waitid(P_PIDFD, fd, &info, WEXITED), ECHILD);
    // Not the caller's child
    fd = OK(pidfd_open_(getppid(), 0));
    CHECK_ERRNO(waitid(P_PIDFD, fd, &info, WEXITED), ECHILD);
    pid = sleeper();
    fd = OK(pidfd_open_(pid, PIDFD_NONBLOCK));
    CHECK_ERRNO(waitid(P_PIDFD, fd, &info, WEXITED), EAGAIN);
    info.si_pid = 1;
    CHECK_EQ(waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    end(pid);
}

TEST(getfd)
{
    int ends[2], back[2];
    char byte;
    CHECK(pipe(ends) == 0 && pipe(back) == 0);
    CHECK_EQ(gt_write_file(gt_path("f"), "abcdef", 6), 0);
    pid_t pid = FORK({
        int fd = OK(open(gt_path("f"), O_RDONLY));
        CHECK_EQ(dup2(fd, 200), 200);
        CHECK_EQ(lseek(200, 2, SEEK_SET), 2);
        CHECK_EQ(write(back[1], "r", 1), 1);
        close(ends[1]);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        CHECK_EQ(lseek(200, 0, SEEK_CUR), 3);    // one description
    });
    CHECK_EQ(read(back[0], &byte, 1), 1);
    int fd = OK(pidfd_open_(pid, 0));
    int mine = OK(pidfd_getfd_(fd, 200, 0));
    CHECK_EQ(fcntl(mine, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(read(mine, &byte, 1), 1);
    CHECK_EQ(byte, 'c');
    EXPECT_ERRNO(pidfd_getfd_(fd, 201, 0), EBADF);
    EXPECT_ERRNO(pidfd_getfd_(fd, -1, 0), EBADF);
    EXPECT_ERRNO(pidfd_getfd_(fd, 200, 1), EINVAL);
    EXPECT_ERRNO(pidfd_getfd_(99, 200, 0), EBADF);
    EXPECT_ERRNO(pidfd_getfd_(mine, 200, 0), EBADF);
    pid_t other = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(pidfd_getfd_(fd, 200, 0), EPERM);
    });
    CHECK_EXIT(other, 0);
    close(ends[1]);
    CHECK_EXIT(pid, 0);
    EXPECT_ERRNO(pidfd_getfd_(fd, 200, 0), ESRCH);
}

TEST(fdinfo)
{
    char path[64], text[512], want[32];
    pid_t pid = sleeper();
    int fd = OK(pidfd_open_(pid, 0));
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK(gt_read_file(path, text, sizeof(text)) > 0);
    snprintf(want, sizeof(want), "Pid:\t%d\n", pid);
    CHECK(strstr(text, want) != NULL);
    end(pid);
    CHECK(gt_read_file(path, text, sizeof(text)) > 0);
    CHECK(strstr(text, "Pid:\t-1\n") != NULL);
}

static void *wait_in_thread(void *arg)
{
    struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};
    return (void *)(long)poll(&p, 1, -1);
}

TEST(many_pollers)
{
    pid_t pid = sleeper();
    int fd = OK(pidfd_open_(pid, 0));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, wait_in_thread, &fd), 0);
    end(pid);
    for (int i = 0; i < 4; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK_EQ((long)result, 1);
    }
}

static void *thread_body(void *arg)
{
    atomic_store((atomic_int *)arg, syscall(SYS_gettid));
    pause();
    return NULL;
}

TEST(thread_id_is_no_process)
{
    static atomic_int tid;
    pthread_t thread;
    CHECK_RC(pthread_create(&thread, NULL, thread_body, &tid), 0);
    while (atomic_load(&tid) == 0)
        sched_yield();
    errno = 0;
    CHECK(pidfd_open_(tid, 0) == -1);
    CHECK(errno == ENOENT || errno == EINVAL);    // the errno changed in 6.15
}

static void *exec_exit(void *arg)
{
    execl(gt_self, gt_self, "-xexit9", (char *)NULL);
    return arg;
}

ENTRY(exit9)
{
    gt_msleep(50);
    return 9;
}

TEST(not_ended_by_exec_from_thread)
{
    // A thread's exec ends the others, and the descriptor must not report that as the end of the process.
    int ends[2];
    char byte;
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = FORK({
        pthread_t thread;
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        CHECK_RC(pthread_create(&thread, NULL, exec_exit, NULL), 0);
        pause();
    });
    int fd = OK(pidfd_open_(pid, 0));
    CHECK_EQ(write(ends[1], "g", 1), 1);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, -1), 1);
    int status;
    CHECK_EQ(waitpid(pid, &status, WNOHANG), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}
