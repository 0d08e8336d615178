// The console: the terminal that the command was started on, as the sandbox's own.
//
// The command has put the host's terminal into raw mode, so that the host does nothing to what passes. Two service threads are its
// hardware: one reads what is typed, one writes what is in tty.out. A guest's call thus never waits in the host, and a terminal
// that takes nothing blocks nobody but its writers.
//
// When the first process stops, the command restores the terminal's modes and stops, too; the user's shell then has the terminal,
// and what is typed is the shell's. So it is when the command runs in the background. Input is therefore read only while the command
// has given the terminal (CONTROL_TERMINAL); a program that waits for input then makes it ask (CONTROL_READS), and the command does
// what happens to a job that reads from the background.
//
// DEVIATION: terminals: what is typed ahead while a command runs in a sandbox is lost with it; the shell outside doesn't get it. What
// a sandbox in the background writes to the terminal has its newlines made into returns and newlines twice.
//
// Locking: the words are futexes of the two threads; a thread reads its word, looks under tty.lock, and sleeps if the word is still
// the same. `closing`, `writing` are GUARDED_BY(tty.lock).
#include <linux/futex.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/log.h"
#include "base/slab.h"
#include "fs/tty/tty-int.h"
#include "host/host.h"
#include "kernel/kernel-start.h"
#include "kernel/task.h"
#include "kernel/threads.h"
#include "sandbox/boot-spec.h"
#include "sandbox/control.h"
#include "vfs/vfs-int.h"

enum { CONSOLE_CHUNK = 4096, DRAIN_PATIENCE_MS = 1000 };

struct console {
    struct tty *tty;
    int in, out;                // host descriptors
    _Atomic uint32_t in_word;   // changes when input may go on
    _Atomic uint32_t out_word;  // changes when there is output
    _Atomic uint32_t sent_word; // changes when output went out
    _Atomic bool ours;          // the command has given the terminal: it may be read
    _Atomic bool asked;         // and has been asked for it
    bool writing;               // the thread has taken some output, which the host has not got yet
    bool gone;                  // the host's terminal has hung up
};

