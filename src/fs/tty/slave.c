// Open files of a terminal: reading as VMIN, VTIME and lines say, writing, polling. termios(3).
//
// Bytes go through a buffer on the stack, because nothing is copied to or from a guest under tty.lock. What has been taken out of
// the queue and meets a bad address is lost, as on Linux.
#include <signal.h>
#include <sys/epoll.h>

#include "fs/tty/tty-int.h"
#include "kernel/task.h"
#include "kernel/timer.h"
#include "mm/copy.h"
#include "vfs/file.h"

static struct tty *slave_of(const struct file *f)
{
    return f->priv;
}

static bool hung_up(const struct file *f)
{
    return __atomic_load_n(&slave_of(f)->generation, __ATOMIC_ACQUIRE) != (uint32_t)f->priv2;
}

static bool no_wait(const struct file *f, const struct uio *u)
{
    return (f->flags & O_NONBLOCK) || (u->flags & UIO_NOWAIT);
}

// ---- Reading ----

// What one read call is about: VMIN and VTIME as they were when it began.
struct read_state {
    uint32_t minimum; // bytes that end the call
    nsec_t between;   // time after a byte, 0: for ever
    nsec_t deadline;
    uint64_t done;
    bool finished;
};

static void read_begin(struct tty *tty, struct read_state *r)
{
    *r = (struct read_state){.minimum = 1, .deadline = NSEC_MAX};
    lock_take(&tty->lock);
    if (!tty_canonical(tty)) {
        nsec_t time = tty->termios.cc[VTIME] * (NSEC_PER_SEC / 10);
        uint8_t min = tty->termios.cc[VMIN];
        r->minimum = min ? min : 1;
        if (min)
            r->between = time;
        else
            r->deadline = time ? clock_monotonic() + time : 0;
    }
    lock_release(&tty->lock);
}

// Takes what is there now. Bytes in buf.
static uint32_t read_some(struct tty *tty, struct read_state *r, uint8_t *buf, uint32_t size)
{
    uint32_t n = 0;
    lock_take(&tty->lock);
    if (tty_input_ready(tty, false)) {
        bool ended = false;
        if (tty_reads_lines(tty)) {
            n = tty_input_take_line(tty, buf, size, &ended);
            r->finished = ended;
        } else {
            n = tty_input_take(tty, buf, size);
            // The other end of an EXTPROC terminal sends VEOF for what a line of nothing but it means.
            if (tty_canonical(tty) && n == 1 && buf[0] == tty->termios.cc[VEOF]) {
                n = 0;
                r->finished = true;
            }
        }
    }
    bool pump = ring_used(&tty->raw) != 0;
    lock_release(&tty->lock);
    if (pump)
        tty_input_pump(tty);
    return n;
}

static int64_t read_step(struct file *f, struct uio *u, struct read_state *r)
{
    struct tty *tty = slave_of(f);
    uint8_t buf[TTY_INPUT_SIZE];
    uint32_t n = read_some(tty, r, buf, (uint32_t)MIN(u->remaining, sizeof(buf)));
    if (n == 0)
        return 0;
    int64_t copied = uio_put(u, buf, n);
    if (copied < 0)
        return copied;
    r->done += (uint64_t)copied;
    if (copied < n || r->done >= r->minimum || !u->remaining)
        r->finished = true;
    if (r->between)
        r->deadline = clock_monotonic() + r->between;
    return copied;
}

static int64_t read_waiting(struct file *f, struct uio *u, struct read_state *r)
{
    struct tty *tty = slave_of(f);
    struct task *t = current_task();
    struct wait_entry w;
    int64_t ret = 0;
    if (r->deadline == 0)
        return 0;
    if (no_wait(f, u) || !t)
        return -EAGAIN;
    if (tty->console)
        console_wanted(tty->console);
    wait_entry_init(&w, t);
    w.events = TTY_READABLE | EPOLLHUP | EPOLLERR;
    wait_add(&tty->wq, &w);
    for (;;) {
        wait_arm(t);
        ret = read_step(f, u, r);
        if (ret < 0 || r->finished || hung_up(f))
            break;
        if (ret > 0)
            continue;
        ret = wait_sleep(t, r->deadline);
        if (ret == -ETIMEDOUT) {
            ret = read_step(f, u, r);
            break;
        }
        if (ret < 0)
            break;
    }
    wait_remove(&w);
    return ret < 0 ? ret : 0;
}

static int64_t slave_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct tty *tty = slave_of(f);
    struct task *t = current_task();
    struct read_state r;
    if (hung_up(f))
        return 0;
    int64_t ret = t ? tty_check_background(t, tty, SIGTTIN) : 0;
    if (ret < 0 || u->remaining == 0)
        return ret;
    read_begin(tty, &r);
    do
        ret = read_step(f, u, &r);
    while (ret > 0 && !r.finished);
    if (ret == 0 && !r.finished && !hung_up(f))
        ret = read_waiting(f, u, &r);
    if (!u->remaining) {
        lock_take(&tty->lock);
        if (tty_reads_lines(tty))
            tty_input_skip_eof(tty);
        lock_release(&tty->lock);
    }
    if (r.done) {
        tty_touch(f, false);
        return (int64_t)r.done;
    }
    return ret;
}

