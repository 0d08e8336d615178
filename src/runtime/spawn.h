// Starting a role of caisson-sandbox.
#pragma once

#include "runtime/error.h"
#include "sandbox/boot-spec.h"

enum { SPAWN_MAX_FDS = BOOT_FD_EXPORTS + BOOT_MAX_EXPORTS };

struct spawn {
    const char *role;       // the role's name, its only argument
    int binary;             // caisson-sandbox, opened
    uint64_t clone_flags;   // CLONE_NEW*
    int fds[SPAWN_MAX_FDS]; // descriptor to pass, by the number that it gets there; -1: none
    int fd_count;
    bool
        waits_for_mapping; // until spawn_release(): a program executed without a mapped user has no capability
    // Results.
    int pid, pidfd;
    int parent;              // pidfd of the command itself, for the child
    _Atomic uint32_t mapped; // futex word of spawn_release()
    _Atomic int error;       // errno of a child that could not execute the binary
    char *stack;
};

void spawn_init(struct spawn *s, const char *role, int binary, uint64_t clone_flags);
void spawn_pass(struct spawn *s, int number, int fd);

// Starts the process and returns while it is still on its way to its own program, with which it shares this process's
// memory until then: *s and what it names must stay as they are until the role's first message or its end.
int spawn_start(struct spawn *s, struct error *e);
// The user mapping of the process is written: it becomes user 0 of its name space and goes on.
void spawn_release(struct spawn *s);
// SIGKILL, by descriptor: a number that is stale, or -1, must never reach kill(2). Nothing happens when it is reaped.
void spawn_kill(const struct spawn *s);
void spawn_done(struct spawn *s);
