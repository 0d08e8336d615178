// Connections of AF_UNIX sockets: connect, listen, accept, socketpair, shutdown; whom a datagram socket talks to.
//
// connect() on a stream makes the server's end of the connection itself and puts it into the listener's list; accept() only
// gives it a file. So data may flow before it was accepted.
#include <sys/epoll.h>
#include <sys/un.h>

#include "base/slab.h"
#include "kernel/task.h"
#include "net/unix/unix-int.h"

// ---- Streams and seqpackets ----

static void connect_pair_locked(struct unix_socket *a, struct unix_socket *b)
{
    a->peer = unix_ref(b);
    b->peer = unix_ref(a);
    __atomic_store_n(&a->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
    __atomic_store_n(&b->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
}

static int connectable(const struct unix_socket *u)
{
    if (u->state == UNIX_CONNECTED)
        return -EISCONN;
    return u->state == UNIX_LISTENING ? -EINVAL : 0;
}

// Puts `end`, the server's end, into the listener's list. -EAGAIN: the list is full.
static int connect_to(struct task *t, struct unix_socket *u, struct unix_socket *listener, struct unix_socket *end)
{
    if (u == listener)
        return connectable(u) < 0 ? connectable(u) : -ECONNREFUSED;
    lock_pair(&u->base.lock, &listener->base.lock);
    int ret = connectable(u);
    if (ret == 0 && (listener->dead || listener->state != UNIX_LISTENING || (listener->base.shutdown & SOCKET_SHUT_READ)))
        ret = -ECONNREFUSED;
    if (ret == 0 && listener->pending_count > listener->backlog)
        ret = -EAGAIN;
    if (ret == 0) {
        end->addr = unix_address_ref(listener->addr);
        unix_cred_set(&end->peer_cred, t);
        unix_cred_copy(&u->peer_cred, &listener->own_cred);
        connect_pair_locked(u, end);
        list_push_back(&listener->pending, &end->pending_node);
        __atomic_store_n(&listener->pending_count, listener->pending_count + 1, __ATOMIC_SEQ_CST);
    }
    unlock_pair(&u->base.lock, &listener->base.lock);
    if (ret == 0) {
        socket_wake(&listener->base, EPOLLIN | EPOLLRDNORM);
        wake_up_all(&u->base.wq, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    }
    return ret;
}

static bool has_room(const struct unix_socket *listener)
{
    return listener->pending_count <= listener->backlog || listener->dead || listener->state != UNIX_LISTENING ||
           (listener->base.shutdown & SOCKET_SHUT_READ);
}

static int connect_stream(struct task *t, struct unix_socket *u, const struct socket_address *addr, bool nonblock)
{
    nsec_t deadline = socket_deadline(u->base.sndtimeo, nonblock);
    int ret = unix_check_address(addr);
    if (ret < 0)
        return ret;
    if (socket_option(&u->base, SOCKET_PASSCRED) && (ret = unix_autobind(u)) < 0)
        return ret;
    struct unix_socket *end = unix_alloc(u->base.type), *listener = NULL;
    if (!end)
        return -ENOMEM;
    for (;;) {
        ret = unix_find(t, addr, u->base.type, &listener);
        if (ret < 0)
            break;
        ret = connect_to(t, u, listener, end);
        if (ret != -EAGAIN || deadline == 0)
            break;
        ret = wait_event(t, &listener->room_wq, has_room(listener), deadline);
        if (ret < 0) {
            ret = ret == -ETIMEDOUT ? -EAGAIN : socket_interrupted(u->base.sndtimeo);
            break;
        }
        unix_unref(listener);
        listener = NULL;
    }
    unix_unref(listener);
    if (ret < 0)
        unix_release(end);
    return ret;
}

int unix_listen(struct task *t, struct socket *s, int backlog)
{
    struct unix_socket *u = unix_of(s);
    uint64_t max = sysctl_get(t->kernel, SYSCTL_SOMAXCONN);
    if (unix_is_dgram(u))
        return -EOPNOTSUPP;
    if (!u->addr)
        return -EINVAL;
    lock_take(&s->lock);
    int ret = u->state == UNIX_CONNECTED ? -EINVAL : 0;
    if (ret == 0) {
        u->backlog = (uint32_t)MIN((uint64_t)(uint32_t)backlog, max);
        unix_cred_set(&u->own_cred, t);
        unix_cred_copy(&u->peer_cred, &u->own_cred);
        __atomic_store_n(&u->state, UNIX_LISTENING, __ATOMIC_RELEASE);
    }
    lock_release(&s->lock);
    if (ret == 0)
        wake_up_all(&u->room_wq, 0);
    return ret;
}

int unix_accept(struct task *t, struct socket *s, bool nonblock, struct socket **ret)
{
    struct unix_socket *u = unix_of(s), *end;
    nsec_t deadline = socket_deadline(s->rcvtimeo, nonblock);
    if (unix_is_dgram(u))
        return -EOPNOTSUPP;
    for (;;) {
        lock_take(&s->lock);
        bool shut = u->state != UNIX_LISTENING || (s->shutdown & SOCKET_SHUT_READ);
        end = list_first(&u->pending, struct unix_socket, pending_node);
        if (u->state == UNIX_LISTENING && end) {
            list_remove(&end->pending_node);
            __atomic_store_n(&u->pending_count, u->pending_count - 1, __ATOMIC_SEQ_CST);
        }
        lock_release(&s->lock);
        if (end || shut)
            break;
        if (deadline == 0)
            return -EAGAIN;
        struct wait_entry w;
        int r = 0;
        wait_entry_init(&w, t);
        w.exclusive = true;
        wait_add(&s->wq, &w);
        for (;;) {
            wait_arm(t);
            if (u->pending_count || (s->shutdown & SOCKET_SHUT_READ))
                break;
            r = wait_sleep(t, deadline);
            if (r < 0)
                break;
        }
        wait_remove(&w);
        if (r < 0 && u->pending_count)
            wake_up_one(&s->wq, EPOLLIN | EPOLLRDNORM);
        if (r < 0)
            return r == -ETIMEDOUT ? -EAGAIN : socket_interrupted(s->rcvtimeo);
    }
    if (!end)
        return -EINVAL;
    wake_up_one(&u->room_wq, 0);
    *ret = &end->base;
    return 0;
}

int unix_pair(struct task *t, struct socket *sa, struct socket *sb)
{
    struct unix_socket *a = unix_of(sa), *b = unix_of(sb);
    lock_pair(&sa->lock, &sb->lock);
    unix_cred_set(&a->peer_cred, t);
    unix_cred_copy(&b->peer_cred, &a->peer_cred);
    if (unix_is_dgram(a)) {
        a->peer = unix_ref(b);
        b->peer = unix_ref(a);
        list_push_back(&b->senders, &a->sender_node);
        list_push_back(&a->senders, &b->sender_node);
    } else {
        connect_pair_locked(a, b);
    }
    unlock_pair(&sa->lock, &sb->lock);
    return 0;
}

int unix_shutdown(struct socket *s, int how)
{
    struct unix_socket *u = unix_of(s), *other = NULL;
    lock_take(&s->lock);
    s->shutdown |= (uint8_t)how;
    if (u->peer && !unix_is_dgram(u))
        other = unix_ref(u->peer);
    lock_release(&s->lock);
    if (other) {
        int theirs = (how & SOCKET_SHUT_READ ? SOCKET_SHUT_WRITE : 0) | (how & SOCKET_SHUT_WRITE ? SOCKET_SHUT_READ : 0);
        lock_take(&other->base.lock);
        other->base.shutdown |= (uint8_t)theirs;
        lock_release(&other->base.lock);
        wake_up_all(&other->base.wq, 0);
        unix_unref(other);
    }
    wake_up_all(&s->wq, 0);
    wake_up_all(&u->room_wq, 0);
    return 0;
}

// ---- Datagrams ----

int unix_bind_dgram_peer(struct unix_socket *u, struct unix_socket *other)
{
    int ret = 0;
    struct unix_socket *old;
    lock_take(&u->base.lock);
    old = u->peer;
    u->peer = NULL;
    lock_release(&u->base.lock);
    if (old) {
        lock_take(&old->base.lock);
        list_remove(&u->sender_node);
        bool mutual = old->peer == u && !old->dead;
        lock_release(&old->base.lock);
        // Who was talking to u hears that u has turned away; not when u ends, then he hears it when he sends.
        if (mutual && u->base.file && refcount_read(&u->base.file->refs)) {
            __atomic_store_n((int32_t *)&old->base.error, ECONNRESET, __ATOMIC_RELEASE);
            wake_up_all(&old->base.wq, 0);
        }
        unix_unref(old);
    }
    if (!other)
        return 0;
    lock_pair(&u->base.lock, &other->base.lock);
    if (other->dead)
        ret = -ECONNREFUSED;
    else if (other->peer && other->peer != u)
        ret = -EPERM;
    else if (u->peer) // another thread was faster
        ret = -EISCONN;
    if (ret == 0) {
        u->peer = unix_ref(other);
        list_push_back(&other->senders, &u->sender_node);
        unix_cred_copy(&u->peer_cred, &other->own_cred);
    }
    unlock_pair(&u->base.lock, &other->base.lock);
    return ret;
}

static int connect_dgram(struct task *t, struct unix_socket *u, const struct socket_address *addr)
{
    struct unix_socket *other;
    if (addr->family == AF_UNSPEC)
        return unix_bind_dgram_peer(u, NULL);
    int ret = unix_check_address(addr);
    if (ret == 0 && socket_option(&u->base, SOCKET_PASSCRED))
        ret = unix_autobind(u);
    if (ret == 0)
        ret = unix_find(t, addr, SOCK_DGRAM, &other);
    if (ret < 0)
        return ret;
    lock_take(&other->base.lock);
    if (other->peer && other->peer != u)
        ret = -EPERM; // before the old peer is given up
    lock_release(&other->base.lock);
    if (ret == 0)
        ret = unix_bind_dgram_peer(u, other);
    unix_unref(other);
    return ret;
}

int unix_connect(struct task *t, struct socket *s, const struct socket_address *addr, bool nonblock)
{
    struct unix_socket *u = unix_of(s);
    if (addr->size < sizeof(addr->family))
        return -EINVAL;
    return unix_is_dgram(u) ? connect_dgram(t, u, addr) : connect_stream(t, u, addr, nonblock);
}
