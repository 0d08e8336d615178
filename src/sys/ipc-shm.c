// System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).
//
// A segment is a file in memory without a name. Each attachment opens it anew, so that its rights are the file's; the areas
// that map that file count as attached (shm_mapped() hears of each that comes and goes: fork, exec, exit, munmap, splits).
// A removed segment lives until its last area goes.
//
// Locking: the table's lock (rank above mm.lock: shm_mapped() runs under that).
// References: the table and each attachment's file hold the segment, which holds its file.
//
// DEVIATION: no huge pages; segments aren't locked in the host's memory. What is swapped is not known (SHM_INFO says 0).
#include <linux/capability.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/slab.h"
#include "base/strbuf.h"
#include "fs/tmpfs/tmpfs.h"
#include "kernel/ipc.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "mm/mm.h"
#include "sys/ipc-int.h"
#include "sys/syscalls-gen.h"
#include "vfs/file.h"
#include "vfs/hooks.h"

struct shm_segment {
    struct ipc_object o;
    struct file *file;  // reference; immutable
    uint64_t size;      // as asked for; immutable
    uint64_t attached;  // areas
    int64_t atime, dtime, ctime;
    int32_t cpid, lpid;
};

SLAB_TYPE(segment_slab, SLAB_SHM_SEGMENT, struct shm_segment);

#define MODE_DEST   01000u
#define MODE_LOCKED 02000u

struct shmid_wire { // struct shmid64_ds
    struct ipc_perm_wire perm;
    uint64_t size;
    int64_t atime, dtime, ctime;
    int32_t cpid, lpid;
    uint64_t attached, unused[2];
};
_Static_assert(sizeof(struct shmid_wire) == 112, "struct shmid64_ds is 112 bytes");

struct shminfo_wire {
    uint64_t max, min, mni, seg, all, unused[4];
};
struct shm_info_wire {
    int32_t used_ids, pad;
    uint64_t total, resident, swapped, swap_attempts, swap_successes;
};

static struct shm_segment *segment_of(struct ipc_object *o)
{
    return container_of(o, struct shm_segment, o);
}

static uint64_t pages_of(const struct shm_segment *s)
{
    return PAGE_UP(s->size) / PAGE_SIZE;
}

static void segment_put(struct shm_segment *s)
{
    if (!s || !refcount_put(&s->o.refs))
        return;
    file_unref(s->file);
    slab_free(&segment_slab, s);
}

// Out of the table; the caller drops the table's reference once it has released the lock.
static void unlink_locked(struct ipc_table *table, struct shm_segment *s)
{
    ipc_remove_locked(table, &s->o);
    table->total -= pages_of(s);
}

// ---- Called by the file layer ----

void shm_mapped(struct file *f, int change)
{
    struct shm_segment *s = f->shm;
    struct ipc_table *table = &ipc_ns()->shm;
    struct task *t = current_task();
    bool gone = false;
    lock_take(&table->lock);
    s->attached += (uint64_t)(int64_t)change;
    s->lpid = t ? (int32_t)t->group->tgid : 0;
    if (change > 0) {
        s->atime = ipc_now();
    } else {
        s->dtime = ipc_now();
        gone = s->attached == 0 && (s->o.mode & MODE_DEST) && !s->o.removed;
        if (gone)
            unlink_locked(table, s);
    }
    lock_release(&table->lock);
    // Not the last reference: the attachment's file, which the area still holds, has one.
    if (gone)
        BUG_ON(refcount_put(&s->o.refs));
}

void shm_file_released(struct file *f)
{
    segment_put(f->shm);
    f->shm = NULL;
}

// ---- shmget ----

static int check_size(const struct ipc_object *o, uint64_t size)
{
    return container_of(o, struct shm_segment, o)->size < size ? -EINVAL : 0;
}

