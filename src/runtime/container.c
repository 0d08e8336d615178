// Helpers around struct container.

#include "runtime/container.h"
#include <sys/mount.h>
#include <sys/resource.h>

void container_done(struct container *c)
{
    pool_done(&c->pool);
}

struct container_mount *container_add_mount(struct container *c, uint32_t type, const char *target,
                                            const char *source, uint64_t flags, const char *options)
{
    if (c->mount_count == c->mount_room) {
        uint32_t room = c->mount_room ? 2 * c->mount_room : 16;
        struct container_mount *mounts = pool_alloc(&c->pool, room * sizeof(mounts[0]));
        if (c->mount_count)
            memcpy(mounts, c->mounts, c->mount_count * sizeof(mounts[0]));
        c->mounts = mounts;
        c->mount_room = room;
    }
    struct container_mount *m = &c->mounts[c->mount_count++];
    *m = (struct container_mount){
        .type = type,
        .flags = flags,
        .target = pool_strdup(&c->pool, target),
        .source = pool_strdup(&c->pool, source),
        .options = pool_strdup(&c->pool, options),
        .recursive = true,
    };
    return m;
}

static bool has_mount(const struct container *c, const char *target)
{
    for (uint32_t i = 0; i < c->mount_count; i++)
        if (strcmp(c->mounts[i].target, target) == 0)
            return true;
    return false;
}

void container_add_default_mounts(struct container *c)
{
    static const struct {
        uint32_t type;
        const char *target, *source;
        uint64_t flags;
        const char *options;
    } defaults[] = {
        {BOOT_MOUNT_PROC, "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
        {BOOT_MOUNT_SYSFS, "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, ""},
        {BOOT_MOUNT_DEVTMPFS, "/dev", "tmpfs", MS_NOSUID, "size=65536k,mode=755"},
        {BOOT_MOUNT_DEVPTS, "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
         "newinstance,ptmxmode=0666,mode=0620,gid=5"},
        {BOOT_MOUNT_TMPFS, "/dev/shm", "shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        if (!has_mount(c, defaults[i].target))
            container_add_mount(c, defaults[i].type, defaults[i].target, defaults[i].source,
                                defaults[i].flags, defaults[i].options);
}

void container_inherit_rlimits(struct container *c)
{
    for (int i = 0; i < BOOT_MAX_RLIMIT; i++) {
        struct rlimit limit;
        if (c->rlimits[i].set || getrlimit((__rlimit_resource_t)i, &limit) < 0)
            continue;
        c->rlimits[i] =
            (struct boot_rlimit){.set = true, .soft = limit.rlim_cur, .hard = limit.rlim_max};
    }
}

static int find_name(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

int capability_number(const char *name)
{
    static const char *const names[] = {
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    };
    _Static_assert(ARRAY_SIZE(names) == 41, "one name for each capability");
    return find_name(names, ARRAY_SIZE(names), name);
}

int rlimit_number(const char *name)
{
    static const char *const names[] = {
        "CPU",     "FSIZE", "DATA",  "STACK",      "CORE",     "RSS",  "NPROC",  "NOFILE",
        "MEMLOCK", "AS",    "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
    };
    _Static_assert(ARRAY_SIZE(names) == BOOT_MAX_RLIMIT, "one name for each limit");
    return find_name(names, ARRAY_SIZE(names), name);
}
