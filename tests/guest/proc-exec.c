// execve and execveat: arguments, environment and auxiliary vector, #! lines, what survives and what is
// reset, and every error that can be provoked without special file systems.
#include <elf.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "guest-test.h"

extern char **environ;

static int copy_self(const char *to, mode_t mode)
{
    static char data[1 << 16];
    int in = open(gt_self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t n = -1;
    while (in >= 0 && out >= 0 && (n = read(in, data, sizeof(data))) > 0)
        if (write(out, data, n) != n)
            return -1;
    close(in);
    close(out);
    return n == 0 ? chmod(to, mode) : -1;
}

static void make_script(const char *path, const char *text)
{
    CHECK_EQ(gt_write_file(path, text, strlen(text)), 0);
    CHECK_EQ(chmod(path, 0755), 0);
}

// Runs execve in a child and returns the wait status.
static int run(const char *path, char *const argv[], char *const envp[])
{
    pid_t pid = FORK({
        execve(path, argv, envp);
        _exit(200);
    });
    return gt_waitpid(pid);
}

#define CHECK_RUN(path, argv, envp, code)                                                                \
    do {                                                                                                 \
        int s = run(path, argv, envp);                                                                   \
        if (!WIFEXITED(s) || WEXITSTATUS(s) != (code))                                                   \
            FAIL("exec of %s: status %#x want exit %d", path, s, code);                                  \
    } while (0)

ENTRY(args)
{
    CHECK_EQ(argc, 5);
    CHECK_STR(argv[0], "zero");
    CHECK_STR(argv[2], "two words");
    CHECK_STR(argv[3], "");
    CHECK_STR(argv[4], "\xff\x01");
    CHECK(argv[5] == NULL);
    CHECK_STR(environ[0], "A=1");
    CHECK_STR(environ[1], "no equals sign");
    CHECK_STR(environ[2], "A=2");
    CHECK(environ[3] == NULL);
    CHECK(environ == argv + argc + 1);
    return 42;
}

TEST(argv_envp)
{
    char *argv[] = {"zero", "-xargs", "two words", "", "\xff\x01", NULL};
    char *envp[] = {"A=1", "no equals sign", "A=2", NULL};
    CHECK_RUN(gt_self, argv, envp, 42);
}

ENTRY(noenv)
{
    return environ[0] == NULL ? 43 : 1;
}

TEST(null_envp)
{
    char *argv[] = {"zero", "-xnoenv", NULL};
    CHECK_RUN(gt_self, argv, NULL, 43);
}

// With an empty argument vector the kernel supplies one empty string (since 5.18). The harness then sees
// no argument and would run every test: an environment variable says that this is the place to look.
__attribute__((constructor)) static void check_empty_argv(int argc, char **argv)
{
    if (getenv("GT_EMPTY_ARGV"))
        _exit(argc == 1 && argv[0][0] == 0 && argv[1] == NULL ? 44 : 1);
}

TEST(empty_argv)
{
    char *argv[] = {NULL};
    char *envp[] = {"GT_EMPTY_ARGV=1", NULL};
    CHECK_RUN(gt_self, argv, envp, 44);
    CHECK_RUN(gt_self, NULL, envp, 44);
}

ENTRY(auxv)
{
    const Elf64_Ehdr *header = (const void *)(getauxval(AT_PHDR) & ~4095UL);
    CHECK_EQ(getauxval(AT_PAGESZ), 4096);
    CHECK_EQ(getauxval(AT_CLKTCK), 100);
    CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
    CHECK(memcmp(header->e_ident, ELFMAG, SELFMAG) == 0);
    CHECK_EQ(getauxval(AT_PHNUM), header->e_phnum);
    CHECK_EQ(getauxval(AT_ENTRY), header->e_entry);
    CHECK_EQ(getauxval(AT_BASE), 0);
    CHECK_EQ(getauxval(AT_FLAGS), 0);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_EUID), geteuid());
    CHECK_EQ(getauxval(AT_GID), getgid());
    CHECK_EQ(getauxval(AT_EGID), getegid());
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK(getauxval(AT_RANDOM) != 0);
    CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
    CHECK(memcmp((void *)getauxval(AT_SYSINFO_EHDR), ELFMAG, SELFMAG) == 0);
    CHECK_STR((const char *)getauxval(AT_PLATFORM), "x86_64");
    CHECK_STR((const char *)getauxval(AT_EXECFN), argv[2]);
    // The vector in memory ends with AT_NULL and agrees with /proc/self/auxv.
    char **p = environ;
    while (*p)
        p++;
    const Elf64_auxv_t *aux = (const void *)(p + 1);
    size_t count = 0;
    while (aux[count].a_type != AT_NULL)
        count++;
    Elf64_auxv_t copy[64];
    CHECK(count < 63);
    int fd = OK(open("/proc/self/auxv", O_RDONLY));
    ssize_t n = OK(read(fd, copy, sizeof(copy)));
    CHECK(n >= (ssize_t)((count + 1) * sizeof(copy[0])));
    CHECK(memcmp(copy, aux, (count + 1) * sizeof(copy[0])) == 0);
    return 45;
}

