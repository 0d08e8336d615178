// caisson-sandbox: the binary of the two locked-in roles, `kernel` and `gofer`. It is started by the command with the
// descriptors of boot-spec.h; nobody calls it by hand.
//
// The order of the kernel's start is that of jail.h. Whatever fails is told to the command as CONTROL_FAILED with the step.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slab.h"
#include "host/host.h"
#include "kernel/kernel-start.h"
#include "kernel/task.h"
#include "kernel/threads.h"
#include "kernel/timer.h"
#include "mm/memfile.h"
#include "mm/text.h"
#include "platform/trap/trap.h"
#include "sandbox/boot-spec.h"
#include "sandbox/control.h"
#include "sandbox/jail.h"
#include "sys/exec.h"
#include "vfs/file.h"

#define ARENA_LIMIT (64ull << 30)

// The layers above, called in this order (weak while a build leaves them out).
int gofer_main(const struct boot_spec *spec) __attribute__((weak));
int gofer_client_init(struct kernel *k) __attribute__((weak));
int host_events_init(struct kernel *k) __attribute__((weak));
int ipc_init(struct kernel *k) __attribute__((weak));

static _Noreturn void fail(int error, const char *what)
{
    struct control_message m = {.type = CONTROL_FAILED, .a = error < 0 ? -error : error};
    strncpy(m.text, what ? what : "unknown step", sizeof(m.text) - 1);
    struct iovec iov = {&m, sizeof(m)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    (void)sendmsg(BOOT_FD_CONTROL, &msg, MSG_NOSIGNAL);
    log_error("start failed: %s: error %d", what ? what : "unknown step", error);
    _exit(125);
}

static void mark(const struct boot_spec *spec, const char *text)
{
    if (!(spec->flags & BOOT_DEBUG))
        return;
    struct control_message m = {.type = CONTROL_MARK, .c = host_now()};
    strncpy(m.text, text, sizeof(m.text) - 1);
    struct iovec iov = {&m, sizeof(m)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    (void)host_sendmsg(BOOT_FD_CONTROL, &msg, MSG_NOSIGNAL);
}

static void start_log(const struct boot_spec *spec, const char *component)
{
    struct log_config config = {.fd = BOOT_FD_LOG,
                                .json = (spec->flags & BOOT_LOG_JSON) != 0,
                                .level = spec->flags & BOOT_DEBUG ? LOG_DEBUG : spec->flags & BOOT_STRACE ? LOG_INFO : LOG_WARN,
                                .component = component};
    log_init(&config);
}

static int raise_oom_score(void *arg)
{
    int r = jail_raise_oom_score(arg);
    return r == -ENOENT ? 0 : r; // no procfs: the host decides by size alone
}

static uint64_t memory_limit(const struct boot_spec *spec)
{
    if (spec->memory_limit)
        return PAGE_DOWN(spec->memory_limit);
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * PAGE_SIZE;
}

// Everything of the kernel that needs the arena. Returns with init made, its program loaded, and nothing running yet.
static struct task *build_kernel(const struct boot_spec *spec, const struct trap_zygote *z, const cpu_set_t *cpu_set)
{
    struct kernel *k;
    const uint32_t cpus = (uint32_t)CPU_COUNT(cpu_set);
    int r = kernel_create(spec, &k);
    if (r < 0)
        fail(r, "kernel object");
    k->cpu_count = cpus;
    k->memory_limit = memory_limit(spec);
    struct platform_config config = {.no_patching = (spec->flags & BOOT_NO_PATCHING) != 0,
                                     .no_spin = (spec->flags & BOOT_NO_SPIN) != 0,
                                     .no_stub_answers = (spec->flags & BOOT_NO_STUB_ANSWERS) != 0,
                                     .process_limit = k->task_limit + k->task_limit / 8 + 64,
                                     .cpu_count = cpus};
    _Static_assert(sizeof(config.cpu_mask) == sizeof(*cpu_set), "1,024 CPUs");
    memcpy(config.cpu_mask, cpu_set, sizeof(config.cpu_mask));
    if ((r = platform_init(&k->platform, &config, z)) < 0)
        fail(r, "platform");
    if ((r = memfile_init(&k->memfile, BOOT_FD_MEMORY, BOOT_FD_MEMORY_RO, spec->memory_limit)) < 0)
        fail(r, "memory file");
    if ((r = text_init(k)) < 0)
        fail(r, "table of patched text");
    if ((r = tasks_init(k)) < 0 || (r = users_init(k)) < 0)
        fail(r, "tables of tasks and users");
    if ((r = timers_init(k)) < 0)
        fail(r, "timers");
    if (ipc_init && (r = ipc_init(k)) < 0)
        fail(r, "System V ipc tables");
    if (host_events_init && (r = host_events_init(k)) < 0)
        fail(r, "readiness of host descriptors");
    if (gofer_client_init && (r = gofer_client_init(k)) < 0)
        fail(r, "connection to the file proxy");
    mark(spec, "kernel object");
    return NULL;
}

static void start_thread(enum kernel_thread_kind kind, void *arg, const char *what)
{
    int r = kernel_thread_create(kind, arg);
    if (r < 0)
        fail(r, what);
}

// Credentials keep their groups sorted. There are few, and this runs once.
static void sort_groups(uint32_t *groups, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = i; j > 0 && groups[j] < groups[j - 1]; j--) {
            uint32_t low = groups[j];
            groups[j] = groups[j - 1];
            groups[j - 1] = low;
        }
}

static struct cred *initial_cred(const struct boot_spec *spec)
{
    struct cred *c = cred_create();
    if (!c)
        fail(-ENOMEM, "credentials of the first process");
    refcount_init(&c->refs, 1);
    c->uid = c->euid = c->suid = c->fsuid = spec->uid;
    c->gid = c->egid = c->sgid = c->fsgid = spec->gid;
    c->inheritable = spec->cap_inheritable & CAP_FULL;
    c->permitted = spec->cap_permitted & CAP_FULL;
    c->effective = spec->cap_effective & CAP_FULL;
    c->bounding = spec->cap_bounding & CAP_FULL;
    c->ambient = spec->cap_ambient & CAP_FULL;
    if (spec->group_count) {
        c->groups = kmalloc(spec->group_count * sizeof(uint32_t));
        if (!c->groups)
            fail(-ENOMEM, "groups of the first process");
        memcpy(c->groups, spec->groups, spec->group_count * sizeof(uint32_t));
        c->group_count = spec->group_count;
        sort_groups(c->groups, c->group_count);
    }
    return c;
}

static void apply_limits(struct task *init, const struct boot_spec *spec)
{
    for (int i = 0; i < BOOT_MAX_RLIMIT && i < RLIMIT_COUNT; i++)
        if (spec->rlimits[i].set)
            init->group->limits[i] = (struct rlimit_value){spec->rlimits[i].soft, spec->rlimits[i].hard};
    init->group->oom_score_adj = spec->oom_score_adj;
    init->no_new_privs = (spec->flags & BOOT_NO_NEW_PRIVS) != 0;
}

static _Noreturn void exec_failed(int error, const char *what)
{
    kernel_control_send(CONTROL_EXEC_FAILED, -error, 0, what);
    host_exit_group(0);
}

static const char **string_array(const struct boot_strings *s)
{
    const char **array = kmalloc((s->count + 1ull) * sizeof(char *)), *next = s->data;
    if (!array)
        fail(-ENOMEM, "arguments of the first process");
    for (uint32_t i = 0; i < s->count; i++)
        array[i] = boot_strings_next(s, &next);
    return array;
}

// The program is args[0]; exec_initial() looks for it along PATH.
static void start_program(struct task *init, const struct boot_spec *spec)
{
    const char **argv = string_array(&spec->args), **envp = string_array(&spec->env);
    int r = exec_initial(init, argv[0], argv, envp);
    if (r < 0)
        exec_failed(r, argv[0]);
    kfree(argv);
    kfree(envp);
}

static _Noreturn void run_first_process(struct kernel *k)
{
    const struct boot_spec *spec = k->spec;
    struct cred *cred = initial_cred(spec);
    struct task *init = task_create_init(k, cred);
    if (!init)
        fail(-ENOMEM, "first process");
    cred_put(cred);
    apply_limits(init, spec);
    int r = vfs_init(k);
    if (r < 0)
        fail(r, "root file system and mounts");
    if ((r = vfs_init_task(init)) < 0)
        fail(r, "working directory and descriptors of the first process");
    if ((r = vfs_init_cwd(init)) < 0)
        fail(r, "working directory of the first process: it does not exist or may not be entered");
    if ((r = vfs_init_stdio(init)) < 0)
        fail(r, "standard input and output of the first process");
    mark(spec, "root file system");
    start_program(init, spec);
    mark(spec, "first program loaded");
    kernel_control_send(CONTROL_READY, 0, 0, NULL);
    if ((r = task_start(init)) < 0)
        fail(r, "thread of the first process");
    kernel_control_main(k);
    host_exit_group(0);
}

static int kernel_main(struct boot_spec *spec)
{
    struct jail jail = {.role = JAIL_KERNEL, .spec = spec};
    static struct trap_zygote zygote;
    int r = trap_zygote_prepare(&zygote);
    if (r < 0)
        fail(r, zygote.what);
    if ((r = jail_enter(&jail)) < 0)
        fail(r, jail.what);
    start_log(spec, "kernel");
    mark(spec, "jail");
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof(cpus), &cpus);
    if ((r = jail_set_dumpable(true)) < 0)
        fail(r, "dumpable state");
    zygote.memory_fd = BOOT_FD_MEMORY;
    zygote.memory_fd_ro = BOOT_FD_MEMORY_RO;
    if (ftruncate(BOOT_FD_MEMORY, MEMFILE_RESERVED) < 0)
        fail(-errno, "size of the memory file");
    r = trap_zygote_start(&zygote, raise_oom_score, &jail);
    if (r < 0)
        fail(r, zygote.what);
    mark(spec, "zygote");
    if ((r = jail_set_dumpable(false)) < 0)
        fail(r, "dumpable state");
    if ((r = arena_init(0, ARENA_LIMIT)) < 0)
        fail(r, "memory of the kernel");
    if (spec->flags & BOOT_DEBUG_COUNTS)
        host_counts_enable();
    build_kernel(spec, &zygote, &cpus);
    struct kernel *k = the_kernel();
    jail_close_procfs(&jail);
    if ((r = jail_install_filter(JAIL_FILTER_KERNEL, (spec->flags & BOOT_DEBUG) != 0)) < 0)
        fail(r, "seccomp filter of the kernel process");
    mark(spec, "seccomp filter");
    start_thread(KERNEL_THREAD_LISTENER, k->platform, "thread for countersignatures");
    start_thread(KERNEL_THREAD_REAPER, k->platform, "thread for ended processes");
    start_thread(KERNEL_THREAD_POOL, k->platform, "thread for new processes");
    start_thread(KERNEL_THREAD_TIMER, k, "timer thread");
    if (gofer_client_init)
        start_thread(KERNEL_THREAD_GOFER, k, "thread for the file proxy");
    if (host_events_init)
        start_thread(KERNEL_THREAD_EVENTS, k, "thread for host descriptors");
    run_first_process(k);
}

