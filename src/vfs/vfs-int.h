// Internals of the file layer, shared by the files of src/vfs/ (and the system calls of files where it says so).
#pragma once

#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/kernel.h"
#include "kernel/task.h"
#include "vfs/file.h"
#include "vfs/vfs.h"

#define VFS_NAME_MAX 255
#define VFS_PATH_MAX 4096
#define VFS_SYMLINK_MAX 40
#define MOUNT_HASH_SIZE 64

struct dentry_table {
    uint32_t mask;
    struct dentry *buckets[];
};

// Caches and tables; one per kernel, kernel.vfs.
struct vfs {
    struct lock hash_lock;           // LOCK_RANK_OBJECT: hash chains of dentries, LRU, free dentries
    struct dentry_table *table;      // GUARDED_BY(hash_lock) to change; walkers read it without
    _Atomic uint32_t removals;       // changes before and after a dentry leaves its chain: a miss between is no proof
    uint32_t dentry_count;           // GUARDED_BY(hash_lock): hashed ones
    uint32_t dentry_max;             // immutable
    struct list lru;                 // GUARDED_BY(hash_lock): hashed dentries, youngest first
    struct dentry *free_dentries;    // GUARDED_BY(hash_lock): by hash_next

    struct lock free_files_lock;     // LOCK_RANK_OBJECT: free_files
    struct file *free_files;         // by priv

    struct lock mount_lock;          // LOCK_RANK_OBJECT: mount_hash, free mounts, ids
    _Atomic uint32_t mount_seq;      // odd while a mount is attached or detached anywhere
    struct mount *mount_hash[MOUNT_HASH_SIZE];
    struct mount *free_mounts;       // by hash_next
    uint32_t next_mount_id;
    _Atomic uint32_t next_dev;       // minor numbers of st_dev
    _Atomic uint64_t next_anon_ino;

    uint32_t rename_cookie;          // atomic: pairs inotify's two halves of a rename
    struct cred *kernel_cred;        // root's, for work that no task asked for
    struct super_block *anon_sb;     // pipes, sockets, eventfds: immutable after vfs_init()
    struct mount *anon_mount;
    struct inode *anon_inode;        // shared by what has no inode of its own
    struct super_block *shm_sb;      // memfds, shared anonymous memory: a tmpfs that is mounted nowhere
    struct mount *shm_mount;
    struct lock file_locks_lock;     // LOCK_RANK_OBJECT: all advisory locks, see vfs/lock.c
    struct list posix_waiters;       // GUARDED_BY(file_locks_lock)
    struct list lock_contexts;       // GUARDED_BY(file_locks_lock): of every inode that was ever locked
};

static inline struct vfs *the_vfs(void)
{
    return the_kernel()->vfs;
}

// ---- dentry.c ----
uint32_t dentry_hash_name(const char *name, uint32_t len);
// An unhashed dentry with one reference: the caller's. Takes a reference on parent, and over the inode's. NULL: no memory (the
// inode's reference is dropped).
struct dentry *dentry_new(struct super_block *sb, struct dentry *parent, const char *name, uint32_t len, struct inode *inode);
void dentry_add(struct dentry *d);  // makes it found under its parent. parent's dir_lock held
void dentry_drop(struct dentry *d); // the reverse, for this dentry alone; harmless when done already
// Exact look-up among the cached; a reference or NULL. dir_lock of parent held if NULL has to mean that it isn't cached.
struct dentry *dentry_find(struct dentry *parent, const char *name, uint32_t len);
// Lock-free variant: no reference; *seq to be checked by the caller. NULL: not found, or not sure.
struct dentry *dentry_find_fast(struct vfs *v, struct dentry *parent, uint32_t parent_seq, const char *name, uint32_t len,
                                uint32_t hash, uint32_t *seq);
void dentry_set_inode(struct dentry *d, struct inode *inode); // negative to positive; takes over the reference
// rename: d takes the parent and name of target, which leaves the cache; with exchange, each takes the other's place.
void dentry_move(struct dentry *d, struct dentry *target, bool exchange);
struct dentry *dentry_get_parent(struct dentry *d); // reference
bool dentry_is_below(struct dentry *d, const struct dentry *ancestor); // or equal; rename_lock or approximate
// A copy of the name under the lock; the length.
uint32_t dentry_copy_name(struct dentry *d, char buf[VFS_NAME_MAX + 1]);
int dcache_init(struct vfs *v, uint64_t memory_limit);

static inline uint32_t seq_read_begin(const _Atomic uint32_t *seq)
{
    return __atomic_load_n((const uint32_t *)seq, __ATOMIC_ACQUIRE);
}
static inline bool seq_read_retry(const _Atomic uint32_t *seq, uint32_t start)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return (start & 1) || __atomic_load_n((const uint32_t *)seq, __ATOMIC_RELAXED) != start;
}
static inline void seq_write_begin(_Atomic uint32_t *seq)
{
    __atomic_fetch_add((uint32_t *)seq, 1, __ATOMIC_ACQ_REL);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}
