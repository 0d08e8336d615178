// /proc/sys: what can be set is in kernel/sysctl.c's table; the rest is constant here, and shown as not writable (mode 0444, EACCES).
//
// DEVIATION: proc: many settings of /proc/sys that Linux lets root change are constant: max_map_count, pid_max, core_pattern, the
// scheduler's, what concerns writing back and reclaim. overcommit_memory can be 0 or 1, which are the same here.
#include <linux/capability.h>

#include "abi/uts.h"
#include "base/hash.h"
#include "fs/proc/proc-int.h"
#include "kernel/sysctl.h"
#include "mm/mm.h"

static bool same_file(uint32_t a, uint32_t b)
{
    return b < SYSCTL_COUNT && !strcmp(sysctl_table[a].path, sysctl_table[b].path);
}

// arg: the first id of the file; further values of it follow in the table.
static int show_setting(const struct tree_call *c, struct strbuf *out)
{
    struct kernel *k = the_kernel();
    uint32_t first = c->entry->arg;
    for (uint32_t id = first; same_file(first, id); id++)
        strbuf_printf(out, "%s%llu", id == first ? "" : "\t", ULL(sysctl_get(k, (enum sysctl_id)id)));
    strbuf_putc(out, '\n');
    return 0;
}

// Cuts the next blank-separated word off.
static char *next_word(char **text)
{
    char *p = *text;
    while (*p && strchr(" \t\n", *p))
        p++;
    if (!*p)
        return NULL;
    char *word = p;
    while (*p && !strchr(" \t\n", *p))
        p++;
    if (*p)
        *p++ = 0;
    *text = p;
    return word;
}

static int64_t store_setting(const struct tree_call *c, char *text, uint64_t size)
{
    struct kernel *k = the_kernel();
    uint32_t first = c->entry->arg, id = first;
    uint64_t v;
    for (char *word; same_file(first, id) && (word = next_word(&text)); id++) {
        int r = tree_parse_u64(word, 0, &v) ? sysctl_set(k, (enum sysctl_id)id, v) : -EINVAL;
        if (r < 0)
            return r;
    }
    return id == first || next_word(&text) ? -EINVAL : (int64_t)size;
}

// ---- Names ----

static int show_uts(const struct tree_call *c, struct strbuf *out)
{
    struct kernel *k = the_kernel();
    char name[65];
    lock_take(&k->misc_lock);
    memcpy(name, c->entry->arg ? k->uts.domainname : k->uts.nodename, sizeof(name));
    lock_release(&k->misc_lock);
    strbuf_printf(out, "%.64s\n", name);
    return 0;
}

static int64_t store_uts(const struct tree_call *c, char *text, uint64_t size)
{
    struct kernel *k = the_kernel();
    char name[65] = {0};
    if (!capable(current_task(), CAP_SYS_ADMIN))
        return -EPERM;
    memcpy(name, text, MIN(strcspn(text, "\n"), sizeof(name) - 1));
    lock_take(&k->misc_lock);
    memcpy(c->entry->arg ? k->uts.domainname : k->uts.nodename, name, sizeof(name));
    lock_release(&k->misc_lock);
    return (int64_t)size;
}

// ---- Random ----

static void show_uuid(struct strbuf *out, const uint8_t id[16])
{
    for (int i = 0; i < 16; i++)
        strbuf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    strbuf_putc(out, '\n');
}

static int show_boot_id(const struct tree_call *c, struct strbuf *out)
{
    uint8_t id[16];
    memcpy(id, the_kernel()->boot_id, sizeof(id));
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    show_uuid(out, id);
    return 0;
}

static int show_random_uuid(const struct tree_call *c, struct strbuf *out)
{
    uint8_t id[16];
    kernel_random(id, sizeof(id));
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    show_uuid(out, id);
    return 0;
}

// ---- Figures ----

static int show_threads_max(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "%u\n", the_kernel()->task_limit);
    return 0;
}

static int show_mmap_min(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "%llu\n", GUEST_ADDR_MIN);
    return 0;
}

static int show_file_nr(const struct tree_call *c, struct strbuf *out)
{
    struct kernel *k = the_kernel();
    struct task *t;
    uint64_t count = 0;
    lock_take(&k->tasks_lock);
    list_for_each (t, &k->tasks, all_node) {
        if (t->group->leader != t)
            continue;
        lock_take(&t->lock);
        count += t->files ? LOAD_RELAXED(t->files->count) : 0;
        lock_release(&t->lock);
    }
    lock_release(&k->tasks_lock);
    strbuf_printf(out, "%llu\t0\t9223372036854775807\n", ULL(count));
    return 0;
}

