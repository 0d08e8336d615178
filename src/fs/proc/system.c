// Figures of the whole sandbox: meminfo, stat, uptime, loadavg, vmstat and what is small.
//
// Times since the boot are the host's, as CLOCK_BOOTTIME is, so that what a program computes of start times is right.
//
// DEVIATION: proc: AnonPages and what follows from it count address spaces as they were last measured (mm/proc-maps.c). Idle
// time is what the CPUs of the sandbox were not used by it. Interrupts, I/O and swapping are not counted.
#include <stdatomic.h>
#include <time.h>

#include "abi/uts.h"
#include "base/slab.h"
#include "fs/proc/proc-int.h"
#include "kernel/load.h"
#include "mm/memfile.h"
#include "mm/mm.h"

// ---- Memory ----

static void sum_address_spaces(struct proc_memory *m)
{
    struct kernel *k = the_kernel();
    struct mm *mm;
    lock_take(&k->mms_lock);
    list_for_each (mm, &k->mms, node) {
        uint64_t resident = LOAD_RELAXED(mm->resident_pages), shared = LOAD_RELAXED(mm->shared_pages);
        m->anon += (resident - MIN(shared, resident)) << PAGE_SHIFT;
        m->committed += LOAD_RELAXED(mm->data_pages) << PAGE_SHIFT;
        m->page_tables += (resident / 512 + 8) << PAGE_SHIFT;
    }
    lock_release(&k->mms_lock);
}

void proc_get_memory(struct proc_memory *out)
{
    struct kernel *k = the_kernel();
    struct task *me = current_task();
    *out = (struct proc_memory){.total = k->memory_limit, .slab = arena_used()};
    if (me && me->mm)
        (void)mm_resident_bytes(me->mm, me); // the reader's own are up to date
    out->shared = k->memfile ? memfile_total_bytes(k->memfile) : 0;
    sum_address_spaces(out);
    out->cached = out->shared;
    uint64_t used = out->anon + out->shared + out->slab + out->page_tables;
    out->free = out->total - MIN(used, out->total - out->total / 64);
    out->available = out->free;
}

static void kb(struct strbuf *out, const char *name, uint64_t bytes)
{
    strbuf_printf(out, "%-16s%8llu kB\n", name, ULL(bytes >> 10));
}

int proc_show_meminfo(const struct tree_call *c, struct strbuf *out)
{
    struct proc_memory m;
    proc_get_memory(&m);
    kb(out, "MemTotal:", m.total);
    kb(out, "MemFree:", m.free);
    kb(out, "MemAvailable:", m.available);
    kb(out, "Buffers:", 0);
    kb(out, "Cached:", m.cached);
    kb(out, "SwapCached:", 0);
    kb(out, "Active:", m.anon);
    kb(out, "Inactive:", m.cached);
    kb(out, "Active(anon):", m.anon + m.shared);
    kb(out, "Inactive(anon):", 0);
    kb(out, "Active(file):", 0);
    kb(out, "Inactive(file):", 0);
    kb(out, "Unevictable:", 0);
    kb(out, "Mlocked:", 0);
    kb(out, "SwapTotal:", 0);
    kb(out, "SwapFree:", 0);
    kb(out, "Dirty:", 0);
    kb(out, "Writeback:", 0);
    kb(out, "AnonPages:", m.anon);
    kb(out, "Mapped:", m.shared);
    kb(out, "Shmem:", m.shared);
    kb(out, "KReclaimable:", 0);
    kb(out, "Slab:", m.slab);
    kb(out, "SReclaimable:", 0);
    kb(out, "SUnreclaim:", m.slab);
    kb(out, "KernelStack:", (uint64_t)LOAD_RELAXED(the_kernel()->task_count) << 14);
    kb(out, "PageTables:", m.page_tables);
    kb(out, "NFS_Unstable:", 0);
    kb(out, "Bounce:", 0);
    kb(out, "WritebackTmp:", 0);
    kb(out, "CommitLimit:", m.total / 2);
    kb(out, "Committed_AS:", m.committed + m.shared);
    kb(out, "VmallocTotal:", 0x7fffffffffull << 10);
    kb(out, "VmallocUsed:", 0);
    kb(out, "VmallocChunk:", 0);
    kb(out, "Percpu:", 0);
    kb(out, "AnonHugePages:", 0);
    kb(out, "ShmemHugePages:", 0);
    kb(out, "ShmemPmdMapped:", 0);
    kb(out, "FileHugePages:", 0);
    kb(out, "FilePmdMapped:", 0);
    strbuf_puts(out, "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
                     "HugePages_Surp:        0\n");
    kb(out, "Hugepagesize:", 2 << 20);
    kb(out, "Hugetlb:", 0);
    kb(out, "DirectMap4k:", m.total);
    return 0;
}

