// Thunks of patched call sites. A site becomes a jump through its entry of the jump table to its thunk; the thunk sets the number
// and the return address and goes to stub_patched_entry. Table and thunks are shared by all stubs, read-only to them; what differs
// between processes is one page of bases (STUB_BASES), which each may write: it can only send itself astray.
//
//     MOV   site: mov $nr,%eax; syscall         thunk: mov $nr,%eax; rcx = base + offset + 7; jmp entry
//     CMP   site: syscall; cmp $imm,%rax; nop   thunk: rcx = tail; jmp entry
//                                               tail - 2: jmp thunk     (where a restarted call goes)
//                                               tail: cmp $imm,%rax; rcx = base + offset + 8; jmp *rcx
//
// A thunk uses neither the guest's stack nor its flags; rcx and r11 are free at a system call.
#include "base/log.h"
#include "host/host.h"
#include "platform/trap/trap-int.h"

struct code {
    uint8_t bytes[STUB_THUNK_SIZE];
    uint32_t size;
    uint64_t addr; // in the stub
};

static void put(struct code *c, const void *bytes, uint32_t size)
{
    BUG_ON(size > sizeof(c->bytes) - c->size);
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
}

static void put32(struct code *c, uint32_t v)
{
    put(c, &v, sizeof(v));
}

// An operand relative to the end of the instruction, which it ends.
static void put_relative(struct code *c, uint64_t target)
{
    put32(c, (uint32_t)(target - (c->addr + c->size + 4)));
}

static void put_return_address(struct code *c, uint32_t file, uint64_t offset)
{
    put(c, "\x48\x8b\x0d", 3); // mov base(%rip), %rcx
    put_relative(c, STUB_BASES + 8ull * file);
    put(c, "\x48\x8d\x89", 3); // lea offset(%rcx), %rcx
    put32(c, (uint32_t)offset);
}

static void put_jump_to_entry(struct code *c)
{
    put(c, "\xff\x25", 2); // jmp *patched_entry(%rip)
    put_relative(c, STUB_TEXT + offsetof(struct stub_header, patched_entry));
}

static void make_mov(struct code *c, uint32_t file, const struct platform_site *site)
{
    put(c, "\xb8", 1); // mov $nr, %eax
    put32(c, site->nr);
    put_return_address(c, file, site->offset + 7);
    put_jump_to_entry(c);
}

static void make_cmp(struct code *c, uint32_t file, const struct platform_site *site)
{
    put(c, "\x48\x8d\x0d", 3); // lea tail(%rip), %rcx
    put_relative(c, c->addr + STUB_THUNK_TAIL + 2);
    put_jump_to_entry(c);
    while (c->size < STUB_THUNK_TAIL)
        put(c, "\xcc", 1);
    put(c, "\xeb", 1); // jmp thunk
    put(c, &(uint8_t){(uint8_t)-(STUB_THUNK_TAIL + 2)}, 1);
    put(c, "\x48\x3d", 2); // cmp $imm, %rax
    put32(c, (uint32_t)site->compare);
    put_return_address(c, file, site->offset + 8);
    put(c, "\xff\xe1", 2); // jmp *%rcx
}

bool platform_patching(const struct platform *p)
{
    return !p->config.no_patching;
}

int platform_patch_file(struct platform *p)
{
    lock_take(&p->lock);
    int file = p->patch_files < PLATFORM_PATCH_FILES ? (int)p->patch_files++ : -ENOSPC;
    lock_release(&p->lock);
    return file;
}

int platform_patch_site(struct platform *p, uint32_t file, const struct platform_site *site, uint8_t out[8])
{
    if (site->offset > INT32_MAX - 16)
        return -ENOSPC;
    lock_take(&p->lock);
    uint32_t n = p->patch_sites < STUB_THUNK_COUNT ? p->patch_sites++ : STUB_THUNK_COUNT;
    lock_release(&p->lock);
    if (n == STUB_THUNK_COUNT)
        return -ENOSPC;
    struct code c = {.addr = STUB_THUNKS + (uint64_t)n * STUB_THUNK_SIZE};
    if (site->shape == PLATFORM_SITE_MOV)
        make_mov(&c, file, site);
    else
        make_cmp(&c, file, site);
    int fd = p->zygote_info.memory_fd;
    if (host_pwrite(fd, c.bytes, sizeof(c.bytes), PATCH_THUNKS_OFFSET + (uint64_t)n * STUB_THUNK_SIZE) < 0 ||
        host_pwrite(fd, &c.addr, sizeof(c.addr), PATCH_TABLE_OFFSET + 8ull * n) < 0)
        return -ENOSPC;
    uint32_t entry = STUB_JUMP_TABLE + 8 * n;
    out[0] = 0xff; // jmp *entry
    out[1] = 0x24;
    out[2] = 0x25;
    memcpy(out + 3, &entry, 4);
    out[7] = 0x90;
    return 0;
}

uint64_t platform_patch_tail(const uint8_t bytes[8])
{
    uint32_t entry;
    memcpy(&entry, bytes + 3, 4);
    if (memcmp(bytes, "\xff\x24\x25", 3) != 0 || bytes[7] != 0x90 || entry < STUB_JUMP_TABLE ||
        entry >= STUB_JUMP_TABLE + STUB_JUMP_TABLE_SIZE)
        return 0;
    return STUB_THUNKS + (uint64_t)(entry - STUB_JUMP_TABLE) / 8 * STUB_THUNK_SIZE + STUB_THUNK_TAIL + 2;
}

void platform_patch_base(struct platform_thread *pt, uint32_t file, uint64_t base)
{
    uint64_t at = STUB_BASES + 8ull * file;
    void *w = platform_window_out(pt, at, sizeof(base));
    if (w)
        memcpy(w, &base, sizeof(base));
    else
        platform_write(pt->pm, at, &base, sizeof(base));
}
