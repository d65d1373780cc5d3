"""One trouble under one kind of worker: what happened, and whether what was said of it is true."""

import contextlib
import json
import re
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from blackbox.support.answer import Answer, read_all
from blackbox.support.site import MODES, Site
from blackbox.support.waiting import poll
from hangs import surroundings
from hangs.troubles import ANSWERED, CUT, NONE, TOO_SLOW, UNHARMED

TESTS = Path(__file__).resolve().parent.parent
SECRET = "password=hunter2"
COLUMNS = ("cause", "line", "peer", "request", "answer", "reference", "honest", "back")
TIMEOUT = ("--timeout", "2")


class Server(Site):
    """A Site that may listen in a network namespace, with things to happen later."""

    def __init__(self, folder, *args, around, first=False, **options):
        """Start it; `first`: what computes goes ahead of others, or on a busy machine it is starved, and called so."""
        self.netns = around.netns
        self.timers = []
        super().__init__(
            folder, *args, env={**around.env, "PYTHONPATH": TESTS, "PYTHONDONTWRITEBYTECODE": 1}, cwd=TESTS, cgroup=around.cgroup,
            prefix=around.prefix, out=around.stdout, **options)
        if first:
            surroundings.set_priority(self.pid, -19)

    def connect(self, timeout=20):
        """Open a TCP connection from where the server is."""
        with surroundings.inside(self.netns):
            return super().connect(timeout)

    def later(self, seconds, action):
        """Do something when a request has been running for that long."""
        self.timers.append((seconds, action))

    def begin(self):
        """Let the time run."""
        for seconds, action in self.timers:
            threading.Timer(seconds, action).start()


@dataclass
class Outcome:
    """What came of a trial. A column is True, False, or None where it does not apply."""

    trouble: object
    mode: str
    columns: dict = field(default_factory=dict)
    skipped: str = ""
    why: list = field(default_factory=list)
    line: str = ""
    log: str = ""
    report: str = ""

    def note(self, column, good, why=""):
        """Fill in a column."""
        self.columns[column] = bool(good)
        if not good:
            self.why.append(f"{column}: {why}")

    @property
    def right(self):
        """Return whether nothing is wrong."""
        return self.skipped or False not in self.columns.values()


# ---- clients


