// Credentials: the get and set calls for users, groups and capabilities. credentials(7),
// capabilities(7).
//
// A change makes a copy of the task's credentials, alters it, and publishes it; nothing is changed
// in place. Linux's credentials are those of a thread; libc makes the other threads follow.

#include "abi/capability.h"
#include "base/slab.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "sys/cred-int.h"
#include "sys/syscalls-gen.h"
#include <stdatomic.h>

#define NO_ID UINT32_MAX

// Dropped from or added to the effective set when the file system user leaves or becomes root
// (CAP_FS_MASK).
#define CAPS_OF_FS                                                                         \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) | \
     BIT(CAP_FSETID) | BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_MKNOD) | BIT(CAP_MAC_OVERRIDE))

int64_t cred_commit(struct task *t, struct cred *n)
{
    const struct cred *old = t->cred;
    // What the process could reach as another user must not be readable by its new one.
    if (old->euid != n->euid || old->egid != n->egid || old->fsuid != n->fsuid ||
        old->fsgid != n->fsgid || (n->permitted & ~old->permitted)) {
        atomic_store(&t->mm->dumpable, 0);
        t->pdeath_signal = 0;
    }
    task_set_cred(t, n);
    return 0;
}

// ---- Reading ----

int64_t sys_getuid(struct task *t)
{
    return t->cred->uid;
}

int64_t sys_geteuid(struct task *t)
{
    return t->cred->euid;
}

int64_t sys_getgid(struct task *t)
{
    return t->cred->gid;
}

int64_t sys_getegid(struct task *t)
{
    return t->cred->egid;
}

static int64_t copy_out_three(struct task *t, const uaddr_t to[3], const uint32_t ids[3])
{
    for (int i = 0; i < 3; i++) {
        if (copy_out_value(t, to[i], &ids[i]) < 0)
            return -EFAULT;
    }
    return 0;
}

int64_t sys_getresuid(struct task *t, uaddr_t ruid, uaddr_t euid, uaddr_t suid)
{
    const struct cred *c = t->cred;
    return copy_out_three(t, (uaddr_t[]){ruid, euid, suid}, (uint32_t[]){c->uid, c->euid, c->suid});
}

int64_t sys_getresgid(struct task *t, uaddr_t rgid, uaddr_t egid, uaddr_t sgid)
{
    const struct cred *c = t->cred;
    return copy_out_three(t, (uaddr_t[]){rgid, egid, sgid}, (uint32_t[]){c->gid, c->egid, c->sgid});
}

// ---- Users ----

// Capabilities follow the user ids' way from and to root. Linux: cap_emulate_setxuid().
static void follow_root(struct cred *n, const struct cred *old)
{
    if (n->securebits & SECURE_NO_SETUID_FIXUP)
        return;
    bool was_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
    bool is_root = n->uid == 0 || n->euid == 0 || n->suid == 0;
    if (was_root && !is_root) {
        if (!(n->securebits & SECURE_KEEP_CAPS))
            n->permitted = n->effective = 0;
        n->ambient = 0;
    }
    if (old->euid == 0 && n->euid != 0)
        n->effective = 0;
    if (old->euid != 0 && n->euid == 0)
        n->effective = n->permitted;
}

int64_t sys_setuid(struct task *t, uint32_t uid)
{
    const struct cred *old = t->cred;
    if (uid == NO_ID)
        return -EINVAL;
    struct cred *n = cred_copy(old);
    if (!n)
        return -ENOMEM;
    if (capable(t, CAP_SETUID)) {
        n->uid = n->suid = uid;
    } else if (uid != old->uid && uid != old->suid) {
        cred_put(n);
        return -EPERM;
    }
    n->euid = n->fsuid = uid;
    follow_root(n, old);
    return cred_commit(t, n);
}

int64_t sys_setreuid(struct task *t, uint32_t ruid, uint32_t euid)
{
    const struct cred *old = t->cred;
    bool privileged = capable(t, CAP_SETUID);
    if (ruid != NO_ID && !privileged && ruid != old->uid && ruid != old->euid)
        return -EPERM;
    if (euid != NO_ID && !privileged && euid != old->uid && euid != old->euid && euid != old->suid)
        return -EPERM;
    struct cred *n = cred_copy(old);
    if (!n)
        return -ENOMEM;
    if (ruid != NO_ID)
        n->uid = ruid;
    if (euid != NO_ID)
        n->euid = euid;
    if (ruid != NO_ID || (euid != NO_ID && euid != old->uid))
        n->suid = n->euid;
    n->fsuid = n->euid;
    follow_root(n, old);
    return cred_commit(t, n);
}

static bool is_one_of(uint32_t id, uint32_t a, uint32_t b, uint32_t c)
{
    return id == NO_ID || id == a || id == b || id == c;
}

