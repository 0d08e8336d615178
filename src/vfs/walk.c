// Path walking: path_resolution(7), openat2(2).
//
// path_lookup() first tries the lock-free walk (walk-fast.c), which answers everything that is cached and plain; this file walks
// with a reference on each step and asks file systems for what is not cached. A symlink's text replaces the part of the path
// that it stands for; the pieces that follow stay, so the text is at most 40 targets long.
#include <linux/capability.h>

#include "base/slab.h"
#include "mm/copy.h"
#include "vfs/mount-int.h"
#include "vfs/vfs-int.h"

struct walk {
    const struct walk_env *env;
    uint32_t flags;
    uint32_t links;
    struct path at, root; // references
    char *text;           // of the last symlink; kmalloc'ed
    const char *rest;     // what is still to be walked
    bool trailing_slash;
    bool jumped; // at came out of a magic link
};

#define LOOKUP_SCOPED (LOOKUP_BENEATH | LOOKUP_IN_ROOT)

void path_get(const struct path *p)
{
    if (p->mount)
        mount_ref(p->mount);
    if (p->dentry)
        dentry_ref(p->dentry);
}

void path_put(struct path *p)
{
    struct path old = *p;
    *p = (struct path){0};
    dentry_unref(old.dentry);
    mount_unref(old.mount);
}

int dir_permission(struct inode *dir, const struct cred *cred)
{
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    return inode_permission(dir, cred, 1);
}

// ---- One component ----

static bool needs_revalidation(const struct dentry *d)
{
    const struct super_ops *ops = super_ops(d->sb);
    if (likely(!ops || !ops->revalidate))
        return false;
    return (d->inode && (d->inode->flags & INODE_REVALIDATE)) ||
           (d->parent->inode && (d->parent->inode->flags & INODE_REVALIDATE));
}

static int lookup_uncached_locked(struct dentry *dir, const char *name, uint32_t len,
                                  bool want_negative, struct dentry **ret)
{
    struct inode *inode = NULL;
    const struct inode_ops *ops = inode_ops(dir->inode);
    bool cache = !(dir->inode->flags & INODE_NO_CACHE);
    int r = -ENOENT;
    struct dentry *d;
    if (dir->inode->flags & INODE_DEAD)
        cache = false;
    else if (!ops || !ops->lookup)
        return -ENOTDIR;
    else if (!(dentry_flags(dir) & DENTRY_COMPLETE)) {
        dentry_fill_begin(dir);
        r = ops->lookup(dir->inode, name, len, &inode);
        if (r < 0 && r != -ENOENT)
            return r;
        // The file system may have listed the whole directory into the cache meanwhile.
        if (cache && (d = dentry_find(dir, name, len))) {
            if (d->inode || r < 0) {
                inode_unref(r == 0 ? inode : NULL);
                *ret = d;
                return 0;
            }
            dentry_drop(d);
            dentry_unref(d);
        }
    }
    if (r < 0 && (dentry_flags(dir) & DENTRY_COMPLETE))
        cache = false;
    if (r < 0 && !cache && !want_negative)
        return -ENOENT;
    d = dentry_new(dir->sb, dir, name, len, r < 0 ? NULL : inode);
    if (!d)
        return -ENOMEM;
    if (cache)
        dentry_add(d);
    *ret = d;
    return 0;
}

static int lookup_child(struct dentry *dir, const char *name, uint32_t len, uint32_t flags,
                        bool want_negative, struct dentry **ret)
{
    for (;;) {
        struct dentry *d = dentry_find(dir, name, len);
        if (!d) {
            if (dentry_flags(dir) & DENTRY_COMPLETE && !want_negative)
                return -ENOENT;
            if (flags & LOOKUP_CACHED)
                return -EAGAIN;
            lock_take(&dir->inode->dir_lock);
            int r = 0;
            if (!(d = dentry_find(dir, name, len)))
                r = lookup_uncached_locked(dir, name, len, want_negative, &d);
            lock_release(&dir->inode->dir_lock);
            if (r == 0)
                *ret = d;
            return r;
        }
        int valid = 1;
        if (unlikely(needs_revalidation(d)))
            valid = flags & LOOKUP_CACHED ? -EAGAIN : super_ops(d->sb)->revalidate(d);
        if (valid > 0) {
            *ret = d;
            return 0;
        }
        if (valid == 0) {
            dentry_invalidate(d);
            if (!(dentry_flags(d) & DENTRY_UNHASHED)) { // a mount point stays
                *ret = d;
                return 0;
            }
        }
        dentry_unref(d);
        if (valid < 0)
            return valid;
    }
}

