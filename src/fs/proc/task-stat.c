// stat, statm and status of a process or thread: proc(5).
//
// What belongs together is copied under tasks_lock and sig_lock first, and made text afterwards.
//
// DEVIATION: proc: kstkesp, kstkeip, wchan and nswap of /proc/PID/stat are 0. VmLib counts executable mappings other than the
// program's text; VmPTE is an estimate by what is resident.
#include <sched.h>
#include <time.h>

#include "fs/proc/proc-int.h"
#include "fs/tty/tty.h"
#include "kernel/signal.h"
#include "mm/mm.h"

struct snapshot {
    struct task *t;
    uint32_t tid, tgid, ppid, pgid, sid, threads;
    char comm[16], state;
    uint32_t tty;
    int32_t tty_group;
    struct cpu_usage used, children;
    nsec_t start;
    int exit_code, exit_signal;
    uint64_t pending, shared, blocked, ignored, caught;
};

static void snap_tree(struct snapshot *s, bool whole)
{
    struct task *t = s->t;
    struct thread_group *g = t->group;
    struct kernel *k = t->kernel;
    lock_take(&k->tasks_lock);
    s->tid = t->tid;
    s->tgid = g->tgid;
    s->ppid = g->parent ? g->parent->tgid : 0;
    s->pgid = g->pgrp ? g->pgrp->pgid : 0;
    s->sid = g->pgrp ? g->pgrp->session->sid : 0;
    s->threads = MAX(g->thread_count, 1);
    s->tty = tty_of_group_locked(g, &s->tty_group);
    s->children = g->dead_children;
    if (whole)
        thread_group_times_locked(g, &s->used);
    s->start = whole ? g->start_time : t->start_time;
    s->exit_code = g->dead ? g->wait_status : t->exit_code;
    s->exit_signal = g->leader == t ? g->exit_signal : -1;
    lock_release(&k->tasks_lock);
    if (!whole)
        task_account(t, &s->used);
}

static void snap_signals(struct snapshot *s)
{
    struct thread_group *g = s->t->group;
    lock_take(&g->sig_lock);
    s->pending = s->t->pending.set;
    s->shared = g->shared_pending.set;
    s->blocked = s->t->blocked;
    for (int sig = 1; g->sighand && sig <= SIGNAL_COUNT; sig++) {
        uint64_t handler = sighand_get(g->sighand, sig).handler;
        if (handler == 1)
            s->ignored |= SIG_BIT(sig);
        else if (handler)
            s->caught |= SIG_BIT(sig);
    }
    lock_release(&g->sig_lock);
}

static void snap(const struct tree_call *c, struct snapshot *s)
{
    *s = (struct snapshot){.t = c->task};
    snap_tree(s, !proc_shows_thread(c));
    snap_signals(s);
    lock_take(&s->t->lock);
    memcpy(s->comm, s->t->comm, sizeof(s->comm));
    lock_release(&s->t->lock);
    s->comm[sizeof(s->comm) - 1] = 0;
    s->state = proc_state_letter(s->t);
}

nsec_t proc_boot_offset(void)
{
    nsec_t boot = 0;
    (void)clock_read(CLOCK_BOOTTIME, &boot);
    return boot - clock_monotonic();
}

// ---- stat ----

static void put(struct strbuf *out, uint64_t v)
{
    strbuf_printf(out, " %llu", ULL(v));
}

static void put_signed(struct strbuf *out, int64_t v)
{
    strbuf_printf(out, " %lld", (long long)v);
}

// Fields 14 to 22.
static void stat_times(const struct snapshot *s, struct strbuf *out)
{
    struct task *t = s->t;
    bool real_time = t->sched_policy == SCHED_FIFO || t->sched_policy == SCHED_RR;
    put(out, (uint64_t)(s->used.user / TICK));
    put(out, (uint64_t)(s->used.system / TICK));
    put(out, (uint64_t)(s->children.user / TICK));
    put(out, (uint64_t)(s->children.system / TICK));
    put_signed(out, real_time ? -1 - t->sched_priority : 20 + t->nice);
    put_signed(out, t->nice);
    put(out, s->threads);
    put(out, 0);
    put(out, (uint64_t)((s->start + proc_boot_offset()) / TICK));
}

