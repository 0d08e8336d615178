// Accounts per user id: what RLIMIT_NPROC and RLIMIT_SIGPENDING count. An account exists while one
// of its counts is not zero, so the table is bounded by what it counts.
//
// Locking: user_table.lock (LOCK_RANK_OBJECT); may be taken under sig_lock and tasks_lock.

#include "base/lock.h"
#include "base/log.h"
#include "base/slab.h"
#include "kernel/task.h"

#define USER_BUCKETS 256u

struct user {
    struct user *next;
    uint32_t uid;
    uint64_t counts[USER_ACCOUNT_COUNT];
};

struct user_table {
    struct lock lock;                   // LOCK_RANK_OBJECT
    struct user *buckets[USER_BUCKETS]; // GUARDED_BY(lock)
};

SLAB_TYPE(user_slab, SLAB_USER, struct user);

int users_init(struct kernel *k)
{
    struct user_table *table = kmalloc(sizeof(*table));
    if (!table)
        return -ENOMEM;
    lock_init(&table->lock, LOCK_RANK_OBJECT);
    k->users = table;
    return 0;
}

static struct user **find(struct user_table *table, uint32_t uid)
{
    struct user **link = &table->buckets[uid % USER_BUCKETS];
    while (*link && (*link)->uid != uid)
        link = &(*link)->next;
    return link;
}

bool user_charge(struct kernel *k, uint32_t uid, enum user_account what, uint64_t limit)
{
    struct user_table *table = k->users;
    bool ok = false;
    lock_take(&table->lock);
    struct user **link = find(table, uid);
    if (!*link && limit > 0 && (*link = slab_alloc(&user_slab)) != NULL)
        (*link)->uid = uid;
    if (*link && (*link)->counts[what] < limit) {
        (*link)->counts[what]++;
        ok = true;
    }
    lock_release(&table->lock);
    return ok;
}

void user_uncharge(struct kernel *k, uint32_t uid, enum user_account what)
{
    struct user_table *table = k->users;
    lock_take(&table->lock);
    struct user **link = find(table, uid), *u = *link;
    BUG_ON(!u || u->counts[what] == 0);
    u->counts[what]--;
    bool empty = true;
    for (int i = 0; i < USER_ACCOUNT_COUNT; i++)
        empty = empty && u->counts[i] == 0;
    if (empty) {
        *link = u->next;
        slab_free(&user_slab, u);
    }
    lock_release(&table->lock);
}

uint64_t user_count(struct kernel *k, uint32_t uid, enum user_account what)
{
    lock_take(&k->users->lock);
    struct user *u = *find(k->users, uid);
    uint64_t count = u ? u->counts[what] : 0;
    lock_release(&k->users->lock);
    return count;
}
