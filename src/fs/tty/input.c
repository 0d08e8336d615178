// Input: what has been typed, worked on as c_iflag and c_lflag say, and the lines that come of it. termios(3).
//
// Bytes wait in tty.raw until there is room behind tty.input's head. In canonical mode a line that is too long is no reason to
// wait, since nobody can read any of it: its last character is replaced again and again until its end comes.
//
// A character that means a signal ends the work under the lock; tty_input_pump() sends the signal and goes on.
//
// DEVIATION: terminals: there are no parity errors and no breaks, so INPCK, IGNPAR, IGNBRK and BRKINT have nothing to act on.
#include <signal.h>
#include <sys/epoll.h>

#include "fs/tty/tty-int.h"

// ---- The queue ----

static uint32_t used(const struct tty_input *in)
{
    return in->head - in->tail;
}

static uint8_t byte_at(const struct tty_input *in, uint32_t pos)
{
    return in->data[pos % TTY_INPUT_SIZE];
}

static bool ends_at(const struct tty_input *in, uint32_t pos)
{
    uint32_t i = pos % TTY_INPUT_SIZE;
    return in->ends[i / 64] >> (i % 64) & 1;
}

static void set_end(struct tty_input *in, uint32_t pos, bool on)
{
    uint32_t i = pos % TTY_INPUT_SIZE;
    uint64_t bit = 1ull << (i % 64);
    in->ends[i / 64] = on ? in->ends[i / 64] | bit : in->ends[i / 64] & ~bit;
}

static void put(struct tty_input *in, uint8_t c)
{
    if (used(in) == TTY_INPUT_SIZE)
        in->head--;
    in->data[in->head % TTY_INPUT_SIZE] = c;
    set_end(in, in->head, false);
    in->head++;
}

static bool line_too_long(const struct tty *tty)
{
    return tty_canonical(tty) && tty->input->line_end == tty->input->tail;
}

// Characters that may be worked on now.
static uint32_t room_for(const struct tty *tty)
{
    uint32_t free_bytes = TTY_INPUT_SIZE - used(tty->input);
    if (tty->termios.iflag & PARMRK) // a character may take up to three
        free_bytes = (free_bytes + 2) / 3;
    if (free_bytes > 1)
        return free_bytes - 1;
    return line_too_long(tty) ? 1 : 0;
}

bool tty_input_ready(const struct tty *tty, bool for_poll)
{
    const struct tty_input *in = tty->input;
    if (tty_reads_lines(tty))
        return in->line_end != in->tail;
    uint8_t min = tty->termios.cc[VMIN];
    uint32_t wanted = for_poll && !tty_canonical(tty) && !tty->termios.cc[VTIME] && min ? min : 1;
    return used(in) >= wanted;
}

uint32_t tty_input_waiting(const struct tty *tty)
{
    const struct tty_input *in = tty->input;
    if (!tty_reads_lines(tty))
        return used(in);
    uint32_t n = 0;
    for (uint32_t pos = in->tail; pos != in->line_end; pos++)
        n += !(ends_at(in, pos) && byte_at(in, pos) == 0);
    return n;
}

static void copy_from(struct tty_input *in, uint8_t *out, uint32_t size)
{
    uint32_t at = in->tail % TTY_INPUT_SIZE, first = MIN(size, TTY_INPUT_SIZE - at);
    memcpy(out, in->data + at, first);
    memcpy(out + first, in->data, size - first);
    in->tail += size;
}

uint32_t tty_input_take(struct tty *tty, uint8_t *out, uint32_t size)
{
    struct tty_input *in = tty->input;
    uint32_t n = MIN(size, used(in));
    copy_from(in, out, n);
    // Lines are not kept apart now: what was read is part of none.
    if ((int32_t)(in->line_end - in->tail) < 0)
        in->line_end = in->tail;
    return n;
}

uint32_t tty_input_take_line(struct tty *tty, uint8_t *out, uint32_t size, bool *ended)
{
    struct tty_input *in = tty->input;
    uint32_t pos = in->tail, limit = in->tail + MIN(size, in->line_end - in->tail);
    *ended = in->line_end == in->tail;
    while (pos != limit && !ends_at(in, pos))
        pos++;
    uint32_t n = pos - in->tail;
    if (pos == limit) {
        copy_from(in, out, n);
        return n;
    }
    bool eof = byte_at(in, pos) == 0;
    set_end(in, pos, false);
    copy_from(in, out, eof ? n : n + 1);
    in->tail += eof;
    *ended = true;
    return eof ? n : n + 1;
}