// Fields 23 to 30; may: the reader may look into the process.
static void stat_memory(struct mm *mm, const struct task *t, uint64_t resident, bool may, struct strbuf *out)
{
    struct mm_sizes sizes = {0};
    if (mm)
        mm_get_sizes(mm, &sizes);
    put(out, sizes.total << PAGE_SHIFT);
    put(out, resident);
    put(out, task_rlimit(t, RLIMIT_RSS));
    put(out, mm ? may ? mm->start_code : 1 : 0);
    put(out, mm ? may ? mm->end_code : 1 : 0);
    put(out, mm && may ? mm->start_stack : 0);
    put(out, 0);
    put(out, 0);
}

// Fields 45 to 51.
static void stat_places(const struct mm *mm, struct strbuf *out)
{
    put(out, mm ? mm->start_data : 0);
    put(out, mm ? mm->end_data : 0);
    put(out, mm ? mm->brk_start : 0);
    put(out, mm ? mm->arg_start : 0);
    put(out, mm ? mm->arg_end : 0);
    put(out, mm ? mm->env_start : 0);
    put(out, mm ? mm->env_end : 0);
}

int proc_show_task_stat(const struct tree_call *c, struct strbuf *out)
{
    struct snapshot s;
    struct mm *mm = task_get_mm(c->task);
    bool may = proc_may_trace(c->task);
    uint64_t low = 0x7fffffff;
    uint64_t resident = mm ? proc_resident_pages(mm) : 0; // first: it counts faults, too
    snap(c, &s);
    strbuf_printf(out, "%u (%s) %c %u %u %u %u %d %u", s.tid, s.comm, s.state, s.ppid, s.pgid, s.sid, s.tty, s.tty_group,
                  s.tid == s.tgid ? 0x400000u : 0x400040u);
    put(out, s.used.minor_faults);
    put(out, s.children.minor_faults);
    put(out, s.used.major_faults);
    put(out, s.children.major_faults);
    stat_times(&s, out);
    stat_memory(mm, s.t, resident, may, out);
    put(out, s.pending & low);
    put(out, s.blocked & low);
    put(out, s.ignored & low);
    put(out, s.caught & low);
    strbuf_puts(out, " 0 0 0"); // wchan, nswap, cnswap
    put_signed(out, s.exit_signal);
    strbuf_puts(out, " 0"); // processor
    put(out, (uint64_t)MAX(s.t->sched_priority, 0));
    put(out, (uint64_t)MAX(s.t->sched_policy, 0));
    strbuf_puts(out, " 0 0 0");
    stat_places(may ? mm : NULL, out);
    put_signed(out, may ? s.exit_code : 0);
    strbuf_putc(out, '\n');
    mm_put(mm);
    return 0;
}

int proc_show_statm(const struct tree_call *c, struct strbuf *out)
{
    struct mm_sizes s = {0};
    struct mm *mm = task_get_mm(c->task);
    if (mm) {
        mm_get_sizes(mm, &s);
        s.resident = proc_resident_pages(mm);
        s.shared = MIN(s.shared, s.resident);
        mm_put(mm);
    }
    strbuf_printf(out, "%llu %llu %llu %llu 0 %llu 0\n", ULL(s.total), ULL(s.resident), ULL(s.shared), ULL(s.text),
                  ULL(s.data + s.stack));
    return 0;
}

// ---- status ----

static void status_name(const struct snapshot *s, struct strbuf *out)
{
    strbuf_puts(out, "Name:\t");
    for (const char *p = s->comm; *p; p++) {
        if (*p == '\n')
            strbuf_puts(out, "\\n");
        else if (*p == '\\')
            strbuf_puts(out, "\\\\");
        else
            strbuf_putc(out, *p);
    }
    strbuf_putc(out, '\n');
}

static const char *state_text(char letter)
{
    switch (letter) {
    case 'S':
        return "S (sleeping)";
    case 'D':
        return "D (disk sleep)";
    case 'T':
        return "T (stopped)";
    case 't':
        return "t (tracing stop)";
    case 'Z':
        return "Z (zombie)";
    case 'X':
        return "X (dead)";
    default:
        return "R (running)";
    }
}

