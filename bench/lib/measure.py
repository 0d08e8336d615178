"""Measuring rows. Each function yields measurements: plain dictionaries, one JSON line each.

A measurement has row, column, shape, load, round, ok; when ok: value with unit (ns, bytes, percent
or status), and where they could be had cpu_ns (per operation for micro rows), peak_bytes, total_ns
(container start to end); when not ok: error.
"""

import json
import re
import time

from .images import GUEST_DIR
from .launch import Hog, Launch, LaunchError

# The bomb's exit status, then a word from the shell that outlived it; 4 says that it got everything.
BOMB_OUTPUT = re.compile(r"status (\d+)\nalive\n$")


class Context:
    """What every measurement needs to know."""

    def __init__(self, cache, work, programs, images, cpu, time_ms):
        self.cache = cache
        self.work = work
        self.programs = programs
        self.images = images
        self.cpu = cpu
        self.time_ms = time_ms

    def program(self, name):
        return f"{self.programs}/{name}"


def measurement(row, column, shape, load, **more):
    return {"row": row.name, "column": column.name, "shape": shape, "load": load, **more}


def failed(row, column, shape, load, error):
    return measurement(row, column, shape, load, ok=False, error=str(error)[:400])


def clocks_disagree(inside_ns, outside_ns):
    """The sandbox's clock is believed only where the host's clock bears it out."""
    slack = 5_000_000 + outside_ns // 10
    if inside_ns > outside_ns + slack:
        return f"the sandbox's clock says {inside_ns} ns, the host's {outside_ns}"
    return None


# Micro rows: one launch does many, and is replaced when one of them breaks it.

def micro_rows(context, column, rows, shape, load):
    by_program = {}
    for row in rows:
        by_program.setdefault(row.program, []).append(row)
    for program, group in by_program.items():
        todo = list(group)
        barren = 0
        while todo:
            before = len(todo)
            with Hog(context, shape, load):
                yield from _micro_launch(context, column, program, todo, shape, load)
            barren = barren + 1 if before - len(todo) <= 1 else 0
            if barren == 3 and todo:
                # Three launches in a row that brought nothing but one failure each.
                reason = "given up after three launches that failed at once"
                for row in todo:
                    yield failed(row, column, shape, load, reason)
                todo.clear()


def _micro_launch(context, column, program, todo, shape, load):
    """Does rows from the front of `todo` and removes them, until all are done or one fails."""
    argv = [f"{GUEST_DIR}/{program}", "--sync", "--time", str(context.time_ms),
            "--data", f"{GUEST_DIR}/data"]
    argv += [row.micro_name or row.name for row in todo]
    timeout = 20 + context.time_ms / 1000 * 20
    try:
        launch = Launch(context, column, context.images["minimal"], argv, shape,
                        timeout=int(timeout * len(todo)))
    except OSError as error:
        yield failed(todo.pop(0), column, shape, load, error)
        return
    with launch:
        while todo:
            row = todo[0]
            try:
                result = _micro_row(launch, row, column, shape, load, timeout)
            except LaunchError as error:
                todo.pop(0)
                yield failed(row, column, shape, load, error)
                return
            todo.pop(0)
            yield result


def _micro_row(launch, row, column, shape, load, timeout):
    line = launch.read_line(timeout)
    if not line.startswith("@begin"):
        return _broken_row(row, column, shape, load, line)
    launch.check_pinned()
    launch.group.reset_peak()
    cpu_start = launch.cpu_ns()
    start = time.monotonic_ns()
    launch.answer()
    launch.expect("@end", timeout)
    outside = time.monotonic_ns() - start
    cpu = launch.cpu_ns() - cpu_start
    peak = launch.group.peak_bytes()
    launch.answer()
    line = launch.read_line(timeout)
    try:
        inside = json.loads(line)
    except ValueError:
        return failed(row, column, shape, load, f"not a result: {line[:120]!r}")
    if inside["check"] != "ok":
        return failed(row, column, shape, load, inside["check"])
    disagreement = clocks_disagree(inside["ns_per_op"] * inside["ops"], outside)
    if disagreement:
        return failed(row, column, shape, load, disagreement)
    return measurement(row, column, shape, load, ok=True, value=inside["ns_per_op"], unit="ns",
                       ops=inside["ops"], cpu_ns=round(cpu / inside["ops"], 1), peak_bytes=peak)


def _broken_row(row, column, shape, load, line):
    """A row that failed before it was measured prints its result without marks."""
    try:
        return failed(row, column, shape, load, json.loads(line)["check"])
    except (ValueError, KeyError):
        return failed(row, column, shape, load, f"not a mark: {line[:120]!r}")


# Macro rows: one launch each, the agent marks the work inside.

def macro_row(context, column, row, shape, load, expected):
    """`expected`: the outputs seen so far by row name; the first column (native) sets them."""
    argv = [f"{GUEST_DIR}/agent"]
    if row.setup:
        argv += ["--setup", row.setup]
    argv += ["--repeat", str(row.repeat), "--", "/bin/sh", "-c", row.script]
    memory = 256 << 20 if row.kind == "bomb" else None
    try:
        with Hog(context, shape, load), Launch(
                context, column, context.images[row.image], argv, shape, row.volume, memory,
                timeout=row.timeout) as launch:
            return _marked(launch, row, column, shape, load, expected)
    except (LaunchError, OSError) as error:
        return failed(row, column, shape, load, error)


