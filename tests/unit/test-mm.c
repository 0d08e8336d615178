// The map of an address space. Linux is the judge: random sequences of calls are made twice, through mm/ on one range and
// straight on the host on another, and must leave the same areas, the same memory and the same errors.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "base/strbuf.h"
#include "fake-mm.h"
#include "unit.h"

#define OURS 0x200000000000ull
#define HOSTS 0x210000000000ull
#define PAGES 48
#define AREA (PAGES * PAGE_SIZE)

static struct mm_target target(void)
{
    return mm_target_of(&fake.task);
}

static int setup(void **state)
{
    fake_start(OURS + (1ull << 30));
    return 0;
}

static int teardown(void **state)
{
    fake_stop();
    (void)munmap((void *)HOSTS, 2 * AREA);
    return 0;
}

static int64_t map(uint64_t addr, uint64_t size, int prot, int flags, struct file *f, uint64_t offset)
{
    struct mm_target t = target();
    struct mmap_request r = {
        .addr = addr, .size = size, .prot = prot, .flags = flags, .file = f, .offset = offset};
    return mm_map(&t, &r);
}

// ---- Against the host ------------------------------------------------------------------------------------------------

static void show_host(char *out, size_t room)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    size_t used = 0;

    out[0] = 0;
    while (fgets(line, sizeof(line), f)) {
        unsigned long long start, end;
        char prot[5];
        assert_int_equal(sscanf(line, "%llx-%llx %4s", &start, &end, prot), 3);
        if (start >= HOSTS && start < HOSTS + AREA)
            used += (size_t)snprintf(out + used, room - used, "%llu-%llu %s\n", (start - HOSTS) / PAGE_SIZE,
                                     (end - HOSTS) / PAGE_SIZE, prot);
    }
    fclose(f);
}

static int peek(uint64_t addr)
{
    uint8_t byte;
    struct iovec local = {&byte, 1}, remote = {(void *)addr, 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 ? byte : -1;
}

static void poke(uint64_t addr, uint8_t value)
{
    struct iovec local = {&value, 1}, remote = {(void *)addr, 1};
    (void)!process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
}

static uint32_t seed;
static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static int64_t errno_of(void *p, uint64_t base)
{
    return p == MAP_FAILED ? -errno : (int64_t)((uint64_t)p - base);
}

static int64_t relative(int64_t r)
{
    return r < 0 ? r : r - (int64_t)OURS;
}

// Makes one random call on both sides.
static void step(bool touch, int fd, struct file *f, char *what, size_t room)
{
    static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};
    static const int advice[] = {MADV_DONTNEED, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_FREE,
                                 MADV_DONTDUMP, MADV_DODUMP, MADV_NORMAL, 999};
    struct mm_target t = target();
    uint64_t page = draw(PAGES), count = 1 + draw(draw(3) ? 6 : PAGES / 2), at = page * PAGE_SIZE;
    int prot = prots[draw(4)], op = (int)draw(10);
    uint64_t size = MIN(count, PAGES - page) * PAGE_SIZE, other, new_size;
    int64_t ours = 0, host = 0;
    struct vma *v;

    switch (op) {
    case 0:
    case 1:
    case 2:
        ours = relative(map(OURS + at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0));
        host = errno_of(mmap((void *)(HOSTS + at), size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), HOSTS);
        break;
    case 3: {
        int kind = draw(2) ? MAP_SHARED : MAP_PRIVATE;
        ours = relative(map(OURS + at, size, prot, kind | MAP_FIXED, f, at));
        host = errno_of(mmap((void *)(HOSTS + at), size, prot, kind | MAP_FIXED, fd, (off_t)at), HOSTS);
        break;
    }
    case 4:
    case 5:
        ours = mm_unmap(&t, OURS + at, size);
        host = munmap((void *)(HOSTS + at), size) ? -errno : 0;
        break;
    case 6:
    case 7:
        ours = mm_protect(&t, OURS + at, size, prot);
        host = mprotect((void *)(HOSTS + at), size, prot) ? -errno : 0;
        break;
    case 8: {
        int a = advice[draw(10)];
        prot = a;
        ours = mm_advise(&t, OURS + at, size, a);
        host = madvise((void *)(HOSTS + at), size, a) ? -errno : 0;
        break;
    }
    default:
        // Linux moves several areas at once since 6.17; here each is moved by itself.
        v = vma_at(fake.task.mm, OURS + at);
        if (v)
            size = MIN(size, v->end - (OURS + at));
        new_size = (1 + draw(8)) * PAGE_SIZE;
        other = draw(PAGES - 8) * PAGE_SIZE;
        prot = draw(2) ? MREMAP_MAYMOVE | MREMAP_FIXED : 0;
        if (touch && prot && new_size > size)
            new_size = size; // the host may keep touched neighbours apart, and then moves them otherwise
        ours = relative(mm_remap(&t, OURS + at, size, new_size, prot, OURS + other));
        host = errno_of(mremap((void *)(HOSTS + at), size, new_size, prot, (void *)(HOSTS + other)), HOSTS);
        snprintf(what, room, "mremap %llu+%llu to %llu+%llu flags %d: ours %lld, host %lld", (unsigned long long)page,
                 (unsigned long long)(size / PAGE_SIZE), (unsigned long long)(other / PAGE_SIZE),
                 (unsigned long long)(new_size / PAGE_SIZE), prot, (long long)ours, (long long)host);
        if (ours != host)
            fail_msg("%s", what);
        return;
    }
    snprintf(what, room, "op %d at %llu+%llu prot/advice %d: ours %lld, host %lld", op, (unsigned long long)page,
             (unsigned long long)(size / PAGE_SIZE), prot, (long long)ours, (long long)host);
    if (ours != host)
        fail_msg("%s", what);
}

