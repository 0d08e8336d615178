// mmap, munmap, mprotect and brk: every form of mapping, splits and holes, protection faults, errors, and
// what /proc/self/maps says about it.
#include <sys/resource.h>
#include <ucontext.h>

#include "guest-test.h"

#define PAGE 4096UL

static char *map(size_t pages, int prot)
{
    char *p = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static sigjmp_buf fault_jump;
static siginfo_t fault_info;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    fault_info = *info;
    siglongjmp(fault_jump, sig);
}

static void catch_faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigaction(SIGSEGV, &sa, NULL), 0);
    CHECK_EQ(sigaction(SIGBUS, &sa, NULL), 0);
}

// The signal that an access raises, or 0.
static int try_read(const volatile char *p)
{
    int sig = sigsetjmp(fault_jump, 1);
    if (sig == 0)
        (void)*p;
    return sig;
}

static int try_write(volatile char *p)
{
    int sig = sigsetjmp(fault_jump, 1);
    if (sig == 0)
        *p = 1;
    return sig;
}

static int try_exec(void *p)
{
    int sig = sigsetjmp(fault_jump, 1);
    if (sig == 0)
        ((void (*)(void))p)();
    return sig;
}

// Protection of the mapping at an address by /proc/self/maps ("rw-p"), or "" when there is none.
static const char *prot_at(const void *p, uintptr_t *start, uintptr_t *end)
{
    static char prot[8];
    char line[512];
    uintptr_t low, high, found_low = 0, found_high = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    CHECK(f != NULL);
    prot[0] = 0;
    while (fgets(line, sizeof(line), f)) {
        char text[8];
        CHECK_EQ(sscanf(line, "%lx-%lx %7s", &low, &high, text), 3);
        if ((uintptr_t)p >= low && (uintptr_t)p < high) {
            strcpy(prot, text);
            found_low = low;
            found_high = high;
        }
    }
    fclose(f);
    if (start)
        *start = found_low;
    if (end)
        *end = found_high;
    return prot;
}

TEST(anonymous_private)
{
    char *p = map(16, PROT_READ | PROT_WRITE);
    CHECK_EQ((uintptr_t)p % PAGE, 0);
    for (size_t i = 0; i < 16 * PAGE; i++)
        CHECK_EQ(p[i], 0);
    memset(p, 0x5a, 16 * PAGE);
    CHECK_EQ(p[16 * PAGE - 1], 0x5a);
    CHECK_EQ(munmap(p, 16 * PAGE), 0);
    CHECK_STR(prot_at(p, NULL, NULL), "");
}

TEST(anonymous_shared)
{
    volatile int *p = gt_shared(PAGE);
    pid_t pid = FORK({ p[10] = 7; });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(p[10], 7);
    CHECK_STR(prot_at((void *)p, NULL, NULL), "rw-s");
}

