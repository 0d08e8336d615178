// Interval timers, alarm and POSIX timers: arming, reading, periods, overruns, notification kinds, limits.
#include <pthread.h>
#include <sys/resource.h>

#include "guest-test.h"

#define NS 1000000000LL

static volatile sig_atomic_t signals;
static siginfo_t last;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    last = *info;
    signals++;
}

static void catch(int sig)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

static void wait_signals(int count)
{
    sigset_t block, old;
    sigfillset(&block);
    sigprocmask(SIG_BLOCK, &block, &old);
    while (signals < count)
        sigsuspend(&old);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void spin_until_signals(int count)
{
    while (signals < count)
        for (volatile int i = 0; i < 1000; i++)
            continue;
}

static sigset_t blocked(int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return set;
}

TEST(alarm_basic)
{
    catch(SIGALRM);
    CHECK_EQ(alarm(100), 0);
    unsigned left = alarm(1);
    CHECK(left >= 99 && left <= 100);
    wait_signals(1);
    CHECK_EQ(alarm(0), 0);
    CHECK_EQ(alarm(50), 0);
    CHECK(alarm(0) > 0);
    CHECK_EQ(alarm(0), 0);
}

TEST(itimer_real)
{
    catch(SIGALRM);
    struct itimerval it = {{0, 10000}, {0, 10000}}, old;
    int64_t start = gt_now_ns();
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    wait_signals(5);
    CHECK(gt_now_ns() - start >= 49000000);
    CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
    CHECK_EQ(old.it_interval.tv_usec, 10000);
    CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec <= 10000);
    memset(&it, 0, sizeof(it));
    CHECK_EQ(setitimer(ITIMER_REAL, &it, &old), 0);
    CHECK_EQ(old.it_interval.tv_usec, 10000);
    CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
    CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
    CHECK_EQ(alarm(0), 0);
}

TEST(itimer_one_shot)
{
    catch(SIGALRM);
    struct itimerval it = {{0, 0}, {0, 1000}}, old;
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    wait_signals(1);
    gt_msleep(20);
    CHECK_EQ(signals, 1);
    CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
    CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
}

