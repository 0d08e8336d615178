// Processes in number and in a hurry: fork, exec, exit, wait, signals and timers against one another. Each test
// counts what must not be lost.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "guest-test.h"

ENTRY(code)
{
    return atoi(argv[2]);
}

static pid_t spawn_code(int code)
{
    char number[8];
    snprintf(number, sizeof(number), "%d", code);
    pid_t pid = vfork();
    if (pid == 0) {
        execl(gt_self, gt_self, "-xcode", number, (char *)NULL);
        _exit(255);
    }
    return pid;
}

TEST_TIMEOUT(spawn_one_by_one, 90)
{
    for (int i = 0; i < 200; i++) {
        pid_t pid = spawn_code(i & 127);
        CHECK(pid > 0);
        CHECK_EXIT(pid, i & 127);
    }
}

TEST_TIMEOUT(spawn_in_batches, 90)
{
    for (int batch = 0; batch < 8; batch++) {
        pid_t pids[24];
        for (int i = 0; i < 24; i++) {
            pids[i] = spawn_code(i);
            CHECK(pids[i] > 0);
        }
        for (int n = 0; n < 24; n++) {
            int status;
            pid_t pid = wait(&status);
            CHECK(pid > 0 && WIFEXITED(status));
            CHECK_EQ(pids[WEXITSTATUS(status)], pid);
            pids[WEXITSTATUS(status)] = 0;
        }
    }
}

static void *spawner(void *arg)
{
    for (int i = 0; i < 25; i++) {
        int code = 1 + ((int)(long)arg * 25 + i) % 100, status;
        pid_t pid = spawn_code(code);
        if (pid <= 0 || waitpid(pid, &status, 0) != pid || status != code << 8)
            return (void *)1;
    }
    return NULL;
}

TEST_TIMEOUT(spawn_from_threads, 90)
{
    pthread_t threads[6];
    for (long i = 0; i < 6; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, spawner, (void *)i), 0);
    for (int i = 0; i < 6; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == NULL);
    }
    CHECK_ERRNO(wait(NULL), ECHILD);
}

static atomic_int reaped;

static void on_chld(int sig)
{
    int saved = errno;
    (void)sig;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        atomic_fetch_add(&reaped, 1);
    errno = saved;
}

TEST_TIMEOUT(reaping_in_the_handler, 90)
{
    // As servers do it: no child may be left or counted twice.
    struct sigaction sa = {.sa_handler = on_chld, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    CHECK_EQ(sigaction(SIGCHLD, &sa, NULL), 0);
    for (int i = 0; i < 300; i++)
        (void)FORK({});
    sigset_t block, old;
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &old);
    while (atomic_load(&reaped) < 300)
        sigsuspend(&old);
    sigprocmask(SIG_SETMASK, &old, NULL);
    CHECK_EQ(atomic_load(&reaped), 300);
    CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST_TIMEOUT(fork_tree, 90)
{
    // A binary tree of processes, each adds one.
    atomic_int *count = gt_shared(4096);
    int depth = 0;
    pid_t root = OK(fork());
    if (root == 0) {
        while (depth < 7) {
            depth++;
            pid_t a = OK(fork());
            if (a == 0)
                continue;
            pid_t b = OK(fork());
            if (b == 0)
                continue;
            atomic_fetch_add(count, 1);
            CHECK_EXIT(a, 0);
            CHECK_EXIT(b, 0);
            _exit(0);
        }
        atomic_fetch_add(count, 1);
        _exit(0);
    }
    CHECK_EXIT(root, 0);
    CHECK_EQ(atomic_load(count), 255);
}

TEST_TIMEOUT(kill_at_random_moments, 90)
{
    // Children that fork, map, sleep and write are killed; whatever they held must be gone.
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 40; i++) {
        pid_t pid = FORK({
            close(ends[0]);
            CHECK_EQ(setpgid(0, 0), 0);
            for (;;) {
                char *p = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                memset(p, 1, 1 << 18);
                pid_t child = fork();
                if (child == 0)
                    _exit(0);
                if (child > 0)
                    waitpid(child, NULL, 0);
                munmap(p, 1 << 18);
            }
        });
        setpgid(pid, pid);
        gt_msleep(i % 7);
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_KILLED(pid, SIGKILL);
        while (kill(-pid, SIGKILL) == 0)
            sched_yield();
    }
    CHECK_EQ(close(ends[1]), 0);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 0);    // nobody holds the pipe any more
}

TEST_TIMEOUT(stop_and_continue_storm, 90)
{
    atomic_long *counter = gt_shared(4096);
    pid_t pid = FORK({
        for (;;) {
            atomic_fetch_add(counter, 1);
            if (atomic_load(counter) % 64 == 0)
                sched_yield();
        }
    });
    for (int i = 0; i < 100; i++) {
        int status;
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        long before = atomic_load(counter);
        sched_yield();
        CHECK_EQ(atomic_load(counter), before);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
        CHECK(WIFCONTINUED(status));
    }
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}

