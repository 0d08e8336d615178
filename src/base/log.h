// The kernel and gofer processes' log: one descriptor handed over at start, text or JSON lines, no allocation, safe to
// call with locks held. The CLI has its own error object (runtime/error.h).
#pragma once

#include "base/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_config {
    int fd; // -1: nowhere
    bool json;
    enum log_level level;
    const char *component; // "kernel", "gofer"
};

void log_init(const struct log_config *config);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                                 \
    do {                                                                                                               \
        if (unlikely(log_enabled(LOG_DEBUG)))                                                                          \
            log_write(LOG_DEBUG, __VA_ARGS__);                                                                         \
    } while (0)

// An invariant of the kernel is broken: logs the place and ends the process (and with it the sandbox).
_Noreturn void panic(const char *format, ...) PRINTF_LIKE(1, 2);
#define BUG_ON(cond)                                                                                                   \
    do {                                                                                                               \
        if (unlikely(cond))                                                                                            \
            panic("bug: %s at %s:%d", #cond, __FILE__, __LINE__);                                                      \
    } while (0)
