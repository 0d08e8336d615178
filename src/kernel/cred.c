// Credentials: made, copied, counted, asked. Immutable once a task has published them; the rules of
// who may change what are in sys/cred.c.

#include "kernel/cred.h"

#include "base/log.h"
#include "base/slab.h"
#include "kernel/task.h"

SLAB_TYPE(cred_slab, SLAB_CRED, struct cred);

struct cred *cred_create(void)
{
    struct cred *c = slab_alloc(&cred_slab);
    if (c)
        refcount_init(&c->refs, 1);
    return c;
}

struct cred *cred_get(const struct cred *c)
{
    struct cred *m = (struct cred *)c; // only the count changes
    refcount_get(&m->refs);
    return m;
}

void cred_put(const struct cred *c)
{
    struct cred *m = (struct cred *)c;
    if (!m || !refcount_put(&m->refs))
        return;
    kfree(m->groups);
    slab_free(&cred_slab, m);
}

struct cred *cred_copy(const struct cred *c)
{
    struct cred *n = slab_alloc(&cred_slab);
    if (!n)
        return NULL;
    *n = *c;
    refcount_init(&n->refs, 1);
    n->groups = NULL;
    if (c->group_count) {
        n->groups = kmalloc(c->group_count * sizeof(*n->groups));
        if (!n->groups) {
            slab_free(&cred_slab, n);
            return NULL;
        }
        memcpy(n->groups, c->groups, c->group_count * sizeof(*n->groups));
    }
    return n;
}

bool cred_has_group(const struct cred *c, uint32_t gid)
{
    uint32_t low = 0, high = c->group_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (c->groups[mid] == gid)
            return true;
        if (c->groups[mid] < gid)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

bool cred_in_group(const struct cred *c, uint32_t gid)
{
    return c->fsgid == gid || cred_has_group(c, gid);
}

bool cred_capable(const struct cred *c, int cap)
{
    return c->effective & BIT(cap);
}

bool capable(struct task *t, int cap)
{
    return cred_capable(t->cred, cap);
}

struct cred *task_get_cred(struct task *t)
{
    lock_take(&t->lock);
    struct cred *c = cred_get(t->cred);
    lock_release(&t->lock);
    return c;
}

struct cred *task_set_cred(struct task *t, struct cred *c)
{
    // The task counts for its real user. Without memory for an account it stays on the old one.
    if (c->uid != t->charged_uid && user_charge(t->kernel, c->uid, USER_PROCESSES, UINT64_MAX)) {
        user_uncharge(t->kernel, t->charged_uid, USER_PROCESSES);
        t->charged_uid = c->uid;
    }
    lock_take(&t->lock);
    struct cred *old = t->cred;
    t->cred = c;
    lock_release(&t->lock);
    cred_put(old);
    return c;
}

uint32_t task_uid(struct task *t)
{
    lock_take(&t->lock);
    uint32_t uid = t->cred->uid;
    lock_release(&t->lock);
    return uid;
}
