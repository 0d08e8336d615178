// The gofer's loop: one request at a time, in order.
//
// One thread is enough: the kernel process asks once for a directory and once for a file, and then works with what it was given.
// Fsync of files and all reading and writing happen in the kernel process, on the descriptors; no request waits for a peer.
//
// The gofer believes nothing: protocol.c has checked a message's form, the ops check what it says; the exports' mounts, the
// seccomp list and Landlock stand behind them. It ends when the channel does.
#include "gofer/gofer.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/slab.h"
#include "gofer/gofer-int.h"
#include "host/host.h"

enum { GOFER_ARENA = 1 << 30 }; // address space; what isn't used costs nothing

struct op {
    int (*run)(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
    bool changes;
};

static const struct op ops[GOFER_OP_COUNT] = {
    [GOFER_LOOKUP] = {op_lookup, false},
    [GOFER_LIST] = {op_list, false},
    [GOFER_OPEN] = {op_open, false},
    [GOFER_STATFS] = {op_statfs, false},
    [GOFER_GETXATTR] = {op_getxattr, false},
    [GOFER_LISTXATTR] = {op_listxattr, false},
    [GOFER_CREATE] = {op_create, true},
    [GOFER_MKDIR] = {op_mkdir, true},
    [GOFER_MKNOD] = {op_mknod, true},
    [GOFER_SYMLINK] = {op_symlink, true},
    [GOFER_LINK] = {op_link, true},
    [GOFER_UNLINK] = {op_unlink, true},
    [GOFER_RMDIR] = {op_rmdir, true},
    [GOFER_RENAME] = {op_rename, true},
    [GOFER_SETATTR] = {op_setattr, true},
    [GOFER_SETXATTR] = {op_setxattr, true},
    [GOFER_REMOVEXATTR] = {op_removexattr, true},
    [GOFER_SYNC] = {op_sync, false},
};

int gofer_send(struct gofer *g, const struct gofer_reply *header, const uint8_t *data, int fd)
{
    struct gofer_reply h = *header;
    struct iovec iov[2] = {
        {.iov_base = &h, .iov_len = sizeof(h)},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = h.data_size},
    };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = h.data_size ? 2 : 1};
    h.size = (uint32_t)sizeof(h) + h.data_size;
    if (fd >= 0) {
        h.flags |= GOFER_REPLY_FD;
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)),
            .cmsg_level = SOL_SOCKET,
            .cmsg_type = SCM_RIGHTS,
        };
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    int64_t ret;
    do
        ret = host_sendmsg(g->channel, &msg, MSG_NOSIGNAL);
    while (ret == -EINTR);
    if (ret < 0)
        g->gone = true;
    return ret < 0 ? (int)ret : 0;
}

static int serve_forget(struct gofer *g, const struct gofer_request_view *r)
{
    if (r->header.data_size % sizeof(gofer_node_t) || r->header.data_size / sizeof(gofer_node_t) > GOFER_FORGET_MAX)
        return -EPROTO;
    for (uint32_t at = 0; at < r->header.data_size; at += sizeof(gofer_node_t)) {
        gofer_node_t id;
        memcpy(&id, r->data + at, sizeof(id));
        struct node *n = node_find(g, id);
        if (n)
            node_forget(g, n);
    }
    return 0;
}

int gofer_serve(struct gofer *g, uint64_t received)
{
    struct gofer_request_view r;
    int ret = gofer_request_parse(g->message, received, &r);
    if (ret < 0)
        return ret;
    if (r.header.op == GOFER_FORGET)
        return serve_forget(g, &r);
    struct answer answer = {
        .header = {.id = r.header.id},
        .data = g->reply,
        .fd = -1,
    };
    const struct op *op = &ops[r.header.op];
    struct node *n = node_find(g, r.header.node);
    if (!op->run)
        ret = -EOPNOTSUPP;
    else if (!n)
        ret = -ESTALE;
    else if (op->changes && node_is_read_only(g, n))
        ret = -EROFS;
    else
        ret = op->run(g, &r, &answer);
    if (ret < 0) {
        answer.header.data_size = 0;
        answer.header.count = 0;
        answer.header.node = GOFER_NODE_NONE;
        memset(&answer.header.attr, 0, sizeof(answer.header.attr));
    }
    answer.header.result = ret;
    (void)gofer_send(g, &answer.header, answer.data, ret < 0 ? -1 : answer.fd);
    if (answer.fd >= 0)
        (void)host_close(answer.fd);
    return 0;
}

int gofer_init(struct gofer *g, const struct boot_spec *spec, int channel, int first_export)
{
    g->spec = spec;
    g->channel = channel;
    g->message = kmalloc(GOFER_MESSAGE_MAX);
    g->reply = kmalloc(GOFER_MESSAGE_MAX);
    if (!g->message || !g->reply)
        return -ENOMEM;
    int ret = nodes_init(g);
    if (ret < 0)
        return ret;
    int limit = host_fd_limit();
    g->open_max = limit > 4 * GOFER_RESERVE ? (uint32_t)limit / 2 : GOFER_RESERVE;
    for (uint32_t i = 0; i < spec->export_count; i++) {
        struct gofer_attr attr;
        ret = stat_at(first_export + (int)i, "", &attr);
        if (ret < 0)
            return ret;
        nodes_set_root(g, i, first_export + (int)i, &attr);
    }
    return 0;
}

static int64_t receive(struct gofer *g)
{
    struct iovec iov = {.iov_base = g->message, .iov_len = GOFER_MESSAGE_MAX};
    // No room for control messages: descriptors that the kernel process sends are closed by the host.
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int64_t size;
    do
        size = host_recvmsg(g->channel, &msg, MSG_CMSG_CLOEXEC);
    while (size == -EINTR);
    return size > 0 && (msg.msg_flags & MSG_TRUNC) ? -EPROTO : size;
}

int gofer_main(const struct boot_spec *spec)
{
    int ret = arena_init(0, GOFER_ARENA);
    struct gofer *g = ret < 0 ? NULL : kmalloc(sizeof(*g));
    if (!g) {
        log_error("gofer: no memory");
        return 1;
    }
    ret = gofer_init(g, spec, BOOT_FD_GOFER, BOOT_FD_EXPORTS);
    if (ret < 0) {
        log_error("gofer: cannot start: error %d", -ret);
        return 1;
    }
    while (!g->gone) {
        int64_t size = receive(g);
        if (size == 0)
            break; // the kernel process has ended
        if (size > 0)
            size = gofer_serve(g, (uint64_t)size);
        if (size < 0) {
            log_error("gofer: malformed request, or a broken channel: error %lld", (long long)-size);
            return 1;
        }
    }
    return 0;
}
