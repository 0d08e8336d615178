// The hand-off: waiting for a stub's request, answering it, and everything that rides on the two lines of a slot.
//
// request.seq belongs to the stub, reply.seq to the kernel. Each side posts by writing its line and then its seq, and wakes the
// other only when that one says that it sleeps. Whatever is read from a slot is a guest's word: it is read once, checked, used.
#include <linux/futex.h>
#include <signal.h>

#include "base/log.h"
#include "host/host.h"
#include "platform/trap/trap-int.h"

#define SPIN_KERNEL 1000   // looks at the slot before a kernel thread sleeps: about what a sleep and a wake-up cost
#define SPIN_STUB 2000
#define LONG_CYCLES 200000 // a request that comes later than this after the reply would not have been worth a spin
#define HOLD_AFTER 8       // quick requests before a stub is held on a CPU
#define ANSWER_TIME (15 * NSEC_PER_SEC) // for a stub to do what it was told
#define PENALTY_MAX 10     // spinning is tried again after 2 << penalty quick requests
#define REWARD 64          // spins that paid, for one step of penalty less

struct host_ucontext {
    uint64_t flags, link;
    struct {
        uint64_t sp;
        int32_t flags, pad;
        uint64_t size;
    } stack;
    struct sigcontext regs;
    uint64_t sigmask;
};

#define FRAME_LOW offsetof(struct slot, altstack)
#define FRAME_HIGH (offsetof(struct slot, altstack) + SLOT_ALTSTACK_SIZE)

struct host_ucontext *frame_of(struct platform_thread *pt)
{
    return (struct host_ucontext *)((char *)pt->slot + pt->frame);
}

// ---- Waiting --------------------------------------------------------------------------------------------------------

static void count_running(struct platform_thread *pt, bool on)
{
    if (pt->counted == on)
        return;
    pt->counted = on;
    atomic_fetch_add_explicit(&pt->pm->p->running, on ? 1 : -1, memory_order_relaxed);
}

void platform_block(struct platform_thread *pt)
{
    count_running(pt, false);
    if (pt->slot)
        __atomic_store_n(&pt->slot->reply.spin, 0, __ATOMIC_RELAXED); // the stub need not look any longer
}

void platform_unblock(struct platform_thread *pt)
{
    count_running(pt, true);
}

static void cpu_mask(uint64_t mask[16], uint32_t cpu)
{
    memset(mask, 0, 16 * sizeof(uint64_t));
    mask[cpu / 64] = BIT(cpu % 64);
}

// Where the kernel thread may run. While hand-offs sleep it goes where its stub is: a wake-up on one CPU costs a tenth of one
// across CPUs. To spin it has to run beside its stub, never in its place.
static void place(struct platform_thread *pt, bool spin)
{
    uint64_t mask[16];
    uint32_t cpu = *(volatile uint16_t *)&pt->slot->request.cpu;
    int wanted = spin ? -(int)cpu : (int)cpu;
    const struct platform_config *config = &pt->pm->p->config;
    if (pt->placed == wanted || cpu == 0 || cpu > 1024 || config->cpu_count < 2)
        return;
    pt->placed = wanted;
    cpu--;
    if (!(config->cpu_mask[cpu / 64] & BIT(cpu % 64)))
        return; // the guest's word: not a CPU of ours
    if (spin) {
        memcpy(mask, config->cpu_mask, sizeof(mask));
        mask[cpu / 64] &= ~BIT(cpu % 64);
    } else {
        cpu_mask(mask, cpu);
    }
    host_sched_setaffinity(0, sizeof(mask), mask);
}

