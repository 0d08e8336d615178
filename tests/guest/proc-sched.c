// Scheduling calls: affinity, priorities, policies, yielding, ioprio, and the figures that /proc shows of them.
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "guest-test.h"

TEST(affinity_get)
{
    cpu_set_t set;
    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    CHECK(CPU_COUNT(&set) >= 1);
    unsigned long words[16] = {0};
    long n = syscall(SYS_sched_getaffinity, 0, sizeof(words), words);
    CHECK(n >= 8 && n % 8 == 0 && n <= (long)sizeof(words));
    CHECK(words[0] != 0);
    EXPECT_ERRNO(syscall(SYS_sched_getaffinity, 0, 7, words), EINVAL);
    EXPECT_ERRNO(syscall(SYS_sched_getaffinity, 0, 12, words), EINVAL);
    EXPECT_ERRNO(syscall(SYS_sched_getaffinity, 1 << 22, sizeof(words), words), ESRCH);
    EXPECT_ERRNO(syscall(SYS_sched_getaffinity, -1, sizeof(words), words), ESRCH);
    EXPECT_ERRNO(syscall(SYS_sched_getaffinity, 0, sizeof(words), GT_BAD), EFAULT);
}

TEST(affinity_set)
{
    cpu_set_t all, one, got;
    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
        CHECK_EQ(sched_getaffinity(0, sizeof(got), &got), 0);
        CHECK(CPU_EQUAL(&one, &got));
        CHECK_EQ(sched_getcpu(), cpu);
        pid_t pid = FORK({
            CHECK_EQ(sched_getaffinity(0, sizeof(got), &got), 0);
            CHECK(CPU_EQUAL(&one, &got));
        });
        CHECK_EXIT(pid, 0);
    }
    CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    EXPECT_ERRNO(sched_setaffinity(0, sizeof(one), &one), EINVAL);
    CPU_SET(CPU_SETSIZE - 1, &one);
    EXPECT_ERRNO(sched_setaffinity(0, sizeof(one), &one), EINVAL);
    EXPECT_ERRNO(sched_setaffinity(1 << 22, sizeof(all), &all), ESRCH);
    EXPECT_ERRNO(syscall(SYS_sched_setaffinity, 0, sizeof(all), GT_BAD), EFAULT);
    // Bits of processors that do not exist are dropped.
    CPU_OR(&one, &one, &all);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_EQ(sched_getaffinity(0, sizeof(got), &got), 0);
    CHECK(CPU_EQUAL(&all, &got));
}

TEST(affinity_of_others)
{
    cpu_set_t all;
    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(sched_setaffinity(getppid(), sizeof(all), &all), EPERM);
        CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
        CHECK_EQ(sched_getaffinity(getppid(), sizeof(all), &all), 0);
    });
    CHECK_EXIT(pid, 0);
}

TEST(affinity_in_proc)
{
    cpu_set_t all, one;
    char text[8192];
    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK(gt_read_file("/proc/self/status", text, sizeof(text)) > 0);
    char *line = strstr(text, "Cpus_allowed_list:");
    CHECK(line != NULL);
    CHECK_EQ(strtol(line + 18, &line, 10), cpu);
    CHECK_EQ(*line, '\n');
    CHECK(get_nprocs_conf() >= 1);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= CPU_COUNT(&all));
}

TEST(priority_range)
{
    for (int nice = 0; nice < 20; nice++) {
        CHECK_EQ(setpriority(PRIO_PROCESS, 0, nice), 0);
        errno = 0;
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), nice);
        CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 20 - nice);
    }
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 1000), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, -1000), 0);    // root may
    CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 40);
    EXPECT_ERRNO(setpriority(3, 0, 0), EINVAL);
    EXPECT_ERRNO(setpriority(-1, 0, 0), EINVAL);
    EXPECT_ERRNO(getpriority(3, 0), EINVAL);
    EXPECT_ERRNO(setpriority(PRIO_PROCESS, 1 << 22, 0), ESRCH);
    EXPECT_ERRNO(getpriority(PRIO_PROCESS, 1 << 22), ESRCH);
    EXPECT_ERRNO(getpriority(PRIO_PGRP, 1 << 22), ESRCH);
}