static void compare_counts(const char *what)
{
    struct mm *mm = fake.task.mm;
    uint64_t total = 0, data = 0, count = 0;

    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        assert_true(v->start < v->end && v->start <= v->valid && v->valid <= v->end);
        total += (v->end - v->start) / PAGE_SIZE;
        data += vma_is_data(v->flags, v->prot) ? (v->end - v->start) / PAGE_SIZE : 0;
        count++;
    }
    if (total != mm->total_pages || data != mm->data_pages || count != mm->vma_count)
        fail_msg("counters differ after %s", what);
}

static void run_random(bool touch, uint32_t first_seed)
{
    char ours[8192], host[8192], what[256], before[8192];
    int fd = memfd_create("host", 0);
    struct file *f = fake_file(1 << 20, true);

    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    for (uint64_t at = 0; at < 1 << 20; at += PAGE_SIZE)
        assert_int_equal(pwrite(fd, &at, sizeof(at), (off_t)at), sizeof(at));
    // Both sides begin with the same surroundings: nothing around the range.
    seed = first_seed;
    show_host(before, sizeof(before));
    for (int i = 0; i < 400; i++) {
        step(touch, fd, f, what, sizeof(what));
        fake_show(fake.task.mm, OURS, OURS + AREA, ours, sizeof(ours));
        show_host(host, sizeof(host));
        if (!touch && strcmp(ours, host))
            fail_msg("seed %u, step %d, %s\nbefore:\n%sours:\n%shost:\n%s", first_seed, i, what, before, ours, host);
        strcpy(before, host);
        compare_counts(what);
        for (uint64_t p = 0; p < PAGES; p++) {
            int a = peek(OURS + p * PAGE_SIZE + 1), b = peek(HOSTS + p * PAGE_SIZE + 1);
            if (a != b)
                fail_msg("seed %u, step %d, %s: page %llu is %d, on the host %d", first_seed, i, what,
                         (unsigned long long)p, a, b);
        }
        if (touch) {
            uint64_t p = draw(PAGES);
            poke(OURS + p * PAGE_SIZE + 1, (uint8_t)(i + 1));
            poke(HOSTS + p * PAGE_SIZE + 1, (uint8_t)(i + 1));
        }
    }
    close(fd);
    fake_stop();
    assert_int_equal(fake_of(f)->maps, 0);
    assert_int_equal(fake_of(f)->refs, 1);
    file_unref(f);
    (void)munmap((void *)HOSTS, 2 * AREA);
    fake_start(OURS + (1ull << 30));
}

