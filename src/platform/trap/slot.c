// Slots, thread objects and their tables.
//
// A slot's place in the slot file is never given to another owner while the sandbox lives: a stub that was told to unmap it, or
// a fork that should not have inherited it, may still hold it. What is given back is its memory (a hole is punched) and, when
// all slots of 2 MiB are gone, the kernel process's page table for them. A thread's slot may be used again by a later thread of
// the same address space.
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/slab.h"
#include "host/host.h"
#include "platform/trap/trap-int.h"

const struct slab_type platform_thread_slab = {SLAB_PLATFORM_THREAD, "platform_thread", sizeof(struct platform_thread)};
const struct slab_type platform_mm_slab = {SLAB_PLATFORM_MM, "platform_mm", sizeof(struct platform_mm)};

#define SLOTS_PER_CHUNK ((2ull << 20) / SLOT_SIZE)
#define SLOT_COUNT_MAX (1ull << 27)

struct free_slot {
    struct list node;
    uint64_t index, addr;
    int tid; // of the thread that had it: it may still be on its way out
    nsec_t since;
};

#define LOOK_AT_FREE 32              // slots of ended threads that are looked at for a new one
#define STAY_MAX 256                 // threads that were told to end and stay
#define STAY_TIME (10 * NSEC_PER_SEC) // how long one may take to end

// A slot of a thread that is gone for good. platform.lock held. A process that keeps ended threads is killed: they are
// counted nowhere.
static struct free_slot *find_free_slot_locked(struct platform_mm *pm)
{
    struct free_slot *f, *found = NULL;
    uint32_t looked = 0, stay = 0;
    list_for_each(f, &pm->free_slots, node) {
        if (host_tgkill(pm->pid, f->tid, 0) == -ESRCH) {
            found = f;
            break;
        }
        if (++looked == LOOK_AT_FREE)
            break;
    }
    if (found || looked < LOOK_AT_FREE)
        return found;
    nsec_t now = host_now();
    list_for_each(f, &pm->free_slots, node)
        stay += now - f->since > STAY_TIME;
    if (stay <= STAY_MAX)
        return NULL;
    stay = 0;
    list_for_each(f, &pm->free_slots, node)
        stay += now - f->since > STAY_TIME && host_tgkill(pm->pid, f->tid, 0) == 0;
    if (stay > STAY_MAX && !pm->reaped) {
        log_warn("a guest process keeps %u threads that have ended: killed", stay);
        host_kill(pm->pid, SIGKILL);
    }
    return NULL;
}

// What ended threads have left of themselves for the sake of a descriptor goes once they are gone on the host.
static struct platform_thread *take_gone_locked(struct platform_mm *pm)
{
    struct platform_thread *pt, *next;
    uint32_t looked = 0;
    list_for_each_safe(pt, next, &pm->ended, node) {
        if (pt->slot || pt->tid == pm->pid || pm->reaped) // it goes with its process
            continue;
        if (host_tgkill(pm->pid, pt->tid, 0) == -ESRCH) {
            list_remove(&pt->node);
            if (pt->pinned_fd >= 0)
                unpin_locked(pm->p, pt->pinned_fd);
            return pt;
        }
        if (++looked == 4)
            break;
    }
    return NULL;
}

struct slot *slot_at(struct platform *p, uint64_t index)
{
    return (struct slot *)((char *)p->slots + index * SLOT_SIZE);
}

struct platform_mm *mm_alloc(struct platform *p)
{
    struct platform_mm *pm = slab_alloc(&platform_mm_slab);
    if (!pm)
        return NULL;
    pm->p = p;
    atomic_fetch_add(&p->mm_count, 1);
    list_init(&pm->threads);
    list_init(&pm->ended);
    list_init(&pm->free_slots);
    lock_take(&p->lock);
    list_push_back(&p->mms, &pm->node);
    lock_release(&p->lock);
    return pm;
}

void mm_set_pid_locked(struct platform_mm *pm, int pid)
{
    struct platform_mm **bucket = &pm->p->pids[(uint32_t)pid % TID_HASH_SIZE];
    pm->pid = pid;
    pm->pid_next = *bucket;
    *bucket = pm;
}

