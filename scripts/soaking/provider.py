"""A provider that answers as the last message of a request asks it to, its faults included.

A message is `soak KIND NUMBER`, and NUMBER is never used twice, so text that belongs to one turn
and is told to another is seen. The bytes are those of the benchmark's provider.
"""

import json
import re
import socket
import socketserver
import threading
import time

from streams import HEAD, completion, sse_chunk

ASKED = re.compile(r"soak (\w+) (\d+)")
LAST = b"0\r\n\r\n"
TOKENS, LONG, BIG = 12, 400, 300
# What a shell is told to do for each kind of message that has one.
COMMANDS = {
    "bash": "echo one; sleep 0.1; echo two",
    "behind": "sleep 600 & echo left something behind",
    "endless": "sh again.sh",
    "ask": "touch asked-for",
}
FILE = "notes/soak.txt"
SCRIPT = ("again.sh", "while :; do echo again; sleep 0.05; done\n")


def text_of(kind, number):
    """What a turn of this kind says in the end; None where that is not known beforehand."""
    if kind in ("text", "late", "limited", "shaky", "bash", "behind", "ask", "files"):
        return "".join(token(number, place) for place in range(TOKENS))
    if kind == "big":
        return "".join(token(number, place) * 200 for place in range(BIG))
    return None


def token(number, place):
    return f"t{number}.{place};"


class Provider:
    """Serves on a port of its own until it is closed."""

    def __init__(self):
        self.server = Listener(("127.0.0.1", 0), Connection)
        self.server.provider = self
        self.port = self.server.server_address[1]
        self.lock, self.attempts, self.faults = threading.Lock(), {}, {}
        threading.Thread(target=self.server.serve_forever, name="provider", daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def attempt(self, number):
        """How often this message was sent before."""
        with self.lock:
            before = self.attempts.get(number, 0)
            self.attempts[number] = before + 1
            if len(self.attempts) > 10_000:
                self.attempts.pop(next(iter(self.attempts)))
            return before

    def fault(self, kind):
        with self.lock:
            self.faults[kind] = self.faults.get(kind, 0) + 1


class Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 1024

    def handle_error(self, *_):
        # A server that goes away in mid-answer is what many turns are there for.
        pass


class Connection(socketserver.StreamRequestHandler):
    def setup(self):
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.provider = self.server.provider

    def handle(self):
        while body := self.read():
            if not self.answer(json.loads(body)):
                return

    def read(self):
        length, line = 0, self.rfile.readline()
        while line.strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            line = self.rfile.readline()
        return self.rfile.read(length)

    def answer(self, asked):
        """Answers, and tells whether the connection stays."""
        messages = asked["messages"]
        asks = [place for place, one in enumerate(messages) if one["role"] == "user"]
        found = ASKED.search(json.dumps(messages[asks[-1]]["content"]))
        kind, number = (found[1], int(found[2])) if found else ("text", 0)
        has_result = any(one["role"] == "tool" for one in messages[asks[-1]:])
        if kind in COMMANDS and not has_result:
            return self.call([("bash", {"command": COMMANDS[kind]})])
        if kind == "files" and not has_result:
            text = f"written by {number}\n"
            return self.call([
                ("write_file", {"path": FILE, "content": text}),
                ("read_file", {"path": FILE}),
                ("list_dir", {"path": "."}),
                ("grep", {"pattern": "written by"}),
            ])
        return getattr(self, kind, self.text)(number)

    def send(self, data):
        self.request.sendall(data)

    def begin(self, number, count, apart):
        self.send(HEAD)
        for place in range(count):
            self.send(sse_chunk(completion({"content": token(number, place)})))
            time.sleep(apart)

    def end(self, reason="stop"):
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        whole = json.dumps({"id": "x", "choices": [], "usage": usage}).encode()
        self.send(sse_chunk(completion({}, reason)) + sse_chunk(whole) + sse_chunk(b"[DONE]") + LAST)
        return True

    def call(self, calls):
        self.send(HEAD)
        for place, (name, arguments) in enumerate(calls):
            function = {"name": name, "arguments": json.dumps(arguments)}
            one = {"index": place, "id": f"call_{place}", "type": "function", "function": function}
            self.send(sse_chunk(completion({"tool_calls": [one]})))
        return self.end("tool_calls")

    def refuse(self, status, fields="", body='{"error":{"message":"not now"}}'):
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}"
        self.send(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return True

    def text(self, number, apart=0.01):
        self.begin(number, TOKENS, apart)
        return self.end()

    def late(self, number):
        time.sleep(1)
        return self.text(number)

    def long(self, number):
        self.begin(number, LONG, 0.05)
        return self.end()

    def big(self, number):
        self.send(HEAD)
        for place in range(BIG):
            self.send(sse_chunk(completion({"content": token(number, place) * 200})))
        return self.end()

    # --- faults: those that pass, and those that fail the turn

    def limited(self, number):
        if self.provider.attempt(number):
            return self.text(number)
        self.provider.fault("429 with Retry-After, then an answer")
        return self.refuse("429 Too Many Requests", "Retry-After: 1\r\n")

    def shaky(self, number):
        if self.provider.attempt(number):
            return self.text(number)
        self.provider.fault("500, then an answer")
        return self.refuse("500 Internal Server Error")

    def patience(self, _number):
        self.provider.fault("429 that asks for an hour")
        return self.refuse("429 Too Many Requests", "Retry-After: 3600\r\n")

    def refused(self, _number):
        self.provider.fault("400")
        return self.refuse("400 Bad Request")

    def broken(self, _number):
        self.provider.fault("500 again and again")
        return self.refuse("500 Internal Server Error")

    def cut(self, number):
        self.provider.fault("cut in mid-stream")
        self.begin(number, 3, 0.01)
        return False

    def mute(self, number):
        self.provider.fault("silence until the time is up")
        self.begin(number, 1, 0)
        self.rfile.read(1)
        return False

    def garbage(self, _number):
        self.provider.fault("garbage in the stream")
        self.send(HEAD + sse_chunk(b"{\xff\x00 not JSON") + LAST)
        return True

    def page(self, _number):
        self.provider.fault("a web page for an answer")
        body = "<html>" + "x" * 5000
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
        self.send((head + body).encode())
        return True
