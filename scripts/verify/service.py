"""docs/opencode.service is judged by systemd itself, then started in a minimal Debian whose systemd has
booted as process 1 in a container of systemd-nspawn, with nothing but what the unit's first lines say.
Then the user's own unit as server-mode's page prints it, in a second boot. Limits of memory are not
enforced in there."""

import json
import os
import re
import signal
import time

import machine

TITLE = "The units of systemd"
PACKAGES = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "systemd-analyze": "systemd",
    "nsenter": "util-linux",
}
UNIT = machine.ROOT / "docs/opencode.service"
PASSWORD = "correct horse"
# As server-mode's page prints it.
PRINTED = """[Unit]
Description=OpenCode Server
After=network.target

[Service]
Type=simple
User=opencode
Environment=OPENCODE_SERVER_PASSWORD=change-me
ExecStart=/usr/bin/opencode serve
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
"""
EXPOSURE = 25


def check(here, report):
    machine.is_x86()
    hardened(here, report)
    printed(here, report)


def hardened(here, report):
    booted = Booted(here)
    report.saw("the system", booted.run("systemctl", "--version").splitlines()[0])
    booted.shell(
        "useradd --system --home-dir /var/lib/opencode --shell /usr/sbin/nologin opencode"
        " && install -d -o opencode -g opencode /srv/project"
        f" && printf '{PASSWORD}\\n' | install -m 0600 /dev/stdin /etc/opencode.password"
    )
    booted.place(UNIT.read_text(), "opencode")
    said = booted.run("systemd-analyze", "verify", "opencode.service")
    machine.expect("`systemd-analyze verify` has nothing to say", not said.strip(), said)
    report.saw("`systemd-analyze verify opencode.service`: silent")
    said = booted.run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "/etc/systemd/system/opencode.service")
    report.saw(f"`systemd-analyze security --offline=true --threshold={EXPOSURE}`", said.strip().splitlines()[-1])

    booted.run("systemctl", "enable", "--now", "opencode")
    # `start` returns once the server told that it is ready, so the first question is answered.
    booted.session(PASSWORD, "hello")
    show = ("Type", "ActiveState", "SubState", "StatusText", "MainPID", "MemoryCurrent", "TasksCurrent")
    report.saw("`systemctl enable --now opencode`, and the first request after it is answered", booted.show("opencode", *show))
    refused = booted.run(*machine.CURL, "--write-out", "\n%{http_code}\n", "http://127.0.0.1:4096/api/status")
    machine.expect("the credential is the password", refused.rstrip().endswith("401"), refused)
    report.saw("without the password of the credential", refused)

    message = (
        "run `node -e 'console.log(6 * 7)' && echo written > made.txt; cat made.txt; id -un; "
        "for f in /srv/x /etc/x /usr/x /var/lib/x /home/x /root/x; do touch $f; done; "
        "cat /etc/opencode.password /run/credentials/opencode.service/opencode-password; "
        "echo CREDENTIALS=$CREDENTIALS_DIRECTORY; nproc`"
    )
    result = booted.tool(PASSWORD, message)
    machine.expect("node ran and the project was written", "42\nwritten\nopencode\n" in result, result)
    refused = re.findall(r"touch: cannot touch '(\S+)'", result)
    machine.expect("nothing else can be written", len(refused) == 6, result)
    machine.expect("/etc/opencode.password stays closed", "/etc/opencode.password: Permission denied" in result, result)
    report.saw(
        "a turn whose tool runs node, writes in the project, tries to write elsewhere and to read the password. "
        "The credential is a file of the service's user, so a command that knows where can read it; it is in no environment",
        result,
    )

    before = booted.sessions(PASSWORD)
    pid = booted.show("opencode", "MainPID")
    booted.run("systemctl", "kill", "--signal=KILL", "opencode")
    machine.wait_for("it is started again", lambda: "=0" not in (now := booted.show("opencode", "MainPID")) and now != pid)
    booted.run("systemctl", "start", "opencode")
    after = booted.sessions(PASSWORD)
    machine.expect("the sessions outlive SIGKILL", before and before == after, (before, after))
    report.saw("SIGKILL: started again by itself, with the same sessions", booted.show("opencode", "NRestarts", "SubState") + "\n" + "\n".join(after))
    if "ExecReload" in UNIT.read_text():
        pid = booted.show("opencode", "MainPID")
        booted.run("systemctl", "reload", "opencode")
        booted.sessions(PASSWORD)
        machine.expect("a reload keeps the process", booted.show("opencode", "MainPID") == pid)
        report.saw("`systemctl reload opencode`: the same process", booted.log("opencode", 2))

    data = '{"message": "run `sleep 1000`", "background": true}'
    asked = booted.start(*machine.CURL, "--user", f"opencode:{PASSWORD}", "--header", "Content-Type: application/json", "--data", data, "http://127.0.0.1:4096/api/chat/stream")
    asked.awaits("tool_start")
    begun = time.monotonic()
    booted.run("systemctl", "stop", "opencode")
    took = time.monotonic() - begun
    ended = booted.show("opencode", "Result", "ExecMainCode", "ExecMainStatus")
    machine.expect("the stop is clean", "Result=success" in ended and "ExecMainStatus=0" in ended and took < 30, ended)
    report.saw(f"`systemctl stop opencode` in the midst of a turn that would last 1000 s: {took:.1f} s", f"{ended}\n{booted.log('opencode', 4)}")
    booted.off()


