// Memory calls that few programs make: huge pages, sealing, userfaultfd and secret memory where they exist,
// process_madvise, /proc/self/mem and pagemap, NUMA policy, overlapping and odd sizes.
#include <sys/uio.h>

#include "guest-test.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)

static char *map(size_t pages)
{
    char *p = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

// A call that may be absent: ENOSYS skips, as would any kernel without it.
#define NEED(expr)                                                                                       \
    ({                                                                                                   \
        long gt_n = (expr);                                                                              \
        if (gt_n == -1 && errno == ENOSYS)                                                               \
            SKIP("the kernel lacks it");                                                                 \
        gt_n;                                                                                            \
    })

TEST(odd_sizes)
{
    static const size_t sizes[] = {1, 100, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE - 5};
    for (size_t i = 0; i < GT_COUNT(sizes); i++) {
        size_t whole = (sizes[i] + PAGE - 1) & ~(PAGE - 1);
        char *p = mmap(NULL, sizes[i], RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED);
        memset(p, 1, whole);    // up to the end of the page
        CHECK_EQ(mprotect(p, sizes[i], PROT_READ), 0);
        CHECK_EQ(madvise(p, sizes[i], MADV_NORMAL), 0);
        CHECK_EQ(msync(p, sizes[i], MS_ASYNC), 0);
        CHECK_EQ(munmap(p, sizes[i]), 0);
    }
}

TEST(huge_page_mapping)
{
    // Without reserved huge pages the call fails, and never gives small ones silently.
    char *p = mmap(NULL, 2 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (p == MAP_FAILED) {
        CHECK(errno == ENOMEM || errno == EINVAL || errno == ENODEV);
        return;
    }
    CHECK_EQ((uintptr_t)p % (2 << 20), 0);
    CHECK_EQ(munmap(p, 2 << 20), 0);
}

TEST(transparent_huge_pages_keep_contents)
{
    size_t size = 8 << 20;
    char *p = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    (void)madvise(p, size, MADV_HUGEPAGE);
    for (size_t i = 0; i < size; i += PAGE)
        *(size_t *)(p + i) = i;
    // Punch, protect and fork across huge pages.
    CHECK_EQ(madvise(p + PAGE * 100, PAGE * 3, MADV_DONTNEED), 0);
    CHECK_EQ(mprotect(p + PAGE * 600, PAGE, PROT_READ), 0);
    CHECK_EQ(munmap(p + PAGE * 1500, PAGE), 0);
    pid_t pid = FORK({
        for (size_t i = 0; i < size / PAGE; i++)
            if (i != 1500) {
                CHECK_EQ(*(size_t *)(p + i * PAGE), i >= 100 && i < 103 ? 0 : i * PAGE);
                if (i != 600)
                    *(size_t *)(p + i * PAGE) = 1;
            }
    });
    CHECK_EXIT(pid, 0);
    for (size_t i = 0; i < size / PAGE; i++)
        if (i != 1500)
            CHECK_EQ(*(size_t *)(p + i * PAGE), i >= 100 && i < 103 ? 0 : i * PAGE);
}

TEST(seal_mappings)
{
    char *p = map(4);
    if (syscall(462, p + PAGE, PAGE, 0) != 0) {    // mseal, Linux 6.10
        CHECK_EQ(errno, ENOSYS);
        SKIP("no mseal");
    }
    EXPECT_ERRNO(munmap(p + PAGE, PAGE), EPERM);
    EXPECT_ERRNO(munmap(p, 4 * PAGE), EPERM);
    EXPECT_ERRNO(mprotect(p + PAGE, PAGE, PROT_READ), EPERM);
    EXPECT_ERRNO((long)mremap(p + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(1)), EPERM);
    EXPECT(mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
    EXPECT_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    p[PAGE] = 1;
    EXPECT_ERRNO(syscall(462, p + 1, PAGE, 0), EINVAL);
    EXPECT_ERRNO(syscall(462, p, PAGE, 1), EINVAL);
    EXPECT_ERRNO(syscall(462, p + 2 * PAGE, PAGE, 0), ENOMEM);
}

TEST(process_madvise)
{
    int fd = NEED(syscall(SYS_pidfd_open, getpid(), 0));
    char *p = map(4);
    memset(p, 1, 4 * PAGE);
    struct iovec iov = {p, 2 * PAGE};
    CHECK_EQ(NEED(syscall(SYS_process_madvise, fd, &iov, 1, MADV_COLD, 0)), (long)(2 * PAGE));
    EXPECT_ERRNO(syscall(SYS_process_madvise, fd, &iov, 1, MADV_COLD, 1), EINVAL);
    EXPECT_ERRNO(syscall(SYS_process_madvise, 99, &iov, 1, MADV_COLD, 0), EBADF);
    EXPECT_ERRNO(syscall(SYS_process_madvise, fd, GT_BAD, 1, MADV_COLD, 0), EFAULT);
    CHECK_EQ(p[0], 1);
}

TEST(secret_memory)
{
    int fd = NEED(syscall(447, 0));    // memfd_secret
    CHECK_EQ(ftruncate(fd, PAGE), 0);
    char *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    strcpy(p, "secret");
    CHECK_STR(p, "secret");
    char byte;
    EXPECT(read(fd, &byte, 1) == -1);
}

TEST(user_faults)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | 1);
    if (fd == -1) {
        CHECK(errno == ENOSYS || errno == EPERM);
        SKIP("no userfaultfd");
    }
    CHECK_EQ(close(fd), 0);
    EXPECT_ERRNO(syscall(SYS_userfaultfd, 0x10000), EINVAL);
}

TEST(numa_policy)
{
    int mode = -1;
    unsigned long nodes[16] = {0};
    CHECK_EQ(NEED(syscall(SYS_get_mempolicy, &mode, nodes, sizeof(nodes) * 8, NULL, 0)), 0);
    CHECK_EQ(mode, 0);
    EXPECT_EQ(syscall(SYS_set_mempolicy, 0, NULL, 0), 0);
    EXPECT_ERRNO(syscall(SYS_set_mempolicy, 99, NULL, 0), EINVAL);
    char *p = map(4);
    EXPECT_EQ(syscall(SYS_mbind, p, 4 * PAGE, 0, NULL, 0, 0), 0);
    EXPECT_ERRNO(syscall(SYS_mbind, p + 1, PAGE, 0, NULL, 0, 0), EINVAL);
    EXPECT_ERRNO(syscall(SYS_mbind, p, PAGE, 99, NULL, 0, 0), EINVAL);
}

TEST(proc_self_mem)
{
    char *p = map(2);
    strcpy(p, "direct");
    int fd = OK(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
    char text[16] = "";
    CHECK_EQ(pread(fd, text, 7, (off_t)p), 7);
    CHECK_STR(text, "direct");
    LATER("forced stores through /proc/PID/mem");
    // Through it even read-only pages can be written; private ones are copied.
    CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0);
    CHECK_EQ(pwrite(fd, "FORCED", 6, (off_t)p), 6);
    CHECK_STR(p, "FORCED");
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_ERRNO(pread(fd, text, 1, (off_t)p + PAGE), EIO);
    CHECK_EQ(pread(fd, text, 16, (off_t)p + PAGE - 4), 4);    // a short read up to the hole
    CHECK_EQ(lseek(fd, (off_t)p, SEEK_SET), (off_t)p);
    CHECK_EQ(read(fd, text, 6), 6);
}

TEST(pagemap)
{
    int fd = open("/proc/self/pagemap", O_RDONLY);
    if (fd < 0)
        SKIP("no pagemap");
    char *p = map(2);
    uint64_t entries[2];
    p[0] = 1;
    CHECK_EQ(pread(fd, entries, sizeof(entries), (off_t)((uintptr_t)p / PAGE * 8)), (ssize_t)sizeof(entries));
    CHECK(entries[0] >> 63);
    CHECK_EQ(entries[1] >> 62, 0);
}

TEST(smaps_counts)
{
    char line[512];
    char *p = map(100);
    memset(p, 1, 40 * PAGE);
    FILE *f = fopen("/proc/self/smaps", "re");
    if (f == NULL)
        SKIP("no smaps");
    bool inside = false;
    unsigned long low, high, rss = 0, kb;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
            inside = (uintptr_t)p >= low && (uintptr_t)p < high;
        else if (inside && sscanf(line, "Rss: %lu kB", &kb) == 1)
            rss = kb;
    }
    fclose(f);
    CHECK(rss >= 160);
}

