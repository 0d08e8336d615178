// State directories; see state.h.

#include "runtime/state.h"
#include "runtime/json.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#define STATE_FILE      "state.json"
#define STATE_TEMPORARY "state.json.new"
#define STATE_SOCKET    "control.sock"
enum { STATE_FILE_MAX = 1 << 20 };

const char *container_status_name(enum container_status status)
{
    static const char *const names[] = {"creating", "created", "running", "stopped"};
    return names[status];
}

int state_check_id(const char *id, struct error *e)
{
    size_t size = strlen(id);
    if (!size || size > 1024)
        return error_set(e, 0, "container id: 1 to 1024 characters are needed, not %zu", size);
    for (const char *p = id; *p; p++) {
        bool fits = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || strchr("_+.-", *p);
        if (!fits)
            return error_set(e, 0,
                             "container id has a character other than letters, digits and _+.-");
    }
    if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
        return error_set(e, 0, "container id \"%s\" is not possible", id);
    // A file name can't be longer.
    if (size > 255)
        return error_set(e, ENAMETOOLONG, "container id of %zu characters", size);
    return 0;
}

char *state_default_root(struct pool *pool)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0 || !dir || dir[0] != '/')
        return geteuid() == 0 ? pool_strdup(pool, "/run/caisson")
                              : pool_printf(pool, "/tmp/caisson-%u", (unsigned)geteuid());
    return pool_printf(pool, "%s/caisson", dir);
}

