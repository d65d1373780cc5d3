"""What must be true of every incident, whatever its kind."""

import re
import time
from pathlib import Path

from blackbox.support.site import APPS

SECRET = "password=hunter2"


def line_of(file, mark):
    """Return the number of the line that ends in `# <- mark`."""
    lines = (APPS / file).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(f"# <- {mark}"))


def place_of(file, mark):
    """Return the place a report must name."""
    return f"{file}:{line_of(file, mark)}"


def only_incident(server):
    """Return the one incident there is.

    That the worker was killed for it may be a second line of the same reference; on a busy machine the server may be
    overloaded as well, which blames no request.
    """
    incident, *more = [one for one in server.incidents() if one["class"] != "overload.queue"]
    unexpected = [other for other in more if (other["class"], other["ref"]) != ("signal.own_kill", incident["ref"])]
    assert not unexpected, ([(other["class"], other["request"]) for other in unexpected], server.log)
    return incident


def assert_back(server, seconds=3):
    """The service answers again, soon."""
    began = time.monotonic()
    answer = server.get("/")
    assert answer.status == 200, answer
    assert time.monotonic() - began < seconds


def assert_explained(server, answer, incident, path, cause, *, place=None, function=None, peer=None, status=500):
    """Log, report and answer say the same, and what they say is right."""
    log = server.log
    assert incident["class"] == cause, (incident["class"], incident["because"], log)
    assert incident["version"] == 1
    assert incident["request"] == f"GET {path}"
    assert answer.status == status, (answer, log)
    reference = answer.reference
    assert reference and re.fullmatch("[0-9a-f]{6}", reference), answer
    assert f"Reference: {reference}".encode() in answer.content
    assert answer["Connection"] == "close"
    assert incident["ref"] == reference
    assert len(re.findall(rf"; ref {reference}\b", log)) >= 1, log
    if place:
        assert incident["place"] == place, (incident["place"], incident["stack"], log)
        assert place in log
    if function:
        assert incident["function"] == function, incident["function"]
        assert incident["stack"], "no stack"
    if peer:
        assert peer in (incident["peer"] or ""), (incident["peer"], incident["because"])
        assert peer in log
    assert_discreet(server)
    if cause != "memory.oom_kill":
        assert_no_memory_blamed(server)


def assert_discreet(server):
    """Neither log nor report holds a query string."""
    assert SECRET not in server.log + server.report()
    assert "hunter2" not in server.log + server.report()


def assert_no_memory_blamed(server):
    """Nobody says "out of memory" when memory is not at fault."""
    assert "out of memory" not in server.log.lower(), server.log


def assert_timeout_line(server, incident, cause, path, mark):
    """The line operators grep for is there, byte for byte up to the pid, with the cause behind it; then the traceback."""
    log = server.log
    pid, ref = incident["pid"], incident["ref"]
    line = re.search(rf"^\[[^]]+\] \[{server.pid}\] \[CRITICAL\] WORKER TIMEOUT \(pid:{pid}\) (.*)$", log, re.M)
    assert line, log
    assert line[1].startswith(f"{cause}: GET {path} "), line[1]
    assert line[1].endswith(f"; ref {ref}"), line[1]
    if mark:
        assert f" at {mark}" in line[1], line[1]
    error = re.search(rf"\[{pid}\] \[ERROR\] Error handling request GET {re.escape(path)}\nTraceback \(most recent call last\):\n", log)
    assert error, log
    assert error.start() > line.start()


def stem(file):
    """Return a module's name."""
    return Path(file).stem
