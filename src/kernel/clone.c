// Birth of a task: clone(2), clone3(2), fork(2), vfork(2).
//
// Order: flags are checked, limits charged, the object built with everything it copies or shares,
// its number reserved, the platform's thread or address space made, ids written to guest memory,
// and last of all it becomes visible and gets its kernel thread. A failure undoes in reverse.
//
// Locking: tasks_lock and sig_lock only to become visible. mm.lock is taken by mm_fork() alone,
// with nothing else held.
//
// DEVIATION: the CLONE_NEW* flags are refused as by a kernel that was built without namespaces
// (EINVAL).

#include <linux/sched.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "abi/capability.h"
#include "base/log.h"
#include "kernel/task.h"
#include "kernel/timer-int.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "platform/platform.h"

#define CLONE_NAMESPACES                                                                          \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET | CLONE_NEWTIME)

// Linux: copy_process(), kernel_clone().
static int check_flags(struct task *t, const struct clone_request *r)
{
    uint64_t f = r->flags;
    if (f & CLONE_NAMESPACES)
        return -EINVAL;
    if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
        return -EINVAL;
    if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
        return -EINVAL;
    // Init's siblings would have no parent.
    if ((f & CLONE_PARENT) && t->group == t->kernel->init->group)
        return -EINVAL;
    if ((f & CLONE_PIDFD) && (f & CLONE_DETACHED))
        return -EINVAL;
    return 0;
}

// RLIMIT_NPROC binds all but root and the privileged.
static int charge_process(struct task *t)
{
    uint64_t limit = task_rlimit(t, RLIMIT_NPROC);
    if (t->cred->uid == 0 || capable(t, CAP_SYS_RESOURCE) || capable(t, CAP_SYS_ADMIN))
        limit = UINT64_MAX;
    return user_charge(t->kernel, t->cred->uid, USER_PROCESSES, limit) ? 0 : -EAGAIN;
}

// What a child copies plainly.
static void copy_fields(struct task *child, struct task *t, const struct clone_request *r)
{
    child->cred = cred_get(t->cred);
    child->charged_uid = t->cred->uid;
    child->blocked = t->blocked;
    memcpy(child->comm, t->comm, sizeof(child->comm));
    child->no_new_privs = t->no_new_privs;
    child->signal_depth = t->signal_depth;
    child->personality = t->personality;
    child->nice = t->nice;
    child->sched_policy = t->sched_policy;
    child->sched_priority = t->sched_priority;
    child->ioprio = t->ioprio;
    memcpy(child->affinity, t->affinity, sizeof(child->affinity));
    child->timer_slack = t->timer_slack;
    if (t->sched_reset_on_fork) {
        child->sched_policy = 0;
        child->sched_priority = 0;
        child->nice = MAX(t->nice, 0);
    }
    // The alternate stack goes with the address space, except to the child of vfork, which runs on
    // its parent's.
    if (!(r->flags & CLONE_VM) || (r->flags & CLONE_VFORK)) {
        child->altstack_sp = t->altstack_sp;
        child->altstack_size = t->altstack_size;
        child->altstack_flags = t->altstack_flags;
    } else {
        child->altstack_flags = SS_DISABLE;
    }
    // rseq belongs to a thread; a fork of the whole address space keeps it.
    if (!(r->flags & CLONE_VM)) {
        child->rseq_addr = t->rseq_addr;
        child->rseq_size = t->rseq_size;
        child->rseq_sig = t->rseq_sig;
    }
    if (r->flags & CLONE_CHILD_CLEARTID)
        child->clear_child_tid = r->child_tid.a;
}

static struct thread_group *new_group(struct task *t, const struct clone_request *r)
{
    struct thread_group *old = t->group, *g = thread_group_alloc();
    if (!g)
        return NULL;
    if (r->flags & CLONE_SIGHAND) {
        refcount_get(&old->sighand->refs);
        g->sighand = old->sighand;
    } else {
        g->sighand = sighand_copy(old->sighand);
    }
    if (!g->sighand) {
        thread_group_unref(g);
        return NULL;
    }
    if (r->flags & CLONE_CLEAR_SIGHAND)
        sighand_reset(g->sighand);
    lock_take(&old->limit_lock);
    memcpy(g->limits, old->limits, sizeof(g->limits));
    lock_release(&old->limit_lock);
    g->exit_signal = r->exit_signal;
    g->oom_score_adj = old->oom_score_adj;
    g->live_count = g->thread_count = 1;
    return g;
}

