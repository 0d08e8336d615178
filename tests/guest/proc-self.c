/*
 * /proc/self and /proc/PID: each file's syntax, and figures that must agree with what the process
 * knows about itself or has just done.
 */
#include "scratch.h"

#include <dirent.h>
#include <elf.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

static char text[1 << 20];

static const char *load(const char *path)
{
    CHECK(get_file(path, text, sizeof(text)) >= 0);
    return text;
}

/* The value of a "Name: value" line, or NULL. */
static const char *field(const char *name)
{
    static char value[512];
    size_t len = strlen(name);

    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *next = strchr(line, '\n');

        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            line += strspn(line, " \t");
            (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\n"), line);
            return value;
        }
        line = next == NULL ? NULL : next + 1;
    }
    return NULL;
}

static long number(const char *name)
{
    const char *v = field(name);

    CHECK(v != NULL);
    return strtol(v, NULL, 0);
}

struct area {
    unsigned long start, end, offset;
    char perms[5], name[300];
};

/* Finds the area that holds an address in /proc/self/maps. */
static bool find_area(const void *address, struct area *a)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[600];
    bool found = false;
    unsigned long before = 0;

    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long ino;
        unsigned dev_major, dev_minor;
        int n, at = 0;

        a->name[0] = '\0';
        n = sscanf(line, "%lx-%lx %4s %lx %x:%x %lu%n", &a->start, &a->end, a->perms, &a->offset,
                   &dev_major, &dev_minor, &ino, &at);
        CHECK_EQ(n, 7);
        /* Ascending, disjoint, page-aligned. */
        CHECK(a->start >= before && a->start < a->end);
        CHECK(((a->start | a->end) & 4095) == 0);
        before = a->end;
        (void)sscanf(line + at, " %299[^\n]", a->name);
        CHECK(strchr("r-", a->perms[0]) && strchr("w-", a->perms[1]) && strchr("x-", a->perms[2]) &&
              strchr("ps", a->perms[3]));
        if ((unsigned long)address >= a->start && (unsigned long)address < a->end) {
            found = true;
            break;
        }
    }
    fclose(f);
    return found;
}

TEST(maps_shows_a_mapping_as_it_changes)
{
    struct area a;
    char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    CHECK(find_area(p, &a));
    CHECK_STR(a.perms, "rw-p");
    CHECK_EQ(mprotect(p + 4096, 4096, PROT_READ), 0);
    CHECK(find_area(p + 4096, &a));
    CHECK_STR(a.perms, "r--p");
    CHECK_EQ(a.start, (unsigned long)p + 4096);
    CHECK_EQ(a.end, (unsigned long)p + 8192);
    CHECK_EQ(mprotect(p + 4096, 4096, PROT_NONE), 0);
    CHECK(find_area(p + 4096, &a));
    CHECK_STR(a.perms, "---p");
    CHECK_EQ(munmap(p, 3 * 4096), 0);
    CHECK(!find_area(p, &a));
    p = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(find_area(p, &a));
    CHECK_STR(a.perms, "r--s");
}

TEST(maps_names_files)
{
    struct area a;
    char want[PATH_MAX], *p;
    const char *top = scratch();
    int fd, local = 0;

    put_file("mapped", "");
    fd = open("mapped", O_RDWR);
    CHECK_EQ(ftruncate(fd, 3 * 4096), 0);
    p = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096);
    if (p == MAP_FAILED && errno == EPERM)
        p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 4096);
    CHECK(p != MAP_FAILED);
    CHECK(find_area(p, &a));
    CHECK_EQ(a.offset, 4096);
    (void)snprintf(want, sizeof(want), "%s/mapped", top);
    CHECK_STR(a.name, want);
    CHECK_EQ(unlink("mapped"), 0);
    CHECK(find_area(p, &a));
    (void)snprintf(want, sizeof(want), "%s/mapped (deleted)", top);
    CHECK_STR(a.name, want);
    CHECK(find_area(&local, &a));
    CHECK_STR(a.name, "[stack]");
    CHECK(find_area(sbrk(0) - 1, &a));
    CHECK_STR(a.name, "[heap]");
    CHECK(find_area((void *)getauxval(AT_SYSINFO_EHDR), &a));
    CHECK_STR(a.name, "[vdso]");
    CHECK(find_area((void *)(uintptr_t)find_area, &a));
    CHECK_STR(a.perms, "r-xp");
}

