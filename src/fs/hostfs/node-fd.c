// The donated descriptors: a cache over all nodes.
//
// host_node.users counts who uses a node's descriptors now; whoever makes room never closes those of a node that has any. The two
// meet without a lock: a user counts itself, then reads the descriptor; the one who makes room takes the descriptor out, then
// reads the count, and puts it back if it isn't zero. Descriptors that a stub may have been told to map are closed by the
// platform, when their numbers are safe to be used again; as long as such a file is open they are kept (fs/hostfs/file.c).
#include <fcntl.h>

#include "base/checked.h"
#include "base/log.h"
#include "fs/host-io.h"
#include "fs/hostfs/client.h"
#include "fs/hostfs/node-int.h"
#include "host/host.h"
#include "mm/backing.h"
#include "platform/platform.h"

enum { CLOSE_BATCH = 8 };

static int32_t load_fd(struct host_node *n, bool write)
{
    return __atomic_load_n((int32_t *)&n->fd[write], __ATOMIC_SEQ_CST);
}

static void close_fd(int fd, bool mapped)
{
    if (mapped)
        platform_fd_release(the_kernel()->platform, fd);
    else
        (void)host_close(fd);
}

// The exclusive image's files have one of the first slot only.
static int usable(struct host_node *n, enum host_fd_use use)
{
    int fd = use == HOST_FD_READ_ONLY ? -1 : load_fd(n, true);
    if (fd < 0 && use != HOST_FD_WRITE)
        fd = load_fd(n, false);
    if (fd >= 0 && !__atomic_load_n((bool *)&n->recent, __ATOMIC_RELAXED))
        __atomic_store_n((bool *)&n->recent, true, __ATOMIC_RELAXED);
    return fd;
}

int host_node_peek_fd(struct host_node *n, enum host_fd_use use)
{
    __atomic_fetch_add((uint32_t *)&n->users, 1, __ATOMIC_SEQ_CST);
    int fd = usable(n, use);
    if (fd < 0)
        host_node_put_fd(n);
    return fd;
}

void host_node_put_fd(struct host_node *n)
{
    __atomic_fetch_sub((uint32_t *)&n->users, 1, __ATOMIC_RELEASE);
}

// Takes both descriptors out of n unless somebody uses them.
static bool take_out_locked(struct gofer_client *c, struct host_node *n, int fds[2])
{
    for (int i = 0; i < 2; i++)
        fds[i] = __atomic_exchange_n((int32_t *)&n->fd[i], -1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n((uint32_t *)&n->users, __ATOMIC_SEQ_CST) == 0) {
        c->fd_count -= (fds[0] >= 0) + (fds[1] >= 0);
        list_remove(&n->lru);
        return true;
    }
    for (int i = 0; i < 2; i++)
        __atomic_store_n((int32_t *)&n->fd[i], fds[i], __ATOMIC_SEQ_CST);
    return false;
}

// Chooses what to close: from the oldest on, those used lately get a second round. Returns how many are in fds.
static uint32_t make_room_locked(struct gofer_client *c, const struct host_node *keep, int fds[][2], bool *mapped)
{
    uint32_t n = 0, looked = 0, limit = 2 * c->fd_count;
    while (c->fd_count > c->fd_max && n < CLOSE_BATCH && looked++ < limit && !list_empty(&c->lru)) {
        struct host_node *oldest = container_of(c->lru.prev, struct host_node, lru);
        bool recent = __atomic_exchange_n((bool *)&oldest->recent, false, __ATOMIC_RELAXED);
        list_remove(&oldest->lru);
        list_push_front(&c->lru, &oldest->lru);
        if (recent || oldest == keep)
            continue;
        mapped[n] = oldest->mapped;
        if (take_out_locked(c, oldest, fds[n]))
            n++;
    }
    return n;
}

void node_adopt_fd(struct host_node *n, bool write, int fd)
{
    struct gofer_client *c = the_client();
    int fds[CLOSE_BATCH][2];
    bool mapped[CLOSE_BATCH];
    lock_take(&c->fd_lock);
    bool taken = load_fd(n, write) >= 0;
    if (!taken) {
        __atomic_store_n((int32_t *)&n->fd[write], fd, __ATOMIC_SEQ_CST);
        list_remove(&n->lru);
        list_push_front(&c->lru, &n->lru);
        c->fd_count++;
        c->counts.fds++;
    }
    uint32_t count = make_room_locked(c, n, fds, mapped);
    lock_release(&c->fd_lock);
    if (taken)
        (void)host_close(fd);
    for (uint32_t i = 0; i < count; i++) {
        for (int j = 0; j < 2; j++) {
            if (fds[i][j] >= 0)
                close_fd(fds[i][j], mapped[i]);
        }
    }
}

