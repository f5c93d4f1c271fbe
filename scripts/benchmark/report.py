"""The page: what was measured on what, the goals, the tables, the plot, and how it was measured."""

import os
import pathlib
import platform
import time

import goals
import growth
import measures
import plot
from results import divided, first, middle, same

# The share of the cores above which other programs spoil the figures.
QUIET = 0.1

# What scripts/soak wrote.
SOAK = pathlib.Path(__file__).resolve().parents[2] / "docs" / "soak.md"


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


def page(results, machine, command, missing, picture):
    """The page, and the plot that it shows under the name of `picture`."""
    before, after = machine.noise()
    head = [
        "# Benchmarks",
        "",
        f"This program beside OpenCode 1.18.33 (its npm package) and a server of the same answer on axum, in one "
        f"run of `{command}`, {time.strftime('%Y-%m-%d')}. A ratio says how many times better this program is. What "
        "each line measures and with which commands stands [below](#how).",
        "",
        f"{machine.cores} cores of {machine.model}, {machine.memory:.0f} GB, Linux {machine.kernel}. The load, the "
        "mock provider and the clients ran on the same cores as the servers. Other programs used "
        f"{before:.0%} of the cores just before the run and {after:.0%} just after it.",
        "",
    ]
    if max(before, after) > QUIET:
        head += ["**The machine was busy with other programs: these figures say little, and the goals nothing.**", ""]
    if missing:
        head += [f"**OpenCode was not measured: {missing}.**", ""]
    if picture:
        head += [f"![How many times better this program is]({picture.name})", ""]
    parts = (
        ("Goals", goals.table(results)),
        ("Beside OpenCode", beside(results)),
        ("Requests per second", requests(results)),
        ("Long sessions", history(results)),
        ("Many sessions", stored(results)),
        ("Soak", soaked()),
    )
    for title, rows in parts:
        head += [f"## {title}", "", *rows]
    return "\n".join(head + NOTES), drawing(results)


def soaked():
    """What an hour of load showed: the summary of its own page, which stands before its first picture."""
    if not SOAK.exists():
        return ["Not run: see `scripts/soak`.", ""]
    summary = SOAK.read_text(encoding="utf-8").split("\n![", 1)[0].split("\n", 1)[1].strip()
    return [summary, "", "[Every sample, and what was done](soak.md).", ""]


# --- how figures are printed -----------------------------------------------------------------


def megabytes(figure):
    return f"{figure:.1f} MB" if figure < 100 else f"{figure:,.0f} MB"


def milliseconds(figure):
    return f"{figure:.1f} ms" if figure < 100 else f"{figure:,.0f} ms"


