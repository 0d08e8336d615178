// devpts: the file system whose names are the terminals. Each mount is an instance of its own, with numbers of its own.
//
// A name is there from the opening of the master until its close. Its inode is held by the instance's table; a number is used again
// when nothing knows the terminal any more. ptmx has no inode of its own that would stay: each look-up makes one, since an inode
// in the table would keep the instance alive for ever.
//
// Locking: devpts.lock guards the table. Dentries below the root are not cached, so that there is nothing to be taken back.
//
// DEVIATION: devpts: the limit of 4,096 terminals holds for all instances together, and none are reserved for the first.
#include <sys/inotify.h>
#include <sys/sysmacros.h>

#include <dirent.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/log.h"
#include "fs/devpts/devpts-int.h"
#include "fs/tty/tty.h"
#include "vfs/vfs-int.h"

static struct devpts *devpts_of(const struct super_block *sb)
{
    return sb->priv;
}

// ---- Numbers ----

static int grow_locked(struct devpts *d)
{
    uint32_t count = d->count ? d->count * 2 : 16;
    struct devpts_slot *slots =
        krealloc(d->slots, d->count * sizeof(*slots), count * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    d->slots = slots;
    d->count = count;
    return 0;
}

static int number_take(struct super_block *sb, uint32_t *ret)
{
    struct devpts *d = devpts_of(sb);
    struct kernel *k = the_kernel();
    int r = 0;
    if (__atomic_add_fetch((uint32_t *)&k->terminal_count, 1, __ATOMIC_RELAXED) > DEVPTS_MAX)
        r = -ENOSPC;
    lock_take(&d->lock);
    uint32_t n = 0;
    while (n < d->count && d->slots[n].used)
        n++;
    if (r == 0 && n >= d->max)
        r = -ENOSPC;
    if (r == 0 && n == d->count)
        r = grow_locked(d);
    if (r == 0) {
        d->slots[n].used = true;
        *ret = n;
    }
    lock_release(&d->lock);
    if (r < 0)
        __atomic_sub_fetch((uint32_t *)&k->terminal_count, 1, __ATOMIC_RELAXED);
    return r;
}

void devpts_number_free(struct super_block *sb, uint32_t number)
{
    struct devpts *d = devpts_of(sb);
    lock_take(&d->lock);
    d->slots[number].used = false;
    lock_release(&d->lock);
    __atomic_sub_fetch((uint32_t *)&the_kernel()->terminal_count, 1, __ATOMIC_RELAXED);
}

// ---- Names ----

static int name_of(uint32_t number, char name[12])
{
    return snprintf(name, 12, "%u", number);
}

static struct inode *new_inode(struct super_block *sb, uint32_t mode, uint64_t ino, uint64_t rdev)
{
    struct inode *inode = inode_alloc(sb, INODE_DEVPTS_PTY, S_IFCHR | mode);
    if (inode) {
        inode->ino = ino;
        inode->rdev = rdev;
    }
    return inode;
}

static int name_add(struct super_block *sb, struct tty *tty, const struct cred *cred)
{
    struct devpts *d = devpts_of(sb);
    uint32_t number = tty_number(tty);
    char name[12];
    struct inode *inode = new_inode(sb, d->mode, DEVPTS_FIRST_INO + number, tty_device(tty));
    if (!inode)
        return -ENOMEM;
    inode->uid = d->has_uid ? d->uid : cred->fsuid;
    inode->gid = d->has_gid ? d->gid : cred->fsgid;
    inode->priv = tty_ref(tty);
    lock_take(&d->lock);
    d->slots[number].inode = inode;
    lock_release(&d->lock);
    int len = name_of(number, name);
    vfs_notify_dir(sb->root->inode, IN_CREATE, 0, name, (uint32_t)len);
    return 0;
}

void devpts_name_remove(struct super_block *sb, uint32_t number)
{
    struct devpts *d = devpts_of(sb);
    char name[12];
    lock_take(&d->lock);
    struct inode *inode = d->slots[number].inode;
    d->slots[number].inode = NULL;
    lock_release(&d->lock);
    if (!inode)
        return;
    lock_take(&inode->lock);
    inode->nlink = 0;
    lock_release(&inode->lock);
    int len = name_of(number, name);
    if (sb->root)
        vfs_notify_dir(sb->root->inode, IN_DELETE, 0, name, (uint32_t)len);
    inode_unref(inode);
}

// "0" or a number without leading zeros.
static bool parse_number(const char *name, uint32_t len, uint32_t *ret)
{
    uint32_t n = 0;
    if (len == 0 || len > 7 || (name[0] == '0' && len > 1))
        return false;
    for (uint32_t i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(name[i] - '0');
    }
    *ret = n;
    return true;
}

static int root_lookup(struct inode *dir, const char *name, uint32_t len, struct inode **ret)
{
    struct devpts *d = devpts_of(dir->sb);
    struct inode *inode = NULL;
    uint32_t number;
    if (len == 4 && !memcmp(name, "ptmx", 4)) {
        inode = new_inode(dir->sb, 0, DEVPTS_PTMX_INO, makedev(5, 2));
        if (!inode)
            return -ENOMEM;
        lock_take(&d->lock);
        inode->mode = S_IFCHR | d->ptmx_mode;
        inode->uid = d->ptmx_uid;
        inode->gid = d->ptmx_gid;
        lock_release(&d->lock);
        inode->atime = inode->mtime = inode->ctime = dir->btime;
    } else if (parse_number(name, len, &number)) {
        lock_take(&d->lock);
        if (number < d->count && d->slots[number].inode)
            inode = inode_ref(d->slots[number].inode);
        lock_release(&d->lock);
    }
    *ret = inode;
    return inode ? 0 : -ENOENT;
}

static int root_open(struct inode *inode, struct file *f)
{
    f->type = FILE_DEVPTS_DIR;
    return 0;
}

static int root_iterate(struct file *f, struct dir_emit *e)
{
    struct devpts *d = devpts_of(f->inode->sb);
    char name[12];
    if (!dir_emit_dots(f, e))
        return e->error;
    if (e->pos == 2 && !dir_emit(e, "ptmx", 4, DEVPTS_PTMX_INO, DT_CHR, 3))
        return e->error;
    lock_take(&d->lock);
    for (uint64_t n = e->pos - 3; n < d->count; n++) {
        if (!d->slots[n].inode)
            continue;
        int len = name_of((uint32_t)n, name);
        if (!dir_emit(e, name, (uint32_t)len, DEVPTS_FIRST_INO + n, DT_CHR, n + 4))
            break;
    }
    lock_release(&d->lock);
    return e->error;
}

const struct file_ops devpts_dir_file_ops = {
    .iterate = root_iterate,
    .seek = dir_seek,
};

const struct inode_ops devpts_root_inode_ops = {
    .lookup = root_lookup,
    .open = root_open,
};

// ---- ptmx and the terminals ----

int devpts_open_ptmx(struct super_block *sb, struct file *f)
{
    struct tty *tty;
    uint32_t number;
    int r = number_take(sb, &number);
    if (r < 0)
        return r;
    r = tty_create(TTY_PTY, sb, number, &tty);
    if (r < 0) {
        devpts_number_free(sb, number);
        return r;
    }
    r = name_add(sb, tty, f->cred);
    if (r == 0)
        tty_open_master(tty, f);
    tty_unref(tty);
    return r;
}

static int pty_open(struct inode *inode, struct file *f)
{
    if (!inode->priv)
        return devpts_open_ptmx(inode->sb, f);
    return tty_open_slave(current_task(), inode->priv, f);
}

static int pty_setattr(struct inode *inode, const struct setattr *attr)
{
    if (attr->valid & SETATTR_SIZE)
        return -EINVAL;
    inode_apply_setattr(inode, attr);
    if (!inode->priv) {
        struct devpts *d = devpts_of(inode->sb);
        lock_take(&d->lock);
        d->ptmx_mode = inode->mode & 07777;
        d->ptmx_uid = inode->uid;
        d->ptmx_gid = inode->gid;
        lock_release(&d->lock);
    }
    return 0;
}

static void pty_evict(struct inode *inode)
{
    tty_unref(inode->priv);
    inode->priv = NULL;
}

const struct inode_ops devpts_pty_inode_ops = {
    .open = pty_open,
    .setattr = pty_setattr,
    .evict = pty_evict,
};

int devpts_path_of(const struct path *root, uint32_t number, struct path *ret)
{
    char name[12];
    struct dentry *child;
    int len = name_of(number, name);
    int r = dentry_lookup(root->dentry, name, (uint32_t)len, &child);
    if (r < 0)
        return r;
    if (!child->inode) {
        dentry_unref(child);
        return -ENOENT;
    }
    *ret = (struct path){.mount = mount_ref(root->mount), .dentry = child};
    return 0;
}

// ---- The console ----

static bool find_instance(struct task *t, struct path *ret)
{
    if (path_lookup(t, AT_FDCWD, "/dev/pts", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, ret) < 0)
        return false;
    if (ret->dentry->sb->type == SUPER_DEVPTS)
        return true;
    path_put(ret);
    return false;
}

int devpts_console_create(struct task *t, struct tty **ret)
{
    struct path root;
    uint32_t number;
    if (!find_instance(t, &root))
        return tty_create(TTY_CONSOLE, NULL, 0, ret);
    struct super_block *sb = root.dentry->sb;
    int r = number_take(sb, &number);
    if (r == 0 && (r = tty_create(TTY_CONSOLE, sb, number, ret)) < 0)
        devpts_number_free(sb, number);
    if (r == 0 && (r = name_add(sb, *ret, t->cred)) < 0)
        tty_unref(*ret);
    path_put(&root);
    return r;
}

// /dev/console is the same terminal, as containers have it. Where /dev can't be written it stays away.
static int cover_dev_console(struct task *t, const struct path *terminal)
{
    struct last_component last = {.name = (char[]){"console"}, .len = 7};
    struct path dev, at;
    int r = path_lookup(t, AT_FDCWD, "/dev", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dev);
    if (r < 0)
        return r;
    (void)vfs_make_node(the_vfs()->kernel_cred, &dev, &last, S_IFREG | 0600);
    path_put(&dev);
    r = path_lookup(t, AT_FDCWD, "/dev/console", 0, &at);
    if (r < 0)
        return r;
    struct super_block *sb = terminal->dentry->sb;
    if (S_ISDIR(at.dentry->inode->mode) || S_ISLNK(at.dentry->inode->mode)) {
        r = -EINVAL;
    } else {
        refcount_get(&sb->refs);
        struct mount *m =
            mount_alloc(sb, dentry_ref(terminal->dentry), "devpts", terminal->mount->flags);
        r = m ? mount_attach(t->kernel->mounts, m, &at) : -ENOMEM;
    }
    path_put(&at);
    return r;
}

static int open_unnamed(struct tty *tty, struct file **ret)
{
    struct file *f = file_create_anon(FILE_TTY, "/dev/console", O_RDWR, S_IFCHR | 0620, NULL);
    if (!f)
        return -ENOMEM;
    f->inode->rdev = tty_device(tty);
    int r = tty_open_slave(NULL, tty, f);
    BUG_ON(r < 0); // nobody has locked it or hung it up
    *ret = f;
    return 0;
}

int devpts_console_open(struct task *t, struct tty *tty, struct file **ret)
{
    struct path root, path;
    if (!find_instance(t, &root))
        return open_unnamed(tty, ret);
    int r = devpts_path_of(&root, tty_number(tty), &path);
    path_put(&root);
    if (r < 0)
        return r;
    if (cover_dev_console(t, &path) < 0)
        log_debug("/dev/console stays as it is");
    r = file_open_resolved(t, &path, O_RDWR, ret);
    path_put(&path);
    return r;
}

// ---- Mounting ----

static bool parse_u32(const char *s, uint32_t base, uint32_t *ret)
{
    uint64_t v = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        uint32_t digit = (uint32_t)(*s - '0');
        if (digit >= base || (v = v * base + digit) >= UINT32_MAX)
            return false;
    }
    *ret = (uint32_t)v;
    return true;
}