def get(server, path):
    return Answer(server.raw(f"GET /{path}?{SECRET} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode(), 25))


def slow_upload(server, path):
    head = f"POST /{path}?{SECRET} HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n".encode()
    return Answer(server.raw(head + b"x" * 1000, 25))


def slow_headers(server, path):
    return Answer(server.raw(f"GET /{path}?{SECRET} HTTP/1.1\r\nHost: t\r\nX-Half: ".encode(), 25))


def slow_read(server, path):
    with server.connect(25) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.sendall(f"GET /{path}?{SECRET} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode())
        poll(lambda: "client.slow_read" in server.log, 15, lambda: f"the cut of a client that does not read\n{server.log}")
        return Answer(read_all(client))


def together(server, path, count):
    """Send requests at the same time; give all answers, or the first that is not 200."""
    answers = [None] * count

    def ask(index):
        answers[index] = get(server, path)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return next((answer for answer in answers if answer.status != 200), answers[0])


def crowd(server, path):
    return together(server, path, 6)  # of 3 s each: a sync worker has the last one done within get()'s patience


def burst(server, path):
    return together(server, path, 40)


def upload(server, path):
    body = b"x" * (2 << 20)
    head = f"POST /{path} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    return Answer(server.raw(head + body, 25))


CLIENTS = {client.__name__: client for client in (get, slow_upload, slow_headers, slow_read, crowd, burst, upload)}


# ---- judgement


def place_of(trouble):
    """Return "app.py:12" of the line that the trouble is in."""
    mark = trouble.place or trouble.path
    for file in (TESTS / "hangs").glob("*.py"):
        for number, text in enumerate(file.read_text().splitlines(), 1):
            if text.endswith(f"# <- {mark}"):
                return f"{file.name}:{number}"
    raise AssertionError(f"no line is marked {mark}")


def is_cut(answer):
    """Return whether a response that began cannot be taken for a whole one."""
    try:
        answer.content
    except (AssertionError, ValueError):
        return answer.status == 200
    return False


def judge_answer(trouble, answer, incident, outcome):
    statuses = {ANSWERED: (500,), TOO_SLOW: (408,), UNHARMED: (200,)}
    if trouble.answer == CUT:
        outcome.note("answer", is_cut(answer), f"not visibly cut: {answer}")
    elif trouble.answer != NONE:
        outcome.note("answer", answer is not None and answer.status in statuses[trouble.answer], f"{answer}")
    if trouble.answer in (ANSWERED, TOO_SLOW) and trouble.cause:
        reference = answer.reference
        in_log = reference and re.search(rf"; ref {reference}\b", outcome.log)
        outcome.note("reference", in_log and reference == incident.get("ref"), f"{reference} in the answer, {incident.get('ref')} in the report")


def judge_incident(trouble, around, incident, outcome):
    outcome.note("cause", incident.get("class") == trouble.cause, f"{incident.get('class')}: {incident.get('because')}")
    outcome.line = next((line for line in outcome.log.splitlines() if f"ref {incident.get('ref')}" in line), "")
    native = incident.get("evidence", {}).get("native", "not readable")
    seen = trouble.code and native != "not readable"
    if seen and not re.search(f"C code of {trouble.code}", outcome.line):
        outcome.note("cause", False, f"machine code of {trouble.code!r} is not said: {outcome.line}; {native}")
    if trouble.said and not re.search(trouble.said, outcome.line):
        outcome.note("cause", False, f"{trouble.said!r} is not said: {outcome.line}")
    if trouble.place != "":
        wanted = place_of(trouble)
        given = incident.get("place") or ""
        outcome.note("line", given == wanted or given.endswith("/" + wanted), f"{given} instead of {wanted}")
    peer = around.peer if trouble.peer is None and trouble.cause.startswith("wait.") else trouble.peer
    if peer:
        outcome.note("peer", peer in (incident.get("peer") or "") and peer in outcome.line, f"{incident.get('peer')} instead of {peer}")
    if trouble.boots and trouble.named:
        method = "POST" if trouble.client == "slow_upload" else "GET"
        outcome.note("request", incident.get("request") == f"{method} /{trouble.path}", incident.get("request"))


def judge_honesty(trouble, outcome, incidents):
    memory = trouble.cause.startswith("memory.")
    outcome.note("honest", memory or "out of memory" not in outcome.log.lower(), "says out of memory")
    if "hunter2" in outcome.log + outcome.report:
        outcome.note("honest", False, "shows a query string")
    if not trouble.cause and incidents:
        outcome.note("honest", False, f"alarm on a healthy program: {incidents[0].get('class')}: {incidents[0].get('because')}")


def is_own_kill(incident):
    return incident["class"] == "signal.own_kill"


def incidents_of(server):
    """Give the incidents; that a request was slow before is a warning, and no incident yet."""
    lines = [json.loads(line) for line in server.report().splitlines()]
    return [line for line in lines if line.get("event") != "slow_request"]


def is_back(server, seconds):
    """Return whether the service answers within the time, over and over until it does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if Answer(server.raw(b"GET /pid HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", max(end - time.monotonic(), 0.1))).status == 200:
                return True
        time.sleep(0.02)
    return False


# ---- a trial


def run_healthy_or_not(trouble, around, server, outcome):
    answer = None
    if trouble.boots:
        server.wait_listening()
        pid = int(get(server, "pid").body)
        if around.start:
            around.start(server, pid)
        server.begin()
        with contextlib.suppress(TimeoutError):
            answer = CLIENTS[trouble.client](server, trouble.path)
    if trouble.cause:
        with contextlib.suppress(AssertionError):
            poll(lambda: any(not is_own_kill(incident) for incident in incidents_of(server)), 12, "an incident")
    if trouble.answer == UNHARMED and not trouble.boots:
        answer = get(server, "pid")
    if trouble.boots and trouble.back_s:
        outcome.note("back", is_back(server, trouble.back_s), "does not answer again in time")
    incidents = [incident for incident in incidents_of(server) if not is_own_kill(incident)]
    outcome.log, outcome.report = server.log, server.report()
    return answer, incidents


def run(trouble, mode, services):
    """Make the trouble happen; give what came of it."""
    outcome = Outcome(trouble, mode)
    enter = trouble.around
    arguments = (services,) if enter in (surroundings.postgresql, surroundings.redis) else ()
    try:
        with tempfile.TemporaryDirectory(prefix="tricorn-hangs-") as folder, enter(*arguments) as around:
            options = (*TIMEOUT, *trouble.options, *MODES[mode])
            if trouble.path == "boot_slowly":
                around.env["BOOT_SECONDS"] = "4"
            server = Server(Path(folder), trouble.app, *options, around=around, first=trouble.alone)
            try:
                answer, incidents = run_healthy_or_not(trouble, around, server, outcome)
            finally:
                outcome.log, outcome.report = server.log, server.report()
                server.kill()
            first = incidents[0] if incidents else {}
            if trouble.cause:
                judge_incident(trouble, around, first, outcome)
            judge_answer(trouble, answer, first, outcome)
            judge_honesty(trouble, outcome, incidents)
    except surroundings.Missing as why:
        outcome.skipped = str(why)
    except Exception as why:  # a trial that breaks is a miss, not the end of the run
        outcome.note("cause", False, f"the trial broke: {type(why).__name__}: {str(why)[:400]}")
    return outcome
