// The file layer over tmpfs: names, the cache, walking with and without locks, mounts, reading directories, contents.
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>

#include "kernel/kernel-start.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/memfile.h"
#include "sandbox/boot-spec.h"
#include "unit.h"
#include "vfs/vfs-int.h"

// The tables of types refer to file systems weakly: this links the ones under test.
extern const struct super_ops tmpfs_super_ops;
extern const struct inode_ops tmpfs_dir_inode_ops, tmpfs_reg_inode_ops;
const void *const linked[] = {&tmpfs_super_ops, &tmpfs_dir_inode_ops, &tmpfs_reg_inode_ops};

// What the end of tasks calls in layers above; no task ends here.
__attribute__((weak)) void sem_undo_exit(struct task *t)
{
}
__attribute__((weak)) void tty_session_leader_exit_locked(struct session *s)
{
}

static struct task *task;

static void memory_file(struct kernel *k)
{
    int fd = memfd_create("memory", 0);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    assert_int_equal(memfile_init(&k->memfile, fd, open(path, O_RDONLY), 64 << 20), 0);
}

static struct task *make_task(struct cred *cred)
{
    struct task *t = kmalloc(sizeof(*t));
    t->group = kmalloc(sizeof(*t->group));
    t->kernel = the_kernel();
    lock_init(&t->lock, LOCK_RANK_TASK);
    for (int i = 0; i < RLIMIT_COUNT; i++)
        t->group->limits[i] = (struct rlimit_value){UINT64_MAX, UINT64_MAX};
    t->cred = cred;
    assert_int_equal(vfs_init_task(t), 0);
    return t;
}

static int setup(void **state)
{
    static struct boot_spec spec = {.id = "test", .hostname = "h", .domainname = "", .umask = 022};
    struct kernel *k;
    if (setup_arena(state) < 0 || kernel_create(&spec, &k) < 0)
        return -1;
    k->memory_limit = 256 << 20;
    memory_file(k);
    if (vfs_init(k) < 0)
        return -1;
    struct cred *c = cred_copy(k->vfs->kernel_cred);
    task = make_task(c);
    return 0;
}

// ---- Helpers: calls as the system calls make them ----

static int lookup(const char *name, uint32_t flags, struct path *p)
{
    return path_lookup(task, AT_FDCWD, name, flags, p);
}

static int exists(const char *name)
{
    struct path p;
    int r = lookup(name, 0, &p);
    if (r == 0)
        path_put(&p);
    return r;
}

static int with_parent(const char *name,
                       int (*f)(const struct path *, const struct last_component *, void *),
                       void *arg)
{
    char copy[VFS_PATH_MAX];
    struct path dir;
    struct last_component last;
    snprintf(copy, sizeof(copy), "%s", name);
    int r = path_lookup_parent(task, AT_FDCWD, copy, 0, &dir, &last);
    if (r < 0)
        return r;
    r = f(&dir, &last, arg);
    path_put(&dir);
    return r;
}

static int do_mkdir(const struct path *dir, const struct last_component *last, void *arg)
{
    return vfs_mkdir(task, dir, last, 0755);
}
static int do_unlink(const struct path *dir, const struct last_component *last, void *arg)
{
    return vfs_unlink(task, dir, last);
}
static int do_rmdir(const struct path *dir, const struct last_component *last, void *arg)
{
    return vfs_rmdir(task, dir, last);
}
static int do_symlink(const struct path *dir, const struct last_component *last, void *arg)
{
    return vfs_symlink(task, dir, last, arg);
}
static int make_dir(const char *name)
{
    return with_parent(name, do_mkdir, NULL);
}
static int unlink_name(const char *name)
{
    return with_parent(name, do_unlink, NULL);
}
static int remove_dir(const char *name)
{
    return with_parent(name, do_rmdir, NULL);
}
static int link_to(const char *target, const char *name)
{
    return with_parent(name, do_symlink, (void *)target);
}

