"""Checks what is given out where it will run, and writes docs/verified.md.

    scripts/verify-release [CHECK...]

    empty-root   the binary alone in a root without a file, /proc or /tmp
    debian       on a Debian of its own packages alone
    container    the Dockerfile's image under a Docker engine, on stand-ins for the images it names
    service      the units of systemd, judged, and under a systemd that has booted
    openrc       the script of OpenRC, run by Debian's OpenRC
    emulated     the binaries of other processors, and with aarch64's the tests of the main job
    board        an emulated ARM board of 64 MB that boots a kernel with it

Without a word all of them run, in this order. They need root, Debian and what scripts/release left
in dist/; the packages are installed by name. What this machine lacks is said, in the report too. A
check that was not named keeps what the report last said of it.
"""

import importlib
import pathlib
import signal
import sys
import time
import traceback

import machine
import report

CHECKS = ["empty-root", "debian", "container", "service", "openrc", "emulated", "board"]


def main():
    words = sys.argv[1:]
    if any(word not in CHECKS for word in words):
        print(__doc__, end="", file=sys.stderr if "--help" not in words else sys.stdout)
        return 0 if "--help" in words else 2
    # What was started ends with it then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = [run(name) for name in CHECKS if name in words or not words]
    page = pathlib.Path(machine.ROOT / "docs/verified.md")
    report.write(page, results, CHECKS)
    print(f"\nwritten to {page.relative_to(machine.ROOT)}: " + ", ".join(f"{each.name} {each.outcome}" for each in results))
    return 1 if any(each.outcome == report.FAILED for each in results) else 0


def run(name):
    check = importlib.import_module(name.replace("-", "_"))
    result = report.Result(name, check.TITLE, " ".join(check.__doc__.split()))
    print(f"\n== {name}: {check.TITLE}", flush=True)
    begun = time.monotonic()
    try:
        with machine.Machine() as here:
            here.needs(**check.PACKAGES)
            check.check(here, result)
    except machine.Missing as why:
        result.missing(str(why))
    except machine.Unexpected as why:
        result.failed(str(why))
    except Exception:  # A fault of the check is a failed check; the others still run.
        result.failed(traceback.format_exc())
    result.seconds = round(time.monotonic() - begun)
    return result


sys.exit(main())
