// ioctl_tty(2), for both ends of a pseudo terminal and for the console. On a master most calls act on the slave, as on Linux.
//
// DEVIATION: terminals: TIOCSTI wants CAP_SYS_ADMIN, as on Linux since 6.2 with dev.tty.legacy_tiocsti off; TIOCCONS is EPERM;
// TIOCSETD knows the discipline 0 (N_TTY) only.
#include <signal.h>
#include <sys/epoll.h>

#include "abi/capability.h"
#include "fs/tty/tty-int.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "vfs/file.h"

#ifndef TIOCGEXCL
#define TIOCGEXCL 0x80045440
#endif

// ---- Size ----

void tty_set_size(struct tty *tty, const struct winsize *size)
{
    lock_take(&tty->lock);
    bool same = memcmp(&tty->size, size, sizeof(*size)) == 0;
    tty->size = *size;
    lock_release(&tty->lock);
    if (!same)
        tty_signal_foreground(tty, SIGWINCH);
}

static int64_t get_size(struct task *t, struct tty *tty, uint64_t arg)
{
    struct winsize size;
    lock_take(&tty->lock);
    size = tty->size;
    lock_release(&tty->lock);
    return copy_out_value(t, UADDR(arg), &size);
}

static int64_t set_size(struct task *t, struct tty *tty, uint64_t arg)
{
    struct winsize size;
    int r = copy_in_value(t, &size, UADDR(arg));
    if (r == 0)
        tty_set_size(tty, &size);
    return r;
}

// ---- Queues ----

int tty_wait_sent(struct task *t, struct tty *tty)
{
    struct wait_entry w;
    int r = 0;
    if (!tty->console)
        return 0; // a master counts as having got everything
    wait_entry_init(&w, t);
    wait_add(&tty->wq, &w);
    for (;;) {
        wait_arm(t);
        lock_take(&tty->lock);
        bool sent = !console_busy(tty->console);
        lock_release(&tty->lock);
        if (sent || (r = wait_sleep(t, NSEC_MAX)) < 0)
            break;
    }
    wait_remove(&w);
    return r;
}

static int64_t flush(struct task *t, struct tty *tty, bool master, uint64_t what)
{
    int r = tty_check_background(t, tty, SIGTTOU);
    if (r < 0)
        return r;
    if (what > TCIOFLUSH)
        return -EINVAL;
    // What is input at one end is output at the other.
    bool in = what != TCOFLUSH, out = what != TCIFLUSH;
    lock_take(&tty->lock);
    if (master ? out : in) {
        tty_input_flush(tty);
    }
    if (master ? in : out) {
        tty_output_flush(tty);
        if (master)
            ring_clear(&tty->out);
        else
            tty_packet_event(tty, TIOCPKT_FLUSHWRITE, 0);
    }
    lock_release(&tty->lock);
    return 0;
}

// TCIOFF and TCION send a character that is to stop, or start, the other end.
static void send_flow_character(struct tty *tty, bool master, uint8_t c)
{
    if (!c)
        return;
    if (master)
        (void)ring_put(&tty->raw, &c, 1);
    else if (ring_put(&tty->out, &c, 1))
        tty_output_wake(tty);
}

static int64_t flow(struct task *t, struct tty *tty, bool master, uint64_t what)
{
    int r = tty_check_background(t, tty, SIGTTOU);
    if (r < 0)
        return r;
    lock_take(&tty->lock);
    switch (what) {
    case TCOOFF:
        tty->stopped_by_call = true;
        tty_stop(tty);
        break;
    case TCOON:
        if (tty->stopped_by_call) {
            tty->stopped_by_call = false;
            tty_start(tty);
        }
        break;
    case TCIOFF:
        send_flow_character(tty, master, tty->termios.cc[VSTOP]);
        break;
    case TCION:
        send_flow_character(tty, master, tty->termios.cc[VSTART]);
        break;
    default:
        r = -EINVAL;
    }
    lock_release(&tty->lock);
    if (master)
        tty_input_pump(tty);
    return r;
}

static int64_t count(struct task *t, struct tty *tty, bool master, bool output, uint64_t arg)
{
    int value = 0;
    lock_take(&tty->lock);
    if (output)
        value = tty->console ? (int)ring_used(&tty->out) : 0;
    else
        value = (int)(master ? ring_used(&tty->out) : tty_input_waiting(tty));
    lock_release(&tty->lock);
    return copy_out_value(t, UADDR(arg), &value);
}

