// execve(2) and execveat(2), and the start of the first program.
//
// Everything that can fail is done before the old program is touched: the file is found, #! lines are followed, arguments
// are copied, the images are read, the new address space is built with its stack. Then comes the point of no return: the
// other threads end (task_exec_take_over()), and the task steps over into the new address space. What fails after that ends
// the process with SIGKILL, as on Linux.
//
// A file that is being executed can't be opened for writing: file_deny_write() is in force from its opening to the end of
// the last address space that runs it (mm.exe).
//
// Locking: none is held here but for single fields.
#include <limits.h>
#include <linux/personality.h>
#include <stdio.h>
#include <sys/mount.h>

#include "base/log.h"
#include "base/slab.h"
#include "base/strbuf.h"
#include "kernel/run.h"
#include "mm/copy.h"
#include "platform/platform.h"
#include "sys/exec-int.h"
#include "sys/exec.h"
#include "sys/syscalls-gen.h"

// ---- Finding the file ------------------------------------------------------------------------------------------------

// Opens what path names for execution.
static int open_executable(struct task *t, const struct path *path, struct file **ret)
{
    struct inode *inode = path->dentry->inode;

    if (S_ISLNK(inode->mode))
        return -ELOOP; // AT_SYMLINK_NOFOLLOW
    if (!S_ISREG(inode->mode) || (path->mount->flags & MS_NOEXEC))
        return -EACCES;
    return file_open_resolved(t, path, O_RDONLY | FILE_OPEN_EXEC, ret);
}

static int open_by_name(struct task *t, int dirfd, const char *name, uint32_t lookup_flags, struct file **ret)
{
    struct path path = {0};
    int err = path_lookup(t, dirfd, name, lookup_flags, &path);

    if (err < 0)
        return err;
    err = open_executable(t, &path, ret);
    path_put(&path);
    return err;
}

static int read_head(struct exec_binary *b)
{
    int64_t n = file_read_kernel(b->file, b->head, sizeof(b->head), 0);

    if (n < 0)
        return (int)n;
    memset(b->head + n, 0, sizeof(b->head) - (uint64_t)n);
    b->head_size = (uint64_t)n;
    return 0;
}

static void drop_program(struct exec *e)
{
    if (!e->program.file)
        return;
    if (e->denied_write)
        file_allow_write(e->program.file);
    e->denied_write = false;
    file_unref(e->program.file);
    e->program.file = NULL;
}

// Takes over the reference to f.
static int set_program(struct exec *e, struct file *f)
{
    int ret;

    drop_program(e);
    e->program.file = f;
    ret = file_deny_write(f);
    if (ret < 0)
        return ret;
    e->denied_write = true;
    return read_head(&e->program);
}

// Follows #! lines from the program that is open. script: what the next interpreter gets as its file's name.
static int follow_scripts(struct exec *e)
{
    struct script_line *line;
    char *script = NULL;
    int ret = 0;

    if (e->program.head[0] != '#' || e->program.head[1] != '!')
        return 0;
    line = kmalloc(sizeof(*line));
    script = kstrdup(e->filename);
    if (!line || !script)
        ret = -ENOMEM;
    for (unsigned depth = 0; ret == 0 && script_parse((const char *)e->program.head, line) == 0; depth++) {
        struct file *f;
        if (depth == EXEC_MAX_DEPTH) {
            ret = -ELOOP;
            break;
        }
        if (e->inaccessible) {
            ret = -ENOENT;
            break;
        }
        ret = exec_args_replace_first(&e->args, line->interpreter, line->has_argument ? line->argument : NULL, script);
        if (ret == 0)
            ret = open_by_name(e->t, AT_FDCWD, line->interpreter, LOOKUP_FOLLOW, &f);
        if (ret == 0)
            ret = set_program(e, f);
        if (ret == 0) {
            kfree(script);
            script = kstrdup(line->interpreter);
            if (!script)
                ret = -ENOMEM;
        }
    }
    kfree(script);
    kfree(line);
    return ret;
}

// Opens and reads the dynamic loader that the program names.
static int load_interpreter(struct exec *e)
{
    const struct elf_image *image = &e->program.image;
    struct exec_binary *i = &e->interpreter;
    char *name;
    int64_t n;
    int ret;

    if (!image->has_interpreter)
        return 0;
    name = kmalloc(image->interpreter_size);
    if (!name)
        return -ENOMEM;
    n = file_read_kernel(e->program.file, name, image->interpreter_size, image->interpreter_offset);
    if (n != (int64_t)image->interpreter_size)
        ret = n < 0 ? (int)n : -EIO;
    else if (name[n - 1] != 0)
        ret = -ENOEXEC;
    else
        ret = open_by_name(e->t, AT_FDCWD, name, LOOKUP_FOLLOW, &i->file);
    kfree(name);
    if (ret == 0)
        ret = read_head(i);
    if (ret == 0 && i->head_size < ELF_HEADER_SIZE)
        ret = -EIO;
    if (ret == 0)
        ret = exec_read_image(i);
    return ret == -ENOEXEC && i->file ? -ELIBBAD : ret;
}

