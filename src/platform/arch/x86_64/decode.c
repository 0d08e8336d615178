// See decode.h. Tables by opcode: how much follows it. Intel's manual, volume 2, appendix A.
#include "platform/arch/x86_64/decode.h"

enum follow {
    NONE,    // nothing
    MODRM,   // ModRM with what that asks for
    IMM8,    // one byte
    IMMZ,    // 4 bytes, 2 with operand-size prefix
    M_IMM8,  // ModRM and one byte
    M_IMMZ,  // ModRM and 4 (2)
    REL8, REL32,
    OTHER,   // handled by itself
    BAD,
};

static uint8_t one_byte(uint8_t op)
{
    if (op < 0x40) {
        static const uint8_t row[8] = {MODRM, MODRM, MODRM, MODRM, IMM8, IMMZ, BAD, BAD};
        return row[op & 7];
    }
    if (op >= 0x50 && op < 0x60)
        return NONE;
    if (op >= 0x70 && op < 0x80)
        return REL8;
    if (op >= 0x84 && op < 0x90)
        return MODRM;
    if (op >= 0x90 && op < 0xa0)
        return op == 0x9a ? BAD : NONE;
    if (op >= 0xb0 && op < 0xb8)
        return IMM8;
    if (op >= 0xd8 && op < 0xe0)
        return MODRM;
    switch (op) {
    case 0x63: case 0xd0: case 0xd1: case 0xd2: case 0xd3: case 0xfe: case 0xff:
        return MODRM;
    case 0x68: case 0xa9:
        return IMMZ;
    case 0x69: case 0x81: case 0xc7:
        return M_IMMZ;
    case 0x6a: case 0xa8: case 0xcd: case 0xe4: case 0xe5: case 0xe6: case 0xe7:
        return IMM8;
    case 0x6b: case 0x80: case 0x83: case 0xc0: case 0xc1: case 0xc6:
        return M_IMM8;
    case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0xeb:
        return REL8;
    case 0xe8: case 0xe9:
        return REL32;
    case 0x6c: case 0x6d: case 0x6e: case 0x6f: case 0xa4: case 0xa5: case 0xa6: case 0xa7: case 0xaa: case 0xab:
    case 0xac: case 0xad: case 0xae: case 0xaf: case 0xc3: case 0xc9: case 0xcb: case 0xcc: case 0xcf: case 0xd7:
    case 0xec: case 0xed: case 0xee: case 0xef: case 0xf1: case 0xf4: case 0xf5: case 0xf8: case 0xf9: case 0xfa:
    case 0xfb: case 0xfc: case 0xfd:
        return NONE;
    case 0xa0: case 0xa1: case 0xa2: case 0xa3: case 0xc2: case 0xc8: case 0xca: case 0xf6: case 0xf7:
        return OTHER;
    default:
        return op >= 0xb8 && op < 0xc0 ? OTHER : BAD;
    }
}

static uint8_t two_byte(uint8_t op)
{
    if (op >= 0x80 && op < 0x90)
        return REL32;
    if (op >= 0xc8 && op < 0xd0)
        return NONE;
    switch (op) {
    case 0x05: case 0x06: case 0x07: case 0x08: case 0x09: case 0x0b: case 0x30: case 0x31: case 0x32: case 0x33:
    case 0x34: case 0x35: case 0x37: case 0x77: case 0xa0: case 0xa1: case 0xa2: case 0xa8: case 0xa9: case 0xaa:
        return NONE;
    case 0x70: case 0x71: case 0x72: case 0x73: case 0xa4: case 0xac: case 0xba: case 0xc2: case 0xc4: case 0xc5:
    case 0xc6:
        return M_IMM8;
    case 0x04: case 0x0a: case 0x0c: case 0x0e: case 0x0f: case 0x24: case 0x25: case 0x26: case 0x27: case 0x36:
    case 0x38: case 0x39: case 0x3a: case 0x3b: case 0x3c: case 0x3d: case 0x3e: case 0x3f: case 0xa6: case 0xa7:
        return BAD;
    default:
        return MODRM;
    }
}

struct cursor {
    const uint8_t *code;
    uint64_t size, at;
    bool short_operand, short_address, rex_w, failed;
};

static uint8_t next(struct cursor *c)
{
    if (c->at >= c->size) {
        c->failed = true;
        return 0;
    }
    return c->code[c->at++];
}

