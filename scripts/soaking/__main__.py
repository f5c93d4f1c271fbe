"""Mixed load with faults on one server, for a given time, and whether it stays as it was.

    scripts/soak                    three minutes
    scripts/soak --minutes 60       an hour, with schemathesis: ten minutes beside the load, and ten on a
                               server with a password

Clients chat, run tools, answer permissions, abort, leave, read slowly, come back, send garbage and
say nothing; a mock provider fails in every way it can. Memory, threads, descriptors, children and
the store are looked at all the while. In the end all has to be let go, and memory, threads and
descriptors must not have grown after the warm-up; else, or if a client did not get what it must, the
exit status is 1. docs/soak.md and docs/soak.svg tell of it.

Needs Python 3, and cargo where no binary is named. Only addresses of this machine are used.
"""

import argparse
import collections
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time
import traceback

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "benchmark"))

import conformance  # noqa: E402
import curves  # noqa: E402
import load  # noqa: E402
import page  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402
import samples as looks  # noqa: E402
from provider import SCRIPT, Provider  # noqa: E402
from talk import Api  # noqa: E402

CLIENTS = 24
SHOWN = 20
PROVIDER_SECONDS = 5
# Threads of the pool go after ten seconds, what is kept of an idle session after a minute.
SETTLED_SECONDS, REST_SECONDS = 12, 90
# What schemathesis made is deleted when it is older than any of its checks.
OLD_SECONDS = 120


class Project(programs.Program):
    """The program with the mock as its only provider, short deadlines, and a command that asks."""

    def __init__(self, binary, folder, provider):
        # No model of this machine.
        variables = {"OLLAMA_HOST": "http://127.0.0.1:1", "OPENCODE_LOG_LEVEL": "warn"}
        super().__init__(binary, folder, port=0, health="/healthz", variables=variables)
        conformance.configure(self, self.settings(provider.port))
        name, text = SCRIPT
        (self.project / name).write_text(text)
        self.store = folder / "home" / ".local" / "share" / "opencode-server"

    @staticmethod
    def settings(port):
        options = {"baseURL": f"http://127.0.0.1:{port}/v1", "apiKey": "x"}
        mock = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"mock": {"name": "Mock"}}}
        return {
            "model": "mock/mock",
            "provider": {"mock": mock},
            "permission": {"bash": {"*": "allow", "touch *": "ask"}},
            "server": {"limits": {"providerSeconds": PROVIDER_SECONDS, "headSeconds": 3, "bodySeconds": 3, "idleSeconds": 8}},
        }


