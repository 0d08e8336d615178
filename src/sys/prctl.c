// prctl(2), arch_prctl(2), personality(2), rseq(2), unshare(2).
//
// DEVIATION: options that concern hardware mitigation, memory tagging and core scheduling answer as
// a kernel without them.

#include <linux/prctl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/personality.h>

#include "abi/capability.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "platform/platform.h"
#include "sys/cred-int.h"
#include "sys/syscalls-gen.h"

#define TIMER_SLACK_DEFAULT 50000
#define PR_SET_VMA_NUMBER   0x53564d41
#define PR_GET_AUXV_NUMBER  0x41555856
#define VMA_NAME_MAX        80

struct prctl_args {
    uint64_t a2, a3, a4, a5;
};

static bool rest_is_zero(const struct prctl_args *a, int from)
{
    return (from > 2 || a->a2 == 0) && (from > 3 || a->a3 == 0) && (from > 4 || a->a4 == 0) &&
           a->a5 == 0;
}

static int64_t put_int(struct task *t, uint64_t addr, int32_t value)
{
    return copy_out_value(t, UADDR(addr), &value);
}

// ---- Names ----

static int64_t set_name(struct task *t, uint64_t addr)
{
    char name[16] = {0};
    // As strncpy_from_user(): the bytes up to the NUL have to be there, no more.
    int64_t len = copy_in_string(t, name, UADDR(addr), sizeof(name));
    if (len < 0 && len != -ENAMETOOLONG)
        return len;
    if (len == -ENAMETOOLONG && copy_in(t, name, UADDR(addr), sizeof(name) - 1) < 0)
        return -EFAULT;
    name[sizeof(name) - 1] = 0;
    lock_take(&t->lock);
    memcpy(t->comm, name, sizeof(name));
    lock_release(&t->lock);
    return 0;
}

static int64_t get_name(struct task *t, uint64_t addr)
{
    char name[16];
    lock_take(&t->lock);
    memcpy(name, t->comm, sizeof(name));
    lock_release(&t->lock);
    return copy_out(t, UADDR(addr), name, sizeof(name));
}

static int64_t set_vma_name(struct task *t, const struct prctl_args *a)
{
    char name[VMA_NAME_MAX];
    struct mm_target target = {.task = t, .mm = t->mm, .pt = t->pt};
    if (a->a2 != 0) // PR_SET_VMA_ANON_NAME
        return -EINVAL;
    if (!a->a5)
        return mm_set_name(&target, a->a3, a->a4, NULL);
    int64_t len = copy_in_string(t, name, UADDR(a->a5), sizeof(name));
    if (len < 0)
        return len == -ENAMETOOLONG ? -EINVAL : len;
    for (int64_t i = 0; i < len; i++) {
        char c = name[i];
        if (c < 0x20 || c > 0x7e || c == '\\' || c == '`' || c == '$' || c == '[' || c == ']')
            return -EINVAL;
    }
    return mm_set_name(&target, a->a3, a->a4, name);
}

// ---- Capabilities ----

static int64_t drop_bounding(struct task *t, uint64_t cap)
{
    if (!capable(t, CAP_SETPCAP))
        return -EPERM;
    if (cap > CAP_LAST_CAP)
        return -EINVAL;
    struct cred *n = cred_copy(t->cred);
    if (!n)
        return -ENOMEM;
    n->bounding &= ~BIT(cap);
    return cred_commit(t, n);
}

static int64_t set_securebits(struct task *t, uint64_t bits)
{
    uint32_t old = t->cred->securebits;
    if (bits & ~(uint64_t)(SECURE_ALL_BITS | SECURE_ALL_LOCKS))
        return -EPERM;
    // A locked bit does not change, a lock is not opened.
    if (((old & SECURE_ALL_LOCKS) >> 1 & (old ^ (uint32_t)bits)) ||
        (old & SECURE_ALL_LOCKS & ~(uint32_t)bits))
        return -EPERM;
    if (!capable(t, CAP_SETPCAP))
        return -EPERM;
    struct cred *n = cred_copy(t->cred);
    if (!n)
        return -ENOMEM;
    n->securebits = (uint32_t)bits;
    return cred_commit(t, n);
}

