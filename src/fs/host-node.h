// Files of the host as the gofer shows them: what hostfs and overlay are built on. A node stands for one name in an export; it knows
// how to ask the gofer about it, and holds the descriptors that the gofer donated. It has no attributes of its own but the few that
// never change: those are the inodes' business.
//
// Locking: names and parents change under client.lock (LOCK_RANK_GOFER), descriptors under client.fd_lock (LOCK_RANK_HOST_FD);
// messages are sent with neither held.
#pragma once

#include "base/list.h"
#include "base/refcount.h"
#include "base/types.h"
#include "gofer/protocol.h"

struct kernel;
struct strbuf;
struct timespec64;

struct host_export {
    refcount_t refs;
    uint32_t id;      // of the boot spec
    bool shared;      // others change it: ask again
    bool read_only;
    uint64_t dev;     // of its root, on the host
};

struct host_node {
    refcount_t refs;
    uint16_t name_size;         // GUARDED_BY(client.lock)
    bool is_dir, is_link;       // immutable
    _Atomic bool mapped;        // a descriptor has been given to mmap
    _Atomic bool recent;        // used since the cache looked last
    struct host_export *export; // immutable; reference
    struct host_node *parent;   // reference; NULL for a root. GUARDED_BY(client.lock)
    char *name;                 // GUARDED_BY(client.lock)
    gofer_node_t gofer;         // 0: the gofer has no node for it yet
    uint64_t ino, dev;          // on the host; change only when it is bound anew
    _Atomic int32_t fd[2];      // read-only, read-write; -1: none
    _Atomic uint32_t users;     // of the descriptors, now or for as long as a file is open
    struct list lru;            // GUARDED_BY(client.fd_lock)
    // For the inode that stands on it:
    _Atomic int64_t valid_until; // of its attributes, in shared exports: CLOCK_MONOTONIC ns
    uint32_t lookups;           // single names asked for in this directory; GUARDED_BY(dir_lock)
    bool is_large;              // too many entries to fetch them for one name; GUARDED_BY(dir_lock)
    _Atomic bool no_xattr;      // is known to have none (exclusive exports)
};

// The N of mount options that begin with "export=N"; -1 otherwise.
int host_export_number(const char *options);
// The root of an export. -ENODEV: there is no gofer, or no such export; -ENOMEM, -EIO.
int host_export_open(uint32_t id, struct host_node **ret, struct gofer_attr *attr);

struct host_node *host_node_ref(struct host_node *n);
void host_node_unref(struct host_node *n); // NULL is allowed
// A child that a listing or a look-up has told of. NULL: no memory.
struct host_node *host_node_new(struct host_node *dir, const char *name, uint32_t len, const struct gofer_attr *attr);
// st_ino for the guest: the host's number, made different for what lies on another mount inside the export.
uint64_t host_node_ino(const struct host_export *e, const struct gofer_attr *attr);

// All of these talk to the gofer: no lock above LOCK_RANK_INODE_DIR may be held. -EIO when the gofer is gone, -EINTR when the
// task is being killed.

// link: room for GOFER_LINK_MAX + 1 bytes, or NULL; the target's size goes to *link_size (0: no symbolic link). *ret may be NULL.
int host_node_lookup(struct host_node *dir, const char *name, uint32_t len, struct host_node **ret, struct gofer_attr *attr,
                     char *link, uint32_t *link_size);
// Fresh attributes.
// After -ESTALE: the name has been given to another file on the host, which is what n stands for from now on. 0 with its attributes,
// or -ESTALE when it is gone or of another type.
int host_node_rebind(struct host_node *n, struct gofer_attr *attr);
int host_node_getattr(struct host_node *n, struct gofer_attr *attr);
// Calls `entry` for each entry. if_small: -E2BIG when it is a large directory (nothing was called then).
typedef int host_list_fn(void *arg, const struct gofer_entry_view *entry);
int host_node_list(struct host_node *dir, bool if_small, host_list_fn *entry, void *arg, struct gofer_attr *attr);

