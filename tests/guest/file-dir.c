/*
 * Directories and names: mkdir, rmdir, mknod, getdents64 (large, changing, seeking), the longest
 * names and paths, chdir, fchdir, getcwd and chroot.
 */
#include "scratch.h"

#include <dirent.h>
#include <sys/sysmacros.h>

struct raw_dirent {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

TEST(mkdir_modes)
{
    static const mode_t modes[] = {0, 0700, 0755, 0777, 01777, 02755};
    struct stat st;

    scratch();
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        umask(027);
        CHECK_EQ(mkdir("d", modes[i]), 0);
        CHECK_EQ(stat("d", &st), 0);
        /* mkdir takes the sticky bit and, on Linux, not the set-id bits. */
        CHECK_EQ(st.st_mode, S_IFDIR | (modes[i] & ~027u & 01777));
        CHECK_EQ(rmdir("d"), 0);
    }
}

TEST(mkdir_errors)
{
    int dir;

    scratch();
    put_file("f", "");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(symlink("none", "l"), 0);
    CHECK_ERRNO(mkdir("d", 0755), EEXIST);
    CHECK_ERRNO(mkdir("f", 0755), EEXIST);
    CHECK_ERRNO(mkdir("l", 0755), EEXIST);
    CHECK_ERRNO(mkdir("/", 0755), EEXIST);
    CHECK_ERRNO(mkdir(".", 0755), EEXIST);
    CHECK_ERRNO(mkdir("d/..", 0755), EEXIST);
    CHECK_ERRNO(mkdir("none/d", 0755), ENOENT);
    CHECK_ERRNO(mkdir("", 0755), ENOENT);
    CHECK_ERRNO(mkdir("f/d", 0755), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_mkdir, (void *)8, 0755), EFAULT);
    CHECK_EQ(mkdir("slash///", 0755), 0);
    dir = open("d", O_RDONLY);
    CHECK_EQ(mkdirat(dir, "in", 0755), 0);
    CHECK_EQ(access("d/in", F_OK), 0);
    CHECK_ERRNO(mkdirat(-1, "in", 0755), EBADF);
}

