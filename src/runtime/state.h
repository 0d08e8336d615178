// What the runtime remembers of a container: a directory for each id beneath the state root, with state.json and, while
// the container's command lives, a socket at which other commands reach it.
//
// Commands on one id exclude each other by a lock (flock) on its directory. state.json is replaced as a whole. A
// directory without a readable state.json is one that a command began and did not finish; `delete --force` removes it.
// Files beneath the default root, which a reboot empties, are not synced to disk: processes don't survive a reboot either.
#pragma once

#include "runtime/container.h"

struct state_dir {
    int root, dir; // descriptors; -1: not open
    char id[1025];
    bool sync;
};

enum container_status { STATUS_CREATING, STATUS_CREATED, STATUS_RUNNING, STATUS_STOPPED };

struct container_state {
    enum container_status status; // as of reading: computed from the processes
    int pid;                      // kernel process, as the caller sees it; 0 once it is gone
    uint64_t
        pid_start; // its start time in clock ticks since boot: with the pid it names one process for ever
    char *bundle, *rootfs, *created, *annotations; // annotations: JSON text or NULL
    uint32_t owner;
};

const char *container_status_name(enum container_status status);

// "^[A-Za-z0-9_+.-]+$", at most 1,024 bytes, not "." or "..".
int state_check_id(const char *id, struct error *e);
// Where states lie unless --root says otherwise: /run/caisson, or $XDG_RUNTIME_DIR/caisson for an unprivileged user.
char *state_default_root(struct pool *pool);

// Makes the directory and locks it. An existing id is an error.
int state_create(const struct run_options *o, const char *id, struct state_dir *ret,
                 struct error *e);
// Opens and locks an existing one. Sets e->number to ENOENT when there is none.
int state_open(const struct run_options *o, const char *id, struct state_dir *ret, struct error *e);
int state_save(const struct state_dir *d, const struct container *c, int pid, struct error *e);
int state_load(const struct state_dir *d, struct pool *pool, struct container_state *ret,
               struct error *e);
void state_unlock(const struct state_dir *d);
// Removes directory and contents, under the lock, unless that has happened already.
int state_remove(struct state_dir *d, struct error *e);
void state_close(struct state_dir *d);

// Names of all containers, in the pool.
int state_list(const struct run_options *o, struct pool *pool, struct text_list *ret,
               struct error *e);

// The command's socket: made by it, and connected to by others.
int state_listen(const struct state_dir *d, int *ret, struct error *e);
int state_connect(const struct state_dir *d, int *ret, struct error *e);

// Start time of a process from /proc; false when there is no such process or it is dead already.
bool process_start_time(int pid, uint64_t *ret);