enum host_fd_use {
    HOST_FD_READ,      // any that can be read
    HOST_FD_READ_ONLY, // one that can't be written: what a guest maps that may not write
    HOST_FD_WRITE,     // read and write
};
// A descriptor, opened if need be. It stays open until host_node_put_fd(). attr may be NULL; *fresh tells whether it was filled in.
int host_node_get_fd(struct host_node *n, enum host_fd_use use, struct gofer_attr *attr, bool *fresh);
void host_node_put_fd(struct host_node *n);
// The same, but -1 when there is none open.
int host_node_peek_fd(struct host_node *n, enum host_fd_use use);
// Reading at pos, with nothing but the descriptor. Bytes, or a negative errno.
struct uio;
int64_t host_node_read(struct host_node *n, struct uio *u, uint64_t pos);
int64_t host_node_seek(struct host_node *n, int64_t offset, int whence); // SEEK_DATA, SEEK_HOLE
// For file_ops.map. size: the file's size as known; asked for where others may change it. *keep: a word of the open file, 0 at
// first; once it isn't, the file owes a host_node_put_fd() at its end.
struct map_source;
int host_node_map(struct host_node *n, enum host_fd_use use, uint64_t file_size, uint64_t offset, uint64_t size,
                  uint64_t *keep, struct map_source *out);
// An open file keeps its descriptor where it might not be found again by name.
static inline bool host_node_must_keep(const struct host_node *n)
{
    return n->export->shared || !n->export->read_only;
}
uint32_t host_node_name(struct host_node *n, char name[GOFER_NAME_MAX + 1]); // the size
// Its directory (reference) and name; NULL: a root.
struct host_node *host_node_place(struct host_node *n, char name[GOFER_NAME_MAX + 1]);
int64_t host_node_readlink(struct host_node *n, char target[GOFER_LINK_MAX + 1]);

int64_t host_node_getxattr(struct host_node *n, const char *name, void *value, uint64_t size);
// The same, remembering that an exclusive image's file has none.
int64_t host_node_getxattr_cached(struct host_node *n, const char *name, void *value, uint64_t size);
int64_t host_node_listxattr(struct host_node *n, char *list, uint64_t size);
int host_node_statfs(struct host_node *n, struct gofer_statfs *out);
int host_node_sync_dir(struct host_node *n);

struct host_new {
    uint32_t mode, uid, gid; // mode with S_IFMT: REG, DIR, FIFO, SOCK, LNK
    const char *target;      // LNK
};
int host_node_create(struct host_node *dir, const char *name, uint32_t len, const struct host_new *new, struct host_node **ret,
                     struct gofer_attr *attr);
// n is asked about as `name` in dir from now on: its name has changed, or it has several.
void host_node_moved(struct host_node *n, struct host_node *dir, const char *name, uint32_t len);
bool host_node_is_at(struct host_node *n, const struct host_node *dir, const char *name, uint32_t len);
int host_node_link(struct host_node *n, struct host_node *dir, const char *name, uint32_t len, struct gofer_attr *attr);
int host_node_remove(struct host_node *dir, const char *name, uint32_t len, struct host_node *victim);
int host_node_rename(struct host_node *n, struct host_node *old_dir, const char *old, uint32_t old_len,
                     struct host_node *new_dir, const char *new, uint32_t new_len, struct host_node *victim, uint32_t flags);
// request: valid, mode, uid, gid, length, atime, mtime are set.
int host_node_setattr(struct host_node *n, struct gofer_request *request, struct gofer_attr *attr);
int host_node_setxattr(struct host_node *n, const char *name, const void *value, uint64_t size, int flags);
int host_node_removexattr(struct host_node *n, const char *name);

// Messages so far, by operation, for --debug-counts.
struct gofer_counts {
    uint64_t messages[GOFER_OP_COUNT];
    uint64_t bytes_in;
    uint64_t fds;
};
void gofer_counts_get(struct kernel *k, struct gofer_counts *out);
// Attributes of an open descriptor, but for the owner (uid and gid are UINT32_MAX): the kernel process lives in a user namespace
// of its own, in which the host's ids have no names.
int host_fd_getattr(int fd, struct gofer_attr *out);
// The gofer's end of the channel is closed: fails all calls. From the thread that watches it.
void gofer_client_hangup(struct kernel *k);
