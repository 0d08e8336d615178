// The names of the upper layer, a tree in each directory. By keyed hash, so that chosen names can't unbalance anything; equal hashes
// are told apart by the name.
#include "base/slab.h"
#include "fs/overlay/overlay.h"

static int compare(const struct ovl_entry *e, uint32_t hash, const char *name, uint32_t len)
{
    if (e->hash != hash)
        return hash < e->hash ? -1 : 1;
    if (e->len != len)
        return len < e->len ? -1 : 1;
    return memcmp(name, e->name, len);
}

struct ovl_entry *ovl_entry_new(const char *name, uint32_t len)
{
    struct ovl_entry *e = kmalloc(sizeof(*e) + len + 1);
    if (!e)
        return NULL;
    memcpy(e->name, name, len);
    e->len = (uint16_t)len;
    e->hash = dentry_hash_name(name, len);
    return e;
}

struct ovl_entry *ovl_find_locked(struct inode *dir, const char *name, uint32_t len)
{
    uint32_t hash = dentry_hash_name(name, len);
    struct rb_node *n = ovl_i(dir)->entries.root;
    while (n) {
        struct ovl_entry *e = container_of(n, struct ovl_entry, node);
        int c = compare(e, hash, name, len);
        if (c == 0)
            return e;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

void ovl_insert_locked(struct inode *dir, struct ovl_entry *e)
{
    struct ovl_inode *oi = ovl_i(dir);
    struct rb_node **link = &oi->entries.root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = compare(container_of(parent, struct ovl_entry, node), e->hash, e->name, e->len) < 0 ? &parent->left
                                                                                                    : &parent->right;
    }
    rb_link(&e->node, parent, link);
    rb_insert_fixup(&oi->entries, &e->node);
    oi->entry_count += e->inode != NULL;
}

void ovl_remove_locked(struct inode *dir, struct ovl_entry *e)
{
    struct ovl_inode *oi = ovl_i(dir);
    rb_remove(&oi->entries, &e->node);
    oi->entry_count -= e->inode != NULL;
}

struct inode *ovl_replace_locked(struct inode *dir, struct ovl_entry *e, struct inode *inode)
{
    struct ovl_inode *oi = ovl_i(dir);
    struct inode *old = e->inode;
    oi->entry_count -= old != NULL;
    oi->entry_count += inode != NULL;
    e->inode = inode;
    return old;
}

void ovl_for_each(struct inode *dir, ovl_entry_fn *f, void *arg)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    lock_take(&os->lock);
    for (struct rb_node *n = rb_first(&ovl_i(dir)->entries); n; n = rb_next(n))
        f(arg, container_of(n, struct ovl_entry, node));
    lock_release(&os->lock);
}

void ovl_free_table(struct inode *dir)
{
    struct ovl_inode *oi = ovl_i(dir);
    struct rb_node *n;
    // Nobody else has the directory any more.
    while ((n = oi->entries.root)) {
        struct ovl_entry *e = container_of(n, struct ovl_entry, node);
        rb_remove(&oi->entries, n);
        inode_unref(e->inode);
        kfree(e);
    }
}
