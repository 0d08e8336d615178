// The platform's object, and what the layers above ask about it.
#include <sys/mman.h>

#include "base/log.h"
#include "base/slab.h"
#include "host/host.h"
#include "platform/trap/trap-int.h"

#define HWCAP2_FSGSBASE 2

int platform_init(struct platform **ret, const struct platform_config *config, const struct trap_zygote *z)
{
    struct platform *p = kmalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->config = *config;
    p->zygote_info = *z;
    p->slots = z->slots;
    lock_init(&p->lock, LOCK_RANK_PLATFORM);
    list_init(&p->mms);
    list_init(&p->forks);
    // One byte for 2 MiB of slots: 8 MiB of address space, touched as it is used.
    int64_t live = host_mmap(NULL, 8ull << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (live < 0)
        return (int)live;
    p->chunk_live = (uint8_t *)live;
    struct platform_mm *pm = mm_alloc(p);
    struct platform_thread *pt = pm ? thread_alloc(pm, STUB_SLOTS) : NULL;
    if (!pt)
        return -ENOMEM;
    pm->pid = pt->tid = z->pid;
    tid_insert_locked(p, pt);
    pt->reply_seq = pt->slot->reply.seq;
    pt->seen = 1; // SLOT_READY
    pt->ready = true;
    p->zygote = pt;
    *ret = p;
    return 0;
}

void platform_service_main(struct platform *p, int which)
{
    if (which == PLATFORM_SERVICE_LISTENER)
        listener_main(p);
    else if (which == PLATFORM_SERVICE_REAPER)
        reaper_main(p);
    else
        pool_main(p);
}

struct platform_counts *platform_counts(struct platform *p)
{
    struct platform_mm *pm;
    struct platform_thread *pt;
    lock_take(&p->lock);
    list_for_each(pm, &p->mms, node)
        list_for_each(pt, &pm->threads, node)
            counts_fold_locked(p, pt);
    lock_release(&p->lock);
    return &p->counts;
}

uint64_t platform_vdso_addr(const struct platform *p)
{
    (void)p;
    return STUB_VDSO;
}

uint64_t platform_hwcap(const struct platform *p)
{
    return p->zygote_info.hwcap;
}

// Guests must not use wrgsbase: gs is the slot's. The host can't forbid it, so they are told that it isn't there.
uint64_t platform_hwcap2(const struct platform *p)
{
    return p->zygote_info.hwcap2 & ~(uint64_t)HWCAP2_FSGSBASE;
}

uint64_t platform_minsigstksz(const struct platform *p)
{
    return p->zygote_info.minsigstksz;
}
