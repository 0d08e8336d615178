// What a program may after exec: set-user-ID and set-group-ID bits, file capabilities, and the transformation of capability
// sets (capabilities(7), "Transformation of capabilities during execve()"; Linux: security/commoncap.c).
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <sys/mount.h>

#include "sys/exec-int.h"

#define XATTR_CAPS "security.capability"

struct file_caps {
    bool present, effective;
    kernel_cap_t permitted, inheritable;
};

static int read_file_caps(struct inode *inode, struct file_caps *out)
{
    struct vfs_ns_cap_data data = {0};
    const struct inode_ops *ops = inode_ops(inode);
    int64_t size;
    uint32_t version, words;

    *out = (struct file_caps){0};
    if (!ops->getxattr)
        return 0;
    size = ops->getxattr(inode, XATTR_CAPS, &data, sizeof(data));
    if (size == -ENODATA || size == -EOPNOTSUPP)
        return 0;
    if (size < (int64_t)sizeof(data.magic_etc))
        return size < 0 ? (int)size : -EINVAL;
    version = data.magic_etc & VFS_CAP_REVISION_MASK;
    switch (version) {
    case VFS_CAP_REVISION_1:
        words = VFS_CAP_U32_1;
        break;
    case VFS_CAP_REVISION_2:
    case VFS_CAP_REVISION_3:
        words = VFS_CAP_U32_2;
        break;
    default:
        return -EINVAL;
    }
    // Capabilities for the root of another user namespace don't concern this one.
    if (version == VFS_CAP_REVISION_3 && data.rootid != 0)
        return 0;
    for (uint32_t i = 0; i < words; i++) {
        out->permitted |= (kernel_cap_t)data.data[i].permitted << (32 * i);
        out->inheritable |= (kernel_cap_t)data.data[i].inheritable << (32 * i);
    }
    out->permitted &= CAP_FULL;
    out->inheritable &= CAP_FULL;
    out->effective = data.magic_etc & VFS_CAP_FLAGS_EFFECTIVE;
    out->present = true;
    return 0;
}

static void apply_file_mode(struct exec *e, struct cred *c, const struct inode *inode)
{
    uint32_t mode = __atomic_load_n(&inode->mode, __ATOMIC_RELAXED);

    if (e->t->no_new_privs || (e->program.file->path.mount->flags & MS_NOSUID))
        return;
    if (mode & S_ISUID)
        c->euid = inode->uid;
    if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        c->egid = inode->gid;
}

// Root has what the bounding set allows, unless told otherwise.
static bool apply_root(struct cred *c, const struct file_caps *caps)
{
    if (c->securebits & SECBIT_NOROOT)
        return false;
    // A set-user-ID-root program with file capabilities gets those alone when it isn't run by root.
    if (caps->present && c->euid == 0 && c->uid != 0)
        return false;
    if (c->euid == 0 || c->uid == 0)
        c->permitted = c->bounding | c->inheritable;
    return c->euid == 0;
}

static int transform(struct exec *e, const struct cred *old, struct cred *c, const struct file_caps *caps)
{
    bool effective = caps->effective, ids;

    c->permitted = caps->present ? (caps->permitted & c->bounding) | (caps->inheritable & c->inheritable) : 0;
    if (caps->present && effective && (caps->permitted & ~c->permitted))
        return -EPERM;
    if (apply_root(c, caps))
        effective = true;

    ids = c->euid != old->uid || c->egid != old->gid; // as Linux: what is run with another effective id counts, too
    if ((ids || (c->permitted & ~old->permitted)) && e->t->no_new_privs) {
        c->euid = c->uid;
        c->egid = c->gid;
        c->permitted &= old->permitted;
    }
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    if (caps->present || ids)
        c->ambient = 0;
    c->permitted |= c->ambient;
    c->effective = effective ? c->permitted : c->ambient;
    c->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;

    e->ids_changed = c->euid != old->euid || c->egid != old->egid || c->fsuid != old->fsuid || c->fsgid != old->fsgid ||
                     (c->permitted & ~old->permitted);
    e->secure = ids || c->euid != old->uid || c->egid != old->gid ||
                (c->uid != 0 && (effective || (c->permitted & ~c->ambient)));
    return 0;
}

int exec_prepare_cred(struct exec *e)
{
    const struct cred *old = e->t->cred;
    struct inode *inode = e->program.file->inode;
    struct file_caps caps = {0};
    struct cred *c = cred_copy(old);
    int ret = 0;

    if (!c)
        return -ENOMEM;
    apply_file_mode(e, c, inode);
    // For root the answer wouldn't matter, and asking may cost a message to the gofer.
    if (!e->t->no_new_privs && !(e->program.file->path.mount->flags & MS_NOSUID) &&
        !(old->uid == 0 && c->euid == 0 && !(c->securebits & SECBIT_NOROOT)))
        ret = read_file_caps(inode, &caps);
    if (ret == 0)
        ret = transform(e, old, c, &caps);
    if (ret < 0) {
        cred_put(c);
        return ret;
    }
    e->cred = c;
    return 0;
}