// From the open program and the arguments to a finished address space.
static int prepare(struct exec *e)
{
    int ret = follow_scripts(e);

    if (ret == 0)
        ret = exec_read_image(&e->program);
    if (ret == 0)
        ret = load_interpreter(e);
    if (ret == 0)
        ret = exec_prepare_cred(e);
    if (ret == 0)
        ret = exec_build_mm(e);
    return ret;
}

static void exec_done(struct exec *e)
{
    if (!e)
        return;
    exec_drop_mm(e);
    exec_args_done(&e->args);
    drop_program(e);
    if (e->interpreter.file)
        file_unref(e->interpreter.file);
    if (e->cred)
        cred_put(e->cred);
    kfree(e->filename);
    kfree(e);
}

// ---- The point of no return ------------------------------------------------------------------------------------------

static void set_comm(struct exec *e)
{
    struct task *t = e->t;

    lock_take(&t->lock);
    memset(t->comm, 0, sizeof(t->comm));
    memcpy(t->comm, e->comm, strnlen(e->comm, sizeof(t->comm) - 1));
    lock_release(&t->lock);
}

static void set_identity(struct exec *e)
{
    struct task *t = e->t;
    struct cred *c = e->cred;

    if (e->ids_changed)
        t->pdeath_signal = 0;
    if (e->secure)
        t->personality &= ~(uint32_t)PER_CLEAR_ON_SETID;
    // A program that its user may not read, or that runs with another's rights, is not to be looked into.
    e->mm->dumpable = !e->ids_changed && c->euid == c->uid && c->egid == c->gid &&
                      inode_permission(e->program.file->inode, c, 4) == 0;
    e->cred = NULL;
    (void)task_set_cred(t, c);
}

// The task becomes the new program. Can't fail.
static void step_over(struct exec *e)
{
    struct task *t = e->t;
    struct guest_regs regs = {.rip = e->entry, .rsp = e->sp, .eflags = 0x202, .orig_rax = UINT64_MAX};

    e->mm->exe = e->program.file; // with its reference and its denial of writers
    set_identity(e);
    e->program.file = NULL;
    e->denied_write = false;

    platform_set_regs(e->pt, &regs);
    task_release_mm(t);
    task_set_mm(t, e->mm, e->pt);
    e->mm = NULL;
    e->pt = NULL;
    set_comm(e);
    t->group->did_exec = true;
    t->group->exit_signal = SIGCHLD;
    if (t->trap)
        t->trap->no_result = true;
}

static int commit(struct exec *e)
{
    struct task *t = e->t;
    int ret = task_exec_take_over(t);

    if (ret < 0)
        return ret;
    ret = files_unshare(t);
    if (ret < 0) { // the other threads are gone already
        thread_group_exit(t->group, SIGKILL);
        return ret;
    }
    signal_exec_reset(t);
    step_over(e);
    return 0;
}

// ---- Names -----------------------------------------------------------------------------------------------------------

static void take_comm(struct exec *e, const char *name)
{
    const char *slash = strrchr(name, '/');

    if (e->name_from_file)
        name = e->program.file->path.dentry->name;
    else if (slash)
        name = slash + 1;
    (void)snprintf(e->comm, sizeof(e->comm), "%s", name);
}

// What AT_EXECFN and #! lines show for a file named relative to a descriptor.
static int make_filename(struct exec *e, int dirfd, const char *name)
{
    char buffer[PATH_MAX + 32];

    if (name[0] == '/' || dirfd == AT_FDCWD) {
        e->filename = kstrdup(name);
    } else {
        (void)snprintf(buffer, sizeof(buffer), name[0] ? "/dev/fd/%d/%s" : "/dev/fd/%d", dirfd, name);
        e->filename = kstrdup(buffer);
        e->name_from_file = name[0] == 0;
    }
    return e->filename ? 0 : -ENOMEM;
}

static bool is_cloexec(struct task *t, int fd)
{
    struct fd_table *files = t->files;
    bool result;

    lock_take(&files->lock);
    result = fd >= 0 && (uint32_t)fd < files->size && files->entries[fd].file && files->entries[fd].cloexec;
    lock_release(&files->lock);
    return result;
}

