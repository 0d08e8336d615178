#!/usr/bin/env python3
"""Checks the table of system calls against the build and the documentation.

usage: check-syscalls.py [--self-test | --page] [BUILD-DIR]

- Every row of src/sys/syscalls.tbl that says full or partial has a function sys_NAME in the built kernel, and every function
  sys_NAME of the kernel has a row.
- No such function does nothing but return -ENOSYS.
- With --page: docs/compatibility.md is what scripts/gen-syscalls.py makes today. It follows from comments, so this is a matter
  of `make lint`, not of the tests.

Exit status: 0 clean, 1 problems (one line each), 2 usage.
"""
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
EMPTY = re.compile(r"^int64_t sys_(\w+)\([^)]*\)\s*\{\s*(?:\(void\)\w+;\s*)*return -ENOSYS;\s*\}", re.M)


def promised(text):
    """Names of the rows that say full or partial, and of those that say no."""
    kinds = {True: set(), False: set()}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 6 and not line.startswith("#"):
            kinds[fields[2].strip() != "no"].add(fields[1].strip())
    return kinds[True], kinds[False]


def compare(table, defined, sources):
    """table: text of syscalls.tbl; defined: names of functions sys_*; sources: text of the C files."""
    yes, no = promised(table)
    problems = [f"syscalls.tbl: {n} has no function sys_{n}" for n in sorted(yes - defined)]
    problems += [f"syscalls.tbl: says that {n} is not supported, but sys_{n}() exists" for n in sorted(defined & no)]
    problems += [f"syscalls.tbl: has no row for sys_{n}()" for n in sorted(defined - yes - no)]
    problems += [f"syscalls.tbl: {n} does nothing but return ENOSYS" for n in sorted(set(EMPTY.findall(sources)) & yes)]
    return problems


def functions(archive):
    text = subprocess.run(["nm", "--defined-only", archive], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^[0-9a-f]+ [TW] sys_(\w+)$", text, re.M))


def sources():
    texts = []
    for folder, _, names in os.walk(os.path.join(TOP, "src")):
        for name in names:
            if name.endswith(".c"):
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                    texts.append(f.read())
    return "\n".join(texts)


def check_page(table):
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as out:
        subprocess.run([os.path.join(TOP, "scripts/gen-syscalls.py"), table, "compat", out.name], check=True)
        page = os.path.join(TOP, "docs/compatibility.md")
        if not os.path.exists(page):
            return ["docs/compatibility.md is missing (make compat)"]
        with open(page, encoding="utf-8") as f:
            return [] if f.read() == out.read() else ["docs/compatibility.md is not current (make compat)"]


def self_test():
    table = "# x\n0|read|full|int fd||\n1|write|partial|int fd||why\n2|gone|no|||ENOSYS\n"
    stub = "int64_t sys_read(struct task *t, int fd)\n{\n    return -ENOSYS;\n}\n"
    failed = 0
    for what, defined, text, want in (
        ("all right", {"read", "write"}, "", 0),
        ("a row without a function", {"read"}, "", 1),
        ("a function of a row that says no", {"read", "write", "gone"}, "", 1),
        ("a function without a row", {"read", "write", "more"}, "", 1),
        ("a function that does nothing", {"read", "write"}, stub, 1),
    ):
        got = compare(table, defined, text)
        if len(got) != want:
            print(f"self-test: {what}: {len(got)} problems, should be {want}: {got}")
            failed += 1
    return failed


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    table = os.path.join(TOP, "src/sys/syscalls.tbl")
    if arguments == ["--page"]:
        problems = check_page(table)
        for p in problems:
            print(p)
        sys.exit(1 if problems else 0)
    if len(arguments) > 1 or any(a.startswith("-") for a in arguments):
        print("usage: check-syscalls.py [--self-test | --page] [BUILD-DIR]", file=sys.stderr)
        sys.exit(2)
    archive = os.path.join(arguments[0] if arguments else os.path.join(TOP, "build"), "libcaisson-kernel.a")
    if not os.path.exists(archive):
        print(f"{archive} is not built", file=sys.stderr)
        sys.exit(2)
    with open(table, encoding="utf-8") as f:
        problems = compare(f.read(), functions(archive), sources())
    for p in problems:
        print(p)
    sys.exit(1 if problems else 0)


main()