static void test_same_areas(void **state)
{
    for (uint32_t i = 1; i <= 40; i++)
        run_random(false, i * 7919);
}

static void test_same_memory(void **state)
{
    for (uint32_t i = 1; i <= 25; i++)
        run_random(true, i * 104729);
}

// ---- Places ----------------------------------------------------------------------------------------------------------

#define ANON_PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

static void test_top_down(void **state)
{
    struct mm_target t = target();
    uint64_t base = fake.task.mm->mmap_base;
    int64_t a = map(0, 1, PROT_READ, ANON_PRIVATE, NULL, 0);
    int64_t b = map(0, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, ANON_PRIVATE, NULL, 0);

    assert_int_equal(a, base - PAGE_SIZE);
    assert_int_equal(b, base - 4 * PAGE_SIZE);
    // A hole is used again, by what fits.
    assert_int_equal(mm_unmap(&t, (uint64_t)a, PAGE_SIZE), 0);
    assert_int_equal(map(0, 2 * PAGE_SIZE, PROT_READ, ANON_PRIVATE, NULL, 0), base - 6 * PAGE_SIZE);
    assert_int_equal(map(0, PAGE_SIZE, PROT_READ, ANON_PRIVATE, NULL, 0), a);
    // A hint that is free is followed, one that isn't is not.
    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ, ANON_PRIVATE, NULL, 0), OURS);
    assert_true(map(OURS, PAGE_SIZE, PROT_READ, ANON_PRIVATE, NULL, 0) > (int64_t)OURS + (1 << 20));
    // Whole huge pages are aligned.
    assert_int_equal(map(0, 4 << 20, PROT_READ, ANON_PRIVATE, NULL, 0) % (2 << 20), 0);
    assert_in_range(map(0, PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_32BIT, NULL, 0), 0x40000000, 0x7fffffff);
}

static void test_errors(void **state)
{
    struct mm_target t = target();

    assert_int_equal(map(0, 0, PROT_READ, ANON_PRIVATE, NULL, 0), -EINVAL);
    assert_int_equal(map(0, UINT64_MAX, PROT_READ, ANON_PRIVATE, NULL, 0), -ENOMEM);
    assert_int_equal(map(0, GUEST_ADDR_MAX, PROT_READ, ANON_PRIVATE, NULL, 0), -ENOMEM);
    assert_int_equal(map(OURS + 1, PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0), -EINVAL);
    assert_int_equal(map(0, PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0), -EPERM);
    assert_int_equal(map(GUEST_ADDR_MAX, PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0), -ENOMEM);
    assert_int_equal(map(GUEST_ADDR_MAX - PAGE_SIZE, 2 * PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0), -ENOMEM);
    assert_int_equal(map(0, PAGE_SIZE, PROT_READ, MAP_ANONYMOUS, NULL, 0), -EINVAL);
    assert_int_equal(map(0, PAGE_SIZE, PROT_READ, MAP_ANONYMOUS | MAP_SHARED_VALIDATE, NULL, 0), -EINVAL);
    assert_int_equal(map(0, 2 << 20, PROT_READ, ANON_PRIVATE | MAP_HUGETLB, NULL, 0), -ENOMEM);
    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ, ANON_PRIVATE, NULL, 0), OURS);
    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED_NOREPLACE, NULL, 0), -EEXIST);
    assert_int_equal(mm_unmap(&t, OURS + 1, PAGE_SIZE), -EINVAL);
    assert_int_equal(mm_unmap(&t, OURS, 0), -EINVAL);
    assert_int_equal(mm_unmap(&t, OURS, UINT64_MAX), -EINVAL);
    assert_int_equal(mm_protect(&t, OURS + 1, PAGE_SIZE, PROT_READ), -EINVAL);
    assert_int_equal(mm_protect(&t, OURS, UINT64_MAX, PROT_READ), -ENOMEM);
    assert_int_equal(mm_protect(&t, OURS, PAGE_SIZE, PROT_GROWSDOWN), -EINVAL);
    assert_int_equal(mm_remap(&t, OURS, PAGE_SIZE, 0, 0, 0), -EINVAL);
    assert_int_equal(mm_remap(&t, OURS, PAGE_SIZE, PAGE_SIZE, MREMAP_FIXED, OURS), -EINVAL);
    assert_int_equal(mm_remap(&t, OURS, 0, PAGE_SIZE, MREMAP_MAYMOVE, 0), -EINVAL);
    assert_int_equal(mm_remap(&t, OURS, 2 * PAGE_SIZE, 3 * PAGE_SIZE, MREMAP_MAYMOVE, 0), -EFAULT);
    assert_int_equal(mm_remap(&t, OURS + PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, 0, 0), -EFAULT);
}

