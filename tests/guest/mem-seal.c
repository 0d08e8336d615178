// Memory files: memfd_create, every seal, and what a seal forbids; and copy-on-write, stacks and sharing over
// fork.
#include <pthread.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "guest-test.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#define MFD_EXEC 0x10U
#endif

static int new_memfd(size_t size)
{
    int fd = OK(memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC));
    CHECK_EQ(ftruncate(fd, size), 0);
    return fd;
}

TEST(memfd_basic)
{
    int fd = OK(memfd_create("some name", 0));
    struct stat st;
    char link[64], path[128];
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(S_ISREG(st.st_mode) && st.st_size == 0 && st.st_nlink == 0 && (st.st_mode & 0777) == 0777);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = OK(readlink(link, path, sizeof(path) - 1));
    path[n] = 0;
    CHECK_STR(path, "/memfd:some name (deleted)");
    CHECK_EQ(write(fd, "hello", 5), 5);
    CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
    char *p = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    CHECK(memcmp(p, "hello", 6) == 0);
    p[2 * PAGE] = 7;
    char got;
    CHECK_EQ(pread(fd, &got, 1, 2 * PAGE), 1);
    CHECK_EQ(got, 7);
    int other = OK(open(link, O_RDONLY));
    CHECK_EQ(pread(other, &got, 1, 2 * PAGE), 1);
    CHECK_ERRNO(write(other, "x", 1), EBADF);
    // Without MFD_ALLOW_SEALING it is sealed against seals.
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
}

TEST(memfd_errors)
{
    char name[260];
    memset(name, 'n', sizeof(name));
    name[250] = 0;
    EXPECT_ERRNO(memfd_create(name, 0), EINVAL);
    name[249] = 0;
    EXPECT(memfd_create(name, 0) >= 0);
    EXPECT(memfd_create("", 0) >= 0);
    EXPECT_ERRNO(memfd_create("x", 0x80), EINVAL);
    EXPECT_ERRNO(memfd_create("x", MFD_EXEC | MFD_NOEXEC_SEAL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_memfd_create, GT_BAD, 0), EFAULT);
    int fd = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644));
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    EXPECT_ERRNO(fcntl(ends[0], F_GET_SEALS), EINVAL);
    EXPECT_ERRNO(fcntl(99, F_GET_SEALS), EBADF);
    (void)fd;
}

TEST(seal_bits)
{
    int fd = new_memfd(PAGE);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, 0x8000), EINVAL);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, 0), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    char link[64];
    fd = new_memfd(PAGE);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    int ro = OK(open(link, O_RDONLY));
    CHECK_ERRNO(fcntl(ro, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    CHECK_EQ(fcntl(ro, F_GET_SEALS), 0);
}

TEST(seal_shrink)
{
    int fd = new_memfd(2 * PAGE);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_ERRNO(ftruncate(fd, PAGE), EPERM);
    CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
    CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);
    CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
}

TEST(seal_grow)
{
    int fd = new_memfd(2 * PAGE);
    static char data[2 * PAGE];
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_ERRNO(ftruncate(fd, 3 * PAGE), EPERM);
    CHECK_ERRNO(pwrite(fd, "x", 1, 2 * PAGE), EPERM);
    CHECK_ERRNO(fallocate(fd, 0, 0, 3 * PAGE), EPERM);
    CHECK_EQ(pwrite(fd, data, 2 * PAGE, 0), (ssize_t)(2 * PAGE));
    CHECK_EQ(ftruncate(fd, PAGE), 0);
    CHECK_ERRNO(ftruncate(fd, 2 * PAGE), EPERM);
}

TEST(seal_write)
{
    int fd = new_memfd(2 * PAGE);
    char *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);    // a writable shared mapping
    strcpy(p, "frozen");
    CHECK_EQ(munmap(p, PAGE), 0);
    char *private = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
    CHECK_ERRNO((long)mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), EPERM);
    CHECK_STR(private, "frozen");
    private[0] = 'F';    // private copies may be written
    p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    CHECK_STR(p, "frozen");
    CHECK_EQ(ftruncate(fd, 3 * PAGE), 0);    // size is another matter
    p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED) {
        CHECK_STR(p, "frozen");
        CHECK_ERRNO(mprotect(p, PAGE, RW), EACCES);
    } else {
        CHECK_EQ(errno, EPERM);    // before 6.7
    }
}

