// A row of the table that is generated from syscalls.tbl.
#pragma once

#include "base/types.h"

struct task;

struct syscall_entry {
    const char *name;
    int64_t (*call)(struct task *t, const uint64_t args[6]); // NULL: not supported
    int error;          // errno of an unsupported call
    const char *spec;   // a letter for each parameter: s string, f descriptor, d directory descriptor, p address, x, o, i, u
    const char *params; // names, separated by commas
};

extern const struct syscall_entry syscall_table[];

// strace.c
void strace_enter(struct task *t, uint32_t nr, const uint64_t args[6]);
void strace_exit(struct task *t, uint32_t nr, const uint64_t args[6], int64_t result, nsec_t started);
