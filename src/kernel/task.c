// Tasks and thread groups as objects: made, counted, found by others, woken, accounted. clone.c and
// exit.c hold their birth and death, pid.c their numbers.
//
// References: a task is held once by the tables (until it is reaped), once by its kernel thread
// (until task_exit() is through), and by whoever got it from task_find(). A group is held by each
// of its tasks and by pidfds.
//
// Locking: task.lock guards the pointers that other threads follow (pt, mm, files, fs, cred, comm);
// the owner reads its own without.

#include "kernel/task.h"

#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "base/slab.h"
#include "host/host.h"
#include "kernel/threads.h"
#include "mm/mm.h"
#include "platform/platform.h"

SLAB_TYPE(task_slab, SLAB_TASK, struct task);
SLAB_TYPE(thread_group_slab, SLAB_THREAD_GROUP, struct thread_group);

struct task *task_alloc(struct kernel *k)
{
    struct task *t = slab_alloc(&task_slab);
    if (!t)
        return NULL;
    refcount_init(&t->refs, 1);
    t->kernel = k;
    list_init(&t->all_node);
    list_init(&t->group_node);
    lock_init(&t->lock, LOCK_RANK_TASK);
    sigpending_init(&t->pending);
    t->start_time = clock_monotonic();
    atomic_store(&t->state, TASK_EMBRYO);
    return t;
}

struct task *task_ref(struct task *t)
{
    refcount_get(&t->refs);
    return t;
}

void task_unref(struct task *t)
{
    if (!t || !refcount_put(&t->refs))
        return;
    BUG_ON(t->mm || t->pt || t->files || t->fs);
    cred_put(t->cred);
    thread_group_unref(t->group);
    slab_free(&task_slab, t);
}

struct thread_group *thread_group_alloc(void)
{
    struct thread_group *g = slab_alloc(&thread_group_slab);
    if (!g)
        return NULL;
    refcount_init(&g->refs, 1);
    list_init(&g->threads);
    list_init(&g->children);
    list_init(&g->sibling);
    list_init(&g->pgrp_node);
    list_init(&g->posix_timers);
    wait_queue_init(&g->child_wait);
    wait_queue_init(&g->pidfd_wait);
    wait_queue_init(&g->signal_wait);
    lock_init(&g->sig_lock, LOCK_RANK_SIGHAND);
    lock_init(&g->limit_lock, LOCK_RANK_OBJECT);
    lock_init(&g->exec_lock, LOCK_RANK_EXEC);
    sigpending_init(&g->shared_pending);
    timer_init(&g->itimer_real, TIMER_ITIMER);
    timer_init(&g->cpu_timer, TIMER_CPU);
    g->start_time = clock_monotonic();
    return g;
}

struct thread_group *thread_group_ref(struct thread_group *g)
{
    refcount_get(&g->refs);
    return g;
}

void thread_group_unref(struct thread_group *g)
{
    if (!g || !refcount_put(&g->refs))
        return;
    BUG_ON(g->pgrp);
    sighand_put(g->sighand);
    slab_free(&thread_group_slab, g);
}

// ---- What others may take from a task ----

struct mm *task_get_mm(struct task *t)
{
    lock_take(&t->lock);
    struct mm *mm = t->mm ? mm_get(t->mm) : NULL;
    lock_release(&t->lock);
    return mm;
}

struct fd_table *task_get_files(struct task *t)
{
    lock_take(&t->lock);
    struct fd_table *files = t->files ? fd_table_ref(t->files) : NULL;
    lock_release(&t->lock);
    return files;
}

struct fs_context *task_get_fs(struct task *t)
{
    lock_take(&t->lock);
    struct fs_context *fs = t->fs ? fs_context_ref(t->fs) : NULL;
    lock_release(&t->lock);
    return fs;
}

// ---- Rousing ----

void task_kick(struct task *t, uint32_t work)
{
    atomic_fetch_or(&t->pending_work, work);
    task_wake(t);
    if (t == current_task())
        return;
    lock_take(&t->lock);
    if (t->pt && (work & TASK_WORK_KILL))
        platform_condemn(t->pt);
    else if (t->pt)
        platform_interrupt(t->pt);
    lock_release(&t->lock);
}

// ---- CPU time ----