static int rename_name(const char *old, const char *new, uint32_t flags)
{
    char a[VFS_PATH_MAX], b[VFS_PATH_MAX];
    struct path from, to;
    struct last_component x, y;
    snprintf(a, sizeof(a), "%s", old);
    snprintf(b, sizeof(b), "%s", new);
    int r = path_lookup_parent(task, AT_FDCWD, a, 0, &from, &x);
    if (r < 0)
        return r;
    r = path_lookup_parent(task, AT_FDCWD, b, 0, &to, &y);
    if (r == 0) {
        r = vfs_rename(task, &from, &x, &to, &y, flags);
        path_put(&to);
    }
    path_put(&from);
    return r;
}

static int put_file(const char *name, const char *text)
{
    struct file *f;
    int r = file_open_path(task, AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, 0644, 0, &f);
    if (r < 0)
        return r;
    int64_t n = file_write_kernel(f, text, strlen(text), 0);
    file_unref(f);
    return n == (int64_t)strlen(text) ? 0 : (int)n;
}

static void expect_text(const char *name, const char *text)
{
    char buf[256];
    struct file *f;
    assert_int_equal(file_open_path(task, AT_FDCWD, name, O_RDONLY, 0, 0, &f), 0);
    int64_t n = file_read_kernel(f, buf, sizeof(buf), 0);
    file_unref(f);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, (size_t)n);
}

// ---- Tests ----

static void test_names(void **state)
{
    assert_int_equal(make_dir("/n"), 0);
    assert_int_equal(make_dir("/n"), -EEXIST);
    assert_int_equal(exists("/n/f"), -ENOENT);
    assert_int_equal(put_file("/n/f", "one"), 0);
    assert_int_equal(exists("/n/f"), 0);
    assert_int_equal(exists("/n/f/"), -ENOTDIR);
    assert_int_equal(exists("/n/f/x"), -ENOTDIR);
    assert_int_equal(exists("/n//./f"), 0);
    assert_int_equal(exists("/n/../n/f"), 0);
    assert_int_equal(exists("/../../n/f"), 0);
    assert_int_equal(remove_dir("/n"), -ENOTEMPTY);
    assert_int_equal(remove_dir("/n/f"), -ENOTDIR);
    assert_int_equal(unlink_name("/n"), -EISDIR);
    assert_int_equal(unlink_name("/n/f"), 0);
    assert_int_equal(exists("/n/f"), -ENOENT);
    assert_int_equal(unlink_name("/n/f"), -ENOENT);
    assert_int_equal(remove_dir("/n"), 0);
    assert_int_equal(exists("/n"), -ENOENT);
    assert_int_equal(exists(""), -ENOENT);
}

static void test_long_names(void **state)
{
    char name[300] = "/";
    memset(name + 1, 'x', 255);
    assert_int_equal(put_file(name, "long"), 0);
    expect_text(name, "long");
    assert_int_equal(rename_name(name, "/short", 0), 0);
    expect_text("/short", "long");
    assert_int_equal(rename_name("/short", name, 0), 0);
    expect_text(name, "long");
    assert_int_equal(unlink_name(name), 0);
    name[256] = 'x';
    assert_int_equal(put_file(name, "long"), -ENAMETOOLONG);
    assert_int_equal(exists(name), -ENAMETOOLONG);
}

