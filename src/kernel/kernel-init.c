// struct kernel: made at start from the boot spec, reached by the_kernel(), ended by kernel_shutdown().
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/slab.h"
#include "host/host.h"
#include "kernel/kernel.h"
#include "kernel/kernel-start.h"
#include "kernel/task.h"
#include "sandbox/boot-spec.h"
#include "sandbox/control.h"

static struct kernel *kernel_pointer; // set once at start: the way to the root of everything

struct kernel *the_kernel(void)
{
    return kernel_pointer;
}

void kernel_random(void *out, uint64_t size)
{
    struct kernel *k = kernel_pointer;
    lock_take(&k->misc_lock);
    random_bytes(&k->random, out, size);
    lock_release(&k->misc_lock);
}

static void seed_random(struct kernel *k, const struct boot_spec *spec)
{
    uint8_t seed[32];
    if (host_getrandom(seed, sizeof(seed), 0) != sizeof(seed))
        panic("the host gives no random bytes");
    for (uint32_t i = 0; i < sizeof(seed); i++)
        seed[i] ^= spec->seed[i];
    random_init(&k->random, seed);
    explicit_bzero(seed, sizeof(seed));
    random_bytes(&k->random, &k->hash_key, sizeof(k->hash_key));
    random_bytes(&k->random, k->boot_id, sizeof(k->boot_id));
    k->boot_id[6] = (uint8_t)((k->boot_id[6] & 0x0f) | 0x40); // RFC 9562: version 4
    k->boot_id[8] = (uint8_t)((k->boot_id[8] & 0x3f) | 0x80);
}

int kernel_create(const struct boot_spec *spec, struct kernel **ret)
{
    struct kernel *k = kmalloc(sizeof(*k));
    if (!k)
        return -ENOMEM;
    kernel_pointer = k;
    k->spec = spec;
    lock_init(&k->tasks_lock, LOCK_RANK_TASKLIST);
    lock_init(&k->mms_lock, LOCK_RANK_OBJECT);
    lock_init(&k->misc_lock, LOCK_RANK_OBJECT);
    list_init(&k->tasks);
    list_init(&k->mms);
    seed_random(k, spec);
    struct timespec real;
    k->boot_monotonic = host_now();
    host_clock_gettime(CLOCK_REALTIME, &real);
    k->boot_realtime = real.tv_sec * NSEC_PER_SEC + real.tv_nsec;
    k->task_limit = spec->flags & BOOT_NEW_TASK_LIMIT ? spec->tasks_max : 32768;
    strncpy(k->uts.nodename, spec->hostname, sizeof(k->uts.nodename) - 1);
    strncpy(k->uts.domainname, *spec->domainname ? spec->domainname : "(none)", sizeof(k->uts.domainname) - 1);
    k->strace = (spec->flags & BOOT_STRACE) != 0;
    *ret = k;
    return 0;
}

int kernel_control_send(uint32_t type, int32_t a, int32_t b, const char *text)
{
    struct control_message m = {.type = type, .a = a, .b = b};
    if (text)
        strncpy(m.text, text, sizeof(m.text) - 1);
    struct iovec iov = {&m, sizeof(m)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int64_t r;
    do
        r = host_sendmsg(BOOT_FD_CONTROL, &msg, MSG_NOSIGNAL);
    while (r == -EINTR);
    return r < 0 ? (int)r : 0;
}

// The terminal layer's (fs/tty/console.c): what was written to the terminal shall be seen there.
void tty_console_drain(struct kernel *k) __attribute__((weak));
// The user's shell gets the terminal back.
void tty_console_give(struct kernel *k, bool ours) __attribute__((weak));

void kernel_shutdown(int wait_status)
{
    struct kernel *k = kernel_pointer;
    if (tty_console_drain)
        tty_console_drain(k);
    if (k->spec->flags & BOOT_DEBUG_COUNTS)
        kernel_write_counts(k);
    kernel_control_send(CONTROL_EXIT, wait_status, 0, NULL);
    host_exit_group(0);
}

void kernel_init_stopped(int code, int sig)
{
    if (code == CLD_STOPPED && tty_console_give)
        tty_console_give(kernel_pointer, false);
    kernel_control_send(code == CLD_STOPPED ? CONTROL_STOPPED : CONTROL_CONTINUED, sig, 0, NULL);
}
