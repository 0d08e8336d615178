// Nodes: names in an export, see fs/host-node.h.
//
// A node is addressed as (directory, name); only directories get a node on the gofer's side, when something beneath them is first
// asked for, and files of exports that can change, once they are open, so that they are still known when their name is gone. In a
// shared export each request says which inode number it means, so that a name that the host has given to another file is noticed.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "base/slab.h"
#include "fs/hostfs/client.h"
#include "fs/hostfs/node-int.h"
#include "host/host.h"
#include "sandbox/boot-spec.h"

SLAB_TYPE(node_slab, SLAB_HOSTFS_INODE, struct host_node);

static struct host_export *export_ref(struct host_export *e)
{
    refcount_get(&e->refs);
    return e;
}

static void export_unref(struct host_export *e)
{
    if (refcount_put(&e->refs))
        kfree(e);
}

static struct host_node *node_alloc(struct host_export *e, const struct gofer_attr *attr)
{
    struct host_node *n = slab_alloc(&node_slab);
    if (!n)
        return NULL;
    refcount_init(&n->refs, 1);
    n->export = export_ref(e);
    n->is_dir = S_ISDIR(attr->mode);
    n->is_link = S_ISLNK(attr->mode);
    n->ino = attr->ino;
    n->dev = attr->dev;
    n->fd[0] = n->fd[1] = -1;
    list_init(&n->lru);
    return n;
}

struct host_node *host_node_new(struct host_node *dir, const char *name, uint32_t len, const struct gofer_attr *attr)
{
    char *copy = kstrndup(name, len);
    struct host_node *n = copy ? node_alloc(dir->export, attr) : NULL;
    if (!n) {
        kfree(copy);
        return NULL;
    }
    n->name = copy;
    n->name_size = (uint16_t)len;
    n->parent = host_node_ref(dir);
    return n;
}

struct host_node *host_node_ref(struct host_node *n)
{
    refcount_get(&n->refs);
    return n;
}

void host_node_unref(struct host_node *n)
{
    while (n && refcount_put(&n->refs)) {
        struct host_node *parent = n->parent;
        struct gofer_client *c = the_client();
        node_close_fds(c, n);
        if (n->gofer && parent)
            gofer_forget(c, n->gofer);
        export_unref(n->export);
        kfree(n->name);
        slab_free(&node_slab, n);
        n = parent;
    }
}

uint64_t host_node_ino(const struct host_export *e, const struct gofer_attr *attr)
{
    if (attr->dev == e->dev)
        return attr->ino;
    // Not unique for certain, but the top bits of inode numbers are hardly ever used.
    uint64_t mark = (attr->dev ^ e->dev) * 0x9e3779b97f4a7c15ull;
    return attr->ino ^ (mark & 0x7fff000000000000ull);
}

int host_export_number(const char *options)
{
    static const char key[] = "export=";
    int number = 0;
    if (strncmp(options, key, sizeof(key) - 1))
        return -1;
    const char *p = options + sizeof(key) - 1;
    if (*p < '0' || *p > '9')
        return -1;
    while (*p >= '0' && *p <= '9' && number < GOFER_EXPORT_MAX)
        number = number * 10 + (*p++ - '0');
    return (*p == 0 || *p == ',') && number < GOFER_EXPORT_MAX ? number : -1;
}

int host_export_open(uint32_t id, struct host_node **ret, struct gofer_attr *attr)
{
    struct kernel *k = the_kernel();
    struct gofer_message *m;
    if (!k->spec || id >= k->spec->export_count)
        return -ENODEV;
    int error = k->gofer ? 0 : gofer_client_init(k);
    if (error < 0)
        return error;
    struct host_export *e = kmalloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    refcount_init(&e->refs, 1);
    e->id = id;
    e->shared = k->spec->exports[id].flags & BOOT_EXPORT_SHARED;
    e->read_only = k->spec->exports[id].flags & BOOT_EXPORT_READONLY;
    struct gofer_request request = {.op = GOFER_LOOKUP, .node = GOFER_NODE_ROOT(id)};
    error = gofer_ask(&request, NULL, 0, NULL, 0, &m);
    struct host_node *n = NULL;
    if (error == 0) {
        *attr = m->view.header.attr;
        gofer_message_done(k->gofer, m);
        e->dev = attr->dev;
        if (!gofer_attr_ok(attr))
            error = -EIO;
        else if (!(n = node_alloc(e, attr)))
            error = -ENOMEM;
        else
            n->gofer = GOFER_NODE_ROOT(id);
    }
    export_unref(e);
    *ret = n;
    return error;
}