static void test_symlinks(void **state)
{
    assert_int_equal(make_dir("/s"), 0);
    assert_int_equal(put_file("/s/f", "target"), 0);
    assert_int_equal(link_to("f", "/s/rel"), 0);
    assert_int_equal(link_to("/s/f", "/s/abs"), 0);
    assert_int_equal(link_to("../s", "/s/dir"), 0);
    assert_int_equal(link_to("loop", "/s/loop"), 0);
    assert_int_equal(link_to("none", "/s/dangling"), 0);
    expect_text("/s/rel", "target");
    expect_text("/s/abs", "target");
    expect_text("/s/dir/dir/dir/rel", "target");
    struct path p;
    assert_int_equal(lookup("/s/loop", LOOKUP_FOLLOW, &p), -ELOOP);
    assert_int_equal(lookup("/s/dangling", LOOKUP_FOLLOW, &p), -ENOENT);
    assert_int_equal(lookup("/s/rel", LOOKUP_FOLLOW | LOOKUP_NO_SYMLINKS, &p), -ELOOP);
    assert_int_equal(exists("/s/loop"), 0);
    // O_CREAT goes through a link that leads nowhere; O_EXCL doesn't.
    struct file *f;
    assert_int_equal(
        file_open_path(task, AT_FDCWD, "/s/dangling", O_CREAT | O_EXCL | O_RDWR, 0600, 0, &f),
        -EEXIST);
    assert_int_equal(file_open_path(task, AT_FDCWD, "/s/rel", O_RDONLY | O_NOFOLLOW, 0, 0, &f),
                     -ELOOP);
    assert_int_equal(put_file("/s/dangling", "made"), 0);
    expect_text("/s/none", "made");
    // 40 links are followed, 41 are not.
    char name[64], target[64];
    for (int i = 1; i <= 41; i++) {
        snprintf(name, sizeof(name), "/s/c%d", i);
        snprintf(target, sizeof(target), i == 1 ? "f" : "c%d", i - 1);
        assert_int_equal(link_to(target, name), 0);
    }
    assert_int_equal(lookup("/s/c40", LOOKUP_FOLLOW, &p), 0);
    path_put(&p);
    assert_int_equal(lookup("/s/c41", LOOKUP_FOLLOW, &p), -ELOOP);
}

static void test_scoped(void **state)
{
    struct path p;
    assert_int_equal(make_dir("/sc"), 0);
    assert_int_equal(make_dir("/sc/in"), 0);
    assert_int_equal(put_file("/sc/in/f", "x"), 0);
    assert_int_equal(link_to("/in/f", "/sc/abs"), 0);
    struct file *d;
    assert_int_equal(file_open_path(task, AT_FDCWD, "/sc", O_RDONLY | O_DIRECTORY, 0, 0, &d), 0);
    int fd = fd_install(task, d, false, 0);
    assert_true(fd >= 0);
    assert_int_equal(path_lookup(task, fd, "in/../in/f", LOOKUP_BENEATH, &p), 0);
    path_put(&p);
    assert_int_equal(path_lookup(task, fd, "../sc", LOOKUP_BENEATH, &p), -EXDEV);
    assert_int_equal(path_lookup(task, fd, "/sc", LOOKUP_BENEATH, &p), -EXDEV);
    assert_int_equal(path_lookup(task, fd, "abs", LOOKUP_BENEATH | LOOKUP_FOLLOW, &p), -EXDEV);
    assert_int_equal(path_lookup(task, fd, "abs", LOOKUP_IN_ROOT | LOOKUP_FOLLOW, &p), 0);
    path_put(&p);
    assert_int_equal(path_lookup(task, fd, "../../in/f", LOOKUP_IN_ROOT, &p), 0);
    path_put(&p);
    assert_int_equal(fd_close(task, fd), 0);
    assert_int_equal(fd_close(task, fd), -EBADF);
}

