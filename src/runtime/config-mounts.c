// config.json's list of mounts.
//
// Targets are names in the guest's own file tree, which only Caisson's kernel follows. Sources of bind mounts are host
// paths, relative ones start at the bundle.

#include "runtime/config-int.h"
#include <stdlib.h>
#include <sys/mount.h>

struct mount_option {
    const char *name;
    uint64_t set, clear;
};

// In no order that matters. What has neither bits is accepted and has no meaning inside: propagation to the host, and
// what the file systems inside do anyway.
static const struct mount_option mount_options[] = {
    {"async", 0, MS_SYNCHRONOUS},
    {"atime", 0, MS_NOATIME},
    {"defaults", 0, 0},
    {"dev", 0, MS_NODEV},
    {"diratime", 0, MS_NODIRATIME},
    {"dirsync", MS_DIRSYNC, 0},
    {"exec", 0, MS_NOEXEC},
    {"iversion", 0, 0},
    {"lazytime", 0, 0},
    {"loud", 0, 0},
    {"noatime", MS_NOATIME, 0},
    {"nodev", MS_NODEV, 0},
    {"nodiratime", MS_NODIRATIME, 0},
    {"noexec", MS_NOEXEC, 0},
    {"noiversion", 0, 0},
    {"nolazytime", 0, 0},
    {"norelatime", 0, MS_RELATIME},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"nosuid", MS_NOSUID, 0},
    {"private", 0, 0},
    {"relatime", MS_RELATIME, 0},
    {"ro", MS_RDONLY, 0},
    {"rprivate", 0, 0},
    {"rro", MS_RDONLY, 0},
    {"rshared", 0, 0},
    {"rslave", 0, 0},
    {"runbindable", 0, 0},
    {"rw", 0, MS_RDONLY},
    {"shared", 0, 0},
    {"silent", 0, 0},
    {"slave", 0, 0},
    {"strictatime", MS_STRICTATIME, 0},
    {"suid", 0, MS_NOSUID},
    {"sync", MS_SYNCHRONOUS, 0},
    {"unbindable", 0, 0},
};

static const struct mount_option *find_option(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(mount_options); i++)
        if (strcmp(mount_options[i].name, name) == 0)
            return &mount_options[i];
    return NULL;
}

struct parsed_options {
    uint64_t flags;
    bool bind, recursive;
    char *rest; // for the file system
};

static int parse_options(const struct json_node *mount, struct container *c,
                         struct parsed_options *out, struct error *e)
{
    struct json_node array;
    uint32_t count;
    *out = (struct parsed_options){.rest = pool_strdup(&c->pool, "")};
    if (json_get_array(mount, "options", &array, &count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const char *text;
        if (json_item_text(&array, i, &text, e) < 0)
            return -1;
        const struct mount_option *option = find_option(text);
        if (option) {
            out->flags = (out->flags & ~option->clear) | option->set;
        } else if (strcmp(text, "bind") == 0 || strcmp(text, "rbind") == 0) {
            out->bind = true;
            out->recursive = text[0] == 'r';
        } else if (strcmp(text, "idmap") == 0 || strcmp(text, "ridmap") == 0 ||
                   strcmp(text, "tmpcopyup") == 0) {
            return error_set(e, 0, "%s[%u]: mount option \"%s\" is not supported", array.path, i,
                             text);
        } else {
            out->rest = pool_printf(&c->pool, "%s%s%s", out->rest, *out->rest ? "," : "", text);
        }
    }
    return 0;
}

// "/a/../b//c/" to "/b/c": what a target means, without looking at any file.
static char *clean_target(struct container *c, const char *target)
{
    char *out = pool_alloc(&c->pool, strlen(target) + 2);
    size_t used = 0;
    for (const char *p = target; *p;) {
        while (*p == '/')
            p++;
        const char *end = strchrnul(p, '/');
        size_t size = (size_t)(end - p);
        if (size == 2 && p[0] == '.' && p[1] == '.') {
            while (used && out[--used] != '/')
                ;
        } else if (size && !(size == 1 && p[0] == '.')) {
            out[used++] = '/';
            memcpy(out + used, p, size);
            used += size;
        }
        p = end;
    }
    if (!used)
        out[used++] = '/';
    out[used] = 0;
    return out;
}

static int mount_type_number(const char *type)
{
    static const struct {
        const char *name;
        int type;
    } types[] = {
        {"tmpfs", BOOT_MOUNT_TMPFS},       {"proc", BOOT_MOUNT_PROC},
        {"sysfs", BOOT_MOUNT_SYSFS},       {"devpts", BOOT_MOUNT_DEVPTS},
        {"mqueue", BOOT_MOUNT_MQUEUE},     {"cgroup", BOOT_MOUNT_CGROUP},
        {"devtmpfs", BOOT_MOUNT_DEVTMPFS}, {"cgroup2", BOOT_MOUNT_CGROUP},
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].name, type) == 0)
            return types[i].type;
    return -1;
}

