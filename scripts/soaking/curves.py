"""Three curves over time as one SVG, readable on light and on dark pages."""

WIDTH, HEIGHT, LEFT, RIGHT, GAP = 760, 120, 66, 14, 34

HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
  aria-label="{label}" font-family="system-ui, sans-serif" font-size="12">
<style>
  text {{ fill: #444 }} .frame {{ stroke: #8888; fill: none }} .warm {{ fill: #8882 }}
  .curve {{ fill: none; stroke: #0b62c4; stroke-width: 1.5 }}
  @media (prefers-color-scheme: dark) {{ text {{ fill: #ccc }} .curve {{ stroke: #6cb2ff }} }}
</style>
"""


def svg(samples, warm, titles):
    """`titles`: what each attribute of a sample is called."""
    last = max(one.seconds for one in samples)
    height = GAP + len(titles) * (HEIGHT + GAP)
    label = "over time: " + ", ".join(titles.values())
    parts = [HEAD.format(width=WIDTH, height=height, label=label)]
    for place, (what, title) in enumerate(titles.items()):
        parts += panel(samples, warm, last, what, title, GAP + place * (HEIGHT + GAP))
    return "".join(parts) + "</svg>\n"


def panel(samples, warm, last, what, title, top):
    figures = [getattr(one, what) for one in samples]
    most = rounded(max(figures))
    inner = WIDTH - LEFT - RIGHT

    def at(seconds, figure):
        return f"{LEFT + seconds / last * inner:.1f},{top + HEIGHT - figure / most * HEIGHT:.1f}"

    points = " ".join(at(one.seconds, getattr(one, what)) for one in samples)
    warm_width = min(warm, last) / last * inner
    minutes = last / 60
    return [
        f'<text x="{LEFT}" y="{top - 8}">{title}</text>\n',
        f'<rect class="warm" x="{LEFT}" y="{top}" width="{warm_width:.1f}" height="{HEIGHT}"/>\n',
        f'<rect class="frame" x="{LEFT}" y="{top}" width="{inner}" height="{HEIGHT}"/>\n',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:,.0f}</text>\n',
        f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>\n',
        f'<text x="{WIDTH - RIGHT}" y="{top + HEIGHT + 14}" text-anchor="end">{minutes:.0f} min</text>\n',
        f'<polyline class="curve" points="{points}"/>\n',
    ]


def rounded(figure):
    """The next round number, for the top of an axis."""
    step = 1
    while figure > step * 10:
        step *= 10
    for part in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if figure <= part * step:
            return part * step
    return step * 10
