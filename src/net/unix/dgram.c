// Data of AF_UNIX datagram and seqpacket sockets: messages that stay whole.
//
// A datagram socket's queue holds no more than its backlog; a sender waits for room (room_wq), unless the receiver is
// connected back to him; the ends of a pair and of a seqpacket connection always are, so only the sender's buffer limits them.
#include <sys/epoll.h>

#include "kernel/task.h"
#include "mm/copy.h"
#include "net/unix/unix-int.h"

bool unix_dgram_full(const struct unix_socket *u)
{
    return u->queue_count > u->backlog;
}

// ---- Sending ----

// Where a message goes, with a reference.
static int find_target(struct task *t, struct unix_socket *u, const struct socket_message *msg, struct unix_socket **ret)
{
    if (msg->name && unix_is_dgram(u))
        return unix_find(t, msg->name, u->base.type, ret);
    lock_take(&u->base.lock);
    struct unix_socket *peer = u->peer ? unix_ref(u->peer) : NULL;
    lock_release(&u->base.lock);
    if (!peer)
        return -ENOTCONN;
    *ret = peer;
    return 0;
}

// The target has ended: a socket that was connected to it isn't any more.
static int target_gone(struct unix_socket *u, const struct socket_message *msg)
{
    if (!unix_is_dgram(u))
        return -EPIPE;
    if (!msg->name)
        (void)unix_bind_dgram_peer(u, NULL);
    return -ECONNREFUSED;
}

// -EAGAIN: no room now.
static int deliver(struct unix_socket *u, struct unix_socket *to, struct unix_message *m)
{
    int ret = 0;
    lock_take(&to->base.lock);
    if (to->dead)
        ret = -ECONNREFUSED;
    else if (to->peer && to->peer != u)
        ret = -EPERM;
    else if (to->base.shutdown & SOCKET_SHUT_READ)
        ret = -EPIPE;
    else if (to != u && to->peer != u && unix_dgram_full(to))
        ret = -EAGAIN;
    else
        unix_enqueue_locked(to, m);
    lock_release(&to->base.lock);
    if (ret == 0)
        socket_wake(&to->base, EPOLLIN | EPOLLRDNORM | EPOLLRDBAND);
    return ret;
}

static int deliver_or_wait(struct task *t, struct unix_socket *u, struct socket_message *msg, struct unix_message *m)
{
    nsec_t deadline = socket_deadline(u->base.sndtimeo, msg->flags & MSG_DONTWAIT);
    for (;;) {
        struct unix_socket *to;
        int ret = find_target(t, u, msg, &to);
        if (ret < 0)
            return ret;
        ret = deliver(u, to, m);
        if (ret == -ECONNREFUSED)
            ret = target_gone(u, msg);
        if (ret == -EAGAIN && deadline != 0) {
            ret = wait_event(t, &to->room_wq,
                             !unix_dgram_full(to) || to->dead || (to->base.shutdown & SOCKET_SHUT_READ), deadline);
            unix_unref(to);
            if (ret == 0)
                continue;
            return ret == -ETIMEDOUT ? -EAGAIN : socket_interrupted(u->base.sndtimeo);
        }
        unix_unref(to);
        return ret;
    }
}

static int check_send(struct task *t, struct unix_socket *u, const struct socket_message *msg)
{
    struct unix_socket *to;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (!unix_is_dgram(u)) {
        int ret = socket_take_error(&u->base);
        if (ret < 0)
            return ret;
        if (u->state != UNIX_CONNECTED)
            return -ENOTCONN;
    } else if (msg->name) {
        int ret = unix_check_address(msg->name);
        if (ret < 0)
            return ret;
    } else {
        int ret = find_target(t, u, msg, &to);
        if (ret < 0)
            return ret;
        unix_unref(to);
    }
    if (socket_option(&u->base, SOCKET_PASSCRED)) {
        int ret = unix_autobind(u);
        if (ret < 0)
            return ret;
    }
    if (msg->data->remaining > u->base.sndbuf - 32)
        return -EMSGSIZE;
    return 0;
}

int64_t unix_dgram_send(struct task *t, struct unix_socket *u, struct socket_message *msg)
{
    struct unix_message *m;
    uint64_t size = msg->data->remaining;
    int ret = check_send(t, u, msg);
    if (ret == 0)
        ret = unix_message_create(t, u, size, msg->flags & MSG_DONTWAIT, &m);
    if (ret < 0)
        return ret;
    int64_t n = size ? uio_get(msg->data, m->data, size) : 0;
    if (n < 0 || (uint64_t)n < size)
        ret = -EFAULT;
    if (ret == 0)
        ret = unix_message_attach(t, m, &msg->scm);
    if (ret == 0)
        ret = deliver_or_wait(t, u, msg, m);
    if (ret < 0) {
        unix_message_put(m);
        return ret;
    }
    return (int64_t)size;
}

