// sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2).
//
// Data goes through a buffer of the kernel: pages are not passed on. What was taken from a source that can't be read twice is
// always delivered; from a pipe, bytes are taken out only once they have arrived.
//
// DEVIATION: splice: SPLICE_F_MOVE, SPLICE_F_MORE and SPLICE_F_GIFT have no effect.
#include <fcntl.h>

#include "mm/copy.h"
#include "sys/file-int.h"
#include "sys/syscalls-gen.h"
#include "vfs/pipe.h"

enum { CHUNK = 64 << 10 };

#define SPLICE_FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

// One end of a transfer: an open file and the position to use.
struct end {
    struct file *f;
    uint64_t *pos; // of the file, or `own`
    uint64_t own;
    uaddr_t out; // where the new position goes; NULL: nowhere
};

// offset: a guest's pointer to a position, or NULL for the file's own.
static int end_init(struct task *t, struct end *e, struct file *f, uaddr_t offset)
{
    *e = (struct end){.f = f, .pos = &f->pos, .out = offset};
    if (!offset.a)
        return 0;
    e->pos = &e->own;
    return copy_in_value(t, &e->own, offset);
}

static int end_done(struct task *t, struct end *e)
{
    return e->out.a ? copy_out_value(t, e->out, &e->own) : 0;
}

// Puts the position back by what did not arrive.
static void set_position(struct task *t, struct end *e, uint64_t pos)
{
    const struct file_ops *ops = file_ops(e->f);
    if (*e->pos == pos)
        return;
    if (e->pos == &e->f->pos && ops->seek)
        (void)ops->seek(e->f, (int64_t)pos, SEEK_SET); // a host's file keeps its position there
    else
        *e->pos = pos;
}

static int64_t read_chunk(struct task *t, struct end *e, void *buf, uint64_t size, bool nonblock)
{
    struct uio u;
    struct uio_segment one;
    uio_init_kernel(&u, &one, buf, size);
    u.flags = e->pos == &e->f->pos ? UIO_AT_POSITION : 0;
    if (nonblock)
        u.flags |= UIO_NOWAIT;
    return vfs_read(t, e->f, &u, e->pos);
}

static int64_t write_chunk(struct task *t, struct end *e, const void *buf, uint64_t size)
{
    struct uio u;
    struct uio_segment one;
    uio_init_kernel(&u, &one, (void *)buf, size);
    u.flags = e->pos == &e->f->pos ? UIO_AT_POSITION : 0;
    return vfs_write(t, e->f, &u, e->pos);
}

// From a file that can be read again at any place to any file.
static int64_t copy_ends(struct task *t, struct end *in, struct end *out, uint64_t count)
{
    uint64_t done = 0;
    int64_t r = 0;
    void *buf = kmalloc(MIN(MAX(count, 1), CHUNK));
    if (!buf)
        return -ENOMEM;
    while (done < count) {
        uint64_t start = *in->pos;
        r = read_chunk(t, in, buf, MIN(count - done, CHUNK), false);
        if (r <= 0)
            break;
        int64_t n = r;
        r = write_chunk(t, out, buf, (uint64_t)n);
        set_position(t, in, start + (r > 0 ? (uint64_t)r : 0));
        if (r <= 0)
            break;
        done += (uint64_t)r;
        if (r < n || signal_pending(t))
            break;
    }
    kfree(buf);
    return done ? (int64_t)done : r;
}

int64_t sys_sendfile(struct task *t, int out_fd, int in_fd, uaddr_t offset, uint64_t count)
{
    struct file *in = fd_get_rw(t, in_fd), *out = fd_get_rw(t, out_fd);
    struct end from, to;
    int64_t r = -EBADF;
    if (in && out && in->readable && out->writable) {
        if (!in->seekable || inode_is_dir(in->inode))
            r = offset.a ? -ESPIPE : -EINVAL;
        else if (out->flags & O_APPEND)
            r = -EINVAL;
        else if ((r = end_init(t, &from, in, offset)) == 0 &&
                 (r = end_init(t, &to, out, UADDR_NULL)) == 0 &&
                 (r = (int64_t)*from.pos < 0 ? -EINVAL : 0) == 0) {
            r = copy_ends(t, &from, &to, MIN(count, UIO_MAX_BYTES));
            int e = end_done(t, &from);
            (void)end_done(t, &to);
            if (e < 0)
                r = e;
        }
    }
    file_unref(in);
    file_unref(out);
    return r;
}

