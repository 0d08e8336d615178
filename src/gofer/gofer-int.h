// Shared by the gofer's files. Everything hangs off one struct gofer; the process has one thread.
#pragma once

#include "base/list.h"
#include "gofer/protocol.h"
#include "sandbox/boot-spec.h"

// A directory, or a file that is open for change. Its descriptor may be closed when many are open, and is then opened again by
// name beneath the parent; a root's never is.
struct node {
    uint32_t index, generation;
    uint16_t export_id;
    bool used;      // known to the kernel: it has not sent FORGET
    bool is_dir;
    bool is_open;   // fd is not O_PATH, but opened with `access`
    int access;     // O_RDONLY, O_RDWR
    int fd;         // -1: closed for now
    uint32_t children; // nodes whose parent this is
    uint64_t ino, dev;
    struct node *parent; // NULL for a root
    char *name;          // in parent; NULL for a root
    struct list lru;     // nodes with a descriptor, youngest first; roots are not there
    struct node *next_free;
};

enum {
    NODE_CHUNK = 1024,
    NODE_CHUNKS = 1024, // so there are at most a million nodes
    GOFER_RESERVE = 64, // descriptors that are not for nodes
};

struct gofer {
    const struct boot_spec *spec;
    int channel;
    struct node *chunks[NODE_CHUNKS];
    uint32_t node_count; // indices handed out so far
    struct node *free_nodes;
    struct list lru;
    uint32_t open_count, open_max; // of descriptors in lru
    uint8_t *message;              // the request, GOFER_MESSAGE_MAX
    uint8_t *reply;                // GOFER_MESSAGE_MAX
    bool gone;                     // the kernel has closed the channel
};

// ---- nodes.c ----
int nodes_init(struct gofer *g);
void nodes_set_root(struct gofer *g, uint32_t export_id, int fd, const struct gofer_attr *attr);
struct node *node_find(struct gofer *g, gofer_node_t id); // NULL: no such node
gofer_node_t node_id(const struct node *n);
// A new node for the object `name` of parent. fd (-1: opened when needed) is taken over on success. -ENFILE, -ENOMEM.
int node_make(struct gofer *g, struct node *parent, const char *name, const struct gofer_attr *attr, int fd, int access,
              struct node **ret);
void node_forget(struct gofer *g, struct node *n);
void node_renamed(struct gofer *g, struct node *n, struct node *parent, const char *name);
// Its descriptor, borrowed until the next call of this file. Negative errno when it can't be opened again.
int node_fd(struct gofer *g, struct node *n);
bool node_is_read_only(const struct gofer *g, const struct node *n);

// ---- files.c: names beneath a directory, and nothing else ----
// Opens the one component `name` of the directory dir, never through a symbolic link.
int open_beneath(int dir, const char *name, uint64_t flags, uint32_t mode);
int stat_at(int dir, const char *name, struct gofer_attr *out); // name "": dir itself
// The object of a request: *dir is a descriptor for the calls that take a name, *name may be "". Checks expect_ino when check is
// set; attr is filled in then, too.
struct target {
    struct node *node; // of the request
    int dir;
    const char *name;
};
int target_resolve(struct gofer *g, const struct gofer_request_view *r, struct target *out);
int target_check(const struct target *t, const struct gofer_request_view *r, struct gofer_attr *attr);
// Opens a regular file, after a look at what it is. access: O_RDONLY, O_WRONLY or O_RDWR.
int target_open(const struct target *t, const struct gofer_request_view *r, int access, struct gofer_attr *attr);

// A descriptor that takes the f*xattr calls: O_PATH doesn't. Directories and regular files only; nothing else has any that a
// guest could see (user.* isn't allowed there): -EOPNOTSUPP. *close tells whether it is to be closed.
int target_xattr_fd(const struct target *t, const struct gofer_request_view *r, bool *close);

// ---- ops ----
// Each returns 0 or a negative errno, fills in out's header (result excepted) and data (room bytes, GOFER_REPLY_ROOM), and may
// leave a descriptor in *fd, which is sent and closed.
enum { GOFER_REPLY_ROOM = GOFER_MESSAGE_MAX - (int)sizeof(struct gofer_reply) };
struct answer {
    struct gofer_reply header;
    uint8_t *data;
    int fd;
};
int op_lookup(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_list(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_open(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_statfs(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_getxattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_listxattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_create(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_mkdir(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_mknod(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_symlink(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_link(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_unlink(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_rmdir(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_rename(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_setattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_setxattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_removexattr(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
int op_sync(struct gofer *g, const struct gofer_request_view *r, struct answer *out);
// Gives the answer a node for the request's object if it wants one. On failure there is none, and the caller fails.
int answer_node(struct gofer *g, const struct gofer_request_view *r, const struct target *t, const struct gofer_attr *attr,
                int fd, int access, struct answer *out);

// ---- main.c ----
// Answers one message of `received` bytes in g->message. -EPROTO: the kernel process talks nonsense.
int gofer_serve(struct gofer *g, uint64_t received);
// Sends a reply (with a descriptor when fd >= 0).
int gofer_send(struct gofer *g, const struct gofer_reply *header, const uint8_t *data, int fd);
int gofer_init(struct gofer *g, const struct boot_spec *spec, int channel, int first_export);