TEST(rmdir_errors)
{
    scratch();
    put_file("f", "");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(mkdir("d/e", 0755), 0);
    CHECK_EQ(symlink("d/e", "l"), 0);
    CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
    CHECK_ERRNO(rmdir("f"), ENOTDIR);
    CHECK_ERRNO(rmdir("l"), ENOTDIR);
    CHECK_ERRNO(rmdir("none"), ENOENT);
    CHECK_ERRNO(rmdir("d/e/."), EINVAL);
    CHECK_ERRNO(rmdir("d/e/.."), ENOTEMPTY);
    CHECK_ERRNO(rmdir("/"), EBUSY);
    CHECK_ERRNO(unlink("d"), EISDIR);
    CHECK_ERRNO(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
    CHECK_ERRNO(unlinkat(AT_FDCWD, "d", 0), EISDIR);
    CHECK_ERRNO(unlinkat(AT_FDCWD, "d", 0x1000000), EINVAL);
    CHECK_EQ(unlinkat(AT_FDCWD, "d/e", AT_REMOVEDIR), 0);
    CHECK_EQ(rmdir("d/"), 0);
    CHECK_ERRNO(access("d", F_OK), ENOENT);
}

TEST(mknod_types)
{
    struct stat st;

    scratch();
    CHECK_EQ(mknod("reg", S_IFREG | 0640, 0), 0);
    CHECK_EQ(mknod("plain", 0600, 0), 0);
    CHECK_EQ(mknod("fifo", S_IFIFO | 0666, 0), 0);
    CHECK_EQ(mknod("sock", S_IFSOCK | 0600, 0), 0);
    CHECK_EQ(stat("reg", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0640);
    CHECK_EQ(stat("plain", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0600);
    CHECK_EQ(stat("fifo", &st), 0);
    CHECK_EQ(st.st_mode, S_IFIFO | 0644);
    CHECK_EQ(stat("sock", &st), 0);
    CHECK_EQ(st.st_mode, S_IFSOCK | 0600);
    CHECK_ERRNO(mknod("dir", S_IFDIR | 0700, 0), EPERM);
    CHECK_ERRNO(mknod("lnk", S_IFLNK | 0700, 0), EINVAL);
    CHECK_ERRNO(mknod("reg", S_IFREG | 0600, 0), EEXIST);
    CHECK_ERRNO(mknod("none/x", S_IFREG | 0600, 0), ENOENT);
    CHECK_ERRNO(mknod("x/", S_IFREG | 0600, 0), ENOENT);
}

TEST(mknod_device)
{
    struct stat st;
    char c;
    int fd;

    scratch();
    if (mknod("null", S_IFCHR | 0666, makedev(1, 3)) < 0) {
        CHECK_EQ(errno, EPERM);
        SKIP("no device nodes here");
    }
    CHECK_EQ(stat("null", &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, makedev(1, 3));
    fd = open("null", O_RDWR);
    if (fd < 0) {
        CHECK(errno == EACCES || errno == ENXIO);
        SKIP("device nodes cannot be opened on this mount");
    }
    CHECK_EQ(read(fd, &c, 1), 0);
    CHECK_EQ(write(fd, &c, 1), 1);
    CHECK_EQ(mknod("void", S_IFCHR | 0666, makedev(4000, 77)), 0);
    CHECK_ERRNO(open("void", O_RDWR), ENXIO);
}

static void other_mknod(void)
{
    CHECK_ERRNO(mknod("dev", S_IFCHR | 0600, makedev(1, 3)), EPERM);
    CHECK_EQ(mknod("f", S_IFREG | 0600, 0), 0);
    CHECK_EQ(mkfifo("p", 0600), 0);
}

TEST(mknod_needs_privilege)
{
    scratch();
    CHECK_EQ(chmod(".", 0777), 0);
    as_user(OTHER_UID, OTHER_GID, other_mknod);
}

/* Counts entries other than . and .., and requires that each name of the form nNNNNN comes once. */
static int list(const char *path, unsigned char *seen, int limit)
{
    DIR *d = opendir(path);
    int count = 0, dots = 0;
    struct dirent *e;

    CHECK(d != NULL);
    errno = 0;
    while ((e = readdir(d)) != NULL) {
        int n;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            dots++;
            continue;
        }
        count++;
        if (seen == NULL)
            continue;
        CHECK_EQ(sscanf(e->d_name, "n%d", &n), 1);
        CHECK(n >= 0 && n < limit);
        CHECK_EQ(seen[n], 0);
        seen[n] = 1;
    }
    CHECK_EQ(errno, 0);
    CHECK_EQ(dots, 2);
    CHECK_EQ(closedir(d), 0);
    return count;
}

TEST_TIMEOUT(ten_thousand_entries, 120)
{
    enum { COUNT = 10000 };
    static unsigned char seen[COUNT];
    char name[16];

    scratch();
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "n%05d", i);
        CHECK_EQ(mknod(name, S_IFREG | 0600, 0), 0);
    }
    CHECK_EQ(list(".", seen, COUNT), COUNT);
    /* Deleting while reading: everything that is there at the start is seen once, or deleted. */
    DIR *d = opendir(".");
    struct dirent *e;
    int deleted = 0;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] != 'n')
            continue;
        CHECK_EQ(unlink(e->d_name), 0);
        deleted++;
    }
    closedir(d);
    CHECK_EQ(deleted, COUNT);
    CHECK_EQ(list(".", NULL, 0), 0);
}

