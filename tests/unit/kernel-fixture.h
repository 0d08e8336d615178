// A kernel with a file layer and one task that has no thread: for tests of files that don't sleep.
#pragma once

#include <sys/mman.h>

#include "kernel/kernel-start.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/memfile.h"
#include "sandbox/boot-spec.h"
#include "unit.h"
#include "vfs/vfs-int.h"

// The tables of types refer to file systems weakly: this links the ones that the file layer needs.
extern const struct super_ops tmpfs_super_ops;
extern const struct inode_ops tmpfs_dir_inode_ops, tmpfs_reg_inode_ops;
const void *const fixture_linked[] = {&tmpfs_super_ops, &tmpfs_dir_inode_ops, &tmpfs_reg_inode_ops};

// What the end of tasks calls in layers above; no task ends here.
__attribute__((weak)) void sem_undo_exit(struct task *t)
{
}
__attribute__((weak)) void tty_session_leader_exit_locked(struct session *s)
{
}

static struct task *task;

static inline void fixture_memory_file(struct kernel *k)
{
    int fd = memfd_create("memory", 0);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    assert_int_equal(memfile_init(&k->memfile, fd, open(path, O_RDONLY), 64 << 20), 0);
}

static inline struct task *fixture_task(struct cred *cred, uint32_t tgid)
{
    struct task *t = kmalloc(sizeof(*t));
    t->group = kmalloc(sizeof(*t->group));
    refcount_init(&t->group->refs, 1);
    t->group->tgid = tgid;
    t->kernel = the_kernel();
    lock_init(&t->lock, LOCK_RANK_TASK);
    for (int i = 0; i < RLIMIT_COUNT; i++)
        t->group->limits[i] = (struct rlimit_value){1024, 1024};
    t->cred = cred;
    assert_int_equal(vfs_init_task(t), 0);
    return t;
}

static inline int fixture_setup(void **state)
{
    static struct boot_spec spec = {.id = "test", .hostname = "h", .domainname = "", .umask = 022};
    struct kernel *k;
    if (setup_arena(state) < 0 || kernel_create(&spec, &k) < 0)
        return -1;
    k->memory_limit = 256 << 20;
    fixture_memory_file(k);
    if (users_init(k) < 0 || vfs_init(k) < 0)
        return -1;
    task = fixture_task(cred_copy(k->vfs->kernel_cred), 100);
    return 0;
}

// Reads and writes as a system call would, from kernel memory.
static inline int64_t fixture_read(struct file *f, void *buf, uint64_t size)
{
    struct uio u;
    struct uio_segment one;
    uint64_t pos = 0;
    uio_init_kernel(&u, &one, buf, size);
    return file_ops(f)->read(f, &u, &pos);
}

static inline int64_t fixture_write(struct file *f, const void *buf, uint64_t size)
{
    struct uio u;
    struct uio_segment one;
    uint64_t pos = 0;
    uio_init_kernel(&u, &one, (void *)buf, size);
    return file_ops(f)->write(f, &u, &pos);
}
