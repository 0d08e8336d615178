// What the kernel process and the stub share: where things lie in a stub's address space, and the slot through which the
// two talk. Included by both; the stub's side is freestanding. docs/trap-platform.md explains the protocol.
//
// Everything in a slot can be written by the guest at any time. The kernel reads a field once into a local, checks it, and
// uses the local.
#pragma once

#define STUB_TEXT 0x7fffffe00000   // header, code, tables; read and execute
#define STUB_TEXT_SIZE 0x8000
#define STUB_VDSO 0x7fffffe08000   // the guest's vDSO, part of the same image
#define STUB_VDSO_SIZE 0x2000
#define STUB_IMAGE_SIZE 0xa000
#define STUB_THUNKS 0x7fffffe10000 // thunks of patched call sites, see thunk.c; shared by all stubs
#define STUB_THUNK_SIZE 64
#define STUB_THUNK_TAIL 30         // from here on a thunk is guest code: the call is over, or not begun
#define STUB_THUNK_COUNT 8192
#define STUB_THUNKS_SIZE 0x80000
#define STUB_HOST_VDSO 0x7fffffe90000 // the host's vvar and vDSO, moved here
#define STUB_HOST_VDSO_SIZE 0x10000
#define STUB_BASES 0x7fffffea0000  // private page of a process: where it has each patched file, by the file's index
#define STUB_BASES_COUNT 512
#define STUB_SLOTS 0x7fffffec0000  // first slots of a process; later ones lie below STUB_SLOTS_FAR_END
#define STUB_END 0x7ffffffe0000
#define STUB_NEAR_SLOTS 9
// Patched calls jump through a table here: byte 2 of its addresses is an invalid opcode, so that a jump onto the old syscall
// instruction faults and can be put right.
#define STUB_JUMP_TABLE 0x60000
#define STUB_JUMP_TABLE_SIZE 0x10000
#define STUB_SLOTS_FAR_END 0x7fffffc00000
#define STUB_FAR_SLOTS 30000
#define SLOT_SIZE 0x20000

#define SLOT_COMMAND_MAX 40
#define SLOT_COPY_MAX 12
#define SLOT_IN_MAX 4
#define SLOT_WINDOW_SIZE 0x10000
#define SLOT_SIGFRAME_SIZE 3584    // of a guest's signal frame, brought along with rt_sigreturn
#define SLOT_STACK_SIZE 0x1000     // the trampoline's stack
#define SLOT_ALTSTACK_SIZE 0xc000

// The host signal that stops a running guest thread.
#define STUB_SIGNAL 23 // SIGURG

#ifndef __ASSEMBLER__
#include <stdint.h>

enum slot_kind { // why the stub posts
    SLOT_SYSCALL = 1,      // nr, args; from a frame (frame != 0) or from a patched site (regs)
    SLOT_FAULT = 2,        // frame; siginfo beside it
    SLOT_INTERRUPT = 3,    // frame
    SLOT_READY = 4,        // a new process or thread waits for its first reply
    SLOT_DONE = 5,         // commands were executed; the stub waits for a reply
    SLOT_DONE_RESUMED = 6, // commands were executed; the stub went on
    SLOT_PATCHED = 8,      // SLOT_SYSCALL from a patched site: nothing but the request line has to be read
    SLOT_FUTEX_INTERRUPTED = 7, // a futex wait in the stub was ended by an interrupt; nr and args are its own
};

enum reply_flags {
    REPLY_COMMANDS = 1, // run the command list first
    REPLY_RESUME = 2,   // then go on in the guest (else post SLOT_DONE and wait)
    REPLY_RESULT = 4,   // result goes to rax
    REPLY_REGS = 8,     // registers in the slot were replaced (patched path): load all of them
    REPLY_SIGNAL = 16,  // patched path: come back at once with a frame (a call that traps)
    REPLY_SIGRETURN = 32, // go on by rt_sigreturn on slot->frame
};

struct slot_command {
    uint64_t nr; // host call, or one of these
    uint64_t args[6];
    int64_t result; // written by the stub
};
#define COMMAND_FORK 0x1000   // args: flags, slot's file offset, fd, address and size of the slot, address of child_tid
#define COMMAND_THREAD 0x1001 // args: flags, new stack pointer, clear_tid, tls, new slot's address
#define COMMAND_SET_FS 0x1002 // args: base
#define COMMAND_EXIT 0x1003

