// The first mount namespace, from the boot spec: root (host directory, overlay, or an empty tmpfs), then the mounts in their order.
//
// Runs once, before any guest task exists, with a cred of root's. A missing mount point is made. File systems that take an
// exported directory get it by number in their options: "export=N", and for the overlay the same for what lies below.
#include <linux/capability.h>
#include <stdio.h>

#include "base/log.h"
#include "base/slab.h"
#include "sandbox/boot-spec.h"
#include "vfs/mount-int.h"
#include "vfs/vfs-int.h"

static struct cred *make_kernel_cred(void)
{
    static const struct cred zero = {0};
    struct cred *c = cred_copy(&zero);
    if (c) {
        refcount_init(&c->refs, 1);
        c->permitted = c->effective = c->bounding = CAP_FULL;
    }
    return c;
}

// A super block that no path leads to, and its mount.
static int hidden_mount(struct super_block *sb, uint32_t flags, struct mount **ret)
{
    *ret = mount_alloc(sb, dentry_ref(sb->root), "none", flags);
    return *ret ? 0 : -ENOMEM;
}

static int init_anon(struct vfs *v)
{
    struct super_block *sb = super_alloc(SUPER_ANON);
    if (!sb)
        return -ENOMEM;
    sb->magic = 0x09041934; // ANON_INODE_FS_MAGIC
    v->anon_sb = sb;
    v->anon_inode = inode_alloc(sb, INODE_ANON, 0600);
    struct inode *root = inode_alloc(sb, INODE_ANON, S_IFDIR | 0500);
    sb->root = root ? dentry_alloc_root(sb, root) : NULL;
    if (!v->anon_inode || !sb->root)
        return -ENOMEM;
    refcount_get(&sb->refs);
    return hidden_mount(sb, MS_NOATIME | MS_NODEV | MS_NOEXEC, &v->anon_mount);
}

static int init_shm(struct vfs *v)
{
    const struct super_ops *ops = super_ops_by_type(SUPER_TMPFS);
    int r = ops ? ops->mount(NULL, "shm", "mode=700", &v->shm_sb) : -ENODEV;
    if (r < 0)
        return r;
    refcount_get(&v->shm_sb->refs);
    return hidden_mount(v->shm_sb, MS_NOATIME | MS_NODEV, &v->shm_mount);
}

static int make_super(enum super_type type, const char *source, const char *options,
                      struct super_block **ret)
{
    const struct super_ops *ops = super_ops_by_type(type);
    if (!ops || !ops->mount)
        return -ENODEV;
    return ops->mount(NULL, source, options, ret);
}

static int make_root(const struct boot_spec *spec, struct super_block **ret, const char **source)
{
    char options[64];
    if (!spec || spec->export_count == 0) {
        *source = "tmpfs";
        return make_super(SUPER_TMPFS, "tmpfs", "mode=755", ret);
    }
    const struct boot_export *e = &spec->exports[spec->root_export];
    snprintf(options, sizeof(options), "export=%u%s", spec->root_export,
             e->flags & BOOT_EXPORT_SHARED ? ",shared" : "");
    if (spec->overlay == BOOT_OVERLAY_NONE) {
        *source = e->path;
        return make_super(SUPER_HOSTFS, e->path, options, ret);
    }
    *source = "overlay";
    return make_super(SUPER_OVERLAY, "overlay", options, ret);
}

// ---- Mount points ----

