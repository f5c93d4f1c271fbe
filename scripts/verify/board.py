"""An emulated ARM board (qemu's `virt` machine, no acceleration) boots Debian's own kernel with an initramfs
of busybox and the binary, and streams an answer of the embedded default to a client on this machine. Where
there is a binary for it, a 32-bit board too."""

import gzip
import re
import shutil
import socket
import subprocess
import time

import machine

TITLE = "A board of 64 MB"
PACKAGES = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-arm": "qemu-system-arm",
    "cpio": "cpio",
    "dpkg": "dpkg",
    "curl": "curl",
}
PASSWORD = "correct-horse"
# Of the network; what a kernel has built in is no module of it.
MODULES = ["virtio_mmio", "virtio_net"]
INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /tmp
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
ifconfig lo 127.0.0.1
ifconfig eth0 10.0.2.15
echo BEFORE $(grep -E 'MemTotal|MemAvailable' /proc/meminfo)
cd /project
HOME=/tmp OPENCODE_DATA_DIR=/tmp/data OPENCODE_SERVER_PASSWORD={PASSWORD} opencode serve --hostname 0.0.0.0 &
server=$!
while ! wget -q -O /dev/null http://127.0.0.1:4096/healthz; do sleep 0.1; done
echo READY $(cut -d ' ' -f 1 /proc/uptime)
while ! [ -e /tmp/asked ]; do sleep 0.2; done
echo AFTER $(grep -E 'MemAvailable' /proc/meminfo)
echo SERVER $(grep -E 'VmRSS|VmHWM|Threads' /proc/$server/status)
kill $server
wait $server
echo ENDED $?
poweroff -f
"""


class Board:
    """What is emulated."""

    def __init__(self, target, architecture, kernel, qemu, words):
        self.target, self.architecture, self.kernel, self.qemu, self.words = target, architecture, kernel, qemu, words


BOARDS = [
    Board("aarch64-unknown-linux-musl", "arm64", "linux-image-cloud-arm64", "qemu-system-aarch64", "-M virt -cpu cortex-a53 -m 64"),
    Board("armv7-unknown-linux-musleabihf", "armhf", "linux-image-armmp", "qemu-system-arm", "-M virt -cpu cortex-a7 -m 64"),
]


def check(here, report):
    built = [board for board in BOARDS if list(machine.DIST.glob(f"opencode-*-{board.target}"))]
    if not built:
        raise machine.Missing("a binary for ARM in dist/: run scripts/release")
    for board in BOARDS:
        if board in built:
            boot(here, report, board)
        else:
            report.saw(f"{board.architecture}: **not run**, there is no binary for {board.target} in dist/")


def boot(here, report, board):
    root = packages(board)
    kernel = next((root / "boot").glob("vmlinuz-*"))
    image = initramfs(here, board, root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [board.qemu, *board.words.split(), "-accel", "tcg", "-no-reboot", "-kernel", kernel]
    command += ["-initrd", image, "-append", "console=ttyAMA0 quiet panic=-1"]
    command += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:4096"]
    command += ["-device", "virtio-net-device,netdev=net"]
    command += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
    begun = time.monotonic()
    guest = here.start(command)
    guest.awaits("READY")
    booted = time.monotonic() - begun
    release = re.search(r"vmlinuz-(.*)", kernel.name)[1]
    report.saw(f"{board.architecture}: `{board.qemu} {board.words}`, Linux {release}; the server answered {booted:.0f} s after qemu started")
    url, auth = f"http://127.0.0.1:{port}", ["--user", f"opencode:{PASSWORD}"]
    refused = machine.run([*machine.CURL, "--write-out", "\n%{http_code}\n", f"{url}/api/status"])
    machine.expect("no password, no answer", refused.rstrip().endswith("401"), refused)
    text = machine.answered(machine.run(machine.chat("hello", url, *auth, stream=True)), "offline guide")
    report.saw("a prompt to its embedded default, streamed to a client on this machine", machine.events(text))
    text = machine.answered(machine.run(machine.chat("read the file notes.txt", url, *auth, stream=True)), "oat milk")
    report.saw("a turn with a tool", machine.events(text))
    machine.answered(machine.run(machine.chat("run `uname -m; touch /tmp/asked`", url, *auth, stream=True)), "tool_end")
    guest.awaits("ENDED")
    seen = [line for line in guest.lines if re.match(r"(BEFORE|READY|AFTER|SERVER|ENDED)", line)]
    machine.expect("SIGTERM ends it with 0", "ENDED 0" in seen, guest.output())
    report.saw("what the guest says of its memory before the server and after the turns, of the server, and of its end on SIGTERM", "\n".join(seen))


def initramfs(here, board, root):
    """A root of busybox, the binary and the modules of the network, packed."""
    place = here.folder()
    for folder in ("bin", "dev", "proc", "sys", "tmp", "etc", "modules", "project"):
        (place / folder).mkdir()
    shutil.copy(root / "bin/busybox", place / "bin/busybox")
    machine.run(["install", "-m", "0755", machine.binary(board.target), place / "bin/opencode"])
    (place / "project/notes.txt").write_text("remember the oat milk\n")
    (place / "init").write_text(INIT)
    (place / "init").chmod(0o755)
    order = []
    for module in MODULES:
        add_module(root, place, module, order)
    (place / "modules/order").write_text(" ".join(order))
    packed = subprocess.run(["cpio", "--create", "--format=newc", "--quiet"], cwd=place, capture_output=True, check=True,
                            input="\n".join(str(path.relative_to(place)) for path in sorted(place.rglob("*"))).encode())
    image = here.folder() / "initramfs"
    image.write_bytes(gzip.compress(packed.stdout, 6))
    return image


def add_module(root, place, name, order):
    """Copies a module, after those that it says it needs."""
    found = next((root / "lib/modules").rglob(f"{name}.ko"), None)
    if name in order or not found:
        return
    content = found.read_bytes()
    needed = re.search(rb"\0depends=([^\0]*)\0", content)
    for each in needed[1].decode().split(",") if needed else []:
        add_module(root, place, each.replace("-", "_"), order)
    (place / "modules" / f"{name}.ko").write_bytes(content)
    order.append(name)


def packages(board):
    """Debian's kernel and busybox for the board, unpacked once; apt's own lists stay as they are."""
    place = machine.KEPT / f"board-{board.architecture}"
    if (place / "made").exists():
        return place / "root"
    for folder in ("lists/partial", "cache/archives/partial", "packages", "root"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    (place / "status").touch()
    settings = {
        "Dir::State": place,
        "Dir::State::status": place / "status",
        "Dir::Cache": place / "cache",
        "APT::Architecture": board.architecture,
        "APT::Architectures": board.architecture,
        "APT::Sandbox::User": "root",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    # What else this machine takes packages from need not have this architecture.
    machine.run(["apt-get", *options, "update", "--quiet"], status=None)
    said = machine.run(["apt-cache", *options, "depends", board.kernel])
    kernel = re.search(r"Depends: (linux-image-\d\S*)", said)
    if not kernel:
        raise machine.Missing(f"a kernel for {board.architecture}:\n{said}")
    machine.run(["apt-get", *options, "download", "--quiet", kernel[1], "busybox-static"], cwd=place / "packages")
    for package in (place / "packages").glob("*.deb"):
        machine.run(["dpkg", "-x", package, place / "root"])
    (place / "made").touch()
    return place / "root"
