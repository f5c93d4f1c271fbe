"""What clients do: each function is one visit of one client, and says by `Wrong` what was not as it
must be. It leaves no session behind, so that what the server keeps does not grow by the load."""

import contextlib
import http.client
import json
import random
import socket
import subprocess
import time

from provider import TOKENS, text_of, token
from talk import PATIENCE, Story, WebSocket, expect

FAILING = {
    "patience": "provider-rate-limited",
    "refused": "provider-failed",
    "broken": "provider-failed",
    "cut": "provider-unreachable",
    "mute": "provider-timeout",
    "garbage": "provider-failed",
    "page": "provider-failed",
}


class Visit:
    """What one client has: the API, a number of its own, the program for `run --attach`."""

    def __init__(self, api, program, number):
        self.api, self.program, self.number = api, program, number

    def message(self, kind):
        return f"soak {kind} {self.number}"


def whole_text(story, kind, number):
    wanted = text_of(kind, number)
    expect(story.error is None, f"a turn of `{kind}` failed", story.error)
    expect(story.end["finishReason"] == "stop", "the reason of an end", story.end)
    if wanted is not None:
        expect(story.text == wanted, f"{len(wanted)} characters were said, and not", story.text[:80])


def streamed(visit, kind="text"):
    with visit.api.stream(visit.message(kind)) as events:
        story = Story().whole(events)
    whole_text(story, kind, visit.number)
    visit.api.delete(story.session)
    return story


def chat(visit):
    """A whole answer, and then the history that has to hold it."""
    body = {"message": visit.message("text")}
    first = visit.api.ask("POST", "/api/chat", body)
    body["sessionId"] = first["sessionId"]
    visit.api.ask("POST", "/api/chat", body)
    session = visit.api.session(first["sessionId"])
    said = [message["content"] for message in session["messages"]]
    expect(said == [body["message"], text_of("text", visit.number)] * 2, "the history", said)
    visit.api.delete(session["id"])


def tools(visit):
    story = streamed(visit, random.choice(("files", "bash", "behind")))
    expect("tool_end" in story.kinds, "no tool ran", story.kinds)


def websocket(visit):
    """Two turns at once over one socket."""
    with contextlib.closing(WebSocket(visit.api.port)) as link:
        stories = {"a": Story(), "b": Story()}
        for name in stories:
            link.send({"type": "chat", "requestId": name, "message": visit.message("text")})
        for message in link.messages():
            if "requestId" not in message:
                continue
            stories[message["requestId"]].add(message.get("eventId"), message)
            if all(story.end for story in stories.values()):
                break
    for story in stories.values():
        expect(story.end is not None, "a WebSocket was closed before `done`", story.kinds)
        whole_text(story, "text", visit.number)
        visit.api.delete(story.session)


def permission(visit):
    """A tool that is asked for, and gets an answer."""
    reply, story = random.choice(("once", "reject")), Story()
    with visit.api.stream(visit.message("ask")) as events:
        for number, event in events:
            kind = story.add(number, event)
            if kind == "permission":
                path = f"/api/permissions/{event['id']}"
                visit.api.ask("POST", path, {"reply": reply}, status=(204,))
            elif kind == "tool_end":
                expect(event["isError"] == (reply == "reject"), f"after `{reply}`", event)
            elif kind == "done":
                break
    expect("permission_reply" in story.kinds, "nobody was told the reply", story.kinds)
    whole_text(story, "ask", visit.number)
    visit.api.delete(story.session)


def abort(visit):
    """A turn that is stopped while a model writes, a command runs or a person is awaited."""
    kind = random.choice(("long", "endless", "ask"))
    after = {"long": "text", "endless": "tool_output", "ask": "permission"}[kind]
    story, asked = Story(), False
    with visit.api.stream(visit.message(kind)) as events:
        for number, event in events:
            if story.add(number, event) == after and not asked:
                visit.api.ask("POST", f"/api/sessions/{story.session}/abort", status=(202,))
                asked = True
            if story.end:
                break
    expect(story.end is not None and story.end["finishReason"] == "aborted", "an abort", story.kinds[-3:])
    visit.api.delete(story.session)


