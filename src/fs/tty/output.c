// Output: what programs write, worked on as c_oflag says, and what is echoed. Termios(3).
//
// tty.column follows the cursor as far as characters tell: tabs, and erasing over them, need it.
#include <sys/epoll.h>

#include "fs/tty/tty-int.h"

void tty_output_wake(struct tty *tty)
{
    if (tty->console)
        console_output_wake(tty->console);
    else
        wake_up_all(&tty->master_wq, TTY_READABLE);
}

bool tty_can_output(const struct tty *tty)
{
    return !tty->stopped && ring_used(&tty->echo) == 0 && ring_room(&tty->out) >= TTY_EXPANSION;
}

// ---- One character ----

static uint32_t expand_newline(struct tty *tty, uint8_t out[TTY_EXPANSION])
{
    uint32_t flags = tty->termios.oflag;
    if (flags & (ONLRET | ONLCR))
        tty->column = 0;
    tty->line_column = tty->column;
    if (flags & ONLCR) {
        out[0] = '\r';
        out[1] = '\n';
        return 2;
    }
    out[0] = '\n';
    return 1;
}

static uint32_t expand_return(struct tty *tty, uint8_t out[TTY_EXPANSION])
{
    uint32_t flags = tty->termios.oflag;
    if ((flags & ONOCR) && tty->column == 0)
        return 0;
    out[0] = flags & OCRNL ? '\n' : '\r';
    if (!(flags & OCRNL) || (flags & ONLRET))
        tty->line_column = tty->column = 0;
    return 1;
}

// What c becomes with OPOST: the number of bytes.
static uint32_t expand(struct tty *tty, uint8_t c, uint8_t out[TTY_EXPANSION])
{
    uint32_t flags = tty->termios.oflag, spaces;
    switch (c) {
    case '\n':
        return expand_newline(tty, out);
    case '\r':
        return expand_return(tty, out);
    case '\t':
        spaces = 8 - (tty->column & 7);
        tty->column += spaces;
        if ((flags & TABDLY) != XTABS)
            break;
        memset(out, ' ', spaces);
        return spaces;
    case '\b':
        if (tty->column)
            tty->column--;
        break;
    default:
        if (tty_is_control(c))
            break;
        if ((flags & OLCUC) && tty_is_lower(c))
            c = (uint8_t)(c - 'a' + 'A');
        if (!tty_is_continuation(tty, c))
            tty->column++;
    }
    out[0] = c;
    return 1;
}

// ---- Programs' output ----

static uint32_t plain_run(const uint8_t *data, uint32_t size)
{
    uint32_t n = 0;
    while (n < size && !tty_is_control(data[n]))
        n++;
    return n;
}

static uint32_t count_columns(const struct tty *tty, const uint8_t *data, uint32_t size)
{
    uint32_t n = size;
    if (tty->termios.iflag & IUTF8)
        for (uint32_t i = 0; i < size; i++)
            n -= (data[i] & 0xc0) == 0x80;
    return n;
}

static uint32_t output_processed(struct tty *tty, const uint8_t *data, uint32_t size)
{
    uint8_t out[TTY_EXPANSION];
    uint32_t done = 0;
    bool plain = !(tty->termios.oflag & OLCUC);
    while (done < size) {
        uint32_t run = plain ? plain_run(data + done, size - done) : 0;
        if (run) {
            uint32_t n = ring_put(&tty->out, data + done, run);
            tty->column += count_columns(tty, data + done, n);
            done += n;
            if (n < run)
                break;
            continue;
        }
        if (ring_room(&tty->out) < TTY_EXPANSION)
            break;
        uint32_t n = expand(tty, data[done++], out);
        (void)ring_put(&tty->out, out, n);
    }
    return done;
}

uint32_t tty_output(struct tty *tty, const uint8_t *data, uint32_t size)
{
    uint32_t done;
    tty_echo_show(tty);
    if (!tty_can_output(tty))
        return 0;
    if (tty->termios.oflag & OPOST)
        done = output_processed(tty, data, size);
    else
        done = ring_put(&tty->out, data, size);
    if (done)
        tty_output_wake(tty);
    return done;
}

void tty_output_flush(struct tty *tty)
{
    struct tty_ring *r = &tty->out;
    ring_clear(&tty->echo);
    if (ring_used(r) > TTY_FLUSH_KEEP)
        r->head = r->tail + TTY_FLUSH_KEEP;
    wake_up_all(&tty->wq, TTY_WRITABLE);
}

