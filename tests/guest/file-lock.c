/*
 * flock, POSIX record locks and open file description locks: conflicts, ranges, blocking,
 * deadlock detection, and when each kind is given up.
 */
#include "scratch.h"

#include <pthread.h>
#include <sys/file.h>

static int lock(int fd, int cmd, short type, off_t start, off_t len)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    return fcntl(fd, cmd, &l);
}

/* Who holds what conflicts with a write lock of the range, as another process sees it: 0 for free,
 * the holder's id with the lock in *out. */
static pid_t holder(const char *path, off_t start, off_t len, struct flock *out)
{
    struct flock *l = gt_shared(sizeof(*l));
    pid_t pid = FORK({
        int fd = open(path, O_RDWR);

        CHECK(fd >= 0);
        *l =
            (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
        CHECK_EQ(fcntl(fd, F_GETLK, l), 0);
    });

    wait_ok(pid);
    if (out != NULL)
        *out = *l;
    return l->l_type == F_UNLCK ? 0 : l->l_pid;
}

static int file(void)
{
    int fd;

    scratch();
    put_file("f", "0123456789");
    fd = open("f", O_RDWR);
    CHECK(fd >= 0);
    return fd;
}

TEST(flock_shared_and_exclusive)
{
    int a = file(), b = open("f", O_RDONLY), c = open("f", O_RDWR);

    CHECK_EQ(flock(a, LOCK_SH), 0);
    CHECK_EQ(flock(b, LOCK_SH | LOCK_NB), 0);
    CHECK_ERRNO(flock(c, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(b, LOCK_UN), 0);
    /* A change of kind on the same open file. */
    CHECK_EQ(flock(a, LOCK_EX | LOCK_NB), 0);
    CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(a, LOCK_SH), 0);
    CHECK_EQ(flock(b, LOCK_SH | LOCK_NB), 0);
    /* A failed upgrade loses the lock that was held. */
    CHECK_ERRNO(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(b, LOCK_EX | LOCK_NB), 0);
    CHECK_ERRNO(flock(a, 0), EINVAL);
    CHECK_ERRNO(flock(a, LOCK_SH | LOCK_EX), EINVAL);
    CHECK_ERRNO(flock(-1, LOCK_SH), EBADF);
    CHECK_ERRNO(flock(open("f", O_PATH), LOCK_SH), EBADF);
    CHECK_EQ(flock(b, LOCK_UN), 0);
    CHECK_EQ(flock(b, LOCK_UN), 0);
}

TEST(flock_belongs_to_the_open_file)
{
    int a = file(), two = dup(a), other = open("f", O_RDWR);

    CHECK_EQ(flock(a, LOCK_EX), 0);
    CHECK_EQ(flock(two, LOCK_EX | LOCK_NB), 0);
    CHECK_ERRNO(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    pid_t pid = FORK({
        CHECK_EQ(flock(a, LOCK_EX | LOCK_NB), 0);
        close(a);
        close(two);
        CHECK_ERRNO(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    });
    wait_ok(pid);
    close(a);
    CHECK_ERRNO(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    close(two);
    CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
    /* An unlock by a child counts for the parent. */
    pid = FORK({ CHECK_EQ(flock(other, LOCK_UN), 0); });
    wait_ok(pid);
    CHECK_EQ(flock(open("f", O_RDWR), LOCK_EX | LOCK_NB), 0);
}

TEST(flock_blocks)
{
    int a = file();

    CHECK_EQ(flock(a, LOCK_EX), 0);
    pid_t pid = FORK({
        int b = open("f", O_RDWR);

        CHECK_EQ(flock(b, LOCK_EX), 0);
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_EQ(flock(a, LOCK_UN), 0);
    wait_ok(pid);
    /* The holder's death frees it too. */
    pid = FORK({
        int b = open("f", O_RDWR);

        CHECK_EQ(flock(b, LOCK_EX), 0);
        (void)raise(SIGKILL);
    });
    CHECK_KILLED(pid, SIGKILL);
    CHECK_EQ(flock(a, LOCK_EX | LOCK_NB), 0);
}

static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
    got_signal = sig;
}

TEST(blocked_locks_are_interrupted)
{
    int a = file(), ready[2];
    struct sigaction sa = {.sa_handler = on_signal};
    char c;

    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(flock(a, LOCK_EX), 0);
    CHECK_EQ(lock(a, F_SETLK, F_WRLCK, 0, 0), 0);
    for (int kind = 0; kind < 3; kind++) {
        pid_t pid = FORK({
            int b = open("f", O_RDWR);

            CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
            CHECK_EQ(write(ready[1], "r", 1), 1);
            if (kind == 0)
                CHECK_ERRNO(flock(b, LOCK_EX), EINTR);
            else
                CHECK_ERRNO(lock(b, kind == 1 ? F_SETLKW : F_OFD_SETLKW, F_WRLCK, 0, 0), EINTR);
        });
        CHECK_EQ(read(ready[0], &c, 1), 1);
        gt_wait_state(pid, "S");
        CHECK_EQ(kill(pid, SIGUSR1), 0);
        wait_ok(pid);
    }
}

TEST(posix_conflicts)
{
    int fd = file();
    struct flock l;

    CHECK_EQ(lock(fd, F_SETLK, F_RDLCK, 2, 3), 0);
    pid_t pid = FORK({
        int b = open("f", O_RDWR);

        CHECK_EQ(lock(b, F_SETLK, F_RDLCK, 0, 0), 0);
        CHECK_EQ(lock(b, F_SETLK, F_UNLCK, 0, 0), 0);
        errno = 0;
        CHECK_EQ(lock(b, F_SETLK, F_WRLCK, 4, 1), -1);
        CHECK(errno == EAGAIN || errno == EACCES);
        CHECK_EQ(lock(b, F_SETLK, F_WRLCK, 5, 1), 0);
        CHECK_EQ(lock(b, F_SETLK, F_WRLCK, 0, 2), 0);
    });
    wait_ok(pid);
    CHECK_EQ(holder("f", 0, 0, &l), getpid());
    CHECK_EQ(l.l_type, F_RDLCK);
    CHECK_EQ(l.l_start, 2);
    CHECK_EQ(l.l_len, 3);
    CHECK_EQ(l.l_whence, SEEK_SET);
    CHECK_EQ(holder("f", 5, 5, &l), 0);
    CHECK_EQ(l.l_type, F_UNLCK);
    CHECK_EQ(l.l_start, 5);
}

TEST(posix_ranges_split_merge_and_change)
{
    int fd = file();
    struct flock l;

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 10), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 4, 2), 0);
    CHECK_EQ(holder("f", 0, 0, &l), getpid());
    CHECK(l.l_start == 0 && l.l_len == 4);
    CHECK_EQ(holder("f", 4, 2, &l), 0);
    CHECK_EQ(holder("f", 5, 10, &l), getpid());
    CHECK(l.l_start == 6 && l.l_len == 4);
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 4, 2), 0);
    CHECK_EQ(holder("f", 5, 1, &l), getpid());
    CHECK(l.l_start == 0 && l.l_len == 10);
    CHECK_EQ(lock(fd, F_SETLK, F_RDLCK, 3, 3), 0);
    CHECK_EQ(holder("f", 4, 1, &l), getpid());
    CHECK(l.l_type == F_RDLCK && l.l_start == 3 && l.l_len == 3);
    CHECK_EQ(holder("f", 0, 1, &l), getpid());
    CHECK(l.l_type == F_WRLCK && l.l_len == 3);
    /* One's own locks never conflict with oneself. */
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_EQ(fcntl(fd, F_GETLK, &l), 0);
    CHECK_EQ(l.l_type, F_UNLCK);
    CHECK_EQ(holder("f", 1ll << 40, 1, &l), getpid());
    CHECK_EQ(l.l_len, 0);
}

