// Terminals: life, opening, hang-up, and the queues.
//
// A tty lives as long as one of these: an open file of either end, the name in devpts, the session whose controlling terminal it
// is. Its number is used again only then.
//
// After a hang-up the files that were open stay hung up: reading finds the end, writing is an error. Those opened later are of the
// next generation and work.
#include <sys/epoll.h>
#include <sys/sysmacros.h>

#include "abi/capability.h"
#include "base/log.h"
#include "base/slab.h"
#include "fs/tty/tty-int.h"
#include "kernel/task.h"
#include "kernel/timer.h"
#include "vfs/file.h"

SLAB_TYPE(tty_slab, SLAB_TTY, struct tty);
SLAB_TYPE(input_slab, SLAB_TTY_LDISC, struct tty_input);

enum { PTY_SLAVE_MAJOR = 136 };

const struct tty_termios tty_default_termios = {
    .iflag = ICRNL | IXON,
    .oflag = OPOST | ONLCR,
    .cflag = B38400 | CS8 | CREAD,
    .lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .cc =
        {
            [VINTR] = 3,
            [VQUIT] = 28,
            [VERASE] = 127,
            [VKILL] = 21,
            [VEOF] = 4,
            [VMIN] = 1,
            [VSTART] = 17,
            [VSTOP] = 19,
            [VSUSP] = 26,
            [VREPRINT] = 18,
            [VDISCARD] = 15,
            [VWERASE] = 23,
            [VLNEXT] = 22,
        },
    .ispeed = 38400,
    .ospeed = 38400,
};

// ---- Rings ----

uint32_t ring_put(struct tty_ring *r, const uint8_t *data, uint32_t size)
{
    uint32_t n = MIN(size, ring_room(r)), at = r->head & (r->size - 1),
             first = MIN(n, r->size - at);
    memcpy(r->data + at, data, first);
    memcpy(r->data, data + first, n - first);
    r->head += n;
    return n;
}

uint32_t ring_get(struct tty_ring *r, uint8_t *data, uint32_t size)
{
    uint32_t n = MIN(size, ring_used(r)), at = r->tail & (r->size - 1),
             first = MIN(n, r->size - at);
    memcpy(data, r->data + at, first);
    memcpy(data + first, r->data, n - first);
    r->tail += n;
    return n;
}

static bool ring_init(struct tty_ring *r, uint32_t size)
{
    r->data = kmalloc(size);
    r->size = size;
    return r->data != NULL;
}

// ---- Life ----

static void tty_free(struct tty *tty)
{
    kfree(tty->raw.data);
    kfree(tty->echo.data);
    kfree(tty->out.data);
    kfree(tty->console);
    slab_free(&input_slab, tty->input);
    slab_free(&tty_slab, tty);
}

int tty_create(enum tty_kind kind, struct super_block *sb, uint32_t number, struct tty **ret)
{
    struct tty *tty = slab_alloc(&tty_slab);
    if (!tty)
        return -ENOMEM;
    refcount_init(&tty->refs, 1);
    lock_init(&tty->lock, LOCK_RANK_TTY);
    wait_queue_init(&tty->wq);
    wait_queue_init(&tty->master_wq);
    tty->input = slab_alloc(&input_slab);
    if (!tty->input || !ring_init(&tty->raw, TTY_RAW_SIZE) ||
        !ring_init(&tty->echo, TTY_ECHO_SIZE) || !ring_init(&tty->out, TTY_OUT_SIZE)) {
        tty_free(tty);
        return -ENOMEM;
    }
    tty->kind = (uint8_t)kind;
    tty->number = number;
    tty->termios = tty_default_termios;
    tty->pty_locked = kind == TTY_PTY;
    tty->sb = sb;
    if (sb)
        refcount_get(&sb->refs);
    *ret = tty;
    return 0;
}

struct tty *tty_ref(struct tty *tty)
{
    refcount_get(&tty->refs);
    return tty;
}

void tty_unref(struct tty *tty)
{
    if (!tty || !refcount_put(&tty->refs))
        return;
    BUG_ON(tty->session);
    struct super_block *sb = tty->sb;
    if (sb)
        devpts_number_free(sb, tty->number);
    tty_free(tty);
    super_unref(sb);
}

uint32_t tty_number(const struct tty *tty)
{
    return tty->number;
}

uint64_t tty_device(const struct tty *tty)
{
    if (!tty->sb)
        return makedev(5, 1);
    return makedev(PTY_SLAVE_MAJOR, tty->number);
}

struct tty *tty_of_file(const struct file *f)
{
    return f->type == FILE_TTY || f->type == FILE_PTMX ? f->priv : NULL;
}