static int segment_create(struct task *t, int key, uint64_t size, struct shm_segment **ret)
{
    char name[32] = "SYSV";
    struct strbuf text = STRBUF_FIXED(name);
    strbuf_printf(&text, "SYSV%08x", (uint32_t)key);
    struct shm_segment *s = slab_alloc(&segment_slab);
    if (!s)
        return -ENOMEM;
    int r = tmpfs_unnamed_create(name, PAGE_UP(size), 0777, t->cred, &s->file);
    if (r < 0) {
        slab_free(&segment_slab, s);
        return r;
    }
    s->size = size;
    s->ctime = ipc_now();
    s->cpid = (int32_t)t->group->tgid;
    *ret = s;
    return 0;
}

static int add_locked(struct task *t, struct ipc_table *table, struct shm_segment *s, int key, int flags)
{
    uint64_t total;
    if (!add_u64(table->total, pages_of(s), &total) || total > sysctl_get(t->kernel, SYSCTL_SHMALL))
        return -ENOSPC;
    int ret = ipc_add_locked(t, table, &s->o, key, flags, sysctl_get(t->kernel, SYSCTL_SHMMNI));
    if (ret >= 0)
        table->total = total;
    return ret;
}

int64_t sys_shmget(struct task *t, int key, uint64_t size, int flags)
{
    struct ipc_ns *ns = ipc_ns();
    struct shm_segment *s = NULL;
    if (!ns)
        return -ENOMEM;
    struct ipc_table *table = &ns->shm;
    lock_take(&table->lock);
    int ret = ipc_get_existing_locked(t, table, key, flags, check_size, size);
    lock_release(&table->lock);
    if (ret != 1)
        return ret;
    if (size < 1 || size > sysctl_get(t->kernel, SYSCTL_SHMMAX) || size > INT64_MAX - PAGE_SIZE || (flags & SHM_HUGETLB))
        return -EINVAL;
    ret = segment_create(t, key, size, &s);
    if (ret < 0)
        return ret;
    lock_take(&table->lock);
    // Somebody may have made it meanwhile.
    ret = ipc_get_existing_locked(t, table, key, flags, check_size, size);
    bool mine = ret == 1;
    if (mine)
        ret = add_locked(t, table, s, key, flags);
    lock_release(&table->lock);
    if (!mine || ret < 0) {
        file_unref(s->file);
        slab_free(&segment_slab, s);
    }
    return ret;
}

// ---- shmat, shmdt ----

static int get_for_attach(struct task *t, int id, int flags, struct shm_segment **ret)
{
    struct ipc_ns *ns = ipc_ns();
    uint32_t mode = 0444 | (flags & SHM_RDONLY ? 0 : 0222) | (flags & SHM_EXEC ? 0111 : 0);
    int error = -ENOMEM;
    if (!ns)
        return error;
    lock_take(&ns->shm.lock);
    struct ipc_object *o = ipc_find_locked(&ns->shm, id, &error);
    if (o)
        error = ipc_permission(t, o, mode);
    if (error == 0) {
        refcount_get(&o->refs);
        *ret = segment_of(o);
    }
    lock_release(&ns->shm.lock);
    return error;
}

static int64_t attach(struct task *t, struct shm_segment *s, uint64_t addr, int flags)
{
    struct file *f;
    int ret = file_open_resolved(t, &s->file->path, flags & SHM_RDONLY ? O_RDONLY : O_RDWR, &f);
    if (ret < 0)
        return ret;
    refcount_get(&s->o.refs);
    f->shm = s;
    struct mm_target target = mm_target_of(t);
    target.resume = false;
    struct mmap_request r = {
        .addr = addr,
        .size = PAGE_UP(s->size),
        .prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0),
        .flags = MAP_SHARED | (addr ? (flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE) : 0),
        .file = f,
        .vma_flags = VMA_SYSV,
    };
    int64_t at = mm_map(&target, &r);
    file_unref(f);
    return at == -EEXIST ? -EINVAL : at;
}

