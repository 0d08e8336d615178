// tmpfs directories.
//
// Entries stand in a hash table by name (SipHash, so that chosen names can't make it a list) and in a tree by cookie. A cookie is
// drawn when the entry is made and never used again, so that reading a directory that changes shows each entry that stays exactly
// once. The directory's inode.lock guards both; the file layer's dir_lock, or the lock of the directory above in an overlay,
// orders whole operations.
#include <dirent.h>
#include <linux/fs.h>

#include "base/log.h"
#include "fs/tmpfs/tmpfs-int.h"

SLAB_TYPE(dirent_slab, SLAB_TMPFS_DIRENT, struct tmpfs_dirent);

enum { FIRST_BUCKETS = 8 };

// ---- Entries; inode.lock of the directory held ----

static struct tmpfs_dirent *find_locked(const struct tmpfs_inode *ti, const char *name,
                                        uint32_t len, uint32_t hash)
{
    if (!ti->buckets)
        return NULL;
    for (struct tmpfs_dirent *e = ti->buckets[hash & (ti->bucket_count - 1)]; e; e = e->hash_next) {
        if (e->hash == hash && e->len == len && !memcmp(e->name, name, len))
            return e;
    }
    return NULL;
}

static bool grow_locked(struct tmpfs_inode *ti)
{
    if (ti->bucket_count > ti->entry_count)
        return true;
    uint32_t count = ti->bucket_count ? ti->bucket_count * 4 : FIRST_BUCKETS;
    struct tmpfs_dirent **buckets = kmalloc((uint64_t)count * sizeof(*buckets));
    if (!buckets)
        return ti->buckets != NULL; // long chains rather than none
    for (uint32_t i = 0; i < ti->bucket_count; i++) {
        struct tmpfs_dirent *e, *next;
        for (e = ti->buckets[i]; e; e = next) {
            next = e->hash_next;
            e->hash_next = buckets[e->hash & (count - 1)];
            buckets[e->hash & (count - 1)] = e;
        }
    }
    kfree(ti->buckets);
    ti->buckets = buckets;
    ti->bucket_count = count;
    return true;
}

static void tree_insert(struct tmpfs_inode *ti, struct tmpfs_dirent *e)
{
    struct rb_node **link = &ti->entries.root, *parent = NULL;
    while (*link) {
        parent = *link;
        bool left = e->cookie < container_of(parent, struct tmpfs_dirent, node)->cookie;
        link = left ? &parent->left : &parent->right;
    }
    rb_link(&e->node, parent, link);
    rb_insert_fixup(&ti->entries, &e->node);
}

static void insert_locked(struct inode *dir, struct tmpfs_dirent *e)
{
    struct tmpfs_inode *ti = tmpfs_i(dir);
    e->cookie = ti->next_cookie++;
    e->hash_next = ti->buckets[e->hash & (ti->bucket_count - 1)];
    ti->buckets[e->hash & (ti->bucket_count - 1)] = e;
    tree_insert(ti, e);
    ti->entry_count++;
    dir->size += 20;
}

static void remove_locked(struct inode *dir, struct tmpfs_dirent *e)
{
    struct tmpfs_inode *ti = tmpfs_i(dir);
    struct tmpfs_dirent **link = &ti->buckets[e->hash & (ti->bucket_count - 1)];
    while (*link != e)
        link = &(*link)->hash_next;
    *link = e->hash_next;
    rb_remove(&ti->entries, &e->node);
    ti->entry_count--;
    dir->size -= 20;
}

static void changed_locked(struct inode *dir, const struct timespec64 *now)
{
    dir->mtime = *now;
    dir->ctime = *now;
}

static struct tmpfs_dirent *dirent_new(const char *name, uint32_t len, struct inode *inode)
{
    struct tmpfs_dirent *e = slab_alloc(&dirent_slab);
    char *text = NULL;
    if (e && len > sizeof(e->inline_name) && !(text = kmalloc(len))) {
        slab_free(&dirent_slab, e);
        return NULL;
    }
    if (!e)
        return NULL;
    e->name = text ? text : e->inline_name;
    memcpy(e->name, name, len);
    e->len = len;
    e->hash = dentry_hash_name(name, len);
    e->inode = inode;
    list_init(&e->doomed);
    return e;
}

