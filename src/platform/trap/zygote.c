// The zygote: the process that all stubs are forked from. It is a fork of the kernel process, made before that holds a secret;
// from stub text it unmaps everything but stub text, its slot and the host's vDSO, so that no guest inherits anything of the
// kernel process's memory or layout.
//
// Runs before lock-in, in a process of one thread: libc and plain system calls are fine here.
#include <cpuid.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/syscall.h"
#include "platform/trap/trap-int.h"
#include "platform/trap/vdso-symbols.h"

#define SLOT_FILE_SIZE (1ull << 44)
#define FILTER_ROOM 160
#define SEND_WAKE_UP_SYNC SECCOMP_IOW(4, uint64_t)

#include "stub-image.h"
extern const uint8_t stub_image_start[], stub_image_end[];
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        ".globl stub_image_start\n"
        "stub_image_start:\n"
        ".incbin \"" STUB_IMAGE_FILE "\" # " STUB_IMAGE_HASH "\n"
        ".globl stub_image_end\n"
        "stub_image_end:\n"
        ".popsection\n");

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#define AT_MINSIGSTKSZ_ 51
#define HWCAP2_FSGSBASE_ 2

int trap_zygote_prepare(struct trap_zygote *z)
{
    z->what = "reading /proc/self/maps";
    FILE *f = fopen("/proc/self/maps", "re");
    if (!f)
        return -errno;
    char line[512];
    while (fgets(line, sizeof(line), f)) {
        unsigned long start, end;
        char name[64] = "";
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %63s", &start, &end, name) < 2)
            continue;
        if (strncmp(name, "[vvar", 5) != 0 && strcmp(name, "[vdso]") != 0)
            continue;
        if (z->vdso_count == ARRAY_SIZE(z->vdso_range))
            break;
        z->vdso_range[z->vdso_count++] = (struct trap_range){start, end};
        if (strcmp(name, "[vdso]") == 0)
            z->vdso = start;
    }
    fclose(f);
    return 0;
}

struct zygote_plan {
    struct trap_zygote *z;
    struct slot *slot; // its own, in the kernel process's mapping
    uint64_t stack_start, stack_end;
    int (*in_child)(void *arg);
    void *arg;
};

static _Noreturn void zygote_fail(struct zygote_plan *plan, int step, long error)
{
    plan->slot->command[1].result = step;
    plan->slot->command[0].result = error;
    _exit(1);
}

static void install_handlers(const struct stub_header *h)
{
    struct {
        uint64_t handler, flags, restorer, mask;
    } action = {h->sigsys_handler, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | 0x04000000 /* SA_RESTORER */, h->restorer, 0};
    static const int signals[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, STUB_SIGNAL};
    for (uint32_t i = 0; i < ARRAY_SIZE(signals); i++)
        host_syscall4(SYS_rt_sigaction, signals[i], (long)&action, 0, 8);
    // The kernel process's own wake-up signal and what it ignores mean nothing here.
    uint64_t none = 0;
    host_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8);
}

static void move_host_vdso(struct zygote_plan *plan)
{
    for (uint32_t i = 0; i < plan->z->vdso_count; i++) {
        struct trap_range *r = &plan->z->vdso_range[i];
        uint64_t size = r->end - r->start, to = STUB_HOST_VDSO + (r->start - plan->z->vdso_range[0].start);
        long got = host_syscall5(SYS_mremap, (long)r->start, (long)size, (long)size, MREMAP_MAYMOVE | MREMAP_FIXED,
                                 (long)to);
        if (got != (long)to)
            zygote_fail(plan, 4, got);
    }
}

// Shared, read-only to every stub; the kernel process fills them in as sites are patched (thunk.c).
static void map_patch_tables(struct zygote_plan *plan)
{
    static const struct {
        uint64_t addr, size, offset;
        int prot;
    } maps[] = {
        {STUB_JUMP_TABLE, STUB_JUMP_TABLE_SIZE, PATCH_TABLE_OFFSET, PROT_READ},
        {STUB_THUNKS, STUB_THUNKS_SIZE, PATCH_THUNKS_OFFSET, PROT_READ | PROT_EXEC},
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(maps); i++) {
        long got = host_syscall6(SYS_mmap, (long)maps[i].addr, (long)maps[i].size, maps[i].prot,
                                 MAP_SHARED | MAP_FIXED_NOREPLACE, plan->z->memory_fd_ro, (long)maps[i].offset);
        if (got != (long)maps[i].addr)
            zygote_fail(plan, 10, got);
    }
    long got = host_syscall6(SYS_mmap, STUB_BASES, PAGE_SIZE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != (long)STUB_BASES)
        zygote_fail(plan, 10, got);
}