TEST(stat_line)
{
    char comm[64], state;
    int pid, ppid, pgrp, sid, tty, nice_value, threads;
    unsigned long vsize;
    long rss;
    unsigned long long start;

    CHECK_EQ(prctl(PR_SET_NAME, "a) (b", 0, 0, 0), 0);
    load("/proc/self/stat");
    CHECK_EQ(sscanf(text, "%d (%63[^\n]", &pid, comm), 2);
    CHECK_EQ(pid, getpid());
    char *close_paren = strrchr(text, ')');
    CHECK(close_paren != NULL);
    *close_paren = '\0';
    CHECK_STR(strchr(text, '(') + 1, "a) (b");
    CHECK_EQ(
        sscanf(close_paren + 1,
               " %c %d %d %d %d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %d %d %*d %llu %lu %ld",
               &state, &ppid, &pgrp, &sid, &tty, &nice_value, &threads, &start, &vsize, &rss),
        10);
    CHECK_EQ(state, 'R');
    CHECK_EQ(ppid, getppid());
    CHECK_EQ(pgrp, getpgrp());
    CHECK_EQ(sid, getsid(0));
    CHECK_EQ(nice_value, getpriority(PRIO_PROCESS, 0));
    CHECK_EQ(threads, 1);
    CHECK(vsize > 0 && rss > 0);
    /* 52 fields since Linux 3.5. */
    int fields = 2;
    for (char *f = strtok(close_paren + 1, " \n"); f != NULL; f = strtok(NULL, " \n"))
        fields++;
    CHECK_EQ(fields, 52);
}

TEST(stat_of_a_child)
{
    char path[64], state;
    int ppid, pgrp;
    pid_t pid = FORK({
        CHECK_EQ(setpgid(0, 0), 0);
        pause();
    });

    gt_wait_state(pid, "S");
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    load(path);
    CHECK_EQ(sscanf(strrchr(text, ')') + 1, " %c %d %d", &state, &ppid, &pgrp), 3);
    CHECK_EQ(state, 'S');
    CHECK_EQ(ppid, getpid());
    CHECK_EQ(pgrp, pid);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
    CHECK_EQ(gt_state(pid), 'T');
    CHECK_EQ(kill(pid, SIGKILL), 0);
    siginfo_t si;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
    CHECK_EQ(gt_state(pid), 'Z');
    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    load(path);
    CHECK_EQ(text[0], '\0');
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    (void)snprintf(path, sizeof(path), "/proc/%d", pid);
    CHECK_ERRNO(access(path, F_OK), ENOENT);
}

TEST(status_fields)
{
    static const char *const names[] = {"Name",
                                        "Umask",
                                        "State",
                                        "Tgid",
                                        "Ngid",
                                        "Pid",
                                        "PPid",
                                        "TracerPid",
                                        "Uid",
                                        "Gid",
                                        "FDSize",
                                        "Groups",
                                        "VmPeak",
                                        "VmSize",
                                        "VmLck",
                                        "VmPin",
                                        "VmHWM",
                                        "VmRSS",
                                        "VmData",
                                        "VmStk",
                                        "VmExe",
                                        "VmLib",
                                        "VmPTE",
                                        "VmSwap",
                                        "SigQ",
                                        "SigPnd",
                                        "ShdPnd",
                                        "SigBlk",
                                        "SigIgn",
                                        "SigCgt",
                                        "CapInh",
                                        "CapPrm",
                                        "CapEff",
                                        "CapBnd",
                                        "CapAmb",
                                        "Seccomp",
                                        "NoNewPrivs",
                                        "Threads",
                                        "Cpus_allowed",
                                        "Cpus_allowed_list",
                                        "voluntary_ctxt_switches",
                                        "nonvoluntary_ctxt_switches"};
    char uids[64];

    (void)umask(027);
    load("/proc/self/status");
    for (size_t i = 0; i < GT_COUNT(names); i++) {
        if (field(names[i]) == NULL)
            gt_fail(false, __FILE__, __LINE__, "no field %s", names[i]);
    }
    CHECK_EQ(number("Pid"), getpid());
    CHECK_EQ(number("Tgid"), getpid());
    CHECK_EQ(number("PPid"), getppid());
    CHECK_EQ(number("Threads"), 1);
    CHECK_STR(field("Umask"), "0027");
    CHECK_STR(field("State"), "R (running)");
    (void)snprintf(uids, sizeof(uids), "%d\t%d\t%d\t%d", getuid(), geteuid(), geteuid(), geteuid());
    CHECK_STR(field("Uid"), uids);
}

