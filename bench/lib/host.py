"""What the host can measure: cgroups of either version, processes, memory.

CPU time of a sandbox comes from a cgroup that everything of one run lives in (cpuacct of version 1,
or cpu.stat of version 2); where neither can be made, from the process tree in /proc, in clock ticks.
"""

import glob
import os
import re
import signal
import time

PARENT = "caisson-bench"


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def find_cgroups():
    """Mount points by controller; 'unified' is version 2's."""
    found = {}
    for line in read_text("/proc/self/mounts").splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2":
            found.setdefault("unified", where)
        elif kind == "cgroup":
            for word in options.split(","):
                if word in ("cpuacct", "memory"):
                    found.setdefault(word, where)
    return found


class RunGroup:
    """The cgroups of one run: a directory for the run, below it one leaf for the launcher ('launch')
    and one that the runtime may make for the container ('box')."""

    def __init__(self, name):
        self.name = name
        self.mounts = {}
        for controller, where in find_cgroups().items():
            path = os.path.join(where, PARENT, name)
            try:
                os.makedirs(os.path.join(path, "launch"), exist_ok=True)
            except OSError:
                continue
            self.mounts[controller] = path
        self.reset_peak_works = False

    def cgroups_path(self):
        return f"/{PARENT}/{self.name}/box" if self.mounts else None

    def procs_files(self):
        return [os.path.join(path, "launch", "cgroup.procs") for path in self.mounts.values()]

    def cpu_source(self):
        if "cpuacct" in self.mounts:
            return "cgroup v1 cpuacct"
        if "unified" in self.mounts:
            return "cgroup v2 cpu.stat"
        return "process tree in /proc, clock ticks"

    def cpu_ns(self, root_pid):
        if "cpuacct" in self.mounts:
            return int(read_text(os.path.join(self.mounts["cpuacct"], "cpuacct.usage")))
        if "unified" in self.mounts:
            text = read_text(os.path.join(self.mounts["unified"], "cpu.stat"))
            return int(re.search(r"usage_usec (\d+)", text).group(1)) * 1000
        return tree_cpu_ns(root_pid)

    def reset_peak(self):
        try:
            if "memory" in self.mounts:
                write_text(os.path.join(self.mounts["memory"], "memory.max_usage_in_bytes"), "0")
        except OSError:
            pass

    def peak_bytes(self):
        try:
            if "memory" in self.mounts:
                path = os.path.join(self.mounts["memory"], "memory.max_usage_in_bytes")
                return int(read_text(path))
            if "unified" in self.mounts:
                return int(read_text(os.path.join(self.mounts["unified"], "memory.peak")))
        except OSError:
            pass
        return None

    def limit_launch_memory(self, limit):
        """For the native column, which has no runtime that would do it. True when it worked."""
        try:
            if "memory" in self.mounts:
                path = os.path.join(self.mounts["memory"], "launch", "memory.limit_in_bytes")
            else:
                path = os.path.join(self.mounts["unified"], "launch", "memory.max")
            write_text(path, str(limit))
            return True
        except (OSError, KeyError):
            return False

    def pids(self):
        found = set()
        for path in self.mounts.values():
            for directory, _, files in os.walk(path):
                if "cgroup.procs" in files:
                    try:
                        found.update(map(int, read_text(f"{directory}/cgroup.procs").split()))
                    except OSError:
                        pass
        return found

    def destroy(self):
        """Kills what is left of the run and removes its cgroups."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            pids = self.pids() - {0}
            if not pids:
                break
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        for path in self.mounts.values():
            for directory, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass
        self._remove_strays()

    def _remove_strays(self):
        """Runtimes make the same path under controllers that are not measured, and not all clean up."""
        root = "/sys/fs/cgroup"
        if not os.path.isdir(root):
            return
        for entry in os.listdir(root):
            path = os.path.join(root, entry, PARENT, self.name)
            for directory, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass


def remove_parents():
    """Removes what all runs share; another run that goes on keeps it."""
    for where in glob.glob(f"/sys/fs/cgroup/*/{PARENT}") + [f"/sys/fs/cgroup/{PARENT}"]:
        try:
            os.rmdir(where)
        except OSError:
            pass


def stat_fields(pid):
    text = read_text(f"/proc/{pid}/stat")
    return text[text.rindex(")") + 2:].split()


def tree_pids(root_pid):
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(stat_fields(entry)[1]), []).append(int(entry))
            except (OSError, ValueError):
                pass
    found, queue = [], [root_pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue.extend(children.get(pid, []))
    return found


def tree_cpu_ns(root_pid):
    ticks = 0
    for pid in tree_pids(root_pid):
        try:
            ticks += sum(map(int, stat_fields(pid)[11:15]))
        except (OSError, ValueError):
            pass
    return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def pss_bytes(pids):
    """Proportional set size of all processes together, and by name."""
    total, by_name = 0, {}
    for pid in pids:
        try:
            text = read_text(f"/proc/{pid}/smaps_rollup")
            name = read_text(f"/proc/{pid}/comm").strip()
        except OSError:
            continue
        match = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
        if match:
            size = int(match.group(1)) * 1024
            total += size
            by_name[name] = by_name.get(name, 0) + size
    return total, by_name


def pinned_to(pids, cpu):
    """Names the first process that may run elsewhere than on the CPU, or None."""
    for pid in pids:
        try:
            allowed = os.sched_getaffinity(pid)
            name = read_text(f"/proc/{pid}/comm").strip()
        except OSError:
            continue
        if allowed != {cpu}:
            return f"{name} may run on {sorted(allowed)}"
    return None


def idle_percent(seconds):
    """How idle the whole machine is, over that time; stolen time counts as busy."""
    def sample():
        fields = list(map(int, read_text("/proc/stat").splitlines()[0].split()[1:9]))
        return fields[3] + fields[4], sum(fields)
    idle_start, all_start = sample()
    time.sleep(seconds)
    idle_end, all_end = sample()
    return round(100 * (idle_end - idle_start) / max(1, all_end - all_start), 1)


def machine():
    """What a reader must know of the machine to judge the numbers."""
    model = re.search(r"model name\s*:\s*(.*)", read_text("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+)", read_text("/proc/meminfo"))
    flags = re.search(r"flags\s*:\s*(.*)", read_text("/proc/cpuinfo"))
    return {
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "cpu": model.group(1) if model else os.uname().machine,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory.group(1)) // 1024 if memory else None,
        "virtual": bool(flags and "hypervisor" in flags.group(1).split()),
    }