TEST(posix_whence_and_negative_length)
{
    int fd = file();
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 2, .l_len = 3}, got;

    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_EQ(fcntl(fd, F_SETLK, &l), 0);
    CHECK_EQ(holder("f", 0, 0, &got), getpid());
    CHECK(got.l_start == 6 && got.l_len == 3);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -1, .l_len = -4};
    CHECK_EQ(fcntl(fd, F_SETLK, &l), 0);
    CHECK_EQ(holder("f", 0, 0, &got), getpid());
    CHECK(got.l_start == 5 && got.l_len == 4);
    l.l_whence = 77;
    CHECK_ERRNO(fcntl(fd, F_SETLK, &l), EINVAL);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = -1};
    CHECK_ERRNO(fcntl(fd, F_SETLK, &l), EINVAL);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = -3};
    CHECK_ERRNO(fcntl(fd, F_SETLK, &l), EINVAL);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = INT64_MAX, .l_len = 2};
    CHECK_ERRNO(fcntl(fd, F_SETLK, &l), EOVERFLOW);
    l = (struct flock){.l_type = 99, .l_whence = SEEK_SET};
    CHECK_ERRNO(fcntl(fd, F_SETLK, &l), EINVAL);
    CHECK_ERRNO(fcntl(fd, F_SETLK, (void *)8), EFAULT);
    l = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET};
    CHECK_ERRNO(fcntl(fd, F_GETLK, &l), EINVAL);
}

