/*
 * Size and space: truncate, ftruncate, fallocate's modes, and the calls that move data between
 * descriptors inside the kernel: copy_file_range, sendfile, splice, tee and vmsplice.
 */
#include "scratch.h"

#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int fresh(const char *text)
{
    int fd;

    scratch();
    put_file("f", text);
    fd = open("f", O_RDWR);
    CHECK(fd >= 0);
    return fd;
}

static off_t size_of(int fd)
{
    struct stat st;

    CHECK_EQ(fstat(fd, &st), 0);
    return st.st_size;
}

TEST(truncate_shrinks_and_grows)
{
    char buf[20];
    int fd = fresh("0123456789");

    CHECK_EQ(ftruncate(fd, 4), 0);
    CHECK(file_is("f", "0123"));
    CHECK_EQ(truncate("f", 8), 0);
    CHECK_EQ(pread(fd, buf, 20, 0), 8);
    /* What was cut off does not come back. */
    CHECK(memcmp(buf, "0123\0\0\0\0", 8) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(ftruncate(fd, 1ll << 36), 0);
    CHECK_EQ(size_of(fd), 1ll << 36);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK(file_is("f", ""));
}

TEST(truncate_errors)
{
    int fd = fresh("x"), p[2];

    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_ERRNO(truncate("f", -1), EINVAL);
    CHECK_ERRNO(truncate("none", 0), ENOENT);
    CHECK_ERRNO(truncate("f/x", 0), ENOTDIR);
    CHECK_ERRNO(truncate(".", 0), EISDIR);
    CHECK_ERRNO(ftruncate(open("f", O_RDONLY), 0), EINVAL);
    CHECK_ERRNO(ftruncate(open(".", O_RDONLY), 0), EINVAL);
    CHECK_ERRNO(ftruncate(-1, 0), EBADF);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(ftruncate(p[1], 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_truncate, (void *)8, 0), EFAULT);
    CHECK_EQ(mkfifo("fifo", 0600), 0);
    CHECK_ERRNO(truncate("fifo", 0), EINVAL);
    CHECK_EQ(chmod("f", 0444), 0);
    pid_t pid = FORK({
        become(OTHER_UID, OTHER_GID);
        CHECK_ERRNO(truncate("f", 0), EACCES);
    });
    wait_ok(pid);
}

TEST(truncate_changes_a_mapping)
{
    int fd = fresh("");
    char *p;

    CHECK_EQ(ftruncate(fd, 8192), 0);
    p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    p[5000] = 'x';
    CHECK_EQ(ftruncate(fd, 100), 0);
    pid_t pid = FORK({ (void)*(volatile char *)(p + 5000); });
    CHECK_KILLED(pid, SIGBUS);
    CHECK_EQ(ftruncate(fd, 8192), 0);
    CHECK_EQ(p[5000], 0);
    CHECK_EQ(p[50], 0);
}

TEST(fallocate_plain)
{
    struct stat st;
    int fd = fresh("0123456789");

    if (fallocate(fd, 0, 0, 65536) < 0 && errno == EOPNOTSUPP)
        SKIP("no fallocate here");
    CHECK_EQ(size_of(fd), 65536);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(st.st_blocks * 512 >= 65536);
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 65536, 65536), 0);
    CHECK_EQ(size_of(fd), 65536);
    char buf[10];
    CHECK_EQ(pread(fd, buf, 10, 0), 10);
    CHECK(memcmp(buf, "0123456789", 10) == 0);
    CHECK_EQ(posix_fallocate(fd, 100000, 100), 0);
    CHECK_EQ(size_of(fd), 100100);
}

TEST(fallocate_punch)
{
    struct stat before, after;
    char buf[4096];
    int fd = fresh("");

    memset(buf, 'x', sizeof(buf));
    for (int i = 0; i < 64; i++)
        CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(fstat(fd, &before), 0);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192 + 100, 40 * 4096) < 0) {
        CHECK_EQ(errno, EOPNOTSUPP);
        SKIP("no hole punching here");
    }
    CHECK_EQ(fstat(fd, &after), 0);
    CHECK_EQ(after.st_size, 64 * 4096);
    CHECK(after.st_blocks < before.st_blocks);
    CHECK_EQ(pread(fd, buf, 200, 8192), 200);
    CHECK_EQ(buf[99], 'x');
    CHECK_EQ(buf[100], 0);
    CHECK_EQ(pread(fd, buf, 200, 8192 + 40 * 4096), 200);
    CHECK_EQ(buf[99], 0);
    CHECK_EQ(buf[100], 'x');
    off_t hole = lseek(fd, 8192, SEEK_HOLE);
    CHECK(hole >= 8192 && hole <= 16384);
    /* Beyond the end nothing changes. */
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096), 0);
    CHECK_EQ(size_of(fd), 64 * 4096);
}

