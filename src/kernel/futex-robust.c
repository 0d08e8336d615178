// Robust futexes: at a thread's end (and exec) the words that its robust list names are marked as
// FUTEX_OWNER_DIED, and who waits for them is woken. The list is the guest's: its length is
// bounded, every address may be bad, and nothing of it is trusted beyond "these words of this
// address space".
//
// The kernel can't compare and swap in guest memory. The word is marked with FUTEX_WAITERS first
// (platform_futex_mark()), after which no other thread changes it: contenders wait. Then it is
// written, and everybody who may have come in between is woken to look again.
//
// Runs in the thread's own kernel thread, while its guest thread is still there.

#include "kernel/futex.h"

#include <limits.h>
#include <stdatomic.h>

#include "mm/copy.h"
#include "mm/mm.h"
#include "platform/platform.h"

#define ROBUST_LIST_LIMIT 2048
#define ROBUST_PI         1ull

struct robust_list_head {
    uint64_t next;
    int64_t futex_offset;
    uint64_t pending;
};
_Static_assert(sizeof(struct robust_list_head) == ROBUST_LIST_HEAD_SIZE,
               "struct robust_list_head is 24 bytes");

static bool read_memory(struct task *t, uint64_t addr, void *out, uint64_t size)
{
    return copy_in_mm(t->mm, out, addr, size) == size;
}

static void owner_died(struct task *t, uint64_t addr, bool pi, bool pending)
{
    uint32_t word, marked;
    if ((addr & 3) || !read_memory(t, addr, &word, sizeof(word)))
        return;
    // Unlocked, but the thread died before it could wake the next one.
    if (pending && !pi && word == 0) {
        (void)platform_futex_wake(t->pt, addr, 1, ~0u, true);
        return;
    }
    if ((word & FUTEX_TID) != t->tid)
        return;
    if (platform_futex_mark(t->pt, addr) < 0 || !read_memory(t, addr, &marked, sizeof(marked)) ||
        (marked & FUTEX_TID) != t->tid)
        return;
    uint32_t dead = FUTEX_DIED | (word & FUTEX_WAITS);
    if (copy_out_mm(t->mm, addr, &dead, sizeof(dead)) != sizeof(dead))
        return;
    if (!pi)
        (void)platform_futex_wake(t->pt, addr, word & FUTEX_WAITS ? 1 : INT_MAX, ~0u, true);
}

void robust_list_exit(struct task *t)
{
    struct robust_list_head head;
    uint64_t at = t->robust_list;
    if (!at || !t->mm || !read_memory(t, at, &head, sizeof(head)))
        return;
    uint64_t entry = head.next;
    for (int i = 0; i < ROBUST_LIST_LIMIT && (entry & ~ROBUST_PI) != at; i++) {
        uint64_t next, node = entry & ~ROBUST_PI;
        // Read before the word is given up: its new owner may unmap it.
        bool more = read_memory(t, node, &next, sizeof(next));
        if (entry != head.pending)
            owner_died(t, node + (uint64_t)head.futex_offset, entry & ROBUST_PI, false);
        if (!more)
            return;
        entry = next;
    }
    if (head.pending)
        owner_died(t, (head.pending & ~ROBUST_PI) + (uint64_t)head.futex_offset,
                   head.pending & ROBUST_PI, true);
}
