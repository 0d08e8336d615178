// System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
//
// A message is copied in before it is queued and copied out after it was taken, so a receiver whose buffer is bad loses it, as
// on Linux. Senders and receivers wait on the queue's one wait queue and look again when it changes.
//
// Locking: the table's lock guards queues. References: the table and each thread that waits hold the queue.
//
// DEVIATION: MSG_COPY is ENOSYS, as on a kernel without checkpoint support. A wake-up rouses all who wait on the queue, so the
// order among waiting receivers isn't theirs of arrival.
#include <linux/capability.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/ipc.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/ipc-int.h"
#include "sys/syscalls-gen.h"

struct message {
    struct list node;
    int64_t type;
    uint64_t size;
    uint8_t text[];
};

struct msg_queue {
    struct ipc_object o;
    int64_t stime, rtime, ctime;
    uint64_t bytes, count, max_bytes;
    int32_t lspid, lrpid;
    struct list messages;
    struct wait_queue wq;
};

SLAB_TYPE(queue_slab, SLAB_MSG_QUEUE, struct msg_queue);

struct msqid_wire { // struct msqid64_ds
    struct ipc_perm_wire perm;
    int64_t stime, rtime, ctime;
    uint64_t bytes, count, max_bytes;
    int32_t lspid, lrpid;
    uint64_t unused[2];
};
_Static_assert(sizeof(struct msqid_wire) == 120, "struct msqid64_ds is 120 bytes");

struct msginfo_wire {
    int32_t pool, map, max, mnb, mni, ssz, tql;
    uint16_t seg, pad;
};

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

static struct msg_queue *queue_of(struct ipc_object *o)
{
    return container_of(o, struct msg_queue, o);
}

static void queue_put(struct msg_queue *q)
{
    struct message *m;
    if (!q || !refcount_put(&q->o.refs))
        return;
    while ((m = list_first(&q->messages, struct message, node))) {
        list_remove(&m->node);
        kfree(m);
    }
    slab_free(&queue_slab, q);
}

int64_t sys_msgget(struct task *t, int key, int flags)
{
    struct ipc_ns *ns = ipc_ns();
    if (!ns)
        return -ENOMEM;
    struct ipc_table *table = &ns->msg;
    lock_take(&table->lock);
    int ret = ipc_get_existing_locked(t, table, key, flags, NULL, 0);
    if (ret == 1) {
        struct msg_queue *q = slab_alloc(&queue_slab);
        ret = -ENOMEM;
        if (q) {
            q->ctime = ipc_now();
            q->max_bytes = sysctl_get(t->kernel, SYSCTL_MSGMNB);
            list_init(&q->messages);
            wait_queue_init(&q->wq);
            ret = ipc_add_locked(t, table, &q->o, key, flags, sysctl_get(t->kernel, SYSCTL_MSGMNI));
            if (ret < 0)
                slab_free(&queue_slab, q);
        }
    }
    lock_release(&table->lock);
    return ret;
}

// The queue with a reference, permission checked.
static int get_queue(struct task *t, struct ipc_table *table, int id, uint32_t mode, struct msg_queue **ret)
{
    int error;
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &error);
    if (o)
        error = ipc_permission(t, o, mode);
    if (error == 0) {
        refcount_get(&o->refs);
        *ret = queue_of(o);
    }
    lock_release(&table->lock);
    return error;
}

// Waits for a change of the queue; the task was armed before the condition was looked at.
static int wait_for_change(struct task *t)
{
    int ret = wait_sleep(t, NSEC_MAX);
    return ret < 0 ? -ERESTARTNOHAND : 0;
}

// ---- Sending ----

static int try_send(struct task *t, struct ipc_table *table, struct msg_queue *q, struct message *m)
{
    int ret = 0;
    lock_take(&table->lock);
    if (q->o.removed) {
        ret = -EIDRM;
    } else if ((ret = ipc_permission(t, &q->o, 0222)) == 0) {
        if (q->bytes + m->size > q->max_bytes || q->count + 1 > q->max_bytes) {
            ret = -EAGAIN;
        } else {
            list_push_back(&q->messages, &m->node);
            q->bytes += m->size;
            q->count++;
            q->lspid = (int32_t)t->group->tgid;
            q->stime = ipc_now();
            table->total += m->size;
            table->total_messages++;
        }
    }
    lock_release(&table->lock);
    return ret;
}

static int send_message(struct task *t, struct ipc_table *table, struct msg_queue *q, struct message *m, bool nowait)
{
    int ret = try_send(t, table, q, m);
    if (ret != -EAGAIN || nowait)
        return ret;
    struct wait_entry w;
    wait_entry_init(&w, t);
    wait_add(&q->wq, &w);
    for (;;) {
        wait_arm(t);
        ret = try_send(t, table, q, m);
        if (ret != -EAGAIN)
            break;
        ret = wait_for_change(t);
        if (ret < 0)
            break;
    }
    wait_remove(&w);
    return ret;
}

