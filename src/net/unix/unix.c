// AF_UNIX sockets: making, naming, finding and ending them. unix(7).
//
// A name in the file system is an inode that points back to its socket (inode->socket, guarded by the inode's lock); the
// socket holds the path, so that the inode stays while it lives. Abstract names are in a hash table.
//
// DEVIATION: one table of abstract names for the sandbox (there is one network namespace). SO_PASSSEC never yields data, as
// without a security module.
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/slab.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "net/unix/unix-int.h"
#include "net/unix/unix.h"
#include "vfs/vfs-int.h"

SLAB_TYPE(unix_slab, SLAB_UNIX_SOCKET, struct unix_socket);

#define NAME_OFFSET offsetof(struct sockaddr_un, sun_path)

struct unix_table *unix_table(void)
{
    struct kernel *k = the_kernel();
    struct unix_table *table = __atomic_load_n(&k->unix_sockets, __ATOMIC_ACQUIRE);
    if (likely(table != NULL))
        return table;
    struct unix_table *fresh = kmalloc(sizeof(*fresh));
    if (!fresh)
        return NULL;
    lock_init(&fresh->lock, LOCK_RANK_OBJECT);
    lock_init(&fresh->gc_lock, LOCK_RANK_UNIX_GC);
    list_init(&fresh->all);
    list_init(&fresh->flight);
    if (__atomic_compare_exchange_n(&k->unix_sockets, &table, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    kfree(fresh);
    return table;
}

// ---- Lifetimes ----

struct unix_socket *unix_alloc(int type)
{
    struct unix_table *table = unix_table();
    struct unix_socket *u = table ? slab_alloc(&unix_slab) : NULL;
    if (!u)
        return NULL;
    socket_init(&u->base, AF_UNIX, type, 0);
    refcount_init(&u->refs, 1);
    list_init(&u->queue);
    list_init(&u->pending);
    list_init(&u->pending_node);
    list_init(&u->senders);
    list_init(&u->sender_node);
    list_init(&u->flight_node);
    wait_queue_init(&u->turn_wq);
    wait_queue_init(&u->room_wq);
    u->backlog = (uint32_t)sysctl_get(the_kernel(), SYSCTL_UNIX_MAX_DGRAM_QLEN);
    lock_take(&table->lock);
    list_push_back(&table->all, &u->all_node);
    lock_release(&table->lock);
    return u;
}

struct unix_socket *unix_ref(struct unix_socket *u)
{
    refcount_get(&u->refs);
    return u;
}

void unix_unref(struct unix_socket *u)
{
    if (!u || !refcount_put(&u->refs))
        return;
    BUG_ON(!list_empty(&u->queue) || !list_empty(&u->pending) || u->peer);
    unix_address_unref(u->addr);
    unix_cred_done(&u->own_cred);
    unix_cred_done(&u->peer_cred);
    slab_free(&unix_slab, u);
}

struct unix_address *unix_address_ref(struct unix_address *a)
{
    if (a)
        refcount_get(&a->refs);
    return a;
}

void unix_address_unref(struct unix_address *a)
{
    if (a && refcount_put(&a->refs))
        kfree(a);
}

void unix_cred_set(struct unix_peer_cred *c, struct task *t)
{
    unix_cred_done(c);
    *c = (struct unix_peer_cred){.pid = (int32_t)t->group->tgid, .cred = cred_get(t->cred)};
}

void unix_cred_copy(struct unix_peer_cred *to, const struct unix_peer_cred *from)
{
    struct unix_peer_cred c = {.pid = from->pid, .cred = from->cred ? cred_get(from->cred) : NULL};
    unix_cred_done(to);
    *to = c;
}

void unix_cred_done(struct unix_peer_cred *c)
{
    if (c->cred)
        cred_put(c->cred);
    *c = (struct unix_peer_cred){0};
}

static void forget_name(struct unix_socket *u)
{
    struct unix_table *table = unix_table();
    struct path path;
    lock_take(&table->lock);
    list_remove(&u->all_node);
    if (u->addr && u->addr->name[0] == 0) {
        for (uint32_t i = 0; i < UNIX_HASH; i++) {
            struct unix_socket **link = &table->names[i];
            while (*link && *link != u)
                link = &(*link)->hash_next;
            if (*link)
                *link = u->hash_next;
        }
    }
    lock_release(&table->lock);
    lock_take(&u->base.lock);
    path = u->path;
    u->path = (struct path){0};
    lock_release(&u->base.lock);
    if (path.dentry) {
        struct inode *inode = path.dentry->inode;
        lock_take(&inode->lock);
        if (inode->socket == u)
            inode->socket = NULL;
        lock_release(&inode->lock);
        path_put(&path);
    }
}

// The other side of a connection learns that this one has ended.
static void tell_peer(struct unix_socket *u, struct unix_socket *peer, bool data_lost)
{
    if (unix_is_dgram(u))
        return;
    lock_take(&peer->base.lock);
    peer->base.shutdown = SOCKET_SHUT_BOTH;
    lock_release(&peer->base.lock);
    if (data_lost)
        __atomic_store_n((int32_t *)&peer->base.error, ECONNRESET, __ATOMIC_RELEASE);
    wake_up_all(&peer->base.wq, 0);
    wake_up_all(&peer->room_wq, 0);
}

// Whoever is connected to a datagram socket polls for room in its queue.
static void wake_senders_locked(struct unix_socket *u)
{
    struct unix_socket *it;
    list_for_each(it, &u->senders, sender_node)
    {
        wake_up_all(&it->base.wq, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
    }
}

void unix_release(struct unix_socket *u)
{
    struct list queue, pending;
    struct unix_socket *it, *tmp;
    list_init(&queue);
    list_init(&pending);
    if (unix_is_dgram(u))
        (void)unix_bind_dgram_peer(u, NULL);
    lock_take(&u->base.lock);
    bool embryo_or_data = !list_empty(&u->queue) || !u->base.file;
    struct unix_socket *peer = u->peer;
    u->dead = true;
    u->base.shutdown = SOCKET_SHUT_BOTH;
    u->peer = NULL;
    u->base.file = NULL;
    list_splice_back(&queue, &u->queue);
    u->queue_count = 0;
    u->queue_bytes = 0;
    list_splice_back(&pending, &u->pending);
    u->pending_count = 0;
    wake_senders_locked(u);
    lock_release(&u->base.lock);
    forget_name(u);
    if (peer) {
        tell_peer(u, peer, embryo_or_data);
        unix_unref(peer);
    }
    wake_up_all(&u->room_wq, 0);
    list_for_each_safe(it, tmp, &pending, pending_node)
    {
        list_remove(&it->pending_node);
        unix_release(it);
    }
    unix_message_list_free(&queue);
    unix_socket_ended();
    unix_unref(u);
}

static void unix_op_release(struct socket *s)
{
    unix_release(unix_of(s));
}

static int unix_op_create(struct task *t UNUSED, int type, int protocol, struct socket **ret)
{
    if (protocol && protocol != PF_UNIX)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW)
        type = SOCK_DGRAM;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    struct unix_socket *u = unix_alloc(type);
    if (!u)
        return -ENOMEM;
    *ret = &u->base;
    return 0;
}

// ---- Names ----

int unix_check_address(const struct socket_address *addr)
{
    return addr->size <= NAME_OFFSET || addr->size > sizeof(struct sockaddr_un) || addr->family != AF_UNIX ? -EINVAL : 0;
}

static const char *name_of(const struct socket_address *addr)
{
    return (const char *)addr->bytes + NAME_OFFSET;
}

// A path is counted with its NUL, wherever the guest's length ends.
static struct unix_address *address_create(const struct socket_address *addr)
{
    struct unix_address *a = kmalloc(sizeof(*a));
    uint32_t len = addr->size - (uint32_t)NAME_OFFSET;
    if (!a)
        return NULL;
    refcount_init(&a->refs, 1);
    a->family = AF_UNIX;
    memcpy(a->name, name_of(addr), len);
    if (a->name[0])
        len = (uint32_t)strnlen(a->name, len) + 1;
    a->size = (uint32_t)NAME_OFFSET + len;
    return a;
}

static uint32_t bucket_of(const struct unix_address *a, int type)
{
    return (uint32_t)(siphash(&the_kernel()->hash_key, a->name, a->size - NAME_OFFSET) + (uint64_t)type) % UNIX_HASH;
}

static struct unix_socket *find_abstract_locked(struct unix_table *table, const struct unix_address *a, int type)
{
    struct unix_socket *u = table->names[bucket_of(a, type)];
    while (u && (u->base.type != type || u->addr->size != a->size || memcmp(u->addr->name, a->name, a->size - NAME_OFFSET)))
        u = u->hash_next;
    return u;
}

// Takes over the reference to a on success. -EADDRINUSE; -EINVAL when u has a name.
static int add_abstract(struct unix_socket *u, struct unix_address *a)
{
    struct unix_table *table = unix_table();
    lock_take(&table->lock);
    int ret = u->addr ? -EINVAL : find_abstract_locked(table, a, u->base.type) ? -EADDRINUSE : 0;
    if (ret == 0) {
        uint32_t bucket = bucket_of(a, u->base.type);
        u->hash_next = table->names[bucket];
        table->names[bucket] = u;
        __atomic_store_n(&u->addr, a, __ATOMIC_RELEASE);
    }
    lock_release(&table->lock);
    return ret;
}

int unix_autobind(struct unix_socket *u)
{
    struct unix_table *table = unix_table();
    struct unix_address *a;
    int ret = 0;
    if (u->addr)
        return 0;
    a = kmalloc(sizeof(*a));
    if (!a)
        return -ENOMEM;
    refcount_init(&a->refs, 1);
    a->family = AF_UNIX;
    a->size = (uint32_t)NAME_OFFSET + 6;
    for (uint32_t tries = 0; tries < 1 << 20; tries++) {
        static const char digits[] = "0123456789abcdef";
        lock_take(&table->lock);
        uint32_t n = table->next_auto++ & 0xfffff;
        lock_release(&table->lock);
        for (int i = 0; i < 5; i++)
            a->name[1 + i] = digits[n >> (16 - 4 * i) & 15];
        ret = add_abstract(u, a);
        if (ret == 0)
            return 0;
        if (ret == -EINVAL) { // another thread was faster
            ret = 0;
            break;
        }
        ret = -ENOSPC;
    }
    unix_address_unref(a);
    return ret;
}

static int bind_path(struct task *t, struct unix_socket *u, struct unix_address *a)
{
    struct unix_table *table = unix_table();
    struct path path;
    char name[UNIX_PATH_MAX + 2];
    memcpy(name, a->name, sizeof(name));
    int ret = vfs_bind_socket(t, name, 0777, &path);
    if (ret < 0)
        return ret;
    struct inode *inode = path.dentry->inode;
    lock_take(&table->lock);
    bool taken = u->addr != NULL;
    if (!taken)
        __atomic_store_n(&u->addr, a, __ATOMIC_RELEASE);
    lock_release(&table->lock);
    if (taken) { // two threads bind one socket: the loser's node stays behind, as on Linux
        path_put(&path);
        return -EINVAL;
    }
    lock_take(&inode->lock);
    inode->socket = u;
    lock_release(&inode->lock);
    lock_take(&u->base.lock);
    u->path = path;
    lock_release(&u->base.lock);
    return 0;
}

static int unix_op_bind(struct task *t, struct socket *s, const struct socket_address *addr)
{
    struct unix_socket *u = unix_of(s);
    if (addr->size == NAME_OFFSET && addr->family == AF_UNIX)
        return u->addr ? -EINVAL : unix_autobind(u);
    int ret = unix_check_address(addr);
    if (ret < 0)
        return ret;
    if (u->addr)
        return -EINVAL;
    struct unix_address *a = address_create(addr);
    if (!a)
        return -ENOMEM;
    ret = a->name[0] ? bind_path(t, u, a) : add_abstract(u, a);
    if (ret < 0)
        unix_address_unref(a);
    return ret;
}

static int find_by_path(struct task *t, const char *name, struct unix_socket **ret)
{
    struct path path;
    int r = path_lookup(t, AT_FDCWD, name, LOOKUP_FOLLOW, &path);
    if (r < 0)
        return r;
    struct inode *inode = path.dentry->inode;
    r = inode_permission(inode, t->cred, 2);
    if (r == 0 && !S_ISSOCK(inode->mode))
        r = -ECONNREFUSED;
    if (r == 0) {
        lock_take(&inode->lock);
        if (inode->socket)
            *ret = unix_ref(inode->socket);
        else
            r = -ECONNREFUSED;
        lock_release(&inode->lock);
    }
    path_put(&path);
    return r;
}

int unix_find(struct task *t, const struct socket_address *addr, int type, struct unix_socket **ret)
{
    struct unix_socket *found = NULL;
    int r = unix_check_address(addr);
    if (r < 0)
        return r;
    struct unix_address *a = address_create(addr);
    if (!a)
        return -ENOMEM;
    if (a->name[0]) {
        r = find_by_path(t, a->name, &found);
        if (r == 0 && found->base.type != type)
            r = -EPROTOTYPE;
    } else {
        struct unix_table *table = unix_table();
        lock_take(&table->lock);
        found = find_abstract_locked(table, a, type);
        if (found)
            unix_ref(found);
        lock_release(&table->lock);
        r = found ? 0 : -ECONNREFUSED;
    }
    unix_address_unref(a);
    if (r < 0)
        unix_unref(found);
    else
        *ret = found;
    return r;
}

static void address_out(const struct unix_address *a, struct socket_address *out)
{
    *out = (struct socket_address){.size = (uint32_t)NAME_OFFSET, .family = AF_UNIX};
    if (a) {
        out->size = a->size;
        memcpy(out->bytes + NAME_OFFSET, a->name, a->size - NAME_OFFSET);
    }
}

static int unix_op_get_name(struct socket *s, bool peer, struct socket_address *out)
{
    struct unix_socket *u = unix_of(s), *other = NULL;
    if (!peer) {
        address_out(__atomic_load_n(&u->addr, __ATOMIC_ACQUIRE), out);
        return 0;
    }
    lock_take(&s->lock);
    if (u->peer)
        other = unix_ref(u->peer);
    lock_release(&s->lock);
    if (!other)
        return -ENOTCONN;
    address_out(__atomic_load_n(&other->addr, __ATOMIC_ACQUIRE), out);
    unix_unref(other);
    return 0;
}

void unix_name_out(struct socket_message *m, const struct unix_address *a)
{
    if (!m->name)
        return;
    if (a)
        address_out(a, m->name);
    else
        m->name->size = 0;
}

// ---- The rest ----

static int64_t unix_op_send(struct task *t, struct socket *s, struct socket_message *m)
{
    struct unix_socket *u = unix_of(s);
    int64_t ret = s->type == SOCK_STREAM ? unix_stream_send(t, u, m) : unix_dgram_send(t, u, m);
    scm_done(&m->scm);
    return ret;
}

static int64_t unix_op_receive(struct task *t, struct socket *s, struct socket_message *m)
{
    struct unix_socket *u = unix_of(s);
    if (s->type == SOCK_STREAM)
        return unix_stream_receive(t, u, m);
    if (s->type == SOCK_SEQPACKET && u->state != UNIX_CONNECTED)
        return -ENOTCONN;
    return unix_dgram_receive(t, u, m);
}

static uint32_t unix_op_poll(struct socket *s)
{
    struct unix_socket *u = unix_of(s);
    uint8_t shut = s->shutdown;
    uint32_t mask = 0;
    if (s->error)
        mask |= EPOLLERR;
    if (shut == SOCKET_SHUT_BOTH)
        mask |= EPOLLHUP;
    if (shut & SOCKET_SHUT_READ)
        mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
    if (u->queue_count || u->pending_count)
        mask |= EPOLLIN | EPOLLRDNORM;
    if (!unix_is_dgram(u) && u->state == UNIX_UNCONNECTED)
        mask |= EPOLLHUP;
    if (u->state == UNIX_LISTENING || !unix_writable(u))
        return mask;
    if (unix_is_dgram(u)) {
        lock_take(&s->lock);
        struct unix_socket *other = u->peer ? unix_ref(u->peer) : NULL;
        lock_release(&s->lock);
        bool full = other && other != u && other->peer != u && !other->dead && unix_dgram_full(other);
        unix_unref(other);
        if (full)
            return mask;
    }
    return mask | EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
}

static int64_t ioctl_number(struct task *t, uint64_t arg, uint64_t value)
{
    int32_t v = (int32_t)MIN(value, INT32_MAX);
    return copy_out_value(t, UADDR(arg), &v);
}

static int64_t unix_op_ioctl(struct socket *s, struct task *t, uint32_t cmd, uint64_t arg)
{
    struct unix_socket *u = unix_of(s);
    uint64_t n;
    switch (cmd) {
    case SIOCOUTQ:
        return ioctl_number(t, arg, u->charged);
    case SIOCINQ:
        if (u->state == UNIX_LISTENING)
            return -EINVAL;
        n = u->queue_bytes;
        if (s->type == SOCK_DGRAM) {
            lock_take(&s->lock);
            const struct unix_message *m = list_first(&u->queue, struct unix_message, node);
            n = m ? m->size : 0;
            lock_release(&s->lock);
        }
        return ioctl_number(t, arg, n);
    case SIOCATMARK:
        return ioctl_number(t, arg, 0);
    default:
        return -ENOTTY;
    }
}

static int get_peer_groups(const struct unix_peer_cred *c, void *value, uint32_t *size)
{
    if (!c->cred)
        return -ENODATA;
    uint32_t need = c->cred->group_count * (uint32_t)sizeof(uint32_t);
    if (*size < need) {
        *size = need;
        return -ERANGE;
    }
    *size = need;
    memcpy(value, c->cred->groups, need);
    return 0;
}

static int unix_op_get_option(struct task *t UNUSED, struct socket *s, int level, int name, void *value, uint32_t *size)
{
    struct unix_socket *u = unix_of(s);
    int ret = 0;
    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (name != SO_PEERCRED && name != SO_PEERGROUPS)
        return -ENOPROTOOPT;
    lock_take(&s->lock);
    const struct unix_peer_cred *c = &u->peer_cred;
    if (name == SO_PEERCRED) {
        struct scm_creds out = {.pid = c->pid, .uid = UINT32_MAX, .gid = UINT32_MAX};
        if (c->cred) {
            out.uid = c->cred->euid;
            out.gid = c->cred->egid;
        }
        *size = MIN(*size, sizeof(out));
        memcpy(value, &out, *size);
    } else {
        ret = get_peer_groups(c, value, size);
    }
    lock_release(&s->lock);
    return ret;
}

static int unix_op_set_option(struct task *t UNUSED, struct socket *s UNUSED, int level, int name UNUSED,
                      const void *value UNUSED, uint32_t size UNUSED)
{
    return level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
}

static bool unix_op_listening(const struct socket *s)
{
    return ((const struct unix_socket *)s)->state == UNIX_LISTENING;
}

void unix_show(struct strbuf *out)
{
    struct unix_table *table = unix_table();
    struct unix_socket *u;
    strbuf_puts(out, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    if (!table)
        return;
    lock_take(&table->lock);
    list_for_each(u, &table->all, all_node)
    {
        // The file may be going; only its inode's number is read, and it goes after the socket has left this list.
        struct file *f = u->base.file;
        uint32_t state = u->state == UNIX_CONNECTED ? 3 : f ? 1 : 2;
        strbuf_printf(out, "%016x: %08X %08X %08X %04X %02X %5lu", 0, refcount_read(&u->refs), 0,
                      u->state == UNIX_LISTENING ? 0x10000 : 0, u->base.type, state, f ? f->inode->ino : 0);
        if (u->addr) {
            uint32_t len = u->addr->size - (uint32_t)NAME_OFFSET;
            strbuf_putc(out, ' ');
            for (uint32_t i = 0; i < len - (u->addr->name[0] ? 1 : 0); i++)
                strbuf_putc(out, u->addr->name[i] ? u->addr->name[i] : '@');
        }
        strbuf_putc(out, '\n');
    }
    lock_release(&table->lock);
}

const struct socket_ops unix_socket_ops = {
    .create = unix_op_create,
    .pair = unix_pair,
    .bind = unix_op_bind,
    .connect = unix_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .get_name = unix_op_get_name,
    .send = unix_op_send,
    .receive = unix_op_receive,
    .shutdown = unix_shutdown,
    .poll = unix_op_poll,
    .ioctl = unix_op_ioctl,
    .set_option = unix_op_set_option,
    .get_option = unix_op_get_option,
    .listening = unix_op_listening,
    .release = unix_op_release,
};
