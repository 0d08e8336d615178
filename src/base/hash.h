// Keyed hash (SipHash-2-4, Aumasson and Bernstein 2012) against flooding by guest-chosen names, and a random source
// (ChaCha20, RFC 8439, keyed by getrandom, one state per call site owner).
#pragma once

#include "base/types.h"

struct siphash_key {
    uint64_t k0, k1;
};

uint64_t siphash(const struct siphash_key *key, const void *data, uint64_t size);

struct random_state {
    uint32_t key[8];
    uint64_t counter;
    uint8_t block[64];
    uint32_t used;
};

void random_init(struct random_state *r, const uint8_t seed[32]);
void random_bytes(struct random_state *r, void *out, uint64_t size);
uint64_t random_u64(struct random_state *r);
