// The calls on sockets.
//
// A message's header, address, vector and control data are copied once; families see kernel memory, and a cursor over the
// guest's buffers.
#include "net/socket.h"

#include <linux/net.h>

#include "base/slab.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/syscalls-gen.h"
#include "sys/time-int.h"

#define CONTROL_MAX 20480u // net.core.optmem_max
#define TYPE_MASK   0xf
#define VLEN_MAX    1024u

struct msghdr_wire {
    uint64_t name;
    int32_t name_size;
    uint32_t pad;
    uint64_t iov, iov_count;
    uint64_t control, control_size;
    uint32_t flags, pad2;
};
_Static_assert(sizeof(struct msghdr_wire) == 56, "struct msghdr is 56 bytes");
_Static_assert(offsetof(struct msghdr_wire, flags) == 48, "struct msghdr");

#define MMSGHDR_SIZE 64u

// ---- Descriptors and addresses ----

// The socket behind a descriptor, its file's reference in *ret_file. 0, -EBADF, -ENOTSOCK.
static int get_socket(struct task *t, int fd, struct file **ret_file, struct socket **ret)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    *ret = socket_of(f);
    if (!*ret) {
        file_unref(f);
        return -ENOTSOCK;
    }
    *ret_file = f;
    return 0;
}

static int copy_in_address(struct task *t, uaddr_t addr, int size, struct socket_address *out)
{
    if (size < 0 || (uint32_t)size > sizeof(out->bytes))
        return -EINVAL;
    out->size = (uint32_t)size;
    memset(out->bytes, 0, sizeof(out->bytes));
    return copy_in(t, out->bytes, addr, (uint64_t)size);
}

// As much as there is room for; the full size goes to *addrlen.
static int copy_out_address(struct task *t, const struct socket_address *a, uaddr_t addr, uaddr_t addrlen)
{
    int32_t room;
    if (copy_in_value(t, &room, addrlen) < 0)
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    int32_t size = (int32_t)a->size;
    if (copy_out(t, addr, a->bytes, (uint64_t)MIN(room, size)) < 0)
        return -EFAULT;
    return copy_out_value(t, addrlen, &size);
}

// ---- Making ----

