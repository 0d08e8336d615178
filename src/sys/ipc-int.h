// System V IPC, inside: identifiers, permissions, and the wire structures that its three kinds share.
//
// Each kind has a table of objects. An identifier is the slot's index plus a sequence number times IPC_SLOTS_MAX, so that an
// old one is recognised when its slot is used anew. The table's lock guards the table and everything in its objects.
#pragma once

#include "base/lock.h"
#include "base/refcount.h"
#include "base/types.h"
#include "kernel/cred.h"

struct strbuf;
struct task;

#define IPC_SLOTS_MAX 32768u
#define IPC_SEQ_MAX   (INT32_MAX / IPC_SLOTS_MAX)

struct ipc_object {
    refcount_t refs; // the table's, and of whoever uses it without the lock
    int32_t id;
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint32_t seq;
    bool removed; // not in the table any more
};

struct ipc_table {
    struct lock lock; // LOCK_RANK_IPC
    struct ipc_object **slots; // GUARDED_BY(lock)
    uint32_t size, count;      // GUARDED_BY(lock)
    uint32_t next_seq;         // GUARDED_BY(lock)
    uint64_t total;            // semaphores, pages, bytes: what the kind limits; GUARDED_BY(lock)
    uint64_t total_messages;   // GUARDED_BY(lock)
};

struct ipc_ns {
    struct ipc_table shm, sem, msg;
};

struct ipc_perm_wire { // struct ipc64_perm
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t seq, pad;
    uint32_t pad2;
    uint64_t unused[2];
};
_Static_assert(sizeof(struct ipc_perm_wire) == 48, "struct ipc64_perm is 48 bytes on x86_64");

// Commands of all kinds that glibc's headers hide or name by kind.
enum { IPC_CMD_RMID = 0, IPC_CMD_SET = 1, IPC_CMD_STAT = 2, IPC_CMD_INFO = 3 };

struct ipc_ns *ipc_ns(void); // NULL: out of memory
int64_t ipc_now(void);       // seconds of CLOCK_REALTIME

// All with the table's lock held.
struct ipc_object *ipc_find_locked(struct ipc_table *table, int id, int *ret_error); // NULL: -EINVAL or -EIDRM
struct ipc_object *ipc_find_index_locked(struct ipc_table *table, int index);        // NULL: none
struct ipc_object *ipc_find_key_locked(struct ipc_table *table, int key);
int ipc_add_locked(struct task *t, struct ipc_table *table, struct ipc_object *o, int key, int flags, uint64_t max);
void ipc_remove_locked(struct ipc_table *table, struct ipc_object *o); // the table's reference is the caller's now
int ipc_max_index_locked(const struct ipc_table *table);               // 0 when empty, as Linux's *_INFO
// mode: bits as in S_IRUGO, S_IWUGO. 0 or -EACCES.
int ipc_permission(struct task *t, const struct ipc_object *o, uint32_t mode);
int ipc_owner(struct task *t, const struct ipc_object *o); // IPC_SET, IPC_RMID: 0 or -EPERM
void ipc_perm_out(const struct ipc_object *o, struct ipc_perm_wire *out);
int ipc_perm_set(struct ipc_object *o, const struct ipc_perm_wire *in); // 0 or -EINVAL

// What *get(2) has in common: an existing object for key, checked (ret: its id, or an error), or 1: make one.
int ipc_get_existing_locked(struct task *t, struct ipc_table *table, int key, int flags,
                            int (*check)(const struct ipc_object *o, uint64_t size), uint64_t size);
