// SipHash-2-4 and the ChaCha20 random source.
//
// The random source erases its key with every use ("fast key erasure", Bernstein 2017): the first half of each key
// stream becomes the next key, so that a state that leaks doesn't tell what was handed out before. Not thread-safe; the
// owner's lock guards a state.
#include "base/hash.h"

#include "base/hash-int.h"

#define ROTL64(x, n) (((x) << (n)) | ((x) >> (64 - (n))))
#define ROTL32(x, n) (((x) << (n)) | ((x) >> (32 - (n))))

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static uint32_t to_le32(uint32_t x)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap32(x);
#endif
    return x;
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = ROTL64(v[1], 13) ^ v[0];
    v[0] = ROTL64(v[0], 32);
    v[2] += v[3];
    v[3] = ROTL64(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ROTL64(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ROTL64(v[1], 17) ^ v[2];
    v[2] = ROTL64(v[2], 32);
}

uint64_t siphash(const struct siphash_key *key, const void *data, uint64_t size)
{
    const uint8_t *p = data;
    uint64_t v[4] = {
        key->k0 ^ 0x736f6d6570736575ull,
        key->k1 ^ 0x646f72616e646f6dull,
        key->k0 ^ 0x6c7967656e657261ull,
        key->k1 ^ 0x7465646279746573ull,
    };
    uint64_t last = size << 56;
    for (uint64_t left = size; left >= 8; left -= 8, p += 8) {
        uint64_t m = load_le64(p);
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    for (uint32_t i = 0; i < (size & 7); i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#define QUARTER(a, b, c, d)             \
    do {                                \
        x[a] += x[b];                   \
        x[d] = ROTL32(x[d] ^ x[a], 16); \
        x[c] += x[d];                   \
        x[b] = ROTL32(x[b] ^ x[c], 12); \
        x[a] += x[b];                   \
        x[d] = ROTL32(x[d] ^ x[a], 8);  \
        x[c] += x[d];                   \
        x[b] = ROTL32(x[b] ^ x[c], 7);  \
    } while (0)

void chacha20_block(const uint32_t key[8], const uint32_t tail[4], uint8_t out[64])
{
    uint32_t s[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    uint32_t x[16];
    memcpy(s + 4, key, 32);
    memcpy(s + 12, tail, 16);
    memcpy(x, s, sizeof(x));
    for (int i = 0; i < 10; i++) {
        QUARTER(0, 4, 8, 12);
        QUARTER(1, 5, 9, 13);
        QUARTER(2, 6, 10, 14);
        QUARTER(3, 7, 11, 15);
        QUARTER(0, 5, 10, 15);
        QUARTER(1, 6, 11, 12);
        QUARTER(2, 7, 8, 13);
        QUARTER(3, 4, 9, 14);
    }
    for (int i = 0; i < 16; i++)
        x[i] = to_le32(x[i] + s[i]);
    memcpy(out, x, sizeof(x));
}

static void next_block(struct random_state *r, uint8_t out[64])
{
    uint32_t tail[4] = {(uint32_t)r->counter, (uint32_t)(r->counter >> 32), 0, 0};
    r->counter++;
    chacha20_block(r->key, tail, out);
}

void random_init(struct random_state *r, const uint8_t seed[32])
{
    *r = (struct random_state){.used = sizeof(r->block)};
    for (int i = 0; i < 8; i++) {
        uint32_t w;
        memcpy(&w, seed + 4 * i, sizeof(w));
        r->key[i] = to_le32(w);
    }
}

// Replaces the key by half a block; the other half is what the buffer then holds.
static void refill(struct random_state *r)
{
    next_block(r, r->block);
    memcpy(r->key, r->block, sizeof(r->key));
    memset(r->block, 0, sizeof(r->key));
    r->used = sizeof(r->key);
}

void random_bytes(struct random_state *r, void *out, uint64_t size)
{
    uint8_t *p = out;
    // Whole blocks go out directly under the current key, which is replaced at once afterwards.
    if (size >= sizeof(r->block)) {
        for (; size >= sizeof(r->block); size -= sizeof(r->block), p += sizeof(r->block))
            next_block(r, p);
        refill(r);
    }
    while (size) {
        if (r->used == sizeof(r->block))
            refill(r);
        uint64_t n = MIN(size, sizeof(r->block) - r->used);
        memcpy(p, r->block + r->used, n);
        memset(r->block + r->used, 0, n);
        r->used += (uint32_t)n;
        p += n;
        size -= n;
    }
}

uint64_t random_u64(struct random_state *r)
{
    uint64_t x;
    random_bytes(r, &x, sizeof(x));
    return x;
}
