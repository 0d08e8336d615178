// Shared by the calls that change credentials.
#pragma once

#include "kernel/task.h"

// Publishes n (takes the reference) with what a change of ids brings along. Always 0.
int64_t cred_commit(struct task *t, struct cred *n);
void cred_sort_groups(uint32_t *groups, uint32_t count);
