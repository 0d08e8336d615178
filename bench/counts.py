#!/usr/bin/env python3
"""Guards against regressions by counting, not by timing.

    bench/counts.py [--caisson PATH] [--programs DIR] [--only A,B] [--show] [--strict] [--self-test]

Each workload runs twice under `caisson --debug-counts FILE do -- ...`, a small and a large number of
times; the difference of the counters, divided by the difference of the numbers, is what one more
operation costs once everything is warm. Start-up falls out, and so does the machine's mood.
counts-expected.json says for each workload and counter the least and the most that is right.

Prints "ok NAME", "FAIL NAME: why" or "skip NAME: why" for each workload. A counter or an option that
the binary does not have is a skip by name (with --strict: a failure). Exit status 1 when one failed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

BENCH = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(BENCH)
EXPECTED = os.path.join(BENCH, "counts-expected.json")
COUNTERS = ["handoffs", "host_calls", "sigsys_traps", "notifications", "window_copies",
            "pvm_copies", "gofer_messages"]
# Calls by which the kernel waits and wakes: how many there are depends on who was faster.
WAITING = {"futex", "sched_yield", "tgkill", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll",
           "ppoll", "nanosleep", "clock_nanosleep", "sched_setaffinity", "getcpu"}
LIMIT_SECONDS = 60


class Skip(Exception):
    """The workload cannot be judged here, and why."""


class Wrong(Exception):
    """The workload did not run as it should have."""


def micro(row, small, large):
    """A row of the micro-benchmark program, without its warm-up."""
    def command(paths, number):
        return [paths["micro"], "--ops", str(number), row]
    return command, small, large


def script(text, small, large, needs=None):
    """A shell loop around something that a program does with a tree of fixed content."""
    def command(paths, number):
        if needs and not shutil.which(needs):
            raise Skip(f"{needs} is not installed")
        loop = f"i=0; while [ $i -lt {number} ]; do {text} || exit 1; i=$((i+1)); done"
        return ["/bin/sh", "-c", loop.replace("TREE", paths["tree"])]
    return command, small, large


WORKLOADS = {
    "getpid": micro("getpid", 1000, 11000),
    "getuid": micro("getuid", 1000, 11000),
    "clock-gettime": micro("clock-gettime", 1000, 11000),
    "umask": micro("umask", 1000, 11000),
    "read-zero": micro("read-zero", 1000, 11000),
    "pread-4k": micro("pread-4k", 1000, 11000),
    "stat": micro("stat", 1000, 11000),
    "stat-absent": micro("stat-absent", 1000, 11000),
    "open-close": micro("open-close", 1000, 11000),
    "pipe-pong": micro("pipe-pong", 200, 2200),
    "mutex": micro("mutex", 1000, 101000),
    "futex-relay": micro("futex-relay", 200, 2200),
    "touch": micro("touch", 4096, 40960),
    "map": micro("map", 200, 2200),
    "fork": micro("fork", 20, 220),
    "spawn": micro("spawn", 20, 120),
    "thread": micro("thread", 50, 550),
    "signal-self": micro("signal-self", 200, 2200),
    "find": script("find TREE | wc -l >/dev/null", 2, 6, "find"),
    "cat": script("cat TREE/dir3/file4 >/dev/null", 3, 23),
    "python": script("python3 -I -S -c pass", 2, 6, "python3"),
    "git-status": script("git -C TREE status --porcelain >/dev/null", 2, 6, "git"),
}


def make_tree(where):
    """400 small files, the same everywhere; a git repository where there is git."""
    for i in range(20):
        directory = os.path.join(where, f"dir{i}")
        os.makedirs(directory)
        for k in range(20):
            with open(os.path.join(directory, f"file{k}"), "w", encoding="ascii") as file:
                file.write(f"file {k} of directory {i}\n" * 20)
    if shutil.which("git"):
        git = ["git", "-C", where, "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "tree"]):
            subprocess.run(git + arguments, check=True, stdout=subprocess.DEVNULL)


def run_counted(caisson, options, command):
    """Counters of one run, as numbers by name."""
    with tempfile.TemporaryDirectory(prefix="caisson-counts-") as scratch:
        path = os.path.join(scratch, "counts.json")
        argv = [caisson, "--debug-counts", path] + options + ["do", "--"] + command
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=LIMIT_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise Wrong(f"did not end for {LIMIT_SECONDS} s") from error
        words = " / ".join((done.stderr + done.stdout).strip().splitlines()[-2:])[:300]
        if "debug-counts" in done.stderr and done.returncode != 0:
            raise Skip(f"no --debug-counts: {words}")
        if done.returncode != 0:
            raise Wrong(f"exit status {done.returncode}: {words}")
        if "\"check\"" in done.stdout and "\"check\": \"ok\"" not in done.stdout:
            raise Wrong(f"wrong answer: {words}")
        try:
            with open(path, encoding="utf-8") as file:
                return flatten(json.load(file))
        except (OSError, ValueError) as error:
            raise Skip(f"no counters were written: {error}") from error


def flatten(counters):
    """host_calls may be one number or one for each call; the calls that wait are left out."""
    found = {}
    for name, value in counters.items():
        if isinstance(value, dict):
            value = sum(v for call, v in value.items() if call not in WAITING)
        if isinstance(value, (int, float)):
            found[name] = value
    return found


def cost_of_one(caisson, options, workload, paths):
    command, small, large = workload
    few = run_counted(caisson, options, command(paths, small))
    many = run_counted(caisson, options, command(paths, large))
    return {name: (many[name] - few[name]) / (large - small) for name in many if name in few}


def compare(costs, expected):
    """Lists of what is wrong and of what could not be compared."""
    wrong, absent = [], []
    for counter, bounds in expected.items():
        if counter not in costs:
            absent.append(counter)
            continue
        least, most = bounds
        if not least <= costs[counter] <= most:
            wrong.append(f"{counter} {costs[counter]:.3f}, not {least:g} to {most:g}")
    return wrong, absent


def judge(name, costs, expected, strict):
    wrong, absent = compare(costs, expected)
    if strict and absent:
        wrong.append("not counted: " + ", ".join(absent))
    if wrong:
        return f"FAIL {name}: " + "; ".join(wrong)
    if absent and len(absent) == len(expected):
        return f"skip {name}: not counted: " + ", ".join(absent)
    return f"ok {name}" + (f" (not counted: {', '.join(absent)})" if absent else "")


def self_test():
    """A check that cannot fail is a defect: shows that this one can."""
    expected = {"handoffs": [1, 1.05], "gofer_messages": [0, 0.01]}
    cases = [
        ({"handoffs": 1.0, "gofer_messages": 0}, False, "ok"),
        ({"handoffs": 2.0, "gofer_messages": 0}, False, "FAIL"),
        ({"handoffs": 0.0, "gofer_messages": 0}, False, "FAIL"),
        ({"handoffs": 1.0, "gofer_messages": 1.0}, False, "FAIL"),
        ({"handoffs": 1.0}, False, "ok"),
        ({"handoffs": 1.0}, True, "FAIL"),
        ({}, False, "skip"),
        ({}, True, "FAIL"),
    ]
    for costs, strict, wanted in cases:
        line = judge("case", costs, expected, strict)
        if not line.startswith(wanted):
            print(f"FAIL self-test: {costs} strict={strict}: {line}")
            return 1
    if flatten({"a": 1, "host_calls": {"futex": 5, "preadv": 2}}) != {"a": 1, "host_calls": 2}:
        print("FAIL self-test: flatten")
        return 1
    with open(EXPECTED, encoding="utf-8") as file:
        names = set(json.load(file)["workloads"])
    if names != set(WORKLOADS):
        print(f"FAIL self-test: workloads and expectations differ: {names ^ set(WORKLOADS)}")
        return 1
    print("ok self-test")
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--caisson", default=os.path.join(TOP, "build", "caisson"))
    parser.add_argument("--programs", default=os.path.join(TOP, "build", "bench"),
                        help="where the micro-benchmark program is built, and the tree is made")
    parser.add_argument("--only", default="", help="these workloads, separated by commas")
    parser.add_argument("--option", action="append", default=[],
                        help="another option of caisson, for instance --option=--no-patching")
    parser.add_argument("--show", action="store_true", help="print what was counted")
    parser.add_argument("--strict", action="store_true", help="what cannot be counted is a failure")
    parser.add_argument("--self-test", action="store_true")
    return parser.parse_args()


def prepare(programs):
    os.makedirs(programs, exist_ok=True)
    done = subprocess.run(["make", "-C", BENCH, f"OUT={programs}", f"{programs}/micro"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Wrong(f"the micro-benchmark program does not build: {done.stderr[-300:]}")
    tree = os.path.join(programs, "tree")
    if not os.path.isdir(tree):
        temporary = tempfile.mkdtemp(dir=programs)
        make_tree(temporary)
        os.chmod(temporary, 0o755)
        os.rename(temporary, tree)
    return {"micro": os.path.join(programs, "micro"), "tree": tree}


def main():
    options = arguments()
    if options.self_test:
        return self_test()
    with open(EXPECTED, encoding="utf-8") as file:
        expected = json.load(file)["workloads"]
    names = [name for name in options.only.split(",") if name] or list(WORKLOADS)
    if not os.access(options.caisson, os.X_OK):
        for name in names:
            print(f"{'FAIL' if options.strict else 'skip'} {name}: there is no {options.caisson}")
        return int(options.strict)
    paths = prepare(os.path.abspath(options.programs))
    status = 0
    for name in names:
        try:
            costs = cost_of_one(os.path.abspath(options.caisson), options.option, WORKLOADS[name],
                                paths)
            line = judge(name, costs, expected[name], options.strict)
            if options.show:
                print("# " + name + ": " + ", ".join(f"{k} {v:.3f}" for k, v in costs.items()))
        except Skip as why:
            line = f"{'FAIL' if options.strict else 'skip'} {name}: {why}"
        except Wrong as why:
            line = f"FAIL {name}: {why}"
        print(line, flush=True)
        status |= line.startswith("FAIL")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
