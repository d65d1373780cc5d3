"""Rounds of HUP or USR2 under constant load from clients that never try again: what was lost?

`python -m blackbox.support.rolling --rounds 200` in the folder tests, or `make rolling`.
"""

import argparse
import collections
import hashlib
import itertools
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from blackbox.support.site import MODES, Site
from blackbox.support.upgrading import pid_in, workers_of
from blackbox.support.waiting import poll

PIPELINED = 5
BODY_BYTES_MAX = 200_000


class Client(threading.Thread):
    """One client in a thread: sends requests of its kind, checks each answer, retries nothing."""

    numbers = itertools.count()

    def __init__(self, crowd, kind):
        super().__init__(daemon=True)
        self.crowd, self.kind, self.number = crowd, kind, next(self.numbers)
        self.connection = self.reader = None
        self.random = random.Random(self.number)
        self.sent = 0

    def run(self):
        """Ask until told to stop."""
        while not self.crowd.stopping.is_set():
            began = time.monotonic()
            try:
                count = getattr(self, self.kind)()
                self.crowd.answered[self.kind] += count
            except (OSError, AssertionError) as why:
                self.crowd.lost.append(f"{self.kind} after {time.monotonic() - began:.3f} s at {time.strftime('%T')}: {why!r}")
                self.close()
            self.crowd.slowest[self.kind] = max(self.crowd.slowest[self.kind], time.monotonic() - began)

    def close(self):
        """Leave the connection."""
        if self.connection:
            self.reader.close()
            self.connection.close()
            self.connection = None

    def open(self):
        """Connect unless there is a connection."""
        if not self.connection:
            self.connection = socket.create_connection(("127.0.0.1", self.crowd.port), 30)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.reader = self.connection.makefile("rb")

    def path(self):
        """Give a path nobody else asks for; now and then one whose answer takes a while."""
        self.sent += 1
        return f"/{self.number}/{self.sent}" + ("?0.02" if self.random.random() < 0.05 else "")

    def read(self, method, path, body=b""):
        """Read one answer and hold it to its request. Give whether the connection goes on."""
        head = []
        while (line := self.reader.readline()) not in (b"\r\n", b""):
            head.append(line.decode().strip())
        assert line, f"the connection ended in place of an answer, after {head}"
        assert head[0] == "HTTP/1.1 200 OK", head
        fields = dict(field.lower().split(": ", 1) for field in head[1:])
        answer = self.reader.read(int(fields["content-length"])).decode()
        expected = f"{method} {path.partition('?')[0]} {len(body)} {hashlib.sha1(body).hexdigest()}"
        assert answer == expected, f"{answer!r} is no answer to {expected!r}"
        return fields.get("connection") != "close"

    # ---- kinds; each gives how many requests were answered ----

    def kept(self):
        """GET on a connection that is kept."""
        self.open()
        path = self.path()
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        if not self.read("GET", path):
            self.close()
        return 1

    def single(self):
        """GET on a connection of its own, up to the end."""
        path = self.path()
        self.open()
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        assert not self.read("GET", path), "it said close"
        assert self.reader.read(1) == b"", "bytes behind the answer"
        self.close()
        return 1

    def posted(self):
        """POST a body in two parts on a connection that is kept."""
        self.open()
        path, body = self.path(), self.random.randbytes(self.random.randrange(BODY_BYTES_MAX))
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        half = len(body) // 2
        self.connection.sendall(head + body[:half])
        time.sleep(0.002)  # so that the server has the one without the other now and then
        self.connection.sendall(body[half:])
        if not self.read("POST", path, body):
            self.close()
        return 1

    def pipelined(self):
        """Send some GETs at once and read their answers."""
        self.open()
        paths = [self.path() for _ in range(PIPELINED)]
        self.connection.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths))
        for path in paths:
            goes_on = self.read("GET", path)
        if not goes_on:
            self.close()
        return PIPELINED


