// The stubs' seccomp filter: one classic-BPF program, installed in the zygote and inherited by every stub.
//
// Host calls are possible only from stub text. Those that can harm none but the caller are allowed; those that need the
// kernel's word raise a notification (listener.c); all others, and all that come from guest text or by another entry, trap and
// become guest system calls. Comparisons cover the bits that the host uses.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "platform/trap/trap-int.h"

#define NR_OFFSET offsetof(struct seccomp_data, nr)
#define ARCH_OFFSET offsetof(struct seccomp_data, arch)
#define IP_LOW offsetof(struct seccomp_data, instruction_pointer)
#define ARG_LOW(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define ARG_HIGH(n) (ARG_LOW(n) + 4)

struct builder {
    struct sock_filter *program;
    uint32_t count, room;
    bool full;
};

static void emit(struct builder *b, struct sock_filter insn)
{
    if (b->count == b->room) {
        b->full = true;
        return;
    }
    b->program[b->count++] = insn;
}

static void load(struct builder *b, uint32_t offset)
{
    emit(b, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void ret(struct builder *b, uint32_t action)
{
    emit(b, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

// if (A == value) return action;
static void ret_if_equal(struct builder *b, uint32_t value, uint32_t action)
{
    emit(b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    ret(b, action);
}

// Skips the next `skip` instructions unless A == value.
static void unless_equal_skip(struct builder *b, uint32_t value, uint8_t skip)
{
    emit(b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

static void build_futex(struct builder *b)
{
    static const uint32_t commands[] = {FUTEX_WAIT,        FUTEX_WAKE,        FUTEX_REQUEUE,    FUTEX_CMP_REQUEUE,
                                        FUTEX_WAKE_OP,     FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET};
    unless_equal_skip(b, SYS_futex, 3 + 2 * ARRAY_SIZE(commands));
    load(b, ARG_LOW(1));
    emit(b, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K,
                                         ~(uint32_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)));
    for (uint32_t i = 0; i < ARRAY_SIZE(commands); i++)
        ret_if_equal(b, commands[i], SECCOMP_RET_ALLOW);
    ret(b, SECCOMP_RET_TRAP);
}

// mmap: private anonymous memory at a fixed place is the caller's own business, everything else is countersigned.
static void build_mmap(struct builder *b)
{
    unless_equal_skip(b, SYS_mmap, 7);
    load(b, ARG_HIGH(3));
    emit(b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4));
    load(b, ARG_LOW(3));
    emit(b, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(uint32_t)(MAP_NORESERVE | MAP_STACK)));
    ret_if_equal(b, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, SECCOMP_RET_ALLOW);
    ret(b, SECCOMP_RET_USER_NOTIF);
}

static void build_madvise(struct builder *b)
{
    // NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE DONTFORK DOFORK HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP WIPEONFORK
    // KEEPONFORK COLD GUARD_INSTALL GUARD_REMOVE
    static const uint32_t advice[] = {0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 20, 102, 103};
    unless_equal_skip(b, SYS_madvise, 2 + 2 * ARRAY_SIZE(advice));
    load(b, ARG_LOW(2));
    for (uint32_t i = 0; i < ARRAY_SIZE(advice); i++)
        ret_if_equal(b, advice[i], SECCOMP_RET_ALLOW);
    ret(b, SECCOMP_RET_TRAP);
}

int trap_filter_build(struct sock_filter *program, uint32_t room, uint64_t text_end)
{
    static const uint32_t allowed[] = {SYS_munmap,          SYS_mprotect,    SYS_rt_sigreturn,
                                       SYS_restart_syscall, SYS_sched_yield, SYS_exit};
    static const uint32_t countersigned[] = {SYS_clone,           SYS_mremap,          SYS_arch_prctl, SYS_mincore,
                                             SYS_set_tid_address, SYS_set_robust_list, SYS_rseq,       SYS_membarrier};
    struct builder b = {.program = program, .room = room};

    load(&b, ARCH_OFFSET);
    emit(&b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    ret(&b, SECCOMP_RET_TRAP);
    load(&b, IP_LOW + 4);
    emit(&b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(STUB_TEXT >> 32), 1, 0));
    ret(&b, SECCOMP_RET_TRAP);
    load(&b, IP_LOW);
    emit(&b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)STUB_TEXT, 1, 0));
    ret(&b, SECCOMP_RET_TRAP);
    emit(&b, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)text_end, 0, 1));
    ret(&b, SECCOMP_RET_TRAP);

    load(&b, NR_OFFSET);
    for (uint32_t i = 0; i < ARRAY_SIZE(allowed); i++)
        ret_if_equal(&b, allowed[i], SECCOMP_RET_ALLOW);
    for (uint32_t i = 0; i < ARRAY_SIZE(countersigned); i++)
        ret_if_equal(&b, countersigned[i], SECCOMP_RET_USER_NOTIF);
    build_futex(&b);
    build_mmap(&b);
    build_madvise(&b);
    ret(&b, SECCOMP_RET_TRAP);
    return b.full ? -ENOSPC : (int)b.count;
}