static int64_t set_keepcaps(struct task *t, uint64_t on)
{
    if (on > 1)
        return -EINVAL;
    if (t->cred->securebits & SECURE_KEEP_CAPS_LOCKED)
        return -EPERM;
    struct cred *n = cred_copy(t->cred);
    if (!n)
        return -ENOMEM;
    n->securebits = on ? n->securebits | SECURE_KEEP_CAPS : n->securebits & ~SECURE_KEEP_CAPS;
    return cred_commit(t, n);
}

static int64_t change_ambient(struct task *t, const struct prctl_args *a)
{
    const struct cred *c = t->cred;
    bool clear_all = a->a2 == PR_CAP_AMBIENT_CLEAR_ALL;
    if (!rest_is_zero(a, clear_all ? 3 : 4) || (!clear_all && a->a3 > CAP_LAST_CAP))
        return -EINVAL;
    uint64_t bit = clear_all ? 0 : BIT(a->a3);
    switch (a->a2) {
    case PR_CAP_AMBIENT_IS_SET:
        return (c->ambient & bit) != 0;
    case PR_CAP_AMBIENT_RAISE:
        if (!(c->permitted & c->inheritable & bit) || (c->securebits & SECURE_NO_CAP_AMBIENT_RAISE))
            return -EPERM;
        break;
    case PR_CAP_AMBIENT_LOWER:
    case PR_CAP_AMBIENT_CLEAR_ALL:
        break;
    default:
        return -EINVAL;
    }
    struct cred *n = cred_copy(c);
    if (!n)
        return -ENOMEM;
    if (clear_all)
        n->ambient = 0;
    else if (a->a2 == PR_CAP_AMBIENT_RAISE)
        n->ambient |= bit;
    else
        n->ambient &= ~bit;
    return cred_commit(t, n);
}

// ---- State of the process ----

// Children that exist already find the reaper, too.
static void mark_descendants_locked(struct thread_group *g)
{
    struct thread_group *root = g, *it = g;
    for (;;) {
        if (!list_empty(&it->children)) {
            it = list_first(&it->children, struct thread_group, sibling);
        } else {
            while (it != root && it->sibling.next == &it->parent->children)
                it = it->parent;
            if (it == root)
                return;
            it = container_of(it->sibling.next, struct thread_group, sibling);
        }
        it->has_child_subreaper = true;
    }
}

static int64_t set_subreaper(struct task *t, uint64_t on)
{
    struct kernel *k = t->kernel;
    lock_take(&k->tasks_lock);
    t->group->child_subreaper = on != 0;
    if (on)
        mark_descendants_locked(t->group);
    lock_release(&k->tasks_lock);
    return 0;
}

static int64_t set_pdeathsig(struct task *t, uint64_t sig)
{
    if (sig > SIGNAL_COUNT)
        return -EINVAL;
    __atomic_store_n(&t->pdeath_signal, (int)sig, __ATOMIC_RELAXED);
    return 0;
}

static int64_t set_dumpable(struct task *t, uint64_t value)
{
    if (value > 1)
        return -EINVAL;
    atomic_store(&t->mm->dumpable, (uint32_t)value);
    return 0;
}

static int64_t get_auxv(struct task *t, const struct prctl_args *a)
{
    if (a->a4 || a->a5)
        return -EINVAL;
    uint64_t size = sizeof(t->mm->auxv);
    if (copy_out(t, UADDR(a->a2), t->mm->auxv, MIN(size, a->a3)) < 0)
        return -EFAULT;
    return (int64_t)size;
}

