// A task's root, working directory, umask and mount namespace.
//
// fs_context.lock guards root and cwd; fs_context.seq is odd while they change, for walkers that note them without the lock.
#include "base/slab.h"
#include "vfs/vfs-int.h"

SLAB_TYPE(fs_type, SLAB_FS_CONTEXT, struct fs_context);

struct fs_context *fs_context_alloc(void)
{
    struct fs_context *fs = slab_alloc(&fs_type);
    if (fs) {
        refcount_init(&fs->refs, 1);
        lock_init(&fs->lock, LOCK_RANK_FS_CONTEXT);
        fs->umask = 022;
    }
    return fs;
}

struct fs_context *fs_context_copy(struct fs_context *old)
{
    struct fs_context *fs = fs_context_alloc();
    if (!fs)
        return NULL;
    lock_take(&old->lock);
    fs->root = old->root;
    fs->cwd = old->cwd;
    fs->umask = old->umask;
    fs->ns = mount_ns_ref(old->ns);
    path_get(&fs->root);
    path_get(&fs->cwd);
    lock_release(&old->lock);
    return fs;
}

struct fs_context *fs_context_ref(struct fs_context *fs)
{
    refcount_get(&fs->refs);
    return fs;
}

void fs_context_unref(struct fs_context *fs)
{
    if (!fs || !refcount_put(&fs->refs))
        return;
    path_put(&fs->root);
    path_put(&fs->cwd);
    mount_ns_unref(fs->ns);
    slab_free(&fs_type, fs);
}

void fs_get_root(struct task *t, struct path *out)
{
    struct fs_context *fs = t->fs;
    lock_take(&fs->lock);
    *out = fs->root;
    path_get(out);
    lock_release(&fs->lock);
}

void fs_get_cwd(struct task *t, struct path *out)
{
    struct fs_context *fs = t->fs;
    lock_take(&fs->lock);
    *out = fs->cwd;
    path_get(out);
    lock_release(&fs->lock);
}

static void replace(struct fs_context *fs, struct path *which, const struct path *p)
{
    path_get(p);
    lock_take(&fs->lock);
    struct path old = *which;
    seq_write_begin(&fs->seq);
    __atomic_store_n(&which->mount, p->mount, __ATOMIC_RELAXED);
    __atomic_store_n(&which->dentry, p->dentry, __ATOMIC_RELAXED);
    seq_write_end(&fs->seq);
    lock_release(&fs->lock);
    path_put(&old);
}

void fs_set_cwd(struct fs_context *fs, const struct path *p)
{
    replace(fs, &fs->cwd, p);
}

void fs_set_root(struct fs_context *fs, const struct path *p)
{
    replace(fs, &fs->root, p);
}

// pivot_root(2): whoever stands at the old root, as root or working directory, moves to the new one.
void fs_replace_root(struct fs_context *fs, const struct path *from, const struct path *to)
{
    lock_take(&fs->lock);
    bool root = fs->root.mount == from->mount && fs->root.dentry == from->dentry;
    bool cwd = fs->cwd.mount == from->mount && fs->cwd.dentry == from->dentry;
    lock_release(&fs->lock);
    if (root)
        replace(fs, &fs->root, to);
    if (cwd)
        replace(fs, &fs->cwd, to);
}
