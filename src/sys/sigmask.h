// Signal masks that hold for one call: ppoll, pselect6, epoll_pwait.
#pragma once

#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/copy.h"

// Installs the mask at `mask` (null: none) until the call has ended. 0, -EINVAL, -EFAULT.
static inline int sigmask_begin(struct task *t, uaddr_t mask, uint64_t size)
{
    uint64_t set;
    if (!mask.a)
        return 0;
    if (size != sizeof(set))
        return -EINVAL;
    if (copy_in_value(t, &set, mask) < 0)
        return -EFAULT;
    signal_set_temporary_mask(t, set & ~SIG_UNBLOCKABLE);
    return 0;
}

// The call has ended. Interrupted: the mask stays for the handler, whose end (or lack) restores it.
static inline void sigmask_end(struct task *t, bool interrupted)
{
    if (interrupted || !t->restore_blocked)
        return;
    t->restore_blocked = false;
    signal_set_blocked(t, t->saved_blocked);
}
