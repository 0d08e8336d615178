/*
 * /dev: null, zero, full, random, urandom, tty, ptmx, the links for descriptors, shm and pts.
 */
#include "scratch.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

TEST(nodes)
{
    static const struct {
        const char *name;
        unsigned major, minor;
        mode_t mode;
    } rows[] = {{"null", 1, 3, 0666},   {"zero", 1, 5, 0666},    {"full", 1, 7, 0666},
                {"random", 1, 8, 0666}, {"urandom", 1, 9, 0666}, {"tty", 5, 0, 0666}};

    for (size_t i = 0; i < GT_COUNT(rows); i++) {
        char path[32];
        struct stat st;

        (void)snprintf(path, sizeof(path), "/dev/%s", rows[i].name);
        CHECK_EQ(stat(path, &st), 0);
        CHECK(S_ISCHR(st.st_mode));
        CHECK_EQ(st.st_rdev, makedev(rows[i].major, rows[i].minor));
        CHECK_EQ(st.st_mode & 0666, rows[i].mode);
    }
}

TEST(null)
{
    static char big[1 << 20];
    int fd = open("/dev/null", O_RDWR);
    char c = 'x';

    CHECK(fd >= 0);
    CHECK_EQ(read(fd, &c, 1), 0);
    CHECK_EQ(write(fd, big, sizeof(big)), sizeof(big));
    /* It does not look at what it throws away. */
    CHECK_EQ(syscall(SYS_write, fd, (void *)8, 100), 100);
    CHECK_EQ(lseek(fd, 1000, SEEK_SET), 0);
    CHECK_EQ(lseek(fd, 5, SEEK_END), 0);
    CHECK_EQ(pread(fd, &c, 1, 100), 0);
    CHECK_EQ(pwrite(fd, &c, 1, 100), 1);
    CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
    CHECK((fd = open("/dev/null", O_WRONLY | O_TRUNC | O_CREAT | O_APPEND, 0666)) >= 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_ERRNO(ioctl(fd, TIOCGWINSZ, &c), ENOTTY);
    CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0, EACCES);
    fd = open("/dev/null", O_RDWR);
    CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0, ENODEV);
}

TEST(zero)
{
    char buf[10000];
    int fd = open("/dev/zero", O_RDWR);

    CHECK(fd >= 0);
    memset(buf, 'x', sizeof(buf));
    CHECK_EQ(read(fd, buf, sizeof(buf)), sizeof(buf));
    for (size_t i = 0; i < sizeof(buf); i++)
        CHECK_EQ(buf[i], 0);
    CHECK_EQ(write(fd, buf, 10), 10);
    CHECK_ERRNO(syscall(SYS_read, fd, (void *)8, 10), EFAULT);
    CHECK_EQ(lseek(fd, 1000, SEEK_SET), 0);
}

TEST(zero_mapped)
{
    int fd = open("/dev/zero", O_RDWR);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    CHECK(p != MAP_FAILED);
    CHECK_EQ(p[5000], 0);
    p[5000] = 'p';
    char *s = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(s != MAP_FAILED);
    CHECK_EQ(s[5000], 0);
    pid_t pid = FORK({
        s[5000] = 's';
        p[5000] = 'q';
    });
    wait_ok(pid);
    /* Shared means shared with children; each mapping is an object of its own. */
    CHECK_EQ(s[5000], 's');
    CHECK_EQ(p[5000], 'p');
    char *t = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK_EQ(t[5000], 0);
}

TEST(full)
{
    char buf[100];
    int fd = open("/dev/full", O_RDWR);

    CHECK(fd >= 0);
    memset(buf, 'x', sizeof(buf));
    CHECK_EQ(read(fd, buf, sizeof(buf)), sizeof(buf));
    CHECK_EQ(buf[50], 0);
    CHECK_ERRNO(write(fd, buf, 1), ENOSPC);
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 0);
}

TEST(random_and_urandom)
{
    static const char *const names[] = {"/dev/random", "/dev/urandom"};

    for (int i = 0; i < 2; i++) {
        unsigned char a[4096], b[4096];
        int fd = open(names[i], O_RDWR), counts[256] = {0}, most = 0;

        CHECK(fd >= 0);
        CHECK_EQ(read(fd, a, sizeof(a)), sizeof(a));
        CHECK_EQ(read(fd, b, sizeof(b)), sizeof(b));
        CHECK(memcmp(a, b, sizeof(a)) != 0);
        for (size_t k = 0; k < sizeof(a); k++)
            if (++counts[a[k]] > most)
                most = counts[a[k]];
        CHECK(most < 64);
        CHECK_EQ(write(fd, a, 16), 16);
        CHECK(fd_ready(fd, POLLIN));
    }
}

