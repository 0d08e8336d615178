// proc(5): which files there are. Everything is in constant tables; see tree.h.
//
// DEVIATION: proc: hidepid and subset are not supported as mount options (EINVAL). Absent, as in a kernel built without what they
// are for: attr, autogroup, cpuset, loginuid, sessionid, map_files, syscall, clear_refs, latency.
#include "base/slab.h"
#include "fs/proc/proc-int.h"
#include "kernel/ipc.h"

#define PROC_MAGIC 0x9fa0

#define DIRECTORY(name_, table_)                                                             \
    {                                                                                        \
        .name = (name_), .mode = S_IFDIR | 0555, .table = (table_)                           \
    }
#define SHOWN(name_, show_)                                                                  \
    {                                                                                        \
        .name = (name_), .mode = S_IFREG | 0444, .show = (show_)                             \
    }
#define TEXT(name_, text_)                                                                   \
    {                                                                                        \
        .name = (name_), .mode = S_IFREG | 0444, .text = (text_)                             \
    }
#define SYMLINK(name_, text_)                                                                \
    {                                                                                        \
        .name = (name_), .mode = S_IFLNK | 0777, .text = (text_)                             \
    }
// Of a process: what everybody may read, what needs the right to trace it, what can be written.
#define PRIVATE(name_, mode_, show_)                                                         \
    {                                                                                        \
        .name = (name_), .mode = S_IFREG | (mode_), .flags = ENTRY_PTRACE_OPEN, .show = (show_) \
    }
#define WRITABLE(name_, mode_, show_, store_)                                                \
    {                                                                                        \
        .name = (name_), .mode = S_IFREG | (mode_), .show = (show_), .store = (store_)       \
    }
#define REFUSED(name_)                                                                       \
    {                                                                                        \
        .name = (name_), .mode = S_IFREG | 0400, .open = proc_open_refused                   \
    }
#define MAGIC(name_, show_, follow_)                                                         \
    {                                                                                        \
        .name = (name_), .mode = S_IFLNK | 0777, .flags = ENTRY_PTRACE, .show = (show_), .follow = (follow_) \
    }

#define ID_MAP "         0          0 4294967295\n"

// What a process and a thread have in common.
#define TASK_ENTRIES                                                                                                     \
    PRIVATE("auxv", 0400, proc_show_auxv), TEXT("cgroup", "0::/\n"), SHOWN("cmdline", proc_show_cmdline),                \
        WRITABLE("comm", 0644, proc_show_comm, proc_store_comm), MAGIC("cwd", proc_show_cwd, proc_follow_cwd),           \
        PRIVATE("environ", 0400, proc_show_environ), MAGIC("exe", proc_show_exe, proc_follow_exe),                       \
        {.name = "fd", .mode = S_IFDIR | 0500, .table = PROC_FD, .flags = ENTRY_SAME_GROUP},                             \
        {.name = "fdinfo", .mode = S_IFDIR | 0555, .table = PROC_FDINFO, .flags = ENTRY_PTRACE},                         \
        TEXT("gid_map", ID_MAP),                                                                                         \
        {.name = "io", .mode = S_IFREG | 0400, .flags = ENTRY_PTRACE, .show = proc_show_io},                             \
        SHOWN("limits", proc_show_limits),                                                                               \
        {.name = "maps", .mode = S_IFREG | 0444, .flags = ENTRY_PTRACE_OPEN, .show = proc_show_maps},                    \
        {.name = "mem", .mode = S_IFREG | 0600, .flags = ENTRY_PTRACE_OPEN, .open = proc_open_mem},                      \
        {.name = "mountinfo", .mode = S_IFREG | 0444, .flags = ENTRY_POLL_MOUNTS, .show = proc_show_mounts, .arg = 1},   \
        {.name = "mounts", .mode = S_IFREG | 0444, .flags = ENTRY_POLL_MOUNTS, .show = proc_show_mounts},                \
        DIRECTORY("net", PROC_NET),                                                                                      \
        {.name = "ns", .mode = S_IFDIR | 0511, .table = PROC_NS}, SHOWN("oom_score", proc_show_oom_score),               \
        WRITABLE("oom_adj", 0644, proc_show_oom_adj, proc_store_oom_adj),                                                \
        WRITABLE("oom_score_adj", 0644, proc_show_oom_score_adj, proc_store_oom_score_adj), REFUSED("pagemap"),          \
        {.name = "personality", .mode = S_IFREG | 0400, .flags = ENTRY_PTRACE, .show = proc_show_personality},           \
        TEXT("projid_map", ID_MAP), MAGIC("root", proc_show_root, proc_follow_root), SHOWN("sched", proc_show_sched),    \
        SHOWN("schedstat", proc_show_task_schedstat), TEXT("setgroups", "allow\n"),                                      \
        {.name = "smaps", .mode = S_IFREG | 0444, .flags = ENTRY_PTRACE_OPEN, .show = proc_show_maps, .arg = 1},         \
        PRIVATE("smaps_rollup", 0444, proc_show_smaps_rollup), REFUSED("stack"), SHOWN("stat", proc_show_task_stat),     \
        SHOWN("statm", proc_show_statm), SHOWN("status", proc_show_status), TEXT("uid_map", ID_MAP), TEXT("wchan", "0")