static int64_t prctl_process(struct task *t, int option, const struct prctl_args *a)
{
    switch (option) {
    case PR_SET_PDEATHSIG:
        return set_pdeathsig(t, a->a2);
    case PR_GET_PDEATHSIG:
        return put_int(t, a->a2, t->pdeath_signal);
    case PR_GET_DUMPABLE:
        return atomic_load(&t->mm->dumpable);
    case PR_SET_DUMPABLE:
        return set_dumpable(t, a->a2);
    case PR_SET_CHILD_SUBREAPER:
        return set_subreaper(t, a->a2);
    case PR_GET_CHILD_SUBREAPER:
        return put_int(t, a->a2, t->group->child_subreaper);
    case PR_SET_NO_NEW_PRIVS:
        if (a->a2 != 1 || !rest_is_zero(a, 3))
            return -EINVAL;
        t->no_new_privs = true;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return rest_is_zero(a, 2) ? t->no_new_privs : -EINVAL;
    case PR_SET_THP_DISABLE:
        if (!rest_is_zero(a, 3))
            return -EINVAL;
        t->thp_disabled = a->a2 != 0;
        return 0;
    case PR_GET_THP_DISABLE:
        return rest_is_zero(a, 2) ? t->thp_disabled : -EINVAL;
    case PR_SET_TIMERSLACK:
        t->timer_slack = (int64_t)a->a2 <= 0 ? TIMER_SLACK_DEFAULT : a->a2;
        return 0;
    case PR_GET_TIMERSLACK:
        return (int64_t)t->timer_slack;
    case PR_GET_TSC:
        return put_int(t, a->a2, PR_TSC_ENABLE);
    case PR_SET_TSC:
        return a->a2 == PR_TSC_ENABLE ? 0 : -EINVAL; // faults by rdtsc can't be had
    case PR_GET_TIMING:
        return PR_TIMING_STATISTICAL;
    case PR_SET_TIMING:
        return a->a2 == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
    case PR_MCE_KILL:
        // The policy is kept with nobody to act on it: machine checks end at the host.
        if (a->a2 == PR_MCE_KILL_CLEAR)
            return rest_is_zero(a, 3) ? 0 : -EINVAL;
        return a->a2 == PR_MCE_KILL_SET && a->a3 <= PR_MCE_KILL_DEFAULT && rest_is_zero(a, 4)
                   ? 0
                   : -EINVAL;
    case PR_MCE_KILL_GET:
        return rest_is_zero(a, 2) ? PR_MCE_KILL_DEFAULT : -EINVAL;
    case PR_GET_TID_ADDRESS: {
        uint64_t addr = t->clear_child_tid;
        return copy_out_value(t, UADDR(a->a2), &addr);
    }
    case PR_GET_AUXV_NUMBER:
        return get_auxv(t, a);
    default:
        return -EINVAL;
    }
}

int64_t sys_prctl(struct task *t, int option, uint64_t arg2, uint64_t arg3, uint64_t arg4,
                  uint64_t arg5)
{
    struct prctl_args a = {arg2, arg3, arg4, arg5};
    switch (option) {
    case PR_SET_NAME:
        return set_name(t, arg2);
    case PR_GET_NAME:
        return get_name(t, arg2);
    case PR_SET_VMA_NUMBER:
        return set_vma_name(t, &a);
    case PR_CAPBSET_READ:
        return arg2 <= CAP_LAST_CAP ? (t->cred->bounding & BIT(arg2)) != 0 : -EINVAL;
    case PR_CAPBSET_DROP:
        return drop_bounding(t, arg2);
    case PR_SET_SECUREBITS:
        return set_securebits(t, arg2);
    case PR_GET_SECUREBITS:
        return t->cred->securebits;
    case PR_SET_KEEPCAPS:
        return set_keepcaps(t, arg2);
    case PR_GET_KEEPCAPS:
        return (t->cred->securebits & SECURE_KEEP_CAPS) != 0;
    case PR_CAP_AMBIENT:
        return change_ambient(t, &a);
    case PR_GET_SECCOMP:
        return 0;
    default:
        return prctl_process(t, option, &a);
    }
}

// ---- arch_prctl(2) ----

#define ARCH_SET_GS_CODE    0x1001
#define ARCH_SET_FS_CODE    0x1002
#define ARCH_GET_FS_CODE    0x1003
#define ARCH_GET_GS_CODE    0x1004
#define ARCH_GET_CPUID_CODE 0x1011
#define ARCH_SET_CPUID_CODE 0x1012

