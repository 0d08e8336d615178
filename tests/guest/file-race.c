/*
 * Files and descriptors used by many threads and processes at once: what must stay true however
 * the calls interleave.
 */
#include "scratch.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

enum { THREADS = 4 };

static atomic_bool stop;

static void run_threads(void *(*fn)(void *))
{
    pthread_t t[THREADS];

    for (long i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, fn, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
}

static void *opens_and_closes(void *arg)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "f%ld", (long)arg);
    for (int i = 0; i < 1000; i++) {
        char c = 0;
        int fd = open(name, O_RDONLY);

        CHECK(fd >= 0);
        /* The descriptor must be one's own, whatever the others do. */
        CHECK_EQ(read(fd, &c, 1), 1);
        CHECK_EQ(c, '0' + (long)arg);
        CHECK_EQ(close(fd), 0);
    }
    return NULL;
}

TEST(parallel_open_and_close)
{
    scratch();
    for (int i = 0; i < THREADS; i++) {
        char name[16], text[2] = {(char)('0' + i), '\0'};

        (void)snprintf(name, sizeof(name), "f%d", i);
        put_file(name, text);
    }
    run_threads(opens_and_closes);
}

static int shared_fd;

static uint8_t *marks;

static void *takes_records(void *arg)
{
    uint32_t v;

    (void)arg;
    while (read(shared_fd, &v, sizeof(v)) == sizeof(v))
        __atomic_fetch_add(&marks[v], 1, __ATOMIC_RELAXED);
    return NULL;
}

TEST(shared_offset_hands_out_each_byte_once)
{
    enum { RECORDS = 20000 };
    uint32_t *data = malloc(RECORDS * sizeof(*data));

    scratch();
    marks = calloc(RECORDS, 1);
    for (uint32_t i = 0; i < RECORDS; i++)
        data[i] = i;
    shared_fd = open("f", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(write(shared_fd, data, RECORDS * sizeof(*data)), RECORDS * sizeof(*data));
    CHECK_EQ(lseek(shared_fd, 0, SEEK_SET), 0);
    run_threads(takes_records);
    for (int i = 0; i < RECORDS; i++)
        CHECK_EQ(marks[i], 1);
}

static void *writes_records(void *arg)
{
    uint32_t v = (uint32_t)(long)arg;

    for (int i = 0; i < 1000; i++)
        CHECK_EQ(write(shared_fd, &v, sizeof(v)), sizeof(v));
    return NULL;
}

TEST(shared_offset_loses_no_write)
{
    static uint32_t data[THREADS * 1000 + 1];
    int count[THREADS] = {0};

    scratch();
    shared_fd = open("f", O_RDWR | O_CREAT, 0600);
    run_threads(writes_records);
    CHECK_EQ(pread(shared_fd, data, sizeof(data), 0), THREADS * 1000 * 4);
    for (int i = 0; i < THREADS * 1000; i++) {
        CHECK(data[i] < THREADS);
        count[data[i]]++;
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(count[i], 1000);
}

static void *makes_and_removes(void *arg)
{
    char a[32], b[32];

    (void)snprintf(a, sizeof(a), "d/%ld-a", (long)arg);
    (void)snprintf(b, sizeof(b), "d/%ld-b", (long)arg);
    for (int i = 0; i < 300; i++) {
        int fd = open(a, O_CREAT | O_EXCL | O_RDWR, 0600);

        CHECK(fd >= 0);
        CHECK_EQ(close(fd), 0);
        CHECK_EQ(rename(a, b), 0);
        CHECK_EQ(link(b, a), 0);
        CHECK_EQ(unlink(a), 0);
        CHECK_EQ(unlink(b), 0);
        CHECK_EQ(mkdir(a, 0755), 0);
        CHECK_EQ(rename(a, b), 0);
        CHECK_EQ(rmdir(b), 0);
        CHECK_EQ(symlink("x", a), 0);
        CHECK_EQ(unlink(a), 0);
    }
    return NULL;
}

TEST(one_directory_many_writers)
{
    struct stat st;

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    run_threads(makes_and_removes);
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_nlink, 2);
    CHECK_EQ(rmdir("d"), 0);
}

static void *lists(void *arg)
{
    (void)arg;
    while (!stop) {
        DIR *d = opendir("d");
        struct dirent *e;
        int keep = 0;

        CHECK(d != NULL);
        while ((e = readdir(d)) != NULL)
            keep += strncmp(e->d_name, "keep", 4) == 0;
        /* What was there before and is not touched is listed exactly once. */
        CHECK_EQ(keep, 50);
        closedir(d);
    }
    return NULL;
}

TEST(listing_while_others_change)
{
    pthread_t t[2];

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    for (int i = 0; i < 50; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "d/keep%d", i);
        put_file(name, "");
    }
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, lists, NULL), 0);
    run_threads(makes_and_removes);
    stop = true;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
}

