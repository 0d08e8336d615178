// Signals: rt_sigaction(2) and its kin, kill(2) and its kin, waiting for signals, sigaltstack(2).

#include <limits.h>
#include <stdatomic.h>

#include "kernel/signal-int.h"
#include "mm/copy.h"
#include "platform/platform.h"
#include "sys/process-int.h"
#include "sys/syscalls-gen.h"
#include "sys/time-int.h"

struct sigaction_wire {
    uint64_t handler, flags, restorer, mask;
};

// What a kernel of today knows; the others are cleared so that a program can find out
// (sigaction(2), SA_UNSUPPORTED).
#define SA_KNOWN                                                                       \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | \
     SA_RESETHAND | 0x04000000ul | 0x800ul)

int64_t sys_rt_sigaction(struct task *t, int sig, uaddr_t in, uaddr_t out, uint64_t set_size)
{
    struct sigaction_wire w;
    struct signal_action action, old;
    if (set_size != sizeof(w.mask))
        return -EINVAL;
    if (in.a) {
        if (copy_in_value(t, &w, in) < 0)
            return -EFAULT;
        action = (struct signal_action){.handler = w.handler,
                                        .flags = w.flags & (SA_KNOWN & 0xffffffff),
                                        .restorer = w.restorer,
                                        .mask = w.mask};
    }
    int ret = signal_set_action(t, sig, in.a ? &action : NULL, &old);
    if (ret < 0 || !out.a)
        return ret;
    w = (struct sigaction_wire){
        .handler = old.handler, .flags = old.flags, .restorer = old.restorer, .mask = old.mask};
    return copy_out_value(t, out, &w);
}

int64_t sys_rt_sigprocmask(struct task *t, int how, uaddr_t in, uaddr_t out, uint64_t set_size)
{
    uint64_t old = t->blocked, set;
    if (set_size != sizeof(set))
        return -EINVAL;
    if (in.a) {
        if (copy_in_value(t, &set, in) < 0)
            return -EFAULT;
        switch (how) {
        case SIG_BLOCK:
            signal_set_blocked(t, old | set);
            break;
        case SIG_UNBLOCK:
            signal_set_blocked(t, old & ~set);
            break;
        case SIG_SETMASK:
            signal_set_blocked(t, set);
            break;
        default:
            return -EINVAL;
        }
    }
    return out.a ? copy_out_value(t, out, &old) : 0;
}

int64_t sys_rt_sigpending(struct task *t, uaddr_t out, uint64_t set_size)
{
    if (set_size > sizeof(uint64_t))
        return -EINVAL;
    uint64_t set = signal_pending_set(t) & t->blocked;
    return copy_out(t, out, &set, set_size);
}

// ---- Waiting for signals ----

int64_t sys_rt_sigsuspend(struct task *t, uaddr_t mask, uint64_t set_size)
{
    uint64_t set;
    if (set_size != sizeof(set))
        return -EINVAL;
    if (copy_in_value(t, &set, mask) < 0)
        return -EFAULT;
    signal_set_temporary_mask(t, set);
    do {
        wait_arm(t);
    } while (wait_sleep(t, NSEC_MAX) == 0);
    return -ERESTARTNOHAND;
}

int64_t sys_pause(struct task *t)
{
    do {
        wait_arm(t);
    } while (wait_sleep(t, NSEC_MAX) == 0);
    return -ERESTARTNOHAND;
}

static int dequeue_or_recalc(struct task *t, uint64_t set, struct linux_siginfo *info)
{
    lock_take(&t->group->sig_lock);
    int sig = signal_dequeue_locked(t, set, info);
    if (!sig)
        signal_recalc_locked(t);
    lock_release(&t->group->sig_lock);
    return sig;
}

static void set_wait_signals(struct task *t, uint64_t set)
{
    lock_take(&t->group->sig_lock);
    t->wait_signals = set;
    lock_release(&t->group->sig_lock);
}

