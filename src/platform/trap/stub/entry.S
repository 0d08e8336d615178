// The stub's entries and exits. Rules: no fs, no guest stack, no red zone, no extended state. gs is the slot.
#include "layout.h"

#define REG_R15 (SLOT_REGS + 0)
#define REG_R14 (SLOT_REGS + 8)
#define REG_R13 (SLOT_REGS + 16)
#define REG_R12 (SLOT_REGS + 24)
#define REG_R11 (SLOT_REGS + 32)
#define REG_R10 (SLOT_REGS + 40)
#define REG_R9 (SLOT_REGS + 48)
#define REG_R8 (SLOT_REGS + 56)
#define REG_RDI (SLOT_REGS + 64)
#define REG_RSI (SLOT_REGS + 72)
#define REG_RBP (SLOT_REGS + 80)
#define REG_RBX (SLOT_REGS + 88)
#define REG_RDX (SLOT_REGS + 96)
#define REG_RAX (SLOT_REGS + 104)
#define REG_RCX (SLOT_REGS + 112)
#define REG_FLAGS (SLOT_REGS + 120)
#define REG_RSP (SLOT_REGS + 128)
#define REG_RIP (SLOT_REGS + 136)

    .section .header, "a"
    .globl stub_header
stub_header:
    .quad stub_text_end
    .quad stub_handler
    .quad stub_restorer
    .quad stub_child_entry
    .quad stub_zygote_entry
    .quad stub_patched_entry
    .globl stub_vdso_table
stub_vdso_table:
    .quad 0, 0, 0, 0
    .globl stub_fsgsbase
stub_fsgsbase:
    .quad 0
    .globl stub_rdpid
stub_rdpid:
    .quad 0
    .quad stub_call

    .section .vdso, "a"
    .balign 4096
    .incbin VDSO_IMAGE

    .text

// ---- Signals: SIGSYS, faults, STUB_SIGNAL. rdi signal, rsi siginfo, rdx ucontext; rsp on the alternate stack ----
    .globl stub_handler
stub_handler:
    movq %rdx, %r12            // ucontext: what rt_sigreturn wants in rsp
    movq %rsp, %rbx
    andq $-SLOT_SIZE, %rbx     // slot
    subq $8, %rsp
    andq $-16, %rsp
    cld
    call stub_trap
    testl %eax, %eax
    jnz stub_sigreturn
    // Stub code was interrupted, or put right after a fault: it goes on at once. Its own windows look at the mark.
    movq %r12, %rsp
    movl $15, %eax
    syscall
    ud2
stub_sigreturn:
    movq %r12, %rsp
    // Window: an interrupt in here moves the program counter to stub_sigreturn_marked.
    .globl stub_window_sigreturn
stub_window_sigreturn:
    cmpl $0, SLOT_MARK(%rbx)
    jne stub_sigreturn_marked
    movl $15, %eax
    .globl stub_window_sigreturn_end
stub_window_sigreturn_end:
    syscall
    ud2
    .globl stub_sigreturn_marked
stub_sigreturn_marked:
    movq %r12, %rdi
    movq %r12, %rsp
    subq $256, %rsp
    andq $-16, %rsp
    call stub_interrupted
    jmp stub_sigreturn

    .globl stub_restorer
stub_restorer:
    movl $15, %eax
    syscall
    ud2

// ---- Patched call sites: eax the number, rcx the return address; rcx and r11 are free ----
    .globl stub_patched_entry
stub_patched_entry:
    movq %rsp, %gs:REG_RSP
    movq %rcx, %gs:REG_RIP
    movq %rax, %gs:REG_RAX
    movq %rdi, %gs:REG_RDI
    movq %rsi, %gs:REG_RSI
    movq %rdx, %gs:REG_RDX
    movq %r10, %gs:REG_R10
    movq %r8, %gs:REG_R8
    movq %r9, %gs:REG_R9
    movq %rbx, %gs:REG_RBX
    movq %rbp, %gs:REG_RBP
    movq %r12, %gs:REG_R12
    movq %r13, %gs:REG_R13
    movq %r14, %gs:REG_R14
    movq %r15, %gs:REG_R15
    movq %gs:SLOT_STACK_TOP, %rsp
    movq %gs:SLOT_SELF, %rdi
    cld
    call stub_patched
    // rax: result. Values below come from the slot: the kernel may have replaced them.
stub_patched_return:
    movq %gs:REG_RDI, %rdi
    movq %gs:REG_RSI, %rsi
    movq %gs:REG_RDX, %rdx
    movq %gs:REG_R10, %r10
    movq %gs:REG_R8, %r8
    movq %gs:REG_R9, %r9
    movq %gs:REG_RBX, %rbx
    movq %gs:REG_RBP, %rbp
    movq %gs:REG_R12, %r12
    movq %gs:REG_R13, %r13
    movq %gs:REG_R14, %r14
    movq %gs:REG_R15, %r15
    movq %rax, %gs:REG_RAX
    movq %gs:REG_RIP, %rcx
    .globl stub_window_patched
stub_window_patched:
    cmpl $0, %gs:SLOT_MARK
    jne stub_patched_marked
    movq %gs:REG_RSP, %rsp
    .globl stub_window_patched_end
stub_window_patched_end:
    jmp *%rcx
    // Comes back with a complete frame: a call that the filter traps. stub_trap() puts the guest's own program counter and
    // result into the frame.
    .globl stub_patched_marked
stub_patched_marked:
    movq %gs:REG_RSP, %rsp
    movl $0x1fff, %eax
    syscall
    .globl stub_selftrap
