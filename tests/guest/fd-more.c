/*
 * Descriptors, continued: stat and names of each kind, directory notification, direct input and
 * output, what SIGIO carries, and what happens to descriptors in threads, exec and limits.
 */
#include "scratch.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

TEST(names_of_anonymous_objects)
{
    sigset_t set;
    struct {
        int fd;
        const char *want;
    } rows[8];
    int n = 0;

    sigemptyset(&set);
    rows[n].fd = eventfd(0, 0);
    rows[n++].want = "anon_inode:[eventfd]";
    rows[n].fd = epoll_create1(0);
    rows[n++].want = "anon_inode:[eventpoll]";
    rows[n].fd = timerfd_create(CLOCK_MONOTONIC, 0);
    rows[n++].want = "anon_inode:[timerfd]";
    rows[n].fd = signalfd(-1, &set, 0);
    rows[n++].want = "anon_inode:[signalfd]";
    rows[n].fd = inotify_init();
    rows[n++].want = "anon_inode:inotify";
    rows[n].fd = memfd_create("name", 0);
    rows[n++].want = "/memfd:name (deleted)";
    for (int i = 0; i < n; i++) {
        char path[64], link[128];
        ssize_t size;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", rows[i].fd);
        CHECK((size = readlink(path, link, sizeof(link) - 1)) > 0);
        link[size] = '\0';
        EXPECT_STR(link, rows[i].want);
    }
}

TEST(stat_of_anonymous_objects)
{
    sigset_t set;
    struct stat st;
    int fds[5], n = 0;

    sigemptyset(&set);
    fds[n++] = eventfd(0, 0);
    fds[n++] = epoll_create1(0);
    fds[n++] = timerfd_create(CLOCK_MONOTONIC, 0);
    fds[n++] = signalfd(-1, &set, 0);
    fds[n++] = inotify_init();
    for (int i = 0; i < n; i++) {
        CHECK_EQ(fstat(fds[i], &st), 0);
        CHECK_EQ(st.st_mode & 0777, 0600);
        CHECK_EQ(st.st_size, 0);
        CHECK_ERRNO(ftruncate(fds[i], 0), EINVAL);
        CHECK_ERRNO(fsync(fds[i]), EINVAL);
        char c;
        CHECK(pread(fds[i], &c, 1, 0) == -1);
        CHECK_ERRNO(fchdir(fds[i]), ENOTDIR);
        CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fds[i], 0) == MAP_FAILED);
        CHECK_EQ(errno, ENODEV);
    }
    int fd = memfd_create("m", 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0777);
    CHECK_EQ(st.st_nlink, 0);
}

