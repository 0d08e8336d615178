/*
 * The native column: runs a command in the same root file system under plain chroot, on the host's
 * own kernel, with the mounts that the containers of the other columns have.
 *
 *   native ROOT [--bind SOURCE DESTINATION]... -- COMMAND...
 *
 * Mount, PID, IPC and UTS namespaces are its own, so that nothing stays behind and /proc shows
 * what a container sees; apart from that nothing stands between the command and the host.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const environment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
    "LC_ALL=C.UTF-8", NULL};

static void die(const char *what)
{
    fprintf(stderr, "native: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void bind_below(const char *root, const char *source, const char *destination)
{
    char target[4096];
    snprintf(target, sizeof target, "%s%s", root, destination);
    (void)mkdir(target, 0755);
    if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) != 0)
        die(target);
}

static void mount_below(const char *root, const char *type, const char *destination,
                        unsigned long flags, const char *options)
{
    char target[4096];
    snprintf(target, sizeof target, "%s%s", root, destination);
    (void)mkdir(target, 0755);
    if (mount(type, target, type, flags, options) != 0)
        die(target);
}

static int child(const char *root, char **command)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mount_below(root, "proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    if (chroot(root) != 0 || chdir("/") != 0)
        die(root);
    execvpe(command[0], command, environment);
    die(command[0]);
    return 127;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: native ROOT [--bind SOURCE DESTINATION]... -- COMMAND...\n", stderr);
        return 125;
    }
    const char *root = argv[1];
    if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
        die("unshare");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(root, root, NULL, MS_BIND | MS_REC, NULL) != 0)
        die(root);
    mount_below(root, "tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
    bind_below(root, "/dev", "/dev");
    int i = 2;
    for (; i + 2 < argc && strcmp(argv[i], "--bind") == 0; i += 3)
        bind_below(root, argv[i + 1], argv[i + 2]);
    if (i + 1 >= argc || strcmp(argv[i], "--") != 0) {
        fputs("native: no command\n", stderr);
        return 125;
    }

    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        return child(root, argv + i + 1);
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            die("waitpid");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