def leave(visit):
    """A client that is gone in mid-stream: its turn has to end, its command too."""
    kind = random.choice(("long", "endless"))
    after = {"long": "text", "endless": "tool_output"}[kind]
    story = Story()
    with visit.api.stream(visit.message(kind)) as events:
        for number, event in events:
            if story.add(number, event) == after:
                break
    end = time.monotonic() + PATIENCE
    while (session := visit.api.session(story.session))["status"] != "idle":
        expect(time.monotonic() < end, "an abandoned turn goes on", session["status"])
        time.sleep(0.1)
    expect(session["messages"][-1]["finishReason"] == "aborted", "an abandoned turn", session["messages"][-1])
    visit.api.delete(story.session)


def resume(visit):
    """A stream that is lost twice, and gone on with behind its last event."""
    story = Story()
    body = {"message": visit.message("text"), "background": True}
    with visit.api.events("POST", "/api/chat/stream", body) as events:
        for number, event in events:
            if story.add(number, event) == "text":
                break
    with visit.api.follow(story.session, story.last) as events:
        story.add(*next(one for one in events if one[0] is not None))
    if not story.end:
        with visit.api.follow(story.session, story.last) as events:
            story.whole(events)
    whole_text(story, "text", visit.number)
    visit.api.delete(story.session)


