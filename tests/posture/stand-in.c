// A stand-in for caisson-sandbox: it is started the same way and locks itself in the same way, but has no kernel. What the
// container's "program" does is chosen by its first argument. The tests of the command use it to play every part that a
// kernel process can play, good and bad.

#include "base/log.h"
#include "host/host.h"
#include "sandbox/boot-spec.h"
#include "sandbox/control.h"
#include "sandbox/jail.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void send_message(uint32_t type, int a, const char *text)
{
    struct control_message m = {.type = type, .a = a, .c = host_now()};
    snprintf(m.text, sizeof(m.text), "%s", text);
    struct iovec iov = {&m, sizeof(m)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    (void)host_sendmsg(BOOT_FD_CONTROL, &msg, MSG_NOSIGNAL);
}

static _Noreturn void fail(const char *what, int error)
{
    send_message(CONTROL_FAILED, -error, what);
    host_exit_group(1);
}

// False at the end of the connection.
static bool receive(struct control_message *m)
{
    struct iovec iov = {m, sizeof(*m)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    return host_recvmsg(BOOT_FD_CONTROL, &msg, 0) == sizeof(*m);
}

static void print_strings(const char *name, const struct boot_strings *s)
{
    const char *next = s->data, *text;
    for (uint32_t i = 0; i < s->count && (text = boot_strings_next(s, &next)); i++)
        printf("%s[%u]=%s\n", name, i, text);
}

static void dump(const struct boot_spec *s)
{
    static char buffer[65536];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    printf("id=%s\nhostname=%s\ncwd=%s\nuid=%u gid=%u umask=%03o\nflags=%#x overlay=%u\n", s->id,
           s->hostname, s->cwd, s->uid, s->gid, s->umask, s->flags & ~(unsigned)BOOT_ROOTLESS,
           s->overlay);
    printf("terminals=%d console=%ux%u\n",
           s->stdio_is_terminal[0] | s->stdio_is_terminal[1] << 1 | s->stdio_is_terminal[2] << 2,
           s->console_rows, s->console_cols);
    print_strings("arg", &s->args);
    print_strings("env", &s->env);
    for (uint32_t i = 0; i < s->group_count; i++)
        printf("group=%u\n", s->groups[i]);
    printf("caps=%llx %llx %llx %llx %llx\n", (unsigned long long)s->cap_bounding,
           (unsigned long long)s->cap_effective, (unsigned long long)s->cap_inheritable,
           (unsigned long long)s->cap_permitted, (unsigned long long)s->cap_ambient);
    for (int i = 0; i < BOOT_MAX_RLIMIT; i++)
        if (s->rlimits[i].set)
            printf("rlimit[%d]=%llu/%llu\n", i, (unsigned long long)s->rlimits[i].soft,
                   (unsigned long long)s->rlimits[i].hard);
    for (uint32_t i = 0; i < s->export_count; i++)
        printf("export[%u]=%s %#x\n", i, s->exports[i].path, s->exports[i].flags);
    for (uint32_t i = 0; i < s->mount_count; i++)
        printf("mount[%u]=%u %u %#llx %s %s %s\n", i, s->mounts[i].type, s->mounts[i].export_id,
               (unsigned long long)s->mounts[i].flags, s->mounts[i].target, s->mounts[i].source,
               s->mounts[i].options);
    print_strings("masked", &s->masked_paths);
    fflush(stdout);
}

// Until the command is gone.
static _Noreturn void wait_for_signals(bool react)
{
    struct control_message m;
    while (receive(&m)) {
        if (!react)
            continue;
        if (m.type == CONTROL_SIGNAL)
            send_message(CONTROL_EXIT, m.a & 0x7f, "");
        if (m.type == CONTROL_CONT)
            send_message(CONTROL_EXIT, 7 << 8, "");
        if (m.type == CONTROL_SIGNAL || m.type == CONTROL_CONT)
            host_exit_group(0);
    }
    host_exit_group(0);
}

static _Noreturn void play(const struct boot_spec *s)
{
    const char *next = s->args.data;
    const char *part = boot_strings_next(&s->args, &next);
    const char *arg = s->args.count > 1 ? boot_strings_next(&s->args, &next) : "0";
    if (strcmp(part, "missing") == 0)
        send_message(CONTROL_EXEC_FAILED, ENOENT, "exec missing");
    else if (strcmp(part, "denied") == 0)
        send_message(CONTROL_EXEC_FAILED, EACCES, "exec denied");
    else if (strcmp(part, "fail") == 0)
        send_message(CONTROL_FAILED, ENOSPC, "the memory \033[31mfile");
    else if (strcmp(part, "silent") != 0)
        send_message(CONTROL_READY, 0, "");
    if (strcmp(part, "exit") == 0)
        send_message(CONTROL_EXIT, atoi(arg) << 8, "");
    else if (strcmp(part, "signal") == 0)
        send_message(CONTROL_EXIT, atoi(arg), "");
    else if (strcmp(part, "dump") == 0)
        send_message(CONTROL_EXIT, 0, "");
    else if (strcmp(part, "stop") == 0)
        send_message(CONTROL_STOPPED, SIGTSTP, "");
    else if (strcmp(part, "rogue") == 0)
        send_message(999, 0, "");
    else if (strcmp(part, "short") == 0)
        (void)host_write(BOOT_FD_CONTROL, "short", 5);
    else if (strcmp(part, "forbidden") == 0)
        (void)syscall(SYS_socket, 1, 1, 0);
    else if (strcmp(part, "wait") == 0 || strcmp(part, "sleep") == 0)
        wait_for_signals(strcmp(part, "wait") == 0);
    if (strcmp(part, "stop") == 0)
        wait_for_signals(true);
    if (strcmp(part, "rogue") == 0 || strcmp(part, "short") == 0)
        wait_for_signals(false);
    host_exit_group(0);
}

static void set_log(const struct boot_spec *s, const char *component)
{
    struct log_config config = {
        .fd = BOOT_FD_LOG,
        .json = s->flags & BOOT_LOG_JSON,
        .level = s->flags & BOOT_DEBUG ? LOG_DEBUG : LOG_WARN,
        .component = component,
    };
    log_init(&config);
}

// A child that plays the stubs' part: what the posture test sees of them is set here as the platform sets it.
static void make_zygote(struct jail *j)
{
    if (jail_set_dumpable(true) < 0)
        fail("set dumpable", -EPERM);
    pid_t pid = fork();
    if (pid == 0) {
        int ret = jail_raise_oom_score(j);
        if (ret < 0)
            fail(j->what, ret);
        jail_close_procfs(j);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        jail_install_filter(JAIL_FILTER_KERNEL, false);
        for (;;)
            (void)host_ppoll(NULL, 0, NULL);
    }
    if (pid < 0 || jail_set_dumpable(false) < 0)
        fail("fork", -errno);
}

static _Noreturn void kernel_main(const struct boot_spec *s, struct jail *j)
{
    int ret = jail_enter(j);
    if (ret < 0)
        fail(j->what, ret);
    send_message(CONTROL_MARK, 0, "jailed");
    make_zygote(j);
    jail_close_procfs(j);
    const char *next = s->args.data;
    if (strcmp(boot_strings_next(&s->args, &next), "dump") == 0)
        dump(s);
    ret = jail_install_filter(JAIL_FILTER_KERNEL, s->flags & BOOT_DEBUG);
    if (ret < 0)
        fail("install the filter", ret);
    play(s);
}

static _Noreturn void gofer_main(const struct boot_spec *s, struct jail *j)
{
    int ret = jail_enter(j);
    if (ret < 0)
        fail(j->what, ret);
    ret = jail_install_filter(JAIL_FILTER_GOFER, s->flags & BOOT_DEBUG);
    if (ret < 0)
        fail("install the filter", ret);
    struct pollfd fds[] = {{.fd = BOOT_FD_GOFER, .events = POLLIN},
                           {.fd = BOOT_FD_CONTROL, .events = POLLIN}};
    (void)host_ppoll(fds, 2, NULL);
    host_exit_group(0);
}

int main(int argc, char **argv)
{
    static struct boot_spec spec;
    const char *what;
    if (argc != 2)
        return 2;
    bool kernel = strcmp(argv[1], "kernel") == 0;
    int ret = boot_spec_map(BOOT_FD_SPEC, &spec, &what);
    if (ret < 0)
        fail(what, ret);
    set_log(&spec, argv[1]);
    struct jail jail = {.role = kernel ? JAIL_KERNEL : JAIL_GOFER, .spec = &spec};
    if (kernel)
        kernel_main(&spec, &jail);
    gofer_main(&spec, &jail);
}
