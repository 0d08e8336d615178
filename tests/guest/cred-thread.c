// Credentials belong to threads: raw changes stay private, the library's go to all; file capabilities;
// credentials over exec in every combination of ids.
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/xattr.h>

#include "guest-test.h"

static pthread_barrier_t barrier;

static void *watch_ids(void *arg)
{
    uid_t *seen = arg;
    seen[0] = syscall(SYS_geteuid);
    pthread_barrier_wait(&barrier);    // the main thread changes its id
    pthread_barrier_wait(&barrier);
    seen[1] = syscall(SYS_geteuid);
    return NULL;
}

TEST(raw_change_is_private)
{
    pthread_t thread;
    uid_t seen[2];
    CHECK_RC(pthread_barrier_init(&barrier, NULL, 2), 0);
    CHECK_RC(pthread_create(&thread, NULL, watch_ids, seen), 0);
    pthread_barrier_wait(&barrier);
    CHECK_EQ(syscall(SYS_setresuid, 5, 5, 0), 0);
    pthread_barrier_wait(&barrier);
    CHECK_RC(pthread_join(thread, NULL), 0);
    CHECK(seen[0] == 0 && seen[1] == 0);
    CHECK_EQ(syscall(SYS_geteuid), 5);
}

TEST(library_change_is_for_all)
{
    pthread_t thread;
    uid_t seen[2];
    CHECK_RC(pthread_barrier_init(&barrier, NULL, 2), 0);
    CHECK_RC(pthread_create(&thread, NULL, watch_ids, seen), 0);
    pthread_barrier_wait(&barrier);
    CHECK_EQ(setresuid(5, 5, 0), 0);
    pthread_barrier_wait(&barrier);
    CHECK_RC(pthread_join(thread, NULL), 0);
    CHECK(seen[0] == 0 && seen[1] == 5);
}

static atomic_int stop;

static void *busy(void *arg)
{
    while (atomic_load(&stop) == 0)
        syscall(SYS_getppid);
    return arg;
}

TEST(library_change_storm)
{
    // Each change interrupts every thread; they run, sleep and come and go.
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, busy, NULL), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(seteuid(i & 1 ? 0 : 7), 0);
        CHECK_EQ(geteuid(), i & 1 ? 0 : 7);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
}

static void *open_as_other(void *arg)
{
    (void)arg;
    if (syscall(SYS_setresuid, 1000, 1000, 1000) != 0)
        return (void *)1;
    if (open(gt_path("secret"), O_RDONLY) != -1 || errno != EACCES)
        return (void *)2;
    return NULL;
}

TEST(file_checks_use_the_thread)
{
    pthread_t thread;
    void *result;
    CHECK_EQ(gt_write_file(gt_path("secret"), "x", 1), 0);
    CHECK_EQ(chmod(gt_path("secret"), 0600), 0);
    CHECK_RC(pthread_create(&thread, NULL, open_as_other, NULL), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK_EQ((long)result, 0);
    CHECK(open(gt_path("secret"), O_RDONLY) >= 0);
}

TEST(open_descriptor_keeps_its_rights)
{
    CHECK_EQ(gt_write_file(gt_path("secret"), "x", 1), 0);
    CHECK_EQ(chmod(gt_path("secret"), 0600), 0);
    int fd = OK(open(gt_path("secret"), O_RDWR));
    CHECK_EQ(setresuid(1000, 1000, 1000), 0);
    char byte;
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(write(fd, "y", 1), 1);
    CHECK_ERRNO(open(gt_path("secret"), O_RDONLY), EACCES);
}

static void *drop_one(void *arg)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    (void)arg;
    return (void *)syscall(SYS_capset, &header, data);
}

TEST(capabilities_are_per_thread)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    pthread_t thread;
    void *result;
    CHECK_RC(pthread_create(&thread, NULL, drop_one, NULL), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK_EQ((long)result, 0);
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    CHECK(data[0].effective != 0);
}

// The program prints, as its exit code, whether it has the capability: 1 effective, 2 permitted.
ENTRY(has)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    unsigned bit = 1U << atoi(argv[2]);
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    return 40 + (data[0].effective & bit ? 1 : 0) + (data[0].permitted & bit ? 2 : 0);
}