def printed(here, report):
    booted = Booted(here)
    booted.shell("useradd --system --create-home --home-dir /var/lib/opencode opencode")
    booted.place(PRINTED, "opencode")
    said = booted.run("systemd-analyze", "verify", "opencode.service")
    machine.expect("`systemd-analyze verify` has nothing to say", not said.strip(), said)
    booted.run("systemctl", "enable", "--now", "opencode")
    # `Type=simple`: started says nothing of ready.
    machine.wait_for("it answers", lambda: "ok" in booted.run(*machine.CURL, "http://127.0.0.1:4096/healthz", status=None))
    result = booted.tool("change-me", "run `id -un; pwd; echo $HOME`")
    machine.expect("its tools run as its user", "opencode\n" in result, result)
    report.saw("the user's own unit as printed, and a turn with a tool under it (no `WorkingDirectory=`, so the project is `/`)", booted.show("opencode", "Type", "ActiveState", "SubState") + "\n" + result)
    refused = booted.run(*machine.CURL, "--user", "opencode:wrong", "--write-out", "\n%{http_code}\n", "http://127.0.0.1:4096/api/status")
    machine.expect("`Environment=` sets the password", refused.rstrip().endswith("401"), refused)
    before = booted.sessions("change-me")
    booted.run("systemctl", "restart", "opencode")
    machine.wait_for("it answers", lambda: "ok" in booted.run(*machine.CURL, "http://127.0.0.1:4096/healthz", status=None))
    machine.expect("the sessions are there after a restart", before and before == booted.sessions("change-me"))
    report.saw("`systemctl restart`: the same sessions", booted.log("opencode", 5))
    booted.off()


class Booted:
    """A Debian whose systemd has booted."""

    def __init__(self, here):
        self.here = here
        kept = machine.debian_with("systemd", "systemd", "systemd-sysv", "dbus", "iproute2", "curl", "nodejs", "ca-certificates")
        self.root = here.overlay(kept)
        machine.run(["install", "-m", "0755", machine.binary("x86_64-unknown-linux-musl"), self.root / "usr/bin/opencode"])
        words = "--boot --register=no --keep-unit --console=pipe --private-network --quiet".split()
        self.nspawn = here.start(["systemd-nspawn", "-D", self.root, *words])
        machine.wait_for("it has booted", self.runs)
        self.run("ip", "link", "set", "lo", "up")

    def first(self):
        children = (machine.pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")).read_text().split()
        return children[0] if children else None

    def runs(self):
        # The first child of systemd-nspawn makes the container's first process and ends.
        self.leader = self.first()
        return self.leader and re.search("running|degraded", self.run("systemctl", "is-system-running", "--wait", status=None))

    def words(self, *words):
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"]
        return ["nsenter", "--target", self.leader, "--all", "--root", "--wd", *clean, *words]

    def run(self, *words, status=0):
        return machine.run(self.words(*words), status=status)

    def start(self, *words):
        return self.here.start(self.words(*words))

    def shell(self, script):
        return self.run("sh", "-c", script)

    def place(self, unit, name):
        (self.root / f"etc/systemd/system/{name}.service").write_text(unit)
        self.run("systemctl", "daemon-reload")

    def show(self, unit, *names):
        return self.run("systemctl", "show", unit, "--property", ",".join(names)).strip()

    def log(self, unit, lines):
        return self.run("journalctl", "--unit", unit, "--output", "cat", "--no-pager", "--lines", str(lines))

    def session(self, password, message):
        words = machine.chat(message, "http://127.0.0.1:4096", "--user", f"opencode:{password}", stream=True)
        return machine.answered(self.run(*words))

    def tool(self, password, message):
        for line in self.session(password, message).splitlines():
            if line.startswith('data: {"type":"tool_end"'):
                return json.loads(line[6:])["result"]
        raise machine.Unexpected("no tool ran")

    def sessions(self, password):
        listed = self.run(*machine.CURL, "--user", f"opencode:{password}", "http://127.0.0.1:4096/api/sessions")
        return sorted(each["id"] for each in json.loads(listed))

    def off(self):
        os.kill(int(self.leader), signal.SIGRTMIN + 4)
        self.nspawn.child.wait(machine.PATIENCE)
