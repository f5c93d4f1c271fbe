"""The plot: horizontal bars on a logarithmic scale, as SVG that is read on light and on dark."""

import math
from xml.sax.saxutils import escape

WIDTH, LABELS, VALUES = 860, 270, 110
ROW, BAR, TITLE, AXIS = 26, 14, 46, 34

STYLE = """
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-weight: 600; font-size: 15px; }
.axis { font-size: 12px; fill: #59636e; }
.grid { stroke: #d1d9e0; }
.one { stroke: #59636e; }
.bar { fill: #0969da; }
.short { fill: #bc4c00; }
.goal { stroke: #1f2328; stroke-width: 2.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .axis { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .one { stroke: #9198a1; }
  .bar { fill: #4493f8; }
  .short { fill: #f0883e; }
  .goal { stroke: #f0f6fc; }
}
"""


class Panel:
    """A title and bars, each a label, a value and perhaps the goal, on a scale of its own."""

    def __init__(self, title, bars, ticks):
        self.title, self.ticks = title, ticks
        self.bars = [bar for bar in bars if bar[1]]
        values = [edge for bar in self.bars for edge in bar[1:] if edge]
        self.lowest, self.highest = min([ticks[0], *values]), max([ticks[1], *values]) * 1.05

    def height(self):
        return TITLE + ROW * len(self.bars) + AXIS

    def place(self, value):
        part = math.log(value / self.lowest) / math.log(self.highest / self.lowest)
        return LABELS + part * (WIDTH - LABELS - VALUES)

    def draw(self, top):
        bottom = top + TITLE + ROW * len(self.bars)
        yield f'<text class="title" x="0" y="{top + 24}">{escape(self.title)}</text>'
        for tick in self.ticks:
            if not self.lowest <= tick <= self.highest:
                continue
            x, line = self.place(tick), "one" if tick == 1 else "grid"
            yield f'<line class="{line}" x1="{x:.1f}" x2="{x:.1f}" y1="{top + TITLE - 6}" y2="{bottom}"/>'
            yield f'<text class="axis" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick:,g} ×</text>'
        for number, (label, value, goal) in enumerate(self.bars):
            yield from self.bar(top + TITLE + ROW * number, label, value, goal)

    def bar(self, top, label, value, goal):
        one, end, text = self.place(1), self.place(value), top + BAR - 2
        kind = "short" if goal and value < goal else "bar"
        left, right = sorted((one, end))
        yield f'<text x="{LABELS - 12}" y="{text}" text-anchor="end">{escape(label)}</text>'
        yield (
            f'<rect class="{kind}" x="{left:.1f}" y="{top}" '
            f'width="{max(1, right - left):.1f}" height="{BAR}" rx="2"/>'
        )
        after = max(right, self.place(goal) if goal else 0)
        if goal:
            x = self.place(goal)
            yield f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 4}" y2="{top + BAR + 4}"/>'
        yield f'<text x="{after + 8:.1f}" y="{text}">{times(value)}</text>'


def times(ratio):
    return f"{ratio:,.{digits(ratio)}f} ×"


def digits(number):
    """The decimals that a figure of this size is shown with."""
    return 0 if number >= 100 else 1 if number >= 2 else 2


def svg(panels, note):
    panels = [panel for panel in panels if panel.bars]
    height = sum(panel.height() for panel in panels) + 20
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(panels[0].title if panels else 'Benchmarks')}</title>",
        f"<style>{STYLE}</style>",
    ]
    top = 0
    for panel in panels:
        out += panel.draw(top)
        top += panel.height()
    out.append(f'<text class="axis" x="0" y="{height - 6}">{escape(note)}</text>')
    return "\n".join([*out, "</svg>", ""])