static void test_rename(void **state)
{
    assert_int_equal(make_dir("/r"), 0);
    assert_int_equal(make_dir("/r/a"), 0);
    assert_int_equal(make_dir("/r/b"), 0);
    assert_int_equal(put_file("/r/a/f", "f"), 0);
    assert_int_equal(put_file("/r/g", "g"), 0);
    assert_int_equal(rename_name("/r/a", "/r/a/x", 0), -EINVAL);
    assert_int_equal(rename_name("/r/b", "/r/a", 0), -ENOTEMPTY);
    assert_int_equal(rename_name("/r/g", "/r/a", 0), -EISDIR);
    assert_int_equal(rename_name("/r/a", "/r/g", 0), -ENOTDIR);
    assert_int_equal(rename_name("/r/g", "/r/a/f", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_name("/r/a", "/r/b", 0), 0);
    expect_text("/r/b/f", "f");
    assert_int_equal(exists("/r/a"), -ENOENT);
    assert_int_equal(rename_name("/r/g", "/r/b/f", RENAME_EXCHANGE), 0);
    expect_text("/r/b/f", "g");
    expect_text("/r/g", "f");
    assert_int_equal(rename_name("/r/g", "/r/b", RENAME_EXCHANGE), 0);
    expect_text("/r/g/f", "g");
    expect_text("/r/b", "f");
    assert_int_equal(rename_name("/r/b", "/r/g/f", 0), 0);
    expect_text("/r/g/f", "f");
    struct path p;
    assert_int_equal(lookup("/r", 0, &p), 0);
    assert_int_equal(p.dentry->inode->nlink, 3);
    path_put(&p);
}

static void test_text(void **state)
{
    char buf[VFS_PATH_MAX];
    struct path p;
    assert_int_equal(make_dir("/t"), 0);
    assert_int_equal(put_file("/t/file", "x"), 0);
    assert_int_equal(lookup("/t/file", 0, &p), 0);
    int64_t n = path_to_text(task, &p, buf, sizeof(buf));
    assert_int_equal(n, 7);
    assert_memory_equal(buf, "/t/file", 7);
    assert_int_equal(path_to_text(task, &p, buf, 4), -ENAMETOOLONG);
    assert_int_equal(unlink_name("/t/file"), 0);
    n = path_to_text(task, &p, buf, sizeof(buf));
    assert_int_equal(n, 17);
    assert_memory_equal(buf, "/t/file (deleted)", 17);
    path_put(&p);
}

static int mount_tmpfs(const char *where, const char *options)
{
    struct path p;
    int r = lookup(where, LOOKUP_FOLLOW, &p);
    if (r < 0)
        return r;
    r = do_mount(task, "none", &p, "tmpfs", 0, options);
    path_put(&p);
    return r;
}

static int unmount(const char *where, int flags)
{
    struct path p;
    int r = lookup(where, LOOKUP_FOLLOW, &p);
    if (r < 0)
        return r;
    r = do_umount(task, &p, flags);
    path_put(&p);
    return r;
}

static void test_mounts(void **state)
{
    assert_int_equal(make_dir("/m"), 0);
    assert_int_equal(put_file("/m/below", "below"), 0);
    assert_int_equal(mount_tmpfs("/m", "size=64k,nr_inodes=5,mode=700"), 0);
    assert_int_equal(exists("/m/below"), -ENOENT);
    assert_int_equal(put_file("/m/above", "above"), 0);
    assert_int_equal(exists("/m/../m/above"), 0);
    assert_int_equal(remove_dir("/m"), -EBUSY);
    assert_int_equal(rename_name("/m", "/m2", 0), -EBUSY);
    assert_int_equal(rename_name("/m/above", "/above", 0), -EXDEV);
    // Two deep, and one over the other.
    assert_int_equal(mount_tmpfs("/m", ""), 0);
    assert_int_equal(exists("/m/above"), -ENOENT);
    assert_int_equal(unmount("/m", 0), 0);
    expect_text("/m/above", "above");
    struct file *f;
    assert_int_equal(file_open_path(task, AT_FDCWD, "/m/above", O_RDONLY, 0, 0, &f), 0);
    assert_int_equal(unmount("/m", 0), -EBUSY);
    assert_int_equal(unmount("/m", MNT_DETACH), 0);
    expect_text("/m/below", "below");
    char buf[8];
    assert_int_equal(file_read_kernel(f, buf, sizeof(buf), 0), 5);
    file_unref(f);
    assert_int_equal(unmount("/m", 0), -EINVAL);
    assert_int_equal(unlink_name("/m/below"), 0);
    assert_int_equal(remove_dir("/m"), 0);
}

static void test_mount_tables(void **state)
{
    struct strbuf text = {0};
    struct path p;
    assert_int_equal(make_dir("/a b"), 0);
    assert_int_equal(make_dir("/bound"), 0);
    assert_int_equal(mount_tmpfs("/a b", "size=64k,mode=700"), 0);
    assert_int_equal(make_dir("/a b/sub"), 0);
    assert_int_equal(make_dir("/a b/sub/m"), 0);
    assert_int_equal(mount_tmpfs("/a b/sub/m", ""), 0);
    assert_int_equal(put_file("/a b/sub/m/f", "deep"), 0);
    assert_int_equal(lookup("/bound", 0, &p), 0);
    assert_int_equal(do_mount(task, "/a b/sub", &p, NULL, MS_BIND | MS_REC, NULL), 0);
    path_put(&p);
    expect_text("/bound/m/f", "deep");
    assert_int_equal(lookup("/bound", 0, &p), 0);
    assert_int_equal(
        do_mount(task, NULL, &p, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL), 0);
    path_put(&p);
    assert_int_equal(make_dir("/bound/x"), -EROFS);
    assert_int_equal(make_dir("/a b/sub/x"), 0);
    mounts_show(task->fs, &text);
    assert_non_null(strstr(text.data, "none /a\\040b tmpfs rw,relatime,size=64k,nr_inodes="));
    assert_non_null(strstr(text.data, "none /bound tmpfs ro,nosuid,relatime,size=64k"));
    assert_non_null(strstr(text.data, " /bound/m tmpfs rw,relatime"));
    strbuf_done(&text);
    text = (struct strbuf){0};
    mountinfo_show(task->fs, &text);
    assert_non_null(strstr(text.data, " /sub /bound ro,nosuid,relatime - tmpfs none rw,size=64k"));
    strbuf_done(&text);
    // A mount moves with what is mounted on it.
    assert_int_equal(make_dir("/moved"), 0);
    assert_int_equal(lookup("/moved", 0, &p), 0);
    assert_int_equal(do_mount(task, "/bound", &p, NULL, MS_MOVE, NULL), 0);
    path_put(&p);
    expect_text("/moved/m/f", "deep");
    assert_int_equal(exists("/bound/m"), -ENOENT);
    assert_int_equal(unmount("/moved", 0), -EBUSY);
    assert_int_equal(unmount("/moved", MNT_DETACH), 0);
    assert_int_equal(unmount("/a b", MNT_DETACH), 0);
}

static void test_pivot(void **state)
{
    struct path new_root, put_old;
    assert_int_equal(make_dir("/root"), 0);
    assert_int_equal(mount_tmpfs("/root", ""), 0);
    assert_int_equal(make_dir("/root/old"), 0);
    assert_int_equal(put_file("/root/here", "new"), 0);
    assert_int_equal(lookup("/root", 0, &new_root), 0);
    assert_int_equal(lookup("/root/old", 0, &put_old), 0);
    assert_int_equal(do_pivot_root(task, &put_old, &put_old), -EINVAL);
    assert_int_equal(do_pivot_root(task, &new_root, &put_old), 0);
    path_put(&put_old);
    // No task is in the kernel's list here, so the test moves its own root.
    fs_set_root(task->fs, &new_root);
    fs_set_cwd(task->fs, &new_root);
    path_put(&new_root);
    expect_text("/here", "new");
    expect_text("/old/root/../../here", "new");
    assert_int_equal(exists("/old/usr/lib"), 0);
    assert_int_equal(exists("/../here"), 0);
    assert_int_equal(unmount("/old", MNT_DETACH), 0);
    assert_int_equal(exists("/old/usr"), -ENOENT);
}

static void test_limits(void **state)
{
    char block[4096] = "x", name[32];
    struct file *f;
    int made = 0, r = 0;
    assert_int_equal(make_dir("/l"), 0);
    assert_int_equal(mount_tmpfs("/l", "size=64k,nr_inodes=5"), 0);
    for (; made < 10 && r == 0; made++) {
        snprintf(name, sizeof(name), "/l/%d", made);
        r = put_file(name, "");
    }
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(made, 5); // four beside the root
    assert_int_equal(file_open_path(task, AT_FDCWD, "/l/0", O_RDWR, 0, 0, &f), 0);
    int64_t n = 0, total = 0;
    while ((n = file_write_kernel(f, block, sizeof(block), (uint64_t)total)) > 0)
        total += n;
    assert_int_equal(n, -ENOSPC);
    assert_int_equal(total, 65536);
    // Written again in place it needs nothing; truncated, it gives back.
    assert_int_equal(file_write_kernel(f, block, sizeof(block), 0), 4096);
    assert_int_equal(file_truncate(f, 4096), 0);
    assert_int_equal(file_write_kernel(f, block, sizeof(block), 4096), 4096);
    file_unref(f);
    assert_int_equal(unmount("/l", 0), 0);
}

static void test_contents(void **state)
{
    struct file *f;
    static char big[600000], back[600000];
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 7 + i / 251);
    assert_int_equal(file_open_path(task, AT_FDCWD, "/c", O_CREAT | O_RDWR, 0600, 0, &f), 0);
    // Through the move from a small window to a large one.
    for (size_t at = 0; at < sizeof(big); at += 1000)
        assert_int_equal(file_write_kernel(f, big + at, 1000, at), 1000);
    assert_int_equal(file_read_kernel(f, back, sizeof(back), 0), sizeof(back));
    assert_memory_equal(big, back, sizeof(big));
    assert_int_equal(file_truncate(f, 1000), 0);
    assert_int_equal(file_truncate(f, 3000), 0);
    assert_int_equal(file_read_kernel(f, back, sizeof(back), 0), 3000);
    assert_memory_equal(big, back, 1000);
    for (int i = 1000; i < 3000; i++)
        assert_int_equal(back[i], 0);
    // Sparse, far beyond 4 GiB.
    assert_int_equal(file_write_kernel(f, "end", 3, 5ull << 32), 3);
    assert_int_equal(f->inode->size, (5ull << 32) + 3);
    assert_int_equal(file_read_kernel(f, back, 4, 4ull << 32), 4);
    assert_memory_equal(back, "\0\0\0\0", 4);
    assert_int_equal(inode_getattr(f->inode), 0);
    assert_true(f->inode->blocks <= 64);
    const struct file_ops *ops = file_ops(f);
    assert_int_equal(ops->seek(f, 4096, SEEK_DATA), 5ll << 32);
    assert_int_equal(ops->seek(f, 0, SEEK_HOLE), 4096);
    file_unref(f);
    assert_int_equal(unlink_name("/c"), 0);
}

