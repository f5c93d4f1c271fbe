"""docs/opencode.openrc is run by Debian's OpenRC in a chroot of a minimal Debian. That is OpenRC without
Alpine around it, and it is not the first process there: its boot is not seen, its supervisor is."""

import json
import os
import signal

import machine

TITLE = "The script of OpenRC"
PACKAGES = {"debootstrap": "debootstrap", "nsenter": "util-linux"}
PASSWORD = "correct horse"


def check(here, report):
    machine.is_x86()
    root = here.overlay(machine.debian_with("openrc", "openrc", "curl", "procps"))
    machine.run(["install", "-m", "0755", machine.binary("x86_64-unknown-linux-musl"), root / "usr/bin/opencode"])
    # Processes and network of its own: all of it ends with the first of them, a shell that waits for
    # whatever ends.
    init = "mount -t proc proc /proc && mount -t tmpfs tmpfs /run && openrc sysinit && echo UP && { sleep infinity & wait; }"
    words = ["unshare", "--pid", "--fork", "--kill-child", "--net", "--mount", f"--root={root}", "sh", "-c", init]
    first = here.start(words)
    first.awaits("UP")
    children = machine.pathlib.Path(f"/proc/{first.pid}/task/{first.pid}/children")
    leader = machine.wait_for("it has a first process", lambda: children.read_text().split())[0]

    def inside(script, status=0):
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", script]
        return machine.run(["nsenter", "--target", leader, "--pid", "--net", "--mount", "--root", "--wd", *clean], status=status)

    report.saw("the version", inside("openrc --version"))
    machine.run(["nsenter", "--target", leader, "--net", "ip", "link", "set", "lo", "up"])
    machine.run(["install", "-m", "0755", machine.ROOT / "docs/opencode.openrc", root / "etc/init.d/opencode"])
    said = inside("rc-service opencode start", status=1)
    machine.expect("without a password it says what is missing", "/etc/opencode.password is missing" in said, said)
    report.saw("started before anything is prepared: `rc-service opencode start`", said)
    # `adduser` and `addgroup` of Debian are no packages of a minimal one, and have other flags than Alpine's.
    inside(
        "useradd --system --home-dir /var/lib/opencode --shell /usr/sbin/nologin opencode"
        " && install -d -o opencode -g opencode /srv/project"
        f" && printf '{PASSWORD}\\n' | install -m 0640 -g opencode /dev/stdin /etc/opencode.password"
    )
    report.saw("`rc-service opencode start`", inside("rc-service opencode start"))
    url, auth = "http://127.0.0.1:4096", f"--user 'opencode:{PASSWORD}'"
    curl = "curl --silent --show-error --max-time 60"

    def answers():
        return "ok" in inside(f"{curl} {url}/healthz", status=None)

    def sessions():
        return sorted(each["id"] for each in json.loads(inside(f"{curl} {auth} {url}/api/sessions")))

    def server():
        """Its process's id in this check's own counting; the supervisor has it in its own."""
        pids = [line.split()[0] for line in inside("ps -eo pid,args").splitlines() if line.split()[1:3] == ["/usr/bin/opencode", "serve"]]
        return pids[0] if pids else None

    machine.wait_for("it answers", answers)
    refused = inside(f"{curl} --write-out '\\n%{{http_code}}\\n' {url}/api/status")
    machine.expect("no password, no answer", refused.rstrip().endswith("401"), refused)
    report.saw("who runs, with `ps`", inside("ps -eo user,pid,ppid,args | grep -E '[s]upervise-daemon|[o]pencode serve'"))
    data = '{"message": "run `id -un; pwd; echo $HOME; umask; grep NoNewPrivs /proc/self/status; echo written > made.txt; cat made.txt; touch /etc/x`"}'
    text = machine.answered(inside(f"{curl} --no-buffer {auth} -H 'Content-Type: application/json' -d '{data}' {url}/api/chat/stream"))
    result = next(json.loads(line[6:])["result"] for line in text.splitlines() if line.startswith('data: {"type":"tool_end"'))
    for line in ("opencode", "/srv/project", "/var/lib/opencode", "0077", "NoNewPrivs:\t1", "written"):
        machine.expect(f"the tool's result has {line}", line in result.splitlines(), result)
    report.saw("a turn with a tool", result)
    before, pid = sessions(), server()
    inside(f"kill -KILL {pid}")
    machine.wait_for("it is started again", lambda: (now := server()) and now != pid)
    machine.wait_for("it answers", answers)
    machine.expect("the sessions outlive SIGKILL", before and before == sessions(), before)
    report.saw("SIGKILL: started again, with the same sessions; `rc-service opencode status`", inside("rc-service opencode status"))
    if "reload()" in (root / "etc/init.d/opencode").read_text():
        pid = server()
        inside("rc-service opencode reload")
        machine.wait_for("it answers", answers)
        machine.expect("a reload keeps the process", server() == pid)
        report.saw("`rc-service opencode reload`: the same process")
    said = inside("rc-service opencode stop")
    machine.wait_for("it is gone", lambda: not server())
    log = (root / "var/log/opencode.log").read_text()
    machine.expect("the stop is clean", log.rstrip().endswith("stopped"), log)
    report.saw("`rc-service opencode stop`, and the end of its log", said + "\n".join(log.splitlines()[-3:]))
    os.kill(int(leader), signal.SIGKILL)
