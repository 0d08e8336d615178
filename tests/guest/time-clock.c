// Clocks and sleeping: every clock, resolution, setting, nanosleep and clock_nanosleep, CPU time, and the
// vDSO against the system calls.
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>

#include "guest-test.h"

#define NS 1000000000LL

static int64_t to_ns(struct timespec ts)
{
    return ts.tv_sec * NS + ts.tv_nsec;
}

static int64_t raw_now(clockid_t clock)
{
    struct timespec ts = {0};
    CHECK_EQ(syscall(SYS_clock_gettime, clock, &ts), 0);
    CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < NS);
    return to_ns(ts);
}

static int64_t lib_now(clockid_t clock)
{
    struct timespec ts = {0};
    CHECK_EQ(clock_gettime(clock, &ts), 0);
    CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < NS);
    return to_ns(ts);
}

static const clockid_t clocks[] = {CLOCK_REALTIME,         CLOCK_MONOTONIC,       CLOCK_PROCESS_CPUTIME_ID,
                                   CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,   CLOCK_REALTIME_COARSE,
                                   CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,        CLOCK_TAI};

static void burn(int64_t ns)
{
    int64_t end = raw_now(CLOCK_THREAD_CPUTIME_ID) + ns;
    while (raw_now(CLOCK_THREAD_CPUTIME_ID) < end)
        for (volatile int i = 0; i < 10000; i++)
            continue;
}

TEST(all_clocks_move_forward)
{
    for (size_t i = 0; i < GT_COUNT(clocks); i++) {
        int64_t last = raw_now(clocks[i]);
        CHECK(last > 0);
        for (int k = 0; k < 200; k++) {
            int64_t now = k & 1 ? lib_now(clocks[i]) : raw_now(clocks[i]);
            if (clocks[i] != CLOCK_REALTIME && clocks[i] != CLOCK_TAI && clocks[i] != CLOCK_REALTIME_COARSE)
                CHECK(now >= last);
            last = now;
        }
    }
}

TEST(clocks_agree)
{
    static const clockid_t pairs[][2] = {{CLOCK_REALTIME, CLOCK_REALTIME_COARSE},
                                         {CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE}};
    for (int i = 0; i < 2; i++) {
        int64_t difference = raw_now(pairs[i][0]) - raw_now(pairs[i][1]);
        CHECK(difference > -20000000 && difference < NS);
    }
    // The vDSO and the system call read the same clock.
    for (size_t i = 0; i < GT_COUNT(clocks); i++) {
        int64_t a = raw_now(clocks[i]), b = lib_now(clocks[i]), c = raw_now(clocks[i]);
        if (clocks[i] != CLOCK_REALTIME && clocks[i] != CLOCK_TAI)
            CHECK(a <= b && b <= c);
    }
}

TEST(elapsed_agrees)
{
    int64_t start[GT_COUNT(clocks)];
    for (size_t i = 0; i < GT_COUNT(clocks); i++)
        start[i] = raw_now(clocks[i]);
    gt_msleep(50);
    for (size_t i = 0; i < GT_COUNT(clocks); i++) {
        int64_t elapsed = raw_now(clocks[i]) - start[i];
        if (clocks[i] == CLOCK_PROCESS_CPUTIME_ID || clocks[i] == CLOCK_THREAD_CPUTIME_ID)
            CHECK(elapsed < 45000000);
        else
            CHECK(elapsed >= 40000000);
    }
}

TEST(getres)
{
    struct timespec ts;
    for (size_t i = 0; i < GT_COUNT(clocks); i++) {
        CHECK_EQ(syscall(SYS_clock_getres, clocks[i], &ts), 0);
        CHECK_EQ(ts.tv_sec, 0);
        bool coarse = clocks[i] == CLOCK_REALTIME_COARSE || clocks[i] == CLOCK_MONOTONIC_COARSE;
        CHECK(coarse ? ts.tv_nsec >= 1000000 && ts.tv_nsec <= 10000000 : ts.tv_nsec == 1);
        CHECK_EQ(clock_getres(clocks[i], NULL), 0);
    }
    EXPECT_ERRNO(syscall(SYS_clock_getres, 77, &ts), EINVAL);
    EXPECT_ERRNO(syscall(SYS_clock_getres, CLOCK_MONOTONIC, GT_BAD), EFAULT);
}

