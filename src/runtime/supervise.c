// Accompanying a sandbox: messages of the roles, signals, the terminal, other commands' requests, and the end.
//
// What a role says is checked: a message that is not one of those in control.h, or comes at the wrong time, ends the
// sandbox. Nothing a role does makes the command wait for it but its life.

#include "runtime/sandbox-int.h"
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { CLIENTS_MAX = 8, END_TIMEOUT_MS = 10000, MESSAGES_AT_ONCE = 64 };

struct supervision {
    struct sandbox *s;
    bool ready, exited, stopped, gave_up;
    bool ending; // the file proxy has ended well: the kernel process has to follow
    int clients[CLIENTS_MAX];
};

int control_send(int fd, enum control_type type, int a, int b)
{
    struct control_message m = {.type = type, .a = a, .b = b};
    ssize_t n;
    do
        n = send(fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

void sandbox_block_signals(struct sandbox *s)
{
    sigset_t set;
    sigfillset(&set);
    // Faults of our own.
    static const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        sigdelset(&set, own[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// The sandbox can't go on: the first reason stays.
static void give_up(struct supervision *v, int exit_status, int number, const char *text)
{
    if (v->gave_up || v->exited)
        return;
    v->gave_up = true;
    v->s->result->failed = true;
    v->s->result->exit_status = exit_status;
    error_set(v->s->error, number, "%s", text);
    spawn_kill(&v->s->kernel);
}

// A role's text, made fit to be shown.
static void take_text(const struct control_message *m, char out[CONTROL_TEXT_SIZE + 1])
{
    memcpy(out, m->text, CONTROL_TEXT_SIZE);
    out[CONTROL_TEXT_SIZE] = 0;
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

// Makes the terminal raw if it is ours to change, and says so: the kernel reads it from then on.
static void take_terminal(struct sandbox *s)
{
    uint16_t rows, cols;
    terminal_make_raw(&s->terminal);
    if (s->terminal.fd >= 0)
        (void)control_send(s->kernel_control, CONTROL_TERMINAL, s->terminal.raw, 0);
    if (terminal_size(&s->terminal, &rows, &cols))
        (void)control_send(s->kernel_control, CONTROL_WINCH, rows, cols);
}

static void container_stopped(struct supervision *v)
{
    struct sandbox *s = v->s;
    if (v->stopped)
        return;
    v->stopped = true;
    terminal_restore(&s->terminal);
    (void)raise(SIGSTOP);
    // Continued. What the terminal is like is new to us.
    take_terminal(s);
    v->stopped = false;
    (void)control_send(s->kernel_control, CONTROL_CONT, 0, 0);
}

// A program wants input and we are in the background: what happens to a job that reads then. Whoever brings it to the foreground
// continues it.
static void container_reads(struct supervision *v)
{
    sigset_t set;
    take_terminal(v->s);
    if (v->s->terminal.fd < 0 || v->s->terminal.raw)
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGTTIN);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)kill(0, SIGTTIN);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    take_terminal(v->s);
}

// In the words that engines look for. The exit status is what a shell has for it.
static void exec_failed(struct supervision *v, int error)
{
    char text[CONTROL_TEXT_SIZE + 64];
    const char *name = v->s->container->args.items[0];
    bool absent = error == ENOENT || error == ENOTDIR;
    if (error == ENOENT && !strchr(name, '/')) {
        snprintf(text, sizeof(text), "exec: \"%.200s\": executable file not found in $PATH", name);
        error = 0;
    } else {
        snprintf(text, sizeof(text), "exec: \"%.200s\"%s", name,
                 error == ENOENT ? " (the file, or the interpreter that it names)" : "");
    }
    give_up(v, absent ? 127 : 126, error, text);
}

static void kernel_message(struct supervision *v, const struct control_message *m)
{
    struct sandbox_result *r = v->s->result;
    char text[CONTROL_TEXT_SIZE + 1];
    take_text(m, text);
    switch (m->type) {
    case CONTROL_READY:
        v->ready = true;
        sandbox_mark(r, "command", "first program runs");
        return;
    case CONTROL_EXEC_FAILED:
        exec_failed(v, m->a > 0 && m->a < 4096 ? m->a : EIO);
        return;
    case CONTROL_FAILED:
        give_up(v, 125, m->a > 0 && m->a < 4096 ? m->a : 0, text);
        return;
    case CONTROL_EXIT:
        r->exit_status = sandbox_exit_status(m->a);
        v->exited = true;
        sandbox_mark(r, "command", "first program ended");
        return;
    case CONTROL_STOPPED:
        container_stopped(v);
        return;
    case CONTROL_READS:
        container_reads(v);
        return;
    case CONTROL_CONTINUED:
        return;
    default:
        give_up(v, 125, EPROTO, "the sandbox's kernel process sent an unknown message");
    }
}

static void role_message(struct supervision *v, const char *who, const struct control_message *m)
{
    char text[CONTROL_TEXT_SIZE + 1];
    if (m->type == CONTROL_MARK) {
        struct sandbox_result *r = v->s->result;
        take_text(m, text);
        uint32_t index = r->mark_count;
        sandbox_mark(r, who, text);
        if (r->mark_count > index)
            r->marks[index].time = m->c;
    } else if (strcmp(who, "kernel") == 0) {
        kernel_message(v, m);
    } else if (m->type == CONTROL_FAILED) {
        take_text(m, text);
        give_up(v, 125, m->a > 0 && m->a < 4096 ? m->a : 0, text);
    } else {
        give_up(v, 125, EPROTO, "the sandbox's file proxy sent an unknown message");
    }
}

// What is there, some of it: whoever sends without end must not keep us from everything else. False at the end of the
// connection.
static bool receive_messages(struct supervision *v, const char *who, int fd)
{
    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        struct control_message m;
        ssize_t n = recv(fd, &m, sizeof(m), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        if (n != sizeof(m)) {
            give_up(v, 125, EPROTO, "a process of the sandbox sent a message of the wrong size");
            return false;
        }
        role_message(v, who, &m);
    }
    return true;
}

static void forward_signals(struct supervision *v)
{
    struct sandbox *s = v->s;
    struct signalfd_siginfo info;
    uint16_t rows, cols;
    while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGCHLD:
        case SIGPIPE:
            break;
        case SIGWINCH:
            if (terminal_size(&s->terminal, &rows, &cols))
                (void)control_send(s->kernel_control, CONTROL_WINCH, rows, cols);
            break;
        case SIGCONT:
            take_terminal(s);
            // Fall through: the guest's program was perhaps stopped by a signal that we passed on.
            __attribute__((fallthrough));
        default:
            (void)control_send(s->kernel_control, CONTROL_SIGNAL, (int)info.ssi_signo, 0);
        }
    }
}

static void accept_client(struct supervision *v)
{
    int fd = accept4(v->s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (fd < 0)
        return;
    bool trusted = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
                   (peer.uid == geteuid() || peer.uid == 0);
    for (int i = 0; i < CLIENTS_MAX && trusted; i++) {
        if (v->clients[i] < 0) {
            v->clients[i] = fd;
            return;
        }
    }
    close(fd);
}

// One request from another command: a signal. It is answered by READY or by FAILED with an errno.
static void serve_client(struct supervision *v, int index)
{
    struct control_message m;
    int fd = v->clients[index];
    ssize_t n = recv(fd, &m, sizeof(m), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == sizeof(m)) {
        bool good = m.type == CONTROL_SIGNAL && m.a >= 0 && m.a <= 64 && (m.b == 0 || m.b == 1);
        int ret = 0;
        if (good && m.a == SIGKILL)
            spawn_kill(&v->s->kernel);
        else if (good && m.a)
            ret = control_send(v->s->kernel_control, CONTROL_SIGNAL, m.a, m.b);
        if (!good || ret < 0)
            (void)control_send(fd, CONTROL_FAILED, good ? errno : EINVAL, 0);
        else
            (void)control_send(fd, CONTROL_READY, 0, 0);
        if (good && m.a == SIGKILL && !v->exited && !v->gave_up) {
            v->exited = true;
            v->s->result->exit_status = 128 + SIGKILL;
        }
    }
    close(fd);
    v->clients[index] = -1;
}

static void role_died(struct supervision *v, struct spawn *role, int status)
{
    char text[160];
    int error = atomic_load_explicit(&role->error, memory_order_acquire);
    if (error)
        snprintf(text, sizeof(text), "execute caisson-sandbox as the sandbox's %s", role->role);
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "the sandbox's %s process was killed by signal %d (%s)%s",
                 role->role, WTERMSIG(status), strsignal(WTERMSIG(status)),
                 WTERMSIG(status) == SIGSYS
                     ? ": it made a host call that its filter refuses (--debug tells which)"
                     : "");
    else
        snprintf(text, sizeof(text),
                 "the sandbox's %s process ended with status %d without saying why", role->role,
                 WEXITSTATUS(status));
    give_up(v, error || WIFEXITED(status) ? 125 : 128 + WTERMSIG(status), error, text);
}

// Reaps a role whose pidfd says that it has ended.
static void reap(struct supervision *v, struct spawn *role)
{
    int status;
    bool is_kernel = role == &v->s->kernel;
    if (role->pid <= 0 || waitpid(role->pid, &status, WNOHANG) != role->pid)
        return;
    role->pid = -1;
    (void)receive_messages(v, role->role, is_kernel ? v->s->kernel_control : v->s->gofer_control);
    // The file proxy ends by itself when the kernel process closes their connection, and may well be seen to end first.
    if (!is_kernel && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        v->ending = true;
        return;
    }
    // Somebody has killed it: the kernel process could not but end the sandbox, and may have said so already.
    if (!is_kernel)
        v->exited = false;
    if (!v->exited && !v->gave_up)
        role_died(v, role, status);
}

static nfds_t fill_poll(const struct supervision *v, struct pollfd *fds)
{
    const struct sandbox *s = v->s;
    const int fixed[] = {s->signals,
                         s->kernel_control,
                         s->gofer_control,
                         s->kernel.pidfd,
                         s->gofer.pid > 0 ? s->gofer.pidfd : -1,
                         s->listener};
    nfds_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        fds[count++] = (struct pollfd){.fd = fixed[i], .events = POLLIN};
    for (int i = 0; i < CLIENTS_MAX; i++)
        fds[count++] = (struct pollfd){.fd = v->clients[i], .events = POLLIN};
    return count;
}

void sandbox_supervise(struct sandbox *s)
{
    struct supervision v = {.s = s};
    struct pollfd fds[6 + CLIENTS_MAX];
    for (int i = 0; i < CLIENTS_MAX; i++)
        v.clients[i] = -1;
    take_terminal(s);
    while (s->kernel.pid > 0) {
        nfds_t count = fill_poll(&v, fds);
        int n = poll(fds, count, v.exited || v.gave_up || v.ending ? END_TIMEOUT_MS : -1);
        if (n < 0 && errno != EINTR)
            give_up(&v, 125, errno, "wait for the sandbox");
        if (n == 0) {
            give_up(&v, 125, 0,
                    "the sandbox's file proxy ended, and its kernel process did not follow");
            spawn_kill(&s->kernel);
        }
        if (n <= 0)
            continue;
        if (fds[0].revents)
            forward_signals(&v);
        if (fds[1].revents && !receive_messages(&v, "kernel", s->kernel_control))
            fd_done(&s->kernel_control);
        if (fds[2].revents && !receive_messages(&v, "gofer", s->gofer_control))
            fd_done(&s->gofer_control);
        if (fds[4].revents)
            reap(&v, &s->gofer);
        if (fds[3].revents)
            reap(&v, &s->kernel);
        if (fds[5].revents)
            accept_client(&v);
        for (int i = 0; i < CLIENTS_MAX; i++)
            if (v.clients[i] >= 0 && fds[6 + i].revents)
                serve_client(&v, i);
    }
    sandbox_mark(s->result, "command", "kernel process gone");
    reap(&v, &s->gofer);
    for (int i = 0; i < CLIENTS_MAX; i++)
        fd_done(&v.clients[i]);
}