static void dirent_free(struct tmpfs_dirent *e)
{
    if (e->name != e->inline_name)
        kfree(e->name);
    slab_free(&dirent_slab, e);
}

// Puts inode into dir, with a reference of the entry's own.
static int add_entry(struct inode *dir, const char *name, uint32_t len, struct inode *inode)
{
    struct tmpfs_inode *ti = tmpfs_i(dir);
    struct tmpfs_dirent *e = dirent_new(name, len, inode);
    struct timespec64 now = time_now();
    int r = 0;
    if (!e)
        return -ENOMEM;
    lock_take(&dir->lock);
    if (ti->dead)
        r = -ENOENT;
    else if (find_locked(ti, name, len, e->hash))
        r = -EEXIST;
    else if (!grow_locked(ti))
        r = -ENOMEM;
    if (r == 0) {
        inode_ref(inode);
        insert_locked(dir, e);
        changed_locked(dir, &now);
        if (S_ISDIR(inode->mode))
            dir->nlink++;
    }
    lock_release(&dir->lock);
    if (r < 0)
        dirent_free(e);
    return r;
}

// Takes the entry of this inode out, and its reference: the caller has another.
static int take_entry(struct inode *dir, const char *name, uint32_t len, struct inode *expected)
{
    struct tmpfs_inode *ti = tmpfs_i(dir);
    struct timespec64 now = time_now();
    lock_take(&dir->lock);
    struct tmpfs_dirent *e = find_locked(ti, name, len, dentry_hash_name(name, len));
    if (e && e->inode != expected)
        e = NULL;
    if (e) {
        remove_locked(dir, e);
        changed_locked(dir, &now);
        if (S_ISDIR(e->inode->mode))
            dir->nlink--;
    }
    lock_release(&dir->lock);
    if (!e)
        return -ENOENT;
    dirent_free(e);
    inode_unref(expected);
    return 0;
}

// ---- Operations ----

static int tmpfs_lookup(struct inode *dir, const char *name, uint32_t len, struct inode **ret)
{
    uint32_t hash = dentry_hash_name(name, len);
    lock_take(&dir->lock);
    struct tmpfs_dirent *e = find_locked(tmpfs_i(dir), name, len, hash);
    if (e)
        *ret = inode_ref(e->inode);
    lock_release(&dir->lock);
    return e ? 0 : -ENOENT;
}

static int make(struct inode *dir, const char *name, uint32_t len, uint32_t mode, uint64_t rdev,
                const char *target, const struct cred *cred, struct inode **ret)
{
    int r;
    struct inode *inode = tmpfs_new_inode(dir->sb, dir, mode, rdev, cred, &r);
    if (!inode)
        return r;
    r = 0;
    if (target) {
        inode->size = strlen(target);
        r = inode_set_link(inode, target, inode->size);
    }
    if (r == 0)
        r = add_entry(dir, name, len, inode);
    if (r < 0)
        inode_unref(inode);
    else
        *ret = inode;
    return r;
}

static int tmpfs_create(struct inode *dir, const char *name, uint32_t len, uint32_t mode,
                        uint64_t rdev, const struct cred *cred, struct inode **ret)
{
    return make(dir, name, len, mode, rdev, NULL, cred, ret);
}

static int tmpfs_mkdir(struct inode *dir, const char *name, uint32_t len, uint32_t mode,
                       const struct cred *cred, struct inode **ret)
{
    return make(dir, name, len, mode, 0, NULL, cred, ret);
}

static int tmpfs_symlink(struct inode *dir, const char *name, uint32_t len, const char *target,
                         const struct cred *cred, struct inode **ret)
{
    return make(dir, name, len, S_IFLNK | 0777, 0, target, cred, ret);
}