TEST(protection_faults)
{
    catch_faults();
    static const struct {
        int prot, read, write, exec, code;
        const char *text;
    } cases[] = {
        {PROT_NONE, SIGSEGV, SIGSEGV, SIGSEGV, SEGV_ACCERR, "---p"},
        {PROT_READ, 0, SIGSEGV, SIGSEGV, SEGV_ACCERR, "r--p"},
        {PROT_READ | PROT_WRITE, 0, 0, SIGSEGV, SEGV_ACCERR, "rw-p"},
        {PROT_READ | PROT_EXEC, 0, SIGSEGV, 0, SEGV_ACCERR, "r-xp"},
        {PROT_READ | PROT_WRITE | PROT_EXEC, 0, 0, 0, 0, "rwxp"},
    };
    for (size_t i = 0; i < GT_COUNT(cases); i++) {
        char *p = map(1, PROT_READ | PROT_WRITE);
        p[0] = (char)0xc3;    // ret
        CHECK_EQ(mprotect(p, PAGE, cases[i].prot), 0);
        memset(&fault_info, 0, sizeof(fault_info));
        EXPECT_EQ(try_read(p), cases[i].read);
        EXPECT_EQ(try_write(p + 1), cases[i].write);
        EXPECT_EQ(try_exec(p), cases[i].exec);
        EXPECT_EQ(fault_info.si_code, cases[i].code);
        EXPECT_STR(prot_at(p, NULL, NULL), cases[i].text);
    }
    // On x86 a writable or executable mapping can be read.
    char *p = mmap(NULL, PAGE, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(try_write(p), 0);
    CHECK_EQ(*(volatile char *)p, 1);
}

TEST(unmapped_faults)
{
    catch_faults();
    char *p = map(3, PROT_READ | PROT_WRITE);
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_EQ(try_write(p), 0);
    CHECK_EQ(try_write(p + 2 * PAGE), 0);
    CHECK_EQ(try_read(p + PAGE + 123), SIGSEGV);
    CHECK_EQ(fault_info.si_code, SEGV_MAPERR);
    CHECK(fault_info.si_addr == p + PAGE + 123);
    CHECK_EQ(try_read((char *)16), SIGSEGV);
    CHECK_EQ(fault_info.si_code, SEGV_MAPERR);
    CHECK(fault_info.si_addr == (void *)16);
    // A non-canonical address is a general protection fault: no address, SI_KERNEL.
    CHECK_EQ(try_read(gt_opaque(0x8000000000000000)), SIGSEGV);
    CHECK_EQ(fault_info.si_code, SI_KERNEL);
}

TEST(mmap_errors)
{
    int fd = OK(open("/dev/null", O_RDONLY));
    int file = OK(open(gt_path("f"), O_RDWR | O_CREAT, 0644));
    int ro = OK(open(gt_path("f"), O_RDONLY));
    int wo = OK(open(gt_path("f"), O_WRONLY));
    int dir = OK(open(gt_tmpdir(), O_RDONLY));
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    const struct {
        size_t addr, size;
        int prot, flags, fd;
        off_t offset;
        int err;
    } cases[] = {
        {0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, EINVAL},
        {0, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0, EINVAL},
        {0, PAGE, PROT_READ, 0, file, 0, EINVAL},
        {0, PAGE, PROT_READ, MAP_PRIVATE, -1, 0, EBADF},
        {0, PAGE, PROT_READ, MAP_PRIVATE, 99, 0, EBADF},
        {0, PAGE, PROT_READ, MAP_PRIVATE, file, 100, EINVAL},
        {0, PAGE, PROT_READ, MAP_PRIVATE, dir, 0, ENODEV},
        {0, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0, ENODEV},
        {0, PAGE, PROT_READ, MAP_PRIVATE, wo, 0, EACCES},
        {0, PAGE, PROT_WRITE, MAP_SHARED, ro, 0, EACCES},
        {0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0, EACCES},
        {0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, wo, 0, EACCES},
        {0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0, 0},
        {0, PAGE, PROT_READ, MAP_SHARED, ro, 0, 0},
        {0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0, ENODEV},
        {0x1001, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, EINVAL},
        {0x7ffffffff000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, ENOMEM},
        {0xffffffff00000000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, ENOMEM},
        {0, 1UL << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, ENOMEM},
        {0, ~0UL, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, ENOMEM},
        {0, ~0UL - PAGE + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, ENOMEM},
        {0, 4 * PAGE, PROT_READ, MAP_PRIVATE, file, -PAGE * 2, EOVERFLOW},
        {0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 99, 0, 0},
        {0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_STACK, -1, 0, 0},
        {0, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0, EINVAL},
        {0, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, 0},
        {0, PAGE, PROT_READ, MAP_SHARED_VALIDATE, file, 0, 0},
        {0, PAGE, PROT_READ, MAP_SHARED_VALIDATE | (1 << 21), file, 0, EOPNOTSUPP},
        {0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | (1 << 29), -1, 0, 0},
    };
    for (size_t i = 0; i < GT_COUNT(cases); i++) {
        errno = 0;
        long r = syscall(SYS_mmap, cases[i].addr, cases[i].size, cases[i].prot, cases[i].flags, cases[i].fd,
                         cases[i].offset);
        int err = r == -1 ? errno : 0;
        if (err != cases[i].err)
            gt_fail(false, __FILE__, __LINE__, "case %zu: got %s want %s", i, gt_errname(err),
                    gt_errname(cases[i].err));
    }
}

TEST(fixed)
{
    char *p = map(8, PROT_READ | PROT_WRITE);
    memset(p, 1, 8 * PAGE);
    char *q = mmap(p + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(q == p + 2 * PAGE);
    CHECK(p[2 * PAGE - 1] == 1 && p[2 * PAGE] == 0 && p[4 * PAGE - 1] == 0 && p[4 * PAGE] == 1);
    CHECK_EQ(munmap(p + 6 * PAGE, PAGE), 0);
    errno = 0;
    q = mmap(p + 5 * PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(q == MAP_FAILED && errno == EEXIST);
    q = mmap(p + 6 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(q == p + 6 * PAGE);
}

TEST(hint)
{
    char *p = map(8, PROT_READ);
    CHECK_EQ(munmap(p, 8 * PAGE), 0);
    // A free hint is honoured, rounded down to a page; an occupied one is not.
    char *q = mmap(p + 2 * PAGE + 5, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(q == p + 2 * PAGE || q == p + 3 * PAGE);
    q[0] = 1;
    char *r = mmap(q, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(r != MAP_FAILED && r != q);
    CHECK_EQ(q[0], 1);
}

TEST(low_addresses)
{
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    CHECK(p != MAP_FAILED);
    CHECK((uintptr_t)p < 0x80000000);
    p[0] = 1;
    LATER("addresses below 0x70000 belong to the stub");
    p = mmap((void *)0x10000, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(p == (void *)0x10000);
    p[0] = 1;
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        errno = 0;
        CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
        CHECK(errno == EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(populate_noreserve_stack)
{
    static const int flags[] = {MAP_POPULATE, MAP_NORESERVE, MAP_STACK, MAP_POPULATE | MAP_NONBLOCK,
                                MAP_NORESERVE | MAP_POPULATE, MAP_DENYWRITE, MAP_EXECUTABLE};
    for (size_t i = 0; i < GT_COUNT(flags); i++) {
        char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags[i], -1, 0);
        CHECK(p != MAP_FAILED);
        p[63 * PAGE] = 3;
        CHECK_EQ(munmap(p, 64 * PAGE), 0);
    }
    unsigned char in[16];
    char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK_EQ(mincore(p, 16 * PAGE, in), 0);
    for (int i = 0; i < 16; i++)
        CHECK_EQ(in[i] & 1, 1);
    // A very large sparse reservation costs nothing.
    p = mmap(NULL, 1UL << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(p != MAP_FAILED);
    p[1UL << 39] = 1;
    CHECK_EQ(p[(1UL << 39) + 1], 0);
    CHECK_EQ(munmap(p, 1UL << 40), 0);
}

TEST(munmap_errors)
{
    char *p = map(4, PROT_READ);
    EXPECT_ERRNO(munmap(p, 0), EINVAL);
    EXPECT_ERRNO(munmap(p + 1, PAGE), EINVAL);
    EXPECT_ERRNO(munmap((void *)0x7ffffffff000, 2 * PAGE), EINVAL);
    EXPECT_ERRNO(munmap(p, ~0UL), EINVAL);
    CHECK_EQ(munmap(p, 1), 0);    // rounded up to the page
    CHECK_STR(prot_at(p, NULL, NULL), "");
    CHECK_STR(prot_at(p + PAGE, NULL, NULL), "r--p");
    CHECK_EQ(munmap(p, 4 * PAGE), 0);
    CHECK_EQ(munmap(p, 4 * PAGE), 0);    // nothing there is no error
}

TEST(munmap_across_mappings)
{
    char *p = map(9, PROT_NONE);
    for (int i = 0; i < 9; i += 2)
        CHECK_EQ(mprotect(p + i * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
    CHECK_EQ(munmap(p + PAGE, 7 * PAGE), 0);
    CHECK_STR(prot_at(p, NULL, NULL), "rw-p");
    for (int i = 1; i < 8; i++)
        CHECK_STR(prot_at(p + i * PAGE, NULL, NULL), "");
    CHECK_STR(prot_at(p + 8 * PAGE, NULL, NULL), "rw-p");
}

TEST(mprotect_splits_and_merges)
{
    uintptr_t low, high;
    char *p = map(10, PROT_NONE);
    CHECK_EQ(mprotect(p + 2 * PAGE, 6 * PAGE, PROT_READ | PROT_WRITE), 0);
    CHECK_STR(prot_at(p + 2 * PAGE, &low, &high), "rw-p");
    CHECK(low == (uintptr_t)p + 2 * PAGE && high == (uintptr_t)p + 8 * PAGE);
    memset(p + 2 * PAGE, 6, 6 * PAGE);
    CHECK_EQ(mprotect(p + 4 * PAGE, 2 * PAGE, PROT_READ), 0);
    CHECK_STR(prot_at(p + 4 * PAGE, &low, &high), "r--p");
    CHECK(low == (uintptr_t)p + 4 * PAGE && high == (uintptr_t)p + 6 * PAGE);
    CHECK_EQ(mprotect(p + 4 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
    CHECK_STR(prot_at(p + 4 * PAGE, &low, &high), "rw-p");
    CHECK(low == (uintptr_t)p + 2 * PAGE && high == (uintptr_t)p + 8 * PAGE);
    for (size_t i = 2 * PAGE; i < 8 * PAGE; i++)
        CHECK_EQ(p[i], 6);
}

TEST(mprotect_errors)
{
    char *p = map(4, PROT_READ);
    CHECK_EQ(gt_write_file(gt_path("f"), "x", 1), 0);
    int ro = OK(open(gt_path("f"), O_RDONLY));
    EXPECT_ERRNO(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
    EXPECT_EQ(mprotect(p, 0, PROT_READ), 0);
    EXPECT_ERRNO(mprotect(p, PAGE, 0x100), EINVAL);
    EXPECT_ERRNO(mprotect(p, PAGE, PROT_GROWSUP | PROT_GROWSDOWN), EINVAL);
    EXPECT_ERRNO(mprotect(p, PAGE, PROT_GROWSDOWN), EINVAL);
    EXPECT_ERRNO(mprotect(p, ~0UL - PAGE, PROT_READ), ENOMEM);
    CHECK_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    // The part before the hole is changed all the same.
    EXPECT_ERRNO(mprotect(p, 4 * PAGE, PROT_NONE), ENOMEM);
    EXPECT_STR(prot_at(p, NULL, NULL), "---p");
    EXPECT_STR(prot_at(p + 3 * PAGE, NULL, NULL), "r--p");
    EXPECT_ERRNO(mprotect(p + 2 * PAGE, PAGE, PROT_READ), ENOMEM);
    char *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0);
    CHECK(q != MAP_FAILED);
    EXPECT_ERRNO(mprotect(q, PAGE, PROT_READ | PROT_WRITE), EACCES);
    EXPECT_EQ(mprotect(q, PAGE, PROT_NONE), 0);
    q = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, 0);
    EXPECT_EQ(mprotect(q, PAGE, PROT_READ | PROT_WRITE), 0);
}

TEST(mprotect_code)
{
    // Code written, made executable, run, changed again: mov $imm,%eax; ret
    unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
    char *p = map(1, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_WRITE), 0);
        code[1] = i;
        memcpy(p, code, sizeof(code));
        CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_EXEC), 0);
        CHECK_EQ(((int (*)(void))p)(), i);
    }
}

TEST(maps_describe)
{
    uintptr_t low, high;
    char line[512];
    char *p = map(2, PROT_READ | PROT_WRITE);
    (void)prot_at(p, &low, &high);
    CHECK(low <= (uintptr_t)p && high >= (uintptr_t)p + 2 * PAGE);
    CHECK_EQ(gt_write_file(gt_path("mapped"), line, sizeof(line)), 0);
    int fd = OK(open(gt_path("mapped"), O_RDONLY));
    char *q = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
    CHECK(q != MAP_FAILED);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    FILE *f = fopen("/proc/self/maps", "re");
    bool file = false, stack = false, vdso = false, ordered = true;
    uintptr_t last = 0;
    while (fgets(line, sizeof(line), f)) {
        unsigned long offset, inode;
        unsigned int major, minor;
        char prot[8], path[256] = "";
        CHECK(sscanf(line, "%lx-%lx %7s %lx %x:%x %lu %255s", &low, &high, prot, &offset, &major, &minor, &inode,
                     path) >= 7);
        ordered &= low >= last && high > low;
        last = high;
        if (low == (uintptr_t)q) {
            file = high == low + 2 * PAGE && offset == PAGE && inode == st.st_ino && strcmp(prot, "r--p") == 0 &&
                   strcmp(path, gt_path("mapped")) == 0;
        }
        stack |= strcmp(path, "[stack]") == 0 && (uintptr_t)&line >= low && (uintptr_t)&line < high;
        vdso |= strcmp(path, "[vdso]") == 0;
    }
    fclose(f);
    CHECK(file);
    CHECK(stack);
    CHECK(vdso);
    CHECK(ordered);
}

TEST(brk)
{
    char *start = (char *)syscall(SYS_brk, 0);
    CHECK((char *)syscall(SYS_brk, start + 10 * PAGE) == start + 10 * PAGE);
    for (size_t i = 0; i < 10 * PAGE; i += 512)
        CHECK_EQ(start[i], 0);
    memset(start, 1, 10 * PAGE);
    CHECK((char *)syscall(SYS_brk, start + 5 * PAGE + 7) == start + 5 * PAGE + 7);
    CHECK((char *)syscall(SYS_brk, start + 10 * PAGE) == start + 10 * PAGE);
    CHECK(start[5 * PAGE] == 1 && start[7 * PAGE] == 0);
    // Refusals return the present break.
    CHECK((char *)syscall(SYS_brk, 1) == start + 10 * PAGE);
    CHECK((char *)syscall(SYS_brk, ~0UL) == start + 10 * PAGE);
    CHECK((char *)syscall(SYS_brk, start) == start);
}

TEST(brk_blocked)
{
    char *start = (char *)syscall(SYS_brk, 0);
    char *next = (char *)(((uintptr_t)start + PAGE - 1) & ~(PAGE - 1)) + 4 * PAGE;
    CHECK(mmap(next, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == next);
    CHECK((char *)syscall(SYS_brk, next + 2 * PAGE) == start);
    CHECK((char *)syscall(SYS_brk, next - 2 * PAGE) == next - 2 * PAGE);
}

TEST(many_small_mappings)
{
    // Alternating protections so that neighbours cannot merge; unmapped in another order.
    enum { MANY = 2000 };
    char *base = map(MANY, PROT_NONE);
    for (int i = 0; i < MANY; i += 2) {
        CHECK_EQ(mprotect(base + i * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
        base[i * PAGE] = i;
    }
    for (int i = MANY - 2; i >= 0; i -= 4)
        CHECK_EQ(munmap(base + i * PAGE, PAGE), 0);
    for (int i = 0; i < MANY; i += 4)
        CHECK_EQ(base[i * PAGE], (char)i);
    CHECK_EQ(munmap(base, MANY * PAGE), 0);
}

TEST(large_touch)
{
    size_t size = 64 << 20;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    for (size_t i = 0; i < size; i += PAGE)
        *(size_t *)(p + i) = i;
    for (size_t i = 0; i < size; i += PAGE)
        CHECK_EQ(*(size_t *)(p + i), i);
    CHECK_EQ(munmap(p, size), 0);
}

TEST(syscall_buffers_in_odd_places)
{
    // The kernel side must see the same protections as the program.
    char *p = map(3, PROT_READ | PROT_WRITE);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(mprotect(p + PAGE, PAGE, PROT_NONE), 0);
    EXPECT_ERRNO(write(ends[1], p + PAGE, 1), EFAULT);
    EXPECT_EQ(write(ends[1], p + PAGE - 10, 100), -1);    // a short pipe write that faults
    CHECK_EQ(write(ends[1], p, 100), 100);
    EXPECT_ERRNO(read(ends[0], p + PAGE, 10), EFAULT);
    CHECK_EQ(mprotect(p + PAGE, PAGE, PROT_READ), 0);
    EXPECT_EQ(write(ends[1], p + PAGE, 1), 1);
    EXPECT_ERRNO(read(ends[0], p + PAGE, 10), EFAULT);
    CHECK_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    EXPECT_ERRNO(write(ends[1], p + 2 * PAGE, 1), EFAULT);
    EXPECT_ERRNO(write(ends[1], gt_opaque(0xffff800000000000), 1), EFAULT);
    EXPECT_ERRNO(write(ends[1], gt_opaque(~0UL - 5), 100), EFAULT);
}
