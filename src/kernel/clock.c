// Clocks: what a guest's clock ids mean. Fixed clocks are the host's own, read through the vDSO (no
// host call); CPU clocks are made from the accounts of guest tasks (cpu-timer.c).
//
// DEVIATION: CLOCK_BOOTTIME counts from the host's boot, not the sandbox's; CLOCK_TAI is
// CLOCK_REALTIME plus what the host says.

#include <time.h>

#include "host/host.h"
#include "kernel/timer-int.h"

nsec_t clock_monotonic(void)
{
    return host_now();
}

nsec_t clock_realtime(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

bool clock_is_fixed(int id)
{
    switch (id) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
    case CLOCK_TAI:
        return true;
    default:
        return false;
    }
}

bool clock_is_cpu(int id)
{
    return id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_THREAD_CPUTIME_ID ||
           (id < 0 && CPU_CLOCK_WHICH(id) <= CPU_CLOCK_SCHED);
}

int clock_read(int id, nsec_t *out)
{
    if (clock_is_cpu(id))
        return cpu_clock_read(id, out);
    if (!clock_is_fixed(id))
        return -EINVAL;
    struct timespec ts;
    int host = id == CLOCK_REALTIME_ALARM   ? CLOCK_REALTIME
               : id == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME
                                            : id;
    if (clock_gettime(host, &ts) != 0)
        return -EINVAL;
    *out = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
    return 0;
}
