// Making threads without libc; see thread.h.
//
// The control block is what glibc's code of a static program looks at: the self pointers, the stack guard and the pointer
// guard, and below it the program's PT_TLS image (errno, the locale pointer). The rest of glibc's structure stays zero.
// In a dynamically linked program (unit tests, sanitizer builds) shared libraries have storage there, too, and the
// dynamic linker's own allocator makes the block.

#include "host/thread.h"
#include "host/host-int.h"
#include <elf.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/auxv.h>

// Room for glibc's struct pthread (2,304 bytes in 2.36), which begins at the control block.
enum { CONTROL_BLOCK_ROOM = 4096, STACK_ALIGN = 64 };

struct tls_image {
    const void *data;
    uint64_t file_size, size, align;
    bool dynamic; // the program has an interpreter
};

extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));
void *_dl_allocate_tls(void *block) __attribute__((weak));

static struct tls_image find_tls_image(void)
{
    struct tls_image image = {.align = STACK_ALIGN};
    const char *base = (const char *)&__ehdr_start;
    __asm__("" : "+r"(base)); // what follows the header isn't part of that object for the compiler
    const Elf64_Phdr *headers = (const Elf64_Phdr *)(base + __ehdr_start.e_phoff);
    for (int i = 0; i < __ehdr_start.e_phnum; i++) {
        if (headers[i].p_type == PT_INTERP)
            image.dynamic = true;
        if (headers[i].p_type != PT_TLS)
            continue;
        image.data =
            (const void *)(__ehdr_start.e_type == ET_DYN ? (uintptr_t)base + headers[i].p_vaddr
                                                         : headers[i].p_vaddr);
        image.file_size = headers[i].p_filesz;
        image.size = headers[i].p_memsz;
        image.align = MAX(headers[i].p_align, (uint64_t)STACK_ALIGN);
    }
    return image;
}

uint64_t host_thread_overhead(void)
{
    struct tls_image image = find_tls_image();
    return PAGE_UP(CONTROL_BLOCK_ROOM + image.size + 2 * image.align);
}

#if defined(__x86_64__)

struct control_block {
    void *self;
    void *dtv;
    void *self_again;
    int multiple_threads;
    int gscope_flag;
    uint64_t sysinfo;
    uint64_t stack_guard;
    uint64_t pointer_guard;
};
_Static_assert(offsetof(struct control_block, stack_guard) == 0x28,
               "the compiler's stack protector reads fs:0x28");

// clone(flags, stack, ptid, ctid, tls); the child takes argument and entry from its stack.
long host_clone_thread(uint64_t flags, void *stack, void *ptid, void *ctid, void *tls);
__asm__(".pushsection .text\n"
        ".globl host_clone_thread\n"
        ".hidden host_clone_thread\n"
        ".type host_clone_thread, @function\n"
        "host_clone_thread:\n"
        "    endbr64\n"
        "    mov %rcx, %r10\n"
        "    mov $56, %eax\n"
        "    syscall\n"
        "    test %rax, %rax\n"
        "    jz 1f\n"
        "    ret\n"
        "1:  xor %ebp, %ebp\n"
        "    pop %rdi\n"
        "    pop %rax\n"
        "    call *%rax\n"
        "    xor %edi, %edi\n"
        "    mov $60, %eax\n"
        "    syscall\n"
        "    hlt\n"
        ".size host_clone_thread, . - host_clone_thread\n"
        ".popsection\n");

static struct control_block *make_control_block(char *area, uint64_t size, char **ret_stack_top)
{
    struct tls_image image = find_tls_image();
    struct control_block *tcb;
    char *top = area + size - CONTROL_BLOCK_ROOM;
    if (image.dynamic) {
        tcb = _dl_allocate_tls ? (struct control_block *)_dl_allocate_tls(NULL) : NULL;
        if (!tcb)
            return NULL;
    } else {
        // Variant II: the image ends at the control block, each at the image's alignment.
        top = (char *)((uintptr_t)top & ~(image.align - 1));
        tcb = (struct control_block *)top;
        memset(tcb, 0, sizeof(*tcb));
        top -= (image.size + image.align - 1) & ~(image.align - 1);
        if (image.size) {
            memcpy(top, image.data, image.file_size);
            memset(top + image.file_size, 0, image.size - image.file_size);
        }
    }
    tcb->self = tcb->self_again = tcb;
    __asm__("mov %%fs:0x28, %0" : "=r"(tcb->stack_guard));
    __asm__("mov %%fs:0x30, %0" : "=r"(tcb->pointer_guard));
    *ret_stack_top = (char *)((uintptr_t)top & ~(uintptr_t)(STACK_ALIGN - 1));
    return tcb;
}

int host_thread_start(void *area, uint64_t size, void (*entry)(void *arg), void *arg,
                      _Atomic uint32_t *tid)
{
    if (size < host_thread_overhead() + PAGE_SIZE)
        return -EINVAL;
    char *stack;
    struct control_block *tcb = make_control_block(area, size, &stack);
    if (!tcb)
        return -ENOMEM;
    // Two words to pop leave the stack aligned to 16 bytes before the call.
    void **words = (void **)stack - 2;
    words[0] = arg;
    words[1] = (void *)entry;
    if (unlikely(host_state.counting))
        atomic_fetch_add_explicit(&host_state.calls[HOST_CALL_clone], 1, memory_order_relaxed);
    long ret = host_clone_thread(HOST_THREAD_FLAGS, words, (void *)tid, (void *)tid, tcb);
    return ret < 0 ? (int)ret : 0;
}

#else

int host_thread_start(void *area, uint64_t size, void (*entry)(void *arg), void *arg,
                      _Atomic uint32_t *tid)
{
    return -ENOSYS;
}

#endif

void host_thread_exit(void)
{
    for (;;)
        (void)HOST_ENTER1(exit, 0);
}

void host_thread_join(_Atomic uint32_t *tid)
{
    uint32_t value;
    while ((value = atomic_load_explicit(tid, memory_order_acquire)) != 0)
        (void)host_futex((void *)tid, FUTEX_WAIT, value, NULL, NULL, 0);
}
