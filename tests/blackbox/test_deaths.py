"""A worker that dies: of what, in which request and where; its clients answered."""

import concurrent.futures
import os
import re
import signal
import time

import pytest

from blackbox.judge import (
    SECRET,
    assert_back,
    assert_explained,
    assert_no_memory_blamed,
    only_incident,
    place_of,
)
from blackbox.support.answer import Answer, read_all
from blackbox.support.cgroup import memory_group, oom_kills
from blackbox.support.site import MODES

FILE = "hanging.py"
MIB = 1 << 20


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("path", "cause", "line"),
    [
        ("segv", "crash.segv", r"\[WARNING\] Worker \(pid:{pid}\) was sent SIGSEGV! "),
        ("segv_later", "crash.segv", r"\[WARNING\] Worker \(pid:{pid}\) was sent SIGSEGV! "),
        ("abort", "crash.abort", r"\[WARNING\] Worker \(pid:{pid}\) was sent SIGABRT! "),
        ("leave", "exit.code", r"\[ERROR\] Worker \(pid:{pid}\) exited with code 7\."),
        ("leave_later", "exit.code", r"\[ERROR\] Worker \(pid:{pid}\) exited with code 7\."),
    ],
)
def test_a_death_of_its_own_is_explained_and_answered(serve, mode, path, cause, line):
    server = serve("hanging:app", *MODES[mode])
    pid = int(server.get("/").body)
    answer = server.get(f"/{path}?{SECRET}")
    incident = only_incident(server)
    assert incident["pid"] == pid
    assert_explained(server, answer, incident, f"/{path}", cause, place=place_of(FILE, path), function=path)
    assert re.search(line.format(pid=pid) + rf".*; ref {answer.reference}", server.log), server.log
    assert_back(server)


def test_a_fault_that_faulthandler_saw_first_has_no_address_of_another_kind(serve):
    server = serve("hanging:app", *MODES["sync"])
    answer = server.get("/segv_dumped")
    line = server.wait_log(rf"was sent SIGSEGV! (.*); ref {answer.reference}")[1]
    assert line.startswith("Crashed (raised in the worker itself, by a handler or kill: no address)"), line
    assert place_of(FILE, "segv_dumped") in line


def test_a_signal_that_the_application_sends_itself_is_called_that(serve):
    server = serve("hanging:app", *MODES["sync"])  # elsewhere the main thread may serve another request
    server.get("/")
    answer = server.get("/interrupt_itself")
    assert answer.status == 500 and answer.reference, (answer, server.log)
    server.wait_log(rf"exited with code 0\. Told to leave by a signal \(INT, QUIT or TERM\) that the application sent .*; ref {answer.reference}\b")
    assert_back(server)


@pytest.mark.parametrize("mode", MODES)
def test_every_client_of_a_dying_worker_is_answered(serve, mode):
    server = serve("hanging:app", *MODES["gthread"]) if mode == "gthread" else serve("hanging:app", "-w", "1")
    server.get("/")
    with concurrent.futures.ThreadPoolExecutor() as clients:
        inside = [clients.submit(server.get, "/steady?5") for _ in range(3 if mode == "gthread" else 1)]
        server.wait_running(len(inside))
        os.kill(server.workers()[0], signal.SIGKILL)
        answers = [answer.result() for answer in inside]
    assert [answer.status for answer in answers] == [500] * len(answers), server.log
    references = {answer.reference for answer in answers}
    assert references <= {incident["ref"] for incident in server.incidents()} and None not in references
    if mode == "gthread":  # nobody knows which of them it was, if any
        incident, = server.incidents()
        assert incident["request"] is None and incident["place"] is None, incident
        assert [one["request"] for one in incident["in_flight"]] == ["GET /steady"] * 3
        assert re.search(r"; in 3 requests: GET /steady since \d\.\d s.*, GET /steady since .*; ref ", server.log), server.log
    assert_back(server)


@pytest.mark.parametrize("mode", MODES)
def test_kill_9_from_outside_is_called_that(serve, mode):
    server = serve("hanging:app", *MODES[mode])
    server.get("/")
    with concurrent.futures.ThreadPoolExecutor() as clients:
        waiting = clients.submit(server.get, f"/kill?{SECRET}")
        time.sleep(1)
        os.kill(server.workers()[0], signal.SIGKILL)
        answer = waiting.result()
    incident = only_incident(server)
    assert_explained(server, answer, incident, "/kill", "signal.external_kill", place=place_of(FILE, "kill"), function="kill")
    assert re.search(rf"\[ERROR\] Worker \(pid:{incident['pid']}\) was sent SIGKILL! .*; ref {answer.reference}", server.log)
    assert_no_memory_blamed(server)
    assert_back(server)