TEST(fallocate_other_modes)
{
    char buf[4096];
    int fd = fresh("");

    for (int i = 0; i < 4; i++) {
        memset(buf, 'a' + i, sizeof(buf));
        CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
    }
    if (fallocate(fd, FALLOC_FL_ZERO_RANGE, 100, 4096) == 0) {
        CHECK_EQ(pread(fd, buf, 4096, 100), 4096);
        CHECK(buf[0] == 0 && buf[4095] == 0);
        CHECK_EQ(pread(fd, buf, 1, 99), 1);
        CHECK_EQ(buf[0], 'a');
    } else {
        CHECK_EQ(errno, EOPNOTSUPP);
    }
    if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096) == 0) {
        CHECK_EQ(size_of(fd), 3 * 4096);
        CHECK_EQ(pread(fd, buf, 1, 4096), 1);
        CHECK_EQ(buf[0], 'c');
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 1, 4096), EINVAL);
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 8192, 4096), EINVAL);
    } else {
        CHECK_EQ(errno, EOPNOTSUPP);
    }
    if (fallocate(fd, FALLOC_FL_INSERT_RANGE, 4096, 4096) == 0) {
        CHECK_EQ(pread(fd, buf, 1, 4096), 1);
        CHECK_EQ(buf[0], 0);
    } else {
        CHECK_EQ(errno, EOPNOTSUPP);
    }
}

TEST(fallocate_errors)
{
    int fd = fresh("x"), p[2];

    CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, -1), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, INT64_MAX, 10), EFBIG);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, 0x8000, 0, 10), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(open("f", O_RDONLY), 0, 0, 10), EBADF);
    CHECK_ERRNO(fallocate(-1, 0, 0, 10), EBADF);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(fallocate(p[1], 0, 0, 10), ESPIPE);
    CHECK_ERRNO(fallocate(open("/dev/null", O_WRONLY), 0, 0, 10), ENODEV);
}

TEST(fadvise_and_readahead)
{
    int fd = fresh("0123456789"), p[2];

    for (int advice = 0; advice <= 5; advice++)
        CHECK_RC(posix_fadvise(fd, 0, 0, advice), 0);
    CHECK_RC(posix_fadvise(fd, 0, 0, 99), EINVAL);
    CHECK_RC(posix_fadvise(fd, 0, -1, 0), EINVAL);
    CHECK_EQ(pipe(p), 0);
    CHECK_RC(posix_fadvise(p[0], 0, 0, 0), ESPIPE);
    CHECK_RC(posix_fadvise(-1, 0, 0, 0), EBADF);
    CHECK_EQ(readahead(fd, 0, 10), 0);
    CHECK_ERRNO(readahead(p[0], 0, 10), EINVAL);
    CHECK_ERRNO(readahead(-1, 0, 10), EBADF);
}