int64_t sys_arch_prctl(struct task *t, int code, uint64_t addr)
{
    struct guest_regs regs;
    switch (code) {
    case ARCH_SET_FS_CODE:
        // Linux takes user addresses only.
        if (addr >= 0x7ffffffff000ull)
            return -EPERM;
        return platform_set_fs_base(t->pt, addr);
    case ARCH_GET_FS_CODE:
        platform_get_regs(t->pt, &regs);
        return copy_out_value(t, UADDR(addr), &regs.fs_base);
    case ARCH_SET_GS_CODE:
        return -EPERM;
    case ARCH_GET_GS_CODE: {
        uint64_t zero = 0;
        return copy_out_value(t, UADDR(addr), &zero);
    }
    case ARCH_GET_CPUID_CODE:
        return 1;
    case ARCH_SET_CPUID_CODE:
        return -ENODEV;
    default:
        return -EINVAL;
    }
}

int64_t sys_personality(struct task *t, uint32_t persona)
{
    uint32_t old = t->personality;
    if (persona == UINT32_MAX)
        return old;
    if ((persona & 0xff) != PER_LINUX || (persona & ~(uint32_t)(PER_MASK | ADDR_NO_RANDOMIZE)))
        return -EINVAL;
    t->personality = persona;
    return old;
}

// ---- rseq(2) ----

#define RSEQ_UNREGISTER 1

int64_t sys_rseq(struct task *t, uaddr_t addr, uint32_t size, int flags, uint32_t sig)
{
    if (flags & RSEQ_UNREGISTER) {
        if ((flags & ~RSEQ_UNREGISTER) || t->rseq_addr != addr.a || !t->rseq_addr)
            return -EINVAL;
        if (t->rseq_size != size)
            return -EINVAL;
        if (t->rseq_sig != sig)
            return -EPERM;
        int ret = platform_rseq(t->pt, addr.a, size, flags, sig);
        if (ret == 0)
            t->rseq_addr = 0;
        return ret;
    }
    if (flags)
        return -EINVAL;
    if (t->rseq_addr) {
        if (t->rseq_addr != addr.a || t->rseq_size != size)
            return -EINVAL;
        return t->rseq_sig != sig ? -EPERM : -EBUSY;
    }
    int ret = platform_rseq(t->pt, addr.a, size, flags, sig);
    if (ret == 0) {
        t->rseq_addr = addr.a;
        t->rseq_size = size;
        t->rseq_sig = sig;
    }
    return ret;
}

// ---- unshare(2) ----

#define CLONE_NAMESPACES \
    0x7e020080ull // NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; NEWTIME

int64_t sys_unshare(struct task *t, uint64_t flags)
{
    uint64_t known =
        CLONE_THREAD | CLONE_FS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES | CLONE_SYSVSEM;
    if (flags & ~(known | CLONE_NAMESPACES))
        return -EINVAL;
    if (flags & CLONE_NAMESPACES) // as a kernel without them, which asks for the privilege first
        return (flags & CLONE_NAMESPACES & ~(uint64_t)CLONE_NEWUSER) && !capable(t, CAP_SYS_ADMIN)
                   ? -EPERM
                   : -EINVAL;
    // A thread can't leave its process; asking for what one has already is fine.
    if (flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) {
        if (__atomic_load_n(&t->group->thread_count, __ATOMIC_RELAXED) > 1)
            return -EINVAL;
        if ((flags & CLONE_SIGHAND) && refcount_read(&t->group->sighand->refs) > 1)
            return -EINVAL;
        if ((flags & CLONE_VM) && atomic_load(&t->mm->task_count) > 1)
            return -EINVAL;
    }
    int ret = 0;
    if (flags & CLONE_FS)
        ret = files_unshare_fs(t);
    if (ret == 0 && (flags & CLONE_FILES))
        ret = files_unshare_table(t, UINT32_MAX);
    if (ret == 0 && (flags & CLONE_SYSVSEM))
        sem_undo_exit(t);
    return ret;
}
