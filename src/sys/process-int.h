// Shared by the calls on processes.
#pragma once

#include "abi/time.h"
#include "kernel/task.h"

void rusage_to_linux(const struct cpu_usage *u, struct rusage_wire *out);
// The process that descriptor fd, a pidfd, names: a reference, or NULL (EBADF).
struct thread_group *pidfd_get_group(struct task *t, int fd, bool *ret_nonblock);
// signal.c: kill(2) through a pidfd. info NULL: as kill(2) makes one.
int64_t signal_send_by_pidfd(struct task *t, struct thread_group *g, int sig,
                             const struct linux_siginfo *info);
// pidfd.c: may t look into other, as ptrace(2) would decide (PTRACE_MODE_ATTACH_REALCREDS: the same
// user in all ids and no capability more, and dumpable; or CAP_SYS_PTRACE)? 0 or -EPERM.
int task_may_attach(struct task *t, struct task *other);