// ---- Directories ----

static uint64_t count_entries(struct file *f, uint64_t stop_after, uint64_t *pos)
{
    static uint8_t buf[4096];
    uint64_t n = 0;
    for (;;) {
        struct dir_emit d = {.task = task, .pos = *pos, .buf = buf, .size = sizeof(buf)};
        assert_int_equal(file_ops(f)->iterate(f, &d), 0);
        if (!d.used)
            return n;
        for (uint64_t at = 0; at < d.used;) {
            uint16_t size;
            memcpy(&size, buf + at + 16, 2);
            at += size;
            n++;
        }
        *pos = d.pos;
        if (n >= stop_after)
            return n;
    }
}

static void test_large_directory(void **state)
{
    enum { COUNT = 10000 };
    char name[32];
    struct file *f;
    uint64_t pos = 0;
    assert_int_equal(make_dir("/d"), 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "/d/entry-%d", i);
        assert_int_equal(put_file(name, ""), 0);
    }
    assert_int_equal(file_open_path(task, AT_FDCWD, "/d", O_RDONLY | O_DIRECTORY, 0, 0, &f), 0);
    assert_int_equal(count_entries(f, UINT64_MAX, &pos), COUNT + 2);
    // Half read, then every other entry removed and new ones made: the rest is shown once.
    pos = 0;
    uint64_t first = count_entries(f, COUNT / 2, &pos);
    for (int i = 0; i < COUNT; i += 2) {
        snprintf(name, sizeof(name), "/d/entry-%d", i);
        assert_int_equal(unlink_name(name), 0);
    }
    uint64_t rest = count_entries(f, UINT64_MAX, &pos);
    assert_in_range(rest, (COUNT + 2 - first) / 2 - 1, (COUNT + 2 - first) / 2 + 1);
    pos = 0;
    assert_int_equal(count_entries(f, UINT64_MAX, &pos), COUNT / 2 + 2);
    file_unref(f);
    for (int i = 1; i < COUNT; i += 2) {
        snprintf(name, sizeof(name), "/d/entry-%d", i);
        assert_int_equal(unlink_name(name), 0);
    }
    assert_int_equal(remove_dir("/d"), 0);
}

