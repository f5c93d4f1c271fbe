"""qemu's user mode runs the binaries of other processors on this kernel. With aarch64's the tests of the
main job run as they stand, in place of the binary that cargo builds (`OPENCODE_TEST_BINARY`); the others
start, answer and run a tool. The commands of a turn are this machine's own."""

import os
import re
import shutil
import signal

import machine

TITLE = "Other processors, emulated"
PACKAGES = {"qemu-aarch64-static": "qemu-user-static", "curl": "curl"}
# The processor that is asked for is the oldest that the target promises to run on.
EMULATED = {
    "aarch64-unknown-linux-musl": ["qemu-aarch64-static", "-cpu", "cortex-a53"],
    "armv7-unknown-linux-musleabihf": ["qemu-arm-static", "-cpu", "cortex-a7"],
    "arm-unknown-linux-musleabihf": ["qemu-arm-static", "-cpu", "arm1176"],
    "riscv64gc-unknown-linux-musl": ["qemu-riscv64-static"],
}
# What the main job promises: the page's examples, turns, streams, /ws, sessions, the stop.
TESTS = ["seed_page", "curl_examples", "turns", "websocket::", "websocket_connection", "event_replay", "sessions_survive", "stopping", "run_command", "edge"]
# What the emulator cannot do: it has no terminals of the kind that is asked for (`TCGETS2`), and
# its own memory counts as the program's.
SKIPPED = [
    "a_person_is_asked_for_the_password_once_and_it_is_not_shown",
    "memory_follows_the_sessions_in_use",
    "turns_that_wait_for_a_model_hold_neither_their_requests_nor_a_thread_more",
]


def check(here, report):
    built = {target: words for target, words in EMULATED.items() if list(machine.DIST.glob(f"opencode-*-{target}"))}
    if not built:
        raise machine.Missing("a binary for another processor in dist/: run scripts/release")
    for target in EMULATED:
        if target in built:
            start(here, report, target, built[target])
        else:
            report.saw(f"{target}: **not run**, it is not in dist/")
    if "aarch64-unknown-linux-musl" in built:
        main_job(here, report, built["aarch64-unknown-linux-musl"])


def start(here, report, target, emulator):
    binary = machine.binary(target)
    home = here.folder()
    (home / "notes.txt").write_text("remember the oat milk\n")
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "OLLAMA_HOST": "http://127.0.0.1:1"}
    begun = machine.time.monotonic()
    server = here.start([*emulator, binary, "serve", "--port", "0"], env=clean, cwd=home)
    url = server.awaits(r"opencode server listening on (\S+)")[1]
    took = machine.time.monotonic() - begun
    text = machine.answered(machine.run(machine.chat("hello", url, stream=True)), "offline guide")
    streamed = text.count('"type":"text"')
    text = machine.answered(machine.run(machine.chat("run `cat notes.txt`", url, stream=True)), "oat milk")
    listed = machine.run([*machine.CURL, f"{url}/api/sessions"])
    machine.expect("both sessions are listed", listed.count('"status"') == 2, listed)
    status, seconds = server.end(signal.SIGTERM)
    machine.expect("SIGTERM ends it with 0", status == 0, (status, server.output()))
    size = binary.stat().st_size
    report.saw(
        f"{target}, {size:,} bytes, `{' '.join(emulator)}`: listens after {took * 1000:.0f} ms, streams an answer in {streamed} "
        f"pieces, runs a tool, lists both sessions, ends on SIGTERM with {status} after {seconds * 1000:.0f} ms",
        tool_lines(text),
    )


def tool_lines(text):
    return "\n".join(line for line in text.splitlines() if '"type":"tool' in line)


def main_job(here, report, emulator):
    """The tests from outside, with the emulated binary."""
    if not shutil.which("cargo"):
        raise machine.Missing("cargo, for the tests of the main job")
    binary = here.folder() / "opencode"
    words = " ".join([shutil.which(emulator[0]), *emulator[1:], str(machine.binary("aarch64-unknown-linux-musl"))])
    binary.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    binary.chmod(0o755)
    environment = os.environ | {"OPENCODE_TEST_BINARY": str(binary)}
    # The emulator makes up /proc/self/stat, from which a server knows its own start, so that another
    # takes its commands for those of one that died: one after another, and in a space of process
    # ids of their own.
    command = "unshare --pid --fork --kill-child --mount-proc cargo test --locked --test it --".split()
    command += ["--test-threads=1", *TESTS]
    for test in SKIPPED:
        command += ["--skip", test]
    said = machine.run(command, status=None, patience=3000, cwd=machine.ROOT, env=environment)
    summary = re.findall(r"(?m)^test .* (?:FAILED|ignored.*)$|^test result: .*$", said)
    machine.expect("the tests of the main job pass", "test result: ok" in said, "\n".join(summary) + said[-3000:])
    report.saw("`cargo test --test it -- " + " ".join(TESTS) + "` with the aarch64 binary in place of cargo's, without what "
               f"the emulator cannot do: {', '.join(SKIPPED)}", "\n".join(summary))
