"""Runs a scenario on real Gunicorn and on Tricorn, and compares everything a user can see of both."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

from blackbox.support.answer import read_all
from blackbox.support.site import TRICORN, clean_environment, free_port
from blackbox.support.waiting import poll
from differential.differences import DIFFERENCES

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).resolve().parent / "apps"
GUNICORN = os.environ.get("GUNICORN_UNDER_TEST") or str(ROOT / ".venv-gunicorn" / "bin" / "gunicorn")
COMMANDS = {"gunicorn": GUNICORN, "tricorn": TRICORN}
SECONDS = 30


class Server:
    """One of the two servers, in a folder of its own; notes what a user sees of it."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.process = None
        self.code = None
        self.seen = {}
        self.out_path, self.err_path = folder / "stdout", folder / "stderr"

    # ---- what it is given ----

    def file(self, name, text):
        """Write a file into the server's folder; give its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *args, conf=None, env=None, cwd=APPS, bind=True, booted=1, umask=-1):
        """Start the server and wait until `booted` workers say so, or it has ended."""
        self.launch(*args, "--no-control-socket", conf=conf, env=env, cwd=cwd, bind=bind, umask=umask)
        pattern = r"Booting worker with pid"
        poll(lambda: self.process.poll() is not None or len(re.findall(pattern, self.log)) >= booted, SECONDS, lambda: f"{self.name}: {booted} workers\n{self.log}")
        return self

    def launch(self, *args, conf=None, env=None, cwd=APPS, bind=True, umask=-1):
        """Start the server without waiting."""
        command = [COMMANDS[self.name]]
        if conf is not None:
            command += ["-c", str(self.file("conf.py", conf))]
        command += map(str, args)
        if bind:
            command += ["-b", f"127.0.0.1:{self.port}"]
        surroundings = clean_environment({"PYTHONDONTWRITEBYTECODE": "1", "FOLDER": self.folder, "PORT_": self.port, **(env or {})})
        with open(self.err_path, "ab") as err, open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd, env=surroundings, start_new_session=True, umask=umask)

    def run(self, *args, **options):
        """Run the server to its end."""
        self.launch(*args, **{"bind": False, **options})
        self.wait()

    # ---- what is done to it ----

    def send(self, number):
        """Send a signal to the main process."""
        self.process.send_signal(number)

    def wait(self):
        """Wait for its end."""
        try:
            self.code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs\n{self.log}") from None

    def stop(self, number=signal.SIGTERM):
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.send(number)
        self.wait()

    def kill(self):
        """Clean up after a failure."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def connect(self):
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), SECONDS)

    def raw(self, request, label=None):
        """Send bytes; note and give all that comes back."""
        with self.connect() as client:
            client.sendall(request)
            answer = read_all(client)
        self.note(label or f"answer {sum(key.startswith('answer') for key in self.seen) + 1}", answer.decode("latin-1"))
        return answer

    def get(self, target, *fields, method="GET", version="HTTP/1.1", body=b""):
        """Send one request on a connection of its own; note the answer."""
        lines = [f"{method} {target} {version}", "Host: test", "Connection: close", *fields, "", ""]
        return self.raw("\r\n".join(lines).encode("latin-1") + body)

    # ---- what is seen ----

    def note(self, label, text):
        """Note something a user sees."""
        assert label not in self.seen, label
        self.seen[label] = str(text)

    @property
    def log(self):
        """Return stderr so far."""
        return self.err_path.read_text(errors="replace") if self.err_path.exists() else ""

    @property
    def out(self):
        """Return stdout so far."""
        return self.out_path.read_text(errors="replace") if self.out_path.exists() else ""

    def wait_log(self, pattern, count=1, path=None):
        """Wait until stderr (or the file) has `count` matches of the pattern."""
        text = lambda: Path(path).read_text() if path and Path(path).exists() else "" if path else self.log
        poll(lambda: len(re.findall(pattern, text())) >= count, SECONDS, lambda: f"{self.name}: {count} times {pattern!r}\n{text()}")

    def workers(self):
        """Give the pids of workers that have said that they boot, oldest first, without those that are gone."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log) if Path("/proc", pid).exists()]

    def result(self):
        """Give all that was seen, masked."""
        self.seen["exit code"] = str(self.code)
        for label, path in (("stdout", self.out_path), ("stderr", self.err_path)):
            if path.exists():
                self.seen[label] = path.read_text(errors="replace")
        mask = Mask(self)
        return {label: mask(text) for label, text in self.seen.items()}


class Mask:
    """Replaces what differs from run to run: times, pids, ports, folders."""

    PIDS = re.compile(r"^\[[^]]*\] \[(\d+)\] \[[A-Z]+\]|\(?pid: ?(\d+)\)?|Listening at: .* \((\d+)\)$", re.M)

    def __init__(self, server):
        self.server = server
        everything = "\n".join([server.seen.get("stderr", ""), *server.seen.values()])
        self.names = {str(server.process.pid): "<ARBITER>"}
        for match in self.PIDS.finditer(everything):
            pid = next(group for group in match.groups() if group)
            self.names.setdefault(pid, f"<PID {len(self.names)}>")

    def __call__(self, text):
        text = re.sub(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]", "[<TIME>]", text)
        text = re.sub(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", "[<TIME>]", text)
        text = re.sub(r"(?m)^Date: [^\r\n]*", "Date: <TIME>", text)
        text = without_foreign_frames(text)
        in_boot_order = lambda line: list(self.names).index(re.search(r"(\d+)\)$", line)[1])  # pids may wrap, or get a digit more
        text = LEAVING.sub(lambda match: "".join(sorted(match[0].splitlines(True), key=in_boot_order)), text)
        text = text.replace(str(self.server.folder), "<FOLDER>").replace(str(APPS), "<APPS>")
        text = re.sub(rf"(?:(?<=[:\"])|(?<=', )){self.server.port}\b", "<PORT>", text)
        text = re.sub(r"\b\d+\b", lambda match: self.names.get(match[0], match[0]), text)
        return re.sub(r" at 0x[0-9a-f]+", " at <ADDRESS>", text)


LEAVING = re.compile(r"(?:^\[.*\] Worker exiting \(pid: \d+\)\n){2,}", re.M)  # at the same time
FRAME = re.compile(r'  File "([^"]*)", line \d+, in .*\n(?:    .*\n)*')


def without_foreign_frames(text):
    """Leave the frames of the user's own code in a traceback: those of the servers and of importlib differ by nature."""
    foreign = lambda path: path.startswith("<frozen") or re.search(r"/lib/python3\.\d+/|/bin/gunicorn$", path)
    return FRAME.sub(lambda match: "" if foreign(match[1]) else match[0], text)


