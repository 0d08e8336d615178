#!/usr/bin/env python3
"""Checks that includes point one way: a directory of src/ includes only itself and what stands below it.

usage: check-layers.py [--self-test] [SRC-DIR]

Exit status: 0 clean, 1 violations (one line each), 2 usage.
"""
import os
import re
import sys
import tempfile

# Bottom to top. Directories of one row may not include each other, except a folder of fs/ or net/ the common headers that
# lie in fs/ and net/ themselves.
LAYERS = [
    ["base"],
    ["abi"],
    ["host"],
    ["platform"],
    ["mm"],
    ["kernel"],
    ["vfs"],
    ["fs", "net"],
    ["sys"],
]
# Directories outside that stack, and all that they may include.
OTHERS = {
    "gofer": {"base", "abi", "host"},
    "runtime": {"base", "abi"},
    "cmd": {"base", "abi", "runtime"},
    "shim": {"base", "abi", "runtime"},
    "sandbox": {"base", "abi", "host", "platform", "mm", "kernel", "vfs", "fs", "net", "sys", "gofer"},
}
# Single headers that may be included against the order, by directory, with the reason.
EXCEPTIONS = {
    ("base", "host/syscall.h"): "the bare instruction, for futex, mmap, madvise, write, getrandom and exit_group",
    ("mm", "kernel/kernel.h"): "the list of address spaces, and the size of the machine",
    ("mm", "kernel/task.h"): "whose address space it is: limits, privileges, the thread that executes the commands",
    ("fs", "gofer/protocol.h"): "the messages between hostfs and the gofer",
    ("fs", "fs/tmpfs/tmpfs.h"): "what the overlay and devtmpfs are made of",
    ("fs", "fs/tty/tty.h"): "the terminals that devpts names and procfs shows",
    ("kernel", "sandbox/boot-spec.h"): "what the sandbox is started with",
    ("kernel", "sandbox/control.h"): "the conversation with the command",
    ("vfs", "sandbox/boot-spec.h"): "the first mounts",
    ("fs", "sandbox/boot-spec.h"): "exports and standard descriptors",
    ("fs", "sandbox/control.h"): "whose the terminal is",
    ("host", "gofer/protocol.h"): "the channel to the gofer",
    ("gofer", "sandbox/boot-spec.h"): "what the gofer is started with",
    ("gofer", "sandbox/jail.h"): "how every process of a sandbox locks itself in",
    ("vfs", "sandbox/boot-spec.h"): "which mounts the sandbox starts with",
    ("runtime", "sandbox/boot-spec.h"): "what the command writes and the sandbox reads",
    ("runtime", "sandbox/boot-format.h"): "what the command writes and the sandbox reads",
    ("runtime", "sandbox/control.h"): "the control protocol",
    ("runtime", "host/syscall.h"): "a child that shares its parent's memory must not touch errno",
    ("cmd", "sandbox/boot-spec.h"): "what the command writes and the sandbox reads",
    ("cmd", "sandbox/control.h"): "the control protocol",
    ("shim", "sandbox/control.h"): "the control protocol",
    ("cmd", "sys/syscalls-table.h"): "the generated compatibility table, data only",
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def rank(top):
    for i, row in enumerate(LAYERS):
        if top in row:
            return i
    return None


def allowed(path, header):
    """Says whether the file at path (relative to src/) may include header (as written)."""
    top, header_top = path.split("/")[0], header.split("/")[0]
    if (top, header) in EXCEPTIONS:
        return True
    if top == header_top:
        if top in ("fs", "net"):
            mine, theirs = path.split("/")[1:-1], header.split("/")[1:-1]
            return not theirs or mine == theirs
        return True
    if top in OTHERS:
        return header_top in OTHERS[top]
    mine, theirs = rank(top), rank(header_top)
    return mine is not None and theirs is not None and theirs < mine


def check(src):
    problems = []
    files = set()
    for folder, _, names in os.walk(src):
        for name in names:
            if name.endswith((".c", ".h", ".S", ".inc")):
                files.add(os.path.relpath(os.path.join(folder, name), src))
    for path in sorted(files):
        top = path.split("/")[0]
        if "/" not in path or (rank(top) is None and top not in OTHERS):
            problems.append(f"{path}: is in no known layer")
            continue
        with open(os.path.join(src, path), encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        if path.endswith(".h") and not any(line.strip() == "#pragma once" for line in lines):
            problems.append(f"{path}: lacks #pragma once")
        for number, line in enumerate(lines, 1):
            m = INCLUDE.match(line)
            if not m:
                continue
            header = m.group(1)
            if "/" not in header:
                # Generated files and those beside the source.
                continue
            if ".." in header.split("/"):
                problems.append(f"{path}:{number}: {header}: includes are relative to src/")
            elif not allowed(path, header):
                problems.append(f"{path}:{number}: {path.split('/')[0]} may not include {header}")
    return problems


def self_test():
    cases = [
        ("mm/a.c", "base/list.h", True),
        ("mm/a.c", "mm/mm.h", True),
        ("mm/a.c", "kernel/signal.h", False),
        ("base/a.c", "host/syscall.h", True),
        ("base/a.c", "host/wrappers.h", False),
        ("fs/tmpfs/a.c", "vfs/vfs.h", True),
        ("fs/tmpfs/a.c", "fs/tmpfs/tmpfs.h", True),
        ("fs/tmpfs/a.c", "fs/common.h", True),
        ("fs/tmpfs/a.c", "fs/overlay/overlay.h", False),
        ("fs/tmpfs/a.c", "net/socket.h", False),
        ("vfs/a.c", "fs/tmpfs/tmpfs.h", False),
        ("sys/a.c", "fs/tmpfs/tmpfs.h", True),
        ("cmd/a.c", "kernel/task.h", False),
        ("cmd/a.c", "sandbox/control.h", True),
        ("gofer/a.c", "vfs/vfs.h", False),
        ("sandbox/main.c", "gofer/gofer.h", True),
        ("abi/a.h", "nonsense/x.h", False),
    ]
    failed = 0
    for path, header, want in cases:
        with tempfile.TemporaryDirectory() as src:
            os.makedirs(os.path.dirname(os.path.join(src, path)))
            with open(os.path.join(src, path), "w", encoding="utf-8") as f:
                f.write(f'#pragma once\n#include <stdio.h>\n#include "{header}"\n')
            if (not check(src)) != want:
                print(f"self-test: {path} including {header} should be {'fine' if want else 'refused'}")
                failed += 1
    with tempfile.TemporaryDirectory() as src:
        os.makedirs(os.path.join(src, "base"))
        os.makedirs(os.path.join(src, "stray"))
        for name, text in (("base/a.h", "int x;\n"), ("stray/a.c", ""), ("base/b.c", '#include "../x.h"\n')):
            with open(os.path.join(src, name), "w", encoding="utf-8") as f:
                f.write(text)
        if len(check(src)) != 3:
            print("self-test: a missing pragma, an unknown directory and a relative include should be three problems")
            failed += 1
    return failed


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    if len(arguments) > 1 or any(a.startswith("-") for a in arguments):
        print(__doc__.strip().splitlines()[2], file=sys.stderr)
        sys.exit(2)
    src = arguments[0] if arguments else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src")
    problems = check(src)
    for p in problems:
        print(p)
    sys.exit(1 if problems else 0)


main()