TEST(getdents_raw)
{
    char buf[1024];
    int fd, total = 0;
    ssize_t n;

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    put_file("d/f", "");
    CHECK_EQ(mkdir("d/sub", 0755), 0);
    CHECK_EQ(symlink("x", "d/l"), 0);
    CHECK_EQ(mkfifo("d/p", 0600), 0);
    fd = open("d", O_RDONLY | O_DIRECTORY);
    while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
        for (ssize_t at = 0; at < n;) {
            struct raw_dirent *e = (void *)(buf + at);
            char path[300];
            struct stat st;

            CHECK(e->reclen % 8 == 0 && e->reclen >= sizeof(*e) + strlen(e->name) + 1 - 5);
            (void)snprintf(path, sizeof(path), "d/%s", e->name);
            CHECK_EQ(lstat(path, &st), 0);
            if (strcmp(e->name, "..") != 0)
                CHECK_EQ(e->ino, st.st_ino);
            CHECK(e->type == DT_UNKNOWN || e->type == IFTODT(st.st_mode));
            at += e->reclen;
            total++;
        }
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(total, 6);
    CHECK_EQ(syscall(SYS_getdents64, fd, buf, sizeof(buf)), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
}

TEST(getdents_errors)
{
    char buf[1024];
    int fd, file;

    scratch();
    put_file("f", "");
    file = open("f", O_RDONLY);
    fd = open(".", O_RDONLY);
    CHECK_ERRNO(syscall(SYS_getdents64, file, buf, sizeof(buf)), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_getdents64, -1, buf, sizeof(buf)), EBADF);
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_getdents64, fd, (void *)8, 1024), EFAULT);
    CHECK_EQ(mkdir("gone", 0755), 0);
    fd = open("gone", O_RDONLY);
    CHECK_EQ(rmdir("gone"), 0);
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, sizeof(buf)), ENOENT);
    fd = open(".", O_PATH);
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, sizeof(buf)), EBADF);
}

TEST(telldir_and_seekdir)
{
    enum { COUNT = 300 };
    static long pos[COUNT + 2];
    static char names[COUNT + 2][16];
    int count = 0;
    struct dirent *e;
    DIR *d;

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    for (int i = 0; i < COUNT; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "d/n%d", i);
        put_file(name, "");
    }
    d = opendir("d");
    for (;;) {
        long at = telldir(d);

        if ((e = readdir(d)) == NULL)
            break;
        CHECK(count < COUNT + 2);
        pos[count] = at;
        (void)snprintf(names[count++], 16, "%.15s", e->d_name);
    }
    CHECK_EQ(count, COUNT + 2);
    for (int i = count - 1; i >= 0; i -= 7) {
        seekdir(d, pos[i]);
        e = readdir(d);
        CHECK(e != NULL && strcmp(e->d_name, names[i]) == 0);
    }
    rewinddir(d);
    e = readdir(d);
    CHECK(e != NULL && strcmp(e->d_name, names[0]) == 0);
    closedir(d);
}

TEST(rewinddir_sees_new_entries)
{
    struct dirent *e;
    bool found = false;
    DIR *d;

    scratch();
    d = opendir(".");
    while (readdir(d) != NULL)
        continue;
    put_file("new", "");
    rewinddir(d);
    while ((e = readdir(d)) != NULL)
        found |= strcmp(e->d_name, "new") == 0;
    CHECK(found);
    closedir(d);
}