class Crowd:
    """Clients of all kinds at once."""

    def __init__(self, port, each=2):
        self.port = port
        self.stopping = threading.Event()
        self.answered, self.slowest, self.lost = collections.Counter(), collections.Counter(), []
        self.clients = [Client(self, kind) for kind in ("kept", "single", "posted", "pipelined") for _ in range(each)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *failure):
        self.stopping.set()
        for client in self.clients:
            client.join(60)
        stuck = [client.kind for client in self.clients if client.is_alive()]
        if stuck:
            self.lost.append(f"still waiting for an answer: {stuck}")


def hup(site, arbiter):
    """Reload, and wait for the old workers to be gone. Give the arbiter."""
    before = set(workers_of(arbiter))
    os.kill(arbiter, signal.SIGHUP)
    poll(lambda: not before & set(workers_of(arbiter)), 30, lambda: f"other workers\n{site.log[-3000:]}")
    poll(lambda: len(workers_of(arbiter)) >= site.count, 30, "as many workers as there should be")
    return arbiter


def usr2(site, arbiter):
    """Start a new server, tell the old one to leave once the new one has a worker. Give the new arbiter."""
    os.kill(arbiter, signal.SIGUSR2)
    new = poll(lambda: pid_in(Path(f"{site.pidfile}.2")), 30, lambda: f"a new server\n{site.log[-3000:]}")
    poll(lambda: workers_of(new), 30, lambda: f"a worker of the new server\n{site.log[-3000:]}")
    os.kill(arbiter, signal.SIGTERM)
    poll(lambda: pid_in(site.pidfile) == new, 60, lambda: f"the promotion of {new}\n{site.log[-3000:]}")
    return new


def roll(site, how, rounds, each=2):
    """Do the rounds under load. Give the crowd and the arbiter that serves at the end."""
    arbiter = site.pid
    poll(lambda: workers_of(arbiter), 20, "a worker")
    with Crowd(site.port, each) as crowd:
        for _ in range(rounds):
            arbiter = how(site, arbiter)
            if site.process.poll() is None and arbiter != site.pid:
                site.process.wait(30)
    return crowd, arbiter


def end(site, arbiter):
    """Stop the server that is left."""
    os.kill(arbiter, signal.SIGTERM)
    poll(lambda: not site.processes(), 30, lambda: f"the end of {site.processes()}\n{site.log[-3000:]}")
    if site.process.poll() is None:
        site.process.wait(10)


def start(folder, workers, *args):
    """Start the server that is rolled, with a pid file."""
    site = Site(folder, "echoing:app", "-w", workers, "--keep-alive", "75", "--pid", folder / "pid", *args)
    site.pidfile, site.count = folder / "pid", workers
    return site.wait_listening()


def main():
    """Roll each kind of worker by each signal; print what was answered and lost. Exit status 1 when anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--modes", nargs="*", default=list(MODES))
    parser.add_argument("--signals", nargs="*", default=["hup", "usr2"])
    options = parser.parse_args()
    failed = False
    for mode, name in itertools.product(options.modes, options.signals):
        with tempfile.TemporaryDirectory(prefix="tricorn-rolling-") as folder:
            site = start(Path(folder), options.workers, *MODES[mode])
            began = time.monotonic()
            try:
                crowd, arbiter = roll(site, {"hup": hup, "usr2": usr2}[name], options.rounds)
                end(site, arbiter)
            except BaseException:
                site.kill()
                raise
            words = ", ".join(f"{kind} {count}" for kind, count in crowd.answered.items())
            print(f"{mode} {name}: {options.rounds} rounds in {time.monotonic() - began:.0f} s, answered {words}; "
                  f"slowest {max(crowd.slowest.values()):.2f} s; lost {len(crowd.lost)}", flush=True)
            for line in crowd.lost[:20]:
                print("  " + line)
            if site.report():
                print(f"  incidents: {site.report()}")
            failed = failed or bool(crowd.lost) or bool(site.report())
    return failed


if __name__ == "__main__":
    sys.exit(main())
