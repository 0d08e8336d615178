// Sockets: what all families have in common. A family's socket begins with a struct socket; its operations are found by the
// family's number in a constant table (net/socket.c).
#pragma once

#include <sys/socket.h>

#include "base/lock.h"
#include "base/types.h"
#include "kernel/wait.h"
#include "net/scm.h"
#include "vfs/file.h"

struct task;
struct uio;

enum socket_shutdown { SOCKET_SHUT_READ = 1, SOCKET_SHUT_WRITE = 2, SOCKET_SHUT_BOTH = 3 };

// Options that are on or off; as bits of socket.options.
enum socket_option {
    SOCKET_DEBUG = 1 << 0,
    SOCKET_REUSEADDR = 1 << 1,
    SOCKET_REUSEPORT = 1 << 2,
    SOCKET_KEEPALIVE = 1 << 3,
    SOCKET_BROADCAST = 1 << 4,
    SOCKET_PASSCRED = 1 << 5,
    SOCKET_PASSSEC = 1 << 6,
    SOCKET_LINGER = 1 << 7,
    SOCKET_DONTROUTE = 1 << 8,
    SOCKET_OOBINLINE = 1 << 9,
    SOCKET_RXQ_OVFL = 1 << 10,
    SOCKET_NO_CHECK = 1 << 11,
    SOCKET_TIMESTAMP = 1 << 12,
    SOCKET_TIMESTAMPNS = 1 << 13,
    SOCKET_ASYNC = 1 << 14, // the file has O_ASYNC
};

struct socket {
    uint16_t family;       // AF_*; immutable
    uint8_t type;          // SOCK_*; immutable
    uint16_t protocol;     // immutable
    uint8_t shutdown;      // enum socket_shutdown; GUARDED_BY(lock), single reads without
    struct lock lock;      // LOCK_RANK_SOCKET
    struct wait_queue wq;
    struct file *file;     // no reference; NULL before there is one and after; GUARDED_BY(lock)
    _Atomic int32_t error; // SO_ERROR: a positive errno, taken by whoever sees it first
    _Atomic uint32_t options; // enum socket_option
    // Options with values: single words, changed under lock, read without.
    uint32_t sndbuf, rcvbuf, rcvlowat;
    nsec_t sndtimeo, rcvtimeo; // NSEC_MAX: none
    uint32_t linger_seconds, priority, mark;
    int32_t peek_offset;   // SO_PEEK_OFF; -1: off
};

// An address as it came from, or goes to, a guest.
struct socket_address {
    uint32_t size;
    union {
        uint16_t family;
        uint8_t bytes[128]; // struct sockaddr_storage
    };
};

struct socket_message {
    struct uio *data;
    struct socket_address *name; // send: where to, or NULL; receive: filled in (size 0: none), or NULL
    struct scm scm;
    uint32_t flags;     // MSG_*; MSG_DONTWAIT is set for non-blocking files
    uint32_t out_flags; // MSG_TRUNC and the like
};

// Results: 0 or positive, or a negative errno. No lock held; all may sleep. NULL: -EOPNOTSUPP, unless it says otherwise.
struct socket_ops {
    int (*create)(struct task *t, int type, int protocol, struct socket **ret);
    int (*pair)(struct task *t, struct socket *a, struct socket *b);
    int (*bind)(struct task *t, struct socket *s, const struct socket_address *addr);
    int (*connect)(struct task *t, struct socket *s, const struct socket_address *addr, bool nonblock);
    int (*listen)(struct task *t, struct socket *s, int backlog);
    int (*accept)(struct task *t, struct socket *s, bool nonblock, struct socket **ret);
    int (*get_name)(struct socket *s, bool peer, struct socket_address *out);
    int64_t (*send)(struct task *t, struct socket *s, struct socket_message *m);
    int64_t (*receive)(struct task *t, struct socket *s, struct socket_message *m);
    int (*shutdown)(struct socket *s, int how); // enum socket_shutdown
    uint32_t (*poll)(struct socket *s);
    int64_t (*ioctl)(struct socket *s, struct task *t, uint32_t cmd, uint64_t arg); // -ENOTTY when unknown
    // Options that the common part doesn't know. value: kernel memory; get: *size in and out.
    int (*set_option)(struct task *t, struct socket *s, int level, int name, const void *value, uint32_t size); // -ENOPROTOOPT
    int (*get_option)(struct task *t, struct socket *s, int level, int name, void *value, uint32_t *size);
    bool (*listening)(const struct socket *s);
    void (*release)(struct socket *s); // the file's last reference is gone
};
const struct socket_ops *socket_ops(const struct socket *s);
const struct socket_ops *socket_family(int family); // NULL: EAFNOSUPPORT

void socket_init(struct socket *s, int family, int type, int protocol);
// The file of a fresh socket; flags: SOCK_NONBLOCK. On failure the socket is released. NULL: out of memory.
struct file *socket_create_file(struct socket *s, int flags);
struct socket *socket_of(const struct file *f); // NULL: not a socket
bool socket_option(const struct socket *s, enum socket_option o);
int socket_take_error(struct socket *s); // 0 or a negative errno, once
int socket_interrupted(nsec_t timeout);  // what a signal makes of a wait: -ERESTARTSYS, or -EINTR with a time-out
nsec_t socket_deadline(nsec_t timeout, bool nonblock);
void socket_wake(struct socket *s, uint32_t events); // sleepers, pollers, SIGIO

// SOL_SOCKET. value: kernel memory, for get of at least max(*size, SOCKET_OPTION_MIN) bytes. -ENOPROTOOPT when unknown.
int socket_set_option(struct task *t, struct socket *s, int name, const void *value, uint32_t size);
int socket_get_option(struct task *t, struct socket *s, int name, void *value, uint32_t *size);
#define SOCKET_OPTION_MIN 256u

extern const struct socket_ops unix_socket_ops;
