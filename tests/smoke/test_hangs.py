"""Each kind of trouble: the right cause, line and request; the client answered; the service back."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

SOURCE = (Path(__file__).parent / "hanging.py").read_text().splitlines()
SYNC = ("-k", "sync")
GTHREAD = ("-k", "gthread", "--threads", "4")


def line_of(mark):
    return next(number for number, line in enumerate(SOURCE, 1) if line.endswith(f"# <- {mark}"))


def check(server, path, cause, answer, place=True):
    assert answer.startswith(b"HTTP/1.1 500 "), answer + server.log().encode()
    ref = re.search(rb"X-Reference-Id: ([0-9a-f]{6})\r\n", answer)[1].decode()
    assert f"Reference: {ref}".encode() in answer.split(b"\r\n\r\n", 1)[1]
    incident = server.incidents()[0]
    assert incident["class"] == cause, incident
    assert incident["ref"] == ref
    assert incident["request"] == f"GET {path}"
    if place:
        assert incident["place"] == f"hanging.py:{line_of(path[1:])}", incident
        assert incident["place"] in server.log()
    assert f"ref {ref}" in server.log()
    assert "secret" not in server.log() + server.report_path.read_text()
    began = time.monotonic()
    assert server.get("/").endswith(b"fine")
    assert time.monotonic() - began < 3
    return incident


@pytest.mark.parametrize("worker", [SYNC, GTHREAD], ids=["sync", "gthread"])
@pytest.mark.parametrize(
    ("path", "cause"),
    [("/sleep", "wait.sleep"), ("/compute", "cpu.python"), ("/regex", "cpu.native_gil"), ("/hash", "cpu.native_nogil"),
     ("/network", "wait.network"), ("/subprocess", "wait.subprocess")],
)
def test_a_time_out_is_explained_and_answered(start, worker, path, cause):
    server = start("hanging:app", "--timeout", "2", *worker)
    incident = check(server, path, cause, server.get(path + "?secret=1"))
    assert re.search(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{incident['pid']}\) {cause}: GET {path} ", server.log())
    assert f"[{incident['pid']}] [ERROR] Error handling request GET {path}\nTraceback" in server.log()
    assert "out of memory" not in server.log().lower()


def test_a_lock_nobody_releases_is_a_lock(start):
    server = start("hanging:app", "--timeout", "2")
    incident = check(server, "/lock", "wait.deadlock", server.get("/lock"))
    assert "lock" in incident["because"]


@pytest.mark.parametrize(("path", "cause"), [("/segv", "crash.segv"), ("/abort", "crash.abort"), ("/exit", "exit.code")])
def test_a_death_is_explained_and_answered(start, path, cause):
    server = start("hanging:app")
    check(server, path, cause, server.get(path))


def test_a_kill_from_outside_is_not_called_out_of_memory(start):
    server = start("hanging:app")
    check(server, "/kill", "signal.external_kill", server.get("/kill"), place=False)
    assert "was sent SIGKILL!" in server.log()
    assert "out of memory" not in server.log().lower()


def test_a_stopped_worker_is_called_stopped(start):
    server = start("hanging:app", "--timeout", "2")
    check(server, "/stop", "signal.stopped", server.get("/stop"))


def test_a_response_that_began_is_cut_not_completed(start):
    server = start("hanging:app", "--timeout", "2")
    answer = server.get("/half")
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"hello")
    assert server.incidents()[0]["class"] == "wait.sleep"


def test_with_threads_only_the_late_request_ends(start):
    server = start("hanging:app", "--timeout", "2", *GTHREAD)
    answers = {}

    def ask(path):
        answers[path] = server.get(path)

    late = threading.Thread(target=ask, args=("/sleep",))
    late.start()
    time.sleep(1)
    other = threading.Thread(target=ask, args=("/second?1.8",))
    other.start()
    late.join()
    other.join()
    assert answers["/sleep"].startswith(b"HTTP/1.1 500 ")
    assert answers["/second?1.8"].endswith(b"fine"), server.log()


def test_a_boot_that_fails_says_why_and_ends_with_3(start):
    server = start("no_such_module:app", wait=False)
    assert server.process.wait(15) == 3
    assert "No module named 'no_such_module'" in server.log()
    assert "Reason: Worker failed to boot." in server.log()
    assert server.incidents()[0]["class"] == "boot.failure"


def test_a_name_that_is_not_there_ends_with_4(start):
    server = start("hanging:nothing", wait=False)
    assert server.process.wait(15) == 4
    assert "Failed to find attribute 'nothing' in 'hanging'." in server.log()


def test_a_killed_arbiter_leaves_nobody_behind(start):
    server = start("hanging:app")
    server.stop(signal.SIGKILL)


def test_a_killed_spawner_is_replaced(start):
    server = start("hanging:app")
    spawner = next(pid for pid in server.group() if Path(f"/proc/{pid}/comm").read_text() == "tricorn-spawner\n")
    os.kill(spawner, signal.SIGKILL)
    os.kill(server.workers()[-1], signal.SIGKILL)
    server.wait_ready()
    assert "a new spawner is started" in server.log()
