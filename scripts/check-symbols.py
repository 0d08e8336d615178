#!/usr/bin/env python3
"""Checks what the compiled kernel refers to and keeps.

usage: check-symbols.py [--self-test] [BUILD-DIR]

- No object outside src/host/ calls the C library for memory, files, threads or system calls: kernel objects live in the arena,
  and host calls go through the table that the seccomp lists are made from.
- No object of the kernel's layers has variables that can change: everything hangs off struct kernel. The exceptions are
  listed in scripts/globals.txt as "FILE SYMBOL reason".

Exit status: 0 clean, 1 problems (one line each), 2 usage.
"""
import os
import re
import subprocess
import sys
import tempfile

FORBIDDEN = set(
    """
    malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign strdup __strdup strndup asprintf
    vasprintf __asprintf_chk __vasprintf_chk getline getdelim open_memstream
    printf fprintf vprintf vfprintf __printf_chk __fprintf_chk __vfprintf_chk puts fputs putchar fputc fopen fopen64
    fdopen fclose fread fwrite fgets fflush perror stdout stderr stdin
    open open64 openat openat64 creat close read write pread pread64 pwrite pwrite64 readv writev preadv pwritev
    preadv64 pwritev64 lseek lseek64 stat stat64 lstat fstat fstat64 fstatat fstatat64 statx access faccessat
    mmap mmap64 munmap mprotect madvise mremap msync
    socket connect bind listen accept accept4 sendmsg recvmsg sendto recvfrom send recv socketpair
    fork vfork clone execve execv execvp posix_spawn system popen waitpid wait wait4 waitid kill raise tgkill
    pipe pipe2 dup dup2 dup3 fcntl fcntl64 ioctl poll ppoll select epoll_create1 epoll_wait epoll_ctl eventfd
    prctl syscall sigaction signal sigprocmask pthread_create pthread_mutex_lock pthread_mutex_unlock
    pthread_cond_wait pthread_join pthread_sigmask sem_wait nanosleep clock_nanosleep usleep sleep
    localtime localtime_r gmtime gmtime_r mktime strftime setlocale getenv setenv rand srand random
    exit _exit abort atexit strtok strerror
    """.split()
)
# abort() is called by the compiler's own runtime in no build of ours; panic() is the way to end.
FREE_DIRS = {"host", "sandbox", "platform"}  # issue host calls themselves, or run before the process is locked in
MUTABLE = (".data", ".bss", ".tdata", ".tbss")
LAYERS = {"base", "abi", "host", "platform", "mm", "kernel", "vfs", "fs", "net", "sys"}
SOURCE = re.compile(r"(?:^|/)src_([a-z0-9]+)_(.*)\.c\.o$")


def read_archive(archive):
    """Yields (source, undefined names, changeable names) for each object, with source as src/DIR/REST."""
    text = subprocess.run(
        ["nm", "--format=sysv", archive], check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    ).stdout
    source, undefined, mutable = None, set(), set()
    for line in text.splitlines():
        if line.startswith("Symbols from ") or line.startswith("Undefined symbols from "):
            if source:
                yield source, undefined, mutable
            name = re.search(r"\[(.*)\]:?$", line)
            m = SOURCE.search(name.group(1)) if name else None
            source = f"src/{m.group(1)}/{m.group(2)}.c" if m else None
            undefined, mutable = set(), set()
            continue
        parts = [p.strip() for p in line.split("|")]
        if len(parts) != 7 or parts[0] == "Name":
            continue
        name, kind, section = parts[0], parts[3], parts[6]
        if section == "*UND*":
            undefined.add(name.split("@")[0])
        elif kind in ("OBJECT", "TLS", "COMMON") or section == "*COM*":
            if not section.startswith(".data.rel.ro") and section.startswith(MUTABLE + ("*COM*",)):
                mutable.add(name)
    if source:
        yield source, undefined, mutable


def read_exceptions(path):
    allowed = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                words = line.split(None, 2)
                if words and not words[0].startswith("#"):
                    allowed[(words[0], words[1])] = False
    return allowed


def check(archive, allowed):
    problems = []
    for source, undefined, mutable in read_archive(archive):
        top = source.split("/")[1]
        if top not in FREE_DIRS:
            for name in sorted(undefined & FORBIDDEN):
                problems.append(f"{source}: refers to {name}()")
        if top not in LAYERS:
            continue
        for name in sorted(mutable):
            plain = re.sub(r"\.\d+$", "", name)  # a static variable in a function
            if (source, plain) in allowed:
                allowed[(source, plain)] = True
            else:
                problems.append(f"{source}: {plain} is a variable outside struct kernel")
    for (source, name), used in allowed.items():
        if not used:
            problems.append(f"scripts/globals.txt: {source} has no variable {name}")
    return problems


def self_test():
    code = """
    #include <stdlib.h>
    #include <unistd.h>
    static int counter; int shared = 3; static __thread int mine;
    static int f(void); static int (*const table[])(void) = {f}; const char *const names[] = {"a"};
    int g(int i); int g(int i) { static int calls; return table[i]() + ++calls + ++counter + ++mine + !names[i]; }
    static int f(void) { return (malloc(1) != 0) + (int)read(0, &shared, 4); }
    """
    failed = 0
    with tempfile.TemporaryDirectory() as d:
        def run(folder, allowed):
            stem = f"src_{folder}_x.c"
            with open(os.path.join(d, stem), "w", encoding="utf-8") as f:
                f.write(code)
            subprocess.run(["cc", "-fPIE", "-w", "-c", stem, "-o", stem + ".o"], cwd=d, check=True)
            subprocess.run(["rm", "-f", "lib.a"], cwd=d, check=True)
            subprocess.run(["ar", "rcs", "lib.a", stem + ".o"], cwd=d, check=True)
            return check(os.path.join(d, "lib.a"), allowed)

        for folder, allowed, want in (
            ("mm", {}, 6),
            ("host", {}, 4),
            ("gofer", {}, 2),
            ("mm", {("src/mm/x.c", n): False for n in ("counter", "shared", "mine", "calls")}, 2),
            ("mm", {("src/mm/x.c", n): False for n in ("counter", "shared", "mine", "calls", "gone")}, 3),
        ):
            got = run(folder, allowed)
            if len(got) != want:
                print(f"self-test: {folder}: {len(got)} problems, should be {want}: {got}")
                failed += 1
    return failed


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    if len(arguments) > 1 or any(a.startswith("-") for a in arguments):
        print("usage: check-symbols.py [--self-test] [BUILD-DIR]", file=sys.stderr)
        sys.exit(2)
    here = os.path.dirname(os.path.abspath(__file__))
    build = arguments[0] if arguments else os.path.join(here, "..", "build")
    archive = os.path.join(build, "libcaisson-kernel.a")
    if not os.path.exists(archive):
        print(f"{archive} is not built", file=sys.stderr)
        sys.exit(2)
    problems = check(archive, read_exceptions(os.path.join(here, "globals.txt")))
    for p in problems:
        print(p)
    sys.exit(1 if problems else 0)


main()
