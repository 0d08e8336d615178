// Starting a sandbox: everything is prepared by the command, in name spaces of its own, and handed to the two roles as
// descriptors; see boot-spec.h for which. The roles start side by side, each locks itself in.
//
// The kernel's user name space maps its one id to an id that nothing else on the host uses: 2^30 with some random bits
// above the command's own process id, so that no two sandboxes alive have the same. An unprivileged command maps itself.

#include "runtime/boot-write.h"
#include "runtime/sandbox-int.h"
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef CAISSON_LIBEXECDIR
#define CAISSON_LIBEXECDIR "/usr/libexec/caisson"
#endif
#define SANDBOX_BINARY "caisson-sandbox"

void sandbox_mark(struct sandbox_result *r, const char *who, const char *text)
{
    if (r->mark_count == SANDBOX_MAX_MARKS)
        return;
    struct sandbox_mark *m = &r->marks[r->mark_count++];
    m->time = now_monotonic();
    snprintf(m->who, sizeof(m->who), "%s", who);
    snprintf(m->text, sizeof(m->text), "%s", text);
}

// Beside the command, or where it is installed.
static int open_binary(int *ret, struct error *e)
{
    char path[PATH_MAX + 64];
    ssize_t size = readlink("/proc/self/exe", path, PATH_MAX);
    if (size < 0)
        return error_set(e, errno, "find the command's own file");
    path[size] = 0;
    char *name = strrchr(path, '/') + 1;
    strcpy(name, SANDBOX_BINARY);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        strcpy(name, "../libexec/caisson/" SANDBOX_BINARY);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        fd = open(CAISSON_LIBEXECDIR "/" SANDBOX_BINARY, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(
            e, errno, "%s (beside the command, in ../libexec/caisson or in " CAISSON_LIBEXECDIR ")",
            SANDBOX_BINARY);
    *ret = fd;
    return 0;
}

static int make_pair(int fds[2], struct error *e)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return error_set(e, errno, "make a socket pair");
    return 0;
}

