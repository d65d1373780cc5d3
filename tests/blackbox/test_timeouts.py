"""A request that takes too long: why, where, for whom it waited; its client answered, the others untouched."""

import concurrent.futures
import contextlib
import http.client
import os
import re
import signal
import time
from pathlib import Path

import pytest

from blackbox.judge import (
    SECRET,
    assert_back,
    assert_discreet,
    assert_explained,
    assert_no_memory_blamed,
    assert_timeout_line,
    only_incident,
    place_of,
)
from blackbox.support.answer import read_answer
from blackbox.support.site import MODES
from blackbox.support.waiting import poll

FILE = "hanging.py"
# path, class, holds the GIL (so that no other thread of the worker gets on)
TROUBLES = [
    ("sleep", "wait.sleep", False),
    ("compute", "cpu.python", False),
    ("compute_deep", "cpu.python", False),
    ("regex", "cpu.native_gil", True),
    ("big_sum", "cpu.native_gil", True),
    ("key_stretching", "cpu.native_nogil", False),
    ("compress", "cpu.native_nogil", False),
    ("receive", "wait.network", False),
    ("receive_with_timeout", "wait.network", False),
    ("call_upstream", "wait.network", False),
    ("connect", "wait.connect", False),
    ("query_postgresql", "wait.database", False),
    ("row_lock", "wait.database", False),
    ("pop_redis", "wait.database", False),
    ("query_mysql", "wait.database", False),
    ("lock", "wait.lock", False),
    ("self_deadlock", "wait.deadlock", False),
    ("delegate", "wait.subprocess", False),
]


@pytest.fixture
def surroundings(request, silent, unreachable):
    """Give the environment of the hanging application, and what the report must call the peer of each path."""
    path = request.node.callspec.params["path"]
    env = {"SILENT": silent, "UNREACHABLE": unreachable}
    peers = {
        "receive": silent, "receive_with_timeout": silent, "call_upstream": silent, "connect": unreachable,
        "query_mysql": f"{silent} (MySQL)", "delegate": "sleep",
    }
    if path in ("query_postgresql", "row_lock"):
        server = request.getfixturevalue("postgresql")
        env["PG_DSN"] = server.dsn
        peers[path] = f"{server.peer} (PostgreSQL)"
    if path == "pop_redis":
        server = request.getfixturevalue("redis_server")
        env["REDIS_PORT"] = server.port
        peers[path] = f"{server.peer} (Redis)"
    return env, peers.get(path)


def wait_for_all_workers(server, count):
    """Wait until that many workers have answered: a worker that boots yet takes no part."""
    seen = set()

    def all_answered():
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            seen.update(answer.body for answer in clients.map(server.get, ["/"] * 16))
        return len(seen) >= count

    poll(all_answered, 10, lambda: f"{count} workers answering, seen {seen}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("path", "cause", "holds_gil"), [
    pytest.param(*trouble, id=trouble[0], marks=pytest.mark.alone if trouble[1].startswith("cpu.") else ()) for trouble in TROUBLES
])
def test_a_time_out_is_explained_and_answered(serve, surroundings, mode, path, cause, holds_gil):
    env, peer = surroundings
    server = serve("hanging:app", "--timeout", "2", *MODES[mode], env=env)
    assert server.get("/").status == 200  # the worker is there: only the request is timed
    others_finish = mode == "gthread" and not holds_gil
    with concurrent.futures.ThreadPoolExecutor() as clients:
        began = time.monotonic()
        late = clients.submit(server.get, f"/{path}?{SECRET}")
        if others_finish:
            time.sleep(1)  # so that it is under way when the other one is late
            companion = clients.submit(server.get, "/steady?1.7")
        answer = late.result()
        took = time.monotonic() - began
        if others_finish:
            assert companion.result().body == b"steady", server.log
    assert 2 <= took < 4.5, took
    incident = only_incident(server)
    if path == "self_deadlock" and mode == "gthread":
        cause = "wait.lock"  # another thread of the worker is serving, and could release it for all that can be seen
    place = place_of(FILE, path)
    assert_explained(server, answer, incident, f"/{path}", cause, place=place, peer=peer)
    assert 2 <= incident["seconds"] < 4
    assert incident["confidence"] in ("certain", "likely")
    assert any(line.startswith("memory.oom_kill") for line in incident["not"])
    assert_timeout_line(server, incident, cause, f"/{path}", place)
    assert_back(server)


@pytest.mark.alone
def test_the_function_and_the_stack_are_named(serve):
    server = serve("hanging:app", "--timeout", "2")
    answer = server.get("/compute_deep")
    incident = only_incident(server)
    assert_explained(server, answer, incident, "/compute_deep", "cpu.python")
    assert incident["function"].endswith("fibonacci")
    names = [frame["function"] for frame in incident["stack"]]
    assert "compute_deep" in names and names[-1].endswith("__call__"), names


