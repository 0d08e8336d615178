// Directories and inodes of proc and sysfs: see tree.h.
//
// The root's names are cached; those of processes are asked for again at each walk (tree_revalidate()), and what lies in a process's
// directory is never cached, so that the cache doesn't fill with the dead.
//
// DEVIATION: proc: chmod and chown of anything in it fail with EPERM. Each mount of proc is a file system of its own (st_dev).
#include <dirent.h>

#include "base/slab.h"
#include "fs/tree.h"
#include "kernel/kernel.h"
#include "mm/mm.h"

SLAB_TYPE(node_slab, SLAB_PROC_INODE, struct tree_node);

enum { FIRST_DYNAMIC = 1 << 20 }; // position of number 0 in a listing

static const struct tree_entry root_entry = {.name = "/", .mode = S_IFDIR | 0555};

extern const struct tree sysfs_tree __attribute__((weak));

const struct tree *tree_of(const struct super_block *sb)
{
    return sb->type == SUPER_SYSFS ? &sysfs_tree : &proc_tree;
}

static struct tree_node *node_of(const struct inode *inode)
{
    return inode->priv;
}

const struct tree_entry *tree_entry_of(const struct tree *tree, const struct tree_node *node)
{
    if (node->index == TREE_INDEX_ROOT)
        return &root_entry;
    const struct tree_table *table = tree->tables[node->table];
    return node->index == TREE_INDEX_DYNAMIC ? &table->dynamic->entry : &table->entries[node->index];
}

static const struct tree_table *children_of(const struct tree *tree, const struct tree_node *node)
{
    return tree->tables[tree_entry_of(tree, node)->table];
}

// The same for every inode of one entry, so that listings and look-ups agree.
static uint64_t ino_of(const struct tree_node *node)
{
    if (node->index == TREE_INDEX_ROOT)
        return 1;
    uint64_t number = (node->number ^ (uint64_t)node->number2 << 14) & 0xfffff;
    return number | (uint64_t)(node->index + 1) << 20 | (uint64_t)node->table << 31 | (uint64_t)node->id.thread << 39 |
           (uint64_t)node->id.tid << 40;
}

// ---- Calls ----

int tree_call_init(struct tree_call *c, struct inode *inode, struct file *f)
{
    struct tree_node *node = node_of(inode);
    *c = (struct tree_call){.node = node, .entry = tree_entry_of(tree_of(inode->sb), node), .file = f};
    if (!node->id.tid)
        return 0;
    c->task = task_id_get(&node->id);
    return c->task ? 0 : -ESRCH;
}

void tree_call_done(struct tree_call *c)
{
    if (c->task)
        task_unref(c->task);
    c->task = NULL;
}

// ---- Inodes ----

// Files of a process belong to its effective user; to root while it can't be dumped, save the directories that everybody may read.
static void set_owner(struct inode *inode, struct task *t)
{
    uint32_t uid = 0, gid = 0;
    struct mm *mm = task_get_mm(t);
    bool dumpable = mm && __atomic_load_n((uint32_t *)&mm->dumpable, __ATOMIC_RELAXED) == 1;
    mm_put(mm);
    if (dumpable || inode->mode == (S_IFDIR | 0555)) {
        struct cred *cred = task_get_cred(t);
        uid = cred->euid;
        gid = cred->egid;
        cred_put(cred);
    }
    lock_take(&inode->lock);
    inode->uid = uid;
    inode->gid = gid;
    lock_release(&inode->lock);
}

static int refresh(struct inode *inode)
{
    struct tree_call c;
    int r = tree_call_init(&c, inode, NULL);
    if (r < 0)
        return -ENOENT;
    if (c.task)
        set_owner(inode, c.task);
    tree_call_done(&c);
    return 0;
}

