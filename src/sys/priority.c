// Nice values and I/O priorities: setpriority(2), ioprio_set(2) and their kin, which name a task, a
// process group or a user.
//
// DEVIATION: both are kept, checked and shown, and have no effect on the host.
//
// Locking: the fields are words of a task, written under tasks_lock.

#include <sys/resource.h>

#include "abi/capability.h"
#include "kernel/task.h"
#include "sys/syscalls-gen.h"

enum { WHICH_PROCESS, WHICH_PGRP, WHICH_USER };

struct each {
    int which, who;
    int value;
    bool found;
    int result, error; // highest result; last error
};

typedef int visitor(struct task *t, struct task *other, int value);

static void visit(struct task *t, struct task *other, struct each *e, visitor *one)
{
    int ret = one(t, other, e->value);
    e->found = true;
    if (ret < 0)
        e->error = ret;
    else if (ret > e->result)
        e->result = ret;
}

// who 0: the caller, its process group, its real user.
static void for_each_named(struct task *t, struct each *e, visitor *one)
{
    struct kernel *k = t->kernel;
    struct task *it;
    uint32_t uid = e->who ? (uint32_t)e->who : t->cred->uid;
    lock_take(&k->tasks_lock);
    if (e->which == WHICH_PROCESS) {
        it = e->who ? task_find_locked(k, (uint32_t)e->who) : t;
        if (it)
            visit(t, it, e, one);
    } else {
        struct process_group *pg =
            e->who ? process_group_find_locked((uint32_t)e->who) : t->group->pgrp;
        list_for_each (it, &k->tasks, all_node) {
            if (e->which == WHICH_PGRP ? pg && it->group->pgrp == pg : task_uid(it) == uid)
                visit(t, it, e, one);
        }
    }
    lock_release(&k->tasks_lock);
}

static int set_nice(struct task *t, struct task *other, int nice)
{
    const struct cred *c = t->cred;
    struct cred *o = task_get_cred(other);
    bool same = c->uid == o->uid || c->euid == o->uid || c->euid == o->euid;
    cred_put(o);
    if (!same && !capable(t, CAP_SYS_NICE))
        return -EPERM;
    if (nice < other->nice && (uint64_t)(20 - nice) > task_rlimit(other, RLIMIT_NICE) &&
        !capable(t, CAP_SYS_NICE))
        return -EACCES;
    other->nice = nice;
    return 0;
}

static int get_nice(struct task *t, struct task *other, int value)
{
    return 20 - other->nice;
}

int64_t sys_setpriority(struct task *t, int which, int who, int prio)
{
    if (which < WHICH_PROCESS || which > WHICH_USER)
        return -EINVAL;
    struct each e = {.which = which, .who = who, .value = MIN(MAX(prio, -20), 19)};
    for_each_named(t, &e, set_nice);
    return e.found ? e.error : -ESRCH;
}

int64_t sys_getpriority(struct task *t, int which, int who)
{
    if (which < WHICH_PROCESS || which > WHICH_USER)
        return -EINVAL;
    struct each e = {.which = which, .who = who};
    for_each_named(t, &e, get_nice);
    return e.found ? e.result : -ESRCH;
}

// ---- I/O priorities ----

enum { IOPRIO_NONE, IOPRIO_RT, IOPRIO_BE, IOPRIO_IDLE };
#define IOPRIO_CLASS(p) ((p) >> 13 & 7)
#define IOPRIO_DATA(p)  ((p)&0x1fff)
#define IOPRIO_TOP      0x10000

static int check_ioprio(struct task *t, int ioprio)
{
    switch (IOPRIO_CLASS(ioprio)) {
    case IOPRIO_RT:
        return capable(t, CAP_SYS_ADMIN) || capable(t, CAP_SYS_NICE) ? 0 : -EPERM;
    case IOPRIO_BE:
    case IOPRIO_IDLE:
        return 0;
    case IOPRIO_NONE:
        return IOPRIO_DATA(ioprio) ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
}

static int set_ioprio(struct task *t, struct task *other, int ioprio)
{
    uint32_t owner = task_uid(other);
    if (owner != t->cred->euid && owner != t->cred->uid && !capable(t, CAP_SYS_NICE))
        return -EPERM;
    other->ioprio = (uint16_t)ioprio;
    return 0;
}

// The best of several is the lowest value: turned round, so that the highest result wins. None is
// shown as such for one task.
static int get_ioprio(struct task *t, struct task *other, int value)
{
    return IOPRIO_TOP - other->ioprio;
}

int64_t sys_ioprio_set(struct task *t, int which, int who, int ioprio)
{
    int ret = check_ioprio(t, ioprio);
    if (ret < 0)
        return ret;
    if (which < 1 || which > 3)
        return -EINVAL;
    struct each e = {.which = which - 1, .who = who, .value = ioprio};
    for_each_named(t, &e, set_ioprio);
    return e.found ? e.error : -ESRCH;
}

int64_t sys_ioprio_get(struct task *t, int which, int who)
{
    if (which < 1 || which > 3)
        return -EINVAL;
    struct each e = {.which = which - 1, .who = who};
    for_each_named(t, &e, get_ioprio);
    return e.found ? IOPRIO_TOP - e.result : -ESRCH;
}