def slow_reader(visit):
    """A client that takes next to nothing of much: what it missed it gets afterwards, or hears that
    it is no longer kept; the history has all of it."""
    story, seen = Story(), b""
    body = json.dumps({"message": visit.message("big"), "background": True}).encode()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(PATIENCE)
        link.connect(("127.0.0.1", visit.api.port))
        link.sendall(
            b"POST /api/chat/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        for _ in range(20):
            more = link.recv(1024)
            seen += more
            if not more:
                break
            time.sleep(0.1)
    for line in seen.split(b"\n"):
        if line.startswith(b"data: ") and b'"sessionId"' in line:
            story.session = json.loads(line[6:])["sessionId"]
            break
    expect(story.session is not None, "a slow reader got no session", seen[:200])
    with visit.api.follow(story.session, 0) as events:
        followed = Story().whole(events)
    expect(followed.end["finishReason"] == "stop", "a slow reader's turn", followed.end)
    said = visit.api.session(story.session)["messages"][-1]["content"]
    expect(said == text_of("big", visit.number), "a slow reader's history", len(said))
    visit.api.delete(story.session)


def sessions(visit):
    """Made, listed, renamed, read, deleted, and then gone."""
    api, title = visit.api, f"number {visit.number}"
    made = api.ask("POST", "/api/sessions", {"title": title}, status=(201,))
    listed = api.ask("GET", "/api/sessions?limit=100")
    expect(any(one["id"] == made["id"] for one in listed), "a new session is not listed", len(listed))
    path = f"/api/sessions/{made['id']}"
    renamed = api.ask("PATCH", path, {"title": f"{title} again"})
    expect(renamed["title"] == f"{title} again", "a new title", renamed)
    expect(api.session(made["id"])["title"] == renamed["title"], "the title that is kept")
    api.delete(made["id"])
    api.ask("GET", path, status=(404,))
    api.ask("DELETE", path, status=(404,))


def catalogue(visit):
    """What there is, over one connection that is kept."""
    paths = ("status", "models", "providers", "agents", "files?query=s", "openapi.json", "sessions?limit=5")
    with visit.api.link() as link:
        for path in paths:
            link.request("GET", f"/api/{path}")
            answer = link.getresponse()
            text = answer.read()
            expect(answer.status == 200, f"/api/{path} answers {answer.status}", text)
            json.loads(text)
        link.request("GET", "/metrics")
        text = link.getresponse().read()
        expect(b"opencode_uptime_seconds" in text, "/metrics", text)


def recovered(visit):
    """A provider that fails at first: the client hears of it, and gets its answer."""
    kind = random.choice(("limited", "shaky", "late"))
    story = streamed(visit, kind)
    expect(kind == "late" or "retry" in story.kinds, "no `retry` was told", story.kinds)


def failed(visit):
    """A provider that fails for good: `error` says how, and `done` follows."""
    kind = random.choice(list(FAILING))
    with visit.api.stream(visit.message(kind)) as events:
        story = Story().whole(events)
    expect(story.error is not None, f"a provider's `{kind}` is no error", story.kinds)
    expect(story.error["code"] == FAILING[kind], f"the code of `{kind}`", story.error)
    expect(story.end["finishReason"] == "error", f"the end after `{kind}`", story.end)
    if kind == "cut":
        said = "".join(token(visit.number, place) for place in range(min(3, TOKENS)))
        expect(story.text == said, "what was said before the cut", story.text)
    visit.api.delete(story.session)


def run_attach(visit):
    """`opencode run --attach`, a process of its own."""
    address = f"http://127.0.0.1:{visit.api.port}"
    command = visit.program.command("run", "--attach", address, "--format", "json", visit.message("text"))
    done = subprocess.run(
        command, cwd=visit.program.project, env=visit.program.env, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=PATIENCE, check=False,
    )
    expect(done.returncode == 0, "run --attach", done.stderr[-300:])
    told = [json.loads(line) for line in done.stdout.splitlines()]
    said = "".join(event["content"] for event in told if event["type"] == "text")
    expect(said == text_of("text", visit.number), "what run --attach printed", done.stdout[-300:])
    visit.api.delete(next(event["sessionId"] for event in told if event["type"] == "session"))


MALFORMED = (
    (b"GARBAGE\r\n\r\n", (400,)),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), (400,)),
    (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", (400, 505)),
    (b"GET /api/status HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", (403,)),
    (b"GET /api/status HTTP/1.1\r\n\r\n", (400,)),
    (b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", (431,)),
    (b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 6\r\n\r\nhello", (400,)),
    (b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello", (415,)),
    (b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{nope", (400,)),
    (b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n", (413,)),
    (b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", (400,)),
    (b"BREW /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n", (405,)),
    (b"POST /api/status HTTP/1.1\r\nHost: localhost\r\nOrigin: https://elsewhere.example\r\n\r\n", (403,)),
    (b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", (400, 426)),
)


def malformed(visit):
    request, statuses = random.choice(MALFORMED)
    with socket.create_connection(("127.0.0.1", visit.api.port), timeout=PATIENCE) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(request)
        # What is refused before it was read whole may be cut off.
        with contextlib.suppress(ConnectionError):
            line = link.makefile("rb").readline()
            status = int(line.split()[1]) if line.count(b" ") else 0
            expect(status in statuses, f"{request[:60]} is answered", line)


def half_request(visit):
    """Part of a request, and then nothing: the server ends it by its deadline, or the client goes."""
    whole = (
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 40\r\n\r\n{"message": "soak'
    )
    part = whole[: random.choice((1, 30, 80, len(whole)))]
    with socket.create_connection(("127.0.0.1", visit.api.port), timeout=PATIENCE) as link:
        link.sendall(part)
        if random.random() < 0.5:
            time.sleep(random.random())
            return
        with contextlib.suppress(ConnectionError):
            answer = link.makefile("rb").readline()
            expect(answer == b"" or b" 408 " in answer, "half a request is answered", answer)


def idle(visit):
    """A connection that stays without a word, and is used once more before it goes."""
    with visit.api.link() as link:
        link.request("GET", "/healthz")
        link.getresponse().read()
        time.sleep(random.uniform(1, 12))
        # The server may have closed it: it had waited long enough.
        with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
            link.request("GET", "/healthz")
            expect(link.getresponse().read() == b"ok\n", "the answer on an idle connection")


# How often each is done, for each hundred or so.
KINDS = {
    "chat, whole, twice in a session": (chat, 8),
    "chat, streamed": (streamed, 14),
    "chats over `/ws`, two at once": (websocket, 8),
    "tools, `bash` among them": (tools, 8),
    "permission asked and answered": (permission, 6),
    "turn aborted": (abort, 6),
    "client gone in mid-stream": (leave, 6),
    "slow reader": (slow_reader, 3),
    "stream resumed by `Last-Event-ID`": (resume, 8),
    "session made, listed, renamed, deleted": (sessions, 8),
    "catalogue and metrics": (catalogue, 4),
    "provider fails, then answers": (recovered, 5),
    "provider fails for good": (failed, 8),
    "`run --attach`": (run_attach, 3),
    "malformed request": (malformed, 10),
    "half a request": (half_request, 5),
    "connection that stays idle": (idle, 4),
}
