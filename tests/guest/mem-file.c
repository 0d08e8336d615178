// File mappings: coherence with read and write, private copies, write-back, growth and truncation, sparse
// files, several mappings of one page, msync, and mappings that outlive descriptor and name.
#include <sched.h>
#include <sys/uio.h>

#include "guest-test.h"

#define PAGE 4096UL

static int new_file(size_t size)
{
    static int count;
    int fd = OK(open(gt_path("file%d", count++), O_RDWR | O_CREAT | O_EXCL, 0644));
    CHECK_EQ(ftruncate(fd, size), 0);
    return fd;
}

static void *map_file(int fd, size_t size, int prot, int flags, off_t offset)
{
    void *p = mmap(NULL, size, prot, flags, fd, offset);
    CHECK(p != MAP_FAILED);
    return p;
}

#define RW (PROT_READ | PROT_WRITE)

TEST(read_through_mapping)
{
    int fd = new_file(0);
    static char data[3 * PAGE], more[3 * PAGE];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = i * 7 + i / PAGE;
    CHECK_EQ(write(fd, data, sizeof(data)), (ssize_t)sizeof(data));
    char *p = map_file(fd, sizeof(data), PROT_READ, MAP_PRIVATE, 0);
    CHECK(memcmp(p, data, sizeof(data)) == 0);
    char *q = map_file(fd, PAGE, PROT_READ, MAP_SHARED, 2 * PAGE);
    CHECK(memcmp(q, data + 2 * PAGE, PAGE) == 0);
    CHECK_EQ(pread(fd, more, sizeof(more), 0), (ssize_t)sizeof(more));
    CHECK(memcmp(more, data, sizeof(data)) == 0);
}

TEST(shared_is_coherent_both_ways)
{
    int fd = new_file(2 * PAGE);
    volatile char *p = map_file(fd, 2 * PAGE, RW, MAP_SHARED, 0);
    for (int i = 0; i < 200; i++) {
        char byte = i, got = 0;
        CHECK_EQ(pwrite(fd, &byte, 1, i * 31), 1);
        CHECK_EQ(p[i * 31], byte);
        p[i * 31 + 1] = byte + 1;
        CHECK_EQ(pread(fd, &got, 1, i * 31 + 1), 1);
        CHECK_EQ(got, (char)(byte + 1));
    }
}

TEST(private_is_a_copy)
{
    int fd = new_file(2 * PAGE);
    CHECK_EQ(pwrite(fd, "file", 4, 0), 4);
    char *p = map_file(fd, 2 * PAGE, RW, MAP_PRIVATE, 0);
    CHECK(memcmp(p, "file", 4) == 0);
    memcpy(p, "mine", 4);
    char got[5] = "";
    CHECK_EQ(pread(fd, got, 4, 0), 4);
    CHECK_STR(got, "file");
    CHECK_EQ(pwrite(fd, "FILE", 4, 0), 4);
    CHECK(memcmp(p, "mine", 4) == 0);    // copied: no longer follows the file
    CHECK_EQ(pwrite(fd, "next", 4, PAGE), 4);
    CHECK(memcmp(p + PAGE, "next", 4) == 0);    // not copied yet: does
    CHECK_EQ(munmap(p, 2 * PAGE), 0);
    CHECK_EQ(pread(fd, got, 4, 0), 4);
    CHECK_STR(got, "FILE");
}

TEST(two_shared_mappings_are_one)
{
    int fd = new_file(PAGE);
    volatile char *a = map_file(fd, PAGE, RW, MAP_SHARED, 0), *b = map_file(fd, PAGE, RW, MAP_SHARED, 0);
    CHECK(a != b);
    a[5] = 1;
    CHECK_EQ(b[5], 1);
    b[6] = 2;
    CHECK_EQ(a[6], 2);
    pid_t pid = FORK({
        CHECK_EQ(b[6], 2);
        a[7] = 3;
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(b[7], 3);
}

TEST(between_processes_by_name)
{
    int fd = new_file(PAGE);
    volatile int *p = map_file(fd, PAGE, RW, MAP_SHARED, 0);
    char path[PATH_MAX], link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = OK(readlink(link, path, sizeof(path) - 1));
    path[n] = 0;
    pid_t pid = FORK({
        int other = OK(open(path, O_RDWR));
        volatile int *q = map_file(other, PAGE, RW, MAP_SHARED, 0);
        for (int i = 1; i <= 100; i++) {
            while (__atomic_load_n(&q[0], __ATOMIC_ACQUIRE) != i)
                sched_yield();
            __atomic_store_n(&q[1], i, __ATOMIC_RELEASE);
        }
    });
    for (int i = 1; i <= 100; i++) {
        __atomic_store_n(&p[0], i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&p[1], __ATOMIC_ACQUIRE) != i)
            sched_yield();
    }
    CHECK_EXIT(pid, 0);
}

TEST(outlives_descriptor_and_name)
{
    int fd = OK(open(gt_path("gone"), O_RDWR | O_CREAT, 0644));
    CHECK_EQ(ftruncate(fd, PAGE), 0);
    char *p = map_file(fd, PAGE, RW, MAP_SHARED, 0);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(unlink(gt_path("gone")), 0);
    strcpy(p, "still here");
    pid_t pid = FORK({ CHECK_STR(p, "still here"); });
    CHECK_EXIT(pid, 0);
    char line[256];
    FILE *f = fopen("/proc/self/maps", "re");
    bool deleted = false;
    while (fgets(line, sizeof(line), f))
        deleted |= strstr(line, "/gone (deleted)") != NULL;
    fclose(f);
    CHECK(deleted);
}

TEST(tail_of_last_page)
{
    int fd = new_file(PAGE + 100);
    char *p = map_file(fd, 2 * PAGE, RW, MAP_SHARED, 0);
    for (size_t i = 100; i < PAGE; i++)
        CHECK_EQ(p[PAGE + i], 0);
    memset(p + PAGE, 'x', 200);    // beyond the end: allowed, and not part of the file
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, PAGE + 100);
    char got[200];
    CHECK_EQ(pread(fd, got, 200, PAGE), 100);
    CHECK_EQ(got[99], 'x');
    // Growing the file shows zeroes there.
    CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
    CHECK_EQ(pread(fd, got, 100, PAGE + 100), 100);
    CHECK_EQ(got[0], 0);
}

