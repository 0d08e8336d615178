#!/usr/bin/env python3
"""Makes the host call table's C forms from src/host/calls.tbl.

    gen-host-calls.py TABLE header > host-calls.h     numbers, names, rules
    gen-host-calls.py TABLE source > host-calls.c     names, rules and the two seccomp programs
    gen-host-calls.py TABLE figures                   one line for each figure, for docs and CI
    gen-host-calls.py TABLE check LIMITS              fails when a figure is above its limit
    gen-host-calls.py self-test                       fails unless faulty tables are refused
"""
import re
import sys

ROLES = {"k": "kernel", "g": "gofer"}
NAME = re.compile(r"^[a-z][a-z0-9_]*$")
CONDITION = re.compile(
    r"^a(?P<arg>[0-5])(?:\s*&\s*(?P<mask>\S+))?(?P<wide>\s+wide)?\s+(?:==\s+(?P<equal>\S+)|in\s+(?P<list>.+))$"
)


class TableError(Exception):
    pass


class Row:
    """One line: a call, who may make it, and one condition or none."""

    def __init__(self, where, line):
        fields = line.split(None, 3)
        if len(fields) != 4:
            raise TableError(f"{where}: four columns are needed")
        self.name, number, roles, condition = fields
        if not NAME.match(self.name) or not number.isdigit():
            raise TableError(f"{where}: bad name or number")
        self.number = int(number)
        if not roles or any(r not in ROLES for r in roles):
            raise TableError(f"{where}: bad roles {roles!r}")
        self.roles = roles
        self.arg = None
        if condition.strip() == "-":
            return
        match = CONDITION.match(condition.strip())
        if not match:
            raise TableError(f"{where}: cannot read the condition {condition!r}")
        self.arg = int(match["arg"])
        self.mask = match["mask"]
        self.wide = bool(match["wide"])
        self.values = [match["equal"]] if match["equal"] else match["list"].split()
        if self.wide and (self.mask or self.values != ["0"]):
            raise TableError(f"{where}: wide conditions compare with 0 only")


def read_table(lines, origin):
    rows = []
    for index, line in enumerate(lines, 1):
        line = line.strip()
        if line and not line.startswith("#"):
            rows.append(Row(f"{origin}:{index}", line))
    names = {}
    for before, row in zip(rows, rows[1:]):
        if row.number < before.number:
            raise TableError(f"{origin}: {row.name} is not in the order of numbers")
    for row in rows:
        if names.setdefault(row.number, row.name) != row.name:
            raise TableError(f"{origin}: two names for {row.number}")
    for role in ROLES:
        for number in names:
            mine = [r for r in rows if r.number == number and role in r.roles]
            if len(mine) > 1 and any(r.arg is None for r in mine):
                raise TableError(f"{origin}: {names[number]} has a condition that another row makes void")
    if not rows:
        raise TableError(f"{origin}: no rows")
    return rows


def calls_of(rows, role):
    """{number: [rows]} in the order of numbers."""
    result = {}
    for row in rows:
        if role in row.roles:
            result.setdefault(row.number, []).append(row)
    return result


class Program:
    """A classic-BPF program with labels. Jumps go forward; far ones go through an unconditional jump."""

    def __init__(self):
        self.items = []

    def add(self, text, true=None, false=None):
        self.items.append(("insn", text, true, false))

    def jump(self, label):
        self.items.append(("goto", label, None, None))

    def label(self, name):
        self.items.append(("label", name, None, None))

    def render(self):
        places, place = {}, 0
        for kind, text, _, _ in self.items:
            if kind == "label":
                places[text] = place
            else:
                place += 1
        out, place = [], 0

        def offset(label):
            if label is None:
                return 0
            value = places[label] - place - 1
            if not 0 <= value <= 255:
                raise TableError(f"jump of {value} instructions: the program has to be split")
            return value

        for kind, text, true, false in self.items:
            if kind == "insn" and (true or false):
                out.append(f"    BPF_JUMP({text}, {offset(true)}, {offset(false)}),")
            elif kind == "insn":
                out.append(f"    BPF_STMT({text}),")
            elif kind == "goto":
                out.append(f"    BPF_STMT(BPF_JMP | BPF_JA, {places[text] - place - 1}),")
            if kind != "label":
                place += 1
        return out


LOAD = "BPF_LD | BPF_W | BPF_ABS, {}"
EQUAL = "BPF_JMP | BPF_JEQ | BPF_K, {}"


def emit_row(program, row, allow, otherwise):
    """Falls to label `otherwise` (placed right behind) when the row's condition does not hold."""
    low = f"HOST_ARG_LOW({row.arg})"
    if row.wide:
        program.add(LOAD.format(low))
        program.add(EQUAL.format("0"), None, otherwise)
        program.add(LOAD.format(f"HOST_ARG_HIGH({row.arg})"))
        program.add(EQUAL.format("0"), None, otherwise)
        program.jump(allow)
        return
    program.add(LOAD.format(low))
    if row.mask:
        program.add(f"BPF_ALU | BPF_AND | BPF_K, {row.mask}")
    for index, value in enumerate(row.values):
        hit = f"{otherwise}-hit"
        last = index == len(row.values) - 1
        program.add(EQUAL.format(f"(uint32_t)({value})"), hit, otherwise if last else None)
    program.label(f"{otherwise}-hit")
    program.jump(allow)


