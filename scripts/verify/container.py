"""The Dockerfile as it is, built and run by Docker's engine from Debian, in network and mount namespaces
of its own. No image is pulled: `alpine:3` is a **stand-in** of Debian's static busybox, and `rust:1-alpine`
a **stand-in** whose `cargo` puts the binary of scripts/release where cargo would; `apk` does nothing in
both. So the stages, the user, the places and the health check are the real ones; what Alpine's own
packages do is not seen."""

import json
import os
import shutil
import signal
import tarfile

import machine

TITLE = "The image of the Dockerfile under a Docker engine"
PACKAGES = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "/bin/busybox": "busybox-static",
    "iptables": "iptables",
    "ip": "iproute2",
    "curl": "curl",
    "nsenter": "util-linux",
}
PASSWORD = "correct horse"
# An address of the namespace in which the engine runs, and so not of the container.
OUTSIDE = "10.98.76.1"
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "16m"]


def check(here, report):
    machine.is_x86()
    engine = Engine(here)
    report.saw("the engine", engine.docker("version", "--format", "client {{.Client.Version}}, server {{.Server.Version}}"))
    engine.stand_in("alpine:3", {})
    binary = machine.binary("x86_64-unknown-linux-musl")
    cargo = "#!/bin/sh\nmkdir -p target/release && cp /release/opencode target/release/opencode\n"
    engine.stand_in("rust:1-alpine", {"usr/bin/cargo": cargo, "release/opencode": binary})
    built = engine.docker("build", "--tag", "opencode-server", machine.ROOT, DOCKER_BUILDKIT="0")
    report.saw("`docker build -t opencode-server .`", "\n".join(line for line in built.splitlines() if "Step" in line or "Success" in line))
    report.saw("the image, in bytes", engine.docker("image", "inspect", "--format", "{{.Size}} user {{.Config.User}}", "opencode-server"))

    project = here.folder()
    (project / "notes.txt").write_text("remember the oat milk\n")
    os.chown(project, 10001, 10001)
    refuses_without_a_password(engine, report)
    words = ["run", "--detach", "--name", "opencode", "--publish", "4096:4096", *HARDENED]
    words += ["--env", "OPENCODE_SERVER_PASSWORD", "--health-interval", "1s"]
    words += ["--volume", f"{project}:/project", "--volume", "opencode-data:/data", "opencode-server"]
    engine.docker(*words, OPENCODE_SERVER_PASSWORD=PASSWORD)
    report.saw("`docker " + " ".join(words[:4]) + " --publish 4096:4096 " + " ".join(HARDENED) + " …`")
    url = f"http://{OUTSIDE}:4096"
    auth = ["--user", f"opencode:{PASSWORD}"]
    engine.answers(url)
    work(engine, report, url, auth)
    end(engine, report, url, auth)


def refuses_without_a_password(engine, report):
    engine.docker("run", "--detach", "--name", "open", "--publish", "4097:4096", "opencode-server")
    engine.answers(f"http://{OUTSIDE}:4097")
    seen = engine.inside(*machine.CURL, "--write-out", "\n%{http_code}\n", f"http://{OUTSIDE}:4097/api/status")
    machine.expect("a server without a password refuses", seen.rstrip().endswith("403"), seen)
    report.saw("started without a password, asked from outside the container", seen)
    engine.docker("rm", "--force", "open")


def work(engine, report, url, auth):
    """What it does while it runs."""
    seen = engine.inside(*machine.CURL, "--write-out", "\n%{http_code}\n", f"{url}/api/status")
    machine.expect("no password, no answer", seen.rstrip().endswith("401"), seen)
    report.saw("with a password set: asked from outside without it", seen)
    seen = engine.inside(*machine.CURL, *auth, "--write-out", "\n%{http_code}\n", f"{url}/api/status")
    machine.expect("with the password an answer", seen.rstrip().endswith("200"), seen)
    report.saw("asked with it", seen)
    health = ("inspect", "--format", "{{.State.Health.Status}}", "opencode")
    machine.wait_for("it is healthy", lambda: engine.docker(*health).strip() == "healthy")
    log = engine.docker("inspect", "--format", "{{(index .State.Health.Log 0).Output}}", "opencode")
    report.saw("the image's `HEALTHCHECK` made it healthy; what it printed", log)

    message = "run `id -u; cat notes.txt; echo written > made.txt; grep -E 'CapEff|NoNewPrivs' /proc/self/status; touch /usr/here`"
    text = engine.turn(message, url, auth)
    for word in ("10001", "oat milk", "CapEff:\\t0000000000000000", "NoNewPrivs:\\t1", "Read-only file system"):
        machine.expect(f"the tool's result has {word}", word in text, text)
    report.saw("a turn with a tool: who it is, what it may, and that the root is read-only", tool(text))
    text = engine.turn("run `for i in 1 2 3 4 5; do setsid sleep 0.2 & done; echo started`", url, auth)
    processes = machine.wait_for("nothing but the server is left", lambda: alone(engine))
    report.saw("after a turn that left five processes behind in sessions of their own, as process 1: no process, no zombie", processes)
    pid = engine.docker("inspect", "--format", "{{.State.Pid}}", "opencode").strip()
    status = machine.status_of(pid, "VmRSS", "VmHWM")
    used = engine.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", "opencode").strip()
    report.saw("resident, at most, and what the engine counts of the limit", f"{status}\n{used}")


