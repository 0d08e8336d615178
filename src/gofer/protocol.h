// The messages between the kernel process and the gofer, over BOOT_FD_GOFER (SEQPACKET). docs/gofer.md explains them.
//
// A request is a header, then name_size bytes of a name and a NUL, then data_size bytes of data. A reply is a header, then data.
// A request is answered by one reply of the same id, or, LIST, by several, all but the last marked GOFER_REPLY_MORE. FORGET has no
// answer. Several requests may be under way. A descriptor travels with at most one reply, the one that says GOFER_REPLY_FD.
//
// Neither side believes the other: every size is compared with the bytes that came through the channel, every text is checked
// for its end, a name is one component. These checks are all in protocol.c, which both sides and the fuzz targets use.
#pragma once

#include "base/types.h"

enum {
    GOFER_MESSAGE_MAX = 128 << 10, // bytes of one message, either way
    GOFER_NAME_MAX = 255,
    GOFER_LINK_MAX = 4095,
    GOFER_XATTR_NAME_MAX = 255,
    GOFER_XATTR_SIZE_MAX = 64 << 10,
    GOFER_EXPORT_MAX = 256,
    GOFER_FORGET_MAX = 1024, // nodes in one message
};

// A node is a directory (or, while it is open for change, a file) that the gofer keeps for the kernel. 1 to GOFER_EXPORT_MAX are
// the exports' roots.
typedef uint64_t gofer_node_t;
#define GOFER_NODE_NONE 0ull
#define GOFER_NODE_ROOT(export_id) ((gofer_node_t)(export_id) + 1)

// The object of a request: `name` in the directory `node`, or, without a name, `node` itself.
enum gofer_op {
    GOFER_NONE,
    GOFER_LOOKUP,      // attributes, and the target of a symbolic link; WANT_NODE: and a node
    GOFER_LIST,        // entries with their attributes; WANT_NODE; IF_SMALL: -E2BIG for a large directory
    GOFER_OPEN,        // flags O_RDONLY or O_RDWR: descriptor of a regular file, and attributes; WANT_NODE
    GOFER_STATFS,      // struct gofer_statfs
    GOFER_GETXATTR,    // data: its name; reply: value
    GOFER_LISTXATTR,   // reply: names
    GOFER_FORGET,      // data: nodes, 8 bytes each; no reply
    // Only on exports that are not read-only:
    GOFER_CREATE,      // regular file, mode, uid, gid: descriptor (read-write), attributes; must not exist; WANT_NODE
    GOFER_MKDIR,       // mode, uid, gid: attributes; WANT_NODE
    GOFER_MKNOD,       // mode with type FIFO, socket or regular: attributes
    GOFER_SYMLINK,     // data: target; uid, gid: attributes
    GOFER_LINK,        // another name `data` in node2: attributes
    GOFER_UNLINK,      // not a directory
    GOFER_RMDIR,
    GOFER_RENAME,      // to the name `data` in node2; flags RENAME_NOREPLACE, RENAME_EXCHANGE; node3: the moved node, if any
    GOFER_SETATTR,     // valid, mode, uid, gid, length, atime, mtime: attributes
    GOFER_SETXATTR,    // data: name, NUL, value; flags XATTR_*
    GOFER_REMOVEXATTR, // data: name
    GOFER_SYNC,        // fsync of a directory
    GOFER_OP_COUNT
};

enum gofer_request_flags {
    GOFER_WANT_NODE = 1 << 0,
    GOFER_IF_SMALL = 1 << 1,
    GOFER_REQUEST_FLAGS = 3,
};

enum gofer_reply_flags {
    GOFER_REPLY_MORE = 1 << 0,
    GOFER_REPLY_FD = 1 << 1,
    GOFER_REPLY_FLAGS = 3,
};

enum gofer_setattr {
    GOFER_SET_MODE = 1 << 0,
    GOFER_SET_UID = 1 << 1,
    GOFER_SET_GID = 1 << 2,
    GOFER_SET_SIZE = 1 << 3,
    GOFER_SET_ATIME = 1 << 4,
    GOFER_SET_MTIME = 1 << 5,
    GOFER_SET_ALL = (1 << 6) - 1,
};

