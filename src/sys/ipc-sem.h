// System V semaphores, inside: ipc-sem.c (operations, control), ipc-sem-undo.c (SEM_UNDO).
#pragma once

#include "base/list.h"
#include "sys/ipc-int.h"

#define SEM_VALUE_MAX 32767

struct task;

struct sem_value {
    uint16_t value;
    int32_t pid; // who changed it last
};

struct sem_set {
    struct ipc_object o;
    uint32_t count;      // immutable
    int64_t otime, ctime;
    struct sem_value *values; // kmalloc'ed
    struct list waiters; // struct sem_waiter, in order of arrival
    struct list undos;   // struct sem_undo.set_node
};

struct sem_op { // struct sembuf
    uint16_t num;
    int16_t by, flags;
};
_Static_assert(sizeof(struct sem_op) == 6, "struct sembuf is 6 bytes");

// What one process has done to one set with SEM_UNDO. Guarded by the table's lock, like all here.
struct sem_undo {
    struct list list_node; // sem_undo_list.undos
    struct list set_node;  // sem_set.undos
    struct sem_set *set;
    int16_t *by; // to be added at the end; kmalloc'ed
};

struct sem_undo_list {
    refcount_t refs; // tasks that share it
    struct list undos;
};

enum { SEM_WAITING = 1 }; // status of a waiter, else its result

struct sem_waiter { // on the stack of who waits
    struct list node;
    struct task *task;
    struct sem_op *ops;
    uint32_t count, blocking; // blocking: which of them
    bool alters;
    struct sem_undo *undo; // or NULL
    int32_t pid;
    int32_t status; // written under the lock; read without
};

struct sem_set *sem_set_of(struct ipc_object *o);
// Semaphores have changed: lets waiters go that can. Table's lock held.
void sem_update_locked(struct sem_set *s);
// The caller's undo record for s, made when there is none. Table's lock held. NULL: no memory.
struct sem_undo *sem_undo_get_locked(struct task *t, struct sem_set *s);
void sem_undo_forget_locked(struct sem_set *s, int num); // -1: all semaphores; SETVAL, SETALL
void sem_undo_remove_locked(struct sem_set *s);          // the set goes
