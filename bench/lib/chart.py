"""The chart: one line per row, time relative to native on a logarithmic axis, as SVG.

Readable on light and dark pages: every colour comes from a class, and the page's preference picks
the set. Nothing but SVG and CSS, so that a page may show it as an image.
"""

import math
from html import escape

STYLE = """
.bg{fill:#ffffff}.text{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d1d9e0;stroke-width:1}
.one{stroke:#59636e;stroke-width:1.5}.ours{fill:#0969da}.p24{fill:#bc4c00}.p22{fill:#8c959f}
.must{stroke:#1a7f37;stroke-width:3}.stem{stroke:#0969da;stroke-width:4;stroke-linecap:round}
.span{stroke:#d1d9e0;stroke-width:2}.bad{fill:#cf222e}
text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:12px}
.title{font-size:16px;font-weight:600}
@media (prefers-color-scheme:dark){
.bg{fill:#0d1117}.text{fill:#e6edf3}.dim{fill:#9198a1}.grid{stroke:#2a313c}.one{stroke:#9198a1}
.ours{fill:#4493f8}.p24{fill:#f0883e}.p22{fill:#7d8590}.must{stroke:#3fb950}.stem{stroke:#4493f8}
.span{stroke:#2a313c}.bad{fill:#f85149}}
"""

LABEL_WIDTH = 210
PLOT_WIDTH = 600
RIGHT = 90
TOP = 78
STEP = 24

SERIES = [("runsc-2022", "p22"), ("runsc-2024", "p24")]


class Axis:
    """Maps ratios to places, on a logarithmic scale."""

    def __init__(self, values):
        low = min([v for v in values if v > 0] + [0.5])
        high = max([v for v in values if v > 0] + [10])
        # What is ten times faster than native is noise or a mistake, and stands at the left edge.
        self.low = max(-1.05, math.log10(low) - 0.1)
        self.high = math.log10(high) + 0.1

    def x(self, value):
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return LABEL_WIDTH + PLOT_WIDTH * min(max(part, 0), 1)

    def ticks(self):
        digits = (1, 2, 5) if self.high - self.low < 3 else (1, 3)
        for power in range(-2, 5):
            for digit in digits:
                value = digit * 10.0 ** power
                if self.low <= math.log10(value) <= self.high:
                    yield value


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 2 else f"{value:.1f}"


def draw_row(line, axis, y):
    """line: title, must, ours (ratio or None), failed, peers {column: ratio}."""
    middle = y + STEP / 2
    out = [f'<text class="text" x="{LABEL_WIDTH - 12}" y="{middle + 4}" text-anchor="end">'
           f'{escape(line["title"])}</text>']
    shown = [axis.x(v) for v in line["peers"].values()]
    if len(shown) > 1:
        out.append(f'<line class="span" x1="{min(shown):.1f}" x2="{max(shown):.1f}" '
                   f'y1="{middle}" y2="{middle}"/>')
    for column, css in SERIES:
        if column in line["peers"]:
            out.append(f'<circle class="{css}" cx="{axis.x(line["peers"][column]):.1f}" '
                       f'cy="{middle}" r="4.5"/>')
    if line["must"]:
        x = axis.x(line["must"])
        out.append(f'<line class="must" x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 8}" '
                   f'y2="{middle + 8}"/>')
    right = LABEL_WIDTH + PLOT_WIDTH + 10
    if line["ours"]:
        x = axis.x(line["ours"])
        out.append(f'<line class="stem" x1="{axis.x(1):.1f}" x2="{x:.1f}" y1="{middle}" '
                   f'y2="{middle}"/><circle class="ours" cx="{x:.1f}" cy="{middle}" r="6"/>')
        late = line["must"] and line["ours"] > line["must"]
        out.append(f'<text class="{"bad" if late else "text"}" x="{right}" y="{middle + 4}">'
                   f'{number(line["ours"])}×</text>')
    if line["failed"]:
        x = right + (40 if line["ours"] else 0)
        out.append(f'<text class="bad" x="{x}" y="{middle + 4}">failed</text>')
    return out


def draw_legend(columns):
    out, x, y = [], LABEL_WIDTH, 50
    names = [("ours", "caisson")] + [(css, column) for column, css in reversed(SERIES)]
    for css, name in names:
        if name not in columns:
            continue
        out.append(f'<circle class="{css}" cx="{x + 6}" cy="{y - 4}" r="5.5"/>'
                   f'<text class="text" x="{x + 17}" y="{y}">{name}</text>')
        x += 45 + 7 * len(name)
    out.append(f'<line class="must" x1="{x + 4}" x2="{x + 4}" y1="{y - 12}" y2="{y + 4}"/>'
               f'<text class="text" x="{x + 13}" y="{y}">the level it must reach</text>')
    return out


def draw(title, lines, columns):
    values = [1.0]
    for line in lines:
        values += list(line["peers"].values())
        values += [v for v in (line["ours"], line["must"]) if v]
    axis = Axis(values)
    width = LABEL_WIDTH + PLOT_WIDTH + RIGHT
    bottom = TOP + STEP * len(lines)
    height = bottom + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
           f"<style>{STYLE}</style>",
           f'<rect class="bg" width="{width}" height="{height}"/>',
           f'<text class="text title" x="16" y="26">{escape(title)}</text>']
    out += draw_legend(columns)
    for value in axis.ticks():
        x = axis.x(value)
        css = "one" if value == 1 else "grid"
        label = "native" if value == 1 else f"{value:g}×"
        out.append(f'<line class="{css}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" '
                   f'y2="{bottom + 4}"/><text class="dim" x="{x:.1f}" y="{bottom + 20}" '
                   f'text-anchor="middle">{label}</text>')
    for i, line in enumerate(lines):
        out += draw_row(line, axis, TOP + STEP * i)
    out.append("</svg>\n")
    return "\n".join(out)