static int copy_self(const char *to)
{
    static char data[1 << 16];
    int in = open(gt_self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t n = -1;
    while (in >= 0 && out >= 0 && (n = read(in, data, sizeof(data))) > 0)
        if (write(out, data, n) != n)
            return -1;
    close(in);
    close(out);
    return n == 0 ? 0 : -1;
}

static int run_has(const char *path, int cap, bool no_new_privs)
{
    char number[8];
    snprintf(number, sizeof(number), "%d", cap);
    pid_t pid = FORK({
        CHECK_EQ(setresgid(1000, 1000, 1000), 0);
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        if (no_new_privs)
            CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        execl(path, "has", "-xhas", number, (char *)NULL);
        _exit(errno);
    });
    int status = gt_waitpid(pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void set_file_caps(const char *path, uint32_t permitted, uint32_t inheritable, bool effective)
{
    struct vfs_cap_data caps = {
        .magic_etc = VFS_CAP_REVISION_2 | (effective ? VFS_CAP_FLAGS_EFFECTIVE : 0),
        .data = {{permitted, inheritable}, {0, 0}},
    };
    if (setxattr(path, "security.capability", &caps, sizeof(caps), 0) != 0)
        SKIP("no file capabilities in the scratch directory (%s)", gt_errname(errno));
}

TEST(file_capabilities)
{
    CHECK_EQ(copy_self(gt_path("p")), 0);
    CHECK_EQ(run_has(gt_path("p"), CAP_KILL, false), 40);
    set_file_caps(gt_path("p"), 1U << CAP_KILL, 0, true);
    int got = run_has(gt_path("p"), CAP_KILL, false);
    if (got == 40)
        SKIP("file capabilities have no effect in the scratch directory");
    CHECK_EQ(got, 43);
    CHECK_EQ(run_has(gt_path("p"), CAP_CHOWN, false), 40);
    CHECK_EQ(run_has(gt_path("p"), CAP_KILL, true), 40);    // not with no_new_privs
    set_file_caps(gt_path("p"), 1U << CAP_KILL, 0, false);
    CHECK_EQ(run_has(gt_path("p"), CAP_KILL, false), 42);
    set_file_caps(gt_path("p"), 0, 1U << CAP_KILL, true);
    CHECK_EQ(run_has(gt_path("p"), CAP_KILL, false), 40);    // nothing inheritable
    // Writing to the file drops them.
    set_file_caps(gt_path("p"), 1U << CAP_KILL, 0, true);
    CHECK_EQ(copy_self(gt_path("p")), 0);
    CHECK_EQ(run_has(gt_path("p"), CAP_KILL, false), 40);
}

TEST(file_capability_beyond_bounding_set)
{
    // An effective flag on a file whose capability cannot be had fails the exec.
    CHECK_EQ(copy_self(gt_path("p")), 0);
    set_file_caps(gt_path("p"), 1U << CAP_KILL, 0, true);
    if (run_has(gt_path("p"), CAP_KILL, false) == 40)
        SKIP("file capabilities have no effect in the scratch directory");
    CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_KILL), 0);
    CHECK_EQ(run_has(gt_path("p"), CAP_KILL, false), EPERM);
}

TEST(capability_attribute_is_checked)
{
    CHECK_EQ(gt_write_file(gt_path("f"), "x", 1), 0);
    struct vfs_cap_data caps = {.magic_etc = 0x55000000};
    set_file_caps(gt_path("f"), 1, 0, true);
    EXPECT_ERRNO(setxattr(gt_path("f"), "security.capability", &caps, sizeof(caps), 0), EINVAL);
    caps.magic_etc = VFS_CAP_REVISION_2;
    EXPECT_ERRNO(setxattr(gt_path("f"), "security.capability", &caps, 7, 0), EINVAL);
    pid_t pid = FORK({
        CHECK_EQ(chown(gt_path("f"), 1000, 1000), 0);
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(setxattr(gt_path("f"), "security.capability", &caps, sizeof(caps), 0), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

ENTRY(ids)
{
    uid_t r, e, s, f = setfsuid(-1);
    CHECK_EQ(syscall(SYS_getresuid, &r, &e, &s), 0);
    CHECK(r == (uid_t)atoi(argv[2]) && e == (uid_t)atoi(argv[3]) && s == (uid_t)atoi(argv[4]) && f == e);
    return 50;
}

TEST(exec_sets_saved_and_file_system_ids)
{
    for (int i = 0; i < 8; i++) {
        char r[8], e[8], s[8];
        uid_t real = i & 1 ? 10 : 0, effective = i & 2 ? 20 : 0, saved = i & 4 ? 30 : 0;
        snprintf(r, sizeof(r), "%u", real);
        snprintf(e, sizeof(e), "%u", effective);
        snprintf(s, sizeof(s), "%u", effective);
        pid_t pid = FORK({
            CHECK_EQ(setresuid(real, effective, saved), 0);
            execl(gt_self, gt_self, "-xids", r, e, s, (char *)NULL);
        });
        CHECK_EXIT(pid, 50);
    }
}

TEST(status_shows_ids)
{
    char text[4096];
    gid_t groups[2] = {71, 72};
    CHECK_EQ(setgroups(2, groups), 0);
    CHECK_EQ(setresgid(61, 62, 63), 0);
    CHECK_EQ(setresuid(51, 52, 53), 0);
    CHECK(gt_read_file("/proc/self/status", text, sizeof(text)) > 0);
    CHECK(strstr(text, "Uid:\t51\t52\t53\t52\n") != NULL);
    CHECK(strstr(text, "Gid:\t61\t62\t63\t62\n") != NULL);
    CHECK(strstr(text, "Groups:\t71 72 \n") != NULL);
    CHECK(strstr(text, "CapEff:\t0000000000000000\n") != NULL);
}
