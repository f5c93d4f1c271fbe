"""What a client says and hears: requests, event streams, and a WebSocket."""

import base64
import contextlib
import http.client
import json
import os
import socket
import struct

PATIENCE = 60


class Wrong(Exception):
    """A client did not get what it must; the text says what."""


def expect(holds, what, got=""):
    if not holds:
        raise Wrong(f"{what}: {str(got)[:300]}" if got != "" else what)


class Api:
    """The API of the server under test."""

    def __init__(self, port):
        self.port = port

    def link(self):
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE))

    def ask(self, method, path, body=None, status=(200,)):
        """A whole answer, which must have one of these statuses."""
        with self.link() as link:
            link.request(method, path, *payload(body))
            answer = link.getresponse()
            text = answer.read()
        expect(answer.status in status, f"{method} {path} answers {answer.status}", text)
        return json.loads(text) if text.startswith((b"{", b"[")) else text

    @contextlib.contextmanager
    def events(self, method, path, body=None, fields=None):
        """The events of a stream as they come: pairs of id and event."""
        with self.link() as link:
            data, headers = payload(body)
            link.request(method, path, data, {**headers, **(fields or {})})
            answer = link.getresponse()
            expect(answer.status == 200, f"{method} {path} answers {answer.status}")
            yield parsed(answer)

    def stream(self, message, **more):
        return self.events("POST", "/api/chat/stream", {"message": message, **more})

    def follow(self, session, after):
        fields = {"Last-Event-ID": str(after)}
        return self.events("GET", f"/api/sessions/{session}/events", fields=fields)

    def session(self, session):
        return self.ask("GET", f"/api/sessions/{session}")

    def delete(self, session):
        self.ask("DELETE", f"/api/sessions/{session}", status=(204,))


def payload(body):
    if body is None:
        return None, {}
    return json.dumps(body).encode(), {"Content-Type": "application/json"}


def parsed(answer):
    number = None
    while line := answer.readline():
        name, _, value = line.strip().partition(b": ")
        if name == b"id":
            number = int(value)
        elif name == b"data":
            yield number, json.loads(value)
            number = None


class Story:
    """The events of one turn, put together and looked at as they come."""

    def __init__(self, last=None):
        self.session, self.text, self.last, self.kinds, self.end = None, "", last, [], None
        self.error, self.gap = None, False

    def add(self, number, event):
        kind = event["type"]
        if kind == "session_changed":
            return kind
        if kind == "gap":
            self.gap, self.last = True, None
            return kind
        expect(self.end is None, "an event after `done`", event)
        expect(self.last is None or number == self.last + 1, f"{number} follows {self.last}", event)
        if self.last is None and not self.gap:
            expect(kind == "session", "the first event", event)
        self.last = number
        self.kinds.append(kind)
        if kind == "session":
            self.session = event["sessionId"]
        elif kind == "text":
            self.text += event["content"]
        elif kind == "error":
            self.error = event
        elif kind == "done":
            self.end = event
        return kind

    def whole(self, events):
        """Takes events up to `done`, which must come."""
        for number, event in events:
            if self.add(number, event) == "done":
                return self
        raise Wrong(f"a stream ended without `done`, after {self.kinds[-3:]}")


class WebSocket:
    """A client of RFC 6455, of text frames alone."""

    def __init__(self, port):
        self.link = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.input = self.link.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.link.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = self.input.readline()
        expect(b" 101 " in head, "no WebSocket", head)
        while self.input.readline().strip():
            pass

    def close(self):
        self.input.close()
        self.link.close()

    def send(self, message):
        self.frame(1, json.dumps(message).encode())

    def frame(self, kind, data):
        mask = os.urandom(4)
        size = len(data)
        head = bytes([0x80 | kind, 0x80 | (size if size < 126 else 126)])
        if size >= 126:
            head += struct.pack(">H", size)
        masked = bytes(byte ^ mask[place & 3] for place, byte in enumerate(data))
        self.link.sendall(head + mask + masked)

    def messages(self):
        """What comes, until the server closes."""
        while head := self.input.read(2):
            kind, size = head[0] & 15, head[1] & 127
            if size >= 126:
                size, = struct.unpack(*((">H", self.input.read(2)) if size == 126 else (">Q", self.input.read(8))))
            data = self.input.read(size)
            if kind == 9:
                self.frame(10, data)
            elif kind == 8:
                return
            elif kind == 1:
                yield json.loads(data)