int proc_show_vmstat(const struct tree_call *c, struct strbuf *out)
{
    struct proc_memory m;
    struct kernel_activity now;
    proc_get_memory(&m);
    kernel_activity(the_kernel(), &now);
    strbuf_printf(out, "nr_free_pages %llu\nnr_zone_inactive_anon 0\nnr_zone_active_anon %llu\nnr_zone_inactive_file 0\n",
                  ULL(m.free >> PAGE_SHIFT), ULL((m.anon + m.shared) >> PAGE_SHIFT));
    strbuf_printf(out, "nr_mlock 0\nnr_inactive_anon 0\nnr_active_anon %llu\nnr_inactive_file 0\nnr_active_file 0\n",
                  ULL((m.anon + m.shared) >> PAGE_SHIFT));
    strbuf_printf(out, "nr_slab_unreclaimable %llu\nnr_anon_pages %llu\nnr_mapped %llu\nnr_file_pages %llu\nnr_dirty 0\n",
                  ULL(m.slab >> PAGE_SHIFT), ULL(m.anon >> PAGE_SHIFT), ULL(m.shared >> PAGE_SHIFT),
                  ULL(m.cached >> PAGE_SHIFT));
    strbuf_printf(out, "nr_writeback 0\nnr_shmem %llu\nnr_page_table_pages %llu\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n",
                  ULL(m.shared >> PAGE_SHIFT), ULL(m.page_tables >> PAGE_SHIFT));
    strbuf_printf(out, "pgfault %llu\npgmajfault %llu\noom_kill 0\n", ULL(now.used.minor_faults),
                  ULL(now.used.major_faults));
    return 0;
}

// ---- Time ----

static nsec_t boot_time(void)
{
    nsec_t boot = 0;
    (void)clock_read(CLOCK_BOOTTIME, &boot);
    return boot;
}

static nsec_t idle_time(const struct cpu_usage *used)
{
    nsec_t all = boot_time() * (nsec_t)MAX(the_kernel()->cpu_count, 1u);
    return MAX(all - used->user - used->system, 0);
}

int proc_show_stat(const struct tree_call *c, struct strbuf *out)
{
    struct kernel *k = the_kernel();
    struct kernel_activity now;
    uint32_t cpus = MAX(k->cpu_count, 1u);
    kernel_activity(k, &now);
    nsec_t idle = idle_time(&now.used), user = now.used.user / TICK, system = now.used.system / TICK;
    strbuf_printf(out, "cpu  %lld 0 %lld %lld 0 0 0 0 0 0\n", (long long)user, (long long)system, (long long)(idle / TICK));
    for (uint32_t i = 0; i < cpus; i++)
        strbuf_printf(out, "cpu%u %lld 0 %lld %lld 0 0 0 0 0 0\n", i, (long long)(user / cpus), (long long)(system / cpus),
                      (long long)(idle / TICK / cpus));
    uint64_t switches = now.used.voluntary_switches + now.used.involuntary_switches;
    strbuf_printf(out, "intr 0\nctxt %llu\nbtime %lld\nprocesses %llu\nprocs_running %u\nprocs_blocked 0\n", ULL(switches),
                  (long long)((clock_realtime() - boot_time()) / NSEC_PER_SEC), ULL(__atomic_load_n((uint64_t *)&k->fork_count, __ATOMIC_RELAXED)),
                  now.running);
    strbuf_puts(out, "softirq 0 0 0 0 0 0 0 0 0 0 0\n");
    return 0;
}

