// SipHash and ChaCha20 against their papers' test vectors; the random source's behaviour.
#include "base/hash.h"

#include "base/hash-int.h"
#include "unit.h"

// The vectors of the SipHash paper, appendix A, and the first of the reference implementation's table.
static void test_siphash(void **state)
{
    struct siphash_key key = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
    uint8_t in[64];
    for (int i = 0; i < 64; i++)
        in[i] = (uint8_t)i;
    assert_int_equal(siphash(&key, in, 15), 0xa129ca6149be45e5ull);
    assert_int_equal(siphash(&key, in, 0), 0x726fdb47dd0e0e31ull);
    assert_int_equal(siphash(&key, in, 8), 0x93f5f5799a932462ull);
    uint8_t odd[65];
    memcpy(odd + 1, in, 64);
    assert_int_equal(siphash(&key, odd + 1, 63), siphash(&key, in, 63));
}

// RFC 8439, 2.3.2.
static void test_chacha20(void **state)
{
    uint8_t key_bytes[32], out[64];
    uint32_t key[8];
    for (int i = 0; i < 32; i++)
        key_bytes[i] = (uint8_t)i;
    memcpy(key, key_bytes, sizeof(key));
    const uint32_t tail[4] = {1, 0x09000000, 0x4a000000, 0};
    static const uint8_t want[64] = {
        0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
        0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
        0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
        0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
        0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e,
    };
    chacha20_block(key, tail, out);
    assert_memory_equal(out, want, 64);
}

static void test_random(void **state)
{
    uint8_t seed[32] = {1, 2, 3}, a[1000], b[1000];
    struct random_state r, s;
    random_init(&r, seed);
    random_init(&s, seed);
    // Same seed and same calls: same bytes. The key changes with every use.
    for (uint64_t n = 0; n < 300; n++) {
        uint32_t before[8];
        memcpy(before, r.key, sizeof(before));
        random_bytes(&r, a, n);
        random_bytes(&s, b, n);
        assert_memory_equal(a, b, n);
        if (n >= 32)
            assert_memory_not_equal(before, r.key, sizeof(before));
    }
    random_bytes(&r, a, sizeof(a));
    random_bytes(&r, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    // What was handed out is no longer in the state.
    for (uint32_t i = 0; i + 16 <= sizeof(r.block); i++)
        assert_memory_not_equal(r.block + i, b + sizeof(b) - 16, 16);
    uint32_t counts[256] = {0};
    for (int i = 0; i < 256 * 1000; i += 8) {
        uint64_t x = random_u64(&r);
        for (int k = 0; k < 8; k++)
            counts[(x >> (8 * k)) & 255]++;
    }
    for (int i = 0; i < 256; i++)
        assert_in_range(counts[i], 800, 1200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash),
        cmocka_unit_test(test_chacha20),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
