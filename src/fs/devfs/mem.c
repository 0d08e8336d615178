// The memory devices: null(4), zero(4), full(4), random(4).
//
// DEVIATION: /dev/random: writes are accepted and not mixed in, and ioctl(RNDADDENTROPY) and its kin answer EPERM: the pool is
// the host's.
#include <linux/random.h>
#include <sys/mman.h>

#include "mm/copy.h"
#include "vfs/vfs-int.h"

enum { RANDOM_CHUNK = 1024 };

static int64_t null_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return 0;
}

static int64_t null_write(struct file *f, struct uio *u, uint64_t *pos)
{
    uint64_t n = u->remaining;
    uio_advance(u, n); // Linux doesn't look at the data either
    return (int64_t)n;
}

static int64_t zero_read(struct file *f, struct uio *u, uint64_t *pos)
{
    return uio_put_zeros(u, u->remaining);
}

static int64_t full_write(struct file *f, struct uio *u, uint64_t *pos)
{
    return -ENOSPC;
}

// lseek on these devices stays where it is.
static int64_t mem_seek(struct file *f, int64_t offset, int whence)
{
    f->pos = 0;
    return 0;
}

static int zero_map(struct file *f, uint64_t offset, uint64_t size, int prot, bool shared,
                    struct map_source *out)
{
    out->fd = -1;
    out->zero = true;
    out->valid = size;
    return 0;
}

const struct file_ops null_file_ops = {
    .read = null_read,
    .write = null_write,
    .seek = mem_seek,
};

const struct file_ops zero_file_ops = {
    .read = zero_read,
    .write = null_write,
    .seek = mem_seek,
    .map = zero_map,
};

const struct file_ops full_file_ops = {
    .read = zero_read,
    .write = full_write,
    .seek = mem_seek,
};

// ---- Random ----

static int64_t random_read(struct file *f, struct uio *u, uint64_t *pos)
{
    uint8_t buf[RANDOM_CHUNK];
    uint64_t done = 0;
    int64_t r = 0;
    while (u->remaining) {
        uint64_t n = MIN(u->remaining, sizeof(buf));
        kernel_random(buf, n);
        r = uio_put(u, buf, n);
        if (r <= 0)
            break;
        done += (uint64_t)r;
        // A long read can be interrupted, random(4).
        if (u->task && done % (64 * RANDOM_CHUNK) == 0 && signal_pending(u->task))
            break;
    }
    explicit_bzero(buf, sizeof(buf));
    return done ? (int64_t)done : r;
}

static int64_t random_ioctl(struct file *f, struct task *t, uint32_t cmd, uint64_t arg)
{
    int bits = 256;
    switch (cmd) {
    case RNDGETENTCNT:
        return copy_out_value(t, UADDR(arg), &bits);
    case RNDADDTOENTCNT:
    case RNDADDENTROPY:
    case RNDZAPENTCNT:
    case RNDCLEARPOOL:
    case RNDRESEEDCRNG:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

const struct file_ops random_file_ops = {
    .read = random_read,
    .write = null_write,
    .seek = mem_seek,
    .ioctl = random_ioctl,
};
