// What happens to descriptors, root and working directory when tasks are made, exec and end (kernel/task.h's upcalls).
#include <sched.h>

#include "base/slab.h"
#include "sandbox/boot-spec.h"
#include "vfs/vfs-int.h"

static void set_files(struct task *t, struct fd_table *table)
{
    lock_take(&t->lock);
    struct fd_table *old = t->files;
    t->files = table;
    lock_release(&t->lock);
    fd_table_unref(old);
}

static void set_fs(struct task *t, struct fs_context *fs)
{
    lock_take(&t->lock);
    struct fs_context *old = t->fs;
    t->fs = fs;
    lock_release(&t->lock);
    fs_context_unref(old);
}

int files_clone(struct task *parent, struct task *child, uint64_t clone_flags)
{
    struct fd_table *table = clone_flags & CLONE_FILES ? fd_table_ref(parent->files)
                                                       : fd_table_copy(parent->files, UINT32_MAX);
    if (!table)
        return -ENOMEM;
    struct fs_context *fs =
        clone_flags & CLONE_FS ? fs_context_ref(parent->fs) : fs_context_copy(parent->fs);
    if (!fs) {
        fd_table_unref(table);
        return -ENOMEM;
    }
    child->files = table;
    child->fs = fs;
    return 0;
}

void files_exit(struct task *t)
{
    set_files(t, NULL);
    set_fs(t, NULL);
}

int files_unshare_table(struct task *t, uint32_t max)
{
    if (refcount_read(&t->files->refs) == 1)
        return 0;
    struct fd_table *table = fd_table_copy(t->files, max);
    if (!table)
        return -ENOMEM;
    set_files(t, table);
    return 0;
}

int files_unshare_fs(struct task *t)
{
    if (refcount_read(&t->fs->refs) == 1)
        return 0;
    struct fs_context *fs = fs_context_copy(t->fs);
    if (!fs)
        return -ENOMEM;
    set_fs(t, fs);
    return 0;
}

int files_unshare(struct task *t)
{
    int r = files_unshare_table(t, UINT32_MAX);
    if (r < 0)
        return r;
    fd_table_close_on_exec(t);
    return 0;
}

int vfs_init_task(struct task *init)
{
    struct kernel *k = the_kernel();
    struct fd_table *table = fd_table_alloc(0);
    struct fs_context *fs = fs_context_alloc();
    if (!table || !fs) {
        fd_table_unref(table);
        fs_context_unref(fs);
        return -ENOMEM;
    }
    struct path root = {.mount = k->mounts->root, .dentry = k->mounts->root->root};
    path_get(&root);
    path_step_down(&root);
    fs->ns = mount_ns_ref(k->mounts);
    fs_set_root(fs, &root);
    fs_set_cwd(fs, &root);
    path_put(&root);
    fs->umask = k->spec ? k->spec->umask & 0777 : 022;
    init->files = table;
    init->fs = fs;
    return 0;
}

int vfs_init_cwd(struct task *init)
{
    struct path p;
    const char *cwd = the_kernel()->spec ? the_kernel()->spec->cwd : "/";
    int r = path_lookup(init, AT_FDCWD, cwd, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);
    if (r == 0 && (r = dir_permission(p.dentry->inode, init->cred)) == 0)
        fs_set_cwd(init->fs, &p);
    if (r >= 0)
        path_put(&p);
    return r;
}
