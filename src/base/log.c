// Log lines. A line is formatted on the stack and goes out in one write, which pipes (up to 4 KiB) and files opened with
// O_APPEND keep whole, so there is no lock and nothing to hold over a slow reader.
//
// Messages carry strings that guests choose: whatever isn't printable ASCII is escaped, so that no guest can forge a line
// or send control sequences to the terminal that shows the log.
//
// The configuration is the only state. It is written once, before any other thread starts, and is set again by a restore.
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include "host/syscall.h"

enum { MESSAGE_MAX = 1024, LINE_MAX_BYTES = 4096, PANIC_STATUS = 134 };

static struct log_config log_config = {.fd = -1, .level = LOG_WARN, .component = "caisson"};

static const char *const level_names[] = {
    [LOG_ERROR] = "error",
    [LOG_WARN] = "warning",
    [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug",
};

struct line {
    char data[LINE_MAX_BYTES];
    uint32_t size;
};

void log_init(const struct log_config *config)
{
    log_config = *config;
    if (!log_config.component)
        log_config.component = "caisson";
}

bool log_enabled(enum log_level level)
{
    return log_config.fd >= 0 && level <= log_config.level;
}

static void add_char(struct line *l, char c)
{
    if (l->size < sizeof(l->data) - 1) // the last byte is the newline's
        l->data[l->size++] = c;
}

static void add_text(struct line *l, const char *s)
{
    while (*s)
        add_char(l, *s++);
}

static void add_number(struct line *l, uint64_t n, int digits)
{
    char text[20];
    int i = 0;
    do {
        text[i++] = (char)('0' + n % 10);
        n /= 10;
    } while (n || i < digits);
    while (i)
        add_char(l, text[--i]);
}

static void add_escaped(struct line *l, const char *s, bool json)
{
    static const char hex[] = "0123456789abcdef";
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (json && (c == '"' || c == '\\')) {
            add_char(l, '\\');
            add_char(l, (char)c);
        } else if (c >= 0x20 && c < 0x7f) {
            add_char(l, (char)c);
        } else {
            add_text(l, json ? "\\u00" : "\\x");
            add_char(l, hex[c >> 4]);
            add_char(l, hex[c & 15]);
        }
    }
}

// RFC 3339 in UTC. gmtime_r() is not an option: it takes glibc's locks and may read the time zone files. The calendar is
// counted in years that begin in March, so that the leap day comes last.
static void add_time(struct line *l)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0 || ts.tv_sec < 0)
        ts = (struct timespec){0};
    uint64_t sec = (uint64_t)ts.tv_sec;
    uint64_t days = sec / 86400 + 719468; // since 0000-03-01
    uint64_t era = days / 146097, day_of_era = days % 146097;
    uint64_t year =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * day_of_year + 2) / 153; // 0 is March
    uint64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    uint64_t civil_month = month < 10 ? month + 3 : month - 9;
    add_number(l, year + era * 400 + (civil_month <= 2), 4);
    add_char(l, '-');
    add_number(l, civil_month, 2);
    add_char(l, '-');
    add_number(l, day, 2);
    add_char(l, 'T');
    add_number(l, sec / 3600 % 24, 2);
    add_char(l, ':');
    add_number(l, sec / 60 % 60, 2);
    add_char(l, ':');
    add_number(l, sec % 60, 2);
    add_char(l, '.');
    add_number(l, (uint64_t)ts.tv_nsec / 1000, 6);
    add_char(l, 'Z');
}

static void write_all(int fd, const char *data, uint64_t size)
{
    while (size) {
        long n = host_syscall3(SYS_write, fd, (long)data, (long)size);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return; // a log that can't be written must not stop the kernel
        data += n;
        size -= (uint64_t)n;
    }
}

static void emit(enum log_level level, const char *message)
{
    struct line l;
    bool json = log_config.json;
    l.size = 0;
    add_text(&l, json ? "{\"time\":\"" : "");
    add_time(&l);
    add_text(&l, json ? "\",\"level\":\"" : " ");
    add_text(&l, level_names[level]);
    add_text(&l, json ? "\",\"component\":\"" : " ");
    add_text(&l, log_config.component);
    add_text(&l, json ? "\",\"msg\":\"" : ": ");
    if (json) {
        // Leave room for the end, so that a message that is cut is still JSON; an escape takes at most 6 bytes.
        for (char c[2] = {*message, 0}; c[0] && l.size < sizeof(l.data) - 16; c[0] = *++message)
            add_escaped(&l, c, true);
        add_text(&l, "\"}");
    } else {
        add_escaped(&l, message, false);
    }
    l.data[l.size++] = '\n';
    write_all(log_config.fd, l.data, l.size);
}

static void log_write_v(enum log_level level, const char *format, va_list ap)
{
    char message[MESSAGE_MAX];
    if (vsnprintf(message, sizeof(message), format, ap) < 0)
        return;
    emit(level, message);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    va_list ap;
    va_start(ap, format);
    log_write_v(level, format, ap);
    va_end(ap);
}

// Ends by exit_group: it is on every seccomp list, and a core of this process would hold guests' secrets.
void panic(const char *format, ...)
{
    if (log_config.fd >= 0) {
        va_list ap;
        va_start(ap, format);
        log_write_v(LOG_ERROR, format, ap);
        va_end(ap);
    }
    for (;;)
        host_syscall1(SYS_exit_group, PANIC_STATUS);
}