// The child's registers: the parent's at the call, zero as the result, its own stack and thread
// pointer if asked for.
static void set_child_regs(struct guest_regs *regs, const struct clone_request *r)
{
    regs->rax = 0;
    regs->orig_rax = UINT64_MAX;
    if (r->stack)
        regs->rsp = r->stack;
    if (r->flags & CLONE_SETTLS)
        regs->fs_base = r->tls;
}

static int make_platform_thread(struct task *t, struct task *child, const struct clone_request *r)
{
    struct platform_thread *pt = NULL;
    struct mm *mm = NULL;
    struct guest_regs regs;
    int ret;
    if (r->flags & CLONE_VM) {
        platform_get_regs(t->pt, &regs);
        set_child_regs(&regs, r);
        platform_window_flush(t->pt);
        ret = platform_thread_create(t->pt, &regs,
                                     r->flags & CLONE_CHILD_CLEARTID ? r->child_tid.a : 0, &pt);
        if (ret < 0)
            return ret;
        mm = mm_get(t->mm);
    } else {
        platform_window_flush(t->pt);
        ret = mm_fork(t, &mm, &pt);
        if (ret < 0)
            return ret;
        if (r->stack || (r->flags & CLONE_SETTLS)) {
            platform_get_regs(pt, &regs);
            set_child_regs(&regs, r);
            platform_set_regs(pt, &regs);
        } else {
            platform_set_result(pt, 0);
        }
    }
    task_set_mm(child, mm, pt);
    return 0;
}

// Ids into guest memory. As on Linux, a bad address is the guest's own trouble, except for the
// pidfd, which nobody could close.
static void write_ids(struct task *t, struct task *child, const struct clone_request *r)
{
    uint32_t tid = child->tid;
    if (r->flags & CLONE_PARENT_SETTID) {
        // The child may run, and even end, before the parent does: not by the window.
        if (copy_out_now(t, r->parent_tid, &tid, sizeof(tid)) < 0)
            log_debug("clone: bad parent_tid address");
    }
    if (r->flags & CLONE_CHILD_SETTID) {
        if (copy_out(child, r->child_tid, &tid, sizeof(tid)) < 0)
            log_debug("clone: bad child_tid address");
    }
}

static void link_group_locked(struct task *t, struct task *child, const struct clone_request *r)
{
    struct thread_group *g = child->group, *old = t->group;
    g->tgid = child->tid;
    g->leader = child;
    if (r->flags & CLONE_PARENT) {
        g->parent = old->parent;
        g->parent_task = old->parent_task;
        g->exit_signal = old->exit_signal;
    } else {
        g->parent = old;
        g->parent_task = t;
    }
    g->has_child_subreaper = old->has_child_subreaper || old->child_subreaper;
    list_push_back(&g->parent->children, &g->sibling);
    g->no_terminal = old->no_terminal;
    refcount_get(&old->pgrp->refs);
    thread_group_set_pgrp_locked(g, old->pgrp);
}

// The last step that can fail: a signal that would end or stop the parent has to be seen before or
// by the child, too.
static int make_visible(struct task *t, struct task *child, const struct clone_request *r)
{
    struct kernel *k = t->kernel;
    struct thread_group *g = child->group;
    int ret = 0;
    lock_take(&k->tasks_lock);
    lock_take(&t->group->sig_lock);
    if (signal_fatal_pending(t) || (!(r->flags & CLONE_THREAD) && signal_pending(t)))
        ret = -ERESTARTNOINTR;
    if (ret == 0 && (r->flags & CLONE_THREAD)) {
        g->thread_count++;
        g->live_count++;
        list_push_back(&g->threads, &child->group_node);
        if (g->stop_signal)
            atomic_fetch_or(&child->pending_work, TASK_WORK_STOP);
        signal_recalc_locked(child);
    }
    lock_release(&t->group->sig_lock);
    if (ret == 0) {
        if (!(r->flags & CLONE_THREAD)) {
            link_group_locked(t, child, r);
            lock_take(&g->sig_lock);
            list_push_back(&g->threads, &child->group_node);
            lock_release(&g->sig_lock);
        }
        list_push_back(&k->tasks, &child->all_node);
        atomic_store(&child->state, TASK_RUNNING);
        atomic_fetch_add(&k->fork_count, 1);
    }
    lock_release(&k->tasks_lock);
    return ret;
}