TEST(seal_future_write)
{
    int fd = new_memfd(PAGE);
    char *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    strcpy(p, "old mappings write");
    char got[32];
    CHECK_EQ(pread(fd, got, 19, 0), 19);
    CHECK_STR(got, "old mappings write");
    CHECK_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
    CHECK_ERRNO((long)mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
    char *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(q != MAP_FAILED);
    CHECK_ERRNO(mprotect(q, PAGE, RW), EACCES);
}

TEST(seal_exec)
{
    int fd = memfd_create("x", MFD_NOEXEC_SEAL);
    if (fd < 0)
        SKIP("no MFD_NOEXEC_SEAL");
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0666);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
    CHECK_ERRNO(fchmod(fd, 0777), EPERM);
    CHECK_EQ(fchmod(fd, 0600), 0);
    fd = new_memfd(PAGE);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC), 0);
    // Sealing an executable file against changes of its x bits seals its contents and size too.
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
}

TEST(memfd_holes)
{
    int fd = new_memfd(4 * PAGE);
    static char data[4 * PAGE];
    memset(data, 'x', sizeof(data));
    CHECK_EQ(pwrite(fd, data, sizeof(data), 0), (ssize_t)sizeof(data));
    char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE), 0);
    CHECK(p[0] == 'x' && p[PAGE] == 0 && p[3 * PAGE - 1] == 0 && p[3 * PAGE] == 'x');
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 4 * PAGE);
    CHECK(st.st_blocks <= 4 * 8);
    // A file that never had pages there shows its holes exactly.
    fd = new_memfd(4 * PAGE);
    CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
    CHECK_EQ(pwrite(fd, "x", 1, 3 * PAGE), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), PAGE);
    CHECK_EQ(lseek(fd, PAGE, SEEK_DATA), 3 * PAGE);
    CHECK_EQ(lseek(fd, 3 * PAGE, SEEK_HOLE), 4 * PAGE);
    CHECK_ERRNO(lseek(fd, 4 * PAGE, SEEK_DATA), ENXIO);
    CHECK_EQ(fallocate(fd, 0, 0, 6 * PAGE), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 6 * PAGE);
    CHECK(st.st_blocks >= 6 * 8);
}

TEST(copy_on_write_both_directions)
{
    enum { PAGES = 256 };
    char *p = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int down[2], up[2];
    char byte;
    CHECK(pipe(down) == 0 && pipe(up) == 0);
    memset(p, 1, PAGES * PAGE);
    pid_t pid = FORK({
        CHECK_EQ(read(down[0], &byte, 1), 1);    // the parent has written meanwhile
        for (int i = 0; i < PAGES; i++)
            CHECK_EQ(p[i * PAGE], 1);
        memset(p, 3, PAGES * PAGE);
        CHECK_EQ(write(up[1], "d", 1), 1);
        CHECK_EQ(read(down[0], &byte, 1), 1);
        for (int i = 0; i < PAGES; i++)
            CHECK_EQ(p[i * PAGE + 9], 3);
    });
    for (int i = 0; i < PAGES; i += 2)
        p[i * PAGE] = 2;
    CHECK_EQ(write(down[1], "g", 1), 1);
    CHECK_EQ(read(up[0], &byte, 1), 1);
    for (int i = 0; i < PAGES; i++)
        CHECK_EQ(p[i * PAGE], i % 2 == 0 ? 2 : 1);
    memset(p, 4, PAGES * PAGE);
    CHECK_EQ(write(down[1], "g", 1), 1);
    CHECK_EQ(close(down[1]), 0);
    CHECK_EXIT(pid, 0);
}

TEST(copy_on_write_by_calls)
{
    // The kernel writes into shared pages of a child as well: by read, pipe and wait status.
    static char page[PAGE] __attribute__((aligned(4096)));
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    strcpy(page, "parent");
    CHECK_EQ(write(ends[1], "child!", 6), 6);
    pid_t pid = FORK({
        CHECK_EQ(read(ends[0], page, 6), 6);
        CHECK_STR(page, "child!");
    });
    CHECK_EXIT(pid, 0);
    CHECK_STR(page, "parent");
}