int64_t sys_msgsnd(struct task *t, int id, uaddr_t msgp, uint64_t size, int flags)
{
    struct ipc_ns *ns = ipc_ns();
    struct msg_queue *q;
    int64_t type;
    if (!ns)
        return -ENOMEM;
    if (copy_in_value(t, &type, msgp) < 0)
        return -EFAULT;
    if (size > sysctl_get(t->kernel, SYSCTL_MSGMAX) || id < 0 || type < 1)
        return -EINVAL;
    struct message *m = kmalloc(sizeof(*m) + size);
    if (!m)
        return -ENOMEM;
    m->type = type;
    m->size = size;
    list_init(&m->node);
    int ret = copy_in(t, m->text, UADDR(msgp.a + sizeof(type)), size);
    if (ret == 0)
        ret = get_queue(t, &ns->msg, id, 0222, &q);
    if (ret == 0) {
        ret = send_message(t, &ns->msg, q, m, flags & IPC_NOWAIT);
        if (ret == 0)
            wake_up_all(&q->wq, 0);
        queue_put(q);
    }
    if (ret < 0)
        kfree(m);
    return ret;
}

// ---- Receiving ----

static struct message *find_message(struct msg_queue *q, int64_t type, int flags)
{
    struct message *m, *best = NULL;
    int64_t limit = type < 0 ? (type == INT64_MIN ? INT64_MAX : -type) : 0;
    list_for_each(m, &q->messages, node)
    {
        if (type == 0)
            return m;
        if (type > 0) {
            if ((m->type == type) != !!(flags & MSG_EXCEPT))
                return m;
        } else if (m->type <= limit && (!best || m->type < best->type)) {
            best = m;
        }
    }
    return best;
}

static int try_receive(struct task *t, struct ipc_table *table, struct msg_queue *q, uint64_t size, int64_t type, int flags,
                       struct message **ret_message)
{
    int ret = 0;
    lock_take(&table->lock);
    if (q->o.removed) {
        ret = -EIDRM;
    } else if ((ret = ipc_permission(t, &q->o, 0444)) == 0) {
        struct message *m = find_message(q, type, flags);
        if (!m) {
            ret = -ENOMSG;
        } else if (m->size > size && !(flags & MSG_NOERROR)) {
            ret = -E2BIG;
        } else {
            list_remove(&m->node);
            q->bytes -= m->size;
            q->count--;
            q->lrpid = (int32_t)t->group->tgid;
            q->rtime = ipc_now();
            table->total -= m->size;
            table->total_messages--;
            *ret_message = m;
        }
    }
    lock_release(&table->lock);
    return ret;
}

static int receive_message(struct task *t, struct ipc_table *table, struct msg_queue *q, uint64_t size, int64_t type,
                           int flags, struct message **m)
{
    int ret = try_receive(t, table, q, size, type, flags, m);
    if (ret != -ENOMSG || (flags & IPC_NOWAIT))
        return ret;
    struct wait_entry w;
    wait_entry_init(&w, t);
    wait_add(&q->wq, &w);
    for (;;) {
        wait_arm(t);
        ret = try_receive(t, table, q, size, type, flags, m);
        if (ret != -ENOMSG)
            break;
        ret = wait_for_change(t);
        if (ret < 0)
            break;
    }
    wait_remove(&w);
    return ret;
}

int64_t sys_msgrcv(struct task *t, int id, uaddr_t msgp, uint64_t size, int64_t type, int flags)
{
    struct ipc_ns *ns = ipc_ns();
    struct msg_queue *q;
    struct message *m = NULL;
    if (!ns)
        return -ENOMEM;
    if (id < 0 || size > INT64_MAX)
        return -EINVAL;
    if (flags & MSG_COPY)
        return (flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT) ? -EINVAL : -ENOSYS;
    int64_t ret = get_queue(t, &ns->msg, id, 0444, &q);
    if (ret < 0)
        return ret;
    ret = receive_message(t, &ns->msg, q, size, type, flags, &m);
    if (ret == 0)
        wake_up_all(&q->wq, 0);
    queue_put(q);
    if (ret < 0)
        return ret;
    uint64_t n = MIN(size, m->size);
    ret = (int64_t)n;
    if (copy_out_value(t, msgp, &m->type) < 0 || copy_out(t, UADDR(msgp.a + sizeof(m->type)), m->text, n) < 0)
        ret = -EFAULT;
    kfree(m);
    return ret;
}

// ---- msgctl ----