TEST(gettime_errors)
{
    struct timespec ts;
    EXPECT_ERRNO(syscall(SYS_clock_gettime, 77, &ts), EINVAL);
    EXPECT_ERRNO(syscall(SYS_clock_gettime, -1, &ts), EINVAL);
    EXPECT_ERRNO(clock_gettime(77, &ts), EINVAL);
    EXPECT_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, GT_BAD), EFAULT);
    EXPECT_ERRNO(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &ts), EINVAL);
    EXPECT_ERRNO(syscall(SYS_clock_settime, 77, &ts), EINVAL);
    ts = (struct timespec){0, NS};
    EXPECT_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &ts), EINVAL);
    EXPECT_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, GT_BAD), EFAULT);
    pid_t pid = FORK({
        struct timespec now;
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        clock_gettime(CLOCK_REALTIME, &now);
        EXPECT_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, &now), EPERM);
        struct timeval tv = {now.tv_sec, 0};
        EXPECT_ERRNO(syscall(SYS_settimeofday, &tv, NULL), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(gettimeofday_and_time)
{
    struct timeval tv;
    int64_t before = raw_now(CLOCK_REALTIME);
    CHECK_EQ(syscall(SYS_gettimeofday, &tv, NULL), 0);
    int64_t now = tv.tv_sec * NS + tv.tv_usec * 1000;
    CHECK(now >= before - 1000 && now < before + 30 * NS);
    CHECK_EQ(gettimeofday(&tv, NULL), 0);
    CHECK(tv.tv_usec >= 0 && tv.tv_usec < 1000000);
    time_t t, r = syscall(SYS_time, &t);
    CHECK_EQ(t, r);
    CHECK(r >= before / NS - 1 && r < before / NS + 30);
    CHECK(time(NULL) >= r);
    CHECK_EQ(syscall(SYS_gettimeofday, NULL, NULL), 0);
    CHECK_ERRNO(syscall(SYS_gettimeofday, GT_BAD, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_time, GT_BAD), EFAULT);
}

TEST(cpu_time_counts_work)
{
    int64_t process = raw_now(CLOCK_PROCESS_CPUTIME_ID), thread = raw_now(CLOCK_THREAD_CPUTIME_ID);
    burn(100000000);
    CHECK(raw_now(CLOCK_PROCESS_CPUTIME_ID) - process >= 95000000);
    CHECK(raw_now(CLOCK_THREAD_CPUTIME_ID) - thread >= 100000000);
}

static void *burner(void *arg)
{
    int64_t start = raw_now(CLOCK_THREAD_CPUTIME_ID);
    burn(100000000);
    *(int64_t *)arg = raw_now(CLOCK_THREAD_CPUTIME_ID) - start;
    return NULL;
}

TEST(cpu_time_of_threads)
{
    pthread_t threads[2];
    int64_t used[2], own = raw_now(CLOCK_THREAD_CPUTIME_ID), process = raw_now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < 2; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, burner, &used[i]), 0);
    for (int i = 0; i < 2; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK(used[0] >= 100000000 && used[1] >= 100000000);
    CHECK(raw_now(CLOCK_PROCESS_CPUTIME_ID) - process >= 190000000);
    CHECK(raw_now(CLOCK_THREAD_CPUTIME_ID) - own < 90000000);
}

TEST(cpu_clock_of_other)
{
    clockid_t clock;
    CHECK_RC(clock_getcpuclockid(0, &clock), 0);
    burn(30000000);
    CHECK(raw_now(clock) > 0);
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = FORK({
        burn(50000000);
        CHECK_EQ(write(ends[1], "r", 1), 1);
        pause();
    });
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_RC(clock_getcpuclockid(pid, &clock), 0);
    CHECK(raw_now(clock) >= 45000000);
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
    CHECK(clock_getcpuclockid(pid, &clock) != 0);
    CHECK_RC(pthread_getcpuclockid(pthread_self(), &clock), 0);
    CHECK(raw_now(clock) > 0);
}