void tty_input_skip_eof(struct tty *tty)
{
    struct tty_input *in = tty->input;
    if (in->tail != in->line_end && ends_at(in, in->tail) && byte_at(in, in->tail) == 0) {
        set_end(in, in->tail, false);
        in->tail++;
    }
}

static void queue_clear(struct tty_input *in)
{
    in->head = in->tail = in->line_end = 0;
    memset(in->ends, 0, sizeof(in->ends));
    in->literal_next = in->erasing = false;
}

void tty_input_flush(struct tty *tty)
{
    queue_clear(tty->input);
    ring_clear(&tty->raw);
    tty_packet_event(tty, TIOCPKT_FLUSHREAD, 0);
    wake_up_all(&tty->master_wq, TTY_WRITABLE);
    if (tty->console)
        console_input_wake(tty->console);
}

void tty_input_mode_changed(struct tty *tty, const struct tty_termios *old)
{
    struct tty_input *in = tty->input;
    if ((old->lflag ^ tty->termios.lflag) & (ICANON | TTY_EXTPROC)) {
        memset(in->ends, 0, sizeof(in->ends));
        in->literal_next = in->erasing = false;
        in->line_end = in->tail;
        // What was typed before is a line now, and ends with whatever came last.
        if (tty_canonical(tty) && used(in)) {
            in->line_end = in->head;
            set_end(in, in->head - 1, true);
        }
    }
    if ((old->iflag & IXON) && !(tty->termios.iflag & IXON))
        tty_start(tty);
    wake_up_all(&tty->wq, 0);
}

// ---- Editing ----

static void finish_erasing(struct tty *tty)
{
    if (tty->input->erasing) {
        tty_echo_raw(tty, '/');
        tty->input->erasing = false;
    }
}

static bool is(const struct tty *tty, int which, uint8_t c)
{
    return c && tty->termios.cc[which] == c; // _POSIX_VDISABLE is 0
}

static void show_typed(struct tty *tty, uint8_t c)
{
    struct tty_input *in = tty->input;
    if (in->line_end == in->head)
        tty_echo_line_start(tty);
    tty_echo(tty, c);
}

// The columns between the tab at the end of the line and the tab before it, or the line's start.
static void show_erased_tab(struct tty *tty)
{
    struct tty_input *in = tty->input;
    uint32_t columns = 0;
    bool after_tab = false;
    for (uint32_t pos = in->head; pos != in->line_end && !after_tab;) {
        uint8_t c = byte_at(in, --pos);
        if (c == '\t')
            after_tab = true;
        else if (tty_is_control(c))
            columns += tty->termios.lflag & ECHOCTL ? 2 : 0;
        else
            columns += !tty_is_continuation(tty, c);
    }
    tty_echo_erase_tab(tty, columns, after_tab);
}

static void wipe_column(struct tty *tty)
{
    tty_echo_raw(tty, '\b');
    tty_echo_raw(tty, ' ');
    tty_echo_raw(tty, '\b');
}

// Shows that the character of `size` bytes at the head, which begins with c, is gone.
static void show_erased(struct tty *tty, uint8_t c, uint32_t size, uint8_t by)
{
    struct tty_input *in = tty->input;
    uint32_t flags = tty->termios.lflag;
    if (!(flags & ECHO))
        return;
    if (flags & ECHOPRT) {
        if (!in->erasing)
            tty_echo_raw(tty, '\\');
        in->erasing = true;
        tty_echo(tty, c);
        for (uint32_t i = 1; i < size; i++)
            tty_echo_raw(tty, byte_at(in, in->head + i));
    } else if (is(tty, VERASE, by) && !(flags & ECHOE)) {
        tty_echo(tty, by);
    } else if (c == '\t') {
        show_erased_tab(tty);
    } else if (!tty_is_control(c)) {
        wipe_column(tty);
    } else if (flags & ECHOCTL) {
        wipe_column(tty);
        wipe_column(tty);
    }
}

