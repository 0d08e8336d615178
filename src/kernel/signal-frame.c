// Signal frames on the guest's stack, x86_64: struct rt_sigframe as Linux lays it out
// (arch/x86/kernel/signal_64.c), so that unwinders, debuggers and programs that read or change a
// ucontext find what they expect; and rt_sigreturn(2).
//
//     higher   [extended state, 64-byte aligned, ends with FP_XSTATE_MAGIC2]
//              siginfo                (128 bytes)
//              ucontext               (304 bytes)
//     lower    pretcode: the restorer (8 bytes); what the stack pointer is at the handler's start,
//              16-byte aligned less 8
//
// Everything read back is the guest's to choose. The registers go to the platform, which checks
// them as it checks any; of the flags only those that a program can set by itself are taken.

#include <ucontext.h>

#include "base/log.h"
#include "base/slab.h"
#include "kernel/run.h"
#include "kernel/signal-int.h"
#include "mm/copy.h"
#include "platform/platform.h"

#define RED_ZONE         128
#define FP_ALIGN         64
#define FRAME_ALIGN      16
#define SA_RESTORER_FLAG 0x04000000ull

#define UC_FP_XSTATE         1ull
#define UC_SIGCONTEXT_SS     2ull
#define UC_STRICT_RESTORE_SS 4ull

#define FP_SW_OFFSET     464 // struct _fpx_sw_bytes in the legacy area's reserved bytes
#define FP_LEGACY_SIZE   512
#define FP_HEADER_OFFSET 512
#define FP_FCW_DEFAULT   0x37f
#define FP_MXCSR_DEFAULT 0x1f80
#define FP_SIZE_MAX      (64u << 10)

#define SELECTOR_CODE  0x33
#define SELECTOR_STACK 0x2b

#define EFLAGS_DF 0x400ull
#define EFLAGS_RF 0x10000ull
#define EFLAGS_TF 0x100ull
// CF PF AF ZF SF TF DF OF RF AC: what rt_sigreturn takes (FIX_EFLAGS).
#define EFLAGS_USER (0x1ull | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x800 | 0x10000 | 0x40000)

#define SS_AUTODISARM_FLAG 0x80000000u

struct sigcontext_wire {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t di, si, bp, bx, dx, ax, cx, sp, ip, flags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate;
    uint64_t reserved[8];
};
_Static_assert(sizeof(struct sigcontext_wire) == 256, "struct sigcontext is 256 bytes");

struct stack_wire {
    uint64_t sp;
    uint32_t flags, pad;
    uint64_t size;
};

struct ucontext_wire {
    uint64_t flags, link;
    struct stack_wire stack;
    struct sigcontext_wire mc;
    uint64_t mask;
};
_Static_assert(sizeof(struct ucontext_wire) == 304, "struct ucontext is 304 bytes");

struct rt_sigframe_wire {
    uint64_t pretcode;
    struct ucontext_wire uc;
    struct linux_siginfo info;
};
_Static_assert(sizeof(struct rt_sigframe_wire) == 440, "struct rt_sigframe is 440 bytes");

// ---- The alternate stack ----

static bool in_altstack(const struct task *t, uint64_t sp)
{
    return sp > t->altstack_sp && sp - t->altstack_sp <= t->altstack_size;
}

bool signal_on_altstack(const struct task *t, uint64_t sp)
{
    // With SS_AUTODISARM the settings are gone while the handler runs: nobody is ever on it.
    if (t->altstack_flags & SS_AUTODISARM_FLAG)
        return false;
    return in_altstack(t, sp);
}

// ---- Extended state ----

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

// The extended state as the frame holds it: with the software bytes and the second magic number.
// Returns its size, 0 without one, or -ENOMEM. *ret is to be kfreed.
static int64_t fetch_fpstate(struct task *t, uint8_t **ret)
{
    uint64_t size = platform_get_fpstate(t->pt, NULL, 0);
    *ret = NULL;
    if (size == 0)
        return 0;
    BUG_ON(size < FP_LEGACY_SIZE || size > FP_SIZE_MAX);
    uint8_t *buf = kmalloc(size + 4);
    if (!buf)
        return -ENOMEM;
    *ret = buf;
    size = platform_get_fpstate(t->pt, buf, size);
    if (get32(buf + FP_SW_OFFSET) == FP_XSTATE_MAGIC1)
        return (int64_t)size; // as the host wrote it
    if (size <= FP_LEGACY_SIZE)
        return (int64_t)size;
    put32(buf + FP_SW_OFFSET, FP_XSTATE_MAGIC1);
    put32(buf + FP_SW_OFFSET + 4, (uint32_t)size + 4);
    memcpy(buf + FP_SW_OFFSET + 8, buf + FP_HEADER_OFFSET, 8); // xfeatures
    put32(buf + FP_SW_OFFSET + 16, (uint32_t)size);
    put32(buf + size, FP_XSTATE_MAGIC2);
    return (int64_t)size + 4;
}