// Linux changes the times of a terminal's name only every eight seconds, so that they don't tell of keystrokes.
void tty_touch(struct file *f, bool write)
{
    struct inode *inode = f->inode;
    struct timespec64 *at = write ? &inode->mtime : &inode->atime;
    int64_t now = clock_realtime() / NSEC_PER_SEC & ~7ll;
    if (__atomic_load_n(&at->sec, __ATOMIC_RELAXED) == now)
        return;
    lock_take(&inode->lock);
    *at = (struct timespec64){.sec = now};
    lock_release(&inode->lock);
}

// ---- SIGIO ----
// DEVIATION: terminals: of several files of one end that have O_ASYNC set, the latest gets SIGIO.

// Without an owner the foreground group is told, or who asks.
static void own(struct tty *tty, struct file *f)
{
    struct kernel *k = the_kernel();
    struct task *t = current_task();
    lock_take(&k->tasks_lock);
    uint32_t pgid = tty->foreground ? tty->foreground->pgid : 0;
    lock_release(&k->tasks_lock);
    lock_take(&f->inode->lock);
    if (!f->owner && (pgid || t)) {
        f->owner = (int32_t)(pgid ? pgid : t->group->tgid);
        f->owner_kind = pgid ? F_OWNER_PGRP : F_OWNER_PID;
    }
    lock_release(&f->inode->lock);
}

void tty_async_set(struct tty *tty, struct file *f, bool on)
{
    if (on)
        own(tty, f);
    struct file **at = &tty->async[f->type == FILE_PTMX];
    lock_take(&tty->lock);
    if (on)
        *at = f;
    else if (*at == f)
        *at = NULL;
    lock_release(&tty->lock);
}

void tty_async_notify(struct tty *tty, bool master, uint32_t events)
{
    if (likely(!__atomic_load_n(&tty->async[master], __ATOMIC_RELAXED)))
        return;
    lock_take(&tty->lock);
    struct file *f = tty->async[master];
    if (f && !refcount_get_unless_zero(&f->refs))
        f = NULL;
    lock_release(&tty->lock);
    if (f)
        file_async_notify(f, (int)events);
    file_unref(f);
}

// ---- Opening ----

void tty_open_master(struct tty *tty, struct file *f)
{
    lock_take(&tty->lock);
    tty->master_open = true;
    lock_release(&tty->lock);
    f->type = FILE_PTMX;
    f->priv = tty_ref(tty);
}

int tty_open_slave(struct task *t, struct tty *tty, struct file *f)
{
    int r = 0;
    lock_take(&tty->lock);
    if (!tty->master_open || tty->pty_locked)
        r = -EIO;
    else if (tty->exclusive && t && !capable(t, CAP_SYS_ADMIN))
        r = -EBUSY;
    if (r == 0) {
        tty->slaves++;
        tty->slave_closed = false;
        f->priv2 = tty->generation;
    }
    lock_release(&tty->lock);
    if (r < 0)
        return r;
    f->type = FILE_TTY;
    f->priv = tty_ref(tty);
    if (t)
        tty_open_controlling(t, tty, f);
    return 0;
}

// ---- Hang-up ----

// The session's leader is told; when it exits, so are those that were in the foreground. tasks_lock held.
static void hang_up_session_locked(struct tty *tty)
{
    struct kernel *k = the_kernel();
    struct session *s = tty->session;
    struct process_group *pg = tty->foreground;
    if (!s)
        return;
    struct thread_group *leader = thread_group_find_locked(k, s->sid);
    if (leader && !leader->dead) {
        (void)signal_send_group(leader, SIGHUP, NULL);
        (void)signal_send_group(leader, SIGCONT, NULL);
        process_group_put_locked(k, s->hung_up_group);
        s->hung_up_group = pg;
        pg = NULL;
    }
    tty->session = NULL;
    tty->foreground = NULL;
    s->tty = NULL;
    process_group_put_locked(k, pg);
    session_put_locked(k, s);
    tty_unref(tty); // the session's; the caller has one, too
}

void tty_hangup(struct tty *tty)
{
    struct kernel *k = the_kernel();
    lock_take(&tty->lock);
    __atomic_store_n(&tty->generation, tty->generation + 1, __ATOMIC_RELEASE);
    tty->termios = tty_default_termios;
    tty->packet_events = 0;
    tty->stopped_by_call = false;
    tty_start(tty);
    ring_clear(&tty->echo);
    tty_input_flush(tty);
    lock_release(&tty->lock);
    lock_take(&k->tasks_lock);
    hang_up_session_locked(tty);
    lock_release(&k->tasks_lock);
    wake_up_all(&tty->wq, 0);
    wake_up_all(&tty->master_wq, 0);
}
