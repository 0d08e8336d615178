// The thread that waits for host descriptors, see fs/host-events.h.
//
// Watches are asked for with EPOLLONESHOT and armed again by whoever waits, so a descriptor that is ready and that nobody reads
// costs nothing. An event names its watch by slot and generation: one that is on its way when the watch goes is dropped.
//
// Locking: host_events.lock (an object's) guards the slots; queues are woken under it, which keeps the watch alive.
#include "fs/host-events.h"

#include <poll.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/slab.h"
#include "fs/host-node.h"
#include "host/host.h"
#include "kernel/kernel.h"
#include "kernel/threads.h"
#include "sandbox/boot-spec.h"

enum { EVENT_BATCH = 16 };

int host_events_init(struct kernel *k)
{
    struct host_events *e = kmalloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    lock_init(&e->lock, LOCK_RANK_OBJECT);
    e->epoll = host_epoll_create();
    if (e->epoll < 0) {
        int error = e->epoll;
        kfree(e);
        return error;
    }
    k->host_events = e;
    return 0;
}

static uint64_t event_name(const struct host_events *e, const struct host_watch *w)
{
    return (uint64_t)e->generations[w->slot] << 32 | w->slot;
}

int host_watch_add(struct host_watch *w, int fd, enum host_watch_kind kind)
{
    struct host_events *e = the_kernel()->host_events;
    *w = (struct host_watch){.fd = fd, .kind = (uint8_t)kind};
    wait_queue_init(&w->wq);
    lock_take(&e->lock);
    uint32_t slot = 0;
    while (slot < HOST_WATCH_MAX && e->slots[slot])
        slot++;
    int error = slot < HOST_WATCH_MAX ? 0 : -ENOSPC;
    if (error == 0) {
        w->slot = slot;
        struct epoll_event event = {.events = EPOLLONESHOT, .data.u64 = event_name(e, w)};
        error = host_epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event);
        if (error == -EPERM) { // a file that is always ready
            w->always_ready = true;
            error = 0;
        }
        if (error == 0)
            e->slots[slot] = w;
    }
    lock_release(&e->lock);
    return error;
}

void host_watch_remove(struct host_watch *w)
{
    struct host_events *e = the_kernel()->host_events;
    struct epoll_event event = {0};
    lock_take(&e->lock);
    if (e->slots[w->slot] == w) {
        e->slots[w->slot] = NULL;
        e->generations[w->slot]++;
        if (!w->always_ready)
            (void)host_epoll_ctl(e->epoll, EPOLL_CTL_DEL, w->fd, &event);
    }
    lock_release(&e->lock);
}

void host_watch_arm(struct host_watch *w, uint32_t events)
{
    struct host_events *e = the_kernel()->host_events;
    if (w->always_ready)
        return;
    lock_take(&e->lock);
    if (e->slots[w->slot] == w && (events & ~w->armed)) {
        w->armed |= events;
        struct epoll_event event = {.events = w->armed | EPOLLRDHUP | EPOLLONESHOT, .data.u64 = event_name(e, w)};
        (void)host_epoll_ctl(e->epoll, EPOLL_CTL_MOD, w->fd, &event);
    }
    lock_release(&e->lock);
}

uint32_t host_fd_poll(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    struct timespec now = {0};
    int n = host_ppoll(&p, 1, &now);
    // The numbers of POLL* and EPOLL* are the same.
    return n > 0 ? (uint32_t)p.revents : 0;
}

static void gofer_gone(struct kernel *k)
{
    gofer_client_hangup(k);
    // Nothing that the guest could still do with its files would be right.
    kernel_shutdown(9); // as if killed
}

static void deliver(struct kernel *k, const struct epoll_event *event)
{
    struct host_events *e = k->host_events;
    uint32_t slot = (uint32_t)event->data.u64;
    bool gone = false;
    if (slot >= HOST_WATCH_MAX)
        return;
    lock_take(&e->lock);
    struct host_watch *w = e->slots[slot];
    if (w && e->generations[slot] == event->data.u64 >> 32) {
        w->armed = 0;
        if (w->kind == HOST_WATCH_GOFER)
            gone = true;
        else
            wake_up_all(&w->wq, event->events);
    }
    lock_release(&e->lock);
    if (gone)
        gofer_gone(k);
}

static void watch_gofer(struct kernel *k)
{
    struct host_watch *w = k->gofer ? kmalloc(sizeof(*w)) : NULL;
    if (!w)
        return;
    int error = host_watch_add(w, BOOT_FD_GOFER, HOST_WATCH_GOFER);
    if (error < 0)
        panic("watching the file proxy: error %d", -error);
    host_watch_arm(w, EPOLLRDHUP);
}

_Noreturn void host_events_main(struct kernel *k)
{
    struct epoll_event events[EVENT_BATCH];
    watch_gofer(k);
    for (;;) {
        int n = host_epoll_wait(k->host_events->epoll, events, EVENT_BATCH, -1);
        if (n < 0 && n != -EINTR)
            panic("waiting for host events: error %d", -n);
        for (int i = 0; i < n; i++)
            deliver(k, &events[i]);
    }
}