int64_t sys_shmat(struct task *t, int id, uint64_t addr, int flags)
{
    struct shm_segment *s;
    if (id < 0)
        return -EINVAL;
    if (addr & (PAGE_SIZE - 1)) {
        if (!(flags & SHM_RND))
            return -EINVAL;
        addr = PAGE_DOWN(addr);
        if (!addr && (flags & SHM_REMAP))
            return -EINVAL;
    }
    if (!addr && (flags & SHM_REMAP))
        return -EINVAL;
    int ret = get_for_attach(t, id, flags, &s);
    if (ret < 0)
        return ret;
    int64_t at = attach(t, s, addr, flags);
    segment_put(s);
    return at;
}

struct detach {
    uint64_t addr, cursor;
    const struct file *file;   // identity only
    const struct shm_segment *segment;
    uint64_t start, end;       // of the area that was found
};

// The next area of the attachment that began at d->addr, as Linux finds them: same file, at the place where it belongs.
static bool find_area(struct mm *mm, struct detach *d)
{
    bool found = false;
    lock_take(&mm->lock);
    for (struct rb_node *n = rb_first(&mm->vmas); n && !found; n = rb_next(n)) {
        const struct vma *v = container_of(n, struct vma, node);
        if (v->start < d->cursor || !v->file || !v->file->shm || !(v->flags & VMA_SYSV))
            continue;
        if (v->start - d->addr != v->offset || (d->file && (v->file != d->file || v->file->shm != d->segment)))
            continue;
        if (!d->file && v->start - d->addr >= PAGE_UP(v->file->shm->size))
            break;
        d->file = v->file;
        d->segment = v->file->shm;
        d->start = v->start;
        d->end = v->end;
        found = true;
    }
    lock_release(&mm->lock);
    return found;
}

int64_t sys_shmdt(struct task *t, uint64_t addr)
{
    struct detach d = {.addr = addr, .cursor = addr};
    struct mm_target target = mm_target_of(t);
    int64_t ret = -EINVAL;
    if (addr & (PAGE_SIZE - 1))
        return -EINVAL;
    target.resume = false;
    while (find_area(t->mm, &d)) {
        ret = mm_unmap(&target, d.start, d.end - d.start);
        if (ret < 0)
            break;
        d.cursor = d.end;
    }
    return ret;
}

// ---- shmctl ----

static void stat_locked(const struct shm_segment *s, struct shmid_wire *out)
{
    *out = (struct shmid_wire){.size = s->size,
                               .atime = s->atime,
                               .dtime = s->dtime,
                               .ctime = s->ctime,
                               .cpid = s->cpid,
                               .lpid = s->lpid,
                               .attached = s->attached};
    ipc_perm_out(&s->o, &out->perm);
}

static int64_t stat_segment(struct task *t, struct ipc_table *table, int id, int cmd, uaddr_t buf)
{
    struct shmid_wire w;
    int ret = 0;
    lock_take(&table->lock);
    struct ipc_object *o = cmd == IPC_STAT ? ipc_find_locked(table, id, &ret) : ipc_find_index_locked(table, id);
    if (!o)
        ret = -EINVAL;
    else if (cmd != SHM_STAT_ANY)
        ret = ipc_permission(t, o, 0444);
    if (ret == 0) {
        stat_locked(segment_of(o), &w);
        ret = cmd == IPC_STAT ? 0 : o->id;
    }
    lock_release(&table->lock);
    if (ret >= 0 && copy_out_value(t, buf, &w) < 0)
        return -EFAULT;
    return ret;
}

static int64_t info(struct task *t, struct ipc_table *table, int cmd, uaddr_t buf)
{
    struct kernel *k = t->kernel;
    struct shminfo_wire limits = {.max = sysctl_get(k, SYSCTL_SHMMAX),
                                  .min = 1,
                                  .mni = sysctl_get(k, SYSCTL_SHMMNI),
                                  .seg = sysctl_get(k, SYSCTL_SHMMNI),
                                  .all = sysctl_get(k, SYSCTL_SHMALL)};
    struct shm_info_wire used = {0};
    lock_take(&table->lock);
    int64_t index = ipc_max_index_locked(table);
    used.used_ids = (int32_t)table->count;
    used.total = table->total;
    for (uint32_t i = 0; i < table->size; i++) {
        if (table->slots[i])
            used.resident += segment_of(table->slots[i])->file->inode->blocks / (PAGE_SIZE / 512);
    }
    lock_release(&table->lock);
    int ret = cmd == IPC_INFO ? copy_out_value(t, buf, &limits) : copy_out_value(t, buf, &used);
    return ret < 0 ? ret : index;
}

