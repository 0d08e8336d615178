// Standard input, output and error as the host handed them over, where they are no terminal: pipes, sockets, regular files, devices.
//
// What the host says of them stays true. Reads and writes are plain ones on the descriptor, so that a position shared with processes
// outside, or between two of the three descriptors, is kept by the host, and so is O_APPEND. The host's own O_NONBLOCK is neither
// obeyed nor changed: the description is shared with whoever is outside. A call that has to wait does so on the watch's queue, where
// signals reach it, never in the host.
//
// DEVIATION: stdio: mmap of a file that was handed over as a standard descriptor fails with ENODEV.
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "base/log.h"
#include "base/slab.h"
#include "fs/host-events.h"
#include "fs/host-io.h"
#include "fs/host-node.h"
#include "host/host.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "sandbox/boot-spec.h"
#include "vfs/hooks.h"
#include "vfs/vfs-int.h"

#define READY_IN  (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)
#define READY_OUT (EPOLLOUT | EPOLLHUP | EPOLLERR)

struct host_file { // file.priv, and priv of the inode, through which /proc/PID/fd opens it again
    refcount_t refs;
    int fd;
    int access;           // O_ACCMODE of the descriptor
    bool terminal;        // on the host
    bool regular;         // or a block device: has a position, is always ready
    _Atomic bool no_wait; // the host takes RWF_NOWAIT for it
    struct host_watch watch;
};
SLAB_TYPE(host_file_slab, SLAB_HOST_FILE, struct host_file);

static struct host_file *host_file_of(const struct file *f)
{
    return f->priv;
}

// ---- Waiting ----

// Until any of events holds. 0, -EAGAIN (not to wait), -ERESTARTSYS.
static int wait_ready(struct file *f, const struct uio *u, uint32_t events)
{
    struct host_file *h = host_file_of(f);
    struct task *t = current_task();
    struct wait_entry w;
    int r = 0;
    if ((f->flags & O_NONBLOCK) || (u->flags & UIO_NOWAIT))
        return -EAGAIN;
    if (!t)
        return -EIO;
    wait_entry_init(&w, t);
    wait_add(&h->watch.wq, &w);
    for (;;) {
        wait_arm(t);
        host_watch_arm(&h->watch, events);
        if (host_fd_poll(h->fd) & events)
            break;
        r = wait_sleep(t, NSEC_MAX);
        if (r < 0)
            break;
    }
    wait_remove(&w);
    return r;
}

// One attempt that doesn't wait in the host. -EAGAIN: not ready.
static int64_t transfer_once(struct host_file *h, struct uio *u, bool out)
{
    if (__atomic_load_n((bool *)&h->no_wait, __ATOMIC_RELAXED)) {
        int64_t n = out ? host_io_write(h->fd, u, -1, RWF_NOWAIT) : host_io_read(h->fd, u, -1, RWF_NOWAIT);
        if (n != -EOPNOTSUPP)
            return n;
        __atomic_store_n((bool *)&h->no_wait, false, __ATOMIC_RELAXED);
    }
    if (!(host_fd_poll(h->fd) & (out ? READY_OUT : READY_IN)))
        return -EAGAIN;
    return out ? host_io_write(h->fd, u, -1, 0) : host_io_read(h->fd, u, -1, 0);
}

// ---- Regular files ----

static int64_t transfer_file(struct file *f, struct uio *u, uint64_t *pos, bool out)
{
    struct host_file *h = host_file_of(f);
    // read and write use the host's position; pread, pwrite and their kin come with one of their own.
    // So does what was opened again (priv2).
    int64_t offset = (u->flags & UIO_AT_POSITION) && !f->priv2 ? -1 : (int64_t)*pos;
    // As the guest has set it: the host's own flag holds beside it.
    int append = out && ((f->flags & O_APPEND) || (u->flags & UIO_APPEND)) ? RWF_APPEND : 0;
    uint64_t done = 0;
    int64_t n = 0;
    while (u->remaining) {
        n = out ? host_io_write(h->fd, u, offset, append) : host_io_read(h->fd, u, offset, 0);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            break;
        done += (uint64_t)n;
        if (offset >= 0)
            offset += n;
    }
    struct gofer_attr attr;
    if (done && out && host_fd_getattr(h->fd, &attr) == 0) {
        lock_take(&f->inode->lock);
        f->inode->size = attr.size;
        f->inode->blocks = attr.blocks;
        lock_release(&f->inode->lock);
    }
    *pos += done;
    return done ? (int64_t)done : n;
}

// ---- Operations ----

static int64_t host_file_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct host_file *h = host_file_of(f);
    if (h->regular)
        return transfer_file(f, u, pos, false);
    if (u->remaining == 0)
        return 0;
    for (;;) {
        int64_t n = transfer_once(h, u, false);
        if (n >= 0 && wait_queue_active(&h->watch.wq))
            host_watch_arm(&h->watch, EPOLLIN);
        if (n == -EINTR)
            continue;
        if (n != -EAGAIN)
            return n;
        int r = wait_ready(f, u, READY_IN);
        if (r < 0)
            return r;
    }
}

