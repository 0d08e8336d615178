#!/usr/bin/env python3
"""Caisson's benchmarks side by side: native, runc, crun, runsc (two versions), caisson.

    bench/run.py [--tier quick|full] [--caisson PATH] [--rows A,B] [--columns A,B] ...

Columns are interleaved round by round; the results are JSON lines and one page with a chart.
docs/benchmarks/method.md says what is measured and how. Needs root, Python's standard library, and
what bench/install-deps.sh installs.
"""

import argparse
import datetime
import json
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import columns, host, images, measure, report, rows  # noqa: E402

BENCH = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(BENCH)
SHAPES, LOADS = ("all", "one"), ("alone", "busy")

# Per tier: rounds, milliseconds per micro row, seconds for everything, seconds for one cell (a row
# in a column under a condition) after which it is measured no more, seconds of idling, and how many
# rounds measure other conditions than all CPUs alone.
TIERS = {
    "quick": {"rounds": 10, "time": 20, "budget": 450, "cell": 4, "idle": 10, "others": 3},
    "full": {"rounds": 10, "time": 100, "budget": 7200, "cell": 90, "idle": 60, "others": 10},
}
FEWEST_ROUNDS = 3
FAILURES_ENOUGH = 2


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    split = lambda text: [word for word in text.split(",") if word]
    parser.add_argument("--tier", choices=sorted(TIERS), default="quick")
    parser.add_argument("--quick", dest="tier", action="store_const", const="quick")
    parser.add_argument("--full", dest="tier", action="store_const", const="full")
    parser.add_argument("--caisson", default=os.path.join(TOP, "build", "caisson"))
    parser.add_argument("--rows", type=split, default=[], help="only these rows")
    parser.add_argument("--columns", type=split, default=[], help="only these columns")
    parser.add_argument("--column", action="append", default=[], metavar="NAME=COMMAND",
                        help="another runtime, for instance 'nospin=build/caisson --no-spin'")
    parser.add_argument("--shapes", type=split, default=list(SHAPES))
    parser.add_argument("--loads", type=split, default=list(LOADS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--time", type=int, metavar="MS", help="per micro row")
    parser.add_argument("--budget", type=int, metavar="S", help="start no round after this")
    parser.add_argument("--idle", type=int, metavar="S", help="length of idling")
    parser.add_argument("--cache", default="/var/cache/caisson-bench")
    parser.add_argument("--out", default=os.path.join(TOP, "docs", "benchmarks"))
    parser.add_argument("--report", action="store_true", help="only write the page anew")
    parser.add_argument("--list", action="store_true", help="list rows and columns")
    return parser.parse_args()


class Recorder:
    """Keeps the measurements, and knows what has been measured enough."""

    def __init__(self, path, cell_seconds):
        self.path = path
        self.cell_seconds = cell_seconds
        self.lines = []
        self.cells = {}

    def enough(self, row, column, shape, load):
        done, wrong, spent = self.cells.get((row.name, column.name, shape, load), (0, 0, 0.0))
        if wrong >= FAILURES_ENOUGH and done == 0:
            return True
        return done >= FEWEST_ROUNDS and spent > self.cell_seconds

    def hopeless(self, row, column, shape, load):
        """What fails under the plain condition is not tried under the others, where it may hang."""
        if (shape, load) == ("all", "alone"):
            return None
        done, wrong, _ = self.cells.get((row.name, column.name, "all", "alone"), (0, 0, 0.0))
        if wrong and not done:
            return measure.failed(row, column, shape, load,
                                  "not tried: it fails with all CPUs and nothing beside it")
        return None

    def add(self, m, number, seconds):
        key = (m["row"], m["column"], m["shape"], m["load"])
        done, wrong, spent = self.cells.get(key, (0, 0, 0.0))
        self.cells[key] = (done + m["ok"], wrong + (not m["ok"]), spent + seconds)
        m["round"] = number
        self.lines.append(m)
        if not m["ok"] and not m["error"].startswith("not tried"):
            say(f"  {m['column']} {m['row']} ({m['shape']}, {m['load']}): FAILED: {m['error']}")

    def save(self, header):
        temporary = self.path + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json.dumps({"header": header}) + "\n")
            for line in self.lines:
                file.write(json.dumps(line) + "\n")
        os.rename(temporary, self.path)


class Run:
    def __init__(self, options, context, chosen_columns, chosen_rows, recorder):
        self.options = options
        self.other_rounds = TIERS[options.tier]["others"]
        self.context = context
        self.columns = chosen_columns
        self.rows = chosen_rows
        self.recorder = recorder
        self.expected = {}
        self.deadline = float("inf")

    def conditions(self, row, number):
        every = (row.crosses and (row.kind == "micro" or row.conditions == "all")
                 and number < self.other_rounds)
        for shape in SHAPES:
            for load in LOADS:
                plain = (shape, load) == ("all", "alone")
                if plain or (every and shape in self.options.shapes
                             and load in self.options.loads):
                    yield shape, load

    def warm_up(self):
        """Brings what the rows read into the page cache, so that no column pays for the disk."""
        for row in self.rows:
            if row.kind == "macro" and row.timeout <= 60 and self.columns:
                measure.macro_row(self.context, self.columns[0], row, "all", "alone", {})

    def turn(self, number):
        """The columns in another order each round, native first in round 0."""
        by = number % len(self.columns)
        return self.columns[by:] + self.columns[:by]

    def round(self, number):
        self._micro(number)
        for row in self.rows:
            if row.kind not in ("macro", "start", "exec"):
                continue
            for shape, load in self.conditions(row, number):
                for column in self.turn(number):
                    self._macro(number, row, column, shape, load)

    def late(self, number):
        """A round that slow failures have made too long is cut; the first one never is."""
        return number > 0 and time.monotonic() > self.deadline

    def wanted(self, number, row, column, shape, load):
        if self.recorder.enough(row, column, shape, load) or self.late(number):
            return False
        hopeless = self.recorder.hopeless(row, column, shape, load)
        if hopeless:
            self.recorder.add(hopeless, number, 0)
        return not hopeless

    def _micro(self, number):
        micro = [row for row in self.rows if row.kind == "micro"]
        for shape in SHAPES:
            for load in LOADS:
                for column in self.turn(number):
                    todo = [row for row in micro if (shape, load) in self.conditions(row, number)
                            and self.wanted(number, row, column, shape, load)]
                    last = time.monotonic()
                    for m in measure.micro_rows(self.context, column, todo, shape, load):
                        now = time.monotonic()
                        self.recorder.add(m, number, now - last)
                        last = now

    def _macro(self, number, row, column, shape, load):
        if not self.wanted(number, row, column, shape, load):
            return
        start = time.monotonic()
        if row.kind == "start":
            m = measure.start_row(self.context, column, row, shape, load)
        elif row.kind == "exec":
            if not column.has_exec:
                return
            m = measure.exec_row(self.context, column, row, shape, load)
        else:
            m = measure.macro_row(self.context, column, row, shape, load, self.expected)
        self.recorder.add(m, number, time.monotonic() - start)

    def once(self, number, idle_seconds):
        """Rows that say nothing new when they are repeated ten times."""
        idle = [row for row in self.rows if row.kind == "idle"]
        containers = [column for column in self.columns if column.is_container]
        if idle and containers:
            say(f"idling for {idle_seconds} s")
            for m in measure.idle_rows(self.context, containers, idle, idle_seconds):
                self.recorder.add(m, number, 0)
        for row in self.rows:
            if row.kind == "bomb":
                for column in self.columns:
                    m = measure.macro_row(self.context, column, row, "all", "alone", self.expected)
                    self.recorder.add(m, number, 0)


def prepare(options, tier):
    """Programs, images, columns. A column that cannot be had stays in the list, with the reason."""
    programs = os.path.join(options.cache, "programs")
    images.build_host_programs(BENCH, programs)
    native = os.path.join(programs, "native")
    found = {name: images.ensure_image(options.cache, name, native, say)
             for name in ("minimal", "dev")}
    images.install_programs(BENCH, native, found)
    why = images.fetch_backports_runsc(options.cache)
    every = columns.discover(programs, options.cache, options.caisson, options.column)
    for column in every:
        if column.name == "runsc-2024" and column.missing and why:
            column.missing = why
    if options.columns:
        every = [column for column in every if column.name in options.columns]
    work = os.path.join(options.cache, "run", str(os.getpid()))
    os.makedirs(work)
    cpu = max(os.sched_getaffinity(0))
    context = measure.Context(options.cache, work, programs, found, cpu,
                              options.time or tier["time"])
    context.idle_before = host.idle_percent(1)
    if context.idle_before < 95:
        say(f"note: the machine is only {context.idle_before:.0f} % idle before anything starts")
    return context, every


def header_of(options, context, every, rounds):
    group = host.RunGroup(f"probe-{os.getpid()}")
    source = group.cpu_source()
    group.destroy()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "tier": options.tier, "rounds": rounds, "time_ms": context.time_ms,
        "machine": host.machine(), "cpu_source": source, "idle_before": context.idle_before,
        "columns": [{"name": c.name, "version": c.version, "note": c.note,
                     "missing": c.missing and c.missing.replace(TOP + "/", "")} for c in every],
    }