struct inode *tree_make_inode(struct super_block *sb, const struct tree_node *from, uint32_t mode)
{
    const struct tree *tree = tree_of(sb);
    struct tree_node *node = slab_alloc(&node_slab);
    enum inode_type type = S_ISDIR(mode) ? tree->dir : S_ISLNK(mode) ? tree->link : tree->file;
    struct inode *inode = node ? inode_alloc(sb, type, mode) : NULL;
    if (!inode) {
        slab_free(&node_slab, node);
        return NULL;
    }
    *node = *from;
    inode->priv = node;
    inode->ino = ino_of(node);
    const struct tree_entry *entry = tree_entry_of(tree, node);
    if (S_ISDIR(mode))
        inode->nlink = 2;
    else if (S_ISREG(mode))
        inode->size = tree->file_size;
    else if (entry->flags & ENTRY_FD_LINK)
        inode->size = 64;
    if (S_ISDIR(mode) && tree->tables[entry->table]->no_cache)
        inode->flags |= INODE_NO_CACHE;
    // The root, too: names of processes that are not there must not stay.
    if (node->id.tid || node->index == TREE_INDEX_ROOT || S_ISLNK(mode))
        inode->flags |= INODE_REVALIDATE;
    return inode;
}

void tree_evict(struct inode *inode)
{
    slab_free(&node_slab, inode->priv);
    inode->priv = NULL;
}

// ---- Looking up ----

// A decimal number as a name: no sign, no leading zero.
static bool parse_name(const char *name, uint32_t len, uint64_t *ret)
{
    uint64_t v = 0;
    if (len == 0 || len > 10 || (len > 1 && name[0] == '0'))
        return false;
    for (uint32_t i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(name[i] - '0');
    }
    *ret = v;
    return v <= INT32_MAX;
}

static void dynamic_node(const struct tree_call *c, const struct tree_table *table, uint64_t number, struct tree_node *child)
{
    *child = *c->node;
    child->table = c->entry->table;
    child->index = TREE_INDEX_DYNAMIC;
    if (table->dynamic->tasks) {
        child->id.tid = (uint32_t)number;
    } else {
        child->number2 = child->number;
        child->number = (uint32_t)number;
    }
}

static int lookup_dynamic(const struct tree_call *c, const struct tree_table *table, const char *name, uint32_t len,
                          struct tree_node *child, uint32_t *mode)
{
    const struct tree_dynamic *d = table->dynamic;
    uint32_t prefix = d ? (uint32_t)strlen(d->entry.name) : 0;
    uint64_t number;
    if (!d || len <= prefix || memcmp(name, d->entry.name, prefix) || !parse_name(name + prefix, len - prefix, &number))
        return -ENOENT;
    *mode = d->entry.mode;
    dynamic_node(c, table, number, child);
    return d->child(c, number, child, mode);
}

static bool is_present(const struct tree_call *dir, const struct tree_entry *e)
{
    return !e->present || e->present(dir);
}

static void static_node(const struct tree_call *c, const struct tree_entry *e, uint32_t index, struct tree_node *child)
{
    *child = *c->node;
    child->table = c->entry->table;
    child->index = (uint16_t)index;
    if (e->flags & ENTRY_NUMBER)
        child->number = e->arg;
}

static int find_child(const struct tree_call *c, const struct tree_table *table, const char *name, uint32_t len,
                      struct tree_node *child, uint32_t *mode)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct tree_entry *e = &table->entries[i];
        if (strncmp(e->name, name, len) || e->name[len] || !is_present(c, e))
            continue;
        static_node(c, e, i, child);
        *mode = e->mode;
        return 0;
    }
    return lookup_dynamic(c, table, name, len, child, mode);
}

int tree_lookup(struct inode *dir, const char *name, uint32_t len, struct inode **ret)
{
    struct tree_node child;
    struct tree_call c;
    uint32_t mode;
    int r = tree_call_init(&c, dir, NULL);
    if (r < 0)
        return -ENOENT;
    r = find_child(&c, children_of(tree_of(dir->sb), c.node), name, len, &child, &mode);
    tree_call_done(&c);
    if (r < 0)
        return r;
    struct inode *inode = tree_make_inode(dir->sb, &child, mode);
    if (!inode)
        return -ENOMEM;
    if (child.id.tid)
        (void)refresh(inode);
    *ret = inode;
    return 0;
}

