// Terminals, for those outside of src/fs/tty: devpts, which names them, system calls, procfs, the start.
#pragma once

#include "base/types.h"

struct file;
struct inode;
struct kernel;
struct path;
struct session;
struct super_block;
struct task;
struct thread_group;
struct tty;

// A terminal of devpts instance sb, which it holds a reference on, with one reference: the caller's. The number goes back to the
// instance, by devpts_number_free(), with the last reference. A pty is locked, and its master is not yet open.
enum tty_kind { TTY_PTY, TTY_CONSOLE };
int tty_create(enum tty_kind kind, struct super_block *sb, uint32_t number, struct tty **ret);
struct tty *tty_ref(struct tty *tty);
void tty_unref(struct tty *tty); // NULL is allowed; tasks_lock may be held
uint32_t tty_number(const struct tty *tty);
uint64_t tty_device(const struct tty *tty); // st_rdev

// Opening: sets f->type and f->priv, which takes a reference of its own. 0, -EIO (locked, hung up), -EBUSY (TIOCEXCL). t is NULL
// during the start. The slave becomes the controlling terminal as tty_ioctl(4) says, unless f->flags has O_NOCTTY.
int tty_open_slave(struct task *t, struct tty *tty, struct file *f);
void tty_open_master(struct tty *tty, struct file *f);
// The terminal that an open file is, or NULL; no reference of its own.
struct tty *tty_of_file(const struct file *f);

// Session t's controlling terminal: a reference, or NULL.
struct tty *tty_of_task(struct task *t);
// What /proc/PID/stat shows: the device number (0: none) and the foreground group (-1: none). tasks_lock held.
uint32_t tty_of_group_locked(const struct thread_group *g, int32_t *foreground);
// Hangs the terminal up: its open files answer as after the end, its session loses it. No lock held.
void tty_hangup(struct tty *tty);
// setsid's, exit's and TIOCNOTTY's: see kernel/task.h.
void tty_session_leader_exit_locked(struct session *s);
// A controlling terminal for the session that t leads; for the start.
void tty_set_controlling(struct task *t, struct tty *tty);

// The console: the host's terminal (console.c).
int tty_host_open(struct task *t, int host_fd, struct file **ret);
void tty_console_resized(struct kernel *k, uint16_t rows, uint16_t columns);
// The command has given the host's terminal to the sandbox, or taken it back: whether input may be read.
void tty_console_give(struct kernel *k, bool ours);
// Waits until the host has got what was written, for as long as the host takes something.
void tty_console_drain(struct kernel *k);
// Bodies of its service threads.
void console_read_main(struct tty *tty);
void console_write_main(struct tty *tty);

// fs/devpts: the console's terminal, with one reference, and its first open file.
int devpts_console_create(struct task *t, struct tty **ret);
int devpts_console_open(struct task *t, struct tty *tty, struct file **ret);
// The name of a terminal goes, as its master closes; its number is free again.
void devpts_name_remove(struct super_block *sb, uint32_t number);
void devpts_number_free(struct super_block *sb, uint32_t number);
// The path of a terminal's name below the mount that a master was opened through, for TIOCGPTPEER. References.
int devpts_peer_path(struct file *master, uint32_t number, struct path *ret);