static void status_ids(const struct snapshot *s, const struct cred *cred, struct strbuf *out)
{
    struct fs_context *fs = task_get_fs(s->t);
    struct fd_table *files = task_get_files(s->t);
    if (fs)
        strbuf_printf(out, "Umask:\t%04o\n", fs->umask);
    strbuf_printf(out, "State:\t%s\nTgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t%u\nTracerPid:\t0\n", state_text(s->state), s->tgid,
                  s->tid, s->ppid);
    strbuf_printf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", cred->uid, cred->euid, cred->suid, cred->fsuid,
                  cred->gid, cred->egid, cred->sgid, cred->fsgid);
    strbuf_printf(out, "FDSize:\t%u\nGroups:\t", files ? LOAD_RELAXED(files->size) : 0);
    for (uint32_t i = 0; i < cred->group_count; i++)
        strbuf_printf(out, "%s%u", i ? " " : "", cred->groups[i]);
    strbuf_puts(out, " \n");
    strbuf_printf(out, "NStgid:\t%u\nNSpid:\t%u\nNSpgid:\t%u\nNSsid:\t%u\nKthread:\t0\n", s->tgid, s->tid, s->pgid, s->sid);
    if (fs)
        fs_context_unref(fs);
    if (files)
        fd_table_unref(files);
}

static void kb(struct strbuf *out, const char *name, uint64_t pages)
{
    strbuf_printf(out, "%s:\t%8llu kB\n", name, ULL(pages << (PAGE_SHIFT - 10)));
}

static void status_memory(struct task *t, struct mm *mm, struct strbuf *out)
{
    struct mm_sizes s;
    uint64_t rss = proc_resident_pages(mm); // first: it also finds how far the stack has grown
    mm_get_sizes(mm, &s);
    uint64_t peak = MAX(rss, __atomic_load_n(&t->usage.max_rss_bytes, __ATOMIC_RELAXED) >> PAGE_SHIFT);
    uint64_t exec = LOAD_RELAXED(mm->exec_pages);
    uint64_t shared = MIN(s.shared, rss);
    kb(out, "VmPeak", MAX(s.peak, s.total));
    kb(out, "VmSize", s.total);
    kb(out, "VmLck", s.locked);
    kb(out, "VmPin", 0);
    kb(out, "VmHWM", peak);
    kb(out, "VmRSS", rss);
    kb(out, "RssAnon", rss - shared);
    kb(out, "RssFile", shared);
    kb(out, "RssShmem", 0);
    kb(out, "VmData", s.data);
    kb(out, "VmStk", s.stack);
    kb(out, "VmExe", s.text);
    kb(out, "VmLib", exec > s.text ? exec - s.text : 0);
    kb(out, "VmPTE", rss / 512 + 8);
    kb(out, "VmSwap", 0);
    kb(out, "HugetlbPages", 0);
    strbuf_printf(out, "CoreDumping:\t0\nTHP_enabled:\t%d\nuntag_mask:\t0xffffffffffffffff\n", !t->thp_disabled);
}

static void status_signals(const struct snapshot *s, const struct cred *cred, struct strbuf *out)
{
    strbuf_printf(out, "Threads:\t%u\nSigQ:\t%llu/%llu\n", s->threads, ULL(user_count(the_kernel(), cred->uid, USER_SIGNALS)),
                  ULL(task_rlimit(s->t, RLIMIT_SIGPENDING)));
    strbuf_printf(out, "SigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
                  ULL(s->pending), ULL(s->shared), ULL(s->blocked), ULL(s->ignored), ULL(s->caught));
}

static void status_rest(const struct snapshot *s, const struct cred *cred, struct strbuf *out)
{
    struct task *t = s->t;
    strbuf_printf(out, "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\nCapAmb:\t%016llx\n",
                  ULL(cred->inheritable), ULL(cred->permitted), ULL(cred->effective), ULL(cred->bounding),
                  ULL(cred->ambient));
    strbuf_printf(out, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", t->no_new_privs);
    strbuf_puts(out, "Speculation_Store_Bypass:\tthread vulnerable\nSpeculationIndirectBranch:\tconditional enabled\n");
    proc_show_cpus_allowed(t, out);
    strbuf_puts(out, "Mems_allowed:\t00000001\nMems_allowed_list:\t0\n");
    strbuf_printf(out, "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n", ULL(t->usage.voluntary_switches),
                  ULL(t->usage.involuntary_switches));
}

int proc_show_status(const struct tree_call *c, struct strbuf *out)
{
    struct snapshot s;
    struct mm *mm = task_get_mm(c->task);
    struct cred *cred = task_get_cred(c->task);
    snap(c, &s);
    status_name(&s, out);
    status_ids(&s, cred, out);
    if (mm)
        status_memory(s.t, mm, out);
    status_signals(&s, cred, out);
    status_rest(&s, cred, out);
    cred_put(cred);
    mm_put(mm);
    return 0;
}
