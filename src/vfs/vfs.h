// The file layer's objects: inodes, dentries, mounts, paths, super blocks.
//
// Locks, in the order they are taken: super_block.rename_lock > inode.dir_lock (two by address) > inode.lock > mount_ns.lock >
// dentry.lock. Path walking takes none of them on its fast path (vfs/walk-fast.c). dir_lock guards a directory's entries; on a
// regular file it serialises writers (write, truncate, fallocate) and is held over copies from the guest. mm.lock is taken
// under inode.lock (truncation), so nothing that runs under mm.lock (file_map_source) may take an inode's locks.
// References: a dentry holds its inode and its parent; a path holds its mount and dentry; a file holds its path.
// Objects carry a type number; the operations are found in constant tables (vfs/types.c).
#pragma once

#include <sys/stat.h>

#include "base/list.h"
#include "base/lock.h"
#include "base/rbtree.h"
#include "base/refcount.h"
#include "base/types.h"
#include "kernel/cred.h"
#include "kernel/wait.h"

struct file;
struct file_lock_context;
struct fs_context;
struct inotify_watch;
struct kstatfs;
struct mount_ns;
struct path;
struct pipe;
struct strbuf;
struct task;
struct unix_socket;

// One per kind of inode; append. The table of operations is in vfs/types.c.
enum inode_type {
    INODE_NONE,
    INODE_TMPFS_REG,
    INODE_TMPFS_DIR,
    INODE_TMPFS_OTHER, // symlink, fifo, socket, device
    INODE_HOSTFS,
    INODE_OVERLAY,
    INODE_PROC_DIR,
    INODE_PROC_FILE,
    INODE_PROC_LINK,
    INODE_SYSFS_DIR,
    INODE_SYSFS_FILE,
    INODE_SYSFS_LINK,
    INODE_DEVPTS_ROOT,
    INODE_DEVPTS_PTY,
    INODE_ANON, // pipes, sockets, eventfds…: never looked up by name
    INODE_HOST_STDIO, // a standard descriptor of the host's: fs/host/stdio.c
    INODE_TYPE_COUNT
};

struct timespec64 {
    int64_t sec;
    uint32_t nsec;
};

struct inode {
    refcount_t refs;
    uint8_t type; // enum inode_type; immutable
    uint32_t mode;          // S_IFMT immutable; the rest GUARDED_BY(lock)
    uint32_t uid, gid;      // GUARDED_BY(lock)
    uint32_t nlink;         // GUARDED_BY(lock)
    uint32_t flags;         // enum inode_flags
    uint64_t ino;           // immutable
    uint64_t rdev;          // Linux dev_t encoding (makedev of glibc); immutable
    uint64_t size;          // GUARDED_BY(lock); single reads without
    uint64_t blocks;        // 512-byte units
    struct timespec64 atime, mtime, ctime, btime; // GUARDED_BY(lock)
    struct super_block *sb; // immutable
    struct lock dir_lock;   // LOCK_RANK_INODE_DIR: entries of a directory, writers of a file
    struct lock lock;       // LOCK_RANK_INODE
    void *priv;             // the file system's own
    struct file_lock_context *locks; // flock, POSIX, OFD; created on demand
    struct dentry *dir_dentry; // of a directory: the one dentry that names it, no reference; see inode_any_dentry()
    char *link;             // target of a symlink, NUL-terminated, kmalloc'ed; set once (inode_set_link), then immutable
    uint32_t link_size;
    struct list watches;    // inotify, GUARDED_BY(lock)
    struct pipe *fifo;      // open FIFO
    struct unix_socket *socket; // bound AF_UNIX socket
    _Atomic int32_t write_count; // writers, or < 0: -(executions), ETXTBSY
    _Atomic uint32_t map_count;  // shared or private mappings
    _Atomic uint32_t writable_maps; // shared mappings that may be written
    uint32_t seals;              // F_SEAL_* of a memfd; GUARDED_BY(lock)
};

