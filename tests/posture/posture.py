#!/usr/bin/env python3
"""Reads from /proc what every process and thread of a running sandbox may do, and fails on any difference from the list.

    posture.py CAISSON [LABEL [CONFIGURATION...]]      default: all that the caller can run
    posture.py self-test                       fails unless an ordinary process is found wanting

Run it in a PID name space of its own or on a quiet machine: it looks at the descendants of the command alone.
"""
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time

SPARE_IDS = 1 << 30  # ids from which a privileged command takes the sandbox's
CAP_DAC_READ_SEARCH = 1 << 2
CAP_GOFER_WRITE = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4  # CHOWN, DAC_OVERRIDE, FOWNER, FSETID
NAMESPACES = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]

# name: (global options, options of do, unprivileged, gofer may write)
CONFIGURATIONS = {
    "default": ([], [], False, False),
    "volume": ([], ["--volume", "{tmp}:/mnt"], False, True),
    "volume-ro": ([], ["--volume", "{tmp}:/mnt:ro"], False, False),
    "overlay-none": (["--overlay", "none"], ["--root", "{tmp}/root"], False, True),
    "overlay-dir": (["--overlay", "dir={tmp}"], [], False, False),
    "debug": (["--debug", "--debug-log", "{tmp}/log"], [], False, False),
    "rootless": ([], [], True, False),
    "rootless-volume": ([], ["--volume", "{tmp}:/mnt"], True, True),
}


class Failures:
    def __init__(self):
        self.count = 0

    def expect(self, where, what, found, wanted):
        good = wanted(found) if callable(wanted) else found == wanted
        if not good:
            self.count += 1
            print(f"FAILURE: {where}: {what} is {found!r}" + ("" if callable(wanted) else f", expected {wanted!r}"))


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def status_of(path):
    fields = {}
    for line in read(path + "/status").splitlines():
        name, _, value = line.partition(":")
        fields[name] = value.strip()
    return fields


def children_of(pid):
    result = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if int(status_of(f"/proc/{name}")["PPid"]) == pid:
                    result.append(int(name))
            except OSError:
                pass
    return result


def descendants_of(pid):
    result = []
    for child in children_of(pid):
        result += [child] + descendants_of(child)
    return result


def role_of(pid):
    return read(f"/proc/{pid}/cmdline").split("\0")[1]


def kernel_descriptor_fits(number, path, link, log):
    if number <= 2:
        return True
    mode = os.stat(path).st_mode
    if stat.S_ISSOCK(mode):
        return link.startswith("socket:")
    if link.startswith("anon_inode:"):
        return bool(re.match(r"anon_inode:(seccomp notify|\[(eventfd|eventpoll|timerfd|signalfd)\])$", link))
    if link == "/memfd:caisson-memory (deleted)" or (number in (8, 9) and link.endswith("(deleted)")):
        return True
    # The log, or a file that the gofer has opened: never a directory, and a device only if it is the null device.
    return number == 6 and link == log or stat.S_ISREG(mode) or link == "/dev/null"


def mount_of(path):
    """Number of the mount that a descriptor, /proc/PID/fd/N, leads to."""
    text = read(path.replace("/fd/", "/fdinfo/"))
    return next(line.split()[1] for line in text.splitlines() if line.startswith("mnt_id:"))


def gofer_descriptor_fits(number, path, link, log):
    if number <= 2:
        return link == "/dev/null"
    if stat.S_ISSOCK(os.stat(path).st_mode):
        return number in (4, 5)
    if number == 6 and link == log:
        return True
    # Everything else lies in a copy of a mount, never in one that the host itself has.
    return mount_of(path) not in {line.split()[0] for line in read("/proc/self/mountinfo").splitlines()}


