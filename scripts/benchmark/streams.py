"""Event streams, both ends of them in one loop and on one clock.

`Loop` is a mock of an OpenAI-compatible provider and the clients of the program under test at
once: one thread, one selector. It notes the time just before it writes a token as the provider
and just after it has read that token as a client, so the difference is what the program in
between adds, and what the loop itself adds is measured by a client that asks the mock directly.

A message `bench-stream-N` names a stream; its tokens are `tN.0;`, `tN.1;` and so on.
"""

import heapq
import json
import random
import re
import selectors
import socket
import time

from programs import Failed

NAME = re.compile(rb"bench-stream-(\d+)")
TOKEN = re.compile(rb"t(\d+)\.(\d+);")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def sse_chunk(data):
    line = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


def completion(delta, reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    whole = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "mock"}
    return json.dumps({**whole, "choices": [choice]}).encode()


class Plan:
    """What the provider sends: so many tokens, so many seconds apart; with `held`, all but the
    first wait for `Loop.release`."""

    def __init__(self, tokens, apart, held=False):
        self.tokens, self.apart, self.held = tokens, apart, held


class Loop:
    def __init__(self, port):
        self.selector = selectors.DefaultSelector()
        self.timers, self.count = [], 0
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.reset(Plan(1, 0))

    def reset(self, plan):
        self.plan, self.wrote, self.seen = plan, {}, {}
        self.waiting = []

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def accept(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except BlockingIOError:
                return
            Asked(self, link)

    def after(self, seconds, action):
        self.count += 1
        heapq.heappush(self.timers, (time.monotonic() + seconds, self.count, action))

    def release(self):
        for asked in self.waiting:
            self.after(random.uniform(0, asked.plan.apart), asked.token)
        self.waiting = []

    def run(self, done, limit):
        """Runs until `done()`, and tells whether that was within `limit` seconds."""
        end = time.monotonic() + limit
        while not done():
            now = time.monotonic()
            if now > end:
                return False
            while self.timers and self.timers[0][0] <= now:
                heapq.heappop(self.timers)[2]()
            wait = self.timers[0][0] - time.monotonic() if self.timers else 0.1
            for key, _ in self.selector.select(max(0, min(wait, 0.1))):
                key.data()
        return True

    def serve(self, stopped):
        """Is the provider alone, for programs that another thread runs."""
        self.run(stopped, 3600)

    def delays(self):
        """Milliseconds from write to arrival: of first tokens, and of later ones."""
        both = [(key, (self.seen[key] - self.wrote[key]) / 1e6) for key in self.seen]
        first = [delay for (_, number), delay in both if number == 0]
        return first, [delay for (_, number), delay in both if number > 0]


class Link:
    """One connection in the loop, whose bytes go to `take`."""

    def __init__(self, loop, link):
        self.loop, self.link = loop, link
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        loop.selector.register(link, selectors.EVENT_READ, self.readable)

    def readable(self):
        try:
            data = self.link.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.monotonic_ns()
        if data:
            self.take(data, now)
        else:
            self.close()

    def close(self):
        if self.link.fileno() >= 0:
            self.loop.selector.unregister(self.link)
            self.link.close()


class Asked(Link):
    """A connection that the mock provider was asked on."""

    def take(self, data, now):
        self.buffer += data
        head, split, body = self.buffer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if not split or len(body) < int(length[1] if length else 0):
            return
        self.buffer = b""
        self.plan, self.number = self.loop.plan, 0
        names = NAME.findall(body)
        self.name = int(names[-1]) if names else -1
        self.token()

    def token(self):
        """Sends the next token, the first one in one write with the head."""
        loop, number = self.loop, self.number
        text = f"t{self.name}.{number};" if self.name >= 0 else "hello "
        bytes_ = sse_chunk(completion({"content": text}))
        if number == 0:
            bytes_ = HEAD + bytes_
        loop.wrote.setdefault((self.name, number), time.monotonic_ns())
        if not self.send(bytes_):
            return
        self.number += 1
        if self.number >= self.plan.tokens or self.name < 0:
            loop.after(self.plan.apart, self.end)
        elif self.plan.held and self.number == 1:
            loop.waiting.append(self)
        else:
            loop.after(self.plan.apart, self.token)

    def end(self):
        usage = b'{"id":"x","object":"chat.completion.chunk","created":1,"model":"mock","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
        stop = sse_chunk(completion({}, "stop")) + sse_chunk(usage)
        self.send(stop + sse_chunk(b"[DONE]") + b"0\r\n\r\n")

    def send(self, data):
        try:
            self.link.sendall(data)
            return True
        except OSError:
            self.close()
            return False


class Client(Link):
    """A client of the program: sends one request, then reads lines."""

    def __init__(self, loop, port, path, body=None, lines=None, gone=None):
        super().__init__(loop, socket.create_connection(("127.0.0.1", port)))
        self.lines, self.gone = lines, gone
        if body is None:
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
            self.link.sendall(head.encode())
        else:
            text = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
            self.link.sendall(head.encode() + text)

    def take(self, data, now):
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            for name, number in TOKEN.findall(line):
                self.loop.seen.setdefault((int(name), int(number)), now)
            if self.lines:
                self.lines(line)

    def readable(self):
        super().readable()
        if self.link.fileno() < 0 and self.gone:
            self.gone()


class Streams:
    """So many streams at once by one way, and which of them ended well."""

    def __init__(self, loop):
        self.loop, self.ended, self.failed = loop, set(), set()

    def over(self):
        return len(self.ended | self.failed)


class Direct(Streams):
    """Straight to the mock: what the loop itself takes."""

    path, last, wrong = "/v1/chat/completions", b"[DONE]", b'"error"'

    def __init__(self, loop, _server=None):
        super().__init__(loop)
        self.port = loop.port

    def body(self, name):
        return {"messages": [{"role": "user", "content": f"bench-stream-{name}"}]}

    def prepare(self, count):
        pass

    def start(self, name):
        def line(text):
            if self.wrong in text:
                self.failed.add(name)
            if self.last in text and name not in self.ended:
                self.ended.add(name)
                client.close()

        def gone():
            if name not in self.ended:
                self.failed.add(name)

        client = Client(self.loop, self.port, self.path, self.body(name), line, gone)


class Ours(Direct):
    """`POST /api/chat/stream`, a connection a stream."""

    path, last, wrong = "/api/chat/stream", b'"type":"done"', b'"type":"error"'

    def __init__(self, loop, server):
        super().__init__(loop)
        self.port = server.port

    def body(self, name):
        return {"message": f"bench-stream-{name}"}


class Peer(Streams):
    """OpenCode: `POST /session/ID/prompt_async`, and one `GET /event` for all of them."""

    def __init__(self, loop, server):
        super().__init__(loop)
        self.port = server.port
        self.sessions = {}
        self.feed = Client(loop, self.port, "/event", lines=self.line)

    def prepare(self, count):
        """Creates the sessions; one with a title of its own asks no model for one."""
        created = []

        def line(text):
            found = re.search(rb'"id":"(ses_\w+)"', text)
            if found:
                created.append(found[1].decode())

        for number in range(count):
            client = Client(self.loop, self.port, "/session", {"title": "bench"})
            client.take = lambda data, _now: line(data)
            if not self.loop.run(lambda wanted=number: len(created) > wanted, 30):
                raise Failed("OpenCode creates no session")
            client.close()
        self.fresh = created
        self.ended, self.failed, self.sessions = set(), set(), {}

    def start(self, name):
        session = self.fresh.pop()
        self.sessions[session.encode()] = name
        body = {"parts": [{"type": "text", "text": f"bench-stream-{name}"}]}
        Client(self.loop, self.port, f"/session/{session}/prompt_async", body)

    def line(self, text):
        if b'"session.idle"' in text or b'"session.error"' in text:
            session = re.search(rb'"sessionID":"(ses_\w+)"', text)
            name = self.sessions.get(session[1]) if session else None
            if name is not None:
                (self.ended if b'"session.idle"' in text else self.failed).add(name)