static void undo_visible(struct task *t, struct task *child)
{
    struct kernel *k = t->kernel;
    struct thread_group *g = child->group;
    lock_take(&k->tasks_lock);
    lock_take(&g->sig_lock);
    list_remove(&child->group_node);
    g->thread_count--;
    g->live_count--;
    lock_release(&g->sig_lock);
    list_remove(&child->all_node);
    atomic_store(&child->state, TASK_EMBRYO);
    if (g->leader == child) {
        list_remove(&g->sibling);
        thread_group_set_pgrp_locked(g, NULL);
    }
    lock_release(&k->tasks_lock);
}

// Everything a child has that can fail, in order; what was done is undone by undo_child().
static int build_child(struct task *t, struct task *child, const struct clone_request *r)
{
    copy_fields(child, t, r);
    if (r->flags & CLONE_THREAD) {
        child->group = thread_group_ref(t->group);
    } else {
        child->group = new_group(t, r);
        if (!child->group)
            return -ENOMEM;
    }
    int ret = files_clone(t, child, r->flags);
    if (ret == 0)
        ret = sem_undo_clone(t, child, r->flags);
    if (ret == 0)
        ret = pid_reserve(t->kernel, child, r->set_tid);
    if (ret == 0)
        ret = make_platform_thread(t, child, r);
    return ret;
}

static void undo_child(struct task *t, struct task *child)
{
    struct kernel *k = t->kernel;
    if (child->mm) {
        child->clear_child_tid = 0;
        child->robust_list = 0;
        task_release_mm(child);
    }
    if (child->tid) {
        lock_take(&k->tasks_lock);
        pid_release_locked(k, child);
        lock_release(&k->tasks_lock);
    }
    sem_undo_exit(child);
    if (child->files || child->fs)
        files_exit(child);
    user_uncharge(k, child->charged_uid, USER_PROCESSES);
    task_unref(child);
}

static void wait_for_vfork(struct task *t, struct task *child)
{
    for (;;) {
        wait_arm(t);
        if (atomic_load(&child->vfork_state) == 0)
            return;
        if (wait_sleep_killable(t, NSEC_MAX) < 0)
            return;
    }
}

int64_t task_clone(struct task *t, const struct clone_request *r)
{
    int ret = check_flags(t, r);
    if (ret < 0)
        return ret;
    // A signal goes first: otherwise a storm of them could keep the child from ever being complete.
    if (!(r->flags & CLONE_THREAD) && signal_pending(t))
        return -ERESTARTNOINTR;
    ret = charge_process(t);
    if (ret < 0)
        return ret;
    struct task *child = task_alloc(t->kernel);
    if (!child) {
        user_uncharge(t->kernel, t->cred->uid, USER_PROCESSES);
        return -ENOMEM;
    }
    int pidfd = -1;
    struct file *pidfd_file = NULL;
    ret = build_child(t, child, r);
    if (ret == 0 && (r->flags & CLONE_PIDFD)) {
        pidfd = ret = pidfd_prepare(t, child->group, r->pidfd_flags, &pidfd_file);
        if (ret >= 0)
            ret = copy_out(t, r->pidfd, &pidfd, sizeof(pidfd));
    }
    if (ret == 0) {
        write_ids(t, child, r);
        if (r->flags & CLONE_VFORK) {
            child->vfork_parent = task_ref(t);
            atomic_store(&child->vfork_state, 1);
        }
        ret = make_visible(t, child, r);
        if (ret == 0) {
            task_ref(child); // ours, for the wait and the number
            ret = task_start(child);
            if (ret < 0) {
                undo_visible(t, child);
                task_unref(child);
            }
        }
    }
    if (ret < 0) {
        if (pidfd >= 0)
            pidfd_discard(t, pidfd, pidfd_file);
        undo_child(t, child);
        return ret;
    }
    int64_t tid = child->tid;
    if (pidfd >= 0)
        pidfd_publish(t, pidfd, pidfd_file);
    if (r->flags & CLONE_VFORK)
        wait_for_vfork(t, child);
    task_unref(child);
    return tid;
}