// While calls come quickly and hand-offs sleep, the stub stays where its kernel thread is: the host would wake it on the CPU that
// looks idler, and the two would chase each other. It is let go as soon as it computes for a while.
static void hold_stub(struct platform_thread *pt, bool hold)
{
    uint64_t mask[16];
    uint32_t cpu = *(volatile uint16_t *)&pt->slot->request.cpu;
    const struct platform_config *config = &pt->pm->p->config;
    if (pt->stub_held == hold || cpu == 0 || cpu > 1024 || config->cpu_count < 2 || !pt->tid ||
        !(config->cpu_mask[(cpu - 1) / 64] & BIT((cpu - 1) % 64)) || atomic_load(&pt->pm->dead))
        return;
    pt->stub_held = hold;
    if (hold)
        cpu_mask(mask, cpu - 1);
    else if (pt->affinity_set)
        memcpy(mask, pt->affinity, sizeof(mask));
    else
        memcpy(mask, config->cpu_mask, sizeof(mask));
    host_sched_setaffinity(pt->tid, sizeof(mask), mask);
}

static uint32_t request_seq(struct platform_thread *pt)
{
    return __atomic_load_n(&pt->slot->request.seq, __ATOMIC_ACQUIRE);
}

// Spinning is for a thread whose requests come quickly, while a CPU is free for it: each running thread of the sandbox has one,
// and there is one more. What the rest of the host does shows in spins that don't pay.
static bool may_spin(const struct platform_thread *pt)
{
    const struct platform *p = pt->pm->p;
    return !p->config.no_spin && p->config.cpu_count > 1 && pt->spinning &&
           (uint32_t)atomic_load_explicit(&p->running, memory_order_relaxed) < p->config.cpu_count;
}

static bool spin_for_request(struct platform_thread *pt)
{
    hold_stub(pt, false);
    place(pt, true);
    for (int i = 0; i < SPIN_KERNEL; i++) {
        if (request_seq(pt) != pt->seen) {
            if (++pt->spins_paid >= REWARD) {
                pt->spins_paid = 0;
                pt->spin_penalty -= pt->spin_penalty > 0;
            }
            return true;
        }
        __builtin_ia32_pause();
    }
    pt->spinning = false;
    pt->spins_paid = 0;
    pt->quick = 0;
    pt->spin_penalty = (uint8_t)MIN(pt->spin_penalty + 1, PENALTY_MAX);
    return false;
}

// bounded: for what a stub does at once when it is told to. One that does not is killed: others may wait for locks that are
// held meanwhile.
static void sleep_for_request(struct platform_thread *pt, bool bounded)
{
    const struct timespec second = {1, 0};
    nsec_t waited = 0, last = bounded ? host_now() : 0;
    struct slot *s = pt->slot;
    uint64_t before = __builtin_ia32_rdtsc();
    pt->counts.sleeps++;
    place(pt, false);
    atomic_store_explicit(&pt->waiter, (uint32_t)host_gettid(), memory_order_relaxed);
    __atomic_store_n(&s->reply.sleeping, 1, __ATOMIC_SEQ_CST);
    while (request_seq(pt) == pt->seen && !atomic_load(&pt->pm->dead)) {
        host_futex(&s->request.seq, FUTEX_WAIT, pt->seen, bounded ? &second : NULL, NULL, 0);
        if (!bounded)
            continue;
        nsec_t now = host_now();
        waited += MIN(now - last, 2 * NSEC_PER_SEC); // no more for a sandbox that was frozen
        last = now;
        if (waited > ANSWER_TIME && request_seq(pt) == pt->seen) {
            stub_is_late(pt);
            waited = 0;
        }
    }
    __atomic_store_n(&s->reply.sleeping, 0, __ATOMIC_RELAXED);
    atomic_store_explicit(&pt->waiter, 0, memory_order_relaxed);
    if (__builtin_ia32_rdtsc() - before > LONG_CYCLES) {
        pt->quick = 0;
        hold_stub(pt, false);
    } else if (++pt->quick >= 2u << pt->spin_penalty) {
        pt->spinning = true;
    }
    if (pt->quick == HOLD_AFTER)
        hold_stub(pt, true);
}