int dentry_lookup(struct dentry *dir, const char *name, uint32_t len, struct dentry **ret)
{
    return lookup_child(dir, name, len, 0, true, ret);
}

int dentry_lookup_locked(struct dentry *dir, const char *name, uint32_t len, struct dentry **ret)
{
    struct dentry *d = dentry_find(dir, name, len);
    if (d) {
        *ret = d;
        return 0;
    }
    return lookup_uncached_locked(dir, name, len, true, ret);
}

// ---- Steps ----

static bool same_path(const struct path *a, const struct path *b)
{
    return a->mount == b->mount && a->dentry == b->dentry;
}

static int step_parent(struct walk *w)
{
    for (;;) {
        if (same_path(&w->at, &w->root))
            return w->flags & LOOKUP_BENEATH ? -EXDEV : 0;
        if (w->at.dentry != w->at.mount->root)
            break;
        struct mount *m = w->at.mount;
        if (!path_step_up(&w->at))
            return 0; // the top of a mount that is not reachable from the root
        if ((w->flags & LOOKUP_NO_XDEV) && m != w->at.mount)
            return -EXDEV;
    }
    struct dentry *parent = dentry_get_parent(w->at.dentry);
    dentry_unref(w->at.dentry);
    w->at.dentry = parent;
    struct mount *m = w->at.mount;
    path_step_down(&w->at); // something may be mounted over the parent
    return (w->flags & LOOKUP_NO_XDEV) && m != w->at.mount ? -EXDEV : 0;
}

// fs.protected_symlinks: in a sticky directory that everybody may write, only links of the follower or of the directory's owner.
static bool may_follow(const struct walk *w, const struct inode *link)
{
    const struct inode *dir = w->at.dentry->inode;
    if (link->uid == w->env->cred->fsuid ||
        (dir->mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH))
        return true;
    return dir->uid == link->uid;
}

static int read_link(struct inode *inode, const char **ret)
{
    const char *text = __atomic_load_n(&inode->link, __ATOMIC_ACQUIRE);
    if (!text) {
        const struct inode_ops *ops = inode_ops(inode);
        if (!ops || !ops->readlink)
            return -EINVAL;
        char *buf = kmalloc(VFS_PATH_MAX);
        if (!buf)
            return -ENOMEM;
        int64_t n = ops->readlink(inode, buf, VFS_PATH_MAX - 1);
        if (n >= 0 && (inode->flags & INODE_REVALIDATE)) {
            buf[n] = 0;
            *ret = buf; // not kept: the caller frees what isn't inode->link
            return 0;
        }
        int r = n < 0 ? (int)n : inode_set_link(inode, buf, (uint64_t)n);
        kfree(buf);
        if (r < 0)
            return r;
        text = __atomic_load_n(&inode->link, __ATOMIC_ACQUIRE);
    }
    *ret = text;
    return 0;
}

static int follow_magic(struct walk *w, struct inode *inode)
{
    struct path to = {0};
    int r = inode_ops(inode)->follow(inode, &to);
    if (r == -EINVAL) // ordinary text
        return r;
    if (w->flags & LOOKUP_NO_MAGICLINKS) {
        path_put(&to);
        return -ELOOP;
    }
    if (r < 0)
        return r;
    if ((w->flags & LOOKUP_SCOPED) || ((w->flags & LOOKUP_NO_XDEV) && to.mount != w->at.mount)) {
        path_put(&to);
        return -EXDEV;
    }
    path_put(&w->at);
    w->at = to;
    w->jumped = true;
    return 0;
}

// Replaces the walked link by its target's text, with what is left of the path behind it.
static int follow_text(struct walk *w, struct inode *inode)
{
    const char *target;
    int r = read_link(inode, &target);
    if (r < 0)
        return r;
    uint64_t size = strlen(target), rest = strlen(w->rest);
    char *text = NULL;
    if (size == 0)
        r = -ENOENT;
    else if (!(text = kmalloc(size + 1 + rest + 1)))
        r = -ENOMEM;
    else {
        memcpy(text, target, size);
        memcpy(text + size, w->rest, rest + 1); // rest is empty or begins with a slash
    }
    if (target != inode->link)
        kfree((char *)target);
    if (r < 0)
        return r;
    kfree(w->text);
    w->text = text;
    w->rest = text;
    if (text[0] != '/')
        return 0;
    if (w->flags & LOOKUP_BENEATH)
        return -EXDEV;
    if ((w->flags & LOOKUP_NO_XDEV) && w->root.mount != w->at.mount)
        return -EXDEV;
    path_put(&w->at);
    w->at = w->root;
    path_get(&w->at);
    return 0;
}

