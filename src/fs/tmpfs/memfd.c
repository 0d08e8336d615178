// Files of a tmpfs that is mounted nowhere: memfds with their seals, shared anonymous memory.
#include <stdio.h>

#include "fs/tmpfs/tmpfs-int.h"
#include "mm/backing.h"

#define F_SEAL_ALL                                                                    \
    (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | \
     TMPFS_SEAL_EXEC)

static int unnamed(const char *text, uint32_t mode, const struct cred *cred, struct file **ret)
{
    struct vfs *v = the_vfs();
    int r;
    struct inode *inode = tmpfs_new_inode(v->shm_sb, NULL, S_IFREG | mode, 0, cred, &r);
    if (!inode)
        return r;
    inode->nlink = 0;
    struct dentry *d = dentry_new(v->shm_sb, NULL, text, (uint32_t)strlen(text), inode);
    if (!d)
        return -ENOMEM;
    struct file *f = file_alloc(O_RDWR | 0100000, cred);
    if (!f) {
        dentry_unref(d);
        return -ENFILE;
    }
    f->path = (struct path){.mount = mount_ref(v->shm_mount), .dentry = d};
    f->inode = inode;
    f->seekable = f->pos_shared = true;
    (void)tmpfs_open_below(inode, f);
    // Not a writer in the sense of ETXTBSY: as on Linux, a memfd can be executed while it is open.
    *ret = f;
    return 0;
}

int tmpfs_unnamed_create(const char *text, uint64_t size, uint32_t mode, const struct cred *cred,
                         struct file **ret)
{
    struct file *f;
    if (size > MEMFILE_LARGE)
        return -EINVAL;
    int r = unnamed(text, mode, cred, &f);
    if (r < 0)
        return r;
    f->inode->size = size;
    *ret = f;
    return 0;
}

struct file *file_create_anon_shared(uint64_t size)
{
    struct task *t = current_task();
    struct file *f;
    int r = tmpfs_unnamed_create("dev/zero", size, 0777, t ? t->cred : the_vfs()->kernel_cred, &f);
    return r < 0 ? NULL : f;
}

int tmpfs_memfd_create(struct task *t, const char *name, uint32_t seals, uint32_t mode,
                       struct file **ret)
{
    char text[VFS_NAME_MAX + 1];
    int n = snprintf(text, sizeof(text), "memfd:%s", name);
    if (n < 0 || (size_t)n >= sizeof(text))
        return -EINVAL;
    int r = unnamed(text, mode, t->cred, ret);
    if (r == 0)
        (*ret)->inode->seals = seals;
    return r;
}

// Files of a tmpfs; those of an overlay above one are none.
static bool can_be_sealed(const struct file *f)
{
    return f->type == FILE_TMPFS && f->priv == f->inode && f->path.mount->sb->type == SUPER_TMPFS;
}

int tmpfs_add_seals(struct file *f, uint32_t seals)
{
    if (!can_be_sealed(f))
        return -EINVAL;
    struct inode *inode = f->priv;
    int r = 0;
    if (!f->writable)
        return -EPERM;
    if (seals & ~(uint32_t)F_SEAL_ALL)
        return -EINVAL;
    lock_take(&inode->dir_lock); // no write is under way
    if (inode->seals & F_SEAL_SEAL)
        r = -EPERM;
    else if ((seals & F_SEAL_WRITE) && !(inode->seals & F_SEAL_WRITE) &&
             __atomic_load_n((uint32_t *)&inode->writable_maps, __ATOMIC_ACQUIRE))
        r = -EBUSY;
    if (r == 0) {
        // F_SEAL_EXEC fixes the mode's x bits, and with them set also the contents.
        if ((seals & TMPFS_SEAL_EXEC) && (inode->mode & 0111))
            seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
        lock_take(&inode->lock);
        inode->seals |= seals;
        lock_release(&inode->lock);
    }
    lock_release(&inode->dir_lock);
    return r;
}

int tmpfs_get_seals(struct file *f)
{
    return can_be_sealed(f) ? (int)f->inode->seals : -EINVAL;
}