enum wait_result wait_request(struct platform_thread *pt, bool guest)
{
    if (request_seq(pt) == pt->seen && (!may_spin(pt) || !spin_for_request(pt)))
        sleep_for_request(pt, !guest);
    if (atomic_load(&pt->pm->dead))
        return WAIT_DEAD;
    pt->seen = request_seq(pt);
    if (!guest)
        atomic_fetch_add_explicit(&pt->progress, 1, memory_order_relaxed);
    pt->counts.handoffs++;
    return WAIT_REQUEST;
}

void send_reply(struct platform_thread *pt, uint32_t flags)
{
    struct slot *s = pt->slot;
    s->reply.flags = flags;
    s->reply.result = pt->result;
    s->reply.copy_count = (uint16_t)pt->copy_count;
    if (pt->copy_count) {
        memcpy(s->copy, pt->copy, pt->copy_count * sizeof(pt->copy[0]));
        pt->counts.window_copies += pt->copy_count;
    }
    s->reply.command_count = (uint16_t)pt->command_count;
    s->reply.spin = may_spin(pt) ? SPIN_STUB : 0;
    pt->copy_count = 0;
    pt->window_used = 0;
    pt->in_count = 0;
    __atomic_exchange_n(&s->reply.seq, ++pt->reply_seq, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&s->request.sleeping, __ATOMIC_SEQ_CST)) {
        pt->counts.stub_wakes += 1;
        host_futex(&s->reply.seq, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}

// ---- Requests -------------------------------------------------------------------------------------------------------

static void take_in_records(struct platform_thread *pt)
{
    struct slot *s = pt->slot;
    uint32_t count = MIN(*(volatile uint8_t *)&s->request.in_count, (uint8_t)SLOT_IN_MAX);
    pt->in_count = 0;
    pt->window_used = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slot_in in = *(volatile struct slot_in *)&s->in[i];
        if (in.size > SLOT_WINDOW_SIZE / 2 || in.offset > SLOT_WINDOW_SIZE / 2 - in.size)
            continue;
        pt->in[pt->in_count++] = in;
        pt->window_used = MAX(pt->window_used, (in.offset + in.size + 63u) & ~63u);
    }
}

// The frame that the stub names: 0 unless all of it lies where signal frames lie.
static void take_frame(struct platform_thread *pt)
{
    uint64_t at = *(volatile uint64_t *)&pt->slot->frame;
    pt->frame = pt->fp = pt->fp_size = 0;
    if (at < FRAME_LOW || at > FRAME_HIGH - sizeof(struct host_ucontext) || at % 8)
        return;
    pt->frame = (uint32_t)at;
    uint64_t fp = *(volatile uint64_t *)&frame_of(pt)->regs.fpstate;
    if (fp < pt->slot_addr + FRAME_LOW || fp > pt->slot_addr + FRAME_HIGH - 512 || fp % 16)
        return;
    pt->fp = (uint32_t)(fp - pt->slot_addr);
    struct _fpx_sw_bytes sw;
    memcpy(&sw, (char *)pt->slot + pt->fp + 464, sizeof(sw));
    uint32_t room = (uint32_t)FRAME_HIGH - pt->fp;
    pt->fp_size = sw.magic1 == FP_XSTATE_MAGIC1 && sw.extended_size >= 576 && sw.extended_size <= room
                      ? sw.extended_size
                      : 512;
}

static bool is_fault(uint32_t sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP || sig == SIGSYS;
}

static void take_fault(struct platform_thread *pt, uint32_t sig, struct trap *out)
{
    struct {
        int32_t signo, error, code, pad;
        uint64_t addr;
    } info = {0};
    uint64_t at = *(volatile uint64_t *)&pt->slot->siginfo;
    if (at >= FRAME_LOW && at <= FRAME_HIGH - 128)
        memcpy(&info, (char *)pt->slot + at, sizeof(info));
    out->reason = TRAP_FAULT;
    out->sig = (int)sig;
    out->code = info.code;
    out->addr = info.addr;
    struct sigcontext *r = &frame_of(pt)->regs;
    out->error_code = (uint32_t) * (volatile uint64_t *)&r->err;
    out->trapno = (uint32_t) * (volatile uint64_t *)&r->trapno;
    pt->counts.faults += 1;
}

