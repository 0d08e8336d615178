// Processes and threads: their ids, birth, end, waiting for them, process groups and sessions.
//
// DEVIATION: clone3's CLONE_INTO_CGROUP is refused (EOPNOTSUPP): there are no cgroups to name.

#include <linux/sched.h>
#include <sys/wait.h>

#include "abi/capability.h"
#include "abi/time.h"
#include "kernel/reap.h"
#include "kernel/session.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "platform/platform.h"
#include "sys/process-int.h"
#include "sys/syscalls-gen.h"

// ---- Ids ----

int64_t sys_getpid(struct task *t)
{
    return t->group->tgid;
}

int64_t sys_gettid(struct task *t)
{
    return t->tid;
}

int64_t sys_getppid(struct task *t)
{
    struct kernel *k = t->kernel;
    lock_take(&k->tasks_lock);
    int64_t ppid = t->group->parent ? t->group->parent->tgid : 0;
    lock_release(&k->tasks_lock);
    return ppid;
}

int64_t sys_set_tid_address(struct task *t, uaddr_t addr)
{
    t->clear_child_tid = addr.a;
    return t->tid;
}

int64_t sys_setpgid(struct task *t, int pid, int pgid)
{
    return thread_group_setpgid(t, pid, pgid);
}

int64_t sys_getpgid(struct task *t, int pid)
{
    return thread_group_query(t, pid, GROUP_QUERY_PGID);
}

int64_t sys_getpgrp(struct task *t)
{
    return thread_group_query(t, 0, GROUP_QUERY_PGID);
}

int64_t sys_setsid(struct task *t)
{
    return thread_group_setsid(t);
}

int64_t sys_getsid(struct task *t, int pid)
{
    return thread_group_query(t, pid, GROUP_QUERY_SID);
}

// ---- Birth ----

int64_t sys_fork(struct task *t)
{
    struct clone_request r = {.exit_signal = SIGCHLD};
    return task_clone(t, &r);
}

int64_t sys_vfork(struct task *t)
{
    struct clone_request r = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD};
    return task_clone(t, &r);
}

int64_t sys_clone(struct task *t, uint64_t flags, uint64_t stack, uaddr_t parent_tid,
                  uaddr_t child_tid, uint64_t tls)
{
    struct clone_request r = {
        .flags = (flags & 0xffffffff) & ~(uint64_t)CSIGNAL,
        .exit_signal = (int)(flags & CSIGNAL),
        .parent_tid = parent_tid,
        .child_tid = child_tid,
        .stack = stack,
        .tls = tls,
    };
    if (r.flags & CLONE_PIDFD) {
        // The one address has two uses here.
        if (r.flags & CLONE_PARENT_SETTID)
            return -EINVAL;
        r.pidfd = parent_tid;
    }
    return task_clone(t, &r);
}

struct clone_args_wire {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};
_Static_assert(sizeof(struct clone_args_wire) == 88, "struct clone_args is 88 bytes");
#define CLONE_ARGS_SIZE_VER0 64

static int copy_in_set_tid(struct task *t, const struct clone_args_wire *a, struct clone_request *r)
{
    int32_t tid;
    if ((a->set_tid == 0) != (a->set_tid_size == 0))
        return -EINVAL;
    if (a->set_tid_size == 0)
        return 0;
    if (a->set_tid_size > 1) // one level of PID namespaces
        return -EINVAL;
    if (copy_in(t, &tid, UADDR(a->set_tid), sizeof(tid)) < 0)
        return -EFAULT;
    if (tid <= 0 || tid >= PID_MAX)
        return -EINVAL;
    if (!capable(t, CAP_SYS_ADMIN) && !capable(t, CAP_CHECKPOINT_RESTORE))
        return -EPERM;
    r->set_tid = (uint32_t)tid;
    return 0;
}

int64_t sys_clone3(struct task *t, uaddr_t addr, uint64_t size)
{
    struct clone_args_wire a;
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    int ret = copy_in_struct(t, &a, sizeof(a), addr, size);
    if (ret < 0)
        return ret;
    struct clone_request r = {
        .flags = a.flags,
        .exit_signal = (int)(a.exit_signal & CSIGNAL),
        .pidfd = UADDR(a.pidfd),
        .child_tid = UADDR(a.child_tid),
        .parent_tid = UADDR(a.parent_tid),
        .tls = a.tls,
    };
    if (a.exit_signal & ~(uint64_t)CSIGNAL)
        return -EINVAL;
    if (r.exit_signal > SIGNAL_COUNT)
        return -EINVAL;
    if (a.flags & CLONE_INTO_CGROUP)
        return size >= sizeof(a) ? -EOPNOTSUPP : -EINVAL;
    ret = copy_in_set_tid(t, &a, &r);
    if (ret < 0)
        return ret;
    if (a.flags & ~(uint64_t)(0xffffffffu | CLONE_CLEAR_SIGHAND))
        return -EINVAL;
    if (a.flags & (CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME)))
        return -EINVAL;
    if ((a.flags & (CLONE_SIGHAND | CLONE_CLEAR_SIGHAND)) == (CLONE_SIGHAND | CLONE_CLEAR_SIGHAND))
        return -EINVAL;
    if ((a.flags & (CLONE_THREAD | CLONE_PARENT)) && a.exit_signal)
        return -EINVAL;
    if ((a.stack == 0) != (a.stack_size == 0))
        return -EINVAL;
    if (a.stack) {
        uint64_t top;
        if (__builtin_add_overflow(a.stack, a.stack_size, &top) || top > GUEST_ADDR_MAX)
            return -EINVAL;
        r.stack = top;
    }
    return task_clone(t, &r);
}

