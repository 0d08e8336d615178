// Sockets as files, and what families share. socket(7).
//
// Locking: socket.lock guards state and queues of each family's socket. Its file holds the socket; whatever else refers to a
// socket uses the family's own reference counts.
#include "net/socket.h"

#include <sys/epoll.h>

#include "base/log.h"
#include "kernel/task.h"
#include "mm/copy.h"

static const struct socket_ops *const families[AF_MAX] = {
    [AF_UNIX] = &unix_socket_ops,
};

const struct socket_ops *socket_family(int family)
{
    return family >= 0 && family < AF_MAX ? families[family] : NULL;
}

const struct socket_ops *socket_ops(const struct socket *s)
{
    BUG_ON(s->family >= AF_MAX || !families[s->family]);
    return families[s->family];
}

void socket_init(struct socket *s, int family, int type, int protocol)
{
    struct kernel *k = the_kernel();
    s->family = (uint16_t)family;
    s->type = (uint8_t)type;
    s->protocol = (uint16_t)protocol;
    lock_init(&s->lock, LOCK_RANK_SOCKET);
    wait_queue_init(&s->wq);
    s->sndbuf = (uint32_t)sysctl_get(k, SYSCTL_WMEM_DEFAULT);
    s->rcvbuf = (uint32_t)sysctl_get(k, SYSCTL_RMEM_DEFAULT);
    s->rcvlowat = 1;
    s->sndtimeo = s->rcvtimeo = NSEC_MAX;
    s->peek_offset = -1;
}

struct file *socket_create_file(struct socket *s, int flags)
{
    static const uint8_t types[AF_MAX] = {[AF_UNIX] = FILE_SOCKET_UNIX, [AF_NETLINK] = FILE_SOCKET_NETLINK};
    struct file *f = file_create_anon((enum file_type)types[s->family], "socket",
                                      O_RDWR | (flags & SOCK_NONBLOCK ? O_NONBLOCK : 0), S_IFSOCK | 0777, s);
    if (!f)
        socket_ops(s)->release(s);
    else
        s->file = f;
    return f;
}

struct socket *socket_of(const struct file *f)
{
    return f->type == FILE_SOCKET_UNIX || f->type == FILE_SOCKET_NETLINK ? f->priv : NULL;
}

bool socket_option(const struct socket *s, enum socket_option o)
{
    return __atomic_load_n((const uint32_t *)&s->options, __ATOMIC_RELAXED) & o;
}

int socket_take_error(struct socket *s)
{
    if (likely(!__atomic_load_n((int32_t *)&s->error, __ATOMIC_RELAXED)))
        return 0;
    return -__atomic_exchange_n((int32_t *)&s->error, 0, __ATOMIC_ACQ_REL);
}

int socket_interrupted(nsec_t timeout)
{
    return timeout == NSEC_MAX ? -ERESTARTSYS : -EINTR;
}

nsec_t socket_deadline(nsec_t timeout, bool nonblock)
{
    if (nonblock || timeout == 0)
        return 0;
    nsec_t now = timeout == NSEC_MAX ? 0 : clock_monotonic();
    return timeout >= NSEC_MAX - now ? NSEC_MAX : now + timeout;
}

void socket_wake(struct socket *s, uint32_t events)
{
    wake_up_one(&s->wq, events);
    if (likely(!socket_option(s, SOCKET_ASYNC)))
        return;
    lock_take(&s->lock);
    struct file *f = s->file;
    if (f && !refcount_get_unless_zero(&f->refs))
        f = NULL;
    lock_release(&s->lock);
    if (f) {
        file_async_notify(f, (int)events);
        file_unref(f);
    }
}

// ---- As a file ----

static uint32_t file_message_flags(const struct file *f, const struct uio *u)
{
    return (f->flags & O_NONBLOCK) || (u->flags & UIO_NOWAIT) ? MSG_DONTWAIT : 0;
}

static int64_t socket_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct socket *s = f->priv;
    struct socket_message m = {.data = u, .flags = file_message_flags(f, u)};
    if (u->remaining == 0)
        return 0;
    int64_t ret = socket_ops(s)->receive(current_task(), s, &m);
    scm_done(&m.scm);
    return ret;
}

static int64_t socket_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct socket *s = f->priv;
    struct task *t = current_task();
    struct socket_message m = {.data = u, .flags = file_message_flags(f, u)};
    scm_from_task(t, &m.scm);
    return socket_ops(s)->send(t, s, &m);
}

static uint32_t socket_poll(struct file *f)
{
    struct socket *s = f->priv;
    return socket_ops(s)->poll(s);
}

static struct wait_queue *socket_poll_queue(struct file *f)
{
    return &((struct socket *)f->priv)->wq;
}

static int64_t socket_ioctl(struct file *f, struct task *t, uint32_t cmd, uint64_t arg)
{
    struct socket *s = f->priv;
    return socket_ops(s)->ioctl ? socket_ops(s)->ioctl(s, t, cmd, arg) : -ENOTTY;
}

static int socket_set_flags(struct file *f, uint32_t flags)
{
    struct socket *s = f->priv;
    if (flags & O_ASYNC)
        __atomic_fetch_or((uint32_t *)&s->options, SOCKET_ASYNC, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and((uint32_t *)&s->options, ~(uint32_t)SOCKET_ASYNC, __ATOMIC_RELAXED);
    return 0;
}

static void socket_release(struct file *f)
{
    struct socket *s = f->priv;
    socket_ops(s)->release(s);
}

#define SOCKET_FILE_OPS                                                                                                \
    {                                                                                                                  \
        .read = socket_read, .write = socket_write, .poll = socket_poll, .poll_queue = socket_poll_queue,              \
        .ioctl = socket_ioctl, .release = socket_release, .set_flags = socket_set_flags                                \
    }

const struct file_ops socket_unix_file_ops = SOCKET_FILE_OPS;
