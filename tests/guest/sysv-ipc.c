// System V shared memory and semaphores: keys, permissions, every control command, blocking, undo, removal
// under waiters, limits.
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "guest-test.h"

#define PAGE 4096UL

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

// A key of this test's own. The ids of a subtest are removed by the subtest.
static key_t new_key(void)
{
    static int count;
    return (key_t)(0x47000000 ^ (getpid() << 8) ^ count++);
}

static long op(int id, int num, int by, int flags)
{
    struct sembuf b = {num, by, flags};
    return semop(id, &b, 1);
}

static int value(int id, int num)
{
    return semctl(id, num, GETVAL);
}

static int new_sems(int count)
{
    return OK(semget(IPC_PRIVATE, count, 0600));
}

static void remove_sems(int id)
{
    CHECK_EQ(semctl(id, 0, IPC_RMID), 0);
}

TEST(semget_rules)
{
    key_t key = new_key();
    CHECK_ERRNO(semget(key, 1, 0600), ENOENT);
    int id = OK(semget(key, 3, IPC_CREAT | 0600));
    EXPECT_EQ(semget(key, 3, 0), id);
    EXPECT_EQ(semget(key, 0, 0), id);
    EXPECT_EQ(semget(key, 2, IPC_CREAT), id);
    EXPECT_ERRNO(semget(key, 4, 0), EINVAL);
    EXPECT_ERRNO(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    EXPECT_ERRNO(semget(IPC_PRIVATE, 0, 0600), EINVAL);
    EXPECT_ERRNO(semget(IPC_PRIVATE, -1, 0600), EINVAL);
    EXPECT_ERRNO(semget(IPC_PRIVATE, 1 << 20, 0600), EINVAL);
    int other = new_sems(1);
    EXPECT(other != id);
    remove_sems(other);
    remove_sems(id);
    EXPECT_ERRNO(semget(key, 0, 0), ENOENT);
    EXPECT_ERRNO(semctl(id, 0, GETVAL), EINVAL);
    EXPECT_ERRNO(op(id, 0, 1, 0), EINVAL);
}

TEST(sem_values)
{
    int id = new_sems(4);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(value(id, i), 0);
    unsigned short all[4] = {1, 2, 3, 4}, got[4];
    CHECK_EQ(semctl(id, 0, SETALL, (union semun){.array = all}), 0);
    CHECK_EQ(semctl(id, 0, GETALL, (union semun){.array = got}), 0);
    CHECK(memcmp(all, got, sizeof(all)) == 0);
    CHECK_EQ(semctl(id, 2, SETVAL, (union semun){.val = 30}), 0);
    CHECK_EQ(value(id, 2), 30);
    EXPECT_EQ(semctl(id, 2, GETPID), getpid());
    EXPECT_EQ(semctl(id, 2, GETNCNT), 0);
    EXPECT_EQ(semctl(id, 2, GETZCNT), 0);
    EXPECT_ERRNO(semctl(id, 4, GETVAL), EINVAL);
    EXPECT_ERRNO(semctl(id, -1, GETVAL), EINVAL);
    EXPECT_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = 32768}), ERANGE);
    EXPECT_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = -1}), ERANGE);
    EXPECT_ERRNO(semctl(id, 0, 99, (union semun){.val = 0}), EINVAL);
    EXPECT_ERRNO(semctl(id, 0, GETALL, (union semun){.array = GT_BAD}), EFAULT);
    all[0] = 40000;
    EXPECT_ERRNO(semctl(id, 0, SETALL, (union semun){.array = all}), ERANGE);
    remove_sems(id);
}

