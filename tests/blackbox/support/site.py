"""A server under test, started with exactly the arguments given: its processes, signals, logs and reports."""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from blackbox.support.answer import Answer, read_all
from blackbox.support.waiting import poll

APPS = Path(__file__).resolve().parent.parent / "apps"
TRICORN = os.environ.get("TRICORN_UNDER_TEST") or str(Path(sys.executable).parent / "tricorn")
# What the surroundings may hold and a server under test must not see.
SETTING_VARIABLES = ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "SENDFILE", "SCRIPT_NAME")
SYNC = ("-k", "sync")
GTHREAD = ("-k", "gthread", "--threads", "4")
MODES = {"sync": SYNC, "gthread": GTHREAD}


# Below the ports that the kernel gives to clients, and different ones for each process of pytest-xdist: nobody else
# takes a port between its choice and its use.
PORTS = itertools.count(10_000 + 2_500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]))


def free_port():
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    for port in PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def clean_environment(extra=None):
    """Return the environment without settings of the surroundings, with `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTING_VARIABLES}
    return {**kept, **{name: str(value) for name, value in (extra or {}).items()}}


def run(*args, env=None, cwd=APPS, timeout=30):
    """Run tricorn to its end; give exit code, stdout, stderr."""
    done = subprocess.run(
        [TRICORN, *args], env=clean_environment(env), cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def tool(name):
    """Return the path of a program the tests need, or say what to install."""
    found = shutil.which(name)
    assert found, f"{name} is needed: `make setup WITH_TEST_PACKAGES=1` installs it"
    return found


class Site:
    """A server in a session of its own, so that whatever it leaves behind can be found."""

    def __init__(self, folder, *args, env=None, cwd=APPS, bind=True, cgroup=None, prefix=(), out=None, err=None):
        self.port = free_port()
        self.log_path, self.out_path, self.report_path = folder / "stderr", folder / "stdout", folder / "report.jsonl"
        self.command = [TRICORN, *map(str, args)]
        if bind:
            self.command += ["-b", f"127.0.0.1:{self.port}", "--report", str(self.report_path)]
        start = [*prefix, *self.command]  # a prefix ends in exec, too
        if cgroup:  # exec keeps the pid: the whole server lives and dies in the control group
            start = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(cgroup / "cgroup.procs"), *start]
        with open(self.log_path, "wb") as log, open(self.out_path, "wb") as output:
            self.process = subprocess.Popen(
                start, stdin=subprocess.DEVNULL, stdout=out or output, stderr=err or log, cwd=cwd, env=clean_environment(env), start_new_session=True)
        self.pid = self.process.pid

    # ---- beginning and end ----

    def wait_listening(self, seconds=20):
        """Wait until the port takes connections, or the server has ended; no request is spent on it."""
        poll(lambda: self.process.poll() is not None or self._listens(), seconds, lambda: f"listening on {self.port}\n{self.log}")
        return self

    def _listens(self):
        with contextlib.suppress(OSError), self.connect(1):
            return True
        return False

    def send(self, number):
        """Send a signal to the arbiter."""
        self.process.send_signal(number)

    def wait(self, seconds=20):
        """Wait for the arbiter's end and then for everybody else's; give the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds} s: {self.processes()}\n{self.log}") from None
        poll(lambda: not self.processes(), 10, lambda: f"going away of {self.processes()}\n{self.log}")
        return code

    def stop(self, number=signal.SIGTERM, seconds=20):
        """Stop the server, and hold it to leaving nothing behind. Give its exit code."""
        if self.process.poll() is None:
            self.send(number)
        return self.wait(seconds)

    def kill(self):
        """End everything this server started: the clean-up after a failed test."""
        for _ in range(2):  # what was forked in between goes with the second round
            for pid in self.session():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(10)

    # ---- processes ----

    def session(self):
        """Give pid -> (name, state) of all processes in the server's session."""
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                head, tail = Path("/proc", entry, "stat").read_text().rsplit(")", 1)
                fields = tail.split()
                if int(fields[3]) == self.pid:
                    found[int(entry)] = (head.split("(", 1)[1], fields[0])
        return found

    def processes(self):
        """Give the living processes of the server itself; a `sleep` that the application started is not one of them."""
        return {pid: name for pid, (name, state) in self.session().items() if state not in "ZX" and name != "sleep"}

    def zombies(self):
        """Give the pids of ended processes nobody has waited for, the arbiter's own end aside."""
        return [pid for pid, (_, state) in self.session().items() if state == "Z" and pid != self.pid]

    def workers(self):
        """Give the pids of living workers, oldest first."""
        alive = self.processes()
        booted = [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log)]
        return [pid for pid in booted if pid in alive]

    def spawner(self):
        """Give the pid of the newest spawner; ask when the workers are there, for until then each looks like one."""
        workers = self.workers()
        named = [pid for pid, name in self.processes().items() if name == "tricorn-spawner" and pid not in workers]
        assert named, self.processes()
        return max(named)

    # ---- what it wrote ----

    @property
    def log(self):
        """Return stderr so far."""
        return self.log_path.read_text(errors="replace")

    @property
    def out(self):
        """Return stdout so far."""
        return self.out_path.read_text(errors="replace")

    def report(self):
        """Return the report so far."""
        return self.report_path.read_text() if self.report_path.exists() else ""

    def wait_log(self, pattern, seconds=10, count=1):
        """Wait until the log holds `count` matches of the pattern; give the last one."""
        return poll(
            lambda: (hits := list(re.finditer(pattern, self.log))) and len(hits) >= count and hits, seconds,
            lambda: f"{count} times {pattern!r} in the log\n{self.log}")[-1]

    def incidents(self, count=1, seconds=10):
        """Wait for `count` incidents in the report and give all there are."""
        poll(lambda: self.report().count("\n") >= count, seconds, lambda: f"{count} incidents\n{self.log}\n{self.report()}")
        return [json.loads(line) for line in self.report().splitlines()]

    # ---- clients ----

    @property
    def url(self):
        """Return the base address."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout=20):
        """Open a TCP connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, request, timeout=20):
        """Send bytes; give everything up to the end of the connection."""
        with self.connect(timeout) as client:
            client.sendall(request)
            return read_all(client)

    def control(self, command):
        """Give what the control socket answers."""
        path = self.wait_log(r"Control socket listening at (\S+)")[1]
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(20)
            control.connect(path)
            control.sendall(json.dumps({"v": 1, "command": command}).encode() + b"\n")
            with control.makefile("rb") as answers:
                return json.loads(answers.readline())["data"]

    def running(self):
        """Give the requests that applications have."""
        return self.control("requests")

    def wait_running(self, count=1):
        """Wait until applications have `count` requests or more."""
        poll(lambda: len(self.running()) >= count, 10, lambda: f"{count} requests running\n{self.log}")

    def begin(self, path):
        """Send a GET and give its connection when the application has it: one more than it had before."""
        had = len(self.running())
        client = self.connect()
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        self.wait_running(had + 1)
        return client

    def get(self, path, *fields, timeout=20):
        """GET on a connection of its own; give the whole answer."""
        lines = [f"GET {path} HTTP/1.1", "Host: test", "Connection: close", *fields, "", ""]
        return Answer(self.raw("\r\n".join(lines).encode(), timeout))
