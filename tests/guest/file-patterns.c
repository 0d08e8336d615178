/*
 * Sequences of calls as common programs make them: atomic replacement, lock files, rm -rf, cp, tar,
 * git, SQLite, make's job server, subprocess with an error pipe, tail -f, here-documents.
 */
#include "scratch.h"

#include <dirent.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

TEST(atomic_replacement)
{
    int dir, fd;

    scratch();
    put_file("config", "old");
    dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 10; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "version %d", i);
        fd = openat(dir, ".config.tmp", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        CHECK_EQ(fchmod(fd, 0644), 0);
        CHECK_EQ(fsync(fd), 0);
        CHECK_EQ(close(fd), 0);
        CHECK_EQ(renameat(dir, ".config.tmp", dir, "config"), 0);
        CHECK_EQ(fsync(dir), 0);
        CHECK(file_is("config", text));
    }
}

TEST(lock_file_by_link)
{
    struct stat st;

    scratch();
    put_file("unique", "");
    CHECK_EQ(link("unique", "lock"), 0);
    CHECK_EQ(stat("unique", &st), 0);
    CHECK_EQ(st.st_nlink, 2);
    pid_t pid = FORK({
        put_file("other", "");
        CHECK_ERRNO(link("other", "lock"), EEXIST);
    });
    wait_ok(pid);
    CHECK_EQ(unlink("lock"), 0);
}

/* Removes a tree with descriptors, as rm -rf does. */
static void remove_tree(int parent, const char *name)
{
    int fd = openat(parent, name,
                    O_RDONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    struct dirent *e;
    DIR *d;

    CHECK(fd >= 0);
    CHECK((d = fdopendir(fd)) != NULL);
    while ((e = readdir(d)) != NULL) {
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        CHECK_EQ(fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
        if (S_ISDIR(st.st_mode))
            remove_tree(fd, e->d_name);
        else
            CHECK_EQ(unlinkat(fd, e->d_name, 0), 0);
    }
    CHECK_EQ(closedir(d), 0);
    CHECK_EQ(unlinkat(parent, name, AT_REMOVEDIR), 0);
}

static int make_tree(const char *path, int depth)
{
    char name[256];
    int made = 1;

    CHECK_EQ(mkdir(path, 0755), 0);
    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof(name), "%s/f%d", path, i);
        put_file(name, name);
        made++;
    }
    (void)snprintf(name, sizeof(name), "%s/link", path);
    CHECK_EQ(symlink("f0", name), 0);
    made++;
    for (int i = 0; depth > 0 && i < 3; i++) {
        (void)snprintf(name, sizeof(name), "%s/d%d", path, i);
        made += make_tree(name, depth - 1);
    }
    return made;
}

TEST(tree_made_walked_and_removed)
{
    int made;

    scratch();
    made = make_tree("tree", 3);
    int dir = open(".", O_PATH);
    /* du and find walk it the same way. */
    struct dirent *e;
    int seen = 0;
    char stack[512][128];
    int top = 0;
    (void)snprintf(stack[top++], 128, "tree");
    while (top > 0) {
        char path[128];

        (void)snprintf(path, sizeof(path), "%s", stack[--top]);
        seen++;
        DIR *d = opendir(path);
        CHECK(d != NULL);
        while ((e = readdir(d)) != NULL) {
            if (e->d_name[0] == '.')
                continue;
            if (e->d_type == DT_DIR)
                (void)snprintf(stack[top++], 128, "%.60s/%.60s", path, e->d_name);
            else
                seen++;
        }
        closedir(d);
    }
    CHECK_EQ(seen, made);
    remove_tree(dir, "tree");
    CHECK_ERRNO(access("tree", F_OK), ENOENT);
}

