// Terminal settings in their three wire formats (struct termio, termios, termios2): ioctl_tty(2).
//
// Speeds mean nothing here and are only kept. A change from the background stops the process, as any.
#include <signal.h>
#include <sys/epoll.h>

#include "abi/capability.h"
#include "fs/tty/tty-int.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "vfs/file.h"

#define TERMIOS2_SIZE sizeof(struct tty_termios)
#define TERMIOS_SIZE  36u // without the speeds
#define GETS2         _IOC(_IOC_READ, 'T', 0x2a, TERMIOS2_SIZE)
#define SETS2         _IOC(_IOC_WRITE, 'T', 0x2b, TERMIOS2_SIZE)
#define SETSW2        _IOC(_IOC_WRITE, 'T', 0x2c, TERMIOS2_SIZE)
#define SETSF2        _IOC(_IOC_WRITE, 'T', 0x2d, TERMIOS2_SIZE)
_Static_assert(offsetof(struct tty_termios, ispeed) == TERMIOS_SIZE,
               "termios is termios2's beginning");

enum { TERMIO_CC_COUNT = 8 };
struct wire_termio {
    uint16_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[TERMIO_CC_COUNT], pad;
};
_Static_assert(sizeof(struct wire_termio) == 18, "struct termio is 18 bytes");

enum format { FORMAT_TERMIO, FORMAT_TERMIOS, FORMAT_TERMIOS2 };

static const uint32_t speeds[] = {
    0,      50,      75,      110,     134,     150,     200,     300,     600,     1200,   1800,
    2400,   4800,    9600,    19200,   38400,   57600,   115200,  230400,  460800,  500000, 576000,
    921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
};

// What a CBAUD code stands for; other: the speed field, for BOTHER.
static uint32_t speed_of(uint32_t code, uint32_t other)
{
    code &= CBAUD;
    if (code == TTY_BOTHER)
        return other;
    if (code & CBAUDEX)
        code = (code & ~(uint32_t)CBAUDEX) + 15;
    return code < ARRAY_SIZE(speeds) ? speeds[code] : 0;
}

static void settle_speeds(struct tty_termios *t)
{
    uint32_t input = t->cflag >> 16 & CBAUD; // CIBAUD
    t->ospeed = speed_of(t->cflag, t->ospeed);
    t->ispeed = input ? speed_of(input, t->ispeed) : t->ospeed;
}

// ---- Applying ----

// What TIOCSLCKTRMIOS has locked stays as it was.
static void keep_locked_bits(const struct tty *tty, struct tty_termios *new)
{
    const struct tty_termios *locked = &tty->locked_bits, *old = &tty->termios;
#define KEEP(field) new->field = (new->field & ~locked->field) | (old->field & locked->field)
    KEEP(iflag);
    KEEP(oflag);
    KEEP(cflag);
    KEEP(lflag);
#undef KEEP
    if (locked->line)
        new->line = old->line;
    for (int i = 0; i < TTY_CC_COUNT; i++)
        if (locked->cc[i])
            new->cc[i] = old->cc[i];
}

static bool has_usual_flow_control(const struct tty_termios *t)
{
    return (t->iflag & IXON) && t->cc[VSTOP] == 19 && t->cc[VSTART] == 17;
}

// Packet mode's reader learns of flow control and, with EXTPROC, of every change: tty_ioctl(4), TIOCPKT.
static void tell_master(struct tty *tty, const struct tty_termios *old)
{
    bool was = has_usual_flow_control(old), now = has_usual_flow_control(&tty->termios);
    bool external = (old->lflag | tty->termios.lflag) & TTY_EXTPROC;
    if (was == now && !external)
        return;
    uint8_t set = now ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP,
            clear = now ? TIOCPKT_NOSTOP : TIOCPKT_DOSTOP;
    if (external)
        set |= TIOCPKT_IOCTL;
    tty_packet_event(tty, set, clear);
}

static void apply_locked(struct tty *tty, struct tty_termios *new)
{
    struct tty_termios old = tty->termios;
    settle_speeds(new);
    keep_locked_bits(tty, new);
    // There is no line that could have other characters or parity.
    new->cflag = (new->cflag & ~(uint32_t)(CSIZE | PARENB)) | CS8 | CREAD;
    new->line = 0;
    tty->termios = *new;
    tell_master(tty, &old);
    tty_input_mode_changed(tty, &old);
}

// ---- Copying ----

static int copy_settings_out(struct task *t, uint64_t arg, const struct tty_termios *s,
                             enum format format)
{
    if (format == FORMAT_TERMIOS2)
        return copy_out(t, UADDR(arg), s, TERMIOS2_SIZE);
    if (format == FORMAT_TERMIOS)
        return copy_out(t, UADDR(arg), s, TERMIOS_SIZE);
    struct wire_termio w = {.iflag = (uint16_t)s->iflag,
                            .oflag = (uint16_t)s->oflag,
                            .cflag = (uint16_t)s->cflag,
                            .lflag = (uint16_t)s->lflag,
                            .line = s->line};
    memcpy(w.cc, s->cc, sizeof(w.cc));
    return copy_out_value(t, UADDR(arg), &w);
}

