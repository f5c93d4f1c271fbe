"""The page: one table of both programs and their ratio, and how it was measured."""

import os
import platform
import time


class Results:
    """Figures by measurement and program."""

    def __init__(self):
        self.figures = {}

    def add(self, what, name, figure):
        self.figures[what, name] = figure

    def get(self, what, name):
        return self.figures.get((what, name))


class Machine:
    """What was measured on, and what else it did just before."""

    def __init__(self):
        self.cores = os.cpu_count()
        self.kernel = platform.release()
        self.model = "unknown processor"
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            for line in info:
                if line.startswith("model name"):
                    self.model = line.split(":", 1)[1].strip()
                    break
        with open("/proc/meminfo", encoding="utf-8") as info:
            self.memory = int(info.readline().split()[1]) / 1e6
        self.before = busy(5)

    def noise(self):
        return self.before, busy(5)


def busy(seconds):
    """The share of the cores' time that somebody used."""

    def read():
        with open("/proc/stat", encoding="utf-8") as stat:
            times = [int(field) for field in stat.readline().split()[1:9]]
        return sum(times), times[3] + times[4]

    total, idle = read()
    time.sleep(seconds)
    more, rest = read()
    return 1 - (rest - idle) / max(1, more - total)


def page(results, machine, command, missing):
    before, after = machine.noise()
    head = [
        "# Benchmarks",
        "",
        f"This program and OpenCode 1.18.33 (its npm package), side by side in one run of `{command.strip()}`, "
        f"{time.strftime('%Y-%m-%d')}. A ratio says how many times better this program is. What each line "
        "measures stands below.",
        "",
        f"{machine.cores} cores of {machine.model}, {machine.memory:.0f} GB, Linux {machine.kernel}. The load, the "
        "mock provider and the clients ran on the same cores as the servers. Other programs used "
        f"{before:.0%} of the cores just before the run and {after:.0%} just after it.",
        "",
    ]
    if missing:
        head += [f"**OpenCode was not measured: {missing}.**", ""]
    return "\n".join(head + table(results) + NOTES)


def table(results):
    rows = ["| | this program | OpenCode | ratio |", "| --- | --- | --- | --- |"]

    def row(title, what, show, value=None, better="less", other=None):
        """`show` prints a figure, `value` makes a number of it for the ratio."""
        own, peer = results.get(what, "ours"), results.get(other or what, "peer")
        if own is None and peer is None:
            return
        ratio = ""
        if own is not None and peer is not None and value:
            own_value, peer_value = value(own), value(peer)
            if own_value and peer_value:
                ratio = peer_value / own_value if better == "less" else own_value / peer_value
                ratio = f"{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.1f} ×"
        cells = [title, *(show(figure) if figure is not None else "" for figure in (own, peer)), ratio]
        rows.append("| " + " | ".join(cells) + " |")

    same, first = (lambda figure: figure), (lambda figure: figure[0])
    megabytes = lambda figure: f"{figure:.1f} MB" if figure < 100 else f"{figure:.0f} MB"
    milliseconds = lambda figure: f"{figure:.1f} ms" if figure < 100 else f"{figure:,.0f} ms"
    four = lambda figure: " / ".join(short(part) for part in figure) + " ms"
    rate = lambda figure: f"{figure:,.0f}"
    middle = lambda figure: figure[1]

    row("binary", "size", lambda f: f"{megabytes(f[0])}, {'' if f[1] else 'not '}static", first)
    row("start to first answer, median (90 %)", "start", lambda f: f"{milliseconds(f[1])} ({milliseconds(f[2])})", middle)
    row("resident idle", "idle", megabytes, same)
    row("resident after the load below", "after load", megabytes, same)
    for count in (1, 8, 64):
        title = f"`/api/status` · health check per second, {count} connection{'s' if count > 1 else ''}"
        row(title, f"load {count}", rate, same, "more")
    for path, name in (("`/healthz`", "healthz"), ("`/api/status` with its log to /dev/null", "unlogged")):
        for count in (1, 8, 64):
            figure, peer = results.get(f"load {count}", name), results.get(f"load {count}", "peer")
            ratio = f"{figure / peer:.1f} ×" if peer else ""
            title = f"{path} · health check per second, {count} connection{'s' if count > 1 else ''}"
            rows.append(f"| {title} | {rate(figure)} | {rate(peer) if peer else ''} | {ratio} |")
    for count in (1, 20):
        for kind in ("first", "later"):
            several = f"{count} streams" if count > 1 else "1 stream"
            what = f"{kind} token {count}"
            row(f"{kind} token, {several}: provider's write → client, min / median / 90 % / 99 %", what, four, middle)
            direct = results.get(what, "direct")
            rows.append(f"| of that the harness (straight to the mock) | {four(direct)} | | |")
    opened = lambda f: f"{megabytes(f['during'])}, {f['threads']} threads, {f['opened']} open"
    done = lambda f: f"{f['ended']} ended, {megabytes(f['after'])} after"
    for count in (20, 100, 1000):
        row(f"resident with {count:,} streams open", f"held {count}", opened, lambda f: f["during"])
        row(f"{count:,} streams, let go", f"held {count}", done, lambda f: f["after"])
    for count in (20, 100, 1000):
        show = lambda f: f"{f[0]} whole, {f[1]:.1f} s"
        row(f"{count:,} streams at once of 20 tokens in 2.0 s", f"complete {count}", show, lambda f: f[1])
    rounds = lambda f: ", ".join(f"{megabytes(open_)} → {megabytes(after)}" for open_, after in f)
    row("1,000 streams abandoned, three times: resident open → 2 s after", "abandoned 1000", rounds)
    row("resident 12 s after all streams", "after streams", megabytes, same)
    parts = lambda f: " / ".join(milliseconds(part) for part in f)
    for count in (2, 100, 1000, 10000):
        title = f"session of {count:,} messages: opened whole / its last 50 / a turn in it / of that appending"
        row(title, f"growth {count}", parts)
    both = lambda f: f"{milliseconds(f[0])}, {megabytes(f[1])}"
    row("`run \"hello\"`, cold, on the mock", "run", both, first)
    row("`run --model offline/guide \"hello\"`, cold", "guide", both, first)
    row("`run --attach URL \"hello\"`", "attach", both, first)
    return rows + [""]


