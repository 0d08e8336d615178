// Change notification: finds who watches, the file itself or its directory, and tells inotify.
#include <sys/inotify.h>

#include "vfs/hooks.h"
#include "vfs/vfs-int.h"

static void notify_parent(struct dentry *d, uint32_t mask)
{
    // A look without a reference, to be cheap: at worst it reads another directory's empty list.
    struct dentry *at = LOAD_RELAXED(d->parent);
    struct inode *dir_inode = at && at != d ? LOAD_RELAXED(at->inode) : NULL;
    if (!dir_inode || list_empty(&dir_inode->watches))
        return;
    struct dentry *parent = dentry_get_parent(d);
    if (parent->inode && !list_empty(&parent->inode->watches)) {
        char name[VFS_NAME_MAX + 1];
        uint32_t len = dentry_copy_name(d, name);
        // An open file that has lost its name: watches with IN_EXCL_UNLINK don't want to hear of it.
        uint32_t unlinked = dentry_flags(d) & DENTRY_UNHASHED ? IN_EXCL_UNLINK : 0;
        inotify_event(parent->inode, mask | unlinked, 0, name, len);
    }
    dentry_unref(parent);
}

void vfs_notify(struct inode *inode, struct dentry *d, uint32_t mask)
{
    if (!inotify_event)
        return;
    uint32_t dir = inode_is_dir(inode) ? IN_ISDIR : 0;
    if (d)
        notify_parent(d, mask | dir); // the directory hears first, as on Linux
    if (!list_empty(&inode->watches))
        inotify_event(inode, mask | dir, 0, NULL, 0);
}

void vfs_notify_dir(struct inode *dir, uint32_t mask, uint32_t cookie, const char *name,
                    uint32_t len)
{
    if (inotify_event && !list_empty(&dir->watches))
        inotify_event(dir, mask, cookie, name, len);
}
