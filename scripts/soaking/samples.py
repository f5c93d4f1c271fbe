"""What a server takes, over time, and whether that is flat."""

import os
import pathlib
import statistics
import time

import programs

# What may differ between the first quarter and the last for other reasons than a leak, beside the
# samples' own noise: allocators keep pages, and a load of chance has more work under way at one time
# than at another.
SLACK = {"memory": 1.0, "threads": 4, "descriptors": 8}
UNITS = {"memory": "MB", "threads": "", "descriptors": ""}
TITLES = {"memory": "resident memory", "threads": "threads", "descriptors": "descriptors"}


class Sample:
    """One look at a server and at what it keeps."""

    def __init__(self, began, pid, store, visits):
        self.seconds = time.monotonic() - began
        self.memory = programs.resident(pid)
        self.threads = int(programs.field(pid, "Threads"))
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        self.children = len(programs.family(pid)) - 1
        self.sessions, self.files, self.stored = stored(store)
        self.visits = visits


def stored(store):
    """Sessions, files of any kind, and kilobytes of all of them."""
    sessions, files, size = 0, 0, 0
    for folder, _, names in os.walk(store):
        for name in names:
            try:
                size += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
            files += 1
            sessions += name.endswith(".log") and pathlib.Path(folder).name == "sessions"
    return sessions, files, size / 1024


def medians(samples, what):
    """Of each quarter, and what the samples of a quarter commonly differ by."""
    size = len(samples) // 4
    quarters = [
        [getattr(one, what) for one in samples[place * size: (place + 1) * size]] for place in range(4)
    ]
    spreads = [spread(quarter) for quarter in quarters]
    return [statistics.median(quarter) for quarter in quarters], statistics.median(spreads)


def spread(figures):
    """The range of the middle half."""
    if len(figures) < 4:
        return max(figures) - min(figures)
    low, _, high = statistics.quantiles(figures, n=4)
    return high - low


class Curve:
    """One figure after the warm-up."""

    def __init__(self, samples, what):
        self.what, self.unit = what, UNITS[what]
        self.quarters, self.noise = medians(samples, what)
        self.growth = self.quarters[3] - self.quarters[0]
        self.allowed = max(self.noise, SLACK[what])
        self.flat = self.growth <= self.allowed

    def words(self):
        shown = " → ".join(number(one) for one in self.quarters)
        said = "flat" if self.flat else "NOT flat"
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"{TITLES[self.what]}: {said}. Medians of the quarters {shown}{unit}, so the last is "
            f"{number(abs(self.growth))}{unit} {'above' if self.growth > 0 else 'below'} the first; "
            f"samples of a quarter differ by {number(self.noise)}{unit}."
        )


def number(figure):
    return f"{figure:.1f}" if isinstance(figure, float) and figure % 1 else f"{figure:,.0f}"


def curves(samples, warm):
    """The three curves of what came after so many seconds; none of too few samples."""
    after = [one for one in samples if one.seconds >= warm]
    return [Curve(after, what) for what in SLACK] if len(after) >= 8 else []
