"""The page of one run."""

import time

import samples as looks

ROWS = 24


def page(run, machine, command):
    """`run` is a `Soak` that has ended."""
    before, after = machine.noise()
    return "\n".join([
        "# Soak",
        "",
        f"`{command}`, {time.strftime('%Y-%m-%d')}: {run.minutes:g} minutes of mixed load with faults on one "
        f"server, {run.kind}. {machine.cores} cores of {machine.model}, {machine.memory:.0f} GB, Linux "
        f"{machine.kernel}; the load and the mock provider ran on the same cores. Other programs used "
        f"{before:.0%} of the cores just before and {after:.0%} just after.",
        "",
        f"**{run.verdict()}**",
        "",
        *(f"- {line}" for line in run.findings()),
        "",
        f"![memory, threads and descriptors over time]({run.picture})",
        "",
        "The shaded part is the warm-up, which the comparison leaves out: the first tenth, and as long as",
        "schemathesis ran beside the load.",
        "",
        "## Over time",
        "",
        *table(run.samples),
        "",
        "Files and store are all that lies on disk; a deleted session leaves nothing.",
        "",
        "## What was done",
        "",
        "| client | done |",
        "| --- | --- |",
        *(f"| {kind} | {count:,} |" for kind, count in run.done.items()),
        "",
        "| fault of the provider | met |",
        "| --- | --- |",
        *(f"| {kind} | {count:,} |" for kind, count in sorted(run.faults.items())),
        "",
        "Each client checks what it gets: statuses, every character of each answer, ids without a hole, one",
        "`done` as the last event, the history, and after a fault its code. It then deletes its session.",
        "",
    ])


def table(samples):
    rows = [
        "| minute | resident | threads | descriptors | children | sessions | files | store | clients served |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    step = max(1, len(samples) // ROWS)
    shown = samples[::step]
    if shown[-1] is not samples[-1]:
        shown.append(samples[-1])
    for one in shown:
        rows.append(
            f"| {one.seconds / 60:.1f} | {looks.number(one.memory)} MB | {one.threads} | {one.descriptors} | "
            f"{one.children} | {one.sessions} | {one.files:,} | {one.stored:,.0f} KB | {one.visits:,} |"
        )
    return rows
