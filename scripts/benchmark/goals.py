"""What the figures are to be, and whether they are."""

import math

import plot
from results import first, middle


class Goal:
    """One goal: a sentence, the bound, and what was measured.

    `least` says that the bound is the least that will do, and not the most; `unit` follows the
    figure. What was tried and did not succeed is infinite.
    """

    def __init__(self, text, bound, measured, unit, least=False):
        self.text, self.bound, self.measured, self.unit, self.least = text, bound, measured, unit, least

    def met(self):
        """Whether it is; none if it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.least else self.measured <= self.bound


# What OpenCode is to be surpassed in, so many times: the text, the factor, the figure.
LESS = (
    ("start to first answer", 100, "start", middle),
    ("memory idle", 80, "idle", float),
    ("memory after 100 prompts", 80, "prompted", float),
    ("memory under 100 streams", 80, "held 100", lambda held: held["during"]),
    ("`run --attach`", 40, "attach", first),
)
# The same in requests a second, by connections: of OpenCode's rate, and of axum's.
RATES = ((1, 3.5, 0.85), (8, 12, 1), (64, 12, 1))


def goals(results):
    """All goals, each with its figure."""
    held = results.get("held 1000")
    thousand = held and held["during"]
    if held and not held["opened"] == held["ended"] == 1000:
        thousand = math.inf
    found = [
        Goal("binary at most 6 MB", 6, results.get("size", pick=first), " MB"),
        Goal("first answer within 10 ms of the start", 10, results.get("start", pick=middle), " ms"),
        Goal("idle below 4 MB", 4, results.get("idle"), " MB"),
        Goal("1,000 streams below 32 MB", 32, thousand, " MB"),
    ]
    for text, factor, what, pick in LESS:
        better = "times faster" if what in ("start", "attach") else "times less"
        goal = f"{text}: {factor} {better} than OpenCode"
        found.append(Goal(goal, factor, results.times_less(what, pick), " ×", least=True))
    for count, peer, axum in RATES:
        several = f"{count} connection{'s' if count > 1 else ''}"
        goal = f"requests a second, {several}: {peer} times OpenCode's"
        found.append(Goal(goal, peer, results.times_more(f"rate {count}"), " ×", least=True))
        goal = f"requests a second, {several}: " + (f"{axum} of axum's" if axum < 1 else "no fewer than axum's")
        found.append(Goal(goal, axum, results.times_more(f"rate {count}", "axum"), " ×", least=True))
    return found


def factor_of(what):
    """The factor by which OpenCode is to be surpassed in a figure, if there is one."""
    rates = {f"rate {count}": peer for count, peer, _ in RATES}
    return {**{each[2]: each[1] for each in LESS}, **rates}.get(what)


def table(results):
    found = goals(results)
    words = {True: "met", False: "**falls short**", None: "not measured"}
    met, missed = (sum(goal.met() is answer for goal in found) for answer in (True, False))
    rows = [f"{met} of {len(found)} goals are met; {missed} fall short.", ""]
    rows += ["| goal | measured | |", "| --- | --- | --- |"]
    for goal in found:
        measured = "" if goal.measured is None else "failed" if goal.measured == math.inf else exact(goal) + goal.unit
        rows.append(f"| {goal.text} | {measured} | {words[goal.met()]} |")
    return rows + [""]


def exact(goal):
    """The figure with as many digits as show on which side of the bound it lies."""
    for digits in range(plot.digits(goal.measured), 5):
        text = f"{goal.measured:,.{digits}f}"
        shown = float(text.replace(",", ""))
        if (shown >= goal.bound if goal.least else shown <= goal.bound) == goal.met():
            break
    return text
