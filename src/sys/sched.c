// Scheduling policies, their parameters, and affinity. Affinity is the host's; policies are kept,
// checked and shown, while the host schedules all guest threads as ordinary ones. Nice values:
// priority.c.
//
// DEVIATION: SCHED_FIFO and SCHED_RR have no effect on the host. SCHED_DEADLINE is refused
// (EINVAL).
//
// Locking: policy and priority are words of a task, written under tasks_lock; affinity is under
// task.lock.

#include <sched.h>
#include <sys/resource.h>

#include "abi/capability.h"
#include "abi/time.h"
#include "host/host.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "platform/platform.h"
#include "sys/syscalls-gen.h"

#ifndef SCHED_RESET_ON_FORK
#define SCHED_RESET_ON_FORK 0x40000000
#endif
#define SCHED_DEADLINE_NUMBER 6
#define AFFINITY_WORDS        16u

static bool is_realtime(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool is_known(int policy)
{
    return policy == SCHED_OTHER || is_realtime(policy) || policy == SCHED_BATCH ||
           policy == SCHED_IDLE;
}

// The task that pid names (0: the caller): a reference. NULL: -ESRCH.
static struct task *sched_target(struct task *t, int pid)
{
    return pid ? task_find((uint32_t)pid) : task_ref(t);
}

// May t change other? The effective user is the owner's, or CAP_SYS_NICE.
static bool may_change(struct task *t, struct task *other)
{
    if (capable(t, CAP_SYS_NICE))
        return true;
    struct cred *o = task_get_cred(other);
    bool same = t->cred->euid == o->euid || t->cred->euid == o->uid;
    cred_put(o);
    return same;
}

// ---- Policies ----

struct sched_request {
    int policy;
    int priority;
    int nice;
    bool set_nice, reset_on_fork, keep_policy, keep_params;
};

static int check_request(struct task *t, struct task *other, const struct sched_request *r)
{
    if (!is_known(r->policy))
        return -EINVAL;
    if (r->priority < 0 || r->priority > 99 || is_realtime(r->policy) != (r->priority != 0))
        return -EINVAL;
    if (capable(t, CAP_SYS_NICE))
        return 0;
    if (!may_change(t, other))
        return -EPERM;
    if (is_realtime(r->policy)) {
        uint64_t limit = task_rlimit(other, RLIMIT_RTPRIO);
        if (r->policy != other->sched_policy && !limit)
            return -EPERM;
        if (r->priority > other->sched_priority && (uint64_t)r->priority > limit)
            return -EPERM;
    }
    uint64_t nice_limit = task_rlimit(other, RLIMIT_NICE);
    if (r->set_nice && r->nice < other->nice && (uint64_t)(20 - r->nice) > nice_limit)
        return -EPERM;
    if (other->sched_policy == SCHED_IDLE && r->policy != SCHED_IDLE &&
        (uint64_t)(20 - other->nice) > nice_limit)
        return -EPERM;
    if (other->sched_reset_on_fork && !r->reset_on_fork)
        return -EPERM;
    return 0;
}

static int64_t apply(struct task *t, int pid, struct sched_request *r)
{
    struct kernel *k = t->kernel;
    struct task *other = sched_target(t, pid);
    if (!other)
        return -ESRCH;
    if (r->keep_policy) {
        r->policy = other->sched_policy;
        r->reset_on_fork = other->sched_reset_on_fork;
    }
    if (r->keep_params) {
        r->priority = other->sched_priority;
        r->set_nice = false;
    }
    int ret = check_request(t, other, r);
    if (ret == 0) {
        lock_take(&k->tasks_lock);
        other->sched_policy = r->policy;
        other->sched_priority = r->priority;
        other->sched_reset_on_fork = r->reset_on_fork;
        if (r->set_nice)
            other->nice = r->nice;
        lock_release(&k->tasks_lock);
    }
    task_unref(other);
    return ret;
}

int64_t sys_sched_setscheduler(struct task *t, int pid, int policy, uaddr_t param)
{
    int32_t priority;
    if (policy < 0 || pid < 0 || !param.a)
        return -EINVAL;
    if (copy_in_value(t, &priority, param) < 0)
        return -EFAULT;
    struct sched_request r = {.policy = policy & ~SCHED_RESET_ON_FORK,
                              .priority = priority,
                              .reset_on_fork = policy & SCHED_RESET_ON_FORK};
    return apply(t, pid, &r);
}

int64_t sys_sched_setparam(struct task *t, int pid, uaddr_t param)
{
    int32_t priority;
    if (pid < 0 || !param.a)
        return -EINVAL;
    if (copy_in_value(t, &priority, param) < 0)
        return -EFAULT;
    struct sched_request r = {.priority = priority, .keep_policy = true};
    return apply(t, pid, &r);
}

int64_t sys_sched_getscheduler(struct task *t, int pid)
{
    if (pid < 0)
        return -EINVAL;
    struct task *other = sched_target(t, pid);
    if (!other)
        return -ESRCH;
    int64_t ret = other->sched_policy | (other->sched_reset_on_fork ? SCHED_RESET_ON_FORK : 0);
    task_unref(other);
    return ret;
}

int64_t sys_sched_getparam(struct task *t, int pid, uaddr_t param)
{
    if (pid < 0 || !param.a)
        return -EINVAL;
    struct task *other = sched_target(t, pid);
    if (!other)
        return -ESRCH;
    int32_t priority = other->sched_priority;
    task_unref(other);
    return copy_out_value(t, param, &priority);
}

int64_t sys_sched_get_priority_max(struct task *t, int policy)
{
    if (is_realtime(policy))
        return 99;
    return is_known(policy) || policy == SCHED_DEADLINE_NUMBER ? 0 : -EINVAL;
}

int64_t sys_sched_get_priority_min(struct task *t, int policy)
{
    if (is_realtime(policy))
        return 1;
    return is_known(policy) || policy == SCHED_DEADLINE_NUMBER ? 0 : -EINVAL;
}

int64_t sys_sched_rr_get_interval(struct task *t, int pid, uaddr_t out)
{
    if (pid < 0)
        return -EINVAL;
    struct task *other = sched_target(t, pid);
    if (!other)
        return -ESRCH;
    int policy = other->sched_policy;
    task_unref(other);
    // Linux's defaults: 100 ms for round robin, none for FIFO, about a slice for the rest.
    struct timespec_wire ts = {0, policy == SCHED_RR     ? 100000000
                                  : policy == SCHED_FIFO ? 0
                                                         : 4000000};
    return copy_out_value(t, out, &ts);
}

struct sched_attr_wire {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};
_Static_assert(sizeof(struct sched_attr_wire) == 56, "struct sched_attr is 56 bytes");
#define SCHED_ATTR_SIZE_VER0 48
#define ATTR_RESET_ON_FORK   0x1ull
#define ATTR_KEEP_POLICY     0x8ull
#define ATTR_KEEP_PARAMS     0x10ull

static int copy_in_attr(struct task *t, uaddr_t addr, struct sched_attr_wire *a)
{
    uint32_t size;
    if (copy_in_value(t, &size, addr) < 0)
        return -EFAULT;
    if (size == 0)
        size = SCHED_ATTR_SIZE_VER0;
    int ret = -E2BIG;
    if (size >= SCHED_ATTR_SIZE_VER0 && size <= PAGE_SIZE)
        ret = copy_in_struct(t, a, sizeof(*a), addr, size);
    if (ret == -E2BIG) {
        size = sizeof(*a);
        return copy_out_value(t, addr, &size) < 0 ? -EFAULT : -E2BIG;
    }
    return ret;
}

int64_t sys_sched_setattr(struct task *t, int pid, uaddr_t attr, uint32_t flags)
{
    struct sched_attr_wire a;
    if (!attr.a || pid < 0 || flags)
        return -EINVAL;
    int ret = copy_in_attr(t, attr, &a);
    if (ret < 0)
        return ret;
    if ((int32_t)a.policy < 0 || a.priority > 99)
        return -EINVAL;
    if (a.flags & ~(ATTR_RESET_ON_FORK | ATTR_KEEP_POLICY | ATTR_KEEP_PARAMS))
        return -EINVAL;
    struct sched_request r = {
        .policy = (int)a.policy,
        .priority = (int)a.priority,
        .nice = MIN(MAX(a.nice, -20), 19),
        .set_nice = a.policy == SCHED_OTHER || a.policy == SCHED_BATCH,
        .reset_on_fork = a.flags & ATTR_RESET_ON_FORK,
        .keep_policy = a.flags & ATTR_KEEP_POLICY,
        .keep_params = a.flags & ATTR_KEEP_PARAMS,
    };
    return apply(t, pid, &r);
}

int64_t sys_sched_getattr(struct task *t, int pid, uaddr_t attr, uint32_t size, uint32_t flags)
{
    if (!attr.a || pid < 0 || size > PAGE_SIZE || size < SCHED_ATTR_SIZE_VER0 || flags)
        return -EINVAL;
    struct task *other = sched_target(t, pid);
    if (!other)
        return -ESRCH;
    uint32_t bytes = MIN(size, (uint32_t)sizeof(struct sched_attr_wire));
    struct sched_attr_wire a = {
        .size = bytes,
        .policy = (uint32_t)other->sched_policy,
        .flags = other->sched_reset_on_fork ? ATTR_RESET_ON_FORK : 0,
        .nice = is_realtime(other->sched_policy) ? 0 : other->nice,
        .priority = (uint32_t)other->sched_priority,
        .util_max = 1024,
    };
    task_unref(other);
    return copy_out(t, attr, &a, bytes);
}

int64_t sys_sched_yield(struct task *t)
{
    (void)host_sched_yield();
    return 0;
}

// ---- Affinity ----

static uint32_t cpu_count(const struct kernel *k)
{
    return MIN(MAX(k->cpu_count, 1u), 64 * AFFINITY_WORDS);
}

static uint64_t possible_cpus(const struct kernel *k, uint32_t word)
{
    uint32_t cpus = cpu_count(k);
    if (cpus >= 64 * (word + 1))
        return ~0ull;
    return cpus > 64 * word ? BIT(cpus - 64 * word) - 1 : 0;
}

int64_t sys_sched_setaffinity(struct task *t, int pid, uint64_t len, uaddr_t mask)
{
    uint64_t words[AFFINITY_WORDS] = {0}, any = 0;
    if (copy_in(t, words, mask, MIN(len, sizeof(words))) < 0)
        return -EFAULT;
    struct task *other = sched_target(t, pid);
    if (!other)
        return -ESRCH;
    for (uint32_t i = 0; i < AFFINITY_WORDS; i++)
        any |= words[i] &= possible_cpus(t->kernel, i);
    int ret = !may_change(t, other) ? -EPERM : any ? 0 : -EINVAL;
    if (ret == 0) {
        lock_take(&other->lock);
        memcpy(other->affinity, words, sizeof(words));
        if (other->pt)
            ret = platform_set_affinity(other->pt, words, sizeof(words));
        lock_release(&other->lock);
    }
    task_unref(other);
    return ret;
}

int64_t sys_sched_getaffinity(struct task *t, int pid, uint64_t len, uaddr_t mask)
{
    uint64_t words[AFFINITY_WORDS], bytes = (cpu_count(t->kernel) + 63) / 64 * 8;
    if (len < bytes || (len & 7))
        return -EINVAL;
    struct task *other = sched_target(t, pid);
    if (!other)
        return -ESRCH;
    lock_take(&other->lock);
    memcpy(words, other->affinity, sizeof(words));
    lock_release(&other->lock);
    task_unref(other);
    int ret = copy_out(t, mask, words, bytes);
    return ret < 0 ? ret : (int64_t)bytes;
}

int64_t sys_getcpu(struct task *t, uaddr_t cpu, uaddr_t node)
{
    // The guest's thread and its kernel thread are kept on one CPU: this one is as good an answer
    // as any by the time that it is read.
    uint32_t here = (uint32_t)MAX(sched_getcpu(), 0), zero = 0;
    if (cpu.a && copy_out_value(t, cpu, &here) < 0)
        return -EFAULT;
    return node.a && copy_out_value(t, node, &zero) < 0 ? -EFAULT : 0;
}
