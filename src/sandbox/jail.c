// The jail's part that concerns the process itself: identity, capabilities, limits, descriptors, Landlock, seccomp. See
// jail.h for the order and the contract.

#include "sandbox/jail.h"
#include "host/filter.h"
#include "sandbox/jail-int.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Descriptors that a role may have open: one for each host file in use. The table costs 8 bytes for each.
enum { JAIL_NOFILE_MAX = 65536 };

// What the gofer keeps. With read-only exports alone it can read what the command's user could, and change nothing.
static uint64_t jail_kept_capabilities(const struct jail *j)
{
    if (j->role == JAIL_KERNEL)
        return 0;
    for (uint32_t i = 0; i < j->spec->export_count; i++)
        if (!(j->spec->exports[i].flags & BOOT_EXPORT_READONLY))
            return BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID);
    return BIT(CAP_DAC_READ_SEARCH);
}

static int jail_drop_capabilities(struct jail *j)
{
    uint64_t kept = jail_kept_capabilities(j);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return jail_fail(j, "clear ambient capabilities", -errno);
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (kept >> cap & 1)
            continue;
        // EINVAL: this and all higher numbers don't exist.
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                break;
            return jail_fail(j, "drop a capability from the bounding set", -errno);
        }
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct current[2];
    if (syscall(SYS_capget, &header, current) < 0)
        return jail_fail(j, "read capabilities", -errno);
    struct __user_cap_data_struct data[2] = {0};
    for (int i = 0; i < 2; i++) {
        data[i].permitted = (uint32_t)(kept >> (32 * i)) & current[i].permitted;
        data[i].effective = data[i].permitted;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return jail_fail(j, "drop capabilities", -errno);
    return 0;
}

int jail_become_nobody(struct jail *j)
{
    // A session keyring of its own; a host without keyrings has none to leave.
    (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
    // Where an unprivileged user made the user name space, groups can't be dropped: they are not mapped in it.
    if (setgroups(0, NULL) < 0 && !(errno == EPERM && j->spec->flags & BOOT_ROOTLESS))
        return jail_fail(j, "drop groups", -errno);
    int ret = jail_drop_capabilities(j);
    if (ret < 0)
        return ret;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return jail_fail(j, "set no-new-privileges", -errno);
    // After the change of user, which clears it. The command's death is the sandbox's; the command's socket says so, too,
    // should it have died before this line.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return jail_fail(j, "set the parent-death signal", -errno);
    umask(0);
    return 0;
}

// The soft limit up to the hard one, which only the command may have been able to raise.
static int jail_open_limit(struct jail *j, int resource, uint64_t most, uint64_t *ret)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
        return jail_fail(j, "read a resource limit", -errno);
    limit.rlim_cur = MIN(limit.rlim_max, most);
    if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
        return jail_fail(j, "set a resource limit", -errno);
    *ret = limit.rlim_cur;
    return 0;
}

int jail_reset_limits(struct jail *j)
{
    static const int opened[] = {RLIMIT_FSIZE,      RLIMIT_AS,      RLIMIT_CPU,     RLIMIT_DATA,
                                 RLIMIT_RSS,        RLIMIT_NPROC,   RLIMIT_MEMLOCK, RLIMIT_LOCKS,
                                 RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE};
    uint64_t value;
    for (size_t i = 0; i < ARRAY_SIZE(opened); i++) {
        int ret = jail_open_limit(j, opened[i], RLIM_INFINITY, &value);
        if (ret < 0)
            return ret;
    }
    // With a limit of 0 a core_pattern that names a program would still be run on guest memory; 1 means no core at all.
    struct rlimit core = {1, 1};
    if (setrlimit(RLIMIT_CORE, &core) < 0) {
        core = (struct rlimit){0, 0};
        if (setrlimit(RLIMIT_CORE, &core) < 0)
            return jail_fail(j, "set the core file limit", -errno);
    }
    int ret = jail_open_limit(j, RLIMIT_NOFILE, JAIL_NOFILE_MAX, &value);
    if (ret < 0)
        return ret;
    j->nofile = (int)value;
    return 0;
}

static int jail_close_from(struct jail *j, unsigned first, unsigned last)
{
    if (first <= last && syscall(SYS_close_range, first, last, 0) < 0)
        return jail_fail(j, "close inherited descriptors", -errno);
    return 0;
}

int jail_close_descriptors(struct jail *j)
{
    int ret;
    if (j->role == JAIL_KERNEL) {
        bool counts = j->spec->flags & BOOT_DEBUG_COUNTS;
        if (!j->has_procfs)
            (void)jail_close_from(j, BOOT_FD_PROCFS, BOOT_FD_PROCFS);
        ret = jail_close_from(j, counts ? BOOT_FD_KERNEL_END : BOOT_FD_COUNTS, ~0u);
    } else {
        ret = jail_close_from(j, BOOT_FD_PROCFS, BOOT_FD_EXPORTS - 1);
        if (ret == 0)
            ret = jail_close_from(j, BOOT_FD_EXPORTS + j->spec->export_count, ~0u);
    }
    // The boot spec stays as a mapping.
    return ret < 0 ? ret : jail_close_from(j, BOOT_FD_SPEC, BOOT_FD_SPEC);
}

