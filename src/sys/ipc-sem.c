// System V semaphores: semget(2), semop(2), semtimedop(2), semctl(2).
//
// An array of operations is tried as a whole under the table's lock. One that can't be done waits in the set's list; whoever
// changes the set tries the list in order of arrival, so that the waiter's operations are done for it before it even wakes.
//
// Locking: the table's lock guards sets, waiters and undo records. A waiter lies on its thread's stack and leaves the list
// under the lock; who wakes it does so under the lock, too.
#include <sys/ipc.h>
#include <sys/sem.h>

#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/ipc.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/ipc-sem.h"
#include "sys/syscalls-gen.h"
#include "sys/time-int.h"

SLAB_TYPE(set_slab, SLAB_SEM_SET, struct sem_set);

struct semid_wire { // struct semid64_ds
    struct ipc_perm_wire perm;
    int64_t otime;
    uint64_t unused1;
    int64_t ctime;
    uint64_t unused2, count, unused3, unused4;
};
_Static_assert(sizeof(struct semid_wire) == 104, "struct semid64_ds is 104 bytes on x86_64");

struct seminfo_wire {
    int32_t map, mni, mns, mnu, msl, opm, ume, usz, vmx, aem;
};

struct sem_set *sem_set_of(struct ipc_object *o)
{
    return container_of(o, struct sem_set, o);
}

static void set_free(struct sem_set *s)
{
    kfree(s->values);
    slab_free(&set_slab, s);
}

// ---- semget ----

static int check_count(const struct ipc_object *o, uint64_t count)
{
    return count > container_of(o, struct sem_set, o)->count ? -EINVAL : 0;
}

static int add_locked(struct task *t, struct ipc_table *table, struct sem_set *s, int key, int flags)
{
    if (table->total + s->count > sysctl_get(t->kernel, SYSCTL_SEMMNS))
        return -ENOSPC;
    int ret = ipc_add_locked(t, table, &s->o, key, flags, sysctl_get(t->kernel, SYSCTL_SEMMNI));
    if (ret >= 0)
        table->total += s->count;
    return ret;
}

int64_t sys_semget(struct task *t, int key, int nsems, int flags)
{
    struct ipc_ns *ns = ipc_ns();
    if (!ns)
        return -ENOMEM;
    if (nsems < 0 || (uint64_t)nsems > sysctl_get(t->kernel, SYSCTL_SEMMSL))
        return -EINVAL;
    struct ipc_table *table = &ns->sem;
    struct sem_set *s = NULL;
    lock_take(&table->lock);
    int ret = ipc_get_existing_locked(t, table, key, flags, check_count, (uint64_t)nsems);
    if (ret == 1) {
        ret = nsems == 0 ? -EINVAL : 0;
        s = ret == 0 ? slab_alloc(&set_slab) : NULL;
        if (s) {
            s->count = (uint32_t)nsems;
            s->values = kmalloc((uint64_t)nsems * sizeof(*s->values));
            s->ctime = ipc_now();
            list_init(&s->waiters);
            list_init(&s->undos);
        }
        if (ret == 0)
            ret = s && s->values ? add_locked(t, table, s, key, flags) : -ENOMEM;
        if (s && ret < 0)
            set_free(s);
    }
    lock_release(&table->lock);
    return ret;
}

// ---- Operations ----

static void revert(struct sem_set *s, const struct sem_waiter *w, uint32_t done)
{
    while (done-- > 0) {
        const struct sem_op *op = &w->ops[done];
        s->values[op->num].value = (uint16_t)(s->values[op->num].value - op->by);
        if (w->undo && (op->flags & SEM_UNDO))
            w->undo->by[op->num] = (int16_t)(w->undo->by[op->num] + op->by);
    }
}

// One operation: 0 done, 1 has to wait, or an error. Nothing has changed then.
static int try_one(struct sem_set *s, struct sem_waiter *w, const struct sem_op *op)
{
    struct sem_value *v = &s->values[op->num];
    int32_t value = v->value + op->by;
    if (op->by == 0 ? v->value != 0 : value < 0)
        return op->flags & IPC_NOWAIT ? -EAGAIN : 1;
    if (value > SEM_VALUE_MAX)
        return -ERANGE;
    if (op->flags & SEM_UNDO) {
        int32_t undo = w->undo->by[op->num] - op->by;
        if (undo < -SEM_VALUE_MAX - 1 || undo > SEM_VALUE_MAX)
            return -ERANGE;
        w->undo->by[op->num] = (int16_t)undo;
    }
    v->value = (uint16_t)value;
    return 0;
}

