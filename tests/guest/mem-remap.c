// mremap, madvise, mincore, mlock and the rest that acts on existing mappings.
#include <sys/resource.h>

#include "guest-test.h"

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static char *map(size_t pages)
{
    char *p = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static void fill(char *p, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        memset(p + i * PAGE, 'a' + i % 26, PAGE);
}

static void check_fill(const char *p, size_t pages)
{
    for (size_t i = 0; i < pages; i++) {
        CHECK_EQ(p[i * PAGE], 'a' + i % 26);
        CHECK_EQ(p[i * PAGE + PAGE - 1], 'a' + i % 26);
    }
}

static bool mapped(const void *p)
{
    unsigned char in;
    return mincore((void *)p, PAGE, &in) == 0;
}

TEST(mremap_shrink)
{
    char *p = map(8);
    fill(p, 8);
    CHECK(mremap(p, 8 * PAGE, 3 * PAGE, 0) == p);
    check_fill(p, 3);
    for (int i = 3; i < 8; i++)
        CHECK(!mapped(p + i * PAGE));
    CHECK(mremap(p, 3 * PAGE, 3 * PAGE, 0) == p);
}

TEST(mremap_grow_in_place)
{
    char *p = map(8);
    fill(p, 8);
    CHECK_EQ(munmap(p + 4 * PAGE, 4 * PAGE), 0);
    CHECK(mremap(p, 4 * PAGE, 6 * PAGE, 0) == p);
    check_fill(p, 4);
    CHECK(p[4 * PAGE] == 0 && p[6 * PAGE - 1] == 0);
    // Blocked by a neighbour
    CHECK(mmap(p + 6 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 6 * PAGE);
    CHECK_ERRNO((long)mremap(p, 6 * PAGE, 10 * PAGE, 0), ENOMEM);
    char *q = mremap(p, 6 * PAGE, 10 * PAGE, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED && q != p);
    check_fill(q, 4);
    CHECK_EQ(q[9 * PAGE], 0);
    CHECK(!mapped(p));
}

TEST(mremap_grow_far)
{
    char *p = map(1);
    p[0] = 'x';
    for (size_t pages = 2; pages <= 8192; pages *= 2) {
        p = mremap(p, pages / 2 * PAGE, pages * PAGE, MREMAP_MAYMOVE);
        CHECK(p != MAP_FAILED);
        CHECK_EQ(p[0], 'x');
        CHECK_EQ(p[(pages - 1) * PAGE], 0);
        p[(pages - 1) * PAGE] = 'y';
    }
}

TEST(mremap_fixed)
{
    char *p = map(4), *q = map(8);
    fill(p, 4);
    memset(q, 'z', 8 * PAGE);
    CHECK(mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + 2 * PAGE) == q + 2 * PAGE);
    check_fill(q + 2 * PAGE, 4);
    CHECK(q[PAGE] == 'z' && q[6 * PAGE] == 'z');
    CHECK(!mapped(p));
    // Part of a mapping, and with another size
    CHECK(mremap(q + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
    CHECK(p[0] == 'a' && p[PAGE] == 0);
    CHECK(!mapped(q + 2 * PAGE) && q[3 * PAGE] == 'b');
}

TEST(mremap_errors)
{
    char *p = map(4), *q = map(4);
    fill(p, 4);
    EXPECT_ERRNO((long)mremap(p + 1, PAGE, PAGE, MREMAP_MAYMOVE), EINVAL);
    EXPECT_ERRNO((long)mremap(p, PAGE, 0, MREMAP_MAYMOVE), EINVAL);
    EXPECT_ERRNO((long)mremap(p, PAGE, PAGE, 8), EINVAL);
    EXPECT_ERRNO((long)mremap(p, PAGE, PAGE, MREMAP_FIXED, q), EINVAL);
    EXPECT_ERRNO((long)mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + 1), EINVAL);
    EXPECT_ERRNO((long)mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE), EINVAL);
    EXPECT_ERRNO((long)mremap(p, 4 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL), EINVAL);
    EXPECT_ERRNO((long)mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_DONTUNMAP, NULL), EINVAL);
    EXPECT_ERRNO((long)mremap(p, 0, PAGE, MREMAP_MAYMOVE), EINVAL);    // duplicating private memory
    CHECK_EQ(munmap(q, 4 * PAGE), 0);
    EXPECT_ERRNO((long)mremap(q, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    CHECK_EQ(mprotect(p + 2 * PAGE, PAGE, PROT_READ), 0);
    EXPECT_ERRNO((long)mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT);    // over several mappings
    EXPECT((long)mremap(p, PAGE, 1UL << 47, MREMAP_MAYMOVE) == -1 && (errno == ENOMEM || errno == EINVAL));
    check_fill(p, 4);
}

TEST(mremap_dontunmap)
{
    char *p = map(4);
    fill(p, 4);
    char *q = mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(q != MAP_FAILED && q != p);
    check_fill(q, 4);
    for (size_t i = 0; i < 4 * PAGE; i++)
        CHECK_EQ(p[i], 0);    // still mapped, and empty
    p[0] = 1;
    CHECK_EQ(q[0], 'a');
}

TEST(mremap_shared_duplicate)
{
    // Old size 0 of a shared mapping makes a second mapping of the same pages.
    char *p = gt_shared(2 * PAGE);
    strcpy(p, "dup");
    char *q = mremap(p, 0, 2 * PAGE, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED && q != p);
    CHECK_STR(q, "dup");
    strcpy(q, "two");
    CHECK_STR(p, "two");
}

TEST(mremap_shared_grow_beyond_object)
{
    char *p = gt_shared(PAGE);
    strcpy(p, "shared");
    p = mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    CHECK(p != MAP_FAILED);
    CHECK_STR(p, "shared");
    // The object has one page; the second raises SIGBUS.
    pid_t pid = FORK({ *(volatile char *)(p + PAGE) = 1; });
    CHECK_KILLED(pid, SIGBUS);
}

TEST(mremap_file)
{
    int fd = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644));
    CHECK_EQ(ftruncate(fd, 4 * PAGE), 0);
    char *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    strcpy(p, "first");
    CHECK_EQ(pwrite(fd, "third", 6, 2 * PAGE), 6);
    p = mremap(p, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    CHECK(p != MAP_FAILED);
    CHECK_STR(p, "first");
    CHECK_STR(p + 2 * PAGE, "third");
    char *q = map(4);
    CHECK(mremap(p + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
    CHECK_STR(q, "third");    // keeps its offset
    strcpy(q, "THIRD");
    char got[6];
    CHECK_EQ(pread(fd, got, 6, 2 * PAGE), 6);
    CHECK_STR(got, "THIRD");
}

TEST(mremap_keeps_protection_and_fork)
{
    char *p = map(2);
    strcpy(p, "before");
    CHECK_EQ(mprotect(p, 2 * PAGE, PROT_READ), 0);
    char *q = mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(q != MAP_FAILED);
    pid_t pid = FORK({ *(volatile char *)q = 1; });
    CHECK_KILLED(pid, SIGSEGV);
    pid = FORK({ CHECK_STR(q, "before"); });
    CHECK_EXIT(pid, 0);
}

TEST(dontneed)
{
    char *p = map(4);
    fill(p, 4);
    CHECK_EQ(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED), 0);
    CHECK(p[0] == 'a' && p[PAGE] == 0 && p[3 * PAGE - 1] == 0 && p[3 * PAGE] == 'd');
    // A private file mapping shows the file again, a shared one is not changed.
    int fd = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644));
    CHECK_EQ(gt_write_file(gt_path("f"), "file", 4), 0);
    char *q = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    memcpy(q, "mine", 4);
    CHECK_EQ(madvise(q, PAGE, MADV_DONTNEED), 0);
    CHECK(memcmp(q, "file", 4) == 0);
    char *r = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    memcpy(r, "MINE", 4);
    CHECK_EQ(madvise(r, PAGE, MADV_DONTNEED), 0);
    CHECK(memcmp(r, "MINE", 4) == 0);
    char *s = gt_shared(PAGE);
    s[0] = 1;
    CHECK_EQ(madvise(s, PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(s[0], 1);
}

TEST(advice_free)
{
    char *p = map(4);
    fill(p, 4);
    CHECK_EQ(madvise(p, 4 * PAGE, MADV_FREE), 0);
    p[0] = 'n';
    CHECK_EQ(p[0], 'n');
    CHECK(p[PAGE] == 0 || p[PAGE] == 'b');
    char *s = gt_shared(PAGE);
    CHECK_ERRNO(madvise(s, PAGE, MADV_FREE), EINVAL);
}

TEST(advice_remove)
{
    char *s = gt_shared(4 * PAGE);
    fill(s, 4);
    CHECK_EQ(madvise(s + PAGE, PAGE, MADV_REMOVE), 0);
    CHECK(s[0] == 'a' && s[PAGE] == 0 && s[2 * PAGE] == 'c');
    char *p = map(1);
    CHECK_ERRNO(madvise(p, PAGE, MADV_REMOVE), EINVAL);
}

TEST(advice_fork)
{
    char *p = map(3);
    memset(p, 'x', 3 * PAGE);
    CHECK_EQ(madvise(p, PAGE, MADV_DONTFORK), 0);
    CHECK_EQ(madvise(p + PAGE, PAGE, MADV_WIPEONFORK), 0);
    pid_t pid = FORK({
        CHECK(!mapped(p));
        CHECK_EQ(p[PAGE], 0);
        CHECK_EQ(p[2 * PAGE], 'x');
    });
    CHECK_EXIT(pid, 0);
    CHECK(p[0] == 'x' && p[PAGE] == 'x');
    CHECK_EQ(madvise(p, PAGE, MADV_DOFORK), 0);
    CHECK_EQ(madvise(p + PAGE, PAGE, MADV_KEEPONFORK), 0);
    pid = FORK({ CHECK(p[0] == 'x' && p[PAGE] == 'x'); });
    CHECK_EXIT(pid, 0);
    char *s = gt_shared(PAGE);
    CHECK_ERRNO(madvise(s, PAGE, MADV_WIPEONFORK), EINVAL);
    CHECK_EQ(madvise(s, PAGE, MADV_DONTFORK), 0);
}

TEST(advice_harmless)
{
    static const int advice[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTDUMP,
                                 MADV_DODUMP, MADV_COLD,   MADV_PAGEOUT};
    char *p = map(4);
    fill(p, 4);
    for (size_t i = 0; i < GT_COUNT(advice); i++) {
        if (madvise(p, 4 * PAGE, advice[i]) != 0)
            gt_fail(false, __FILE__, __LINE__, "advice %d: %s", advice[i], gt_errname(errno));
        check_fill(p, 4);
    }
    int fd = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644));
    CHECK_EQ(ftruncate(fd, PAGE), 0);
    char *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    EXPECT_EQ(madvise(q, PAGE, MADV_WILLNEED), 0);
    // Huge pages are a matter of the kernel's configuration, but never change contents.
    long r = madvise(p, 4 * PAGE, MADV_HUGEPAGE);
    CHECK(r == 0 || errno == EINVAL);
    r = madvise(p, 4 * PAGE, MADV_NOHUGEPAGE);
    CHECK(r == 0 || errno == EINVAL);
    check_fill(p, 4);
}

