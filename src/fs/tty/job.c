// Sessions and their terminals: the controlling terminal, the foreground group, and what processes in the background may do.
// tty_ioctl(4), credentials(7), POSIX.1 chapter 11.1.
//
// Invariant: session.tty == tty exactly if tty.session == session; the session then holds a reference on the terminal, the terminal
// one on the session and on its foreground group. All are guarded by tasks_lock.
//
// DEVIATION: terminals: Linux keeps the controlling terminal with each process. Here it is the session's, so that processes that
// were in the session before its leader got the terminal have it, too.
#include <signal.h>

#include "abi/capability.h"
#include "fs/tty/tty-int.h"
#include "kernel/task.h"
#include "vfs/file.h"

static struct session *session_of_locked(const struct thread_group *g)
{
    return g->pgrp ? g->pgrp->session : NULL;
}

static bool is_leader_locked(const struct thread_group *g)
{
    return session_of_locked(g) && session_of_locked(g)->sid == g->tgid;
}

static struct tty *tty_of_locked(const struct thread_group *g)
{
    struct session *s = session_of_locked(g);
    return s && !g->no_terminal ? s->tty : NULL;
}

// ---- Taking and leaving ----

static void attach_locked(struct thread_group *leader, struct tty *tty)
{
    struct session *s = leader->pgrp->session;
    process_group_put_locked(the_kernel(), s->hung_up_group);
    s->hung_up_group = NULL;
    tty->session = session_ref(s);
    refcount_get(&leader->pgrp->refs);
    tty->foreground = leader->pgrp;
    s->tty = tty_ref(tty);
    leader->no_terminal = false;
}

static void detach_locked(struct session *s)
{
    struct kernel *k = the_kernel();
    struct tty *tty = s->tty;
    struct process_group *pg = tty->foreground;
    s->tty = NULL;
    tty->session = NULL;
    tty->foreground = NULL;
    process_group_put_locked(k, pg);
    session_put_locked(k, s);
    tty_unref(tty);
}

void tty_set_controlling(struct task *t, struct tty *tty)
{
    lock_take(&t->kernel->tasks_lock);
    if (is_leader_locked(t->group) && !t->group->pgrp->session->tty && !tty->session)
        attach_locked(t->group, tty);
    lock_release(&t->kernel->tasks_lock);
}

void tty_open_controlling(struct task *t, struct tty *tty, const struct file *f)
{
    if (!(f->flags & O_NOCTTY) && f->readable)
        tty_set_controlling(t, tty);
}

int tty_take_controlling(struct task *t, struct tty *tty, const struct file *f, uint64_t steal)
{
    bool admin = capable(t, CAP_SYS_ADMIN);
    int r = -EPERM;
    lock_take(&t->kernel->tasks_lock);
    struct session *s = session_of_locked(t->group);
    if (is_leader_locked(t->group) && tty->session == s) {
        r = 0;
    } else if (is_leader_locked(t->group) && !s->tty && (f->readable || admin) &&
               (!tty->session || (steal == 1 && admin))) {
        if (tty->session)
            detach_locked(tty->session);
        attach_locked(t->group, tty);
        r = 0;
    }
    lock_release(&t->kernel->tasks_lock);
    return r;
}

int tty_give_up_controlling(struct task *t, struct tty *tty)
{
    int r = 0;
    lock_take(&t->kernel->tasks_lock);
    if (tty_of_locked(t->group) != tty) {
        r = -ENOTTY;
    } else if (!is_leader_locked(t->group)) {
        t->group->no_terminal = true;
    } else {
        struct process_group *pg = tty->foreground;
        (void)signal_send_pgrp_locked(pg, SIGHUP, NULL);
        (void)signal_send_pgrp_locked(pg, SIGCONT, NULL);
        detach_locked(tty->session);
    }
    lock_release(&t->kernel->tasks_lock);
    return r;
}

void tty_session_leader_exit_locked(struct session *s)
{
    struct process_group *pg = s->hung_up_group;
    if (s->tty) {
        (void)signal_send_pgrp_locked(s->tty->foreground, SIGHUP, NULL);
        detach_locked(s);
    } else if (pg) {
        (void)signal_send_pgrp_locked(pg, SIGHUP, NULL);
        (void)signal_send_pgrp_locked(pg, SIGCONT, NULL);
    }
    s->hung_up_group = NULL;
    process_group_put_locked(the_kernel(), pg);
}

// ---- Asking ----

struct tty *tty_of_task(struct task *t)
{
    lock_take(&t->kernel->tasks_lock);
    struct tty *tty = tty_of_locked(t->group);
    if (tty)
        tty_ref(tty);
    lock_release(&t->kernel->tasks_lock);
    return tty;
}