static int try_all(struct sem_set *s, struct sem_waiter *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        int ret = try_one(s, w, &w->ops[i]);
        if (ret) {
            w->blocking = i;
            revert(s, w, i);
            return ret;
        }
    }
    for (uint32_t i = 0; i < w->count; i++)
        s->values[w->ops[i].num].pid = w->pid;
    return 0;
}

static void wake_locked(struct sem_waiter *w, int status)
{
    list_remove(&w->node);
    __atomic_store_n(&w->status, status, __ATOMIC_SEQ_CST);
    task_wake(w->task); // its thread can't be gone: it takes the lock before it leaves
}

void sem_update_locked(struct sem_set *s)
{
    struct sem_waiter *w, *tmp;
    bool again = true;
    while (again) {
        again = false;
        list_for_each_safe(w, tmp, &s->waiters, node)
        {
            int ret = try_all(s, w);
            if (ret == SEM_WAITING)
                continue;
            bool changed = ret == 0 && w->alters;
            wake_locked(w, ret);
            if (ret == 0)
                s->otime = ipc_now();
            if (changed) { // earlier ones may be able to go on now
                again = true;
                break;
            }
        }
    }
}

static int check_ops(struct task *t, const struct sem_set *s, struct sem_waiter *w, bool *ret_undo)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        max = MAX(max, w->ops[i].num);
        w->alters = w->alters || w->ops[i].by != 0;
        *ret_undo = *ret_undo || (w->ops[i].flags & SEM_UNDO);
    }
    if (max >= s->count)
        return -EFBIG;
    return ipc_permission(t, &s->o, w->alters ? 0222 : 0444);
}

// Waits until somebody has done the operations for us. The lock is held on entry and return.
static int wait_locked(struct task *t, struct ipc_table *table, struct sem_set *s, struct sem_waiter *w, nsec_t deadline)
{
    int ret = 0;
    w->status = SEM_WAITING;
    list_push_back(&s->waiters, &w->node);
    lock_release(&table->lock);
    for (;;) {
        wait_arm(t);
        if (__atomic_load_n(&w->status, __ATOMIC_SEQ_CST) != SEM_WAITING)
            break;
        ret = wait_sleep(t, deadline);
        if (ret < 0)
            break;
    }
    lock_take(&table->lock);
    if (w->status != SEM_WAITING)
        return w->status; // done after all, or the set is gone
    list_remove(&w->node);
    return ret == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

static int operate(struct task *t, int id, struct sem_waiter *w, nsec_t deadline)
{
    struct ipc_ns *ns = ipc_ns();
    bool undo = false;
    int ret = -ENOMEM;
    if (!ns)
        return ret;
    struct ipc_table *table = &ns->sem;
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &ret);
    struct sem_set *s = o ? sem_set_of(o) : NULL;
    if (s)
        ret = check_ops(t, s, w, &undo);
    if (ret == 0 && undo && !(w->undo = sem_undo_get_locked(t, s)))
        ret = -ENOMEM;
    if (ret == 0) {
        ret = try_all(s, w);
        if (ret == 0) {
            s->otime = ipc_now();
            if (w->alters)
                sem_update_locked(s);
        } else if (ret == SEM_WAITING) {
            ret = wait_locked(t, table, s, w, deadline);
        }
    }
    lock_release(&table->lock);
    return ret;
}

static int64_t do_semop(struct task *t, int id, uaddr_t sops, uint64_t nsops, nsec_t deadline)
{
    struct sem_op small[16], *ops = small;
    if (nsops < 1 || id < 0)
        return -EINVAL;
    if (nsops > sysctl_get(t->kernel, SYSCTL_SEMOPM))
        return -E2BIG;
    if (nsops > ARRAY_SIZE(small) && !(ops = kmalloc(nsops * sizeof(*ops))))
        return -ENOMEM;
    int ret = copy_in(t, ops, sops, nsops * sizeof(*ops));
    if (ret == 0) {
        struct sem_waiter w = {
            .task = t, .ops = ops, .count = (uint32_t)nsops, .pid = (int32_t)t->group->tgid};
        list_init(&w.node);
        ret = operate(t, id, &w, deadline);
    }
    if (ops != small)
        kfree(ops);
    return ret;
}

int64_t sys_semop(struct task *t, int id, uaddr_t sops, uint64_t nsops)
{
    return do_semop(t, id, sops, nsops, NSEC_MAX);
}

int64_t sys_semtimedop(struct task *t, int id, uaddr_t sops, uint64_t nsops, uaddr_t timeout)
{
    nsec_t deadline;
    int ret = copy_in_timeout(t, timeout, &deadline);
    return ret < 0 ? ret : do_semop(t, id, sops, nsops, deadline);
}