enum inode_flags {
    INODE_REVALIDATE = 1 << 0, // attributes may change behind our back (shared bind mounts, proc)
    INODE_NO_CACHE = 1 << 1,   // dentries of this directory are not cached (proc's pid entries)
    INODE_IMMUTABLE_FS = 1 << 2,
    INODE_DEAD = 1 << 3,       // removed directory
    INODE_TMPFILE = 1 << 4,    // O_TMPFILE: has no name yet but may get one
    INODE_NO_LINK = 1 << 5,    // O_TMPFILE | O_EXCL: may not
    INODE_FILE_CAPS = 1 << 6,  // has, or had, security.capability: a write takes it away
};

struct setattr {
    uint32_t valid; // SETATTR_*
    uint32_t mode, uid, gid;
    uint64_t size;
    struct timespec64 atime, mtime;
};
enum { SETATTR_MODE = 1, SETATTR_UID = 2, SETATTR_GID = 4, SETATTR_SIZE = 8, SETATTR_ATIME = 16, SETATTR_MTIME = 32,
       SETATTR_CTIME = 64 };

// Operations on inodes. Permission, read-only mounts, name lengths and existence are checked by the caller (vfs/namei.c), which
// holds dir_lock of every directory that changes. All may sleep (a message to the gofer). 0 or a negative errno. NULL: -EPERM
// for changes, -ENOTDIR for lookup, generic behaviour from the struct's fields for getattr.
struct inode_ops {
    // On success *ret holds a reference. -ENOENT when absent. Called with dir->dir_lock held.
    int (*lookup)(struct inode *dir, const char *name, uint32_t len, struct inode **ret);
    // Any type but directories and symlinks. mode with S_IFMT.
    int (*create)(struct inode *dir, const char *name, uint32_t len, uint32_t mode, uint64_t rdev, const struct cred *cred,
                  struct inode **ret);
    int (*mkdir)(struct inode *dir, const char *name, uint32_t len, uint32_t mode, const struct cred *cred,
                 struct inode **ret);
    int (*symlink)(struct inode *dir, const char *name, uint32_t len, const char *target, const struct cred *cred,
                   struct inode **ret);
    int (*link)(struct inode *dir, const char *name, uint32_t len, struct inode *target);
    int (*unlink)(struct inode *dir, const char *name, uint32_t len, struct inode *victim); // not directories
    int (*rmdir)(struct inode *dir, const char *name, uint32_t len, struct inode *victim);
    // flags: RENAME_NOREPLACE (checked by the caller), RENAME_EXCHANGE, RENAME_WHITEOUT. victim may be NULL.
    int (*rename)(struct inode *old_dir, const char *old_name, uint32_t old_len, struct inode *moved,
                  struct inode *new_dir, const char *new_name, uint32_t new_len, struct inode *victim, uint32_t flags);
    // An unnamed file (O_TMPFILE).
    int (*tmpfile)(struct inode *dir, uint32_t mode, const struct cred *cred, struct inode **ret);
    int64_t (*readlink)(struct inode *inode, char *buf, uint64_t size); // bytes, not NUL-terminated
    // A "magic" link (/proc/PID/fd/N, exe, cwd, root): the object itself. NULL when the type has none.
    int (*follow)(struct inode *inode, struct path *ret);
    int (*getattr)(struct inode *inode); // refreshes the fields
    // And updates the fields. No lock of the inode is held; a change of size takes dir_lock itself, as every writer does.
    int (*setattr)(struct inode *inode, const struct setattr *attr);
    int (*open)(struct inode *inode, struct file *f); // sets f->type, f->priv; fills in nothing else
    int (*permission)(struct inode *inode, const struct cred *cred, int mask); // override of the generic check
    int64_t (*getxattr)(struct inode *inode, const char *name, void *value, uint64_t size); // size 0: ask
    int (*setxattr)(struct inode *inode, const char *name, const void *value, uint64_t size, int flags);
    int64_t (*listxattr)(struct inode *inode, char *list, uint64_t size);
    int (*removexattr)(struct inode *inode, const char *name);
    void (*evict)(struct inode *inode); // last reference: free what priv holds
};
const struct inode_ops *inode_ops(const struct inode *inode);

enum super_type {
    SUPER_NONE,
    SUPER_TMPFS,
    SUPER_HOSTFS,
    SUPER_OVERLAY,
    SUPER_PROC,
    SUPER_SYSFS,
    SUPER_DEVTMPFS, // a tmpfs filled with device nodes
    SUPER_DEVPTS,
    SUPER_MQUEUE,
    SUPER_ANON, // pipefs, sockfs, anon_inode
    SUPER_TYPE_COUNT
};