TEST(status_ids_of_another_user)
{
    pid_t pid = FORK({
        gid_t groups[] = {7, 9};

        CHECK_EQ(setgroups(2, groups), 0);
        CHECK_EQ(setresgid(1, 2, 3), 0);
        CHECK_EQ(setresuid(11, 0, 33), 0);
        CHECK_EQ(setfsuid(44), 0);
        load("/proc/self/status");
        CHECK_STR(field("Uid"), "11\t0\t33\t44");
        CHECK_STR(field("Gid"), "1\t2\t3\t2");
        CHECK(strncmp(field("Groups"), "7 9", 3) == 0);
    });

    wait_ok(pid);
}

static void ignore_handler(int sig)
{
    (void)sig;
}

TEST(status_signals)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMAX);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK(signal(SIGHUP, SIG_IGN) != SIG_ERR);
    CHECK(signal(SIGUSR2, ignore_handler) != SIG_ERR);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(raise(SIGRTMAX), 0);
    load("/proc/self/status");
    unsigned long blocked = strtoul(field("SigBlk"), NULL, 16);
    unsigned long ignored = strtoul(field("SigIgn"), NULL, 16);
    unsigned long caught = strtoul(field("SigCgt"), NULL, 16);
    unsigned long pending = strtoul(field("SigPnd"), NULL, 16);
    unsigned long shared = strtoul(field("ShdPnd"), NULL, 16);
    CHECK(blocked & 1ul << (SIGUSR1 - 1));
    CHECK(blocked & 1ul << 63);
    CHECK(ignored & 1ul << (SIGHUP - 1));
    CHECK(caught & 1ul << (SIGUSR2 - 1));
    CHECK(shared & 1ul << (SIGUSR1 - 1));
    CHECK_EQ(pending, 1ul << 63);
}

TEST(memory_figures_follow_use)
{
    const size_t size = 32u << 20;
    long before, after, mapped, statm_size, statm_rss;
    char *p;

    load("/proc/self/status");
    before = number("VmRSS");
    long vm = number("VmSize");
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    load("/proc/self/status");
    mapped = number("VmSize");
    CHECK_EQ(mapped - vm, (long)(size / 1024));
    for (size_t i = 0; i < size; i += 4096)
        p[i] = 1;
    load("/proc/self/status");
    after = number("VmRSS");
    CHECK(after - before >= (long)(size / 1024) * 9 / 10);
    CHECK(number("VmHWM") >= after);
    CHECK(number("VmPeak") >= mapped);
    load("/proc/self/statm");
    CHECK_EQ(sscanf(text, "%ld %ld", &statm_size, &statm_rss), 2);
    CHECK_EQ(statm_size, mapped / 4);
    CHECK(statm_rss >= after / 4 * 9 / 10);
    CHECK_EQ(munmap(p, size), 0);
    load("/proc/self/status");
    CHECK(number("VmRSS") < before + (long)(size / 1024) / 2);
    CHECK_EQ(number("VmSize"), vm);
}