static bool parse_option(struct devpts *d, const char *key, const char *value)
{
    if (!strcmp(key, "newinstance"))
        return true; // every mount is one
    if (!strcmp(key, "uid"))
        return d->has_uid = parse_u32(value, 10, &d->uid);
    if (!strcmp(key, "gid"))
        return d->has_gid = parse_u32(value, 10, &d->gid);
    if (!strcmp(key, "max"))
        return parse_u32(value, 10, &d->max) && d->max <= 1u << 20;
    uint32_t *mode = !strcmp(key, "mode")       ? &d->mode
                     : !strcmp(key, "ptmxmode") ? &d->ptmx_mode
                                                : NULL;
    if (!mode || !parse_u32(value, 8, mode))
        return false;
    *mode &= 0777;
    return true;
}

static int parse_options(struct devpts *d, const char *text)
{
    char *copy = kstrdup(text), *next = copy, *one;
    int r = copy ? 0 : -ENOMEM;
    while (r == 0 && (one = strsep(&next, ","))) {
        char *value = strchr(one, '=');
        if (!*one)
            continue;
        if (value)
            *value++ = 0;
        if (!parse_option(d, one, value ? value : ""))
            r = -EINVAL;
    }
    kfree(copy);
    return r;
}

static int devpts_mount(struct task *t, const char *source, const char *options,
                        struct super_block **ret)
{
    struct super_block *sb = super_alloc(SUPER_DEVPTS);
    struct devpts *d = sb ? kmalloc(sizeof(*d)) : NULL;
    if (!d) {
        super_unref(sb);
        return -ENOMEM;
    }
    lock_init(&d->lock, LOCK_RANK_OBJECT);
    d->max = 1u << 20;
    d->mode = 0600;
    sb->priv = d;
    sb->magic = DEVPTS_MAGIC;
    sb->next_ino = DEVPTS_FIRST_INO;
    int r = parse_options(d, options);
    if (r == 0) {
        struct inode *root = inode_alloc(sb, INODE_DEVPTS_ROOT, S_IFDIR | 0755);
        if (root) {
            root->ino = DEVPTS_ROOT_INO;
            root->nlink = 2;
            root->flags |= INODE_NO_CACHE;
            sb->root = dentry_alloc_root(sb, root);
        }
        r = sb->root ? 0 : -ENOMEM;
    }
    if (r < 0) {
        super_unref(sb);
        return r;
    }
    *ret = sb;
    return 0;
}

