// Lengths of x86-64 instructions, for finding out whether a byte pattern really is a system call.
#pragma once

#include "base/types.h"

// Length of the instruction at code, of which size bytes are there; 0: not an instruction that this decoder knows, or it does
// not fit. *jump_target is set to the offset from code that a direct jump or call goes to (else to INT64_MIN).
uint32_t x86_decode(const uint8_t *code, uint64_t size, int64_t *jump_target);