static void test_limits(void **state)
{
    struct mm_target t = target();

    fake.limits[RLIMIT_AS] = 10 * PAGE_SIZE;
    assert_int_equal(map(OURS, 8 * PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0), OURS);
    assert_int_equal(map(0, 3 * PAGE_SIZE, PROT_READ, ANON_PRIVATE, NULL, 0), -ENOMEM);
    assert_int_equal(map(OURS, 10 * PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0), OURS);
    assert_int_equal(mm_remap(&t, OURS, 10 * PAGE_SIZE, 11 * PAGE_SIZE, 0, 0), -ENOMEM);
    fake.limits[RLIMIT_AS] = UINT64_MAX;
    fake.limits[RLIMIT_DATA] = 2 * PAGE_SIZE;
    assert_int_equal(mm_protect(&t, OURS, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE), -ENOMEM);
    assert_int_equal(mm_protect(&t, OURS, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
    fake.limits[RLIMIT_MEMLOCK] = 0;
    assert_int_equal(mm_lock(&t, OURS, PAGE_SIZE, false), -EPERM);
    assert_int_equal(map(0, PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_LOCKED, NULL, 0), -EPERM);
    fake.limits[RLIMIT_MEMLOCK] = PAGE_SIZE;
    assert_int_equal(mm_lock(&t, OURS, PAGE_SIZE, false), 0);
    assert_int_equal(mm_lock(&t, OURS, PAGE_SIZE, false), 0);
    assert_int_equal(mm_lock(&t, OURS, 2 * PAGE_SIZE, false), -ENOMEM);
    assert_int_equal(mm_advise(&t, OURS, PAGE_SIZE, MADV_DONTNEED), -EINVAL);
    assert_int_equal(mm_unlock(&t, OURS, PAGE_SIZE), 0);
    assert_int_equal(fake.task.mm->locked_pages, 0);
}

static void test_brk(void **state)
{
    struct mm_target t = target();
    struct mm *mm = fake.task.mm;

    mm_set_brk(mm, OURS + 100);
    assert_int_equal(mm_brk(&t, 0), OURS + 100);
    assert_int_equal(mm_brk(&t, OURS + 200), OURS + 200); // the same page as before: nothing is mapped for it
    assert_int_equal(mm_brk(&t, OURS + 3 * PAGE_SIZE + 1), OURS + 3 * PAGE_SIZE + 1);
    assert_int_equal(peek(OURS + 3 * PAGE_SIZE), 0);
    assert_int_equal(mm_brk(&t, OURS + PAGE_SIZE), OURS + PAGE_SIZE);
    assert_int_equal(peek(OURS + PAGE_SIZE), -1);
    assert_int_equal(map(OURS + 8 * PAGE_SIZE, PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0),
                     OURS + 8 * PAGE_SIZE);
    assert_int_equal(mm_brk(&t, OURS + 9 * PAGE_SIZE), OURS + PAGE_SIZE);
    fake.limits[RLIMIT_DATA] = 2 * PAGE_SIZE;
    assert_int_equal(mm_brk(&t, OURS + 4 * PAGE_SIZE), OURS + PAGE_SIZE);
}

// ---- Files that end --------------------------------------------------------------------------------------------------

static int fault(uint64_t addr, bool write, int *code)
{
    struct trap trap = {.reason = TRAP_FAULT, .sig = SIGSEGV, .code = SEGV_ACCERR, .addr = addr, .trapno = 14,
                        .error_code = write ? 2 : 0};
    int signo = 0;
    return mm_fault(&fake.task, &trap, &signo, code) == 0 ? 0 : signo;
}

static void test_file_tail(void **state)
{
    struct file *f = fake_file(2 * PAGE_SIZE, true);
    struct mm_target t = target();
    int code;

    assert_int_equal(map(OURS, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f, 0), OURS);
    assert_int_equal(peek(OURS + PAGE_SIZE), 0);
    assert_int_equal(peek(OURS + 2 * PAGE_SIZE), -1);
    assert_int_equal(fault(OURS + 2 * PAGE_SIZE, false, &code), SIGBUS);
    assert_int_equal(code, BUS_ADRERR);
    assert_int_equal(fault(OURS + 9 * PAGE_SIZE, false, &code), SIGSEGV);
    assert_int_equal(code, SEGV_MAPERR);
    assert_int_equal(fault(OURS, true, &code), 0);
    assert_false(mm_access_hint(fake.task.mm, OURS + PAGE_SIZE, 2 * PAGE_SIZE, true));
    assert_true(mm_access_hint(fake.task.mm, OURS + PAGE_SIZE, PAGE_SIZE, true));

    // It grows: a copy and a fault find the new part.
    fake_of(f)->size = 3 * PAGE_SIZE;
    assert_int_equal(copy_out_now(&fake.task, UADDR(OURS + 3 * PAGE_SIZE - 2), "x", 1), 0);
    assert_int_equal(copy_out_now(&fake.task, UADDR(OURS + 3 * PAGE_SIZE - 2), "xyz", 3), -EFAULT);
    fake_of(f)->size = 4 * PAGE_SIZE;
    assert_int_equal(fault(OURS + 3 * PAGE_SIZE, false, &code), 0);
    assert_int_equal(peek(OURS + 3 * PAGE_SIZE), 0);

    // It shrinks: what is past the end goes.
    fake_of(f)->size = PAGE_SIZE + 5;
    mm_unmap_file_range(f, PAGE_SIZE + 5, UINT64_MAX);
    assert_true(fake.task.pending_work & TASK_WORK_MM);
    mm_run_deferred(&fake.task);
    assert_int_equal(peek(OURS + PAGE_SIZE), 0);
    assert_int_equal(peek(OURS + 2 * PAGE_SIZE), -1);
    assert_int_equal(fault(OURS + 2 * PAGE_SIZE, true, &code), SIGBUS);

    // Cutting and protecting leave the tail alone.
    assert_int_equal(mm_protect(&t, OURS, 4 * PAGE_SIZE, PROT_READ), 0);
    assert_int_equal(peek(OURS + 3 * PAGE_SIZE), -1);
    assert_int_equal(fault(OURS, true, &code), SIGSEGV);
    assert_int_equal(code, SEGV_ACCERR);
    assert_int_equal(mm_unmap(&t, OURS + PAGE_SIZE, PAGE_SIZE), 0);
    assert_int_equal(fake_of(f)->maps, 2);
    assert_int_equal(mm_unmap(&t, OURS, AREA), 0);
    assert_int_equal(fake_of(f)->maps, 0);
    assert_int_equal(fake_of(f)->refs, 1);
    file_unref(f);
}

static void test_read_only_file(void **state)
{
    struct file *f = fake_file(PAGE_SIZE, false);
    struct mm_target t = target();

    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f, 0), -EACCES);
    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, f, 0), OURS);
    assert_int_equal(mm_protect(&t, OURS, PAGE_SIZE, PROT_READ | PROT_WRITE), -EACCES);
    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, f, 0), OURS);
    assert_int_equal(map(0, PAGE_SIZE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, f, 0), -EOPNOTSUPP);
    assert_int_equal(map(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, f, INT64_MAX & ~0xfffll), -EOVERFLOW);
    assert_int_equal(mm_unmap(&t, OURS, PAGE_SIZE), 0);
    file_unref(f);
}