def test_the_innermost_frame_is_named_when_it_is_not_the_applications(serve, silent):
    server = serve("hanging:app", "--timeout", "2", env={"SILENT": silent})
    server.get("/call_upstream")
    incident = only_incident(server)
    assert incident["place"] == place_of(FILE, "call_upstream")
    assert re.fullmatch(r".*socket\.py:\d+ (SocketIO\.)?readinto", incident["innermost"]), incident["innermost"]


def test_a_response_that_began_is_cut_and_never_completed(serve):
    server = serve("hanging:app", "--timeout", "2")
    answer = server.get("/half")
    assert answer.status == 200 and answer.body == b"hello"
    incident = only_incident(server)
    assert incident["class"] == "wait.sleep"
    assert incident["request"] == "GET /half"
    assert_back(server)


def test_a_chunked_response_that_began_has_no_last_chunk(serve):
    server = serve("hanging:app", "--timeout", "2")
    answer = server.get("/half_chunked")
    assert answer.body == b"5\r\nhello\r\n"
    assert server.incidents()[0]["request"] == "GET /half_chunked"


@pytest.mark.alone
def test_workers_that_hang_at_the_same_time_each_have_their_incident(serve):
    server = serve("hanging:app", "--timeout", "2", "-w", "4")
    server.wait_log("Booting worker with pid", count=4)
    wait_for_all_workers(server, 4)
    with concurrent.futures.ThreadPoolExecutor() as clients:
        answers = list(clients.map(server.get, ["/sleep", "/compute", "/delegate", "/self_deadlock"]))
    assert [answer.status for answer in answers] == [500] * 4, server.log
    incidents = [incident for incident in server.incidents(4) if incident["class"] != "signal.own_kill"]
    told = {incident["request"]: incident for incident in incidents}
    assert {request: incident["class"] for request, incident in told.items()} == {
        "GET /sleep": "wait.sleep", "GET /compute": "cpu.python", "GET /delegate": "wait.subprocess", "GET /self_deadlock": "wait.deadlock",
    }
    assert {incident["ref"] for incident in incidents} == {answer.reference for answer in answers}
    assert len({incident["pid"] for incident in incidents}) == 4
    assert_no_memory_blamed(server)
    assert_back(server)


def test_threads_that_hang_in_one_worker_each_have_their_incident(serve):
    server = serve("hanging:app", "--timeout", "2", *MODES["gthread"])
    with concurrent.futures.ThreadPoolExecutor() as clients:
        answers = list(clients.map(server.get, ["/sleep", "/self_deadlock", "/delegate"]))
    assert [answer.status for answer in answers] == [500] * 3, server.log
    told = {incident["request"]: incident["class"] for incident in server.incidents(3) if incident["class"] != "signal.own_kill"}
    assert told["GET /self_deadlock"] in ("wait.lock", "wait.deadlock")
    assert told == {**told, "GET /sleep": "wait.sleep", "GET /delegate": "wait.subprocess"}
    assert len(told) == 3
    assert_back(server)


def test_the_whole_of_a_worker_that_ignores_sigabrt_is_killed_and_owned_up_to(serve):
    server = serve("hanging:app", "--timeout", "2")
    answer = server.get("/key_stretching")
    line = server.wait_log(r"\[ERROR\] Worker \(pid:(\d+)\) was sent SIGKILL! By this server.*; ref ([0-9a-f]{6})")
    assert line[2] == answer.reference
    assert int(line[1]) == server.incidents()[0]["pid"]
    assert_no_memory_blamed(server)


@pytest.mark.parametrize("mode", MODES)
def test_a_waiting_keep_alive_client_sees_nothing_of_a_neighbours_time_out(serve, mode):
    server = serve("hanging:app", "--timeout", "2", "--keep-alive", "20", *MODES[mode])
    with server.connect() as idle, concurrent.futures.ThreadPoolExecutor() as clients:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        first = idle.recv(65536)
        assert first.startswith(b"HTTP/1.1 200 ")
        late = clients.submit(server.get, "/regex")
        assert late.result().status == 500
        server.wait_log("Booting worker with pid", count=2)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 "), server.log


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["time-out", "SIGKILL"])
def test_seven_hundred_waiting_clients_see_nothing_of_their_workers_end(serve, end, mode):
    """More connections than a channel between two processes holds at once: the rest of them waits for its turn."""
    server = serve("hanging:app", "--timeout", "2", "--keep-alive", "60", *MODES[mode])
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(700)]
        for client in idle:
            client.sendall(request)
            assert read_answer(client).status == 200
        if end == "SIGKILL":
            os.kill(server.workers()[0], signal.SIGKILL)
        else:
            assert server.get("/sleep").status == 500
        server.wait_log("Booting worker with pid", count=2)
        for client in idle:
            client.sendall(request)
        for client in idle:
            assert read_answer(client).status == 200, server.log


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["time-out", "SIGKILL"])
def test_a_client_in_the_middle_of_a_large_body_reads_its_answer(serve, end, mode):
    """One that looks for its answer only after its last byte, as http.client does."""
    server = serve("slow:app", "--timeout", "2" if end == "time-out" else "30", *MODES[mode])
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with concurrent.futures.ThreadPoolExecutor() as clients:
        sent = clients.submit(client.request, "POST", "/sleep/60", body=b"x" * (30 << 20))
        server.wait_running()
        if end == "SIGKILL":
            os.kill(server.workers()[0], signal.SIGKILL)
        sent.result()
    assert client.getresponse().status == 500
    client.close()
    server.wait_log("Booting worker with pid", count=2)


