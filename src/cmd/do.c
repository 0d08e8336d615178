// `caisson do`: a command over the host's own root, or a directory, in a sandbox.

#include "cmd/cmd.h"
#include "runtime/state.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>

struct do_options {
    char *root, *cwd, *user, *hostname;
    struct text_list env, volumes;
};

#define DO(field) offsetof(struct do_options, field)
static const struct option do_list[] = {
    {"root", 'r', OPTION_TEXT, DO(root), "DIR", "root file system (default: the host's /)"},
    {"cwd", 'w', OPTION_TEXT, DO(cwd), "DIR",
     "working directory inside (default: the present one if it exists there, else /)"},
    {"env", 'e', OPTION_LIST, DO(env), "NAME=VALUE",
     "set a variable; NAME alone passes the caller's"},
    {"user", 'u', OPTION_TEXT, DO(user), "UID[:GID]",
     "user and group, as numbers (default: the caller's)"},
    {"volume", 'v', OPTION_LIST, DO(volumes), "SRC:DST[:ro]",
     "show the host's SRC at DST, writable or not"},
    {"hostname", 0, OPTION_TEXT, DO(hostname), "NAME", "host name inside"},
};
OPTION_TABLE(do_options_table, struct do_options, do_list);

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static bool has_variable(const struct text_list *env, const char *name)
{
    size_t size = strlen(name);
    for (uint32_t i = 0; i < env->count; i++)
        if (strncmp(env->items[i], name, size) == 0 && env->items[i][size] == '=')
            return true;
    return false;
}

static void pass_variable(struct container *c, const char *name)
{
    const char *value = getenv(name);
    if (value && !has_variable(&c->env, name))
        text_list_add(&c->pool, &c->env, pool_printf(&c->pool, "%s=%s", name, value));
}

// Little of the caller's environment goes in: what programs need to find their way and to speak to the terminal.
static int set_environment(struct container *c, const struct do_options *o, bool host_root,
                           struct error *e)
{
    for (uint32_t i = 0; i < o->env.count; i++) {
        const char *text = o->env.items[i];
        if (text[0] == '=' || !text[0])
            return error_set(e, 0, "--env \"%s\": a name is missing", text);
        if (strchr(text, '='))
            text_list_add(&c->pool, &c->env, text);
        else
            pass_variable(c, text);
    }
    if (host_root) {
        pass_variable(c, "PATH");
        pass_variable(c, "HOME");
    }
    pass_variable(c, "TERM");
    pass_variable(c, "LANG");
    if (!has_variable(&c->env, "PATH"))
        text_list_add(&c->pool, &c->env, DEFAULT_PATH);
    if (!has_variable(&c->env, "HOME"))
        text_list_add(&c->pool, &c->env, c->uid ? "HOME=/" : "HOME=/root");
    return 0;
}

static int set_user(struct container *c, const char *text, struct error *e)
{
    c->uid = geteuid();
    c->gid = getegid();
    if (!text) {
        int count = getgroups(0, NULL);
        c->groups = pool_alloc(&c->pool, (size_t)MAX(count, 0) * sizeof(c->groups[0]));
        count = count > 0 ? getgroups(count, c->groups) : 0;
        c->group_count = (uint32_t)MAX(count, 0);
    } else {
        char *copy = pool_strdup(&c->pool, text);
        char *colon = strchr(copy, ':');
        uint64_t uid, gid;
        if (colon)
            *colon++ = 0;
        // UINT32_MAX is nobody's number: calls take it for "unchanged".
        if (!parse_number(copy, UINT32_MAX - 1, &uid) ||
            !parse_number(colon ? colon : copy, UINT32_MAX - 1, &gid))
            return error_set(
                e, 0, "--user \"%s\": numbers from 0 to 4294967294 are needed, as in 1000:1000",
                text);
        c->uid = (uint32_t)uid;
        c->gid = colon ? (uint32_t)gid : (uint32_t)uid;
    }
    // Root inside has every capability over Caisson's kernel, and none over the host's.
    c->cap_bounding = CAPABILITIES_ALL;
    if (c->uid == 0)
        c->cap_effective = c->cap_permitted = CAPABILITIES_ALL;
    return 0;
}

