// vhangup(2).
#include "fs/tty/tty.h"
#include "abi/capability.h"
#include "kernel/task.h"
#include "sys/syscalls-gen.h"

int64_t sys_vhangup(struct task *t)
{
    if (!capable(t, CAP_SYS_TTY_CONFIG))
        return -EPERM;
    struct tty *tty = tty_of_task(t);
    if (tty)
        tty_hangup(tty);
    tty_unref(tty);
    return 0;
}
