"""Measures this program beside OpenCode 1.18.33, in one run, and writes docs/benchmarks.md.

    scripts/bench            everything, about ten minutes
    scripts/bench --quick    fewer and shorter rounds, about three

Needs Python 3, cargo and, for OpenCode, npm; wrk comes from Debian by name. Only addresses of
this machine are used. All that it starts ends with it, on Ctrl-C as well.
"""

import argparse
import pathlib
import resource
import signal
import sys
import tempfile
import time

import growth
import measures
import programs
import report
import streams
from programs import MOCK_PORT


class Rounds:
    """How often and how long."""

    def __init__(self, quick):
        self.starts, self.peer_starts = (10, 2) if quick else (30, 5)
        self.loads, self.load_seconds = (1, 2) if quick else (3, 4)
        self.single, self.many = (10, 2) if quick else (40, 8)
        self.commands, self.peer_commands = (9, 2) if quick else (30, 3)


def main():
    options = arguments()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    # The default action would leave the servers behind, and a shell starts what runs in the
    # background deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    binary = options.binary or programs.build()
    peer_binary, missing = None, "not asked for"
    if not options.alone:
        try:
            peer_binary = programs.install_peer()
        except programs.Unavailable as why:
            missing = str(why)
            print(f"measuring alone: {missing}", file=sys.stderr)
    machine = report.Machine()
    with tempfile.TemporaryDirectory(prefix="opencode-bench-") as folder:
        folder = pathlib.Path(folder)
        ours = programs.ours(binary, folder / "ours")
        peer = programs.peer(peer_binary, folder / "peer") if peer_binary else None
        try:
            results = measure(ours, peer, Rounds(options.quick), folder)
        finally:
            programs.end_all()
    text = report.page(results, machine, "scripts/bench " + " ".join(sys.argv[1:]), None if peer else missing)
    print(text)
    if options.write:
        options.write.write_text(text)


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--alone", action="store_true", help="without OpenCode")
    parser.add_argument("--binary", type=pathlib.Path, help="measure this one instead of building")
    parser.add_argument(
        "--write", type=pathlib.Path, default=programs.TREE / "docs" / "benchmarks.md",
        help="where the page goes (default: docs/benchmarks.md)",
    )
    parser.add_argument("--no-write", dest="write", action="store_const", const=None, help="print it only")
    return parser.parse_args()


def say(text):
    print(f"… {text}", file=sys.stderr, flush=True)


def measure(ours, peer, rounds, folder):
    """All figures, as a table of `report.Results`."""
    results = report.Results()
    both = [("ours", ours)] + ([("peer", peer)] if peer else [])

    for name, program in both:
        results.add("size", name, measures.size(program.binary))
    for name, program in both:
        say(f"starts of {name}")
        times = rounds.starts if name == "ours" else rounds.peer_starts
        results.add("start", name, measures.spread(measures.starts(program, times)))

    say("memory at rest")
    servers = {}
    for name, program in both:
        servers[name] = server = program.serve()
        server.first_answer()
        time.sleep(2)
        results.add("idle", name, server.memory())

    say("requests per second")
    contenders = [(name, servers[name], program.health) for name, program in both]
    unlogged = programs.ours(ours.binary, folder / "unlogged", programs.UNLOGGED_PORT).serve(log="/dev/null")
    unlogged.first_answer()
    contenders += [("healthz", servers["ours"], "/healthz"), ("unlogged", unlogged, ours.health)]
    for (name, count), rate in measures.loads(contenders, rounds.loads, rounds.load_seconds).items():
        results.add(f"load {count}", name, rate)
    for name, server in servers.items():
        results.add("after load", name, server.memory())
    unlogged.stop()

    say("delays of tokens")
    ways = {"direct": streams.Direct, "ours": lambda loop: streams.Ours(loop, servers["ours"])}
    if peer:
        ways["peer"] = lambda loop: streams.Peer(loop, servers["peer"])
    for count, times, apart in ((1, rounds.single, 0.01), (20, rounds.many, 0.04)):
        figures = measures.all_delays(ways, MOCK_PORT, count, times, 25, apart)
        for name, (first, later) in figures.items():
            results.add(f"first token {count}", name, measures.spread(first))
            results.add(f"later token {count}", name, measures.spread(later))

    say("open streams")
    for name, program in both:
        servers[name].stop()
        servers[name] = server = program.serve()
        server.first_answer()
        way, counts = (streams.Ours, (100, 1000)) if name == "ours" else (streams.Peer, (20, 100))
        for count in counts:
            results.add(f"held {count}", name, measures.held(way, server, MOCK_PORT, count, 60))
        tokens, apart = 20, 0.1
        for count in counts:
            say(f"{count} streams at once through {name}")
            whole = measures.complete(way, server, MOCK_PORT, count, tokens, apart, 120)
            results.add(f"complete {count}", name, whole)
        if name == "ours":
            say("abandoned streams")
            results.add("abandoned 1000", name, measures.abandoned(way, server, MOCK_PORT, 1000, 3, 60))
        time.sleep(12)
        results.add("after streams", name, server.memory())

    say("long sessions")
    servers["ours"].stop()
    for messages, figure in growth.growth(ours, rounds.commands).items():
        results.add(f"growth {messages}", "ours", figure)
    servers["ours"] = ours.serve()
    servers["ours"].first_answer()

    say("commands")
    with measures.Provider(MOCK_PORT):
        for name, program in both:
            times = rounds.commands if name == "ours" else rounds.peer_commands
            attach = ("run", "--attach", f"http://127.0.0.1:{program.port}", "hello")
            results.add("run", name, measures.command(program, ("run", "hello"), times))
            results.add("attach", name, measures.command(program, attach, times))
        guide = ("run", "--model", "offline/guide", "hello")
        results.add("guide", "ours", measures.command(ours, guide, rounds.commands))
    return results


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
