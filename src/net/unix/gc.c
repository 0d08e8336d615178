// Descriptors in flight, and the collection of sockets that nobody can reach any more.
//
// A socket's file that lies in the queue of another socket is kept alive by that queue. Sockets that lie in each other's
// queues, or in their own, keep each other alive for ever when nobody else holds them. Whenever a socket goes while others
// are in flight, a collection looks for such: a candidate is a socket all of whose file references are in flight. Scanning
// the candidates' queues explains references; a candidate with an unexplained one lies in a queue that can still be read, so
// it and whatever its queue leads to live. What is left is garbage, and its queues are emptied.
//
// Locking: gc_lock guards the counts of references in flight and is held over a whole collection, so nothing enters or leaves
// flight meanwhile. Receiving takes a message off a queue first and then ends the flight under gc_lock: a socket in it has, for
// the collection, a reference that no queue explains. MSG_PEEK takes its references under gc_lock, too.
//
// A collection costs a look at every socket in flight, so it has to be earned: each release of a socket pays for a part.
//
// Dropping descriptors may release sockets, which drop further ones: they go over a list that one thread empties, so that a
// chain of sockets in queues costs no stack.
#include "base/slab.h"
#include "kernel/task.h"
#include "net/unix/unix-int.h"

enum { CREDIT_PER_RELEASE = 1024 };

static struct unix_socket *socket_in_file(const struct file *f)
{
    return f->type == FILE_SOCKET_UNIX ? f->priv : NULL;
}

void unix_flight_begin(struct scm_files *fs)
{
    struct unix_table *table = unix_table();
    lock_take(&table->gc_lock);
    for (uint32_t i = 0; i < fs->count; i++) {
        struct unix_socket *u = socket_in_file(fs->files[i]);
        if (u && u->in_flight++ == 0) {
            list_push_back(&table->flight, &u->flight_node);
            table->flight_count++;
        }
    }
    lock_release(&table->gc_lock);
}

static void end_locked(struct scm_files *fs)
{
    for (uint32_t i = 0; i < fs->count; i++) {
        struct unix_socket *u = socket_in_file(fs->files[i]);
        if (u && --u->in_flight == 0) {
            list_remove(&u->flight_node);
            unix_table()->flight_count--;
        }
        user_uncharge(the_kernel(), fs->uid, USER_FILES_IN_FLIGHT);
    }
}

struct scm_files *unix_flight_take(struct unix_message *m)
{
    struct unix_table *table = unix_table();
    if (!m->scm.files)
        return NULL;
    lock_take(&table->gc_lock);
    struct scm_files *fs = m->scm.files;
    m->scm.files = NULL;
    if (fs)
        end_locked(fs);
    lock_release(&table->gc_lock);
    return fs;
}

void unix_flight_drop(struct scm_files *fs)
{
    struct unix_table *table = unix_table();
    lock_take(&table->gc_lock);
    end_locked(fs);
    fs->next = table->trash;
    table->trash = fs;
    if (!table->emptying) {
        table->emptying = true;
        while ((fs = table->trash)) {
            table->trash = fs->next;
            lock_release(&table->gc_lock);
            scm_files_free(fs);
            lock_take(&table->gc_lock);
        }
        table->emptying = false;
    }
    lock_release(&table->gc_lock);
    // What was released meanwhile has only earned credit.
    unix_collect();
}

int unix_flight_peek(struct unix_message *m, struct scm_files **ret)
{
    struct unix_table *table = unix_table();
    *ret = NULL;
    if (!m->scm.files)
        return 0;
    lock_take(&table->gc_lock);
    bool any = m->scm.files != NULL;
    if (any)
        *ret = scm_files_copy(m->scm.files);
    lock_release(&table->gc_lock);
    return any && !*ret ? -ENOMEM : 0;
}

// ---- Collection; gc_lock held ----

typedef void visitor(struct unix_socket *found, struct list *work);

static void visit_queue(struct unix_socket *u, visitor *visit, struct list *work)
{
    struct unix_message *m;
    lock_take(&u->base.lock);
    list_for_each(m, &u->queue, node)
    {
        for (uint32_t i = 0; m->scm.files && i < m->scm.files->count; i++) {
            struct unix_socket *found = socket_in_file(m->scm.files->files[i]);
            if (found && found->candidate)
                visit(found, work);
        }
    }
    lock_release(&u->base.lock);
}

