// stat(2), statx(2), access(2).
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "abi/stat.h"
#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

// From linux/stat.h, which can't stand beside glibc's.
#define STATX_MOUNT_ID            0x1000u // STATX_MNT_ID
#define STATX_ATTR_MOUNT_ROOT_BIT 0x2000
#define STATX_RESERVED            0x80000000u
#define STATX_BASIC               0x7ffu // STATX_BASIC_STATS
#define STATX_BIRTH               0x800u
#define AT_SYNC_TYPE              0x6000 // AT_STATX_SYNC_TYPE

// A consistent copy of the attributes.
struct attributes {
    uint32_t mode, uid, gid, nlink, dev;
    uint64_t ino, rdev, size, blocks;
    struct timespec64 atime, mtime, ctime, btime;
};

static int get_attributes(struct inode *inode, struct attributes *a)
{
    int r = inode_getattr(inode);
    if (r < 0)
        return r;
    lock_take(&inode->lock);
    *a = (struct attributes){
        .mode = inode->mode,
        .uid = inode->uid,
        .gid = inode->gid,
        .nlink = inode->nlink,
        .dev = inode->sb->dev,
        .ino = inode->ino,
        .rdev = inode->rdev,
        .size = inode->size,
        .blocks = inode->blocks,
        .atime = inode->atime,
        .mtime = inode->mtime,
        .ctime = inode->ctime,
        .btime = inode->btime,
    };
    lock_release(&inode->lock);
    return 0;
}

static int64_t put_stat(struct task *t, struct inode *inode, uaddr_t buf)
{
    struct attributes a;
    int r = get_attributes(inode, &a);
    if (r < 0)
        return r;
    struct linux_stat s = {
        .dev = a.dev,
        .ino = a.ino,
        .nlink = a.nlink,
        .mode = a.mode,
        .uid = a.uid,
        .gid = a.gid,
        .rdev = a.rdev,
        .size = (int64_t)a.size,
        .blksize = (int64_t)PAGE_SIZE,
        .blocks = (int64_t)a.blocks,
        .atime = (uint64_t)a.atime.sec,
        .atime_nsec = a.atime.nsec,
        .mtime = (uint64_t)a.mtime.sec,
        .mtime_nsec = a.mtime.nsec,
        .ctime = (uint64_t)a.ctime.sec,
        .ctime_nsec = a.ctime.nsec,
    };
    return copy_out_value(t, buf, &s);
}

static int64_t stat_path(struct task *t, int dirfd, uaddr_t path, uint32_t lookup_flags,
                         uaddr_t buf)
{
    struct path p;
    int64_t r = path_lookup_user(t, dirfd, path, lookup_flags, &p);
    if (r < 0)
        return r;
    r = put_stat(t, p.dentry->inode, buf);
    path_put(&p);
    return r;
}

int64_t sys_stat(struct task *t, uaddr_t path, uaddr_t buf)
{
    return stat_path(t, AT_FDCWD, path, LOOKUP_FOLLOW, buf);
}

int64_t sys_lstat(struct task *t, uaddr_t path, uaddr_t buf)
{
    return stat_path(t, AT_FDCWD, path, 0, buf);
}

int64_t sys_fstat(struct task *t, int fd, uaddr_t buf)
{
    bool borrowed;
    struct file *f = fd_borrow(t, fd, &borrowed);
    if (!f)
        return -EBADF;
    int64_t r = put_stat(t, f->inode, buf);
    fd_return(f, borrowed);
    return r;
}

int64_t sys_newfstatat(struct task *t, int dirfd, uaddr_t path, uaddr_t buf, int flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_SYNC_TYPE))
        return -EINVAL;
    uint32_t lookup_flags = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
    if (flags & AT_EMPTY_PATH) {
        char first;
        // fstat() of glibc: no path to walk.
        if (dirfd >= 0 && copy_in_value(t, &first, path) == 0 && !first)
            return sys_fstat(t, dirfd, buf);
        lookup_flags |= LOOKUP_EMPTY;
    }
    return stat_path(t, dirfd, path, lookup_flags, buf);
}

// ---- statx(2) ----

static struct linux_statx_timestamp to_timestamp(const struct timespec64 *ts)
{
    return (struct linux_statx_timestamp){.sec = ts->sec, .nsec = ts->nsec};
}

