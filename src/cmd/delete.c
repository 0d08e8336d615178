// `caisson kill` and `caisson delete`.

#include "cmd/cmd.h"
#include "runtime/state.h"
#include "sandbox/control.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>

// A pidfd of the container's kernel process, if it is still the one that the state names; -1 when it is gone.
static int open_process(const struct container_state *s)
{
    int fd = s->pid > 0 ? (int)syscall(SYS_pidfd_open, s->pid, 0) : -1;
    uint64_t start;
    if (fd >= 0 && process_start_time(s->pid, &start) && start == s->pid_start)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

// Asks the command that runs the container; it alone talks to the kernel process.
static int send_signal(const struct state_dir *dir, int sig, bool all, struct error *e)
{
    int FD_AUTO fd = -1;
    if (state_connect(dir, &fd, e) < 0)
        return -1;
    struct control_message m = {.type = CONTROL_SIGNAL, .a = sig, .b = all};
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    if (send(fd, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m) || poll(&poll_fd, 1, 10000) <= 0 ||
        recv(fd, &m, sizeof(m), MSG_DONTWAIT) != sizeof(m))
        return error_set(e, errno ? errno : EPIPE,
                         "the command that runs container %s did not answer", dir->id);
    return m.type == CONTROL_READY
               ? 0
               : error_set(e, m.a > 0 ? m.a : EIO, "signal container %s", dir->id);
}

static int parse_signal(const char *text)
{
    uint64_t number;
    if (parse_number(text, 64, &number))
        return (int)number;
    if (strncmp(text, "SIG", 3) == 0)
        text += 3;
    for (int sig = 1; sig < 32; sig++) {
        const char *name = sigabbrev_np(sig);
        if (name && strcmp(name, text) == 0)
            return sig;
    }
    return -1;
}

struct kill_options {
    bool all;
};
static const struct option kill_list[] = {
    {"all", 'a', OPTION_FLAG, offsetof(struct kill_options, all), NULL,
     "every process of the container, not the first alone"},
};
OPTION_TABLE(kill_options_table, struct kill_options, kill_list);

static int kill_run(struct command_context *ctx, void *options, int argc, char **argv)
{
    const struct kill_options *o = options;
    struct error *e = &ctx->error;
    struct state_dir dir;
    struct container_state s;
    int sig = parse_signal(argc > 1 ? argv[1] : "TERM");
    if (sig < 0) {
        error_set(e, 0, "unknown signal \"%s\"", argv[1]);
        return EXIT_FAILED;
    }
    if (state_open(&ctx->run, argv[0], &dir, e) < 0)
        return EXIT_FAILED;
    int ret = state_load(&dir, &ctx->pool, &s, e);
    if (ret == 0 && s.status == STATUS_STOPPED)
        // The words that engines look for.
        ret = error_set(e, ESRCH, "container not running: %s is stopped", argv[0]);
    if (ret == 0)
        ret = send_signal(&dir, sig, o->all, e);
    state_close(&dir);
    return ret < 0 ? EXIT_FAILED : 0;
}

struct delete_options {
    bool force;
};
static const struct option delete_list[] = {
    {"force", 'f', OPTION_FLAG, offsetof(struct delete_options, force), NULL,
     "end the container if it runs; an id that doesn't exist is no error"},
};
OPTION_TABLE(delete_options_table, struct delete_options, delete_list);

static int end_container(const struct state_dir *dir, const struct container_state *s,
                         struct error *e)
{
    int FD_AUTO process = open_process(s);
    if (process < 0)
        return 0;
    if (syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return error_set(e, errno, "end container %s", dir->id);
    struct pollfd poll_fd = {.fd = process, .events = POLLIN};
    int ret;
    do
        ret = poll(&poll_fd, 1, 10000);
    while (ret < 0 && errno == EINTR);
    return ret > 0 ? 0 : error_set(e, ETIMEDOUT, "container %s did not end", dir->id);
}

static int delete_run(struct command_context *ctx, void *options, int argc, char **argv)
{
    const struct delete_options *o = options;
    struct error *e = &ctx->error;
    struct state_dir dir;
    struct container_state s = {0};
    if (state_check_id(argv[0], e) < 0)
        return EXIT_FAILED;
    if (state_open(&ctx->run, argv[0], &dir, e) < 0) {
        bool absent = o->force && e->number == ENOENT;
        if (absent)
            e->text[0] = 0;
        return absent ? 0 : EXIT_FAILED;
    }
    int ret = state_load(&dir, &ctx->pool, &s, e);
    if (ret < 0 && o->force) {
        // Begun and not finished: there is nothing to end.
        ret = 0;
        e->text[0] = 0;
        s.status = STATUS_STOPPED;
    }
    if (ret == 0 && s.status != STATUS_STOPPED && !o->force)
        ret = error_set(e, EBUSY, "container %s is %s (end it first, or use --force)", argv[0],
                        container_status_name(s.status));
    if (ret == 0 && s.status != STATUS_STOPPED)
        ret = end_container(&dir, &s, e);
    if (ret == 0)
        ret = state_remove(&dir, e);
    state_close(&dir);
    return ret < 0 ? EXIT_FAILED : 0;
}

const struct command command_kill = {
    .name = "kill",
    .arguments = "ID [SIGNAL]",
    .summary = "send a signal to a container (default: TERM)",
    .options = &kill_options_table,
    .least = 1,
    .most = 2,
    .run = kill_run,
};

const struct command command_delete = {
    .name = "delete",
    .arguments = "ID",
    .summary = "remove what a container that has ended left behind",
    .options = &delete_options_table,
    .least = 1,
    .most = 1,
    .run = delete_run,
};
