// Open files, descriptor tables, and what read, write, poll and ioctl need of each type.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>

#include "base/list.h"
#include "base/lock.h"
#include "base/refcount.h"
#include "base/types.h"
#include "kernel/wait.h"
#include "mm/backing.h"
#include "vfs/vfs.h"

struct kernel;
struct shm_segment;
struct strbuf;
struct task;
struct uio;

// One per kind of open file; append. The table of operations is in vfs/types.c.
enum file_type {
    FILE_NONE,
    FILE_PATH,     // O_PATH
    FILE_DIR,      // generic directory over the dentry cache (tmpfs and the like)
    FILE_TMPFS,
    FILE_HOSTFS,   // regular file behind the gofer
    FILE_HOSTFS_DIR,
    FILE_OVERLAY_DIR,
    FILE_HOST,     // stdio and other descriptors handed over at start
    FILE_PIPE,     // pipes and FIFOs
    FILE_EVENTFD, FILE_TIMERFD, FILE_SIGNALFD, FILE_EPOLL, FILE_INOTIFY, FILE_PIDFD,
    FILE_SOCKET_UNIX,
    FILE_SOCKET_NETLINK,
    FILE_TTY,      // ptys, host terminal, /dev/tty resolves to one of these
    FILE_PTMX,
    FILE_NULL, FILE_ZERO, FILE_FULL, FILE_RANDOM,
    FILE_KMSG,
    FILE_PROC,     // text made at open or at read
    FILE_PROC_DIR,
    FILE_PROC_MEM,
    FILE_SYSFS,
    FILE_SYSFS_DIR,
    FILE_DEVPTS_DIR,
    FILE_TMPFS_DIR,
    FILE_OVERLAY, // regular file of an overlay that was opened while it was the image's
    FILE_TYPE_COUNT
};

struct file {
    refcount_t refs;
    uint8_t type;          // enum file_type; immutable after open
    bool readable, writable, seekable;
    bool pos_shared;       // positions need pos_lock (regular files and directories)
    bool write_access;     // counts in inode->write_count
    bool mount_writer;     // counts in path.mount->writers
    _Atomic uint32_t flags; // O_* as F_GETFL shows them (without O_CREAT and such)
    struct path path;      // empty only for type FILE_NONE
    struct inode *inode;   // of path.dentry
    struct lock pos_lock;  // LOCK_RANK_FILE_POS
    uint64_t pos;          // GUARDED_BY(pos_lock)
    void *priv;            // the type's own
    uint64_t priv2;
    uint32_t owner_kind, owner_signal; // F_SETOWN, F_SETSIG; GUARDED_BY(inode->lock)
    int32_t owner;
    int32_t async_fd; // descriptor through which O_ASYNC was set: what a signal with information names
    const struct cred *cred; // of the opener; reference
    struct list epoll_items; // registrations on this file: vfs/epoll.c; GUARDED_BY the epoll's rules
    struct shm_segment *shm; // an attachment of a System V segment: sys/ipc-shm.c; set before it is mapped
};

struct dir_emit { // one call of iterate
    // Returns false when the buffer is full: stop, without counting this entry.
    struct task *task;
    uint64_t pos; // f_pos of the next entry to emit; updated by iterate
    uint8_t *buf;
    uint64_t size, used;
    bool legacy; // getdents (32-bit layout)
    int error;
};
bool dir_emit(struct dir_emit *d, const char *name, uint32_t len, uint64_t ino, uint32_t dtype, uint64_t next_pos);

// 0/positive or a negative errno (ERESTART codes allowed). May sleep; no lock held but pos_lock. NULL: the errno in brackets.
struct file_ops {
    int64_t (*read)(struct file *f, struct uio *u, uint64_t *pos);  // [EINVAL]
    int64_t (*write)(struct file *f, struct uio *u, uint64_t *pos); // [EINVAL]; O_APPEND is the type's business
    int64_t (*seek)(struct file *f, int64_t offset, int whence);    // generic on inode->size; ESPIPE unless seekable
    int (*iterate)(struct file *f, struct dir_emit *d);             // [ENOTDIR]
    // EPOLL* bits that are true now. [always readable and writable]
    uint32_t (*poll)(struct file *f);
    // The queue that is woken when poll's answer may have changed. [NULL: never changes]
    struct wait_queue *(*poll_queue)(struct file *f);
    int64_t (*ioctl)(struct file *f, struct task *t, uint32_t cmd, uint64_t arg); // [ENOTTY]
    int (*map)(struct file *f, uint64_t offset, uint64_t size, int prot, bool shared, struct map_source *out); // [ENODEV]
    // Nobody can change the contents that map would give, here or on the host, while the sandbox lives. [false]
    bool (*immutable)(const struct file *f);
    int (*sync)(struct file *f, bool data_only, uint64_t offset, uint64_t size); // [EINVAL]
    int (*allocate)(struct file *f, int mode, uint64_t offset, uint64_t size);   // [EOPNOTSUPP]
    void (*flush)(struct file *f, struct task *t);                  // each close of a descriptor
    void (*release)(struct file *f);                                // last reference
    void (*show_fdinfo)(struct file *f, struct strbuf *out);
    int (*set_flags)(struct file *f, uint32_t flags);               // F_SETFL wants to know (O_ASYNC, O_DIRECT)
};
const struct file_ops *file_ops(const struct file *f);