static void poke(_Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    (void)host_futex((void *)word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

static int rest(_Atomic uint32_t *word, uint32_t seen, const struct timespec *limit)
{
    return host_futex((void *)word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen, limit, NULL, 0);
}

void console_output_wake(struct console *c)
{
    poke(&c->out_word);
}

void console_input_wake(struct console *c)
{
    poke(&c->in_word);
}

bool console_busy(const struct console *c)
{
    return !c->gone && (c->writing || ring_used(&c->tty->out));
}

static void console_gone(struct console *c)
{
    struct tty *tty = c->tty;
    lock_take(&tty->lock);
    bool first = !c->gone;
    c->gone = true;
    tty->master_open = false;
    ring_clear(&tty->out);
    lock_release(&tty->lock);
    poke(&c->out_word);
    poke(&c->in_word);
    poke(&c->sent_word);
    if (first) {
        log_info("the terminal has hung up");
        tty_hangup(tty);
    }
}

// ---- Output ----

static bool write_all(struct console *c, const uint8_t *data, uint32_t size)
{
    while (size) {
        int64_t n = host_write(c->out, data, size);
        if (n == -EAGAIN) {
            struct pollfd p = {.fd = c->out, .events = POLLOUT};
            (void)host_ppoll(&p, 1, NULL);
        } else if (n < 0 && n != -EINTR) {
            return false;
        } else if (n > 0) {
            data += n;
            size -= (uint32_t)n;
        }
    }
    return true;
}

void console_write_main(struct tty *tty)
{
    struct console *c = tty->console;
    uint8_t buf[CONSOLE_CHUNK];
    for (bool ok = true; ok;) {
        uint32_t seen = atomic_load(&c->out_word);
        lock_take(&tty->lock);
        uint32_t n = ring_get(&tty->out, buf, sizeof(buf));
        c->writing = n != 0;
        bool gone = c->gone;
        if (n) {
            tty_echo_show(tty);
            if (tty_can_output(tty))
                wake_up_all(&tty->wq, TTY_WRITABLE);
        }
        lock_release(&tty->lock);
        if (gone)
            break;
        if (n == 0) {
            poke(&c->sent_word);
            wake_up_all(&tty->wq, TTY_WRITABLE); // tcdrain
            (void)rest(&c->out_word, seen, NULL);
            continue;
        }
        ok = write_all(c, buf, n);
        poke(&c->sent_word);
    }
    console_gone(c);
}

void tty_console_drain(struct kernel *k)
{
    struct tty *tty = k->console;
    struct timespec patience = {.tv_sec = DRAIN_PATIENCE_MS / 1000,
                                .tv_nsec = DRAIN_PATIENCE_MS % 1000 * 1000000};
    while (tty) {
        struct console *c = tty->console;
        uint32_t seen = atomic_load(&c->sent_word);
        lock_take(&tty->lock);
        bool busy = console_busy(c);
        lock_release(&tty->lock);
        // A terminal that has taken nothing for so long is one that nobody looks at.
        if (!busy || rest(&c->sent_word, seen, &patience) == -ETIMEDOUT)
            break;
    }
}

// ---- Input ----

// Waits until input may be read and there is room for it. False: the end.
static bool wait_to_read(struct console *c, uint32_t *room)
{
    struct tty *tty = c->tty;
    for (;;) {
        uint32_t seen = atomic_load(&c->in_word);
        lock_take(&tty->lock);
        *room = ring_room(&tty->raw);
        bool gone = c->gone;
        lock_release(&tty->lock);
        if (gone)
            return false;
        if (*room && atomic_load(&c->ours))
            return true;
        (void)rest(&c->in_word, seen, NULL);
    }
}

void console_read_main(struct tty *tty)
{
    struct console *c = tty->console;
    uint8_t buf[CONSOLE_CHUNK];
    uint32_t room;
    while (wait_to_read(c, &room)) {
        struct pollfd p = {.fd = c->in, .events = POLLIN};
        (void)host_ppoll(&p, 1, NULL);
        if (!atomic_load(&c->ours)) // what has come is for somebody else
            continue;
        int64_t n = host_read(c->in, buf, MIN(room, sizeof(buf)));
        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n <= 0)
            break;
        lock_take(&tty->lock);
        (void)ring_put(&tty->raw, buf, (uint32_t)n);
        lock_release(&tty->lock);
        tty_input_pump(tty);
    }
    console_gone(c);
}

void tty_console_resized(struct kernel *k, uint16_t rows, uint16_t columns)
{
    struct tty *tty = k->console;
    if (!tty)
        return;
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    tty_set_size(tty, &size);
}

void tty_console_give(struct kernel *k, bool ours)
{
    struct tty *tty = k->console;
    if (!tty)
        return;
    atomic_store(&tty->console->ours, ours);
    atomic_store(&tty->console->asked, false);
    console_input_wake(tty->console);
}

void console_wanted(struct console *c)
{
    if (!atomic_load(&c->ours) && !atomic_exchange(&c->asked, true))
        (void)kernel_control_send(CONTROL_READS, 0, 0, NULL);
}

// ---- Start ----

// The first of the descriptors 1, 2, 0 that is a terminal: where output goes.
static int output_fd(const struct boot_spec *spec)
{
    return spec->stdio_is_terminal[1]   ? BOOT_FD_STDOUT
           : spec->stdio_is_terminal[2] ? BOOT_FD_STDERR
                                        : BOOT_FD_STDIN;
}

static int start_threads(struct tty *tty)
{
    int r = kernel_thread_create(KERNEL_THREAD_CONSOLE_OUT, tty);
    return r < 0 ? r : kernel_thread_create(KERNEL_THREAD_CONSOLE_IN, tty);
}

// The console's file, and the console itself with it: named in devpts where /dev/pts is one, without a name otherwise.
static int console_create(struct task *t, struct file **ret)
{
    struct kernel *k = t->kernel;
    const struct boot_spec *spec = k->spec;
    struct console *c = kmalloc(sizeof(*c));
    struct tty *tty;
    if (!c)
        return -ENOMEM;
    int r = devpts_console_create(t, &tty);
    if (r < 0) {
        kfree(c);
        return r;
    }
    *c = (struct console){.tty = tty, .in = BOOT_FD_STDIN, .out = output_fd(spec)};
    tty->console = c;
    tty->master_open = true;
    tty->termios.iflag |= IUTF8;
    tty->size = (struct winsize){.ws_row = spec->console_rows, .ws_col = spec->console_cols};
    k->console = tty; // keeps the reference for good
    r = devpts_console_open(t, tty, ret);
    if (r == 0)
        r = start_threads(tty);
    if (r == 0)
        tty_set_controlling(t, tty);
    return r;
}

int tty_host_open(struct task *t, int host_fd, struct file **ret)
{
    // Without BOOT_TERMINAL the host's terminal keeps its modes, and what passes is none of ours: an ordinary file.
    if (!(t->kernel->spec->flags & BOOT_TERMINAL))
        return -ENOTTY;
    if (!t->kernel->console)
        return console_create(t, ret);
    // All of them are one open file, as they are when a terminal is handed down on Linux.
    for (uint32_t fd = 0; fd < (uint32_t)host_fd; fd++) {
        struct file *f = fd_table_get(t->files, fd);
        if (f && tty_of_file(f) == t->kernel->console) {
            *ret = f;
            return 0;
        }
        file_unref(f);
    }
    return -ENOTTY;
}
