/*
 * read, write and their vectored and positioned kin on regular files: short counts, offsets,
 * RWF_ flags, limits and errors; lseek with SEEK_DATA and SEEK_HOLE; files beyond 4 GiB.
 */
#include "scratch.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

static int fresh(const char *text, int flags)
{
    int fd;

    scratch();
    put_file("f", text);
    fd = open("f", flags);
    CHECK(fd >= 0);
    return fd;
}

TEST(read_moves_the_offset_and_ends_at_eof)
{
    char buf[16];
    int fd = fresh("0123456789", O_RDONLY);

    CHECK_EQ(read(fd, buf, 4), 4);
    CHECK(memcmp(buf, "0123", 4) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
    CHECK_EQ(read(fd, buf, 16), 6);
    CHECK_EQ(read(fd, buf, 16), 0);
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
    CHECK_EQ(read(fd, buf, 16), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100);
    CHECK_EQ(read(fd, buf, 0), 0);
}

TEST(write_extends_and_leaves_a_hole_of_zeros)
{
    char buf[9000];
    int fd = fresh("ab", O_RDWR);

    CHECK_EQ(lseek(fd, 8000, SEEK_SET), 8000);
    CHECK_EQ(write(fd, "end", 3), 3);
    CHECK_EQ(write(fd, "", 0), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 8003);
    CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 8003);
    CHECK(memcmp(buf, "ab", 2) == 0 && memcmp(buf + 8000, "end", 3) == 0);
    for (int i = 2; i < 8000; i++)
        CHECK_EQ(buf[i], 0);
}

TEST(bad_addresses)
{
    char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = fresh("0123456789", O_RDWR);

    CHECK(two != MAP_FAILED);
    CHECK_EQ(munmap(two + 4096, 4096), 0);
    CHECK_ERRNO(syscall(SYS_read, fd, (void *)8, 4), EFAULT);
    CHECK_ERRNO(syscall(SYS_write, fd, (void *)8, 4), EFAULT);
    CHECK_ERRNO(syscall(SYS_read, fd, (void *)-4096l, 4), EFAULT);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_ERRNO(syscall(SYS_read, fd, two + 4096, 4), EFAULT);
    /* With nothing to read the address is not looked at. */
    CHECK_EQ(lseek(fd, 0, SEEK_END), 10);
    CHECK_EQ(syscall(SYS_read, fd, (void *)8, 4), 0);
    /* A write that can copy a part either writes it or fails; it never writes other bytes. */
    memset(two, 'z', 4096);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    errno = 0;
    ssize_t n = syscall(SYS_write, fd, two + 4092, 8);
    CHECK(n == 4 || (n == -1 && errno == EFAULT));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), n < 0 ? 0 : 4);
}

TEST(read_into_read_only_memory)
{
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = fresh("0123456789", O_RDWR);

    CHECK_ERRNO(read(fd, page, 4), EFAULT);
    CHECK_EQ(page[0], 0);
    CHECK_EQ(write(fd, page, 4), 4);
}

TEST(bad_descriptors)
{
    char c;
    struct iovec iov = {&c, 1};

    scratch();
    CHECK_ERRNO(read(-1, &c, 1), EBADF);
    CHECK_ERRNO(write(-1, &c, 1), EBADF);
    CHECK_ERRNO(read(1000, &c, 1), EBADF);
    CHECK_ERRNO(read(INT_MAX, &c, 1), EBADF);
    CHECK_ERRNO(pread(-1, &c, 1, 0), EBADF);
    CHECK_ERRNO(pwrite(-1, &c, 1, 0), EBADF);
    CHECK_ERRNO(readv(-1, &iov, 1), EBADF);
    CHECK_ERRNO(writev(-1, &iov, 1), EBADF);
    CHECK_ERRNO(preadv(-1, &iov, 1, 0), EBADF);
    CHECK_ERRNO(pwritev(-1, &iov, 1, 0), EBADF);
    CHECK_ERRNO(lseek(-1, 0, SEEK_SET), EBADF);
    CHECK_ERRNO(close(-1), EBADF);
    CHECK_ERRNO(close(1000), EBADF);
    CHECK_ERRNO(fsync(-1), EBADF);
    CHECK_ERRNO(ftruncate(-1, 0), EBADF);
}

