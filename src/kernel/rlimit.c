// Resource limits: setrlimit(2), prlimit(2). The limits themselves are enforced where the resource
// is.
//
// Locking: limit_lock for changes; a soft limit is read without, as one word.

#include <sys/resource.h>

#include "abi/capability.h"
#include "kernel/rlimit.h"
#include "kernel/task.h"
#include "kernel/timer-int.h"

#define NOFILE_MAX (1ull << 20) // sysctl fs.nr_open

uint64_t task_rlimit(const struct task *t, int resource)
{
    return __atomic_load_n(&t->group->limits[resource].soft, __ATOMIC_RELAXED);
}

void rlimit_get(struct thread_group *g, int resource, struct rlimit_value *out)
{
    lock_take(&g->limit_lock);
    *out = g->limits[resource];
    lock_release(&g->limit_lock);
}

int rlimit_set(struct task *t, struct thread_group *g, int resource,
               const struct rlimit_value *value, struct rlimit_value *old)
{
    if (value->soft > value->hard)
        return -EINVAL;
    if (resource == RLIMIT_NOFILE && value->hard > NOFILE_MAX)
        return -EPERM;
    int ret = 0;
    bool privileged = capable(t, CAP_SYS_RESOURCE);
    lock_take(&g->limit_lock);
    if (old)
        *old = g->limits[resource];
    if (value->hard > g->limits[resource].hard && !privileged) {
        ret = -EPERM;
    } else {
        g->limits[resource].hard = value->hard;
        __atomic_store_n(&g->limits[resource].soft, value->soft, __ATOMIC_RELAXED);
    }
    lock_release(&g->limit_lock);
    if (ret == 0 && resource == RLIMIT_CPU)
        cpu_limit_changed(g);
    return ret;
}