// The path of target below the root, made where it is missing: directories on the way, and a directory or an empty file at the
// end. Symlinks in the image are followed inside the root.
static int make_target(const struct walk_env *env, const char *target, bool directory,
                       struct path *ret)
{
    char *text = kstrdup(target), *end;
    struct path at = {0};
    int r = 0;
    if (!text)
        return -ENOMEM;
    for (uint64_t i = 1; r == 0; i++) {
        char c = text[i];
        if (c != '/' && c != 0)
            continue;
        text[i] = 0;
        end = text + i;
        path_put(&at);
        r = path_walk_slow(env, text, LOOKUP_FOLLOW | LOOKUP_IN_ROOT, &at, NULL, NULL);
        if (r == -ENOENT) {
            char *last_name = NULL;
            struct last_component last = {0};
            bool want_dir = c != 0 || directory;
            r = path_walk_slow(env, text, LOOKUP_FOLLOW | LOOKUP_IN_ROOT, &at, &last_name, &last);
            if (r == 0 && last_name) {
                r = vfs_make_node(env->cred, &at, &last,
                                  want_dir ? S_IFDIR | 0755 : S_IFREG | 0644);
                path_put(&at);
                if (r == 0)
                    r = path_walk_slow(env, text, LOOKUP_FOLLOW | LOOKUP_IN_ROOT, &at, NULL, NULL);
            }
            kfree(last_name);
        }
        *end = c;
        if (c == 0)
            break;
    }
    kfree(text);
    if (r < 0)
        path_put(&at);
    else
        *ret = at;
    return r;
}

static enum super_type super_of_mount(uint32_t type)
{
    static const uint8_t table[BOOT_MOUNT_TYPE_COUNT] = {
        [BOOT_MOUNT_BIND] = SUPER_HOSTFS,   [BOOT_MOUNT_TMPFS] = SUPER_TMPFS,
        [BOOT_MOUNT_PROC] = SUPER_PROC,     [BOOT_MOUNT_SYSFS] = SUPER_SYSFS,
        [BOOT_MOUNT_DEVPTS] = SUPER_DEVPTS, [BOOT_MOUNT_DEVTMPFS] = SUPER_DEVTMPFS,
        [BOOT_MOUNT_MQUEUE] = SUPER_MQUEUE,
    };
    return type < BOOT_MOUNT_TYPE_COUNT ? table[type] : SUPER_NONE;
}

static int add_mount(struct mount_ns *ns, const struct walk_env *env, const struct boot_spec *spec,
                     const struct boot_mount *m)
{
    char options[64];
    const char *text = m->options ? m->options : "";
    enum super_type type = super_of_mount(m->type);
    struct super_block *sb;
    struct path at;
    if (m->type == BOOT_MOUNT_BIND) {
        const struct boot_export *e = &spec->exports[m->export_id];
        snprintf(options, sizeof(options), "export=%u%s", m->export_id,
                 e->flags & BOOT_EXPORT_SHARED ? ",shared" : "");
        text = options;
    }
    int r = type == SUPER_NONE ? -ENODEV : make_super(type, m->source, text, &sb);
    if (r < 0)
        return r;
    r = make_target(env, m->target, inode_is_dir(sb->root->inode), &at);
    if (r < 0) {
        super_kill(sb);
        super_unref(sb);
        return r;
    }
    struct mount *mnt =
        mount_alloc(sb, dentry_ref(sb->root), m->source, (uint32_t)(m->flags & MOUNT_FLAGS));
    r = mnt ? mount_attach(ns, mnt, &at) : -ENOMEM;
    path_put(&at);
    return r;
}

// Covers a path of the boot spec with itself, read-only; missing ones are passed over (OCI runtime specification).
static int make_read_only(struct mount_ns *ns, const struct walk_env *env, const char *name)
{
    struct path at;
    int r = path_walk_slow(env, name, LOOKUP_FOLLOW | LOOKUP_IN_ROOT, &at, NULL, NULL);
    if (r < 0)
        return r == -ENOENT || r == -ENOTDIR ? 0 : r;
    struct super_block *sb = at.mount->sb;
    refcount_get(&sb->refs);
    struct mount *m =
        mount_alloc(sb, dentry_ref(at.dentry), at.mount->source, at.mount->flags | MS_RDONLY);
    r = m ? mount_attach(ns, m, &at) : -ENOMEM;
    path_put(&at);
    return r;
}

