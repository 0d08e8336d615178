// The instruction that enters the host kernel, and nothing else. Only src/host/ and the few files of src/base/ that need
// futex, mmap, madvise, write, getrandom and exit_group include this; everything else calls a wrapper of src/host/, since
// the seccomp lists are made from those.
//
// All return the host's answer as it is: zero or positive, or a negative errno. errno is not touched.
#pragma once

#if defined(__x86_64__)

static inline long host_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline long host_syscall4(long nr, long a, long b, long c, long d)
{
    long ret;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline long host_syscall3(long nr, long a, long b, long c)
{
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return ret;
}

#elif defined(__aarch64__)

static inline long host_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
}

static inline long host_syscall4(long nr, long a, long b, long c, long d)
{
    return host_syscall6(nr, a, b, c, d, 0, 0);
}

static inline long host_syscall3(long nr, long a, long b, long c)
{
    return host_syscall6(nr, a, b, c, 0, 0, 0);
}

#else
#error "host system calls: architecture not supported"
#endif

static inline long host_syscall0(long nr)
{
    return host_syscall3(nr, 0, 0, 0);
}

static inline long host_syscall1(long nr, long a)
{
    return host_syscall3(nr, a, 0, 0);
}

static inline long host_syscall2(long nr, long a, long b)
{
    return host_syscall3(nr, a, b, 0);
}

static inline long host_syscall5(long nr, long a, long b, long c, long d, long e)
{
    return host_syscall6(nr, a, b, c, d, e, 0);
}