def short(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


NOTES = """## How

- **Binary**: this program as a static release build for `x86_64-unknown-linux-musl`; OpenCode as npm installs it.
  Megabytes are millions of bytes here, and 2^20 bytes for memory.
- **Both** run in an empty repository with a home of their own, one OpenAI-compatible provider that is the mock, and
  their logs in files; OpenCode with `OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1`.
- **Start**: from before the process is created to the bytes of the first `200` (`/api/status`, OpenCode's
  `/global/health`). A refused connection is retried after 0.2 ms; one start before the counted ones warms the caches.
- **Resident**: `VmRSS` of the process and its children, idle 2 s after the first answer.
- **Requests per second**: `wrk -t1 -cN -d4s URL` with N = 1, 8, 64, alternating between the programs, the median of 3
  runs (`--quick`: one of 2 s), all servers being there all the while. `/api/status` prints 450 bytes of JSON made for
  each request and a line of log; OpenCode's health check is a constant of 36 bytes and is not logged; `/healthz` is
  this program's like for like, though it is logged too. One connection is a turn-taking of two processes: on cores that
  rest it measures how fast a core wakes (14,000 a second), on busy ones not (52,000 in another run).
- **Tokens**: one Python process is the provider and the clients, on one clock: the time is taken before the
  provider's `send` and after the client's `recv`. The provider's first token is in one write with the head of its
  answer; 25 tokens a stream, 10 ms apart alone and 40 ms apart under 20 streams. Ours is `POST /api/chat/stream`, a
  connection a stream; OpenCode's is `POST /session/ID/prompt_async` and one `GET /event` for all sessions.
- **Open streams**: the provider sends each stream its first token and holds the rest; memory is read when all have
  it. Then it lets go, and memory is read 2 s after the last end. OpenCode was asked for 20 and 100, not for 1,000.
- **At once**: all requests are sent at the same moment; a stream is whole if it ended without an error and every
  token came.
- **Abandoned**: the clients hang up after the first token, all at once; what waits for a next connection leaves after
  10 s.
- **Long sessions**: one turn of `offline/guide` repeated in the session's log. The last 50 messages are read from the
  log's end; the turn that is timed reads back as far as its model can read, and appends its own events, each on stable
  storage before it is told. Appending is the time from its first text, which follows all reading, to `done`.
- **Commands**: wall time is from before the process is created to after it was reaped, the median; peak memory is what
  `wait4` says of the process.
""".split("\n")
