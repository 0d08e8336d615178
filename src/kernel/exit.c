// Death of a task: exit(2), exit_group(2), fatal signals, and what exec does to the other threads.
//
// Order (docs/processes.md): the thread is marked as exiting, so that no signal is given to it; if
// it was the last, the group's timers go; robust futexes are marked and the address space is left
// (clear-child-TID is the host's work then, once the guest thread is gone); files and semaphores;
// then, under tasks_lock, children are handed on, the parent is told and the task becomes a zombie,
// or goes at once. A group is dead when its last thread has come that far; its leader stays as the
// zombie until the parent has waited for it.
//
// DEVIATION: an orphan that init has adopted is reaped by the kernel when init neither handles nor
// blocks SIGCHLD and did not ask for orphans (PR_SET_CHILD_SUBREAPER).
//
// Locking: tasks_lock, then sig_lock.

#include <stdatomic.h>
#include <sys/wait.h>

#include "base/log.h"
#include "host/host.h"
#include "kernel/task.h"
#include "kernel/threads.h"
#include "kernel/timer-int.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "platform/platform.h"

#define MEASURE_RSS_AFTER   20000000ll // 20 ms
#define ESTIMATED_RSS_PAGES 1024ul

// ---- The address space ----

void task_set_mm(struct task *t, struct mm *mm, struct platform_thread *pt)
{
    atomic_fetch_add(&mm->task_count, 1);
    lock_take(&t->lock);
    t->mm = mm;
    t->pt = pt;
    lock_release(&t->lock);
}

static void vfork_done(struct task *t)
{
    struct task *parent = t->vfork_parent;
    if (!parent)
        return;
    t->vfork_parent = NULL;
    atomic_store(&t->vfork_state, 0);
    task_wake(parent);
    task_unref(parent);
}

void task_measure_memory(struct task *t)
{
    uint64_t resident = mm_resident_bytes(t->mm, t);
    t->usage.max_rss_bytes = MAX(t->usage.max_rss_bytes, resident);
    if (resident > t->seen_resident)
        t->usage.minor_faults += (resident - t->seen_resident) / PAGE_SIZE;
    t->seen_resident = resident;
}

// Asking the stub costs a hand-off and a walk of its page tables, so that the short-lived are
// estimated by what they could have touched.
static void measure_at_end(struct task *t, struct mm *mm)
{
    if (t != current_task())
        return;
    if (clock_monotonic() - t->group->start_time > MEASURE_RSS_AFTER) {
        task_measure_memory(t);
        return;
    }
    uint64_t pages = MIN(mm->data_pages + mm->exec_pages, ESTIMATED_RSS_PAGES);
    t->usage.max_rss_bytes = MAX(t->usage.max_rss_bytes, pages * PAGE_SIZE);
    t->usage.minor_faults += pages;
}

// The address that the host clears once the guest thread is gone: what a join waits for. Who waits
// for a process in this address space (vfork, CLONE_VM) looks as soon as wait(2) has returned, so
// that its word is cleared here.
static uint64_t tid_to_clear(struct task *t, struct mm *mm)
{
    uint32_t zero = 0;
    if (!t->clear_child_tid || t != t->group->leader || atomic_load(&mm->task_count) == 1)
        return t->clear_child_tid;
    if (copy_out_mm(mm, t->clear_child_tid, &zero, sizeof(zero)) == sizeof(zero))
        (void)platform_futex_wake(t->pt, t->clear_child_tid, 1, ~0u, true);
    return 0;
}

void task_release_mm(struct task *t)
{
    struct mm *mm = t->mm;
    struct platform_thread *pt = t->pt;
    uint64_t clear_tid = 0;
    if (mm) {
        robust_list_exit(t);
        clear_tid = tid_to_clear(t, mm);
        if (atomic_load(&mm->task_count) == 1)
            measure_at_end(t, mm);
        lock_take(&t->lock);
        t->user_frozen += platform_thread_user_time(pt);
        t->mm = NULL;
        t->pt = NULL;
        lock_release(&t->lock);
        // Whoever leaves last must not end its platform thread: that is the address space's end, by
        // mm_put().
        if (atomic_fetch_sub(&mm->task_count, 1) > 1)
            platform_thread_exit(pt, clear_tid);
        mm_put(mm);
    }
    t->clear_child_tid = 0;
    t->robust_list = 0;
    t->rseq_addr = 0;
    t->seen_resident = 0;
    vfork_done(t);
}