class Posture:
    def __init__(self, failures, name, unprivileged, writes):
        self.failures = failures
        self.name = name
        self.unprivileged = unprivileged
        self.writes = writes

    def expect(self, where, what, found, wanted):
        self.failures.expect(f"{self.name}: {where}", what, found, wanted)

    def check_thread(self, where, path, kind, uid):
        fields = status_of(path)
        caps = {name: int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        kept = 0
        if kind == "gofer":
            kept = CAP_GOFER_WRITE if self.writes else CAP_DAC_READ_SEARCH
        for name, value in caps.items():
            self.expect(where, name, value, 0 if name in ("CapInh", "CapAmb") else kept)
        self.expect(where, "NoNewPrivs", fields["NoNewPrivs"], "1")
        self.expect(where, "Seccomp", fields["Seccomp"], "2")
        self.expect(where, "Seccomp_filters", fields["Seccomp_filters"], "1")
        if not self.unprivileged:
            self.expect(where, "Groups", fields["Groups"], "")
        for name in ("Uid", "Gid"):
            self.expect(where, name, set(fields[name].split()), {str(uid)})
        for namespace in NAMESPACES:
            shares_user = kind == "gofer" and namespace == "user" and not self.unprivileged
            same = os.readlink(f"{path}/ns/{namespace}") == os.readlink(f"/proc/self/ns/{namespace}")
            self.expect(where, f"{namespace} name space is the host's", same, shares_user)

    def check_process(self, pid, kind, uid, log):
        path, where = f"/proc/{pid}", f"{kind} {pid}"
        self.expect(where, "root directory", os.listdir(path + "/root"), [])
        self.expect(where, "working directory", os.readlink(path + "/cwd"), "/")
        mounts = [line.split() for line in read(path + "/mountinfo").splitlines()]
        self.expect(where, "number of mounts", len(mounts), 1)
        self.expect(where, "mount options", set(mounts[0][5].split(",")), lambda s: {"ro", "nosuid", "nodev", "noexec"} <= s)
        self.expect(where, "file system of the root", mounts[0][mounts[0].index("-") + 1], "tmpfs")
        limits = {line[:26].strip(): line[26:].split() for line in read(path + "/limits").splitlines()}
        self.expect(where, "core limit", limits["Max core file size"][0], lambda v: v in ("0", "1"))
        self.expect(where, "file size limit", limits["Max file size"][0], "unlimited")
        fits = gofer_descriptor_fits if kind == "gofer" else kernel_descriptor_fits
        for number in sorted(map(int, os.listdir(path + "/fd"))):
            entry = f"{path}/fd/{number}"
            try:
                link = os.readlink(entry)
                self.expect(where, f"descriptor {number}", link, lambda l, n=number, e=entry: fits(n, e, l, log))
            except FileNotFoundError:
                pass
        for thread in sorted(os.listdir(path + "/task")):
            self.check_thread(f"{where} thread {thread}", f"{path}/task/{thread}", kind, uid)

    def check(self, command, log):
        roles = {role_of(pid): pid for pid in children_of(command)}
        self.expect("command", "roles", sorted(roles), ["gofer", "kernel"])
        kernel = roles["kernel"]
        mapping = read(f"/proc/{kernel}/uid_map").split()
        caller = 1000 if self.unprivileged else 0
        # uid_map shows the outer id as the reader's name space sees it.
        uid = int(mapping[1])
        self.expect("kernel", "uid_map", (mapping[0], mapping[2]), ("0", "1"))
        self.expect("kernel", "outer id", uid, (lambda u: u == caller) if self.unprivileged else (lambda u: u >= SPARE_IDS))
        self.expect("kernel", "id in its PID name space", status_of(f"/proc/{kernel}")["NSpid"].split()[-1], "1")
        self.check_process(kernel, "kernel", uid, log)
        self.check_process(roles["gofer"], "gofer", caller, log)
        stubs = descendants_of(kernel)
        self.expect("kernel", "number of stubs", len(stubs), lambda n: n >= 1)
        base = int(read(f"/proc/{kernel}/oom_score_adj"))
        for pid in stubs:
            self.check_process(pid, "stub", uid, log)
            self.expect(f"stub {pid}", "oom_score_adj", int(read(f"/proc/{pid}/oom_score_adj")), min(base + 500, 1000))
        self.check_dumpable(kernel, stubs)

    # Whether a process of the same user without capabilities may look: what dumpable decides.
    def check_dumpable(self, kernel, stubs):
        if os.geteuid() != 0:
            return
        for pid, wanted in [(kernel, False)] + [(stub, True) for stub in stubs]:
            ids = [] if self.unprivileged else ["--setuid", "0", "--setgid", "0"]
            test = ["nsenter", f"--user=/proc/{pid}/ns/user"] + ids + ["setpriv", "--bounding-set", "-all"]
            test += ["--inh-caps", "-all", "--no-new-privs", "cat", f"/proc/{pid}/auxv"]
            found = subprocess.run(test, capture_output=True, check=False).returncode == 0
            self.expect(f"process {pid}", "dumpable", found, wanted)


def run_configuration(caisson, name, failures):
    options, arguments, unprivileged, writes = CONFIGURATIONS[name]
    with tempfile.TemporaryDirectory(prefix="caisson-posture-") as tmp:
        os.makedirs(tmp + "/root")
        os.chmod(tmp, 0o777)
        fill = [word.format(tmp=tmp) for word in options] + ["do"] + [word.format(tmp=tmp) for word in arguments]
        command = [caisson] + fill + ["--", "sleep", "60"]
        if unprivileged:
            command = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "--inh-caps=-all"] + command
        if name == "overlay-none" and not copy_program(tmp + "/root"):
            return
        with open(tmp + "/stderr", "w+", encoding="utf-8") as errors:
            # Descriptors that a careless caller leaves open must not get in.
            leak = os.open("/", os.O_RDONLY)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, pass_fds=(leak,))
            os.close(leak)
            try:
                wait_until_ready(process)
                log = tmp + "/log" if name == "debug" else errors.name
                Posture(failures, name, unprivileged, writes).check(process.pid, log)
            except (OSError, KeyError, TimeoutError, IndexError) as error:
                failures.expect(name, "sandbox", f"{error!r}: " + read(errors.name), "")
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()