struct gofer_time {
    int64_t sec;
    uint32_t nsec;
    uint32_t zero;
};

struct gofer_attr {
    uint32_t mode, uid, gid, nlink;
    uint64_t ino, dev, rdev, size, blocks;
    struct gofer_time atime, mtime, ctime, btime;
};
_Static_assert(sizeof(struct gofer_attr) == 120, "no padding");

struct gofer_statfs {
    uint64_t type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize, flags;
};

struct gofer_request {
    uint32_t size; // of the whole message
    uint32_t id;   // chosen by the kernel
    uint16_t op;   // enum gofer_op
    uint16_t name_size;
    uint32_t data_size;
    gofer_node_t node, node2, node3;
    uint64_t expect_ino, expect_dev; // expect_ino != 0: -ESTALE unless the object is this one
    uint32_t want;                   // enum gofer_request_flags
    uint32_t flags;                  // of the op
    uint32_t valid;                  // SETATTR
    uint32_t mode, uid, gid;
    uint64_t length;
    struct gofer_time atime, mtime;
};
_Static_assert(sizeof(struct gofer_request) == 120, "no padding");

struct gofer_reply {
    uint32_t size;
    uint32_t id;
    int32_t result; // 0 or a negative errno
    uint32_t flags; // enum gofer_reply_flags
    uint32_t count; // LIST: entries in data
    uint32_t data_size;
    gofer_node_t node; // with WANT_NODE
    struct gofer_attr attr;
};
_Static_assert(sizeof(struct gofer_reply) == 152, "no padding");

// One entry of a LIST reply, followed by the name with its NUL and, when link_size isn't 0, the target with its NUL.
struct gofer_entry {
    uint32_t size; // of the whole entry, a multiple of 8
    uint16_t name_size, link_size;
    struct gofer_attr attr;
};
_Static_assert(sizeof(struct gofer_entry) == 128, "no padding");

// What a checked message holds; the pointers lead into it.
struct gofer_request_view {
    struct gofer_request header;
    const char *name; // NUL-terminated; "" without one
    const uint8_t *data;
};
struct gofer_reply_view {
    struct gofer_reply header;
    const uint8_t *data;
};
struct gofer_entry_view {
    struct gofer_attr attr;
    const char *name; // NUL-terminated, a valid component
    uint32_t name_size;
    const char *link; // NUL-terminated, NULL: none came along
    uint32_t link_size;
};

// True when the bytes are one component: no slash, no NUL, neither "." nor "..", at most GOFER_NAME_MAX long, not empty.
bool gofer_name_ok(const char *name, uint64_t size);
bool gofer_attr_ok(const struct gofer_attr *attr);
// received: what the channel says came. 0 or -EPROTO. The message must not change meanwhile: it is in private memory.
int gofer_request_parse(const void *message, uint64_t received, struct gofer_request_view *out);
int gofer_reply_parse(const void *message, uint64_t received, struct gofer_reply_view *out);
// Takes the entry at *at (of data_size bytes) and advances. 1, 0 at the end, -EPROTO.
int gofer_entry_next(const uint8_t *data, uint64_t data_size, uint64_t *at, struct gofer_entry_view *out);
// Appends; false when there is no room (nothing is written then). link NULL: none.
bool gofer_entry_append(uint8_t *data, uint64_t room, uint64_t *used, const struct gofer_attr *attr, const char *name,
                        uint64_t name_size, const char *link, uint64_t link_size);
// Builds a request in message (of GOFER_MESSAGE_MAX bytes); header's op and arguments are set. The size, or -E2BIG.
int64_t gofer_request_build(uint8_t *message, struct gofer_request *header, const char *name, uint64_t name_size,
                            const void *data, uint64_t data_size);
extern const char *const gofer_op_names[GOFER_OP_COUNT];
