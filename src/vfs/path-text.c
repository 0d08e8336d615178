// From a path to its text: getcwd(2), /proc/PID/fd, /proc/PID/maps.
//
// The text is built from its end. mount_ns.lock keeps the tree of mounts still, and vfs.hash_lock the names and parents, so that
// the chain of parents can be followed without references.
#include "vfs/vfs-int.h"

struct text {
    char *buf;
    uint64_t start, size;
};

static bool prepend(struct text *x, const char *s, uint64_t size)
{
    if (size > x->start)
        return false;
    x->start -= size;
    memcpy(x->buf + x->start, s, size);
    return true;
}

// Walks up. Both locks held. *reached: the root was met.
static bool prepend_path(struct text *x, const struct path *p, const struct path *root,
                         bool *reached)
{
    struct mount *m = p->mount;
    struct dentry *d = p->dentry;
    bool any = false;
    *reached = true;
    while (!(d == root->dentry && m == root->mount)) {
        if (d == m->root || d->parent == d) {
            if (d == m->root && m->parent) {
                d = m->mountpoint;
                m = m->parent;
                continue;
            }
            *reached = false;
            break;
        }
        if (!prepend(x, d->name, d->name_len) || !prepend(x, "/", 1))
            return false;
        any = true;
        d = d->parent;
    }
    return any || prepend(x, "/", 1);
}

int64_t path_text(const struct path *p, const struct path *root, struct mount_ns *ns,
                  uint32_t flags, char *buf, uint64_t size)
{
    struct text x = {.buf = buf, .start = size, .size = size};
    struct vfs *v = the_vfs();
    bool reached, ok = true;
    if ((flags & PATH_TEXT_DELETED) && (dentry_flags(p->dentry) & DENTRY_DELETED) &&
        p->dentry->parent != p->dentry)
        ok = prepend(&x, " (deleted)", 10);
    lock_take(&ns->lock);
    lock_take(&v->hash_lock);
    ok = ok && prepend_path(&x, p, root, &reached);
    lock_release(&v->hash_lock);
    lock_release(&ns->lock);
    if (ok && !reached && (flags & PATH_TEXT_UNREACHABLE))
        ok = prepend(&x, "(unreachable)", 13);
    if (!ok)
        return -ENAMETOOLONG;
    if (!reached && (flags & PATH_TEXT_ONLY_REACHED))
        return -EINVAL;
    memmove(buf, buf + x.start, size - x.start);
    return (int64_t)(size - x.start);
}

// Things without a place in the tree.
static int64_t anon_text(const struct dentry *d, char *buf, uint64_t size)
{
    struct strbuf b = {.data = buf, .room = size, .fixed = true};
    if (d->name[0] == '[' || !strcmp(d->name, "inotify"))
        strbuf_printf(&b, "anon_inode:%s", d->name);
    else if (d->name[0] == '/')
        strbuf_puts(&b, d->name);
    else
        strbuf_printf(&b, "%s:[%llu]", d->name, (unsigned long long)d->inode->ino);
    return b.truncated ? -ENAMETOOLONG : (int64_t)b.size;
}

int64_t path_to_text(struct task *t, const struct path *p, char *buf, uint64_t size)
{
    struct path root;
    struct vfs *v = the_vfs();
    if (!p->dentry)
        return -ENOENT;
    if (p->dentry->sb == v->anon_sb)
        return anon_text(p->dentry, buf, size);
    if (p->mount == v->shm_mount) { // memfds and shared anonymous memory
        struct strbuf b = {.data = buf, .room = size, .fixed = true};
        strbuf_printf(&b, "/%s (deleted)", p->dentry->name);
        return b.truncated ? -ENAMETOOLONG : (int64_t)b.size;
    }
    if (!t || !t->fs) {
        struct mount_ns *ns = the_kernel()->mounts;
        root = (struct path){.mount = ns->root, .dentry = ns->root->root};
        return path_text(p, &root, ns, PATH_TEXT_DELETED, buf, size);
    }
    fs_get_root(t, &root);
    int64_t n = path_text(p, &root, t->fs->ns, PATH_TEXT_DELETED, buf, size);
    path_put(&root);
    return n;
}
