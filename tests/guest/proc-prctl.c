// prctl: names, dumpability, and the many small settings; arch_prctl; thread pointers; set_tid_address;
// robust lists and rseq by hand; membarrier.
#include <asm/prctl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "guest-test.h"

TEST(name)
{
    char name[17], text[64], path[64];
    memset(name, 'x', sizeof(name));
    CHECK_EQ(prctl(PR_SET_NAME, "a name of twenty characters"), 0);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK_STR(name, "a name of twent");
    CHECK(gt_read_file("/proc/self/comm", text, sizeof(text)) > 0);
    CHECK_STR(text, "a name of twent\n");
    CHECK_EQ(prctl(PR_SET_NAME, ""), 0);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK_STR(name, "");
    EXPECT_ERRNO(prctl(PR_SET_NAME, GT_BAD), EFAULT);
    EXPECT_ERRNO(prctl(PR_GET_NAME, GT_BAD), EFAULT);
    CHECK_EQ(gt_write_file("/proc/self/comm", "by file", 7), 0);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK_STR(name, "by file");
    snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
    CHECK(gt_read_file(path, text, sizeof(text)) > 0);
    CHECK(strstr(text, "(by file)") != NULL);
}

static void *named_thread(void *arg)
{
    char name[17];
    (void)arg;
    prctl(PR_SET_NAME, "worker");
    prctl(PR_GET_NAME, name);
    return (void *)(long)strcmp(name, "worker");
}

TEST(name_is_per_thread)
{
    char name[17];
    pthread_t thread;
    void *result;
    CHECK_EQ(prctl(PR_SET_NAME, "first"), 0);
    CHECK_RC(pthread_create(&thread, NULL, named_thread, NULL), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK(result == NULL);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK_STR(name, "first");
}

TEST(dumpable)
{
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    EXPECT_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
    EXPECT_ERRNO(prctl(PR_SET_DUMPABLE, 3), EINVAL);
    // Changing ids makes a process undumpable, and its /proc files root's.
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        int value = prctl(PR_GET_DUMPABLE);
        CHECK(value == 0 || value == 2);
    });
    CHECK_EXIT(pid, 0);
}

TEST(small_settings)
{
    int value = -1;
    EXPECT_EQ(prctl(PR_GET_TIMERSLACK) > 0, 1);
    EXPECT_EQ(prctl(PR_SET_TIMERSLACK, 100000), 0);
    EXPECT_EQ(prctl(PR_GET_TIMERSLACK), 100000);
    EXPECT_EQ(prctl(PR_SET_TIMERSLACK, 0), 0);
    EXPECT_EQ(prctl(PR_GET_TIMING), 0);
    EXPECT_EQ(prctl(PR_SET_TIMING, 0), 0);
    EXPECT_ERRNO(prctl(PR_SET_TIMING, 1), EINVAL);
    EXPECT_EQ(prctl(PR_GET_TSC, &value), 0);
    EXPECT_EQ(value, PR_TSC_ENABLE);
    EXPECT_ERRNO(prctl(PR_SET_TSC, 7), EINVAL);
    EXPECT_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
    EXPECT_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    EXPECT_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
    EXPECT_ERRNO(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 1), EINVAL);
    EXPECT_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
    EXPECT_ERRNO(prctl(12345), EINVAL);
    EXPECT_ERRNO(prctl(-1), EINVAL);
    EXPECT_ERRNO(prctl(PR_SET_UNALIGN, 0), EINVAL);
    EXPECT_ERRNO(prctl(PR_SET_ENDIAN, 0), EINVAL);
    int *address = NULL;
    long r = prctl(PR_GET_TID_ADDRESS, &address);
    EXPECT(r == 0 || errno == EINVAL);
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST(set_mm_needs_privilege)
{
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        errno = 0;
        CHECK(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0) == -1);
        CHECK(errno == EPERM || errno == EINVAL);
    });
    CHECK_EXIT(pid, 0);
}

TEST(vma_name)
{
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long r = prctl(0x53564d41, 0, p, 4096, "a mapping");
    if (r == -1) {
        CHECK_EQ(errno, EINVAL);    // a kernel without it
        SKIP("no anonymous mapping names");
    }
    char line[256];
    FILE *f = fopen("/proc/self/maps", "re");
    bool found = false;
    while (fgets(line, sizeof(line), f))
        found |= strstr(line, "[anon:a mapping]") != NULL;
    fclose(f);
    CHECK(found);
}

static __thread int tls_word = 5;

