/*
 * Random calls on files, sockets and descriptors with random arguments, made by an ordinary user in
 * a directory of its own: the kernel must answer each, and everything must work as before afterwards.
 * The sequences depend on the subtest and the child's number only, so that a failure comes again.
 *
 * What could harm the machine is left out: no call sends signals, changes limits or reaches other
 * processes; sizes are bounded by a file size limit; a timer ends whatever blocks.
 */
#include "unix-util.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <termios.h>

enum { BUFFER = 65536, FIRST_FD = 3, FDS = 30 };

static unsigned char *buffer; /* BUFFER writable bytes, then a page that is not mapped */
static unsigned char *read_only;
static uint64_t state;

static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t below(uint64_t n)
{
    return rnd() % n;
}

static long an_fd(void)
{
    switch (below(16)) {
    case 0:
        return -1;
    case 1:
        return 999;
    case 2:
        return (int)rnd();
    default:
        return FIRST_FD + (long)below(FDS);
    }
}

static long a_dir(void)
{
    return below(3) == 0 ? an_fd() : AT_FDCWD;
}

static long a_pointer(void)
{
    switch (below(12)) {
    case 0:
        return 0;
    case 1:
        return 8;
    case 2:
        return (long)(buffer + BUFFER - below(64));
    case 3:
        return (long)read_only;
    case 4:
        return (long)0xffff888000000000ul;
    default:
        return (long)(buffer + below(BUFFER / 2));
    }
}

static long a_size(void)
{
    static const long sizes[] = {0,        1,       7,        8,        16,       24,   64,
                                 128,      256,     4095,     4096,     4097,     8192, BUFFER / 2,
                                 1l << 20, INT_MAX, 1l << 31, 1l << 32, LONG_MAX, -1,   LONG_MIN};

    return sizes[below(below(4) ? 14 : GT_COUNT(sizes))];
}

static long an_offset(void)
{
    static const long offsets[] = {0,  1,     100,     4096,     65536,    1l << 20,
                                   -1, -4096, INT_MAX, 1l << 32, LONG_MAX, LONG_MIN};

    return offsets[below(GT_COUNT(offsets))];
}

static long a_path(void)
{
    static const char *const paths[] = {"a",         "b",
                                        "c",         "d",
                                        "d/a",       "d/e",
                                        "d/e/f",     "../x",
                                        ".",         "..",
                                        "",          "/",
                                        "s",         "p",
                                        "l",         "l/a",
                                        "none/x",    "/proc/self/fd/3",
                                        "/dev/null", "/proc/self/stat",
                                        "a/",        "./d/../d/a",
                                        "/dev/zero", "sock"};

    return below(20) == 0 ? a_pointer() : (long)paths[below(GT_COUNT(paths))];
}

static long a_flag(void)
{
    switch (below(4)) {
    case 0:
        return 0;
    case 1:
        return 1l << below(32);
    case 2:
        return (long)(1ul << below(24) | 1ul << below(24));
    default:
        return (long)below(16);
    }
}

static long a_mode(void)
{
    return (long)(below(8) ? 0700 | below(01000) : rnd());
}

/* Pointers to structures: half of the time something sensible lies there. */
static long an_iov(void)
{
    struct iovec *iov = (void *)(buffer + BUFFER - 4096);

    if (below(6) == 0)
        return a_pointer();
    for (int i = 0; i < 4; i++)
        iov[i] = (struct iovec){buffer + below(1024), below(3000)};
    return (long)iov;
}

static long a_message(void)
{
    struct msghdr *m = (void *)(buffer + BUFFER - 8192);
    char *control = (char *)buffer + BUFFER - 6144;

    if (below(6) == 0)
        return a_pointer();
    memset(m, 0, sizeof(*m));
    m->msg_iov = (void *)an_iov();
    m->msg_iovlen = below(5);
    if (below(2)) {
        struct cmsghdr *c = (void *)control;

        m->msg_control = control;
        m->msg_controllen = below(64);
        c->cmsg_len = below(48);
        c->cmsg_level = below(8) ? SOL_SOCKET : (int)below(4);
        c->cmsg_type = (int)below(4);
        for (int i = 0; i < 8; i++)
            ((int *)(void *)CMSG_DATA(c))[i] = (int)an_fd();
    }
    return (long)m;
}