TEST(vectors)
{
    char a[3], b[4], c[5];
    struct iovec in[3] = {{a, 3}, {b, 4}, {c, 5}};
    struct iovec out[4] = {{"AB", 2}, {NULL, 0}, {"CDE", 3}, {"F", 1}};
    int fd = fresh("0123456789", O_RDWR);

    CHECK_EQ(readv(fd, in, 3), 10);
    CHECK(memcmp(a, "012", 3) == 0 && memcmp(b, "3456", 4) == 0 && memcmp(c, "789", 3) == 0);
    CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
    CHECK_EQ(writev(fd, out, 4), 6);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
    CHECK(file_is("f", "01ABCDEF89"));
    CHECK_EQ(preadv(fd, in, 2, 5), 5);
    CHECK(memcmp(a, "DEF", 3) == 0 && memcmp(b, "89", 2) == 0);
    CHECK_EQ(pwritev(fd, out, 4, 12), 6);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 18);
    CHECK_EQ(readv(fd, in, 0), 0);
    CHECK_EQ(readv(fd, NULL, 0), 0);
}

TEST(vector_errors)
{
    static struct iovec many[UIO_MAXIOV + 1];
    char c = 0;
    struct iovec iov[2] = {{&c, 1}, {&c, 1}};
    int fd = fresh("0123456789", O_RDWR);

    for (int i = 0; i <= UIO_MAXIOV; i++)
        many[i] = (struct iovec){&c, 1};
    CHECK_EQ(readv(fd, many, UIO_MAXIOV), 10);
    CHECK_ERRNO(readv(fd, many, UIO_MAXIOV + 1), EINVAL);
    CHECK_ERRNO(writev(fd, many, UIO_MAXIOV + 1), EINVAL);
    CHECK_ERRNO(readv(fd, iov, -1), EINVAL);
    CHECK_ERRNO(readv(fd, (struct iovec *)8, 1), EFAULT);
    iov[1].iov_len = (size_t)-1;
    CHECK_ERRNO(readv(fd, iov, 2), EINVAL);
    CHECK_ERRNO(writev(fd, iov, 2), EINVAL);
    iov[1].iov_len = (size_t)SSIZE_MAX + 1;
    CHECK_ERRNO(writev(fd, iov, 2), EINVAL);
    CHECK_ERRNO(preadv(fd, iov, 1, -1), EINVAL);
    CHECK_ERRNO(pwritev(fd, iov, 1, -1), EINVAL);
    iov[1] = (struct iovec){(void *)8, 4};
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(readv(fd, iov, 2), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1);
}

TEST(positioned_calls_leave_the_offset)
{
    char buf[16];
    int fd = fresh("0123456789", O_RDWR), p[2];

    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHECK_EQ(pread(fd, buf, 4, 6), 4);
    CHECK(memcmp(buf, "6789", 4) == 0);
    CHECK_EQ(pread(fd, buf, 4, 8), 2);
    CHECK_EQ(pread(fd, buf, 4, 100), 0);
    CHECK_EQ(pwrite(fd, "xy", 2, 0), 2);
    CHECK_EQ(pwrite(fd, "end", 3, 12), 3);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    CHECK_ERRNO(pread(fd, buf, 1, -1), EINVAL);
    CHECK_ERRNO(pwrite(fd, buf, 1, -1), EINVAL);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(pread(p[0], buf, 1, 0), ESPIPE);
    CHECK_ERRNO(pwrite(p[1], buf, 1, 0), ESPIPE);
    CHECK_ERRNO(lseek(p[0], 0, SEEK_CUR), ESPIPE);
}

