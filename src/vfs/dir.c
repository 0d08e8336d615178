// Reading directories: the buffer that getdents fills, and the generic directory over a complete name cache.
//
// Positions ("cookies") are stable while entries come and go: 0 and 1 are "." and "..", the rest are each child's own number,
// which only grows along the list of children. file.priv2 of a generic directory is the cookie at which this reading ends.
#include <dirent.h>

#include "abi/dirent.h"
#include "mm/copy.h"
#include "vfs/vfs-int.h"

uint32_t mode_to_dtype(uint32_t mode)
{
    return (mode & S_IFMT) >> 12; // DT_* are the same numbers
}

bool dir_emit(struct dir_emit *d, const char *name, uint32_t len, uint64_t ino, uint32_t dtype,
              uint64_t next_pos)
{
    uint64_t size;
    uint8_t *out = d->buf + d->used;
    if (d->legacy)
        size = (offsetof(struct linux_dirent, name) + len + 2 + 7) &
               ~7ull; // NUL and the type byte at the end
    else
        size = (offsetof(struct linux_dirent64, name) + len + 1 + 7) & ~7ull;
    if (size > d->size - d->used) {
        if (!d->used)
            d->error = -EINVAL;
        return false;
    }
    memset(out, 0, size);
    if (d->legacy) {
        struct linux_dirent e = {.ino = ino, .off = next_pos, .reclen = (uint16_t)size};
        memcpy(out, &e, offsetof(struct linux_dirent, name));
        memcpy(out + offsetof(struct linux_dirent, name), name, len);
        out[size - 1] = (uint8_t)dtype;
    } else {
        struct linux_dirent64 e = {
            .ino = ino, .off = (int64_t)next_pos, .reclen = (uint16_t)size, .type = (uint8_t)dtype};
        memcpy(out, &e, offsetof(struct linux_dirent64, name));
        memcpy(out + offsetof(struct linux_dirent64, name), name, len);
    }
    d->used += size;
    d->pos = next_pos;
    return true;
}

bool dir_emit_dots(struct file *f, struct dir_emit *d)
{
    if (d->pos == 0 && !dir_emit(d, ".", 1, f->inode->ino, DT_DIR, 1))
        return false;
    if (d->pos == 1) {
        struct dentry *parent = dentry_get_parent(f->path.dentry);
        uint64_t ino = parent->inode ? parent->inode->ino : f->inode->ino;
        dentry_unref(parent);
        return dir_emit(d, "..", 2, ino, DT_DIR, 2);
    }
    return true;
}

int generic_dir_iterate(struct file *f, struct dir_emit *d)
{
    struct dentry *dir = f->path.dentry, *child;
    bool from_start = d->pos == 0;
    if (!dir_emit_dots(f, d))
        return d->error;
    lock_take(&dir->lock);
    // What is made from now on isn't shown: the reader would never come to an end behind a busy maker.
    if (from_start || f->priv2 == 0)
        f->priv2 = dir->next_cookie;
    list_for_each (child, &dir->children, sibling) {
        struct inode *inode = child->inode;
        if (child->cookie < d->pos || !inode)
            continue;
        if (child->cookie >= f->priv2)
            break;
        if (!dir_emit(d, child->name, child->name_len, inode->ino, mode_to_dtype(inode->mode),
                      child->cookie + 1))
            break;
    }
    lock_release(&dir->lock);
    return d->error;
}

// Any position may be asked for; what lies at it is found out when it is read.
int64_t dir_seek(struct file *f, int64_t offset, int whence)
{
    int64_t pos = offset;
    if (whence == SEEK_CUR && __builtin_add_overflow((int64_t)f->pos, offset, &pos))
        return -EOVERFLOW;
    if (whence != SEEK_SET && whence != SEEK_CUR)
        return -EINVAL;
    if (pos < 0)
        return -EINVAL;
    f->pos = (uint64_t)pos;
    return pos;
}

static int dir_sync(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    return 0; // the cache is all there is
}

const struct file_ops dir_file_ops = {
    .iterate = generic_dir_iterate,
    .seek = dir_seek,
    .sync = dir_sync,
};