// Hides a path: a directory under an empty one that can't be written, anything else under /dev/null.
static int mask(struct mount_ns *ns, const struct walk_env *env, const char *name)
{
    struct path at, null = {0};
    struct super_block *sb;
    struct dentry *root;
    int r = path_walk_slow(env, name, LOOKUP_FOLLOW | LOOKUP_IN_ROOT, &at, NULL, NULL);
    if (r < 0)
        return r == -ENOENT || r == -ENOTDIR ? 0 : r;
    if (inode_is_dir(at.dentry->inode)) {
        r = make_super(SUPER_TMPFS, "tmpfs", "size=0,mode=755", &sb);
        root = r == 0 ? dentry_ref(sb->root) : NULL;
    } else {
        r = path_walk_slow(env, "/dev/null", LOOKUP_FOLLOW | LOOKUP_IN_ROOT, &null, NULL, NULL);
        if (r == 0) {
            sb = null.mount->sb;
            refcount_get(&sb->refs);
            root = dentry_ref(null.dentry);
        }
    }
    if (r == 0) {
        struct mount *m = mount_alloc(sb, root, "tmpfs", MS_RDONLY | MS_RELATIME);
        r = m ? mount_attach(ns, m, &at) : -ENOMEM;
    }
    path_put(&null);
    path_put(&at);
    return r;
}

static int for_paths(struct mount_ns *ns, const struct walk_env *env,
                     const struct boot_strings *paths,
                     int (*f)(struct mount_ns *ns, const struct walk_env *env, const char *name))
{
    int r = 0;
    for (uint32_t at = 0; r == 0 && at < paths->size;
         at += (uint32_t)strlen(paths->data + at) + 1) {
        r = f(ns, env, paths->data + at);
        if (r < 0)
            log_error("path %s: error %d", paths->data + at, -r);
    }
    return r;
}

static int add_mounts(struct kernel *k, struct vfs *v)
{
    struct walk_env env = {.cred = v->kernel_cred};
    const struct boot_spec *spec = k->spec;
    int r = 0;
    env.root = (struct path){.mount = k->mounts->root, .dentry = k->mounts->root->root};
    env.start = env.root;
    path_get(&env.root);
    path_get(&env.start);
    for (uint32_t i = 0; spec && i < spec->mount_count && r == 0; i++) {
        const struct boot_mount *m = &spec->mounts[i];
        r = add_mount(k->mounts, &env, spec, m);
        if (r == -ENODEV) { // a file system that this build lacks: its place stays empty
            log_info("mount %s at %s: file system is not available", m->source, m->target);
            r = 0;
        } else if (r < 0) {
            log_error("mount %s at %s: error %d", m->source, m->target, -r);
        }
    }
    if (spec && r == 0)
        r = for_paths(k->mounts, &env, &spec->readonly_paths, make_read_only);
    if (spec && r == 0)
        r = for_paths(k->mounts, &env, &spec->masked_paths, mask);
    walk_env_done(&env);
    return r;
}

int vfs_init(struct kernel *k)
{
    struct super_block *sb;
    const char *source;
    struct vfs *v = kmalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    k->vfs = v;
    lock_init(&k->epoll_nest_lock, LOCK_RANK_EPOLL_NEST);
    lock_init(&v->file_locks_lock, LOCK_RANK_OBJECT);
    lock_init(&v->free_files_lock, LOCK_RANK_OBJECT);
    list_init(&v->posix_waiters);
    list_init(&v->lock_contexts);
    v->kernel_cred = make_kernel_cred();
    if (!v->kernel_cred)
        return -ENOMEM;
    int r = dcache_init(v, k->memory_limit);
    if (r == 0)
        r = mounts_init(v);
    if (r == 0)
        r = init_anon(v);
    if (r == 0)
        r = init_shm(v);
    if (r == 0 && (r = make_root(k->spec, &sb, &source)) < 0)
        log_error("root file system: error %d", -r);
    if (r < 0)
        return r;
    uint32_t flags = k->spec && (k->spec->flags & BOOT_ROOT_READONLY) ? MS_RDONLY : 0;
    struct mount *root = mount_alloc(sb, dentry_ref(sb->root), source, 0);
    k->mounts = root ? mount_ns_alloc(root) : NULL;
    if (!k->mounts)
        return -ENOMEM;
    r = add_mounts(k, v);
    root->flags |= flags | MS_RELATIME; // read-only only now that the mount points are made
    return r;
}
