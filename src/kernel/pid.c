// Ids: tasks by thread id, process groups, sessions; and the life of groups and sessions.
//
// A number is in use while a task, a process group or a session has it. Numbers are given out
// upwards and wrap at PID_MAX, so that a number is not seen again soon. A task is entered with
// pid_reserve() as an embryo, which look-ups do not find, and becomes visible when its creator says
// so.
//
// Locking: everything here is guarded by kernel.tasks_lock; functions named _locked want it held.

#include <stdatomic.h>

#include "base/log.h"
#include "base/slab.h"
#include "kernel/futex.h"
#include "kernel/task.h"

#define PID_BUCKETS 8192u
// After the first round Linux does not go below this number (RESERVED_PIDS).
#define PID_RESERVED 300

SLAB_TYPE(session_slab, SLAB_SESSION, struct session);
SLAB_TYPE(process_group_slab, SLAB_PROCESS_GROUP, struct process_group);

int tasks_init(struct kernel *k)
{
    lock_init(&k->tasks_lock, LOCK_RANK_TASKLIST);
    list_init(&k->tasks);
    k->pid_table = kmalloc(PID_BUCKETS * sizeof(*k->pid_table));
    k->pgrp_table = kmalloc(PID_BUCKETS * sizeof(*k->pgrp_table));
    k->session_table = kmalloc(PID_BUCKETS * sizeof(*k->session_table));
    if (!k->task_limit)
        k->task_limit = 65536;
    if (!k->pid_table || !k->pgrp_table || !k->session_table)
        return -ENOMEM;
    return pi_futex_init(k);
}

static struct task *lookup(struct kernel *k, uint32_t tid)
{
    struct task *t = k->pid_table[tid % PID_BUCKETS];
    while (t && t->tid != tid)
        t = t->hash_next;
    return t;
}

struct task *task_find_locked(struct kernel *k, uint32_t tid)
{
    struct task *t = lookup(k, tid);
    return t && atomic_load(&t->state) != TASK_EMBRYO ? t : NULL;
}

struct thread_group *thread_group_find_locked(struct kernel *k, uint32_t tgid)
{
    struct task *t = task_find_locked(k, tgid);
    return t && t->group->leader == t ? t->group : NULL;
}

struct task *task_find(uint32_t tid)
{
    struct kernel *k = the_kernel();
    lock_take(&k->tasks_lock);
    struct task *t = task_find_locked(k, tid);
    if (t)
        task_ref(t);
    lock_release(&k->tasks_lock);
    return t;
}

struct thread_group *thread_group_find(uint32_t tgid)
{
    struct kernel *k = the_kernel();
    lock_take(&k->tasks_lock);
    struct thread_group *g = thread_group_find_locked(k, tgid);
    if (g)
        thread_group_ref(g);
    lock_release(&k->tasks_lock);
    return g;
}

static struct process_group *pgrp_lookup(struct kernel *k, uint32_t pgid)
{
    struct process_group *pg = k->pgrp_table[pgid % PID_BUCKETS];
    while (pg && pg->pgid != pgid)
        pg = pg->hash_next;
    return pg;
}

struct process_group *process_group_find_locked(uint32_t pgid)
{
    return pgrp_lookup(the_kernel(), pgid);
}

struct session *session_find_locked(struct kernel *k, uint32_t sid)
{
    struct session *s = k->session_table[sid % PID_BUCKETS];
    while (s && s->sid != sid)
        s = s->hash_next;
    return s;
}

static bool id_in_use(struct kernel *k, uint32_t id)
{
    return lookup(k, id) || pgrp_lookup(k, id) || session_find_locked(k, id);
}

static void hash_insert(struct kernel *k, struct task *t)
{
    struct task **bucket = &k->pid_table[t->tid % PID_BUCKETS];
    t->hash_next = *bucket;
    *bucket = t;
}