TEST(auxv)
{
    char *argv[] = {"x", "-xauxv", gt_self, NULL};
    CHECK_RUN(gt_self, argv, environ, 45);
}

ENTRY(random)
{
    int fd = atoi(argv[2]);
    return write(fd, (void *)getauxval(AT_RANDOM), 16) == 16 ? 0 : 1;
}

TEST(at_random_differs)
{
    int ends[2];
    char number[16], a[16], b[16];
    CHECK_EQ(pipe(ends), 0);
    snprintf(number, sizeof(number), "%d", ends[1]);
    char *argv[] = {"x", "-xrandom", number, NULL};
    CHECK_RUN(gt_self, argv, environ, 0);
    CHECK_RUN(gt_self, argv, environ, 0);
    CHECK_EQ(read(ends[0], a, 16), 16);
    CHECK_EQ(read(ends[0], b, 16), 16);
    CHECK(memcmp(a, b, 16) != 0);
}

ENTRY(stack)
{
    // On entry the stack pointer is 16-byte aligned and argc is below argv.
    long *word = (long *)argv - 1;
    CHECK_EQ((uintptr_t)word % 16, 0);
    CHECK_EQ(*word, argc);
    return 46;
}

TEST(stack_alignment)
{
    char *argv[] = {"x", "-xstack", "a", "b", "c", "d", NULL};
    for (int drop = 0; drop < 4; drop++) {
        argv[6 - drop] = NULL;
        CHECK_RUN(gt_self, argv, environ, 46);
    }
}

ENTRY(echo)
{
    // argv[0] path of the interpreter, then "-xecho", the script and its arguments
    char text[512] = "";
    size_t used = 0;
    for (int i = 2; i < argc; i++)
        used += snprintf(text + used, sizeof(text) - used, "[%s]", argv[i]);
    return gt_write_file(getenv("OUT"), text, used) == 0 ? 47 : 1;
}

static void check_script(const char *body, const char *want)
{
    char script[PATH_MAX * 2], out[PATH_MAX * 2], env[PATH_MAX * 3], text[512], expected[512];
    snprintf(script, sizeof(script), "%s", gt_path("script"));
    snprintf(out, sizeof(out), "%s", gt_path("out"));
    snprintf(env, sizeof(env), "OUT=%s", out);
    make_script(script, body);
    char *argv[] = {"ignored", "one", "two words", NULL};
    char *envp[] = {env, NULL};
    CHECK_RUN(script, argv, envp, 47);
    CHECK(gt_read_file(out, text, sizeof(text)) >= 0);
    snprintf(expected, sizeof(expected), want, script);
    CHECK_STR(text, expected);
}

TEST(script)
{
    char interp[PATH_MAX * 2], text[PATH_MAX * 3];
    snprintf(interp, sizeof(interp), "%s", gt_path("i"));
    CHECK_EQ(copy_self(interp, 0755), 0);
    snprintf(text, sizeof(text), "#!%s -xecho\n", interp);
    check_script(text, "[%s][one][two words]");
    snprintf(text, sizeof(text), "#!  \t %s \t -xecho \t \nrest", interp);
    check_script(text, "[%s][one][two words]");
    snprintf(text, sizeof(text), "#!%s -xecho", interp);
    check_script(text, "[%s][one][two words]");
}

