#!/usr/bin/env python3
"""Kills the command at each of its system calls, or makes the call fail, and looks for what is left: processes, mounts, states.

    fault-each-call.py CAISSON [WORDS...]

A call that fails may end the run, with a message, or not; it must not end it by a signal. After each kill and failure nothing may run, the mount table must be what it was, `delete --force` must succeed, and the same id must
be usable again. strace does the killing, by call and occurrence, so that every call is reached once.
"""
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time

# What a process does before its own first line, and a call that each trace has by the hundred.
UNINTERESTING = {"execve", "brk", "mmap", "munmap", "mprotect", "arch_prctl", "set_tid_address", "set_robust_list", "rseq"}
FAULTS = ["signal=KILL", "error=ENOMEM", "error=EMFILE"]
PER_CALL = 4  # occurrences of one call


def sandbox_processes():
    result = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        name, state = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2]
        if name.startswith("caisson") and state not in "ZX":
            result.append((int(pid), name))
    return result


def wait_for_silence(seconds=5):
    deadline = time.monotonic() + seconds
    while sandbox_processes() and time.monotonic() < deadline:
        time.sleep(0.005)
    return sandbox_processes()


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return file.read()


class Runner:
    def __init__(self, caisson, tmp):
        self.root, self.bundle, self.caisson = tmp + "/state", tmp + "/bundle", caisson
        os.makedirs(self.bundle + "/rootfs")
        self.call("spec", "--bundle", self.bundle)
        with open(self.bundle + "/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config["process"].update(terminal=False, args=["exit", "3"])
        config["mounts"].append({"destination": "/x", "type": "bind", "source": "rootfs", "options": ["rbind"]})
        with open(self.bundle + "/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.words = ["--root", self.root, "run", "--bundle", self.bundle, "c"]
        self.mounts = mounts()

    def call(self, *words, prefix=()):
        return subprocess.run(
            [*prefix, self.caisson, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
        )

    def trace(self):
        """{call: occurrences} of one run."""
        with tempfile.NamedTemporaryFile(mode="r") as log:
            result = self.call(*self.words, prefix=["strace", "-o", log.name])
            if result.returncode != 3:
                raise RuntimeError(f"the traced run ended with {result.returncode}: {result.stderr}")
            calls = collections.Counter(re.findall(r"^(\w+)\(", log.read(), re.MULTILINE))
        return {call: count for call, count in calls.items() if call not in UNINTERESTING}

    def fault_at(self, call, occurrence, fault):
        inject = f"inject={call}:{fault}:when={occurrence}"
        result = self.call(*self.words, prefix=["strace", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject])
        problems = []
        left = wait_for_silence()
        if left:
            problems.append(f"processes are left: {left}")
        if mounts() != self.mounts:
            problems.append("mounts are left")
        allowed = (3, -9, 137) if "KILL" in fault else (1, 3, 125)
        loading = result.returncode == 127 and "error while loading shared libraries" in result.stderr
        if not loading and result.returncode not in allowed or (result.returncode in (1, 125) and not result.stderr):
            problems.append(f"the command ended with {result.returncode}: {result.stderr}")
        deleted = self.call("--root", self.root, "delete", "--force", "c")
        if deleted.returncode != 0:
            problems.append(f"delete --force: {deleted.stderr}")
        if os.path.isdir(self.root) and os.listdir(self.root):
            problems.append(f"state is left: {os.listdir(self.root)}")
        return problems


def main(argv):
    bad = 0
    with tempfile.TemporaryDirectory(prefix="caisson-fault-") as tmp:
        runner = Runner(os.path.abspath(argv[1]), tmp)
        calls = runner.trace()
        for call, count in sorted(calls.items()):
            # First, last, and some between.
            chosen = sorted({1 + i * (count - 1) // max(1, min(PER_CALL, count) - 1) for i in range(min(PER_CALL, count))})
            problems = [
                f"{call} {k} {fault}: {text}"
                for k in chosen
                for fault in FAULTS
                for text in runner.fault_at(call, k, fault)
            ]
            again = runner.call(*runner.words)
            if again.returncode != 3:
                problems.append(f"{call}: the next run ended with {again.returncode}: {again.stderr}")
            print(f"{'FAIL' if problems else 'ok'} fault-at-{call}", *(f"    {p}" for p in problems), sep="\n", flush=True)
            bad += len(problems)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