TEST_TIMEOUT(stop_right_after_fork, 90)
{
    // The stop meets the child before, while or after it runs for the first time.
    for (int i = 0; i < 300; i++) {
        int status;
        pid_t pid = FORK({
            for (;;)
                pause();
        });
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
        CHECK(WIFCONTINUED(status));
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_KILLED(pid, SIGKILL);
    }
}

TEST_TIMEOUT(signals_are_all_delivered, 90)
{
    // Real-time signals from several senders: none lost, none twice, in each sender's order.
    enum { SENDERS = 4, EACH = 250 };
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 5);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t me = getpid(), pids[SENDERS];
    int next[SENDERS] = {0};
    for (int i = 0; i < SENDERS; i++)
        pids[i] = FORK({
            for (int k = 0; k < EACH; k++)
                while (sigqueue(me, SIGRTMIN + 5, (union sigval){.sival_int = k}) != 0)
                    sched_yield();
        });
    for (int n = 0; n < SENDERS * EACH; n++) {
        siginfo_t info;
        CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 5);
        for (int i = 0; i < SENDERS; i++)
            if (pids[i] == info.si_pid)
                CHECK_EQ(info.si_value.sival_int, next[i]++);
    }
    for (int i = 0; i < SENDERS; i++) {
        CHECK_EQ(next[i], EACH);
        CHECK_EXIT(pids[i], 0);
    }
}

TEST_TIMEOUT(pipeline_of_processes, 90)
{
    // A token goes round a ring of processes.
    enum { RING = 12, ROUNDS = 100 };
    int pipes[RING][2];
    pid_t pids[RING];
    for (int i = 0; i < RING; i++)
        CHECK_EQ(pipe(pipes[i]), 0);
    for (int i = 0; i < RING; i++)
        pids[i] = FORK({
            int value;
            for (int k = 0; k < ROUNDS; k++) {
                CHECK_EQ(read(pipes[i][0], &value, sizeof(value)), (ssize_t)sizeof(value));
                value++;
                CHECK_EQ(write(pipes[(i + 1) % RING][1], &value, sizeof(value)), (ssize_t)sizeof(value));
            }
        });
    // The last write goes into pipe 0 after all have left.
    int value = 0;
    CHECK_EQ(write(pipes[0][1], &value, sizeof(value)), (ssize_t)sizeof(value));
    for (int i = 0; i < RING; i++)
        CHECK_EXIT(pids[i], 0);
    CHECK_EQ(read(pipes[0][0], &value, sizeof(value)), (ssize_t)sizeof(value));
    CHECK_EQ(value, RING * ROUNDS);
}

static atomic_int fork_over;

static void *map_and_write(void *arg)
{
    volatile unsigned char *p = arg;
    for (unsigned i = 0; atomic_load(&fork_over) == 0; i++) {
        p[i % 64 * 4096] = i;
        if (p[i % 64 * 4096] != (unsigned char)i)
            return (void *)1;
    }
    return NULL;
}

TEST_TIMEOUT(fork_while_another_thread_writes, 90)
{
    // Copy-on-write protection comes and goes under a running thread: no write may be lost in the parent, and
    // no child may see a change after its birth.
    unsigned char *p = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t threads[2];
    CHECK(p != MAP_FAILED);
    for (int i = 0; i < 2; i++)
        CHECK_RC(pthread_create(&threads[i], NULL, map_and_write, p + i * 100), 0);
    for (int i = 0; i < 60; i++) {
        pid_t pid = FORK({
            unsigned char copy[64];
            for (int k = 0; k < 64; k++)
                copy[k] = p[k * 4096];
            for (int n = 0; n < 20; n++) {
                for (int k = 0; k < 64; k++)
                    if (copy[k] != p[k * 4096])
                        _exit(1);
                sched_yield();
            }
        });
        CHECK_EXIT(pid, 0);
    }
    atomic_store(&fork_over, 1);
    for (int i = 0; i < 2; i++) {
        void *result;
        CHECK_RC(pthread_join(threads[i], &result), 0);
        CHECK(result == NULL);
    }
}

TEST_TIMEOUT(descriptors_over_many_forks, 90)
{
    // Each generation closes what it does not need; at the end the first pipe sees its end.
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 30; i++) {
        int extra[2];
        CHECK_EQ(pipe2(extra, O_CLOEXEC), 0);
        pid_t pid = FORK({
            pid_t child = FORK({
                CHECK_EQ(write(ends[1], "x", 1), 1);
            });
            CHECK_EXIT(child, 0);
        });
        CHECK_EXIT(pid, 0);
        CHECK_EQ(close(extra[0]) + close(extra[1]), 0);
        CHECK_EQ(read(ends[0], &byte, 1), 1);
    }
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST_TIMEOUT(exit_codes_survive_load, 90)
{
    // Two hundred sleepers of random length; every status is right.
    pid_t pids[200];
    for (int i = 0; i < 200; i++)
        pids[i] = FORK({
            gt_msleep(i * 7 % 20);
            if (i % 5 == 0)
                kill(getpid(), SIGKILL);
            _exit(i % 251);
        });
    for (int i = 0; i < 200; i++) {
        if (i % 5 == 0)
            CHECK_KILLED(pids[i], SIGKILL);
        else
            CHECK_EXIT(pids[i], i % 251);
    }
}