static void change_nlink(struct inode *inode, int by)
{
    struct timespec64 now = time_now();
    lock_take(&inode->lock);
    inode->nlink += (uint32_t)by;
    inode->ctime = now;
    lock_release(&inode->lock);
}

static int tmpfs_link(struct inode *dir, const char *name, uint32_t len, struct inode *target)
{
    if (target->nlink >= INT32_MAX)
        return -EMLINK;
    change_nlink(target, 1);
    int r = add_entry(dir, name, len, target);
    if (r < 0)
        change_nlink(target, -1);
    return r;
}

static int tmpfs_unlink(struct inode *dir, const char *name, uint32_t len, struct inode *victim)
{
    int r = take_entry(dir, name, len, victim);
    if (r == 0)
        change_nlink(victim, -1);
    return r;
}

// Marks a directory as dead if it is empty, so that nothing is put into it from now on.
static int bury(struct inode *dir)
{
    struct tmpfs_inode *ti = tmpfs_i(dir);
    struct timespec64 now = time_now();
    lock_take(&dir->lock);
    int r = ti->entry_count ? -ENOTEMPTY : 0;
    if (r == 0) {
        ti->dead = true;
        dir->nlink = 0;
        dir->ctime = now;
    }
    lock_release(&dir->lock);
    return r;
}

static int tmpfs_rmdir(struct inode *dir, const char *name, uint32_t len, struct inode *victim)
{
    int r = bury(victim);
    return r < 0 ? r : take_entry(dir, name, len, victim);
}

bool tmpfs_dir_is_empty(struct inode *dir)
{
    lock_take(&dir->lock);
    bool empty = tmpfs_i(dir)->entry_count == 0;
    lock_release(&dir->lock);
    return empty;
}

// Makes the entry name another inode. The references stay balanced over the two halves of an exchange.
static void replace_entry(struct inode *dir, const char *name, uint32_t len, struct inode *old,
                          struct inode *new)
{
    struct timespec64 now = time_now();
    lock_take(&dir->lock);
    struct tmpfs_dirent *e = find_locked(tmpfs_i(dir), name, len, dentry_hash_name(name, len));
    BUG_ON(!e || e->inode != old);
    e->inode = new;
    changed_locked(dir, &now);
    dir->nlink += (uint32_t)S_ISDIR(new->mode) - (uint32_t)S_ISDIR(old->mode);
    lock_release(&dir->lock);
}

// A whiteout as the overlay leaves them: a character device 0:0.
static int put_whiteout(struct inode *dir, const char *name, uint32_t len)
{
    struct inode *inode;
    int r = make(dir, name, len, S_IFCHR, 0, NULL, the_vfs()->kernel_cred, &inode);
    if (r == 0)
        inode_unref(inode);
    return r;
}

static int tmpfs_rename(struct inode *old_dir, const char *old_name, uint32_t old_len,
                        struct inode *moved, struct inode *new_dir, const char *new_name,
                        uint32_t new_len, struct inode *victim, uint32_t flags)
{
    int r = 0;
    if (flags & RENAME_EXCHANGE) {
        replace_entry(old_dir, old_name, old_len, moved, victim);
        replace_entry(new_dir, new_name, new_len, victim, moved);
        change_nlink(moved, 0); // ctime
        change_nlink(victim, 0);
        return 0;
    }
    if (victim && S_ISDIR(victim->mode))
        r = tmpfs_rmdir(new_dir, new_name, new_len, victim);
    else if (victim)
        r = tmpfs_unlink(new_dir, new_name, new_len, victim);
    if (r == 0)
        r = add_entry(new_dir, new_name, new_len, moved);
    if (r < 0)
        return r;
    r = take_entry(old_dir, old_name, old_len, moved);
    BUG_ON(r < 0);
    change_nlink(moved, 0);
    return flags & RENAME_WHITEOUT ? put_whiteout(old_dir, old_name, old_len) : 0;
}

