// --strace: a log line for every guest call, decoded, with its result and the time it took.
#include <fcntl.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "host/host.h"
#include "kernel/run.h"
#include "kernel/task.h"
#include "mm/copy.h"
#include "sys/dispatch-int.h"
#include "sys/syscalls-gen.h"

#define STRING_MAX 200

static void put_string(struct strbuf *b, struct task *t, uint64_t addr)
{
    char text[STRING_MAX];
    if (!addr) {
        strbuf_puts(b, "NULL");
        return;
    }
    int64_t n = copy_in_string(t, text, UADDR(addr), sizeof(text));
    if (n == -EFAULT) {
        strbuf_printf(b, "%#lx", addr);
        return;
    }
    uint64_t size = n < 0 ? sizeof(text) : (uint64_t)n;
    strbuf_putc(b, '"');
    for (uint64_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c >= 127 || c == '"' || c == '\\')
            strbuf_printf(b, "\\x%02x", c);
        else
            strbuf_putc(b, (char)c);
    }
    strbuf_puts(b, n < 0 ? "\"..." : "\"");
}

static void put_argument(struct strbuf *b, struct task *t, char kind, uint64_t value)
{
    switch (kind) {
    case 's':
        put_string(b, t, value);
        break;
    case 'd':
        if ((int)value == AT_FDCWD) {
            strbuf_puts(b, "AT_FDCWD");
            break;
        }
        // fall through
    case 'f':
    case 'i':
        strbuf_printf(b, "%d", (int)value);
        break;
    case 'o':
        strbuf_printf(b, "0%o", (unsigned)value);
        break;
    case 'u':
        strbuf_printf(b, "%lu", value);
        break;
    case 'p':
        if (!value) {
            strbuf_puts(b, "NULL");
            break;
        }
        // fall through
    default:
        strbuf_printf(b, "%#lx", value);
    }
}

static void put_call(struct strbuf *b, struct task *t, uint32_t nr, const uint64_t args[6])
{
    const struct syscall_entry *e = nr < SYSCALL_TABLE_SIZE ? &syscall_table[nr] : NULL;
    strbuf_printf(b, "[%5u] %s: ", t->tid, t->comm);
    if (!e || !e->name) {
        strbuf_printf(b, "call %u(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx)", nr, args[0], args[1], args[2], args[3], args[4],
                      args[5]);
        return;
    }
    strbuf_printf(b, "%s(", e->name);
    for (int i = 0; e->spec[i]; i++) {
        if (i)
            strbuf_puts(b, ", ");
        put_argument(b, t, e->spec[i], args[i]);
    }
    strbuf_putc(b, ')');
}

// Calls that don't come back, or not soon, are shown when they begin.
void strace_enter(struct task *t, uint32_t nr, const uint64_t args[6])
{
    if (nr != SYS_execve && nr != SYS_execveat && nr != SYS_exit && nr != SYS_exit_group)
        return;
    char text[1024];
    struct strbuf b = STRBUF_FIXED(text);
    put_call(&b, t, nr, args);
    log_write(LOG_INFO, "%s ...", b.data);
}

void strace_exit(struct task *t, uint32_t nr, const uint64_t args[6], int64_t result, nsec_t started)
{
    char text[1024];
    struct strbuf b = STRBUF_FIXED(text);
    if (nr == SYS_execve || nr == SYS_execveat)
        strbuf_printf(&b, "[%5u] %s: ... exec", t->tid, t->comm);
    else
        put_call(&b, t, nr, args);
    if (result < 0 && result > -4096) {
        const char *name = strerrorname_np((int)-result);
        strbuf_printf(&b, " = -1 %s", name ? name : "ERESTART");
    } else if (result > 0xffff || result < 0) {
        strbuf_printf(&b, " = %#lx", (uint64_t)result);
    } else {
        strbuf_printf(&b, " = %ld", result);
    }
    nsec_t us = (host_now() - started) / 1000;
    strbuf_printf(&b, " <%lld.%06lld>", (long long)(us / 1000000), (long long)(us % 1000000));
    log_write(LOG_INFO, "%s", b.data);
}
