"""The two programs: where they come from, how they start, and that they end.

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

TREE = pathlib.Path(__file__).resolve().parents[2]
TARGET = "x86_64-unknown-linux-musl"
PEER = "opencode-ai@1.18.33"
MOCK_PORT, PORT, PEER_PORT = 4399, 4310, 4320

RUNNING = []


class Unavailable(Exception):
    """A program or tool that cannot be had here; the text says why."""


def end_all():
    for server in list(RUNNING):
        server.stop()


def target_directory():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", TREE / "target"))


def build():
    """Builds the static release binary and returns its path."""
    env = dict(os.environ)
    if not shutil.which("musl-gcc"):
        # The TLS library's C files need no C library, so the ordinary compiler does.
        env.setdefault("CC_x86_64_unknown_linux_musl", "gcc")
    installed = subprocess.run(
        ["rustup", "target", "list", "--installed"], capture_output=True, text=True, check=False
    )
    if TARGET not in installed.stdout.split():
        subprocess.run(["rustup", "target", "add", TARGET], check=True)
    command = ["cargo", "build", "--release", "--locked", "--target", TARGET]
    subprocess.run(command, cwd=TREE, env=env, check=True)
    return target_directory() / TARGET / "release" / "opencode"


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
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"npm cannot install {PEER}: {done.stderr.strip()[-200:]}")
    asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    if asked.returncode or asked.stdout.strip() != PEER.split("@")[1]:
        raise Unavailable(f"{PEER} is installed and does not run")
    return program


def wrk():
    """The load generator."""
    if not shutil.which("wrk"):
        subprocess.run(["apt-get", "install", "-y", "-q", "wrk"], capture_output=True, check=False)
    if not shutil.which("wrk"):
        raise Unavailable("there is no wrk, and apt-get cannot install it")
    return "wrk"


class Program:
    """A program with its project, its home and its environment."""

    def __init__(self, binary, folder, port, health, variables):
        self.binary, self.port, self.health = str(pathlib.Path(binary).absolute()), port, health
        self.project, home = folder / "project", folder / "home"
        self.project.mkdir(parents=True)
        home.mkdir()
        (self.project / "opencode.json").write_text(json.dumps(self.config()))
        # Without a repository OpenCode takes every parent for a part of the project.
        subprocess.run(["git", "init", "-q"], cwd=self.project, check=False)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.env = {**kept, "HOME": str(home), "OPENCODE_SERVER_PASSWORD": "", **variables}
        self.log = folder / "log"

    def config(self):
        options = {"baseURL": f"http://127.0.0.1:{MOCK_PORT}/v1", "apiKey": "x"}
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Mock",
            "options": options,
            "models": {"mock": {"name": "Mock"}},
        }
        return {"model": "mock/mock", "provider": {"mock": provider}}

    def serve(self, log=None):
        """Starts the server without waiting for it."""
        return Server(self, log or self.log)

    def command(self, *arguments):
        return [self.binary, *arguments]


def ours(binary, folder):
    return Program(binary, folder, PORT, "/api/status", {})


def peer(binary, folder):
    quiet = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return Program(binary, folder, PEER_PORT, "/global/health", quiet)


class Server:
    """A running server, in a process group of its own."""

    def __init__(self, program, log):
        self.program, self.port, self.health = program, program.port, program.health
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
                    raise RuntimeError(f"{self.program.binary} ended: see {self.program.log}")
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
        raise RuntimeError(f"{self.program.binary} did not answer within {limit} s")

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
