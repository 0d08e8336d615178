// The seccomp programs of the two roles, made from calls.tbl. A program allows what the table allows and answers
// everything else, and every other architecture's calls, with the answer chosen at installation.
#pragma once

#include "base/types.h"

struct seccomp_data;
struct sock_filter;

enum host_filter_id { HOST_FILTER_KERNEL, HOST_FILTER_GOFER, HOST_FILTER_COUNT };

enum host_filter_answer {
    HOST_FILTER_KILL, // the process dies (production)
    HOST_FILTER_TRAP, // SIGSYS with the number: host_filter_catch() logs it, then the process ends (--debug, tests)
};

// Installs the program on the calling process, which has one thread and no-new-privs set. 0 or a negative errno.
int host_filter_install(enum host_filter_id which, enum host_filter_answer answer);

// Logs the number of a call that was off the list, and ends the process. Called before the filter is installed.
int host_filter_catch(void);

// For tests: the program itself, its answer for given registers by an interpreter of our own, and the same by the plain
// rules of the table.
const struct sock_filter *host_filter_program(enum host_filter_id which, uint32_t *ret_count);
uint32_t host_filter_run(const struct sock_filter *program, uint32_t count,
                         const struct seccomp_data *data);
bool host_filter_allows(enum host_filter_id which, const struct seccomp_data *data);