struct platform_mm *mm_take_pid_locked(struct platform *p, int pid)
{
    struct platform_mm **link = &p->pids[(uint32_t)pid % TID_HASH_SIZE], *pm;
    while ((pm = *link) != NULL && pm->pid != pid)
        link = &pm->pid_next;
    if (pm)
        *link = pm->pid_next;
    return pm;
}

// An address for a slot in pm: near ones first. 0: none left.
static uint64_t take_place_locked(struct platform_mm *pm, uint64_t place)
{
    for (uint32_t i = 0; i < STUB_NEAR_SLOTS; i++) {
        uint64_t addr = STUB_SLOTS + (uint64_t)i * SLOT_SIZE;
        if (place ? place != addr : (pm->near_used & BIT(i)) != 0)
            continue;
        pm->near_used |= BIT(i);
        return addr;
    }
    if (place)
        return place;
    // A fork may have its first slot among the far ones: far_next counts on from there.
    if (pm->far_next >= STUB_FAR_SLOTS)
        return 0;
    return STUB_SLOTS_FAR_END - (uint64_t)++pm->far_next * SLOT_SIZE;
}

struct platform_thread *thread_alloc(struct platform_mm *pm, uint64_t place)
{
    struct platform *p = pm->p;
    struct platform_thread *pt = slab_alloc(&platform_thread_slab);
    if (!pt)
        return NULL;
    pt->pm = pm;
    pt->pinned_fd = -1;
    pt->spinning = true;
    lock_take(&p->lock);
    struct platform_thread *gone = place ? NULL : take_gone_locked(pm);
    struct free_slot *again = place ? NULL : find_free_slot_locked(pm);
    if (again) {
        list_remove(&again->node);
        pt->slot_index = again->index;
        pt->slot_addr = again->addr;
    } else {
        pt->slot_addr = take_place_locked(pm, place);
        pt->slot_index = p->next_slot;
        if (!pt->slot_addr || p->next_slot >= SLOT_COUNT_MAX) {
            lock_release(&p->lock);
            slab_free(&platform_thread_slab, gone);
            slab_free(&platform_thread_slab, pt);
            return NULL;
        }
        p->next_slot++;
        p->chunk_live[pt->slot_index / SLOTS_PER_CHUNK]++;
        if (pt->slot_addr < STUB_SLOTS) {
            uint32_t n = (uint32_t)((STUB_SLOTS_FAR_END - pt->slot_addr) / SLOT_SIZE);
            pm->far_next = MAX(pm->far_next, n);
        }
    }
    list_push_back(&pm->threads, &pt->node);
    pm->thread_count++;
    lock_release(&p->lock);
    slab_free(&platform_thread_slab, gone);
    pt->slot = slot_at(p, pt->slot_index);
    struct slot *s = pt->slot;
    if (again) {
        // The thread before counted on from here; whoever still writes to it belongs to the same address space.
        pt->seen = s->request.seq;
        pt->reply_seq = s->reply.seq;
        s->mark = 0;
        kfree(again);
    }
    s->self = pt->slot_addr;
    s->stack_top = pt->slot_addr + offsetof(struct slot, stack) + SLOT_STACK_SIZE;
    s->no_answers = p->config.no_stub_answers;
    pt->ready = false;
    return pt;
}

// The memory of a slot whose process was reaped.
static void release_slot(struct platform *p, uint64_t index)
{
    host_fallocate(p->zygote_info.slot_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, index * SLOT_SIZE, SLOT_SIZE);
    lock_take(&p->lock);
    uint64_t chunk = index / SLOTS_PER_CHUNK;
    bool all = --p->chunk_live[chunk] == 0 && p->next_slot / SLOTS_PER_CHUNK > chunk;
    lock_release(&p->lock);
    if (all) { // mapping it anew frees the page table
        char *at = (char *)p->slots + chunk * SLOTS_PER_CHUNK * SLOT_SIZE;
        int64_t r = host_mmap(at, SLOTS_PER_CHUNK * SLOT_SIZE, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_NORESERVE | MAP_FIXED, p->zygote_info.slot_fd,
                              chunk * SLOTS_PER_CHUNK * SLOT_SIZE);
        BUG_ON(r < 0);
    }
}

