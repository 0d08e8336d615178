// Random sequences of memory calls against a model: after every few steps each page's protection, contents and
// sharing must be what the model says, in this process, in children, through system calls and in /proc.
#include <pthread.h>
#include <sys/uio.h>

#include "guest-test.h"

#define PAGE 4096UL
#define PAGES 96
#define FILE_PAGES 32

// What a page of the arena is.
struct page {
    bool mapped, shared;
    int prot;
    int file_page;    // page of the file, or -1 for anonymous memory
    bool copied;      // a private page that has been written: `value` counts
    uint64_t value;   // contents (first word) of anonymous or copied pages
};

struct model {
    char *base;
    int fd;
    uint64_t random;
    struct page pages[PAGES];
    uint64_t file[FILE_PAGES];
    uint64_t next_value;
};

static uint64_t random_word(struct model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random;
}

static unsigned pick(struct model *m, unsigned below)
{
    return (random_word(m) >> 20) % below;
}

static void pick_range(struct model *m, unsigned *first, unsigned *count)
{
    *first = pick(m, PAGES);
    *count = 1 + pick(m, pick(m, 4) == 0 ? PAGES : 8);
    if (*first + *count > PAGES)
        *count = PAGES - *first;
}

static void *address(const struct model *m, unsigned page)
{
    return m->base + page * PAGE;
}

static uint64_t page_value(const struct model *m, const struct page *p)
{
    return p->file_page >= 0 && !p->copied ? m->file[p->file_page] : p->value;
}

static int random_prot(struct model *m)
{
    static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};
    return prots[pick(m, GT_COUNT(prots))];
}

static void do_map_anonymous(struct model *m)
{
    unsigned first, count;
    pick_range(m, &first, &count);
    int prot = random_prot(m), extra = pick(m, 4) == 0 ? MAP_POPULATE : pick(m, 4) == 0 ? MAP_NORESERVE : 0;
    void *p = mmap(address(m, first), count * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | extra, -1, 0);
    CHECK(p == address(m, first));
    for (unsigned i = first; i < first + count; i++)
        m->pages[i] = (struct page){.mapped = true, .prot = prot, .file_page = -1};
}

static void do_map_file(struct model *m)
{
    unsigned first, count, offset = pick(m, FILE_PAGES);
    pick_range(m, &first, &count);
    if (offset + count > FILE_PAGES)
        count = FILE_PAGES - offset;
    int prot = random_prot(m);
    bool shared = pick(m, 2);
    void *p = mmap(address(m, first), count * PAGE, prot, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, m->fd,
                   offset * PAGE);
    CHECK(p == address(m, first));
    for (unsigned i = 0; i < count; i++)
        m->pages[first + i] =
            (struct page){.mapped = true, .shared = shared, .prot = prot, .file_page = offset + i};
}

static void do_unmap(struct model *m)
{
    unsigned first, count;
    pick_range(m, &first, &count);
    CHECK_EQ(munmap(address(m, first), count * PAGE), 0);
    for (unsigned i = first; i < first + count; i++)
        m->pages[i] = (struct page){.file_page = -1};
}

static void do_protect(struct model *m)
{
    unsigned first, count;
    pick_range(m, &first, &count);
    int prot = random_prot(m);
    unsigned mapped = 0;
    while (mapped < count && m->pages[first + mapped].mapped)
        mapped++;
    long r = mprotect(address(m, first), count * PAGE, prot);
    if (mapped == count)
        CHECK_EQ(r, 0);
    else
        CHECK(r == -1 && errno == ENOMEM);
    for (unsigned i = first; i < first + mapped; i++)
        m->pages[i].prot = prot;
}

static void set_value(struct model *m, unsigned i, uint64_t value)
{
    struct page *p = &m->pages[i];
    if (p->file_page >= 0 && p->shared) {
        m->file[p->file_page] = value;
    } else {
        p->copied = true;
        p->value = value;
    }
}

static void do_write(struct model *m)
{
    for (int k = 0; k < 8; k++) {
        unsigned i = pick(m, PAGES);
        if (!m->pages[i].mapped || !(m->pages[i].prot & PROT_WRITE))
            continue;
        uint64_t value = ++m->next_value;
        *(volatile uint64_t *)address(m, i) = value;
        set_value(m, i, value);
    }
}

static void do_file_write(struct model *m)
{
    unsigned page = pick(m, FILE_PAGES);
    uint64_t value = ++m->next_value;
    CHECK_EQ(pwrite(m->fd, &value, sizeof(value), page * PAGE), (ssize_t)sizeof(value));
    m->file[page] = value;
}