static int add_bind(const struct json_node *n, struct container *c, const char *target,
                    const char *source, const struct parsed_options *options, struct error *e)
{
    if (!source || !*source)
        return json_fail(n, "source", e, "is missing, a bind mount needs one");
    if (*options->rest)
        return error_set(e, 0, "%soptions: \"%s\" is no option of a bind mount", n->path,
                         options->rest);
    const char *path =
        source[0] == '/' ? source : pool_printf(&c->pool, "%s/%s", c->bundle, source);
    struct container_mount *m =
        container_add_mount(c, BOOT_MOUNT_BIND, target, path, options->flags, "");
    m->recursive = options->recursive;
    return 0;
}

static int parse_mount(const struct json_node *n, struct container *c, struct error *e)
{
    const char *destination = NULL, *source = NULL, *type = NULL;
    struct parsed_options options;
    if (json_get_text(n, "destination", &destination, e) < 0 ||
        json_get_text(n, "source", &source, e) < 0 || json_get_text(n, "type", &type, e) < 0 ||
        parse_options(n, c, &options, e) < 0)
        return -1;
    if (!destination || !*destination)
        return json_fail(n, "destination", e, "is missing");
    // Relative since 1.2 means: from the root.
    const char *target = clean_target(c, destination);
    if (strcmp(target, "/") == 0)
        return json_fail(n, "destination", e, "the root can't be mounted over");
    if (options.bind || (type && strcmp(type, "bind") == 0))
        return add_bind(n, c, target, source, &options, e);

    int number = type ? mount_type_number(type) : -1;
    if (!type)
        return json_fail(n, "type", e, "is missing");
    if (number < 0)
        return error_set(e, 0, "%stype: file system \"%s\" is not supported", n->path, type);
    if (number == BOOT_MOUNT_CGROUP) {
        text_list_add(&c->pool, &c->warnings,
                      pool_printf(&c->pool,
                                  "%sdestination: %s: control groups are not shown inside yet",
                                  n->path, target));
        return 0;
    }
    // Engines ask for a tmpfs at /dev and let the runtime put the devices there.
    if (number == BOOT_MOUNT_TMPFS && strcmp(target, "/dev") == 0)
        number = BOOT_MOUNT_DEVTMPFS;
    container_add_mount(c, (uint32_t)number, target, source && *source ? source : type,
                        options.flags, options.rest);
    return 0;
}

int config_parse_mounts(const struct json_node *root, struct container *c, struct error *e)
{
    struct json_node array, n;
    uint32_t count;
    if (json_get_array(root, "mounts", &array, &count, e) < 0)
        return -1;
    if (count > BOOT_MAX_MOUNTS)
        return error_set(e, 0, "%smounts: %u of them, at most %d are possible", root->path, count,
                         BOOT_MAX_MOUNTS);
    bool has_dev = false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = c->mount_count;
        if (json_item_object(&array, i, &n, e) < 0 || parse_mount(&n, c, e) < 0)
            return -1;
        has_dev |= c->mount_count > before && strcmp(c->mounts[before].target, "/dev") == 0;
    }
    if (!has_dev) {
        // Without a mount there the image's own /dev would need device nodes that nobody can make. Before the others,
        // which may lie beneath it.
        struct container_mount dev = *container_add_mount(c, BOOT_MOUNT_DEVTMPFS, "/dev", "tmpfs",
                                                          MS_NOSUID, "size=65536k,mode=755");
        memmove(c->mounts + 1, c->mounts, (c->mount_count - 1) * sizeof(c->mounts[0]));
        c->mounts[0] = dev;
    }
    return 0;
}