TEST(truncate_drops_and_regrows)
{
    int fd = new_file(4 * PAGE);
    for (int shared = 0; shared < 2; shared++) {
        CHECK_EQ(ftruncate(fd, 4 * PAGE), 0);
        char *p = map_file(fd, 4 * PAGE, RW, shared ? MAP_SHARED : MAP_PRIVATE, 0);
        memset(p, 'a', 4 * PAGE);
        CHECK_EQ(ftruncate(fd, PAGE + 10), 0);
        CHECK_EQ(p[0], 'a');
        CHECK_EQ(p[PAGE + 9], 'a');
        CHECK_EQ(ftruncate(fd, 4 * PAGE), 0);
        CHECK_EQ(p[2 * PAGE], 0);    // private copies beyond the end are dropped too
        CHECK_EQ(p[3 * PAGE + 5], 0);
        if (shared)
            CHECK_EQ(p[PAGE + 10], 0);
        CHECK_EQ(munmap(p, 4 * PAGE), 0);
    }
}

TEST(sparse)
{
    off_t far = 1LL << 32;
    int fd = new_file(far + PAGE);
    char *p = map_file(fd, PAGE, RW, MAP_SHARED, far);
    CHECK_EQ(p[0], 0);
    strcpy(p, "far away");
    char got[9] = "";
    CHECK_EQ(pread(fd, got, 8, far), 8);
    CHECK_STR(got, "far away");
    struct stat st;
    CHECK_EQ(msync(p, PAGE, MS_SYNC), 0);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, far + PAGE);
    CHECK(st.st_blocks < 1024);
    CHECK_EQ(pread(fd, got, 1, 1LL << 31), 1);
    CHECK_EQ(got[0], 0);
}