static long an_address(void)
{
    struct sockaddr_un *a = (void *)(buffer + BUFFER - 12288);

    if (below(6) == 0)
        return a_pointer();
    memset(a, 0, sizeof(*a));
    a->sun_family = below(8) ? AF_UNIX : (sa_family_t)below(20);
    if (below(3) == 0)
        (void)snprintf(a->sun_path + 1, 32, "caisson-random-%d", (int)below(3));
    else
        (void)snprintf(a->sun_path, 16, "sock%d", (int)below(3));
    return (long)a;
}

static long a_time(void)
{
    struct timespec *ts = (void *)(buffer + BUFFER - 14000);

    if (below(4) == 0)
        return a_pointer();
    *ts = (struct timespec){.tv_sec = 0, .tv_nsec = (long)below(1000000)};
    return (long)ts;
}

static void one_call(void)
{
    static const int fcntls[] = {F_DUPFD,     F_GETFD,         F_SETFD,      F_GETFL,
                                 F_SETFL,     F_GETLK,         F_SETLK,      F_SETLKW,
                                 F_OFD_GETLK, F_OFD_SETLK,     F_OFD_SETLKW, F_GETOWN,
                                 F_GETSIG,    F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ,
                                 F_ADD_SEALS, F_GET_SEALS,     F_GETLEASE,   9999};
    static const long ioctls[] = {FIONREAD,   FIONBIO,    FIOCLEX,  FIONCLEX,  TCGETS,   TCSETS,
                                  TIOCGWINSZ, TIOCSWINSZ, TIOCOUTQ, TIOCGPGRP, TIOCGSID, TIOCGPTN,
                                  TIOCSPTLCK, TIOCPKT,    TCFLSH,   0x1234};

#define C(...)                  \
    (void)syscall(__VA_ARGS__); \
    break
    /* clang-format off */
    switch (below(84)) {
    case 0: C(SYS_read, an_fd(), a_pointer(), a_size());
    case 1: C(SYS_write, an_fd(), a_pointer(), a_size());
    case 2: C(SYS_pread64, an_fd(), a_pointer(), a_size(), an_offset());
    case 3: C(SYS_pwrite64, an_fd(), a_pointer(), a_size(), an_offset());
    case 4: C(SYS_readv, an_fd(), an_iov(), below(6));
    case 5: C(SYS_writev, an_fd(), an_iov(), below(6));
    case 6: C(SYS_preadv2, an_fd(), an_iov(), below(6), an_offset(), 0, a_flag());
    case 7: C(SYS_pwritev2, an_fd(), an_iov(), below(6), an_offset(), 0, a_flag());
    case 8: C(SYS_lseek, an_fd(), an_offset(), below(7));
    case 9: C(SYS_fstat, an_fd(), a_pointer());
    case 10: C(SYS_newfstatat, a_dir(), a_path(), a_pointer(), a_flag());
    case 11: C(SYS_statx, a_dir(), a_path(), a_flag(), rnd(), a_pointer());
    case 12: C(SYS_fcntl, an_fd(), fcntls[below(GT_COUNT(fcntls))], below(2) ? a_pointer() : (long)below(70000));
    case 13: C(SYS_ioctl, an_fd(), ioctls[below(GT_COUNT(ioctls))], a_pointer());
    case 14: C(SYS_dup, FIRST_FD + below(FDS));
    case 15: C(SYS_dup3, an_fd(), FIRST_FD + below(FDS), a_flag());
    case 16: C(SYS_close, FIRST_FD + below(FDS));
    case 17: C(SYS_poll, a_pointer(), below(40), below(3));
    case 18: C(SYS_ppoll, a_pointer(), below(40), a_time(), 0, 8);
    case 19: C(SYS_epoll_create1, a_flag());
    case 20:
    case 21: C(SYS_epoll_ctl, an_fd(), 1 + below(4), an_fd(), a_pointer());
    case 22: C(SYS_epoll_wait, an_fd(), a_pointer(), below(8), below(3));
    case 23: C(SYS_eventfd2, rnd(), a_flag());
    case 24: C(SYS_timerfd_create, below(10), a_flag());
    case 25: C(SYS_timerfd_settime, an_fd(), below(4), a_pointer(), a_pointer());
    case 26: C(SYS_signalfd4, an_fd(), a_pointer(), 8, a_flag());
    case 27: C(SYS_pipe2, a_pointer(), a_flag());
    case 28:
    case 29: C(SYS_socketpair, AF_UNIX, 1 + below(6), 0, buffer + 100);
    case 30: C(SYS_socket, below(8) ? AF_UNIX : (long)below(50), a_flag(), below(3));
    case 31: C(SYS_bind, an_fd(), an_address(), below(130));
    case 32: C(SYS_connect, an_fd(), an_address(), below(130));
    case 33: C(SYS_listen, an_fd(), below(10));
    case 34: C(SYS_accept4, an_fd(), a_pointer(), a_pointer(), a_flag());
    case 35: C(SYS_shutdown, an_fd(), below(4));
    case 36: C(SYS_sendmsg, an_fd(), a_message(), a_flag() | MSG_NOSIGNAL);
    case 37: C(SYS_recvmsg, an_fd(), a_message(), a_flag());
    case 38: C(SYS_sendto, an_fd(), a_pointer(), below(5000), a_flag() | MSG_NOSIGNAL, an_address(), below(130));
    case 39: C(SYS_recvfrom, an_fd(), a_pointer(), below(5000), a_flag(), a_pointer(), a_pointer());
    case 40: C(SYS_getsockopt, an_fd(), below(3), below(90), a_pointer(), a_pointer());
    case 41: C(SYS_setsockopt, an_fd(), below(3), below(90), a_pointer(), below(32));
    case 42:
    case 43:
    case 44: C(SYS_openat, a_dir(), a_path(), a_flag() | a_flag() | (below(2) ? O_CREAT | O_RDWR : 0), a_mode());
    case 45: C(SYS_mkdirat, a_dir(), a_path(), a_mode());
    case 46: C(SYS_unlinkat, a_dir(), a_path(), below(2) ? AT_REMOVEDIR : 0);
    case 47:
    case 48: C(SYS_renameat2, a_dir(), a_path(), a_dir(), a_path(), below(5));
    case 49: C(SYS_linkat, a_dir(), a_path(), a_dir(), a_path(), a_flag());
    case 50: C(SYS_symlinkat, a_path(), a_dir(), a_path());
    case 51: C(SYS_readlinkat, a_dir(), a_path(), a_pointer(), a_size());
    case 52: C(SYS_fchmodat, a_dir(), a_path(), a_mode());
    case 53: C(SYS_fchownat, a_dir(), a_path(), rnd(), rnd(), a_flag());
    case 54: C(SYS_utimensat, a_dir(), a_path(), a_pointer(), a_flag());
    case 55: C(SYS_faccessat2, a_dir(), a_path(), below(9), a_flag());
    case 56: C(SYS_truncate, a_path(), an_offset());
    case 57: C(SYS_ftruncate, an_fd(), an_offset());
    case 58: C(SYS_fallocate, an_fd(), below(128), an_offset(), below(100000));
    case 59: C(SYS_copy_file_range, an_fd(), a_pointer(), an_fd(), a_pointer(), below(100000), 0);
    case 60: C(SYS_sendfile, an_fd(), an_fd(), below(2) ? 0 : a_pointer(), below(100000));
    case 61: C(SYS_splice, an_fd(), 0, an_fd(), 0, below(100000), a_flag());
    case 62: C(SYS_tee, an_fd(), an_fd(), below(100000), a_flag());
    case 63: C(SYS_vmsplice, an_fd(), an_iov(), below(6), a_flag());
    case 64: C(SYS_getdents64, an_fd(), a_pointer(), below(9000));
    case 65: C(SYS_flock, an_fd(), below(16));
    case 66: C(SYS_fdatasync, an_fd());
    case 67: C(SYS_setxattr, a_path(), "user.random", a_pointer(), below(300), below(4));
    case 68: C(SYS_getxattr, a_path(), "user.random", a_pointer(), below(300));
    case 69: C(SYS_listxattr, a_path(), a_pointer(), below(300));
    case 70: C(SYS_inotify_init1, a_flag());
    case 71:
    case 72: C(SYS_inotify_add_watch, an_fd(), a_path(), rnd());
    case 73: C(SYS_inotify_rm_watch, an_fd(), below(20));
    case 74: C(SYS_fstatfs, an_fd(), a_pointer());
    case 75: C(SYS_memfd_create, a_path(), a_flag());
    case 76: C(SYS_close_range, FIRST_FD + below(FDS), FIRST_FD + below(FDS), a_flag());
    case 77: C(SYS_getcwd, a_pointer(), a_size());
    case 78: C(SYS_mknodat, a_dir(), a_path(), (below(2) ? S_IFIFO : rnd() & S_IFMT) | 0600, 0);
    case 79: C(SYS_openat2, a_dir(), a_path(), a_pointer(), below(40));
    case 80: C(SYS_recvmmsg, an_fd(), a_pointer(), below(4), a_flag() | MSG_DONTWAIT, 0);
    case 81: C(SYS_sync_file_range, an_fd(), an_offset(), below(9999), a_flag());
    case 82: C(SYS_getsockname, an_fd(), a_pointer(), a_pointer());
    default: C(SYS_select, below(40), a_pointer(), a_pointer(), a_pointer(), a_time());
    }
    /* clang-format on */
#undef C
}

