"""The measurements. Each returns plain figures; none knows how they are printed."""

import contextlib
import ctypes
import os
import random
import re
import signal
import statistics
import struct
import subprocess
import threading
import time

from programs import Failed, run, wrk
from streams import Loop, Plan

CONNECTIONS = (1, 8, 64)


def size(path):
    """Megabytes of a binary, and whether it is static: it names no interpreter."""
    with open(path, "rb") as binary:
        head = binary.read(64)
        offset, = struct.unpack_from("<Q", head, 32)
        each, count = struct.unpack_from("<HH", head, 54)
        binary.seek(offset)
        table = binary.read(each * count)
    kinds = [struct.unpack_from("<I", table, each * number)[0] for number in range(count)]
    return os.path.getsize(path) / 1e6, 3 not in kinds


def starts(program, times):
    """Milliseconds to the first answer, of so many starts, after one that is not counted."""
    figures = []
    for number in range(times + 1):
        server = program.serve()
        try:
            took = server.first_answer()
        finally:
            server.stop()
        if number:
            figures.append(took)
    return figures


def load(server, path, connections, seconds):
    """Requests per second that are answered with 200."""
    command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{server.port}{path}"]
    done = run(command, seconds + 60, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    rate = re.search(r"Requests/sec: *([\d.]+)", done.stdout)
    if done.returncode or not rate or re.search(r"Non-2xx|Socket errors", done.stdout):
        raise Failed(f"wrk met errors on port {server.port}, {path}: {done.stdout}{done.stderr}")
    return float(rate[1])


def loads(contenders, rounds, seconds):
    """Medians for every contender and number of connections, in alternating runs, of which each
    round begins with another one.

    A contender is a key, a server and a path.
    """
    figures = {}
    for connections in CONNECTIONS:
        for _, server, path in contenders:
            load(server, path, connections, 1)
        for number in range(rounds):
            first = number % len(contenders)
            for key, server, path in contenders[first:] + contenders[:first]:
                rate = load(server, path, connections, seconds)
                figures.setdefault((key, connections), []).append(rate)
    return {key: statistics.median(rates) for key, rates in figures.items()}


def delays(loop, streams, count, rounds, tokens, apart):
    """Delays of first and of later tokens with `count` streams at a time."""
    first, later = [], []
    for _ in range(rounds):
        loop.reset(Plan(tokens, apart))
        streams.prepare(count)
        streams.ended, streams.failed = set(), set()
        for name in range(count):
            # Streams that are in step would measure the queue of this loop.
            loop.after(random.uniform(0, apart) if count > 1 else 0.02, lambda n=name: streams.start(n))
        if not loop.run(lambda: streams.over() == count, 120):
            raise Failed("the streams did not end")
        if streams.failed:
            raise Failed(f"{len(streams.failed)} of {count} streams failed")
        more = loop.delays()
        first, later = first + more[0], later + more[1]
    return first, later


def all_delays(ways, port, count, rounds, tokens, apart):
    """The same for several ways in alternating rounds: name → (first, later)."""
    loop = Loop(port)
    figures = {name: ([], []) for name in ways}
    try:
        made = {name: way(loop) for name, way in ways.items()}
        for number in range(rounds + 1):
            for name, streams in made.items():
                first, later = delays(loop, streams, count, 1, tokens, apart)
                if number:
                    figures[name][0].extend(first)
                    figures[name][1].extend(later)
    finally:
        loop.close()
    return figures


def spread(figures):
    """Minimum, median, 90 % and 99 %."""
    ordered = sorted(figures)

    def place(part):
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    return ordered[0], statistics.median(ordered), place(0.9), place(0.99)


@contextlib.contextmanager
def open_streams(way, server, port, count, limit):
    """`count` streams that are held after their first token as long as the block lasts, in which
    the loop stands still; both ends of all are closed after it."""
    loop = Loop(port)
    try:
        streams = way(loop, server)
        loop.reset(Plan(3, 0.2, held=True))
        streams.prepare(count)
        for name in range(count):
            loop.after(name * 0.001, lambda n=name: streams.start(n))
        loop.run(lambda: len(loop.seen) >= count or streams.over() >= count, limit)
        loop.run(lambda: False, 0.5)
        yield loop, streams
    finally:
        loop.close()


def held(way, server, port, count, limit):
    """Opens `count` streams, holds them after their first token, lets them end.

    Returns how many had their first token, memory and threads while they were held, how many
    ended well, and memory 2 s after.
    """
    with open_streams(way, server, port, count, limit) as (loop, streams):
        opened = len(loop.seen)
        during, threads = server.memory(), server.threads()
        loop.release()
        loop.run(lambda: streams.over() >= opened, limit)
        ended = len(streams.ended)
    time.sleep(2)
    return {"opened": opened, "during": during, "threads": threads, "ended": ended, "after": server.memory()}


def abandoned(way, server, port, count, rounds, limit):
    """Opens `count` streams, whose clients are gone after the first token, again and again.

    Returns memory while they were open and 2 s after they were gone, of each round.
    """
    figures = []
    for _ in range(rounds):
        with open_streams(way, server, port, count, limit) as (loop, _):
            if len(loop.seen) < count:
                raise Failed(f"{len(loop.seen)} of {count} streams had a token within {limit} s")
            during = server.memory()
        time.sleep(2)
        figures.append((during, server.memory()))
    return figures


def complete(way, server, port, count, tokens, apart, limit):
    """Starts `count` streams at once. Returns how many ended well and had every token, and the
    seconds until the last of them."""
    loop = Loop(port)
    try:
        streams = way(loop, server)
        loop.reset(Plan(tokens, apart))
        streams.prepare(count)
        began = time.monotonic()
        for name in range(count):
            loop.after(0, lambda n=name: streams.start(n))
        loop.run(lambda: streams.over() >= count, limit)
        took = time.monotonic() - began
        whole = [n for n in streams.ended if all((n, k) in loop.seen for k in range(tokens))]
        return len(whole), took
    finally:
        loop.close()


class Provider:
    """The mock provider on a thread, for commands that run on their own."""

    def __init__(self, port):
        self.loop, self.stopped = Loop(port), False
        self.loop.reset(Plan(1, 0))
        self.thread = threading.Thread(target=self.loop.serve, args=(lambda: self.stopped,))
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()
        self.loop.close()


def prompted(server, port, prompt, sessions, each):
    """Memory 2 s after so many prompts in each of so many sessions, one after the other.

    `prompt` takes a server and a session, or none for a new one, and returns the session.
    """
    with Provider(port):
        for _ in range(sessions):
            session = None
            for _ in range(each):
                session = prompt(server, session)
    time.sleep(2)
    return server.memory()


def prompt_ours(server, session):
    body = {"message": "hello", **({"sessionId": session} if session else {})}
    answer, _ = server.ask("POST", "/api/chat", body)
    if "hello" not in answer["content"]:
        raise Failed(f"a prompt had another answer than the model's: {answer}")
    return answer["sessionId"]


def prompt_peer(server, session):
    # One with a title of its own asks no model for one.
    session = session or server.ask("POST", "/session", {"title": "bench"})[0]["id"]
    body = {"parts": [{"type": "text", "text": "hello"}]}
    answer, _ = server.ask("POST", f"/session/{session}/message", body)
    if not any("hello" in part.get("text", "") for part in answer["parts"]):
        raise Failed(f"a prompt had another answer than the model's: {answer}")
    return session


COMMAND_LIMIT = 120


def command(program, arguments, times):
    """Median milliseconds of a command, and the median of its peak memory in megabytes."""
    walls, peaks = [], []
    for number in range(times + 1):
        began = time.monotonic_ns()
        done = run(
            program.command(*arguments), COMMAND_LIMIT, cwd=program.project, env=program.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        took = (time.monotonic_ns() - began) / 1e6
        if done.returncode or b"hello" not in done.stdout:
            raise Failed(f"{program.binary} {' '.join(arguments)} gave no answer: {done.stderr[-300:]}")
        if number:
            walls.append(took)
    for _ in range(max(1, times // 3)):
        peaks.append(peak(program, arguments))
    return statistics.median(walls), statistics.median(peaks)


def peak(program, arguments):
    """Peak resident megabytes of a command.

    The kernel counts what a process held *before* exec as well, so a child of this interpreter
    could never show less than the interpreter. A shell, which is small, starts the command
    instead and goes, and the command becomes ours to wait for.
    """
    prctl, adopt_orphans = ctypes.CDLL(None).prctl, 36
    prctl(adopt_orphans, 1, 0, 0, 0)
    script = '"$@" >/dev/null 2>&1 </dev/null & echo $!'
    shell = subprocess.run(
        ["sh", "-c", script, "sh", *program.command(*arguments)],
        cwd=program.project, env=program.env, stdout=subprocess.PIPE, check=True,
    )
    pid, end = int(shell.stdout), time.monotonic() + COMMAND_LIMIT
    try:
        while True:
            ended, _, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                return usage.ru_maxrss / 1024
            if time.monotonic() > end:
                raise Failed(f"{program.binary} {' '.join(arguments)} did not end within {COMMAND_LIMIT} s")
            time.sleep(0.001)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        prctl(adopt_orphans, 0, 0, 0, 0)