// ---- Ending a group ----

void thread_group_exit_locked(struct thread_group *g, int wait_status)
{
    if (!g->group_exiting) {
        g->group_exiting = true;
        g->group_exit_code = wait_status;
    }
    g->stop_signal = 0;
    struct task *t;
    list_for_each (t, &g->threads, group_node) {
        if (t->exiting)
            continue;
        atomic_fetch_and(&t->pending_work, ~(uint32_t)TASK_WORK_STOP);
        task_kick(t, TASK_WORK_KILL);
    }
}

void thread_group_exit(struct thread_group *g, int wait_status)
{
    lock_take(&g->sig_lock);
    thread_group_exit_locked(g, wait_status);
    lock_release(&g->sig_lock);
}

// ---- Children of the dead ----

static struct task *live_thread_locked(struct thread_group *g)
{
    struct task *t;
    list_for_each (t, &g->threads, group_node) {
        if (!t->exiting && atomic_load(&t->state) < TASK_ZOMBIE)
            return t;
    }
    return NULL;
}

// The nearest ancestor that asked for orphans, or init.
static struct thread_group *find_reaper_locked(struct thread_group *g, struct task **ret_thread)
{
    struct kernel *k = the_kernel();
    for (struct thread_group *p = g->has_child_subreaper ? g->parent : NULL; p; p = p->parent) {
        if (p == k->init->group)
            break;
        if (p->child_subreaper && (*ret_thread = live_thread_locked(p)) != NULL)
            return p;
    }
    struct thread_group *init = k->init->group;
    *ret_thread = live_thread_locked(init);
    if (!*ret_thread)
        *ret_thread = init->leader;
    return init;
}

static void kill_orphaned_pgrp_locked(struct process_group *pg, struct thread_group *ignored)
{
    struct thread_group *g;
    bool stopped = false;
    if (!process_group_is_orphaned_locked(pg, ignored))
        return;
    list_for_each (g, &pg->members, pgrp_node) {
        if (__atomic_load_n(&g->stop_signal, __ATOMIC_RELAXED) && !g->dead)
            stopped = true;
    }
    if (!stopped)
        return;
    (void)signal_send_pgrp_locked(pg, SIGHUP, NULL);
    (void)signal_send_pgrp_locked(pg, SIGCONT, NULL);
}

static void send_pdeath_locked(struct thread_group *child)
{
    struct task *t;
    list_for_each (t, &child->threads, group_node) {
        int sig = __atomic_load_n(&t->pdeath_signal, __ATOMIC_RELAXED);
        if (sig && !child->dead)
            (void)signal_send_group(child, sig, NULL);
    }
}

// Init has taken over g as an orphan and does not ask to be told of its end: it neither handles nor
// blocks SIGCHLD. Such zombies would stay for ever, since most programs that are init here don't
// know that they are.
static bool init_does_not_care_locked(struct thread_group *g)
{
    struct thread_group *init = the_kernel()->init->group;
    if (!g->adopted || g->parent != init)
        return false;
    lock_take(&init->sig_lock);
    bool cares = sighand_get(init->sighand, SIGCHLD).handler != 0 ||
                 (init->leader->blocked & SIG_BIT(SIGCHLD));
    lock_release(&init->sig_lock);
    return !cares;
}

