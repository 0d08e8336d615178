// open(2), openat2(2): from a path to an open file.
//
// O_CREAT first tries the walk for an existing file, then walks to the directory of the last component (final symlinks followed)
// and decides under that directory's dir_lock. What may be opened is checked in one place, file_open_checked().
#include <linux/capability.h>
#include <sys/inotify.h>
#include <sys/sysmacros.h>

#include "base/slab.h"
#include "vfs/hooks.h"
#include "vfs/mount-int.h"
#include "vfs/vfs-int.h"

// What F_GETFL shows of open's flags.
#define KEPT_FLAGS                                                                           \
    (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_ASYNC | O_DIRECT | O_NOATIME | \
     O_PATH | O_DIRECTORY | O_NOFOLLOW | LARGEFILE)
#define LARGEFILE   0100000 // O_LARGEFILE as the 64-bit kernel shows it; glibc's constant is 0 here
#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)

static int access_mask(uint32_t flags)
{
    static const int masks[4] = {4, 2, 6, 6};
    return masks[flags & O_ACCMODE];
}

// Permission and type rules; created: the file is new, its mode does not bind the creator.
static int may_open(struct task *t, const struct path *p, uint32_t flags, bool created)
{
    struct inode *inode = p->dentry->inode;
    uint32_t mode = inode->mode;
    int mask = access_mask(flags) | (flags & O_TRUNC ? 2 : 0);
    if (S_ISLNK(mode))
        return -ELOOP;
    if ((flags & O_DIRECTORY) && !S_ISDIR(mode))
        return -ENOTDIR;
    if (S_ISDIR(mode) && ((mask & 2) || (flags & O_CREAT)))
        return -EISDIR;
    if ((S_ISCHR(mode) || S_ISBLK(mode)) && (p->mount->flags & MS_NODEV) && inode->type != INODE_HOST_STDIO)
        return -EACCES;
    bool plain = S_ISREG(mode) || S_ISDIR(mode);
    if (created)
        return 0;
    if (flags & FILE_OPEN_EXEC) {
        mask = 1;
        if (!S_ISREG(mode) || (p->mount->flags & MS_NOEXEC))
            return -EACCES;
    }
    // A read-only file system comes before permission for what may be written otherwise, inode_permission(9).
    if ((mask & 2) && plain && p->dentry->sb->read_only)
        return -EROFS;
    int r = inode_permission(inode, t->cred, mask);
    if (r < 0)
        return r;
    if ((mask & 2) && plain && (r = mount_want_write(p->mount)) < 0)
        return r;
    if ((flags & O_NOATIME) && !inode_owner_or_capable(inode, t->cred))
        return -EPERM;
    return 0;
}

// The type's open: sets f->type and f->priv.
static int open_by_type(struct task *t, struct file *f)
{
    struct inode *inode = f->inode;
    const struct inode_ops *ops = inode_ops(inode);
    switch (inode->mode & S_IFMT) {
    case S_IFIFO:
        if (inode->type == INODE_HOST_STDIO)
            break;
        return fifo_open ? fifo_open(t, inode, f) : -ENXIO;
    case S_IFSOCK:
    case S_IFBLK:
        return -ENXIO;
    case S_IFCHR:
        if (inode->type == INODE_TMPFS_OTHER || inode->type == INODE_HOSTFS ||
            inode->type == INODE_OVERLAY)
            return chrdev_open(inode, f, t);
        break;
    default:
        f->seekable = f->pos_shared = true;
        break;
    }
    if (ops->open)
        return ops->open(inode, f);
    if (!inode_is_dir(inode))
        return -ENXIO;
    f->type = FILE_DIR;
    return 0;
}

static int take_write_access(struct file *f)
{
    int r = S_ISREG(f->inode->mode) ? file_get_write_access(f->inode) : 0;
    if (r < 0)
        return r;
    f->write_access = S_ISREG(f->inode->mode);
    f->mount_writer = true;
    __atomic_fetch_add((uint32_t *)&f->path.mount->writers, 1, __ATOMIC_ACQ_REL);
    return 0;
}

