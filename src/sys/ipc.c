// System V IPC: identifiers and permissions. svipc(7).
//
// DEVIATION: one IPC namespace; POSIX message queues come with a later version.
#include "sys/ipc-int.h"

#include <linux/capability.h>
#include <sys/ipc.h>
#include <sys/stat.h>

#include "base/slab.h"
#include "kernel/kernel.h"
#include "kernel/task.h"

static void table_init(struct ipc_table *table)
{
    lock_init(&table->lock, LOCK_RANK_IPC);
}

struct ipc_ns *ipc_ns(void)
{
    struct kernel *k = the_kernel();
    struct ipc_ns *ns = __atomic_load_n(&k->ipc, __ATOMIC_ACQUIRE);
    if (likely(ns != NULL))
        return ns;
    struct ipc_ns *fresh = kmalloc(sizeof(*fresh));
    if (!fresh)
        return NULL;
    table_init(&fresh->shm);
    table_init(&fresh->sem);
    table_init(&fresh->msg);
    if (__atomic_compare_exchange_n(&k->ipc, &ns, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    kfree(fresh);
    return ns;
}

int64_t ipc_now(void)
{
    return clock_realtime() / NSEC_PER_SEC;
}

struct ipc_object *ipc_find_locked(struct ipc_table *table, int id, int *ret_error)
{
    struct ipc_object *o = id < 0 ? NULL : ipc_find_index_locked(table, id % (int)IPC_SLOTS_MAX);
    *ret_error = !o ? -EINVAL : o->id != id ? -EIDRM : 0;
    // A stale identifier of a slot in use: Linux says EINVAL unless the object went while it was looked at.
    if (*ret_error == -EIDRM)
        *ret_error = -EINVAL;
    return *ret_error ? NULL : o;
}

struct ipc_object *ipc_find_index_locked(struct ipc_table *table, int index)
{
    return index >= 0 && (uint32_t)index < table->size ? table->slots[index] : NULL;
}

struct ipc_object *ipc_find_key_locked(struct ipc_table *table, int key)
{
    for (uint32_t i = 0; i < table->size; i++) {
        if (table->slots[i] && table->slots[i]->key == key)
            return table->slots[i];
    }
    return NULL;
}

static int free_slot_locked(struct ipc_table *table)
{
    for (uint32_t i = 0; i < table->size; i++) {
        if (!table->slots[i])
            return (int)i;
    }
    uint32_t size = table->size ? table->size * 2 : 16;
    if (size > IPC_SLOTS_MAX)
        return -ENOSPC;
    struct ipc_object **slots = krealloc(table->slots, table->size * sizeof(*slots), size * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    int found = (int)table->size;
    table->slots = slots;
    table->size = size;
    return found;
}

int ipc_add_locked(struct task *t, struct ipc_table *table, struct ipc_object *o, int key, int flags, uint64_t max)
{
    if (table->count >= max)
        return -ENOSPC;
    int slot = free_slot_locked(table);
    if (slot < 0)
        return slot;
    refcount_init(&o->refs, 1);
    o->key = key;
    o->uid = o->cuid = t->cred->euid;
    o->gid = o->cgid = t->cred->egid;
    o->mode = (uint32_t)flags & 0777;
    o->seq = table->next_seq++ % IPC_SEQ_MAX;
    o->id = (int32_t)(o->seq * IPC_SLOTS_MAX) + slot;
    table->slots[slot] = o;
    table->count++;
    return o->id;
}

void ipc_remove_locked(struct ipc_table *table, struct ipc_object *o)
{
    table->slots[(uint32_t)o->id % IPC_SLOTS_MAX] = NULL;
    table->count--;
    o->removed = true;
}

int ipc_max_index_locked(const struct ipc_table *table)
{
    for (uint32_t i = table->size; i-- > 0;) {
        if (table->slots[i])
            return (int)i;
    }
    return 0;
}

int ipc_permission(struct task *t, const struct ipc_object *o, uint32_t mode)
{
    const struct cred *c = t->cred;
    uint32_t wanted = (mode >> 6 | mode >> 3 | mode) & 7, granted = o->mode;
    if (c->euid == o->cuid || c->euid == o->uid)
        granted >>= 6;
    else if (c->egid == o->cgid || c->egid == o->gid || cred_has_group(c, o->cgid) || cred_has_group(c, o->gid))
        granted >>= 3;
    return (wanted & ~granted & 7) && !cred_capable(c, CAP_IPC_OWNER) ? -EACCES : 0;
}

int ipc_owner(struct task *t, const struct ipc_object *o)
{
    uint32_t uid = t->cred->euid;
    return uid == o->cuid || uid == o->uid || capable(t, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

void ipc_perm_out(const struct ipc_object *o, struct ipc_perm_wire *out)
{
    *out = (struct ipc_perm_wire){.key = o->key,
                                  .uid = o->uid,
                                  .gid = o->gid,
                                  .cuid = o->cuid,
                                  .cgid = o->cgid,
                                  .mode = o->mode,
                                  .seq = (uint16_t)o->seq};
}

int ipc_perm_set(struct ipc_object *o, const struct ipc_perm_wire *in)
{
    if (in->uid == UINT32_MAX || in->gid == UINT32_MAX)
        return -EINVAL;
    o->uid = in->uid;
    o->gid = in->gid;
    o->mode = (o->mode & ~0777u) | (in->mode & 0777);
    return 0;
}

int ipc_get_existing_locked(struct task *t, struct ipc_table *table, int key, int flags,
                            int (*check)(const struct ipc_object *o, uint64_t size), uint64_t size)
{
    if (key == IPC_PRIVATE)
        return 1;
    struct ipc_object *o = ipc_find_key_locked(table, key);
    if (!o)
        return flags & IPC_CREAT ? 1 : -ENOENT;
    if ((flags & IPC_CREAT) && (flags & IPC_EXCL))
        return -EEXIST;
    int ret = check ? check(o, size) : 0;
    if (ret == 0)
        ret = ipc_permission(t, o, (uint32_t)flags & 0777);
    return ret < 0 ? ret : o->id;
}