TEST(semop_basic)
{
    int id = new_sems(2);
    CHECK_EQ(op(id, 0, 5, 0), 0);
    CHECK_EQ(op(id, 0, -3, 0), 0);
    CHECK_EQ(value(id, 0), 2);
    EXPECT_ERRNO(op(id, 0, -3, IPC_NOWAIT), EAGAIN);
    EXPECT_ERRNO(op(id, 0, 0, IPC_NOWAIT), EAGAIN);
    EXPECT_EQ(op(id, 1, 0, IPC_NOWAIT), 0);
    EXPECT_ERRNO(op(id, 2, 1, 0), EFBIG);
    EXPECT_ERRNO(op(id, 0, 32767, 0), ERANGE);
    EXPECT_ERRNO(semop(id, NULL, 0), EINVAL);
    EXPECT_ERRNO(semop(id, GT_BAD, 1), EFAULT);
    struct sembuf many[501] = {{0}};
    EXPECT_ERRNO(semop(id, many, 501), E2BIG);
    EXPECT_ERRNO(semop(-1, many, 1), EINVAL);
    remove_sems(id);
}

TEST(semop_is_atomic)
{
    int id = new_sems(2);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    // The second cannot be done: the first is not either.
    struct sembuf b[] = {{0, -1, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
    CHECK_ERRNO(semop(id, b, 2), EAGAIN);
    CHECK_EQ(value(id, 0), 1);
    // In order: an increment may enable a decrement after it.
    struct sembuf c[] = {{1, 1, 0}, {1, -1, IPC_NOWAIT}, {0, -1, IPC_NOWAIT}};
    CHECK_EQ(semop(id, c, 3), 0);
    CHECK_EQ(value(id, 0) + value(id, 1), 0);
    remove_sems(id);
}

TEST(sem_blocking)
{
    int id = new_sems(2);
    pid_t pid = FORK({ CHECK_EQ(op(id, 0, -2, 0), 0); });
    while (semctl(id, 0, GETNCNT) != 1)
        gt_msleep(1);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    CHECK_EQ(semctl(id, 0, GETNCNT), 1);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    CHECK_EXIT(pid, 0);
    CHECK_EQ(value(id, 0), 0);
    CHECK_EQ(semctl(id, 0, GETPID), pid);
    CHECK_EQ(op(id, 1, 1, 0), 0);
    pid = FORK({ CHECK_EQ(op(id, 1, 0, 0), 0); });
    while (semctl(id, 1, GETZCNT) != 1)
        gt_msleep(1);
    CHECK_EQ(op(id, 1, -1, 0), 0);
    CHECK_EXIT(pid, 0);
    remove_sems(id);
}

TEST(sem_timeout)
{
    int id = new_sems(1);
    struct sembuf b = {0, -1, 0};
    struct timespec ts = {0, 20000000};
    int64_t start = gt_now_ns();
    CHECK_ERRNO(semtimedop(id, &b, 1, &ts), EAGAIN);
    CHECK(gt_now_ns() - start >= 20000000);
    ts = (struct timespec){0, 1000000000};
    CHECK_ERRNO(semtimedop(id, &b, 1, &ts), EINVAL);
    ts = (struct timespec){-1, 0};
    CHECK_ERRNO(semtimedop(id, &b, 1, &ts), EINVAL);
    CHECK_ERRNO(semtimedop(id, &b, 1, GT_BAD), EFAULT);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    CHECK_EQ(semtimedop(id, &b, 1, NULL), 0);
    remove_sems(id);
}

static void on_signal(int sig)
{
    (void)sig;
}

TEST(sem_interrupted)
{
    // Never restarted, SA_RESTART or not.
    int id = new_sems(1);
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    pid_t me = getpid();
    pid_t pid = FORK({
        while (semctl(id, 0, GETNCNT) != 1)
            gt_msleep(1);
        kill(me, SIGUSR1);
    });
    CHECK_ERRNO(op(id, 0, -1, 0), EINTR);
    CHECK_EXIT(pid, 0);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    remove_sems(id);
}

TEST(sem_removed_under_waiter)
{
    int id = new_sems(1);
    pid_t pid = FORK({ CHECK_ERRNO(op(id, 0, -1, 0), EIDRM); });
    while (semctl(id, 0, GETNCNT) != 1)
        gt_msleep(1);
    remove_sems(id);
    CHECK_EXIT(pid, 0);
}

TEST(sem_undo)
{
    int id = new_sems(2);
    CHECK_EQ(op(id, 0, 3, 0), 0);
    pid_t pid = FORK({
        CHECK_EQ(op(id, 0, -2, SEM_UNDO), 0);
        CHECK_EQ(op(id, 1, 4, SEM_UNDO), 0);
        CHECK_EQ(op(id, 1, 1, 0), 0);
        CHECK_EQ(value(id, 0), 1);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(value(id, 0), 3);
    CHECK_EQ(value(id, 1), 1);
    // Killed counts too, and the undo wakes who waits.
    pid = FORK({
        CHECK_EQ(op(id, 0, -3, SEM_UNDO), 0);
        for (;;)
            pause();
    });
    while (value(id, 0) != 0)
        gt_msleep(1);
    pid_t waiter = FORK({ CHECK_EQ(op(id, 0, -1, 0), 0); });
    while (semctl(id, 0, GETNCNT) != 1)
        gt_msleep(1);
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
    CHECK_EXIT(waiter, 0);
    CHECK_EQ(value(id, 0), 2);
    // SETVAL forgets the adjustments.
    pid = FORK({
        CHECK_EQ(op(id, 0, 5, SEM_UNDO), 0);
        CHECK_EQ(semctl(id, 0, SETVAL, (union semun){.val = 9}), 0);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(value(id, 0), 9);
    remove_sems(id);
}

TEST(sem_undo_not_inherited)
{
    int id = new_sems(1);
    pid_t pid = FORK({
        CHECK_EQ(op(id, 0, 5, SEM_UNDO), 0);
        pid_t child = FORK({});
        CHECK_EXIT(child, 0);
        CHECK_EQ(value(id, 0), 5);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(value(id, 0), 0);
    remove_sems(id);
}

TEST(sem_stat_and_set)
{
    int id = new_sems(3);
    struct semid_ds ds;
    CHECK_EQ(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}), 0);
    CHECK_EQ(ds.sem_nsems, 3);
    CHECK_EQ(ds.sem_otime, 0);
    CHECK(ds.sem_ctime > 1000000000);
    CHECK_EQ(ds.sem_perm.mode & 0777, 0600);
    CHECK(ds.sem_perm.uid == 0 && ds.sem_perm.cuid == 0);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    ds.sem_perm.uid = 1000;
    ds.sem_perm.mode = 0640;
    CHECK_EQ(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}), 0);
    CHECK_EQ(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}), 0);
    CHECK(ds.sem_otime > 1000000000);
    CHECK(ds.sem_perm.uid == 1000 && ds.sem_perm.cuid == 0 && (ds.sem_perm.mode & 0777) == 0640);
    struct seminfo info;
    CHECK(semctl(0, 0, IPC_INFO, (union semun){.info = &info}) >= 0);
    CHECK(info.semmsl > 0 && info.semopm > 0 && info.semvmx == 32767);
    CHECK(semctl(0, 0, SEM_INFO, (union semun){.info = &info}) >= 0);
    CHECK(info.semusz >= 1);
    remove_sems(id);
}

TEST(sem_permission)
{
    int id = new_sems(1);
    pid_t pid = FORK({
        struct semid_ds ds;
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(op(id, 0, 1, 0), EACCES);
        CHECK_ERRNO(semctl(id, 0, GETVAL), EACCES);
        CHECK_ERRNO(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}), EACCES);
        CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
    });
    CHECK_EXIT(pid, 0);
    remove_sems(id);
    key_t key = new_key();
    id = OK(semget(key, 1, IPC_CREAT | 0644));
    pid = FORK({
        CHECK_EQ(setresgid(1000, 1000, 1000), 0);
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_EQ(semget(key, 1, 0444), id);
        CHECK_ERRNO(semget(key, 1, 0222), EACCES);
        CHECK_EQ(semctl(id, 0, GETVAL), 0);
        CHECK_ERRNO(op(id, 0, 1, 0), EACCES);
        CHECK_EQ(op(id, 0, 0, 0), 0);    // waiting for zero only reads
    });
    CHECK_EXIT(pid, 0);
    remove_sems(id);
}