static int64_t set_segment(struct task *t, struct ipc_table *table, int id, uaddr_t buf)
{
    struct shmid_wire w;
    int ret;
    if (copy_in_value(t, &w, buf) < 0)
        return -EFAULT;
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &ret);
    if (o && (ret = ipc_owner(t, o)) == 0 && (ret = ipc_perm_set(o, &w.perm)) == 0)
        segment_of(o)->ctime = ipc_now();
    lock_release(&table->lock);
    return ret;
}

static int64_t remove_segment(struct task *t, struct ipc_table *table, int id)
{
    struct shm_segment *gone = NULL;
    int ret;
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &ret);
    if (o && (ret = ipc_owner(t, o)) == 0) {
        struct shm_segment *s = segment_of(o);
        if (s->attached) {
            o->mode |= MODE_DEST;
            o->key = IPC_PRIVATE; // nobody finds it by key any more
        } else {
            unlink_locked(table, s);
            gone = s;
        }
    }
    lock_release(&table->lock);
    segment_put(gone);
    return ret;
}

static int64_t lock_segment(struct task *t, struct ipc_table *table, int id, bool on)
{
    int ret;
    lock_take(&table->lock);
    struct ipc_object *o = ipc_find_locked(table, id, &ret);
    if (o && !capable(t, CAP_IPC_LOCK)) {
        uint32_t uid = t->cred->euid;
        if ((uid != o->uid && uid != o->cuid) || (on && !task_rlimit(t, RLIMIT_MEMLOCK)))
            ret = -EPERM;
    }
    if (o && ret == 0)
        o->mode = on ? o->mode | MODE_LOCKED : o->mode & ~MODE_LOCKED;
    lock_release(&table->lock);
    return ret;
}

int64_t sys_shmctl(struct task *t, int id, int cmd, uaddr_t buf)
{
    struct ipc_ns *ns = ipc_ns();
    if (cmd < 0 || id < 0)
        return -EINVAL;
    if (!ns)
        return -ENOMEM;
    switch (cmd) {
    case IPC_INFO:
    case SHM_INFO:
        return info(t, &ns->shm, cmd, buf);
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
        return stat_segment(t, &ns->shm, id, cmd, buf);
    case IPC_SET:
        return set_segment(t, &ns->shm, id, buf);
    case IPC_RMID:
        return remove_segment(t, &ns->shm, id);
    case SHM_LOCK:
    case SHM_UNLOCK:
        return lock_segment(t, &ns->shm, id, cmd == SHM_LOCK);
    default:
        return -EINVAL;
    }
}

void ipc_show_shm(struct strbuf *out)
{
    struct ipc_ns *ns = ipc_ns();
    strbuf_puts(out, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      "
                     "atime      dtime      ctime                   rss                  swap\n");
    if (!ns)
        return;
    lock_take(&ns->shm.lock);
    for (uint32_t i = 0; i < ns->shm.size; i++) {
        if (!ns->shm.slots[i])
            continue;
        const struct shm_segment *s = segment_of(ns->shm.slots[i]);
        strbuf_printf(out, "%10d %10d  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u %10lu %10lu %10lu %21lu %21lu\n", s->o.key,
                      s->o.id, s->o.mode, s->size, (uint32_t)s->cpid, (uint32_t)s->lpid, s->attached, s->o.uid, s->o.gid,
                      s->o.cuid, s->o.cgid, (uint64_t)s->atime, (uint64_t)s->dtime, (uint64_t)s->ctime,
                      s->file->inode->blocks * 512, 0ul);
    }
    lock_release(&ns->shm.lock);
}
