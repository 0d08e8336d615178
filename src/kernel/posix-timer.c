// POSIX timers. A timer owns its queue entry, so a signal of it is pending at most once; periods
// that pass meanwhile are its overrun. As on Linux the next period begins to count when the signal
// is taken from the queue (or was ignored), but from the time it was due.
//
// Timers on CPU clocks expire by the group's poll (cpu-timer.c).
//
// Locking: sig_lock of the group guards everything. A timer's function and those who free it meet
// there: freeing takes the timer out of the group's list under the lock, then cancels it without,
// then frees.

#include "kernel/posix-timer.h"

#include <limits.h>
#include <sys/resource.h>
#include <time.h>

#include "abi/capability.h"
#include "base/log.h"
#include "base/slab.h"
#include "kernel/signal-int.h"
#include "kernel/timer-int.h"

struct posix_timer {
    struct list node; // thread_group.posix_timers
    struct timer timer;
    struct sigqueue entry;
    struct thread_group *group;
    int id;
    int clock_id;
    int notify;
    uint32_t tid;  // SIGEV_THREAD_ID
    uint32_t uid;  // USER_SIGNALS account
    nsec_t expiry; // on its clock; 0: disarmed
    nsec_t interval;
    uint32_t overrun;    // of the last delivered signal
    uint32_t generation; // changes with each setting
    uint32_t queued_generation;
    struct task *cpu_task; // of a thread's CPU clock; reference
    int cpu_which;
};

SLAB_TYPE(posix_timer_slab, SLAB_POSIX_TIMER, struct posix_timer);

static struct posix_timer *find_locked(struct thread_group *g, int id)
{
    struct posix_timer *p;
    list_for_each (p, &g->posix_timers, node) {
        if (p->id == id)
            return p;
    }
    return NULL;
}

static nsec_t now_of(struct posix_timer *p)
{
    nsec_t now = 0;
    if (p->cpu_task) {
        struct cpu_usage used;
        task_account(p->cpu_task, &used);
        return p->cpu_which == CPU_CLOCK_VIRT ? used.user : used.user + used.system;
    }
    if (clock_is_cpu(p->clock_id)) {
        struct cpu_usage used;
        thread_group_times_locked(
            p->group,
            &used); // sig_lock is enough for the list; the dead's sums are read as they are
        return p->cpu_which == CPU_CLOCK_VIRT ? used.user : used.user + used.system;
    }
    (void)clock_read(p->clock_id, &now);
    return now;
}

// Arms the kernel timer for p->expiry. A setting of the real-time clock in between is not followed:
// nobody inside can make one.
static void arm_locked(struct posix_timer *p, nsec_t now)
{
    if (clock_is_cpu(p->clock_id))
        return; // polled
    nsec_t delta = MAX(p->expiry - now, 0), at;
    if (__builtin_add_overflow(clock_monotonic(), delta, &at))
        at = NSEC_MAX - 1;
    timer_set(&p->timer, at);
}

// Moves the expiry beyond now; the number of whole periods skipped.
static uint64_t forward_locked(struct posix_timer *p, nsec_t now)
{
    if (now < p->expiry)
        return 0;
    uint64_t periods = (uint64_t)(now - p->expiry) / (uint64_t)p->interval + 1;
    p->expiry += (nsec_t)periods * p->interval;
    return periods;
}

static struct task *target_locked(struct posix_timer *p)
{
    struct task *t;
    list_for_each (t, &p->group->threads, group_node) {
        if (t->tid == p->tid && !t->exiting)
            return t;
    }
    return NULL;
}

static void fire_locked(struct posix_timer *p)
{
    nsec_t interval = p->interval;
    if (p->notify == SIGEV_NONE) {
        if (interval)
            (void)forward_locked(p, p->expiry);
        else
            p->expiry = 0;
        return;
    }
    p->entry.info.timer.overrun = 0;
    p->queued_generation = p->generation;
    struct task *target = NULL;
    int sent = 2;
    if (p->notify != SIGEV_THREAD_ID || (target = target_locked(p)) != NULL)
        sent = signal_send_timer_locked(p->group, target, &p->entry);
    if (!interval) {
        p->expiry = 0;
    } else if (sent == 2) {
        // Ignored: it goes on by itself, not faster than a tick.
        nsec_t now = now_of(p);
        if (clock_is_cpu(p->clock_id)) {
            (void)forward_locked(p, now);
        } else {
            (void)forward_locked(p, now + 1000000);
            arm_locked(p, now);
        }
    }
}