static void reparent_locked(struct thread_group *child, struct thread_group *reaper,
                            struct task *thread)
{
    struct thread_group *old = child->parent;
    child->parent_task = thread;
    send_pdeath_locked(child);
    if (reaper == old)
        return;
    list_remove(&child->sibling);
    child->parent = reaper;
    list_push_back(&reaper->children, &child->sibling);
    child->exit_signal = SIGCHLD;
    child->adopted = reaper == the_kernel()->init->group && !reaper->child_subreaper;
    if (child->dead) {
        bool gone = signal_parent_ignores_child_locked(child) || init_does_not_care_locked(child);
        signal_notify_parent_locked(child, child->wait_status & 0x7f ? CLD_KILLED : CLD_EXITED,
                                    child->wait_status);
        if (gone) {
            thread_group_release_locked(child);
            return;
        }
    }
    // Its process group may have lost the last parent outside of it.
    if (child->pgrp && old->pgrp != child->pgrp && old->pgrp &&
        old->pgrp->session == child->pgrp->session)
        kill_orphaned_pgrp_locked(child->pgrp, NULL);
}

static void hand_on_children_locked(struct task *t, bool group_ends)
{
    struct thread_group *g = t->group, *child, *next;
    struct task *thread = group_ends ? NULL : live_thread_locked(g);
    struct thread_group *reaper = g;
    if (!thread)
        reaper = find_reaper_locked(g, &thread);
    list_for_each_safe (child, next, &g->children, sibling) {
        if (group_ends || child->parent_task == t)
            reparent_locked(child, reaper, thread);
    }
}

// ---- The end of one thread ----

// Marks t; true for the last thread of its group. A stop that waited only for t is complete now.
static bool begin_exit(struct task *t, int status, bool *ret_stop_done)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    t->exiting = true;
    bool last = --g->live_count == 0;
    if (g->stop_signal && !last && g->stopped_count == g->live_count && g->stop_report == 0) {
        g->stop_report = CLD_STOPPED;
        *ret_stop_done = true;
    }
    t->exit_code = g->group_exiting ? g->group_exit_code : status;
    signal_retarget_locked(t);
    lock_release(&g->sig_lock);
    return last;
}

static void account_dead_locked(struct task *t)
{
    struct thread_group *g = t->group;
    struct cpu_usage used;
    task_account(t, &used);
    t->usage = used;
    cpu_usage_add(&g->dead_threads, &used);
}

void thread_group_release_locked(struct thread_group *g)
{
    struct task *leader = g->leader;
    list_remove(&g->sibling);
    thread_group_set_pgrp_locked(g, NULL);
    lock_take(&g->sig_lock);
    list_remove(&leader->group_node);
    sigpending_flush_locked(&g->shared_pending, ~0ull);
    sigpending_flush_locked(&leader->pending, ~0ull);
    lock_release(&g->sig_lock);
    list_remove(&leader->all_node);
    pid_release_locked(leader->kernel, leader);
    user_uncharge(leader->kernel, leader->charged_uid, USER_PROCESSES);
    atomic_store(&leader->state, TASK_DEAD);
    wake_up_all(&g->pidfd_wait, 0);
    task_unref(leader);
}

// A thread that isn't the leader leaves the tables as it ends.
static void release_thread_locked(struct task *t)
{
    struct thread_group *g = t->group;
    lock_take(&g->sig_lock);
    list_remove(&t->group_node);
    sigpending_flush_locked(&t->pending, ~0ull);
    lock_release(&g->sig_lock);
    list_remove(&t->all_node);
    pid_release_locked(t->kernel, t);
    user_uncharge(t->kernel, t->charged_uid, USER_PROCESSES);
    atomic_store(&t->state, TASK_DEAD);
    task_unref(t);
}

static void group_dead_locked(struct thread_group *g)
{
    struct task *leader = g->leader;
    g->dead = true;
    g->wait_status = g->group_exiting ? g->group_exit_code : leader->exit_code;
    struct process_group *pg = g->pgrp;
    if (pg->session->sid == g->tgid)
        tty_session_leader_exit_locked(pg->session);
    kill_orphaned_pgrp_locked(pg, g);
    wake_up_all(&g->pidfd_wait, 0);
    if (g->parent) {
        bool gone = signal_parent_ignores_child_locked(g) || init_does_not_care_locked(g);
        signal_notify_parent_locked(g, g->wait_status & 0x7f ? CLD_KILLED : CLD_EXITED,
                                    g->wait_status);
        if (gone)
            thread_group_release_locked(g);
    }
}