int proc_show_uptime(const struct tree_call *c, struct strbuf *out)
{
    struct kernel_activity now;
    kernel_activity(the_kernel(), &now);
    nsec_t up = boot_time(), idle = idle_time(&now.used);
    strbuf_printf(out, "%lld.%02lld %lld.%02lld\n", (long long)(up / NSEC_PER_SEC), (long long)(up % NSEC_PER_SEC / 10000000),
                  (long long)(idle / NSEC_PER_SEC), (long long)(idle % NSEC_PER_SEC / 10000000));
    return 0;
}

int proc_show_loadavg(const struct tree_call *c, struct strbuf *out)
{
    struct kernel *k = the_kernel();
    struct kernel_activity now;
    uint64_t load[3];
    kernel_activity(k, &now);
    kernel_load(k, &now, load);
    for (int i = 0; i < 3; i++)
        strbuf_printf(out, "%llu.%02llu ", ULL(load[i] >> 16), ULL((load[i] & 0xffff) * 100 >> 16));
    strbuf_printf(out, "%u/%u %u\n", now.running, LOAD_RELAXED(k->task_count), LOAD_RELAXED(k->last_pid));
    return 0;
}

// ---- Names ----

int proc_show_version(const struct tree_call *c, struct strbuf *out)
{
    strbuf_puts(out, UTS_SYSNAME " version " UTS_RELEASE " (caisson@caisson) (C compiler " __VERSION__ ") " UTS_VERSION "\n");
    return 0;
}

int proc_show_filesystems(const struct tree_call *c, struct strbuf *out)
{
    filesystems_show(out);
    return 0;
}

static void cpu_columns(struct strbuf *out, uint32_t width)
{
    strbuf_printf(out, "%*s", (int)width, "");
    for (uint32_t i = 0; i < MAX(the_kernel()->cpu_count, 1u); i++)
        strbuf_printf(out, "CPU%-8u", i);
    strbuf_putc(out, '\n');
}

int proc_show_interrupts(const struct tree_call *c, struct strbuf *out)
{
    cpu_columns(out, 11);
    strbuf_puts(out, " ERR:          0\n MIS:          0\n");
    return 0;
}

int proc_show_softirqs(const struct tree_call *c, struct strbuf *out)
{
    static const char *const names[] = {"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED",
                                        "HRTIMER", "RCU"};
    cpu_columns(out, 20);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        strbuf_printf(out, "%12s:", names[i]);
        for (uint32_t cpu = 0; cpu < MAX(the_kernel()->cpu_count, 1u); cpu++)
            strbuf_printf(out, " %10u", 0);
        strbuf_putc(out, '\n');
    }
    return 0;
}

int proc_show_buddyinfo(const struct tree_call *c, struct strbuf *out)
{
    struct proc_memory m;
    proc_get_memory(&m);
    strbuf_printf(out, "Node 0, zone   Normal %6llu", ULL(m.free >> PAGE_SHIFT & 1023));
    for (int order = 1; order < 10; order++)
        strbuf_printf(out, " %6d", 0);
    strbuf_printf(out, " %6llu\n", ULL(m.free >> (PAGE_SHIFT + 10)));
    return 0;
}

int proc_show_zoneinfo(const struct tree_call *c, struct strbuf *out)
{
    struct proc_memory m;
    proc_get_memory(&m);
    uint64_t total = m.total >> PAGE_SHIFT;
    strbuf_printf(out, "Node 0, zone   Normal\n  pages free     %llu\n        boost    0\n        min      %llu\n",
                  ULL(m.free >> PAGE_SHIFT), ULL(total / 256));
    strbuf_printf(out, "        low      %llu\n        high     %llu\n        spanned  %llu\n        present  %llu\n",
                  ULL(total / 205), ULL(total / 171), ULL(total), ULL(total));
    strbuf_printf(out, "        managed  %llu\n        cma      0\n", ULL(total));
    return 0;
}