TEST(threads_are_counted_and_listed)
{
    pthread_t t;
    pthread_barrier_t b;
    char path[64];
    int seen = 0;
    struct dirent *e;
    DIR *d;

    CHECK_EQ(pthread_barrier_init(&b, NULL, 2), 0);
    CHECK_EQ(pthread_create(&t, NULL, (void *(*)(void *))(uintptr_t)pthread_barrier_wait, &b), 0);
    load("/proc/self/status");
    CHECK_EQ(number("Threads"), 2);
    CHECK((d = opendir("/proc/self/task")) != NULL);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        seen++;
        (void)snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", e->d_name);
        load(path);
        CHECK_EQ(number("Tgid"), getpid());
        CHECK_EQ(number("Pid"), atoi(e->d_name));
        /* A thread is reachable as /proc/TID but not listed there. */
        (void)snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
        CHECK_EQ(access(path, F_OK), 0);
    }
    closedir(d);
    CHECK_EQ(seen, 2);
    struct stat st;
    CHECK_EQ(stat("/proc/self/task", &st), 0);
    CHECK_EQ(st.st_nlink, 4);
    (void)pthread_barrier_wait(&b);
    CHECK_EQ(pthread_join(t, NULL), 0);
    load("/proc/self/status");
    CHECK_EQ(number("Threads"), 1);
}

TEST(fd_directory_matches)
{
    char target[PATH_MAX];
    const char *top = scratch();
    int fd, count = 0, p[2];
    struct dirent *e;
    char path[64], want[PATH_MAX];
    ssize_t n;
    DIR *d;

    CHECK_EQ(close_range(3, ~0u, 0), 0);
    put_file("f", "");
    CHECK_EQ(fd = open("f", O_RDONLY), 3);
    CHECK_EQ(pipe(p), 0);
    CHECK((d = opendir("/proc/self/fd")) != NULL);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        CHECK(fd_is_open(atoi(e->d_name)));
        count++;
    }
    /* 0, 1, 2, the file, two pipe ends, and the directory itself. */
    CHECK_EQ(count, 7);
    closedir(d);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK((n = readlink(path, target, sizeof(target) - 1)) > 0);
    target[n] = '\0';
    (void)snprintf(want, sizeof(want), "%s/f", top);
    CHECK_STR(target, want);
    CHECK_EQ(rename("f", "g"), 0);
    CHECK((n = readlink(path, target, sizeof(target) - 1)) > 0);
    target[n] = '\0';
    (void)snprintf(want, sizeof(want), "%s/g", top);
    CHECK_STR(target, want);
    CHECK_EQ(unlink("g"), 0);
    CHECK((n = readlink(path, target, sizeof(target) - 1)) > 0);
    target[n] = '\0';
    (void)snprintf(want, sizeof(want), "%s/g (deleted)", top);
    CHECK_STR(target, want);
    struct stat st;
    CHECK_EQ(fstat(p[0], &st), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
    CHECK((n = readlink(path, target, sizeof(target) - 1)) > 0);
    target[n] = '\0';
    (void)snprintf(want, sizeof(want), "pipe:[%lu]", (unsigned long)st.st_ino);
    CHECK_STR(target, want);
    CHECK_EQ(lstat(path, &st), 0);
    CHECK_EQ(st.st_mode, S_IFLNK | 0500);
    CHECK_ERRNO(open("/proc/self/fd/999", O_RDONLY), ENOENT);
}

TEST(fd_link_permissions_show_the_access_mode)
{
    static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};
    static const mode_t want[] = {0500, 0300, 0700};
    char path[64];
    struct stat st;

    scratch();
    put_file("f", "");
    for (int i = 0; i < 3; i++) {
        int fd = open("f", modes[i]);

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        CHECK_EQ(lstat(path, &st), 0);
        CHECK_EQ(st.st_mode & 0777, want[i]);
    }
}

TEST(fdinfo)
{
    char path[64];
    int fd;

    scratch();
    put_file("f", "0123456789");
    fd = open("f", O_RDWR | O_APPEND | O_CLOEXEC);
    CHECK_EQ(lseek(fd, 7, SEEK_SET), 7);
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    load(path);
    CHECK_EQ(number("pos"), 7);
    CHECK_EQ(strtol(field("flags"), NULL, 8) & ~0100000, O_RDWR | O_APPEND | O_CLOEXEC);
    CHECK(field("mnt_id") != NULL);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(field("ino") == NULL || number("ino") == (long)st.st_ino);
    CHECK_ERRNO(open("/proc/self/fdinfo/999", O_RDONLY), ENOENT);
}