// ---- semctl ----

static int64_t info(struct task *t, struct ipc_table *table, int cmd, uaddr_t buf)
{
    struct kernel *k = t->kernel;
    struct seminfo_wire w = {.mni = (int32_t)sysctl_get(k, SYSCTL_SEMMNI),
                             .mns = (int32_t)sysctl_get(k, SYSCTL_SEMMNS),
                             .msl = (int32_t)sysctl_get(k, SYSCTL_SEMMSL),
                             .opm = (int32_t)sysctl_get(k, SYSCTL_SEMOPM),
                             .vmx = SEM_VALUE_MAX,
                             .mnu = (int32_t)sysctl_get(k, SYSCTL_SEMMNS),
                             .map = (int32_t)sysctl_get(k, SYSCTL_SEMMNS),
                             .ume = (int32_t)sysctl_get(k, SYSCTL_SEMOPM),
                             .usz = 20,
                             .aem = SEM_VALUE_MAX};
    lock_take(&table->lock);
    int64_t index = ipc_max_index_locked(table);
    if (cmd == SEM_INFO) {
        w.usz = (int32_t)table->count;
        w.aem = (int32_t)table->total;
    }
    lock_release(&table->lock);
    return copy_out_value(t, buf, &w) < 0 ? -EFAULT : index;
}

static int64_t stat_set(struct task *t, struct ipc_table *table, int id, int cmd, uaddr_t buf)
{
    struct semid_wire w = {0};
    int ret = 0;
    lock_take(&table->lock);
    struct ipc_object *o = cmd == IPC_STAT ? ipc_find_locked(table, id, &ret) : ipc_find_index_locked(table, id);
    if (!o)
        ret = -EINVAL;
    else if (cmd != SEM_STAT_ANY)
        ret = ipc_permission(t, o, 0444);
    if (ret == 0) {
        const struct sem_set *s = sem_set_of(o);
        ipc_perm_out(o, &w.perm);
        w.otime = s->otime;
        w.ctime = s->ctime;
        w.count = s->count;
        ret = cmd == IPC_STAT ? 0 : o->id;
    }
    lock_release(&table->lock);
    return ret >= 0 && copy_out_value(t, buf, &w) < 0 ? -EFAULT : ret;
}

static int64_t change_set(struct task *t, struct ipc_table *table, int id, int cmd, uaddr_t buf)
{
    struct semid_wire w = {0};
    struct sem_set *gone = NULL;
    struct sem_waiter *it, *tmp;
    int ret;
    if (cmd == IPC_SET && copy_in_value(t, &w, buf) < 0)
        return -EFAULT;
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &ret);
    if (o)
        ret = ipc_owner(t, o);
    if (ret == 0 && cmd == IPC_SET) {
        ret = ipc_perm_set(o, &w.perm);
        if (ret == 0)
            sem_set_of(o)->ctime = ipc_now();
    } else if (ret == 0) {
        gone = sem_set_of(o);
        ipc_remove_locked(table, o);
        table->total -= gone->count;
        sem_undo_remove_locked(gone);
        list_for_each_safe(it, tmp, &gone->waiters, node)
        {
            wake_locked(it, -EIDRM);
        }
    }
    lock_release(&table->lock);
    if (gone)
        set_free(gone); // waiters don't look at it any more
    return ret;
}

static int count_waiters(const struct sem_set *s, uint32_t num, bool for_zero)
{
    const struct sem_waiter *w;
    int n = 0;
    list_for_each(w, &s->waiters, node)
    {
        const struct sem_op *op = &w->ops[w->blocking];
        n += op->num == num && (op->by == 0) == for_zero;
    }
    return n;
}

static int64_t one_value(struct task *t, struct ipc_table *table, int id, int num, int cmd, int value)
{
    int ret;
    if (cmd == SETVAL && (value < 0 || value > SEM_VALUE_MAX))
        return -ERANGE;
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &ret);
    struct sem_set *s = o ? sem_set_of(o) : NULL;
    if (s && cmd == SETVAL && (num < 0 || (uint32_t)num >= s->count))
        ret = -EINVAL;
    else if (s)
        ret = ipc_permission(t, o, cmd == SETVAL ? 0222 : 0444);
    if (s && ret == 0 && (num < 0 || (uint32_t)num >= s->count))
        ret = -EINVAL;
    if (s && ret == 0) {
        struct sem_value *v = &s->values[num];
        switch (cmd) {
        case GETVAL:
            ret = v->value;
            break;
        case GETPID:
            ret = v->pid;
            break;
        case GETNCNT:
            ret = count_waiters(s, (uint32_t)num, false);
            break;
        case GETZCNT:
            ret = count_waiters(s, (uint32_t)num, true);
            break;
        default:
            v->value = (uint16_t)value;
            v->pid = (int32_t)t->group->tgid;
            s->ctime = ipc_now();
            sem_undo_forget_locked(s, num);
            sem_update_locked(s);
        }
    }
    lock_release(&table->lock);
    return ret;
}

