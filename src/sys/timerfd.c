// timerfd_create(2), timerfd_settime(2), timerfd_gettime(2).
#include "vfs/timerfd.h"

#include <linux/capability.h>
#include <sys/timerfd.h>
#include <time.h>

#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/syscalls-gen.h"
#include "sys/time-int.h"

int64_t sys_timerfd_create(struct task *t, int clockid, int flags)
{
    if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK))
        return -EINVAL;
    bool alarm = clockid == CLOCK_REALTIME_ALARM || clockid == CLOCK_BOOTTIME_ALARM;
    if (!alarm && clockid != CLOCK_REALTIME && clockid != CLOCK_MONOTONIC && clockid != CLOCK_BOOTTIME)
        return -EINVAL;
    if (alarm && !capable(t, CAP_WAKE_ALARM))
        return -EPERM;
    struct file *f = timerfd_create_file(clockid, (uint32_t)flags & O_NONBLOCK);
    if (!f)
        return -ENOMEM;
    int fd = fd_install(t, f, flags & TFD_CLOEXEC, 0);
    if (fd < 0)
        file_unref(f);
    return fd;
}

static int get_timer(struct task *t, int fd, struct file **ret)
{
    struct file *f = fd_get_rw(t, fd);
    if (!f)
        return -EBADF;
    if (f->type != FILE_TIMERFD) {
        file_unref(f);
        return -EINVAL;
    }
    *ret = f;
    return 0;
}

static int copy_out_setting(struct task *t, uaddr_t to, const struct timerfd_setting *s)
{
    struct itimerspec_wire w = {.interval = timespec_from_nsec(s->interval), .value = timespec_from_nsec(s->value)};
    return copy_out_value(t, to, &w);
}

int64_t sys_timerfd_settime(struct task *t, int fd, int flags, uaddr_t new_value, uaddr_t old_value)
{
    struct itimerspec_wire w;
    struct timerfd_setting set, old;
    struct file *f;
    if (copy_in_value(t, &w, new_value) < 0)
        return -EFAULT;
    if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) || timespec_to_nsec(&w.value, &set.value) < 0 ||
        timespec_to_nsec(&w.interval, &set.interval) < 0)
        return -EINVAL;
    int ret = get_timer(t, fd, &f);
    if (ret < 0)
        return ret;
    timerfd_set(f, flags & TFD_TIMER_ABSTIME, (flags & TFD_TIMER_CANCEL_ON_SET) && (flags & TFD_TIMER_ABSTIME), &set, &old);
    file_unref(f);
    return old_value.a ? copy_out_setting(t, old_value, &old) : 0;
}

int64_t sys_timerfd_gettime(struct task *t, int fd, uaddr_t value)
{
    struct timerfd_setting s;
    struct file *f;
    int ret = get_timer(t, fd, &f);
    if (ret < 0)
        return ret;
    timerfd_get(f, &s);
    file_unref(f);
    return copy_out_setting(t, value, &s);
}