TEST(copy_as_cp_does)
{
    struct stat st, out_st;
    static char buf[131072];
    int in, out;
    off_t data = 0, hole;

    scratch();
    in = open("in", O_RDWR | O_CREAT, 0640);
    CHECK_EQ(ftruncate(in, 4 << 20), 0);
    CHECK_EQ(pwrite(in, "head", 4, 0), 4);
    CHECK_EQ(pwrite(in, "middle", 6, 2 << 20), 6);
    CHECK_EQ(fstat(in, &st), 0);
    out = open("out", O_WRONLY | O_CREAT | O_EXCL, 0600);
    /* A reflink first; file systems that cannot say so in one of these ways. */
    if (ioctl(out, FICLONE, in) < 0)
        CHECK(errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == EXDEV ||
              errno == ENOSYS);
    CHECK_EQ(posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
    while ((data = lseek(in, data, SEEK_DATA)) >= 0) {
        hole = lseek(in, data, SEEK_HOLE);
        CHECK(hole > data);
        CHECK_EQ(lseek(in, data, SEEK_SET), data);
        CHECK_EQ(lseek(out, data, SEEK_SET), data);
        while (data < hole) {
            size_t want = (size_t)(hole - data) < sizeof(buf) ? (size_t)(hole - data) : sizeof(buf);
            ssize_t n = read(in, buf, want);

            CHECK(n > 0);
            CHECK_EQ(write(out, buf, (size_t)n), n);
            data += n;
        }
    }
    CHECK_EQ(errno, ENXIO);
    CHECK_EQ(ftruncate(out, st.st_size), 0);
    CHECK_EQ(futimens(out, (struct timespec[2]){st.st_atim, st.st_mtim}), 0);
    CHECK_EQ(fchown(out, st.st_uid, st.st_gid), 0);
    CHECK_EQ(fchmod(out, st.st_mode & 07777), 0);
    CHECK_EQ(fstat(out, &out_st), 0);
    CHECK_EQ(out_st.st_size, st.st_size);
    CHECK_EQ(out_st.st_mode, st.st_mode);
    CHECK_EQ(out_st.st_mtim.tv_nsec, st.st_mtim.tv_nsec);
    CHECK(out_st.st_blocks * 512 < out_st.st_size);
    int again = open("out", O_RDONLY);
    CHECK_EQ(pread(again, buf, 6, 2 << 20), 6);
    CHECK(memcmp(buf, "middle", 6) == 0);
}

TEST(unpack_as_tar_does)
{
    struct timespec t[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = 777, .tv_nsec = 5}};
    struct stat st;
    int dir, fd;

    scratch();
    dir = open(".", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(mkdirat(dir, "d", 0700), 0);
    fd = openat(dir, "d/f", O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "data", 4), 4);
    CHECK_EQ(utimensat(fd, "", t, AT_EMPTY_PATH) == 0 || futimens(fd, t) == 0, 1);
    CHECK_EQ(fchown(fd, 1, 2), 0);
    CHECK_EQ(fchmod(fd, 04755), 0);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(linkat(dir, "d/f", dir, "d/hard", 0), 0);
    CHECK_EQ(symlinkat("../x", dir, "d/sym"), 0);
    CHECK_EQ(fchownat(dir, "d/sym", 3, 4, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_EQ(utimensat(dir, "d/sym", t, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_EQ(mknodat(dir, "d/fifo", S_IFIFO | 0600, 0), 0);
    CHECK_EQ(fchmodat(dir, "d", 0755, 0), 0);
    CHECK_EQ(utimensat(dir, "d", t, 0), 0);
    CHECK_EQ(fstatat(dir, "d/f", &st, 0), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 04755);
    CHECK(st.st_uid == 1 && st.st_gid == 2 && st.st_nlink == 2 && st.st_mtim.tv_sec == 777);
    CHECK_EQ(fstatat(dir, "d", &st, 0), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 777);
    CHECK_EQ(fstatat(dir, "d/sym", &st, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(st.st_uid == 3 && st.st_mtim.tv_sec == 777);
}

TEST(objects_as_git_writes_them)
{
    scratch();
    CHECK_EQ(mkdir("objects", 0777), 0);
    CHECK_EQ(mkdir("objects/ab", 0777), 0);
    for (int i = 0; i < 50; i++) {
        char tmp[] = "objects/ab/tmp_obj_XXXXXX", name[64];
        int fd = mkstemp(tmp);

        CHECK(fd >= 0);
        CHECK_EQ(write(fd, "object", 6), 6);
        CHECK_EQ(fchmod(fd, 0444), 0);
        CHECK_EQ(close(fd), 0);
        (void)snprintf(name, sizeof(name), "objects/ab/%038d", i);
        CHECK_EQ(link(tmp, name), 0);
        CHECK_EQ(unlink(tmp), 0);
    }
    /* The index under its lock. */
    int fd = open("index.lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    CHECK(fd >= 0);
    CHECK_ERRNO(open("index.lock", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
    CHECK_EQ(write(fd, "DIRC", 4), 4);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(rename("index.lock", "index"), 0);
    fd = open("index", O_RDONLY);
    char *p = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(p != MAP_FAILED);
    close(fd);
    CHECK(memcmp(p, "DIRC", 4) == 0);
    CHECK_EQ(munmap(p, 4), 0);
}

static int range_lock(int fd, short type, off_t start, off_t len)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    return fcntl(fd, F_SETLK, &l);
}

TEST(locks_as_sqlite_takes_them)
{
    enum { PENDING = 0x40000000, RESERVED = PENDING + 1, SHARED = PENDING + 2, SIZE = 510 };
    int *counter = gt_shared(4096);
    pid_t pids[3];

    scratch();
    put_file("db", "0");
    for (int p = 0; p < 3; p++) {
        pids[p] = FORK({
            int fd = open("db", O_RDWR | O_NOFOLLOW | O_CLOEXEC);

            for (int done = 0; done < 20;) {
                bool got = false;

                /* Shared: take pending, then the shared range, then let pending go. */
                if (range_lock(fd, F_RDLCK, PENDING, 1) == 0) {
                    if (range_lock(fd, F_RDLCK, SHARED, SIZE) == 0)
                        got = true;
                    CHECK_EQ(range_lock(fd, F_UNLCK, PENDING, 1), 0);
                }
                /* Reserved, pending, exclusive. */
                if (got && range_lock(fd, F_WRLCK, RESERVED, 1) == 0 &&
                    range_lock(fd, F_WRLCK, PENDING, 1) == 0 &&
                    range_lock(fd, F_WRLCK, SHARED, SIZE) == 0) {
                    int v = (*counter)++;

                    sched_yield();
                    CHECK_EQ(*counter, v + 1);
                    done++;
                }
                CHECK_EQ(range_lock(fd, F_UNLCK, 0, 0), 0);
                sched_yield();
            }
        });
    }
    for (int p = 0; p < 3; p++)
        wait_ok(pids[p]);
    CHECK_EQ(*counter, 60);
}

TEST(shared_memory_as_sqlites_log_uses_it)
{
    int fd;
    uint32_t *p;

    scratch();
    fd = open("db-shm", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    CHECK_EQ(ftruncate(fd, 32768), 0);
    p = mmap(NULL, 32768, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    pid_t pid = FORK({
        int other = open("db-shm", O_RDWR);
        uint32_t *q = mmap(NULL, 32768, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);

        CHECK(q != MAP_FAILED);
        for (uint32_t i = 0; i < 1000; i++)
            __atomic_fetch_add(&q[100], 1, __ATOMIC_SEQ_CST);
    });
    for (uint32_t i = 0; i < 1000; i++)
        __atomic_fetch_add(&p[100], 1, __ATOMIC_SEQ_CST);
    wait_ok(pid);
    CHECK_EQ(p[100], 2000);
}

TEST(tokens_as_makes_job_server_passes_them)
{
    enum { JOBS = 3, WORK = 30 };
    int p[2], *running = gt_shared(4096);
    pid_t pids[WORK];

    CHECK_EQ(pipe(p), 0);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQ(write(p[1], "+", 1), 1);
    CHECK_EQ(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
    for (int i = 0; i < WORK; i++) {
        pids[i] = FORK({
            char token;

            for (;;) {
                struct pollfd f = {.fd = p[0], .events = POLLIN};

                CHECK_EQ(poll(&f, 1, -1), 1);
                if (read(p[0], &token, 1) == 1)
                    break;
                CHECK_EQ(errno, EAGAIN);
            }
            CHECK(__atomic_add_fetch(running, 1, __ATOMIC_SEQ_CST) <= JOBS);
            sched_yield();
            __atomic_sub_fetch(running, 1, __ATOMIC_SEQ_CST);
            CHECK_EQ(write(p[1], &token, 1), 1);
        });
    }
    for (int i = 0; i < WORK; i++)
        wait_ok(pids[i]);
    int n;
    CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, JOBS);
}

TEST(error_pipe_as_subprocess_uses_it)
{
    int p[2], err;

    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = FORK({
        close(p[0]);
        execl("/no/such/program", "x", NULL);
        err = errno;
        CHECK_EQ(write(p[1], &err, sizeof(err)), sizeof(err));
    });
    close(p[1]);
    CHECK_EQ(read(p[0], &err, sizeof(err)), sizeof(err));
    CHECK_EQ(err, ENOENT);
    close(p[0]);
    wait_ok(pid);
    /* When exec works the pipe closes and says nothing. */
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    pid = FORK({
        close(p[0]);
        execl(gt_self, gt_self, "-xquiet", NULL);
    });
    close(p[1]);
    CHECK_EQ(read(p[0], &err, sizeof(err)), 0);
    wait_ok(pid);
}

ENTRY(quiet)
{
    return 0;
}

TEST(pipeline_as_a_shell_builds_it)
{
    int first[2], second[2], out[2];
    pid_t pids[3];
    char buf[32];
    size_t have = 0;

    CHECK_EQ(pipe(first), 0);
    CHECK_EQ(pipe(second), 0);
    CHECK_EQ(pipe(out), 0);
    pids[0] = FORK({
        CHECK_EQ(dup2(first[1], 1), 1);
        CHECK_EQ(close_range(3, ~0u, 0), 0);
        for (int i = 0; i < 1000; i++)
            CHECK_EQ(write(1, "line\n", 5), 5);
    });
    pids[1] = FORK({
        CHECK_EQ(dup2(first[0], 0), 0);
        CHECK_EQ(dup2(second[1], 1), 1);
        CHECK_EQ(close_range(3, ~0u, 0), 0);
        char block[4096];
        ssize_t n;
        while ((n = read(0, block, sizeof(block))) > 0)
            CHECK_EQ(write(1, block, (size_t)n), n);
    });
    pids[2] = FORK({
        CHECK_EQ(dup2(second[0], 0), 0);
        CHECK_EQ(dup2(out[1], 1), 1);
        CHECK_EQ(close_range(3, ~0u, 0), 0);
        char block[4096];
        int lines = 0;
        ssize_t n;
        while ((n = read(0, block, sizeof(block))) > 0)
            for (ssize_t i = 0; i < n; i++)
                lines += block[i] == '\n';
        int size = snprintf(block, sizeof(block), "%d\n", lines);
        CHECK_EQ(write(1, block, (size_t)size), size);
    });
    for (int i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
    close(out[1]);
    for (ssize_t n; (n = read(out[0], buf + have, sizeof(buf) - have)) > 0;)
        have += (size_t)n;
    CHECK_EQ(have, 5);
    CHECK(memcmp(buf, "1000\n", 5) == 0);
    for (int i = 0; i < 3; i++)
        wait_ok(pids[i]);
}

TEST(head_ends_a_pipeline)
{
    int p[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    pid_t pid = FORK({
        close(p[0]);
        for (;;)
            (void)!write(p[1], "yes\n", 4);
    });
    close(p[1]);
    CHECK_EQ(read(p[0], &c, 1), 1);
    close(p[0]);
    CHECK_KILLED(pid, SIGPIPE);
}

TEST(two_writers_to_one_redirected_file)
{
    pid_t pids[2];
    struct stat st;
    int fd;

    scratch();
    /* One open file shared by inheritance: the offset is common, nothing is overwritten. */
    fd = open("log", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (int i = 0; i < 2; i++) {
        pids[i] = FORK({
            CHECK_EQ(dup2(fd, 1), 1);
            for (int k = 0; k < 500; k++)
                CHECK_EQ(write(1, i ? "bbbb\n" : "aaaa\n", 5), 5);
        });
    }
    for (int i = 0; i < 2; i++)
        wait_ok(pids[i]);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 5000);
    static char text[5001];
    CHECK_EQ(get_file("log", text, sizeof(text)), 5000);
    for (int i = 0; i < 5000; i += 5)
        CHECK(memcmp(text + i, "aaaa\n", 5) == 0 || memcmp(text + i, "bbbb\n", 5) == 0);
}

TEST(following_a_growing_file)
{
    char buf[256] __attribute__((aligned(8)));
    int in, fd, have = 0;

    scratch();
    put_file("log", "");
    in = inotify_init1(0);
    CHECK(inotify_add_watch(in, "log", IN_MODIFY) > 0);
    fd = open("log", O_RDONLY);
    pid_t pid = FORK({
        int w = open("log", O_WRONLY | O_APPEND);

        for (int i = 0; i < 5; i++) {
            CHECK_EQ(write(w, "0123456789", 10), 10);
            gt_msleep(2);
        }
    });
    while (have < 50) {
        ssize_t n;

        CHECK(read(in, buf, sizeof(buf)) > 0);
        while ((n = read(fd, buf, sizeof(buf))) > 0)
            have += (int)n;
    }
    CHECK_EQ(have, 50);
    wait_ok(pid);
}

TEST(here_document_and_process_substitution)
{
    char path[64], buf[32];
    int p[2], fd;

    /* A small document goes through a pipe, a large one through an unlinked file. */
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "document\n", 9), 9);
    close(p[1]);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 9);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 0);
    scratch();
    fd = open("doc", O_WRONLY | O_CREAT | O_EXCL | O_TRUNC, 0600);
    CHECK_EQ(write(fd, "large document", 14), 14);
    int r = open("doc", O_RDONLY);
    CHECK_EQ(unlink("doc"), 0);
    close(fd);
    CHECK_EQ(dup2(r, 0), 0);
    CHECK_EQ(read(0, buf, sizeof(buf)), 14);
    /* <(command) is /dev/fd/63. */
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(dup2(p[0], 63), 63);
    pid_t pid = FORK({ CHECK_EQ(write(p[1], "substituted", 11), 11); });
    close(p[1]);
    (void)snprintf(path, sizeof(path), "/dev/fd/%d", 63);
    fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, buf, sizeof(buf)), 11);
    wait_ok(pid);
}

TEST(stdio_buffers_and_seeks)
{
    char line[64];
    FILE *f;

    scratch();
    f = fopen("f", "w+");
    CHECK(f != NULL);
    for (int i = 0; i < 2000; i++)
        CHECK(fprintf(f, "line %d\n", i) > 0);
    CHECK_EQ(fseek(f, 0, SEEK_SET), 0);
    for (int i = 0; i < 2000; i++) {
        int v = -1;

        CHECK(fgets(line, sizeof(line), f) != NULL);
        CHECK_EQ(sscanf(line, "line %d", &v), 1);
        CHECK_EQ(v, i);
    }
    CHECK(fgets(line, sizeof(line), f) == NULL);
    CHECK_EQ(fseek(f, -9, SEEK_END), 0);
    CHECK(fputs("end", f) >= 0);
    CHECK_EQ(fclose(f), 0);
    f = fopen("f", "a");
    CHECK_EQ(ftell(f) >= 0, 1);
    CHECK(fputs("appended\n", f) >= 0);
    CHECK_EQ(fclose(f), 0);
    f = popen("tail -n 1 f", "r");
    CHECK(f != NULL);
    CHECK(fgets(line, sizeof(line), f) != NULL);
    CHECK_STR(line, "appended\n");
    CHECK_EQ(pclose(f), 0);
}

TEST(temporary_names)
{
    char file[] = "nameXXXXXX", dir[] = "dirXXXXXX";
    struct stat st;
    int fd = (scratch(), mkstemp(file));

    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0600);
    CHECK(mkdtemp(dir) != NULL);
    CHECK_EQ(stat(dir, &st), 0);
    CHECK_EQ(st.st_mode, S_IFDIR | 0700);
    FILE *f = tmpfile();
    CHECK(f != NULL);
    CHECK_EQ(fstat(fileno(f), &st), 0);
    CHECK_EQ(st.st_nlink, 0);
}

TEST(real_paths)
{
    char out[PATH_MAX], want[PATH_MAX];
    const char *top = scratch();

    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("a/b", 0755), 0);
    CHECK_EQ(symlink("a/b", "l"), 0);
    CHECK_EQ(symlink("../../l", "a/b/m"), 0);
    CHECK(realpath("./l/../b/./m/.", out) != NULL);
    (void)snprintf(want, sizeof(want), "%s/a/b", top);
    CHECK_STR(out, want);
    CHECK(realpath("none", out) == NULL);
    CHECK_EQ(errno, ENOENT);
}
