// Process groups and sessions: setpgid(2), setsid(2), getpgid(2), getsid(2), and when a process
// group is orphaned (POSIX 3.264: no member has a parent in another group of the same session).
//
// Locking: tasks_lock.

#include "kernel/session.h"

#include "base/log.h"
#include "kernel/task.h"

bool process_group_is_orphaned_locked(struct process_group *pg, struct thread_group *ignored)
{
    struct thread_group *g;
    list_for_each (g, &pg->members, pgrp_node) {
        if (g == ignored || g->dead || !g->parent)
            continue;
        struct process_group *other = g->parent->pgrp;
        if (other && other != pg && other->session == pg->session)
            return false;
    }
    return true;
}

static int set_pgrp_locked(struct task *t, struct thread_group *g, uint32_t pgid)
{
    struct kernel *k = t->kernel;
    if (g != t->group) {
        if (g->parent != t->group)
            return -ESRCH;
        if (g->pgrp->session != t->group->pgrp->session)
            return -EPERM;
        if (g->did_exec)
            return -EACCES;
    }
    if (g->pgrp->session->sid == g->tgid)
        return -EPERM;
    struct process_group *pg = process_group_find_locked(pgid);
    if (pgid == g->tgid) {
        if (pg == g->pgrp)
            return 0;
        if (!pg) {
            pg = process_group_create_locked(k, pgid, g->pgrp->session);
            if (!pg)
                return -ENOMEM;
        } else {
            refcount_get(&pg->refs);
        }
    } else {
        if (!pg || list_empty(&pg->members))
            return -EPERM;
        refcount_get(&pg->refs);
    }
    if (pg->session != t->group->pgrp->session) {
        process_group_put_locked(k, pg);
        return -EPERM;
    }
    thread_group_set_pgrp_locked(g, pg);
    return 0;
}

int thread_group_setpgid(struct task *t, int pid, int pgid)
{
    struct kernel *k = t->kernel;
    if (pgid < 0)
        return -EINVAL;
    lock_take(&k->tasks_lock);
    struct thread_group *g = NULL;
    int ret = -ESRCH;
    if (pid == 0) {
        g = t->group;
    } else if (pid > 0) {
        struct task *found = task_find_locked(k, (uint32_t)pid);
        if (found && found->group->leader != found)
            ret = -EINVAL; // a thread that leads no group
        else if (found)
            g = found->group;
    }
    if (g && g->pgrp)
        ret = set_pgrp_locked(t, g, pgid ? (uint32_t)pgid : g->tgid);
    lock_release(&k->tasks_lock);
    return ret;
}

int64_t thread_group_setsid(struct task *t)
{
    struct kernel *k = t->kernel;
    struct thread_group *g = t->group;
    int64_t ret = -EPERM;
    lock_take(&k->tasks_lock);
    // A process group of this number, with members or held by a terminal, makes it impossible.
    if (g->pgrp->session->sid != g->tgid && !process_group_find_locked(g->tgid)) {
        struct session *s = session_create_locked(k, g->tgid);
        struct process_group *pg = s ? process_group_create_locked(k, g->tgid, s) : NULL;
        session_put_locked(k, s);
        if (pg) {
            thread_group_set_pgrp_locked(g, pg);
            g->no_terminal = false; // the new session has none anyway
            ret = g->tgid;
        } else {
            ret = -ENOMEM;
        }
    }
    lock_release(&k->tasks_lock);
    return ret;
}

int64_t thread_group_query(struct task *t, int pid, enum group_query what)
{
    struct kernel *k = t->kernel;
    int64_t ret = -ESRCH;
    lock_take(&k->tasks_lock);
    struct task *found = pid == 0 ? t : pid > 0 ? task_find_locked(k, (uint32_t)pid) : NULL;
    struct thread_group *g = found ? found->group : NULL;
    if (g && g->pgrp)
        ret = what == GROUP_QUERY_PGID ? g->pgrp->pgid : g->pgrp->session->sid;
    lock_release(&k->tasks_lock);
    return ret;
}