static int64_t host_file_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct host_file *h = host_file_of(f);
    uint64_t done = 0;
    int64_t n = 0;
    if (h->regular)
        return transfer_file(f, u, pos, true);
    while (u->remaining) {
        n = transfer_once(h, u, true);
        if (n == -EINTR)
            continue;
        if (n > 0) {
            done += (uint64_t)n;
            continue;
        }
        if (n == -EAGAIN)
            n = wait_ready(f, u, READY_OUT);
        if (n < 0)
            break;
    }
    if (n == -EPIPE && current_task() && !done)
        file_signal_caller(current_task(), SIGPIPE);
    return done ? (int64_t)done : n;
}

static int64_t host_file_seek(struct file *f, int64_t offset, int whence)
{
    struct host_file *h = host_file_of(f);
    if (f->priv2)
        return generic_seek(f, offset, whence, LOAD_RELAXED(f->inode->size));
    int64_t at = h->regular ? host_lseek(h->fd, offset, whence) : -ESPIPE;
    if (at >= 0)
        f->pos = (uint64_t)at;
    return at;
}

static uint32_t host_file_poll(struct file *f)
{
    struct host_file *h = host_file_of(f);
    if (h->regular)
        return EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;
    uint32_t wanted = (f->readable ? EPOLLIN : 0u) | (f->writable ? EPOLLOUT : 0u);
    uint32_t now = host_fd_poll(h->fd);
    // Between this and the look, the watch is armed: what becomes ready now is told.
    if (wanted & ~now) {
        host_watch_arm(&h->watch, wanted & ~now);
        now = host_fd_poll(h->fd);
    }
    now &= wanted | EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
    if (now & EPOLLIN)
        now |= EPOLLRDNORM;
    if (now & EPOLLOUT)
        now |= EPOLLWRNORM;
    return now;
}

static struct wait_queue *host_file_queue(struct file *f)
{
    return &host_file_of(f)->watch.wq;
}

// A terminal of the host that is not the sandbox's own (tty_host_open() has not taken it): programs may ask what it is like and set
// its modes, as they could with the command's other descriptors, and no more.
static int64_t terminal_ioctl(struct host_file *h, struct task *t, uint32_t cmd, uint64_t arg)
{
    union {
        uint8_t modes[36]; // struct termios of the kernel
        uint8_t size[8];   // struct winsize
    } data = {0};
    uint64_t size = cmd == TIOCGWINSZ ? sizeof(data.size) : sizeof(data.modes);
    int r = 0;
    switch (cmd) {
    case TCGETS:
    case TIOCGWINSZ:
        r = host_ioctl(h->fd, cmd, &data);
        return r < 0 ? r : copy_out(t, UADDR(arg), &data, size);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        r = copy_in(t, &data, UADDR(arg), size);
        return r < 0 ? r : host_ioctl(h->fd, cmd, &data);
    case TCSBRK:
    case TCXONC:
    case TCFLSH:
        return host_ioctl(h->fd, cmd, (void *)(uintptr_t)(uint32_t)arg);
    default:
        return -ENOTTY;
    }
}

static int64_t host_file_ioctl(struct file *f, struct task *t, uint32_t cmd, uint64_t arg)
{
    struct host_file *h = host_file_of(f);
    int count;
    if (h->terminal && cmd != FIONREAD)
        return terminal_ioctl(h, t, cmd, arg);
    if (cmd != FIONREAD)
        return -ENOTTY;
    int r = host_ioctl(h->fd, FIONREAD, &count);
    return r < 0 ? r : copy_out_value(t, UADDR(arg), &count);
}

static int host_file_sync(struct file *f, bool data_only, uint64_t offset, uint64_t size)
{
    struct host_file *h = host_file_of(f);
    return data_only ? host_fdatasync(h->fd) : host_fsync(h->fd);
}

static void host_file_put(struct host_file *h)
{
    if (!h || !refcount_put(&h->refs))
        return;
    host_watch_remove(&h->watch);
    // Whoever is at the other end of a pipe sees its end now.
    (void)host_close(h->fd);
    slab_free(&host_file_slab, h);
}

static void host_file_release(struct file *f)
{
    host_file_put(host_file_of(f));
}

const struct file_ops host_file_ops = {
    .read = host_file_read,
    .write = host_file_write,
    .seek = host_file_seek,
    .poll = host_file_poll,
    .poll_queue = host_file_queue,
    .ioctl = host_file_ioctl,
    .sync = host_file_sync,
    .release = host_file_release,
};

// ---- Opened again: /dev/stdout and the like ----

