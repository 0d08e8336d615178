// The load averages of /proc/loadavg and sysinfo(2).
//
// Nobody samples: an idle sandbox does nothing. A reader brings the averages up to date. For the time since the last reading the
// load is the CPU time that was used, which is what it is as long as nobody has to queue for a CPU; who is found runnable now
// counts for the last interval.
#include "kernel/load.h"

#include <stdatomic.h>

#include "kernel/task.h"
#include "platform/platform.h"

#define INTERVAL (5 * NSEC_PER_SEC)
#define FIXED_SHIFT 11 // as Linux's FSHIFT
#define FIXED_ONE (1ull << FIXED_SHIFT)

bool task_is_runnable(struct task *t)
{
    uint32_t state = atomic_load(&t->state);
    if (state != TASK_RUNNING)
        return false;
    lock_take(&t->lock);
    bool waits = t->pt && platform_thread_waits(t->pt);
    lock_release(&t->lock);
    return !waits;
}

void kernel_activity(struct kernel *k, struct kernel_activity *out)
{
    struct task *t;
    *out = (struct kernel_activity){0};
    lock_take(&k->tasks_lock);
    list_for_each(t, &k->tasks, all_node)
    {
        struct cpu_usage one;
        out->running += task_is_runnable(t);
        if (t->group->leader != t)
            continue;
        thread_group_times_locked(t->group, &one);
        cpu_usage_add(&out->used, &one);
        cpu_usage_add(&out->used, &t->group->dead_children);
    }
    lock_release(&k->tasks_lock);
}

// base to the power of n, both fixed-point but n.
static uint64_t fixed_power(uint64_t base, uint64_t n)
{
    uint64_t result = FIXED_ONE;
    for (; n; n >>= 1) {
        if (n & 1)
            result = (result * base + FIXED_ONE / 2) >> FIXED_SHIFT;
        base = (base * base + FIXED_ONE / 2) >> FIXED_SHIFT;
    }
    return result;
}

// n intervals at `active`.
static void advance(uint64_t average[3], uint64_t n, uint64_t active)
{
    static const uint64_t decay[3] = {1884, 2014, 2037}; // exp(-5 s / 1, 5, 15 min)
    for (int i = 0; i < 3; i++) {
        uint64_t keep = fixed_power(decay[i], n);
        average[i] = (average[i] * keep + active * (FIXED_ONE - keep)) >> FIXED_SHIFT;
    }
}

void kernel_load(struct kernel *k, const struct kernel_activity *now, uint64_t average[3])
{
    nsec_t time = clock_monotonic(), cpu = now->used.user + now->used.system;
    uint64_t others = now->running > 1 ? (now->running - 1) * FIXED_ONE : 0; // without the reader
    lock_take(&k->misc_lock);
    if (!k->load.time)
        k->load.time = k->boot_monotonic;
    nsec_t passed = time - k->load.time;
    if (passed >= INTERVAL) {
        uint64_t used = (uint64_t)MAX(cpu - k->load.cpu, 0);
        uint64_t active = used * FIXED_ONE / (uint64_t)passed;
        uint64_t n = (uint64_t)(passed / INTERVAL);
        advance(k->load.average, n - 1, active);
        advance(k->load.average, 1, MAX(active, others));
        k->load.time += (nsec_t)n * INTERVAL;
        k->load.cpu = cpu;
    }
    memcpy(average, k->load.average, sizeof(k->load.average));
    lock_release(&k->misc_lock);
    for (int i = 0; i < 3; i++)
        average[i] <<= 16 - FIXED_SHIFT;
}
