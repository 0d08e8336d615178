// devtmpfs: a tmpfs that is filled with the device nodes and links that every container expects, devtmpfs and the OCI
// specification's default devices. The nodes are ordinary: a guest that may can remove them and make others.
#include <sys/sysmacros.h>

#include "base/strbuf.h"
#include "fs/tmpfs/tmpfs.h"
#include "vfs/vfs-int.h"

static const struct {
    const char *name;
    uint32_t mode;
    uint32_t major, minor;
} nodes[] = {
    {"null", S_IFCHR | 0666, 1, 3},    {"zero", S_IFCHR | 0666, 1, 5},
    {"full", S_IFCHR | 0666, 1, 7},    {"random", S_IFCHR | 0666, 1, 8},
    {"urandom", S_IFCHR | 0666, 1, 9}, {"kmsg", S_IFCHR | 0644, 1, 11},
    {"tty", S_IFCHR | 0666, 5, 0},
};

static const struct {
    const char *name, *target;
} links[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},         {"core", "/proc/kcore"},
};

static const char *const dirs[] = {"pts", "shm", "mqueue"};

static int fill(struct inode *root)
{
    const struct inode_ops *ops = inode_ops(root);
    const struct cred *cred = the_vfs()->kernel_cred;
    struct inode *inode;
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(nodes) && r == 0; i++) {
        r = ops->create(root, nodes[i].name, (uint32_t)strlen(nodes[i].name), nodes[i].mode,
                        makedev(nodes[i].major, nodes[i].minor), cred, &inode);
        if (r == 0)
            inode_unref(inode);
    }
    for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++) {
        r = ops->symlink(root, links[i].name, (uint32_t)strlen(links[i].name), links[i].target,
                         cred, &inode);
        if (r == 0)
            inode_unref(inode);
    }
    for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++) {
        uint32_t mode = S_IFDIR | (strcmp(dirs[i], "pts") ? 01777 : 0755);
        r = ops->mkdir(root, dirs[i], (uint32_t)strlen(dirs[i]), mode, cred, &inode);
        if (r == 0)
            inode_unref(inode);
    }
    return r;
}

static int devtmpfs_mount(struct task *t, const char *source, const char *options,
                          struct super_block **ret)
{
    struct tmpfs_options o = {.mode = 0755, .max_pages = 16384, .max_inodes = 65536};
    struct super_block *sb;
    int r = tmpfs_parse_options(options, &o);
    if (r == 0)
        r = tmpfs_super_create(SUPER_DEVTMPFS, &o, &sb);
    if (r < 0)
        return r;
    // Filled below the cache, so what the cache knows of the root begins anew.
    __atomic_fetch_and(&sb->root->flags, ~(uint32_t)DENTRY_COMPLETE, __ATOMIC_ACQ_REL);
    r = fill(sb->root->inode);
    if (r < 0) {
        super_kill(sb);
        super_unref(sb);
        return r;
    }
    *ret = sb;
    return 0;
}

static int devtmpfs_statfs(struct super_block *sb, struct kstatfs *out)
{
    return super_ops_by_type(SUPER_TMPFS)->statfs(sb, out);
}

static int devtmpfs_sync(struct super_block *sb)
{
    return 0;
}

static void devtmpfs_show_options(struct super_block *sb, struct strbuf *out)
{
    super_ops_by_type(SUPER_TMPFS)->show_options(sb, out);
}

static void devtmpfs_destroy(struct super_block *sb)
{
    super_ops_by_type(SUPER_TMPFS)->destroy(sb);
}

const struct super_ops devtmpfs_super_ops = {
    .name = "devtmpfs",
    .flags = SUPER_MOUNTABLE | SUPER_NODEV,
    .mount = devtmpfs_mount,
    .statfs = devtmpfs_statfs,
    .sync = devtmpfs_sync,
    .show_options = devtmpfs_show_options,
    .destroy = devtmpfs_destroy,
};
