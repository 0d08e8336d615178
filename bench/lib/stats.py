"""From measurements to what a table shows: medians, per-round ratios, spread, verdicts."""

from dataclasses import dataclass, field


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def quantile(values, part):
    ordered = sorted(values)
    at = part * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


@dataclass
class Cell:
    """All measurements of one row in one column under one condition."""

    rounds: dict = field(default_factory=dict)   # round -> measurement, when it was right
    errors: list = field(default_factory=list)

    def values(self, key="value"):
        return [m[key] for m in self.rounds.values() if m.get(key) is not None]

    def median(self, key="value"):
        values = self.values(key)
        return median(values) if values else None


class Table:
    def __init__(self, measurements):
        self.cells = {}
        for m in measurements:
            key = (m["row"], m["column"], m["shape"], m["load"])
            cell = self.cells.setdefault(key, Cell())
            if m["ok"]:
                cell.rounds[m["round"]] = m
            else:
                cell.errors.append(m["error"])

    def cell(self, row, column, shape="all", load="alone"):
        return self.cells.get((row, column, shape, load))

    def ratios(self, row, column, base, shape="all", load="alone", key="value"):
        """Per-round ratios of two columns, rounds that have both."""
        ours, theirs = self.cell(row, column, shape, load), self.cell(row, base, shape, load)
        if not ours or not theirs:
            return []
        found = []
        for number, m in ours.rounds.items():
            other = theirs.rounds.get(number)
            if other and m.get(key) is not None and other.get(key):
                found.append(m[key] / other[key])
        return found

    def ratio(self, *arguments, **options):
        found = self.ratios(*arguments, **options)
        return median(found) if found else None

    def has(self, shape, load):
        return any(key[2:] == (shape, load) for key in self.cells)


PASS_AIM, PASS_MUST, FAIL, FAILED, UNKNOWN, NO_LEVEL = (
    "aim", "must", "below", "failed", "unknown", "none")


def judged_value(table, row, column, shape="all", load="alone"):
    """The number that the row's `must` speaks of, and the one that its `aim` speaks of."""
    cell = table.cell(row.name, column, shape, load)
    if cell is None or not cell.rounds:
        return None, None
    if row.level == "start":
        return (table.ratio(row.name, column, "runc", shape, load),
                table.ratio(row.name, column, "crun", shape, load))
    if row.level == "native":
        value = table.ratio(row.name, column, "native", shape, load)
    elif row.level == "ms":
        value = cell.median() / 1e6
    elif row.level == "MiB":
        value = cell.median() / (1 << 20)
    else:
        value = cell.median()
    return value, value


def verdict(table, row, column, shape="all", load="alone"):
    cell = table.cell(row.name, column, shape, load)
    if cell is None:
        return UNKNOWN
    if cell.errors:
        # A wrong answer is a failure even when other rounds were right.
        return FAILED
    if row.level == "survive":
        return PASS_AIM
    must, aim = row.must, row.aim
    if shape == "one":
        must, aim = row.one_must or must, row.one_aim or aim
    if must is None:
        return NO_LEVEL
    for_must, for_aim = judged_value(table, row, column, shape, load)
    if for_must is None:
        return UNKNOWN
    if for_must > must:
        return FAIL
    return PASS_AIM if for_aim is not None and for_aim <= aim else PASS_MUST
