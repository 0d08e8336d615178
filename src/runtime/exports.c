// Preparing what the gofer may see; see exports.h.
//
// All of it works on mounts by descriptor: open_tree() copies the mount tree at a path in one step, and what the path
// names later doesn't matter any more. A path comes from the user or from config.json and is followed like any host path;
// nothing inside an image is followed here, targets of mounts are names in the guest's own tree.

#include "runtime/exports.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int write_proc_file(int proc, const char *name, const char *text)
{
    int fd = openat(proc, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int ret = write_whole(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return ret;
}

// A privileged caller whose user name space has the range of ids from which sandboxes take theirs.
static bool has_spare_ids(int proc)
{
    int fd = openat(proc, "self/uid_map", O_RDONLY | O_CLOEXEC);
    char text[256];
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return false;
    text[size] = 0;
    unsigned long inside, outside, count;
    return sscanf(text, "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 &&
           count >= UINT32_MAX;
}

// The user is not root in its name space, so that executing a program would take all capabilities; ambient ones stay. The
// gofer needs them until it has locked itself in.
static int keep_capabilities(struct error *e)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return error_set(e, errno, "read capabilities");
    for (int i = 0; i < 2; i++)
        data[i].inheritable = data[i].permitted;
    if (syscall(SYS_capset, &header, data) < 0)
        return error_set(e, errno, "make capabilities inheritable");
    for (unsigned long cap = 0; cap < 64; cap++)
        if (data[cap / 32].permitted >> (cap % 32) & 1 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return error_set(e, errno, "keep capability %lu", cap);
    return 0;
}

static int enter_user_namespace(struct runtime_namespaces *n, struct error *e)
{
    char text[64];
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return error_set(
            e, errno,
            "make a user name space (the host has to allow unprivileged user name spaces: see "
            "user.max_user_namespaces and kernel.unprivileged_userns_clone)");
    snprintf(text, sizeof(text), "%u %u 1", uid, uid);
    if (write_proc_file(n->proc, "self/uid_map", text) < 0)
        return error_set(e, errno, "map user %u into the user name space", uid);
    if (write_proc_file(n->proc, "self/setgroups", "deny") < 0)
        return error_set(e, errno, "give up setgroups in the user name space");
    snprintf(text, sizeof(text), "%u %u 1", gid, gid);
    if (write_proc_file(n->proc, "self/gid_map", text) < 0)
        return error_set(e, errno, "map group %u into the user name space", gid);
    return keep_capabilities(e);
}

static bool may_mount(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    return syscall(SYS_capget, &header, data) == 0 && data[0].effective >> CAP_SYS_ADMIN & 1;
}

int runtime_namespaces_enter(struct runtime_namespaces *n, struct error *e)
{
    n->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (n->proc < 0)
        return error_set(e, errno, "open /proc");
    n->rootless = !may_mount();
    if (n->rootless)
        return enter_user_namespace(n, e);
    n->rootless = !has_spare_ids(n->proc);
    return 0;
}

// A mount name space to prepare mounts in, unseen by the host, and the way back.
struct workshop {
    int mounts, root, directory;
};

static int workshop_enter(struct workshop *w, struct error *e)
{
    w->mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    w->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    w->directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (w->mounts < 0 || w->root < 0 || w->directory < 0)
        return error_set(e, errno, "open the present name space and directories");
    if (unshare(CLONE_NEWNS) < 0)
        return error_set(e, errno, "make a mount name space");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_set(e, errno, "make the mounts of the command's own name space private%s",
                         errno == EINVAL ? " (a chroot whose root isn't a mount won't do)" : "");
    return 0;
}

static int workshop_leave(struct workshop *w, struct error *e)
{
    int ret = 0;
    // The change of name space also changes root and working directory.
    if (w->mounts >= 0 && (setns(w->mounts, CLONE_NEWNS) < 0 || fchdir(w->root) < 0 ||
                           chroot(".") < 0 || (w->directory >= 0 && fchdir(w->directory) < 0)))
        ret = error_set(e, errno, "return to the command's mount name space");
    fd_done(&w->mounts);
    fd_done(&w->root);
    fd_done(&w->directory);
    return ret;
}

// ---- Covering ----------------------------------------------------------------------------------------------------------

static bool is_kernel_file_system(const char *type)
{
    static const char *const types[] = {
        "autofs",    "binder",  "binfmt_misc", "bpf",      "cgroup",  "cgroup2",    "configfs",
        "debugfs",   "devpts",  "devtmpfs",    "efivarfs", "fusectl", "hugetlbfs",  "mqueue",
        "nfsd",      "nsfs",    "proc",        "pstore",   "resctrl", "rpc_pipefs", "securityfs",
        "selinuxfs", "smackfs", "sysfs",       "tracefs",
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static bool is_beneath(const char *path, const char *directory)
{
    size_t size = strlen(directory);
    if (size == 1)
        return path[1] != 0; // everything but "/" is beneath "/"
    return strncmp(path, directory, size) == 0 && path[size] == '/';
}

// "\040" and its like in mountinfo.
static void decode_octal(char *text)
{
    char *to = text;
    for (const char *p = text; *p; to++) {
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
            p[3] >= '0' && p[3] <= '7') {
            *to = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 4;
        } else {
            *to = *p++;
        }
    }
    *to = 0;
}

// One line of mountinfo: its mount point, when a kernel file system is mounted there; else NULL.
static char *kernel_mount_point(char *line)
{
    char *save, *point = NULL;
    char *field = strtok_r(line, " ", &save);
    for (int i = 0; field && i < 4; i++)
        field = strtok_r(NULL, " ", &save);
    point = field;
    while (field && strcmp(field, "-") != 0)
        field = strtok_r(NULL, " ", &save);
    const char *type = field ? strtok_r(NULL, " ", &save) : NULL;
    if (!type || !is_kernel_file_system(type))
        return NULL;
    decode_octal(point);
    return point;
}

// The topmost mount points of kernel file systems, in `list`.
static int find_kernel_mounts(struct pool *pool, struct text_list *list, struct error *e)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return error_set(e, errno, "open /proc/self/mountinfo");
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) {
        char *point = kernel_mount_point(line);
        bool covered = !point;
        for (uint32_t i = 0; i < list->count && !covered; i++)
            covered = strcmp(point, list->items[i]) == 0 || is_beneath(point, list->items[i]);
        if (!covered)
            text_list_add(pool, list, point);
    }
    free(line);
    bool failed = ferror(file);
    fclose(file);
    return failed ? error_set(e, EIO, "read /proc/self/mountinfo") : 0;
}

static bool has_kernel_mount_beneath(const struct text_list *points, const char *path)
{
    for (uint32_t i = 0; i < points->count; i++)
        if (is_beneath(points->items[i], path))
            return true;
    return false;
}

static int cover(const struct text_list *points, struct error *e)
{
    for (uint32_t i = 0; i < points->count; i++)
        if (mount("caisson-cover", points->items[i], "tmpfs",
                  MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                  "mode=0555,size=4k,nr_inodes=1") < 0 &&
            errno != ENOENT)
            return error_set(e, errno, "cover the host's %s", points->items[i]);
    return 0;
}

// ---- Opening -----------------------------------------------------------------------------------------------------------

static int add_export(struct exports *x, const char *path, uint32_t flags, struct error *e)
{
    if (x->count == BOOT_MAX_EXPORTS)
        return error_set(e, 0, "more than %d bind mounts", BOOT_MAX_EXPORTS - 1);
    x->items[x->count++] = (struct export){.fd = -1, .flags = flags, .path = path};
    return 0;
}

// A regular file is handed over open: the file proxy can't open what an O_PATH descriptor names, having no /proc. Read-only where
// it can't be written at present (a running program).
static int open_file_export(struct export *x, struct error *e)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", x->fd);
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK, fd = -1;
    if (!(x->flags & BOOT_EXPORT_READONLY))
        fd = open(path, flags | O_RDWR);
    if (fd < 0)
        fd = open(path, flags | O_RDONLY);
    if (fd < 0)
        return error_set(e, errno, "open %s", x->path);
    close(x->fd);
    x->fd = fd;
    return 0;
}

static int open_export(struct export *x, bool recursive, struct error *e)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, x->path, flags | (recursive ? AT_RECURSIVE : 0));
    // In a user name space a mount can't be parted from those that lie beneath it.
    if (fd < 0 && errno == EINVAL && !recursive)
        fd = (int)syscall(SYS_open_tree, AT_FDCWD, x->path, flags | AT_RECURSIVE);
    if (fd < 0)
        return error_set(e, errno, "open %s", x->path);
    x->fd = fd;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(e, errno, "stat %s", x->path);
    if (S_ISDIR(st.st_mode))
        x->flags |= BOOT_EXPORT_DIRECTORY;
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID};
    if (x->flags & BOOT_EXPORT_DIRECTORY)
        attr.attr_set |= MOUNT_ATTR_NODEV; // a device is exported as such or not at all
    if (x->flags & BOOT_EXPORT_READONLY)
        attr.attr_set |= MOUNT_ATTR_RDONLY;
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
        return error_set(e, errno, "set the mount flags of %s (Linux 5.12 or later is needed)",
                         x->path);
    return S_ISREG(st.st_mode) ? open_file_export(x, e) : 0;
}

