// Commands: host calls that the guest's own thread makes because the kernel told it to. The kernel keeps what may happen once in
// the thread's permissions (listener.c compares), the stub gets a copy in its slot.
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "host/host.h"
#include "platform/trap/trap-int.h"

#define REPEAT_MAX 200

int command_add(struct platform_thread *pt, uint64_t nr, const uint64_t args[6], bool privileged, uint8_t mask, int fd)
{
    if (pt->command_count == SLOT_COMMAND_MAX) {
        int r = platform_commit(pt);
        if (r < 0)
            return r;
    }
    uint32_t i = pt->command_count++;
    pt->command[i] = (struct slot_command){.nr = nr};
    memcpy(pt->command[i].args, args, 6 * sizeof(uint64_t));
    pt->command_fd[i] = privileged;
    (void)mask;
    (void)fd;
    return 0;
}

// What the listener may let through for the commands from `from` on.
static void give_permissions(struct platform_thread *pt, uint32_t from)
{
    lock_take(&pt->pm->p->lock);
    pt->permission_count = pt->permission_next = pt->permission_repeats = 0;
    for (uint32_t i = from; i < pt->command_count; i++) {
        if (!pt->command_fd[i])
            continue;
        const struct slot_command *c = &pt->command[i];
        struct permission *perm = &pt->permission[pt->permission_count++];
        *perm = (struct permission){.nr = (uint32_t)c->nr, .arg_mask = 0x3f, .fd = -1};
        memcpy(perm->args, c->args, sizeof(perm->args));
        if (c->nr == SYS_mmap)
            perm->fd = (int)c->args[4];
        if (c->nr == COMMAND_FORK) {
            perm->nr = SYS_clone;
            memset(perm->args, 0, sizeof(perm->args));
            perm->args[0] = c->args[0];
            perm->args[2] = c->args[5];
            perm->arg_mask = 0x1f;
        } else if (c->nr == COMMAND_THREAD) {
            perm->nr = SYS_clone;
            perm->args[2] = 0;
            perm->args[3] = c->args[2];
            perm->args[4] = c->args[3];
            perm->arg_mask = 0x1f;
        } else if (c->nr == COMMAND_SET_FS) {
            perm->nr = SYS_arch_prctl;
            perm->args[0] = 0x1002;
            perm->args[1] = c->args[0];
            perm->arg_mask = 3;
        }
    }
    lock_release(&pt->pm->p->lock);
}

// Copies the commands to the slot, has them run, and finds the first failure: its index, or command_count.
static int run_once(struct platform_thread *pt, uint32_t from, bool tail, uint32_t *ret_index, int64_t *ret_error)
{
    struct slot *s = pt->slot;
    uint32_t count = pt->command_count - from;
    memcpy(s->command, &pt->command[from], count * sizeof(pt->command[0]));
    give_permissions(pt, from);
    uint32_t all = pt->command_count;
    uint32_t before = pt->seen;
    pt->command_count = count;
    if (tail)
        pt->in_guest = true;
    atomic_thread_fence(memory_order_seq_cst);
    send_reply(pt, REPLY_COMMANDS | (tail ? REPLY_RESUME | (pt->frame ? REPLY_RESULT : 0) : 0));
    pt->command_count = all;
    pt->counts.commands += count;
    if (wait_request(pt, false) == WAIT_DEAD)
        return -ESRCH;
    *ret_index = pt->command_count;
    *ret_error = 0;
    uint16_t kind = *(volatile uint8_t *)&s->request.kind;
    if (tail && (kind != SLOT_DONE)) {
        // Done, and perhaps more has been posted since: that is platform_run()'s.
        if (kind != SLOT_DONE_RESUMED)
            pt->seen = before + 1;
        return 1;
    }
    if (tail)
        pt->in_guest = false;
    for (uint32_t i = 0; i < count; i++) {
        int64_t r = *(volatile int64_t *)&s->command[i].result;
        pt->command[from + i].result = r;
        if ((uint64_t)r >= -4095ull) {
            *ret_index = from + i;
            *ret_error = r;
            break;
        }
    }
    return 0;
}

