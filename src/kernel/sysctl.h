// Limits that /proc/sys shows and, for the most part, root may change.
#pragma once

#include "base/types.h"

struct kernel;

enum sysctl_id {
    SYSCTL_PIPE_MAX_SIZE,
    SYSCTL_PIPE_USER_PAGES_SOFT,
    SYSCTL_PIPE_USER_PAGES_HARD,
    SYSCTL_EPOLL_MAX_USER_WATCHES,
    SYSCTL_INOTIFY_MAX_QUEUED_EVENTS,
    SYSCTL_INOTIFY_MAX_USER_INSTANCES,
    SYSCTL_INOTIFY_MAX_USER_WATCHES,
    SYSCTL_SOMAXCONN,
    SYSCTL_RMEM_DEFAULT,
    SYSCTL_RMEM_MAX,
    SYSCTL_WMEM_DEFAULT,
    SYSCTL_WMEM_MAX,
    SYSCTL_UNIX_MAX_DGRAM_QLEN,
    SYSCTL_SHMMAX,
    SYSCTL_SHMALL,
    SYSCTL_SHMMNI,
    SYSCTL_SEMMSL, // the four of kernel/sem
    SYSCTL_SEMMNS,
    SYSCTL_SEMOPM,
    SYSCTL_SEMMNI,
    SYSCTL_MSGMAX,
    SYSCTL_MSGMNB,
    SYSCTL_MSGMNI,
    SYSCTL_OVERCOMMIT_MEMORY, // 0 or 1
    SYSCTL_OVERCOMMIT_RATIO,
    SYSCTL_SWAPPINESS,
    SYSCTL_COUNT
};

struct sysctl_info {
    const char *path; // below /proc/sys; several values of one path are shown in one line
    uint64_t initial, min, max;
};
extern const struct sysctl_info sysctl_table[SYSCTL_COUNT];

uint64_t sysctl_get(struct kernel *k, enum sysctl_id id);
int sysctl_set(struct kernel *k, enum sysctl_id id, uint64_t value); // 0 or -EINVAL