// ---- End ----

int64_t sys_exit(struct task *t, int status)
{
    task_exit(t, (status & 0xff) << 8);
}

int64_t sys_exit_group(struct task *t, int status)
{
    thread_group_exit(t->group, (status & 0xff) << 8);
    task_exit(t, (status & 0xff) << 8);
}

// ---- Waiting for children ----

void rusage_to_linux(const struct cpu_usage *u, struct rusage_wire *out)
{
    *out = (struct rusage_wire){
        .utime = {u->user / NSEC_PER_SEC, u->user % NSEC_PER_SEC / 1000},
        .stime = {u->system / NSEC_PER_SEC, u->system % NSEC_PER_SEC / 1000},
        .maxrss = (int64_t)(u->max_rss_bytes / 1024),
        .minflt = (int64_t)u->minor_faults,
        .majflt = (int64_t)u->major_faults,
        .inblock = (int64_t)u->in_blocks,
        .oublock = (int64_t)u->out_blocks,
        .nvcsw = (int64_t)u->voluntary_switches,
        .nivcsw = (int64_t)u->involuntary_switches,
    };
}

int64_t sys_wait4(struct task *t, int pid, uaddr_t status, int options, uaddr_t usage)
{
    struct wait_result res = {0};
    struct wait_request r = {.options = options | WEXITED};
    if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    if (pid > 0) {
        r.what = WAIT_FOR_PID;
        r.id = (uint32_t)pid;
    } else if (pid != -1) {
        r.what = WAIT_FOR_PGRP;
        r.id = pid ? (uint32_t)-pid : (uint32_t)thread_group_query(t, 0, GROUP_QUERY_PGID);
    }
    int64_t ret = task_wait(t, &r, &res);
    if (ret <= 0)
        return ret;
    if (status.a && copy_out_value(t, status, &res.status) < 0)
        return -EFAULT;
    if (usage.a) {
        struct rusage_wire w;
        rusage_to_linux(&res.usage, &w);
        if (copy_out_value(t, usage, &w) < 0)
            return -EFAULT;
    }
    return ret;
}

static int wait_target(struct task *t, int which, int id, struct wait_request *r)
{
    switch (which) {
    case P_ALL:
        return 0;
    case P_PID:
        r->what = WAIT_FOR_PID;
        r->id = (uint32_t)id;
        return id > 0 ? 0 : -EINVAL;
    case P_PGID:
        r->what = WAIT_FOR_PGRP;
        r->id = id ? (uint32_t)id : (uint32_t)thread_group_query(t, 0, GROUP_QUERY_PGID);
        return id >= 0 ? 0 : -EINVAL;
    case P_PIDFD: {
        bool nonblock = false;
        if (id < 0)
            return -EINVAL;
        r->what = WAIT_FOR_GROUP;
        r->group = pidfd_get_group(t, id, &nonblock);
        if (nonblock)
            r->options |= WNOHANG;
        return r->group ? 0 : -EBADF;
    }
    default:
        return -EINVAL;
    }
}

static int64_t copy_out_waited(struct task *t, bool found, const struct wait_result *res,
                               uaddr_t info, uaddr_t usage)
{
    if (usage.a && found) {
        struct rusage_wire w;
        rusage_to_linux(&res->usage, &w);
        if (copy_out_value(t, usage, &w) < 0)
            return -EFAULT;
    }
    if (!info.a)
        return 0;
    struct linux_siginfo si = {0};
    if (found) {
        si.signo = SIGCHLD;
        si.code = res->code;
        si.child.pid = (int32_t)res->pid;
        si.child.uid = res->uid;
        si.child.status = res->code == CLD_EXITED    ? WEXITSTATUS(res->status)
                          : res->code == CLD_STOPPED ? WSTOPSIG(res->status)
                          : res->code == CLD_KILLED  ? WTERMSIG(res->status)
                                                     : SIGCONT;
    }
    // Linux writes no more than these fields.
    return copy_out(t, info, &si, offsetof(struct linux_siginfo, child.pad));
}

int64_t sys_waitid(struct task *t, int which, int id, uaddr_t info, int options, uaddr_t usage)
{
    struct wait_request r = {.options = options};
    struct wait_result res = {0};
    if (options &
        ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    int ret = wait_target(t, which, id, &r);
    if (ret < 0)
        return ret;
    int64_t pid = task_wait(t, &r, &res);
    bool by_pidfd = r.what == WAIT_FOR_GROUP;
    if (by_pidfd)
        thread_group_unref(r.group);
    // A pidfd with O_NONBLOCK says so itself.
    if (pid == 0 && by_pidfd && !(options & WNOHANG))
        return -EAGAIN;
    return pid < 0 ? pid : copy_out_waited(t, pid > 0, &res, info, usage);
}