// The kernel writes: read() from the file into the arena.
static void do_file_read(struct model *m)
{
    unsigned i = pick(m, PAGES), page = pick(m, FILE_PAGES);
    struct page *p = &m->pages[i];
    uint64_t value = m->file[page];
    ssize_t n = pread(m->fd, address(m, i), sizeof(value), page * PAGE);
    if (p->mapped && (p->prot & PROT_WRITE)) {
        CHECK_EQ(n, (ssize_t)sizeof(value));
        set_value(m, i, value);
    } else {
        CHECK(n == -1 && errno == EFAULT);
    }
}

static void do_dontneed(struct model *m)
{
    unsigned first, count;
    pick_range(m, &first, &count);
    bool hole = false;
    long r = madvise(address(m, first), count * PAGE, MADV_DONTNEED);
    for (unsigned i = first; i < first + count; i++) {
        struct page *p = &m->pages[i];
        hole |= !p->mapped;
        if (p->mapped && !(p->shared && p->file_page >= 0)) {
            p->copied = false;
            p->value = 0;
        }
    }
    if (hole)
        CHECK(r == -1 && errno == ENOMEM);
    else
        CHECK_EQ(r, 0);
}

// Moves a run of pages that surely is one mapping: made afresh right before.
static void do_move(struct model *m)
{
    unsigned count = 1 + pick(m, 4), from = pick(m, PAGES - count), to = pick(m, PAGES - count);
    if (to + count > from && from + count > to)
        return;
    int prot = PROT_READ | PROT_WRITE;
    CHECK(mmap(address(m, from), count * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    uint64_t value = ++m->next_value;
    *(volatile uint64_t *)address(m, from + count - 1) = value;
    CHECK(mremap(address(m, from), count * PAGE, count * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, address(m, to)) ==
          address(m, to));
    for (unsigned i = 0; i < count; i++) {
        m->pages[from + i] = (struct page){.file_page = -1};
        m->pages[to + i] = (struct page){.mapped = true, .prot = prot, .file_page = -1};
    }
    m->pages[to + count - 1].copied = true;
    m->pages[to + count - 1].value = value;
}

static sigjmp_buf jump;

static void on_fault(int sig)
{
    siglongjmp(jump, sig);
}

// Every page: read it, by the processor and by a system call, and compare.
static void verify(const struct model *m, bool by_calls)
{
    static int ends[2] = {-1, -1};
    static pid_t pipe_owner;
    if (pipe_owner != getpid()) {
        CHECK_EQ(pipe(ends), 0);
        pipe_owner = getpid();
    }
    for (volatile unsigned i = 0; i < PAGES; i++) {
        const struct page *p = &m->pages[i];
        volatile uint64_t value = 0;
        volatile bool readable = false;
        if (by_calls) {
            ssize_t n = write(ends[1], address(m, i), sizeof(value));
            if (n == (ssize_t)sizeof(value)) {
                uint64_t got;
                CHECK_EQ(read(ends[0], &got, sizeof(got)), (ssize_t)sizeof(got));
                value = got;
                readable = true;
            } else {
                CHECK(n == -1 && errno == EFAULT);
            }
        } else if (sigsetjmp(jump, 1) == 0) {
            value = *(volatile uint64_t *)address(m, i);
            readable = true;
        }
        bool want = p->mapped && (p->prot & PROT_READ);
        if (readable != want)
            FAIL("page %u: readable %d want %d", i, readable, want);
        if (readable && value != page_value(m, p))
            FAIL("page %u: value %lu want %lu (file page %d shared %d copied %d)", i, (unsigned long)value,
                 (unsigned long)page_value(m, p), p->file_page, p->shared, p->copied);
    }
}

static void verify_maps(const struct model *m)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512], prot[8];
    uintptr_t low, high;
    bool seen[PAGES] = {false};
    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f)) {
        CHECK_EQ(sscanf(line, "%lx-%lx %7s", &low, &high, prot), 3);
        for (unsigned i = 0; i < PAGES; i++) {
            uintptr_t a = (uintptr_t)address(m, i);
            if (a < low || a >= high)
                continue;
            const struct page *p = &m->pages[i];
            seen[i] = true;
            char want[5] = {p->prot & PROT_READ ? 'r' : '-', p->prot & PROT_WRITE ? 'w' : '-',
                            p->prot & PROT_EXEC ? 'x' : '-', p->shared ? 's' : 'p', 0};
            if (!p->mapped || strcmp(prot, want) != 0)
                FAIL("page %u: maps says %s, want %s", i, prot, p->mapped ? want : "nothing");
        }
    }
    fclose(f);
    for (unsigned i = 0; i < PAGES; i++)
        if (m->pages[i].mapped && !seen[i])
            FAIL("page %u is not in maps", i);
}

static void step(struct model *m)
{
    switch (pick(m, 12)) {
    case 0:
    case 1:
        do_map_anonymous(m);
        break;
    case 2:
    case 3:
        do_map_file(m);
        break;
    case 4:
        do_unmap(m);
        break;
    case 5:
    case 6:
        do_protect(m);
        break;
    case 7:
        do_dontneed(m);
        break;
    case 8:
        do_move(m);
        break;
    case 9:
        do_file_write(m);
        break;
    case 10:
        do_file_read(m);
        break;
    default:
        do_write(m);
    }
}

