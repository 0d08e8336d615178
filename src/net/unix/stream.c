// Data of AF_UNIX streams.
//
// A send becomes messages of at most unix_max_chunk() bytes, each copied in before it is queued. One reader at a time has the
// turn: it copies from the first messages without a lock and takes only what has arrived out of the queue. Credentials and
// descriptors keep messages apart as on Linux: a read that wants credentials doesn't mix senders, and it ends behind a
// message whose descriptors it took.
#include <signal.h>
#include <sys/epoll.h>

#include "kernel/task.h"
#include "mm/copy.h"
#include "net/unix/unix-int.h"

// ---- Sending ----

static int deliver(struct unix_socket *peer, struct unix_message *m)
{
    lock_take(&peer->base.lock);
    bool gone = peer->dead || (peer->base.shutdown & SOCKET_SHUT_READ);
    if (!gone)
        unix_enqueue_locked(peer, m);
    lock_release(&peer->base.lock);
    if (gone)
        return -EPIPE;
    socket_wake(&peer->base, EPOLLIN | EPOLLRDNORM | EPOLLRDBAND);
    return 0;
}

static int64_t send_chunk(struct task *t, struct unix_socket *u, struct unix_socket *peer, struct socket_message *msg)
{
    struct unix_message *m;
    uint64_t size = MIN(msg->data->remaining, unix_max_chunk(u));
    int64_t ret = unix_message_create(t, u, size, msg->flags & MSG_DONTWAIT, &m);
    if (ret < 0)
        return ret;
    int64_t n = size ? uio_get(msg->data, m->data, size) : 0;
    if (n < 0 || (uint64_t)n < size) {
        if (n > 0)
            uio_revert(msg->data, (uint64_t)n);
        ret = -EFAULT;
    }
    if (ret == 0)
        ret = unix_message_attach(t, m, &msg->scm);
    if (ret == 0)
        ret = deliver(peer, m);
    if (ret < 0) {
        unix_message_put(m);
        return ret;
    }
    return (int64_t)size;
}

static int64_t send_all(struct task *t, struct unix_socket *u, struct unix_socket *peer, struct socket_message *msg)
{
    int64_t done = 0, ret = 0;
    if (u->base.shutdown & SOCKET_SHUT_WRITE)
        return -EPIPE;
    while (msg->data->remaining) {
        ret = send_chunk(t, u, peer, msg);
        if (ret < 0)
            break;
        done += ret;
    }
    return done ? done : ret;
}

int64_t unix_stream_send(struct task *t, struct unix_socket *u, struct socket_message *msg)
{
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->name)
        return u->state == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    lock_take(&u->base.lock);
    struct unix_socket *peer = u->peer ? unix_ref(u->peer) : NULL;
    lock_release(&u->base.lock);
    if (!peer)
        return -ENOTCONN;
    int64_t ret = send_all(t, u, peer, msg);
    unix_unref(peer);
    if (ret == -EPIPE && !(msg->flags & MSG_NOSIGNAL))
        file_signal_caller(t, SIGPIPE);
    return ret;
}

// ---- Receiving ----

struct reader {
    struct task *task;
    struct unix_socket *u;
    struct socket_message *msg;
    int64_t copied, target;
    int64_t skip;      // MSG_PEEK: bytes of the queue already seen
    nsec_t deadline;
    bool peek, first;  // first: no message was looked at yet
    bool turn;         // this thread has it
};

static void turn_end(struct reader *r)
{
    struct unix_socket *u = r->u;
    if (!r->turn)
        return;
    r->turn = false;
    lock_take(&u->base.lock);
    __atomic_store_n(&u->reading, false, __ATOMIC_SEQ_CST);
    lock_release(&u->base.lock);
    wake_up_all(&u->turn_wq, 0);
}

static int turn_take(struct reader *r)
{
    struct unix_socket *u = r->u;
    for (;;) {
        lock_take(&u->base.lock);
        bool mine = !u->reading;
        if (mine)
            u->reading = true;
        lock_release(&u->base.lock);
        if (mine) {
            r->turn = true;
            return 0;
        }
        int ret = wait_event(r->task, &u->turn_wq, !__atomic_load_n(&u->reading, __ATOMIC_SEQ_CST), NSEC_MAX);
        if (ret < 0)
            return socket_interrupted(u->base.rcvtimeo);
    }
}