static int show_dentry_state(const struct tree_call *c, struct strbuf *out)
{
    uint32_t count = LOAD_RELAXED(the_vfs()->dentry_count);
    strbuf_printf(out, "%u\t%u\t45\t0\t0\t0\n", count, count);
    return 0;
}

static int show_inode_nr(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "%u\t0%s\n", LOAD_RELAXED(the_vfs()->dentry_count), c->entry->arg ? "\t0\t0\t0\t0\t0" : "");
    return 0;
}

static int show_min_free(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "%llu\n", ULL(the_kernel()->memory_limit >> 18));
    return 0;
}

uint32_t devpts_count(void) PROC_HOOK; // terminals that are open

static int show_pty_nr(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "%u\n", devpts_count ? devpts_count() : 0);
    return 0;
}

// ---- Tables ----

#define DIR(name_, table_)                                                   \
    {                                                                        \
        .name = (name_), .mode = S_IFDIR | 0555, .table = (table_)           \
    }
#define FIXED(name_, text_)                                                  \
    {                                                                        \
        .name = (name_), .mode = S_IFREG | 0444, .text = text_ "\n"          \
    }
#define SHOWN(name_, show_, arg_)                                            \
    {                                                                        \
        .name = (name_), .mode = S_IFREG | 0444, .show = (show_), .arg = (arg_) \
    }
#define SET(name_, id_)                                                      \
    {                                                                        \
        .name = (name_), .mode = S_IFREG | 0644, .arg = (id_), .show = show_setting, .store = store_setting \
    }

static const struct tree_entry sys_entries[] = {
    DIR("fs", PROC_SYS_FS),
    DIR("kernel", PROC_SYS_KERNEL),
    DIR("net", PROC_SYS_NET),
    DIR("vm", PROC_SYS_VM),
};

static const struct tree_entry kernel_entries[] = {
    FIXED("cap_last_cap", "40"),
    FIXED("core_pattern", "core"),
    FIXED("core_pipe_limit", "0"),
    FIXED("core_uses_pid", "0"),
    FIXED("ctrl-alt-del", "0"),
    FIXED("dmesg_restrict", "1"),
    {.name = "domainname", .mode = S_IFREG | 0644, .arg = 1, .show = show_uts, .store = store_uts},
    {.name = "hostname", .mode = S_IFREG | 0644, .arg = 0, .show = show_uts, .store = store_uts},
    DIR("keys", PROC_SYS_KERNEL_KEYS),
    FIXED("kptr_restrict", "1"),
    FIXED("modprobe", ""),
    FIXED("modules_disabled", "1"),
    SET("msgmax", SYSCTL_MSGMAX),
    SET("msgmnb", SYSCTL_MSGMNB),
    SET("msgmni", SYSCTL_MSGMNI),
    FIXED("ngroups_max", "65536"),
    FIXED("nmi_watchdog", "0"),
    FIXED("osrelease", UTS_RELEASE),
    FIXED("ostype", UTS_SYSNAME),
    FIXED("overflowgid", "65534"),
    FIXED("overflowuid", "65534"),
    FIXED("panic", "0"),
    FIXED("panic_on_oops", "0"),
    FIXED("perf_event_paranoid", "4"),
    FIXED("pid_max", "4194304"),
    FIXED("printk", "4\t4\t1\t7"),
    DIR("pty", PROC_SYS_KERNEL_PTY),
    DIR("random", PROC_SYS_KERNEL_RANDOM),
    FIXED("randomize_va_space", "2"),
    FIXED("sched_child_runs_first", "0"),
    FIXED("sched_rr_timeslice_ms", "100"),
    FIXED("sched_rt_period_us", "1000000"),
    FIXED("sched_rt_runtime_us", "950000"),
    SET("sem", SYSCTL_SEMMSL),
    FIXED("shm_rmid_forced", "0"),
    SET("shmall", SYSCTL_SHMALL),
    SET("shmmax", SYSCTL_SHMMAX),
    SET("shmmni", SYSCTL_SHMMNI),
    FIXED("sysrq", "0"),
    FIXED("tainted", "0"),
    SHOWN("threads-max", show_threads_max, 0),
    FIXED("version", UTS_VERSION),
    FIXED("watchdog", "0"),
    DIR("yama", PROC_SYS_KERNEL_YAMA),
};