TEST(itimer_virtual_and_prof)
{
    static const int kinds[][2] = {{ITIMER_VIRTUAL, SIGVTALRM}, {ITIMER_PROF, SIGPROF}};
    for (int i = 0; i < 2; i++) {
        catch(kinds[i][1]);
        signals = 0;
        struct itimerval it = {{0, 20000}, {0, 20000}}, zero = {{0, 0}, {0, 0}};
        struct rusage a, b;
        CHECK_EQ(getrusage(RUSAGE_SELF, &a), 0);
        CHECK_EQ(setitimer(kinds[i][0], &it, NULL), 0);
        spin_until_signals(3);
        CHECK_EQ(setitimer(kinds[i][0], &zero, NULL), 0);
        CHECK_EQ(getrusage(RUSAGE_SELF, &b), 0);
        int64_t us = (b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 1000000LL +
                     b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec;
        CHECK(us >= 30000);
        CHECK_EQ(last.si_signo, kinds[i][1]);
        // Sleeping does not advance them.
        signals = 0;
        it.it_value.tv_usec = 50000;
        CHECK_EQ(setitimer(kinds[i][0], &it, NULL), 0);
        gt_msleep(100);
        CHECK_EQ(signals, 0);
        CHECK_EQ(setitimer(kinds[i][0], &zero, NULL), 0);
    }
}

TEST(itimer_errors)
{
    struct itimerval it = {{0, 0}, {0, 1000000}};
    EXPECT_ERRNO(getitimer(3, &it), EINVAL);
    EXPECT_ERRNO(getitimer(-1, &it), EINVAL);
    EXPECT_ERRNO(syscall(SYS_getitimer, 0, GT_BAD), EFAULT);
    EXPECT_ERRNO(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    it.it_value.tv_usec = -1;
    EXPECT_ERRNO(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    it = (struct itimerval){{0, 1000000}, {0, 1}};
    EXPECT_ERRNO(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    it = (struct itimerval){{0, 0}, {-1, 0}};
    EXPECT_ERRNO(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    it = (struct itimerval){{0, 0}, {1, 0}};
    EXPECT_ERRNO(setitimer(7, &it, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_setitimer, ITIMER_REAL, GT_BAD, NULL), EFAULT);
    EXPECT_EQ(syscall(SYS_setitimer, ITIMER_REAL, NULL, NULL), 0);    // a null pointer disarms
}

TEST(timer_signal)
{
    catch(SIGRTMIN);
    timer_t timer;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 4711};
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
    struct itimerspec it = {{0, 0}, {0, 10000000}}, got;
    CHECK_EQ(timer_gettime(timer, &got), 0);
    CHECK(got.it_value.tv_sec == 0 && got.it_value.tv_nsec == 0);
    CHECK_EQ(timer_settime(timer, 0, &it, NULL), 0);
    wait_signals(1);
    CHECK_EQ(last.si_signo, SIGRTMIN);
    CHECK_EQ(last.si_code, SI_TIMER);
    CHECK_EQ(last.si_value.sival_int, 4711);
    CHECK_EQ(last.si_overrun, 0);
    CHECK_EQ(timer_getoverrun(timer), 0);
    CHECK_EQ(timer_delete(timer), 0);
    CHECK_ERRNO(timer_delete(timer), EINVAL);
}

TEST(timer_default_event)
{
    catch(SIGALRM);
    int id = -1;
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id), 0);
    struct itimerspec it = {{0, 0}, {0, 1000000}};
    CHECK_EQ(syscall(SYS_timer_settime, id, 0, &it, NULL), 0);
    wait_signals(1);
    CHECK_EQ(last.si_code, SI_TIMER);
    CHECK_EQ(last.si_value.sival_int, id);
    CHECK_EQ(last.si_timerid, id);
    CHECK_EQ(syscall(SYS_timer_delete, id), 0);
}

TEST(timer_overrun)
{
    sigset_t set = blocked(SIGRTMIN + 1);
    timer_t timer;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
    struct itimerspec it = {{0, 2000000}, {0, 2000000}};
    CHECK_EQ(timer_settime(timer, 0, &it, NULL), 0);
    gt_msleep(60);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    // Queued once, however often it fired.
    CHECK(info.si_overrun >= 20);
    CHECK_EQ(timer_getoverrun(timer), info.si_overrun);
    CHECK_EQ(timer_delete(timer), 0);
}

TEST(timer_absolute)
{
    catch(SIGRTMIN);
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    for (size_t i = 0; i < GT_COUNT(clocks); i++) {
        timer_t timer;
        struct timespec now;
        signals = 0;
        struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
        CHECK_EQ(timer_create(clocks[i], &ev, &timer), 0);
        clock_gettime(clocks[i], &now);
        int64_t until = now.tv_sec * NS + now.tv_nsec + 20000000;
        struct itimerspec it = {{0, 0}, {until / NS, until % NS}};
        CHECK_EQ(timer_settime(timer, TIMER_ABSTIME, &it, NULL), 0);
        wait_signals(1);
        clock_gettime(clocks[i], &now);
        CHECK(now.tv_sec * NS + now.tv_nsec >= until);
        it.it_value = (struct timespec){1, 0};    // in the past: at once
        CHECK_EQ(timer_settime(timer, TIMER_ABSTIME, &it, NULL), 0);
        wait_signals(2);
        CHECK_EQ(timer_delete(timer), 0);
    }
}

TEST(timer_rearm_and_read)
{
    timer_t timer;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
    struct itimerspec it = {{7, 0}, {100, 0}}, got;
    CHECK_EQ(timer_settime(timer, 0, &it, NULL), 0);
    CHECK_EQ(timer_gettime(timer, &got), 0);
    CHECK(got.it_value.tv_sec >= 60 && got.it_value.tv_sec <= 100);
    CHECK_EQ(got.it_interval.tv_sec, 7);
    it.it_value.tv_sec = 50;
    memset(&got, 0, sizeof(got));
    CHECK_EQ(timer_settime(timer, 0, &it, &got), 0);
    CHECK(got.it_value.tv_sec >= 60 && got.it_value.tv_sec <= 100);
    it.it_value.tv_sec = 0;
    CHECK_EQ(timer_settime(timer, 0, &it, &got), 0);
    CHECK(got.it_value.tv_sec <= 50);
    CHECK_EQ(timer_gettime(timer, &got), 0);
    CHECK(got.it_value.tv_sec == 0 && got.it_value.tv_nsec == 0);
    CHECK_EQ(timer_delete(timer), 0);
}

TEST(timer_none_expires_quietly)
{
    timer_t timer;
    struct sigevent ev = {.sigev_notify = SIGEV_NONE};
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
    struct itimerspec it = {{0, 0}, {0, 5000000}}, got;
    CHECK_EQ(timer_settime(timer, 0, &it, NULL), 0);
    gt_msleep(20);
    CHECK_EQ(timer_gettime(timer, &got), 0);
    CHECK(got.it_value.tv_sec == 0 && got.it_value.tv_nsec == 0);
    CHECK_EQ(timer_delete(timer), 0);
}

static void *timed_thread(void *arg)
{
    // Blocked everywhere else, so that only this thread can take the signal.
    sigset_t set;
    siginfo_t info;
    timer_t timer;
    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 2};
    ev._sigev_un._tid = syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &ev, &timer) != 0)
        return (void *)1;
    struct itimerspec it = {{0, 0}, {0, 10000000}};
    if (timer_settime(timer, 0, &it, NULL) != 0 || sigwaitinfo(&set, &info) != SIGRTMIN + 2)
        return (void *)2;
    return info.si_code == SI_TIMER && timer_delete(timer) == 0 ? NULL : (void *)3;
}