TEST(rwf_flags)
{
    char buf[16];
    struct iovec iov = {buf, 4};
    int fd = fresh("0123456789", O_RDWR);

    CHECK_EQ(preadv2(fd, &iov, 1, 2, 0), 4);
    CHECK(memcmp(buf, "2345", 4) == 0);
    /* An offset of -1 means the file's own. */
    CHECK_EQ(preadv2(fd, &iov, 1, -1, 0), 4);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
    CHECK_EQ(preadv2(fd, &iov, 1, 0, RWF_HIPRI), 4);
    memcpy(buf, "WXYZ", 4);
    CHECK_EQ(pwritev2(fd, &iov, 1, 0, RWF_DSYNC), 4);
    CHECK_EQ(pwritev2(fd, &iov, 1, 4, RWF_SYNC), 4);
    CHECK_EQ(pwritev2(fd, &iov, 1, -1, 0), 4);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
    CHECK_EQ(pwritev2(fd, &iov, 1, 0, RWF_APPEND), 4);
    CHECK(file_is("f", "WXYZWXYZ89WXYZ"));
    CHECK_ERRNO(preadv2(fd, &iov, 1, 0, 0x40000000), EOPNOTSUPP);
    CHECK_ERRNO(pwritev2(fd, &iov, 1, 0, 0x40000000), EOPNOTSUPP);
    CHECK_ERRNO(preadv2(fd, &iov, 1, -2, 0), EINVAL);
    /* What is in the cache can be had without waiting. */
    errno = 0;
    ssize_t n = preadv2(fd, &iov, 1, 0, RWF_NOWAIT);
    CHECK(n == 4 || (n == -1 && (errno == EAGAIN || errno == EOPNOTSUPP)));
}

TEST(rwf_append_moves_to_the_end)
{
    struct iovec iov = {"zz", 2};
    int fd = fresh("0123456789", O_RDWR), app;

    CHECK_EQ(pwritev2(fd, &iov, 1, -1, RWF_APPEND), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
    app = open("f", O_WRONLY | O_APPEND);
    errno = 0;
    if (pwritev2(app, &iov, 1, 0, RWF_NOAPPEND) == 2)
        CHECK(file_is("f", "zz23456789zz"));
    else
        CHECK_EQ(errno, EOPNOTSUPP);
}

TEST(lseek_whence)
{
    int fd = fresh("0123456789", O_RDWR), dir;

    CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
    CHECK_EQ(lseek(fd, 2, SEEK_CUR), 7);
    CHECK_EQ(lseek(fd, -3, SEEK_CUR), 4);
    CHECK_EQ(lseek(fd, -1, SEEK_END), 9);
    CHECK_EQ(lseek(fd, 5, SEEK_END), 15);
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(lseek(fd, -11, SEEK_END), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, -1), EINVAL);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 15);
    CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
    errno = 0;
    CHECK_EQ(lseek(fd, INT64_MAX, SEEK_CUR), -1);
    CHECK(errno == EOVERFLOW || errno == EINVAL);
    CHECK((dir = open(".", O_RDONLY)) >= 0);
    CHECK_EQ(lseek(dir, 0, SEEK_SET), 0);
}

TEST(offset_is_shared_by_dup_and_fork)
{
    char c;
    int fd = fresh("0123456789", O_RDONLY), two, other;

    two = dup(fd);
    other = open("f", O_RDONLY);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(read(two, &c, 1), 1);
    CHECK_EQ(c, '1');
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(read(fd, &c, 1), 1);
        CHECK_EQ(c, '2');
        _exit(0);
    }
    wait_ok(pid);
    CHECK_EQ(read(two, &c, 1), 1);
    CHECK_EQ(c, '3');
    CHECK_EQ(read(other, &c, 1), 1);
    CHECK_EQ(c, '0');
}

TEST(seek_data_and_hole)
{
    const off_t mb = 1 << 20;
    int fd = fresh("", O_RDWR);
    off_t data, hole;

    CHECK_EQ(ftruncate(fd, 4 * mb), 0);
    CHECK_EQ(pwrite(fd, "x", 1, 2 * mb), 1);
    data = lseek(fd, 0, SEEK_DATA);
    CHECK(data >= 0 && data <= 2 * mb);
    hole = lseek(fd, 2 * mb, SEEK_HOLE);
    CHECK(hole > 2 * mb && hole <= 4 * mb);
    CHECK_EQ(lseek(fd, 2 * mb, SEEK_DATA), 2 * mb);
    CHECK_ERRNO(lseek(fd, 4 * mb, SEEK_DATA), ENXIO);
    CHECK_ERRNO(lseek(fd, 4 * mb, SEEK_HOLE), ENXIO);
    CHECK_ERRNO(lseek(fd, -1, SEEK_DATA), ENXIO);
    /* There is always a hole at the end. */
    CHECK_EQ(ftruncate(fd, 2 * mb + 1), 0);
    CHECK_EQ(lseek(fd, 2 * mb, SEEK_HOLE), 2 * mb + 1);
}