static int gofer_role(struct boot_spec *spec)
{
    struct jail jail = {.role = JAIL_GOFER, .spec = spec};
    int r = jail_enter(&jail);
    if (r < 0)
        fail(r, jail.what);
    start_log(spec, "gofer");
    mark(spec, "jail of the file proxy");
    if (!gofer_main)
        fail(-ENOSYS, "file proxy");
    if ((r = jail_install_filter(JAIL_FILTER_GOFER, (spec->flags & BOOT_DEBUG) != 0)) < 0)
        fail(r, "seccomp filter of the file proxy");
    return gofer_main(spec);
}

int main(int argc, char **argv)
{
    // Too large for the stack of a careful program, and needed to the end.
    static struct boot_spec spec;
    const char *what = "";
    bool kernel = argc == 2 && strcmp(argv[1], "kernel") == 0;
    bool gofer = argc == 2 && strcmp(argv[1], "gofer") == 0;
    if (!kernel && !gofer) {
        fprintf(stderr, "caisson-sandbox: this program is started by `caisson`; see `caisson help`.\n");
        return 2;
    }
    int r = boot_spec_map(BOOT_FD_SPEC, &spec, &what);
    if (r < 0)
        fail(r, what);
    return kernel ? kernel_main(&spec) : gofer_role(&spec);
}