TEST(fdinfo_of_anonymous_objects)
{
    char path[64], text[1024];
    sigset_t set;
    int fd = eventfd(0x1f, 0);

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK(get_file(path, text, sizeof(text)) > 0);
    CHECK(strstr(text, "eventfd-count:") != NULL);
    CHECK(strstr(text, "1f\n") != NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    fd = signalfd(-1, &set, 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK(get_file(path, text, sizeof(text)) > 0);
    CHECK(strstr(text, "sigmask:\t0000000000000001\n") != NULL);
    fd = timerfd_create(CLOCK_MONOTONIC, 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK(get_file(path, text, sizeof(text)) > 0);
    CHECK(strstr(text, "clockid: 1\n") != NULL);
}

static volatile sig_atomic_t got_signal, got_fd, got_band, got_code;

static void on_info(int sig, siginfo_t *si, void *context)
{
    (void)context;
    got_signal = sig;
    got_fd = si->si_fd;
    got_band = (int)si->si_band;
    got_code = si->si_code;
}

TEST(real_time_signal_tells_the_descriptor)
{
    struct sigaction sa = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    int sv[2];

    CHECK_EQ(sigaction(SIGRTMIN, &sa, NULL), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(fcntl(sv[0], F_SETSIG, SIGRTMIN), 0);
    CHECK_EQ(fcntl(sv[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(sv[0], F_SETFL, O_ASYNC), 0);
    CHECK_EQ(write(sv[1], "x", 1), 1);
    for (int i = 0; i < 2000 && !got_signal; i++)
        gt_msleep(1);
    CHECK_EQ(got_signal, SIGRTMIN);
    CHECK_EQ(got_fd, sv[0]);
    CHECK_EQ(got_code, POLL_IN);
    CHECK(got_band & POLLIN);
}

TEST(directory_notification)
{
    struct sigaction sa = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    int dir;

    scratch();
    CHECK_EQ(sigaction(SIGRTMIN, &sa, NULL), 0);
    dir = open(".", O_RDONLY);
    CHECK_EQ(fcntl(dir, F_SETSIG, SIGRTMIN), 0);
    if (fcntl(dir, F_NOTIFY, DN_CREATE | DN_MULTISHOT) < 0) {
        CHECK_EQ(errno, EINVAL);
        SKIP("no directory notification here");
    }
    put_file("f", "");
    for (int i = 0; i < 2000 && !got_signal; i++)
        gt_msleep(1);
    CHECK_EQ(got_signal, SIGRTMIN);
    CHECK_EQ(got_fd, dir);
    CHECK_ERRNO(fcntl(open("f", O_RDONLY), F_NOTIFY, DN_CREATE), ENOTDIR);
}

TEST(direct_input_and_output)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd;

    scratch();
    fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0600);
    if (fd < 0) {
        CHECK_EQ(errno, EINVAL);
        SKIP("no direct input and output here");
    }
    CHECK(fcntl(fd, F_GETFL) & O_DIRECT);
    memset(page, 'd', 8192);
    CHECK_EQ(write(fd, page, 8192), 8192);
    memset(page, 0, 8192);
    CHECK_EQ(pread(fd, page, 4096, 4096), 4096);
    CHECK_EQ(page[0], 'd');
    CHECK(file_is("f", "") == false);
    /* The flag can be set and taken away later. */
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
    CHECK_EQ(pread(fd, page, 5, 3), 5);
    CHECK_EQ(fcntl(fd, F_SETFL, O_DIRECT), 0);
}

static void *opens(void *arg)
{
    int *out = arg;

    for (int i = 0; i < 200; i++)
        out[i] = open("f", O_RDONLY);
    return NULL;
}

TEST(numbers_are_given_out_once)
{
    static int fds[4][200];
    static char used[4096];
    pthread_t t[4];

    scratch();
    put_file("f", "");
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, opens, fds[i]), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 200; k++) {
            CHECK(fds[i][k] >= 0 && fds[i][k] < 4096);
            CHECK_EQ(used[fds[i][k]]++, 0);
        }
    }
}

TEST(unshare_files)
{
    /* CLONE_FILES: a child that shares the table, until it asks for its own. */
    CHECK_EQ(unshare(CLONE_FILES), 0);
    CHECK_EQ(dup2(0, 60), 60);
    CHECK(fd_is_open(60));
}

TEST(exec_of_a_thread_closes_once)
{
    int p[2];
    char c;

    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = FORK({
        pthread_t t;

        CHECK_EQ(pthread_create(&t, NULL, (void *(*)(void *))(uintptr_t)pause, NULL), 0);
        execl(gt_self, gt_self, "-xpauses", NULL);
    });
    close(p[1]);
    /* The other thread is gone and the write end closed although the process lives. */
    CHECK_EQ(read(p[0], &c, 1), 0);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

ENTRY(pauses)
{
    while (pause() < 0)
        continue;
    return 0;
}

TEST(exit_closes)
{
    int p[2], sv[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    pid_t pid = FORK({ (void)raise(SIGKILL); });
    close(p[1]);
    close(sv[1]);
    CHECK_KILLED(pid, SIGKILL);
    CHECK_EQ(read(p[0], &c, 1), 0);
    CHECK_EQ(read(sv[0], &c, 1), 0);
}

TEST(close_reports_once)
{
    int fd = dup(0);

    CHECK_EQ(close(fd), 0);
    CHECK_ERRNO(close(fd), EBADF);
    CHECK_ERRNO(close(-1), EBADF);
    CHECK_ERRNO(close(INT_MIN), EBADF);
}

TEST(kcmp_tells_shared_open_files)
{
    int a = eventfd(0, 0), b = dup(a), c = eventfd(0, 0);

    if (syscall(SYS_kcmp, getpid(), getpid(), 0, a, b) < 0)
        SKIP("no kcmp here: %s", gt_errname(errno));
    CHECK_EQ(syscall(SYS_kcmp, getpid(), getpid(), 0, a, b), 0);
    CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, a, c) > 0);
    CHECK_ERRNO(syscall(SYS_kcmp, getpid(), getpid(), 0, a, 999), EBADF);
}

TEST(ioctl_on_files)
{
    int fd, n = -1;

    scratch();
    put_file("f", "0123456789");
    fd = open("f", O_RDONLY);
    CHECK_EQ(ioctl(fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 10);
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_EQ(ioctl(fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 6);
    CHECK_ERRNO(ioctl(fd, TCGETS, &n), ENOTTY);
    CHECK_ERRNO(ioctl(fd, TIOCGWINSZ, &n), ENOTTY);
    CHECK_ERRNO(ioctl(fd, FIONREAD, (void *)8), EFAULT);
    CHECK_ERRNO(ioctl(open("f", O_PATH), FIONREAD, &n), EBADF);
}

TEST(nr_open_bounds_the_limit)
{
    struct rlimit limit;
    char text[32];
    rlim_t nr_open;

    CHECK(get_file("/proc/sys/fs/nr_open", text, sizeof(text)) > 0);
    nr_open = strtoull(text, NULL, 10);
    limit.rlim_cur = limit.rlim_max = nr_open + 1;
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
    limit.rlim_cur = 100;
    limit.rlim_max = 99;
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
}