class Soak:
    """One run: what was done, what was seen, what was wrong."""

    def __init__(self, binary, folder, options):
        self.minutes, self.seed = options.minutes, options.seed
        self.schemathesis = options.schemathesis
        self.kind = "the static release build" if options.binary is None else options.binary.name
        self.picture = "soak.svg"
        self.provider = Provider()
        self.program = Project(binary, folder, self.provider)
        self.folder = folder
        self.server = conformance.served(self.program)
        self.api = Api(self.server.port)
        self.lock = threading.Lock()
        self.number, self.over = 0, False
        self.done = collections.OrderedDict((kind, 0) for kind in load.KINDS)
        self.samples, self.wrong, self.facts = [], [], []
        self.wrongs, self.checked_until = 0, 0

    @property
    def faults(self):
        return self.provider.faults

    def run(self):
        # What starts programs stays once it was needed.
        load.tools(load.Visit(self.api, self.program, 0))
        time.sleep(SETTLED_SECONDS)
        self.rest = self.look(time.monotonic())
        self.began = time.monotonic()
        end = self.began + self.minutes * 60
        clients = [threading.Thread(target=self.client, args=(place,)) for place in range(CLIENTS)]
        checker = threading.Thread(target=self.check_description)
        for thread in [*clients, checker]:
            thread.start()
        every = max(1, self.minutes * 60 / 240)
        told = self.began
        while time.monotonic() < end and self.server.process.poll() is None:
            time.sleep(every)
            self.samples.append(self.look(self.began))
            self.guarded("tidying up", self.tidy)
            if time.monotonic() > told + 30:
                told = time.monotonic()
                self.say(self.samples[-1])
        self.over = True
        for thread in [*clients, checker]:
            thread.join()
        self.guarded("after the load", self.settle)
        self.stop()

    def look(self, began):
        return looks.Sample(began, self.server.process.pid, self.program.store, sum(self.done.values()))

    def say(self, one):
        print(
            f"… {one.seconds / 60:5.1f} min: {one.memory:.1f} MB, {one.threads} threads, {one.descriptors} "
            f"descriptors, {one.children} children, {one.sessions} sessions, {one.visits} clients served, "
            f"{self.wrongs} wrong", file=sys.stderr, flush=True,
        )

    def client(self, place):
        chance = random.Random(self.seed * 1000 + place)
        kinds, weights = list(load.KINDS), [weight for _, weight in load.KINDS.values()]
        while not self.over:
            kind = chance.choices(kinds, weights)[0]
            with self.lock:
                self.number += 1
                number = self.number
            try:
                load.KINDS[kind][0](load.Visit(self.api, self.program, number))
            except Exception as why:  # noqa: BLE001 - whatever it is, it belongs into the findings
                self.note(kind, why)
            with self.lock:
                self.done[kind] += 1

    def note(self, kind, why):
        frames = traceback.extract_tb(why.__traceback__)
        where = f" ({pathlib.Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        with self.lock:
            self.wrongs += 1
            if len(self.wrong) < SHOWN:
                text = f"{kind}: {type(why).__name__}: {why}{where}"
                self.wrong.append(f"minute {(time.monotonic() - self.began) / 60:.1f}, {text}")
                print(f"✗ {text}", file=sys.stderr, flush=True)

    def guarded(self, what, action):
        try:
            action()
        except Exception as why:  # noqa: BLE001 - as with the clients
            self.note(what, why)

    def tidy(self):
        """Deletes what others than the clients have made."""
        for one in self.api.ask("GET", "/api/sessions"):
            made = time.mktime(time.strptime(one["createdAt"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
            if time.time() - made > OLD_SECONDS:
                self.api.ask("DELETE", f"/api/sessions/{one['id']}", status=(204, 404, 409))

    def check_description(self):
        """Schemathesis on this server without a password, then on another one with."""
        seconds = self.schemathesis * 60
        if not seconds:
            return
        try:
            right, count, text = conformance.run(
                self.server.port, seconds, self.seed, self.folder / "checked", alone=False
            )
            self.checked_until = time.monotonic() - self.began
            self.describe("beside the load", seconds, right, count, text)
            right, count, text = conformance.checked(
                self.program.binary, conformance.PASSWORD, seconds, self.seed, self.folder / "closed"
            )
            self.describe("on a server with a password", seconds, right, count, text)
        except Exception as why:  # noqa: BLE001
            self.note("schemathesis", why)

    def describe(self, where, seconds, right, count, text):
        said = "no failure" if right else "FAILURES"
        self.facts.append(f"schemathesis {where}, {seconds / 60:g} minutes, seed {self.seed}: {count:,} requests, {said}")
        if not right:
            print(text, file=sys.stderr)
            self.note("schemathesis", RuntimeError(f"failures {where}"))

    def settle(self):
        """All that was begun ends, and what it took comes back."""
        left = self.wait(self.work_left) or self.wait(self.taken_more)
        rested = None
        if self.server.process.poll() is None:
            rested = self.look(self.began)
            self.samples.append(rested)
        if left or not rested:
            self.note("after the load", RuntimeError(f"is not let go: {left or 'the server is gone'}"))
        else:
            self.facts.append(
                f"at rest again: {rested.threads} threads and {rested.descriptors} descriptors ({self.rest.threads} "
                f"and {self.rest.descriptors} before the load), no child, no turn, no session; "
                f"{self.rest.memory:.1f} MB before, {rested.memory:.1f} MB after"
            )

    def wait(self, left):
        """Waits until nothing is left, and returns what is when the time is up."""
        end = time.monotonic() + REST_SECONDS
        while self.server.process.poll() is None and (rest := left()):
            if time.monotonic() > end:
                return rest
            time.sleep(1)
        return None

    def work_left(self):
        for one in self.api.ask("GET", "/api/sessions"):
            self.api.ask("DELETE", f"/api/sessions/{one['id']}", status=(204, 404, 409))
        status = self.api.ask("GET", "/api/status")
        kinds = ("activeTurns", "waiting", "sessions")
        return {kind: status[kind] for kind in kinds if status[kind]}

    def taken_more(self):
        """What is taken beyond what was at rest; a request would itself take something."""
        one = self.look(self.began)
        kinds = ("threads", "descriptors", "children")
        return {kind: getattr(one, kind) for kind in kinds if getattr(one, kind) > getattr(self.rest, kind)}

    def stop(self):
        """Ends the server as an administrator does."""
        if self.server.process.poll() is None:
            os.kill(self.server.process.pid, signal.SIGTERM)
        status, log = self.server.process.wait(30), self.program.log.read_text(errors="replace")
        if status != 0:
            self.note("the server's end", RuntimeError(f"status {status}"))
        if "panicked" in log:
            self.note("the server's log", RuntimeError(log[log.index("panicked") - 100:][:1000]))
        self.server.stop()
        self.provider.close()

    def curves(self):
        return looks.curves(self.samples[:-1], self.warm())

    def warm(self):
        """Seconds that the comparison leaves out."""
        return max(self.minutes * 6, self.checked_until)

    def right(self):
        return self.wrongs == 0 and all(curve.flat for curve in self.curves())

    def verdict(self):
        visits = sum(self.done.values())
        curves = self.curves()
        flat = "too short to say whether it is flat" if not curves else (
            "flat" if all(curve.flat for curve in curves) else "NOT flat"
        )
        got = "each got what it must" if self.wrongs == 0 else f"{self.wrongs:,} of them or of the checks were WRONG"
        return f"{flat[0].upper()}{flat[1:]}. {visits:,} clients were served, and {got}."

    def findings(self):
        return [*(curve.words() for curve in self.curves()), *self.facts, *(f"✗ {one}" for one in self.wrong)]


def main():
    options = arguments()
    # The default action would leave the servers behind.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.schemathesis is None:
        options.schemathesis = 10 if options.minutes >= 15 else 0
    if options.schemathesis:
        conformance.install()
    if options.write:
        # Before an hour is spent.
        options.write.mkdir(parents=True, exist_ok=True)
    binary = options.binary or programs.build()
    machine = report.Machine()
    with tempfile.TemporaryDirectory(prefix="opencode-soak-", ignore_cleanup_errors=True) as folder:
        try:
            run = Soak(binary, pathlib.Path(folder) / "soak", options)
            run.run()
        finally:
            programs.end_all()
    text = page.page(run, machine, command())
    print(text)
    if options.write:
        (options.write / "soak.md").write_text(text)
        (options.write / run.picture).write_text(curves.svg(run.samples, run.warm(), {
            name: f"{title}, MB" if looks.UNITS[name] else title for name, title in looks.TITLES.items()
        }))
    return 0 if run.right() else 1


def command():
    """How this was started, without the paths of this machine."""
    words = [pathlib.Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return " ".join(["scripts/soak", *words])


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("binary", nargs="?", type=pathlib.Path, help="soak this one instead of building")
    parser.add_argument("--minutes", type=float, default=3, help="how long (default: 3)")
    parser.add_argument(
        "--schemathesis", type=float, metavar="MINUTES",
        help="check the API's description beside the load (default: 10 from 15 minutes on, else 0)",
    )
    parser.add_argument("--seed", type=int, default=conformance.SEED, help="of what the clients do")
    parser.add_argument(
        "--write", type=pathlib.Path, default=programs.TREE / "docs", metavar="FOLDER",
        help="where soak.md and soak.svg go (default: docs)",
    )
    parser.add_argument("--no-write", dest="write", action="store_const", const=None, help="print it only")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # The clients are threads that would go on.
        os._exit(130)