def short(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def four(spread):
    return " / ".join(short(part) for part in spread) + " ms"


def rate(figure):
    return f"{figure:,.0f}"


def size(figure):
    return f"{megabytes(figure[0])}, {'' if figure[1] else 'not '}static"


def median_and_tail(spread):
    return f"{milliseconds(spread[1])} ({milliseconds(spread[2])})"


def opened(held):
    return f"{megabytes(held['during'])}, {held['threads']} threads, {held['opened']} open"


def let_go(held):
    return f"{held['ended']} ended, {megabytes(held['after'])} after"


def whole(complete):
    return f"{complete[0]} whole, {complete[1]:.1f} s"


def run(figure):
    return f"{milliseconds(figure[0])}, {megabytes(figure[1])}"


def connections(count):
    return f"{count} connection{'s' if count > 1 else ''}"


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def shown(figure, show):
    return "" if figure is None else show(figure)


# --- tables ----------------------------------------------------------------------------------


def beside(results):
    rows = [row("", "this program", "OpenCode", "ratio"), row(*["---"] * 4)]

    def line(title, what, show, pick=None):
        """`show` prints a figure, `pick` makes a number of it for the ratio."""
        own, peer = results.get(what), results.get(what, "peer")
        if own is None and peer is None:
            return
        ratio = results.times_less(what, pick) if pick else None
        rows.append(row(title, shown(own, show), shown(peer, show), shown(ratio, plot.times)))

    line("binary", "size", size, first)
    line("start to first answer, median (90 %)", "start", median_and_tail, middle)
    line("resident idle", "idle", megabytes, same)
    line("resident after 100 prompts", "prompted", megabytes, same)
    line("resident after the requests below", "after load", megabytes, same)
    for count in (1, 20):
        several = f"{count} streams" if count > 1 else "1 stream"
        for kind in ("first", "later"):
            what = f"{kind} token {count}"
            line(f"{kind} token, {several}: provider's write → client, min / median / 90 % / 99 %", what, four, middle)
            direct = results.get(what, "direct")
            rows.append(row("of that the harness (straight to the mock)", four(direct), "", ""))
    for count in (20, 100, 1000):
        line(f"resident with {count:,} streams open", f"held {count}", opened, lambda held: held["during"])
        line(f"{count:,} streams, let go", f"held {count}", let_go, lambda held: held["after"])
    for count in (20, 100, 1000):
        line(f"{count:,} streams at once of 20 tokens in 2.0 s", f"complete {count}", whole, lambda each: each[1])
    rounds = lambda each: ", ".join(f"{megabytes(open_)} → {megabytes(after)}" for open_, after in each)
    line("1,000 streams abandoned, three times: resident open → 2 s after", "abandoned 1000", rounds)
    line("resident 12 s after all streams", "after streams", megabytes, same)
    line("`run \"hello\"`, cold, on the mock", "run", run, first)
    line("`run --model offline/guide \"hello\"`, cold", "guide", run, first)
    line("`run --attach URL \"hello\"`", "attach", run, first)
    return rows + [""]


def requests(results):
    rows = [row("", "this program", "OpenCode", "axum", "of OpenCode", "of axum"), row(*["---"] * 6)]

    def line(title, what, other):
        own, peer, axum = results.get(what), results.get(other, "peer"), results.get(what, "axum")
        ratios = (shown(divided(own, each), plot.times) for each in (peer, axum))
        rows.append(row(title, *(shown(each, rate) for each in (own, peer, axum)), *ratios))

    kinds = (("`/api/status`", "rate"), ("`/healthz`", "healthz"), ("`/api/status`, its log to /dev/null", "unlogged"))
    for title, what in kinds:
        for count in measures.CONNECTIONS:
            line(f"{title}, {connections(count)}", f"{what} {count}", f"rate {count}")
    after = [results.get("after load", name) for name in ("ours", "peer", "axum")]
    rows.append(row("resident after all of them", *(shown(each, megabytes) for each in after), "", ""))
    return rows + [""]


def history(results):
    heads = ("messages", "opened whole", "its last 50", "a turn in it", "of that appending")
    rows = [row(*heads), row(*["---"] * len(heads))]
    for count in growth.MESSAGES:
        figures = results.get(f"history {count}")
        if figures:
            rows.append(row(f"{count:,}", *map(milliseconds, figures)))
    return rows + [""]


def stored(results):
    heads = ("sessions", "start", "resident 1 s after", "listed first", "listed again", "resident after that")
    rows = [row("", *heads), row(*["---"] * (len(heads) + 1))]
    parts = ("start", "fresh", "first", "later", "listed")
    shows = (milliseconds, megabytes, milliseconds, milliseconds, megabytes)
    for name, title in (("ours", "this program"), ("peer", "OpenCode")):
        for count in growth.STORED:
            figure = results.get(f"stored {count}", name)
            if figure:
                rows.append(row(title, f"{count:,}", *(show(figure[part]) for part, show in zip(parts, shows))))
    return rows + [""]


# --- the plot --------------------------------------------------------------------------------


def drawing(results):
    less = (
        ("binary", "size", first),
        ("start to first answer", "start", middle),
        ("resident idle", "idle", same),
        ("resident after 100 prompts", "prompted", same),
        ("resident under 100 streams", "held 100", lambda held: held["during"]),
        ("first token, 1 stream", "first token 1", middle),
        ("later token, 1 stream", "later token 1", middle),
        ("first token, 20 streams", "first token 20", middle),
        ("later token, 20 streams", "later token 20", middle),
        ("run, cold", "run", first),
        ("run --attach", "attach", first),
    )
    peer = [(label, results.times_less(what, pick), goals.factor_of(what)) for label, what, pick in less]
    axum = []
    for count, peer_goal, axum_goal in goals.RATES:
        label, what = f"requests a second, {connections(count)}", f"rate {count}"
        peer.append((label, results.times_more(what), peer_goal))
        axum.append((label, results.times_more(what, "axum"), axum_goal))
    panels = [
        plot.Panel("Times better than OpenCode 1.18.33", peer, (1, 10, 100, 1000)),
        plot.Panel("Requests a second as a multiple of axum's", axum, (0.5, 1, 1.5, 2, 3)),
    ]
    return plot.svg(panels, "A stroke across a bar is the goal; bars that fall short of theirs are orange.")


NOTES = """## How

Each server runs with its log in a file, in an empty git repository and a home of its own, with one OpenAI-compatible
provider that is the mock. `opencode` stands for either program, `PORT` and `PID` for those of its server.

- **Built and installed** by `cargo build --release --locked --target x86_64-unknown-linux-musl`, in the tree for this
  program (for size, decision 0003), in `scripts/benchmark/axum` for speed (`opt-level = 3`), and by
  `npm install opencode-ai@1.18.33`. OpenCode has `OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1`.
- **Binary**: `stat --format %s`; static is one that names no interpreter (`readelf --program-headers`). Megabytes are
  millions of bytes here, and 2^20 bytes for memory.
- **Start**: `opencode serve --port PORT`, from before the process is created to the bytes of the first `200` of
  `/api/status`, or OpenCode's `/global/health`. A refused connection is retried after 0.2 ms; one start before the
  counted ones warms the caches.
- **Resident**: the sum of `VmRSS` in `/proc/PID/status` of the process and its children: idle 2 s after the first
  answer, and 2 s after the last of 100 prompts one after the other, ten in each of ten sessions (`POST /api/chat` with
  `{"message":"hello"}`, OpenCode's `POST /session/ID/message`), to which the mock answers one word.
- **Requests per second**: `wrk -t1 -cN -d3s http://127.0.0.1:PORT/api/status` with N = 1, 8, 64, and OpenCode's
  `/global/health`; alternating between the programs, each round beginning with another one, the median of 3 rounds
  (`--quick`: one of 2 s) after one of a second that does not count, all servers being there all the while. One after
  the other is measured, never two at a time. `/api/status` prints some 450 bytes of JSON made for each request and
  writes a line of log; OpenCode's health check is a constant of 36 bytes and is not logged. The server on axum answers
  with the same fields in head and body, prints them with serde_json, writes the same line of log in one `write`, and
  has tokio's default number of workers. `/healthz` is three bytes, logged by both. At one connection a request is a
  turn-taking of two processes: on cores that rest it measures how fast a core wakes, too.
- **Tokens**: one Python process is the provider and the clients, on one clock: the time is taken before the
  provider's `send` and after the client's `recv`. The provider's first token is in one write with the head of its
  answer; 25 tokens a stream, 10 ms apart alone and 40 ms apart under 20 streams. Ours is `POST /api/chat/stream`, a
  connection a stream; OpenCode's is `POST /session/ID/prompt_async` and one `GET /event` for all sessions.
- **Open streams**: the same requests; the provider sends each stream its first token and holds the rest; memory is
  read when all have it. Then it lets go, and memory is read 2 s after the last end. OpenCode was asked for 20 and 100,
  not for 1,000.
- **At once**: all requests are sent at the same moment; a stream is whole if it ended without an error and every
  token came.
- **Abandoned**: the clients hang up after the first token, all at once; what waits for a next connection leaves after
  10 s.
- **Long sessions**: one turn of `offline/guide` repeated in the session's log; `GET /api/sessions/ID`, the same with
  `?limit=50`, `POST /api/chat`, medians. The last 50 messages are read from the log's end; the turn that is timed
  reads back as far as its model can read, and appends its own events, each on stable storage before it is told.
  Appending is the time from its first text, which follows all reading, to `done`.
- **Many sessions**: one real session of two messages, copied, before the server starts; OpenCode's are made by `POST
  /session` and empty. Start is the median of 9 (OpenCode: 1). `GET /api/sessions` and `GET /session?limit=100000`
  list all of them at once; again is the median of 9. Memory is read 1 s after the first answer, and 1 s after the
  last list.
- **Commands**: `opencode run hello` and so on, with nothing else in the store. Wall time is from before the process is created to after it was reaped,
  the median; peak memory is what `wait4` says of the process.
""".split("\n")