// Makes the state root and what is missing above it.
static int make_root(const char *path)
{
    char part[4096];
    size_t size = strlen(path);
    if (size >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, i == size ? 0700 : 0755) < 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

static int open_root(const struct run_options *o, bool make, int *ret, struct error *e)
{
    int fd = open(o->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make) {
        if (make_root(o->state_root) < 0)
            return error_set(e, errno, "make the state directory %s", o->state_root);
        fd = open(o->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return error_set(e, errno, "open the state directory %s", o->state_root);
    struct stat st;
    // Whoever can write there can name processes for us to kill.
    if (fstat(fd, &st) < 0 || (st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & 0022) {
        close(fd);
        return error_set(
            e, EPERM, "state directory %s must belong to the caller and be writable by nobody else",
            o->state_root);
    }
    *ret = fd;
    return 0;
}

// Opens ID and takes its lock. It may have been removed, and made anew, between the two: then it is opened again.
static int open_locked(struct state_dir *d, struct error *e)
{
    for (int try = 0; try < 100; try++) {
        d->dir = openat(d->root, d->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (d->dir < 0)
            return errno == ENOENT ? error_set(e, ENOENT, "container \"%s\" does not exist", d->id)
                                   : error_set(e, errno, "open the state of container %s", d->id);
        struct stat mine, named;
        if (flock(d->dir, LOCK_EX) < 0)
            return error_set(e, errno, "lock the state of container %s", d->id);
        if (fstat(d->dir, &mine) == 0 &&
            fstatat(d->root, d->id, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            mine.st_ino == named.st_ino && mine.st_dev == named.st_dev)
            return 0;
        fd_done(&d->dir);
    }
    return error_set(e, EAGAIN, "lock the state of container %s", d->id);
}

static int state_begin(const struct run_options *o, const char *id, bool make, struct state_dir *d,
                       struct error *e)
{
    *d = (struct state_dir){.root = -1, .dir = -1, .sync = !o->state_root_is_default};
    if (state_check_id(id, e) < 0)
        return -1;
    snprintf(d->id, sizeof(d->id), "%s", id);
    if (open_root(o, make, &d->root, e) < 0) {
        if (e->number == ENOENT)
            error_set(e, ENOENT, "container \"%s\" does not exist", id);
        return -1;
    }
    return 0;
}

int state_create(const struct run_options *o, const char *id, struct state_dir *d, struct error *e)
{
    if (state_begin(o, id, true, d, e) < 0)
        return -1;
    int ret = 0;
    if (mkdirat(d->root, id, 0700) < 0)
        ret = errno == EEXIST ? error_set(e, EEXIST, "container with id \"%s\" exists already", id)
                              : error_set(e, errno, "make the state directory of container %s", id);
    else
        ret = open_locked(d, e);
    if (ret < 0)
        state_close(d);
    return ret;
}

int state_open(const struct run_options *o, const char *id, struct state_dir *d, struct error *e)
{
    if (state_begin(o, id, false, d, e) < 0)
        return -1;
    if (open_locked(d, e) < 0) {
        state_close(d);
        return -1;
    }
    return 0;
}

void state_unlock(const struct state_dir *d)
{
    if (d->dir >= 0)
        (void)flock(d->dir, LOCK_UN);
}

void state_close(struct state_dir *d)
{
    fd_done(&d->dir);
    fd_done(&d->root);
}

bool process_start_time(int pid, uint64_t *ret)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0)
        return false;
    text[size] = 0;
    // The name in parentheses may hold anything; the last parenthesis ends it. State is field 3, start time 22.
    char *at = strrchr(text, ')');
    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
        return false;
    for (int field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, " %lu", ret) == 1;
}

static void format_time(char *out, size_t size)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t used = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + used, size - used, ".%09ldZ", now.tv_nsec);
}

int state_save(const struct state_dir *d, const struct container *c, int pid, struct error *e)
{
    uint64_t start = 0;
    char created[64];
    (void)process_start_time(pid, &start);
    format_time(created, sizeof(created));

    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "ociVersion", json_object_new_string(OCI_VERSION));
    json_object_object_add(o, "id", json_object_new_string(c->id));
    json_object_object_add(o, "pid", json_object_new_int(pid));
    json_object_object_add(o, "pidStart", json_object_new_uint64(start));
    json_object_object_add(o, "bundle", json_object_new_string(c->bundle ? c->bundle : ""));
    json_object_object_add(o, "rootfs", json_object_new_string(c->root_path));
    json_object_object_add(o, "created", json_object_new_string(created));
    json_object_object_add(o, "owner", json_object_new_int64(geteuid()));
    if (c->annotations)
        json_object_object_add(o, "annotations", json_object_new_string(c->annotations));

    size_t size;
    const char *text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &size);
    int fd = openat(d->dir, STATE_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    int ret = fd < 0 ? -1 : write_whole(fd, text, size);
    if (ret == 0 && d->sync)
        ret = fsync(fd);
    if (ret == 0)
        ret = renameat(d->dir, STATE_TEMPORARY, d->dir, STATE_FILE);
    if (ret == 0 && d->sync)
        ret = fsync(d->dir);
    if (ret < 0)
        error_set(e, errno, "write the state of container %s", c->id);
    if (fd >= 0)
        close(fd);
    json_object_put(o);
    return ret;
}

static int read_state(const struct json_node *n, struct pool *pool, struct container_state *s,
                      struct error *e)
{
    uint64_t pid = 0, owner = 0;
    const char *annotations = NULL, *bundle = "", *rootfs = "", *created = "";
    if (json_get_number(n, "pid", INT32_MAX, &pid, e) < 0 ||
        json_get_number(n, "pidStart", UINT64_MAX, &s->pid_start, e) < 0 ||
        json_get_number(n, "owner", UINT32_MAX, &owner, e) < 0 ||
        json_get_text(n, "bundle", &bundle, e) < 0 || json_get_text(n, "rootfs", &rootfs, e) < 0 ||
        json_get_text(n, "created", &created, e) < 0 ||
        json_get_text(n, "annotations", &annotations, e) < 0)
        return -1;
    s->pid = (int)pid;
    s->owner = (uint32_t)owner;
    s->bundle = pool_strdup(pool, bundle);
    s->rootfs = pool_strdup(pool, rootfs);
    s->created = pool_strdup(pool, created);
    s->annotations = annotations ? pool_strdup(pool, annotations) : NULL;
    return 0;
}

int state_load(const struct state_dir *d, struct pool *pool, struct container_state *s,
               struct error *e)
{
    *s = (struct container_state){0};
    int FD_AUTO fd = openat(d->dir, STATE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(
            e, errno,
            "container %s was begun and not finished (delete --force removes it): open " STATE_FILE,
            d->id);
    char *text;
    uint64_t size;
    struct json_object *object = NULL;
    int ret = read_whole(pool, fd, STATE_FILE_MAX, &text, &size, e);
    if (ret == 0)
        ret = json_parse(text, size, &object, e);
    if (ret == 0) {
        struct json_node node = json_root(object, STATE_FILE);
        ret = read_state(&node, pool, s, e);
    }
    json_object_put(object);
    if (ret < 0)
        return error_prefix(e, "state of container %s", d->id);

    uint64_t start;
    bool alive = s->pid > 0 && process_start_time(s->pid, &start) && start == s->pid_start;
    s->status = alive ? STATUS_RUNNING : STATUS_STOPPED;
    if (!alive)
        s->pid = 0;
    return 0;
}

int state_remove(struct state_dir *d, struct error *e)
{
    struct stat mine, named;
    (void)flock(d->dir, LOCK_EX);
    // Another command may have removed it, and a third one made it anew: that one is not ours.
    if (fstat(d->dir, &mine) < 0 || fstatat(d->root, d->id, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        mine.st_ino != named.st_ino || mine.st_dev != named.st_dev)
        return 0;
    static const char *const files[] = {STATE_SOCKET, STATE_TEMPORARY, STATE_FILE};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (unlinkat(d->dir, files[i], 0) < 0 && errno != ENOENT)
            return error_set(e, errno, "remove %s of container %s", files[i], d->id);
    if (unlinkat(d->root, d->id, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_set(e, errno, "remove the state directory of container %s", d->id);
    return 0;
}

int state_list(const struct run_options *o, struct pool *pool, struct text_list *ret,
               struct error *e)
{
    int root;
    if (open_root(o, false, &root, e) < 0)
        return e->number == ENOENT ? 0 : -1;
    int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(root);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        fd_done(&fd);
        return error_set(e, errno, "read the state directory %s", o->state_root);
    }
    struct error ignored;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (state_check_id(entry->d_name, &ignored) == 0)
            text_list_add(pool, ret, entry->d_name);
    closedir(dir);
    return 0;
}

// The socket's name goes through the directory's descriptor: a socket address holds 107 bytes, a state root may be longer.
static void socket_address(const struct state_dir *d, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/" STATE_SOCKET,
             d->dir);
}

int state_listen(const struct state_dir *d, int *ret, struct error *e)
{
    struct sockaddr_un address;
    socket_address(d, &address);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 16) < 0) {
        error_set(e, errno, "make the control socket of container %s", d->id);
        fd_done(&fd);
        return -1;
    }
    *ret = fd;
    return 0;
}

int state_connect(const struct state_dir *d, int *ret, struct error *e)
{
    struct sockaddr_un address;
    socket_address(d, &address);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        error_set(e, errno, "reach the command that runs container %s", d->id);
        fd_done(&fd);
        return -1;
    }
    *ret = fd;
    return 0;
}
