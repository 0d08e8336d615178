// A guest's general registers, x86_64.
#pragma once

#include <stdint.h>

struct guest_regs {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp;
    uint64_t rip, eflags;
    uint64_t fs_base;
    uint64_t orig_rax; // number of the call being answered, or -1
};