// A jump onto the `syscall` instruction of a site that has been patched since: it finds the upper half of the jump table's
// address, an invalid opcode. That is a system call.
static bool take_stale_call(struct platform_thread *pt, struct trap *out)
{
    struct sigcontext *r = &frame_of(pt)->regs;
    uint64_t ip = *(volatile uint64_t *)&r->rip;
    uint8_t code[7];
    uint32_t entry;
    if (out->sig != SIGILL || ip < GUEST_ADDR_MIN + 5 || platform_read(pt->pm, ip - 5, code, sizeof(code)) != sizeof(code))
        return false;
    memcpy(&entry, code + 3, 4);
    if (code[0] != 0xff || code[1] != 0x24 || code[2] != 0x25 || entry < STUB_JUMP_TABLE ||
        entry >= STUB_JUMP_TABLE + STUB_JUMP_TABLE_SIZE)
        return false;
    r->rip = ip + 2;
    out->reason = TRAP_SYSCALL;
    out->nr = (uint32_t)r->rax;
    const uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
    memcpy(out->args, args, sizeof(args));
    return true;
}

// Turns the request that has arrived into a trap. False: it was none for the kernel above, wait on.
static bool take_request(struct platform_thread *pt, struct trap *out)
{
    struct slot *s = pt->slot;
    uint32_t kind = *(volatile uint8_t *)&s->request.kind;
    out->nr = *(volatile uint32_t *)&s->request.nr;
    pt->has_result = false;
    pt->futex_interrupted = false;
    switch (kind) {
    case SLOT_PATCHED:
        out->reason = TRAP_SYSCALL;
        for (int i = 0; i < 6; i++)
            out->args[i] = *(volatile uint64_t *)&s->request.args[i];
        take_in_records(pt);
        pt->frame = pt->fp = pt->fp_size = 0;
        pt->counts.patched_calls++;
        return true;
    case SLOT_SYSCALL:
        out->reason = TRAP_SYSCALL;
        for (int i = 0; i < 6; i++)
            out->args[i] = *(volatile uint64_t *)&s->request.args[i];
        take_in_records(pt);
        take_frame(pt);
        pt->counts.sigsys_traps++;
        return true;
    case SLOT_FAULT:
        pt->in_count = pt->window_used = 0;
        take_frame(pt);
        if (!pt->frame || !is_fault(out->nr))
            break;
        take_fault(pt, out->nr, out);
        take_stale_call(pt, out);
        return true;
    case SLOT_INTERRUPT:
        pt->in_count = pt->window_used = 0;
        take_frame(pt);
        if (!pt->frame)
            break;
        out->reason = TRAP_INTERRUPT;
        return true;
    case SLOT_FUTEX_INTERRUPTED:
        pt->in_count = pt->window_used = 0;
        out->reason = TRAP_FUTEX;
        for (int i = 0; i < 6; i++)
            out->args[i] = *(volatile uint64_t *)&s->futex_args[i];
        pt->futex_interrupted = true;
        pt->frame = 0;
        return true;
    case SLOT_DONE_RESUMED:
        return false;
    default:
        break;
    }
    // Not what an honest stub posts here.
    platform_mm_kill(pt->pm);
    out->reason = TRAP_DEAD;
    return true;
}

static void account_guest(struct platform_thread *pt, bool entering)
{
    if (!pt->pm->multi)
        return;
    nsec_t now = host_now();
    if (entering)
        pt->guest_since = now;
    else if (pt->guest_since) {
        pt->user_time += now - pt->guest_since;
        pt->guest_since = 0;
    }
}

