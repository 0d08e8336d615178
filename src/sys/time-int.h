// Conversions between wire times and nanoseconds, for the system calls that take times.
#pragma once

#include "abi/time.h"
#include "base/types.h"
#include "mm/copy.h"

// Nanoseconds of a time; what does not fit is "for ever" (NSEC_MAX - 1). -EINVAL for a time that
// isn't normalised or lies before the epoch.
static inline int timespec_to_nsec(const struct timespec_wire *ts, nsec_t *out)
{
    if (ts->sec < 0 || ts->nsec < 0 || ts->nsec >= NSEC_PER_SEC)
        return -EINVAL;
    *out = ts->sec > (NSEC_MAX - 1) / NSEC_PER_SEC - 1 ? NSEC_MAX - 1
                                                       : ts->sec * NSEC_PER_SEC + ts->nsec;
    return 0;
}

static inline int timeval_to_nsec(const struct timeval_wire *tv, nsec_t *out)
{
    if (tv->usec < 0 || tv->usec >= 1000000)
        return -EINVAL;
    struct timespec_wire ts = {tv->sec, tv->usec * 1000};
    return timespec_to_nsec(&ts, out);
}

static inline struct timespec_wire timespec_from_nsec(nsec_t ns)
{
    return (struct timespec_wire){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};
}

// Rounded up by `up`, as interval timers do it, so that what is left of one never reads as zero.
static inline struct timeval_wire timeval_from_nsec(nsec_t ns, bool up)
{
    if (up && ns < NSEC_MAX - 1000)
        ns += 999;
    return (struct timeval_wire){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000};
}

// A deadline on CLOCK_MONOTONIC, `ns` from now.
nsec_t deadline_after(nsec_t ns);
// Reads a timespec that is a time-out: *deadline is NSEC_MAX for a null address. 0, -EFAULT,
// -EINVAL.
int copy_in_timeout(struct task *t, uaddr_t addr, nsec_t *deadline);
