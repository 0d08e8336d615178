// Asking the gofer.
//
// Any number of threads may have a request under way. There is no receiving thread: of those that wait, one receives, hands
// what isn't its own to whom it belongs, and when it has its own answer rouses another one to go on. A single caller thus makes
// two host calls and is woken once.
//
// Messages are checked by gofer/protocol.c before anything of them is used. One that is malformed, or answers a request that
// nobody made, says that the gofer has been taken over: everything fails from then on. A caller that was killed leaves its
// request; the answers are dropped when they come (ids are not used again soon: 32 bits).
//
// Locking: client.lock guards the calls, their queues and the free buffers; never held over a host call but a futex wake.
#include "fs/hostfs/client.h"

#include <linux/futex.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/slab.h"
#include "host/host.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "kernel/threads.h"
#include "kernel/wait.h"
#include "sandbox/boot-spec.h"

enum { KILL_LATENCY_MS = 500 };

int gofer_client_init(struct kernel *k)
{
    struct gofer_client *c = kmalloc(sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->fd = BOOT_FD_GOFER;
    c->next_id = 1;
    lock_init(&c->lock, LOCK_RANK_GOFER);
    lock_init(&c->fd_lock, LOCK_RANK_HOST_FD);
    list_init(&c->calls);
    list_init(&c->lru);
    c->fd_max = (uint32_t)host_fd_limit() / 2;
    // So that whoever waits in the host notices that it has been killed. It is no error where it can't be had.
    (void)host_socket_timeout(c->fd, KILL_LATENCY_MS);
    k->gofer = c;
    return 0;
}

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void gofer_counts_get(struct kernel *k, struct gofer_counts *out)
{
    *out = k->gofer ? k->gofer->counts : (struct gofer_counts){0};
}

// ---- Buffers ----

static struct gofer_message *message_take(struct gofer_client *c)
{
    lock_take(&c->lock);
    struct gofer_message *m = c->free;
    if (m) {
        c->free = m->next;
        c->free_count--;
    }
    lock_release(&c->lock);
    if (!m)
        m = kmalloc(sizeof(*m));
    if (m)
        m->fd = -1;
    return m;
}

void gofer_message_done(struct gofer_client *c, struct gofer_message *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        (void)host_close(m->fd);
    m->fd = -1;
    lock_take(&c->lock);
    if (c->free_count < CLIENT_BUFFERS) {
        m->next = c->free;
        c->free = m;
        c->free_count++;
        m = NULL;
    }
    lock_release(&c->lock);
    kfree(m);
}

// ---- Sleeping and waking ----

static void call_wake(struct gofer_call *call)
{
    __atomic_store_n((uint32_t *)&call->word, 1, __ATOMIC_RELEASE);
    if (call->task)
        task_wake(call->task);
    else
        (void)host_futex((void *)&call->word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

// Until call_wake(); false when the task is being killed.
static bool call_sleep(struct gofer_call *call)
{
    while (!__atomic_load_n((uint32_t *)&call->word, __ATOMIC_ACQUIRE)) {
        if (!call->task) {
            (void)host_futex((void *)&call->word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
            continue;
        }
        wait_arm(call->task);
        if (__atomic_load_n((uint32_t *)&call->word, __ATOMIC_ACQUIRE))
            break;
        if (wait_sleep_killable(call->task, NSEC_MAX) < 0)
            return false;
    }
    return true;
}

// Somebody has to receive as long as calls are waiting. The lock is held; the waking may be, too: it is one futex call.
static void pass_on_locked(struct gofer_client *c)
{
    struct gofer_call *call;
    if (c->receiving)
        return;
    list_for_each(call, &c->calls, node)
    {
        if (!call->first) {
            call_wake(call);
            return;
        }
    }
}

static void fail_all(struct gofer_client *c, const char *why)
{
    struct gofer_call *call;
    lock_take(&c->lock);
    bool first = !c->dead;
    c->dead = true;
    list_for_each(call, &c->calls, node)
        call_wake(call);
    lock_release(&c->lock);
    if (first)
        log_error("gofer: %s: files of the host are out of reach", why);
}

// There is no receiving thread: callers receive for each other. (The start makes one for whoever needs it.)
void gofer_client_main(struct kernel *k)
{
    kernel_thread_exit();
}

void gofer_client_hangup(struct kernel *k)
{
    if (k->gofer)
        fail_all(k->gofer, "has ended");
}

// ---- Receiving ----

static int received_fd(struct msghdr *msg)
{
    int fd = -1;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int)) && fd < 0)
            memcpy(&fd, CMSG_DATA(h), sizeof(fd));
    }
    return fd;
}

// One message into m. 0, -EINTR, or another error: the channel is of no use any more.
static int receive(struct gofer_client *c, struct gofer_message *m)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = m->data, .iov_len = sizeof(m->data)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int))};
    // Room for one descriptor, not a byte more: the host closes what doesn't fit.
    int64_t size = host_recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC);
    if (size <= 0)
        return size ? (int)size : -EPIPE;
    m->fd = received_fd(&msg);
    count(&c->counts.bytes_in, (uint64_t)size);
    if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return -EPROTO;
    int ret = gofer_reply_parse(m->data, (uint64_t)size, &m->view);
    if (ret == 0 && (m->fd >= 0) != ((m->view.header.flags & GOFER_REPLY_FD) != 0))
        ret = -EPROTO;
    return ret;
}