// The queues that are reached through u: its own, and those of connections that it has not accepted.
static void visit_socket(struct unix_socket *u, visitor *visit, struct list *work)
{
    struct unix_socket *waiting[16], *it;
    visit_queue(u, visit, work);
    for (uint32_t skip = 0;; skip += ARRAY_SIZE(waiting)) {
        uint32_t n = 0, at = 0;
        lock_take(&u->base.lock);
        list_for_each(it, &u->pending, pending_node)
        {
            if (at++ >= skip && n < ARRAY_SIZE(waiting))
                waiting[n++] = unix_ref(it);
        }
        lock_release(&u->base.lock);
        for (uint32_t i = 0; i < n; i++) {
            visit_queue(waiting[i], visit, work);
            unix_unref(waiting[i]);
        }
        if (n < ARRAY_SIZE(waiting))
            return;
    }
}

static void explain(struct unix_socket *found, struct list *work UNUSED)
{
    found->outside--;
}

static void revive(struct unix_socket *found, struct list *work)
{
    found->candidate = false;
    list_remove(&found->flight_node);
    list_push_back(work, &found->flight_node);
}

static void find_candidates(struct unix_table *table, struct list *candidates)
{
    struct unix_socket *u, *tmp;
    list_for_each_safe(u, tmp, &table->flight, flight_node)
    {
        if (!u->base.file || refcount_read(&u->base.file->refs) != u->in_flight)
            continue;
        u->candidate = true;
        u->outside = u->in_flight;
        list_remove(&u->flight_node);
        list_push_back(candidates, &u->flight_node);
    }
}

static void collect_locked(struct unix_table *table, struct list *garbage_messages)
{
    struct unix_socket *u, *tmp;
    struct list candidates, work;
    list_init(&candidates);
    list_init(&work);
    find_candidates(table, &candidates);
    list_for_each(u, &candidates, flight_node)
    {
        visit_socket(u, explain, &work);
    }
    list_for_each_safe(u, tmp, &candidates, flight_node)
    {
        if (u->outside)
            revive(u, &work);
    }
    while ((u = list_first(&work, struct unix_socket, flight_node))) {
        list_remove(&u->flight_node);
        list_push_back(&table->flight, &u->flight_node);
        visit_socket(u, revive, &work);
    }
    list_for_each_safe(u, tmp, &candidates, flight_node)
    {
        struct unix_socket *it;
        struct unix_message *m, *next;
        lock_take(&u->base.lock);
        list_for_each_safe(m, next, &u->queue, node)
        {
            if (!m->scm.files)
                continue;
            unix_dequeue_locked(u, m);
            list_push_back(garbage_messages, &m->node);
        }
        // Connections that nobody can accept any more hold what was sent to them.
        list_for_each(it, &u->pending, pending_node)
        {
            it->candidate = true;
        }
        lock_release(&u->base.lock);
        u->candidate = false;
        list_remove(&u->flight_node);
        list_push_back(&table->flight, &u->flight_node);
    }
}

// Takes the messages with descriptors out of connections that wait at a garbage listener.
static void collect_pending_locked(struct unix_table *table, struct list *garbage_messages)
{
    struct unix_socket *listener, *it;
    list_for_each(listener, &table->flight, flight_node)
    {
        if (listener->state != UNIX_LISTENING)
            continue;
        for (bool again = true; again;) {
            struct unix_socket *marked = NULL;
            lock_take(&listener->base.lock);
            list_for_each(it, &listener->pending, pending_node)
            {
                if (it->candidate && !marked)
                    marked = unix_ref(it);
            }
            lock_release(&listener->base.lock);
            again = marked != NULL;
            if (!marked)
                break;
            struct unix_message *m, *next;
            marked->candidate = false;
            lock_take(&marked->base.lock);
            list_for_each_safe(m, next, &marked->queue, node)
            {
                if (!m->scm.files)
                    continue;
                unix_dequeue_locked(marked, m);
                list_push_back(garbage_messages, &m->node);
            }
            lock_release(&marked->base.lock);
            unix_unref(marked);
        }
    }
}

void unix_socket_ended(void)
{
    struct unix_table *table = unix_table();
    if (list_empty(&table->flight))
        return;
    lock_take(&table->gc_lock);
    table->credit += CREDIT_PER_RELEASE;
    lock_release(&table->gc_lock);
    unix_collect();
}

void unix_collect(void)
{
    struct unix_table *table = unix_table();
    struct list garbage;
    if (list_empty(&table->flight))
        return;
    list_init(&garbage);
    lock_take(&table->gc_lock);
    if (!table->collecting && !table->emptying && table->credit >= table->flight_count) {
        table->collecting = true;
        table->credit = 0;
        collect_locked(table, &garbage);
        collect_pending_locked(table, &garbage);
        table->collecting = false;
    }
    lock_release(&table->gc_lock);
    unix_message_list_free(&garbage);
}
