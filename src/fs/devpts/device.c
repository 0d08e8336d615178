// Device nodes of terminals that lie elsewhere: /dev/tty (5:0), /dev/console (5:1), /dev/ptmx (5:2), and nodes with a slave's
// number, which on Linux open nothing outside of devpts either.
//
// A ptmx outside of devpts belongs to the instance that is mounted at "pts" beside it, as on Linux.
#include <sys/sysmacros.h>

#include "fs/devpts/devpts-int.h"
#include "fs/tty/tty.h"
#include "vfs/hooks.h"
#include "vfs/vfs-int.h"

enum { MAJOR_TTYAUX = 5, MINOR_TTY = 0, MINOR_CONSOLE = 1, MINOR_PTMX = 2 };

// The instance that a ptmx that is open as f belongs to: its root below some mount. References.
static int instance_of(const struct file *f, struct path *ret)
{
    if (f->path.dentry->sb->type == SUPER_DEVPTS) {
        *ret = (struct path){.mount = mount_ref(f->path.mount),
                             .dentry = dentry_ref(f->path.dentry->sb->root)};
        return 0;
    }
    struct path p = {.mount = mount_ref(f->path.mount)};
    struct dentry *dir = dentry_get_parent(f->path.dentry);
    int r = dentry_lookup(dir, "pts", 3, &p.dentry);
    dentry_unref(dir);
    if (r == 0 && p.dentry->inode)
        path_step_down(&p);
    if (r == 0 &&
        (!p.dentry->inode || p.dentry->sb->type != SUPER_DEVPTS || p.dentry != p.dentry->sb->root))
        r = -ENODEV;
    if (r < 0)
        path_put(&p);
    else
        *ret = p;
    return r;
}

int devpts_peer_path(struct file *master, uint32_t number, struct path *ret)
{
    struct path root;
    int r = instance_of(master, &root);
    if (r < 0)
        return r;
    r = devpts_path_of(&root, number, ret);
    path_put(&root);
    return r;
}

static int open_ptmx(struct file *f)
{
    struct path root;
    int r = instance_of(f, &root);
    if (r < 0)
        return r;
    r = devpts_open_ptmx(root.dentry->sb, f);
    path_put(&root);
    return r;
}

static int open_own_terminal(struct task *t, struct file *f)
{
    struct tty *tty = tty_of_task(t);
    if (!tty)
        return -ENXIO;
    int r = tty_open_slave(t, tty, f);
    tty_unref(tty);
    return r;
}

int tty_device_open(struct task *t, struct inode *inode, struct file *f)
{
    if (major(inode->rdev) != MAJOR_TTYAUX)
        return -EIO;
    switch (minor(inode->rdev)) {
    case MINOR_TTY:
        return open_own_terminal(t, f);
    case MINOR_CONSOLE:
        // Never becomes anybody's controlling terminal by being opened.
        return t->kernel->console ? tty_open_slave(NULL, t->kernel->console, f) : -ENODEV;
    case MINOR_PTMX:
        return open_ptmx(f);
    default:
        return -ENXIO;
    }
}