TEST(names_of_255_and_256_bytes)
{
    char name[258];
    struct stat st;

    scratch();
    memset(name, 'a', sizeof(name));
    name[255] = '\0';
    put_file(name, "long");
    CHECK_EQ(stat(name, &st), 0);
    CHECK_EQ(list(".", NULL, 0), 1);
    CHECK_EQ(unlink(name), 0);
    CHECK_EQ(mkdir(name, 0755), 0);
    CHECK_EQ(symlink("x", "s"), 0);
    CHECK_EQ(rmdir(name), 0);
    CHECK_EQ(rename("s", name), 0);
    name[255] = 'a';
    name[256] = '\0';
    CHECK_ERRNO(stat(name, &st), ENAMETOOLONG);
    CHECK_ERRNO(mkdir(name, 0755), ENAMETOOLONG);
    CHECK_ERRNO(open(name, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
    CHECK_ERRNO(symlink("x", name), ENAMETOOLONG);
    CHECK_ERRNO(link("s", name), ENOENT);
    CHECK_ERRNO(unlink(name), ENAMETOOLONG);
    CHECK_ERRNO(rmdir(name), ENAMETOOLONG);
    put_file("f", "");
    CHECK_ERRNO(rename("f", name), ENAMETOOLONG);
    CHECK_ERRNO(link("f", name), ENAMETOOLONG);
    CHECK_ERRNO(mknod(name, S_IFREG | 0600, 0), ENAMETOOLONG);
}

TEST(names_are_bytes)
{
    static const char *const names[] = {"\x01", "\xff\xfe", " ",        "a\nb",
                                        "...",  "-",        "\xc3\xa9", "*"};

    scratch();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        put_file(names[i], names[i]);
        CHECK(file_is(names[i], names[i]));
    }
    CHECK_EQ(list(".", NULL, 0), (int)(sizeof(names) / sizeof(names[0])));
    CHECK_ERRNO(access("A", F_OK), ENOENT);
    put_file("case", "");
    CHECK_ERRNO(access("CASE", F_OK), ENOENT);
}

TEST(paths_of_4095_and_4096_bytes)
{
    char path[4100];

    scratch();
    put_file("f", "x");
    /* ./././…f: 4,095 bytes and the terminator are the limit. */
    for (int i = 0; i < 4094; i += 2)
        memcpy(path + i, "./", 2);
    memcpy(path + 4094, "f", 2);
    CHECK_EQ(strlen(path), 4095);
    CHECK_EQ(access(path, F_OK), 0);
    CHECK(open(path, O_RDONLY) >= 0);
    memcpy(path + 4094, "/f", 3);
    CHECK_EQ(strlen(path), 4096);
    CHECK_ERRNO(access(path, F_OK), ENAMETOOLONG);
    CHECK_ERRNO(open(path, O_RDONLY), ENAMETOOLONG);
    CHECK_ERRNO(mkdir(path, 0755), ENAMETOOLONG);
    CHECK_ERRNO(chdir(path), ENAMETOOLONG);
}

TEST(slashes_and_dots)
{
    scratch();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("a/b", 0755), 0);
    put_file("a/b/f", "x");
    CHECK_EQ(access("a//b///f", F_OK), 0);
    CHECK_EQ(access("./a/./b/../b/f", F_OK), 0);
    CHECK_EQ(access("a/b/", F_OK), 0);
    CHECK_EQ(access("a/../a/b/f", F_OK), 0);
    CHECK_EQ(access("/..", F_OK), 0);
    CHECK_EQ(access("/../../tmp/..", F_OK), 0);
    CHECK_ERRNO(access("a/none/../b/f", F_OK), ENOENT);
    CHECK_ERRNO(access("a/b/f/", F_OK), ENOTDIR);
}

TEST(deep_tree)
{
    enum { DEPTH = 300 };
    char cwd[PATH_MAX];
    const char *top = scratch();

    for (int i = 0; i < DEPTH; i++) {
        CHECK_EQ(mkdir("directory1", 0755), 0);
        CHECK_EQ(chdir("directory1"), 0);
    }
    CHECK(getcwd(cwd, sizeof(cwd)) == cwd);
    CHECK_EQ(strlen(cwd), strlen(top) + DEPTH * 11);
    for (int i = 0; i < DEPTH; i++) {
        CHECK_EQ(chdir(".."), 0);
        CHECK_EQ(rmdir("directory1"), 0);
    }
    CHECK(getcwd(cwd, sizeof(cwd)) == cwd);
    CHECK(strcmp(cwd, top) == 0);
}

TEST(chdir_and_getcwd)
{
    const char *top = scratch();
    char buf[PATH_MAX], want[PATH_MAX + 8];
    int fd;

    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(symlink("d", "l"), 0);
    put_file("f", "");
    CHECK_EQ(chdir("l"), 0);
    (void)snprintf(want, sizeof(want), "%s/d", top);
    CHECK(getcwd(buf, sizeof(buf)) != NULL);
    CHECK(strcmp(buf, want) == 0);
    CHECK_EQ(syscall(SYS_getcwd, buf, sizeof(buf)), (long)strlen(want) + 1);
    CHECK_ERRNO(syscall(SYS_getcwd, buf, strlen(want)), ERANGE);
    CHECK_EQ(syscall(SYS_getcwd, buf, strlen(want) + 1), (long)strlen(want) + 1);
    CHECK_ERRNO(syscall(SYS_getcwd, (void *)8, 4096), EFAULT);
    CHECK_EQ(chdir(".."), 0);
    CHECK_ERRNO(chdir("f"), ENOTDIR);
    CHECK_ERRNO(chdir("none"), ENOENT);
    CHECK_ERRNO(chdir(""), ENOENT);
    CHECK((fd = open("d", O_RDONLY)) >= 0);
    CHECK_EQ(fchdir(fd), 0);
    CHECK(getcwd(buf, sizeof(buf)) != NULL && strcmp(buf, want) == 0);
    CHECK((fd = open("../f", O_RDONLY)) >= 0);
    CHECK_ERRNO(fchdir(fd), ENOTDIR);
    CHECK_ERRNO(fchdir(-1), EBADF);
    /* The name follows a rename. */
    CHECK_EQ(rename("../d", "../e"), 0);
    (void)snprintf(want, sizeof(want), "%s/e", top);
    CHECK(getcwd(buf, sizeof(buf)) != NULL && strcmp(buf, want) == 0);
}

