// Directories of the overlay: names of the upper layer first, then the image's, unless the upper layer has something (or a whiteout)
// under that name. What was looked up, and what was found to be absent, stays in the name cache, so a tree that nobody changes costs
// one message for each directory.
#include "base/slab.h"
#include "fs/overlay/overlay.h"

enum { LARGE_LIST_AFTER = 32 };

const struct slab_type ovl_inode_slab = {
    .id = SLAB_OVERLAY_INODE,
    .name = "ovl_inode",
    .size = sizeof(struct ovl_inode),
};

struct inode *ovl_inode_for(struct super_block *sb, struct inode *dir, struct host_node *node, const struct gofer_attr *attr,
                            const char *link, uint32_t link_size)
{
    struct ovl_inode *oi = slab_alloc(&ovl_inode_slab);
    struct inode *inode = oi ? inode_alloc(sb, INODE_OVERLAY, attr->mode) : NULL;
    if (!inode) {
        slab_free(&ovl_inode_slab, oi);
        host_node_unref(node);
        return NULL;
    }
    oi->lower = node;
    oi->parent = dir ? inode_ref(dir) : NULL;
    oi->pinned = !dir; // the root
    inode->priv = oi;
    host_inode_init(inode, node->export, attr);
    if (link && inode_set_link(inode, link, link_size) < 0) {
        inode_unref(inode);
        return NULL;
    }
    return inode;
}

// What the upper layer says: 1 found (reference in *ret), -ENOENT a whiteout, 0 nothing.
static int lookup_upper(struct inode *dir, const char *name, uint32_t len, struct inode **ret)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    int r = 0;
    lock_take(&os->lock);
    struct ovl_entry *e = ovl_find_locked(dir, name, len);
    if (e && e->inode) {
        if (ret)
            *ret = inode_ref(e->inode);
        r = 1;
    } else if (e) {
        r = -ENOENT;
    }
    lock_release(&os->lock);
    return r;
}

static int lookup_lower(struct inode *dir, const char *name, uint32_t len, struct inode **ret)
{
    char *link = kmalloc(GOFER_LINK_MAX + 1);
    struct host_node *node;
    struct gofer_attr attr;
    uint32_t link_size;
    if (!link)
        return -ENOMEM;
    int r = host_node_lookup(ovl_i(dir)->lower, name, len, &node, &attr, link, &link_size);
    if (r == 0) {
        *ret = ovl_inode_for(dir->sb, dir, node, &attr, link_size ? link : NULL, link_size);
        r = *ret ? 0 : -ENOMEM;
    }
    kfree(link);
    return r;
}

// ---- Whole directories ----

struct fill {
    struct inode *dir;
    struct dentry *dentry;
    const char *wanted; // and its inode, if it is there
    uint32_t wanted_size;
    struct inode *found;
};

static void cache(struct fill *f, const char *name, uint32_t len, struct inode *inode)
{
    if (f->wanted && len == f->wanted_size && !memcmp(name, f->wanted, len) && !f->found)
        f->found = inode_ref(inode);
    dentry_cache_child(f->dentry, name, len, inode);
}

static int fill_lower(void *arg, const struct gofer_entry_view *e)
{
    struct fill *f = arg;
    if (lookup_upper(f->dir, e->name, e->name_size, NULL) != 0)
        return 0;
    // What is cached already is as good, and may be in use.
    struct dentry *d = dentry_find(f->dentry, e->name, e->name_size);
    bool known = d && d->inode;
    dentry_unref(d);
    if (known)
        return 0;
    struct host_node *node = host_node_new(ovl_i(f->dir)->lower, e->name, e->name_size, &e->attr);
    struct inode *inode =
        node ? ovl_inode_for(f->dir->sb, f->dir, node, &e->attr, e->link, e->link_size) : NULL;
    if (!inode)
        return -ENOMEM;
    cache(f, e->name, e->name_size, inode);
    return 0;
}

// The upper layer's names are copied out first: the cache's locks are taken before the table's.
struct upper_names {
    struct upper_name {
        struct inode *inode; // reference
        uint32_t at, len;    // in text
    } *names;
    char *text;
    uint32_t count, room, text_size, text_room;
};

static void count_name(void *arg, const struct ovl_entry *e)
{
    struct upper_names *u = arg;
    u->room += e->inode != NULL;
    u->text_room += e->inode ? e->len : 0;
}