TEST(cmdline_and_environ)
{
    char first[PATH_MAX];
    ssize_t n = get_file("/proc/self/cmdline", text, sizeof(text));

    CHECK(n > 0);
    CHECK_EQ(text[n - 1], '\0');
    (void)snprintf(first, sizeof(first), "%.4000s", text);
    CHECK(strstr(first, "proc-self") != NULL);
    pid_t pid = FORK({
        char *argv[] = {gt_self, "-xreport", "one two", "", "x", NULL};
        char *envp[] = {"A=1", "B=two words", NULL};

        execve(gt_self, argv, envp);
    });
    wait_ok(pid);
}

ENTRY(report)
{
    static const char want_args[] = "-xreport\0one two\0\0x";
    static const char want_env[] = "A=1\0B=two words";
    ssize_t n = get_file("/proc/self/cmdline", text, sizeof(text));
    size_t skip = strlen(argv[0]) + 1;

    CHECK_EQ(argc, 5);
    CHECK_EQ(n, (ssize_t)(skip + sizeof(want_args)));
    CHECK(memcmp(text + skip, want_args, sizeof(want_args)) == 0);
    n = get_file("/proc/self/environ", text, sizeof(text));
    CHECK_EQ(n, (ssize_t)sizeof(want_env));
    CHECK(memcmp(text, want_env, sizeof(want_env)) == 0);
    return 0;
}