static int create(struct task *t, int family, int type, int protocol, struct socket **ret)
{
    if (type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    type &= TYPE_MASK;
    if (family < 0 || family >= AF_MAX)
        return -EAFNOSUPPORT;
    if (type < 0 || type >= 11 /* SOCK_MAX */)
        return -EINVAL;
    const struct socket_ops *ops = socket_family(family);
    return ops ? ops->create(t, type, protocol, ret) : -EAFNOSUPPORT;
}

static int install(struct task *t, struct socket *s, int flags)
{
    struct file *f = socket_create_file(s, flags);
    if (!f)
        return -ENOMEM;
    int fd = fd_install(t, f, flags & SOCK_CLOEXEC, 0);
    if (fd < 0)
        file_unref(f);
    return fd;
}

int64_t sys_socket(struct task *t, int family, int type, int protocol)
{
    struct socket *s;
    int ret = create(t, family, type, protocol, &s);
    return ret < 0 ? ret : install(t, s, type);
}

static int make_pair(struct task *t, int family, int type, int protocol, struct file *files[2])
{
    struct socket *s[2] = {0};
    int ret = create(t, family, type, protocol, &s[0]);
    if (ret < 0)
        return ret;
    const struct socket_ops *ops = socket_ops(s[0]);
    ret = ops->pair ? ops->create(t, type & TYPE_MASK, protocol, &s[1]) : -EOPNOTSUPP;
    if (ret < 0) {
        ops->release(s[0]);
        return ret;
    }
    ret = ops->pair(t, s[0], s[1]);
    files[0] = ret == 0 ? socket_create_file(s[0], type) : NULL;
    if (!files[0]) {
        if (ret < 0)
            ops->release(s[0]);
        ops->release(s[1]);
        return ret < 0 ? ret : -ENOMEM;
    }
    files[1] = socket_create_file(s[1], type);
    if (!files[1]) {
        file_unref(files[0]);
        return -ENOMEM;
    }
    return 0;
}

int64_t sys_socketpair(struct task *t, int family, int type, int protocol, uaddr_t out)
{
    struct file *files[2];
    int fds[2];
    if (type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    fds[0] = fd_reserve(t, type & SOCK_CLOEXEC, 0);
    if (fds[0] < 0)
        return fds[0];
    fds[1] = fd_reserve(t, type & SOCK_CLOEXEC, 0);
    if (fds[1] < 0) {
        fd_unreserve(t, fds[0]);
        return fds[1];
    }
    int ret = copy_out(t, out, fds, sizeof(fds));
    if (ret == 0)
        ret = make_pair(t, family, type, protocol, files);
    for (int i = 0; i < 2; i++) {
        if (ret == 0)
            fd_publish(t, fds[i], files[i]);
        else
            fd_unreserve(t, fds[i]);
    }
    return ret;
}

// ---- Connecting ----

int64_t sys_bind(struct task *t, int fd, uaddr_t addr, int addrlen)
{
    struct socket_address a;
    struct socket *s;
    struct file *f;
    int ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = copy_in_address(t, addr, addrlen, &a);
    if (ret == 0)
        ret = socket_ops(s)->bind ? socket_ops(s)->bind(t, s, &a) : -EOPNOTSUPP;
    file_unref(f);
    return ret;
}

int64_t sys_connect(struct task *t, int fd, uaddr_t addr, int addrlen)
{
    struct socket_address a;
    struct socket *s;
    struct file *f;
    int ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = copy_in_address(t, addr, addrlen, &a);
    if (ret == 0)
        ret = socket_ops(s)->connect ? socket_ops(s)->connect(t, s, &a, f->flags & O_NONBLOCK) : -EOPNOTSUPP;
    file_unref(f);
    return ret;
}

int64_t sys_listen(struct task *t, int fd, int backlog)
{
    struct socket *s;
    struct file *f;
    int ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = socket_ops(s)->listen ? socket_ops(s)->listen(t, s, backlog) : -EOPNOTSUPP;
    file_unref(f);
    return ret;
}

static int accept_on(struct task *t, struct file *f, struct socket *s, uaddr_t addr, uaddr_t addrlen, int flags)
{
    struct socket *end;
    struct socket_address a;
    int fd = fd_reserve(t, flags & SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    int ret = socket_ops(s)->accept ? socket_ops(s)->accept(t, s, f->flags & O_NONBLOCK, &end) : -EOPNOTSUPP;
    struct file *got = ret == 0 ? socket_create_file(end, flags) : NULL;
    if (ret == 0 && !got)
        ret = -ENOMEM;
    if (ret == 0 && addr.a) {
        ret = socket_ops(end)->get_name(end, true, &a) < 0 ? -ECONNABORTED : copy_out_address(t, &a, addr, addrlen);
        if (ret < 0)
            file_unref(got);
    }
    if (ret < 0) {
        fd_unreserve(t, fd);
        return ret;
    }
    fd_publish(t, fd, got);
    return fd;
}

int64_t sys_accept4(struct task *t, int fd, uaddr_t addr, uaddr_t addrlen, int flags)
{
    struct socket *s;
    struct file *f;
    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    int ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = accept_on(t, f, s, addr, addrlen, flags);
    file_unref(f);
    return ret;
}

int64_t sys_accept(struct task *t, int fd, uaddr_t addr, uaddr_t addrlen)
{
    return sys_accept4(t, fd, addr, addrlen, 0);
}

static int64_t get_name(struct task *t, int fd, uaddr_t addr, uaddr_t addrlen, bool peer)
{
    struct socket_address a;
    struct socket *s;
    struct file *f;
    int ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = socket_ops(s)->get_name(s, peer, &a);
    if (ret >= 0)
        ret = copy_out_address(t, &a, addr, addrlen);
    file_unref(f);
    return ret;
}

int64_t sys_getsockname(struct task *t, int fd, uaddr_t addr, uaddr_t addrlen)
{
    return get_name(t, fd, addr, addrlen, false);
}

int64_t sys_getpeername(struct task *t, int fd, uaddr_t addr, uaddr_t addrlen)
{
    return get_name(t, fd, addr, addrlen, true);
}

int64_t sys_shutdown(struct task *t, int fd, int how)
{
    struct socket *s;
    struct file *f;
    int ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    if (how < 0 || how > 2)
        ret = -EINVAL;
    else
        ret = socket_ops(s)->shutdown ? socket_ops(s)->shutdown(s, how + 1) : -EOPNOTSUPP;
    file_unref(f);
    return ret;
}

// ---- Options ----

int64_t sys_setsockopt(struct task *t, int fd, int level, int optname, uaddr_t optval, int optlen)
{
    uint8_t value[SOCKET_OPTION_MIN] = {0};
    struct socket *s;
    struct file *f;
    if (optlen < 0)
        return -EINVAL;
    int ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    uint32_t size = MIN((uint32_t)optlen, (uint32_t)sizeof(value));
    if (level == SOL_SOCKET && size < sizeof(int32_t))
        ret = -EINVAL;
    else
        ret = copy_in(t, value, optval, size);
    if (ret == 0 && level == SOL_SOCKET)
        ret = socket_set_option(t, s, optname, value, size);
    else if (ret == 0)
        ret = -ENOPROTOOPT;
    if (ret == -ENOPROTOOPT)
        ret = socket_ops(s)->set_option ? socket_ops(s)->set_option(t, s, level, optname, value, size) : ret;
    file_unref(f);
    return ret;
}

// The peer's name is an option, too.
static int get_peer_name_option(struct socket *s, void *value, uint32_t *size)
{
    struct socket_address a;
    int ret = socket_ops(s)->get_name(s, true, &a);
    if (ret < 0)
        return -ENOTCONN;
    if (a.size < *size)
        *size = a.size;
    memcpy(value, a.bytes, MIN(*size, a.size));
    return 0;
}

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

// A descriptor for the process that SO_PEERCRED names. The size is checked first: what is opened has to arrive.
static int get_peer_pidfd(struct task *t, struct socket *s, uaddr_t optval, uaddr_t optlen, uint32_t room)
{
    struct scm_creds peer;
    struct file *f;
    uint32_t size = sizeof(peer);
    int ret = socket_ops(s)->get_option ? socket_ops(s)->get_option(t, s, SOL_SOCKET, SO_PEERCRED, &peer, &size)
                                        : -ENOPROTOOPT;
    if (ret < 0)
        return ret;
    if (peer.pid <= 0)
        return -ENODATA;
    struct thread_group *g = thread_group_find((uint32_t)peer.pid);
    if (!g)
        return -ESRCH;
    int fd = pidfd_prepare(t, g, 0, &f);
    thread_group_unref(g);
    if (fd < 0)
        return fd;
    size = MIN(room, sizeof(fd));
    ret = copy_out(t, optval, &fd, size);
    if (ret == 0)
        ret = copy_out_value(t, optlen, &size);
    if (ret < 0)
        pidfd_discard(t, fd, f);
    else
        pidfd_publish(t, fd, f);
    return ret;
}

int64_t sys_getsockopt(struct task *t, int fd, int level, int optname, uaddr_t optval, uaddr_t optlen)
{
    struct socket *s;
    struct file *f;
    int32_t room;
    int ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    if (copy_in_value(t, &room, optlen) < 0)
        ret = -EFAULT;
    else if (room < 0)
        ret = -EINVAL;
    if (ret == 0 && level == SOL_SOCKET && optname == SO_PEERPIDFD) {
        ret = get_peer_pidfd(t, s, optval, optlen, (uint32_t)room);
        file_unref(f);
        return ret;
    }
    uint32_t size = (uint32_t)MIN((uint32_t)room, CRED_GROUPS_MAX * 4u);
    uint8_t *value = ret == 0 ? kmalloc(MAX(size, SOCKET_OPTION_MIN)) : NULL;
    if (ret == 0 && !value)
        ret = -ENOMEM;
    if (ret == 0) {
        ret = -ENOPROTOOPT;
        if (level == SOL_SOCKET)
            ret = optname == SO_PEERNAME ? get_peer_name_option(s, value, &size)
                                         : socket_get_option(t, s, optname, value, &size);
        if (ret == -ENOPROTOOPT && socket_ops(s)->get_option)
            ret = socket_ops(s)->get_option(t, s, level, optname, value, &size);
        if (ret == 0 && copy_out(t, optval, value, size) < 0)
            ret = -EFAULT;
        // ERANGE says how much room it takes.
        if ((ret == 0 || ret == -ERANGE) && copy_out_value(t, optlen, &size) < 0)
            ret = -EFAULT;
    }
    kfree(value);
    file_unref(f);
    return ret;
}

// ---- Sending ----

static uint32_t with_file_flags(const struct file *f, uint32_t flags)
{
    return f->flags & O_NONBLOCK ? flags | MSG_DONTWAIT : flags;
}

int64_t sys_sendto(struct task *t, int fd, uaddr_t buf, uint64_t len, uint32_t flags, uaddr_t addr, int addrlen)
{
    struct uio_segment one;
    struct socket_address a;
    struct socket *s;
    struct file *f;
    struct uio u;
    int64_t ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    uio_init_user(&u, t, &one, buf, len);
    struct socket_message m = {.data = &u, .flags = with_file_flags(f, flags)};
    if (addr.a) {
        ret = copy_in_address(t, addr, addrlen, &a);
        if (addrlen)
            m.name = &a;
    }
    if (ret == 0) {
        scm_from_task(t, &m.scm);
        ret = socket_ops(s)->send(t, s, &m);
    }
    file_unref(f);
    return ret;
}

static int parse_control(struct task *t, const struct msghdr_wire *h, struct scm *out)
{
    uint8_t small[256], *control = small;
    if (!h->control || !h->control_size) {
        scm_from_task(t, out);
        return 0;
    }
    if (h->control_size > sizeof(small))
        control = kmalloc(h->control_size);
    if (!control)
        return -ENOBUFS;
    int ret = copy_in(t, control, UADDR(h->control), h->control_size);
    if (ret == 0)
        ret = scm_parse(t, control, h->control_size, out);
    if (control != small)
        kfree(control);
    return ret;
}

static int copy_in_header(struct task *t, uaddr_t msg, struct msghdr_wire *h)
{
    if (copy_in_value(t, h, msg) < 0)
        return -EFAULT;
    if (!h->name)
        h->name_size = 0;
    if (h->name_size < 0)
        return -EINVAL;
    h->name_size = MIN(h->name_size, 128);
    return h->iov_count > UIO_MAX_SEGMENTS ? -EMSGSIZE : 0;
}

static int64_t send_message(struct task *t, struct file *f, struct socket *s, uaddr_t msg, uint32_t flags)
{
    struct uio_segment fixed[8], *segments = NULL;
    struct msghdr_wire h;
    struct socket_address a;
    struct uio u;
    int64_t ret = copy_in_header(t, msg, &h);
    if (ret < 0)
        return ret;
    struct socket_message m = {.data = &u, .flags = with_file_flags(f, flags)};
    if (h.name_size) {
        ret = copy_in_address(t, UADDR(h.name), h.name_size, &a);
        m.name = &a;
    }
    if (ret == 0)
        ret = uio_init_iovec(&u, t, UADDR(h.iov), (int64_t)h.iov_count, fixed, &segments);
    if (ret < 0)
        return ret;
    ret = h.control_size > CONTROL_MAX ? -ENOBUFS : parse_control(t, &h, &m.scm);
    if (ret == 0)
        ret = socket_ops(s)->send(t, s, &m);
    if (segments != fixed)
        kfree(segments);
    return ret;
}

int64_t sys_sendmsg(struct task *t, int fd, uaddr_t msg, uint32_t flags)
{
    struct socket *s;
    struct file *f;
    int64_t ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = send_message(t, f, s, msg, flags);
    file_unref(f);
    return ret;
}

int64_t sys_sendmmsg(struct task *t, int fd, uaddr_t msgs, uint32_t count, uint32_t flags)
{
    struct socket *s;
    struct file *f;
    uint32_t done = 0;
    int64_t ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    count = MIN(count, VLEN_MAX);
    for (; done < count; done++) {
        uaddr_t at = UADDR(msgs.a + done * (uint64_t)MMSGHDR_SIZE);
        ret = send_message(t, f, s, at, flags);
        if (ret < 0)
            break;
        uint32_t n = (uint32_t)ret;
        ret = copy_out_value(t, UADDR(at.a + sizeof(struct msghdr_wire)), &n);
        if (ret < 0)
            break;
    }
    file_unref(f);
    return done ? (int64_t)done : ret;
}

// ---- Receiving ----

int64_t sys_recvfrom(struct task *t, int fd, uaddr_t buf, uint64_t len, uint32_t flags, uaddr_t addr, uaddr_t addrlen)
{
    struct uio_segment one;
    struct socket_address a;
    struct socket *s;
    struct file *f;
    struct uio u;
    int64_t ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    uio_init_user(&u, t, &one, buf, len);
    a.size = 0;
    struct socket_message m = {.data = &u, .flags = with_file_flags(f, flags), .name = addr.a ? &a : NULL};
    ret = socket_ops(s)->receive(t, s, &m);
    scm_done(&m.scm);
    if (ret >= 0 && addr.a) {
        int r = copy_out_address(t, &a, addr, addrlen);
        if (r < 0)
            ret = r;
    }
    file_unref(f);
    return ret;
}

// What a receive says beside the data: address, control data, flags.
static int finish_receive(struct task *t, struct socket *s, uaddr_t msg, const struct msghdr_wire *h,
                          struct socket_message *m, uint32_t flags)
{
    struct scm_sink sink = {.task = t, .at = UADDR(h->control), .room = h->control ? h->control_size : 0};
    bool cloexec = flags & MSG_CMSG_CLOEXEC;
    int ret = scm_deliver(&sink, &m->scm, socket_option(s, SOCKET_PASSCRED), cloexec);
    if (ret < 0)
        return ret;
    if (m->name) {
        int32_t size = (int32_t)m->name->size;
        ret = copy_out(t, UADDR(h->name), m->name->bytes, (uint64_t)MIN(size, h->name_size));
        if (ret == 0)
            ret = copy_out_value(t, UADDR(msg.a + offsetof(struct msghdr_wire, name_size)), &size);
        if (ret < 0)
            return ret;
    }
    uint32_t out = m->out_flags | sink.flags | (cloexec ? MSG_CMSG_CLOEXEC : 0);
    ret = copy_out_value(t, UADDR(msg.a + offsetof(struct msghdr_wire, flags)), &out);
    if (ret == 0)
        ret = copy_out_value(t, UADDR(msg.a + offsetof(struct msghdr_wire, control_size)), &sink.used);
    return ret;
}

static int64_t receive_message(struct task *t, struct file *f, struct socket *s, uaddr_t msg, uint32_t flags)
{
    struct uio_segment fixed[8], *segments = NULL;
    struct socket_address a;
    struct msghdr_wire h;
    struct uio u;
    int64_t ret = copy_in_header(t, msg, &h);
    if (ret == 0)
        ret = uio_init_iovec(&u, t, UADDR(h.iov), (int64_t)h.iov_count, fixed, &segments);
    if (ret < 0)
        return ret;
    a.size = 0;
    struct socket_message m = {.data = &u, .flags = with_file_flags(f, flags), .name = h.name ? &a : NULL};
    ret = socket_ops(s)->receive(t, s, &m);
    if (ret >= 0) {
        int r = finish_receive(t, s, msg, &h, &m, flags);
        if (r < 0)
            ret = r;
    }
    scm_done(&m.scm);
    if (segments != fixed)
        kfree(segments);
    return ret;
}

int64_t sys_recvmsg(struct task *t, int fd, uaddr_t msg, uint32_t flags)
{
    struct socket *s;
    struct file *f;
    int64_t ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = receive_message(t, f, s, msg, flags);
    file_unref(f);
    return ret;
}

// The time-out is looked at between messages only, recvmmsg(2).
static int64_t receive_many(struct task *t, struct file *f, struct socket *s, uaddr_t msgs, uint32_t count,
                            uint32_t flags, nsec_t deadline)
{
    uint32_t done = 0;
    int64_t ret = socket_take_error(s);
    if (ret < 0)
        return ret;
    while (done < count) {
        uaddr_t at = UADDR(msgs.a + done * (uint64_t)MMSGHDR_SIZE);
        ret = receive_message(t, f, s, at, flags & ~(uint32_t)MSG_WAITFORONE);
        if (ret < 0)
            break;
        uint32_t n = (uint32_t)ret;
        ret = copy_out_value(t, UADDR(at.a + sizeof(struct msghdr_wire)), &n);
        if (ret < 0)
            break;
        done++;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (deadline != NSEC_MAX && clock_monotonic() >= deadline)
            break;
    }
    if (done == 0)
        return ret;
    // An error behind the first message is kept for the next call.
    if (ret < 0 && ret != -EAGAIN && ret != -ERESTARTSYS && ret != -EINTR)
        __atomic_store_n((int32_t *)&s->error, (int32_t)-ret, __ATOMIC_RELEASE);
    return done;
}

int64_t sys_recvmmsg(struct task *t, int fd, uaddr_t msgs, uint32_t count, uint32_t flags, uaddr_t timeout)
{
    struct socket *s;
    struct file *f;
    nsec_t deadline;
    int64_t ret = copy_in_timeout(t, timeout, &deadline);
    if (ret < 0)
        return ret;
    ret = get_socket(t, fd, &f, &s);
    if (ret < 0)
        return ret;
    ret = receive_many(t, f, s, msgs, MIN(count, VLEN_MAX), flags, deadline);
    file_unref(f);
    if (timeout.a && ret > 0) {
        struct timespec_wire left = timespec_from_nsec(MAX(deadline - clock_monotonic(), 0));
        if (copy_out_value(t, timeout, &left) < 0)
            ret = -EFAULT;
    }
    return ret;
}