static inline void seq_write_end(_Atomic uint32_t *seq)
{
    __atomic_fetch_add((uint32_t *)seq, 1, __ATOMIC_RELEASE);
}
#define LOAD_RELAXED(p) __atomic_load_n(&(p), __ATOMIC_RELAXED)
#define STORE_RELEASE(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

static inline uint32_t dentry_flags(const struct dentry *d)
{
    return __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
}

// ---- inode.c ----
int inode_generic_permission(const struct inode *inode, const struct cred *cred, int mask); // what inode_ops.permission may refine
// May cred act as owner of inode (chmod, utimes, sticky directories)?
bool inode_owner_or_capable(const struct inode *inode, const struct cred *cred);
int inode_getattr(struct inode *inode); // refreshes what the file system says may have changed
int inode_setattr(struct inode *inode, const struct setattr *attr); // file system's, or the fields
void inode_apply_setattr(struct inode *inode, const struct setattr *attr); // fields only; inode.lock not held
bool inode_group_matches(const struct inode *inode, const struct cred *cred);
struct timespec64 time_now(void);
static inline bool inode_is_dir(const struct inode *inode)
{
    return S_ISDIR(inode->mode);
}

// ---- mount.c ----
struct mount *mount_ref(struct mount *m);
void mount_unref(struct mount *m);
// A mount with one reference; takes over those on sb and root. NULL: no memory (they are dropped).
struct mount *mount_alloc(struct super_block *sb, struct dentry *root, const char *source, uint32_t flags);
struct mount *mount_find_fast(struct vfs *v, const struct mount *parent, const struct dentry *d); // no reference, see mount_seq
struct mount *mount_find(struct mount *parent, struct dentry *d); // reference
// m, of one reference that is taken over, covers *at.
int mount_attach(struct mount_ns *ns, struct mount *m, const struct path *at);
void path_step_down(struct path *p); // to the root of what is mounted on it
bool path_step_up(struct path *p);   // from the root of a mount to what it covers; false at the top
struct mount_ns *mount_ns_alloc(struct mount *root); // takes over the reference
struct mount_ns *mount_ns_ref(struct mount_ns *ns);
void mount_ns_unref(struct mount_ns *ns);
int mounts_init(struct vfs *v);
const struct super_ops *super_ops_by_name(const char *name);
const struct super_ops *super_ops_by_type(enum super_type type); // NULL: not in this build
uint32_t super_new_dev(void);

void super_kill(struct super_block *sb); // the last mount is gone

// mount(2) and its kin, on kernel copies of the arguments; data may be NULL.
int do_mount(struct task *t, const char *source, const struct path *target, const char *type, uint64_t flags, const char *data);
int do_umount(struct task *t, const struct path *target, int flags);
int do_pivot_root(struct task *t, const struct path *new_root, const struct path *put_old);

// ---- path-text.c ----
enum {
    PATH_TEXT_DELETED = 1,      // " (deleted)" behind names that are gone
    PATH_TEXT_UNREACHABLE = 2,  // "(unreachable)" before what is not below root
    PATH_TEXT_ONLY_REACHED = 4, // -EINVAL for such
};
int64_t path_text(const struct path *p, const struct path *root, struct mount_ns *ns, uint32_t flags, char *buf, uint64_t size);

// ---- dir.c ----
uint32_t mode_to_dtype(uint32_t mode);
bool dir_emit_dots(struct file *f, struct dir_emit *d); // "." and ".."; false: stop
int64_t dir_seek(struct file *f, int64_t offset, int whence);

// ---- walk.c ----
// Where a walk begins and for whom. Its references are the owner's.
struct walk_env {
    const struct cred *cred;
    struct path root, start;
};
// last NULL: to the end. Otherwise as for O_CREAT: to the directory of the last component once final symlinks are followed
// (if LOOKUP_FOLLOW), or to the end when that is no name (".", "..", "/"); *last_name holds the name, kmalloc'ed.
int path_walk_slow(const struct walk_env *env, const char *name, uint32_t flags, struct path *ret, char **last_name,
                   struct last_component *last);
int walk_env_init(struct task *t, int dirfd, const char *name, uint32_t flags, struct walk_env *env);
void walk_env_done(struct walk_env *env);
// -ECHILD: not sure, take the slow way. Any other value is the answer.
int path_walk_fast(struct task *t, int dirfd, const char *name, uint32_t flags, struct path *ret);
// A guest's path: in small when it fits there, else kmalloc'ed. Length or a negative errno; then path_name_done().
#define PATH_SMALL 256
int path_copy_name(struct task *t, uaddr_t name, char small[PATH_SMALL], char **ret);
static inline void path_name_done(const char *small, char *text)
{
    if (text != small)
        kfree(text);
}
void last_component_of(char *name, struct last_component *last);
// Child of dir: positive or negative dentry, with a reference; 0 or an error (never -ENOENT, absence is a negative dentry).
// dir's dir_lock held or not, as it says. A negative dentry need not be hashed.
int dentry_lookup(struct dentry *dir, const char *name, uint32_t len, struct dentry **ret);
int dentry_lookup_locked(struct dentry *dir, const char *name, uint32_t len, struct dentry **ret);
// May t walk through the directory?
int dir_permission(struct inode *dir, const struct cred *cred);