static void *exchanges(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++)
        CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 2), 0);
    stop = true;
    return NULL;
}

TEST(exchange_is_never_seen_half_done)
{
    pthread_t t;

    scratch();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("b", 0755), 0);
    put_file("a/f", "");
    put_file("b/f", "");
    CHECK_EQ(pthread_create(&t, NULL, exchanges, NULL), 0);
    while (!stop) {
        CHECK_EQ(access("a/f", F_OK), 0);
        CHECK_EQ(access("b/f", F_OK), 0);
    }
    CHECK_EQ(pthread_join(t, NULL), 0);
}

static void *moves_across(void *arg)
{
    char from[32], to[32];

    (void)snprintf(from, sizeof(from), "a/%ld", (long)arg);
    (void)snprintf(to, sizeof(to), "b/sub/%ld", (long)arg);
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(rename(from, to), 0);
        CHECK_EQ(rename(to, from), 0);
    }
    return NULL;
}

TEST(directories_move_across_parents)
{
    struct stat st;

    scratch();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("b", 0755), 0);
    CHECK_EQ(mkdir("b/sub", 0755), 0);
    for (int i = 0; i < THREADS; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "a/%d", i);
        CHECK_EQ(mkdir(name, 0755), 0);
    }
    run_threads(moves_across);
    CHECK_EQ(stat("a", &st), 0);
    CHECK_EQ(st.st_nlink, 2 + THREADS);
    CHECK_EQ(stat("b/sub", &st), 0);
    CHECK_EQ(st.st_nlink, 2);
}

static void *moves_into_each_other(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        errno = 0;
        if ((long)arg & 1)
            (void)rename("x", "y/x");
        else
            (void)rename("y", "x/y");
        CHECK(errno == 0 || errno == ENOENT || errno == EINVAL || errno == ENOTEMPTY);
        (void)rename("y/x", "x");
        (void)rename("x/y", "y");
    }
    return NULL;
}

TEST(no_loop_of_directories)
{
    struct stat st;

    scratch();
    CHECK_EQ(mkdir("x", 0755), 0);
    CHECK_EQ(mkdir("y", 0755), 0);
    run_threads(moves_into_each_other);
    /* Both are still reachable from here, in one of three ways. */
    int found = (stat("x", &st) == 0) + (stat("y", &st) == 0);
    found += found < 2 && (stat("x/y", &st) == 0 || stat("y/x", &st) == 0);
    CHECK_EQ(found, 2);
}

static void *resizes(void *arg)
{
    (void)arg;
    while (!stop) {
        CHECK_EQ(ftruncate(shared_fd, 100), 0);
        CHECK_EQ(ftruncate(shared_fd, 20000), 0);
    }
    return NULL;
}

