// Raw mode and back. In raw mode the host's line discipline does nothing: the guest's own does, in Caisson's kernel.

#include "runtime/terminal.h"
#include <sys/ioctl.h>
#include <unistd.h>

void terminal_init(struct terminal *t, int fd)
{
    *t = (struct terminal){.fd = fd};
}

void terminal_make_raw(struct terminal *t)
{
    if (t->fd < 0 || t->raw)
        return;
    // In the background the change would stop us; SIGCONT tries again. A terminal that is not our controlling one knows no
    // background.
    pid_t foreground = tcgetpgrp(t->fd);
    if ((foreground >= 0 && foreground != getpgrp()) || tcgetattr(t->fd, &t->saved) < 0)
        return;
    struct termios raw = t->saved;
    cfmakeraw(&raw);
    t->raw = tcsetattr(t->fd, TCSADRAIN, &raw) == 0;
}

void terminal_restore(struct terminal *t)
{
    if (t->fd >= 0 && t->raw)
        (void)tcsetattr(t->fd, TCSADRAIN, &t->saved);
    t->raw = false;
}

bool terminal_size(const struct terminal *t, uint16_t *rows, uint16_t *cols)
{
    struct winsize size;
    if (t->fd < 0 || ioctl(t->fd, TIOCGWINSZ, &size) < 0)
        return false;
    *rows = size.ws_row;
    *cols = size.ws_col;
    return true;
}
