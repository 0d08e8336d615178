// Messages between the command and the two roles (kernel, gofer) over BOOT_FD_CONTROL, a SEQPACKET socket pair. Every
// message has the same size; a shorter or longer one is an error of the peer, and the connection ends. The command
// believes nothing that comes from a role without checking it: numbers are checked for their range, text is cut at its
// size, made printable, and only shown.
//
// The order at start: the command sends GO to each role as soon as its user mapping is written; the kernel answers READY
// when the first program is loaded and runs, or EXEC_FAILED, or FAILED; after READY it sends STOPPED and CONTINUED as
// they happen, and EXIT once, as its last message. A role that finds the socket closed ends at once.
#pragma once

#include "base/types.h"

enum control_type {
    // command -> role
    CONTROL_GO =
        1, // the user namespace is mapped: go on; a: host uid, b: host gid that 0 is mapped to
    CONTROL_SIGNAL = 2, // a: signal for the first process; b: 1 for every process
    CONTROL_WINCH =
        3, // a: rows, b: columns: the terminal on the standard descriptors has changed its size
    CONTROL_TERMINAL = 5, // a: 1: the terminal is in raw mode and the kernel may read it, 0: it is not
    CONTROL_CONT = 4, // the command was continued after STOPPED: SIGCONT to the job that stopped

    // role -> command
    CONTROL_READY = 64,       // kernel: the first program runs
    CONTROL_EXEC_FAILED = 65, // kernel: a: errno, text: what; the sandbox ends
    CONTROL_FAILED =
        66, // either role: could not start or had to give up; a: errno, text: what and why
    CONTROL_EXIT = 67,      // kernel: a: wait status of the first process, as wait4 gives it
    CONTROL_STOPPED = 68,   // kernel: the first process is stopped; a: signal
    CONTROL_CONTINUED = 69, // kernel: it goes on
    CONTROL_READS = 71, // kernel: a program wants to read the terminal, and the kernel may not
    CONTROL_MARK =
        70, // either role, only with --debug: c: CLOCK_MONOTONIC in ns, text: what has just been done
};

enum { CONTROL_TEXT_SIZE = 232 };

struct control_message {
    uint32_t type;
    int32_t a, b;
    uint32_t zero;
    int64_t c;
    char text[CONTROL_TEXT_SIZE]; // NUL-terminated unless full
};
_Static_assert(sizeof(struct control_message) == 256, "the size is the protocol");
