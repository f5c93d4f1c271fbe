"""Measures this program beside OpenCode 1.18.33 and a server on axum, in one run, and writes
docs/benchmarks.md and docs/benchmarks.svg.

    scripts/bench            everything, about nine minutes
    scripts/bench --quick    fewer and shorter rounds, about four

That is on a machine that does nothing else, and after building, which takes some minutes more.
Needs Python 3, cargo, git and, for OpenCode, npm; wrk comes from Debian by name. Only addresses of
this machine are used. All that it starts ends with it, on Ctrl-C as well.
"""

import argparse
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile

import course
import programs
import report

# Seconds that measuring may take, building and installing apart.
LIMIT = 40 * 60


def main():
    options = arguments()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    # The default action would leave the servers behind, and a shell starts what runs in the
    # background deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGALRM, too_long)

    ports = programs.Ports(options.ports)
    binary = options.binary or programs.build()
    axum_binary = options.axum or programs.build_axum()
    peer_binary, missing = None, "it was not asked for"
    if not options.alone:
        try:
            peer_binary = programs.install_peer()
        except programs.Unavailable as why:
            missing = str(why)
            print(f"measuring without OpenCode: {missing}", file=sys.stderr)
    machine = report.Machine()
    if machine.before > report.QUIET:
        print(f"other programs use {machine.before:.0%} of the cores: figures will say little", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="opencode-bench-", ignore_cleanup_errors=True) as folder:
        signal.alarm(LIMIT)
        try:
            field = course.Field(binary, axum_binary, peer_binary, pathlib.Path(folder), ports)
            results = course.run(field, course.Rounds(options.quick))
        finally:
            signal.alarm(0)
            programs.end_all()
    picture = options.write.with_suffix(".svg") if options.write else None
    missing = None if peer_binary else missing
    text, drawing = report.page(results, machine, command_line(options), missing, picture)
    print(text)
    if options.write:
        options.write.write_text(text)
        picture.write_text(drawing)


def command_line(options):
    """What was typed, as far as figures depend on it; where files lie is nobody's business."""
    words = [f"--{name}" for name in ("quick", "alone") if getattr(options, name)]
    words += [f"--{name} FILE" for name in ("binary", "axum") if getattr(options, name)]
    return " ".join(["scripts/bench", *words])


def too_long(*_):
    raise programs.Failed(f"measuring took more than {LIMIT // 60} minutes, and was ended")


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--alone", action="store_true", help="without OpenCode")
    parser.add_argument("--binary", type=pathlib.Path, help="measure this one instead of building")
    parser.add_argument("--axum", type=pathlib.Path, help="measure this server on axum instead of building")
    parser.add_argument(
        "--ports", type=int, default=4310, metavar="FIRST", help="the first of five ports (default: 4310)"
    )
    parser.add_argument(
        "--write", type=pathlib.Path, default=programs.TREE / "docs" / "benchmarks.md",
        help="where the page goes, and the plot beside it (default: docs/benchmarks.md)",
    )
    parser.add_argument("--no-write", dest="write", action="store_const", const=None, help="print the page only")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (programs.Failed, subprocess.SubprocessError, OSError) as why:
        sys.exit(f"scripts/bench: {why}")