// ---- Echo ----
// What is to be echoed waits as steps of two bytes and is worked on when it is shown: it may stand behind stopped output, and c_oflag
// and the column are taken as they are then.

enum echo_step {
    ECHO_CHARACTER, // as output would show it
    ECHO_CONTROL,   // as ^X
    ECHO_ERASE_TAB, // the other byte: columns before the tab, | AFTER_TAB when they count from another tab
    ECHO_LINE_START, // the line that is being typed begins here
};
#define AFTER_TAB 0x80

// When there is no room the newest is dropped: whoever types that much ahead does not look.
static void echo_put(struct tty *tty, enum echo_step step, uint8_t c)
{
    uint8_t entry[2] = {(uint8_t)step, c};
    if (ring_room(&tty->echo) >= sizeof(entry))
        (void)ring_put(&tty->echo, entry, sizeof(entry));
}

void tty_echo_raw(struct tty *tty, uint8_t c)
{
    echo_put(tty, ECHO_CHARACTER, c);
}

void tty_echo(struct tty *tty, uint8_t c)
{
    bool control = (tty->termios.lflag & ECHOCTL) && tty_is_control(c) && c != '\t';
    echo_put(tty, control ? ECHO_CONTROL : ECHO_CHARACTER, c);
}

void tty_echo_erase_tab(struct tty *tty, uint32_t columns, bool after_tab)
{
    echo_put(tty, ECHO_ERASE_TAB, (uint8_t)((columns & 7) | (after_tab ? AFTER_TAB : 0)));
}

void tty_echo_line_start(struct tty *tty)
{
    echo_put(tty, ECHO_LINE_START, 0);
}

static uint32_t expand_erased_tab(struct tty *tty, uint8_t c, uint8_t out[TTY_EXPANSION])
{
    uint32_t columns = c & 7;
    if (!(c & AFTER_TAB))
        columns += tty->line_column;
    uint32_t back = 8 - (columns & 7);
    memset(out, '\b', back);
    tty->column -= MIN(back, tty->column);
    return back;
}

static uint32_t expand_step(struct tty *tty, const uint8_t entry[2], uint8_t out[TTY_EXPANSION])
{
    uint8_t c = entry[1];
    switch ((enum echo_step)entry[0]) {
    case ECHO_CHARACTER:
        if ((tty->termios.oflag & OPOST) && c != 0xff)
            return expand(tty, c, out);
        tty->column += c == 0xff; // as on Linux, where this byte has an entry of its own
        out[0] = c;
        return 1;
    case ECHO_CONTROL:
        out[0] = '^';
        out[1] = c ^ 0100;
        tty->column += 2;
        return 2;
    case ECHO_ERASE_TAB:
        return expand_erased_tab(tty, c, out);
    case ECHO_LINE_START:
        tty->line_column = tty->column;
        break;
    }
    return 0;
}

void tty_echo_show(struct tty *tty)
{
    uint8_t entry[2], out[TTY_EXPANSION];
    bool moved = false;
    while (!tty->stopped && ring_used(&tty->echo) && ring_room(&tty->out) >= TTY_EXPANSION) {
        (void)ring_get(&tty->echo, entry, sizeof(entry));
        (void)ring_put(&tty->out, out, expand_step(tty, entry, out));
        moved = true;
    }
    if (moved)
        tty_output_wake(tty);
}

// ---- Stopping ----

void tty_packet_event(struct tty *tty, uint8_t set, uint8_t clear)
{
    if (!tty->packet)
        return;
    tty->packet_events = (uint8_t)((tty->packet_events & ~clear) | set);
    wake_up_all(&tty->master_wq, TTY_READABLE | EPOLLPRI);
}

void tty_stop(struct tty *tty)
{
    if (tty->stopped)
        return;
    tty->stopped = true;
    tty_packet_event(tty, TIOCPKT_STOP, TIOCPKT_START);
}

void tty_start(struct tty *tty)
{
    if (!tty->stopped || tty->stopped_by_call)
        return;
    tty->stopped = false;
    tty_packet_event(tty, TIOCPKT_START, TIOCPKT_STOP);
    tty_echo_show(tty);
    wake_up_all(&tty->wq, TTY_WRITABLE);
}