TEST(truncation_under_readers_shows_zeros_or_data)
{
    static char buf[20000];
    pthread_t t;

    scratch();
    shared_fd = open("f", O_RDWR | O_CREAT, 0600);
    memset(buf, 'd', 100);
    CHECK_EQ(write(shared_fd, buf, 100), 100);
    CHECK_EQ(pthread_create(&t, NULL, resizes, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        ssize_t n = pread(shared_fd, buf, sizeof(buf), 0);

        CHECK(n >= 100 && n <= 20000);
        for (ssize_t k = 0; k < n; k++)
            CHECK_EQ(buf[k], k < 100 ? 'd' : 0);
    }
    stop = true;
    CHECK_EQ(pthread_join(t, NULL), 0);
}

static int pipe_fds[2];
static atomic_int reader_tid;

static void *blocks_in_read(void *arg)
{
    char c;

    (void)arg;
    reader_tid = (int)syscall(SYS_gettid);
    CHECK_EQ(read(pipe_fds[0], &c, 1), 1);
    CHECK_EQ(c, 'l');
    return NULL;
}

TEST(close_does_not_end_a_running_read)
{
    pthread_t t;

    CHECK_EQ(pipe(pipe_fds), 0);
    CHECK_EQ(pthread_create(&t, NULL, blocks_in_read, NULL), 0);
    while (reader_tid == 0)
        sched_yield();
    gt_wait_state(reader_tid, "S");
    /* The call holds the open file; the number is free at once and may name something else. */
    CHECK_EQ(close(pipe_fds[0]), 0);
    int other = open("/dev/null", O_RDONLY);
    CHECK_EQ(other, pipe_fds[0]);
    CHECK_EQ(write(pipe_fds[1], "l", 1), 1);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK(fd_is_open(other));
}

static void *dups_over(void *arg)
{
    int source = (int)(long)arg;

    while (!stop)
        CHECK_EQ(dup2(source, 50), 50);
    return NULL;
}

TEST(dup2_replaces_in_one_step)
{
    pthread_t t[2];
    int a, b;

    scratch();
    put_file("a", "a");
    put_file("b", "b");
    a = open("a", O_RDONLY);
    b = open("b", O_RDONLY);
    CHECK_EQ(dup2(a, 50), 50);
    CHECK_EQ(pthread_create(&t[0], NULL, dups_over, (void *)(long)a), 0);
    CHECK_EQ(pthread_create(&t[1], NULL, dups_over, (void *)(long)b), 0);
    /* There is never a moment at which 50 is closed. (Linux says EBUSY to dup2 against open only.) */
    for (int i = 0; i < 20000; i++) {
        char c = 0;

        CHECK_EQ(pread(50, &c, 1, 0), 1);
        CHECK(c == 'a' || c == 'b');
    }
    stop = true;
    CHECK_EQ(pthread_join(t[0], NULL), 0);
    CHECK_EQ(pthread_join(t[1], NULL), 0);
}

static void *writes_blocks(void *arg)
{
    static char blocks[THREADS][4096];
    long me = (long)arg;

    memset(blocks[me], 'a' + (int)me, 4096);
    for (int i = 0; i < 500; i++)
        CHECK_EQ(pwrite(shared_fd, blocks[me], 4096, 0), 4096);
    return NULL;
}

TEST(writes_to_one_place_do_not_mix)
{
    char buf[4096];

    scratch();
    shared_fd = open("f", O_RDWR | O_CREAT, 0600);
    run_threads(writes_blocks);
    CHECK_EQ(pread(shared_fd, buf, sizeof(buf), 0), 4096);
    for (int i = 1; i < 4096; i++)
        CHECK_EQ(buf[i], buf[0]);
}

TEST(mapping_and_calls_see_the_same_bytes)
{
    enum { SIZE = 64 << 10 };
    unsigned char *p;
    int fd;

    scratch();
    fd = open("f", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(ftruncate(fd, SIZE), 0);
    p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    pid_t pid = FORK({
        unsigned char *q = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        CHECK(q != MAP_FAILED);
        for (unsigned i = 0; i < 500; i++) {
            unsigned char c = (unsigned char)(i * 7);
            size_t at = (i * 7919u) % SIZE;

            q[at] = c;
            CHECK_EQ(pread(fd, &c, 1, (off_t)at), 1);
            CHECK_EQ(c, (unsigned char)(i * 7));
        }
    });
    wait_ok(pid);
    for (unsigned i = 0; i < 500; i++) {
        unsigned char c = (unsigned char)~i;
        size_t at = (i * 104729u) % SIZE;

        CHECK_EQ(pwrite(fd, &c, 1, (off_t)at), 1);
        CHECK_EQ(p[at], c);
    }
    CHECK_EQ(munmap(p, SIZE), 0);
}

TEST(many_processes_many_files)
{
    enum { PROCS = 6, FILES = 60 };
    pid_t pids[PROCS];

    scratch();
    for (int p = 0; p < PROCS; p++) {
        pids[p] = FORK({
            char dir[16], name[48], text[32];

            (void)snprintf(dir, sizeof(dir), "p%d", p);
            CHECK_EQ(mkdir(dir, 0755), 0);
            for (int i = 0; i < FILES; i++) {
                (void)snprintf(name, sizeof(name), "%s/%d", dir, i);
                (void)snprintf(text, sizeof(text), "%d:%d", p, i);
                put_file(name, text);
            }
            for (int i = 0; i < FILES; i++) {
                (void)snprintf(name, sizeof(name), "%s/%d", dir, i);
                (void)snprintf(text, sizeof(text), "%d:%d", p, i);
                CHECK(file_is(name, text));
                CHECK_EQ(unlink(name), 0);
            }
            CHECK_EQ(rmdir(dir), 0);
        });
    }
    for (int p = 0; p < PROCS; p++)
        wait_ok(pids[p]);
}
