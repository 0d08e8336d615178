/*
 * The system's face outside of /proc/PID: /proc's global files, /proc/sys, /sys/devices/system/cpu.
 */
#include "scratch.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static char text[1 << 20];

static const char *load(const char *path)
{
    if (get_file(path, text, sizeof(text)) <= 0)
        gt_fail(true, __FILE__, __LINE__, "cannot read %s: %s", path, gt_errname(errno));
    return text;
}

static long kb(const char *name)
{
    const char *p = strstr(text, name);
    char unit[8];
    long v = -1;

    if (p == NULL)
        gt_fail(true, __FILE__, __LINE__, "no line %s", name);
    CHECK_EQ(sscanf(p + strlen(name), ": %ld %7s", &v, unit), 2);
    CHECK_STR(unit, "kB");
    return v;
}

/* A file that holds one number. */
static long one_number(const char *path)
{
    char *end;
    long v;

    load(path);
    v = strtol(text, &end, 10);
    if (end == text || *end != '\n')
        gt_fail(true, __FILE__, __LINE__, "%s is not a number: %.20s", path, text);
    return v;
}

TEST(meminfo)
{
    static const char *const names[] = {
        "MemTotal",   "MemFree",    "MemAvailable", "Buffers",      "Cached",
        "SwapCached", "Active",     "Inactive",     "SwapTotal",    "SwapFree",
        "Dirty",      "Writeback",  "AnonPages",    "Mapped",       "Shmem",
        "Slab",       "PageTables", "CommitLimit",  "Committed_AS", "VmallocTotal"};
    struct sysinfo si;
    long total, nfree, available;

    load("/proc/meminfo");
    for (size_t i = 0; i < GT_COUNT(names); i++)
        EXPECT(kb(names[i]) >= 0);
    total = kb("MemTotal");
    nfree = kb("MemFree");
    available = kb("MemAvailable");
    CHECK(total > 16384);
    CHECK(nfree > 0 && nfree <= total);
    CHECK(available > 0 && available <= total);
    CHECK_EQ(sysinfo(&si), 0);
    CHECK_EQ((long)(si.totalram * si.mem_unit / 1024), total);
    /* The C library's view comes from the same place. */
    long pages = sysconf(_SC_PHYS_PAGES);
    CHECK_EQ(pages * 4, total);
}

TEST(meminfo_follows_use)
{
    const size_t size = 64u << 20;
    long before, after;
    char *p;

    load("/proc/meminfo");
    before = kb("AnonPages");
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    for (size_t i = 0; i < size; i += 4096)
        p[i] = 1;
    load("/proc/meminfo");
    after = kb("AnonPages");
    /* Others allocate and free at the same time: a loose bound. */
    if (after < before + 8192) {
        gt_msleep(2000);
        load("/proc/meminfo");
        after = kb("AnonPages");
    }
    CHECK(after > 32768);
}

TEST(cpuinfo)
{
    int processors = 0;
    cpu_set_t set;

    load("/proc/cpuinfo");
    CHECK(strncmp(text, "processor\t: 0\n", 14) == 0);
    for (const char *p = text; (p = strstr(p, "processor\t:")) != NULL; p++)
        processors++;
    CHECK_EQ(processors, sysconf(_SC_NPROCESSORS_ONLN));
    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    CHECK(CPU_COUNT(&set) >= 1 && CPU_COUNT(&set) <= sysconf(_SC_NPROCESSORS_CONF));
#ifdef __x86_64__
    static const char *const names[] = {
        "vendor_id\t: ", "cpu family\t: ", "model\t\t: ",   "model name\t: ", "stepping\t: ",
        "flags\t\t: ",   "bogomips\t: ",   "cpu cores\t: ", "siblings\t: ",   "address sizes\t: "};
    for (size_t i = 0; i < GT_COUNT(names); i++)
        EXPECT(strstr(text, names[i]) != NULL);
    CHECK(strstr(text, " sse2") != NULL);
#endif
}