static int open_fd(struct host_node *n, bool write, struct gofer_attr *attr, bool *fresh)
{
    struct gofer_request request = {.op = GOFER_OPEN, .flags = write ? O_RDWR : O_RDONLY};
    struct gofer_message *m;
    if (!n->export->read_only && !n->gofer)
        request.want = GOFER_WANT_NODE;
    // By name first: the gofer's own node may be open for reading only. By node if the name is gone.
    struct node_address at;
    int error = node_address(n, true, &at);
    if (error == 0) {
        request.node = at.node;
        node_expect(n, &request);
        error = gofer_ask(&request, at.name, at.name_size, NULL, 0, &m);
    }
    if ((error == -ENOENT || error == -ESTALE) && n->gofer)
        error = node_ask(n, &request, NULL, 0, &m);
    if (error < 0)
        return error;
    const struct gofer_reply *h = &m->view.header;
    if (m->fd < 0 || !gofer_attr_ok(&h->attr)) {
        error = -EIO;
    } else {
        node_set_gofer(n, h->node);
        if (attr) {
            *attr = h->attr;
            *fresh = true;
        }
        // A file that is exported by itself comes as the gofer has it, open for writing, too.
        if (!write && !n->export->read_only)
            write = (host_get_flags(m->fd) & O_ACCMODE) == O_RDWR;
        node_adopt_fd(n, write, m->fd);
        m->fd = -1;
    }
    gofer_message_done(the_client(), m);
    return error;
}

int host_node_get_fd(struct host_node *n, enum host_fd_use use, struct gofer_attr *attr, bool *fresh)
{
    if (attr)
        *fresh = false;
    __atomic_fetch_add((uint32_t *)&n->users, 1, __ATOMIC_SEQ_CST);
    // Opened and closed again by somebody who makes room, a few times at worst.
    for (int tries = 0;; tries++) {
        int fd = usable(n, use);
        if (fd >= 0)
            return fd;
        int error = tries < 8 ? open_fd(n, use == HOST_FD_WRITE, attr, fresh) : -EACCES;
        if (error < 0) {
            host_node_put_fd(n);
            return error;
        }
    }
}

// ---- Use of the contents ----

int64_t host_node_read(struct host_node *n, struct uio *u, uint64_t pos)
{
    if (pos > INT64_MAX)
        return -EINVAL;
    int fd = host_node_get_fd(n, HOST_FD_READ, NULL, NULL);
    if (fd < 0)
        return fd;
    int64_t size = host_io_read(fd, u, (int64_t)pos, 0);
    host_node_put_fd(n);
    return size;
}

int64_t host_node_seek(struct host_node *n, int64_t offset, int whence)
{
    if (offset < 0)
        return -ENXIO;
    int fd = host_node_get_fd(n, HOST_FD_READ, NULL, NULL);
    if (fd < 0)
        return fd;
    int64_t at = host_lseek(fd, offset, whence);
    host_node_put_fd(n);
    return at;
}

int host_node_map(struct host_node *n, enum host_fd_use use, uint64_t file_size, uint64_t offset, uint64_t size,
                  uint64_t *keep, struct map_source *out)
{
    struct gofer_attr attr;
    // Before the descriptor can be given away: whoever closes it from now on leaves its number to the platform.
    __atomic_store_n((bool *)&n->mapped, true, __ATOMIC_SEQ_CST);
    int fd = host_node_get_fd(n, use, NULL, NULL);
    if (fd < 0)
        return fd;
    if (host_node_must_keep(n)) {
        int error = host_fd_getattr(fd, &attr);
        if (error < 0) {
            host_node_put_fd(n);
            return error;
        }
        file_size = attr.size;
    }
    uint64_t valid = file_size > offset ? file_size - offset : 0;
    if (!page_up_u64(valid, &valid))
        valid = size;
    *out = (struct map_source){.fd = fd, .offset = offset, .valid = MIN(valid, size)};
    // The use of the descriptor is the open file's from now on.
    if (__atomic_exchange_n(keep, 1, __ATOMIC_ACQ_REL))
        host_node_put_fd(n);
    return 0;
}

static bool drop_fds(struct gofer_client *c, struct host_node *n)
{
    int fds[2];
    lock_take(&c->fd_lock);
    bool out = take_out_locked(c, n, fds);
    lock_release(&c->fd_lock);
    for (int i = 0; out && i < 2; i++) {
        if (fds[i] >= 0)
            close_fd(fds[i], n->mapped);
    }
    return out;
}

void node_drop_fds(struct gofer_client *c, struct host_node *n)
{
    (void)drop_fds(c, n);
}

void node_close_fds(struct gofer_client *c, struct host_node *n)
{
    if (load_fd(n, false) < 0 && load_fd(n, true) < 0)
        return;
    bool out = drop_fds(c, n);
    BUG_ON(!out);
}
