// What went wrong in the runtime: a number and a sentence. Functions return 0, or -1 with the error set; only cmd/ prints.
// The text says what failed, on which object, why, and what to do about it where that isn't plain.
#pragma once

#include "base/types.h"

struct error {
    int number; // errno, 0 when no system call is to blame
    char text[1024];
};

// Sets the error and returns -1. With a number that is not 0 its description is appended.
int error_set(struct error *e, int number, const char *format, ...) PRINTF_LIKE(3, 4);
// Puts context in front of what is there, and returns -1: "config.json: process.args: must be a list".
int error_prefix(struct error *e, const char *format, ...) PRINTF_LIKE(2, 3);
