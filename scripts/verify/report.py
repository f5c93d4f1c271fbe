"""What was asked, what was seen, and the page that keeps it."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

import machine

PASSED, FAILED, LACKING = "passed", "failed", "not run"

HEAD = """# Verified

What `scripts/verify-release` last saw, written by it. Each check has the commit of the binary that it
ran and real output, shortened where there is `…`. What these checks are not: they run on stand-ins and
emulators where the real thing cannot be had, and say so.

| check | | when | binary of | took |
| --- | --- | --- | --- | --- |
"""


class Result:
    """One check's, as it grows."""

    def __init__(self, name, title, about):
        self.name, self.title, self.about = name, title, about
        self.outcome, self.seconds, self.entries = PASSED, 0, []

    def saw(self, asked, output=""):
        """What was asked, and what came of it."""
        text = shortened(output)
        print(f"  {asked}" + "".join(f"\n      {line}" for line in text.splitlines()), flush=True)
        self.entries.append((asked, text))

    def missing(self, why):
        self.outcome = LACKING
        self.saw(f"**not run**: {why}")

    def failed(self, why):
        self.outcome = FAILED
        self.saw("**failed**", why)

    def page(self):
        """The section of the page."""
        when = datetime.date.today().isoformat()
        lines = [f"## {self.name}", "", f"{self.title}. {self.about}", ""]
        for asked, text in self.entries:
            lines.append(f"- {asked}")
            if text:
                lines += ["", "  ```text"] + [f"  {line}".rstrip() for line in text.splitlines()] + ["  ```", ""]
        row = f"| [{self.name}](#{self.name}) | {self.outcome} | {when} | `{machine.commit()}` | {self.seconds} s |"
        return row, "\n".join(lines).rstrip() + "\n"


def shortened(output, lines=14, width=200):
    """The beginning and the end of what a program printed."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", str(output)).replace("\r", "").strip("\n")
    text = text.replace(str(machine.ROOT), "…").replace("```", "'''")
    all_lines = [line if len(line) <= width else line[: width - 1] + "…" for line in text.splitlines()]
    if len(all_lines) > lines:
        all_lines = all_lines[: lines - 5] + ["…"] + all_lines[-4:]
    return "\n".join(all_lines)


def write(page, results, order):
    """Puts the results into the page, beside what it has of other checks."""
    rows, sections = kept(page)
    for result in results:
        rows[result.name], sections[result.name] = result.page()
    named = [name for name in order if name in rows]
    text = HEAD + "\n".join(rows.get(name, f"| {name} | {LACKING} | | | |") for name in order)
    text += f"\n\nThe last of them ran on {described()}.\n\n"
    page.write_text(text + "\n".join(sections[name] for name in named))


def kept(page):
    rows, sections = {}, {}
    if page.exists():
        head, *rest = re.split(r"(?m)^(?=## )", page.read_text())
        for row in re.findall(r"(?m)^\| \[.*", head):
            rows[row[3 : row.index("]")]] = row
        for section in rest:
            sections[section.split("\n", 1)[0][3:]] = section.rstrip() + "\n"
    return rows, sections


def described():
    """This machine, in a line."""
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())[1]
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}, {pages // 10**9} GB, "
        f"{system}, Linux {platform.release().split('-')[0]}, with a load of {load:.0f} from it and others"
    )


def version(command):
    """The first line of what a program says it is."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ran.stdout or ran.stderr).splitlines()[0]