struct super_block {
    refcount_t refs;
    uint8_t type;     // enum super_type
    bool read_only;
    uint32_t dev;     // st_dev
    uint64_t magic;   // statfs f_type
    uint64_t max_size;
    struct lock rename_lock; // LOCK_RANK_RENAME
    struct dentry *root;     // holds a reference until the last mount goes
    _Atomic uint32_t active; // mounts of it
    _Atomic uint64_t next_ino;
    void *priv;
};

enum {
    SUPER_MOUNTABLE = 1, // by a guest's mount(2)
    SUPER_NODEV = 2,     // "nodev" in /proc/filesystems
};

struct super_ops {
    const char *name; // as in /proc/filesystems and mount(2)
    uint32_t flags;   // SUPER_MOUNTABLE, SUPER_NODEV
    // options: mount(2)'s data text, never NULL. *ret: new super block with root set, one reference. t NULL: at the start.
    int (*mount)(struct task *t, const char *source, const char *options, struct super_block **ret);
    int (*statfs)(struct super_block *sb, struct kstatfs *out);
    int (*sync)(struct super_block *sb);
    void (*show_options)(struct super_block *sb, struct strbuf *out);
    void (*destroy)(struct super_block *sb);
    // Does the dentry's cached inode (or absence) still hold? NULL: always. dir_lock of the parent not held.
    int (*revalidate)(struct dentry *d); // 1 valid, 0 drop it, negative errno
};
const struct super_ops *super_ops(const struct super_block *sb);

struct kstatfs {
    uint64_t type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize, flags;
};

struct dentry {
    refcount_t refs;
    struct lock lock;         // LOCK_RANK_DENTRY
    struct dentry *parent;    // holds a reference; itself for a root
    struct inode *inode;      // NULL: known to be absent
    struct super_block *sb;
    _Atomic uint32_t seq;     // even: stable; odd: being changed, or free. Goes on counting over reuse of the memory
    char *name;               // NUL-terminated; inline_name or kmalloc'ed
    uint32_t name_len;
    uint32_t name_hash;
    struct dentry *hash_next;
    struct list children, sibling; // GUARDED_BY(lock of the parent)
    struct list lru;
    _Atomic uint32_t mount_count; // something is mounted here, in some namespace
    uint32_t flags;           // DENTRY_*; atomic
    uint64_t cookie;          // place among the parent's children: increasing along the list, never used twice
    uint64_t next_cookie;     // of the next child; GUARDED_BY(lock)
    uint8_t used;             // looked up since the LRU saw it last
    char inline_name[40];
};
enum {
    DENTRY_UNHASHED = 1,
    DENTRY_DELETED = 2,
    DENTRY_COMPLETE = 4, // all children of this directory are cached: what isn't found isn't there
    DENTRY_LOST = 8,     // a child was evicted since dentry_fill_begin()
};

struct path {
    struct mount *mount;
    struct dentry *dentry;
};

struct mount {
    refcount_t refs;
    uint32_t id;
    struct mount *parent;      // holds a reference; NULL at the top
    struct dentry *mountpoint; // in parent
    struct dentry *root;       // of this mount
    struct super_block *sb;
    uint32_t flags;            // MS_RDONLY, NOSUID, NODEV, NOEXEC, NOATIME, RELATIME…
    struct list node;          // mount_ns.mounts
    struct mount *hash_next;   // by parent and mountpoint
    struct mount_ns *ns;       // NULL once unmounted
    _Atomic uint32_t writers;  // files open for writing
    bool expiry_mark;          // umount2(MNT_EXPIRE) came once
    char *source;              // as shown in /proc/mounts; immutable
    struct path detached_from; // on the way out only
};

struct mount_ns {
    refcount_t refs;
    struct lock lock;   // LOCK_RANK_MOUNTS
    struct list mounts; // in order of mounting
    struct mount *root;
    _Atomic uint32_t sequence; // changes with every mount and umount
    struct wait_queue wq; // pollers of /proc/mounts
};

void path_get(const struct path *p);
void path_put(struct path *p); // and clears it; harmless on an empty one

