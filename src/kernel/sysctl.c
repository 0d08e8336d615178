// Values of /proc/sys. Single atomic words in struct kernel, kept as the difference from their initial values so that a zeroed
// kernel has the defaults. Defaults and bounds are those of Linux 6.1.
#include "kernel/sysctl.h"

#include <stdatomic.h>

#include "kernel/kernel.h"

const struct sysctl_info sysctl_table[SYSCTL_COUNT] = {
    [SYSCTL_PIPE_MAX_SIZE] = {"fs/pipe-max-size", 1 << 20, PAGE_SIZE, 1u << 31},
    [SYSCTL_PIPE_USER_PAGES_SOFT] = {"fs/pipe-user-pages-soft", 16384, 0, UINT64_MAX},
    [SYSCTL_PIPE_USER_PAGES_HARD] = {"fs/pipe-user-pages-hard", 0, 0, UINT64_MAX},
    [SYSCTL_EPOLL_MAX_USER_WATCHES] = {"fs/epoll/max_user_watches", 1 << 20, 0, UINT32_MAX},
    [SYSCTL_INOTIFY_MAX_QUEUED_EVENTS] = {"fs/inotify/max_queued_events", 16384, 0, INT32_MAX},
    [SYSCTL_INOTIFY_MAX_USER_INSTANCES] = {"fs/inotify/max_user_instances", 128, 0, INT32_MAX},
    [SYSCTL_INOTIFY_MAX_USER_WATCHES] = {"fs/inotify/max_user_watches", 65536, 0, INT32_MAX},
    [SYSCTL_SOMAXCONN] = {"net/core/somaxconn", 4096, 0, INT32_MAX},
    [SYSCTL_RMEM_DEFAULT] = {"net/core/rmem_default", 212992, 2304, INT32_MAX},
    [SYSCTL_RMEM_MAX] = {"net/core/rmem_max", 212992, 2304, INT32_MAX},
    [SYSCTL_WMEM_DEFAULT] = {"net/core/wmem_default", 212992, 4608, INT32_MAX},
    [SYSCTL_WMEM_MAX] = {"net/core/wmem_max", 212992, 4608, INT32_MAX},
    [SYSCTL_UNIX_MAX_DGRAM_QLEN] = {"net/unix/max_dgram_qlen", 10, 0, INT32_MAX},
    [SYSCTL_SHMMAX] = {"kernel/shmmax", UINT64_MAX - (1 << 24), 0, UINT64_MAX},
    [SYSCTL_SHMALL] = {"kernel/shmall", UINT64_MAX - (1 << 24), 0, UINT64_MAX},
    [SYSCTL_SHMMNI] = {"kernel/shmmni", 4096, 0, 32768},
    [SYSCTL_SEMMSL] = {"kernel/sem", 32000, 0, INT32_MAX},
    [SYSCTL_SEMMNS] = {"kernel/sem", 1024000000, 0, INT32_MAX},
    [SYSCTL_SEMOPM] = {"kernel/sem", 500, 0, INT32_MAX},
    [SYSCTL_SEMMNI] = {"kernel/sem", 32000, 0, 32768},
    [SYSCTL_MSGMAX] = {"kernel/msgmax", 8192, 0, INT32_MAX},
    [SYSCTL_MSGMNB] = {"kernel/msgmnb", 16384, 0, INT32_MAX},
    [SYSCTL_MSGMNI] = {"kernel/msgmni", 32000, 0, 32768},
    [SYSCTL_OVERCOMMIT_MEMORY] = {"vm/overcommit_memory", 0, 0, 1},
    [SYSCTL_OVERCOMMIT_RATIO] = {"vm/overcommit_ratio", 50, 0, INT32_MAX},
    [SYSCTL_SWAPPINESS] = {"vm/swappiness", 60, 0, 200},
};

uint64_t sysctl_get(struct kernel *k, enum sysctl_id id)
{
    return atomic_load_explicit(&k->sysctl[id], memory_order_relaxed) ^ sysctl_table[id].initial;
}

int sysctl_set(struct kernel *k, enum sysctl_id id, uint64_t value)
{
    const struct sysctl_info *info = &sysctl_table[id];
    if (value < info->min || value > info->max)
        return -EINVAL;
    atomic_store_explicit(&k->sysctl[id], value ^ info->initial, memory_order_relaxed);
    return 0;
}