static int file_open_checked(struct task *t, const struct path *p, uint32_t flags, bool created,
                             struct file **ret)
{
    int r = may_open(t, p, flags, created);
    if (r < 0)
        return r;
    struct file *f = file_alloc((flags & (KEPT_FLAGS | O_NOCTTY)) | LARGEFILE, t->cred);
    if (!f)
        return -ENFILE;
    f->path = *p;
    path_get(&f->path);
    f->inode = p->dentry->inode;
    if (f->writable || (flags & O_TRUNC))
        r = take_write_access(f);
    if (r == 0)
        r = open_by_type(t, f);
    f->flags &= ~(uint32_t)O_NOCTTY; // a terminal's open looked at it; F_GETFL does not show it
    if (r == 0 && (flags & O_TRUNC) && S_ISREG(f->inode->mode) && !created)
        r = vfs_truncate(t, f->inode, 0);
    if (r == 0 && (flags & O_TRUNC) && !created)
        vfs_notify(f->inode, f->path.dentry, IN_MODIFY);
    if (r == 0 && f->write_access && !f->writable) { // O_RDONLY | O_TRUNC
        file_put_write_access(f->inode);
        f->write_access = false;
    }
    if (r < 0) {
        file_unref(f);
        return r;
    }
    vfs_notify(f->inode, f->path.dentry, IN_OPEN);
    *ret = f;
    return 0;
}

int file_open_resolved(struct task *t, const struct path *path, uint32_t flags, struct file **ret)
{
    return file_open_checked(t, path, flags, false, ret);
}

static int open_path_only(struct task *t, const struct path *p, uint32_t flags, struct file **ret)
{
    if ((flags & O_DIRECTORY) && !inode_is_dir(p->dentry->inode))
        return -ENOTDIR;
    struct file *f = file_alloc(flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW), t->cred);
    if (!f)
        return -ENFILE;
    f->path = *p;
    path_get(&f->path);
    f->inode = p->dentry->inode;
    f->type = FILE_PATH;
    *ret = f;
    return 0;
}

// The last component of an O_CREAT walk, under dir_lock. *ret: what is there now, positive, with a reference.
static int create_locked(struct task *t, const struct path *dir, const struct last_component *last,
                         uint32_t flags, uint32_t mode, struct path *ret, bool *created)
{
    struct dentry *d;
    int r = dentry_lookup_locked(dir->dentry, last->name, last->len, &d);
    if (r < 0)
        return r;
    *created = false;
    if (!d->inode) {
        if (last->trailing_slash)
            r = -EISDIR;
        else
            r = vfs_create_locked(
                t, dir, d, S_IFREG | (mode_for_create(t, dir->dentry->inode, mode) & 07777), 0);
        *created = true;
    } else if (flags & O_EXCL) {
        r = -EEXIST;
    } else if (last->trailing_slash) {
        r = -EISDIR;
    }
    if (r < 0) {
        dentry_unref(d);
        return r;
    }
    *ret = (struct path){.mount = mount_ref(dir->mount), .dentry = d};
    return 0;
}

// One attempt of O_CREAT. -EAGAIN - never returned by what it calls here - stands for "look again": the name became a symlink.
static int open_create_once(struct task *t, const struct walk_env *env, const char *name,
                            uint32_t flags, uint32_t mode, uint32_t lookup_flags, struct file **ret)
{
    struct path dir, p;
    struct last_component last = {0};
    char *last_name = NULL;
    bool created = false;
    if ((flags & O_EXCL) || (flags & O_NOFOLLOW))
        lookup_flags &= ~(uint32_t)LOOKUP_FOLLOW;
    int r = path_walk_slow(env, name, lookup_flags, &dir, &last_name, &last);
    if (r < 0)
        return r;
    if (!last_name) { // ".", "..", "/", or what a magic link led to
        if (flags & O_EXCL)
            r = -EEXIST;
        else if (inode_is_dir(dir.dentry->inode))
            r = -EISDIR;
        else
            r = file_open_checked(t, &dir, flags, false, ret);
        path_put(&dir);
        return r;
    }
    if ((r = dir_permission(dir.dentry->inode, t->cred)) == 0) {
        lock_take(&dir.dentry->inode->dir_lock);
        r = create_locked(t, &dir, &last, flags, mode, &p, &created);
        lock_release(&dir.dentry->inode->dir_lock);
    }
    kfree(last_name);
    path_put(&dir);
    if (r < 0)
        return r;
    if (!created)
        path_step_down(&p);
    if (S_ISLNK(p.dentry->inode->mode) && !(flags & O_NOFOLLOW))
        r = -EUCLEAN; // replaced since the walk
    else
        r = file_open_checked(t, &p, flags, created, ret);
    path_put(&p);
    return r;
}

