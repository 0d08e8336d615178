// Timers as files: timerfd_create(2).
//
// A timer keeps its expiry in its own clock and arms the kernel timer on CLOCK_MONOTONIC. An interval timer isn't armed again
// until somebody looks at it: then the periods that have passed are counted at once, as Linux does.
//
// Locking: timerfd.lock guards the state. The timer's function takes it, too, so the timer is cancelled without it; a function
// that runs although the timer was set anew meanwhile sees that it isn't due.
//
// DEVIATION: nobody tells us that the host's clock was set. A step shows when the timer expires or is read, by the distance of
// CLOCK_REALTIME and CLOCK_MONOTONIC having changed by more than STEP; so TFD_TIMER_CANCEL_ON_SET does not wake a sleeper,
// and a forward step does not make a timer expire earlier than it would have.
#include "vfs/timerfd.h"

#include <sys/epoll.h>
#include <time.h>

#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/task.h"
#include "kernel/timer.h"
#include "mm/copy.h"

#define STEP (NSEC_PER_SEC / 100)

struct timerfd {
    struct lock lock;   // LOCK_RANK_OBJECT
    struct timer timer; // armed under lock
    struct wait_queue wq;
    int clock_id;       // immutable: as the guest gave it
    int base;           // clock of `expiry`: CLOCK_MONOTONIC, BOOTTIME or REALTIME; all below GUARDED_BY(lock)
    bool armed;         // the kernel timer is, or has expired and an interval goes on
    bool expired;       // periods have passed that weren't counted
    bool cancel_on_set;
    uint32_t settime_flags;
    nsec_t expiry, interval;
    nsec_t wall_offset; // CLOCK_REALTIME - CLOCK_MONOTONIC when set
    uint64_t ticks;     // single reads without the lock
};

SLAB_TYPE(timerfd_slab, SLAB_TIMERFD, struct timerfd);

static nsec_t now_of(int base)
{
    nsec_t now = 0;
    (void)clock_read(base, &now);
    return now;
}

static nsec_t wall_offset(void)
{
    return clock_realtime() - clock_monotonic();
}

static void arm_locked(struct timerfd *tf)
{
    nsec_t offset = tf->base == CLOCK_MONOTONIC ? 0 : now_of(tf->base) - clock_monotonic();
    timer_set(&tf->timer, tf->expiry >= NSEC_MAX - 1 ? NSEC_MAX - 1 : tf->expiry - offset);
}

void timerfd_expired(struct timer *tm)
{
    struct timerfd *tf = container_of(tm, struct timerfd, timer);
    bool fired = false;
    lock_take(&tf->lock);
    if (tf->armed && !tf->expired) {
        if (now_of(tf->base) < tf->expiry) { // set anew meanwhile, or the wall clock went back
            arm_locked(tf);
        } else {
            fired = tf->expired = true;
            __atomic_store_n(&tf->ticks, tf->ticks + 1, __ATOMIC_SEQ_CST);
        }
    }
    lock_release(&tf->lock);
    if (fired)
        wake_up_one(&tf->wq, EPOLLIN);
}

// Counts the periods that have passed since the expiry and goes on with the interval.
static void forward_locked(struct timerfd *tf)
{
    if (!tf->armed || !tf->expired)
        return;
    tf->expired = false;
    if (!tf->interval) {
        tf->armed = false;
        return;
    }
    nsec_t late = MAX(now_of(tf->base) - tf->expiry, 0);
    nsec_t periods = late / tf->interval + 1;
    tf->expiry += periods * tf->interval;
    __atomic_store_n(&tf->ticks, tf->ticks + (uint64_t)periods - 1, __ATOMIC_SEQ_CST);
    arm_locked(tf);
}

static void remaining_locked(struct timerfd *tf, struct timerfd_setting *out)
{
    forward_locked(tf);
    *out = (struct timerfd_setting){.interval = tf->interval};
    if (tf->armed)
        out->value = MAX(tf->expiry - now_of(tf->base), 1);
}

struct file *timerfd_create_file(int clock_id, uint32_t flags)
{
    struct timerfd *tf = slab_alloc(&timerfd_slab);
    if (!tf)
        return NULL;
    lock_init(&tf->lock, LOCK_RANK_OBJECT);
    wait_queue_init(&tf->wq);
    timer_init(&tf->timer, TIMER_TIMERFD);
    tf->clock_id = clock_id;
    struct file *f = file_create_anon(FILE_TIMERFD, "[timerfd]", O_RDWR | (flags & O_NONBLOCK), 0, tf);
    if (!f)
        slab_free(&timerfd_slab, tf);
    return f;
}