// ---- Receiving ----

// The message to look at: the first, or with SO_PEEK_OFF the one that lies there. socket.lock held.
static struct unix_message *current_locked(struct unix_socket *u, bool peek, uint32_t *skip)
{
    struct unix_message *m;
    *skip = peek && u->base.peek_offset > 0 ? (uint32_t)u->base.peek_offset : 0;
    list_for_each(m, &u->queue, node)
    {
        if (*skip == 0 || *skip < m->size)
            return m;
        *skip -= m->size;
    }
    return NULL;
}

static void move_peek_offset_locked(struct unix_socket *u, int64_t by)
{
    if (u->base.peek_offset >= 0)
        u->base.peek_offset = (int32_t)MIN(MAX(u->base.peek_offset + by, 0), INT32_MAX);
}

// Takes the message off the queue, or, to peek, another reference to it. NULL: there is none.
static struct unix_message *take_now(struct unix_socket *u, bool peek, uint32_t *skip)
{
    struct unix_socket *it;
    lock_take(&u->base.lock);
    struct unix_message *m = current_locked(u, peek, skip);
    if (m && peek) {
        refcount_get(&m->refs);
        move_peek_offset_locked(u, m->size - *skip);
    } else if (m) {
        bool was_full = unix_dgram_full(u);
        unix_dequeue_locked(u, m);
        move_peek_offset_locked(u, -(int64_t)m->size);
        if (was_full && !unix_dgram_full(u)) {
            list_for_each(it, &u->senders, sender_node)
            {
                wake_up_all(&it->base.wq, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
            }
        }
    }
    lock_release(&u->base.lock);
    if (m && !peek)
        wake_up_all(&u->room_wq, 0);
    return m;
}

static bool something_there(const struct unix_socket *u, bool peek)
{
    int32_t offset = peek ? u->base.peek_offset : -1;
    return offset > 0 ? u->queue_bytes > (uint64_t)offset : u->queue_count != 0;
}

// Waits for a message: 0 and a reference in *ret, or NULL in it at the end of the data.
static int wait_for_message(struct task *t, struct unix_socket *u, bool peek, bool nonblock, struct unix_message **ret,
                            uint32_t *skip)
{
    struct socket *s = &u->base;
    nsec_t deadline = socket_deadline(s->rcvtimeo, nonblock);
    for (;;) {
        int r = socket_take_error(s);
        if (r < 0)
            return r;
        *ret = take_now(u, peek, skip);
        if (*ret)
            return 0;
        bool shut = s->shutdown & SOCKET_SHUT_READ;
        if (shut && (deadline != 0 || !unix_is_dgram(u)))
            return 0;
        if (deadline == 0)
            return -EAGAIN;
        r = wait_event(t, &s->wq, something_there(u, peek) || s->error || (s->shutdown & SOCKET_SHUT_READ), deadline);
        if (r < 0)
            return r == -ETIMEDOUT ? -EAGAIN : socket_interrupted(s->rcvtimeo);
    }
}

int64_t unix_dgram_receive(struct task *t, struct unix_socket *u, struct socket_message *msg)
{
    struct unix_message *m;
    bool peek = msg->flags & MSG_PEEK;
    uint32_t skip;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->name)
        msg->name->size = 0;
    int64_t ret = wait_for_message(t, u, peek, msg->flags & MSG_DONTWAIT, &m, &skip);
    if (ret < 0 || !m)
        return ret;
    uint64_t there = m->size - skip, size = MIN(there, msg->data->remaining);
    unix_name_out(msg, m->from);
    int64_t n = size ? uio_put(msg->data, m->data + skip, size) : 0;
    if (n < 0 || (uint64_t)n < size) {
        unix_message_put(m);
        return -EFAULT;
    }
    if (size < there)
        msg->out_flags |= MSG_TRUNC;
    msg->scm.creds = m->scm.creds;
    if (peek)
        ret = unix_flight_peek(m, &msg->scm.files);
    else
        msg->scm.files = unix_flight_take(m);
    unix_message_put(m);
    if (ret < 0)
        return ret;
    return msg->flags & MSG_TRUNC ? (int64_t)there : n;
}
