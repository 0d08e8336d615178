// Signals and threads: which thread runs a handler, masks of new threads, signals during creation, exit and
// exec, timers and threads, and raw clone threads without a library.
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "guest-test.h"

static atomic_int handler_tid, handler_runs;

static void note(int sig)
{
    (void)sig;
    atomic_store(&handler_tid, syscall(SYS_gettid));
    atomic_fetch_add(&handler_runs, 1);
}

static void install(int sig, void (*handler)(int))
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(sig, &sa, NULL), 0);
}

static void block(int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    CHECK_RC(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static void unblock(int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    CHECK_RC(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
}

static bool is_blocked(int sig)
{
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, sig);
}

static void *mask_thread(void *arg)
{
    bool inherited = is_blocked(SIGUSR1) && !is_blocked(SIGUSR2);
    block(SIGUSR2);
    return inherited ? arg : NULL;
}

TEST(mask_is_inherited_and_private)
{
    pthread_t thread;
    void *result;
    block(SIGUSR1);
    CHECK_RC(pthread_create(&thread, NULL, mask_thread, (void *)5L), 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK_EQ((long)result, 5);
    CHECK(!is_blocked(SIGUSR2));
}

static atomic_int parked_tid, stop_parked;

static void *parked(void *arg)
{
    atomic_store(&parked_tid, syscall(SYS_gettid));
    while (atomic_load(&stop_parked) == 0)
        gt_msleep(1);
    return arg;
}

static pthread_t start_parked(void)
{
    pthread_t thread;
    atomic_store(&stop_parked, 0);
    atomic_store(&parked_tid, 0);
    CHECK_RC(pthread_create(&thread, NULL, parked, NULL), 0);
    while (atomic_load(&parked_tid) == 0)
        sched_yield();
    return thread;
}

static void end_parked(pthread_t thread)
{
    atomic_store(&stop_parked, 1);
    CHECK_RC(pthread_join(thread, NULL), 0);
}

TEST(kill_prefers_main_thread)
{
    // Nobody blocks it: the first thread gets a signal for the process.
    install(SIGUSR1, note);
    pthread_t thread = start_parked();
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        CHECK_EQ(atomic_load(&handler_runs), i);
        CHECK_EQ(handler_tid, getpid());
    }
    end_parked(thread);
}

TEST(kill_when_main_blocks)
{
    install(SIGUSR1, note);
    pthread_t thread = start_parked();
    block(SIGUSR1);
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        while (atomic_load(&handler_runs) < i)
            sched_yield();
        CHECK_EQ(handler_tid, parked_tid);
    }
    end_parked(thread);
}

TEST(pthread_kill_hits_its_target)
{
    install(SIGUSR1, note);
    pthread_t thread = start_parked();
    for (int i = 1; i <= 50; i++) {
        CHECK_RC(pthread_kill(thread, SIGUSR1), 0);
        while (atomic_load(&handler_runs) < i)
            sched_yield();
        CHECK_EQ(handler_tid, parked_tid);
    }
    end_parked(thread);
    // Joining returns a moment before the thread is gone.
    while (syscall(SYS_tgkill, getpid(), parked_tid, 0) == 0)
        sched_yield();
    CHECK_EQ(errno, ESRCH);
    CHECK_ERRNO(syscall(SYS_tkill, parked_tid, 0), ESRCH);
}

TEST(pending_moves_when_thread_exits)
{
    // A signal for the process that one thread could have taken is not lost with that thread.
    install(SIGUSR1, note);
    block(SIGUSR1);
    pthread_t thread = start_parked();    // blocks it as well
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    end_parked(thread);
    unblock(SIGUSR1);
    CHECK_EQ(atomic_load(&handler_runs), 1);
}

static void *unblock_and_wait(void *arg)
{
    unblock(SIGUSR1);
    while (atomic_load(&handler_runs) == 0)
        gt_msleep(1);
    return arg;
}

TEST(unblocking_takes_process_signal)
{
    install(SIGUSR1, note);
    block(SIGUSR1);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    pthread_t thread;
    CHECK_RC(pthread_create(&thread, NULL, unblock_and_wait, NULL), 0);
    CHECK_RC(pthread_join(thread, NULL), 0);
    CHECK(handler_tid != getpid());
    sigset_t set;
    sigpending(&set);
    CHECK(!sigismember(&set, SIGUSR1));
}

TEST(main_thread_gone)
{
    // After the first thread has ended, the process still takes signals.
    pid_t pid = FORK({
        pthread_t thread;
        install(SIGUSR1, note);
        CHECK_RC(pthread_create(&thread, NULL, parked, NULL), 0);
        while (atomic_load(&parked_tid) == 0)
            sched_yield();
        // The parked thread leaves by the handler count.
        atomic_store(&stop_parked, 0);
        syscall(SYS_exit, 0);
    });
    gt_wait_state(pid, "Z");
    CHECK_EQ(kill(pid, SIGUSR1), 0);
    gt_msleep(10);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    CHECK_KILLED(pid, SIGTERM);
}

static void *fatal_thread(void *arg)
{
    signal(SIGUSR2, SIG_DFL);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR2);
    return arg;
}

