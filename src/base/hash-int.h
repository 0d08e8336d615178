// Inside of hash.c, for its tests.
#pragma once

#include "base/types.h"

// One block of key stream; tail is the counter and nonce words of the state (RFC 8439, 2.3).
void chacha20_block(const uint32_t key[8], const uint32_t tail[4], uint8_t out[64]);
