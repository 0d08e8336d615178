// hostfs: an exported directory (or file) of the host as a file system. Used for bind mounts, and for the root where no overlay is
// wanted.
//
// An exclusive export is asked about each thing once: a directory is fetched whole, with its entries' attributes, unless it is large
// and only single names of it are wanted. In a shared one the host may change anything: cached names and attributes are believed for
// HOST_ATTR_VALID, absence never, and an open asks afresh.
//
// DEVIATION: bind mounts: a change made on the host may be seen up to a second late by name, and is not told to inotify.
// DEVIATION: bind mounts: advisory locks are the sandbox's own; FIFOs and sockets of the host are only names in it.
// DEVIATION: bind mounts: O_NOATIME doesn't keep the host from updating the time of access; trusted.* and security.* attributes but
// security.capability, and access control lists, are not shown.
#include "base/log.h"
#include "base/slab.h"
#include "fs/hostfs/hostfs.h"
#include "vfs/vfs-int.h"

#include <linux/magic.h>

enum { LARGE_LIST_AFTER = 32 }; // single names, until a large directory is fetched whole

static struct hostfs_link **bucket(struct hostfs_super *s, uint64_t ino)
{
    return &s->links[(ino * 0x9e3779b97f4a7c15ull) >> 58];
}
_Static_assert(HOSTFS_LINK_BUCKETS == 64, "six bits");

static struct inode *find_link(struct hostfs_super *s, const struct gofer_attr *attr)
{
    struct inode *found = NULL;
    lock_take(&s->lock);
    for (struct hostfs_link *l = *bucket(s, attr->ino); l; l = l->next) {
        if (l->ino == attr->ino && l->dev == attr->dev && refcount_get_unless_zero(&l->inode->refs)) {
            found = l->inode;
            break;
        }
    }
    lock_release(&s->lock);
    return found;
}

static struct hostfs_link *link_locked(struct hostfs_super *s, struct inode *inode)
{
    struct host_node *n = inode->priv;
    for (struct hostfs_link *l = *bucket(s, n->ino); l; l = l->next) {
        if (l->inode == inode)
            return l;
    }
    return NULL;
}

void hostfs_remember_link(struct inode *inode)
{
    struct hostfs_super *s = inode->sb->priv;
    struct host_node *n = inode->priv;
    struct hostfs_link *l = kmalloc(sizeof(*l)), **at = bucket(s, n->ino);
    if (!l)
        return; // its names are inodes of their own, then: locks and mappings aren't common to them
    *l = (struct hostfs_link){.inode = inode, .ino = n->ino, .dev = n->dev};
    lock_take(&s->lock);
    if (!link_locked(s, inode)) {
        l->next = *at;
        *at = l;
        l = NULL;
    }
    lock_release(&s->lock);
    kfree(l);
}

static void free_alias(struct hostfs_alias *a)
{
    if (a)
        host_node_unref(a->dir);
    kfree(a);
}

static bool is_alias(const struct hostfs_alias *a, const struct host_node *dir, const char *name, uint32_t len)
{
    return a->dir == dir && a->len == len && !memcmp(a->name, name, len);
}

void hostfs_add_alias(struct inode *inode, struct host_node *dir, const char *name, uint32_t len)
{
    struct hostfs_super *s = inode->sb->priv;
    struct hostfs_alias *new = kmalloc(sizeof(*new) + len);
    if (!new)
        return;
    new->dir = host_node_ref(dir);
    new->len = len;
    memcpy(new->name, name, len);
    lock_take(&s->lock);
    struct hostfs_link *l = link_locked(s, inode);
    struct hostfs_alias *a = l ? l->aliases : NULL;
    while (a && !is_alias(a, dir, name, len))
        a = a->next;
    if (l && !a) {
        new->next = l->aliases;
        l->aliases = new;
        new = NULL;
    }
    lock_release(&s->lock);
    free_alias(new);
}

void hostfs_drop_alias(struct inode *inode, struct host_node *dir, const char *name, uint32_t len)
{
    struct hostfs_super *s = inode->sb->priv;
    struct hostfs_alias *gone = NULL, *other = NULL;
    lock_take(&s->lock);
    struct hostfs_link *l = link_locked(s, inode);
    for (struct hostfs_alias **at = l ? &l->aliases : NULL; at && *at; at = &(*at)->next) {
        if (is_alias(*at, dir, name, len)) {
            gone = *at;
            *at = gone->next;
            break;
        }
    }
    // Taken out for a moment, so that it stays while it is looked at.
    if (l && l->aliases && host_node_is_at(inode->priv, dir, name, len)) {
        other = l->aliases;
        l->aliases = other->next;
    }
    lock_release(&s->lock);
    free_alias(gone);
    if (other) {
        host_node_moved(inode->priv, other->dir, other->name, other->len);
        hostfs_add_alias(inode, other->dir, other->name, other->len);
        free_alias(other);
    }
}