static const struct tree_entry keys_entries[] = {
    FIXED("gc_delay", "300"),        FIXED("maxbytes", "20000"),           FIXED("maxkeys", "200"),
    FIXED("root_maxbytes", "25000000"), FIXED("root_maxkeys", "1000000"),
};

static const struct tree_entry pty_entries[] = {
    FIXED("max", "4096"),
    SHOWN("nr", show_pty_nr, 0),
    FIXED("reserve", "1024"),
};

static const struct tree_entry random_entries[] = {
    SHOWN("boot_id", show_boot_id, 0),
    FIXED("entropy_avail", "256"),
    FIXED("poolsize", "256"),
    FIXED("urandom_min_reseed_secs", "60"),
    SHOWN("uuid", show_random_uuid, 0),
    FIXED("write_wakeup_threshold", "256"),
};

static const struct tree_entry yama_entries[] = {FIXED("ptrace_scope", "0")};

static const struct tree_entry vm_entries[] = {
    FIXED("admin_reserve_kbytes", "8192"),
    FIXED("compaction_proactiveness", "20"),
    FIXED("dirty_background_bytes", "0"),
    FIXED("dirty_background_ratio", "10"),
    FIXED("dirty_bytes", "0"),
    FIXED("dirty_expire_centisecs", "3000"),
    FIXED("dirty_ratio", "20"),
    FIXED("dirty_writeback_centisecs", "500"),
    FIXED("laptop_mode", "0"),
    FIXED("legacy_va_layout", "0"),
    FIXED("max_map_count", "65530"),
    SHOWN("min_free_kbytes", show_min_free, 0),
    SHOWN("mmap_min_addr", show_mmap_min, 0),
    FIXED("mmap_rnd_bits", "28"),
    FIXED("nr_hugepages", "0"),
    FIXED("nr_overcommit_hugepages", "0"),
    FIXED("oom_dump_tasks", "1"),
    FIXED("oom_kill_allocating_task", "0"),
    FIXED("overcommit_kbytes", "0"),
    SET("overcommit_memory", SYSCTL_OVERCOMMIT_MEMORY),
    SET("overcommit_ratio", SYSCTL_OVERCOMMIT_RATIO),
    FIXED("page-cluster", "3"),
    FIXED("panic_on_oom", "0"),
    FIXED("stat_interval", "1"),
    SET("swappiness", SYSCTL_SWAPPINESS),
    FIXED("unprivileged_userfaultfd", "0"),
    FIXED("user_reserve_kbytes", "131072"),
    FIXED("vfs_cache_pressure", "100"),
    FIXED("zone_reclaim_mode", "0"),
};

static const struct tree_entry fs_entries[] = {
    FIXED("aio-max-nr", "65536"),
    FIXED("aio-nr", "0"),
    DIR("binfmt_misc", PROC_EMPTY),
    SHOWN("dentry-state", show_dentry_state, 0),
    FIXED("dir-notify-enable", "0"),
    DIR("epoll", PROC_SYS_FS_EPOLL),
    FIXED("file-max", "9223372036854775807"),
    SHOWN("file-nr", show_file_nr, 0),
    SHOWN("inode-nr", show_inode_nr, 0),
    SHOWN("inode-state", show_inode_nr, 1),
    DIR("inotify", PROC_SYS_FS_INOTIFY),
    FIXED("lease-break-time", "45"),
    FIXED("leases-enable", "0"),
    FIXED("mount-max", "100000"),
    FIXED("nr_open", "1048576"),
    FIXED("overflowgid", "65534"),
    FIXED("overflowuid", "65534"),
    SET("pipe-max-size", SYSCTL_PIPE_MAX_SIZE),
    SET("pipe-user-pages-hard", SYSCTL_PIPE_USER_PAGES_HARD),
    SET("pipe-user-pages-soft", SYSCTL_PIPE_USER_PAGES_SOFT),
    FIXED("protected_fifos", "0"),
    FIXED("protected_hardlinks", "1"),
    FIXED("protected_regular", "0"),
    FIXED("protected_symlinks", "1"),
    FIXED("suid_dumpable", "0"),
};

static const struct tree_entry inotify_entries[] = {
    SET("max_queued_events", SYSCTL_INOTIFY_MAX_QUEUED_EVENTS),
    SET("max_user_instances", SYSCTL_INOTIFY_MAX_USER_INSTANCES),
    SET("max_user_watches", SYSCTL_INOTIFY_MAX_USER_WATCHES),
};