// ---- Calls -----------------------------------------------------------------------------------------------------------

static int open_program(struct exec *e, int dirfd, const char *name, int flags)
{
    uint32_t lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
    struct file *f;
    int ret = open_by_name(e->t, dirfd, name, lookup, &f);

    if (ret == 0)
        ret = set_program(e, f);
    if (ret == 0)
        ret = make_filename(e, dirfd, name);
    if (ret < 0)
        return ret;
    e->inaccessible = name[0] != '/' && dirfd != AT_FDCWD && is_cloexec(e->t, dirfd);
    take_comm(e, name);
    return 0;
}

static int collect_user_args(struct exec *e, uaddr_t argv, uaddr_t envp)
{
    int ret;

    exec_args_init(&e->args, e->t);
    ret = exec_args_add_user(&e->args, e->t, argv);
    if (ret == 0)
        ret = exec_args_end_argv(&e->args);
    if (ret == 0)
        ret = exec_args_add_user(&e->args, e->t, envp);
    return ret;
}

static int64_t do_execve(struct task *t, int dirfd, uaddr_t filename, uaddr_t argv, uaddr_t envp, int flags)
{
    struct exec *e = kmalloc(sizeof(*e));
    char *name = kmalloc(PATH_MAX);
    int64_t ret;

    if (!e || !name) {
        kfree(name);
        kfree(e);
        return -ENOMEM;
    }
    e->t = t;
    ret = copy_in_string(t, name, filename, PATH_MAX);
    if (ret == 0 && !(flags & AT_EMPTY_PATH))
        ret = -ENOENT;
    if (ret >= 0)
        ret = open_program(e, dirfd, name, flags);
    if (ret == 0)
        ret = collect_user_args(e, argv, envp);
    if (ret == 0)
        ret = prepare(e);
    if (ret == 0)
        ret = commit(e);
    exec_done(e);
    kfree(name);
    return ret;
}

int64_t sys_execve(struct task *t, uaddr_t filename, uaddr_t argv, uaddr_t envp)
{
    return do_execve(t, AT_FDCWD, filename, argv, envp, 0);
}

int64_t sys_execveat(struct task *t, int dirfd, uaddr_t filename, uaddr_t argv, uaddr_t envp, int flags)
{
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    return do_execve(t, dirfd, filename, argv, envp, flags);
}

// ---- The first program -----------------------------------------------------------------------------------------------

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *find_env(const char *const envp[], const char *name)
{
    uint64_t size = strlen(name);

    for (; *envp; envp++)
        if (strncmp(*envp, name, size) == 0 && (*envp)[size] == '=')
            return *envp + size + 1;
    return NULL;
}

// Tries name in each directory of the search path; a found but forbidden file decides the error.
static int search_program(struct exec *e, const char *name, const char *const envp[])
{
    const char *dirs = find_env(envp, "PATH");
    char path[PATH_MAX];
    int result = -ENOENT;

    if (strchr(name, '/'))
        return open_program(e, AT_FDCWD, name, 0);
    for (dirs = dirs && *dirs ? dirs : DEFAULT_PATH; dirs;) {
        const char *end = strchrnul(dirs, ':');
        int size = (int)MIN((uint64_t)(end - dirs), PATH_MAX), ret;
        if (snprintf(path, sizeof(path), "%.*s%s%s", size, dirs, size ? "/" : "", name) < (int)sizeof(path)) {
            ret = open_program(e, AT_FDCWD, path, 0);
            if (ret == 0)
                return 0;
            kfree(e->filename);
            e->filename = NULL;
            if (ret != -ENOENT && ret != -ENOTDIR)
                result = ret;
        }
        dirs = *end ? end + 1 : NULL;
    }
    return result;
}

static int collect_kernel_args(struct exec *e, const char *const argv[], const char *const envp[])
{
    int ret = 0;

    exec_args_init(&e->args, e->t);
    for (; *argv && ret == 0; argv++)
        ret = exec_args_add(&e->args, *argv);
    if (ret == 0)
        ret = exec_args_end_argv(&e->args);
    for (; *envp && ret == 0; envp++)
        ret = exec_args_add(&e->args, *envp);
    return ret;
}

int exec_initial(struct task *t, const char *path, const char *const argv[], const char *const envp[])
{
    struct exec *e = kmalloc(sizeof(*e));
    int ret;

    if (!e)
        return -ENOMEM;
    e->t = t;
    ret = search_program(e, path, envp);
    if (ret == 0)
        ret = collect_kernel_args(e, argv, envp);
    if (ret == 0)
        ret = prepare(e);
    if (ret == 0)
        step_over(e);
    exec_done(e);
    return ret;
}