TEST(deleted_working_directory)
{
    char buf[PATH_MAX], want[PATH_MAX + 16];
    const char *top = scratch();
    ssize_t n;

    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(chdir("d"), 0);
    CHECK_EQ(rmdir("../d"), 0);
    CHECK_ERRNO(syscall(SYS_getcwd, buf, sizeof(buf)), ENOENT);
    CHECK_ERRNO(open("f", O_CREAT | O_RDWR, 0600), ENOENT);
    CHECK_ERRNO(mkdir("f", 0700), ENOENT);
    CHECK_EQ(access(".", F_OK), 0);
    n = readlink("/proc/self/cwd", buf, sizeof(buf) - 1);
    CHECK(n > 0);
    buf[n] = '\0';
    (void)snprintf(want, sizeof(want), "%s/d (deleted)", top);
    CHECK(strcmp(buf, want) == 0);
    CHECK_EQ(chdir(".."), 0);
    CHECK(getcwd(buf, sizeof(buf)) != NULL && strcmp(buf, top) == 0);
}

TEST(cwd_is_per_process_and_inherited)
{
    char buf[PATH_MAX];
    const char *top = scratch();

    CHECK_EQ(mkdir("d", 0755), 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(getcwd(buf, sizeof(buf)) != NULL && strcmp(buf, top) == 0);
        CHECK_EQ(chdir("d"), 0);
        _exit(0);
    }
    wait_ok(pid);
    CHECK(getcwd(buf, sizeof(buf)) != NULL && strcmp(buf, top) == 0);
}

static void inside_chroot(void)
{
    char buf[PATH_MAX];
    struct stat root, up;

    CHECK_EQ(chroot("jail"), 0);
    /* chroot leaves the working directory, which is now outside of the root. */
    CHECK_EQ(access("jail", F_OK), 0);
    CHECK(syscall(SYS_getcwd, buf, sizeof(buf)) > 0);
    CHECK(strncmp(buf, "(unreachable)", 13) == 0);
    CHECK_EQ(chdir("/"), 0);
    CHECK(getcwd(buf, sizeof(buf)) != NULL && strcmp(buf, "/") == 0);
    CHECK_EQ(access("/in", F_OK), 0);
    CHECK_EQ(access("/../../in", F_OK), 0);
    CHECK_EQ(stat("/", &root), 0);
    CHECK_EQ(stat("/..", &up), 0);
    CHECK_EQ(root.st_ino, up.st_ino);
    /* An absolute link starts at the new root. */
    CHECK_EQ(access("/abs", F_OK), 0);
    CHECK_ERRNO(access("/etc", F_OK), ENOENT);
}

TEST(chroot_basics)
{
    scratch();
    CHECK_EQ(mkdir("jail", 0755), 0);
    put_file("jail/in", "");
    CHECK_EQ(symlink("/in", "jail/abs"), 0);
    CHECK_ERRNO(chroot("none"), ENOENT);
    CHECK_ERRNO(chroot("jail/in"), ENOTDIR);
    in_child(inside_chroot);
}

static void other_chroots(void)
{
    CHECK_ERRNO(chroot("."), EPERM);
}

TEST(chroot_needs_privilege)
{
    scratch();
    as_user(OTHER_UID, OTHER_GID, other_chroots);
}

TEST(directory_times)
{
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct stat st;

    scratch();
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "d", old, 0), 0);
    put_file("d/f", "");
    CHECK_EQ(stat("d", &st), 0);
    CHECK(st.st_mtim.tv_sec > 1000);
    CHECK_EQ(utimensat(AT_FDCWD, "d", old, 0), 0);
    put_file("d/f", "again");
    CHECK_EQ(stat("d", &st), 0);
    CHECK_EQ(st.st_mtim.tv_sec, 1000);
    CHECK_EQ(unlink("d/f"), 0);
    CHECK_EQ(stat("d", &st), 0);
    CHECK(st.st_mtim.tv_sec > 1000);
}
