// overlay: an image of the host below, read-only, and above it what the sandbox makes of it, in the memory file.
//
// The upper layer is not a tree of its own: each directory has a table of the names that are new, changed or gone (table.c), new
// files are inodes of a hidden tmpfs, changed ones keep their inode, and so their number, locks and watches, and get a tmpfs inode
// for their contents (upper.c). A tree of the image that nobody changes has nothing in the upper layer, and costs what hostfs costs.
//
// Locking: ovl_super.lock (an object's) guards all tables; it is held for a look or a change, never over a message or a copy.
// dir_lock of a directory orders look-ups and changes of its names, as everywhere. No lock is held over a copy-up.
#include "base/slab.h"
#include "base/strbuf.h"
#include "fs/overlay/overlay.h"
#include "fs/tmpfs/tmpfs.h"
#include "mm/memfile.h"

enum { OVERLAYFS_MAGIC = 0x794c7630 };

static void ovl_evict(struct inode *inode)
{
    struct ovl_inode *oi = ovl_i(inode);
    if (!oi)
        return;
    ovl_free_table(inode);
    inode->priv = NULL;
    inode_unref(oi->real);
    inode_unref(oi->parent);
    host_node_unref(oi->lower);
    slab_free(&ovl_inode_slab, oi);
}

static int64_t ovl_readlink(struct inode *inode, char *buf, uint64_t size)
{
    char *target = kmalloc(GOFER_LINK_MAX + 1);
    if (!target)
        return -ENOMEM;
    int64_t n = host_node_readlink(ovl_i(inode)->lower, target);
    if (n > 0) {
        n = MIN(n, (int64_t)size);
        memcpy(buf, target, (uint64_t)n);
    }
    kfree(target);
    return n;
}

static int make_upper(struct super_block *sb, struct ovl_super *os)
{
    struct tmpfs_options options = {.mode = 0700};
    int r = tmpfs_super_create(SUPER_TMPFS, &options, &os->upper);
    if (r < 0)
        return r;
    os->upper->dev = sb->dev; // one file system, to the guest
    os->upper->next_ino = 1ull << 40; // apart from the host's numbers
    return 0;
}

static int ovl_mount(struct task *t, const char *source, const char *options, struct super_block **ret)
{
    struct host_node *lower;
    struct gofer_attr attr;
    int id = host_export_number(options);
    if (t || id < 0)
        return -ENODEV; // the start's own business: guests mount none
    int r = host_export_open((uint32_t)id, &lower, &attr);
    if (r < 0)
        return r;
    struct super_block *sb = super_alloc(SUPER_OVERLAY);
    struct ovl_super *os = sb ? kmalloc(sizeof(*os)) : NULL;
    if (!os) {
        super_unref(sb);
        host_node_unref(lower);
        return -ENOMEM;
    }
    lock_init(&os->lock, LOCK_RANK_OBJECT);
    wait_queue_init(&os->copied);
    sb->priv = os;
    sb->magic = OVERLAYFS_MAGIC;
    sb->max_size = INT64_MAX;
    r = make_upper(sb, os);
    struct inode *root = r == 0 ? ovl_inode_for(sb, NULL, lower, &attr, NULL, 0) : NULL;
    if (r < 0)
        host_node_unref(lower);
    sb->root = root ? dentry_alloc_root(sb, root) : NULL;
    if (!sb->root) {
        super_unref(sb);
        return r < 0 ? r : -ENOMEM;
    }
    sb->max_size = os->upper->max_size;
    *ret = sb;
    return 0;
}

static void ovl_destroy(struct super_block *sb)
{
    struct ovl_super *os = ovl_sb(sb);
    if (os && os->upper)
        super_kill(os->upper);
    if (os)
        super_unref(os->upper);
    kfree(os);
}

static int ovl_statfs(struct super_block *sb, struct kstatfs *out)
{
    struct super_block *upper = ovl_sb(sb)->upper;
    int r = super_ops(upper)->statfs(upper, out);
    uint64_t pages = the_kernel()->memory_limit >> PAGE_SHIFT;
    out->type = OVERLAYFS_MAGIC;
    out->fsid = sb->dev;
    if (!out->blocks) {
        uint64_t used = memfile_total_bytes(the_kernel()->memfile) >> PAGE_SHIFT;
        out->blocks = pages;
        out->bfree = out->bavail = used < pages ? pages - used : 0;
    }
    if (!out->files) {
        out->files = pages;
        out->ffree = pages;
    }
    return r;
}

static void ovl_show_options(struct super_block *sb, struct strbuf *out)
{
    strbuf_puts(out, ",lowerdir=/image,upperdir=/upper,workdir=/work,redirect_dir=on");
}

const struct inode_ops overlay_inode_ops = {
    .lookup = ovl_lookup,
    .create = ovl_create,
    .mkdir = ovl_mkdir,
    .symlink = ovl_symlink,
    .link = ovl_link,
    .unlink = ovl_unlink,
    .rmdir = ovl_rmdir,
    .rename = ovl_rename,
    .tmpfile = ovl_tmpfile,
    .readlink = ovl_readlink,
    .getattr = ovl_getattr,
    .setattr = ovl_setattr,
    .open = ovl_open,
    .getxattr = ovl_getxattr,
    .setxattr = ovl_setxattr,
    .listxattr = ovl_listxattr,
    .removexattr = ovl_removexattr,
    .evict = ovl_evict,
};

const struct super_ops overlay_super_ops = {
    .name = "overlay",
    .flags = SUPER_NODEV,
    .mount = ovl_mount,
    .statfs = ovl_statfs,
    .show_options = ovl_show_options,
    .destroy = ovl_destroy,
};