// VERASE, VWERASE; VKILL when it is to show what it does character by character.
static void erase(struct tty *tty, uint8_t by, bool word, bool all)
{
    struct tty_input *in = tty->input;
    bool seen_word = false;
    while (in->head != in->line_end) {
        uint32_t start = in->head;
        uint8_t c;
        do
            c = byte_at(in, --start);
        while (tty_is_continuation(tty, c) && start != in->line_end);
        if (tty_is_continuation(tty, c))
            return; // no part of a character
        bool in_word = (c >= '0' && c <= '9') || tty_is_upper(c) || tty_is_lower(c) || c == '_';
        if (word && seen_word && !in_word)
            break;
        seen_word |= in_word;
        uint32_t size = in->head - start;
        in->head = start;
        show_erased(tty, c, size, by);
        if (!word && !all)
            break;
    }
    if (in->head == in->line_end && (tty->termios.lflag & ECHO))
        finish_erasing(tty);
}

static void kill_line(struct tty *tty, uint8_t by)
{
    struct tty_input *in = tty->input;
    uint32_t flags = tty->termios.lflag, wanted = ECHO | ECHOK | ECHOKE | ECHOE;
    if (in->head == in->line_end)
        return;
    if ((flags & wanted) == wanted) {
        erase(tty, by, false, true);
        return;
    }
    in->head = in->line_end;
    if (!(flags & ECHO))
        return;
    finish_erasing(tty);
    tty_echo(tty, by);
    if (flags & ECHOK)
        tty_echo_raw(tty, '\n');
}

static void reprint(struct tty *tty, uint8_t by)
{
    struct tty_input *in = tty->input;
    finish_erasing(tty);
    tty_echo(tty, by);
    tty_echo_raw(tty, '\n');
    for (uint32_t pos = in->line_end; pos != in->head; pos++)
        tty_echo(tty, byte_at(in, pos));
}

// ---- Receiving ----

static void store(struct tty *tty, uint8_t c)
{
    if (c == 0xff && (tty->termios.iflag & PARMRK))
        put(tty->input, c);
    put(tty->input, c);
}

static void end_line(struct tty *tty, uint8_t c)
{
    struct tty_input *in = tty->input;
    put(in, c);
    set_end(in, in->head - 1, true);
    in->line_end = in->head;
}

// What canonical mode makes of c. False: an ordinary character.
static bool receive_canonical(struct tty *tty, uint8_t c)
{
    uint32_t flags = tty->termios.lflag;
    bool extended = flags & IEXTEN, echo = flags & ECHO;
    if (is(tty, VERASE, c)) {
        erase(tty, c, false, false);
    } else if (is(tty, VKILL, c)) {
        kill_line(tty, c);
    } else if (extended && is(tty, VWERASE, c)) {
        erase(tty, c, true, false);
    } else if (extended && is(tty, VLNEXT, c)) {
        tty->input->literal_next = true;
        if (echo)
            finish_erasing(tty);
        if (echo && (flags & ECHOCTL)) {
            tty_echo_raw(tty, '^');
            tty_echo_raw(tty, '\b');
        }
    } else if (extended && echo && is(tty, VREPRINT, c)) {
        reprint(tty, c);
    } else if (c == '\n') {
        if (flags & (ECHO | ECHONL))
            tty_echo_raw(tty, c);
        end_line(tty, c);
    } else if (is(tty, VEOF, c)) {
        end_line(tty, 0);
    } else if (is(tty, VEOL, c) || (extended && is(tty, VEOL2, c))) {
        if (echo)
            show_typed(tty, c);
        if (c == 0xff && (tty->termios.iflag & PARMRK))
            put(tty->input, c);
        end_line(tty, c);
    } else {
        return false;
    }
    return true;
}

static int signal_of(const struct tty *tty, uint8_t c)
{
    if (is(tty, VINTR, c))
        return SIGINT;
    if (is(tty, VQUIT, c))
        return SIGQUIT;
    return is(tty, VSUSP, c) ? SIGTSTP : 0;
}

static void receive_signal(struct tty *tty, uint8_t c)
{
    if (!(tty->termios.lflag & NOFLSH)) {
        tty_output_flush(tty);
        tty_packet_event(tty, TIOCPKT_FLUSHWRITE, 0);
        queue_clear(tty->input);
        tty_packet_event(tty, TIOCPKT_FLUSHREAD, 0);
    }
    if (tty->termios.iflag & IXON)
        tty_start(tty);
    if (tty->termios.lflag & ECHO)
        tty_echo(tty, c);
}

