#!/usr/bin/env python3
"""Makes everything that follows from src/sys/syscalls.tbl.

usage: gen-syscalls.py TABLE header|source|stub-copies|table-header|compat OUTPUT
"""
import os
import re
import sys

SUPPORT = ("full", "partial", "no")
TYPES = {"int", "uint32_t", "int64_t", "uint64_t", "uaddr_t"}
ERRNO = re.compile(r"\b(E[A-Z]{3,})\b")


def parse(path):
    rows, seen = [], set()
    for number, line in enumerate(open(path), 1):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        fields = line.split("|")
        if len(fields) != 6:
            sys.exit(f"{path}:{number}: {len(fields)} columns instead of 6")
        nr, name, support, params, copies, reason = (f.strip() for f in fields)
        if support not in SUPPORT or (support != "full" and not reason) or int(nr) in seen:
            sys.exit(f"{path}:{number}: bad support, missing reason or duplicate number")
        seen.add(int(nr))
        plist = []
        for p in filter(None, (p.strip() for p in params.split(","))):
            ctype, pname = p.rsplit(" ", 1)
            if ctype not in TYPES:
                sys.exit(f"{path}:{number}: type {ctype}")
            plist.append((ctype, pname))
        rows.append((int(nr), name, support, plist, copies, reason))
    return rows


def header(rows, out):
    out.write("// Generated from sys/syscalls.tbl.\n#pragma once\n\n#include \"base/types.h\"\n\nstruct task;\n\n")
    out.write(f"#define SYSCALL_TABLE_SIZE {max(r[0] for r in rows) + 1}\n")
    for nr, name, *_ in rows:
        out.write(f"#define NR_{name} {nr}\n")
    out.write("\n")
    for nr, name, support, params, _, _ in rows:
        if support == "no":
            continue
        args = "".join(f", {t} {n}" for t, n in params)
        out.write(f"int64_t sys_{name}(struct task *t{args});\n")


def source(rows, out):
    out.write("// Generated from sys/syscalls.tbl.\n#include \"sys/dispatch-int.h\"\n#include \"sys/syscalls-gen.h\"\n\n")
    for nr, name, support, params, _, reason in rows:
        if support == "no":
            continue
        casts = []
        for i, (t, _) in enumerate(params):
            casts.append(f"UADDR(a[{i}])" if t == "uaddr_t" else f"({t})a[{i}]")
        call = ", ".join(["t"] + casts)
        out.write(f"static int64_t call_{name}(struct task *t, const uint64_t a[6])\n{{\n    (void)a;\n"
                  f"    return sys_{name}({call});\n}}\n\n")
    out.write("const struct syscall_entry syscall_table[SYSCALL_TABLE_SIZE] = {\n")
    for nr, name, support, params, _, reason in rows:
        spec = ""
        for t, n in params:
            if n in ("path",) or n.endswith("name"):
                spec += "s" if t == "uaddr_t" else "x"
            elif n in ("fd", "dirfd", "olddirfd", "newdirfd", "oldfd", "newfd", "epfd", "pidfd", "in_fd", "out_fd"):
                spec += "f" if "dirfd" not in n else "d"
            elif t == "uaddr_t" or n in ("addr", "stack", "tls"):
                spec += "p"
            elif n in ("flags", "mode", "mask", "cmd", "prot"):
                spec += "o" if n == "mode" else "x"
            elif t in ("int", "int64_t"):
                spec += "i"
            else:
                spec += "u"
        names = ",".join(n for _, n in params)
        fn = f"call_{name}" if support != "no" else "NULL"
        err = 0
        if support == "no":
            m = ERRNO.search(reason)
            err = m.group(1) if m else "ENOSYS"
        out.write(f"    [{nr}] = {{.name = \"{name}\", .call = {fn}, .error = {err}, .spec = \"{spec}\", "
                  f".params = \"{names}\"}},\n")
    out.write("};\n")