// ---- Addresses ----

// n's directory (reference) and name as they are now. NULL: n is a root.
static struct host_node *where(struct host_node *n, struct node_address *out)
{
    struct gofer_client *c = the_client();
    lock_take(&c->lock);
    struct host_node *dir = n->parent ? host_node_ref(n->parent) : NULL;
    out->name_size = dir ? n->name_size : 0;
    if (dir)
        memcpy(out->name, n->name, n->name_size);
    lock_release(&c->lock);
    out->name[out->name_size] = 0;
    return dir;
}

uint32_t host_node_name(struct host_node *n, char name[GOFER_NAME_MAX + 1])
{
    struct gofer_client *c = the_client();
    lock_take(&c->lock);
    uint32_t size = n->name_size;
    memcpy(name, n->name ? n->name : "", size);
    lock_release(&c->lock);
    name[size] = 0;
    return size;
}

struct host_node *host_node_place(struct host_node *n, char name[GOFER_NAME_MAX + 1])
{
    struct node_address at;
    struct host_node *dir = where(n, &at);
    memcpy(name, at.name, at.name_size + 1);
    return dir;
}

bool host_node_is_at(struct host_node *n, const struct host_node *dir, const char *name, uint32_t len)
{
    struct gofer_client *c = the_client();
    lock_take(&c->lock);
    bool same = n->parent == dir && n->name_size == len && !memcmp(n->name, name, len);
    lock_release(&c->lock);
    return same;
}

static gofer_node_t known(const struct host_node *n)
{
    return __atomic_load_n(&n->gofer, __ATOMIC_ACQUIRE);
}

void node_set_gofer(struct host_node *n, gofer_node_t id)
{
    struct gofer_client *c = the_client();
    if (id == GOFER_NODE_NONE)
        return;
    lock_take(&c->lock);
    bool taken = n->gofer != GOFER_NODE_NONE;
    if (!taken)
        __atomic_store_n(&n->gofer, id, __ATOMIC_RELEASE);
    lock_release(&c->lock);
    if (taken && id != n->gofer)
        gofer_forget(c, id);
}

void node_expect(const struct host_node *n, struct gofer_request *request)
{
    if (n->export->shared) {
        request->expect_ino = n->ino;
        request->expect_dev = n->dev;
    }
}

// Gives n, whose directory has a node, one of its own.
static int introduce(struct host_node *n, gofer_node_t dir, const struct node_address *at)
{
    struct gofer_request request = {.op = GOFER_LOOKUP, .node = dir, .want = GOFER_WANT_NODE};
    struct gofer_message *m;
    node_expect(n, &request);
    int error = gofer_ask(&request, at->name, at->name_size, NULL, 0, &m);
    if (error < 0)
        return error;
    gofer_node_t id = m->view.header.node;
    gofer_message_done(the_client(), m);
    if (id == GOFER_NODE_NONE)
        return -ESTALE; // not a directory any more
    node_set_gofer(n, id);
    return 0;
}

int node_dir_id(struct host_node *n, gofer_node_t *ret)
{
    struct node_address at;
    // From the nearest known ancestor down, one level each time; a path is at most a few thousand levels deep.
    while ((*ret = known(n)) == GOFER_NODE_NONE) {
        struct host_node *top = host_node_ref(n), *dir;
        for (;;) {
            dir = where(top, &at);
            if (!dir || known(dir))
                break;
            host_node_unref(top);
            top = dir;
        }
        int error = dir ? introduce(top, known(dir), &at) : -ESTALE;
        host_node_unref(dir);
        host_node_unref(top);
        if (error < 0)
            return error;
    }
    return 0;
}

int node_address(struct host_node *n, bool by_name, struct node_address *out)
{
    out->name_size = 0;
    out->node = known(n);
    if (out->node != GOFER_NODE_NONE && !(by_name && n->parent))
        return 0;
    struct host_node *dir = where(n, out);
    if (!dir)
        return -ESTALE;
    int error = node_dir_id(dir, &out->node);
    host_node_unref(dir);
    return error;
}

int node_ask(struct host_node *n, struct gofer_request *request, const void *data, uint64_t data_size,
             struct gofer_message **ret)
{
    struct node_address at;
    int error = node_address(n, false, &at);
    if (error < 0)
        return error;
    request->node = at.node;
    node_expect(n, request);
    return gofer_ask(request, at.name, at.name_size, data, data_size, ret);
}

