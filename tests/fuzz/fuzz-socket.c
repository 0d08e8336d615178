// What a guest says to sockets: control data and addresses of any bytes and sizes. Nothing may be left behind.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/slab.h"
#include "kernel/kernel-start.h"
#include "kernel/task.h"
#include "mm/memfile.h"
#include "net/unix/unix-int.h"
#include "sandbox/boot-spec.h"
#include "vfs/eventfd.h"
#include "vfs/vfs-int.h"

extern const struct super_ops tmpfs_super_ops;
extern const struct inode_ops tmpfs_dir_inode_ops, tmpfs_reg_inode_ops;
const void *const linked[] = {&tmpfs_super_ops, &tmpfs_dir_inode_ops, &tmpfs_reg_inode_ops};

__attribute__((weak)) void sem_undo_exit(struct task *t)
{
}
__attribute__((weak)) void tty_session_leader_exit_locked(struct session *s)
{
}

SLAB_TYPE(socket_type, SLAB_UNIX_SOCKET, struct unix_socket);

static struct task *task;
static struct file *counter;

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void start(void)
{
    static struct boot_spec spec = {.id = "fuzz", .hostname = "h", .domainname = "", .umask = 022};
    struct kernel *k = NULL;
    char path[64];
    int fd = memfd_create("memory", 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    check(arena_init(0, 1ull << 30) == 0 && kernel_create(&spec, &k) == 0);
    k->memory_limit = 256 << 20;
    check(memfile_init(&k->memfile, fd, open(path, O_RDONLY), 64 << 20) == 0);
    check(users_init(k) == 0 && vfs_init(k) == 0);
    task = kmalloc(sizeof(*task));
    task->group = kmalloc(sizeof(*task->group));
    refcount_init(&task->group->refs, 1);
    task->group->tgid = 100;
    task->kernel = k;
    lock_init(&task->lock, LOCK_RANK_TASK);
    for (int i = 0; i < RLIMIT_COUNT; i++)
        task->group->limits[i] = (struct rlimit_value){64, 64};
    task->cred = cred_copy(k->vfs->kernel_cred);
    task->cred->effective = 0;
    check(vfs_init_task(task) == 0);
    counter = eventfd_create(0, false, 0);
    check(fd_install(task, counter, false, 0) == 0);
}

static void try_control(const uint8_t *data, size_t size)
{
    struct scm scm;
    uint32_t before = refcount_read(&counter->refs);
    if (scm_parse(task, data, size, &scm) == 0) {
        check(!scm.files || (scm.files->count > 0 && scm.files->count <= SCM_FILES_MAX));
        scm_done(&scm);
    }
    check(refcount_read(&counter->refs) == before);
}

static void try_address(const uint8_t *data, size_t size)
{
    struct socket_address a = {.size = (uint32_t)size};
    struct socket *s[2];
    if (size > sizeof(a.bytes))
        return;
    memcpy(a.bytes, data, size);
    for (int i = 0; i < 2; i++)
        check(unix_socket_ops.create(task, SOCK_DGRAM, 0, &s[i]) == 0);
    if (size >= 2 && unix_socket_ops.bind(task, s[0], &a) == 0) {
        struct socket_address got;
        check(unix_socket_ops.get_name(s[0], false, &got) == 0);
        check(got.size >= 2 && got.size <= sizeof(got.bytes));
        got.size = MIN(got.size, 110u); // the longest path's NUL is counted but not accepted
        check(unix_socket_ops.connect(task, s[1], &got, true) == 0);
    }
    (void)unix_socket_ops.connect(task, s[1], &a, true);
    unix_socket_ops.release(s[1]);
    unix_socket_ops.release(s[0]);
    check(slab_count(&socket_type) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!task)
        start();
    if (size == 0)
        return 0;
    if (data[0] & 1)
        try_control(data + 1, size - 1);
    else
        try_address(data + 1, size - 1);
    return 0;
}
