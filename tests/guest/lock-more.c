/*
 * Locks, continued: across exec and descriptor passing, waiting queues, upgrades, ranges at the
 * limits, unlink and rename, and stress with ranges.
 */
#include "unix-util.h"

#include <sys/file.h>

static int lock(int fd, int cmd, short type, off_t start, off_t len)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    return fcntl(fd, cmd, &l);
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

/* Whether another process could lock the range for writing. */
static bool is_free(const char *path, off_t start, off_t len)
{
    bool *result = gt_shared(4096);
    pid_t pid = FORK({
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
        int fd = open(path, O_RDWR);

        CHECK_EQ(fcntl(fd, F_GETLK, &l), 0);
        *result = l.l_type == F_UNLCK;
    });

    wait_ok(pid);
    return *result;
}

ENTRY(checks_lock)
{
    /* The process is the same after exec, so the lock is still ours. */
    int fd = open(argv[2], O_RDWR);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETLK, &l), 0);
    CHECK_EQ(l.l_type, F_UNLCK);
    CHECK(!is_free(argv[2], 0, 0));
    CHECK_EQ(close(fd), 0);
    CHECK(is_free(argv[2], 0, 0));
    return 0;
}

TEST(posix_locks_survive_exec)
{
    int fd = file();
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/f", gt_tmpdir());
    pid_t pid = FORK({
        CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
        execl(gt_self, gt_self, "-xchecks_lock", path, NULL);
    });
    wait_ok(pid);
}

TEST(close_on_exec_gives_posix_locks_up)
{
    int fd = file(), ready[2];
    char c;

    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    pid_t pid = FORK({
        CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
        char number[16];
        (void)snprintf(number, sizeof(number), "%d", ready[1]);
        execl(gt_self, gt_self, "-xtells_and_waits", number, NULL);
    });
    CHECK_EQ(read(ready[0], &c, 1), 1);
    CHECK(is_free("f", 0, 0));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

ENTRY(tells_and_waits)
{
    if (write(atoi(argv[2]), "x", 1) != 1)
        return 1;
    for (;;)
        pause();
}

TEST(flock_travels_with_the_descriptor)
{
    int fd = file(), sv[2], got[1];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    CHECK_EQ(flock(fd, LOCK_EX), 0);
    CHECK_EQ(send_fds(sv[0], &fd, 1), 1);
    close(fd);
    /* In flight it is still held. */
    int other = open("f", O_RDWR);
    CHECK_ERRNO(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(recv_fds(sv[1], got, 1, 0, NULL), 1);
    CHECK_ERRNO(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    close(got[0]);
    CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
}

TEST(locks_belong_to_the_inode)
{
    int fd = file();

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    CHECK_EQ(link("f", "g"), 0);
    CHECK(!is_free("g", 0, 0));
    CHECK_EQ(rename("f", "h"), 0);
    CHECK(!is_free("h", 0, 0));
    put_file("f", "");
    CHECK(is_free("f", 0, 0));
}

TEST(readers_all_wake)
{
    enum { READERS = 4 };
    pid_t pids[READERS];
    int fd = file();

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    for (int i = 0; i < READERS; i++) {
        pids[i] = FORK({
            int b = open("f", O_RDONLY);

            CHECK_EQ(lock(b, F_SETLKW, F_RDLCK, 0, 0), 0);
        });
    }
    for (int i = 0; i < READERS; i++)
        gt_wait_state(pids[i], "S");
    /* A downgrade lets readers in. */
    CHECK_EQ(lock(fd, F_SETLK, F_RDLCK, 0, 0), 0);
    for (int i = 0; i < READERS; i++)
        wait_ok(pids[i]);
}

TEST(upgrade_waits_for_readers)
{
    int fd = file(), p[2];
    char c = 'x';

    CHECK_EQ(pipe(p), 0);
    pid_t reader = FORK({
        int b = open("f", O_RDWR);

        CHECK_EQ(lock(b, F_SETLK, F_RDLCK, 0, 0), 0);
        CHECK_EQ(write(p[1], &c, 1), 1);
        pause();
    });
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(lock(fd, F_SETLK, F_RDLCK, 0, 0), 0);
    CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 0) == -1 && (errno == EAGAIN || errno == EACCES));
    /* The failed upgrade keeps the read lock. */
    CHECK(!is_free("f", 0, 0));
    CHECK_EQ(kill(reader, SIGKILL), 0);
    CHECK_EQ(lock(fd, F_SETLKW, F_WRLCK, 0, 0), 0);
    CHECK_KILLED(reader, SIGKILL);
}

TEST(two_upgraders_deadlock)
{
    int fd = file(), p[2];
    char c = 'x';

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_RDLCK, 0, 0), 0);
    pid_t pid = FORK({
        int b = open("f", O_RDWR);

        CHECK_EQ(lock(b, F_SETLK, F_RDLCK, 0, 0), 0);
        CHECK_EQ(write(p[1], &c, 1), 1);
        CHECK_EQ(lock(b, F_SETLKW, F_WRLCK, 0, 0), 0);
    });
    CHECK_EQ(read(p[0], &c, 1), 1);
    gt_wait_state(pid, "S");
    CHECK_ERRNO(lock(fd, F_SETLKW, F_WRLCK, 0, 0), EDEADLK);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    wait_ok(pid);
}