// Takes the role of the receiver for one message, and gives it to whom it belongs.
static int receive_one(struct gofer_client *c)
{
    struct gofer_message *m = message_take(c);
    int ret = m ? receive(c, m) : -ENOMEM;
    lock_take(&c->lock);
    c->receiving = false;
    if (ret == 0) {
        struct gofer_call *call;
        list_for_each(call, &c->calls, node)
        {
            if (call->id == m->view.header.id) {
                m->next = NULL;
                *call->last = m;
                call->last = &m->next;
                m = NULL;
                call_wake(call);
                break;
            }
        }
    }
    lock_release(&c->lock);
    gofer_message_done(c, m); // of a call that was left
    return ret;
}

struct gofer_message *gofer_call_next(struct gofer_client *c, struct gofer_call *call, int *error)
{
    for (;;) {
        lock_take(&c->lock);
        __atomic_store_n((uint32_t *)&call->word, 0, __ATOMIC_RELEASE);
        struct gofer_message *m = call->first;
        if (m) {
            call->first = m->next;
            if (!call->first)
                call->last = &call->first;
        }
        bool dead = c->dead, mine = !m && !dead && !c->receiving;
        if (mine)
            c->receiving = true;
        lock_release(&c->lock);
        if (m)
            return m;
        *error = -EIO;
        if (dead)
            return NULL;
        if (mine) {
            int ret = receive_one(c);
            if (ret == -ENOMEM) {
                *error = ret;
                return NULL;
            }
            if (ret == -EAGAIN) // the time-out
                ret = -EINTR;
            if (ret < 0 && ret != -EINTR)
                fail_all(c, ret == -EPROTO ? "sent a malformed message" : "has ended");
            if (ret == -EINTR && call->task && signal_fatal_pending(call->task)) {
                *error = -EINTR;
                return NULL;
            }
        } else if (!call_sleep(call)) {
            *error = -EINTR;
            return NULL;
        }
    }
}

// ---- Requests ----

static int send_request(struct gofer_client *c, const void *message, uint64_t size)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct task *t = current_task();
    int64_t ret;
    do {
        ret = host_sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        if (ret == -EAGAIN && t && signal_fatal_pending(t))
            return -EINTR;
    } while (ret == -EINTR || ret == -EAGAIN);
    if (ret >= 0)
        return 0;
    fail_all(c, "has ended");
    return -EIO;
}

int gofer_call_begin(struct gofer_client *c, struct gofer_call *call, struct gofer_request *header, const char *name,
                     uint64_t name_size, const void *data, uint64_t data_size)
{
    uint8_t small[1024] __attribute__((aligned(8)));
    struct gofer_message *big = NULL;
    uint8_t *buffer = small;
    lock_assert_may_sleep("a message to the gofer");
    if (sizeof(*header) + name_size + 1 + data_size > sizeof(small)) {
        if (!(big = message_take(c)))
            return -ENOMEM;
        buffer = big->data;
    }
    call->task = current_task();
    call->first = NULL;
    call->last = &call->first;
    call->word = 0;
    lock_take(&c->lock);
    bool dead = c->dead;
    call->id = header->id = c->next_id++;
    list_push_back(&c->calls, &call->node);
    lock_release(&c->lock);
    int64_t size = dead ? -EIO : gofer_request_build(buffer, header, name, name_size, data, data_size);
    int ret = size < 0 ? (int)size : send_request(c, buffer, (uint64_t)size);
    gofer_message_done(c, big);
    if (ret < 0)
        gofer_call_end(c, call);
    else
        count(&c->counts.messages[header->op], 1);
    __atomic_fetch_add((uint64_t *)&the_kernel()->gofer_messages, 1, __ATOMIC_RELAXED);
    return ret;
}

void gofer_call_end(struct gofer_client *c, struct gofer_call *call)
{
    lock_take(&c->lock);
    list_remove(&call->node);
    pass_on_locked(c);
    lock_release(&c->lock);
    while (call->first) {
        struct gofer_message *m = call->first;
        call->first = m->next;
        gofer_message_done(c, m);
    }
}

int gofer_ask(struct gofer_request *header, const char *name, uint64_t name_size, const void *data, uint64_t data_size,
              struct gofer_message **ret)
{
    struct gofer_client *c = the_client();
    struct gofer_call call;
    int error = gofer_call_begin(c, &call, header, name, name_size, data, data_size);
    if (error < 0)
        return error;
    struct gofer_message *m = gofer_call_next(c, &call, &error);
    gofer_call_end(c, &call);
    if (!m)
        return error;
    error = m->view.header.result;
    if (error == 0 && (m->view.header.flags & GOFER_REPLY_MORE))
        error = -EIO;
    if (error < 0) {
        gofer_message_done(c, m);
        return error;
    }
    *ret = m;
    return 0;
}

void gofer_forget(struct gofer_client *c, gofer_node_t node)
{
    gofer_node_t batch[FORGET_BATCH];
    uint8_t buffer[sizeof(struct gofer_request) + sizeof(batch)];
    uint32_t n = 0;
    lock_take(&c->lock);
    c->forget[c->forget_count++] = node;
    if (c->forget_count == FORGET_BATCH) {
        n = FORGET_BATCH;
        memcpy(batch, c->forget, sizeof(batch));
        c->forget_count = 0;
    }
    bool dead = c->dead;
    lock_release(&c->lock);
    if (!n || dead)
        return;
    struct gofer_request header = {.op = GOFER_FORGET};
    int64_t size = gofer_request_build(buffer, &header, NULL, 0, batch, sizeof(batch));
    count(&c->counts.messages[GOFER_FORGET], 1);
    (void)send_request(c, buffer, (uint64_t)size);
}