// A handler begins with the processor's initial extended state.
static void reset_fpstate(struct task *t, const uint8_t *current, uint64_t size)
{
    if (size < FP_HEADER_OFFSET + 64)
        return;
    uint8_t *init = kmalloc(size);
    if (!init)
        return; // the handler sees the interrupted code's values: harmless
    memcpy(init + FP_SW_OFFSET, current + FP_SW_OFFSET, FP_LEGACY_SIZE - FP_SW_OFFSET);
    uint16_t fcw = FP_FCW_DEFAULT;
    memcpy(init, &fcw, sizeof(fcw));
    put32(init + 24, FP_MXCSR_DEFAULT);
    put32(init + 28, get32(current + 28)); // mxcsr_mask
    // Header: no component is in use, the format is the one of `current`.
    memcpy(init + FP_HEADER_OFFSET + 8, current + FP_HEADER_OFFSET + 8, 8);
    put32(init + size - 4, FP_XSTATE_MAGIC2);
    (void)platform_set_fpstate(t->pt, init, size);
    kfree(init);
}

// ---- Making a frame ----

static uint64_t choose_stack(struct task *t, const struct signal_action *action, uint64_t sp,
                             bool *ret_entering)
{
    bool on = signal_on_altstack(t, sp);
    *ret_entering = false;
    if ((action->flags & SA_ONSTACK) && t->altstack_size && !on) {
        *ret_entering = true;
        return t->altstack_sp + t->altstack_size;
    }
    return sp - RED_ZONE;
}

static void fill_context(struct task *t, struct sigcontext_wire *mc, const struct guest_regs *r,
                         uint64_t mask)
{
    *mc = (struct sigcontext_wire){
        .r8 = r->r8,
        .r9 = r->r9,
        .r10 = r->r10,
        .r11 = r->r11,
        .r12 = r->r12,
        .r13 = r->r13,
        .r14 = r->r14,
        .r15 = r->r15,
        .di = r->rdi,
        .si = r->rsi,
        .bp = r->rbp,
        .bx = r->rbx,
        .dx = r->rdx,
        .ax = r->rax,
        .cx = r->rcx,
        .sp = r->rsp,
        .ip = r->rip,
        .flags = r->eflags,
        .cs = SELECTOR_CODE,
        .ss = SELECTOR_STACK,
        .err = t->fault_error,
        .trapno = t->fault_trapno,
        .cr2 = t->fault_addr,
        .oldmask = mask,
    };
}

int signal_frame_push(struct task *t, int sig, const struct signal_action *action,
                      const struct linux_siginfo *info, uint64_t saved_mask,
                      struct guest_regs *regs)
{
    if (!(action->flags & SA_RESTORER_FLAG))
        return -EFAULT; // x86_64 has no other way back
    bool entering;
    bool was_on = signal_on_altstack(t, regs->rsp);
    uint64_t sp = choose_stack(t, action, regs->rsp, &entering);
    uint8_t *fp;
    int64_t fp_size = fetch_fpstate(t, &fp);
    if (fp_size < 0)
        return (int)fp_size;
    uint64_t fp_at = (sp - (uint64_t)fp_size) & ~(uint64_t)(FP_ALIGN - 1);
    uint64_t at = ((fp_at - sizeof(struct rt_sigframe_wire)) & ~(uint64_t)(FRAME_ALIGN - 1)) - 8;
    // A handler that overflows the alternate stack must not write below it.
    if ((entering || was_on) && !in_altstack(t, at)) {
        kfree(fp);
        return -EFAULT;
    }
    uint64_t total = fp_at + (uint64_t)fp_size - at;
    uint8_t *buf = kmalloc(total);
    if (!buf) {
        kfree(fp);
        return -ENOMEM;
    }
    struct rt_sigframe_wire *frame = (struct rt_sigframe_wire *)buf;
    frame->pretcode = action->restorer;
    frame->uc.flags =
        UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (fp_size > FP_LEGACY_SIZE ? UC_FP_XSTATE : 0);
    frame->uc.stack = (struct stack_wire){
        .sp = t->altstack_sp, .flags = t->altstack_flags, .size = t->altstack_size};
    fill_context(t, &frame->uc.mc, regs, saved_mask);
    frame->uc.mc.fpstate = fp_size ? fp_at : 0;
    frame->uc.mask = saved_mask;
    if (action->flags & SA_SIGINFO)
        frame->info = *info;
    if (fp_size)
        memcpy(buf + (fp_at - at), fp, (uint64_t)fp_size);
    int ret = copy_out(t, UADDR(at), buf, total);
    kfree(buf);
    if (ret == 0) {
        if (fp_size)
            reset_fpstate(t, fp, (uint64_t)fp_size);
        if (t->altstack_flags & SS_AUTODISARM_FLAG) {
            t->altstack_sp = t->altstack_size = 0;
            t->altstack_flags = SS_DISABLE;
        }
        regs->rdi = (uint64_t)sig;
        regs->rax = 0;
        regs->rsi = at + offsetof(struct rt_sigframe_wire, info);
        regs->rdx = at + offsetof(struct rt_sigframe_wire, uc);
        regs->rip = action->handler;
        regs->rsp = at;
        regs->eflags &= ~(EFLAGS_DF | EFLAGS_RF | EFLAGS_TF);
    }
    kfree(fp);
    return ret;
}

