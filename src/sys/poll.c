// poll(2), ppoll(2), select(2), pselect6(2).
//
// DEVIATION: poll writes back whole entries when there are more than SMALL of them, so a change that another thread makes to
// their other fields meanwhile is undone.
#include "vfs/poll.h"

#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/slab.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/restart.h"
#include "sys/sigmask.h"
#include "sys/syscalls-gen.h"
#include "sys/time-int.h"

enum { SMALL = 8 };

struct pollfd_wire {
    int32_t fd;
    uint16_t events, revents;
};

#define EPOLLNVAL_BIT 0x20u
#define SELECT_IN     (EPOLLRDNORM | EPOLLRDBAND | EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLNVAL_BIT)
#define SELECT_OUT    (EPOLLWRBAND | EPOLLWRNORM | EPOLLOUT | EPOLLERR | EPOLLNVAL_BIT)
#define SELECT_EXCEPT (EPOLLPRI | EPOLLNVAL_BIT)

// ---- poll ----

static int write_revents(struct task *t, uaddr_t fds, const struct pollfd_wire *wire, uint32_t nfds)
{
    if (nfds > SMALL)
        return copy_out(t, fds, wire, nfds * sizeof(*wire));
    for (uint32_t i = 0; i < nfds; i++) {
        uint64_t at = fds.a + i * sizeof(*wire) + offsetof(struct pollfd_wire, revents);
        int ret = copy_out_value(t, UADDR(at), &wire[i].revents);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int64_t poll_copied(struct task *t, uaddr_t fds, uint32_t nfds, nsec_t deadline, struct pollfd_wire *wire,
                           struct poll_target *targets)
{
    if (copy_in(t, wire, fds, nfds * sizeof(*wire)) < 0)
        return -EFAULT;
    for (uint32_t i = 0; i < nfds; i++) {
        struct poll_target *p = &targets[i];
        *p = (struct poll_target){.events = wire[i].events | POLL_ERRORS};
        if (wire[i].fd < 0)
            continue;
        p->file = fd_get_rw(t, wire[i].fd);
        if (!p->file)
            p->revents = EPOLLNVAL_BIT;
    }
    int64_t ret = poll_targets(t, targets, nfds, deadline);
    for (uint32_t i = 0; i < nfds; i++)
        wire[i].revents = (uint16_t)targets[i].revents;
    poll_targets_done(targets, nfds);
    if (write_revents(t, fds, wire, nfds) < 0)
        return -EFAULT;
    return ret;
}

static int64_t do_poll(struct task *t, uaddr_t fds, uint32_t nfds, nsec_t deadline)
{
    struct pollfd_wire small_wire[SMALL], *wire = small_wire;
    struct poll_target small[SMALL], *targets = small;
    int64_t ret = -ENOMEM;
    if (nfds > task_rlimit(t, RLIMIT_NOFILE))
        return -EINVAL;
    if (nfds > SMALL) {
        wire = kmalloc(nfds * sizeof(*wire));
        targets = kmalloc(nfds * sizeof(*targets));
    }
    if (wire && targets)
        ret = poll_copied(t, fds, nfds, deadline, wire, targets);
    if (nfds > SMALL) {
        kfree(wire);
        kfree(targets);
    }
    return ret == -ERESTARTSYS ? -ERESTARTNOHAND : ret;
}

static int64_t poll_until(struct task *t, uaddr_t fds, uint32_t nfds, nsec_t deadline)
{
    int64_t ret = do_poll(t, fds, nfds, deadline);
    if (ret != -ERESTARTNOHAND)
        return ret;
    t->restart = (struct restart_block){.kind = RESTART_POLL, .deadline = deadline, .args = {fds.a, nfds}};
    return -ERESTART_RESTARTBLOCK;
}

int64_t sys_poll(struct task *t, uaddr_t fds, uint32_t nfds, int timeout)
{
    nsec_t deadline = timeout < 0 ? NSEC_MAX : timeout == 0 ? 0 : clock_monotonic() + timeout * 1000000ll;
    return poll_until(t, fds, nfds, deadline);
}

int64_t poll_restart(struct task *t)
{
    return poll_until(t, UADDR(t->restart.args[0]), (uint32_t)t->restart.args[1], t->restart.deadline);
}

// ---- What is left of a time-out ----

// Written back as Linux does: not for a null time-out or one of zero. When it can't be written an interrupted call is not
// restarted, because it would wait the whole time again.
static int64_t finish(struct task *t, uaddr_t timeout, nsec_t deadline, bool timeval, int64_t ret)
{
    sigmask_end(t, ret == -ERESTARTNOHAND);
    if (!timeout.a || deadline == 0)
        return ret;
    struct timespec_wire left = timespec_from_nsec(MAX(deadline - clock_monotonic(), 0));
    if (timeval)
        left.nsec /= 1000;
    if (copy_out_value(t, timeout, &left) < 0 && ret == -ERESTARTNOHAND)
        ret = -EINTR;
    return ret;
}

// A relative time-out of zero is told from others by a deadline of 0.
static int timeout_deadline(nsec_t ns, nsec_t *deadline)
{
    *deadline = ns == 0 ? 0 : deadline_after(ns);
    return 0;
}

static int copy_in_timespec(struct task *t, uaddr_t timeout, nsec_t *deadline)
{
    struct timespec_wire ts;
    nsec_t ns;
    *deadline = NSEC_MAX;
    if (!timeout.a)
        return 0;
    if (copy_in_value(t, &ts, timeout) < 0)
        return -EFAULT;
    int ret = timespec_to_nsec(&ts, &ns);
    return ret < 0 ? ret : timeout_deadline(ns, deadline);
}

int64_t sys_ppoll(struct task *t, uaddr_t fds, uint32_t nfds, uaddr_t timeout, uaddr_t sigmask, uint64_t sigsetsize)
{
    nsec_t deadline;
    int ret = copy_in_timespec(t, timeout, &deadline);
    if (ret == 0)
        ret = sigmask_begin(t, sigmask, sigsetsize);
    if (ret < 0)
        return ret;
    return finish(t, timeout, deadline, false, do_poll(t, fds, nfds, deadline));
}

// ---- select ----

struct fd_sets {
    uint64_t *words[3]; // in, out, except; one allocation
    uint32_t count;     // words of each
    uaddr_t from[3];
};

static const uint32_t select_bits[3] = {SELECT_IN, SELECT_OUT, SELECT_EXCEPT};

static int sets_copy_in(struct task *t, struct fd_sets *s)
{
    for (int i = 0; i < 3; i++) {
        if (s->from[i].a && copy_in(t, s->words[i], s->from[i], s->count * sizeof(uint64_t)) < 0)
            return -EFAULT;
    }
    return 0;
}

static uint32_t wanted_events(const struct fd_sets *s, uint32_t fd)
{
    uint32_t events = 0;
    for (int i = 0; i < 3; i++) {
        if (s->words[i][fd / 64] >> (fd % 64) & 1)
            events |= select_bits[i];
    }
    return events;
}

// One target for each descriptor that is in a set; numbers[] says which.
static int make_targets(struct task *t, const struct fd_sets *s, uint32_t nfds, struct poll_target *targets,
                        uint32_t *numbers, uint32_t *ret_count)
{
    uint32_t count = 0;
    int ret = 0;
    for (uint32_t fd = 0; fd < nfds && ret == 0; fd++) {
        uint32_t events = wanted_events(s, fd);
        if (!events)
            continue;
        struct file *f = fd_get_rw(t, (int)fd);
        if (f) {
            targets[count] = (struct poll_target){.file = f, .events = events};
            numbers[count++] = fd;
        } else {
            ret = -EBADF;
        }
    }
    *ret_count = count;
    return ret;
}

static int64_t set_results(struct fd_sets *s, const struct poll_target *targets, const uint32_t *numbers, uint32_t count)
{
    int64_t ready = 0;
    uint64_t *result = kmalloc(MAX(3ull * s->count, 1ull) * sizeof(uint64_t));
    if (!result)
        return -ENOMEM;
    for (uint32_t n = 0; n < count; n++) {
        uint32_t fd = numbers[n];
        for (uint32_t i = 0; i < 3; i++) {
            uint64_t bit = BIT(fd % 64);
            if ((s->words[i][fd / 64] & bit) && (targets[n].revents & select_bits[i])) {
                result[i * s->count + fd / 64] |= bit;
                ready++;
            }
        }
    }
    memcpy(s->words[0], result, 3ull * s->count * sizeof(uint64_t));
    kfree(result);
    return ready;
}

static uint32_t count_wanted(const struct fd_sets *s)
{
    uint32_t n = 0;
    for (uint32_t w = 0; w < s->count; w++)
        n += (uint32_t)__builtin_popcountll(s->words[0][w] | s->words[1][w] | s->words[2][w]);
    return n;
}

static int64_t select_copied(struct task *t, struct fd_sets *s, uint32_t nfds, nsec_t deadline)
{
    uint32_t count = 0, wanted = count_wanted(s);
    struct poll_target *targets = wanted ? kmalloc(wanted * sizeof(*targets)) : NULL;
    uint32_t *numbers = wanted ? kmalloc(wanted * sizeof(*numbers)) : NULL;
    int64_t ret = !wanted || (targets && numbers) ? 0 : -ENOMEM;
    if (ret == 0)
        ret = make_targets(t, s, nfds, targets, numbers, &count);
    if (ret == 0)
        ret = poll_targets(t, targets, count, deadline);
    if (ret >= 0)
        ret = set_results(s, targets, numbers, count);
    if (targets)
        poll_targets_done(targets, count);
    kfree(targets);
    kfree(numbers);
    return ret;
}

static int64_t do_select(struct task *t, int n, uaddr_t in, uaddr_t out, uaddr_t except, nsec_t deadline)
{
    struct fd_sets s = {.from = {in, out, except}};
    if (n < 0)
        return -EINVAL;
    // What lies beyond the table is ignored, as Linux does.
    uint32_t nfds = MIN((uint32_t)n, t->files->size);
    s.count = (nfds + 63) / 64;
    s.words[0] = kmalloc(MAX(3ull * s.count, 1ull) * sizeof(uint64_t));
    if (!s.words[0])
        return -ENOMEM;
    s.words[1] = s.words[0] + s.count;
    s.words[2] = s.words[1] + s.count;
    int64_t ret = sets_copy_in(t, &s);
    if (ret == 0) {
        for (int i = 0; i < 3 && nfds % 64; i++)
            s.words[i][s.count - 1] &= BIT(nfds % 64) - 1;
        ret = select_copied(t, &s, nfds, deadline);
    }
    for (int i = 0; i < 3 && ret >= 0; i++) {
        if (s.from[i].a && copy_out(t, s.from[i], s.words[i], s.count * sizeof(uint64_t)) < 0)
            ret = -EFAULT;
    }
    kfree(s.words[0]);
    return ret == -ERESTARTSYS ? -ERESTARTNOHAND : ret;
}

int64_t sys_select(struct task *t, int nfds, uaddr_t readfds, uaddr_t writefds, uaddr_t exceptfds, uaddr_t timeout)
{
    nsec_t deadline = NSEC_MAX;
    if (timeout.a) {
        struct timeval_wire tv;
        if (copy_in_value(t, &tv, timeout) < 0)
            return -EFAULT;
        int64_t sec;
        // Not normalised is fine here, negative isn't.
        if (tv.usec < 0 || __builtin_add_overflow(tv.sec, tv.usec / 1000000, &sec))
            return -EINVAL;
        struct timespec_wire ts = {sec, tv.usec % 1000000 * 1000};
        nsec_t ns;
        if (timespec_to_nsec(&ts, &ns) < 0)
            return -EINVAL;
        (void)timeout_deadline(ns, &deadline);
    }
    return finish(t, timeout, deadline, true, do_select(t, nfds, readfds, writefds, exceptfds, deadline));
}

int64_t sys_pselect6(struct task *t, int nfds, uaddr_t readfds, uaddr_t writefds, uaddr_t exceptfds, uaddr_t timeout,
                     uaddr_t sigmask)
{
    struct {
        uint64_t addr, size;
    } mask = {0};
    nsec_t deadline;
    if (sigmask.a && copy_in_value(t, &mask, sigmask) < 0)
        return -EFAULT;
    int ret = copy_in_timespec(t, timeout, &deadline);
    if (ret == 0)
        ret = sigmask_begin(t, UADDR(mask.addr), mask.size);
    if (ret < 0)
        return ret;
    return finish(t, timeout, deadline, false, do_select(t, nfds, readfds, writefds, exceptfds, deadline));
}
