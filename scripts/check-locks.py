#!/usr/bin/env python3
"""Checks that locks, their ranks and docs/locking.md agree.

usage: check-locks.py [--self-test] [TREE]

- Every value of enum lock_rank has one row in the table of docs/locking.md, in the same order, and every row has a value.
- Every field or variable `struct lock name` in src/ says its rank in a comment on its line (// LOCK_RANK_X ...), or is
  initialised where it is declared.
- A field is initialised somewhere in the tree with that rank: lock_init(&...name, LOCK_RANK_X). This part is a warning until
  the file that does it exists: a header whose directory has no .c file yet is let off.
- lock_init() and LOCK_INITIALIZER() name ranks that exist.

Exit status: 0 clean, 1 problems (one line each), 2 usage.
"""
import os
import re
import sys
import tempfile

ENUM = re.compile(r"enum lock_rank \{(.*?)\};", re.S)
ROW = re.compile(r"^\|\s*`(LOCK_RANK_[A-Z0-9_]+)`\s*\|")
FIELD = re.compile(r"^\s*(?:static\s+)?struct lock\s+(\w+)\s*(\[[^\]]*\])?\s*(=.*)?;\s*(?://\s*(.*))?$")
INIT = re.compile(r"\block_init\(\s*&?([^,;]*?)\s*,\s*([A-Za-z_0-9]+)\s*\)", re.S)
DESIGNATED = re.compile(r"\.(\w+)\s*=\s*LOCK_INITIALIZER\((\w+)\)")
NAME = re.compile(r"\bLOCK_RANK_[A-Z0-9_]+")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def source_files(tree):
    for folder, _, names in os.walk(os.path.join(tree, "src")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(folder, name), tree)


def check_ranks(tree, problems):
    """Compares the enumeration with the table; returns the ranks."""
    m = ENUM.search(read(os.path.join(tree, "src/base/lock.h")))
    if not m:
        problems.append("src/base/lock.h: enum lock_rank is not found")
        return []
    body = re.sub(r"//[^\n]*", "", m.group(1))
    ranks = [r for r in NAME.findall(body) if r != "LOCK_RANK_NONE"]
    doc = os.path.join(tree, "docs/locking.md")
    rows = []
    if os.path.exists(doc):
        rows = [m.group(1) for m in map(ROW.match, read(doc).splitlines()) if m]
    for r in ranks:
        if rows.count(r) != 1:
            problems.append(f"docs/locking.md: {r} has {rows.count(r)} rows, should have one")
    for r in rows:
        if r not in ranks:
            problems.append(f"docs/locking.md: {r} is not in enum lock_rank")
    if sorted(rows) == sorted(ranks) and rows != ranks:
        problems.append("docs/locking.md: rows are not in the order of enum lock_rank")
    return ranks


def last_name(expression):
    """The field that an argument of lock_init() names: a->b[i].lock is lock."""
    names = re.findall(r"\w+", re.sub(r"\[[^\]]*\]", "", expression))
    return names[-1] if names else ""


def check_fields(tree, ranks, problems):
    fields, inits, dirs_with_code = [], set(), set()
    for path in source_files(tree):
        if path in ("src/base/lock.h", "src/base/lock.c"):
            continue
        text = read(os.path.join(tree, path))
        if path.endswith(".c"):
            dirs_with_code.add(os.path.dirname(path))
        for m in INIT.finditer(text):
            number = text.count("\n", 0, m.start()) + 1
            if m.group(2).startswith("LOCK_RANK_") and m.group(2) not in ranks:
                problems.append(f"{path}:{number}: {m.group(2)} is not in enum lock_rank")
            inits.add((last_name(m.group(1)), m.group(2)))
        inits.update(DESIGNATED.findall(text))
        for number, line in enumerate(text.splitlines(), 1):
            m = FIELD.match(line)
            if not m:
                continue
            name, initialiser, comment = m.group(1), m.group(3) or "", m.group(4) or ""
            named = NAME.findall(comment) + NAME.findall(initialiser)
            if not named:
                problems.append(f"{path}:{number}: struct lock {name}: says no rank (// LOCK_RANK_X: what it guards)")
            for rank in named:
                if rank not in ranks:
                    problems.append(f"{path}:{number}: {rank} is not in enum lock_rank")
            if named and not initialiser:
                fields.append((path, number, name, named))
    for path, number, name, named in fields:
        # The code for a header may lie in any folder of its layer.
        top = "/".join(path.split("/")[:2])
        if not any(d == top or d.startswith(top + "/") for d in dirs_with_code):
            continue
        if not any((name, rank) in inits for rank in named):
            problems.append(f"{path}:{number}: struct lock {name}: no lock_init(&...{name}, {named[0]})")