static int base_of(const struct timerfd *tf, bool absolute)
{
    switch (tf->clock_id) {
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        return CLOCK_BOOTTIME;
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_ALARM:
        return absolute ? CLOCK_REALTIME : CLOCK_MONOTONIC; // a relative time doesn't follow the wall clock
    default:
        return CLOCK_MONOTONIC;
    }
}

void timerfd_set(struct file *f, bool absolute, bool cancel_on_set, const struct timerfd_setting *set,
                 struct timerfd_setting *old)
{
    struct timerfd *tf = f->priv;
    lock_take(&tf->lock);
    remaining_locked(tf, old);
    tf->base = base_of(tf, absolute);
    tf->interval = set->interval;
    tf->armed = set->value != 0;
    tf->expired = false;
    tf->cancel_on_set = cancel_on_set && tf->base == CLOCK_REALTIME;
    tf->settime_flags = (absolute ? 1 : 0) | (cancel_on_set ? 2 : 0);
    tf->wall_offset = wall_offset();
    tf->ticks = 0;
    if (tf->armed) {
        nsec_t now = absolute ? 0 : now_of(tf->base);
        tf->expiry = set->value > NSEC_MAX - 1 - now ? NSEC_MAX - 1 : now + set->value;
        arm_locked(tf);
    }
    lock_release(&tf->lock);
}

void timerfd_get(struct file *f, struct timerfd_setting *out)
{
    struct timerfd *tf = f->priv;
    lock_take(&tf->lock);
    remaining_locked(tf, out);
    lock_release(&tf->lock);
}

static bool cancelled_locked(struct timerfd *tf)
{
    if (!tf->cancel_on_set)
        return false;
    nsec_t offset = wall_offset(), change = offset - tf->wall_offset;
    if (change > -STEP && change < STEP)
        return false;
    tf->wall_offset = offset;
    return true;
}

// 1: *ticks have passed; 0: none yet; -ECANCELED.
static int take(struct timerfd *tf, uint64_t *ticks)
{
    int ret = 0;
    lock_take(&tf->lock);
    if (cancelled_locked(tf)) {
        ret = -ECANCELED;
        tf->ticks = 0;
        tf->expired = false;
    } else if (tf->ticks) {
        forward_locked(tf);
        *ticks = tf->ticks;
        tf->ticks = 0;
        ret = 1;
    }
    lock_release(&tf->lock);
    return ret;
}

static int64_t timerfd_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct timerfd *tf = f->priv;
    uint64_t ticks = 0;
    if (u->remaining < sizeof(ticks))
        return -EINVAL;
    for (;;) {
        int ret = take(tf, &ticks);
        if (ret < 0)
            return ret;
        if (ret)
            break;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        ret = wait_event(current_task(), &tf->wq, __atomic_load_n(&tf->ticks, __ATOMIC_SEQ_CST), NSEC_MAX);
        if (ret < 0)
            return ret;
    }
    return uio_put(u, &ticks, sizeof(ticks)) == sizeof(ticks) ? (int64_t)sizeof(ticks) : -EFAULT;
}

static uint32_t timerfd_poll(struct file *f)
{
    return ((struct timerfd *)f->priv)->ticks ? EPOLLIN : 0;
}

static struct wait_queue *timerfd_poll_queue(struct file *f)
{
    return &((struct timerfd *)f->priv)->wq;
}

static void timerfd_release(struct file *f)
{
    struct timerfd *tf = f->priv;
    lock_take(&tf->lock);
    tf->armed = false; // a function that runs now must not arm it again
    lock_release(&tf->lock);
    (void)timer_cancel(&tf->timer);
    slab_free(&timerfd_slab, tf);
}

static void timerfd_show_fdinfo(struct file *f, struct strbuf *out)
{
    struct timerfd *tf = f->priv;
    struct timerfd_setting s;
    timerfd_get(f, &s);
    strbuf_printf(out, "clockid: %d\nticks: %lu\nsettime flags: 0%o\nit_value: (%ld, %ld)\nit_interval: (%ld, %ld)\n",
                  tf->clock_id, tf->ticks, tf->settime_flags, (long)(s.value / NSEC_PER_SEC),
                  (long)(s.value % NSEC_PER_SEC), (long)(s.interval / NSEC_PER_SEC), (long)(s.interval % NSEC_PER_SEC));
}

const struct file_ops timerfd_file_ops = {
    .read = timerfd_read,
    .poll = timerfd_poll,
    .poll_queue = timerfd_poll_queue,
    .release = timerfd_release,
    .show_fdinfo = timerfd_show_fdinfo,
};