static int64_t put_statx(struct task *t, const struct path *p, uaddr_t buf)
{
    struct attributes a;
    int r = get_attributes(p->dentry->inode, &a);
    if (r < 0)
        return r;
    struct linux_statx s = {
        .mask = STATX_BASIC | STATX_MOUNT_ID,
        .blksize = (uint32_t)PAGE_SIZE,
        .attributes_mask = STATX_ATTR_MOUNT_ROOT_BIT,
        .nlink = a.nlink,
        .uid = a.uid,
        .gid = a.gid,
        .mode = (uint16_t)a.mode,
        .ino = a.ino,
        .size = a.size,
        .blocks = a.blocks,
        .atime = to_timestamp(&a.atime),
        .btime = to_timestamp(&a.btime),
        .ctime = to_timestamp(&a.ctime),
        .mtime = to_timestamp(&a.mtime),
        .rdev_major = major(a.rdev),
        .rdev_minor = minor(a.rdev),
        .dev_major = major(a.dev),
        .dev_minor = minor(a.dev),
        .mnt_id = p->mount->id,
    };
    if (a.btime.sec || a.btime.nsec)
        s.mask |= STATX_BIRTH;
    if (p->mount->root == p->dentry)
        s.attributes |= STATX_ATTR_MOUNT_ROOT_BIT;
    return copy_out_value(t, buf, &s);
}

int64_t sys_statx(struct task *t, int dirfd, uaddr_t path, int flags, uint32_t mask, uaddr_t buf)
{
    struct path p;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_SYNC_TYPE))
        return -EINVAL;
    if ((mask & STATX_RESERVED) || (flags & AT_SYNC_TYPE) == AT_SYNC_TYPE)
        return -EINVAL;
    uint32_t lookup_flags = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
                            (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
    int64_t r = path_lookup_user(t, dirfd, path, lookup_flags, &p);
    if (r < 0)
        return r;
    r = put_statx(t, &p, buf);
    path_put(&p);
    return r;
}

// ---- access(2) ----

// Capabilities as exec of a program by the real user would leave them, access(2).
static kernel_cap_t real_capabilities(const struct cred *c)
{
    if (c->securebits & 1) // SECBIT_NOROOT
        return c->effective;
    return c->uid ? 0 : c->permitted;
}

static int64_t check_access(const struct cred *cred, const struct path *p, int mode)
{
    struct inode *inode = p->dentry->inode;
    // A noexec mount refuses execution of files to everybody.
    if ((mode & X_OK) && S_ISREG(inode->mode) && (p->mount->flags & MS_NOEXEC))
        return -EACCES;
    int r = mode == F_OK ? 0 : inode_permission(inode, cred, mode);
    if (r == 0 && (mode & W_OK) &&
        (S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode)))
        r = mount_want_write(p->mount);
    return r;
}

// With the real ids in place of the effective ones, for the walk as well.
static int64_t access_as_real(struct task *t, int dirfd, uaddr_t path, int mode,
                              uint32_t lookup_flags)
{
    char small[PATH_SMALL], *name;
    struct walk_env env;
    struct path p;
    struct cred *real = cred_copy(t->cred);
    if (!real)
        return -ENOMEM;
    real->fsuid = t->cred->uid;
    real->fsgid = t->cred->gid;
    real->effective = real_capabilities(t->cred);
    int64_t r = path_copy_name(t, path, small, &name);
    if (r >= 0) {
        r = !name[0] && !(lookup_flags & LOOKUP_EMPTY)
                ? -ENOENT
                : walk_env_init(t, dirfd, name, lookup_flags, &env);
        if (r == 0) {
            env.cred = real;
            r = path_walk_slow(&env, name, lookup_flags, &p, NULL, NULL);
            walk_env_done(&env);
        }
        path_name_done(small, name);
    }
    if (r == 0) {
        r = check_access(real, &p, mode);
        path_put(&p);
    }
    cred_put(real);
    return r;
}

int64_t sys_faccessat2(struct task *t, int dirfd, uaddr_t path, int mode, int flags)
{
    const struct cred *c = t->cred;
    struct path p;
    if ((mode & ~7) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -EINVAL;
    uint32_t lookup_flags = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
                            (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
    if (!(flags & AT_EACCESS) &&
        (c->fsuid != c->uid || c->fsgid != c->gid || c->effective != real_capabilities(c)))
        return access_as_real(t, dirfd, path, mode, lookup_flags);
    int64_t r = path_lookup_user(t, dirfd, path, lookup_flags, &p);
    if (r < 0)
        return r;
    r = check_access(c, &p, mode);
    path_put(&p);
    return r;
}

int64_t sys_faccessat(struct task *t, int dirfd, uaddr_t path, int mode)
{
    return sys_faccessat2(t, dirfd, path, mode, 0);
}

int64_t sys_access(struct task *t, uaddr_t path, int mode)
{
    return sys_faccessat2(t, AT_FDCWD, path, mode, 0);
}