def check(tree):
    problems = []
    ranks = check_ranks(tree, problems)
    check_fields(tree, ranks, problems)
    return problems


def self_test():
    enum = "enum lock_rank {\n    LOCK_RANK_NONE = 0,\n    LOCK_RANK_A, // a\n    LOCK_RANK_B,\n};\n"
    doc = "| `LOCK_RANK_A` | x |\n| `LOCK_RANK_B` | y |\n"
    header = "struct s {\n    struct lock lock; // LOCK_RANK_A: all\n};\n"
    code = "void f(struct s *s)\n{\n    lock_init(&s->lock, LOCK_RANK_A);\n}\n"
    cases = [
        ("all right", enum, doc, header, code, 0),
        ("a rank without a row", enum, doc.splitlines()[0] + "\n", header, code, 1),
        ("a row without a rank", enum, doc + "| `LOCK_RANK_C` | z |\n", header, code, 1),
        ("rows out of order", enum, "".join(reversed(doc.splitlines(True))), header, code, 1),
        ("a row twice", enum, doc + doc.splitlines()[1] + "\n", header, code, 1),
        ("a field without a rank", enum, doc, "    struct lock lock;\n", code, 1),
        ("a field with an unknown rank", enum, doc, "    struct lock lock; // LOCK_RANK_C\n", code, 2),
        ("a field that is not initialised", enum, doc, header, "int x;\n", 1),
        ("a field that is initialised with another rank", enum, doc, header, code.replace("_A", "_B"), 1),
        ("an initialised variable", enum, doc, header, code + "static struct lock g = LOCK_INITIALIZER(LOCK_RANK_B);\n", 0),
        ("a designated initialiser", enum, doc, header, "static struct s g = {.lock = LOCK_INITIALIZER(LOCK_RANK_A)};\n", 0),
        ("a call with an unknown rank", enum, doc, header, code + "void g(void) { lock_init(&x, LOCK_RANK_Z); }\n", 1),
        ("an array of locks", enum, doc, "    struct lock b[4]; // LOCK_RANK_B\n", "lock_init(&s->b[i], LOCK_RANK_B);\n", 0),
    ]
    failed = 0
    for what, enum_text, doc_text, header_text, code_text, want in cases:
        with tempfile.TemporaryDirectory() as tree:
            for path, text in (
                ("src/base/lock.h", enum_text),
                ("docs/locking.md", doc_text),
                ("src/mm/x.h", header_text),
                ("src/mm/x.c", code_text),
            ):
                os.makedirs(os.path.join(tree, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(tree, path), "w", encoding="utf-8") as f:
                    f.write(text)
            got = check(tree)
            if len(got) != want:
                print(f"self-test: {what}: {len(got)} problems, should be {want}: {got}")
                failed += 1
    return failed


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    if len(arguments) > 1 or any(a.startswith("-") for a in arguments):
        print("usage: check-locks.py [--self-test] [TREE]", file=sys.stderr)
        sys.exit(2)
    tree = arguments[0] if arguments else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    problems = check(tree)
    for p in problems:
        print(p)
    sys.exit(1 if problems else 0)


main()
