// process_vm_readv(2) and process_vm_writev(2): between the caller's memory and another process's, through a buffer of the
// kernel's.
//
// Locking: none.
#include <linux/capability.h>

#include "base/checked.h"
#include "base/slab.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/mm.h"

#include "sys/syscalls-gen.h"

#define CHUNK (64ull << 10)

// Whether t may look into target's memory: ptrace(2), "Ptrace access mode checking", PTRACE_MODE_ATTACH_REALCREDS.
static bool may_access(struct task *t, struct task *target, struct mm *mm)
{
    const struct cred *c = t->cred;
    struct cred *other;
    bool same;

    if (t->group == target->group)
        return true;
    other = task_get_cred(target);
    same = c->uid == other->euid && c->uid == other->suid && c->uid == other->uid && c->gid == other->egid &&
           c->gid == other->sgid && c->gid == other->gid && !(other->permitted & ~c->permitted) &&
           __atomic_load_n((uint32_t *)&mm->dumpable, __ATOMIC_RELAXED) == 1;
    cred_put(other);
    return same || capable(t, CAP_SYS_PTRACE);
}

// The remote vector: sizes are checked, addresses only when they are used.
static int copy_in_remote(struct task *t, uaddr_t iov, uint64_t count, struct uio_segment **ret)
{
    struct uio_segment *s;
    uint64_t total = 0;
    int err;

    *ret = NULL;
    if (count > UIO_MAX_SEGMENTS)
        return -EINVAL;
    if (count == 0)
        return 0;
    s = kmalloc(count * sizeof(*s));
    if (!s)
        return -ENOMEM;
    err = copy_in(t, s, iov, count * sizeof(*s));
    for (uint64_t i = 0; i < count && err == 0; i++)
        if (s[i].size > INT64_MAX || !add_u64(total, s[i].size, &total) || total > INT64_MAX)
            err = -EINVAL;
    if (err) {
        kfree(s);
        return err;
    }
    *ret = s;
    return 0;
}

// Moves one remote segment; bytes, or -EFAULT when none.
static int64_t move_segment(struct mm *mm, struct uio *local, const struct uio_segment *s, bool write, char *buf)
{
    uint64_t done = 0;

    while (done < s->size && local->remaining) {
        uint64_t n = MIN(MIN(CHUNK, s->size - done), local->remaining), moved;
        int64_t got;

        if (write) {
            got = uio_get(local, buf, n);
            if (got <= 0)
                return done ? (int64_t)done : got;
            moved = copy_out_mm(mm, s->addr + done, buf, (uint64_t)got);
        } else {
            n = copy_in_mm(mm, buf, s->addr + done, n);
            got = n ? uio_put(local, buf, n) : 0;
            if (got < 0)
                return done ? (int64_t)done : got;
            moved = (uint64_t)got;
        }
        done += moved;
        if (moved == 0 || moved < n)
            break;
    }
    return done || s->size == 0 ? (int64_t)done : -EFAULT;
}

static int64_t transfer(struct mm *mm, struct uio *local, const struct uio_segment *remote, uint64_t count, bool write)
{
    char *buf = kmalloc(MIN(MAX(local->remaining, 1), CHUNK));
    uint64_t done = 0;
    int64_t ret = 0;

    if (!buf)
        return -ENOMEM;
    for (uint64_t i = 0; i < count && local->remaining; i++) {
        ret = move_segment(mm, local, &remote[i], write, buf);
        if (ret < 0)
            break;
        done += (uint64_t)ret;
        if ((uint64_t)ret < remote[i].size)
            break;
    }
    kfree(buf);
    return done ? (int64_t)done : ret;
}

static int64_t process_vm(struct task *t, int pid, uaddr_t local_iov, uint64_t local_count, uaddr_t remote_iov,
                          uint64_t remote_count, uint64_t flags, bool write)
{
    struct uio_segment fixed[8], *segments, *remote;
    struct task *target;
    struct mm *mm;
    struct uio local;
    int64_t ret;

    if (flags || local_count > UIO_MAX_SEGMENTS)
        return -EINVAL;
    ret = uio_init_iovec(&local, t, local_iov, (int64_t)local_count, fixed, &segments);
    if (ret < 0)
        return ret;
    ret = copy_in_remote(t, remote_iov, remote_count, &remote);
    if (ret == 0 && local.remaining && remote_count) {
        target = pid > 0 ? task_find((uint32_t)pid) : NULL;
        mm = target ? task_get_mm(target) : NULL;
        if (!mm)
            ret = -ESRCH;
        else if (!may_access(t, target, mm))
            ret = -EPERM;
        else
            ret = transfer(mm, &local, remote, remote_count, write);
        mm_put(mm);
        if (target)
            task_unref(target);
    }
    kfree(remote);
    if (segments != fixed)
        kfree(segments);
    return ret;
}

int64_t sys_process_vm_readv(struct task *t, int pid, uaddr_t local_iov, uint64_t local_count, uaddr_t remote_iov,
                             uint64_t remote_count, uint64_t flags)
{
    return process_vm(t, pid, local_iov, local_count, remote_iov, remote_count, flags, false);
}

int64_t sys_process_vm_writev(struct task *t, int pid, uaddr_t local_iov, uint64_t local_count, uaddr_t remote_iov,
                              uint64_t remote_count, uint64_t flags)
{
    return process_vm(t, pid, local_iov, local_count, remote_iov, remote_count, flags, true);
}
