// AF_UNIX, inside. unix.c: sockets and names; connect.c: connections; message.c: what is queued; stream.c, dgram.c: moving
// data; gc.c: descriptors in flight.
//
// Locks: unix_table.gc_lock (LOCK_RANK_UNIX_GC) before socket.lock, which guards state, peer, queues and the list of
// accepted connections of one socket; two sockets only by lock_pair(). unix_table.lock (LOCK_RANK_OBJECT) guards names and the
// list of all sockets. No lock is held over copies: messages are filled before they are queued, and a stream's reader has a
// turn (`reading`) that keeps other readers away while it copies from the first messages.
// References: a file, a queue of connections to accept, a peer pointer and each queued message's sender hold a socket. Names
// and bound inodes hold none: they are taken away first.
#pragma once

#include "net/socket.h"
#include "vfs/vfs.h"

enum { UNIX_PATH_MAX = 108, UNIX_INLINE = 256 };

struct unix_address {
    refcount_t refs;
    uint32_t size; // of family and name
    uint16_t family;
    char name[UNIX_PATH_MAX + 2]; // a path has its NUL counted; an abstract name begins with one
};

enum unix_state { UNIX_UNCONNECTED, UNIX_LISTENING, UNIX_CONNECTED };

struct unix_peer_cred {
    int32_t pid; // 0: none
    struct cred *cred;
};

struct unix_socket {
    struct socket base;
    refcount_t refs;
    uint8_t state; // enum unix_state; GUARDED_BY(lock), single reads without
    bool dead;     // its file is gone; GUARDED_BY(lock)
    struct unix_socket *peer;  // reference; GUARDED_BY(lock)
    struct unix_address *addr; // reference; set once (GUARDED_BY(table lock)), read without afterwards
    struct path path;          // of a bound node; GUARDED_BY(lock)
    struct unix_socket *hash_next; // abstract names; GUARDED_BY(table lock)
    struct list all_node;          // GUARDED_BY(table lock)
    struct list queue;         // struct unix_message; GUARDED_BY(lock)
    uint32_t queue_count;      // GUARDED_BY(lock), single reads without
    uint64_t queue_bytes;      // GUARDED_BY(lock), single reads without
    bool reading;              // a stream's reader copies; GUARDED_BY(lock)
    struct wait_queue turn_wq; // who waits for that
    _Atomic uint32_t charged;  // bytes of its messages in others' queues
    uint32_t backlog;          // listening: connections that may wait, minus one; datagrams: messages; GUARDED_BY(lock)
    struct list pending;       // listening: connections not yet accepted; GUARDED_BY(lock)
    uint32_t pending_count;    // GUARDED_BY(lock), single reads without
    struct list pending_node;  // in the listener's list
    struct wait_queue room_wq; // who waits for room in queue or pending
    struct list senders;       // datagram sockets connected to this one; GUARDED_BY(lock)
    struct list sender_node;
    struct unix_peer_cred own_cred;  // at listen or socketpair: what the other side will see; GUARDED_BY(lock)
    struct unix_peer_cred peer_cred; // SO_PEERCRED; GUARDED_BY(lock)
    // Descriptors in flight; GUARDED_BY(gc_lock).
    uint32_t in_flight; // references to its file that lie in queues
    uint32_t outside;   // of a collection: references that its scan has not explained
    bool candidate;
    struct list flight_node;
};

struct unix_message {
    refcount_t refs; // the queue, a peek
    struct list node;
    struct unix_socket *sender; // reference
    struct unix_address *from;  // reference, or NULL
    struct scm scm; // files: GUARDED_BY(gc_lock) while in a queue
    uint32_t charge;
    uint32_t size, offset; // offset: bytes that a stream's reader has taken
    uint8_t *data;         // inline_data or kmalloc'ed
    uint8_t inline_data[UNIX_INLINE];
};

enum { UNIX_HASH = 256 };