int run_commands(struct platform_thread *pt, bool tail)
{
    uint32_t from = 0;
    for (int repeat = 0; repeat < REPEAT_MAX; repeat++) {
        uint32_t failed;
        int64_t error;
        int r = run_once(pt, from, tail, &failed, &error);
        if (r < 0) {
            pt->command_count = 0;
            return r;
        }
        if (r == 1 || failed == pt->command_count) {
            pt->resumed = r == 1;
            pt->command_count = 0;
            return 0;
        }
        // A fork that was answered has to be looked after before it is told again (process.c).
        if (error != -EAGAIN || !pt->command_fd[failed] || pt->command[failed].nr == COMMAND_FORK) {
            pt->command_count = 0;
            return (int)error;
        }
        from = failed; // the host repeated an answered call: it is told anew
    }
    pt->command_count = 0;
    return -EAGAIN;
}

// A new process's thread answers commands from SLOT_READY on.
bool make_ready(struct platform_thread *pt)
{
    while (!pt->ready) {
        if (wait_request(pt, false) == WAIT_DEAD)
            return false;
        if (*(volatile uint8_t *)&pt->slot->request.kind != SLOT_READY) {
            platform_mm_kill(pt->pm);
            return false;
        }
        pt->ready = true;
    }
    return true;
}

int platform_commit(struct platform_thread *pt)
{
    if (pt->command_count == 0)
        return 0;
    if (!make_ready(pt)) {
        pt->command_count = 0;
        return -ESRCH;
    }
    return run_commands(pt, false);
}

int platform_commit_and_resume(struct platform_thread *pt, int64_t result)
{
    if (pt->command_count == 0)
        return 0;
    if (!pt->started || pt->want_frame || (pt->work && atomic_load(pt->work)))
        return platform_commit(pt);
    platform_set_result(pt, result);
    return run_commands(pt, true);
}

bool platform_resumed(const struct platform_thread *pt)
{
    return pt->resumed;
}

// ---- The commands ---------------------------------------------------------------------------------------------------------

static bool range_ok(uint64_t addr, uint64_t size)
{
    return addr % PAGE_SIZE == 0 && size % PAGE_SIZE == 0 && size > 0 && addr < GUEST_ADDR_MAX &&
           size <= GUEST_ADDR_MAX - addr;
}

static int host_prot(int prot)
{
    return (prot & PLATFORM_READ ? PROT_READ : 0) | (prot & PLATFORM_WRITE ? PROT_WRITE : 0) |
           (prot & PLATFORM_EXEC ? PROT_EXEC : 0);
}

int platform_map_anon(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot, bool noreserve)
{
    BUG_ON(!range_ok(addr, size));
    uint64_t args[6] = {addr, size, (uint64_t)host_prot(prot),
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (noreserve ? MAP_NORESERVE : 0), (uint64_t)-1, 0};
    return command_add(pt, SYS_mmap, args, false, 0, -1);
}