static int copy_range_check(const struct end *in, const struct end *out, uint64_t *len)
{
    uint64_t in_end, out_end;
    if (inode_is_dir(in->f->inode) || inode_is_dir(out->f->inode))
        return -EISDIR;
    if (!S_ISREG(in->f->inode->mode) || !S_ISREG(out->f->inode->mode))
        return -EINVAL;
    if (!in->f->readable || !out->f->writable || (out->f->flags & O_APPEND))
        return -EBADF;
    if (__builtin_add_overflow(*in->pos, *len, &in_end) ||
        __builtin_add_overflow(*out->pos, *len, &out_end) || (int64_t)in_end < 0 ||
        (int64_t)out_end < 0)
        return -EOVERFLOW;
    (void)inode_getattr(in->f->inode);
    uint64_t size = LOAD_RELAXED(in->f->inode->size);
    *len = *in->pos >= size ? 0 : MIN(*len, size - *in->pos);
    if (in->f->inode == out->f->inode && *in->pos < *out->pos + *len && *out->pos < *in->pos + *len)
        return -EINVAL;
    return 0;
}

int64_t sys_copy_file_range(struct task *t, int in_fd, uaddr_t in_offset, int out_fd,
                            uaddr_t out_offset, uint64_t len, uint32_t flags)
{
    struct file *in = fd_get_rw(t, in_fd), *out = fd_get_rw(t, out_fd);
    struct end from, to;
    int64_t r = -EBADF;
    if (in && out) {
        r = flags ? -EINVAL : end_init(t, &from, in, in_offset);
        if (r == 0)
            r = end_init(t, &to, out, out_offset);
        if (r == 0)
            r = copy_range_check(&from, &to, &len);
        if (r == 0) {
            r = len ? copy_ends(t, &from, &to, MIN(len, UIO_MAX_BYTES)) : 0;
            if (r > 0) {
                int e = end_done(t, &from), e2 = end_done(t, &to);
                r = e < 0 ? e : e2 < 0 ? e2 : r;
            }
        }
    }
    file_unref(in);
    file_unref(out);
    return r;
}

// ---- Pipes ----

static void broken_pipe(struct task *t, int64_t r)
{
    if (r == -EPIPE)
        file_signal_caller(t, SIGPIPE);
}

// Out of a pipe; to is NULL for tee's copy into another pipe (which is other).
static int64_t drain_pipe(struct task *t, struct file *pipe, struct end *to, uint64_t len,
                          bool nonblock)
{
    uint64_t done = 0;
    uint8_t *buf = kmalloc(MIN(len, CHUNK));
    int64_t r = buf ? pipe_read_begin(t, pipe) : -ENOMEM;
    if (r < 0) {
        kfree(buf);
        return r;
    }
    while (done < len) {
        r = pipe_wait_data(t, pipe, nonblock || done);
        if (r <= 0)
            break;
        r = pipe_peek(pipe, buf, 0, MIN(len - done, CHUNK));
        if (r <= 0)
            break;
        r = write_chunk(t, to, buf, (uint64_t)r);
        if (r <= 0)
            break;
        pipe_consume(pipe, (uint64_t)r);
        done += (uint64_t)r;
    }
    pipe_read_end(pipe);
    kfree(buf);
    return done ? (int64_t)done : r;
}

// Everything into the pipe, though it takes several attempts: the bytes can't be put back.
static int64_t put_all(struct task *t, struct file *pipe, const uint8_t *buf, uint64_t size)
{
    uint64_t done = 0;
    int64_t r = 0;
    while (done < size) {
        r = pipe_put(pipe, buf + done, size - done);
        if (r == -EAGAIN || r == 0)
            r = pipe_wait_room(t, pipe, false);
        else if (r > 0)
            done += (uint64_t)r;
        if (r < 0)
            break;
    }
    return done ? (int64_t)done : r;
}

static int64_t fill_pipe(struct task *t, struct end *from, struct file *pipe, uint64_t len,
                         bool nonblock)
{
    uint64_t done = 0;
    int64_t r = 0;
    uint8_t *buf = kmalloc(MIN(len, CHUNK));
    if (!buf)
        return -ENOMEM;
    while (done < len) {
        r = pipe_wait_room(t, pipe, nonblock || done);
        if (r <= 0)
            break;
        if (nonblock && !from->f->seekable && !file_is_readable_now(from->f)) {
            r = -EAGAIN;
            break;
        }
        uint64_t start = *from->pos, want = MIN(MIN(len - done, (uint64_t)r), CHUNK);
        r = read_chunk(t, from, buf, want, nonblock);
        if (r <= 0)
            break;
        int64_t n = r;
        r = from->f->seekable ? pipe_put(pipe, buf, (uint64_t)n)
                              : put_all(t, pipe, buf, (uint64_t)n);
        if (from->f->seekable)
            set_position(t, from, start + (r > 0 ? (uint64_t)r : 0));
        if (r <= 0)
            break;
        done += (uint64_t)r;
        if ((uint64_t)n < want || !from->f->seekable)
            break; // end of file, or what there was for now
    }
    kfree(buf);
    return done ? (int64_t)done : r;
}