static void hash_remove(struct kernel *k, struct task *t)
{
    struct task **link = &k->pid_table[t->tid % PID_BUCKETS];
    while (*link != t) {
        BUG_ON(!*link);
        link = &(*link)->hash_next;
    }
    *link = t->hash_next;
    t->hash_next = NULL;
}

int pid_reserve(struct kernel *k, struct task *t, uint32_t want)
{
    int ret = 0;
    lock_take(&k->tasks_lock);
    uint32_t id = want;
    if (k->task_count >= k->task_limit) {
        ret = -EAGAIN;
    } else if (want) {
        if (want >= PID_MAX)
            ret = -EINVAL;
        else if (id_in_use(k, want))
            ret = -EEXIST;
    } else {
        id = k->last_pid;
        do {
            id = id + 1 < PID_MAX ? id + 1 : PID_RESERVED;
        } while (id_in_use(k, id)); // ends: fewer tasks than numbers
        k->last_pid = id;
    }
    if (ret == 0) {
        t->tid = id;
        atomic_store(&t->state, TASK_EMBRYO);
        hash_insert(k, t);
        k->task_count++;
    }
    lock_release(&k->tasks_lock);
    return ret;
}

void pid_release_locked(struct kernel *k, struct task *t)
{
    hash_remove(k, t);
    k->task_count--;
}

void pid_rename_locked(struct kernel *k, struct task *t, uint32_t tid)
{
    hash_remove(k, t);
    t->tid = tid;
    hash_insert(k, t);
}

// ---- Process groups and sessions ----
// A session lives as long as a process group in it, a group as long as a process in it; a terminal
// may hold either by a reference (its foreground group, its session), which keeps the object and
// its number.

struct session *session_create_locked(struct kernel *k, uint32_t sid)
{
    struct session *s = slab_alloc(&session_slab);
    if (!s)
        return NULL;
    refcount_init(&s->refs, 1);
    s->sid = sid;
    list_init(&s->groups);
    s->hash_next = k->session_table[sid % PID_BUCKETS];
    k->session_table[sid % PID_BUCKETS] = s;
    return s;
}

struct session *session_ref(struct session *s)
{
    refcount_get(&s->refs);
    return s;
}

void session_put_locked(struct kernel *k, struct session *s)
{
    if (!s || !refcount_put(&s->refs))
        return;
    struct session **link = &k->session_table[s->sid % PID_BUCKETS];
    while (*link != s)
        link = &(*link)->hash_next;
    *link = s->hash_next;
    slab_free(&session_slab, s);
}

struct process_group *process_group_create_locked(struct kernel *k, uint32_t pgid,
                                                  struct session *s)
{
    struct process_group *pg = slab_alloc(&process_group_slab);
    if (!pg)
        return NULL;
    refcount_init(&pg->refs, 1);
    pg->pgid = pgid;
    pg->session = session_ref(s);
    list_init(&pg->members);
    list_push_back(&s->groups, &pg->node);
    pg->hash_next = k->pgrp_table[pgid % PID_BUCKETS];
    k->pgrp_table[pgid % PID_BUCKETS] = pg;
    return pg;
}

void process_group_put_locked(struct kernel *k, struct process_group *pg)
{
    if (!pg || !refcount_put(&pg->refs))
        return;
    struct process_group **link = &k->pgrp_table[pg->pgid % PID_BUCKETS];
    while (*link != pg)
        link = &(*link)->hash_next;
    *link = pg->hash_next;
    list_remove(&pg->node);
    session_put_locked(k, pg->session);
    slab_free(&process_group_slab, pg);
}

void thread_group_set_pgrp_locked(struct thread_group *g, struct process_group *pg)
{
    struct process_group *old = g->pgrp;
    if (old)
        list_remove(&g->pgrp_node);
    g->pgrp = pg;
    if (pg)
        list_push_back(&pg->members, &g->pgrp_node);
    process_group_put_locked(the_kernel(), old);
}