TEST(stat_file)
{
    unsigned long long user, nice_time, sys, idle, iowait, cpus = 0, btime = 0, ctxt;
    unsigned long long processes, running = 0;
    struct timespec up, now;

    load("/proc/stat");
    CHECK_EQ(sscanf(text, "cpu  %llu %llu %llu %llu %llu", &user, &nice_time, &sys, &idle, &iowait),
             5);
    CHECK(user + sys + idle > 0);
    for (const char *p = text; (p = strstr(p, "\ncpu")) != NULL; p++)
        cpus++;
    CHECK_EQ(cpus, sysconf(_SC_NPROCESSORS_ONLN));
    const char *p = strstr(text, "\nbtime ");
    CHECK(p != NULL && sscanf(p, " btime %llu", &btime) == 1);
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
    CHECK_EQ(clock_gettime(CLOCK_BOOTTIME, &up), 0);
    CHECK(llabs((long long)btime - (long long)(now.tv_sec - up.tv_sec)) <= 5);
    p = strstr(text, "\nctxt ");
    CHECK(p != NULL && sscanf(p, " ctxt %llu", &ctxt) == 1);
    p = strstr(text, "\nprocesses ");
    CHECK(p != NULL && sscanf(p, " processes %llu", &processes) == 1);
    p = strstr(text, "\nprocs_running ");
    CHECK(p != NULL && sscanf(p, " procs_running %llu", &running) == 1);
    CHECK(running >= 1);
    CHECK(strstr(text, "\nintr ") != NULL && strstr(text, "\nsoftirq ") != NULL);
    pid_t pid = FORK({ ; });
    wait_ok(pid);
    load("/proc/stat");
    unsigned long long later;
    CHECK_EQ(sscanf(strstr(text, "\nprocesses "), " processes %llu", &later), 1);
    CHECK(later > processes);
}

TEST(uptime)
{
    double up, idle, again;
    struct timespec ts;

    load("/proc/uptime");
    CHECK_EQ(sscanf(text, "%lf %lf", &up, &idle), 2);
    CHECK_EQ(clock_gettime(CLOCK_BOOTTIME, &ts), 0);
    CHECK(up > 0 && idle >= 0);
    CHECK(up <= (double)ts.tv_sec + 2 && up >= (double)ts.tv_sec - 10);
    gt_msleep(50);
    load("/proc/uptime");
    CHECK_EQ(sscanf(text, "%lf", &again), 1);
    CHECK(again > up);
    struct sysinfo si;
    CHECK_EQ(sysinfo(&si), 0);
    CHECK(si.uptime >= (long)up - 1 && si.uptime <= (long)again + 10);
}

TEST(loadavg)
{
    double a, b, c;
    int running, total, last;

    load("/proc/loadavg");
    CHECK_EQ(sscanf(text, "%lf %lf %lf %d/%d %d", &a, &b, &c, &running, &total, &last), 6);
    CHECK(a >= 0 && b >= 0 && c >= 0);
    CHECK(running >= 1 && running <= total);
    CHECK(last > 0);
    CHECK_EQ(text[strlen(text) - 1], '\n');
}

TEST(version_and_uname)
{
    struct utsname u;
    char release[80];
    int version, minor;

    CHECK_EQ(uname(&u), 0);
    CHECK_STR(u.sysname, "Linux");
    CHECK_EQ(sscanf(u.release, "%d.%d", &version, &minor), 2);
    CHECK(version >= 5);
    load("/proc/version");
    CHECK(strncmp(text, "Linux version ", 14) == 0);
    CHECK_EQ(sscanf(text + 14, "%79s", release), 1);
    CHECK_STR(release, u.release);
    CHECK(strstr(text, u.version) != NULL);
    load("/proc/sys/kernel/osrelease");
    text[strcspn(text, "\n")] = '\0';
    CHECK_STR(text, u.release);
    load("/proc/sys/kernel/version");
    text[strcspn(text, "\n")] = '\0';
    CHECK_STR(text, u.version);
    CHECK_STR(load("/proc/sys/kernel/ostype"), "Linux\n");
    load("/proc/sys/kernel/hostname");
    text[strcspn(text, "\n")] = '\0';
    CHECK_STR(text, u.nodename);
}

TEST(filesystems)
{
    static const char *const names[] = {"nodev\tproc\n", "nodev\ttmpfs\n", "nodev\tsysfs\n",
                                        "nodev\tdevpts\n"};

    load("/proc/filesystems");
    for (size_t i = 0; i < GT_COUNT(names); i++)
        EXPECT(strstr(text, names[i]) != NULL);
}

TEST(cmdline_and_devices)
{
    CHECK(get_file("/proc/cmdline", text, sizeof(text)) >= 0);
    load("/proc/devices");
    CHECK(strncmp(text, "Character devices:\n", 19) == 0);
    CHECK(strstr(text, "136 pts\n") != NULL);
    CHECK(strstr(text, "\nBlock devices:\n") != NULL);
}

