"""The page: tables in Markdown and the chart, from the JSON lines of a run."""

import json
import os

from . import chart, rows, stats

CONDITIONS = [
    ("all", "alone", "all CPUs, nothing beside it"),
    ("one", "alone", "everything on one CPU"),
    ("all", "busy", "all CPUs, a busy process beside it"),
    ("one", "busy", "everything on one CPU, with a busy process on it"),
]

MARKS = {stats.PASS_AIM: "✅ aim", stats.PASS_MUST: "✅ must", stats.FAIL: "❌ above must",
         stats.FAILED: "❌ failed", stats.UNKNOWN: "–", stats.NO_LEVEL: ""}
OURS = "caisson"
PEER = "runsc-2024"
PEER_FACTOR = 3


def load(path):
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.strip()]
    return lines[0]["header"], [line for line in lines[1:] if "row" in line]


def time_text(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def value_text(row, value):
    if row.level == "MiB":
        return f"{value / (1 << 20):.1f} MiB"
    if row.level == "percent":
        return f"{value:.3g} %"
    if row.level == "survive":
        return "survives" if value == 137 else f"survives (status {value:g})"
    return time_text(value)


def ratio_text(value):
    if value is None:
        return "–"
    return f"{value:.0f}×" if value >= 100 else f"{value:.3g}×"


def level_text(row, value, which):
    if row.level == "survive":
        return "survives"
    if value is None:
        return "–"
    suffix = {"native": "×", "ms": " ms", "MiB": " MiB", "percent": " %",
              "start": "× runc" if which == "must" else "× crun"}[row.level]
    return f"{value:g}{suffix}"


def spread_text(values):
    if len(values) < 2:
        return ""
    low, high = stats.quantile(values, 0.1), stats.quantile(values, 0.9)
    return f" ({low:.3g}–{high:.3g})"


class Page:
    def __init__(self, header, measurements):
        self.header = header
        self.table = stats.Table(measurements)
        self.columns = [c["name"] for c in header["columns"] if not c["missing"]]
        seen = {m["row"] for m in measurements}
        self.rows = [row for row in rows.ROWS if row.name in seen]

    def column_text(self, row, column, shape, load_):
        cell = self.table.cell(row.name, column, shape, load_)
        if cell is None:
            return ""
        if not cell.rounds:
            return "**failed**"
        mark = " ❗" if cell.errors else ""
        if row.level != "native" or column == "native":
            return value_text(row, cell.median()) + mark
        found = self.table.ratios(row.name, column, "native", shape, load_)
        if not found:
            return value_text(row, cell.median()) + mark
        spread = spread_text(found) if column == OURS else ""
        return ratio_text(stats.median(found)) + spread + mark

    def against_peer(self, row, shape, load_):
        """How many times faster than the peer, and whether that is enough."""
        found = self.table.ratios(row.name, PEER, OURS, shape, load_)
        if not found or row.level not in ("native", "start", "ms"):
            return ""
        value = stats.median(found)
        mark = ("✅ " if value >= PEER_FACTOR else "❌ ") if row.crosses else ""
        return f"{mark}{value:.3g}×"

    def main_table(self, shape, load_):
        chosen = [row for row in self.rows
                  if any(self.table.cell(row.name, c, shape, load_) for c in self.columns)]
        if not chosen:
            return []
        head = ["row"] + self.columns + ["must", "aim", "verdict", f"faster than {PEER}"]
        out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in chosen:
            must, aim = row.must, row.aim
            if shape == "one":
                must, aim = row.one_must or must, row.one_aim or aim
            cells = [row.title]
            cells += [self.column_text(row, column, shape, load_) for column in self.columns]
            # The levels are set for a machine with nothing else to do.
            levels = load_ == "alone" and (shape == "all" or row.one_must)
            cells += [level_text(row, must, "must") if levels else "",
                      level_text(row, aim, "aim") if levels else "",
                      MARKS[stats.verdict(self.table, row, OURS, shape, load_)] if levels else "",
                      self.against_peer(row, shape, load_)]
            out.append("| " + " | ".join(cells) + " |")
        return out

    def cost_table(self):
        """CPU time and memory, all CPUs alone."""
        head = ["row"] + [f"{c} CPU" for c in self.columns] + [f"{c} peak" for c in self.columns]
        out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in self.rows:
            cells, some = [row.title], False
            for column in self.columns:
                cell = self.table.cell(row.name, column)
                value = cell.median("cpu_ns") if cell else None
                some = some or value is not None
                if value is None:
                    cells.append("")
                elif column == "native":
                    cells.append(time_text(value))
                else:
                    ratio = self.table.ratio(row.name, column, "native", key="cpu_ns")
                    cells.append(ratio_text(ratio) if ratio is not None else time_text(value))
            for column in self.columns:
                cell = self.table.cell(row.name, column)
                value = cell.median("peak_bytes") if cell else None
                cells.append(f"{value / (1 << 20):.0f} MiB" if value else "")
            if some:
                out.append("| " + " | ".join(cells) + " |")
        return out

    def failures(self):
        out = []
        titles = {row.name: row.title for row in self.rows}
        for (row, column, shape, load_), cell in self.table.cells.items():
            if cell.errors:
                rounds = len(cell.errors) + len(cell.rounds)
                error = cell.errors[0].replace("`", "'").replace("\n", " ")
                out.append(f"- **{column}**, {titles.get(row, row)} ({shape}, {load_}): "
                           f"{len(cell.errors)} of {rounds} rounds; `{error}`")
        return out

    def chart_lines(self):
        lines = []
        for row in self.rows:
            if row.level != "native" or not self.table.cell(row.name, "native"):
                continue
            peers = {}
            for column, _ in chart.SERIES:
                ratio = self.table.ratio(row.name, column, "native")
                if ratio:
                    peers[column] = ratio
            cell = self.table.cell(row.name, OURS)
            lines.append({"title": row.title, "must": row.must, "peers": peers,
                          "ours": self.table.ratio(row.name, OURS, "native"),
                          "failed": bool(cell and cell.errors)})
        return lines

    def score(self):
        """Counts of the verdicts over every row and condition that has a level."""
        counts = {}
        for row in self.rows:
            for shape in ("all", "one"):
                if shape == "one" and not row.one_must:
                    continue
                found = stats.verdict(self.table, row, OURS, shape)
                if found not in (stats.NO_LEVEL, stats.UNKNOWN):
                    counts[found] = counts.get(found, 0) + 1
        return counts


def machine_text(header):
    m = header["machine"]
    virtual = ", a virtual machine" if m["virtual"] else ""
    return (f"{m['cpu']}, {m['cpus']} CPUs, {m['memory_mib']} MiB{virtual}; {m['kernel']}. "
            f"{header['date']}; {header['rounds']} rounds, {header['time_ms']} ms per micro row; "
            f"CPU time from {header['cpu_source']}; {header['idle_before']:.0f} % idle before the run.")


def section(tier, page, chart_name):
    header = page.header
    out = [f"## `make bench{'-full' if tier == 'full' else ''}`", "", machine_text(header), ""]
    score = page.score()
    if score:
        good = score.get(stats.PASS_AIM, 0) + score.get(stats.PASS_MUST, 0)
        total = sum(score.values())
        out += [f"**{good} of {total} levels reached** ({score.get(stats.PASS_AIM, 0)} of them the "
                f"aim), {score.get(stats.FAIL, 0)} above must, {score.get(stats.FAILED, 0)} "
                "failed.", ""]
    out += [f"![Time relative to native]({chart_name})", ""]
    out += ["| column | what |", "|---|---|"]
    for column in header["columns"]:
        what = column["missing"] and f"missing: {column['missing']}" or column["version"]
        note = f"; {column['note']}" if column["note"] else ""
        out.append(f"| {column['name']} | {what}{note} |")
    out.append("")
    for shape, load_, words in CONDITIONS:
        table = page.main_table(shape, load_)
        if table:
            out += [f"### {words[0].upper()}{words[1:]}", ""] + table + [""]
    out += ["### CPU time and peak memory", "",
            "User and system time of everything that belongs to the sandbox, relative to native; "
            "peak memory of its cgroup, page cache that it brought in included.", ""]
    out += page.cost_table() + [""]
    failures = page.failures()
    out += ["### Failures", ""] + (failures or ["None."]) + [""]
    return out


HEAD = """# Benchmarks

Written by `bench/run.py`; do not edit. How to run it and how to read it: [method.md](method.md).

Numbers with × are times native: the median of the ratios within one round, in brackets the
10 % and 90 % quantiles. *must* and *aim* are Caisson's levels. ❗ marks a column that failed in some
rounds; a column that failed in all of them says **failed**. No row is left out.
"""


def write(out_dir):
    """Makes README.md and the charts anew from the JSON lines that are there."""
    text = [HEAD]
    for tier in ("quick", "full"):
        path = os.path.join(out_dir, tier + ".jsonl")
        if not os.path.exists(path):
            continue
        page = Page(*load(path))
        chart_name = f"chart-{tier}.svg"
        with open(os.path.join(out_dir, chart_name), "w", encoding="utf-8") as file:
            file.write(chart.draw("Time relative to native, logarithmic (left is better)",
                                  page.chart_lines(), page.columns))
        text += section(tier, page, chart_name)
    with open(os.path.join(out_dir, "README.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(text).rstrip() + "\n")