def main():
    options = arguments()
    if options.report:
        report.write(options.out)
        return 0
    tier = TIERS[options.tier]
    chosen = rows.select(options.tier, options.rows)
    if options.list:
        for row in chosen:
            print(f"{row.name:18} {row.kind:6} {row.title}")
        return 0
    if os.geteuid() != 0:
        say("run.py: needs root: containers, chroot and cgroups are made")
        return 1
    context, every = prepare(options, tier)
    usable = [column for column in every if not column.missing]
    for column in every:
        say(f"column {column.name}: {column.missing and 'missing: ' + column.missing or column.version}")
    os.makedirs(options.out, exist_ok=True)
    recorder = Recorder(os.path.join(options.out, options.tier + ".jsonl"), tier["cell"])
    run = Run(options, context, usable, chosen, recorder)
    rounds = options.rounds or tier["rounds"]
    budget = options.budget or tier["budget"]
    start, done = time.monotonic(), 0
    run.deadline = start + budget * 1.15
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: terminated"))
    try:
        run.warm_up()
        run.once(0, options.idle or tier["idle"])
        for number in range(rounds):
            if done >= FEWEST_ROUNDS and time.monotonic() - start > budget:
                say(f"the time is up after {done} rounds")
                break
            say(f"round {number + 1} of {rounds}, {time.monotonic() - start:.0f} s")
            run.round(number)
            done += 1
            recorder.save(header_of(options, context, every, done))
    except (KeyboardInterrupt, SystemExit):
        say("interrupted: what was measured is kept")
    finally:
        shutil.rmtree(context.work, ignore_errors=True)
    recorder.save(header_of(options, context, every, done))
    host.remove_parents()
    report.write(options.out)
    say(f"written: {options.out}, {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
