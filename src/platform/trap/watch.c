// Stubs that do not answer. A guest can keep its thread from ever coming back: it may block the interrupt's signal, spin or sleep in
// stub text, or move the kernel's sleepers to words that nobody wakes.
//
// The pool's thread looks at all threads every WATCH_ROUND, as long as one is interrupted or condemned, and counts what it sees:
//   - interrupted, still in the guest, and its process has used much CPU time since: the stub is killed. By CPU time and
//     not by the clock, so that a stub that the host has stopped or starved is not taken for one that misbehaves;
//   - condemned (its task has to end), and the kernel's thread waits for it: so, too, and killed after some rounds even when it
//     sleeps. Rounds that a frozen sandbox does not live through don't count.
// A stub that was told to do something has its own limit (stub_is_late()).
//
// Locking: platform.lock; what is called watched_* belongs to the pool's thread.
#include <linux/futex.h>
#include <signal.h>

#include "base/log.h"
#include "host/host.h"
#include "platform/trap/trap-int.h"

#define CPU_TIME NSEC_PER_SEC // for each thread of the process
#define ROUNDS_ALONE 12       // when all of the process is condemned: nothing is lost
#define ROUNDS_SHARED 80      // when others live in the same address space

void watch_thread(struct platform_thread *pt, _Atomic bool *why)
{
    struct platform *p = pt->pm->p;
    atomic_store(why, true);
    if (atomic_exchange(&p->watching, 1))
        return;
    atomic_fetch_add(&p->pool_word, 1);
    host_futex(&p->pool_word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1 << 20, NULL, NULL, 0);
}

static nsec_t cpu_time(const struct platform_mm *pm)
{
    struct timespec ts;
    if (pm->reaped || !pm->pid || host_clock_gettime((clockid_t)(~pm->pid << 3 | 2), &ts) < 0)
        return 0;
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static bool all_condemned_locked(struct platform_mm *pm)
{
    struct platform_thread *pt;
    list_for_each(pt, &pm->threads, node)
        if (!atomic_load(&pt->condemned))
            return false;
    return true;
}

// Whether the thread has used up its time.
static bool is_over_locked(struct platform_thread *pt, bool condemned)
{
    struct platform_mm *pm = pt->pm;
    uint32_t progress = atomic_load_explicit(&pt->progress, memory_order_relaxed);
    nsec_t cpu = cpu_time(pm);
    if (pt->watched_rounds == 0 || progress != pt->watched_progress) {
        pt->watched_rounds = 1;
        pt->watched_progress = progress;
        pt->watched_cpu = cpu;
        return false;
    }
    pt->watched_rounds++;
    if (cpu - pt->watched_cpu > CPU_TIME * (pm->thread_count + 1))
        return true;
    return condemned && pt->watched_rounds > (all_condemned_locked(pm) ? ROUNDS_ALONE : ROUNDS_SHARED);
}

static bool look_at_locked(struct platform_mm *pm, bool *ret_more)
{
    struct platform_thread *pt;
    list_for_each(pt, &pm->threads, node) {
        bool condemned = atomic_load(&pt->condemned), in_guest = atomic_load(&pt->in_guest);
        if (!condemned && !atomic_load(&pt->interrupted))
            continue;
        if (!in_guest && !condemned) { // it has come back
            atomic_store(&pt->interrupted, false);
            pt->watched_rounds = 0;
            continue;
        }
        *ret_more = true;
        if (!in_guest && !atomic_load(&pt->waiter)) { // the kernel's own time
            pt->watched_rounds = 0;
            continue;
        }
        if (is_over_locked(pt, condemned))
            return true;
    }
    return false;
}

void watch_round(struct platform *p)
{
    struct platform_mm *pm;
    bool more = false;
    // Before the look: who is marked during it starts the next round.
    atomic_store(&p->watching, 0);
    lock_take(&p->lock);
    list_for_each(pm, &p->mms, node) {
        if (atomic_load(&pm->dead) || !look_at_locked(pm, &more))
            continue;
        // As platform_mm_kill(); the reaper finds it dead and rouses who waits for it.
        log_warn("a guest process did not answer an interrupt: killed");
        if (!pm->reaped && pm->pid)
            host_kill(pm->pid, SIGKILL);
    }
    lock_release(&p->lock);
    if (more)
        atomic_store(&p->watching, 1);
}

void stub_is_late(struct platform_thread *pt)
{
    struct platform_mm *pm = pt->pm;
    struct platform *p = pm->p;
    lock_take(&p->lock);
    bool stopped = pm->reaped || !pm->pid || host_is_stopped(pm->pid);
    lock_release(&p->lock);
    if (stopped || pt == p->zygote)
        return;
    log_warn("a guest process did not do what it was told: killed");
    platform_mm_kill(pm);
}