static const struct tree_entry epoll_entries[] = {SET("max_user_watches", SYSCTL_EPOLL_MAX_USER_WATCHES)};

// There as long as the build speaks IPv6.
void inet_show_if_inet6(struct strbuf *out) PROC_HOOK;

static bool has_ipv6(const struct tree_call *dir)
{
    return inet_show_if_inet6 != NULL;
}

static const struct tree_entry net_entries[] = {
    DIR("core", PROC_SYS_NET_CORE),
    DIR("ipv4", PROC_SYS_NET_IPV4),
    {.name = "ipv6", .mode = S_IFDIR | 0555, .table = PROC_SYS_NET_IPV6, .present = has_ipv6},
    DIR("unix", PROC_SYS_NET_UNIX),
};

static const struct tree_entry core_entries[] = {
    FIXED("busy_poll", "0"),
    FIXED("busy_read", "0"),
    FIXED("default_qdisc", "noqueue"),
    FIXED("dev_weight", "64"),
    FIXED("message_burst", "10"),
    FIXED("message_cost", "5"),
    FIXED("netdev_budget", "300"),
    FIXED("netdev_max_backlog", "1000"),
    FIXED("optmem_max", "131072"),
    SET("rmem_default", SYSCTL_RMEM_DEFAULT),
    SET("rmem_max", SYSCTL_RMEM_MAX),
    SET("somaxconn", SYSCTL_SOMAXCONN),
    SET("wmem_default", SYSCTL_WMEM_DEFAULT),
    SET("wmem_max", SYSCTL_WMEM_MAX),
};

static const struct tree_entry unix_entries[] = {SET("max_dgram_qlen", SYSCTL_UNIX_MAX_DGRAM_QLEN)};

static const struct tree_entry ipv4_entries[] = {
    DIR("conf", PROC_SYS_NET_CONF),
    FIXED("icmp_echo_ignore_all", "0"),
    FIXED("icmp_echo_ignore_broadcasts", "1"),
    FIXED("ip_default_ttl", "64"),
    FIXED("ip_forward", "0"),
    FIXED("ip_local_port_range", "32768\t60999"),
    FIXED("ip_local_reserved_ports", ""),
    FIXED("ip_no_pmtu_disc", "0"),
    FIXED("ip_nonlocal_bind", "0"),
    FIXED("ip_unprivileged_port_start", "1024"),
    FIXED("ipfrag_time", "30"),
    FIXED("ping_group_range", "1\t0"),
    FIXED("tcp_allowed_congestion_control", "reno cubic"),
    FIXED("tcp_available_congestion_control", "reno cubic"),
    FIXED("tcp_base_mss", "1024"),
    FIXED("tcp_congestion_control", "cubic"),
    FIXED("tcp_dsack", "1"),
    FIXED("tcp_early_retrans", "3"),
    FIXED("tcp_ecn", "0"),
    FIXED("tcp_fack", "0"),
    FIXED("tcp_fastopen", "0"),
    FIXED("tcp_fin_timeout", "60"),
    FIXED("tcp_invalid_ratelimit", "500"),
    FIXED("tcp_keepalive_intvl", "75"),
    FIXED("tcp_keepalive_probes", "9"),
    FIXED("tcp_keepalive_time", "7200"),
    FIXED("tcp_max_orphans", "65536"),
    FIXED("tcp_max_syn_backlog", "4096"),
    FIXED("tcp_max_tw_buckets", "65536"),
    FIXED("tcp_mem", "96000\t128000\t192000"),
    FIXED("tcp_moderate_rcvbuf", "1"),
    FIXED("tcp_mtu_probing", "0"),
    FIXED("tcp_no_metrics_save", "1"),
    FIXED("tcp_probe_interval", "600"),
    FIXED("tcp_probe_threshold", "8"),
    FIXED("tcp_recovery", "1"),
    FIXED("tcp_reordering", "3"),
    FIXED("tcp_retries1", "3"),
    FIXED("tcp_retries2", "15"),
    FIXED("tcp_rfc1337", "0"),
    FIXED("tcp_rmem", "4096\t131072\t6291456"),
    FIXED("tcp_sack", "1"),
    FIXED("tcp_slow_start_after_idle", "1"),
    FIXED("tcp_syn_retries", "6"),
    FIXED("tcp_synack_retries", "5"),
    FIXED("tcp_syncookies", "1"),
    FIXED("tcp_timestamps", "1"),
    FIXED("tcp_tw_reuse", "2"),
    FIXED("tcp_window_scaling", "1"),
    FIXED("tcp_wmem", "4096\t16384\t4194304"),
    FIXED("udp_mem", "192000\t256000\t384000"),
    FIXED("udp_rmem_min", "4096"),
    FIXED("udp_wmem_min", "4096"),
};