TEST(arch_prctl_bases)
{
    unsigned long fs = 0, gs = 1, self;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs), 0);
    __asm__("movq %%fs:0, %0" : "=r"(self));
    CHECK_EQ(fs, self);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs), 0);
    CHECK_EQ(gs, 0);
    EXPECT_ERRNO(syscall(SYS_arch_prctl, 0x9999, &fs), EINVAL);
    EXPECT_ERRNO(syscall(SYS_arch_prctl, ARCH_GET_FS, GT_BAD), EFAULT);
    EXPECT_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, 0xffff800000000000), EPERM);
    EXPECT_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x8000000000000000), EPERM);
    // Setting fs to what it is changes nothing.
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_FS, fs), 0);
    CHECK_EQ(tls_word, 5);
}

TEST(gs_base)
{
    LATER("the GS base");
    static unsigned long words[4] = {111, 222, 333, 444};
    unsigned long value, base;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, words), 0);
    __asm__ volatile("movq %%gs:8, %0" : "=r"(value));
    CHECK_EQ(value, 222);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &base), 0);
    CHECK_EQ(base, (unsigned long)words);
    for (int i = 0; i < 50; i++) {    // kept over calls and sleeps
        syscall(SYS_getppid);
        if (i % 10 == 0)
            gt_msleep(1);
        __asm__ volatile("movq %%gs:16, %0" : "=r"(value));
        CHECK_EQ(value, 333);
    }
    pid_t pid = FORK({
        __asm__ volatile("movq %%gs:24, %0" : "=r"(value));
        CHECK_EQ(value, 444);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, 0), 0);
}

TEST(tid_address)
{
    static int word = 7;
    CHECK_EQ(syscall(SYS_set_tid_address, &word), syscall(SYS_gettid));
    CHECK_EQ(word, 7);
    // A lone thread that ends has nobody to tell; in a shared mapping the word is cleared all the same only
    // when others use the memory.
    atomic_int *shared = gt_shared(4096);
    atomic_store(shared, 9);
    pid_t pid = FORK({
        CHECK_EQ(syscall(SYS_set_tid_address, shared), getpid());
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(atomic_load(shared), 9);
}

static void *clearing_thread(void *arg)
{
    syscall(SYS_set_tid_address, arg);
    syscall(SYS_exit, 0);
    return NULL;
}

TEST(tid_address_of_thread)
{
    static atomic_int word = 1;
    pthread_t thread;
    pthread_attr_t attr;
    CHECK_RC(pthread_attr_init(&attr), 0);
    CHECK_RC(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), 0);
    CHECK_RC(pthread_create(&thread, &attr, clearing_thread, &word), 0);
    int value;
    while ((value = atomic_load(&word)) != 0)
        syscall(SYS_futex, &word, FUTEX_WAIT, value, NULL, NULL, 0);
}

struct robust_lock {
    struct robust_list list;
    atomic_uint word;
};

static void *die_with_robust(void *arg)
{
    struct robust_lock *locks = arg;
    static struct robust_list_head head;
    head.list.next = &locks[0].list;
    locks[0].list.next = &locks[1].list;
    locks[1].list.next = &head.list;
    head.futex_offset = offsetof(struct robust_lock, word);
    head.list_op_pending = &locks[2].list;
    unsigned tid = syscall(SYS_gettid);
    atomic_store(&locks[0].word, tid);
    atomic_store(&locks[1].word, tid | FUTEX_WAITERS);
    atomic_store(&locks[2].word, tid);
    if (syscall(SYS_set_robust_list, &head, sizeof(head)) != 0)
        atomic_store(&locks[0].word, 1);
    syscall(SYS_exit, 0);
    return NULL;
}

TEST(robust_list)
{
    struct robust_list_head head = {.list.next = &head.list}, *got;
    size_t size;
    EXPECT_ERRNO(syscall(SYS_set_robust_list, &head, sizeof(head) - 1), EINVAL);
    CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof(head)), 0);
    CHECK_EQ(syscall(SYS_get_robust_list, 0, &got, &size), 0);
    CHECK(got == &head && size == sizeof(head));
    CHECK_EQ(syscall(SYS_get_robust_list, getpid(), &got, &size), 0);
    CHECK(got == &head);
    EXPECT_ERRNO(syscall(SYS_get_robust_list, 1 << 22, &got, &size), ESRCH);
    EXPECT_ERRNO(syscall(SYS_get_robust_list, 0, GT_BAD, &size), EFAULT);
}