void counts_fold_locked(struct platform *p, struct platform_thread *pt)
{
    struct thread_counts *c = &pt->counts;
    p->counts.handoffs += c->handoffs;
    p->counts.sigsys_traps += c->sigsys_traps;
    p->counts.patched_calls += c->patched_calls;
    p->counts.window_copies += c->window_copies;
    p->counts.faults += c->faults;
    p->counts.commands += c->commands;
    p->counts.sleeps += c->sleeps;
    p->counts.stub_wakes += c->stub_wakes;
    memset(c, 0, sizeof(*c));
}

// A thread's object when its process is gone. platform.lock is not held.
static void thread_release(struct platform_thread *pt)
{
    struct platform *p = pt->pm->p;
    lock_take(&p->lock);
    counts_fold_locked(p, pt);
    if (pt->pinned_fd >= 0)
        unpin_locked(p, pt->pinned_fd);
    pt->pinned_fd = -1;
    lock_release(&p->lock);
    if (pt->slot)
        release_slot(p, pt->slot_index);
    slab_free(&platform_thread_slab, pt);
}

void mm_release(struct platform_mm *pm)
{
    struct platform_thread *pt, *next;
    list_for_each_safe(pt, next, &pm->threads, node)
        thread_release(pt);
    list_for_each_safe(pt, next, &pm->ended, node)
        thread_release(pt);
    struct free_slot *f, *fnext;
    list_for_each_safe(f, fnext, &pm->free_slots, node) {
        release_slot(pm->p, f->index);
        kfree(f);
    }
    atomic_fetch_sub(&pm->p->mm_count, 1);
    slab_free(&platform_mm_slab, pm);
}

// A thread has ended and its process lives on: its slot may serve a later thread of this process.
void thread_retire(struct platform_thread *pt, bool slot_reusable)
{
    struct platform_mm *pm = pt->pm;
    struct free_slot *f = slot_reusable ? kmalloc(sizeof(*f)) : NULL;
    lock_take(&pm->p->lock);
    // The first thread stays on the host, parked, and known: its id is the process's.
    if (!pm->reaped && pt->tid != pm->pid)
        tid_remove_locked(pm->p, pt);
    counts_fold_locked(pm->p, pt);
    pm->ended_out += pt->user_time;
    pt->ended = true;
    pm->thread_count--;
    list_remove(&pt->node);
    if (f) {
        f->index = pt->slot_index;
        f->addr = pt->slot_addr;
        f->tid = pt->tid;
        f->since = host_now();
        list_push_front(&pm->free_slots, &f->node);
        pt->slot = NULL;
    }
    if (pt->pinned_fd < 0 && f) {
        lock_release(&pm->p->lock);
        slab_free(&platform_thread_slab, pt);
        return;
    }
    list_push_back(&pm->ended, &pt->node);
    lock_release(&pm->p->lock);
}

static uint32_t tid_hash(int tid)
{
    return ((uint32_t)tid * 2654435761u) >> 20 & (TID_HASH_SIZE - 1);
}

void tid_insert_locked(struct platform *p, struct platform_thread *pt)
{
    uint32_t h = tid_hash(pt->tid);
    p->pid_high = MAX(p->pid_high, pt->tid);
    pt->hash_next = p->tids[h];
    p->tids[h] = pt;
}

void tid_remove_locked(struct platform *p, struct platform_thread *pt)
{
    if (!pt->tid)
        return;
    struct platform_thread **link = &p->tids[tid_hash(pt->tid)];
    while (*link && *link != pt)
        link = &(*link)->hash_next;
    if (*link)
        *link = pt->hash_next;
}

struct platform_thread *tid_find_locked(struct platform *p, int tid)
{
    struct platform_thread *pt = p->tids[tid_hash(tid)];
    while (pt && pt->tid != tid)
        pt = pt->hash_next;
    return pt;
}

// ---- Descriptors that stubs may still name ----

void unpin_locked(struct platform *p, int fd)
{
    struct fd_pin *pin = &p->fds[fd];
    BUG_ON(pin->pins == 0);
    if (--pin->pins == 0 && pin->closing) {
        pin->closing = false;
        host_close(fd);
    }
}

void platform_fd_release(struct platform *p, int fd)
{
    if (fd < 0 || fd >= FD_PIN_MAX) {
        if (fd >= 0)
            host_close(fd);
        return;
    }
    lock_take(&p->lock);
    bool close_now = p->fds[fd].pins == 0;
    if (!close_now)
        p->fds[fd].closing = true;
    lock_release(&p->lock);
    if (close_now)
        host_close(fd);
}