def copy_program(root):
    """A static program for a root of our own, if there is one; the stand-in needs none."""
    busybox = "/bin/busybox"
    os.makedirs(root + "/bin")
    if os.path.exists(busybox):
        subprocess.run(["cp", busybox, root + "/bin/sleep"], check=True)
    return True


# Both roles have their filters, and the kernel has a stub: then the start is over.
def wait_until_ready(process):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TimeoutError(f"the command ended with {process.returncode}")
        try:
            roles = children_of(process.pid)
            jailed = [status_of(f"/proc/{pid}")["Seccomp"] == "2" for pid in roles]
            stubs = [pid for role in roles for pid in children_of(role)]
            if len(roles) == 2 and all(jailed) and stubs:
                filtered = [status_of(f"/proc/{pid}")["Seccomp"] == "2" for pid in stubs]
                if all(filtered):
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise TimeoutError("the sandbox did not come up")


def self_test():
    failures = Failures()
    process = subprocess.Popen(["sleep", "60"])
    try:
        posture = Posture(failures, "self-test", False, False)
        posture.check_process(process.pid, "kernel", SPARE_IDS, "")
    finally:
        process.kill()
        process.wait()
    # Root directory, mounts, capabilities, no-new-privileges, seccomp, ids and seven name spaces at least.
    return 0 if failures.count >= 15 else 1


def main(argv):
    if argv[1:] == ["self-test"]:
        return self_test()
    label, total = argv[2] if len(argv) > 2 else "sandbox", 0
    for name in argv[3:] or CONFIGURATIONS:
        if os.geteuid() != 0 and not CONFIGURATIONS[name][2]:
            print(f"skip {label}-{name} (needs root)")
            continue
        failures = Failures()
        run_configuration(os.path.abspath(argv[1]), name, failures)
        print(f"{'FAIL' if failures.count else 'ok'} {label}-{name}", flush=True)
        total += failures.count
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