void platform_run(struct platform_thread *pt, struct trap *out)
{
    bool was_resumed = pt->resumed;
    pt->resumed = false;
    if (!was_resumed) {
        if (!make_ready(pt)) {
            out->reason = TRAP_DEAD;
            return;
        }
        uint32_t flags = REPLY_RESUME;
        if (!pt->started && pt->first_frame)
            flags |= REPLY_SIGRETURN;
        if (pt->has_result)
            flags |= REPLY_RESULT;
        pt->in_guest = true;
        atomic_thread_fence(memory_order_seq_cst);
        if (pt->want_frame && !pt->frame) {
            flags |= REPLY_SIGNAL;
        } else if (pt->work && atomic_load(pt->work)) {
            pt->in_guest = false;
            out->reason = TRAP_WORK;
            return;
        }
        pt->want_frame = false;
        pt->started = true;
        count_running(pt, true);
        pt->command_count = 0;
        account_guest(pt, true);
        send_reply(pt, flags);
    }
    do {
        if (wait_request(pt, true) == WAIT_DEAD) {
            count_running(pt, false);
            pt->in_guest = false;
            out->reason = TRAP_DEAD;
            return;
        }
    } while (!take_request(pt, out));
    pt->in_guest = false;
    atomic_store_explicit(&pt->progress, atomic_load_explicit(&pt->progress, memory_order_relaxed) + 1, memory_order_relaxed);
    account_guest(pt, false);
}

void platform_set_work(struct platform_thread *pt, _Atomic uint32_t *word)
{
    pt->work = word;
}

void platform_set_result(struct platform_thread *pt, int64_t result)
{
    pt->result = result;
    pt->has_result = true;
    if (pt->frame)
        frame_of(pt)->regs.rax = (uint64_t)result;
}

// ---- Registers ------------------------------------------------------------------------------------------------------

void platform_get_regs(struct platform_thread *pt, struct guest_regs *out)
{
    if (pt->frame) {
        struct sigcontext r;
        memcpy(&r, &frame_of(pt)->regs, sizeof(r));
        *out = (struct guest_regs){.r8 = r.r8, .r9 = r.r9, .r10 = r.r10, .r11 = r.r11, .r12 = r.r12, .r13 = r.r13,
                                   .r14 = r.r14, .r15 = r.r15, .rdi = r.rdi, .rsi = r.rsi, .rbp = r.rbp, .rbx = r.rbx,
                                   .rdx = r.rdx, .rax = r.rax, .rcx = r.rcx, .rsp = r.rsp, .rip = r.rip,
                                   .eflags = r.eflags};
    } else {
        struct slot_regs r;
        memcpy(&r, &pt->slot->regs, sizeof(r));
        *out = (struct guest_regs){.r8 = r.r8, .r9 = r.r9, .r10 = r.r10, .r11 = 0x202, .r12 = r.r12, .r13 = r.r13,
                                   .r14 = r.r14, .r15 = r.r15, .rdi = r.rdi, .rsi = r.rsi, .rbp = r.rbp, .rbx = r.rbx,
                                   .rdx = r.rdx, .rax = r.rax, .rcx = r.rip, .rsp = r.rsp, .rip = r.rip,
                                   .eflags = 0x202};
    }
    out->fs_base = pt->fs_base;
    out->orig_rax = (uint64_t)-1;
}

void platform_set_regs(struct platform_thread *pt, const struct guest_regs *r)
{
    pt->has_result = false;
    if (pt->frame) {
        struct sigcontext *c = &frame_of(pt)->regs;
        c->r8 = r->r8, c->r9 = r->r9, c->r10 = r->r10, c->r11 = r->r11, c->r12 = r->r12, c->r13 = r->r13;
        c->r14 = r->r14, c->r15 = r->r15, c->rdi = r->rdi, c->rsi = r->rsi, c->rbp = r->rbp, c->rbx = r->rbx;
        c->rdx = r->rdx, c->rax = r->rax, c->rcx = r->rcx, c->rsp = r->rsp, c->rip = r->rip, c->eflags = r->eflags;
    } else {
        pt->slot->regs = (struct slot_regs){.r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11, .r12 = r->r12,
                                            .r13 = r->r13, .r14 = r->r14, .r15 = r->r15, .rdi = r->rdi, .rsi = r->rsi,
                                            .rbp = r->rbp, .rbx = r->rbx, .rdx = r->rdx, .rax = r->rax, .rcx = r->rcx,
                                            .eflags = r->eflags, .rsp = r->rsp, .rip = r->rip};
        pt->result = (int64_t)r->rax;
    }
}