int node_ask_done(struct host_node *n, struct gofer_request *request, const void *data, uint64_t data_size)
{
    struct gofer_message *m;
    int error = node_ask(n, request, data, data_size, &m);
    if (error == 0)
        gofer_message_done(the_client(), m);
    return error;
}

// ---- Looking up and listing ----

static int take_link(const struct gofer_message *m, char *link, uint32_t *link_size)
{
    uint32_t size = m->view.header.data_size;
    *link_size = 0;
    if (!S_ISLNK(m->view.header.attr.mode))
        return 0;
    if (size == 0 || size > GOFER_LINK_MAX || memchr(m->view.data, 0, size))
        return -EIO;
    memcpy(link, m->view.data, size);
    link[size] = 0;
    *link_size = size;
    return 0;
}

int host_node_lookup(struct host_node *dir, const char *name, uint32_t len, struct host_node **ret, struct gofer_attr *attr,
                     char *link, uint32_t *link_size)
{
    struct gofer_request request = {.op = GOFER_LOOKUP};
    struct gofer_message *m;
    int error = node_dir_id(dir, &request.node);
    if (error == 0)
        error = gofer_ask(&request, name, len, NULL, 0, &m);
    if (error < 0)
        return error;
    *attr = m->view.header.attr;
    if (!gofer_attr_ok(attr))
        error = -EIO;
    if (error == 0 && link)
        error = take_link(m, link, link_size);
    gofer_message_done(the_client(), m);
    if (error == 0 && ret && !(*ret = host_node_new(dir, name, len, attr)))
        error = -ENOMEM;
    return error;
}

static int list_message(const struct gofer_message *m, host_list_fn *entry, void *arg)
{
    struct gofer_entry_view e;
    uint64_t at = 0;
    uint32_t count = 0;
    int error;
    while ((error = gofer_entry_next(m->view.data, m->view.header.data_size, &at, &e)) > 0) {
        count++;
        error = entry(arg, &e);
        if (error < 0)
            return error;
    }
    return error < 0 || count != m->view.header.count ? -EIO : 0;
}

int host_node_list(struct host_node *dir, bool if_small, host_list_fn *entry, void *arg, struct gofer_attr *attr)
{
    struct gofer_client *c = the_client();
    struct gofer_request request = {.op = GOFER_LIST, .want = if_small ? GOFER_IF_SMALL : 0};
    struct node_address at;
    struct gofer_call call;
    int error = node_address(dir, false, &at);
    if (error < 0)
        return error;
    request.node = at.node;
    if (at.name_size)
        request.want |= GOFER_WANT_NODE;
    node_expect(dir, &request);
    error = gofer_call_begin(c, &call, &request, at.name, at.name_size, NULL, 0);
    if (error < 0)
        return error;
    bool more = true;
    while (more && error == 0) {
        struct gofer_message *m = gofer_call_next(c, &call, &error);
        if (!m)
            break;
        const struct gofer_reply *h = &m->view.header;
        more = h->flags & GOFER_REPLY_MORE;
        error = h->result;
        if (error == 0)
            error = list_message(m, entry, arg);
        if (error == 0 && !more) {
            node_set_gofer(dir, h->node);
            *attr = h->attr;
            error = gofer_attr_ok(attr) && S_ISDIR(attr->mode) ? 0 : -EIO;
        }
        gofer_message_done(c, m);
    }
    gofer_call_end(c, &call);
    return error;
}

int64_t host_node_readlink(struct host_node *n, char target[GOFER_LINK_MAX + 1])
{
    struct gofer_request request = {.op = GOFER_LOOKUP};
    struct gofer_message *m;
    uint32_t size = 0;
    int error = node_ask(n, &request, NULL, 0, &m);
    if (error < 0)
        return error;
    error = take_link(m, target, &size);
    gofer_message_done(the_client(), m);
    return error < 0 ? error : size ? (int64_t)size : -EINVAL;
}

static struct gofer_time time_of(const struct statx_timestamp *t)
{
    return (struct gofer_time){.sec = t->tv_sec, .nsec = t->tv_nsec};
}

