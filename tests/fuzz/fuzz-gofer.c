// The gofer under a kernel process that has been taken over: any sequence of messages, over a read-only and a writable tree.
//
// Input: messages one after the other, each with its size in two bytes before it. The header's size field is put right most of the
// time, or nothing would get past the first check. Besides not crashing, the gofer must change nothing outside the writable tree.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slab.h"
#include "gofer/gofer-int.h"

enum { FIRST_EXPORT = 100, FILES_MAX = 200 };

static struct boot_spec spec;
static struct gofer *g;
static int peer;
static char top[] = "/dev/shm/fuzz-gofer-XXXXXX";

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void put_file(const char *name)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", top, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    check(fd >= 0 && write(fd, name, strlen(name)) > 0);
    close(fd);
}

static void shell(const char *text)
{
    char command[600];
    snprintf(command, sizeof(command), "cd %s && %s", top, text);
    check(system(command) == 0);
}

static void clean(void)
{
    (void)chdir("/");
    char command[100];
    snprintf(command, sizeof(command), "rm -rf %s", top);
    (void)!system(command);
}

static void fill_tree(void)
{
    shell("chmod -R u+rwx rw; rm -rf rw; mkdir -p rw/d/e && echo x > rw/f && ln -s /etc/passwd rw/l && ln -s .. rw/u && mkfifo rw/p");
}

static void start(void)
{
    int sv[2];
    check(arena_init(0, 1ull << 30) == 0 && mkdtemp(top));
    atexit(clean);
    shell("mkdir -p ro/d/e rw outside && echo x > ro/f && ln -s ../outside ro/l");
    put_file("outside/secret");
    fill_tree();
    spec.export_count = 2;
    for (int i = 0; i < 2; i++) {
        char path[300];
        snprintf(path, sizeof(path), "%s/%s", top, i ? "rw" : "ro");
        int fd = open(path, O_PATH | O_DIRECTORY);
        check(fd >= 0 && dup2(fd, FIRST_EXPORT + i) >= 0);
        close(fd);
        spec.exports[i].flags = BOOT_EXPORT_DIRECTORY | (i ? 0 : BOOT_EXPORT_READONLY);
    }
    check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
    peer = sv[1];
    g = kmalloc(sizeof(*g));
    check(g && gofer_init(g, &spec, sv[0], FIRST_EXPORT) == 0);
    g->open_max = 8;
}

// Takes the answers away, and looks whether they are well formed: the gofer checks itself, too.
static void drain(void)
{
    static uint8_t data[GOFER_MESSAGE_MAX];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    for (;;) {
        struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        struct gofer_reply_view v;
        ssize_t n = recvmsg(peer, &msg, MSG_DONTWAIT);
        if (n <= 0)
            return;
        if (msg.msg_controllen) {
            int fd;
            struct stat st;
            memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
            check(fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
            close(fd);
        }
        check(gofer_reply_parse(data, (uint64_t)n, &v) == 0);
    }
}

static void check_outside(void)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof(path), "%s/outside/secret", top);
    check(stat(path, &st) == 0 && st.st_size == 14 && (st.st_mode & 07777) == 0600 && st.st_nlink == 1);
    snprintf(path, sizeof(path), "%s/ro/f", top);
    check(stat(path, &st) == 0 && st.st_size == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned runs;
    if (!g)
        start();
    if (++runs % FILES_MAX == 0)
        fill_tree();
    while (size > 2) {
        uint64_t n = data[0] | (uint64_t)data[1] << 8;
        bool honest = !(n & 0x8000);
        n = MIN(n & 0x7fff, size - 2);
        memcpy(g->message, data + 2, n);
        struct gofer_request *h = (struct gofer_request *)g->message;
        if (honest && n >= sizeof(*h)) {
            h->size = (uint32_t)n;
            uint64_t name = h->name_size ? h->name_size + 1u : 0;
            if (sizeof(*h) + name <= n) {
                h->data_size = (uint32_t)(n - sizeof(*h) - name);
                if (name)
                    g->message[sizeof(*h) + name - 1] = 0;
            }
            h->length &= 0xffffff;
        }
        int ret = gofer_serve(g, n);
        check(ret == 0 || ret == -EPROTO);
        drain();
        data += 2 + n;
        size -= 2 + n;
    }
    check_outside();
    check(g->open_count <= g->open_max + 2);
    return 0;
}