// Nothing (more) in the queue: 0 stop here, 1 look again, or an error. The turn is held, and dropped for the wait.
static int wait_for_more(struct reader *r)
{
    struct socket *s = &r->u->base;
    struct unix_socket *u = r->u;
    if (r->copied >= r->target)
        return 0;
    int ret = socket_take_error(s);
    if (ret < 0)
        return ret;
    if (s->shutdown & SOCKET_SHUT_READ)
        return 0;
    if (r->deadline == 0)
        return -EAGAIN;
    uint64_t have = r->peek ? (uint64_t)r->skip : 0;
    turn_end(r);
    ret = wait_event(r->task, &s->wq, u->queue_bytes > have || s->error || (s->shutdown & SOCKET_SHUT_READ), r->deadline);
    if (ret < 0)
        return ret == -ETIMEDOUT ? -EAGAIN : socket_interrupted(s->rcvtimeo);
    ret = turn_take(r);
    return ret < 0 ? ret : 1;
}

// The first message with unseen bytes; *at: where they begin in it. socket.lock held.
static struct unix_message *current_locked(struct reader *r, uint32_t *at)
{
    struct unix_message *m;
    uint64_t skip = r->peek ? (uint64_t)r->skip : 0;
    list_for_each(m, &r->u->queue, node)
    {
        uint32_t size = m->size - m->offset;
        if (skip < size) {
            *at = m->offset + (uint32_t)skip;
            return m;
        }
        skip -= size;
    }
    return NULL;
}

static bool same_sender(const struct scm_creds *a, const struct scm_creds *b)
{
    return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

static int take_files(struct reader *r, struct unix_message *m)
{
    if (!m->scm.files || r->msg->scm.files)
        return 0;
    if (r->peek)
        return unix_flight_peek(m, &r->msg->scm.files);
    r->msg->scm.files = unix_flight_take(m);
    return 0;
}

// Moves bytes of one message: 1 go on, 0 stop, or an error.
static int64_t read_message(struct reader *r, struct unix_message *m, uint32_t at)
{
    struct unix_socket *u = r->u;
    uint64_t size = MIN(m->size - at, r->msg->data->remaining);
    if (!r->first && socket_option(&u->base, SOCKET_PASSCRED) && !same_sender(&m->scm.creds, &r->msg->scm.creds))
        return 0;
    if (r->first) {
        r->msg->scm.creds = m->scm.creds;
        unix_name_out(r->msg, m->from);
        r->first = false;
    }
    int64_t n = size ? uio_put(r->msg->data, m->data + at, size) : 0;
    if (n < 0)
        return n;
    r->copied += n;
    bool files = m->scm.files != NULL;
    int ret = take_files(r, m);
    if (ret < 0)
        return ret;
    bool whole = at + n == m->size;
    if (r->peek) {
        r->skip += n;
        return !files && whole;
    }
    lock_take(&u->base.lock);
    if (whole) {
        unix_dequeue_locked(u, m);
    } else {
        u->queue_bytes -= (uint64_t)n;
        m->offset += (uint32_t)n;
    }
    lock_release(&u->base.lock);
    if (whole)
        unix_message_put(m);
    return whole && !files;
}

static int64_t read_all(struct reader *r)
{
    struct unix_socket *u = r->u;
    int64_t ret;
    do {
        uint32_t at = 0;
        lock_take(&u->base.lock);
        struct unix_message *m = current_locked(r, &at);
        lock_release(&u->base.lock);
        ret = m ? read_message(r, m, at) : wait_for_more(r);
    } while (ret > 0 && (r->msg->data->remaining || r->first));
    return ret;
}

static void move_peek_offset(struct unix_socket *u, const struct reader *r)
{
    lock_take(&u->base.lock);
    if (u->base.peek_offset >= 0) {
        if (r->peek)
            u->base.peek_offset = (int32_t)MIN((int64_t)u->base.peek_offset + r->copied, INT32_MAX);
        else
            u->base.peek_offset = (int32_t)MAX((int64_t)u->base.peek_offset - r->copied, 0);
    }
    lock_release(&u->base.lock);
}

int64_t unix_stream_receive(struct task *t, struct unix_socket *u, struct socket_message *msg)
{
    struct reader r = {.task = t, .u = u, .msg = msg, .peek = msg->flags & MSG_PEEK, .first = true};
    uint64_t size = msg->data->remaining;
    if (u->state != UNIX_CONNECTED)
        return -EINVAL;
    if (msg->flags & MSG_OOB)
        return -EINVAL;
    if (msg->name)
        msg->name->size = 0;
    r.target = (int64_t)(msg->flags & MSG_WAITALL ? size : MIN(size, (uint64_t)u->base.rcvlowat));
    r.target = MAX(r.target, 1);
    r.deadline = socket_deadline(u->base.rcvtimeo, msg->flags & MSG_DONTWAIT);
    if (r.peek && u->base.peek_offset > 0)
        r.skip = u->base.peek_offset;
    int64_t ret = turn_take(&r);
    if (ret < 0)
        return ret;
    ret = read_all(&r);
    turn_end(&r);
    move_peek_offset(u, &r);
    return r.copied ? r.copied : ret < 0 ? ret : 0;
}
