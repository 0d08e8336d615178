// Changing the host's files, on exports that allow it. Nodes follow: a created file gets its descriptor with the answer, a renamed
// one its new address.
#include <sys/stat.h>

#include "base/slab.h"
#include "fs/hostfs/client.h"
#include "fs/hostfs/node-int.h"

static enum gofer_op op_for(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return GOFER_CREATE;
    case S_IFDIR:
        return GOFER_MKDIR;
    case S_IFLNK:
        return GOFER_SYMLINK;
    default:
        return GOFER_MKNOD;
    }
}

int host_node_create(struct host_node *dir, const char *name, uint32_t len, const struct host_new *new, struct host_node **ret,
                     struct gofer_attr *attr)
{
    struct gofer_request request = {.op = op_for(new->mode), .mode = new->mode, .uid = new->uid, .gid = new->gid};
    struct gofer_message *m;
    if (request.op == GOFER_CREATE || request.op == GOFER_MKDIR)
        request.want = GOFER_WANT_NODE;
    int error = node_dir_id(dir, &request.node);
    if (error == 0)
        error = gofer_ask(&request, name, len, new->target, new->target ? strlen(new->target) : 0, &m);
    if (error < 0)
        return error;
    *attr = m->view.header.attr;
    if (!gofer_attr_ok(attr) || (attr->mode & S_IFMT) != (new->mode & S_IFMT))
        error = -EIO;
    else if (!(*ret = host_node_new(dir, name, len, attr)))
        error = -ENOMEM;
    if (error == 0) {
        node_set_gofer(*ret, m->view.header.node);
        if (m->fd >= 0) {
            node_adopt_fd(*ret, true, m->fd);
            m->fd = -1;
        }
    }
    gofer_message_done(the_client(), m);
    return error;
}

int host_node_link(struct host_node *n, struct host_node *dir, const char *name, uint32_t len, struct gofer_attr *attr)
{
    struct gofer_request request = {.op = GOFER_LINK};
    struct gofer_client *c = the_client();
    char from[GOFER_NAME_MAX + 1];
    struct gofer_message *m;
    // By name: a node of its own can't be linked without more rights than the gofer has.
    lock_take(&c->lock);
    struct host_node *parent = n->parent ? host_node_ref(n->parent) : NULL;
    uint32_t from_size = parent ? n->name_size : 0;
    if (parent)
        memcpy(from, n->name, from_size);
    lock_release(&c->lock);
    if (!parent)
        return -EXDEV;
    int error = node_dir_id(parent, &request.node);
    if (error == 0)
        error = node_dir_id(dir, &request.node2);
    request.expect_ino = n->ino;
    request.expect_dev = n->dev;
    if (error == 0)
        error = gofer_ask(&request, from, from_size, name, len, &m);
    host_node_unref(parent);
    if (error < 0)
        return error;
    *attr = m->view.header.attr;
    gofer_message_done(c, m);
    return gofer_attr_ok(attr) ? 0 : -EIO;
}

int host_node_remove(struct host_node *dir, const char *name, uint32_t len, struct host_node *victim)
{
    struct gofer_request request = {.op = victim->is_dir ? GOFER_RMDIR : GOFER_UNLINK};
    struct gofer_message *m;
    node_expect(victim, &request);
    int error = node_dir_id(dir, &request.node);
    if (error == 0)
        error = gofer_ask(&request, name, len, NULL, 0, &m);
    if (error == 0)
        gofer_message_done(the_client(), m);
    return error;
}

void host_node_moved(struct host_node *n, struct host_node *dir, const char *name, uint32_t len)
{
    struct gofer_client *c = the_client();
    char *copy = kstrndup(name, len);
    if (!copy)
        return; // its next use by name finds another file, or none: ESTALE
    lock_take(&c->lock);
    struct host_node *old = n->parent;
    char *old_name = n->name;
    n->parent = host_node_ref(dir);
    n->name = copy;
    n->name_size = (uint16_t)len;
    lock_release(&c->lock);
    kfree(old_name);
    host_node_unref(old);
}

int host_node_rename(struct host_node *n, struct host_node *old_dir, const char *old, uint32_t old_len,
                     struct host_node *new_dir, const char *new, uint32_t new_len, struct host_node *victim, uint32_t flags)
{
    struct gofer_request request = {.op = GOFER_RENAME, .flags = flags, .node3 = n->gofer};
    struct gofer_message *m;
    node_expect(n, &request);
    int error = node_dir_id(old_dir, &request.node);
    if (error == 0)
        error = node_dir_id(new_dir, &request.node2);
    if (error == 0)
        error = gofer_ask(&request, old, old_len, new, new_len, &m);
    if (error < 0)
        return error;
    gofer_message_done(the_client(), m);
    host_node_moved(n, new_dir, new, new_len);
    if (victim && (flags & 2)) // RENAME_EXCHANGE
        host_node_moved(victim, old_dir, old, old_len);
    return 0;
}

int host_node_setattr(struct host_node *n, struct gofer_request *request, struct gofer_attr *attr)
{
    struct gofer_message *m;
    request->op = GOFER_SETATTR;
    int error = node_ask(n, request, NULL, 0, &m);
    if (error < 0)
        return error;
    *attr = m->view.header.attr;
    gofer_message_done(the_client(), m);
    return gofer_attr_ok(attr) ? 0 : -EIO;
}

int host_node_setxattr(struct host_node *n, const char *name, const void *value, uint64_t size, int flags)
{
    struct gofer_request request = {.op = GOFER_SETXATTR, .flags = (uint32_t)flags};
    uint64_t name_size = strlen(name);
    if (name_size > GOFER_XATTR_NAME_MAX)
        return -ERANGE;
    if (size > GOFER_XATTR_SIZE_MAX)
        return -E2BIG;
    char *data = kmalloc(name_size + 1 + size);
    if (!data)
        return -ENOMEM;
    memcpy(data, name, name_size + 1);
    if (size)
        memcpy(data + name_size + 1, value, size);
    int error = node_ask_done(n, &request, data, name_size + 1 + size);
    kfree(data);
    return error;
}

int host_node_removexattr(struct host_node *n, const char *name)
{
    struct gofer_request request = {.op = GOFER_REMOVEXATTR};
    if (strlen(name) > GOFER_XATTR_NAME_MAX)
        return -ERANGE;
    return node_ask_done(n, &request, name, strlen(name));
}

int host_node_sync_dir(struct host_node *n)
{
    struct gofer_request request = {.op = GOFER_SYNC};
    return node_ask_done(n, &request, NULL, 0);
}