int platform_map_file(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot, bool shared, int fd,
                      uint64_t offset)
{
    BUG_ON(!range_ok(addr, size) || offset % PAGE_SIZE);
    uint64_t args[6] = {addr, size, (uint64_t)host_prot(prot), (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED,
                        (uint64_t)fd, offset};
    return command_add(pt, SYS_mmap, args, true, 0x3f, fd);
}

int platform_unmap(struct platform_thread *pt, uint64_t addr, uint64_t size)
{
    BUG_ON(!range_ok(addr, size));
    uint64_t args[6] = {addr, size};
    return command_add(pt, SYS_munmap, args, false, 0, -1);
}

int platform_protect(struct platform_thread *pt, uint64_t addr, uint64_t size, int prot)
{
    BUG_ON(!range_ok(addr, size));
    uint64_t args[6] = {addr, size, (uint64_t)host_prot(prot)};
    return command_add(pt, SYS_mprotect, args, false, 0, -1);
}

int platform_advise(struct platform_thread *pt, uint64_t addr, uint64_t size, int advice)
{
    BUG_ON(!range_ok(addr, size));
    uint64_t args[6] = {addr, size, (uint64_t)advice};
    return command_add(pt, SYS_madvise, args, false, 0, -1);
}

int platform_move(struct platform_thread *pt, uint64_t from, uint64_t size, uint64_t to)
{
    BUG_ON(!range_ok(from, size) || !range_ok(to, size));
    uint64_t args[6] = {from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to};
    return command_add(pt, SYS_mremap, args, true, 0x3f, -1);
}

int platform_touch(struct platform_thread *pt, uint64_t addr)
{
    // FUTEX_WAKE_OP adds 0 to the word, atomically: the one store among the calls that a stub may make.
    uint64_t args[6] = {addr, 5 /* FUTEX_WAKE_OP */ | 128 /* FUTEX_PRIVATE_FLAG */, 0, 0, addr, 1u << 28 /* FUTEX_OP_ADD */};
    return command_add(pt, SYS_futex, args, false, 0, -1);
}

// Runs one command at once and returns its result.
static int64_t run_single(struct platform_thread *pt, uint64_t nr, const uint64_t args[6], bool privileged)
{
    int r = platform_commit(pt);
    if (r < 0)
        return r;
    if (!make_ready(pt))
        return -ESRCH;
    command_add(pt, nr, args, privileged, 0x3f, -1);
    r = run_commands(pt, false);
    return r < 0 ? r : pt->command[0].result;
}

int platform_mincore(struct platform_thread *pt, uint64_t addr, uint64_t size, uint8_t *vec)
{
    BUG_ON(!range_ok(addr, size));
    while (size > 0) {
        // The answer goes through the window.
        uint64_t pages = MIN(size / PAGE_SIZE, (uint64_t)SLOT_WINDOW_SIZE / 2);
        platform_window_flush(pt);
        uint64_t args[6] = {addr, pages * PAGE_SIZE,
                            pt->slot_addr + offsetof(struct slot, window) + SLOT_WINDOW_SIZE / 2};
        int64_t r = run_single(pt, SYS_mincore, args, true);
        if (r < 0)
            return (int)r;
        memcpy(vec, pt->slot->window + SLOT_WINDOW_SIZE / 2, pages);
        vec += pages;
        addr += pages * PAGE_SIZE;
        size -= pages * PAGE_SIZE;
    }
    return 0;
}

int platform_set_fs_base(struct platform_thread *pt, uint64_t base)
{
    uint64_t args[6] = {base};
    int64_t r = run_single(pt, COMMAND_SET_FS, args, true);
    if (r >= 0)
        pt->fs_base = base;
    return (int)r;
}

int platform_rseq(struct platform_thread *pt, uint64_t addr, uint32_t size, int flags, uint32_t sig)
{
    // The last thing that its call does: the guest goes on right after it.
    uint64_t args[6] = {addr, size, (uint64_t)flags, sig};
    int r = platform_commit(pt);
    if (r < 0)
        return r;
    command_add(pt, SYS_rseq, args, true, 0x3f, -1);
    return platform_commit_and_resume(pt, 0);
}

int platform_membarrier(struct platform_thread *pt, int cmd, unsigned flags, int cpu_id)
{
    uint64_t args[6] = {(uint64_t)cmd, flags, (uint64_t)cpu_id};
    return (int)run_single(pt, SYS_membarrier, args, true);
}

int platform_futex_wake(struct platform_thread *pt, uint64_t addr, int count, uint32_t bitset, bool shared)
{
    uint64_t op = 10 /* FUTEX_WAKE_BITSET */ | (shared ? 0 : 128 /* FUTEX_PRIVATE_FLAG */);
    uint64_t args[6] = {addr, op, (uint64_t)count, 0, 0, bitset};
    return (int)run_single(pt, SYS_futex, args, false);
}

// By FUTEX_WAKE_OP, which changes one word and wakes sleepers of another: of a word in the slot on which nobody sleeps.
int platform_futex_mark(struct platform_thread *pt, uint64_t addr)
{
    const uint32_t or_bit_31 = 0xau << 28 | 31u << 12; // FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT; compared with 0 for equality
    uint64_t args[6] = {pt->slot_addr + offsetof(struct slot, in_futex), 5 /* FUTEX_WAKE_OP */, 0, 0, addr, or_bit_31};
    int64_t r = run_single(pt, SYS_futex, args, false);
    return r < 0 ? (int)r : 0;
}
