"""The programs: where they come from, how they start, and that they end.

Each runs in a project and a home of its own below a temporary folder, with the mock provider of
`streams.py` as its only model. Whatever is started here is remembered in `RUNNING` and ended by
`end_all`, on an interrupt too.
"""

import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

TREE = pathlib.Path(__file__).resolve().parents[2]
TARGET = "x86_64-unknown-linux-musl"
PEER = "opencode-ai@1.18.33"
AXUM = TREE / "scripts" / "benchmark" / "axum"

# Without the proxy that the environment may name.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

RUNNING = []


class Failed(Exception):
    """The run cannot go on; the text says why, for a person."""


class Unavailable(Failed):
    """A program or tool that cannot be had here; the text says why."""


class Ports:
    """The ports of a run, one after the other from a first one, all free at its start.

    They lie below those that the kernel gives to clients, which would otherwise take them between
    two starts.
    """

    def __init__(self, first):
        self.mock, self.ours, self.unlogged, self.peer, self.axum = range(first, first + 5)
        for port in range(first, first + 5):
            try:
                socket.create_server(("127.0.0.1", port)).close()
            except (OSError, OverflowError):
                raise Failed(f"port {port} is taken: free it, or name five others with --ports FIRST") from None


def end_all():
    for server in list(RUNNING):
        server.stop()


def run(command, limit, **options):
    """Runs a command to its end, which comes within so many seconds for it and its children."""
    try:
        child = subprocess.Popen(command, start_new_session=True, **options)
    except OSError as why:
        raise Unavailable(f"{command[0]} cannot be started: {why.strerror}") from None
    try:
        out, err = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} did not end within {limit} s: {' '.join(map(str, command))}") from None
    finally:
        # Its children too, and on an interrupt as well.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def target_directory():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", TREE / "target"))


def build():
    """Builds the static release binary and returns its path."""
    return cargo_build(TREE, target_directory()) / "opencode"


def build_axum():
    """Builds the server on axum for the same target, and for speed."""
    return cargo_build(AXUM, target_directory() / "bench" / "axum") / "status-server"


def cargo_build(tree, into):
    env = dict(os.environ)
    if not shutil.which("musl-gcc"):
        # The TLS library's C files need no C library, so the ordinary compiler does.
        env.setdefault("CC_x86_64_unknown_linux_musl", "gcc")
    if not shutil.which("cargo"):
        raise Unavailable("there is no cargo to build with: install Rust first, https://rustup.rs")
    if shutil.which("rustup"):
        listed = run(["rustup", "target", "list", "--installed"], 60, stdout=subprocess.PIPE, text=True)
        if TARGET not in listed.stdout.split():
            run(["rustup", "target", "add", TARGET], 600)
    command = ["cargo", "build", "--release", "--locked", "--target", TARGET, "--target-dir", str(into)]
    if run(command, 3600, cwd=tree, env=env).returncode:
        raise Failed(f"{tree} cannot be built: cargo says why above")
    return into / TARGET / "release"


