// Messages from the command (sandbox/control.h), and the counters that it may ask for. Nothing in a message is trusted beyond its
// range. The end of the connection ends the sandbox.
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "host/host.h"
#include "kernel/kernel-start.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "platform/trap/trap.h"
#include "sandbox/boot-spec.h"
#include "sandbox/control.h"

// The other side of vfs: the size of the terminal on the standard descriptors (fs/devpts).
void tty_console_resized(struct kernel *k, uint16_t rows, uint16_t columns) __attribute__((weak));
void tty_console_give(struct kernel *k, bool ours) __attribute__((weak));

static void signal_everybody(struct kernel *k, int sig)
{
    struct task *t;
    lock_take(&k->tasks_lock);
    list_for_each(t, &k->tasks, all_node)
        if (t->group->leader == t)
            signal_send_group(t->group, sig, NULL);
    lock_release(&k->tasks_lock);
}

static void handle(struct kernel *k, const struct control_message *m)
{
    switch (m->type) {
    case CONTROL_SIGNAL:
        if (m->a < 1 || m->a > SIGNAL_COUNT)
            return;
        if (m->b == 1)
            signal_everybody(k, m->a);
        else
            signal_send_group(k->init->group, m->a, NULL);
        return;
    case CONTROL_WINCH:
        if (m->a > 0 && m->a <= UINT16_MAX && m->b > 0 && m->b <= UINT16_MAX && tty_console_resized)
            tty_console_resized(k, (uint16_t)m->a, (uint16_t)m->b);
        return;
    case CONTROL_TERMINAL:
        if (tty_console_give)
            tty_console_give(k, m->a == 1);
        return;
    case CONTROL_CONT:
        lock_take(&k->tasks_lock);
        if (k->init->group->pgrp)
            signal_send_pgrp_locked(k->init->group->pgrp, SIGCONT, NULL);
        lock_release(&k->tasks_lock);
        return;
    default:
        return;
    }
}

void kernel_control_main(struct kernel *k)
{
    for (;;) {
        struct control_message m;
        struct iovec iov = {&m, sizeof(m)};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        int64_t r = host_recvmsg(BOOT_FD_CONTROL, &msg, 0);
        if (r == -EINTR)
            continue;
        if (r != sizeof(m)) { // the command is gone, or breaks the protocol
            log_info("the command has gone: ending");
            host_exit_group(137);
        }
        handle(k, &m);
    }
}

void kernel_write_counts(struct kernel *k)
{
    char text[2048];
    struct strbuf b = STRBUF_FIXED(text);
    struct platform_counts *c = platform_counts(k->platform);
    struct host_counts host;
    uint64_t host_total = 0;
    host_counts_get(&host);
    for (uint32_t i = 0; i < HOST_CALL_COUNT; i++)
        host_total += host.calls[i];
    strbuf_printf(&b,
                  "{\"handoffs\":%lu,\"host_calls\":%lu,\"sigsys_traps\":%lu,\"patched_calls\":%lu,\"notifications\":%lu,"
                  "\"window_copies\":%lu,\"pvm_copies\":%lu,\"forks\":%lu,\"execs\":%lu,\"interrupts\":%lu,\"faults\":%lu,"
                  "\"commands\":%lu,\"sleeps\":%lu,\"stub_wakes\":%lu,\"gofer_messages\":%lu",
                  c->handoffs, host_total, c->sigsys_traps, c->patched_calls, c->notifications, c->window_copies,
                  c->pvm_copies, c->forks, c->execs, c->interrupts, c->faults, c->commands, c->sleeps, c->stub_wakes,
                  k->gofer_messages);
    for (uint32_t i = 0; i < HOST_CALL_COUNT; i++)
        if (host.calls[i])
            strbuf_printf(&b, ",\"host_%s\":%lu", host_call_names[i], host.calls[i]);
    strbuf_puts(&b, "}\n");
    (void)host_write(BOOT_FD_COUNTS, b.data, b.size);
}