struct inode *inode_alloc(struct super_block *sb, enum inode_type type, uint32_t mode); // one reference, times now
// Owner and mode of a new inode in dir: fsuid, fsgid or the group of a set-group-ID directory. mode with S_IFMT.
void inode_init_owner(struct inode *inode, const struct inode *dir, uint32_t mode, const struct cred *cred);
struct inode *inode_ref(struct inode *inode);
void inode_unref(struct inode *inode);
struct dentry *dentry_ref(struct dentry *d);
void dentry_unref(struct dentry *d);
struct dentry *dentry_alloc_root(struct super_block *sb, struct inode *root); // takes the inode's reference
struct super_block *super_alloc(enum super_type type);
void super_unref(struct super_block *sb);
// A directory read by the file system fills the cache: children with their inodes (reference taken; NULL: known to be absent),
// and, when complete, the knowledge that nothing else is there. dir->dir_lock held. Names that are cached already stay as they
// are. Bracket a whole listing with dentry_fill_begin() and dentry_set_complete() (around lookup, begin is done by the caller).
void dentry_fill_begin(struct dentry *dir);
void dentry_cache_child(struct dentry *dir, const char *name, uint32_t len, struct inode *inode);
void dentry_set_complete(struct dentry *dir);
void dentry_invalidate(struct dentry *d); // drops it and what is below from the cache
// The dentry through which a directory inode is known; for file systems that cache whole directories. NULL possible. No
// reference: it stays while an operation on the directory runs (the caller of the operation holds it).
struct dentry *inode_any_dentry(struct inode *dir);
// Gives a symlink inode its target for good, so that walking needs no call of readlink. 0 or -ENOMEM.
int inode_set_link(struct inode *inode, const char *target, uint64_t size);

void inode_touch(struct inode *inode, bool atime, bool mtime, bool ctime); // to now
// Generic permission check (mode bits, capabilities, setgid/sticky not included): mask of 4 read, 2 write, 1 exec.
int inode_permission(struct inode *inode, const struct cred *cred, int mask);

// ---- Walking (vfs/walk.c) ----
enum lookup_flags {
    LOOKUP_FOLLOW = 1 << 0,     // a symlink at the end is followed
    LOOKUP_PARENT = 1 << 1,     // stops at the parent; the last component is returned
    LOOKUP_DIRECTORY = 1 << 2,  // the result must be a directory
    LOOKUP_EMPTY = 1 << 3,      // AT_EMPTY_PATH
    LOOKUP_NO_SYMLINKS = 1 << 4, LOOKUP_NO_MAGICLINKS = 1 << 5, LOOKUP_NO_XDEV = 1 << 6, LOOKUP_BENEATH = 1 << 7,
    LOOKUP_IN_ROOT = 1 << 8,    // openat2's RESOLVE_*
    LOOKUP_CACHED = 1 << 9,     // -EAGAIN instead of asking the file system
    LOOKUP_CREATE = 1 << 10,    // trailing slashes are an error for the last component
    LOOKUP_REVAL_EXEC = 1 << 11,
};
// name: a kernel string of at most PATH_MAX-1 bytes. *ret holds references. Errors as path_resolution(7).
int path_lookup(struct task *t, int dirfd, const char *name, uint32_t flags, struct path *ret);
// The same from a guest's string.
int path_lookup_user(struct task *t, int dirfd, uaddr_t name, uint32_t flags, struct path *ret);
struct last_component {
    char *name; // into the caller's string
    uint32_t len;
    uint8_t kind; // 0 a name, 1 ".", 2 "..", 3 "/"
    bool trailing_slash;
};
int path_lookup_parent(struct task *t, int dirfd, char *name, uint32_t flags, struct path *ret, struct last_component *last);
// The text of a path as t sees it ("(unreachable)" and " (deleted)" as Linux does). Bytes without NUL, or -ENAMETOOLONG.
int64_t path_to_text(struct task *t, const struct path *p, char *buf, uint64_t size);
int mount_want_write(struct mount *m); // 0 or -EROFS
// The text of /proc/PID/mounts and /proc/PID/mountinfo of a task's namespace and root (vfs/mount-show.c).
void mounts_show(struct fs_context *fs, struct strbuf *out);
void mountinfo_show(struct fs_context *fs, struct strbuf *out);
void filesystems_show(struct strbuf *out); // /proc/filesystems

// ---- Open files: vfs/file.h ----