// ---- Failures, repeats, fork ------------------------------------------------------------------------------------------

static void test_failed_commit(void **state)
{
    struct file *f = fake_file(PAGE_SIZE, true);
    struct mm_target t = target();
    char before[1024], after[1024];

    assert_int_equal(map(OURS, 8 * PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0), OURS);
    fake_show(fake.task.mm, OURS, OURS + AREA, before, sizeof(before));
    fake.fail_commit = 1;
    assert_int_equal(map(OURS + PAGE_SIZE, PAGE_SIZE, PROT_NONE, ANON_PRIVATE | MAP_FIXED, NULL, 0), -ENOMEM);
    fake.fail_commit = 1;
    assert_int_equal(mm_unmap(&t, OURS, PAGE_SIZE), -ENOMEM);
    fake.fail_commit = 1;
    assert_int_equal(mm_protect(&t, OURS, PAGE_SIZE, PROT_NONE), -ENOMEM);
    fake.fail_commit = 1;
    assert_int_equal(mm_remap(&t, OURS, 8 * PAGE_SIZE, 9 * PAGE_SIZE, 0, 0), -ENOMEM);
    fake_show(fake.task.mm, OURS, OURS + AREA, after, sizeof(after));
    assert_string_equal(before, after);
    // Half made: nothing is left of it.
    fake.fail_commit = 1;
    assert_int_equal(map(OURS + PAGE_SIZE, 2 * PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, f, 0), -ENOMEM);
    assert_int_equal(peek(OURS + PAGE_SIZE), -1);
    assert_null(vma_at(fake.task.mm, OURS + PAGE_SIZE));
    assert_int_equal(fake_of(f)->refs, 1);
    file_unref(f);
}

