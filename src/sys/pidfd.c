// pidfds: a descriptor that names a process by its object, so that no later process with the same
// number is meant. pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), and what clone(2) and
// waitid(2) need of them.
//
// file.priv is a reference to the thread group; the file is readable when the group is dead.
//
// DEVIATION: PIDFD_THREAD (Linux 6.9) is refused as by an older kernel (EINVAL).

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "abi/capability.h"
#include "base/strbuf.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "sys/process-int.h"
#include "sys/syscalls-gen.h"
#include "vfs/file.h"

static struct thread_group *group_of(const struct file *f)
{
    return f->priv;
}

static uint32_t pidfd_poll(struct file *f)
{
    return __atomic_load_n(&group_of(f)->dead, __ATOMIC_ACQUIRE) ? EPOLLIN | EPOLLRDNORM : 0;
}

static struct wait_queue *pidfd_poll_queue(struct file *f)
{
    return &group_of(f)->pidfd_wait;
}

static void pidfd_release(struct file *f)
{
    thread_group_unref(group_of(f));
    f->priv = NULL;
}

static void pidfd_show_fdinfo(struct file *f, struct strbuf *out)
{
    struct thread_group *g = group_of(f);
    struct kernel *k = the_kernel();
    lock_take(&k->tasks_lock);
    int pid = g->pgrp ? (int)g->tgid : -1; // -1: reaped
    lock_release(&k->tasks_lock);
    strbuf_printf(out, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

extern const struct file_ops pidfd_file_ops;
const struct file_ops pidfd_file_ops = {
    .poll = pidfd_poll,
    .poll_queue = pidfd_poll_queue,
    .release = pidfd_release,
    .show_fdinfo = pidfd_show_fdinfo,
};

// ---- Making one ----

static struct file *create_file(struct thread_group *g, uint32_t flags)
{
    struct file *f = file_create_anon(FILE_PIDFD, "[pidfd]", O_RDWR | (flags & O_NONBLOCK), 0600,
                                      thread_group_ref(g));
    if (!f)
        thread_group_unref(g);
    return f;
}

int pidfd_prepare(struct task *t, struct thread_group *g, uint32_t flags, struct file **ret_file)
{
    int fd = fd_reserve(t, true, 0);
    if (fd < 0)
        return fd;
    *ret_file = create_file(g, flags);
    if (!*ret_file) {
        fd_unreserve(t, fd);
        return -ENOMEM;
    }
    return fd;
}

void pidfd_publish(struct task *t, int fd, struct file *f)
{
    fd_publish(t, fd, f);
}

void pidfd_discard(struct task *t, int fd, struct file *f)
{
    fd_unreserve(t, fd);
    file_unref(f);
}

int64_t sys_pidfd_open(struct task *t, int pid, uint32_t flags)
{
    struct kernel *k = t->kernel;
    struct thread_group *g = NULL;
    struct file *f = NULL;
    if ((flags & ~(uint32_t)O_NONBLOCK) || pid <= 0)
        return -EINVAL;
    lock_take(&k->tasks_lock);
    struct task *found = task_find_locked(k, (uint32_t)pid);
    bool is_thread = found && found->group->leader != found;
    if (found && !is_thread)
        g = thread_group_ref(found->group);
    lock_release(&k->tasks_lock);
    if (!g)
        return is_thread ? -ENOENT : -ESRCH;
    int fd = pidfd_prepare(t, g, flags, &f);
    if (fd >= 0)
        pidfd_publish(t, fd, f);
    thread_group_unref(g);
    return fd;
}

// ---- Using one ----

struct thread_group *pidfd_get_group(struct task *t, int fd, bool *ret_nonblock)
{
    struct file *f = fd_get(t, fd);
    struct thread_group *g = NULL;
    if (f && f->type == FILE_PIDFD) {
        g = thread_group_ref(group_of(f));
        if (ret_nonblock)
            *ret_nonblock = atomic_load(&f->flags) & O_NONBLOCK;
    }
    if (f)
        file_unref(f);
    return g;
}

int64_t sys_pidfd_send_signal(struct task *t, int pidfd, int sig, uaddr_t info_addr, uint32_t flags)
{
    struct linux_siginfo info;
    int64_t ret;
    if (flags)
        return -EINVAL;
    struct thread_group *g = pidfd_get_group(t, pidfd, NULL);
    if (!g)
        return -EBADF;
    if (!info_addr.a)
        ret = signal_send_by_pidfd(t, g, sig, NULL);
    else if (copy_in_value(t, &info, info_addr) < 0)
        ret = -EFAULT;
    else if (info.signo != sig)
        ret = -EINVAL;
    else if (g != t->group && (info.code >= 0 || info.code == SI_TKILL))
        ret = -EPERM;
    else
        ret = signal_send_by_pidfd(t, g, sig, &info);
    thread_group_unref(g);
    return ret;
}

int task_may_attach(struct task *t, struct task *other)
{
    if (t->group == other->group)
        return 0;
    const struct cred *c = t->cred;
    struct cred *o = task_get_cred(other);
    bool same = c->uid == o->euid && c->uid == o->suid && c->uid == o->uid && c->gid == o->egid &&
                c->gid == o->sgid && c->gid == o->gid && !(o->permitted & ~c->permitted);
    cred_put(o);
    struct mm *mm = task_get_mm(other);
    bool dumpable = mm && atomic_load(&mm->dumpable) == 1;
    mm_put(mm);
    return (same && dumpable) || capable(t, CAP_SYS_PTRACE) ? 0 : -EPERM;
}

int64_t sys_pidfd_getfd(struct task *t, int pidfd, int fd, uint32_t flags)
{
    struct kernel *k = t->kernel;
    if (flags)
        return -EINVAL;
    struct thread_group *g = pidfd_get_group(t, pidfd, NULL);
    if (!g)
        return -EBADF;
    lock_take(&k->tasks_lock);
    struct task *leader = g->pgrp && !g->dead ? task_ref(g->leader) : NULL;
    lock_release(&k->tasks_lock);
    int64_t ret = leader ? task_may_attach(t, leader) : -ESRCH;
    struct fd_table *table = ret == 0 ? task_get_files(leader) : NULL;
    if (ret == 0) {
        struct file *f = table && fd >= 0 ? fd_table_get(table, (uint32_t)fd) : NULL;
        ret = !table ? -ESRCH : f ? fd_install(t, f, true, 0) : -EBADF;
        if (f && ret < 0)
            file_unref(f);
    }
    if (table)
        fd_table_unref(table);
    task_unref(leader);
    thread_group_unref(g);
    return ret;
}

// ---- kcmp(2) ----

enum {
    KCMP_FILE,
    KCMP_VM,
    KCMP_FILES,
    KCMP_FS,
    KCMP_SIGHAND,
    KCMP_IO,
    KCMP_SYSVSEM,
    KCMP_EPOLL_TFD
};

// An order that shows nothing of the addresses: both are hashed with a key of the sandbox.
static int64_t compare(struct kernel *k, const void *a, const void *b)
{
    if (a == b)
        return 0;
    uint64_t x = siphash(&k->hash_key, &a, sizeof(a)), y = siphash(&k->hash_key, &b, sizeof(b));
    return x < y ? 1 : 2;
}

static int64_t compare_files(struct kernel *k, struct task *a, uint64_t fd_a, struct task *b,
                             uint64_t fd_b)
{
    struct fd_table *ta = task_get_files(a), *tb = task_get_files(b);
    struct file *fa = ta && fd_a <= INT32_MAX ? fd_table_get(ta, (uint32_t)fd_a) : NULL;
    struct file *fb = tb && fd_b <= INT32_MAX ? fd_table_get(tb, (uint32_t)fd_b) : NULL;
    int64_t ret = fa && fb ? compare(k, fa, fb) : -EBADF;
    if (fa)
        file_unref(fa);
    if (fb)
        file_unref(fb);
    if (ta)
        fd_table_unref(ta);
    if (tb)
        fd_table_unref(tb);
    return ret;
}

static int64_t compare_tasks(struct task *a, struct task *b, int type, uint64_t idx1, uint64_t idx2)
{
    struct kernel *k = a->kernel;
    switch (type) {
    case KCMP_FILE:
        return compare_files(k, a, idx1, b, idx2);
    case KCMP_VM:
        return compare(k, a->mm, b->mm);
    case KCMP_FILES:
        return compare(k, a->files, b->files);
    case KCMP_FS:
        return compare(k, a->fs, b->fs);
    case KCMP_SIGHAND:
        return compare(k, a->group->sighand, b->group->sighand);
    case KCMP_IO:
        return 0; // nobody has an I/O context of its own
    case KCMP_SYSVSEM:
        return compare(k, a->sem_undo, b->sem_undo);
    case KCMP_EPOLL_TFD:
        return -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}

int64_t sys_kcmp(struct task *t, int pid1, int pid2, int type, uint64_t idx1, uint64_t idx2)
{
    struct task *a = task_find((uint32_t)pid1), *b = task_find((uint32_t)pid2);
    int64_t ret = a && b ? 0 : -ESRCH;
    if (ret == 0 && (task_may_attach(t, a) < 0 || task_may_attach(t, b) < 0))
        ret = -EPERM;
    if (ret == 0)
        ret = compare_tasks(a, b, type, idx1, idx2);
    task_unref(a);
    task_unref(b);
    return ret;
}
