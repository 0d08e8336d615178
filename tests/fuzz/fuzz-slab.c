// The allocator under sequences of operations, against a model: blocks are zero when they come, keep what was written to
// them, and don't overlap.
#include <stdlib.h>

#include "base/slab.h"

struct a {
    uint8_t bytes[24];
};
struct b {
    uint8_t bytes[5000];
};
SLAB_TYPE(type_a, SLAB_TASK, struct a);
SLAB_TYPE(type_b, SLAB_MM, struct b);

enum { SLOTS = 32 };
static struct {
    uint8_t *p;
    uint64_t size;
    const struct slab_type *type;
    uint8_t tag;
} slots[SLOTS];

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_bytes(const uint8_t *p, uint64_t size, uint8_t value)
{
    for (uint64_t i = 0; i < size; i++)
        check(p[i] == value);
}

static void release(int k)
{
    if (!slots[k].p)
        return;
    check_bytes(slots[k].p, slots[k].size, slots[k].tag);
    if (slots[k].type)
        slab_free(slots[k].type, slots[k].p);
    else
        kfree(slots[k].p);
    slots[k].p = NULL;
}

static void take(int k, const struct slab_type *type, uint64_t size, uint8_t tag)
{
    release(k);
    slots[k].type = type;
    slots[k].size = type ? type->size : size;
    slots[k].tag = tag;
    slots[k].p = type ? slab_alloc(type) : kmalloc(size);
    if (!slots[k].p)
        return;
    check(arena_contains(slots[k].p));
    check_bytes(slots[k].p, slots[k].size, 0);
    memset(slots[k].p, tag, slots[k].size);
}

static void resize(int k, uint64_t size)
{
    if (!slots[k].p || slots[k].type || size == 0)
        return;
    uint64_t kept = MIN(size, slots[k].size);
    uint8_t *p = krealloc(slots[k].p, slots[k].size, size);
    if (!p)
        return;
    check_bytes(p, kept, slots[k].tag);
    check_bytes(p + kept, size - kept, 0);
    memset(p, slots[k].tag, size);
    slots[k].p = p;
    slots[k].size = size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!arena_base())
        check(arena_init(0, 1ull << 30) == 0);
    for (; size >= 4; data += 4, size -= 4) {
        int k = data[0] % SLOTS;
        uint64_t n = (data[2] | (data[3] & 7ull) << 8) << (data[3] >> 3 == 31 ? 7 : 0);
        switch (data[1] % 5) {
        case 0:
            take(k, &type_a, 0, data[2]);
            break;
        case 1:
            take(k, &type_b, 0, data[2]);
            break;
        case 2:
            take(k, NULL, n + 1, data[0]);
            break;
        case 3:
            resize(k, n);
            break;
        default:
            release(k);
        }
    }
    for (int k = 0; k < SLOTS; k++)
        release(k);
    check(slab_count(&type_a) == 0 && slab_count(&type_b) == 0);
    return 0;
}