static int64_t pipe_to_pipe(struct task *t, struct file *in, struct file *out, uint64_t len,
                            bool nonblock, bool keep)
{
    uint64_t done = 0;
    uint8_t *buf = kmalloc(MIN(len, CHUNK));
    int64_t r = buf ? pipe_read_begin(t, in) : -ENOMEM;
    if (r < 0) {
        kfree(buf);
        return r;
    }
    while (done < len) {
        r = pipe_wait_data(t, in, nonblock || done);
        if (r <= 0 || (keep && (uint64_t)r <= done))
            break;
        r = pipe_wait_room(t, out, nonblock || done);
        if (r <= 0)
            break;
        r = pipe_peek(in, buf, keep ? done : 0, MIN(MIN(len - done, (uint64_t)r), CHUNK));
        if (r > 0)
            r = pipe_put(out, buf, (uint64_t)r);
        if (r <= 0)
            break;
        if (!keep)
            pipe_consume(in, (uint64_t)r);
        done += (uint64_t)r;
    }
    pipe_read_end(in);
    kfree(buf);
    return done ? (int64_t)done : r;
}

static int64_t splice_files(struct task *t, struct file *in, uaddr_t in_offset, struct file *out,
                            uaddr_t out_offset, uint64_t len, uint32_t flags)
{
    bool from_pipe = in->type == FILE_PIPE, to_pipe = out->type == FILE_PIPE;
    bool nonblock = flags & SPLICE_F_NONBLOCK;
    struct end e;
    int64_t r;
    if (!in->readable || !out->writable)
        return -EBADF;
    if (!from_pipe && !to_pipe)
        return -EINVAL;
    if ((from_pipe && in_offset.a) || (to_pipe && out_offset.a))
        return -ESPIPE;
    if (from_pipe && to_pipe) {
        if (pipe_same(in, out))
            return -EINVAL;
        nonblock |= (in->flags | out->flags) & O_NONBLOCK;
        return pipe_to_pipe(t, in, out, len, nonblock, false);
    }
    struct file *other = from_pipe ? out : in;
    uaddr_t offset = from_pipe ? out_offset : in_offset;
    if (offset.a && !other->seekable)
        return -EINVAL;
    if (from_pipe && (out->flags & O_APPEND))
        return -EINVAL;
    if ((r = end_init(t, &e, other, offset)) < 0)
        return r;
    if ((int64_t)*e.pos < 0)
        return -EINVAL;
    nonblock |= (from_pipe ? in : out)->flags & O_NONBLOCK;
    r = from_pipe ? drain_pipe(t, in, &e, len, nonblock) : fill_pipe(t, &e, out, len, nonblock);
    if (r > 0) {
        int x = end_done(t, &e);
        if (x < 0)
            r = x;
    }
    return r;
}

int64_t sys_splice(struct task *t, int in_fd, uaddr_t in_offset, int out_fd, uaddr_t out_offset,
                   uint64_t len, uint32_t flags)
{
    if (len == 0)
        return 0;
    if (flags & ~(uint32_t)SPLICE_FLAGS)
        return -EINVAL;
    struct file *in = fd_get_rw(t, in_fd), *out = fd_get_rw(t, out_fd);
    int64_t r = -EBADF;
    if (in && out)
        r = splice_files(t, in, in_offset, out, out_offset, MIN(len, UIO_MAX_BYTES), flags);
    broken_pipe(t, r);
    file_unref(in);
    file_unref(out);
    return r;
}

int64_t sys_tee(struct task *t, int in_fd, int out_fd, uint64_t len, uint32_t flags)
{
    if (flags & ~(uint32_t)SPLICE_FLAGS)
        return -EINVAL;
    if (len == 0)
        return 0;
    struct file *in = fd_get_rw(t, in_fd), *out = fd_get_rw(t, out_fd);
    int64_t r = -EBADF;
    if (in && out && in->readable && out->writable) {
        if (in->type != FILE_PIPE || out->type != FILE_PIPE || pipe_same(in, out))
            r = -EINVAL;
        else
            r = pipe_to_pipe(t, in, out, MIN(len, UIO_MAX_BYTES),
                             (flags & SPLICE_F_NONBLOCK) || ((in->flags | out->flags) & O_NONBLOCK),
                             true);
    }
    broken_pipe(t, r);
    file_unref(in);
    file_unref(out);
    return r;
}

int64_t sys_vmsplice(struct task *t, int fd, uaddr_t iov, uint64_t count, uint32_t flags)
{
    struct uio_segment fixed[8], *segments = fixed;
    struct uio u;
    if (flags & ~(uint32_t)SPLICE_FLAGS)
        return -EINVAL;
    struct file *f = fd_get_rw(t, fd);
    int64_t r = -EBADF;
    if (f && f->type == FILE_PIPE) {
        r = uio_init_iovec(&u, t, iov, count > INT64_MAX ? -1 : (int64_t)count, fixed, &segments);
        if (r == 0 && u.remaining) {
            uint64_t pos = 0;
            u.flags = flags & SPLICE_F_NONBLOCK ? UIO_NOWAIT : 0;
            r = f->writable ? vfs_write(t, f, &u, &pos) : vfs_read(t, f, &u, &pos);
        }
        if (segments != fixed)
            kfree(segments);
    }
    file_unref(f);
    return r;
}
