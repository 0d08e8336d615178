// The loop of a task's kernel thread: lets the guest run until it traps, answers, looks after signals, again.
#include "kernel/run.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/lock.h"
#include "base/log.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/mm.h"
#include "mm/text.h"

#define SIGNAL_WORK (TASK_WORK_SIGNAL | TASK_WORK_KILL | TASK_WORK_STOP)

static bool is_restart_code(int64_t result)
{
    return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
}

static void answer_fault(struct task *t, const struct trap *trap)
{
    int signo = trap->sig, code = trap->code;
    if (signo == SIGSEGV || signo == SIGBUS) {
        if (mm_fault(t, trap, &signo, &code) == 0)
            return;
    }
    if (log_enabled(LOG_DEBUG)) {
        struct guest_regs r;
        platform_get_regs(t->pt, &r);
        log_debug("[%u] %s: signal %d code %d at %#lx (error %#x): rip %#lx rsp %#lx rax %#lx rdi %#lx rsi %#lx rdx %#lx "
                  "rcx %#lx fs %#lx",
                  t->tid, t->comm, signo, code, trap->addr, trap->error_code, r.rip, r.rsp, r.rax, r.rdi, r.rsi, r.rdx,
                  r.rcx, r.fs_base);
    }
    t->fault_error = trap->error_code;
    t->fault_trapno = trap->trapno;
    t->fault_addr = trap->addr;
    struct linux_siginfo info = {.signo = signo, .code = code};
    info.fault.addr = trap->addr;
    signal_force(t, signo, &info);
}

// A futex wait that the stub makes itself came back because of an interrupt: as if the kernel had made it.
static void answer_futex(struct trap_info *ti)
{
    ti->is_syscall = true;
    ti->trap.nr = SYS_futex;
    ti->result = ti->trap.args[3] ? -ERESTART_RESTARTBLOCK : -ERESTARTSYS;
}

static _Noreturn void stub_died(struct task *t)
{
    struct thread_group *g = t->group;
    log_info("a process of thread group %u ended on its own", g->tgid);
    thread_group_exit(g, SIGKILL); // no effect when the group is ending for another reason
    task_exit(t, SIGKILL);
}

// A call by way of a signal: many from one place are worth patching it.
static void note_trap(struct task *t)
{
    struct guest_regs regs;
    platform_get_regs(t->pt, &regs);
    text_note_trap(t, regs.rip);
}

static void answer(struct task *t, struct trap_info *ti)
{
    ti->is_syscall = false;
    ti->no_result = false;
    switch (ti->trap.reason) {
    case TRAP_SYSCALL:
        ti->is_syscall = true;
        if (platform_has_frame(t->pt))
            note_trap(t);
        ti->result = syscall_dispatch(t, ti->trap.nr, ti->trap.args);
        break;
    case TRAP_FAULT:
        answer_fault(t, &ti->trap);
        break;
    case TRAP_FUTEX:
        answer_futex(ti);
        break;
    case TRAP_DEAD:
        stub_died(t);
    case TRAP_INTERRUPT:
    case TRAP_WORK:
        break;
    }
}

void task_run(struct task *t)
{
    struct trap_info ti = {0};
    t->trap = &ti;
    for (;;) {
        uint32_t work = atomic_load(&t->pending_work);
        if (unlikely(work & TASK_WORK_MM))
            mm_run_deferred(t);
        bool resumed = platform_resumed(t->pt);
        // A call that was cut short for a handler has to be settled even when another thread has taken the signal.
        bool unsettled = t->unsettled.valid || (ti.is_syscall && is_restart_code(ti.result));
        if (unlikely((work & SIGNAL_WORK) || unsettled) && !resumed)
            signal_deliver(t);
        if (ti.is_syscall && !ti.no_result && !resumed)
            platform_set_result(t->pt, ti.result);
        platform_set_work(t->pt, &t->pending_work);
        lock_assert_none("return to the guest");
        struct trap trap;
        platform_run(t->pt, &trap);
        if (trap.reason == TRAP_WORK)
            continue;
        ti.trap = trap;
        answer(t, &ti);
    }
}