TEST(copy_on_write_generations)
{
    // Three generations hold the same pages; each sees its own.
    enum { PAGES = 32 };
    char *p = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 10, PAGES * PAGE);
    pid_t pid = FORK({
        for (int i = 0; i < PAGES; i += 3)
            p[i * PAGE] = 20;
        pid_t child = FORK({
            for (int i = 0; i < PAGES; i += 2)
                p[i * PAGE] = 30;
            for (int i = 0; i < PAGES; i++)
                CHECK_EQ(p[i * PAGE], i % 2 == 0 ? 30 : i % 3 == 0 ? 20 : 10);
        });
        CHECK_EXIT(child, 0);
        for (int i = 0; i < PAGES; i++)
            CHECK_EQ(p[i * PAGE], i % 3 == 0 ? 20 : 10);
    });
    CHECK_EXIT(pid, 0);
    for (int i = 0; i < PAGES; i++)
        CHECK_EQ(p[i * PAGE], 10);
}

TEST(fork_with_split_mappings)
{
    char *p = mmap(NULL, 64 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 64; i++)
        p[i * PAGE] = i;
    for (int i = 0; i < 64; i += 4)
        CHECK_EQ(mprotect(p + i * PAGE, PAGE, PROT_READ), 0);
    for (int i = 2; i < 64; i += 8)
        CHECK_EQ(munmap(p + i * PAGE, PAGE), 0);
    pid_t pid = FORK({
        for (int i = 0; i < 64; i++) {
            unsigned char in;
            CHECK_EQ(mincore(p + i * PAGE, PAGE, &in), i % 8 == 2 ? -1 : 0);
            if (i % 8 != 2)
                CHECK_EQ(p[i * PAGE], i);
        }
        CHECK_EQ(mprotect(p, PAGE, RW), 0);
        p[0] = 99;
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(p[0], 0);
}

TEST(shared_memory_over_generations)
{
    atomic_int *words = gt_shared(PAGE);
    pid_t pids[4];
    for (int i = 0; i < 4; i++)
        pids[i] = FORK({
            pid_t child = FORK({
                for (int k = 0; k < 10000; k++)
                    atomic_fetch_add(words, 1);
            });
            for (int k = 0; k < 10000; k++)
                atomic_fetch_add(words, 1);
            CHECK_EXIT(child, 0);
        });
    for (int i = 0; i < 4; i++)
        CHECK_EXIT(pids[i], 0);
    CHECK_EQ(*words, 80000);
}

static long use_stack(int depth)
{
    volatile char frame[2000];
    frame[0] = frame[1999] = depth;
    return depth == 0 ? 0 : use_stack(depth - 1) + frame[0] - frame[1999] + 1;
}

TEST(stack_grows)
{
    CHECK_EQ(use_stack(2000), 2000);    // 4 MB
    // In a child, and again after growth
    pid_t pid = FORK({ CHECK_EQ(use_stack(3000), 3000); });
    CHECK_EXIT(pid, 0);
}

TEST(stack_limit_follows_rlimit)
{
    struct rlimit rl;
    CHECK_EQ(getrlimit(RLIMIT_STACK, &rl), 0);
    if (rl.rlim_max < 32 << 20)
        SKIP("hard limit too low");
    pid_t pid = FORK({
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        rl.rlim_cur = 8 << 20;
        CHECK_EQ(setrlimit(RLIMIT_STACK, &rl), 0);
        use_stack(10000);    // 20 MB
    });
    CHECK_KILLED(pid, SIGSEGV);
}

TEST(call_buffers_on_growing_stack)
{
    // The kernel writes far below what has been touched so far; the stack grows for it as for the program.
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], "abc", 3), 3);
    char big[1 << 20];
    CHECK_EQ(read(ends[0], big, 3), 3);
    CHECK(memcmp(big, "abc", 3) == 0);
}

static void *thread_stack(void *arg)
{
    return (void *)(long)(use_stack(200) == 200 ? (long)arg : 0);
}

TEST(thread_stacks)
{
    pthread_t threads[16];
    for (long i = 0; i < 16; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, thread_stack, (void *)(i + 1)), 0);
    for (long i = 0; i < 16; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK_EQ((long)result, i + 1);
    }
}

TEST(grows_down_mapping)
{
    // Faults below a MAP_GROWSDOWN mapping extend it, up to a gap before the next one.
    char *space = mmap(NULL, 600 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(space != MAP_FAILED);
    CHECK_EQ(munmap(space, 600 * PAGE), 0);
    char *top = space + 599 * PAGE;
    char *p = mmap(top, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    CHECK(p == top);
    for (int i = 0; i < 50; i++)
        *(volatile char *)(top - i * PAGE) = i;
    for (int i = 0; i < 50; i++)
        CHECK_EQ(*(top - i * PAGE), i);
}