static void test_repeating_fault(void **state)
{
    int code, tries = 0;

    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0), OURS);
    while (fault(OURS, false, &code) == 0)
        assert_true(++tries < 1000);
    assert_true(tries > 1);
}

static void test_fork(void **state)
{
    struct file *f = fake_file(4 * PAGE_SIZE, true);
    struct mm_target t = target();
    struct mm *child;
    struct platform_thread *pt;
    char ours[1024], theirs[1024];

    assert_int_equal(map(OURS, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f, 0), OURS);
    assert_int_equal(map(OURS + 8 * PAGE_SIZE, 4 * PAGE_SIZE, PROT_READ, ANON_PRIVATE | MAP_FIXED, NULL, 0),
                     OURS + 8 * PAGE_SIZE);
    fake_show(fake.task.mm, OURS, OURS + AREA, ours, sizeof(ours));
    assert_int_equal(mm_fork(&fake.task, &child, &pt), 0);
    fake_show(child, OURS, OURS + AREA, theirs, sizeof(theirs));
    assert_string_equal(ours, theirs);
    assert_int_equal(child->total_pages, fake.task.mm->total_pages);
    assert_int_equal(fake_of(f)->maps, 2);
    mm_put(child);
    assert_int_equal(mm_advise(&t, OURS, PAGE_SIZE, MADV_DONTFORK), 0);
    assert_int_equal(mm_fork(&fake.task, &child, &pt), 0);
    assert_null(vma_at(child, OURS));
    assert_non_null(vma_at(child, OURS + PAGE_SIZE));
    mm_put(child);
    assert_int_equal(mm_unmap(&t, OURS, AREA), 0);
    assert_int_equal(fake_of(f)->refs, 1);
    file_unref(f);
}

static void test_uio(void **state)
{
    struct uio_segment fixed[8], *segments, iov[3] = {{OURS + 10, 4}, {OURS + 20, 0}, {OURS + PAGE_SIZE - 2, 4}};
    struct uio u;
    char buf[16] = {0};

    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ | PROT_WRITE, ANON_PRIVATE | MAP_FIXED, NULL, 0), OURS);
    assert_int_equal(copy_out(&fake.task, UADDR(OURS + 100), iov, sizeof(iov)), 0);
    assert_int_equal(uio_init_iovec(&u, &fake.task, UADDR(OURS + 100), 3, fixed, &segments), 0);
    assert_int_equal(u.remaining, 8);
    assert_int_equal(uio_put(&u, "abcdefgh", 8), 6); // the last two lie beyond the page
    assert_int_equal(uio_put(&u, "gh", 2), -EFAULT);
    uio_revert(&u, 6);
    assert_int_equal(u.remaining, 8);
    assert_int_equal(uio_get(&u, buf, 6), 6);
    assert_string_equal(buf, "abcdef");
    assert_int_equal(uio_init_iovec(&u, &fake.task, UADDR(OURS + 100), -1, fixed, &segments), -EINVAL);
    assert_int_equal(uio_init_iovec(&u, &fake.task, UADDR(OURS + 100), 1025, fixed, &segments), -EINVAL);
    assert_int_equal(uio_init_iovec(&u, &fake.task, UADDR(OURS + PAGE_SIZE - 8), 1, fixed, &segments), -EFAULT);
    iov[1].size = 1ull << 63;
    assert_int_equal(copy_out(&fake.task, UADDR(OURS + 100), iov, sizeof(iov)), 0);
    assert_int_equal(uio_init_iovec(&u, &fake.task, UADDR(OURS + 100), 3, fixed, &segments), -EINVAL);
}

