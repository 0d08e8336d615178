// Waiting for children: which of them count, what they report, and the end of a zombie.
//
// Locking: children are looked at under tasks_lock, stop reports under the child's sig_lock. A
// sleeper is on its group's child_wait, which whoever changes a child's state wakes under
// tasks_lock.

#include "kernel/reap.h"

#include <sys/wait.h>

#include "base/log.h"

static bool matches(const struct wait_request *r, struct thread_group *g)
{
    switch (r->what) {
    case WAIT_FOR_ANY:
        return true;
    case WAIT_FOR_PID:
        return g->tgid == r->id;
    case WAIT_FOR_PGRP:
        return g->pgrp && g->pgrp->pgid == r->id;
    case WAIT_FOR_GROUP:
        return g == r->group;
    }
    return false;
}

// "Clone children" are those that don't report by SIGCHLD.
static bool is_eligible(const struct task *t, const struct wait_request *r, struct thread_group *g)
{
    if (!matches(r, g))
        return false;
    // A zombie will neither stop nor go on: for who doesn't wait for ends it is no child.
    if (g->dead && !(r->options & WEXITED))
        return false;
    if ((r->options & __WNOTHREAD) && g->parent_task != t)
        return false;
    if (r->options & __WALL)
        return true;
    return (g->exit_signal != SIGCHLD) == ((r->options & __WCLONE) != 0);
}

static void reap_locked(struct task *t, struct thread_group *g)
{
    struct thread_group *own = t->group;
    cpu_usage_add(&own->dead_children, &g->dead_threads);
    cpu_usage_add(&own->dead_children, &g->dead_children);
    thread_group_release_locked(g);
}

static bool check_stopped(const struct wait_request *r, struct thread_group *g,
                          struct wait_result *out)
{
    bool found = false;
    lock_take(&g->sig_lock);
    if (g->stop_report == CLD_STOPPED && (r->options & WUNTRACED)) {
        out->code = CLD_STOPPED;
        out->status = (int)(g->stop_code << 8 | 0x7f);
        found = true;
    } else if (g->stop_report == CLD_CONTINUED && (r->options & WCONTINUED)) {
        out->code = CLD_CONTINUED;
        out->status = 0xffff;
        found = true;
    }
    if (found && !(r->options & WNOWAIT))
        g->stop_report = 0;
    lock_release(&g->sig_lock);
    return found;
}

static bool check_child_locked(struct task *t, const struct wait_request *r, struct thread_group *g,
                               struct wait_result *out)
{
    out->pid = g->tgid;
    out->uid = task_uid(g->leader);
    if (!g->dead) {
        if (!check_stopped(r, g, out))
            return false;
        thread_group_times_locked(g, &out->usage);
        return true;
    }
    if (!(r->options & WEXITED))
        return false;
    out->status = g->wait_status;
    out->code = g->wait_status & 0x7f ? CLD_KILLED : CLD_EXITED;
    out->usage = g->dead_threads;
    cpu_usage_add(&out->usage, &g->dead_children);
    if (!(r->options & WNOWAIT))
        reap_locked(t, g);
    return true;
}

// 1: found, 0: nobody yet, -ECHILD.
static int look(struct task *t, const struct wait_request *r, struct wait_result *out)
{
    struct thread_group *g, *next;
    int ret = -ECHILD;
    lock_take(&t->kernel->tasks_lock);
    list_for_each_safe (g, next, &t->group->children, sibling) {
        if (!is_eligible(t, r, g))
            continue;
        ret = 0;
        if (check_child_locked(t, r, g, out)) {
            ret = 1;
            break;
        }
    }
    lock_release(&t->kernel->tasks_lock);
    return ret;
}

int64_t task_wait(struct task *t, const struct wait_request *r, struct wait_result *out)
{
    int found = look(t, r, out);
    if (found == 0 && !(r->options & WNOHANG)) {
        struct wait_entry w;
        wait_entry_init(&w, t);
        wait_add(&t->group->child_wait, &w);
        for (;;) {
            wait_arm(t);
            found = look(t, r, out);
            if (found != 0)
                break;
            found = wait_sleep(t, NSEC_MAX);
            if (found < 0)
                break;
        }
        wait_remove(&w);
    }
    return found > 0 ? (int64_t)out->pid : found;
}