static int tmpfs_tmpfile(struct inode *dir, uint32_t mode, const struct cred *cred,
                         struct inode **ret)
{
    return tmpfs_make_inode(dir->sb, dir, mode, 0, cred, ret);
}

static int tmpfs_dir_open(struct inode *inode, struct file *f)
{
    f->type = FILE_TMPFS_DIR;
    return 0;
}

// ---- Reading ----

// The first entry whose cookie is at least pos. dir->lock held.
static struct tmpfs_dirent *at_or_after(const struct tmpfs_inode *ti, uint64_t pos)
{
    struct tmpfs_dirent *found = NULL;
    for (struct rb_node *n = ti->entries.root; n;) {
        struct tmpfs_dirent *e = container_of(n, struct tmpfs_dirent, node);
        if (e->cookie >= pos) {
            found = e;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return found;
}

void tmpfs_for_each(struct inode *dir, uint64_t *pos, tmpfs_entry_function *f, void *arg)
{
    lock_take(&dir->lock);
    struct tmpfs_dirent *e = at_or_after(tmpfs_i(dir), *pos);
    while (e) {
        *pos = e->cookie;
        if (!f(arg, e->name, e->len, e->inode, e->cookie + 1))
            break;
        *pos = e->cookie + 1;
        struct rb_node *next = rb_next(&e->node);
        e = next ? container_of(next, struct tmpfs_dirent, node) : NULL;
    }
    lock_release(&dir->lock);
}

static bool emit(void *arg, const char *name, uint32_t len, struct inode *inode, uint64_t next_pos)
{
    return dir_emit(arg, name, len, inode->ino, mode_to_dtype(inode->mode), next_pos);
}

static int tmpfs_iterate(struct file *f, struct dir_emit *d)
{
    if (dir_emit_dots(f, d)) {
        uint64_t pos = d->pos;
        tmpfs_for_each(f->inode, &pos, emit, d);
    }
    return d->error;
}

static int tmpfs_dir_sync(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    return 0;
}

// ---- The end ----

// The inodes of a tree go one after the other, not one inside the other: a deep tree would exhaust the stack.
static void drain(struct tmpfs_super *ts)
{
    struct tmpfs_dirent *e;
    lock_take(&ts->lock);
    if (!ts->draining) {
        ts->draining = true;
        while ((e = list_first(&ts->doomed, struct tmpfs_dirent, doomed))) {
            list_remove(&e->doomed);
            lock_release(&ts->lock);
            inode_unref(e->inode); // may add to the list
            dirent_free(e);
            lock_take(&ts->lock);
        }
        ts->draining = false;
    }
    lock_release(&ts->lock);
}

void tmpfs_evict_entries(struct inode *dir)
{
    struct tmpfs_super *ts = tmpfs_sb(dir->sb);
    struct tmpfs_inode *ti = tmpfs_i(dir);
    struct rb_node *n;
    lock_take(&ts->lock);
    while ((n = ti->entries.root)) {
        struct tmpfs_dirent *e = container_of(n, struct tmpfs_dirent, node);
        rb_remove(&ti->entries, n);
        list_push_back(&ts->doomed, &e->doomed);
    }
    lock_release(&ts->lock);
    kfree(ti->buckets);
    ti->buckets = NULL;
    drain(ts);
}

const struct inode_ops tmpfs_dir_inode_ops = {
    .lookup = tmpfs_lookup,
    .create = tmpfs_create,
    .mkdir = tmpfs_mkdir,
    .symlink = tmpfs_symlink,
    .link = tmpfs_link,
    .unlink = tmpfs_unlink,
    .rmdir = tmpfs_rmdir,
    .rename = tmpfs_rename,
    .tmpfile = tmpfs_tmpfile,
    .open = tmpfs_dir_open,
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
    .evict = tmpfs_evict,
};

const struct file_ops tmpfs_dir_file_ops = {
    .iterate = tmpfs_iterate,
    .seek = dir_seek,
    .sync = tmpfs_dir_sync,
};
