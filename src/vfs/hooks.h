// What the file layer calls in types of files that stand in files of their own. Each is weak: where the type isn't built, the
// call is skipped and the feature answers as a kernel without it.
#pragma once

#include "base/types.h"
#include "vfs/file.h"

#define VFS_HOOK __attribute__((weak))

// vfs/pipe.c: open of a FIFO (inode->fifo, blocking rules of fifo(7)). Sets f->type, f->priv.
int fifo_open(struct task *t, struct inode *inode, struct file *f) VFS_HOOK;
// The terminal layer: open of /dev/tty (5:0), /dev/console (5:1), /dev/ptmx (5:2) and ttys. -ENXIO: no such device.
int tty_device_open(struct task *t, struct inode *inode, struct file *f) VFS_HOOK;
// A standard descriptor that is a terminal of the host: its file, called once for each of the three that is one (fs/host/stdio.c;
// fs/host-events.h and fs/host-io.h have what is needed to wait, read and write). -ENOTTY: it is to be treated as any other file.
int tty_host_open(struct task *init, int host_fd, struct file **ret) VFS_HOOK;
// vfs/epoll.c: the file is going away; registrations on it end.
void epoll_file_released(struct file *f) VFS_HOOK;
// vfs/inotify.c: an inode is freed with watches on it, or a change happened. See vfs_notify() in vfs/file.h.
void inotify_inode_gone(struct inode *inode) VFS_HOOK;
void inotify_event(struct inode *inode, uint32_t mask, uint32_t cookie, const char *name, uint32_t len) VFS_HOOK;

// vfs/pipe.c, for splice(2), tee(2), vmsplice(2) and sendfile(2). Files are of type FILE_PIPE.
// In a turn (pipe_read_begin() in vfs/pipe.h): waits until there is something to read (or the end): bytes that can be had, 0 at the end, -EAGAIN with nonblock, -ERESTARTSYS.
int64_t pipe_wait_data(struct task *t, struct file *pipe, bool nonblock) VFS_HOOK;
// Waits until there is room: bytes, -EPIPE (SIGPIPE is the caller's business), -EAGAIN, -ERESTARTSYS.
int64_t pipe_wait_room(struct task *t, struct file *pipe, bool nonblock) VFS_HOOK;
// Copies up to size bytes, offset from the front, without taking them out.
int64_t pipe_peek(struct file *pipe, void *buf, uint64_t offset, uint64_t size) VFS_HOOK;
void pipe_consume(struct file *pipe, uint64_t size) VFS_HOOK;
// Puts bytes in without waiting: how many went in, -EAGAIN, -EPIPE.
int64_t pipe_put(struct file *pipe, const void *buf, uint64_t size) VFS_HOOK;
bool pipe_same(const struct file *a, const struct file *b) VFS_HOOK; // two ends of one pipe
int64_t pipe_fcntl_size(struct task *t, struct file *pipe, bool set, uint64_t size) VFS_HOOK; // F_GETPIPE_SZ, F_SETPIPE_SZ

// sys/ipc-shm.c: an area that maps f, which has f->shm, came (1) or went (-1); mm.lock held. The file is going away.
void shm_mapped(struct file *f, int change) VFS_HOOK;
void shm_file_released(struct file *f) VFS_HOOK;
