"""One launch of a sandbox, with marks from inside and meters outside."""

import json
import os
import select
import shutil
import signal
import subprocess
import time

from . import host


class LaunchError(Exception):
    """The sandbox ended, hung or said something else than it should have."""


class Launch:
    """Starts `argv` in a column's sandbox and talks with the benchmark program inside.

    Everything that the launch makes (bundle, state, cgroups, processes) is gone after close().
    """

    counter = 0

    def __init__(self, context, column, root, argv, shape="all", volume=False, memory_limit=None,
                 detach=False, timeout=120):
        Launch.counter += 1
        self.context = context
        self.column = column
        self.shape = shape
        self.name = f"bench-{os.getpid()}-{Launch.counter}"
        self.work = os.path.join(context.work, self.name)
        os.makedirs(self.work)
        self.group = host.RunGroup(self.name)
        self.timeout = timeout
        self.detach = detach
        self.buffer = b""
        self.process = None
        self.result = None
        binds = []
        if volume:
            binds.append((os.path.join(self.work, "volume"), "/data"))
            os.makedirs(binds[0][0])
        bundle = column.prepare(self.work, root, argv, self.group, binds, memory_limit)
        make = column.detach_argv if detach else column.run_argv
        self._start(make(self.work, bundle, self.name))

    def _timed(self, command, result_fd):
        argv = [self.context.program("timed"), "--timeout", str(self.timeout)]
        for procs in self.group.procs_files():
            argv += ["--procs", procs]
        if self.shape == "one":
            argv += ["--cpu", str(self.context.cpu)]
        if self.detach:
            # What stays behind is the sandbox itself: not an orphan to wait for.
            argv += ["--linger", "0"]
        if self.column.unmount:
            argv += ["--unmount", self.column.unmount]
        return argv + ["--result", str(result_fd), "--"] + command

    def _start(self, command):
        self.stderr_path = os.path.join(self.work, "stderr")
        result_read, result_write = os.pipe()
        with open(self.stderr_path, "wb") as stderr:
            # A detached sandbox would keep pipes open: it gets none.
            stream = subprocess.DEVNULL if self.detach else subprocess.PIPE
            self.process = subprocess.Popen(
                self._timed(command, result_write), stdin=stream, stdout=stream,
                stderr=stderr, pass_fds=[result_write], start_new_session=True)
        os.close(result_write)
        self.result_file = os.fdopen(result_read)

    def words(self):
        """The last lines that the sandbox wrote to its standard error, for a report."""
        try:
            text = host.read_text(self.stderr_path)
        except OSError:
            return ""
        text = text.replace(self.context.cache, "…").replace(self.name, "ID")
        return " / ".join(line.strip() for line in text.strip().splitlines()[-3:])[-300:]

    def read_line(self, timeout):
        deadline = time.monotonic() + timeout
        fd = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            rest = deadline - time.monotonic()
            if rest <= 0 or not select.select([fd], [], [], rest)[0]:
                raise LaunchError(f"no answer for {timeout:.0f} s")
            data = os.read(fd, 65536)
            if not data:
                words = self.words()
                raise LaunchError("the sandbox ended early" + (f": {words}" if words else ""))
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode("utf-8", "replace")

    def expect(self, start, timeout):
        line = self.read_line(timeout)
        if not line.startswith(start):
            raise LaunchError(f"expected {start!r}, got {line[:120]!r}")
        return line

    def answer(self):
        try:
            os.write(self.process.stdin.fileno(), b"\n")
        except OSError as error:
            raise LaunchError(f"standard input: {error.strerror}; {self.words()}") from error

    def cpu_ns(self):
        return self.group.cpu_ns(self.process.pid)

    def check_pinned(self):
        if self.shape != "one":
            return
        pids = self.group.pids() or host.tree_pids(self.process.pid)
        stray = host.pinned_to(pids, self.context.cpu)
        if stray:
            raise LaunchError(f"not pinned to one CPU: {stray}")

    def finish(self, timeout=60):
        """Waits for the end; returns what timed measured."""
        if self.process.stdin:
            try:
                self.process.stdin.close()
            except OSError:
                pass
            self.process.stdin = None
        try:
            output, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise LaunchError(f"did not end for {timeout} s") from error
        self.buffer += output or b""
        text = self.result_file.read()
        if not text:
            raise LaunchError(f"no result: {self.words()}")
        self.result = json.loads(text)
        return self.result

    def run_beside(self, command, timeout=60):
        """Another command in the same run, timed (exec)."""
        result_read, result_write = os.pipe()
        with open(os.path.join(self.work, "stderr-beside"), "w+b") as stderr:
            done = subprocess.run(self._timed(command, result_write), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=stderr, timeout=timeout,
                                  pass_fds=[result_write], check=False)
            stderr.seek(0)
            words = stderr.read().decode("utf-8", "replace").strip()[-200:]
        os.close(result_write)
        with os.fdopen(result_read) as file:
            text = file.read()
        if done.returncode != 0 or not text:
            raise LaunchError(f"status {done.returncode}: {words}")
        result = json.loads(text)
        if result["exit"] != 0:
            raise LaunchError(f"exit status {result['exit']}: {words}")
        return result

    def close(self):
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.column.delete(self.work, self.name)
        self.group.destroy()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            pass
        for file in (self.process.stdin, self.process.stdout, self.result_file):
            try:
                if file:
                    file.close()
            except OSError:
                pass
        shutil.rmtree(self.work, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Hog:
    """The busy neighbour of the load 'busy': one process that uses a CPU as long as the block lasts."""

    def __init__(self, context, shape, load):
        self.process = None
        if load == "busy":
            self.process = subprocess.Popen([context.program("agent"), "--hog"],
                                            stdin=subprocess.DEVNULL)
            if shape == "one":
                os.sched_setaffinity(self.process.pid, {context.cpu})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
