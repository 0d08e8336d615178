// Reading config.json (OCI runtime specification 1.3.0): root, process, mounts, what linux.* asks for. The mount table's
// options are in config-mounts.c.

#include "runtime/config.h"
#include "runtime/config-int.h"
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>

static int parse_version(const struct json_node *n, struct error *e)
{
    const char *version = NULL;
    if (json_get_text(n, "ociVersion", &version, e) < 0)
        return -1;
    if (!version)
        return json_fail(n, "ociVersion", e, "is missing");
    if (strncmp(version, "1.", 2) != 0)
        return error_set(e, 0, "%sociVersion: version \"%s\" is not supported (1.x is)", n->path,
                         version);
    return 0;
}

static char *path_in_bundle(struct container *c, const char *path)
{
    return path[0] == '/' ? pool_strdup(&c->pool, path)
                          : pool_printf(&c->pool, "%s/%s", c->bundle, path);
}

static int parse_root(const struct json_node *n, struct container *c, struct error *e)
{
    struct json_node root;
    const char *path = NULL;
    if (json_get_object(n, "root", &root, e) < 0)
        return -1;
    if (!root.value)
        return json_fail(n, "root", e, "is missing");
    if (json_get_text(&root, "path", &path, e) < 0 ||
        json_get_bool(&root, "readonly", &c->root_readonly, e) < 0)
        return -1;
    if (!path || !*path)
        return json_fail(&root, "path", e, "is missing");
    c->root_path = path_in_bundle(c, path);
    return 0;
}

static int parse_user(const struct json_node *process, struct container *c, struct error *e)
{
    struct json_node user, gids;
    uint64_t uid = 0, gid = 0, mask = c->umask;
    uint32_t count;
    // UINT32_MAX is "no id" to every call that takes one.
    if (json_get_object(process, "user", &user, e) < 0 ||
        json_get_number(&user, "uid", UINT32_MAX - 1, &uid, e) < 0 ||
        json_get_number(&user, "gid", UINT32_MAX - 1, &gid, e) < 0 ||
        json_get_number(&user, "umask", 0777, &mask, e) < 0 ||
        json_get_array(&user, "additionalGids", &gids, &count, e) < 0)
        return -1;
    c->uid = (uint32_t)uid;
    c->gid = (uint32_t)gid;
    c->umask = (uint32_t)mask;
    if (count > BOOT_MAX_GROUPS)
        return json_fail(&user, "additionalGids", e, "has more than 65536 groups");
    c->groups = pool_alloc(&c->pool, count * sizeof(c->groups[0]));
    c->group_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number;
        if (json_item_number(&gids, i, UINT32_MAX - 1, &number, e) < 0)
            return -1;
        c->groups[i] = (uint32_t)number;
    }
    return 0;
}