// ---- Writing ----

// One write at a time, however long it takes: what two processes write is not mixed.
static int writing_begin(struct file *f, const struct uio *u)
{
    struct tty *tty = slave_of(f);
    struct task *t = current_task();
    struct wait_entry w;
    int r = 0;
    lock_take(&tty->lock);
    bool taken = !tty->writing;
    tty->writing = true;
    lock_release(&tty->lock);
    if (taken)
        return 0;
    if (no_wait(f, u) || !t)
        return -EAGAIN;
    wait_entry_init(&w, t);
    w.events = TTY_WRITABLE | EPOLLHUP | EPOLLERR;
    wait_add(&tty->wq, &w);
    for (;;) {
        wait_arm(t);
        lock_take(&tty->lock);
        taken = !tty->writing;
        tty->writing = true;
        lock_release(&tty->lock);
        if (taken || (r = wait_sleep(t, NSEC_MAX)) < 0)
            break;
    }
    wait_remove(&w);
    return r;
}

static void writing_end(struct tty *tty)
{
    lock_take(&tty->lock);
    tty->writing = false;
    lock_release(&tty->lock);
    wake_up_all(&tty->wq, TTY_WRITABLE);
}

static int wait_for_room(struct file *f, const struct uio *u)
{
    struct tty *tty = slave_of(f);
    struct task *t = current_task();
    struct wait_entry w;
    int r = 0;
    if (no_wait(f, u) || !t)
        return -EAGAIN;
    wait_entry_init(&w, t);
    w.events = TTY_WRITABLE | EPOLLHUP | EPOLLERR;
    wait_add(&tty->wq, &w);
    for (;;) {
        wait_arm(t);
        lock_take(&tty->lock);
        tty_echo_show(tty);
        bool room = tty_can_output(tty);
        lock_release(&tty->lock);
        if (room || hung_up(f) || (r = wait_sleep(t, NSEC_MAX)) < 0)
            break;
    }
    wait_remove(&w);
    return r;
}

// One chunk: bytes that went out, 0 when there is no room.
static int64_t write_step(struct file *f, struct uio *u)
{
    struct tty *tty = slave_of(f);
    uint8_t buf[TTY_CHUNK];
    int64_t n = uio_get(u, buf, MIN(u->remaining, sizeof(buf)));
    if (n <= 0)
        return n;
    lock_take(&tty->lock);
    uint32_t done = hung_up(f) ? 0 : tty_output(tty, buf, (uint32_t)n);
    lock_release(&tty->lock);
    uio_revert(u, (uint64_t)n - done);
    return done;
}

static int64_t slave_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct tty *tty = slave_of(f);
    struct task *t = current_task();
    uint64_t done = 0;
    int64_t n = 0;
    if (hung_up(f))
        return -EIO;
    if (t && (__atomic_load_n(&tty->termios.lflag, __ATOMIC_RELAXED) & TOSTOP) &&
        (n = tty_check_background(t, tty, SIGTTOU)) < 0)
        return n;
    n = writing_begin(f, u);
    if (n < 0)
        return n;
    while (u->remaining) {
        n = write_step(f, u);
        if (n > 0) {
            done += (uint64_t)n;
            continue;
        }
        if (n == 0)
            n = hung_up(f) ? -EIO : wait_for_room(f, u);
        if (n < 0)
            break;
    }
    writing_end(tty);
    if (done) {
        tty_touch(f, true);
        tty_async_notify(tty, true, TTY_READABLE);
    }
    return done ? (int64_t)done : n;
}

// ---- The rest ----

static uint32_t slave_poll(struct file *f)
{
    struct tty *tty = slave_of(f);
    uint32_t events = 0;
    if (hung_up(f))
        return TTY_READABLE | TTY_WRITABLE | EPOLLERR | EPOLLHUP;
    lock_take(&tty->lock);
    if (tty_input_ready(tty, true))
        events |= TTY_READABLE;
    if (tty_can_output(tty) && !tty->writing)
        events |= TTY_WRITABLE;
    lock_release(&tty->lock);
    return events;
}

static struct wait_queue *slave_queue(struct file *f)
{
    return &slave_of(f)->wq;
}

static int64_t slave_ioctl(struct file *f, struct task *t, uint32_t cmd, uint64_t arg)
{
    if (hung_up(f))
        return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
    return tty_common_ioctl(t, slave_of(f), f, false, cmd, arg);
}

static void slave_release(struct file *f)
{
    struct tty *tty = slave_of(f);
    tty_async_set(tty, f, false);
    lock_take(&tty->lock);
    bool last = --tty->slaves == 0;
    if (last)
        tty->slave_closed = true;
    lock_release(&tty->lock);
    if (last)
        wake_up_all(&tty->master_wq, 0);
    tty_unref(tty);
}

static int slave_set_flags(struct file *f, uint32_t flags)
{
    tty_async_set(slave_of(f), f, flags & O_ASYNC);
    return 0;
}

const struct file_ops tty_file_ops = {
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .poll_queue = slave_queue,
    .ioctl = slave_ioctl,
    .set_flags = slave_set_flags,
    .release = slave_release,
};