TEST(priority_permission)
{
    pid_t target = FORK({
        for (;;)
            pause();
    });
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(setpriority(PRIO_PROCESS, target, 5), EPERM);
        CHECK_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
        CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 4), EACCES);
        CHECK_EQ(setpriority(PRIO_USER, 0, 7), 0);
        CHECK_EQ(getpriority(PRIO_USER, 1000), 7);
        CHECK_ERRNO(nice(-1), EPERM);
        CHECK_EQ(nice(2), 9);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(setpgid(target, target), 0);
    CHECK_EQ(setpriority(PRIO_PGRP, target, 11), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, target), 11);
    CHECK_EQ(getpriority(PRIO_PGRP, target), 11);
    kill(target, SIGKILL);
    CHECK_KILLED(target, SIGKILL);
}

TEST(priority_in_proc)
{
    char text[1024];
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 6), 0);
    CHECK(gt_read_file("/proc/self/stat", text, sizeof(text)) > 0);
    char *p = strrchr(text, ')');
    long priority, nice_value;
    CHECK_EQ(sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %ld %ld", &priority,
                    &nice_value),
             2);
    CHECK_EQ(nice_value, 6);
    CHECK_EQ(priority, 26);
}

TEST(policies)
{
    struct sched_param sp = {.sched_priority = 77};
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_EQ(sched_getparam(0, &sp), 0);
    CHECK_EQ(sp.sched_priority, 0);
    CHECK_EQ(sched_setscheduler(0, SCHED_BATCH, &sp), 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
    CHECK_EQ(sched_setscheduler(0, SCHED_IDLE, &sp), 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_IDLE);
    CHECK_EQ(sched_setscheduler(0, SCHED_OTHER, &sp), 0);
    CHECK_EQ(sched_setparam(0, &sp), 0);
    sp.sched_priority = 1;
    EXPECT_ERRNO(sched_setparam(0, &sp), EINVAL);
    EXPECT_ERRNO(sched_setscheduler(0, SCHED_OTHER, &sp), EINVAL);
    sp.sched_priority = 0;
    EXPECT_ERRNO(sched_setscheduler(0, SCHED_FIFO, &sp), EINVAL);
    sp.sched_priority = 100;
    EXPECT_ERRNO(sched_setscheduler(0, SCHED_FIFO, &sp), EINVAL);
    EXPECT_ERRNO(sched_setscheduler(0, 99, &sp), EINVAL);
    EXPECT_ERRNO(sched_setscheduler(-1, SCHED_OTHER, &sp), EINVAL);
    EXPECT_ERRNO(sched_setscheduler(1 << 22, SCHED_OTHER, &sp), ESRCH);
    EXPECT_ERRNO(sched_getscheduler(-1), EINVAL);
    EXPECT_ERRNO(sched_getscheduler(1 << 22), ESRCH);
    EXPECT_ERRNO(sched_getparam(0, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_sched_getparam, 0, GT_BAD), EFAULT);
    pid_t pid = FORK({
        sp.sched_priority = 1;
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(sched_setscheduler(0, SCHED_FIFO, &sp), EPERM);
        CHECK_ERRNO(sched_setscheduler(0, SCHED_RR, &sp), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(policy_ranges)
{
    EXPECT_EQ(sched_get_priority_min(SCHED_OTHER), 0);
    EXPECT_EQ(sched_get_priority_max(SCHED_OTHER), 0);
    EXPECT_EQ(sched_get_priority_min(SCHED_FIFO), 1);
    EXPECT_EQ(sched_get_priority_max(SCHED_FIFO), 99);
    EXPECT_EQ(sched_get_priority_min(SCHED_RR), 1);
    EXPECT_EQ(sched_get_priority_max(SCHED_RR), 99);
    EXPECT_EQ(sched_get_priority_max(SCHED_BATCH), 0);
    EXPECT_EQ(sched_get_priority_max(SCHED_IDLE), 0);
    EXPECT_EQ(sched_get_priority_max(SCHED_DEADLINE), 0);
    EXPECT_ERRNO(sched_get_priority_min(99), EINVAL);
    EXPECT_ERRNO(sched_get_priority_max(-1), EINVAL);
    struct timespec ts;
    EXPECT_EQ(sched_rr_get_interval(0, &ts), 0);
    EXPECT(ts.tv_sec == 0 && ts.tv_nsec >= 0);
    EXPECT_ERRNO(sched_rr_get_interval(-1, &ts), EINVAL);
    EXPECT_ERRNO(sched_rr_get_interval(1 << 22, &ts), ESRCH);
}

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

TEST(attributes)
{
    struct attr a;
    memset(&a, 0x55, sizeof(a));
    CHECK_EQ(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0), 0);
    CHECK(a.size >= 48 && a.policy == SCHED_OTHER && a.nice == 0 && a.priority == 0);
    a.size = 48;
    a.nice = 3;
    a.flags = 0;
    a.runtime = a.deadline = a.period = 0;
    CHECK_EQ(syscall(SYS_sched_setattr, 0, &a, 0), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
    EXPECT_ERRNO(syscall(SYS_sched_getattr, 0, &a, 47, 0), EINVAL);
    EXPECT_ERRNO(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 1), EINVAL);
    EXPECT_ERRNO(syscall(SYS_sched_getattr, 1 << 22, &a, sizeof(a), 0), ESRCH);
    EXPECT_ERRNO(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
    EXPECT_ERRNO(syscall(SYS_sched_setattr, 0, &a, 1), EINVAL);
    a.size = 40;
    EXPECT_ERRNO(syscall(SYS_sched_setattr, 0, &a, 0), E2BIG);
    a.size = 48;
    a.policy = 99;
    EXPECT_ERRNO(syscall(SYS_sched_setattr, 0, &a, 0), EINVAL);
}

TEST(yield)
{
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sched_yield(), 0);
}

TEST(io_priority)
{
    enum { WHO_PROCESS = 1, BEST_EFFORT = 2 };
    long r = syscall(SYS_ioprio_get, WHO_PROCESS, 0);
    CHECK(r >= 0);
    CHECK_EQ(syscall(SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT << 13 | 5), 0);
    CHECK_EQ(syscall(SYS_ioprio_get, WHO_PROCESS, 0), BEST_EFFORT << 13 | 5);
    EXPECT_ERRNO(syscall(SYS_ioprio_set, WHO_PROCESS, 0, 7 << 13), EINVAL);
    EXPECT_ERRNO(syscall(SYS_ioprio_set, 9, 0, BEST_EFFORT << 13), EINVAL);
    EXPECT_ERRNO(syscall(SYS_ioprio_get, WHO_PROCESS, 1 << 22), ESRCH);
}

static void *set_own_nice(void *arg)
{
    (void)arg;
    setpriority(PRIO_PROCESS, 0, 15);    // the calling thread only
    return (void *)(long)getpriority(PRIO_PROCESS, 0);
}

TEST(nice_is_per_thread)
{
    pthread_t thread;
    void *result;
    CHECK_RC(pthread_create(&thread, NULL, set_own_nice, NULL), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK_EQ((long)result, 15);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
}

static void *set_own_affinity(void *arg)
{
    cpu_set_t *one = arg, got;
    if (sched_setaffinity(0, sizeof(*one), one) != 0 || sched_getaffinity(0, sizeof(got), &got) != 0)
        return (void *)1;
    return CPU_EQUAL(one, &got) ? NULL : (void *)2;
}

TEST(affinity_is_per_thread)
{
    cpu_set_t all, one, got;
    pthread_t thread;
    void *result;
    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_RC(pthread_create(&thread, NULL, set_own_affinity, &one), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK(result == NULL);
    CHECK_EQ(sched_getaffinity(0, sizeof(got), &got), 0);
    CHECK(CPU_EQUAL(&all, &got));
}

TEST(more_threads_than_processors_progress)
{
    // Spinning threads do not starve one another: each of eight reaches its goal.
    atomic_long *counts = gt_shared(4096);
    pid_t pids[8];
    for (int i = 0; i < 8; i++)
        pids[i] = FORK({
            while (atomic_fetch_add(&counts[i], 1) < 1000000)
                continue;
        });
    for (int i = 0; i < 8; i++)
        CHECK_EXIT(pids[i], 0);
}