// CPU time of a host thread. For the calling thread by its own clock, else by its id as
// clock_getcpuclockid(3) makes one.
static nsec_t host_thread_time(const struct task *t)
{
    struct timespec ts;
    int tid = __atomic_load_n(&t->host_tid, __ATOMIC_RELAXED);
    clockid_t clock =
        t == current_task() ? CLOCK_THREAD_CPUTIME_ID : (clockid_t)(~(unsigned)tid << 3 | 6);
    if (tid == 0 || host_clock_gettime(clock, &ts) < 0)
        return t->system_base;
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

nsec_t task_user_time(struct task *t)
{
    lock_take(&t->lock);
    nsec_t ns = t->user_frozen + (t->pt ? platform_thread_user_time(t->pt) : 0);
    lock_release(&t->lock);
    return ns;
}

nsec_t task_system_time(struct task *t)
{
    if (atomic_load(&t->state) >= TASK_ZOMBIE)
        return t->usage.system;
    return MAX(host_thread_time(t) - t->system_base, 0);
}

void task_account(struct task *t, struct cpu_usage *out)
{
    *out = t->usage;
    out->user = task_user_time(t);
    out->system = task_system_time(t);
}

void cpu_usage_add(struct cpu_usage *sum, const struct cpu_usage *one)
{
    sum->user += one->user;
    sum->system += one->system;
    sum->max_rss_bytes = MAX(sum->max_rss_bytes, one->max_rss_bytes);
    sum->minor_faults += one->minor_faults;
    sum->major_faults += one->major_faults;
    sum->voluntary_switches += one->voluntary_switches;
    sum->involuntary_switches += one->involuntary_switches;
    sum->in_blocks += one->in_blocks;
    sum->out_blocks += one->out_blocks;
    sum->read_bytes += one->read_bytes;
    sum->written_bytes += one->written_bytes;
    sum->read_calls += one->read_calls;
    sum->write_calls += one->write_calls;
}

// Threads that are on the list and aren't zombies are counted live, the others are in dead_threads.
void thread_group_times_locked(struct thread_group *g, struct cpu_usage *out)
{
    *out = g->dead_threads;
    struct task *t;
    list_for_each (t, &g->threads, group_node) {
        struct cpu_usage one;
        if (atomic_load(&t->state) >= TASK_ZOMBIE)
            continue;
        task_account(t, &one);
        cpu_usage_add(out, &one);
    }
}

void thread_group_times(struct thread_group *g, struct cpu_usage *out)
{
    struct kernel *k = the_kernel();
    lock_take(&k->tasks_lock);
    thread_group_times_locked(g, out);
    lock_release(&k->tasks_lock);
}

// ---- The first task ----

static void init_limits(struct thread_group *g)
{
    static const struct rlimit_value defaults[RLIMIT_COUNT] = {
        [RLIMIT_CPU] = {UINT64_MAX, UINT64_MAX},
        [RLIMIT_FSIZE] = {UINT64_MAX, UINT64_MAX},
        [RLIMIT_DATA] = {UINT64_MAX, UINT64_MAX},
        [RLIMIT_STACK] = {8 << 20, UINT64_MAX},
        [RLIMIT_CORE] = {0, UINT64_MAX},
        [RLIMIT_RSS] = {UINT64_MAX, UINT64_MAX},
        [RLIMIT_NPROC] = {UINT64_MAX, UINT64_MAX},
        [RLIMIT_NOFILE] = {1024, 1 << 20},
        [RLIMIT_MEMLOCK] = {8 << 20, 8 << 20},
        [RLIMIT_AS] = {UINT64_MAX, UINT64_MAX},
        [RLIMIT_LOCKS] = {UINT64_MAX, UINT64_MAX},
        [RLIMIT_SIGPENDING] = {31000, 31000},
        [RLIMIT_MSGQUEUE] = {819200, 819200},
        [RLIMIT_NICE] = {0, 0},
        [RLIMIT_RTPRIO] = {0, 0},
        [RLIMIT_RTTIME] = {UINT64_MAX, UINT64_MAX},
    };
    memcpy(g->limits, defaults, sizeof(defaults));
}

static void init_affinity(struct task *t)
{
    uint32_t cpus = MIN(MAX(t->kernel->cpu_count, 1u), 1024u);
    for (uint32_t cpu = 0; cpu < cpus; cpu++)
        t->affinity[cpu / 64] |= BIT(cpu % 64);
}

// Makes group, session and process group of init; it is not visible before.
static int init_groups(struct kernel *k, struct task *t, struct thread_group *g)
{
    g->sighand = sighand_create();
    if (!g->sighand || pid_reserve(k, t, 1) < 0)
        return -ENOMEM;
    g->tgid = t->tid;
    g->leader = t;
    g->thread_count = g->live_count = 1;
    lock_take(&k->tasks_lock);
    struct session *s = session_create_locked(k, 1);
    struct process_group *pg = s ? process_group_create_locked(k, 1, s) : NULL;
    session_put_locked(k, s); // the group holds it
    if (pg) {
        thread_group_set_pgrp_locked(g, pg);
        list_push_back(&g->threads, &t->group_node);
        list_push_back(&k->tasks, &t->all_node);
        atomic_store(&t->state, TASK_RUNNING);
        k->init = t;
        k->last_pid = MAX(k->last_pid, 1u);
    }
    lock_release(&k->tasks_lock);
    return pg ? 0 : -ENOMEM;
}

struct task *task_create_init(struct kernel *k, const struct cred *cred)
{
    struct task *t = task_alloc(k);
    struct thread_group *g = thread_group_alloc();
    // Out of memory here ends the sandbox: nothing is given back.
    if (!t || !g || !user_charge(k, cred->uid, USER_PROCESSES, UINT64_MAX))
        return NULL;
    t->group = g;
    t->charged_uid = cred->uid;
    t->cred = cred_get(cred);
    t->timer_slack = 50000;
    g->exit_signal = SIGCHLD;
    init_limits(g);
    init_affinity(t);
    return init_groups(k, t, g) == 0 ? t : NULL;
}

// First thing in a task's kernel thread, which may have served other tasks before.
void task_begin(struct task *t)
{
    struct timespec ts;
    if (host_clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) == 0)
        t->system_base = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
    __atomic_store_n(&t->host_tid, host_gettid(), __ATOMIC_RELAXED);
}

int task_start(struct task *t)
{
    task_ref(t); // the kernel thread's
    int ret = kernel_thread_create(KERNEL_THREAD_TASK, t);
    if (ret < 0) {
        task_unref(t);
        return -EAGAIN;
    }
    return 0;
}
