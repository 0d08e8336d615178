// The walk without locks and without references, for what is cached and plain: no openat2 limits, no magic links, no file
// systems that want to be asked again. Anything else, and any doubt, is -ECHILD, and the caller takes the slow way.
//
// What makes it safe: memory of dentries and mounts is only ever used for dentries and mounts, so a stale pointer reads as an
// object of the right type; each dentry's sequence number is noted before anything of it is used and checked afterwards, the
// parent's once more after the child's was noted; and at the end, with references taken, the last dentry, the tree of mounts and
// the task's root and working directory are checked once more. Inodes are read through dentries whose sequence is checked after
// the reading: a dentry that has not changed still held its inode. A name that is not found is believed when the directory is
// complete (or the negative dentry was seen) and nothing left a chain meanwhile (vfs.removals).
#include "vfs/mount-int.h"
#include "vfs/vfs-int.h"

enum { LINK_BUFFER = 512 };

struct fast {
    struct vfs *v;
    const struct cred *cred;
    struct mount *mount, *root_mount;
    struct dentry *d, *root;
    uint32_t seq; // of d
    uint32_t mount_seq, fs_seq;
    struct inode *inode; // of d, valid under seq
    uint32_t flags, links;
    const char *rest;
    char *buffer;  // LINK_BUFFER bytes for texts of symlinks
    uint32_t half; // which half of the buffer is free
};

// Notes d as the place where the walk is.
static int stand_on(struct fast *w, struct mount *m, struct dentry *d)
{
    w->mount = m;
    w->d = d;
    w->seq = seq_read_begin(&d->seq);
    w->inode = __atomic_load_n(&d->inode, __ATOMIC_ACQUIRE);
    return (w->seq & 1) || !w->inode ? -ECHILD : 0;
}

static int down_mounts(struct fast *w)
{
    while (unlikely(w->d->mount_count)) {
        struct mount *m = mount_find_fast(w->v, w->mount, w->d);
        if (!m)
            return 0; // in another namespace; mount_seq vouches for it at the end
        struct dentry *root = LOAD_RELAXED(m->root);
        if (!root || stand_on(w, m, root) < 0)
            return -ECHILD;
    }
    return 0;
}

// Search permission on w->inode, which must be a directory.
static int may_search(struct fast *w)
{
    struct inode *dir = w->inode;
    const struct inode_ops *ops = inode_ops(dir);
    uint32_t mode = LOAD_RELAXED(dir->mode);
    if (!S_ISDIR(mode) || !ops || ops->permission ||
        (LOAD_RELAXED(dir->flags) & (INODE_REVALIDATE | INODE_NO_CACHE)))
        return -ECHILD;
    // Everybody may: by far the most frequent. Otherwise the full check, whose refusals are left to the slow way.
    if ((mode & 0111) != 0111 && inode_permission(dir, w->cred, 1) < 0)
        return -ECHILD;
    return seq_read_retry(&w->d->seq, w->seq) ? -ECHILD : 0;
}

static int go_up(struct fast *w)
{
    for (int i = 0; i < 256; i++) {
        if (w->d == w->root && w->mount == w->root_mount)
            return 0;
        if (w->d != LOAD_RELAXED(w->mount->root)) {
            struct dentry *parent = LOAD_RELAXED(w->d->parent);
            uint32_t seq = w->seq;
            struct dentry *child = w->d;
            if (!parent || stand_on(w, w->mount, parent) < 0 || seq_read_retry(&child->seq, seq))
                return -ECHILD;
            return down_mounts(w);
        }
        struct mount *up = LOAD_RELAXED(w->mount->parent);
        struct dentry *at = LOAD_RELAXED(w->mount->mountpoint);
        if (!up)
            return 0;
        if (!at || stand_on(w, up, at) < 0)
            return -ECHILD;
    }
    return -ECHILD;
}

// Puts the text of the link, and what is left of the path, before the walk.
static int follow(struct fast *w, struct inode *link)
{
    const struct inode_ops *ops = inode_ops(link);
    const char *text = __atomic_load_n(&link->link, __ATOMIC_ACQUIRE);
    uint32_t size = LOAD_RELAXED(link->link_size);
    uint64_t rest = strlen(w->rest);
    if (!text || !ops || ops->follow || ++w->links > VFS_SYMLINK_MAX || size == 0 ||
        size + rest + 1 > LINK_BUFFER / 2 || (LOAD_RELAXED(w->mount->flags) & MS_NOSYMFOLLOW))
        return -ECHILD;
    char *to = w->buffer + w->half * (LINK_BUFFER / 2);
    memcpy(to, text,
           size); // of memory that may be reused by now: the caller checks, before it goes on
    memcpy(to + size, w->rest, rest + 1);
    w->half ^= 1;
    w->rest = to;
    return 0;
}

