// The kernel process under a gofer that has been taken over: any answers to what it asks.
//
// Input: two bytes that choose the questions, then answers, each with its size in two bytes before it. Sizes and ids are put right
// most of the time. What comes out must be sane: names are components, links and attributes within their limits.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slab.h"
#include "fs/host-node.h"
#include "fs/hostfs/client.h"
#include "kernel/kernel-start.h"
#include "sandbox/boot-spec.h"

// Of the kernel's parts that no question to the gofer reaches.
struct session;
__attribute__((weak)) void tty_session_leader_exit_locked(struct session *s)
{
    (void)s;
}

static struct boot_spec spec = {.hostname = "", .domainname = "", .export_count = 1};
static int peer;

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void channel(void)
{
    int sv[2];
    check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
    if (sv[0] != BOOT_FD_GOFER) {
        check(dup2(sv[0], BOOT_FD_GOFER) == BOOT_FD_GOFER);
        close(sv[0]);
    }
    peer = sv[1];
}

static void start(void)
{
    struct kernel *k;
    // Where the test's own descriptors may not be: numbers below the channel's.
    for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd < 20; fd = dup(fd))
        ;
    check(arena_init(0, 1ull << 30) == 0 && kernel_create(&spec, &k) == 0 && gofer_client_init(k) == 0);
}

// Puts all answers into the channel before the first question: nobody waits for anybody.
static void answers(const uint8_t *data, size_t size, uint32_t id)
{
    static uint8_t message[GOFER_MESSAGE_MAX + 1];
    for (int count = 0; size > 2 && count < 32; count++) {
        uint64_t n = data[0] | (uint64_t)data[1] << 8;
        bool honest = !(n & 0x8000), with_fd = n & 0x4000;
        n = MIN(n & 0x3fff, size - 2);
        memcpy(message, data + 2, n);
        struct gofer_reply *h = (struct gofer_reply *)message;
        if (honest && n >= sizeof(*h)) {
            h->size = (uint32_t)n;
            h->data_size = (uint32_t)(n - sizeof(*h));
            h->id = id + (h->id & 7 ? 0 : 1);
            h->flags &= GOFER_REPLY_FLAGS;
            if (h->result > 0 || h->result < -200)
                h->result = 0;
            if (with_fd)
                h->flags |= GOFER_REPLY_FD;
        }
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(3 * sizeof(int))];
        } control = {0};
        struct iovec iov = {.iov_base = message, .iov_len = n};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        if (with_fd) {
            int count_fds = n & 1 ? 3 : 1, fds[3] = {0, 1, 2};
            msg.msg_control = &control;
            msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count_fds);
            control.header = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count_fds),
                .cmsg_level = SOL_SOCKET,
                .cmsg_type = SCM_RIGHTS,
            };
            memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * (size_t)count_fds);
        }
        (void)!sendmsg(peer, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        data += 2 + n;
        size -= 2 + n;
    }
    shutdown(peer, SHUT_WR); // the end, so that no question waits for ever
}

static int entry(void *arg, const struct gofer_entry_view *e)
{
    check(gofer_name_ok(e->name, e->name_size) && e->name[e->name_size] == 0 && gofer_attr_ok(&e->attr));
    check(!e->link || (e->link_size <= GOFER_LINK_MAX && strlen(e->link) == e->link_size));
    (void)arg;
    return 0;
}

static void questions(struct host_node *root, unsigned which)
{
    char text[GOFER_LINK_MAX + 1];
    struct host_node *child = NULL;
    struct gofer_attr attr;
    struct gofer_statfs statfs;
    uint32_t link_size = 0;
    if (which & 1 && host_node_list(root, false, entry, NULL, &attr) == 0)
        check(S_ISDIR(attr.mode));
    if (which & 2 && host_node_lookup(root, "name", 4, &child, &attr, text, &link_size) == 0)
        check(gofer_attr_ok(&attr) && (link_size == 0 || strlen(text) == link_size));
    if (child && which & 4) {
        int fd = host_node_get_fd(child, HOST_FD_READ, NULL, NULL);
        if (fd >= 0)
            host_node_put_fd(child);
    }
    if (child && which & 8)
        check(host_node_getxattr(child, "user.x", text, 16) <= 16);
    if (which & 16)
        (void)host_node_statfs(root, &statfs);
    if (child && which & 32)
        check(host_node_readlink(child, text) <= GOFER_LINK_MAX);
    host_node_unref(child);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!the_kernel())
        start();
    if (size < 2)
        return 0;
    struct gofer_client *c = the_kernel()->gofer;
    struct gofer_attr dir = {.mode = S_IFDIR | 0755, .ino = 1};
    channel();
    c->dead = false;
    // A root as host_export_open() would make it.
    struct host_node *root = NULL;
    static uint8_t first[sizeof(struct gofer_reply)];
    struct gofer_reply h = {.size = sizeof(h), .id = c->next_id, .attr = dir};
    memcpy(first, &h, sizeof(h));
    check(send(peer, first, sizeof(first), 0) == sizeof(first));
    answers(data + 2, size - 2, c->next_id + 1);
    if (host_export_open(0, &root, &dir) == 0)
        questions(root, data[0]);
    host_node_unref(root);
    close(peer);
    return 0;
}