static int follow_link(struct walk *w, struct inode *inode, bool last)
{
    if (++w->links > VFS_SYMLINK_MAX || (w->flags & LOOKUP_NO_SYMLINKS))
        return -ELOOP;
    if (w->at.mount->flags & MS_NOSYMFOLLOW)
        return -ELOOP;
    if (last && !may_follow(w, inode))
        return -EACCES;
    const struct inode_ops *ops = inode_ops(inode);
    if (ops && ops->follow) {
        int r = follow_magic(w, inode);
        if (r != -EINVAL) // -EINVAL: this one is ordinary text
            return r;
    }
    return follow_text(w, inode);
}

// w->rest begins with a component of len bytes. Walks into it; false in *link when it was a symlink that now has to be walked.
static int step_name(struct walk *w, uint32_t len, bool last, bool follow)
{
    const char *name = w->rest;
    struct dentry *d;
    int r = lookup_child(w->at.dentry, name, len, w->flags, false, &d);
    if (r < 0)
        return r;
    struct inode *inode = __atomic_load_n(&d->inode, __ATOMIC_ACQUIRE);
    if (!inode) {
        dentry_unref(d);
        return -ENOENT;
    }
    w->rest = name + len;
    if (S_ISLNK(inode->mode) && (!last || follow)) {
        r = follow_link(w, inode, last);
        dentry_unref(d);
        return r;
    }
    dentry_unref(w->at.dentry);
    w->at.dentry = d;
    struct mount *m = w->at.mount;
    if (unlikely(d->mount_count)) {
        path_step_down(&w->at);
        if ((w->flags & LOOKUP_NO_XDEV) && m != w->at.mount)
            return -EXDEV;
    }
    return 0;
}

// The component at w->rest, which does not begin with a slash; and whether it is the last, trailing slashes noted.
static uint32_t measure(struct walk *w, bool *last)
{
    uint32_t len = (uint32_t)(strchrnul(w->rest, '/') - w->rest);
    const char *end = w->rest + len;
    while (*end == '/')
        end++;
    *last = !*end;
    if (*last)
        w->trailing_slash = end != w->rest + len;
    return len;
}