int64_t sys_setresuid(struct task *t, uint32_t ruid, uint32_t euid, uint32_t suid)
{
    const struct cred *old = t->cred;
    uint32_t a = old->uid, b = old->euid, c = old->suid;
    if (!capable(t, CAP_SETUID) &&
        !(is_one_of(ruid, a, b, c) && is_one_of(euid, a, b, c) && is_one_of(suid, a, b, c)))
        return -EPERM;
    struct cred *n = cred_copy(old);
    if (!n)
        return -ENOMEM;
    if (ruid != NO_ID)
        n->uid = ruid;
    if (euid != NO_ID)
        n->euid = euid;
    if (suid != NO_ID)
        n->suid = suid;
    n->fsuid = n->euid;
    follow_root(n, old);
    return cred_commit(t, n);
}

// Returns the earlier one, whatever happens.
int64_t sys_setfsuid(struct task *t, uint32_t uid)
{
    const struct cred *old = t->cred;
    uint32_t before = old->fsuid;
    if (uid == NO_ID || uid == before)
        return before;
    if (!capable(t, CAP_SETUID) && uid != old->uid && uid != old->euid && uid != old->suid)
        return before;
    struct cred *n = cred_copy(old);
    if (!n)
        return before;
    n->fsuid = uid;
    if (!(n->securebits & SECURE_NO_SETUID_FIXUP)) {
        if (before == 0)
            n->effective &= ~CAPS_OF_FS;
        else if (uid == 0)
            n->effective |= n->permitted & CAPS_OF_FS;
    }
    (void)cred_commit(t, n);
    return before;
}

// ---- Groups ----

int64_t sys_setgid(struct task *t, uint32_t gid)
{
    const struct cred *old = t->cred;
    bool privileged = capable(t, CAP_SETGID);
    if (gid == NO_ID)
        return -EINVAL;
    if (!privileged && gid != old->gid && gid != old->sgid)
        return -EPERM;
    struct cred *n = cred_copy(old);
    if (!n)
        return -ENOMEM;
    if (privileged)
        n->gid = n->sgid = gid;
    n->egid = n->fsgid = gid;
    return cred_commit(t, n);
}

int64_t sys_setregid(struct task *t, uint32_t rgid, uint32_t egid)
{
    const struct cred *old = t->cred;
    bool privileged = capable(t, CAP_SETGID);
    if (rgid != NO_ID && !privileged && rgid != old->gid && rgid != old->egid)
        return -EPERM;
    if (egid != NO_ID && !privileged && egid != old->gid && egid != old->egid && egid != old->sgid)
        return -EPERM;
    struct cred *n = cred_copy(old);
    if (!n)
        return -ENOMEM;
    if (rgid != NO_ID)
        n->gid = rgid;
    if (egid != NO_ID)
        n->egid = egid;
    if (rgid != NO_ID || (egid != NO_ID && egid != old->gid))
        n->sgid = n->egid;
    n->fsgid = n->egid;
    return cred_commit(t, n);
}

int64_t sys_setresgid(struct task *t, uint32_t rgid, uint32_t egid, uint32_t sgid)
{
    const struct cred *old = t->cred;
    uint32_t a = old->gid, b = old->egid, c = old->sgid;
    if (!capable(t, CAP_SETGID) &&
        !(is_one_of(rgid, a, b, c) && is_one_of(egid, a, b, c) && is_one_of(sgid, a, b, c)))
        return -EPERM;
    struct cred *n = cred_copy(old);
    if (!n)
        return -ENOMEM;
    if (rgid != NO_ID)
        n->gid = rgid;
    if (egid != NO_ID)
        n->egid = egid;
    if (sgid != NO_ID)
        n->sgid = sgid;
    n->fsgid = n->egid;
    return cred_commit(t, n);
}

int64_t sys_setfsgid(struct task *t, uint32_t gid)
{
    const struct cred *old = t->cred;
    uint32_t before = old->fsgid;
    if (gid == NO_ID || gid == before)
        return before;
    if (!capable(t, CAP_SETGID) && gid != old->gid && gid != old->egid && gid != old->sgid)
        return before;
    struct cred *n = cred_copy(old);
    if (!n)
        return before;
    n->fsgid = gid;
    (void)cred_commit(t, n);
    return before;
}

int64_t sys_getgroups(struct task *t, int size, uaddr_t list)
{
    const struct cred *c = t->cred;
    if (size < 0)
        return -EINVAL;
    if (size == 0)
        return c->group_count;
    if ((uint32_t)size < c->group_count)
        return -EINVAL;
    int ret =
        c->group_count ? copy_out(t, list, c->groups, c->group_count * sizeof(*c->groups)) : 0;
    return ret < 0 ? ret : (int64_t)c->group_count;
}

// Heap sort: no recursion, no worst case, in place.
static void sift_down(uint32_t *a, uint32_t root, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count)
            return;
        if (child + 1 < count && a[child + 1] > a[child])
            child++;
        if (a[root] >= a[child])
            return;
        uint32_t tmp = a[root];
        a[root] = a[child];
        a[child] = tmp;
        root = child;
    }
}