TEST(robust_list_walked_at_exit)
{
    struct robust_lock *locks = gt_shared(4096);
    locks[3].word = 1234;    // not listed, or not owned: left alone
    pid_t pid = FORK({ die_with_robust(locks); });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(locks[0].word, FUTEX_OWNER_DIED);
    CHECK_EQ(locks[1].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    CHECK_EQ(locks[2].word, FUTEX_OWNER_DIED);
    CHECK_EQ(locks[3].word, 1234);
}

TEST(robust_list_hostile)
{
    // Circular, unmapped and misaligned lists must not hang or harm anybody.
    for (int kind = 0; kind < 3; kind++) {
        pid_t pid = FORK({
            static struct robust_lock a;
            static struct robust_list_head head;
            head.futex_offset = offsetof(struct robust_lock, word);
            a.list.next = &a.list;
            head.list.next = kind == 0 ? &a.list : kind == 1 ? GT_BAD : (void *)((char *)&a + 1);
            CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof(head)), 0);
        });
        CHECK_EXIT(pid, 0);
    }
}

struct rseq_area {
    uint32_t cpu_id_start, cpu_id;
    uint64_t rseq_cs;
    uint32_t flags, node_id, mm_cid, padding;
} __attribute__((aligned(32)));

static void *rseq_thread(void *arg)
{
    // glibc registers an area of its own for every thread; a raw clone would have none. Errors only.
    static struct rseq_area area;
    (void)arg;
    long r = syscall(SYS_rseq, &area, sizeof(area), 0, 0x53053053);
    return (void *)(long)(r == -1 ? errno : 0);
}

TEST(rseq_errors)
{
    pthread_t thread;
    void *result;
    static struct rseq_area area;
    if (syscall(SYS_rseq, NULL, 0, 0, 0) == -1 && errno == ENOSYS)
        SKIP("no rseq");
    CHECK_RC(pthread_create(&thread, NULL, rseq_thread, NULL), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    // Registered already, at another address
    CHECK_EQ((long)result, EINVAL);
    EXPECT_ERRNO(syscall(SYS_rseq, &area, sizeof(area), 2, 0x53053053), EINVAL);
    EXPECT_ERRNO(syscall(SYS_rseq, &area, sizeof(area), 1, 0x53053053), EINVAL);
}

static int rseq_child(void *arg)
{
    struct rseq_area *area = arg;
    area->cpu_id_start = 0;
    area->cpu_id = ~0U;
    long r = syscall(SYS_rseq, area, 32, 0, 0x53053053);
    if (r == -1)
        return errno;
    if (area->cpu_id >= 1024 || area->cpu_id_start >= 1024)
        return 100;
    if (syscall(SYS_rseq, area, 32, 0, 0x53053053) != -1 || errno != EBUSY)
        return 101;
    if (syscall(SYS_rseq, area, 32, 1, 0x11111111) != -1 || errno != EPERM)
        return 102;
    if (syscall(SYS_rseq, area, 32, 0, 0x22222222) != -1 || errno != EPERM)
        return 103;
    if (syscall(SYS_rseq, area, 32, 1, 0x53053053) != 0)
        return 104;
    if (syscall(SYS_rseq, area, 32, 1, 0x53053053) != -1 || errno != EINVAL)
        return 105;
    if (syscall(SYS_rseq, (char *)area + 4, 32, 0, 0x53053053) != -1 || errno != EINVAL)
        return 106;
    if (syscall(SYS_rseq, GT_BAD + 24, 32, 0, 0x53053053) != -1 || errno != EFAULT)
        return 107;
    return 0;
}

TEST(rseq_register)
{
    // A thread made by clone with CLONE_VM starts unregistered.
    static char stack[65536] __attribute__((aligned(16)));
    static struct rseq_area area;
    pid_t pid = OK(clone(rseq_child, stack + sizeof(stack), CLONE_VM | SIGCHLD, &area));
    int status = gt_waitpid(pid);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == ENOSYS)
        SKIP("no rseq");
    CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST(membarrier)
{
    long mask = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (mask == -1 && errno == ENOSYS)
        SKIP("no membarrier");
    CHECK(mask >= 0);
    if (mask & MEMBARRIER_CMD_GLOBAL)
        EXPECT_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), 0);
    EXPECT_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1, 0), EINVAL);
    EXPECT_ERRNO(syscall(SYS_membarrier, 1 << 20, 0, 0), EINVAL);
    CHECK(mask & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    EXPECT_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), EPERM);
    CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), 0);
    if (mask & MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE) {
        EXPECT_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), 0);
        EXPECT_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), 0);
    }
    pid_t pid = FORK({ CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), 0); });
    CHECK_EXIT(pid, 0);
}
