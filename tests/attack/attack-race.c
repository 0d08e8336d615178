// Honest calls in dishonest numbers: interrupts in every window of the stub's text, threads that race over everything, forks
// under signals. Results are checked, since nothing here breaks a rule.
#include "attack.h"

static _Atomic unsigned long signals_seen;

static void count(int sig)
{
    (void)sig;
    signals_seen++;
}

static void *storm(void *arg)
{
    pid_t pid = (pid_t)(intptr_t)arg;
    for (;;)
        if (kill(pid, SIGUSR1) < 0)
            return NULL;
}

// Calls of each kind, checked, while signals pour in.
static void checked_calls(double seconds)
{
    double end = seconds_now() + seconds;
    int p[2];
    char out[64], in[64];
    uint32_t word = 0;
    if (pipe(p) < 0)
        breach("pipe: %s", strerror(errno));
    for (unsigned i = 0; seconds_now() < end; i++) {
        snprintf(out, sizeof(out), "%u %u", i, i * 7);
        ssize_t n;
        while ((n = write(p[1], out, sizeof(out))) < 0 && errno == EINTR)
            ;
        if (n != sizeof(out))
            breach("write: %zd", n);
        while ((n = read(p[0], in, sizeof(in))) < 0 && errno == EINTR)
            ;
        if (n != sizeof(in) || memcmp(in, out, sizeof(in)) != 0)
            breach("read %zd: other bytes", n);
        struct timespec ts = {0, 50000};
        long r = syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &ts, NULL, 0);
        if (r != -1 || (errno != ETIMEDOUT && errno != EINTR))
            breach("futex: %ld, errno %d", r, errno);
        struct stat st;
        if (stat("/etc/passwd", &st) < 0 || !S_ISREG(st.st_mode))
            breach("stat");
        if (getpid() != (pid_t)syscall(SYS_getpid))
            breach("getpid");
        uint8_t *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m == MAP_FAILED)
            breach("mmap: %s", strerror(errno));
        m[0] = m[4096] = 1;
        munmap(m, 8192);
        if (i % 16 == 0) {
            pid_t pid = fork();
            if (pid < 0)
                breach("fork: %s", strerror(errno));
            if (pid == 0)
                _exit((int)(i / 16 % 100));
            int status;
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != (int)(i / 16 % 100))
                breach("a child ended with %#x", (unsigned)status);
        }
    }
}

static void under_storm(double seconds, int flags)
{
    struct sigaction sa = {.sa_handler = count, .sa_flags = flags};
    sigaction(SIGUSR1, &sa, NULL);
    pid_t self = getpid();
    pid_t other = fork();
    if (other == 0) {
        signal(SIGUSR1, SIG_DFL);
        storm((void *)(intptr_t)self);
        _exit(0);
    }
    checked_calls(seconds);
    kill(other, SIGKILL);
    if (signals_seen < 100)
        breach("%lu signals only", signals_seen);
}

static void signal_storm(void) { under_storm(6, 0); }
static void signal_storm_restart(void) { under_storm(6, SA_RESTART); }

static void *counting_calls(void *arg)
{
    _Atomic unsigned long *n = arg;
    for (;;) {
        if (syscall(SYS_gettid) <= 0)
            breach("gettid");
        (*n)++;
    }
    return NULL;
}

// Threads that make calls while others stop and continue the process.
static void stop_storm(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _Atomic unsigned long n = 0;
        pthread_t t;
        for (int i = 0; i < 3; i++)
            pthread_create(&t, NULL, counting_calls, &n);
        for (;;)
            pause();
    }
    for (int i = 0; i < 400; i++) {
        kill(pid, SIGSTOP);
        usleep((unsigned)(i * 37 % 1500));
        kill(pid, SIGCONT);
        usleep((unsigned)(i * 53 % 1500));
    }
    kill(pid, SIGKILL);
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        breach("it was not killed");
}

static _Atomic bool stop_racing;

static void *nothing(void *arg)
{
    return arg;
}

static void vfork_and_exec(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}


static void *racer(void *arg)
{
    uint64_t seed = (uint64_t)arg * 7919 + 1;
    while (!stop_racing) {
        uint64_t r = rng_next(&seed);
        switch (r % 8) {
        case 0: case 1: case 2: {
            size_t size = (r >> 8) % 32 * 4096 + 4096;
            uint8_t *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (m == MAP_FAILED)
                break;
            m[size - 1] = 1;
            munmap(m, size);
            break;
        }
        case 3: {
            pid_t pid = fork();
            if (pid == 0)
                _exit(0);
            if (pid > 0)
                waitpid(pid, NULL, 0);
            break;
        }
        case 4: {
            int fd = open("/bin/sh", O_RDONLY);
            void *m = mmap(NULL, 65536, PROT_READ, r >> 9 & 1 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
            close(fd);
            if (m != MAP_FAILED)
                munmap(m, 65536);
            break;
        }
        case 5: vfork_and_exec(); break;
        case 6: {
            pthread_t t;
            if (pthread_create(&t, NULL, nothing, NULL) == 0)
                pthread_join(t, NULL);
            break;
        }
        default: {
            void *m = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (m == MAP_FAILED)
                break;
            void *n = mremap(m, 65536, 131072, MREMAP_MAYMOVE);
            munmap(n == MAP_FAILED ? m : n, n == MAP_FAILED ? 65536 : 131072);
            break;
        }
        }
    }
    return NULL;
}

static void race(int how)
{
    pthread_t t[64];
    for (int i = 0; i < 64; i++)
        if (pthread_create(&t[i], NULL, racer, (void *)(uint64_t)(i + 1)) != 0)
            breach("thread %d: %s", i, strerror(errno));
    sleep(6);
    if (how == 1)
        syscall(SYS_exit_group, 0);
    if (how == 2)
        execl("/bin/true", "true", NULL);
    stop_racing = true;
    for (int i = 0; i < 64; i++)
        pthread_join(t[i], NULL);
}

static void race_join(void) { race(0); }
static void race_exit(void) { race(1); }
static void race_exec(void) { race(2); }
static void race_killed(void) { race(0); }

// 10,000 forks by four processes that get signals all the while.
static void forks(void)
{
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct sigaction sa = {.sa_handler = count, .sa_flags = SA_RESTART};
            sigaction(SIGALRM, &sa, NULL);
            timer_t timer;
            struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
            if (timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0)
                timer_settime(timer, 0, &(struct itimerspec){{0, 300000}, {0, 300000}}, NULL);
            for (int n = 0; n < 2500; n++) {
                pid_t pid = fork();
                if (pid < 0)
                    _exit(errno);
                if (pid == 0)
                    _exit(n % 50);
                int status;
                while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                    ;
                if (!WIFEXITED(status) || WEXITSTATUS(status) != n % 50)
                    breach("a child ended with %#x", (unsigned)status);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        if (status != 0)
            breach("a forking process ended with %#x", (unsigned)status);
    }
}

int main(int argc, char **argv)
{
    static const struct attack attacks[] = {
        {"signal_storm", signal_storm, 30, 0},   {"signal_storm_restart", signal_storm_restart, 30, 0},
        {"stop_storm", stop_storm, 60, 0},       {"race_join", race_join, 60, 0},
        {"race_exit", race_exit, 60, 0},         {"race_exec", race_exec, 60, 0},
        {"race_killed", race_killed, 4, 0},      {"forks", forks, 180, 0},
    };
    return attack_main(attacks, sizeof(attacks) / sizeof(attacks[0]), argc, argv);
}