static int64_t wait_for_signal(struct task *t, uint64_t set, nsec_t deadline,
                               struct linux_siginfo *info)
{
    int sig = dequeue_or_recalc(t, set, info);
    if (sig || deadline <= clock_monotonic())
        return sig ? sig : -EAGAIN;
    int ret = 0;
    set_wait_signals(t, set);
    for (;;) {
        wait_arm(t);
        sig = dequeue_or_recalc(t, set, info);
        if (sig || ret < 0)
            break;
        ret = wait_sleep(t, deadline);
    }
    set_wait_signals(t, 0);
    if (sig)
        return sig;
    return ret == -ETIMEDOUT ? -EAGAIN : -EINTR; // never restarted
}

int64_t sys_rt_sigtimedwait(struct task *t, uaddr_t set_addr, uaddr_t info_out, uaddr_t timeout,
                            uint64_t set_size)
{
    uint64_t set;
    nsec_t deadline;
    struct linux_siginfo info;
    if (set_size != sizeof(set))
        return -EINVAL;
    if (copy_in_value(t, &set, set_addr) < 0)
        return -EFAULT;
    int ret = copy_in_timeout(t, timeout, &deadline);
    if (ret < 0)
        return ret;
    int64_t sig = wait_for_signal(t, set & ~SIG_UNBLOCKABLE, deadline, &info);
    if (sig > 0 && info_out.a && copy_out_value(t, info_out, &info) < 0)
        return -EFAULT;
    return sig;
}

// ---- Sending ----

static struct linux_siginfo user_info(struct task *t, int sig, int code)
{
    struct linux_siginfo info = {.signo = sig, .code = code};
    info.rt.pid = (int32_t)t->group->tgid;
    info.rt.uid = t->cred->uid;
    return info;
}

static bool valid_signal(int sig)
{
    return sig >= 0 && sig <= SIGNAL_COUNT;
}

// One process. tasks_lock held, which keeps it from going and its session from changing.
static int kill_group_locked(struct task *t, struct thread_group *g, int sig,
                             const struct linux_siginfo *info)
{
    if (!valid_signal(sig))
        return -EINVAL;
    int ret = signal_permission(t, g, sig);
    if (ret == 0 && sig && !g->dead)
        ret = signal_send_group(g, sig, info);
    return ret;
}

static int kill_pgrp_locked(struct task *t, struct process_group *pg, int sig,
                            const struct linux_siginfo *info)
{
    struct thread_group *g;
    int ret = -ESRCH;
    bool any = false;
    if (!pg)
        return -ESRCH;
    list_for_each (g, &pg->members, pgrp_node) {
        ret = kill_group_locked(t, g, sig, info);
        any = any || ret == 0;
    }
    return any ? 0 : ret;
}

static int kill_all_locked(struct task *t, int sig, const struct linux_siginfo *info)
{
    struct kernel *k = t->kernel;
    struct task *it;
    int ret = 0, count = 0;
    list_for_each (it, &k->tasks, all_node) {
        struct thread_group *g = it->group;
        if (it != g->leader || g == k->init->group || g == t->group)
            continue;
        int one = kill_group_locked(t, g, sig, info);
        count++;
        if (one != -EPERM)
            ret = one;
    }
    return count ? ret : -ESRCH;
}

static int64_t kill_pid(struct task *t, int pid, int sig, const struct linux_siginfo *info)
{
    struct kernel *k = t->kernel;
    struct task *target;
    int64_t ret;
    if (pid == INT_MIN)
        return -ESRCH;
    lock_take(&k->tasks_lock);
    if (pid > 0) {
        target = task_find_locked(k, (uint32_t)pid);
        ret = target ? kill_group_locked(t, target->group, sig, info) : -ESRCH;
    } else if (pid == -1) {
        ret = kill_all_locked(t, sig, info);
    } else {
        ret = kill_pgrp_locked(t, pid ? process_group_find_locked((uint32_t)-pid) : t->group->pgrp,
                               sig, info);
    }
    lock_release(&k->tasks_lock);
    return ret;
}

