// Counters of host calls, and the fault plan of test builds.

#include "host/host-int.h"

struct host_state host_state;

void host_counts_enable(void)
{
    host_state.counting = true;
}

void host_counts_get(struct host_counts *out)
{
    for (int i = 0; i < HOST_CALL_COUNT; i++)
        out->calls[i] = atomic_load_explicit(&host_state.calls[i], memory_order_relaxed);
}

#ifdef CAISSON_FAULTS
bool host_fault_plan(enum host_call_id call, uint64_t nth, long result)
{
    bool fired = atomic_load_explicit(&host_state.fault_left, memory_order_acquire) == 0;
    host_state.fault_call = call;
    host_state.fault_result = result;
    atomic_store_explicit(&host_state.fault_left, nth, memory_order_release);
    return fired;
}

bool host_fault_fires(enum host_call_id call)
{
    if (likely(atomic_load_explicit(&host_state.fault_left, memory_order_acquire) == 0) ||
        call != host_state.fault_call)
        return false;
    return atomic_fetch_sub_explicit(&host_state.fault_left, 1, memory_order_acq_rel) == 1;
}
#endif