int jail_grow_descriptor_table(struct jail *j)
{
    int fd = fcntl(BOOT_FD_CONTROL, F_DUPFD_CLOEXEC, j->nofile - 1);
    if (fd < 0)
        return jail_fail(j, "grow the descriptor table", -errno);
    close(fd);
    return 0;
}

// Landlock's interface as of ABI 6, of which the build machine's headers have a part.
struct landlock_attr {
    uint64_t access_fs;
    uint64_t access_net; // ABI 4
    uint64_t scoped;     // ABI 6
};
struct landlock_beneath {
    uint64_t access;
    int32_t parent;
} __attribute__((packed));
enum {
    LANDLOCK_VERSION = 1, // flag of create_ruleset
    LANDLOCK_BENEATH = 1, // rule type
    LANDLOCK_FS_WRITE_FILE = 1 << 1,
    LANDLOCK_FS_READ_FILE = 1 << 2,
    LANDLOCK_FS_READ_DIR = 1 << 3,
    LANDLOCK_FS_TRUNCATE = 1 << 14,
    LANDLOCK_FS_ABI_1 = (1 << 13) - 1,
    LANDLOCK_FS_ABI_2 = (1 << 14) - 1, // and REFER
    LANDLOCK_FS_ABI_3 = (1 << 15) - 1, // and TRUNCATE
    LANDLOCK_FS_ABI_5 = (1 << 16) - 1, // and IOCTL_DEV
    LANDLOCK_FS_EXECUTE = 1 << 0,
    LANDLOCK_FS_MAKE_CHAR = 1 << 6,
    LANDLOCK_FS_MAKE_BLOCK = 1 << 11,
};

static uint64_t landlock_all_access(int abi)
{
    if (abi >= 5)
        return LANDLOCK_FS_ABI_5;
    if (abi >= 3)
        return LANDLOCK_FS_ABI_3;
    return abi == 2 ? LANDLOCK_FS_ABI_2 : LANDLOCK_FS_ABI_1;
}

// What the gofer may do beneath one export: never execute, never make a device.
static uint64_t landlock_export_access(uint32_t flags, uint64_t all)
{
    uint64_t access = LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR;
    if (!(flags & BOOT_EXPORT_READONLY))
        access =
            all & ~(uint64_t)(LANDLOCK_FS_EXECUTE | LANDLOCK_FS_MAKE_CHAR | LANDLOCK_FS_MAKE_BLOCK);
    if (!(flags & BOOT_EXPORT_DIRECTORY))
        access &= LANDLOCK_FS_READ_FILE | LANDLOCK_FS_WRITE_FILE | (all & LANDLOCK_FS_TRUNCATE);
    return access;
}

static int landlock_allow(int ruleset, int directory, uint64_t access)
{
    struct landlock_beneath rule = {.access = access, .parent = directory};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

static int landlock_allow_exports(struct jail *j, int ruleset, uint64_t all)
{
    for (uint32_t i = 0; i < j->spec->export_count; i++) {
        int ret = landlock_allow(ruleset, BOOT_FD_EXPORTS + (int)i,
                                 landlock_export_access(j->spec->exports[i].flags, all));
        if (ret < 0)
            return ret;
    }
    return 0;
}

// The kernel process reads and writes files of its own processes there until it closes the descriptor.
static int landlock_allow_procfs(struct jail *j, int ruleset)
{
    if (!j->has_procfs)
        return 0;
    return landlock_allow(ruleset, BOOT_FD_PROCFS,
                          LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR | LANDLOCK_FS_WRITE_FILE);
}

int jail_restrict_files(struct jail *j)
{
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
    if (abi < 1) {
        j->landlock_abi = 0;
        return 0;
    }
    struct landlock_attr attr = {.access_fs = landlock_all_access(abi)};
    size_t size = sizeof(attr.access_fs);
    if (abi >= 4) {
        attr.access_net = 3; // bind and connect of TCP
        size = offsetof(struct landlock_attr, scoped);
    }
    if (abi >= 6) {
        attr.scoped = 3; // abstract sockets and signals stay within the sandbox
        size = sizeof(attr);
    }
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0)
        return jail_fail(j, "make a Landlock rule set", -errno);
    int ret = j->role == JAIL_GOFER ? landlock_allow_exports(j, ruleset, attr.access_fs)
                                    : landlock_allow_procfs(j, ruleset);
    if (ret == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        ret = -errno;
    close(ruleset);
    if (ret < 0)
        return jail_fail(j, "restrict file access by Landlock", ret);
    j->landlock_abi = abi;
    return 0;
}

int jail_set_dumpable(bool on)
{
    return prctl(PR_SET_DUMPABLE, on ? 1 : 0, 0, 0, 0) < 0 ? -errno : 0;
}

int jail_install_filter(enum jail_filter which, bool trap)
{
    if (trap) {
        int ret = host_filter_catch();
        if (ret < 0)
            return ret;
    }
    return host_filter_install(which == JAIL_FILTER_KERNEL ? HOST_FILTER_KERNEL : HOST_FILTER_GOFER,
                               trap ? HOST_FILTER_TRAP : HOST_FILTER_KILL);
}

int jail_enter(struct jail *j)
{
    static int (*const steps[])(struct jail *) = {
        jail_wait_for_go,    jail_enter_root,        jail_become_nobody,
        jail_reset_limits,   jail_close_descriptors, jail_grow_descriptor_table,
        jail_restrict_files,
    };
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        int ret = steps[i](j);
        if (ret < 0)
            return ret;
    }
    return 0;
}