TEST(posix_needs_the_right_access_mode)
{
    int rw = file(), r = open("f", O_RDONLY), w = open("f", O_WRONLY), p[2];

    (void)rw;
    CHECK_ERRNO(lock(r, F_SETLK, F_WRLCK, 0, 0), EBADF);
    CHECK_ERRNO(lock(w, F_SETLK, F_RDLCK, 0, 0), EBADF);
    CHECK_EQ(lock(r, F_SETLK, F_RDLCK, 0, 1), 0);
    CHECK_EQ(lock(w, F_SETLK, F_WRLCK, 1, 1), 0);
    CHECK_ERRNO(lock(-1, F_SETLK, F_RDLCK, 0, 0), EBADF);
    CHECK_EQ(pipe(p), 0);
}

TEST(any_close_drops_posix_locks)
{
    int fd = file(), other = open("f", O_RDONLY), two;

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    CHECK_EQ(holder("f", 0, 0, NULL), getpid());
    /* The famous trap: closing any descriptor of the file gives up all of the process's locks. */
    close(other);
    CHECK_EQ(holder("f", 0, 0, NULL), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    two = dup(fd);
    close(two);
    CHECK_EQ(holder("f", 0, 0, NULL), 0);
    /* Another file's close does not matter, nor does dup2 over another file. */
    put_file("g", "");
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    other = open("g", O_RDONLY);
    close(other);
    CHECK_EQ(holder("f", 0, 0, NULL), getpid());
}

TEST(posix_locks_are_not_inherited)
{
    int fd = file();

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    pid_t pid = FORK({
        errno = 0;
        CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), -1);
        CHECK(errno == EAGAIN || errno == EACCES);
        close(fd);
    });
    wait_ok(pid);
    CHECK_EQ(holder("f", 0, 0, NULL), getpid());
    /* Exit frees. */
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    pid = FORK({ CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0); });
    wait_ok(pid);
    CHECK_EQ(holder("f", 0, 0, NULL), 0);
}

static void *locks_in_thread(void *arg)
{
    CHECK_EQ(lock(*(int *)arg, F_SETLK, F_WRLCK, 0, 0), 0);
    return NULL;
}

TEST(threads_share_posix_locks)
{
    int fd = file();
    pthread_t t;

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    CHECK_EQ(pthread_create(&t, NULL, locks_in_thread, &fd), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(holder("f", 0, 0, NULL), getpid());
}

TEST(setlkw_waits_and_wakes)
{
    int fd = file();

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 5), 0);
    pid_t pid = FORK({
        int b = open("f", O_RDWR);

        CHECK_EQ(lock(b, F_SETLKW, F_WRLCK, 4, 4), 0);
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 4, 1), 0);
    wait_ok(pid);
    CHECK_EQ(holder("f", 0, 0, NULL), getpid());
}

TEST(deadlock_is_refused)
{
    int fd = file();

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 1), 0);
    int p[2];
    char c;
    CHECK_EQ(pipe(p), 0);
    pid_t pid = FORK({
        int b = open("f", O_RDWR);

        CHECK_EQ(lock(b, F_SETLK, F_WRLCK, 1, 1), 0);
        CHECK_EQ(write(p[1], "x", 1), 1);
        CHECK_EQ(lock(b, F_SETLKW, F_WRLCK, 0, 1), 0);
    });
    CHECK_EQ(read(p[0], &c, 1), 1);
    gt_wait_state(pid, "S");
    CHECK_ERRNO(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 1), 0);
    wait_ok(pid);
}

TEST(deadlock_through_three_processes)
{
    int fd = file(), p[2];
    pid_t pids[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 1), 0);
    for (int i = 0; i < 2; i++) {
        /* Child 0 holds 1 and wants 0, child 1 holds 2 and wants 1; we hold 0 and want 2. */
        pids[i] = FORK({
            int b = open("f", O_RDWR);

            CHECK_EQ(lock(b, F_SETLK, F_WRLCK, i + 1, 1), 0);
            CHECK_EQ(write(p[1], "x", 1), 1);
            CHECK_EQ(lock(b, F_SETLKW, F_WRLCK, i, 1), 0);
        });
        CHECK_EQ(read(p[0], &c, 1), 1);
        gt_wait_state(pids[i], "S");
    }
    CHECK_ERRNO(lock(fd, F_SETLKW, F_WRLCK, 2, 1), EDEADLK);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 1), 0);
    wait_ok(pids[0]);
    wait_ok(pids[1]);
}