// The memory file twice: to write, and opened read-only, which no mapping can be upgraded from.
static int make_memory_file(const struct run_options *o, int *ret, int *ret_readonly,
                            struct error *e)
{
    const char *name = "memory file";
    int fd;
    if (o->overlay == BOOT_OVERLAY_DIR) {
        name = o->overlay_dir;
        fd = open(o->overlay_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    } else {
        // MFD_EXEC, without which some hosts (vm.memfd_noexec) refuse to map guest text from it; unknown before 6.3.
        fd = memfd_create("caisson-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x10u);
        if (fd < 0 && errno == EINVAL)
            fd = memfd_create("caisson-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (fd < 0)
        return error_set(e, errno, "make the %s", name);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int readonly = open(path, O_RDONLY | O_CLOEXEC);
    if (readonly < 0) {
        error_set(e, errno, "open the %s again, read-only", name);
        close(fd);
        return -1;
    }
    *ret = fd;
    *ret_readonly = readonly;
    return 0;
}

static int open_log(const char *path, const char *what, int flags, int *ret, struct error *e)
{
    // A FIFO without a reader or a terminal must not make the command wait, nor become its terminal.
    *ret = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags, 0600);
    if (*ret < 0)
        return error_set(e, errno, "%s %s", what, path);
    (void)fcntl(*ret, F_SETFL, fcntl(*ret, F_GETFL) & ~O_NONBLOCK);
    return 0;
}

// Descriptors that exist only to be handed over.
struct handover {
    int binary, spec, log, null, memory, memory_readonly, counts;
    int kernel_control, gofer_control; // the roles' ends
    int channel[2];                    // kernel and gofer
};

static void handover_done(struct handover *h)
{
    int *fds[] = {&h->binary,     &h->spec,           &h->log,
                  &h->null,       &h->memory,         &h->memory_readonly,
                  &h->counts,     &h->kernel_control, &h->gofer_control,
                  &h->channel[0], &h->channel[1]};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fd_done(fds[i]);
}

static int prepare_files(struct sandbox *s, struct handover *h)
{
    const struct run_options *o = s->options;
    struct error *e = s->error;
    if (open_binary(&h->binary, e) < 0)
        return -1;
    h->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (h->null < 0)
        return error_set(e, errno, "open /dev/null");
    if (o->debug_log) {
        if (open_log(o->debug_log, "debug log", O_APPEND, &h->log, e) < 0)
            return -1;
    } else {
        h->log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    }
    if (o->debug_counts && open_log(o->debug_counts, "counts file", O_TRUNC, &h->counts, e) < 0)
        return -1;
    return make_memory_file(o, &h->memory, &h->memory_readonly, e);
}

static int prepare_sockets(struct sandbox *s, struct handover *h)
{
    int kernel[2], gofer[2];
    if (make_pair(kernel, s->error) < 0)
        return -1;
    s->kernel_control = kernel[0];
    h->kernel_control = kernel[1];
    if (make_pair(gofer, s->error) < 0)
        return -1;
    s->gofer_control = gofer[0];
    h->gofer_control = gofer[1];
    return make_pair(h->channel, s->error);
}

// Whoever may raise hard limits does so for the roles, whose work must not fail on what the user's shell has set.
static void raise_limits(void)
{
    static const int resources[] = {RLIMIT_FSIZE, RLIMIT_AS,  RLIMIT_CPU,
                                    RLIMIT_DATA,  RLIMIT_RSS, RLIMIT_NPROC};
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
        (void)setrlimit((__rlimit_resource_t)resources[i], &all);
    struct rlimit files = {65536, 65536}, now, core = {1, 1};
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max < files.rlim_max)
        (void)setrlimit(RLIMIT_NOFILE, &files);
    (void)setrlimit(RLIMIT_CORE, &core);
}

static int write_map(struct sandbox *s, const char *file, const char *text)
{
    char name[64];
    snprintf(name, sizeof(name), "%d/%s", s->kernel.pid, file);
    int fd = openat(s->namespaces.proc, name, O_WRONLY | O_CLOEXEC);
    int ret = fd < 0 ? -1 : write_whole(fd, text, strlen(text));
    if (ret < 0)
        error_set(s->error, errno, "write %s of the kernel process", file);
    if (fd >= 0)
        close(fd);
    return ret;
}

static int map_user(struct sandbox *s)
{
    char text[64];
    uint32_t uid = geteuid(), gid = getegid(), bits = 0;
    if (!s->namespaces.rootless) {
        if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
            return error_set(s->error, errno, "get random bytes");
        uid = gid = 1u << 30 | (bits & 0x7f) << 22 | ((uint32_t)getpid() & 0x3fffff);
    } else if (write_map(s, "setgroups", "deny") < 0) {
        return -1;
    }
    snprintf(text, sizeof(text), "0 %u 1", gid);
    if (write_map(s, "gid_map", text) < 0)
        return -1;
    snprintf(text, sizeof(text), "0 %u 1", uid);
    if (write_map(s, "uid_map", text) < 0)
        return -1;
    spawn_release(&s->kernel);
    if (control_send(s->kernel_control, CONTROL_GO, (int)uid, (int)gid) < 0)
        return error_set(s->error, errno, "let the sandbox's kernel process go on");
    return 0;
}

static int start_roles(struct sandbox *s, struct handover *h)
{
    spawn_init(&s->kernel, "kernel", h->binary, CLONE_NEWUSER | CLONE_NEWPID);
    s->kernel.waits_for_mapping = true;
    for (int i = 0; i < 3; i++)
        spawn_pass(&s->kernel, i, i);
    spawn_pass(&s->kernel, BOOT_FD_SPEC, h->spec);
    spawn_pass(&s->kernel, BOOT_FD_CONTROL, h->kernel_control);
    spawn_pass(&s->kernel, BOOT_FD_GOFER, h->channel[0]);
    spawn_pass(&s->kernel, BOOT_FD_LOG, h->log);
    spawn_pass(&s->kernel, BOOT_FD_MEMORY, h->memory);
    spawn_pass(&s->kernel, BOOT_FD_MEMORY_RO, h->memory_readonly);
    if (h->counts >= 0)
        spawn_pass(&s->kernel, BOOT_FD_COUNTS, h->counts);
    if (spawn_start(&s->kernel, s->error) < 0)
        return -1;
    sandbox_mark(s->result, "command", "kernel process cloned");
    if (map_user(s) < 0)
        return -1;
    sandbox_mark(s->result, "command", "user mapping");

    spawn_init(&s->gofer, "gofer", h->binary, CLONE_NEWPID);
    for (int i = 0; i < 3; i++)
        spawn_pass(&s->gofer, i, h->null);
    spawn_pass(&s->gofer, BOOT_FD_SPEC, h->spec);
    spawn_pass(&s->gofer, BOOT_FD_CONTROL, h->gofer_control);
    spawn_pass(&s->gofer, BOOT_FD_GOFER, h->channel[1]);
    spawn_pass(&s->gofer, BOOT_FD_LOG, h->log);
    for (uint32_t i = 0; i < s->exports.count; i++)
        spawn_pass(&s->gofer, BOOT_FD_EXPORTS + (int)i, s->exports.items[i].fd);
    if (spawn_start(&s->gofer, s->error) < 0)
        return -1;
    sandbox_mark(s->result, "command", "gofer process cloned");
    if (control_send(s->gofer_control, CONTROL_GO, 0, 0) < 0)
        return error_set(s->error, errno, "let the sandbox's file proxy go on");
    return 0;
}

static void prepare_terminal(struct sandbox *s, bool stdio_is_terminal[3])
{
    for (int i = 0; i < 3; i++)
        stdio_is_terminal[i] = isatty(i);
    terminal_init(&s->terminal, s->container->terminal ? STDIN_FILENO : -1);
    uint16_t rows, cols;
    if (terminal_size(&s->terminal, &rows, &cols) && !s->container->console_rows &&
        !s->container->console_cols) {
        s->container->console_rows = rows;
        s->container->console_cols = cols;
    }
}

static int note_state(struct sandbox *s)
{
    if (!s->state)
        return 0;
    if (state_listen(s->state, &s->listener, s->error) < 0)
        return -1;
    int ret = state_save(s->state, s->container, s->kernel.pid, s->error);
    state_unlock(s->state);
    return ret;
}

static int start(struct sandbox *s, struct handover *h)
{
    bool stdio_is_terminal[3];
    prepare_terminal(s, stdio_is_terminal);
    if (prepare_files(s, h) < 0 || prepare_sockets(s, h) < 0)
        return -1;
    if (runtime_namespaces_enter(&s->namespaces, s->error) < 0)
        return -1;
    sandbox_mark(s->result, "command", "files and sockets");
    if (exports_open(s->container, s->options, &s->exports, s->error) < 0)
        return -1;
    sandbox_mark(s->result, "command", "exports");
    if (boot_spec_write(s->container, s->options, &s->exports, s->namespaces.rootless,
                        stdio_is_terminal, &h->spec, s->error) < 0)
        return -1;
    raise_limits();
    sandbox_block_signals(s);
    if (start_roles(s, h) < 0)
        return -1;
    return note_state(s);
}

// Ends what is left and waits for it: killing the first process of a PID name space ends all of them.
static void end_role(struct spawn *role)
{
    if (role->pid > 0) {
        spawn_kill(role);
        while (waitpid(role->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        role->pid = -1;
    }
    spawn_done(role);
}

int sandbox_exit_status(int wait_status)
{
    if (WIFSIGNALED(wait_status))
        return 128 + WTERMSIG(wait_status);
    return WEXITSTATUS(wait_status);
}

int sandbox_run(struct container *c, const struct run_options *o, struct state_dir *state,
                struct sandbox_result *r, struct error *e)
{
    struct sandbox s = {
        .container = c,
        .options = o,
        .state = state,
        .result = r,
        .error = e,
        .namespaces = {.proc = -1},
        .kernel = {.pid = -1, .pidfd = -1, .parent = -1},
        .gofer = {.pid = -1, .pidfd = -1, .parent = -1},
        .kernel_control = -1,
        .gofer_control = -1,
        .signals = -1,
        .listener = -1,
    };
    struct handover h = {-1, -1, -1, -1, -1, -1, -1, -1, -1, {-1, -1}};
    int ret = start(&s, &h);
    // The roles have theirs. The ends of ours must not stay open here, or nobody would see a peer's death.
    handover_done(&h);
    exports_close(&s.exports);
    if (ret == 0)
        sandbox_supervise(&s);
    terminal_restore(&s.terminal);
    end_role(&s.kernel);
    end_role(&s.gofer);
    sandbox_mark(r, "command", "file proxy gone");
    fd_done(&s.kernel_control);
    fd_done(&s.gofer_control);
    fd_done(&s.signals);
    fd_done(&s.listener);
    fd_done(&s.namespaces.proc);
    return ret;
}