TEST(fatal_signal_in_thread_ends_all)
{
    pid_t pid = FORK({
        pthread_t thread;
        CHECK_RC(pthread_create(&thread, NULL, fatal_thread, NULL), 0);
        for (;;)
            pause();
    });
    CHECK_KILLED(pid, SIGUSR2);
}

static void *short_lived(void *arg)
{
    return arg;
}

TEST(storm_during_creation)
{
    // A timer's signals arrive while threads are created and joined.
    install(SIGALRM, note);
    struct itimerval it = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    for (long i = 0; i < 300; i++) {
        pthread_t thread;
        void *result;
        CHECK_RC(pthread_create(&thread, NULL, short_lived, (void *)i), 0);
        CHECK_RC(pthread_join(thread, &result), 0);
        CHECK_EQ((long)result, i);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &off, NULL), 0);
}

TEST(storm_during_fork)
{
    install(SIGALRM, note);
    struct itimerval it = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    for (int i = 0; i < 100; i++) {
        pid_t pid = FORK({ _exit(i & 31); });
        CHECK_EXIT(pid, i & 31);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &off, NULL), 0);
}

static atomic_int storm_over;

static void *storm_target(void *arg)
{
    unsigned long sum = 0;
    while (atomic_load(&storm_over) == 0) {
        sum += syscall(SYS_getppid);
        sched_yield();
    }
    (void)arg;
    return (void *)sum;
}

TEST(storm_between_threads)
{
    install(SIGUSR1, note);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, storm_target, NULL), 0);
    for (int i = 0; i < 2000; i++)
        CHECK_RC(pthread_kill(threads[i & 3], SIGUSR1), 0);
    atomic_store(&storm_over, 1);
    for (int i = 0; i < 4; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK(atomic_load(&handler_runs) > 0);
}

// Raw threads: no library, no thread-local storage of their own.
struct raw_thread {
    atomic_int parent_tid, child_tid, ran;
    char stack[32768] __attribute__((aligned(16)));
};

static int raw_body(void *arg)
{
    atomic_store(&((struct raw_thread *)arg)->ran, 1);
    return 0;
}

#define THREAD_FLAGS                                                                                     \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | \
     CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)

TEST(raw_clone_threads)
{
    static struct raw_thread threads[20];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 20; i++) {
            struct raw_thread *t = &threads[i];
            atomic_store(&t->child_tid, -1);
            atomic_store(&t->ran, 0);
            pid_t tid = OK(clone(raw_body, t->stack + sizeof(t->stack), THREAD_FLAGS, t, &t->parent_tid, NULL,
                                 &t->child_tid));
            CHECK_EQ(t->parent_tid, tid);
        }
        for (int i = 0; i < 20; i++) {
            int value;
            while ((value = atomic_load(&threads[i].child_tid)) != 0)
                syscall(SYS_futex, &threads[i].child_tid, FUTEX_WAIT, value, NULL, NULL, 0);
            CHECK_EQ(threads[i].ran, 1);
        }
    }
}

TEST(threads_are_not_waited_for)
{
    static struct raw_thread t;
    atomic_store(&t.child_tid, -1);
    (void)OK(clone(raw_body, t.stack + sizeof(t.stack), THREAD_FLAGS, &t, &t.parent_tid, NULL, &t.child_tid));
    CHECK_ERRNO(waitpid(t.parent_tid, NULL, __WALL), ECHILD);
    while (atomic_load(&t.child_tid) != 0)
        sched_yield();
    CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
}