// *s holds the present settings.
static int copy_settings_in(struct task *t, uint64_t arg, struct tty_termios *s, enum format format)
{
    struct wire_termio w;
    if (format == FORMAT_TERMIOS2)
        return copy_in(t, s, UADDR(arg), TERMIOS2_SIZE);
    if (format == FORMAT_TERMIOS)
        return copy_in(t, s, UADDR(arg), TERMIOS_SIZE);
    int r = copy_in_value(t, &w, UADDR(arg));
    if (r < 0)
        return r;
    s->iflag = (s->iflag & 0xffff0000u) | w.iflag;
    s->oflag = (s->oflag & 0xffff0000u) | w.oflag;
    s->cflag = (s->cflag & 0xffff0000u) | w.cflag;
    s->lflag = (s->lflag & 0xffff0000u) | w.lflag;
    s->line = w.line;
    memcpy(s->cc, w.cc, sizeof(w.cc));
    return 0;
}

// ---- The calls ----

static void get_settings(struct tty *tty, struct tty_termios *out)
{
    lock_take(&tty->lock);
    *out = tty->termios;
    lock_release(&tty->lock);
}

enum { SET_WAITS = 1, SET_FLUSHES = 2 };

static int64_t set_settings(struct task *t, struct tty *tty, uint64_t arg, enum format format,
                            int how)
{
    struct tty_termios s;
    int r = tty_check_background(t, tty, SIGTTOU);
    if (r < 0)
        return r;
    get_settings(tty, &s);
    r = copy_settings_in(t, arg, &s, format);
    if (r < 0)
        return r;
    if ((how & SET_WAITS) && (r = tty_wait_sent(t, tty)) < 0)
        return r;
    lock_take(&tty->lock);
    if (how & SET_FLUSHES)
        tty_input_flush(tty);
    apply_locked(tty, &s);
    lock_release(&tty->lock);
    return 0;
}

static int64_t set_locked_bits(struct task *t, struct tty *tty, uint64_t arg)
{
    struct tty_termios s = {0};
    if (!capable(t, CAP_SYS_ADMIN))
        return -EPERM;
    int r = copy_settings_in(t, arg, &s, FORMAT_TERMIOS);
    if (r < 0)
        return r;
    lock_take(&tty->lock);
    tty->locked_bits = s;
    lock_release(&tty->lock);
    return 0;
}

static int64_t set_soft_carrier(struct task *t, struct tty *tty, uint64_t arg)
{
    int on;
    int r = copy_in_value(t, &on, UADDR(arg));
    if (r < 0)
        return r;
    lock_take(&tty->lock);
    tty->termios.cflag = on ? tty->termios.cflag | CLOCAL : tty->termios.cflag & ~(uint32_t)CLOCAL;
    lock_release(&tty->lock);
    return 0;
}

int64_t tty_termios_ioctl(struct task *t, struct tty *tty, struct file *f, uint32_t cmd,
                          uint64_t arg)
{
    struct tty_termios s;
    int value;
    switch (cmd) {
    case TCGETS:
    case TCGETA:
    case GETS2:
        get_settings(tty, &s);
        return copy_settings_out(t, arg, &s,
                                 cmd == GETS2    ? FORMAT_TERMIOS2
                                 : cmd == TCGETA ? FORMAT_TERMIO
                                                 : FORMAT_TERMIOS);
    case TCSETS:
        return set_settings(t, tty, arg, FORMAT_TERMIOS, 0);
    case TCSETSW:
        return set_settings(t, tty, arg, FORMAT_TERMIOS, SET_WAITS);
    case TCSETSF:
        return set_settings(t, tty, arg, FORMAT_TERMIOS, SET_WAITS | SET_FLUSHES);
    case TCSETA:
        return set_settings(t, tty, arg, FORMAT_TERMIO, 0);
    case TCSETAW:
        return set_settings(t, tty, arg, FORMAT_TERMIO, SET_WAITS);
    case TCSETAF:
        return set_settings(t, tty, arg, FORMAT_TERMIO, SET_WAITS | SET_FLUSHES);
    case SETS2:
        return set_settings(t, tty, arg, FORMAT_TERMIOS2, 0);
    case SETSW2:
        return set_settings(t, tty, arg, FORMAT_TERMIOS2, SET_WAITS);
    case SETSF2:
        return set_settings(t, tty, arg, FORMAT_TERMIOS2, SET_WAITS | SET_FLUSHES);
    case TIOCGLCKTRMIOS:
        lock_take(&tty->lock);
        s = tty->locked_bits;
        lock_release(&tty->lock);
        return copy_settings_out(t, arg, &s, FORMAT_TERMIOS);
    case TIOCSLCKTRMIOS:
        return set_locked_bits(t, tty, arg);
    case TIOCGSOFTCAR:
        get_settings(tty, &s);
        value = (s.cflag & CLOCAL) != 0;
        return copy_out_value(t, UADDR(arg), &value);
    case TIOCSSOFTCAR:
        return set_soft_carrier(t, tty, arg);
    default:
        return -ENOTTY;
    }
}