def install_peer():
    """Installs the npm package once and returns its program."""
    place = target_directory() / "bench" / "opencode-ai"
    program = place / "node_modules" / ".bin" / "opencode"
    if not program.exists():
        if not shutil.which("npm"):
            raise Unavailable("there is no npm to install OpenCode with")
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"private": true}\n')
        command = ["npm", "install", "--no-audit", "--no-fund", PEER]
        done = run(command, 600, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            said = " ".join(done.stderr.split())
            raise Unavailable(f"npm cannot install {PEER}: {said[:200]}")
    asked = run([program, "--version"], 60, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if asked.returncode or asked.stdout.strip() != PEER.split("@")[1]:
        raise Unavailable(f"{PEER} is installed and does not run")
    return program


def wrk():
    """The load generator."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if not shutil.which("wrk") and shutil.which("apt-get"):
        run(["apt-get", "install", "-y", "-q", "wrk"], 300, **quiet)
    if not shutil.which("wrk"):
        raise Unavailable("there is no wrk, which makes the load, and apt-get cannot install it")
    return "wrk"


class Program:
    """A program with its project, its home and its environment."""

    def __init__(self, binary, folder, port, health, mock=None, variables=None):
        self.binary, self.port, self.health = str(pathlib.Path(binary).absolute()), port, health
        self.project, self.home = folder / "project", folder / "home"
        self.project.mkdir(parents=True)
        self.home.mkdir()
        if mock:
            (self.project / "opencode.json").write_text(json.dumps(config(mock)))
        # Without a repository OpenCode takes every parent for a part of the project.
        subprocess.run(["git", "init", "-q"], cwd=self.project, check=False)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.env = {**kept, "HOME": str(self.home), "OPENCODE_SERVER_PASSWORD": "", **(variables or {})}
        self.log = folder / "log"

    def serve(self, log=None):
        """Starts the server without waiting for it."""
        return Server(self, log or self.log)

    def command(self, *arguments):
        return [self.binary, *arguments]


def config(mock):
    """The mock provider at a port, in words that both programs know."""
    options = {"baseURL": f"http://127.0.0.1:{mock}/v1", "apiKey": "x"}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Mock",
        "options": options,
        "models": {"mock": {"name": "Mock"}},
    }
    return {"model": "mock/mock", "provider": {"mock": provider}}


def ours(binary, folder, port, mock):
    return Program(binary, folder, port, "/api/status", mock)


def peer(binary, folder, ports):
    quiet = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return Program(binary, folder, ports.peer, "/global/health", ports.mock, quiet)


def axum(binary, folder, ports):
    return Program(binary, folder, ports.axum, "/api/status")


class Server:
    """A running server, in a process group of its own."""

    def __init__(self, program, log):
        self.program, self.port, self.health = program, program.port, program.health
        self.log = pathlib.Path(log)
        command = program.command("serve", "--port", str(program.port))
        with open(log, "ab") as output:
            self.started = time.monotonic_ns()
            self.process = subprocess.Popen(
                command, cwd=program.project, env=program.env, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )
        RUNNING.append(self)

    def first_answer(self, limit=60):
        """Milliseconds from the start to the first answer of the health check.

        A refused connection is tried again after 0.2 ms. A request that was accepted and is not
        answered is joined by another one after 20 ms: OpenCode never answers the earliest ones.
        """
        deadline = time.monotonic() + limit
        request = f"GET {self.health} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        waiting = []
        with contextlib.ExitStack() as opened:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise Failed(f"{self.program.binary} ended before it answered: {self.last_words()}")
                link = opened.enter_context(socket.socket())
                try:
                    link.connect(("127.0.0.1", self.port))
                except ConnectionRefusedError:
                    link.close()
                    time.sleep(0.0002)
                    continue
                link.sendall(request)
                waiting.append(link)
                answer = first_readable(waiting, 0.02)
                if answer.startswith(b"HTTP/1.1 200"):
                    return (time.monotonic_ns() - self.started) / 1e6
        raise Failed(f"{self.program.binary} did not answer within {limit} s: {self.last_words()}")

    def last_words(self):
        """The end of its log, which goes with the folder."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.is_file() else []
        return " / ".join(lines[-3:]) or "it logged nothing"

    def ask(self, method, path, body=None):
        """An answer's JSON and the milliseconds it took."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        began = time.monotonic_ns()
        try:
            with DIRECT.open(request, timeout=120) as answer:
                text = answer.read()
        except OSError as why:
            raise Failed(f"{method} {path} at {self.program.binary}: {why}") from None
        return json.loads(text or "null"), (time.monotonic_ns() - began) / 1e6

    def memory(self):
        """Resident megabytes, those of its children included."""
        return sum(resident(pid) for pid in family(self.process.pid))

    def threads(self):
        return int(field(self.process.pid, "Threads"))

    def stop(self):
        if self in RUNNING:
            RUNNING.remove(self)
        for sign, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                pass


def first_readable(links, patience):
    """What the first of these connections to be answered has got; nothing in time is empty."""
    ready, _, _ = select.select(links, [], [], patience)
    for link in ready:
        try:
            data = link.recv(4096)
        except ConnectionError:
            data = b""
        if data:
            return data
        links.remove(link)
    return b""


def field(pid, name):
    """A field of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith(name + ":"):
                return line.split()[1]
    return "0"


def resident(pid):
    try:
        return int(field(pid, "VmRSS")) / 1024
    except FileNotFoundError:
        return 0


def family(pid):
    """A process and its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in pathlib.Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found
