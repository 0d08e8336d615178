// Stub processes and their threads: made by countersigned forks, ended by SIGKILL, reaped by one thread.
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/slab.h"
#include "host/host.h"
#include "platform/trap/trap-int.h"

#define FORK_FLAGS (CLONE_PARENT | CLONE_FILES | CLONE_PARENT_SETTID | SIGCHLD)
#define FORK_REPEATS 200
#define LOST_THREADS_MAX 100
#define THREAD_FLAGS                                                                                                   \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS)

// Frees what was made for a child that didn't come.
static void undo_child(struct platform_mm *pm, struct platform_thread *pt)
{
    struct platform *p = pm->p;
    (void)pt;
    lock_take(&p->lock);
    list_remove(&pm->node);
    lock_release(&p->lock);
    mm_release(pm);
}

static bool is_pending_child_locked(struct platform *p, int pid, const struct pending_fork *failed)
{
    struct pending_fork *fork;
    list_for_each(fork, &p->forks, node)
        if (fork != failed && *(volatile int *)&fork->parent->slot->child_tid == pid)
            return true;
    return false;
}

// A child may exist although its parent says that the clone failed: a process of the PID namespace that nobody knows and that no
// fork under way names is a ghost. It has no slot, so that it can do nothing but compute. Ids grow, so that a ghost's is
// near the highest one seen, or below. Returns whether there was one.
static bool kill_ghosts(struct platform *p, const struct pending_fork *failed)
{
    bool found = false;
    if (!p->zygote_info.own_pids) // the PID namespace is shared (tests): nobody else is ours to kill
        return false;
    lock_take(&p->lock);
    for (int pid = 2; pid <= p->pid_high + 4096; pid++) {
        if (pid % 256 == 0) {
            lock_release(&p->lock);
            lock_take(&p->lock);
        }
        // Threads, the kernel process's own among them, answer only beside their process's id.
        if (host_tgkill(pid, pid, 0) < 0 || tid_find_locked(p, pid) || is_pending_child_locked(p, pid, failed))
            continue;
        host_kill(pid, SIGKILL);
        found = true;
    }
    lock_release(&p->lock);
    return found;
}