static int parse_capability_set(const struct json_node *n, const char *key, struct container *c,
                                uint64_t *ret, struct error *e)
{
    struct json_node array;
    uint32_t count;
    *ret = 0;
    if (json_get_array(n, key, &array, &count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const char *name;
        if (json_item_text(&array, i, &name, e) < 0)
            return -1;
        int number = strncmp(name, "CAP_", 4) == 0 ? capability_number(name + 4) : -1;
        if (number < 0)
            // As the specification wants it since 1.1: a name that the kernel doesn't have is not an error.
            text_list_add(&c->pool, &c->warnings,
                          pool_printf(&c->pool, "unknown capability \"%s\" is ignored", name));
        else
            *ret |= BIT(number);
    }
    return 0;
}

static int parse_capabilities(const struct json_node *process, struct container *c, struct error *e)
{
    struct json_node n;
    if (json_get_object(process, "capabilities", &n, e) < 0)
        return -1;
    if (!n.value)
        return 0;
    return parse_capability_set(&n, "bounding", c, &c->cap_bounding, e) < 0 ||
                   parse_capability_set(&n, "effective", c, &c->cap_effective, e) < 0 ||
                   parse_capability_set(&n, "inheritable", c, &c->cap_inheritable, e) < 0 ||
                   parse_capability_set(&n, "permitted", c, &c->cap_permitted, e) < 0 ||
                   parse_capability_set(&n, "ambient", c, &c->cap_ambient, e) < 0
               ? -1
               : 0;
}

static int parse_rlimits(const struct json_node *process, struct container *c, struct error *e)
{
    struct json_node array, n;
    uint32_t count;
    if (json_get_array(process, "rlimits", &array, &count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const char *type = "";
        struct boot_rlimit limit = {.set = true};
        if (json_item_object(&array, i, &n, e) < 0 || json_get_text(&n, "type", &type, e) < 0 ||
            json_get_number(&n, "soft", UINT64_MAX, &limit.soft, e) < 0 ||
            json_get_number(&n, "hard", UINT64_MAX, &limit.hard, e) < 0)
            return -1;
        int number = strncmp(type, "RLIMIT_", 7) == 0 ? rlimit_number(type + 7) : -1;
        if (number < 0)
            return error_set(e, 0, "%stype: unknown limit \"%s\"", n.path, type);
        if (c->rlimits[number].set)
            return error_set(e, 0, "%stype: %s is there twice", n.path, type);
        if (limit.soft > limit.hard)
            return error_set(e, 0, "%ssoft: is above the hard limit", n.path);
        c->rlimits[number] = limit;
    }
    return 0;
}

static int parse_console(const struct json_node *process, struct container *c, struct error *e)
{
    struct json_node size;
    uint64_t height = 0, width = 0;
    if (json_get_bool(process, "terminal", &c->terminal, e) < 0 ||
        json_get_object(process, "consoleSize", &size, e) < 0 ||
        json_get_number(&size, "height", UINT16_MAX, &height, e) < 0 ||
        json_get_number(&size, "width", UINT16_MAX, &width, e) < 0)
        return -1;
    c->console_rows = (uint16_t)height;
    c->console_cols = (uint16_t)width;
    return 0;
}

static int check_environment(const struct json_node *process, const struct container *c,
                             struct error *e)
{
    for (uint32_t i = 0; i < c->env.count; i++)
        if (!strchr(c->env.items[i], '='))
            return error_set(e, 0, "%senv[%u]: \"%s\" is not of the form NAME=VALUE", process->path,
                             i, c->env.items[i]);
    return 0;
}

static void note_unsupported(const struct json_node *n, const char *key, struct container *c,
                             const char *what)
{
    struct json_object *value = NULL;
    if (n->value && json_object_is_type(n->value, json_type_object) &&
        json_object_object_get_ex(n->value, key, &value) && value)
        text_list_add(&c->pool, &c->warnings,
                      pool_printf(&c->pool, "%s%s: %s", n->path, key, what));
}

static int parse_process(const struct json_node *root, struct container *c, struct error *e)
{
    struct json_node n;
    const char *cwd = NULL;
    int64_t oom = 0;
    if (json_get_object(root, "process", &n, e) < 0)
        return -1;
    if (!n.value)
        return json_fail(root, "process", e, "is missing");
    if (json_get_text_list(&n, "args", &c->pool, &c->args, e) < 0 ||
        json_get_text_list(&n, "env", &c->pool, &c->env, e) < 0 ||
        json_get_text(&n, "cwd", &cwd, e) < 0 || parse_console(&n, c, e) < 0 ||
        parse_user(&n, c, e) < 0 || parse_capabilities(&n, c, e) < 0 ||
        parse_rlimits(&n, c, e) < 0 ||
        json_get_bool(&n, "noNewPrivileges", &c->no_new_privs, e) < 0 ||
        json_get_signed(&n, "oomScoreAdj", -1000, 1000, &oom, e) < 0 ||
        check_environment(&n, c, e) < 0)
        return -1;
    if (!c->args.count || !c->args.items[0][0])
        return json_fail(&n, "args", e, "must name a program");
    if (!cwd || cwd[0] != '/')
        return json_fail(&n, "cwd", e, "must be an absolute path");
    c->cwd = pool_strdup(&c->pool, cwd);
    c->oom_score_adj = (int32_t)oom;
    note_unsupported(&n, "apparmorProfile", c,
                     "is not applied: the host's security module sees no guest process");
    note_unsupported(&n, "selinuxLabel", c,
                     "is not applied: the host's security module sees no guest process");
    note_unsupported(&n, "scheduler", c, "is not applied");
    note_unsupported(&n, "ioPriority", c, "is not applied");
    return 0;
}

static int parse_hostname(const struct json_node *root, const char *key, struct container *c,
                          char **ret, struct error *e)
{
    const char *name = NULL;
    if (json_get_text(root, key, &name, e) < 0)
        return -1;
    if (name && strlen(name) > 64)
        return json_fail(root, key, e, "is longer than 64 bytes");
    if (name)
        *ret = pool_strdup(&c->pool, name);
    return 0;
}

static int parse_hooks(const struct json_node *root, struct error *e)
{
    static const char *const kinds[] = {"prestart",       "createRuntime", "createContainer",
                                        "startContainer", "poststart",     "poststop"};
    struct json_node hooks, list;
    if (json_get_object(root, "hooks", &hooks, e) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        uint32_t count;
        if (json_get_array(&hooks, kinds[i], &list, &count, e) < 0)
            return -1;
        if (count)
            return json_fail(&hooks, kinds[i], e, "hooks are not supported yet");
    }
    return 0;
}

static int parse_resources(const struct json_node *linux_node, struct container *c, struct error *e)
{
    struct json_node resources, memory, pids;
    int64_t memory_limit = 0, pids_limit = 0;
    if (json_get_object(linux_node, "resources", &resources, e) < 0 ||
        json_get_object(&resources, "memory", &memory, e) < 0 ||
        json_get_signed(&memory, "limit", -1, INT64_MAX, &memory_limit, e) < 0 ||
        json_get_object(&resources, "pids", &pids, e) < 0 ||
        json_get_signed(&pids, "limit", -1, INT64_MAX, &pids_limit, e) < 0)
        return -1;
    c->memory_limit = memory_limit > 0 ? (uint64_t)memory_limit : 0;
    // The specification's "no limit" is 0 or less.
    c->pids_limit = pids_limit > 0 ? (uint32_t)MIN(pids_limit, (int64_t)INT32_MAX) : 0;
    note_unsupported(&resources, "cpu", c, "is not applied: control groups are not supported yet");
    note_unsupported(&resources, "blockIO", c,
                     "is not applied: control groups are not supported yet");
    note_unsupported(&resources, "hugepageLimits", c,
                     "is not applied: control groups are not supported yet");
    note_unsupported(&resources, "unified", c,
                     "is not applied: control groups are not supported yet");
    return 0;
}

static int parse_namespaces(const struct json_node *linux_node, struct container *c,
                            struct error *e)
{
    struct json_node array, n;
    uint32_t count;
    if (json_get_array(linux_node, "namespaces", &array, &count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const char *type = NULL, *path = NULL;
        if (json_item_object(&array, i, &n, e) < 0 || json_get_text(&n, "type", &type, e) < 0 ||
            json_get_text(&n, "path", &path, e) < 0)
            return -1;
        if (!type)
            return json_fail(&n, "type", e, "is missing");
        if (!path || !*path)
            continue;
        // A network name space matters to nobody while there is no network inside; the others would have to be shared
        // with another container.
        if (strcmp(type, "network") != 0)
            return error_set(e, 0, "%spath: joining an existing %s name space is not supported yet",
                             n.path, type);
        text_list_add(
            &c->pool, &c->warnings,
            pool_printf(&c->pool,
                        "%spath: the network name space is not joined: there is no network yet",
                        n.path));
    }
    return 0;
}

static int parse_linux(const struct json_node *root, struct container *c, struct error *e)
{
    struct json_node n;
    if (json_get_object(root, "linux", &n, e) < 0)
        return -1;
    if (!n.value)
        return 0;
    if (parse_resources(&n, c, e) < 0 || parse_namespaces(&n, c, e) < 0 ||
        json_get_text_list(&n, "maskedPaths", &c->pool, &c->masked_paths, e) < 0 ||
        json_get_text_list(&n, "readonlyPaths", &c->pool, &c->readonly_paths, e) < 0)
        return -1;
    note_unsupported(&n, "seccomp", c, "is not applied: guest calls never reach the host's kernel");
    note_unsupported(&n, "uidMappings", c, "is not applied: guest ids are Caisson's own");
    note_unsupported(&n, "sysctl", c, "is not applied");
    note_unsupported(&n, "intelRdt", c, "is not applied");
    note_unsupported(&n, "netDevices", c, "is not applied: there is no network yet");
    return 0;
}

static int parse_annotations(const struct json_node *root, struct container *c, struct error *e)
{
    struct json_node n;
    if (json_get_object(root, "annotations", &n, e) < 0)
        return -1;
    if (!n.value)
        return 0;
    json_object_object_foreach(n.value, key, value)
    {
        if (!json_object_is_type(value, json_type_string))
            return json_fail(&n, key, e, "must be a text");
    }
    c->annotations =
        pool_strdup(&c->pool, json_object_to_json_string_ext(n.value, JSON_C_TO_STRING_PLAIN));
    return 0;
}

int config_parse(const char *text, uint64_t size, struct container *c, struct error *e)
{
    struct json_object *object = NULL;
    if (json_parse(text, size, &object, e) < 0)
        return error_prefix(e, "config.json");
    struct json_node root = json_root(object, "config.json");
    c->umask = 022;
    int ret = 0;
    if (!json_object_is_type(object, json_type_object))
        ret = error_set(e, 0, "config.json: must be an object");
    else if (parse_version(&root, e) < 0 || parse_root(&root, c, e) < 0 ||
             parse_process(&root, c, e) < 0 ||
             parse_hostname(&root, "hostname", c, &c->hostname, e) < 0 ||
             parse_hostname(&root, "domainname", c, &c->domainname, e) < 0 ||
             config_parse_mounts(&root, c, e) < 0 || parse_hooks(&root, e) < 0 ||
             parse_linux(&root, c, e) < 0 || parse_annotations(&root, c, e) < 0)
        ret = -1;
    json_object_put(object);
    return ret;
}

int config_load(const char *bundle, struct container *c, struct error *e)
{
    char real[PATH_MAX];
    if (!realpath(bundle, real))
        return error_set(e, errno, "bundle %s", bundle);
    c->bundle = pool_strdup(&c->pool, real);
    int FD_AUTO dir = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set(e, errno, "bundle %s", bundle);
    int FD_AUTO fd = openat(dir, "config.json", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set(e, errno, "%s/config.json (`caisson spec` writes one to begin with)",
                         real);
    char *text;
    uint64_t size;
    if (read_whole(&c->pool, fd, CONFIG_FILE_MAX, &text, &size, e) < 0)
        return error_prefix(e, "%s/config.json", real);
    return config_parse(text, size, c, e);
}