// The child called name of where the walk stands. *done: the answer is the return value.
static int step(struct fast *w, const char *name, uint32_t len, bool last, bool trailing_slash)
{
    uint32_t removals = seq_read_begin(&w->v->removals);
    uint32_t dir_flags = dentry_flags(w->d);
    struct dentry *dir = w->d;
    struct mount *m = w->mount;
    uint32_t dir_seq = w->seq, seq;
    struct dentry *d =
        dentry_find_fast(w->v, dir, dir_seq, name, len, dentry_hash_name(name, len), &seq);
    if (!d) {
        bool sure = (dir_flags & DENTRY_COMPLETE) && !(removals & 1) &&
                    (dentry_flags(dir) & DENTRY_COMPLETE) &&
                    !seq_read_retry(&w->v->removals, removals) &&
                    !seq_read_retry(&dir->seq, dir_seq);
        return sure ? -ENOENT : -ECHILD;
    }
    struct inode *inode = __atomic_load_n(&d->inode, __ATOMIC_ACQUIRE);
    if (!inode)
        return seq_read_retry(&d->seq, seq) ? -ECHILD : -ENOENT;
    uint32_t mode = LOAD_RELAXED(inode->mode), inode_flags = LOAD_RELAXED(inode->flags);
    if (seq_read_retry(&d->seq, seq) || (inode_flags & INODE_REVALIDATE))
        return -ECHILD;
    if (!LOAD_RELAXED(d->used))
        __atomic_store_n(&d->used, 1, __ATOMIC_RELAXED);
    if (S_ISLNK(mode) && (!last || trailing_slash || (w->flags & LOOKUP_FOLLOW))) {
        // fs.protected_symlinks is looked after by the slow way.
        uint32_t dir_mode = LOAD_RELAXED(w->inode->mode);
        if ((dir_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH) || follow(w, inode) < 0 ||
            seq_read_retry(&d->seq, seq))
            return -ECHILD;
        return w->rest[0] == '/' ? stand_on(w, w->root_mount, w->root) : 0;
    }
    w->mount = m;
    w->d = d;
    w->seq = seq;
    w->inode = inode;
    return down_mounts(w);
}

static int walk(struct fast *w)
{
    bool trailing_slash = false;
    for (;;) {
        while (*w->rest == '/')
            w->rest++;
        if (!*w->rest)
            break;
        int r = may_search(w);
        if (r < 0)
            return r;
        const char *name = w->rest;
        uint32_t len = (uint32_t)(strchrnul(name, '/') - name);
        if (len > VFS_NAME_MAX)
            return -ECHILD;
        const char *end = name + len;
        while (*end == '/')
            end++;
        bool last = !*end;
        if (last)
            trailing_slash = end != name + len;
        w->rest = name + len;
        if (name[0] == '.' && len == 1)
            continue;
        r = name[0] == '.' && name[1] == '.' && len == 2 ? go_up(w)
                                                         : step(w, name, len, last, trailing_slash);
        if (r < 0)
            return r;
    }
    if (((w->flags & LOOKUP_DIRECTORY) || trailing_slash) && !S_ISDIR(LOAD_RELAXED(w->inode->mode)))
        return -ECHILD;
    return 0;
}

// Notes root and start of t. Nothing is referenced: fs->seq is checked at the end.
static int start(struct fast *w, struct task *t, int dirfd, const char *name, struct file **hold)
{
    struct fs_context *fs = t->fs;
    w->fs_seq = seq_read_begin(&fs->seq);
    w->root_mount = LOAD_RELAXED(fs->root.mount);
    w->root = LOAD_RELAXED(fs->root.dentry);
    if (w->fs_seq & 1)
        return -ECHILD;
    if (name[0] == '/')
        return stand_on(w, w->root_mount, w->root);
    if (dirfd == AT_FDCWD)
        return stand_on(w, LOAD_RELAXED(fs->cwd.mount), LOAD_RELAXED(fs->cwd.dentry));
    struct file *f = *hold = fd_get(t, dirfd);
    if (!f || !f->path.dentry || (name[0] && !inode_is_dir(f->inode)))
        return -ECHILD;
    return stand_on(w, f->path.mount, f->path.dentry);
}

static int still_valid(const struct fast *w, struct task *t)
{
    return !seq_read_retry(&w->v->mount_seq, w->mount_seq) &&
           !seq_read_retry(&t->fs->seq, w->fs_seq);
}

int path_walk_fast(struct task *t, int dirfd, const char *name, uint32_t flags, struct path *ret)
{
    char buffer[LINK_BUFFER];
    struct file *hold = NULL;
    struct fast w = {
        .v = the_vfs(), .cred = t->cred, .flags = flags, .rest = name, .buffer = buffer};
    if (flags & ~(uint32_t)(LOOKUP_FOLLOW | LOOKUP_DIRECTORY | LOOKUP_EMPTY))
        return -ECHILD;
    w.mount_seq = seq_read_begin(&w.v->mount_seq);
    int r = start(&w, t, dirfd, name, &hold);
    if (r == 0)
        r = walk(&w);
    if (r == 0) {
        r = -ECHILD;
        if (refcount_get_unless_zero(&w.mount->refs)) {
            if (refcount_get_unless_zero(&w.d->refs)) {
                if (!seq_read_retry(&w.d->seq, w.seq) && still_valid(&w, t)) {
                    *ret = (struct path){.mount = w.mount, .dentry = w.d};
                    r = 0;
                } else {
                    dentry_unref(w.d);
                }
            }
            if (r < 0)
                mount_unref(w.mount);
        }
    } else if (r != -ECHILD && !still_valid(&w, t)) {
        r = -ECHILD;
    }
    if (hold)
        file_unref(hold);
    return r;
}
