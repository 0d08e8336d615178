// Faults that the stub reports: which of them the map explains, and which become a signal.
//
// A fault may be stale (another thread has mapped the page meanwhile, or the stub was between two commands): what the map
// allows is tried again. A fault that comes back at the same instruction and address although the map allows it is the
// guest's own doing (it can only lie to itself) or a host out of memory for a shared page, and becomes a signal.
//
// The tail of a file mapping is inaccessible in the stub. A fault there asks the file anew: if it has grown, the new part is
// mapped and the guest goes on; if not, it gets SIGBUS as on Linux.
//
// Locking: mm.lock. The file is asked with no lock held; the area is looked up again afterwards.
#include "base/log.h"
#include "kernel/task.h"
#include "mm/backing.h"
#include "mm/mm-int.h"
#include "platform/platform.h"

#include <signal.h>
#include <sys/resource.h>

#define FAULT_RETRIES 16
#define X86_TRAP_PF 14
#define PF_WRITE 2u
#define PF_FETCH 16u

static bool allows(const struct vma *v, bool write, bool fetch)
{
    if (write)
        return v->prot & PROT_WRITE;
    if (fetch)
        return v->prot & PROT_EXEC;
    return v->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

// What a page past the mapped part of a file mapping needs in order to become accessible.
struct extension {
    struct file *file; // reference
    uint64_t start, end, offset;
    int prot, max_prot;
    bool shared;
};

static struct extension describe_extension(const struct vma *v)
{
    return (struct extension){
        .file = file_ref(v->file),
        .start = v->valid,
        .end = v->end,
        .offset = v->offset + (v->valid - v->start),
        .prot = v->prot,
        .max_prot = v->max_prot,
        .shared = v->flags & VMA_SHARED,
    };
}

// Maps what the file has meanwhile got. True when addr is now accessible. No lock held; drops e->file.
static bool extend(struct task *t, struct extension *e, uint64_t addr)
{
    struct mm_target target = mm_target_of(t);
    struct map_source source = {0};
    bool done = false;
    int ret;

    ret = file_map_source(e->file, e->offset, e->end - e->start, e->shared ? e->prot | (e->max_prot & PROT_WRITE) : e->prot,
                          e->shared, &source);
    if (ret == 0 && !source.zero && source.valid > addr - e->start) {
        struct vma *v;
        lock_take(&t->mm->lock);
        v = vma_at(t->mm, addr);
        if (v && v->file == e->file && v->valid == e->start && v->offset + (v->valid - v->start) == e->offset &&
            v->prot == e->prot) {
            struct vma piece = *v;
            uint64_t valid = MIN(e->start + PAGE_UP(MIN(source.valid, e->end - e->start)), v->end);
            piece.start = e->start;
            piece.end = piece.valid = valid;
            ret = mm_queue_map(&target, &piece, &source);
            if (ret == 0)
                ret = mm_commit(&target, 0);
            if (ret == 0) {
                v->valid = valid;
                done = true;
            }
        } else {
            done = true; // the map has changed: try the access again
        }
        lock_release(&t->mm->lock);
    }
    file_unref(e->file);
    return done;
}

// A guest's own MAP_GROWSDOWN area grows to the page of addr. mm.lock held.
static bool grow_down(const struct mm_target *target, uint64_t addr, struct vma_stock *stock, struct vma_graveyard *g)
{
    struct mm *mm = target->mm;
    struct vma *v = vma_find(mm, addr), *prev, *piece;
    uint64_t start = PAGE_DOWN(addr), pages;

    if (!v || v->start <= addr || !(v->flags & VMA_GROWSDOWN) || stock->count == 0 || start < GUEST_ADDR_MIN)
        return false;
    prev = vma_prev(v);
    if (prev && start < prev->end + (prev->flags & VMA_GROWSDOWN ? 0 : MM_STACK_GUARD))
        return false;
    pages = (v->start - start) >> PAGE_SHIFT;
    if (v->end - start > task_rlimit(target->task, RLIMIT_STACK) || !mm_may_expand(target, pages, false))
        return false;
    piece = vma_stock_take(stock);
    *piece = (struct vma){.start = start, .end = v->start, .valid = v->start, .prot = v->prot, .flags = v->flags};
    if (mm_queue_map(target, piece, NULL) < 0 || mm_commit(target, 0) < 0) {
        vma_bury(g, piece);
        return false;
    }
    vma_bury(g, piece);
    vma_account(mm, v, false);
    v->start = start;
    vma_account(mm, v, true);
    return true;
}

enum fault_verdict { FAULT_RETRY, FAULT_GROW, FAULT_EXTEND, FAULT_MAPERR, FAULT_ACCERR };

// mm.lock held.
static enum fault_verdict judge(struct mm *mm, uint64_t addr, bool write, bool fetch, struct extension *e)
{
    struct vma *v = vma_find(mm, addr);

    if (!v)
        return FAULT_MAPERR;
    if (v->start > addr)
        return (v->flags & VMA_GROWSDOWN) && !(v->flags & VMA_STACK) ? FAULT_GROW : FAULT_MAPERR;
    if (!allows(v, write, fetch))
        return FAULT_ACCERR;
    if (v->flags & VMA_STACK)
        mm_grow_shown_stack(mm, addr);
    if (addr < v->valid)
        return FAULT_RETRY;
    *e = describe_extension(v);
    return FAULT_EXTEND;
}

static enum fault_verdict resolve(struct task *t, uint64_t addr, bool write, bool fetch, bool *ret_resolved)
{
    struct mm_target target = mm_target_of(t);
    struct vma_stock stock = {0};
    struct vma_graveyard g = {0};
    struct extension e;
    enum fault_verdict verdict;

    *ret_resolved = false;
    lock_take(&t->mm->lock);
    verdict = judge(t->mm, addr, write, fetch, &e);
    if (verdict == FAULT_GROW) {
        if (vma_stock_fill(&stock, 1) == 0)
            *ret_resolved = grow_down(&target, addr, &stock, &g);
        if (!*ret_resolved)
            verdict = FAULT_MAPERR;
    }
    lock_release(&t->mm->lock);
    vma_graveyard_done(&g);
    vma_stock_done(&stock);
    if (verdict == FAULT_EXTEND)
        *ret_resolved = extend(t, &e, addr);
    return verdict;
}

bool mm_fault_in(struct task *t, uint64_t addr, bool write)
{
    bool resolved;
    enum fault_verdict verdict;

    if (addr >= GUEST_ADDR_MAX)
        return false;
    verdict = resolve(t, addr, write, false, &resolved);
    return verdict == FAULT_RETRY || resolved;
}

// Counts faults that come back without progress.
static bool repeats(struct task *t, const struct trap *trap)
{
    struct guest_regs regs;

    platform_get_regs(t->pt, &regs);
    if (t->retry_addr != trap->addr || t->retry_rip != regs.rip) {
        t->retry_addr = trap->addr;
        t->retry_rip = regs.rip;
        t->retry_count = 0;
    }
    return ++t->retry_count > FAULT_RETRIES;
}

int mm_fault(struct task *t, const struct trap *trap, int *signo, int *code)
{
    bool write = trap->error_code & PF_WRITE, fetch = trap->error_code & PF_FETCH, resolved;
    enum fault_verdict verdict;

    *signo = trap->sig;
    *code = trap->code;
    if (trap->sig != SIGSEGV && trap->sig != SIGBUS)
        return -EFAULT;
    // Not a page's fault: a non-canonical address, a privileged instruction, alignment.
    if (trap->trapno != X86_TRAP_PF && trap->trapno != 0)
        return -EFAULT;
    *signo = SIGSEGV;
    *code = SEGV_MAPERR;
    if (!t->mm || trap->addr >= GUEST_ADDR_MAX)
        return -EFAULT;
    verdict = resolve(t, trap->addr, write, fetch, &resolved);
    if (resolved)
        return 0;
    if (verdict == FAULT_EXTEND || (verdict == FAULT_RETRY && trap->sig == SIGBUS)) {
        *signo = SIGBUS;
        *code = BUS_ADRERR;
        return -EFAULT;
    }
    if (verdict == FAULT_ACCERR)
        *code = SEGV_ACCERR;
    if (verdict != FAULT_RETRY)
        return -EFAULT;
    if (!repeats(t, trap))
        return 0;
    t->retry_count = 0;
    *signo = trap->sig;
    *code = trap->code;
    return -EFAULT;
}