TEST(statm_follows)
{
    char text[256];
    unsigned long size1, rss1, size2, rss2;
    CHECK(gt_read_file("/proc/self/statm", text, sizeof(text)) > 0);
    CHECK_EQ(sscanf(text, "%lu %lu", &size1, &rss1), 2);
    char *p = map(2000);
    memset(p, 1, 1000 * PAGE);
    CHECK(gt_read_file("/proc/self/statm", text, sizeof(text)) > 0);
    CHECK_EQ(sscanf(text, "%lu %lu", &size2, &rss2), 2);
    CHECK(size2 >= size1 + 2000);
    CHECK(rss2 >= rss1 + 900);
    CHECK_EQ(munmap(p, 2000 * PAGE), 0);
    CHECK(gt_read_file("/proc/self/statm", text, sizeof(text)) > 0);
    CHECK_EQ(sscanf(text, "%lu %lu", &size2, &rss2), 2);
    CHECK(size2 < size1 + 2000);
}

TEST(calls_into_code_pages)
{
    // Program text cannot be the target of a call, and can be its source.
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], (void *)(uintptr_t)map, 16), 16);
    CHECK_ERRNO(read(ends[0], (void *)(uintptr_t)map, 16), EFAULT);
}

TEST(vdso_and_vvar_are_protected)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512], prot[8], name[256];
    unsigned long low, high;
    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f)) {
        name[0] = 0;
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &low, &high, prot, name) < 3)
            continue;
        if (strcmp(name, "[vdso]") == 0)
            CHECK_STR(prot, "r-xp");
    }
    fclose(f);
}

TEST(write_to_own_text_after_mprotect)
{
    // A program may make its text writable; its change is private to it.
    static const unsigned char code[] __attribute__((aligned(4096), section(".text#"))) = {0xb8, 1, 0, 0, 0, 0xc3};
    int (*function)(void) = (int (*)(void))(uintptr_t)code;
    CHECK_EQ(function(), 1);
    void *page = (void *)((uintptr_t)code & ~(PAGE - 1));
    CHECK_EQ(mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    pid_t pid = FORK({
        ((unsigned char *)(uintptr_t)code)[1] = 2;
        CHECK_EQ(function(), 2);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(function(), 1);
}