def stub_copies(rows, out):
    out.write("// Generated from sys/syscalls.tbl.\n#include \"stub-copies.h\"\n\n"
              "const struct stub_copy_spec stub_copy_table[STUB_COPY_TABLE_SIZE][STUB_COPY_SPECS] = {\n")
    for nr, name, support, params, copies, _ in rows:
        specs = []
        for c in filter(None, copies.split(",")):
            if m := re.fullmatch(r"p(\d)", c):
                specs.append(f"{{STUB_COPY_STRING, {m[1]}, 0, 0}}")
            elif m := re.fullmatch(r"(\d)=(\d+)", c):
                specs.append(f"{{STUB_COPY_FIXED, {m[1]}, {m[2]}, 0}}")
            elif m := re.fullmatch(r"(\d)\[(\d)\]", c):
                specs.append(f"{{STUB_COPY_SIZED, {m[1]}, {m[2]}, 0}}")
            elif m := re.fullmatch(r"(\d)\*(\d)x(\d+)", c):
                specs.append(f"{{STUB_COPY_SCALED, {m[1]}, {m[2]}, {m[3]}}}")
            else:
                sys.exit(f"{name}: copy {c}")
        if len(specs) > 3:
            sys.exit(f"{name}: more than three copies")
        if specs:
            out.write(f"    [{nr}] = {{{', '.join(specs)}}},\n")
    out.write("};\n")


def table_header(rows, out):
    out.write("// Generated from sys/syscalls.tbl.\n#pragma once\n\n"
              "struct syscall_row {\n    int number;\n    const char *name, *support, *reason;\n};\n\n"
              "static const struct syscall_row syscall_rows[] = {\n")
    for nr, name, support, _, _, reason in rows:
        reason = reason.replace('"', '\\"')
        out.write(f"    {{{nr}, \"{name}\", \"{support}\", \"{reason}\"}},\n")
    out.write("};\n")


DEVIATION = re.compile(r"^\s*(//|#|\*)\s*DEVIATION:\s*(.*)$")


def deviations(tree):
    """(file, text) of each comment paragraph under tree/src that opens with DEVIATION:."""
    found = []
    for folder, dirs, names in os.walk(os.path.join(tree, "src")):
        dirs.sort()
        for name in sorted(names):
            if not name.endswith((".c", ".h", ".S")):
                continue
            path, text, mark = os.path.join(folder, name), None, None
            with open(path, encoding="utf-8", errors="replace") as f:
                for line in list(f) + [""]:
                    m = DEVIATION.match(line)
                    more = line.strip()
                    if text is not None and not m and more.startswith(mark) and len(more) > 3 and \
                            not re.match(r"\W*(Locking|Invariants?):", more):
                        text += " " + more[len(mark):].strip()
                        continue
                    if text is not None:
                        found.append((os.path.relpath(path, os.path.join(tree, "src")), text))
                        text = None
                    if m:
                        mark, text = m[1], m[2].strip()
    return sorted(found)


def compat(rows, out):
    count = {s: sum(1 for r in rows if r[2] == s) for s in SUPPORT}
    out.write("# Compatibility\n\nGenerated by scripts/gen-syscalls.py from src/sys/syscalls.tbl and the DEVIATION comments of the "
              "sources (`make compat`).\n`caisson syscalls` prints the table of system calls.\n\n"
              "## System calls\n\nNumbers that are not listed return ENOSYS, and so do calls that are not supported unless the "
              "remark names another error.\n\n"
              f"Full: {count['full']}, partial: {count['partial']}, not supported: {count['no']}.\n\n"
              "| number | call | support | remark |\n|---|---|---|---|\n")
    for nr, name, support, _, _, reason in rows:
        out.write(f"| {nr} | {name} | {support} | {reason} |\n")
    out.write("\n## Where Caisson differs from Linux\n\n| where | how |\n|---|---|\n")
    for path, text in deviations(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")):
        out.write(f"| {path} | {text} |\n")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    rows = parse(sys.argv[1])
    makers = {"header": header, "source": source, "stub-copies": stub_copies, "table-header": table_header,
              "compat": compat}
    with open(sys.argv[3], "w") as out:
        makers[sys.argv[2]](rows, out)


if __name__ == "__main__":
    main()