struct unix_table {
    struct lock lock;    // LOCK_RANK_OBJECT
    struct lock gc_lock; // LOCK_RANK_UNIX_GC
    struct unix_socket *names[UNIX_HASH]; // abstract; GUARDED_BY(lock)
    struct list all;           // GUARDED_BY(lock)
    uint32_t next_auto;        // GUARDED_BY(lock)
    struct list flight;        // sockets with in_flight > 0; GUARDED_BY(gc_lock)
    struct scm_files *trash;   // descriptors to be dropped; GUARDED_BY(gc_lock)
    bool emptying, collecting; // GUARDED_BY(gc_lock)
    uint32_t flight_count;     // of `flight`; GUARDED_BY(gc_lock)
    uint64_t credit;           // what collections may cost; GUARDED_BY(gc_lock)
};
struct unix_table *unix_table(void);

static inline struct unix_socket *unix_of(struct socket *s)
{
    return (struct unix_socket *)s; // base comes first
}
static inline bool unix_is_dgram(const struct unix_socket *u)
{
    return u->base.type == SOCK_DGRAM;
}

// ---- unix.c ----
struct unix_socket *unix_alloc(int type); // one reference; NULL: no memory
struct unix_socket *unix_ref(struct unix_socket *u);
void unix_unref(struct unix_socket *u);
struct unix_address *unix_address_ref(struct unix_address *a);
void unix_address_unref(struct unix_address *a);
void unix_release(struct unix_socket *u); // the end of a socket, with or without a file; drops one reference
// The socket that a guest's address names, with a reference. Permission is checked. -ECONNREFUSED, -EPROTOTYPE…
int unix_find(struct task *t, const struct socket_address *addr, int type, struct unix_socket **ret);
int unix_autobind(struct unix_socket *u); // 0 when it has a name already
// Is a the kind of address that names something? 0 or -EINVAL.
int unix_check_address(const struct socket_address *addr);
void unix_cred_set(struct unix_peer_cred *c, struct task *t);
void unix_cred_copy(struct unix_peer_cred *to, const struct unix_peer_cred *from);
void unix_cred_done(struct unix_peer_cred *c);

// ---- connect.c ----
int unix_bind_dgram_peer(struct unix_socket *u, struct unix_socket *other); // connect of datagrams; other NULL: disconnect
int unix_connect(struct task *t, struct socket *s, const struct socket_address *addr, bool nonblock);
int unix_listen(struct task *t, struct socket *s, int backlog);
int unix_accept(struct task *t, struct socket *s, bool nonblock, struct socket **ret);
int unix_pair(struct task *t, struct socket *a, struct socket *b);
int unix_shutdown(struct socket *s, int how);

// ---- message.c ----
uint32_t unix_max_chunk(const struct unix_socket *u); // of a stream's data
// A message of `size` bytes from u, not filled; waits until u may have so much under way. -EAGAIN, -ERESTARTSYS, -EINTR, the
// pending error, -EPIPE after shutdown, -ENOMEM.
int unix_message_create(struct task *t, struct unix_socket *u, uint64_t size, bool nonblock, struct unix_message **ret);
void unix_message_put(struct unix_message *m);
void unix_message_list_free(struct list *messages);
// Gives the message what control data said. In flight from here on: -ETOOMANYREFS.
int unix_message_attach(struct task *t, struct unix_message *m, struct scm *scm);
void unix_enqueue_locked(struct unix_socket *to, struct unix_message *m);
void unix_dequeue_locked(struct unix_socket *u, struct unix_message *m);
bool unix_writable(const struct unix_socket *u);

// ---- stream.c, dgram.c ----
int64_t unix_stream_send(struct task *t, struct unix_socket *u, struct socket_message *m);
int64_t unix_stream_receive(struct task *t, struct unix_socket *u, struct socket_message *m);
int64_t unix_dgram_send(struct task *t, struct unix_socket *u, struct socket_message *m);
int64_t unix_dgram_receive(struct task *t, struct unix_socket *u, struct socket_message *m);
bool unix_dgram_full(const struct unix_socket *u);
void unix_name_out(struct socket_message *m, const struct unix_address *a);

// ---- gc.c ----
void unix_flight_begin(struct scm_files *fs); // they are in a queue now
void unix_flight_drop(struct scm_files *fs);  // and now they are not, nor needed any more
struct scm_files *unix_flight_take(struct unix_message *m); // the message's, which the caller owns now; or NULL
int unix_flight_peek(struct unix_message *m, struct scm_files **ret); // a copy of them for MSG_PEEK; 0 or -ENOMEM
void unix_socket_ended(void); // a socket was released: time to look for others that nobody can reach
void unix_collect(void);      // looks, if it was earned
