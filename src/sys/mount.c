// mount(2), umount2(2), pivot_root(2).
#include <linux/capability.h>
#include <sys/mount.h>

#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"

// A text argument that may be missing; at most a page with its NUL.
static int copy_text(struct task *t, uaddr_t src, char **ret)
{
    *ret = NULL;
    if (!src.a)
        return 0;
    char *text = kmalloc(PAGE_SIZE);
    if (!text)
        return -ENOMEM;
    int64_t n = copy_in_string(t, text, src, PAGE_SIZE);
    if (n < 0) {
        kfree(text);
        return n == -ENAMETOOLONG ? -EINVAL : (int)n;
    }
    *ret = text;
    return 0;
}

int64_t sys_mount(struct task *t, uaddr_t source_name, uaddr_t target_name, uaddr_t type_name,
                  uint64_t flags, uaddr_t data)
{
    char *source = NULL, *type = NULL, *options = NULL;
    struct path target;
    int r = copy_text(t, type_name, &type);
    if (r == 0)
        r = copy_text(t, source_name, &source);
    // Data need not be text where it has no meaning.
    if (r == 0 &&
        !(flags & (MS_BIND | MS_MOVE | MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)))
        r = copy_text(t, data, &options);
    if (r == 0)
        r = path_lookup_user(t, AT_FDCWD, target_name, LOOKUP_FOLLOW, &target);
    if (r == 0) {
        r = do_mount(t, source, &target, type, flags, options);
        path_put(&target);
    }
    kfree(source);
    kfree(type);
    kfree(options);
    return r;
}

int64_t sys_umount2(struct task *t, uaddr_t target_name, int flags)
{
    struct path target;
    if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
        return -EINVAL;
    int r = path_lookup_user(t, AT_FDCWD, target_name, flags & UMOUNT_NOFOLLOW ? 0 : LOOKUP_FOLLOW,
                             &target);
    if (r < 0)
        return r;
    r = do_umount(t, &target, flags);
    path_put(&target);
    return r;
}

int64_t sys_pivot_root(struct task *t, uaddr_t newname, uaddr_t oldname)
{
    struct path new_root, put_old;
    if (!cred_capable(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    int r = path_lookup_user(t, AT_FDCWD, newname, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &new_root);
    if (r < 0)
        return r;
    r = path_lookup_user(t, AT_FDCWD, oldname, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &put_old);
    if (r == 0) {
        r = do_pivot_root(t, &new_root, &put_old);
        path_put(&put_old);
    }
    path_put(&new_root);
    return r;
}
