// The stub: the only privileged code in a guest's address space, a few kilobytes between the guest's programs and the kernel
// process. It posts what the guest wants in the slot and does what the answer says. It is freestanding, uses no extended state
// and no thread pointer, and trusts nothing that it protects itself with: the host's filter is the boundary (filter.c).
//
// Entries: stub_handler (signals) and stub_patched_entry (patched call sites), both in entry.S.
#include <asm/sigcontext.h>
#include <asm/unistd_64.h>
#include <linux/futex.h>
#include <stddef.h>

#include "stub-copies.h"
#include "layout.h"

_Static_assert(offsetof(struct slot, request.seq) == SLOT_REQUEST_SEQ, "entry.S");
_Static_assert(offsetof(struct slot, reply.seq) == SLOT_REPLY_SEQ, "entry.S");
_Static_assert(offsetof(struct slot, mark) == SLOT_MARK, "entry.S");
_Static_assert(offsetof(struct slot, stack_top) == SLOT_STACK_TOP, "entry.S");
_Static_assert(offsetof(struct slot, self) == SLOT_SELF, "entry.S");
_Static_assert(offsetof(struct slot, regs) == SLOT_REGS, "entry.S");
_Static_assert(offsetof(struct slot, altstack) == SLOT_FRAME_FIRST, "entry.S");

#define SIGILL 4
#define SIGTRAP 5
#define SIGBUS 7
#define SIGFPE 8
#define SIGSEGV 11
#define SIGSYS 31
#define EINTR 4
#define EFAULT 14

struct stub_ucontext { // the part of the host's ucontext that is used here
    unsigned long flags;
    void *link;
    struct {
        void *sp;
        int flags;
        unsigned long size;
    } stack;
    struct sigcontext regs;
};

struct stub_siginfo {
    int signo, error, code, pad;
    unsigned long call_addr;
    int syscall;
    unsigned arch;
};

extern char stub_text_end[], stub_window_sigreturn[], stub_window_sigreturn_end[], stub_sigreturn_marked[];
extern char stub_window_patched[], stub_window_patched_end[], stub_patched_marked[], stub_selftrap[];
extern char stub_window_futex[], stub_window_futex_end[], stub_futex_marked[];
extern char stub_copy_insn[], stub_copy_fault[], stub_string_insn[], stub_string_fault[];
extern unsigned long stub_vdso_table[4];
extern unsigned long stub_fsgsbase, stub_rdpid;

long stub_call(long nr, const uint64_t args[6]);
long stub_fork(const uint64_t args[6]);
long stub_thread(const uint64_t args[5]);
long stub_futex(struct slot *s, const uint64_t args[6]);
unsigned long stub_copy(void *dst, const void *src, unsigned long size);
unsigned long stub_copy_string(void *dst, const void *src, unsigned long size);
int stub_trap(int sig, struct stub_siginfo *info, struct stub_ucontext *uc);
void stub_interrupted(struct stub_ucontext *uc);
long stub_patched(struct slot *s);
struct stub_ucontext *stub_child(struct slot *s);

static void futex_word(uint32_t *word, int op, uint32_t value)
{
    uint64_t args[6] = {(uint64_t)word, (uint64_t)op, value, 0, 0, 0};
    stub_call(__NR_futex, args);
}

static uint16_t this_cpu(void)
{
    uint64_t aux;
    if (stub_rdpid) {
        __asm__ volatile("rdpid %0" : "=r"(aux));
    } else {
        uint32_t low, high;
        __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    }
    return (uint16_t)((aux & 0xfff) + 1);
}

static void post(struct slot *s, int kind)
{
    if (s->mark)
        s->mark = 0;
    s->request.kind = (uint8_t)kind;
    s->request.cpu = this_cpu();
    __atomic_exchange_n(&s->request.seq, s->request.seq + 1, __ATOMIC_SEQ_CST);
    if (s->reply.sleeping && !(kind == SLOT_DONE_RESUMED && s->reply.quiet_done))
        futex_word(&s->request.seq, FUTEX_WAKE, 1);
}

static void wait_reply(struct slot *s, uint32_t last)
{
    for (uint32_t spin = s->reply.spin; spin > 0 && *(volatile uint32_t *)&s->reply.spin; spin--) {
        if (__atomic_load_n(&s->reply.seq, __ATOMIC_ACQUIRE) != last)
            return;
        __builtin_ia32_pause();
    }
    while (__atomic_load_n(&s->reply.seq, __ATOMIC_ACQUIRE) == last) {
        __atomic_exchange_n(&s->request.sleeping, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&s->reply.seq, __ATOMIC_ACQUIRE) == last)
            futex_word(&s->reply.seq, FUTEX_WAIT, last);
        s->request.sleeping = 0;
    }
}

