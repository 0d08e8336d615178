// Open directories of hostfs.
//
// An exclusive directory is read from the name cache, into which it is fetched whole. A shared one is fetched from the host each
// time it is read from the start, and then read from that list: its positions are places in the list, so that no change on the host
// lets an entry come twice.
#include <dirent.h>

#include "base/slab.h"
#include "fs/hostfs/hostfs.h"
#include "vfs/vfs-int.h"

// One entry of a list; they lie one after the other, 8-byte aligned.
struct entry {
    uint64_t ino;
    uint32_t next; // from this entry; 0: the last
    uint8_t name_size;
    uint8_t dtype;
    char name[];
};

struct snapshot { // file.priv, GUARDED_BY(file.pos_lock)
    uint8_t *data;
    uint64_t size, room;
    uint32_t count;
    struct inode *dir;
    struct dentry *dentry;
};

static int grow(struct snapshot *s, uint64_t need)
{
    if (s->room - s->size >= need)
        return 0;
    uint64_t room = MAX(s->room * 2, 16384ull);
    uint8_t *data = krealloc(s->data, s->room, room);
    if (!data)
        return -ENOMEM;
    s->data = data;
    s->room = room;
    return 0;
}

// Brings the name cache up to date with one entry.
static int refresh_cached(struct snapshot *s, const struct gofer_entry_view *e)
{
    struct dentry *d = dentry_find(s->dentry, e->name, e->name_size);
    if (d && d->inode) {
        struct host_node *n = d->inode->priv;
        if (n->ino == e->attr.ino && n->dev == e->attr.dev && !((d->inode->mode ^ e->attr.mode) & S_IFMT)) {
            hostfs_refreshed(d->inode, &e->attr);
            dentry_unref(d);
            return 0;
        }
        dentry_invalidate(d);
    }
    dentry_unref(d);
    struct host_node *node = host_node_new(s->dir->priv, e->name, e->name_size, &e->attr);
    struct inode *inode = node ? hostfs_inode_for(s->dir->sb, node, &e->attr, e->link, e->link_size) : NULL;
    if (!inode)
        return -ENOMEM;
    dentry_cache_child(s->dentry, e->name, e->name_size, inode);
    return 0;
}

static int snapshot_entry(void *arg, const struct gofer_entry_view *e)
{
    struct snapshot *s = arg;
    struct host_node *dir = s->dir->priv;
    uint64_t need = (sizeof(struct entry) + e->name_size + 1 + 7) & ~7ull;
    int error = grow(s, need);
    if (error < 0)
        return error;
    struct entry *out = (struct entry *)(s->data + s->size);
    *out = (struct entry){
        .ino = host_node_ino(dir->export, &e->attr),
        .next = (uint32_t)need,
        .name_size = (uint8_t)e->name_size,
        .dtype = (uint8_t)mode_to_dtype(e->attr.mode),
    };
    memcpy(out->name, e->name, e->name_size + 1);
    s->size += need;
    s->count++;
    return refresh_cached(s, e);
}

static int take_snapshot(struct file *f)
{
    struct snapshot *s = f->priv;
    struct gofer_attr attr;
    if (!s) {
        s = kmalloc(sizeof(*s));
        if (!s)
            return -ENOMEM;
        s->dir = f->inode;
        s->dentry = f->path.dentry;
        f->priv = s;
    }
    s->size = s->count = 0;
    lock_take(&f->inode->dir_lock);
    int error = host_node_list(f->inode->priv, false, snapshot_entry, s, &attr);
    lock_release(&f->inode->dir_lock);
    if (error == 0)
        hostfs_refreshed(f->inode, &attr);
    return error;
}

static int emit_snapshot(struct file *f, struct dir_emit *d)
{
    struct snapshot *s = f->priv;
    uint64_t at = 0;
    if (!dir_emit_dots(f, d))
        return d->error;
    for (uint64_t pos = 2; at < s->size; pos++) {
        const struct entry *e = (const struct entry *)(s->data + at);
        at += e->next;
        if (pos >= d->pos && !dir_emit(d, e->name, e->name_size, e->ino, e->dtype, pos + 1))
            break;
    }
    return d->error;
}

static int dir_iterate(struct file *f, struct dir_emit *d)
{
    struct host_node *n = f->inode->priv;
    struct dentry *dentry = f->path.dentry;
    int error = 0;
    if (n->export->shared) {
        if (d->pos == 0 || !f->priv)
            error = take_snapshot(f);
        return error < 0 ? error : emit_snapshot(f, d);
    }
    if (!(dentry_flags(dentry) & DENTRY_COMPLETE) && !(f->inode->flags & INODE_DEAD)) {
        lock_take(&f->inode->dir_lock);
        if (!(dentry_flags(dentry) & DENTRY_COMPLETE))
            error = hostfs_fill(f->inode, dentry);
        lock_release(&f->inode->dir_lock);
        f->priv2 = 0; // what was evicted has new positions, beyond the end of before
    }
    return error < 0 ? error : generic_dir_iterate(f, d);
}

static void dir_release(struct file *f)
{
    struct snapshot *s = f->priv;
    if (s)
        kfree(s->data);
    kfree(s);
}

static int dir_sync(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    struct host_node *n = f->inode->priv;
    return n->export->read_only ? 0 : host_node_sync_dir(n);
}

const struct file_ops hostfs_dir_file_ops = {
    .iterate = dir_iterate,
    .seek = dir_seek,
    .sync = dir_sync,
    .release = dir_release,
};