void posix_timer_expired(struct timer *tm)
{
    struct posix_timer *p = container_of(tm, struct posix_timer, timer);
    struct thread_group *g = p->group;
    lock_take(&g->sig_lock);
    // Set anew or freed meanwhile: then it is armed again, or off the list.
    if (p->expiry && !tm->queued && !list_empty(&p->node)) {
        nsec_t now = now_of(p);
        if (now < p->expiry)
            arm_locked(p, now); // CLOCK_REALTIME was set back, or the clocks' rounding
        else
            fire_locked(p);
    }
    lock_release(&g->sig_lock);
}

bool posix_timer_delivered_locked(struct thread_group *g, struct posix_timer *p,
                                  struct linux_siginfo *info)
{
    if (p->queued_generation != p->generation)
        return false;
    uint64_t overrun = 0;
    if (p->interval && p->expiry) {
        nsec_t now = now_of(p);
        // expiry is the one that was just delivered: the periods since then, itself not counted.
        uint64_t periods = forward_locked(p, now);
        overrun = periods ? periods - 1 : 0;
        arm_locked(p, now);
    }
    p->overrun = (uint32_t)MIN(overrun, (uint64_t)INT_MAX);
    info->timer.overrun = (int32_t)p->overrun;
    return true;
}

// CPU clocks: expires what is due. tasks_lock is not held; times are read before sig_lock.
nsec_t posix_timers_check_cpu(struct thread_group *g)
{
    nsec_t left = NSEC_MAX;
    if (list_empty(&g->posix_timers))
        return left;
    nsec_t used[3];
    struct cpu_usage all;
    thread_group_times(g, &all);
    used[CPU_CLOCK_VIRT] = all.user;
    used[CPU_CLOCK_PROF] = used[CPU_CLOCK_SCHED] = all.user + all.system;
    struct posix_timer *p;
    lock_take(&g->sig_lock);
    list_for_each (p, &g->posix_timers, node) {
        if (!clock_is_cpu(p->clock_id) || !p->expiry)
            continue;
        nsec_t now = p->cpu_task ? now_of(p) : used[p->cpu_which];
        if (now >= p->expiry && list_empty(&p->entry.node))
            fire_locked(p);
        if (p->expiry)
            left = MIN(left, MAX(p->expiry - now, 0));
    }
    lock_release(&g->sig_lock);
    return left;
}

// ---- Calls ----

static int check_clock(struct task *t, struct posix_timer *p, int id)
{
    switch (id) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        return 0;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
        return capable(t, CAP_WAKE_ALARM) ? 0 : -EPERM;
    case CLOCK_PROCESS_CPUTIME_ID:
        p->cpu_which = CPU_CLOCK_SCHED;
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        p->cpu_which = CPU_CLOCK_SCHED;
        p->cpu_task = task_ref(t);
        return 0;
    default:
        break;
    }
    // The other fixed clocks can be read, not waited for.
    if (!clock_is_cpu(id))
        return clock_is_fixed(id) ? -EOPNOTSUPP : -EINVAL;
    p->cpu_which = CPU_CLOCK_WHICH(id);
    int pid = CPU_CLOCK_PID(id);
    if (CPU_CLOCK_PER_THREAD(id)) {
        struct task *other = pid == 0 ? task_ref(t) : task_find((uint32_t)pid);
        if (!other || other->group != t->group) {
            task_unref(other);
            return -EINVAL;
        }
        p->cpu_task = other;
        return 0;
    }
    // DEVIATION: a timer on another process's clock is refused (EINVAL).
    return pid == 0 || (uint32_t)pid == t->group->tgid ? 0 : -EINVAL;
}

static int check_event(struct task *t, const struct timer_request *r)
{
    if (r->notify == SIGEV_NONE)
        return 0;
    if (r->notify != SIGEV_SIGNAL && r->notify != SIGEV_THREAD && r->notify != SIGEV_THREAD_ID)
        return -EINVAL;
    if (r->signo < 1 || r->signo > SIGNAL_COUNT)
        return -EINVAL;
    if (r->notify != SIGEV_THREAD_ID)
        return 0;
    struct task *target = task_find(r->tid);
    bool ok = target && target->group == t->group;
    task_unref(target);
    return ok ? 0 : -EINVAL;
}

static void timer_free(struct posix_timer *p)
{
    user_uncharge(the_kernel(), p->uid, USER_SIGNALS);
    task_unref(p->cpu_task);
    slab_free(&posix_timer_slab, p);
}

// Its signal may be pending: it goes with the timer. sig_lock held.
static void unlink_locked(struct thread_group *g, struct posix_timer *p)
{
    list_remove(&p->node);
    p->expiry = 0;
    p->generation++;
    if (list_empty(&p->entry.node))
        return;
    list_remove(&p->entry.node);
    // The set's bit stays when another entry of that signal is queued somewhere; a bit without an
    // entry would be delivered as an empty signal, so it is worked out anew.
    int sig = p->entry.info.signo;
    struct task *t;
    list_for_each (t, &g->threads, group_node) {
        sigpending_recount_locked(&t->pending, sig);
        signal_recalc_locked(t);
    }
    sigpending_recount_locked(&g->shared_pending, sig);
}

