// tmpfs: super blocks, inodes, options. tmpfs(5).
//
// Names live in hash tables of each directory (dir.c), contents in windows of the memory file (file.c), attributes in the inode.
// Locking: inode.lock guards a directory's entries and the extended attributes; see tmpfs-int.h for the rest.
//
// DEVIATION: tmpfs: huge=, mpol=, inode32 and inode64 are accepted and have no effect; noswap and quotas answer EINVAL.
#include "base/checked.h"
#include "base/strbuf.h"
#include "fs/tmpfs/tmpfs-int.h"

const struct slab_type tmpfs_inode_slab = {
    .id = SLAB_TMPFS_INODE,
    .name = "tmpfs_inode",
    .size = sizeof(struct tmpfs_inode),
};

// ---- Options ----

// Not <ctype.h>: its tables are not there in the kernel's own threads.
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool parse_number(const char *s, const char **end, int base, uint64_t *ret)
{
    uint64_t v = 0;
    if (!is_digit(*s))
        return false;
    for (; is_digit(*s); s++) {
        if (*s - '0' >= base || !mul_u64(v, (uint64_t)base, &v) ||
            !add_u64(v, (uint64_t)(*s - '0'), &v))
            return false;
    }
    *end = s;
    *ret = v;
    return true;
}

static int suffix_shift(char c)
{
    switch (c | 0x20) {
    case 'k':
        return 10;
    case 'm':
        return 20;
    case 'g':
        return 30;
    case 't':
        return 40;
    default:
        return 0;
    }
}

// Bytes with k, m, g, t, or a percentage of memory.
static bool parse_size(const char *s, uint64_t *ret)
{
    uint64_t v, memory = the_kernel()->memory_limit;
    if (!parse_number(s, &s, 10, &v))
        return false;
    int shift = suffix_shift(*s);
    if (*s == '%') {
        if (!mul_u64(v, memory, &v))
            return false;
        v /= 100;
        s++;
    } else if (shift) {
        if (v > UINT64_MAX >> shift)
            return false;
        v <<= shift;
        s++;
    }
    *ret = v;
    return !*s;
}

static bool parse_u32(const char *s, int base, uint32_t *ret)
{
    uint64_t v;
    if (!parse_number(s, &s, base, &v) || *s || v >= UINT32_MAX)
        return false;
    *ret = (uint32_t)v;
    return true;
}

static bool parse_one(const char *key, const char *value, struct tmpfs_options *o)
{
    uint64_t v;
    if (!strcmp(key, "size")) {
        if (!parse_size(value, &v) || v > UINT64_MAX - PAGE_SIZE)
            return false;
        o->max_pages = PAGE_UP(v) >> PAGE_SHIFT;
        return true;
    }
    if (!strcmp(key, "nr_blocks"))
        return parse_size(value, &o->max_pages);
    if (!strcmp(key, "nr_inodes"))
        return parse_size(value, &o->max_inodes);
    if (!strcmp(key, "mode")) {
        if (!parse_u32(value, 8, &o->mode))
            return false;
        o->mode &= 07777;
        return true;
    }
    if (!strcmp(key, "uid"))
        return parse_u32(value, 10, &o->uid);
    if (!strcmp(key, "gid"))
        return parse_u32(value, 10, &o->gid);
    return !strcmp(key, "huge") || !strcmp(key, "mpol") || !strcmp(key, "inode64") ||
           !strcmp(key, "inode32");
}

int tmpfs_parse_options(const char *text, struct tmpfs_options *options)
{
    char *copy = kstrdup(text), *next = copy, *one;
    int r = copy ? 0 : -ENOMEM;
    while (r == 0 && (one = strsep(&next, ","))) {
        char *value = strchr(one, '=');
        if (!*one)
            continue;
        if (value)
            *value++ = 0;
        if (!parse_one(one, value ? value : "", options))
            r = -EINVAL;
    }
    kfree(copy);
    return r;
}

// ---- Inodes ----

