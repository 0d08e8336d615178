// The small files of a process: names, limits, settings that may be written.
//
// DEVIATION: proc: oom_score_adj has no floor of its own: lowering it needs CAP_SYS_RESOURCE even down to an earlier value.
// coredump_filter, like core dumps, is not there to change.
#include <linux/capability.h>

#include "fs/proc/proc-int.h"
#include "mm/mm.h"

// ---- comm ----

int proc_show_comm(const struct tree_call *c, struct strbuf *out)
{
    char comm[16];
    lock_take(&c->task->lock);
    memcpy(comm, c->task->comm, sizeof(comm));
    lock_release(&c->task->lock);
    comm[sizeof(comm) - 1] = 0;
    strbuf_printf(out, "%s\n", comm);
    return 0;
}

int64_t proc_store_comm(const struct tree_call *c, char *text, uint64_t size)
{
    struct task *me = current_task();
    if (!me || me->group != c->task->group)
        return -EINVAL;
    char comm[16] = {0};
    memcpy(comm, text, strnlen(text, MIN(size, sizeof(comm) - 1)));
    lock_take(&c->task->lock);
    memcpy(c->task->comm, comm, sizeof(comm));
    lock_release(&c->task->lock);
    return (int64_t)size;
}

// ---- limits ----

static void show_limit(struct strbuf *out, uint64_t v)
{
    if (v == UINT64_MAX)
        strbuf_printf(out, "%-20s ", "unlimited");
    else
        strbuf_printf(out, "%-20llu ", ULL(v));
}