int host_fd_getattr(int fd, struct gofer_attr *out)
{
    struct statx x;
    int error = host_statx(fd, "", AT_EMPTY_PATH | AT_STATX_SYNC_AS_STAT, STATX_BASIC_STATS | STATX_BTIME, &x);
    if (error < 0)
        return error;
    *out = (struct gofer_attr){
        .mode = x.stx_mode,
        .uid = UINT32_MAX,
        .gid = UINT32_MAX,
        .nlink = x.stx_nlink,
        .ino = x.stx_ino,
        .dev = makedev(x.stx_dev_major, x.stx_dev_minor),
        .rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor),
        .size = x.stx_size,
        .blocks = x.stx_blocks,
        .atime = time_of(&x.stx_atime),
        .mtime = time_of(&x.stx_mtime),
        .ctime = time_of(&x.stx_ctime),
    };
    if (x.stx_mask & STATX_BTIME)
        out->btime = time_of(&x.stx_btime);
    return 0;
}

int host_node_rebind(struct host_node *n, struct gofer_attr *attr)
{
    struct gofer_client *c = the_client();
    struct node_address at;
    struct host_node *dir = where(n, &at);
    if (!dir)
        return -ESTALE;
    int error = host_node_lookup(dir, at.name, at.name_size, NULL, attr, NULL, NULL);
    host_node_unref(dir);
    if (error < 0)
        return error == -ENOENT ? -ESTALE : error;
    if (S_ISDIR(attr->mode) != n->is_dir || S_ISLNK(attr->mode) != n->is_link)
        return -ESTALE;
    lock_take(&c->lock);
    gofer_node_t old = n->gofer;
    __atomic_store_n(&n->gofer, GOFER_NODE_NONE, __ATOMIC_RELEASE);
    n->ino = attr->ino;
    n->dev = attr->dev;
    lock_release(&c->lock);
    if (old)
        gofer_forget(c, old);
    node_drop_fds(c, n);
    return 0;
}

int host_node_getattr(struct host_node *n, struct gofer_attr *attr)
{
    struct gofer_request request = {.op = GOFER_LOOKUP};
    struct gofer_message *m;
    int error = node_ask(n, &request, NULL, 0, &m);
    if (error < 0)
        return error;
    *attr = m->view.header.attr;
    gofer_message_done(the_client(), m);
    return gofer_attr_ok(attr) ? 0 : -EIO;
}

// ---- Small questions ----

int host_node_statfs(struct host_node *n, struct gofer_statfs *out)
{
    struct gofer_request request = {.op = GOFER_STATFS};
    struct gofer_message *m;
    int error = node_ask(n, &request, NULL, 0, &m);
    if (error < 0)
        return error;
    if (m->view.header.data_size == sizeof(*out))
        memcpy(out, m->view.data, sizeof(*out));
    else
        error = -EIO;
    gofer_message_done(the_client(), m);
    return error;
}

// The answer's data into a buffer of the guest's size; 0: how much there is.
static int64_t ask_data(struct host_node *n, struct gofer_request *request, const char *name, void *out, uint64_t size)
{
    struct gofer_message *m;
    int error = node_ask(n, request, name, name ? strlen(name) : 0, &m);
    if (error < 0)
        return error;
    int64_t ret = m->view.header.data_size;
    if (size && (uint64_t)ret > size)
        ret = -ERANGE;
    else if (size)
        memcpy(out, m->view.data, (uint64_t)ret);
    gofer_message_done(the_client(), m);
    return ret;
}

int64_t host_node_getxattr(struct host_node *n, const char *name, void *value, uint64_t size)
{
    struct gofer_request request = {.op = GOFER_GETXATTR};
    if (strlen(name) > GOFER_XATTR_NAME_MAX)
        return -ERANGE;
    return ask_data(n, &request, name, value, size);
}

int64_t host_node_getxattr_cached(struct host_node *n, const char *name, void *value, uint64_t size)
{
    if (__atomic_load_n((bool *)&n->no_xattr, __ATOMIC_RELAXED))
        return -ENODATA;
    if (!host_node_must_keep(n) && host_node_listxattr(n, NULL, 0) == 0) {
        __atomic_store_n((bool *)&n->no_xattr, true, __ATOMIC_RELAXED);
        return -ENODATA;
    }
    return host_node_getxattr(n, name, value, size);
}

int64_t host_node_listxattr(struct host_node *n, char *list, uint64_t size)
{
    struct gofer_request request = {.op = GOFER_LISTXATTR};
    int64_t ret = ask_data(n, &request, NULL, list, size);
    if (ret > 0 && size && list[ret - 1] != 0)
        return -EIO;
    return ret;
}
