// Signals as files: signalfd(2).
//
// A read takes signals of whoever reads; polling looks at whoever polls. An epoll watches the signals of the process that
// registered the descriptor, as on Linux (its entry is on that process's queue, which the item keeps alive, see epoll.c).
#include "vfs/signalfd.h"

#include <sys/epoll.h>

#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/task.h"
#include "mm/copy.h"

struct signalfd {
    _Atomic uint64_t mask;
};

struct signalfd_info { // struct signalfd_siginfo
    uint32_t signo;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t fd;
    uint32_t tid, band, overrun, trapno;
    int32_t status, value_int;
    uint64_t value_ptr, utime, stime, addr;
    uint16_t addr_lsb, pad2;
    int32_t syscall;
    uint64_t call_addr;
    uint32_t arch;
    uint8_t pad[28];
};
_Static_assert(sizeof(struct signalfd_info) == 128, "struct signalfd_siginfo is 128 bytes");

SLAB_TYPE(signalfd_slab, SLAB_SIGNALFD, struct signalfd);

struct file *signalfd_create(uint64_t mask, uint32_t flags)
{
    struct signalfd *s = slab_alloc(&signalfd_slab);
    if (!s)
        return NULL;
    s->mask = mask;
    struct file *f = file_create_anon(FILE_SIGNALFD, "[signalfd]", O_RDWR | (flags & O_NONBLOCK), 0, s);
    if (!f)
        slab_free(&signalfd_slab, s);
    return f;
}

void signalfd_set_mask(struct task *t, struct file *f, uint64_t mask)
{
    struct signalfd *s = f->priv;
    s->mask = mask;
    wake_up_all(&t->group->signal_wait, 0);
}

static void to_linux(const struct linux_siginfo *from, struct signalfd_info *to)
{
    int sig = from->signo;
    *to = (struct signalfd_info){.signo = (uint32_t)sig, .error = from->error, .code = from->code};
    if (from->code == SI_TIMER) {
        to->tid = (uint32_t)from->timer.id;
        to->overrun = (uint32_t)from->timer.overrun;
        to->value_ptr = from->timer.value;
        to->value_int = (int32_t)from->timer.value;
        return;
    }
    if (from->code > 0 && from->code != SI_KERNEL) {
        switch (sig) {
        case SIGCHLD:
            to->pid = (uint32_t)from->child.pid;
            to->uid = from->child.uid;
            to->status = from->child.status;
            to->utime = (uint64_t)from->child.utime;
            to->stime = (uint64_t)from->child.stime;
            return;
        case SIGPOLL:
            to->band = (uint32_t)from->poll.band;
            to->fd = from->poll.fd;
            return;
        case SIGILL:
        case SIGFPE:
        case SIGSEGV:
        case SIGBUS:
        case SIGTRAP:
            to->addr = from->fault.addr;
            to->addr_lsb = from->fault.lsb;
            return;
        case SIGSYS:
            to->call_addr = from->sys.call_addr;
            to->syscall = from->sys.syscall;
            to->arch = from->sys.arch;
            return;
        default:
            break;
        }
    }
    to->pid = (uint32_t)from->rt.pid;
    to->uid = from->rt.uid;
    if (from->code < 0 && from->code != SI_TKILL) {
        to->value_ptr = from->rt.value;
        to->value_int = (int32_t)from->rt.value;
    }
}

static int next_signal(struct task *t, const struct signalfd *s, struct linux_siginfo *info)
{
    return signal_dequeue(t, s->mask, info);
}

static int64_t signalfd_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    const struct signalfd *s = f->priv;
    struct task *t = current_task();
    struct linux_siginfo info;
    int64_t done = 0;
    if (u->remaining < sizeof(struct signalfd_info))
        return -EINVAL;
    while (u->remaining >= sizeof(struct signalfd_info)) {
        int sig = next_signal(t, s, &info);
        if (!sig) {
            if (done)
                break;
            if (f->flags & O_NONBLOCK)
                return -EAGAIN;
            int ret = wait_event(t, &t->group->signal_wait, (sig = next_signal(t, s, &info)) != 0, NSEC_MAX);
            if (ret < 0)
                return ret;
        }
        struct signalfd_info out;
        to_linux(&info, &out);
        if (uio_put(u, &out, sizeof(out)) != sizeof(out))
            return done ? done : -EFAULT;
        done += (int64_t)sizeof(out);
    }
    return done;
}

static uint32_t signalfd_poll(struct file *f)
{
    const struct signalfd *s = f->priv;
    struct task *t = current_task();
    return t && (signal_pending_set(t) & s->mask) ? EPOLLIN : 0;
}

static struct wait_queue *signalfd_poll_queue(struct file *f UNUSED)
{
    struct task *t = current_task();
    return t ? &t->group->signal_wait : NULL;
}

static void signalfd_release(struct file *f)
{
    slab_free(&signalfd_slab, f->priv);
}

static void signalfd_show_fdinfo(struct file *f, struct strbuf *out)
{
    strbuf_printf(out, "sigmask:\t%016lx\n", (unsigned long)((struct signalfd *)f->priv)->mask);
}

const struct file_ops signalfd_file_ops = {
    .read = signalfd_read,
    .poll = signalfd_poll,
    .poll_queue = signalfd_poll_queue,
    .release = signalfd_release,
    .show_fdinfo = signalfd_show_fdinfo,
};