TEST(exe_cwd_root)
{
    char buf[PATH_MAX], cwd[PATH_MAX];
    struct stat a, b;
    ssize_t n;
    int fd;

    scratch();
    CHECK((n = readlink("/proc/self/cwd", buf, sizeof(buf) - 1)) > 0);
    buf[n] = '\0';
    CHECK_STR(buf, getcwd(cwd, sizeof(cwd)));
    CHECK((n = readlink("/proc/self/root", buf, sizeof(buf) - 1)) == 1);
    CHECK_EQ(buf[0], '/');
    CHECK((n = readlink("/proc/self/exe", buf, sizeof(buf) - 1)) > 0);
    buf[n] = '\0';
    CHECK_EQ(buf[0], '/');
    CHECK((fd = open("/proc/self/exe", O_RDONLY)) >= 0);
    CHECK_EQ(read(fd, buf, 4), 4);
    CHECK(memcmp(buf, ELFMAG, 4) == 0);
    CHECK_EQ(stat("/proc/self/cwd", &a), 0);
    CHECK_EQ(stat(".", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    put_file("here", "");
    CHECK_EQ(access("/proc/self/cwd/here", F_OK), 0);
    /* Text that runs cannot be written. */
    CHECK_ERRNO(open("/proc/self/exe", O_RDWR), ETXTBSY);
}

TEST(comm)
{
    char name[32];
    int fd;

    CHECK_EQ(prctl(PR_SET_NAME, "first", 0, 0, 0), 0);
    CHECK_STR(load("/proc/self/comm"), "first\n");
    CHECK((fd = open("/proc/self/comm", O_WRONLY)) >= 0);
    CHECK_EQ(write(fd, "a name that is too long", 23), 23);
    CHECK_EQ(prctl(PR_GET_NAME, name, 0, 0, 0), 0);
    CHECK_STR(name, "a name that is ");
    CHECK_STR(load("/proc/self/comm"), "a name that is \n");
    load("/proc/self/status");
    CHECK_STR(field("Name"), "a name that is ");
    /* Not another process's. */
    pid_t pid = FORK({ pause(); });
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    CHECK((fd = open(path, O_WRONLY)) >= 0);
    CHECK_ERRNO(write(fd, "x", 1), EINVAL);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}

TEST(auxv)
{
    ssize_t n = get_file("/proc/self/auxv", text, sizeof(text));
    const Elf64_auxv_t *av = (const void *)text;
    bool page = false, random = false;
    size_t i;

    CHECK(n > 0 && n % (ssize_t)sizeof(*av) == 0);
    for (i = 0; av[i].a_type != AT_NULL; i++) {
        CHECK((ssize_t)((i + 1) * sizeof(*av)) < n);
        /* The C library replaces the processor's bits by its own. */
        if (av[i].a_type != AT_HWCAP)
            CHECK_EQ(av[i].a_un.a_val, getauxval(av[i].a_type));
        page |= av[i].a_type == AT_PAGESZ && av[i].a_un.a_val == 4096;
        random |= av[i].a_type == AT_RANDOM;
    }
    CHECK(page && random);
}

TEST(limits)
{
    static const struct {
        const char *name;
        int resource;
    } rows[] = {{"Max cpu time", RLIMIT_CPU},
                {"Max file size", RLIMIT_FSIZE},
                {"Max data size", RLIMIT_DATA},
                {"Max stack size", RLIMIT_STACK},
                {"Max core file size", RLIMIT_CORE},
                {"Max processes", RLIMIT_NPROC},
                {"Max open files", RLIMIT_NOFILE},
                {"Max address space", RLIMIT_AS},
                {"Max pending signals", RLIMIT_SIGPENDING},
                {"Max nice priority", RLIMIT_NICE}};
    struct rlimit limit = {.rlim_cur = 123, .rlim_max = 456};

    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    load("/proc/self/limits");
    CHECK(strncmp(text, "Limit                     Soft Limit           Hard Limit           Units",
                  73) == 0);
    for (size_t i = 0; i < GT_COUNT(rows); i++) {
        const char *line = strstr(text, rows[i].name);
        char soft[32], hard[32], want[32];

        CHECK(line != NULL);
        CHECK_EQ(sscanf(line + 26, "%31s %31s", soft, hard), 2);
        CHECK_EQ(getrlimit(rows[i].resource, &limit), 0);
        (void)snprintf(want, sizeof(want), "%lu", (unsigned long)limit.rlim_cur);
        CHECK_STR(soft, limit.rlim_cur == RLIM_INFINITY ? "unlimited" : want);
        (void)snprintf(want, sizeof(want), "%lu", (unsigned long)limit.rlim_max);
        CHECK_STR(hard, limit.rlim_max == RLIM_INFINITY ? "unlimited" : want);
    }
}

TEST(mounts_and_mountinfo)
{
    bool root = false, proc = false;
    int lines = 0;

    load("/proc/self/mounts");
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char source[256], dir[256], type[64], options[1024];
        int a, b;

        CHECK_EQ(sscanf(line, "%255s %255s %63s %1023s %d %d", source, dir, type, options, &a, &b),
                 6);
        root |= strcmp(dir, "/") == 0;
        proc |= strcmp(dir, "/proc") == 0 && strcmp(type, "proc") == 0;
        CHECK(strncmp(options, "rw", 2) == 0 || strncmp(options, "ro", 2) == 0);
        lines++;
    }
    CHECK(root && proc);
    load("/proc/self/mountinfo");
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        int id, parent, dev_major, dev_minor;
        char dir[256], in[256], options[256];
        const char *dash = strstr(line, " - ");

        CHECK_EQ(sscanf(line, "%d %d %d:%d %255s %255s %255s", &id, &parent, &dev_major, &dev_minor,
                        dir, in, options),
                 7);
        CHECK(dash != NULL);
        lines--;
    }
    CHECK_EQ(lines, 0);
    CHECK(get_file("/proc/mounts", text, sizeof(text)) > 0);
}

TEST(io)
{
    long before, after;
    int fd = open("/dev/null", O_WRONLY);
    static char block[100000];

    if (get_file("/proc/self/io", text, sizeof(text)) < 0)
        SKIP("no /proc/self/io here");
    before = number("wchar");
    CHECK(number("syscw") >= 0);
    CHECK(field("rchar") != NULL && field("syscr") != NULL && field("read_bytes") != NULL &&
          field("write_bytes") != NULL && field("cancelled_write_bytes") != NULL);
    CHECK_EQ(write(fd, block, sizeof(block)), sizeof(block));
    load("/proc/self/io");
    after = number("wchar");
    CHECK(after - before >= 100000);
}

