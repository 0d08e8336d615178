/*
 * openat2: the rules of its structure, each RESOLVE_ flag, and that it refuses what open ignores.
 */
#include "scratch.h"

#include <linux/openat2.h>
#include <sys/mman.h>

static int open2(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .resolve = resolve};

    return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

TEST(plain)
{
    struct open_how how = {.flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, .mode = 0640};
    struct stat st;
    int fd;

    scratch();
    fd = (int)syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof(how));
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0640);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof(how)), EEXIST);
    CHECK(open2(AT_FDCWD, "f", O_RDONLY, 0) >= 0);
    CHECK_ERRNO(open2(AT_FDCWD, "none", O_RDONLY, 0), ENOENT);
    CHECK_ERRNO(open2(-1, "f", O_RDONLY, 0), EBADF);
}

TEST(structure_size)
{
    struct {
        struct open_how how;
        uint64_t more[8];
    } big = {.how.flags = O_RDONLY};
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    scratch();
    put_file("f", "");
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &big, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(struct open_how) - 1), EINVAL);
    CHECK(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(struct open_how)) >= 0);
    /* Larger is fine as long as the rest is zero. */
    CHECK(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(struct open_how) + 1) >= 0);
    CHECK(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(big)) >= 0);
    big.more[7] = 1;
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(big)), E2BIG);
    CHECK(syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(big) - 8) >= 0);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", page, 4097), E2BIG);
    CHECK(syscall(SYS_openat2, AT_FDCWD, "f", page, 4096) >= 0);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", (void *)8, sizeof(big.how)), EFAULT);
    /* The rest is read too, and may be missing. */
    CHECK_EQ(munmap(page + 4096, 4096), 0);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", page + 4096 - 24, 32), EFAULT);
}

TEST(unknown_bits_are_refused)
{
    struct open_how how = {.flags = O_RDONLY, .mode = 0600};

    scratch();
    put_file("f", "");
    CHECK_ERRNO(open2(AT_FDCWD, "f", 1ull << 40, 0), EINVAL);
    CHECK_ERRNO(open2(AT_FDCWD, "f", O_RDONLY | 0x40000000, 0), EINVAL);
    CHECK_ERRNO(open2(AT_FDCWD, "f", O_RDONLY, 1ull << 20), EINVAL);
    CHECK_ERRNO(open2(AT_FDCWD, "f", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
    /* A mode without O_CREAT, bits beyond the mode, O_PATH with what it ignores. */
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof(how)), EINVAL);
    how.flags = O_RDWR | O_CREAT;
    how.mode = 0200600;
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof(how)), EINVAL);
    CHECK_ERRNO(open2(AT_FDCWD, "f", O_PATH | O_RDWR, 0), EINVAL);
    CHECK(open2(AT_FDCWD, "f", O_PATH | O_CLOEXEC | O_NOFOLLOW, 0) >= 0);
    CHECK_ERRNO(open2(AT_FDCWD, ".", O_TMPFILE | O_RDONLY, 0), EINVAL);
}

static void tree(void)
{
    char path[PATH_MAX];
    const char *top = scratch();

    CHECK_EQ(mkdir("root", 0755), 0);
    CHECK_EQ(mkdir("root/sub", 0755), 0);
    put_file("root/f", "in");
    put_file("root/sub/g", "deep");
    put_file("outside", "out");
    CHECK_EQ(symlink("f", "root/rel"), 0);
    CHECK_EQ(symlink("../outside", "root/up"), 0);
    CHECK_EQ(symlink("/f", "root/abs"), 0);
    CHECK_EQ(symlink("../f", "root/sub/back"), 0);
    (void)snprintf(path, sizeof(path), "%s/outside", top);
    CHECK_EQ(symlink(path, "root/full"), 0);
}

