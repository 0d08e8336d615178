// Starting a role: clone without copying memory, arrange descriptors, execute. The child runs beside its parent in one
// address space (CLONE_VM without CLONE_VFORK), so that the parent can go on and write the user mapping and start the
// other role; it therefore touches nothing but its own stack and *s, and makes raw system calls, since errno is the
// parent's.

#include "runtime/spawn.h"
#include "host/syscall.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPAWN_STACK = 64 * 1024 };

void spawn_init(struct spawn *s, const char *role, int binary, uint64_t clone_flags)
{
    *s = (struct spawn){.role = role,
                        .binary = binary,
                        .clone_flags = clone_flags,
                        .pid = -1,
                        .pidfd = -1,
                        .parent = -1};
    for (int i = 0; i < SPAWN_MAX_FDS; i++)
        s->fds[i] = -1;
}

void spawn_pass(struct spawn *s, int number, int fd)
{
    s->fds[number] = fd;
    if (number >= s->fd_count)
        s->fd_count = number + 1;
}

// Moves every descriptor out of the way first, then to its number. What else is open closes on exec.
static long arrange_descriptors(const struct spawn *s, int *ret_binary)
{
    int lifted[SPAWN_MAX_FDS];
    long ret = host_syscall3(SYS_fcntl, s->binary, F_DUPFD_CLOEXEC, s->fd_count);
    *ret_binary = (int)ret;
    for (int i = 0; i < s->fd_count && ret >= 0; i++) {
        lifted[i] = -1;
        if (s->fds[i] >= 0)
            ret = lifted[i] =
                (int)host_syscall3(SYS_fcntl, s->fds[i], F_DUPFD_CLOEXEC, s->fd_count);
    }
    for (int i = 0; i < s->fd_count && ret >= 0; i++) {
        if (lifted[i] >= 0)
            ret = host_syscall3(SYS_dup3, lifted[i], i, 0);
        else
            (void)host_syscall1(SYS_close, i);
    }
    return ret;
}

// The child dies with its parent, also before it is what it is going to be. What happens before the first line here is
// seen by the second; whoever waits asks again from time to time, for the moment between the two.
static long follow_parent(const struct spawn *s)
{
    struct pollfd fd = {.fd = s->parent, .events = POLLIN};
    struct timespec none = {0};
    long ret = host_syscall2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    if (ret < 0)
        return ret;
    ret = host_syscall5(SYS_ppoll, (long)&fd, 1, (long)&none, 0, 0);
    return ret > 0 ? -EOWNERDEAD : ret;
}

static long take_mapped_user(struct spawn *s)
{
    const struct timespec second = {.tv_sec = 1};
    long ret = 0;
    while (ret == 0 && !atomic_load_explicit(&s->mapped, memory_order_acquire)) {
        (void)host_syscall4(SYS_futex, (long)&s->mapped, FUTEX_WAIT_PRIVATE, 0, (long)&second);
        ret = follow_parent(s);
    }
    if (ret == 0)
        ret = host_syscall3(SYS_setresgid, 0, 0, 0);
    if (ret == 0)
        ret = host_syscall3(SYS_setresuid, 0, 0, 0);
    // The change of user has undone the first of these.
    return ret < 0 ? ret : follow_parent(s);
}

static int spawn_child(void *arg)
{
    struct spawn *s = arg;
    int binary;
    // Away from the terminal: its signals are for the guest, and come by message.
    (void)host_syscall0(SYS_setsid);
    long ret = follow_parent(s);
    if (ret >= 0)
        ret = arrange_descriptors(s, &binary);
    if (ret >= 0 && s->waits_for_mapping)
        ret = take_mapped_user(s);
    if (ret >= 0) {
        uint64_t none = 0;
        (void)host_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none));
        const char *const argv[] = {"caisson-sandbox", s->role, NULL};
        const char *const envp[] = {NULL};
        ret = host_syscall5(SYS_execveat, binary, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH);
    }
    atomic_store_explicit(&s->error, (int)-ret, memory_order_release);
    (void)host_syscall1(SYS_exit_group, 127);
    return 127;
}

int spawn_start(struct spawn *s, struct error *e)
{
    s->stack = mmap(NULL, SPAWN_STACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (s->stack == MAP_FAILED) {
        s->stack = NULL;
        return error_set(e, errno, "map a stack");
    }
    s->parent = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (s->parent < 0)
        return error_set(e, errno, "open a descriptor of the command's own process");
    int flags = (int)(uint32_t)(s->clone_flags | CLONE_VM | CLONE_PIDFD | SIGCHLD);
    s->pid = clone(spawn_child, s->stack + SPAWN_STACK, flags, s, &s->pidfd);
    if (s->pid < 0)
        return error_set(
            e, errno, "start the sandbox's %s process%s", s->role,
            errno == EPERM || errno == ENOSPC || errno == EINVAL
                ? " (user and PID name spaces have to be allowed: see user.max_user_namespaces)"
                : "");
    return 0;
}

void spawn_release(struct spawn *s)
{
    atomic_store_explicit(&s->mapped, 1, memory_order_release);
    (void)host_syscall3(SYS_futex, (long)&s->mapped, FUTEX_WAKE_PRIVATE, 1);
}

void spawn_kill(const struct spawn *s)
{
    if (s->pid > 0 && s->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

void spawn_done(struct spawn *s)
{
    if (s->pidfd >= 0)
        close(s->pidfd);
    s->pidfd = -1;
    if (s->parent >= 0)
        close(s->parent);
    s->parent = -1;
    if (s->stack)
        munmap(s->stack, SPAWN_STACK);
    s->stack = NULL;
}