// ---- Making and opening ----
// Flag beside O_*: for execution. Wants x instead of r, a mount without noexec (-EACCES); the file is readable by the kernel.
#define FILE_OPEN_EXEC 0x40000000u
// Opens as openat2(2) does: permission, O_CREAT, O_TRUNC, O_TMPFILE, O_PATH… *ret holds a reference.
int file_open_path(struct task *t, int dirfd, const char *name, uint32_t flags, uint32_t mode, uint32_t lookup_flags,
                   struct file **ret);
int file_open_resolved(struct task *t, const struct path *path, uint32_t flags, struct file **ret);
// A file without a name: pipes, sockets, eventfds. name as in /proc/PID/fd ("pipe", "socket", "[eventfd]").
struct file *file_create_anon(enum file_type type, const char *name, uint32_t flags, uint32_t mode, void *priv);
// file_ref, file_unref: mm/backing.h
// Reading for exec and the like: into kernel memory, whole or short at end of file.
int64_t file_read_kernel(struct file *f, void *buf, uint64_t size, uint64_t pos);
int64_t file_write_kernel(struct file *f, const void *buf, uint64_t size, uint64_t pos);
int file_truncate(struct file *f, uint64_t size); // inode-level: vfs/attr.c
int file_deny_write(struct file *f);  // exec: -ETXTBSY
void file_allow_write(struct file *f);

// ---- Descriptor tables ----
struct fd_entry {
    struct file *file;
    bool cloexec;
};
struct fd_table {
    refcount_t refs;
    struct lock lock;    // LOCK_RANK_FD_TABLE
    uint32_t size;       // entries allocated
    struct fd_entry *entries; // GUARDED_BY(lock); the only task of a table that isn't shared reads it without
    uint64_t *used;      // bitmap
    uint32_t next;       // lowest that may be free
    uint32_t count;
};

struct file *fd_get(struct task *t, int fd);       // reference; NULL: EBADF. O_PATH files too
struct file *fd_get_rw(struct task *t, int fd);    // not O_PATH
// Lowest free number >= min, within RLIMIT_NOFILE; takes over the caller's reference on success. fd or -EMFILE, -ENOMEM.
int fd_install(struct task *t, struct file *f, bool cloexec, int min);
// Reserve first, make visible last.
int fd_reserve(struct task *t, bool cloexec, int min);
void fd_publish(struct task *t, int fd, struct file *f);
void fd_unreserve(struct task *t, int fd);
int fd_close(struct task *t, int fd); // 0 or -EBADF
struct fd_table *fd_table_ref(struct fd_table *table);
void fd_table_unref(struct fd_table *table);
struct file *fd_table_get(struct fd_table *table, uint32_t fd); // reference, NULL
int64_t fd_table_next(struct fd_table *table, uint32_t from);   // next used number, -1: none

struct fs_context {
    refcount_t refs;
    struct lock lock; // LOCK_RANK_FS_CONTEXT
    _Atomic uint32_t seq;  // odd while root or cwd change
    struct path root, cwd; // GUARDED_BY(lock)
    uint32_t umask;
    struct mount_ns *ns;
};
struct fs_context *fs_context_ref(struct fs_context *fs);
void fs_context_unref(struct fs_context *fs);
void fs_get_root(struct task *t, struct path *out);
void fs_get_cwd(struct task *t, struct path *out);

// ---- Waking ----
// Something about f changed (or, without a file, about the object that owns q): wakes sleepers and epolls.
//   wake_up_all(q, EPOLLIN)
// A signal that a call earns its caller (SIGPIPE, SIGXFSZ): Linux sends it as from the caller itself.
void file_signal_caller(struct task *t, int sig);
// SIGIO for O_ASYNC files:
void file_async_notify(struct file *f, int band);

// ---- Generic helpers ----
int64_t generic_seek(struct file *f, int64_t offset, int whence, uint64_t end);
int generic_dir_iterate(struct file *f, struct dir_emit *d); // over a complete dentry cache (tmpfs)
// RLIMIT_FSIZE: cuts *size, or -EFBIG with SIGXFSZ sent.
int file_size_limit(struct task *t, struct file *f, uint64_t pos, uint64_t *size);
void file_accessed(struct file *f);
int file_modified(struct file *f); // times, set-user-ID bits dropped
void vfs_notify(struct inode *inode, struct dentry *d, uint32_t mask); // inotify: IN_* events at f's name and parent
bool file_is_readable_now(struct file *f);

// ---- Start ----
// Builds the initial mount namespace from the boot spec (root, overlay, mounts, /dev, /proc…): vfs/init.c.
int vfs_init(struct kernel *k);
// The first task's descriptor table (empty) and root, working directory (the root) and umask.
int vfs_init_task(struct task *init);
// chdir to the boot spec's directory: after credentials are those of the first process. 0 or a negative errno.
int vfs_init_cwd(struct task *init);
// Descriptors 0, 1, 2 of init from the host's stdio: fs/host/.
int vfs_init_stdio(struct task *init);