// ---- namei.c: changes of directories, on an open parent ----
int vfs_mknod(struct task *t, const struct path *dir, const struct last_component *last, uint32_t mode, uint64_t rdev);
int vfs_mkdir(struct task *t, const struct path *dir, const struct last_component *last, uint32_t mode);
int vfs_symlink(struct task *t, const struct path *dir, const struct last_component *last, const char *target);
int vfs_link(struct task *t, const struct path *dir, const struct last_component *last, const struct path *target);
int vfs_unlink(struct task *t, const struct path *dir, const struct last_component *last);
int vfs_rmdir(struct task *t, const struct path *dir, const struct last_component *last);
int vfs_rename(struct task *t, const struct path *old_dir, const struct last_component *old, const struct path *new_dir,
               const struct last_component *new, uint32_t flags);
// During the start, for mount points: a directory or an empty file, without a task.
int vfs_make_node(const struct cred *cred, const struct path *dir, const struct last_component *last, uint32_t mode);
// Creates a file in a directory whose dir_lock is held; d is the negative dentry and becomes positive. For open.
int vfs_create_locked(struct task *t, const struct path *dir, struct dentry *d, uint32_t mode, uint64_t rdev);
int vfs_tmpfile(struct task *t, const struct path *dir, uint32_t mode, struct path *ret);
uint32_t mode_for_create(struct task *t, const struct inode *dir, uint32_t mode); // umask, set-group-ID inheritance
// A Unix socket's bind: a socket node at a path. *ret_path, with references, names it.
int vfs_bind_socket(struct task *t, char *name, uint32_t mode, struct path *ret_path);

// ---- notify.c ----
// An event of a name in dir: creation, removal, renaming. mask with IN_ISDIR.
void vfs_notify_dir(struct inode *dir, uint32_t mask, uint32_t cookie, const char *name, uint32_t len);

// ---- attr.c ----
int vfs_chmod(struct task *t, const struct path *p, uint32_t mode);
int vfs_chown(struct task *t, const struct path *p, uint32_t uid, uint32_t gid); // UINT32_MAX: leave
int vfs_truncate(struct task *t, struct inode *inode, uint64_t size); // permission checked by the caller
// times: NULL for now. nsec may be UTIME_NOW, UTIME_OMIT.
int vfs_utimes(struct task *t, const struct path *p, const struct timespec64 times[2]);

// ---- file.c ----
struct file *file_alloc(uint32_t flags, const struct cred *cred); // type FILE_NONE, one reference
int64_t vfs_read(struct task *t, struct file *f, struct uio *u, uint64_t *pos);
int64_t vfs_write(struct task *t, struct file *f, struct uio *u, uint64_t *pos);
int vfs_sync_file(struct file *f, bool data_only, uint64_t offset, uint64_t size);
int file_get_write_access(struct inode *inode); // 0 or -ETXTBSY
void file_put_write_access(struct inode *inode);
void path_accessed(const struct path *p); // as file_accessed(), for readlink and the like
uint32_t mode_without_privileges(uint32_t mode); // set-user-ID bits that a write by others takes away
void file_pos_lock(struct file *f);
void file_pos_unlock(struct file *f);
int chrdev_open(struct inode *inode, struct file *f, struct task *t);

// ---- fd-table.c ----
struct fd_table *fd_table_alloc(uint32_t size);
struct fd_table *fd_table_copy(struct fd_table *old, uint32_t max); // numbers below max only
int fd_dup_to(struct task *t, struct file *f, uint32_t fd, bool cloexec); // takes a reference of its own
int fd_set_cloexec(struct task *t, int fd, bool on);
int fd_get_cloexec(struct task *t, int fd); // 0, 1, -EBADF
void fd_table_close_range(struct task *t, uint32_t first, uint32_t last, bool only_cloexec_flag);
void fd_table_close_on_exec(struct task *t);

// ---- fs-context.c ----
struct fs_context *fs_context_alloc(void);
struct fs_context *fs_context_copy(struct fs_context *old);
void fs_set_cwd(struct fs_context *fs, const struct path *p);  // takes references of its own
void fs_set_root(struct fs_context *fs, const struct path *p);
void fs_replace_root(struct fs_context *fs, const struct path *from, const struct path *to);

// ---- task-files.c ----
int files_unshare_table(struct task *t, uint32_t max); // an own table, with the numbers below max
int files_unshare_fs(struct task *t);

// ---- lock.c: advisory locks ----
void file_locks_close(struct fd_table *table, struct file *f); // a close of a descriptor: POSIX locks of its table go
void file_locks_release(struct file *f);                 // last reference: flock and OFD locks go
void file_locks_free(struct inode *inode);
void file_locks_show(struct strbuf *out); // /proc/locks
int file_flock(struct task *t, struct file *f, int op);
struct flock;
int file_lock_set(struct task *t, struct file *f, const struct flock *l, bool ofd, bool wait);
int file_lock_get(struct task *t, struct file *f, struct flock *l, bool ofd);