TEST(getrusage_true)
{
    struct rusage a, b;
    CHECK_EQ(getrusage(RUSAGE_SELF, &a), 0);
    burn(150000000);
    CHECK_EQ(getrusage(RUSAGE_SELF, &b), 0);
    int64_t used = (b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) * NS +
                   (b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec) * 1000;
    CHECK(used >= 130000000);
    CHECK_EQ(getrusage(RUSAGE_THREAD, &b), 0);
    CHECK_EQ(getrusage(RUSAGE_CHILDREN, &b), 0);
    CHECK(b.ru_utime.tv_sec == 0 && b.ru_utime.tv_usec == 0);
    EXPECT_ERRNO(getrusage(5, &b), EINVAL);
    EXPECT_ERRNO(syscall(SYS_getrusage, RUSAGE_SELF, GT_BAD), EFAULT);
    // Page faults and peak memory grow.
    char *p = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(madvise(p, 32 << 20, MADV_NOHUGEPAGE), 0);
    memset(p, 1, 32 << 20);
    CHECK_EQ(getrusage(RUSAGE_SELF, &b), 0);
    CHECK(b.ru_maxrss >= a.ru_maxrss);
    CHECK(b.ru_maxrss >= 32 << 10);
    CHECK(b.ru_minflt > a.ru_minflt);
    // A sleep is a voluntary switch.
    long before = b.ru_nvcsw;
    gt_msleep(5);
    CHECK_EQ(getrusage(RUSAGE_SELF, &b), 0);
    CHECK(b.ru_nvcsw > before);
}

TEST(times_call)
{
    struct tms a, b;
    clock_t start = times(&a);
    CHECK(start != -1);
    burn(100000000);
    pid_t pid = FORK({ burn(100000000); });
    CHECK_EXIT(pid, 0);
    clock_t end = times(&b);
    CHECK(end >= start);
    CHECK(b.tms_utime + b.tms_stime - a.tms_utime - a.tms_stime >= 8);
    CHECK(b.tms_cutime + b.tms_cstime >= 8);
    CHECK_EQ(a.tms_cutime, 0);
    CHECK(syscall(SYS_times, NULL) >= end);
    CHECK_ERRNO(syscall(SYS_times, GT_BAD), EFAULT);
}

TEST(nanosleep_basic)
{
    struct timespec ts = {0, 20000000};
    int64_t start = gt_now_ns();
    CHECK_EQ(nanosleep(&ts, NULL), 0);
    CHECK(gt_now_ns() - start >= 20000000);
    ts = (struct timespec){0, 0};
    CHECK_EQ(nanosleep(&ts, NULL), 0);
    ts = (struct timespec){0, NS};
    EXPECT_ERRNO(nanosleep(&ts, NULL), EINVAL);
    ts = (struct timespec){-1, 0};
    EXPECT_ERRNO(nanosleep(&ts, NULL), EINVAL);
    ts = (struct timespec){0, -1};
    EXPECT_ERRNO(nanosleep(&ts, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_nanosleep, GT_BAD, NULL), EFAULT);
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
    (void)sig;
    signals++;
}

