// Type numbers to operations. Objects in the arena carry only the numbers (architecture: no code pointer on the heap).
//
// Entries of types that are optional in a build are weak: where the type's file isn't linked, they read as NULL and the type
// cannot occur.
#include "base/log.h"
#include "vfs/vfs-int.h"

#define WEAK __attribute__((weak))

#define WEAK_FILE(name) extern const struct file_ops name WEAK
extern const struct file_ops path_file_ops, dir_file_ops;
WEAK_FILE(tmpfs_file_ops);
WEAK_FILE(tmpfs_dir_file_ops);
WEAK_FILE(hostfs_file_ops);
WEAK_FILE(hostfs_dir_file_ops);
WEAK_FILE(overlay_dir_file_ops);
WEAK_FILE(host_file_ops);
WEAK_FILE(overlay_file_ops);
WEAK_FILE(pipe_file_ops);
WEAK_FILE(eventfd_file_ops);
WEAK_FILE(timerfd_file_ops);
WEAK_FILE(signalfd_file_ops);
WEAK_FILE(epoll_file_ops);
WEAK_FILE(inotify_file_ops);
WEAK_FILE(pidfd_file_ops);
WEAK_FILE(socket_unix_file_ops);
WEAK_FILE(socket_netlink_file_ops);
WEAK_FILE(tty_file_ops);
WEAK_FILE(ptmx_file_ops);
WEAK_FILE(null_file_ops);
WEAK_FILE(zero_file_ops);
WEAK_FILE(full_file_ops);
WEAK_FILE(random_file_ops);
WEAK_FILE(kmsg_file_ops);
WEAK_FILE(proc_file_ops);
WEAK_FILE(proc_dir_file_ops);
WEAK_FILE(proc_mem_file_ops);
WEAK_FILE(sysfs_file_ops);
WEAK_FILE(sysfs_dir_file_ops);
WEAK_FILE(devpts_dir_file_ops);

static const struct file_ops *const file_table[FILE_TYPE_COUNT] = {
    [FILE_PATH] = &path_file_ops,
    [FILE_DIR] = &dir_file_ops,
    [FILE_TMPFS] = &tmpfs_file_ops,
    [FILE_TMPFS_DIR] = &tmpfs_dir_file_ops,
    [FILE_HOSTFS] = &hostfs_file_ops,
    [FILE_HOSTFS_DIR] = &hostfs_dir_file_ops,
    [FILE_OVERLAY_DIR] = &overlay_dir_file_ops,
    [FILE_HOST] = &host_file_ops,
    [FILE_OVERLAY] = &overlay_file_ops,
    [FILE_PIPE] = &pipe_file_ops,
    [FILE_EVENTFD] = &eventfd_file_ops,
    [FILE_TIMERFD] = &timerfd_file_ops,
    [FILE_SIGNALFD] = &signalfd_file_ops,
    [FILE_EPOLL] = &epoll_file_ops,
    [FILE_INOTIFY] = &inotify_file_ops,
    [FILE_PIDFD] = &pidfd_file_ops,
    [FILE_SOCKET_UNIX] = &socket_unix_file_ops,
    [FILE_SOCKET_NETLINK] = &socket_netlink_file_ops,
    [FILE_TTY] = &tty_file_ops,
    [FILE_PTMX] = &ptmx_file_ops,
    [FILE_NULL] = &null_file_ops,
    [FILE_ZERO] = &zero_file_ops,
    [FILE_FULL] = &full_file_ops,
    [FILE_RANDOM] = &random_file_ops,
    [FILE_KMSG] = &kmsg_file_ops,
    [FILE_PROC] = &proc_file_ops,
    [FILE_PROC_DIR] = &proc_dir_file_ops,
    [FILE_PROC_MEM] = &proc_mem_file_ops,
    [FILE_SYSFS] = &sysfs_file_ops,
    [FILE_SYSFS_DIR] = &sysfs_dir_file_ops,
    [FILE_DEVPTS_DIR] = &devpts_dir_file_ops,
};

static const struct file_ops no_file_ops;

const struct file_ops *file_ops(const struct file *f)
{
    BUG_ON(f->type >= FILE_TYPE_COUNT);
    const struct file_ops *ops = file_table[f->type];
    return likely(ops != NULL) ? ops : &no_file_ops;
}