def make_program(rows, role):
    """A binary search over the numbers, then the conditions of the one that was found."""
    calls = calls_of(rows, role)
    numbers = sorted(calls)
    program = Program()
    program.add(LOAD.format("HOST_ARCH_OFFSET"))
    program.add(EQUAL.format("HOST_ARCH"), None, "no-arch")
    program.add(LOAD.format("HOST_NUMBER_OFFSET"))

    def search(begin, end):
        if end - begin == 1:
            number = numbers[begin]
            free = calls[number][0].arg is None
            program.add(EQUAL.format(number), None, f"miss-{number}")
            program.jump("allow" if free else f"call-{number}")
            program.label(f"miss-{number}")
            program.jump("refuse")
            return
        middle = (begin + end) // 2
        program.add(f"BPF_JMP | BPF_JGE | BPF_K, {numbers[middle]}", f"from-{middle}", None)
        search(begin, middle)
        program.label(f"from-{middle}")
        search(middle, end)

    # The first test of the search stands behind the architecture's refusal, within reach of its jump.
    program.jump("search")
    program.label("no-arch")
    program.jump("refuse")
    program.label("search")
    search(0, len(numbers))
    for number in numbers:
        if calls[number][0].arg is None:
            continue
        program.label(f"call-{number}")
        for index, row in enumerate(calls[number]):
            emit_row(program, row, "allow", f"next-{number}-{index}")
            program.label(f"next-{number}-{index}")
        program.jump("refuse")
    program.label("allow")
    program.add("BPF_RET | BPF_K, SECCOMP_RET_ALLOW")
    # The last instruction: the installer puts its own answer there.
    program.label("refuse")
    program.add("BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS")
    return program.render()


def names_of(rows):
    result = {}
    for row in rows:
        result[row.name] = row.number
    return result


def write_header(rows):
    print("// Made from src/host/calls.tbl by scripts/gen-host-calls.py.")
    print("#pragma once\n")
    print("enum host_call_id {")
    for name in names_of(rows):
        print(f"    HOST_CALL_{name},")
    print("    HOST_CALL_COUNT,")
    print("};")


def write_rules(rows, role):
    print(f"static const struct host_rule {ROLES[role]}_rules[] = {{")
    for row in (r for r in rows if role in r.roles):
        if row.arg is None:
            print(f"    {{.number = {row.number}, .arg = -1}},")
            continue
        mask = "UINT64_MAX" if row.wide else f"(uint32_t)({row.mask or 'UINT32_MAX'})"
        values = ", ".join(f"(uint32_t)({v})" for v in row.values)
        print(
            f"    {{.number = {row.number}, .arg = {row.arg}, .mask = {mask}, "
            f".value_count = {len(row.values)}, .values = {{{values}}}}},"
        )
    print("};")


def write_source(rows):
    print("// Made from src/host/calls.tbl by scripts/gen-host-calls.py.")
    print('#include "host/filter-int.h"\n')
    print("const char *const host_call_names[HOST_CALL_COUNT] = {")
    for name in names_of(rows):
        print(f'    "{name}",')
    print("};\n")
    print("const uint16_t host_call_numbers[HOST_CALL_COUNT] = {")
    for name, number in names_of(rows).items():
        print(f"    {number}, // {name}")
    print("};\n")
    for name, number in names_of(rows).items():
        print(f'_Static_assert(SYS_{name} == {number}, "{name}");')
    for role, word in ROLES.items():
        print(f"\nstatic const struct sock_filter {word}_program[] = {{")
        print("\n".join(make_program(rows, role)))
        print("};\n")
        write_rules(rows, role)
    print("\nconst struct host_filter host_filters[HOST_FILTER_COUNT] = {")
    for word in ROLES.values():
        print(f"    {{{word}_program, ARRAY_SIZE({word}_program), {word}_rules, ARRAY_SIZE({word}_rules)}},")
    print("};")


def figures(rows):
    result = {}
    for role, word in ROLES.items():
        calls = calls_of(rows, role)
        result[f"{word}-calls"] = len(calls)
        result[f"{word}-calls-without-check"] = sum(1 for c in calls.values() if c[0].arg is None)
        result[f"{word}-filter-instructions"] = len(make_program(rows, role))
    return result


def check(rows, path):
    found, bad = figures(rows), 0
    with open(path, encoding="ascii") as file:
        limits = dict(line.split() for line in file if line.strip() and not line.startswith("#"))
    for name, value in found.items():
        if name not in limits or value > int(limits[name]):
            print(f"{name} is {value}, the limit is {limits.get(name, 'missing')}", file=sys.stderr)
            bad = 1
    return bad


def self_test():
    faulty = [
        "read 0 k",
        "read x k -",
        "read 0 z -",
        "read 0 k a9 == 1",
        "write 1 k -\nread 0 k -",
        "read 0 k -\nwrite 0 k -",
        "read 0 k -\nread 0 k a1 == 2",
        "read 0 k a1 wide == 5",
        "",
    ]
    for text in faulty:
        try:
            read_table(text.splitlines(), "test")
        except TableError:
            continue
        print(f"accepted: {text!r}", file=sys.stderr)
        return 1
    rows = read_table(["read 0 kg -", "ioctl 16 k a1 in A B", "ioctl 16 k a2 & M == C"], "test")
    if figures(rows)["kernel-calls"] != 2 or figures(rows)["kernel-calls-without-check"] != 1:
        print("wrong figures", file=sys.stderr)
        return 1
    return 0


def main(argv):
    if argv[1:] == ["self-test"]:
        return self_test()
    with open(argv[1], encoding="ascii") as file:
        rows = read_table(file, argv[1])
    if argv[2] == "header":
        write_header(rows)
    elif argv[2] == "source":
        write_source(rows)
    elif argv[2] == "figures":
        for name, value in figures(rows).items():
            print(name, value)
    elif argv[2] == "check":
        return check(rows, argv[3])
    else:
        raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except TableError as error:
        sys.exit(str(error))