static int open_create(struct task *t, int dirfd, const char *name, uint32_t flags, uint32_t mode,
                       uint32_t lookup_flags, struct file **ret)
{
    struct walk_env env;
    int r = walk_env_init(t, dirfd, name, lookup_flags, &env);
    if (r < 0)
        return r;
    for (int tries = 0; tries < 64; tries++) {
        r = open_create_once(t, &env, name, flags, mode, lookup_flags, ret);
        if (r != -EUCLEAN)
            break;
    }
    walk_env_done(&env);
    return r == -EUCLEAN ? -ELOOP : r;
}

static int open_tmpfile(struct task *t, int dirfd, const char *name, uint32_t flags, uint32_t mode,
                        uint32_t lookup_flags, struct file **ret)
{
    struct path dir, p;
    int r = path_lookup(t, dirfd, name, lookup_flags | LOOKUP_DIRECTORY, &dir);
    if (r < 0)
        return r;
    r = vfs_tmpfile(t, &dir, S_IFREG | (mode_for_create(t, dir.dentry->inode, mode) & 07777), &p);
    path_put(&dir);
    if (r < 0)
        return r;
    r = file_open_checked(t, &p, flags & ~(uint32_t)(O_TMPFILE | O_EXCL), true, ret);
    if (r == 0 && (flags & O_EXCL))
        (*ret)->inode->flags |= INODE_NO_LINK;
    path_put(&p);
    return r;
}

static int open_path_once(struct task *t, int dirfd, const char *name, uint32_t flags, uint32_t mode,
                          uint32_t lookup_flags, struct file **ret)
{
    struct path p;
    if (!(flags & O_NOFOLLOW))
        lookup_flags |= LOOKUP_FOLLOW;
    if (flags & TMPFILE_BIT)
        return open_tmpfile(t, dirfd, name, flags, mode, lookup_flags, ret);
    if (!name[0])
        return -ENOENT;
    if (flags & O_CREAT) {
        if (flags & O_DIRECTORY)
            return -EINVAL;
        if (!(flags & O_EXCL) && lookup_flags == LOOKUP_FOLLOW &&
            path_walk_fast(t, dirfd, name, lookup_flags, &p) == 0) {
            int r = name[strlen(name) - 1] == '/' ? -EISDIR
                                                  : file_open_checked(t, &p, flags, false, ret);
            path_put(&p);
            return r;
        }
        return open_create(t, dirfd, name, flags, mode, lookup_flags, ret);
    }
    if (flags & O_DIRECTORY)
        lookup_flags |= LOOKUP_DIRECTORY;
    int r = path_lookup(t, dirfd, name, lookup_flags, &p);
    if (r < 0)
        return r;
    r = flags & O_PATH ? open_path_only(t, &p, flags, ret)
                       : file_open_checked(t, &p, flags, false, ret);
    path_put(&p);
    return r;
}

int file_open_path(struct task *t, int dirfd, const char *name, uint32_t flags, uint32_t mode,
                   uint32_t lookup_flags, struct file **ret)
{
    int r = open_path_once(t, dirfd, name, flags, mode, lookup_flags, ret);
    // The name has been given to another file behind the cache's back, which the file system noticed and told the cache.
    return r == -ESTALE ? open_path_once(t, dirfd, name, flags, mode, lookup_flags, ret) : r;
}
