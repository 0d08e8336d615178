// Limits, usage and what the system says of itself: getrlimit(2), getrusage(2), times(2),
// sysinfo(2), uname(2), host names.

#include <sys/resource.h>
#include <time.h>

#include "abi/capability.h"
#include "abi/uts.h"
#include "kernel/load.h"
#include "kernel/rlimit.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/memfile.h"
#include "mm/mm.h"
#include "sys/process-int.h"
#include "sys/syscalls-gen.h"

struct rlimit_wire {
    uint64_t soft, hard;
};

static int64_t change(struct task *t, struct thread_group *g, uint32_t resource,
                      const struct rlimit_wire *w, struct rlimit_value *old)
{
    struct rlimit_value v = {w->soft, w->hard};
    return rlimit_set(t, g, (int)resource, &v, old);
}

int64_t sys_getrlimit(struct task *t, uint32_t resource, uaddr_t out)
{
    struct rlimit_value v;
    if (resource >= RLIMIT_COUNT)
        return -EINVAL;
    rlimit_get(t->group, (int)resource, &v);
    struct rlimit_wire w = {v.soft, v.hard};
    return copy_out_value(t, out, &w);
}

int64_t sys_setrlimit(struct task *t, uint32_t resource, uaddr_t in)
{
    struct rlimit_wire w;
    if (copy_in_value(t, &w, in) < 0)
        return -EFAULT;
    return resource < RLIMIT_COUNT ? change(t, t->group, resource, &w, NULL) : -EINVAL;
}

// Another process's limits: all its ids are the caller's real ones, or CAP_SYS_RESOURCE.
static int may_limit(struct task *t, struct task *other)
{
    if (t->group == other->group)
        return 0;
    const struct cred *c = t->cred;
    struct cred *o = task_get_cred(other);
    bool same = c->uid == o->euid && c->uid == o->suid && c->uid == o->uid && c->gid == o->egid &&
                c->gid == o->sgid && c->gid == o->gid;
    cred_put(o);
    return same || capable(t, CAP_SYS_RESOURCE) ? 0 : -EPERM;
}

int64_t sys_prlimit64(struct task *t, int pid, uint32_t resource, uaddr_t in, uaddr_t out)
{
    struct rlimit_wire w = {0};
    struct rlimit_value old;
    if (resource >= RLIMIT_COUNT)
        return -EINVAL;
    if (in.a && copy_in_value(t, &w, in) < 0)
        return -EFAULT;
    struct task *other = pid ? task_find((uint32_t)pid) : task_ref(t);
    if (!other)
        return -ESRCH;
    int64_t ret = may_limit(t, other);
    if (ret == 0) {
        if (in.a)
            ret = change(t, other->group, resource, &w, &old);
        else
            rlimit_get(other->group, (int)resource, &old);
    }
    task_unref(other);
    if (ret < 0 || !out.a)
        return ret;
    w = (struct rlimit_wire){old.soft, old.hard};
    return copy_out_value(t, out, &w);
}

// ---- Usage ----

int64_t sys_getrusage(struct task *t, int who, uaddr_t out)
{
    struct kernel *k = t->kernel;
    struct cpu_usage u;
    struct rusage_wire w;
    switch (who) {
    case RUSAGE_SELF:
        thread_group_times(t->group, &u);
        break;
    case RUSAGE_THREAD:
        task_account(t, &u);
        break;
    case RUSAGE_CHILDREN:
        lock_take(&k->tasks_lock);
        u = t->group->dead_children;
        lock_release(&k->tasks_lock);
        break;
    default:
        return -EINVAL;
    }
    if (who != RUSAGE_CHILDREN) {
        uint64_t faults = t->usage.minor_faults;
        task_measure_memory(t);
        u.minor_faults += t->usage.minor_faults - faults;
        u.max_rss_bytes = MAX(u.max_rss_bytes, t->usage.max_rss_bytes);
    }
    rusage_to_linux(&u, &w);
    return copy_out_value(t, out, &w);
}

#define TICK (NSEC_PER_SEC / 100) // USER_HZ

int64_t sys_times(struct task *t, uaddr_t out)
{
    if (out.a) {
        struct kernel *k = t->kernel;
        struct cpu_usage u, c;
        lock_take(&k->tasks_lock);
        thread_group_times_locked(t->group, &u);
        c = t->group->dead_children;
        lock_release(&k->tasks_lock);
        struct tms_wire w = {u.user / TICK, u.system / TICK, c.user / TICK, c.system / TICK};
        if (copy_out_value(t, out, &w) < 0)
            return -EFAULT;
    }
    return clock_monotonic() / TICK;
}

struct sysinfo_wire {
    int64_t uptime;
    uint64_t loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    uint16_t procs, pad;
    uint32_t pad2;
    uint64_t totalhigh, freehigh;
    uint32_t mem_unit, pad3;
};
_Static_assert(sizeof(struct sysinfo_wire) == 112, "struct sysinfo is 112 bytes");

int64_t sys_sysinfo(struct task *t, uaddr_t out)
{
    struct kernel *k = t->kernel;
    uint64_t shared = k->memfile ? memfile_total_bytes(k->memfile) : 0;
    struct kernel_activity now;
    nsec_t uptime = 0;
    (void)clock_read(CLOCK_BOOTTIME,
                     &uptime); // the clock that the guest reads by itself: the host's
    struct sysinfo_wire w = {
        .uptime = (uptime + NSEC_PER_SEC - 1) / NSEC_PER_SEC,
        .totalram = k->memory_limit,
        .freeram = k->memory_limit - MIN(shared, k->memory_limit),
        .sharedram = shared,
        .procs = (uint16_t)MIN(k->task_count, (uint32_t)UINT16_MAX),
        .mem_unit = 1,
    };
    kernel_activity(k, &now);
    kernel_load(k, &now, w.loads);
    return copy_out_value(t, out, &w);
}

// ---- Names ----

struct utsname_wire {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};

int64_t sys_uname(struct task *t, uaddr_t out)
{
    struct kernel *k = t->kernel;
    struct utsname_wire w = {.sysname = UTS_SYSNAME,
                             .release = UTS_RELEASE,
                             .version = UTS_VERSION,
                             .machine = UTS_MACHINE};
    lock_take(&k->misc_lock);
    memcpy(w.nodename, k->uts.nodename, sizeof(w.nodename));
    memcpy(w.domainname, k->uts.domainname, sizeof(w.domainname));
    lock_release(&k->misc_lock);
    return copy_out_value(t, out, &w);
}

static int64_t set_name(struct task *t, char field[65], uaddr_t name, int len)
{
    char buf[65] = {0};
    if (!capable(t, CAP_SYS_ADMIN))
        return -EPERM;
    if (len < 0 || len > 64)
        return -EINVAL;
    if (copy_in(t, buf, name, (uint64_t)len) < 0)
        return -EFAULT;
    lock_take(&t->kernel->misc_lock);
    memcpy(field, buf, sizeof(buf));
    lock_release(&t->kernel->misc_lock);
    return 0;
}

int64_t sys_sethostname(struct task *t, uaddr_t name, int len)
{
    return set_name(t, t->kernel->uts.nodename, name, len);
}

int64_t sys_setdomainname(struct task *t, uaddr_t name, int len)
{
    return set_name(t, t->kernel->uts.domainname, name, len);
}
