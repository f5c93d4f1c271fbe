"""Checks the description of the API against running servers, with schemathesis.

    scripts/conformance                 a minute: half of it without a password, half with one
    scripts/conformance --minutes 10    ten

Schemathesis makes requests from the document that a server gives, right ones and wrong ones, and
looks whether each answer is one that the document tells of. Each failure is printed with its curl
command. Streams that do not end by themselves are left out: event streams, and `/ws`, which is not
among the document's paths. Needs Python 3, and pip to install schemathesis under target/peers.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

SCRIPTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(SCRIPTS / "benchmark"))

import programs  # noqa: E402

VERSION = "4.32.5"
PLACE = programs.TREE / "target" / "peers" / f"schemathesis-{VERSION}"
SEED = 14
PASSWORD = "correct horse"
LEFT_OUT = ("/api/chat/stream", "/api/sessions/{id}/events")
# An agent or a model is any string, and 422 says that there is none of this name, as 404 does for a
# session. What is too long is refused with 413. The other statuses are the defaults, which these lists
# replace.
SETTINGS = """\
hooks = "{hooks}"

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429, "5xx"]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""


def install():
    """Installs schemathesis once and returns its program."""
    program = PLACE / "bin" / "schemathesis"
    if not program.exists():
        PLACE.parent.mkdir(parents=True, exist_ok=True)
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(PLACE)],
            [str(PLACE / "bin" / "pip"), "install", "--quiet", f"schemathesis=={VERSION}"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                program.unlink(missing_ok=True)
                raise programs.Unavailable(f"schemathesis {VERSION}: {done.stderr.strip()[-300:]}")
    return program


class Project(programs.Program):
    """The program on `offline/guide`, behind a proxy that it trusts."""

    def __init__(self, binary, folder, password):
        self.password = password
        variables = {
            "OPENCODE_SERVER_PASSWORD": password,
            # No model of this machine.
            "OLLAMA_HOST": "http://127.0.0.1:1",
        }
        super().__init__(binary, folder, port=0, health="/healthz", variables=variables)
        configure(self, {"server": {"trustedProxies": ["127.0.0.1"]}})


def configure(program, settings):
    (program.project / "opencode.json").write_text(json.dumps(settings))


def served(program):
    """A server on a port that the kernel chose."""
    server = programs.Server(program, program.log)
    while server.port == 0:
        found = re.search(r"listening on http://[^ ]*:(\d+)", program.log.read_text())
        if found:
            server.port = int(found[1])
        elif server.process.poll() is not None:
            raise RuntimeError(f"the server ended: {program.log.read_text()[-500:]}")
    server.first_answer()
    return server


def run(port, seconds, seed, folder, password="", alone=True):
    """One run: whether nothing failed, how many requests there were, and what was printed.

    With others on the server the list of sessions is left out: schemathesis would abort and delete
    what it finds there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "schemathesis.toml"
    hooks = pathlib.Path(__file__).with_name("hooks.py")
    settings.write_text(SETTINGS.format(hooks=hooks))
    address = f"http://127.0.0.1:{port}"
    command = [
        str(install()), "--config-file", str(settings), "run", f"{address}/api/openapi.json",
        "--checks", "all", "--seed", str(seed), "--max-time", str(max(1, round(seconds))),
        "--generation-database", "none", "--request-timeout", "60", "--continue-on-failure",
        "--output-sanitize", "false", "--no-color",
    ]
    for path in LEFT_OUT:
        command += ["--exclude-path", path]
    if not alone:
        command += ["--exclude-operation-id", "listSessions"]
    if password:
        command += ["--auth", f"opencode:{password}"]
    network = "10" if password else "127"
    env = {
        **os.environ, "NO_PROXY": "*", "PYTHONDONTWRITEBYTECODE": "1", "CONFORMANCE_NETWORK": network,
    }
    with (folder / "printed").open("w+", encoding="utf-8") as printed:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=printed,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait(seconds + 300)
        finally:
            process.kill()
            process.wait()
        printed.seek(0)
        text = printed.read()
    made = re.search(r"(\d+) generated", text)
    return status == 0, int(made[1]) if made else 0, text


def checked(binary, password, seconds, seed, folder):
    """A server of its own, checked and stopped: as `run`, what became of the server included."""
    program = Project(binary, folder, password)
    server = served(program)
    try:
        right, count, text = run(server.port, seconds, seed, folder / "run", password)
        os.kill(server.process.pid, signal.SIGTERM)
        status = server.process.wait(30)
    finally:
        server.stop()
    log = program.log.read_text()
    if status != 0 or "panicked" in log:
        text += f"the server ended with {status}; the end of its log:\n{log[-3000:]}\n"
        right = False
    # Where all is refused, nothing is checked.
    taken, refused = (len(re.findall(rf" info request [A-Z]+ /api/\S* {status} ", log)) for status in ("20[0-9]", "4(03|29)"))
    text += f"{taken} answers were 20x, {refused} were 403 or 429.\n"
    return right and 0 < taken and refused < count / 2, count, text


def main():
    options = arguments()
    try:
        install()
    except programs.Unavailable as missing:
        print(missing, file=sys.stderr)
        return 3
    if options.install_only:
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    binary = options.binary or programs.build()
    seconds, right = options.minutes * 60 / 2, True
    with tempfile.TemporaryDirectory(prefix="opencode-conformance-") as folder:
        try:
            for name, password in (("open", ""), ("closed", PASSWORD)):
                place = pathlib.Path(folder) / name
                as_told, count, text = checked(binary, password, seconds, options.seed, place)
                kind = "with a password" if password else "without a password"
                said = "as described" if as_told else "NOT as described"
                print(f"{text}\n{kind}: {count} requests, {said}", flush=True)
                right = right and as_told
        finally:
            programs.end_all()
    return 0 if right else 1


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/conformance", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=1, help="in all (default: 1)")
    parser.add_argument("--binary", type=pathlib.Path, help="check this one instead of building")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of what is asked (default: {SEED})")
    parser.add_argument("--install-only", action="store_true", help="install schemathesis only")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
