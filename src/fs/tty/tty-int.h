// Inside of terminals. See docs/terminals.md.
//
// One struct tty is a whole pseudo terminal: what Linux keeps in two objects, the master's and the slave's, is one here, because
// the master has no line discipline of its own worth the name. Data flows through four queues:
//
//     master's write -> raw -> (input.c) -> input -> slave's read
//                                 | echo
//     master's read  <- out  <- (output.c) <- slave's write
//
// `raw` holds what has arrived and was not worked on, because `input` is full; `echo` what is to be shown and was not yet, because
// output is stopped or full.
//
// Locking: tty.lock (LOCK_RANK_TTY) guards all but session and foreground group, which tasks_lock guards, and what is immutable.
// Signals are sent without tty.lock: tasks_lock comes before it.
#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include "base/lock.h"
#include "base/refcount.h"
#include "base/types.h"
#include "fs/tty/tty.h"
#include "kernel/wait.h"

struct file;
struct process_group;
struct session;
struct super_block;
struct uio;

enum {
    TTY_INPUT_SIZE = 4096, // tty's longest line, termios(3)
    TTY_RAW_SIZE = 8192,
    TTY_ECHO_SIZE = 8192,
    TTY_OUT_SIZE = 16384,
    TTY_FLUSH_KEEP = 4096, // output that is beyond recall: a Linux master has it in its own queue
    TTY_EXPANSION = 8,     // the most bytes that one character becomes on output
    TTY_CHUNK = 2048,      // moved at a time between a guest's buffers and the queues
    TTY_CC_COUNT = 19,
};

#define TTY_BOTHER  010000u // c_cflag: the speed stands in its own field
#define TTY_EXTPROC 0200000u

struct tty_termios { // as TCGETS2 has it
    uint32_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[TTY_CC_COUNT];
    uint32_t ispeed, ospeed;
};
_Static_assert(sizeof(struct tty_termios) == 44, "struct termios2 is 44 bytes");

struct tty_ring {
    uint8_t *data;
    uint32_t size; // power of two
    uint32_t head, tail;
};

struct tty_input { // positions only grow; their place is what is left modulo TTY_INPUT_SIZE
    uint8_t data[TTY_INPUT_SIZE];
    uint64_t ends
        [TTY_INPUT_SIZE /
         64]; // a line ends with this byte; a 0 byte there stands for end of file and is not read
    uint32_t head, tail;
    uint32_t line_end; // behind the last complete line
    bool literal_next; // VLNEXT came
    bool erasing;      // inside ECHOPRT's \.../
};

struct console;

struct tty {
    refcount_t refs;
    uint8_t kind;            // enum tty_kind; immutable
    uint32_t number;         // in its devpts instance; immutable
    struct super_block *sb;  // devpts, or NULL; immutable; reference
    struct console *console; // of TTY_CONSOLE; immutable once it is open
    struct lock lock;        // LOCK_RANK_TTY

    struct session *session; // whose controlling terminal it is; reference. GUARDED_BY(tasks_lock)
    struct process_group *foreground; // reference. GUARDED_BY(tasks_lock); compared without

    struct tty_termios termios, locked_bits; // GUARDED_BY(lock)
    struct winsize size;                     // GUARDED_BY(lock)
    struct tty_input *input;                 // GUARDED_BY(lock)
    struct tty_ring raw, echo, out;          // GUARDED_BY(lock)
    uint32_t column;                         // where output stands; GUARDED_BY(lock)
    uint32_t
        line_column; // where it stood when the line that is being typed began; GUARDED_BY(lock)

    uint32_t
        generation; // hang-ups; files of an earlier one are hung up. GUARDED_BY(lock), read without
    uint32_t slaves;       // open files; GUARDED_BY(lock)
    bool master_open;      // or the host's terminal is there; GUARDED_BY(lock)
    bool slave_closed;     // the last slave was closed, and none opened since; GUARDED_BY(lock)
    bool pty_locked;       // TIOCSPTLCK; GUARDED_BY(lock)
    bool exclusive;        // TIOCEXCL; GUARDED_BY(lock)
    bool packet;           // TIOCPKT; GUARDED_BY(lock)
    uint8_t packet_events; // TIOCPKT_*; GUARDED_BY(lock)
    bool stopped;          // output is, by VSTOP or TCOOFF; GUARDED_BY(lock)
    bool stopped_by_call;  // by TCOOFF: only TCOON ends it; GUARDED_BY(lock)
    struct file
        *async[2]; // latest slave and master file with O_ASYNC, no reference; GUARDED_BY(lock)
    bool writing;  // a slave's write is under way: others wait; GUARDED_BY(lock)

    struct wait_queue wq;        // readers, writers, pollers of the slave
    struct wait_queue master_wq; // and of the master
};

#define TTY_READABLE (EPOLLIN | EPOLLRDNORM)
#define TTY_WRITABLE (EPOLLOUT | EPOLLWRNORM)

