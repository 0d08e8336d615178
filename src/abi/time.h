// Time structures as guests see them, 64-bit architectures.
#pragma once

#include <stdint.h>

struct timespec_wire {
    int64_t sec, nsec;
};
struct timeval_wire {
    int64_t sec, usec;
};
struct itimerspec_wire {
    struct timespec_wire interval, value;
};
struct itimerval_wire {
    struct timeval_wire interval, value;
};
struct tms_wire {
    int64_t utime, stime, cutime, cstime;
};
struct rusage_wire {
    struct timeval_wire utime, stime;
    int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv,
        nsignals, nvcsw, nivcsw;
};
_Static_assert(sizeof(struct rusage_wire) == 144, "struct rusage is 144 bytes");

struct sigevent_wire {
    uint64_t value;
    int32_t signo, notify;
    int32_t tid;
    int32_t pad[11];
};
_Static_assert(sizeof(struct sigevent_wire) == 64, "struct sigevent is 64 bytes");

struct timex_wire {
    uint32_t modes, pad0;
    int64_t offset, freq, maxerror, esterror;
    int32_t status, pad1;
    int64_t constant, precision, tolerance;
    struct timeval_wire time;
    int64_t tick, ppsfreq, jitter;
    int32_t shift, pad2;
    int64_t stabil, jitcnt, calcnt, errcnt, stbcnt;
    int32_t tai, pad3[11];
};
_Static_assert(sizeof(struct timex_wire) == 208, "struct timex is 208 bytes");
