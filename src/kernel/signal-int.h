// What the files of the signal code share.
#pragma once

#include "kernel/task.h"

#define HANDLER_DEFAULT 0ull
#define HANDLER_IGNORE  1ull

#define STOP_SIGNALS (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))

// False: no room under the limit.
bool sigpending_add_locked(struct sigpending *p, struct task *target,
                           const struct linux_siginfo *info, uint64_t limit);
void sigpending_recount_locked(struct sigpending *p, int sig); // the set's bit as the queue says
void sighand_set(struct sighand *s, int sig, const struct signal_action *a);