// ---- Rings (tty.c) ----
static inline uint32_t ring_used(const struct tty_ring *r)
{
    return r->head - r->tail;
}
static inline uint32_t ring_room(const struct tty_ring *r)
{
    return r->size - ring_used(r);
}
uint32_t ring_put(struct tty_ring *r, const uint8_t *data, uint32_t size); // what went in
uint32_t ring_get(struct tty_ring *r, uint8_t *data, uint32_t size);       // what came out
static inline void ring_clear(struct tty_ring *r)
{
    r->head = r->tail = 0;
}

static inline bool tty_canonical(const struct tty *tty)
{
    return tty->termios.lflag & ICANON;
}
// Lines are taken as lines: with EXTPROC whoever is at the other end has edited them.
static inline bool tty_reads_lines(const struct tty *tty)
{
    return (tty->termios.lflag & (ICANON | TTY_EXTPROC)) == ICANON;
}
static inline bool tty_is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}
// Letters as Linux's tables have them, which are of Latin-1.
static inline bool tty_is_upper(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7);
}
static inline bool tty_is_lower(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 0xdf && c != 0xf7);
}
// Bytes of a UTF-8 character behind its first: they have no column of their own.
static inline bool tty_is_continuation(const struct tty *tty, uint8_t c)
{
    return (tty->termios.iflag & IUTF8) && (c & 0xc0) == 0x80;
}

// ---- tty.c ----
extern const struct tty_termios tty_default_termios;
// SIGIO: f's flags change, or f goes; something happened for one end. No lock held.
void tty_async_set(struct tty *tty, struct file *f, bool on);
void tty_async_notify(struct tty *tty, bool master, uint32_t events);
void tty_touch(struct file *f,
               bool write); // times of the name, in steps of eight seconds as on Linux

// ---- output.c; lock held ----
uint32_t tty_output(struct tty *tty, const uint8_t *data, uint32_t size); // what was taken
bool tty_can_output(const struct tty *tty);
void tty_output_flush(struct tty *tty);        // drops what nobody has read
void tty_echo_raw(struct tty *tty, uint8_t c); // as output would show it
void tty_echo(struct tty *tty, uint8_t c);     // control characters as ^X, with ECHOCTL
void tty_echo_erase_tab(struct tty *tty, uint32_t columns, bool after_tab);
void tty_echo_line_start(struct tty *tty);
void tty_echo_show(struct tty *tty); // moves echo to where it is read
void tty_stop(struct tty *tty);
void tty_start(struct tty *tty);
void tty_output_wake(struct tty *tty); // something can be read at the other end
void tty_packet_event(struct tty *tty, uint8_t set, uint8_t clear);

// ---- input.c; lock held, unless it says otherwise ----
bool tty_input_ready(
    const struct tty *tty,
    bool for_poll); // for_poll: VMIN bytes are wanted when nothing ends the wait earlier
uint32_t tty_input_waiting(const struct tty *tty); // FIONREAD
uint32_t tty_input_take(struct tty *tty, uint8_t *out, uint32_t size);
// One line or less of it. *ended: its end was reached, or there is none yet.
uint32_t tty_input_take_line(struct tty *tty, uint8_t *out, uint32_t size, bool *ended);
void tty_input_skip_eof(struct tty *tty);
void tty_input_flush(struct tty *tty);
void tty_input_mode_changed(struct tty *tty, const struct tty_termios *old);
void tty_input_pump(
    struct tty *tty); // no lock held: works on what has arrived, sends the signals it means

// ---- job.c; no lock held ----
// A background process reads (SIGTTIN), writes or changes something (SIGTTOU): 0, -EIO, or -ERESTARTSYS with the signal sent.
int tty_check_background(struct task *t, struct tty *tty, int sig);
void tty_signal_foreground(struct tty *tty, int sig);
void tty_open_controlling(struct task *t, struct tty *tty, const struct file *f);
int tty_take_controlling(struct task *t, struct tty *tty, const struct file *f,
                         uint64_t steal);                                           // TIOCSCTTY
int tty_give_up_controlling(struct task *t, struct tty *tty);                       // TIOCNOTTY
int tty_get_foreground(struct task *t, struct tty *tty, bool master, int32_t *ret); // TIOCGPGRP
int tty_set_foreground(struct task *t, struct tty *tty, int32_t pgid);              // TIOCSPGRP
int tty_get_session(struct task *t, struct tty *tty, bool master, int32_t *ret);    // TIOCGSID
bool tty_is_controlling(struct task *t, struct tty *tty);

// ---- termios.c, ioctl.c; no lock held ----
int64_t tty_termios_ioctl(struct task *t, struct tty *tty, struct file *f, uint32_t cmd,
                          uint64_t arg); // -ENOTTY: none of these
int64_t tty_common_ioctl(struct task *t, struct tty *tty, struct file *f, bool master, uint32_t cmd,
                         uint64_t arg);
void tty_set_size(struct tty *tty, const struct winsize *size);
int tty_wait_sent(struct task *t, struct tty *tty); // tcdrain's: 0 or -ERESTARTSYS

// ---- console.c; lock held ----
void console_output_wake(struct console *c); // there is something to be written
void console_input_wake(struct console *c);  // there is room for input again
bool console_busy(const struct console *c);
// A program waits for input; no lock held.
void console_wanted(struct console *c);