bool platform_has_frame(const struct platform_thread *pt)
{
    return pt->frame != 0;
}

void platform_demand_frame(struct platform_thread *pt)
{
    pt->want_frame = true;
}

uint64_t platform_get_fpstate(struct platform_thread *pt, void *buf, uint64_t size)
{
    if (!pt->frame || !pt->fp)
        return 0;
    if (!buf)
        return pt->fp_size;
    if (size < pt->fp_size)
        return 0;
    memcpy(buf, (char *)pt->slot + pt->fp, pt->fp_size);
    return pt->fp_size;
}

int platform_set_fpstate(struct platform_thread *pt, const void *buf, uint64_t size)
{
    if (!pt->frame)
        return -EINVAL;
    if (!buf) { // initial state
        frame_of(pt)->regs.fpstate = 0;
        return 0;
    }
    if (!pt->fp || size > pt->fp_size || size < 512)
        return -EINVAL;
    // The host checks the contents when the frame is restored; a bad one is a fault of the guest's.
    memcpy((char *)pt->slot + pt->fp, buf, size);
    if (size < pt->fp_size)
        memset((char *)pt->slot + pt->fp + 464, 0, 48); // legacy state only
    frame_of(pt)->regs.fpstate = (void *)(pt->slot_addr + pt->fp);
    return 0;
}

// A frame from which a new process or thread starts by rt_sigreturn: initial extended state, no signal blocked.
void prepare_first_frame(struct platform_thread *pt, bool own_fp)
{
    struct slot *s = pt->slot;
    pt->frame = SLOT_FRAME_FIRST;
    pt->fp = pt->fp_size = 0;
    pt->first_frame = true;
    s->frame = SLOT_FRAME_FIRST;
    struct host_ucontext *uc = frame_of(pt);
    *uc = (struct host_ucontext){.flags = 6 /* UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */};
    uc->stack.sp = pt->slot_addr + FRAME_LOW;
    uc->stack.size = SLOT_ALTSTACK_SIZE;
    uc->regs.cs = 0x33;
    uc->regs.__pad0 = 0x2b; // ss
    uc->regs.eflags = 0x202;
    if (own_fp) { // the new thread saves its creator's state there itself
        pt->fp = SLOT_FX;
        pt->fp_size = 512;
        uc->regs.fpstate = (void *)(pt->slot_addr + SLOT_FX);
    }
}

// The parent's frame becomes the child's first one. It goes to the low end of the alternate stack: an interrupt that comes
// before the child has used it takes the high end.
void copy_first_frame(struct platform_thread *pt, struct platform_thread *parent, uint32_t frame, uint32_t fp,
                      uint32_t fp_size)
{
    _Static_assert(sizeof(struct host_ucontext) <= SLOT_FX - SLOT_FRAME_FIRST, "the frame ends before the extended state");
    struct host_ucontext *uc = (struct host_ucontext *)((char *)pt->slot + SLOT_FRAME_FIRST);
    memcpy(uc, (char *)parent->slot + frame, sizeof(*uc));
    uc->regs.fpstate = NULL;
    pt->frame = SLOT_FRAME_FIRST;
    pt->fp = pt->fp_size = 0;
    if (fp && fp_size <= SLOT_ALTSTACK_SIZE / 2 - (SLOT_FX - SLOT_FRAME_FIRST)) {
        memcpy((char *)pt->slot + SLOT_FX, (char *)parent->slot + fp, fp_size);
        uc->regs.fpstate = (void *)(pt->slot_addr + SLOT_FX);
        pt->fp = SLOT_FX;
        pt->fp_size = fp_size;
    }
    pt->slot->frame = SLOT_FRAME_FIRST;
    pt->first_frame = true;
}

// ---- Interrupts -----------------------------------------------------------------------------------------------------

void platform_condemn(struct platform_thread *pt)
{
    watch_thread(pt, &pt->condemned);
    platform_interrupt(pt);
}

