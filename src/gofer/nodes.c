// The table of nodes: what the kernel process may name in a request.
//
// A node id is an index and a generation, so that a forgotten id doesn't name what came after it. Descriptors of nodes are a
// cache: the one that was used longest ago is closed when there are too many, and opened again through its parent when it is
// needed. A name that leads to another object by then is -ESTALE. Nodes hold their parents.
#include <fcntl.h>

#include "base/slab.h"
#include "gofer/gofer-int.h"
#include "host/host.h"

static struct node *node_at(struct gofer *g, uint32_t index)
{
    return &g->chunks[index / NODE_CHUNK][index % NODE_CHUNK];
}

static struct node *node_alloc(struct gofer *g)
{
    struct node *n = g->free_nodes;
    if (n) {
        g->free_nodes = n->next_free;
        uint32_t index = n->index, generation = n->generation + 1;
        *n = (struct node){.index = index, .generation = generation, .fd = -1};
        list_init(&n->lru);
        return n;
    }
    uint32_t index = g->node_count;
    if (index >= NODE_CHUNK * NODE_CHUNKS)
        return NULL;
    struct node **chunk = &g->chunks[index / NODE_CHUNK];
    if (!*chunk && !(*chunk = kmalloc(sizeof(struct node) * NODE_CHUNK)))
        return NULL;
    g->node_count++;
    n = node_at(g, index);
    *n = (struct node){.index = index, .fd = -1};
    list_init(&n->lru);
    return n;
}

int nodes_init(struct gofer *g)
{
    list_init(&g->lru);
    // The roots have fixed ids: one for each export that may exist, used or not.
    for (uint32_t i = 0; i < GOFER_EXPORT_MAX; i++) {
        struct node *n = node_alloc(g);
        if (!n)
            return -ENOMEM;
        n->export_id = (uint16_t)i;
    }
    return 0;
}

void nodes_set_root(struct gofer *g, uint32_t export_id, int fd, const struct gofer_attr *attr)
{
    struct node *n = node_at(g, export_id);
    n->used = true;
    n->fd = fd;
    n->is_dir = S_ISDIR(attr->mode);
    n->ino = attr->ino;
    n->dev = attr->dev;
}

gofer_node_t node_id(const struct node *n)
{
    return (uint64_t)n->generation << 32 | (n->index + 1);
}

struct node *node_find(struct gofer *g, gofer_node_t id)
{
    uint32_t index = (uint32_t)id - 1; // 0 wraps and is out of range
    if (index >= g->node_count)
        return NULL;
    struct node *n = node_at(g, index);
    return n->used && n->generation == id >> 32 ? n : NULL;
}

bool node_is_read_only(const struct gofer *g, const struct node *n)
{
    return g->spec->exports[n->export_id].flags & BOOT_EXPORT_READONLY;
}

static void node_close(struct gofer *g, struct node *n)
{
    if (n->fd < 0)
        return;
    (void)host_close(n->fd);
    n->fd = -1;
    list_remove(&n->lru);
    g->open_count--;
}

static void node_opened(struct gofer *g, struct node *n, int fd)
{
    n->fd = fd;
    list_push_front(&g->lru, &n->lru);
    g->open_count++;
    // A file that was deleted can't be opened again; as long as there is something else to close, that is closed.
    while (g->open_count > g->open_max) {
        struct node *oldest = container_of(g->lru.prev, struct node, lru);
        if (oldest == n)
            break;
        node_close(g, oldest);
    }
}

int node_make(struct gofer *g, struct node *parent, const char *name, const struct gofer_attr *attr, int fd, int access,
              struct node **ret)
{
    char *copy = kstrdup(name);
    struct node *n = copy ? node_alloc(g) : NULL;
    if (!n) {
        kfree(copy);
        return copy ? -ENFILE : -ENOMEM;
    }
    n->export_id = parent->export_id;
    n->used = true;
    n->is_dir = (attr->mode & S_IFMT) == S_IFDIR;
    n->is_open = !n->is_dir;
    n->access = access;
    n->ino = attr->ino;
    n->dev = attr->dev;
    n->parent = parent;
    n->name = copy;
    parent->children++;
    if (fd >= 0)
        node_opened(g, n, fd);
    *ret = n;
    return 0;
}

// Frees n, and its parents as far as only it kept them.
static void node_free(struct gofer *g, struct node *n)
{
    while (n && n->parent && !n->used && n->children == 0) {
        struct node *parent = n->parent;
        node_close(g, n);
        kfree(n->name);
        n->name = NULL;
        n->parent = NULL;
        n->next_free = g->free_nodes;
        g->free_nodes = n;
        parent->children--;
        n = parent;
    }
}

void node_forget(struct gofer *g, struct node *n)
{
    if (!n->parent)
        return; // roots stay
    n->used = false;
    node_free(g, n);
}

void node_renamed(struct gofer *g, struct node *n, struct node *parent, const char *name)
{
    char *copy = kstrdup(name);
    if (!copy) {
        // It can still be used as long as its descriptor is open; its name would lead elsewhere, which ino and dev tell.
        return;
    }
    // The kernel is not believed: a directory can't be its own ancestor.
    for (struct node *p = parent; p; p = p->parent) {
        if (p == n) {
            kfree(copy);
            return;
        }
    }
    struct node *old = n->parent;
    kfree(n->name);
    n->name = copy;
    n->parent = parent;
    parent->children++;
    old->children--;
    node_free(g, old);
}

// Opens n again beneath its parent, which is open.
static int node_reopen(struct gofer *g, struct node *n)
{
    struct gofer_attr attr;
    uint64_t flags = n->is_open ? (uint64_t)n->access | O_NONBLOCK | O_NOCTTY : O_PATH | O_DIRECTORY;
    int ret = stat_at(n->parent->fd, n->name, &attr);
    if (ret < 0)
        return ret == -ENOENT ? -ESTALE : ret;
    if (attr.ino != n->ino || attr.dev != n->dev)
        return -ESTALE;
    int fd = open_beneath(n->parent->fd, n->name, flags, 0);
    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -ESTALE : fd;
    ret = stat_at(fd, "", &attr);
    if (ret == 0 && (attr.ino != n->ino || attr.dev != n->dev))
        ret = -ESTALE;
    if (ret < 0) {
        (void)host_close(fd);
        return ret;
    }
    node_opened(g, n, fd);
    return 0;
}

int node_fd(struct gofer *g, struct node *n)
{
    // From the nearest open ancestor down. Opening one may close another, but never the one opened just before, since
    // open_max is more than two.
    while (n->fd < 0) {
        struct node *top = n;
        while (top->parent && top->parent->fd < 0)
            top = top->parent;
        if (!top->parent)
            return -ESTALE;
        if (top->parent->parent) {
            list_remove(&top->parent->lru);
            list_push_front(&g->lru, &top->parent->lru);
        }
        int ret = node_reopen(g, top);
        if (ret < 0)
            return ret;
    }
    if (n->parent) {
        list_remove(&n->lru);
        list_push_front(&g->lru, &n->lru);
    }
    return n->fd;
}