// ---- Going back ----

static int restore_fpstate(struct task *t, uint64_t at)
{
    uint64_t size = platform_get_fpstate(t->pt, NULL, 0);
    if (size == 0)
        return 0;
    uint8_t *buf = kmalloc(size + 4);
    if (!buf)
        return -ENOMEM;
    int ret;
    if (at == 0) {
        // A frame without extended state asks for the initial one.
        ret = 0;
        platform_get_fpstate(t->pt, buf, size);
        reset_fpstate(t, buf, size);
    } else {
        ret = copy_in(t, buf, UADDR(at), size);
        if (ret == 0)
            ret = platform_set_fpstate(t->pt, buf, size);
    }
    kfree(buf);
    return ret;
}

static void restore_altstack(struct task *t, const struct stack_wire *s, uint64_t sp)
{
    struct signal_stack request = {.sp = s->sp, .flags = s->flags, .size = s->size};
    // As on Linux what is not valid is left alone, without an error.
    (void)signal_set_altstack(t, &request, sp);
}

static int64_t bad_frame(struct task *t)
{
    struct linux_siginfo info = {.signo = SIGSEGV, .code = SI_KERNEL};
    signal_force(t, SIGSEGV, &info);
    return 0;
}

int64_t signal_return(struct task *t)
{
    struct guest_regs regs;
    struct ucontext_wire uc;
    platform_get_regs(t->pt, &regs);
    t->trap->no_result = true;
    // The restorer was returned to: pretcode is popped, the stack pointer is at the ucontext.
    if (copy_in(t, &uc, UADDR(regs.rsp), sizeof(uc)) < 0)
        return bad_frame(t);
    signal_set_blocked(t, uc.mask);
    // By the stack pointer of the handler, as Linux does: what is in use is not replaced.
    restore_altstack(t, &uc.stack, regs.rsp);
    const struct sigcontext_wire *mc = &uc.mc;
    regs.r8 = mc->r8;
    regs.r9 = mc->r9;
    regs.r10 = mc->r10;
    regs.r11 = mc->r11;
    regs.r12 = mc->r12;
    regs.r13 = mc->r13;
    regs.r14 = mc->r14;
    regs.r15 = mc->r15;
    regs.rdi = mc->di;
    regs.rsi = mc->si;
    regs.rbp = mc->bp;
    regs.rbx = mc->bx;
    regs.rdx = mc->dx;
    regs.rax = mc->ax;
    regs.rcx = mc->cx;
    regs.rsp = mc->sp;
    regs.rip = mc->ip;
    regs.eflags = (regs.eflags & ~EFLAGS_USER) | (mc->flags & EFLAGS_USER);
    regs.orig_rax = UINT64_MAX;
    if (restore_fpstate(t, mc->fpstate) < 0)
        return bad_frame(t);
    t->signal_depth--;
    platform_set_regs(t->pt, &regs);
    return (int64_t)regs.rax;
}

// ---- sigaltstack(2) ----

int signal_set_altstack(struct task *t, const struct signal_stack *s, uint64_t sp)
{
    uint32_t mode = s->flags & ~SS_AUTODISARM_FLAG;
    if (signal_on_altstack(t, sp))
        return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE) {
        t->altstack_sp = t->altstack_size = 0;
        t->altstack_flags = s->flags;
        return 0;
    }
    if (s->size < 2048) // MINSIGSTKSZ: Linux asks for more only with AMX, or when built so
        return -ENOMEM;
    t->altstack_sp = s->sp;
    t->altstack_size = s->size;
    t->altstack_flags = s->flags;
    return 0;
}

void signal_get_altstack(const struct task *t, uint64_t sp, struct signal_stack *out)
{
    uint32_t state = !t->altstack_size ? SS_DISABLE : signal_on_altstack(t, sp) ? SS_ONSTACK : 0;
    *out = (struct signal_stack){.sp = t->altstack_sp,
                                 .flags = state | (t->altstack_flags & SS_AUTODISARM_FLAG),
                                 .size = t->altstack_size};
}

void signal_frame_failed(struct task *t, int sig)
{
    struct linux_siginfo info = {.signo = SIGSEGV, .code = SI_KERNEL};
    if (sig == SIGSEGV) {
        // The handler of SIGSEGV itself can't be run: the default action, whatever is set.
        struct signal_action reset = {0};
        lock_take(&t->group->sig_lock);
        sighand_set(t->group->sighand, SIGSEGV, &reset);
        lock_release(&t->group->sig_lock);
    }
    signal_force(t, SIGSEGV, &info);
}
