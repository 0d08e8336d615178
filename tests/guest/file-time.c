/*
 * Time stamps: which of the three each operation changes on the object and on its directory, and
 * the setting of them at the limits.
 */
#include "scratch.h"

#include <sys/mman.h>
#include <sys/xattr.h>

static const struct timespec past[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};

/* Which of atime (1), mtime (2), ctime (4) differ. */
enum { A = 1, M = 2, C = 4 };

static struct stat before_file, before_dir;

static void arm(const char *path)
{
    CHECK_EQ(utimensat(AT_FDCWD, path, past, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_EQ(utimensat(AT_FDCWD, ".", past, 0), 0);
    CHECK_EQ(lstat(path, &before_file), 0);
    CHECK_EQ(lstat(".", &before_dir), 0);
    /* Let the coarse clock tick, so that the next change shows. */
    gt_msleep(12);
}

static bool differ(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

static int changed(const struct stat *a, const char *path)
{
    struct stat b;

    CHECK_EQ(lstat(path, &b), 0);
    return (differ(a->st_atim, b.st_atim) ? A : 0) | (differ(a->st_mtim, b.st_mtim) ? M : 0) |
           (differ(a->st_ctim, b.st_ctim) ? C : 0);
}

#define CHANGED(path, file, dir)                               \
    do {                                                       \
        CHECK_EQ(changed(&before_file, path) & (M | C), file); \
        CHECK_EQ(changed(&before_dir, ".") & (M | C), dir);    \
    } while (0)

TEST(creation_sets_all_three)
{
    struct timespec now;
    struct stat st;

    scratch();
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
    put_file("f", "");
    CHECK_EQ(stat("f", &st), 0);
    CHECK(labs((long)(st.st_mtim.tv_sec - now.tv_sec)) <= 5);
    CHECK(labs((long)(st.st_ctim.tv_sec - now.tv_sec)) <= 5);
    CHECK(labs((long)(st.st_atim.tv_sec - now.tv_sec)) <= 5);
    struct statx sx;
    CHECK_EQ(statx(AT_FDCWD, "f", 0, STATX_BTIME, &sx), 0);
    if (sx.stx_mask & STATX_BTIME)
        CHECK(llabs(sx.stx_btime.tv_sec - now.tv_sec) <= 5);
}

TEST(data_operations)
{
    int fd;

    scratch();
    put_file("f", "0123456789");
    fd = open("f", O_RDWR);
    arm("f");
    CHECK_EQ(write(fd, "x", 1), 1);
    CHANGED("f", M | C, 0);
    arm("f");
    CHECK_EQ(ftruncate(fd, 5), 0);
    CHANGED("f", M | C, 0);
    arm("f");
    CHECK_EQ(truncate("f", 50), 0);
    CHANGED("f", M | C, 0);
    arm("f");
    close(open("f", O_WRONLY | O_TRUNC));
    CHANGED("f", M | C, 0);
    arm("f");
    close(open("f", O_RDWR));
    CHANGED("f", 0, 0);
    arm("f");
    CHECK_EQ(write(fd, "", 0), 0);
    CHANGED("f", 0, 0);
    arm("f");
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHANGED("f", 0, 0);
}

TEST(status_operations)
{
    scratch();
    put_file("f", "x");
    arm("f");
    CHECK_EQ(chmod("f", 0600), 0);
    CHANGED("f", C, 0);
    arm("f");
    CHECK_EQ(chown("f", 1, 1), 0);
    CHANGED("f", C, 0);
    arm("f");
    CHECK_EQ(link("f", "g"), 0);
    CHANGED("f", C, M | C);
    arm("f");
    CHECK_EQ(unlink("g"), 0);
    CHANGED("f", C, M | C);
    arm("f");
    CHECK_EQ(rename("f", "h"), 0);
    CHECK_EQ(changed(&before_dir, ".") & (M | C), M | C);
    CHECK_EQ(changed(&before_file, "h") & M, 0);
    arm("h");
    CHECK_EQ(access("h", R_OK), 0);
    CHANGED("h", 0, 0);
}

TEST(directory_operations)
{
    scratch();
    put_file("f", "");
    arm("f");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHANGED("f", 0, M | C);
    arm("f");
    CHECK_EQ(rmdir("d"), 0);
    CHANGED("f", 0, M | C);
    arm("f");
    CHECK_EQ(symlink("x", "l"), 0);
    CHANGED("f", 0, M | C);
    arm("f");
    CHECK_EQ(mkfifo("p", 0600), 0);
    CHANGED("f", 0, M | C);
    arm("f");
    CHECK_ERRNO(mkdir("f", 0755), EEXIST);
    CHECK_ERRNO(unlink("none"), ENOENT);
    CHANGED("f", 0, 0);
}

TEST(reading_sets_the_access_time)
{
    char c;
    int fd;

    scratch();
    put_file("f", "x");
    arm("f");
    fd = open("f", O_RDONLY);
    CHECK_EQ(changed(&before_file, "f") & A, 0);
    CHECK_EQ(read(fd, &c, 1), 1);
    struct stat st;
    CHECK_EQ(stat("f", &st), 0);
    /* relatime: an access time older than the modification time, or than a day, is renewed. */
    CHECK(st.st_atim.tv_sec > 1000000 || st.st_atim.tv_sec == 1000000);
    CHECK_EQ(changed(&before_file, "f") & (M | C), 0);
}

TEST(shared_mapping_writes)
{
    int fd;
    char *p;

    scratch();
    put_file("f", "0123456789");
    fd = open("f", O_RDWR);
    arm("f");
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    p[0] = 'm';
    CHECK_EQ(msync(p, 4096, MS_SYNC), 0);
    CHECK_EQ(munmap(p, 4096), 0);
    CHECK_EQ(fsync(fd), 0);
    CHECK(file_is("f", "m123456789"));
}

TEST(extreme_values)
{
    static const struct timespec values[] = {{.tv_sec = 0, .tv_nsec = 0},
                                             {.tv_sec = 0, .tv_nsec = 1},
                                             {.tv_sec = -1, .tv_nsec = 0},
                                             {.tv_sec = -1, .tv_nsec = 999999999},
                                             {.tv_sec = INT32_MAX, .tv_nsec = 999999999},
                                             {.tv_sec = 1ll << 32, .tv_nsec = 5},
                                             {.tv_sec = INT32_MIN, .tv_nsec = 0}};
    struct stat st;

    scratch();
    put_file("f", "");
    for (size_t i = 0; i < GT_COUNT(values); i++) {
        struct timespec t[2] = {values[i], values[i]};

        CHECK_EQ(utimensat(AT_FDCWD, "f", t, 0), 0);
        CHECK_EQ(stat("f", &st), 0);
        CHECK_EQ(st.st_mtim.tv_sec, values[i].tv_sec);
        CHECK_EQ(st.st_mtim.tv_nsec, values[i].tv_nsec);
        CHECK_EQ(st.st_atim.tv_sec, values[i].tv_sec);
    }
}

TEST(stamps_never_go_back)
{
    struct stat a, b;

    scratch();
    put_file("f", "");
    CHECK_EQ(stat("f", &a), 0);
    for (int i = 0; i < 200; i++) {
        put_file("f", "x");
        CHECK_EQ(stat("f", &b), 0);
        CHECK(b.st_mtim.tv_sec > a.st_mtim.tv_sec ||
              (b.st_mtim.tv_sec == a.st_mtim.tv_sec && b.st_mtim.tv_nsec >= a.st_mtim.tv_nsec));
        a = b;
    }
}

TEST(order_between_files)
{
    struct stat a, b;

    scratch();
    /* make depends on this: what is written later is not older. */
    put_file("source", "");
    gt_msleep(15);
    put_file("object", "");
    CHECK_EQ(stat("source", &a), 0);
    CHECK_EQ(stat("object", &b), 0);
    CHECK(b.st_mtim.tv_sec > a.st_mtim.tv_sec || b.st_mtim.tv_nsec > a.st_mtim.tv_nsec);
}