static int devpts_statfs(struct super_block *sb, struct kstatfs *out)
{
    *out = (struct kstatfs){
        .type = DEVPTS_MAGIC, .bsize = PAGE_SIZE, .frsize = PAGE_SIZE, .namelen = VFS_NAME_MAX};
    out->fsid = sb->dev;
    return 0;
}

static void devpts_show_options(struct super_block *sb, struct strbuf *out)
{
    struct devpts *d = devpts_of(sb);
    if (d->has_uid)
        strbuf_printf(out, ",uid=%u", d->uid);
    if (d->has_gid)
        strbuf_printf(out, ",gid=%u", d->gid);
    strbuf_printf(out, ",mode=%03o,ptmxmode=%03o", d->mode, d->ptmx_mode);
    if (d->max < 1u << 20)
        strbuf_printf(out, ",max=%u", d->max);
}

static void devpts_destroy(struct super_block *sb)
{
    struct devpts *d = devpts_of(sb);
    if (d)
        kfree(d->slots);
    kfree(d);
}

const struct super_ops devpts_super_ops = {
    .name = "devpts",
    .flags = SUPER_MOUNTABLE | SUPER_NODEV,
    .mount = devpts_mount,
    .statfs = devpts_statfs,
    .show_options = devpts_show_options,
    .destroy = devpts_destroy,
};
