"""What the server costs before it serves: time until ready, memory, connections that wait, and who accepts them.

    bench/footprint.py --tricorn .venv/bin/tricorn

Memory is PSS, of all processes together: what would be free without them. Exit status 1 when an aim is missed.
"""

import argparse
import contextlib
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APP = """def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 1 << 20


class Server:
    """A server of its own, ready to serve when entered."""

    def __init__(self, tricorn, folder, workers=1):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = Path(folder, f"log-{workers}")
        command = [tricorn, "hello:app", "-b", f"127.0.0.1:{self.port}", "-w", str(workers), "--keep-alive", "600",
                   "--header-timeout", "600", "--worker-connections", "20000", "--no-control-socket"]
        with self.log.open("wb") as log:
            began = time.monotonic()
            self.process = subprocess.Popen(command, cwd=folder, stderr=log)
        while not self._answers():
            if self.process.poll() is not None:
                sys.exit(f"the server has ended:\n{self.log.read_text()}")
            time.sleep(0.001)
        self.ready_s = time.monotonic() - began
        while self.log.read_text().count("Booting worker") < workers:
            time.sleep(0.01)

    def _answers(self):
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def connect(self, ask=True):
        """Open a connection, and leave it open after an answer when one is asked for."""
        client = socket.create_connection(("127.0.0.1", self.port), 20)
        if ask:
            client.sendall(REQUEST)
            if not client.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise OSError("no answer")
        return client

    def pids(self):
        """Give the pids of all its processes."""
        found = [self.process.pid]
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1]) in found:
                    found.append(int(entry))
        return found

    def memory(self):
        """Give the PSS of all processes in bytes."""
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids()]
        return sum(int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1]) for rollup in rollups) * 1024

    def accepted(self):
        """Give how many sockets each worker has."""
        counts = []
        for pid in re.findall(r"Booting worker with pid: (\d+)", self.log.read_text()):
            targets = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
            counts.append(sum(target.startswith("socket:") for target in targets))
        return counts

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def settled(server):
    """Give the memory when it no longer changes: nothing tells that buffers were given back."""
    before = 0
    while before != (now := server.memory()):
        before = now
        time.sleep(0.2)
    return now


def measure(tricorn, folder, connections):
    """Yield (what, value, unit, aim); an aim is the most that is allowed."""
    times = []
    for _ in range(10):
        with Server(tricorn, folder) as server:
            times.append(server.ready_s)
    yield "ready, median of 10", statistics.median(times), "s", 0.10
    with Server(tricorn, folder) as server, contextlib.ExitStack() as clients:
        one = settled(server)
        yield "arbiter, spawner, keeper and a worker", one / MIB, "MiB", 25
        for _ in range(50):  # what the first connections leave behind is not theirs
            clients.enter_context(server.connect())
        before = settled(server)
        for _ in range(connections):
            clients.enter_context(server.connect())
        idle = settled(server)
        yield f"each of {connections} idle keep-alive connections", (idle - before) / connections, "B", 4096
        for _ in range(connections // 2):
            clients.enter_context(server.connect(ask=False))
        yield f"each of {connections // 2} silent connections", (settled(server) - idle) / (connections // 2), "B", 4096
    with Server(tricorn, folder, workers=4) as server:
        yield "each further worker", (settled(server) - one) / 3 / MIB, "MiB", 6
    with Server(tricorn, folder, workers=2) as server, contextlib.ExitStack() as clients:
        for _ in range(connections // 2):
            clients.enter_context(server.connect())
        counts = server.accepted()
        yield f"larger share of {connections // 2} connections on 2 workers", 100 * max(counts) / sum(counts), "%", 60


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tricorn", type=Path, default=Path(sys.executable).parent / "tricorn")
    parser.add_argument("--connections", type=int, default=10_000)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    missed = False
    print("| what | seen | at most |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "hello.py").write_text(APP)
        for what, value, unit, aim in measure(options.tricorn.absolute(), folder, options.connections):
            missed = missed or value > aim
            print(f"| {what} | {value:.3g} {unit} | {aim} {unit} |", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