TEST(sem_mutual_exclusion)
{
    int id = new_sems(1);
    volatile long *shared = gt_shared(PAGE);
    CHECK_EQ(op(id, 0, 1, 0), 0);
    pid_t pids[4];
    for (int i = 0; i < 4; i++)
        pids[i] = FORK({
            for (int k = 0; k < 500; k++) {
                CHECK_EQ(op(id, 0, -1, SEM_UNDO), 0);
                shared[0]++;
                CHECK_EQ(op(id, 0, 1, SEM_UNDO), 0);
            }
        });
    for (int i = 0; i < 4; i++)
        CHECK_EXIT(pids[i], 0);
    CHECK_EQ(shared[0], 2000);
    CHECK_EQ(value(id, 0), 1);
    remove_sems(id);
}

TEST(shmget_rules)
{
    key_t key = new_key();
    CHECK_ERRNO(shmget(key, PAGE, 0), ENOENT);
    int id = OK(shmget(key, 3 * PAGE + 1, IPC_CREAT | 0600));
    EXPECT_EQ(shmget(key, 0, 0), id);
    EXPECT_EQ(shmget(key, PAGE, IPC_CREAT), id);
    EXPECT_ERRNO(shmget(key, 5 * PAGE, 0), EINVAL);
    EXPECT_ERRNO(shmget(key, PAGE, IPC_CREAT | IPC_EXCL), EEXIST);
    EXPECT_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
    struct shmid_ds ds;
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_segsz, 3 * PAGE + 1);
    CHECK_EQ(ds.shm_cpid, getpid());
    CHECK_EQ(ds.shm_lpid, 0);
    CHECK_EQ(ds.shm_nattch, 0);
    CHECK_EQ(ds.shm_atime, 0);
    CHECK(ds.shm_ctime > 1000000000);
    CHECK_EQ(ds.shm_perm.mode & 0777, 0600);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
    CHECK_ERRNO(shmget(key, 0, 0), ENOENT);
}

