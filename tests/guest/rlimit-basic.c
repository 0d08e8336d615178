// Resource limits: getting and setting, who may raise, limits of another process, and what each enforced
// limit does when it is reached.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "guest-test.h"

#define PAGE 4096UL

static void limit(int which, rlim_t soft, rlim_t hard)
{
    struct rlimit rl = {soft, hard};
    CHECK_EQ(setrlimit(which, &rl), 0);
}

TEST(get_set_all)
{
    for (int which = 0; which < 16; which++) {
        struct rlimit old, new;
        CHECK_EQ(getrlimit(which, &old), 0);
        CHECK(old.rlim_cur <= old.rlim_max);
        CHECK_EQ(setrlimit(which, &old), 0);
        new = (struct rlimit){old.rlim_max < 1000 ? old.rlim_max : 1000, old.rlim_max};
        if (which == RLIMIT_AS || which == RLIMIT_DATA || which == RLIMIT_STACK || which == RLIMIT_FSIZE)
            new.rlim_cur = old.rlim_cur;
        CHECK_EQ(setrlimit(which, &new), 0);
        CHECK_EQ(getrlimit(which, &old), 0);
        CHECK(old.rlim_cur == new.rlim_cur && old.rlim_max == new.rlim_max);
    }
}

TEST(errors)
{
    struct rlimit rl = {2, 1}, old;
    EXPECT_ERRNO(setrlimit(RLIMIT_NOFILE, &rl), EINVAL);
    EXPECT_ERRNO(getrlimit(16, &old), EINVAL);
    EXPECT_ERRNO(getrlimit(-1, &old), EINVAL);
    EXPECT_ERRNO(syscall(SYS_setrlimit, 16, &old), EINVAL);
    EXPECT_ERRNO(syscall(SYS_getrlimit, RLIMIT_CPU, GT_BAD), EFAULT);
    EXPECT_ERRNO(syscall(SYS_setrlimit, RLIMIT_CPU, GT_BAD), EFAULT);
    EXPECT_ERRNO(prlimit(1 << 22, RLIMIT_CPU, NULL, &old), ESRCH);
    EXPECT_ERRNO(prlimit(-1, RLIMIT_CPU, NULL, &old), ESRCH);
    EXPECT_ERRNO(prlimit(0, 16, NULL, &old), EINVAL);
    EXPECT_ERRNO(prlimit(0, RLIMIT_NOFILE, &rl, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_CPU, GT_BAD, NULL), EFAULT);
    EXPECT_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_CPU, NULL, GT_BAD), EFAULT);
    EXPECT_EQ(prlimit(0, RLIMIT_CPU, NULL, NULL), 0);
}

TEST(raising)
{
    // An ordinary user may lower both and raise the soft one up to the hard one.
    CHECK_EQ(setresuid(1000, 1000, 1000), 0);
    limit(RLIMIT_NOFILE, 100, 200);
    limit(RLIMIT_NOFILE, 200, 200);
    limit(RLIMIT_NOFILE, 50, 150);
    struct rlimit rl = {50, 151};
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &rl), EPERM);
    rl = (struct rlimit){151, 150};
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &rl), EINVAL);
    limit(RLIMIT_NOFILE, 150, 150);
}

TEST(prlimit_swap)
{
    struct rlimit new = {123, 456}, old, got;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &got), 0);
    CHECK_EQ(prlimit(0, RLIMIT_NOFILE, &new, &old), 0);
    CHECK(old.rlim_cur == got.rlim_cur && old.rlim_max == got.rlim_max);
    CHECK_EQ(prlimit(getpid(), RLIMIT_NOFILE, NULL, &old), 0);
    CHECK(old.rlim_cur == 123 && old.rlim_max == 456);
}

TEST(prlimit_other)
{
    int ends[2], back[2];
    char byte;
    CHECK(pipe(ends) == 0 && pipe(back) == 0);
    pid_t pid = FORK({
        struct rlimit rl;
        CHECK_EQ(write(back[1], "r", 1), 1);
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &rl), 0);
        CHECK(rl.rlim_cur == 77 && rl.rlim_max == 88);
    });
    CHECK_EQ(read(back[0], &byte, 1), 1);
    pid_t other = FORK({
        struct rlimit rl;
        CHECK_EQ(setresuid(2000, 2000, 2000), 0);
        CHECK_ERRNO(prlimit(pid, RLIMIT_NOFILE, NULL, &rl), EPERM);
        CHECK_EQ(prlimit(0, RLIMIT_NOFILE, NULL, &rl), 0);
    });
    CHECK_EXIT(other, 0);
    struct rlimit rl = {77, 88}, old;
    CHECK_EQ(prlimit(pid, RLIMIT_NOFILE, &rl, &old), 0);
    CHECK_EQ(write(ends[1], "g", 1), 1);
    CHECK_EXIT(pid, 0);
}