TEST(msync_forms)
{
    int fd = new_file(4 * PAGE);
    char *p = map_file(fd, 4 * PAGE, RW, MAP_SHARED, 0);
    memset(p, 1, 4 * PAGE);
    CHECK_EQ(msync(p, 4 * PAGE, MS_SYNC), 0);
    CHECK_EQ(msync(p, 100, MS_ASYNC), 0);
    CHECK_EQ(msync(p, 4 * PAGE, MS_SYNC | MS_INVALIDATE), 0);
    CHECK_EQ(msync(p, 0, MS_SYNC), 0);
    CHECK_EQ(msync(p, 4 * PAGE, 0), 0);
    EXPECT_ERRNO(msync(p + 1, PAGE, MS_SYNC), EINVAL);
    EXPECT_ERRNO(msync(p, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    EXPECT_ERRNO(msync(p, PAGE, 8), EINVAL);
    EXPECT_ERRNO(msync(p, ~0UL - PAGE, MS_SYNC), ENOMEM);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    EXPECT_ERRNO(msync(p, 4 * PAGE, MS_SYNC), ENOMEM);
    EXPECT_ERRNO(msync(p + PAGE, PAGE, MS_SYNC), ENOMEM);
    CHECK_EQ(mlock(p, PAGE), 0);
    EXPECT_ERRNO(msync(p, PAGE, MS_INVALIDATE), EBUSY);
    // An anonymous private mapping is fine.
    char *q = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(msync(q, PAGE, MS_SYNC), 0);
}

TEST(write_from_own_mapping)
{
    // The source and the target of a call lie in mappings of the file itself.
    int fd = new_file(4 * PAGE);
    char *p = map_file(fd, 4 * PAGE, RW, MAP_SHARED, 0);
    strcpy(p, "source text");
    CHECK_EQ(pwrite(fd, p, 12, 2 * PAGE), 12);
    CHECK_STR(p + 2 * PAGE, "source text");
    CHECK_EQ(pread(fd, p + 3 * PAGE, 12, 0), 12);
    CHECK_STR(p + 3 * PAGE, "source text");
    CHECK_EQ(pwrite(fd, p, 2 * PAGE, PAGE), (ssize_t)(2 * PAGE));    // overlapping
}

TEST(read_into_private_file_mapping)
{
    // A call writes into a page that must be copied first.
    int fd = new_file(PAGE), other = new_file(PAGE);
    CHECK_EQ(pwrite(other, "payload", 7, 0), 7);
    char *p = map_file(fd, PAGE, RW, MAP_PRIVATE, 0);
    CHECK_EQ(pread(other, p + 10, 7, 0), 7);
    CHECK(memcmp(p + 10, "payload", 7) == 0);
    char got[7];
    CHECK_EQ(pread(fd, got, 7, 10), 7);
    CHECK_EQ(got[0], 0);
}

TEST(append_seen_after_growth)
{
    int fd = new_file(0);
    char *p = map_file(fd, 4 * PAGE, PROT_READ, MAP_SHARED, 0);
    for (int i = 0; i < 4; i++) {
        static char page[PAGE];
        memset(page, 'A' + i, PAGE);
        CHECK_EQ(write(fd, page, PAGE), (ssize_t)PAGE);
        CHECK_EQ(p[i * PAGE], 'A' + i);
        CHECK_EQ(p[i * PAGE + PAGE - 1], 'A' + i);
    }
}

TEST(permissions_of_mode)
{
    int fd = new_file(PAGE);
    CHECK_EQ(pwrite(fd, "\xc3", 1, 0), 1);
    // The right to execute by mmap does not depend on the file's x bits.
    void (*code)(void) = (void (*)(void))map_file(fd, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0);
    code();
    char *p = map_file(fd, PAGE, PROT_READ, MAP_SHARED, 0);
    CHECK_EQ(mprotect(p, PAGE, RW), 0);    // opened for writing
    p[1] = 1;
    CHECK_EQ(mprotect(p, PAGE, PROT_NONE), 0);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0);
    CHECK_EQ(p[1], 1);
}

TEST(mtime_moves_on_mapped_write)
{
    int fd = new_file(PAGE);
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    CHECK_EQ(futimens(fd, old), 0);
    char *p = map_file(fd, PAGE, RW, MAP_SHARED, 0);
    p[0] = 1;
    CHECK_EQ(msync(p, PAGE, MS_SYNC), 0);
    CHECK_EQ(munmap(p, PAGE), 0);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(st.st_mtim.tv_sec > 1000);
}

TEST(dev_zero)
{
    int fd = OK(open("/dev/zero", O_RDWR));
    char *p = map_file(fd, 2 * PAGE, RW, MAP_PRIVATE, 0);
    CHECK_EQ(p[PAGE], 0);
    p[PAGE] = 1;
    volatile char *q = map_file(fd, PAGE, RW, MAP_SHARED, 0);
    pid_t pid = FORK({ q[0] = 9; });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(q[0], 9);
    volatile char *r = map_file(fd, PAGE, RW, MAP_SHARED, 0);
    CHECK_EQ(r[0], 0);    // each shared mapping is an object of its own
}

TEST(process_vm_calls)
{
    int ends[2];
    char byte;
    static char here[100] = "parent's own";
    char *p = map_file(new_file(PAGE), PAGE, RW, MAP_SHARED, 0);
    strcpy(p, "in the file");
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = FORK({
        strcpy(here, "child's");
        CHECK_EQ(write(ends[1], "r", 1), 1);
        pause();
    });
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    char got[100] = "";
    struct iovec local = {got, 20}, remote[2] = {{here, 8}, {p, 12}};
    CHECK_EQ(process_vm_readv(pid, &local, 1, remote, 2, 0), 20);
    CHECK_STR(got, "child's");
    CHECK_STR(got + 8, "in the file");
    struct iovec to = {here, 4}, from = {"new", 4};
    CHECK_EQ(process_vm_writev(pid, &from, 1, &to, 1, 0), 4);
    CHECK_EQ(process_vm_readv(pid, &local, 1, remote, 1, 0), 8);
    CHECK_STR(got, "new");
    CHECK_STR(here, "parent's own");
    struct iovec bad = {GT_BAD, 4};
    EXPECT_ERRNO(process_vm_readv(pid, &local, 1, &bad, 1, 0), EFAULT);
    EXPECT_ERRNO(process_vm_readv(pid, &local, 1, remote, 1, 1), EINVAL);
    EXPECT_ERRNO(process_vm_readv(1 << 22, &local, 1, remote, 1, 0), ESRCH);
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}
