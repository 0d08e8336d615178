// What the generated host-calls.c needs, and shares with filter.c.
#pragma once

#include "base/types.h"
#include "host/filter.h"
#include "host/host-calls.h"
#include "host/host.h"
#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/falloc.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__x86_64__)
#define HOST_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define HOST_ARCH AUDIT_ARCH_AARCH64
#endif

#define HOST_NUMBER_OFFSET offsetof(struct seccomp_data, nr)
#define HOST_ARCH_OFFSET   offsetof(struct seccomp_data, arch)
// Little-endian hosts only.
#define HOST_ARG_LOW(n)  (offsetof(struct seccomp_data, args) + 8 * (n))
#define HOST_ARG_HIGH(n) (HOST_ARG_LOW(n) + 4)

// Constants that the build machine's headers may not have yet.
#define HOST_MADV_POPULATE_READ  22
#define HOST_MADV_POPULATE_WRITE 23
#define HOST_NOTIF_SET_FLAGS     SECCOMP_IOW(4, uint64_t)

#define HOST_FALLOC_PUNCH     (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define HOST_FALLOC_ZERO_KEEP (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)
#define HOST_SEND_REFUSED     ~(uint32_t)(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | MSG_MORE)
#define HOST_RECV_REFUSED \
    ~(uint32_t)(MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC | MSG_PEEK | MSG_WAITALL)
#define HOST_WAIT_REFUSED ~(uint32_t)(WNOHANG | WUNTRACED | WCONTINUED | __WALL | __WCLONE)
#define HOST_RWF_REFUSED  ~(uint32_t)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)

enum { HOST_RULE_VALUES = 16 };

struct host_rule {
    uint16_t number;
    int8_t arg; // -1: no condition
    uint8_t value_count;
    uint64_t mask;
    uint32_t values[HOST_RULE_VALUES];
};

struct host_filter {
    const struct sock_filter *program;
    uint32_t count;
    const struct host_rule *rules;
    uint32_t rule_count;
};

extern const struct host_filter host_filters[HOST_FILTER_COUNT];