static void forget_link(struct inode *inode)
{
    struct hostfs_super *s = inode->sb->priv;
    struct host_node *n = inode->priv;
    struct hostfs_link *l = NULL;
    lock_take(&s->lock);
    for (struct hostfs_link **at = bucket(s, n->ino); *at; at = &(*at)->next) {
        if ((*at)->inode == inode) {
            l = *at;
            *at = l->next;
            break;
        }
    }
    lock_release(&s->lock);
    while (l && l->aliases) {
        struct hostfs_alias *a = l->aliases;
        l->aliases = a->next;
        free_alias(a);
    }
    kfree(l);
}

// The name that node stands for. Nobody else changes it: it is new.
static void add_alias_of(struct inode *inode, struct host_node *node)
{
    if (node->parent)
        hostfs_add_alias(inode, node->parent, node->name, node->name_size);
}

struct inode *hostfs_inode_for(struct super_block *sb, struct host_node *node, const struct gofer_attr *attr,
                               const char *link, uint32_t link_size)
{
    bool several = attr->nlink > 1 && !S_ISDIR(attr->mode);
    struct inode *inode = several ? find_link(sb->priv, attr) : NULL;
    if (inode) {
        add_alias_of(inode, node);
        host_node_unref(node);
        return inode;
    }
    inode = inode_alloc(sb, INODE_HOSTFS, attr->mode);
    if (!inode) {
        host_node_unref(node);
        return NULL;
    }
    inode->priv = node;
    if (node->export->shared)
        inode->flags |= INODE_REVALIDATE;
    host_inode_init(inode, node->export, attr);
    hostfs_refreshed(inode, attr);
    if (link && inode_set_link(inode, link, link_size) < 0) {
        inode_unref(inode);
        return NULL;
    }
    if (several) {
        hostfs_remember_link(inode);
        add_alias_of(inode, node);
    }
    return inode;
}

static void hostfs_evict(struct inode *inode)
{
    struct host_node *n = inode->priv;
    if (!n)
        return;
    forget_link(inode);
    inode->priv = NULL;
    host_node_unref(n);
}

// ---- Names ----

static int lookup_one(struct inode *dir, const char *name, uint32_t len, struct inode **ret)
{
    char *link = kmalloc(GOFER_LINK_MAX + 1);
    struct host_node *node;
    struct gofer_attr attr;
    uint32_t link_size;
    if (!link)
        return -ENOMEM;
    int error = host_node_lookup(dir->priv, name, len, &node, &attr, link, &link_size);
    if (error == 0) {
        *ret = hostfs_inode_for(dir->sb, node, &attr, link_size ? link : NULL, link_size);
        if (!*ret)
            error = -ENOMEM;
    }
    kfree(link);
    return error;
}

struct fill {
    struct inode *dir;
    struct dentry *dentry;
    const char *wanted; // and its inode, if it is there
    uint32_t wanted_size;
    struct inode *found;
};

static int fill_entry(void *arg, const struct gofer_entry_view *e)
{
    struct fill *f = arg;
    struct host_node *node = host_node_new(f->dir->priv, e->name, e->name_size, &e->attr);
    struct inode *inode =
        node ? hostfs_inode_for(f->dir->sb, node, &e->attr, e->link, e->link_size) : NULL;
    if (!inode)
        return -ENOMEM;
    if (f->wanted && e->name_size == f->wanted_size && !memcmp(e->name, f->wanted, e->name_size) && !f->found)
        f->found = inode_ref(inode);
    dentry_cache_child(f->dentry, e->name, e->name_size, inode);
    return 0;
}

// Fetches the directory into the name cache. dir_lock held, dentry_fill_begin() done.
static int fill_directory(struct fill *f, bool if_small)
{
    struct gofer_attr attr;
    int error = host_node_list(f->dir->priv, if_small, fill_entry, f, &attr);
    if (error == 0)
        dentry_set_complete(f->dentry);
    return error;
}

int hostfs_lookup(struct inode *dir, const char *name, uint32_t len, struct inode **ret)
{
    struct host_node *n = dir->priv;
    struct fill f = {.dir = dir, .dentry = inode_any_dentry(dir), .wanted = name, .wanted_size = len};
    if (!n->is_dir)
        return -ENOTDIR;
    if (n->export->shared || !f.dentry || (n->is_large && n->lookups++ < LARGE_LIST_AFTER))
        return lookup_one(dir, name, len, ret);
    int error = fill_directory(&f, !n->is_large);
    if (error == -E2BIG && !n->is_large) {
        n->is_large = true;
        return lookup_one(dir, name, len, ret);
    }
    if (error == 0 && f.found) {
        *ret = f.found;
        return 0;
    }
    inode_unref(f.found);
    return error < 0 ? error : -ENOENT;
}

