"""The figures, and how many times better one program's are than another's."""


def same(figure):
    return figure


def first(figure):
    return figure[0]


def middle(figure):
    """The median of a spread."""
    return figure[1]


class Results:
    """Figures by what was measured and of whom: `ours`, `peer` (OpenCode), `axum`, or `direct`,
    which is what the harness itself takes."""

    def __init__(self):
        self.figures = {}

    def add(self, what, name, figure):
        self.figures[what, name] = figure

    def get(self, what, name="ours", pick=same):
        """A figure, or the number in it that `pick` takes; none if it was not measured."""
        figure = self.figures.get((what, name))
        return None if figure is None else pick(figure)

    def times_less(self, what, pick=same):
        """How many times more OpenCode takes."""
        return divided(self.get(what, "peer", pick), self.get(what, "ours", pick))

    def times_more(self, what, beside="peer", other=None):
        """How many times as much this program does; of the other perhaps another figure counts."""
        return divided(self.get(what), self.get(other or what, beside))


def divided(over, under):
    return over / under if over and under else None
