// Waiting for one of many files, see poll.h.
//
// A first pass asks every file; only when none is ready do entries go onto the files' queues, and from then on each wake-up
// leads to another pass. A pass costs a call per file, as on Linux; who watches many descriptors uses epoll.
#include "vfs/poll.h"

#include "kernel/task.h"

static int64_t poll_pass(struct poll_target *targets, uint32_t count)
{
    int64_t ready = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct poll_target *p = &targets[i];
        if (p->file)
            p->revents = file_poll(p->file) & p->events;
        ready += p->revents != 0;
    }
    return ready;
}

static void enqueue(struct task *t, struct poll_target *targets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct poll_target *p = &targets[i];
        struct wait_queue *q = p->file ? file_poll_queue(p->file) : NULL;
        wait_entry_init(&p->wait, t);
        p->wait.events = p->events;
        if (q)
            wait_add(q, &p->wait);
    }
}

int64_t poll_targets(struct task *t, struct poll_target *targets, uint32_t count, nsec_t deadline)
{
    int64_t ret = poll_pass(targets, count);
    if (ret || deadline <= 0)
        return ret;
    enqueue(t, targets, count);
    for (;;) {
        wait_arm(t);
        ret = poll_pass(targets, count);
        if (ret)
            break;
        ret = wait_sleep(t, deadline);
        if (ret == -ETIMEDOUT)
            ret = poll_pass(targets, count);
        else if (ret == 0)
            continue;
        break;
    }
    for (uint32_t i = 0; i < count; i++)
        wait_remove(&targets[i].wait);
    return ret;
}

void poll_targets_done(struct poll_target *targets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        file_unref(targets[i].file);
        targets[i].file = NULL;
    }
}
