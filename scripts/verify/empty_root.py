"""The x86_64 binary stands alone in a directory that becomes its root, mounted read-only: no /etc, no
/tmp, no /proc, no /dev, no shell, an empty environment. It must serve, answer from the embedded default,
and keep sessions in memory with a warning."""

import signal
import socket
import statistics
import subprocess
import time

import machine

TITLE = "The binary alone in an empty root"
PACKAGES = {"curl": "curl"}


def check(here, report):
    machine.is_x86()
    binary = machine.binary("x86_64-unknown-linux-musl")
    root = here.folder()
    machine.run(["install", "-m", "0755", binary, root / "opencode"])
    here.mount("--bind", str(root), str(root))
    machine.run(["mount", "-o", "remount,bind,ro", root])
    report.saw("what is in the root, and its size in bytes", machine.run(["find", root, "-printf", "%y %s /%P\n"]))
    report.saw("what `file` says of it" if machine.shutil.which("file") else "what `ldd` says of it", linked(binary))

    command = ["env", "-i", machine.shutil.which("chroot"), root, "/opencode", "serve", "--port", "0"]
    server = here.start(command)
    url = server.awaits(r"opencode server listening on (\S+)")[1]
    text = machine.answered(machine.run(machine.chat("hello", url, stream=True)), "offline guide", "offline/guide")
    report.saw("a prompt without a model or a key, streamed", machine.events(text))
    text = machine.answered(machine.run(machine.chat("read the file opencode", url, stream=True)), "tool_start")
    report.saw("a tool, in a root without a readable text", machine.events(text))
    listed = machine.run([*machine.CURL, url + "/api/sessions"])
    machine.expect("both sessions are listed", listed.count('"id"') == 2, listed)
    seen = machine.status_of(server.pid, "VmRSS", "VmHWM", "Threads")
    report.saw("resident after both, at most, and threads", seen)
    status, seconds = server.end(signal.SIGTERM)
    machine.expect("SIGTERM ends it with 0", status == 0, (status, server.output()))
    report.saw(f"SIGTERM: status {status} after {seconds * 1000:.0f} ms; what it printed", server.output())

    times, idle = zip(*(started(root) for _ in range(20)))
    report.saw(
        f"from before its process is made (with `chroot`, which starts it) to the first bytes of a 200, 20 times: "
        f"median {statistics.median(times):.1f} ms, least {min(times):.1f} ms, most {max(times):.1f} ms"
    )
    report.saw(f"resident after that first answer: median {statistics.median(idle):.1f} MB")
    size = binary.stat().st_size
    report.saw(f"against the goals: {size / 1e6:.1f} MB of 6, {statistics.median(idle):.1f} MB idle of 4")


def linked(binary):
    if machine.shutil.which("file"):
        return machine.run(["file", "--brief", binary])
    return machine.run(["ldd", binary], status=None)


def started(root):
    """Milliseconds to the first answer of a new server, and its megabytes then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.perf_counter()
    child = subprocess.Popen(
        ["chroot", root, "/opencode", "serve", "--port", str(port)],
        env={},
        executable=machine.shutil.which("chroot"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as client:
                    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    head = client.recv(64)
                break
            except ConnectionRefusedError:
                if child.poll() is not None or time.perf_counter() - begun > machine.PATIENCE:
                    raise machine.Unexpected("the server did not start") from None
                time.sleep(0.0002)
        took = (time.perf_counter() - begun) * 1000
        machine.expect("the first answer is 200", head.startswith(b"HTTP/1.1 200"), head)
        return took, machine.megabytes(machine.status_of(child.pid, "VmRSS")["VmRSS"])
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()