TEST(advice_populate)
{
    char *p = map(8);
    unsigned char in[8];
    CHECK_EQ(madvise(p, 4 * PAGE, MADV_POPULATE_WRITE), 0);
    CHECK_EQ(madvise(p + 4 * PAGE, 2 * PAGE, MADV_POPULATE_READ), 0);
    CHECK_EQ(mincore(p, 8 * PAGE, in), 0);
    for (int i = 0; i < 6; i++)
        CHECK(in[i] & 1);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0);
    EXPECT_ERRNO(madvise(p, PAGE, MADV_POPULATE_WRITE), EINVAL);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    EXPECT_ERRNO(madvise(p, 3 * PAGE, MADV_POPULATE_READ), ENOMEM);
}

TEST(madvise_errors)
{
    char *p = map(4);
    EXPECT_ERRNO(madvise(p, PAGE, 77), EINVAL);
    EXPECT_ERRNO(madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
    EXPECT_ERRNO(madvise(p, -PAGE, MADV_NORMAL), EINVAL);
    EXPECT_ERRNO(madvise(p, ~0UL, MADV_NORMAL), EINVAL);
    EXPECT_EQ(madvise(p, 0, MADV_NORMAL), 0);
    fill(p, 4);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    // Applied to the mapped parts, then reported.
    EXPECT_ERRNO(madvise(p, 4 * PAGE, MADV_DONTNEED), ENOMEM);
    EXPECT(p[0] == 0 && p[3 * PAGE] == 0);
}

TEST(dontneed_with_threads_of_data)
{
    // An allocator's use: give back, use again, thousands of times.
    char *p = map(64);
    for (int i = 0; i < 500; i++) {
        char *q = p + i % 60 * PAGE;
        q[0] = 1;
        q[3 * PAGE] = 2;
        CHECK_EQ(madvise(q, 4 * PAGE, MADV_DONTNEED), 0);
        CHECK(q[0] == 0 && q[3 * PAGE] == 0);
    }
}

TEST(mincore_basic)
{
    unsigned char in[8];
    char *p = map(8);
    CHECK_EQ(madvise(p, 8 * PAGE, MADV_NOHUGEPAGE) == 0 || errno == EINVAL, 1);
    CHECK_EQ(mincore(p, 8 * PAGE, in), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(in[i] & 1, 0);
    p[0] = p[3 * PAGE] = 1;
    CHECK_EQ(mincore(p, 8 * PAGE, in), 0);
    CHECK((in[0] & 1) && (in[3] & 1));
    CHECK_EQ(mincore(p, 1, in), 0);
    EXPECT_ERRNO(mincore(p + 1, PAGE, in), EINVAL);
    EXPECT_ERRNO(mincore(p, PAGE, GT_BAD), EFAULT);
    EXPECT_ERRNO(mincore(p, ~0UL >> 1, in), ENOMEM);
    EXPECT_EQ(mincore(p, 0, in), 0);
    CHECK_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    EXPECT_ERRNO(mincore(p, 4 * PAGE, in), ENOMEM);
}

static unsigned long status_kb(const char *field)
{
    char text[8192];
    CHECK(gt_read_file("/proc/self/status", text, sizeof(text)) > 0);
    char *line = strstr(text, field);
    CHECK(line != NULL);
    return strtoul(line + strlen(field), NULL, 10);
}

TEST(mlock_family)
{
    char *p = map(8);
    unsigned char in[8];
    CHECK_EQ(status_kb("VmLck:"), 0);
    CHECK_EQ(mlock(p, 4 * PAGE), 0);
    CHECK_EQ(mincore(p, 4 * PAGE, in), 0);
    for (int i = 0; i < 4; i++)
        CHECK(in[i] & 1);
    CHECK_EQ(status_kb("VmLck:"), 16);
    CHECK_EQ(mlock(p + 100, PAGE), 0);    // need not be aligned
    CHECK_EQ(munlock(p, 2 * PAGE), 0);
    CHECK_EQ(status_kb("VmLck:"), 8);
    EXPECT_ERRNO(madvise(p + 2 * PAGE, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_EQ(munlockall(), 0);
    CHECK_EQ(status_kb("VmLck:"), 0);
    CHECK_EQ(mlock2(p, PAGE, 0), 0);
    CHECK_EQ(mlock2(p + 4 * PAGE, PAGE, MLOCK_ONFAULT), 0);
    CHECK_EQ(status_kb("VmLck:"), 8);
    EXPECT_ERRNO(mlock2(p, PAGE, 2), EINVAL);
    EXPECT_ERRNO(mlockall(0), EINVAL);
    EXPECT_ERRNO(mlockall(8), EINVAL);
    EXPECT_ERRNO(mlockall(MCL_ONFAULT), EINVAL);
    EXPECT_ERRNO(mlock(p, -2 * PAGE), EINVAL);
    EXPECT_EQ(mlock(p, 0), 0);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    EXPECT_ERRNO(mlock(p, 3 * PAGE), ENOMEM);
    EXPECT_ERRNO(munlock(p, 3 * PAGE), ENOMEM);
    CHECK_EQ(munlockall(), 0);
    pid_t pid = FORK({
        CHECK_EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
        char *q = map(4);
        CHECK_EQ(mincore(q, 4 * PAGE, in), 0);
        CHECK(in[3] & 1);
        pid_t child = FORK({ CHECK_EQ(status_kb("VmLck:"), 0); });
        CHECK_EXIT(child, 0);
    });
    CHECK_EXIT(pid, 0);
}

TEST(remap_file_pages_and_others)
{
    // Calls that no program should need, and their refusals.
    char *p = map(2);
    EXPECT_ERRNO(syscall(SYS_remap_file_pages, p, PAGE, 0, 0, 0), EINVAL);
    EXPECT_ERRNO(syscall(SYS_remap_file_pages, p, PAGE, PROT_READ, 0, 0), EINVAL);
    long key = syscall(SYS_pkey_alloc, 0, 0);
    if (key >= 0) {
        EXPECT_EQ(syscall(SYS_pkey_mprotect, p, PAGE, RW, key), 0);
        EXPECT_EQ(syscall(SYS_pkey_free, key), 0);
    } else {
        EXPECT(errno == ENOSPC || errno == ENOSYS || errno == EINVAL);
    }
    EXPECT_EQ(syscall(SYS_pkey_mprotect, p, PAGE, RW, -1), 0);    // the same as mprotect
    EXPECT_ERRNO(syscall(SYS_pkey_mprotect, p, PAGE, RW, 15), EINVAL);
}
