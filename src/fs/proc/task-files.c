// What a process has open: exe, cwd, root, fd/, fdinfo/, ns/, mounts and mountinfo.
//
// DEVIATION: proc: namespaces other than mount namespaces exist once; their links show the numbers of a host's first ones.
#include <sys/mount.h>

#include "base/slab.h"
#include "fs/proc/proc-int.h"
#include "mm/mm.h"
#include "vfs/mount-int.h"

enum { TEXT_ROOM = VFS_PATH_MAX + 64 };

static int show_path(const struct path *p, struct strbuf *out)
{
    char *buf = kmalloc(TEXT_ROOM);
    if (!buf)
        return -ENOMEM;
    int64_t n = path_to_text(current_task(), p, buf, TEXT_ROOM);
    if (n > 0)
        strbuf_append(out, buf, (uint64_t)n);
    kfree(buf);
    return n < 0 ? (int)n : 0;
}

static int show_and_put(int r, struct path *p, struct strbuf *out)
{
    if (r < 0)
        return r;
    r = show_path(p, out);
    path_put(p);
    return r;
}

// ---- exe, cwd, root ----

int proc_follow_exe(const struct tree_call *c, struct path *ret)
{
    struct mm *mm = task_get_mm(c->task);
    int r = -ENOENT;
    if (!mm)
        return r;
    lock_take(&mm->lock);
    if (mm->exe) {
        *ret = mm->exe->path;
        path_get(ret);
        r = 0;
    }
    lock_release(&mm->lock);
    mm_put(mm);
    return r;
}

int proc_show_exe(const struct tree_call *c, struct strbuf *out)
{
    struct path p;
    return show_and_put(proc_follow_exe(c, &p), &p, out);
}

static int get_place(struct task *t, bool root, struct path *ret)
{
    struct fs_context *fs = task_get_fs(t);
    if (!fs)
        return -ENOENT;
    lock_take(&fs->lock);
    *ret = root ? fs->root : fs->cwd;
    path_get(ret);
    lock_release(&fs->lock);
    fs_context_unref(fs);
    return 0;
}

int proc_follow_cwd(const struct tree_call *c, struct path *ret)
{
    return get_place(c->task, false, ret);
}

int proc_follow_root(const struct tree_call *c, struct path *ret)
{
    return get_place(c->task, true, ret);
}

int proc_show_cwd(const struct tree_call *c, struct strbuf *out)
{
    struct path p;
    return show_and_put(proc_follow_cwd(c, &p), &p, out);
}

int proc_show_root(const struct tree_call *c, struct strbuf *out)
{
    struct path p;
    return show_and_put(proc_follow_root(c, &p), &p, out);
}

// ---- fd ----

static bool fd_next(const struct tree_call *c, uint64_t from, uint64_t *ret)
{
    struct fd_table *files = task_get_files(c->task);
    int64_t fd = files && from <= UINT32_MAX ? fd_table_next(files, (uint32_t)from) : -1;
    if (files)
        fd_table_unref(files);
    *ret = (uint64_t)fd;
    return fd >= 0;
}

static struct file *get_file(struct task *t, uint64_t number)
{
    struct fd_table *files = task_get_files(t);
    struct file *f = files && number <= INT32_MAX ? fd_table_get(files, (uint32_t)number) : NULL;
    if (files)
        fd_table_unref(files);
    return f;
}

static int fd_child(const struct tree_call *c, uint64_t number, struct tree_node *child, uint32_t *mode)
{
    struct file *f = get_file(c->task, number);
    if (!f)
        return -ENOENT;
    *mode = S_IFLNK | (f->readable ? 0500u : 0) | (f->writable ? 0300u : 0);
    file_unref(f);
    return 0;
}

static int fd_follow(const struct tree_call *c, struct path *ret)
{
    struct file *f = get_file(c->task, c->node->number);
    int r = f && f->path.dentry ? 0 : -ENOENT;
    if (r == 0) {
        *ret = f->path;
        path_get(ret);
    }
    file_unref(f);
    return r;
}

static int fd_show(const struct tree_call *c, struct strbuf *out)
{
    struct path p;
    return show_and_put(fd_follow(c, &p), &p, out);
}

static const struct tree_dynamic fds = {
    .entry = {.name = "", .mode = S_IFLNK | 0700, .flags = ENTRY_PTRACE | ENTRY_FD_LINK, .show = fd_show,
              .follow = fd_follow},
    .next = fd_next,
    .child = fd_child,
};
const struct tree_table proc_fd_table = {.dynamic = &fds, .no_cache = true};

// ---- fdinfo ----

static int fdinfo_child(const struct tree_call *c, uint64_t number, struct tree_node *child, uint32_t *mode)
{
    struct file *f = get_file(c->task, number);
    if (!f)
        return -ENOENT;
    file_unref(f);
    return 0;
}

static bool closes_on_exec(struct task *t, uint32_t number)
{
    struct fd_table *files = task_get_files(t);
    bool on = false;
    if (!files)
        return false;
    lock_take(&files->lock);
    if (number < files->size && files->entries[number].file)
        on = files->entries[number].cloexec;
    lock_release(&files->lock);
    fd_table_unref(files);
    return on;
}

