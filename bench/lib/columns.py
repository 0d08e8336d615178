"""The columns: native and the runtimes. One bundle, one configuration for all of them."""

import json
import os
import shutil
import signal
import subprocess

CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
]

ENVIRONMENT = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root", "LC_ALL=C.UTF-8",
]


def oci_config(root, argv, cgroups_path, binds=(), memory_limit=None):
    """A bundle's config.json: Docker's default capabilities, tmpfs on /tmp, no network."""
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "nodev", "mode=1777"]},
    ]
    for source, destination in binds:
        mounts.append({"destination": destination, "type": "bind", "source": source,
                       "options": ["rbind", "rw"]})
    namespaces = ["pid", "ipc", "uts", "mount", "network"]
    linux = {"namespaces": [{"type": name} for name in namespaces]}
    if cgroups_path:
        linux["cgroupsPath"] = cgroups_path
    if memory_limit:
        linux["resources"] = {"memory": {"limit": memory_limit}}
    sets = ("bounding", "effective", "permitted")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False, "user": {"uid": 0, "gid": 0}, "args": argv, "env": ENVIRONMENT,
            "cwd": "/", "noNewPrivileges": True,
            "capabilities": {name: CAPABILITIES for name in sets},
        },
        "root": {"path": root, "readonly": False},
        "hostname": "bench",
        "mounts": mounts,
        "linux": linux,
    }


class Column:
    """A way to run a bundle. `missing` says why it cannot be used here, or is None."""

    is_container = True
    has_exec = True
    unmount = None

    def __init__(self, name, command, version="", missing=None, note=""):
        self.name = name
        self.command = command
        self.version = version
        self.missing = missing
        self.note = note

    def prepare(self, work, root, argv, group, binds=(), memory_limit=None):
        """Writes the bundle; returns its directory."""
        bundle = os.path.join(work, "bundle")
        os.makedirs(bundle, exist_ok=True)
        config = oci_config(root, argv, group.cgroups_path(), binds, memory_limit)
        with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        return bundle

    def _base(self, work):
        return self.command + ["--root", os.path.join(work, "state")]

    def run_argv(self, work, bundle, name):
        return self._base(work) + ["run", "--bundle", bundle, name]

    def detach_argv(self, work, bundle, name):
        return self._base(work) + ["run", "--detach", "--pid-file", os.path.join(work, "pid"),
                                   "--bundle", bundle, name]

    def exec_argv(self, work, name, argv):
        return self._base(work) + ["exec", name] + argv

    def delete(self, work, name):
        """Whatever state the container is in, afterwards it is gone; failures do not matter."""
        for arguments in (["kill", name, "KILL"], ["delete", "--force", name]):
            try:
                process = subprocess.Popen(self._base(work) + arguments, start_new_session=True,
                                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
            except OSError:
                continue
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class NativeColumn(Column):
    """The same root file system under chroot, on the host's own kernel."""

    is_container = False
    has_exec = False

    def prepare(self, work, root, argv, group, binds=(), memory_limit=None):
        self._plan = [root]
        for source, destination in binds:
            self._plan += ["--bind", source, destination]
        self._plan += ["--"] + argv
        if memory_limit:
            group.limit_launch_memory(memory_limit)
        return work

    def run_argv(self, work, bundle, name):
        return self.command + self._plan

    def delete(self, work, name):
        pass


class HybridColumn(Column):
    """A runtime that refuses hosts with both cgroup versions mounted: version 2 is hidden from it."""

    unmount = "/sys/fs/cgroup/unified"


def version_of(command):
    try:
        done = subprocess.run(command + ["--version"], capture_output=True, text=True, timeout=20,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    lines = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode != 0:
        return None, lines[0] if lines else f"exit status {done.returncode}"
    return (lines[0] if lines else "unknown"), None


def runtime(name, command, kind=Column, note=""):
    where = shutil.which(command[0])
    if not where:
        return kind(name, command, missing=f"there is no {command[0]}", note=note)
    command = [os.path.abspath(where)] + command[1:]
    version, problem = version_of(command[:1])
    if problem:
        return kind(name, command, missing=f"--version: {problem}", note=note)
    return kind(name, command, version=version, note=note)


def crun_column():
    if os.path.ismount("/sys/fs/cgroup/unified"):
        return runtime("crun", ["crun"], HybridColumn,
                       "this host mounts both cgroup versions; version 2 is hidden from crun")
    return runtime("crun", ["crun"])


def discover(programs, cache, caisson, extra):
    """All columns, native first. Order is the order of the report."""
    native = NativeColumn("native", [os.path.join(programs, "native")], version="chroot")
    if os.geteuid() != 0:
        native.missing = "chroot needs root"
    backports = os.path.join(cache, "runsc-backports", "usr", "bin", "runsc")
    # Without a network namespace of a network plugin's making runsc wants to be told so.
    quiet = ["--network=none"]
    columns = [
        native,
        runtime("runc", ["runc"]),
        crun_column(),
        runtime("runsc-2022", ["runsc"] + quiet, note="Debian bookworm, default platform (ptrace)"),
        runtime("runsc-2024", [backports] + quiet,
                note="Debian bookworm-backports, default platform (systrap)"),
        runtime("caisson", [caisson]),
    ]
    for item in extra:
        name, _, command = item.partition("=")
        columns.append(runtime(name, command.split()))
    return columns