static int is_error(long r)
{
    return (unsigned long)r >= -4095ul;
}

static long run_command(struct slot *s, struct slot_command *c)
{
    switch (c->nr) {
    case COMMAND_FORK:
        return stub_fork(c->args);
    case COMMAND_THREAD:
        return stub_thread(c->args);
    case COMMAND_SET_FS:
        if (stub_fsgsbase) {
            __asm__ volatile("wrfsbase %0" ::"r"(c->args[0]));
            return 0;
        } else {
            uint64_t args[6] = {0x1002 /* ARCH_SET_FS */, c->args[0], 0, 0, 0, 0};
            return stub_call(__NR_arch_prctl, args);
        }
    case COMMAND_EXIT: {
        uint64_t args[6] = {0};
        return stub_call(__NR_exit, args);
    }
    default:
        return stub_call((long)c->nr, c->args);
    }
    (void)s;
}

// Runs the command list up to the first failure. Returns whether all succeeded.
static int run_commands(struct slot *s)
{
    uint32_t count = s->reply.command_count;
    if (count > SLOT_COMMAND_MAX)
        count = SLOT_COMMAND_MAX;
    for (uint32_t i = 0; i < count; i++) {
        long r = run_command(s, &s->command[i]);
        s->command[i].result = r;
        s->command_done = i + 1;
        if (is_error(r))
            return 0;
    }
    return 1;
}

// Results from the window to the guest. Returns whether all could be written.
static int copy_results(struct slot *s)
{
    uint32_t count = s->reply.copy_count;
    if (count > SLOT_COPY_MAX)
        count = SLOT_COPY_MAX;
    int ok = 1;
    for (uint32_t i = 0; i < count; i++) {
        struct slot_copy c = s->copy[i];
        if (stub_copy((void *)c.addr, s->window + c.offset, c.size) != 0)
            ok = 0;
    }
    return ok;
}

// Posts and does what the answers say until one lets the guest go on. Returns the flags of that one; *result is the call's.
static uint32_t serve(struct slot *s, int kind, int64_t *result)
{
    uint32_t last = s->reply.seq;
    post(s, kind);
    for (;;) {
        wait_reply(s, last);
        last = s->reply.seq;
        uint32_t flags = s->reply.flags;
        int ok = 1;
        if (s->reply.copy_count && !copy_results(s))
            ok = 0;
        int64_t r = ok ? s->reply.result : -EFAULT;
        if (flags & REPLY_COMMANDS) {
            int done = run_commands(s);
            if (!(flags & REPLY_RESUME) || !done) {
                post(s, SLOT_DONE);
                continue;
            }
            *result = r;
            post(s, SLOT_DONE_RESUMED);
            return flags;
        }
        if (!(flags & REPLY_RESUME)) {
            post(s, SLOT_DONE);
            continue;
        }
        *result = r;
        return flags;
    }
}

// Copies the arguments in memory that the table names into the window, so that the kernel needs no host call to read them.
// What faults or is too large is left out; the kernel then goes and looks itself.
static void gather(struct slot *s, uint32_t nr, const uint64_t args[6])
{
    s->request.in_count = 0;
    if (nr >= STUB_COPY_TABLE_SIZE)
        return;
    uint32_t used = 0, count = 0;
    for (const struct stub_copy_spec *spec = &stub_copy_table[nr][0];
         spec < &stub_copy_table[nr][STUB_COPY_SPECS] && spec->kind != STUB_COPY_NONE; spec++) {
        uint64_t addr = args[spec->pointer & 7];
        uint64_t size = 0;
        if (!addr)
            continue;
        uint32_t room = SLOT_WINDOW_SIZE / 2 - used;
        if (spec->kind == STUB_COPY_STRING) {
            size = stub_copy_string(s->window + used, (const void *)addr, room < 4096 ? room : 4096);
        } else {
            size = spec->kind == STUB_COPY_FIXED ? spec->size : args[spec->size & 7];
            if (spec->kind == STUB_COPY_SCALED)
                size = size > 1024 ? 0 : size * spec->scale;
            if (size > room)
                size = room;
            size -= stub_copy(s->window + used, (const void *)addr, size);
        }
        if (size == 0)
            continue;
        s->in[count] = (struct slot_in){.addr = addr, .size = (uint32_t)size, .offset = used};
        used += (uint32_t)((size + 15) & ~15ul);
        if (++count == SLOT_IN_MAX)
            break;
    }
    s->request.in_count = (uint8_t)count;
}