static const struct tree_entry conf_entries[] = {
    DIR("all", PROC_SYS_NET_CONF_ONE),
    DIR("default", PROC_SYS_NET_CONF_ONE),
    DIR("lo", PROC_SYS_NET_CONF_ONE),
};

static const struct tree_entry conf_one_entries[] = {
    FIXED("accept_redirects", "0"), FIXED("accept_source_route", "0"), FIXED("arp_announce", "0"),
    FIXED("arp_ignore", "0"),       FIXED("forwarding", "0"),          FIXED("log_martians", "0"),
    FIXED("rp_filter", "0"),        FIXED("send_redirects", "0"),
};

static const struct tree_entry ipv6_entries[] = {
    FIXED("auto_flowlabels", "1"), FIXED("bindv6only", "0"),     DIR("conf", PROC_SYS_NET_IPV6_CONF),
    FIXED("ip6frag_time", "60"),   FIXED("ip_nonlocal_bind", "0"),
};

static const struct tree_entry ipv6_conf_entries[] = {
    DIR("all", PROC_SYS_NET_IPV6_ONE),
    DIR("default", PROC_SYS_NET_IPV6_ONE),
    DIR("lo", PROC_SYS_NET_IPV6_ONE),
};

static const struct tree_entry ipv6_one_entries[] = {
    FIXED("accept_ra", "0"),    FIXED("accept_redirects", "0"), FIXED("autoconf", "0"),
    FIXED("disable_ipv6", "0"), FIXED("forwarding", "0"),       FIXED("hop_limit", "64"),
};

#define AT(table) [(table)-PROC_SYS]
const struct tree_table proc_sys_tables[PROC_TABLE_COUNT - PROC_SYS] = {
    AT(PROC_SYS) = {TREE_ENTRIES(sys_entries), .settings = true},
    AT(PROC_SYS_KERNEL) = {TREE_ENTRIES(kernel_entries), .settings = true},
    AT(PROC_SYS_KERNEL_RANDOM) = {TREE_ENTRIES(random_entries), .settings = true},
    AT(PROC_SYS_KERNEL_PTY) = {TREE_ENTRIES(pty_entries), .settings = true},
    AT(PROC_SYS_KERNEL_KEYS) = {TREE_ENTRIES(keys_entries), .settings = true},
    AT(PROC_SYS_KERNEL_YAMA) = {TREE_ENTRIES(yama_entries), .settings = true},
    AT(PROC_SYS_VM) = {TREE_ENTRIES(vm_entries), .settings = true},
    AT(PROC_SYS_FS) = {TREE_ENTRIES(fs_entries), .settings = true},
    AT(PROC_SYS_FS_INOTIFY) = {TREE_ENTRIES(inotify_entries), .settings = true},
    AT(PROC_SYS_FS_EPOLL) = {TREE_ENTRIES(epoll_entries), .settings = true},
    AT(PROC_SYS_NET) = {TREE_ENTRIES(net_entries), .settings = true},
    AT(PROC_SYS_NET_CORE) = {TREE_ENTRIES(core_entries), .settings = true},
    AT(PROC_SYS_NET_UNIX) = {TREE_ENTRIES(unix_entries), .settings = true},
    AT(PROC_SYS_NET_IPV4) = {TREE_ENTRIES(ipv4_entries), .settings = true},
    AT(PROC_SYS_NET_CONF) = {TREE_ENTRIES(conf_entries), .settings = true},
    AT(PROC_SYS_NET_CONF_ONE) = {TREE_ENTRIES(conf_one_entries), .settings = true},
    AT(PROC_SYS_NET_IPV6) = {TREE_ENTRIES(ipv6_entries), .settings = true},
    AT(PROC_SYS_NET_IPV6_CONF) = {TREE_ENTRIES(ipv6_conf_entries), .settings = true},
    AT(PROC_SYS_NET_IPV6_ONE) = {TREE_ENTRIES(ipv6_one_entries), .settings = true},
};