// Answer to SLOT_FUTEX_INTERRUPTED: the wait goes on.
#define FUTEX_GO_ON (-1000)

struct slot_copy { // window -> guest memory, with the reply
    uint64_t addr;
    uint32_t size, offset;
};

struct slot_in { // guest memory -> window, with the request
    uint64_t addr;
    uint32_t size, offset;
};

struct slot_regs { // a patched call's registers, in the order that entry.S pushes them
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rax, rcx, eflags, rsp, rip;
};

struct slot {
    // One line that the stub writes to post.
    struct {
        uint32_t seq;      // futex word of the kernel's thread
        uint8_t kind;
        uint8_t in_count;
        uint16_t cpu;      // where the stub runs, plus one
        uint32_t nr;
        uint32_t sleeping; // the stub sleeps on reply.seq
        uint64_t args[6];
    } request __attribute__((aligned(64)));
    // One line that the kernel writes to answer.
    struct {
        uint32_t seq;      // futex word of the stub
        uint32_t flags;    // enum reply_flags
        int64_t result;
        uint16_t command_count, copy_count;
        uint32_t sleeping; // the kernel's thread sleeps on request.seq
        uint32_t spin;     // how often the stub may look before it sleeps
        uint32_t quiet_done; // no wake-up for SLOT_DONE_RESUMED
        uint32_t unused[6];
    } reply __attribute__((aligned(64)));
    // The stub's own.
    uint32_t mark __attribute__((aligned(64))); // an interrupt came while stub code ran
    uint32_t in_futex;     // a guest futex call sleeps on the host; futex_args are its arguments
    uint64_t frame;        // offset in the slot of the ucontext of the signal frame, 0: none
    uint64_t siginfo;      // offset of its siginfo
    uint64_t stack_top;    // trampoline stack
    uint64_t self;         // address of this slot in the stub
    uint32_t command_done; // commands executed
    uint32_t child_tid;    // of the newest fork: written by the host before the child runs
    uint64_t futex_args[6];
    struct slot_regs regs; // of a patched call
    uint64_t timeout[2];   // a copy of a guest's timespec for futex
    uint32_t no_answers;   // don't answer futex and the like here: ask the kernel
    struct slot_in in[SLOT_IN_MAX];
    struct slot_copy copy[SLOT_COPY_MAX];
    struct slot_command command[SLOT_COMMAND_MAX];
    // Pages.
    uint8_t window[SLOT_WINDOW_SIZE] __attribute__((aligned(4096)));
    uint8_t stack[SLOT_STACK_SIZE] __attribute__((aligned(4096)));
    uint8_t altstack[SLOT_ALTSTACK_SIZE] __attribute__((aligned(4096)));
};

_Static_assert(sizeof(struct slot) <= SLOT_SIZE, "a slot fits");

// First bytes of the stub image.
struct stub_header {
    uint64_t text_end;         // address: end of what may make host calls
    uint64_t sigsys_handler;   // for SIGSYS, SIGSEGV and their kin, and STUB_SIGNAL
    uint64_t restorer;
    uint64_t child_entry;      // where a process made by COMMAND_FORK goes on
    uint64_t zygote_entry;     // rdi: slot, rsi/rdx: range to unmap, rcx/r8: second range
    uint64_t patched_entry;    // target of thunks
    uint64_t vdso_table[4];    // clock_gettime, gettimeofday, time, getcpu of the host: filled in at start
    uint64_t fsgsbase;         // wrfsbase and wrgsbase may be used
    uint64_t rdpid;            // the rdpid instruction may be used
    uint64_t call;             // the routine that makes host calls: what attack tests jump to
};
#endif

// Offsets for assembly; checked in stub.c.
#define SLOT_REQUEST_SEQ 0
#define SLOT_REPLY_SEQ 64
#define SLOT_MARK 128
#define SLOT_STACK_TOP 152
#define SLOT_SELF 160
#define SLOT_REGS 224
// A new thread's or process's first frame: the ucontext lies at the start of the alternate stack, legacy floating-point state
// behind it.
#define SLOT_FRAME_FIRST 0x12000
#define SLOT_FX 0x12800