TEST(limits_of_ranges)
{
    int fd = file();

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, INT64_MAX, 0), 0);
    CHECK(!is_free("f", INT64_MAX, 0));
    CHECK(is_free("f", 0, 100));
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, INT64_MAX - 1, 1), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    CHECK(is_free("f", 0, 0));
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, INT64_MAX), 0);
    CHECK(!is_free("f", INT64_MAX - 1, 0));
}

TEST(many_ranges)
{
    enum { COUNT = 300 };
    int fd = file();

    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, i * 10, 5), 0);
    for (int i = 0; i < COUNT; i += 37) {
        CHECK(!is_free("f", i * 10 + 4, 1));
        CHECK(is_free("f", i * 10 + 5, 5));
    }
    for (int i = 0; i < COUNT; i += 2)
        CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, i * 10, 5), 0);
    CHECK(is_free("f", 0, 10));
    CHECK(!is_free("f", 10, 1));
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    CHECK(is_free("f", 0, 0));
}

TEST(random_ranges_exclude_each_other)
{
    enum { PROCS = 4, CELLS = 16, ROUNDS = 150 };
    int *owner = gt_shared(4096);
    pid_t pids[PROCS];

    (void)file();
    for (int p = 0; p < PROCS; p++) {
        pids[p] = FORK({
            unsigned seed = (unsigned)p * 7919 + 1;
            int fd = open("f", O_RDWR);

            for (int i = 0; i < ROUNDS; i++) {
                seed = seed * 1103515245 + 12345;
                int at = (int)(seed >> 16) % CELLS, len = 1 + (int)(seed >> 24) % (CELLS - at);

                CHECK_EQ(lock(fd, F_SETLKW, F_WRLCK, at, len), 0);
                for (int k = at; k < at + len; k++)
                    CHECK_EQ(__atomic_exchange_n(&owner[k], p + 1, __ATOMIC_SEQ_CST), 0);
                sched_yield();
                for (int k = at; k < at + len; k++)
                    CHECK_EQ(__atomic_exchange_n(&owner[k], 0, __ATOMIC_SEQ_CST), p + 1);
                CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, at, len), 0);
            }
        });
    }
    for (int p = 0; p < PROCS; p++)
        wait_ok(pids[p]);
}

TEST(killed_waiter_leaves_no_trace)
{
    int fd = file();

    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    pid_t pid = FORK({
        int b = open("f", O_RDWR);

        (void)lock(b, F_SETLKW, F_WRLCK, 0, 0);
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    CHECK(is_free("f", 0, 0));
}

TEST(locks_on_other_objects)
{
    int dir, p[2], null;
    struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    scratch();
    dir = open(".", O_RDONLY);
    CHECK_EQ(flock(dir, LOCK_EX), 0);
    CHECK_ERRNO(flock(open(".", O_RDONLY), LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(fcntl(dir, F_SETLK, &l), 0);
    null = open("/dev/null", O_RDWR);
    CHECK_EQ(flock(null, LOCK_SH), 0);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(flock(p[0], LOCK_SH), 0);
}

TEST(ofd_and_threads_in_one_process)
{
    enum { OPENS = 8 };
    int fds[OPENS];

    (void)file();
    for (int i = 0; i < OPENS; i++) {
        fds[i] = open("f", O_RDWR);
        CHECK_EQ(lock(fds[i], F_OFD_SETLK, F_WRLCK, i, 1), 0);
    }
    for (int i = 0; i < OPENS; i++)
        for (int k = 0; k < OPENS; k++)
            if (i != k)
                CHECK_ERRNO(lock(fds[i], F_OFD_SETLK, F_RDLCK, k, 1), EAGAIN);
    for (int i = 1; i < OPENS; i++)
        close(fds[i]);
    CHECK_EQ(lock(fds[0], F_OFD_SETLK, F_WRLCK, 0, 0), 0);
}