int tree_revalidate(struct dentry *d)
{
    struct inode *inode = d->inode;
    if (!inode) // absent: only names of processes change
        return d->name[0] < '0' || d->name[0] > '9';
    return refresh(inode) == 0;
}

// ---- Nothing is made here ----

int tree_create(struct inode *dir, const char *name, uint32_t len, uint32_t mode, uint64_t rdev, const struct cred *cred,
                struct inode **ret)
{
    int no = tree_of(dir->sb)->no_create;
    return no == -EPERM ? -EACCES : no;
}

int tree_mkdir(struct inode *dir, const char *name, uint32_t len, uint32_t mode, const struct cred *cred, struct inode **ret)
{
    return tree_of(dir->sb)->no_create;
}

int tree_symlink(struct inode *dir, const char *name, uint32_t len, const char *target, const struct cred *cred,
                 struct inode **ret)
{
    return tree_of(dir->sb)->no_create;
}

int tree_link(struct inode *dir, const char *name, uint32_t len, struct inode *target)
{
    return tree_of(dir->sb)->no_create;
}

// ---- Attributes ----

static uint32_t count_links(const struct tree_call *c, const struct tree *tree)
{
    const struct tree_table *table = tree->tables[c->entry->table];
    uint32_t n = 2;
    for (uint32_t i = 0; i < table->count; i++) {
        if (S_ISDIR(table->entries[i].mode) && is_present(c, &table->entries[i]))
            n++;
    }
    if (c->entry->flags & ENTRY_THREADS)
        n += LOAD_RELAXED(c->task->group->thread_count);
    return n;
}

int tree_getattr(struct inode *inode)
{
    struct tree_call c;
    if (tree_call_init(&c, inode, NULL) < 0)
        return 0; // what an open descriptor still shows of a process that is gone
    if (c.task)
        set_owner(inode, c.task);
    if (S_ISDIR(inode->mode)) {
        uint32_t n = count_links(&c, tree_of(inode->sb));
        lock_take(&inode->lock);
        inode->nlink = n;
        lock_release(&inode->lock);
    }
    tree_call_done(&c);
    return 0;
}

int tree_setattr(struct inode *inode, const struct setattr *attr)
{
    struct setattr rest = *attr;
    if (attr->valid & (SETATTR_MODE | SETATTR_UID | SETATTR_GID))
        return -EPERM;
    rest.valid &= ~(uint32_t)SETATTR_SIZE; // O_TRUNC of what is written afterwards
    inode_apply_setattr(inode, &rest);
    return 0;
}

int tree_permission(struct inode *inode, const struct cred *cred, int mask)
{
    struct tree_call c;
    struct task *me = current_task();
    int r = tree_call_init(&c, inode, NULL);
    if (r < 0)
        return r;
    if (c.task)
        set_owner(inode, c.task);
    r = inode_generic_permission(inode, cred, mask);
    if ((mask & 2) && S_ISREG(inode->mode) && !c.entry->store && tree_of(inode->sb)->tables[c.node->table]->settings)
        r = -EACCES;
    if (r == 0 && S_ISDIR(inode->mode) && (c.entry->flags & ENTRY_PTRACE) && !proc_may_trace(c.task))
        r = -EACCES;
    if (r < 0 && (c.entry->flags & ENTRY_SAME_GROUP) && me && c.task && me->group == c.task->group)
        r = 0;
    tree_call_done(&c);
    return r;
}

// ---- Links ----