void fork_settled_locked(struct pending_fork *fork, uint32_t state)
{
    atomic_store(&fork->state, state);
    host_futex(&fork->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

#define FORK_SPINS 2000
#define CHILD_TIME (10 * NSEC_PER_SEC) // for a child to come, once its parent says that it has made it

// Waits for the child's first call. FORK_PENDING: it does not come.
static uint32_t wait_for_child(struct pending_fork *fork)
{
    const struct timespec step = {0, 100000000};
    nsec_t waited = 0, last = host_now();
    uint32_t state;
    for (uint32_t i = 0; (state = atomic_load(&fork->state)) == FORK_PENDING && i < FORK_SPINS; i++)
        __builtin_ia32_pause();
    while ((state = atomic_load(&fork->state)) == FORK_PENDING && waited < CHILD_TIME &&
           !atomic_load(&fork->parent->pm->dead)) {
        host_futex(&fork->state, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, FORK_PENDING, &step, NULL, 0);
        nsec_t now = host_now();
        waited += MIN(now - last, NSEC_PER_SEC); // no more for a sandbox that was frozen
        last = now;
    }
    return state;
}

// Tells the parent to fork, until the clone has been made or has failed for a reason. The child may have come even when this
// fails.
static int tell_fork(struct platform_thread *parent, struct pending_fork *fork)
{
    struct platform *p = parent->pm->p;
    const uint64_t args[6] = {FORK_FLAGS, fork->args[5], fork->args[4], parent->slot_addr, SLOT_SIZE,
                              parent->slot_addr + offsetof(struct slot, child_tid)};
    for (int repeat = 0; repeat < FORK_REPEATS; repeat++) {
        *(volatile uint32_t *)&parent->slot->child_tid = 0;
        command_add(parent, COMMAND_FORK, args, true, 0, -1);
        int r = run_commands(parent, false);
        if (r == 0 || atomic_load(&fork->state) == FORK_COME)
            return 0;
        lock_take(&p->lock);
        bool answered = parent->permission_next > 0;
        lock_release(&p->lock);
        // The host may break a clone off for a signal after the answer, and then nothing was made. Or the parent lies.
        if (answered && kill_ghosts(p, fork)) {
            log_warn("a guest process reported a fork as failed that was made: killed");
            platform_mm_kill(parent->pm);
            return -ESRCH;
        }
        if (r != -EAGAIN || !answered)
            return r;
    }
    return -EAGAIN;
}

int fork_from(struct platform_thread *parent, struct platform_thread **ret)
{
    struct platform *p = parent->pm->p;
    // Processes that have been killed hold their ids until the host has taken them apart. Without a bound a fork bomb, whose
    // processes end as fast as they come, would take all of the host's.
    uint32_t limit = p->config.process_limit;
    if (limit && atomic_load(&p->mm_count) >= limit)
        return -EAGAIN;
    struct platform_mm *pm = mm_alloc(p);
    if (!pm)
        return -ENOMEM;
    struct platform_thread *pt = thread_alloc(pm, parent->slot_addr);
    if (!pt) {
        undo_child(pm, NULL);
        return -ENOMEM;
    }
    struct pending_fork fork = {.parent = parent,
                                .child = pt,
                                .args = {parent->slot_addr, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                         (uint64_t)p->zygote_info.slot_fd, pt->slot_index * SLOT_SIZE}};
    int r = platform_commit(parent);
    *(volatile uint32_t *)&parent->slot->child_tid = 0;
    lock_take(&p->lock);
    list_push_back(&p->forks, &fork.node);
    lock_release(&p->lock);
    if (r == 0)
        r = tell_fork(parent, &fork);
    uint32_t state = r == 0 ? wait_for_child(&fork) : atomic_load(&fork.state);
    lock_take(&p->lock);
    state = atomic_load(&fork.state);
    if (state == FORK_PENDING)
        list_remove(&fork.node);
    lock_release(&p->lock);
    if (state == FORK_COME) { // the child exists, whatever the parent says
        atomic_fetch_add_explicit(&p->counts.forks, 1, memory_order_relaxed);
        *ret = pt;
        return 0;
    }
    undo_child(pm, pt);
    if (state == FORK_PENDING && r == 0 && !atomic_load(&parent->pm->dead)) {
        log_warn("a guest process reported a fork that did not come: killed");
        platform_mm_kill(parent->pm);
        kill_ghosts(p, NULL);
    }
    return r == 0 || r == -ESRCH ? -EAGAIN : r;
}

int platform_fork(struct platform_thread *parent, struct platform_mm **ret_mm, struct platform_thread **ret_thread)
{
    platform_window_flush(parent);
    struct platform_thread *pt;
    uint32_t frame = parent->frame, fp = parent->fp, fp_size = parent->fp_size;
    struct slot_regs regs = parent->slot->regs;
    int r = fork_from(parent, &pt);
    if (r < 0)
        return r;
    if (frame) {
        copy_first_frame(pt, parent, frame, fp, fp_size);
    } else {
        pt->slot->regs = regs;
    }
    pt->fs_base = parent->fs_base;
    *ret_mm = pt->pm;
    *ret_thread = pt;
    return 0;
}

int platform_thread_create(struct platform_thread *creator, const struct guest_regs *regs, uint64_t clear_tid,
                           struct platform_thread **ret_thread)
{
    struct platform_mm *pm = creator->pm;
    struct platform *p = pm->p;
    platform_window_flush(creator);
    int r = platform_commit(creator);
    if (r < 0)
        return r;
    struct platform_thread *pt = thread_alloc(pm, 0);
    if (!pt)
        return -EAGAIN;
    pm->multi = true;
    bool mapped = pt->seen != 0;
    prepare_first_frame(pt, true);
    platform_set_regs(pt, regs);
    pt->fs_base = regs->fs_base;
    pt->clear_tid = clear_tid;
    if (!mapped) {
        uint64_t map[6] = {pt->slot_addr, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                           (uint64_t)p->zygote_info.slot_fd, pt->slot_index * SLOT_SIZE};
        command_add(creator, SYS_mmap, map, true, 0x3f, -1);
        uint64_t advise[6] = {pt->slot_addr, SLOT_SIZE, MADV_DONTFORK};
        command_add(creator, SYS_madvise, advise, false, 0, -1);
    }
    uint64_t args[6] = {THREAD_FLAGS | (clear_tid ? CLONE_CHILD_CLEARTID : 0), pt->slot->stack_top, clear_tid,
                        regs->fs_base, pt->slot_addr};
    command_add(creator, COMMAND_THREAD, args, true, 0, -1);
    uint32_t last = creator->command_count - 1;
    r = run_commands(creator, false);
    int tid = (int)creator->command[last].result;
    lock_take(&p->lock);
    // Its id is the creator's word: it has to be a thread of this very process that nobody else has.
    if (r == 0 && (tid <= 0 || tid_find_locked(p, tid) || host_tgkill(pm->pid, tid, 0) < 0))
        r = -EAGAIN;
    if (r == 0) {
        pt->tid = tid;
        tid_insert_locked(p, pt);
    } else if (creator->permission_next > 0 && ++pm->lost_threads > LOST_THREADS_MAX && !pm->reaped) {
        // A thread that was made all the same is counted nowhere.
        host_kill(pm->pid, SIGKILL);
    }
    lock_release(&p->lock);
    if (r < 0) {
        thread_retire(pt, false);
        return r == -ESRCH ? -EAGAIN : r;
    }
    *ret_thread = pt;
    return 0;
}

void platform_thread_exit(struct platform_thread *pt, uint64_t clear_tid)
{
    struct platform_mm *pm = pt->pm;
    platform_block(pt);
    if (atomic_load(&pm->dead) || pt->tid == pm->pid) {
        // A process's first thread stays parked while the process lives: its id names the process.
        if (clear_tid && !atomic_load(&pm->dead)) {
            uint32_t zero = 0;
            if (platform_write(pm, clear_tid, &zero, sizeof(zero)) == sizeof(zero) && pt->ready)
                platform_futex_wake(pt, clear_tid, 1, ~0u, true);
        }
        thread_retire(pt, false);
        return;
    }
    if (!make_ready(pt)) {
        thread_retire(pt, false);
        return;
    }
    platform_window_flush(pt);
    if (clear_tid != pt->clear_tid) {
        uint64_t args[6] = {clear_tid};
        command_add(pt, SYS_set_tid_address, args, true, 1, -1);
        if (run_commands(pt, false) < 0) {
            thread_retire(pt, false);
            return;
        }
    }
    uint64_t args[6] = {0};
    pt->command_count = 0;
    command_add(pt, COMMAND_EXIT, args, false, 0, -1);
    memcpy(pt->slot->command, pt->command, sizeof(pt->command[0]));
    send_reply(pt, REPLY_COMMANDS);
    thread_retire(pt, true);
}

int platform_mm_create(struct platform *p, struct platform_mm **ret_mm, struct platform_thread **ret_thread)
{
    struct platform_thread *pt = NULL;
    atomic_fetch_add_explicit(&p->counts.execs, 1, memory_order_relaxed);
    for (;;) {
        uint32_t word = atomic_load(&p->pool_word);
        lock_take(&p->lock);
        if (p->pool_count > 0)
            pt = p->pool[--p->pool_count];
        lock_release(&p->lock);
        if (pt && !atomic_load(&pt->pm->dead))
            break;
        if (pt) {
            platform_mm_destroy(pt->pm);
            pt = NULL;
            continue;
        }
        host_futex(&p->pool_word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, word, NULL, NULL, 0);
    }
    atomic_fetch_add(&p->pool_word, 1);
    host_futex(&p->pool_word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1 << 20, NULL, NULL, 0);
    prepare_first_frame(pt, false);
    *ret_mm = pt->pm;
    *ret_thread = pt;
    return 0;
}

void pool_main(struct platform *p)
{
    nsec_t watched = 0;
    for (;;) {
        uint32_t word = atomic_load(&p->pool_word);
        lock_take(&p->lock);
        bool full = p->pool_count == POOL_SIZE;
        lock_release(&p->lock);
        bool watching = atomic_load(&p->watching);
        if (watching && host_now() - watched >= WATCH_ROUND) {
            watch_round(p);
            watched = host_now();
        }
        if (full) {
            const struct timespec round = {0, WATCH_ROUND};
            host_futex(&p->pool_word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, word, watching ? &round : NULL, NULL, 0);
            continue;
        }
        struct platform_thread *pt;
        int r = fork_from(p->zygote, &pt);
        if (r < 0) {
            log_error("making a process for the guest failed: error %d", -r);
            struct timespec ts = {0, 50000000}; // the host is out of something: try again as long as it lasts
            host_clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
            continue;
        }
        lock_take(&p->lock);
        p->pool[p->pool_count++] = pt;
        lock_release(&p->lock);
        atomic_fetch_add(&p->pool_word, 1);
        host_futex(&p->pool_word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1 << 20, NULL, NULL, 0);
    }
}

// ---- Ends -------------------------------------------------------------------------------------------------------------

void platform_mm_kill(struct platform_mm *pm)
{
    struct platform *p = pm->p;
    lock_take(&p->lock);
    if (!pm->reaped && pm->pid) {
        struct timespec ts;
        if (!atomic_load(&pm->dead) && host_clock_gettime((clockid_t)(~pm->pid << 3 | 2), &ts) == 0)
            pm->final_time = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
        host_kill(pm->pid, SIGKILL);
    }
    atomic_store(&pm->dead, true);
    // Threads that wait for a word of it find it dead.
    struct platform_thread *pt;
    list_for_each(pt, &pm->threads, node) {
        host_futex(&pt->slot->request.seq, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
        uint32_t waiter = atomic_load(&pt->waiter);
        if (waiter)
            host_tgkill(1, (int)waiter, SIGUSR1);
    }
    lock_release(&p->lock);
}

void platform_mm_destroy(struct platform_mm *pm)
{
    struct platform *p = pm->p;
    platform_mm_kill(pm);
    lock_take(&p->lock);
    bool release = pm->reaped || pm->pid == 0;
    pm->destroyed = true;
    struct platform_thread *pt;
    list_for_each(pt, &pm->threads, node)
        platform_block(pt);
    if (release)
        list_remove(&pm->node);
    lock_release(&p->lock);
    if (release)
        mm_release(pm);
}

// A child that died before it came: told to who waits for it.
static void child_has_died_locked(struct platform *p, int pid)
{
    struct pending_fork *fork;
    list_for_each(fork, &p->forks, node) {
        if (*(volatile int *)&fork->parent->slot->child_tid != pid)
            continue;
        list_remove(&fork->node);
        fork_settled_locked(fork, FORK_DIED);
        return;
    }
}

// Threads of the kernel process that sleep for a word of a dead stub's are told again until they have noticed: one that is just
// about to sleep misses a signal, and a word that others can write proves nothing.
static void rouse_waiters(struct platform_mm *pm)
{
    struct platform *p = pm->p;
    for (;;) {
        bool any = false;
        struct platform_thread *pt;
        lock_take(&p->lock);
        list_for_each(pt, &pm->threads, node) {
            uint32_t waiter = atomic_load(&pt->waiter);
            if (!waiter)
                continue;
            any = true;
            host_tgkill(1, (int)waiter, SIGUSR1);
        }
        lock_release(&p->lock);
        if (!any)
            return;
        const struct timespec ts = {0, 200000};
        host_clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
    }
}

void reaper_main(struct platform *p)
{
    for (;;) {
        int pid = host_wait_any();
        if (pid == -EINTR)
            continue;
        if (pid < 0)
            panic("waiting for stubs: error %d", -pid);
        if (pid == p->zygote_info.pid)
            panic("the process that guests are made from was killed on the host");
        lock_take(&p->lock);
        struct platform_mm *pm = mm_take_pid_locked(p, pid);
        bool release = false;
        if (pm) {
            struct platform_thread *pt;
            atomic_store(&pm->dead, true);
            list_for_each(pt, &pm->threads, node) {
                __atomic_fetch_add(&pt->slot->request.seq, 0x40000000, __ATOMIC_SEQ_CST);
                host_futex(&pt->slot->request.seq, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
                uint32_t waiter = atomic_load(&pt->waiter);
                if (waiter)
                    host_tgkill(1, (int)waiter, SIGUSR1);
            }
            list_for_each(pt, &pm->ended, node) {
                if (pt->pinned_fd >= 0)
                    unpin_locked(p, pt->pinned_fd);
                pt->pinned_fd = -1;
            }
            lock_release(&p->lock);
            rouse_waiters(pm); // it isn't reaped, so that nobody frees it
            lock_take(&p->lock);
            list_for_each(pt, &pm->threads, node)
                tid_remove_locked(p, pt);
            list_for_each(pt, &pm->ended, node)
                tid_remove_locked(p, pt);
        } else {
            child_has_died_locked(p, pid);
        }
        int status;
        host_wait4(pid, &status, __WALL, NULL);
        if (pm) {
            pm->reaped = true;
            release = pm->destroyed;
            if (release)
                list_remove(&pm->node);
        }
        lock_release(&p->lock);
        if (release)
            mm_release(pm);
        else if (pm)
            platform_mm_died(pm);
    }
}

bool platform_thread_waits(const struct platform_thread *pt)
{
    return pt->slot && *(volatile uint32_t *)&pt->slot->in_futex != 0;
}

nsec_t platform_thread_user_time(const struct platform_thread *pt)
{
    struct platform_mm *pm = pt->pm;
    struct timespec ts;
    nsec_t total = pm->final_time;
    if (!atomic_load(&pm->dead) && host_clock_gettime((clockid_t)(~pm->pid << 3 | 2), &ts) == 0)
        total = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
    if (!pm->multi)
        return total;
    // The host tells the time of the process. A thread's part of it is as the time that it was out in the guest, of which some
    // may have been spent asleep in a futex.
    nsec_t now = host_now(), all = pm->ended_out, mine = 0;
    struct platform_thread *other;
    lock_take(&pm->p->lock);
    list_for_each(other, &pm->threads, node)
    {
        nsec_t out = other->user_time, since = other->guest_since;
        if (since)
            out += MAX(now - since, 0);
        all += out;
        if (other == pt)
            mine = out;
    }
    lock_release(&pm->p->lock);
    return all > 0 ? (nsec_t)((double)total * ((double)mine / (double)all)) : 0;
}

int platform_set_affinity(struct platform_thread *pt, const uint64_t *mask, uint64_t mask_bytes)
{
    lock_take(&pt->pm->p->lock);
    int r = pt->pm->reaped || !pt->tid ? -ESRCH : host_sched_setaffinity(pt->tid, mask_bytes, mask);
    if (r >= 0) {
        memset(pt->affinity, 0, sizeof(pt->affinity));
        memcpy(pt->affinity, mask, MIN(mask_bytes, sizeof(pt->affinity)));
        pt->affinity_set = true;
        pt->stub_held = false;
    }
    lock_release(&pt->pm->p->lock);
    return r < 0 ? r : 0;
}