int64_t sys_kill(struct task *t, int pid, int sig)
{
    struct linux_siginfo info = user_info(t, sig, SI_USER);
    return kill_pid(t, pid, sig, &info);
}

static int64_t kill_thread(struct task *t, int tgid, int tid, int sig,
                           const struct linux_siginfo *info)
{
    struct kernel *k = t->kernel;
    int64_t ret = -ESRCH;
    lock_take(&k->tasks_lock);
    struct task *target = task_find_locked(k, (uint32_t)tid);
    if (target && (tgid <= 0 || target->group->tgid == (uint32_t)tgid)) {
        ret = valid_signal(sig) ? signal_permission(t, target->group, sig) : -EINVAL;
        if (ret == 0 && sig)
            ret = signal_send_task(target, sig, info);
    }
    lock_release(&k->tasks_lock);
    return ret;
}

int64_t sys_tkill(struct task *t, int tid, int sig)
{
    struct linux_siginfo info = user_info(t, sig, SI_TKILL);
    return tid <= 0 ? -EINVAL : kill_thread(t, 0, tid, sig, &info);
}

int64_t sys_tgkill(struct task *t, int tgid, int tid, int sig)
{
    struct linux_siginfo info = user_info(t, sig, SI_TKILL);
    return tid <= 0 || tgid <= 0 ? -EINVAL : kill_thread(t, tgid, tid, sig, &info);
}

// A program may say what it likes to itself; to others only what can't be taken for the kernel's
// word or kill(2)'s.
static int copy_in_info(struct task *t, uaddr_t addr, int sig, bool self,
                        struct linux_siginfo *info)
{
    if (copy_in_value(t, info, addr) < 0)
        return -EFAULT;
    info->signo = sig;
    if ((info->code >= 0 || info->code == SI_TKILL) && !self)
        return -EPERM;
    return 0;
}

int64_t sys_rt_sigqueueinfo(struct task *t, int pid, int sig, uaddr_t addr)
{
    struct linux_siginfo info;
    int ret = copy_in_info(t, addr, sig, (uint32_t)pid == t->group->tgid, &info);
    if (ret < 0)
        return ret;
    return pid <= 0 ? -ESRCH : kill_pid(t, pid, sig, &info);
}

int64_t sys_rt_tgsigqueueinfo(struct task *t, int tgid, int tid, int sig, uaddr_t addr)
{
    struct linux_siginfo info;
    if (tgid <= 0 || tid <= 0)
        return -EINVAL;
    int ret = copy_in_info(t, addr, sig, (uint32_t)tid == t->tid, &info);
    return ret < 0 ? ret : kill_thread(t, tgid, tid, sig, &info);
}

// For pidfd_send_signal(2): a reference to g is held.
int64_t signal_send_by_pidfd(struct task *t, struct thread_group *g, int sig,
                             const struct linux_siginfo *given)
{
    struct linux_siginfo info = given ? *given : user_info(t, sig, SI_USER);
    struct kernel *k = t->kernel;
    int64_t ret = -ESRCH;
    lock_take(&k->tasks_lock);
    if (g->pgrp) // not reaped
        ret = kill_group_locked(t, g, sig, &info);
    lock_release(&k->tasks_lock);
    return ret;
}

// ---- Stacks and frames ----

int64_t sys_sigaltstack(struct task *t, uaddr_t in, uaddr_t out)
{
    struct signal_stack request, old;
    struct guest_regs regs;
    platform_get_regs(t->pt, &regs);
    signal_get_altstack(t, regs.rsp, &old);
    if (in.a) {
        if (copy_in_value(t, &request, in) < 0)
            return -EFAULT;
        int ret = signal_set_altstack(t, &request, regs.rsp);
        if (ret < 0)
            return ret;
    }
    return out.a ? copy_out_value(t, out, &old) : 0;
}

int64_t sys_rt_sigreturn(struct task *t)
{
    return signal_return(t);
}
