// Countersignatures: one thread receives the notifications of all stubs, compares each with what the kernel has told that very
// thread to do, and lets it go on or refuses. It waits for nothing else, and keeps what it compares with in kernel memory.
//
// A permission is good for one answer. The host may repeat a call after the answer (a signal): the repeat is refused with
// EAGAIN, the stub reports it, the kernel says it anew (command.c). A call that was never told kills the stub.
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "host/host.h"
#include "platform/trap/trap-int.h"

// Refusals of one repeated call before its stub counts as misbehaving: an honest one reports the first.
#define PERMISSION_REPEATS_MAX 64

static bool args_equal(const struct permission *perm, const struct seccomp_data *data)
{
    if ((int)perm->nr != data->nr)
        return false;
    for (int i = 0; i < 6; i++)
        if ((perm->arg_mask & BIT(i)) && perm->args[i] != data->args[i])
            return false;
    return true;
}

// The call proves that the thread's earlier ones are over: what they named is free.
static void move_pin_locked(struct platform *p, struct platform_thread *pt, int fd)
{
    if (pt->pinned_fd >= 0)
        unpin_locked(p, pt->pinned_fd);
    pt->pinned_fd = -1;
    if (fd >= 0 && fd < FD_PIN_MAX) {
        p->fds[fd].pins++;
        pt->pinned_fd = fd;
    }
}

// The first call of a forked child: it maps its own slot. It has to be the process whose id the host has written into its
// parent's slot before it ran: the place of the slot alone could be guessed. Only the parent can forge the id, and only a process
// that nobody knows can be taken for its child.
static bool child_has_come_locked(struct platform *p, int tid, const struct seccomp_data *data)
{
    struct pending_fork *fork;
    list_for_each(fork, &p->forks, node) {
        if (data->nr != SYS_mmap)
            continue;
        bool equal = true;
        for (int i = 0; i < 6; i++)
            equal = equal && fork->args[i] == data->args[i];
        if (!equal)
            continue;
        int named = *(volatile int *)&fork->parent->slot->child_tid;
        if (named != tid || host_tgkill(tid, tid, 0) < 0)
            return false;
        fork->child->tid = tid;
        mm_set_pid_locked(fork->child->pm, tid);
        tid_insert_locked(p, fork->child);
        list_remove(&fork->node);
        fork_settled_locked(fork, FORK_COME);
        return true;
    }
    return false;
}

// 0: let it go on. A negative errno: refuse. -ENOMSG: never told.
static int judge_locked(struct platform *p, const struct seccomp_notif *n)
{
    struct platform_thread *pt = tid_find_locked(p, (int)n->pid);
    if (!pt)
        return child_has_come_locked(p, (int)n->pid, &n->data) ? 0 : -ENOMSG;
    uint32_t next = pt->permission_next;
    if (next < pt->permission_count && args_equal(&pt->permission[next], &n->data)) {
        move_pin_locked(p, pt, pt->permission[next].fd);
        pt->permission_next = next + 1;
        return 0;
    }
    if (next > 0 && next <= pt->permission_count && args_equal(&pt->permission[next - 1], &n->data))
        return ++pt->permission_repeats <= PERMISSION_REPEATS_MAX ? -EAGAIN : -ENOMSG; // answered before: the host repeats it
    return -ENOMSG;
}

static void kill_stub(struct platform *p, int tid, const struct seccomp_data *data)
{
    lock_take(&p->lock);
    struct platform_thread *pt = tid_find_locked(p, tid);
    int pid = pt && !pt->pm->reaped ? pt->pm->pid : tid;
    if (pt)
        pt->pm->dead = true;
    host_kill(pid, SIGKILL);
    lock_release(&p->lock);
    log_warn("a guest process made host call %d, which it was not told to make: killed", data->nr);
}

void listener_main(struct platform *p)
{
    int fd = p->zygote_info.listener_fd;
    for (;;) {
        struct seccomp_notif n;
        memset(&n, 0, sizeof(n));
        int r = host_ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n);
        if (r == -EINTR || r == -ENOENT)
            continue;
        if (r < 0)
            panic("receiving notifications from stubs: error %d", -r);
        atomic_fetch_add_explicit(&p->counts.notifications, 1, memory_order_relaxed);
        lock_take(&p->lock);
        int verdict = judge_locked(p, &n);
        lock_release(&p->lock);
        struct seccomp_notif_resp resp = {.id = n.id};
        if (verdict == 0)
            resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else if (verdict == -ENOMSG) {
            kill_stub(p, (int)n.pid, &n.data);
            resp.error = -EPERM;
        } else
            resp.error = verdict;
        (void)host_ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp); // -ENOENT: the caller is gone
    }
}
