// statfs(2), ustat(2).
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "abi/stat.h"
#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

#define ST_VALID_BIT 0x20 // the flags below are filled in

static int get_statfs(struct super_block *sb, struct kstatfs *out)
{
    const struct super_ops *ops = super_ops(sb);
    if (ops->statfs)
        return ops->statfs(sb, out);
    *out = (struct kstatfs){
        .type = sb->magic, .bsize = PAGE_SIZE, .frsize = PAGE_SIZE, .namelen = VFS_NAME_MAX};
    out->fsid = sb->dev;
    return 0;
}

static int64_t mount_flags_to_linux(const struct mount *m)
{
    static const struct {
        uint32_t ms;
        int64_t st;
    } table[] = {
        {MS_RDONLY, ST_RDONLY},     {MS_NOSUID, ST_NOSUID},   {MS_NODEV, ST_NODEV},
        {MS_NOEXEC, ST_NOEXEC},     {MS_NOATIME, ST_NOATIME}, {MS_NODIRATIME, ST_NODIRATIME},
        {MS_RELATIME, ST_RELATIME},
    };
    int64_t flags = ST_VALID_BIT | (m->sb->read_only ? ST_RDONLY : 0);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (m->flags & table[i].ms)
            flags |= table[i].st;
    }
    return flags;
}

static int64_t put_statfs(struct task *t, const struct path *p, uaddr_t buf)
{
    struct kstatfs k;
    int r = get_statfs(p->dentry->sb, &k);
    if (r < 0)
        return r;
    struct linux_statfs s = {
        .type = (int64_t)k.type,
        .bsize = (int64_t)k.bsize,
        .blocks = k.blocks,
        .bfree = k.bfree,
        .bavail = k.bavail,
        .files = k.files,
        .ffree = k.ffree,
        .fsid = {(int32_t)k.fsid, (int32_t)(k.fsid >> 32)},
        .namelen = (int64_t)k.namelen,
        .frsize = (int64_t)(k.frsize ? k.frsize : k.bsize),
        .flags = mount_flags_to_linux(p->mount),
    };
    return copy_out_value(t, buf, &s);
}

int64_t sys_statfs(struct task *t, uaddr_t path, uaddr_t buf)
{
    struct path p;
    int64_t r = path_lookup_user(t, AT_FDCWD, path, LOOKUP_FOLLOW, &p);
    if (r < 0)
        return r;
    r = put_statfs(t, &p, buf);
    path_put(&p);
    return r;
}

int64_t sys_fstatfs(struct task *t, int fd, uaddr_t buf)
{
    struct file *f = fd_get(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = put_statfs(t, &f->path, buf);
    file_unref(f);
    return r;
}

int64_t sys_ustat(struct task *t, uint64_t dev, uaddr_t buf)
{
    struct {
        int32_t free;
        int32_t pad;
        uint64_t inodes;
        char name[6], pack[6];
        int32_t pad2;
    } u = {0};
    struct mount_ns *ns = t->fs->ns;
    struct super_block *sb = NULL;
    struct mount *m;
    struct kstatfs k;
    lock_take(&ns->lock);
    list_for_each (m, &ns->mounts, node) {
        if (m->sb->dev == (uint32_t)dev) {
            sb = m->sb;
            refcount_get(&sb->refs);
            break;
        }
    }
    lock_release(&ns->lock);
    if (!sb)
        return -EINVAL;
    int r = get_statfs(sb, &k);
    super_unref(sb);
    if (r < 0)
        return r;
    u.free = (int32_t)MIN(k.bfree, INT32_MAX);
    u.inodes = k.ffree;
    return copy_out_value(t, buf, &u);
}