TEST(oom_score_adj)
{
    int fd;

    CHECK((fd = open("/proc/self/oom_score_adj", O_RDWR)) >= 0);
    CHECK_EQ(write(fd, "500", 3), 3);
    CHECK_STR(load("/proc/self/oom_score_adj"), "500\n");
    CHECK_ERRNO(write(fd, "1001", 4), EINVAL);
    CHECK_ERRNO(write(fd, "x", 1), EINVAL);
    CHECK_STR(load("/proc/self/oom_score_adj"), "500\n");
    pid_t pid = FORK({ CHECK_STR(load("/proc/self/oom_score_adj"), "500\n"); });
    wait_ok(pid);
    CHECK(get_file("/proc/self/oom_score", text, sizeof(text)) > 0);
}

TEST(directory_of_processes)
{
    char link[64];
    struct dirent *e;
    bool self = false, one = false;
    ssize_t n;
    DIR *d = opendir("/proc");

    CHECK(d != NULL);
    while ((e = readdir(d)) != NULL) {
        self |= atoi(e->d_name) == getpid();
        one |= strcmp(e->d_name, "1") == 0;
    }
    closedir(d);
    CHECK(self && one);
    CHECK((n = readlink("/proc/self", link, sizeof(link) - 1)) > 0);
    link[n] = '\0';
    CHECK_EQ(atoi(link), getpid());
    CHECK((n = readlink("/proc/thread-self", link, sizeof(link) - 1)) > 0);
    link[n] = '\0';
    char want[64];
    (void)snprintf(want, sizeof(want), "%d/task/%d", getpid(), getpid());
    CHECK_STR(link, want);
    CHECK_ERRNO(access("/proc/999999999", F_OK), ENOENT);
    CHECK_ERRNO(access("/proc/0", F_OK), ENOENT);
    CHECK_ERRNO(access("/proc/01", F_OK), ENOENT);
    CHECK_ERRNO(mkdir("/proc/x", 0755), ENOENT);
    CHECK_ERRNO(unlink("/proc/self/stat"), EPERM);
}

TEST(mem_file)
{
    volatile int value = 42, back = 0;
    int fd = open("/proc/self/mem", O_RDWR);

    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, (void *)&back, sizeof(back), (off_t)(uintptr_t)&value), sizeof(back));
    CHECK_EQ(back, 42);
    back = 7;
    CHECK_EQ(pwrite(fd, (void *)&back, sizeof(back), (off_t)(uintptr_t)&value), sizeof(back));
    CHECK_EQ(value, 7);
    CHECK_ERRNO(pread(fd, (void *)&back, sizeof(back), 8), EIO);
}

TEST(smaps_sums)
{
    long rss = 0, rollup;

    load("/proc/self/smaps");
    for (const char *p = text; (p = strstr(p, "\nRss:")) != NULL; p++)
        rss += strtol(p + 5, NULL, 10);
    CHECK(rss > 0);
    if (get_file("/proc/self/smaps_rollup", text, sizeof(text)) > 0) {
        rollup = number("Rss");
        CHECK(rollup > 0 && rollup < rss * 4 && rss < rollup * 4);
    }
}

TEST(small_files)
{
    CHECK(get_file("/proc/self/cgroup", text, sizeof(text)) >= 0);
    load("/proc/self/uid_map");
    unsigned a, b, c;
    CHECK_EQ(sscanf(text, "%u %u %u", &a, &b, &c), 3);
    CHECK(get_file("/proc/self/wchan", text, sizeof(text)) >= 0);
    load("/proc/self/personality");
    CHECK_STR(text, "00000000\n");
    load("/proc/self/coredump_filter");
    CHECK_EQ(strtoul(text, NULL, 16), 0x33);
}

TEST(another_users_files_are_private)
{
    pid_t pid = FORK({ pause(); });
    pid_t other = FORK({
        char path[64];

        become(OTHER_UID, OTHER_GID);
        (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
        CHECK(get_file(path, text, sizeof(text)) > 0);
        (void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
        CHECK_ERRNO(open(path, O_RDONLY), EACCES);
        (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        CHECK_ERRNO(open(path, O_RDONLY), EACCES);
        (void)snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
        CHECK_ERRNO(readlink(path, text, sizeof(text)), EACCES);
        (void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
        CHECK_ERRNO(open(path, O_RDONLY), EACCES);
    });

    wait_ok(other);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_KILLED(pid, SIGKILL);
}