static const struct tree_entry process_entries[] = {
    TASK_ENTRIES,
    TEXT("coredump_filter", "00000033\n"),
    {.name = "task", .mode = S_IFDIR | 0555, .table = PROC_TASK_DIR, .flags = ENTRY_THREADS},
    WRITABLE("timerslack_ns", 0666, proc_show_timerslack, proc_store_timerslack),
};
const struct tree_table proc_process_table = {TREE_ENTRIES(process_entries), .no_cache = true};

static const struct tree_entry thread_entries[] = {
    TASK_ENTRIES,
    SHOWN("children", proc_show_children),
};
const struct tree_table proc_thread_table = {TREE_ENTRIES(thread_entries), .no_cache = true};

// ---- The root ----

static int show_sysvipc(const struct tree_call *c, struct strbuf *out)
{
    if (c->entry->arg == 0)
        ipc_show_msg(out);
    else if (c->entry->arg == 1)
        ipc_show_sem(out);
    else
        ipc_show_shm(out);
    return 0;
}

static int show_locks(const struct tree_call *c, struct strbuf *out)
{
    file_locks_show(out);
    return 0;
}

static const struct tree_entry sysvipc_entries[] = {
    {.name = "msg", .mode = S_IFREG | 0444, .show = show_sysvipc, .arg = 0},
    {.name = "sem", .mode = S_IFREG | 0444, .show = show_sysvipc, .arg = 1},
    {.name = "shm", .mode = S_IFREG | 0444, .show = show_sysvipc, .arg = 2},
};

#define NO_PRESSURE "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

static const struct tree_entry pressure_entries[] = {
    TEXT("cpu", NO_PRESSURE),
    TEXT("io", NO_PRESSURE),
    TEXT("memory", NO_PRESSURE),
};

static const struct tree_entry tty_entries[] = {
    DIRECTORY("driver", PROC_EMPTY),
    TEXT("drivers", "/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
                    "/dev/console         /dev/console    5       1 system:console\n"
                    "/dev/ptmx            /dev/ptmx       5       2 system\n"
                    "pty_slave            /dev/pts      136 0-1048575 pty:slave\n"
                    "pty_master           /dev/ptm      128 0-1048575 pty:master\n"),
    TEXT("ldiscs", "n_tty       0\n"),
};