struct inode *tmpfs_new_inode(struct super_block *sb, const struct inode *dir, uint32_t mode,
                              uint64_t rdev, const struct cred *cred, int *error)
{
    struct tmpfs_super *ts = tmpfs_sb(sb);
    uint64_t n = __atomic_add_fetch((uint64_t *)&ts->inodes, 1, __ATOMIC_RELAXED);
    struct tmpfs_inode *ti = NULL;
    struct inode *inode = NULL;
    *error = -ENOSPC;
    if (!ts->max_inodes || n <= ts->max_inodes) {
        *error = -ENOMEM;
        ti = slab_alloc(&tmpfs_inode_slab);
        enum inode_type type = S_ISREG(mode)   ? INODE_TMPFS_REG
                               : S_ISDIR(mode) ? INODE_TMPFS_DIR
                                               : INODE_TMPFS_OTHER;
        inode = ti ? inode_alloc(sb, type, mode) : NULL;
    }
    if (!inode) {
        slab_free(&tmpfs_inode_slab, ti);
        __atomic_fetch_sub((uint64_t *)&ts->inodes, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    list_init(&ti->xattrs);
    lock_init(&ti->window_lock, LOCK_RANK_OBJECT);
    ti->next_cookie = 2; // 0 and 1 are the dots
    inode->priv = ti;
    inode->rdev = rdev;
    inode->seals = S_ISREG(mode) ? F_SEAL_SEAL : 0;
    if (S_ISDIR(mode)) {
        inode->nlink = 2;
        inode->size = 40; // what Linux shows: 20 bytes a name
    }
    if (dir) {
        inode_init_owner(inode, dir, mode, cred);
    } else {
        inode->uid = cred->fsuid;
        inode->gid = cred->fsgid;
    }
    return inode;
}

int tmpfs_make_inode(struct super_block *sb, const struct inode *dir, uint32_t mode, uint64_t rdev,
                     const struct cred *cred, struct inode **ret)
{
    int error;
    *ret = tmpfs_new_inode(sb, dir, mode, rdev, cred, &error);
    return *ret ? 0 : error;
}

void tmpfs_evict(struct inode *inode)
{
    struct tmpfs_inode *ti = tmpfs_i(inode);
    if (!ti)
        return;
    tmpfs_free_xattrs(inode);
    if (S_ISREG(inode->mode))
        tmpfs_evict_data(inode);
    else if (S_ISDIR(inode->mode))
        tmpfs_evict_entries(inode);
    __atomic_fetch_sub((uint64_t *)&tmpfs_sb(inode->sb)->inodes, 1, __ATOMIC_RELAXED);
    inode->priv = NULL;
    slab_free(&tmpfs_inode_slab, ti);
}

int tmpfs_setattr(struct inode *inode, const struct setattr *attr)
{
    struct setattr rest = *attr;
    if (attr->valid & SETATTR_SIZE) {
        int r = tmpfs_resize(inode, attr->size);
        if (r < 0)
            return r;
        rest.valid &= ~(uint32_t)SETATTR_SIZE;
    }
    inode_apply_setattr(inode, &rest);
    return 0;
}

// ---- Super blocks ----

int tmpfs_super_create(enum super_type type, const struct tmpfs_options *options,
                       struct super_block **ret)
{
    static const struct cred root_cred = {0};
    struct super_block *sb = super_alloc(type);
    struct tmpfs_super *ts = sb ? kmalloc(sizeof(*ts)) : NULL;
    int error = -ENOMEM;
    if (!ts) {
        super_unref(sb);
        return -ENOMEM;
    }
    lock_init(&ts->lock, LOCK_RANK_OBJECT);
    list_init(&ts->doomed);
    ts->max_pages = options->max_pages;
    ts->max_inodes = options->max_inodes;
    ts->mode = options->mode;
    ts->uid = options->uid;
    ts->gid = options->gid;
    sb->priv = ts;
    sb->magic = TMPFS_MAGIC_NUMBER;
    sb->max_size = MEMFILE_LARGE;
    struct inode *root = tmpfs_new_inode(sb, NULL, S_IFDIR | options->mode, 0, &root_cred, &error);
    if (root) {
        root->uid = options->uid;
        root->gid = options->gid;
        sb->root = dentry_alloc_root(sb, root);
        error = -ENOMEM;
    }
    if (!sb->root) {
        super_unref(sb);
        return error;
    }
    dentry_set_complete(sb->root);
    *ret = sb;
    return 0;
}

static int tmpfs_mount(struct task *t, const char *source, const char *options,
                       struct super_block **ret)
{
    struct tmpfs_options o = {.mode = 01777};
    o.max_pages = (the_kernel()->memory_limit / 2) >> PAGE_SHIFT;
    o.max_inodes = o.max_pages;
    if (t) {
        o.uid = t->cred->fsuid;
        o.gid = t->cred->fsgid;
    }
    int r = tmpfs_parse_options(options, &o);
    return r < 0 ? r : tmpfs_super_create(SUPER_TMPFS, &o, ret);
}

static int tmpfs_statfs(struct super_block *sb, struct kstatfs *out)
{
    struct tmpfs_super *ts = tmpfs_sb(sb);
    uint64_t pages = __atomic_load_n((uint64_t *)&ts->pages, __ATOMIC_RELAXED);
    uint64_t inodes = __atomic_load_n((uint64_t *)&ts->inodes, __ATOMIC_RELAXED);
    *out = (struct kstatfs){.type = TMPFS_MAGIC_NUMBER, .bsize = PAGE_SIZE, .frsize = PAGE_SIZE};
    out->namelen = VFS_NAME_MAX;
    out->fsid = sb->dev;
    if (ts->max_pages) {
        out->blocks = ts->max_pages;
        out->bfree = out->bavail = pages < ts->max_pages ? ts->max_pages - pages : 0;
    }
    if (ts->max_inodes) {
        out->files = ts->max_inodes;
        out->ffree = inodes < ts->max_inodes ? ts->max_inodes - inodes : 0;
    }
    return 0;
}

static int tmpfs_sync(struct super_block *sb)
{
    return 0; // there is nothing behind it
}

static void tmpfs_show_options(struct super_block *sb, struct strbuf *out)
{
    struct tmpfs_super *ts = tmpfs_sb(sb);
    if (ts->max_pages)
        strbuf_printf(out, ",size=%lluk", (unsigned long long)ts->max_pages << (PAGE_SHIFT - 10));
    if (ts->max_inodes)
        strbuf_printf(out, ",nr_inodes=%llu", (unsigned long long)ts->max_inodes);
    if (ts->mode != 01777)
        strbuf_printf(out, ",mode=%03o", ts->mode);
    if (ts->uid)
        strbuf_printf(out, ",uid=%u", ts->uid);
    if (ts->gid)
        strbuf_printf(out, ",gid=%u", ts->gid);
    strbuf_puts(out, ",inode64");
}

static void tmpfs_destroy(struct super_block *sb)
{
    kfree(sb->priv);
    sb->priv = NULL;
}

const struct super_ops tmpfs_super_ops = {
    .name = "tmpfs",
    .flags = SUPER_MOUNTABLE | SUPER_NODEV,
    .mount = tmpfs_mount,
    .statfs = tmpfs_statfs,
    .sync = tmpfs_sync,
    .show_options = tmpfs_show_options,
    .destroy = tmpfs_destroy,
};

// Device nodes, FIFOs, sockets, symlinks. Opening the first three goes by their mode, not by the file system.
static int64_t other_readlink(struct inode *inode, char *buf, uint64_t size)
{
    if (!S_ISLNK(inode->mode) || !inode->link)
        return -EINVAL;
    uint64_t n = MIN(size, inode->link_size);
    memcpy(buf, inode->link, n);
    return (int64_t)n;
}

const struct inode_ops tmpfs_other_inode_ops = {
    .readlink = other_readlink,
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
    .evict = tmpfs_evict,
};