void platform_interrupt(struct platform_thread *pt)
{
    struct platform_mm *pm = pt->pm;
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&pt->in_guest))
        return;
    lock_take(&pm->p->lock);
    if (!pm->reaped && pt->tid)
        host_tgkill(pm->pid, pt->tid, STUB_SIGNAL);
    lock_release(&pm->p->lock);
    watch_thread(pt, &pt->interrupted);
    atomic_fetch_add_explicit(&pm->p->counts.interrupts, 1, memory_order_relaxed);
}

// ---- Window ---------------------------------------------------------------------------------------------------------

const void *platform_window_in(struct platform_thread *pt, uint64_t addr, uint64_t size)
{
    uint64_t have = size;
    const void *p = platform_window_in_prefix(pt, addr, &have);
    return have == size ? p : NULL;
}

const void *platform_window_in_prefix(struct platform_thread *pt, uint64_t addr, uint64_t *size)
{
    for (uint32_t i = 0; i < pt->in_count; i++) {
        struct slot_in *in = &pt->in[i];
        if (addr < in->addr || addr - in->addr >= in->size)
            continue;
        uint64_t skip = addr - in->addr;
        *size = MIN(*size, in->size - skip);
        return pt->slot->window + in->offset + skip;
    }
    *size = 0;
    return NULL;
}

void *platform_window_out(struct platform_thread *pt, uint64_t addr, uint64_t size)
{
    if (pt->copy_count == SLOT_COPY_MAX || size > SLOT_WINDOW_SIZE - pt->window_used)
        return NULL;
    pt->copy[pt->copy_count++] = (struct slot_copy){.addr = addr, .size = (uint32_t)size, .offset = pt->window_used};
    void *p = pt->slot->window + pt->window_used;
    pt->window_used += (uint32_t)MIN((size + 63) & ~63ull, SLOT_WINDOW_SIZE - pt->window_used);
    return p;
}

void platform_window_shrink(struct platform_thread *pt, uint64_t unused)
{
    BUG_ON(pt->copy_count == 0 || pt->copy[pt->copy_count - 1].size < unused);
    struct slot_copy *c = &pt->copy[pt->copy_count - 1];
    c->size -= (uint32_t)unused;
    pt->window_used = (uint32_t)MIN((c->offset + c->size + 63u) & ~63u, (uint32_t)SLOT_WINDOW_SIZE);
    if (c->size == 0) {
        pt->window_used = c->offset;
        pt->copy_count--;
    }
}

void platform_window_flush(struct platform_thread *pt)
{
    // A new thread has to come up first: what it posts then is no answer to this.
    if (pt->copy_count == 0 || !make_ready(pt))
        return;
    pt->command_count = 0;
    send_reply(pt, 0);
    if (wait_request(pt, false) == WAIT_DEAD)
        return;
}

// ---- Guest memory -----------------------------------------------------------------------------------------------------

uint64_t platform_read(struct platform_mm *pm, uint64_t addr, void *buf, uint64_t size)
{
    struct iovec local = {buf, size}, remote = {(void *)addr, size};
    if (size == 0 || atomic_load(&pm->dead))
        return 0;
    atomic_fetch_add_explicit(&pm->p->counts.pvm_copies, 1, memory_order_relaxed);
    int64_t n = host_process_vm_readv(pm->pid, &local, 1, &remote, 1);
    return n > 0 ? (uint64_t)n : 0;
}

uint64_t platform_write(struct platform_mm *pm, uint64_t addr, const void *buf, uint64_t size)
{
    struct iovec local = {(void *)buf, size}, remote = {(void *)addr, size};
    if (size == 0 || atomic_load(&pm->dead))
        return 0;
    atomic_fetch_add_explicit(&pm->p->counts.pvm_copies, 1, memory_order_relaxed);
    int64_t n = host_process_vm_writev(pm->pid, &local, 1, &remote, 1);
    return n > 0 ? (uint64_t)n : 0;
}