uint32_t tty_of_group_locked(const struct thread_group *g, int32_t *foreground)
{
    struct tty *tty = tty_of_locked(g);
    *foreground = tty && tty->foreground ? (int32_t)tty->foreground->pgid : -1;
    return tty ? (uint32_t)tty_device(tty) : 0;
}

bool tty_is_controlling(struct task *t, struct tty *tty)
{
    lock_take(&t->kernel->tasks_lock);
    bool yes = tty_of_locked(t->group) == tty;
    lock_release(&t->kernel->tasks_lock);
    return yes;
}

int tty_get_foreground(struct task *t, struct tty *tty, bool master, int32_t *ret)
{
    int r = 0;
    lock_take(&t->kernel->tasks_lock);
    if (!master && tty_of_locked(t->group) != tty)
        r = -ENOTTY;
    else
        *ret = tty->foreground ? (int32_t)tty->foreground->pgid : 0;
    lock_release(&t->kernel->tasks_lock);
    return r;
}

int tty_get_session(struct task *t, struct tty *tty, bool master, int32_t *ret)
{
    int r = 0;
    lock_take(&t->kernel->tasks_lock);
    if ((!master && tty_of_locked(t->group) != tty) || !tty->session)
        r = -ENOTTY;
    else
        *ret = (int32_t)tty->session->sid;
    lock_release(&t->kernel->tasks_lock);
    return r;
}

// ---- The foreground group ----

// The group of that number in session s, with a reference. A process that leads no group may be named, too, as a shell does that
// is quicker than its child: the group is made, and the child's setpgid() finds it.
static int find_group_locked(struct kernel *k, struct session *s, uint32_t pgid,
                             struct process_group **ret)
{
    struct process_group *pg = process_group_find_locked(pgid);
    if (pg && !list_empty(&pg->members)) {
        if (pg->session != s)
            return -EPERM;
        refcount_get(&pg->refs);
        *ret = pg;
        return 0;
    }
    struct task *t = task_find_locked(k, pgid);
    if (!t)
        return -ESRCH;
    if (session_of_locked(t->group) != s || t->group->leader != t)
        return -EPERM;
    if (pg)
        refcount_get(&pg->refs);
    else if (!(pg = process_group_create_locked(k, pgid, s)))
        return -ENOMEM;
    *ret = pg;
    return 0;
}

int tty_set_foreground(struct task *t, struct tty *tty, int32_t pgid)
{
    struct kernel *k = t->kernel;
    struct process_group *pg = NULL;
    if (pgid < 0)
        return -EINVAL;
    lock_take(&k->tasks_lock);
    struct session *s = session_of_locked(t->group);
    int r = -ENOTTY;
    if (s && tty_of_locked(t->group) == tty)
        r = find_group_locked(k, s, (uint32_t)pgid, &pg);
    if (r == 0) {
        struct process_group *old = tty->foreground;
        __atomic_store_n(&tty->foreground, pg, __ATOMIC_RELAXED);
        process_group_put_locked(k, old);
    }
    lock_release(&k->tasks_lock);
    return r;
}

void tty_signal_foreground(struct tty *tty, int sig)
{
    struct kernel *k = the_kernel();
    lock_take(&k->tasks_lock);
    if (tty->foreground)
        (void)signal_send_pgrp_locked(tty->foreground, sig, NULL);
    lock_release(&k->tasks_lock);
}

static bool is_ignored(struct task *t, int sig)
{
    struct thread_group *g = t->group;
    if (t->blocked & SIG_BIT(sig))
        return true;
    lock_take(&g->sig_lock);
    bool ignored = sighand_get(g->sighand, sig).handler == (uint64_t)(uintptr_t)SIG_IGN;
    lock_release(&g->sig_lock);
    return ignored;
}

int tty_check_background(struct task *t, struct tty *tty, int sig)
{
    struct thread_group *g = t->group;
    int r = 0;
    // Most often it is the foreground; what changes this moment may be seen as before.
    if (likely(__atomic_load_n(&tty->foreground, __ATOMIC_RELAXED) ==
               __atomic_load_n(&g->pgrp, __ATOMIC_RELAXED)))
        return 0;
    lock_take(&t->kernel->tasks_lock);
    if (tty_of_locked(g) != tty || !tty->foreground || tty->foreground == g->pgrp) {
        r = 0;
    } else if (is_ignored(t, sig)) {
        r = sig == SIGTTIN ? -EIO : 0;
    } else if (process_group_is_orphaned_locked(g->pgrp, NULL)) {
        r = -EIO;
    } else {
        (void)signal_send_pgrp_locked(g->pgrp, sig, NULL);
        r = -ERESTARTSYS;
    }
    lock_release(&t->kernel->tasks_lock);
    return r;
}