def _marked(launch, row, column, shape, load, expected):
    launch.expect("@begin", row.timeout)
    launch.check_pinned()
    launch.group.reset_peak()
    cpu_start = launch.cpu_ns()
    start = time.monotonic_ns()
    launch.answer()
    launch.expect("@end", row.timeout)
    outside = time.monotonic_ns() - start
    cpu = launch.cpu_ns() - cpu_start
    peak = launch.group.peak_bytes()
    launch.answer()
    line = launch.read_line(20)
    try:
        inside = json.loads(line)
    except ValueError:
        return failed(row, column, shape, load, f"not a result: {line[:120]!r}")
    total = launch.finish()
    problem = _wrong_output(row, column, inside, expected) or clocks_disagree(inside["ns"], outside)
    if problem:
        return failed(row, column, shape, load, problem)
    if row.kind == "bomb":
        status = int(BOMB_OUTPUT.match(inside["output"]).group(1))
        return measurement(row, column, shape, load, ok=True, value=status, unit="status")
    return measurement(row, column, shape, load, ok=True, value=outside, unit="ns", cpu_ns=cpu,
                       peak_bytes=peak, total_ns=total["wall_ns"])


def _wrong_output(row, column, inside, expected):
    if inside["exit"] != 0:
        return (f"exit status {inside['exit']}, signal {inside['signal']}, "
                f"output {inside['output'][-200:]!r}")
    if row.kind == "bomb":
        # That the process died of SIGKILL (137) would be right; what must be is that it ended.
        found = BOMB_OUTPUT.match(inside["output"])
        if not found or int(found.group(1)) in (0, 4):
            return f"output {inside['output'][:100]!r}"
        return None
    if row.expect is not None:
        wanted = row.expect * row.repeat
        if inside["output"] != wanted:
            return f"output {inside['output'][:100]!r}, not {wanted[:100]!r}"
        return None
    seen = (inside["bytes"], inside["hash"], inside["output"][:100])
    first = expected.setdefault(row.name, seen)
    if seen[:2] != first[:2]:
        return f"output {seen[2]!r}, natively {first[2]!r}"
    return None


# Start to end, exec, idle.

def start_row(context, column, row, shape, load):
    try:
        with Hog(context, shape, load), Launch(context, column, context.images["minimal"],
                                               ["/bin/true"], shape, timeout=60) as launch:
            launch.group.reset_peak()
            result = launch.finish()
            if result["exit"] != 0:
                return failed(row, column, shape, load,
                              f"exit status {result['exit']}: {launch.words()}")
            return measurement(row, column, shape, load, ok=True, value=result["wall_ns"],
                               unit="ns", cpu_ns=launch.cpu_ns() if launch.group.mounts else
                               (result["user_us"] + result["sys_us"]) * 1000,
                               peak_bytes=launch.group.peak_bytes())
    except (LaunchError, OSError) as error:
        return failed(row, column, shape, load, error)


def detached(context, column, shape="all"):
    launch = Launch(context, column, context.images["minimal"], ["/bin/sleep", "1000"], shape,
                    detach=True, timeout=60)
    try:
        result = launch.finish()
        if result["exit"] != 0:
            raise LaunchError(f"run --detach: exit status {result['exit']}: {launch.words()}")
    except BaseException:
        launch.close()
        raise
    return launch


def exec_row(context, column, row, shape, load, repeat=5):
    try:
        with detached(context, column, shape) as launch, Hog(context, shape, load):
            times, cpu_start = [], launch.cpu_ns()
            for _ in range(repeat):
                argv = column.exec_argv(launch.work, launch.name, ["/bin/true"])
                times.append(launch.run_beside(argv)["wall_ns"])
            cpu = (launch.cpu_ns() - cpu_start) // repeat
            times.sort()
            return measurement(row, column, shape, load, ok=True, value=times[len(times) // 2],
                               unit="ns", cpu_ns=cpu)
    except (LaunchError, OSError) as error:
        return failed(row, column, shape, load, error)


def idle_sandbox(context, column):
    """Detached, as engines run them; where that cannot be done the waiting command is part of it."""
    try:
        return detached(context, column)
    except LaunchError:
        launch = Launch(context, column, context.images["minimal"],
                        [f"{GUEST_DIR}/agent", "--", "/bin/true"])
        try:
            launch.expect("@begin", 60)
        except BaseException:
            launch.close()
            raise
        return launch


def idle_rows(context, columns, rows, seconds):
    """All columns' sandboxes idle side by side for the same seconds."""
    from . import host
    running = []
    try:
        for column in columns:
            try:
                running.append((column, idle_sandbox(context, column)))
            except (LaunchError, OSError) as error:
                for row in rows:
                    yield failed(row, column, "all", "alone", error)
        time.sleep(min(2, seconds))  # what starting up leaves to do is not idling
        before = [(launch.cpu_ns(), time.monotonic_ns()) for _, launch in running]
        time.sleep(seconds)
        for (column, launch), (cpu, start) in zip(running, before):
            percent = 100 * (launch.cpu_ns() - cpu) / (time.monotonic_ns() - start)
            pss, by_name = host.pss_bytes(launch.group.pids())
            for row in rows:
                if row.name == "idle-pss":
                    yield measurement(row, column, "all", "alone", ok=True, value=pss,
                                      unit="bytes", parts=by_name, detached=launch.detach)
                else:
                    yield measurement(row, column, "all", "alone", ok=True,
                                      value=round(percent, 4), unit="percent", seconds=seconds)
    finally:
        for _, launch in running:
            launch.close()