#define WEAK_INODE(name) extern const struct inode_ops name WEAK
WEAK_INODE(tmpfs_reg_inode_ops);
WEAK_INODE(tmpfs_dir_inode_ops);
WEAK_INODE(tmpfs_other_inode_ops);
WEAK_INODE(hostfs_inode_ops);
WEAK_INODE(overlay_inode_ops);
WEAK_INODE(proc_dir_inode_ops);
WEAK_INODE(proc_file_inode_ops);
WEAK_INODE(proc_link_inode_ops);
WEAK_INODE(sysfs_dir_inode_ops);
WEAK_INODE(sysfs_file_inode_ops);
WEAK_INODE(sysfs_link_inode_ops);
WEAK_INODE(devpts_root_inode_ops);
WEAK_INODE(devpts_pty_inode_ops);
WEAK_INODE(host_stdio_inode_ops);

static const struct inode_ops no_inode_ops;

static const struct inode_ops *const inode_table[INODE_TYPE_COUNT] = {
    [INODE_TMPFS_REG] = &tmpfs_reg_inode_ops,     [INODE_TMPFS_DIR] = &tmpfs_dir_inode_ops,
    [INODE_TMPFS_OTHER] = &tmpfs_other_inode_ops, [INODE_HOSTFS] = &hostfs_inode_ops,
    [INODE_OVERLAY] = &overlay_inode_ops,         [INODE_PROC_DIR] = &proc_dir_inode_ops,
    [INODE_PROC_FILE] = &proc_file_inode_ops,     [INODE_PROC_LINK] = &proc_link_inode_ops,
    [INODE_SYSFS_DIR] = &sysfs_dir_inode_ops,     [INODE_SYSFS_FILE] = &sysfs_file_inode_ops,
    [INODE_SYSFS_LINK] = &sysfs_link_inode_ops,   [INODE_DEVPTS_ROOT] = &devpts_root_inode_ops,
    [INODE_DEVPTS_PTY] = &devpts_pty_inode_ops,   [INODE_HOST_STDIO] = &host_stdio_inode_ops,
};

// Also called on inodes that a lock-free walk only believes to be there: any type number gives a table.
const struct inode_ops *inode_ops(const struct inode *inode)
{
    uint8_t type = LOAD_RELAXED(inode->type);
    const struct inode_ops *ops = type < INODE_TYPE_COUNT ? inode_table[type] : NULL;
    return likely(ops != NULL) ? ops : &no_inode_ops;
}

#define WEAK_SUPER(name) extern const struct super_ops name WEAK
WEAK_SUPER(tmpfs_super_ops);
WEAK_SUPER(hostfs_super_ops);
WEAK_SUPER(overlay_super_ops);
WEAK_SUPER(proc_super_ops);
WEAK_SUPER(sysfs_super_ops);
WEAK_SUPER(devtmpfs_super_ops);
WEAK_SUPER(devpts_super_ops);
WEAK_SUPER(mqueue_super_ops);

static const struct super_ops no_super_ops;

static const struct super_ops *const super_table[SUPER_TYPE_COUNT] = {
    [SUPER_TMPFS] = &tmpfs_super_ops,     [SUPER_HOSTFS] = &hostfs_super_ops,
    [SUPER_OVERLAY] = &overlay_super_ops, [SUPER_PROC] = &proc_super_ops,
    [SUPER_SYSFS] = &sysfs_super_ops,     [SUPER_DEVTMPFS] = &devtmpfs_super_ops,
    [SUPER_DEVPTS] = &devpts_super_ops,   [SUPER_MQUEUE] = &mqueue_super_ops,
};

const struct super_ops *super_ops(const struct super_block *sb)
{
    uint8_t type = sb->type;
    const struct super_ops *ops = type < SUPER_TYPE_COUNT ? super_table[type] : NULL;
    return likely(ops != NULL) ? ops : &no_super_ops;
}

const struct super_ops *super_ops_by_type(enum super_type type)
{
    return super_table[type];
}

const struct super_ops *super_ops_by_name(const char *name)
{
    for (int i = 0; i < SUPER_TYPE_COUNT; i++) {
        if (super_table[i] && super_table[i]->name && !strcmp(super_table[i]->name, name))
            return super_table[i];
    }
    return NULL;
}