TEST(proc_limits)
{
    char text[4096];
    limit(RLIMIT_NOFILE, 321, 654);
    CHECK(gt_read_file("/proc/self/limits", text, sizeof(text)) > 0);
    char *line = strstr(text, "Max open files");
    CHECK(line != NULL);
    unsigned soft, hard;
    CHECK_EQ(sscanf(line, "Max open files %u %u", &soft, &hard), 2);
    CHECK(soft == 321 && hard == 654);
}

TEST(nofile)
{
    limit(RLIMIT_NOFILE, 30, 60);
    int fd, last = -1;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        last = fd;
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 29);
    EXPECT_ERRNO(dup(0), EMFILE);
    EXPECT_ERRNO(fcntl(0, F_DUPFD, 29), EMFILE);
    EXPECT_ERRNO(fcntl(0, F_DUPFD, 30), EINVAL);
    EXPECT_ERRNO(dup2(0, 30), EBADF);
    EXPECT_ERRNO(dup3(0, 30, 0), EBADF);
    EXPECT_EQ(dup2(0, 29), 29);
    int ends[2];
    EXPECT_ERRNO(pipe(ends), EMFILE);
    CHECK_EQ(close(20), 0);
    EXPECT_ERRNO(pipe(ends), EMFILE);    // one is not enough, and none is lost
    CHECK_EQ(open("/dev/null", O_RDONLY), 20);
    struct pollfd polls[40] = {{0}};
    EXPECT_ERRNO(poll(polls, 31, 0), EINVAL);
    // Lowering it does not close what is open above.
    limit(RLIMIT_NOFILE, 10, 60);
    CHECK_EQ(fcntl(25, F_GETFD), 0);
    CHECK_ERRNO(dup(25), EMFILE);
    limit(RLIMIT_NOFILE, 60, 60);
    CHECK_EQ(open("/dev/null", O_RDONLY), 30);
}

TEST(fsize)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &set, NULL);
    limit(RLIMIT_FSIZE, 1000, 2000);
    int fd = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644));
    static char data[1500];
    CHECK_EQ(write(fd, data, 900), 900);
    CHECK_EQ(write(fd, data, 900), 100);    // as much as fits
    CHECK_ERRNO(write(fd, data, 1), EFBIG);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGXFSZ);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_ERRNO(pwrite(fd, data, 1, 5000), EFBIG);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGXFSZ);
    CHECK_ERRNO(ftruncate(fd, 1001), EFBIG);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGXFSZ);
    CHECK_EQ(ftruncate(fd, 1000), 0);
    CHECK_EQ(pwrite(fd, data, 100, 0), 100);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 1000);
    // Pipes are no files.
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], data, 1500), 1500);
    pid_t pid = FORK({
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        (void)!write(fd, data, 1);
    });
    CHECK_KILLED(pid, SIGXFSZ);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_ERRNO(write(fd, data, 1), EFBIG);
}

TEST(nproc)
{
    // Counted per real user id, and not for root.
    limit(RLIMIT_NPROC, 5, 5);
    pid_t root_pids[8];
    for (int i = 0; i < 8; i++)
        root_pids[i] = FORK({ _exit(0); });
    for (int i = 0; i < 8; i++)
        CHECK_EXIT(root_pids[i], 0);
    pid_t pid = FORK({
        CHECK_EQ(setresuid(54321, 54321, 54321), 0);
        pid_t pids[8];
        int count = 0;
        int ends[2];
        CHECK_EQ(pipe(ends), 0);
        while (count < 8) {
            pid_t child = fork();
            if (child == 0) {
                char byte;
                close(ends[1]);
                _exit(read(ends[0], &byte, 1));
            }
            if (child < 0)
                break;
            pids[count++] = child;
        }
        CHECK_EQ(errno, EAGAIN);
        CHECK_EQ(count, 4);
        pthread_t thread;
        CHECK_RC(pthread_create(&thread, NULL, (void *(*)(void *))(void *)pause, NULL), EAGAIN);
        close(ends[1]);
        CHECK_EXIT(pids[--count], 0);
        pid_t again = FORK({ _exit(0); });
        CHECK_EXIT(again, 0);
        while (count-- > 0)
            CHECK_EXIT(pids[count], 0);
    });
    CHECK_EXIT(pid, 0);
}

static rlim_t vm_size(const char *field)
{
    char text[4096];
    CHECK(gt_read_file("/proc/self/status", text, sizeof(text)) > 0);
    char *line = strstr(text, field);
    CHECK(line != NULL);
    return strtoull(line + strlen(field), NULL, 10) * 1024;
}