static int plan_exports(struct container *c, const struct run_options *o, struct exports *x,
                        struct error *e)
{
    x->count = 0;
    uint32_t flags = c->root_is_shared ? BOOT_EXPORT_SHARED : 0;
    if (c->root_readonly || o->overlay != BOOT_OVERLAY_NONE)
        flags |= BOOT_EXPORT_READONLY;
    if (add_export(x, c->root_path, flags, e) < 0)
        return -1;
    for (uint32_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        if (m->type != BOOT_MOUNT_BIND)
            continue;
        x->of_mount[i] = x->count;
        flags = BOOT_EXPORT_SHARED | (m->flags & MS_RDONLY ? BOOT_EXPORT_READONLY : 0);
        if (add_export(x, m->source, flags, e) < 0)
            return error_prefix(e, "mount %s", m->target);
    }
    return 0;
}

static bool export_is_recursive(const struct container *c, const struct exports *x, uint32_t index)
{
    for (uint32_t i = 0; i < c->mount_count; i++)
        if (c->mounts[i].type == BOOT_MOUNT_BIND && x->of_mount[i] == index)
            return c->mounts[i].recursive;
    return true;
}

static int open_all(struct container *c, struct exports *x, const struct text_list *points,
                    struct error *e)
{
    // What has nothing to cover comes first: it may lie beneath something that will be covered.
    bool must_cover = false;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1 && must_cover && cover(points, e) < 0)
            return -1;
        for (uint32_t i = 0; i < x->count; i++) {
            char real[PATH_MAX];
            if (x->items[i].fd >= 0)
                continue;
            if (!realpath(x->items[i].path, real))
                return error_set(e, errno, "%s %s", i ? "bind source" : "root directory",
                                 x->items[i].path);
            bool covers = has_kernel_mount_beneath(points, real);
            must_cover |= covers;
            if ((pass == 1 || !covers) &&
                open_export(&x->items[i], export_is_recursive(c, x, i), e) < 0)
                return -1;
        }
    }
    return 0;
}

int exports_open(struct container *c, const struct run_options *o, struct exports *x,
                 struct error *e)
{
    if (c->mount_count > BOOT_MAX_MOUNTS)
        return error_set(e, 0, "%u mounts, at most %d are possible", c->mount_count,
                         BOOT_MAX_MOUNTS);
    struct text_list points = {0};
    struct workshop workshop = {-1, -1, -1};
    struct error ignored;
    if (plan_exports(c, o, x, e) < 0 || find_kernel_mounts(&c->pool, &points, e) < 0)
        return -1;
    int ret = workshop_enter(&workshop, e);
    if (ret == 0)
        ret = open_all(c, x, &points, e);
    if (workshop_leave(&workshop, ret == 0 ? e : &ignored) < 0)
        ret = -1;
    if (ret == 0 && !(x->items[0].flags & BOOT_EXPORT_DIRECTORY))
        return error_set(e, ENOTDIR, "root %s", c->root_path);
    return ret;
}

void exports_close(struct exports *x)
{
    for (uint32_t i = 0; i < x->count; i++)
        fd_done(&x->items[i].fd);
    x->count = 0;
}
