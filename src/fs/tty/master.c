// The master of a pseudo terminal, pty(7): what a terminal emulator has open. It reads what programs write to the slave and writes
// what is typed; in packet mode (TIOCPKT) each read begins with a byte that tells what happened on the other side.
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>

#include "fs/tty/tty-int.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "vfs/file.h"

static struct tty *master_of(const struct file *f)
{
    return f->priv;
}

static bool no_wait(const struct file *f, const struct uio *u)
{
    return (f->flags & O_NONBLOCK) || (u->flags & UIO_NOWAIT);
}

// ---- Reading ----

// Bytes, 0 when there is nothing yet, -EIO when nothing will come.
static int64_t take(struct tty *tty, uint8_t *buf, uint32_t size)
{
    uint32_t n = 0, head = 0;
    lock_take(&tty->lock);
    bool had_room = tty_can_output(tty);
    if (tty->packet && tty->packet_events) {
        buf[0] = tty->packet_events;
        tty->packet_events = 0;
        lock_release(&tty->lock);
        return 1;
    }
    if (tty->packet && ring_used(&tty->out)) {
        buf[0] = TIOCPKT_DATA;
        head = 1;
    }
    n = ring_get(&tty->out, buf + head, size - head) + head;
    bool closed = tty->slave_closed;
    if (n > head) {
        tty_echo_show(tty);
        if (!had_room && tty_can_output(tty))
            wake_up_all(&tty->wq, TTY_WRITABLE);
    }
    lock_release(&tty->lock);
    return n || !closed ? (int64_t)n : -EIO;
}

static int64_t read_step(struct tty *tty, struct uio *u)
{
    uint8_t buf[TTY_INPUT_SIZE];
    int64_t n = take(tty, buf, (uint32_t)MIN(u->remaining, sizeof(buf)));
    return n > 0 ? uio_put(u, buf, (uint64_t)n) : n;
}

static int64_t read_waiting(struct file *f, struct uio *u)
{
    struct tty *tty = master_of(f);
    struct task *t = current_task();
    struct wait_entry w;
    int64_t n;
    if (no_wait(f, u) || !t)
        return -EAGAIN;
    wait_entry_init(&w, t);
    w.events = TTY_READABLE | EPOLLPRI | EPOLLHUP | EPOLLERR;
    wait_add(&tty->master_wq, &w);
    for (;;) {
        wait_arm(t);
        n = read_step(tty, u);
        if (n != 0 || (n = wait_sleep(t, NSEC_MAX)) < 0)
            break;
    }
    wait_remove(&w);
    return n;
}

static int64_t master_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct tty *tty = master_of(f);
    if (u->remaining == 0)
        return 0;
    int64_t n = read_step(tty, u);
    if (n == 0)
        n = read_waiting(f, u);
    // More of it at once: a reader with a large buffer shall need few calls.
    bool packet = __atomic_load_n(&tty->packet, __ATOMIC_RELAXED);
    int64_t more = n;
    while (more == TTY_INPUT_SIZE && u->remaining && !packet) {
        more = read_step(tty, u);
        n += more > 0 ? more : 0;
    }
    if (n > 0)
        tty_async_notify(tty, false, TTY_WRITABLE);
    return n;
}

// ---- Writing ----

static int64_t write_step(struct tty *tty, struct uio *u)
{
    uint8_t buf[TTY_CHUNK];
    int64_t n = uio_get(u, buf, MIN(u->remaining, sizeof(buf)));
    if (n <= 0)
        return n;
    lock_take(&tty->lock);
    uint32_t done = ring_put(&tty->raw, buf, (uint32_t)n);
    lock_release(&tty->lock);
    uio_revert(u, (uint64_t)n - done);
    tty_input_pump(tty);
    return done;
}

static int wait_for_room(struct file *f, const struct uio *u)
{
    struct tty *tty = master_of(f);
    struct task *t = current_task();
    struct wait_entry w;
    int r = 0;
    if (no_wait(f, u) || !t)
        return -EAGAIN;
    wait_entry_init(&w, t);
    w.events = TTY_WRITABLE | EPOLLHUP | EPOLLERR;
    wait_add(&tty->master_wq, &w);
    for (;;) {
        wait_arm(t);
        lock_take(&tty->lock);
        bool room = ring_room(&tty->raw) != 0;
        lock_release(&tty->lock);
        if (room || (r = wait_sleep(t, NSEC_MAX)) < 0)
            break;
    }
    wait_remove(&w);
    return r;
}