// The number of semaphores, checked for reading or writing.
static int set_size(struct task *t, struct ipc_table *table, int id, uint32_t mode)
{
    int ret;
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &ret);
    if (o)
        ret = ipc_permission(t, o, mode);
    if (o && ret == 0)
        ret = (int)sem_set_of(o)->count;
    lock_release(&table->lock);
    return ret;
}

// The set again, after a copy without the lock; it must still have that size.
static struct sem_set *find_again_locked(struct ipc_table *table, int id, int count, int *ret_error)
{
    struct ipc_object *o = ipc_find_locked(table, id, ret_error);
    if (o && sem_set_of(o)->count == (uint32_t)count)
        return sem_set_of(o);
    *ret_error = -EIDRM;
    return NULL;
}

static int64_t get_all(struct task *t, struct ipc_table *table, int id, uaddr_t array)
{
    int count = set_size(t, table, id, 0444), ret;
    if (count < 0)
        return count;
    uint16_t *values = kmalloc((uint64_t)count * sizeof(*values));
    if (!values)
        return -ENOMEM;
    lock_take(&table->lock);
    struct sem_set *s = find_again_locked(table, id, count, &ret);
    for (int i = 0; s && i < count; i++)
        values[i] = s->values[i].value;
    lock_release(&table->lock);
    if (s)
        ret = copy_out(t, array, values, (uint64_t)count * sizeof(*values));
    kfree(values);
    return ret;
}

static int64_t set_all(struct task *t, struct ipc_table *table, int id, uaddr_t array)
{
    int count = set_size(t, table, id, 0222);
    if (count < 0)
        return count;
    uint16_t *values = kmalloc((uint64_t)count * sizeof(*values));
    if (!values)
        return -ENOMEM;
    int ret = copy_in(t, values, array, (uint64_t)count * sizeof(*values));
    for (int i = 0; ret == 0 && i < count; i++)
        ret = values[i] > SEM_VALUE_MAX ? -ERANGE : 0;
    if (ret == 0) {
        lock_take(&table->lock);
        struct sem_set *s = find_again_locked(table, id, count, &ret);
        for (int i = 0; s && i < count; i++) {
            s->values[i].value = values[i];
            s->values[i].pid = (int32_t)t->group->tgid;
        }
        if (s) {
            s->ctime = ipc_now();
            sem_undo_forget_locked(s, -1);
            sem_update_locked(s);
        }
        lock_release(&table->lock);
    }
    kfree(values);
    return ret;
}

int64_t sys_semctl(struct task *t, int id, int num, int cmd, uint64_t arg)
{
    struct ipc_ns *ns = ipc_ns();
    if (id < 0)
        return -EINVAL;
    if (!ns)
        return -ENOMEM;
    switch (cmd) {
    case IPC_INFO:
    case SEM_INFO:
        return info(t, &ns->sem, cmd, UADDR(arg));
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return stat_set(t, &ns->sem, id, cmd, UADDR(arg));
    case IPC_SET:
    case IPC_RMID:
        return change_set(t, &ns->sem, id, cmd, UADDR(arg));
    case GETALL:
        return get_all(t, &ns->sem, id, UADDR(arg));
    case SETALL:
        return set_all(t, &ns->sem, id, UADDR(arg));
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case SETVAL:
        return one_value(t, &ns->sem, id, num, cmd, (int)arg);
    default:
        return -EINVAL;
    }
}

void ipc_show_sem(struct strbuf *out)
{
    struct ipc_ns *ns = ipc_ns();
    strbuf_puts(out, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    if (!ns)
        return;
    lock_take(&ns->sem.lock);
    for (uint32_t i = 0; i < ns->sem.size; i++) {
        if (!ns->sem.slots[i])
            continue;
        const struct sem_set *s = sem_set_of(ns->sem.slots[i]);
        strbuf_printf(out, "%10d %10d  %4o %10u %5u %5u %5u %5u %10lu %10lu\n", s->o.key, s->o.id, s->o.mode, s->count,
                      s->o.uid, s->o.gid, s->o.cuid, s->o.cgid, (uint64_t)s->otime, (uint64_t)s->ctime);
    }
    lock_release(&ns->sem.lock);
}