// from_return: a newline that ICRNL has made; any other that ends no line shows as a control character.
static void receive_text(struct tty *tty, uint8_t c, bool from_return)
{
    if (tty->termios.lflag & ECHO) {
        finish_erasing(tty);
        if (from_return)
            tty_echo_raw(tty, c);
        else
            show_typed(tty, c);
    }
    store(tty, c);
}

// Returns a signal that the character means, or 0.
static int receive(struct tty *tty, uint8_t c)
{
    uint32_t in_flags = tty->termios.iflag, flags = tty->termios.lflag;
    if (in_flags & ISTRIP)
        c &= 0x7f;
    if ((in_flags & IUCLC) && (flags & IEXTEN) && tty_is_upper(c))
        c = (uint8_t)(c - 'A' + 'a');
    if (flags & TTY_EXTPROC) {
        put(tty->input, c);
        return 0;
    }
    if (tty->input->literal_next) {
        tty->input->literal_next = false;
        receive_text(tty, c, false);
        return 0;
    }
    if ((in_flags & IXON) && (is(tty, VSTART, c) || is(tty, VSTOP, c))) {
        if (is(tty, VSTART, c)) {
            tty_start(tty);
            tty_echo_show(tty);
        } else {
            tty_stop(tty);
        }
        return 0;
    }
    int sig = flags & ISIG ? signal_of(tty, c) : 0;
    if (sig) {
        receive_signal(tty, c);
        return sig;
    }
    if ((in_flags & (IXON | IXANY)) == (IXON | IXANY))
        tty_start(tty);
    if (c == '\r' && (in_flags & IGNCR))
        return 0;
    bool from_return = c == '\r' && (in_flags & ICRNL);
    if (from_return)
        c = '\n';
    else if (c == '\n' && (in_flags & INLCR))
        c = '\r';
    if (!tty_canonical(tty) || !receive_canonical(tty, c))
        receive_text(tty, c, from_return);
    return 0;
}

static bool passes_unchanged(const struct tty *tty)
{
    const uint32_t in = ISTRIP | IUCLC | IXON | ICRNL | INLCR | IGNCR | PARMRK;
    return !(tty->termios.iflag & in) &&
           !(tty->termios.lflag & (ICANON | ISIG | ECHO | TTY_EXTPROC)) &&
           !tty->input->literal_next;
}

static void receive_unchanged(struct tty *tty, uint32_t size)
{
    struct tty_input *in = tty->input;
    while (size) {
        uint32_t at = in->head % TTY_INPUT_SIZE;
        uint32_t n = ring_get(&tty->raw, in->data + at, MIN(size, TTY_INPUT_SIZE - at));
        in->head += n;
        size -= n;
        if (!n)
            break;
    }
}

// Until nothing has arrived any more, there is no room, or a signal is due.
static int receive_arrived(struct tty *tty)
{
    int sig = 0;
    uint32_t n;
    while (!sig && (n = MIN(ring_used(&tty->raw), room_for(tty)))) {
        if (passes_unchanged(tty)) {
            receive_unchanged(tty, n);
            continue;
        }
        for (uint8_t c; n && !sig; n--) {
            (void)ring_get(&tty->raw, &c, 1);
            sig = receive(tty, c);
        }
    }
    return sig;
}

void tty_input_pump(struct tty *tty)
{
    int sig;
    do {
        lock_take(&tty->lock);
        uint32_t before = ring_used(&tty->raw), out_before = ring_used(&tty->out);
        sig = receive_arrived(tty);
        tty_echo_show(tty);
        bool moved = ring_used(&tty->raw) != before, echoed = ring_used(&tty->out) != out_before;
        bool ready = moved && tty_input_ready(tty, false);
        if (ready)
            wake_up_all(&tty->wq, TTY_READABLE);
        if (moved && tty->console)
            console_input_wake(tty->console);
        else if (moved && before == tty->raw.size) // writers saw no room
            wake_up_all(&tty->master_wq, TTY_WRITABLE);
        lock_release(&tty->lock);
        if (ready)
            tty_async_notify(tty, false, TTY_READABLE);
        if (echoed)
            tty_async_notify(tty, true, TTY_READABLE);
        if (sig)
            tty_signal_foreground(tty, sig);
    } while (sig);
}