TEST(script_one_argument)
{
    // Everything after the interpreter is a single argument, trailing blanks removed.
    char text[PATH_MAX * 3];
    snprintf(text, sizeof(text), "#!%s -xno such entry\n", gt_self);
    make_script(gt_path("s"), text);
    char *argv[] = {"x", NULL};
    CHECK_RUN(gt_path("s"), argv, environ, 1);
}

TEST(script_nested)
{
    char text[PATH_MAX * 3];
    char *argv[] = {"x", NULL};
    snprintf(text, sizeof(text), "#!%s -xexit48\n", gt_self);
    make_script(gt_path("s0"), text);
    for (int i = 1; i <= 6; i++) {
        snprintf(text, sizeof(text), "#!%s\n", gt_path("s%d", i - 1));
        make_script(gt_path("s%d", i), text);
    }
    // Five interpreters deep is too many: ELOOP.
    for (int i = 0; i <= 4; i++)
        CHECK_RUN(gt_path("s%d", i), argv, environ, 48);
    CHECK_ERRNO(execve(gt_path("s5"), argv, environ), ELOOP);
    CHECK_ERRNO(execve(gt_path("s6"), argv, environ), ELOOP);
}

ENTRY(exit48)
{
    return 48;
}

TEST(script_errors)
{
    char *argv[] = {"x", NULL};
    char text[600];
    make_script(gt_path("s"), "#!/nonexistent/interpreter\n");
    CHECK_ERRNO(execve(gt_path("s"), argv, environ), ENOENT);
    make_script(gt_path("s"), "#!\n");
    CHECK_ERRNO(execve(gt_path("s"), argv, environ), ENOEXEC);
    make_script(gt_path("s"), "#!   \n");
    CHECK_ERRNO(execve(gt_path("s"), argv, environ), ENOEXEC);
    make_script(gt_path("s"), "#!/dev/null\n");
    CHECK_ERRNO(execve(gt_path("s"), argv, environ), EACCES);
    make_script(gt_path("s"), "#!/proc\n");
    CHECK_ERRNO(execve(gt_path("s"), argv, environ), EACCES);
    // A line longer than the 256 bytes that are read, without an end to the interpreter's name.
    memset(text, 'a', sizeof(text));
    memcpy(text, "#!/", 3);
    text[sizeof(text) - 1] = 0;
    make_script(gt_path("s"), text);
    CHECK_ERRNO(execve(gt_path("s"), argv, environ), ENOEXEC);
}

TEST(noexec_formats)
{
    char *argv[] = {"x", NULL};
    make_script(gt_path("text"), "just text\n");
    CHECK_ERRNO(execve(gt_path("text"), argv, environ), ENOEXEC);
    make_script(gt_path("empty"), "");
    CHECK_ERRNO(execve(gt_path("empty"), argv, environ), ENOEXEC);
    make_script(gt_path("elf"), "\177ELF");
    CHECK_ERRNO(execve(gt_path("elf"), argv, environ), ENOEXEC);
    Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                         .e_type = ET_EXEC,
                         .e_machine = EM_AARCH64,
                         .e_version = 1,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phoff = 64,
                         .e_phnum = 1};
    CHECK_EQ(gt_write_file(gt_path("arch"), &header, sizeof(header)), 0);
    CHECK_EQ(chmod(gt_path("arch"), 0755), 0);
    CHECK_ERRNO(execve(gt_path("arch"), argv, environ), ENOEXEC);
    header.e_machine = EM_X86_64;
    header.e_type = ET_REL;
    CHECK_EQ(gt_write_file(gt_path("rel"), &header, sizeof(header)), 0);
    CHECK_EQ(chmod(gt_path("rel"), 0755), 0);
    CHECK_ERRNO(execve(gt_path("rel"), argv, environ), ENOEXEC);
    header.e_type = ET_EXEC;
    header.e_phentsize = 8;
    CHECK_EQ(gt_write_file(gt_path("ph"), &header, sizeof(header)), 0);
    CHECK_EQ(chmod(gt_path("ph"), 0755), 0);
    CHECK_ERRNO(execve(gt_path("ph"), argv, environ), ENOEXEC);
}

