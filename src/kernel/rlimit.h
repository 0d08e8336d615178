// Resource limits. See rlimit.c.
#pragma once

#include "kernel/task.h"

void rlimit_get(struct thread_group *g, int resource, struct rlimit_value *out);
// Changes a limit of g in t's name; *old (may be NULL) is the one before. 0, -EINVAL, -EPERM.
int rlimit_set(struct task *t, struct thread_group *g, int resource,
               const struct rlimit_value *value, struct rlimit_value *old);