static struct model *new_model(uint64_t seed)
{
    // In memory of its own, so that forked copies of the model are private.
    struct model *m = calloc(1, sizeof(*m));
    m->random = seed * 0x9e3779b97f4a7c15 + 1;
    m->next_value = 1000;
    m->base = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m->base != MAP_FAILED);
    for (unsigned i = 0; i < PAGES; i++)
        m->pages[i] = (struct page){.mapped = true, .file_page = -1};
    m->fd = OK(open(gt_path("model-%lu", (unsigned long)seed), O_RDWR | O_CREAT, 0644));
    CHECK_EQ(ftruncate(m->fd, FILE_PAGES * PAGE), 0);
    struct sigaction sa = {.sa_handler = on_fault};
    CHECK_EQ(sigaction(SIGSEGV, &sa, NULL), 0);
    CHECK_EQ(sigaction(SIGBUS, &sa, NULL), 0);
    return m;
}

static void end_model(struct model *m)
{
    CHECK_EQ(munmap(m->base, PAGES * PAGE), 0);
    CHECK_EQ(close(m->fd), 0);
    free(m);
}

TEST_TIMEOUT(one_process, 90)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct model *m = new_model(seed);
        for (int i = 0; i < 150; i++) {
            step(m);
            if (i % 10 == 9)
                verify(m, i % 20 == 19);
            if (i % 30 == 29)
                verify_maps(m);
        }
        end_model(m);
    }
}

TEST_TIMEOUT(over_fork, 90)
{
    // A child goes on by itself; neither sees the other's private pages, both see shared ones.
    for (uint64_t seed = 100; seed < 110; seed++) {
        struct model *m = new_model(seed);
        for (int i = 0; i < 60; i++)
            step(m);
        pid_t pid = FORK({
            verify(m, false);
            verify(m, true);
            verify_maps(m);
            m->random += 12345;
            for (int i = 0; i < 60; i++) {
                step(m);
                if (i % 10 == 9)
                    verify(m, i % 20 == 19);
            }
        });
        CHECK_EXIT(pid, 0);
        // What the child wrote to the file is this process's business too.
        for (unsigned i = 0; i < FILE_PAGES; i++)
            CHECK_EQ(pread(m->fd, &m->file[i], 8, i * PAGE), 8);
        verify(m, false);
        verify_maps(m);
        for (int i = 0; i < 40; i++)
            step(m);
        verify(m, true);
        end_model(m);
    }
}

TEST_TIMEOUT(tree_of_children, 90)
{
    struct model *m = new_model(777);
    for (int i = 0; i < 50; i++)
        step(m);
    // Only private memory from here on, or the copies of the model would disagree about the file.
    for (unsigned i = 0; i < PAGES; i++)
        if (m->pages[i].shared) {
            CHECK_EQ(munmap(address(m, i), PAGE), 0);
            m->pages[i] = (struct page){.file_page = -1};
        }
    pid_t pids[6];
    for (int c = 0; c < 6; c++)
        pids[c] = FORK({
            m->random += c * 977;
            for (int generation = 0; generation < 4; generation++) {
                for (int i = 0; i < 20; i++) {
                    do_write(m);
                    if (i % 5 == 0)
                        do_map_anonymous(m);
                    if (i % 7 == 0)
                        do_protect(m);
                    if (i % 6 == 0)
                        do_dontneed(m);
                }
                pid_t pid = OK(fork());
                if (pid > 0) {
                    verify(m, generation & 1);
                    CHECK_EXIT(pid, 0);
                    verify(m, false);
                    _exit(0);
                }
                m->random += 31;
            }
            verify(m, true);
        });
    for (int c = 0; c < 6; c++)
        CHECK_EXIT(pids[c], 0);
    verify(m, false);
    end_model(m);
}

static void *model_thread(void *arg)
{
    struct model *m = arg;
    for (int i = 0; i < 150; i++) {
        do_map_anonymous(m);
        do_write(m);
        do_protect(m);
        do_dontneed(m);
        do_unmap(m);
        do_write(m);
        do_move(m);
        for (unsigned k = 0; k < PAGES; k++) {
            const struct page *p = &m->pages[k];
            if (p->mapped && (p->prot & PROT_READ) && *(volatile uint64_t *)address(m, k) != page_value(m, p))
                return (void *)(long)(k + 1);
        }
    }
    return NULL;
}

TEST_TIMEOUT(threads_in_one_space, 90)
{
    // Four arenas side by side in one address space, each with its thread.
    struct model *models[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        models[i] = new_model(500 + i);
    }
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, model_thread, models[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK_EQ((long)result, 0);
    }
}