void cred_sort_groups(uint32_t *a, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--)
        sift_down(a, i - 1, count);
    for (uint32_t end = count; end > 1; end--) {
        uint32_t tmp = a[0];
        a[0] = a[end - 1];
        a[end - 1] = tmp;
        sift_down(a, 0, end - 1);
    }
}

int64_t sys_setgroups(struct task *t, int size, uaddr_t list)
{
    if (!capable(t, CAP_SETGID))
        return -EPERM;
    if (size < 0 || size > CRED_GROUPS_MAX)
        return -EINVAL;
    uint32_t *groups = NULL;
    uint64_t bytes = (uint64_t)size * sizeof(*groups);
    if (size) {
        groups = kmalloc(bytes);
        if (!groups)
            return -ENOMEM;
        int ret = copy_in(t, groups, list, bytes);
        for (int i = 0; i < size && ret == 0; i++)
            ret = groups[i] == NO_ID ? -EINVAL : 0;
        if (ret < 0) {
            kfree(groups);
            return ret;
        }
        cred_sort_groups(groups, (uint32_t)size);
    }
    struct cred *n = cred_copy(t->cred);
    if (!n) {
        kfree(groups);
        return -ENOMEM;
    }
    kfree(n->groups);
    n->groups = groups;
    n->group_count = (uint32_t)size;
    return cred_commit(t, n);
}

// ---- Capabilities ----

#define CAPS_VERSION_1 0x19980330u
#define CAPS_VERSION_2 0x20071026u
#define CAPS_VERSION_3 0x20080522u

struct cap_header_wire {
    uint32_t version;
    int32_t pid;
};
struct cap_data_wire {
    uint32_t effective, permitted, inheritable;
};

// Number of cap_data that the version has; an unknown one is answered with the newest, and EINVAL.
static int check_version(struct task *t, uaddr_t addr, struct cap_header_wire *h)
{
    if (copy_in_value(t, h, addr) < 0)
        return -EFAULT;
    switch (h->version) {
    case CAPS_VERSION_1:
        return 1;
    case CAPS_VERSION_2:
    case CAPS_VERSION_3:
        return 2;
    default:
        break;
    }
    uint32_t newest = CAPS_VERSION_3;
    return copy_out_value(t, addr, &newest) < 0 ? -EFAULT : -EINVAL;
}

int64_t sys_capget(struct task *t, uaddr_t header, uaddr_t data)
{
    struct cap_header_wire h;
    struct cap_data_wire d[2];
    int count = check_version(t, header, &h);
    if (count < 0)
        return count == -EINVAL && data.a == 0 ? 0 : count;
    if (h.pid < 0)
        return -EINVAL;
    struct task *other = h.pid ? task_find((uint32_t)h.pid) : task_ref(t);
    if (!other)
        return -ESRCH;
    struct cred *c = task_get_cred(other);
    task_unref(other);
    for (int i = 0; i < 2; i++) {
        d[i].effective = (uint32_t)(c->effective >> (32 * i));
        d[i].permitted = (uint32_t)(c->permitted >> (32 * i));
        d[i].inheritable = (uint32_t)(c->inheritable >> (32 * i));
    }
    cred_put(c);
    return data.a ? copy_out(t, data, d, (uint64_t)count * sizeof(d[0])) : 0;
}

int64_t sys_capset(struct task *t, uaddr_t header, uaddr_t data)
{
    struct cap_header_wire h;
    struct cap_data_wire d[2] = {0};
    const struct cred *old = t->cred;
    int count = check_version(t, header, &h);
    if (count < 0)
        return count;
    if (h.pid != 0 && (uint32_t)h.pid != t->tid)
        return -EPERM;
    if (copy_in(t, d, data, (uint64_t)count * sizeof(d[0])) < 0)
        return -EFAULT;
    kernel_cap_t effective = (d[0].effective | (uint64_t)d[1].effective << 32) & CAP_FULL;
    kernel_cap_t permitted = (d[0].permitted | (uint64_t)d[1].permitted << 32) & CAP_FULL;
    kernel_cap_t inheritable = (d[0].inheritable | (uint64_t)d[1].inheritable << 32) & CAP_FULL;
    if (!capable(t, CAP_SETPCAP) && (inheritable & ~(old->inheritable | old->permitted)))
        return -EPERM;
    if (inheritable & ~(old->inheritable | old->bounding))
        return -EPERM;
    if (permitted & ~old->permitted)
        return -EPERM;
    if (effective & ~permitted)
        return -EPERM;
    struct cred *n = cred_copy(old);
    if (!n)
        return -ENOMEM;
    n->effective = effective;
    n->permitted = permitted;
    n->inheritable = inheritable;
    n->ambient &= permitted & inheritable;
    return cred_commit(t, n);
}