static const struct tree_entry root_entries[] = {
    SHOWN("buddyinfo", proc_show_buddyinfo),
    DIRECTORY("bus", PROC_EMPTY),
    TEXT("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"),
    TEXT("cmdline", "quiet\n"),
    TEXT("consoles", ""),
    SHOWN("cpuinfo", proc_show_cpuinfo),
    TEXT("crypto", ""),
    TEXT("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n128 ptm\n136 pts\n"
                    "\nBlock devices:\n"),
    TEXT("diskstats", ""),
    TEXT("dma", ""),
    DIRECTORY("driver", PROC_EMPTY),
    TEXT("execdomains", "0-0\tLinux           \t[kernel]\n"),
    TEXT("fb", ""),
    SHOWN("filesystems", proc_show_filesystems),
    DIRECTORY("fs", PROC_EMPTY),
    SHOWN("interrupts", proc_show_interrupts),
    TEXT("iomem", ""),
    TEXT("ioports", ""),
    DIRECTORY("irq", PROC_EMPTY),
    TEXT("kallsyms", ""),
    TEXT("key-users", ""),
    TEXT("keys", ""),
    REFUSED("kmsg"),
    SHOWN("loadavg", proc_show_loadavg),
    SHOWN("locks", show_locks),
    SHOWN("meminfo", proc_show_meminfo),
    TEXT("misc", ""),
    TEXT("modules", ""),
    SYMLINK("mounts", "self/mounts"),
    SYMLINK("net", "self/net"),
    {.name = "pagetypeinfo", .mode = S_IFREG | 0400, .text = ""},
    TEXT("partitions", "major minor  #blocks  name\n\n"),
    DIRECTORY("pressure", PROC_PRESSURE),
    {.name = "self", .mode = S_IFLNK | 0777, .show = proc_show_self},
    {.name = "slabinfo", .mode = S_IFREG | 0400,
     .text = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : "
             "tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"},
    SHOWN("softirqs", proc_show_softirqs),
    SHOWN("stat", proc_show_stat),
    TEXT("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    DIRECTORY("sys", PROC_SYS),
    {.name = "sysrq-trigger", .mode = S_IFREG | 0200, .open = proc_open_refused},
    DIRECTORY("sysvipc", PROC_SYSVIPC),
    {.name = "thread-self", .mode = S_IFLNK | 0777, .show = proc_show_thread_self},
    {.name = "timer_list", .mode = S_IFREG | 0400, .text = ""},
    DIRECTORY("tty", PROC_TTY),
    SHOWN("uptime", proc_show_uptime),
    SHOWN("version", proc_show_version),
    SHOWN("vmstat", proc_show_vmstat),
    SHOWN("zoneinfo", proc_show_zoneinfo),
};

static const struct tree_table root_table = {TREE_ENTRIES(root_entries), .dynamic = &proc_processes};
static const struct tree_table task_dir_table = {.dynamic = &proc_threads, .no_cache = true};
static const struct tree_table sysvipc_table = {TREE_ENTRIES(sysvipc_entries)};
static const struct tree_table tty_table = {TREE_ENTRIES(tty_entries)};
static const struct tree_table pressure_table = {TREE_ENTRIES(pressure_entries)};
static const struct tree_table empty_table = {0};

#define SYS(table) [table] = &proc_sys_tables[(table)-PROC_SYS]

static const struct tree_table *const tables[PROC_TABLE_COUNT] = {
    [PROC_ROOT] = &root_table,
    [PROC_PROCESS] = &proc_process_table,
    [PROC_TASK_DIR] = &task_dir_table,
    [PROC_THREAD] = &proc_thread_table,
    [PROC_FD] = &proc_fd_table,
    [PROC_FDINFO] = &proc_fdinfo_table,
    [PROC_NS] = &proc_ns_table,
    [PROC_NSFS] = &proc_nsfs_table,
    [PROC_NET] = &proc_net_table,
    [PROC_SYSVIPC] = &sysvipc_table,
    [PROC_EMPTY] = &empty_table,
    [PROC_TTY] = &tty_table,
    [PROC_PRESSURE] = &pressure_table,
    SYS(PROC_SYS),
    SYS(PROC_SYS_KERNEL),
    SYS(PROC_SYS_KERNEL_RANDOM),
    SYS(PROC_SYS_KERNEL_PTY),
    SYS(PROC_SYS_KERNEL_KEYS),
    SYS(PROC_SYS_KERNEL_YAMA),
    SYS(PROC_SYS_VM),
    SYS(PROC_SYS_FS),
    SYS(PROC_SYS_FS_INOTIFY),
    SYS(PROC_SYS_FS_EPOLL),
    SYS(PROC_SYS_NET),
    SYS(PROC_SYS_NET_CORE),
    SYS(PROC_SYS_NET_UNIX),
    SYS(PROC_SYS_NET_IPV4),
    SYS(PROC_SYS_NET_CONF),
    SYS(PROC_SYS_NET_CONF_ONE),
    SYS(PROC_SYS_NET_IPV6),
    SYS(PROC_SYS_NET_IPV6_CONF),
    SYS(PROC_SYS_NET_IPV6_ONE),
};

const struct tree proc_tree = {
    .tables = tables,
    .count = PROC_TABLE_COUNT,
    .dir = INODE_PROC_DIR,
    .file = INODE_PROC_FILE,
    .link = INODE_PROC_LINK,
    .dir_file = FILE_PROC_DIR,
    .text_file = FILE_PROC,
    .no_create = -ENOENT, // names that are absent are not even negative in Linux's proc
};

// ---- Operations ----

const struct inode_ops proc_dir_inode_ops = {
    .lookup = tree_lookup,
    .create = tree_create,
    .mkdir = tree_mkdir,
    .symlink = tree_symlink,
    .link = tree_link,
    .getattr = tree_getattr,
    .setattr = tree_setattr,
    .open = tree_dir_open,
    .permission = tree_permission,
    .evict = tree_evict,
};

const struct inode_ops proc_file_inode_ops = {
    .getattr = tree_getattr,
    .setattr = tree_setattr,
    .open = tree_file_open,
    .permission = tree_permission,
    .evict = tree_evict,
};

const struct inode_ops proc_link_inode_ops = {
    .readlink = tree_readlink,
    .follow = tree_follow,
    .getattr = tree_getattr,
    .setattr = tree_setattr,
    .evict = tree_evict,
};

const struct file_ops proc_dir_file_ops = {
    .iterate = tree_iterate,
    .seek = dir_seek,
};

const struct file_ops proc_file_ops = {
    .read = tree_file_read,
    .write = tree_file_write,
    .seek = tree_file_seek,
    .poll = tree_file_poll,
    .poll_queue = tree_file_poll_queue,
    .release = tree_file_release,
};

// ---- Super block ----

static int proc_mount(struct task *t, const char *source, const char *options, struct super_block **ret)
{
    if (*options && strcmp(options, "hidepid=0") && strcmp(options, "hidepid=off"))
        return -EINVAL;
    return tree_super_create(SUPER_PROC, PROC_MAGIC, ret);
}

const struct super_ops proc_super_ops = {
    .name = "proc",
    .flags = SUPER_MOUNTABLE | SUPER_NODEV,
    .mount = proc_mount,
    .statfs = tree_statfs,
    .sync = tree_sync,
    .revalidate = tree_revalidate,
};
