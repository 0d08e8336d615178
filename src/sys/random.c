// getrandom(2). The source is seeded before the first program runs, so nothing ever waits.
#include <sys/random.h>

#include "kernel/kernel.h"
#include "kernel/signal.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/syscalls-gen.h"

#ifndef GRND_INSECURE
#define GRND_INSECURE 4
#endif
#define CHUNK 4096u

int64_t sys_getrandom(struct task *t, uaddr_t buf, uint64_t count, uint32_t flags)
{
    uint8_t block[CHUNK];
    uint64_t done = 0;
    int ret = 0;

    if ((flags & ~(uint32_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    count = MIN(count, INT32_MAX);
    while (done < count && ret == 0) {
        uint64_t n = MIN(count - done, sizeof(block));
        // Long reads are interruptible, once there is something to return.
        if (done && signal_pending(t))
            break;
        kernel_random(block, n);
        ret = copy_out(t, UADDR(buf.a + done), block, n);
        if (ret == 0)
            done += n;
    }
    explicit_bzero(block, sizeof(block));
    return done ? (int64_t)done : ret;
}