def test_a_request_queued_behind_the_late_one_is_served_by_the_next_worker(serve):
    server = serve("hanging:app", "--timeout", "2")
    with concurrent.futures.ThreadPoolExecutor() as clients:
        late = clients.submit(server.get, "/sleep")
        server.wait_running()
        behind = [clients.submit(server.get, "/") for _ in range(5)]
        assert late.result().status == 500
        assert [answer.result().status for answer in behind] == [200] * 5, server.log
    only_incident(server)


def test_requests_behind_one_that_must_be_killed_are_served_by_the_next_worker(serve):
    server = serve("hanging:app", "--timeout", "2")
    with concurrent.futures.ThreadPoolExecutor() as clients:
        late = clients.submit(server.get, "/key_stretching")
        server.wait_running()
        behind = [clients.submit(server.get, "/") for _ in range(5)]
        assert late.result().status == 500
        assert [answer.result().status for answer in behind] == [200] * 5, server.log


@pytest.mark.alone
@pytest.mark.parametrize("kept", [False, True])
def test_a_worker_without_its_gil_leaves_requests_to_idle_ones(serve, kept):
    server = serve("hanging:app", "--timeout", "3", "-w", "2", *MODES["gthread"])
    wait_for_all_workers(server, 2)
    with contextlib.ExitStack() as clients, concurrent.futures.ThreadPoolExecutor() as threads:
        kept = [clients.enter_context(server.connect()) for _ in range(8 if kept else 0)]
        for client in kept:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_answer(client).status == 200
        late = threads.submit(server.get, "/regex")
        server.wait_running()
        time.sleep(0.3)  # the GIL is gone, and nobody has asked for it yet
        began = time.monotonic()
        for client in kept:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_answer(client).status == 200, server.log
        assert [server.get("/").status for _ in range(20)] == [200] * 20, server.log
        assert time.monotonic() - began < 2, "requests waited for a GIL that could not be had"
        assert late.result().status == 500
    assert_back(server)


def read_answers(client, count):
    """Read so many answers' heads; give all that came."""
    data = b""
    while data.count(b"\r\n\r\n") < count:
        part = client.recv(65536)
        assert part, data
        data += part
    return data