static void alarm_in(int ms)
{
    struct itimerval it = {{0, 0}, {ms / 1000, ms % 1000 * 1000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
}

TEST(nanosleep_interrupted)
{
    for (int restart = 0; restart < 2; restart++) {
        struct sigaction sa = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
        CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
        struct timespec ts = {100, 0}, left = {0};
        alarm_in(30);
        CHECK_ERRNO(nanosleep(&ts, &left), EINTR);
        CHECK(left.tv_sec >= 60 && left.tv_sec < 100);
        CHECK(to_ns(left) <= 100 * NS - 1000000);
        alarm_in(30);
        CHECK_ERRNO(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &left) == EINTR ? (errno = EINTR, -1) : 0, EINTR);
    }
}

TEST(nanosleep_not_ended_by_stop)
{
    // Stopped and continued, or a signal that is ignored: the sleep goes on to its end.
    pid_t pid = FORK({
        struct timespec ts = {0, 200000000};
        int64_t start = gt_now_ns();
        CHECK_EQ(nanosleep(&ts, NULL), 0);
        CHECK(gt_now_ns() - start >= 200000000);
    });
    gt_wait_state(pid, "S");
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(kill(pid, SIGWINCH), 0);
    CHECK_EXIT(pid, 0);
}

TEST(clock_nanosleep_kinds)
{
    static const clockid_t sleepable[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
    for (size_t i = 0; i < GT_COUNT(sleepable); i++) {
        struct timespec ts = {0, 10000000};
        int64_t start = raw_now(sleepable[i]);
        CHECK_EQ(clock_nanosleep(sleepable[i], 0, &ts, NULL), 0);
        CHECK(raw_now(sleepable[i]) - start >= 10000000);
        int64_t until = raw_now(sleepable[i]) + 20000000;
        ts = (struct timespec){until / NS, until % NS};
        CHECK_EQ(clock_nanosleep(sleepable[i], TIMER_ABSTIME, &ts, NULL), 0);
        CHECK(raw_now(sleepable[i]) >= until);
        ts = (struct timespec){1, 0};
        CHECK_EQ(clock_nanosleep(sleepable[i], TIMER_ABSTIME, &ts, NULL), 0);    // long past
    }
}

TEST(clock_nanosleep_errors)
{
    struct timespec ts = {0, 1}, bad = {0, NS};
    EXPECT_ERRNO(syscall(SYS_clock_nanosleep, 77, 0, &ts, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EOPNOTSUPP);
    EXPECT_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &ts, NULL), EOPNOTSUPP);
    EXPECT_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_COARSE, 0, &ts, NULL), EOPNOTSUPP);
    EXPECT_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &bad, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, GT_BAD, NULL), EFAULT);
}

TEST(absolute_sleep_interrupted)
{
    // A handler ends an absolute sleep even with SA_RESTART; what is left is not reported.
    for (int restart = 0; restart < 2; restart++) {
        struct sigaction sa = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
        CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
        int64_t until = raw_now(CLOCK_MONOTONIC) + 100 * NS;
        struct timespec ts = {until / NS, until % NS}, left = {-1, -1};
        alarm_in(20);
        CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, &left), EINTR);
        CHECK_EQ(left.tv_sec, -1);
        CHECK_EQ(signals, restart + 1);
    }
}

static atomic_int burn_over;

static void *burn_on(void *arg)
{
    while (atomic_load(&burn_over) == 0)
        continue;
    return arg;
}

TEST(process_cpu_sleep)
{
    // Sleeps until another thread has used so much of the process's time.
    pthread_t thread;
    CHECK_RC(pthread_create(&thread, NULL, burn_on, NULL), 0);
    struct timespec ts = {0, 20000000};
    int64_t start = raw_now(CLOCK_PROCESS_CPUTIME_ID);
    CHECK_EQ(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &ts, NULL), 0);
    CHECK(raw_now(CLOCK_PROCESS_CPUTIME_ID) - start >= 15000000);
    atomic_store(&burn_over, 1);
    CHECK_RC(pthread_join(thread, NULL), 0);
}

TEST(adjtimex_read)
{
    struct timex tx = {0};
    int state = adjtimex(&tx);
    CHECK(state >= 0 && state <= 5);
    CHECK(tx.tick > 0);
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        struct timex t = {.modes = ADJ_FREQUENCY};
        EXPECT_ERRNO(adjtimex(&t), EPERM);
    });
    CHECK_EXIT(pid, 0);
}

TEST(vdso_symbols_work_in_children)
{
    // A child and a thread read the clock as well as the parent does.
    int64_t start = lib_now(CLOCK_MONOTONIC);
    pid_t pid = FORK({ CHECK(lib_now(CLOCK_MONOTONIC) >= start); });
    CHECK_EXIT(pid, 0);
    CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
}