static void exit_notify(struct task *t)
{
    struct kernel *k = t->kernel;
    struct thread_group *g = t->group;
    lock_take(&k->tasks_lock);
    lock_take(&g->sig_lock);
    bool dead = --g->thread_count == 0;
    struct task *exec_task = g->exec_task;
    lock_release(&g->sig_lock);
    account_dead_locked(t);
    atomic_store(&t->state, TASK_ZOMBIE);
    hand_on_children_locked(t, dead);
    if (t != g->leader)
        release_thread_locked(t);
    if (dead)
        group_dead_locked(g);
    else if (exec_task)
        task_wake(exec_task);
    lock_release(&k->tasks_lock);
}

void task_exit(struct task *t, int wait_status)
{
    struct thread_group *g = t->group;
    bool stop_done = false;
    bool last = begin_exit(t, wait_status, &stop_done);
    if (stop_done)
        signal_report_stop(g, CLD_STOPPED);
    if (last) {
        itimers_exit(g);
        posix_timers_exit(g);
        if (t->kernel->init->group == g)
            kernel_shutdown(g->group_exiting ? g->group_exit_code
                            : g->leader == t ? wait_status
                                             : g->leader->exit_code);
    }
    // A join waits for the guest thread's end: by then its number must be gone. So a thread leaves
    // the tables first, while the end of a process is told when its memory has been given back.
    bool joinable = !last && t != g->leader;
    if (joinable) {
        robust_list_exit(t);
        t->robust_list = 0;
    } else {
        task_release_mm(t);
    }
    sem_undo_exit(t);
    files_exit(t);
    pi_futex_exit(t);
    exit_notify(t);
    if (joinable)
        task_release_mm(t);
    task_unref(t); // the kernel thread's
    kernel_thread_exit();
}

// ---- exec by one of several threads ----

// Ends every other thread and takes the leader's id, so that the process keeps its number. Linux:
// de_thread().
int task_exec_take_over(struct task *t)
{
    struct kernel *k = t->kernel;
    struct thread_group *g = t->group;
    struct task *other, *old_leader = NULL;
    lock_take(&g->sig_lock);
    if (g->group_exiting || g->exec_task) {
        lock_release(&g->sig_lock);
        return -EINTR;
    }
    g->exec_task = t;
    list_for_each (other, &g->threads, group_node) {
        if (other != t && !other->exiting)
            task_kick(other, TASK_WORK_KILL);
    }
    int ret = 0;
    for (;;) {
        bool alone = g->thread_count == 1;
        lock_release(&g->sig_lock);
        if (alone)
            break;
        // Armed before the count is read again: exit_notify() wakes after it has counted down.
        ret = wait_sleep_killable(t, NSEC_MAX);
        wait_arm(t);
        lock_take(&g->sig_lock);
        if (ret < 0 || g->group_exiting) {
            g->exec_task = NULL;
            lock_release(&g->sig_lock);
            return -EINTR;
        }
    }
    lock_take(&k->tasks_lock);
    if (g->leader != t) {
        old_leader = g->leader;
        lock_take(&g->sig_lock);
        g->leader = t;
        list_remove(&old_leader->group_node);
        sigpending_flush_locked(&old_leader->pending, ~0ull);
        lock_release(&g->sig_lock);
        list_remove(&old_leader->all_node);
        pid_release_locked(k, old_leader);
        pid_rename_locked(k, t, g->tgid);
        user_uncharge(k, old_leader->charged_uid, USER_PROCESSES);
        atomic_store(&old_leader->state, TASK_DEAD);
        if (k->init == old_leader)
            k->init = t;
    }
    lock_take(&g->sig_lock);
    g->exec_task = NULL;
    lock_release(&g->sig_lock);
    lock_release(&k->tasks_lock);
    task_unref(old_leader);
    return 0;
}
