// The guest's vDSO: a fixed image whose functions go on in the host's vDSO through the table in the stub's header. Contents
// are the same on every host, so that pointers into it survive a restore elsewhere.
#define STUB_VDSO_TABLE (0x7fffffe00000 + 48)

    .macro forward name, index
    .globl __vdso_\name
    .type __vdso_\name, @function
    .globl \name
    .type \name, @function
    .balign 16
__vdso_\name:
\name:
    .cfi_startproc
    movabsq $(STUB_VDSO_TABLE + 8 * \index), %rax
    jmpq *(%rax)
    .cfi_endproc
    .size __vdso_\name, . - __vdso_\name
    .size \name, . - \name
    .endm

    .text
    forward clock_gettime, 0
    forward gettimeofday, 1
    forward time, 2
    forward getcpu, 3

    .section .note.Linux, "a", @note
    .balign 4
    .long 6, 4, 0
    .asciz "Linux"
    .balign 4
    .long 0x060c00            // LINUX_VERSION_CODE of the version that uname reports

    .section .note.GNU-stack, "", @progbits