// What libc told the host about memory that is about to go.
static void forget_libc(struct zygote_plan *plan)
{
    if (__rseq_size) {
        char *rseq = (char *)__builtin_thread_pointer() + __rseq_offset;
        long r = host_syscall4(SYS_rseq, (long)rseq, 32, 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG);
        if (r < 0)
            zygote_fail(plan, 9, r);
    }
    host_syscall2(SYS_set_robust_list, 0, 24);
    host_syscall1(SYS_set_tid_address, 0);
}

static _Noreturn void zygote_child(struct zygote_plan *plan)
{
    struct trap_zygote *z = plan->z;
    const struct stub_header *h = (const void *)stub_image_start;
    forget_libc(plan);
    if (plan->in_child) {
        int r = plan->in_child(plan->arg);
        if (r < 0)
            zygote_fail(plan, 1, r);
    }
    // A core dump of a stub shows guest memory to whatever core_pattern of the host names: 1 byte keeps pipes off, too.
    struct rlimit core = {1, 1};
    setrlimit(RLIMIT_CORE, &core);
    long got = host_syscall6(SYS_mmap, STUB_TEXT, STUB_IMAGE_SIZE, PROT_READ | PROT_EXEC,
                             MAP_SHARED | MAP_FIXED_NOREPLACE, z->image_fd, 0);
    if (got != STUB_TEXT)
        zygote_fail(plan, 2, got);
    got = host_syscall6(SYS_mmap, STUB_SLOTS, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
                        z->slot_fd, 0);
    if (got != STUB_SLOTS)
        zygote_fail(plan, 3, got);
    madvise((void *)STUB_SLOTS, SLOT_SIZE, MADV_DONTFORK);
    map_patch_tables(plan);
    struct slot *slot = (struct slot *)STUB_SLOTS;
    move_host_vdso(plan);
    install_handlers(h);
    stack_t alt = {.ss_sp = slot->altstack, .ss_size = SLOT_ALTSTACK_SIZE};
    if (sigaltstack(&alt, NULL) < 0)
        zygote_fail(plan, 5, -errno);
    long r = host_syscall2(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, (long)slot);
    if (r < 0)
        zygote_fail(plan, 6, r);
    struct sock_filter program[FILTER_ROOM];
    int count = trap_filter_build(program, FILTER_ROOM, h->text_end);
    if (count < 0)
        zygote_fail(plan, 7, count);
    struct sock_fprog prog = {.len = (unsigned short)count, .filter = program};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    r = host_syscall3(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, (long)&prog);
    if (r < 0)
        zygote_fail(plan, 8, r);
    slot->command[2].result = r + 1;
    // From here on only stub text runs: it unmaps what is left of this process image.
    const uint64_t low = STUB_JUMP_TABLE + STUB_JUMP_TABLE_SIZE;
    __asm__ volatile("mov %[third], %%rcx\n\t"
                     "mov %[fourth], %%r8\n\t"
                     "jmp *%[entry]"
                     :
                     : [entry] "r"(h->zygote_entry), "D"(slot), "S"(low),
                       "d"((uint64_t)STUB_TEXT - low), [third] "r"((uint64_t)STUB_END + 0),
                       [fourth] "r"(0x7ffffffff000ull - STUB_END)
                     : "rcx", "r8", "memory");
    __builtin_unreachable();
}

static bool has_rdpid(void)
{
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_RDPID);
}

