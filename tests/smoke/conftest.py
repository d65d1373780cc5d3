"""A running Tricorn for the first rung of black-box tests: what must work before anything else is looked at."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TRICORN = os.environ.get("TRICORN_UNDER_TEST", str(Path(sys.executable).parent / "tricorn"))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Server:
    def __init__(self, folder, app, *args, env=None, wait=True):
        self.port = free_port()
        self.report_path = folder / f"report-{self.port}.jsonl"
        self.log_path = folder / f"log-{self.port}.txt"
        command = [TRICORN, app, "-b", f"127.0.0.1:{self.port}", "--chdir", str(HERE), "--report", str(self.report_path), *args]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(env or {})}, start_new_session=True)
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=15):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(OSError), self.connect(0.5) as client:
                client.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                if client.recv(9) == b"HTTP/1.1 ":
                    return
        raise AssertionError("not ready: " + self.log())

    def connect(self, timeout=15):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, request, timeout=15):
        """Everything the server sends until it closes, or the client's time-out."""
        answer = b""
        with self.connect(timeout) as client:
            client.sendall(request)
            with contextlib.suppress(TimeoutError):
                while data := client.recv(65536):
                    answer += data
        return answer

    def get(self, path, timeout=15):
        return self.raw(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode(), timeout)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def incidents(self, count=1, seconds=5):
        deadline = time.monotonic() + seconds
        while True:
            lines = self.report_path.read_text().splitlines() if self.report_path.exists() else []
            if len(lines) >= count or time.monotonic() > deadline:
                return [json.loads(line) for line in lines]
            select_pause()

    def workers(self):
        """Pids of the workers that are known to have booted, newest last."""
        return [int(line.rsplit(" ", 1)[1]) for line in self.log().splitlines() if "Booting worker with pid" in line]

    def group(self):
        """Pids of all living processes of this server's session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    if int(fields[3]) == self.process.pid and fields[0] != "Z":
                        found.append(int(entry.name))
        return found

    def stop(self, signal_number=15, seconds=15):
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        code = self.process.wait(seconds)
        deadline = time.monotonic() + 5
        while self.group() and time.monotonic() < deadline:
            select_pause()
        assert not self.group(), f"left behind: {self.group()}\n{self.log()}"
        return code


def select_pause():
    """One short wait in a polling loop over files, which have no event to wait for."""
    time.sleep(0.02)


@pytest.fixture
def start(tmp_path):
    servers = []

    def starter(app, *args, **kwargs):
        servers.append(Server(tmp_path, app, *args, **kwargs))
        return servers[-1]

    yield starter
    for server in servers:
        server.stop()