static int fdinfo_show(const struct tree_call *c, struct strbuf *out)
{
    struct file *f = get_file(c->task, c->node->number);
    if (!f)
        return -ENOENT;
    uint32_t flags = f->flags | (closes_on_exec(c->task, c->node->number) ? O_CLOEXEC : 0u);
    strbuf_printf(out, "pos:\t%llu\nflags:\t0%o\nmnt_id:\t%u\nino:\t%llu\n", ULL(LOAD_RELAXED(f->pos)), flags,
                  f->path.mount ? f->path.mount->id : 0, ULL(f->inode ? f->inode->ino : 0));
    const struct file_ops *ops = file_ops(f);
    if (ops->show_fdinfo)
        ops->show_fdinfo(f, out);
    file_unref(f);
    return 0;
}

static const struct tree_dynamic fdinfos = {
    .entry = {.name = "", .mode = S_IFREG | 0444, .flags = ENTRY_PTRACE_OPEN, .show = fdinfo_show},
    .next = fd_next,
    .child = fdinfo_child,
};
const struct tree_table proc_fdinfo_table = {.dynamic = &fdinfos, .no_cache = true};

// ---- ns ----

enum ns_kind { NS_CGROUP, NS_IPC, NS_MNT, NS_NET, NS_PID, NS_TIME, NS_USER, NS_UTS };

static const struct {
    const char *name;
    uint64_t ino; // as Linux numbers the first ones
} namespaces[] = {
    [NS_CGROUP] = {"cgroup", 0xeffffffb}, [NS_IPC] = {"ipc", 0xefffffff}, [NS_MNT] = {"mnt", 0xf0000000},
    [NS_NET] = {"net", 0xf0000098},       [NS_PID] = {"pid", 0xeffffffc}, [NS_TIME] = {"time", 0xeffffffa},
    [NS_USER] = {"user", 0xeffffffd},     [NS_UTS] = {"uts", 0xeffffffe},
};

static uint64_t ns_number(struct task *t, uint32_t kind)
{
    uint64_t ino = namespaces[kind].ino;
    struct fs_context *fs = kind == NS_MNT ? task_get_fs(t) : NULL;
    if (fs) {
        if (fs->ns != the_kernel()->mounts)
            ino += 1 + ((uint64_t)fs->ns >> 6 & 0xffffff);
        fs_context_unref(fs);
    }
    return ino;
}

static int ns_show(const struct tree_call *c, struct strbuf *out)
{
    uint32_t kind = c->entry->arg;
    strbuf_printf(out, "%s:[%llu]", namespaces[kind].name, ULL(ns_number(c->task, kind)));
    return 0;
}

static int ns_follow(const struct tree_call *c, struct path *ret)
{
    struct vfs *v = the_vfs();
    uint32_t kind = c->entry->arg;
    struct tree_node node = {.table = PROC_NSFS, .index = (uint16_t)kind};
    struct inode *inode = tree_make_inode(v->anon_sb, &node, S_IFREG | 0444);
    if (!inode)
        return -ENOMEM;
    inode->ino = ns_number(c->task, kind);
    const char *name = namespaces[kind].name;
    struct dentry *d = dentry_new(v->anon_sb, NULL, name, (uint32_t)strlen(name), inode);
    if (!d)
        return -ENOMEM;
    *ret = (struct path){.mount = mount_ref(v->anon_mount), .dentry = d};
    return 0;
}

// What the links lead to can be opened, compared and handed to setns(2), not read.
static int nsfs_show(const struct tree_call *c, struct strbuf *out)
{
    return -EINVAL;
}

static const struct tree_entry nsfs_entries[] = {
    [NS_CGROUP] = {.name = "cgroup", .mode = S_IFREG | 0444, .show = nsfs_show},
    [NS_IPC] = {.name = "ipc", .mode = S_IFREG | 0444, .show = nsfs_show},
    [NS_MNT] = {.name = "mnt", .mode = S_IFREG | 0444, .show = nsfs_show},
    [NS_NET] = {.name = "net", .mode = S_IFREG | 0444, .show = nsfs_show},
    [NS_PID] = {.name = "pid", .mode = S_IFREG | 0444, .show = nsfs_show},
    [NS_TIME] = {.name = "time", .mode = S_IFREG | 0444, .show = nsfs_show},
    [NS_USER] = {.name = "user", .mode = S_IFREG | 0444, .show = nsfs_show},
    [NS_UTS] = {.name = "uts", .mode = S_IFREG | 0444, .show = nsfs_show},
};
const struct tree_table proc_nsfs_table = {TREE_ENTRIES(nsfs_entries)};

#define NS(name_, kind)                                                                                          \
    {                                                                                                            \
        .name = (name_), .mode = S_IFLNK | 0777, .flags = ENTRY_PTRACE, .arg = (kind), .show = ns_show,          \
        .follow = ns_follow                                                                                      \
    }
static const struct tree_entry ns_entries[] = {
    NS("cgroup", NS_CGROUP),
    NS("ipc", NS_IPC),
    NS("mnt", NS_MNT),
    NS("net", NS_NET),
    NS("pid", NS_PID),
    NS("pid_for_children", NS_PID),
    NS("time", NS_TIME),
    NS("time_for_children", NS_TIME),
    NS("user", NS_USER),
    NS("uts", NS_UTS),
};
const struct tree_table proc_ns_table = {TREE_ENTRIES(ns_entries), .no_cache = true};

// ---- Mounts ----

int proc_show_mounts(const struct tree_call *c, struct strbuf *out)
{
    struct fs_context *fs = task_get_fs(c->task);
    if (!fs)
        return -EINVAL;
    if (c->entry->arg)
        mountinfo_show(fs, out);
    else
        mounts_show(fs, out);
    fs_context_unref(fs);
    return 0;
}
