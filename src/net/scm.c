// Control messages of sockets, see scm.h.
//
// Descriptors that don't fit into the receiver's buffer or table are dropped and MSG_CTRUNC is set, as on Linux; those that
// were opened before an error stay open.
#include "net/scm.h"

#include <linux/capability.h>
#include <sys/socket.h>

#include "base/checked.h"
#include "base/slab.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "vfs/file.h"

struct cmsg_header { // struct cmsghdr
    uint64_t size;
    int32_t level, type;
};
_Static_assert(sizeof(struct cmsg_header) == 16, "struct cmsghdr is 16 bytes");

#define CMSG_ROUND(n) (((n) + 7) & ~7ull)

void scm_from_task(struct task *t, struct scm *out)
{
    *out = (struct scm){
        .creds = {.pid = (int32_t)t->group->tgid, .uid = t->cred->uid, .gid = t->cred->gid}};
}

void scm_files_free(struct scm_files *fs)
{
    if (!fs)
        return;
    for (uint32_t i = 0; i < fs->count; i++)
        file_unref(fs->files[i]);
    kfree(fs);
}

struct scm_files *scm_files_copy(const struct scm_files *fs)
{
    struct scm_files *copy = kmalloc(sizeof(*fs) + fs->count * sizeof(fs->files[0]));
    if (!copy)
        return NULL;
    copy->count = fs->count;
    for (uint32_t i = 0; i < fs->count; i++)
        copy->files[i] = file_ref(fs->files[i]);
    return copy;
}

void scm_done(struct scm *scm)
{
    scm_files_free(scm->files);
    scm->files = NULL;
}

static int parse_rights(struct task *t, const uint8_t *data, uint64_t size, struct scm *out)
{
    uint64_t count = size / sizeof(int32_t), have = out->files ? out->files->count : 0;
    if (count == 0)
        return 0;
    if (count + have > SCM_FILES_MAX)
        return -EINVAL;
    uint64_t head = sizeof(struct scm_files);
    struct scm_files *fs = krealloc(out->files, out->files ? head + have * sizeof(fs->files[0]) : 0,
                                    head + (have + count) * sizeof(fs->files[0]));
    if (!fs)
        return -ENOMEM;
    out->files = fs;
    for (uint64_t i = 0; i < count; i++) {
        int32_t fd;
        memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
        struct file *f = fd < 0 ? NULL : fd_get(t, fd);
        if (!f)
            return -EBADF;
        fs->files[fs->count++] = f;
    }
    return 0;
}

static int parse_creds(struct task *t, const uint8_t *data, uint64_t size, struct scm *out)
{
    const struct cred *c = t->cred;
    struct scm_creds u;
    if (size != sizeof(u))
        return -EINVAL;
    memcpy(&u, data, sizeof(u));
    if (u.uid == UINT32_MAX || u.gid == UINT32_MAX)
        return -EINVAL;
    bool pid_ok = u.pid == (int32_t)t->group->tgid || cred_capable(c, CAP_SYS_ADMIN);
    bool uid_ok = u.uid == c->uid || u.uid == c->euid || u.uid == c->suid || cred_capable(c, CAP_SETUID);
    bool gid_ok = u.gid == c->gid || u.gid == c->egid || u.gid == c->sgid || cred_capable(c, CAP_SETGID);
    if (!pid_ok || !uid_ok || !gid_ok)
        return -EPERM;
    if (u.pid != (int32_t)t->group->tgid) {
        struct task *named = u.pid > 0 ? task_find((uint32_t)u.pid) : NULL;
        if (!named)
            return -ESRCH;
        task_unref(named);
    }
    out->creds = u;
    out->explicit_creds = true;
    return 0;
}

static int parse_all(struct task *t, const uint8_t *control, uint64_t size, struct scm *out)
{
    uint64_t at = 0;
    int ret = 0;
    while (ret == 0 && at + sizeof(struct cmsg_header) <= size) {
        struct cmsg_header h;
        memcpy(&h, control + at, sizeof(h));
        if (h.size < sizeof(h) || h.size > size - at)
            return -EINVAL;
        const uint8_t *data = control + at + sizeof(h);
        uint64_t n = h.size - sizeof(h);
        at += CMSG_ROUND(h.size);
        if (h.level != SOL_SOCKET)
            continue;
        if (h.type == SCM_RIGHTS)
            ret = parse_rights(t, data, n, out);
        else if (h.type == SCM_CREDENTIALS)
            ret = parse_creds(t, data, n, out);
        else
            ret = -EINVAL;
    }
    return ret;
}

int scm_parse(struct task *t, const uint8_t *control, uint64_t size, struct scm *out)
{
    scm_from_task(t, out);
    int ret = parse_all(t, control, size, out);
    if (ret < 0)
        scm_done(out);
    return ret;
}

int scm_put(struct scm_sink *sink, int level, int type, const void *data, uint64_t size)
{
    struct cmsg_header h = {.size = sizeof(h) + size, .level = level, .type = type};
    if (sink->room < sizeof(h)) {
        sink->flags |= MSG_CTRUNC;
        return 0;
    }
    if (sink->room < h.size) {
        sink->flags |= MSG_CTRUNC;
        h.size = sink->room;
    }
    if (copy_out_value(sink->task, sink->at, &h) < 0 ||
        copy_out(sink->task, UADDR(sink->at.a + sizeof(h)), data, h.size - sizeof(h)) < 0)
        return -EFAULT;
    uint64_t step = MIN(CMSG_ROUND(sizeof(h) + size), sink->room);
    sink->at.a += step;
    sink->room -= step;
    sink->used += step;
    return 0;
}

static int put_one_file(struct task *t, struct file *f, bool cloexec, uaddr_t at)
{
    int fd = fd_reserve(t, cloexec, 0);
    if (fd < 0)
        return fd;
    if (copy_out_value(t, at, &fd) < 0) {
        fd_unreserve(t, fd);
        return -EFAULT;
    }
    fd_publish(t, fd, file_ref(f));
    return 0;
}

static int put_files(struct scm_sink *sink, const struct scm_files *fs, bool cloexec)
{
    struct cmsg_header h = {.level = SOL_SOCKET, .type = SCM_RIGHTS};
    uint64_t fit = sink->room > sizeof(h) ? (sink->room - sizeof(h)) / sizeof(int32_t) : 0;
    uint32_t n = 0;
    while (n < fs->count && n < fit &&
           put_one_file(sink->task, fs->files[n], cloexec,
                        UADDR(sink->at.a + sizeof(h) + n * sizeof(int32_t))) == 0)
        n++;
    if (n < fs->count)
        sink->flags |= MSG_CTRUNC;
    if (n == 0)
        return 0;
    h.size = sizeof(h) + n * sizeof(int32_t);
    if (copy_out_value(sink->task, sink->at, &h) < 0)
        return -EFAULT;
    uint64_t step = MIN(CMSG_ROUND(h.size), sink->room);
    sink->at.a += step;
    sink->room -= step;
    sink->used += step;
    return 0;
}

int scm_deliver(struct scm_sink *sink, struct scm *scm, bool want_creds, bool cloexec)
{
    int ret = 0;
    if (!sink->at.a) {
        if (want_creds || scm->files)
            sink->flags |= MSG_CTRUNC;
        scm_done(scm);
        return 0;
    }
    if (want_creds)
        ret = scm_put(sink, SOL_SOCKET, SCM_CREDENTIALS, &scm->creds, sizeof(scm->creds));
    if (ret == 0 && scm->files)
        ret = put_files(sink, scm->files, cloexec);
    scm_done(scm);
    return ret;
}