static void on_alarm(int sig)
{
    (void)sig;
}

static void random_child(uint64_t seed, int calls)
{
    struct sigaction sa = {.sa_handler = on_alarm};
    struct itimerval it = {{0, 20000}, {0, 20000}};
    struct rlimit size = {1 << 20, 1 << 20}, files = {64, 64};
    char dir[32];

    (void)snprintf(dir, sizeof(dir), "r%lx", (unsigned long)seed & 0xffff);
    CHECK_EQ(mkdir(dir, 0700), 0);
    CHECK_EQ(chown(dir, OTHER_UID, OTHER_GID), 0);
    CHECK_EQ(chdir(dir), 0);
    CHECK_EQ(close_range(FIRST_FD, ~0u, 0), 0);
    become(OTHER_UID, OTHER_GID);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &size), 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGIO, SIG_IGN);
    (void)signal(SIGURG, SIG_IGN);
    buffer = mmap(NULL, BUFFER + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(buffer != MAP_FAILED);
    CHECK_EQ(munmap(buffer + BUFFER, 4096), 0);
    read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(read_only != MAP_FAILED);
    CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    state = seed * 2654435761u + 88172645463325252u;
    for (int i = 0; i < calls; i++) {
        if (i % 64 == 0)
            for (int k = 0; k < 512; k++)
                buffer[below(BUFFER - 16384)] = (unsigned char)rnd();
        one_call();
    }
}

static void run(uint64_t first, int children, int calls)
{
    pid_t pids[8];
    char text[8];

    scratch();
    for (int i = 0; i < children; i++)
        pids[i] = FORK({ random_child(first + (uint64_t)i, calls); });
    for (int i = 0; i < children; i++) {
        int status = gt_waitpid(pids[i]);

        /* A child may shoot itself in the foot by what it has the kernel write. */
        CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
              (WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS)));
    }
    /* The kernel is as before. */
    put_file("after", "well");
    CHECK(file_is("after", "well"));
    CHECK(get_file("/dev/zero", text, sizeof(text)) == 7);
}

TEST_TIMEOUT(one_process, 120)
{
    run(1, 1, 8000);
}

TEST_TIMEOUT(four_processes, 120)
{
    run(100, 4, 4000);
}

TEST_TIMEOUT(other_sequences, 120)
{
    run(5000, 2, 8000);
}

TEST_TIMEOUT(seeds_from_the_environment, 600)
{
    const char *seed = getenv("GT_SEED");

    if (seed == NULL)
        SKIP("no GT_SEED");
    for (int i = 0; i < 20; i++)
        run(strtoull(seed, NULL, 0) + (uint64_t)i * 8, 4, 10000);
}