int proc_show_limits(const struct tree_call *c, struct strbuf *out)
{
    static const struct {
        const char *name, *unit;
    } rows[RLIMIT_COUNT] = {
        [RLIMIT_CPU] = {"Max cpu time", "seconds"},        [RLIMIT_FSIZE] = {"Max file size", "bytes"},
        [RLIMIT_DATA] = {"Max data size", "bytes"},        [RLIMIT_STACK] = {"Max stack size", "bytes"},
        [RLIMIT_CORE] = {"Max core file size", "bytes"},   [RLIMIT_RSS] = {"Max resident set", "bytes"},
        [RLIMIT_NPROC] = {"Max processes", "processes"},   [RLIMIT_NOFILE] = {"Max open files", "files"},
        [RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"}, [RLIMIT_AS] = {"Max address space", "bytes"},
        [RLIMIT_LOCKS] = {"Max file locks", "locks"},      [RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
        [RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"}, [RLIMIT_NICE] = {"Max nice priority", NULL},
        [RLIMIT_RTPRIO] = {"Max realtime priority", NULL}, [RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
    };
    struct rlimit_value limits[RLIMIT_COUNT];
    struct thread_group *g = c->task->group;
    lock_take(&g->limit_lock);
    memcpy(limits, g->limits, sizeof(limits));
    lock_release(&g->limit_lock);
    strbuf_printf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (int i = 0; i < RLIMIT_COUNT; i++) {
        strbuf_printf(out, "%-25s ", rows[i].name);
        show_limit(out, limits[i].soft);
        show_limit(out, limits[i].hard);
        if (rows[i].unit)
            strbuf_printf(out, "%-10s\n", rows[i].unit);
        else
            strbuf_putc(out, '\n');
    }
    return 0;
}

// ---- Out of memory ----

int proc_show_oom_score_adj(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "%d\n", LOAD_RELAXED(c->task->group->oom_score_adj));
    return 0;
}

int proc_show_oom_adj(const struct tree_call *c, struct strbuf *out)
{
    int32_t adj = LOAD_RELAXED(c->task->group->oom_score_adj);
    strbuf_printf(out, "%d\n", adj == 1000 ? 15 : adj * 17 / 1000);
    return 0;
}

static int set_oom_score_adj(struct task *t, int64_t v)
{
    if (v < LOAD_RELAXED(t->group->oom_score_adj) && !capable(current_task(), CAP_SYS_RESOURCE))
        return -EACCES;
    __atomic_store_n(&t->group->oom_score_adj, (int32_t)v, __ATOMIC_RELAXED);
    return 0;
}

int64_t proc_store_oom_score_adj(const struct tree_call *c, char *text, uint64_t size)
{
    int64_t v;
    if (!tree_parse_i64(text, 0, &v) || v < -1000 || v > 1000)
        return -EINVAL;
    int r = set_oom_score_adj(c->task, v);
    return r < 0 ? r : (int64_t)size;
}

int64_t proc_store_oom_adj(const struct tree_call *c, char *text, uint64_t size)
{
    int64_t v;
    if (!tree_parse_i64(text, 0, &v) || v < -17 || v > 15)
        return -EINVAL;
    int r = set_oom_score_adj(c->task, v == 15 ? 1000 : v * 1000 / 17);
    return r < 0 ? r : (int64_t)size;
}

// As Linux's badness, scaled to 1000 and shifted by the adjustment.
int proc_show_oom_score(const struct tree_call *c, struct strbuf *out)
{
    struct mm *mm = task_get_mm(c->task);
    int64_t adj = LOAD_RELAXED(c->task->group->oom_score_adj);
    int64_t score = 0;
    uint64_t total = MAX(the_kernel()->memory_limit >> PAGE_SHIFT, 1);
    if (mm && adj != -1000) {
        uint64_t rss = proc_resident_pages(mm);
        score = (1000 + (int64_t)(MIN(rss, total) * 1000 / total) + adj) * 2 / 3;
    }
    mm_put(mm);
    strbuf_printf(out, "%lld\n", (long long)MAX(score, 0));
    return 0;
}

// ---- Others ----

int proc_show_personality(const struct tree_call *c, struct strbuf *out)
{
    strbuf_printf(out, "%08x\n", c->task->personality);
    return 0;
}

int proc_show_timerslack(const struct tree_call *c, struct strbuf *out)
{
    struct task *me = current_task();
    if (me != c->task && !capable(me, CAP_SYS_NICE))
        return -EPERM;
    strbuf_printf(out, "%llu\n", ULL(c->task->timer_slack));
    return 0;
}

int64_t proc_store_timerslack(const struct tree_call *c, char *text, uint64_t size)
{
    struct task *me = current_task();
    uint64_t v;
    if (!tree_parse_u64(text, 10, &v))
        return -EINVAL;
    if (me != c->task && !capable(me, CAP_SYS_NICE))
        return -EPERM;
    __atomic_store_n(&c->task->timer_slack, v ? v : 50000, __ATOMIC_RELAXED);
    return (int64_t)size;
}

int proc_show_children(const struct tree_call *c, struct strbuf *out)
{
    struct kernel *k = c->task->kernel;
    struct thread_group *g;
    lock_take(&k->tasks_lock);
    list_for_each (g, &c->task->group->children, sibling) {
        if (g->parent_task == c->task || (!g->parent_task && c->task == c->task->group->leader))
            strbuf_printf(out, "%u ", g->tgid);
    }
    lock_release(&k->tasks_lock);
    return 0;
}

int proc_show_task_schedstat(const struct tree_call *c, struct strbuf *out)
{
    struct cpu_usage u;
    if (proc_shows_thread(c))
        task_account(c->task, &u);
    else
        thread_group_times(c->task->group, &u);
    strbuf_printf(out, "%llu 0 %llu\n", ULL(u.user + u.system), ULL(u.voluntary_switches + u.involuntary_switches));
    return 0;
}

// What goes to the host's disks isn't known here: everything that is read and written counts as cached.
int proc_show_io(const struct tree_call *c, struct strbuf *out)
{
    struct cpu_usage u;
    if (proc_shows_thread(c))
        task_account(c->task, &u);
    else
        thread_group_times(c->task->group, &u);
    strbuf_printf(out, "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\n", ULL(u.read_bytes), ULL(u.written_bytes),
                  ULL(u.read_calls), ULL(u.write_calls));
    strbuf_printf(out, "read_bytes: %llu\nwrite_bytes: %llu\ncancelled_write_bytes: 0\n", ULL(u.in_blocks * 512),
                  ULL(u.out_blocks * 512));
    return 0;
}

static void sched_line(struct strbuf *out, const char *name, uint64_t v)
{
    strbuf_printf(out, "%-45s:%21llu\n", name, ULL(v));
}

static void sched_ms(struct strbuf *out, const char *name, nsec_t ns)
{
    strbuf_printf(out, "%-45s:%14lld.%06lld\n", name, (long long)(ns / 1000000), (long long)(ns % 1000000));
}

int proc_show_sched(const struct tree_call *c, struct strbuf *out)
{
    struct task *t = c->task;
    struct cpu_usage u;
    task_account(t, &u);
    strbuf_printf(out, "%.15s (%u, #threads: %u)\n", t->comm, t->tid, LOAD_RELAXED(t->group->thread_count));
    strbuf_puts(out, "-------------------------------------------------------------------\n");
    sched_ms(out, "se.exec_start", clock_monotonic());
    sched_ms(out, "se.vruntime", u.user + u.system);
    sched_ms(out, "se.sum_exec_runtime", u.user + u.system);
    sched_line(out, "nr_switches", u.voluntary_switches + u.involuntary_switches);
    sched_line(out, "nr_voluntary_switches", u.voluntary_switches);
    sched_line(out, "nr_involuntary_switches", u.involuntary_switches);
    sched_line(out, "policy", (uint64_t)MAX(t->sched_policy, 0));
    sched_line(out, "prio", (uint64_t)(120 + t->nice));
    return 0;
}

void proc_show_cpus_allowed(struct task *t, struct strbuf *out)
{
    uint32_t cpus = MIN(MAX(t->kernel->cpu_count, 1u), 1024u);
    int32_t run = -1;
    bool first = true;
    strbuf_puts(out, "Cpus_allowed:\t");
    for (uint32_t word = (cpus + 31) / 32; word-- > 0;) {
        uint32_t bits = (uint32_t)(t->affinity[word / 2] >> (word % 2 * 32));
        bool top = word + 1 == (cpus + 31) / 32;
        if (top && cpus % 32) {
            bits &= (1u << cpus % 32) - 1;
            strbuf_printf(out, "%0*x", (int)(cpus % 32 + 3) / 4, bits);
        } else {
            strbuf_printf(out, "%08x", bits);
        }
        strbuf_puts(out, word ? "," : "\nCpus_allowed_list:\t");
    }
    for (uint32_t cpu = 0; cpu <= cpus; cpu++) {
        bool set = cpu < cpus && (t->affinity[cpu / 64] >> cpu % 64 & 1);
        if (set && run < 0) {
            run = (int32_t)cpu;
        } else if (!set && run >= 0) {
            strbuf_printf(out, "%s%d", first ? "" : ",", run);
            if ((uint32_t)run + 1 < cpu)
                strbuf_printf(out, "-%u", cpu - 1);
            first = false;
            run = -1;
        }
    }
    strbuf_putc(out, '\n');
}