TEST(shm_attach)
{
    int id = OK(shmget(IPC_PRIVATE, 2 * PAGE, 0600));
    struct shmid_ds ds;
    char *a = shmat(id, NULL, 0);
    char *b = shmat(id, NULL, SHM_RDONLY);
    CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
    CHECK_EQ((uintptr_t)a % PAGE, 0);
    for (size_t i = 0; i < 2 * PAGE; i++)
        CHECK_EQ(a[i], 0);
    strcpy(a, "hello");
    CHECK_STR(b, "hello");
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_nattch, 2);
    CHECK_EQ(ds.shm_lpid, getpid());
    CHECK(ds.shm_atime > 1000000000);
    pid_t pid = FORK({
        CHECK_STR(a, "hello");
        strcpy(a, "child");
        CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
        CHECK_EQ(ds.shm_nattch, 4);
        *(volatile char *)b = 1;    // read-only
    });
    CHECK_KILLED(pid, SIGSEGV);
    CHECK_STR(b, "child");
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_nattch, 2);
    CHECK_EQ(shmdt(a), 0);
    CHECK_ERRNO(shmdt(a), EINVAL);
    CHECK_ERRNO(shmdt(b + PAGE), EINVAL);
    CHECK_EQ(shmdt(b), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_nattch, 0);
    CHECK(ds.shm_dtime > 1000000000);
    a = shmat(id, NULL, 0);
    CHECK_STR(a, "child");
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    // Marked for removal but alive while attached.
    CHECK_STR(a, "child");
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK(ds.shm_perm.mode & SHM_DEST);
    char *c = shmat(id, NULL, 0);
    CHECK(c != (void *)-1);
    CHECK_EQ(shmdt(c), 0);
    CHECK_EQ(shmdt(a), 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(shm_addresses)
{
    int id = OK(shmget(IPC_PRIVATE, 2 * PAGE, 0600));
    char *space = mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(space != MAP_FAILED);
    EXPECT_ERRNO((long)shmat(id, space, 0), EINVAL);    // occupied
    EXPECT_ERRNO((long)shmat(id, space + 5, 0), EINVAL);
    EXPECT_ERRNO((long)shmat(id, NULL, SHM_REMAP), EINVAL);
    CHECK(shmat(id, space + 2 * PAGE, SHM_REMAP) == space + 2 * PAGE);
    space[2 * PAGE] = 1;
    CHECK_EQ(shmdt(space + 2 * PAGE), 0);
    CHECK(shmat(id, space + 2 * PAGE + 7, SHM_RND) == space + 2 * PAGE);
    CHECK_EQ(space[2 * PAGE], 1);
    CHECK_EQ(shmdt(space + 2 * PAGE), 0);
    EXPECT_ERRNO((long)shmat(-1, NULL, 0), EINVAL);
    EXPECT_ERRNO((long)shmat(12345678, NULL, 0), EINVAL);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

TEST(shm_permission)
{
    int id = OK(shmget(IPC_PRIVATE, PAGE, 0604));
    pid_t pid = FORK({
        struct shmid_ds ds;
        CHECK_EQ(setresgid(1000, 1000, 1000), 0);
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO((long)shmat(id, NULL, 0), EACCES);
        char *p = shmat(id, NULL, SHM_RDONLY);
        CHECK(p != (void *)-1);
        CHECK_ERRNO(mprotect(p, PAGE, PROT_READ | PROT_WRITE), EACCES);
        CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
        CHECK_ERRNO(shmctl(id, IPC_SET, &ds), EPERM);
        CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
    });
    CHECK_EXIT(pid, 0);
    struct shmid_ds ds;
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    ds.shm_perm.uid = 1000;
    CHECK_EQ(shmctl(id, IPC_SET, &ds), 0);
    pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK((long)shmat(id, NULL, 0) != -1);
        CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
    });
    CHECK_EXIT(pid, 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(shm_info)
{
    struct shminfo info;
    struct shm_info used;
    CHECK(shmctl(0, IPC_INFO, (void *)&info) >= 0);
    CHECK(info.shmmax > 0 && info.shmmni > 0);
    CHECK(shmctl(0, SHM_INFO, (void *)&used) >= 0);
    CHECK(used.used_ids >= 0);
}

ENTRY(attached)
{
    struct shmid_ds ds;
    CHECK_EQ(shmctl(atoi(argv[2]), IPC_STAT, &ds), 0);
    return ds.shm_nattch;
}

TEST(shm_detached_by_exec)
{
    char number[16];
    int id = OK(shmget(IPC_PRIVATE, PAGE, 0600));
    snprintf(number, sizeof(number), "%d", id);
    CHECK((long)shmat(id, NULL, 0) != -1);
    pid_t pid = FORK({ execl(gt_self, gt_self, "-xattached", number, (char *)NULL); });
    CHECK_EXIT(pid, 1);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}

TEST(shm_partial_munmap)
{
    int id = OK(shmget(IPC_PRIVATE, 3 * PAGE, 0600));
    struct shmid_ds ds;
    char *p = shmat(id, NULL, 0);
    CHECK(p != (void *)-1);
    p[2 * PAGE] = 7;
    CHECK_EQ(munmap(p + PAGE, PAGE), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_nattch, 2);    // two mappings are left
    CHECK_EQ(p[2 * PAGE], 7);
    CHECK_EQ(shmdt(p), 0);
    CHECK_EQ(shmctl(id, IPC_STAT, &ds), 0);
    CHECK_EQ(ds.shm_nattch, 0);
    CHECK_EQ(shmctl(id, IPC_RMID, NULL), 0);
}