TEST(timer_thread_id)
{
    (void)blocked(SIGRTMIN + 2);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, timed_thread, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK_EQ((long)result, 0);
    }
    int id;
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    ev._sigev_un._tid = getppid();
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
    ev._sigev_un._tid = 1 << 22;
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
}

static atomic_int notified;

static void notify(union sigval value)
{
    atomic_fetch_add(&notified, value.sival_int);
}

TEST(timer_sigev_thread)
{
    timer_t timer;
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 5};
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
    struct itimerspec it = {{0, 0}, {0, 10000000}};
    CHECK_EQ(timer_settime(timer, 0, &it, NULL), 0);
    while (atomic_load(&notified) != 5)
        gt_msleep(2);
    CHECK_EQ(timer_delete(timer), 0);
}

TEST(timer_errors)
{
    int id = 0;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec it = {{0, 0}, {0, NS}};
    EXPECT_ERRNO(syscall(SYS_timer_create, 77, &ev, &id), EINVAL);
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, &ev, &id), EOPNOTSUPP);
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC_COARSE, &ev, &id), EOPNOTSUPP);
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, GT_BAD, &id), EFAULT);
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, GT_BAD), EFAULT);
    ev.sigev_signo = 0;
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
    ev.sigev_signo = 65;
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
    ev = (struct sigevent){.sigev_notify = 99, .sigev_signo = SIGUSR1};
    EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id), EINVAL);
    EXPECT_ERRNO(syscall(SYS_timer_settime, 12345, 0, &it, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_timer_gettime, 12345, &it), EINVAL);
    EXPECT_ERRNO(syscall(SYS_timer_getoverrun, 12345), EINVAL);
    EXPECT_ERRNO(syscall(SYS_timer_delete, 12345), EINVAL);
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id), 0);
    EXPECT_ERRNO(syscall(SYS_timer_settime, id, 0, &it, NULL), EINVAL);
    it.it_value.tv_nsec = -1;
    EXPECT_ERRNO(syscall(SYS_timer_settime, id, 0, &it, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
    EXPECT_ERRNO(syscall(SYS_timer_settime, id, 0, GT_BAD, NULL), EFAULT);
    EXPECT_ERRNO(syscall(SYS_timer_gettime, id, GT_BAD), EFAULT);
}

TEST(timers_not_inherited)
{
    int id;
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id), 0);
    pid_t pid = FORK({ CHECK_ERRNO(syscall(SYS_timer_delete, id), EINVAL); });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(syscall(SYS_timer_delete, id), 0);
}

TEST(many_timers)
{
    catch(SIGRTMIN);
    enum { MANY = 100 };
    int ids[MANY];
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &ids[i]), 0);
        struct itimerspec it = {{0, 0}, {0, 1000000 + i * 100000}};
        CHECK_EQ(syscall(SYS_timer_settime, ids[i], 0, &it, NULL), 0);
    }
    wait_signals(MANY);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(syscall(SYS_timer_delete, ids[i]), 0);
}

TEST(cpu_timer)
{
    catch(SIGRTMIN);
    timer_t timer;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    CHECK_EQ(timer_create(CLOCK_PROCESS_CPUTIME_ID, &ev, &timer), 0);
    struct itimerspec it = {{0, 0}, {0, 30000000}};
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    CHECK_EQ(timer_settime(timer, 0, &it, NULL), 0);
    spin_until_signals(1);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    CHECK((b.tv_sec - a.tv_sec) * NS + b.tv_nsec - a.tv_nsec >= 25000000);
    CHECK_EQ(timer_delete(timer), 0);
}