static int64_t simulate_input(struct task *t, struct tty *tty, uint64_t arg)
{
    uint8_t c;
    if (!capable(t, CAP_SYS_ADMIN))
        return -EIO;
    int r = copy_in_value(t, &c, UADDR(arg));
    if (r < 0)
        return r;
    lock_take(&tty->lock);
    (void)ring_put(&tty->raw, &c, 1);
    lock_release(&tty->lock);
    tty_input_pump(tty);
    return 0;
}

// ---- Jobs ----

static int64_t set_foreground(struct task *t, struct tty *tty, uint64_t arg)
{
    int32_t pgid;
    int r = tty_check_background(t, tty, SIGTTOU);
    if (r < 0)
        return r == -EIO ? -ENOTTY : r;
    r = copy_in_value(t, &pgid, UADDR(arg));
    return r < 0 ? r : tty_set_foreground(t, tty, pgid);
}

static int64_t job_ioctl(struct task *t, struct tty *tty, struct file *f, bool master, uint32_t cmd,
                         uint64_t arg)
{
    int32_t value;
    int r;
    switch (cmd) {
    case TIOCSCTTY:
        return tty_take_controlling(t, tty, f, arg);
    case TIOCNOTTY:
        return master ? -ENOTTY : tty_give_up_controlling(t, tty);
    case TIOCGPGRP:
        r = tty_get_foreground(t, tty, master, &value);
        return r < 0 ? r : copy_out_value(t, UADDR(arg), &value);
    case TIOCSPGRP:
        return set_foreground(t, tty, arg);
    case TIOCGSID:
        r = tty_get_session(t, tty, master, &value);
        return r < 0 ? r : copy_out_value(t, UADDR(arg), &value);
    default:
        return -ENOTTY;
    }
}

// ---- The rest ----

static int64_t set_discipline(struct task *t, struct tty *tty, uint64_t arg)
{
    int value;
    int r = copy_in_value(t, &value, UADDR(arg));
    if (r < 0)
        return r;
    r = tty_check_background(t, tty, SIGTTOU);
    return r < 0 ? r : value == 0 ? 0 : -EINVAL;
}

static int64_t set_exclusive(struct tty *tty, bool on)
{
    lock_take(&tty->lock);
    tty->exclusive = on;
    lock_release(&tty->lock);
    return 0;
}

static int64_t send_break(struct task *t, struct tty *tty, bool wait)
{
    int r = tty_check_background(t, tty, SIGTTOU);
    // There is no line that could be broken: a break is over at once.
    return r < 0 || !wait ? r : tty_wait_sent(t, tty);
}

static int64_t small_ioctl(struct task *t, struct tty *tty, uint32_t cmd, uint64_t arg)
{
    int value = 0;
    uint32_t device;
    switch (cmd) {
    case TIOCGETD:
        return copy_out_value(t, UADDR(arg), &value);
    case TIOCSETD:
        return set_discipline(t, tty, arg);
    case TIOCEXCL:
    case TIOCNXCL:
        return set_exclusive(tty, cmd == TIOCEXCL);
    case TIOCGEXCL:
        value = __atomic_load_n(&tty->exclusive, __ATOMIC_RELAXED);
        return copy_out_value(t, UADDR(arg), &value);
    case TIOCGDEV:
        device = (uint32_t)tty_device(tty);
        return copy_out_value(t, UADDR(arg), &device);
    case TIOCSTI:
        return simulate_input(t, tty, arg);
    case TIOCCONS:
        return -EPERM;
    case TIOCVHANGUP:
        if (!capable(t, CAP_SYS_ADMIN))
            return -EPERM;
        tty_hangup(tty);
        return 0;
    case TIOCSBRK:
    case TIOCCBRK:
        return send_break(t, tty, false);
    case TCSBRK:
    case TCSBRKP:
        return send_break(t, tty, true);
    default:
        return -ENOTTY;
    }
}

int64_t tty_common_ioctl(struct task *t, struct tty *tty, struct file *f, bool master, uint32_t cmd,
                         uint64_t arg)
{
    int64_t r;
    switch (cmd) {
    case TIOCGWINSZ:
        return get_size(t, tty, arg);
    case TIOCSWINSZ:
        return set_size(t, tty, arg);
    case TCFLSH:
        return flush(t, tty, master, arg);
    case TCXONC:
        return flow(t, tty, master, arg);
    case FIONREAD:
    case TIOCOUTQ:
        return count(t, tty, master, cmd == TIOCOUTQ, arg);
    default:
        r = tty_termios_ioctl(t, tty, f, cmd, arg);
        if (r == -ENOTTY)
            r = job_ioctl(t, tty, f, master, cmd, arg);
        return r == -ENOTTY ? small_ioctl(t, tty, cmd, arg) : r;
    }
}