// More names than the cache keeps: what is evicted is found again, absence stays absence.
static void test_eviction(void **state)
{
    struct vfs *v = the_vfs();
    uint32_t kept = v->dentry_max;
    char name[32];
    v->dentry_max = 200;
    assert_int_equal(make_dir("/e"), 0);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "/e/%d", i);
        assert_int_equal(put_file(name, name), 0);
    }
    for (int i = 1999; i >= 0; i--) {
        snprintf(name, sizeof(name), "/e/%d", i);
        expect_text(name, name);
        snprintf(name, sizeof(name), "/e/no-%d", i);
        assert_int_equal(exists(name), -ENOENT);
    }
    assert_true(v->dentry_count <= 264);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "/e/%d", i);
        assert_int_equal(unlink_name(name), 0);
    }
    assert_int_equal(remove_dir("/e"), 0);
    v->dentry_max = kept;
}

// ---- Many at once ----

struct racer {
    pthread_t thread;
    _Atomic bool *stop;
    uint64_t found, absent;
};

static void *walk_all_the_time(void *arg)
{
    struct racer *r = arg;
    while (!*r->stop) {
        struct path p;
        int e = path_lookup(task, AT_FDCWD, "/x/d/file", 0, &p);
        if (e == 0) {
            // Whatever was found, it is a file of that contents.
            if (!S_ISREG(p.dentry->inode->mode))
                abort();
            path_put(&p);
            r->found++;
        } else if (e == -ENOENT) {
            r->absent++;
        } else {
            abort();
        }
        e = path_lookup(task, AT_FDCWD, "/x/always/../always/here", 0, &p);
        if (e < 0)
            abort();
        path_put(&p);
    }
    return NULL;
}

