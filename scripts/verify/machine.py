"""What every check uses: packages, processes that end with it, roots, requests."""

import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
# Roots that are made once and used again, each under an overlay.
KEPT = ROOT / "target/verify"
# The longest that anything here is waited for, in seconds.
PATIENCE = 120


class Missing(Exception):
    """Something that this machine lacks; the check is not run."""


class Unexpected(Exception):
    """The check saw something else than it should."""


def commit():
    """The commit of which scripts/release built what is in dist/."""
    file = DIST / "COMMIT"
    return file.read_text()[:10] if file.exists() else "?"


def binary(target):
    """What scripts/release built for a target."""
    found = sorted(path for path in DIST.glob(f"opencode-*-{target}"))
    if not found:
        raise Missing(f"there is no binary for {target} in dist/: run scripts/release {target}")
    return found[-1]


def wait_for(what, holds, patience=PATIENCE):
    """Asks again until it is true, and returns that."""
    end = time.monotonic() + patience
    while not (there := holds()):
        if time.monotonic() > end:
            raise Unexpected(f"it never came that {what}")
        time.sleep(0.02)
    return there


class Machine:
    """This machine, for one check: all that is started, mounted or made here ends with it."""

    def __init__(self):
        self.undo = []

    def __enter__(self):
        if os.geteuid() != 0:
            raise Missing("the right to be root")
        return self

    def __exit__(self, *_):
        for step in reversed(self.undo):
            step()

    def needs(self, **packages):
        """Programs (`_` for `-`; a path where it begins with `/`) and the packages that bring them."""
        lacking = [package for program, package in packages.items() if not shutil.which(program.replace("_", "-"))]
        if not lacking:
            return
        if not shutil.which("apt-get"):
            raise Missing("no apt-get to install " + ", ".join(lacking))
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = "apt-get -o DPkg::Lock::Timeout=300 install --yes --quiet --no-install-recommends".split()
        for command in (["apt-get", "update", "--quiet"], install + lacking):
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise Missing("packages that could not be installed: " + ", ".join(lacking) + "\n" + ran.stderr)

    def folder(self, mode=0o755):
        """A directory that is gone afterwards."""
        path = pathlib.Path(tempfile.mkdtemp(prefix="opencode-verify-"))
        path.chmod(mode)
        self.undo.append(lambda: shutil.rmtree(path, ignore_errors=True))
        return path

    def mount(self, *words):
        """Mounts until the end; the last word is the place."""
        run(["mount", *words])
        self.undo.append(lambda: run(["umount", "--lazy", words[-1]], status=None))

    def overlay(self, lower):
        """A copy of a root that costs nothing and is gone afterwards."""
        place = self.folder()
        for name in ("upper", "work", "root"):
            (place / name).mkdir()
        (place / "root").chmod(0o755)
        layers = f"lowerdir={lower},upperdir={place}/upper,workdir={place}/work"
        self.mount("-t", "overlay", "overlay", "-o", layers, str(place / "root"))
        return place / "root"

    def start(self, command, **more):
        """A program that is killed at the end, with its output by lines."""
        program = Program(command, **more)
        self.undo.append(program.kill)
        return program


class Program:
    """A program that runs; its output is read as it comes."""

    def __init__(self, command, **more):
        self.child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
            **more,
        )
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self):
        return self.child.pid

    def output(self):
        return "\n".join(self.lines)

    def awaits(self, pattern, patience=PATIENCE):
        """Waits for a line with this, and returns the match."""

        def there():
            found = next(filter(None, (re.search(pattern, line) for line in list(self.lines))), None)
            if not found and self.child.poll() is not None:
                self.reader.join(5)
                found = next(filter(None, (re.search(pattern, line) for line in self.lines)), None)
                if not found:
                    raise Unexpected(f"it ended with {self.child.returncode} before {pattern}:\n{self.output()}")
            return found

        try:
            return wait_for(f"it prints {pattern}", there, patience)
        except Unexpected as why:
            raise Unexpected(f"{why}\n{self.output()}") from None

    def end(self, number=signal.SIGTERM):
        """Sends a signal, waits for the end and returns the status and the seconds it took."""
        begun = time.monotonic()
        self.child.send_signal(number)
        status = self.child.wait(PATIENCE)
        self.reader.join(5)
        return status, time.monotonic() - begun

    def kill(self):
        if self.child.poll() is None:
            try:
                os.killpg(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.child.wait()


def run(command, status=0, patience=600, **more):
    """Runs a program to its end and returns what it printed, both streams together."""
    words = command if isinstance(command, list) else shlex.split(command)
    ran = subprocess.run(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=patience,
        check=False,
        **more,
    )
    if status is not None and ran.returncode != status:
        raise Unexpected(f"{shlex.join(map(str, words))}: status {ran.returncode}, not {status}\n{ran.stdout}")
    return ran.stdout


def expect(what, holds, seen=""):
    """Fails with what was seen."""
    if not holds:
        raise Unexpected(f"{what}, but: {seen}")


CURL = ["curl", "--silent", "--show-error", "--max-time", "60", "--noproxy", "*"]


def chat(message, url, *more, stream=False):
    """The words of a chat with curl."""
    path = "/api/chat/stream" if stream else "/api/chat"
    data = '{"message": "' + message.replace('"', '\\"') + '"}'
    return [*CURL, "--no-buffer", *more, "--header", "Content-Type: application/json", "--data", data, url + path]


def answered(text, *words):
    """Whether a stream came to its end, and said all of this."""
    expect("a stream ends with done", '"type":"done"' in text and '"finishReason":"stop"' in text, text)
    for word in words:
        expect(f"the stream has {word}", word in text, text)
    return text


def events(text):
    """The events of a stream, without their ids."""
    return "\n".join(line for line in text.splitlines() if line.startswith("data: "))


def status_of(pid, *names):
    """Lines of a process's status: `VmRSS`, …, in kB or as they are."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {name: re.search(rf"(?m)^{name}:\s*(.*)", text)[1] for name in names}


def megabytes(value):
    """`1234 kB` as megabytes of 2^20 bytes."""
    return int(value.split()[0]) / 1024


def debian():
    """A Debian of its essential packages alone, made once."""
    place = KEPT / "debian"
    if not (place / "made").exists():
        shutil.rmtree(place, ignore_errors=True)
        KEPT.mkdir(parents=True, exist_ok=True)
        run(["debootstrap", "--variant=minbase", suite(), place], patience=1800)
        (place / "made").touch()
    return place


def suite():
    release = pathlib.Path("/etc/os-release").read_text()
    return re.search(r"VERSION_CODENAME=(\w+)", release)[1]


def debian_with(name, *packages):
    """The same with further packages, made once."""
    place = KEPT / name
    if not (place / "made").exists():
        shutil.rmtree(place, ignore_errors=True)
        run(["cp", "--archive", debian(), place])
        (place / "made").unlink()
        shutil.copy("/etc/resolv.conf", place / "etc/resolv.conf")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
        run(["chroot", place, "apt-get", "update", "--quiet"], env=environment, patience=1800)
        install = "apt-get install --yes --quiet --no-install-recommends".split()
        run(["chroot", place, *install, *packages], env=environment, patience=1800)
        run(["chroot", place, "apt-get", "clean"], env=environment)
        (place / "made").touch()
    return place


def is_x86():
    if platform.machine() != "x86_64":
        raise Missing("an x86_64 processor")
