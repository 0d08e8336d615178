// chdir(2), fchdir(2), chroot(2), getcwd(2).
#include <linux/capability.h>

#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

int64_t sys_chdir(struct task *t, uaddr_t path)
{
    struct path p;
    int64_t r = path_lookup_user(t, AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);
    if (r < 0)
        return r;
    r = dir_permission(p.dentry->inode, t->cred);
    if (r == 0)
        fs_set_cwd(t->fs, &p);
    path_put(&p);
    return r;
}

int64_t sys_fchdir(struct task *t, int fd)
{
    struct file *f = fd_get(t, fd);
    if (!f)
        return -EBADF;
    int64_t r = dir_permission(f->inode, t->cred);
    if (r == 0)
        fs_set_cwd(t->fs, &f->path);
    file_unref(f);
    return r;
}

int64_t sys_chroot(struct task *t, uaddr_t path)
{
    struct path p;
    int64_t r = path_lookup_user(t, AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p);
    if (r < 0)
        return r;
    r = dir_permission(p.dentry->inode, t->cred);
    if (r == 0 && !cred_capable(t->cred, CAP_SYS_CHROOT))
        r = -EPERM;
    if (r == 0)
        fs_set_root(t->fs, &p);
    path_put(&p);
    return r;
}

int64_t sys_getcwd(struct task *t, uaddr_t buf, uint64_t size)
{
    struct path root, cwd;
    char *text = kmalloc(VFS_PATH_MAX);
    if (!text)
        return -ENOMEM;
    fs_get_root(t, &root);
    fs_get_cwd(t, &cwd);
    int64_t n;
    if (dentry_flags(cwd.dentry) & DENTRY_DELETED)
        n = -ENOENT;
    else
        n = path_text(&cwd, &root, t->fs->ns, PATH_TEXT_UNREACHABLE, text, VFS_PATH_MAX - 1);
    path_put(&root);
    path_put(&cwd);
    if (n >= 0) {
        text[n++] = 0;
        if ((uint64_t)n > size)
            n = -ERANGE;
        else {
            int r = copy_out(t, buf, text, (uint64_t)n);
            if (r < 0)
                n = r;
        }
    }
    kfree(text);
    return n;
}