static void copy_name(void *arg, const struct ovl_entry *e)
{
    struct upper_names *u = arg;
    if (!e->inode || u->count == u->room || e->len > u->text_room - u->text_size)
        return;
    u->names[u->count++] = (struct upper_name){.inode = inode_ref(e->inode), .at = u->text_size, .len = e->len};
    memcpy(u->text + u->text_size, e->name, e->len);
    u->text_size += e->len;
}

// dir_lock held, which keeps names from being added meanwhile.
static int fill_upper(struct fill *f)
{
    struct upper_names u = {0};
    ovl_for_each(f->dir, count_name, &u);
    if (!u.room)
        return 0;
    u.names = kmalloc(u.room * sizeof(*u.names));
    u.text = kmalloc(u.text_room);
    int r = u.names && u.text ? 0 : -ENOMEM;
    if (r == 0)
        ovl_for_each(f->dir, copy_name, &u);
    for (uint32_t i = 0; i < u.count; i++)
        cache(f, u.text + u.names[i].at, u.names[i].len, u.names[i].inode);
    kfree(u.names);
    kfree(u.text);
    return r;
}

// The image of `caisson do` is the host's own root, where files do get replaced.
int ovl_rebind(struct inode *inode)
{
    struct gofer_attr attr;
    int r = host_node_rebind(ovl_i(inode)->lower, &attr);
    if (r == 0)
        host_attr_apply(inode, &attr);
    return r;
}

static int fill_directory(struct fill *f, bool if_small)
{
    struct host_node *lower = ovl_i(f->dir)->lower;
    struct gofer_attr attr;
    int r = lower ? host_node_list(lower, if_small, fill_lower, f, &attr) : 0;
    if (r == -ESTALE && ovl_rebind(f->dir) == 0)
        r = host_node_list(lower, if_small, fill_lower, f, &attr);
    if (r == 0)
        r = fill_upper(f);
    if (r == 0)
        dentry_set_complete(f->dentry);
    return r;
}

int ovl_lookup(struct inode *dir, const char *name, uint32_t len, struct inode **ret)
{
    struct host_node *lower = ovl_i(dir)->lower;
    struct fill f = {.dir = dir, .dentry = inode_any_dentry(dir), .wanted = name, .wanted_size = len};
    int r = lookup_upper(dir, name, len, ret);
    if (r != 0)
        return r < 0 ? r : 0;
    if (!lower)
        return -ENOENT;
    if (!f.dentry || (lower->is_large && lower->lookups++ < LARGE_LIST_AFTER))
        return lookup_lower(dir, name, len, ret);
    r = fill_directory(&f, !lower->is_large);
    if (r == -E2BIG && !lower->is_large) {
        lower->is_large = true;
        return lookup_lower(dir, name, len, ret);
    }
    if (r == 0 && f.found) {
        *ret = f.found;
        return 0;
    }
    inode_unref(f.found);
    return r < 0 ? r : -ENOENT;
}

static int any_lower(void *arg, const struct gofer_entry_view *e)
{
    return lookup_upper(arg, e->name, e->name_size, NULL) == 0 ? -ENOTEMPTY : 0;
}

int ovl_check_empty(struct inode *dir)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    struct host_node *lower = ovl_i(dir)->lower;
    struct gofer_attr attr;
    lock_take(&os->lock);
    bool upper = ovl_i(dir)->entry_count != 0;
    lock_release(&os->lock);
    if (upper)
        return -ENOTEMPTY;
    return lower ? host_node_list(lower, false, any_lower, dir, &attr) : 0;
}

// ---- Open directories ----

static int dir_iterate(struct file *f, struct dir_emit *d)
{
    struct dentry *dentry = f->path.dentry;
    struct fill fill = {.dir = f->inode, .dentry = dentry};
    int r = 0;
    if (!(dentry_flags(dentry) & DENTRY_COMPLETE) && !(f->inode->flags & INODE_DEAD)) {
        lock_take(&f->inode->dir_lock);
        if (!(dentry_flags(dentry) & DENTRY_COMPLETE)) {
            dentry_fill_begin(dentry);
            r = fill_directory(&fill, false);
        }
        lock_release(&f->inode->dir_lock);
        f->priv2 = 0; // what was evicted has new positions, beyond the end of before
    }
    return r < 0 ? r : generic_dir_iterate(f, d);
}

static int dir_sync(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    return 0;
}

const struct file_ops overlay_dir_file_ops = {
    .iterate = dir_iterate,
    .seek = dir_seek,
    .sync = dir_sync,
};