int hostfs_fill(struct inode *dir, struct dentry *d)
{
    struct fill f = {.dir = dir, .dentry = d};
    dentry_fill_begin(d);
    return fill_directory(&f, false);
}

int hostfs_revalidate(struct dentry *d)
{
    char name[VFS_NAME_MAX + 1];
    struct inode *inode = d->inode;
    struct gofer_attr attr;
    if (d->parent == d)
        return 1;
    if (!inode)
        return 0;
    struct host_node *n = inode->priv;
    if (!n->export->shared || clock_monotonic() < __atomic_load_n((int64_t *)&n->valid_until, __ATOMIC_RELAXED))
        return 1;
    struct dentry *parent = dentry_get_parent(d);
    uint32_t len = dentry_copy_name(d, name);
    int error = host_node_lookup(parent->inode->priv, name, len, NULL, &attr, NULL, NULL);
    dentry_unref(parent);
    if (error == -ENOENT || error == -ESTALE || error == -ENOTDIR)
        return 0;
    if (error < 0)
        return error;
    if (attr.ino != n->ino || attr.dev != n->dev || ((attr.mode ^ inode->mode) & S_IFMT))
        return 0;
    // A number that was used again soon for another link.
    if (S_ISLNK(attr.mode) && attr.size != inode->link_size)
        return 0;
    hostfs_refreshed(inode, &attr);
    return 1;
}

// ---- Super block ----

static int64_t hostfs_readlink(struct inode *inode, char *buf, uint64_t size)
{
    char *target = kmalloc(GOFER_LINK_MAX + 1);
    if (!target)
        return -ENOMEM;
    int64_t n = host_node_readlink(inode->priv, target);
    if (n > 0) {
        n = MIN(n, (int64_t)size);
        memcpy(buf, target, (uint64_t)n);
    }
    kfree(target);
    return n;
}

static int hostfs_mount(struct task *t, const char *source, const char *options, struct super_block **ret)
{
    struct host_node *node;
    struct gofer_attr attr;
    int id = host_export_number(options);
    if (t || id < 0)
        return -EPERM; // the start's own business
    int error = host_export_open((uint32_t)id, &node, &attr);
    if (error < 0)
        return error;
    struct super_block *sb = super_alloc(SUPER_HOSTFS);
    struct hostfs_super *s = sb ? kmalloc(sizeof(*s)) : NULL;
    if (!s) {
        super_unref(sb);
        host_node_unref(node);
        return -ENOMEM;
    }
    lock_init(&s->lock, LOCK_RANK_OBJECT);
    sb->priv = s;
    sb->magic = EXT4_SUPER_MAGIC;
    sb->read_only = node->export->read_only;
    struct inode *root = hostfs_inode_for(sb, node, &attr, NULL, 0);
    sb->root = root ? dentry_alloc_root(sb, root) : NULL;
    if (!sb->root) {
        super_unref(sb);
        return -ENOMEM;
    }
    *ret = sb;
    return 0;
}

static void hostfs_destroy(struct super_block *sb)
{
    kfree(sb->priv);
}

static int hostfs_statfs(struct super_block *sb, struct kstatfs *out)
{
    struct gofer_statfs s;
    int error = host_node_statfs(sb->root->inode->priv, &s);
    if (error < 0)
        return error;
    *out = (struct kstatfs){
        .type = s.type,
        .bsize = s.bsize,
        .blocks = s.blocks,
        .bfree = s.bfree,
        .bavail = s.bavail,
        .files = s.files,
        .ffree = s.ffree,
        .fsid = s.fsid,
        .namelen = s.namelen,
        .frsize = s.frsize,
    };
    return 0;
}

const struct inode_ops hostfs_inode_ops = {
    .lookup = hostfs_lookup,
    .create = hostfs_create,
    .mkdir = hostfs_mkdir,
    .symlink = hostfs_symlink,
    .link = hostfs_link,
    .unlink = hostfs_unlink,
    .rmdir = hostfs_unlink,
    .rename = hostfs_rename,
    .readlink = hostfs_readlink,
    .getattr = hostfs_getattr,
    .setattr = hostfs_setattr,
    .open = hostfs_open,
    .getxattr = hostfs_getxattr,
    .setxattr = hostfs_setxattr,
    .listxattr = hostfs_listxattr,
    .removexattr = hostfs_removexattr,
    .evict = hostfs_evict,
};

const struct super_ops hostfs_super_ops = {
    .name = "hostfs",
    .flags = SUPER_NODEV,
    .mount = hostfs_mount,
    .statfs = hostfs_statfs,
    .destroy = hostfs_destroy,
    .revalidate = hostfs_revalidate,
};