TEST(path_errors)
{
    char *argv[] = {"x", NULL};
    char longname[300];
    memset(longname, 'n', sizeof(longname));
    longname[299] = 0;
    CHECK_ERRNO(execve("/nonexistent", argv, environ), ENOENT);
    CHECK_ERRNO(execve("", argv, environ), ENOENT);
    CHECK_ERRNO(execve("/proc", argv, environ), EACCES);
    CHECK_ERRNO(execve("/dev/null", argv, environ), EACCES);
    CHECK_ERRNO(execve("/dev/null/x", argv, environ), ENOTDIR);
    CHECK_ERRNO(execve(gt_path("%s", longname), argv, environ), ENAMETOOLONG);
    CHECK_ERRNO(execve(GT_BAD, argv, environ), EFAULT);
    CHECK_ERRNO(execve(gt_self, GT_BAD, environ), EFAULT);
    CHECK_ERRNO(execve(gt_self, argv, GT_BAD), EFAULT);
    char *bad[] = {"x", GT_BAD, NULL};
    CHECK_ERRNO(execve(gt_self, bad, environ), EFAULT);
    CHECK_EQ(symlink("loop", gt_path("loop")), 0);
    CHECK_ERRNO(execve(gt_path("loop"), argv, environ), ELOOP);
}

TEST(permission)
{
    char *argv[] = {"x", "-xexit48", NULL};
    CHECK_EQ(copy_self(gt_path("p"), 0644), 0);
    CHECK_ERRNO(execve(gt_path("p"), argv, environ), EACCES);
    CHECK_EQ(chmod(gt_path("p"), 0001), 0);
    CHECK_RUN(gt_path("p"), argv, environ, 48);    // any x bit is enough for root
    CHECK_EQ(chmod(gt_path("p"), 0700), 0);
    pid_t pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(execve(gt_path("p"), argv, environ), EACCES);
    });
    CHECK_EXIT(pid, 0);
    CHECK_EQ(chmod(gt_path("p"), 0711), 0);    // execute without read
    pid = FORK({
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        execve(gt_path("p"), argv, environ);
    });
    CHECK_EXIT(pid, 48);
}

TEST(text_busy)
{
    char *argv[] = {"x", "-xexit48", NULL};
    CHECK_EQ(copy_self(gt_path("t"), 0755), 0);
    int fd = OK(open(gt_path("t"), O_RDWR));
    CHECK_ERRNO(execve(gt_path("t"), argv, environ), ETXTBSY);
    CHECK_EQ(close(fd), 0);
    CHECK_RUN(gt_path("t"), argv, environ, 48);
}

ENTRY(wait_stdin)
{
    char byte;
    CHECK_EQ(write(STDOUT_FILENO, "r", 1), 1);
    return read(STDIN_FILENO, &byte, 1) == 0 ? 49 : 1;
}

TEST(text_busy_write)
{
    // A running program's file cannot be opened for writing or truncated.
    int in[2], out[2];
    char byte;
    CHECK_EQ(copy_self(gt_path("t"), 0755), 0);
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    pid_t pid = FORK({
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(gt_path("t"), "x", "-xwait_stdin", (char *)NULL);
        _exit(1);
    });
    CHECK_EQ(read(out[0], &byte, 1), 1);
    EXPECT_ERRNO(open(gt_path("t"), O_WRONLY), ETXTBSY);
    EXPECT_ERRNO(open(gt_path("t"), O_RDWR | O_TRUNC), ETXTBSY);
    EXPECT_ERRNO(truncate(gt_path("t"), 0), ETXTBSY);
    EXPECT_EQ(unlink(gt_path("t")), 0);
    CHECK(close(in[1]) == 0 && close(in[0]) == 0);
    CHECK_EXIT(pid, 49);
}