// Sealed: stubs map it, and whoever maps it must not change the others' text.
static int make_image(struct trap_zygote *z)
{
    static const char *const names[4] = {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu"};
    uint64_t size = (uint64_t)(stub_image_end - stub_image_start);
    int fd = memfd_create("stub-text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, STUB_IMAGE_SIZE) < 0)
        return -errno;
    if (pwrite(fd, stub_image_start, size, 0) != (ssize_t)size)
        return -EIO;
    struct stub_header header;
    memcpy(&header, stub_image_start, sizeof(header));
    header.fsgsbase = z->fsgsbase;
    header.rdpid = has_rdpid();
    z->stub_call = header.call;
    for (int i = 0; i < 4; i++) {
        uint64_t offset = z->vdso ? vdso_symbol((const void *)z->vdso, names[i]) : 0;
        header.vdso_table[i] = offset ? STUB_HOST_VDSO + (z->vdso - z->vdso_range[0].start) + offset : 0;
    }
    if (pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
        return -EIO;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    z->image_fd = fd;
    return 0;
}

static const char *const steps[] = {"start of the zygote",         "out-of-memory score of the stubs",
                                    "mapping of stub text",        "mapping of the first slot",
                                    "moving the host's vDSO",      "alternate signal stack of the stub",
                                    "GS base of the stub",         "building the stubs' seccomp filter",
                                    "installing the stubs' seccomp filter (EBUSY: another one with a listener is active)",
                                    "unregistering libc's restartable sequences",
                                    "mapping the tables of patched calls"};

static void roused(int sig)
{
    (void)sig;
}

// The signal that gets a kernel thread out of a wait for a word which belongs to a guest. It needs a handler, and none that
// restarts calls: one that is ignored ends no wait.
static int install_rouse_signal(void)
{
    struct sigaction action = {.sa_handler = roused};
    return sigaction(SIGUSR1, &action, NULL) < 0 ? -errno : 0;
}

int trap_zygote_start(struct trap_zygote *z, int (*in_child)(void *arg), void *arg)
{
    struct zygote_plan plan = {.z = z, .in_child = in_child, .arg = arg};
    z->own_pids = getpid() == 1;
    z->hwcap = getauxval(AT_HWCAP);
    z->hwcap2 = getauxval(AT_HWCAP2);
    z->minsigstksz = getauxval(AT_MINSIGSTKSZ_);
    z->fsgsbase = (z->hwcap2 & HWCAP2_FSGSBASE_) != 0;

    z->what = "this processor or host kernel has no FSGSBASE instructions";
    if (!z->fsgsbase)
        return -ENOSYS;
    z->what = "memory file for stub text";
    int r = make_image(z);
    if (r < 0)
        return r;
    z->what = "memory file for slots";
    z->slot_fd = memfd_create("slots", MFD_CLOEXEC);
    if (z->slot_fd < 0 || ftruncate(z->slot_fd, SLOT_FILE_SIZE) < 0)
        return -errno;
    void *slots = mmap(NULL, SLOT_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, z->slot_fd, 0);
    if (slots == MAP_FAILED)
        return -errno;
    z->slots = slots;
    plan.slot = slots;
    plan.slot->self = STUB_SLOTS;
    plan.slot->stack_top = STUB_SLOTS + offsetof(struct slot, stack) + SLOT_STACK_SIZE;
    z->what = steps[0];
    z->pid = (int)host_syscall6(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0, 0);
    if (z->pid < 0)
        return z->pid;
    if (z->pid == 0)
        zygote_child(&plan);
    z->what = "handler of the kernel's own signal";
    r = install_rouse_signal();
    if (r < 0)
        return r;
    z->what = steps[0];
    // The zygote's first word is SLOT_READY on its slot.
    struct slot *slot = plan.slot;
    while (__atomic_load_n(&slot->request.seq, __ATOMIC_ACQUIRE) == 0) {
        __atomic_store_n(&slot->reply.sleeping, 1, __ATOMIC_SEQ_CST);
        struct timespec ts = {0, 20000000};
        host_syscall4(SYS_futex, (long)&slot->request.seq, 0 /* FUTEX_WAIT */, 0, (long)&ts);
        int status;
        if (host_syscall4(SYS_wait4, z->pid, (long)&status, WNOHANG | __WALL, 0) == z->pid) {
            int step = (int)slot->command[1].result;
            z->what = steps[step > 0 && step < (int)ARRAY_SIZE(steps) ? step : 0];
            return slot->command[0].result < 0 ? (int)slot->command[0].result : -ECHILD;
        }
    }
    __atomic_store_n(&slot->reply.sleeping, 0, __ATOMIC_SEQ_CST);
    z->listener_fd = (int)slot->command[2].result - 1;
    if (ioctl(z->listener_fd, SEND_WAKE_UP_SYNC, 1ul) < 0 && errno != EINVAL && errno != ENOTTY)
        return -errno; // before Linux 6.6: notifications are slower, nothing else
    return 0;
}