TEST(ofd_locks)
{
    int a = file(), b = open("f", O_RDWR), two;
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    CHECK_EQ(lock(a, F_OFD_SETLK, F_WRLCK, 0, 5), 0);
    /* They conflict within one process. */
    CHECK_ERRNO(lock(b, F_OFD_SETLK, F_RDLCK, 0, 1), EAGAIN);
    CHECK_EQ(lock(b, F_OFD_SETLK, F_WRLCK, 5, 5), 0);
    CHECK_EQ(fcntl(b, F_OFD_GETLK, &l), 0);
    CHECK_EQ(l.l_type, F_WRLCK);
    CHECK_EQ(l.l_pid, -1);
    CHECK_EQ(l.l_len, 5);
    l.l_pid = 1;
    CHECK_ERRNO(fcntl(b, F_OFD_SETLK, &l), EINVAL);
    /* And with POSIX locks. */
    CHECK_EQ(lock(a, F_SETLK, F_WRLCK, 5, 1), -1);
    /* A dup shares, and the last close frees. */
    two = dup(a);
    close(a);
    CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
    pid_t pid = FORK({ CHECK_EQ(lock(two, F_OFD_SETLK, F_WRLCK, 0, 5), 0); });
    wait_ok(pid);
    close(open("f", O_RDONLY));
    CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
    close(two);
    CHECK_EQ(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1), 0);
}

TEST(ofd_waits)
{
    int a = file();

    CHECK_EQ(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0), 0);
    pid_t pid = FORK({
        close(a);
        int b = open("f", O_RDWR);
        CHECK_EQ(lock(b, F_OFD_SETLKW, F_WRLCK, 0, 0), 0);
    });
    gt_wait_state(pid, "S");
    close(a);
    wait_ok(pid);
}

TEST(posix_and_flock_do_not_meet)
{
    int fd = file();

    CHECK_EQ(flock(fd, LOCK_EX), 0);
    pid_t pid = FORK({
        int b = open("f", O_RDWR);

        CHECK_EQ(lock(b, F_SETLK, F_WRLCK, 0, 0), 0);
        CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    });
    wait_ok(pid);
}

TEST(lockf_call)
{
    int fd = file();

    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(lockf(fd, F_LOCK, 4), 0);
    pid_t pid = FORK({
        int b = open("f", O_RDWR);

        errno = 0;
        CHECK_EQ(lockf(b, F_TLOCK, 1), -1);
        CHECK(errno == EAGAIN || errno == EACCES);
        CHECK_ERRNO(lockf(b, F_TEST, 1), EACCES);
        CHECK_EQ(lseek(b, 4, SEEK_SET), 4);
        CHECK_EQ(lockf(b, F_TEST, 1), 0);
        CHECK_EQ(lockf(b, F_TLOCK, 0), 0);
    });
    wait_ok(pid);
    CHECK_EQ(lockf(fd, F_ULOCK, 4), 0);
}

TEST(counter_under_each_lock)
{
    enum { PROCS = 4, ROUNDS = 50 };

    for (int kind = 0; kind < 3; kind++) {
        pid_t pids[PROCS];

        scratch();
        put_file("count", "0");
        for (int p = 0; p < PROCS; p++) {
            pids[p] = FORK({
                int fd = open("count", O_RDWR);

                for (int i = 0; i < ROUNDS; i++) {
                    char buf[16] = {0};

                    if (kind == 0)
                        CHECK_EQ(flock(fd, LOCK_EX), 0);
                    else
                        CHECK_EQ(lock(fd, kind == 1 ? F_SETLKW : F_OFD_SETLKW, F_WRLCK, 0, 0), 0);
                    CHECK(pread(fd, buf, 15, 0) > 0);
                    int n = snprintf(buf, sizeof(buf), "%d", atoi(buf) + 1);
                    CHECK_EQ(pwrite(fd, buf, (size_t)n, 0), n);
                    if (kind == 0)
                        CHECK_EQ(flock(fd, LOCK_UN), 0);
                    else
                        CHECK_EQ(lock(fd, kind == 1 ? F_SETLK : F_OFD_SETLK, F_UNLCK, 0, 0), 0);
                }
            });
        }
        for (int p = 0; p < PROCS; p++)
            wait_ok(pids[p]);
        CHECK(file_is("count", "200"));
    }
}