TEST(beyond_4_gib)
{
    const off_t far = (5ll << 30) + 123;
    char buf[8];
    struct stat st;
    int fd = fresh("start", O_RDWR);

    CHECK_EQ(pwrite(fd, "far", 3, far), 3);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, far + 3);
    CHECK(st.st_blocks < 1 << 16);
    CHECK_EQ(lseek(fd, far, SEEK_SET), far);
    CHECK_EQ(read(fd, buf, 8), 3);
    CHECK(memcmp(buf, "far", 3) == 0);
    CHECK_EQ(pread(fd, buf, 5, 1ll << 32), 5);
    CHECK(memcmp(buf, "\0\0\0\0\0", 5) == 0);
    CHECK_EQ(pread(fd, buf, 5, 0), 5);
    CHECK(memcmp(buf, "start", 5) == 0);
    CHECK_EQ(ftruncate(fd, 1ll << 33), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 1ll << 33);
    char *p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, far & ~4095ll);
    CHECK(p != MAP_FAILED);
    CHECK(memcmp(p + (far & 4095), "far", 3) == 0);
}

TEST(file_size_limit)
{
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    char buf[4096];
    int fd = fresh("", O_RDWR);

    memset(buf, 'x', sizeof(buf));
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_EQ(write(fd, buf, 4000), 4000);
    CHECK_EQ(write(fd, buf, 4096), 96);
    CHECK_ERRNO(write(fd, buf, 1), EFBIG);
    CHECK_ERRNO(ftruncate(fd, 4097), EFBIG);
    CHECK_ERRNO(pwrite(fd, buf, 1, 5000), EFBIG);
    CHECK_EQ(pwrite(fd, buf, 100, 0), 100);
    pid_t pid = fork();
    if (pid == 0) {
        (void)signal(SIGXFSZ, SIG_DFL);
        (void)!write(fd, buf, 1);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
}

TEST(large_transfer)
{
    const size_t size = 9u << 20;
    unsigned char *out = malloc(size), *in = malloc(size);
    size_t done;
    int fd = fresh("", O_RDWR);

    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)(i * 7 + (i >> 12));
    for (done = 0; done < size;) {
        ssize_t n = write(fd, out + done, size - done);

        CHECK(n > 0);
        done += (size_t)n;
    }
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    for (done = 0; done < size;) {
        ssize_t n = read(fd, in + done, size - done);

        CHECK(n > 0);
        done += (size_t)n;
    }
    CHECK(memcmp(in, out, size) == 0);
    /* Unaligned pieces across page borders. */
    for (size_t at = 1; at + 10000 < size; at += 777777) {
        CHECK_EQ(pread(fd, in, 10000, (off_t)at), 10000);
        CHECK(memcmp(in, out + at, 10000) == 0);
    }
}

TEST(write_marks_the_times)
{
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct stat before, after;
    int fd = fresh("abc", O_RDWR);

    CHECK_EQ(futimens(fd, old), 0);
    CHECK_EQ(fstat(fd, &before), 0);
    CHECK_EQ(before.st_mtim.tv_sec, 1000);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(fstat(fd, &after), 0);
    CHECK(after.st_mtim.tv_sec > 1000);
    CHECK(after.st_ctim.tv_sec >= before.st_ctim.tv_sec);
    CHECK_EQ(after.st_atim.tv_sec, 1000);
}

TEST(write_clears_set_id_bits)
{
    struct stat st;

    scratch();
    put_file("f", "x");
    CHECK_EQ(chmod("f", 06777), 0);
    pid_t pid = fork();
    if (pid == 0) {
        become(OTHER_UID, OTHER_GID);
        int fd = open("f", O_WRONLY);
        CHECK(fd >= 0);
        CHECK_EQ(write(fd, "y", 1), 1);
        _exit(0);
    }
    wait_ok(pid);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0777);
}

TEST(max_rw_count)
{
    /* A read of more than 2 GiB is shortened, not refused. */
    char *buf = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = fresh("0123456789", O_RDONLY);

    CHECK(buf != MAP_FAILED);
    CHECK_EQ(read(fd, buf, 1 << 20), 10);
    CHECK_ERRNO(pread(fd, buf, (size_t)-1, -5), EINVAL);
    int null = open("/dev/null", O_WRONLY);
    CHECK(null >= 0);
    CHECK_EQ(write(null, buf, 0x90000000ul), 0x7ffff000);
}