static void test_strings(void **state)
{
    char buf[64];

    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ | PROT_WRITE, ANON_PRIVATE | MAP_FIXED, NULL, 0), OURS);
    assert_int_equal(copy_out(&fake.task, UADDR(OURS), "hello", 6), 0);
    assert_int_equal(copy_in_string(&fake.task, buf, UADDR(OURS), sizeof(buf)), 5);
    assert_int_equal(copy_in_string(&fake.task, buf, UADDR(OURS), 5), -ENAMETOOLONG);
    assert_int_equal(copy_out(&fake.task, UADDR(OURS + PAGE_SIZE - 4), "full", 4), 0);
    assert_int_equal(copy_in_string(&fake.task, buf, UADDR(OURS + PAGE_SIZE - 4), sizeof(buf)), -EFAULT);
    assert_int_equal(copy_in_string(&fake.task, buf, UADDR(GUEST_TOP), sizeof(buf)), -EFAULT);
    assert_int_equal(copy_out(&fake.task, UADDR(UINT64_MAX - 2), "full", 4), -EFAULT);
    assert_int_equal(copy_in_struct(&fake.task, buf, 4, UADDR(OURS), 6), -E2BIG);
    assert_int_equal(copy_in_struct(&fake.task, buf, 8, UADDR(OURS), 5), 0);
    assert_memory_equal(buf, "hello\0\0\0", 8);
}

static void test_show_maps(void **state)
{
    struct file *f = fake_file(PAGE_SIZE, true);
    struct mm_target t = target();
    char buf[8192];
    struct strbuf out = STRBUF_FIXED(buf);

    assert_int_equal(map(OURS, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, f, PAGE_SIZE), OURS);
    assert_int_equal(map(OURS + 2 * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE, ANON_PRIVATE | MAP_FIXED, NULL, 0),
                     OURS + 2 * PAGE_SIZE);
    assert_int_equal(mm_set_name(&t, OURS + 2 * PAGE_SIZE, PAGE_SIZE, "a name"), 0);
    mm_set_brk(fake.task.mm, OURS + 8 * PAGE_SIZE);
    assert_true(mm_brk(&t, OURS + 9 * PAGE_SIZE) == (int64_t)(OURS + 9 * PAGE_SIZE));
    mm_show_maps(fake.task.mm, &out, false);
    // Names stand in the column where Linux puts them.
    assert_non_null(strstr(buf, "200000000000-200000001000 r--s 00001000 00:00 0                          /fake\n"));
    assert_non_null(strstr(buf, "200000002000-200000003000 rw-p 00000000 00:00 0                          [anon:a name]\n"));
    assert_non_null(strstr(buf, "200000008000-200000009000 rw-p 00000000 00:00 0                          [heap]\n"));
    assert_non_null(strstr(buf, "[vdso]\n"));
    out = STRBUF_FIXED(buf);
    mm_show_maps(fake.task.mm, &out, true);
    assert_non_null(strstr(buf, "Size:                  4 kB\n"));
    assert_non_null(strstr(buf, "VmFlags: rd wr mr mw me "));
    assert_int_equal(mm_unmap(&t, OURS, AREA), 0);
    file_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_areas, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_top_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_brk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_repeating_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
        cmocka_unit_test_setup_teardown(test_show_maps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_uio, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
    };
    return cmocka_run_group_tests(tests, setup_arena, NULL);
}