TEST(beneath)
{
    int dir, fd;

    tree();
    dir = open("root", O_PATH | O_DIRECTORY);
    CHECK((fd = open2(dir, "f", O_RDONLY, RESOLVE_BENEATH)) >= 0);
    CHECK((fd = open2(dir, "sub/g", O_RDONLY, RESOLVE_BENEATH)) >= 0);
    CHECK((fd = open2(dir, "sub/../f", O_RDONLY, RESOLVE_BENEATH)) >= 0);
    CHECK((fd = open2(dir, "sub/back", O_RDONLY, RESOLVE_BENEATH)) >= 0);
    CHECK((fd = open2(dir, "rel", O_RDONLY, RESOLVE_BENEATH)) >= 0);
    CHECK_ERRNO(open2(dir, "../outside", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(open2(dir, "sub/../../outside", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(open2(dir, "up", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(open2(dir, "abs", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(open2(dir, "/", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(open2(dir, "..", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    /* There and back again is refused as well. */
    CHECK_ERRNO(open2(dir, "../root/f", O_RDONLY, RESOLVE_BENEATH), EXDEV);
}

TEST(in_root)
{
    int dir, fd;
    char buf[8];

    tree();
    dir = open("root", O_PATH | O_DIRECTORY);
    CHECK((fd = open2(dir, "/f", O_RDONLY, RESOLVE_IN_ROOT)) >= 0);
    CHECK_EQ(read(fd, buf, 8), 2);
    CHECK((fd = open2(dir, "abs", O_RDONLY, RESOLVE_IN_ROOT)) >= 0);
    CHECK((fd = open2(dir, "../../../f", O_RDONLY, RESOLVE_IN_ROOT)) >= 0);
    CHECK((fd = open2(dir, "..", O_RDONLY, RESOLVE_IN_ROOT)) >= 0);
    CHECK_EQ(openat(fd, "outside", O_RDONLY), -1);
    CHECK_ERRNO(open2(dir, "up", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
    CHECK_ERRNO(open2(dir, "full", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
}

TEST(no_symlinks)
{
    int dir, fd;

    tree();
    dir = open("root", O_PATH | O_DIRECTORY);
    CHECK((fd = open2(dir, "f", O_RDONLY, RESOLVE_NO_SYMLINKS)) >= 0);
    CHECK_ERRNO(open2(dir, "rel", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK_EQ(symlink("sub", "root/subl"), 0);
    CHECK_ERRNO(open2(dir, "subl/g", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK((fd = open2(dir, "rel", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS)) >= 0);
}

TEST(no_magic_links)
{
    char path[64];
    int dir, fd;

    tree();
    dir = open("root", O_PATH | O_DIRECTORY);
    fd = open("root/f", O_RDONLY);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(open2(AT_FDCWD, path, O_RDONLY, 0) >= 0);
    CHECK_ERRNO(open2(AT_FDCWD, path, O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
    CHECK_ERRNO(open2(AT_FDCWD, "/proc/self/cwd/root/f", O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
    /* /proc/self itself is an ordinary link. */
    CHECK(open2(AT_FDCWD, "/proc/self/status", O_RDONLY, RESOLVE_NO_MAGICLINKS) >= 0);
    CHECK_ERRNO(open2(AT_FDCWD, "/proc/self/status", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK(open2(dir, "rel", O_RDONLY, RESOLVE_NO_MAGICLINKS) >= 0);
    CHECK_ERRNO(open2(AT_FDCWD, "/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
}

TEST(no_xdev)
{
    int fd;

    tree();
    CHECK((fd = open2(AT_FDCWD, "root/f", O_RDONLY, RESOLVE_NO_XDEV)) >= 0);
    CHECK_ERRNO(open2(open("/", O_PATH), "proc/version", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
    CHECK(open2(open("/proc", O_PATH), "version", O_RDONLY, RESOLVE_NO_XDEV) >= 0);
    CHECK_ERRNO(open2(open("/proc", O_PATH), "..", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
}

TEST(cached)
{
    int fd;

    tree();
    CHECK((fd = open("root/f", O_RDONLY)) >= 0);
    errno = 0;
    fd = open2(AT_FDCWD, "root/f", O_RDONLY, RESOLVE_CACHED);
    CHECK(fd >= 0 || errno == EAGAIN || errno == EINVAL);
    /* What may have to wait is refused. */
    CHECK_ERRNO(open2(AT_FDCWD, "root/f", O_RDWR | O_TRUNC, RESOLVE_CACHED), EAGAIN);
}