def observe(scenario, folder):
    """Run the scenario on both at the same time; give what was seen of each."""
    servers, results, failures = [], {}, []

    def one(name):
        place = folder / f"server-{name[0]}"  # of the same length, for answers that show it
        place.mkdir()
        server = Server(name, place)
        servers.append(server)
        try:
            scenario(server)
            if server.code is None:
                server.stop()
            results[name] = server.result()
        except BaseException as problem:
            failures.append((name, problem))
        finally:
            server.kill()

    threads = [threading.Thread(target=one, args=(name,)) for name in COMMANDS]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if failures:
        name, problem = failures[0]
        raise AssertionError(f"{name}: {problem}") from problem
    return results["gunicorn"], results["tricorn"]


def unexplained(gunicorn, tricorn, names):
    """Give what differs after the named differences are taken away, and the names that took nothing away."""
    used = set()
    for name in ("product-name", *names):
        before = (dict(gunicorn), dict(tricorn))
        for label, theirs, ours in DIFFERENCES[name].shows:
            shown = gunicorn.pop(label, ""), tricorn.pop(label, "")
            assert re.search(theirs, shown[0]) and re.search(ours, shown[1]), (name, label, *shown)
        for seen, rules in ((gunicorn, DIFFERENCES[name].gunicorn), (tricorn, DIFFERENCES[name].tricorn)):
            for label in list(seen):
                for pattern, replacement in rules:
                    seen[label] = re.sub(pattern, replacement, seen[label])
        if before != (gunicorn, tricorn):
            used.add(name)
    rest = {label: (gunicorn.get(label), tricorn.get(label)) for label in {**gunicorn, **tricorn} if gunicorn.get(label) != tricorn.get(label)}
    return rest, [name for name in names if name not in used and not DIFFERENCES[name].shows and not DIFFERENCES[name].sometimes]


def describe(rest):
    """Show what differs, line by line."""
    import difflib

    parts = []
    for label, (one, other) in rest.items():
        lines = difflib.unified_diff((one or "").splitlines(), (other or "").splitlines(), "gunicorn", "tricorn", lineterm="", n=1)
        parts.append(f"== {label}\n" + "\n".join(lines))
    return "\n".join(parts)