TEST(too_big)
{
    // One string may have 128 KiB; all together a quarter of the stack limit, at least 128 KiB.
    size_t limit = 32 * 4096;
    char *big = malloc(limit + 1);
    memset(big, 'x', limit);
    big[limit] = 0;
    char *argv[] = {"x", "-xexit48", big, NULL};
    CHECK_ERRNO(execve(gt_self, argv, environ), E2BIG);
    big[limit - 1] = 0;
    CHECK_RUN(gt_self, argv, environ, 48);
    char *many[80];
    for (int i = 0; i < 79; i++)
        many[i] = big;
    many[0] = "x";
    many[1] = "-xexit48";
    many[79] = NULL;
    CHECK_ERRNO(execve(gt_self, many, environ), E2BIG);    // 10 MB > 6 MB, the cap
    many[10] = NULL;
    CHECK_RUN(gt_self, many, environ, 48);
    pid_t pid = FORK({
        struct rlimit rl = {1 << 20, 1 << 20};
        CHECK_EQ(setrlimit(RLIMIT_STACK, &rl), 0);
        CHECK_ERRNO(execve(gt_self, many, environ), E2BIG);    // 1 MiB > a quarter of 1 MiB
    });
    CHECK_EXIT(pid, 0);
}

ENTRY(manyargs)
{
    CHECK_EQ(argc, 20002);
    for (int i = 2; i < argc; i++)
        if (atoi(argv[i]) != i)
            FAIL("argument %d is %s", i, argv[i]);
    return 50;
}

TEST(many_arguments)
{
    static char text[20002][8];
    static char *argv[20003];
    for (int i = 0; i < 20002; i++) {
        snprintf(text[i], sizeof(text[i]), "%d", i);
        argv[i] = text[i];
    }
    argv[1] = "-xmanyargs";
    CHECK_RUN(gt_self, argv, environ, 50);
}

ENTRY(descriptors)
{
    CHECK_EQ(fcntl(100, F_GETFD), 0);
    CHECK_ERRNO(fcntl(101, F_GETFD), EBADF);
    CHECK_ERRNO(fcntl(102, F_GETFD), EBADF);
    CHECK_EQ(lseek(100, 0, SEEK_CUR), 3);
    return 51;
}

TEST(close_on_exec)
{
    CHECK_EQ(gt_write_file(gt_path("f"), "abcdef", 6), 0);
    int fd = OK(open(gt_path("f"), O_RDONLY));
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHECK_EQ(dup2(fd, 100), 100);
    CHECK_EQ(dup3(fd, 101, O_CLOEXEC), 101);
    CHECK_EQ(dup2(fd, 102), 102);
    CHECK_EQ(fcntl(102, F_SETFD, FD_CLOEXEC), 0);
    char *argv[] = {"x", "-xdescriptors", NULL};
    CHECK_RUN(gt_self, argv, environ, 51);
    CHECK_EQ(fcntl(101, F_GETFD), FD_CLOEXEC);    // the parent's stay
}

ENTRY(failed_cloexec)
{
    return 1;
}

TEST(failed_exec_keeps_all)
{
    int fd = OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *word = 5;
    signal(SIGUSR1, SIG_IGN);
    char *argv[] = {"x", NULL};
    CHECK_ERRNO(execve("/dev/null", argv, environ), EACCES);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(*word, 5);
    CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
}

ENTRY(signals)
{
    struct sigaction sa;
    sigset_t set;
    stack_t stack;
    CHECK_EQ(sigaction(SIGUSR1, NULL, &sa), 0);
    CHECK(sa.sa_handler == SIG_DFL);
    CHECK_EQ(sigaction(SIGUSR2, NULL, &sa), 0);
    CHECK(sa.sa_handler == SIG_IGN);
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &set), 0);
    CHECK(sigismember(&set, SIGHUP) && !sigismember(&set, SIGINT));
    CHECK_EQ(sigpending(&set), 0);
    CHECK(sigismember(&set, SIGHUP));
    CHECK_EQ(sigaltstack(NULL, &stack), 0);
    CHECK_EQ(stack.ss_flags, SS_DISABLE);
    struct itimerval it;
    CHECK_EQ(getitimer(ITIMER_REAL, &it), 0);
    CHECK(it.it_value.tv_sec > 900);
    CHECK_EQ(umask(0), 0135);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
    CHECK_EQ(getpid(), atoi(argv[2]));
    char name[17] = "";
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK_EQ(strncmp(name, "proc-exec", 9), 0);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    int death = 9;
    CHECK_EQ(prctl(PR_GET_PDEATHSIG, &death), 0);
    CHECK_EQ(death, SIGHUP);
    CHECK_EQ(prctl(PR_GET_KEEPCAPS), 0);
    CHECK(mincore((void *)0x700000000000, 4096, (unsigned char *)name) == -1 && errno == ENOMEM);
    return 52;
}