def test_what_dies_early_was_seen_before(serve):
    """A request is looked at from 0.1 s on, so half a second is enough to know its line."""
    server = serve("hanging:app")
    server.get("/")
    with concurrent.futures.ThreadPoolExecutor() as clients:
        waiting = clients.submit(server.get, "/kill")
        time.sleep(0.6)
        os.kill(server.workers()[0], signal.SIGKILL)
        waiting.result()
    assert only_incident(server)["place"] == place_of(FILE, "kill")


def test_kill_9_of_an_idle_worker_is_called_that_too(serve):
    server = serve("hanging:app")
    server.get("/")
    os.kill(server.workers()[0], signal.SIGKILL)
    incident, = server.incidents()
    assert incident["class"] == "signal.external_kill"
    assert incident["request"] is None
    assert_no_memory_blamed(server)
    assert_back(server)


@pytest.mark.parametrize("mode", MODES)
def test_a_stopped_worker_is_called_stopped(serve, mode):
    server = serve("hanging:app", "--timeout", "2", *MODES[mode])
    server.get("/")
    answer = server.get(f"/stop?{SECRET}")
    incident = only_incident(server)
    assert_explained(server, answer, incident, "/stop", "signal.stopped", place=place_of(FILE, "stop"))
    assert re.search(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{incident['pid']}\) signal\.stopped: GET /stop ", server.log)
    assert_back(server)


def test_a_worker_stopped_from_outside_is_called_stopped(serve):
    server = serve("hanging:app", "--timeout", "2")
    server.get("/")
    with concurrent.futures.ThreadPoolExecutor() as clients:
        waiting = clients.submit(server.get, "/kill")
        time.sleep(0.7)
        os.kill(server.workers()[0], signal.SIGSTOP)
        answer = waiting.result()
    assert_explained(server, answer, server.incidents()[0], "/kill", "signal.stopped", place=place_of(FILE, "kill"))
    assert_back(server)


@pytest.mark.parametrize("mode", MODES)
def test_an_oom_kill_is_called_that(serve, mode):
    with memory_group(128 * MIB) as group:
        server = serve("hanging:app", *MODES[mode], cgroup=group)
        server.get("/")
        answer = server.get(f"/hoard?{SECRET}", timeout=60)
        assert oom_kills(group) == 1
        incident = only_incident(server)
        assert_explained(server, answer, incident, "/hoard", "memory.oom_kill")
        assert incident["confidence"] == "certain"
        assert re.search(
            rf"\[ERROR\] Worker \(pid:{incident['pid']}\) was sent SIGKILL! Out of memory: .*; ref {answer.reference}", server.log
        ), server.log
        assert "128 MiB" in server.log
        assert incident["function"] == "hoard" and incident["place"].startswith(f"{FILE}:"), incident["place"]
        assert_back(server)
        assert server.stop() == 0


def test_an_oom_kill_by_sudden_growth_is_not_blamed_on_another_request(serve):
    """The worker is dead before it was seen to grow; its group must be known from before."""
    with memory_group(128 * MIB) as group:
        server = serve("hanging:app", *MODES["gthread"], cgroup=group)
        for round_ in range(1, 4):
            with server.begin("/steady?20"):
                answer = server.get("/grab", timeout=60)
            assert oom_kills(group) == round_
            incident = server.incidents(round_)[-1]
            assert (incident["class"], incident["ref"]) == ("memory.oom_kill", answer.reference), server.log
            assert incident["request"] is None
            assert [one["request"] for one in incident["in_flight"]] == ["GET /steady", "GET /grab"]
            server.wait_log("Booting worker", count=round_ + 1)
        assert server.stop() == 0


def test_kill_9_in_a_memory_group_is_not_called_an_oom_kill(serve):
    with memory_group(256 * MIB) as group:
        server = serve("hanging:app", cgroup=group)
        server.get("/")
        os.kill(server.workers()[0], signal.SIGKILL)
        incident, = server.incidents()
        assert incident["class"] == "signal.external_kill"
        assert "memory.oom_kill: oom_kill 0 -> 0" in incident["not"]
        assert_no_memory_blamed(server)
        assert server.stop() == 0


def test_a_catchable_signal_from_outside_is_named(serve):
    server = serve("hanging:app")
    server.get("/")
    os.kill(server.workers()[0], signal.SIGALRM)
    server.wait_log(r"\[WARNING\] Worker \(pid:\d+\) was sent SIGALRM! ")
    incident, = server.incidents()
    assert incident["class"] == "signal.external_kill"
    assert_back(server)


@pytest.mark.parametrize("mode", MODES)
def test_a_request_that_somebodys_quit_ends_has_the_reference_of_the_log(serve, mode):
    server = serve("hanging:app", *MODES[mode])
    server.get("/")
    with server.begin("/sleep") as client:
        os.kill(server.workers()[0], signal.SIGQUIT)
        answer = Answer(read_all(client))
    assert answer.status == 500 and answer.reference, (answer, server.log)
    server.wait_log(rf"Worker \(pid:\d+\) .*; ref {answer.reference}\b")
    assert [incident["ref"] for incident in server.incidents()] == [answer.reference]
