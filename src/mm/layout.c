// Where things go in a fresh address space: stack at the top, mappings below it downwards, each at a random place. The ranges
// are Linux's on x86_64: 22 bits for the stack, 28 for mappings, a gap of at least 128 MiB that the stack may grow into.
//
// The stack is mapped whole, up to its limit, without a reservation, so that its growth is the host's business; what the
// guest sees in /proc and what counts against its limits grows as it is seen to be used.
//
// DEVIATION: the stack's size is settled at exec by RLIMIT_STACK (at most 1 GiB, also for an unlimited one); a limit that is
// raised later concerns the next exec.
// DEVIATION: an unlimited stack doesn't switch to the bottom-up layout of old.
#include "kernel/kernel.h"
#include "kernel/task.h"
#include "mm/mm-int.h"
#include "platform/platform.h"

#include <sys/resource.h>

#define STACK_RANDOM (1ull << 34)
#define MMAP_RANDOM (1ull << 40)
#define STACK_MIN (256ull << 10)
#define STACK_MAX (1ull << 30)
#define STACK_GAP (128ull << 20)

uint64_t mm_random_offset(uint64_t range)
{
    uint64_t r;

    kernel_random(&r, sizeof(r));
    return PAGE_DOWN(r % range);
}

int mm_layout_init(const struct mm_target *target, int stack_prot, bool randomize, uint64_t *ret_stack_top)
{
    struct mm *mm = target->mm;
    uint64_t limit = task_rlimit(target->task, RLIMIT_STACK);
    uint64_t size = PAGE_UP(MIN(MAX(limit, STACK_MIN), STACK_MAX));
    uint64_t top = GUEST_ADDR_MAX - PAGE_SIZE - (randomize ? mm_random_offset(STACK_RANDOM) : 0);
    struct mmap_request stack = {
        .addr = top - size,
        .size = size,
        .prot = stack_prot,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
        .vma_flags = VMA_STACK | VMA_GROWSDOWN,
    };
    int64_t ret;

    mm->stack_limit = stack.addr;
    ret = mm_map(target, &stack);
    if (ret < 0)
        return (int)ret;
    // A huge page for the first bytes of a stack would cost more than the rest of exec.
    ret = platform_advise(target->pt, stack.addr, size, MADV_NOHUGEPAGE);
    if (ret < 0)
        return (int)ret;
    mm->mmap_base = GUEST_ADDR_MAX - STACK_RANDOM - MM_STACK_GUARD - MAX(size, STACK_GAP);
    if (randomize)
        mm->mmap_base -= mm_random_offset(MMAP_RANDOM);
    mm->free_from = mm->mmap_base;
    *ret_stack_top = top;
    return 0;
}

uint64_t mm_find_room(struct mm *mm, uint64_t size, uint64_t align)
{
    uint64_t addr;

    lock_take(&mm->lock);
    addr = vma_find_gap(mm, size, align);
    lock_release(&mm->lock);
    return addr;
}

void mm_set_brk(struct mm *mm, uint64_t start)
{
    lock_take(&mm->lock);
    mm->brk_start = mm->brk = start;
    lock_release(&mm->lock);
}
