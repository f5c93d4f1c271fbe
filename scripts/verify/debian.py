"""A root that debootstrap makes of Debian's essential packages and nothing else, in which an ordinary
user runs the binary with a project in /srv/project."""

import signal

import machine

TITLE = "The binary on a minimal Debian"
PACKAGES = {"debootstrap": "debootstrap", "curl": "curl"}


def check(here, report):
    machine.is_x86()
    root = here.overlay(machine.debian())
    machine.run(["install", "-m", "0755", machine.binary("x86_64-unknown-linux-musl"), root / "usr/bin/opencode"])
    here.mount("-t", "proc", "proc", str(root / "proc"))
    release = machine.run(["chroot", root, "sh", "-c", '. /etc/os-release; echo "$PRETTY_NAME"; dpkg-query -W | wc -l'])
    report.saw("the release, and how many packages it has", release)
    machine.run(["chroot", root, "useradd", "--create-home", "ann"])
    machine.run(["chroot", root, "install", "-d", "-o", "ann", "/srv/project"])
    (root / "srv/project/notes.txt").write_text("remember the oat milk\n")

    def as_ann(*words):
        clean = ["env", "-i", "--chdir=/srv/project", "PATH=/usr/bin:/bin", "HOME=/home/ann"]
        return ["chroot", "--userspec=ann:ann", root, *clean, *words]

    version = machine.run(as_ann("opencode", "--version"))
    report.saw("`opencode --version`", version)
    said = machine.run(as_ann("opencode", "run", "hello"))
    machine.expect("the embedded default answers", "I am the offline guide" in said, said)
    report.saw('`opencode run "hello"`', said)
    said = machine.run(as_ann("opencode", "run", "run `id -un; cat notes.txt`"))
    machine.expect("a command ran as the user", "ann" in said and "oat milk" in said, said)
    report.saw("a turn whose tool runs ``id -un; cat notes.txt``", said)

    server = here.start(as_ann("opencode", "serve", "--port", "0"))
    url = server.awaits(r"opencode server listening on (\S+)")[1]
    text = machine.answered(machine.run(machine.chat("read the file notes.txt", url, stream=True)), "oat milk")
    report.saw("the server, and a streamed turn with a tool", machine.events(text))
    sessions = machine.run(as_ann("opencode", "sessions", "list"))
    machine.expect("the sessions of all three are kept", sessions.count("\n") >= 3, sessions)
    report.saw("`opencode sessions list`", sessions)
    status, _ = server.end(signal.SIGTERM)
    machine.expect("SIGTERM ends it with 0", status == 0, (status, server.output()))