stub_selftrap:
    ud2

// ---- Waiting in a futex call of the guest's: rdi slot, rsi six arguments ----
    .globl stub_futex
stub_futex:
    pushq %rbx
    movq %rdi, %rbx
    movq 0(%rsi), %rdi
    movq 16(%rsi), %rdx
    movq 24(%rsi), %r10
    movq 32(%rsi), %r8
    movq 40(%rsi), %r9
    movq 8(%rsi), %rsi
    .globl stub_window_futex
stub_window_futex:
    cmpl $0, SLOT_MARK(%rbx)
    jne stub_futex_marked
    movl $202, %eax
    .globl stub_window_futex_end
stub_window_futex_end:
    syscall
    popq %rbx
    ret
    .globl stub_futex_marked
stub_futex_marked:
    movq $-4, %rax
    popq %rbx
    ret

// ---- Copies that may fault: rdi destination, rsi source, rdx size; returns the bytes that were not copied ----
    .globl stub_copy
stub_copy:
    movq %rdx, %rcx
    .globl stub_copy_insn
stub_copy_insn:
    rep movsb
    .globl stub_copy_fault
stub_copy_fault:
    movq %rcx, %rax
    ret

// A string with its NUL, at most rdx bytes: returns the bytes copied (NUL included), fewer at a fault.
    .globl stub_copy_string
stub_copy_string:
    xorl %eax, %eax
1:  cmpq %rdx, %rax
    jae 2f
    .globl stub_string_insn
stub_string_insn:
    movb (%rsi,%rax), %cl
    movb %cl, (%rdi,%rax)
    incq %rax
    testb %cl, %cl
    jnz 1b
    .globl stub_string_fault
stub_string_fault:
2:  ret

// ---- A host call: rdi number, rsi six arguments ----
    .globl stub_call
stub_call:
    movq %rdi, %rax
    movq 0(%rsi), %rdi
    movq 16(%rsi), %rdx
    movq 24(%rsi), %r10
    movq 32(%rsi), %r8
    movq 40(%rsi), %r9
    movq 8(%rsi), %rsi
    syscall
    ret

// ---- fork: rdi points to flags, slot's file offset, descriptor, slot's address, size, where the child's id goes. The child must touch no memory before
// its own slot is mapped ----
    .globl stub_fork
stub_fork:
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq 8(%rdi), %r15
    movq 16(%rdi), %r14
    movq 24(%rdi), %r12
    movq 32(%rdi), %r13
    movq 40(%rdi), %rdx
    movq 0(%rdi), %rdi
    xorl %esi, %esi
    xorl %r10d, %r10d
    xorl %r8d, %r8d
    movl $56, %eax
    syscall
    testq %rax, %rax
    jz 1f
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    ret
1:  movq %r12, %rdi
    movq %r13, %rsi
    movl $3, %edx
    movl $0x11, %r10d
    movq %r14, %r8
    movq %r15, %r9
    movl $9, %eax
    syscall
    cmpq %r12, %rax
    jne stub_child_failed
    movq %r12, %rdi
    movq %r13, %rsi
    movl $10, %edx             // MADV_DONTFORK
    movl $28, %eax
    syscall
    .globl stub_child_entry
stub_child_entry:              // r12: slot
    movq SLOT_STACK_TOP(%r12), %rsp
    movq %r12, %rbx
    movq %r12, %rdi
    cld
    call stub_child            // rax: where the frame is, 0: patched
    testq %rax, %rax
    jz 2f
    movq %rax, %r12
    jmp stub_sigreturn
2:  movq %gs:REG_RAX, %rax
    jmp stub_patched_return
stub_child_failed:
    xorl %edi, %edi
    movl $60, %eax
    syscall
    ud2

// ---- A thread: rdi points to flags, stack pointer, clear_tid, tls, slot's address ----
    .globl stub_thread
stub_thread:
    pushq %r12
    movq 32(%rdi), %r12
    movq 8(%rdi), %rsi
    xorl %edx, %edx
    movq 16(%rdi), %r10
    movq 24(%rdi), %r8
    movq 0(%rdi), %rdi
    movl $56, %eax
    syscall
    testq %rax, %rax
    jz 1f
    popq %r12
    ret
1:  cmpq $0, stub_fsgsbase(%rip)
    je 2f
    wrgsbase %r12
    jmp 3f
2:  movl $0x1001, %edi         // ARCH_SET_GS
    movq %r12, %rsi
    movl $158, %eax
    syscall
3:  leaq (SLOT_FX)(%r12), %rax
    fxsave64 (%rax)
    movq $0, 464(%rax)         // sw_reserved: no extended state behind it
    movq $0, 472(%rax)
    movq $0, 480(%rax)
    jmp stub_child_entry

// ---- The zygote: rdi slot, then two ranges to unmap: rsi start, rdx size, rcx start, r8 size (0: none) ----
    .globl stub_zygote_entry
stub_zygote_entry:
    movq %rdi, %r12
    movq SLOT_STACK_TOP(%r12), %rsp
    movq %rcx, %r13
    movq %r8, %r14
    movq %rsi, %rdi
    movq %rdx, %rsi
    movl $11, %eax
    syscall
    testq %r14, %r14
    jz 1f
    movq %r13, %rdi
    movq %r14, %rsi
    movl $11, %eax
    syscall
1:  xorl %eax, %eax
    wrfsbase %rax
    jmp stub_child_entry

    .section .note.GNU-stack, "", @progbits
