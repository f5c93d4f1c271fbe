"""How the cost of a session grows with its history: one real turn, repeated in its log."""

import json
import pathlib
import re
import statistics
import time
import urllib.request
import zlib

MESSAGES = (2, 100, 1000, 10000)
HEADER = "opencode-log 1\n"


def ask(server, method, path, body=None):
    """An answer and the milliseconds it took."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data, method=method)
    request.add_header("Content-Type", "application/json")
    began = time.monotonic_ns()
    with urllib.request.urlopen(request, timeout=120) as answer:
        text = answer.read()
    return json.loads(text or "null"), (time.monotonic_ns() - began) / 1e6


def prompt(server, session):
    body = {"message": "What can you do?", "sessionId": session, "model": "offline/guide"}
    return ask(server, "POST", "/api/chat", body)


def appending(server, session):
    """Milliseconds from the first text of a turn, which follows all reading, to its end on disk."""
    body = {"message": "What can you do?", "sessionId": session, "model": "offline/guide"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/chat/stream", json.dumps(body).encode(), method="POST"
    )
    request.add_header("Content-Type", "application/json")
    began = None
    with urllib.request.urlopen(request, timeout=120) as answer:
        for line in answer:
            if began is None and b'"type":"text"' in line:
                began = time.monotonic_ns()
            if b'"type":"done"' in line:
                return (time.monotonic_ns() - began) / 1e6
    raise RuntimeError("a turn did not end")


def lengthen(log, messages):
    """Repeats the only turn of a log until the session has so many messages."""
    lines = log.read_text().removeprefix(HEADER).splitlines()
    with open(log, "w", encoding="utf-8") as out:
        out.write(HEADER)
        for turn in range(messages // 2):
            for line in lines:
                _, last, entries = line.split(" ", 2)
                shift = turn << 32
                entries = re.sub(r'"id":(\d{9,})', lambda m: f'"id":{int(m[1]) + shift}', entries)
                # Messages keep ids of their own: another random end for each turn.
                entries = re.sub(r'([0-9a-z]{30})[0-9a-z]{6}(?=",)', lambda m: f"{m[1]}{turn:06d}", entries) if turn else entries
                rest = f"{int(last) + shift} {entries}"
                out.write(f"{zlib.crc32(rest.encode()):08x} {rest}\n")


def growth(program, times):
    """Milliseconds to open a session, for a turn in it and for that turn's appending alone, by its
    number of messages."""
    figures = {}
    for messages in MESSAGES:
        server = program.serve()
        server.first_answer()
        session = prompt(server, None)[0]["sessionId"]
        server.stop()
        store = pathlib.Path(program.env["HOME"]) / ".local/share/opencode-server"
        lengthen(next(store.glob(f"projects/*/sessions/{session}.log")), messages)
        server = program.serve()
        server.first_answer()
        kept = len(ask(server, "GET", f"/api/sessions/{session}")[0]["messages"])
        if kept != messages:
            raise RuntimeError(f"{kept} messages are read where {messages} were written")
        opened = [ask(server, "GET", f"/api/sessions/{session}")[1] for _ in range(times)]
        page = [ask(server, "GET", f"/api/sessions/{session}?limit=50")[1] for _ in range(times)]
        turns = [prompt(server, session)[1] for _ in range(times)]
        appended = [appending(server, session) for _ in range(times)]
        server.stop()
        figures[messages] = tuple(statistics.median(each) for each in (opened, page, turns, appended))
    return figures