TEST(copy_file_range_basics)
{
    int in = fresh("0123456789"), out;
    off_t from = 2, to = 4;

    out = open("out", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(copy_file_range(in, NULL, out, NULL, 4, 0), 4);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
    CHECK_EQ(lseek(out, 0, SEEK_CUR), 4);
    CHECK(file_is("out", "0123"));
    CHECK_EQ(copy_file_range(in, &from, out, &to, 100, 0), 8);
    CHECK_EQ(from, 10);
    CHECK_EQ(to, 12);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
    CHECK(file_is("out", "012323456789"));
    CHECK_EQ(copy_file_range(in, &from, out, &to, 100, 0), 0);
    CHECK_EQ(copy_file_range(in, NULL, out, NULL, 0, 0), 0);
    /* Within one file, without overlap. */
    from = 0;
    to = 10;
    CHECK_EQ(copy_file_range(in, &from, in, &to, 5, 0), 5);
    CHECK(file_is("f", "012345678901234"));
}

TEST(copy_file_range_errors)
{
    int in = fresh("0123456789"), out, p[2];
    off_t from = 0, to = 2, bad = -1;

    out = open("out", O_RDWR | O_CREAT, 0600);
    CHECK_ERRNO(copy_file_range(in, &from, in, &to, 5, 0), EINVAL);
    CHECK_ERRNO(copy_file_range(in, NULL, out, NULL, 5, 1), EINVAL);
    CHECK_ERRNO(copy_file_range(open("out", O_WRONLY), NULL, out, NULL, 5, 0), EBADF);
    CHECK_ERRNO(copy_file_range(in, NULL, open("out", O_RDONLY), NULL, 5, 0), EBADF);
    CHECK_ERRNO(copy_file_range(in, NULL, open("out", O_WRONLY | O_APPEND), NULL, 5, 0), EBADF);
    CHECK_ERRNO(copy_file_range(-1, NULL, out, NULL, 5, 0), EBADF);
    CHECK_ERRNO(copy_file_range(open(".", O_RDONLY), NULL, out, NULL, 5, 0), EISDIR);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(copy_file_range(p[0], NULL, out, NULL, 5, 0), EINVAL);
    CHECK_ERRNO(copy_file_range(in, NULL, p[1], NULL, 5, 0), EINVAL);
    CHECK(copy_file_range(in, &bad, out, NULL, 5, 0) == -1 &&
          (errno == EOVERFLOW || errno == EINVAL));
    CHECK_ERRNO(syscall(SYS_copy_file_range, in, (void *)8, out, NULL, 5, 0), EFAULT);
}

TEST(sendfile_to_everything)
{
    char buf[32];
    int in = fresh("0123456789"), out, p[2], sv[2];
    off_t from = 3;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sendfile(p[1], in, &from, 4), 4);
    CHECK_EQ(from, 7);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
    CHECK_EQ(read(p[0], buf, 32), 4);
    CHECK(memcmp(buf, "3456", 4) == 0);
    CHECK_EQ(sendfile(p[1], in, NULL, 100), 10);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 10);
    CHECK_EQ(read(p[0], buf, 32), 10);
    CHECK_EQ(sendfile(p[1], in, NULL, 100), 0);
    out = open("out", O_RDWR | O_CREAT, 0600);
    from = 0;
    CHECK_EQ(sendfile(out, in, &from, 6), 6);
    CHECK(file_is("out", "012345"));
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    from = 0;
    CHECK_EQ(sendfile(sv[0], in, &from, 10), 10);
    CHECK_EQ(read(sv[1], buf, 32), 10);
    CHECK_EQ(sendfile(out, in, &from, 0), 0);
    CHECK_ERRNO(sendfile(out, -1, NULL, 5), EBADF);
    CHECK_ERRNO(sendfile(-1, in, NULL, 5), EBADF);
    CHECK_ERRNO(sendfile(out, open("f", O_WRONLY), NULL, 5), EBADF);
    CHECK_ERRNO(sendfile(open("f", O_RDONLY), in, NULL, 5), EBADF);
    from = -1;
    CHECK_ERRNO(sendfile(out, in, &from, 5), EINVAL);
    from = 0;
    CHECK_ERRNO(sendfile(out, p[0], &from, 5), ESPIPE);
    CHECK_ERRNO(sendfile(out, sv[0], NULL, 5), EINVAL);
    CHECK_ERRNO(sendfile(open("out", O_WRONLY | O_APPEND), in, NULL, 5), EINVAL);
}

TEST(sendfile_large)
{
    const size_t size = 1 << 20;
    char *data = malloc(size), *back = malloc(size);
    size_t have = 0;
    int in = fresh(""), sv[2];

    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 13 >> 5);
    CHECK_EQ(write(in, data, size), size);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    pid_t pid = FORK({
        off_t at = 0;

        close(sv[1]);
        while ((size_t)at < size)
            CHECK(sendfile(sv[0], in, &at, size - (size_t)at) > 0);
    });
    close(sv[0]);
    for (ssize_t n; (n = read(sv[1], back + have, size - have)) > 0;)
        have += (size_t)n;
    CHECK_EQ(have, size);
    CHECK(memcmp(data, back, size) == 0);
    wait_ok(pid);
}

