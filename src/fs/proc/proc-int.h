// What the files of proc share: tables, and the functions of their entries.
#pragma once

#include "fs/tree.h"
#include "kernel/task.h"

enum proc_table {
    PROC_ROOT,
    PROC_PROCESS,
    PROC_TASK_DIR, // /proc/PID/task
    PROC_THREAD,
    PROC_FD,
    PROC_FDINFO,
    PROC_NS,
    PROC_NSFS, // no directory: where the links of ns lead
    PROC_NET,
    PROC_SYSVIPC,
    PROC_EMPTY,
    PROC_TTY,
    PROC_TTY_DRIVER,
    PROC_PRESSURE,
    PROC_SYS, // from here on: sysctl.c
    PROC_SYS_KERNEL,
    PROC_SYS_KERNEL_RANDOM,
    PROC_SYS_KERNEL_PTY,
    PROC_SYS_KERNEL_KEYS,
    PROC_SYS_KERNEL_YAMA,
    PROC_SYS_VM,
    PROC_SYS_FS,
    PROC_SYS_FS_INOTIFY,
    PROC_SYS_FS_EPOLL,
    PROC_SYS_NET,
    PROC_SYS_NET_CORE,
    PROC_SYS_NET_UNIX,
    PROC_SYS_NET_IPV4,
    PROC_SYS_NET_CONF,
    PROC_SYS_NET_CONF_ONE,
    PROC_SYS_NET_IPV6,
    PROC_SYS_NET_IPV6_CONF,
    PROC_SYS_NET_IPV6_ONE,
    PROC_TABLE_COUNT
};

typedef int proc_show(const struct tree_call *c, struct strbuf *out);
typedef int64_t proc_store(const struct tree_call *c, char *text, uint64_t size);

#define PROC_HOOK __attribute__((weak))
#define TICK (NSEC_PER_SEC / 100) // USER_HZ is 100

// A table of each file, joined in tables.c.
extern const struct tree_table proc_process_table, proc_thread_table, proc_fd_table, proc_fdinfo_table, proc_ns_table, proc_nsfs_table,
    proc_net_table, proc_sysvipc_table;
extern const struct tree_table proc_sys_tables[PROC_TABLE_COUNT - PROC_SYS];
extern const struct tree_dynamic proc_processes, proc_threads;

// ---- Files of a process ----
proc_show proc_show_task_stat, proc_show_statm, proc_show_status, proc_show_exe, proc_show_cwd, proc_show_root,
    proc_show_mounts, proc_show_maps, proc_show_smaps_rollup, proc_show_auxv, proc_show_environ, proc_show_cmdline,
    proc_show_comm, proc_show_limits, proc_show_oom_score, proc_show_oom_score_adj, proc_show_oom_adj,
    proc_show_personality, proc_show_timerslack, proc_show_children, proc_show_task_schedstat, proc_show_sched, proc_show_io;
proc_store proc_store_comm, proc_store_oom_score_adj, proc_store_oom_adj, proc_store_timerslack;
int proc_follow_exe(const struct tree_call *c, struct path *ret);
int proc_follow_cwd(const struct tree_call *c, struct path *ret);
int proc_follow_root(const struct tree_call *c, struct path *ret);
int proc_open_mem(const struct tree_call *c, struct file *f);
int proc_open_refused(const struct tree_call *c, struct file *f); // EPERM, who ever asks

// ---- task.c ----
// Is c's task shown as a thread alone (task/TID), not as its whole process?
static inline bool proc_shows_thread(const struct tree_call *c)
{
    return c->node->id.thread;
}
char proc_state_letter(struct task *t);
// Pages in memory, of the caller's own address space as they are now, of another as last measured.
uint64_t proc_resident_pages(struct mm *mm);
void proc_show_cpus_allowed(struct task *t, struct strbuf *out);

// ---- Root files ----
proc_show proc_show_cpuinfo, proc_show_meminfo, proc_show_stat, proc_show_uptime, proc_show_loadavg, proc_show_version,
    proc_show_vmstat, proc_show_filesystems, proc_show_interrupts, proc_show_self, proc_show_thread_self,
    proc_show_softirqs, proc_show_zoneinfo, proc_show_buddyinfo;

nsec_t proc_boot_offset(void); // CLOCK_BOOTTIME minus CLOCK_MONOTONIC