static void skip(struct cursor *c, uint32_t n)
{
    if (n > c->size - c->at) {
        c->failed = true;
        return;
    }
    c->at += n;
}

// ModRM, SIB and displacement. Returns the ModRM byte.
static uint8_t skip_modrm(struct cursor *c)
{
    uint8_t m = next(c), mod = m >> 6, rm = m & 7;
    if (mod == 3)
        return m;
    uint8_t base = rm;
    if (rm == 4)
        base = next(c) & 7;
    if (mod == 1)
        skip(c, 1);
    else if (mod == 2 || (mod == 0 && base == 5))
        skip(c, 4);
    return m;
}

static void skip_other(struct cursor *c, uint8_t op)
{
    if (op >= 0xb8) { // mov $imm, reg; and groups 3
        if (op == 0xc2 || op == 0xca) {
            skip(c, 2);
        } else if (op == 0xc8) {
            skip(c, 3);
        } else if (op == 0xf6 || op == 0xf7) {
            uint8_t reg = skip_modrm(c) >> 3 & 7;
            if (reg < 2)
                skip(c, op == 0xf6 ? 1 : c->short_operand ? 2 : 4);
        } else {
            skip(c, c->rex_w ? 8 : c->short_operand ? 2 : 4);
        }
        return;
    }
    skip(c, c->short_address ? 4 : 8); // moffs
}

static void skip_follow(struct cursor *c, uint8_t kind, uint8_t op, int64_t *jump_target)
{
    uint32_t z = c->short_operand ? 2 : 4;
    switch (kind) {
    case NONE:
        return;
    case MODRM:
        skip_modrm(c);
        return;
    case IMM8:
        skip(c, 1);
        return;
    case IMMZ:
        skip(c, z);
        return;
    case M_IMM8:
        skip_modrm(c);
        skip(c, 1);
        return;
    case M_IMMZ:
        skip_modrm(c);
        skip(c, z);
        return;
    case REL8:
        skip(c, 1);
        if (!c->failed)
            *jump_target = (int64_t)c->at + (int8_t)c->code[c->at - 1];
        return;
    case REL32:
        skip(c, 4);
        if (!c->failed) {
            int32_t d;
            memcpy(&d, c->code + c->at - 4, 4);
            *jump_target = (int64_t)c->at + d;
        }
        return;
    case OTHER:
        skip_other(c, op);
        return;
    default:
        c->failed = true;
    }
}

// After a VEX or EVEX prefix: opcode map and opcode.
static void skip_vector(struct cursor *c, uint8_t map, uint8_t op)
{
    if (map == 1 && op == 0x77)
        return;
    skip_modrm(c);
    if (map == 3 || (map == 1 && two_byte(op) == M_IMM8))
        skip(c, 1);
    if (map == 0 || map > 6)
        c->failed = true;
}

static bool is_prefix(uint8_t b)
{
    switch (b) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
        return true;
    default:
        return false;
    }
}

uint32_t x86_decode(const uint8_t *code, uint64_t size, int64_t *jump_target)
{
    struct cursor c = {.code = code, .size = MIN(size, 15ull)};
    *jump_target = INT64_MIN;
    uint8_t b = next(&c);
    while (!c.failed && is_prefix(b)) {
        c.short_operand |= b == 0x66;
        c.short_address |= b == 0x67;
        b = next(&c);
    }
    if (b == 0xc5) {
        next(&c);
        b = next(&c);
        skip_vector(&c, 1, b);
        return c.failed ? 0 : (uint32_t)c.at;
    }
    if (b == 0xc4 || b == 0x62) {
        uint8_t map = next(&c) & (b == 0xc4 ? 0x1f : 7);
        skip(&c, b == 0xc4 ? 1 : 2);
        b = next(&c);
        skip_vector(&c, map, b);
        return c.failed ? 0 : (uint32_t)c.at;
    }
    if (b >= 0x40 && b < 0x50) {
        c.rex_w = (b & 8) != 0;
        b = next(&c);
    }
    if (b != 0x0f) {
        skip_follow(&c, one_byte(b), b, jump_target);
    } else {
        b = next(&c);
        if (b == 0x38 || b == 0x3a) {
            next(&c);
            skip_follow(&c, b == 0x38 ? MODRM : M_IMM8, b, jump_target);
        } else {
            skip_follow(&c, two_byte(b), b, jump_target);
        }
    }
    return c.failed ? 0 : (uint32_t)c.at;
}