// A signal frame that the guest returns from: the kernel reads all of it.
static void gather_frame(struct slot *s, uint64_t sp)
{
    uint64_t size = SLOT_SIGFRAME_SIZE - stub_copy(s->window, (const void *)sp, SLOT_SIGFRAME_SIZE);
    s->in[0] = (struct slot_in){.addr = sp, .size = (uint32_t)size, .offset = 0};
    s->request.in_count = size != 0;
}

static void now_monotonic(uint64_t out[2])
{
    ((int (*)(int, uint64_t *))stub_vdso_table[0])(1 /* CLOCK_MONOTONIC */, out);
}

// A guest's futex call that the host can answer without the kernel. Returns whether it did.
static int answer_futex(struct slot *s, const uint64_t guest_args[6], int64_t *result)
{
    uint32_t op = (uint32_t)guest_args[1];
    uint32_t command = op & ~(uint32_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    uint64_t args[6];
    for (int i = 0; i < 6; i++)
        args[i] = guest_args[i];
    switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        if (args[3]) {
            if (!stub_vdso_table[0] || stub_copy(s->timeout, (const void *)args[3], 16) != 0)
                return 0;
            if (command == FUTEX_WAIT) { // relative: made absolute, so that it can be resumed
                uint64_t now[2];
                if (op & FUTEX_CLOCK_REALTIME || s->timeout[1] >= 1000000000 || (int64_t)s->timeout[0] < 0)
                    return 0;
                now_monotonic(now);
                s->timeout[1] += now[1];
                s->timeout[0] += now[0] + s->timeout[1] / 1000000000;
                s->timeout[1] %= 1000000000;
                if ((int64_t)s->timeout[0] < 0)
                    s->timeout[0] = INT64_MAX;
                args[1] = FUTEX_WAIT_BITSET | (op & FUTEX_PRIVATE_FLAG);
                args[5] = FUTEX_BITSET_MATCH_ANY;
            }
            args[3] = (uint64_t)s->timeout;
        }
        break;
    case FUTEX_WAKE:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
    case FUTEX_WAKE_BITSET:
        *result = stub_call(__NR_futex, args);
        return 1;
    default:
        return 0;
    }
    for (int i = 0; i < 6; i++)
        s->futex_args[i] = guest_args[i];
    s->in_futex = 1;
    for (;;) {
        *result = stub_futex(s, args);
        if (*result != -EINTR)
            break;
        // The kernel wants this thread: it answers what the call returns, or that it goes on waiting.
        s->request.in_count = 0;
        s->request.nr = __NR_futex;
        if (serve(s, SLOT_FUTEX_INTERRUPTED, result) & REPLY_SIGNAL)
            s->mark = 1; // the kernel needs a complete frame before the guest goes on
        if (*result != FUTEX_GO_ON)
            break;
    }
    s->in_futex = 0;
    return 1;
}

static int in_range(unsigned long ip, const char *from, const char *to)
{
    return ip >= (unsigned long)from && ip <= (unsigned long)to;
}

// An interrupt found stub code: moves a window's program counter to its exit, else leaves a mark that every window tests.
static void interrupt_stub_code(struct slot *s, struct stub_ucontext *uc)
{
    unsigned long ip = uc->regs.rip;
    s->mark = 1;
    if (in_range(ip, stub_window_futex, stub_window_futex_end))
        uc->regs.rip = (unsigned long)stub_futex_marked;
    else if (in_range(ip, stub_window_patched, stub_window_patched_end))
        uc->regs.rip = (unsigned long)stub_patched_marked;
    else if (in_range(ip, stub_window_sigreturn, stub_window_sigreturn_end))
        uc->regs.rip = (unsigned long)stub_sigreturn_marked;
}

static int in_stub_code(unsigned long ip)
{
    return (ip >= STUB_TEXT && ip < (unsigned long)stub_text_end) ||
           (ip >= STUB_THUNKS && ip < STUB_THUNKS + STUB_THUNKS_SIZE && ip % STUB_THUNK_SIZE < STUB_THUNK_TAIL);
}

static void serve_frame(struct slot *s, int kind, struct stub_ucontext *uc)
{
    int64_t result;
    uint64_t frame = (uint64_t)uc - (uint64_t)s;
    s->frame = frame;
    uint32_t flags = serve(s, kind, &result);
    if (flags & REPLY_RESULT)
        uc->regs.rax = (unsigned long)result;
}

void stub_interrupted(struct stub_ucontext *uc)
{
    struct slot *s = (struct slot *)((unsigned long)uc & -(unsigned long)SLOT_SIZE);
    s->siginfo = 0;
    s->request.in_count = 0;
    serve_frame(s, SLOT_INTERRUPT, uc);
}

