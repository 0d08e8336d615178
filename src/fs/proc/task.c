// Processes and threads as directories: which there are, who they are, and who may look into them.
#include <linux/capability.h>

#include "fs/proc/proc-int.h"
#include "kernel/load.h"
#include "mm/mm.h"

enum { PROBES = 1024 };

struct task *task_id_get(const struct task_id *id)
{
    struct kernel *k = the_kernel();
    lock_take(&k->tasks_lock);
    struct task *t = task_find_locked(k, id->tid);
    bool same = t && (id->thread ? t->start_time == id->start
                                 : t->group->leader == t && t->group->start_time == id->start);
    if (same)
        task_ref(t);
    lock_release(&k->tasks_lock);
    return same ? t : NULL;
}

// ---- Access ----

static bool same_ids(const struct cred *c, const struct cred *other)
{
    return c->fsuid == other->euid && c->fsuid == other->suid && c->fsuid == other->uid && c->fsgid == other->egid &&
           c->fsgid == other->sgid && c->fsgid == other->gid && !(other->permitted & ~c->effective);
}

bool proc_may_trace(struct task *target)
{
    struct task *t = current_task();
    if (!t || !target)
        return !t;
    if (t->group == target->group)
        return true;
    struct cred *other = task_get_cred(target);
    bool same = same_ids(t->cred, other);
    cred_put(other);
    if (same) {
        struct mm *mm = task_get_mm(target);
        same = !mm || __atomic_load_n((uint32_t *)&mm->dumpable, __ATOMIC_RELAXED) == 1;
        mm_put(mm);
    }
    return same || cred_capable(t->cred, CAP_SYS_PTRACE);
}

char proc_state_letter(struct task *t)
{
    switch (__atomic_load_n((uint32_t *)&t->state, __ATOMIC_RELAXED)) {
    case TASK_SLEEPING:
        return 'S';
    case TASK_STOPPED:
        return 'T';
    case TASK_ZOMBIE:
        return 'Z';
    case TASK_DEAD:
        return 'X';
    default:
        return task_is_runnable(t) ? 'R' : 'S';
    }
}

// What a process that was never measured may have: it has touched its data, up to a bound, and a part of its text.
static uint64_t guess_resident(const struct mm_sizes *s)
{
    enum { BOUND = 1024 };
    return MIN(s->total, MIN(s->data, BOUND / 2) + MIN(s->total - MIN(s->data, s->total), BOUND / 2));
}

uint64_t proc_resident_pages(struct mm *mm)
{
    struct task *me = current_task();
    struct mm_sizes s;
    if (me && me->mm == mm)
        task_measure_memory(me); // counts faults and the peak, too
    mm_get_sizes(mm, &s);
    return s.resident ? s.resident : guess_resident(&s);
}

// ---- /proc/PID ----

// The lowest id of a process that is not below from. Ids are mostly given out in sequence, so asking for one after the other finds
// it soon; otherwise the list is searched.
static bool process_next(const struct tree_call *c, uint64_t from, uint64_t *ret)
{
    struct kernel *k = the_kernel();
    uint64_t best = UINT64_MAX;
    struct task *t;
    lock_take(&k->tasks_lock);
    for (uint64_t id = from; id < from + PROBES && id < PID_MAX && best == UINT64_MAX; id++) {
        if (thread_group_find_locked(k, (uint32_t)id))
            best = id;
    }
    if (best == UINT64_MAX) {
        list_for_each (t, &k->tasks, all_node) {
            if (t->group->leader == t && t->tid >= from && t->tid < best && task_find_locked(k, t->tid) == t)
                best = t->tid;
        }
    }
    lock_release(&k->tasks_lock);
    *ret = best;
    return best != UINT64_MAX;
}

static int process_child(const struct tree_call *c, uint64_t number, struct tree_node *child, uint32_t *mode)
{
    struct kernel *k = the_kernel();
    lock_take(&k->tasks_lock);
    struct task *t = task_find_locked(k, (uint32_t)number);
    if (t) {
        child->id.thread = t->group->leader != t; // reachable, though not listed
        child->id.start = child->id.thread ? t->start_time : t->group->start_time;
    }
    lock_release(&k->tasks_lock);
    return t ? 0 : -ENOENT;
}

const struct tree_dynamic proc_processes = {
    .entry = {.name = "", .mode = S_IFDIR | 0555, .table = PROC_PROCESS},
    .tasks = true,
    .next = process_next,
    .child = process_child,
};

// ---- /proc/PID/task ----

static bool thread_next(const struct tree_call *c, uint64_t from, uint64_t *ret)
{
    struct kernel *k = the_kernel();
    uint64_t best = UINT64_MAX;
    struct task *t;
    lock_take(&k->tasks_lock);
    list_for_each (t, &c->task->group->threads, group_node) {
        if (t->tid >= from && t->tid < best && task_find_locked(k, t->tid) == t)
            best = t->tid;
    }
    lock_release(&k->tasks_lock);
    *ret = best;
    return best != UINT64_MAX;
}

static int thread_child(const struct tree_call *c, uint64_t number, struct tree_node *child, uint32_t *mode)
{
    struct kernel *k = the_kernel();
    lock_take(&k->tasks_lock);
    struct task *t = task_find_locked(k, (uint32_t)number);
    bool found = t && t->group == c->task->group;
    if (found) {
        child->id.thread = true;
        child->id.start = t->start_time;
    }
    lock_release(&k->tasks_lock);
    return found ? 0 : -ENOENT;
}

const struct tree_dynamic proc_threads = {
    .entry = {.name = "", .mode = S_IFDIR | 0555, .table = PROC_THREAD},
    .tasks = true,
    .next = thread_next,
    .child = thread_child,
};

// ---- /proc/self ----

int proc_show_self(const struct tree_call *c, struct strbuf *out)
{
    struct task *t = current_task();
    if (!t)
        return -ENOENT;
    strbuf_printf(out, "%u", t->group->tgid);
    return 0;
}

int proc_show_thread_self(const struct tree_call *c, struct strbuf *out)
{
    struct task *t = current_task();
    if (!t)
        return -ENOENT;
    strbuf_printf(out, "%u/task/%u", t->group->tgid, t->tid);
    return 0;
}
