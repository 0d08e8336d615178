// System V IPC, for those below src/sys/ (sys/ipc*.c): what /proc shows.
#pragma once

struct kernel;
struct strbuf;

void ipc_show_shm(struct strbuf *out); // /proc/sysvipc/shm and so on
void ipc_show_sem(struct strbuf *out);
void ipc_show_msg(struct strbuf *out);