static void *exec_racer(void *arg)
{
    pthread_barrier_wait(arg);
    execl(gt_self, gt_self, "-xdone", (char *)NULL);
    return NULL;
}

ENTRY(done)
{
    return getpid() == syscall(SYS_gettid) ? 66 : 1;
}

TEST(several_threads_exec_at_once)
{
    for (int i = 0; i < 10; i++) {
        pid_t pid = FORK({
            static pthread_barrier_t barrier;
            pthread_t thread;
            CHECK_RC(pthread_barrier_init(&barrier, NULL, 4), 0);
            for (int k = 0; k < 3; k++)
                CHECK_RC(pthread_create(&thread, NULL, exec_racer, &barrier), 0);
            exec_racer(&barrier);
        });
        CHECK_EXIT(pid, 66);
    }
}

static void *exit_racer(void *arg)
{
    pthread_barrier_wait(arg);
    _exit(67);
}

TEST(exit_and_exec_race)
{
    for (int i = 0; i < 10; i++) {
        pid_t pid = FORK({
            static pthread_barrier_t barrier;
            pthread_t thread;
            CHECK_RC(pthread_barrier_init(&barrier, NULL, 3), 0);
            CHECK_RC(pthread_create(&thread, NULL, exit_racer, &barrier), 0);
            CHECK_RC(pthread_create(&thread, NULL, exec_racer, &barrier), 0);
            pthread_barrier_wait(&barrier);
            pause();
        });
        int status = gt_waitpid(pid);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 66 || WEXITSTATUS(status) == 67));
    }
}

static void *create_until_dead(void *arg)
{
    pthread_attr_t attr;
    (void)arg;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        pthread_create(&thread, &attr, short_lived, NULL);
    }
    return NULL;
}

TEST(kill_while_creating_threads)
{
    for (int i = 0; i < 10; i++) {
        pid_t pid = FORK({
            pthread_t thread;
            CHECK_RC(pthread_create(&thread, NULL, create_until_dead, NULL), 0);
            create_until_dead(NULL);
        });
        gt_msleep(5 + i * 3);
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_KILLED(pid, SIGKILL);
    }
}

static void *fork_until_dead(void *arg)
{
    (void)arg;
    for (;;) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            waitpid(pid, NULL, 0);
    }
    return NULL;
}

TEST(kill_while_forking)
{
    for (int i = 0; i < 10; i++) {
        pid_t pid = FORK({
            pthread_t thread;
            CHECK_RC(pthread_create(&thread, NULL, fork_until_dead, NULL), 0);
            fork_until_dead(NULL);
        });
        gt_msleep(5 + i * 3);
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_KILLED(pid, SIGKILL);
    }
}

static void *vfork_thread(void *arg)
{
    pid_t pid = vfork();
    if (pid == 0) {
        gt_msleep(100);
        _exit(12);
    }
    return (void *)(long)(gt_waitpid(pid) == 12 << 8 ? (long)arg : 0);
}

TEST(vfork_suspends_only_its_thread)
{
    pthread_t thread;
    void *result;
    CHECK_RC(pthread_create(&thread, NULL, vfork_thread, (void *)5L), 0);
    int64_t end = gt_now_ms() + 20;
    while (gt_now_ms() < end)
        CHECK(syscall(SYS_getppid) > 0);
    CHECK_RC(pthread_join(thread, &result), 0);
    CHECK_EQ((long)result, 5);
}

TEST(vfork_parent_killed_meanwhile)
{
    // The child of a vfork lives on when its waiting parent dies; the parent dies at once.
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = FORK({
        if (vfork() == 0) {
            (void)!write(ends[1], "c", 1);
            gt_msleep(150);
            (void)!write(ends[1], "d", 1);
            _exit(0);
        }
        _exit(1);
    });
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'd');
}

static void *cpu_thread(void *arg)
{
    while (atomic_load(&handler_runs) < 3)
        for (volatile int i = 0; i < 10000; i++)
            continue;
    return arg;
}

TEST(profiling_timer_with_threads)
{
    // The timer counts the whole process's time and interrupts somebody.
    install(SIGPROF, note);
    struct itimerval it = {{0, 10000}, {0, 10000}}, off = {{0, 0}, {0, 0}};
    pthread_t threads[3];
    CHECK_EQ(setitimer(ITIMER_PROF, &it, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, cpu_thread, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_RC(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(setitimer(ITIMER_PROF, &off, NULL), 0);
}