static void test_races(void **state)
{
    _Atomic bool stop = false;
    struct racer r[3] = {0};
    assert_int_equal(make_dir("/x"), 0);
    assert_int_equal(make_dir("/x/always"), 0);
    assert_int_equal(put_file("/x/always/here", "y"), 0);
    for (int i = 0; i < 3; i++) {
        r[i].stop = &stop;
        assert_int_equal(pthread_create(&r[i].thread, NULL, walk_all_the_time, &r[i]), 0);
    }
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(make_dir("/x/d"), 0);
        assert_int_equal(put_file("/x/d/file", "z"), 0);
        assert_int_equal(rename_name("/x/d", "/x/e", 0), 0);
        assert_int_equal(mount_tmpfs("/x/e", ""), 0);
        assert_int_equal(unmount("/x/e", MNT_DETACH), 0);
        assert_int_equal(rename_name("/x/e", "/x/d", 0), 0);
        assert_int_equal(unlink_name("/x/d/file"), 0);
        assert_int_equal(remove_dir("/x/d"), 0);
    }
    stop = true;
    for (int i = 0; i < 3; i++)
        pthread_join(r[i].thread, NULL);
}

// Not a check: says what a cached walk costs.
static void test_speed(void **state)
{
    enum { ROUNDS = 200000 };
    struct timespec a, b;
    struct path p;
    assert_int_equal(make_dir("/usr"), 0);
    assert_int_equal(make_dir("/usr/lib"), 0);
    assert_int_equal(make_dir("/usr/lib/x86_64"), 0);
    assert_int_equal(put_file("/usr/lib/x86_64/libc.so.6", "z"), 0);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(
            path_lookup(task, AT_FDCWD, "/usr/lib/x86_64/libc.so.6", LOOKUP_FOLLOW, &p), 0);
        path_put(&p);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    print_message("walk of four names: %lld ns\n",
                  ((long long)(b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec) / ROUNDS);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < ROUNDS; i++) {
        struct file *f;
        assert_int_equal(
            file_open_path(task, AT_FDCWD, "/usr/lib/x86_64/libc.so.6", O_RDONLY, 0, 0, &f), 0);
        file_unref(f);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    print_message("open and release: %lld ns\n",
                  ((long long)(b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec) / ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),           cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_symlinks),        cmocka_unit_test(test_scoped),
        cmocka_unit_test(test_rename),          cmocka_unit_test(test_text),
        cmocka_unit_test(test_mounts),          cmocka_unit_test(test_mount_tables),
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_contents),
        cmocka_unit_test(test_large_directory), cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_races),           cmocka_unit_test(test_speed),
        cmocka_unit_test(test_pivot),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