static int64_t master_write(struct file *f, struct uio *u, uint64_t *pos)
{
    uint64_t done = 0;
    int64_t n = 0;
    while (u->remaining) {
        n = write_step(master_of(f), u);
        if (n > 0) {
            done += (uint64_t)n;
            continue;
        }
        if (n == 0)
            n = wait_for_room(f, u);
        if (n < 0)
            break;
    }
    return done ? (int64_t)done : n;
}

// ---- Polling, ioctl ----

static uint32_t master_poll(struct file *f)
{
    struct tty *tty = master_of(f);
    uint32_t events = 0;
    lock_take(&tty->lock);
    if (ring_used(&tty->out))
        events |= TTY_READABLE;
    if (tty->packet && tty->packet_events)
        events |= TTY_READABLE | EPOLLPRI;
    if (tty->slave_closed)
        events |= EPOLLHUP;
    if (ring_room(&tty->raw))
        events |= TTY_WRITABLE;
    lock_release(&tty->lock);
    return events;
}

static struct wait_queue *master_queue(struct file *f)
{
    return &master_of(f)->master_wq;
}

static int open_peer(struct task *t, struct file *f, uint32_t flags)
{
    struct path path;
    struct file *peer;
    int r = devpts_peer_path(f, tty_number(master_of(f)), &path);
    if (r < 0)
        return r;
    r = file_open_resolved(t, &path, flags & (O_ACCMODE | O_NOCTTY | O_NONBLOCK), &peer);
    path_put(&path);
    if (r < 0)
        return r;
    r = fd_install(t, peer, flags & O_CLOEXEC, 0);
    if (r < 0)
        file_unref(peer);
    return r;
}

static int set_packet_mode(struct tty *tty, bool on)
{
    lock_take(&tty->lock);
    if (on && !tty->packet)
        tty->packet_events = 0;
    tty->packet = on;
    lock_release(&tty->lock);
    return 0;
}

static int signal_slave(struct tty *tty, uint64_t sig)
{
    if (sig != SIGINT && sig != SIGQUIT && sig != SIGTSTP)
        return -EINVAL;
    tty_signal_foreground(tty, (int)sig);
    return 0;
}

static int64_t master_ioctl(struct file *f, struct task *t, uint32_t cmd, uint64_t arg)
{
    struct tty *tty = master_of(f);
    int value = 0;
    int64_t r;
    switch (cmd) {
    case TIOCGPTN:
        value = (int)tty_number(tty);
        return copy_out_value(t, UADDR(arg), &value);
    case TIOCSPTLCK:
        if ((r = copy_in_value(t, &value, UADDR(arg))) < 0)
            return r;
        lock_take(&tty->lock);
        tty->pty_locked = value != 0;
        lock_release(&tty->lock);
        return 0;
    case TIOCGPTLCK:
        value = __atomic_load_n(&tty->pty_locked, __ATOMIC_RELAXED);
        return copy_out_value(t, UADDR(arg), &value);
    case TIOCPKT:
        if ((r = copy_in_value(t, &value, UADDR(arg))) < 0)
            return r;
        return set_packet_mode(tty, value != 0);
    case TIOCGPKT:
        value = __atomic_load_n(&tty->packet, __ATOMIC_RELAXED);
        return copy_out_value(t, UADDR(arg), &value);
    case TIOCGPTPEER:
        return open_peer(t, f, (uint32_t)arg);
    case TIOCSIG:
        return signal_slave(tty, arg);
    default:
        return tty_common_ioctl(t, tty, f, true, cmd, arg);
    }
}

static void master_release(struct file *f)
{
    struct tty *tty = master_of(f);
    tty_async_set(tty, f, false);
    lock_take(&tty->lock);
    tty->master_open = false;
    lock_release(&tty->lock);
    devpts_name_remove(tty->sb, tty->number);
    tty_hangup(tty);
    tty_unref(tty);
}

static int master_set_flags(struct file *f, uint32_t flags)
{
    tty_async_set(master_of(f), f, flags & O_ASYNC);
    return 0;
}

const struct file_ops ptmx_file_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .poll_queue = master_queue,
    .ioctl = master_ioctl,
    .set_flags = master_set_flags,
    .release = master_release,
};
