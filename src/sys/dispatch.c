// From the number of a call to its handler. The table is generated from syscalls.tbl.
#include <sys/syscall.h>

#include "base/lock.h"
#include "base/log.h"
#include "host/host.h"
#include "kernel/run.h"
#include "kernel/task.h"
#include "platform/platform.h"
#include "sys/dispatch-int.h"
#include "sys/syscalls-gen.h"

static int64_t unsupported(struct task *t, uint32_t nr, const struct syscall_entry *e)
{
    log_debug("[%u] call %u (%s) is not supported", t->tid, nr, e ? e->name : "unknown");
    return e && e->error ? -e->error : -ENOSYS;
}

int64_t syscall_dispatch(struct task *t, uint32_t nr, const uint64_t args[6])
{
    // A futex wait that the stub makes, interrupted for nothing: it goes on (kernel/run.c).
    if (unlikely(t->trap->trap.reason == TRAP_FUTEX) && (nr == SYS_futex || nr == SYS_restart_syscall))
        return PLATFORM_FUTEX_GO_ON;
    const struct syscall_entry *e = nr < SYSCALL_TABLE_SIZE ? &syscall_table[nr] : NULL;
    if (unlikely(t->kernel->strace)) {
        nsec_t started = host_now();
        strace_enter(t, nr, args);
        int64_t r = e && e->call ? e->call(t, args) : unsupported(t, nr, e);
        strace_exit(t, nr, args, r, started);
        return r;
    }
    if (unlikely(!e || !e->call))
        return unsupported(t, nr, e);
    return e->call(t, args);
}