TEST(getrandom_call)
{
    unsigned char a[300] = {0}, b[300] = {0};

    CHECK_EQ(getrandom(a, sizeof(a), 0), sizeof(a));
    CHECK_EQ(getrandom(b, sizeof(b), GRND_NONBLOCK), sizeof(b));
    CHECK(memcmp(a, b, sizeof(a)) != 0);
    CHECK_EQ(getrandom(a, 16, GRND_RANDOM), 16);
    CHECK_EQ(getrandom(a, 16, 4), 16);
    CHECK_EQ(getrandom(a, 0, 0), 0);
    CHECK_ERRNO(getrandom(a, 1, 0x100), EINVAL);
    CHECK_ERRNO(getrandom(a, 1, GRND_RANDOM | 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_getrandom, (void *)8, 16, 0), EFAULT);
}

TEST(random_differs_between_parent_and_child)
{
    unsigned char mine[16], its[16];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    pid_t pid = FORK({
        CHECK_EQ(getrandom(its, 16, 0), 16);
        CHECK_EQ(write(p[1], its, 16), 16);
    });
    CHECK_EQ(getrandom(mine, 16, 0), 16);
    CHECK_EQ(read(p[0], its, 16), 16);
    CHECK(memcmp(mine, its, 16) != 0);
    wait_ok(pid);
}

TEST(descriptor_links)
{
    static const struct {
        const char *name, *target;
    } rows[] = {{"/dev/fd", "/proc/self/fd"},
                {"/dev/stdin", "/proc/self/fd/0"},
                {"/dev/stdout", "/proc/self/fd/1"},
                {"/dev/stderr", "/proc/self/fd/2"}};
    char buf[64], c;
    int p[2], fd;

    for (size_t i = 0; i < GT_COUNT(rows); i++) {
        ssize_t n = readlink(rows[i].name, buf, sizeof(buf) - 1);

        CHECK(n > 0);
        buf[n] = '\0';
        CHECK_STR(buf, rows[i].target);
    }
    CHECK_EQ(pipe(p), 0);
    (void)snprintf(buf, sizeof(buf), "/dev/fd/%d", p[1]);
    CHECK((fd = open(buf, O_WRONLY)) >= 0);
    CHECK_EQ(write(fd, "d", 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(dup2(p[0], 0), 0);
    CHECK_EQ(write(p[1], "e", 1), 1);
    CHECK((fd = open("/dev/stdin", O_RDONLY)) >= 0);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(c, 'e');
}

TEST(shm)
{
    struct statfs sf;
    struct stat st;
    char name[64];
    int fd;

    CHECK_EQ(stat("/dev/shm", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 01777);
    CHECK_EQ(statfs("/dev/shm", &sf), 0);
    CHECK_EQ(sf.f_type, 0x01021994);
    (void)snprintf(name, sizeof(name), "/guest-test-%d", (int)getpid());
    CHECK((fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600)) >= 0);
    CHECK_ERRNO(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK_EQ(ftruncate(fd, 8192), 0);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    pid_t pid = FORK({
        int other = shm_open(name, O_RDWR, 0);
        char *q = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);

        CHECK(q != MAP_FAILED);
        memcpy(q + 5000, "shared", 6);
    });
    wait_ok(pid);
    CHECK(memcmp(p + 5000, "shared", 6) == 0);
    CHECK_EQ(shm_unlink(name), 0);
    CHECK_ERRNO(shm_open(name, O_RDWR, 0), ENOENT);
}

TEST(pts_directory)
{
    struct statfs sf;
    char name[64];
    struct stat st;
    int m, n = -1;

    CHECK_EQ(statfs("/dev/pts", &sf), 0);
    CHECK_EQ(sf.f_type, 0x1cd1);
    CHECK((m = open("/dev/ptmx", O_RDWR | O_NOCTTY)) >= 0);
    CHECK_EQ(ioctl(m, TIOCGPTN, &n), 0);
    (void)snprintf(name, sizeof(name), "/dev/pts/%d", n);
    CHECK_EQ(stat(name, &st), 0);
    CHECK_EQ(st.st_rdev, makedev(136, (unsigned)n));
    close(m);
    CHECK_ERRNO(stat(name, &st), ENOENT);
}