TEST(vmstat_partitions_swaps)
{
    load("/proc/vmstat");
    CHECK(strstr(text, "pgfault ") != NULL);
    CHECK(strstr(text, "nr_free_pages ") != NULL);
    CHECK(strncmp(load("/proc/swaps"), "Filename", 8) == 0);
    CHECK(get_file("/proc/diskstats", text, sizeof(text)) >= 0);
    CHECK(get_file("/proc/partitions", text, sizeof(text)) >= 0);
}

TEST(kernel_numbers)
{
    static const struct {
        const char *name;
        long low, high;
    } rows[] = {
        {"pid_max", 300, 1 << 22},     {"threads-max", 20, 1l << 31}, {"ngroups_max", 65536, 65536},
        {"cap_last_cap", 37, 63},      {"msgmni", 1, 1l << 31},       {"msgmax", 1, 1l << 31},
        {"msgmnb", 1, 1l << 31},       {"shmmni", 1, 1l << 31},       {"overflowuid", 65534, 65534},
        {"overflowgid", 65534, 65534}, {"randomize_va_space", 0, 2},  {"core_uses_pid", 0, 1},
        {"pty/max", 1, 1l << 31},      {"pty/nr", 0, 1l << 31}};

    for (size_t i = 0; i < GT_COUNT(rows); i++) {
        char path[80];
        long v;

        (void)snprintf(path, sizeof(path), "/proc/sys/kernel/%s", rows[i].name);
        v = one_number(path);
        if (v < rows[i].low || v > rows[i].high)
            gt_fail(false, __FILE__, __LINE__, "%s is %ld", path, v);
    }
    long a, b, c, d;
    load("/proc/sys/kernel/sem");
    CHECK_EQ(sscanf(text, "%ld %ld %ld %ld", &a, &b, &c, &d), 4);
    CHECK(a > 0 && b >= a && c > 0 && d > 0);
    CHECK(get_file("/proc/sys/kernel/core_pattern", text, sizeof(text)) > 0);
    CHECK(strtoull(load("/proc/sys/kernel/shmmax"), NULL, 10) > 1u << 20);
    CHECK(strtoull(load("/proc/sys/kernel/shmall"), NULL, 10) > 256);
}

TEST(vm_numbers)
{
    CHECK(one_number("/proc/sys/vm/overcommit_memory") <= 2);
    CHECK(one_number("/proc/sys/vm/overcommit_ratio") >= 0);
    CHECK(one_number("/proc/sys/vm/max_map_count") >= 1000);
    CHECK(one_number("/proc/sys/vm/swappiness") >= 0);
    CHECK(one_number("/proc/sys/vm/mmap_min_addr") >= 0);
    CHECK(one_number("/proc/sys/vm/nr_hugepages") >= 0);
}

TEST(fs_numbers)
{
    long a, b, c;

    CHECK(one_number("/proc/sys/fs/file-max") > 0);
    CHECK(one_number("/proc/sys/fs/nr_open") >= 1024);
    CHECK(one_number("/proc/sys/fs/pipe-max-size") >= 65536);
    load("/proc/sys/fs/file-nr");
    CHECK_EQ(sscanf(text, "%ld %ld %ld", &a, &b, &c), 3);
    CHECK(a > 0 && c > 0);
    CHECK(one_number("/proc/sys/fs/inotify/max_user_watches") > 0);
    CHECK(one_number("/proc/sys/fs/inotify/max_user_instances") > 0);
    CHECK(one_number("/proc/sys/fs/inotify/max_queued_events") > 0);
    CHECK(one_number("/proc/sys/fs/epoll/max_user_watches") > 0);
    CHECK(one_number("/proc/sys/fs/lease-break-time") >= 0);
}

TEST(random_files)
{
    char first[64];

    load("/proc/sys/kernel/random/boot_id");
    CHECK_EQ(strlen(text), 37);
    (void)snprintf(first, sizeof(first), "%.60s", text);
    CHECK_STR(load("/proc/sys/kernel/random/boot_id"), first);
    load("/proc/sys/kernel/random/uuid");
    CHECK_EQ(strlen(text), 37);
    CHECK_EQ(text[14], '4');
    (void)snprintf(first, sizeof(first), "%.60s", text);
    CHECK(strcmp(load("/proc/sys/kernel/random/uuid"), first) != 0);
    CHECK(one_number("/proc/sys/kernel/random/entropy_avail") > 0);
    CHECK(one_number("/proc/sys/kernel/random/poolsize") > 0);
}

