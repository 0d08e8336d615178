// Changes of directories in an export that allows them: each is one message, and what the cache knows is kept true to it.
#include <linux/fs.h>

#include "base/slab.h"
#include "fs/hostfs/hostfs.h"
#include "vfs/vfs-int.h"

static void dir_changed(struct inode *dir, int links)
{
    struct host_node *n = dir->priv;
    inode_touch(dir, false, true, true);
    lock_take(&dir->lock);
    dir->nlink += (uint32_t)links;
    lock_release(&dir->lock);
    __atomic_store_n((int64_t *)&n->valid_until, 0, __ATOMIC_RELAXED);
}

static int make(struct inode *dir, const char *name, uint32_t len, const struct host_new *new, struct inode **ret)
{
    struct host_node *node;
    struct gofer_attr attr;
    int error = host_node_create(dir->priv, name, len, new, &node, &attr);
    if (error < 0)
        return error;
    *ret = hostfs_inode_for(dir->sb, node, &attr, new->target, new->target ? (uint32_t)strlen(new->target) : 0);
    if (!*ret)
        return -ENOMEM;
    dir_changed(dir, S_ISDIR(new->mode) ? 1 : 0);
    return 0;
}

int hostfs_create(struct inode *dir, const char *name, uint32_t len, uint32_t mode, uint64_t rdev, const struct cred *cred,
                  struct inode **ret)
{
    struct host_new new = {0};
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return -EPERM; // device nodes are never made on the host
    host_new_owner(dir, mode, cred, &new);
    return make(dir, name, len, &new, ret);
}

int hostfs_mkdir(struct inode *dir, const char *name, uint32_t len, uint32_t mode, const struct cred *cred,
                 struct inode **ret)
{
    struct host_new new = {0};
    host_new_owner(dir, S_IFDIR | (mode & 07777), cred, &new);
    return make(dir, name, len, &new, ret);
}

int hostfs_symlink(struct inode *dir, const char *name, uint32_t len, const char *target, const struct cred *cred,
                   struct inode **ret)
{
    struct host_new new = {.target = target};
    host_new_owner(dir, S_IFLNK | 0777, cred, &new);
    return make(dir, name, len, &new, ret);
}

static void add_present_name(struct inode *inode)
{
    char name[GOFER_NAME_MAX + 1];
    struct host_node *dir = host_node_place(inode->priv, name);
    if (!dir)
        return;
    hostfs_add_alias(inode, dir, name, (uint32_t)strlen(name));
    host_node_unref(dir);
}

int hostfs_link(struct inode *dir, const char *name, uint32_t len, struct inode *target)
{
    struct gofer_attr attr;
    int error = host_node_link(target->priv, dir->priv, name, len, &attr);
    if (error < 0)
        return error;
    hostfs_refreshed(target, &attr);
    // Its first name, and the new one.
    hostfs_remember_link(target);
    add_present_name(target);
    hostfs_add_alias(target, dir->priv, name, len);
    dir_changed(dir, 0);
    return 0;
}

static void lost_name(struct inode *victim)
{
    lock_take(&victim->lock);
    if (S_ISDIR(victim->mode))
        victim->nlink = 0;
    else if (victim->nlink > 0)
        victim->nlink--;
    lock_release(&victim->lock);
    inode_touch(victim, false, false, true);
}

int hostfs_unlink(struct inode *dir, const char *name, uint32_t len, struct inode *victim)
{
    int error = host_node_remove(dir->priv, name, len, victim->priv);
    if (error < 0)
        return error;
    lost_name(victim);
    hostfs_drop_alias(victim, dir->priv, name, len);
    dir_changed(dir, S_ISDIR(victim->mode) ? -1 : 0);
    return 0;
}

// host_node_rename() has given the node its new name already.
static void rename_alias(struct inode *inode, struct host_node *from, const char *old, uint32_t old_len, struct host_node *to,
                         const char *new, uint32_t new_len)
{
    hostfs_drop_alias(inode, from, old, old_len);
    hostfs_add_alias(inode, to, new, new_len);
}

int hostfs_rename(struct inode *old_dir, const char *old_name, uint32_t old_len, struct inode *moved, struct inode *new_dir,
                  const char *new_name, uint32_t new_len, struct inode *victim, uint32_t flags)
{
    if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int error = host_node_rename(moved->priv, old_dir->priv, old_name, old_len, new_dir->priv, new_name, new_len,
                                 victim ? victim->priv : NULL, flags);
    if (error < 0)
        return error;
    rename_alias(moved, old_dir->priv, old_name, old_len, new_dir->priv, new_name, new_len);
    if (victim && (flags & RENAME_EXCHANGE))
        rename_alias(victim, new_dir->priv, new_name, new_len, old_dir->priv, old_name, old_len);
    int links = S_ISDIR(moved->mode) ? 1 : 0, lost = 0;
    if (victim && (flags & RENAME_EXCHANGE)) {
        links -= S_ISDIR(victim->mode) ? 1 : 0;
    } else if (victim) {
        lost_name(victim);
        hostfs_drop_alias(victim, new_dir->priv, new_name, new_len);
        lost = S_ISDIR(victim->mode) ? 1 : 0;
    }
    dir_changed(old_dir, -links);
    dir_changed(new_dir, links - lost);
    inode_touch(moved, false, false, true);
    return 0;
}
