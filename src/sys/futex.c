// futex(2) as far as it reaches the kernel: priority inheritance, and what the stub refused to
// answer because it is wrong. set_robust_list(2), get_robust_list(2).

#include <linux/futex.h>

#include "abi/capability.h"
#include "kernel/futex.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/process-int.h"
#include "sys/syscalls-gen.h"
#include "sys/time-int.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

// Absolute times, on the real-time clock or the monotonic one.
static int pi_deadline(struct task *t, uint64_t timeout, bool realtime, nsec_t *out)
{
    struct timespec_wire ts;
    nsec_t at;
    *out = NSEC_MAX;
    if (!timeout)
        return 0;
    if (copy_in_value(t, &ts, UADDR(timeout)) < 0)
        return -EFAULT;
    int ret = timespec_to_nsec(&ts, &at);
    if (ret == 0)
        *out = realtime ? deadline_after(MAX(at - clock_realtime(), 0)) : at;
    return ret;
}

static int64_t lock_pi(struct task *t, uint64_t addr, int op, uint64_t timeout, bool realtime,
                       bool try_only)
{
    struct pi_request r = {
        .addr = addr, .shared = !(op & FUTEX_PRIVATE_FLAG), .try_only = try_only};
    int ret = pi_deadline(t, try_only ? 0 : timeout, realtime, &r.deadline);
    return ret < 0 ? ret : pi_futex_lock(t, &r);
}

static int64_t requeue_pi(struct task *t, uint64_t addr, int op, uint32_t val, uint64_t timeout,
                          uint64_t addr2, uint32_t val3)
{
    struct pi_requeue r = {.condition = addr, .lock = addr2, .shared = !(op & FUTEX_PRIVATE_FLAG)};
    if ((op & FUTEX_CMD_MASK) == FUTEX_CMP_REQUEUE_PI) {
        if (val != 1 || (int32_t)(uint32_t)timeout < 0)
            return -EINVAL;
        r.most = (uint32_t)timeout; // a count in this call
        r.value = val3;
        return pi_futex_requeue(t, &r);
    }
    r.value = val;
    int ret = pi_deadline(t, timeout, op & FUTEX_CLOCK_REALTIME, &r.deadline);
    return ret < 0 ? ret : pi_futex_wait_requeue(t, &r);
}

// The stub answers plain waits and wakes itself. What it leaves is wrong in a way that has to be
// named, or unknown.
static int64_t refused(struct task *t, int command, uint64_t timeout)
{
    struct timespec_wire ts;
    nsec_t ns;
    if (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET)
        return -ENOSYS;
    if (timeout && copy_in_value(t, &ts, UADDR(timeout)) < 0)
        return -EFAULT;
    return timeout && timespec_to_nsec(&ts, &ns) < 0 ? -EINVAL : -ENOSYS;
}

int64_t sys_futex(struct task *t, uaddr_t uaddr, int op, uint32_t val, uint64_t timeout,
                  uaddr_t uaddr2, uint32_t val3)
{
    int command = op & FUTEX_CMD_MASK;
    bool realtime = op & FUTEX_CLOCK_REALTIME;
    if (realtime && command != FUTEX_WAIT_BITSET && command != FUTEX_WAIT_REQUEUE_PI &&
        command != FUTEX_LOCK_PI2)
        return -ENOSYS;
    switch (command) {
    case FUTEX_LOCK_PI: // its time is always of the real-time clock
        return lock_pi(t, uaddr.a, op, timeout, true, false);
    case FUTEX_LOCK_PI2:
        return lock_pi(t, uaddr.a, op, timeout, realtime, false);
    case FUTEX_TRYLOCK_PI:
        return lock_pi(t, uaddr.a, op, 0, false, true);
    case FUTEX_UNLOCK_PI:
        return pi_futex_unlock(t, uaddr.a, !(op & FUTEX_PRIVATE_FLAG));
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_CMP_REQUEUE_PI:
        return requeue_pi(t, uaddr.a, op, val, timeout, uaddr2.a, val3);
    default:
        return refused(t, command, timeout);
    }
}

int64_t sys_set_robust_list(struct task *t, uaddr_t head, uint64_t len)
{
    if (len != ROBUST_LIST_HEAD_SIZE)
        return -EINVAL;
    t->robust_list = head.a;
    return 0;
}

int64_t sys_get_robust_list(struct task *t, int pid, uaddr_t head, uaddr_t len)
{
    struct task *other = pid ? task_find((uint32_t)pid) : task_ref(t);
    if (!other)
        return -ESRCH;
    uint64_t at = other->robust_list, size = ROBUST_LIST_HEAD_SIZE;
    int ret = task_may_attach(t, other);
    task_unref(other);
    if (ret < 0)
        return ret;
    if (copy_out_value(t, len, &size) < 0)
        return -EFAULT;
    return copy_out_value(t, head, &at);
}
