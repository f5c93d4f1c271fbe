"""The course that all programs run, step by step, and the figures it gives."""

import sys
import time

import growth
import measures
import programs
import streams
from results import Results


class Rounds:
    """How often and how long."""

    def __init__(self, quick):
        self.starts, self.peer_starts = (10, 2) if quick else (30, 5)
        self.loads, self.load_seconds = (1, 2) if quick else (3, 3)
        self.single, self.many = (10, 2) if quick else (40, 8)
        self.commands, self.peer_commands = (9, 2) if quick else (30, 3)
        self.peer_stored = growth.PEER_STORED[:2] if quick else growth.PEER_STORED


class Field:
    """The programs, those that there are."""

    def __init__(self, binary, axum_binary, peer_binary, folder, ports):
        self.folder, self.ports, self.peer_binary = folder, ports, peer_binary
        self.ours = programs.ours(binary, folder / "ours", ports.ours, ports.mock)
        self.axum = programs.axum(axum_binary, folder / "axum", ports)
        self.both = [("ours", self.ours)]
        if peer_binary:
            self.both.append(("peer", programs.peer(peer_binary, folder / "peer", ports)))

    def fresh(self, name):
        """The same program in another project and home, with nothing in its store."""
        place = self.folder / f"fresh-{time.monotonic_ns()}"
        if name == "peer":
            return programs.peer(self.peer_binary, place, self.ports)
        return programs.ours(self.ours.binary, place, self.ports.ours, self.ports.mock)

    def unlogged(self):
        return programs.ours(self.ours.binary, self.folder / "unlogged", self.ports.unlogged, self.ports.mock)


def run(field, rounds):
    """All figures."""
    results = Results()
    began = time.monotonic()
    for step in (starts, rest, requests, delays, held, history, stored, commands):
        print(f"… {time.monotonic() - began:4.0f} s  {step.__doc__}", file=sys.stderr, flush=True)
        step(field, rounds, results)
        # What a step started does not weigh on the next.
        programs.end_all()
    print(f"… {time.monotonic() - began:4.0f} s  all measured", file=sys.stderr, flush=True)
    return results


def serve(program, log=None):
    server = program.serve(log)
    server.first_answer()
    return server


def starts(field, rounds, results):
    """binaries and starts"""
    for name, program in field.both:
        results.add("size", name, measures.size(program.binary))
        times = rounds.starts if name == "ours" else rounds.peer_starts
        results.add("start", name, measures.spread(measures.starts(program, times)))


def rest(field, _rounds, results):
    """memory at rest and after prompts"""
    for name, program in field.both:
        server = serve(program)
        time.sleep(2)
        results.add("idle", name, server.memory())
        prompt = measures.prompt_ours if name == "ours" else measures.prompt_peer
        results.add("prompted", name, measures.prompted(server, field.ports.mock, prompt, 10, 10))
        server.stop()


def requests(field, rounds, results):
    """requests per second"""
    servers = {name: serve(program) for name, program in [*field.both, ("axum", field.axum)]}
    unlogged = serve(field.unlogged(), log="/dev/null")
    status = field.ours.health
    contenders = [(("rate", name), server, server.health) for name, server in servers.items()]
    contenders += [(("healthz", name), servers[name], "/healthz") for name in ("ours", "axum")]
    contenders += [(("unlogged", "ours"), unlogged, status)]
    figures = measures.loads(contenders, rounds.loads, rounds.load_seconds)
    for ((what, name), connections), rate in figures.items():
        results.add(f"{what} {connections}", name, rate)
    for name, server in servers.items():
        results.add("after load", name, server.memory())


def delays(field, rounds, results):
    """delays of tokens"""
    servers = {name: serve(program) for name, program in field.both}
    ways = {"direct": streams.Direct, "ours": lambda loop: streams.Ours(loop, servers["ours"])}
    if "peer" in servers:
        ways["peer"] = lambda loop: streams.Peer(loop, servers["peer"])
    for count, times, apart in ((1, rounds.single, 0.01), (20, rounds.many, 0.04)):
        figures = measures.all_delays(ways, field.ports.mock, count, times, 25, apart)
        for name, (first, later) in figures.items():
            results.add(f"first token {count}", name, measures.spread(first))
            results.add(f"later token {count}", name, measures.spread(later))


def held(field, _rounds, results):
    """open streams"""
    port, tokens, apart = field.ports.mock, 20, 0.1
    for name, program in field.both:
        server = serve(program)
        way, counts = (streams.Ours, (100, 1000)) if name == "ours" else (streams.Peer, (20, 100))
        for count in counts:
            results.add(f"held {count}", name, measures.held(way, server, port, count, 60))
        for count in counts:
            results.add(f"complete {count}", name, measures.complete(way, server, port, count, tokens, apart, 120))
        if name == "ours":
            results.add("abandoned 1000", name, measures.abandoned(way, server, port, 1000, 3, 60))
        time.sleep(12)
        results.add("after streams", name, server.memory())
        server.stop()


def history(field, rounds, results):
    """long sessions"""
    for messages, figure in growth.history(field.fresh("ours"), rounds.commands).items():
        results.add(f"history {messages}", "ours", figure)


def stored(field, rounds, results):
    """many sessions"""
    ways = {
        "ours": (growth.fill_ours, "/api/sessions", growth.STORED, 9),
        "peer": (growth.fill_peer, "/session?limit=100000", rounds.peer_stored, 1),
    }
    for name, _ in field.both:
        fill, path, counts, times = ways[name]
        for count, figure in growth.stored(field.fresh(name), fill, path, counts, times, 9).items():
            results.add(f"stored {count}", name, figure)


def commands(field, rounds, results):
    """commands"""
    # What the streams left in the stores is none of a command's business.
    both = [(name, field.fresh(name)) for name, _ in field.both]
    for _, program in both:
        serve(program)
    with measures.Provider(field.ports.mock):
        for name, program in both:
            times = rounds.commands if name == "ours" else rounds.peer_commands
            attach = ("run", "--attach", f"http://127.0.0.1:{program.port}", "hello")
            results.add("run", name, measures.command(program, ("run", "hello"), times))
            results.add("attach", name, measures.command(program, attach, times))
            if name == "ours":
                guide = ("run", "--model", "offline/guide", "hello")
                results.add("guide", name, measures.command(program, guide, rounds.commands))
