// What lies in the queues of AF_UNIX sockets, and what a sender may have under way.
//
// A message counts against its sender's SO_SNDBUF until it is received; the charge stands for its memory, as Linux's
// truesize does.
#include <linux/capability.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/slab.h"
#include "kernel/task.h"
#include "net/unix/unix-int.h"

SLAB_TYPE(message_slab, SLAB_SOCKET_BUFFER, struct unix_message);

enum { CHUNK_MAX = 32768, CHARGE_FIXED = 512, CHARGE_UNIT = 256 };

uint32_t unix_max_chunk(const struct unix_socket *u)
{
    return MIN(u->base.sndbuf / 2 - 64, CHUNK_MAX);
}

bool unix_writable(const struct unix_socket *u)
{
    return (uint64_t)u->charged * 4 <= u->base.sndbuf;
}

static int wait_for_charge(struct task *t, struct unix_socket *u, bool nonblock)
{
    struct socket *s = &u->base;
    nsec_t deadline = socket_deadline(s->sndtimeo, nonblock);
    for (;;) {
        int ret = socket_take_error(s);
        if (ret < 0)
            return ret;
        if (s->shutdown & SOCKET_SHUT_WRITE)
            return -EPIPE;
        if (u->charged < s->sndbuf)
            return 0;
        if (deadline == 0)
            return -EAGAIN;
        ret = wait_event(t, &s->wq, u->charged < s->sndbuf || s->error || (s->shutdown & SOCKET_SHUT_WRITE), deadline);
        if (ret == -ETIMEDOUT)
            return -EAGAIN;
        if (ret < 0)
            return socket_interrupted(s->sndtimeo);
    }
}

int unix_message_create(struct task *t, struct unix_socket *u, uint64_t size, bool nonblock, struct unix_message **ret)
{
    int r = wait_for_charge(t, u, nonblock);
    if (r < 0)
        return r;
    struct unix_message *m = slab_alloc(&message_slab);
    if (!m)
        return -ENOMEM;
    m->data = size <= UNIX_INLINE ? m->inline_data : kmalloc(size);
    if (!m->data) {
        slab_free(&message_slab, m);
        return -ENOMEM;
    }
    refcount_init(&m->refs, 1);
    m->size = (uint32_t)size;
    m->charge = CHARGE_FIXED + (uint32_t)((size + CHARGE_UNIT - 1) / CHARGE_UNIT * CHARGE_UNIT);
    m->sender = unix_ref(u);
    m->from = unix_address_ref(__atomic_load_n(&u->addr, __ATOMIC_ACQUIRE));
    __atomic_fetch_add((uint32_t *)&u->charged, m->charge, __ATOMIC_ACQ_REL);
    list_init(&m->node);
    *ret = m;
    return 0;
}

void unix_message_put(struct unix_message *m)
{
    struct unix_socket *u = m->sender;
    if (!refcount_put(&m->refs))
        return;
    if (m->scm.files)
        unix_flight_drop(m->scm.files);
    __atomic_fetch_sub((uint32_t *)&u->charged, m->charge, __ATOMIC_ACQ_REL);
    if (unix_writable(u))
        socket_wake(&u->base, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    unix_unref(u);
    unix_address_unref(m->from);
    if (m->data != m->inline_data)
        kfree(m->data);
    slab_free(&message_slab, m);
}

void unix_message_list_free(struct list *messages)
{
    struct unix_message *m;
    while ((m = list_first(messages, struct unix_message, node))) {
        list_remove(&m->node);
        unix_message_put(m);
    }
}

static int charge_files(struct task *t, struct scm_files *fs)
{
    // Every file counts; who may exceed limits may exceed this one.
    uint64_t limit = capable(t, CAP_SYS_RESOURCE) || capable(t, CAP_SYS_ADMIN)
                         ? UINT64_MAX
                         : task_rlimit(t, RLIMIT_NOFILE) + SCM_FILES_MAX;
    fs->uid = t->cred->uid;
    for (uint32_t i = 0; i < fs->count; i++) {
        if (user_charge(t->kernel, fs->uid, USER_FILES_IN_FLIGHT, limit))
            continue;
        while (i-- > 0)
            user_uncharge(t->kernel, fs->uid, USER_FILES_IN_FLIGHT);
        return -ETOOMANYREFS;
    }
    return 0;
}

int unix_message_attach(struct task *t, struct unix_message *m, struct scm *scm)
{
    if (scm->files) {
        int ret = charge_files(t, scm->files);
        if (ret < 0)
            return ret;
        unix_flight_begin(scm->files);
    }
    m->scm = *scm;
    scm->files = NULL;
    return 0;
}

void unix_enqueue_locked(struct unix_socket *to, struct unix_message *m)
{
    list_push_back(&to->queue, &m->node);
    to->queue_bytes += m->size;
    __atomic_store_n(&to->queue_count, to->queue_count + 1, __ATOMIC_SEQ_CST);
}

void unix_dequeue_locked(struct unix_socket *u, struct unix_message *m)
{
    list_remove(&m->node);
    u->queue_bytes -= m->size - m->offset;
    __atomic_store_n(&u->queue_count, u->queue_count - 1, __ATOMIC_SEQ_CST);
}
