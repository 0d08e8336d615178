// SIGIO: F_SETOWN, F_SETSIG and O_ASYNC (fcntl(2), signal-driven input and output).
#include <signal.h>

#include "kernel/signal.h"
#include "vfs/vfs-int.h"

enum { OWNER_TID = 0, OWNER_PID = 1, OWNER_PGRP = 2 }; // F_OWNER_*

void file_signal_caller(struct task *t, int sig)
{
    struct linux_siginfo info = {.signo = sig, .code = SI_USER};
    info.rt.pid = (int32_t)t->group->tgid;
    info.rt.uid = t->cred->uid;
    (void)signal_send_task(t, sig, &info);
}

static void notify_group(struct thread_group *g, int sig, const struct linux_siginfo *info)
{
    (void)signal_send_group(g, sig, info);
}

void file_async_notify(struct file *f, int band)
{
    struct inode *inode = f->inode;
    if (!(f->flags & O_ASYNC))
        return;
    lock_take(&inode->lock);
    uint32_t kind = f->owner_kind;
    int sig = (int)f->owner_signal;
    int32_t owner = f->owner;
    lock_release(&inode->lock);
    if (!owner)
        return;
    struct linux_siginfo info = {.signo = sig ? sig : SIGIO};
    info.code = band & 1 ? POLL_IN : POLL_OUT;
    info.poll.band = band;
    info.poll.fd = f->async_fd;
    const struct linux_siginfo *with = sig ? &info : NULL; // plain SIGIO carries nothing
    if (kind == OWNER_TID) {
        struct task *t = task_find((uint32_t)owner);
        if (t) {
            (void)signal_send_task(t, info.signo, with);
            task_unref(t);
        }
    } else if (kind == OWNER_PID) {
        struct thread_group *g = thread_group_find((uint32_t)owner);
        if (g) {
            notify_group(g, info.signo, with);
            thread_group_unref(g);
        }
    } else {
        struct kernel *k = the_kernel();
        lock_take(&k->tasks_lock);
        struct process_group *pg = process_group_find_locked((uint32_t)owner);
        if (pg)
            (void)signal_send_pgrp_locked(pg, info.signo, with);
        lock_release(&k->tasks_lock);
    }
}
