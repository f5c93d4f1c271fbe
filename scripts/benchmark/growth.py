"""How cost grows: of a session with its history, one real turn repeated in its log; of a server
with the sessions in its store, one real session copied.
"""

import json
import re
import statistics
import time
import urllib.request
import zlib

import measures
from programs import DIRECT, Failed

MESSAGES = (2, 100, 1000, 10000)
STORED, PEER_STORED = (0, 100, 1000, 10000), (0, 100, 1000)
HEADER = "opencode-log 1\n"


def prompt(server, session):
    body = {"message": "What can you do?", "sessionId": session, "model": "offline/guide"}
    return server.ask("POST", "/api/chat", body)


def appending(server, session):
    """Milliseconds from the first text of a turn, which follows all reading, to its end on disk."""
    body = {"message": "What can you do?", "sessionId": session, "model": "offline/guide"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/chat/stream", json.dumps(body).encode(), method="POST"
    )
    request.add_header("Content-Type", "application/json")
    began = None
    with DIRECT.open(request, timeout=120) as answer:
        for line in answer:
            if began is None and b'"type":"text"' in line:
                began = time.monotonic_ns()
            if b'"type":"done"' in line:
                return (time.monotonic_ns() - began) / 1e6
    raise Failed("a turn did not end")


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
                if turn:
                    entries = re.sub(r'([0-9a-z]{30})[0-9a-z]{6}(?=",)', lambda m: f"{m[1]}{turn:06d}", entries)
                out.write(checked(f"{int(last) + shift} {entries}"))


def checked(record):
    """A line of a log: its checksum and the record."""
    return f"{zlib.crc32(record.encode()):08x} {record}\n"


def folder_of_sessions(program):
    found = list(program.home.glob(".local/share/opencode-server/projects/*/sessions"))
    if len(found) != 1:
        raise Failed(f"{program.home} has {len(found)} stores where one was expected")
    return found[0]


def history(program, times):
    """Milliseconds to open a session, whole and its last 50 messages, for a turn in it and for that
    turn's appending alone, by its number of messages."""
    figures = {}
    for messages in MESSAGES:
        server = program.serve()
        server.first_answer()
        session = prompt(server, None)[0]["sessionId"]
        server.stop()
        lengthen(folder_of_sessions(program) / f"{session}.log", messages)
        server = program.serve()
        server.first_answer()
        kept = len(server.ask("GET", f"/api/sessions/{session}")[0]["messages"])
        if kept != messages:
            raise Failed(f"{kept} messages are read where {messages} were written")
        opened = [server.ask("GET", f"/api/sessions/{session}")[1] for _ in range(times)]
        page = [server.ask("GET", f"/api/sessions/{session}?limit=50")[1] for _ in range(times)]
        turns = [prompt(server, session)[1] for _ in range(times)]
        appended = [appending(server, session) for _ in range(times)]
        server.stop()
        figures[messages] = tuple(statistics.median(each) for each in (opened, page, turns, appended))
    return figures


def stored(program, fill, path, counts, starts, times):
    """What a server costs with so many sessions in its store.

    `fill` takes the program, how many it has and how many it is to have; `path` lists them all.
    Returns, by their number: milliseconds of a start, megabytes 1 s after it, milliseconds of the
    first list and of those that follow, megabytes 1 s after them.
    """
    figures, there = {}, 0
    for count in counts:
        if count > there:
            fill(program, there, count)
        there = count
        start = measures.spread(measures.starts(program, starts))[1]
        server = program.serve()
        server.first_answer()
        time.sleep(1)
        fresh = server.memory()
        sessions, first = server.ask("GET", path)
        if len(sessions) != count:
            raise Failed(f"{program.binary} lists {len(sessions)} sessions of {count}")
        later = statistics.median(server.ask("GET", path)[1] for _ in range(times))
        time.sleep(1)
        figures[count] = {
            "start": start, "fresh": fresh, "first": first, "later": later, "listed": server.memory(),
        }
        server.stop()
    return figures


def fill_ours(program, there, count):
    """Copies of one real session, each under an id of its own."""
    if not there:
        server = program.serve()
        server.first_answer()
        prompt(server, None)
        server.stop()
        there = 1
    folder = folder_of_sessions(program)
    head = min(folder.glob("*.head"))
    told, log = head.read_text(), head.with_suffix(".log").read_text()
    records = [line.split(" ", 1)[1] for line in log.removeprefix(HEADER).splitlines()]
    for number in range(there, count):
        session = f"{head.stem[:-6]}{number:06d}"
        (folder / f"{session}.head").write_text(told.replace(head.stem, session))
        copies = (checked(record.replace(head.stem, session)) for record in records)
        (folder / f"{session}.log").write_text(HEADER + "".join(copies))


def fill_peer(program, there, count):
    """Sessions without messages: it takes no others without asking a model."""
    server = program.serve()
    server.first_answer()
    for _ in range(there, count):
        server.ask("POST", "/session", {"title": "bench"})
    server.stop()
