// SEM_UNDO: what a process did to semaphores is taken back when it ends. semop(2), clone(2) CLONE_SYSVSEM.
//
// Locking: the semaphores' table lock guards lists and records. References: each task that shares a list holds it.
#include <sched.h>

#include "base/slab.h"
#include "kernel/task.h"
#include "sys/ipc-sem.h"

SLAB_TYPE(undo_slab, SLAB_SEM_UNDO, struct sem_undo);

static struct sem_undo_list *list_create(void)
{
    struct sem_undo_list *l = kmalloc(sizeof(*l));
    if (!l)
        return NULL;
    refcount_init(&l->refs, 1);
    list_init(&l->undos);
    return l;
}

int sem_undo_clone(struct task *parent, struct task *child, uint64_t clone_flags)
{
    child->sem_undo = NULL;
    if (!(clone_flags & CLONE_SYSVSEM))
        return 0;
    if (!parent->sem_undo && !(parent->sem_undo = list_create()))
        return -ENOMEM;
    refcount_get(&parent->sem_undo->refs);
    child->sem_undo = parent->sem_undo;
    return 0;
}

static void undo_free_locked(struct sem_undo *u)
{
    list_remove(&u->list_node);
    list_remove(&u->set_node);
    kfree(u->by);
    slab_free(&undo_slab, u);
}

static void apply_locked(struct sem_undo *u, int32_t pid)
{
    struct sem_set *s = u->set;
    for (uint32_t i = 0; i < s->count; i++) {
        if (!u->by[i])
            continue;
        // Never blocks and never fails: the value is kept within its bounds instead (Linux).
        int32_t v = (int32_t)s->values[i].value + u->by[i];
        s->values[i].value = (uint16_t)MAX(0, MIN(v, SEM_VALUE_MAX));
        s->values[i].pid = pid;
    }
    s->otime = ipc_now();
}

void sem_undo_exit(struct task *t)
{
    struct sem_undo_list *l = t->sem_undo;
    struct sem_undo *u;
    t->sem_undo = NULL;
    if (!l || !refcount_put(&l->refs))
        return;
    if (!list_empty(&l->undos)) {
        struct ipc_table *table = &ipc_ns()->sem;
        lock_take(&table->lock);
        while ((u = list_first(&l->undos, struct sem_undo, list_node))) {
            struct sem_set *s = u->set;
            apply_locked(u, (int32_t)t->group->tgid);
            undo_free_locked(u);
            sem_update_locked(s);
        }
        lock_release(&table->lock);
    }
    kfree(l);
}

struct sem_undo *sem_undo_get_locked(struct task *t, struct sem_set *s)
{
    struct sem_undo *u;
    if (!t->sem_undo && !(t->sem_undo = list_create()))
        return NULL;
    list_for_each(u, &t->sem_undo->undos, list_node)
    {
        if (u->set == s)
            return u;
    }
    u = slab_alloc(&undo_slab);
    int16_t *by = kmalloc(s->count * sizeof(*by));
    if (!u || !by) {
        slab_free(&undo_slab, u);
        kfree(by);
        return NULL;
    }
    u->set = s;
    u->by = by;
    list_push_back(&t->sem_undo->undos, &u->list_node);
    list_push_back(&s->undos, &u->set_node);
    return u;
}

void sem_undo_forget_locked(struct sem_set *s, int num)
{
    struct sem_undo *u;
    list_for_each(u, &s->undos, set_node)
    {
        if (num >= 0)
            u->by[num] = 0;
        else
            memset(u->by, 0, s->count * sizeof(*u->by));
    }
}

void sem_undo_remove_locked(struct sem_set *s)
{
    struct sem_undo *u;
    while ((u = list_first(&s->undos, struct sem_undo, set_node)))
        undo_free_locked(u);
}