static bool is_dots(const char *name, uint32_t len)
{
    return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

// True when the walk for O_CREAT ends before this last component: it is absent, or no symlink to be followed.
static int stop_before(struct walk *w, uint32_t len, bool *stop)
{
    struct dentry *d;
    *stop = true;
    if (!(w->flags & LOOKUP_FOLLOW))
        return 0;
    int r = lookup_child(w->at.dentry, w->rest, len, w->flags, false, &d);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    struct inode *inode = __atomic_load_n(&d->inode, __ATOMIC_ACQUIRE);
    *stop = !inode || !S_ISLNK(inode->mode);
    dentry_unref(d);
    return 0;
}

static int walk_loop(struct walk *w, char **last_name, struct last_component *last)
{
    for (;;) {
        while (*w->rest == '/')
            w->rest++;
        if (!*w->rest)
            break;
        bool is_last, stop;
        uint32_t len = measure(w, &is_last);
        w->jumped = false;
        int r = dir_permission(w->at.dentry->inode, w->env->cred);
        if (r < 0)
            return r;
        if (len > VFS_NAME_MAX)
            return -ENAMETOOLONG;
        if (is_dots(w->rest, len)) {
            if (len == 2 && (r = step_parent(w)) < 0)
                return r;
            w->rest += len;
            if (is_last && last)
                last->kind = (uint8_t)len;
            continue;
        }
        if (is_last && last) {
            if ((r = stop_before(w, len, &stop)) < 0)
                return r;
            if (stop) {
                *last_name = kstrndup(w->rest, len);
                *last = (struct last_component){
                    .name = *last_name, .len = len, .trailing_slash = w->trailing_slash};
                return *last_name ? 0 : -ENOMEM;
            }
        }
        r = step_name(w, len, is_last, (w->flags & LOOKUP_FOLLOW) || w->trailing_slash);
        if (r < 0)
            return r;
    }
    if (((w->flags & LOOKUP_DIRECTORY) || w->trailing_slash) && !inode_is_dir(w->at.dentry->inode))
        return -ENOTDIR;
    return 0;
}

int path_walk_slow(const struct walk_env *env, const char *name, uint32_t flags, struct path *ret,
                   char **last_name, struct last_component *last)
{
    struct walk w = {.env = env, .flags = flags, .root = env->root, .rest = name};
    if (flags & LOOKUP_SCOPED)
        w.root = env->start;
    if (name[0] == '/' && (flags & LOOKUP_BENEATH))
        return -EXDEV;
    w.at = name[0] == '/' ? w.root : env->start;
    if ((flags & LOOKUP_NO_XDEV) && name[0] == '/' && w.root.mount != env->start.mount)
        return -EXDEV;
    path_get(&w.root);
    path_get(&w.at);
    if (last)
        last->kind = 3;
    int r = walk_loop(&w, last_name, last);
    kfree(w.text);
    path_put(&w.root);
    if (r < 0)
        path_put(&w.at);
    else
        *ret = w.at;
    return r;
}

int walk_env_init(struct task *t, int dirfd, const char *name, uint32_t flags, struct walk_env *env)
{
    env->cred = t->cred;
    fs_get_root(t, &env->root);
    if (name[0] == '/' && !(flags & (LOOKUP_SCOPED | LOOKUP_NO_XDEV))) {
        env->start = env->root;
        path_get(&env->start);
        return 0;
    }
    if (dirfd == AT_FDCWD) {
        fs_get_cwd(t, &env->start);
        return 0;
    }
    struct file *f = fd_get(t, dirfd);
    int r = -EBADF;
    if (f && f->path.dentry) {
        env->start = f->path;
        path_get(&env->start);
        r = !name[0] || inode_is_dir(f->inode) ? 0 : -ENOTDIR;
        if (r < 0)
            path_put(&env->start);
    }
    file_unref(f);
    if (r < 0)
        path_put(&env->root);
    return r;
}

void walk_env_done(struct walk_env *env)
{
    path_put(&env->start);
    path_put(&env->root);
}

// ---- Entry points ----

int path_lookup(struct task *t, int dirfd, const char *name, uint32_t flags, struct path *ret)
{
    struct walk_env env;
    if (!name[0] && !(flags & LOOKUP_EMPTY))
        return -ENOENT;
    int r = path_walk_fast(t, dirfd, name, flags, ret);
    if (r != -ECHILD)
        return r;
    r = walk_env_init(t, dirfd, name, flags, &env);
    if (r < 0)
        return r;
    r = path_walk_slow(&env, name, flags, ret, NULL, NULL);
    walk_env_done(&env);
    return r;
}

int path_copy_name(struct task *t, uaddr_t name, char small[PATH_SMALL], char **ret)
{
    int64_t n = copy_in_string(t, small, name, PATH_SMALL);
    *ret = small;
    if (n != -ENAMETOOLONG)
        return (int)n;
    char *big = kmalloc(VFS_PATH_MAX);
    if (!big)
        return -ENOMEM;
    n = copy_in_string(t, big, name, VFS_PATH_MAX);
    if (n < 0) {
        kfree(big);
        return (int)n;
    }
    *ret = big;
    return (int)n;
}

int path_lookup_user(struct task *t, int dirfd, uaddr_t name, uint32_t flags, struct path *ret)
{
    char small[PATH_SMALL], *text;
    int r = path_copy_name(t, name, small, &text);
    if (r < 0)
        return r;
    r = path_lookup(t, dirfd, text, flags, ret);
    path_name_done(small, text);
    return r;
}

void last_component_of(char *name, struct last_component *last)
{
    uint64_t end = strlen(name), size = end;
    while (end > 0 && name[end - 1] == '/')
        end--;
    uint64_t start = end;
    while (start > 0 && name[start - 1] != '/')
        start--;
    *last = (struct last_component){
        .name = name + start, .len = (uint32_t)(end - start), .trailing_slash = end != size};
    if (last->len == 0)
        last->kind = 3;
    else if (is_dots(name + start, last->len))
        last->kind = (uint8_t)last->len;
}

int path_lookup_parent(struct task *t, int dirfd, char *name, uint32_t flags, struct path *ret,
                       struct last_component *last)
{
    if (!name[0])
        return -ENOENT;
    last_component_of(name, last);
    if (last->kind == 3) // nothing but slashes
        return path_lookup(t, dirfd, name, flags | LOOKUP_DIRECTORY, ret);
    char kept = last->name[0];
    last->name[0] = 0; // what stands before it, up to and with the slash
    int r =
        path_lookup(t, dirfd, name, flags | LOOKUP_DIRECTORY | LOOKUP_EMPTY | LOOKUP_FOLLOW, ret);
    last->name[0] = kept;
    if (r < 0)
        return r;
    r = dir_permission(ret->dentry->inode, t->cred);
    if (r == 0 && last->len > VFS_NAME_MAX)
        r = -ENAMETOOLONG;
    if (r < 0)
        path_put(ret);
    return r;
}
