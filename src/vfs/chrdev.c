// Character devices by number: which file a device node opens.
//
// DEVIATION: block devices and numbers that aren't listed here answer ENXIO; the sandbox has no such devices.
#include <sys/sysmacros.h>

#include "vfs/hooks.h"
#include "vfs/vfs-int.h"

enum {
    MAJOR_MEM = 1,
    MAJOR_TTYAUX = 5,
    MAJOR_PTY_FIRST = 136,
    MAJOR_PTY_LAST = 143,
};

static int open_mem(uint32_t device, struct file *f)
{
    switch (device) {
    case 3:
        f->type = FILE_NULL;
        break;
    case 5:
        f->type = FILE_ZERO;
        break;
    case 7:
        f->type = FILE_FULL;
        break;
    case 8:
    case 9:
        f->type = FILE_RANDOM;
        break;
    case 11:
        f->type = FILE_KMSG;
        break;
    default:
        return -ENXIO;
    }
    f->seekable = true;
    if (f->type == FILE_KMSG) {
        f->seekable = false;
        if (!file_ops(f)->read && !file_ops(f)->write)
            return -ENXIO;
    }
    return 0;
}

int chrdev_open(struct inode *inode, struct file *f, struct task *t)
{
    uint32_t number = major(inode->rdev);
    if (number == MAJOR_MEM)
        return open_mem(minor(inode->rdev), f);
    if (number == MAJOR_TTYAUX || (number >= MAJOR_PTY_FIRST && number <= MAJOR_PTY_LAST))
        return tty_device_open ? tty_device_open(t, inode, f) : -ENXIO;
    return -ENXIO;
}