static int add_volume(struct container *c, const char *text, struct error *e)
{
    char *copy = pool_strdup(&c->pool, text);
    char *target = strchr(copy, ':');
    char *mode = target ? strchr(target + 1, ':') : NULL;
    if (target)
        *target++ = 0;
    if (mode)
        *mode++ = 0;
    if (!target || target[0] != '/' || !target[1] || !copy[0])
        return error_set(
            e, 0, "--volume \"%s\": SRC:DST or SRC:DST:ro is needed, DST absolute and not /", text);
    if (mode && strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
        return error_set(e, 0, "--volume \"%s\": \"%s\" is neither ro nor rw", text, mode);
    char real[PATH_MAX];
    if (!realpath(copy, real))
        return error_set(e, errno, "--volume %s", copy);
    container_add_mount(c, BOOT_MOUNT_BIND, target, real, mode && mode[1] == 'o' ? MS_RDONLY : 0,
                        "");
    return 0;
}

static int set_directories(struct container *c, const struct do_options *o, struct error *e)
{
    char real[PATH_MAX], here[PATH_MAX];
    const char *root = o->root ? o->root : "/";
    struct stat st;
    if (!realpath(root, real) || stat(real, &st) < 0)
        return error_set(e, errno, "root %s", root);
    if (!S_ISDIR(st.st_mode))
        return error_set(e, ENOTDIR, "root %s", root);
    c->root_path = pool_strdup(&c->pool, real);
    if (o->cwd && o->cwd[0] != '/')
        return error_set(e, 0, "--cwd \"%s\": an absolute path is needed", o->cwd);
    if (o->cwd)
        c->cwd = pool_strdup(&c->pool, o->cwd);
    else if (strcmp(real, "/") == 0 && getcwd(here, sizeof(here)) && here[0] == '/')
        c->cwd = pool_strdup(&c->pool, here);
    else
        c->cwd = pool_strdup(&c->pool, "/");
    return 0;
}

static int make_container(struct command_context *ctx, struct container *c,
                          const struct do_options *o, int argc, char **argv)
{
    struct error *e = &ctx->error;
    uint64_t bits;
    if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
        return error_set(e, errno, "get random bytes");
    c->id = pool_printf(&c->pool, "do-%016llx", (unsigned long long)bits);
    if (o->hostname && (!o->hostname[0] || strlen(o->hostname) > 64))
        return error_set(e, 0, "--hostname: 1 to 64 bytes are needed");
    c->hostname = o->hostname;
    c->umask = umask(0);
    umask(c->umask);
    c->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (set_user(c, o->user, e) < 0 || set_directories(c, o, e) < 0 ||
        set_environment(c, o, strcmp(c->root_path, "/") == 0, e) < 0)
        return -1;
    container_add_default_mounts(c);
    for (uint32_t i = 0; i < o->volumes.count; i++)
        if (add_volume(c, o->volumes.items[i], e) < 0)
            return -1;
    container_inherit_rlimits(c);
    for (int i = 0; i < argc; i++)
        text_list_add(&c->pool, &c->args, argv[i]);
    return 0;
}

static int do_run(struct command_context *ctx, void *options, int argc, char **argv)
{
    struct container c = {0};
    int status = EXIT_SANDBOX;
    if (make_container(ctx, &c, options, argc, argv) == 0)
        status = run_container(ctx, &c, NULL);
    container_done(&c);
    return status;
}

const struct command command_do = {
    .name = "do",
    .arguments = "[--] COMMAND [ARGUMENT...]",
    .summary = "run a command over the host's files in a sandbox",
    .description = "The root is read-only below; what the command writes lives in the sandbox and "
                   "ends with it.\n"
                   "The exit status is the command's, 128+n when a signal ended it, 127 when it "
                   "wasn't found, 126 when\n"
                   "it could not be executed, 125 when the sandbox failed.",
    .options = &do_options_table,
    .program_follows = true,
    .least = 1,
    .most = -1,
    .run = do_run,
};