TEST(splice_both_ways)
{
    char buf[32];
    int fd = fresh("0123456789"), out, p[2];
    off_t at = 2;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(splice(fd, &at, p[1], NULL, 5, 0), 5);
    CHECK_EQ(at, 7);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(read(p[0], buf, 32), 5);
    CHECK(memcmp(buf, "23456", 5) == 0);
    CHECK_EQ(write(p[1], "to file", 7), 7);
    out = open("out", O_RDWR | O_CREAT, 0600);
    at = 3;
    CHECK_EQ(splice(p[0], NULL, out, &at, 100, 0), 7);
    CHECK_EQ(at, 10);
    CHECK_EQ(pread(out, buf, 32, 0), 10);
    CHECK(memcmp(buf, "\0\0\0to file", 10) == 0);
    CHECK_ERRNO(splice(p[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_EQ(splice(fd, NULL, p[1], NULL, 0, 0), 0);
    int q[2];
    CHECK_EQ(pipe(q), 0);
    CHECK_EQ(write(p[1], "pipe to pipe", 12), 12);
    CHECK_EQ(splice(p[0], NULL, q[1], NULL, 4, 0), 4);
    CHECK_EQ(read(q[0], buf, 32), 4);
    CHECK_EQ(read(p[0], buf, 32), 8);
    close(p[1]);
    CHECK_EQ(splice(p[0], NULL, q[1], NULL, 4, 0), 0);
}

TEST(splice_errors)
{
    int fd = fresh("0123456789"), other, p[2];
    off_t at = 0, bad = -1;

    CHECK_EQ(pipe(p), 0);
    other = open("out", O_RDWR | O_CREAT, 0600);
    CHECK_ERRNO(splice(fd, NULL, other, NULL, 5, 0), EINVAL);
    CHECK_ERRNO(splice(p[0], NULL, p[1], NULL, 5, 0), EINVAL);
    CHECK_ERRNO(splice(p[0], &at, other, NULL, 5, 0), ESPIPE);
    CHECK_ERRNO(splice(fd, NULL, p[1], &at, 5, 0), ESPIPE);
    CHECK_ERRNO(splice(fd, &bad, p[1], NULL, 5, 0), EINVAL);
    CHECK_ERRNO(splice(fd, NULL, p[0], NULL, 5, 0), EBADF);
    CHECK_ERRNO(splice(-1, NULL, p[1], NULL, 5, 0), EBADF);
    CHECK_ERRNO(splice(fd, NULL, p[1], NULL, 5, 0x100), EINVAL);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_ERRNO(splice(p[0], NULL, open("out", O_WRONLY | O_APPEND), NULL, 5, 0), EINVAL);
    (void)signal(SIGPIPE, SIG_IGN);
    close(p[0]);
    CHECK_ERRNO(splice(fd, NULL, p[1], NULL, 5, 0), EPIPE);
}

TEST(tee_copies)
{
    char buf[16];
    int a[2], b[2];

    CHECK_EQ(pipe(a), 0);
    CHECK_EQ(pipe(b), 0);
    CHECK_EQ(write(a[1], "twice", 5), 5);
    CHECK_EQ(tee(a[0], b[1], 3, 0), 3);
    CHECK_EQ(read(b[0], buf, 16), 3);
    CHECK(memcmp(buf, "twi", 3) == 0);
    CHECK_EQ(read(a[0], buf, 16), 5);
    CHECK_ERRNO(tee(a[0], b[1], 3, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(tee(a[0], a[1], 3, 0), EINVAL);
    CHECK_ERRNO(tee(fresh("x"), b[1], 3, 0), EINVAL);
    CHECK_ERRNO(tee(-1, b[1], 3, 0), EBADF);
    close(a[1]);
    CHECK_EQ(tee(a[0], b[1], 3, 0), 0);
}

TEST(vmsplice_both_ways)
{
    char buf[16], word[] = "gather";
    struct iovec iov[2] = {{word, 3}, {word + 3, 3}}, in = {buf, 16};
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(vmsplice(p[1], iov, 2, 0), 6);
    CHECK_EQ(read(p[0], buf, 16), 6);
    CHECK(memcmp(buf, "gather", 6) == 0);
    CHECK_EQ(write(p[1], "back", 4), 4);
    CHECK_EQ(vmsplice(p[0], &in, 1, 0), 4);
    CHECK(memcmp(buf, "back", 4) == 0);
    CHECK_ERRNO(vmsplice(fresh("x"), iov, 1, 0), EBADF);
    CHECK_ERRNO(vmsplice(-1, iov, 1, 0), EBADF);
    CHECK_ERRNO(vmsplice(p[1], iov, 1, 0x100), EINVAL);
}

TEST(splice_keeps_data_intact_under_load)
{
    const size_t size = 3 << 20;
    char *data = malloc(size), *back = malloc(size);
    int fd = fresh(""), p[2], out;
    off_t at = 0;

    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i ^ i >> 7);
    CHECK_EQ(write(fd, data, size), size);
    CHECK_EQ(pipe(p), 0);
    out = open("out", O_RDWR | O_CREAT, 0600);
    pid_t pid = FORK({
        close(p[0]);
        while ((size_t)at < size)
            CHECK(splice(fd, &at, p[1], NULL, 100001, SPLICE_F_MOVE | SPLICE_F_MORE) > 0);
    });
    close(p[1]);
    ssize_t n;
    size_t total = 0;
    while ((n = splice(p[0], NULL, out, NULL, 77777, 0)) > 0)
        total += (size_t)n;
    CHECK_EQ(n, 0);
    CHECK_EQ(total, size);
    wait_ok(pid);
    CHECK_EQ(pread(out, back, size, 0), size);
    CHECK(memcmp(data, back, size) == 0);
}
