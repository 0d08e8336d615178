// Watching files: inotify(7), for the system calls. What the file layer calls is in vfs/hooks.h.
#pragma once

#include "vfs/file.h"

struct file *inotify_create(struct task *t, uint32_t flags, int *ret_error); // flags: O_NONBLOCK
// f is of type FILE_INOTIFY; mask was checked. The watch's number or a negative errno.
int inotify_add(struct task *t, struct file *f, struct inode *inode, uint32_t mask);
int inotify_remove(struct file *f, int wd); // 0 or -EINVAL