static void trap_syscall(struct slot *s, struct stub_siginfo *info, struct stub_ucontext *uc)
{
    struct sigcontext *r = &uc->regs;
    if (r->rip == (unsigned long)stub_selftrap) {
        r->rip = s->regs.rip;
        r->rax = s->regs.rax;
        r->rcx = r->rip;
        stub_interrupted(uc);
        return;
    }
    uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    uint32_t nr = (uint32_t)info->syscall;
    if (info->arch != 0xc000003e /* AUDIT_ARCH_X86_64 */)
        nr = 0x80000000u | nr; // int 0x80: no such call
    int64_t result;
    if (nr == __NR_futex && answer_futex(s, args, &result)) {
        r->rax = (unsigned long)result;
        return;
    }
    for (int i = 0; i < 6; i++)
        s->request.args[i] = args[i];
    s->request.nr = nr;
    if (nr == __NR_rt_sigreturn)
        gather_frame(s, r->rsp);
    else
        gather(s, nr, args);
    serve_frame(s, SLOT_SYSCALL, uc);
}

// A jump onto the `syscall` instruction of a site that has been patched since (a call that goes on after a handler jumps there)
// finds an invalid opcode. The kernel takes it for the call that it is; what is answered here has to be answered here.
static int stale_futex(struct slot *s, struct stub_ucontext *uc)
{
    struct sigcontext *r = &uc->regs;
    uint8_t code[7];
    uint32_t entry = 0;
    int64_t result;
    if ((uint32_t)r->rax != __NR_futex || r->rip < 5 || stub_copy(code, (const void *)(r->rip - 5), sizeof(code)) != 0)
        return 0;
    for (int i = 0; i < 4; i++)
        entry |= (uint32_t)code[3 + i] << 8 * i;
    if (code[0] != 0xff || code[1] != 0x24 || code[2] != 0x25 || entry < STUB_JUMP_TABLE ||
        entry >= STUB_JUMP_TABLE + STUB_JUMP_TABLE_SIZE)
        return 0;
    const uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    if (!answer_futex(s, args, &result))
        return 0;
    r->rip += 2;
    r->rax = (unsigned long)result;
    return 1;
}

// Returns whether the frame is that of guest code, before whose continuation the mark has to be looked at.
int stub_trap(int sig, struct stub_siginfo *info, struct stub_ucontext *uc)
{
    struct slot *s = (struct slot *)((unsigned long)uc & -(unsigned long)SLOT_SIZE);
    unsigned long ip = uc->regs.rip;
    if (sig == STUB_SIGNAL && in_stub_code(ip)) {
        interrupt_stub_code(s, uc);
        return 0;
    }
    if (ip == (unsigned long)stub_copy_insn && sig != SIGSYS) {
        uc->regs.rip = (unsigned long)stub_copy_fault;
        return 0;
    }
    if (ip == (unsigned long)stub_string_insn && sig != SIGSYS) {
        uc->regs.rip = (unsigned long)stub_string_fault;
        return 0;
    }
    s->siginfo = (uint64_t)info - (uint64_t)s;
    if (sig == STUB_SIGNAL) {
        stub_interrupted(uc);
    } else if (sig == SIGSYS && info->code == 1 /* SYS_SECCOMP */) {
        trap_syscall(s, info, uc);
    } else if (sig != SIGILL || !stale_futex(s, uc)) {
        s->request.in_count = 0;
        s->request.nr = (uint32_t)sig;
        serve_frame(s, SLOT_FAULT, uc);
    }
    return 1;
}

long stub_patched(struct slot *s)
{
    uint32_t nr = (uint32_t)s->regs.rax;
    uint64_t args[6] = {s->regs.rdi, s->regs.rsi, s->regs.rdx, s->regs.r10, s->regs.r8, s->regs.r9};
    int64_t result;
    if (nr == __NR_futex && answer_futex(s, args, &result))
        return result;
    for (int i = 0; i < 6; i++)
        s->request.args[i] = args[i];
    s->request.nr = nr;
    gather(s, nr, args);
    uint32_t flags = serve(s, SLOT_PATCHED, &result);
    if (flags & REPLY_SIGNAL)
        s->mark = 1;
    return result;
}

struct stub_ucontext *stub_child(struct slot *s)
{
    int64_t result;
    uint32_t flags = serve(s, SLOT_READY, &result);
    if (flags & REPLY_SIGRETURN)
        return (struct stub_ucontext *)((char *)s + s->frame);
    s->regs.rax = (uint64_t)result;
    if (flags & REPLY_SIGNAL)
        s->mark = 1;
    return 0;
}
