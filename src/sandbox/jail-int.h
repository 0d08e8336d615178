// Shared by the files of the jail.
#pragma once

#include "sandbox/jail.h"

static inline int jail_fail(struct jail *j, const char *what, int error)
{
    j->what = what;
    return error;
}
