"""A real Tricorn for one test: its processes, its files, its answers."""

import contextlib
import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

APPS = Path(__file__).parent.parent / "apps"
TRICORN = os.environ.get("TRICORN_UNDER_TEST", str(Path(sys.executable).parent / "tricorn"))
MARK = "TRICORN_TEST_SERVER"
# What a developer's shell may hold and a test must not see.
SETTING_VARIABLES = ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "SENDFILE")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def poll(condition, seconds, what="condition"):
    """The first true answer of `condition`; for files and /proc, which have no event to wait for."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)
    return answer


class Answer:
    """One HTTP response as it came over the wire."""

    def __init__(self, raw):
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        self.status = int(words[1]) if len(words) > 1 else 0
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def text(self):
        return self.body.decode("latin-1")

    def __repr__(self):
        return f"Answer({self.raw[:600]!r})"


class Server:
    """A started server: its process, its three files and the processes it made."""

    def __init__(self, folder, *args, env=None, port=None, bind=True, cwd=APPS, prepare=None):
        self.folder = folder
        self.port = port or free_port()
        self.mark = uuid.uuid4().hex
        self.log_path = folder / "error.log"
        self.output_path = folder / "output.txt"
        self.report_path = folder / "report.jsonl"
        self.access_path = folder / "access.log"
        command = [TRICORN, *args, "--error-logfile", str(self.log_path), "--report", str(self.report_path),
                   "--access-logfile", str(self.access_path)]
        if bind:
            command += ["--bind", f"127.0.0.1:{self.port}"]
        clean = {name: value for name, value in os.environ.items() if name not in SETTING_VARIABLES}
        with open(self.output_path, "wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd,
                env={**clean, MARK: self.mark, **(env or {})}, start_new_session=True, preexec_fn=prepare)

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        read = [path.read_text(errors="replace") for path in (self.output_path, self.log_path) if path.exists()]
        return "".join(read)

    def access(self, count=1, seconds=3):
        def lines():
            return self.access_path.read_text().splitlines() if self.access_path.exists() else []

        return poll(lambda: (found := lines()) and len(found) >= count and found, seconds,
                    lambda: f"{count} access lines, seen {lines()}\n{self.log}")

    def report(self):
        return self.report_path.read_text() if self.report_path.exists() else ""

    def incidents(self, count=1, seconds=5):
        def lines():
            return [json.loads(line) for line in self.report().splitlines()]

        return poll(lambda: (found := lines()) and len(found) >= count and found, seconds,
                    lambda: f"{count} incidents, seen {lines()}\n{self.log}")

    def wait_ready(self, seconds=15, address=None):
        """Until somebody accepts and answers on the address; a refused connection is tried again."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"not ready in {seconds} s:\n{self.log}"
            try:
                if self.raw(b"GET /ready HTTP/1.0\r\n\r\n", timeout=deadline - time.monotonic(), address=address):
                    break
            except OSError:
                time.sleep(0.02)
        self.forget()
        return self

    def forget(self):
        """Drop the access lines so far, so that a test reads only its own."""
        with contextlib.suppress(AssertionError):
            self.access(1, 1)
        if self.access_path.exists():
            os.truncate(self.access_path, 0)

    def connect(self, timeout=20, address=None):
        address = address or ("127.0.0.1", self.port)
        if isinstance(address, tuple):
            return socket.create_connection(address, timeout)
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(timeout)
        client.connect(address)
        return client

    def raw(self, request, timeout=20, address=None):
        """Everything the server sends for these bytes until it closes."""
        with self.connect(timeout, address) as client:
            client.sendall(request)
            return read_all(client)

    def get(self, path, *headers, method="GET", timeout=20, address=None):
        lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close", *headers, "", ""]
        return Answer(self.raw("\r\n".join(lines).encode(), timeout, address))

    def processes(self):
        """{pid: name} of all living processes that stem from this server, whatever became their parent."""
        found = {}
        marker = f"{MARK}={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if fields[0] in "ZX":
                    continue
                if int(fields[3]) == self.pid or marker in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def workers(self):
        """Pids of workers that booted and still live, oldest first."""
        words = [line.rsplit(" ", 1)[1] for line in self.log.splitlines() if "Booting worker with pid: " in line]
        return [int(word) for word in words if is_alive(int(word))]

    def spawner(self):
        return next(pid for pid, name in self.processes().items()
                    if Path(f"/proc/{pid}/comm").read_text().strip() == "tricorn-spawner" and pid not in self.workers())

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=15):
        """The exit status, once nobody is left."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds} s:\n{self.log}") from None
        poll(lambda: not self.processes(), 5, lambda: f"left behind: {self.processes()}\n{self.log}")
        return code

    def stop(self, number=signal.SIGTERM, seconds=15):
        if self.process.poll() is None:
            self.send(number)
        try:
            return self.wait(seconds)
        finally:
            for pid in self.processes():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def read_all(client):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(262144):
            parts.append(data)
    return b"".join(parts)


def find_program(name):
    return shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)


def other_user():
    """PostgreSQL refuses root; the options with which subprocess becomes somebody else, and his uid and gid."""
    if os.geteuid() != 0:
        return {}, os.getuid(), os.getgid()
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}, entry.pw_uid, entry.pw_gid