int64_t posix_timer_create(struct task *t, const struct timer_request *r)
{
    struct thread_group *g = t->group;
    struct kernel *k = t->kernel;
    int ret = check_event(t, r);
    if (ret < 0)
        return ret;
    if (!user_charge(k, t->cred->uid, USER_SIGNALS, task_rlimit(t, RLIMIT_SIGPENDING)))
        return -EAGAIN;
    struct posix_timer *p = slab_alloc(&posix_timer_slab);
    if (!p) {
        user_uncharge(k, t->cred->uid, USER_SIGNALS);
        return -EAGAIN;
    }
    p->uid = t->cred->uid;
    ret = check_clock(t, p, r->clock_id);
    if (ret < 0) {
        timer_free(p);
        return ret;
    }
    timer_init(&p->timer, TIMER_POSIX);
    list_init(&p->entry.node);
    p->entry.timer = p;
    p->group = g;
    p->clock_id = r->clock_id;
    p->notify = r->notify;
    p->tid = r->tid;
    lock_take(&g->sig_lock);
    while (find_locked(g, (int)g->next_timer_id))
        g->next_timer_id = (g->next_timer_id + 1) & INT_MAX;
    p->id = (int)g->next_timer_id;
    g->next_timer_id = (g->next_timer_id + 1) & INT_MAX;
    p->entry.info = (struct linux_siginfo){.signo = r->signo, .code = SI_TIMER};
    p->entry.info.timer.id = p->id;
    p->entry.info.timer.value = r->default_event ? (uint64_t)p->id : r->value;
    list_push_back(&g->posix_timers, &p->node);
    lock_release(&g->sig_lock);
    return p->id;
}

static void get_locked(struct posix_timer *p, struct timer_setting *out)
{
    out->interval = p->interval;
    out->value = 0;
    if (!p->expiry)
        return;
    nsec_t now = now_of(p), expiry = p->expiry;
    if (now >= expiry && p->interval)
        expiry += ((now - expiry) / p->interval + 1) * p->interval;
    if (now < expiry)
        out->value = expiry - now;
    else if (p->notify != SIGEV_NONE)
        out->value = 1; // due, not yet delivered
}

int posix_timer_get(struct task *t, int id, struct timer_setting *out)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    struct posix_timer *p = find_locked(g, id);
    if (p)
        get_locked(p, out);
    lock_release(&g->sig_lock);
    return p ? 0 : -EINVAL;
}

int posix_timer_set(struct task *t, int id, bool absolute, const struct timer_setting *set,
                    struct timer_setting *old)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    struct posix_timer *p = find_locked(g, id);
    if (!p) {
        lock_release(&g->sig_lock);
        return -EINVAL;
    }
    if (old)
        get_locked(p, old);
    timer_cancel_nowait(&p->timer);
    p->generation++; // a signal that is still queued is forgotten
    p->overrun = 0;
    p->interval = set->value ? set->interval : 0;
    p->expiry = 0;
    bool cpu = clock_is_cpu(p->clock_id);
    if (set->value) {
        nsec_t now = now_of(p);
        if (absolute)
            p->expiry = MAX(set->value, 1);
        else if (__builtin_add_overflow(now, set->value, &p->expiry))
            p->expiry = NSEC_MAX - 1;
        if (p->notify != SIGEV_NONE)
            arm_locked(p, now);
    }
    lock_release(&g->sig_lock);
    if (cpu && set->value)
        cpu_timer_update(g);
    return 0;
}

int64_t posix_timer_overrun(struct task *t, int id)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    struct posix_timer *p = find_locked(g, id);
    int64_t ret = p ? (int64_t)p->overrun : -EINVAL;
    lock_release(&g->sig_lock);
    return ret;
}

int posix_timer_delete(struct task *t, int id)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    struct posix_timer *p = find_locked(g, id);
    if (p)
        unlink_locked(g, p);
    lock_release(&g->sig_lock);
    if (!p)
        return -EINVAL;
    timer_cancel(&p->timer);
    timer_free(p);
    return 0;
}

void posix_timers_exit(struct thread_group *g)
{
    for (;;) {
        lock_take(&g->sig_lock);
        struct posix_timer *p = list_first(&g->posix_timers, struct posix_timer, node);
        if (p)
            unlink_locked(g, p);
        lock_release(&g->sig_lock);
        if (!p)
            return;
        timer_cancel(&p->timer);
        timer_free(p);
    }
}