// The same descriptor under other flags; it can't be used in ways that it was not handed over for.
static int reopen(struct inode *inode, struct file *f)
{
    struct host_file *h = inode->priv;
    if (h->access != O_RDWR && ((f->readable && h->access != O_RDONLY) || (f->writable && h->access != O_WRONLY)))
        return -EACCES;
    refcount_get(&h->refs);
    f->type = FILE_HOST;
    f->priv = h;
    f->priv2 = h->regular;
    f->seekable = f->pos_shared = h->regular;
    return 0;
}

static int stdio_getattr(struct inode *inode)
{
    const struct host_file *h = inode->priv;
    struct gofer_attr attr;
    int r = h->regular ? host_fd_getattr(h->fd, &attr) : 0;
    if (r < 0 || !h->regular)
        return r;
    lock_take(&inode->lock);
    inode->size = attr.size;
    inode->blocks = attr.blocks;
    inode->mtime = (struct timespec64){.sec = attr.mtime.sec, .nsec = attr.mtime.nsec};
    lock_release(&inode->lock);
    return 0;
}

static int stdio_setattr(struct inode *inode, const struct setattr *attr)
{
    const struct host_file *h = inode->priv;
    if (attr->valid & SETATTR_SIZE) {
        int r = h->regular ? host_ftruncate(h->fd, attr->size) : -EINVAL;
        if (r < 0)
            return r;
    }
    inode_apply_setattr(inode, attr);
    return 0;
}

static void stdio_evict(struct inode *inode)
{
    host_file_put(inode->priv);
}

const struct inode_ops host_stdio_inode_ops = {
    .open = reopen,
    .getattr = stdio_getattr,
    .setattr = stdio_setattr,
    .evict = stdio_evict,
};

// ---- Start ----

static void show_as(struct inode *inode, const struct gofer_attr *attr)
{
    inode->ino = attr->ino;
    inode->rdev = attr->rdev;
    inode->uid = the_kernel()->spec->uid; // the host's owner has no name here
    inode->gid = the_kernel()->spec->gid;
    inode->size = attr->size;
    inode->blocks = attr->blocks;
    inode->mtime = (struct timespec64){.sec = attr->mtime.sec, .nsec = attr->mtime.nsec};
}

static void name_of(const struct gofer_attr *attr, char *out, size_t size)
{
    if (S_ISFIFO(attr->mode))
        snprintf(out, size, "pipe");
    else if (S_ISSOCK(attr->mode))
        snprintf(out, size, "socket");
    else if (S_ISCHR(attr->mode) && attr->rdev == 0x103)
        snprintf(out, size, "/dev/null");
    else
        snprintf(out, size, "host");
}

static int host_file_open(int fd, struct file **ret)
{
    struct gofer_attr attr;
    char name[40];
    int flags = host_get_flags(fd);
    if (flags < 0)
        return flags;
    int r = host_fd_getattr(fd, &attr);
    struct host_file *h = r < 0 ? NULL : slab_alloc(&host_file_slab);
    if (!h)
        return r < 0 ? r : -ENOMEM;
    refcount_init(&h->refs, 1);
    h->fd = fd;
    h->access = flags & O_ACCMODE;
    h->regular = S_ISREG(attr.mode) || S_ISBLK(attr.mode);
    h->no_wait = true;
    h->terminal = S_ISCHR(attr.mode) && the_kernel()->spec->stdio_is_terminal[fd];
    r = host_watch_add(&h->watch, fd, HOST_WATCH_QUEUE);
    if (r < 0) {
        slab_free(&host_file_slab, h);
        return r;
    }
    name_of(&attr, name, sizeof(name));
    struct file *f = file_create_anon(FILE_HOST, name, (uint32_t)flags & (O_ACCMODE | O_APPEND), attr.mode, h);
    if (!f)
        return -ENOMEM;
    show_as(f->inode, &attr);
    refcount_get(&h->refs);
    f->inode->priv = h;
    f->inode->type = INODE_HOST_STDIO;
    f->seekable = f->pos_shared = h->regular;
    *ret = f;
    return 0;
}

static int open_one(struct task *init, int fd)
{
    struct file *f = NULL;
    const struct boot_spec *spec = the_kernel()->spec;
    int r = -ENOTTY;
    if (spec->stdio_is_terminal[fd] && tty_host_open)
        r = tty_host_open(init, fd, &f);
    if (r == -ENOTTY)
        r = host_file_open(fd, &f);
    if (r < 0)
        return r;
    r = fd_install(init, f, false, fd);
    if (r < 0)
        file_unref(f);
    return r < 0 ? r : r == fd ? 0 : -EBADF;
}

int vfs_init_stdio(struct task *init)
{
    for (int fd = 0; fd < 3; fd++) {
        int r = open_one(init, fd);
        if (r < 0 && r != -EBADF) // one that the command was started without
            return r;
    }
    return 0;
}