static void handler(int sig)
{
    (void)sig;
}

TEST(attributes)
{
    char number[16];
    pid_t pid = FORK({
        static char altstack[65536];
        signal(SIGUSR1, handler);
        signal(SIGUSR2, SIG_IGN);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_SETMASK, &set, NULL);
        raise(SIGHUP);
        stack_t stack = {.ss_sp = altstack, .ss_size = sizeof(altstack)};
        CHECK_EQ(sigaltstack(&stack, NULL), 0);
        struct itimerval it = {{0, 0}, {1000, 0}};
        CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
        umask(0135);
        CHECK_EQ(setpriority(PRIO_PROCESS, 0, 3), 0);
        CHECK_EQ(prctl(PR_SET_NAME, "other"), 0);
        CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGHUP), 0);
        CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
        CHECK(mmap((void *)0x700000000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
              MAP_FAILED);
        snprintf(number, sizeof(number), "%d", getpid());
        execl(gt_self, gt_self, "-xsignals", number, (char *)NULL);
    });
    CHECK_EXIT(pid, 52);
}

static long execveat_(int fd, const char *path, char **argv, int flags)
{
    return syscall(SYS_execveat, fd, path, argv, environ, flags);
}

TEST(execveat_forms)
{
    char *argv[] = {"x", "-xexit48", NULL};
    CHECK_EQ(copy_self(gt_path("e"), 0755), 0);
    int dir = OK(open(gt_tmpdir(), O_RDONLY | O_DIRECTORY));
    int file = OK(open(gt_path("e"), O_PATH));
    int readable = OK(open(gt_path("e"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(symlink("e", gt_path("link")), 0);
    struct {
        int fd;
        const char *path;
        int flags, err;
    } cases[] = {
        {dir, "e", 0, 0},
        {dir, "e", AT_SYMLINK_NOFOLLOW, 0},
        {dir, "link", 0, 0},
        {dir, "link", AT_SYMLINK_NOFOLLOW, ELOOP},
        {-1, gt_self, 0, 0},
        {file, "", AT_EMPTY_PATH, 0},
        {readable, "", AT_EMPTY_PATH, 0},
        {file, "", 0, ENOENT},
        {file, "e", 0, ENOTDIR},
        {99, "e", 0, EBADF},
        {99, "", AT_EMPTY_PATH, EBADF},
        {dir, "e", 0x4000, EINVAL},
        {dir, "", AT_EMPTY_PATH, EACCES},
        {dir, "absent", 0, ENOENT},
    };
    for (size_t i = 0; i < GT_COUNT(cases); i++) {
        pid_t pid = FORK({
            execveat_(cases[i].fd, cases[i].path, argv, cases[i].flags);
            _exit(errno);
        });
        int want = cases[i].err ? cases[i].err : 48;
        int status = gt_waitpid(pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != want)
            gt_fail(false, __FILE__, __LINE__, "case %zu: status %#x want %d", i, status, want);
    }
}

TEST(execveat_script)
{
    // By descriptor the interpreter gets /dev/fd/N, which a close-on-exec descriptor makes useless.
    char text[PATH_MAX * 3], out[PATH_MAX * 2], want[32];
    snprintf(text, sizeof(text), "#!%s -xecho\n", gt_self);
    make_script(gt_path("s"), text);
    snprintf(out, sizeof(out), "%s", gt_path("out"));
    setenv("OUT", out, 1);
    int fd = OK(open(gt_path("s"), O_RDONLY));
    char *argv[] = {"x", NULL};
    pid_t pid = FORK({
        execveat_(fd, "", argv, AT_EMPTY_PATH);
        _exit(errno);
    });
    CHECK_EXIT(pid, 47);
    CHECK(gt_read_file(out, text, sizeof(text)) > 0);
    snprintf(want, sizeof(want), "[/dev/fd/%d]", fd);
    CHECK_STR(text, want);
    CHECK_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    CHECK_ERRNO(execveat_(fd, "", argv, AT_EMPTY_PATH), ENOENT);
}

TEST(memfd_exec)
{
    static char data[1 << 16];
    int in = OK(open(gt_self, O_RDONLY)), fd = OK(memfd_create("prog", MFD_CLOEXEC));
    ssize_t n;
    while ((n = read(in, data, sizeof(data))) > 0)
        CHECK_EQ(write(fd, data, n), n);
    char *argv[] = {"x", "-xexit48", NULL};
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    pid_t pid = FORK({
        execveat_(fd, "", argv, AT_EMPTY_PATH);
        _exit(errno);
    });
    CHECK_EXIT(pid, 48);
    CHECK_RUN(path, argv, environ, 48);
    // A description opened for writing afresh counts as a writer, unlike the first one.
    int rw = OK(open(path, O_RDWR | O_CLOEXEC));
    CHECK_ERRNO(execveat_(fd, "", argv, AT_EMPTY_PATH), ETXTBSY);
    CHECK_EQ(close(rw), 0);
    CHECK_RUN(path, argv, environ, 48);
}

static void *exec_thread(void *arg)
{
    execl(gt_self, gt_self, "-xalone", (char *)arg, (char *)NULL);
    return NULL;
}

static void *sleeper(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void *spinner(void *arg)
{
    for (;;)
        *(volatile int *)arg += 1;
    return arg;
}

ENTRY(alone)
{
    char text[4096];
    CHECK_EQ(getpid(), atoi(argv[2]));
    CHECK_EQ(syscall(SYS_gettid), getpid());
    CHECK(gt_read_file("/proc/self/status", text, sizeof(text)) > 0);
    char *line = strstr(text, "Threads:");
    CHECK(line && atoi(line + 8) == 1);
    return 53;
}

TEST(exec_from_thread)
{
    for (int from_main = 0; from_main < 2; from_main++) {
        pid_t pid = FORK({
            static int word;
            char number[16];
            pthread_t thread;
            snprintf(number, sizeof(number), "%d", getpid());
            for (int i = 0; i < 4; i++)
                CHECK_RC(pthread_create(&thread, NULL, i & 1 ? sleeper : spinner, &word), 0);
            if (from_main)
                exec_thread(number);
            CHECK_RC(pthread_create(&thread, NULL, exec_thread, number), 0);
            pause();
        });
        CHECK_EXIT(pid, 53);
    }
}

TEST(exec_resets_dontneed_and_maps)
{
    // mlockall(MCL_FUTURE) and the personality's randomisation flag: one is reset, one is kept.
    pid_t pid = FORK({
        CHECK_EQ(mlockall(MCL_FUTURE), 0);
        execl(gt_self, gt_self, "-xunlocked", (char *)NULL);
    });
    CHECK_EXIT(pid, 54);
}

ENTRY(unlocked)
{
    char text[8192];
    CHECK(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    CHECK(gt_read_file("/proc/self/status", text, sizeof(text)) > 0);
    char *line = strstr(text, "VmLck:");
    CHECK(line && atoi(line + 6) == 0);
    return 54;
}

TEST(chained_exec)
{
    // A process replaces itself a hundred times and keeps its id.
    char pid_text[16], count[16] = "100";
    pid_t pid = FORK({
        snprintf(pid_text, sizeof(pid_text), "%d", getpid());
        execl(gt_self, gt_self, "-xagain", count, pid_text, (char *)NULL);
    });
    CHECK_EXIT(pid, 55);
}

ENTRY(again)
{
    char count[16];
    int left = atoi(argv[2]);
    CHECK_EQ(getpid(), atoi(argv[3]));
    if (left == 0)
        return 55;
    snprintf(count, sizeof(count), "%d", left - 1);
    execl(gt_self, gt_self, "-xagain", count, argv[3], (char *)NULL);
    return 1;
}