def alone(engine):
    printed = engine.docker("top", "opencode", "-eo", "pid,ppid,stat,user,args")
    # A health check may run just now.
    lines = [line for line in printed.splitlines()[1:] if not line.endswith("opencode status")]
    return printed if len(lines) == 1 and " Z" not in printed else None


def end(engine, report, url, auth):
    """Stopping and starting again."""
    before = sessions(engine, url, auth)
    engine.docker("restart", "opencode")
    engine.answers(url)
    after = sessions(engine, url, auth)
    machine.expect("the sessions are there after a restart", before and before == after, (before, after))
    report.saw("`docker restart`, with the sessions in a volume: the same ids", "\n".join(after))
    # A turn that runs while the stop comes.
    data = '{"message": "run `sleep 1000`", "background": true}'
    asked = engine.asks(*machine.CURL, *auth, "--header", "Content-Type: application/json", "--data", data, f"{url}/api/chat/stream")
    asked.awaits("tool_start")
    begun = machine.time.monotonic()
    engine.docker("stop", "--time", "20", "opencode")
    took = machine.time.monotonic() - begun
    code = engine.docker("inspect", "--format", "{{.State.ExitCode}}", "opencode").strip()
    log = engine.docker("logs", "--tail", "3", "opencode")
    machine.expect("SIGTERM ends it with 0 within its grace", code == "0" and took < 19, (code, took, log))
    report.saw(f"`docker stop --time 20` in the midst of a turn that would last 1000 s: {took:.1f} s, status {code}", log)


def sessions(engine, url, auth):
    listed = json.loads(engine.inside(*machine.CURL, *auth, f"{url}/api/sessions"))
    return sorted(each["id"] for each in listed)


def tool(text):
    """The result of a stream's tool."""
    for line in text.splitlines():
        if line.startswith('data: {"type":"tool_end"'):
            return json.loads(line[6:])["result"]
    return text


class Engine:
    """A dockerd of its own, in its own network."""

    def __init__(self, here):
        self.here, self.place = here, here.folder()
        script = f"""
            ip link set lo up && ip address add {OUTSIDE}/32 dev lo &&
            exec dockerd --data-root {self.place}/data --exec-root {self.place}/exec \\
                --host unix://{self.place}/socket --pidfile {self.place}/pid --storage-driver vfs
        """
        self.daemon = here.start(["unshare", "--net", "--mount", "sh", "-c", script])
        here.undo.append(self.stop)
        try:
            self.daemon.awaits("API listen on")
        except machine.Unexpected as why:
            raise machine.Missing(f"what a Docker engine needs: {why}") from None

    def stop(self):
        """Containers first, which would outlive the engine."""
        ids = self.docker("ps", "--all", "--quiet", status=None).split()
        if ids:
            self.docker("rm", "--force", *ids, status=None)
        self.daemon.end(signal.SIGTERM)

    def docker(self, *words, status=0, **environment):
        client = ["docker", "--host", f"unix://{self.place}/socket"]
        return machine.run([*client, *words], status=status, env=os.environ | environment)

    def inside(self, *words):
        """Runs a program in the engine's network, which is outside of the container's."""
        return machine.run(["nsenter", "--target", str(self.daemon.pid), "--net", *words])

    def asks(self, *words):
        return self.here.start(["nsenter", "--target", str(self.daemon.pid), "--net", *words])

    def turn(self, message, url, auth):
        return machine.answered(self.inside(*machine.chat(message, url, *auth, stream=True)), "tool_end")

    def answers(self, url):
        def there():
            words = ["nsenter", "--target", str(self.daemon.pid), "--net", *machine.CURL, f"{url}/healthz"]
            return "ok" in machine.run(words, status=None)

        machine.wait_for(f"{url} answers", there)

    def stand_in(self, name, files):
        """An image of busybox, with what is given beside it."""
        root = self.here.folder()
        for folder in ("bin", "etc", "usr/bin", "tmp", "proc", "dev", "sys", "release"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for applet in machine.run(["/bin/busybox", "--list"]).split():
            link = root / "bin" / applet
            if not link.exists():
                link.symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        (root / "bin/apk").write_text("#!/bin/sh\necho \"stand-in: apk $*\"\n")
        (root / "bin/apk").chmod(0o755)
        for path, content in files.items():
            if isinstance(content, str):
                (root / path).write_text(content)
            else:
                shutil.copy(content, root / path)
            (root / path).chmod(0o755)
        archive = self.here.folder() / "root.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".")
        self.docker("import", archive, name)
