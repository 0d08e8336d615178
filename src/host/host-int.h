// How a wrapper enters the host: counts, consults the fault plan of test builds, calls.
#pragma once

#include "host/host.h"
#include "host/syscall.h"
#include <stdatomic.h>
#include <sys/syscall.h>

// The one thing in this layer that changes after start: counters, which no decision depends on.
struct host_state {
    bool counting;
    _Atomic uint64_t calls[HOST_CALL_COUNT];
#ifdef CAISSON_FAULTS
    _Atomic uint64_t fault_left; // calls until the plan fires; 0: no plan
    enum host_call_id fault_call;
    long fault_result;
#endif
};
extern struct host_state host_state;

#ifdef CAISSON_FAULTS
bool host_fault_fires(enum host_call_id call);
#endif

static inline long host_enter(enum host_call_id call, long nr, long a, long b, long c, long d,
                              long e, long f)
{
    if (unlikely(host_state.counting))
        atomic_fetch_add_explicit(&host_state.calls[call], 1, memory_order_relaxed);
#ifdef CAISSON_FAULTS
    if (unlikely(host_fault_fires(call)))
        return host_state.fault_result;
#endif
    return host_syscall6(nr, a, b, c, d, e, f);
}

#define HOST_ENTER6(name, a, b, c, d, e, f)                                              \
    host_enter(HOST_CALL_##name, SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), \
               (long)(e), (long)(f))
#define HOST_ENTER5(name, a, b, c, d, e) HOST_ENTER6(name, a, b, c, d, e, 0)
#define HOST_ENTER4(name, a, b, c, d)    HOST_ENTER6(name, a, b, c, d, 0, 0)
#define HOST_ENTER3(name, a, b, c)       HOST_ENTER6(name, a, b, c, 0, 0, 0)
#define HOST_ENTER2(name, a, b)          HOST_ENTER6(name, a, b, 0, 0, 0, 0)
#define HOST_ENTER1(name, a)             HOST_ENTER6(name, a, 0, 0, 0, 0, 0)
#define HOST_ENTER0(name)                HOST_ENTER6(name, 0, 0, 0, 0, 0, 0)