int64_t tree_readlink(struct inode *inode, char *buf, uint64_t size)
{
    struct strbuf out = {0};
    struct tree_call c;
    int r = tree_call_init(&c, inode, NULL);
    if (r < 0)
        return -ENOENT;
    if ((c.entry->flags & ENTRY_PTRACE) && !proc_may_trace(c.task))
        r = -EACCES;
    else if (c.entry->show)
        r = c.entry->show(&c, &out);
    else
        strbuf_puts(&out, c.entry->text);
    tree_call_done(&c);
    if (r == 0 && out.truncated)
        r = -ENOMEM;
    uint64_t n = MIN(size, out.size);
    if (r == 0 && n)
        memcpy(buf, out.data, n);
    strbuf_done(&out);
    return r < 0 ? r : (int64_t)n;
}

int tree_follow(struct inode *inode, struct path *ret)
{
    struct tree_call c;
    int r = tree_call_init(&c, inode, NULL);
    if (r < 0)
        return -ENOENT;
    if (!c.entry->follow)
        r = -EINVAL; // ordinary text
    else if ((c.entry->flags & ENTRY_PTRACE) && !proc_may_trace(c.task))
        r = -EACCES;
    else
        r = c.entry->follow(&c, ret);
    tree_call_done(&c);
    return r;
}

// ---- Listing ----

int tree_dir_open(struct inode *inode, struct file *f)
{
    f->type = (uint8_t)tree_of(inode->sb)->dir_file;
    return 0;
}

static bool emit_static(const struct tree_call *c, const struct tree_table *table, struct dir_emit *d)
{
    struct tree_node child;
    for (uint64_t i = d->pos - 2; i < table->count; i++) {
        const struct tree_entry *e = &table->entries[i];
        if (!is_present(c, e))
            continue;
        static_node(c, e, (uint32_t)i, &child);
        if (!dir_emit(d, e->name, (uint32_t)strlen(e->name), ino_of(&child), mode_to_dtype(e->mode), i + 3))
            return false;
    }
    d->pos = FIRST_DYNAMIC;
    return true;
}

static void emit_dynamic(const struct tree_call *c, const struct tree_table *table, struct dir_emit *d)
{
    const struct tree_dynamic *dynamic = table->dynamic;
    uint64_t number;
    char name[32];
    while (dynamic->next(c, d->pos - FIRST_DYNAMIC, &number)) {
        struct strbuf b = STRBUF_FIXED(name);
        struct tree_node child;
        dynamic_node(c, table, number, &child);
        strbuf_printf(&b, "%s%llu", dynamic->entry.name, (unsigned long long)number);
        if (!dir_emit(d, name, (uint32_t)b.size, ino_of(&child), mode_to_dtype(dynamic->entry.mode),
                      FIRST_DYNAMIC + number + 1))
            return;
    }
}

int tree_iterate(struct file *f, struct dir_emit *d)
{
    struct tree_call c;
    int r = tree_call_init(&c, f->inode, f);
    if (r < 0)
        return -ENOENT;
    const struct tree_table *table = children_of(tree_of(f->inode->sb), c.node);
    bool more = dir_emit_dots(f, d);
    if (more && d->pos < FIRST_DYNAMIC)
        more = emit_static(&c, table, d);
    if (more && table->dynamic)
        emit_dynamic(&c, table, d);
    tree_call_done(&c);
    return d->error;
}

// ---- Super blocks ----

int tree_super_create(enum super_type type, uint64_t magic, struct super_block **ret)
{
    struct tree_node node = {.index = TREE_INDEX_ROOT};
    struct super_block *sb = super_alloc(type);
    if (!sb)
        return -ENOMEM;
    sb->magic = magic;
    struct inode *root = tree_make_inode(sb, &node, root_entry.mode);
    sb->root = root ? dentry_alloc_root(sb, root) : NULL;
    if (!sb->root) {
        super_unref(sb);
        return -ENOMEM;
    }
    *ret = sb;
    return 0;
}

int tree_statfs(struct super_block *sb, struct kstatfs *out)
{
    *out = (struct kstatfs){.type = sb->magic, .bsize = PAGE_SIZE, .frsize = PAGE_SIZE, .namelen = VFS_NAME_MAX};
    out->fsid = sb->dev;
    return 0;
}

int tree_sync(struct super_block *sb)
{
    return 0;
}