TEST(address_space)
{
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    rlim_t now = vm_size("VmSize:");
    limit(RLIMIT_AS, now + (4 << 20), RLIM_INFINITY);
    char *q = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(q != MAP_FAILED);
    errno = 0;
    CHECK(mmap(NULL, 4 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    errno = 0;
    CHECK(mremap(q, 2 << 20, 6 << 20, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
    // A fixed mapping over an old one adds nothing.
    CHECK(mmap(q, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == q);
    long end = syscall(SYS_brk, 0);
    CHECK_EQ(syscall(SYS_brk, end + (8 << 20)), end);
    CHECK_EQ(munmap(q, 2 << 20), 0);
    CHECK(mmap(NULL, 3 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

TEST(data)
{
    limit(RLIMIT_DATA, vm_size("VmData:") + (1 << 20), RLIM_INFINITY);
    long end = syscall(SYS_brk, 0);
    CHECK_EQ(syscall(SYS_brk, end + (16 << 20)), end);
    errno = 0;
    CHECK(mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
          errno == ENOMEM);
    // Neither read-only nor shared memory is data.
    CHECK(mmap(NULL, 16 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    CHECK(mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static int recurse(int depth)
{
    volatile char frame[4096];
    frame[0] = depth;
    return depth == 0 ? frame[0] : recurse(depth - 1) + frame[0];
}

TEST(stack)
{
    pid_t pid = FORK({
        limit(RLIMIT_STACK, 1 << 20, RLIM_INFINITY);
        recurse(100);    // 400 KiB
    });
    CHECK_EXIT(pid, 0);
    LATER("the limit of the stack is the one at exec");
    pid = FORK({
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        limit(RLIMIT_STACK, 1 << 20, RLIM_INFINITY);
        recurse(1000);
    });
    CHECK_KILLED(pid, SIGSEGV);
}

static volatile sig_atomic_t xcpu;

static void on_xcpu(int sig)
{
    (void)sig;
    xcpu++;
}

TEST(cpu)
{
    volatile int *seen = gt_shared(PAGE);
    pid_t pid = FORK({
        signal(SIGXCPU, on_xcpu);
        limit(RLIMIT_CPU, 1, 2);
        while (xcpu == 0)
            continue;
        seen[0] = 1;
        for (;;)
            continue;
    });
    CHECK_KILLED(pid, SIGKILL);    // the hard limit
    CHECK_EQ(seen[0], 1);
    pid = FORK({
        limit(RLIMIT_CPU, 1, RLIM_INFINITY);
        for (;;)
            continue;
    });
    CHECK_KILLED(pid, SIGXCPU);
}

TEST(memlock)
{
    char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = FORK({
        limit(RLIMIT_MEMLOCK, 8 * PAGE, 8 * PAGE);
        CHECK_EQ(mlock(p, 16 * PAGE), 0);    // root has CAP_IPC_LOCK
        CHECK_EQ(munlock(p, 16 * PAGE), 0);
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_EQ(mlock(p, 8 * PAGE), 0);
        CHECK_ERRNO(mlock(p, 9 * PAGE), ENOMEM);
        CHECK_EQ(mlock(p, 8 * PAGE), 0);    // locked already: counts once
        CHECK_EQ(munlockall(), 0);
        errno = 0;
        CHECK(mmap(NULL, 9 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED);
        CHECK_EQ(errno, EAGAIN);
        CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
        limit(RLIMIT_MEMLOCK, 0, 0);
        CHECK_ERRNO(mlock(p, PAGE), EPERM);
        CHECK_ERRNO(mlockall(MCL_CURRENT), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(sigpending)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t pid = FORK({
        CHECK_EQ(setresuid(65432, 65432, 65432), 0);
        limit(RLIMIT_SIGPENDING, 10, 10);
        union sigval value = {.sival_int = 1};
        int queued = 0;
        while (queued < 20 && sigqueue(getpid(), SIGRTMIN, value) == 0)
            queued++;
        CHECK_EQ(errno, EAGAIN);
        CHECK_EQ(queued, 10);
        CHECK_EQ(kill(getpid(), SIGUSR2), 0);
    });
    // Plain kill never fails for want of a queue entry; SIGUSR2 ended the child.
    CHECK_KILLED(pid, SIGUSR2);
}

TEST(nice)
{
    struct rlimit rl = {25, 25};    // down to 20 - 25 = -5
    if (setrlimit(RLIMIT_NICE, &rl) != 0)
        SKIP("the hard limit cannot be raised here");
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_EQ(setpriority(PRIO_PROCESS, 0, 10), 0);
        CHECK_EQ(setpriority(PRIO_PROCESS, 0, -5), 0);
        CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -6), EACCES);
    });
    CHECK_EXIT(pid, 0);
}

TEST(shared_by_threads)
{
    pthread_t thread;
    struct rlimit rl = {44, 55}, got;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &rl), 0);
    CHECK_RC(pthread_create(&thread, NULL, (void *(*)(void *))(void *)getpid, NULL), 0);
    CHECK_RC(pthread_join(thread, NULL), 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &got), 0);
    CHECK(got.rlim_cur == 44 && got.rlim_max == 55);
}