static int64_t info(struct task *t, struct ipc_table *table, int cmd, uaddr_t buf)
{
    struct kernel *k = t->kernel;
    struct msginfo_wire w = {.max = (int32_t)sysctl_get(k, SYSCTL_MSGMAX),
                             .mnb = (int32_t)sysctl_get(k, SYSCTL_MSGMNB),
                             .mni = (int32_t)sysctl_get(k, SYSCTL_MSGMNI),
                             .ssz = 16,
                             .seg = 0xffff};
    lock_take(&table->lock);
    int64_t index = ipc_max_index_locked(table);
    if (cmd == MSG_INFO) {
        w.pool = (int32_t)table->count;
        w.map = (int32_t)table->total_messages;
        w.tql = (int32_t)table->total;
    } else {
        w.pool = (int32_t)((uint64_t)w.mni * (uint64_t)w.mnb / 1024);
        w.map = w.mnb;
        w.tql = w.mnb;
    }
    lock_release(&table->lock);
    return copy_out_value(t, buf, &w) < 0 ? -EFAULT : index;
}

static int64_t stat_queue(struct task *t, struct ipc_table *table, int id, int cmd, uaddr_t buf)
{
    struct msqid_wire w = {0};
    int ret = 0;
    lock_take(&table->lock);
    struct ipc_object *o = cmd == IPC_STAT ? ipc_find_locked(table, id, &ret) : ipc_find_index_locked(table, id);
    if (!o)
        ret = -EINVAL;
    else if (cmd != MSG_STAT_ANY)
        ret = ipc_permission(t, o, 0444);
    if (ret == 0) {
        const struct msg_queue *q = queue_of(o);
        w = (struct msqid_wire){.stime = q->stime,
                                .rtime = q->rtime,
                                .ctime = q->ctime,
                                .bytes = q->bytes,
                                .count = q->count,
                                .max_bytes = q->max_bytes,
                                .lspid = q->lspid,
                                .lrpid = q->lrpid};
        ipc_perm_out(o, &w.perm);
        ret = cmd == IPC_STAT ? 0 : o->id;
    }
    lock_release(&table->lock);
    return ret >= 0 && copy_out_value(t, buf, &w) < 0 ? -EFAULT : ret;
}

static int64_t change_queue(struct task *t, struct ipc_table *table, int id, int cmd, uaddr_t buf)
{
    struct msqid_wire w = {0};
    struct msg_queue *q = NULL;
    int ret;
    if (cmd == IPC_SET && copy_in_value(t, &w, buf) < 0)
        return -EFAULT;
    bool resources = capable(t, CAP_SYS_RESOURCE);
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &ret);
    if (o)
        ret = ipc_owner(t, o);
    if (ret == 0 && cmd == IPC_SET) {
        if (w.max_bytes > sysctl_get(t->kernel, SYSCTL_MSGMNB) && !resources)
            ret = -EPERM;
        else
            ret = ipc_perm_set(o, &w.perm);
        if (ret == 0) {
            queue_of(o)->max_bytes = w.max_bytes;
            queue_of(o)->ctime = ipc_now();
        }
    } else if (ret == 0) {
        ipc_remove_locked(table, o);
        table->total -= queue_of(o)->bytes;
        table->total_messages -= queue_of(o)->count;
    }
    if (ret == 0) {
        q = queue_of(o);
        refcount_get(&o->refs);
    }
    lock_release(&table->lock);
    if (q) {
        wake_up_all(&q->wq, 0);
        queue_put(q);
        if (cmd == IPC_RMID)
            queue_put(q); // the table's
    }
    return ret;
}

int64_t sys_msgctl(struct task *t, int id, int cmd, uaddr_t buf)
{
    struct ipc_ns *ns = ipc_ns();
    if (id < 0 || cmd < 0)
        return -EINVAL;
    if (!ns)
        return -ENOMEM;
    switch (cmd) {
    case IPC_INFO:
    case MSG_INFO:
        return info(t, &ns->msg, cmd, buf);
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
        return stat_queue(t, &ns->msg, id, cmd, buf);
    case IPC_SET:
    case IPC_RMID:
        return change_queue(t, &ns->msg, id, cmd, buf);
    default:
        return -EINVAL;
    }
}

void ipc_show_msg(struct strbuf *out)
{
    struct ipc_ns *ns = ipc_ns();
    strbuf_puts(out, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      "
                     "rtime      ctime\n");
    if (!ns)
        return;
    lock_take(&ns->msg.lock);
    for (uint32_t i = 0; i < ns->msg.size; i++) {
        if (!ns->msg.slots[i])
            continue;
        const struct msg_queue *q = queue_of(ns->msg.slots[i]);
        strbuf_printf(out, "%10d %10d  %4o  %10lu %10lu %5u %5u %5u %5u %5u %5u %10lu %10lu %10lu\n", q->o.key, q->o.id,
                      q->o.mode, q->bytes, q->count, (uint32_t)q->lspid, (uint32_t)q->lrpid, q->o.uid, q->o.gid, q->o.cuid,
                      q->o.cgid, (uint64_t)q->stime, (uint64_t)q->rtime, (uint64_t)q->ctime);
    }
    lock_release(&ns->msg.lock);
}
