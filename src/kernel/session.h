// What the system calls on process groups and sessions do. See session.c.
#pragma once

#include "base/types.h"

struct task;

int thread_group_setpgid(struct task *t, int pid, int pgid);
int64_t thread_group_setsid(struct task *t);
enum group_query { GROUP_QUERY_PGID, GROUP_QUERY_SID };
int64_t thread_group_query(struct task *t, int pid, enum group_query what);