static void check_reading(const char *path)
{
    static char whole[65536], parts[65536];
    int fd = open(path, O_RDONLY);
    size_t have = 0;
    ssize_t n, size;

    CHECK(fd >= 0);
    CHECK((size = pread(fd, whole, sizeof(whole), 0)) > 0);
    /* Byte by byte the same text comes; offsets work; behind the end is the end. */
    while ((n = read(fd, parts + have, 1)) == 1)
        have++;
    CHECK_EQ(n, 0);
    CHECK_EQ(have, size);
    CHECK(memcmp(whole, parts, have) == 0);
    CHECK_EQ(pread(fd, parts, 5, 3), 5);
    CHECK(memcmp(parts, whole + 3, 5) == 0);
    CHECK_EQ(pread(fd, parts, 5, 1 << 20), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(read(fd, parts, 4), 4);
    CHECK(memcmp(parts, whole, 4) == 0);
    CHECK_ERRNO(write(fd, "x", 1), EBADF);
    close(fd);
}

TEST(reading_in_pieces)
{
    check_reading("/proc/version");
    check_reading("/proc/filesystems");
    check_reading("/proc/self/limits");
    check_reading("/proc/sys/kernel/osrelease");
}

TEST(proc_files_look_like_proc_files)
{
    struct stat st;
    struct statfs sf;

    CHECK_EQ(stat("/proc/version", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0444);
    CHECK_EQ(st.st_size, 0);
    CHECK_EQ(stat("/proc/self/", &st), 0);
    CHECK_EQ(st.st_mode, S_IFDIR | 0555);
    CHECK_EQ(statfs("/proc", &sf), 0);
    CHECK_EQ(sf.f_type, 0x9fa0);
    CHECK_ERRNO(open("/proc/version", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(access("/proc/nothing", F_OK), ENOENT);
    CHECK_ERRNO(access("/proc/sys/kernel/nothing", F_OK), ENOENT);
}

static void other_reads(void)
{
    CHECK_ERRNO(open("/proc/sys/kernel/hostname", O_WRONLY), EACCES);
    CHECK(open("/proc/sys/kernel/hostname", O_RDONLY) >= 0);
}

TEST(proc_sys_is_roots)
{
    as_user(OTHER_UID, OTHER_GID, other_reads);
}

/* Counts the processors in a list like 0-3,5. */
static int count_list(const char *list)
{
    int count = 0;

    while (*list >= '0' && *list <= '9') {
        char *end;
        long a = strtol(list, &end, 10), b = a;

        if (*end == '-')
            b = strtol(end + 1, &end, 10);
        CHECK(b >= a);
        count += (int)(b - a + 1);
        list = *end == ',' ? end + 1 : end;
    }
    CHECK(*list == '\n' || *list == '\0');
    return count;
}

TEST(sys_cpu)
{
    char path[80];
    int online, dirs = 0, n;
    struct dirent *e;
    DIR *d;

    if (access("/sys/devices", F_OK) < 0)
        SKIP("sysfs is not mounted here");
    online = count_list(load("/sys/devices/system/cpu/online"));
    CHECK_EQ(online, sysconf(_SC_NPROCESSORS_ONLN));
    CHECK(count_list(load("/sys/devices/system/cpu/possible")) >= online);
    CHECK(count_list(load("/sys/devices/system/cpu/present")) >= online);
    CHECK((d = opendir("/sys/devices/system/cpu")) != NULL);
    while ((e = readdir(d)) != NULL) {
        int at = 0;

        if (sscanf(e->d_name, "cpu%d%n", &n, &at) == 1 && e->d_name[at] == '\0')
            dirs++;
    }
    closedir(d);
    CHECK(dirs >= online);
    CHECK_EQ(dirs, sysconf(_SC_NPROCESSORS_CONF));
    (void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d", 0);
    CHECK_EQ(access(path, F_OK), 0);
    CHECK(one_number("/sys/devices/system/cpu/kernel_max") >= 0);
}

TEST(sys_is_sysfs)
{
    struct statfs sf;

    CHECK_EQ(statfs("/sys", &sf), 0);
    if (sf.f_type != 0x62656572)
        SKIP("sysfs is not mounted here");
    CHECK_EQ(access("/sys/class", F_OK), 0);
    CHECK_EQ(access("/sys/fs", F_OK), 0);
    CHECK(mkdir("/sys/x", 0755) == -1 && (errno == EPERM || errno == EROFS));    // EROFS: mounted read-only
    CHECK(access("/sys/none", F_OK) == -1 && errno == ENOENT);
}