@pytest.mark.alone
@pytest.mark.parametrize("before", ["/", "/steady?0.01"])  # after slow calls, each free thread reads one
def test_requests_that_were_read_when_the_gil_went_are_served_by_idle_workers(serve, before):
    server = serve("hanging:app", "--timeout", "3", "-w", "2", *MODES["gthread"])
    wait_for_all_workers(server, 2)
    with contextlib.ExitStack() as clients, concurrent.futures.ThreadPoolExecutor() as threads:
        kept = [clients.enter_context(server.connect()) for _ in range(8)]
        for client in kept:
            client.sendall(f"GET {before} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert read_answer(client).status == 200
        late = threads.submit(server.get, "/regex_later")
        server.wait_running()
        time.sleep(0.5)  # another thread leads by now, and has had the GIL a moment ago
        began = time.monotonic()
        for client in kept:
            client.sendall(2 * b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
        for client in kept:
            answers = read_answers(client, 2)
            assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2, (answers, server.log)
        assert time.monotonic() - began < 2, "what was read waited for a GIL that could not be had"
        assert late.result().status == 500
    assert "had read" not in server.log
    assert_back(server)


def cpu_seconds(pid):
    """Give what a process has used of the CPU."""
    fields = Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
def test_requests_stay_where_they_are_when_every_worker_is_without_its_gil(serve):
    server = serve("hanging:app", "--timeout", "3", "-w", "2", *MODES["gthread"])
    wait_for_all_workers(server, 2)
    with contextlib.ExitStack() as clients:
        kept = {}  # by worker

        def keep_one_more():
            client = clients.enter_context(server.connect())
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            kept.setdefault(read_answer(client).body, []).append(client)

        poll(lambda: keep_one_more() or len(kept) == 2, 10, lambda: f"connections of both workers {kept}")
        late = [of_worker.pop() for of_worker in kept.values()]
        for _ in range(6):
            keep_one_more()
        for client in late:
            client.sendall(b"GET /regex_later HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_running(2)
        time.sleep(0.5)
        spent = cpu_seconds(server.pid)
        waiting = sum(kept.values(), [])
        for client in waiting:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(1)
        assert cpu_seconds(server.pid) - spent < 0.08, "they went to and fro by the arbiter"
        assert [read_answer(client).status for client in late] == [500] * 2
        assert {read_answer(client).status for client in waiting} <= {200, 503}, server.log
    assert_back(server)


@pytest.mark.alone
def test_a_busy_worker_leaves_requests_to_idle_ones(serve):
    server = serve("hanging:app", "--timeout", "10", "-w", "3")
    wait_for_all_workers(server, 3)
    with concurrent.futures.ThreadPoolExecutor(20) as clients:
        long = [clients.submit(server.get, "/steady?3") for _ in range(2)]
        server.wait_running(2)
        began = time.monotonic()
        assert {answer.status for answer in clients.map(server.get, ["/"] * 60)} == {200}
        assert time.monotonic() - began < 1.5, "requests waited for a busy worker while another one was idle"
        assert [answer.result().body for answer in long] == [b"steady"] * 2


@pytest.mark.alone
def test_requests_of_the_same_moment_go_to_different_workers(serve):
    server = serve("hanging:app", "-w", "3")
    wait_for_all_workers(server, 3)
    with concurrent.futures.ThreadPoolExecutor() as clients:
        began = time.monotonic()
        assert {answer.body for answer in clients.map(server.get, ["/steady?1"] * 3)} == {b"steady"}
    assert time.monotonic() - began < 1.8, "one waited for another while a worker was idle"


def test_a_worker_told_to_abort_starts_no_other_request(serve):
    server = serve("hanging:app", "--timeout", "2")
    with concurrent.futures.ThreadPoolExecutor() as clients:
        late = clients.submit(server.get, "/sleep")
        server.wait_running()
        behind = clients.submit(server.get, "/steady?1.5")
        assert late.result().status == 500
        assert behind.result().body == b"steady", (behind.result(), server.log)
    assert "did not react to SIGABRT" not in server.log


def test_the_next_request_of_an_answered_client_reaches_no_worker_that_is_about_to_end(serve):
    server = serve("hanging:app", "--timeout", "2", "-w", "3", "-k", "gthread", "--threads", "4")
    wait_for_all_workers(server, 3)

    def late_then_again(_):
        assert server.get("/sleep").status == 500
        return server.get("/steady?1.3", timeout=8).status  # longer than from SIGABRT to SIGKILL

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(late_then_again, range(16)))
    assert statuses == [200] * 16, server.log


def test_timeout_0_never_ends_a_request(serve):
    server = serve("hanging:app", "--timeout", "0")
    assert server.get("/steady?3").body == b"steady"
    assert server.incidents(0) == []


def test_the_timeout_of_a_request_does_not_shrink_with_further_binds(serve):
    server = serve("hanging:app", "--timeout", "3", "-b", "127.0.0.1:0")
    assert server.get("/steady?2.6").body == b"steady", server.log
    assert server.incidents(0) == []


def test_status_by_cause_when_asked_for(serve, silent):
    server = serve("hanging:app", "--timeout", "2", "--timeout-status", "by-cause", env={"SILENT": silent})
    answer = server.get("/receive")
    assert answer.status == 504 and answer.reference


def test_the_access_log_has_what_the_client_got(serve, silent):
    server = serve("hanging:app", "--timeout", "1", "--timeout-status", "by-cause", "--access-logfile", "-", env={"SILENT": silent})
    answer = server.get("/receive")
    line = poll(lambda: next((line for line in server.out.splitlines() if "/receive" in line), None), 5, "the access line")
    assert f'" {answer.status} {len(answer.content)} "' in line, line


@pytest.mark.parametrize("mode", MODES)
def test_a_healthy_server_has_nothing_to_report(serve, mode):
    server = serve("hanging:app", "--timeout", "2", "-w", "2", *MODES[mode])
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(server.get, ["/"] * 200 + ["/steady?1.5"] * 2))
    assert {answer.status for answer in answers} == {200}
    assert server.stop() == 0
    assert server.incidents(0) == []
    assert not re.search(r"\[(CRITICAL|ERROR|WARNING)\]", server.log), server.log
    assert_discreet(server)
